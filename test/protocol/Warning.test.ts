import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Warning from "../../src/protocol/internal/Warning.js"

const of = (...texts: ReadonlyArray<string>) => [...texts]

const table: ReadonlyArray<
  readonly [name: string, header: string, expected: ReadonlyArray<string>]
> = [
  [
    "the specification's form (C106)",
    '299 - "Your auth token will expire in 30 seconds."',
    of("Your auth token will expire in 30 seconds.")
  ],
  ["joined lines with commas in quotes (trap 65)", '299 - "a, b", 299 - "c"', of("a, b", "c")],
  ["escapes", '299 - "say \\"hi\\" \\\\ , 299", 299 - "x"', of('say "hi" \\ , 299', "x")],
  [
    "the registry's own, and none of caches and proxies: other codes and agents",
    '199 proxy.example:3128 "Misc" "Wed, 21 Oct 2015 07:28:00 GMT", 110 - "Stale", 299 cache "a", 299 - "c"',
    of("c")
  ],
  [
    "the text before the date that the specification forbids",
    '299 - "a" "Wed, 21 Oct 2015 07:28:00 GMT", 299 - "b"',
    of("a", "b")
  ],
  ["control and bidirectional characters, taken out", '299 - "a\u001b[2Jb\u202ec"', of("a [2Jbc")],
  ["an unterminated text", '299 - "abc', of("abc")],
  ["an empty text: nothing to report", '299 - "", 299 - "x"', of("x")],
  ["empty list elements and white space", ' , ,299  -  "a" ,', of("a")],
  [
    "elements that are no warnings, passed over",
    '29 - "a", 2999 - "b", 299 "c, d", 299 - e, 299- "f", 299 -"h", 299 - "g"',
    of("g")
  ],
  ["the empty value", "", []]
]

describe("Warning.parse", () => {
  for (const [name, header, expected] of table) {
    it(`reads ${name}`, () => assert.deepStrictEqual(Warning.parse(header), expected))
  }

  it("reads 4,096 bytes and no more (C106)", () => {
    const first = `299 - "${"a".repeat(4000)}"`
    assert.deepStrictEqual(
      Warning.parse(`${first}, 299 - "${"b".repeat(500)}", 299 - "c"`),
      of("a".repeat(4000), "b".repeat(4096 - first.length - 9))
    )
  })

  const piece = FastCheck.oneof(
    FastCheck.string({ unit: "binary" }),
    FastCheck.constantFrom("299", " - ", '"', "\\", ",", " ", '299 - "', "\u202e")
  )
  it.prop(
    "never throws, and texts are bounded and printable",
    [FastCheck.array(piece, { maxLength: 40 })],
    ([pieces]) => {
      for (const text of Warning.parse(pieces.join(""))) {
        assert.notMatch(text, /[\p{Cc}\p{Bidi_Control}\p{Cs}]/u)
        assert.isNotEmpty(text)
      }
    }
  )
})

describe("Warning.format", () => {
  it("writes the specification's form (R42)", () =>
    assert.strictEqual(
      Warning.format(["a, b", 'say "hi"\r\n']),
      '299 - "a, b", 299 - "say \\"hi\\""'
    ))

  it("writes nothing of nothing", () => assert.strictEqual(Warning.format([]), ""))

  it("cuts a text so that it always fits, and leaves out what fits no more (R42)", () => {
    const header = Warning.format(['"'.repeat(9000), "x".repeat(100), "y"])
    assert.isAtMost(header.length, 4096)
    assert.deepStrictEqual(Warning.parse(header), of('"'.repeat(2000), "y"))
  })

  it.prop(
    "is at most 4,096 bytes and is read back by parse",
    [
      FastCheck.array(FastCheck.string({ unit: "grapheme-ascii", maxLength: 300 }), {
        maxLength: 12
      })
    ],
    ([texts]) => {
      const header = Warning.format(texts)
      assert.isAtMost(new TextEncoder().encode(header).length, 4096)
      const all = texts.map((text) => text.trim()).filter((text) => text !== "")
      assert.deepStrictEqual(Warning.parse(header), of(...all))
    }
  )
})
