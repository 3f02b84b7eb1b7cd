import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import type { RepositoryName } from "../../src/spec/Reference.js"
import { freshBytes, freshDigest, freshRepository, image, items, tag } from "../support/fixtures.js"
import type { It, Supports } from "./registry.js"

export const listSuite = (it: It, supports: Supports): void => {
  const tagged = Effect.fnUntraced(function* (...names: ReadonlyArray<string>) {
    const registry = yield* Registry
    const repository = yield* freshRepository
    const tags = yield* Effect.forEach(names, tag)
    yield* registry.putManifest(repository, yield* image(registry, repository, "m1"), { tags })
    return { registry, repository, tags }
  })

  it.effect.each([undefined, 1, 2, 3, 100])(
    "lists all tags whatever the page size: pageSize = %s (C83, C85)",
    (pageSize) =>
      Effect.gen(function* () {
        const { registry, repository } = yield* tagged("c", "a", "d", "B", "e")
        const listed = yield* items(registry.tags(repository, { pageSize }))
        expect(listed.toSorted()).toEqual(["B", "a", "c", "d", "e"])
      })
  )

  if (supports.tagPaging) {
    it.effect.each([undefined, 1, 2, 100])(
      "lists tags in order after `after`, which need not exist: pageSize = %s (C84, R33)",
      (pageSize) =>
        Effect.gen(function* () {
          const { registry, repository } = yield* tagged("2.0", "1.10", "1.9", "3")
          expect(yield* items(registry.tags(repository, { pageSize }))).toEqual([
            "1.10",
            "1.9",
            "2.0",
            "3"
          ])
          expect(
            yield* items(registry.tags(repository, { pageSize, after: yield* tag("1.9") }))
          ).toEqual(["2.0", "3"])
          expect(
            yield* items(registry.tags(repository, { pageSize, after: yield* tag("1.11") }))
          ).toEqual(["1.9", "2.0", "3"])
          expect(
            yield* items(registry.tags(repository, { pageSize, after: yield* tag("3") }))
          ).toEqual([])
        })
    )
  }

  it.effect("lists all manifests with when they were put, tagged or not, where it can", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* tagged("a", "b")
      const child = yield* image(registry, repository, "m2")
      yield* registry.putManifest(repository, child)
      const { descriptor } = Manifest.index({ manifests: [child.descriptor] })
      yield* registry.putManifest(repository, Manifest.index({ manifests: [child.descriptor] }))
      const listed = Effect.either(items(registry.manifests(repository)))
      if (!supports.manifestList) {
        expect(yield* listed).toMatchObject({ _tag: "Left", left: { _tag: "Unsupported" } })
        return
      }
      const found = yield* items(registry.manifests(repository))
      const tag_ = yield* registry.headManifest(repository, yield* tag("a"))
      expect(found.map(({ descriptor }) => descriptor.digest).sort()).toEqual(
        [...Option.toArray(tag_), child.descriptor, descriptor].map(({ digest }) => digest).sort()
      )
      for (const { putAt } of found)
        expect(Math.abs(putAt.getTime() - Date.now())).toBeLessThan(600_000)
      yield* registry.deleteManifest(repository, child.descriptor.digest)
      expect(yield* items(registry.manifests(repository))).toHaveLength(2)
      expect(yield* Effect.flip(items(registry.manifests(yield* freshRepository)))).toMatchObject({
        _tag: "NameUnknown"
      })
    })
  )

  it.effect("gives the first tags to a consumer that stops there", () =>
    Effect.gen(function* () {
      const { registry, repository, tags } = yield* tagged("a", "b", "c")
      const first = yield* items(Stream.take(registry.tags(repository, { pageSize: 1 }), 1))
      expect(first.length).toBe(1)
      expect(tags).toContain(first[0])
    })
  )

  it.effect("reports the tags of an unknown repository as NameUnknown (R8)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      expect(yield* Effect.flip(items(registry.tags(repository)))).toMatchObject({
        _tag: "NameUnknown",
        repository
      })
    })
  )

  it.effect("lists every repository, page by page, and those after `after` (C92)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      if (!supports.catalog) {
        const error = yield* Effect.flip(items(registry.repositories()))
        return expect(error._tag).toBe("Unsupported")
      }
      const created = (yield* Effect.replicateEffect(freshRepository, 3)).toSorted()
      yield* Effect.forEach(created, (repository) =>
        registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
      )
      const listed = (among: ReadonlyArray<RepositoryName>) =>
        among.filter((name) => created.includes(name))
      expect(listed(yield* items(registry.repositories()))).toEqual(created)
      expect(listed(yield* items(registry.repositories({ pageSize: 2 })))).toEqual(created)
      const after = created[0]
      expect(listed(yield* items(registry.repositories({ pageSize: 1, after })))).toEqual(
        created.slice(1)
      )
    })
  )

  it.effect("lists referrers with the type and annotations of their manifests (R35, C77)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const m1 = yield* image(registry, repository, "m1")
      yield* registry.putManifest(repository, m1)
      const subject = m1.descriptor
      const typed = yield* image(registry, repository, "a1", {
        artifactType: "application/vnd.example.sbom",
        annotations: { "org.example.note": "one" },
        subject
      })
      const untyped = yield* image(registry, repository, "a2", { subject })
      const index = Manifest.index({
        manifests: [subject],
        annotations: { "org.example.note": "two" },
        subject
      })
      for (const referrer of [typed, untyped, index])
        yield* registry.putManifest(repository, referrer)
      const listed = yield* items(registry.referrers(repository, subject.digest))
      expect(listed.toSorted(byDigest)).toEqual(
        [
          {
            ...typed.descriptor,
            artifactType: "application/vnd.example.sbom",
            annotations: { "org.example.note": "one" }
          },
          { ...untyped.descriptor, artifactType: MediaType.imageConfig },
          { ...index.descriptor, annotations: { "org.example.note": "two" } }
        ].toSorted(byDigest)
      )
    })
  )

  it.effect("lists only referrers of the artifact type asked for (C91, R37)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const { descriptor: subject } = yield* image(registry, repository, "m1")
      const [sbom, signature] = [
        "application/vnd.example.sbom",
        "application/vnd.example.signature"
      ]
      const a1 = yield* image(registry, repository, "a1", { artifactType: sbom, subject })
      const a2 = yield* image(registry, repository, "a2", { artifactType: signature, subject })
      yield* registry.putManifest(repository, a1)
      yield* registry.putManifest(repository, a2)
      const ofType = (artifactType: string) =>
        Effect.map(
          items(registry.referrers(repository, subject.digest, { artifactType })),
          (found) => found.map(({ digest }) => digest)
        )
      expect(yield* ofType(sbom)).toEqual([a1.descriptor.digest])
      expect(yield* ofType(signature)).toEqual([a2.descriptor.digest])
      expect(yield* ofType("application/vnd.example")).toEqual([])
    })
  )

  it.effect("lists referrers that were there before their subject (R11)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const m1 = yield* image(registry, repository, "m1")
      const a1 = yield* image(registry, repository, "a1", { subject: m1.descriptor })
      const digests = Effect.map(
        items(registry.referrers(repository, m1.descriptor.digest)),
        (found) => found.map(({ digest }) => digest)
      )
      yield* registry.putManifest(repository, a1)
      expect(yield* digests).toEqual([a1.descriptor.digest])
      yield* registry.putManifest(repository, m1)
      yield* registry.putManifest(repository, a1)
      expect(yield* digests).toEqual([a1.descriptor.digest])
    })
  )

  if (supports.manifestDelete)
    it.effect("lists a deleted referrer no longer (C97)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const { descriptor: subject } = yield* image(registry, repository, "m1")
        const a1 = yield* image(registry, repository, "a1", { subject })
        const a2 = yield* image(registry, repository, "a2", { subject })
        yield* registry.putManifest(repository, a1)
        yield* registry.putManifest(repository, a2)
        yield* registry.deleteManifest(repository, a1.descriptor.digest)
        const listed = yield* items(registry.referrers(repository, subject.digest))
        expect(listed.map(({ digest }) => digest)).toEqual([a2.descriptor.digest])
      })
    )

  it.effect("lists no referrers of an unknown subject or in an unknown repository (R34, C89)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      expect(yield* items(registry.referrers(repository, freshDigest()))).toEqual([])
      yield* registry.putManifest(repository, yield* image(registry, repository, "m1"))
      expect(yield* items(registry.referrers(repository, freshDigest()))).toEqual([])
      expect(
        yield* items(registry.referrers(repository, Digest.fromBytes(freshBytes("x"), "sha512")))
      ).toEqual([])
    })
  )
}

const byDigest = (self: { readonly digest: string }, that: { readonly digest: string }): number =>
  self.digest < that.digest ? -1 : 1
