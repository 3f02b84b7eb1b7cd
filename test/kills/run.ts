/** `npm run kills -- [rounds]`: prints the report, and fails if anything is lost or not right. */
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { kills } from "./kills.js"

const [rounds = "200"] = process.argv.slice(2)

const folder = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(tmpdir(), "effect-oci-kills-"))),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)

folder.pipe(
  Effect.flatMap((path) => kills(path, Number(rounds))),
  Effect.scoped,
  Effect.tap((report) => Console.log(JSON.stringify(report, null, 2))),
  Effect.filterOrFail(
    ({ longestWait, problems }) => problems.length === 0 && longestWait < 5000,
    () => "something was lost, or waited for a dead lock"
  ),
  NodeRuntime.runMain
)
