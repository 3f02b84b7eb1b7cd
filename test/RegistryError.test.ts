/** What errors say to people. */
import { expect, it } from "@effect/vitest"
import { RegistryFailure, Unauthorized } from "../src/RegistryError.js"

const errors = [{ code: "UNAUTHORIZED", message: "no" }]

it("a refusal is said to come from the server that gave it: token server or storage", () => {
  const url = "https://auth.test/token"
  expect(
    new Unauthorized({
      reason: "TokenServer",
      origin: "https://registry.test",
      method: "GET",
      url,
      status: 401,
      errors
    }).message
  ).toBe(
    'The token server of https://registry.test gave no token: log in, or check the user name and password: the server says UNAUTHORIZED "no" (GET https://auth.test/token answered 401)'
  )
  expect(new RegistryFailure({ errors: [{ code: "AccessDenied" }] }).message).toBe(
    "The registry failed: the server says AccessDenied"
  )
})
