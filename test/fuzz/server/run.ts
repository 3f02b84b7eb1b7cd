/** `npm run fuzz:server -- [connections] [seed]` prints the report, and fails for anything odd. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { fuzz } from "./fuzz.js"

const [connections = "100000", seed = String(Date.now() % 1_000_000)] = process.argv.slice(2)

fuzz({ connections: Number(connections), seed: Number(seed) }).pipe(
  Effect.tap((report) => Console.log(JSON.stringify({ seed: Number(seed), ...report }, null, 2))),
  Effect.filterOrFail(
    ({ left, problems }) =>
      problems.length === 0 && Object.values(left).every((count) => count === 0),
    () => "something is odd"
  ),
  NodeRuntime.runMain
)
