/** A sample of `npm run fuzz:server`. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fuzz } from "./server/fuzz.js"

it.live("connections of all kinds end in responses of the specification, and leave nothing", () =>
  Effect.gen(function* () {
    const { left, problems, responses } = yield* fuzz({ connections: 200, seed: 1 })
    expect(problems).toEqual([])
    expect(left).toEqual({ uploads: 0, handlers: 0 })
    for (const status of [200, 201, 202, 204, 400, 404, 405])
      expect(responses[status] ?? 0).toBeGreaterThan(0)
  })
)
