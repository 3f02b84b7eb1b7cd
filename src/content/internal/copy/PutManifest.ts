/** Manifests that a target refuses since it misses what they refer to, or says so. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Registry } from "../../../Registry.js"
import { BlobUnknown, NameUnknown, RegistryFailure } from "../../../RegistryError.js"
import { type CopyFailure, type Failing, SparseIndexRefused } from "./CopyFailure.js"
import * as Graph from "./Graph.js"

/**
 * Runs `put`, which puts a manifest with these parts, but for those of an index that were omitted.
 * Where the target misses a part that it has said to have, or has just got, it is asked again after
 * a second, since what it knows may lag behind; then the part is uploaded without asking, and then
 * it fails (CP16). Where it refuses an index for what was omitted, it says so (CP18).
 */
export const put = <A>(
  put: Effect.Effect<A, Registry.PutManifestError>,
  parts: Effect.Effect<ReadonlyArray<Graph.Node>, CopyFailure>,
  omitted: ReadonlyArray<string>,
  upload: (part: Graph.Node) => Effect.Effect<void, CopyFailure>,
  failing: ReturnType<Failing>
): Effect.Effect<A, CopyFailure> =>
  Effect.gen(function* () {
    const uploaded = new Set<string>()
    for (let round = 0; ; round++) {
      const outcome = yield* Effect.either(put)
      if (Either.isRight(outcome)) return outcome.right
      const error = outcome.left
      const left =
        error instanceof BlobUnknown
          ? missing(yield* parts, omitted, error).filter((part) => !uploaded.has(Graph.idOf(part)))
          : []
      if (left.length === 0)
        return yield* failing(
          Effect.fail(
            omitted.length > 0 && isRefusal(error)
              ? new SparseIndexRefused({ missing: omitted, cause: error })
              : error
          )
        )
      if (round === 0) {
        yield* Effect.sleep("1 second")
        continue
      }
      for (const part of left) {
        yield* upload(part)
        uploaded.add(Graph.idOf(part))
      }
    }
  })

/** Returns what a target may miss of what it should have: all of it where it does not say. */
const missing = (
  parts: ReadonlyArray<Graph.Node>,
  omitted: ReadonlyArray<string>,
  { digest }: BlobUnknown
): ReadonlyArray<Graph.Node> => {
  if (digest === undefined) return omitted.length === 0 ? parts : []
  return parts.filter(({ descriptor }) => descriptor.digest === digest)
}

/** Whether a target may refuse an index for what is not there: they do so in many ways. */
const isRefusal = (
  error: Registry.PutManifestError
): error is BlobUnknown | NameUnknown | RegistryFailure =>
  error instanceof BlobUnknown ||
  error instanceof NameUnknown ||
  (error instanceof RegistryFailure && (error.status ?? 500) < 500)
