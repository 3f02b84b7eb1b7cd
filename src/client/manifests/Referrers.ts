/**
 * The referrers of manifests: listed by the registry where it does that, and under the referrers
 * tag where it does not, in which case pushing and deleting a referrer changes the list.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Case } from "../../protocol/internal/OperationCases.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import type { Registry } from "../../Registry.js"
import {
  type DigestMismatch,
  type InvalidManifest,
  type MediaTypeMismatch,
  ProtocolViolation,
  type Unsupported
} from "../../RegistryError.js"
import type * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Reference from "../../spec/Reference.js"
import type { StatusError } from "../http/Classify.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { ExchangeError } from "../http/ExchangeError.js"
import type { OwnErrors } from "../http/OperationErrors.js"
import type { Pipeline } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import * as ReportedErrors from "../http/ReportedErrors.js"
import * as ErrorsInstead from "../lists/ErrorsInstead.js"
import * as Pages from "../lists/Pages.js"
import { invalid, longest, type ManifestRequests, nameOf } from "./ManifestRequests.js"
import * as ReferrersApi from "./ReferrersApi.js"
import * as ReferrersTag from "./ReferrersTag.js"

type ListReferrers = Case<"ListReferrers">

type ChangeError =
  | OwnErrors["PutManifest"]
  | DigestMismatch
  | InvalidManifest
  | ProtocolViolation
  | StatusError
  | ExchangeError

type ListError = Unsupported | Pages.NotAList | InvalidManifest | StatusError | ExchangeError

/** What concerns referrers in the operations on manifests. */
export interface Referrers {
  readonly referrers: Registry.Service["referrers"]
  /**
   * Lists a manifest that was put, and `response` the response to that if there was one, among its
   * subject's.
   */
  readonly add: (
    repository: RepositoryName,
    manifest: Manifest.Manifest,
    response: Received.Received | undefined
  ) => Effect.Effect<void, ChangeError>
  /**
   * Deletes a manifest, and removes it from the list of its subject, which takes knowing the
   * subject before the manifest is gone (C97, trap 51).
   */
  readonly deleteManifest: <E>(
    repository: RepositoryName,
    digest: Digest.Digest,
    manifest: Effect.Effect<Manifest.Manifest, GetManifestError>,
    deletion: Effect.Effect<void, E>
  ) => Effect.Effect<void, E>
}

type GetManifestError = Effect.Effect.Error<ReturnType<Registry.Service["getManifest"]>>

/** The referrers of one registry. */
export const make = (to: Endpoint, { read }: Pipeline, requests: ManifestRequests): Referrers => {
  const byTag = makeByTag(to, requests)

  // That a registry has one list proves that it has them all.
  let isKnownToList = false

  const readPage = Effect.fnUntraced(function* (operation: ListReferrers) {
    const [bytes, response] = yield* read(operation, Pages.pageLimit(to))
    const index = yield* Effect.mapError(readIndex(bytes, response), (error) => {
      const name = nameOf(to, operation.repository, operation.digest)
      return invalid(`the referrers of ${name}`, error, response)
    })
    const errors = index && errorsIn(bytes, index, response)
    if (errors !== undefined) return yield* errors
    if (index === undefined) return yield* new Pages.NotAList(Received.exchangeOf(response))
    isKnownToList = true
    return { index, response }
  })

  /**
   * Whether the registry keeps the list. `OCI-Subject` alone proves nothing: ECR once sent it
   * without keeping referrers (rule 16).
   */
  const keepsList = (repository: RepositoryName, digest: Digest.Digest) =>
    isKnownToList
      ? Effect.succeed(true)
      : Effect.as(readPage(Operation.ListReferrers({ repository, digest })), true).pipe(
          Effect.catchIf(ReferrersApi.isAbsence, () => Effect.succeed(false))
        )

  const add: Referrers["add"] = Effect.fnUntraced(function* (repository, manifest, response) {
    const subject = Option.getOrUndefined(Manifest.subject(manifest))
    if (subject === undefined) return
    const isListed =
      (response === undefined ||
        SingleField.value(response.headers, "oci-subject") !== undefined) &&
      (yield* Effect.orElseSucceed(keepsList(repository, subject.digest), () => true))
    if (!isListed)
      yield* byTag.change(repository, subject.digest, {
        _tag: "Add",
        referrer: Manifest.referrer(manifest)
      })
  })

  const remove = Effect.fnUntraced(function* (
    repository: RepositoryName,
    digest: Digest.Digest,
    manifest: Either.Either<Manifest.Manifest, GetManifestError>
  ) {
    if (Either.isLeft(manifest)) return isAbsent(manifest.left) ? undefined : yield* manifest.left
    const subject = Option.getOrUndefined(Manifest.subject(manifest.right))
    if (subject === undefined || (yield* keepsList(repository, subject.digest))) return
    yield* byTag.change(repository, subject.digest, { _tag: "Remove", digest })
  })

  const deleteManifest: Referrers["deleteManifest"] = Effect.fnUntraced(
    function* (repository, digest, manifest, deletion) {
      if (isKnownToList) return yield* deletion
      const before = yield* Effect.either(manifest)
      yield* deletion
      // The manifest is deleted, which is what was asked for.
      yield* Effect.catchAll(remove(repository, digest, before), (error) =>
        Effect.logWarning(
          `${nameOf(to, repository, digest)} is deleted, and a referrers tag may still list it`,
          error
        )
      )
    }
  )

  return { referrers: makeList(to, readPage, byTag.read), add, deleteManifest }
}

const isAbsent = ({ _tag }: GetManifestError): boolean =>
  _tag === "ManifestUnknown" || _tag === "NameUnknown"

/** What is under a referrers tag. */
interface Found {
  readonly manifest: Manifest.Manifest
  readonly response: Received.Received
}

/** The lists under referrers tags. */
const makeByTag = (to: Endpoint, { pull, put }: ManifestRequests) => {
  // Changes read, modify and write: one after the other, within this client (C80, trap 50).
  const exclusive = Effect.unsafeMakeSemaphore(1).withPermits(1)

  const read = Effect.fnUntraced(
    function* (repository: RepositoryName, subject: Digest.Digest) {
      const tag = Reference.referrersTag(subject)
      const [bytes, response] = yield* pull(repository, tag)
      if (ReferrersTag.isSubject(bytes, subject)) return Option.none<Found>()
      const manifest = yield* Effect.mapError(
        Manifest.fromBytes(bytes, {
          mediaType: SingleField.value(response.headers, "content-type")
        }),
        (error) => invalid(nameOf(to, repository, tag), error, response)
      )
      return Option.some<Found>({ manifest, response })
    },
    Effect.catchTags({
      // A list that storage has lost, or not got yet, is not to be begun anew.
      ManifestUnknown: ({ method, status, url = to.base }) =>
        Trust.isAt(to.origin, url)
          ? Effect.succeedNone
          : new ProtocolViolation({
              method,
              url,
              status,
              problem: "The registry has a list of referrers, which is not where it redirects to"
            }),
      NameUnknown: () => Effect.succeedNone
    })
  )

  const change = Effect.fnUntraced(function* (
    repository: RepositoryName,
    subject: Digest.Digest,
    change: ReferrersTag.Change
  ) {
    const tag = Reference.referrersTag(subject)
    const found = yield* read(repository, subject)
    const index = yield* Effect.mapError(
      ReferrersTag.changed(
        Option.map(found, ({ manifest }) => manifest),
        change
      ),
      (error) => invalid(nameOf(to, repository, tag), error, Option.getOrUndefined(found)?.response)
    )
    if (Option.isSome(index)) yield* put(repository, index.value, tag)
  }, exclusive)

  return { read, change }
}

type ByTag = ReturnType<typeof makeByTag>

const makeList = (
  to: Endpoint,
  readPage: (
    operation: ListReferrers
  ) => Effect.Effect<
    { readonly index: Manifest.ImageIndex; readonly response: Received.Received },
    ListError
  >,
  readTag: ByTag["read"]
): Registry.Service["referrers"] => {
  const page = Effect.fnUntraced(function* (operation: ListReferrers) {
    const { index, response } = yield* readPage(operation)
    yield* warnOfSkipped(nameOf(to, operation.repository, operation.digest), index, response)
    const { manifests, skipped = [] } = index
    return { items: manifests, entries: manifests.length + skipped.length, response }
  })
  const listByTag = Effect.fnUntraced(function* (
    repository: RepositoryName,
    digest: Digest.Digest
  ) {
    const found = yield* readTag(repository, digest)
    if (Option.isNone(found)) return []
    const { manifest, response } = found.value
    const index = ReferrersTag.index(manifest)
    if (Option.isNone(index)) return []
    yield* warnOfSkipped(nameOf(to, repository, digest), index.value, response)
    return index.value.manifests
  })
  return (repository, digest, { artifactType } = {}) => {
    const fallback = Stream.fromIterableEffect(Effect.suspend(() => listByTag(repository, digest)))
    // The filter of the registry is an economy, not to be relied on: ours applies to every page
    // (C91, trap 46).
    return Pages.paginate(to, Operation.ListReferrers({ repository, digest, artifactType }), {
      page,
      key: (referrer) => referrer.digest
    }).pipe(
      Stream.catchTags({ Unsupported: () => fallback, NotAList: () => fallback }),
      Stream.filter(
        (referrer) =>
          artifactType === undefined || MediaType.equals(referrer.artifactType ?? "", artifactType)
      )
    )
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
