/**
 * Manifests over HTTP: read and verified, written under digest and tags, deleted, and the lists of
 * their referrers.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import type { Registry } from "../../Registry.js"
import {
  type BlobUnknown,
  DigestMismatch,
  InvalidManifest,
  type MediaTypeMismatch,
  type NameUnknown,
  ProtocolViolation
} from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"
import { isPage, type Refusal } from "../http/Classify.js"
import * as ContentCoding from "../http/ContentCoding.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { ExchangeError } from "../http/Exchange.js"
import * as Limits from "../http/Limits.js"
import type { Pipeline } from "../http/Pipeline.js"
import * as Pages from "../lists/Pages.js"
import * as ReferrersTag from "./ReferrersTag.js"

/** The operations on manifests of one registry. */
export const make = (
  to: Endpoint,
  { read, remove, send }: Pipeline
): Pick<
  Registry.Service,
  "getManifest" | "headManifest" | "putManifest" | "deleteManifest" | "deleteTag" | "referrers"
> => {
  // Changes to referrers tags read, modify and write: one after the other, within this client (C80,
  // trap 50).
  const exclusive = Effect.unsafeMakeSemaphore(1).withPermits(1)

  const pull = Effect.fnUntraced(function* (
    repository: RepositoryName,
    reference: Tag | Digest.Digest
  ) {
    const [bytes, response] = yield* read(
      Operation.GetManifest({ repository, reference }),
      { what: "The manifest", limit: to.limits.manifest, option: "limits.manifest" },
      Digest.isDigest(reference) ? reference : undefined
    )
    return isPage(response)
      ? yield* new ProtocolViolation({
          ...Limits.factsOf(response),
          problem: "The registry answered with a page instead of a manifest"
        })
      : ([bytes, response] as const)
  })

  const decode = (bytes: Uint8Array, response: HttpClientResponse, digest?: Digest.Digest) =>
    Manifest.fromBytes(bytes, {
      mediaType: SingleField.value(response.headers, "content-type"),
      digest
    })

  const verified = (bytes: Uint8Array, digest: Digest.Digest, response: HttpClientResponse) =>
    Effect.flatMap(Digest.hasherFor(digest), (hasher) => {
      hasher.update(bytes)
      const actual = hasher.digest()
      return actual === digest
        ? Effect.void
        : Effect.fail(new DigestMismatch({ ...Limits.factsOf(response), expected: digest, actual }))
    })

  const getManifest: Registry.Service["getManifest"] = Effect.fnUntraced(
    function* (repository, reference) {
      const digest = Digest.isDigest(reference) ? reference : undefined
      if (digest !== undefined) yield* Digest.hasherFor(digest)
      const [bytes, response] = yield* pull(repository, reference)
      // The header is not compared: many registries send one that is not of these bytes (C24, rule
      // 7).
      if (digest !== undefined) yield* verified(bytes, digest, response)
      return yield* decode(bytes, response, digest)
    }
  )

  const headManifest: Registry.Service["headManifest"] = (repository, reference) => {
    const digest = Digest.isDigest(reference) ? reference : undefined
    const got = Effect.suspend(() =>
      Effect.map(headByGet(repository, reference), Option.some<Descriptor>)
    )
    return Effect.catchAll(
      Effect.flatMap(send(Operation.HeadManifest({ repository, reference })), (response) => {
        if (response.status === 404) return Effect.succeedNone
        const announced = announcedDigest(response)
        if (digest !== undefined && announced !== undefined && Digest.disagree(digest, announced))
          return Effect.fail(
            new DigestMismatch({ ...Limits.factsOf(response), expected: digest, actual: announced })
          )
        const found = digest ?? announced
        const mediaType = MediaType.essence(
          SingleField.value(response.headers, "content-type") ?? ""
        )
        const size = ContentCoding.length(response)
        return found === undefined ||
          size === undefined ||
          size === 0 || // No manifest is empty: proxies say so of a HEAD.
          !MediaType.isMediaType(mediaType) ||
          isPage(response)
          ? absent(got)
          : Effect.succeedSome<Descriptor>({ mediaType, digest: found, size })
      }),
      (failure) => (failure._tag === "HeadUnsupported" ? absent(got) : Effect.fail(failure))
    )
  }

  /** For registries whose HEAD lacks a header, or has those of something else (C31, trap 28). */
  const headByGet = Effect.fnUntraced(function* (
    repository: RepositoryName,
    reference: Tag | Digest.Digest
  ) {
    const [bytes, response] = yield* pull(repository, reference)
    if (Digest.isDigest(reference)) yield* verified(bytes, reference, response)
    const mediaType = MediaType.essence(SingleField.value(response.headers, "content-type") ?? "")
    const digest = Digest.isDigest(reference) ? reference : Digest.fromBytes(bytes)
    return { mediaType, digest, size: bytes.length }
  })

  const put = Effect.fnUntraced(function* (
    repository: RepositoryName,
    manifest: Manifest.Manifest,
    reference: Tag | Digest.Digest,
    tags?: ReadonlyArray<Tag>
  ) {
    const { digest, mediaType } = manifest.descriptor
    const response = yield* send(
      Operation.PutManifest({ repository, reference, mediaType, tags }),
      HttpBody.uint8Array(manifest.bytes, mediaType)
    )
    yield* Limits.excerpt(response)
    const announced = announcedDigest(response)
    if (announced !== undefined && Digest.disagree(digest, announced))
      return yield* new DigestMismatch({
        ...Limits.factsOf(response),
        expected: digest,
        actual: announced
      })
    return response
  })

  const putManifest: Registry.Service["putManifest"] = Effect.fnUntraced(
    function* (repository, manifest, options) {
      const { digest } = manifest.descriptor
      const [first, ...others] = options?.tags ?? []
      // A tag alone suffices, unless the registry would compute the digest with another algorithm
      // than ours (trap 32).
      const byTag =
        first !== undefined && others.length === 0 && Digest.algorithm(digest) === "sha256"
      const response = byTag
        ? yield* put(repository, manifest, first)
        : yield* put(repository, manifest, digest, options?.tags)
      if (!byTag) {
        const accepted = (response.headers["oci-tag"] ?? "").split(",").map((tag) => tag.trim())
        const missing = (options?.tags ?? []).filter((tag) => !accepted.includes(tag))
        yield* Effect.forEach(missing, (tag) => put(repository, manifest, tag), { discard: true })
      }
      const subject = Option.getOrUndefined(Manifest.subject(manifest))
      if (subject !== undefined) {
        const kept =
          SingleField.value(response.headers, "oci-subject") !== undefined &&
          (yield* Effect.orElseSucceed(keepsReferrers(repository, subject.digest), () => true))
        if (!kept)
          yield* changeReferrers(
            repository,
            subject.digest,
            ReferrersTag.withReferrer(Manifest.referrer(manifest))
          )
      }
      return manifest.descriptor
    }
  )

  const drop = (repository: RepositoryName, reference: Tag | Digest.Digest) =>
    remove(
      Operation.DeleteManifest({ repository, reference }),
      Effect.match(headManifest(repository, reference), {
        onFailure: () => false,
        onSuccess: Option.isNone
      })
    )

  /**
   * A referrer leaves the list that clients keep, if they do, which takes knowing its subject
   * before it is gone (C97, trap 51).
   */
  const deleteManifest: Registry.Service["deleteManifest"] = Effect.fnUntraced(
    function* (repository, digest) {
      const manifest = seenToKeepReferrers
        ? Option.none()
        : yield* Effect.option(getManifest(repository, digest))
      yield* drop(repository, digest)
      const subject = Option.flatMap(manifest, Manifest.subject)
      if (Option.isNone(subject)) return
      const { digest: of } = subject.value
      yield* keepsReferrers(repository, of).pipe(
        Effect.flatMap((kept) =>
          kept ? Effect.void : changeReferrers(repository, of, ReferrersTag.withoutReferrer(digest))
        ),
        // The manifest is deleted, which is what was asked for.
        Effect.catchAll((error) =>
          Effect.logWarning(`Referrers of ${of} in ${repository} still list ${digest}`, error)
        )
      )
    }
  )

  let seenToKeepReferrers = false

  /**
   * `OCI-Subject` alone proves nothing: ECR once sent it without keeping referrers (rule 16). That
   * a registry has a list does, once and for all.
   */
  const keepsReferrers = (repository: RepositoryName, subject: Digest.Digest) =>
    seenToKeepReferrers
      ? Effect.succeed(true)
      : send(Operation.ListReferrers({ repository, digest: subject })).pipe(
          Effect.flatMap((response) => Effect.as(Limits.excerpt(response), isIndex(response))),
          Effect.catchTag("Unsupported", () => Effect.succeed(false)),
          Effect.tap((kept) =>
            Effect.sync(() => {
              seenToKeepReferrers = kept
            })
          )
        )

  const byReferrersTag = (repository: RepositoryName, subject: Digest.Digest) =>
    pull(repository, ReferrersTag.referrersTag(subject)).pipe(
      Effect.flatMap(([bytes, response]) => decode(bytes, response)),
      Effect.map(Option.some),
      absent,
      Effect.catchTag("MediaTypeMismatch", invalid)
    )

  const changeReferrers = (
    repository: RepositoryName,
    subject: Digest.Digest,
    change: (listed: ReadonlyArray<Descriptor>) => ReadonlyArray<Descriptor>
  ): Effect.Effect<
    void,
    | NameUnknown
    | BlobUnknown
    | DigestMismatch
    | InvalidManifest
    | ProtocolViolation
    | Refusal
    | ExchangeError
  > => {
    const tag = ReferrersTag.referrersTag(subject)
    return exclusive(
      Effect.flatMap(byReferrersTag(repository, subject), (found) =>
        Effect.flatMap(
          ReferrersTag.changed(tag, found, change),
          Option.match({
            onNone: () => Effect.void,
            onSome: (index) => Effect.asVoid(put(repository, index, tag))
          })
        )
      )
    )
  }

  const referrers: Registry.Service["referrers"] = (repository, digest, options) => {
    const { artifactType } = options ?? {}
    const wanted = (descriptor: Descriptor) =>
      artifactType === undefined || descriptor.artifactType === artifactType
    const page = Effect.fnUntraced(function* (operation: ListReferrers) {
      const [bytes, answer] = yield* read(operation, Pages.pageLimit(to))
      // Some answer a path they do not know with 200 and a document of another kind (trap 45).
      if (!isIndex(answer)) return yield* new NotAnIndex()
      seenToKeepReferrers = true
      const index = yield* Effect.catchTag(decode(bytes, answer), "MediaTypeMismatch", invalid)
      const listed = ReferrersTag.listed(Option.some(index))
      return { items: listed.filter(wanted), count: listed.length, answer }
    })
    const fallback = Stream.fromIterableEffect(
      Effect.map(byReferrersTag(repository, digest), (found) =>
        ReferrersTag.listed(found).filter(wanted)
      )
    )
    // The filter of the registry is an economy, not to be relied on: ours applies to every page
    // (C91, trap 46).
    return Pages.paginate(to, Operation.ListReferrers({ repository, digest, artifactType }), {
      page,
      key: (referrer) => referrer.digest
    }).pipe(Stream.catchTags({ Unsupported: () => fallback, NotAnIndex: () => fallback }))
  }

  return {
    getManifest,
    headManifest,
    putManifest,
    deleteManifest,
    deleteTag: drop,
    referrers
  }
}

type ListReferrers = Extract<Operation.Operation, { readonly _tag: "ListReferrers" }>

class NotAnIndex extends Data.TaggedError("NotAnIndex") {}

const absent = <A, E extends { readonly _tag: string }, R>(
  self: Effect.Effect<Option.Option<A>, E, R>
) =>
  Effect.catchIf(
    self,
    (error): error is Extract<E, { readonly _tag: "ManifestUnknown" | "NameUnknown" }> =>
      error._tag === "ManifestUnknown" || error._tag === "NameUnknown",
    () => Effect.succeedNone
  )

const isIndex = (response: HttpClientResponse): boolean =>
  MediaType.essence(SingleField.value(response.headers, "content-type") ?? "") ===
  MediaType.imageIndex

const invalid = (error: MediaTypeMismatch) =>
  Effect.fail(new InvalidManifest({ reason: "MediaType", message: error.message }))

/** The digest a registry says content has; anything else in that header is left unread (T8). */
const announcedDigest = (response: HttpClientResponse): Digest.Digest | undefined => {
  const header = SingleField.value(response.headers, "docker-content-digest")
  return Digest.isDigest(header) ? header : undefined
}
