/** Syncs between registries in memory: what rules choose, what they remove, what they report. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Sync from "../../src/content/Sync.js"
import { RateLimitObserver } from "../../src/internal/RateLimitObserver.js"
import * as Registries from "../../src/Registries.js"
import type { Registry } from "../../src/Registry.js"
import {
  Denied,
  InvalidUrl,
  NameUnknown,
  TooManyRequests,
  Unsupported
} from "../../src/RegistryError.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshBytes, items } from "../support/fixtures.js"
import { blob, counted, image, platforms, repository, v1 } from "../support/graphs.js"

const name = Reference.unsafeParseRepositoryName

/** Two hosts, `source.test` and `target.test`, and what is asked of each. */
const world = Effect.gen(function* () {
  const [source, target] = [yield* MemoryRegistry.make(), yield* MemoryRegistry.make()]
  const [from, to] = [counted(source), counted(target)]
  const opened: Record<string, Registry.Service> = {
    "source.test": from.registry,
    "docker.io": from.registry,
    "target.test": to.registry
  }
  const registries = Registries.layerFrom((host) =>
    Effect.mapError(
      Effect.fromNullable(opened[host]),
      () => new InvalidUrl({ url: host, problem: "is not known" })
    )
  )
  return {
    source,
    target,
    from,
    to,
    opened,
    run: (...rules: ReadonlyArray<Sync.Rule>) =>
      Effect.provide(Sync.run({ rules, concurrency: 1 }), registries),
    runAll: (rules: Sync.Rules) => Effect.provide(Sync.run(rules), registries),
    plan: (...rules: ReadonlyArray<Sync.Rule>) =>
      Effect.map(Stream.runCollect(Stream.provideLayer(Sync.plan({ rules }), registries)), (all) =>
        [...all].map(Sync.format)
      )
  }
})

const put = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: string,
  ...tags: ReadonlyArray<string>
) {
  for (const tag of tags) {
    const layer = yield* blob(registry, "application/x", freshBytes(tag), name(repository))
    const { descriptor } = yield* image(registry, [layer], {}, name(repository))
    const manifest = yield* registry.getManifest(name(repository), descriptor.digest)
    yield* registry.putManifest(name(repository), manifest, {
      tags: [Reference.unsafeParseTag(tag)]
    })
  }
})

const tagsOf = (registry: Registry.Service, repository: string) =>
  Effect.map(
    Effect.option(items(registry.tags(name(repository)))),
    Option.getOrElse((): ReadonlyArray<string> => [])
  )

const app: Sync.Rule = { from: "source.test/team/app", to: "target.test/mirror/app" }

describe("a sync", () => {
  it.effect("copies the tags that a filter chooses, and is done when it runs again", () =>
    Effect.gen(function* () {
      const { run, source, target, to } = yield* world
      yield* put(source, "team/app", "1.0.0", "1.1.0", "2.0.0", "latest")
      const rule = { ...app, tags: { semver: ">=1", newest: 2 } }
      const report = yield* run(rule)
      expect(report.ok).toBe(true)
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["1.1.0", "2.0.0"])
      const puts = to.count("putManifest")
      const again = yield* run(rule)
      expect(again.repositories[0]?.outcomes.map(({ status }) => status)).toEqual([
        "present",
        "present"
      ])
      expect(to.count("putManifest")).toBe(puts)
    })
  )

  it.effect("asks each side once for a tag that is equal (CP26)", () =>
    Effect.gen(function* () {
      const { from, run, source, to } = yield* world
      yield* platforms(source, ["linux/amd64", "linux/arm64"])
      const rule = { from: `source.test/${repository}`, to: "target.test/mirror" }
      yield* run(rule)
      from.log.length = 0
      to.log.length = 0
      yield* run(rule)
      expect(from.log).toEqual(["tags ", `headManifest ${v1}`])
      expect(to.log).toEqual([`headManifest ${v1}`])
    })
  )

  it.effect("takes repositories by name and by pattern, which are about whole names (CP27)", () =>
    Effect.gen(function* () {
      const { run, source, target } = yield* world
      for (const repository of ["team/app", "team/app-old", "team/tools/cli", "other/app"])
        yield* put(source, repository, "v1")
      const report = yield* run({
        from: "source.test/team",
        to: "target.test/mirror/team",
        repositories: ["app", "tools/*", "none-*"]
      })
      expect((yield* items(target.repositories())).map(String)).toEqual([
        "mirror/team/app",
        "mirror/team/tools/cli"
      ])
      expect(report.warnings).toEqual([
        "rules[0].repositories: none-* fits no repository of source.test"
      ])
      expect(report.ok).toBe(true)
    })
  )

  it.effect("does not copy its own copies where the target lies within the source", () =>
    Effect.gen(function* () {
      const { run, source } = yield* world
      yield* put(source, "team/app", "v1")
      yield* put(source, "mirror-of-others/app", "v1")
      for (const from of ["source.test", "source.test/team"])
        for (let n = 0; n < 2; n++)
          expect(yield* run({ from, to: `${from}/mirror`, repositories: ["*"] })).toMatchObject({
            ok: true
          })
      expect((yield* items(source.repositories())).map(String)).toEqual([
        "mirror-of-others/app",
        "mirror/mirror-of-others/app",
        "mirror/team/app",
        "team/app",
        "team/mirror/app"
      ])
    })
  )

  it.effect("takes the repositories beside one whose name is too long for the target", () =>
    Effect.gen(function* () {
      const { run, source, target } = yield* world
      yield* put(source, `a/${"b".repeat(250)}`, "v1")
      yield* put(source, "c", "v1")
      const report = yield* run({
        from: "source.test",
        to: "target.test/mirror",
        repositories: ["*"]
      })
      expect(report).toMatchObject({
        ok: false,
        problems: [{ path: "rules[0]", failure: { _tag: "InvalidReference" } }]
      })
      expect(yield* tagsOf(target, "mirror/c")).toEqual(["v1"])
    })
  )

  it.effect("reads docker.io as Docker Hub is read everywhere", () =>
    Effect.gen(function* () {
      const { run, source, target } = yield* world
      yield* put(source, "library/alpine", "3")
      yield* run(
        { from: "docker.io", to: "target.test", repositories: ["alpine"] },
        { from: "docker.io/library", to: "target.test/hub", repositories: ["alpine"] },
        { from: "alpine", to: "target.test/plain" }
      )
      expect((yield* items(target.repositories())).map(String)).toEqual([
        "alpine",
        "hub/alpine",
        "plain"
      ])
    })
  )

  it.effect("says which rules of a filter fit nothing", () =>
    Effect.gen(function* () {
      const { run, source } = yield* world
      yield* put(source, "team/app", "v1")
      const { repositories } = yield* run({ ...app, tags: { exclude: ["*-debug"] } })
      expect(repositories[0]?.warnings).toEqual([
        "source.test/team/app: exclude *-debug fits no tag"
      ])
    })
  )

  it.effect("copies the platforms that are asked for", () =>
    Effect.gen(function* () {
      const { run, source, target } = yield* world
      yield* platforms(source, ["linux/amd64", "linux/arm64"])
      const report = yield* run({
        from: `source.test/${repository}`,
        to: "target.test/mirror/app",
        platforms: ["linux/amd64"],
        index: "rewrite"
      })
      expect(report.ok).toBe(true)
      const index = yield* target.getManifest(name("mirror/app"), v1)
      if (index.content._tag !== "ImageIndex") return expect.fail("not an index")
      expect(
        index.content.manifests.map(({ platform }) => platform && Platform.format(platform))
      ).toEqual(["linux/amd64", "unknown/unknown"])
    })
  )
})

describe("failures of a sync", () => {
  it.effect("name the target with its host, as the source", () =>
    Effect.gen(function* () {
      const { opened, run, source, target } = yield* world
      yield* put(source, "team/app", "v1")
      opened["target.test"] = { ...target, putManifest: () => Effect.fail(new Denied({})) }
      expect(Sync.formatReport(yield* run(app))).toContain(
        "The target of the copy failed at target.test/mirror/app"
      )
    })
  )

  it.effect("leave out nothing else, and each tag has one outcome (CP24)", () =>
    Effect.gen(function* () {
      const { opened, run, source, target } = yield* world
      yield* put(source, "team/app", "a", "b", "c")
      yield* put(source, "team/other", "v1")
      const bad = Reference.unsafeParseTag("b")
      opened["source.test"] = {
        ...source,
        headManifest: (repository, reference) =>
          reference === bad
            ? Effect.fail(new Denied({}))
            : source.headManifest(repository, reference)
      }
      const report = yield* run(
        app,
        { from: "source.test/team/absent", to: "target.test/absent" },
        { from: "nowhere.test/x", to: "target.test/nowhere" },
        { from: "source.test/team/other", to: "target.test/other" }
      )
      expect(report.ok).toBe(false)
      const [first, absent, nowhere, other] = report.repositories
      expect(first?.outcomes.map(({ source, status }) => `${source} ${status}`).sort()).toEqual([
        "a copied",
        "b failed",
        "c copied"
      ])
      expect(absent?.failure).toMatchObject({ _tag: "NameUnknown" })
      expect(nowhere?.failure).toMatchObject({ _tag: "InvalidUrl" })
      expect(other).toMatchObject({ ok: true, outcomes: [{ status: "copied" }] })
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["a", "c"])
      const text = Sync.formatReport(report)
      expect(text).toContain("source.test/team/app to target.test/mirror/app: 2 copied, 1 failed\n")
      expect(text).toContain("source.test/team/absent to target.test/absent: no tags\n  failed: ")
    })
  )

  it.effect("of a list of repositories leave the named ones", () =>
    Effect.gen(function* () {
      const { opened, run, source, target } = yield* world
      yield* put(source, "team/app", "v1")
      const failure = new Unsupported({ operation: "repositories" })
      opened["source.test"] = { ...source, repositories: () => Stream.fail(failure) }
      const report = yield* run({
        from: "source.test/team",
        to: "target.test",
        repositories: ["app", "t*"]
      })
      expect(report).toMatchObject({ ok: false, problems: [{ path: "rules[0]", failure }] })
      expect(yield* tagsOf(target, "app")).toEqual(["v1"])
    })
  )
})

describe("what a sync removes", () => {
  const rule: Sync.Rule = {
    ...app,
    tags: { semver: "*", newest: 2 },
    delete: { share: 0.5 }
  }

  const filled = Effect.gen(function* () {
    const all = yield* world
    yield* put(all.source, "team/app", "1.0.0", "2.0.0", "3.0.0", "latest")
    yield* put(all.target, "mirror/app", "1.0.0", "2.0.0", "3.0.0", "ours")
    return all
  })

  it.effect("is what it does not choose any more, of what it could choose", () =>
    Effect.gen(function* () {
      const { run, target } = yield* filled
      const report = yield* run(rule)
      expect(report).toMatchObject({ ok: true, repositories: [{ removals: [{ tag: "1.0.0" }] }] })
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["2.0.0", "3.0.0", "ours"])
    })
  )

  it.effect("is the same in a plan, which counts what is going to be there", () =>
    Effect.gen(function* () {
      const { plan, run, source, target } = yield* world
      yield* put(source, "team/app", "2.0.0", "3.0.0")
      yield* put(target, "mirror/app", "1.0.0")
      expect((yield* plan(rule)).at(-1)).toBe("remove target.test/mirror/app:1.0.0")
      expect(yield* run(rule)).toMatchObject({ repositories: [{ removals: [{ tag: "1.0.0" }] }] })
    })
  )

  it.effect("is named where it fails, or cannot be found, by plan and report", () =>
    Effect.gen(function* () {
      const { opened, plan, run, target } = yield* filled
      const denied = new Denied({ status: 403 })
      opened["target.test"] = { ...target, deleteTag: () => Effect.fail(denied) }
      expect(Sync.formatReport(yield* run(rule)).split("\n")).toContain(
        `  failed: remove 1.0.0: ${denied.message}`
      )
      opened["target.test"] = { ...target, tags: () => Stream.fail(denied) }
      expect((yield* plan(rule)).at(-1)).toBe(`failed: target.test/mirror/app: ${denied.message}`)
    })
  )

  it.effect("is nothing unless it is asked", () =>
    Effect.gen(function* () {
      const { run, target } = yield* filled
      yield* run({ ...rule, delete: undefined })
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["1.0.0", "2.0.0", "3.0.0", "ours"])
    })
  )

  it.effect("is nothing where it is more than its share", () =>
    Effect.gen(function* () {
      const { run, target } = yield* filled
      const report = yield* run({ ...rule, delete: { share: 0.3 } })
      expect(report).toMatchObject({ ok: false, repositories: [{ removals: [] }] })
      expect(report.repositories[0]?.warnings).toEqual([
        "1 of 3 tags would be removed, which is more than the share 0.3: check the source, or " +
          "raise delete.share"
      ])
      expect(yield* tagsOf(target, "mirror/app")).toHaveLength(4)
    })
  )

  it.effect("is nothing when a copy has failed, or the source cannot be listed", () =>
    Effect.gen(function* () {
      const { opened, run, source, target } = yield* filled
      const third = Reference.unsafeParseTag("3.0.0")
      opened["source.test"] = {
        ...source,
        headManifest: (repository, reference) =>
          reference === third
            ? Effect.fail(new Denied({}))
            : source.headManifest(repository, reference)
      }
      expect(yield* run(rule)).toMatchObject({ ok: false })
      opened["source.test"] = { ...source, tags: () => Stream.fail(new Denied({})) }
      expect(yield* run({ ...rule, delete: { share: 1 } })).toMatchObject({ ok: false })
      expect(yield* tagsOf(target, "mirror/app")).toContain("1.0.0")
    })
  )

  it.effect("is nothing when a copy by any rule for it has failed, whatever the last one did", () =>
    Effect.gen(function* () {
      const { opened, plan, run, source, target } = yield* filled
      yield* put(source, "team/other", "other")
      opened["source.test"] = failingAt(source, new Denied({}), "3.0.0")
      const last = { ...app, from: "source.test/team/other" }
      expect(yield* run(rule, last)).toMatchObject({
        repositories: [{ ok: false }, { ok: true, removals: [] }]
      })
      expect((yield* plan(rule, last)).filter((line) => line.startsWith("remove"))).toEqual([])
      expect(yield* tagsOf(target, "mirror/app")).toContain("1.0.0")
    })
  )

  it.effect("is nothing where it is more than the least share of several rules", () =>
    Effect.gen(function* () {
      const { run, target } = yield* filled
      for (const shares of [
        [0.5, 0.1],
        [0.1, 0.5]
      ])
        yield* run(...shares.map((share) => ({ ...rule, delete: { share } })))
      expect(yield* tagsOf(target, "mirror/app")).toHaveLength(4)
    })
  )

  it.effect("is nothing while the source lists the repository and knows no tags of it", () =>
    Effect.gen(function* () {
      const { opened, plan, run, source, target } = yield* filled
      yield* put(source, "team/other", "v1")
      opened["source.test"] = {
        ...source,
        tags: (repository, options) =>
          repository === name("team/app")
            ? Stream.fail(new NameUnknown({ repository }))
            : source.tags(repository, options)
      }
      // As docker-registry does of a repository that has manifests and never had a tag.
      const listed = {
        from: "source.test/team",
        to: "target.test/mirror",
        repositories: ["*"],
        delete: { share: 1 }
      }
      const warning = "source.test/team/app: the registry lists it, but knows no tags of it"
      expect(yield* plan(listed)).toContain(`warning: ${warning}`)
      const report = yield* run(listed)
      expect(report).toMatchObject({
        ok: true,
        repositories: [{ ok: true, removals: [], warnings: [warning] }, { ok: true }]
      })
      expect(yield* tagsOf(target, "mirror/app")).toHaveLength(4)
      expect(yield* tagsOf(target, "mirror/other")).toEqual(["v1"])
      // One that a rule names has to be there.
      expect(yield* run({ ...listed, repositories: ["app"] })).toMatchObject({ ok: false })
    })
  )

  it.effect("is reported where the registry removes no tags, and helped where a rule says so", () =>
    Effect.gen(function* () {
      const { opened, run, target } = yield* filled
      const failure = new Unsupported({ operation: "deleteTag" })
      opened["target.test"] = { ...target, deleteTag: () => Effect.fail(failure) }
      const report = yield* run(rule)
      expect(report).toMatchObject({
        ok: false,
        repositories: [{ removals: [{ tag: "1.0.0", failure }] }]
      })
      expect(Sync.formatReport(report)).toContain("delete.throwaway has another way")
      expect(yield* run({ ...rule, delete: { share: 0.5, throwaway: true } })).toMatchObject({
        ok: true
      })
      expect(yield* tagsOf(target, "mirror/app")).not.toContain("1.0.0")
    })
  )

  it.effect("is nothing that only a rule could choose that removes nothing", () =>
    Effect.gen(function* () {
      const { run, target } = yield* filled
      yield* run(rule, { ...app, tags: { include: ["ours"] } })
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["2.0.0", "3.0.0", "ours"])
    })
  )

  it.effect("is nothing that another rule keeps", () =>
    Effect.gen(function* () {
      const { run, target } = yield* filled
      yield* run(rule, { ...app, tags: { include: ["1.0.0"] } })
      expect(yield* tagsOf(target, "mirror/app")).toContain("1.0.0")
    })
  )

  it.effect("is nothing that may be kept by a rule whose repositories are not known", () =>
    Effect.gen(function* () {
      const { opened, plan, run, target } = yield* filled
      const failure = new Unsupported({ operation: "repositories" })
      opened["other.test"] = { ...target, repositories: () => Stream.fail(failure) }
      const other = { from: "other.test", to: "target.test/mirror", repositories: ["a*"] }
      const warning = "no tag is removed while it is not known what is kept by rules[1]"
      expect(yield* plan(rule, other)).toContain(`warning: target.test/mirror/app: ${warning}`)
      const report = yield* run(rule, other)
      expect(report).toMatchObject({
        ok: false,
        repositories: [{ ok: false, removals: [], warnings: [warning] }]
      })
      expect(yield* tagsOf(target, "mirror/app")).toContain("1.0.0")
      // Rules that are about other repositories do not keep anything there.
      for (const elsewhere of [{ repositories: ["b*"] }, { to: "target.test/elsewhere" }])
        yield* run(rule, { ...other, ...elsewhere })
      expect(yield* tagsOf(target, "mirror/app")).not.toContain("1.0.0")
    })
  )

  it.effect("is nothing that may be kept under Docker Hub's longer name of it", () =>
    Effect.gen(function* () {
      const { opened, run, source, target } = yield* filled
      opened["docker.io"] = target
      yield* put(source, "alpine", "2.0.0")
      yield* put(target, "library/alpine", "1.0.0", "2.0.0")
      opened["other.test"] = { ...target, repositories: () => Stream.fail(new Denied({})) }
      const alpine = { ...rule, from: "source.test/alpine", to: "docker.io/alpine" }
      const other = { from: "other.test", to: "docker.io", repositories: ["al*"] }
      expect(yield* run(alpine, other)).toMatchObject({ repositories: [{ removals: [] }] })
      expect(yield* tagsOf(target, "library/alpine")).toEqual(["1.0.0", "2.0.0"])
      yield* run(alpine, { ...other, repositories: ["b*"] })
      expect(yield* tagsOf(target, "library/alpine")).toEqual(["2.0.0"])
    })
  )

  it.effect("is not held up by a repository whose name is too long for its own target", () =>
    Effect.gen(function* () {
      const { run, source, target } = yield* filled
      yield* put(source, `team/${"b".repeat(245)}`, "v1")
      const all = { from: "source.test/team", to: "target.test/mirror/team", repositories: ["*"] }
      const report = yield* run(rule, all)
      expect(report.problems).toHaveLength(1)
      expect(yield* tagsOf(target, "mirror/app")).not.toContain("1.0.0")
    })
  )
})

describe("a plan of a sync", () => {
  it.effect("says what would be done, and does nothing", () =>
    Effect.gen(function* () {
      const { plan, source, target } = yield* world
      yield* put(source, "team/app", "v2")
      yield* put(target, "mirror/app", "v1")
      const lines = yield* plan(
        { ...app, tags: { exclude: ["x*"] }, delete: { share: 1 } },
        { from: "source.test/team/absent", to: "target.test/absent" },
        { from: "source.test", to: "target.test", repositories: ["z*"] }
      )
      expect(lines[0]).toBe("warning: rules[2].repositories: z* fits no repository of source.test")
      expect(lines[1]).toBe("warning: source.test/team/app: exclude x* fits no tag")
      expect(lines).toContain("remove target.test/mirror/app:v1")
      expect(lines.at(-1)).toContain("failed: source.test/team/absent: ")
      expect(lines.filter((line) => line.startsWith("target.test/mirror/app: "))).not.toEqual([])
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["v1"])
    })
  )
})

/** A registry whose HEADs of some tags fail. */
const failingAt = (
  registry: Registry.Service,
  failure: Denied | TooManyRequests,
  ...tags: ReadonlyArray<string>
): Registry.Service => ({
  ...registry,
  headManifest: (repository, reference) =>
    tags.includes(reference) ? Effect.fail(failure) : registry.headManifest(repository, reference)
})

describe("a plan of a sync where some fails", () => {
  it.effect("shows all that run does, and each failure, and removes nothing", () =>
    Effect.gen(function* () {
      const { opened, plan, run, source, target } = yield* world
      yield* put(source, "team/app", "a", "b", "c", "d", "e")
      yield* put(target, "mirror/app", "old")
      opened["source.test"] = failingAt(source, new Denied({}), "b", "d")
      const rule = { ...app, delete: { share: 1 } }
      const lines = yield* plan(rule)
      const of = (start: string) => lines.filter((line) => line.startsWith(start))
      expect(of("failed: ").map((line) => line.split(": ")[1])).toEqual([
        "source.test/team/app:b",
        "source.test/team/app:d"
      ])
      expect(of("remove")).toEqual([])
      for (const tag of ["a", "c", "e"])
        expect(of("target.test/mirror/app: ").some((line) => line.includes(`tag ${tag}`))).toBe(
          true
        )
      expect(yield* run(rule)).toMatchObject({ ok: false })
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["a", "c", "e", "old"])
    })
  )

  it.effect("tells what would be postponed from what fails", () =>
    Effect.gen(function* () {
      const { opened, plan, run, source } = yield* world
      yield* put(source, "team/app", "a", "b")
      const failure = new TooManyRequests({ status: 429, retryAfter: 60_000 })
      opened["source.test"] = failingAt(source, failure, "b")
      const said = "The registry limits the rate of requests; try again in 60 s"
      const lines = yield* plan(app)
      expect(lines.at(-1)).toContain(`postponed: source.test/team/app:b: ${said}`)
      const report = yield* run(app)
      expect(report.repositories[0]).toMatchObject({ postponed: ["b"], postponedBy: failure })
      expect(Sync.formatReport(report)).toContain(`  postponed: ${said}`)
    })
  )
})

describe("several rules for one target", () => {
  const two: ReadonlyArray<Sync.Rule> = [
    { from: "source.test/team/one", to: "target.test/app" },
    { from: "source.test/team/two", to: "target.test/app" }
  ]

  it.effect("put under a tag what the first of them says, and say so", () =>
    Effect.gen(function* () {
      const { opened, plan, run, source, target } = yield* world
      yield* put(source, "team/one", "a", "b")
      yield* put(source, "team/two", "b", "c")
      const digestOf = (registry: Registry.Service, repository: string, tag: string) =>
        Effect.map(
          registry.getManifest(name(repository), Reference.unsafeParseTag(tag)),
          ({ descriptor }) => descriptor.digest
        )
      const warning =
        "source.test/team/two: rules[0] comes first, which copies source.test/team/one to the " +
        "same tags: b left alone"
      expect(yield* plan(...two)).toContain(`warning: ${warning}`)
      for (let n = 0; n < 2; n++) {
        const report = yield* run(...two)
        expect(report).toMatchObject({ ok: true, repositories: [{}, { warnings: [warning] }] })
        const [one] = [yield* digestOf(source, "team/one", "b")]
        expect(yield* digestOf(target, "app", "b")).toBe(one)
      }
      expect(yield* tagsOf(target, "app")).toEqual(["a", "b", "c"])
      // Nor what the first one could choose, while nobody knows what it does.
      const other = yield* digestOf(target, "app", "b")
      opened["source.test"] = {
        ...source,
        tags: (repository, options) =>
          repository === name("team/one")
            ? Stream.fail(new Denied({}))
            : source.tags(repository, options)
      }
      expect(yield* run(...two)).toMatchObject({ ok: false })
      expect(yield* digestOf(target, "app", "b")).toBe(other)
    })
  )

  it.effect("add to each other where they copy the same", () =>
    Effect.gen(function* () {
      const { run, source } = yield* world
      yield* put(source, "team/app", "a", "b")
      const report = yield* run(app, { ...app, tags: { include: ["a"] }, referrers: true })
      expect(report.repositories.map(({ outcomes }) => outcomes.length)).toEqual([2, 1])
      expect(report.repositories.flatMap(({ warnings }) => warnings)).toEqual([])
    })
  )

  it.effect("are found where one rule has two names for one repository", () =>
    Effect.gen(function* () {
      const { opened, run, source, target } = yield* world
      opened["docker.io"] = target
      yield* put(source, "alpine", "a")
      yield* put(source, "library/alpine", "a", "b")
      const report = yield* run({
        from: "source.test",
        to: "docker.io",
        repositories: ["alpine", "library/alpine"]
      })
      expect(report.repositories.map(({ from }) => Reference.format(from))).toEqual([
        "source.test/alpine",
        "source.test/library/alpine"
      ])
      expect(report.repositories[1]?.warnings).toHaveLength(1)
      expect(yield* tagsOf(target, "library/alpine")).toEqual(["a", "b"])
    })
  )
})

describe("rules that feed each other", () => {
  const all = { repositories: ["*"] }
  const rounds: ReadonlyArray<readonly [string, ReadonlyArray<Sync.Rule>]> = [
    [
      "two registries that mirror each other",
      [
        { from: "source.test", to: "target.test/mirror", ...all },
        { from: "target.test", to: "source.test/mirror", ...all }
      ]
    ],
    [
      "three in a circle",
      [
        { from: "source.test", to: "target.test/m", ...all },
        { from: "target.test", to: "other.test/m", ...all },
        { from: "other.test", to: "source.test/m", ...all }
      ]
    ]
  ]
  it.effect.each(rounds)("are done after a while: %s", ([, rules]) =>
    Effect.gen(function* () {
      const { opened, run, source, target } = yield* world
      const other = yield* MemoryRegistry.make()
      opened["other.test"] = other
      yield* put(source, "app", "v1")
      yield* put(target, "tool", "v1")
      const repositories = Effect.map(
        Effect.forEach([source, target, other], (registry) => items(registry.repositories())),
        (lists) => lists.map((list) => list.map(String))
      )
      yield* run(...rules)
      yield* run(...rules)
      const before = yield* repositories
      yield* run(...rules)
      expect(yield* repositories).toEqual(before)
      expect(before[1]).toContain(rules.length === 2 ? "mirror/app" : "m/app")
    })
  )

  it.effect("keep two registries equal in both directions", () =>
    Effect.gen(function* () {
      const { run, source, target } = yield* world
      yield* put(source, "team/app", "v1")
      yield* put(target, "team/tool", "v1")
      const [one, other] = ["source.test/team", "target.test/team"]
      yield* run({ from: one, to: other, ...all }, { from: other, to: one, ...all })
      for (const registry of [source, target])
        expect((yield* items(registry.repositories())).map(String)).toEqual([
          "team/app",
          "team/tool"
        ])
    })
  )
})

describe("a source that says how many requests it allows", () => {
  it.effect("keeps those that are to be left, and the rest comes with the next run (CP26)", () =>
    Effect.gen(function* () {
      const { opened, runAll, source, target } = yield* world
      yield* put(source, "team/app", "a", "b", "c", "d", "e", "f")
      let allowed = 12
      const said = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.zipLeft(
          effect,
          Effect.map(RateLimitObserver, (observe) => observe(--allowed))
        )
      opened["source.test"] = {
        ...source,
        headManifest: (repository, reference) => said(source.headManifest(repository, reference)),
        getManifest: (repository, reference) => said(source.getManifest(repository, reference))
      }
      const rules: Sync.Rules = { rules: [{ ...app, delete: { share: 1 } }], leave: 5 }
      yield* put(target, "mirror/app", "old")
      const report = yield* runAll(rules)
      const postponed = report.repositories[0]?.postponed ?? []
      expect(allowed).toBeGreaterThanOrEqual(5)
      expect(report.ok).toBe(false)
      expect(postponed.length).toBeGreaterThan(0)
      expect(report.repositories[0]?.postponedBy).toMatchObject({
        _tag: "TooManyRequests",
        remaining: "5"
      })
      expect(report.repositories[0]?.outcomes.every(({ status }) => status === "copied")).toBe(true)
      // What stays is not known yet.
      expect(yield* tagsOf(target, "mirror/app")).toContain("old")
      allowed = 100
      expect(yield* runAll(rules)).toMatchObject({ ok: true })
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["a", "b", "c", "d", "e", "f"])
    })
  )
})

describe("a sync by a schedule", () => {
  it.effect("moves what is new each time", () =>
    Effect.gen(function* () {
      const { run, source, target } = yield* world
      yield* put(source, "team/app", "v1")
      const fiber = yield* Effect.fork(Effect.repeat(run(app), Schedule.spaced("1 hour")))
      yield* TestClock.adjust("1 minute")
      yield* put(source, "team/app", "v2")
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["v1"])
      yield* TestClock.adjust("1 hour")
      expect(yield* tagsOf(target, "mirror/app")).toEqual(["v1", "v2"])
      yield* Fiber.interrupt(fiber)
    })
  )
})

describe("no rules", () => {
  it.effect("are a warning", () =>
    Effect.gen(function* () {
      const { plan, run } = yield* world
      const warning = "there are no rules, so that nothing is done"
      expect(yield* run()).toMatchObject({ ok: true, warnings: [warning] })
      expect(yield* plan()).toEqual([`warning: ${warning}`])
    })
  )
})

describe("rules", () => {
  const rules: Sync.Rules = {
    rules: [
      {
        from: "docker.io/library",
        to: "target.test/hub",
        repositories: ["alpine"],
        tags: { semver: ">=3", newest: 5 },
        platforms: ["linux/amd64"],
        referrers: true,
        delete: { share: 0.1 }
      }
    ],
    leave: 20
  }

  it.effect("are read from JSON and from YAML", () =>
    Effect.gen(function* () {
      expect(yield* Sync.parse(JSON.stringify(rules))).toEqual(rules)
      const yaml = `
        # every hour
        rules:
          - from: docker.io/library
            to: target.test/hub
            repositories: [alpine]
            tags: { semver: ">=3", newest: 5 }
            platforms:
              - linux/amd64
            referrers: true
            delete:
              share: 0.1
        leave: 20`
      expect(yield* Sync.parse(yaml)).toEqual(rules)
      const merged = "rules:\r\n- &a {from: a/b, to: c/d}\r\n- {<<: *a, to: e/f}\r\n"
      expect((yield* Sync.parse(`\uFEFF${merged}`)).rules).toEqual([
        { from: "a/b", to: "c/d" },
        { from: "a/b", to: "e/f" }
      ])
      // YAML that begins as JSON does.
      expect(yield* Sync.parse("{ rules: [] }")).toEqual({ rules: [] })
    })
  )

  const texts: ReadonlyArray<readonly [what: string, text: string, path: string]> = [
    ["neither JSON nor YAML", "rules: [", ""],
    ["a text", "rules", ""],
    ["no rules", "{}", "rules"],
    [
      "a filter that is misspelled (CP27)",
      '{"rules":[{"from":"a/b","to":"c/d","tag":{}}]}',
      "rules[0].tag"
    ],
    [
      "a share over 1",
      '{"rules":[{"from":"a","to":"b","delete":{"share":2}}]}',
      "rules[0].delete.share"
    ],
    [
      "a bomb of aliases",
      `a: &a [x, x]\n${Array.from(
        { length: 30 },
        (_, n) =>
          `b${n}: &b${n} [${Array(9)
            .fill(n === 0 ? "*a" : `*b${n - 1}`)
            .join()}]`
      ).join("\n")}`,
      ""
    ],
    ["more than is read", " ".repeat(1024 * 1024 + 1), ""],
    ...["[", "{a: ", '{"a":', "- ", "? "].map(
      (text) => [`what is in each other by ${text}`, text.repeat(150_000), ""] as const
    ),
    [
      "a number for a version",
      "rules:\n- {from: a, to: b, tags: {include: [1.10]}}",
      "rules[0].tags.include[0]"
    ],
    ["two documents", "rules: []\n---\nrules: []", ""],
    ["two of one field", "rules: []\nrules: []", ""],
    ["two of one field of JSON", '{"rules":[{"from":"a","to":"b","to":"c"}]}', ""]
  ]
  for (const [what, text, path] of texts) {
    it.effect(`are not ${what}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Sync.parse(text))
        expect(error).toMatchObject({ _tag: "InvalidRules", path })
        expect(error.message).toContain(path || "the rules: ")
        expect(error.message.length).toBeLessThan(400)
      })
    )
  }

  it.effect("say what is expected in words", () =>
    Effect.gen(function* () {
      const messages = yield* Effect.forEach(
        [
          '"tags": { "semver": "*", "newest": 0 }',
          '"tags": { "newest": 3 }',
          '"tags": { "semver": 1 }',
          '"level": "tags"',
          '"delete": { "share": 10 }',
          '"delete": true',
          '"referrers": "yes"'
        ],
        (field) =>
          Effect.map(
            Effect.flip(Sync.parse(`{"rules":[{"from":"a/b","to":"c/d",${field}}]}`)),
            ({ message }) => message
          )
      )
      expect(messages).toEqual([
        "rules[0].tags.newest: newest: 0 is not a number of tags",
        "rules[0].tags.newest: newest: which tags are the newest, their versions tell: " +
          'say semver: "*" or calendar: "*" as well',
        "rules[0].tags.semver: expected a string, and 1 is a number: put it into quotes",
        'rules[0].level: expected "tag", "manifests" or "blobs"',
        "rules[0].delete.share: expected a number between 0 and 1",
        "rules[0].delete: expected an object with share or throwaway",
        "rules[0].referrers: expected a boolean"
      ])
      // A name is one again within another object, and in a text it is none.
      const text = '{"rules":[{"from":"a/b","to":"c/\\"to\\":\\"to\\""},{"from":"a","to":"d"}]}'
      expect((yield* Sync.parse(text)).rules).toHaveLength(2)
    })
  )

  it.effect("say nothing of a name that is not in them", () =>
    Effect.gen(function* () {
      const { run } = yield* world
      const messages = yield* Effect.forEach(["source.test/", "source.test/Team"], (from) =>
        Effect.map(Effect.flip(run({ ...app, from, repositories: ["a"] })), (e) => e.message)
      )
      expect(messages[0]).toBe('rules[0].from: "source.test/" ends with "/": leave that out')
      expect(messages[1]).toContain('"Team"')
      expect(messages[1]).not.toContain("of/any")
    })
  )

  const wrong: ReadonlyArray<readonly [rule: Partial<Sync.Rule>, path: string]> = [
    [{ from: "source.test/Team" }, "rules[0].from"],
    [{ from: "source.test/a:v1" }, "rules[0].from"],
    [{ to: "source.test/team/app" }, "rules[0].to"],
    [{ from: "source.test", to: "source.test", repositories: ["a"] }, "rules[0].to"],
    [{ repositories: ["Upper"] }, "rules[0].repositories"],
    [{ platforms: ["linux/"] }, "rules[0].platforms"],
    [{ tags: { semver: "one" } }, "rules[0].tags"],
    [{ platforms: [] }, "rules[0].platforms"],
    [{ repositories: [] }, "rules[0].repositories"]
  ]
  for (const [rule, path] of wrong) {
    it.effect(`fail before anything is asked: ${JSON.stringify(rule)}`, () =>
      Effect.gen(function* () {
        const { from, run, to } = yield* world
        const error = yield* Effect.flip(run({ ...app, ...rule }))
        expect(error).toMatchObject({ _tag: "InvalidRules", path })
        expect(error.message.startsWith(`${path}: `)).toBe(true)
        expect([...from.log, ...to.log]).toEqual([])
      })
    )
  }
})
