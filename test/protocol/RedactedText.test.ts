import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { redactor } from "../../src/protocol/internal/RedactedText.js"
import { redact, secretsOf } from "../../src/protocol/internal/RedactedUrl.js"
import { ignoreSecrets } from "../support/suiteWatch.js"

ignoreSecrets()

const html = (text: string) =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;"
}

/** How a server may write what it was sent. */
const spellings: Readonly<Record<string, (secret: string) => string>> = {
  "as it is": (secret) => secret,
  "in JSON": (secret) => JSON.stringify(secret).slice(1, -1),
  "in JSON within JSON": (secret) =>
    JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1),
  "in the JSON of Go": (secret) =>
    JSON.stringify(secret)
      .slice(1, -1)
      .replace(/[&<>]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`),
  "in the JSON of Python": (secret) =>
    JSON.stringify(secret)
      .slice(1, -1)
      .replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
  "in the JSON of PHP": (secret) => JSON.stringify(secret).slice(1, -1).replaceAll("/", "\\/"),
  "percent-encoded": encodeURIComponent,
  "percent-encoded in lower case": (secret) =>
    encodeURIComponent(secret).replace(/%../g, (escape) => escape.toLowerCase()),
  "percent-encoded twice": (secret) => encodeURIComponent(encodeURIComponent(secret)),
  "in a form": (secret) => new URLSearchParams({ "": secret }).toString().slice(1),
  "in HTML": html,
  "in XML": (secret) => secret.replace(/[&<>"']/g, (character) => entities[character] ?? ""),
  "in XML within XML": (secret) =>
    secret.replace(/[&<>"']/g, (character) => entities[character] ?? "").replaceAll("&", "&amp;"),
  "in JSON within XML": (secret) => html(JSON.stringify(secret).slice(1, -1)),
  "in HTML within a URL": (secret) => encodeURIComponent(html(secret)),
  "in lower case, as hosts are": (secret) =>
    secret.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

describe("a secret is found", () => {
  const secret = FastCheck.string({ unit: "grapheme", minLength: 8, maxLength: 40 }).filter(
    // One of nothing but backslashes has no spelling of its own.
    (text) => !/[\\\p{Cs}]/u.test(text)
  )
  const around = FastCheck.string({ unit: "grapheme-ascii", maxLength: 20 }).map((text) =>
    text.replace(/[\\%&+]/g, "")
  )
  for (const [name, spelled] of Object.entries(spellings))
    it.prop(name, [secret, around, around], ([secret, before, after]) => {
      FastCheck.pre(!`${before}|${after}`.toLowerCase().includes(secret.toLowerCase()))
      assert.strictEqual(
        redactor([secret])(`${before}|${spelled(secret)}|${after}`),
        `${before}|REDACTED|${after}`
      )
    })

  it("with backslashes in it", () => {
    for (const spelled of Object.values(spellings))
      assert.strictEqual(redactor(['p"q\\r &s'])(`a ${spelled('p"q\\r &s')}`), "a REDACTED")
  })

  it("of two, one in the other, all of the longer", () => {
    for (const secrets of [
      ["hunter", "hunter2-and-more"],
      ["hunter2-and-more", "hunter"]
    ])
      assert.strictEqual(redactor(secrets)("hunter2-and-more, hunter"), "REDACTED, REDACTED")
  })

  it("where two overlap", () =>
    assert.strictEqual(redactor(["abcdef", "defghi"])("xabcdefghiy"), "xREDACTEDy"))
})

describe("a text", () => {
  it.prop(
    "without a secret stays as it is, whatever its escapes",
    [FastCheck.string({ unit: "binary" })],
    ([text]) => {
      assert.strictEqual(redactor(["\u{10fffe}no text has this"])(text), text)
      assert.strictEqual(redactor([])(text), text)
    }
  )

  it("of secrets under 4 characters says nothing (as they stand everywhere)", () =>
    assert.strictEqual(redactor(["abc", "", "\\\\\\\\\\"])("abc \\\\\\\\\\"), "abc \\\\\\\\\\"))

  it("of 64 KiB is searched in no time, whatever it is made of", () => {
    for (const piece of ["\\", "%25", "&amp;", "a", "&#0000", "%", "\\u"])
      for (const secret of ["aaaaaaaaaaaaaaaaaaaab", "\\\\\\\\x\\\\\\", "%25%25%25%25%25x"]) {
        const text = piece.repeat(65_536 / piece.length)
        const begun = process.cpuUsage()
        redactor([secret])(text)
        const { system, user } = process.cpuUsage(begun)
        assert.isBelow(user + system, 2_000_000)
      }
  })
})

const urls: ReadonlyArray<
  readonly [name: string, url: string, shown: string, secrets: ReadonlyArray<string>]
> = [
  [
    "a signed query",
    "https://s3.test/b?X-Sig=0123%2f4567&X-Short=1&digest=sha256:00",
    "https://s3.test/b?X-Sig=REDACTED&X-Short=REDACTED&digest=sha256:00",
    ["X-Sig=0123%2f4567&X-Short=1&digest=sha256:00", "0123%2f4567"]
  ],
  ["a secret without a name", "https://s3.test/?5ecre7", "https://s3.test/?REDACTED", []],
  [
    "a secret without a name, in base64",
    "https://s3.test/?a=1&5ecre7==",
    "https://s3.test/?a=REDACTED&REDACTED",
    ["a=1&5ecre7==", "5ecre7=="]
  ],
  [
    "one with a single sign of padding",
    "/x?c2VjcmV0cw=",
    "/x?REDACTED",
    ["c2VjcmV0cw=", "c2VjcmV0cw="]
  ],
  [
    "the host that a mirror is one of",
    "https://mirror.test/v2/a/blobs/x?ns=docker.io",
    "https://mirror.test/v2/a/blobs/x?ns=docker.io",
    []
  ],
  [
    "the protocol's own parameters",
    "/v2/a?n=10&last=0123456789&mount=sha256:0123&from=library/base&tag=&artifactType=a/b",
    "/v2/a?n=10&last=0123456789&mount=sha256:0123&from=library/base&tag=&artifactType=a/b",
    []
  ],
  [
    "a user name in a token request, which every server may repeat",
    "https://auth.test/token?service=registry.test&account=alice-in-chains&client_id=effect-oci",
    "https://auth.test/token?service=registry.test&account=REDACTED&client_id=REDACTED",
    []
  ],
  ["user info", "https://alice:p@ss@s3.test/b", "https://s3.test/b", []],
  [
    "an address in the path",
    "https://s3.test/alice@example.com",
    "https://s3.test/alice@example.com",
    []
  ],
  ["a question in the fragment", "https://s3.test/b#?a=0123456789", "https://s3.test/b", []],
  ["empty pairs", "/v2/?&&a=", "/v2/?&&REDACTED", []]
]

describe("a secret that was cut", () => {
  const secret = "c2VjcmV0LW9mLW1pbmU"
  const shown = redactor([secret, "another-one"])

  it.each([
    [`it is ${secret.slice(0, 8)}`, "it is REDACTED"],
    [`${secret} is ${secret.slice(0, 15)}`, "REDACTED is REDACTED"],
    [`"a/${secret.slice(0, 12)}" is not a media type`, '"a/REDACTED" is not a media type'],
    [`"${encodeURIComponent("another-o")}", "${secret.slice(0, 9)}"`, '"REDACTED", "REDACTED"'],
    // Fewer characters say nothing, and within a text there is no cut.
    [`it is ${secret.slice(0, 7)}`, `it is ${secret.slice(0, 7)}`],
    [`${secret.slice(0, 12)} it is`, `${secret.slice(0, 12)} it is`]
  ])("is hidden where it begins: %s", (text, expected) => {
    assert.strictEqual(shown(text), expected)
  })

  it("costs no more for texts and secrets that repeat themselves", () => {
    const redact = redactor(Array.from({ length: 16 }, (_, n) => "a".repeat(4000 + n)))
    const before = performance.now()
    redact(`${"a".repeat(3990)}"`.repeat(16))
    assert.isBelow(performance.now() - before, 2000)
  })
})

describe("of a URL", () => {
  for (const [name, url, shown, secrets] of urls)
    it(`with ${name}`, () => {
      assert.strictEqual(redact(url), shown)
      assert.deepStrictEqual(secretsOf(url), secrets)
    })
})
