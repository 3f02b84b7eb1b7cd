/** What syncs need, and what they can fail with: everything else is in their reports. */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { describe, expectTypeOf, it } from "vitest"
import * as Sync from "../../src/content/Sync.js"
import type { Registries } from "../../src/Registries.js"

declare const rules: Sync.Rules

describe("Sync", () => {
  it("fails for its rules alone", () => {
    expectTypeOf(Sync.run(rules)).toEqualTypeOf<
      Effect.Effect<Sync.Report, Sync.InvalidRules, Registries>
    >()
    expectTypeOf(Sync.plan(rules)).toEqualTypeOf<
      Stream.Stream<Sync.Planned, Sync.InvalidRules, Registries>
    >()
    expectTypeOf(Sync.parse("")).toEqualTypeOf<Effect.Effect<Sync.Rules, Sync.InvalidRules>>()
  })
})
