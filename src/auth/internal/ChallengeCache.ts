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
