/**
 * Byte ranges in their four spellings: the progress of an upload, one chunk of an upload, a range
 * asked for in a download, and the range of a response. Offsets count bytes from 0, both ends are
 * inclusive, and only safe integers are accepted; parsers of received headers never fail but return
 * `None`.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"

/**
 * The bytes from `start` to `end`, both inclusive: 1024 bytes are `{ start: 0, end: 1023 }`.
 *
 * @since 0.1.0
 * @category models
 */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * What a download asks for: from `start` to `end` (or to the last byte, without `end`), or the last
 * `suffix` bytes.
 *
 * @since 0.1.0
 * @category models
 */
export type RangeRequest =
  | { readonly start: number; readonly end?: number }
  | { readonly suffix: number }

/**
 * The range a `206` carries, with the size of the whole in bytes where the server says it.
 *
 * @since 0.1.0
 * @category models
 */
export interface ContentRange extends ByteRange {
  readonly total: Option.Option<number>
}

/**
 * Reads a number of bytes, such as
 * [`Content-Length`](https://www.rfc-editor.org/rfc/rfc9110#section-8.6). Returns `None` for
 * anything but a safe integer in decimal digits.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parseLength = (header: string): Option.Option<number> =>
  Option.fromNullable(integer(header.trim()))

/**
 * Reads the `Range` of a response to an upload ([Pushing a blob in
 * chunks](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks)):
 * the bytes that the registry holds. All spellings in use are understood: `0-1023`, `bytes=0-1023`,
 * `bytes 0-1023`, and `0--1` (`end` is -1) for an upload without bytes.
 *
 * `0-0` means one byte or none, and the number may lag behind what is stored: see `nextOffset`.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parseUpload = (header: string): Option.Option<ByteRange> => {
  const value = withoutUnit(header)
  return value === "0--1" ? Option.some({ start: 0, end: -1 }) : bounds(value)
}

/**
 * Returns the offset in bytes at which an upload continues, from the `Range` of the registry's
 * response and the number of bytes it had `acknowledged` before. With nothing acknowledged `0-0` is
 * taken for an empty upload: if it was one byte, the registry refuses the next chunk with `416`,
 * whereas a skipped byte would spoil the blob.
 *
 * @since 0.1.0
 * @category combinators
 */
export const nextOffset = (range: ByteRange, acknowledged: number): number =>
  range.end === 0 && acknowledged === 0 ? 0 : range.end + 1

/**
 * Writes the `Range` of a response to an upload that holds `size` bytes. An empty upload is `0-0`,
 * since `0--1` does not fit the grammar of the specification.
 *
 * @since 0.1.0
 * @category formatting
 */
export const formatUpload = (size: number): string => `0-${Math.max(0, size - 1)}`

/**
 * Reads the `Content-Range` of an uploaded chunk: `0-1023`, or `bytes 0-1023` as Docker's
 * documentation has it.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parseChunk = (header: string): Option.Option<ByteRange> => bounds(withoutUnit(header))

/**
 * Writes the `Content-Range` of an uploaded chunk, without unit and total ([Pushing a blob in
 * chunks](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks)).
 *
 * @since 0.1.0
 * @category formatting
 */
export const formatChunk = (range: ByteRange): string => `${range.start}-${range.end}`

/**
 * Reads the [`Range`](https://www.rfc-editor.org/rfc/rfc9110#section-14.2) of a download. Returns
 * `None` for several ranges, other units and nonsense: a server ignores such a header and sends the
 * whole.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parseRequest = (header: string): Option.Option<RangeRequest> => {
  const value = header.trim()
  if (!/^bytes=/i.test(value)) return Option.none()
  const [first = "", last = "", ...rest] = value.slice(6).trim().split("-", 3)
  const start = integer(first)
  const end = integer(last)
  if (rest.length > 0) return Option.none()
  if (first === "") return end === undefined ? Option.none() : Option.some({ suffix: end })
  if (start === undefined) return Option.none()
  if (last === "") return value.endsWith("-") ? Option.some({ start }) : Option.none()
  return end === undefined || end < start ? Option.none() : Option.some({ start, end })
}

/**
 * Writes the `Range` of a download.
 *
 * @since 0.1.0
 * @category formatting
 */
export const formatRequest = (range: RangeRequest): string =>
  "suffix" in range ? `bytes=-${range.suffix}` : `bytes=${range.start}-${range.end ?? ""}`

/**
 * Returns whether bytes can be asked for so: whole numbers, none negative, the last byte not before
 * the first.
 *
 * @since 0.1.0
 * @category guards
 */
export const isRequest = ({
  end,
  start
}: {
  readonly start: number
  readonly end?: number | undefined
}): boolean => isOffset(start) && (end === undefined || (isOffset(end) && start <= end))

/**
 * Returns the bytes that a requested range selects from content of `size` bytes; `None` means
 * unsatisfiable, [`416`](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.17).
 *
 * @since 0.1.0
 * @category combinators
 */
export const resolve = (range: RangeRequest, size: number): Option.Option<ByteRange> => {
  if (!("suffix" in range) && !isRequest(range)) return Option.none()
  const start = "suffix" in range ? Math.max(0, size - range.suffix) : range.start
  const end = "suffix" in range ? size - 1 : Math.min(range.end ?? size - 1, size - 1)
  return start <= end ? Option.some({ start, end }) : Option.none()
}

/**
 * Reads the `Content-Range` of a `206`: `bytes 0-1023/4096`, or `bytes 0-1023/*` when the total is
 * unknown.
 *
 * @since 0.1.0
 * @category parsing
 */
export const parseContent = (header: string): Option.Option<ContentRange> => {
  const value = header.trim()
  if (!/^bytes /i.test(value)) return Option.none()
  const [range = "", size = "", ...rest] = value.slice(6).trim().split("/", 3)
  const total = Option.fromNullable(integer(size))
  if (rest.length > 0 || (Option.isNone(total) && size !== "*")) return Option.none()
  return bounds(range).pipe(
    Option.filter((range) => Option.isNone(total) || range.end < total.value),
    Option.map((range) => ({ ...range, total }))
  )
}

/**
 * Writes the `Content-Range` of a `206` for content of `total` bytes.
 *
 * @since 0.1.0
 * @category formatting
 */
export const formatContent = (range: ByteRange, total: number): string =>
  `bytes ${range.start}-${range.end}/${total}`

const isOffset = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

const integer = (text: string): number | undefined => {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) ? value : undefined
}

const bounds = (text: string): Option.Option<ByteRange> => {
  const [first = "", last = "", ...rest] = text.split("-", 3)
  const start = integer(first)
  const end = integer(last)
  return start === undefined || end === undefined || rest.length > 0 || end < start
    ? Option.none()
    : Option.some({ start, end })
}

/** Quirks §3: uploads are answered with and without a unit, joined by `=` or by a space. */
const withoutUnit = (header: string): string => {
  const value = header.trim()
  return /^bytes[= ]/i.test(value) ? value.slice(6).trim() : value
}
