/**
 * What was learnt from registries and token servers: how each registry wants to be authorized, and
 * the tokens in use. Tokens are found by origin, realm, service, identity of the credential and
 * scopes, so that no registry, token server or user ever gets another's (T14).
 *
 * @since 0.1.0
 */
import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import type * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Metrics from "../Metrics.js"
import * as AccessScope from "../protocol/AccessScope.js"
import type { Challenge } from "../protocol/Challenge.js"
import type { Demand } from "./Credentials.js"
import * as TokenStore from "./internal/TokenStore.js"

/**
 * What a token is for: a registry (`origin`), who issues it (`realm`, `service`, empty if unnamed),
 * for whom (`identity` of the credential), and for which scopes.
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
 * A token, and when it ends, in milliseconds of the `Clock`. `refreshToken` is what to obtain the
 * next one with, if the issuer gave it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Token {
  readonly value: Redacted.Redacted
  readonly expiresAt: number
  readonly refreshToken?: Redacted.Redacted | undefined
}

/**
 * A token to send. It `isNew` if it was issued while its caller waited, for that caller or for
 * another one: then there is no newer one to be had.
 *
 * @since 0.1.0
 * @category models
 */
export interface Obtained {
  readonly value: Redacted.Redacted
  readonly isNew: boolean
}

/**
 * The memory of authorization. One serves all hosts and all users.
 *
 * @since 0.1.0
 * @category services
 */
export class TokenCache extends Context.Tag("effect-oci/TokenCache")<
  TokenCache,
  TokenCache.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace TokenCache {
  /**
   * - `challenges`: how the demand's origin wants to be asked, empty if that is not known. Their
   *   `scopes` are those of the last challenge to this very demand, and empty if there was none:
   *   one request's scopes are never another's, and least of all the placeholders in the ping's
   *   challenge.
   * - `remember`: keeps the challenges to a demand, and with none forgets what the origin wants. A
   *   `bearer` challenge of the origin outlives one for a password only, which is then kept for
   *   this demand alone and for a minute: Harbor takes tokens everywhere but in `_catalog`, and
   *   asks for passwords while it cannot read its tokens.
   * - `failed`: notes that the token server of the demand's origin gave no answer, or one that says
   *   nothing of the credential. The challenges are kept, so that trying again costs no request
   *   without authorization; they are forgotten when this has gone on for a minute, or when they
   *   come from another process, since the registry may have another token server by now.
   * - `getOrAcquire`: a token that covers the key's scopes and lasts 5 more seconds, else the one
   *   that `acquire` yields, given the refresh token that the same realm issued for the same
   *   service and identity. Callers with equal keys share one run of `acquire` and its failure, so
   *   they should fail alike; a caller's interruption does not end it. Failures are not kept.
   * - `reject`: forgets a token that the demand's origin has just refused.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly challenges: (demand: Demand) => Effect.Effect<ReadonlyArray<Challenge>>
    readonly remember: (demand: Demand, challenges: ReadonlyArray<Challenge>) => Effect.Effect<void>
    readonly failed: (demand: Demand) => Effect.Effect<void>
    readonly getOrAcquire: <E, R>(
      key: TokenKey,
      acquire: (refreshToken: Option.Option<Redacted.Redacted>) => Effect.Effect<Token, E, R>
    ) => Effect.Effect<Obtained, E, R>
    readonly reject: (demand: Demand, token: Redacted.Redacted) => Effect.Effect<void>
  }
}

/**
 * Of tokens, of refresh tokens, of rejected tokens, of origins, and of challenged demands each; the
 * oldest are forgotten first.
 */
const capacity = 1000

/** In milliseconds: a token that ends sooner may end on its way. */
const margin = 5000

/**
 * In milliseconds: how long a registry is taken at its word that it wants passwords although it has
 * taken tokens, and how long a token server may fail before it counts as another's.
 */
const doubt = 60_000

/**
 * Keeps up to 1,000 tokens, and the challenges of as many origins, in memory for the lifetime of
 * the layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<TokenCache> = Layer.scoped(
  TokenCache,
  Effect.map(Effect.scope, (scope) => make(TokenStore.none, scope))
)

/**
 * `layerMemory` in front of a store that other processes may share: what is not in memory is looked
 * for there before it is asked for, and what was learnt is written there.
 *
 * The store holds one entry for each origin (its challenges) and one for each realm, service and
 * credential used with an origin (tokens with their ends, and the refresh token), under keys that
 * start with `effect-oci-` and end in a hash. **The tokens are written as they are, and the hash is
 * made from the password among others: keep the store where only its user can read it.**
 * `KeyValueStore.layerFileSystem` creates files with the permissions of the process, so give it a
 * directory of mode 0700; for a store that others can read, wrap the `KeyValueStore` into one that
 * encrypts what it is given. Entries that cannot be read count as missing, and so does a store that
 * fails, which is logged at debug level without the entry.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerKeyValueStore: Layer.Layer<TokenCache, never, KeyValueStore.KeyValueStore> =
  Layer.scoped(
    TokenCache,
    Effect.map(Effect.all([TokenStore.overKeyValueStore, Effect.scope]), ([store, scope]) =>
      make(store, scope)
    )
  )

/**
 * Keeps challenges, without which nothing could be authorized, but no tokens: every request obtains
 * its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerNone: Layer.Layer<TokenCache> = Layer.sync(TokenCache, () => {
  const { issued, ...memory } = challengeMemory(TokenStore.none)
  return {
    ...memory,
    getOrAcquire: ({ origin }, acquire) =>
      Effect.map(acquire(Option.none()), ({ value }) => {
        issued(origin)
        return { value, isNew: true }
      }),
    reject: () => Effect.void
  }
})

const make = (store: TokenStore.TokenStore, scope: Scope.Scope): TokenCache.Service => {
  const tokens = new Map<string, Kept>()
  const refreshTokens = new Map<string, Redacted.Redacted>()
  /** Their values, since a store that cannot be written keeps them. */
  const rejectedTokens = new Map<string, true>()
  const flights = new Map<string, Deferred.Deferred<Obtained, unknown>>()
  const { issued, ...challenges } = challengeMemory(store)

  const find = (id: string, key: TokenKey, now: number): Kept | undefined => {
    const exact = tokens.get(id)
    if (exact !== undefined && isUsable(exact, now)) return exact
    const issue = issueOf(key)
    const required = AccessScope.merge(key.scopes)
    for (const token of tokens.values())
      if (
        token.issue === issue &&
        isUsable(token, now) &&
        AccessScope.covers(token.granted, required)
      )
        return token
    return undefined
  }

  const keep = (key: TokenKey, token: Token, now: number): void => {
    for (const [other, { expiresAt }] of tokens) if (expiresAt <= now) tokens.delete(other)
    put(tokens, idOf(key), {
      ...token,
      key,
      issue: issueOf(key),
      granted: AccessScope.merge(key.scopes),
      labels: Metrics.hostLabels(key.origin)
    })
    if (token.refreshToken === undefined) refreshTokens.delete(issueOf(key))
    else put(refreshTokens, issueOf(key), token.refreshToken)
  }

  /** From the store, where another process may have put it, or else acquired. */
  const obtain = <E, R>(
    key: TokenKey,
    acquire: (refreshToken: Option.Option<Redacted.Redacted>) => Effect.Effect<Token, E, R>
  ): Effect.Effect<Obtained, E, R> =>
    Effect.gen(function* () {
      const stored = yield* store.load(issueOf(key))
      const now = yield* Clock.currentTimeMillis
      const found = stored.tokens.find(
        (token) =>
          isUsable(token, now) &&
          !rejectedTokens.has(Redacted.value(token.value)) &&
          AccessScope.contains(token.scopes, key.scopes)
      )
      if (found !== undefined) {
        keep({ ...key, scopes: found.scopes }, { ...found, refreshToken: stored.refreshToken }, now)
        return { value: found.value, isNew: false }
      }
      const refreshToken = stored.refreshToken ?? refreshTokens.get(issueOf(key))
      const token = yield* acquire(Option.fromNullable(refreshToken))
      const then = yield* Clock.currentTimeMillis
      issued(key.origin)
      keep(key, token, then)
      yield* store.update(issueOf(key), (held) => ({
        tokens: [
          { scopes: key.scopes, value: token.value, expiresAt: token.expiresAt },
          ...held.tokens.filter(
            (other) => isUsable(other, then) && !AccessScope.contains(key.scopes, other.scopes)
          )
        ],
        refreshToken: token.refreshToken
      }))
      return { value: token.value, isNew: true }
    })

  /**
   * Runs in the layer's scope, so that it is nobody's own, and uninterruptibly around `acquire`, so
   * that it always ends its Deferred.
   */
  const fly = <E, R>(id: string, token: Effect.Effect<Obtained, E, R>) => {
    const flight = Deferred.unsafeMake<Obtained, unknown>(FiberId.none)
    flights.set(id, flight)
    return Effect.interruptible(token).pipe(
      Effect.exit,
      Effect.flatMap((exit) => {
        flights.delete(id)
        return Deferred.done(flight, exit)
      }),
      Effect.forkIn(scope),
      Effect.as(flight)
    )
  }

  return {
    ...challenges,
    getOrAcquire: <E, R>(
      key: TokenKey,
      acquire: (refreshToken: Option.Option<Redacted.Redacted>) => Effect.Effect<Token, E, R>
    ) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        // Found, joined or begun in one synchronous step, or two fibers could begin at once.
        Effect.uninterruptibleMask((restore): Effect.Effect<Obtained, E, R> => {
          const id = idOf(key)
          const held = find(id, key, now)
          if (held !== undefined)
            return Effect.as(Metrics.update(Metrics.tokenCacheHits, 1, held.labels), {
              value: held.value,
              isNew: false
            })
          const joined = flights.get(id)
          return Effect.flatMap(
            joined === undefined ? fly(id, obtain(key, acquire)) : Effect.succeed(joined),
            (flight) =>
              // Equal keys come from the same pipeline, so that what can fail here is what
              // `acquire` can fail with.
              restore(Deferred.await(flight) as Effect.Effect<Obtained, E>)
          )
        })
      ),
    reject: ({ origin }, refused) =>
      Effect.suspend(() => {
        const isRefused = ({ value }: { readonly value: Redacted.Redacted }) =>
          Redacted.value(value) === Redacted.value(refused)
        const rejected = [...tokens].filter(
          ([, token]) => token.key.origin === origin && isRefused(token)
        )
        for (const [id] of rejected) tokens.delete(id)
        if (rejected.length > 0) put(rejectedTokens, Redacted.value(refused), true)
        return Effect.forEach(
          rejected,
          ([, { key }]) =>
            store.update(issueOf(key), (held) => ({
              ...held,
              tokens: held.tokens.filter((token) => !isRefused(token))
            })),
          { discard: true }
        )
      })
  }
}

/** A token with what is asked of it for every request, made once. */
interface Kept extends Token {
  readonly key: TokenKey
  readonly issue: string
  readonly granted: AccessScope.Merged
  readonly labels: ReadonlyArray<MetricLabel.MetricLabel>
}

const isUsable = ({ expiresAt }: { readonly expiresAt: number }, now: number): boolean =>
  expiresAt - margin > now

/**
 * What an origin asks for: since when, in milliseconds, and since when its token server fails, if it
 * does. That of another process has not been seen to work.
 */
interface Known {
  readonly challenges: ReadonlyArray<Challenge>
  readonly at: number
  failingSince: number | undefined
}

/**
 * What one demand was asked for beyond that: the scopes and the error of its last challenge, and a
 * password although its origin takes tokens.
 */
interface Asked {
  readonly scopes: ReadonlyArray<string>
  readonly error: string | undefined
  readonly passwordOnly: ReadonlyArray<Challenge>
  readonly at: number
}

/** `issued`: that the token server of an origin has just issued a token. */
const challengeMemory = (
  store: TokenStore.TokenStore
): Pick<TokenCache.Service, "challenges" | "remember" | "failed"> & {
  readonly issued: (origin: string) => void
} => {
  const byOrigin = new Map<string, Known>()
  const byDemand = new Map<string, Asked>()
  /** The origins that have ever asked for tokens. */
  const tokenOrigins = new Map<string, true>()

  const ofOrigin = (origin: string): Effect.Effect<ReadonlyArray<Challenge>> =>
    Effect.suspend(() => {
      const known = byOrigin.get(origin)
      if (known !== undefined)
        return known.challenges.some(isBearer) || !tokenOrigins.has(origin)
          ? Effect.succeed(known.challenges)
          : Effect.map(Clock.currentTimeMillis, (now) =>
              now < known.at + doubt ? known.challenges : []
            )
      return Effect.map(
        Effect.zip(store.loadChallenges(origin), Clock.currentTimeMillis),
        ([challenges, now]) => {
          if (challenges.length > 0 && !byOrigin.has(origin))
            put(byOrigin, origin, { challenges, at: now, failingSince: Number.NEGATIVE_INFINITY })
          return challenges
        }
      )
    })

  const forget = (origin: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      byOrigin.delete(origin)
      return store.saveChallenges(origin, [])
    })

  return {
    issued: (origin) => {
      const known = byOrigin.get(origin)
      if (known !== undefined) known.failingSince = undefined
    },
    challenges: (demand) =>
      Effect.flatMap(ofOrigin(demand.origin), (known) => {
        if (known.length === 0) return Effect.succeed(known)
        const asked = byDemand.get(demandId(demand))
        const forToken = known.map((challenge) => withAsked(challenge, asked))
        return asked === undefined || asked.passwordOnly.length === 0
          ? Effect.succeed(forToken)
          : Effect.map(Clock.currentTimeMillis, (now) =>
              now < asked.at + doubt ? asked.passwordOnly : forToken
            )
      }),
    remember: (demand, challenges) =>
      Effect.gen(function* () {
        const { origin } = demand
        const known = yield* ofOrigin(origin)
        const at = yield* Clock.currentTimeMillis
        const bearer = challenges.find(isBearer)
        if (bearer !== undefined) put(tokenOrigins, origin, true)
        const passwordOnly = challenges.length > 0 && bearer === undefined && known.some(isBearer)
        put(byDemand, demandId(demand), {
          // The request that needs no scopes is the ping: GHCR names a repository there that does
          // not exist.
          scopes: demand.scopes.length > 0 ? (bearer?.scopes ?? []) : [],
          error: bearer?.error,
          passwordOnly: passwordOnly ? challenges : [],
          at
        })
        if (passwordOnly) return
        if (challenges.length === 0) return yield* forget(origin)
        const general = challenges.map(({ error: _, ...challenge }) => ({
          ...challenge,
          scopes: []
        }))
        put(byOrigin, origin, { challenges: general, at, failingSince: undefined })
        if (JSON.stringify(general) !== JSON.stringify(known))
          yield* store.saveChallenges(origin, general)
      }),
    failed: ({ origin }) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const known = byOrigin.get(origin)
        if (known === undefined) return Effect.void
        known.failingSince ??= now
        return now < known.failingSince + doubt ? Effect.void : forget(origin)
      })
  }
}

/** One demand's scopes are never another's. */
const withAsked = (challenge: Challenge, asked: Asked | undefined): Challenge =>
  challenge.scheme !== "bearer" || asked === undefined
    ? { ...challenge, scopes: [] }
    : {
        ...challenge,
        scopes: asked.scopes,
        ...(asked.error !== undefined && { error: asked.error })
      }

const isBearer = ({ scheme }: Challenge): boolean => scheme === "bearer"

const demandId = ({ origin, scopes }: Demand): string => JSON.stringify([origin, ...scopes])

/** All of a key but its scopes. */
const issueOf = ({ identity, origin, realm, service }: TokenKey): string =>
  JSON.stringify([origin, realm, service, identity])

const idOf = (key: TokenKey): string =>
  JSON.stringify([issueOf(key), ...AccessScope.canonical(key.scopes)])

/** Maps keep their order of insertion, so the first entry is the oldest. */
const put = <A>(map: Map<string, A>, key: string, value: A): void => {
  map.delete(key)
  for (const oldest of map.keys()) {
    if (map.size < capacity) break
    map.delete(oldest)
  }
  map.set(key, value)
}
