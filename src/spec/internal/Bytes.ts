/** Arrays of bytes. */

/** Concatenates arrays. A single array is returned as it is. */
export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const only = parts[0]
  if (parts.length === 1 && only !== undefined) return only
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
