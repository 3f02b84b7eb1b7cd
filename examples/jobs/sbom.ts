import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Artifact from "effect-oci/Artifact"
import * as ByteStream from "effect-oci/ByteStream"
import * as Referrers from "effect-oci/Referrers"

const spdx = "application/spdx+json"

/** Attaches an SBOM to an image. */
export const attachSbom = (image: string, sbom: Uint8Array) =>
  Artifact.attach(image, {
    artifactType: spdx,
    files: [{ title: "sbom.spdx.json", mediaType: spdx, source: sbom }]
  })

/** The SBOMs that are attached to an image and to its platforms, verified. */
export const findSboms = (image: string) =>
  Effect.gen(function* () {
    const found = Referrers.walk(image, { artifactType: spdx, depth: 1, platforms: true })
    const sboms = yield* Stream.runCollect(found)
    const pulled = yield* Effect.forEach(sboms, ({ reference }) => Artifact.pull(reference))
    const files = pulled.flatMap(({ files }) => files)
    return yield* Effect.forEach(files, ({ content }) => ByteStream.text(content))
  })
