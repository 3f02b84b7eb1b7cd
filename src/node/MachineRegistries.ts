/**
 * What the configuration of this machine says of registries: mirrors, insecure and blocked ones and
 * names without a host from podman's `registries.conf` and the files beside it, and mirrors of
 * Docker Hub and insecure registries from `daemon.json` of Docker. `NodeRegistry.layerRegistries`
 * heeds it with the option `machine`.
 *
 * @since 0.1.0
 */
import { homedir } from "node:os"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { InvalidUrl } from "../RegistryError.js"
import * as Reference from "../spec/Reference.js"
import * as DaemonJson from "./internal/machine/DaemonJson.js"
import * as MachineFiles from "./internal/machine/MachineFiles.js"
import * as RegistriesConf from "./internal/machine/RegistriesConf.js"
import type { MachineRegistries, Rule, Skipped } from "./internal/machine/Rules.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  MachineRegistries,
  /**
   * @since 0.1.0
   * @category models
   */
  Rule,
  /**
   * @since 0.1.0
   * @category models
   */
  RuleMirror,
  /**
   * @since 0.1.0
   * @category models
   */
  Setting,
  /**
   * @since 0.1.0
   * @category models
   */
  Skipped
} from "./internal/machine/Rules.js"

/**
 * A file's path, or another name for it, and the text in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface File {
  readonly source: string
  readonly text: string
}

/**
 * Makes the value of the texts of files. Of `registriesConf`, a later file changes what an earlier
 * one says, as in `registries.conf.d`: a rule replaces one of the same prefix, and an alias one of
 * the same name. An entry that cannot be used is in `skipped`, as is a file that does not parse,
 * and all others hold.
 *
 * Fails with `InvalidUrl` when there is a `registriesConf` and the package
 * [`smol-toml`](https://www.npmjs.com/package/smol-toml), which reads it, is not installed.
 *
 * @example
 * ```ts
 * import { MachineRegistries } from "effect-oci/node"
 *
 * const made = MachineRegistries.make({
 *   registriesConf: [
 *     { source: "ours", text: `[[registry]]\nlocation = "docker.io"\nblocked = true` }
 *   ]
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (files: {
  readonly registriesConf?: ReadonlyArray<File> | undefined
  readonly daemonJson?: File | undefined
}): Effect.Effect<MachineRegistries, InvalidUrl> =>
  Effect.gen(function* () {
    const { daemonJson, registriesConf = [] } = files
    const skipped: Array<Skipped> = []
    const decoded = (
      { source, text }: File,
      parse: (text: string) => unknown
    ): ReadonlyArray<RegistriesConf.Decoded> => {
      const document = Either.try(() => parse(text))
      if (Either.isRight(document) && isTable(document.right))
        return [{ source, document: document.right }]
      // The parsers' own words show the text.
      skipped.push({ source, entry: "the file", problem: `it does not parse${lineOf(document)}` })
      return []
    }
    const podman = RegistriesConf.merge(
      registriesConf.length === 0
        ? []
        : yield* Effect.map(toml(registriesConf), (parse) =>
            registriesConf.flatMap((file) => decoded(file, parse))
          )
    )
    const docker = (daemonJson === undefined ? [] : decoded(daemonJson, JSON.parse)).map(
      ({ document, source }) => DaemonJson.parse(source, document)
    )
    return {
      ...podman,
      hubMirrors: docker.flatMap(({ hubMirrors }) => hubMirrors),
      insecure: docker.flatMap(({ insecure }) => insecure),
      skipped: [...skipped, ...podman.skipped, ...docker.flatMap(({ skipped }) => skipped)]
    }
  })

const isTable = (u: unknown): u is Readonly<Record<string, unknown>> =>
  typeof u === "object" && u !== null && !Array.isArray(u)

const lineOf = (document: Either.Either<unknown, unknown>): string =>
  Either.isLeft(document) &&
  document.left instanceof Error &&
  "line" in document.left &&
  typeof document.left.line === "number"
    ? ` (line ${document.left.line})`
    : ""

/** The parser is an optional peer: only who has such files needs it. */
const toml = ([file]: ReadonlyArray<File>) =>
  Effect.tryPromise({
    try: () =>
      import("smol-toml").then(
        ({ parse }) =>
          (text: string): unknown =>
            parse(text)
      ),
    catch: () =>
      new InvalidUrl({
        url: file?.source ?? "registries.conf",
        problem:
          "it is TOML, and the package smol-toml that reads it is not installed: " +
          "run npm install smol-toml"
      })
  })

/**
 * Reads the files of this machine, those that there are:
 *
 * - the `registries.conf` that `CONTAINERS_REGISTRIES_CONF` names, else
 *   `~/.config/containers/registries.conf`, else `/etc/containers/registries.conf`;
 * - the `*.conf` in `/etc/containers/registries.conf.d`, unless the user has a `registries.conf`,
 *   and in `~/.config/containers/registries.conf.d`, each in the order of their names;
 * - the aliases that podman has recorded (`short-name-aliases.conf`);
 * - the first `daemon.json` of `$XDG_CONFIG_HOME/docker`, `~/.docker` and `/etc/docker`.
 *
 * What it takes is logged at debug level, and what it skips as a warning: see `format`. Fails as
 * `make` does.
 *
 * @example
 * ```ts
 * import { MachineRegistries } from "effect-oci/node"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 *
 * const shown = Effect.flatMap(MachineRegistries.read, (machine) =>
 *   Console.log(MachineRegistries.format(machine))
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const read: Effect.Effect<MachineRegistries, InvalidUrl> = Effect.gen(function* () {
  const found = yield* MachineFiles.read({
    environment: process.env,
    home: homedir(),
    etc: "/etc",
    isRoot: process.getuid?.() === 0
  })
  const made = yield* make({
    registriesConf: found.registriesConf,
    daemonJson: found.daemonJson[0]
  })
  const machine = { ...made, skipped: [...found.skipped, ...made.skipped] }
  for (const line of taken(machine)) yield* Effect.logDebug(line)
  for (const entry of machine.skipped) yield* Effect.logWarning(skippedLine(entry))
  return machine
})

/**
 * Returns what was taken from where and what was skipped, a line each.
 *
 * @since 0.1.0
 * @category destructors
 */
export const format = (machine: MachineRegistries): string =>
  [...taken(machine), ...machine.skipped.map(skippedLine)].join("\n")

const taken = (machine: MachineRegistries): ReadonlyArray<string> => {
  const { aliases, hubMirrors, insecure, rules, search } = machine
  return [
    ...rules.map((rule) => `${rule.source}: ${ruleLine(rule)}`),
    ...search.map(({ source, value }) => `${source}: names without a host are tried at ${value}`),
    ...[...aliases].map(([name, { source, value }]) => `${source}: ${name} stands for ${value}`),
    ...hubMirrors.map(({ source, value }) => `${source}: docker.io has the mirror ${value}`),
    ...insecure.map(({ source, value }) => `${source}: ${value} is insecure`)
  ]
}

const ruleLine = ({ blocked, insecure, location, mirrors, prefix }: Rule): string => {
  const secured = (place: string, insecure: boolean) => (insecure ? `${place} (insecure)` : place)
  if (blocked) return `${prefix} is blocked`
  const places = [
    ...mirrors.map(({ insecure, location, only }) => {
      const place = secured(location, insecure)
      return only === undefined ? place : `${place} (${only} only)`
    }),
    secured(location ?? prefix, insecure)
  ]
  return `${prefix} is read from ${places.join(", then ")}`
}

const skippedLine = ({ entry, problem, source }: Skipped): string =>
  `${source}: skipped ${entry}: ${problem}`

/**
 * Returns the references that a name stands for on this machine, in the order in which podman tries
 * them: an alias alone, or else the name at each of the search registries. A name with a host
 * stands for itself.
 *
 * Fails with `InvalidReference` where the text is not a reference, where a name without a host has
 * neither an alias nor a search registry, and where it has several and `short-name-mode` is
 * `enforcing`.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import { MachineRegistries } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const pulled = Effect.gen(function*() {
 *   const machine = yield* MachineRegistries.read
 *   const candidates = yield* MachineRegistries.qualify(machine, "fedora:latest")
 *   return yield* Effect.firstSuccessOf(candidates.map((name) => Artifact.pull(name)))
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const qualify = (
  machine: MachineRegistries,
  name: string
): Effect.Effect<ReadonlyArray<Reference.Reference>, Reference.InvalidReference> =>
  Effect.gen(function* () {
    const parsed = yield* Reference.parse(name)
    if (RegistriesConf.isQualified(name)) return [parsed]
    const bare = name.replace(/[:@].*$/, "")
    const rest = name.slice(bare.length)
    const alias = machine.aliases.get(bare)
    const texts =
      alias === undefined
        ? machine.search.map(({ value }) => `${value}/${name}`)
        : [`${alias.value}${rest}`]
    const problem =
      texts.length === 0
        ? "and this machine has neither an alias for it nor search registries"
        : texts.length > 1 && machine.shortNames === "enforcing"
          ? `and this machine has several for it (${texts.join(", ")})`
          : undefined
    if (problem !== undefined)
      return yield* new Reference.InvalidReference({
        input: name.slice(0, 128),
        reason: "Host",
        message: `${JSON.stringify(name)} names no host, ${problem}: write the host before it`
      })
    return yield* Effect.forEach(texts, Reference.parse)
  })
