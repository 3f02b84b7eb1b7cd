/** What a walk knows of what it has visited. */
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import type * as Manifest from "../../../spec/Manifest.js"
import type * as Step from "./Step.js"

/** A node that was visited. Whoever needs a manifest first has it put: see `Walk.claim`. */
export interface Visited {
  /** What is, or will be, at the target. */
  readonly descriptor: Descriptor
  /** The steps that whatever refers to it waits for. */
  readonly after: ReadonlyArray<string>
  readonly isMissing: boolean
  /** The manifest and those in it, as far as they are as the source has them. */
  readonly manifests: ReadonlyArray<Descriptor>
  put: { readonly step: Step.Put; readonly manifest: Manifest.Manifest } | undefined
}

/** What something has come to: the manifest at the target, and the steps that it waits for. */
export interface Walked {
  readonly digest: Digest
  readonly after: ReadonlyArray<string>
}
