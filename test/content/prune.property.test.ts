/**
 * Prunes of generated repositories, with others pushing and moving tags meanwhile: nothing that is
 * reachable from what is kept is ever gone. PRUNE_RUNS says how many repositories.
 */
import { expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Prune from "../../src/content/Prune.js"
import type { Registry } from "../../src/Registry.js"
import { Unsupported } from "../../src/RegistryError.js"
import type { Digest } from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { digestOf, pusher, signatureTag } from "../support/pruning.js"

const runs = Number(process.env["PRUNE_RUNS"] ?? 60)

const app = Reference.unsafeParseRepositoryName("team/app")
const names = ["pr-1", "pr-2", "pr-3", "v1.0.0", "v1.1.0", "v2.0.0", "stable"]

/** A push, or a tag that is moved; numbers stand for manifests that were pushed before. */
const step = FastCheck.record({
  kind: FastCheck.constantFrom("image", "image", "index", "tag"),
  children: FastCheck.array(FastCheck.nat(30), { maxLength: 3 }),
  subject: FastCheck.option(FastCheck.nat(30), { nil: undefined }),
  signs: FastCheck.option(FastCheck.nat(30), { nil: undefined, freq: 2 }),
  tags: FastCheck.subarray(names, { maxLength: 2 }),
  wait: FastCheck.constantFrom(0, 1, 30)
})

const rule = FastCheck.oneof(
  FastCheck.record({ include: FastCheck.constantFrom(["pr-*"], ["pr-[12]", "v1.*"], ["*"]) }),
  FastCheck.record({ semver: FastCheck.constantFrom("*", "^1"), keep: FastCheck.nat(2) }),
  FastCheck.record({
    include: FastCheck.constant(["*"]),
    olderThan: FastCheck.constant("1 day" as const)
  })
)

const scenario = FastCheck.record({
  steps: FastCheck.array(step, { minLength: 1, maxLength: 12, size: "+1" }),
  lost: FastCheck.array(FastCheck.nat(30), { maxLength: 1 }),
  rules: FastCheck.array(rule, { maxLength: 2, size: "+1" }),
  protect: FastCheck.constantFrom([], [{ include: ["stable"] }]),
  untagged: FastCheck.option(FastCheck.constant({}), { nil: undefined }),
  lists: FastCheck.boolean(),
  circles: FastCheck.constantFrom(false, false, true),
  meanwhile: FastCheck.array(FastCheck.tuple(FastCheck.nat(6), step), { maxLength: 2 })
})

type Step = typeof step extends FastCheck.Arbitrary<infer A> ? A : never
type Scenario = typeof scenario extends FastCheck.Arbitrary<infer A> ? A : never

/** What a repository has. */
interface Content {
  readonly tags: ReadonlyMap<string, Digest>
  readonly manifests: ReadonlyMap<string, Manifest.Manifest>
}

const subjectOf = (manifest: Manifest.Manifest) =>
  Option.getOrUndefined(Manifest.subject(manifest))?.digest

/** What is reachable from a digest, by the content of a repository alone. */
const reachable = (root: Digest, { manifests, tags }: Content, lists: boolean) => {
  const found = new Set<string>([root])
  for (const digest of found) {
    const manifest = manifests.get(digest)
    if (manifest === undefined) continue
    for (const child of Manifest.references(manifest)) found.add(child.digest)
    for (const [other, referrer] of manifests) if (subjectOf(referrer) === digest) found.add(other)
    const signature = tags.get(signatureTag(manifest))
    if (signature !== undefined) found.add(signature)
    const subject = subjectOf(manifest)
    // Where manifests without a tag are not listed, nobody can know what a subject leads to.
    if (subject !== undefined && lists) found.add(subject)
  }
  return found
}

const run = ({
  circles,
  lists,
  lost,
  meanwhile,
  policy,
  steps
}: Omit<Scenario, "rules"> & { readonly policy: Prune.Policy }) =>
  Effect.suspend(() => {
    let now = Date.UTC(2026, 10, 29)
    const clock: Clock.Clock = Object.assign(Object.create(Clock.make()), {
      unsafeCurrentTimeMillis: () => now,
      currentTimeMillis: Effect.sync(() => now)
    })
    return Effect.withClock(
      Effect.gen(function* () {
        const memory = yield* MemoryRegistry.make()
        const { image, index } = pusher(memory, app)
        const pushed: Array<Manifest.Manifest> = []
        const nth = (n: number) => pushed[n % Math.max(1, pushed.length)]
        const content = Effect.map(
          memory.snapshot,
          (all): Content => ({
            tags: new Map(Object.entries(all[app]?.tags ?? {})),
            manifests: new Map(Object.entries(all[app]?.manifests ?? {}))
          })
        )
        const take = Effect.fnUntraced(function* ({
          children,
          kind,
          signs,
          subject,
          tags,
          wait
        }: Step) {
          now += wait * 3_600_000
          const signed = signs === undefined ? undefined : nth(signs)
          const about = subject === undefined ? undefined : nth(subject)
          const options = {
            tags: [
              ...tags,
              ...(signed === undefined || kind === "tag" ? [] : [signatureTag(signed)])
            ].join(" "),
            annotations: { n: `${pushed.length}` },
            ...(about !== undefined && { subject: about })
          }
          const [first] = children
          if (kind === "tag") {
            const target = first === undefined ? undefined : nth(first)
            if (target !== undefined)
              yield* memory.putManifest(app, target, { tags: tags.map(Reference.unsafeParseTag) })
          } else if (kind === "image")
            pushed.push(
              yield* image(`m${pushed.length}`, { ...options, created: "2026-10-01T00:00:00Z" })
            )
          else {
            // Those that are attached to their own member hold each other.
            const members = children.flatMap((child) => nth(child) ?? [])
            const { annotations } = options
            pushed.push(
              yield* index(members, circles ? options : { annotations, tags: tags.join(" ") })
            )
          }
        })
        for (const step of steps) yield* take(step)
        for (const n of lost) {
          const manifest = nth(n)
          if (manifest !== undefined)
            yield* Effect.ignore(memory.deleteManifest(app, digestOf(manifest)))
        }

        const start = yield* content
        if (start.manifests.size === 0) return 0
        // Since when a tag stands on what it does, and what there was then.
        const since = new Map([...start.tags.keys()].map((tag) => [tag, start]))
        // What was to go, and is left for the sake of others, had lost what went before they came.
        let last = start
        let calls = -1
        const registry: Registry.Service = {
          ...memory,
          manifests: lists
            ? memory.manifests
            : () => Stream.fail(new Unsupported({ operation: "listing manifests" })),
          tags: (...of) =>
            Stream.unwrap(
              Effect.gen(function* () {
                for (const [at, step] of meanwhile)
                  if (at === calls) {
                    const before = (yield* content).tags
                    // What it refers to may be gone by now.
                    yield* Effect.ignore(take(step))
                    const after = yield* content
                    last = after
                    for (const [tag, digest] of after.tags)
                      if (before.get(tag) !== digest || step.tags.includes(tag))
                        since.set(tag, after)
                  }
                calls++
                return memory.tags(...of)
              })
            )
        }
        const plan = yield* Prune.planFrom(registry, app, policy)
        const report = yield* Prune.executeFrom(registry, plan)
        const end = yield* content

        const lacks = (root: Digest, then: Content) =>
          [...reachable(root, then, lists)].filter(
            (digest) => then.manifests.has(digest) && !end.manifests.has(digest)
          )
        const chosen = new Set<string>(plan.rules.flatMap(({ removed }) => removed))
        for (const [tag, digest] of end.tags) {
          if (tag.startsWith("sha256-")) continue
          expect(
            lacks(digest, chosen.has(tag) ? last : (since.get(tag) ?? start)),
            `${tag}\n${Prune.format(report)}`
          ).toEqual([])
        }
        // Without being asked for, nothing goes that no tag leads to.
        if (lists && policy.untagged === undefined) {
          const held = new Set(
            [...start.tags.values()].flatMap((root) => [...reachable(root, start, true)])
          )
          for (const digest of start.manifests.keys())
            if (!held.has(digest)) expect(end.manifests.has(digest), digest).toBe(true)
        }
        expect(report.ok).toBe(true)
        if (meanwhile.length === 0)
          for (const { removed } of plan.rules)
            for (const tag of removed) expect(end.tags.has(tag), `${tag} was to go`).toBe(false)
        return report.deletions.filter(({ outcome }) => outcome._tag === "Removed").length
      }),
      clock
    )
  })

it("nothing that is reachable from what is kept is ever gone", async () => {
  let deleted = 0
  await FastCheck.assert(
    FastCheck.asyncProperty(scenario, async ({ lists, protect, rules, untagged, ...rest }) => {
      const policy = { rules, protect, ...(lists && { untagged }) }
      // The runner of the tests waits to hear of them.
      await new Promise(setImmediate)
      deleted += await Effect.runPromise(run({ ...rest, lists, protect, untagged, policy }))
    }),
    {
      numRuns: runs,
      interruptAfterTimeLimit: 120_000,
      markInterruptAsFailure: true,
      // The sample of `npm test` is the same each time.
      ...(process.env["PRUNE_RUNS"] === undefined && { seed: 1 })
    }
  )
  // The repositories are such that prunes have something to do.
  expect(deleted).toBeGreaterThan(runs / 4)
}, 600_000)
