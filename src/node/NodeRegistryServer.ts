/**
 * A registry server on a port of this machine.
 *
 * @since 0.1.0
 */
import { statfs } from "node:fs/promises"
import type { ServeError } from "@effect/platform/HttpServerError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Registry } from "../Registry.js"
import { StorageFailure } from "../RegistryError.js"
import type { RegistryServer } from "../server/RegistryServer.js"
import type { Options } from "./internal/ServedRegistry.js"

export type {
  /**
   * How to serve, and where.
   *
   * @since 0.1.0
   * @category models
   */
  Options
} from "./internal/ServedRegistry.js"

/**
 * Serves the `Registry` in the environment on a port of this machine. Node's own limit for a whole
 * request, which ends large pushes, is off; idle connections are kept for 65 seconds.
 *
 * Fails with `ServeError` when the port cannot be listened on.
 *
 * @example
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import * as MemoryRegistry from "effect-oci/MemoryRegistry"
 * import { NodeRegistryServer } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
 *
 * NodeRegistryServer.layer({ port: 5000 }).pipe(
 *   Layer.provide(MemoryRegistry.layer()),
 *   Layer.launch,
 *   NodeRuntime.runMain
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<RegistryServer, ServeError, Registry> =>
  Layer.unwrapEffect(
    Effect.map(
      // Programs that do not serve load nothing of it.
      Effect.promise(() => import("./internal/ServedRegistry.js")),
      ({ layer }) => layer(options)
    )
  )

/**
 * Returns how many bytes may be written to the disk of a folder so that `keep` bytes stay free, for
 * `RegistryServer.Limits.space`. Fails with `StorageFailure` where the folder is not there.
 *
 * @since 0.1.0
 * @category getters
 */
export const spaceOf = (folder: string, keep: number): Effect.Effect<number, StorageFailure> =>
  Effect.map(
    Effect.tryPromise({
      try: () => statfs(folder),
      catch: (cause) => new StorageFailure({ path: folder, cause })
    }),
    ({ bavail, bsize }) => bavail * bsize - keep
  )
