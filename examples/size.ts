import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Artifact from "effect-oci/Artifact"

/** The size of an artifact's files in bytes, counted while each streams by, verified. */
export const size = (reference: string) =>
  Effect.gen(function* () {
    const artifact = yield* Artifact.pull(reference)
    const sizes = yield* Effect.forEach(artifact.files, (file) =>
      Stream.runFold(file.content, 0, (size, bytes) => size + bytes.length)
    )
    return sizes.reduce((total, size) => total + size, 0)
  })
