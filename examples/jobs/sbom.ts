import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Artifact from "effect-oci/Artifact"
import * as ByteStream from "effect-oci/ByteStream"
import * as Reference from "effect-oci/Reference"
import * as Registries from "effect-oci/Registries"

const spdx = "application/spdx+json"

/** Attaches an SBOM to an image. */
export const attachSbom = (image: string, sbom: Uint8Array) =>
  Artifact.attach(image, {
    artifactType: spdx,
    files: [{ title: "sbom.spdx.json", mediaType: spdx, source: sbom }]
  })

/** The SBOMs that are attached to an image, verified. */
export const findSboms = (image: string) =>
  Effect.gen(function* () {
    const { reference } = yield* Registries.resolve(image)
    const found = yield* Stream.runCollect(Registries.referrers(reference, { artifactType: spdx }))
    const files = yield* Effect.forEach(found, ({ digest }) =>
      Effect.map(Artifact.pull(Reference.withDigest(reference, digest)), ({ files }) => files)
    )
    return yield* Effect.forEach(files.flat(), ({ content }) => ByteStream.text(content))
  })
