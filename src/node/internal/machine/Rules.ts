/**
 * What a machine's configuration says of registries, as values, and what it means for one image.
 * Nothing here reads a file.
 */
import * as Option from "effect/Option"
import ipaddr from "ipaddr.js"
import * as Digest from "../../../spec/Digest.js"
import * as Host from "../../../spec/Host.js"
import { isRepositoryName, type RepositoryName, type Tag } from "../../../spec/Reference.js"

/**
 * What is true of the images whose names begin with `prefix`: a `[[registry]]` of podman's
 * `registries.conf`. `prefix` is a host, a host and the first parts of a repository's name, or
 * `*.` and a domain, for all hosts below it. `location` stands for the prefix where images are
 * read, and is absent where they are read under their own name. `source` is the file.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rule {
  readonly source: string
  readonly prefix: string
  readonly location?: string | undefined
  readonly blocked: boolean
  readonly insecure: boolean
  readonly mirrors: ReadonlyArray<RuleMirror>
}

/**
 * A mirror of a `Rule`. `only` says which manifests it is asked for, those named by digest or by
 * tag, all by default.
 *
 * @since 0.1.0
 * @category models
 */
export interface RuleMirror {
  readonly location: string
  readonly insecure: boolean
  readonly only?: "digests" | "tags" | undefined
}

/**
 * A text of a configuration, and the file that has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Setting {
  readonly source: string
  readonly value: string
}

/**
 * An entry of a configuration that is passed over, or a whole file. `problem` says why, and what to
 * write instead.
 *
 * @since 0.1.0
 * @category models
 */
export interface Skipped {
  readonly source: string
  readonly entry: string
  readonly problem: string
}

/**
 * What a machine's configuration says of registries.
 *
 * - `rules`: the `[[registry]]` tables of podman's files.
 * - `search`: the hosts that podman tries for a name without one, in order.
 * - `shortNames`: what podman does where several are possible (`short-name-mode`).
 * - `aliases`: what names without a host stand for, by name.
 * - `hubMirrors`: the `registry-mirrors` of Docker's daemon, which are mirrors of Docker Hub, as
 *   URLs.
 * - `insecure`: its `insecure-registries`, each a host or a range of addresses.
 * - `skipped`: what could not be used.
 *
 * @since 0.1.0
 * @category models
 */
export interface MachineRegistries {
  readonly rules: ReadonlyArray<Rule>
  readonly search: ReadonlyArray<Setting>
  readonly shortNames: "enforcing" | "permissive" | "disabled"
  readonly aliases: ReadonlyMap<string, Setting>
  readonly hubMirrors: ReadonlyArray<Setting>
  readonly insecure: ReadonlyArray<Setting>
  readonly skipped: ReadonlyArray<Skipped>
}

/**
 * Where a repository is read: below `base`, which is a host, or a URL. `insecure` registries are
 * reached whatever their certificate, and over http.
 */
export interface Source {
  readonly base: string
  readonly repository: RepositoryName
  readonly insecure: boolean
}

/** Where an image is read: from the mirrors in order, and then from the original. */
export interface Pull {
  /** The rule that forbids it. */
  readonly blockedBy: Rule | undefined
  readonly mirrors: ReadonlyArray<Source>
  /** None where the rule leads to a name that no repository can have. */
  readonly original: Source | undefined
}

/** Returns whether a host is below the domain of a prefix such as `*.example.com`, at any depth. */
const isBelow = (host: string, prefix: string): boolean =>
  prefix.startsWith("*.") && host.replace(/:\d+$/, "").endsWith(prefix.slice(1))

/** Returns whether a rule is about images of a host, or some of them. */
export const concerns = ({ prefix }: Rule, host: Host.Host): boolean =>
  prefix === host || prefix.startsWith(`${host}/`) || isBelow(host, prefix)

/** Returns the rule with the longest prefix of a host, or of a repository of it. */
export const find = (
  { rules }: Pick<MachineRegistries, "rules">,
  host: Host.Host,
  repository?: RepositoryName
): Rule | undefined => {
  const name = repository === undefined ? host : `${host}/${repository}`
  return rules
    .filter(
      ({ prefix }) => prefix === name || name.startsWith(`${prefix}/`) || isBelow(host, prefix)
    )
    .toSorted((a, b) => b.prefix.length - a.prefix.length)[0]
}

/** Returns the host of the base of a source, which is one already, or a URL that is valid. */
export const hostOf = (base: string): Host.Host =>
  Option.getOrElse(Host.fromUrl(base), () => base as Host.Host)

/** Returns the host of a location, and what of it is below the host. */
export const split = (location: string): readonly [host: Host.Host, path: string] => {
  const [host = "", ...path] = location.split("/")
  return [host as Host.Host, path.join("/")]
}

/** Returns where an image is read. Blobs have no `reference`, and are read from any mirror. */
export const pull = (
  machine: MachineRegistries,
  host: Host.Host,
  repository: RepositoryName,
  reference?: Tag | Digest.Digest
): Pull => {
  const rule = find(machine, host, repository)
  const own: Source = { base: host, repository, insecure: rule?.insecure ?? false }
  const at = (location: string, insecure: boolean): Source | undefined => {
    const [base, path] = split(location)
    const [, prefix = ""] =
      rule === undefined || isBelow(host, rule.prefix) ? [] : split(rule.prefix)
    const rest = prefix === "" ? repository : repository.slice(prefix.length + 1)
    const name = [path, rest].filter((part) => part !== "").join("/")
    return isRepositoryName(name) ? { base, repository: name, insecure } : undefined
  }
  const isBlocked = (source: Source): boolean =>
    find(machine, source.base as Host.Host, source.repository)?.blocked === true
  const kind = reference === undefined ? undefined : Digest.isDigest(reference) ? "digests" : "tags"
  const mirrors = (rule?.mirrors ?? []).flatMap(({ insecure, location, only = kind }) => {
    const source = kind === undefined || only === kind ? at(location, insecure) : undefined
    return source === undefined || isBlocked(source) ? [] : [source]
  })
  const hub = host === Host.dockerHub ? machine.hubMirrors : []
  const original = rule?.location === undefined ? own : at(rule.location, rule.insecure)
  const blocking =
    original === undefined || original === own
      ? rule
      : find(machine, original.base as Host.Host, original.repository)
  return {
    blockedBy: [rule, blocking].find((rule) => rule?.blocked === true),
    mirrors: [
      ...mirrors,
      ...hub.map(({ value }) => ({ base: value, repository, insecure: false }))
    ],
    original
  }
}

/**
 * Returns whether Docker's daemon takes a host for insecure: it is named, or one of its addresses
 * is in a range that is.
 */
export const isInsecure = (
  { insecure }: Pick<MachineRegistries, "insecure">,
  host: string,
  addresses: ReadonlyArray<string>
): boolean =>
  insecure.some(({ value }) =>
    value.includes("/")
      ? addresses.some((address) => isWithin(address, value))
      : Option.contains(Host.fromString(host, "https"), value)
  )

/** Returns whether an address is in a range such as `10.0.0.0/8`. */
const isWithin = (address: string, range: string): boolean => {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  const [start, length] = ipaddr.parseCIDR(range)
  return parsed.kind() === start.kind() && parsed.match(start, length)
}
