/**
 * Copies of a repository that has everything, between registries of every kind: those that are over
 * others in part here, and each by `npm run copies`.
 */
import { describe, expect, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Copy from "../../../src/content/Copy.js"
import { isInstalled } from "../../support/installed.js"
import * as Places from "../../support/places.js"
import * as RichRepository from "../../support/richRepository.js"

const kinds = {
  memory: Places.inRegistry(Places.memory),
  "a layout": Places.inRegistry(Places.layout),
  "the embedded server": Places.inRegistry(Places.embeddedServer),
  "an archive": Places.archive,
  "a cache": Places.cache,
  ...(isInstalled("docker-registry") && {
    "docker-registry": Places.inRegistry(Places.dockerRegistry)
  })
}

/** What a kind takes of that which others refuse. */
const takes = (kind: string): ReadonlyArray<RichRepository.Special> =>
  kind === "docker-registry" ? [] : ["sha512", "cache"]

interface Kind {
  readonly fill: Places.Fill
  /** A repository of this kind that has everything it takes. */
  readonly full: Copy.Place
}

class Kinds extends Context.Tag("test/Kinds")<Kinds, Readonly<Record<string, Kind>>>() {}

const everything = { tags: "all", referrers: true } as const

const layerKinds = Layer.scoped(
  Kinds,
  Effect.gen(function* () {
    const all: Record<string, Kind> = {}
    for (const [name, kind] of Object.entries(kinds)) {
      const rich = yield* RichRepository.make(takes(name))
      const fill = yield* kind
      all[name] = { fill, full: yield* fill((to) => Copy.between(rich, to, everything)) }
      expect(yield* RichRepository.differences(rich, all[name].full)).toEqual([])
    }
    return all
  })
)

const names = Object.keys(kinds)
/** Kinds that are over others, of which each pair is tried by `npm run copies`. */
const isOver = (name: string) => name === "an archive" || name === "a cache"
const isAll = process.env["COPY_RUNS"] !== undefined
const pairs = names
  .flatMap((from) => names.map((to) => [from, to] as const))
  .filter(
    ([from, to]) =>
      // Nothing is put into a cache but by reading through it.
      to !== "a cache" &&
      (isAll ||
        from === to ||
        !(isOver(from) || isOver(to)) ||
        [from, to].includes("docker-registry"))
  )

describe("a copy of a repository has all of it, and is not made twice,", () => {
  layer(layerKinds, { excludeTestServices: true, timeout: "10 minutes" })((it) => {
    it.effect.each(pairs)("from %s to %s", ([from, to]) =>
      Effect.gen(function* () {
        const { [from]: source, [to]: target } = yield* Kinds
        if (source === undefined || target === undefined) return yield* Effect.dieMessage(to)
        const refused = takes(from).filter((special) => !takes(to).includes(special))
        const isCopied = (tag: string) => !refused.some((special) => special === tag)
        const tags = yield* RichRepository.tagsOf(source.full)
        const options = {
          ...everything,
          tags: refused.length === 0 ? ("all" as const) : tags.filter(isCopied)
        }
        const copy = (place: Copy.Place) => Copy.between(source.full, place, options)
        const place = yield* target.fill((place) =>
          Effect.gen(function* () {
            const { ok, outcomes, summary } = yield* copy(place)
            expect(ok).toBe(true)
            expect(outcomes.map(({ status }) => status)).toEqual(
              tags.filter(isCopied).map(() => "copied")
            )
            const isMounted = source.full.registry === place.registry
            expect(summary[isMounted ? "mounted" : "moved"].bytes).toBeGreaterThan(300_000)
            const again = yield* copy(place)
            expect(new Set(again.outcomes.map(({ status }) => status))).toEqual(
              new Set(["present"])
            )
            expect(again.summary).toMatchObject({ tags: 0, moved: { nodes: 0 } })
          })
        )
        expect(yield* RichRepository.differences(source.full, place, isCopied)).toEqual([])
      })
    )
  })
})
