import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as ByteRange from "../../src/protocol/ByteRange.js"

const MAX = Number.MAX_SAFE_INTEGER

const range = FastCheck.tuple(FastCheck.maxSafeNat(), FastCheck.maxSafeNat()).map(([a, b]) => ({
  start: Math.min(a, b),
  end: Math.max(a, b)
}))

describe("lengths", () => {
  it.each([
    ["0", 0],
    ["1024", 1024],
    [" 7 ", 7],
    [String(MAX), MAX]
  ])("%j is a length (RFC 9110 §8.6)", (header, length) => {
    expect(ByteRange.parseLength(header)).toEqual(Option.some(length))
  })

  it.each([
    "",
    "None",
    "-1",
    "+1",
    "1e3",
    "0x10",
    "1.5",
    "9007199254740992",
    "1, 1",
    "9".repeat(1000)
  ])("%j is no length (T21)", (header) => {
    expect(ByteRange.parseLength(header)).toEqual(Option.none())
  })
})

describe("progress of an upload", () => {
  it.each([
    ["0-1023", 0, 1023],
    ["bytes=0-1023", 0, 1023],
    ["bytes 0-1023", 0, 1023],
    ["Bytes=0-1023", 0, 1023],
    ["0-0", 0, 0],
    ["0--1", 0, -1],
    ["bytes=0--1", 0, -1],
    ["512-1023", 512, 1023]
  ])("%j is understood (rule 10, trap 1)", (header, start, end) => {
    expect(ByteRange.parseUpload(header)).toEqual(Option.some({ start, end }))
  })

  it.each([
    "",
    "-",
    "0",
    "0-",
    "-1",
    "1-0",
    "0--2",
    "0-1-2",
    "0-1/2",
    "a-b",
    "octets=0-1",
    `0-${MAX}0`
  ])("%j says nothing", (header) => {
    expect(ByteRange.parseUpload(header)).toEqual(Option.none())
  })

  it.each([
    ["0-1023", 0, 1024],
    ["0-1023", 512, 1024],
    ["0--1", 0, 0],
    ["0-0", 0, 0],
    ["0-0", 1, 1]
  ])(
    "after %j with %d bytes acknowledged the upload continues at %d (C51, trap 3)",
    (header, acknowledged, next) => {
      expect(
        Option.map(ByteRange.parseUpload(header), (range) =>
          ByteRange.nextOffset(range, acknowledged)
        )
      ).toEqual(Option.some(next))
    }
  )

  it.each([
    [0, "0-0"],
    [1, "0-0"],
    [1024, "0-1023"]
  ])("an upload of %d bytes is answered %j (R19, trap 3)", (size, header) => {
    expect(ByteRange.formatUpload(size)).toBe(header)
  })
})

describe("chunks", () => {
  it("are written without unit and total (C48)", () => {
    expect(ByteRange.formatChunk({ start: 1024, end: 2047 })).toBe("1024-2047")
  })

  it.each([
    ["0-1023", 0, 1023],
    ["1024-1024", 1024, 1024],
    ["bytes 0-65535", 0, 65535]
  ])("%j is read (C48, quirks §3)", (header, start, end) => {
    expect(ByteRange.parseChunk(header)).toEqual(Option.some({ start, end }))
  })

  it.each(["", "0--1", "5-4", "0-1023/2048", "1023", "bytes", `${MAX}-${MAX}1`])(
    "%j is not read",
    (header) => {
      expect(ByteRange.parseChunk(header)).toEqual(Option.none())
    }
  )
})

describe("requested ranges", () => {
  it.each([
    ["bytes=0-499", { start: 0, end: 499 }],
    ["bytes=500-", { start: 500 }],
    ["bytes=-500", { suffix: 500 }],
    ["Bytes=0-0", { start: 0, end: 0 }]
  ])("%j is read (RFC 9110 §14.2)", (header, range) => {
    expect(ByteRange.parseRequest(header)).toEqual(Option.some(range))
  })

  it.each([
    "",
    "bytes",
    "bytes=",
    "bytes=-",
    "bytes=5",
    "bytes=5-4",
    "bytes=0-1,3-4",
    "bytes=0-1-2",
    "lines=0-1",
    "0-1"
  ])("%j is ignored (RFC 9110 §14.2)", (header) => {
    expect(ByteRange.parseRequest(header)).toEqual(Option.none())
  })

  it.each([
    [{ start: 0, end: 499 }, "bytes=0-499"],
    [{ start: 500 }, "bytes=500-"],
    [{ suffix: 500 }, "bytes=-500"]
  ])("%j is written %j", (range, header) => {
    expect(ByteRange.formatRequest(range)).toBe(header)
  })

  it.each([
    [{ start: 0, end: 499 }, 1000, { start: 0, end: 499 }],
    [{ start: 500 }, 1000, { start: 500, end: 999 }],
    [{ start: 500, end: 5000 }, 1000, { start: 500, end: 999 }],
    [{ suffix: 1 }, 1000, { start: 999, end: 999 }],
    [{ suffix: 5000 }, 1000, { start: 0, end: 999 }]
  ])("%j of %d bytes selects %j", (request, size, range) => {
    expect(ByteRange.resolve(request, size)).toEqual(Option.some(range))
  })

  it.each([
    [{ start: 4, end: 2 }, 1000],
    [{ start: -1 }, 1000],
    [{ start: 0.5 }, 1000],
    [{ start: 0, end: 1.5 }, 1000],
    [{ start: 1000 }, 1000],
    [{ start: 1000, end: 2000 }, 1000],
    [{ suffix: 0 }, 1000],
    [{ start: 0 }, 0],
    [{ suffix: 5 }, 0]
  ])("%j of %d bytes is unsatisfiable (RFC 9110 §14.1.2)", (request, size) => {
    expect(ByteRange.resolve(request, size)).toEqual(Option.none())
  })
})

describe("answered ranges", () => {
  it("are written with unit and total", () => {
    expect(ByteRange.formatContent({ start: 0, end: 1023 }, 4096)).toBe("bytes 0-1023/4096")
  })

  it.each([
    ["bytes 0-1023/4096", Option.some(4096)],
    ["bytes 0-1023/*", Option.none()],
    ["BYTES 0-1023/1024", Option.some(1024)]
  ])("%j is read (C28)", (header, total) => {
    expect(ByteRange.parseContent(header)).toEqual(Option.some({ start: 0, end: 1023, total }))
  })

  it.each([
    "",
    "bytes",
    "bytes */4096",
    "bytes 0-1023",
    "bytes 0-1023/1023",
    "bytes 5-4/9",
    "bytes 0-1/2/3",
    "0-1/2",
    "bytes 0-1/x"
  ])("%j is not believed (C28)", (header) => {
    expect(ByteRange.parseContent(header)).toEqual(Option.none())
  })
})

it.prop("what is written is read back", [range, FastCheck.nat()], ([range, more]) => {
  const total = Math.min(MAX, range.end + 1 + more)
  FastCheck.pre(range.end < total)
  expect(ByteRange.parseChunk(ByteRange.formatChunk(range))).toEqual(Option.some(range))
  expect(ByteRange.parseRequest(ByteRange.formatRequest(range))).toEqual(Option.some(range))
  expect(ByteRange.parseUpload(ByteRange.formatUpload(total))).toEqual(
    Option.some({ start: 0, end: total - 1 })
  )
  expect(ByteRange.parseContent(ByteRange.formatContent(range, total))).toEqual(
    Option.some({ ...range, total: Option.some(total) })
  )
})

it.prop(
  "no header makes a parser throw or yield unsafe numbers",
  [
    FastCheck.oneof(
      FastCheck.string({ unit: "binary" }),
      FastCheck.stringMatching(/^(bytes[= ])?[-0-9/*,]{0,40}$/)
    )
  ],
  ([header]) => {
    const found = [ByteRange.parseUpload, ByteRange.parseChunk, ByteRange.parseContent].flatMap(
      (parse) => Option.toArray<ByteRange.ByteRange>(parse(header))
    )
    for (const { start, end } of found) {
      expect(
        Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && end >= start - 1
      ).toBe(true)
    }
    Option.map(ByteRange.parseRequest(header), (range) =>
      expect(ByteRange.parseRequest(ByteRange.formatRequest(range))).toEqual(Option.some(range))
    )
  }
)
