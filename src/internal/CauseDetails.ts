/** What the system, TLS or an HTTP client says, in the properties of its errors, of a failure. */

/**
 * Returns the code that the system, TLS or the HTTP client gave an error or the one beneath it,
 * such as `ENOTFOUND`; empty if there is none.
 */
export const codeOf = (cause: unknown): string => {
  // Errors can be in a circle.
  for (let error = cause, depth = 0; depth < 16; depth++) {
    if (typeof error !== "object" || error === null) return ""
    if ("code" in error && typeof error.code === "string" && /^[A-Z0-9_]{1,64}$/.test(error.code))
      return error.code
    error = "cause" in error ? error.cause : undefined
  }
  return ""
}

/**
 * Returns what could not be reached, as the system names it: the URL of a request does not show
 * that it took a proxy. Empty if the system names nothing.
 */
export const placeOf = (cause: unknown, depth = 0): string => {
  if (typeof cause !== "object" || cause === null || depth === 16) return ""
  if ("hostname" in cause && isHost(cause.hostname)) return cause.hostname
  if (
    "address" in cause &&
    isHost(cause.address) &&
    "port" in cause &&
    typeof cause.port === "number"
  )
    return cause.address.includes(":")
      ? `[${cause.address}]:${cause.port}`
      : `${cause.address}:${cause.port}`
  return "cause" in cause ? placeOf(cause.cause, depth + 1) : ""
}

const isHost = (text: unknown): text is string =>
  typeof text === "string" && /^[A-Za-z0-9.:_-]{1,255}$/.test(text)

/** Returns the message of the error that has the code, or else of the outermost one. */
export const wordsOf = (cause: unknown): string => {
  for (let error = cause, depth = 0; error instanceof Error && depth < 16; depth++) {
    if ("code" in error || !(error.cause instanceof Error)) return error.message
    error = error.cause
  }
  return ""
}
