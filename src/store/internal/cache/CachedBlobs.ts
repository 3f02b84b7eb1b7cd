/** The blobs of a cache: from the store, or followed while they come into it. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../../ByteStream.js"
import * as BlobBytes from "../../../internal/BlobBytes.js"
import * as CompletedDownload from "../../../internal/CompletedDownload.js"
import * as InlineData from "../../../internal/InlineData.js"
import * as ByteRange from "../../../protocol/ByteRange.js"
import type { Range, Registry } from "../../../Registry.js"
import {
  LimitExceeded,
  ProtocolViolation,
  SizeMismatch,
  StorageFailure
} from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import * as Transfer from "../../../Transfer.js"
import * as BeforeFirstByte from "../BeforeFirstByte.js"
import * as RenamedTransfer from "../RenamedTransfer.js"
import * as BlobLookup from "./BlobLookup.js"
import type { Cache } from "./Cache.js"
import { blobOf, descriptorOf, type Entry } from "./Content.js"
import { Fill, type FillError } from "./Fill.js"

type Bytes = Stream.Stream<Uint8Array, Registry.GetBlobError>

/** Makes the operations that find and read blobs. */
export const blobs = (cache: Cache) => {
  const { content, fills, store, upstream } = cache
  const lookup = BlobLookup.make(cache)
  const head = BlobLookup.head(cache, lookup)
  const getBlob = streaming(cache, lookup)
  return {
    headBlob: (repository, digest) =>
      (Digest.isVerifiable(digest) ? head : upstream.headBlob)(repository, digest),

    getBlob,

    getBlobBytes: BlobBytes.make(getBlob, gathering(cache, lookup, getBlob)),

    getBlobRange: (repository, digest, range) =>
      Stream.suspend(() => {
        const direct = upstream.getBlobRange(repository, digest, range)
        const entry = content.use(repository, digest)
        if (entry !== undefined)
          return reading(
            entry,
            BeforeFirstByte.orElse(store.getBlobRange(entry.home, digest, range), (error) =>
              error._tag === "RangeMismatch"
                ? Stream.fail(error)
                : Stream.unwrap(Effect.as(content.discard(entry, error), direct))
            )
          )
        const fill = fills.get(digest)
        return fill?.repositories.has(repository) === true &&
          ByteRange.isRequest(range) &&
          fill.received > range.start
          ? arriving(cache, repository, fill, range)
          : direct
      })
  } satisfies Partial<Registry.Service>
}

const streaming = (cache: Cache, { open }: BlobLookup.BlobLookup): Registry.Service["getBlob"] => {
  const { content, store, upstream } = cache

  /** What the store has, as long as it gives it back as it was; else from upstream once more. */
  const stored = (repository: RepositoryName, entry: Entry, again: Bytes): Bytes => {
    const read = Stream.tapError(store.getBlob(entry.home, blobOf(entry)), (error) =>
      content.discard(entry, error)
    )
    return reading(
      entry,
      RenamedTransfer.streamWith(
        BeforeFirstByte.orElse(read, () => again),
        RenamedTransfer.asOne(repository)
      )
    )
  }

  const read = (
    repository: RepositoryName,
    expected: ByteStream.Expected & { readonly digest: Digest.Digest },
    again: Bytes
  ): Bytes =>
    Stream.unwrap(
      Effect.map(open(repository, expected.digest), (found) => {
        if (found instanceof Fill)
          return observed(
            repository,
            expected,
            found.read(found.follow({ start: 0 }, rest(cache, repository, found)))
          )
        const { size: actual } = found.descriptor
        return expected.size !== undefined && expected.size !== actual
          ? Stream.fail(new SizeMismatch({ expected: expected.size, actual }))
          : stored(repository, found, again)
      })
    )

  const getBlob: Registry.Service["getBlob"] = (repository, blob) => {
    const expected = typeof blob === "string" ? { digest: blob } : blob
    const direct = upstream.getBlob(repository, blob)
    return Digest.isVerifiable(expected.digest)
      ? read(
          repository,
          expected,
          Stream.suspend(() => read(repository, expected, direct))
        )
      : direct
  }

  return InlineData.orElse(getBlob)
}

/** Without a stream, where the blob is stored. */
const gathering = (
  { content, store }: Cache,
  { size: sizeOf }: BlobLookup.BlobLookup,
  getBlob: Registry.Service["getBlob"]
): BlobBytes.Gather =>
  Effect.fnUntraced(function* (repository, known, limit) {
    const { digest } = known
    const size = known.size ?? Option.getOrUndefined(yield* sizeOf(repository, digest))
    if (size !== undefined && size > limit.limit) return yield* new LimitExceeded(limit)
    const blob = known.size === undefined ? digest : descriptorOf(digest, known.size)
    const entry = content.use(repository, digest)
    const streamed = ByteStream.collect(getBlob(repository, blob), limit)
    return yield* entry === undefined || entry.descriptor.size !== size
      ? streamed
      : Effect.catchAll(
          store.getBlobBytes(entry.home, blobOf(entry), { limit: limit.limit }),
          () => streamed
        )
  })

// -----------------------------------------------------------------------------
// Reads
// -----------------------------------------------------------------------------

/** What is being read is not evicted. */
const reading = <E>(
  { readers }: Entry,
  stream: Stream.Stream<Uint8Array, E>
): Stream.Stream<Uint8Array, E> =>
  Stream.unwrapScoped(
    Effect.as(
      Effect.acquireRelease(
        Effect.sync(() => readers.count++),
        () => Effect.sync(() => readers.count--)
      ),
      stream
    )
  )

/** A blob from a byte on. */
const readFrom = (
  at: Registry.Service,
  repository: RepositoryName,
  blob: Digest.Digest | Descriptor,
  offset: number
): Bytes => {
  const whole = at.getBlob(repository, blob)
  if (offset === 0) return whole
  const digest = typeof blob === "string" ? blob : blob.digest
  return Stream.catchAll(at.getBlobRange(repository, digest, { start: offset }), (error): Bytes => {
    if (error._tag === "Unsupported") return ByteStream.drop(whole, offset)
    return Stream.fail(
      error._tag === "RangeMismatch" ? new ProtocolViolation({ problem: error.message }) : error
    )
  })
}

/**
 * What a reader gets once the download that it follows has ended: the rest from the store; from
 * the upstream registry where the store could not take it; and never an end after a failure (V22).
 */
const rest =
  ({ store, upstream }: Cache, repository: RepositoryName, fill: Fill) =>
  (position: number, exit: Exit.Exit<void, FillError>): Bytes => {
    if (position >= fill.received && fill.complete) return failureOf(exit) ?? Stream.empty
    const blob = fill.size === undefined ? fill.digest : descriptorOf(fill.digest, fill.size)
    const fromUpstream = readFrom(upstream, repository, blob, position)
    return Exit.isFailure(exit)
      ? (failureOf(exit) ?? fromUpstream)
      : BeforeFirstByte.orElse(readFrom(store, fill.home, blob, position), () => fromUpstream)
  }

/** What a reader fails with; a blob that is only not stored does not concern it. */
const failureOf = (exit: Exit.Exit<void, FillError>): Bytes | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const failure = Option.getOrUndefined(Cause.failureOption(exit.cause))
  if (failure !== undefined)
    return failure._tag === "UpstreamFailed" ? Stream.fail(failure.error) : undefined
  return Cause.isInterruptedOnly(exit.cause)
    ? Stream.fail(new StorageFailure({ path: "cache", cause: new Error("it was closed") }))
    : Stream.failCause(Cause.stripFailures(exit.cause))
}

/** A range whose first byte has arrived already. */
const arriving = (
  { store, upstream }: Cache,
  repository: RepositoryName,
  fill: Fill,
  { end, start }: Range
): Stream.Stream<Uint8Array, Registry.GetBlobRangeError> =>
  fill.read(
    fill.follow({ start, ...(end !== undefined && { end: end + 1 }) }, (position, exit) => {
      const left = { start: position, end }
      const fromUpstream = upstream.getBlobRange(repository, fill.digest, left)
      if (position >= fill.received && fill.complete) return Stream.empty
      return Exit.isFailure(exit)
        ? fromUpstream
        : BeforeFirstByte.orElse(
            store.getBlobRange(fill.home, fill.digest, left),
            () => fromUpstream
          )
    })
  )

/** Verifies a download of a reader's own, and tells its observer how it goes. */
const observed = (
  repository: RepositoryName,
  expected: ByteStream.Expected & { readonly digest: Digest.Digest },
  content: Bytes
): Bytes => {
  const { digest, size } = expected
  const subject: Transfer.Subject = { direction: "download", repository, digest, size }
  return Stream.execute(Transfer.emit({ _tag: "Started", subject })).pipe(
    Stream.concat(ByteStream.verify(Transfer.track(content, subject), { digest, size })),
    Stream.concat(Stream.execute(CompletedDownload.emit(subject, digest)))
  )
}
