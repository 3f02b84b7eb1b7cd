/** The Scopes of registries that somebody opened for others, such as those of `Registries`. */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { Registry } from "../Registry.js"

const scopes = new WeakMap<Registry.Service, Scope.Scope>()

/** Notes how long a registry is open. */
export const note = (registry: Registry.Service, scope: Scope.Scope): Effect.Effect<void> =>
  Effect.sync(() => {
    scopes.set(registry, scope)
  })

/** Runs an effect before a registry is closed, where it is known when that is. */
export const atEnd = (
  registry: Registry.Service,
  effect: Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const scope = scopes.get(registry)
    return scope === undefined ? Effect.void : Scope.addFinalizer(scope, effect)
  })
