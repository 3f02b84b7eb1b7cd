/** Files of an artifact that is pushed: small ones are read at once, and all may have changed. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Artifact from "../../src/content/Artifact.js"
import * as BlobFile from "../../src/node/BlobFile.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { folder } from "../support/machine.js"

const artifactType = "application/vnd.example.v1"
const reference = Reference.unsafeParse("registry.lan/team/app:v1")

/** Pushes a file of so many bytes that has others when it is read. */
const pushed = (size: number, later: number) =>
  Effect.gen(function* () {
    const path = Path.join(yield* folder(), "file")
    const content = Buffer.alloc(Math.max(size, later), "some content, ")
    yield* Effect.promise(() => Fs.writeFile(path, content.subarray(0, size)))
    const source = yield* BlobFile.source(path)
    yield* Effect.promise(() => Fs.writeFile(path, content.subarray(0, later)))
    const registry = yield* MemoryRegistry.make()
    const files = [{ title: "file", source }]
    const result = Artifact.pushTo(registry, reference, { artifactType, files })
    return { content: content.subarray(0, size), registry, result }
  })

describe("a file of an artifact", () => {
  it.scopedLive.each([0, 1, 65_537, 1_048_576, 1_048_577])("of %i bytes is pushed", (size) =>
    Effect.gen(function* () {
      const { content, registry, result } = yield* pushed(size, size)
      const { manifest } = yield* result
      const digest = Digest.fromBytes(content)
      expect(manifest.content).toMatchObject({ layers: [{ digest, size }] })
      const bytes = yield* registry.getBlobBytes(reference.repository, digest)
      expect(Buffer.compare(bytes, content)).toBe(0)
    })
  )

  it.scopedLive.each([
    [10, 11],
    [10, 2_000_000],
    [10, 9],
    [100_000, 99_999],
    [100_000, 0],
    [1_048_576, 1_048_577],
    [2_000_000, 2_000_001],
    [2_000_000, 10]
  ] as const)("that had %i bytes, and has %i when it is read, is not pushed", ([size, later]) =>
    Effect.gen(function* () {
      const { registry, result } = yield* pushed(size, later)
      const failure = yield* Effect.flip(result)
      expect(failure).toMatchObject({ _tag: "SizeMismatch", expected: size })
      const none = yield* registry.headManifest(reference.repository, "v1" as Reference.Tag)
      expect(none._tag).toBe("None")
    })
  )
})
