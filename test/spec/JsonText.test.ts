import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as JsonText from "../../src/spec/internal/JsonText.js"

const problem = (text: string) => Either.getOrUndefined(Either.flip(JsonText.parse(text)))
const deep = "nests deeper than 256 levels"
const wide = "has more than 500000 brackets, commas and colons"
const wideList = (entry: string) => `[${`${entry},`.repeat(400_000)}${entry}]`

describe("parse", () => {
  it.prop("gives what JSON.parse gives, for ordinary documents", [FastCheck.json()], ([text]) => {
    expect(JsonText.parse(text)).toEqual(Either.right(JSON.parse(text)))
  })

  it.prop("takes brackets in strings for text", [FastCheck.string()], ([text]) => {
    const document = JSON.stringify([
      `${text}${'[{"\\'.repeat(300)}`,
      { [`${"[".repeat(300)}"`]: 1 }
    ])
    expect(JsonText.parse(document)).toEqual(Either.right(JSON.parse(document)))
  })

  it.each(["", "{", '"', '"\\"', "[1,]", "nul", "[}", "]"])("refuses %s", (text) => {
    expect(problem(text)).toBe("is not a JSON document")
  })

  // 8 MiB of brackets took seconds to parse.
  it.each([
    ["[".repeat(8 << 20), deep],
    ['{"a":'.repeat(1 << 20), deep],
    ["[".repeat(257) + "]".repeat(257), deep],
    [`{"x":${"[".repeat(256)}${"]".repeat(256)}}`, deep],
    [wideList("[]"), wide],
    [wideList("{}"), wide],
    [wideList('{"a":1}'), wide],
    [`{${'"a":1,'.repeat(300_000)}"a":1}`, wide],
    [`[${"1,".repeat(500_000)}1]`, wide]
  ])("refuses a document that is too large before it is parsed (T6)", (text, expected) => {
    expect(problem(text)).toBe(expected)
  })

  it.each([
    "[".repeat(256) + "]".repeat(256),
    `[${"1,".repeat(499_999)}1]`,
    `["${"\\\\".repeat(1000)}", "${'\\"[{'.repeat(1000)}"]`
  ])("takes what is within the limits", (text) => {
    expect(Either.isRight(JsonText.parse(text))).toBe(true)
  })
})
