/**
 * Streams as bodies, over sockets: what is sent twice, what a registry answers before it has all,
 * and what stays behind at a real registry when a stream fails or nobody waits for it any more.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import type { PutBlobOptions, Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { askedClientOf } from "../support/fake/Client.js"
import { basic } from "../support/fake/Handler.js"
import { namedOrigin } from "../support/fake/Sockets.js"
import { utf8 } from "../support/fixtures.js"

class Boom extends Data.TaggedError("Boom") {}

const repository = Effect.runSync(Reference.parseRepositoryName("a"))

describe("a stream that is written to a session", () => {
  const world = Effect.fnUntraced(function* (first: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
  }) {
    const log: Array<string> = []
    let patches = 0
    const url = yield* namedOrigin("registry", log, ({ line }) => {
      if (line.startsWith("PATCH"))
        return ++patches === 1 ? first : { status: 202, headers: { location: "/u/2" } }
      // Who is there, it asks with the first chunk alone.
      return { status: line.startsWith("POST") ? 202 : 201, headers: { location: "/u/1" } }
    })
    const client = yield* askedClientOf(url)
    log.length = 0
    return { client, log }
  })

  const again = [
    ["after a challenge", { status: 401, headers: { "www-authenticate": 'Basic realm="r"' } }],
    ["after a redirect", { status: 307, headers: { location: "/u/elsewhere" } }]
  ] as const

  it.scoped.each(again)("is not sent again %s", ([, first]) =>
    Effect.gen(function* () {
      const { client, log } = yield* world(first)
      let runs = 0
      const stream = Stream.suspend(() =>
        ++runs === 1 ? Stream.make(utf8("hello, world")) : Stream.empty
      )
      const result = yield* Effect.either(
        Effect.scoped(
          Effect.flatMap(client.startUpload(repository), (session) =>
            Effect.zipRight(
              session.write(stream),
              session.commit(Digest.fromBytes(utf8("hello, world")))
            )
          )
        )
      )
      expect(result).toMatchObject({ left: { _tag: "BodyNotReplayable" } })
      expect(runs).toBe(1)
      // What breaks off has no content yet.
      expect(log).toEqual([
        "registry POST /v2/a/blobs/uploads/ -",
        "registry PATCH /u/1 - [12]",
        `registry DELETE /u/1 ${first.status === 401 ? basic : "-"}`
      ])
    })
  )

  it.scoped.each(again)("is sent again %s as an array", ([, first]) =>
    Effect.gen(function* () {
      const { client, log } = yield* world(first)
      yield* Effect.flatMap(client.startUpload(repository), (session) =>
        session.write(utf8("hello, world"))
      )
      expect(log.filter((line) => line.includes("[12]"))).toHaveLength(2)
    })
  )
})

// -----------------------------------------------------------------------------
// Answers that come early
// -----------------------------------------------------------------------------

const mebibyte = 1024 * 1024
const large = 12 * mebibyte
const content = new Uint8Array(large).map((_, at) => (at * 31 + (at >> 13)) & 0xff)
const digest = Digest.fromBytes(content)

/** Arrays of so many bytes, so many of them to a chunk of the stream. */
const arrays = (size: number, perChunk: number, from = 0): Stream.Stream<Uint8Array> => {
  const all: Array<Uint8Array> = []
  for (let at = from; at < large; at += size) all.push(content.subarray(at, at + size))
  const chunks: Array<Chunk.Chunk<Uint8Array>> = []
  for (let at = 0; at < all.length; at += perChunk)
    chunks.push(Chunk.unsafeFromArray(all.slice(at, at + perChunk)))
  return Stream.fromChunks(...chunks)
}

/** Answers the first PATCH when it has so many bytes, stores only these, and reads no more. */
const hasty = (enough: number) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    let stored = Buffer.alloc(0)
    let patches = 0
    const respond = (request: IncomingMessage, response: ServerResponse) => {
      const state = { location: "/u/1", range: `0-${stored.length - 1}` }
      const at = request.headers["content-range"]
      log.push(`${request.method}${at === undefined ? "" : ` ${at}`}`)
      if (request.method === "PATCH") {
        const isFirst = ++patches === 1
        const parts: Array<Buffer> = []
        let count = 0
        const done = () => {
          stored = Buffer.concat([stored, ...parts])
          // Says nothing of how much it has.
          response.writeHead(202, { location: "/u/1" }).end()
        }
        request.on("data", (part: Buffer) => {
          parts.push(part)
          count += part.length
          if (isFirst && count >= enough) {
            request.pause()
            request.removeAllListeners("data")
            request.removeAllListeners("end")
            done()
          }
        })
        request.on("end", done)
        request.on("error", () => undefined)
      } else if (request.method === "GET") response.writeHead(204, state).end()
      else if (request.method === "HEAD") response.writeHead(404).end()
      else if (request.method === "POST") response.writeHead(202, { location: "/u/1" }).end()
      else response.writeHead(201).end()
    }
    const server = yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>>((resume) => {
        const made = createServer(respond)
        made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
      }),
      (made) =>
        Effect.async<void>((resume) => {
          made.close(() => resume(Effect.void))
          made.closeAllConnections()
        })
    )
    const address = server.address()
    const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`
    return { log, url, stored: () => stored }
  })

const anonymous = (url: string) =>
  Effect.flatMap(
    Layer.build(
      Layer.mergeAll(NodeHttp.layer(), TokenCache.layerMemory, Credentials.layerAnonymous)
    ),
    (services) =>
      Effect.provide(
        RegistryClient.make({
          url,
          retry: { attempts: 3, base: "1 millis", maxDelay: "5 millis" }
        }),
        services
      )
  )

describe("a chunk that is answered before it has arrived", () => {
  it.scopedLive.each([
    ["one chunk of the stream with all its arrays", 64 * 1024, 1000],
    ["a few chunks of many arrays", 64 * 1024, 64],
    ["arrays one by one", 64 * 1024, 1],
    ["two large arrays", large / 2, 1],
    ["two large arrays in one chunk", large / 2, 2]
  ] as const)("is not stored as a whole: %s", ([, size, perChunk]) =>
    Effect.gen(function* () {
      for (const known of [{ size: large }, {}]) {
        const { log, stored, url } = yield* hasty(100_000)
        const registry = yield* anonymous(url)
        const source = BlobSource.make((offset) => arrays(size, perChunk, offset), known)
        expect(yield* registry.putBlob(repository, source)).toMatchObject({ digest, size: large })
        expect(Digest.fromBytes(stored()), log.join("\n")).toBe(digest)
        expect(log.slice(0, 3).map((line) => line.split(" ")[0])).toEqual(["POST", "PATCH", "GET"])
      }
    })
  )

  it.scopedLive("is asked about where a session is written to by hand", () =>
    Effect.gen(function* () {
      const { url } = yield* hasty(100_000)
      const registry = yield* anonymous(url)
      const session = yield* registry.startUpload(repository)
      expect(yield* Effect.flip(session.write(arrays(64 * 1024, 1000)))).toMatchObject({
        _tag: "TransportFailure"
      })
      const { offset } = yield* session.status
      expect(offset).toBeLessThan(large)
    })
  )
})

// -----------------------------------------------------------------------------
// What stays behind
// -----------------------------------------------------------------------------

describeDebian("a session at Docker's registry", () => {
  const piece = new Uint8Array(256 * 1024).fill(7)
  const size = 40 * piece.length

  /** So many pieces, and then something else. */
  const then = <E>(pieces: number, rest: Stream.Stream<Uint8Array, E>) =>
    Stream.concat(Stream.rechunk(Stream.repeatValue(piece).pipe(Stream.take(pieces)), 1), rest)

  const logged = (lines: Array<string>) =>
    Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ logLevel, message }) => void lines.push(`${logLevel.label} ${message}`))
    )

  const forms: ReadonlyArray<readonly [string, BlobSource.Known, PutBlobOptions]> = [
    ["of unknown size", {}, {}],
    ["of known size", { size }, {}],
    ["in chunks of known size", { size }, { chunkSize: 8 * piece.length }],
    ["in chunks from memory", {}, { chunkSize: 8 * piece.length }]
  ]

  const put =
    (registry: Registry.Service, [, known, options]: (typeof forms)[number]) =>
    <E>(stream: Stream.Stream<Uint8Array, E>) =>
      registry.putBlob(repository, BlobSource.fromStreamOnce(stream, known), options)

  it.scopedLive.each(forms)("is gone when the source fails: %s", (form) =>
    Effect.gen(function* () {
      const { uploads, url } = yield* DebianRegistry
      const registry = yield* anonymous(url)
      for (const pieces of [0, 1, 20, 39]) {
        const error = yield* Effect.flip(put(registry, form)(then(pieces, Stream.fail(new Boom()))))
        expect(error).toEqual(new Boom())
        expect(yield* uploads("a")).toEqual([])
      }
    }).pipe(Effect.provide(layerDebianRegistry))
  )

  it.scopedLive.each(forms)("is gone when the upload is interrupted: %s", (form) =>
    Effect.gen(function* () {
      const { uploads, url } = yield* DebianRegistry
      const registry = yield* anonymous(url)
      for (const pieces of [0, 1, 20, 39]) {
        for (const rest of [
          Stream.never,
          Stream.repeatEffect(Effect.as(Effect.sleep("5 millis"), piece))
        ]) {
          const reached = yield* Deferred.make<void>()
          const marked = Stream.unwrap(Effect.as(Deferred.succeed(reached, undefined), rest))
          const fiber = yield* Effect.fork(put(registry, form)(then(pieces, marked)))
          yield* Deferred.await(reached)
          expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
          expect(yield* uploads("a")).toEqual([])
        }
      }
    }).pipe(Effect.provide(layerDebianRegistry))
  )

  it.scopedLive("is gone when a stream that is written to it fails", () =>
    Effect.gen(function* () {
      const { uploads, url } = yield* DebianRegistry
      const registry = yield* anonymous(url)
      const error = yield* Effect.flip(
        Effect.scoped(
          Effect.flatMap(registry.startUpload(repository), (session) =>
            session.write(then(20, Stream.fail(new Boom())))
          )
        )
      )
      expect(error).toEqual(new Boom())
      expect(yield* uploads("a")).toEqual([])
    }).pipe(Effect.provide(layerDebianRegistry))
  )

  it.scopedLive("goes on after a stream that failed, from where the stream was", () =>
    Effect.gen(function* () {
      const { url } = yield* DebianRegistry
      const registry = yield* anonymous(url)
      const session = yield* registry.startUpload(repository)
      yield* Effect.flip(session.write(then(2, Stream.fail(new Boom()))))
      const { offset } = yield* session.status
      expect(offset).toBe(2 * piece.length)
      yield* session.write(piece)
      const whole = new Uint8Array(3 * piece.length).fill(7)
      expect(yield* session.commit(Digest.fromBytes(whole))).toMatchObject({ size: whole.length })
    }).pipe(Effect.provide(layerDebianRegistry))
  )

  it.scopedLive("that is left behind by a PUT that broke off is warned of", () =>
    Effect.gen(function* () {
      const { uploads, url } = yield* DebianRegistry
      const registry = yield* anonymous(url)
      const lines: Array<string> = []
      const known = { size, digest: Digest.fromBytes(piece) }
      const source = BlobSource.fromStreamOnce(then(20, Stream.fail(new Boom())), known)
      const error = yield* Effect.flip(registry.putBlob(repository, source)).pipe(
        Effect.provide(logged(lines))
      )
      expect(error).toEqual(new Boom())
      expect(yield* uploads("a")).toHaveLength(1)
      expect(lines.filter((line) => line.startsWith("WARN"))).toEqual([
        expect.stringContaining(`An upload to a at ${url} was broken off`)
      ])
    }).pipe(Effect.provide(layerDebianRegistry))
  )
})
