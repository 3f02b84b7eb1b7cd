/** A sample of `npm run soak`. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { soak } from "./soak/soak.js"

it.live(
  "after failures, timeouts and interruptions at random points, nothing is left open",
  () =>
    Effect.gen(function* () {
      const { faults, left, programs } = yield* soak({ requests: 400, seed: 20_251_121 })
      expect(left).toEqual({
        fibers: 0,
        answering: 0,
        clientRequests: 0,
        uploads: 0,
        sockets: 0,
        timers: 0
      })
      // It has tested something.
      expect(Math.min(...Object.values(programs), ...Object.values(faults))).toBeGreaterThan(0)
    }),
  600_000
)
