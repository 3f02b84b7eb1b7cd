import * as Effect from "effect/Effect"
import * as Artifact from "effect-oci/Artifact"
import * as Copy from "effect-oci/Copy"
import { BlobFile } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import * as Registries from "effect-oci/Registries"

/** Whether `name@digest` is there. */
export const isPublished = (pinned: string) => Registries.exists(pinned)

/** Mirrors an image with all its platforms, and returns the output to pin: `name@digest`. */
export const mirror = (from: string, to: string) =>
  Effect.map(Copy.copy(from, to), ({ reference }) => Reference.format(reference))

/** Publishes a file as the state of a resource, and returns the output to pin: `name@digest`. */
export const publish = (reference: string, path: string) =>
  Effect.gen(function* () {
    const { reference: pinned } = yield* Artifact.push(reference, {
      artifactType: "application/vnd.example.bundle.v1",
      files: [{ title: "bundle", source: yield* BlobFile.source(path) }]
    })
    return Reference.format(pinned)
  })
