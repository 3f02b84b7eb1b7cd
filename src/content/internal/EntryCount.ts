/** How many entries all layers have together: each of them takes memory. */
import { LimitExceeded } from "../../RegistryError.js"

/** How many there may be. */
export interface Options {
  readonly entryLimit?: number | undefined
}

/** A count. */
export interface EntryCount {
  /** Counts one more, and returns the error if it is one too many. */
  readonly next: () => LimitExceeded | undefined
  readonly value: () => number
}

/** Makes a count. Without options, nobody can have it larger. */
export const make = (options?: Options): EntryCount => {
  let value = 0
  const limit = options?.entryLimit ?? 1_000_000
  const excess = new LimitExceeded({
    what: "The number of entries",
    limit,
    ...(options !== undefined && { option: "entryLimit" })
  })
  return { next: () => (++value <= limit ? undefined : excess), value: () => value }
}
