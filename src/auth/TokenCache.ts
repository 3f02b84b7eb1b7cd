/**
 * What was learnt from registries and token servers: the challenges of each registry, and the
 * tokens in use. Tokens are found by origin, realm, service, identity of the credential and scopes,
 * so that no registry, token server or user ever gets another's.
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
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Metrics from "../Metrics.js"
import * as AccessScope from "../protocol/AccessScope.js"
import type { Challenge } from "../protocol/Challenge.js"
import type { Demand } from "./Credentials.js"
import { CachedTokens, margin } from "./internal/CachedTokens.js"
import * as ChallengeCache from "./internal/ChallengeCache.js"
import { put } from "./internal/Oldest.js"
import * as TokenStore from "./internal/TokenStore.js"

/**
 * What a token is for: the registry (`origin`), the token server (`realm`, and `service`, which is
 * empty if the challenge has none), the `identity` of the credential, and the scopes. The members
 * are those of [Docker's token
 * specification](https://distribution.github.io/distribution/spec/auth/token/).
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
 * A token, and when it expires, in milliseconds of the `Clock`. `refreshToken`, if the token server
 * issued one, obtains the next token.
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
 * A token to send. `isNew` says that it was issued while its caller waited, for that caller or for
 * another one: if it is rejected, a further token would not help.
 *
 * @since 0.1.0
 * @category models
 */
export interface Obtained {
  readonly value: Redacted.Redacted
  readonly isNew: boolean
}

/**
 * The cache of challenges and tokens. One serves all hosts and all users.
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
   * - `challenges`: returns the challenges of the demand's origin, none if they are not known.
   *   Their `scopes` are those of the last challenge to this very demand, and empty if there was
   *   none. They are never those of another demand: the challenge to a ping may have placeholders.
   * - `remember`: keeps the challenges to a demand. Without any, it forgets those of the origin. If
   *   the origin has a `bearer` challenge, one for a password alone does not replace it, and is
   *   kept for this demand only, for one minute: Harbor takes tokens everywhere but in `_catalog`,
   *   and asks for passwords while it cannot read its tokens.
   * - `failed`: notes that the token server of the demand's origin did not respond, or that its
   *   response says nothing about the credential. The challenges are kept, so that a retry costs no
   *   request without authorization. They are forgotten after a minute of failures, and at once if
   *   they come from another process, since the registry may have another token server by now.
   * - `getOrAcquire`: returns a token that covers the key's scopes and lasts for more than 5
   *   seconds, or else the one that `acquire` returns. `acquire` is given the refresh token that
   *   the same realm issued for the same service and identity, if any. Callers with equal keys
   *   share one run of `acquire` and its failure, so their types of errors should be the same. The
   *   run goes on if a caller is interrupted. Failures are not kept.
   * - `reject`: forgets a token that the demand's origin has just rejected.
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
      acquire: (refreshToken: Redacted.Redacted | undefined) => Effect.Effect<Token, E, R>
    ) => Effect.Effect<Obtained, E, R>
    readonly reject: (demand: Demand, token: Redacted.Redacted) => Effect.Effect<void>
  }
}

/**
 * Makes a cache that keeps up to 1,000 tokens and the challenges of up to 1,000 origins in memory.
 * Layers that are given it, `NodeRegistry.layer` and others in the option `tokenCache`, share
 * tokens, and so does one that is built again. The Scope is to last as long as those do: the
 * requests for tokens run in it.
 *
 * @example
 * ```ts
 * import * as Credentials from "effect-oci/Credentials"
 * import { NodeRegistry } from "effect-oci/node"
 * import * as TokenCache from "effect-oci/TokenCache"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * // A layer to build for each job, with the tokens of the jobs before.
 * const layer = Effect.map(TokenCache.make, (cache) =>
 *   NodeRegistry.layerRegistries({ tokenCache: Layer.succeed(TokenCache.TokenCache, cache) }).pipe(
 *     Layer.provide(Credentials.layerAnonymous)
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<TokenCache.Service, never, Scope.Scope> = Effect.map(
  Effect.scope,
  (scope) => over(TokenStore.none, scope)
)

/**
 * Provides a cache that `make` makes, for the lifetime of the layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<TokenCache> = Layer.scoped(TokenCache, make)

/**
 * Keeps challenges and tokens in memory, as `layerMemory` does, and in a store that other processes
 * may share. What is not in memory is looked up in the store before a server is asked, and what was
 * learnt is written to it.
 *
 * The store has one entry for each origin (its challenges) and one for each realm, service and
 * credential used with an origin (the tokens, when they expire, and the refresh token). The keys
 * start with `effect-oci-` and end in a hash. **The tokens are written as they are, and the
 * password is part of what is hashed: keep the store where only its user can read it.**
 * `KeyValueStore.layerFileSystem` creates files with the permissions of the process, so give it a
 * directory of mode 0700. For a store that others can read, wrap the `KeyValueStore` in one that
 * encrypts. Entries that cannot be read count as missing. So does a store that fails, which is
 * logged at debug level without the entry.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerKeyValueStore: Layer.Layer<TokenCache, never, KeyValueStore.KeyValueStore> =
  Layer.scoped(
    TokenCache,
    Effect.map(Effect.all([TokenStore.overKeyValueStore, Effect.scope]), ([store, scope]) =>
      over(store, scope)
    )
  )

/**
 * Keeps challenges, which authorization needs, but no tokens: every request obtains its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerNone: Layer.Layer<TokenCache> = Layer.sync(TokenCache, () => {
  const { issued, ...memory } = ChallengeCache.make(TokenStore.none)
  return {
    ...memory,
    getOrAcquire: ({ origin }, acquire) =>
      Effect.map(acquire(undefined), ({ value }) => {
        issued(origin)
        return { value, isNew: true }
      }),
    reject: () => Effect.void
  }
})

/** Makes a cache of tokens that is empty, over a store that may have some. */
const over = (store: TokenStore.TokenStore, scope: Scope.Scope): TokenCache.Service => {
  const { issued, ...challenges } = ChallengeCache.make(store)
  const state: State = {
    store,
    scope,
    issued,
    tokens: new CachedTokens(),
    refreshTokens: new Map(),
    rejectedTokens: new Map(),
    flights: new Map()
  }
  return {
    ...challenges,
    getOrAcquire: (key, acquire) => getOrAcquire(state, key, acquire),
    reject: ({ origin }, token) => reject(state, origin, token)
  }
}

/**
 * What a cache holds: the tokens by `idOf` their keys, the refresh tokens by `issueOf` them, and
 * the acquisitions under way. They run in `scope`.
 */
interface State {
  readonly store: TokenStore.TokenStore
  readonly scope: Scope.Scope
  readonly issued: (origin: string) => void
  readonly tokens: CachedTokens<CachedToken>
  readonly refreshTokens: Map<string, Redacted.Redacted>
  /** Their values, since a store that cannot be written keeps them. */
  readonly rejectedTokens: Map<string, true>
  readonly flights: Map<string, Deferred.Deferred<Obtained, unknown>>
}

/** A token with what is asked of it for every request, made once. */
interface CachedToken extends Token {
  readonly key: TokenKey
  readonly issue: string
  readonly granted: AccessScope.Merged
  readonly labels: ReadonlyArray<MetricLabel.MetricLabel>
}

/** Requests the next token, with the refresh token of the last one if there is any. */
type Acquire<E, R> = (refreshToken: Redacted.Redacted | undefined) => Effect.Effect<Token, E, R>

const getOrAcquire = <E, R>(
  state: State,
  key: TokenKey,
  acquire: Acquire<E, R>
): Effect.Effect<Obtained, E, R> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    // Found, joined or begun in one synchronous step, or two fibers could begin at once.
    Effect.uninterruptibleMask((restore): Effect.Effect<Obtained, E, R> => {
      const id = idOf(key)
      const cached = find(state, id, key, now)
      if (cached !== undefined)
        return Effect.as(Metrics.update(Metrics.tokenCacheHits, 1, cached.labels), {
          value: cached.value,
          isNew: false
        })
      const joined = state.flights.get(id)
      return Effect.flatMap(
        joined === undefined
          ? start(state, id, obtain(state, key, acquire))
          : Effect.succeed(joined),
        (flight) =>
          // Equal keys come from the same pipeline, so that what can fail here is what `acquire`
          // can fail with.
          restore(Deferred.await(flight) as Effect.Effect<Obtained, E>)
      )
    })
  )

/** Returns a token in memory that covers the key's scopes. */
const find = (
  { tokens }: State,
  id: string,
  key: TokenKey,
  now: number
): CachedToken | undefined => {
  const exact = tokens.get(id)
  if (exact !== undefined && isUsable(exact, now)) return exact
  const required = AccessScope.merge(key.scopes)
  for (const token of tokens.ofIssue(issueOf(key)))
    if (isUsable(token, now) && AccessScope.covers(token.granted, required)) return token
  return undefined
}

/**
 * Starts an acquisition that others can join. It runs in the layer's scope, so that it is nobody's
 * own, and uninterruptibly around `acquire`, so that it always ends its Deferred.
 */
const start = <E, R>(
  { flights, scope }: State,
  id: string,
  token: Effect.Effect<Obtained, E, R>
): Effect.Effect<Deferred.Deferred<Obtained, unknown>, never, R> => {
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

/** Takes a token from the store, where another process may have put it, or acquires one. */
const obtain = Effect.fnUntraced(function* <E, R>(
  state: State,
  key: TokenKey,
  acquire: Acquire<E, R>
) {
  const issue = issueOf(key)
  const stored = yield* state.store.load(issue)
  const now = yield* Clock.currentTimeMillis
  const found = stored.tokens.find(
    (token) =>
      isUsable(token, now) &&
      !state.rejectedTokens.has(Redacted.value(token.value)) &&
      AccessScope.contains(token.scopes, key.scopes)
  )
  if (found !== undefined) {
    const token = { ...found, refreshToken: stored.refreshToken }
    keep(state, { ...key, scopes: found.scopes }, token, now)
    return { value: found.value, isNew: false }
  }
  const refreshToken = stored.refreshToken ?? state.refreshTokens.get(issue)
  const token = yield* acquire(refreshToken)
  const then = yield* Clock.currentTimeMillis
  state.issued(key.origin)
  keep(state, key, token, then)
  yield* state.store.update(issue, ({ tokens }) => ({
    tokens: [
      { scopes: key.scopes, value: token.value, expiresAt: token.expiresAt },
      ...tokens.filter(
        (other) => isUsable(other, then) && !AccessScope.contains(key.scopes, other.scopes)
      )
    ],
    refreshToken: token.refreshToken
  }))
  return { value: token.value, isNew: true }
})

/** Keeps a token in memory, and drops those that have ended. */
const keep = ({ refreshTokens, tokens }: State, key: TokenKey, token: Token, now: number): void => {
  const issue = issueOf(key)
  const granted = AccessScope.merge(key.scopes)
  const labels = Metrics.hostLabels(key.origin)
  tokens.put(idOf(key), { ...token, key, issue, granted, labels }, now)
  if (token.refreshToken === undefined) refreshTokens.delete(issue)
  else put(refreshTokens, issue, token.refreshToken)
}

/** Forgets a token that an origin has rejected, in memory and in the store. */
const reject = (
  { rejectedTokens, store, tokens }: State,
  origin: string,
  refused: Redacted.Redacted
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const isRefused = ({ value }: { readonly value: Redacted.Redacted }) =>
      Redacted.value(value) === Redacted.value(refused)
    const rejected = [...tokens.entries()].filter(
      ([, token]) => token.key.origin === origin && isRefused(token)
    )
    for (const [id] of rejected) tokens.delete(id)
    if (rejected.length > 0) put(rejectedTokens, Redacted.value(refused), true)
    return Effect.forEach(
      rejected,
      ([, { key }]) =>
        store.update(issueOf(key), (stored) => ({
          ...stored,
          tokens: stored.tokens.filter((token) => !isRefused(token))
        })),
      { discard: true }
    )
  })

const isUsable = ({ expiresAt }: { readonly expiresAt: number }, now: number): boolean =>
  expiresAt - margin > now

/** All of a key but its scopes: tokens are shared by nobody else (T14). */
const issueOf = ({ identity, origin, realm, service }: TokenKey): string =>
  JSON.stringify([origin, realm, service, identity])

const idOf = (key: TokenKey): string =>
  JSON.stringify([issueOf(key), ...AccessScope.canonical(key.scopes)])
