/**
 * Performs the steps of a copy as they come: each as soon as those are done that it waits for,
 * large blobs so that small ones never wait behind them.
 */
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import * as BlobSource from "../../../BlobSource.js"
import * as InlineData from "../../../internal/InlineData.js"
import type { Registry } from "../../../Registry.js"
import { PreconditionFailed } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import type { CopyFailure, Failing } from "./CopyFailure.js"
import type { Event } from "./Events.js"
import * as Graph from "./Graph.js"
import * as MovedBlob from "./MovedBlob.js"
import type { Ending, Progress } from "./Progress.js"
import * as PutManifest from "./PutManifest.js"
import { childrenOf, nameOf, type Side } from "./Questions.js"
import * as Step from "./Step.js"
import * as Unfinished from "./Unfinished.js"
import type { Walk } from "./Walk.js"

/** What is called around each step that does something. */
export interface Hooks<E, R> {
  readonly before?: ((step: Step.Work) => Effect.Effect<unknown, E, R>) | undefined
  readonly after?: ((step: Step.Work) => Effect.Effect<unknown, E, R>) | undefined
}

/** How steps are performed: see `Copy.Options`. */
export interface Manner<E, R> extends Hooks<E, R> {
  readonly concurrency: number
  readonly nonDistributable: "skip" | "copy"
  readonly tagging: "always" | "unchanged" | "absent"
  readonly unfinished: Unfinished.Unfinished
  /** Whether blobs are asked for once more before they are transferred. */
  readonly asks: boolean
}

type Failure<E> = CopyFailure | E

/** From this size on, in bytes, a blob is a large one. */
const large = 1024 * 1024

/** An execution of steps, whose fibers last as long as its scope. */
export class Execution<E, R> {
  private readonly ends = new Map<string, Deferred.Deferred<void, Failure<E>>>()
  private readonly started = new Set<string>()
  /** The repositories that nothing is mounted from any more (CP21). */
  private readonly denied = new Set<RepositoryName>()
  private readonly all: Effect.Semaphore
  private readonly largeOnes: Effect.Semaphore
  /** Fails with the first failure of a step. */
  readonly failed = Deferred.unsafeMake<never, Failure<E>>(FiberId.none)

  constructor(
    private readonly from: Side,
    private readonly to: Side,
    private readonly manner: Manner<E, R>,
    private readonly progress: Progress,
    private readonly failing: Failing,
    private readonly tell: (event: Event) => Effect.Effect<void>,
    private readonly context: Context.Context<R>,
    private readonly scope: Scope.Scope
  ) {
    const { concurrency } = manner
    this.all = Effect.unsafeMakeSemaphore(concurrency)
    this.largeOnes = Effect.unsafeMakeSemaphore(Math.max(1, Math.floor((concurrency * 2) / 3)))
  }

  /** Begins a step that a walk has found. */
  readonly emit: Step.Emit = (step, manifest) => this.start(step, manifest)

  /** Begins a step, unless it was begun. */
  start(step: Step.Step, manifest?: Manifest.Manifest): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.started.has(step.id)) return Effect.void
      this.started.add(step.id)
      this.progress.found(step)
      return Effect.zipRight(
        this.tell({ _tag: "Found", step }),
        Step.isWork(step)
          ? this.run(
              Step.idsOf(step),
              this.due(step, this.told(step, this.perform(step, manifest)))
            )
          : Effect.zipRight(this.forget(step), this.end(step.id, Effect.void))
      )
    })
  }

  /** Notes that something will not come. */
  lost(): void {
    this.progress.failed()
  }

  /** Begins to see whether what was there when a plan was made is there still. */
  check(node: Step.StepContent, walk: Walk): Effect.Effect<void> {
    const checked = Effect.flatMap(walk.again(node), ({ after }) => this.await(after))
    return this.run([node.id], checked)
  }

  /** Takes steps for done that nobody will begin. */
  ignore(ids: Iterable<string>): Effect.Effect<void> {
    return Effect.forEach(ids, (id) => this.end(id, Effect.void), { discard: true })
  }

  /** Waits for the end of some steps. */
  await(ids: ReadonlyArray<string>): Effect.Effect<void, Failure<E>> {
    return Effect.forEach(ids, (id) => Deferred.await(this.endOf(id)), {
      concurrency: "unbounded",
      discard: true
    })
  }

  private run(ids: ReadonlyArray<string>, effect: Effect.Effect<void, Failure<E>>) {
    return effect.pipe(
      Effect.tapError((error) => Deferred.fail(this.failed, error)),
      Effect.exit,
      Effect.flatMap((exit) => Effect.forEach(ids, (id) => this.end(id, exit), { discard: true })),
      Effect.forkIn(this.scope),
      Effect.asVoid
    )
  }

  private end(id: string, exit: Effect.Effect<void, Failure<E>>): Effect.Effect<void> {
    return Effect.suspend(() => Deferred.complete(this.endOf(id), exit))
  }

  private endOf(id: string): Deferred.Deferred<void, Failure<E>> {
    const known = this.ends.get(id)
    if (known !== undefined) return known
    const end = Deferred.unsafeMake<void, Failure<E>>(FiberId.none)
    this.ends.set(id, end)
    return end
  }

  /** Waits for what comes before a step. Where that has failed, the step has, too. */
  private due(step: Step.Work, told: Effect.Effect<void, Failure<E>>) {
    if (step.kind === "blob") return told
    const waited = Effect.tapError(this.await(step.after), (failure) => this.lose(step, failure))
    return Effect.zipRight(waited, told)
  }

  private lose(step: Step.Work, failure: unknown): Effect.Effect<void> {
    this.progress.failed(step)
    return this.tell({ _tag: "Failed", step, failure })
  }

  /** Tells how a step begins and ends. */
  private told<E2>(step: Step.Work, performed: Effect.Effect<Ending, E2>): Effect.Effect<void, E2> {
    return this.tell({ _tag: "Started", step }).pipe(
      Effect.zipRight(performed),
      Effect.tapError((failure) => this.lose(step, failure)),
      Effect.flatMap((how) => this.tell({ _tag: "Ended", step, how }))
    )
  }

  private perform(
    step: Step.Work,
    manifest: Manifest.Manifest | undefined
  ): Effect.Effect<Ending, Failure<E>> {
    return Effect.gen(this, function* () {
      yield* this.hook(this.manner.before, step)
      const how = yield* step._tag === "Mount"
        ? this.mount(step)
        : step._tag === "Transfer"
          ? this.transfer(step, this.manner.asks)
          : Effect.as(this.put(step, manifest), "moved" as const)
      this.progress.done(step, how)
      yield* this.hook(this.manner.after, step)
      return how
    })
  }

  private hook(hook: Hooks<E, R>["before"], step: Step.Work): Effect.Effect<void, E> {
    return hook === undefined
      ? Effect.void
      : Effect.provide(Effect.asVoid(hook(step)), this.context)
  }

  // ---------------------------------------------------------------------------
  // Blobs
  // ---------------------------------------------------------------------------

  private mount(step: Extract<Step.Work, { readonly _tag: "Mount" }>) {
    return Effect.gen(this, function* () {
      const { digest } = step.descriptor
      if (!this.denied.has(step.from)) {
        const mounting = this.to.registry.mountBlob(this.to.repository, digest, step.from)
        const isMounted = yield* this.failing(
          "target",
          nameOf(digest)
        )(Effect.catchTag(mounting, "Denied", () => Effect.succeed(false)))
        if (isMounted) return "mounted"
        this.denied.add(step.from)
      }
      return yield* this.transfer(step, this.manner.asks)
    })
  }

  /** Transfers a blob, of which the target is asked first or not. */
  private transfer(step: Step.BlobStep, asks: boolean) {
    const { descriptor } = step
    const { registry, repository } = this.to
    const transferred = Effect.gen(this, function* () {
      const inline = yield* InlineData.held(descriptor)
      const moved = new MovedBlob.MovedBlob(
        inline._tag === "Some"
          ? { ...BlobSource.fromBytes(inline.value), digest: descriptor.digest }
          : BlobSource.fromRegistry(this.from.registry, this.from.repository, descriptor),
        (offset, from) => this.progress.reached(step, offset, from)
      )
      const ifPresent = asks ? "skip" : "upload"
      yield* Unfinished.during(this.manner.unfinished, this.to, descriptor, (resumable) =>
        registry.putBlob(repository, moved.source, { ifPresent, resumable })
      ).pipe(
        Effect.mapError(MovedBlob.sided),
        Effect.catchAll(({ error, side }) =>
          this.failing(side, nameOf(descriptor.digest))(Effect.fail(error))
        )
      )
      return moved.isOpened() || !asks ? ("moved" as const) : ("present" as const)
    })
    const inLane = this.all.withPermits(1)(transferred)
    return descriptor.size >= large ? this.largeOnes.withPermits(1)(inLane) : inLane
  }

  /** Ends what an earlier copy left of a blob that is there. */
  private forget(step: Step.Step): Effect.Effect<void> {
    return step._tag === "Have" && step.kind === "blob"
      ? Unfinished.cancel(this.manner.unfinished, this.to, step.descriptor)
      : Effect.void
  }

  // ---------------------------------------------------------------------------
  // Manifests
  // ---------------------------------------------------------------------------

  private put(step: Step.PutStep, given: Manifest.Manifest | undefined) {
    return Effect.gen(this, function* () {
      const manifest = given ?? (yield* this.manifestOf(step))
      const { omitted = [] } = step
      const name = nameOf(step._tag === "Tag" ? step.tag : step.descriptor.digest)
      yield* this.insist(manifest, () => this.putting(step, manifest), name, omitted)
    })
  }

  /** Puts a manifest, and uploads what the target misses of it. */
  private insist(
    manifest: Manifest.Manifest,
    put: () => ReturnType<Registry.Service["putManifest"]>,
    name: string,
    omitted: ReadonlyArray<Descriptor> = []
  ): Effect.Effect<unknown, CopyFailure> {
    return PutManifest.put(
      Effect.suspend(put),
      Effect.suspend(() => this.partsOf(manifest, omitted)),
      omitted.map(Graph.nameOf),
      (part) => this.uploadAgain(part),
      this.failing("target", name)
    )
  }

  /** The parts of a manifest that the target is to have. */
  private partsOf(
    manifest: Manifest.Manifest,
    omitted: ReadonlyArray<Descriptor>
  ): Effect.Effect<ReadonlyArray<Graph.Node>, CopyFailure> {
    const left = new Set(omitted.map(({ digest }) => digest))
    const skips = this.manner.nonDistributable === "skip"
    return Effect.map(childrenOf(this.from, this.failing, manifest), ({ kept }) =>
      kept.filter(
        ({ descriptor: { digest, mediaType } }) =>
          !left.has(digest) && !(skips && MediaType.isNonDistributable(mediaType))
      )
    )
  }

  private putting(step: Step.PutStep, manifest: Manifest.Manifest) {
    const { registry, repository } = this.to
    if (step._tag === "Put") return registry.putManifest(repository, manifest)
    const { tag, was } = step
    const { tagging } = this.manner
    if (tagging === "always") return registry.putManifest(repository, manifest, { tags: [tag] })
    const is = tagging === "absent" ? "absent" : was
    return is === was
      ? registry.putManifest(repository, manifest, { onlyIf: { tag, is } })
      : Effect.fail(
          new PreconditionFailed({ repository, tag, expected: is, actual: was, reason: "Changed" })
        )
  }

  /** Uploads what the target says to have and misses. */
  private uploadAgain(part: Graph.Node): Effect.Effect<void, CopyFailure> {
    const { descriptor, kind } = part
    const { registry, repository } = this.to
    const { digest } = descriptor
    const content = { id: Graph.idOf(part), descriptor }
    if (kind === "blob") {
      const step: Step.BlobStep = { ...content, _tag: "Transfer", kind }
      return this.further(step, this.transfer(step, false))
    }
    const put = Effect.flatMap(this.read(this.from, "source", digest), (manifest) =>
      this.insist(manifest, () => registry.putManifest(repository, manifest), nameOf(digest))
    )
    return this.further(
      { ...content, _tag: "Put", kind, after: [] },
      Effect.as(put, "moved" as const)
    )
  }

  /** Tells of something that is done besides what was found: it counts as found once more. */
  private further(step: Step.Work, performed: Effect.Effect<Ending, CopyFailure>) {
    return Effect.suspend(() => {
      this.progress.found(step)
      const counted = Effect.tap(performed, (how) =>
        Effect.sync(() => this.progress.done(step, how))
      )
      return Effect.zipRight(this.tell({ _tag: "Found", step }), this.told(step, counted))
    })
  }

  /** Reads what a step puts: a tag is put for what the target has already, or brings it. */
  private manifestOf(step: Step.PutStep): Effect.Effect<Manifest.Manifest, CopyFailure> {
    const { descriptor, document } = step
    const { digest, mediaType } = descriptor
    if (document !== undefined)
      return this.failing(
        "source",
        nameOf(digest)
      )(Manifest.fromBytes(new TextEncoder().encode(document), { mediaType, digest }))
    return step._tag === "Tag" && !step.puts
      ? this.read(this.to, "target", digest)
      : this.read(this.from, "source", digest)
  }

  private read({ registry, repository }: Side, side: CopyFailure["side"], digest: Digest) {
    return this.failing(side, nameOf(digest))(registry.getManifest(repository, digest))
  }
}
