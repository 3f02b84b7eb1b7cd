/** What is set in the configuration of an image. */
import type * as ImageConfig from "../../../spec/ImageConfig.js"
import { InvalidImage } from "./InvalidImage.js"
import type { Config } from "./Recipe.js"

/** Returns how containers are run, with what is set. */
export const execution = (
  base: ImageConfig.Execution = {},
  config: Config
): ImageConfig.Execution => {
  const { cmd, entrypoint, stopSignal, user, workingDirectory } = config
  const env = entriesOf(base.Env)
  for (const [name, value] of Object.entries(config.env ?? {}))
    if (value === undefined) env.delete(name)
    else env.set(name, `${name}=${value}`)
  const { Cmd: _, ...withoutCmd } = base
  return {
    // What was an argument of the base's program is not one of another program.
    ...(entrypoint === undefined ? base : withoutCmd),
    ...(entrypoint !== undefined && { Entrypoint: entrypoint }),
    ...(cmd !== undefined && { Cmd: cmd }),
    ...(config.env !== undefined && { Env: [...env.values()] }),
    ...(config.labels !== undefined && { Labels: changed(base.Labels, config.labels) }),
    ...(user !== undefined && { User: user }),
    ...(config.exposedPorts !== undefined && {
      ExposedPorts: { ...base.ExposedPorts, ...setOf(config.exposedPorts.map(portOf)) }
    }),
    ...(config.volumes !== undefined && {
      Volumes: { ...base.Volumes, ...setOf(config.volumes) }
    }),
    ...(workingDirectory !== undefined && { WorkingDir: workingDirectory }),
    ...(stopSignal !== undefined && { StopSignal: stopSignal })
  }
}

/** Returns what is wrong with what is set, if anything is. */
export const problemOf = ({ env = {}, exposedPorts = [] }: Config): InvalidImage | undefined => {
  const name = Object.keys(env).find((name) => name === "" || /[=\0]/.test(name))
  if (name !== undefined)
    return invalid(`config.env[${JSON.stringify(name)}]`, "is not the name of a variable")
  const at = exposedPorts.findIndex((port) => !isPort(portOf(port)))
  return at === -1
    ? undefined
    : invalid(`config.exposedPorts[${at}]`, 'is not a port: expected 8080, or "53/udp"')
}

/** Returns the variables of an environment by name. The last of a name counts. */
export const entriesOf = (env: ReadonlyArray<string> = []): Map<string, string> =>
  new Map(env.map((entry) => [entry.replace(/=[\s\S]*/, ""), entry]))

/** Returns a map with what is set, and without what is set to `undefined`. */
export const changed = (
  map: Readonly<Record<string, string>> = {},
  changes: Readonly<Record<string, string | undefined>>
): Readonly<Record<string, string>> => {
  const entries = new Map<string, string | undefined>([
    ...Object.entries(map),
    ...Object.entries(changes)
  ])
  return Object.fromEntries(
    [...entries].flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]))
  )
}

const setOf = (names: ReadonlyArray<string>): Readonly<Record<string, object>> =>
  Object.fromEntries(names.map((name) => [name, {}]))

const portOf = (port: number | string): string =>
  String(port).includes("/") ? String(port) : `${port}/tcp`

const isPort = (text: string): boolean => {
  const [, port] = /^(\d{1,5})\/(?:tcp|udp|sctp)$/.exec(text) ?? []
  return port !== undefined && Number(port) <= 65_535
}

const invalid = (path: string, problem: string) =>
  new InvalidImage({ reason: "Config", path, problem })
