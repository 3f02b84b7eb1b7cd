/** References as programs give them, and what of them an operation cannot do without. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Digest } from "../spec/Digest.js"
import * as Reference from "../spec/Reference.js"
import * as Spans from "./Spans.js"

/**
 * Runs an operation on a reference, which is parsed unless that was done, in a span
 * `effect-oci/<name>` whose attribute `oci.reference` is the reference.
 */
export const run = <A, E, R>(
  name: string,
  reference: string | Reference.Reference,
  use: (reference: Reference.Reference) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Reference.InvalidReference, R> =>
  Effect.matchEffect(parse(reference), {
    // What is not a reference can hold a password (T13).
    onFailure: (error) => Spans.inSpan(name, () => ({}), Effect.fail(error)),
    onSuccess: (parsed) => Spans.inSpan(name, attributesOf(parsed), use(parsed))
  })

/** The same for a stream. */
export const stream = <A, E, R>(
  name: string,
  reference: string | Reference.Reference,
  use: (reference: Reference.Reference) => Stream.Stream<A, E, R>
): Stream.Stream<A, E | Reference.InvalidReference, R> =>
  Stream.unwrap(
    Effect.match(parse(reference), {
      onFailure: (error): Stream.Stream<A, E | Reference.InvalidReference, R> =>
        Spans.streamInSpan(name, () => ({}), Stream.fail(error)),
      onSuccess: (parsed) => Spans.streamInSpan(name, attributesOf(parsed), use(parsed))
    })
  )

const attributesOf = (reference: Reference.Reference) => () => ({
  "oci.reference": Reference.format(reference)
})

const parse = (
  reference: string | Reference.Reference
): Effect.Effect<Reference.Reference, Reference.InvalidReference> =>
  typeof reference === "string" ? Reference.parse(reference) : Effect.succeed(reference)

/** Returns the digest of a reference. Without one, fails with what `problem` says of the name. */
export const requireDigest = (
  reference: Reference.Reference,
  problem: (name: string) => string
): Effect.Effect<Digest, Reference.InvalidReference> =>
  Option.match(reference.digest, {
    onNone: () => invalid(reference, "Digest", problem(nameOf(reference))),
    onSome: (digest) => Effect.succeed(digest)
  })

/** Returns the tag of a reference. Without one, fails with what `problem` says of the name. */
export const requireTag = (
  reference: Reference.Reference,
  problem: (name: string) => string
): Effect.Effect<Reference.Tag, Reference.InvalidReference> =>
  Option.match(reference.tag, {
    onNone: () => invalid(reference, "Tag", problem(nameOf(reference))),
    onSome: (tag) => Effect.succeed(tag)
  })

/**
 * Fails for a reference without tag and digest: reads take it for `latest`, and what writes or
 * removes never does.
 */
export const requireVersion = (
  reference: Reference.Reference
): Effect.Effect<void, Reference.InvalidReference> =>
  Option.isSome(reference.tag) || Option.isSome(reference.digest)
    ? Effect.void
    : invalid(
        reference,
        "Tag",
        "has neither tag nor digest. What reads takes that for latest, and what writes or " +
          `removes never does: write ${nameOf(reference)}:latest if that is meant`
      )

const nameOf = ({ host, repository }: Reference.Reference): string => `${host}/${repository}`

const invalid = (
  reference: Reference.Reference,
  reason: Reference.InvalidReference["reason"],
  problem: string
) => {
  const input = Reference.format(reference)
  return Effect.fail(
    new Reference.InvalidReference({
      input: input.slice(0, 128),
      reason,
      message: `${input} ${problem}`
    })
  )
}
