/**
 * Runs one task in this process, and tells what it took: `measure <group>/<task> <url> <url over
 * TLS> <digest>`. The name of a task may end in `beside objects`: then so many live objects are in
 * the heap as in that of a large application.
 */
import * as Fs from "node:fs"
import type { Tasks } from "./task.js"

const [, , name = "", url = "", tlsUrl = "", digest = ""] = process.argv
const besideObjects = " beside objects"
const [group = "", task = ""] = name.replace(besideObjects, "").split("/")
const objects = Array.from({ length: name.endsWith(besideObjects) ? 1_500_000 : 0 }, (_, n) => ({
  n,
  text: `${n}`
}))

/** CPU seconds of child processes that have ended: other clients. */
const ofChildren = () => {
  const fields = Fs.readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /, "")
    .split(" ")
  return (Number(fields[13]) + Number(fields[14])) / 100
}

const load = async () => ((await import(`./${group}.js`)) as { readonly tasks: Tasks }).tasks[task]

const loaded = await load()
if (loaded === undefined) throw new Error(`There is no ${name}`)
const [ofOthers, cpu, at] = [ofChildren(), process.cpuUsage(), performance.now()]
const uncounted = await loaded({ url, tlsUrl, digest })
const { system, user } = process.cpuUsage(cpu)
process.send?.({
  seconds: (performance.now() - at) / 1000 - (typeof uncounted === "number" ? uncounted : 0),
  cpu: (system + user) / 1e6 + ofChildren() - ofOthers,
  memory: process.resourceUsage().maxRSS / 1024
})
process.exit(objects.length > 1_500_000 ? 1 : 0)
