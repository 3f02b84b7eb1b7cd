/**
 * What registries have asked for: challenges by origin, and what single demands were asked for
 * beyond these.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Challenge } from "../../protocol/Challenge.js"
import type { Demand } from "../Credentials.js"
import { put } from "./Oldest.js"
import type * as TokenStore from "./TokenStore.js"

/**
 * In milliseconds: how long a registry is taken at its word that it wants passwords although it has
 * taken tokens, and how long a token server may fail before it counts as another's.
 */
const doubt = 60_000

/**
 * What an origin asks for: since when, in milliseconds, and since when its token server fails, if
 * it does. That of another process has not been seen to work.
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

/**
 * What a cache holds: what origins ask for, what demands were asked for beyond that, and the
 * origins that have ever asked for tokens.
 */
interface State {
  readonly store: TokenStore.TokenStore
  readonly byOrigin: Map<string, Known>
  readonly byDemand: Map<string, Asked>
  readonly tokenOrigins: Map<string, true>
}

/**
 * Makes a cache of challenges that is empty, over a store that may have some. `issued` notes that
 * the token server of an origin has just issued a token; the rest is as `TokenCache` says.
 */
export const make = (
  store: TokenStore.TokenStore
): {
  readonly challenges: (demand: Demand) => Effect.Effect<ReadonlyArray<Challenge>>
  readonly remember: (demand: Demand, challenges: ReadonlyArray<Challenge>) => Effect.Effect<void>
  readonly failed: (demand: Demand) => Effect.Effect<void>
  readonly issued: (origin: string) => void
} => {
  const state: State = {
    store,
    byOrigin: new Map(),
    byDemand: new Map(),
    tokenOrigins: new Map()
  }
  return {
    challenges: (demand) => ofDemand(state, demand),
    remember: (demand, challenges) => remember(state, demand, challenges),
    failed: ({ origin }) => failed(state, origin),
    issued: (origin) => {
      const known = state.byOrigin.get(origin)
      if (known !== undefined) known.failingSince = undefined
    }
  }
}

/** Returns what an origin asks for, from the store if that is not in memory. */
const ofOrigin = (
  { byOrigin, store, tokenOrigins }: State,
  origin: string
): Effect.Effect<ReadonlyArray<Challenge>> =>
  Effect.suspend(() => {
    const known = byOrigin.get(origin)
    if (known !== undefined)
      return known.challenges.some(isBearer) || !tokenOrigins.has(origin)
        ? Effect.succeed(known.challenges)
        : Effect.map(Clock.currentTimeMillis, (now) =>
            now < known.at + doubt ? known.challenges : []
          )
    return Effect.flatMap(store.loadChallenges(origin), (challenges) =>
      challenges.length === 0
        ? Effect.succeed(challenges)
        : Effect.map(Clock.currentTimeMillis, (now) => {
            if (!byOrigin.has(origin))
              put(byOrigin, origin, { challenges, at: now, failingSince: Number.NEGATIVE_INFINITY })
            return challenges
          })
    )
  })

/** Returns what a demand is to be authorized by. */
const ofDemand = (state: State, demand: Demand): Effect.Effect<ReadonlyArray<Challenge>> =>
  Effect.flatMap(ofOrigin(state, demand.origin), (known) => {
    if (known.length === 0) return Effect.succeed(known)
    const asked = state.byDemand.get(demandId(demand))
    const forToken = known.map((challenge) => withAsked(challenge, asked))
    return asked === undefined || asked.passwordOnly.length === 0
      ? Effect.succeed(forToken)
      : Effect.map(Clock.currentTimeMillis, (now) =>
          now < asked.at + doubt ? asked.passwordOnly : forToken
        )
  })

/** Keeps the challenges to a demand: what is of its origin for all, and the rest for it alone. */
const remember = Effect.fnUntraced(function* (
  state: State,
  demand: Demand,
  challenges: ReadonlyArray<Challenge>
) {
  const { origin } = demand
  const known = yield* ofOrigin(state, origin)
  const at = yield* Clock.currentTimeMillis
  const bearer = challenges.find(isBearer)
  if (bearer !== undefined) put(state.tokenOrigins, origin, true)
  const passwordOnly = challenges.length > 0 && bearer === undefined && known.some(isBearer)
  put(state.byDemand, demandId(demand), {
    // The request that is known to need no scopes is the ping: GHCR names a repository there that
    // does not exist.
    scopes: demand.scopes.length > 0 || demand.request !== undefined ? (bearer?.scopes ?? []) : [],
    error: bearer?.error,
    passwordOnly: passwordOnly ? challenges : [],
    at
  })
  if (passwordOnly) return
  if (challenges.length === 0) return yield* forget(state, origin)
  const general = challenges.map(({ error: _, ...challenge }) => ({ ...challenge, scopes: [] }))
  put(state.byOrigin, origin, { challenges: general, at, failingSince: undefined })
  if (JSON.stringify(general) !== JSON.stringify(known))
    yield* state.store.saveChallenges(origin, general)
})

/** Notes a failure of an origin's token server. After a minute of them nothing is known of it. */
const failed = (state: State, origin: string): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const known = state.byOrigin.get(origin)
    if (known === undefined) return Effect.void
    known.failingSince ??= now
    return now < known.failingSince + doubt ? Effect.void : forget(state, origin)
  })

const forget = ({ byOrigin, store }: State, origin: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    byOrigin.delete(origin)
    return store.saveChallenges(origin, [])
  })

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

const demandId = ({ origin, request, scopes }: Demand): string =>
  JSON.stringify(request === undefined ? [origin, ...scopes] : [origin, ...scopes, { request }])
