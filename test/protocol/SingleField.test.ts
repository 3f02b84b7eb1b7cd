import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as SingleField from "../../src/protocol/internal/SingleField.js"

const date = "Wed, 21 Oct 2015 07:28:00 GMT"

describe("SingleField.value", () => {
  const table: ReadonlyArray<readonly [field: string | undefined, expected: string | undefined]> = [
    [undefined, undefined],
    ["", undefined],
    [" \t", undefined],
    [" 42 ", "42"],
    // RFC 9110 §8.6
    ["42, 42", "42"],
    ["42,42,42", "42"],
    ["42, 43", undefined],
    ["42,", "42"],
    [",", undefined],
    ["sha256:aa, sha256:aa", "sha256:aa"],
    ["sha256:aa, sha256:bb", undefined],
    ["0-5, 0-9", undefined],
    ['text/html; a="b,c"', 'text/html; a="b,c"'],
    ['text/html; a="b,c", text/html; a="b,c"', 'text/html; a="b,c"'],
    ['text/html; a="b\\",c', 'text/html; a="b\\",c'],
    // §5.6.7
    [date, date],
    [`${date}, ${date}`, date],
    [`${date}, ${date.replace("21", "22")}`, undefined],
    ["Wednesday, 21-Oct-15 07:28:00 GMT", "Wednesday, 21-Oct-15 07:28:00 GMT"],
    [`${date}, 7`, undefined],
    ["Gzip, Br", undefined]
  ]
  for (const [field, expected] of table)
    it(`of ${JSON.stringify(field)} is ${JSON.stringify(expected)}`, () =>
      assert.strictEqual(SingleField.value({ x: field }, "x"), expected))

  it("takes a long one in no time", () => {
    const text = `"${"\\".repeat(30_000)}${"a ".repeat(30_000)},Wed,`
    assert.strictEqual(SingleField.value({ x: text.repeat(3) }, "x"), undefined)
  })
})

describe("SingleField.required", () => {
  const table: ReadonlyArray<readonly [field: string | undefined, expected: string]> = [
    [undefined, "absent"],
    ["", "blank"],
    ["  ", "blank"],
    [" bytes 0-4/9 ", "= bytes 0-4/9"],
    ["bytes 0-4/9, bytes 0-4/9", "repeated"],
    ["bytes 0-4/9,", "repeated"]
  ]
  for (const [field, expected] of table)
    it(`of ${JSON.stringify(field)} is ${expected}`, () =>
      assert.strictEqual(said(SingleField.required({ x: field }, "x")), expected))
})

describe("SingleField.requiredReference", () => {
  const table: ReadonlyArray<readonly [field: string | undefined, expected: string]> = [
    [undefined, "absent"],
    ["", "blank"],
    ["/u/1", "= /u/1"],
    [" /u/1?a=b,c&d=/e,/f ", "= /u/1?a=b,c&d=/e,/f"],
    ["https://r.example/u,1?x=,", "= https://r.example/u,1?x=,"],
    ["/u/1, /u/2", "repeated"],
    ["/u/1,\t/u/2", "repeated"],
    ["/u/1, /u/1", "repeated"],
    ["/u/1,/u/1", "repeated"],
    ["/u/1,https://r.example/u/1", "repeated"],
    ["https://r.example/u/1,HTTP://r.example/u/2", "repeated"],
    ["/u/1 /u/2", "= /u/1 /u/2"]
  ]
  for (const [field, expected] of table)
    it(`of ${JSON.stringify(field)} is ${expected}`, () =>
      assert.strictEqual(said(SingleField.requiredReference({ x: field }, "x")), expected))
})

const said = Either.match({
  onLeft: (problem: SingleField.Problem): string => problem,
  onRight: (value: string) => `= ${value}`
})
