/** Maps that forget their oldest entries. */

/** Of entries in one map: of tokens, of origins, of challenged demands and so on each. */
const capacity = 1000

/**
 * Sets an entry, and forgets the oldest ones beyond 1,000. Maps keep their order of insertion, so
 * the first entry is the oldest.
 */
export const put = <A>(
  map: Map<string, A>,
  key: string,
  value: A,
  forget: (oldest: string) => void = (oldest) => map.delete(oldest)
): void => {
  map.delete(key)
  for (const oldest of map.keys()) {
    if (map.size < capacity) break
    forget(oldest)
  }
  map.set(key, value)
}
