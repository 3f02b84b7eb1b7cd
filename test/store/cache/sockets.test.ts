/** A cache that is served, over real sockets: what its clients and its upstream registry see. */
import * as Net from "node:net"
import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Credentials from "../../../src/auth/Credentials.js"
import * as ByteStream from "../../../src/ByteStream.js"
import * as NodeRegistry from "../../../src/node/NodeRegistry.js"
import * as NodeRegistryServer from "../../../src/node/NodeRegistryServer.js"
import { Registry } from "../../../src/Registry.js"
import { TransportFailure } from "../../../src/RegistryError.js"
import { RegistryServer } from "../../../src/server/RegistryServer.js"
import * as Digest from "../../../src/spec/Digest.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as ComposedRegistry from "../../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../../support/debian.js"
import { freshRepository, gather, image } from "../../support/fixtures.js"
import { app, pieces, put, same, v1 } from "./world.js"

/** Serves a registry on a free port. */
const served = (registry: Registry.Service) =>
  NodeRegistryServer.layer({ port: 0 }).pipe(
    Layer.provide(Layer.succeed(Registry, registry)),
    Layer.build,
    Effect.map(Context.get(RegistryServer))
  )

const clientOf = (url: string) =>
  NodeRegistry.layer({ url }).pipe(
    Layer.provide(Credentials.layerAnonymous),
    Layer.build,
    Effect.map(Context.get(Registry))
  )

const cacheOf = (upstream: Registry.Service) =>
  Effect.flatMap(MemoryRegistry.make(), (store) => ComposedRegistry.cached(upstream, { store }))

/** What comes of a GET of a blob, to the end of the connection. */
const pulled = (url: string, digest: Digest.Digest, began = () => {}) =>
  Effect.async<{ readonly status: string; readonly body: number; readonly length: number }>(
    (resume) => {
      const { hostname, port } = new URL(url)
      const socket = Net.connect(Number(port), hostname)
      const parts: Array<Buffer> = []
      socket.once("data", began).on("data", (part) => parts.push(part))
      socket.on("error", () => undefined)
      socket.on("close", () => {
        const all = Buffer.concat(parts).toString("latin1")
        const [head = "", ...body] = all.split("\r\n\r\n")
        resume(
          Effect.succeed({
            status: head.slice(9, 12),
            body: body.join("\r\n\r\n").length,
            length: Number(/content-length: (\d+)/i.exec(head)?.[1])
          })
        )
      })
      socket.write(`GET /v2/app/blobs/${digest} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
    }
  )

const parts = pieces(32)
const whole = ByteStream.concat(parts)
const digest = Digest.fromBytes(whole)
const reset = Stream.fail(new TransportFailure({ reason: "Reset" }))

it.scopedLive.each([
  ["that breaks off", reset],
  ["whose last bytes are wrong", Stream.make(...parts.slice(24, 31), parts[0] ?? whole)]
] as const)("breaks the connections of all who read a download %s (V22)", ([, end]) =>
  Effect.gen(function* () {
    const origin = yield* MemoryRegistry.make()
    yield* put(origin, whole)
    // All have got bytes before it ends: of those that have come, the last are held back.
    const begun = yield* Effect.makeLatch(false)
    const content = Stream.fromIterable(parts.slice(0, 24)).pipe(
      Stream.concat(Stream.execute(begun.await)),
      Stream.concat(end),
      Stream.rechunk(1)
    )
    const { url } = yield* served(
      yield* cacheOf({
        ...origin,
        getBlob: () => ByteStream.verify(content, { digest, size: whole.length })
      })
    )
    let awaited = 4
    const readers = yield* Effect.all(
      Array.from({ length: 4 }, () =>
        pulled(url, digest, () => {
          if (--awaited === 0) begun.unsafeOpen()
        })
      ),
      { concurrency: 4 }
    )
    for (const { body, length, status } of readers) {
      expect(status).toBe("200")
      expect(length).toBe(whole.length)
      expect(body).toBeLessThan(whole.length)
    }
  })
)

it.scopedLive("answers with an error what fails before the first byte (V22)", () =>
  Effect.gen(function* () {
    const origin = yield* MemoryRegistry.make()
    yield* put(origin, whole)
    const { url } = yield* served(yield* cacheOf({ ...origin, getBlob: () => reset }))
    expect((yield* pulled(url, digest)).status).toMatch(/^5/)
  })
)

it.scopedLive(
  "sends for a blob once, for 100 clients of which the first leaves in the middle",
  () =>
    Effect.gen(function* () {
      const origin = yield* MemoryRegistry.make()
      yield* put(origin, whole)
      const upstream = yield* served(origin)
      const { url } = yield* served(yield* cacheOf(yield* clientOf(upstream.url)))
      const client = yield* clientOf(url)
      const first = yield* Effect.fork(
        Stream.runDrain(Stream.tap(client.getBlob(app, digest), () => Effect.sleep("1 second")))
      )
      const others = yield* Effect.forEach(Array.from({ length: 99 }), () =>
        Effect.fork(gather(client.getBlob(app, digest)))
      )
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(first)
      for (const other of others) expect(yield* Fiber.join(other)).toSatisfy(same(whole))
      const seen = (yield* upstream.requests).map(({ method }) => method)
      expect(seen).toEqual(["HEAD", "GET"])
    })
)

describeDebian("docker-registry", () => {
  it.scopedLive("is cached: an image is pulled, and pulled again without it", () =>
    Effect.gen(function* () {
      const upstream = yield* clientOf((yield* DebianRegistry).url)
      const repository = yield* freshRepository
      const manifest = yield* image(upstream, repository, "m1")
      yield* upstream.putManifest(repository, manifest, { tags: [v1] })
      let isDown = false
      const failure = new TransportFailure({ reason: "Connect" })
      const cached = yield* cacheOf({
        ...upstream,
        getManifest: (...of) => (isDown ? failure : upstream.getManifest(...of)),
        headManifest: (...of) => (isDown ? failure : upstream.headManifest(...of)),
        getBlob: (...of) => (isDown ? Stream.fail(failure) : upstream.getBlob(...of)),
        headBlob: (...of) => (isDown ? failure : upstream.headBlob(...of))
      })
      const client = yield* clientOf((yield* served(cached)).url)
      for (let n = 0; n < 2; n++) {
        const read = yield* client.getManifest(repository, v1)
        expect(read.bytes).toEqual(manifest.bytes)
        for (const blob of Manifest.references(read)) {
          const bytes = yield* gather(client.getBlob(repository, blob))
          expect(Digest.fromBytes(bytes)).toBe(blob.digest)
        }
        isDown = true
      }
    }).pipe(Effect.provide(layerDebianRegistry))
  )
})
