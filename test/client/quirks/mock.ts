/**
 * A registry that is healthy but for its quirks, without sockets: the embedded server over an
 * in-memory registry, wrapped by what turns its requests and answers into those of another
 * registry. Whatever it remembers between two requests is the healthy one's.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../../../src/auth/Credentials.js"
import * as TokenCache from "../../../src/auth/TokenCache.js"
import * as BlobSource from "../../../src/BlobSource.js"
import * as RegistryClient from "../../../src/client/RegistryClient.js"
import * as Route from "../../../src/protocol/internal/Route.js"
import { Registries } from "../../../src/Registries.js"
import { Registry } from "../../../src/Registry.js"
import * as Reference from "../../../src/spec/Reference.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { type Answer, type Handler, internet, type Seen } from "../../auth/origins.js"
import { webHandler } from "../../support/server.js"
import { app, b1, b2, base, c1, i1, m1, multi, s1, v1, withSymbols } from "./content.js"

export type { Answer, Handler, Seen }

/**
 * What a registry does in place of the healthy one, or to its requests and answers. Made anew for
 * each world, so that it may keep something in mind.
 */
export type Quirk = (
  healthy: (seen: Seen) => Effect.Effect<Answer>
) => (seen: Seen) => Effect.Effect<Answer>

// -----------------------------------------------------------------------------
// Quirks
// -----------------------------------------------------------------------------

type Place = Route.Route["_tag"]

/**
 * Requests by method and route, such as `HEAD GET Manifest`; a route alone means all methods, and
 * nothing means everything.
 */
export type Kind = Place | `${string} ${Place}` | ""

export const is = (kind: Kind): ((seen: Seen) => boolean) => {
  const words = kind === "" ? [] : kind.split(" ")
  const place = words.at(-1)
  const methods = words.slice(0, -1)
  return ({ method, url }) =>
    (methods.length === 0 || methods.includes(method)) &&
    (place === undefined ||
      Route.match(url.pathname).pipe((route) => "value" in route && route.value._tag === place))
}

/** What is answered in place of the registry; `undefined` leaves it to the registry. */
export const answers =
  (kind: Kind, make: (seen: Seen) => Answer | undefined): Quirk =>
  (healthy) =>
  (seen) => {
    const own = is(kind)(seen) ? make(seen) : undefined
    return own === undefined ? healthy(seen) : Effect.succeed(own)
  }

/** The same, for the first such request, or as many as it says. */
export const first =
  (kind: Kind, make: (seen: Seen) => Answer, count = 1): Quirk =>
  (healthy) => {
    let left = count
    return (seen) => (is(kind)(seen) && left-- > 0 ? Effect.succeed(make(seen)) : healthy(seen))
  }

/** Other requests reach the registry than were sent. */
export const rewrites =
  (kind: Kind, rewrite: (seen: Seen) => Partial<Seen>): Quirk =>
  (healthy) =>
  (seen) =>
    healthy(is(kind)(seen) ? { ...seen, ...rewrite(seen) } : seen)

/** Successful answers are changed on their way. */
export const changes =
  (kind: Kind, change: (response: Response, seen: Seen) => Answer): Quirk =>
  (healthy) =>
  (seen) =>
    Effect.map(healthy(seen), (answer) =>
      answer !== "cut" && answer.ok && is(kind)(seen) ? change(answer, seen) : answer
    )

/** Headers of successful answers: others, more, or fewer (`undefined`). */
export const sets = (
  kind: Kind,
  headers: (headers: Headers, seen: Seen) => Readonly<Record<string, string | undefined>>
): Quirk =>
  changes(kind, (response, seen) => withHeaders(response, headers(response.headers, seen)))

const withHeaders = (
  response: Response,
  wanted: Readonly<Record<string, string | undefined>>
): Response => {
  const headers = new Headers(response.headers)
  for (const [name, value] of Object.entries(wanted)) {
    if (value === undefined) headers.delete(name)
    else headers.set(name, value)
  }
  return new Response(response.body, { status: response.status, headers })
}

/** The registry does what it is asked to, once, and nobody hears of it. */
export const losesAnswer =
  (kind: Kind, instead: Answer = "cut"): Quirk =>
  (healthy) => {
    let lost = false
    return (seen) => {
      if (lost || !is(kind)(seen)) return healthy(seen)
      lost = true
      return Effect.as(healthy(seen), instead)
    }
  }

/** Of one request only the first bytes of the body arrive, and then the connection breaks. */
export const breaksOff =
  (kind: Kind, kept: number): Quirk =>
  (healthy) => {
    let broken = false
    return (seen) => {
      if (broken || !is(kind)(seen)) return healthy(seen)
      broken = true
      const headers = { ...seen.headers, "content-range": undefined, "content-length": undefined }
      const url = new URL(seen.url.pathname, seen.url)
      // What arrived of a closing PUT is stored, but nothing is closed.
      return Effect.as(
        healthy({ ...seen, method: "PATCH", url, headers, bytes: seen.bytes.subarray(0, kept) }),
        "cut"
      )
    }
  }

/**
 * Nobody is let in whose authorization is not accepted. `challenge` may depend on what was sent.
 */
export const guards = (
  accepts: (authorization: string, seen: Seen) => boolean,
  challenge: (seen: Seen) => Response
): Quirk =>
  answers("", (seen) =>
    seen.authorization !== undefined && accepts(seen.authorization, seen)
      ? undefined
      : challenge(seen)
  )

// -----------------------------------------------------------------------------
// The world around it
// -----------------------------------------------------------------------------

/**
 * The host that a registry is asked for by, its quirks (the outermost first), the origins beside
 * it, and who is asking with which options.
 */
export interface Setting {
  readonly host: string
  readonly quirks: ReadonlyArray<Quirk>
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
  readonly stored: MemoryRegistry.MemoryRegistry
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
    const { credentials = Credentials.layerAnonymous, host, others = {}, quirks } = setting
    const heard: Array<unknown> = []
    const options =
      typeof setting.options === "function"
        ? setting.options((what) => Effect.sync(() => void heard.push(what)))
        : setting.options
    const url = options?.url ?? `https://${Reference.apiHost(host)}`
    const own = new URL(url).origin
    const stored = yield* filled
    const serve = yield* Effect.provideService(webHandler(), Registry, stored)
    let underWay = 0
    const healthy = ({ bytes, headers, method, url }: Seen): Effect.Effect<Answer> =>
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
    const registries = yield* Registries.pipe(
      Effect.provide(Layer.orDie(RegistryClient.layerRegistries({ hosts: { [host]: options } }))),
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
      wire: () => numbered(seen.map((request) => withSymbols(line(own, request)))),
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

/** A registry in memory with the content that `content.ts` names. */
const filled: Effect.Effect<MemoryRegistry.MemoryRegistry> = Effect.gen(function* () {
  const stored = yield* MemoryRegistry.make()
  for (const { bytes } of [c1, b1]) yield* stored.putBlob(app, BlobSource.fromBytes(bytes))
  yield* stored.putBlob(base, BlobSource.fromBytes(b2.bytes))
  yield* stored.putManifest(app, m1, { tags: [v1] })
  yield* stored.putManifest(app, i1, { tags: [multi] })
  yield* stored.putManifest(app, s1)
  return stored
}).pipe(Effect.orDie)

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
