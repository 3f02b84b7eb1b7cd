/** `npm run soak -- [requests] [seed]`: prints the report, and fails if anything is left. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { soak } from "./soak.js"

const [requests = "10000", seed = String(Date.now() % 1_000_000)] = process.argv.slice(2)

soak({ requests: Number(requests), seed: Number(seed) }).pipe(
  Effect.tap((report) => Console.log(JSON.stringify({ seed: Number(seed), ...report }, null, 2))),
  Effect.filterOrFail(
    ({ left }) => Object.values(left).every((count) => count === 0),
    () => "something is left"
  ),
  NodeRuntime.runMain
)
