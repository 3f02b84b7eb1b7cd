/** Streams that are compressed: the same bytes wherever and whenever, read by other programs. */
import { execFileSync } from "node:child_process"
import { createGzip, gunzipSync, gzipSync } from "node:zlib"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { compressedBy, gunzip, gzip } from "../../src/node/internal/Gzip.js"
import * as Digest from "../../src/spec/Digest.js"
import { gather } from "../support/fixtures.js"

const content = Buffer.from("all is well\n".repeat(300_000))

const arrays = (size: number) =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(content.length / size) }, (_, n) =>
      Uint8Array.from(content.subarray(n * size, (n + 1) * size))
    )
  )

it.effect("S31: have a header without a time and a system, and do not depend on the arrays", () =>
  Effect.gen(function* () {
    const compressed = yield* gather(gzip(6)(arrays(65_536)))
    expect([...compressed.subarray(0, 10)]).toEqual([31, 139, 8, 0, 0, 0, 0, 0, 0, 255])
    for (const size of [1_000, 1_048_576])
      expect(Buffer.compare(compressed, yield* gather(gzip(6)(arrays(size))))).toBe(0)
    const maxBuffer = 2 ** 24
    const theirs = execFileSync("gzip", ["-dc"], { input: compressed, maxBuffer })
    expect(Buffer.compare(theirs, content)).toBe(0)
    expect(Buffer.compare(content, yield* gather(gunzip(Stream.make(compressed))))).toBe(0)
  })
)

const mebibyte = 1_048_576

it.effect.each([1, mebibyte - 1, mebibyte, mebibyte + 1, 2 * mebibyte, 9 * mebibyte + 5])(
  "are one member of %i bytes, in blocks that others put together",
  (size) =>
    Effect.gen(function* () {
      // Half of it repeats what lies in the block before, half is noise.
      const noise = Digest.fromBytes(Uint8Array.of(size))
      const bytes = Buffer.alloc(size, `${noise}${"again and again ".repeat(1000)}`)
      for (let at = 0; at + 4 < size; at += 4 + (at % 4000))
        bytes.writeUInt32LE((at * 7919) >>> 0, at)
      for (const level of size < mebibyte ? [0, 1, 9] : [6]) {
        const parts = Stream.fromIterable(
          Array.from({ length: Math.ceil(size / 300_000) }, (_, n) =>
            bytes.subarray(n * 300_000, (n + 1) * 300_000)
          )
        )
        const compressed = yield* gather(gzip(level)(parts))
        expect(Buffer.compare(gunzipSync(compressed), bytes)).toBe(0)
        // It refuses what has several members.
        const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"))
        const theirs = yield* Effect.promise(() => new Response(stream).arrayBuffer())
        expect(Buffer.compare(Buffer.from(theirs), bytes)).toBe(0)
        const whole = gzipSync(bytes, { level })
        expect(compressed.length).toBeLessThan(whole.length * 1.01 + 64)
        expect(compressed[8]).toBe(level === 0 ? 0 : whole[8])
      }
    })
)

it.effect("have all bytes in their order, whatever arrays they come in", () =>
  Effect.gen(function* () {
    const sizes = [1, 512, 4_096, 65_535, 65_536, 65_537, 100_000, 131_072, 131_073, 1_048_577]
    const pairs = sizes.flatMap((first) => sizes.flatMap((second) => [first, second]))
    const all = pairs.map((size, n) => new Uint8Array(size).fill(n))
    // The other one is what zstd goes through.
    for (const compress of [gzip(1), compressedBy(() => createGzip())]) {
      const decompressed = yield* gather(gunzip(compress(Stream.fromIterable(all))))
      expect(Buffer.compare(Buffer.concat(all), decompressed)).toBe(0)
    }
  })
)

it.effect("have an end where there was nothing, and fail as what is compressed does", () =>
  Effect.gen(function* () {
    const empty = yield* gather(gzip(9)(Stream.empty))
    expect(execFileSync("gzip", ["-dc"], { input: empty }).length).toBe(0)
    expect(empty[9]).toBe(255)
    const failing = Stream.concat(arrays(65_536), Stream.fail("broken"))
    expect(yield* Effect.flip(Stream.runDrain(gzip(1)(failing)))).toBe("broken")
  })
)
