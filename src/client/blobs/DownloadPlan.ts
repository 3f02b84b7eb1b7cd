/**
 * What a download asks for next, and what a response to it means: pure, so that the whole policy is
 * this file and its table of tests. `BlobDownload` does what it says.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as SingleField from "../../protocol/internal/SingleField.js"

/** What to ask for: the whole blob, a part of it, or nothing, since nothing is missing. */
export type Request = { readonly _tag: "Whole" } | Part | Nothing

interface Part {
  readonly _tag: "Part"
  readonly range: { readonly start: number; readonly end?: number }
}

interface Nothing {
  readonly _tag: "Nothing"
}

/** The facts of a successful response that count. `length` is that of its body, in bytes. */
export interface Facts {
  readonly status: number
  readonly contentRange: Either.Either<string, SingleField.Problem>
  readonly length: number | undefined
}

/** What a response says of the blob that its body is, or is a part of, as far as it says it. */
export interface Identity {
  readonly size: number | undefined
  readonly etag: string | undefined
  readonly digest: string | undefined
  readonly isEncoded: boolean
}

/** The identity in a response with such facts and header fields. */
export const identityOf = (
  { contentRange, length, status }: Facts,
  fields: SingleField.Fields
): Identity => ({
  size:
    status === 206
      ? Option.getOrUndefined(
          Option.flatMap(Either.getRight(contentRange), (text) =>
            Option.flatMap(ByteRange.parseContent(text), ({ total }) => total)
          )
        )
      : length,
  etag: SingleField.value(fields, "etag"),
  digest: SingleField.value(fields, "docker-content-digest"),
  isEncoded: ContentDecoding.parse(fields["content-encoding"]).length > 0
})

/** Whether two responses may be of the same blob: nothing that both say differs. */
export const isSame = (one: Identity, other: Identity): boolean =>
  (["size", "etag", "digest", "isEncoded"] as const).every(
    (name) => one[name] === undefined || other[name] === undefined || one[name] === other[name]
  )

/** The body is the blob from byte `start` on, and has `length` bytes if that is known. */
export interface Content {
  readonly _tag: "Content"
  readonly start: number
  readonly length: number | undefined
}

/** The response makes no sense. */
export interface Violation {
  readonly _tag: "Violation"
  readonly problem: string
}

const content = (start: number, length: number | undefined): Content => ({
  _tag: "Content",
  start,
  length
})

const violation = (problem: string): Violation => ({ _tag: "Violation", problem })

const parsed = (contentRange: string): ByteRange.ContentRange | undefined =>
  Option.getOrUndefined(ByteRange.parseContent(contentRange))

/** Nobody knows which of two ranges the body is, nor what is meant by a blank one. */
const nameless = (problem: SingleField.Problem): Violation =>
  violation(`The registry sent a part of the blob whose Content-Range is ${problem}`)

// -----------------------------------------------------------------------------
// A whole blob
// -----------------------------------------------------------------------------

/**
 * How far a download of a whole blob is: `at` is the byte that comes next, all before it were
 * delivered; `size` is that of the blob, if it is known. A registry whose ranges are of no use is
 * asked for no more of them (`ranges`).
 */
export interface BlobState {
  readonly at: number
  readonly size: number | undefined
  readonly ranges: boolean
}

/** What to ask for next. */
export const requestOfBlob = ({ at, ranges, size }: BlobState): Request => {
  if (at > 0 && at === size) return { _tag: "Nothing" }
  return at === 0 || !ranges ? { _tag: "Whole" } : { _tag: "Part", range: { start: at } }
}

/** `Useless`: the response is to be given up, and the whole blob to be asked for (trap 77). */
export type BlobMeaning = Content | Unusable

/** A response that is not read. */
export type Unusable = Violation | { readonly _tag: "Useless" }

/**
 * What the response to a request means. A part may begin before the byte that comes next, but not
 * after it, and must be one of a blob of this size; where it ends before the blob does, the rest is
 * asked for (C28).
 */
export const responseOfBlob = (
  { at, size }: BlobState,
  asked: Request,
  { contentRange, length, status }: Facts
): BlobMeaning => {
  if (status !== 206) return content(0, length)
  if (asked._tag !== "Part")
    return violation("The registry answered a request for a whole blob with a part of it")
  if (Either.isLeft(contentRange))
    return contentRange.left === "absent" ? { _tag: "Useless" } : nameless(contentRange.left)
  const range = parsed(contentRange.right)
  if (range === undefined) return { _tag: "Useless" }
  const total = Option.getOrUndefined(range.total)
  const isOther = size !== undefined && total !== undefined && total !== size
  return range.start > at || isOther
    ? { _tag: "Useless" }
    : content(range.start, (size ?? total ?? range.end + 1) - range.start)
}

/** What a 416 means in response to a request. */
export const refusalOfBlob = (asked: Request): Unusable =>
  asked._tag === "Part"
    ? { _tag: "Useless" }
    : violation("The registry refuses a range that was not asked for")

// -----------------------------------------------------------------------------
// A range
// -----------------------------------------------------------------------------

/** How far a download of a range is: the byte that comes next, and the last one wanted. */
export interface RangeState {
  readonly at: number
  readonly end: number | undefined
}

/** What to ask for next. */
export const requestOfRange = ({ at, end }: RangeState): Part | Nothing => {
  if (end === undefined) return { _tag: "Part", range: { start: at } }
  return at > end ? { _tag: "Nothing" } : { _tag: "Part", range: { start: at, end } }
}

/**
 * `NoRanges`: the registry ignores ranges. `OtherRange`: the response is not the range that was
 * asked for.
 */
export type RangeMeaning =
  | Content
  | Violation
  | { readonly _tag: "NoRanges" }
  | { readonly _tag: "OtherRange" }

/**
 * What the response to a request means. A range begins where it was asked to; it may end early at
 * the end of the blob and nowhere else (RFC 9110 §14.2). A body that is announced as longer than
 * its range is of something else.
 */
export const responseOfRange = (
  { at, end }: RangeState,
  { contentRange, length, status }: Facts
): RangeMeaning => {
  if (status !== 206) return { _tag: "NoRanges" }
  if (Either.isLeft(contentRange)) return nameless(contentRange.left)
  const range = parsed(contentRange.right)
  if (range === undefined || range.start !== at) return { _tag: "OtherRange" }
  const last = Option.isSome(range.total) ? range.total.value - 1 : undefined
  const isToEnd =
    end === undefined
      ? last === undefined || range.end === last
      : range.end === end || (range.end < end && range.end === last)
  const count = range.end - at + 1
  return isToEnd && (length ?? count) <= count ? content(at, count) : { _tag: "OtherRange" }
}
