import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Registries from "effect-oci/Registries"

/**
 * Promotes an image within its repository, with all its platforms and referrers, if something of
 * this type is attached to it: a signature, say. A tag that moves meanwhile changes nothing.
 */
export const promote = (candidate: string, tag: string, artifactType: string) =>
  Effect.gen(function* () {
    const { reference } = yield* Registries.resolve(candidate)
    const signatures = Registries.referrers(reference, { artifactType })
    yield* Effect.flatten(Stream.runHead(signatures))
    return yield* Registries.tag(reference, tag)
  })
