/** Walks of what is attached to manifests: what is asked, in which order, and where they end. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Artifact from "../../src/content/Artifact.js"
import * as Referrers from "../../src/content/Referrers.js"
import * as Registries from "../../src/Registries.js"
import * as Registry from "../../src/Registry.js"
import { ManifestUnknown, Unsupported } from "../../src/RegistryError.js"
import type { Descriptor } from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { items, utf8 } from "../support/fixtures.js"

const descriptor = (symbol: string, algorithm?: Digest.Algorithm): Descriptor => ({
  mediaType: MediaType.imageManifest,
  digest: Digest.fromBytes(utf8(symbol), algorithm),
  size: 1
})

const root = descriptor("root")

interface Scripted {
  readonly referrers?: Readonly<Record<string, ReadonlyArray<string>>>
  readonly indexes?: Readonly<Record<string, ReadonlyArray<Descriptor>>>
  readonly tags?: Readonly<Record<string, Descriptor>>
}

/** A registry whose lists are a script, by symbols, and what it was asked. */
const scripted = ({ indexes = {}, referrers = {}, tags = {} }: Scripted) => {
  const symbols = new Map<string, string>(
    ["root", ...Object.keys(indexes), ...Object.entries(referrers).flat(2)].map((symbol) => [
      Digest.fromBytes(utf8(symbol)),
      symbol
    ])
  )
  const asked: Array<string> = []
  const registry = Registry.make({
    headManifest: (_, reference) =>
      Effect.sync(() => {
        asked.push(`head ${symbols.get(reference) ?? reference}`)
        return Digest.isDigest(reference)
          ? Option.some({
              ...root,
              digest: reference,
              mediaType: indexes[symbols.get(reference) ?? ""]
                ? MediaType.imageIndex
                : MediaType.imageManifest
            })
          : Option.fromNullable(tags[reference])
      }),
    getManifest: (repository, reference) =>
      Effect.suspend(() => {
        asked.push(`get ${symbols.get(reference)}`)
        const manifests = indexes[symbols.get(reference) ?? ""]
        return manifests === undefined
          ? Effect.fail(new ManifestUnknown({ repository, reference }))
          : Effect.succeed(Manifest.index({ manifests }))
      }),
    referrers: (_, digest) =>
      Stream.suspend(() => {
        asked.push(`referrers of ${symbols.get(digest) ?? digest}`)
        const found = referrers[symbols.get(digest) ?? ""] ?? []
        return Stream.fromIterable(found.map((symbol) => descriptor(symbol)))
      })
  })
  const nameOf = (digest: Digest.Digest) => symbols.get(digest) ?? digest
  return { asked, nameOf, registry }
}

const at = (digest = root.digest) =>
  Effect.map(Reference.parse("registry.test/team/app"), (reference) =>
    Reference.withDigest(reference, digest)
  )

const walked = (script: Scripted, options: Referrers.WalkOptions = {}) =>
  Effect.gen(function* () {
    const { asked, nameOf, registry } = scripted(script)
    const found = yield* items(
      Referrers.walkFrom(registry, yield* at(), { cosignTags: false, ...options })
    )
    return {
      asked,
      found: found.map(
        ({ depth, descriptor, subject }) =>
          `${nameOf(subject.digest)} <- ${nameOf(descriptor.digest)} ${depth}`
      )
    }
  })

describe("a walk", () => {
  it.effect("asks of each manifest once, and ends where lists lead in a circle", () =>
    Effect.gen(function* () {
      const { asked, found } = yield* walked({
        referrers: { root: ["a", "b"], a: ["c"], b: ["c", "b"], c: ["root", "a"] }
      })
      expect(found).toEqual([
        "root <- a 1",
        "root <- b 1",
        "a <- c 2",
        "b <- c 2",
        "b <- b 2",
        "c <- root 3",
        "c <- a 3"
      ])
      expect(asked).toEqual([
        "head root",
        "referrers of root",
        "referrers of a",
        "referrers of b",
        "referrers of c"
      ])
    })
  )

  it.effect("goes as deep as it is told, and asks no further", () =>
    Effect.gen(function* () {
      const script = { referrers: { root: ["a"], a: ["b"], b: ["c"] } }
      const { asked, found } = yield* walked(script, { depth: 2 })
      expect(found).toEqual(["root <- a 1", "a <- b 2"])
      expect(asked).toEqual(["head root", "referrers of root", "referrers of a"])
    })
  )

  it.effect("fails where there is more than its limits allow, and does not cut it short", () =>
    Effect.gen(function* () {
      const many = Array.from({ length: 100 }, (_, n) => `${n}`)
      const excess = yield* Effect.flip(walked({ referrers: { root: many } }, { limit: 99 }))
      expect(excess).toMatchObject({ _tag: "LimitExceeded", limit: 99, option: "limit" })
      expect((yield* walked({ referrers: { root: many } }, { limit: 100 })).found).toHaveLength(100)

      const deep = Object.fromEntries(
        ["root", ...many].map((symbol, n) => [symbol, [many[n] ?? "end"]])
      )
      expect(yield* Effect.flip(walked({ referrers: deep }))).toMatchObject({
        _tag: "LimitExceeded",
        limit: 32
      })
      expect((yield* walked({ referrers: deep }, { depth: 32 })).found).toHaveLength(32)
    })
  )

  it.effect("asks of nothing before it runs, and of what is next as it is read", () =>
    Effect.gen(function* () {
      const { asked, registry } = scripted({ referrers: { root: ["a"], a: ["b"] } })
      const walk = Referrers.walkFrom(registry, yield* at(), { cosignTags: false })
      expect(asked).toEqual([])
      yield* items(Stream.take(walk, 1))
      expect(asked).toEqual(["head root", "referrers of root"])
    })
  )

  it.effect("asks of the manifests of indexes in indexes, and of no layer there (CP13, CP15)", () =>
    Effect.gen(function* () {
      const nested = { ...descriptor("nested"), mediaType: MediaType.imageIndex }
      const lost = { ...descriptor("lost"), mediaType: MediaType.imageIndex }
      const script = {
        indexes: {
          root: [nested, descriptor("one"), { ...root, mediaType: MediaType.layerTarGzip }, lost],
          nested: [descriptor("one"), descriptor("two")]
        },
        referrers: { one: ["a"], two: ["b"], lost: ["c"] }
      }
      const { asked, found } = yield* walked(script, { platforms: true })
      expect(found).toEqual(["one <- a 1", "lost <- c 1", "two <- b 1"])
      expect(asked.filter((line) => line.startsWith("get"))).toEqual([
        "get root",
        "get nested",
        "get lost"
      ])
      expect((yield* walked(script)).found).toEqual([])
    })
  )

  it.effect("finds cosign's tags, and says of what kind each is", () =>
    Effect.gen(function* () {
      const prefix = root.digest.replace(":", "-")
      const [signature, attestation] = [descriptor("signature"), descriptor("attestation")]
      const { asked, registry } = scripted({
        referrers: { root: ["a"] },
        tags: { [`${prefix}.sig`]: signature, [`${prefix}.att`]: attestation }
      })
      const found = yield* items(Referrers.walkFrom(registry, yield* at(), { depth: 1 }))
      expect(found.map(({ descriptor, link }) => ({ link, digest: descriptor.digest }))).toEqual([
        { link: { _tag: "Referrer" }, digest: descriptor("a").digest },
        {
          link: { _tag: "CosignTag", kind: "Signature", tag: `${prefix}.sig` },
          digest: signature.digest
        },
        {
          link: { _tag: "CosignTag", kind: "Attestation", tag: `${prefix}.att` },
          digest: attestation.digest
        }
      ])
      expect(asked).toEqual([
        "head root",
        "referrers of root",
        `head ${prefix}.sig`,
        `head ${prefix}.att`,
        `head ${prefix}.sbom`
      ])
      expect(Reference.format(found[0]?.reference ?? (yield* at()))).toBe(
        `registry.test/team/app@${descriptor("a").digest}`
      )
    })
  )

  it.effect("looks for no tag that is too long to be one", () =>
    Effect.gen(function* () {
      const { digest } = descriptor("root", "sha512")
      const { asked, registry } = scripted({})
      yield* items(Referrers.walkFrom(registry, yield* at(digest)))
      expect(asked).toEqual([`head ${digest}`, `referrers of ${digest}`])
    })
  )

  it.effect("fails where there is no such manifest, and where nobody lists referrers", () =>
    Effect.gen(function* () {
      const absent = Registry.make({ headManifest: () => Effect.succeedNone })
      expect(yield* Effect.flip(items(Referrers.walkFrom(absent, yield* at())))).toMatchObject({
        _tag: "ManifestUnknown",
        reference: root.digest
      })
      const listless = Registry.make({ headManifest: () => Effect.succeedSome(root) })
      const error = yield* Effect.flip(items(Referrers.walkFrom(listless, yield* at())))
      expect(error).toEqual(new Unsupported({ operation: "referrers" }))
    })
  )
})

describe("a tree", () => {
  it.effect("has what is attached to a manifest where that is met first", () =>
    Effect.gen(function* () {
      const { nameOf, registry } = scripted({
        referrers: { root: ["a", "c"], a: ["c"], c: ["d", "root"] }
      })
      const tree = yield* Referrers.treeFrom(registry, yield* at(), { cosignTags: false })
      const lines = ({ attachments, descriptor }: Referrers.Tree): ReadonlyArray<string> => [
        nameOf(descriptor.digest),
        ...attachments.flatMap(lines).map((line) => `  ${line}`)
      ]
      expect(lines(tree)).toEqual(["root", "  a", "    c", "  c", "    d", "    root"])
    })
  )

  it.effect("is found by reference, and what it has is pulled by reference", () =>
    Effect.gen(function* () {
      yield* Artifact.push("ghcr.io/owner/app:1", { artifactType: "a/b", files: [] })
      const source = utf8("{}")
      const sbom = yield* Artifact.attach("ghcr.io/owner/app:1", {
        artifactType: "application/spdx+json",
        files: [{ source }]
      })
      yield* Artifact.attach(sbom.reference, { artifactType: "a/signature", files: [] })
      const { attachments } = yield* Referrers.tree("ghcr.io/owner/app:1")
      expect(attachments.map(({ descriptor }) => descriptor.artifactType)).toEqual([
        "application/spdx+json"
      ])
      const walked = yield* items(Referrers.walk("ghcr.io/owner/app:1"))
      expect(walked.map(({ descriptor }) => descriptor.artifactType)).toEqual([
        "application/spdx+json",
        "a/signature"
      ])
      for (const { reference } of walked) yield* Artifact.pull(reference)
      expect(yield* Effect.flip(Referrers.tree("ghcr.io/owner/app:2"))).toMatchObject({
        _tag: "ManifestUnknown",
        host: "ghcr.io"
      })
      const failed = yield* Effect.flip(items(Referrers.walk("ghcr.io/Owner/app")))
      expect(failed._tag).toBe("InvalidReference")
      expect(yield* Registries.exists(sbom.reference)).toBe(true)
    }).pipe(Effect.provide(Layer.fresh(MemoryRegistry.layerRegistries())))
  )
})
