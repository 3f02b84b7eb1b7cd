/**
 * Chunks of an upload are gathered in arrays that are used again: when, by whom, and that nobody
 * ever sees bytes in one that are not meant to be there.
 */
import * as Fs from "node:fs"
import type { IncomingMessage, ServerResponse } from "node:http"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import type * as HttpClient from "@effect/platform/HttpClient"
import { beforeEach, describe, expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import * as SentArrays from "../../src/client/http/SentArrays.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as BlobFile from "../../src/node/BlobFile.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as Transfer from "../../src/Transfer.js"
import { serve, until } from "../support/serve.js"

const MiB = 1024 * 1024
/** More than the buffers of a connection hold, so that what is not read is not sent. */
const chunkSize = 12 * MiB
const content = new Uint8Array(3 * chunkSize + 12_345)
for (let at = 0; at < content.length; at++) content[at] = (at * 31 + (at >> 13)) & 0xff
const digest = Digest.fromBytes(content)
const repository = Effect.runSync(Reference.parseRepositoryName("a"))

// -----------------------------------------------------------------------------
// Arrays that hold nonsense whenever they are nobody's
// -----------------------------------------------------------------------------

const taken: Array<ArrayBufferLike> = []

beforeEach(() => {
  taken.length = 0
  const { prototype } = SentArrays.SentArrays
  const take = prototype.take
  const giveBack = prototype.giveBack
  const poison = (buffer: ArrayBufferLike) => new Uint8Array(buffer).fill(0xdb)
  const spies = [
    vi.spyOn(prototype, "take").mockImplementation(function (this: SentArrays.SentArrays, length) {
      const array = take.call(this, length)
      taken.push(array.buffer)
      poison(array.buffer)
      return array
    }),
    vi.spyOn(prototype, "giveBack").mockImplementation(function (
      this: SentArrays.SentArrays,
      bytes
    ) {
      giveBack.call(this, bytes)
      const idle = Reflect.get(this, "idle") as ReadonlyArray<ArrayBuffer>
      for (const buffer of idle) poison(buffer)
    })
  ]
  return () => {
    for (const spy of spies) spy.mockRestore()
  }
})

const arrays = () => new Set(taken).size

// -----------------------------------------------------------------------------
// A registry that takes chunks
// -----------------------------------------------------------------------------

/** What a PATCH does instead of being stored; true if it was dealt with. */
type Deviation = (
  request: IncomingMessage,
  response: ServerResponse,
  store: (bytes: Uint8Array) => void
) => boolean

/** Stores what comes, in order and with pauses, unless the PATCH of a number deviates. */
const registryWith = (deviations: Readonly<Record<number, Deviation>> = {}) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const sessions: Array<Array<Uint8Array>> = []
    let patches = 0
    const { counted, url } = yield* serve((request, response) => {
      const location = request.url ?? ""
      const parts = sessions[Number(location.split("/").at(-1))] ?? []
      const size = () => parts.reduce((sum, { length }) => sum + length, 0)
      const state = () => ({ location, range: `0-${size() - 1}` })
      const store = (bytes: Uint8Array) => void parts.push(Uint8Array.from(bytes))
      const end = (status: number, headers = {}) =>
        void response.writeHead(status, { "content-length": 0, ...headers }).end()
      const at = request.headers["content-range"]
      log.push(`${request.method}${at === undefined ? "" : ` ${at}`}`)
      request.on("error", () => undefined)
      switch (request.method) {
        case "POST":
          return end(202, { location: `/u/${sessions.push([]) - 1}` })
        case "HEAD":
          return end(404)
        case "GET":
          return end(204, state())
        case "PATCH":
          if (deviations[++patches]?.(request, response, store)) return
          if (Number(at?.split("-")[0]) !== size()) return end(416, state())
          request.on("data", (bytes: Buffer) => {
            store(bytes)
            if (parts.length % 32 > 0) return
            request.pause()
            setTimeout(() => request.resume(), 1)
          })
          return void request.on("end", () => end(202, state()))
        default:
          return void request.resume().on("end", () => end(201))
      }
    })
    return { counted, log, url, stored: (n = 0) => ByteStream.concat(sessions[n] ?? []) }
  })

const client = <E>(url: string, http: Layer.Layer<HttpClient.HttpClient, E>, options = {}) =>
  Effect.flatMap(
    Layer.build(
      Layer.mergeAll(
        http,
        TokenCache.layerMemory,
        Credentials.layerBasic({
          host: new URL(url).host,
          username: "u",
          password: Redacted.make("p")
        })
      )
    ),
    (services) =>
      Effect.provide(
        RegistryClient.make({
          url,
          retry: { attempts: 3, base: "1 millis", maxDelay: "5 millis" },
          ...options
        }),
        services
      )
  )

// -----------------------------------------------------------------------------
// Sources
// -----------------------------------------------------------------------------

const file = Effect.acquireRelease(
  Effect.sync(() => {
    const path = Path.join(Fs.mkdtempSync(Path.join(tmpdir(), "chunks-")), "content")
    Fs.writeFileSync(path, content)
    return path
  }),
  (path) => Effect.sync(() => Fs.rmSync(Path.dirname(path), { recursive: true }))
)

/** Arrays of 100,000 bytes. */
const stream = (offset: number) =>
  Stream.range(0, Math.ceil((content.length - offset) / 100_000) - 1).pipe(
    Stream.map((n) =>
      content.subarray(offset + n * 100_000, Math.min(offset + (n + 1) * 100_000, content.length))
    )
  )

const sources = [
  ["a file", Effect.flatMap(file, BlobFile.source)],
  ["a stream", Effect.succeed(BlobSource.make(stream, { size: content.length }))],
  ["a stream of unknown size", Effect.succeed(BlobSource.make(stream))],
  ["a stream that is read once", Effect.succeed(BlobSource.fromStreamOnce(stream(0)))]
] as const

describe("an array", () => {
  const sent = (array: Uint8Array) => [...(SentArrays.body(array) as Iterable<unknown>)]
  const rows: ReadonlyArray<readonly [string, (array: Uint8Array) => unknown, boolean, number?]> = [
    ["that was sent", sent, true],
    ["that was sent two times", (array) => [sent(array), sent(array)], true],
    ["of which a large part was sent", (array) => sent(array.subarray(MiB - 9)), true],
    ["that nobody told of", () => undefined, false],
    ["that is being sent", SentArrays.body, false],
    [
      "that is being sent by the first of two requests",
      (array) => [SentArrays.body(array), sent(array)],
      false
    ],
    [
      "of which a part was sent that a connection may hold",
      (array) => SentArrays.body(array.subarray(9, 99)),
      false
    ],
    ["that a connection may hold", (array) => SentArrays.body(array), false, 1000]
  ]
  for (const [name, use, isUsedAgain, length = 2 * MiB] of rows)
    it(`${name} is ${isUsedAgain ? "" : "not "}used again`, () => {
      const arrays = new SentArrays.SentArrays(true)
      const array = arrays.take(length)
      use(array.subarray(0, length - 1))
      arrays.giveBack(array.subarray(0, 5))
      expect(arrays.take(length).buffer === array.buffer).toBe(isUsedAgain)
      expect(arrays.take(length).buffer).not.toBe(array.buffer)
    })
})

describe("the chunks of an upload", () => {
  it.scopedLive.each(sources)("are gathered in two arrays in turn: %s", ([, made]) =>
    Effect.gen(function* () {
      const { counted, stored, url } = yield* registryWith()
      const registry = yield* client(url, NodeHttp.layer())
      const source = yield* made
      expect(yield* registry.putBlob(repository, source, { chunkSize })).toMatchObject({
        digest,
        size: content.length
      })
      expect(Digest.fromBytes(stored())).toBe(digest)
      expect(arrays()).toBe(2)
      expect(counted.made).toBe(1)
    })
  )

  it.scopedLive("are in one array for each of several uploads at once", () =>
    Effect.gen(function* () {
      const { stored, url } = yield* registryWith()
      const registry = yield* client(url, NodeHttp.layer())
      const source = yield* Effect.flatMap(file, BlobFile.source)
      yield* Effect.forEach([0, 1, 2], () => registry.putBlob(repository, source, { chunkSize }), {
        concurrency: 3
      })
      for (const n of [0, 1, 2]) expect(Digest.fromBytes(stored(n))).toBe(digest)
      // The one that is first or last has a second one while it is alone.
      expect(arrays()).toBeLessThanOrEqual(5)
    })
  )

  it.scopedLive.each([
    ["another HTTP client", RegistryClient.layerFetch, {}],
    [
      "a client of the application's making",
      NodeHttp.layer(),
      { transformClient: (client: HttpClient.HttpClient) => client }
    ]
  ] as const)("have an array each with %s", ([, http, options]) =>
    Effect.gen(function* () {
      const { stored, url } = yield* registryWith()
      const registry = yield* client(url, http, options)
      const source = yield* Effect.flatMap(file, BlobFile.source)
      yield* registry.putBlob(repository, source, { chunkSize })
      expect(Digest.fromBytes(stored())).toBe(digest)
      expect(arrays()).toBe(4)
    })
  )

  it.scopedLive("are sent as they are while somebody observes the upload", () =>
    Effect.gen(function* () {
      const { stored, url } = yield* registryWith()
      const registry = yield* client(url, NodeHttp.layer())
      const source = yield* Effect.flatMap(file, BlobFile.source)
      let last = 0
      yield* registry.putBlob(repository, source, { chunkSize }).pipe(
        Transfer.observe((event) =>
          Effect.sync(() => {
            if (event._tag === "Bytes") last = event.offset
          })
        )
      )
      expect(Digest.fromBytes(stored())).toBe(digest)
      expect(last).toBe(content.length)
    })
  )
})

// -----------------------------------------------------------------------------
// What goes wrong
// -----------------------------------------------------------------------------

/** Reads some of the chunk, which `store` gets, and no more. */
const reading =
  (end: (response: ServerResponse) => void, isStored: boolean): Deviation =>
  (request, response, store) => {
    request.once("data", (bytes: Buffer) => {
      if (isStored) store(bytes)
      request.pause()
      end(response)
    })
    return true
  }

const answering =
  (status: number, headers: Readonly<Record<string, string>> = {}) =>
  (response: ServerResponse) =>
    void response.writeHead(status, { "content-length": 0, ...headers }).end()

describe("a chunk that is not taken as it should be", () => {
  const accepted = answering(202, { location: "/u/0" })
  const challenge = { "www-authenticate": 'Basic realm="r"' }
  const deviations: ReadonlyArray<readonly [string, Deviation, number]> = [
    ["asked for a login", reading(answering(401, challenge), false), 0],
    ["led elsewhere", reading(answering(307, { location: "/v/../u/0" }), false), 0],
    ["refused for the moment", reading(answering(503), false), 1],
    ["accepted before it was read", reading(accepted, false), 1],
    ["accepted before all of it was read", reading(accepted, true), 1],
    ["broken off", reading((response) => void response.destroy(), true), 1]
  ]
  for (const [name, deviation, questions] of deviations)
    it.scopedLive.each([sources[0], sources[3]])(`is sent again, ${name}: %s`, ([, made]) =>
      Effect.gen(function* () {
        const { log, stored, url } = yield* registryWith({ 2: deviation })
        const registry = yield* client(url, NodeHttp.layer())
        const source = yield* made
        yield* registry.putBlob(repository, source, { chunkSize })
        expect(Digest.fromBytes(stored()), log.join("\n")).toBe(digest)
        expect(log.filter((line) => line === "GET").length).toBe(questions)
        // What is still being sent when the next one is needed is not used again.
        expect(arrays()).toBeLessThanOrEqual(3)
      })
    )

  it.scopedLive("is let go by an upload that is interrupted, with its session", () =>
    Effect.gen(function* () {
      let isReached = false
      const { log, url } = yield* registryWith({
        2: (request) => {
          isReached = true
          setTimeout(() => request.resume(), 50)
          return false
        }
      })
      const registry = yield* client(url, NodeHttp.layer())
      const source = yield* Effect.flatMap(file, BlobFile.source)
      const upload = yield* Effect.fork(registry.putBlob(repository, source, { chunkSize }))
      yield* until(() => isReached)
      yield* Fiber.interrupt(upload)
      expect(log.at(-1)).toBe("DELETE")
      expect(log.filter((line) => line.startsWith("PATCH")).length).toBe(2)
    })
  )
})

describe("a file that is not what it was", () => {
  const wrong = Digest.fromBytes(new Uint8Array(1))
  const rows = [
    ["longer", (path: string) => Fs.appendFileSync(path, "more"), {}, "SizeMismatch"],
    ["shorter", (path: string) => Fs.truncateSync(path, chunkSize), {}, "SizeMismatch"],
    ["shorter by a part", (path: string) => Fs.truncateSync(path, 9), {}, "SizeMismatch"],
    ["something else", () => undefined, { digest: wrong }, "DigestMismatch"],
    ["gone", (path: string) => Fs.rmSync(path), {}, "StorageFailure"]
  ] as const
  it.scopedLive.each(rows)("fails, and its last chunk is not sent: %s", ([, change, known, _tag]) =>
    Effect.gen(function* () {
      const { log, url } = yield* registryWith()
      const registry = yield* client(url, NodeHttp.layer())
      const path = yield* file
      const source = yield* BlobFile.source(path)
      change(path)
      const put = registry.putBlob(repository, { ...source, ...known }, { chunkSize })
      expect(yield* Effect.flip(put)).toMatchObject({ _tag })
      expect(log.filter((line) => line.startsWith("PATCH")).length).toBeLessThan(4)
      expect(log).not.toContain("PUT")
    })
  )
})
