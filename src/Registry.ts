/**
 * The one interface of this package: a record of operations on one registry. A client over HTTP, an
 * in-memory registry and registries made of registries implement it; the server serves any of them;
 * everything in `content` is a program over it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { BlobSource } from "./BlobSource.js"
import * as BorrowedStream from "./internal/BorrowedStream.js"
import * as ChangedManifest from "./internal/ChangedManifest.js"
import type { ChunkBounds, UploadState } from "./internal/UploadState.js"
import {
  type BlobUnknown,
  type BodyNotReplayable,
  type CommonError,
  type DigestMismatch,
  type InvalidDigest,
  type InvalidManifest,
  type ManifestUnknown,
  type MediaTypeMismatch,
  type NameUnknown,
  type PreconditionFailed,
  type RangeMismatch,
  type SizeMismatch,
  Unsupported,
  type UploadUnknown
} from "./RegistryError.js"
import type { Descriptor } from "./spec/Descriptor.js"
import type { Digest } from "./spec/Digest.js"
import type { Manifest } from "./spec/Manifest.js"
import type { RepositoryName, Tag } from "./spec/Reference.js"

/**
 * Accesses one registry. Every operation lists exactly what it can fail with: `CommonError`, for
 * whatever stands behind the interface, and its own errors; each of these unions has a name, such
 * as `Registry.GetManifestError`. Absence is a `None` where the question
 * is whether something exists (`headManifest`, `headBlob`), and an error elsewhere.
 *
 * @example
 * ```ts
 * import * as Reference from "effect-oci/Reference"
 * import { Registry } from "effect-oci/Registry"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const tags = Effect.gen(function*() {
 *   const registry = yield* Registry
 *   const repository = yield* Reference.parseRepositoryName("library/alpine")
 *   return yield* Stream.runCollect(registry.tags(repository))
 * })
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class Registry extends Context.Tag("effect-oci/Registry")<Registry, Registry.Service>() {}

/**
 * Says where a list starts and how large its pages are. Whatever the page size, the stream emits
 * the whole rest of the list, or fails.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListOptions<A> {
  /**
   * The page size to ask for, which registries may ignore or clamp ([Listing
   * Tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags)).
   * With 0 the list has one page, without any item.
   */
  readonly pageSize?: number | undefined
  /** The item after which to start. */
  readonly after?: A | undefined
}

/**
 * A manifest that a registry has, tagged or not, and when it was put there last, or, in a layout,
 * was relied on by what was put.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListedManifest {
  readonly descriptor: Descriptor
  readonly putAt: Date
}

/**
 * The forms of an upload.
 *
 * - `single`: one POST with the whole blob ([Single
 *   POST](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#single-post)).
 * - `put`: a session whose closing PUT has the whole blob ([POST then
 *   PUT](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#post-then-put)): the
 *   one form that nearly every registry takes.
 * - `patch`: a session with the blob in one PATCH, hashed on the way, then a PUT without a body.
 * - `chunked`: a session with a PATCH for each chunk, each acknowledged before the next ([Pushing a
 *   blob in
 *   chunks](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks)).
 * - `direct`: `PUT /v2/<name>/blobs/<digest>`, beyond the specification, for registries known to
 *   have it.
 * - `auto`: `single` up to 64 KiB, else `put` when digest and size are known and `patch` when not;
 *   `chunked` where the registry bounds chunks; another one of them where it refuses one, which is
 *   remembered for the uploads that follow.
 *
 * `single`, `put` and `direct` need digest and size: where the source does not declare them, it is
 * read twice.
 *
 * @since 0.1.0
 * @category models
 */
export type UploadStrategy = "auto" | "single" | "put" | "patch" | "chunked" | "direct"

/**
 * What a tag has to be for a manifest to be put: the manifest with this digest, or `"absent"`.
 *
 * @since 0.1.0
 * @category models
 */
export interface PutCondition {
  readonly tag: Tag
  readonly is: Digest | "absent"
}

/**
 * Says how a manifest is put.
 *
 * @since 0.1.0
 * @category models
 */
export interface PutManifestOptions {
  /** The tags to put it under, none by default. */
  readonly tags?: ReadonlyArray<Tag> | undefined
  /**
   * Puts the manifest under this tag too, and only if the tag is what is said here. Without it, a
   * tag is put whatever it was.
   */
  readonly onlyIf?: PutCondition | undefined
}

/**
 * Says how a blob is put.
 *
 * @since 0.1.0
 * @category models
 */
export interface PutBlobOptions {
  /** A repository of the same registry that may have the blob already. */
  readonly mountFrom?: RepositoryName | undefined
  /**
   * What becomes of a blob of a known digest that is there: `"skip"`, the default, leaves it as it
   * is. With `"upload"` the registry is not asked for it, and it is neither skipped nor mounted:
   * for whoever knows that it is not there, or that the registry says so and is wrong.
   */
  readonly ifPresent?: "skip" | "upload" | undefined
  /** The form of upload, `auto` by default; a form asked for by name is the only one tried. */
  readonly strategy?: UploadStrategy | undefined
  /**
   * The size of the chunks of `chunked`, in bytes: 8 MiB by default and for less than 1, within
   * what the registry demands. Asks for that form where no other is named. Chunks of up to 16 MiB
   * are gathered in memory, one or two of them at a time, and larger ones are sent as they are
   * read. Where the size of the source is not known, or it can be read only once, all are gathered,
   * and have at most 128 MiB.
   */
  readonly chunkSize?: number | undefined
  /**
   * Goes on with what an earlier upload of the same content left, and leaves what it cannot bring
   * to its end for a later one. Registries whose uploads cannot be gone on with ignore it, as is
   * done for a source that can be read only once, and for up to 64 KiB.
   */
  readonly resumable?: ResumableUpload | undefined
  /**
   * The media type of the descriptor that is returned, `application/octet-stream` by default.
   * Nothing of it is sent: a registry knows blobs without types.
   */
  readonly mediaType?: string | undefined
}

/**
 * An upload of which several calls do a part each. The session stays open where the upload is
 * interrupted, or fails for a reason that may pass; what the registry has got by then is sent to it
 * only once. The next call asks the registry how far the session is, reads the source from there,
 * and starts over if the session is gone, or what is in it turns out to be other content.
 *
 * All of the content is verified. A call that is given the very object that `keep` got has the hash
 * of what was sent. In another process, which gets a copy of it, that part of the source is read
 * again, though not sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResumableUpload {
  /** What `keep` was given last, by an upload of the same content to the same repository. */
  readonly state?: UploadState | undefined
  /**
   * Is given the state of the session as it opens and as it is left, and `undefined` as soon as
   * there is nothing to go on with. A state may hold a signed URL: store it as a secret. A state
   * that is not used any more is that of an open session, which `resumeUpload` in a Scope cancels.
   */
  readonly keep: (state: UploadState | undefined) => Effect.Effect<void>
}

/**
 * Says how a blob is read as a whole.
 *
 * @since 0.1.0
 * @category models
 */
export interface GetBlobBytesOptions {
  /** The most that the blob may have, in bytes, 4 MiB by default. */
  readonly limit?: number | undefined
}

/**
 * Says how an upload session is opened.
 *
 * @since 0.1.0
 * @category models
 */
export interface StartUploadOptions {
  /**
   * The algorithm of the digest that the session will be committed with, `sha256` by default: a
   * registry may hash what it gets on the way.
   */
  readonly algorithm?: string | undefined
}

/**
 * A range of the bytes of a blob.
 *
 * @since 0.1.0
 * @category models
 */
export interface Range {
  /** The first byte, counted from 0. */
  readonly start: number
  /** The last byte, inclusive; without it, the range goes to the end of the blob. */
  readonly end?: number | undefined
}

/**
 * An open upload. Closing its Scope cancels it at the registry ([Cancel a blob
 * upload](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#cancel-a-blob-upload)),
 * unless it was committed or detached. Whoever writes in chunks heeds `chunkMinLength`: which chunk
 * is the last, `write` cannot know.
 *
 * @since 0.1.0
 * @category models
 */
export interface UploadSession extends ChunkBounds {
  /**
   * Returns how far the session is, as of the last acknowledged byte: what `resumeUpload` takes.
   */
  readonly state: Effect.Effect<UploadState>
  /**
   * Appends bytes in order ([Pushing a blob in
   * chunks](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks)).
   * An array goes as one chunk with its range, or as several where it is longer than
   * `chunkMaxLength`; a stream goes as one request in constant memory, or as such chunks where
   * there is a `chunkMaxLength`. Its own error passes through as it is. A stream is run once: where
   * it would have to be sent again, after a challenge or a redirect, fails with
   * `BodyNotReplayable`, and `status` tells how much of it has arrived.
   */
  readonly write: <E = never, R = never>(
    bytes: Uint8Array | Stream.Stream<Uint8Array, E, R>
  ) => Effect.Effect<UploadState, Registry.UploadWriteError | E, R>
  /** Asks the registry how far the session is; the response becomes the state. */
  readonly status: Effect.Effect<UploadState, Registry.UploadStatusError>
  /**
   * Closes the session as a blob with this digest. Fails with `DigestMismatch` when the registry
   * computed another; the session is of no use then.
   */
  readonly commit: (digest: Digest) => Effect.Effect<Descriptor, Registry.UploadCommitError>
  /** Leaves the session open past the Scope, for `resumeUpload` in this or another process. */
  readonly detach: Effect.Effect<UploadState>
}

/**
 * @since 0.1.0
 */
export declare namespace Registry {
  /**
   * What `ping` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type PingError = CommonError

  /**
   * What `getManifest` and `getChangedManifest` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type GetManifestError =
    | ManifestUnknown
    | NameUnknown
    | DigestMismatch
    | MediaTypeMismatch
    | InvalidManifest
    | InvalidDigest
    | CommonError

  /**
   * What `headManifest` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type HeadManifestError = DigestMismatch | InvalidDigest | CommonError

  /**
   * What `putManifest` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type PutManifestError =
    | NameUnknown
    | BlobUnknown
    | PreconditionFailed
    | DigestMismatch
    | InvalidManifest
    | InvalidDigest
    | CommonError

  /**
   * What `deleteTag` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type DeleteTagError = ManifestUnknown | NameUnknown | CommonError

  /**
   * What `deleteManifest` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type DeleteManifestError = ManifestUnknown | NameUnknown | CommonError

  /**
   * What `tags` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type ListTagsError = NameUnknown | CommonError

  /**
   * What `repositories` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type ListRepositoriesError = CommonError

  /**
   * What `referrers` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type ListReferrersError = InvalidManifest | CommonError

  /**
   * What `manifests` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type ListManifestsError = NameUnknown | CommonError

  /**
   * What `headBlob` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type HeadBlobError = DigestMismatch | CommonError

  /**
   * What `getBlob` and `getBlobBytes` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type GetBlobError =
    | BlobUnknown
    | NameUnknown
    | DigestMismatch
    | SizeMismatch
    | InvalidDigest
    | CommonError

  /**
   * What `getBlobRange` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type GetBlobRangeError = BlobUnknown | NameUnknown | RangeMismatch | CommonError

  /**
   * What `putBlob` can fail with, besides the error of its source.
   *
   * @since 0.1.0
   * @category errors
   */
  export type PutBlobError =
    | NameUnknown
    | UploadUnknown
    | DigestMismatch
    | SizeMismatch
    | RangeMismatch
    | InvalidDigest
    | BodyNotReplayable
    | CommonError

  /**
   * What `deleteBlob` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type DeleteBlobError = BlobUnknown | NameUnknown | CommonError

  /**
   * What `startUpload` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type StartUploadError = NameUnknown | CommonError

  /**
   * What `resumeUpload` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type ResumeUploadError = UploadUnknown | CommonError

  /**
   * What `mountBlob` can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type MountBlobError = NameUnknown | DigestMismatch | CommonError

  /**
   * What `write` of an upload session can fail with, besides the error of its stream.
   *
   * @since 0.1.0
   * @category errors
   */
  export type UploadWriteError = UploadUnknown | RangeMismatch | BodyNotReplayable | CommonError

  /**
   * What `status` of an upload session can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type UploadStatusError = UploadUnknown | CommonError

  /**
   * What `commit` of an upload session can fail with.
   *
   * @since 0.1.0
   * @category errors
   */
  export type UploadCommitError = UploadUnknown | DigestMismatch | InvalidDigest | CommonError

  /**
   * The operations. Streams are lazy: nothing is requested before they run, and a list requests one
   * page at a time.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    /**
     * Checks that this is a registry that lets the caller in ([Determining
     * Support](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#determining-support)).
     * Fails with `Unsupported` when there is no registry at this address: for a 404, or a page to
     * log in or to apologise.
     */
    readonly ping: Effect.Effect<void, PingError>

    /**
     * Reads a manifest with its exact bytes, verified against the digest if it is asked for by one
     * ([Pulling
     * manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)).
     * Fails with `MediaTypeMismatch` when the document contradicts the type it was served as, and
     * with `InvalidManifest` when a known type does not decode. Entries of an index that cannot be
     * read are left out, and noted in its `skipped`.
     */
    readonly getManifest: (
      repository: RepositoryName,
      reference: Tag | Digest
    ) => Effect.Effect<Manifest, GetManifestError>

    /**
     * Reads a manifest as `getManifest` does, unless it is the one with the digest `known`: `None`
     * says that it is unchanged. Over HTTP this is one GET with `If-None-Match`, for the entity tag
     * of a manifest is its digest ([RFC 9110 section
     * 13.1.2](https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2)). Where the registry has other
     * tags, or ignores the condition, it sends the manifest, which is compared. Docker Hub counts a
     * GET as a pull; `headManifest` is none.
     */
    readonly getChangedManifest: (
      repository: RepositoryName,
      reference: Tag | Digest,
      known: Digest
    ) => Effect.Effect<Option.Option<Manifest>, GetManifestError>

    /**
     * Returns media type, digest and size of a manifest, without reading its bytes where the
     * registry allows ([Checking if content
     * exists](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#checking-if-content-exists-in-the-registry)).
     */
    readonly headManifest: (
      repository: RepositoryName,
      reference: Tag | Digest
    ) => Effect.Effect<Option.Option<Descriptor>, HeadManifestError>

    /**
     * Puts a manifest under its digest, and under `tags` where given ([Pushing
     * Manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests)).
     * Its content must be there first: fails with `BlobUnknown` when the registry misses some. A
     * manifest with a `subject` becomes visible in `referrers`, by a list under the referrers tag
     * where the registry keeps none ([Pushing Manifests with
     * Subject](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject)).
     * That list keeps all else that it has; fails with `InvalidManifest` when the tag holds
     * something other than an OCI image index, or one with entries that cannot be read. The list is
     * put on the condition that it is what was read, and since many registries ignore that, it is
     * looked at again: entries of other writers are merged, and reads that lag are waited for, up
     * to 7.5 seconds. The list that was replaced is deleted, where the registry allows. Whatever
     * fails of this says, as `stored`, that the manifest itself is stored.
     *
     * With `onlyIf`, fails with `PreconditionFailed` when the tag is not what is expected, and puts
     * nothing then. In memory, in layouts, and at an `effect-oci` server over such a registry, this
     * is atomic. Over HTTP the condition is sent (`If-Match` with the quoted digest, or
     * `If-None-Match: *`, [RFC 9110 section
     * 13.1](https://www.rfc-editor.org/rfc/rfc9110#section-13.1)), and since many registries
     * ignore it, the tag is read with HEAD right before and after: another writer at the same
     * moment is noticed then, unless this put came last. The other `tags` are put after that. An
     * error of another kind leaves open what became of the tag. An attempt that was not answered is
     * a success if the tag turns out to be the manifest.
     */
    readonly putManifest: (
      repository: RepositoryName,
      manifest: Manifest,
      options?: PutManifestOptions
    ) => Effect.Effect<Descriptor, PutManifestError>

    /**
     * Removes a tag and leaves the manifest ([Deleting
     * tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#deleting-tags)).
     * Fails with `Unsupported` where the registry cannot: deleting by digest instead would remove
     * all tags.
     */
    readonly deleteTag: (
      repository: RepositoryName,
      tag: Tag
    ) => Effect.Effect<void, DeleteTagError>

    /**
     * Removes a manifest and every tag on it ([Deleting
     * Manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#deleting-manifests)).
     * Over HTTP this is one request once the registry was seen to list referrers itself. Until then
     * the manifest is read before, and if it has a subject, the registry is asked for referrers;
     * where it has no list of them, the manifest is first taken out of the one under the referrers
     * tag, since registries keep what a list names. It is listed again if it is not deleted. Should
     * the list not be changed, a warning says so.
     */
    readonly deleteManifest: (
      repository: RepositoryName,
      digest: Digest
    ) => Effect.Effect<void, DeleteManifestError>

    /**
     * Lists the tags of a repository, in the registry's order ([Listing
     * Tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags)).
     * The list is whole, or fails: with `NameUnknown` before its first tag only, and with
     * `ProtocolViolation` where it breaks off.
     */
    readonly tags: (
      repository: RepositoryName,
      options?: ListOptions<Tag>
    ) => Stream.Stream<Tag, ListTagsError>

    /**
     * Lists the repositories of the registry, by
     * [`_catalog`](https://github.com/distribution/distribution/blob/main/docs/content/spec/api.md#listing-repositories).
     * Fails with `Unsupported` where the registry does not list them, and as `tags` does where the
     * list breaks off.
     */
    readonly repositories: (
      options?: ListOptions<RepositoryName>
    ) => Stream.Stream<RepositoryName, ListRepositoriesError>

    /**
     * Lists the manifests that have this one as their subject, only those of `artifactType` if
     * given, whether the registry keeps the list or the referrers tag does ([Listing
     * Referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).
     * Emits nothing for an unknown subject. Where `artifactType` is given, and the list does not
     * say of what type an entry is, its manifest is read. Entries that cannot be read are left out,
     * and a warning is logged. Fails with `InvalidManifest` where the list itself cannot be read,
     * and as `tags` does where it breaks off.
     */
    readonly referrers: (
      repository: RepositoryName,
      digest: Digest,
      options?: { readonly artifactType?: string | undefined }
    ) => Stream.Stream<Descriptor, ListReferrersError>

    /**
     * Lists all manifests of a repository, those without a tag as well, in no order. Fails with
     * `Unsupported` where the registry does not list them: the specification has no such list, so
     * that only registries in memory and in layouts do.
     */
    readonly manifests: (
      repository: RepositoryName
    ) => Stream.Stream<ListedManifest, ListManifestsError>

    /**
     * Returns size and digest of a blob ([Checking if content
     * exists](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#checking-if-content-exists-in-the-registry)).
     * Over HTTP this is a HEAD; where its response gives no size, or 0 for a blob that cannot be
     * empty, or where HEAD is refused (405, 501, or by storage behind a redirect), the first byte
     * is asked for with GET, whose `Content-Range` tells.
     */
    readonly headBlob: (
      repository: RepositoryName,
      digest: Digest
    ) => Effect.Effect<Option.Option<Descriptor>, HeadBlobError>

    /**
     * Streams the bytes of a blob, verified ([Pulling
     * blobs](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-blobs)):
     * fails where the content would end if it is not what was asked for, and at the first byte too
     * many when a descriptor gives the size. Stopping early releases the connection.
     */
    readonly getBlob: (
      repository: RepositoryName,
      blob: Digest | Descriptor
    ) => Stream.Stream<Uint8Array, GetBlobError>

    /**
     * Returns the bytes of a blob, verified, for configurations and other small files: as `getBlob`
     * ([Pulling
     * blobs](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-blobs)),
     * without the cost of a stream. The array is the caller's own. Fails with `LimitExceeded` when
     * the blob has more bytes than `limit`; where a descriptor says so, nothing is requested.
     */
    readonly getBlobBytes: (
      repository: RepositoryName,
      blob: Digest | Descriptor,
      options?: GetBlobBytesOptions
    ) => Effect.Effect<Uint8Array, GetBlobError>

    /**
     * Streams bytes `start` to `end` (inclusive) of a blob as the registry sent them: the one read
     * that cannot be verified. Fails with `Unsupported` when the registry ignores ranges, and with
     * `RangeMismatch` when it sends another one, when the blob is not longer than `start`, and,
     * with nothing sent, when `range` is not a range: for negative or fractional numbers, or an end
     * before the start.
     */
    readonly getBlobRange: (
      repository: RepositoryName,
      digest: Digest,
      range: Range
    ) => Stream.Stream<Uint8Array, GetBlobRangeError>

    /**
     * Puts a blob by the cheapest way known: not at all when it is there, mounted when `mountFrom`
     * has it, else uploaded while its digest is computed. A source that is shorter, longer or other
     * than it declares is never committed (`SizeMismatch`, `DigestMismatch`). The source's own
     * error passes through.
     *
     * Where the source fails or the upload is interrupted, the upload is cancelled at the registry,
     * for which a request under way is brought to its end first, within 10 seconds: with zeros for
     * up to 64 MiB of its content that are missing. Docker's registry cannot cancel an upload whose
     * request broke off, as happens where more is missing, and where digest and size of a stream
     * are known, so that it goes in one PUT. It keeps what it got until it clears its uploads; a
     * warning is logged then.
     */
    readonly putBlob: <E = never, R = never>(
      repository: RepositoryName,
      source: BlobSource<E, R>,
      options?: PutBlobOptions
    ) => Effect.Effect<Descriptor, PutBlobError | E, R>

    /**
     * Removes a blob from the repository ([Deleting
     * Blobs](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#deleting-blobs)).
     */
    readonly deleteBlob: (
      repository: RepositoryName,
      digest: Digest
    ) => Effect.Effect<void, DeleteBlobError>

    /**
     * Opens an upload session, cancelled when the Scope closes. Fails with `Unsupported` for an
     * `algorithm` that the registry cannot do, where it says so at once.
     */
    readonly startUpload: (
      repository: RepositoryName,
      options?: StartUploadOptions
    ) => Effect.Effect<UploadSession, StartUploadError, Scope.Scope>

    /**
     * Continues a session from its saved state, which the registry's own status corrects.
     */
    readonly resumeUpload: (
      state: UploadState
    ) => Effect.Effect<UploadSession, ResumeUploadError, Scope.Scope>

    /**
     * Makes a blob of another repository available in this one without transfer ([Mounting a
     * blob](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#mounting-a-blob-from-another-repository));
     * with no `from`, from wherever the registry finds it. Returns whether it is mounted now; if
     * not, no session is left open. Fails with `DigestMismatch` when the registry says that it
     * mounted other content.
     */
    readonly mountBlob: (
      repository: RepositoryName,
      digest: Digest,
      from?: RepositoryName
    ) => Effect.Effect<boolean, MountBlobError>
  }
}

/**
 * Makes a registry of some operations. All others fail with `Unsupported`, those included that the
 * interface may get later: a fake of a test, and a registry that wraps another one and lets only
 * named operations through, fail closed. Only `getChangedManifest` is made of `getManifest` where
 * it is not given. Whoever spreads the registry that is wrapped into `operations` names all of its
 * operations, present and future.
 *
 * @example
 * ```ts
 * import * as Registry from "effect-oci/Registry"
 *
 * // Manifests and blobs can be read, and nothing else.
 * const readOnly = (registry: Registry.Registry.Service) =>
 *   Registry.make({
 *     ping: registry.ping,
 *     getManifest: registry.getManifest,
 *     headManifest: registry.headManifest,
 *     getBlob: registry.getBlob,
 *     headBlob: registry.headBlob
 *   })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (operations: Partial<Registry.Service>): Registry.Service => ({
  ping: operations.ping ?? refused("ping"),
  getManifest: operations.getManifest ?? (() => refused("getManifest")),
  getChangedManifest:
    operations.getChangedManifest ??
    (operations.getManifest === undefined
      ? () => refused("getChangedManifest")
      : ChangedManifest.by(operations.getManifest)),
  headManifest: operations.headManifest ?? (() => refused("headManifest")),
  putManifest: operations.putManifest ?? (() => refused("putManifest")),
  deleteTag: operations.deleteTag ?? (() => refused("deleteTag")),
  deleteManifest: operations.deleteManifest ?? (() => refused("deleteManifest")),
  tags: operations.tags ?? (() => Stream.fromEffect(refused("tags"))),
  repositories: operations.repositories ?? (() => Stream.fromEffect(refused("repositories"))),
  referrers: operations.referrers ?? (() => Stream.fromEffect(refused("referrers"))),
  manifests: operations.manifests ?? (() => Stream.fromEffect(refused("manifests"))),
  headBlob: operations.headBlob ?? (() => refused("headBlob")),
  getBlob: operations.getBlob ?? (() => Stream.fromEffect(refused("getBlob"))),
  getBlobBytes: operations.getBlobBytes ?? (() => refused("getBlobBytes")),
  getBlobRange: operations.getBlobRange ?? (() => Stream.fromEffect(refused("getBlobRange"))),
  putBlob: operations.putBlob ?? (() => refused("putBlob")),
  deleteBlob: operations.deleteBlob ?? (() => refused("deleteBlob")),
  startUpload: operations.startUpload ?? (() => refused("startUpload")),
  resumeUpload: operations.resumeUpload ?? (() => refused("resumeUpload")),
  mountBlob: operations.mountBlob ?? (() => refused("mountBlob"))
})

const refused = (operation: keyof Registry.Service): Effect.Effect<never, Unsupported> =>
  Effect.suspend(() => Effect.fail(new Unsupported({ operation })))

/**
 * Reads a blob to its end, keeps none of it, and fails where it is not what its digest or
 * descriptor says, as `Registry.getBlob` does: to check that a registry has a blob whole, and
 * nothing else in its place. It takes less time than to run the stream of `getBlob`, whose arrays
 * are new memory.
 *
 * @example
 * ```ts
 * import * as Digest from "effect-oci/Digest"
 * import * as Reference from "effect-oci/Reference"
 * import * as Registry from "effect-oci/Registry"
 * import * as Effect from "effect/Effect"
 *
 * const isWhole = Effect.gen(function*() {
 *   const registry = yield* Registry.Registry
 *   const repository = yield* Reference.parseRepositoryName("owner/model")
 *   const digest = yield* Digest.parse(`sha256:${"0".repeat(64)}`)
 *   yield* Registry.verifyBlob(registry, repository, digest)
 * })
 * ```
 *
 * @since 0.1.0
 * @category destructors
 */
export const verifyBlob = (
  registry: Pick<Registry.Service, "getBlob">,
  repository: RepositoryName,
  blob: Digest | Descriptor
): Effect.Effect<void, Registry.GetBlobError> =>
  BorrowedStream.drain(registry.getBlob(repository, blob))

/**
 * Provides what a layer does once its registry has answered a ping: a program whose registry cannot
 * be reached, or does not take its login, then fails at its start. Fails as the layer does, and
 * with `Registry.PingError`.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import { NodeRegistry } from "effect-oci/node"
 * import * as Registry from "effect-oci/Registry"
 * import * as Layer from "effect/Layer"
 *
 * const Pinged = NodeRegistry.layer({ url: "localhost:5000" }).pipe(
 *   Registry.pinged,
 *   Layer.provide(Credentials.layerAnonymous)
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const pinged = <Out, E, R>(
  layer: Layer.Layer<Registry | Out, E, R>
): Layer.Layer<Registry | Out, E | Registry.PingError, R> =>
  Layer.tap(layer, (services: Context.Context<Registry>) => Context.get(services, Registry).ping)
