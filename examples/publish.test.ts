import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as Artifact from "effect-oci/Artifact"
import * as Credentials from "effect-oci/Credentials"
import * as Faults from "effect-oci/Faults"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import * as RegistryClient from "effect-oci/RegistryClient"
import * as RegistryServer from "effect-oci/RegistryServer"
import * as TokenCache from "effect-oci/TokenCache"

/** The program under test, which knows nothing of tests. */
const publish = (version: string) =>
  Artifact.push(`ghcr.io/owner/report:${version}`, {
    artifactType: "application/vnd.example.report",
    files: [{ title: "report.txt", source: new TextEncoder().encode(version) }],
    tags: ["latest"]
  })

/** Its client, over a registry in this process: no sockets, no Docker, and the test's own clock. */
const client = RegistryClient.layerRegistries().pipe(
  Layer.provide([Credentials.layerAnonymous, TokenCache.layerMemory])
)

layer(MemoryRegistry.layer())("publish", (it) => {
  it.layer(Layer.provideMerge(client, RegistryServer.layerTest()))("at a registry", (it) => {
    it.effect("puts the report under its version and latest", () =>
      Effect.gen(function* () {
        const { manifest } = yield* publish("1.0.0")
        const { snapshot, uploads } = yield* MemoryRegistry.MemoryRegistry
        const { "owner/report": stored } = yield* snapshot
        expect(stored?.tags).toEqual({
          "1.0.0": manifest.descriptor.digest,
          latest: manifest.descriptor.digest
        })
        expect(yield* uploads).toEqual([])
      })
    )

    it.effect("sends nothing twice", () =>
      Effect.gen(function* () {
        const { requests } = yield* RegistryServer.RegistryServer
        const before = (yield* requests).length
        yield* publish("1.0.0")
        const methods = (yield* requests).slice(before).map(({ method }) => method)
        expect(methods).not.toContain("POST")
      })
    )
  })

  const failing = RegistryServer.layerTest({
    faults: [Faults.status(503, { on: "PutManifest", times: 1 })]
  })

  it.layer(Layer.provideMerge(client, failing))("at a registry that fails once", (it) => {
    it.effect("tries again, in no time of the test's", () =>
      Effect.gen(function* () {
        const publishing = yield* Effect.fork(publish("2.0.0"))
        yield* TestClock.adjust("1 minute")
        const { manifest } = yield* publishing
        const { "owner/report": stored } = yield* (yield* MemoryRegistry.MemoryRegistry).snapshot
        expect(stored?.tags["latest"]).toBe(manifest.descriptor.digest)
      })
    )
  })
})
