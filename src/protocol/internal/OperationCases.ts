/** The cases of `Operation`, and what a server has received that is to become one. */
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"
import type * as Digest from "../../spec/Digest.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"
import type * as ByteRange from "../ByteRange.js"

/**
 * One request. A `location` (of an upload) and a `link` (of a next page) are what the registry
 * supplied, sent as received: an absolute URL, or a path with its query, which is taken to be on
 * the registry's origin. Whether such a URL may be requested at all is decided before, by `Trust`.
 */
export type Operation = Data.TaggedEnum<{
  /** Is there a registry, and may we in? (end-1, C9) */
  Ping: Record<never, never>
  /** end-3; with `unless`, only if it is not that manifest (RFC 9110 §13.1.2) */
  GetManifest: {
    readonly repository: RepositoryName
    readonly reference: Tag | Digest.Digest
    readonly unless?: Digest.Digest | undefined
  }
  /** end-3 */
  HeadManifest: { readonly repository: RepositoryName; readonly reference: Tag | Digest.Digest }
  /**
   * end-7a; with `tags`, which go with a digest, end-7b; with `onlyIf`, on the condition that the
   * tag is that manifest, or absent (RFC 9110 §13.1)
   */
  PutManifest: {
    readonly repository: RepositoryName
    readonly reference: Tag | Digest.Digest
    readonly mediaType: string
    readonly tags?: ReadonlyArray<Tag> | undefined
    readonly onlyIf?: Digest.Digest | "absent" | undefined
  }
  /** end-9 */
  DeleteManifest: { readonly repository: RepositoryName; readonly reference: Tag | Digest.Digest }
  /** end-2 */
  GetBlob: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly range?: ByteRange.RangeRequest | undefined
  }
  /** end-2 */
  HeadBlob: { readonly repository: RepositoryName; readonly digest: Digest.Digest }
  /** end-10 */
  DeleteBlob: { readonly repository: RepositoryName; readonly digest: Digest.Digest }
  /** end-4a; with the `algorithm` of a digest that is not sha256, end-4c (C45) */
  StartUpload: { readonly repository: RepositoryName; readonly algorithm?: string | undefined }
  /** A blob of `size` bytes in a single POST (end-4b, C41) */
  UploadBlob: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly size: number
  }
  /**
   * A blob of `size` bytes put at its own path, no part of the specification: some registries offer
   * it
   */
  PutBlob: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly size: number
  }
  /** end-11; without `from` the registry may look anywhere (C60) */
  MountBlob: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly from?: RepositoryName | undefined
  }
  /** end-5; without `range` the body is streamed, its size unknown beforehand (C56) */
  UploadChunk: {
    readonly repository: RepositoryName
    readonly location: string
    readonly range?: ByteRange.ByteRange | undefined
  }
  /**
   * end-6; the body is the whole blob, or the last chunk with its `range`, or nothing (C37, C54)
   */
  CompleteUpload: {
    readonly repository: RepositoryName
    readonly location: string
    readonly digest: Digest.Digest
    readonly range?: ByteRange.ByteRange | undefined
  }
  /** end-13 */
  UploadStatus: { readonly repository: RepositoryName; readonly location: string }
  /** end-14 */
  CancelUpload: { readonly repository: RepositoryName; readonly location: string }
  /** end-8a, end-8b; `link` replaces the other fields (C85) */
  ListTags: {
    readonly repository: RepositoryName
    readonly n?: number | undefined
    readonly last?: Tag | undefined
    readonly link?: string | undefined
  }
  /** Docker's `_catalog`, no part of the specification (C92); `link` replaces the other fields */
  ListRepositories: {
    readonly n?: number | undefined
    readonly last?: RepositoryName | undefined
    readonly link?: string | undefined
  }
  /** end-12a, end-12b; `link` replaces `artifactType` (C90, C93) */
  ListReferrers: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly artifactType?: string | undefined
    readonly link?: string | undefined
  }
}>

/** Makes, tells apart and matches operations. */
export const cases = Data.taggedEnum<Operation>()

/** The operation of a tag, or of one of several. */
export type Case<Tag extends Operation["_tag"]> = Extract<Operation, { readonly _tag: Tag }>

/**
 * What a server has received, reduced to what makes an operation: `url` is path and query exactly
 * as received, header names are lower-case.
 */
export interface ReceivedRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string | undefined>>
}

/**
 * A request that is not an operation, with the response it deserves: `status`, an error `code` of
 * the specification or of Docker's (C101), and with a `405` the methods to name in `Allow` (RFC
 * 9110 §15.5.6).
 */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>("effect-oci/InvalidRequest")(
  "InvalidRequest",
  {
    status: Schema.Number,
    code: Schema.String,
    message: Schema.String,
    allow: Schema.optional(Schema.String)
  }
) {}
