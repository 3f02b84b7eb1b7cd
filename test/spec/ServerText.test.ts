import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { escaped, plain } from "../../src/spec/internal/ServerText.js"

const harmful = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}]/u

describe("plain", () => {
  it("makes a space of control characters and line breaks, and drops what turns a line", () =>
    assert.strictEqual(plain(" a\r\n\u001b[2Jb\u0085\u2028c\u202ed\ud800 ", 64), "a [2Jb cd"))

  it("cuts", () => assert.strictEqual(plain("abcdef", 3), "abc"))

  it.prop(
    "shows nothing but text, of at most so many characters",
    [FastCheck.string({ unit: "binary" }), FastCheck.nat(64)],
    ([text, limit]) => {
      assert.notMatch(plain(text, limit), harmful)
      assert.isAtMost(plain(text, limit).length, limit)
    }
  )
})

describe("escaped", () => {
  it("escapes what plain leaves out", () =>
    assert.strictEqual(
      escaped('a\r\n\u001b"\u0085\u2028\u202e\ud800'),
      '"a\\r\\n\\u001b\\"\\u0085\\u2028\\u202e\\ud800"'
    ))

  it.prop(
    "shows nothing but text, and all of it",
    [FastCheck.string({ unit: "binary", maxLength: 128 })],
    ([text]) => {
      assert.notMatch(escaped(text), harmful)
      assert.strictEqual(JSON.parse(escaped(text)), text.slice(0, 128))
    }
  )
})
