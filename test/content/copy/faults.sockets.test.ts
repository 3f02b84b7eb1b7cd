/**
 * Copies over sockets that break, from seeds: a sample here, and 300 by `npm run copies`.
 * `COPY_FROM` and `COPY_RUNS` choose the seeds, to see one of them again.
 */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CopyFaults from "../../support/copyFaults.js"

const from = Number(process.env["COPY_FROM"] ?? 1)
const runs = Number(process.env["COPY_RUNS"] ?? 12)

it.scopedLive(
  `${runs} copies behind proxies that break exchanges`,
  () =>
    Effect.gen(function* () {
      const world = yield* CopyFaults.world
      const endings: Record<string, number> = {}
      const wrong: Array<string> = []
      for (let seed = from; seed < from + runs; seed++) {
        const { description, ending, problems } = yield* CopyFaults.run(world, seed)
        if (problems.length > 0) wrong.push([...problems, description].join("\n  "))
        endings[ending] = (endings[ending] ?? 0) + 1
      }
      expect(wrong).toEqual([])
      console.log(`${runs} runs: ${JSON.stringify(endings)}`)
    }),
  60 * 60_000
)
