import { describe, expect, it } from "@effect/vitest"
import * as ReferrersApi from "../../src/client/manifests/ReferrersApi.js"

const response = (
  status: number,
  other: Partial<ReferrersApi.Response> = {}
): ReferrersApi.Response => ({
  status,
  redirects: [],
  isPage: false,
  foreign: false,
  codes: [],
  ...other
})
const elsewhere = { redirects: [307], foreign: true }

describe("a response that is not a success says", () => {
  it.each([
    ["404", response(404), "absent"],
    ["405", response(405), "absent"],
    ["406", response(406), "absent"],
    ["400", response(400), "absent"],
    ["501", response(501), "absent"],
    ["a code", response(403, { codes: ["UNSUPPORTED"] }), "absent"],
    ["404 of another host", response(404, elsewhere), "absent"],
    ["403 of another host", response(403, elsewhere), "absent"],
    ["a page that a redirect led to", response(503, { redirects: [302], isPage: true }), "absent"],
    ["a 303", response(429, { redirects: [307, 303], foreign: true }), "absent"]
  ] as const)("that there is no list: %s (C88, rule 16)", (_, given, expected) => {
    expect(ReferrersApi.refused(given)).toBe(expected)
  })

  it.each([
    ["403", response(403), "failed"],
    ["408", response(408), "failed"],
    ["429", response(429), "failed"],
    ["503", response(503), "failed"],
    ["503 with a page of the proxy before it", response(503, { isPage: true }), "failed"],
    ["429 of another host", response(429, elsewhere), "failed"],
    ["501 of another host", response(501, elsewhere), "failed"],
    ["400 with the code of a limit", response(400, { codes: ["TOOMANYREQUESTS"] }), "failed"],
    ["400 with that of a denial", response(400, { codes: ["DENIED"] }), "failed"]
  ] as const)("nothing of that: %s (trap 43)", (_, given, expected) => {
    expect(ReferrersApi.refused(given)).toBe(expected)
  })
})

it("a list is written only after an error that is certain", () => {
  const unsupported = (status: number) => ReferrersApi.isAbsence({ _tag: "Unsupported", status })
  expect([400, 403, 404, 405, 406].filter(unsupported)).toEqual([400, 403, 404, 405, 406])
  expect([408, 429, 500, 501, 502, 503, 504].filter(unsupported)).toEqual([])
  expect(ReferrersApi.isAbsence({ _tag: "NotAList", status: 200 })).toBe(true)
  expect(ReferrersApi.isAbsence({ _tag: "RegistryFailure", status: 404 })).toBe(false)
})
