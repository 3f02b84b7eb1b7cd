/**
 * What the responses of registries say beside their status: where to go on, which digest the
 * content has, how much of an upload has arrived, what went wrong. For responses as
 * `RegistryClient.execute` returns them.
 *
 * @since 0.1.0
 */
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Sent from "../auth/internal/Sent.js"
import * as ByteRange from "../protocol/ByteRange.js"
import * as ErrorBody from "../protocol/ErrorBody.js"
import * as SingleField from "../protocol/internal/SingleField.js"
import * as UrlQuery from "../protocol/internal/UrlQuery.js"
import * as Link from "../protocol/Link.js"
import * as Digest from "../spec/Digest.js"
import * as Received from "./http/Received.js"

/**
 * Where a response leads. All three have the query as it was received, since it may be signed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Location {
  /** The field as it was received: a URL, or a path. */
  readonly received: string
  /** Path and query. */
  readonly relative: string
  /** The whole URL, resolved against that of the request. */
  readonly absolute: string
}

/**
 * Returns the [`Location`](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.2) of a response;
 * `None` where it has none, a blank one, more than one, or one that is not a URL. `Request.to` goes
 * there.
 *
 * @since 0.1.0
 * @category getters
 */
export const location = (response: HttpClientResponse): Option.Option<Location> =>
  Option.flatMap(
    Either.getRight(SingleField.requiredReference(response.headers, "location")),
    (received) => {
      const { url } = response.request
      if (!URL.canParse(received, url)) return Option.none()
      const parsed = new URL(received, url)
      const absolute = UrlQuery.restored(parsed, received, url)
      return Option.some({ received, relative: absolute.slice(parsed.origin.length), absolute })
    }
  )

/**
 * Returns the digest that a response announces in `Docker-Content-Digest`. Whether the content has
 * it, `Registry` verifies and this does not.
 *
 * @since 0.1.0
 * @category getters
 */
export const digest = (response: HttpClientResponse): Option.Option<Digest.Digest> =>
  Option.filter(
    Option.fromNullable(SingleField.value(response.headers, "docker-content-digest")),
    Digest.isDigest
  )

/**
 * Returns how much of an upload has arrived, by the
 * [`Range`](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks)
 * of a response: first and last byte, the last being -1 where it says that nothing has.
 *
 * @since 0.1.0
 * @category getters
 */
export const range = (response: HttpClientResponse): Option.Option<ByteRange.ByteRange> =>
  Option.flatMap(
    Option.fromNullable(SingleField.value(response.headers, "range")),
    ByteRange.parseUpload
  )

/**
 * Returns the bytes of a blob that a response holds, by its
 * [`Content-Range`](https://www.rfc-editor.org/rfc/rfc9110#section-14.4).
 *
 * @since 0.1.0
 * @category getters
 */
export const contentRange = (response: HttpClientResponse): Option.Option<ByteRange.ContentRange> =>
  Option.flatMap(
    Option.fromNullable(SingleField.value(response.headers, "content-range")),
    ByteRange.parseContent
  )

/**
 * Returns the links of a response, such as that to the next page of a list (`Link.parse`).
 *
 * @since 0.1.0
 * @category getters
 */
export const links = (response: HttpClientResponse): ReadonlyArray<Link.Link> =>
  Link.parse(response.headers["link"] ?? "")

/**
 * Reads what a registry says of a failure: the errors in its body, none where the body has no such
 * list, and the beginning of its text (`ErrorBody.parse`). At most 64 KiB are read, once. Neither
 * holds what was sent to the registry in secret.
 *
 * @since 0.1.0
 * @category getters
 */
export const errorBody = (response: HttpClientResponse): Effect.Effect<ErrorBody.ErrorBody> =>
  Effect.map(Received.excerpt(Received.from(response)), (bytes) =>
    ErrorBody.parseRedacted(bytes, Sent.redactorOf(Sent.of(response.request)))
  )
