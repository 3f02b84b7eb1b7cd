/** Where the blobs of a cache are: in the store, or on their way into it. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Registry } from "../../../Registry.js"
import { isAbsent, ProtocolViolation } from "../../../RegistryError.js"
import type * as Digest from "../../../spec/Digest.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import type { Cache } from "./Cache.js"
import { blobOf, descriptorOf, type Entry } from "./Content.js"
import * as Download from "./Download.js"
import { Fill } from "./Fill.js"
import { headOrElse, Requests } from "./Requests.js"

/** What the upstream registry says of a blob that it has. */
interface Known {
  readonly size: number | undefined
}

/** What `make` makes. */
export type BlobLookup = ReturnType<typeof make>

/**
 * Finds blobs: in the store, on their way into it, or at the upstream registry, which is asked
 * before anything is given to the readers of a repository for which it was not asked yet (V18).
 */
export const make = (cache: Cache) => {
  const { content, fills } = cache
  const { describe, remember } = describing(cache)

  const found = (repository: RepositoryName, digest: Digest.Digest): Entry | Fill | undefined => {
    const fill = fills.get(digest)
    return (
      content.use(repository, digest) ??
      (fill?.repositories.has(repository) === true ? fill : undefined)
    )
  }

  /** Found or begun in one synchronous step, or two readers could begin at once. */
  const openKnown = (
    repository: RepositoryName,
    digest: Digest.Digest,
    { size }: Known
  ): Effect.Effect<Entry | Fill> =>
    Effect.suspend(() => {
      const entry = content.get(digest)
      if (entry !== undefined) content.share(entry, repository)
      fills.get(digest)?.repositories.add(repository)
      const there = found(repository, digest)
      if (there !== undefined) return Effect.succeed(there)
      const fill = new Fill(digest, repository, size, cache.windows)
      const begun = Download.begin(cache, fill, (error) =>
        isAbsent(error) ? remember(repository, digest, Effect.fail(error)) : Effect.void
      )
      return Effect.as(begun, fill)
    }).pipe(Effect.uninterruptible)

  const open = (repository: RepositoryName, digest: Digest.Digest) =>
    Effect.suspend((): Effect.Effect<Entry | Fill, Registry.GetBlobError> => {
      const there = found(repository, digest)
      return there !== undefined
        ? Effect.succeed(there)
        : Effect.flatMap(describe(repository, digest), (known) =>
            openKnown(repository, digest, known)
          )
    })

  /** The size, unless only a download can tell it. */
  const size = (repository: RepositoryName, digest: Digest.Digest) =>
    Effect.suspend((): Effect.Effect<Option.Option<number>, Registry.GetBlobError> => {
      const entry = content.use(repository, digest)
      return entry !== undefined
        ? Effect.succeedSome(entry.descriptor.size)
        : Effect.map(describe(repository, digest), (known) => Option.fromNullable(known.size))
    })

  return { open, size }
}

/** Asks for a blob upstream, and remembers it: who asks with HEAD will ask with GET. */
const describing = ({ absenceTimeToLive, scope, upstream }: Cache) => {
  const requests = new Requests<Known, Registry.GetBlobError>(scope, absenceTimeToLive)

  const remember = (
    repository: RepositoryName,
    digest: Digest.Digest,
    response: Effect.Effect<Known, Registry.GetBlobError>
  ) => requests.remember(`${repository}@${digest}`, response)

  const describe = (repository: RepositoryName, digest: Digest.Digest) =>
    requests.run(
      `${repository}@${digest}`,
      Effect.tap(
        headOrElse(
          upstream.headBlob(repository, digest),
          Effect.as(Stream.runHead(upstream.getBlob(repository, digest)), { size: undefined })
        ),
        (known) => remember(repository, digest, Effect.succeed(known))
      )
    )

  return { describe, remember }
}

/**
 * Makes the operation that finds a blob. An upstream registry that does not tell a size makes it
 * wait for the whole blob (V24).
 */
export const head =
  ({ upstream }: Cache, { open, size }: BlobLookup): Registry.Service["headBlob"] =>
  (repository, digest) =>
    Effect.gen(function* () {
      const known = yield* size(repository, digest)
      if (Option.isSome(known)) return Option.some(descriptorOf(digest, known.value))
      const there = yield* open(repository, digest)
      if (!(there instanceof Fill)) return Option.some(blobOf(there))
      yield* Effect.catchTags(Deferred.await(there.ended), {
        NotStored: () => Effect.void,
        UpstreamFailed: ({ error }) => Effect.fail(error)
      })
      return there.complete
        ? Option.some(descriptorOf(digest, there.received))
        : yield* upstream.headBlob(repository, digest)
    }).pipe(
      Effect.catchTags({
        BlobUnknown: () => Effect.succeedNone,
        NameUnknown: () => Effect.succeedNone,
        SizeMismatch: ({ message }) => new ProtocolViolation({ problem: message }),
        InvalidDigest: ({ message }) => new ProtocolViolation({ problem: message })
      })
    )
