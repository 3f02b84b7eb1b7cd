/** What a client sees of a refusal that comes while it is still sending. */
import * as Net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { Registry } from "../../src/Registry.js"
import { Denied, RegistryFailure } from "../../src/RegistryError.js"
import type * as RegistryServer from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshRepository, generated, turn, utf8 } from "../support/fixtures.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const MiB = 1024 * 1024

/** A registry that takes a mebibyte of each upload, and then fails with this. */
const limited = (failure: Denied | RegistryFailure) =>
  Layer.effect(
    Registry,
    Effect.map(MemoryRegistry.make(), (registry): Registry.Service => {
      const bounded = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) =>
        Stream.suspend(() => {
          let size = 0
          return Stream.mapEffect(bytes, (chunk) => {
            size += chunk.length
            return size > MiB ? Effect.fail(failure) : Effect.succeed(chunk)
          })
        })
      return {
        ...registry,
        putBlob: (name, source, options) =>
          registry.putBlob(
            name,
            { ...source, open: (offset) => bounded(source.open(offset)) },
            options
          ),
        resumeUpload: (state) =>
          Effect.map(registry.resumeUpload(state), (session) => ({
            ...session,
            write: (bytes) =>
              session.write(bounded(bytes instanceof Uint8Array ? Stream.make(bytes) : bytes))
          }))
      }
    })
  )

const request = { method: "PUT", url: "https://behind.example/v2/a/blobs/uploads/1" }
const denied = new Denied({ ...request, status: 403 })
const tooLarge = new RegistryFailure({ ...request, status: 413 })

const served = (failure: Denied | RegistryFailure, options?: RegistryServer.Options) =>
  layerSocketServer(options).pipe(Layer.provide(limited(failure)))

/** A connection to the server, and everything that came of it. */
const connect = Effect.gen(function* () {
  const url = yield* ServerUrl
  const seen = { text: "", ended: false, closed: false, error: undefined as string | undefined }
  const socket = yield* Effect.acquireRelease(
    Effect.sync(() => Net.connect(Number(new URL(url).port), "127.0.0.1")),
    (socket) => Effect.sync(() => socket.destroy())
  )
  socket.setEncoding("latin1")
  socket.on("data", (text) => {
    seen.text += text
  })
  socket.on("end", () => {
    seen.ended = true
  })
  socket.on("error", ({ message }) => {
    seen.error = message
  })
  socket.on("close", () => {
    seen.closed = true
  })
  const write = (bytes: Uint8Array | string) =>
    Effect.async<boolean>((resume) => {
      socket.write(bytes, (error) => resume(Effect.succeed(error == null)))
    })
  return { seen, write, socket }
})

const until = (holds: () => boolean) => Effect.repeat(turn, { until: holds })

const block = new Uint8Array(MiB)

const head = (line: string, ...headers: ReadonlyArray<string>) =>
  [`${line} HTTP/1.1`, "Host: a", ...headers, "", ""].join("\r\n")

const announced = `sha256:${"0".repeat(64)}`

const openUpload = Effect.gen(function* () {
  const { seen, write } = yield* connect
  yield* write(head("POST /v2/a/blobs/uploads/", "Content-Length: 0"))
  yield* until(() => seen.text.includes("\r\n\r\n"))
  return /^location: (.*)$/m.exec(seen.text)?.[1] ?? ""
})

const errorOf = (text: string): readonly [number, string, string | undefined] => {
  const [head = "", body = ""] = text.split("\r\n\r\n")
  return [
    Number(head.split(" ")[1]),
    JSON.parse(body).errors[0].code,
    /^connection: (.*)$/im.exec(head)?.[1]
  ]
}

const live = <A, E>(
  name: string,
  layer: Layer.Layer<ServerUrl, E>,
  test: () => Effect.Effect<A, E, ServerUrl | Scope.Scope>
) => it.effect(name, () => test().pipe(Effect.scoped, Effect.provide(layer)))

describe.each([
  ["a limit of its own (403)", denied, [403, "DENIED", "close"]],
  ["a limit of the registry behind (413)", tooLarge, [413, "SIZE_INVALID", "close"]]
] as const)(
  "%s is read by a client that sends the whole before it reads",
  (_, failure, expected) => {
    live("single POST", served(failure), () =>
      Effect.gen(function* () {
        const { seen, socket, write } = yield* connect
        socket.pause()
        yield* write(
          head(`POST /v2/a/blobs/uploads/?digest=${announced}`, `Content-Length: ${32 * MiB}`)
        )
        yield* Effect.repeatN(write(block), 31)
        socket.resume()
        yield* until(() => seen.closed)
        expect(errorOf(seen.text)).toEqual(expected)
        expect([seen.ended, seen.error]).toEqual([true, undefined])
      })
    )

    live("PATCH with a length, and without one", served(failure), () =>
      Effect.gen(function* () {
        for (const length of [`Content-Length: ${32 * MiB}`, "Transfer-Encoding: chunked"]) {
          const location = yield* openUpload
          const { seen, socket, write } = yield* connect
          const chunked = length.startsWith("Transfer")
          socket.pause()
          yield* write(head(`PATCH ${location}`, length))
          for (let i = 0; i < 32; i++) {
            if (chunked) yield* write("100000\r\n")
            yield* write(block)
            if (chunked) yield* write("\r\n")
          }
          if (chunked) yield* write("0\r\n\r\n")
          socket.resume()
          yield* until(() => seen.closed)
          expect(errorOf(seen.text)).toEqual(expected)
          expect([seen.ended, seen.error]).toEqual([true, undefined])
        }
      })
    )
  }
)

live("a refusal before the body is read is too", served(denied), () =>
  Effect.gen(function* () {
    for (const [line, status] of [
      ["PATCH /v2/a/blobs/uploads/unknown", 404],
      ["PUT /v2/a/manifests/-x", 400],
      ["PUT /v2/a/manifests/v1", 413],
      ["POST /v2/a/tags/list", 405]
    ] as const) {
      const { seen, socket, write } = yield* connect
      socket.pause()
      yield* write(head(line, `Content-Length: ${16 * MiB}`))
      yield* Effect.repeatN(write(block), 15)
      socket.resume()
      yield* until(() => seen.closed)
      expect([line, errorOf(seen.text)[0], errorOf(seen.text)[2]]).toEqual([line, status, "close"])
      expect([seen.ended, seen.error]).toEqual([true, undefined])
    }
  })
)

live("the refusal goes out before the rest has come", served(denied), () =>
  Effect.gen(function* () {
    const { seen, write } = yield* connect
    yield* write(head(`POST /v2/a/blobs/uploads/?digest=${announced}`, "Content-Length: 99999999"))
    yield* write(block)
    yield* write(block)
    yield* until(() => seen.text.includes("}]}"))
    expect(errorOf(seen.text)).toEqual([403, "DENIED", "close"])
    expect(seen.closed).toBe(false)
  })
)

live("a client that then says no more is left after ten seconds", served(denied), () =>
  Effect.gen(function* () {
    const { seen, write } = yield* connect
    yield* write(head(`POST /v2/a/blobs/uploads/?digest=${announced}`, "Content-Length: 99999999"))
    yield* write(block)
    yield* write(block)
    yield* until(() => seen.text.includes("}]}"))
    yield* TestClock.adjust("9900 millis")
    yield* turn
    expect(seen.closed).toBe(false)
    yield* Effect.repeat(Effect.zipRight(TestClock.adjust("100 millis"), turn), {
      until: () => seen.closed
    })
  })
)

live("a client that never stops is left after 64 MiB", served(denied), () =>
  Effect.gen(function* () {
    const { seen, write } = yield* connect
    yield* write(
      head(`POST /v2/a/blobs/uploads/?digest=${announced}`, `Content-Length: ${1024 * MiB}`)
    )
    let sent = 0
    while ((yield* write(block)) && sent < 1024) sent++
    expect(errorOf(seen.text)).toEqual([403, "DENIED", "close"])
    expect(sent).toBeGreaterThan(64)
    expect(sent).toBeLessThan(512)
  })
)

live("a small body costs no connection", served(denied), () =>
  Effect.gen(function* () {
    const { seen, write } = yield* connect
    const twice = `${head("PUT /v2/a/manifests/-x", "Content-Length: 2")}{}`
    yield* write(twice)
    yield* write(twice)
    yield* until(() => seen.text.split("HTTP/1.1 400").length === 3)
    expect(seen.closed).toBe(false)
  })
)

const withTokens = Layer.unwrapEffect(
  Effect.map(
    ServerAuthorization.token({ users: { alice: Redacted.make("secret") } }),
    (authorization) => served(denied, { authorization })
  )
)

live("a challenge is read as well, and the refusal of a form that is too large", withTokens, () =>
  Effect.gen(function* () {
    for (const [line, status] of [
      [`POST /v2/a/blobs/uploads/?digest=${announced}`, 401],
      ["POST /token", 400]
    ] as const) {
      const { seen, socket, write } = yield* connect
      socket.pause()
      yield* write(head(line, `Content-Length: ${16 * MiB}`))
      yield* Effect.repeatN(write(block), 15)
      socket.resume()
      yield* until(() => seen.closed)
      expect([line, errorOf(seen.text)[0]]).toEqual([line, status])
      expect([seen.ended, seen.error]).toEqual([true, undefined])
    }
  })
)

describe("this library's client", () => {
  const size = 48 * MiB

  const clients = Layer.mergeAll(
    NodeHttp.layer(),
    Credentials.layerAnonymous,
    TokenCache.layerMemory
  )

  const pushes = Effect.gen(function* () {
    const registry = yield* RegistryClient.make({ url: yield* ServerUrl, retry: { attempts: 0 } })
    const repository = yield* freshRepository
    const digest = Digest.fromBytes(utf8("something else"))
    const known = BlobSource.fromStream(generated(size), { size, digest })
    const unknown = BlobSource.fromStream(generated(size))
    return yield* Effect.all([
      Effect.flip(registry.putBlob(repository, known)),
      Effect.flip(registry.putBlob(repository, unknown))
    ])
  }).pipe(Effect.provide(clients))

  it.live("fails as the registry said", () =>
    Effect.gen(function* () {
      expect((yield* pushes).map((error) => error._tag)).toEqual(["Denied", "Denied"])
    }).pipe(Effect.provide(served(denied)))
  )

  it.live("also through a second server, which is a client of the first", () => {
    const client = Layer.scoped(
      Registry,
      Effect.flatMap(ServerUrl, (url) => RegistryClient.make({ url, retry: { attempts: 0 } }))
    ).pipe(Layer.provide(clients), Layer.provide(served(denied)))
    const behind = Layer.provide(layerSocketServer(), client)
    return Effect.gen(function* () {
      const errors = yield* pushes
      expect(errors.map((error) => error._tag)).toEqual(["Denied", "Denied"])
    }).pipe(Effect.provide(behind))
  })
})
