/**
 * Graphs of every shape, with options of every kind: a copy has what it should and nothing else, in
 * an order in which it never stands on what is not there, and a second one moves nothing.
 */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as CopyGraphs from "../../support/copyGraphs.js"

const runs = Number(process.env["COPY_RUNS"] ?? 80)

it.effect("copies of generated graphs", () =>
  Effect.gen(function* () {
    const seed = process.env["COPY_RUNS"] === undefined ? 7 : Date.now()
    const endings = new Set<string>()
    for (const one of FastCheck.sample(CopyGraphs.cases, { numRuns: runs, seed })) {
      const { ending, problems } = yield* CopyGraphs.check(one)
      expect(problems, JSON.stringify(one)).toEqual([])
      endings.add(ending)
    }
    expect([...endings].sort()).toEqual(["copied", "failed"])
  })
)
