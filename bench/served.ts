/**
 * Whole registries, with the same client: this library's server over memory, and Debian's
 * `docker-registry` with its files in memory. The registry of a task is there before its time
 * starts.
 */
import { Agent, request } from "undici"
import { small as smallBlob } from "./content.js"
import { tasks as ours } from "./ours.js"
import { dockerRegistry, effectOci } from "./registries.js"
import type { Task, Tasks } from "./task.js"

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
