import { createHash, randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import type { ServerResponse } from "node:http"
import { Socket } from "node:net"
import * as Path from "node:path"
import { Readable } from "node:stream"
import { TLSSocket } from "node:tls"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { afterEach, beforeEach, describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { vi } from "vitest"
import * as Credentials from "../../src/auth/Credentials.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import * as BorrowedStream from "../../src/internal/BorrowedStream.js"
import * as BlobFile from "../../src/node/BlobFile.js"
import { BufferPool, release } from "../../src/node/internal/BufferPool.js"
import { Reading } from "../../src/node/internal/PooledSocket.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registry, verifyBlob } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import { freshRepository } from "../support/fixtures.js"
import { liveOverHttps as live } from "../support/https.js"
import { folder } from "../support/machine.js"
import { serve, until } from "../support/serve.js"
import { wireServer } from "../support/wireServer.js"

const MiB = 1_048_576

/** How many buffers went back to the pools. */
const seen = { returned: 0 }

/** Whoever reads memory that went back to a pool sees at once that it did. */
beforeEach(() => {
  seen.returned = 0
  const { put } = BufferPool.prototype
  vi.spyOn(BufferPool.prototype, "put").mockImplementation(function (this: BufferPool, bytes) {
    seen.returned++
    bytes.fill(0xdd)
    put.call(this, bytes)
  })
})

afterEach(() => {
  vi.restoreAllMocks()
})

const sha256 = (...parts: ReadonlyArray<Uint8Array>) => {
  const hash = createHash("sha256")
  for (const part of parts) hash.update(part)
  return hash.digest("hex")
}

// -----------------------------------------------------------------------------
// Responses
// -----------------------------------------------------------------------------

/** How many bytes the sockets of clients of a port have passed on. */
const passedOn = (url: string) => {
  const { push } = Socket.prototype
  const port = Number(new URL(url).port)
  const passed = { bytes: 0 }
  vi.spyOn(Socket.prototype, "push").mockImplementation(function (this: Socket, part, encoding) {
    if (this.remotePort === port) passed.bytes += part?.length ?? 0
    return push.call(this, part, encoding)
  })
  return passed
}

describe.each([
  ["http", false],
  ["https", true]
])("over %s", (_, secure) => {
  const responses = {
    "of known length":
      "HTTP/1.1 200 OK\r\nx-name: some value\r\ncontent-length: 11\r\n\r\nhello world",
    "in chunks":
      "HTTP/1.1 200 OK\r\nx-name: some value\r\ntransfer-encoding: chunked\r\n\r\n" +
      "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-trailer: t\r\n\r\n"
  }
  for (const [form, response] of Object.entries(responses)) {
    live(`a response ${form} may come in two parts, wherever it is split`, () =>
      Effect.gen(function* () {
        let next: () => void = () => undefined
        let end: () => void = () => undefined
        const { log, url } = yield* wireServer(
          ({ line, socket }) => {
            const at = Number(line.split("/")[1])
            socket.write(response.slice(0, at))
            end = () => socket.write(response.slice(at))
            next()
          },
          { secure }
        )
        const passed = passedOn(url)
        for (let at = 1; at < response.length; at++) {
          passed.bytes = 0
          const isAsked = new Promise<void>((resolve) => {
            next = resolve
          })
          const body = yield* Effect.fork(
            Effect.flatMap(HttpClient.get(`${url}/${at}`), (received) => {
              expect(received.headers["x-name"]).toBe("some value")
              return Stream.runCollect(received.stream)
            })
          )
          yield* Effect.promise(() => isAsked)
          yield* until(() => passed.bytes === at)
          end()
          const arrays = Chunk.toReadonlyArray(yield* Fiber.join(body))
          expect(Buffer.concat(arrays).toString()).toBe("hello world")
        }
        expect(log.at(-1)).toBe(`1 GET /${response.length - 1}`)
      })
    )
  }

  live("a connection that is reset at any byte fails its request and nothing else", () =>
    Effect.gen(function* () {
      const body = randomBytes(300_000)
      const head = Buffer.from("HTTP/1.1 200 OK\r\ncontent-length: 400000\r\n\r\n")
      const response = Buffer.concat([head, body])
      const { url } = yield* wireServer(
        ({ line, socket }) => {
          const at = Number(line.split("/")[1])
          socket.write(response.subarray(0, at))
          setImmediate(() =>
            socket instanceof TLSSocket ? socket.destroy() : socket.resetAndDestroy()
          )
        },
        { secure }
      )
      for (let n = 0; n < 100; n++) {
        const at = 1 + ((n * 7919) % (response.length - 1))
        const exit = yield* Effect.exit(
          Effect.flatMap(HttpClient.get(`${url}/${at}`), ({ stream }) => Stream.runDrain(stream))
        )
        expect(exit._tag).toBe("Failure")
      }
    })
  )

  live("whoever takes a part at a time gets all in order", () =>
    Effect.gen(function* () {
      const body = randomBytes(16 * MiB)
      const { url } = yield* wireServer(
        ({ socket }) => {
          socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
          for (let at = 0, size = 1; at < body.length; at += size, size = (size * 7) % 99_991) {
            const part = body.subarray(at, at + size)
            socket.write(`${part.length.toString(16)}\r\n`)
            socket.write(part)
            socket.write("\r\n")
          }
          socket.write("0\r\n\r\n")
        },
        { secure }
      )
      const hash = createHash("sha256")
      const response = yield* HttpClient.get(url)
      yield* Stream.runForEach(response.stream, (bytes) =>
        Effect.promise(
          () =>
            new Promise<void>((resolve) =>
              setImmediate(() => {
                hash.update(bytes)
                resolve()
              })
            )
        )
      )
      expect(hash.digest("hex")).toBe(sha256(body))
      expect(seen.returned).toBeGreaterThan(0)
    })
  )
})

live("a connection resumes the TLS session of another", () =>
  Effect.gen(function* () {
    const reused = new Map<number, boolean>()
    const waiting: Array<Socket> = []
    const { url } = yield* wireServer(
      ({ connection, line, socket }) => {
        if (socket instanceof TLSSocket) reused.set(connection, socket.isSessionReused())
        waiting.push(socket)
        // The second connection is made because the first one waits.
        if (line === "GET /1" || waiting.length === 2)
          for (const each of waiting.splice(0))
            each.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
      },
      { secure: true }
    )
    yield* HttpClient.get(`${url}/1`)
    yield* Effect.all([HttpClient.get(`${url}/2`), HttpClient.get(`${url}/3`)], { concurrency: 2 })
    expect([...reused.values()]).toEqual([false, true])
  })
)

describe("what a socket offers", () => {
  /** The sizes that are offered when each read finds so many bytes. */
  const offered = (isSecure: boolean, reads: ReadonlyArray<number>) => {
    const reading = new Reading(new BufferPool(), isSecure)
    return [0, ...reads].map((count) => {
      if (count > 0) reading.callback(count, reading.buffer())
      return reading.buffer().length
    })
  }
  const KiB = 1024

  it("grows while reads fill it, and is the least after one that did not", () => {
    expect(
      offered(
        false,
        [64, 256, 1024, 1024, 1000].map((size) => size * KiB)
      )
    ).toEqual([64, 256, 1024, 1024, 1024, 64].map((size) => size * KiB))
  })

  it("is the rest of the least buffer while reads do not fill it", () => {
    expect(offered(false, [10 * KiB, 50 * KiB, KiB])).toEqual([
      64 * KiB,
      54 * KiB,
      4 * KiB,
      64 * KiB
    ])
  })

  it("grows over TLS while records are full", () => {
    const record = 16 * KiB
    const sizes = offered(
      true,
      Array.from({ length: 4 + 16 + 64 }, () => record)
    )
    expect([sizes[0], sizes[4], sizes[20], sizes[84]]).toEqual([64 * KiB, 256 * KiB, MiB, MiB])
    expect(offered(true, [record, record, record, record, 100])).toEqual(
      [64, 48, 32, 16, 256, 64].map((size) => size * KiB)
    )
  })

  it("is never memory that was read into", () => {
    const reading = new Reading(new BufferPool(), false)
    const ends = new Map<ArrayBufferLike, number>()
    for (let n = 0; n < 10_000; n++) {
      const { buffer, byteOffset, length } = reading.buffer()
      expect(byteOffset).toBeGreaterThanOrEqual(ends.get(buffer) ?? 0)
      const count = 1 + ((n * 7919) % length)
      ends.set(buffer, byteOffset + count)
      reading.callback(count, reading.buffer())
    }
  })
})

// -----------------------------------------------------------------------------
// Blobs
// -----------------------------------------------------------------------------

const blob = randomBytes(12 * MiB)
const digest = Digest.fromBytes(blob)

/**
 * A registry with one blob, which sends its length or chunks. The first `faults` responses break
 * off.
 */
const registryOf = (form: "length" | "chunks", faults = 0) =>
  Effect.gen(function* () {
    let left = faults
    const { url } = yield* serve((request, response) => {
      const [, from = "0"] = /^bytes=(\d+)-/.exec(request.headers.range ?? "") ?? []
      const start = Number(from)
      const body = blob.subarray(start)
      response.writeHead(start > 0 ? 206 : 200, {
        ...(form === "length" && { "content-length": body.length }),
        ...(start > 0 && {
          "content-range": `bytes ${start}-${blob.length - 1}/${blob.length}`
        })
      })
      if (left-- > 0) breakOff(response, body)
      else response.end(body)
    })
    return yield* clientAt(url)
  })

const breakOff = (response: ServerResponse, body: Uint8Array) =>
  response.write(body.subarray(0, body.length / 3), () => setTimeout(() => response.destroy(), 20))

const clientAt = (url: string, options: Partial<NodeRegistry.Options> = {}) =>
  Effect.flatMap(
    Layer.build(
      NodeRegistry.layer({ url, ...options }).pipe(Layer.provide(Credentials.layerAnonymous))
    ),
    (context) => Effect.provide(Registry, context)
  )

/**
 * A registry that stores one blob, slowly, in pieces of half a mebibyte. The first `cuts` of its
 * requests with more are cut off in the middle.
 */
const target = (cuts: number) =>
  Effect.gen(function* () {
    let stored: ReadonlyArray<Uint8Array> = []
    let left = cuts
    let isCompleted = false
    const size = () => stored.reduce((sum, { length }) => sum + length, 0)
    const { url } = yield* serve((request, response) => {
      const state = { location: "/u/1", range: `0-${size() - 1}`, "content-length": 0 }
      const end = (status: number) => void response.writeHead(status, state).end()
      if (request.method === "HEAD") return end(404)
      if (request.method === "POST") return end(202)
      if (request.method === "GET") return end(204)
      const before = size()
      request.on("error", () => undefined)
      request.on("data", (bytes: Buffer) => {
        stored = [...stored, Uint8Array.from(bytes)]
        if (left > 0 && size() - before > 2 * MiB) {
          left--
          // A stream is appended, or it is not.
          if (request.headers["content-range"] === undefined) stored = []
          return void request.socket.destroy()
        }
        if (stored.length % 8 > 0) return
        request.pause()
        setTimeout(() => request.resume(), 1)
      })
      request.on("end", () => {
        isCompleted ||= request.method === "PUT"
        response
          .writeHead(request.method === "PUT" ? 201 : 202, {
            ...state,
            range: `0-${size() - 1}`
          })
          .end()
      })
    })
    return { url, stored: () => ByteStream.concat(stored), completed: () => isCompleted }
  })

const getBlob = (form: "length" | "chunks", faults?: number) =>
  Effect.gen(function* () {
    const registry = yield* registryOf(form, faults)
    const repository = yield* freshRepository
    return { registry, repository, stream: registry.getBlob(repository, digest) }
  })

const slowly = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  Stream.mapEffect(stream, (bytes) => Effect.as(Effect.sleep("1 millis"), bytes))

const collected = <E>(stream: Stream.Stream<Uint8Array, E>) =>
  Effect.map(Stream.runCollect(stream), (arrays) => sha256(...arrays))

const consumers = {
  runCollect: collected,
  "buffer(16)": (stream) => collected(slowly(Stream.buffer(stream, { capacity: 16 }))),
  grouped: (stream) =>
    Effect.map(Stream.runCollect(Stream.grouped(stream, 5)), (groups) =>
      sha256(...Chunk.toReadonlyArray(groups).flatMap((group) => [...group]))
    ),
  broadcast: (stream) =>
    Effect.scoped(
      Effect.flatMap(Stream.broadcast(stream, 2, 4), ([one, two]) =>
        Effect.map(
          Effect.all([collected(one), collected(slowly(two))], { concurrency: 2 }),
          ([first, second]) => (first === second ? first : "different")
        )
      )
    ),
  toReadableStream: (stream) =>
    Effect.flatMap(Stream.toReadableStreamEffect(stream), (readable) =>
      Effect.promise(async () => {
        const parts: Array<Uint8Array> = []
        for await (const part of Readable.fromWeb(readable as never)) parts.push(part)
        return sha256(...parts)
      })
    )
} satisfies Record<
  string,
  (stream: Stream.Stream<Uint8Array, Registry.GetBlobError>) => Effect.Effect<string, unknown>
>

describe.each(["length", "chunks"] as const)("a blob that comes with its %s", (form) => {
  for (const [name, consumer] of Object.entries(consumers)) {
    it.scopedLive(`is the consumer's for good: ${name}`, () =>
      Effect.gen(function* () {
        const { stream } = yield* getBlob(form, 1)
        expect(`sha256:${yield* consumer(stream)}`).toBe(digest)
        expect(seen.returned).toBeGreaterThan(0)
      })
    )
  }

  it.scopedLive("goes to a file, whose writes give the memory back", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* getBlob(form, 1)
      const path = Path.join(yield* folder(), "blob")
      yield* BlobFile.download(registry, repository, digest, path)
      expect(Digest.fromBytes(yield* Effect.promise(() => Fs.readFile(path)))).toBe(digest)
      expect(seen.returned).toBeGreaterThan(0)
    })
  )

  it.scopedLive("is verified and kept nowhere, which gives the memory back", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* getBlob(form, 1)
      yield* verifyBlob(registry, repository, digest)
      expect(seen.returned).toBeGreaterThan(4)
      const other = { mediaType: "application/octet-stream", digest, size: 7 }
      const error = yield* Effect.flip(verifyBlob(registry, repository, other))
      expect(error._tag).toBe("SizeMismatch")
    })
  )

  it.scopedLive.each([
    ["in one stream", {}, 0, 0],
    ["in chunks", { chunkSize: 3 * MiB }, 0, 0],
    ["after the upload broke off", {}, 1, 0],
    ["after both broke off", { chunkSize: 5 * MiB }, 2, 1]
  ] as const)(
    "goes into another registry, whose connection gives the memory back: %s",
    ([, options, cuts, faults]) =>
      Effect.gen(function* () {
        const { registry, repository } = yield* getBlob(form, faults)
        const descriptor = { mediaType: "application/octet-stream", digest, size: blob.length }
        const source = BlobSource.fromRegistry(registry, repository, descriptor)
        const to = yield* target(cuts)
        yield* (yield* clientAt(to.url)).putBlob(repository, source, options)
        expect(Digest.fromBytes(to.stored())).toBe(digest)
        expect(seen.returned).toBeGreaterThan(3)
      })
  )

  it.scopedLive.each([
    ["in one stream", {}],
    ["in chunks", { chunkSize: 5 * MiB }]
  ] as const)("goes nowhere when it is another blob: %s", ([, options]) =>
    Effect.gen(function* () {
      const { registry, repository } = yield* getBlob(form)
      const other = Digest.fromBytes(new Uint8Array())
      const descriptor = { mediaType: "x/y", digest: other, size: blob.length }
      const to = yield* target(0)
      const source = BlobSource.fromRegistry(registry, repository, descriptor)
      const error = yield* Effect.flip(
        (yield* clientAt(to.url)).putBlob(repository, source, options)
      )
      expect(error).toMatchObject({ _tag: "DigestMismatch", expected: other, actual: digest })
      expect(to.completed()).toBe(false)
    })
  )

  it.scopedLive("is right in another registry when the application keeps what is sent", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* getBlob(form)
      const descriptor = { mediaType: "application/octet-stream", digest, size: blob.length }
      const kept: Array<Uint8Array> = []
      const to = yield* target(0)
      const client = yield* clientAt(to.url, {
        transformClient: HttpClient.mapRequest((request) =>
          request.body._tag === "Stream" && request.method === "PUT"
            ? HttpClientRequest.bodyStream(
                request,
                ByteStream.tap(request.body.stream, (bytes) => kept.push(bytes)),
                request.body
              )
            : request
        )
      })
      yield* client.putBlob(repository, BlobSource.fromRegistry(registry, repository, descriptor))
      expect(Digest.fromBytes(to.stored())).toBe(digest)
      expect(`sha256:${sha256(...kept)}`).toBe(digest)
    })
  )

  it.scopedLive("is right in a file that was interrupted, and continued", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* getBlob(form)
      const root = yield* folder()
      const path = Path.join(root, "blob")
      const download = BlobFile.download(registry, repository, digest, path)
      const fiber = yield* Effect.fork(download)
      yield* until(() => seen.returned > 2)
      yield* Fiber.interrupt(fiber)
      yield* download
      expect(Digest.fromBytes(yield* Effect.promise(() => Fs.readFile(path)))).toBe(digest)
    })
  )

  it.scopedLive("is right in a file when somebody keeps arrays on the way to it", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* getBlob(form)
      const path = Path.join(yield* folder(), "blob")
      const kept: Array<Uint8Array> = []
      const keeping = {
        ...registry,
        getBlob: (...args: Parameters<typeof registry.getBlob>) =>
          Stream.tap(slowly(registry.getBlob(...args)), (bytes) =>
            Effect.sync(() => void kept.push(bytes))
          )
      }
      yield* BlobFile.download(keeping, repository, digest, path)
      expect(`sha256:${sha256(...kept)}`).toBe(digest)
      expect(Digest.fromBytes(yield* Effect.promise(() => Fs.readFile(path)))).toBe(digest)
    })
  )

  it.scopedLive("that is borrowed and not given back is in memory that nobody reuses", () =>
    Effect.gen(function* () {
      const { stream } = yield* getBlob(form)
      const arrays = yield* Stream.runCollect(BorrowedStream.of(stream))
      expect(`sha256:${sha256(...arrays)}`).toBe(digest)
      expect(seen.returned).toBe(0)
      for (const bytes of arrays) release(bytes)
      expect(seen.returned).toBeGreaterThan(0)
    })
  )
})
