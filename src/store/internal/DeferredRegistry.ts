/** A registry that is known only when it is used. */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as PullStream from "../../internal/PullStream.js"
import { make, type Registry } from "../../Registry.js"
import type { CommonError } from "../../RegistryError.js"

/**
 * Makes a registry whose every operation runs `choose` and then goes to the registry that it
 * returns. Fails as `choose` does, and as that registry does.
 */
export const deferred = (
  choose: Effect.Effect<Registry.Service, CommonError>
): Registry.Service => {
  const effect = <A, E, R>(
    use: (registry: Registry.Service) => Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | CommonError, R> => Effect.flatMap(choose, use)
  const stream = <A, E, R>(
    use: (registry: Registry.Service) => Stream.Stream<A, E, R>
  ): Stream.Stream<A, E | CommonError, R> => PullStream.unwrap(Effect.map(choose, use))
  return make({
    ping: effect(({ ping }) => ping),
    getManifest: (...of) => effect((registry) => registry.getManifest(...of)),
    getChangedManifest: (...of) => effect((registry) => registry.getChangedManifest(...of)),
    headManifest: (...of) => effect((registry) => registry.headManifest(...of)),
    putManifest: (...of) => effect((registry) => registry.putManifest(...of)),
    deleteTag: (...of) => effect((registry) => registry.deleteTag(...of)),
    deleteManifest: (...of) => effect((registry) => registry.deleteManifest(...of)),
    tags: (...of) => stream((registry) => registry.tags(...of)),
    repositories: (...of) => stream((registry) => registry.repositories(...of)),
    referrers: (...of) => stream((registry) => registry.referrers(...of)),
    manifests: (...of) => stream((registry) => registry.manifests(...of)),
    headBlob: (...of) => effect((registry) => registry.headBlob(...of)),
    getBlob: (...of) => stream((registry) => registry.getBlob(...of)),
    getBlobBytes: (...of) => effect((registry) => registry.getBlobBytes(...of)),
    getBlobRange: (...of) => stream((registry) => registry.getBlobRange(...of)),
    putBlob: (...of) => effect((registry) => registry.putBlob(...of)),
    deleteBlob: (...of) => effect((registry) => registry.deleteBlob(...of)),
    startUpload: (...of) => effect((registry) => registry.startUpload(...of)),
    resumeUpload: (...of) => effect((registry) => registry.resumeUpload(...of)),
    mountBlob: (...of) => effect((registry) => registry.mountBlob(...of))
  })
}
