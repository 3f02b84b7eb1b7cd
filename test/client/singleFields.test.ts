/** Header fields with a single value that come blank, twice, or joined, over sockets. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { askedClientOf } from "../support/fake/Client.js"
import type { Parts, Seen } from "../support/fake/Handler.js"
import { namedOrigin } from "../support/fake/Sockets.js"
import { gather, utf8 } from "../support/fixtures.js"

const repository = Effect.runSync(Reference.parseRepositoryName("a"))
const hello = utf8("hello, world")
const digest = Digest.fromBytes(hello)
const other = Digest.fromBytes(utf8("other"))

const world = Effect.fnUntraced(function* (respond: (request: Seen) => Parts) {
  const log: Array<string> = []
  const url = yield* namedOrigin("registry", log, (request) =>
    request.line === "GET /v2/" ? { status: 200 } : respond(request)
  )
  const client = yield* askedClientOf(url)
  log.length = 0
  return { client, log }
})

/** Of a Location, and of the Content-Range of a part, what is left to nobody's guess. */
const unusable = [
  ["blank", () => ""],
  ["white space", () => "  "],
  ["repeated", (value: string) => [value, `${value}2`]],
  ["repeated as it is", (value: string) => [value, value]],
  ["joined", (value: string) => `${value}, ${value}2`]
] as const

describe("a Location that is needed", () => {
  const moments: ReadonlyArray<
    readonly [
      string,
      (location: string | ReadonlyArray<string>) => (request: Seen) => Parts,
      number
    ]
  > = [
    ["of a new session", (location) => () => ({ status: 202, headers: { location } }), 1],
    [
      "of a chunk",
      (location) =>
        ({ line }) => ({
          status: 202,
          headers: { location: line.startsWith("POST") ? "/u/0" : location }
        }),
      2
    ],
    ["of a redirect", (location) => () => ({ status: 307, headers: { location } }), 1]
  ]
  for (const [moment, respond, requests] of moments)
    it.scoped.each(unusable)(`${moment} is not used when it is %s`, ([, write]) =>
      Effect.gen(function* () {
        const { client, log } = yield* world((request) =>
          request.line.startsWith("DELETE") ? { status: 204 } : respond(write("/u/1"))(request)
        )
        const source = BlobSource.fromStream(Stream.make(hello))
        expect(yield* Effect.flip(client.putBlob(repository, source))).toMatchObject({
          _tag: "ProtocolViolation"
        })
        expect(log.filter((line) => !line.includes("DELETE"))).toHaveLength(requests)
      })
    )

  it.scoped("may hold commas", () =>
    Effect.gen(function* () {
      const location = "/u/1?a=1,2&b=/c,/d"
      const { client, log } = yield* world(({ line }) =>
        line.startsWith("PUT") ? { status: 201 } : { status: 202, headers: { location } }
      )
      yield* client.putBlob(repository, BlobSource.fromStream(Stream.make(hello)))
      expect(log[1]).toBe(`registry PATCH ${location} - [12]`)
    })
  )
})

describe("the Content-Range of a part", () => {
  it.scoped.each(unusable)("is not used when it is %s", ([, write]) =>
    Effect.gen(function* () {
      const { client } = yield* world(() => ({
        status: 206,
        headers: { "content-range": write("bytes 0-4/12") },
        body: "hello"
      }))
      expect(
        yield* Effect.flip(gather(client.getBlobRange(repository, digest, { start: 0, end: 4 })))
      ).toMatchObject({ _tag: "ProtocolViolation" })
    })
  )
})

describe("other fields that are repeated", () => {
  it.scoped.each([
    ["one digest twice is that digest", [other, other], "DigestMismatch"],
    ["two digests are none (rule 7)", [digest, other], undefined],
    ["a blank digest is none", "", undefined]
  ] as const)("%s", ([, announced, expected]) =>
    Effect.gen(function* () {
      const { client } = yield* world(() => ({
        status: 200,
        headers: {
          "docker-content-digest": announced,
          "content-length": "12"
        }
      }))
      const result = yield* Effect.either(client.headBlob(repository, digest))
      expect(result).toMatchObject(
        expected === undefined ? { _tag: "Right" } : { left: { _tag: expected } }
      )
    })
  )

  it.scoped.each([
    ["one range twice is that range", ["0-4", "0-4"], 5],
    ["two ranges are none (rule 10)", ["0-4", "0-9"], 0],
    ["a blank range is none", "", 0]
  ] as const)("%s", ([, range, offset]) =>
    Effect.gen(function* () {
      const { client } = yield* world(({ line }) => ({
        status: line.startsWith("POST") ? 202 : 204,
        headers: { location: "/u/1", range: range }
      }))
      const state = yield* Effect.scoped(
        Effect.flatMap(client.startUpload(repository), ({ status }) => status)
      )
      expect(state).toMatchObject({ offset })
    })
  )

  it.scoped.each([
    ["one wait twice is that wait", ["7", "7"], 7000],
    ["two waits are none", ["7", "9"], undefined]
  ] as const)("%s", ([, wait, expected]) =>
    Effect.gen(function* () {
      const { client } = yield* world(() => ({
        status: 503,
        headers: { "retry-after": wait }
      }))
      expect(yield* Effect.flip(client.getManifest(repository, digest))).toMatchObject({
        _tag: "RegistryFailure",
        retryAfter: expected
      })
    })
  )
})
