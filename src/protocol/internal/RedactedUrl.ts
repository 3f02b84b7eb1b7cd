/**
 * URLs as errors, spans and logs may show them. Storage back ends put credentials into query
 * strings (pre-signed URLs, upload state), so every query value is hidden but those of the registry
 * protocol itself.
 */

const shown = new Set([
  "artifactType",
  "digest",
  "digest-algorithm",
  "from",
  "last",
  "mount",
  "n",
  "scope",
  "service",
  "tag"
])
const maxLength = 1024

/**
 * The URL without user info and fragment, with every query value replaced by `REDACTED` except the
 * protocol's own (`digest`, `mount`, `from`, `n`, `last`, `scope`, `service`, `tag`,
 * `artifactType`, `digest-algorithm`), and cut at 1,024 characters (T13).
 */
export const redact = (url: string): string => {
  const withoutFragment = cut(url, "#")
  const base = cut(withoutFragment, "?").replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, "$1")
  const query = withoutFragment.slice(cut(withoutFragment, "?").length + 1)
  const whole = query === "" ? base : `${base}?${query.split("&", 64).map(redactPair).join("&")}`
  return whole.length > maxLength ? `${whole.slice(0, maxLength)}…` : whole
}

const redactPair = (pair: string): string => {
  const name = cut(pair, "=")
  return name === pair || shown.has(name) ? pair : `${name}=REDACTED`
}

const cut = (text: string, separator: string): string => {
  const at = text.indexOf(separator)
  return at === -1 ? text : text.slice(0, at)
}
