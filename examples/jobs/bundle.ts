import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Annotations from "effect-oci/Annotations"
import * as Artifact from "effect-oci/Artifact"

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

/** Attaches a signed bundle to what was signed: to a digest, whatever the tags are by now. */
export const attachBundle = (name: string, digest: string, bundle: Uint8Array) =>
  Effect.gen(function* () {
    return yield* Artifact.attach(`${name}@${digest}`, {
      artifactType: bundleType,
      files: [{ mediaType: bundleType, source: bundle }],
      annotations: {
        [Annotations.bundleContent]: "dsse-envelope",
        [Annotations.bundlePredicateType]: "https://sigstore.dev/cosign/sign/v1"
      },
      created: new Date(yield* Clock.currentTimeMillis)
    })
  }).pipe(Effect.timeout("5 minutes"))
