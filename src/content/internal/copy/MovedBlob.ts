/** A blob on its way from one registry to another. */
import * as Data from "effect/Data"
import * as BlobSource from "../../../BlobSource.js"
import * as BorrowedStream from "../../../internal/BorrowedStream.js"
import * as PullStream from "../../../internal/PullStream.js"
import type { CopyFailure, NodeError } from "./CopyFailure.js"

/** What the source failed with: the target can fail with the same, and is another side. */
class SourceError extends Data.TaggedError("SourceError")<{ readonly error: NodeError }> {}

/** A failure, and whose it is. */
export interface Sided {
  readonly side: CopyFailure["side"]
  readonly error: NodeError
}

/**
 * Tells whose failure an upload of a `MovedBlob` has failed with. Bytes that are not what they
 * should be are those of the source, unless the target has answered so.
 */
export const sided = (error: NodeError | SourceError): Sided =>
  error instanceof SourceError
    ? { side: "source", error: error.error }
    : { side: isOfContent(error) ? "source" : "target", error }

/**
 * Whether what was read is not what it should be, which whoever takes it finds out by itself. What
 * a response says came of it is the target's.
 */
const isOfContent = (error: NodeError): boolean =>
  (error._tag === "SizeMismatch" || error._tag === "DigestMismatch") && error.url === undefined

/** A source that tells how many bytes have been read of it, and from where it was opened last. */
export class MovedBlob {
  private opened = false
  readonly source: BlobSource.BlobSource<SourceError>

  constructor(
    source: BlobSource.BlobSource<NodeError>,
    private readonly reached: (offset: number, from: number) => void
  ) {
    this.source = {
      ...source,
      open: BlobSource.reusing(
        this.through(source.open),
        this.through(BlobSource.openReusing(source.open))
      )
    }
  }

  /** Whether anybody wanted the bytes. */
  isOpened(): boolean {
    return this.opened || this.source.bytes !== undefined
  }

  private through(open: BlobSource.Open<NodeError>): BlobSource.Open<SourceError> {
    return (from) =>
      BorrowedStream.map(open(from), (stream) => {
        let offset = from
        return PullStream.mapError(
          PullStream.observe(stream, {
            onPull: () => {
              this.opened = true
            },
            onChunk: (chunk) => {
              for (const bytes of chunk) offset += bytes.length
              this.reached(offset, from)
            }
          }),
          (error) => new SourceError({ error })
        )
      })
  }
}
