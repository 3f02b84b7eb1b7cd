/** The requests for manifests that everything about them is made of, and how errors name them. */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import type { PutCondition } from "../../Registry.js"
import {
  DigestMismatch,
  InvalidManifest,
  MediaTypeMismatch,
  ProtocolViolation
} from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import type * as Manifest from "../../spec/Manifest.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"
import { exchangeOf, isPage, type StatusError } from "../http/Classify.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { ExchangeError } from "../http/ExchangeError.js"
import type { OwnErrors } from "../http/OperationErrors.js"
import type { Pipeline } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"

/** What a manifest is read by. */
export type Reference = Tag | Digest.Digest

/** The two requests for manifests that everything else is made of. */
export interface ManifestRequests {
  /**
   * Gets the bytes of a manifest, unverified; with `unless`, none and status 304 where the registry
   * says that it is that one. Fails with `ProtocolViolation` for a page for people.
   */
  readonly pull: (
    repository: RepositoryName,
    reference: Reference,
    unless?: Digest.Digest
  ) => Effect.Effect<
    readonly [bytes: Uint8Array, response: Received.Received],
    OwnErrors["GetManifest"] | ProtocolViolation | StatusError | ExchangeError
  >
  /**
   * Puts a manifest under one reference, and under `tags` where the registry takes them with it;
   * with `onlyIf` on that condition, and once.
   */
  readonly put: (
    repository: RepositoryName,
    manifest: Manifest.Manifest,
    reference: Reference,
    options?: {
      readonly tags?: ReadonlyArray<Tag> | undefined
      readonly onlyIf?: PutCondition["is"] | undefined
    }
  ) => Effect.Effect<
    Received.Received,
    OwnErrors["PutManifest"] | DigestMismatch | StatusError | ExchangeError
  >
}

/** The requests for manifests of one registry. */
export const make = (to: Endpoint, { read, send }: Pipeline): ManifestRequests => ({
  pull: Effect.fnUntraced(function* (repository, reference, unless) {
    const [bytes, response] = yield* read(
      Operation.GetManifest({ repository, reference, unless }),
      { what: "The manifest", limit: to.limits.manifest, option: "limits.manifest" },
      Digest.isDigest(reference) ? reference : undefined
    )
    return !isUnchanged(response) && isPage(response)
      ? yield* new ProtocolViolation({
          ...exchangeOf(response, bytes),
          problem: "The response is not a manifest"
        })
      : ([bytes, response] as const)
  }),
  put: Effect.fnUntraced(function* (repository, manifest, reference, options) {
    const { digest, mediaType } = manifest.descriptor
    const response = yield* send(
      Operation.PutManifest({ repository, reference, mediaType, ...options }),
      HttpBody.uint8Array(manifest.bytes, mediaType)
    )
    yield* Received.excerpt(response)
    const announced = announcedDigest(response)
    if (announced !== undefined && Digest.disagree(digest, announced))
      return yield* new DigestMismatch({
        ...Received.exchangeOf(response),
        expected: digest,
        actual: announced
      })
    return response
  })
})

/** Whether a registry says that a manifest is the one that its caller knows. */
export const isUnchanged = ({ status }: Received.Received): boolean => status === 304

/** The digest a registry says content has; anything else in that header is left unread (T8). */
export const announcedDigest = (response: Received.Received): Digest.Digest | undefined => {
  const header = SingleField.value(response.headers, "docker-content-digest")
  return Digest.isDigest(header) ? header : undefined
}

/** How errors name a manifest, as in `ghcr.io/owner/name:tag`. */
export const nameOf = (
  { base }: Endpoint,
  repository: RepositoryName,
  reference: Reference
): string =>
  `${new URL(base).host}/${repository}${Digest.isDigest(reference) ? "@" : ":"}${reference}`

/** In characters, of what an error says of a document. */
export const longest = 1024

/**
 * Says in an error of a manifest which one it is. What the error shows of the document is redacted,
 * since a server can repeat there what it was sent with the request of `response` (T13).
 */
export const named = (
  manifest: string,
  error: InvalidManifest | MediaTypeMismatch,
  response: Received.Received
): InvalidManifest | MediaTypeMismatch =>
  error._tag === "InvalidManifest"
    ? invalid(manifest, error, response)
    : new MediaTypeMismatch({
        expected: Received.textOf(response, error.expected, longest),
        actual: Received.textOf(response, error.actual, longest),
        manifest
      })

/** The same for what is only ever an invalid manifest. */
export const invalid = (
  manifest: string,
  error: InvalidManifest | MediaTypeMismatch,
  response?: Received.Received
): InvalidManifest => {
  const shown = (text: string) =>
    response === undefined ? text : Received.textOf(response, text, longest)
  return new InvalidManifest({
    ...(error._tag === "InvalidManifest"
      ? {
          reason: error.reason,
          ...(error.path !== undefined && { path: shown(error.path) })
        }
      : { reason: "MediaType" as const }),
    manifest,
    message: `${manifest}: ${shown(error.message)}`
  })
}
