import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Artifact from "effect-oci/Artifact"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import { size } from "./size.js"

it.effect("adds up the files of an artifact", () =>
  Effect.gen(function* () {
    yield* Artifact.push("ghcr.io/owner/name:tag", {
      artifactType: "application/vnd.example.v1",
      files: [
        { title: "a", source: new Uint8Array(40) },
        { title: "b", source: new Uint8Array(2) }
      ]
    })
    expect(yield* size("ghcr.io/owner/name:tag")).toBe(42)
  }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
)
