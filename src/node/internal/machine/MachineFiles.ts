/** The files with which docker and podman are told of registries, where they look for them. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { codeOf } from "../../../internal/CauseDetails.js"
import type { Skipped } from "./Rules.js"

/** A file, with what is in it. */
export interface File {
  readonly source: string
  readonly text: string
}

/** What was found: `registriesConf` in the order in which it counts. */
export interface Found {
  readonly registriesConf: ReadonlyArray<File>
  readonly daemonJson: ReadonlyArray<File>
  readonly skipped: ReadonlyArray<Skipped>
}

/** Where to look: the variables of the environment, the home directory, and `/etc`. */
export interface Where {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly home: string
  readonly etc: string
  /** Whose files these are: those of root are elsewhere in part. */
  readonly isRoot: boolean
}

/**
 * Reads the files that there are:
 *
 * - `registries.conf`: the one that `CONTAINERS_REGISTRIES_CONF` or `REGISTRIES_CONFIG_PATH` names,
 *   else the user's own, else that of the machine;
 * - then the `*.conf` in the folders `registries.conf.d` of the machine, unless the user has a
 *   `registries.conf`, and of the user, each in the order of their names;
 * - then the aliases that podman has recorded itself;
 * - `daemon.json`: the first of Docker without root, Docker Desktop, and the machine.
 *
 * A file that cannot be read is skipped.
 */
export const read = (where: Where): Effect.Effect<Found> =>
  Effect.gen(function* () {
    const skipped: Array<Skipped> = []
    const skip = (source: string, cause: unknown) =>
      skipped.push({ source, entry: "the file", problem: `it cannot be read (${codeOf(cause)})` })
    const file = (source: string, isNamed = false) =>
      Effect.map(
        attempt(() => Fs.readFile(source, "utf8")),
        Either.match({
          onLeft: (cause): ReadonlyArray<File> => {
            if (isNamed || !isMissing(cause)) skip(source, cause)
            return []
          },
          onRight: (text) => [{ source, text }]
        })
      )
    const folder = (path: string) =>
      Effect.gen(function* () {
        const names = yield* attempt(() => Fs.readdir(path))
        if (Either.isLeft(names)) {
          if (!isMissing(names.left)) skip(path, names.left)
          return []
        }
        const files = names.right.filter((name) => name.endsWith(".conf")).toSorted()
        return (yield* Effect.forEach(files, (name) => file(Path.join(path, name)))).flat()
      })

    const { environment, etc, home, isRoot } = where
    const named = environment["CONTAINERS_REGISTRIES_CONF"] || environment["REGISTRIES_CONFIG_PATH"]
    const config = Path.join(home, ".config/containers")
    const users = named ? [] : yield* file(Path.join(config, "registries.conf"))
    const main = named
      ? yield* file(named, true)
      : users.length > 0
        ? users
        : yield* file(Path.join(etc, "containers/registries.conf"))
    const system = users.length > 0 ? [] : [Path.join(etc, "containers/registries.conf.d")]
    const folders = [...system, Path.join(config, "registries.conf.d")]
    const recorded = isRoot
      ? "/var/cache/containers"
      : Path.join(environment["XDG_CACHE_HOME"] || Path.join(home, ".cache"), "containers")
    const dropped = yield* Effect.forEach(folders, folder)
    const daemons = [
      Path.join(environment["XDG_CONFIG_HOME"] || Path.join(home, ".config"), "docker"),
      Path.join(home, ".docker"),
      Path.join(etc, "docker")
    ]
    const daemon = yield* Effect.forEach(daemons, (path) => file(Path.join(path, "daemon.json")))
    return {
      registriesConf: [
        ...main,
        ...dropped.flat(),
        ...(yield* file(Path.join(recorded, "short-name-aliases.conf")))
      ],
      daemonJson: daemon.flat().slice(0, 1),
      skipped
    }
  })

const attempt = <A>(evaluate: () => Promise<A>): Effect.Effect<Either.Either<A, unknown>> =>
  Effect.either(Effect.tryPromise({ try: evaluate, catch: (cause) => cause }))

const isMissing = (cause: unknown): boolean => ["ENOENT", "ENOTDIR"].includes(codeOf(cause))
