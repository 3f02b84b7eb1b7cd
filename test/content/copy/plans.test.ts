/**
 * Plans as data: what is written of a plan is read again as the same plan, and a plan from anywhere
 * is run, or refused with what is wrong with it.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Copy from "../../../src/content/Copy.js"
import * as Digest from "../../../src/spec/Digest.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as Platform from "../../../src/spec/Platform.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import * as CopyGraphs from "../../support/copyGraphs.js"
import { freshDigest, items, tag, utf8 } from "../../support/fixtures.js"
import { blob, counted, image, platforms, repository, v1 } from "../../support/graphs.js"

const Line = Schema.parseJson(Copy.Step)
const write = Schema.encodeSync(Line)
const read = Schema.decodeSync(Line)
const decode = Schema.decodeUnknownEither(Copy.Step)

const copied = (steps: ReadonlyArray<Copy.Step>) => steps.map((step) => read(write(step)))

describe("a plan that is written and read", () => {
  it.effect("of a generated graph is the same, and copies the same", () =>
    Effect.gen(function* () {
      const kinds = new Set<string>()
      const cases = FastCheck.sample(CopyGraphs.cases, { numRuns: 30, seed: 11 })
      for (const [n, { nodes, options }] of cases.entries()) {
        // What is missing is left out, so that there are plans, and entries of indexes omitted.
        const one = {
          nodes,
          isBlobMissing: false,
          options: { ...options, missing: "skip" }
        } as const
        const more = { index: n % 2 === 0 ? "rewrite" : "sparse" } as const
        const [first, second] = [
          yield* CopyGraphs.planned(one, more),
          yield* CopyGraphs.planned(one, more)
        ]
        if (Option.isNone(first.steps)) continue
        const steps = first.steps.value
        for (const step of steps) {
          kinds.add(step._tag)
          for (const member of ["document", "omitted"]) if (member in step) kinds.add(member)
          expect(read(write(step))).toStrictEqual(step)
          expect(write(read(write(step)))).toBe(write(step))
        }
        const [ran, again] = [
          yield* Effect.either(Copy.runBetween(first.from, first.to, steps)),
          yield* Effect.either(Copy.runBetween(second.from, second.to, copied(steps)))
        ]
        expect(Either.map(again, ({ outcomes }) => outcomes)).toEqual(
          Either.map(ran, ({ outcomes }) => outcomes)
        )
        for (const { digest } of yield* there(first.target)) {
          const [here, other] = [
            yield* first.target.getManifest(repository, digest),
            yield* second.target.getManifest(repository, digest)
          ]
          expect(Buffer.compare(other.bytes, here.bytes)).toBe(0)
        }
        expect((yield* there(second.target)).length).toBe((yield* there(first.target)).length)
      }
      expect(kinds).toEqual(
        new Set(["Have", "Put", "Skip", "Tag", "Transfer", "document", "omitted"])
      )
    })
  )

  it("of any steps is the same", () => {
    FastCheck.assert(
      FastCheck.property(Arbitrary.make(Copy.Step), (step) => {
        expect(read(write(step))).toEqual(step)
      }),
      { numRuns: 200, seed: 3 }
    )
  })

  it.effect("has the data of descriptors, and what is not known of them", () =>
    Effect.gen(function* () {
      const source = yield* MemoryRegistry.make({ missingReferences: "accept" })
      const target = yield* MemoryRegistry.make()
      const bytes = utf8('{"inline":true}')
      const config = {
        mediaType: MediaType.imageConfig,
        digest: Digest.fromBytes(bytes),
        size: bytes.length,
        data: Buffer.from(bytes).toString("base64"),
        urls: ["https://example.com/a?b=c"],
        annotations: {
          "a\nb\u2028": "\ud800 \u{1f600} \ufeff",
          ...JSON.parse('{"__proto__":"own"}')
        },
        platform: Platform.make({ os: "linux", architecture: "arm", "os.features": ["a"] }),
        ...JSON.parse('{"__proto__":{"own":1},"x":[null,1.5e300,{"y":{}}]}')
      }
      const layer = yield* blob(source, MediaType.layerTarGzip)
      const manifest = yield* image(source, [layer], { config })
      yield* source.putManifest(repository, manifest, { tags: [v1] })
      const [from, to] = [
        { registry: source, repository, reference: v1 },
        { registry: target, repository }
      ]
      const steps = yield* items(Copy.planBetween(from, to))
      const inline = steps.find(({ descriptor }) => descriptor.digest === config.digest)
      expect(inline?.descriptor).toMatchObject({ data: config.data, x: config.x })
      for (const step of steps) {
        expect(JSON.parse(write(step))).toEqual(JSON.parse(JSON.stringify(step)))
        expect(read(write(step))).toStrictEqual(step)
      }
      // The source does not have the configuration: it comes from the plan.
      yield* Copy.runBetween(from, to, copied(steps))
      expect(yield* target.getBlobBytes(repository, config.digest)).toEqual(bytes)
    })
  )

  it.effect("has the index that was rewritten, byte for byte", () =>
    Effect.gen(function* () {
      const source = yield* MemoryRegistry.make()
      const target = yield* MemoryRegistry.make()
      const { index } = yield* platforms(source, ["linux/amd64", "linux/arm64"])
      const text = new TextDecoder()
        .decode(index.bytes)
        .replace("{", '{"annotations":{"é\\ud800":"\u2028\u{1f600}"}, "x": 1e2 ,')
      const odd = yield* Manifest.fromBytes(utf8(text), { mediaType: MediaType.imageIndex })
      yield* source.putManifest(repository, odd, { tags: [v1] })
      const [from, to] = [
        { registry: source, repository, reference: v1 },
        { registry: target, repository }
      ]
      const steps = yield* items(
        Copy.planBetween(from, to, {
          platforms: [Platform.unsafeParse("linux/arm64")],
          index: "rewrite"
        })
      )
      const { outcomes } = yield* Copy.runBetween(from, to, copied(steps))
      const put = yield* target.getManifest(repository, v1)
      expect(outcomes).toMatchObject([{ status: "copied", digest: put.descriptor.digest }])
      const documents = steps.flatMap((step) => ("document" in step ? [step.document] : []))
      expect(documents).toEqual([new TextDecoder().decode(put.bytes)])
    })
  )
})

const there = (registry: MemoryRegistry.MemoryRegistry.Service) =>
  Effect.orElseSucceed(items(registry.manifests(repository)), () => []).pipe(
    Effect.map((all) => all.map(({ descriptor }) => descriptor))
  )

describe("a step that is read", () => {
  const digest = freshDigest()
  const descriptor = { mediaType: MediaType.imageManifest, digest, size: 1 }
  const put = { _tag: "Put", id: `manifest ${digest}`, kind: "manifest", descriptor, after: [] }

  it("is a step or a ParseError, whatever it is", () => {
    const members = FastCheck.dictionary(
      FastCheck.constantFrom(...["_tag", "id", "kind", "descriptor", "after", "omitted", "tag"]),
      FastCheck.oneof(FastCheck.jsonValue(), FastCheck.constantFrom("Tag", "Skip", "blob"))
    )
    const values = FastCheck.oneof(
      FastCheck.jsonValue(),
      members.map((some) => ({ ...put, ...some }))
    )
    FastCheck.assert(
      FastCheck.property(values, (value) => {
        for (const result of [
          decode(value),
          Schema.decodeUnknownEither(Line)(JSON.stringify(value))
        ])
          if (Either.isLeft(result)) {
            expect(result.left).toBeInstanceOf(ParseResult.ParseError)
            expect(result.left.message.length).toBeLessThan(2000)
          } else expect(Schema.is(Copy.Step)(result.right)).toBe(true)
      }),
      { numRuns: 500, seed: 5 }
    )
  })

  it.each([
    ["no object", [], "_tag is missing"],
    ["null", null, "expected CopyStep"],
    ["a later kind", { ...put, _tag: "Sign" }, "_tag: expected"],
    ["none", { ...put, _tag: undefined }, "_tag"],
    ["an earlier form", { ...put, after: undefined }, "after"],
    ["a manifest that is a blob", { ...put, kind: "blob" }, "kind: expected"],
    ["no digest", { ...put, descriptor: { ...descriptor, digest: "sha256:00" } }, "digest"],
    ["data", { ...put, descriptor: { ...descriptor, data: "!" } }, "descriptor.data: expected"],
    ["a size", { ...put, descriptor: { ...descriptor, size: -1 } }, "descriptor.size: expected"],
    ["omitted", { ...put, omitted: [{}] }, "omitted[0].mediaType is missing"],
    ["bytes", { ...put, document: { 0: 1 } }, "document: expected"],
    ["a tag", { ...put, _tag: "Tag", tag: "../v1", was: "absent", puts: true }, "tag: expected"],
    ["what was", { ...put, _tag: "Tag", tag: "v1", was: "gone", puts: true }, "was: expected"],
    ["a repository", { ...put, _tag: "Mount", kind: "blob", from: "A/../b" }, "from: expected"]
  ])("says what is wrong: %s", (_, value, message) => {
    expect(Either.getOrThrow(Either.flip(decode(value))).message).toContain(message)
  })

  it("is refused where it is nested deeply (T21), or no JSON", () => {
    const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`
    for (const text of [deep, `{"_tag":"Put","after":${deep}}`, '{"_tag":"Put"', "", "null"]) {
      const error = Either.getOrThrow(Either.flip(Schema.decodeUnknownEither(Line)(text)))
      expect(error).toBeInstanceOf(ParseResult.ParseError)
      expect(error.message.length).toBeLessThan(2000)
    }
  })
})

describe("a plan from elsewhere", () => {
  const world = Effect.gen(function* () {
    const source = yield* MemoryRegistry.make()
    const to = counted(yield* MemoryRegistry.make())
    const from = counted(source)
    const layer = yield* blob(source, MediaType.layerTarGzip)
    const { descriptor } = yield* image(source, [layer])
    yield* source.putManifest(
      repository,
      yield* source.getManifest(repository, descriptor.digest),
      {
        tags: [v1]
      }
    )
    const places = [
      { registry: from.registry, repository, reference: v1 },
      { registry: to.registry, repository }
    ] as const
    const steps = yield* items(Copy.planBetween(...places))
    from.log.length = to.log.length = 0
    return { descriptor, places, steps, sent: () => [...from.log, ...to.log] }
  })

  const refused = (
    change: (steps: ReadonlyArray<Copy.Step>) => ReadonlyArray<Copy.Step>,
    options: Copy.Options = {}
  ) =>
    Effect.gen(function* () {
      const { places, sent, steps } = yield* world
      const error = yield* Effect.flip(Copy.runBetween(...places, change(steps), options))
      expect(sent()).toEqual([])
      return error._tag === "InvalidPlan" ? error : yield* Effect.dieMessage(error._tag)
    })

  const tagStep = (steps: ReadonlyArray<Copy.Step>) => {
    const found = steps.find((step) => step._tag === "Tag")
    return found?._tag === "Tag" ? found : expect.fail("has no tag")
  }

  it.effect("is refused where a step waits for itself, by its tag or by what that brings", () =>
    Effect.gen(function* () {
      const self = yield* refused((steps) => [{ ...tagStep(steps), after: ["tag v1"] }])
      expect(self.steps).toEqual(["tag v1"])
      const brought = yield* refused((steps) => {
        const step = tagStep(steps)
        return [{ ...step, after: [`manifest ${step.descriptor.digest}`] }]
      })
      expect(brought.steps).toHaveLength(1)
    })
  )

  it.effect("is refused where steps wait in a circle, which is named in its order", () =>
    Effect.gen(function* () {
      const [a, b] = [yield* tag("a"), yield* tag("b")]
      const circle = (steps: ReadonlyArray<Copy.Step>): ReadonlyArray<Copy.Step> => {
        const step = { ...tagStep(steps), puts: false }
        return [
          ...steps.filter(({ _tag }) => _tag !== "Tag"),
          { ...step, after: ["tag a"] },
          { ...step, id: "tag a", tag: a, after: [...step.after, "tag b"] },
          { ...step, id: "tag b", tag: b, after: [...step.after, "tag a"] }
        ]
      }
      for (const continueOnError of [false, true]) {
        const error = yield* refused(circle, { continueOnError })
        expect(error.steps).toEqual(["tag a", "tag b"])
        expect(error.message).toBe(
          "The plan cannot be run: these steps wait for each other: tag a, tag b"
        )
      }
    })
  )

  it.effect("is refused for a circle of any length, with a message that is short", () =>
    Effect.gen(function* () {
      const length = 3000
      const names = yield* Effect.forEach(
        Array.from({ length }, (_, n) => `t${n}`),
        tag
      )
      const error = yield* refused((steps) =>
        names.map((name, n) => ({
          ...tagStep(steps),
          id: `tag ${name}`,
          tag: name,
          puts: false,
          after: [`tag t${(n + 1) % length}`, `tag t${(n + 1) % length}`]
        }))
      )
      expect(error.steps).toHaveLength(length)
      expect(error.message).toMatch(/: tag t0, tag t1, tag t2, tag t3, and 2996 more$/)
    })
  )

  it.effect("is refused where an id is not that of its step, or a tag is for two manifests", () =>
    Effect.gen(function* () {
      const named = yield* refused((steps) => steps.map((step) => ({ ...step, id: "tag v1" })))
      expect(named.message).toMatch(/the step tag v1 has to have the id blob sha256:/)
      const two = yield* refused((steps) => {
        const step = tagStep(steps)
        return [step, { ...step, descriptor: { ...step.descriptor, digest: freshDigest() } }]
      })
      expect(two.message).toBe(
        "The plan cannot be run: it has two steps tag v1, which are for different manifests"
      )
    })
  )

  it.effect("takes for done what no step does: what is not in it, and what is left out", () =>
    Effect.gen(function* () {
      const { descriptor, places, steps } = yield* world
      const left = freshDigest()
      const skip: Copy.Step = {
        _tag: "Skip",
        id: `blob ${left}`,
        kind: "blob",
        descriptor: { ...descriptor, digest: left },
        reason: "Missing"
      }
      const waiting = steps.map((step) =>
        "after" in step
          ? { ...step, after: [...step.after, skip.id, "tag gone", "anything"] }
          : step
      )
      const report = yield* Copy.runBetween(...places, [...waiting, skip])
      expect(report.outcomes).toMatchObject([{ status: "copied", tags: [v1] }])
    })
  )

  it.effect("has an outcome for each of several tags of one manifest", () =>
    Effect.gen(function* () {
      const { places } = yield* world
      const steps = yield* items(Copy.planBetween(...places, { additionalTags: ["v2", "v3"] }))
      const { outcomes, summary } = yield* Copy.runBetween(...places, steps)
      expect(outcomes.map(({ status, tags }) => `${status} ${tags}`)).toEqual([
        "copied v1",
        "copied v2",
        "copied v3"
      ])
      expect(summary.tags).toBe(3)
    })
  )

  it.effect("is run in any order, and with steps that it has twice", () =>
    Effect.gen(function* () {
      const { places, steps } = yield* world
      const late = steps.map((step) =>
        step._tag === "Tag" ? { ...step, after: ["tag v1"] } : step
      )
      const report = yield* Copy.runBetween(...places, [...steps.toReversed(), ...late])
      expect(report).toMatchObject({ ok: true, outcomes: [{ status: "copied", tags: [v1] }] })
      const again = yield* items(Copy.planBetween(...places))
      expect(again.map(({ _tag }) => _tag)).toEqual(["Have"])
    })
  )
})
