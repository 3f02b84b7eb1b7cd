/**
 * The query of a URL as it was written. A URL parser escapes an apostrophe and other characters in
 * it (trap 7), and a query that is signed is not the same afterwards.
 */

/**
 * Returns the query of a URL with its question mark, byte for byte, or an empty text if the URL has
 * none. Characters that no request line can carry, all but visible ASCII, are percent-encoded as
 * UTF-8, as a URL parser does.
 */
export const ofUrl = (url: string): string => {
  const [text = ""] = url.split("#", 1)
  const mark = text.indexOf("?")
  return mark === -1 ? "" : text.slice(mark).replace(/[^!-~]/gu, escape)
}

/**
 * Returns a URL without its fragment: scheme, host, port and path as a parser made them of
 * `target`, which a server sent in its response to a request for `from`, and the query as it was
 * written. A target without a path and a query of its own has the query of `from`.
 */
export const restored = (parsed: URL, target: string, from: string): string => {
  const written = ofUrl(withoutSpacesAfter(target))
  const query = written === "" && parsed.search !== "" ? ofUrl(from) : written
  return parsed.origin + parsed.pathname + query
}

/**
 * Returns a URL without the spaces after it, which a parser leaves out. A pattern would try each of
 * those within it anew.
 */
const withoutSpacesAfter = (url: string): string => {
  let end = url.length
  while (url.charAt(end - 1) === " ") end--
  return url.slice(0, end)
}

const escape = (character: string): string =>
  // A surrogate without its other half has no UTF-8.
  encodeURIComponent(character.replace(/\p{Cs}/u, "\uFFFD"))
