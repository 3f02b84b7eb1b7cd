/** The programs of `examples/`, run as a user runs them. */
import { type ChildProcessByStdio, spawn } from "node:child_process"
import type { Readable, Writable } from "node:stream"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { see } from "./suiteWatch.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** What a program printed, and how it ended. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * `until` sends SIGINT, as Ctrl-C does, `delay` milliseconds after the program first printed
 * `text`.
 */
export interface RunOptions {
  readonly input?: string
  readonly until?: { readonly text: string; readonly delay: number }
}

/** Runs an example to its end. It is killed when interrupted. */
export const run = (
  example: string,
  args: ReadonlyArray<string>,
  options: RunOptions = {}
): Effect.Effect<Ended> =>
  Effect.async<Ended>((resume) => {
    const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(
      process.execPath,
      ["--import", "tsx", "--conditions=@effect-oci/source", `examples/${example}.ts`, ...args],
      { cwd: root, stdio: ["pipe", "pipe", "pipe"] }
    )
    let stdout = ""
    let stderr = ""
    let signalled = false
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
      if (options.until !== undefined && !signalled && stdout.includes(options.until.text)) {
        signalled = true
        setTimeout(() => child.kill("SIGINT"), options.until.delay)
      }
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text
    })
    child.stdin.end(options.input ?? "")
    child.once("close", (code) => {
      see(stdout)
      see(stderr)
      resume(Effect.succeed({ code, stdout, stderr }))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })
