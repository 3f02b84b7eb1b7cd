/** The form of this suite's tables. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Registry } from "../../../src/Registry.js"
import type { Setting, World } from "./mock.js"

/** One difference between a registry and the specification, and what the client makes of it. */
export interface Row extends Partial<Setting> {
  /** Where the collection of quirks has it: `§<section> <registry>` or `rule <number>`. */
  readonly at: ReadonlyArray<string>
  /** What the registry does. */
  readonly does: string
  /** What the client is asked for. */
  readonly run: (
    registry: Registry.Service,
    world: World
  ) => Effect.Effect<unknown, unknown, Scope.Scope>
  /** The value that it yields, compared as by `toMatchObject` where it is an object, */
  readonly gives?: unknown
  /** or the failure. */
  readonly fails?: { readonly _tag: string; readonly [fact: string]: unknown }
  /** All that went over the wire, at every origin, in order. */
  readonly wire?: ReadonlyArray<string>
  /** What the callbacks among the options are told. */
  readonly hears?: ReadonlyArray<unknown>
  /** How many upload sessions the registry is left with: none, if it does not say. */
  readonly leaves?: number
}
