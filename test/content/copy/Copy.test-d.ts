/** What copies can fail with, and what they need. */
import { expectTypeOf, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as Copy from "../../../src/content/Copy.js"
import type { Registries } from "../../../src/Registries.js"
import type { InputError, InvalidReference, RegistryError } from "../../../src/RegistryError.js"

class Audit extends Context.Tag("test/Audit")<Audit, { readonly write: Effect.Effect<void> }>() {}

declare const place: Copy.Place
declare const steps: ReadonlyArray<Copy.Step>

it("a copy by reference fails with its input, and with a failure that says where", () => {
  expectTypeOf(Copy.copy("a", "b")).toEqualTypeOf<
    Effect.Effect<Copy.Copied, Copy.CopyFailure | InputError, Registries>
  >()
  expectTypeOf(Copy.plan("a", "b")).toEqualTypeOf<
    Stream.Stream<Copy.Step, Copy.CopyFailure | InputError, Registries>
  >()
  expectTypeOf(Copy.run("a", "b", steps)).toEqualTypeOf<
    Effect.Effect<Copy.Copied, Copy.CopyFailure | Copy.InvalidPlan | InputError, Registries>
  >()
})

it("a copy by value needs nothing", () => {
  expectTypeOf(Copy.between(place, place)).toEqualTypeOf<
    Effect.Effect<Copy.Report, Copy.CopyFailure | InvalidReference>
  >()
  expectTypeOf(Copy.runBetween(place, place, steps)).toEqualTypeOf<
    Effect.Effect<Copy.Report, Copy.CopyFailure | Copy.InvalidPlan>
  >()
})

it("hooks bring their errors and services along", () => {
  const before = () =>
    Effect.zipRight(
      Effect.flatMap(Audit, ({ write }) => write),
      Effect.fail(1)
    )
  expectTypeOf(Copy.between(place, place, { before })).toEqualTypeOf<
    Effect.Effect<Copy.Report<number>, Copy.CopyFailure | InvalidReference | number, Audit>
  >()
})

it("what failed is an error of a registry", () => {
  type Own = Copy.CopyFailure["error"]
  expectTypeOf<Exclude<Own, RegistryError>>().toEqualTypeOf<Copy.SparseIndexRefused>()
  expectTypeOf<Exclude<RegistryError, Own>["_tag"]>().toEqualTypeOf<
    "AuthChallenge" | "InvalidReference" | "InvalidUrl"
  >()
})

it("the schema of steps is that of the type, and of JSON", () => {
  expectTypeOf<typeof Copy.Step.Type>().toEqualTypeOf<Copy.Step>()
  expectTypeOf<typeof Copy.Step.Encoded>().toEqualTypeOf<Copy.EncodedStep>()
  expectTypeOf<Copy.Step>().toExtend<Copy.EncodedStep>()
  expectTypeOf<Copy.EncodedStep["_tag"]>().toEqualTypeOf<Copy.Step["_tag"]>()
})
