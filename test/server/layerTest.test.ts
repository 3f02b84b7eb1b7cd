/** A program under test over `RegistryServer.layerTest`, and what its test sees of the registry. */
import { inspect } from "node:util"
import { describe, expect, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { Registry } from "../../src/Registry.js"
import { RequestLog } from "../../src/server/internal/RequestLog.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { gather, image, tag, utf8 } from "../support/fixtures.js"

const repository = Reference.unsafeParseRepositoryName("team/app")

const login = { username: "alice", password: Redacted.make("wonderland") }

/** A client over the test's server, and what that shows. */
const program = (options?: RegistryServer.TestOptions, url = "https://registry.example") =>
  RegistryClient.layer({ url }).pipe(
    Layer.provideMerge(RegistryServer.layerTest(options)),
    Layer.provideMerge(MemoryRegistry.layer()),
    Layer.provide([
      Credentials.layerBasic({ host: "registry.example", ...login }),
      TokenCache.layerMemory
    ])
  )

const lines = Effect.gen(function* () {
  const { requests } = yield* RegistryServer.RegistryServer
  return (yield* requests).map(({ method, status, url }) => `${method} ${url} ${status}`)
})

const b1 = utf8("b1")
const b1Digest = Digest.fromBytes(b1)

layer(program())("a program and the test see the same registry", (it) => {
  it.effect("what the program puts is in the snapshot", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const manifest = yield* image(registry, repository, "m1")
      yield* registry.putManifest(repository, manifest, { tags: [yield* tag("v1")] })
      const { [repository]: stored } = yield* (yield* MemoryRegistry.MemoryRegistry).snapshot
      expect(stored?.tags).toEqual({ v1: manifest.descriptor.digest })
      expect(Object.keys(stored?.manifests ?? {})).toEqual([manifest.descriptor.digest])
      expect(Object.keys(stored?.blobs ?? {})).toHaveLength(2)
    })
  )

  it.effect("what the test restores is what the program finds", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const memory = yield* MemoryRegistry.MemoryRegistry
      yield* memory.restore({
        [repository]: { tags: {}, manifests: {}, blobs: { [b1Digest]: b1 } }
      })
      const before = yield* memory.snapshot
      expect(yield* gather(registry.getBlob(repository, b1Digest))).toEqual(b1)
      yield* registry.deleteBlob(repository, b1Digest)
      yield* registry.putBlob(repository, BlobSource.fromBytes(utf8("b2")))
      expect(before[repository]?.blobs).toEqual({ [b1Digest]: b1 })
      yield* memory.restore(before)
      expect(yield* memory.snapshot).toEqual(before)
      expect(yield* gather(registry.getBlob(repository, b1Digest))).toEqual(b1)
    })
  )

  it.effect("a restore drops the uploads that are open", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryRegistry.MemoryRegistry
      const server = yield* RegistryServer.RegistryServer
      const session = yield* (yield* Registry).startUpload(repository)
      yield* session.write(b1)
      expect(yield* memory.uploads).toMatchObject([{ repository, offset: 2 }])
      const { location } = yield* session.detach
      const { pathname } = new URL(location)
      expect(yield* server.uploads).toEqual([{ repository, location: pathname, offset: 2 }])
      yield* memory.restore({})
      expect(yield* memory.uploads).toEqual([])
      expect(yield* Effect.flip(session.status)).toMatchObject({ _tag: "UploadUnknown" })
    }).pipe(Effect.scoped)
  )
})

describe("requests", () => {
  it.effect("are values, in their order, with what they were answered", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      yield* registry.putBlob(repository, BlobSource.fromBytes(b1))
      expect(yield* lines).toEqual([
        `HEAD /v2/team/app/blobs/${b1Digest} 404`,
        `POST /v2/team/app/blobs/uploads/?digest=${encodeURIComponent(b1Digest)} 201`
      ])
      const [, push] = yield* (yield* RegistryServer.RegistryServer).requests
      expect(push).toMatchObject({
        operation: { _tag: "UploadBlob", repository, digest: b1Digest, size: 2 },
        headers: { "content-length": "2" },
        responseHeaders: { location: `/v2/team/app/blobs/${b1Digest}` },
        time: 0,
        duration: 0
      })
    }).pipe(Effect.provide(program()))
  )

  it.effect("show no secret, and have it for who asks", () =>
    Effect.gen(function* () {
      yield* (yield* Registry).ping
      const { requests } = yield* RegistryServer.RegistryServer
      const all = yield* requests
      expect(all.map(({ status }) => status)).toEqual([401, 200])
      expect(JSON.stringify(all) + inspect(all, { depth: 9 })).not.toContain("YWxpY2U6")
      const sent = all[1]?.headers["authorization"]
      expect(Redacted.isRedacted(sent) && Redacted.value(sent)).toBe(
        `Basic ${btoa("alice:wonderland")}`
      )
    }).pipe(
      Effect.provide(
        program({
          authorization: ServerAuthorization.basic({ users: { alice: login.password } })
        })
      )
    )
  )

  it.effect("are given to onExchange before the client has its response", () => {
    const seen: Array<string> = []
    const onExchange = ({ status, url }: RegistryServer.Exchange) =>
      Effect.sync(() => void seen.push(`${url} ${status}`))
    return Effect.gen(function* () {
      yield* (yield* Registry).ping
      expect(seen).toEqual(["/v2/ 200"])
    }).pipe(Effect.provide(program({ onExchange })))
  })

  it.effect("are forgotten, the oldest first, where there are too many", () =>
    Effect.gen(function* () {
      const log = new RequestLog(2)
      const exchange = (url: string): RegistryServer.Exchange => ({
        method: "GET",
        url,
        headers: {},
        operation: undefined,
        remoteAddress: undefined,
        status: 404,
        responseHeaders: {},
        time: 0,
        duration: 0
      })
      for (const url of ["/a", "/b", "/c"]) log.add(exchange(url))
      expect((yield* log.requests).map(({ url }) => url)).toEqual(["/b", "/c"])
    })
  )
})

describe("hosts", () => {
  it.effect("are all of them by default", () =>
    Effect.gen(function* () {
      yield* (yield* Registry).ping
      expect((yield* RegistryServer.RegistryServer).url).toBe("https://registry.test")
    }).pipe(Effect.provide(program({}, "http://any.example:5000")))
  )

  it.effect("can be named: others do not resolve", () => {
    const hosts = ["registry.example", "b.example:5000"]
    const ping = (url: string) =>
      Effect.flatMap(Registry, ({ ping }) => ping).pipe(Effect.provide(program({ hosts }, url)))
    return Effect.gen(function* () {
      yield* ping("https://registry.example")
      yield* ping("http://b.example:5000")
      for (const url of ["https://b.example", "https://c.example"]) {
        const failing = yield* Effect.fork(Effect.flip(ping(url)))
        yield* TestClock.adjust("10 minutes")
        expect(yield* failing).toMatchObject({
          _tag: "TransportFailure",
          reason: "Connect",
          message: expect.stringContaining(new URL(url).hostname)
        })
      }
    })
  })
})

it.effect("time is that of the test: an upload that is left expires (R23)", () =>
  Effect.gen(function* () {
    const { uploads } = yield* RegistryServer.RegistryServer
    yield* Effect.scoped(
      Effect.flatMap(
        Effect.flatMap(Registry, ({ startUpload }) => startUpload(repository)),
        ({ detach }) => detach
      )
    )
    expect(yield* uploads).toHaveLength(1)
    yield* TestClock.adjust("62 minutes")
    expect(yield* uploads).toHaveLength(0)
  }).pipe(Effect.provide(program()))
)
