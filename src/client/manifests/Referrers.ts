/**
 * The referrers of manifests: listed by the registry where it does that, and under the referrers
 * tag where it does not, in which case pushing and deleting a referrer changes the list.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ErrorAfterPut from "../../internal/ErrorAfterPut.js"
import type { Case } from "../../protocol/internal/OperationCases.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import type { Registry } from "../../Registry.js"
import type { Unsupported } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Pipeline } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import { type ManifestRequests, nameOf } from "./ManifestRequests.js"
import * as ReferrersApi from "./ReferrersApi.js"
import * as ReferrersListing from "./ReferrersListing.js"
import * as TaggedLists from "./TaggedLists.js"

/** What concerns referrers in the operations on manifests. */
export interface Referrers {
  readonly referrers: Registry.Service["referrers"]
  /**
   * Fails with `Unsupported` for a manifest with a subject, before it is put, where neither the
   * registry nor this client would list it.
   */
  readonly check: (
    repository: RepositoryName,
    manifest: Manifest.Manifest
  ) => Effect.Effect<void, Unsupported>
  /**
   * Lists a manifest that was put, and `response` the response to that if there was one, among its
   * subject's. An error says that the manifest itself is stored.
   */
  readonly add: (
    repository: RepositoryName,
    manifest: Manifest.Manifest,
    response: Received.Received | undefined
  ) => Effect.Effect<void, TaggedLists.ChangeError | Unsupported>
  /** Deletes a tag by `deletion`: it can be that of a list. */
  readonly deleteTag: (
    repository: RepositoryName,
    tag: Tag,
    deletion: Effect.Effect<void, Registry.DeleteTagError>
  ) => Effect.Effect<void, Registry.DeleteTagError>
  /**
   * Deletes a manifest by `deletion`, and removes it from the list of its subject before, which
   * takes knowing the subject (C97, trap 51).
   */
  readonly deleteManifest: (
    repository: RepositoryName,
    digest: Digest.Digest,
    deletion: Effect.Effect<void, Registry.DeleteManifestError>
  ) => Effect.Effect<void, Registry.DeleteManifestError>
}

/** How manifests are read, by callers (`asked`) and for the sake of something else. */
interface Reads {
  readonly asked: Pick<Registry.Service, "getManifest">
  readonly own: Pick<Registry.Service, "getManifest" | "headManifest">
}

/** The referrers of one registry. */
export const make = (
  to: Endpoint,
  pipeline: Pipeline,
  requests: ManifestRequests,
  { asked, own }: Reads
): Referrers => {
  const lists = TaggedLists.make(to, pipeline, requests, own.headManifest)
  const api = makeApi(to, pipeline)

  const check: Referrers["check"] = Effect.fnUntraced(function* (repository, manifest) {
    const subject = Option.getOrUndefined(Manifest.subject(manifest))
    if (to.referrersTag || subject === undefined) return
    const keeps = yield* Effect.orElseSucceed(api.keeps(repository, subject.digest), () => true)
    if (!keeps) return yield* ReferrersApi.unsupported({})
  })

  const add: Referrers["add"] = Effect.fnUntraced(
    function* (repository, manifest, response) {
      const subject = Option.getOrUndefined(Manifest.subject(manifest))
      if (subject === undefined) return
      const isListed =
        (response === undefined ||
          SingleField.value(response.headers, "oci-subject") !== undefined) &&
        (yield* Effect.orElseSucceed(api.keeps(repository, subject.digest), () => true))
      if (isListed) return
      if (!to.referrersTag)
        return yield* ReferrersApi.unsupported(response ? Received.exchangeOf(response) : {})
      const referrer = Manifest.referrer(manifest)
      yield* lists.change(repository, subject.digest, { _tag: "Add", referrer })
    },
    (effect, _repository, { descriptor: { digest } }) =>
      Effect.mapError(effect, (error) => ErrorAfterPut.withDigest(error, digest))
  )

  const deleteManifest = makeDeleteManifest(to, api, lists, own)

  return {
    referrers: ReferrersListing.make(to, api.readPage, lists, {
      getManifest: asked.getManifest,
      headManifest: own.headManifest
    }),
    check,
    add,
    deleteTag: (repository, tag, deletion) =>
      Effect.zipLeft(deletion, lists.noteDeletion(repository, tag)),
    deleteManifest: (repository, digest, deletion) =>
      deleteManifest(
        repository,
        digest,
        Effect.zipLeft(deletion, lists.noteDeletion(repository, digest))
      )
  }
}

/** What is known of the lists that the registry keeps. */
const makeApi = (to: Endpoint, pipeline: Pipeline) => {
  // That a registry has one list proves that it has them all.
  let isKnown = false

  const readPage = (operation: Case<"ListReferrers">) =>
    Effect.tap(ReferrersListing.readPage(to, pipeline, operation), () => {
      isKnown = true
    })

  /**
   * Whether the registry keeps the list. `OCI-Subject` alone proves nothing: ECR once sent it
   * without keeping referrers (rule 16).
   */
  const keeps = (repository: RepositoryName, digest: Digest.Digest) =>
    isKnown
      ? Effect.succeed(true)
      : Effect.as(readPage(Operation.ListReferrers({ repository, digest })), true).pipe(
          Effect.catchIf(ReferrersApi.isAbsence, () => Effect.succeed(false))
        )

  return { readPage, keeps, isKnown: () => isKnown }
}

const makeDeleteManifest = (
  to: Endpoint,
  api: ReturnType<typeof makeApi>,
  lists: TaggedLists.TaggedLists,
  own: Reads["own"]
): Referrers["deleteManifest"] => {
  /** Returns what is to be deleted, and its subject, if that has its list under a tag. */
  const listed = Effect.fnUntraced(function* (repository: RepositoryName, digest: Digest.Digest) {
    const manifest = yield* own.getManifest(repository, digest)
    const subject = Option.getOrUndefined(Manifest.subject(manifest))
    return subject === undefined || (yield* api.keeps(repository, subject.digest))
      ? undefined
      : { subject: subject.digest, referrer: Manifest.referrer(manifest) }
  })

  /** Lists a referrer again that was not deleted. */
  const restore = (repository: RepositoryName, subject: Digest.Digest, referrer: Descriptor) =>
    Effect.flatMap(
      own.headManifest(repository, referrer.digest),
      Option.match({
        onNone: () => Effect.void,
        onSome: () => lists.change(repository, subject, { _tag: "Add", referrer })
      })
    ).pipe(
      Effect.catchAll((error) =>
        Effect.logWarning(
          `${nameOf(to, repository, referrer.digest)} is not deleted, and no longer listed ` +
            "under the referrers tag: push it again",
          error
        )
      )
    )

  return Effect.fnUntraced(function* (repository, digest, deletion) {
    if (api.isKnown() || !to.referrersTag) return yield* deletion
    const found = yield* Effect.either(listed(repository, digest))
    const { referrer, subject } = Option.getOrUndefined(Either.getRight(found)) ?? {}
    const changed: Either.Either<unknown, { readonly _tag: string }> =
      subject === undefined || referrer === undefined
        ? yield* Effect.as(deletion, found)
        : // The list first, and the referrer last: a registry may keep what a list names (CP08).
          yield* Effect.either(lists.change(repository, subject, { _tag: "Remove", digest })).pipe(
            Effect.zipLeft(deletion),
            Effect.onError(() => restore(repository, subject, referrer))
          )
    // The manifest is deleted, which is what was asked for.
    const error = Option.getOrUndefined(Either.getLeft(changed))
    if (error !== undefined && error._tag !== "ManifestUnknown" && error._tag !== "NameUnknown")
      yield* Effect.logWarning(
        `${nameOf(to, repository, digest)} is deleted, and a referrers tag may still list it`,
        error
      )
  })
}
