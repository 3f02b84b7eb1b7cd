/** Copies from sources that have something else under a digest than what it names. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Copy from "../../../src/content/Copy.js"
import type { Registry } from "../../../src/Registry.js"
import { DigestMismatch } from "../../../src/RegistryError.js"
import * as Digest from "../../../src/spec/Digest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import { blob, image, repository, v1 } from "../../support/graphs.js"
import * as Places from "../../support/places.js"

const size = 50_000

/** A registry whose layer has so many bytes, and others. */
const liar = (length: number) =>
  Effect.gen(function* () {
    const memory = yield* MemoryRegistry.make()
    const layer = yield* blob(memory, MediaType.layerTar, new Uint8Array(size).fill(1))
    yield* memory.putManifest(repository, yield* image(memory, [layer]), { tags: [v1] })
    const getBlob: Registry.Service["getBlob"] = (name, asked) =>
      (typeof asked === "string" ? asked : asked.digest) === layer.digest
        ? Stream.make(new Uint8Array(length))
        : memory.getBlob(name, asked)
    return { ...memory, getBlob }
  })

const targets = {
  memory: Places.memory,
  layout: Places.layout,
  "embedded server": Places.embeddedServer
}

describe("the source is the side that fails where a layer is something else", () => {
  for (const [name, target] of Object.entries(targets))
    for (const [isServed, length] of [
      [false, size],
      [true, size],
      [false, size - 1],
      [false, size + 1]
    ] as const)
      it.scopedLive(`${isServed ? "over a socket " : ""}(${length} bytes) to ${name}`, () =>
        Effect.gen(function* () {
          const from = yield* liar(length)
          const registry = isServed ? yield* Places.clientOfServed(from) : from
          const to = yield* target
          const failure = yield* Effect.flip(
            Copy.between({ registry, repository, reference: v1 }, { registry: to, repository })
          )
          expect(failure).toMatchObject({
            _tag: "CopyFailure",
            side: "source",
            error: { _tag: length === size ? "DigestMismatch" : "SizeMismatch" }
          })
        })
      )
})

describe("the target is the side that fails", () => {
  it.scopedLive("where it says to have stored something else", () =>
    Effect.gen(function* () {
      const from = yield* liar(size)
      const honest = { registry: yield* MemoryRegistry.make(), repository }
      const { digest } = yield* blob(honest.registry, MediaType.layerTar)
      const registry: Registry.Service = {
        ...honest.registry,
        putBlob: () =>
          Effect.fail(
            new DigestMismatch({
              method: "PUT",
              url: "https://registry.test/v2/team/app/blobs/uploads/1",
              status: 201,
              expected: digest,
              actual: Digest.fromBytes(new Uint8Array(1))
            })
          )
      }
      const failure = yield* Effect.flip(
        Copy.between({ registry: from, repository, reference: v1 }, { registry, repository })
      )
      expect(failure).toMatchObject({ side: "target", error: { _tag: "DigestMismatch" } })
    })
  )
})
