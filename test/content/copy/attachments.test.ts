/** What is attached to what is copied goes along: referrers, and what is under cosign's tags. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Credentials from "../../../src/auth/Credentials.js"
import * as TokenCache from "../../../src/auth/TokenCache.js"
import * as RegistryClient from "../../../src/client/RegistryClient.js"
import * as Copy from "../../../src/content/Copy.js"
import { Registry } from "../../../src/Registry.js"
import * as RegistryServer from "../../../src/server/RegistryServer.js"
import type * as Descriptor from "../../../src/spec/Descriptor.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as Reference from "../../../src/spec/Reference.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { freshDigest, items } from "../../support/fixtures.js"
import { blob, counted, image, lacking, platforms, repository, v1 } from "../../support/graphs.js"

const [sbom, signature] = ["application/vnd.example.sbom", "application/vnd.example.sig"]

const attach = Effect.fnUntraced(function* (
  registry: Registry.Service,
  subject: Descriptor.Descriptor,
  artifactType: string
) {
  const content = yield* blob(registry, "application/vnd.example.content")
  const { digest, mediaType, size } = subject
  return yield* image(registry, [content], { artifactType, subject: { digest, mediaType, size } })
})

const cosigned = Effect.fnUntraced(function* (
  registry: Registry.Service,
  subject: Descriptor.Descriptor,
  ending = "sig"
) {
  const manifest = yield* image(registry, [yield* blob(registry, "application/vnd.dev.cosign")])
  const tag = Reference.unsafeParseTag(`${subject.digest.replace(":", "-")}.${ending}`)
  yield* registry.putManifest(repository, manifest, { tags: [tag] })
  return { manifest, tag }
})

/** An index of two platforms, with attachments of it, of a platform and of an attachment. */
const world = Effect.gen(function* () {
  const [source, target] = [yield* MemoryRegistry.make(), yield* MemoryRegistry.make()]
  const { index, manifests } = yield* platforms(source, ["linux/amd64", "linux/arm64"])
  const [platform = index.descriptor] = manifests
  const attached = {
    ofIndex: yield* attach(source, index.descriptor, sbom),
    ofPlatform: yield* attach(source, platform, sbom)
  }
  const deep = yield* attach(source, attached.ofIndex.descriptor, signature)
  const tagged = yield* cosigned(source, platform)
  const [from, to] = [counted(source), counted(target)]
  const place = { registry: from.registry, repository, reference: v1 }
  return { source, target, from, to, place, index, platform, deep, tagged, ...attached }
})

const referrersOf = (registry: Registry.Service, subject: Descriptor.Descriptor) =>
  Effect.map(items(registry.referrers(repository, subject.digest)), (all) =>
    all.map(({ digest }) => digest)
  )

describe("what is attached", () => {
  it.effect("CP13: goes along with its own subject, of platforms and attachments too", () =>
    Effect.gen(function* () {
      const all = yield* world
      const { deep, index, ofIndex, ofPlatform, place, platform, source, tagged, target, to } = all
      const { outcomes } = yield* Copy.between(
        place,
        { registry: to.registry, repository },
        { referrers: true }
      )
      expect(outcomes).toMatchObject([{ status: "copied", attachments: 4 }])
      expect(yield* referrersOf(target, index.descriptor)).toEqual([ofIndex.descriptor.digest])
      expect(yield* referrersOf(target, platform)).toEqual([ofPlatform.descriptor.digest])
      expect(yield* referrersOf(target, ofIndex.descriptor)).toEqual([deep.descriptor.digest])
      for (const manifest of [index, ofIndex, ofPlatform, deep, tagged.manifest])
        expect(yield* lacking(source, target, manifest.descriptor.digest)).toEqual([])
      expect([...(yield* items(target.tags(repository)))].sort()).toEqual([tagged.tag, v1].sort())
    })
  )

  it.effect("CP14: comes after its subject, and before the tag", () =>
    Effect.gen(function* () {
      const { deep, index, ofIndex, place, to } = yield* world
      yield* Copy.between(place, { registry: to.registry, repository }, { referrers: true })
      const puts = to.log.filter((line) => line.startsWith("putManifest "))
      const at = (of: Manifest.Manifest) => puts.indexOf(`putManifest ${of.descriptor.digest}`)
      expect(at(index)).toBeGreaterThan(-1)
      expect(at(ofIndex)).toBeGreaterThan(at(index))
      expect(at(deep)).toBeGreaterThan(at(ofIndex))
      // The tag is the last put, of a manifest that is there.
      expect(puts.at(-1)).toBe(`putManifest ${index.descriptor.digest}`)
      expect(puts.filter((line) => line === puts.at(-1))).toHaveLength(2)
    })
  )

  it.effect("CP14: comes after its subject where one index lists both", () =>
    Effect.gen(function* () {
      const { platform, source, to } = yield* world
      const attached = yield* attach(source, platform, sbom)
      const deep = yield* attach(source, attached.descriptor, signature)
      const manifests = [deep.descriptor, attached.descriptor, platform]
      yield* source.putManifest(repository, Manifest.index({ manifests }), { tags: [v1] })
      const place = { registry: source, repository, reference: v1 }
      const target = { registry: to.registry, repository }
      const steps = yield* items(Copy.planBetween(place, target))
      yield* Copy.between(place, target)
      const digests = manifests.map(({ digest }) => digest).reverse()
      for (const puts of [
        steps.flatMap((step) => (step._tag === "Put" ? [step.descriptor.digest] : [])),
        to.log.filter((line) => line.startsWith("putManifest ")).map((line) => line.slice(12))
      ])
        expect(puts.slice(0, 3)).toEqual(digests)
    })
  )

  it.effect("CP14: leaves the old tag where one of it fails", () =>
    Effect.gen(function* () {
      const { deep, place, target } = yield* world
      const old = yield* image(target, [yield* blob(target, MediaType.layerTar)])
      yield* target.putManifest(repository, old, { tags: [v1] })
      const copy = Copy.between(
        place,
        { registry: target, repository },
        {
          referrers: true,
          before: ({ descriptor }) =>
            descriptor.digest === deep.descriptor.digest ? Effect.fail("off") : Effect.void
        }
      )
      expect(yield* Effect.flip(copy)).toBe("off")
      const found = yield* target.headManifest(repository, v1)
      expect(Option.getOrThrow(found).digest).toBe(old.descriptor.digest)
    })
  )

  it.effect("CP23: is not copied unless it is asked for, and plan and report say so", () =>
    Effect.gen(function* () {
      const { from, place, tagged, target } = yield* world
      const to = { registry: target, repository }
      const lines = yield* items(Copy.planBetween(place, to))
      expect(lines.map(Copy.format).at(-1)).toMatch(/, attachments: not asked for$/)
      const { outcomes } = yield* Copy.between(place, to)
      expect(outcomes).toMatchObject([{ attachments: "not asked for" }])
      expect(from.count("referrers")).toBe(0)
      expect(yield* items(target.tags(repository))).not.toContain(tagged.tag)
      const asked = yield* items(Copy.planBetween(place, to, { referrers: true }))
      // What is there already needs no tag; a kind that is absent is no error.
      expect(asked.filter(({ _tag }) => _tag === "Tag").map(Copy.format)).toMatchObject([
        expect.stringContaining(`tag ${tagged.tag} = `)
      ])
      yield* Copy.between(place, to, { referrers: true })
      const again = yield* Copy.between(place, to, { referrers: true, level: "tag" })
      expect(again.outcomes).toMatchObject([{ status: "present", attachments: 4 }])
    })
  )

  it.effect("is copied by type and depth", () =>
    Effect.gen(function* () {
      const { deep, index, ofIndex, ofPlatform, place, platform, target } = yield* world
      const to = { registry: target, repository }
      yield* Copy.between(place, to, { referrers: { artifactTypes: [signature] } })
      expect(yield* referrersOf(target, index.descriptor)).toEqual([])
      yield* Copy.between(place, to, { referrers: { artifactTypes: [sbom], depth: 1 } })
      expect(yield* referrersOf(target, platform)).toEqual([ofPlatform.descriptor.digest])
      expect(yield* referrersOf(target, ofIndex.descriptor)).toEqual([])
      expect((yield* items(target.tags(repository))).length).toBe(1)
      const types = [signature, sbom.toUpperCase()]
      yield* Copy.between(place, to, { referrers: { artifactTypes: types } })
      expect(yield* referrersOf(target, ofIndex.descriptor)).toEqual([deep.descriptor.digest])
    })
  )

  it.effect("that a list names and nobody has is left out", () =>
    Effect.gen(function* () {
      const { deep, ofIndex, place, source, target } = yield* world
      const listing: Registry.Service = {
        ...source,
        getManifest: (name, reference) =>
          reference === ofIndex.descriptor.digest
            ? source.getManifest(name, freshDigest())
            : source.getManifest(name, reference)
      }
      const { ok, summary } = yield* Copy.between(
        { ...place, registry: listing },
        { registry: target, repository },
        { referrers: true }
      )
      expect(ok).toBe(true)
      expect(summary.skipped.nodes).toBe(1)
      expect(yield* referrersOf(target, ofIndex.descriptor)).toEqual([deep.descriptor.digest])
    })
  )

  it.effect("that leads in a circle is copied once", () =>
    Effect.gen(function* () {
      const { source, target } = yield* world
      // An index that lists its own subject, and is a referrer of it.
      const base = yield* image(source, [yield* blob(source, MediaType.layerTar)])
      const circle = Manifest.index({
        manifests: [base.descriptor],
        subject: base.descriptor,
        artifactType: sbom
      })
      yield* source.putManifest(repository, circle)
      const { outcomes } = yield* Copy.between(
        { registry: source, repository, reference: base.descriptor.digest },
        { registry: target, repository },
        { referrers: true }
      )
      expect(outcomes).toMatchObject([{ attachments: 1 }])
      expect(yield* lacking(source, target, circle.descriptor.digest)).toEqual([])
    })
  )
})

describe("what a list of referrers names and the source does not have", () => {
  it.effect("is left out, and does not count", () =>
    Effect.gen(function* () {
      const { index, place, source, to } = yield* world
      const gone = { ...index.descriptor, digest: freshDigest() }
      const registry: Registry.Service = {
        ...source,
        referrers: (name, digest, options) =>
          Stream.concat(source.referrers(name, digest, options), Stream.make(gone))
      }
      const { outcomes, summary } = yield* Copy.between(
        { ...place, registry },
        { registry: to.registry, repository },
        { referrers: true }
      )
      expect(outcomes).toMatchObject([{ status: "copied", attachments: 4 }])
      expect(summary.skipped.nodes).toBe(1)
    })
  )
})

describe("CP11: a tag of cosign's that is another one at the target", () => {
  const differing = Effect.gen(function* () {
    const all = yield* world
    const other = yield* cosigned(all.target, all.platform)
    return { ...all, other, to: { registry: all.target, repository } }
  })
  const standing = (registry: Registry.Service, tag: Reference.Tag) =>
    Effect.map(registry.headManifest(repository, tag), (found) => Option.getOrThrow(found).digest)

  it.effect("stays, and is reported", () =>
    Effect.gen(function* () {
      const { other, place, source, tagged, target, to } = yield* differing
      const steps = yield* items(Copy.planBetween(place, to, { referrers: true }))
      expect(steps.map(Copy.format)).toContain(`skip ${tagged.tag}: the target has another one`)
      // Three of the four are copied.
      const report = yield* Copy.between(place, to, { referrers: true })
      expect(report.outcomes).toMatchObject([{ attachments: 3 }])
      expect(yield* standing(target, tagged.tag)).toBe(other.manifest.descriptor.digest)
      const from = { registry: source, repository }
      for (const cosignTags of ["keep", "skip"] as const) {
        const options = { tags: "all", cosignTags } as const
        const { ok, outcomes } = yield* Copy.between(from, to, options)
        expect(ok).toBe(true)
        expect(outcomes).toMatchObject([
          { source: tagged.tag, status: "kept", digest: other.manifest.descriptor.digest },
          { source: v1, status: "present" }
        ])
      }
    })
  )

  it.effect("is replaced if that is asked for", () =>
    Effect.gen(function* () {
      const { place, tagged, target, to } = yield* differing
      yield* Copy.between(place, to, { referrers: true, cosignTags: "replace" })
      expect(yield* standing(target, tagged.tag)).toBe(tagged.manifest.descriptor.digest)
    })
  )

  it.effect("is copied once where all tags are, along with its subject", () =>
    Effect.gen(function* () {
      const { source, tagged, target } = yield* world
      const to = counted(target)
      yield* Copy.between(
        { registry: source, repository },
        { registry: to.registry, repository },
        { tags: "all", referrers: true }
      )
      const { digest } = tagged.manifest.descriptor
      expect(to.log.filter((line) => line === `putManifest ${digest}`)).toHaveLength(1)
      expect(yield* standing(target, tagged.tag)).toBe(digest)
    })
  )
})

describe("CP11: lists under referrers tags", () => {
  /** A client of a server that does not list referrers, and what it stores. */
  const unlisting = Effect.gen(function* () {
    const store = yield* MemoryRegistry.make()
    const services = yield* Layer.build(
      RegistryServer.layerTest({
        quirks: { referrers: { status: 404 }, subjectHeader: false }
      }).pipe(
        Layer.provide(Layer.succeed(Registry, store)),
        Layer.merge(TokenCache.layerMemory),
        Layer.merge(Credentials.layerAnonymous)
      )
    )
    const client = Effect.provide(RegistryClient.make({ url: "http://registry.test" }), services)
    return { store, client, registry: yield* client }
  })

  it.scoped("are merged into those of the target, also when all tags are copied", () =>
    Effect.gen(function* () {
      const { registry: source } = yield* unlisting
      const { registry: target } = yield* unlisting
      const { index } = yield* platforms(source, ["linux/amd64"])
      const ours = yield* attach(source, index.descriptor, sbom)
      yield* Copy.between(
        { registry: source, repository, reference: v1 },
        {
          registry: target,
          repository
        }
      )
      const theirs = yield* attach(target, index.descriptor, signature)
      const list = Reference.referrersTag(index.descriptor.digest)
      const all = { tags: "all", referrers: true } as const
      const places = [
        { registry: source, repository },
        { registry: target, repository }
      ] as const
      yield* Copy.between(...places, { tags: "all" })
      expect(yield* referrersOf(target, index.descriptor)).toEqual([theirs.descriptor.digest])
      yield* Copy.between(...places, all)
      const both = [theirs.descriptor.digest, ours.descriptor.digest]
      expect(yield* referrersOf(target, index.descriptor)).toEqual(both)
      expect(yield* items(target.tags(repository))).toEqual([list, v1])
      const { outcomes } = yield* Copy.between(...places, all)
      expect(outcomes).toMatchObject([{ source: v1, status: "present", attachments: 1 }])
    })
  )

  it.scoped("that lack a referrer which is there get it, as after an interruption", () =>
    Effect.gen(function* () {
      const { place, index, ofIndex } = yield* world
      const { client, registry: target, store } = yield* unlisting
      yield* Copy.between(place, { registry: target, repository }, { referrers: true })
      yield* store.deleteTag(repository, Reference.referrersTag(index.descriptor.digest))
      // Another process, which does not know what the first one wrote.
      const later = yield* client
      expect(yield* referrersOf(later, index.descriptor)).toEqual([])
      yield* Copy.between(place, { registry: later, repository }, { referrers: true })
      expect(yield* referrersOf(later, index.descriptor)).toEqual([ofIndex.descriptor.digest])
    })
  )
})
