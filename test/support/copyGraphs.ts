/**
 * Copies of graphs of every shape, with options of every kind, held against the plainest account of
 * what they come to.
 */
import { isDeepStrictEqual } from "node:util"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Copy from "../../src/content/Copy.js"
import type { Registry } from "../../src/Registry.js"
import type * as Descriptor from "../../src/spec/Descriptor.js"
import type * as Digest from "../../src/spec/Digest.js"
import * as ManifestMediaType from "../../src/spec/internal/ManifestMediaType.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { items, utf8 } from "./fixtures.js"
import { artifactTypes, graphs, manifestsOf, type Node } from "./generatedGraphs.js"
import { blob, counted, repository } from "./graphs.js"

/** What is copied of a graph. */
interface Options {
  readonly level: "tag" | "manifests" | "blobs"
  readonly missing: "fail" | "skip"
  readonly isSubset: boolean
  readonly referrers: boolean | Copy.ReferrersOptions
  readonly continueOnError: boolean
}

const amd64 = Platform.unsafeParse("linux/amd64")

const options: FastCheck.Arbitrary<Options> = FastCheck.record({
  level: FastCheck.constantFrom("tag", "manifests", "blobs"),
  missing: FastCheck.constantFrom("fail", "skip", "skip"),
  isSubset: FastCheck.constantFrom(false, false, true),
  referrers: FastCheck.constantFrom<Options["referrers"]>(
    false,
    true,
    true,
    { depth: 1 },
    { depth: 2 },
    { artifactTypes: [artifactTypes[0]] },
    { artifactTypes: [artifactTypes[1]] }
  ),
  continueOnError: FastCheck.boolean()
})

export interface Case {
  readonly nodes: ReadonlyArray<Node>
  readonly isBlobMissing: boolean
  readonly options: Options
}

export const cases: FastCheck.Arbitrary<Case> = FastCheck.record({
  nodes: graphs,
  isBlobMissing: FastCheck.nat(7).map((n) => n === 0),
  options
})

/** Which content there is somewhere. */
interface Stock {
  readonly manifests: ReadonlySet<string>
  readonly blobs: ReadonlySet<string>
}

// -----------------------------------------------------------------------------
// What a copy comes to
// -----------------------------------------------------------------------------

/** What the copy of one root is to come to: what it has, and whether it fails. */
interface Expected {
  readonly manifests: Set<string>
  readonly blobs: Set<string>
  fails: boolean
}

/** The same rules in the plainest form: everything one after the other, and nothing twice. */
const expected = (
  root: Manifest.Manifest,
  made: ReadonlyArray<Manifest.Manifest>,
  { blobs, manifests }: Stock,
  before: Stock,
  { isSubset, level, missing, referrers }: Options
): Expected => {
  const known = new Map<string, Manifest.Manifest>(
    made.map((manifest) => [manifest.descriptor.digest, manifest])
  )
  const all: Expected = { manifests: new Set(), blobs: new Set(), fails: false }
  const types = typeof referrers === "object" ? referrers.artifactTypes : undefined
  const depth = typeof referrers === "object" ? referrers.depth : undefined

  const blob = (digest: string, isListed: boolean) => {
    if (blobs.has(digest) || before.blobs.has(digest)) all.blobs.add(digest)
    else if (!isListed || missing === "fail") all.fails = true
  }
  /** Visits a manifest. Returns those that it consists of, itself among them. */
  const visit = (digest: string): ReadonlyArray<Manifest.Manifest> => {
    const manifest = known.get(digest)
    if (manifest === undefined || !(manifests.has(digest) || before.manifests.has(digest))) {
      if (missing === "fail") all.fails = true
      return []
    }
    all.manifests.add(digest)
    if (manifest.content._tag === "ImageIndex") {
      const entries = manifest.content.manifests
      const isFor = isWithin(isSubset)
      if (!entries.some(isFor)) all.fails ||= isSubset
      return [
        manifest,
        ...entries.filter(isFor).flatMap((entry) => {
          if (ManifestMediaType.isManifest(entry.mediaType)) return visit(entry.digest)
          blob(entry.digest, true)
          return []
        })
      ]
    }
    if (level === "blobs" || !before.manifests.has(digest))
      for (const part of Manifest.references(manifest)) blob(part.digest, false)
    return [manifest]
  }
  const attachedTo = (digest: string) =>
    made.filter(
      (manifest) =>
        manifests.has(manifest.descriptor.digest) &&
        Option.exists(Manifest.subject(manifest), (subject) => subject.digest === digest)
    )
  const asked = new Set<string>()
  const attach = (manifest: Manifest.Manifest): void => {
    const { digest } = manifest.descriptor
    if (asked.has(digest)) return
    asked.add(digest)
    let around = [digest as string]
    const met = new Set(around)
    for (let at = 1; around.length > 0 && at <= (depth ?? Infinity); at++) {
      const found = around
        .flatMap(attachedTo)
        .filter(({ content }) => at > 1 || types === undefined || types.includes(typeOf(content)))
        .filter((one) => !met.has(one.descriptor.digest))
      around = found.map((one) => one.descriptor.digest)
      for (const one of around) {
        met.add(one)
        const parts = visit(one)
        if (depth === undefined) parts.slice(1).forEach(attach)
      }
    }
  }
  const parts = visit(root.descriptor.digest)
  if (referrers !== false) parts.forEach(attach)
  return all
}

const isWithin =
  (isSubset: boolean) =>
  ({ platform }: Descriptor.Descriptor): boolean =>
    platform === undefined || !isSubset || platform.architecture === "amd64"

const typeOf = (content: Manifest.Manifest["content"]): string =>
  content._tag === "UnknownManifest" ? "" : (content.artifactType ?? "")

// -----------------------------------------------------------------------------
// The copy of a case
// -----------------------------------------------------------------------------

const tagOf = (n: number) => Reference.unsafeParseTag(`v${n}`)

/** The two registries of a case, and what they have. */
const world = Effect.fnUntraced(function* ({ isBlobMissing, nodes }: Case) {
  const source = yield* MemoryRegistry.make({ missingReferences: "accept" })
  const target = yield* MemoryRegistry.make({ missingReferences: "accept" })
  const stock = { manifests: new Set<string>(), blobs: new Set<string>() }
  const before = { manifests: new Set<string>(), blobs: new Set<string>() }
  const blobs = yield* Effect.forEach([0, 1, 2, 3, 4], (n) =>
    blob(source, MediaType.layerTar, utf8(`blob ${n}`))
  )
  for (const [n, { digest }] of blobs.entries())
    if (isBlobMissing && n === 3) yield* source.deleteBlob(repository, digest)
    else stock.blobs.add(digest)
  const made = manifestsOf(nodes, blobs)
  const tags: Array<Reference.Tag> = []
  const taggedBefore = new Set<string>()
  for (const [n, manifest] of made.entries()) {
    const { digest } = manifest.descriptor
    const { before: standing = "absent", isMissing, isTagged } = nodes[n] ?? {}
    const isRoot = n === made.length - 1
    if (!isMissing || isRoot) {
      const names = isTagged || isRoot ? [tagOf(n)] : []
      tags.push(...names)
      stock.manifests.add(digest)
      yield* source.putManifest(repository, manifest, { tags: names })
    }
    if (standing === "absent") continue
    before.manifests.add(digest)
    const isTaggedBefore = standing === "whole" && tags.includes(tagOf(n))
    if (isTaggedBefore) taggedBefore.add(tagOf(n))
    yield* target.putManifest(repository, manifest, { tags: isTaggedBefore ? [tagOf(n)] : [] })
    if (standing === "hollow") continue
    for (const [part, { digest }] of blobs.entries())
      if (Manifest.references(manifest).some((one) => one.digest === digest)) {
        before.blobs.add(digest)
        yield* blob(target, MediaType.layerTar, utf8(`blob ${part}`))
      }
  }
  return { source, target, stock, before, made, tags, taggedBefore, blobs }
})

/** Refuses what comes before that which it stands on, of that which is to come. */
const inOrder = (
  registry: Registry.Service,
  isExpected: (digest: Digest.Digest) => boolean,
  ofTag: (tag: string) => ReadonlySet<string>,
  isFor: (part: Descriptor.Descriptor) => boolean,
  isAttachment: (manifest: Manifest.Manifest) => boolean,
  problems: Array<string>
): Registry.Service => ({
  ...registry,
  putManifest: (name, manifest, put) =>
    Effect.gen(function* () {
      const lacks = (digest: Digest.Digest) =>
        Effect.all([registry.headManifest(name, digest), registry.headBlob(name, digest)]).pipe(
          Effect.map((found) => isExpected(digest) && found.every(Option.isNone)),
          Effect.orDie
        )
      const { digest } = manifest.descriptor
      // What was there already, without its content, gets tags alone.
      const isThere = Option.isSome(yield* registry.headManifest(name, digest))
      for (const part of Manifest.references(manifest).filter(isFor))
        if (!isThere && (yield* lacks(part.digest)))
          problems.push(`${digest} comes before ${part.digest}`)
      const subject = Option.getOrUndefined(Manifest.subject(manifest))
      if (subject !== undefined && isAttachment(manifest) && (yield* lacks(subject.digest)))
        problems.push(`${digest} comes before its subject`)
      for (const tag of [...(put?.tags ?? []), ...(put?.onlyIf ? [put.onlyIf.tag] : [])])
        for (const one of ofTag(tag))
          if (one !== digest && (yield* lacks(one as Digest.Digest)))
            problems.push(`${tag} comes before ${one}`)
      return yield* registry.putManifest(name, manifest, put)
    })
})

const statuses = ({ outcomes }: Copy.Report) =>
  Object.fromEntries(outcomes.map(({ source, status }) => [source, status] as const))

const settingsOf = ({ continueOnError, isSubset, ...others }: Options) =>
  ({
    ...others,
    tags: "all",
    continueOnError,
    platforms: isSubset ? [amd64] : undefined
  }) as const satisfies Copy.Options

/** The two places of a case, and the steps of its copy, if it does not fail. */
export const planned = (one: Case, more: Copy.Options) =>
  Effect.gen(function* () {
    const { source, target } = yield* world(one)
    const [from, to] = [
      { registry: source, repository },
      { registry: target, repository }
    ]
    const steps = yield* Effect.option(
      items(Copy.planBetween(from, to, { ...settingsOf(one.options), ...more }))
    )
    return { from, to, target, steps }
  })

/** What is wrong with the copy of a case, and how it has ended. */
export const check = (one: Case) =>
  Effect.gen(function* () {
    const { before, blobs, made, source, stock, taggedBefore, tags, target } = yield* world(one)
    const { continueOnError, isSubset, ...others } = one.options
    const rootOf = (tag: string) => made[Number(tag.slice(1))]
    const roots = new Map<string, Expected>()
    for (const tag of tags) {
      const root = rootOf(tag)
      if (root === undefined) continue
      // An equal tag is enough where that was asked for, but not for what is attached.
      const isEnough = taggedBefore.has(tag) && others.level === "tag" && others.referrers === false
      const nothing: Expected = { manifests: new Set(), blobs: new Set(), fails: false }
      roots.set(tag, isEnough ? nothing : expected(root, made, stock, before, one.options))
    }
    const upTo = { manifests: new Set(before.manifests), blobs: new Set(before.blobs) }
    for (const { blobs, manifests } of roots.values()) {
      for (const digest of manifests) upTo.manifests.add(digest)
      for (const digest of blobs) upTo.blobs.add(digest)
    }
    const problems: Array<string> = []
    const isTrue = (condition: boolean, problem: string) => {
      if (!condition) problems.push(problem)
    }
    const to = counted(
      inOrder(
        target,
        (digest) => upTo.manifests.has(digest) || upTo.blobs.has(digest),
        (tag) => roots.get(tag)?.manifests ?? new Set(),
        isWithin(isSubset),
        ({ descriptor: { digest } }) =>
          !tags.some((tag) => rootOf(tag)?.descriptor.digest === digest) &&
          !made.flatMap(Manifest.references).some((part) => part.digest === digest),
        problems
      )
    )
    const puts = () => to.log.filter((line) => line.startsWith("put"))
    const places = [
      { registry: source, repository },
      { registry: to.registry, repository }
    ] as const
    const settings = settingsOf(one.options)
    const plan = yield* Effect.option(items(Copy.planBetween(...places, settings)))
    isTrue(puts().length === 0, "a plan puts something")
    const found: Array<Copy.Step> = []
    const copy = Copy.between(...places, settings).pipe(
      Copy.observe((event) => Effect.sync(() => event._tag === "Found" && found.push(event.step)))
    )
    const outcome = yield* Effect.either(copy)
    const failing = tags.filter((tag) => roots.get(tag)?.fails)
    const isAny = failing.length === 0 || continueOnError
    isTrue((outcome._tag === "Right") === isAny, `it is ${outcome._tag}, of which ${failing} fail`)
    if (outcome._tag === "Right") {
      isTrue(outcome.right.ok === (failing.length === 0), `ok is ${outcome.right.ok}`)
      const due = tags.map((tag) => [tag, failing.includes(tag) ? "failed" : "copied"])
      const is = Object.entries(statuses(outcome.right)).map(([tag, status]) => [
        tag,
        status === "present" && taggedBefore.has(tag) ? "copied" : status
      ])
      isTrue(isDeepStrictEqual(is.sort(), due.sort()), `${is} is not ${due}`)
    }

    const there = <A>(list: Effect.Effect<ReadonlyArray<A>, unknown>) =>
      Effect.orElseSucceed(list, (): ReadonlyArray<A> => [])
    const put = yield* there(items(target.tags(repository)))
    for (const [tag, root] of roots) {
      if (outcome._tag === "Right")
        isTrue(
          put.some((one) => one === tag) === (!root.fails || taggedBefore.has(tag)),
          `the tag ${tag}: ${put}`
        )
      // What has failed leaves tags as they were.
      const isLeft = root.fails || (outcome._tag === "Left" && taggedBefore.has(tag))
      if (isLeft || !put.some((one) => one === tag)) continue
      const tagged = yield* target.getManifest(repository, Reference.unsafeParseTag(tag))
      isTrue(tagged.descriptor.digest === rootOf(tag)?.descriptor.digest, `${tag} is another one`)
      for (const { bytes, descriptor } of made) {
        if (!root.manifests.has(descriptor.digest)) continue
        const copied = yield* Effect.option(target.getManifest(repository, descriptor.digest))
        const isSame = Option.exists(copied, (one) => Buffer.compare(one.bytes, bytes) === 0)
        isTrue(isSame, `${tag} lacks ${descriptor.digest}`)
      }
      for (const { digest } of blobs)
        if (root.blobs.has(digest))
          isTrue(
            Option.isSome(yield* target.headBlob(repository, digest)),
            `${tag} lacks ${digest}`
          )
    }
    for (const { descriptor } of yield* there(items(target.manifests(repository))))
      isTrue(upTo.manifests.has(descriptor.digest), `${descriptor.digest} is not to be there`)
    for (const { digest } of blobs)
      if (Option.isSome(yield* target.headBlob(repository, digest)))
        isTrue(upTo.blobs.has(digest), `${digest} is not to be there`)
    if (failing.length > 0) return { problems, ending: "failed" } as const

    const planned = Option.getOrElse(plan, () => [])
    isTrue(isDeepStrictEqual(idsOf(planned), idsOf(found)), "the plan is another copy")
    to.log.length = 0
    const again = Object.values(statuses(yield* copy))
    isTrue(
      again.every((status) => status === "present"),
      `a second copy is ${again}`
    )
    isTrue(puts().length === 0, `a second copy repeats ${puts()}`)
    return { problems, ending: "copied" } as const
  })

/** The steps, in no order. Which of those who need a manifest brings it is chance. */
const idsOf = (steps: ReadonlyArray<Copy.Step>): ReadonlyArray<string> =>
  steps
    .flatMap((step) =>
      step._tag === "Tag" && step.puts ? [step.id, `manifest ${step.descriptor.digest}`] : [step.id]
    )
    .sort()
