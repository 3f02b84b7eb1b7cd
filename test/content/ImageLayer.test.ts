/** Layers as they are read: whatever they are compressed with, verified to their last byte. */
import { execFileSync } from "node:child_process"
import { gzipSync } from "node:zlib"
import { describe, expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../src/ByteStream.js"
import * as ImageLayer from "../../src/content/ImageLayer.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import * as Tar from "../support/tar.js"

const zstd = (bytes: Uint8Array, ...args: ReadonlyArray<string>): Buffer =>
  execFileSync("zstd", ["-q", "-c", ...args], { input: bytes, maxBuffer: 2 ** 27 })

const skippable = (content: string) => {
  const frame = Buffer.concat([Buffer.alloc(8), utf8(content)])
  frame.writeUInt32LE(0x184d2a50)
  frame.writeUInt32LE(content.length, 4)
  return frame
}

/** A layer whose content comes in pieces of so many bytes. */
const layerOf = (
  bytes: Uint8Array,
  {
    archive,
    mediaType = MediaType.octetStream,
    step = bytes.length
  }: { readonly archive?: Uint8Array; readonly mediaType?: string; readonly step?: number } = {}
): ImageLayer.ImageLayer => ({
  descriptor: Descriptor.fromBytes(bytes, mediaType),
  content: Stream.unfold(0, (at) =>
    at >= bytes.length ? Option.none() : Option.some([bytes.subarray(at, at + step), at + step])
  ),
  ...(archive !== undefined && { diffId: Digest.fromBytes(archive) })
})

const archive = Tar.files({ "etc/": "", "etc/hosts": "127.0.0.1 localhost\n", a: "x".repeat(700) })
const paths = ["etc", "etc/hosts", "a"]

const listed = (layer: ImageLayer.ImageLayer, options?: ImageLayer.ReadOptions) =>
  Effect.map(items(ImageLayer.entries(layer, options)), (entries) =>
    entries.map(({ path }) => path)
  )

const corrupted = (bytes: Uint8Array, at: number): Buffer => {
  const other = Buffer.from(bytes)
  other[at] = (other[at] ?? 0) ^ 0xff
  return other
}

const recorder = () => {
  const logged: Array<string> = []
  const logger = Logger.make(({ message }) => logged.push(String(message)))
  return { logged, logger }
}

const failure = (layer: ImageLayer.ImageLayer, options?: ImageLayer.ReadOptions) =>
  Effect.flip(listed(layer, options))

layer(NodeDecompression.layer, { excludeTestServices: true })((it) => {
  describe("S15: gzip of several members", () => {
    const cut = 1000
    const members = Buffer.concat([
      gzipSync(archive.subarray(0, cut)),
      gzipSync(new Uint8Array(0)),
      gzipSync(archive.subarray(cut))
    ])

    it.effect("in one piece is read to its end", () =>
      Effect.gen(function* () {
        const whole = layerOf(members, { archive })
        expect(yield* listed(whole)).toEqual(paths)
        expect(Buffer.from(yield* gather(ImageLayer.uncompressed(whole)))).toEqual(archive)
      })
    )

    it.effect("split at every byte is read to its end", () =>
      Effect.gen(function* () {
        expect(yield* listed(layerOf(members, { archive, step: 1 }))).toEqual(paths)
        for (let at = 1; at < members.length; at++) {
          const parts = Stream.make(members.subarray(0, at), members.subarray(at))
          const layer = { ...layerOf(members, { archive }), content: parts }
          expect(yield* listed(layer)).toEqual(paths)
        }
      })
    )

    it.effect("is an error where it is cut off, or goes on as something else", () =>
      Effect.gen(function* () {
        for (const [bytes, problem] of [
          [members.subarray(0, -1), /cut off/],
          [members.subarray(0, -12), /cut off/],
          [Buffer.concat([members, utf8("garbage")]), /corrupt: incorrect header check/],
          [Buffer.concat([members, Buffer.alloc(9)]), /after its end/],
          [Buffer.concat([members, Buffer.alloc(300_000)]), /after its end/],
          [corrupted(members, 40), /corrupt/],
          [corrupted(members, members.length - 6), /corrupt: incorrect (data|length) check/]
        ] as const) {
          for (const step of bytes.length > 1000 ? [bytes.length] : [1, bytes.length]) {
            const error = yield* failure(layerOf(bytes, { step }))
            expect(error).toMatchObject({ _tag: "InvalidLayer", reason: "Compression" })
            expect(error.message).toMatch(problem)
          }
        }
      })
    )
  })

  describe("S16: zstd of several frames, and of some to skip", () => {
    const frames = Buffer.concat([
      skippable("before"),
      zstd(archive.subarray(0, 700), "--no-check"),
      zstd(new Uint8Array(0)),
      skippable(""),
      zstd(archive.subarray(700), "-19", "--check"),
      skippable("a table of contents, as zstd:chunked has it")
    ])
    const mediaType = MediaType.layerTarZstd

    it.effect("in one piece, and in pieces of any size, is read to its end", () =>
      Effect.gen(function* () {
        for (const step of [1, 2, 3, 5, 17, 100, frames.length]) {
          const layer = layerOf(frames, { archive, mediaType, step })
          expect(yield* listed(layer)).toEqual(paths)
          expect(Buffer.from(yield* gather(ImageLayer.uncompressed(layer)))).toEqual(archive)
        }
      })
    )

    it.effect("is an error where it is cut off, or goes on as something else", () =>
      Effect.gen(function* () {
        for (const [bytes, problem] of [
          [frames.subarray(0, -1), /cut off/],
          [frames.subarray(0, 100), /cut off/],
          [Buffer.concat([frames, utf8("garbage")]), /not a frame/],
          [Buffer.concat([frames, Buffer.alloc(4)]), /not a frame/],
          [Buffer.concat([frames, utf8("no")]), /cut off/],
          [Buffer.from("28b52ffd080000ffff", "hex"), /reserved bit/],
          [Buffer.from("28b52ffd000007ffff", "hex"), /block of zstd/],
          [Buffer.from(`28b52ffd00f8a10000${"61".repeat(20)}`, "hex"), /a window of more than/]
        ] as const) {
          for (const step of [1, bytes.length]) {
            const error = yield* failure(layerOf(bytes, { mediaType, step }))
            expect(error).toMatchObject({ _tag: "InvalidLayer", reason: "Compression" })
            expect(error.message).toMatch(problem)
          }
        }
      })
    )

    it.effect("of many mebibytes has the content that it was made of", () =>
      Effect.gen(function* () {
        const text = utf8(Array.from({ length: 50_000 }, (_, n) => `line ${n * n}\n`).join(""))
        const archive = Tar.archive(Tar.entry({ name: "text" }, text))
        for (const level of ["-1", "-12", "--long=25"])
          expect(
            yield* listed(layerOf(zstd(archive, level), { archive, mediaType, step: 65_536 }))
          ).toEqual(["text"])
      })
    )
  })

  describe("S17: layers are read to their last byte", () => {
    const flip = (bytes: Uint8Array, at: number) => corrupted(bytes, bytes.length - at)

    it.effect("a byte behind the end of the archive counts for the diff id", () =>
      Effect.gen(function* () {
        const padded = Buffer.concat([archive, Buffer.alloc(8192)])
        for (const compress of [gzipSync, zstd, (bytes: Uint8Array) => bytes]) {
          expect(yield* listed(layerOf(compress(padded), { archive: padded }))).toEqual(paths)
          const error = yield* failure(layerOf(compress(flip(padded, 10)), { archive: padded }))
          expect(error).toMatchObject({ _tag: "DigestMismatch" })
        }
      })
    )

    it.effect("a byte behind the end of the archive counts for the digest of the blob", () =>
      Effect.gen(function* () {
        const layer = layerOf(Buffer.concat([archive, Buffer.alloc(512)]))
        const other = Buffer.concat([archive, Buffer.alloc(511), Buffer.alloc(1, 1)])
        const content = ByteStream.verify(Stream.make(other), layer.descriptor)
        expect(yield* Effect.flip(items(ImageLayer.entries({ ...layer, content })))).toMatchObject({
          _tag: "DigestMismatch"
        })
      })
    )
  })

  describe("a layer is read no faster than it is used", () => {
    /** Members of gzip, or frames of zstd, of a mebibyte each, and how many were asked for. */
    const endless = (compress: (bytes: Uint8Array) => Uint8Array) => {
      const start = compress(Tar.header({ name: "a", size: 8 ** 11 - 512 }))
      const rest = compress(Buffer.alloc(1024 * 1024, "content"))
      const asked = { count: 0, isReleased: false }
      const content = Stream.repeatEffect(
        Effect.sync(() => (asked.count++ === 0 ? start : rest))
      ).pipe(Stream.ensuring(Effect.sync(() => Object.assign(asked, { isReleased: true }))))
      return { asked, layer: { ...layerOf(start), content } }
    }

    it.effect.each([
      ["gzip", gzipSync],
      ["zstd", zstd]
    ] as const)(
      "%s: what is not pulled is not asked for, and released at the end",
      ([_, compress]) =>
        Effect.gen(function* () {
          const { asked, layer } = endless(compress)
          const taken = yield* Stream.runFold(
            Stream.take(ImageLayer.uncompressed(layer), 4),
            0,
            (size, bytes) => size + bytes.length
          )
          expect(taken).toBeGreaterThan(512)
          // A member of a mebibyte has a few hundred bytes: what waits to be inflated holds many.
          expect(asked.count).toBeLessThan(1000)
          expect(asked.isReleased).toBe(true)
        })
    )

    it.effect.each([
      ["gzip", gzipSync],
      ["zstd", zstd]
    ] as const)("%s: reading it is interrupted, and its source released", ([_, compress]) =>
      Effect.gen(function* () {
        const { asked, layer } = endless(compress)
        const running = yield* Effect.fork(Stream.runDrain(ImageLayer.entries(layer)))
        yield* Effect.repeat(Effect.yieldNow(), { until: () => asked.count > 2 })
        yield* Fiber.interrupt(running)
        expect(asked.isReleased).toBe(true)
      })
    )
  })

  describe("S21: the first bytes decide", () => {
    const types = [MediaType.layerTar, MediaType.layerTarGzip, MediaType.layerTarZstd] as const

    it.effect("whatever the media type says, and where it is wrong, a warning tells so", () =>
      Effect.gen(function* () {
        const forms = [archive, gzipSync(archive), zstd(archive)]
        for (const [n, bytes] of forms.entries()) {
          for (const mediaType of [
            ...types,
            MediaType.dockerLayerTarGzip,
            "application/octet-stream"
          ]) {
            const { logged, logger } = recorder()
            const layer = layerOf(bytes, { archive, mediaType })
            expect(
              yield* Effect.provide(listed(layer), Logger.replace(Logger.defaultLogger, logger))
            ).toEqual(paths)
            const isRight =
              mediaType === types[n] ||
              mediaType === "application/octet-stream" ||
              (n === 1 && mediaType === MediaType.dockerLayerTarGzip)
            expect(logged).toEqual(isRight ? [] : [expect.stringMatching(/is said to be/)])
          }
        }
      })
    )

    it.effect("an archive without a byte has no entries", () =>
      Effect.gen(function* () {
        expect(yield* listed(layerOf(new Uint8Array(0), { archive: new Uint8Array(0) }))).toEqual(
          []
        )
        expect(yield* listed(layerOf(gzipSync(Buffer.alloc(1024))))).toEqual([])
      })
    )

    it.effect("unknown bytes are an error that says so", () =>
      Effect.gen(function* () {
        for (const bytes of [
          utf8("BZh91AY&SY"),
          utf8("x"),
          Buffer.alloc(511),
          utf8("PK\u0003\u0004")
        ]) {
          const error = yield* failure(layerOf(bytes))
          expect(error).toMatchObject({ _tag: "InvalidLayer", reason: "Format" })
        }
      })
    )
  })

  describe("T10: what comes out is bounded", () => {
    const bomb = Buffer.alloc(8 * 1024 * 1024)

    it.effect.each([
      ["gzip", gzipSync(bomb)],
      ["zstd", zstd(bomb)],
      ["plain", bomb]
    ] as const)("%s beyond the limit is an error", ([_, bytes]) =>
      Effect.gen(function* () {
        const limit = bomb.length - 1
        const error = yield* failure(layerOf(bytes), { limit })
        expect(error).toMatchObject({ _tag: "LimitExceeded", limit, option: "limit" })
        expect(yield* listed(layerOf(bytes), { limit: bomb.length })).toEqual([])
      })
    )

    it.effect("a little zstd that becomes much is not in memory at once", () =>
      Effect.gen(function* () {
        // Blocks of 4 bytes, each 128 KiB of the letter a: 64 GiB of 2 MiB.
        const block = Buffer.from([0x02, 0x00, 0x10, 0x61])
        const frame = Buffer.concat([
          Buffer.from("28b52ffd0038", "hex"),
          Buffer.alloc(2 * 1024 * 1024, block)
        ])
        let taken = 0
        const before = process.memoryUsage().rss
        yield* Stream.runForEachWhile(ImageLayer.uncompressed(layerOf(frame)), (bytes) => {
          taken += bytes.length
          return Effect.succeed(taken < 32 * 1024 * 1024)
        })
        expect(process.memoryUsage().rss - before).toBeLessThan(256 * 1024 * 1024)
      })
    )
  })
})
