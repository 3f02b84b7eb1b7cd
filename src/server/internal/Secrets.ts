/** Secrets of a server: made at random, and compared and looked up by their hashes. */
import * as Encoding from "effect/Encoding"
import * as Digest from "../../spec/Digest.js"

/** Returns 256 random bits, as text that fits headers and URLs. */
export const random = (): string =>
  Encoding.encodeBase64Url(crypto.getRandomValues(new Uint8Array(32)))

/** Returns the hash of a secret: where two of them differ says nothing about the secrets. */
export const hash = (secret: string): Digest.Digest =>
  Digest.fromBytes(new TextEncoder().encode(secret))

/** Whether two hashes are the same, in the same time wherever they differ. */
export const isSame = (a: Digest.Digest, b: Digest.Digest): boolean => {
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}

/** Adds an entry to a map of at most `capacity`, of which the oldest goes. */
export const put = <K, V>(map: Map<K, V>, key: K, value: V, capacity: number): void => {
  // Maps keep their order, so the first entry is the oldest.
  for (const oldest of map.keys()) {
    if (map.size < capacity) break
    map.delete(oldest)
  }
  map.set(key, value)
}
