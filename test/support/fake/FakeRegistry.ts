/**
 * A registry that is healthy but for its quirks, without sockets: the embedded server over an
 * in-memory registry, wrapped by what turns its requests and responses into those of another
 * registry. Whatever it remembers between two requests is the healthy one's.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../../../src/auth/Credentials.js"
import * as TokenCache from "../../../src/auth/TokenCache.js"
import * as RegistryClient from "../../../src/client/RegistryClient.js"
import { Registries } from "../../../src/Registries.js"
import { Registry } from "../../../src/Registry.js"
import type { Quirks } from "../../../src/server/Quirks.js"
import * as Host from "../../../src/spec/Host.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { webHandler } from "../server.js"
import type { Handler, Outcome, Seen } from "./Handler.js"
import { internet } from "./Internet.js"
import { is, type Quirk } from "./Quirk.js"

/**
 * The host that a registry is asked for by, its quirks (the outermost first), the origins beside
 * it, and who is asking with which options.
 */
export interface Setting {
  readonly host: string
  /** What the registry holds at first, by default nothing. */
  readonly content?: (registry: Registry.Service) => Effect.Effect<void>
  /** Names digests and the like in `wire`. */
  readonly named?: (line: string) => string
  readonly quirks: ReadonlyArray<Quirk>
  /** Those of its quirks that the server has switches for. */
  readonly switches?: Quirks
  readonly others?: Readonly<Record<string, () => Handler>>
  readonly credentials?: Layer.Layer<Credentials.Credentials, unknown>
  /** What the options call is handed what they are to note: see `World.heard`. */
  readonly options?:
    | RegistryClient.HostOptions
    | ((hear: (what: unknown) => Effect.Effect<void>) => RegistryClient.HostOptions)
}

export interface World {
  readonly registry: Registry.Service
  readonly registries: Registries["Type"]
  readonly stored: MemoryRegistry.MemoryRegistry.Service
  readonly seen: ReadonlyArray<Seen>
  /** What the callbacks among the options were told. */
  readonly heard: ReadonlyArray<unknown>
  /**
   * Every request in order: method, path and query at the registry or URL elsewhere,
   * `Content-Range`, the number of bytes sent in brackets (but for manifests), and what authorizes
   * it. Digests are symbols, and upload sessions numbers.
   */
  readonly wire: () => ReadonlyArray<string>
  /**
   * Runs an effect with all the time it asks for: the clock goes on to the next alarm when nothing
   * else is under way.
   */
  readonly patiently: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

export const make = (setting: Setting): Effect.Effect<World, never, Scope.Scope> =>
  Effect.gen(function* () {
    const {
      content = () => Effect.void,
      credentials = Credentials.layerAnonymous,
      host,
      named = (line) => line,
      others = {},
      quirks
    } = setting
    const heard: Array<unknown> = []
    const options =
      typeof setting.options === "function"
        ? setting.options((what) => Effect.sync(() => void heard.push(what)))
        : setting.options
    const url = options?.url ?? `https://${Host.apiHost(host)}`
    const own = new URL(url).origin
    const stored = yield* MemoryRegistry.make()
    yield* content(stored)
    const serve = yield* Effect.provideService(
      webHandler({ quirks: setting.switches }),
      Registry,
      stored
    )
    let underWay = 0
    const healthy = ({ bytes, headers, method, url }: Seen): Effect.Effect<Outcome> =>
      Effect.promise(() =>
        serve(
          new Request(url, {
            method,
            headers: Object.entries(headers).flatMap(([name, value]) =>
              value === undefined ? [] : [[name, value]]
            ),
            body: bytes.length === 0 ? null : Uint8Array.from(bytes)
          })
        )
      )
    const quirky = quirks.reduceRight((inner, quirk) => quirk(inner), healthy)
    const registryDoes: Handler = (seen) =>
      Effect.suspend(() => {
        underWay++
        return Effect.ensuring(
          quirky(seen),
          Effect.sync(() => underWay--)
        )
      })
    const beside = Object.fromEntries(
      Object.entries(others).map(([origin, handler]) => [origin, handler()])
    )
    const { client, seen } = internet({ ...beside, [own]: registryDoes })
    const services = yield* Layer.build(
      Layer.orDie(Layer.merge(TokenCache.layerMemory, credentials))
    )
    // Built in the Scope of the test, with which the registries end.
    const registries = yield* Layer.build(
      Layer.orDie(RegistryClient.layerRegistries({ hosts: { [host]: options } }))
    ).pipe(
      Effect.map(Context.get(Registries)),
      Effect.provideService(HttpClient.HttpClient, client),
      Effect.provide(services)
    )

    const patiently = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(effect)
        const busy = () => underWay > 0 || fiber.unsafePoll() !== null
        for (;;) {
          yield* turns
          if (fiber.unsafePoll() !== null) return yield* Fiber.join(fiber)
          if (!busy()) yield* Effect.zipRight(timers, turns)
          if (busy()) continue
          const now = yield* Clock.currentTimeMillis
          const alarms = Chunk.filter(yield* TestClock.sleeps(), (alarm) => alarm > now)
          if (Chunk.isNonEmpty(alarms)) yield* TestClock.setTime(Math.min(...alarms))
        }
      })

    return {
      registry: yield* Effect.orDie(registries.get(host)),
      registries,
      stored,
      seen,
      heard,
      wire: () => numbered(seen.map((request) => named(line(own, request)))),
      patiently
    }
  })

/** Schedulers put work off to timers when there is much of it. */
const timers = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0)))

/** Web streams answer in turns of the event loop. */
const turns = Effect.repeatN(
  Effect.promise(() => new Promise((resolve) => setImmediate(resolve))),
  3
)

const line = (own: string, seen: Seen): string => {
  const { authorization, bytes, headers, method, url } = seen
  const range = headers["content-range"]
  const target = url.origin === own ? url.pathname + url.search : url.href
  return [
    method,
    // Of a token request, what it asks for is easier to read unescaped.
    url.searchParams.has("client_id") ? target.replace(/%(3A|2F|2C)/g, decodeURIComponent) : target,
    ...(range === undefined ? [] : [range]),
    ...(bytes.length === 0 || is("Manifest")(seen) ? [] : [`[${bytes.length}]`]),
    ...(authorization === undefined ? [] : [proof(authorization)])
  ].join(" ")
}

const proof = (authorization: string): string =>
  authorization.startsWith("Basic ")
    ? `as ${Buffer.from(authorization.slice(6), "base64").toString("utf8").split(":", 1).join()}`
    : authorization.replace(/^Bearer /, "with ")

/** Sessions have random names. */
const numbered = (lines: ReadonlyArray<string>): ReadonlyArray<string> => {
  const names = new Map<string, string>()
  return lines.map((text) =>
    text.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (name) => {
      const number = names.get(name) ?? String(names.size + 1)
      names.set(name, number)
      return number
    })
  )
}
