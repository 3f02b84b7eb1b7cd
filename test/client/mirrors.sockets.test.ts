/** Mirrors over sockets: faults in mid-blob, and credentials of their own. */
import type { IncomingMessage, ServerResponse } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registries } from "../../src/Registries.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Transfer from "../../src/Transfer.js"
import {
  DebianRegistry,
  debianUser,
  describeDebian,
  layerDebianRegistry,
  layerDebianRegistryBasic
} from "../support/debian.js"
import { type Fault, faultProxy } from "../support/faultProxy.js"
import { freshBytes, freshRepository, gather, generated, utf8 } from "../support/fixtures.js"
import { origin, reply } from "../support/listeners.js"
import { serving } from "../support/server.js"

const size = 2 * 1024 * 1024
const hostOf = (url: string) => url.replace("http://", "")

/** A registry in memory that is served, and where. */
const served = () =>
  Effect.gen(function* () {
    const registry = yield* MemoryRegistry.make()
    return { registry, url: yield* serving(registry) }
  })

type Logins = Parameters<typeof Credentials.layer>[0]

/** The registry at `url` with a mirror. */
const mirrored = (url: string, mirror: NodeRegistry.MirrorOptions, logins: Logins = {}) =>
  Effect.gen(function* () {
    const services = yield* Layer.build(
      NodeRegistry.layerRegistries({
        hosts: { [hostOf(url)]: { mirrors: [mirror], retry: { attempts: 0 } } }
      }).pipe(Layer.provide(Credentials.layer(logins)))
    )
    return yield* Effect.provide(
      Effect.flatMap(Registries, (all) => all.get(hostOf(url))),
      services
    )
  })

describeDebian("a mirror before which connections break (V29, V31)", () => {
  const faults: ReadonlyArray<Fault> = [
    { kind: "cut", up: false, at: 300_000 },
    { kind: "reset", up: false, at: 700_000 },
    { kind: "stall", up: false, at: 1_000_000 },
    { kind: "stall", up: false, at: 0 },
    { kind: "status", status: 500, late: false }
  ]
  it.scopedLive.each(faults)("%j is continued at the registry itself", (fault) =>
    Effect.gen(function* () {
      const debian = yield* DebianRegistry
      const original = yield* served()
      const repository = yield* freshRepository
      const copy = yield* mirrored(debian.url, { url: original.url })
      const source = BlobSource.fromStream(generated(size), { size })
      const blob = yield* original.registry.putBlob(repository, source)
      yield* copy.putBlob(repository, source)

      const proxy = yield* faultProxy(debian.url)
      proxy.faults = [fault]
      const through = yield* mirrored(original.url, {
        url: proxy.url,
        timeouts: { response: "100 millis" }
      })
      expect(Digest.fromBytes(yield* gather(through.getBlob(repository, blob)))).toBe(blob.digest)
      expect(proxy.log.map(({ line }) => line.replace(/\?.*/, ""))).toEqual([
        `GET /v2/${repository}/blobs/${blob.digest}`
      ])
    }).pipe(Effect.provide(layerDebianRegistry))
  )
})

describe("a mirror with other content of the same size (T7, V31)", () => {
  it.scopedLive.each([false, true])("fails at the end, also where it is observed: %s", (observed) =>
    Effect.gen(function* () {
      const original = yield* served()
      const repository = yield* freshRepository
      const blob = yield* original.registry.putBlob(
        repository,
        BlobSource.fromStream(generated(size), { size })
      )
      const wrong = yield* origin([], (_, response) =>
        reply(response, 200, { "content-length": `${size}` }, new Uint8Array(size))
      )
      const through = yield* mirrored(original.url, { url: wrong.url })
      const events: Array<string> = []
      let seen = 0
      const read = Stream.runForEach(through.getBlob(repository, blob), ({ length }) =>
        Effect.sync(() => {
          seen += length
        })
      )
      const failure = yield* Effect.flip(
        observed ? Transfer.observe(read, ({ _tag }) => Effect.sync(() => events.push(_tag))) : read
      )
      expect(failure).toMatchObject({ _tag: "DigestMismatch", expected: blob.digest })
      expect(seen).toBeLessThan(size)
      expect(events).not.toContain("Verified")
    })
  )
})

describe("a mirror that asks who is there (V30)", () => {
  const login = (username: string, password: string) =>
    Credentials.basic(username, Redacted.make(password))
  const b1 = utf8("b1")
  const digest = Digest.fromBytes(b1)

  it.scopedLive("is given its own login and a scope of its own, and no other host is", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const authorized =
        (handle: (request: IncomingMessage, response: ServerResponse) => void) =>
        (request: IncomingMessage, response: ServerResponse) => {
          log.push(`${request.url} ${request.headers.authorization ?? "-"}`)
          handle(request, response)
        }
      const mirror: { readonly url: string } = yield* origin(
        [],
        authorized((request, response) =>
          request.url?.startsWith("/token") === true
            ? reply(response, 200, {}, JSON.stringify({ token: "t1" }))
            : request.headers.authorization === "Bearer t1"
              ? reply(response, 200, {}, b1)
              : reply(response, 401, {
                  "www-authenticate": `Bearer realm="${mirror.url}/token",service="mirror"`
                })
        )
      )
      const original = yield* origin(
        [],
        authorized((_, response) => reply(response, 404))
      )
      const logins = {
        [hostOf(mirror.url)]: login("mirror", "m"),
        [hostOf(original.url)]: login("original", "o")
      }
      const through = yield* mirrored(original.url, { url: mirror.url, prefix: "hub" }, logins)
      const app = Reference.unsafeParseRepositoryName("app")
      expect(yield* gather(through.getBlob(app, digest))).toEqual(b1)
      yield* Effect.flip(through.getManifest(app, digest))
      const path = `/v2/hub/app/blobs/${digest}?ns=${encodeURIComponent(hostOf(original.url))}`
      const scope = encodeURIComponent("repository:hub/app:pull")
      expect(log.slice(0, 3)).toEqual([
        `${path} -`,
        `/token?service=mirror&client_id=effect-oci&account=mirror&scope=${scope} Basic ${btoa("mirror:m")}`,
        `${path} Bearer t1`
      ])
      // The registry itself asks for nothing, and is told of nothing.
      expect(log.slice(4).filter((line) => !line.endsWith(" -"))).toEqual([])
      expect(log.slice(4)).toContain(`/v2/app/manifests/${digest} -`)
    })
  )
})

describeDebian("a mirror with a login (V30)", () => {
  it.scopedLive("is read with its own", () =>
    Effect.gen(function* () {
      const debian = yield* DebianRegistry
      const original = yield* served()
      const repository = yield* freshRepository
      const alice = Credentials.basic(debianUser.username, Redacted.make(debianUser.password))
      const logins = { [hostOf(debian.url)]: alice }
      const own = yield* mirrored(debian.url, { url: original.url }, logins)
      const bytes = freshBytes("b1")
      const { digest } = yield* own.putBlob(repository, BlobSource.fromBytes(bytes))
      const read = (logins: Logins) =>
        Effect.flatMap(mirrored(original.url, { url: debian.url }, logins), (through) =>
          gather(through.getBlob(repository, digest))
        )
      expect(yield* read(logins)).toEqual(bytes)
      expect(yield* Effect.flip(read({ [hostOf(original.url)]: alice }))).toMatchObject({
        _tag: "BlobUnknown"
      })
    }).pipe(Effect.provide(layerDebianRegistryBasic))
  )
})
