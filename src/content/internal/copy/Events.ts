/** What a copy tells of itself while it goes. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Ending, Summary } from "./Progress.js"
import type { Step, Work } from "./Step.js"

/**
 * What happens in a copy.
 *
 * - `Found`: something is known that is to be copied, or is not.
 * - `Started`: a step that does something begins.
 * - `Bytes`: `offset` bytes of a blob have come, `rate` bytes per second in the mean of the last
 *   seconds. Sent at most five times a second for each blob.
 * - `Ended`: it is done. `how` says whether the content was moved or mounted, or turned out to be
 *   there.
 * - `Failed`: it failed. What waits for it fails with the same, and has an event of its own.
 * - `Progress`: how far the whole is. Sent five times a second while it goes, and at the end.
 *
 * @since 0.1.0
 * @category models
 */
export type Event =
  | { readonly _tag: "Found"; readonly step: Step }
  | { readonly _tag: "Started"; readonly step: Work }
  | {
      readonly _tag: "Bytes"
      readonly step: Work
      readonly offset: number
      readonly rate: number
    }
  | { readonly _tag: "Ended"; readonly step: Work; readonly how: Ending }
  | { readonly _tag: "Failed"; readonly step: Work; readonly failure: unknown }
  | { readonly _tag: "Progress"; readonly summary: Summary }

/**
 * The function that is called for each event of the copies of a fiber and its children. There is
 * none by default. `observe` provides one, and `events` one that makes a stream of them.
 *
 * @since 0.1.0
 * @category services
 */
export class Observer extends Context.Reference<Observer>()("effect-oci/Copy/Observer", {
  defaultValue: (): ((event: Event) => Effect.Effect<void>) | undefined => undefined
}) {}
