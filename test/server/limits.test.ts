/** What a server takes at most (V12): bytes are counted together, and what is refused is freed. */
import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { Registry } from "../../src/Registry.js"
import type { Limits } from "../../src/server/RegistryServer.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { webHandler } from "../support/server.js"
import { type Send, sender, sha256 } from "./wire.js"

const limited = (limits: (memory: MemoryRegistry.MemoryRegistry.Service) => Limits) =>
  Effect.gen(function* () {
    const memory = yield* MemoryRegistry.make({ missingReferences: "accept" })
    const handler = yield* Effect.provideService(
      webHandler({ limits: limits(memory) }),
      Registry,
      memory
    )
    return { send: sender(handler), memory }
  })

const openUpload = (send: Send) =>
  Effect.map(send("POST", "/v2/a/blobs/uploads/"), ({ headers }) => headers["location"] ?? "")

const single = (send: Send, content: string) =>
  send("POST", `/v2/a/blobs/uploads/?digest=${sha256(content)}`, {
    body: content,
    headers: { "content-length": String(content.length) }
  })

const streamed = (...parts: ReadonlyArray<string>) =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const part of parts) controller.enqueue(new TextEncoder().encode(part))
      controller.close()
    }
  })

const tooLarge = { status: 413, code: "SIZE_INVALID" }

const seen = ({ body, status }: { readonly body: string; readonly status: number }) => ({
  status,
  code: body === "" ? undefined : JSON.parse(body).errors[0].code
})

describe("a limit on blobs", () => {
  const limits = () => ({ blobSize: 5 })

  it.scoped("is that of all chunks together, with a length or without one", () =>
    Effect.gen(function* () {
      const { memory, send } = yield* limited(limits)
      for (const body of ["lo!", streamed("lo", "!")]) {
        const location = yield* openUpload(send)
        yield* send("PATCH", location, { body: "hel" })
        expect(seen(yield* send("PATCH", location, { body }))).toEqual(tooLarge)
        expect((yield* send("GET", location)).status).toBe(404)
      }
      expect(yield* memory.uploads).toEqual([])
      expect(yield* memory.snapshot).toEqual({})
    })
  )

  it.scoped("ends the session that a closing PUT takes beyond it", () =>
    Effect.gen(function* () {
      const { memory, send } = yield* limited(limits)
      const location = yield* openUpload(send)
      const path = `${location}?digest=${sha256("hello!")}`
      expect(seen(yield* send("PUT", path, { body: "hello!" }))).toEqual(tooLarge)
      expect(yield* memory.uploads).toEqual([])
    })
  )

  it.scoped("takes what has just that size", () =>
    Effect.gen(function* () {
      const { send } = yield* limited(limits)
      expect((yield* single(send, "hello")).status).toBe(201)
      expect(seen(yield* single(send, "hello!"))).toEqual(tooLarge)
      const location = yield* openUpload(send)
      yield* send("PATCH", location, { body: streamed("wo", "rld") })
      expect((yield* send("PUT", `${location}?digest=${sha256("world")}`)).status).toBe(201)
    })
  )
})

it.scoped("a limit on manifests is a 413", () =>
  Effect.gen(function* () {
    const { send } = yield* limited(() => ({ manifestSize: 10 }))
    const headers = { "content-type": "application/vnd.example" }
    expect((yield* send("PUT", "/v2/a/manifests/v1", { body: "0123456789", headers })).status).toBe(
      201
    )
    expect(
      seen(yield* send("PUT", "/v2/a/manifests/v2", { body: "0123456789a", headers }))
    ).toEqual({ status: 413, code: "MANIFEST_INVALID" })
  })
)

describe("a limit on sessions", () => {
  it.scoped("refuses the next with 429 (R41)", () =>
    Effect.gen(function* () {
      const { send } = yield* limited(() => ({ uploads: 1 }))
      const location = yield* openUpload(send)
      const refused = yield* send("POST", "/v2/a/blobs/uploads/")
      expect([refused.status, refused.headers["retry-after"]]).toEqual([429, "60"])
      yield* send("DELETE", location)
      expect((yield* send("POST", "/v2/a/blobs/uploads/")).status).toBe(202)
    })
  )

  it.scoped("their lifetime can be said (R23)", () =>
    Effect.gen(function* () {
      const { memory, send } = yield* limited(() => ({ uploadLifetime: "10 seconds" }))
      yield* openUpload(send)
      yield* TestClock.adjust("9 seconds")
      expect(yield* memory.uploads).toHaveLength(1)
      yield* TestClock.adjust("11 seconds")
      expect(yield* memory.uploads).toHaveLength(0)
    })
  )
})

describe("a limit on all storage", () => {
  /** As many bytes as there are left of ten, those of open uploads included. */
  const tenBytes = (memory: MemoryRegistry.MemoryRegistry.Service) => ({
    space: Effect.gen(function* () {
      const stored = Object.values(yield* memory.snapshot)
        .flatMap(({ blobs }) => Object.values(blobs))
        .map(({ length }) => length)
      const open = (yield* memory.uploads).map(({ offset }) => offset)
      return [...stored, ...open].reduce((left, size) => left - size, 10)
    })
  })

  it.scoped("counts what is stored and what is open", () =>
    Effect.gen(function* () {
      const { memory, send } = yield* limited(tenBytes)
      yield* single(send, "hello")
      const location = yield* openUpload(send)
      yield* send("PATCH", location, { body: "wor" })
      expect(seen(yield* single(send, "b1!"))).toEqual(tooLarge)
      expect((yield* single(send, "b1")).status).toBe(201)
      for (const body of ["ld", streamed("l", "d")])
        expect(seen(yield* send("PATCH", location, { body }))).toEqual(
          typeof body === "string" ? tooLarge : { status: 404, code: "BLOB_UPLOAD_UNKNOWN" }
        )
      // The refusal has freed the session, and with it three bytes.
      expect(yield* memory.uploads).toEqual([])
      expect((yield* single(send, "abc")).status).toBe(201)
    })
  )

  it.scoped("reserves what a request has announced, and gives it back", () =>
    Effect.gen(function* () {
      const { memory, send } = yield* limited(tenBytes)
      const finish = yield* Deferred.make<void>()
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode("he")),
        pull: async (controller) => {
          await Effect.runPromise(Deferred.await(finish))
          controller.error(new Error("reset"))
        }
      })
      const slow = yield* Effect.fork(
        send("POST", `/v2/a/blobs/uploads/?digest=${sha256("x".repeat(8))}`, {
          body,
          headers: { "content-length": "8" }
        })
      )
      yield* Effect.repeat(
        Effect.zipRight(
          Effect.promise(() => new Promise((resolve) => setImmediate(resolve))),
          memory.uploads
        ),
        { until: ({ length }) => length === 1 }
      )
      expect(seen(yield* single(send, "b1!"))).toEqual(tooLarge)
      expect((yield* single(send, "b1")).status).toBe(201)
      yield* Deferred.succeed(finish, undefined)
      expect((yield* Fiber.join(slow)).status).toBe(400)
      expect((yield* single(send, "12345678")).status).toBe(201)
    })
  )
})
