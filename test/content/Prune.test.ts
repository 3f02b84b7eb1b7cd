/** What prunes plan, and why; and what they leave alone. */
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as BlobSource from "../../src/BlobSource.js"
import * as Prune from "../../src/content/Prune.js"
import * as Registries from "../../src/Registries.js"
import type { Registry } from "../../src/Registry.js"
import {
  ManifestUnknown,
  NameUnknown,
  RegistryFailure,
  Unsupported
} from "../../src/RegistryError.js"
import type * as Manifest from "../../src/spec/Manifest.js"
import * as ManifestOf from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { utf8 } from "../support/fixtures.js"
import { digestOf, pusher, signatureTag } from "../support/pruning.js"

const app = Reference.unsafeParseRepositoryName("team/app")

/** A registry in memory, on the TestClock, which begins at noon of a day in 2026. */
const world = Effect.gen(function* () {
  yield* TestClock.setTime(Date.UTC(2026, 10, 29, 12))
  const memory = yield* MemoryRegistry.make()
  const stored = Effect.map(memory.snapshot, (all) => Object.keys(all[app]?.manifests ?? {}))
  return {
    memory,
    ...pusher(memory, app),
    stored,
    /** Whether these are there, and nothing else. */
    hasOnly: (...manifests: ReadonlyArray<Manifest.Manifest>) =>
      Effect.map(stored, (digests) =>
        expect([...digests].sort()).toEqual(manifests.map(digestOf).sort())
      ),
    plan: (policy: Prune.Policy, registry: Registry.Service = memory) =>
      Prune.planFrom(registry, app, policy),
    prune: (policy: Prune.Policy, registry: Registry.Service = memory) =>
      Effect.flatMap(Prune.planFrom(registry, app, policy), (made) =>
        Prune.executeFrom(registry, made)
      )
  }
})

const everything: Prune.Policy = { rules: [{ include: ["*"] }] }

describe("a rule by age", () => {
  const dates: ReadonlyArray<
    readonly [
      what: string,
      created: string | undefined,
      annotation: string | undefined,
      old: boolean
    ]
  > = [
    ["of the configuration", "2026-10-01T00:00:00.123456789Z", undefined, true],
    ["with an offset", "2026-10-01T02:00:00+02:00", undefined, true],
    ["that is no older than that", "2026-10-30T12:00:00Z", undefined, false],
    ["that is not old enough", "2026-11-28T00:00:00Z", undefined, false],
    ["of the annotation alone", undefined, "2026-10-01T00:00:00Z", true],
    [
      "of the annotation where that is newer",
      "2026-10-01T00:00:00Z",
      "2026-11-28T00:00:00Z",
      false
    ],
    [
      "of the annotation where the other means nothing",
      "1970-01-01T00:00:00Z",
      "2026-10-01T00:00:00Z",
      true
    ],
    // CP04: what reproducible builds write, and what cannot be.
    ["of year 1", "0001-01-01T00:00:00Z", undefined, false],
    ["of 1970", "1970-01-01T00:00:00Z", undefined, false],
    ["of 1980", "1980-01-01T00:00:01Z", undefined, false],
    ["of 2012", "2012-12-31T23:59:59Z", undefined, false],
    ["of 2013", "2013-01-01T00:00:00Z", undefined, true],
    ["of no calendar", "2026-13-41T00:00:00Z", undefined, false],
    ["in the future", "2026-11-29T12:00:01Z", undefined, false],
    ["of which one is in the future", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z", false],
    ["that is none", "yesterday", undefined, false],
    ["that is not there", undefined, undefined, false]
  ]
  it.effect.each(dates)("heeds a date %s", ([, created, annotation, isOld]) =>
    Effect.gen(function* () {
      const { image, plan } = yield* world
      const annotations = { [`org.opencontainers.image.created`]: annotation ?? "" }
      yield* image("m", { tags: "a", created, ...(annotation !== undefined && { annotations }) })
      const {
        rules: [result]
      } = yield* plan({ rules: [{ olderThan: "30 days" }] })
      expect(result?.removed).toEqual(isOld ? ["a"] : [])
      const isKnown =
        isOld ||
        annotation === "2026-11-28T00:00:00Z" ||
        /^2026-(?:11-28|10-30)/.test(created ?? "")
      expect(result?.ofUnknownAge).toEqual(isKnown ? [] : ["a"])
    })
  )

  it.effect("takes an index for as old as its newest image, attestations left out (CP04)", () =>
    Effect.gen(function* () {
      const { image, memory, plan } = yield* world
      const old = yield* image("old", { created: "2026-01-01T00:00:00Z" })
      const young = yield* image("young", { created: "2026-11-29T00:00:00Z" })
      const undated = yield* image("undated")
      const lost = yield* image("lost", { created: "2026-11-29T00:00:00Z" })
      const index = Effect.fnUntraced(function* (
        tag: string,
        ...of: ReadonlyArray<Manifest.Manifest>
      ) {
        const manifests = of.map(({ descriptor }) =>
          descriptor === undated.descriptor
            ? { ...descriptor, platform: { architecture: "unknown", os: "unknown" } }
            : descriptor
        )
        const index = ManifestOf.index({ manifests })
        yield* memory.putManifest(app, index, { tags: [Reference.unsafeParseTag(tag)] })
        return index
      })
      yield* index("old", old)
      yield* index("attested", old, undated)
      yield* index("mixed", old, young)
      yield* index("lost", old, lost)
      yield* index("empty")
      const nested = yield* index("nested", old)
      yield* index("outer", nested)
      yield* memory.putManifest(
        app,
        ManifestOf.index({ manifests: [old.descriptor, undated.descriptor] }),
        { tags: [Reference.unsafeParseTag("undated")] }
      )
      yield* memory.deleteManifest(app, digestOf(lost))
      const {
        rules: [result]
      } = yield* plan({ rules: [{ olderThan: "30 days" }] })
      expect([...(result?.removed ?? [])].sort()).toEqual([
        "attested",
        "lost",
        "nested",
        "old",
        "outer"
      ])
      expect([...(result?.ofUnknownAge ?? [])].sort()).toEqual(["empty", "undated"])
    })
  )

  it.effect(
    "takes the annotation of an index, and no index for older than it can be followed",
    () =>
      Effect.gen(function* () {
        const { image, index, memory, plan } = yield* world
        const old = yield* image("old", { created: "2026-01-01T00:00:00Z" })
        const annotations = { "org.opencontainers.image.created": "2026-11-28T00:00:00Z" }
        yield* index([old], { tags: "annotated", annotations })
        let nested = old
        for (let depth = 1; depth <= 10; depth++)
          nested = yield* index([nested], { tags: `deep-${depth}` })
        const attestation = yield* image("attestation")
        const attested = ManifestOf.index({
          manifests: [
            old.descriptor,
            {
              ...attestation.descriptor,
              annotations: { "vnd.docker.reference.type": "attestation-manifest" }
            }
          ]
        })
        yield* memory.putManifest(app, attested, { tags: [Reference.unsafeParseTag("attested")] })
        const { rules } = yield* plan({ rules: [{ olderThan: "30 days" }] })
        const deep = (from: number, to: number) =>
          Array.from({ length: to - from + 1 }, (_, n) => `deep-${from + n}`)
        expect([...(rules[0]?.removed ?? [])].sort()).toEqual(["attested", ...deep(1, 8)])
        expect([...(rules[0]?.ofUnknownAge ?? [])].sort()).toEqual(deep(9, 10).sort())
      })
  )

  it.effect("is not needed to keep the newest calendar versions, and no date is made up", () =>
    Effect.gen(function* () {
      const { image, memory, plan } = yield* world
      yield* image("new", { tags: "2026.02", created: "2026-01-01T00:00:00Z" })
      yield* image("old", { tags: "2025.12", created: "2026-11-01T00:00:00Z" })
      const lost = yield* image("lost", { tags: "lost", created: "2026-01-01T00:00:00Z" })
      const [config] = ManifestOf.references(lost)
      if (config !== undefined) yield* memory.deleteBlob(app, config.digest)
      const { rules } = yield* plan({
        rules: [
          { calendar: "*", keep: 1 },
          { include: ["lost"], olderThan: "1 day" }
        ]
      })
      expect(rules.map(({ removed }) => removed)).toEqual([["2025.12"], []])
      expect(rules[1]?.ofUnknownAge).toEqual(["lost"])
    })
  )

  it.effect("does not look for dates in configurations that are not of images", () =>
    Effect.gen(function* () {
      const { memory, plan } = yield* world
      const document = JSON.stringify({ created: "2026-01-01T00:00:00Z" })
      const config = yield* memory.putBlob(app, BlobSource.fromBytes(utf8(document)), {
        mediaType: "application/vnd.example.config.v1+json"
      })
      yield* memory.putManifest(app, ManifestOf.image({ config, layers: [] }), {
        tags: [Reference.unsafeParseTag("chart")]
      })
      const made = yield* plan({ rules: [{ olderThan: "30 days" }] })
      expect(made.rules[0]?.ofUnknownAge).toEqual(["chart"])
      expect(made.cost.configs).toBe(0)
    })
  )
})

describe("tags and what they stand on", () => {
  it.effect("a protected tag wins over every rule, and is reported (CP04)", () =>
    Effect.gen(function* () {
      const { hasOnly, image, prune } = yield* world
      yield* image("a", { tags: "1.0.0" })
      const kept = yield* image("b", { tags: "2.0.0 stable" })
      const { plan } = yield* prune({
        protect: [{ include: ["stable"] }, { semver: "*", newest: 1 }],
        rules: [{ include: ["*"] }, { semver: "*" }]
      })
      yield* hasOnly(kept)
      expect([...plan.protected].sort()).toEqual(["2.0.0", "stable"])
      expect(plan.rules.map(({ removed }) => removed)).toEqual([["1.0.0"], ["1.0.0"]])
      expect(plan.deletions).toMatchObject([{ reason: { rules: [0, 1] }, tags: ["1.0.0"] }])
    })
  )

  it.effect("attachments fit no pattern, take no place, and have no age (CP06)", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, plan, prune } = yield* world
      const created = "2026-01-01T00:00:00Z"
      const child = yield* image("child")
      const kept = yield* index([child], { tags: "1.0.0" })
      const signature = yield* image("sig", { tags: signatureTag(kept), created })
      const attestation = yield* image("att", { created })
      const list = yield* index([attestation], { tags: Reference.referrersTag(digestOf(child)) })
      const old = yield* image("old", { tags: "0.9.0" })
      yield* image("oldSig", { tags: signatureTag(old), created })
      const rules: Prune.Policy["rules"] = [
        { include: ["sha*"] },
        { olderThan: "1 day" },
        { keep: 2, include: ["*"] }
      ]
      expect(yield* plan({ rules })).toMatchObject({ deletions: [], untaggings: [] })
      yield* prune({ rules: [{ semver: "*", keep: 1 }] })
      yield* hasOnly(child, kept, signature, attestation, list)
    })
  )

  it.effect("a signature that two images share stays with the other, and loses one tag", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, prune } = yield* world
      const old = yield* image("old", { tags: "pr-1" })
      const kept = yield* image("kept", { tags: "v1" })
      const both = yield* image("sig", { tags: `${signatureTag(old)} ${signatureTag(kept)}` })
      const { untaggings } = yield* prune({ rules: [{ include: ["pr-*"] }] })
      expect(untaggings).toMatchObject([{ tag: signatureTag(old), outcome: { _tag: "Removed" } }])
      yield* hasOnly(kept, both)
      expect(Object.keys((yield* memory.snapshot)[app]?.tags ?? {}).sort()).toEqual(
        [signatureTag(kept), "v1"].sort()
      )
    })
  )

  it.effect("what is attached to what no tag leads to stays, where nobody lists that", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, prune } = yield* world
      const old = yield* image("old", { tags: "pr-1" })
      const byDigest = yield* image("byDigest")
      const both = yield* image("both", { subject: old, tags: signatureTag(byDigest) })
      const unlisted = { manifests: () => Stream.fail(new Unsupported({ operation: "x" })) }
      yield* prune({ rules: [{ include: ["pr-*"] }] }, { ...memory, ...unlisted })
      yield* hasOnly(old, byDigest, both)
    })
  )

  it.effect("a referrer of what no tag leads to stays with it, where nobody lists that", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, prune } = yield* world
      const root = yield* image("root", { tags: "v1" })
      const sbom = yield* image("sbom", { subject: root })
      const signature = yield* image("sig", { subject: sbom, tags: "pr-1" })
      const lost = yield* image("lost")
      yield* image("orphan", { subject: lost, tags: "pr-2" })
      yield* memory.deleteManifest(app, digestOf(lost))
      const unlisted = { manifests: () => Stream.fail(new Unsupported({ operation: "x" })) }
      const { plan } = yield* prune({ rules: [{ include: ["pr-*"] }] }, { ...memory, ...unlisted })
      yield* hasOnly(root, sbom, signature)
      expect(plan.untaggings).toMatchObject([
        { tag: "pr-1", why: `it belongs to ${digestOf(sbom)}` }
      ])
    })
  )

  it.effect("a referrer with a tag that goes stays with its subject, and the reverse", () =>
    Effect.gen(function* () {
      const { hasOnly, image, prune } = yield* world
      const subject = yield* image("subject", { tags: "v1" })
      const sbom = yield* image("sbom", { tags: "pr-sbom", subject })
      const base = yield* image("base", { tags: "pr-base" })
      const report = yield* image("report", { tags: "v2", subject: base })
      const { plan } = yield* prune({ rules: [{ include: ["pr-*"] }] })
      yield* hasOnly(subject, sbom, base, report)
      expect(plan.untaggings.map(({ tag, why }) => [tag, why])).toEqual([
        ["pr-base", `it belongs to ${digestOf(report)}`],
        ["pr-sbom", `it belongs to ${digestOf(subject)}`]
      ])
    })
  )

  it.effect("a cache of BuildKit goes, and its layers are asked for as nothing else (CP15)", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, prune } = yield* world
      const kept = yield* image("kept", { tags: "v1" })
      const layer = { ...kept.descriptor, mediaType: MediaType.layerTarGzip }
      for (const [tag, type] of [
        ["cache", "a"],
        ["v2", "b"]
      ] as const) {
        const cache = ManifestOf.index({ manifests: [layer], annotations: { type } })
        yield* memory.putManifest(app, cache, { tags: [Reference.unsafeParseTag(tag)] })
      }
      const asked: Array<string> = []
      const watched: Registry.Service = {
        ...memory,
        manifests: () => Stream.fail(new Unsupported({ operation: "listing manifests" })),
        getManifest: (repository, reference) => {
          asked.push(reference)
          return memory.getManifest(repository, reference)
        }
      }
      yield* prune({ rules: [{ include: ["cache", "v2"] }] }, watched)
      yield* hasOnly(kept)
      expect(asked).not.toContain(digestOf(kept))
    })
  )
})

describe("what is kept", () => {
  const unlisted = { manifests: () => Stream.fail(new Unsupported({ operation: "x" })) }

  it.effect("is what a document names that is not understood", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, prune } = yield* world
      const named = [
        yield* image("a", { tags: "pr-1" }),
        yield* image("b", { tags: "pr-2" }),
        yield* image("c", { tags: "pr-3" })
      ] as const
      const [a, b, c] = named.map(digestOf)
      const put = Effect.fnUntraced(function* (tag: string, mediaType: string, document: object) {
        const bytes = utf8(JSON.stringify({ schemaVersion: 2, mediaType, ...document }))
        const manifest = yield* ManifestOf.fromBytes(bytes, { mediaType })
        yield* memory.putManifest(app, manifest, { tags: [Reference.unsafeParseTag(tag)] })
        return manifest
      })
      const others = [
        yield* put("v1", "application/vnd.example.manifest.v1+json", { needs: [a] }),
        yield* index([], { tags: "v2" }),
        yield* put("v3", MediaType.imageIndex, {
          manifests: [{ mediaType: MediaType.layerTarGzip, digest: c, size: 1 }]
        })
      ] as const
      const half = yield* ManifestOf.fromBytes(
        utf8(JSON.stringify({ schemaVersion: 2, manifests: [{ digest: b, size: 1 }] })),
        { mediaType: MediaType.imageIndex }
      )
      const served: Registry.Service = {
        ...memory,
        ...unlisted,
        getManifest: (repository, reference) =>
          reference === digestOf(others[1])
            ? Effect.succeed(half)
            : memory.getManifest(repository, reference)
      }
      yield* prune({ rules: [{ include: ["pr-*"] }] }, served)
      yield* hasOnly(...named, ...others)
    })
  )

  it.effect("is read where it may be an index, though it was named before by what is not", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, prune } = yield* world
      const child = yield* image("child")
      const old = yield* index([child], { tags: "pr-1", annotations: { old: "yes" } })
      const deep = yield* index([child])
      const inner = yield* index([deep])
      const outer = yield* index([inner], { tags: "v1" })
      const mediaType = "application/vnd.example.manifest.v1+json"
      const bytes = utf8(JSON.stringify({ mediaType, needs: [digestOf(deep)] }))
      const other = yield* ManifestOf.fromBytes(bytes, { mediaType })
      yield* memory.putManifest(app, other, { tags: [Reference.unsafeParseTag("v2")] })
      yield* prune({ rules: [{ include: ["pr-*"] }] }, { ...memory, ...unlisted })
      yield* hasOnly(child, deep, inner, outer, other)
      void old
    })
  )

  it.effect("is what a list alone has of a referrer", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, prune } = yield* world
      const subject = yield* image("subject", { tags: "pr-1 v1" })
      const referrer = yield* image("referrer", { tags: "pr-2" })
      const listing: Partial<Registry.Service> = {
        ...unlisted,
        referrers: (_, digest) =>
          digest === digestOf(subject) ? Stream.make(referrer.descriptor) : Stream.empty
      }
      yield* prune({ rules: [{ include: ["pr-*"] }] }, { ...memory, ...listing })
      yield* hasOnly(subject, referrer)
    })
  )

  it.effect("is said to lack what it lacks, and tags of that to be left over", () =>
    Effect.gen(function* () {
      const { image, index, memory, plan } = yield* world
      const lost = yield* index([])
      const kept = yield* index([lost], { tags: "v1" })
      yield* image("old", { tags: "pr-1" })
      const signature = yield* image("signature", { tags: signatureTag(lost) })
      const byDigest = yield* image("byDigest")
      yield* image("other", { tags: signatureTag(byDigest) })
      yield* memory.deleteManifest(app, digestOf(lost))
      const made = yield* plan({ rules: [{ include: ["pr-*"] }] }, { ...memory, ...unlisted })
      expect(made.missing).toEqual([{ digest: digestOf(lost), of: digestOf(kept) }])
      expect(made.orphans).toEqual([
        { digest: digestOf(signature), tag: signatureTag(lost), subject: digestOf(lost) }
      ])
    })
  )

  it.effect("is a tag whose manifest cannot be read, with a warning", () =>
    Effect.gen(function* () {
      const { image, memory, plan } = yield* world
      const lost = yield* image("lost", { tags: "pr-1" })
      const reference = digestOf(lost)
      const made = yield* plan(everything, {
        ...memory,
        ...unlisted,
        getManifest: (repository) =>
          Effect.fail(new ManifestUnknown({ repository, reference: reference }))
      })
      expect(made.deletions).toEqual([])
      expect(made.warnings).toEqual([
        `the tag pr-1 is left: ${reference} cannot be read, as if absent`
      ])
    })
  )

  it.effect("is a tag that has moved since it was to be removed from what stays", () =>
    Effect.gen(function* () {
      const { image, memory, plan } = yield* world
      yield* image("kept", { tags: "v1 pr-1" })
      const made = yield* plan({ rules: [{ include: ["pr-*"] }] })
      const next = yield* image("next", { tags: "pr-1" })
      const { moved, ok, untaggings } = yield* Prune.executeFrom(memory, made)
      expect(ok).toBe(true)
      expect(untaggings).toMatchObject([{ outcome: { _tag: "Left", why: "the tag has moved" } }])
      expect(moved).toMatchObject([{ tag: "pr-1", to: digestOf(next) }])
      expect((yield* memory.snapshot)[app]?.tags["pr-1"]).toBe(digestOf(next))
      yield* memory.deleteTag(app, Reference.unsafeParseTag("pr-1"))
      const again = yield* Prune.executeFrom(memory, made)
      expect(again.untaggings).toMatchObject([{ outcome: { _tag: "Gone" } }])
    })
  )
})

describe("manifests without a tag", () => {
  const untagged: Prune.Policy = { untagged: {} }

  it.effect("go when they were put as long ago as the grace time", () =>
    Effect.gen(function* () {
      const { hasOnly, image, prune } = yield* world
      const old = yield* image("old")
      yield* TestClock.adjust("23.9 hours")
      yield* prune(untagged)
      yield* hasOnly(old)
      yield* TestClock.adjust("0.1 hours")
      yield* prune(untagged)
      yield* hasOnly()
      yield* image("new")
      yield* prune({ untagged: { grace: 0 } })
      yield* hasOnly()
    })
  )

  it.effect("go with their index where they were put again for it a long time ago", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, prune } = yield* world
      const child = yield* image("child")
      yield* index([child], { tags: "pr-1" })
      yield* TestClock.adjust("1 hour")
      yield* memory.putManifest(app, child)
      yield* TestClock.adjust("25 hours")
      yield* prune(everything)
      yield* hasOnly()
    })
  )

  it.effect("go after a grace time, and not between a child and its index (CP03)", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, prune } = yield* world
      const left = yield* image("left")
      const leftReferrer = yield* image("leftReferrer", { subject: left })
      yield* TestClock.adjust("25 hours")
      const child = yield* image("child")
      const attestation = yield* image("attestation", { subject: child })
      yield* prune(untagged)
      yield* hasOnly(child, attestation)
      const release = yield* index([child], { tags: "v1" })
      yield* TestClock.adjust("25 hours")
      yield* prune(untagged)
      yield* hasOnly(child, attestation, release)
      void [left, leftReferrer]
    })
  )

  it.effect("stay while something attached to them is young, and where nobody asked", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, prune } = yield* world
      const child = yield* image("child")
      const old = yield* index([child])
      yield* TestClock.adjust("25 hours")
      const attestation = yield* image("attestation", { subject: child })
      yield* prune(untagged)
      yield* hasOnly(child, old, attestation)
      yield* TestClock.adjust("25 hours")
      yield* prune({ rules: [{ include: ["*"] }] })
      yield* hasOnly(child, old, attestation)
      yield* prune({ untagged: { grace: "26 hours" } })
      yield* hasOnly(child, old, attestation)
      yield* prune(untagged)
      yield* hasOnly()
    })
  )

  it.effect("stay where an index without a tag has them, or they were put again for one", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, prune } = yield* world
      const [own, shared, again] = [yield* image("own"), yield* image("shared"), yield* image("x")]
      yield* index([own, shared, again], { tags: "pr-1" })
      const byDigest = yield* index([shared])
      yield* TestClock.adjust("1 hour")
      // A push of another index that has it has begun.
      yield* memory.putManifest(app, again)
      yield* prune({ rules: [{ include: ["pr-*"] }] })
      yield* hasOnly(shared, byDigest, again)
    })
  )

  it.effect("are read for their subject: it keeps them, or is reported as lost (CP07)", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, plan, prune } = yield* world
      const subject = yield* image("subject", { tags: "v1" })
      const referrer = yield* image("referrer", { subject })
      const referrerOf = yield* image("referrerOf", { subject: referrer })
      const lost = yield* image("lost")
      const orphan = yield* image("orphan", { subject: lost })
      const signature = yield* image("sig", { tags: signatureTag(lost) })
      yield* memory.deleteManifest(app, digestOf(lost))
      yield* TestClock.adjust("25 hours")
      const silent: Registry.Service = { ...memory, referrers: () => Stream.empty }
      yield* prune(untagged, silent)
      yield* hasOnly(subject, referrer, referrerOf, orphan, signature)
      const { orphans } = yield* plan(untagged)
      expect(orphans).toEqual([
        { digest: digestOf(orphan), subject: digestOf(lost) },
        { digest: digestOf(signature), tag: signatureTag(lost), subject: digestOf(lost) }
      ])
    })
  )

  it.effect("stay where an index has what it is attached to, and keep what is attached too", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, prune } = yield* world
      const subject = yield* image("subject")
      const circle = yield* index([subject], { subject })
      const report = yield* image("report", { subject, tags: "pr-1" })
      yield* TestClock.adjust("25 hours")
      yield* prune({ ...untagged, rules: [{ include: ["pr-*"] }] })
      yield* hasOnly(subject, circle, report)
    })
  )

  it.effect("are none where the registry does not list them", () =>
    Effect.gen(function* () {
      const { image, memory, plan } = yield* world
      yield* image("m", { tags: "v1" })
      const { manifests: _, ...others } = memory
      const silent = {
        ...others,
        manifests: () => Stream.fail(new Unsupported({ operation: "x" }))
      }
      expect(yield* Effect.flip(plan(untagged, silent))).toMatchObject({ _tag: "Unsupported" })
      expect((yield* plan({ rules: [] }, silent)).manifests).toBeUndefined()
    })
  )
})

describe("manifests that hold each other", () => {
  it.effect("stay, with what they hold, and lose their tags, and it is said", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, prune } = yield* world
      const child = yield* image("child")
      const circle = yield* index([child], { subject: child, tags: "pr-1" })
      const held = yield* image("held", { subject: child, tags: "pr-2" })
      yield* index([circle, yield* image("other")], { tags: "pr-3" })
      const { ok, plan, untaggings } = yield* prune(everything)
      expect(ok).toBe(true)
      yield* hasOnly(child, circle, held)
      expect((yield* memory.snapshot)[app]?.tags).toEqual({})
      const why = "it is one of several that hold each other"
      expect(untaggings).toMatchObject([
        { tag: "pr-1", digest: digestOf(circle), why },
        { tag: "pr-2", digest: digestOf(held), why: `it belongs to ${digestOf(child)}` }
      ])
      expect(plan.warnings).toEqual(
        [circle, child].map(
          (manifest) =>
            `${digestOf(manifest)} is left: it is one of several manifests that hold each other, ` +
            "which can be deleted in no order that is safe while others push"
        )
      )
    })
  )

  it.effect("are no such where one bears its own signature's tag, or a list of one's own", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, prune } = yield* world
      const own = yield* image("own", { tags: "pr-1" })
      yield* memory.putManifest(app, own, {
        tags: [signatureTag(own), Reference.referrersTag(digestOf(own))].map(
          Reference.unsafeParseTag
        )
      })
      expect((yield* prune(everything)).plan.warnings).toEqual([])
      yield* hasOnly()
    })
  )

  it.effect("are not what two hold, each by a way of its own", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, plan, prune } = yield* world
      const [a, b] = [yield* image("a"), yield* image("b")]
      const both = yield* image("both", { subject: b, tags: signatureTag(a) })
      const inner = yield* index([a, b])
      const outer = yield* index([inner, b], { tags: "pr-1" })
      const { deletions } = yield* plan(everything)
      const place = (manifest: Manifest.Manifest) =>
        deletions.findIndex(({ digest }) => digest === digestOf(manifest))
      expect([outer, inner, a, b, both].map(place)).toEqual([0, 1, 2, 3, 4])
      expect(deletions.map(({ heldBy }) => heldBy.length)).toEqual([0, 1, 1, 2, 2])
      yield* prune(everything)
      yield* hasOnly()
    })
  )
})

describe("a read that fails", () => {
  const failure = new RegistryFailure({ status: 500 })
  const failing: ReadonlyArray<readonly [keyof Registry.Service, Partial<Registry.Service>]> = [
    ["tags", { tags: () => Stream.fail(failure) }],
    ["headManifest", { headManifest: () => Effect.fail(failure) }],
    ["getManifest", { getManifest: () => Effect.fail(failure) }],
    ["getBlobBytes", { getBlobBytes: () => Effect.fail(failure) }],
    ["referrers", { referrers: () => Stream.fail(failure) }],
    ["manifests", { manifests: () => Stream.fail(failure) }]
  ]
  it.effect.each(failing)("%s means that nothing is planned (CP02)", ([, changed]) =>
    Effect.gen(function* () {
      const { image, memory, plan } = yield* world
      yield* image("m", { tags: "v1", created: "2026-01-01T00:00:00Z" })
      const unlisted = { manifests: () => Stream.fail(new Unsupported({ operation: "x" })) }
      const policy: Prune.Policy = { rules: [{ olderThan: "1 day" }] }
      expect(yield* Effect.flip(plan(policy, { ...memory, ...unlisted, ...changed }))).toBe(failure)
    })
  )

  it.effect("means that nothing more is deleted, once a plan is executed (CP02)", () =>
    Effect.gen(function* () {
      const { image, memory, plan, stored } = yield* world
      for (const n of [1, 2, 3, 4]) yield* image(`m${n}`, { tags: `pr-${n}` })
      const made = yield* plan(everything)
      let lists = 0
      const report = yield* Prune.executeFrom(
        { ...memory, tags: (...of) => (++lists === 3 ? Stream.fail(failure) : memory.tags(...of)) },
        made
      )
      expect(report.deletions.map(({ outcome }) => outcome)).toEqual([
        { _tag: "Removed" },
        { _tag: "Removed" },
        { _tag: "Failed", error: failure },
        { _tag: "Left", why: "tags could not be read" }
      ])
      expect(report.ok).toBe(false)
      expect(yield* stored).toHaveLength(2)
    })
  )
})

describe("an execution", () => {
  it.effect("asks a registry once that deletes nothing", () =>
    Effect.gen(function* () {
      const { image, memory, plan } = yield* world
      for (const n of [1, 2, 3]) yield* image(`m${n}`, { tags: `pr-${n}` })
      const made = yield* plan(everything)
      let deletes = 0
      const report = yield* Prune.executeFrom(
        {
          ...memory,
          deleteManifest: () => {
            deletes++
            return Effect.fail(new Unsupported({ operation: "deleting manifests" }))
          }
        },
        made
      )
      expect(deletes).toBe(1)
      expect(report.deletions.map(({ outcome }) => outcome._tag)).toEqual([
        "Failed",
        "Failed",
        "Failed"
      ])
    })
  )

  it.effect("asks once for tags where none can be deleted, and deletes manifests anyway", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, plan } = yield* world
      const kept = [
        yield* image("a", { tags: "v1 pr-1" }),
        yield* image("b", { tags: "v2 pr-2" })
      ] as const
      yield* image("old", { tags: "pr-3" })
      const made = yield* plan({ rules: [{ include: ["pr-*"] }] })
      let asked = 0
      const { untaggings } = yield* Prune.executeFrom(
        {
          ...memory,
          deleteTag: () => {
            asked++
            return Effect.fail(new Unsupported({ operation: "deleting tags" }))
          }
        },
        made
      )
      expect(asked).toBe(1)
      expect(untaggings.map(({ outcome }) => outcome._tag)).toEqual(["Failed", "Failed"])
      yield* hasOnly(...kept)
    })
  )

  it.effect("goes on where what held others, or the repository, is gone already", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, plan } = yield* world
      const child = yield* image("child")
      const root = yield* index([child], { tags: "pr-1" })
      const made = yield* plan(everything)
      const absent: Registry.Service = {
        ...memory,
        deleteManifest: (repository) => Effect.fail(new NameUnknown({ repository }))
      }
      const unlisted = { ...made, manifests: undefined }
      const { deletions } = yield* Prune.executeFrom(absent, unlisted)
      expect(deletions.map(({ outcome }) => outcome._tag)).toEqual(["Gone", "Gone"])
      yield* memory.deleteManifest(app, digestOf(root))
      const report = yield* Prune.executeFrom(memory, made)
      expect(report.deletions.map(({ outcome }) => outcome._tag)).toEqual(["Gone", "Removed"])
      yield* hasOnly()
    })
  )

  it.effect("leaves what a document that is not understood names since", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, plan } = yield* world
      const old = yield* image("old", { tags: "pr-1" })
      const made = yield* plan(everything)
      const mediaType = "application/vnd.example.manifest.v1+json"
      const bytes = utf8(JSON.stringify({ mediaType, needs: [digestOf(old)] }))
      const document = yield* ManifestOf.fromBytes(bytes, { mediaType })
      yield* memory.putManifest(app, document, { tags: [Reference.unsafeParseTag("v1")] })
      yield* Prune.executeFrom(memory, { ...made, manifests: undefined })
      yield* hasOnly(old, document)
    })
  )

  it.effect("goes on after a failure, and leaves what belongs to what could not go", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, plan } = yield* world
      const child = yield* image("child")
      const root = yield* index([child], { tags: "pr-1" })
      yield* image("other", { tags: "pr-2" })
      const made = yield* plan(everything)
      const failure = new RegistryFailure({ status: 500 })
      const { ok } = yield* Prune.executeFrom(
        {
          ...memory,
          deleteManifest: (repository, digest) =>
            digest === digestOf(root)
              ? Effect.fail(failure)
              : memory.deleteManifest(repository, digest)
        },
        made
      )
      expect(ok).toBe(false)
      yield* hasOnly(child, root)
    })
  )

  it.effect("leaves what was signed or attached to since, and what was put again", () =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, plan } = yield* world
      const [a, b, c] = [
        yield* image("a", { tags: "pr-a" }),
        yield* image("b", { tags: "pr-b" }),
        yield* image("c", { tags: "pr-c" })
      ]
      yield* image("d", { tags: "pr-d" })
      const made = yield* plan(everything)
      yield* TestClock.adjust("1 second")
      const signature = yield* image("sig", { tags: signatureTag(a) })
      const referrer = yield* image("sbom", { subject: b })
      yield* memory.putManifest(app, c)
      yield* Prune.executeFrom(memory, made)
      yield* hasOnly(a, b, c, signature, referrer)
    })
  )

  it.effect("leaves what else an attachment is about of what is signed again", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, plan } = yield* world
      const child = yield* image("child")
      const root = yield* index([child], { tags: "pr-1" })
      const both = yield* image("both", { subject: root, tags: `${signatureTag(child)} pr-2` })
      const made = yield* plan(everything)
      expect(made.deletions.map(({ digest }) => digest)).toEqual([root, child, both].map(digestOf))
      const again = yield* image("again", { tags: signatureTag(child) })
      yield* Prune.executeFrom(memory, { ...made, manifests: undefined })
      yield* hasOnly(root, child, both, again)
    })
  )

  it.effect("does not break what is pushed again under a tag that has just gone", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, plan } = yield* world
      const children = [yield* image("a"), yield* image("b")]
      const root = yield* index(children, { tags: "pr-1" })
      const signature = yield* image("sig", { tags: signatureTag(root) })
      const made = yield* plan(everything)
      yield* Prune.executeFrom(
        {
          ...memory,
          manifests: () => Stream.fail(new Unsupported({ operation: "x" })),
          deleteManifest: (repository, digest) =>
            Effect.zipRight(
              memory.deleteManifest(repository, digest),
              digest === digestOf(root)
                ? Effect.asVoid(
                    Effect.orDie(
                      memory.putManifest(repository, root, {
                        tags: [Reference.unsafeParseTag("pr-1")]
                      })
                    )
                  )
                : Effect.void
            )
        },
        { ...made, manifests: undefined }
      )
      yield* hasOnly(root, signature, ...children)
    })
  )

  it.effect("is the same for a plan that was stored as JSON", () =>
    Effect.gen(function* () {
      const { hasOnly, image, index, memory, plan } = yield* world
      const kept = yield* image("kept", { tags: "v1" })
      yield* index([yield* image("child")], { tags: "pr-1" })
      const made = yield* plan({ rules: [{ include: ["pr-*"] }] })
      const stored: Prune.Plan = JSON.parse(JSON.stringify(made))
      expect((yield* Prune.executeFrom(memory, stored)).ok).toBe(true)
      yield* hasOnly(kept)
    })
  )

  it.effect("reads tags that are new, or on what goes, before each of many deletions", () =>
    Effect.gen(function* () {
      const { image, memory, plan, stored } = yield* world
      for (let n = 0; n < 102; n++) yield* image(`m${n}`, { tags: `pr-${n}` })
      const other = yield* image("other", { tags: "v1" })
      const made = yield* plan({ rules: [{ include: ["pr-*"] }] })
      // Every second time all tags are read.
      const [promoted, last] = [made.deletions[99], made.deletions[101]]
      const [tag] = last?.tags ?? []
      if (promoted === undefined || tag === undefined) return expect.unreachable()
      let lists = -1
      const busy: Registry.Service = {
        ...memory,
        tags: (...of) =>
          Stream.unwrap(
            Effect.gen(function* () {
              lists++
              if (lists === 99) {
                const manifest = yield* memory.getManifest(app, promoted.digest)
                yield* memory.putManifest(app, manifest, {
                  tags: [Reference.unsafeParseTag("stable")]
                })
              }
              if (lists === 101) yield* memory.putManifest(app, other, { tags: [tag] })
              return memory.tags(...of)
            }).pipe(Effect.orDie)
          )
      }
      const { deletions, moved } = yield* Prune.executeFrom(busy, { ...made, manifests: undefined })
      expect(deletions[99]?.outcome._tag).toBe("Left")
      expect(moved).toEqual([
        { tag: "stable", from: undefined, to: promoted.digest },
        { tag, from: last?.digest, to: digestOf(other) }
      ])
      expect([...(yield* stored)].sort()).toEqual([promoted.digest, digestOf(other)].sort())
    })
  )

  it.effect("reads tags again no more often than 10,000 times", () =>
    Effect.gen(function* () {
      const { image, memory, plan, stored } = yield* world
      for (let n = 0; n < 101; n++) yield* image(`m${n}`, { tags: `pr-${n}` })
      const made = yield* plan(everything)
      const { cost, ok } = yield* Prune.executeFrom(memory, made)
      expect(ok).toBe(true)
      expect(yield* stored).toEqual([])
      expect(cost.lists).toBe(101)
      expect(cost.heads).toBeLessThan(5500)
    })
  )
})

/** Deletes nothing, and says that it did. */
const deletingNothing = (registry: Registry.Service): Registry.Service => ({
  ...registry,
  deleteManifest: () => Effect.void
})

describe("a tag with the name of what every object has", () => {
  it.effect("is one of a plan, of its JSON, and of what has come since", () =>
    Effect.gen(function* () {
      const { image, memory, plan } = yield* world
      const [tags, others] = ["__proto__ toString", "constructor valueOf"]
      yield* image("a", { tags })
      const made: Prune.Plan = JSON.parse(
        JSON.stringify(yield* plan({ rules: [{ include: ["*"] }] }))
      )
      expect(made.deletions).toMatchObject([{ tags: tags.split(" ") }])
      const appeared = yield* image("b", { tags: others })
      const { deletions, moved } = yield* Prune.executeFrom(memory, made)
      expect(deletions).toMatchObject([{ outcome: { _tag: "Removed" } }])
      const to = digestOf(appeared)
      expect(moved).toEqual(others.split(" ").map((tag) => ({ tag, from: undefined, to })))
    })
  )
})

describe("a plan", () => {
  it.effect("says which rules chose a manifest, and not what else it goes with", () =>
    Effect.gen(function* () {
      const { image, index, plan } = yield* world
      const created = "2026-01-01T00:00:00Z"
      const child = yield* image("child", { tags: "pr-2 dev-2", created })
      const root = yield* index([child], { tags: "pr-1" })
      const { cost, deletions } = yield* plan({
        rules: [{ include: ["pr-*"] }, { include: ["dev-*"], keep: 0, olderThan: "1 day" }]
      })
      expect(deletions).toMatchObject([
        { digest: digestOf(root), reason: { _tag: "Rules", rules: [0] } },
        { digest: digestOf(child), reason: { _tag: "Rules", rules: [0, 1] } }
      ])
      // Each date is read once.
      expect(cost.configs).toBe(1)
    })
  )

  it.effect("reads the configuration of an image once, however many rules ask how old it is", () =>
    Effect.gen(function* () {
      const { image, index, plan } = yield* world
      const child = yield* image("child", { tags: "a b", created: "2026-01-01T00:00:00Z" })
      yield* index([child], { tags: "c" })
      const rules = ["a", "b", "c"].map((tag) => ({ include: [tag], olderThan: "1 day" }) as const)
      expect((yield* plan({ rules })).cost).toMatchObject({ configs: 1, manifests: 2 })
    })
  )

  it.effect("says what each rule fits, and warns of what fits nothing (CP27)", () =>
    Effect.gen(function* () {
      const { image, plan } = yield* world
      yield* image("a", { tags: "pr-1 v1" })
      const made = yield* plan({
        protect: [{ include: ["stable"] }],
        rules: [
          { include: ["pr"] },
          { include: ["pr-*", "dev-*"], keep: 3, olderThan: "30 days" },
          {}
        ]
      })
      expect(made.rules.map(({ matched, rule }) => [rule, ...matched])).toEqual([
        ["include pr"],
        ["include pr-*, include dev-*, but for the newest 3, older than 30d", "pr-1"],
        ["all tags", "pr-1", "v1"]
      ])
      expect(made.warnings).toEqual([
        "protect[0] (include stable) fits no tag",
        "rules[0] (include pr) fits no tag",
        "rules[1] (include pr-*, include dev-*, but for the newest 3, older than 30d): " +
          "include dev-* fits no tag"
      ])
    })
  )

  const invalid: ReadonlyArray<readonly [Prune.Policy, message: string]> = [
    [{ rules: [{ include: ["*"] }, { keep: -1 }] }, "rules[1]: keep: -1 is not a number of images"],
    [
      { rules: [{ semver: "newest" }] },
      'rules[0]: semver: "newest" is not a range of versions, such as "^1.2", "1.x" or ' +
        '">=1.2.0 <2.0.0"'
    ],
    [
      { rules: [Object.assign({ include: ["*"] }, { newest: 1 })] },
      "rules[0]: what is newest is kept, and not removed: write keep"
    ],
    [{ rules: [{ olderThan: -1 }] }, "rules[0].olderThan: -1 is not a duration"],
    [{ rules: [{ olderThan: "-5 days" }] }, "rules[0].olderThan: -5 days is not a duration"],
    [
      { protect: [{ newest: 3 }] },
      "protect[0]: newest: which tags are the newest, their versions tell: " +
        'say semver: "*" or calendar: "*" as well'
    ],
    [{ untagged: { grace: Number.NaN } }, "untagged.grace: NaN is not a duration"]
  ]
  it.effect.each(invalid)("is refused for a policy that makes no sense: %o", ([policy, message]) =>
    Effect.gen(function* () {
      const { plan } = yield* world
      expect(yield* Effect.flip(plan(policy))).toMatchObject({ _tag: "InvalidPolicy", message })
    })
  )

  it.effect.each([0, -1, Number.NaN])("is refused for a pace of %d, which no request has", (n) =>
    Effect.gen(function* () {
      const { hasOnly, image, memory, plan } = yield* world
      yield* image("m", { tags: "pr-1" })
      for (const pace of [{ rate: n }, { concurrency: n }]) {
        const [part] = Object.keys(pace)
        const error = yield* Effect.flip(Prune.planFrom(memory, app, everything, pace))
        expect(error).toMatchObject({ _tag: "InvalidPolicy", part })
      }
      yield* Prune.executeFrom(memory, yield* plan(everything), { rate: n, concurrency: n })
      yield* hasOnly()
    })
  )

  it.effect("is executed at its own rate, unless another one is said", () =>
    Effect.gen(function* () {
      const { image, memory } = yield* world
      yield* image("m", { tags: "pr-1" })
      for (const [rate, seconds] of [
        [undefined, 2],
        [1000, 0.002]
      ] as const) {
        const planning = yield* Effect.fork(Prune.planFrom(memory, app, everything, { rate: 1 }))
        yield* TestClock.adjust("1 minute")
        const made = yield* planning
        const before = yield* Clock.currentTimeMillis
        const unlisted = { ...made, manifests: undefined }
        const fiber = yield* Effect.fork(
          Effect.zipRight(
            Prune.executeFrom(deletingNothing(memory), unlisted, { rate }),
            Clock.currentTimeMillis
          )
        )
        yield* TestClock.adjust("1 minute")
        expect(((yield* fiber) - before) / 1000).toBe(seconds)
      }
    })
  )

  it.effect("waits between requests where a rate is given", () =>
    Effect.gen(function* () {
      const { image, memory } = yield* world
      for (let n = 0; n < 20; n++) yield* image(`m${n}`, { tags: `pr-${n}` })
      const before = Date.UTC(2026, 10, 29, 12)
      let last = before
      const timed: Registry.Service = {
        ...memory,
        headManifest: (...of) =>
          Effect.flatMap(Effect.clock, (clock) => {
            last = clock.unsafeCurrentTimeMillis()
            return memory.headManifest(...of)
          })
      }
      const fiber = yield* Effect.fork(Prune.planFrom(timed, app, { rules: [] }, { rate: 10 }))
      yield* TestClock.adjust("1 minute")
      const { rate } = yield* fiber
      expect(rate).toBe(10)
      expect(last - before).toBe(2000)
    })
  )
})

describe("a policy as data", () => {
  const policy: Prune.PolicyData = {
    protect: [{ include: ["latest"] }, { semver: "*", newest: 3 }],
    rules: [
      { include: ["pr-*"], olderThan: "30 days" },
      { semver: "*", keep: 10 }
    ],
    untagged: { grace: "1.5 hours" }
  }

  it.effect("is read from JSON and from YAML, and is the same by its schema", () =>
    Effect.gen(function* () {
      expect(yield* Prune.parse(JSON.stringify(policy))).toEqual(policy)
      const yaml = `
        protect:
          - include: [latest]
          - { semver: "*", newest: 3 }
        rules:
          - include: [pr-*]   # previews
            olderThan: 30 days
          - semver: "*"
            keep: 10
        untagged: { grace: 1.5 hours }`
      expect(yield* Prune.parse(yaml)).toEqual(policy)
      expect(yield* Prune.parse("{}")).toEqual({})
      const decoded = yield* Schema.decodeUnknown(Prune.PolicyData)(policy)
      expect(decoded).toEqual(policy)
      expect(yield* Schema.encode(Prune.PolicyData)(decoded)).toEqual(policy)
    })
  )

  it.effect("plans what it says", () =>
    Effect.gen(function* () {
      const { image, plan } = yield* world
      yield* image("a", { tags: "pr-1 ", created: "2026-10-01T00:00:00Z" })
      yield* image("b", { tags: "pr-2 ", created: "2026-11-28T00:00:00Z" })
      const made = yield* plan(yield* Prune.parse(JSON.stringify({ rules: policy.rules })))
      expect(made.rules[0]).toMatchObject({ matched: ["pr-1", "pr-2"], removed: ["pr-1"] })
    })
  )

  const wrong: ReadonlyArray<readonly [text: string, message: string]> = [
    ["pr-*", "the policy: expected an object with rules, protect or untagged"],
    [" \n", "the policy: is empty"],
    ["rules: [", "the policy: is not YAML: "],
    [" ".repeat(1024 * 1024 + 1), "the policy: has more than the 1048576 characters of rules"],
    // A filter that is misspelled would choose everything (CP27).
    ['{"rules":[{"includes":["pr-*"]}]}', "rules[0].includes: expected no such field, but "],
    ['{"rule":[]}', "rule: expected no such field, but rules, protect or untagged"],
    // Of two lists of what is protected, one would be lost.
    ['{"protect":[],"rules":[{"keep":1}],"pro\\u0074ect":[]}', 'the policy: has "protect" twice'],
    ["protect: []\nprotect: []", "the policy: is not YAML: Map keys must be unique"],
    ['{"untagged":true}', "untagged: expected an object with grace"],
    [
      "protect: [latest]",
      "protect[0]: expected an object with include, exclude, semver, calendar, "
    ],
    [
      "rules: [{ include: [1.10] }]",
      "rules[0].include[0]: expected a string, and 1.1 is a number: put it into quotes"
    ],
    ["rules: [{ semver: true }]", "rules[0].semver: expected a string, and true is a boolean"],
    ["rules: [{ keep: many }]", "rules[0].keep: expected a number"],
    ['{"rules":[{"newest":3,"semver":"*"}]}', "rules[0].newest: expected no such field"],
    ['{"rules":[{"semver":"new"}]}', 'rules[0]: semver: "new" is not a range of versions'],
    ['{"rules":[{},{"keep":1.5}]}', "rules[1]: keep: 1.5 is not a number of images"],
    ['{"rules":[{"include":"pr-*"}]}', "rules[0].include: expected a list"],
    ...[30, "30", "30days", "a month", "-1 day", "1e3 days", "", null].map(
      (olderThan) =>
        [
          JSON.stringify({ rules: [{ olderThan }] }),
          'rules[0].olderThan: expected a duration such as "30 days"'
        ] as const
    ),
    ['{"untagged":{"grace":0}}', 'untagged.grace: expected a duration such as "30 days"']
  ]
  it.effect.each(wrong.map(([text, message]) => [text.slice(0, 40), message, text] as const))(
    "is not %s: %s",
    ([, message, text]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Prune.parse(text))
        expect(error._tag).toBe("InvalidPolicy")
        expect(error.message.startsWith(message), error.message).toBe(true)
        expect(error.message.length).toBeLessThan(400)
      })
  )

  it("is refused by its schema where planning would refuse it", () => {
    const decode = Schema.decodeUnknownEither(Prune.PolicyData)
    expect(`${Either.getLeft(decode({ rules: [{ semver: "new" }] }))}`).toContain(
      "rules[0]: semver"
    )
    expect(Either.isLeft(decode({ rules: [{ olderThan: 30 }] }))).toBe(true)
  })
})

describe("by reference", () => {
  const name = "registry.example/team/app"

  it.effect("a dry run is the default, and what it plans can be printed", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 10, 29, 12))
      const { registry } = yield* Registries.open(name)
      const { image, index } = pusher(registry, app)
      const child = yield* image("child")
      const old = yield* index([child], { tags: "pr-1" })
      const shared = yield* image("shared", { tags: "pr-2 v1" })
      const policy = { rules: [{ include: ["pr-*"] }, { include: ["dev-*"] }] }
      const planned = yield* Prune.run(name, policy)
      expect(yield* Registries.exists(`${name}:pr-1`)).toBe(true)
      expect(Prune.format(planned)).toBe(
        `Plan to prune ${name}, of 2026-11-29T12:00:00.000Z by the clock of this program
3 tags, read with 3 HEAD, 2 lists, 3 manifests, 0 configurations, 0 lists of referrers: 6 at a time
rules[0]: include pr-*: 2 tags fit, 2 go
rules[1]: include dev-*: 0 tags fit, 0 go
Warning: rules[1] (include dev-*) fits no tag
2 manifests go
  ${digestOf(old)} (pr-1) by rules[0]
  ${digestOf(child)} of ${digestOf(old)}
1 tag goes from what stays
  pr-2: ${digestOf(shared)} stays, since it has the tag v1`
      )
      const report = yield* Prune.run(name, policy, { dryRun: false })
      expect(Prune.format(report)).toContain(`  ${digestOf(old)} (pr-1) by rules[0]: removed`)
      expect(yield* Registries.exists(`${name}:pr-1`)).toBe(false)
      expect(yield* Registries.exists(`${name}:v1`)).toBe(true)
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )

  it.effect("takes a repository as a whole", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(Prune.run(`${name}:v1`, everything, { dryRun: false }))
      expect(failure).toMatchObject({ _tag: "InvalidReference", reason: "Tag" })
      expect(yield* Effect.flip(Prune.plan(name, everything))).toMatchObject({
        _tag: "NameUnknown"
      })
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )
})
