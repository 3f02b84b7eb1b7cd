/**
 * The client against every difference between registries that its operations can meet: one row for
 * each.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as AuthHosted from "./authHosted.js"
import * as AuthInstalled from "./authInstalled.js"
import * as AuthSmall from "./authSmall.js"
import * as Failing from "./failing.js"
import * as Listing from "./listing.js"
import * as Managing from "./managing.js"
import * as Mock from "./mock.js"
import * as Naming from "./naming.js"
import * as Reading from "./reading.js"
import type { Row } from "./row.js"
import { places, unmet } from "./unmet.js"
import * as UploadsHosted from "./uploadsHosted.js"
import * as UploadsInstalled from "./uploadsInstalled.js"

const tables: Readonly<Record<string, ReadonlyArray<Row>>> = {
  "who is asking": [...AuthHosted.rows, ...AuthInstalled.rows, ...AuthSmall.rows],
  reading: Reading.rows,
  uploading: [...UploadsHosted.rows, ...UploadsInstalled.rows],
  managing: Managing.rows,
  listing: Listing.rows,
  failing: Failing.rows,
  naming: Naming.rows
}

for (const [table, rows] of Object.entries(tables)) {
  describe(table, () => {
    it.scoped.each(rows.map((row) => [`${row.at.join(", ")}: ${row.does}`, row] as const))(
      "%s",
      ([, row]) =>
        Effect.gen(function* () {
          const world = yield* Mock.make({ host: "registry.example", quirks: [], ...row })
          const result = yield* world.patiently(
            Effect.either(Effect.scoped(row.run(world.registry, world)))
          )
          if (row.wire !== undefined) expect(world.wire()).toEqual(row.wire)
          if (row.fails !== undefined)
            expect(Either.flip(result)).toMatchObject({ _tag: "Right", right: row.fails })
          else
            expect(result).toMatchObject({
              _tag: "Right",
              ...("gives" in row && { right: row.gives })
            })
          const message = Either.isLeft(result) ? String(result.left) : ""
          expect(message).not.toMatch(/[\p{Cc}\p{Bidi_Control}]|hunter2/u)
          expect(message.length).toBeLessThan(2048)
          if (row.hears !== undefined) expect(world.heard).toEqual(row.hears)
          expect(yield* world.stored.uploads).toHaveLength(row.leaves ?? 0)
          for (const { headers } of world.seen) expect(headers["cookie"]).toBeUndefined()
        })
    )
  })
}

describe("the tables", () => {
  const all = Object.values(tables).flat()

  it("have a row for every registry and every rule of the collection, or say why not", () => {
    const covered = new Set([...all.flatMap(({ at }) => at), ...unmet.map(([place]) => place)])
    expect([...covered].filter((place) => !places.includes(place))).toEqual([])
    expect(places.filter((place) => !covered.has(place))).toEqual([])
  })

  it("have each row once, with a result", () => {
    const names = all.map(({ at, does }) => `${at.join()}: ${does}`)
    expect(names.filter((name, n) => names.indexOf(name) !== n)).toEqual([])
    expect(
      all.filter(({ wire, fails, hears, ...row }) => !wire && !fails && !hears && !("gives" in row))
    ).toEqual([])
  })
})
