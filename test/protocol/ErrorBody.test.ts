import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as ErrorBody from "../../src/protocol/ErrorBody.js"

const table: ReadonlyArray<
  readonly [name: string, body: string, errors: ReadonlyArray<ErrorBody.ErrorInfo>]
> = [
  [
    "the specification's list (C100, C103)",
    '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"v1"}},{"code":"DENIED"}]}',
    [
      { code: "MANIFEST_UNKNOWN", message: "manifest unknown", detail: { Tag: "v1" } },
      { code: "DENIED" }
    ]
  ],
  [
    "zot's bare error object",
    '{"code":"UNAUTHORIZED","message":"m","detail":[1]}',
    [{ code: "UNAUTHORIZED", message: "m", detail: [1] }]
  ],
  [
    "details (Docker Hub's token server)",
    '{"details":"incorrect username or password"}',
    [{ code: "UNKNOWN", message: "incorrect username or password" }]
  ],
  ["a bare message", '{"message":"Not Found"}', [{ code: "UNKNOWN", message: "Not Found" }]],
  [
    "errors without code (Artifactory)",
    '{"errors":[{"status":400,"message":"Unsupported media type"}]}',
    [{ code: "UNKNOWN", message: "Unsupported media type" }]
  ],
  [
    "a code that nobody defined (Quay, C102)",
    '{"errors":[{"code":"METHOD NOT ALLOWED"}]}',
    [{ code: "METHOD NOT ALLOWED" }]
  ],
  [
    "GHCR's rate limit",
    '{"errors":[{"code":"TOOMANYREQUESTS","message":"retry-after: 880.092µs, allowed: 44000/minute"}]}',
    [{ code: "TOOMANYREQUESTS", message: "retry-after: 880.092µs, allowed: 44000/minute" }]
  ],
  [
    "Azure's XML",
    '\uFEFF<?xml version="1.0" encoding="utf-8"?><Error><Code>InvalidAuthenticationInfo</Code><Message>Header &lt;x&gt; &amp;lt; is wrong.\nTime:1</Message></Error>',
    [{ code: "InvalidAuthenticationInfo", message: "Header <x> &lt; is wrong. Time:1" }]
  ],
  [
    "S3's XML",
    "<Error><Code>AccessDenied</Code><RequestId>1</RequestId></Error>",
    [{ code: "AccessDenied" }]
  ],
  [
    "XML that is cut off",
    "<Error><Code>AccessDenied</Code><Message>half",
    [{ code: "AccessDenied" }]
  ],
  ["HTML", "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>", []],
  ["plain text", "404 page not found\n", []],
  ["the word true (Quay)", "true", []],
  ["an empty body", "", []],
  ["an empty object", "{}", []],
  ["an empty list", '{"errors":[]}', []],
  ["null for a list", '{"errors":null,"message":"m"}', [{ code: "UNKNOWN", message: "m" }]],
  [
    "members of wrong types",
    '{"errors":[null,1,"x",[],{"code":1,"message":{}},{"code":"A","message":null,"detail":null}]}',
    [{ code: "A", detail: null }]
  ],
  ["an empty code", '{"errors":[{"code":"","message":"m"}]}', [{ code: "UNKNOWN", message: "m" }]],
  ["JSON that is cut off", '{"errors":[{"code":"A"', []],
  [
    "control and bidirectional characters, taken out of every string",
    '{"errors":[{"code":"A\\u0000B","message":"a\\u001b[31mb\\u202e\\r\\nc","detail":{"k\\u2066":["\\u0007x"]}}]}',
    [{ code: "A B", message: "a [31mb c", detail: { k: ["x"] } }]
  ]
]

describe("ErrorBody.parse", () => {
  for (const [name, body, errors] of table) {
    it(`reads ${name}`, () => {
      assert.deepStrictEqual(ErrorBody.parse(body).errors, errors)
      assert.deepStrictEqual(ErrorBody.parse(new TextEncoder().encode(body)).errors, errors)
    })
  }

  it("leaves a snippet of one line, at most 512 characters", () => {
    assert.strictEqual(
      ErrorBody.parse("  <html>\r\n    \t<h1>502\u0000</h1>\n").snippet,
      "<html> <h1>502 </h1>"
    )
    assert.strictEqual(ErrorBody.parse("x".repeat(5000)).snippet, "x".repeat(512))
    assert.strictEqual(ErrorBody.parse(" \n ").snippet, "")
  })

  it("reads bytes that are not UTF-8", () =>
    assert.deepStrictEqual(
      ErrorBody.parse(
        Uint8Array.of(
          0x7b,
          0x22,
          0x6d,
          0x65,
          0x73,
          0x73,
          0x61,
          0x67,
          0x65,
          0x22,
          0x3a,
          0x22,
          0xff,
          0x22,
          0x7d
        )
      ).errors,
      [{ code: "UNKNOWN", message: "\uFFFD" }]
    ))

  it("bounds codes, messages, details and the number of errors (T6)", () => {
    const error = { code: "C".repeat(1000), message: "m".repeat(5000), detail: "d".repeat(4094) }
    const { errors } = ErrorBody.parse(
      JSON.stringify({ errors: [error, { code: "A", detail: "d".repeat(4095) }] })
    )
    assert.deepStrictEqual(errors, [
      { code: "C".repeat(128), message: "m".repeat(1024), detail: "d".repeat(4094) },
      { code: "A" }
    ])
    assert.lengthOf(
      ErrorBody.parse(JSON.stringify({ errors: Array(100).fill({ code: "A" }) })).errors,
      32
    )
  })

  it("never cuts a character in half", () =>
    assert.deepStrictEqual(ErrorBody.parse(`{"message":"${"m".repeat(1023)}😀"}`).errors, [
      { code: "UNKNOWN", message: "m".repeat(1023) }
    ]))

  it("reports no errors of a body over 64 KiB (T6)", () => {
    const body = `{"message":"m","x":"${"x".repeat(65_536)}"}`
    assert.deepStrictEqual(ErrorBody.parse(body).errors, [])
    assert.deepStrictEqual(ErrorBody.parse(new TextEncoder().encode(body)).errors, [])
  })

  it("survives deep nesting, and leaves such a detail out (T21)", () => {
    const deep = (levels: number) =>
      `{"code":"A","detail":${"[".repeat(levels)}${"]".repeat(levels)}}`
    assert.deepStrictEqual(ErrorBody.parse(deep(30_000)).errors, [{ code: "A" }])
    assert.property(ErrorBody.parse(deep(2000)).errors[0], "detail")
  })

  it("hands out no __proto__ (T21)", () => {
    const { errors } = ErrorBody.parse(
      '{"code":"A","__proto__":{"message":"m"},"detail":{"__proto__":{"admin":true},"__proto\\u202e__":{"admin":true}}}'
    )
    assert.deepStrictEqual(errors, [{ code: "A", detail: {} }])
    assert.notProperty(Object.assign({}, errors[0]?.detail), "admin")
  })

  const check = (body: Uint8Array | string) => {
    const { errors, snippet } = ErrorBody.parse(body)
    assert.isAtMost(snippet.length, 512)
    for (const text of [snippet, ...errors.flatMap(({ code, message = "" }) => [code, message])]) {
      assert.isAtMost(text.length, 1024)
      assert.notMatch(text, /[\p{Cc}\p{Bidi_Control}\p{Cs}]/u)
    }
  }
  it.prop("never throws on any bytes", [FastCheck.uint8Array({ maxLength: 2000 })], ([bytes]) =>
    check(bytes)
  )
  it.prop("never throws on any text", [FastCheck.string({ unit: "binary" })], ([text]) =>
    check(text)
  )
  it.prop("never throws on any errors", [FastCheck.jsonValue()], ([value]) =>
    check(JSON.stringify({ errors: [value, { code: "A", message: value, detail: value }] }))
  )
})

describe("ErrorBody.encode", () => {
  it("writes the specification's list (R40)", () =>
    assert.strictEqual(
      ErrorBody.encode([
        { code: ErrorBody.Code.NAME_INVALID, message: "m", detail: { name: "A" } },
        { code: ErrorBody.Code.UNSUPPORTED }
      ]),
      '{"errors":[{"code":"NAME_INVALID","message":"m","detail":{"name":"A"}},{"code":"UNSUPPORTED"}]}'
    ))

  it("leaves out a detail that JSON cannot express", () => {
    const cycle: Array<unknown> = []
    cycle.push(cycle)
    assert.strictEqual(
      ErrorBody.encode([
        { code: "A", detail: 1n },
        { code: "B", detail: cycle }
      ]),
      '{"errors":[{"code":"A"},{"code":"B"}]}'
    )
  })

  const word = FastCheck.stringMatching(/^[!-~]{1,20}$/)
  const info = FastCheck.record(
    { code: word, message: word, detail: word },
    { requiredKeys: ["code"] }
  )
  it.prop(
    "is read back by parse",
    [FastCheck.array(info, { minLength: 1, maxLength: 32 })],
    ([errors]) =>
      assert.deepEqual(
        ErrorBody.parse(ErrorBody.encode(errors)).errors,
        errors.map((error) => ({ ...error }))
      )
  )
})
