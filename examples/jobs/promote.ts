import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Copy from "effect-oci/Copy"
import * as Registries from "effect-oci/Registries"

const everything = { referrers: true, tagging: "unchanged" } as const

/** What `promote` would do, a line for each step. */
export const review = (candidate: string, release: string) =>
  Stream.map(Copy.plan(candidate, release, everything), Copy.format)

/** Nothing of this type is attached to a candidate, which is not promoted. */
export class Unsigned extends Data.TaggedError("Unsigned")<{
  readonly candidate: string
  readonly artifactType: string
}> {}

/**
 * Promotes an image to where a reference with a tag says, in the same registry or another one, with
 * all its platforms and all that is attached to them, if something of this type is attached to it:
 * a signature, say. A tag that moves meanwhile changes nothing.
 */
export const promote = (candidate: string, release: string, artifactType: string) =>
  Effect.gen(function* () {
    const { reference } = yield* Registries.resolve(candidate)
    const signatures = Registries.referrers(reference, { artifactType })
    const isSigned = Option.isSome(yield* Stream.runHead(signatures))
    if (!isSigned) return yield* new Unsigned({ candidate, artifactType })
    return yield* Copy.copy(reference, release, everything)
  })
