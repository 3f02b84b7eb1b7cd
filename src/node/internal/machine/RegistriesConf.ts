/**
 * podman's `registries.conf` and the files beside it, [version
 * 2](https://manpages.debian.org/containers-registries.conf.5): from decoded TOML to what it means.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Host from "../../../spec/Host.js"
import * as ServerText from "../../../spec/internal/ServerText.js"
import { isRepositoryName, unsafeParse } from "../../../spec/Reference.js"
import type { MachineRegistries, Rule, RuleMirror, Setting, Skipped } from "./Rules.js"

/** What podman's files say. */
export type Podman = Pick<
  MachineRegistries,
  "rules" | "search" | "shortNames" | "aliases" | "skipped"
>

/** A file, with its TOML decoded. */
export interface Decoded {
  readonly source: string
  readonly document: Readonly<Record<string, unknown>>
}

/**
 * Merges files in their order. A later rule replaces an earlier one of the same prefix, a later
 * list of search registries the earlier one, and an alias an earlier one; an empty alias erases it.
 * An entry that cannot be used is skipped, and all others hold (V32).
 */
export const merge = (files: Iterable<Decoded>): Podman => {
  const rules = new Map<string, Rule>()
  const aliases = new Map<string, Setting>()
  const skipped: Array<Skipped> = []
  let search: ReadonlyArray<Setting> = []
  let shortNames: Podman["shortNames"] = "permissive"
  for (const { document, source } of files) {
    const skip = (entry: string, problem: string) => void skipped.push({ source, entry, problem })
    for (const rule of rulesOf(source, document["registry"], skip)) rules.set(rule.prefix, rule)
    search = searchOf(source, document["unqualified-search-registries"], skip) ?? search
    shortNames = modeOf(document["short-name-mode"], skip) ?? shortNames
    for (const [name, reference] of aliasesOf(document["aliases"], skip))
      if (reference === "") aliases.delete(name)
      else aliases.set(name, { source, value: reference })
    if (document["registries"] !== undefined)
      skip("[registries]", "it is version 1 of the format: write [[registry]] tables instead")
  }
  return { rules: [...rules.values()], search, shortNames, aliases, skipped }
}

type Skip = (entry: string, problem: string) => void
type Table = Readonly<Record<string, unknown>>

const isTable = (u: unknown): u is Table => typeof u === "object" && u !== null && !Array.isArray(u)

// -----------------------------------------------------------------------------
// Rules
// -----------------------------------------------------------------------------

const rulesOf = (source: string, registries: unknown, skip: Skip): ReadonlyArray<Rule> => {
  if (registries === undefined) return []
  if (!Array.isArray(registries)) {
    skip("registry", "it is not a list of tables: write [[registry]]")
    return []
  }
  const found = new Map<string, Rule>()
  registries.forEach((table: unknown, n) => {
    const entry = `[[registry]] number ${n + 1}`
    const rule = ruleOf(source, table, (problem, n) =>
      skip(n === undefined ? entry : `${entry}, mirror number ${n + 1}`, problem)
    )
    if (Either.isLeft(rule)) skip(entry, rule.left)
    else if (found.has(rule.right.prefix))
      skip(entry, `${ServerText.quoted(rule.right.prefix)} has a table above, which counts`)
    else found.set(rule.right.prefix, rule.right)
  })
  return [...found.values()]
}

/** A mirror that cannot be used is skipped by itself. */
const ruleOf = (
  source: string,
  table: unknown,
  skipMirror: (problem: string, n: number) => void
): Either.Either<Rule, string> =>
  Either.gen(function* () {
    if (!isTable(table)) return yield* Either.left("it is not a table")
    const location = yield* optional(table["location"], (text) => nameOf("location", text))
    const prefix = yield* optional(table["prefix"] ?? table["location"], (text) =>
      nameOf("prefix", text, true)
    )
    if (prefix === undefined) return yield* Either.left("it has neither a prefix nor a location")
    const byDigestOnly = yield* flag(table, "mirror-by-digest-only")
    const given = table["mirror"] ?? []
    if (!Array.isArray(given))
      return yield* Either.left("its mirror is not a list of tables: write [[registry.mirror]]")
    const mirrors = given.flatMap((mirror: unknown, n) => {
      const found = mirrorOf(mirror, byDigestOnly)
      if (Either.isLeft(found)) skipMirror(found.left, n)
      return Either.isLeft(found) ? [] : [found.right]
    })
    return {
      source,
      prefix,
      location: location === prefix ? undefined : location,
      blocked: yield* flag(table, "blocked"),
      insecure: yield* flag(table, "insecure"),
      mirrors
    }
  })

const mirrorOf = (table: unknown, byDigestOnly: boolean): Either.Either<RuleMirror, string> =>
  Either.gen(function* () {
    if (!isTable(table)) return yield* Either.left("it is not a table")
    const location = yield* optional(table["location"], (text) => nameOf("location", text))
    if (location === undefined) return yield* Either.left("it has no location")
    const pulls = table["pull-from-mirror"] ?? ""
    if (byDigestOnly && pulls !== "")
      return yield* Either.left(
        "its pull-from-mirror contradicts the mirror-by-digest-only of the table: leave one out"
      )
    const only = byDigestOnly ? "digests" : pullsFrom.get(pulls)
    if (only === undefined)
      return yield* Either.left("its pull-from-mirror is none of all, digest-only and tag-only")
    return {
      location,
      insecure: yield* flag(table, "insecure"),
      only: only === "all" ? undefined : only
    }
  })

const pullsFrom = new Map<unknown, "all" | "digests" | "tags">([
  ["", "all"],
  ["all", "all"],
  ["digest-only", "digests"],
  ["tag-only", "tags"]
])

const optional = <A>(
  value: unknown,
  parse: (text: string) => Either.Either<A, string>
): Either.Either<A | undefined, string> =>
  value === undefined || value === ""
    ? Either.right(undefined)
    : typeof value === "string"
      ? parse(value)
      : Either.left("its prefix and location have to be texts")

const flag = (table: Table, name: string): Either.Either<boolean, string> => {
  const value = table[name] ?? false
  return typeof value === "boolean"
    ? Either.right(value)
    : Either.left(`its ${name} is neither true nor false`)
}

/** Returns `host[:port][/path]` with its host in normal form. */
const nameOf = (member: string, text: string, isPrefix = false): Either.Either<string, string> => {
  const problem = (what: string) => Either.left(`its ${member} ${ServerText.quoted(text)} ${what}`)
  const [first = "", ...rest] = text.replace(/\/+$/, "").split("/")
  const path = rest.join("/")
  if (text.includes("://")) return problem("is a URL: leave out the scheme")
  if (isPrefix && first.startsWith("*.")) {
    const below = Host.fromString(first.slice(2), "https")
    return path === "" && Option.isSome(below) && !first.includes(":")
      ? Either.right(`*.${below.value}`)
      : problem("is not of the form *.example.com")
  }
  // podman compares names without tags, so that such an entry never matches there.
  if (/[@:]/.test(path)) return problem("has a tag or a digest: name the repository alone")
  const host = Option.getOrUndefined(Host.fromString(first, "https"))
  if (host === undefined)
    return problem("does not begin with a host: write one such as example.com or localhost:5000")
  if (path === "") return Either.right(host)
  return isRepositoryName(path)
    ? Either.right(`${host}/${path}`)
    : problem("has a path that no repository has")
}

// -----------------------------------------------------------------------------
// Short names
// -----------------------------------------------------------------------------

const searchOf = (
  source: string,
  hosts: unknown,
  skip: Skip
): ReadonlyArray<Setting> | undefined => {
  const entry = "unqualified-search-registries"
  if (hosts === undefined) return undefined
  if (!Array.isArray(hosts)) {
    skip(entry, "it is not a list")
    return undefined
  }
  return hosts.flatMap((host: unknown) => {
    const name = typeof host === "string" ? Host.fromString(host, "https") : Option.none()
    if (Option.isNone(name)) skip(entry, `${ServerText.quoted(String(host))} is not a host`)
    return Option.toArray(Option.map(name, (value) => ({ source, value })))
  })
}

const modeOf = (mode: unknown, skip: Skip): Podman["shortNames"] | undefined => {
  switch (mode) {
    case "enforcing":
    case "permissive":
    case "disabled":
      return mode
    case undefined:
    case "":
      return undefined
    default:
      skip("short-name-mode", "it is none of enforcing, permissive and disabled")
      return undefined
  }
}

/** Each name and what it stands for, which is empty where an earlier alias is erased. */
const aliasesOf = (
  aliases: unknown,
  skip: Skip
): ReadonlyArray<readonly [name: string, reference: string]> => {
  if (aliases === undefined) return []
  if (!isTable(aliases)) {
    skip("[aliases]", "it is not a table")
    return []
  }
  return Object.entries(aliases).flatMap(([name, value]) => {
    const problem = problemOfAlias(name, value)
    if (problem !== undefined) skip(`[aliases] ${ServerText.quoted(name)}`, problem)
    return problem === undefined && typeof value === "string" ? [[name, value] as const] : []
  })
}

const problemOfAlias = (name: string, value: unknown): string | undefined => {
  if (!isRepositoryName(name) || isQualified(name))
    return "it is not a name without host, tag and digest"
  if (value === "") return undefined
  const reference = typeof value === "string" ? referenceOf(value) : Option.none()
  return typeof value === "string" &&
    isQualified(value) &&
    Option.exists(reference, ({ digest, tag }) => Option.isNone(digest) && Option.isNone(tag))
    ? undefined
    : "it does not stand for a whole name such as docker.io/library/alpine, without tag"
}

const referenceOf = Option.liftThrowable(unsafeParse)

/** Returns whether a name has a host, as Docker and podman tell. */
export const isQualified = (name: string): boolean =>
  /^(?:localhost|[^/]*[.:A-Z][^/]*)\//.test(name)
