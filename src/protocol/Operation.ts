/**
 * Every request of the [distribution
 * specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints)
 * as a value: the client sends operations, the server dispatches on them, and authorization, spans
 * and tests read them. Names, tags and digests are validated types, so that an invalid one cannot
 * become a request.
 *
 * @since 0.1.0
 */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import {
  type Case,
  cases,
  type InvalidRequest,
  type Operation,
  type ReceivedRequest
} from "./internal/OperationCases.js"
import * as Decoder from "./internal/OperationDecoder.js"
import * as Encoder from "./internal/OperationEncoder.js"

export {
  /**
   * The operation of a tag, or of one of several: `Case<"GetBlob" | "HeadBlob">`.
   *
   * @since 0.1.0
   * @category models
   */
  type Case,
  /**
   * A request that is not an operation, with the response it deserves: `status`, an
   * [error code](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes)
   * of the specification or of Docker's, and with a `405` the methods to name in `Allow`
   * ([RFC 9110 section 15.5.6](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6)).
   *
   * @since 0.1.0
   * @category errors
   */
  InvalidRequest,
  /**
   * One request. A `location` (of an upload) and a `link` (of a next page) are what the registry
   * supplied, sent as received: an absolute URL, or a path with its query, which is taken to be on
   * the registry's origin. Whether such a URL may be requested at all is decided before, by
   * `Trust`.
   *
   * @since 0.1.0
   * @category models
   */
  type Operation,
  /**
   * What a server has received, reduced to what makes an operation: `url` is path and query exactly
   * as received, header names are lower-case.
   *
   * @since 0.1.0
   * @category models
   */
  type ReceivedRequest
} from "./internal/OperationCases.js"

import { factsOf } from "./internal/OperationTable.js"

/**
 * The constructors, one for each case of `Operation`.
 *
 * @example
 * ```ts
 * import * as Operation from "effect-oci/Operation"
 *
 * Operation.requiredScopes(Operation.ListRepositories({ n: 100 })) // ["registry:catalog:*"]
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const {
  Ping,
  GetManifest,
  HeadManifest,
  PutManifest,
  DeleteManifest,
  GetBlob,
  HeadBlob,
  DeleteBlob,
  StartUpload,
  UploadBlob,
  PutBlob,
  MountBlob,
  UploadChunk,
  CompleteUpload,
  UploadStatus,
  CancelUpload,
  ListTags,
  ListRepositories,
  ListReferrers
} = cases

/**
 * Returns whether a value is the operation of this tag.
 *
 * @since 0.1.0
 * @category guards
 */
export const is: <T extends Operation["_tag"]>(tag: T) => (u: unknown) => u is Case<T> = cases.$is

/**
 * One function for each operation; the compiler checks that none is missing.
 *
 * @since 0.1.0
 * @category pattern matching
 */
export const match: Data.TaggedEnum.Constructor<Operation>["$match"] = cases.$match

/**
 * Returns the HTTP request of an operation, without its body. `base` is the registry's URL with
 * neither `/v2` nor a slash at its end: `https://ghcr.io`, `http://localhost:5000`,
 * `https://example.com/prefix`.
 *
 * The URL is a string and supplied ones are never re-serialised, so that signed queries survive; a
 * fragment is dropped. Requests that never have a body say `Content-Length: 0`, which undici leaves
 * out of a DELETE. Content is asked for without encoding, because digest and size are those of the
 * plain bytes.
 *
 * @since 0.1.0
 * @category encoding
 */
export const toRequest: (
  base: string,
  operation: Operation
) => HttpClientRequest.HttpClientRequest = Encoder.toRequest

/**
 * Returns the operation that a received request asks for: the inverse of `toRequest`. Of an upload,
 * the `location` is path and query as received, less the `digest` that the client appended. Lists
 * are read as `n` and `last`, never as `link`; a `last` that is not a tag or name is left out. HEAD
 * asks for what GET does
 * ([RFC 9110 section 9.3.2](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2)). A `Range` other
 * than one of bytes is left out.
 *
 * Fails with `InvalidRequest`: 404 for an unknown path, 405 for a method the path does not take,
 * 400 for an invalid name, tag, digest, number or range, 411 for a single POST of unknown length.
 *
 * @since 0.1.0
 * @category decoding
 */
export const fromRequest: (request: ReceivedRequest) => Effect.Effect<Operation, InvalidRequest> =
  Decoder.fromRequest

/**
 * Returns the scopes that an operation needs, in the canonical form of `AccessScope`. Cancelling
 * asks for what the upload had: distribution wants `delete` for it as well and says so in its
 * challenge, whereas Quay refuses to hear of `delete`.
 *
 * @since 0.1.0
 * @category getters
 */
export const requiredScopes = (operation: Operation): ReadonlyArray<string> =>
  factsOf(operation).scopes(operation)
