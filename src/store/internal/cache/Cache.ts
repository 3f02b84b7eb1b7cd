/** What the operations of a cache share. */
import type * as Scope from "effect/Scope"
import type { Registry } from "../../../Registry.js"
import type { Digest } from "../../../spec/Digest.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import type { Content } from "./Content.js"
import type { Fill } from "./Fill.js"
import type { Tags } from "./Tags.js"
import type { Windows } from "./Window.js"

/** The state of a cache, and its options with their defaults. Times are in milliseconds. */
export interface Cache {
  readonly upstream: Registry.Service
  readonly store: Registry.Service
  readonly scope: Scope.Scope
  readonly content: Content
  readonly fills: Map<Digest, Fill>
  readonly tags: Tags
  readonly windows: Windows
  /** Says that the record of a repository of the store is to be written anew. */
  readonly changed: (home: RepositoryName) => void
  readonly tagTimeToLive: number
  readonly absenceTimeToLive: number
  readonly staleTags: boolean
}
