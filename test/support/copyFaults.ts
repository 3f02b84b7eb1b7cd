/**
 * One copy between two servers, by a seed: behind proxies that break exchanges, on one side or
 * both, and interrupted now and then. What is wrong with what has become of it is told.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Copy from "../../src/content/Copy.js"
import type { Registry } from "../../src/Registry.js"
import type * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { clientOf } from "./fake/Client.js"
import { type Fault, type FaultProxy, faultProxy } from "./faultProxy.js"
import { freshRepository, items } from "./fixtures.js"
import { graphs, manifestsOf } from "./generatedGraphs.js"
import { blob, lacking } from "./graphs.js"
import { serving } from "./server.js"

/** A server over a registry in memory, clients of it with a proxy before it and without, and it. */
const side = Effect.gen(function* () {
  const memory = yield* MemoryRegistry.make()
  const url = yield* serving(memory)
  const proxy = yield* faultProxy(url)
  const sessions = new Set<string>()
  const broken = yield* clientOf(proxy.url, {
    timeouts: { response: Duration.millis(500) },
    retry: { attempts: 2, base: Duration.millis(1), maxDelay: Duration.millis(20) },
    transformClient: HttpClient.tap(({ headers: { location } }) =>
      Effect.sync(() => {
        if (location?.includes("/uploads/")) sessions.add(new URL(location, url).pathname)
      })
    )
  })
  return { memory, url, proxy, sessions, broken, direct: yield* clientOf(url) }
})

type Side = Effect.Effect.Success<typeof side>

export interface World {
  readonly from: Side
  readonly to: Side
}

export const world = Effect.all({ from: side, to: side })

/** What a run did, and everything that was wrong with it. */
export interface Outcome {
  readonly description: string
  readonly ending: string
  readonly problems: ReadonlyArray<string>
}

const pick = <A>(all: readonly [A, ...ReadonlyArray<A>]): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, all.length), (n) => all[n] ?? all[0])

/** The sizes of the blobs: small ones, which go in one request, and others. */
const sizes = [0, 1, 1000, 65_537, 300_000, 1_500_000] as const

const fault = Effect.gen(function* () {
  const kind = yield* pick(["cut", "reset", "stall", "flip", "status"] as const)
  if (kind === "status") {
    const late = yield* Random.nextBoolean
    const again = yield* Random.nextBoolean
    const status = yield* pick([429, 500, 503])
    return { kind, status, late, ...(again && { retryAfter: 1 }) } satisfies Fault
  }
  const anywhere = yield* Random.nextIntBetween(0, yield* pick([200, 2000, 300_000, 1_500_000]))
  // Before the first byte, all that was done is done, and nobody knows.
  const at = yield* pick([kind === "flip" ? anywhere : -1, 0, anywhere, anywhere])
  return { kind, up: yield* Random.nextBoolean, at } satisfies Fault
})

/** The faults of some exchanges; those between, and after them, go through. */
const faults = Effect.gen(function* () {
  const all: Array<Fault | undefined> = []
  // More of them than are tried again after come one after the other now and then.
  const gap = yield* pick([1, 6, 15])
  const count = yield* Random.nextIntBetween(1, 10)
  for (let n = 0; n < count; n++) {
    for (let m = yield* Random.nextIntBetween(0, gap); m > 0; m--) all.push(undefined)
    all.push(yield* fault)
  }
  return all
})

/** Fills a repository with a graph, some of it tagged. Returns its manifests. */
const filled = (registry: Registry.Service, repository: Reference.RepositoryName, seed: number) =>
  Effect.gen(function* () {
    const blobs: Array<Descriptor.Descriptor> = []
    for (let n = 0; n < 5; n++) {
      const size = yield* pick(sizes)
      const first = (seed * 5 + n) >>> 0
      const bytes = new Uint8Array(size).map((_, at) => at ^ (first >>> (at % 24)))
      blobs.push(yield* blob(registry, MediaType.layerTar, bytes, repository))
    }
    const [nodes = []] = FastCheck.sample(graphs, { numRuns: 1, seed })
    const manifests = manifestsOf(nodes, blobs)
    const tags: Array<Reference.Tag> = []
    for (const [n, manifest] of manifests.entries()) {
      const isTagged = n === manifests.length - 1 || nodes[n]?.isTagged === true
      const tag = Reference.unsafeParseTag(`v${n}`)
      if (isTagged) tags.push(tag)
      yield* registry.putManifest(repository, manifest, { tags: isTagged ? [tag] : [] })
    }
    return { manifests, tags }
  })

const options = Effect.gen(function* () {
  return {
    level: yield* pick(["tag", "manifests", "blobs"] as const),
    referrers: yield* Random.nextBoolean,
    continueOnError: yield* Random.nextBoolean,
    concurrency: yield* pick([1, 6]),
    tags: "all"
  } as const
})

type Settings = Effect.Effect.Success<typeof options>

/** What has ended in a copy, by the name of its step. */
const copying = (from: Copy.Place, to: Copy.Place, settings: Settings) => {
  const ended: Array<Copy.Step> = []
  const copy = Copy.between(from, to, settings).pipe(
    Copy.observe((event) =>
      Effect.sync(() => {
        if (event._tag === "Ended") ended.push(event.step)
      })
    )
  )
  return { ended, copy }
}

export const run = (world: World, seed: number): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { from, to } = world
    const repository = yield* freshRepository
    const { manifests, tags } = yield* filled(from.memory, repository, seed)
    const broken = yield* pick(["source", "target", "both"] as const)
    const settings = yield* options
    const isInterrupted = (yield* Random.nextIntBetween(0, 3)) === 0
    const after = yield* Random.nextIntBetween(0, 150)
    const struck: Array<FaultProxy> = []
    if (broken !== "target") struck.push(from.proxy)
    if (broken !== "source") struck.push(to.proxy)
    for (const { sessions } of [from, to]) sessions.clear()
    for (const proxy of [from.proxy, to.proxy]) proxy.log.length = 0
    for (const proxy of struck) proxy.faults = [...(yield* faults)]

    const source = { registry: broken === "target" ? from.direct : from.broken, repository }
    const target = { registry: broken === "source" ? to.direct : to.broken, repository }
    const { copy, ended } = copying(source, target, settings)
    const fiber = yield* Effect.fork(copy)
    if (isInterrupted) yield* Effect.zipRight(Effect.sleep(after), Fiber.interruptFork(fiber))
    const exit = yield* Fiber.join(
      yield* Effect.fork(Effect.timeoutOption(Fiber.await(fiber), "30 seconds"))
    )
    for (const proxy of struck) proxy.faults = []
    yield* Effect.repeat(Effect.sleep("5 millis"), {
      times: 2000,
      until: () => from.proxy.active() + to.proxy.active() === 0
    })

    const problems: Array<string> = []
    if (from.proxy.active() + to.proxy.active() > 0) problems.push("exchanges left under way")
    const ending = endingOf(exit, broken, repository, isInterrupted, problems)
    yield* checkSessions(to, repository, problems)
    yield* checkEnded(from, to, repository, ended, problems)
    const report = Option.isSome(exit) && Exit.isSuccess(exit.value) ? exit.value.value : undefined
    yield* checkTags(world, repository, report, problems)
    yield* checkAgain(world, repository, settings, { manifests, tags }, problems)
    return {
      description: [
        `seed ${seed}: ${broken} broken${isInterrupted ? `, interrupted after ${after} ms` : ""}`,
        JSON.stringify(settings),
        ...[from.proxy, to.proxy].flatMap(({ log }, n) =>
          log.map(({ fault, line, status }) =>
            [n === 0 ? "source" : "target", line.slice(0, 100), status ?? "-", fault]
              .map((part) => (typeof part === "object" ? JSON.stringify(part) : part))
              .join(" ")
          )
        )
      ].join("\n  "),
      ending,
      problems
    }
  }).pipe(Effect.orDie, Effect.withRandom(Random.make(seed)))

type Exited = Option.Option<
  Exit.Exit<Copy.Report, Effect.Effect.Error<ReturnType<typeof Copy.between>>>
>

/** How it has ended: in time, and with nothing but an error that says where, if with one. */
const endingOf = (
  exit: Exited,
  broken: "source" | "target" | "both",
  repository: string,
  isInterrupted: boolean,
  problems: Array<string>
): string => {
  if (Option.isNone(exit)) {
    problems.push("it hangs")
    return "Hangs"
  }
  const failures: Array<unknown> = []
  let ending = "Copied"
  if (Exit.isSuccess(exit.value)) {
    const { ok, outcomes } = exit.value.value
    failures.push(...outcomes.flatMap(({ failure }) => (failure === undefined ? [] : [failure])))
    if (ok !== (failures.length === 0)) problems.push(`ok is ${ok}`)
    if (!ok) ending = "Partly copied"
  } else if (Cause.isInterruptedOnly(exit.value.cause) && isInterrupted) ending = "Interrupted"
  else {
    failures.push(Option.getOrElse(Cause.failureOption(exit.value.cause), () => exit.value))
    ending = "Failed"
  }
  for (const failure of failures) {
    if (!(failure instanceof Copy.CopyFailure)) problems.push(`no typed error: ${failure}`)
    else if (broken !== "both" && failure.side !== broken)
      problems.push(`the ${failure.side} is said to have failed: ${failure.message}`)
    else if (!failure.reference.startsWith(repository))
      problems.push(`it does not say where: ${failure.message}`)
  }
  return ending
}

/** No session is left but those whose only news was lost, or came too late. */
const checkSessions = (to: Side, repository: string, problems: Array<string>) =>
  Effect.gen(function* () {
    const open = (yield* to.memory.uploads).filter((upload) => upload.repository === repository)
    const opened = to.proxy.log.filter(
      ({ fault, line, status }) =>
        line.startsWith("POST") && (fault !== undefined || status === undefined || status === 202)
    )
    if (open.length > opened.length - to.sessions.size)
      problems.push(`${open.length} sessions are left`)
    for (const path of to.sessions) {
      const { status } = yield* Effect.promise(() => fetch(to.url + path))
      if (status !== 404) problems.push(`a session is left (${status}): ${path}`)
    }
  })

/** What is said to be done is done, and with the right bytes. */
const checkEnded = (
  from: Side,
  to: Side,
  repository: Reference.RepositoryName,
  ended: ReadonlyArray<Copy.Step>,
  problems: Array<string>
) =>
  Effect.forEach(ended, ({ descriptor: { digest }, kind }) =>
    Effect.gen(function* () {
      const read = ({ memory }: Side): Effect.Effect<Uint8Array, { readonly _tag: string }> =>
        kind === "blob"
          ? memory.getBlobBytes(repository, digest)
          : Effect.map(memory.getManifest(repository, digest), ({ bytes }) => bytes)
      const there = yield* Effect.either(read(to))
      if (there._tag === "Left") problems.push(`${kind} ${digest} is not there`)
      else if (Buffer.compare(there.right, yield* read(from)) !== 0)
        problems.push(`${kind} ${digest} is another one`)
    })
  )

/** Tags stand on what is whole, and on what they should where the report says so. */
const checkTags = (
  { from, to }: World,
  repository: Reference.RepositoryName,
  report: Copy.Report | undefined,
  problems: Array<string>
) =>
  Effect.gen(function* () {
    const places = { from: repository, to: repository }
    const tags = yield* Effect.orElseSucceed(items(to.memory.tags(repository)), () => [])
    for (const tag of tags) {
      const { descriptor } = yield* to.memory.getManifest(repository, tag)
      const known = yield* from.memory.headManifest(repository, descriptor.digest)
      // A manifest that was changed on its way to a tag has arrived as another one.
      const isFlipped = to.proxy.log.some(
        ({ fault, line }) =>
          fault?.kind === "flip" && fault.up && line.startsWith("PUT") && line.endsWith(`/${tag}`)
      )
      if (Option.isNone(known)) {
        if (!isFlipped) problems.push(`${tag} is something that the source does not have`)
        continue
      }
      const lost = yield* lacking(from.memory, to.memory, descriptor.digest, places)
      if (lost.length > 0) problems.push(`${tag} lacks ${lost.join(", ")}`)
    }
    for (const { digest, source, status } of report?.outcomes ?? []) {
      if (status === "failed" || Digest.isDigest(source)) continue
      const { descriptor } = yield* from.memory.getManifest(repository, source)
      const there = yield* to.memory.headManifest(repository, source)
      if (!Option.exists(there, (found) => found.digest === descriptor.digest))
        problems.push(`${source} is not what the report says`)
      if (digest !== descriptor.digest) problems.push(`${source} is said to be ${digest}`)
    }
  })

/** The same copy, with nothing broken, does what is left and nothing else. */
const checkAgain = (
  { from, to }: World,
  repository: Reference.RepositoryName,
  settings: Settings,
  graph: {
    readonly manifests: ReadonlyArray<Manifest.Manifest>
    readonly tags: ReadonlyArray<Reference.Tag>
  },
  problems: Array<string>
) =>
  Effect.gen(function* () {
    const { memory } = to
    const there = new Set<string>()
    for (const manifest of graph.manifests) {
      const found = yield* memory.headManifest(repository, manifest.descriptor.digest)
      if (Option.isSome(found)) there.add(manifest.descriptor.digest)
      for (const { digest } of Manifest.references(manifest))
        if (Option.isSome(yield* memory.headBlob(repository, digest))) there.add(digest)
    }
    const { copy, ended } = copying(
      { registry: from.direct, repository },
      { registry: to.direct, repository },
      settings
    )
    const report = yield* copy
    if (!report.ok) problems.push("a second copy fails")
    const repeated = ended.filter(
      ({ _tag, descriptor }) =>
        // What is attached and not listed is put again.
        (_tag === "Transfer" || (_tag === "Put" && !settings.referrers)) &&
        there.has(descriptor.digest)
    )
    if (repeated.length > 0)
      problems.push(`a second copy repeats ${repeated.map(Copy.format).join(", ")}`)
    for (const tag of graph.tags) {
      const { descriptor } = yield* from.memory.getManifest(repository, tag)
      const found = yield* memory.headManifest(repository, tag)
      if (!Option.exists(found, ({ digest }) => digest === descriptor.digest))
        problems.push(`${tag} is something else after a second copy`)
      const places = { from: repository, to: repository }
      const lost = yield* lacking(from.memory, memory, descriptor.digest, places)
      if (lost.length > 0) problems.push(`a second copy has not brought ${lost.join(", ")}`)
    }
    if (!settings.referrers) return
    for (const manifest of graph.manifests) {
      const subject = Option.getOrUndefined(Manifest.subject(manifest))
      if (subject === undefined) continue
      const { digest } = manifest.descriptor
      const isSubjectThere = Option.isSome(yield* memory.headManifest(repository, subject.digest))
      const isThere = Option.isSome(yield* memory.headManifest(repository, digest))
      if (isSubjectThere && !isThere) problems.push(`a second copy has not brought ${digest}`)
    }
  })
