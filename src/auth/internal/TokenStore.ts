/**
 * What a `TokenCache` keeps beyond its own memory: nothing, or entries of a `KeyValueStore` that
 * other processes may read and write at any time. Nothing here fails: what cannot be read is
 * missing, and what cannot be written is asked for again.
 */
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Challenge } from "../../protocol/Challenge.js"
import * as Digest from "../../spec/Digest.js"
import { HeaderSafe } from "./Sendable.js"

/**
 * The tokens of one issue (origin, realm, service and identity), and what to obtain the next one
 * with.
 */
export interface StoredTokens {
  readonly tokens: ReadonlyArray<{
    readonly scopes: ReadonlyArray<string>
    readonly value: Redacted.Redacted
    readonly expiresAt: number
  }>
  readonly refreshToken?: Redacted.Redacted | undefined
}

/**
 * Where tokens are kept by issue, and challenges by origin. `update` replaces an entry by what
 * `change` makes of it.
 */
export interface TokenStore {
  readonly load: (issue: string) => Effect.Effect<StoredTokens>
  readonly update: (
    issue: string,
    change: (stored: StoredTokens) => StoredTokens
  ) => Effect.Effect<void>
  readonly loadChallenges: (origin: string) => Effect.Effect<ReadonlyArray<Challenge>>
  readonly saveChallenges: (
    origin: string,
    challenges: ReadonlyArray<Challenge>
  ) => Effect.Effect<void>
}

const nothing: StoredTokens = { tokens: [] }

/** Keeps nothing. */
export const none: TokenStore = {
  load: () => Effect.succeed(nothing),
  update: () => Effect.void,
  loadChallenges: () => Effect.succeed([]),
  saveChallenges: () => Effect.void
}

/**
 * Of one entry: an issue has as many tokens as repositories are in use before the first of them
 * ends.
 */
const maxTokens = 100

/** In characters; our own entries are smaller. */
const maxEntry = 1_048_576

const TokensEntry = Schema.parseJson(
  Schema.Struct({
    tokens: Schema.Array(
      Schema.Struct({
        scopes: Schema.Array(Schema.String),
        value: Schema.Redacted(HeaderSafe),
        expiresAt: Schema.JsonNumber
      })
    ),
    refreshToken: Schema.optional(Schema.Redacted(Schema.NonEmptyString))
  })
)

const ChallengesEntry = Schema.parseJson(Schema.Array(Challenge))

/**
 * Entries of the `KeyValueStore` in the environment. A change is a reading and a writing, in turn
 * within this process; of two processes the later one wins, and the other's token is asked for
 * again.
 */
export const overKeyValueStore: Effect.Effect<TokenStore, never, KeyValueStore.KeyValueStore> =
  Effect.gen(function* () {
    const store = yield* KeyValueStore.KeyValueStore
    const mutex = yield* Effect.makeSemaphore(1)

    const read = <A>(
      key: string,
      schema: Schema.Schema<A, string>
    ): Effect.Effect<Option.Option<A>> =>
      store.get(key).pipe(
        Effect.catchAllCause(() =>
          Effect.as(
            Effect.logDebug(`The store of tokens cannot be read: ${key}`),
            Option.none<string>()
          )
        ),
        Effect.map(Option.filter((text) => text.length <= maxEntry)),
        Effect.map(Option.flatMap(Schema.decodeOption(schema)))
      )
    const write = <A>(
      key: string,
      schema: Schema.Schema<A, string>,
      value: A
    ): Effect.Effect<void> =>
      Schema.encode(schema)(value).pipe(
        Effect.flatMap((text) => store.set(key, text)),
        // Neither the cause nor the entry, which holds the tokens (T13).
        Effect.catchAllCause(() => Effect.logDebug(`The store of tokens cannot be written: ${key}`))
      )
    const load = (issue: string) =>
      Effect.map(
        read(keyOf("tokens", issue), TokensEntry),
        (stored): StoredTokens => Option.getOrElse(stored, () => nothing)
      )

    return {
      load,
      update: (issue, change) =>
        Effect.flatMap(load(issue), (stored) => {
          const { refreshToken, tokens } = change(stored)
          return write(keyOf("tokens", issue), TokensEntry, {
            tokens: tokens.slice(0, maxTokens),
            refreshToken
          })
        }).pipe(mutex.withPermits(1)),
      loadChallenges: (origin) =>
        Effect.map(
          read(keyOf("challenges", origin), ChallengesEntry),
          Option.getOrElse((): ReadonlyArray<Challenge> => [])
        ),
      saveChallenges: (origin, challenges) =>
        write(keyOf("challenges", origin), ChallengesEntry, challenges)
    }
  })

/** A hash is a file name everywhere, and does not show the identity. */
const keyOf = (kind: "tokens" | "challenges", what: string): string =>
  `effect-oci-${kind}-${Digest.fromBytes(new TextEncoder().encode(what)).replace(/^sha256:/, "")}`
