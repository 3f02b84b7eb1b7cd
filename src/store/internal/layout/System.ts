/** What a layout needs of the platform that `FileSystem` does not have. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { StorageFailure } from "../../../RegistryError.js"

/**
 * A process, so that others on the same disk can tell whether it still runs: its number, when it
 * started (numbers are used again), and where the number means something: which boot of which
 * machine, and which pid namespace. Containers on one machine differ in the last alone. All but the
 * number are compared as they are.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProcessIdentity {
  readonly pid: number
  readonly started: string
  readonly boot: string
  readonly namespace: string
}

/**
 * What a layout needs of the platform beyond `FileSystem` and `Path`. `NodeLayout` of
 * `effect-oci/node` supplies it on Node.
 *
 * @since 0.1.0
 * @category services
 */
export class System extends Context.Tag("effect-oci/LayoutRegistry/System")<
  System,
  System.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace System {
  /**
   * - `syncFolder` returns when the names in a folder are on the disk, as `fsync` of the folder
   *   does. Where a platform cannot do that, it does nothing, and a loss of power may undo the last
   *   changes.
   * - `clone` makes a new file of the content of another one without reading it, as a copy on write
   *   (a reflink). Fails where the file system cannot, and the content is copied then.
   * - `process` identifies this process. Where it is absent, other processes wait until the
   *   heartbeat of one that was killed is missing for ten seconds, instead of not at all.
   * - `isRunning` tells whether a process of the same boot and namespace as this one still runs.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly syncFolder: (path: string) => Effect.Effect<void, StorageFailure>
    readonly clone: (from: string, to: string) => Effect.Effect<void, StorageFailure>
    readonly process?: ProcessIdentity | undefined
    readonly isRunning: (process: ProcessIdentity) => Effect.Effect<boolean>
  }
}
