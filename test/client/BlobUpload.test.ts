/**
 * The requests of uploads, one by one, against registries that differ as quirks §3 has it.
 * Locations and ranges are written by hand.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import type { PutBlobOptions } from "../../src/Registry.js"
import { TransportFailure } from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as Transfer from "../../src/Transfer.js"
import { type Handler, inOrder, type Reply, type Seen } from "../support/fake/Handler.js"
import { gather, generated, items, unverifiableDigest, utf8 } from "../support/fixtures.js"
import { scripted } from "../support/scripted.js"

class Boom extends Data.TaggedError("Boom") {}

const repository = Effect.runSync(Reference.parseRepositoryName("a"))

// `printf 'hello, world' | sha256sum`
const hello = utf8("hello, world")
const helloDigest = "sha256:09ca7e4eaa6e8ae9c7d261167129184883644d07dfba7cbfbc4c8a2e08360d5b"
const encodedHello = helloDigest.replace(":", "%3A")

const big = 100_000
const bigBytes = Effect.runSync(gather(generated(big)))
const bigDigest = Digest.fromBytes(bigBytes)
const encodedBig = bigDigest.replace(":", "%3A")
const bigSha512 = Digest.fromBytes(bigBytes, "sha512")

const opened = (location: string, headers: Record<string, string> = {}): Reply => ({
  status: 202,
  headers: { location, ...headers }
})
const created: Reply = { status: 201, headers: { location: "/v2/a/blobs/x" } }
const missing: Reply = { status: 404 }
const refused = (status: number, code: string): Reply => ({
  status,
  body: JSON.stringify({ errors: [{ code }] })
})

const known = BlobSource.fromStream(generated(big), { digest: bigDigest, size: big })
const sized = BlobSource.fromStream(generated(big), { size: big })
const unknown = BlobSource.fromStream(generated(big))
const once = BlobSource.fromStreamOnce(generated(big))

const put = Effect.fnUntraced(function* <E>(
  source: BlobSource.BlobSource<E>,
  replies: ReadonlyArray<Reply> | Handler,
  options?: Parameters<Effect.Effect.Success<ReturnType<typeof scripted>>["registry"]["putBlob"]>[2]
) {
  const { registry, wire } = yield* scripted(
    typeof replies === "function" ? replies : inOrder(replies)
  )
  const result = yield* Effect.either(registry.putBlob(repository, source, options))
  return { wire, result }
})

describe("the forms of an upload", () => {
  it.live.each([
    [
      "a small blob goes in one POST (C41, C43)",
      BlobSource.fromBytes(hello),
      [missing, created],
      [`HEAD /v2/a/blobs/${helloDigest}`, `POST /v2/a/blobs/uploads/?digest=${encodedHello}`]
    ],
    [
      "a small blob of unknown digest, too, read once",
      BlobSource.fromStreamOnce(Stream.make(hello), { size: 12 }),
      [created],
      [`POST /v2/a/blobs/uploads/?digest=${encodedHello}`]
    ],
    [
      "a single POST refused falls back to a session",
      BlobSource.fromBytes(hello),
      [missing, refused(400, "BLOB_UPLOAD_INVALID"), opened("/u/1"), created],
      [
        `HEAD /v2/a/blobs/${helloDigest}`,
        `POST /v2/a/blobs/uploads/?digest=${encodedHello}`,
        "POST /v2/a/blobs/uploads/",
        `PUT /u/1?digest=${encodedHello}`
      ]
    ],
    [
      "content of known digest and size goes into the closing PUT (C37)",
      known,
      [missing, opened("/u/1"), created],
      [
        `HEAD /v2/a/blobs/${bigDigest}`,
        "POST /v2/a/blobs/uploads/",
        `PUT /u/1?digest=${encodedBig}`
      ]
    ],
    [
      "content of unknown digest goes in one PATCH, with its range if the size is known (C47, C48)",
      sized,
      [opened("/u/1"), opened("/u/2"), created],
      ["POST /v2/a/blobs/uploads/", "PATCH /u/1 0-99999", `PUT /u/2?digest=${encodedBig}`]
    ],
    [
      "content of unknown digest and size goes into one PATCH without a range (C56)",
      unknown,
      [opened("/u/1"), opened("/u/2"), created],
      ["POST /v2/a/blobs/uploads/", "PATCH /u/1", `PUT /u/2?digest=${encodedBig}`]
    ],
    [
      "of a digest of another algorithm the session is told (C45, trap 24)",
      BlobSource.fromStream(generated(big), { digest: bigSha512, size: big }),
      [missing, opened("/u/1"), created],
      [
        `HEAD /v2/a/blobs/${bigSha512}`,
        "POST /v2/a/blobs/uploads/?digest-algorithm=sha512",
        `PUT /u/1?digest=${bigSha512.replace(":", "%3A")}`
      ]
    ],
    [
      "also where it goes in a PATCH, its size unknown",
      BlobSource.fromStream(generated(big), { digest: bigSha512 }),
      [missing, opened("/u/1"), opened("/u/2"), created],
      [
        `HEAD /v2/a/blobs/${bigSha512}`,
        "POST /v2/a/blobs/uploads/?digest-algorithm=sha512",
        "PATCH /u/1",
        `PUT /u/2?digest=${bigSha512.replace(":", "%3A")}`
      ]
    ],
    [
      "no bytes are a session and a closing PUT (trap 15)",
      BlobSource.fromStream(Stream.empty, { size: 0 }),
      [opened("/u/1"), created],
      [
        "POST /v2/a/blobs/uploads/",
        "PUT /u/1?digest=sha256%3Ae3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
      ]
    ]
  ] as ReadonlyArray<
    readonly [string, BlobSource.BlobSource, ReadonlyArray<Reply>, ReadonlyArray<string>]
  >)("%s", ([, source, replies, requests]) =>
    Effect.gen(function* () {
      const { result, wire } = yield* put(source, replies)
      expect(wire).toEqual(requests)
      expect(result).toMatchObject({ _tag: "Right" })
    })
  )

  it.live("sends the bytes and their length with each form", () =>
    Effect.gen(function* () {
      for (const [source, options] of [
        [known, { strategy: "put" }],
        [known, { strategy: "single" }],
        [known, { strategy: "direct" }],
        [sized, { strategy: "patch" }]
      ] as const) {
        const bodies: Array<Seen> = []
        yield* put(
          source,
          (received) => {
            if (received.bytes.length > 0) bodies.push(received)
            if (received.line.startsWith("HEAD")) return missing
            if (received.line === "POST /v2/a/blobs/uploads/") return opened("/u/1")
            return received.line.startsWith("PATCH") ? opened("/u/2") : created
          },
          options
        )
        expect(bodies.map(({ bytes }) => Digest.fromBytes(bytes))).toEqual([bigDigest])
        expect(bodies[0]?.headers).toMatchObject({
          "content-length": String(big),
          "content-type": "application/octet-stream"
        })
      }
    })
  )

  it.live("sends nothing of what has a digest that cannot be computed (C17)", () =>
    Effect.gen(function* () {
      const { result, wire } = yield* put(
        BlobSource.fromStream(generated(big), { digest: yield* unverifiableDigest }),
        []
      )
      expect(result).toMatchObject({ left: { _tag: "InvalidDigest", reason: "Algorithm" } })
      expect(wire).toEqual([])
    })
  )

  it.live.each([403, 405, 400])(
    "takes a HEAD that is answered with %s for no answer (trap 23)",
    (status) =>
      Effect.gen(function* () {
        const { result, wire } = yield* put(known, [{ status }, opened("/u/1"), created])
        expect(result).toMatchObject({ right: { digest: bigDigest } })
        expect(wire).toHaveLength(3)
      })
  )

  it.live(
    "is no success where the registry says that it closed the session as something else (C61)",
    () =>
      Effect.gen(function* () {
        const other = { status: 201, headers: { "docker-content-digest": helloDigest } }
        const { result } = yield* put(sized, [opened("/u/1"), opened("/u/2"), other])
        expect(result).toMatchObject({
          left: { _tag: "DigestMismatch", expected: bigDigest, actual: helloDigest }
        })
      })
  )

  it.live("puts a blob at its own path where asked to, and nowhere else", () =>
    Effect.gen(function* () {
      const { wire } = yield* put(sized, [created], { strategy: "direct" })
      expect(wire).toEqual([`PUT /v2/a/blobs/${bigDigest}`])
      const other = yield* put(known, [missing, refused(405, "UNSUPPORTED")], {
        strategy: "direct"
      })
      expect(other.result).toMatchObject({ left: { _tag: "Unsupported" } })
      expect(other.wire).toEqual([`HEAD /v2/a/blobs/${bigDigest}`, `PUT /v2/a/blobs/${bigDigest}`])
    })
  )
})

describe("what a registry refuses", () => {
  /** A registry whose PATCH is refused, and that takes all else. */
  const withoutPatch =
    (reply: Reply) =>
    ({ line }: Seen): Reply =>
      line.startsWith("PATCH")
        ? reply
        : line.startsWith("POST")
          ? opened("/u/1")
          : line.startsWith("PUT")
            ? created
            : { status: 204 }

  it.live("a source that can be read once cannot be sent another way: the error says so", () =>
    Effect.gen(function* () {
      const { result } = yield* put(once, withoutPatch(refused(405, "UNSUPPORTED")))
      expect(result).toMatchObject({ left: { _tag: "BodyNotReplayable" } })
    })
  )

  it.live("a registry that wants chunks, and takes none, gets the whole", () =>
    Effect.gen(function* () {
      const healthy = withoutPatch(refused(405, "UNSUPPORTED"))
      const { result, wire } = yield* put(unknown, (received) =>
        received.line.startsWith("POST")
          ? opened("/u/1", { "oci-chunk-min-length": "40000" })
          : healthy(received)
      )
      expect(result).toMatchObject({ right: { digest: bigDigest } })
      expect(wire).toEqual([
        "POST /v2/a/blobs/uploads/",
        "PATCH /u/1 0-99999",
        "DELETE /u/1",
        "POST /v2/a/blobs/uploads/",
        `PUT /u/1?digest=${encodedBig}`
      ])
    })
  )

  it.live(
    "a registry that fails to close, as any may for a while, is asked the same way the next time",
    () =>
      Effect.gen(function* () {
        const { registry, wire } = yield* scripted(({ body, line }) => {
          if (line.startsWith("PUT")) return body.length === 0 ? refused(500, "UNKNOWN") : created
          return line.startsWith("HEAD") ? missing : opened("/u/1")
        })
        for (const _ of [1, 2])
          expect(yield* registry.putBlob(repository, unknown)).toMatchObject({ digest: bigDigest })
        expect(wire.filter((line) => line.startsWith("PATCH"))).toEqual([
          "PATCH /u/1",
          "PATCH /u/1"
        ])
      })
  )

  it.live("a form asked for by name is the only one tried", () =>
    Effect.gen(function* () {
      const { result, wire } = yield* put(sized, withoutPatch(refused(405, "UNSUPPORTED")), {
        strategy: "patch"
      })
      expect(result).toMatchObject({ left: { _tag: "Unsupported" } })
      expect(wire).toEqual(["POST /v2/a/blobs/uploads/", "PATCH /u/1 0-99999", "DELETE /u/1"])
    })
  )
})

describe("chunks", () => {
  it.live(
    "that are sent again, elsewhere, have the same bytes, and so have those that follow",
    () =>
      Effect.gen(function* () {
        let stored = new Uint8Array()
        let chunks = 0
        const { result, wire } = yield* put(
          sized,
          ({ bytes, line }) => {
            if (line.startsWith("PATCH") && ++chunks === 2)
              return { status: 307, headers: { location: "/elsewhere" } }
            if (chunks > 9) return refused(400, "ENDLESS")
            stored = Buffer.concat([stored, bytes])
            return line.startsWith("PUT") ? created : opened("/u/1")
          },
          { chunkSize: 30_000 }
        )
        expect(wire).toEqual([
          "POST /v2/a/blobs/uploads/",
          "PATCH /u/1 0-29999",
          "PATCH /u/1 30000-59999",
          "PATCH /elsewhere 30000-59999",
          "PATCH /u/1 60000-89999",
          "PATCH /u/1 90000-99999",
          `PUT /u/1?digest=${encodedBig}`
        ])
        expect(result).toMatchObject({ right: { digest: bigDigest, size: big } })
        expect(Digest.fromBytes(stored)).toBe(bigDigest)
      })
  )

  it.live("are watched to the last byte", () =>
    Effect.gen(function* () {
      const { registry } = yield* scripted(({ line }) =>
        line.startsWith("PUT") ? created : opened("/u/1")
      )
      const events = yield* items(
        Transfer.events(registry.putBlob(repository, sized, { chunkSize: 30_000 }))
      )
      expect(events.findLast(({ _tag }) => _tag === "Bytes")).toMatchObject({ offset: big })
    })
  )

  it.live("have the default size instead of none, and no part of a byte", () =>
    Effect.gen(function* () {
      const source = BlobSource.fromStream(Stream.make(hello), { size: 12 })
      for (const [chunkSize, count] of [
        [0, 1],
        [-1, 1],
        [Number.NaN, 1],
        [5.5, 3]
      ] as const) {
        let left = 20
        const { result, wire } = yield* put(
          source,
          ({ line }) =>
            left-- === 0
              ? refused(400, "ENDLESS")
              : line.startsWith("PUT")
                ? created
                : opened("/u/1"),
          { chunkSize }
        )
        expect(result).toMatchObject({ right: { digest: helloDigest } })
        expect(wire.filter((line) => line.startsWith("PATCH"))).toHaveLength(count)
      }
    })
  )
})

describe("after a fault", () => {
  const status = (range: string | undefined, location?: string): Reply => ({
    status: 204,
    headers: { ...(range !== undefined && { range }), ...(location !== undefined && { location }) }
  })

  it.live.each([
    [
      "a PATCH goes on from the byte the registry names, at the location it names (C52)",
      sized,
      [opened("/u/1"), "cut", status("0-49999", "/u/2"), opened("/u/3"), created],
      ["PATCH /u/1 0-99999", "GET /u/1", "PATCH /u/2 50000-99999", `PUT /u/3?digest=${encodedBig}`]
    ],
    [
      "with the size unknown, in chunks, whose ranges the registry can check",
      unknown,
      [opened("/u/1"), "cut", status("0-49999"), opened("/u/3"), created],
      ["PATCH /u/1", "GET /u/1", "PATCH /u/1 50000-99999", `PUT /u/3?digest=${encodedBig}`]
    ],
    [
      "a session without a Range starts where it was (trap 4)",
      sized,
      [opened("/u/1"), "cut", status(undefined), opened("/u/2"), created],
      ["PATCH /u/1 0-99999", "GET /u/1", "PATCH /u/1 0-99999", `PUT /u/2?digest=${encodedBig}`]
    ],
    [
      "a closing PUT that failed in truth succeeded (500, lost answer): the blob is there",
      known,
      [
        missing,
        opened("/u/1"),
        refused(500, "UNKNOWN"),
        { status: 200, headers: { "content-length": "100000" } },
        refused(404, "BLOB_UPLOAD_UNKNOWN")
      ],
      [`PUT /u/1?digest=${encodedBig}`, `HEAD /v2/a/blobs/${bigDigest}`, "DELETE /u/1"]
    ],
    [
      "an empty closing PUT, too",
      sized,
      [
        opened("/u/1"),
        opened("/u/2"),
        "cut",
        { status: 200, headers: { "content-length": "100000" } },
        refused(404, "BLOB_UPLOAD_UNKNOWN")
      ],
      [
        "PATCH /u/1 0-99999",
        `PUT /u/2?digest=${encodedBig}`,
        `HEAD /v2/a/blobs/${bigDigest}`,
        "DELETE /u/2"
      ]
    ],
    [
      "a closing PUT that failed in truth failed, and is sent again",
      sized,
      [opened("/u/1"), opened("/u/2"), refused(503, "UNAVAILABLE"), missing, created],
      [
        "PATCH /u/1 0-99999",
        `PUT /u/2?digest=${encodedBig}`,
        `HEAD /v2/a/blobs/${bigDigest}`,
        `PUT /u/2?digest=${encodedBig}`
      ]
    ],
    [
      "a closing PUT sent again finds its session closed, and the blob there",
      sized,
      [
        opened("/u/1"),
        opened("/u/2"),
        "cut",
        missing,
        refused(404, "BLOB_UPLOAD_UNKNOWN"),
        { status: 200, headers: { "content-length": "100000" } },
        refused(404, "BLOB_UPLOAD_UNKNOWN")
      ],
      [
        "PATCH /u/1 0-99999",
        `PUT /u/2?digest=${encodedBig}`,
        `HEAD /v2/a/blobs/${bigDigest}`,
        `PUT /u/2?digest=${encodedBig}`,
        `HEAD /v2/a/blobs/${bigDigest}`,
        "DELETE /u/2"
      ]
    ],
    [
      "the POST that opens a session is repeated",
      sized,
      [refused(503, "UNAVAILABLE"), opened("/u/1"), opened("/u/2"), created],
      ["PATCH /u/1 0-99999", `PUT /u/2?digest=${encodedBig}`]
    ]
  ] as ReadonlyArray<
    readonly [string, BlobSource.BlobSource, ReadonlyArray<Reply>, ReadonlyArray<string>]
  >)("%s", ([, source, replies, requests]) =>
    Effect.gen(function* () {
      const { result, wire } = yield* put(source, replies)
      expect(wire.slice(wire.findIndex((line) => !/^(HEAD|POST)/.test(line)))).toEqual(requests)
      expect(result).toMatchObject({ _tag: "Right", right: { digest: bigDigest, size: big } })
    })
  )

  it.live("a blob that is there needs no warning where its session cannot be cancelled", () =>
    Effect.gen(function* () {
      const warned: Array<unknown> = []
      const { result, wire } = yield* put(sized, [
        opened("/u/1"),
        opened("/u/2"),
        "cut",
        { status: 200, headers: { "content-length": "100000" } },
        refused(405, "UNSUPPORTED")
      ]).pipe(
        Effect.provide(
          Logger.replace(
            Logger.defaultLogger,
            Logger.make(({ logLevel, message }) => {
              if (LogLevel.greaterThanEqual(logLevel, LogLevel.Warning)) warned.push(message)
            })
          )
        )
      )
      expect(wire.at(-1)).toBe("DELETE /u/2")
      expect(result).toMatchObject({ _tag: "Right" })
      expect(warned).toEqual([])
    })
  )

  it.live.each([
    [
      "a registry that names a byte beyond what was sent is not believed: all is sent again",
      sized,
      {},
      [
        opened("/u/1"),
        "cut",
        status("0-149999"),
        { status: 204 },
        opened("/u/2"),
        opened("/u/3"),
        created
      ],
      [
        "PATCH /u/1 0-99999",
        "GET /u/1",
        "DELETE /u/1",
        "POST /v2/a/blobs/uploads/",
        "PATCH /u/2 0-99999",
        `PUT /u/3?digest=${encodedBig}`
      ]
    ],
    [
      "nor one that names a byte beyond the chunk in hand",
      unknown,
      { chunkSize: 60_000 },
      [
        opened("/u/1"),
        "cut",
        status("0-79999"),
        { status: 204 },
        opened("/u/2"),
        opened("/u/3"),
        opened("/u/4"),
        created
      ],
      [
        "PATCH /u/1 0-59999",
        "GET /u/1",
        "DELETE /u/1",
        "POST /v2/a/blobs/uploads/",
        "PATCH /u/2 0-59999",
        "PATCH /u/3 60000-99999",
        `PUT /u/4?digest=${encodedBig}`
      ]
    ],
    [
      "a session that is unknown when it is to be closed is begun anew (C55)",
      sized,
      {},
      [opened("/u/1"), opened("/u/2"), missing, missing, opened("/u/3"), opened("/u/4"), created],
      [
        "PATCH /u/1 0-99999",
        `PUT /u/2?digest=${encodedBig}`,
        "DELETE /u/2",
        "POST /v2/a/blobs/uploads/",
        "PATCH /u/3 0-99999",
        `PUT /u/4?digest=${encodedBig}`
      ]
    ],
    [
      "a session that is unknown, as olareg says it with 400, is begun anew as well",
      sized,
      {},
      [
        opened("/u/1"),
        refused(400, "BLOB_UPLOAD_UNKNOWN"),
        missing,
        opened("/u/2"),
        opened("/u/3"),
        created
      ],
      [
        "PATCH /u/1 0-99999",
        "DELETE /u/1",
        "POST /v2/a/blobs/uploads/",
        "PATCH /u/2 0-99999",
        `PUT /u/3?digest=${encodedBig}`
      ]
    ],
    [
      "a session that is unknown when a chunk comes is not asked for its status",
      unknown,
      { chunkSize: 60_000 },
      [opened("/u/1"), missing, missing, opened("/u/2"), opened("/u/3"), opened("/u/4"), created],
      [
        "PATCH /u/1 0-59999",
        "DELETE /u/1",
        "POST /v2/a/blobs/uploads/",
        "PATCH /u/2 0-59999",
        "PATCH /u/3 60000-99999",
        `PUT /u/4?digest=${encodedBig}`
      ]
    ]
  ] as ReadonlyArray<
    readonly [
      string,
      BlobSource.BlobSource,
      PutBlobOptions,
      ReadonlyArray<Reply>,
      ReadonlyArray<string>
    ]
  >)("%s", ([, source, options, replies, requests]) =>
    Effect.gen(function* () {
      const { result, wire } = yield* put(source, replies, options)
      expect(wire).toEqual(["POST /v2/a/blobs/uploads/", ...requests])
      expect(result).toMatchObject({ right: { digest: bigDigest, size: big } })
    })
  )

  it.live("a registry that takes nothing is given up, whatever it says", () =>
    Effect.gen(function* () {
      let left = 99
      const forgetful = yield* put(sized, ({ line }) => {
        if (left-- === 0) return refused(400, "ENDLESS")
        return line.startsWith("POST") ? opened("/u/1") : missing
      })
      expect(forgetful.result).toMatchObject({ left: { _tag: "UploadUnknown" } })
      expect(forgetful.wire.filter((line) => line.startsWith("PATCH"))).toHaveLength(4)
      let patches = 0
      const stubborn = yield* put(sized, ({ line }) => {
        if (line.startsWith("PATCH"))
          return ++patches === 1 ? "cut" : { status: patches > 99 ? 400 : 416 }
        return line.startsWith("GET") ? status("0-49999") : opened("/u/1")
      })
      expect(stubborn.result).toMatchObject({ left: { _tag: "RangeMismatch" } })
      expect(patches).toBeLessThan(10)
    })
  )

  it.live(
    "a registry that cannot close what was sent in a stream that is gone fails with that",
    () =>
      Effect.gen(function* () {
        const { result } = yield* put(once, ({ line }) =>
          line.startsWith("PUT")
            ? refused(500, "UNKNOWN")
            : line.startsWith("HEAD")
              ? missing
              : opened("/u/1")
        )
        expect(result).toMatchObject({ left: { _tag: "RegistryFailure", status: 500 } })
      })
  )

  it.live(
    "a chunk in hand is sent again, of a source that can be read once as well (C51, C52)",
    () =>
      Effect.gen(function* () {
        const { result, wire } = yield* put(
          once,
          [
            opened("/u/1"),
            opened("/u/2"),
            "cut",
            status("0-59999"),
            opened("/u/3"),
            opened("/u/4"),
            created
          ],
          { chunkSize: 40_000 }
        )
        expect(wire).toEqual([
          "POST /v2/a/blobs/uploads/",
          "PATCH /u/1 0-39999",
          "PATCH /u/2 40000-79999",
          "GET /u/2",
          "PATCH /u/2 60000-79999",
          "PATCH /u/3 80000-99999",
          `PUT /u/4?digest=${encodedBig}`
        ])
        expect(result).toMatchObject({ right: { digest: bigDigest } })
      })
  )

  it.live(
    "a source to be read once is not read again: the error says so, and the session is cancelled",
    () =>
      Effect.gen(function* () {
        const { result, wire } = yield* put(once, [
          opened("/u/1"),
          "cut",
          status("0-49999"),
          { status: 204 }
        ])
        expect(result).toMatchObject({ left: { _tag: "BodyNotReplayable" } })
        expect(wire).toEqual(["POST /v2/a/blobs/uploads/", "PATCH /u/1", "GET /u/1", "DELETE /u/1"])
      })
  )

  it.live("a PATCH answered before its body was read has not stored all of it", () =>
    Effect.gen(function* () {
      const replies = inOrder([
        opened("/u/1"),
        opened("/u/2"),
        status("0-49999"),
        opened("/u/3"),
        created
      ])
      const { registry, wire } = yield* scripted(replies, { unread: "PATCH /u/1" })
      expect(yield* registry.putBlob(repository, sized)).toMatchObject({ digest: bigDigest })
      expect(wire).toEqual([
        "POST /v2/a/blobs/uploads/",
        "PATCH /u/1 0-99999",
        "GET /u/2",
        "PATCH /u/2 50000-99999",
        `PUT /u/3?digest=${encodedBig}`
      ])
    })
  )

  it.live("no progress ends it, with the fault", () =>
    Effect.gen(function* () {
      const { result, wire } = yield* put(sized, ({ line }) =>
        line.startsWith("PATCH") ? "cut" : line.startsWith("GET") ? status("0-0") : opened("/u/1")
      )
      expect(result).toMatchObject({ left: { _tag: "TransportFailure", reason: "Reset" } })
      expect(wire.filter((line) => line.startsWith("PATCH"))).toHaveLength(4)
    })
  )

  it.live("progress earns all attempts anew", () =>
    Effect.gen(function* () {
      let stored = 0
      const { result } = yield* put(sized, ({ line }) => {
        if (line.startsWith("PATCH") && stored < 90_000) {
          stored += 10_000
          return "cut"
        }
        return line.startsWith("GET")
          ? status(`0-${stored - 1}`)
          : line.startsWith("PUT")
            ? created
            : opened("/u/1")
      })
      expect(result).toMatchObject({ right: { size: big } })
    })
  )

  it.live(
    "the failure of a source is its own, whatever it looks like, and nothing is tried again",
    () =>
      Effect.gen(function* () {
        for (const error of [new Boom(), new TransportFailure({ reason: "Reset" })]) {
          const failing = Stream.concat(Stream.take(generated(big), 1), Stream.fail(error))
          for (const options of [{}, { chunkSize: 10_000 }, { strategy: "put" }] as const) {
            const source = BlobSource.fromStream<Boom | TransportFailure, never>(failing)
            const { result, wire } = yield* put(
              source,
              ({ line }) => (line.startsWith("DELETE") ? { status: 204 } : opened("/u/1")),
              options
            )
            expect(result).toMatchObject({ left: error })
            expect(wire.filter((line) => line.startsWith("GET") || line.startsWith("PUT"))).toEqual(
              []
            )
          }
        }
      })
  )

  it.live("tells of the fault, and from where it goes on", () =>
    Effect.gen(function* () {
      const { registry } = yield* scripted(
        inOrder([opened("/u/1"), "cut", status("0-49999"), opened("/u/2"), created])
      )
      const events = yield* items(Transfer.events(registry.putBlob(repository, sized)))
      expect(events.filter(({ _tag }) => _tag !== "Bytes")).toMatchObject([
        { _tag: "Started" },
        { _tag: "Retried", offset: 0, problem: expect.stringContaining("broke") },
        { _tag: "Resumed", offset: 50_000 },
        { _tag: "Verified", digest: bigDigest },
        { _tag: "Completed", skipped: false },
        { _tag: "Result" }
      ])
    })
  )

  it.live("tells of it where all is done again", () =>
    Effect.gen(function* () {
      for (const [strategy, replies] of [
        ["patch", [opened("/u/1"), missing, missing, opened("/u/2"), opened("/u/2"), created]],
        ["direct", [missing, "cut", missing, created]]
      ] as const) {
        const { registry } = yield* scripted(inOrder(replies))
        const source = strategy === "patch" ? sized : known
        const events = yield* items(
          Transfer.events(registry.putBlob(repository, source, { strategy }))
        )
        expect(events.filter(({ _tag }) => _tag !== "Bytes")).toMatchObject([
          { _tag: "Started" },
          { _tag: "Retried", offset: 0 },
          { _tag: "Resumed", offset: 0 },
          { _tag: "Verified", digest: bigDigest },
          { _tag: "Completed", skipped: false },
          { _tag: "Result" }
        ])
      }
    })
  )
})

describe("a single POST by name", () => {
  it.live("that opens a session instead is an error that says where, and the session goes", () =>
    Effect.gen(function* () {
      const { result, wire } = yield* put(known, [missing, opened("/u/1"), { status: 204 }], {
        strategy: "single"
      })
      expect(result).toMatchObject({
        left: {
          _tag: "Unsupported",
          method: "POST",
          url: `http://registry.test/v2/a/blobs/uploads/?digest=${encodedBig}`,
          status: 202
        }
      })
      expect(wire.at(-1)).toBe("DELETE /u/1")
    })
  )
})

describe("what mountFrom brings", () => {
  it.live("the session of a mount that was refused is used (C59), with no single POST", () =>
    Effect.gen(function* () {
      const from = yield* Reference.parseRepositoryName("b")
      const source = BlobSource.fromBytes(hello)
      const { result, wire } = yield* put(source, [opened("/u/1"), created], { mountFrom: from })
      expect(wire).toEqual([
        `POST /v2/a/blobs/uploads/?mount=${encodedHello}&from=b`,
        `PUT /u/1?digest=${encodedHello}`
      ])
      expect(result).toMatchObject({ right: { digest: source.digest } })
    })
  )

  it.live("a mount whose answer is lost, or that meets passing trouble, is tried again", () =>
    Effect.gen(function* () {
      const from = yield* Reference.parseRepositoryName("b")
      const there: Reply = { status: 200, headers: { "content-length": String(big) } }
      const { result, wire } = yield* put(
        known,
        ["cut", refused(503, "UNAVAILABLE"), created, there],
        {
          mountFrom: from
        }
      )
      const mount = `POST /v2/a/blobs/uploads/?mount=${encodedBig}&from=b`
      expect(wire).toEqual([mount, mount, mount, `HEAD /v2/a/blobs/${bigDigest}`])
      expect(result).toMatchObject({ right: { digest: bigDigest } })
    })
  )
})

describe("a source that is not what it was, or not what it says", () => {
  const status: Reply = { status: 204, headers: { range: "0-49999" } }

  /** Opened for the first time it has `big` bytes, and later only 60,000. */
  const shrinking = (known: BlobSource.Known) => {
    let opens = 0
    return BlobSource.make((offset) => {
      if (++opens > 9) return Stream.dieMessage("opened again and again")
      return ByteStream.drop(generated(opens === 1 ? big : 60_000), offset)
    }, known)
  }

  it.live("that is shorter when it is read again fails, whatever was known of it", () =>
    Effect.gen(function* () {
      for (const [known, replies] of [
        [{}, [opened("/u/1"), "cut", status]],
        [{ digest: bigDigest }, [missing, opened("/u/1"), "cut", missing, status]]
      ] as const) {
        const { result, wire } = yield* put(shrinking(known), [...replies, opened("/u/2"), created])
        expect(result).toMatchObject({
          left: { _tag: "SizeMismatch", expected: big, actual: 60_000 }
        })
        expect(wire.at(-1)).toBe("DELETE /u/1")
      }
    })
  )

  it.live("that is read for its digest is not sent at all where its size is another one", () =>
    Effect.gen(function* () {
      for (const strategy of ["direct", "put"] as const) {
        const source = BlobSource.fromStream(generated(big), { size: big + 1 })
        const { result, wire } = yield* put(source, [], { strategy })
        expect(result).toMatchObject({
          left: { _tag: "SizeMismatch", expected: big + 1, actual: big }
        })
        expect(wire).toEqual([])
      }
    })
  )

  it.live("that is in memory is not sent at all where it is something else (T7)", () =>
    Effect.gen(function* () {
      for (const [bytes, requests] of [
        [hello, [`HEAD /v2/a/blobs/${bigDigest}`]],
        [
          bigBytes.map((byte) => byte ^ 1),
          [`HEAD /v2/a/blobs/${bigDigest}`, "POST /v2/a/blobs/uploads/", "DELETE /u/1"]
        ]
      ] as const) {
        const source = { ...BlobSource.fromBytes(bytes), digest: bigDigest }
        const { result, wire } = yield* put(source, [missing, opened("/u/1"), { status: 204 }])
        expect(result).toMatchObject({ left: { _tag: "DigestMismatch", expected: bigDigest } })
        expect(wire).toEqual(requests)
      }
    })
  )

  it.live.each(["direct", "single", "put"] as const)(
    "that says a wrong size is no success where another upload brings the blob meanwhile: %s",
    (strategy) =>
      Effect.gen(function* () {
        let looked = 0
        const { registry } = yield* scripted(
          ({ line }) =>
            line.startsWith("HEAD")
              ? looked++ === 0
                ? missing
                : { status: 200, headers: { "content-length": String(big) } }
              : line === "POST /v2/a/blobs/uploads/"
                ? opened("/u/1")
                : line.startsWith("GET")
                  ? { status: 204 }
                  : refused(503, "UNAVAILABLE"),
          {
            unread: {
              direct: `PUT /v2/a/blobs/${bigDigest}`,
              single: "POST /v2/a/blobs/uploads/",
              put: "PUT /u/1"
            }[strategy]
          }
        )
        const liar = BlobSource.fromStream(generated(big), { digest: bigDigest, size: big + 1 })
        const error = yield* Effect.flip(registry.putBlob(repository, liar, { strategy }))
        expect(error).toMatchObject({ _tag: "RegistryFailure", status: 503 })
      })
  )
})
