/** What goes to an upload session next, from where it is: pure, as `UploadPlan` is. */
import type { ChunkBounds } from "../../internal/UploadState.js"
import type { ByteRange } from "../../protocol/ByteRange.js"
import type { Failure, Session, State } from "./UploadPlan.js"

/** Bytes of a chunk where nobody says otherwise. */
const defaultChunkSize = 8 * 1024 * 1024

/** In bytes: a chunk is gathered in memory up to here, whoever demands it (T6). */
const maxGathered = 128 * 1024 * 1024

/**
 * Up to here, in bytes, any chunk is gathered in memory, and the next one read while it is sent:
 * that costs less than a stream for each.
 */
export const maxAhead = 16 * 1024 * 1024

/** Up to here, in bytes, what is in memory is sent from there; beyond it, progress matters more. */
const maxArray = 8 * 1024 * 1024

/**
 * A piece of the content, from where the session is.
 *
 * - `Whole`: all of it in the closing PUT, with its range where the session may have some already.
 * - `Rest`: all that is missing in one PATCH, up to byte `end` if that is known, or which `mayEnd`
 *   earlier.
 * - `Portion`: up to byte `end`, as the stream that it is in the source.
 * - `Chunk`: `size` bytes or what is left, gathered in memory, to be sent again from there.
 */
export type Piece =
  | { readonly _tag: "Whole"; readonly range: ByteRange | undefined }
  | { readonly _tag: "Rest"; readonly end: number | undefined; readonly mayEnd: boolean }
  | { readonly _tag: "Portion"; readonly end: number }
  | { readonly _tag: "Chunk"; readonly size: number }

/**
 * The size of chunks that is nearest to what is wanted, within what the registry takes (C46). What
 * is no size, such as 0, is as good as nothing.
 */
export const chunkSizeOf = (bounds: ChunkBounds, wanted = defaultChunkSize): number =>
  Math.min(
    Math.max(wanted >= 1 ? Math.floor(wanted) : defaultChunkSize, bounds.chunkMinLength ?? 1),
    bounds.chunkMaxLength ?? Number.MAX_SAFE_INTEGER
  )

/** Whether chunks are too large for memory by what the registry demands. */
export const isBeyondMemory = ({ chunkMinLength = 0 }: ChunkBounds): boolean =>
  chunkMinLength > maxGathered

/** Whether content in memory goes as an array. As a stream it may go without its length. */
export const isArray = ({ content, habits }: State<Failure>): boolean =>
  content.inMemory && (!habits.sendsLength || (content.size ?? 0) <= maxArray)

/**
 * What goes to the session next: in chunks where the form, the registry or the HTTP client has it,
 * and of a stream of unknown size that was cut off, since ranges can be checked. So is the place of
 * a session that may be left, whose rest then goes without an end: it can end at any byte.
 */
export const pieceOf = (state: State<Failure>, session: Session): Piece => {
  const { chunkSize, content, form, habits, isKept } = state
  const { bounds, isCertain, isDoubtful, offset } = session
  const { size } = content
  const isResumed = isDoubtful || offset > 0
  const isBounded =
    size === undefined
      ? (bounds.chunkMinLength ?? bounds.chunkMaxLength) !== undefined
      : size - offset > (bounds.chunkMaxLength ?? size)
  const inChunks =
    size === offset ||
    form === "chunked" ||
    isBounded ||
    (form === "patch" && content.inMemory && !habits.sendsLength) ||
    (size === undefined && isResumed) ||
    (isKept && isDoubtful && !isCertain)
  if (inChunks) {
    const length = chunkSizeOf(bounds, chunkSize)
    if (
      length > maxAhead &&
      !isKept &&
      content.replayable &&
      habits.sendsLength &&
      size !== undefined &&
      offset < size
    )
      return { _tag: "Portion", end: Math.min(offset + length, size) }
    // The last chunk may be of any length, and one that is all there is is the last.
    return isBeyondMemory(bounds)
      ? { _tag: "Rest", end: size, mayEnd: isKept }
      : { _tag: "Chunk", size: Math.min(length, maxGathered) }
  }
  // A session that seems empty may hold a byte (trap 3): then this is refused instead of added.
  if (form === "put" && offset === 0 && content.hasDigest && size !== undefined)
    return { _tag: "Whole", range: isResumed ? { start: 0, end: size - 1 } : undefined }
  return { _tag: "Rest", end: size, mayEnd: isKept }
}
