/**
 * Copies of images, artifacts and whole repositories between any two registries: planned before
 * anything is done, with everything that belongs to them, and with what is there left alone.
 * `copy`, `plan` and `run` take references, and the registries from `Registries`; `between`,
 * `planBetween` and `runBetween` take the registries as well.
 *
 * @since 0.1.0
 */
import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Stream from "effect/Stream"
import * as EventStream from "../internal/EventStream.js"
import { withDefaults } from "../internal/Options.js"
import * as References from "../internal/References.js"
import * as Registries from "../Registries.js"
import type { InputError, InvalidReference } from "../RegistryError.js"
import type * as Platform from "../spec/Platform.js"
import * as Reference from "../spec/Reference.js"
import { Budget } from "./internal/copy/Budget.js"
import type { CopyFailure } from "./internal/copy/CopyFailure.js"
import type { Report } from "./internal/copy/Copying.js"
import * as Copying from "./internal/copy/Copying.js"
import { type Event, Observer } from "./internal/copy/Events.js"
import type { InvalidPlan } from "./internal/copy/Plan.js"
import type { Place } from "./internal/copy/Roots.js"
import * as Roots from "./internal/copy/Roots.js"
import type { Step, Work } from "./internal/copy/Step.js"
import * as Steps from "./internal/copy/Step.js"

export {
  /**
   * @since 0.1.0
   * @category errors
   */
  CopyFailure,
  /**
   * @since 0.1.0
   * @category errors
   */
  SparseIndexRefused
} from "./internal/copy/CopyFailure.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Outcome,
  /**
   * @since 0.1.0
   * @category models
   */
  Report
} from "./internal/copy/Copying.js"
export {
  /**
   * @since 0.1.0
   * @category models
   */
  type Event,
  /**
   * @since 0.1.0
   * @category services
   */
  Observer
} from "./internal/copy/Events.js"
export {
  /**
   * @since 0.1.0
   * @category errors
   */
  InvalidPlan
} from "./internal/copy/Plan.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Amount,
  /**
   * @since 0.1.0
   * @category models
   */
  Ending,
  /**
   * @since 0.1.0
   * @category models
   */
  Summary
} from "./internal/copy/Progress.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Place
} from "./internal/copy/Roots.js"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  EncodedStep,
  /**
   * @since 0.1.0
   * @category models
   */
  StepContent,
  /**
   * @since 0.1.0
   * @category models
   */
  Work
} from "./internal/copy/Step.js"
export {
  /**
   * @since 0.1.0
   * @category schemas
   */
  Step
} from "./internal/copy/Step.js"

/**
 * Says what is copied, and how.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E = never, R = never> {
  /**
   * The tags of the source to copy, each under its own name, or `"all"` of them but for those under
   * which clients list referrers. Neither reference has a tag or digest then. Without it, what the
   * source leads to is copied: its digest where it has one, else its tag, else `latest`.
   */
  readonly tags?: "all" | ReadonlyArray<string> | undefined
  /** Tags of the target in addition, where one manifest is copied. */
  readonly additionalTags?: ReadonlyArray<string> | undefined
  /**
   * What the target is asked for before anything is moved.
   *
   * - `tag`: where the tag stands on the same digest, nothing else is asked, unless `referrers` are
   *   copied, which can be newer.
   * - `manifests`, the default: each manifest of an index is, since the index may be there without
   *   them. What is in a manifest that is there counts as there.
   * - `blobs`: every blob is, too.
   */
  readonly level?: "tag" | "manifests" | "blobs" | undefined
  /**
   * The platforms to copy of an index, and of the indexes in it; all by default. What is named of a
   * platform has to be the same, so that `linux/arm` has all variants. The attestations of what is
   * copied go along, and so does what does not say which platform it is for. Fails with
   * `MediaTypeMismatch`, which has the choices, where an index has nothing for one of them.
   */
  readonly platforms?: ReadonlyArray<Platform.Platform> | undefined
  /**
   * What becomes of an index of which a part is copied. It keeps its bytes and its digest with
   * `"sparse"`, the default, and lists what is not there, which some registries refuse:
   * `SparseIndexRefused`. With `"rewrite"` it has the entries that are copied alone, and another
   * digest.
   */
  readonly index?: "sparse" | "rewrite" | undefined
  /**
   * What becomes of an index with entries that neither side has: `"fail"`, the default, fails with
   * `ManifestUnknown`, and `"skip"` copies the index without them, as `index` says.
   */
  readonly missing?: "fail" | "skip" | undefined
  /**
   * What becomes of layers that are not to be distributed ([image-spec, Non-Distributable
   * Layers](https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers)):
   * `"skip"`, the default, leaves them out, and `"copy"` copies them as any other. Their type
   * decides.
   */
  readonly nonDistributable?: "skip" | "copy" | undefined
  /**
   * Whether what is attached goes along, and to that in turn: signatures, bills of materials and
   * other referrers ([Listing
   * Referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers))
   * of every manifest that is copied, and what is under cosign's tags. It is put after its subject,
   * and before the tag. Not by default, and the report says so. A referrer that is there is put
   * again if the target does not list it; the lists of both sides are merged.
   */
  readonly referrers?: boolean | ReferrersOptions | undefined
  /**
   * What becomes of cosign's tags (`sha256-….sig`, `.att` and `.sbom`), which hold all of what is
   * attached of their kind. With `"keep"`, the default, they are put where the target has none, and
   * one that is another stays; with `"replace"` it is replaced. With `"skip"` they are not copied
   * along with their subjects: those among `tags` are, as with `"keep"`.
   */
  readonly cosignTags?: "keep" | "replace" | "skip" | undefined
  /**
   * When a tag is put that is something else at the target.
   *
   * - `always`, the default.
   * - `unchanged`: if it is still what it was when it was asked for. Else fails with
   *   `PreconditionFailed`, as `Registry.putManifest` does with `onlyIf`.
   * - `absent`: if there is no such tag. Else fails with `PreconditionFailed`, before anything is
   *   moved where it is there already.
   */
  readonly tagging?: "always" | "unchanged" | "absent" | undefined
  /**
   * Whether both sides are one registry, so that blobs are mounted instead of transferred. By
   * default they are if both are the same object, as those of `Registries` are for the same host.
   */
  readonly sameRegistry?: boolean | undefined
  /** Repositories of the target that may have blobs to mount: each is asked. */
  readonly mountFrom?: ReadonlyArray<Reference.RepositoryName> | undefined
  /**
   * How many blobs are transferred at a time, 6 by default. Of those of a mebibyte and more, two
   * thirds as many, so that small ones never wait behind them. The clients bound the requests to
   * each host (`EndpointOptions.concurrency`).
   */
  readonly concurrency?: number | undefined
  /**
   * How many requests are left alone of those that the source says to allow still, as Docker Hub
   * does with `ratelimit-remaining`. A manifest that would take more fails with `TooManyRequests`,
   * whose `remaining` says how many are left, and `retryAfter` after how many milliseconds more are
   * allowed, where the source says that. A source that says nothing has no limit.
   */
  readonly leave?: number | undefined
  /**
   * What becomes of the upload of a blob of 16 MiB or more that is interrupted, or fails for a
   * reason that may pass.
   *
   * - `"resume"`, the default: its session stays open at the registry, and the next copy of the
   *   blob to the same repository of the same `Registry` goes on with it: what has come is neither
   *   read nor sent again. The layer of `Registries` cancels what is left when it is closed; a
   *   registry that is given as a value is left with it until it clears its uploads.
   * - a store of `@effect/platform`: the same for other processes, one at a time, such as with
   *   `KeyValueStore.layerFileSystem`. They read again what has come, for its hash, and send what
   *   is missing. Sessions stay open as long as nobody goes on with them. Places are told apart by
   *   the names of their references, or without any by that of the repository alone. The states are
   *   those of `Transfer.UploadState`, whose URLs may be signed: keep the store secret.
   * - `"cancel"`: the session is cancelled, and the next copy starts over.
   *
   * Registries that cannot go on with an upload start over in any case.
   */
  readonly unfinished?: "resume" | "cancel" | KeyValueStore.KeyValueStore | undefined
  /**
   * Whether other manifests are copied when one has failed, `false` by default. The report has the
   * failures then, and is not `ok`.
   */
  readonly continueOnError?: boolean | undefined
  /** Runs before each step that does something. Its failure is that of the step. */
  readonly before?: ((step: Work) => Effect.Effect<unknown, E, R>) | undefined
  /** Runs after each such step. */
  readonly after?: ((step: Work) => Effect.Effect<unknown, E, R>) | undefined
}

/**
 * Says what of that which is attached is copied.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReferrersOptions {
  /**
   * The types of artifacts to copy of what is attached to the manifests themselves, any by default.
   * What is under cosign's tags has none, and is left out where types are given. What is attached
   * to attachments goes along with them, whatever its type.
   */
  readonly artifactTypes?: ReadonlyArray<string> | undefined
  /** How deep to go: 1 for what is attached to the manifests alone. All by default. */
  readonly depth?: number | undefined
}

const settings = <E, R>(options: Options<E, R>): Copying.Settings<E, R> => {
  const { leave: _, referrers, ...others } = options
  const all = withDefaults<Copying.Settings<E, R>>(Copying.defaults, others)
  return {
    ...all,
    referrers: referrers === true ? {} : referrers || undefined,
    concurrency: Math.max(1, all.concurrency)
  }
}

/** Both sides of a copy, whose requests to the source are counted where some are to be left. */
const sides = <E, R>(
  from: Place,
  to: Place,
  { leave }: Options<E, R>
): readonly [from: Roots.Located, to: Roots.Located] => {
  const source = Roots.located(from)
  if (leave === undefined) return [source, Roots.located(to)]
  const registry = new Budget(leave).guard(source.registry)
  const isSame = from.registry === to.registry
  return [
    { ...source, registry },
    { ...Roots.located(to), ...(isSame && { registry }) }
  ]
}

/**
 * A report, and the reference to what was copied at the target: by digest where that is one
 * manifest, else that of the repository.
 *
 * @since 0.1.0
 * @category models
 */
export interface Copied<out E = never> extends Report<E> {
  readonly reference: Reference.Reference
}

// -----------------------------------------------------------------------------
// By reference
// -----------------------------------------------------------------------------

/**
 * Copies what a reference leads to, an image, an index with all of its platforms, or an artifact,
 * to where another one does; with `tags`, several or all of a repository. A target without tag and
 * digest takes the tag of the source.
 *
 * The target is asked what it has, and what it lacks is moved: blobs, then the manifests that refer
 * to them by digest, and the tag last, so that it never stands on what is not whole. Bytes stay as
 * they are. Content that several manifests share moves once, and within one registry it is mounted.
 * When the copy is interrupted or fails, what has come is there, and the same copy does what is
 * left, also within a large blob (`Options.unfinished`).
 *
 * `name:tag@digest` is read by its digest and put under its tag. What has no tag by then is
 * `untagged` in the report.
 *
 * Fails with `InvalidReference` or `InvalidUrl` before anything is sent, with `CopyFailure`, and
 * with the errors of the hooks.
 *
 * @example
 * ```ts
 * import * as Copy from "effect-oci/Copy"
 * import * as Reference from "effect-oci/Reference"
 * import * as Effect from "effect/Effect"
 *
 * // registry.lan:5000/mirror/alpine@sha256:…
 * const mirrored = Effect.map(
 *   Copy.copy("alpine:3.22", "registry.lan:5000/mirror/alpine"),
 *   ({ reference }) => Reference.format(reference)
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const copy = <E = never, R = never>(
  from: string | Reference.Reference,
  to: string | Reference.Reference,
  options?: Options<E, R>
): Effect.Effect<Copied<E>, CopyFailure | InputError | E, Registries.Registries | R> =>
  References.run("Copy.copy", from, (source) =>
    Effect.gen(function* () {
      const [opened, target] = [yield* Registries.open(source), yield* Registries.open(to)]
      return copied(target.reference, yield* between(opened, target, options))
    })
  )

/**
 * Emits the steps that `copy` would perform, as they are found: nothing is changed. Tags are pinned
 * to the digests that they have. Collected, the steps are what `run` takes.
 *
 * Fails as `copy` does. With `continueOnError` the first failure comes last, after the steps for
 * all that has not failed.
 *
 * @example
 * ```ts
 * import * as Copy from "effect-oci/Copy"
 * import * as Console from "effect/Console"
 * import * as Stream from "effect/Stream"
 *
 * const dryRun = Copy.plan("ghcr.io/owner/app", "registry.lan:5000/app", { tags: "all" }).pipe(
 *   Stream.runForEach((step) => Console.log(Copy.format(step)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const plan = <E, R>(
  from: string | Reference.Reference,
  to: string | Reference.Reference,
  options?: Options<E, R>
): Stream.Stream<Step, CopyFailure | InputError, Registries.Registries> =>
  References.stream("Copy.plan", from, (source) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const [opened, target] = [yield* Registries.open(source), yield* Registries.open(to)]
        return planBetween(opened, target, options)
      })
    )
  )

/**
 * Performs the steps of a plan between the same two repositories. What the plan says to be there is
 * asked for again before it is left alone, and blobs are before they are transferred, so that a
 * plan can be run much later, and twice. Manifests are those of the plan, whatever has become of
 * the tags of the source. `Step` is the schema by which steps are stored; a step that the plan does
 * not have counts as done for those that come after it. The report has an outcome for each tag that
 * was to be put, and for each other manifest that no step waits for.
 *
 * Fails as `copy` does, and with `InvalidPlan`, before anything is sent, where steps wait for each
 * other or contradict.
 *
 * @example
 * ```ts
 * import * as Copy from "effect-oci/Copy"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const [from, to] = ["ghcr.io/owner/app:1.0.0", "registry.lan:5000/app"]
 *
 * const reviewed = Effect.gen(function*() {
 *   const steps = yield* Stream.runCollect(Copy.plan(from, to))
 *   return yield* Copy.run(from, to, steps)
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const run = <E = never, R = never>(
  from: string | Reference.Reference,
  to: string | Reference.Reference,
  steps: Iterable<Step>,
  options?: Options<E, R>
): Effect.Effect<
  Copied<E>,
  CopyFailure | InvalidPlan | InputError | E,
  Registries.Registries | R
> =>
  References.run("Copy.run", from, (source) =>
    Effect.gen(function* () {
      const [opened, target] = [yield* Registries.open(source), yield* Registries.open(to)]
      return copied(target.reference, yield* runBetween(opened, target, steps, options))
    })
  )

const copied = <E>(target: Reference.Reference, report: Report<E>): Copied<E> => {
  const digests = new Set(report.outcomes.map(({ digest }) => digest))
  const [digest] = digests
  return {
    ...report,
    reference:
      digest !== undefined && digests.size === 1
        ? Reference.withDigest(target, digest)
        : Reference.make({ host: target.host, repository: target.repository })
  }
}

// -----------------------------------------------------------------------------
// Progress
// -----------------------------------------------------------------------------

/**
 * Runs an effect and calls `onEvent` for each event of its copies. A copy waits for it, so a slow
 * one slows it down. An observer around this one is not called. `Transfer.observe` sees the bytes
 * of each blob as they are read and written.
 *
 * @example
 * ```ts
 * import * as Copy from "effect-oci/Copy"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 *
 * // A progress bar of 40 characters.
 * const copied = Copy.copy("alpine:3.22", "registry.lan:5000/alpine").pipe(
 *   Copy.observe((event) =>
 *     event._tag === "Progress"
 *       ? Console.log("#".repeat(Math.floor(40 * event.summary.fraction)))
 *       : Effect.void
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const observe: {
  (
    onEvent: (event: Event) => Effect.Effect<unknown>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    onEvent: (event: Event) => Effect.Effect<unknown>
  ): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    onEvent: (event: Event) => Effect.Effect<unknown>
  ): Effect.Effect<A, E, R> =>
    Effect.provideService(self, Observer, (event) => Effect.asVoid(onEvent(event)))
)

/**
 * Runs an effect and streams the events of its copies, and then its result. The effect is
 * interrupted when the stream is. Fails with the error of the effect.
 *
 * @example
 * ```ts
 * import * as Copy from "effect-oci/Copy"
 * import * as Console from "effect/Console"
 * import * as Stream from "effect/Stream"
 *
 * const log = Copy.events(Copy.copy("alpine:3.22", "registry.lan:5000/alpine")).pipe(
 *   Stream.runForEach((event) => Console.log(event._tag))
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const events = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Stream.Stream<Event | { readonly _tag: "Result"; readonly value: A }, E, R> =>
  EventStream.make((onEvent) => observe(self, onEvent))

// -----------------------------------------------------------------------------
// By value
// -----------------------------------------------------------------------------

/**
 * Copies between two places, as `copy` does.
 *
 * Fails with `InvalidReference` for options that are not valid, with `CopyFailure`, and with the
 * errors of the hooks.
 *
 * @example
 * ```ts
 * import * as Copy from "effect-oci/Copy"
 * import { NodeLayout } from "effect-oci/node"
 * import * as Reference from "effect-oci/Reference"
 * import * as Registries from "effect-oci/Registries"
 * import * as Effect from "effect/Effect"
 *
 * // As `skopeo copy docker://alpine:3.22 oci:images/alpine:3.22` does.
 * const download = Effect.gen(function*() {
 *   const layout = yield* NodeLayout.make({ path: "images" })
 *   const alpine = Reference.unsafeParseRepositoryName("alpine")
 *   const source = yield* Registries.open("alpine:3.22")
 *   return yield* Copy.between(source, { registry: layout, repository: alpine })
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const between = <E = never, R = never>(
  from: Place,
  to: Place,
  options: Options<E, R> = {}
): Effect.Effect<Report<E>, CopyFailure | InvalidReference | E, R> =>
  Copying.copy(...sides(from, to, options), settings(options))

/**
 * Emits the steps of a copy between two places, as `plan` does.
 *
 * Fails as `between` does.
 *
 * @since 0.1.0
 * @category operations
 */
export const planBetween = <E, R>(
  from: Place,
  to: Place,
  options: Options<E, R> = {}
): Stream.Stream<Step, CopyFailure | InvalidReference> =>
  Copying.plan(...sides(from, to, options), settings(options))

/**
 * Performs the steps of a plan between two places, as `run` does.
 *
 * Fails as `between` does.
 *
 * @since 0.1.0
 * @category operations
 */
export const runBetween = <E = never, R = never>(
  from: Place,
  to: Place,
  steps: Iterable<Step>,
  options: Options<E, R> = {}
): Effect.Effect<Report<E>, CopyFailure | InvalidPlan | E, R> =>
  Copying.run(...sides(from, to, options), steps, settings(options))

/**
 * Returns a step as a line of text, such as `transfer blob sha256:…, 29.5 MB`.
 *
 * @since 0.1.0
 * @category getters
 */
export const format: (step: Step) => string = Steps.format
