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
  "ns",
  "scope",
  "service",
  "tag"
])

/**
 * Those of token requests, which every server may repeat; a user name is not shown all the same.
 */
const known = new Set([...shown, "account", "client_id"])

/** In characters. */
const maxLength = 1024

/** Values of fewer characters stand in texts without being secrets. */
const shortestSecret = 8

/**
 * Returns the URL without user info and fragment, with every query value replaced by `REDACTED`
 * except the protocol's own (`digest`, `mount`, `from`, `n`, `last`, `ns`, `scope`, `service`,
 * `tag`, `artifactType`, `digest-algorithm`), and cut at 1,024 characters (T13). Where a parameter
 * has no name, or no value, all of it is replaced.
 */
export const redact = (url: string): string => {
  const query = queryOf(url)
  const base = cut(cut(url, "#"), "?").replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/\\]*@/i, "$1")
  const whole = query === "" ? base : `${base}?${pairsOf(query).map(redactPair).join("&")}`
  return whole.length > maxLength ? `${whole.slice(0, maxLength)}…` : whole
}

/**
 * Returns what a server could repeat of the URL and nobody may see: the values that `redact`
 * replaces, of 8 characters and more, and the query as a whole. Those that token requests always
 * have are not among them.
 */
export const secretsOf = (url: string): ReadonlyArray<string> => {
  const query = queryOf(url)
  const secrets = pairsOf(query).flatMap(({ name, value, text }) =>
    known.has(name) || text === "" ? [] : [isNameless(value) ? text : value]
  )
  return secrets.length === 0
    ? secrets
    : [query, ...secrets].filter((secret) => secret.length >= shortestSecret)
}

interface Pair {
  readonly text: string
  readonly name: string
  readonly value: string
}

const pairsOf = (query: string): ReadonlyArray<Pair> =>
  query.split("&", 64).map((text) => {
    const name = cut(text, "=")
    return { text, name, value: text.slice(name.length + 1) }
  })

const redactPair = ({ name, text, value }: Pair): string => {
  if (shown.has(name) || text === "") return text
  return isNameless(value) ? "REDACTED" : `${name}=REDACTED`
}

/** Base64 ends in up to two equality signs, the first of which looks like that after a name. */
const isNameless = (value: string): boolean => /^=*$/.test(value)

const queryOf = (url: string): string => {
  const text = cut(url, "#")
  return text.slice(cut(text, "?").length + 1)
}

const cut = (text: string, separator: string): string => {
  const at = text.indexOf(separator)
  return at === -1 ? text : text.slice(0, at)
}
