/** What errors say to people, and what they are to the handlers of a service. */
import { describe, expect, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as RegistryError from "../src/RegistryError.js"
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

it("a location that leads nowhere is named without a host", () => {
  const facts = { kind: "Upload", reason: "it is blank" } as const
  const message = (host: string) => new RegistryError.UntrustedLocation({ ...facts, host }).message
  expect(message("")).toBe(
    "The registry supplied an upload location, which is not followed: it is blank"
  )
  expect(message("b.test")).toBe(
    "The registry supplied an upload location on b.test, which is not followed: it is blank"
  )
})

const repository = "owner/name"
const digest = "sha256:00"
const served = { method: "GET", url: "https://registry.test/v2/", status: 200 }
const refused = { ...served, status: 400 }
const denied = { reason: "Challenge", origin: "https://registry.test" } as const
const mismatch = { expected: digest, actual: digest }

/** Errors, and the group, the status for a client of a service, and whether it may pass. */
const all: ReadonlyArray<
  readonly [
    RegistryError.RegistryError,
    group: "absent" | "unauthorized" | "other",
    status: number,
    transient?: boolean
  ]
> = [
  [
    new RegistryError.AuthChallenge({
      origin: "https://registry.test",
      challenges: [],
      scopes: [],
      sent: "nothing",
      answerable: false
    }),
    "unauthorized",
    401
  ],
  [new Unauthorized(denied), "unauthorized", 401],
  [new RegistryError.Denied({}), "unauthorized", 403],
  [new RegistryError.CredentialsFailure({ source: "a", problem: "b", fix: "c" }), "other", 500],
  [new RegistryError.NameUnknown({ repository }), "absent", 404],
  [new RegistryError.ManifestUnknown({ repository, reference: "v1" }), "absent", 404],
  [new RegistryError.BlobUnknown({ repository }), "absent", 404],
  [new RegistryError.UploadUnknown({ repository }), "absent", 404],
  [new RegistryError.TooManyRequests({}), "other", 429, true],
  [new RegistryError.Unsupported({ operation: "this" }), "other", 501],
  [new RegistryFailure({}), "other", 502],
  [new RegistryFailure({ status: 400 }), "other", 502],
  [new RegistryFailure({ status: 408 }), "other", 504, true],
  [new RegistryFailure({ status: 413 }), "other", 413],
  [new RegistryFailure({ status: 500 }), "other", 502, true],
  [new RegistryFailure({ status: 503 }), "other", 503, true],
  [new RegistryFailure({ status: 504 }), "other", 504, true],
  [new RegistryError.DigestMismatch(mismatch), "other", 400],
  [new RegistryError.DigestMismatch({ ...refused, expected: digest }), "other", 400],
  [new RegistryError.DigestMismatch({ ...served, ...mismatch }), "other", 502],
  [new RegistryError.SizeMismatch({ expected: 1, actual: 2 }), "other", 400],
  [new RegistryError.SizeMismatch({ ...served, expected: 1, actual: 2 }), "other", 502],
  [new RegistryError.MediaTypeMismatch({ expected: "a/b", actual: "c/d" }), "other", 400],
  [
    new RegistryError.MediaTypeMismatch({ expected: "a/b", actual: "c/d", manifest: "a:b" }),
    "other",
    502
  ],
  [new RegistryError.InvalidManifest({ reason: "Json", message: "no" }), "other", 400],
  [
    new RegistryError.InvalidManifest({ reason: "Json", message: "no", manifest: "a:b" }),
    "other",
    502
  ],
  [new RegistryError.RangeMismatch({ expected: "bytes=-1-", actual: "" }), "other", 416],
  [
    new RegistryError.RangeMismatch({ ...served, status: 416, expected: "a", actual: "" }),
    "other",
    416
  ],
  [new RegistryError.RangeMismatch({ ...served, expected: "a", actual: "b" }), "other", 502],
  [new RegistryError.InvalidReference({ input: "", reason: "Empty", message: "a" }), "other", 400],
  [new RegistryError.InvalidDigest({ input: "", reason: "Syntax" }), "other", 400],
  [new RegistryError.InvalidUrl({ url: "a", problem: "b" }), "other", 400],
  [new RegistryError.LimitExceeded({ what: "A file", limit: 1 }), "other", 413],
  [new RegistryError.LimitExceeded({ ...served, what: "A list", limit: 1 }), "other", 502],
  [new RegistryError.UntrustedLocation({ kind: "Realm", host: "a", reason: "b" }), "other", 502],
  [new RegistryError.ProtocolViolation({ problem: "a" }), "other", 502],
  [new RegistryError.TransportFailure({ reason: "Connect" }), "other", 502, true],
  [new RegistryError.TransportFailure({ reason: "Tls" }), "other", 502],
  [new RegistryError.TransportFailure({ reason: "Proxy" }), "other", 502],
  [new RegistryError.TransportFailure({ reason: "Malformed" }), "other", 502],
  [new RegistryError.TransportFailure({ reason: "Reset" }), "other", 502, true],
  [new RegistryError.TransportFailure({ reason: "Timeout" }), "other", 504, true],
  [new RegistryError.TransportFailure({ reason: "Stall" }), "other", 504, true],
  [new RegistryError.StorageFailure({ path: "/a" }), "other", 500],
  [new RegistryError.BodyNotReplayable({ step: "This" }), "other", 503]
]

describe("to the handlers of a service", () => {
  it.each(
    all.map(([error, group, status, transient = false]) => ({ error, group, status, transient }))
  )("$error._tag is $group, $status", ({ error, group, status, transient }) => {
    expect(RegistryError.isAbsent(error)).toBe(group === "absent")
    expect(RegistryError.isUnauthorized(error)).toBe(group === "unauthorized")
    expect(RegistryError.isTransient(error)).toBe(transient)
    expect(RegistryError.httpStatus(error)).toBe(status)
    expect(RegistryError.toPublic(error)).toStrictEqual({
      _tag: error._tag,
      message: error.message
    })
  })

  it("an error is known after it was encoded and decoded", () => {
    const encoded = JSON.parse(
      JSON.stringify(
        Schema.encodeSync(RegistryError.BlobUnknown)(new RegistryError.BlobUnknown({ repository }))
      )
    )
    const decoded = Schema.decodeUnknownSync(RegistryError.BlobUnknown)(encoded)
    expect(RegistryError.isAbsent(decoded)).toBe(true)
  })

  it.each([
    ["nothing", undefined],
    ["null", null],
    ["a text", "BlobUnknown"],
    ["an error of somebody else", new Error("no")],
    ["one with the same tag", { _tag: "BlobUnknown", repository, message: "no" }]
  ])("%s is none of these", (_, u) => {
    expect(RegistryError.isAbsent(u)).toBe(false)
    expect(RegistryError.isUnauthorized(u)).toBe(false)
    expect(RegistryError.isTransient(u)).toBe(false)
    expect(RegistryError.httpStatus(u)).toBeUndefined()
  })
})
