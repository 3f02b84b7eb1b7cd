/**
 * A registry that offers nothing, as the base of registries that are made of others: what such a
 * registry does not name itself, it refuses. Whatever operations `Registry` gets in the future,
 * none reaches the registry behind unless somebody decided so.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Registry } from "../../Registry.js"
import { RegistryFailure, Unsupported } from "../../RegistryError.js"

const refused = (operation: keyof Registry.Service) =>
  Effect.suspend(() => Effect.fail(new Unsupported({ operation })))

/** The same for operations that every registry has: the code says it where the type does not. */
const failed = (operation: keyof Registry.Service) =>
  Effect.suspend(() =>
    Effect.fail(
      new RegistryFailure({
        errors: [{ code: "UNSUPPORTED", message: `${operation} is not offered` }]
      })
    )
  )

/** Each operation fails with `Unsupported`, or with the code `UNSUPPORTED`. */
export const unsupported: Registry.Service = {
  ping: refused("ping"),
  getManifest: () => failed("getManifest"),
  headManifest: () => failed("headManifest"),
  putManifest: () => failed("putManifest"),
  deleteTag: () => refused("deleteTag"),
  deleteManifest: () => refused("deleteManifest"),
  tags: () => Stream.fromEffect(failed("tags")),
  repositories: () => Stream.fromEffect(refused("repositories")),
  referrers: () => Stream.fromEffect(failed("referrers")),
  headBlob: () => failed("headBlob"),
  getBlob: () => Stream.fromEffect(failed("getBlob")),
  getBlobRange: () => Stream.fromEffect(refused("getBlobRange")),
  putBlob: () => refused("putBlob"),
  deleteBlob: () => refused("deleteBlob"),
  startUpload: () => refused("startUpload"),
  resumeUpload: () => failed("resumeUpload"),
  mountBlob: () => failed("mountBlob")
}
