import * as Effect from "effect/Effect"
import * as Artifact from "effect-oci/Artifact"
import { httpStatus, isTransient, type RegistryError, toPublic } from "effect-oci/RegistryError"

/** The compiler knows each of these tags, and what is left when they are handled. */
export const describe = (reference: string) =>
  Artifact.pull(reference).pipe(
    Effect.map(({ manifest }) => `found ${manifest.descriptor.digest}`),
    Effect.catchTags({
      ManifestUnknown: () => Effect.succeed("no such artifact"),
      NameUnknown: () => Effect.succeed("no such repository"),
      Unauthorized: (error) => Effect.succeed(`log in first: ${error.message}`)
    }),
    Effect.catchIf(isTransient, () => Effect.succeed("try again later"))
  )

/** What a service that uses a registry responds to its own client with. */
export const responseTo = (error: RegistryError) => ({
  status: httpStatus(error) ?? 500,
  body: toPublic(error)
})
