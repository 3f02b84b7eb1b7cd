/** What tells one process from another, on Linux: others say nothing of it. */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import { codeOf } from "../../internal/CauseDetails.js"
import type { ProcessIdentity } from "../../store/LayoutRegistry.js"

/** Returns what identifies this process, if the system tells it. */
export const own: Effect.Effect<ProcessIdentity | undefined> = Effect.promise(async () => {
  try {
    const [started, boot, namespace] = await Promise.all([
      startOf(process.pid),
      Fs.readFile("/proc/sys/kernel/random/boot_id", "utf8"),
      Fs.readlink("/proc/self/ns/pid")
    ])
    return started === undefined
      ? undefined
      : { pid: process.pid, started, boot: boot.trim(), namespace }
  } catch {
    return undefined
  }
})

/** Returns whether a process runs: another one may have its number by now. */
export const isRunning = ({ pid, started }: ProcessIdentity): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    try {
      return (await startOf(pid)) === started
    } catch (cause) {
      // What cannot be read, as where /proc hides the processes of others, may run.
      return !["ENOENT", "ESRCH"].includes(codeOf(cause))
    }
  })

/** When a process started, in ticks since the boot; nothing for one that has ended. */
const startOf = async (pid: number): Promise<string | undefined> => {
  const stat = await Fs.readFile(`/proc/${pid}/stat`, "utf8")
  // Its name, in parentheses, may contain anything.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return state === "Z" || state === "X" ? undefined : fields[18]
}
