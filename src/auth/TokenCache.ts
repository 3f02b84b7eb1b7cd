/**
 * What was learnt from registries and token servers: how each registry wants to be authorized, and the tokens in use. Tokens are found by origin,
 * realm, service, identity of the credential and scopes, so that no registry, token server or user ever gets another's (T14).
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as AccessScope from "../protocol/AccessScope.js"
import type { Challenge } from "../protocol/Challenge.js"
import type { Demand } from "./Credentials.js"

/**
 * What a token is for: a registry (`origin`), who issues it (`realm`, `service`, empty if unnamed), for whom (`identity` of the credential), and for
 * which scopes.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenKey {
  readonly origin: string
  readonly realm: string
  readonly service: string
  readonly identity: string
  readonly scopes: ReadonlyArray<string>
}

/**
 * A token, and when it ends, in milliseconds of the `Clock`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Token {
  readonly value: Redacted.Redacted
  readonly expiresAt: number
}

/**
 * The memory of authorization. One serves all hosts and all users.
 *
 * @since 0.1.0
 * @category services
 */
export class TokenCache extends Context.Tag("effect-oci/TokenCache")<TokenCache, TokenCache.Service>() {}

/**
 * @since 0.1.0
 */
export declare namespace TokenCache {
  /**
   * - `challenge`: how the demand's origin wants to be asked, if it is known. Its `scopes` are those of the last challenge to this very demand, and
   *   empty if there was none: one request's scopes are never another's, and least of all the placeholders in the ping's challenge.
   * - `remember`: keeps a challenge to a demand. A `bearer` challenge of the same origin outlives a later `basic` one, which Harbor sends when a token
   *   has expired.
   * - `getOrAcquire`: a token that covers the key's scopes and lasts 5 more seconds, else the one that `acquire` yields. Callers with equal keys share
   *   one run of `acquire` and its failure, so they should fail alike; a caller's interruption does not end it. Failures are not kept.
   * - `reject`: forgets a token that the demand's origin has just refused.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly challenge: (demand: Demand) => Effect.Effect<Option.Option<Challenge>>
    readonly remember: (demand: Demand, challenge: Challenge) => Effect.Effect<void>
    readonly getOrAcquire: <E, R>(
      key: TokenKey,
      acquire: Effect.Effect<Token, E, R>
    ) => Effect.Effect<Redacted.Redacted, E, R>
    readonly reject: (demand: Demand, token: Redacted.Redacted) => Effect.Effect<void>
  }
}

/** Of tokens, of origins, and of challenged demands each; the oldest are forgotten first. */
const capacity = 1000

/** In milliseconds: a token that ends sooner may end on its way. */
const margin = 5000

/**
 * Keeps up to 1,000 tokens, and the challenges of as many origins, in memory for the lifetime of the layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<TokenCache> = Layer.scoped(
  TokenCache,
  Effect.map(Effect.scope, (scope): TokenCache.Service => {
    const tokens = new Map<string, Token & { readonly key: TokenKey }>()
    const flights = new Map<string, Deferred.Deferred<Token, unknown>>()

    const find = (id: string, key: TokenKey, now: number): Token | undefined => {
      const usable = (token: Token) => token.expiresAt - margin > now
      const exact = tokens.get(id)
      if (exact !== undefined && usable(exact)) return exact
      for (const token of tokens.values()) {
        if (usable(token) && isSameIssue(token.key, key) && AccessScope.contains(token.key.scopes, key.scopes))
          return token
      }
      return undefined
    }

    /** Runs in the layer's scope, so that it is nobody's own, and uninterruptibly around `acquire`, so that it always ends its Deferred. */
    const fly = <E, R>(id: string, key: TokenKey, acquire: Effect.Effect<Token, E, R>) => {
      const flight = Deferred.unsafeMake<Token, unknown>(FiberId.none)
      flights.set(id, flight)
      return Effect.interruptible(acquire).pipe(
        Effect.exit,
        Effect.zip(Clock.currentTimeMillis),
        Effect.flatMap(([exit, now]) => {
          flights.delete(id)
          if (exit._tag === "Success") {
            for (const [other, { expiresAt }] of tokens) if (expiresAt <= now) tokens.delete(other)
            put(tokens, id, { ...exit.value, key })
          }
          return Deferred.done(flight, exit)
        }),
        Effect.forkIn(scope),
        Effect.as(flight)
      )
    }

    return {
      ...challengeMemory(),
      getOrAcquire: <E, R>(key: TokenKey, acquire: Effect.Effect<Token, E, R>) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          // Found, joined or begun in one synchronous step, or two fibers could begin at once.
          Effect.uninterruptibleMask((restore): Effect.Effect<Token, E, R> => {
            const id = idOf(key)
            const held = find(id, key, now)
            if (held !== undefined) return Effect.succeed(held)
            const joined = flights.get(id)
            return Effect.flatMap(joined === undefined ? fly(id, key, acquire) : Effect.succeed(joined), (flight) =>
              // Equal keys come from the same pipeline, so that what can fail here is what `acquire` can fail with.
              restore(Deferred.await(flight) as Effect.Effect<Token, E>)
            )
          })
        ).pipe(Effect.map(({ value }) => value)),
      reject: ({ origin }, refused) =>
        Effect.sync(() => {
          for (const [id, { key, value }] of tokens) {
            if (key.origin === origin && Redacted.value(value) === Redacted.value(refused)) tokens.delete(id)
          }
        })
    }
  })
)

/**
 * Keeps challenges, without which nothing could be authorized, but no tokens: every request obtains its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerNone: Layer.Layer<TokenCache> = Layer.sync(TokenCache, () => ({
  ...challengeMemory(),
  getOrAcquire: (_, acquire) => Effect.map(acquire, ({ value }) => value),
  reject: () => Effect.void
}))

const challengeMemory = (): Pick<TokenCache.Service, "challenge" | "remember"> => {
  const byOrigin = new Map<string, Challenge>()
  const scopesByDemand = new Map<string, ReadonlyArray<string>>()
  return {
    challenge: (demand) =>
      Effect.sync(() =>
        Option.map(Option.fromNullable(byOrigin.get(demand.origin)), (challenge) => ({
          ...challenge,
          scopes: scopesByDemand.get(demandId(demand)) ?? []
        }))
      ),
    remember: (demand, challenge) =>
      Effect.sync(() => {
        if (challenge.scheme === "basic" && byOrigin.get(demand.origin)?.scheme === "bearer") return
        put(byOrigin, demand.origin, challenge)
        // The request that needs no scopes is the ping: GHCR names a repository there that does not exist.
        if (demand.scopes.length > 0) put(scopesByDemand, demandId(demand), challenge.scopes)
      })
  }
}

const demandId = ({ origin, scopes }: Demand): string => JSON.stringify([origin, ...AccessScope.canonical(scopes)])

const idOf = ({ identity, origin, realm, scopes, service }: TokenKey): string =>
  JSON.stringify([origin, realm, service, identity, ...AccessScope.canonical(scopes)])

const isSameIssue = (first: TokenKey, second: TokenKey): boolean =>
  first.origin === second.origin &&
  first.realm === second.realm &&
  first.service === second.service &&
  first.identity === second.identity

/** Maps keep their order of insertion, so the first entry is the oldest. */
const put = <A>(map: Map<string, A>, key: string, value: A): void => {
  map.delete(key)
  for (const oldest of map.keys()) {
    if (map.size < capacity) break
    map.delete(oldest)
  }
  map.set(key, value)
}
