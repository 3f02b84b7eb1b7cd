/**
 * The hosts of registries, as people write them: `ghcr.io`, `Registry.LAN:5000`, `[::1]:5000`. One
 * host can be written in many ways; each function here takes any of them, and what
 * {@link fromString} returns is equal for equal hosts.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import ipaddr from "ipaddr.js"
import * as Parsed from "./internal/Parsed.js"
import * as ServerText from "./internal/ServerText.js"

/**
 * A host in normal form: a name or an address, and a port where it is not the one that the scheme
 * implies. It is in lower case, an international name is in its ASCII form, an address is spelled
 * as the [URL standard](https://url.spec.whatwg.org/#host-serializing) has it, and Docker Hub is
 * `docker.io` under all its names. Equal hosts are equal strings.
 *
 * @since 0.1.0
 * @category models
 */
export type Host = string & Brand.Brand<"Host">

/**
 * A text that is not a host (`NotAHost`), or a second key for a host that has one (`Duplicate`).
 * `input` is cut to 128 characters, and user information in it is masked.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidHost extends Schema.TaggedError<InvalidHost>("effect-oci/InvalidHost")(
  "InvalidHost",
  {
    input: Schema.String,
    reason: Schema.Literal("NotAHost", "Duplicate"),
    problem: Schema.String
  }
) {
  override get message(): string {
    return `${ServerText.escaped(this.input, 255)} ${this.problem}`
  }
}

/**
 * Parses a host, `name[:port]`, without scheme, path or user name. The port that `scheme` implies
 * is left out: 80 for http, and 443 for https. By default the scheme is http for hosts of this
 * machine ({@link isLoopback}), and https for all others.
 *
 * Fails with {@link InvalidHost}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (input: string, scheme?: "http" | "https"): Effect.Effect<Host, InvalidHost> =>
  Parsed.toEffect(parsed(input, scheme))

/**
 * Returns the host that a text is, for one that is written in the source. Throws what
 * {@link parse} fails with.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unsafeParse = (input: string, scheme?: "http" | "https"): Host =>
  Parsed.orThrow(parsed(input, scheme))

/**
 * Returns settings whose keys are hosts, as {@link parse} takes them, as a map. Settings that are
 * `undefined` are left out.
 *
 * Fails with {@link InvalidHost} when a key is not a host, or two keys are the same host.
 *
 * @since 0.1.0
 * @category constructors
 */
export const byHost = <A>(
  settings: Readonly<Record<string, A | undefined>>,
  scheme?: "http" | "https"
): Effect.Effect<ReadonlyMap<Host, A>, InvalidHost> =>
  Effect.gen(function* () {
    const keys = new Map<Host, string>()
    const found = new Map<Host, A>()
    for (const [key, value] of Object.entries(settings)) {
      const host = yield* parse(key, scheme)
      const other = keys.get(host)
      if (other !== undefined) {
        const same = ServerText.escaped(other, 255)
        const problem = `is the same host as ${same}: use one of the two keys`
        return yield* Effect.fail(invalid(key, "Duplicate", problem))
      }
      keys.set(host, key)
      if (value !== undefined) found.set(host, value)
    }
    return found
  })

/**
 * Returns the host that a text names, `None` if it names none: {@link parse} without its error.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromString = (text: string, scheme?: "http" | "https"): Option.Option<Host> => {
  const url = urlOf(text, scheme ?? (isLoopback(text) ? "http" : "https"))
  return url === undefined || !(names.test(url.hostname) || url.hostname.startsWith("["))
    ? Option.none()
    : Option.some((isDockerHub(url.host) ? dockerHub : url.host) as Host)
}

/**
 * Returns the host of an http or https URL, without the port that its scheme implies; `None` for
 * other URLs, and for those with a user name.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromUrl = (url: string): Option.Option<Host> => {
  const parsed = url.length > maxUrlLength ? undefined : parseUrl(url)
  const scheme = schemes.get(parsed?.protocol ?? "")
  return parsed === undefined ||
    scheme === undefined ||
    `${parsed.username}${parsed.password}` !== ""
    ? Option.none()
    : fromString(parsed.host, scheme)
}

/**
 * Returns whether a value is a host in normal form, over http or https.
 *
 * @since 0.1.0
 * @category guards
 */
export const isHost = (u: unknown): u is Host =>
  typeof u === "string" &&
  (["http", "https"] as const).some((scheme) => Option.contains(fromString(u, scheme), u))

/**
 * Returns whether a URL is at a host. A host without a port has the one that the scheme of the URL
 * implies, whichever that is.
 *
 * @since 0.1.0
 * @category guards
 */
export const isAt = (host: string, url: string): boolean => {
  const scheme = /^http:/i.test(url) ? "http" : "https"
  const there = fromUrl(url)
  return Option.isSome(there) && Option.contains(fromString(host, scheme), there.value)
}

/**
 * Returns whether a host is Docker Hub, under any of its names.
 *
 * @since 0.1.0
 * @category guards
 */
export const isDockerHub = (host: string): boolean => dockerHubHosts.has(host.toLowerCase())

/**
 * Returns whether a host is this machine: `localhost`, a name below it, or a loopback address in
 * any spelling. Plain http is safe there.
 *
 * @since 0.1.0
 * @category guards
 */
export const isLoopback = (host: string): boolean => {
  const name = urlOf(host, "http")?.hostname.replace(/^\[|\]$|\.$/g, "") ?? ""
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    // `process` turns v4-mapped addresses into those that they map.
    (ipaddr.isValid(name) && ipaddr.process(name).range() === "loopback")
  )
}

/**
 * Returns the host that serves the API of a registry: `registry-1.docker.io` for Docker Hub, else
 * the host itself.
 *
 * @since 0.1.0
 * @category getters
 */
export const apiHost = (host: string): string => (isDockerHub(host) ? "registry-1.docker.io" : host)

/**
 * A host in normal form, as a string. `Host.make` returns a string as a host, and throws
 * `ParseError` where it is not one in normal form.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Host: Schema.refine<Host, Schema.Schema<string>> = Schema.String.pipe(
  Schema.filter((text: string): text is Host => isHost(text), {
    identifier: "Host",
    description: "a host in normal form",
    arbitrary: () => (fc) => fc.domain().map((text) => text.toLowerCase() as Host)
  })
)

/**
 * A host from the string that {@link parse} accepts.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FromString: Schema.Schema<Host, string> = Schema.transformOrFail(
  Schema.String,
  Schema.typeSchema(Host),
  {
    strict: true,
    decode: Parsed.decode((input) => parsed(input)),
    encode: (host) => ParseResult.succeed(host)
  }
)

/**
 * Docker Hub.
 *
 * @since 0.1.0
 * @category constants
 */
export const dockerHub = "docker.io" as Host

const dockerHubHosts = new Set<string>([dockerHub, "index.docker.io", "registry-1.docker.io"])
const schemes = new Map<string, "http" | "https">([
  ["http:", "http"],
  ["https:", "https"]
])

/** A name has at most 253 characters, an international one fewer before it is in its ASCII form. */
const maxLength = 260
const maxUrlLength = 16_384

/**
 * The URL standard allows more, such as commas, which no name has: `a.example,b.example` is a list.
 */
const names = /^(?:[a-z0-9_-]+\.)*[a-z0-9_-]+\.?$/

const parseUrl = (text: string): URL | undefined => (URL.canParse(text) ? new URL(text) : undefined)

/**
 * The URL parser drops or decodes some of the characters that are excluded, and others end a host.
 */
const urlOf = (host: string, scheme: "http" | "https"): URL | undefined =>
  host.length > maxLength || /[\s\p{Cc}\\/?#@%]|:$/u.test(host)
    ? undefined
    : parseUrl(`${scheme}://${host}`)

const invalid = (input: string, reason: InvalidHost["reason"], problem: string) =>
  new InvalidHost({ input: input.replace(/^.*@/s, "***@").slice(0, 128), reason, problem })

const parsed = (input: string, scheme?: "http" | "https"): Either.Either<Host, InvalidHost> =>
  Either.fromOption(fromString(input, scheme), () =>
    invalid(
      input,
      "NotAHost",
      `is not a host: ${problemOf(input)}; expected something like "ghcr.io" or "localhost:5000"`
    )
  )

const problemOf = (text: string): string => {
  if (text === "") return "it is empty"
  if (text.length > maxLength) return `it has more than ${maxLength} characters`
  if (text.includes("://")) return "it is a URL, of which only host and port count"
  if (text.includes("@")) return "it has a user name"
  if (text.includes("*")) return "it is a pattern, and each host is written out"
  if (text.includes("/")) return "it has a path"
  return "it is neither a name nor an address, with or without a port"
}
