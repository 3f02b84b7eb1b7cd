/** Graphs of every shape: what a copy of one has, and what a second copy does. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Copy from "../../../src/content/Copy.js"
import type * as Digest from "../../../src/spec/Digest.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { items, utf8 } from "../../support/fixtures.js"
import { graphs, manifestsOf, type Node } from "../../support/generatedGraphs.js"
import { blob, counted, repository, v1 } from "../../support/graphs.js"

const copied = Effect.fnUntraced(function* (nodes: ReadonlyArray<Node>, referrers: boolean) {
  const source = yield* MemoryRegistry.make({ missingReferences: "accept" })
  const target = yield* MemoryRegistry.make({ missingReferences: "accept" })
  const blobs = yield* Effect.forEach([0, 1, 2, 3, 4], (n) =>
    blob(source, MediaType.layerTar, utf8(`blob ${n}`))
  )
  const made = manifestsOf(nodes, blobs)
  const there = new Map<Digest.Digest, Manifest.Manifest>()
  for (const [n, manifest] of made.entries()) {
    const isRoot = n === made.length - 1
    if (nodes[n]?.isMissing && !isRoot) continue
    there.set(manifest.descriptor.digest, manifest)
    yield* source.putManifest(repository, manifest, { tags: isRoot ? [v1] : [] })
    if (!nodes[n]?.isThere || manifest.content._tag === "ImageIndex") continue
    for (const { digest } of Manifest.references(manifest))
      yield* blob(target, MediaType.layerTar, yield* source.getBlobBytes(repository, digest))
    yield* target.putManifest(repository, manifest)
  }
  const to = counted(target)
  const places = [
    { registry: source, repository, reference: v1 },
    { registry: to.registry, repository }
  ] as const
  const options = { referrers, missing: "skip" } as const
  const steps = yield* items(Copy.planBetween(...places, options))
  const report = yield* Copy.between(...places, options)
  return { source, target, to, there, made, steps, report, again: Copy.between(...places, options) }
})

/** What is to be there: the root, what is in it, and what is attached to any of that. */
const reached = (
  root: Manifest.Manifest,
  there: ReadonlyMap<Digest.Digest, Manifest.Manifest>,
  referrers: boolean
) => {
  const all = new Map<Digest.Digest, Manifest.Manifest>()
  const visit = (manifest: Manifest.Manifest): void => {
    const { digest } = manifest.descriptor
    if (all.has(digest)) return
    all.set(digest, manifest)
    if (manifest.content._tag === "ImageIndex")
      for (const part of manifest.content.manifests) {
        const found = there.get(part.digest)
        if (found !== undefined) visit(found)
      }
    if (!referrers) return
    for (const other of there.values())
      if (Option.getOrUndefined(Manifest.subject(other))?.digest === digest) visit(other)
  }
  visit(root)
  return all
}

const check = (nodes: ReadonlyArray<Node>, referrers: boolean) =>
  Effect.gen(function* () {
    const { again, made, report, source, steps, target, there, to } = yield* copied(
      nodes,
      referrers
    )
    const root = made.at(-1)
    if (root === undefined) return
    expect(report.ok).toBe(true)
    expect(report.summary.fraction).toBe(1)
    expect((yield* target.getManifest(repository, v1)).bytes).toEqual(root.bytes)
    for (const manifest of reached(root, there, referrers).values()) {
      const { digest } = manifest.descriptor
      expect((yield* target.getManifest(repository, digest)).bytes).toEqual(manifest.bytes)
      for (const part of Manifest.references(manifest))
        if (part.mediaType === MediaType.layerTar)
          expect(yield* target.getBlobBytes(repository, part.digest)).toEqual(
            yield* source.getBlobBytes(repository, part.digest)
          )
    }
    const at = new Map(steps.map(({ id }, n) => [id, n]))
    // What a tag brings is known by the tag.
    for (const [n, step] of steps.entries())
      for (const id of "after" in step ? step.after : [])
        expect(at.get(id) ?? n).toBeLessThanOrEqual(n)
    to.log.length = 0
    expect((yield* again).outcomes).toMatchObject([{ status: "present" }])
    expect(to.log.filter((line) => line.startsWith("put"))).toEqual([])
  })

const runs = Number(process.env["COPY_RUNS"] ?? 40)

it.effect("a copy has all that can be reached, in order, and a second one moves nothing", () =>
  Effect.gen(function* () {
    const seed = process.env["COPY_RUNS"] === undefined ? 7 : Date.now()
    for (const [n, nodes] of FastCheck.sample(graphs, { numRuns: runs, seed }).entries()) {
      const checked = Effect.exit(check(nodes, n % 2 === 0))
      const exit = yield* checked
      if (exit._tag === "Failure") expect.fail(`${JSON.stringify(nodes)}: ${exit.cause}`)
    }
  })
)
