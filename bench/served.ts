/**
 * Whole registries, with the same client: this library's server over memory, and Debian's
 * `docker-registry` with its files in memory. The registry of a task is there before its time
 * starts.
 */
import { type ChildProcess, fork, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { Agent, request } from "undici"
import { small as smallBlob } from "./content.js"
import { tasks as ours } from "./ours.js"
import type { Task, Tasks } from "./task.js"

interface Running {
  readonly url: string
  readonly end: () => void
}

const effectOci = () =>
  new Promise<Running>((resolve) => {
    const child = fork(Path.join(Path.dirname(fileURLToPath(import.meta.url)), "registry.js"))
    child.once("message", (url) => resolve({ url: String(url), end: () => child.kill("SIGKILL") }))
  })

const dockerRegistry = () =>
  new Promise<Running>((resolve) => {
    const folder = Fs.mkdtempSync("/dev/shm/effect-oci-bench-")
    const file = Path.join(folder, "config.yml")
    Fs.writeFileSync(
      file,
      `version: 0.1
log: { level: info, formatter: text, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${JSON.stringify(Path.join(folder, "data"))} } }
http: { addr: "127.0.0.1:0", secret: bench }
`
    )
    const child: ChildProcess = spawn("docker-registry", ["serve", file])
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      const [, port] = /listening on 127\.0\.0\.1:(\d+)/.exec(text) ?? []
      if (port === undefined) return
      const end = () => {
        child.kill("SIGKILL")
        Fs.rmSync(folder, { recursive: true, force: true })
      }
      resolve({ url: `http://127.0.0.1:${port}`, end })
    })
  })

const smallAtOnce = 2000

/** So many requests at once, each on a connection of its own where the server takes that many. */
const smallRequests: Task = async ({ digest, url }) => {
  const agent = new Agent({ connections: smallAtOnce, pipelining: 1, connect: { timeout: 60_000 } })
  const path = `${url}/v2/bench/blobs/${digest}`
  const statuses = await Promise.all(
    Array.from({ length: smallAtOnce }, async () => {
      const { body, statusCode } = await request(path, { dispatcher: agent })
      await body.arrayBuffer()
      return statusCode
    })
  )
  await agent.destroy()
  const failed = statuses.filter((status) => status !== 200).length
  if (failed > 0) throw new Error(`${failed} of ${smallAtOnce} requests failed`)
}

const pushSmall = async (url: string) => {
  const opened = await request(`${url}/v2/bench/blobs/uploads/`, { method: "POST" })
  await opened.body.dump()
  const location = new URL(String(opened.headers["location"]), url)
  location.searchParams.set("digest", smallBlob.digest)
  const { body, statusCode } = await request(location, { method: "PUT", body: smallBlob.bytes })
  await body.dump()
  if (statusCode !== 201) throw new Error(`The small blob was answered with ${statusCode}`)
}

const works: Readonly<Record<string, Task>> = {
  push: (given) => ours["push file, digest known"]?.(given) ?? Promise.reject(),
  pull: (given) => ours["pull, nothing kept"]?.(given) ?? Promise.reject(),
  "2,000 small requests at once": smallRequests
}

const registries = { "effect-oci": effectOci, "docker-registry": dockerRegistry }

const [work = "", name = ""] = (process.argv[2] ?? "").replace(/^served\//, "").split(", ")
const start = Object.entries(registries).find(([registry]) => registry === name)?.[1]
const digestOf = (digest: string) => (work.includes("small") ? smallBlob.digest : digest)

const running = await start?.()
if (running !== undefined) {
  process.once("exit", running.end)
  if (work.includes("small")) await pushSmall(running.url)
  if (work === "pull")
    await works["push"]?.({ url: running.url, tlsUrl: "", digest: process.argv[5] ?? "" })
}

export const tasks: Tasks = {
  [`${work}, ${name}`]: async ({ digest }) => {
    if (running === undefined) throw new Error(`There is no registry ${name}`)
    await works[work]?.({ url: running.url, tlsUrl: "", digest: digestOf(digest) })
  }
}
