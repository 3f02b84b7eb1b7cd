/**
 * One layout with 10,000 tags and 5,000 blobs: what a program does with it, and what reading and
 * writing its `index.json` takes by itself.
 */
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "effect-oci/BlobSource"
import * as Manifest from "effect-oci/Manifest"
import * as MediaType from "effect-oci/MediaType"
import { NodeLayout } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import type { Registry } from "effect-oci/Registry"
import type { Tasks } from "./task.js"

const tags = 10_000
const blobs = 5000

const app = Reference.unsafeParseRepositoryName("app")

/** Puts an artifact of one blob under some tags. */
const put = (registry: Registry.Service, text: string, names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const empty = yield* registry.putBlob(app, BlobSource.fromBytes(Buffer.from("{}")))
    const layer = yield* registry.putBlob(app, BlobSource.fromBytes(Buffer.from(text)))
    const manifest = Manifest.image({
      config: { ...empty, mediaType: MediaType.empty },
      layers: [layer],
      artifactType: "application/vnd.example.bench"
    })
    yield* registry.putManifest(app, manifest, { tags: names.map(Reference.unsafeParseTag) })
  })

/** The layout, made once on a machine, when this module is loaded. */
const root = Path.join(tmpdir(), `effect-oci-bench-layout-${tags}-${blobs}`)
const index = Path.join(root, "app/index.json")

const isMade = await Fs.access(Path.join(root, "made")).then(
  () => true,
  () => false
)
if (!isMade) {
  await Fs.rm(root, { recursive: true, force: true })
  await Effect.runPromise(
    Effect.flatMap(NodeLayout.make({ path: root }), (registry) =>
      Effect.forEach(
        Array.from({ length: blobs }, (_, n) => n),
        (n) => put(registry, `blob ${n}`, [`v${2 * n}`, `v${2 * n + 1}`]),
        { concurrency: 256, discard: true }
      )
    )
  )
  await Fs.writeFile(Path.join(root, "made"), "")
}

const opened = <A, E>(use: (registry: Registry.Service) => Effect.Effect<A, E>) =>
  Effect.runPromise(Effect.asVoid(Effect.flatMap(NodeLayout.make({ path: root }), use)))

export const tasks: Tasks = {
  "open and read one": () =>
    opened((registry) => registry.getManifest(app, Reference.unsafeParseTag("v7000"))),
  "open and list": () =>
    opened((registry) =>
      Effect.filterOrDieMessage(
        Stream.runCount(registry.tags(app)),
        (count) => count >= tags,
        "tags are missing"
      )
    ),
  "open and add one": () => opened((registry) => put(registry, `${Date.now()}`, ["added"])),
  "read index.json": async () => {
    JSON.parse(await Fs.readFile(index, "utf8"))
  },
  "write index.json": async () => {
    const text = JSON.stringify(JSON.parse(await Fs.readFile(index, "utf8")))
    const file = await Fs.open(`${index}.bench`, "w")
    await file.writeFile(text)
    await file.sync()
    await file.close()
    await Fs.rm(`${index}.bench`)
  }
}
