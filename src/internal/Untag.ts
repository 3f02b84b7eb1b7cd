/** How a tag is removed and its manifest left, on registries that delete no tags as well. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as BlobSource from "../BlobSource.js"
import type { Registry } from "../Registry.js"
import { Denied, ManifestUnknown, type Unsupported } from "../RegistryError.js"
import * as Manifest from "../spec/Manifest.js"
import * as MediaType from "../spec/MediaType.js"
import type { RepositoryName, Tag } from "../spec/Reference.js"
import * as RefusalMessage from "./RefusalMessage.js"

/** Removes a tag: see `Registries.untagFrom`. */
export const untag = (
  registry: Registry.Service,
  repository: RepositoryName,
  tag: Tag,
  throwaway: boolean
) =>
  throwaway
    ? Effect.catchTag(registry.deleteTag(repository, tag), "Unsupported", (unsupported) =>
        replaced(registry, repository, tag, unsupported)
      )
    : registry.deleteTag(repository, tag)

/**
 * Moves the tag to a manifest that nothing else has, and deletes that. Where it cannot be deleted
 * (Docker Hub, GHCR), and where the caller is interrupted, the tag is put back (CP01).
 */
const replaced = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: RepositoryName,
  tag: Tag,
  unsupported: Unsupported
) {
  const before = yield* registry.headManifest(repository, tag)
  if (Option.isNone(before)) return yield* new ManifestUnknown({ repository, reference: tag })
  const { digest } = before.value
  const manifest = yield* registry.getManifest(repository, digest)
  const throwaway = yield* putThrowaway(registry, repository, manifest)
  const is = throwaway.descriptor.digest
  yield* Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const put = registry.putManifest(repository, throwaway, { onlyIf: { tag, is: digest } })
      const deleted = restore(registry.deleteManifest(repository, is))
      const exit = yield* Effect.exit(
        Effect.zipRight(
          put,
          Effect.catchTags(deleted, {
            Unsupported: () => unsupported,
            Denied: (denied) => refused(tag, denied)
          })
        )
      )
      if (Exit.isSuccess(exit)) return
      const back = yield* registry.putManifest(repository, manifest, { onlyIf: { tag, is } }).pipe(
        // Nobody has moved it yet, or another one has, or it is gone.
        Effect.catchIf(
          (error) => error._tag === "PreconditionFailed" && error.reason === "Changed",
          () => Effect.void
        ),
        Effect.exit
      )
      if (Exit.isSuccess(back)) return yield* exit
      yield* Effect.logError(
        `The tag ${tag} of ${repository} could not be put back: it is ${is}, which nobody needs, ` +
          `instead of ${digest}. Put ${digest} under the tag again`
      )
      return yield* Effect.failCause(Cause.sequential(exit.cause, back.cause))
    })
  )
  yield* Effect.ignore(
    Effect.forEach(Manifest.references(throwaway), ({ digest }) =>
      registry.deleteBlob(repository, digest)
    )
  )
})

/** Docker Hub refuses this of any tag (quirks §4), which looks as if a login would do. */
const refused = (tag: Tag, denied: Denied): Denied => {
  const { credential, scopes = [] } = denied
  return new Denied({
    ...denied,
    problem:
      `The tag ${tag} is not removed: the registry removes no tag alone, and ` +
      `${RefusalMessage.ofDenied(scopes, credential)}. The tag can also be removed at the web ` +
      "site of the registry, or by an API of its own"
  })
}

/** Puts what a manifest needs that no other has, of the kind of another, and returns it. */
const putThrowaway = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: RepositoryName,
  { descriptor }: Manifest.Manifest
) {
  const isDocker =
    MediaType.equals(descriptor.mediaType, MediaType.dockerManifest) ||
    MediaType.equals(descriptor.mediaType, MediaType.dockerManifestList)
  const created = new Date(yield* Clock.currentTimeMillis).toISOString()
  const unique = `${yield* Random.nextInt}-${yield* Random.nextInt}`
  const document = {
    created,
    architecture: "unknown",
    os: "unknown",
    config: { Labels: { "effect-oci.throwaway": unique } },
    rootfs: { type: "layers", diff_ids: [] }
  }
  const config = yield* registry.putBlob(
    repository,
    BlobSource.fromBytes(new TextEncoder().encode(JSON.stringify(document))),
    { mediaType: isDocker ? MediaType.dockerImageConfig : MediaType.imageConfig }
  )
  const mediaType = isDocker ? MediaType.dockerManifest : MediaType.imageManifest
  return Manifest.image({ config, layers: [], mediaType })
})
