/** How stores give and take blobs: what observers are told of it, and what is verified. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { BlobSource } from "../../BlobSource.js"
import * as ByteStream from "../../ByteStream.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as CompletedDownload from "../../internal/CompletedDownload.js"
import * as InlineData from "../../internal/InlineData.js"
import * as PullStream from "../../internal/PullStream.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import type { Registry } from "../../Registry.js"
import { RangeMismatch } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type { Digest } from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"

/** Returns the descriptor of a blob of so many bytes. */
export const descriptorOf = (digest: Digest, size: number): Descriptor => ({
  mediaType: MediaType.octetStream,
  digest,
  size
})

/**
 * A blob that was opened: its bytes, in arrays that are borrowed where the consumer takes such, and
 * whether they need not be hashed again, having been verified where nothing else changes them.
 */
export interface Opened {
  readonly bytes: (borrowed: boolean) => Stream.Stream<Uint8Array, Registry.GetBlobError>
  readonly isVerified: boolean
}

/** Makes `getBlob` of what opens a stored blob. */
export const download = (
  open: (repository: RepositoryName, digest: Digest) => Effect.Effect<Opened, Registry.GetBlobError>
): Registry.Service["getBlob"] =>
  InlineData.orElse((repository, blob) => {
    const { digest, size } = typeof blob === "string" ? { digest: blob, size: undefined } : blob
    const subject: Transfer.Subject = { direction: "download", repository, digest, size }
    return BorrowedStream.make(({ borrowed, hashed }) => {
      const stored = Effect.gen(function* () {
        const verifier = yield* ByteStream.verifier({ digest, size })
        const { bytes, isVerified } = yield* open(repository, digest)
        const tracked = Transfer.track(bytes(borrowed), subject)
        return hashed && !isVerified
          ? verifier.verify(tracked)
          : ByteStream.verify(tracked, { size })
      })
      const begun = Effect.zipRight(Transfer.emit({ _tag: "Started", subject }), stored)
      return PullStream.ending(PullStream.unwrap(begun), CompletedDownload.emit(subject, digest))
    })
  })

/** A blob of so many bytes, and a part of it from one byte to before another. */
export interface Found {
  readonly size: number
  readonly bytes: (
    start: number,
    end: number,
    borrowed: boolean
  ) => Stream.Stream<Uint8Array, Registry.GetBlobRangeError>
}

/** Makes `getBlobRange` of what finds a stored blob. */
export const range =
  (
    find: (
      repository: RepositoryName,
      digest: Digest
    ) => Effect.Effect<Found, Registry.GetBlobRangeError>
  ): Registry.Service["getBlobRange"] =>
  (repository, digest, { start, end }) => {
    const range = end === undefined ? { start } : { start, end }
    const expected = ByteRange.formatRequest(range)
    if (!ByteRange.isRequest(range)) return Stream.fail(new RangeMismatch({ expected, actual: "" }))
    return BorrowedStream.make(({ borrowed }) =>
      PullStream.unwrap(
        Effect.gen(function* () {
          const { bytes, size } = yield* find(repository, digest)
          const part = Option.getOrUndefined(ByteRange.resolve(range, size))
          if (part !== undefined) return bytes(part.start, part.end + 1, borrowed)
          return yield* new RangeMismatch({ expected, actual: `bytes */${size}` })
        })
      )
    )
  }

/** What `putBlob` is made of. */
export interface Upload {
  /** Returns the descriptor of a blob that is there already, or in `mountFrom`, and is now here. */
  readonly present: (
    repository: RepositoryName,
    digest: Digest,
    known: { readonly size?: number | undefined; readonly mountFrom?: RepositoryName | undefined }
  ) => Effect.Effect<Descriptor | undefined, Registry.PutBlobError>
  /** Stores the bytes of a source, if they are what it declares. */
  readonly store: <E, R>(
    source: BlobSource<E, R>,
    subject: Transfer.Subject
  ) => Effect.Effect<Descriptor, Registry.PutBlobError | E, R>
}

/** Makes `putBlob`. */
export const upload = ({ present, store }: Upload): Registry.Service["putBlob"] =>
  Effect.fnUntraced(function* (repository, source, { ifPresent, mediaType, mountFrom } = {}) {
    const { digest, size } = source
    const subject: Transfer.Subject = { direction: "upload", repository, digest, size }
    yield* Transfer.emit({ _tag: "Started", subject })
    const found =
      digest === undefined || ifPresent === "upload"
        ? undefined
        : yield* present(repository, digest, { size, mountFrom })
    const descriptor = found ?? (yield* store(source, subject))
    if (found === undefined)
      yield* Transfer.emit({ _tag: "Verified", subject, digest: descriptor.digest })
    yield* Transfer.emit({ _tag: "Completed", subject, skipped: found !== undefined })
    return mediaType === undefined ? descriptor : { ...descriptor, mediaType }
  })
