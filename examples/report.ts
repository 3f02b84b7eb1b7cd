import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Artifact from "effect-oci/Artifact"
import { ArtifactFolder, BlobFile, NodeRegistry } from "effect-oci/node"
import * as Registries from "effect-oci/Registries"

const [name = "ghcr.io/owner/report", path = "report.txt"] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const pushed = yield* Artifact.push(`${name}:1.0.0`, {
    artifactType: "application/vnd.example.report.v1",
    files: [{ title: "report.txt", source: yield* BlobFile.source(path) }],
    tags: ["latest"]
  })
  yield* Console.log(`pushed ${pushed.reference}`)

  const pulled = yield* ArtifactFolder.pull(`${name}:latest`, "reports")
  for (const file of pulled.files) yield* Console.log(`pulled ${file.path}`)

  yield* Stream.runForEach(Registries.tags(name), (tag) => Console.log(`has the tag ${tag}`))
})

program.pipe(Effect.provide(NodeRegistry.layerDefault), NodeRuntime.runMain)
