/**
 * What a registry asks for in a 401: the challenges of
 * [`WWW-Authenticate`](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1), as registries really
 * send them. HTTP clients hand over repeated field lines joined by
 * commas, so one value holds any number of challenges.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as FieldValue from "./internal/FieldValue.js"

/**
 * One challenge. `scheme` is in lower case (`bearer`, `basic`, or one that we cannot answer);
 * `realm` is the token server's URL for `bearer`, a label for `basic`; `scopes` are the
 * space-separated parts of `scope`, as sent; `error` is why an earlier token was refused ([RFC
 * 6750](https://www.rfc-editor.org/rfc/rfc6750#section-3.1)).
 *
 * @since 0.1.0
 * @category models
 */
export interface Challenge {
  readonly scheme: string
  readonly realm?: string | undefined
  readonly service?: string | undefined
  readonly scopes: ReadonlyArray<string>
  readonly error?: string | undefined
}

/**
 * The schema of `Challenge`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Challenge: Schema.Schema<Challenge> = Schema.Struct({
  scheme: Schema.String,
  realm: Schema.optional(Schema.String),
  service: Schema.optional(Schema.String),
  scopes: Schema.Array(Schema.String),
  error: Schema.optional(Schema.String)
})

const maxChallenges = 16
const maxParameters = 32

/**
 * Returns the challenges of a field value, in order: what could be understood of it, and an empty
 * array for nonsense or for more than 16 KiB. Tolerates missing quotes and commas, empty values and
 * list elements, and any case of scheme and parameter names. Of a repeated parameter the first
 * value counts; a value with a control character counts as absent. At most 16 challenges and 32
 * parameters of each are read.
 *
 * @example
 * ```ts
 * import * as Challenge from "effect-oci/Challenge"
 *
 * Challenge.parse('Bearer realm="https://auth.example/token",service="registry.example"')
 * // [{ scheme: "bearer", realm: "https://auth.example/token", service: "registry.example" }]
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (header: string): ReadonlyArray<Challenge> => {
  if (header.length > FieldValue.maxLength) return []
  const found: Array<Found> = []
  let at = 0
  while (true) {
    at = FieldValue.skip(header, at, FieldValue.isSeparator)
    if (at >= header.length) break
    const name = FieldValue.token(header, at)
    if (name.value === "") {
      at = FieldValue.skip(header, at, (character) => character !== ",")
      continue
    }
    at = FieldValue.skip(header, name.next, FieldValue.isSpace)
    if (header.charAt(at) === "=") {
      const value = FieldValue.value(
        header,
        FieldValue.skip(header, at + 1, FieldValue.isSpace),
        ", \t"
      )
      at = value.next
      const parameters = found.at(-1)?.parameters
      const key = name.value.toLowerCase()
      if (parameters !== undefined && parameters.size < maxParameters && !parameters.has(key))
        parameters.set(key, value.value)
      continue
    }
    if (found.length === maxChallenges) break
    found.push({ scheme: name.value.toLowerCase(), parameters: new Map() })
    at = skipToken68(header, at)
  }
  return found.map(toChallenge)
}

/**
 * Returns the challenge to answer: the first `bearer` with a realm, else, when `basic` says that a
 * user name and password are at hand, the first `basic`. Registries that offer both, such as ACR
 * and Gitea, take tokens for everything and passwords only for some of it.
 *
 * @since 0.1.0
 * @category combinators
 */
export const select = (
  challenges: ReadonlyArray<Challenge>,
  options: { readonly basic: boolean }
): Option.Option<Challenge> => {
  const bearer = challenges.find(
    ({ realm, scheme }) => scheme === "bearer" && realm !== undefined && realm !== ""
  )
  const basic = options.basic ? challenges.find(({ scheme }) => scheme === "basic") : undefined
  return Option.fromNullable(bearer ?? basic)
}

/**
 * Returns the field value that a server sends for these challenges: all values quoted, empty
 * `scopes` left out, characters that a field value cannot carry (all but printable ASCII) dropped.
 * Schemes are capitalised, since some clients compare them as they are in RFC 6750 and RFC 7617.
 *
 * @since 0.1.0
 * @category combinators
 */
export const format = (challenges: Iterable<Challenge>): string =>
  Array.from(challenges, ({ error, realm, scheme, scopes, service }) => {
    const parameters = Object.entries({
      realm,
      service,
      scope: scopes.length === 0 ? undefined : scopes.join(" "),
      error
    }).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${FieldValue.quote(value)}`]))
    return `${scheme.charAt(0).toUpperCase()}${scheme.slice(1)} ${parameters.join(",")}`.trimEnd()
  }).join(", ")

interface Found {
  readonly scheme: string
  readonly parameters: Map<string, string>
}

const toChallenge = ({ parameters, scheme }: Found): Challenge => {
  const text = (key: string) =>
    Option.filter(Option.fromNullable(parameters.get(key)), (v) => !FieldValue.hasControl(v))
  return {
    scheme,
    ...Option.match(text("realm"), { onNone: () => ({}), onSome: (realm) => ({ realm }) }),
    ...Option.match(text("service"), { onNone: () => ({}), onSome: (service) => ({ service }) }),
    scopes: Option.getOrElse(text("scope"), () => "")
      .split(" ")
      .filter((scope) => scope !== ""),
    ...Option.match(text("error"), { onNone: () => ({}), onSome: (error) => ({ error }) })
  }
}

/**
 * `Negotiate YII=` carries one token68 instead of parameters. `a=b` looks alike, but does not end
 * where a list element ends.
 */
const skipToken68 = (header: string, start: number): number => {
  const text = FieldValue.skip(header, start, (character) => /[A-Za-z0-9._~+/-]/.test(character))
  const end = FieldValue.skip(header, text, (character) => character === "=")
  const after = FieldValue.skip(header, end, FieldValue.isSpace)
  return text > start && (after === header.length || header.charAt(after) === ",") ? after : start
}
