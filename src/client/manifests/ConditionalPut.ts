/**
 * Manifests that are put only if a tag is what the caller expects. Few registries heed the headers
 * of the condition (Docker's sends an `ETag` and ignores `If-Match`), so the tag is read right
 * before and after as well: that narrows the time in which another writer is not noticed, and does
 * not close it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ChangedManifest from "../../internal/ChangedManifest.js"
import { exchangeOf } from "../../internal/ErrorMessage.js"
import type { PutCondition, Registry } from "../../Registry.js"
import { type Exchange, isTransient, PreconditionFailed } from "../../RegistryError.js"
import type { Digest } from "../../spec/Digest.js"
import type { Manifest } from "../../spec/Manifest.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"
import * as Retry from "../http/Retry.js"

/**
 * Runs `put`, which puts a manifest under the tag of the condition, and is not retried by itself.
 * Returns its response; none where an attempt was not answered and has been seen to have put the
 * manifest, which counts as a success ([RFC 9110 section
 * 13.1.1](https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1)): whether this client or another
 * put the same bytes, nobody can tell. Before it is tried again the tag is read, so that no attempt
 * replaces what another writer put meanwhile.
 */
export const run = Effect.fnUntraced(function* <A, E extends { readonly _tag: string }>(
  to: Retry.Retrying,
  head: Registry.Service["headManifest"],
  repository: RepositoryName,
  manifest: Manifest,
  { is: expected, tag }: PutCondition,
  put: Effect.Effect<A, E | PreconditionFailed>
) {
  const read = stateOf(head, repository, tag)
  const failure = (
    reason: PreconditionFailed["reason"],
    actual: string | undefined,
    facts: Exchange = {}
  ) => new PreconditionFailed({ ...facts, repository, tag, expected, actual, reason })

  const again = Retry.attempts<E>(to)
  let isInDoubt = false
  for (;;) {
    const before = yield* read
    if (isInDoubt && isOf(manifest, before)) return undefined
    if (before !== expected) return yield* failure(isInDoubt ? "LostRace" : "Changed", before)
    const response = yield* Effect.either(put)
    if (Either.isRight(response)) {
      const after = yield* read
      if (isOf(manifest, after)) return response.right
      return yield* failure(after === expected ? "Unconfirmed" : "LostRace", after)
    }
    const error = response.left
    if (error instanceof PreconditionFailed) {
      const after = yield* Effect.orElseSucceed(read, () => undefined)
      if (isInDoubt && after !== undefined && isOf(manifest, after)) return undefined
      return yield* failure(
        isInDoubt ? "LostRace" : "Changed",
        after === expected ? undefined : after,
        exchangeOf(error)
      )
    }
    if (!isTransient(error)) return yield* Effect.fail(error)
    yield* again(error)
    isInDoubt ||= !Retry.isUnsent(error)
  }
})

/** Returns what a tag is. */
export const stateOf = (
  head: Registry.Service["headManifest"],
  repository: RepositoryName,
  tag: Tag
): Effect.Effect<PutCondition["is"], Registry.HeadManifestError> =>
  Effect.map(
    head(repository, tag),
    Option.match({ onNone: () => "absent" as const, onSome: ({ digest }) => digest })
  )

/** Whether a tag has these bytes, by whatever algorithm the registry names them. */
export const isOf = (manifest: Manifest, digest: Digest | "absent"): boolean =>
  digest !== "absent" && ChangedManifest.isOf(manifest, digest)
