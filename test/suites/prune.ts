/** What a prune must do on registries of every kind. Each test has a repository of its own. */
import { describe, expect, layer as withLayer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Prune from "../../src/content/Prune.js"
import { Registry } from "../../src/Registry.js"
import type * as Manifest from "../../src/spec/Manifest.js"
import { freshRepository, items, tag } from "../support/fixtures.js"
import { day, digestOf, pusher, signatureTag } from "../support/pruning.js"

export interface PruneOptions {
  readonly layer: Layer.Layer<Registry, unknown>
  /** Whether tags can be deleted (C95), true unless said otherwise. */
  readonly tagDelete?: boolean
}

const prepared = Effect.gen(function* () {
  const registry = yield* Registry
  const repository = yield* freshRepository
  const isThere = (manifest: Manifest.Manifest) =>
    Effect.map(registry.headManifest(repository, digestOf(manifest)), Option.isSome)
  return {
    registry,
    repository,
    ...pusher(registry, repository),
    there: (...manifests: ReadonlyArray<Manifest.Manifest>) => Effect.forEach(manifests, isThere),
    tags: Effect.map(items(registry.tags(repository)), (tags) => [...tags].sort()),
    plan: (policy: Prune.Policy) => Prune.planFrom(registry, repository, policy)
  }
})

export const pruneSuite = (name: string, { layer, tagDelete = true }: PruneOptions): void => {
  describe(name, () => {
    withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
      it.effect("plans with a HEAD for each tag, and does what it planned", () =>
        Effect.gen(function* () {
          const { image, plan, registry, tags, there } = yield* prepared
          const old = yield* image("old", { tags: "pr-1 pr-2" })
          const kept = yield* image("kept", { tags: "v1" })
          const made = yield* plan({ rules: [{ include: ["pr-*"] }] })
          expect(made.cost).toMatchObject({ heads: 3, manifests: expect.any(Number), configs: 0 })
          expect(made.deletions).toMatchObject([
            {
              digest: digestOf(old),
              reason: { _tag: "Rules", rules: [0] },
              tags: expect.arrayContaining(["pr-1", "pr-2"])
            }
          ])
          expect(yield* there(old, kept)).toEqual([true, true])
          const report = yield* Prune.executeFrom(registry, made)
          expect(report).toMatchObject({
            ok: true,
            moved: [],
            deletions: [{ outcome: { _tag: "Removed" } }]
          })
          expect(yield* there(old, kept)).toEqual([false, true])
          expect(yield* tags).toEqual(["v1"])
          // The same plan again finds nothing left to do.
          expect(yield* Prune.executeFrom(registry, made)).toMatchObject({
            ok: true,
            deletions: [{ outcome: { _tag: "Gone" } }]
          })
        })
      )

      it.effect(
        "takes along what belongs to an index, and leaves what another one has (CP06)",
        () =>
          Effect.gen(function* () {
            const { image, index, plan, registry, tags, there } = yield* prepared
            const own = yield* image("own")
            const shared = yield* image("shared")
            const old = yield* index([own, shared], { tags: "1" })
            const kept = yield* index([shared], { tags: "2" })
            const ofOwn = yield* image("ofOwn", { subject: own })
            const ofOfOwn = yield* image("ofOfOwn", { subject: ofOwn })
            const ofShared = yield* image("ofShared", { subject: shared })
            const signature = yield* image("signature", { tags: signatureTag(old) })
            const signatureOfShared = yield* image("sharedSignature", {
              tags: signatureTag(shared)
            })
            const made = yield* plan({ rules: [{ include: ["1"] }] })
            expect((yield* Prune.executeFrom(registry, made)).ok).toBe(true)
            expect(yield* there(old, own, ofOwn, ofOfOwn, signature)).toEqual([
              false,
              false,
              false,
              false,
              false
            ])
            expect(yield* there(kept, shared, ofShared, signatureOfShared)).toEqual([
              true,
              true,
              true,
              true
            ])
            expect((yield* tags).filter((tag) => !tag.startsWith("sha256-"))).toEqual(["2"])
            expect(yield* tags).toContain(signatureTag(shared))
            expect(yield* tags).not.toContain(signatureTag(old))
          })
      )

      it.effect("leaves what has another tag, and removes the tag alone", () =>
        Effect.gen(function* () {
          const { image, plan, registry, tags, there } = yield* prepared
          const shared = yield* image("shared", { tags: "pr-1 v1" })
          const made = yield* plan({ rules: [{ include: ["pr-*"] }] })
          expect(made).toMatchObject({
            deletions: [],
            untaggings: [{ tag: "pr-1", digest: digestOf(shared), why: "it has the tag v1" }]
          })
          const report = yield* Prune.executeFrom(registry, made)
          expect(report).toMatchObject(
            tagDelete
              ? { ok: true, untaggings: [{ outcome: { _tag: "Removed" } }] }
              : {
                  ok: false,
                  untaggings: [{ outcome: { _tag: "Failed", error: { _tag: "Unsupported" } } }]
                }
          )
          if (!tagDelete) {
            expect(yield* tags).toEqual(["pr-1", "v1"])
            const { ok } = yield* Prune.executeFrom(registry, made, { throwaway: true })
            expect(ok).toBe(true)
          }
          expect(yield* tags).toEqual(["v1"])
          expect(yield* there(shared)).toEqual([true])
        })
      )

      it.effect("keeps the newest digests by version, and the newest and the unknown by age", () =>
        Effect.gen(function* () {
          const { image, plan } = yield* prepared
          const ago = (days: number) => new Date(Date.now() - days * day).toISOString()
          yield* image("a", { tags: "90 1.90.0 1.90 1", created: ago(1) })
          yield* image("b", { tags: "1.100.0", created: ago(9) })
          yield* image("c", { tags: "1.9.0", created: ago(3) })
          yield* image("d", { tags: "1.80.0", created: "1980-01-01T00:00:01Z" })
          const removed = (rule: Prune.Rule) =>
            Effect.map(plan({ rules: [rule] }), ({ rules: [result] }) => result?.removed)
          // CP05: 100 comes before 90, and five tags are one image.
          expect(yield* removed({ semver: "*", keep: 2 })).toEqual(["1.80.0", "1.9.0"])
          expect(yield* removed({ semver: "*", keep: 9 })).toEqual([])
          expect(yield* removed({ include: ["*"], keep: 1 })).toEqual(["1.9.0", "1.100.0"])
          expect(yield* removed({ include: ["*"], olderThan: "2 days" })).toEqual([
            "1.100.0",
            "1.9.0"
          ])
          // n counts before age applies.
          expect(yield* removed({ semver: "*", keep: 1, olderThan: "2 days" })).toEqual(["1.9.0"])
        })
      )

      it.effect("leaves what has appeared or moved since it was planned", () =>
        Effect.gen(function* () {
          const { image, index, plan, registry, repository, there } = yield* prepared
          const child = yield* image("child")
          const root = yield* index([child], { tags: "pr-1" })
          const promoted = yield* image("promoted", { tags: "pr-2" })
          const alone = yield* image("alone", { tags: "pr-3" })
          const stable = yield* image("stable", { tags: "stable" })
          const made = yield* plan({ rules: [{ include: ["pr-*"] }] })
          expect(made.deletions).toHaveLength(4)
          const next = yield* index([child], { tags: "next", annotations: { for: "next" } })
          yield* registry.putManifest(repository, promoted, { tags: [yield* tag("stable")] })
          const report = yield* Prune.executeFrom(registry, made)
          expect(report.ok).toBe(true)
          expect(report.moved).toEqual(
            expect.arrayContaining([
              { tag: "next", to: digestOf(next) },
              { tag: "stable", from: digestOf(stable), to: digestOf(promoted) }
            ])
          )
          const left = report.deletions.filter(({ outcome }) => outcome._tag === "Left")
          expect(left.map(({ digest }) => digest).sort()).toEqual(
            [digestOf(child), digestOf(promoted)].sort()
          )
          expect(yield* there(root, alone, child, promoted, next)).toEqual([
            false,
            false,
            true,
            true,
            true
          ])
        })
      )

      it.effect("reports what indexes have lost, and goes on (CP02)", () =>
        Effect.gen(function* () {
          const { image, index, plan, registry, repository, there } = yield* prepared
          const [lost, child] = [yield* image("lost"), yield* image("child")]
          const root = yield* index([lost, child], { tags: "pr-1" })
          yield* registry.deleteManifest(repository, digestOf(lost))
          const made = yield* plan({ rules: [{ include: ["pr-*"] }] })
          expect(made.missing).toEqual([{ digest: digestOf(lost), of: digestOf(root) }])
          expect((yield* Prune.executeFrom(registry, made)).ok).toBe(true)
          expect(yield* there(root, child)).toEqual([false, false])
        })
      )
    })
  })
}
