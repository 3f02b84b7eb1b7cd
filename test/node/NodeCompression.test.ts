/** zstd by Node itself, from version 22.15 on: read by other programs, and by our own decoder. */
import { execFileSync } from "node:child_process"
import * as Zlib from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import { Compression } from "../../src/Compression.js"
import * as Image from "../../src/content/Image.js"
import * as ImageBuild from "../../src/content/ImageBuild.js"
import * as Decompression from "../../src/Decompression.js"
import * as NodeCompression from "../../src/node/NodeCompression.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { gather, utf8 } from "../support/fixtures.js"
import { describeInstalled } from "../support/installed.js"

const isThere = "createZstdCompress" in Zlib
const suite = isThere ? describe : describe.skip
const name = isThere
  ? "zstd"
  : `SKIPPED: Node ${process.version} has no zstd: run with 22.15 or newer`
if (!isThere) console.warn(name)

const services = Layer.mergeAll(
  MemoryRegistry.layerRegistries(),
  NodeCompression.layer,
  NodeDecompression.layer
)

const encoder = Effect.flatMap(Compression, ({ zstd }) =>
  zstd === undefined ? Effect.dieMessage("an encoder of zstd") : Effect.succeed(zstd)
)

describeInstalled("zstd", "on Node", () => {
  suite(name, () => {
    const lines = Buffer.from(
      Array.from({ length: 200_000 }, (_, n) => `${(n * 7919) % 65_521} of it all\n`).join("")
    )

    it.effect.each([1, 3, 19, 22])("at level %i is read by zstd and by our own decoder", (level) =>
      Effect.gen(function* () {
        const zstd = yield* encoder
        const sizes = [1, 512, 65_536, 65_537, 100_000, 131_072]
        const arrays: Array<Uint8Array> = []
        for (let at = 0, n = 0; at < lines.length; n++) {
          const size = sizes[n % sizes.length] ?? 1
          arrays.push(lines.subarray(at, at + size))
          at += size
        }
        const compressed = yield* gather(zstd(level)(Stream.fromIterable(arrays)))
        const maxBuffer = 2 ** 26
        const theirs = execFileSync("zstd", ["-dc"], { input: compressed, maxBuffer })
        expect(Buffer.compare(theirs, lines)).toBe(0)
        const ours = yield* gather(Decompression.zstd(Stream.make(compressed)))
        expect(Buffer.compare(ours, lines)).toBe(0)
      }).pipe(Effect.provide(services))
    )

    it.effect("asks for no window that readers need not have (RFC 8878 section 3.1.1.1.2)", () =>
      Effect.gen(function* () {
        const zstd = yield* encoder
        for (const level of [1, 19, 20, 22]) {
          const compressed = yield* gather(zstd(level)(Stream.make(utf8("a"), utf8("b"))))
          const [exponent = 0] = compressed.subarray(5)
          expect(10 + (exponent >> 3)).toBeLessThanOrEqual(23)
        }
      }).pipe(Effect.provide(services))
    )

    it.effect("has an end where there was nothing, and fails as what is compressed does", () =>
      Effect.gen(function* () {
        const zstd = yield* encoder
        const empty = yield* gather(zstd(3)(Stream.empty))
        expect(execFileSync("zstd", ["-dc"], { input: empty }).length).toBe(0)
        const failing = Stream.concat(Stream.make(utf8("a")), Stream.fail("broken"))
        expect(yield* Effect.flip(Stream.runDrain(zstd(3)(failing)))).toBe("broken")
      }).pipe(Effect.provide(services))
    )

    it.effect("is that of layers, whatever they were before", () =>
      Effect.gen(function* () {
        const reference = "registry.example/owner/app:v1"
        const source = BlobSource.fromStream(Stream.make(utf8("a"), lines), {
          size: lines.length + 1
        })
        const image = ImageBuild.scratch(Platform.unsafeParse("linux/amd64"), {
          layers: [{ compression: "zstd", level: 1, files: [{ path: "all", source }] }]
        })
        yield* ImageBuild.push(reference, image)
        const zstd = yield* Image.pull(reference)
        const gzip = ImageBuild.mutate(zstd, { recompress: "gzip" })
        yield* ImageBuild.push(`${reference}-gzip`, gzip)
        const back = ImageBuild.mutate(yield* Image.pull(`${reference}-gzip`), {
          recompress: "zstd"
        })
        yield* ImageBuild.push(`${reference}-zstd`, back)
        const types = []
        for (const form of ["", "-gzip", "-zstd"]) {
          const pulled = yield* Image.pull(reference + form)
          types.push(...pulled.layers.map(({ descriptor }) => descriptor.mediaType))
          const { bytes } = yield* Image.readFile(pulled, "all")
          expect(Buffer.compare(bytes, Buffer.concat([utf8("a"), lines]))).toBe(0)
        }
        expect(types).toEqual([
          MediaType.layerTarZstd,
          MediaType.layerTarGzip,
          MediaType.layerTarZstd
        ])
      }).pipe(Effect.provide(services))
    )
  })
})
