import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ComposedRegistry from "effect-oci/ComposedRegistry"
import * as Reference from "effect-oci/Reference"
import { Registries } from "effect-oci/Registries"
import { Registry } from "effect-oci/Registry"

const company = Reference.unsafeParseRepositoryName("company")

/**
 * The registry of a team: what it has itself, and what it lacks from the company's repositories
 * (`tool` is `ghcr.io/company/tool`), which it cannot change.
 */
export const layer = Layer.effect(
  Registry,
  Effect.gen(function* () {
    const registries = yield* Registries
    const own = yield* registries.get("registry.lan:5000")
    const shared = yield* registries.get("ghcr.io")
    return ComposedRegistry.union(
      own,
      ComposedRegistry.readOnly(ComposedRegistry.prefixed(shared, company))
    )
  })
)
