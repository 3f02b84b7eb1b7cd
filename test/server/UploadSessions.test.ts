import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import { Registry } from "../../src/Registry.js"
import { TransportFailure } from "../../src/RegistryError.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { turn } from "../support/fixtures.js"
import { webHandler } from "../support/server.js"
import { type Send, sender, sha256 } from "./wire.js"

const overMemory = (
  change: (memory: MemoryRegistry.MemoryRegistry.Service) => Partial<Registry.Service> = () => ({})
) =>
  Effect.gen(function* () {
    const memory = yield* MemoryRegistry.make()
    const handler = yield* Effect.provideService(webHandler(), Registry, {
      ...memory,
      ...change(memory)
    })
    return {
      send: sender(handler),
      open: Effect.map(memory.uploads, (uploads) => uploads.length),
      held: Effect.map(memory.uploads, (uploads) => uploads[0]?.offset)
    }
  })

const openUpload = (send: Send) =>
  Effect.map(send("POST", "/v2/a/blobs/uploads/"), ({ headers }) => headers["location"] ?? "")

/**
 * A body that gives its parts, and ends as told: the next part waits until the server has taken the
 * one before.
 */
const bodyOf = (
  parts: ReadonlyArray<string>,
  end: (controller: ReadableStreamDefaultController) => unknown
) => {
  const rest = [...parts]
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const part = rest.shift()
      if (part === undefined) await end(controller)
      else controller.enqueue(new TextEncoder().encode(part))
    }
  })
}

describe("UploadSessions", () => {
  it.scoped("each upload has an identifier of its own (R14)", () =>
    Effect.gen(function* () {
      const { send } = yield* overMemory()
      expect(
        new Set(yield* Effect.all([openUpload(send), openUpload(send), openUpload(send)])).size
      ).toBe(3)
    })
  )

  it.scoped(
    "a body that breaks off leaves a session that knows how far it came, and can be finished (C52)",
    () =>
      Effect.gen(function* () {
        const { send } = yield* overMemory()
        const location = yield* openUpload(send)
        const broken = yield* send("PATCH", location, {
          body: bodyOf(["he", "l"], (it) => it.error(new Error("reset")))
        })
        expect(broken.status).toBe(400)
        expect((yield* send("GET", location)).headers["range"]).toBe("0-2")
        yield* send("PATCH", location, { body: "lo", headers: { "content-range": "3-4" } })
        expect((yield* send("PUT", `${location}?digest=${sha256("hello")}`)).status).toBe(201)
      })
  )

  it.scoped("a closing PUT that breaks off leaves the session open", () =>
    Effect.gen(function* () {
      const { send } = yield* overMemory()
      const location = yield* openUpload(send)
      const path = `${location}?digest=${sha256("hello")}`
      yield* send("PUT", path, { body: bodyOf(["he"], (it) => it.error(new Error("reset"))) })
      expect((yield* send("GET", location)).headers["range"]).toBe("0-1")
      expect(
        (yield* send("PUT", path, { body: "llo", headers: { "content-range": "2-4" } })).status
      ).toBe(201)
    })
  )

  it.scoped(
    "requests to one session wait for each other: the second of equal chunks is refused (C51)",
    () =>
      Effect.gen(function* () {
        const { held, send } = yield* overMemory()
        const location = yield* openUpload(send)
        const finish = yield* Deferred.make<void>()
        const headers = { "content-range": "0-4" }
        const body = bodyOf(["hel"], async (controller) => {
          await Effect.runPromise(Deferred.await(finish))
          controller.enqueue(new TextEncoder().encode("lo"))
          controller.close()
        })
        const first = yield* Effect.fork(send("PATCH", location, { body, headers }))
        yield* Effect.repeat(Effect.zipRight(turn, held), { until: (bytes) => bytes === 3 })
        const second = yield* Effect.fork(send("PATCH", location, { body: "other", headers }))
        const status = yield* Effect.fork(send("GET", location))
        // Long enough for both to have been answered, if they did not wait.
        yield* Effect.repeatN(turn, 20)
        yield* Deferred.succeed(finish, undefined)
        expect((yield* Fiber.join(first)).headers["range"]).toBe("0-4")
        expect((yield* Fiber.join(second)).status).toBe(416)
        expect((yield* Fiber.join(status)).headers["range"]).toBe("0-4")
        expect((yield* send("PUT", `${location}?digest=${sha256("hello")}`)).status).toBe(201)
      })
  )

  it.scoped(
    "a registry behind that fails during a chunk leaves the session where that registry says it is",
    () =>
      Effect.gen(function* () {
        let failing = true
        const { send } = yield* overMemory((memory) => ({
          resumeUpload: (state) =>
            Effect.map(memory.resumeUpload(state), (session) => ({
              ...session,
              write: (bytes) =>
                Effect.zipLeft(
                  session.write(bytes),
                  failing ? Effect.fail(new TransportFailure({ reason: "Reset" })) : Effect.void
                )
            }))
        }))
        const location = yield* openUpload(send)
        expect((yield* send("PATCH", location, { body: "hel" })).status).toBe(502)
        failing = false
        expect((yield* send("GET", location)).headers["range"]).toBe("0-2")
        expect((yield* send("PATCH", location, { body: "lo" })).headers["range"]).toBe("0-4")
      })
  )

  it.scoped("a session that the registry behind has lost is a 404 from then on (C55)", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryRegistry.make()
      const send = sender(yield* Effect.provideService(webHandler(), Registry, memory))
      const location = yield* openUpload(send)
      yield* Effect.forEach(yield* memory.uploads, (state) =>
        Effect.scoped(memory.resumeUpload(state))
      )
      expect((yield* send("PATCH", location, { body: "hello" })).status).toBe(404)
    })
  )

  it.scoped("DELETE cancels the session of the registry behind (R23)", () =>
    Effect.gen(function* () {
      const { open, send } = yield* overMemory()
      const location = yield* openUpload(send)
      expect(yield* open).toBe(1)
      yield* send("DELETE", location)
      expect(yield* open).toBe(0)
    })
  )

  it.scoped("a session is cancelled an hour after its last byte, whoever asks for it (V13)", () =>
    Effect.gen(function* () {
      const { open, send } = yield* overMemory()
      const location = yield* openUpload(send)
      yield* TestClock.adjust("59 minutes")
      yield* send("PATCH", location, { body: "hel" })
      yield* TestClock.adjust("59 minutes")
      expect((yield* send("GET", location)).status).toBe(204)
      yield* TestClock.adjust("2 minutes")
      expect(yield* open).toBe(0)
      expect((yield* send("GET", location)).status).toBe(404)
    })
  )

  it.scoped("never during a request, which may take longer (V13)", () =>
    Effect.gen(function* () {
      const { held, open, send } = yield* overMemory()
      const location = yield* openUpload(send)
      const finish = yield* Deferred.make<void>()
      const body = bodyOf(["hel"], async (controller) => {
        await Effect.runPromise(Deferred.await(finish))
        controller.enqueue(new TextEncoder().encode("lo"))
        controller.close()
      })
      const patch = yield* Effect.fork(send("PATCH", location, { body }))
      yield* Effect.repeat(Effect.zipRight(turn, held), { until: (bytes) => bytes === 3 })
      yield* TestClock.adjust("3 hours")
      expect(yield* open).toBe(1)
      yield* Deferred.succeed(finish, undefined)
      expect((yield* Fiber.join(patch)).headers["range"]).toBe("0-4")
      yield* TestClock.adjust("59 minutes")
      expect(yield* open).toBe(1)
      yield* TestClock.adjust("2 minutes")
      expect(yield* open).toBe(0)
    })
  )

  it.scoped("a session that is used while others are being cancelled stays (R23)", () =>
    Effect.gen(function* () {
      const cancelling = yield* Deferred.make<void>()
      const slow = new Set<string>()
      const { open, send } = yield* overMemory((memory) => ({
        startUpload: (repository) =>
          Effect.tap(memory.startUpload(repository), ({ state }) =>
            Effect.map(state, ({ location }) => void (slow.size < 16 && slow.add(location)))
          ),
        resumeUpload: (state) =>
          slow.has(state.location)
            ? Effect.zipRight(Deferred.await(cancelling), memory.resumeUpload(state))
            : memory.resumeUpload(state)
      }))
      yield* Effect.repeatN(openUpload(send), 15)
      const location = yield* openUpload(send)
      yield* TestClock.adjust("59 minutes")
      const writing = send("PATCH", location, { body: "b1" })
      yield* Effect.zipRight(TestClock.adjust("30 seconds"), writing)
      yield* TestClock.adjust("90 seconds")
      expect((yield* send("GET", location)).status).toBe(204)
      yield* Deferred.succeed(cancelling, undefined)
      yield* Effect.repeat(Effect.zipRight(turn, open), { until: (count) => count === 1 })
      expect((yield* send("GET", location)).status).toBe(204)
    })
  )

  it.scoped("no more than 1000 are open at a time: the next is a 429 with Retry-After (R41)", () =>
    Effect.gen(function* () {
      const { send } = yield* overMemory()
      const location = yield* openUpload(send)
      yield* Effect.replicateEffect(openUpload(send), 999)
      const refused = yield* send("POST", "/v2/a/blobs/uploads/")
      expect([refused.status, refused.headers["retry-after"]]).toEqual([429, "60"])
      yield* send("DELETE", location)
      expect((yield* send("POST", "/v2/a/blobs/uploads/")).status).toBe(202)
    })
  )

  it.effect("a server that ends cancels its sessions, since nobody can name them any more", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryRegistry.make()
      const scope = yield* Scope.make()
      const context = Context.make(Registry, memory).pipe(Context.add(Scope.Scope, scope))
      const send = sender(yield* Effect.provide(webHandler(), context))
      yield* openUpload(send)
      expect(yield* memory.uploads).toHaveLength(1)
      yield* Scope.close(scope, Exit.void)
      expect(yield* memory.uploads).toHaveLength(0)
    })
  )
})
