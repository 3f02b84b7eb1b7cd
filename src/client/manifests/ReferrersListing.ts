/**
 * Lists the referrers of a manifest: by the registry, or by the referrers tag where that has no
 * lists.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Case } from "../../protocol/internal/OperationCases.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import type { Registry } from "../../Registry.js"
import type { InvalidManifest, MediaTypeMismatch, Unsupported } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import type { StatusError } from "../http/Classify.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { ExchangeError } from "../http/ExchangeError.js"
import type { Pipeline } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import * as ReportedErrors from "../http/ReportedErrors.js"
import * as ErrorsInstead from "../lists/ErrorsInstead.js"
import * as Pages from "../lists/Pages.js"
import { invalid, longest, nameOf } from "./ManifestRequests.js"
import * as ReferrersApi from "./ReferrersApi.js"
import * as ReferrersTag from "./ReferrersTag.js"
import type { TaggedLists } from "./TaggedLists.js"

type ListReferrers = Case<"ListReferrers">

/** A page of a list that the registry keeps. */
interface Page {
  readonly index: Manifest.ImageIndex
  readonly response: Received.Received
}

/** What reading such a page can fail with: `Unsupported` and `NotAList` say that there are none. */
export type PageError = Unsupported | Pages.NotAList | InvalidManifest | StatusError | ExchangeError

/** Reads a page of a list that the registry keeps. */
export const readPage = Effect.fnUntraced(function* (
  to: Endpoint,
  { read }: Pipeline,
  operation: ListReferrers
): Effect.fn.Return<Page, PageError> {
  const [bytes, response] = yield* read(operation, Pages.pageLimit(to))
  const index = yield* Effect.mapError(readIndex(bytes, response), (error) => {
    const name = nameOf(to, operation.repository, operation.digest)
    return invalid(`the referrers of ${name}`, error, response)
  })
  const errors = index && errorsIn(bytes, index, response)
  if (errors !== undefined) return yield* errors
  if (index === undefined) return yield* new Pages.NotAList(Received.exchangeOf(response))
  return { index, response }
})

/** Returns the operation `referrers`. */
export const make = (
  to: Endpoint,
  pageOf: (operation: ListReferrers) => Effect.Effect<Page, PageError>,
  lists: Pick<TaggedLists, "read" | "recent">,
  { getManifest, headManifest }: Pick<Registry.Service, "getManifest" | "headManifest">
): Registry.Service["referrers"] => {
  const page = Effect.fnUntraced(function* (operation: ListReferrers) {
    const { index, response } = yield* pageOf(operation)
    yield* warnOfSkipped(nameOf(to, operation.repository, operation.digest), index, response)
    const { manifests, skipped = [] } = index
    return { items: manifests, entries: manifests.length + skipped.length, response }
  })
  const manifestOf = makeManifestOf(to, getManifest)
  const merge = makeMerge(headManifest)

  const listByTag = Effect.fnUntraced(function* (
    repository: RepositoryName,
    subject: Digest.Digest
  ) {
    const found = yield* lists.read(repository, subject)
    const index = Option.flatMap(found, ({ manifest }) => ReferrersTag.index(manifest))
    if (Option.isSome(found) && Option.isSome(index))
      yield* warnOfSkipped(nameOf(to, repository, subject), index.value, found.value.response)
    const listedNow = Option.match(index, {
      onNone: () => [],
      onSome: ({ manifests }) => manifests
    })
    const entries = new Map(listedNow.map((entry) => [entry.digest, entry]))
    yield* merge(repository, entries, yield* lists.recent(repository, subject))
    const listed = Stream.fromIterable(entries.values())
    // Another subject's tag may be the same (trap 49).
    return ReferrersTag.isCut(subject)
      ? Stream.filterEffect(listed, ({ digest }) =>
          Effect.map(
            manifestOf(repository, digest),
            Option.match({
              onNone: () => true,
              onSome: (manifest) =>
                Option.exists(Manifest.subject(manifest), ({ digest }) => digest === subject)
            })
          )
        )
      : listed
  })

  /** Cosign 3 wrote entries of the empty type, and without annotations (CP10). */
  const typed = (repository: RepositoryName) => (entry: Descriptor) =>
    MediaType.equals(entry.artifactType || MediaType.empty, MediaType.empty)
      ? Effect.map(
          manifestOf(repository, entry.digest),
          Option.match({
            onNone: () => entry,
            onSome: (manifest) => ({ ...entry, ...Manifest.referrer(manifest) })
          })
        )
      : Effect.succeed(entry)

  return (repository, digest, { artifactType } = {}) => {
    const fallback = (exchange: Pages.NotAList | Unsupported) =>
      to.referrersTag
        ? Stream.unwrap(listByTag(repository, digest))
        : Stream.fail(ReferrersApi.unsupported(exchange))
    const listed = Pages.paginate(
      to,
      Operation.ListReferrers({ repository, digest, artifactType }),
      { page, key: (referrer) => referrer.digest }
    ).pipe(Stream.catchTags({ Unsupported: fallback, NotAList: fallback }))
    // The filter of the registry is an economy, not to be relied on: ours applies to every page
    // (C91, trap 46).
    return artifactType === undefined
      ? listed
      : Stream.mapEffect(listed, typed(repository), { concurrency: 4 }).pipe(
          Stream.filter((entry) => MediaType.equals(entry.artifactType ?? "", artifactType))
        )
  }
}

/**
 * Returns what corrects the entries of a list by what was changed here, and it does not say: that
 * is so as far as the referrers are there.
 */
const makeMerge =
  (head: Registry.Service["headManifest"]) =>
  (
    repository: RepositoryName,
    entries: Map<Digest.Digest, Descriptor>,
    changes: ReadonlyArray<ReferrersTag.Change>
  ) =>
    Effect.forEach(
      changes.filter(
        (change) => (change._tag === "Add") !== entries.has(ReferrersTag.digestOf(change))
      ),
      (change) => {
        const digest = ReferrersTag.digestOf(change)
        return Effect.map(Effect.option(head(repository, digest)), (found) => {
          const isThere = Option.map(found, Option.isSome)
          if (change._tag === "Add" && Option.contains(isThere, true))
            entries.set(digest, change.referrer)
          if (change._tag === "Remove" && Option.contains(isThere, false)) entries.delete(digest)
        })
      },
      { concurrency: 4, discard: true }
    )

/** Returns what gets a manifest that a list names: none where that cannot be judged by. */
const makeManifestOf = (to: Endpoint, getManifest: Registry.Service["getManifest"]) => {
  const unusable = (repository: RepositoryName, digest: Digest.Digest) => (error: unknown) =>
    Effect.as(
      Effect.logWarning(
        `${nameOf(to, repository, digest)} is listed as a referrer, and cannot be read`,
        error
      ),
      Option.none<Manifest.Manifest>()
    )
  return (repository: RepositoryName, digest: Digest.Digest) => {
    const left = unusable(repository, digest)
    return Effect.catchTags(Effect.asSome(getManifest(repository, digest)), {
      ManifestUnknown: left,
      NameUnknown: left,
      InvalidManifest: left,
      InvalidDigest: left,
      DigestMismatch: left,
      MediaTypeMismatch: left
    })
  }
}

/**
 * Reads the index that the response to a request for referrers has (C87), if it has one: some
 * answer a path that they do not know with 200 and a document of another kind (trap 45). Fails if
 * it says to be one and is not.
 */
const readIndex = (
  bytes: Uint8Array,
  response: Received.Received
): Effect.Effect<Manifest.ImageIndex | undefined, InvalidManifest | MediaTypeMismatch> => {
  const mediaType = MediaType.essence(SingleField.value(response.headers, "content-type") ?? "")
  return Effect.matchEffect(Manifest.fromBytes(bytes, { mediaType }), {
    onFailure: (error) =>
      MediaType.equals(mediaType, MediaType.imageIndex)
        ? Effect.fail(error)
        : Effect.succeed(undefined),
    onSuccess: (manifest) => Effect.succeed(Option.getOrUndefined(ReferrersTag.index(manifest)))
  })
}

/** A registry that lists referrers may fail to, and say so beside a list that is not all of it. */
const errorsIn = (
  bytes: Uint8Array,
  { manifests }: Manifest.ImageIndex,
  response: Received.Received
) => ErrorsInstead.of(response, ReportedErrors.parse(bytes), manifests, "referrers")

const warnOfSkipped = (
  name: string,
  { skipped: [first, ...others] = [] }: Manifest.ImageIndex,
  response: Received.Received
): Effect.Effect<void> => {
  if (first === undefined) return Effect.void
  const problem = Received.textOf(response, first.message, longest)
  const skipped = `${others.length + 1} entries that cannot be read, which are left out`
  return Effect.logWarning(`The list of referrers of ${name} has ${skipped}: ${problem}`)
}
