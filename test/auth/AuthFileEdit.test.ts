/** Entries set and removed in the text of a file that is not ours alone. */
import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as AuthFileEdit from "../../src/auth/internal/AuthFileEdit.js"

const spellings = new Set(["ghcr.io", "https://ghcr.io", "https://ghcr.io/v1/", "GHCR.io:443"])
const isGhcr = (key: string) => spellings.has(key)
const login = { auth: "bmV3Om5ldw==" }

const stored = (text: string, entry: Readonly<Record<string, string>> = login) =>
  AuthFileEdit.withEntry(text, isGhcr, "ghcr.io", entry)
const erased = (text: string) => AuthFileEdit.withoutEntries(text, isGhcr, false)

const docker = `{
	"auths": {
		"https://index.docker.io/v1/": {
			"auth": "aHViOmh1Yg=="
		}
	},
	"HttpHeaders": {
		"User-Agent": "Docker-Client/28.2.2 (linux)"
	},
	"psFormat": "table {{.ID}}\\\\t{{.Image}}",
	"big": 12345678901234567890,
	"10": 1.0,
	"9": 1e400,
	"__proto__": { "deep": [1, { "x": "}" }] }
}`

describe("an entry is added", () => {
  it("after the others, laid out as they are, and nothing else changes", () => {
    expect(stored(docker)).toBe(
      docker.replace(
        `"aHViOmh1Yg=="\n\t\t}\n\t}`,
        `"aHViOmh1Yg=="\n\t\t},\n\t\t"ghcr.io": {\n\t\t\t"auth": "bmV3Om5ldw=="\n\t\t}\n\t}`
      )
    )
  })

  it.each([
    [
      "an empty file",
      "",
      `{\n\t"auths": {\n\t\t"ghcr.io": {\n\t\t\t"auth": "bmV3Om5ldw=="\n\t\t}\n\t}\n}`
    ],
    [
      "one line",
      `{"auths":{"quay.io":{}}}`,
      `{"auths":{"quay.io":{},"ghcr.io":{"auth":"bmV3Om5ldw=="}}}`
    ],
    [
      "one line with spaces",
      `{ "auths": { "quay.io": {} } }`,
      `{"auths":{"quay.io":{},"ghcr.io":{"auth":"bmV3Om5ldw=="}}}`
    ],
    [
      "no auths",
      `{"credsStore":""}`,
      `{"credsStore":"","auths":{"ghcr.io":{"auth":"bmV3Om5ldw=="}}}`
    ],
    ["null for auths", `{"auths": null}`, `{"auths":{"ghcr.io":{"auth":"bmV3Om5ldw=="}}}`],
    [
      "empty auths",
      `{\n  "auths": {}\n}\n`,
      `{\n  "auths": {\n    "ghcr.io": {\n      "auth": "bmV3Om5ldw=="\n    }\n  }\n}\n`
    ],
    ["auths in Go's spelling", `{"AUTHS":{}}`, `{"AUTHS":{"ghcr.io":{"auth":"bmV3Om5ldw=="}}}`],
    [
      "line ends of Windows",
      `{\r\n  "auths": {}\r\n}`,
      `{\r\n  "auths": {\r\n    "ghcr.io": {\r\n      "auth": "bmV3Om5ldw=="\r\n    }\r\n  }\r\n}`
    ]
  ])("to %s", (_, text, expected) => expect(stored(text)).toBe(expected))
})

describe("an entry is replaced", () => {
  it.each([
    [
      "where it stands",
      `{"auths":{"a":{},"ghcr.io":{"auth":"b2xk"},"b":{}}}`,
      `{"auths":{"a":{},"ghcr.io":{"auth":"bmV3Om5ldw=="},"b":{}}}`
    ],
    [
      "under another spelling",
      `{"auths":{"https://ghcr.io/v1/":{"auth":"b2xk"},"b":{}}}`,
      `{"auths":{"ghcr.io":{"auth":"bmV3Om5ldw=="},"b":{}}}`
    ],
    [
      "in all spellings at once",
      `{"auths":{"https://ghcr.io":{"auth":"1"},"ghcr.io":{"auth":"2"},"GHCR.io:443":{"auth":"3"},"b":{}}}`,
      `{"auths":{"ghcr.io":{"auth":"bmV3Om5ldw=="},"b":{}}}`
    ],
    [
      "in every auths",
      `{"auths":{"ghcr.io":{"auth":"1"},"a":{}},"b":1,"Auths":{"ghcr.io":{"auth":"2"}},"auths":{"https://ghcr.io":{}}}`,
      `{"auths":{"a":{},"ghcr.io":{"auth":"bmV3Om5ldw=="}},"b":1}`
    ],
    [
      "twice under one key",
      `{"auths":{"ghcr.io":{"auth":"1"},"ghcr.io":{"auth":"2"}}}`,
      `{"auths":{"ghcr.io":{"auth":"bmV3Om5ldw=="}}}`
    ],
    [
      "in another form",
      `{"auths":{"ghcr.io":{"Username":"a","password":"b","identitytoken":"c","registrytoken":"d"}}}`,
      `{"auths":{"ghcr.io":{"auth":"bmV3Om5ldw=="}}}`
    ],
    [
      "without its own members",
      `{"auths":{"ghcr.io":{"auth":"b2xk","email":"a@b","n":1.0}}}`,
      `{"auths":{"ghcr.io":{"email":"a@b","n":1.0,"auth":"bmV3Om5ldw=="}}}`
    ],
    ["that is null", `{"auths":{"ghcr.io":null}}`, `{"auths":{"ghcr.io":{"auth":"bmV3Om5ldw=="}}}`],
    [
      "with an escaped name",
      `{"auths":{"gh\\u0063r.io":{"auth":"b2xk"}}}`,
      `{"auths":{"ghcr.io":{"auth":"bmV3Om5ldw=="}}}`
    ]
  ])("%s", (_, text, expected) => expect(stored(text)).toBe(expected))

  it("by none, which a helper has", () => {
    expect(stored(`{"auths":{"ghcr.io":{"auth":"b2xk","email":"a@b"}}}`, {})).toBe(
      `{"auths":{"ghcr.io":{"email":"a@b"}}}`
    )
    expect(stored(`{"auths":{"ghcr.io":{"auth":"b2xk"}}}`, {})).toBe(`{"auths":{"ghcr.io":{}}}`)
  })
})

describe("an entry is removed", () => {
  it.each([
    [
      "between others",
      `{ "auths": { "a": {}, "ghcr.io": {}, "b": {} } }`,
      `{"auths":{"a":{},"b":{}}}`
    ],
    ["before others", `{ "auths": { "ghcr.io": {}, "b": {} } }`, `{"auths":{"b":{}}}`],
    ["after others", `{ "auths": { "a": {}, "ghcr.io": {} } }`, `{"auths":{"a":{}}}`],
    ["alone", `{\n\t"auths": {\n\t\t"ghcr.io": {}\n\t}\n}`, `{\n\t"auths": {}\n}`],
    [
      "in all spellings",
      `{"auths":{"https://ghcr.io":{},"a":{},"ghcr.io":{},"ghcr.io":{}},"AUTHS":{"ghcr.io":{}}}`,
      `{"auths":{"a":{}}}`
    ]
  ])("%s", (_, text, expected) => expect(erased(text)).toBe(expected))

  it("of another host stays", () => {
    expect(erased(docker)).toBe(docker)
    expect(erased("")).toBe("")
  })

  it("in the form of .dockercfg", () => {
    expect(AuthFileEdit.withoutEntries(`{"ghcr.io":{"auth":"x"},"a":{}}`, isGhcr, true)).toBe(
      `{"a":{}}`
    )
  })
})

const key = FastCheck.oneof(
  FastCheck.constantFrom(...spellings, "quay.io", "ghcr.io/owner", "1", "__proto__"),
  FastCheck.string()
)
const file = FastCheck.record(
  {
    auths: FastCheck.dictionary(key, FastCheck.dictionary(FastCheck.string(), FastCheck.string())),
    other: FastCheck.jsonValue()
  },
  { requiredKeys: [] }
).chain((json) =>
  FastCheck.constantFrom(undefined, "\t", "  ").map((space) => JSON.stringify(json, null, space))
)

it("whatever is in a file, it stays JSON, has the entry once, and all else as it was", () => {
  FastCheck.assert(
    FastCheck.property(file, (text) => {
      const before = JSON.parse(text)
      const others = Object.entries(before.auths ?? {}).filter(([key]) => !isGhcr(key))
      const after = JSON.parse(stored(text))
      expect(after.other).toEqual(before.other)
      expect(after.auths["ghcr.io"]).toMatchObject(login)
      expect(Object.entries(after.auths).filter(([key]) => key !== "ghcr.io")).toEqual(others)
      expect(Object.entries(JSON.parse(erased(text)).auths ?? {})).toEqual(others)
      expect(stored(stored(text))).toBe(stored(text))
    })
  )
})
