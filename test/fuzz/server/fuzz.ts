/** What a registry server makes of connections that nobody should make. */
import * as Net from "node:net"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeRegistryServer from "../../../src/node/NodeRegistryServer.js"
import { Registry } from "../../../src/Registry.js"
import * as RegistryServer from "../../../src/server/RegistryServer.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import * as Connections from "./connections.js"

export interface Report {
  readonly connections: number
  readonly responses: Readonly<Record<string, number>>
  /** What should not have happened, with the connection. */
  readonly problems: ReadonlyArray<string>
  /** What was there when all was over, and no connection left, and should not be. */
  readonly left: { readonly uploads: number; readonly handlers: number }
}

/** Milliseconds that a connection may take in which nothing waits for anything. */
const patience = 20_000

/** The statuses that the specification and HTTP have for requests of any kind. */
const statuses = new Set([
  ...[100, 200, 201, 202, 204, 206, 304],
  ...[400, 401, 403, 404, 405, 408, 411, 412, 413, 414, 416, 417, 429, 431]
])

/** Runs some connections of a seed, several at a time. */
export const fuzz = ({ connections, seed }: { connections: number; seed: number }) =>
  Effect.gen(function* () {
    const memory = yield* MemoryRegistry.make({ missingReferences: "accept" })
    const handlers = { running: 0 }
    const { left, problems, responses } = yield* Effect.scoped(
      Effect.gen(function* () {
        const context = yield* Layer.build(
          NodeRegistryServer.layer({
            port: 0,
            quietPeriod: 0,
            limits: { uploads: 200, blobSize: 1_000_000 }
          }).pipe(Layer.provide(Layer.succeed(Registry, counted(memory, handlers))))
        )
        const server = Context.get(context, RegistryServer.RegistryServer)
        const port = Number(new URL(server.url).port)
        yield* seeded(server.url)
        const uploads = yield* Effect.forEach(Array.from({ length: 20 }), () =>
          Effect.promise(() => fetch(`${server.url}/v2/a/blobs/uploads/`, { method: "POST" }))
        )
        const next = Connections.connections(
          seed,
          uploads.map(({ headers }) => headers.get("location") ?? "")
        )
        const problems: Array<string> = []
        const responses: Record<string, number> = {}
        yield* Effect.forEach(
          Array.from({ length: connections }),
          (_, index) =>
            Effect.gen(function* () {
              const connection = next()
              const seen = yield* exchange(port, connection)
              const found = problemsOf(seen, connection, responses)
              for (const problem of found)
                problems.push(
                  `${problem}: connection ${index} of seed ${seed}, ${JSON.stringify(connection.pieces).slice(0, 500)} → ${JSON.stringify(seen.text).slice(0, 500)}`
                )
            }),
          { concurrency: 16, discard: true }
        )
        // What the server knows of uploads is what the registry has, however requests ended.
        const known = yield* Effect.repeat(Effect.zip(server.uploads, memory.uploads), {
          until: ([a, b]) => a.length === b.length,
          times: 1000
        })
        return { problems, responses, left: Math.abs(known[0].length - known[1].length) }
      })
    )
    yield* Effect.sleep(50)
    return {
      connections,
      responses,
      problems,
      left: {
        uploads: left + (yield* memory.uploads).length,
        handlers: handlers.running
      }
    } satisfies Report
  })

/** Counts the uploads that are being written. */
const counted = (
  memory: MemoryRegistry.MemoryRegistry.Service,
  handlers: { running: number }
): Registry.Service => {
  const during = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => handlers.running++),
      () => effect,
      () => Effect.sync(() => handlers.running--)
    )
  return {
    ...memory,
    putBlob: (repository, source, options) => during(memory.putBlob(repository, source, options)),
    resumeUpload: (state) =>
      Effect.map(memory.resumeUpload(state), (session) => ({
        ...session,
        write: (bytes) => during(session.write(bytes))
      }))
  }
}

const seeded = (url: string) =>
  Effect.promise(async () => {
    for (const content of [Connections.blob, Connections.config]) {
      const location = await fetch(`${url}/v2/a/blobs/uploads/`, { method: "POST" })
      const digest = content === Connections.blob ? Connections.blobDigest : undefined
      await fetch(
        `${url}${location.headers.get("location")}?digest=${digest ?? Connections.configDigest}`,
        { method: "PUT", body: content }
      )
    }
    await fetch(`${url}/v2/a/manifests/v1`, {
      method: "PUT",
      body: Connections.manifest,
      headers: { "content-type": Connections.imageType }
    })
  })

interface Seen {
  text: string
  hung: boolean
}

/** Writes a connection, and reads it to its end. */
const exchange = (port: number, { end, pieces }: Connections.Connection) =>
  Effect.async<Seen>((resume) => {
    const seen: Seen = { text: "", hung: false }
    const socket = Net.connect({ port, host: "127.0.0.1", allowHalfOpen: false })
    const timer = setTimeout(() => {
      seen.hung = end === "FIN"
      socket.destroy()
    }, patience)
    socket
      .setEncoding("latin1")
      .on("data", (text) => {
        seen.text += text
      })
      .on("error", () => undefined)
      .on("close", () => {
        clearTimeout(timer)
        resume(Effect.succeed(seen))
      })
    const write = (index: number): void => {
      const piece = pieces[index]
      if (piece !== undefined) {
        socket.write(piece, "latin1", () => setImmediate(write, index + 1))
        return
      }
      if (end === "FIN") return void socket.end()
      if (end === "Stop") socket.pause()
      setTimeout(() => socket.resetAndDestroy(), end === "Stop" ? 20 : 0)
    }
    socket.once("connect", () => write(0))
  })

const headOf = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/

/** Takes a connection apart into its responses. */
const problemsOf = (
  { hung, text }: Seen,
  { end, methods }: Connections.Connection,
  responses: Record<string, number>
): ReadonlyArray<string> => {
  if (hung) return ["hung"]
  // Whoever leaves early may have seen a part of a response.
  if (end !== "FIN") return /^HTTP\/1\.1 5/m.test(text) ? ["a 5xx"] : []
  const problems: Array<string> = []
  const mayBeHead = methods.includes("HEAD")
  for (let rest = text; rest !== ""; ) {
    const [head, status = "", fields = ""] = headOf.exec(rest) ?? []
    if (head === undefined) return [...problems, "not a response"]
    responses[status] = (responses[status] ?? 0) + 1
    if (!statuses.has(Number(status))) problems.push(`status ${status}`)
    rest = rest.slice(head.length)
    if (/^(1..|204|304)$/.test(status)) continue
    const [, length] = /^content-length: (\d+)\r$/im.exec(fields) ?? []
    const isChunked = /^transfer-encoding: chunked\r$/im.test(fields)
    // An error in mid-body is followed by what is read of the body, and says so.
    if (length === undefined && !isChunked) problems.push("no length")
    const isBodiless = mayBeHead && (rest === "" || rest.startsWith("HTTP/1.1 "))
    if (isBodiless || length === undefined) {
      if (!isBodiless) return problems
      continue
    }
    const body = rest.slice(0, Number(length))
    rest = rest.slice(Number(length))
    if (body.length !== Number(length)) problems.push("a body that breaks off")
    else if (Number(status) >= 400 && body !== "" && !isErrorList(body))
      problems.push("no list of errors")
  }
  return problems
}

const isErrorList = (body: string): boolean => {
  try {
    const { errors } = JSON.parse(body)
    return Array.isArray(errors) && errors.every(({ code }) => typeof code === "string")
  } catch {
    return false
  }
}
