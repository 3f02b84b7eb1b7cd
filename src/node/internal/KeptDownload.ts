/**
 * Downloads to files that go on where an earlier one has stopped, in whatever process that was, and
 * whose files appear when they are complete and verified.
 */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as CompletedDownload from "../../internal/CompletedDownload.js"
import * as PullStream from "../../internal/PullStream.js"
import type { Registry } from "../../Registry.js"
import type { RangeMismatch, StorageFailure, Unsupported } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type * as Digest from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"
import { FileExists, stateOf } from "./ExistingFile.js"
import { drain, inTurn, readFrom } from "./FileBlocks.js"
import * as PartialFile from "./PartialFile.js"

/** What a download fails with. */
export type DownloadError = Registry.GetBlobError | StorageFailure | FileExists

/** Downloads a blob to where nothing is, or something that may be overwritten. */
export const run = (
  registry: Pick<Registry.Service, "getBlob" | "getBlobRange">,
  repository: RepositoryName,
  blob: Digest.Digest | Descriptor,
  path: string,
  overwrite: boolean
): Effect.Effect<void, DownloadError> => {
  const expected: ByteStream.Expected & { readonly digest: Digest.Digest } =
    typeof blob === "string" ? { digest: blob } : blob
  // From the byte where the partial file ends (C28, trap 77).
  const remaining = (
    verifier: ByteStream.Verifier,
    offset: number
  ): Stream.Stream<Uint8Array, DownloadError | RangeMismatch | Unsupported> =>
    observed(
      verifier.verify(
        offset === expected.size
          ? PullStream.empty
          : BorrowedStream.of(
              registry.getBlobRange(repository, expected.digest, { start: offset })
            ),
        offset
      ),
      { direction: "download", repository, digest: expected.digest, size: expected.size },
      offset
    )
  const downloaded = (keep: boolean): Effect.Effect<void, DownloadError> =>
    Effect.gen(function* () {
      const verifier = yield* ByteStream.verifier(expected)
      const partial = yield* PartialFile.acquireKept(path, expected.digest, keep)
      const { discard, file, isNew, publish } = partial
      if (!isNew)
        yield* PullStream.runForEachChunk(readFrom(path, file, 0, inTurn()), (blocks) => {
          for (const bytes of blocks) verifier.update(bytes)
          return undefined
        })
      const offset = verifier.size()
      const content =
        offset === 0
          ? BorrowedStream.of(registry.getBlob(repository, blob))
          : remaining(verifier, offset)
      yield* Effect.catchAll(
        drain(content, path, file, offset),
        (error): Effect.Effect<never, DownloadError | Unusable> => {
          if (error._tag === "RangeMismatch" || error._tag === "Unsupported")
            return Effect.zipRight(discard, Effect.fail(new Unusable()))
          if (error._tag !== "DigestMismatch" && error._tag !== "SizeMismatch")
            return Effect.fail(error)
          return Effect.zipRight(discard, Effect.fail(offset > 0 ? new Unusable() : error))
        }
      )
      if (yield* Effect.uninterruptible(publish(overwrite))) return
      // Another download of the same blob may have been faster.
      if ((yield* stateOf(path, expected)) !== "same")
        return yield* new FileExists({ paths: [path] })
      yield* discard
    }).pipe(
      Effect.scoped,
      Effect.catchTag("Unusable", () => downloaded(false))
    )
  return downloaded(true)
}

/** A partial file that is not the beginning of the blob. */
class Unusable {
  readonly _tag = "Unusable"
}

/** Shows observers the rest of a download as the download of the whole. */
const observed = <E, R>(
  rest: Stream.Stream<Uint8Array, E, R>,
  subject: Transfer.Subject & { readonly digest: Digest.Digest },
  offset: number
): Stream.Stream<Uint8Array, E, R> =>
  PullStream.unwrap(
    Effect.as(
      Effect.zipRight(
        Transfer.emit({ _tag: "Started", subject }),
        Transfer.emit({ _tag: "Resumed", subject, offset })
      ),
      PullStream.ending(
        Transfer.track(rest, subject, offset),
        CompletedDownload.emit(subject, subject.digest)
      )
    )
  )
