/** What registries say in the `detail` of an error, as far as it is fit for a message. */
import type { ErrorInfo } from "../protocol/ErrorBody.js"
import { type Digest, isDigest } from "../spec/Digest.js"
import * as ServerText from "../spec/internal/ServerText.js"

/**
 * Returns the detail of an error in at most 256 characters; empty if it says nothing that its
 * message, or `text`, does not say already.
 */
export const detailOf = ({ detail, message = "" }: ErrorInfo, text: string): string => {
  const known = `${message} ${text}`
  const says = leavesOf(detail).some((leaf) => leaf !== "" && !known.includes(leaf))
  if (!says) return ""
  return ServerText.plain(typeof detail === "string" ? detail : JSON.stringify(detail), longest)
}

const longest = 256

/** Returns the texts and numbers in a detail, which has at most 4 KiB. */
export const leavesOf = (detail: unknown): ReadonlyArray<string> =>
  typeof detail === "string" || typeof detail === "number"
    ? [String(detail)]
    : typeof detail === "object" && detail !== null
      ? Object.values(detail).flatMap(leavesOf)
      : []

/** Returns the digest that a detail names, if it names one alone. */
export const digestOf = (detail: unknown): Digest | undefined => {
  const [digest, ...others] = leavesOf(detail).filter(isDigest)
  return others.length === 0 ? digest : undefined
}

/**
 * Returns whether an error says that there is no space left: in words, or by the number that
 * distribution has of the system (`"Err":28`).
 */
export const isFull = ({ detail, message = "" }: ErrorInfo): boolean =>
  [message, ...leavesOf(detail)].some((text) => /no space left|disk quota|ENOSPC/i.test(text)) ||
  numbersOf(detail).some((number) => full.has(number))

/** ENOSPC and EDQUOT on Linux. */
const full: ReadonlySet<unknown> = new Set([28, 122])

const numbersOf = (detail: unknown): ReadonlyArray<unknown> =>
  typeof detail === "object" && detail !== null
    ? Object.entries(detail).flatMap(([name, value]) =>
        name === "Err" ? [value] : numbersOf(value)
      )
    : []
