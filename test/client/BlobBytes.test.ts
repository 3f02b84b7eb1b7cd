/** The requests of blobs that are read as a whole, and what a registry that fails makes of them. */
import { gzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as Transfer from "../../src/Transfer.js"
import { clientOver } from "../support/fake/Client.js"
import { inOrder, type Reply, status } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { gather, generated, items, utf8 } from "../support/fixtures.js"
import { scripted } from "../support/scripted.js"

const repository = Effect.runSync(Reference.parseRepositoryName("a"))
const b1 = utf8("b1")
const digest = Digest.fromBytes(b1)
const large = Effect.runSync(gather(generated(100_000)))
const largeDigest = Digest.fromBytes(large)
const url = `/v2/a/blobs/${digest}`

/** The first `upTo` bytes, and then a connection that breaks. */
const broken = (content: Uint8Array, upTo: number): Reply => ({
  status: 200,
  headers: { "content-length": String(content.length) },
  body: () => {
    let isSent = false
    return new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          if (isSent || upTo === 0) controller.error(new Error("reset"))
          else controller.enqueue(content.slice(0, upTo))
          isSent = true
        }
      },
      { highWaterMark: 0 }
    )
  }
})

const pieces = (content: Uint8Array) => () =>
  new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (let at = 0; at < content.length; at += 10_000)
        controller.enqueue(content.slice(at, at + 10_000))
      controller.close()
    }
  })

const whole = (content: Uint8Array, headers: Record<string, string> = {}): Reply =>
  status(200, content, { "content-length": String(content.length), ...headers })

/** What comes of reading a blob from a registry that has these responses, and the ranges asked. */
const read = Effect.fnUntraced(function* (
  replies: ReadonlyArray<Reply>,
  blob: Digest.Digest,
  options: { readonly limit?: number } = {}
) {
  const ranges: Array<string> = []
  const answer = inOrder(replies)
  const { registry } = yield* scripted((received) => {
    expect(received.method).toBe("GET")
    ranges.push(received.headers["range"] ?? "whole")
    return answer(received)
  })
  const result = yield* Effect.either(registry.getBlobBytes(repository, blob, options))
  return { ranges, result }
})

describe("a whole blob", () => {
  it.live.each([
    ["takes one request", [whole(b1)], digest, ["whole"]],
    ["without an announced length, too", [status(200, b1)], digest, ["whole"]],
    ["that is not small takes one as well", [whole(large)], largeDigest, ["whole"]],
    [
      "that is small and breaks off is asked for again",
      [broken(b1, 1), broken(b1, 0), whole(b1)],
      digest,
      ["whole", "whole", "whole"]
    ],
    [
      "that is not small goes on where it broke off (C28)",
      [
        broken(large, 70_000),
        status(206, large.slice(70_000), { "content-range": "bytes 70000-99999/100000" })
      ],
      largeDigest,
      ["whole", "bytes=70000-"]
    ],
    [
      "of a registry that ignores ranges is asked for again",
      [broken(large, 70_000), whole(large)],
      largeDigest,
      ["whole", "bytes=70000-"]
    ],
    [
      "survives refusals that pass",
      [status(503), status(429, null, { "retry-after": "0" }), whole(b1)],
      digest,
      ["whole", "whole", "whole"]
    ],
    [
      "may come compressed (rule 20)",
      [whole(gzipSync(b1), { "content-encoding": "gzip" })],
      digest,
      ["whole"]
    ]
  ] as ReadonlyArray<
    readonly [string, ReadonlyArray<Reply>, Digest.Digest, ReadonlyArray<string>]
  >)("%s", ([, replies, blob, asked]) =>
    Effect.gen(function* () {
      const { ranges, result } = yield* read(replies, blob)
      expect(Either.map(result, (bytes) => Digest.fromBytes(bytes))).toEqual(Either.right(blob))
      expect(ranges).toEqual(asked)
    })
  )

  it.live.each([
    [
      "is other content",
      [whole(utf8("b2"))],
      {
        _tag: "DigestMismatch",
        expected: digest,
        actual: Digest.fromBytes(utf8("b2")),
        status: 200,
        url: `http://registry.test${url}`
      }
    ],
    ["is a part of it", [status(206, b1)], { _tag: "ProtocolViolation" }],
    ["has a range refused that was not asked for", [status(416)], { _tag: "ProtocolViolation" }],
    ["is not there", [status(404)], { _tag: "BlobUnknown", digest }],
    ["is denied", [status(403)], { _tag: "Denied" }],
    [
      "never comes whole",
      Array.from({ length: 9 }, () => broken(b1, 1)),
      { _tag: "TransportFailure", reason: "Reset" }
    ]
  ] as ReadonlyArray<readonly [string, ReadonlyArray<Reply>, object]>)(
    "that %s fails",
    ([, replies, error]) =>
      Effect.gen(function* () {
        const { result } = yield* read(replies, digest, { limit: 9 })
        expect(result).toMatchObject({ left: error })
      })
  )

  it.live.each([
    ["announced", whole(large)],
    ["not announced", status(200, large)],
    ["not announced, and in pieces", { status: 200, body: pieces(large) }],
    ["that of encoded bytes", whole(gzipSync(large), { "content-encoding": "gzip" })]
  ] as ReadonlyArray<readonly [string, Reply]>)(
    "that is longer than the limit fails, its length being %s (T10)",
    ([, reply]) =>
      Effect.gen(function* () {
        const { result } = yield* read([reply], largeDigest, { limit: 99_999 })
        expect(result).toMatchObject({
          left: {
            _tag: "LimitExceeded",
            limit: 99_999,
            status: 200,
            url: `http://registry.test/v2/a/blobs/${largeDigest}`
          }
        })
      })
  )

  it.live("is read behind a token, in the storage that a redirect leads to (T1)", () =>
    Effect.gen(function* () {
      const challenge = 'Bearer realm="https://registry.test/token",service="r"'
      const { client, log } = internet({
        "https://registry.test": ({ authorization, url }) =>
          url.pathname === "/token"
            ? Response.json({ token: "t1" })
            : authorization === "Bearer t1"
              ? status(307, null, { location: "https://storage.test/b1?X-Signature=s" })
              : status(401, null, { "www-authenticate": challenge }),
        "https://storage.test": () => whole(b1)
      })
      const registry = yield* clientOver(client, "https://registry.test")
      expect(yield* registry.getBlobBytes(repository, digest)).toEqual(b1)
      expect(log).toEqual([
        `GET https://registry.test${url} -`,
        "GET https://registry.test/token?service=r&client_id=effect-oci&scope=repository%3Aa%3Apull -",
        `GET https://registry.test${url} Bearer t1`,
        "GET https://storage.test/b1?X-Signature=s -"
      ])
    })
  )

  it.live("frees its permit: as many as one wants, one after the other and at once", () =>
    Effect.gen(function* () {
      const { client } = internet({ "http://registry.test": () => whole(large) })
      const registry = yield* clientOver(client, "http://registry.test", { concurrency: 1 })
      const one = registry.getBlobBytes(repository, largeDigest)
      yield* Effect.all(
        [one, Effect.flip(registry.getBlobBytes(repository, largeDigest, { limit: 1 })), one, one],
        {
          concurrency: "unbounded"
        }
      )
      // An observer may use the registry meanwhile.
      const observed = Transfer.events(one).pipe(
        Stream.mapEffect((event) => Effect.as(one, event._tag))
      )
      expect(yield* items(observed)).toContain("Result")
    })
  )
})

describe("content that the descriptor holds (I6)", () => {
  const descriptor = { mediaType: "text/plain", digest, size: b1.length, data: "YjE=" }

  it.effect("is taken from it, verified, without a request", () =>
    Effect.gen(function* () {
      const { client, log } = internet({ "http://r.test": () => status(500) })
      const registry = yield* clientOver(client, "http://r.test")
      expect(yield* gather(registry.getBlob(repository, descriptor))).toEqual(b1)
      expect(yield* registry.getBlobBytes(repository, descriptor)).toEqual(b1)
      const empty = {
        ...descriptor,
        digest: Digest.fromBytes(new Uint8Array(0)),
        size: 0,
        data: ""
      }
      expect(yield* registry.getBlobBytes(repository, empty)).toEqual(new Uint8Array(0))
      for (const [wrong, _tag] of [
        [{ ...descriptor, data: "YjI=" }, "DigestMismatch"],
        [{ ...descriptor, data: "YjEx" }, "SizeMismatch"],
        [{ ...descriptor, data: "?" }, "SizeMismatch"]
      ] as const) {
        const read = gather(registry.getBlob(repository, wrong))
        expect(yield* Effect.flip(read)).toMatchObject({ _tag })
        expect(yield* Effect.flip(registry.getBlobBytes(repository, wrong))).toMatchObject({ _tag })
      }
      const limit = { limit: 1 }
      const tooLong = yield* Effect.flip(registry.getBlobBytes(repository, descriptor, limit))
      expect(tooLong).toMatchObject({ _tag: "LimitExceeded" })
      expect(log).toEqual([])
    })
  )
})
