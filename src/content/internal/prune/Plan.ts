/** What a prune is going to do, as a value. */
import type { Digest } from "../../../spec/Digest.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"
import type { Missing } from "./Graph.js"
import type { Cost } from "./Reads.js"

/**
 * Why a manifest is deleted: all its tags are chosen by rules, of which these are the numbers from
 * 0; it has no tag; or the manifest is deleted that it is part of, or attached to.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason =
  | { readonly _tag: "Rules"; readonly rules: ReadonlyArray<number> }
  | { readonly _tag: "Untagged" }
  | { readonly _tag: "Member"; readonly of: Digest }
  | { readonly _tag: "Attachment"; readonly of: Digest }

/**
 * A manifest that is going to be deleted, with the tags on it. `heldBy` are those that it is part
 * of, or attached to, and that go before: where one of them stays, it stays as well.
 *
 * @since 0.1.0
 * @category models
 */
export interface Deletion {
  readonly digest: Digest
  readonly mediaType: string
  readonly tags: ReadonlyArray<Tag>
  readonly reason: Reason
  readonly heldBy: ReadonlyArray<Digest>
}

/**
 * A tag that is going to be removed from a manifest that stays. `why` says why it stays.
 *
 * @since 0.1.0
 * @category models
 */
export interface Untagging {
  readonly tag: Tag
  readonly digest: Digest
  readonly why: string
}

/**
 * What a rule was found to choose.
 *
 * @since 0.1.0
 * @category models
 */
export interface RuleResult {
  /** The rule as text. */
  readonly rule: string
  /** The tags that fit. */
  readonly matched: ReadonlyArray<Tag>
  /** Those that are going to be removed. */
  readonly removed: ReadonlyArray<Tag>
  /** Those that are left since their age is not known. */
  readonly ofUnknownAge: ReadonlyArray<Tag>
}

/**
 * A referrer, or a tag named after a manifest, whose manifest is not there. It is left alone.
 *
 * @since 0.1.0
 * @category models
 */
export interface Orphan {
  readonly digest: Digest
  readonly tag?: Tag | undefined
  readonly subject: string
}

/**
 * What a prune is going to do: a plain value, without functions. `Prune.format` prints it, and
 * `Prune.execute` does it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Plan {
  readonly _tag: "Plan"
  /** The host of the reference that it was made for. */
  readonly host?: string | undefined
  readonly repository: RepositoryName
  /** When it was made, by the clock that ages count from: that of this program. */
  readonly madeAt: string
  readonly rules: ReadonlyArray<RuleResult>
  /** Tags that a rule chose and that are protected. */
  readonly protected: ReadonlyArray<Tag>
  /** In the order in which it is going to happen. */
  readonly deletions: ReadonlyArray<Deletion>
  readonly untaggings: ReadonlyArray<Untagging>
  /** Manifests that indexes have and the repository lacks. */
  readonly missing: ReadonlyArray<Missing>
  readonly orphans: ReadonlyArray<Orphan>
  /** What may be a mistake, such as a rule that fits nothing. */
  readonly warnings: ReadonlyArray<string>
  /** All tags, with what they stand on. */
  readonly tags: Readonly<Record<string, Digest>>
  /** All manifests, with when they were put, where the registry lists them. */
  readonly manifests?: Readonly<Record<string, string>> | undefined
  /** What it has cost to read. */
  readonly cost: Cost
  readonly concurrency: number
  readonly rate?: number | undefined
}
