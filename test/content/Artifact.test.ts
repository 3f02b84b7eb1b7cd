import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as BlobSource from "../../src/BlobSource.js"
import * as Artifact from "../../src/content/Artifact.js"
import { Registries } from "../../src/Registries.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { utf8 } from "../support/fixtures.js"

const artifact = {
  artifactType: "application/vnd.example.report.v1",
  files: [{ title: "report.txt", source: BlobSource.fromBytes(utf8("all is well")) }]
}

describe("an error says which artifact it is about", () => {
  const other = `sha256:${"0".repeat(64)}`

  it.effect(
    "when a push turns out to have another digest than its reference, and puts nothing",
    () =>
      Effect.gen(function* () {
        const reference = `ghcr.io/owner/name:tag@${other}`
        const failure = yield* Effect.flip(Artifact.push(reference, artifact))
        expect(failure).toMatchObject({
          _tag: "DigestMismatch",
          manifest: reference,
          expected: other
        })
        expect(failure.message).toMatch(
          /^The manifest for ghcr\.io\/owner\/name:tag@sha256:0+ has the digest sha256:[0-9a-f]{64}$/
        )
        const registry = yield* Effect.flatMap(Registries, (all) => all.get("ghcr.io"))
        const { repository } = yield* Reference.parse(reference)
        const tag = yield* Reference.parseTag("tag")
        expect(yield* registry.headManifest(repository, tag)).toEqual(Option.none())
      }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )

  it.effect("when a reference leads to an index", () =>
    Effect.gen(function* () {
      const registry = yield* Effect.flatMap(Registries, (all) => all.get("ghcr.io"))
      const { repository } = yield* Reference.parse("ghcr.io/owner/name")
      yield* registry.putManifest(repository, Manifest.index({ manifests: [] }), {
        tags: [yield* Reference.parseTag("tag")]
      })
      const failure = yield* Effect.flip(Artifact.pull("ghcr.io/owner/name:tag"))
      expect(failure).toMatchObject({ _tag: "MediaTypeMismatch" })
      expect(failure.message).toMatch(/^ghcr\.io\/owner\/name:tag: expected a manifest of type/)
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )
})
