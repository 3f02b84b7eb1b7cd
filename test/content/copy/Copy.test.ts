/** Copies between registries in memory: what is moved, what is asked, and what fails. */
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Copy from "../../../src/content/Copy.js"
import * as Registries from "../../../src/Registries.js"
import type { Registry } from "../../../src/Registry.js"
import { BlobUnknown, Denied, TransportFailure } from "../../../src/RegistryError.js"
import * as Descriptor from "../../../src/spec/Descriptor.js"
import * as Digest from "../../../src/spec/Digest.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as Platform from "../../../src/spec/Platform.js"
import * as Reference from "../../../src/spec/Reference.js"
import * as SignedManifest from "../../../src/spec/SignedManifest.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { freshBytes, freshDigest, items, tag, utf8 } from "../../support/fixtures.js"
import {
  blob,
  counted,
  image,
  lacking,
  mirror,
  platforms,
  repository,
  v1,
  v2
} from "../../support/graphs.js"

const world = Effect.gen(function* () {
  const [source, target] = [yield* MemoryRegistry.make(), yield* MemoryRegistry.make()]
  const [from, to] = [counted(source), counted(target)]
  return {
    source,
    target,
    from,
    to,
    /** The place of a tag or digest at the source, and the target repository. */
    between: (reference: Reference.Tag | Digest.Digest = v1) =>
      [
        { registry: from.registry, repository, reference },
        { registry: to.registry, repository }
      ] as const
  }
})

const tagOf = (registry: Registry.Service, name: Reference.Tag = v1, at = repository) =>
  Effect.map(registry.headManifest(at, name), (found) => Option.getOrUndefined(found)?.digest)

const layer = (registry: Registry.Service, symbol = "layer") =>
  blob(registry, MediaType.layerTarGzip, freshBytes(symbol))

const tagged = Effect.fnUntraced(function* (registry: Registry.Service, name = v1) {
  const manifest = yield* image(registry, [yield* layer(registry), yield* layer(registry)])
  yield* registry.putManifest(repository, manifest, { tags: [name] })
  return manifest
})

const lines = (steps: Iterable<Copy.Step>) => [...steps].map(({ _tag, kind }) => `${_tag} ${kind}`)

describe("a copy", () => {
  it.effect("of an image has its bytes, and its tag", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const { descriptor } = yield* tagged(source)
      const report = yield* Copy.between(...between())
      expect(yield* tagOf(target)).toBe(descriptor.digest)
      expect(yield* lacking(source, target, descriptor.digest)).toEqual([])
      expect(report).toMatchObject({
        ok: true,
        outcomes: [{ status: "copied", source: v1, digest: descriptor.digest, tags: [v1] }],
        summary: { known: { nodes: 4 }, moved: { nodes: 4 }, present: { nodes: 0 }, tags: 1 }
      })
      expect(report.summary.moved).toEqual(report.summary.known)
    })
  )

  it.effect("of an index has all platforms with what they share once, and attestations", () =>
    Effect.gen(function* () {
      const { between, from, source, target, to } = yield* world
      const { index, manifests } = yield* platforms(source, ["linux/amd64", "linux/arm64"])
      from.log.length = 0
      yield* Copy.between(...between())
      expect(yield* tagOf(target)).toBe(index.descriptor.digest)
      expect(yield* lacking(source, target, index.descriptor.digest)).toEqual([])
      // The shared layer, one for each platform, two statements and four configs.
      expect(to.count("putBlob")).toBe(9)
      expect(from.count("getBlob")).toBe(9)
      expect(to.count("putManifest")).toBe(manifests.length + 1)
    })
  )

  it.effect("asks nothing but the tags for an image that is there", () =>
    Effect.gen(function* () {
      const { between, from, source, to } = yield* world
      const { descriptor } = yield* tagged(source)
      yield* Copy.between(...between())
      from.log.length = 0
      to.log.length = 0
      const report = yield* Copy.between(...between())
      expect(report.outcomes).toMatchObject([{ status: "present", digest: descriptor.digest }])
      expect([...from.log, ...to.log]).toEqual(["headManifest v1", "headManifest v1"])
    })
  )

  it.effect("CP26: reads nothing of the source for an index of 8 platforms that is there", () =>
    Effect.gen(function* () {
      const { between, from, source, to } = yield* world
      const names = ["amd64", "386", "arm64", "arm", "ppc64le", "s390x", "riscv64", "mips64le"]
      yield* platforms(
        source,
        names.map((name) => `linux/${name}`)
      )
      yield* Copy.between(...between())
      from.log.length = 0
      to.log.length = 0
      yield* Copy.between(...between())
      expect(from.log).toEqual(["headManifest v1"])
      // One request for the tag and the index, and one for each of the 16 manifests in it.
      expect(to.count("getManifest")).toBe(1)
      expect(to.log).toHaveLength(17)
      to.log.length = 0
      yield* Copy.between(...between(), { level: "tag" })
      expect(to.log).toHaveLength(1)
    })
  )

  it.effect("asks for each blob only if it is to", () =>
    Effect.gen(function* () {
      const { between, source, target, to } = yield* world
      const { content } = yield* tagged(source)
      yield* Copy.between(...between())
      const lost = content._tag === "ImageManifest" ? content.layers[0]?.digest : undefined
      yield* target.deleteBlob(repository, lost ?? freshDigest())
      to.log.length = 0
      expect((yield* Copy.between(...between())).summary.moved.nodes).toBe(0)
      expect((yield* Copy.between(...between(), { level: "blobs" })).summary.moved.nodes).toBe(1)
      expect(yield* target.headBlob(repository, lost ?? freshDigest())).toMatchObject({
        _tag: "Some"
      })
    })
  )

  it.effect("CP17: puts a tag that is gone again, with one request and no transfer", () =>
    Effect.gen(function* () {
      const { between, source, target, to } = yield* world
      const { descriptor } = yield* tagged(source)
      yield* Copy.between(...between())
      yield* target.deleteTag(repository, v1)
      to.log.length = 0
      const report = yield* Copy.between(...between())
      expect(yield* tagOf(target)).toBe(descriptor.digest)
      expect(report.summary).toMatchObject({ moved: { nodes: 0 }, tags: 1 })
      expect(to.count("putBlob") + to.count("headBlob")).toBe(0)
      expect(to.count("putManifest")).toBe(1)
    })
  )

  it.effect("CP17: puts a tag that is gone, also where another one is enough", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const { descriptor } = yield* tagged(source)
      const copy = Copy.between(...between(), { level: "tag", additionalTags: [v2] })
      yield* copy
      yield* target.deleteTag(repository, v2)
      expect((yield* copy).outcomes).toMatchObject([{ status: "copied" }])
      expect(yield* tagOf(target, v2)).toBe(descriptor.digest)
    })
  )

  it.effect("CP15: of an index whose layer nobody has leaves it out if that is asked for", () =>
    Effect.gen(function* () {
      const source = yield* MemoryRegistry.make({ missingReferences: "accept" })
      const target = yield* MemoryRegistry.make({ missingReferences: "accept" })
      const lost = Descriptor.fromBytes(freshBytes("lost"), MediaType.layerTar)
      const index = Manifest.index({ manifests: [yield* layer(source), lost] })
      yield* source.putManifest(repository, index, { tags: [v1] })
      const copy = (missing: "fail" | "skip") =>
        Copy.between(
          { registry: source, repository, reference: v1 },
          { registry: target, repository },
          { missing }
        )
      const failure = yield* Effect.flip(copy("fail"))
      expect(failure).toMatchObject({ side: "source", error: { _tag: "BlobUnknown" } })
      expect(yield* copy("skip")).toMatchObject({ ok: true, summary: { skipped: { nodes: 1 } } })
      expect(yield* tagOf(target)).toBe(index.descriptor.digest)
    })
  )

  it.effect("CP15: of an index that lists layers has them as blobs", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const cache = Manifest.index({
        manifests: [
          yield* layer(source),
          yield* blob(source, "application/vnd.buildkit.cacheconfig.v0")
        ]
      })
      yield* source.putManifest(repository, cache, { tags: [v1] })
      yield* Copy.between(...between())
      const { manifests } = cache.content._tag === "ImageIndex" ? cache.content : { manifests: [] }
      for (const { digest } of manifests)
        expect(yield* target.headBlob(repository, digest)).toMatchObject({ _tag: "Some" })
      expect((yield* target.getManifest(repository, v1)).bytes).toEqual(cache.bytes)
    })
  )

  it.effect("leaves out layers that are not to be distributed, unless they are asked for", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const foreign = yield* blob(source, MediaType.dockerForeignLayerTarGzip)
      const manifest = yield* image(source, [foreign])
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      const { summary } = yield* Copy.between(...between())
      expect(summary.skipped).toEqual({ nodes: 1, bytes: foreign.size })
      expect(yield* target.headBlob(repository, foreign.digest)).toEqual(Option.none())
      yield* Copy.between(...between(), { level: "blobs", nonDistributable: "copy" })
      expect(yield* target.headBlob(repository, foreign.digest)).toMatchObject({ _tag: "Some" })
    })
  )

  it.effect("uses the content that a descriptor has", () =>
    Effect.gen(function* () {
      const { between, from, source, target } = yield* world
      yield* blob(source, MediaType.empty, utf8("{}"))
      const manifest = Manifest.image({
        artifactType: "application/vnd.example",
        config: Descriptor.empty,
        layers: [Descriptor.empty]
      })
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      yield* Copy.between(...between())
      expect(from.count("getBlob")).toBe(0)
      expect(yield* lacking(source, target, manifest.descriptor.digest)).toEqual([])
    })
  )

  it.effect("CP22: by tag and digest is read by digest and put under the tag", () =>
    Effect.gen(function* () {
      const { from, source, target, to } = yield* world
      const first = yield* tagged(source)
      yield* tagged(source)
      const reference = Reference.make({
        host: "registry.test",
        repository,
        tag: v1,
        digest: first.descriptor.digest
      })
      const place = { registry: to.registry, repository }
      const report = yield* Copy.between({ registry: from.registry, repository, reference }, place)
      expect(yield* tagOf(target)).toBe(first.descriptor.digest)
      expect(report.outcomes).toMatchObject([{ untagged: false }])
      expect(from.count("headManifest")).toBe(0)
    })
  )

  it.effect("CP22: by digest alone has no tag, and says so", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const { descriptor } = yield* tagged(source)
      const report = yield* Copy.between(...between(descriptor.digest))
      expect(report.outcomes).toMatchObject([
        { status: "copied", untagged: true, tags: [], digest: descriptor.digest }
      ])
      expect(yield* items(target.tags(repository))).toEqual([])
      expect(yield* lacking(source, target, descriptor.digest)).toEqual([])
      expect((yield* Copy.between(...between(descriptor.digest))).outcomes).toMatchObject([
        { status: "present", untagged: true }
      ])
    })
  )

  it.effect("has the tag that the target names, and others in addition", () =>
    Effect.gen(function* () {
      const { from, source, target, to } = yield* world
      const { descriptor } = yield* tagged(source)
      const place = { registry: to.registry, repository, reference: v2 }
      yield* Copy.between({ registry: from.registry, repository, reference: v1 }, place, {
        additionalTags: ["2", "latest"]
      })
      expect(yield* items(target.tags(repository))).toEqual(["2", "latest", "v2"])
      expect(yield* tagOf(target, yield* tag("latest"))).toBe(descriptor.digest)
      expect(to.count("getManifest")).toBe(0)
      const invalid = Copy.between({ registry: from.registry, repository }, place, {
        additionalTags: ["not a tag"]
      })
      expect(yield* Effect.flip(invalid)).toMatchObject({ _tag: "InvalidReference" })
    })
  )

  it.effect("fails for a target that has the digest of something else", () =>
    Effect.gen(function* () {
      const { from, source, to } = yield* world
      yield* tagged(source)
      const place = { registry: to.registry, repository, reference: freshDigest() }
      const copy = Copy.between({ registry: from.registry, repository, reference: v1 }, place)
      expect(yield* Effect.flip(copy)).toMatchObject({
        _tag: "CopyFailure",
        error: { _tag: "DigestMismatch" }
      })
      expect(to.log).toEqual([])
    })
  )

  it.effect("of what is not there says where it was looked for", () =>
    Effect.gen(function* () {
      const { between, to } = yield* world
      const failure = yield* Effect.flip(Copy.between(...between()))
      expect(failure).toMatchObject({
        _tag: "CopyFailure",
        side: "source",
        reference: "team/app:v1",
        error: { _tag: "ManifestUnknown" }
      })
      expect(to.log).toEqual([])
    })
  )
})

describe("platforms", () => {
  const three = ["linux/amd64", "linux/arm64", "windows/amd64"]

  it.effect("are a part of an index, which keeps its digest", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const { index, manifests } = yield* platforms(source, three)
      const lenient = yield* MemoryRegistry.make({ missingReferences: "accept" })
      const place = { registry: lenient, repository }
      yield* Copy.between(between()[0], place, {
        platforms: [Platform.unsafeParse("linux/arm64")]
      })
      expect(yield* tagOf(lenient)).toBe(index.descriptor.digest)
      const there = yield* Effect.filter(manifests, ({ digest }) =>
        Effect.map(lenient.headManifest(repository, digest), Option.isSome)
      )
      // CP19: with its attestation, and without those of the others.
      expect(there).toEqual([manifests[1], manifests[4]])
      expect(yield* items(target.repositories())).toEqual([])
    })
  )

  it.effect("CP18: that a target wants all of are named by the error, with what to do", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      yield* platforms(source, three)
      const failure = yield* Effect.flip(
        Copy.between(...between(), { platforms: [Platform.unsafeParse("linux/arm64")] })
      )
      expect(failure).toMatchObject({ side: "target", error: { _tag: "SparseIndexRefused" } })
      expect(failure.message).toContain("linux/amd64, windows/amd64, the attestation sha256:")
      expect(failure.message).toContain('index: "rewrite"')
      expect(yield* items(target.tags(repository))).toEqual([])
    })
  )

  it.effect("CP18: are an index of their own if that is asked for, whose digest is reported", () =>
    Effect.gen(function* () {
      const { between, source, target, to } = yield* world
      const { index, manifests } = yield* platforms(source, three)
      const options = {
        platforms: [Platform.unsafeParse("linux/arm64")],
        index: "rewrite"
      } as const
      const { outcomes } = yield* Copy.between(...between(), options)
      const rewritten = yield* target.getManifest(repository, v1)
      expect(rewritten.content).toMatchObject({ manifests: [manifests[1], manifests[4]] })
      expect(rewritten.descriptor.digest).not.toBe(index.descriptor.digest)
      expect(outcomes).toMatchObject([{ digest: rewritten.descriptor.digest }])
      to.log.length = 0
      expect((yield* Copy.between(...between(), options)).outcomes).toMatchObject([
        { status: "present" }
      ])
      expect(to.count("putManifest")).toBe(0)
    })
  )

  it.effect("that an index does not have are an error with the choices", () =>
    Effect.gen(function* () {
      const { between, source, to } = yield* world
      yield* platforms(source, three)
      const failure = yield* Effect.flip(
        Copy.between(...between(), {
          platforms: [Platform.unsafeParse("linux/amd64"), Platform.unsafeParse("linux/s390x")]
        })
      )
      expect(failure).toMatchObject({
        side: "source",
        error: { _tag: "MediaTypeMismatch", platform: "linux/s390x" }
      })
      expect(failure.message).toContain("team/app@sha256:")
      expect(to.count("putBlob")).toBe(0)
    })
  )
})

describe("an index with a manifest that nobody has", () => {
  const sparse = Effect.gen(function* () {
    const source = yield* MemoryRegistry.make({ missingReferences: "accept" })
    const { index, manifests } = yield* platforms(source, ["linux/amd64", "linux/arm64"])
    yield* source.deleteManifest(repository, manifests[3]?.digest ?? freshDigest())
    return { source, index, missing: manifests[3]?.digest }
  })
  const from = (source: Registry.Service) => ({ registry: source, repository, reference: v1 })

  it.effect("CP19: fails, and names what is missing as the attestation that it is", () =>
    Effect.gen(function* () {
      const { missing, source } = yield* sparse
      const to = { registry: yield* MemoryRegistry.make(), repository }
      const failure = yield* Effect.flip(Copy.between(from(source), to))
      expect(failure).toMatchObject({
        side: "source",
        reference: `team/app@${missing}`,
        error: { _tag: "ManifestUnknown" }
      })
      expect(failure.message).toContain("attestation")
      expect(failure.message).toContain('missing: "skip"')
      expect(yield* tagOf(to.registry)).toBeUndefined()
    })
  )

  it.effect("is copied without it if that is asked for, or rewritten", () =>
    Effect.gen(function* () {
      const { index, missing, source } = yield* sparse
      const lenient = yield* MemoryRegistry.make({ missingReferences: "accept" })
      const copy = Copy.between(
        from(source),
        { registry: lenient, repository },
        { missing: "skip" }
      )
      expect((yield* copy).summary.skipped.nodes).toBe(1)
      expect(yield* tagOf(lenient)).toBe(index.descriptor.digest)
      const strict = yield* MemoryRegistry.make()
      yield* Copy.between(
        from(source),
        { registry: strict, repository },
        { missing: "skip", index: "rewrite" }
      )
      const { content } = yield* strict.getManifest(repository, v1)
      const left = content._tag === "ImageIndex" ? content.manifests : []
      expect(left).toHaveLength(3)
      expect(left.map(({ digest }) => digest)).not.toContain(missing)
    })
  )
})

describe("tags", () => {
  it.effect("of a whole repository are copied, without the lists of referrers", () =>
    Effect.gen(function* () {
      const { from, source, target, to } = yield* world
      const first = yield* tagged(source)
      yield* tagged(source, v2)
      const list = yield* tag(`sha256-${Digest.encoded(first.descriptor.digest)}`)
      yield* source.putManifest(repository, Manifest.index({ manifests: [] }), { tags: [list] })
      const places = [
        { registry: from.registry, repository },
        { registry: to.registry, repository }
      ] as const
      const { ok, outcomes } = yield* Copy.between(...places, { tags: "all" })
      expect(ok).toBe(true)
      expect(outcomes.map((outcome) => outcome.source)).toEqual([v1, v2])
      expect(yield* items(target.tags(repository))).toEqual([v1, v2])
      const some = yield* Copy.between(...places, { tags: ["v2"] })
      expect(some.outcomes).toMatchObject([{ source: v2, status: "present" }])
    })
  )

  it.effect("move a blob once that several images have", () =>
    Effect.gen(function* () {
      const { from, source, to } = yield* world
      const shared = yield* layer(source)
      for (let n = 0; n < 20; n++) {
        const manifest = yield* image(source, [shared])
        yield* source.putManifest(repository, manifest, { tags: [yield* tag(`t${n}`)] })
      }
      const place = { registry: to.registry, repository }
      yield* Copy.between({ registry: from.registry, repository }, place, { tags: "all" })
      expect(from.count("getBlob")).toBe(21)
      expect(to.count("headBlob")).toBe(21)
      // Each manifest comes with its tag.
      expect(to.count("putManifest")).toBe(20)
    })
  )

  it.effect("are names of one place alone", () =>
    Effect.gen(function* () {
      const { between } = yield* world
      expect(yield* Effect.flip(Copy.between(...between(), { tags: "all" }))).toMatchObject({
        _tag: "InvalidReference"
      })
    })
  )

  it.effect("CP24: have one outcome each where one fails", () =>
    Effect.gen(function* () {
      const { from, source, target, to } = yield* world
      const bad = yield* tagged(source)
      yield* tagged(source, v2)
      const failing: Registry.Service = {
        ...from.registry,
        getManifest: (name, reference) =>
          reference === bad.descriptor.digest
            ? Effect.fail(new TransportFailure({ reason: "Reset" }))
            : from.registry.getManifest(name, reference)
      }
      const copy = (options: { readonly continueOnError: boolean }) =>
        Copy.between(
          { registry: failing, repository },
          { registry: to.registry, repository },
          { tags: "all", ...options }
        )
      const { ok, outcomes } = yield* copy({ continueOnError: true })
      expect(ok).toBe(false)
      expect(outcomes).toMatchObject([
        {
          source: v1,
          status: "failed",
          failure: { side: "source", error: { _tag: "TransportFailure" } }
        },
        { source: v2, status: "copied" }
      ])
      expect(yield* items(target.tags(repository))).toEqual([v2])
      expect(yield* Effect.flip(copy({ continueOnError: false }))).toMatchObject({
        _tag: "CopyFailure"
      })
    })
  )

  it.effect("are not put where the target is named by the digest of something else", () =>
    Effect.gen(function* () {
      const { between, source, to } = yield* world
      const { descriptor } = yield* tagged(source)
      const other = freshDigest()
      const copy = Copy.between(between()[0], { ...between()[1], reference: other })
      const failure = yield* Effect.flip(copy)
      expect(failure).toMatchObject({ error: { expected: other, actual: descriptor.digest } })
      expect(failure.message).toContain(
        `The manifest for team/app@${other} has the digest ${descriptor.digest}: leave out the ` +
          "digest of the reference"
      )
      expect(to.log).toEqual([])
    })
  )

  it.effect("are put only where nobody else has moved them, if that is asked for", () =>
    Effect.gen(function* () {
      const { between, source, target, to } = yield* world
      const wanted = yield* tagged(source)
      const other = yield* tagged(target)
      const third = yield* tagged(target, v2)
      const { digest } = other.descriptor
      const move = target.putManifest(repository, third, { tags: [v1] })
      const moved = Copy.between(...between(), {
        tagging: "unchanged",
        before: (step) => (step._tag === "Tag" ? move : Effect.void)
      })
      expect(yield* Effect.flip(moved)).toMatchObject({
        reference: "team/app:v1",
        error: { _tag: "PreconditionFailed", expected: digest }
      })
      expect(yield* tagOf(target)).toBe(third.descriptor.digest)
      yield* Copy.between(...between(), { tagging: "unchanged" })
      yield* move
      const puts = to.log.length
      const absent = Copy.between(...between(), { tagging: "absent" })
      expect(yield* Effect.flip(absent)).toMatchObject({
        reference: "team/app:v1",
        error: { _tag: "PreconditionFailed", expected: "absent", actual: third.descriptor.digest },
        done: { known: { nodes: 0 } }
      })
      // One question is enough to know.
      expect(to.log.slice(puts)).toEqual(["headManifest v1"])
      yield* Copy.between(...between(), { tagging: "unchanged" })
      expect(yield* tagOf(target)).toBe(wanted.descriptor.digest)
      expect((yield* Copy.between(...between(), { tagging: "absent" })).ok).toBe(true)
    })
  )
})

describe("within one registry", () => {
  it.effect("blobs are mounted", () =>
    Effect.gen(function* () {
      const { source, from } = yield* world
      const { descriptor } = yield* tagged(source)
      const { summary } = yield* Copy.between(
        { registry: from.registry, repository, reference: v1 },
        { registry: from.registry, repository: mirror }
      )
      expect(summary.mounted.nodes).toBe(3)
      expect(from.count("getBlob")).toBe(0)
      expect(yield* lacking(source, source, descriptor.digest, { to: mirror })).toEqual([])
    })
  )

  it.effect("CP21: a mount that is denied is not asked for again, and blobs are transferred", () =>
    Effect.gen(function* () {
      const { source, from } = yield* world
      const manifest = yield* image(
        source,
        yield* Effect.forEach(Array.from({ length: 10 }), () => layer(source))
      )
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      let mounts = 0
      const denying: Registry.Service = {
        ...from.registry,
        mountBlob: () => {
          mounts++
          return Effect.fail(new Denied({}))
        }
      }
      const { summary } = yield* Copy.between(
        { registry: denying, repository, reference: v1 },
        { registry: denying, repository: mirror },
        { concurrency: 1 }
      )
      expect(summary.mounted.nodes).toBe(0)
      expect(summary.moved.nodes).toBe(12)
      expect(mounts).toBeLessThan(11)
      expect(yield* lacking(source, source, manifest.descriptor.digest, { to: mirror })).toEqual([])
    })
  )

  it.effect("a tag is put on what is there", () =>
    Effect.gen(function* () {
      const { source, from } = yield* world
      const { descriptor } = yield* tagged(source)
      yield* Copy.between(
        { registry: from.registry, repository, reference: v1 },
        { registry: from.registry, repository, reference: v2 }
      )
      expect(yield* tagOf(source, v2)).toBe(descriptor.digest)
      expect(from.count("mountBlob") + from.count("putBlob")).toBe(0)
    })
  )

  it.effect("blobs are mounted from other repositories that have them", () =>
    Effect.gen(function* () {
      const { between, from, source, target } = yield* world
      const bytes = freshBytes("base")
      const base = yield* blob(source, MediaType.layerTarGzip, bytes)
      yield* blob(target, MediaType.layerTarGzip, bytes, mirror)
      const manifest = yield* image(source, [base, yield* layer(source)])
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      const { summary } = yield* Copy.between(...between(), { mountFrom: [mirror] })
      expect(summary.mounted).toEqual({ nodes: 1, bytes: base.size })
      expect(from.count("getBlob")).toBe(2)
    })
  )
})

describe("CP16: a manifest that is refused for a blob", () => {
  /** A target that misses a blob of a manifest so many times, whatever HEAD says. */
  const lagging = (
    registry: Registry.Service,
    times: number,
    digest: Digest.Digest | undefined
  ): Registry.Service => {
    let left = times
    return {
      ...registry,
      putManifest: (name, manifest, options) =>
        left-- > 0
          ? Effect.fail(new BlobUnknown({ repository: name, digest }))
          : registry.putManifest(name, manifest, options)
    }
  }

  /** Runs a copy whose waits take no time. */
  const hurried = <A, E>(copy: Effect.Effect<A, E>) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.fork(Effect.either(copy))
      while (Option.isNone(yield* Fiber.poll(fiber))) {
        yield* TestClock.adjust("1 second")
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
      }
      return yield* Fiber.join(fiber)
    })

  const copied = (times: number, isNamed = true) =>
    Effect.gen(function* () {
      const { from, source, target, to } = yield* world
      const { content, descriptor } = yield* tagged(source)
      const named = content._tag === "ImageManifest" ? content.layers[0] : undefined
      const registry = lagging(to.registry, times, isNamed ? named?.digest : undefined)
      const copy = Copy.between(
        { registry: from.registry, repository, reference: v1 },
        { registry, repository }
      )
      return {
        outcome: yield* hurried(copy),
        isThere: (yield* tagOf(target)) === descriptor.digest,
        puts: to.count("putBlob")
      }
    })

  it.effect("is put again after a while", () =>
    Effect.gen(function* () {
      expect(yield* copied(1)).toMatchObject({ isThere: true, puts: 3 })
    })
  )

  it.effect("is put again after that blob was uploaded without asking", () =>
    Effect.gen(function* () {
      expect(yield* copied(2)).toMatchObject({ isThere: true, puts: 4 })
      expect(yield* copied(2, false)).toMatchObject({ isThere: true, puts: 6 })
    })
  )

  it.effect("counts what is uploaded once more, and tells of it", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      yield* tagged(source)
      const steps = yield* items(Copy.planBetween(...between()))
      const events: Array<Copy.Event> = []
      // Of the whole plan only the tag is run: its blobs are what the target misses.
      const tags = steps.filter(({ _tag }) => _tag === "Tag")
      const run = Copy.observe(
        Copy.runBetween(between()[0], { registry: target, repository }, tags),
        (event) => Effect.sync(() => events.push(event))
      )
      const bytes = steps.reduce((sum, { descriptor }) => sum + descriptor.size, 0)
      const all = { nodes: 4, bytes }
      expect(yield* hurried(run)).toMatchObject({
        right: { ok: true, summary: { known: all, moved: all, fraction: 1, tags: 1 } }
      })
      for (const tag of ["Found", "Started", "Ended"] as const)
        expect(events.filter(({ _tag }) => _tag === tag)).toHaveLength(4)
    })
  )

  it.effect("fails then", () =>
    Effect.gen(function* () {
      expect(yield* copied(3)).toMatchObject({
        isThere: false,
        puts: 4,
        outcome: { left: { side: "target", error: { _tag: "BlobUnknown" } } }
      })
    })
  )

  it.effect("has what is missing of a manifest in it uploaded, too", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const { index, manifests } = yield* platforms(source, ["linux/amd64"])
      yield* layer(target)
      // Says to have all that is in the index.
      const lying: Registry.Service = {
        ...target,
        headManifest: (name, reference) =>
          (manifests.some(({ digest }) => digest === reference) ? source : target).headManifest(
            name,
            reference
          ),
        headBlob: source.headBlob
      }
      const copy = Copy.between(between()[0], { registry: lying, repository })
      expect(yield* hurried(copy)).toMatchObject({ right: { ok: true } })
      expect(yield* tagOf(target)).toBe(index.descriptor.digest)
      expect(yield* lacking(source, target, index.descriptor.digest)).toEqual([])
    })
  )

  it.effect("has no layers uploaded that are not to be distributed", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const foreign = yield* blob(source, MediaType.dockerForeignLayerTarGzip)
      const manifest = yield* image(source, [foreign, yield* layer(source)])
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      for (const named of [undefined, foreign.digest]) {
        const registry = lagging(target, 2, named)
        const outcome = yield* hurried(Copy.between(between()[0], { registry, repository }))
        expect(outcome._tag).toBe(named === undefined ? "Right" : "Left")
        expect(yield* target.headBlob(repository, foreign.digest)).toEqual(Option.none())
        yield* target.deleteManifest(repository, manifest.descriptor.digest).pipe(Effect.ignore)
      }
    })
  )

  it.effect("of the artifacts of a draft is put again, too", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const part = yield* layer(source)
      const mediaType = MediaType.artifactManifest
      const manifest = yield* Manifest.fromBytes(
        utf8(JSON.stringify({ mediaType, blobs: [part] })),
        { mediaType }
      )
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      const registry = lagging(target, 2, part.digest)
      yield* hurried(Copy.between(between()[0], { registry, repository }))
      expect(yield* tagOf(target)).toBe(manifest.descriptor.digest)
    })
  )
})

describe("a plan", () => {
  it.effect("has the steps of all else before a failure, where the copy would go on", () =>
    Effect.gen(function* () {
      const { between, source, to } = yield* world
      yield* tagged(source)
      const [from] = between()
      const plan = (continueOnError: boolean) => {
        const found: Array<string> = []
        return Copy.planBetween(
          { registry: from.registry, repository },
          { registry: to.registry, repository },
          { tags: ["absent", "gone", v1], continueOnError }
        ).pipe(
          Stream.runForEach((step) => Effect.sync(() => found.push(step._tag))),
          Effect.flip,
          Effect.map((failure) => ({ found, failure }))
        )
      }
      const { failure, found } = yield* plan(true)
      expect(found.at(-1)).toBe("Tag")
      expect(failure).toMatchObject({ side: "source", reference: "team/app:absent" })
      expect((yield* plan(false)).failure).toMatchObject({ side: "source" })
    })
  )

  it.effect("has the steps in an order in which they can be done, and changes nothing", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const { index } = yield* platforms(source, ["linux/amd64"])
      const steps = yield* items(Copy.planBetween(...between()))
      const at = new Map(steps.map(({ id }, n) => [id, n]))
      for (const [n, step] of steps.entries())
        for (const id of "after" in step ? step.after : [])
          expect(at.get(id) ?? Number.POSITIVE_INFINITY).toBeLessThan(n)
      expect(lines(steps).sort()).toEqual([
        "Put manifest",
        "Put manifest",
        "Tag manifest",
        ...Array.from({ length: 5 }, () => "Transfer blob")
      ])
      expect(steps.at(-1)).toMatchObject({
        _tag: "Tag",
        tag: v1,
        was: "absent",
        descriptor: { digest: index.descriptor.digest }
      })
      expect(yield* items(target.repositories())).toEqual([])
    })
  )

  it.effect("is printed in a line for each step", () =>
    Effect.gen(function* () {
      const { between, source } = yield* world
      const { descriptor } = yield* tagged(source)
      const steps = yield* items(Copy.planBetween(...between()))
      const text = steps.map(Copy.format)
      expect(text.at(-1)).toBe(`tag v1 = ${descriptor.digest}, new, attachments: not asked for`)
      expect(text[0]).toMatch(/^transfer blob sha256:[0-9a-f]{64}, \d+ B$/)
      yield* Copy.between(...between())
      const again = (yield* items(Copy.planBetween(...between()))).map(Copy.format)
      expect(again).toEqual([`have manifest ${descriptor.digest}`])
    })
  )

  it.effect("is run later, with what its tags were then", () =>
    Effect.gen(function* () {
      const { between, source, target, to } = yield* world
      const { index } = yield* platforms(source, ["linux/amd64", "linux/arm64"])
      const steps = yield* items(Copy.planBetween(...between()))
      yield* tagged(source)
      const report = yield* Copy.runBetween(...between(), JSON.parse(JSON.stringify(steps)))
      expect(yield* tagOf(target)).toBe(index.descriptor.digest)
      expect(yield* lacking(source, target, index.descriptor.digest)).toEqual([])
      expect(report.outcomes).toMatchObject([{ status: "copied", tags: [v1] }])
      to.log.length = 0
      const again = yield* Copy.runBetween(...between(), steps)
      expect(again).toMatchObject({ ok: true, summary: { moved: { bytes: expect.anything() } } })
      expect(again.summary.present.nodes).toBe(9)
    })
  )

  it.effect("of an index that is rewritten has the index, and is a JSON document", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const { manifests } = yield* platforms(source, ["linux/amd64", "linux/arm64"])
      const platform = Platform.unsafeParse("linux/amd64")
      const steps = yield* items(
        Copy.planBetween(...between(), { platforms: [platform], index: "rewrite" })
      )
      yield* Copy.runBetween(...between(), JSON.parse(JSON.stringify(steps)))
      expect((yield* target.getManifest(repository, v1)).content).toMatchObject({
        manifests: [manifests[0], manifests[2]]
      })
    })
  )

  it.effect("asks again for what it says to be there", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const { index, manifests } = yield* platforms(source, ["linux/amd64", "linux/arm64"])
      yield* Copy.between(...between())
      const lenient = yield* MemoryRegistry.make({ missingReferences: "accept" })
      yield* lenient.restore(yield* target.snapshot)
      const place = { registry: lenient, repository }
      const steps = yield* items(Copy.planBetween(between()[0], place))
      expect(new Set(lines(steps))).toEqual(new Set(["Have manifest"]))
      yield* lenient.deleteManifest(repository, manifests[0]?.digest ?? freshDigest())
      yield* Copy.runBetween(between()[0], place, steps)
      expect(yield* lacking(source, lenient, index.descriptor.digest)).toEqual([])
    })
  )

  it.effect("of a large repository is taken as it is found", () =>
    Effect.gen(function* () {
      const { from, source, to } = yield* world
      const manifest = yield* tagged(source)
      for (let n = 0; n < 500; n++)
        yield* source.putManifest(repository, manifest, { tags: [yield* tag(`t${n}`)] })
      const first = yield* Copy.planBetween(
        { registry: from.registry, repository },
        { registry: to.registry, repository },
        { tags: "all" }
      ).pipe(Stream.take(10), Stream.runCollect)
      expect(Chunk.size(first)).toBe(10)
      expect(from.count("headManifest")).toBeLessThan(200)
    })
  )
})

describe("hooks", () => {
  it.effect("run around each step that does something, and fail it", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      yield* tagged(source)
      const log: Array<string> = []
      const hook = (when: string) => (step: Copy.Work) =>
        Effect.sync(() => log.push(`${when} ${step._tag}`))
      yield* Copy.between(...between(), { before: hook("before"), after: hook("after") })
      expect(log.filter((line) => line === "after Transfer")).toHaveLength(3)
      expect(log.slice(-2)).toEqual(["before Tag", "after Tag"])
      const { between: others, source: other } = yield* world
      yield* tagged(other)
      const refused = Copy.between(...others(), { before: () => Effect.fail("not today" as const) })
      expect(yield* Effect.flip(refused)).toBe("not today")
      expect(yield* tagOf(target)).toBeDefined()
    })
  )
})

describe("by reference", () => {
  it.effect("a copy is between the registries of two hosts, and returns what to pin", () =>
    Effect.gen(function* () {
      const { registry } = yield* Registries.open("ghcr.io/team/app")
      const { descriptor } = yield* tagged(registry)
      const { reference } = yield* Copy.copy("ghcr.io/team/app:v1", "registry.lan:5000/app")
      expect(Reference.format(reference)).toBe(`registry.lan:5000/app@${descriptor.digest}`)
      expect(yield* Registries.exists("registry.lan:5000/app:v1")).toBe(true)
      const within = yield* Copy.copy("ghcr.io/team/app:v1", "ghcr.io/team/copy:v2")
      expect(within.summary.mounted.nodes).toBe(3)
      const steps = yield* items(Copy.plan("ghcr.io/team/app:v1", "quay.io/team/app"))
      const ran = yield* Copy.run("ghcr.io/team/app:v1", "quay.io/team/app", steps)
      expect(Reference.format(ran.reference)).toBe(`quay.io/team/app@${descriptor.digest}`)
      const failure = yield* Effect.flip(Copy.copy("ghcr.io/team/none", "quay.io/team/none"))
      expect(failure.message).toMatch(
        /^The source of the copy failed at ghcr.io\/team\/none:latest: .* has no manifest latest/
      )
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )
})

describe("a manifest of an older kind", () => {
  it.effect("of schema 1 is copied with its layers, throwaway ones among them (S32)", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const layers = [yield* layer(source), yield* layer(source)]
      const { manifest } = SignedManifest.make({
        schemaVersion: 1,
        name: repository,
        tag: v1,
        architecture: "amd64",
        fsLayers: layers.map(({ digest }) => ({ blobSum: digest })),
        history: layers.map((_, n) => ({
          v1Compatibility: JSON.stringify({ id: `${n}`, throwaway: n === 0 })
        }))
      })
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      const report = yield* Copy.between(...between())
      expect(report).toMatchObject({ ok: true, summary: { moved: { nodes: 3 } } })
      for (const { digest } of layers)
        expect(Option.isSome(yield* target.headBlob(repository, digest))).toBe(true)
    })
  )

  it.effect("of schema 1 whose layer is lost fails at the source", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const lost = yield* layer(source)
      const { manifest } = SignedManifest.make({
        schemaVersion: 1,
        name: repository,
        tag: v1,
        architecture: "amd64",
        fsLayers: [{ blobSum: lost.digest }],
        history: [{ v1Compatibility: "{}" }]
      })
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      yield* source.deleteBlob(repository, lost.digest)
      const failure = yield* Effect.flip(Copy.between(...between()))
      expect(failure).toMatchObject({ side: "source", error: { _tag: "BlobUnknown" } })
      expect(yield* tagOf(target)).toBeUndefined()
    })
  )

  it.effect("of the artifacts of a draft is copied with its blobs", () =>
    Effect.gen(function* () {
      const { between, source, target } = yield* world
      const part = yield* layer(source)
      const manifest = yield* Manifest.fromBytes(
        utf8(JSON.stringify({ mediaType: MediaType.artifactManifest, blobs: [part] })),
        { mediaType: MediaType.artifactManifest }
      )
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      yield* Copy.between(...between())
      expect(yield* tagOf(target)).toBe(manifest.descriptor.digest)
      expect(Option.isSome(yield* target.headBlob(repository, part.digest))).toBe(true)
    })
  )
})
