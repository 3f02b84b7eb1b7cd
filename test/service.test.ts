/**
 * The service of examples/service.ts, on sockets, over registries on sockets: its clients come and
 * go, and leave nothing behind.
 */
import { createServer, type IncomingMessage, request } from "node:http"
import * as HttpApiClient from "@effect/platform/HttpApiClient"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as service from "../examples/service.js"
import * as Credentials from "../src/auth/Credentials.js"
import * as NodeHttp from "../src/node/NodeHttp.js"
import * as NodeRegistry from "../src/node/NodeRegistry.js"
import { Registry } from "../src/Registry.js"
import { DigestMismatch } from "../src/RegistryError.js"
import * as Digest from "../src/spec/Digest.js"
import * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "./support/debian.js"
import { faultProxy } from "./support/faultProxy.js"
import { freshBytes, freshDigest, utf8 } from "./support/fixtures.js"
import { until } from "./support/serve.js"
import { registryOn } from "./support/server.js"

/** The service on a free port over this registry: its URL. */
const serving = (registry: Layer.Layer<Registry, unknown>) =>
  Effect.gen(function* () {
    const server = yield* Layer.build(
      NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })
    )
    yield* Layer.build(
      service.layer.pipe(Layer.provide([Layer.succeedContext(server), Layer.orDie(registry)]))
    )
    const { address } = Context.get(server, HttpServer.HttpServer)
    return address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
  })

const clientOf = (url: string) =>
  NodeRegistry.layer({ url, retry: { attempts: 0 } }).pipe(
    Layer.provide(Credentials.layerAnonymous)
  )

/** The service over a registry, and what goes between the two. */
const between = (registry: string) =>
  Effect.gen(function* () {
    const proxy = yield* faultProxy(registry)
    const url = yield* serving(clientOf(proxy.url))
    const logged = (line: RegExp) => () =>
      proxy.log.some((entry) => line.test(entry.line) && entry.status !== undefined)
    return { url, proxy, logged }
  })

/** A client that sends the beginning of an upload, more than goes into one request, and waits. */
const beginning = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const leaving = request(`${url}/files`, { method: "POST" }).on("error", () => undefined)
      leaving.write(Buffer.alloc(300_000, freshBytes("b1")))
      return leaving
    }),
    (leaving) => Effect.sync(() => leaving.destroy())
  )

/** Sends content and gets it back: the service is well. */
const uploadAndDownload = (url: string, content: Uint8Array) =>
  Effect.promise(async () => {
    const uploaded = await fetch(`${url}/files`, { method: "POST", body: content })
    expect(uploaded.status).toBe(201)
    const digest = Digest.fromBytes(content)
    expect(await uploaded.json()).toMatchObject({ digest, size: content.length })
    const downloaded = await fetch(`${url}/files/${digest}`)
    expect(Digest.fromBytes(new Uint8Array(await downloaded.arrayBuffer()))).toBe(digest)
    return digest
  })

const suite = (name: string, registry: Effect.Effect<string, unknown, Scope.Scope>) =>
  describe(name, () => {
    it.scopedLive("an upload streams into a blob, and a download out of it", () =>
      Effect.gen(function* () {
        const { proxy, url } = yield* between(yield* registry)
        const content = Buffer.concat(Array.from({ length: 64 }, () => Buffer.alloc(65_536, "b1")))
        yield* uploadAndDownload(url, content)
        expect(proxy.log.map(({ line }) => line.split(" ", 1)[0])).toContain("PATCH")
      })
    )

    it.scopedLive("a client that leaves an upload has it cancelled at the registry", () =>
      Effect.gen(function* () {
        const { logged, proxy, url } = yield* between(yield* registry)
        const leaving = yield* beginning(url)
        // The session is open, and its content on the way.
        yield* until(() => proxy.log.some(({ line }) => line.startsWith("PATCH ")))
        leaving.destroy()
        yield* until(logged(/^DELETE \/v2\/storage\/files\/blobs\/uploads\//))
        yield* until(() => proxy.active() === 0)
        expect(proxy.log.at(-1)).toMatchObject({ status: 204 })
        yield* uploadAndDownload(url, freshBytes("b2"))
      })
    )

    it.scopedLive("a client that leaves a download has the registry's response let go", () =>
      Effect.gen(function* () {
        const { proxy, url } = yield* between(yield* registry)
        const content = Buffer.alloc(16_777_216, freshBytes("b1"))
        const digest = yield* uploadAndDownload(url, content)
        // After the HEAD, a response that would go on for ever.
        proxy.faults = [undefined, { kind: "stall", up: false, at: 300_000 }]
        const response = yield* Effect.acquireRelease(
          Effect.async<IncomingMessage>((resume) => {
            request(`${url}/files/${digest}`, (response) => resume(Effect.succeed(response)))
              .on("error", () => undefined)
              .end()
          }),
          (response) => Effect.sync(() => response.destroy())
        )
        yield* Effect.async<void>((resume) => {
          response.once("data", () => resume(Effect.void)).on("error", () => undefined)
        })
        expect(proxy.active()).toBe(1)
        response.destroy()
        yield* until(() => proxy.active() === 0)
        yield* uploadAndDownload(url, freshBytes("b2"))
      })
    )

    it.scopedLive("what is not there is a 404 with tag and message", () =>
      Effect.gen(function* () {
        const { url } = yield* between(yield* registry)
        const client = yield* HttpApiClient.make(service.Api, { baseUrl: url })
        const digest = freshDigest()
        expect(yield* Effect.flip(client.files.download({ path: { digest } }))).toEqual({
          status: 404,
          _tag: "BlobUnknown",
          message: `Repository storage/files lacks blob ${digest}`
        })
      }).pipe(Effect.provide(NodeHttp.layer()))
    )
  })

suite(
  "over the embedded registry",
  Effect.map(registryOn(), ({ port }) => `http://127.0.0.1:${port}`)
)

describeDebian("over docker-registry", () => {
  suite(
    "a client of the service",
    Effect.map(
      Layer.build(layerDebianRegistry),
      (context) => Context.get(context, DebianRegistry).url
    )
  )

  it.scopedLive("an upload that its client left leaves nothing in the registry's storage", () =>
    Effect.gen(function* () {
      const debian = Context.get(yield* Layer.build(layerDebianRegistry), DebianRegistry)
      const { logged, proxy, url } = yield* between(debian.url)
      const leaving = yield* beginning(url)
      yield* until(() => proxy.log.some(({ line }) => line.startsWith("PATCH ")))
      expect(yield* debian.uploads("storage/files")).toHaveLength(1)
      leaving.destroy()
      yield* until(logged(/^DELETE /))
      expect(yield* debian.uploads("storage/files")).toEqual([])
    })
  )
})

describe("errors of the registry", () => {
  it.scopedLive("are a status, a tag and a message to the clients of the service", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(Effect.map(registryOn(), ({ port }) => port))
      const url = yield* serving(clientOf(`http://127.0.0.1:${gone}`))
      const { body, status } = yield* Effect.promise(async () => {
        const response = await fetch(`${url}/files/${freshDigest()}`)
        return { status: response.status, body: await response.text() }
      })
      expect(status).toBe(502)
      expect(JSON.parse(body)).toEqual({
        status: 502,
        _tag: "TransportFailure",
        message: expect.stringContaining("ECONNREFUSED")
      })
    })
  )

  it.scopedLive("in the middle of a download break it, so that nobody takes it for whole", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryRegistry.make()
      const url = yield* serving(
        Layer.succeed(Registry, {
          ...memory,
          getBlob: (repository, blob) =>
            Stream.concat(
              memory.getBlob(repository, blob),
              Stream.fail(new DigestMismatch({ expected: freshDigest(), actual: freshDigest() }))
            )
        })
      )
      const content = utf8("forty-two")
      yield* Effect.promise(() => fetch(`${url}/files`, { method: "POST", body: content }))
      const read = Effect.promise(() =>
        fetch(`${url}/files/${Digest.fromBytes(content)}`)
          .then((response) => response.arrayBuffer())
          .then(
            () => "whole",
            () => "broken"
          )
      )
      expect(yield* read).toBe("broken")
    })
  )
})
