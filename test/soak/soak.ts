/**
 * Thousands of mixed requests against a server that fails, hangs and cuts, interrupted and timed
 * out at random points; then a count of what is left: sockets, requests, fibers, timers and upload
 * sessions.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Agent } from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Supervisor from "effect/Supervisor"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { Registry } from "../../src/Registry.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import type { RepositoryName } from "../../src/spec/Reference.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"

/** How it went, and what was left: all zero where nothing leaks. */
export interface Report {
  readonly requests: number
  readonly programs: Readonly<Record<"completed" | "failed" | "interrupted", number>>
  readonly faults: Readonly<Record<Fault, number>>
  readonly left: {
    readonly fibers: number
    readonly answering: number
    readonly clientRequests: number
    readonly uploads: number
    readonly sockets: number
    readonly timers: number
  }
}

type Fault = "refused" | "silent" | "unavailable" | "limited" | "slow" | "cut"

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
const random = (seed: number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

// -----------------------------------------------------------------------------
// The server
// -----------------------------------------------------------------------------

/**
 * A server in front of another one. What has opened an upload session always says so, and a
 * cancellation always arrives: without the one nobody can know of the session, and without the
 * other nobody can end it, so neither would be the client's leak.
 */
const faulty = (behind: Server, next: () => number) => {
  const faults: Record<Fault, number> = {
    refused: 0,
    silent: 0,
    unavailable: 0,
    limited: 0,
    slow: 0,
    cut: 0
  }
  let requests = 0
  let answering = 0
  const inject = (fault: Fault) => {
    faults[fault]++
  }
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    requests++
    answering++
    response.once("close", () => {
      answering--
    })
    const pass = () => behind.emit("request", request, response)
    const chance = next()
    if (request.method === "DELETE") return pass()
    if (chance < 0.03) {
      inject("refused")
      return request.socket.destroy()
    }
    if (chance < 0.04) {
      inject("silent")
      return request.resume() // Who does not read does not notice that the client has gone.
    }
    if (chance < 0.07) {
      inject("unavailable")
      return response.writeHead(503).end()
    }
    if (chance < 0.09) {
      inject("limited")
      return response.writeHead(429, { "retry-after": "0" }).end()
    }
    if (chance < 0.2) {
      inject("slow")
      return setTimeout(() => (request.socket.destroyed ? undefined : pass()), next() * 20)
    }
    if (chance < 0.25 && request.method !== "POST") {
      inject("cut")
      const after = next() * 200_000
      let sent = 0
      const write = response.write.bind(response)
      response.write = (chunk: Uint8Array) => {
        sent += chunk.length
        if (sent < after) return write(chunk)
        request.socket.destroy()
        return false
      }
    }
    return pass()
  })
  const sockets = new Set<Socket>()
  server.on("connection", (socket: Socket) => {
    sockets.add(socket)
    socket.once("close", () => sockets.delete(socket))
  })
  return { server, faults, sockets, requests: () => requests, answering: () => answering }
}

const listening = (server: Server) =>
  Effect.acquireRelease(
    Effect.async<string>((resume) => {
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
      )
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
      })
  )

// -----------------------------------------------------------------------------
// The programs
// -----------------------------------------------------------------------------

const bytesOf = (size: number, next: () => number): Uint8Array =>
  new Uint8Array(size).fill(next() * 256)

const streamed = (bytes: Uint8Array) =>
  BlobSource.make(
    (offset) =>
      Stream.unfold(offset, (at) =>
        at >= bytes.length
          ? Option.none()
          : Option.some([bytes.subarray(at, at + 10_000), at + 10_000])
      ),
    {}
  )

/** One program of a user, chosen at random. */
const program = (registry: Registry.Service, repository: RepositoryName, next: () => number) =>
  Effect.suspend((): Effect.Effect<unknown, unknown> => {
    const bytes = bytesOf(Math.floor(next() ** 3 * 300_000), next)
    const blob = {
      mediaType: MediaType.layerTar,
      digest: Digest.fromBytes(bytes),
      size: bytes.length
    }
    const put = registry.putBlob(repository, BlobSource.fromBytes(bytes))
    const choices: ReadonlyArray<() => Effect.Effect<unknown, unknown>> = [
      () => put,
      () => registry.putBlob(repository, streamed(bytes)),
      () => registry.putBlob(repository, BlobSource.fromBytes(bytes), { chunkSize: 50_000 }),
      () => Effect.zipRight(put, Stream.runDrain(registry.getBlob(repository, blob))),
      () => Effect.zipRight(put, Stream.runHead(registry.getBlob(repository, blob))),
      () =>
        Effect.zipRight(
          put,
          Stream.runDrain(registry.getBlobRange(repository, blob.digest, { start: 1 }))
        ),
      () => Effect.zipRight(put, registry.deleteBlob(repository, blob.digest)),
      () => registry.headBlob(repository, blob.digest),
      () => registry.mountBlob(repository, blob.digest),
      () =>
        Effect.scoped(
          Effect.flatMap(registry.startUpload(repository), (session) => session.write(bytes))
        ),
      () =>
        Effect.scoped(
          Effect.flatMap(registry.startUpload(repository), (session) =>
            Effect.zipRight(session.write(bytes), session.commit(blob.digest))
          )
        ),
      () =>
        Effect.gen(function* () {
          yield* put
          const manifest = Manifest.image({
            config: { ...blob, mediaType: MediaType.imageConfig },
            layers: [blob]
          })
          const tag = yield* Reference.parseTag(`v${Math.floor(next() * 10)}`)
          yield* registry.putManifest(repository, manifest, { tags: [tag] })
          yield* registry.getManifest(repository, tag)
          yield* registry.headManifest(repository, manifest.descriptor.digest)
          yield* Stream.runDrain(registry.tags(repository, { pageSize: 3 }))
          yield* Stream.runDrain(registry.referrers(repository, manifest.descriptor.digest))
          yield* registry.deleteManifest(repository, manifest.descriptor.digest)
        })
    ]
    return choices[Math.floor(next() * choices.length)]?.() ?? Effect.void
  })

// -----------------------------------------------------------------------------
// The count
// -----------------------------------------------------------------------------

/** The fibers that have begun and not ended. */
class Fibers extends Supervisor.AbstractSupervisor<number> {
  readonly live = new Set<unknown>()
  override value = Effect.sync(() => this.live.size)
  override onStart(
    ...[, , , fiber]: Parameters<Supervisor.AbstractSupervisor<number>["onStart"]>
  ): void {
    this.live.add(fiber)
  }
  override onEnd(...[, fiber]: Parameters<Supervisor.AbstractSupervisor<number>["onEnd"]>): void {
    this.live.delete(fiber)
  }
}

const nextTurn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const timers = () =>
  process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length

/** Waits until nothing is left, up to 20 seconds. */
const settled = (left: () => number) =>
  Effect.iterate(0, {
    while: (turn) => turn < 200 && left() > 0,
    body: (turn) => Effect.as(Effect.sleep(100), turn + 1)
  })

/**
 * Runs programs, 16 at a time, until the server has had so many requests. About a third is
 * interrupted.
 */
export const soak = (options: {
  readonly requests: number
  readonly seed: number
}): Effect.Effect<Report> =>
  Effect.gen(function* () {
    const next = random(options.seed)
    yield* nextTurn // Whoever runs this may start a timer of its own first.
    const timersBefore = timers()
    const store = yield* MemoryRegistry.make()
    const fibers = new Fibers()
    const programs = { completed: 0, failed: 0, interrupted: 0 }
    // It closes what is idle soon: what stays open is held by somebody.
    const agent = new Agent({
      connections: 128,
      pipelining: 1,
      keepAliveTimeout: 100,
      keepAliveMaxTimeout: 100
    })
    const behind = createServer()
    const front = faulty(behind, next)

    const counted = Effect.scoped(
      Effect.gen(function* () {
        const url = yield* listening(front.server)
        const users = { alice: Redacted.make("wonderland") }
        const Client = RegistryClient.layer({
          url,
          // The server must have answered long before, even where the process stalls.
          timeouts: { response: "2 seconds" },
          retry: { attempts: 2, base: "5 millis" }
        }).pipe(
          Layer.provide([
            TokenCache.layerMemory,
            Credentials.layerBasic({
              host: url.slice(7),
              username: "alice",
              password: Redacted.make("wonderland")
            }),
            NodeHttp.layerHttpClientWithoutDispatcher
          ]),
          Layer.provide(
            Layer.scoped(
              NodeHttpClient.Dispatcher,
              Effect.acquireRelease(Effect.succeed(agent), () =>
                Effect.promise(() => agent.destroy())
              )
            )
          )
        )
        const Served = Layer.unwrapEffect(
          Effect.map(ServerAuthorization.token({ users }), (authorization) =>
            RegistryServer.layer({ authorization })
          )
        ).pipe(
          Layer.provide(NodeHttpServer.layer(() => behind, { port: 0, host: "127.0.0.1" })),
          Layer.provide(Layer.succeed(Registry, store))
        )
        return yield* Effect.gen(function* () {
          const registry = yield* Registry
          const repository = yield* Effect.orDie(Reference.parseRepositoryName("soak/test"))
          const idle = fibers.live.size
          const worker = Effect.gen(function* () {
            while (front.requests() < options.requests) {
              const patience = next() < 0.4 ? next() ** 2 * 150 : 10_000
              const exit = yield* Effect.exit(
                Effect.timeoutOption(program(registry, repository, next), patience)
              )
              programs[
                Exit.isFailure(exit)
                  ? "failed"
                  : Option.isNone(exit.value)
                    ? "interrupted"
                    : "completed"
              ]++
            }
          })
          yield* Effect.all(
            Array.from({ length: 16 }, () => worker),
            { concurrency: "unbounded" }
          )
          const working = () =>
            Object.values(agent.stats).reduce(
              (sum, { pending = 0, running, size }) => sum + pending + running + size,
              0
            )
          yield* settled(
            () =>
              front.answering() +
              front.sockets.size +
              working() +
              Math.max(0, fibers.live.size - idle)
          )
          return {
            fibers: fibers.live.size - idle,
            answering: front.answering(),
            clientRequests: working(),
            sockets: front.sockets.size,
            uploads: (yield* store.uploads).length
          }
        }).pipe(Effect.provide(Layer.merge(Client, Served)))
      })
    ).pipe(Effect.supervised(fibers), Effect.orDie)

    const left = yield* counted
    yield* settled(() => timers() - timersBefore)
    return {
      requests: front.requests(),
      programs,
      faults: front.faults,
      left: { ...left, timers: Math.max(0, timers() - timersBefore) }
    }
  })
