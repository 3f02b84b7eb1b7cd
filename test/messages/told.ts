/**
 * What people are told of their mistakes: what happened, where, and what to do. Each mistake is
 * made for real; what differs from run to run has a name in its place.
 */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A mistake, the message that it fails with, and what that should be. */
export type Row = readonly [
  mistake: string,
  Effect.Effect<string, unknown, Scope.Scope>,
  says: string
]

/** The message that a mistake fails with. `places` are what differs, by the names for it. */
export const told = (
  mistake: Effect.Effect<unknown, { readonly message: string }>,
  places: Readonly<Record<string, string>> = {}
): Effect.Effect<string> =>
  Effect.match(mistake, {
    onSuccess: () => "nothing: it went well",
    onFailure: ({ message }) =>
      Object.entries(places).reduce((text, [name, place]) => text.replaceAll(place, name), message)
  })

/** One test for each row. */
export const tellsOf = (rows: ReadonlyArray<Row>): void =>
  it.live.each(rows)("%s", ([, made, says]) =>
    Effect.gen(function* () {
      expect(yield* made).toBe(says)
    }).pipe(Effect.scoped)
  )
