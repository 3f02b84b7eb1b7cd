import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { RegistryFailure } from "../../src/RegistryError.js"

let turned = false

it("a test", () => {
  setImmediate(() => {
    turned = true
  })
})

it("begins in a turn of its own, so that vitest's processes can talk between tests", () => {
  expect(turned).toBe(true)
})

it.effect("an assertion that fails on an error which passed a span says so", () =>
  Effect.gen(function* () {
    const fails = Effect.fail(new RegistryFailure({ status: 400 }))
    const error = yield* Effect.flip(Effect.withSpan(fails, "failing"))
    for (const compare of [
      () => expect(error).toMatchObject({ _tag: "Denied" }),
      () => expect(error).toEqual({ _tag: "Denied" }),
      () => expect([error]).toEqual([])
    ])
      expect(compare).toThrow(/^expected /)
  })
)
