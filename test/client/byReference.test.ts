/**
 * The operations by reference over the client: in front of the embedded server, without and with
 * sockets, and of Debian's docker-registry; and which requests each of them makes.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as Registries from "../../src/Registries.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { byReferenceSuite, host } from "../suites/byReference.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { image, items, tag } from "../support/fixtures.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const authorization = ServerAuthorization.token({ users: { alice: Redacted.make("wonderland") } })

const alice = Credentials.layer({
  [host]: Credentials.basic("alice", Redacted.make("wonderland"))
})

const layerWeb = Layer.unwrapEffect(
  Effect.map(authorization, (authorization) => RegistryServer.layerTest({ authorization }))
).pipe(Layer.provide(MemoryRegistry.layer()))

byReferenceSuite("by reference, over the embedded server, with token authentication", {
  layer: RegistryClient.layerRegistries().pipe(
    Layer.provide([layerWeb, TokenCache.layerMemory, alice])
  )
})

/** The host, at a server that listens elsewhere. */
const at = (url: string) => RegistryClient.layerRegistries({ hosts: { [host]: { url } } })

byReferenceSuite("by reference, over the embedded server, with sockets", {
  layer: Layer.unwrapEffect(Effect.map(ServerUrl, at)).pipe(
    Layer.provide([NodeHttp.layer(), TokenCache.layerMemory, Credentials.layerAnonymous]),
    Layer.provide(layerSocketServer()),
    Layer.provide(MemoryRegistry.layer())
  )
})

describeDebian("Debian's docker-registry", () => {
  byReferenceSuite("by reference, over docker-registry", {
    layer: Layer.unwrapEffect(Effect.map(DebianRegistry, ({ url }) => at(url))).pipe(
      Layer.provide([NodeHttp.layer(), TokenCache.layerMemory, Credentials.layerAnonymous]),
      Layer.provide(layerDebianRegistry)
    ),
    tagDelete: false, // It takes a tag for an invalid digest.
    tagPaging: false // `n` and `last` are ignored (quirks §5).
  })
})

describe("requests", () => {
  const name = `${host}/owner/name`

  /**
   * Runs a program at a repository with an image under `1`, `2` and `latest`, and returns its
   * requests: those for `use` alone.
   */
  const requestsOf = (
    use: (names: {
      readonly digest: string
      readonly layer: string
    }) => Effect.Effect<unknown, unknown, Registries.Registries>
  ) =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const logging = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(
          HttpClient.HttpClient,
          HttpClient.tapRequest(({ method, url }) =>
            Effect.sync(() => log.push(`${method} ${url}`))
          )
        )
      ).pipe(Layer.provide(RegistryServer.layerTest()), Layer.provide(MemoryRegistry.layer()))
      const { digest, layer } = yield* Effect.gen(function* () {
        const { registry, repository } = yield* Registries.open(name)
        const manifest = yield* image(registry, repository, "m1")
        yield* registry.putManifest(repository, manifest, {
          tags: [yield* tag("1"), yield* tag("2"), yield* tag("latest")]
        })
        const [layer] = manifest.content._tag === "ImageManifest" ? manifest.content.layers : []
        const names = { digest: manifest.descriptor.digest, layer: layer?.digest ?? "" }
        log.length = 0
        yield* use(names)
        return names
      }).pipe(
        Effect.provide(
          RegistryClient.layerRegistries().pipe(
            Layer.provide([logging, TokenCache.layerMemory, Credentials.layerAnonymous])
          )
        )
      )
      const known = [
        [digest, "m1"],
        [layer, "b1"],
        [`https://${host}/v2/owner/name/`, ""]
      ] as const
      return log.map((line) =>
        known.reduce((line, [text, symbol]) => line.replaceAll(text, symbol), line)
      )
    })

  type Names = Parameters<Parameters<typeof requestsOf>[0]>[0]
  type Run = (names: Names) => Effect.Effect<unknown, unknown, Registries.Registries>

  const table: Readonly<Record<string, readonly [run: Run, requests: ReadonlyArray<string>]>> = {
    open: [() => Registries.open(`${name}:1`), []],
    "resolve a tag": [() => Registries.resolve(`${name}:1`), ["HEAD manifests/1"]],
    "resolve a name": [() => Registries.resolve(name), ["HEAD manifests/latest"]],
    "resolve a digest": [
      ({ digest }) => Registries.resolve(`${name}@${digest}`),
      ["HEAD manifests/m1"]
    ],
    exists: [() => Registries.exists(`${name}:1`), ["HEAD manifests/1"]],
    "exists, of what is not there": [() => Registries.exists(`${name}:9`), ["HEAD manifests/9"]],
    manifest: [() => Registries.manifest(`${name}:1`), ["GET manifests/1"]],
    "manifest, of a name": [() => Registries.manifest(name), ["GET manifests/latest"]],
    "manifest, of a digest": [
      ({ digest }) => Registries.manifest(`${name}:9@${digest}`),
      ["GET manifests/m1"]
    ],
    tags: [() => items(Registries.tags(name)), ["GET tags/list"]],
    "tags, in pages": [
      () => items(Registries.tags(name, { pageSize: 3, after: "1" })),
      ["GET tags/list?n=3&last=1"]
    ],
    "referrers of a tag": [
      () => items(Registries.referrers(`${name}:1`)),
      ["HEAD manifests/1", "GET referrers/m1"]
    ],
    "referrers of a digest": [
      ({ digest }) =>
        items(Registries.referrers(`${name}:1@${digest}`, { artifactType: "application/x" })),
      ["GET referrers/m1?artifactType=application%2Fx"]
    ],
    blob: [({ layer }) => items(Registries.blob(`${name}@${layer}`)), ["GET blobs/b1"]],
    "tag a tag": [
      () => Registries.tag(`${name}:1`, "3"),
      ["HEAD manifests/1", "GET manifests/m1", "PUT manifests/3"]
    ],
    "tag a digest": [
      ({ digest }) => Registries.tag(`${name}:1@${digest}`, "3"),
      ["GET manifests/m1", "PUT manifests/3"]
    ],
    untag: [() => Registries.untag(`${name}:1`), ["DELETE manifests/1"]],
    "untag with a digest": [
      ({ digest }) => Registries.untag(`${name}:1@${digest}`),
      ["HEAD manifests/1", "DELETE manifests/1"]
    ],
    // The manifest is read until the registry was seen to list referrers itself.
    "remove a digest": [
      ({ digest }) => Registries.remove(`${name}@${digest}`),
      ["GET manifests/m1", "DELETE manifests/m1"]
    ],
    "remove a tag with its digest": [
      ({ digest }) => Registries.remove(`${name}:1@${digest}`),
      ["HEAD manifests/1", "GET manifests/m1", "DELETE manifests/m1"]
    ],
    "remove a tag with another digest": [
      ({ layer }) => Effect.flip(Registries.remove(`${name}:1@${layer}`)),
      ["HEAD manifests/1"]
    ],
    "names without what is needed": [
      () =>
        Effect.forEach(
          [
            Registries.tag(name, "3"),
            Registries.tag(`${name}:1`, "no tag"),
            Registries.untag(name),
            Registries.remove(name),
            Registries.remove(`${name}:1`),
            items(Registries.blob(`${name}:1`))
          ] as ReadonlyArray<Effect.Effect<unknown, Error, Registries.Registries>>,
          Effect.flip
        ),
      []
    ]
  }

  it.effect.each(Object.entries(table))("%s", ([, [run, expected]]) =>
    Effect.map(requestsOf(run), (requests) => {
      expect(requests).toEqual(expected)
    })
  )
})
