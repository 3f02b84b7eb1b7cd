import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as BlobSource from "effect-oci/BlobSource"
import * as Credentials from "effect-oci/Credentials"
import * as Faults from "effect-oci/Faults"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import * as Quirks from "effect-oci/Quirks"
import * as Reference from "effect-oci/Reference"
import { Registry } from "effect-oci/Registry"
import * as RegistryClient from "effect-oci/RegistryClient"
import * as RegistryServer from "effect-oci/RegistryServer"
import * as TokenCache from "effect-oci/TokenCache"

/** The program under test: it pushes a report, and reads it again. */
const program = Effect.gen(function* () {
  const registry = yield* Registry
  const repository = yield* Reference.parseRepositoryName("team/app")
  const report = BlobSource.fromBytes(new TextEncoder().encode("all is well"))
  const { digest } = yield* registry.putBlob(repository, report)
  return new TextDecoder().decode(yield* registry.getBlobBytes(repository, digest))
})

/** A client, and the registry that it talks to, without sockets. */
const world = (options: RegistryServer.Options) =>
  RegistryClient.layer({ url: "https://registry.test", retry: { base: "1 millis" } }).pipe(
    Layer.provide(RegistryServer.layerTest(options)),
    Layer.provide([MemoryRegistry.layer(), TokenCache.layerMemory, Credentials.layerAnonymous])
  )

const { distribution2, ecr, ghcr, quay } = Quirks
for (const [name, quirks] of Object.entries({ distribution2, ecr, ghcr, quay }))
  it.live(`works with ${name}`, () =>
    Effect.gen(function* () {
      expect(yield* program).toBe("all is well")
    }).pipe(Effect.provide(world({ quirks })))
  )

it.live("goes on when the registry is busy, and when a download breaks off", () =>
  Effect.gen(function* () {
    const faults = yield* Faults.make([
      Faults.status(503, { on: "UploadBlob", times: 1 }),
      Faults.cut("RST", { on: "GetBlob", times: 1, at: { response: 5 } })
    ])
    expect(yield* Effect.provide(program, world({ faults }))).toBe("all is well")
    expect(yield* faults.drawn).toHaveLength(2)
  })
)
