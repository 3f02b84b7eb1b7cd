import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as ByteStream from "effect-oci/ByteStream"
import { BlobFile, NodeRegistry } from "effect-oci/node"
import * as Sync from "effect-oci/Sync"

/** Applies the rules of a file every hour, or prints what they would do. */
const program = Effect.gen(function* () {
  const [, , path = "sync.yaml", how] = process.argv
  const file = yield* BlobFile.source(path)
  const rules = yield* Effect.flatMap(ByteStream.text(file.open(0)), Sync.parse)
  if (how === "--dry-run")
    return yield* Stream.runForEach(Sync.plan(rules), (planned) =>
      Console.log(Sync.format(planned))
    )
  const applied = Effect.flatMap(Sync.run(rules), (report) =>
    Console.log(Sync.formatReport(report))
  )
  return yield* Effect.repeat(applied, Schedule.spaced("1 hour"))
})

program.pipe(Effect.provide(NodeRegistry.layerDefault), NodeRuntime.runMain)
