/**
 * What HTTP clients fail with, in the words and codes of undici and of the runtimes that have
 * `fetch`.
 */
import { inspect } from "node:util"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { expect, it } from "@effect/vitest"
import * as Sent from "../../src/auth/internal/Sent.js"
import * as ClientFailure from "../../src/client/http/ClientFailure.js"
import { defaultLimits } from "../../src/client/http/Limits.js"
import { isTransient } from "../../src/RegistryError.js"

const signed = "https://s3.example/b?X-Amz-Signature=hunter2"
const request = HttpClientRequest.get(signed)

const failed = (cause: unknown) =>
  ClientFailure.ofRequest(
    request,
    new HttpClientError.RequestError({ request, reason: "Transport", cause }),
    { limits: defaultLimits, sent: Sent.of(request) }
  )

const codes: ReadonlyArray<readonly [code: string, reason: string]> = [
  ["ECONNREFUSED", "Connect"],
  ["ENOTFOUND", "Connect"],
  ["EAI_AGAIN", "Connect"],
  ["UND_ERR_CONNECT_TIMEOUT", "Connect"],
  ["CERT_HAS_EXPIRED", "Tls"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "Tls"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "Tls"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "Tls"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "Tls"],
  ["EPROTO", "Tls"],
  ["UND_ERR_PRX_TLS", "Tls"],
  ["ECONNRESET", "Reset"],
  ["UND_ERR_SOCKET", "Reset"],
  ["EPIPE", "Reset"],
  ["UND_ERR_HEADERS_TIMEOUT", "Timeout"],
  ["", "Reset"]
]

it.each(codes)("%s, however deep, is %s", (code, reason) => {
  const cause = new TypeError("fetch failed", {
    cause: Object.assign(new Error("inner"), { code })
  })
  expect(failed(cause)).toMatchObject({ _tag: "TransportFailure", reason })
})

it.each([407, 403, 400, 405, 502, 503, 504])(
  "a proxy that answers %i to CONNECT refuses, unless the trouble may pass",
  (status) => {
    const refused = Object.assign(
      new Error(`Proxy response (${status}) !== 200 when HTTP Tunneling`),
      {
        code: "UND_ERR_ABORTED"
      }
    )
    const error = failed(new TypeError("fetch failed", { cause: refused }))
    expect(error).toMatchObject({
      _tag: "TransportFailure",
      reason: status >= 500 ? "Connect" : "Proxy",
      status,
      message: expect.stringContaining(`answered ${status}`)
    })
    expect(isTransient(error)).toBe(status >= 500)
  }
)

it("a proxy that wants a password for plain http is told of in words as well", () => {
  const cause = Object.assign(new Error("Proxy Authentication Required (407)"), {
    code: "UND_ERR_INVALID_ARG"
  })
  expect(failed(cause)).toMatchObject({ _tag: "TransportFailure", reason: "Proxy", status: 407 })
})

const deno = (words: string) =>
  new TypeError("fetch failed", {
    cause: new Error(`error sending request for url (${signed}): client error (Connect): ${words}`)
  })

it.each([
  ["Deno", "Connect", deno("tcp connect error: Connection refused (os error 111)")],
  [
    "Deno",
    "Connect",
    deno("dns error: failed to lookup address information: Name or service not known")
  ],
  ["Deno", "Tls", deno("received corrupt message of type InvalidContentType")],
  ["Deno", "Tls", deno("invalid peer certificate: UnknownIssuer")],
  ["Deno", "Reset", new TypeError("error reading a body from connection")],
  [
    "Bun",
    "Connect",
    Object.assign(new TypeError("Unable to connect. Is the computer able to access the url?"), {
      path: signed,
      code: "ECONNREFUSED"
    })
  ],
  [
    "Bun",
    "Tls",
    Object.assign(new TypeError("self signed certificate"), {
      path: signed,
      code: "DEPTH_ZERO_SELF_SIGNED_CERT"
    })
  ]
] as const)("as %s has it, is %s, and shows no signed query (T13)", (_, reason, cause) => {
  const error = failed(cause)
  expect(error).toMatchObject({ _tag: "TransportFailure", reason })
  expect(`${inspect(error, { depth: 9 })}${JSON.stringify(error)}`).not.toContain("hunter2")
  const response = HttpClientResponse.fromWeb(request, new Response())
  const broken = ClientFailure.ofBody(
    new HttpClientError.ResponseError({ request, response, reason: "Decode", cause })
  )
  expect(`${inspect(broken, { depth: 9 })}${JSON.stringify(broken)}`).not.toContain("hunter2")
})

it.each([
  [
    { code: "ECONNREFUSED", address: "127.0.0.1", port: 3128 },
    "No connection to the registry: ECONNREFUSED 127.0.0.1:3128"
  ],
  [
    { code: "ECONNREFUSED", address: "::1", port: 3128 },
    "No connection to the registry: ECONNREFUSED [::1]:3128"
  ],
  [
    { code: "ENOTFOUND", hostname: "proxy.test" },
    "No connection to the registry: ENOTFOUND proxy.test"
  ],
  [
    { code: "EAI_AGAIN", hostname: "a\nb" },
    "No connection to the registry: EAI_AGAIN; its name cannot be looked up now"
  ],
  [{ code: "ERR_SSL_WRONG_VERSION_NUMBER" }, "if it speaks plain http"]
])("what was not reached is said in words, be it a proxy: %o", (facts, words) => {
  expect(
    failed(new TypeError("fetch failed", { cause: Object.assign(new Error("inner"), facts) }))
  ).toMatchObject({
    message: expect.stringContaining(words)
  })
})
