/**
 * Runs one task in this process, and tells what it took: `measure <group>/<task> <url> <digest>`.
 */
import type { Tasks } from "./task.js"

const [, , name = "", url = "", digest = ""] = process.argv
const [group = "", task = ""] = name.split("/")
const load = async () => ((await import(`./${group}.js`)) as { readonly tasks: Tasks }).tasks[task]

const loaded = await load()
if (loaded === undefined) throw new Error(`There is no ${name}`)
const [cpu, at] = [process.cpuUsage(), performance.now()]
await loaded({ url, digest })
const { system, user } = process.cpuUsage(cpu)
process.send?.({
  seconds: (performance.now() - at) / 1000,
  cpu: (system + user) / 1e6,
  memory: process.resourceUsage().maxRSS / 1024
})
process.exit()
