/** Whether the registry has a blob, and how long the blob is. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import type { Registry } from "../../Registry.js"
import {
  type CommonError,
  DigestMismatch,
  type Exchange,
  ProtocolViolation
} from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import { isPage } from "../http/Classify.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Send } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"

/**
 * The questions about the blobs of one registry.
 *
 * - `headBlob`: the operation of `Registry`.
 * - `find`: the blob that need not be uploaded. Where HEAD is refused, there is none, and the
 *   upload will tell. The caller's size counts where the response says nothing.
 * - `exists`: whether the registry has the blob, whatever its size.
 */
export interface BlobHead {
  readonly headBlob: Registry.Service["headBlob"]
  readonly find: (
    repository: RepositoryName,
    digest: Digest.Digest,
    size: number | undefined
  ) => ReturnType<Registry.Service["headBlob"]>
  readonly exists: (
    repository: RepositoryName,
    digest: Digest.Digest
  ) => Effect.Effect<boolean, DigestMismatch | CommonError>
}

/** What a response says of a blob that is there. The size is in bytes. */
interface Seen {
  readonly by: "HEAD" | "GET"
  readonly size: number | undefined
  readonly facts: Exchange
}

/** A `BlobHead` that asks with HEAD, and with GET where the response to a HEAD does not tell. */
export const make = (to: Endpoint, send: Send): BlobHead => {
  const byHead = Effect.fnUntraced(function* (repository: RepositoryName, digest: Digest.Digest) {
    const response = yield* send(Operation.HeadBlob({ repository, digest }))
    if (response.status === 404) return undefined
    yield* checked(digest, response)
    const size = lengthOf(digest, response)
    return { by: "HEAD", size, facts: Received.exchangeOf(response) } satisfies Seen
  })

  /**
   * Asks for one byte, which brings the size of the whole and leaves the connection as it was. A
   * registry that ignores the range begins with the whole blob, which is given up.
   */
  const byGet = (repository: RepositoryName, digest: Digest.Digest) =>
    Effect.gen(function* () {
      const range = { start: 0, end: 0 }
      const response = yield* send(Operation.GetBlob({ repository, digest, range }))
      const isWhole = response.status === 200
      yield* isWhole ? Received.abandon(response) : Received.excerpt(response)
      yield* checked(digest, response)
      const size = isWhole ? lengthOf(digest, response) : totalOf(response)
      return { by: "GET", size, facts: Received.exchangeOf(response) } satisfies Seen
    }).pipe(
      to.concurrency.exchange,
      Effect.catchTags({
        BlobUnknown: () => Effect.succeed(undefined),
        NameUnknown: () => Effect.succeed(undefined),
        // Of the blob without bytes even the first is out of range.
        RangeMismatch: (facts) =>
          Effect.succeed<Seen>({ by: "GET", size: sizeOfNothing(digest, facts.actual), facts })
      })
    )

  const seen = (
    repository: RepositoryName,
    digest: Digest.Digest
  ): Effect.Effect<Seen | undefined, DigestMismatch | CommonError> =>
    Effect.catchTag(byHead(repository, digest), "HeadUnsupported", () => byGet(repository, digest))

  const described = Effect.fnUntraced(function* (
    repository: RepositoryName,
    digest: Digest.Digest,
    first: Seen | undefined,
    known?: number
  ) {
    const isSilent = first?.by === "HEAD" && (first.size ?? known) === undefined
    const blob = isSilent ? yield* byGet(repository, digest) : first
    if (blob === undefined) return Option.none<Descriptor>()
    const size = blob.size ?? known
    if (size === undefined)
      return yield* new ProtocolViolation({
        ...blob.facts,
        problem: "The registry does not say how long the blob is"
      })
    return Option.some<Descriptor>({ mediaType: MediaType.octetStream, digest, size })
  })

  return {
    headBlob: (repository, digest) =>
      Effect.flatMap(seen(repository, digest), (blob) => described(repository, digest, blob)),
    find: (repository, digest, size) =>
      byHead(repository, digest).pipe(
        Effect.catchTag("HeadUnsupported", () => Effect.succeed(undefined)),
        Effect.flatMap((blob) => described(repository, digest, blob, size))
      ),
    exists: (repository, digest) =>
      Effect.map(seen(repository, digest), (blob) => blob !== undefined)
  }
}

/** That a blob is there, the status says (C30), if the response is one of a registry. */
const checked = (
  digest: Digest.Digest,
  response: Received.Received
): Effect.Effect<void, DigestMismatch | ProtocolViolation> => {
  const announced = SingleField.value(response.headers, "docker-content-digest")
  if (Digest.isDigest(announced) && Digest.disagree(announced, digest))
    return Effect.fail(
      new DigestMismatch({ ...Received.exchangeOf(response), expected: digest, actual: announced })
    )
  return announced === undefined && isPage(response)
    ? Effect.fail(
        new ProtocolViolation({
          ...Received.exchangeOf(response),
          page: "",
          problem: "The response does not say whether the blob is there"
        })
      )
    : Effect.void
}

/**
 * The length that a response gives. Some leave it out of the response to a HEAD, and proxies put 0
 * in its place, which says nothing unless the blob is the one without bytes.
 */
const lengthOf = (digest: Digest.Digest, response: Received.Received): number | undefined => {
  const length = Received.lengthOf(response)
  return length === 0 && !empty.has(digest) ? undefined : length
}

/** The size of the whole that the response to a range gives. */
const totalOf = ({ headers }: Received.Received): number | undefined => {
  if (ContentDecoding.parse(headers["content-encoding"]).length > 0) return undefined
  const range = ByteRange.parseContent(headers["content-range"] ?? "")
  return Option.isSome(range) ? Option.getOrUndefined(range.value.total) : undefined
}

/** 0 where a refused range says so of a digest that may be that of no bytes. */
const sizeOfNothing = (digest: Digest.Digest, contentRange: string): 0 | undefined =>
  contentRange === "bytes */0" && (empty.has(digest) || !Digest.isVerifiable(digest))
    ? 0
    : undefined

const empty: ReadonlySet<Digest.Digest> = new Set([
  Digest.fromBytes(new Uint8Array(), "sha256"),
  Digest.fromBytes(new Uint8Array(), "sha512")
])
