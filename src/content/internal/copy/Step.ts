/** The steps of a copy: what is to be done about each piece of content, as values. */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Descriptor, type Encoded } from "../../../spec/Descriptor.js"
import { Digest } from "../../../spec/Digest.js"
import * as SchemaIssue from "../../../spec/internal/SchemaIssue.js"
import type * as Manifest from "../../../spec/Manifest.js"
import { RepositoryName, Tag } from "../../../spec/Reference.js"
import * as CosignTag from "../CosignTag.js"
import { idOf, nameOf } from "./Graph.js"

/**
 * One step of a copy. `id` names it among the steps of a plan, and `after` the steps that come
 * before it: content before the manifest that refers to it, a subject before its referrers, and a
 * tag after all of them.
 *
 * - `Have`: the target has the content already.
 * - `Skip`: it is left out: a layer that is not to be distributed (`NonDistributable`), content
 *   that the source does not have either (`Missing`), or a tag of cosign's that is another one at
 *   the target (`Differs`).
 * - `Mount`: the blob is mounted from another repository of the target, or transferred where it is
 *   not.
 * - `Transfer`: the blob is transferred.
 * - `Put`: the manifest is put under its digest. `omitted` are the entries of an index that are not
 *   copied. `document` is the text of an index that was rewritten, which the source does not have.
 * - `Tag`: the manifest is put under a tag, which is `was` now. `puts` says that it comes to the
 *   target in this way, and `attachments` how many attachments come before it, where they were
 *   asked for.
 *
 * @since 0.1.0
 * @category models
 */
export type Step =
  | (StepContent & { readonly _tag: "Have" })
  | (StepContent & {
      readonly _tag: "Skip"
      readonly reason: "NonDistributable" | "Missing" | "Differs"
      readonly tag?: Tag | undefined
    })
  | (StepContent & {
      readonly _tag: "Mount"
      readonly kind: "blob"
      readonly from: RepositoryName
    })
  | (StepContent & { readonly _tag: "Transfer"; readonly kind: "blob" })
  | (StepContent & {
      readonly _tag: "Put"
      readonly kind: "manifest"
      readonly after: ReadonlyArray<string>
      readonly omitted?: ReadonlyArray<Descriptor> | undefined
      readonly document?: string | undefined
    })
  | (StepContent & {
      readonly _tag: "Tag"
      readonly kind: "manifest"
      readonly after: ReadonlyArray<string>
      readonly omitted?: ReadonlyArray<Descriptor> | undefined
      readonly document?: string | undefined
      readonly tag: Tag
      readonly was: Digest | "absent"
      readonly puts: boolean
      readonly attachments?: number | undefined
    })

/**
 * The content that a step is about, and the name of the step.
 *
 * @since 0.1.0
 * @category models
 */
export interface StepContent {
  readonly id: string
  readonly kind: "manifest" | "blob"
  readonly descriptor: Descriptor
}

/**
 * A step that does something: what hooks are called for.
 *
 * @since 0.1.0
 * @category models
 */
export type Work = Exclude<Step, { readonly _tag: "Have" | "Skip" }>

/**
 * A step as it stands in a JSON document.
 *
 * @since 0.1.0
 * @category models
 */
export type EncodedStep = { readonly id: string; readonly descriptor: Encoded } & (
  | { readonly _tag: "Have"; readonly kind: "manifest" | "blob" }
  | {
      readonly _tag: "Skip"
      readonly kind: "manifest" | "blob"
      readonly reason: "NonDistributable" | "Missing" | "Differs"
      readonly tag?: string | undefined
    }
  | { readonly _tag: "Mount"; readonly kind: "blob"; readonly from: string }
  | { readonly _tag: "Transfer"; readonly kind: "blob" }
  | ({
      readonly kind: "manifest"
      readonly after: ReadonlyArray<string>
      readonly omitted?: ReadonlyArray<Encoded> | undefined
      readonly document?: string | undefined
    } & (
      | { readonly _tag: "Put" }
      | {
          readonly _tag: "Tag"
          readonly tag: string
          readonly was: string
          readonly puts: boolean
          readonly attachments?: number | undefined
        }
    ))
)

const content = { id: Schema.String, descriptor: Descriptor }
const anything = { ...content, kind: Schema.Literal("manifest", "blob") }
const blob = { ...content, kind: Schema.Literal("blob") }
const manifest = {
  ...content,
  kind: Schema.Literal("manifest"),
  after: Schema.Array(Schema.String),
  omitted: Schema.optional(Schema.Array(Descriptor)),
  document: Schema.optional(Schema.String)
}

const union = Schema.Union(
  Schema.TaggedStruct("Have", anything),
  Schema.TaggedStruct("Skip", {
    ...anything,
    reason: Schema.Literal("NonDistributable", "Missing", "Differs"),
    tag: Schema.optional(Tag)
  }),
  Schema.TaggedStruct("Mount", { ...blob, from: RepositoryName }),
  Schema.TaggedStruct("Transfer", blob),
  Schema.TaggedStruct("Put", manifest),
  Schema.TaggedStruct("Tag", {
    ...manifest,
    tag: Tag,
    was: Schema.Union(Digest, Schema.Literal("absent")),
    puts: Schema.Boolean,
    attachments: Schema.optional(Schema.NonNegativeInt)
  })
)

/**
 * A step as a JSON object, so that a plan can be written, a step a line, and be run later or
 * elsewhere. What is read is the same step: descriptors have their `data` and what is not known of
 * them, and the `document` of an index that was rewritten has every byte. `run` checks what only
 * the whole plan shows.
 *
 * @example
 * ```ts
 * import * as Copy from "effect-oci/Copy"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 *
 * const Line = Schema.parseJson(Copy.Step)
 *
 * const write = Copy.plan("ghcr.io/owner/app:1.0.0", "registry.lan:5000/app").pipe(
 *   Stream.mapEffect(Schema.encode(Line))
 * )
 *
 * const read = (text: string) =>
 *   Stream.make(text).pipe(Stream.splitLines, Stream.mapEffect(Schema.decode(Line)))
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const Step: Schema.Schema<Step, EncodedStep> = union.annotations({
  identifier: "CopyStep",
  // The stock message has the whole value, and fails for one that is nested deeply (T21).
  message: (issue) => ({ message: SchemaIssue.first(issue).message, override: true })
})

/** The step that puts a manifest by its digest. */
export type Put = Extract<Step, { readonly _tag: "Put" }>

/** The steps that put a manifest. */
export type PutStep = Extract<Step, { readonly _tag: "Put" | "Tag" }>

/** The steps of blobs that are not there. */
export type BlobStep = Extract<Step, { readonly _tag: "Mount" | "Transfer" }>

/** Takes a step, with the manifest that it puts where that is at hand. */
export type Emit = (step: Step, manifest?: Manifest.Manifest) => Effect.Effect<void>

/** Whether something is to be done. */
export const isWork = (step: Step): step is Work => step._tag !== "Have" && step._tag !== "Skip"

/** Returns a step as a line of text, such as `transfer  sha256:… 29.5 MB`. */
export const format = (step: Step): string => {
  const { descriptor, kind } = step
  const what = `${kind} ${descriptor.digest}`
  const size = bytes(descriptor.size)
  switch (step._tag) {
    case "Have":
      return `have ${what}`
    case "Skip":
      return `skip ${step.tag ?? what}: ${reasons[step.reason]}`
    case "Mount":
      return `mount ${what} from ${step.from}, ${size}`
    case "Transfer":
      return `transfer ${what}, ${size}`
    case "Put":
      return `put ${what}, ${size}${omitting(step)}`
    case "Tag": {
      const was = step.was === "absent" ? "new" : `was ${step.was}`
      const tagged = `tag ${step.tag} = ${descriptor.digest}, ${was}${omitting(step)}`
      const attached = step.attachments ?? "not asked for"
      return CosignTag.is(step.tag) ? tagged : `${tagged}, attachments: ${attached}`
    }
  }
}

const omitting = ({ omitted = [] }: PutStep): string =>
  omitted.length === 0 ? "" : `, without ${omitted.map(nameOf).join(", ")}`

const reasons = {
  NonDistributable: "it is not to be distributed",
  Missing: "the source does not have it",
  Differs: "the target has another one"
}

/** Returns a number of bytes for people, in units of 1000. */
export const bytes = (size: number): string => {
  const at = Math.min(Math.floor(Math.log10(Math.max(size, 1)) / 3), units.length - 1)
  const number = size / 1000 ** at
  return `${at === 0 || number >= 100 ? Math.round(number) : number.toFixed(1)} ${units[at]}`
}

const units = ["B", "kB", "MB", "GB", "TB"]

/** Names the step for a tag. */
export const tagId = (tag: Tag): string => `tag ${tag}`

/** Returns the name that a step has in every plan. */
export const ownId = (step: Step): string => (step._tag === "Tag" ? tagId(step.tag) : idOf(step))

/** The ids that the end of a step ends: that of a tag which brings its manifest ends both. */
export const idsOf = (step: Step): ReadonlyArray<string> =>
  step._tag === "Tag" && step.puts ? [step.id, idOf(step)] : [step.id]
