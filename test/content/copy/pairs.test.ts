/** Copies between registries of every kind, each with each, and a tour through all of them. */
import { describe, expect, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Copy from "../../../src/content/Copy.js"
import * as NodeLayout from "../../../src/node/NodeLayout.js"
import { Registry } from "../../../src/Registry.js"
import type * as Reference from "../../../src/spec/Reference.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { DebianRegistry, layerDebianRegistry } from "../../support/debian.js"
import { freshRepository } from "../../support/fixtures.js"
import { blob, image, lacking, platforms, repository, v1 } from "../../support/graphs.js"
import { isInstalled } from "../../support/installed.js"
import { folder } from "../../support/machine.js"
import { layerSocketServer, ServerUrl } from "../../support/server.js"
import { clientOf } from "../../support/socketRegistry.js"

const memory = MemoryRegistry.make()
const layout = Effect.flatMap(folder(), (path) => NodeLayout.make({ path }))
const server = Effect.gen(function* () {
  const services = yield* Layer.build(layerSocketServer())
  return yield* clientOf(Context.get(services, ServerUrl))
}).pipe(Effect.provideServiceEffect(Registry, memory))
const debian = Effect.gen(function* () {
  const services = yield* Layer.build(layerDebianRegistry)
  return yield* clientOf(Context.get(services, DebianRegistry).url)
})

const kinds = {
  memory,
  layout,
  "embedded server": server,
  ...(isInstalled("docker-registry") && { "docker-registry": debian })
}

class Kinds extends Context.Tag("test/Kinds")<
  Kinds,
  Readonly<Record<string, Registry.Service>>
>() {}

const layerKinds = Layer.scoped(Kinds, Effect.all(kinds))

/** An index of two platforms with attestations, and an image with a large layer under `v1`. */
const filled = (source: Registry.Service, name: Reference.RepositoryName) =>
  Effect.gen(function* () {
    const inner = yield* MemoryRegistry.make()
    const { index } = yield* platforms(inner, ["linux/amd64", "linux/arm64"])
    yield* Copy.between(
      { registry: inner, repository, reference: v1 },
      { registry: source, repository: name }
    )
    return index.descriptor.digest
  })

const large = (source: Registry.Service, name: Reference.RepositoryName) =>
  Effect.gen(function* () {
    const bytes = crypto.getRandomValues(new Uint8Array(65_536))
    const layer = yield* blob(
      source,
      "application/vnd.oci.image.layer.v1.tar",
      new Uint8Array(3_000_000).map((_, n) => bytes[n % bytes.length] ?? 0),
      name
    )
    const manifest = yield* image(source, [layer], {}, name)
    return manifest.descriptor.digest
  })

describe("a copy", () => {
  layer(layerKinds, { excludeTestServices: true })((it) => {
    for (const from of Object.keys(kinds))
      for (const to of Object.keys(kinds))
        it.effect(`from ${from} to ${to} is whole, and is not made twice`, () =>
          Effect.gen(function* () {
            const all = yield* Kinds
            const [source, target] = [all[from], all[to]]
            if (source === undefined || target === undefined) return yield* Effect.dieMessage(to)
            const places = { from: yield* freshRepository, to: yield* freshRepository }
            const digest = yield* filled(source, places.from)
            const copy = (reference: typeof v1 | typeof digest) =>
              Copy.between(
                { registry: source, repository: places.from, reference },
                { registry: target, repository: places.to }
              )
            const first = yield* copy(v1)
            expect(first.outcomes).toMatchObject([{ status: "copied", digest, tags: [v1] }])
            expect(first.summary[source === target ? "mounted" : "moved"].nodes).toBeGreaterThan(8)
            expect(yield* lacking(source, target, digest, places)).toEqual([])
            expect((yield* target.getManifest(places.to, v1)).descriptor.digest).toBe(digest)
            expect((yield* copy(v1)).outcomes).toMatchObject([{ status: "present" }])

            const other = yield* large(source, places.from)
            yield* copy(other)
            expect(yield* lacking(source, target, other, places)).toEqual([])
          })
        )
  })
})
