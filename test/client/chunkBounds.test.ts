/** What a registry says of the size of chunks (C46), and what is made of it. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import type { PutBlobOptions } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as Transfer from "../../src/Transfer.js"
import type { Reply } from "../support/fake/Handler.js"
import { gather, generated, utf8 } from "../support/fixtures.js"
import { scripted } from "../support/scripted.js"

const repository = Effect.runSync(Reference.parseRepositoryName("a"))
const big = 100_000
const bigBytes = Effect.runSync(gather(generated(big)))
const other = Digest.fromBytes(utf8("other"))

/** A registry that takes everything and has these headers for a new session. */
const bounded = (headers: Record<string, string>) =>
  scripted(({ line }): Reply => {
    if (line.startsWith("POST")) return { status: 202, headers: { location: "/u/1", ...headers } }
    if (line.startsWith("HEAD")) return { status: 404 }
    if (line.startsWith("PUT")) return { status: 201 }
    return line.startsWith("PATCH")
      ? { status: 202, headers: { location: "/u/1" } }
      : { status: 204, headers: { range: "0-9" } }
  })

const patches = (wire: ReadonlyArray<string>) =>
  wire
    .filter((line) => line.startsWith("PATCH"))
    .map((line) => line.replace("PATCH /u/1", "").trim())

const known = BlobSource.fromStream(generated(big), { size: big })
const unknown = BlobSource.fromStream(generated(big))
const once = BlobSource.fromStreamOnce(generated(big))
const onceKnown = BlobSource.fromStreamOnce(generated(big), { size: big })

const min = (length: number) => ({ "oci-chunk-min-length": String(length) })
const max = (length: number) => ({ "oci-chunk-max-length": String(length) })
const beyondMemory = 200 * 1024 * 1024

describe("an upload", () => {
  it.live.each([
    [
      "small chunks are as large as they must be",
      min(40_000),
      known,
      { chunkSize: 10 },
      ["0-39999", "40000-79999", "80000-99999"]
    ],
    [
      "of a minimum that no memory should hold, the source is the only chunk",
      min(beyondMemory),
      known,
      { chunkSize: 10 },
      ["0-99999"]
    ],
    ["also where its size is unknown", min(beyondMemory), unknown, { chunkSize: 10 }, [""]],
    ["or where it can be read once", min(beyondMemory), once, { chunkSize: 10 }, [""]],
    ["whatever is known of it", min(beyondMemory), onceKnown, { strategy: "chunked" }, ["0-99999"]],
    ["a minimum of 0 is none", min(0), unknown, {}, [""]],
    ["a maximum of 0 is none", max(0), known, {}, ["0-99999"]],
    [
      "nor does it make chunks of a byte",
      max(0),
      known,
      { chunkSize: 50_000 },
      ["0-49999", "50000-99999"]
    ],
    ["what is no size is none", {}, known, { chunkSize: 0 }, ["0-99999"]],
    ["nor is less than a byte", {}, known, { chunkSize: 0.5 }, ["0-99999"]],
    ["nor what is no number", {}, known, { chunkSize: Number.NaN }, ["0-99999"]],
    ["no chunk is as large as no memory is", {}, unknown, { chunkSize: 1e12 }, ["0-99999"]],
    ["or larger still", {}, once, { chunkSize: Number.POSITIVE_INFINITY }, ["0-99999"]],
    ["a maximum bounds chunks", max(60_000), known, {}, ["0-59999", "60000-99999"]],
    ["also where the size is unknown", max(60_000), once, {}, ["0-59999", "60000-99999"]],
    [
      "and wins over a minimum that contradicts it",
      { ...min(80_000), ...max(50_000) },
      known,
      {},
      ["0-49999", "50000-99999"]
    ]
  ] as ReadonlyArray<
    readonly [
      string,
      Record<string, string>,
      BlobSource.BlobSource,
      PutBlobOptions,
      ReadonlyArray<string>
    ]
  >)("%s", ([, headers, source, options, expected]) =>
    Effect.gen(function* () {
      const { registry, wire } = yield* bounded(headers)
      expect(yield* registry.putBlob(repository, source, options)).toMatchObject({ size: big })
      expect(patches(wire)).toEqual(expected)
    })
  )
})

describe("a session", () => {
  it.live("shows the bounds, keeps them in its state, and knows them again", () =>
    Effect.gen(function* () {
      const { registry, wire } = yield* bounded({ ...min(10), ...max(25) })
      const bounds = { chunkMinLength: 10, chunkMaxLength: 25 }
      const state = yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* registry.startUpload(repository)
          expect(session).toMatchObject(bounds)
          yield* session.write(bigBytes.subarray(0, 10))
          return yield* session.detach
        })
      )
      expect(state).toMatchObject({ ...bounds, offset: 10 })
      const stored = yield* Schema.encode(Transfer.UploadState)(state)
      const read = yield* Schema.decodeUnknown(Transfer.UploadState)(
        JSON.parse(JSON.stringify(stored))
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* registry.resumeUpload(read)
          expect(session).toMatchObject(bounds)
          yield* session.write(bigBytes.subarray(10, 70))
          yield* session.write(Stream.make(bigBytes.subarray(70, 100), bigBytes.subarray(100, 130)))
        })
      )
      expect(patches(wire)).toEqual([
        "0-9",
        "10-34",
        "35-59",
        "60-69",
        "70-94",
        "95-119",
        "120-129"
      ])
    })
  )

  it.live("gathers no chunk that no memory should hold", () =>
    Effect.gen(function* () {
      const { registry, wire } = yield* bounded({ ...min(beyondMemory), ...max(2 * beyondMemory) })
      const session = yield* registry.startUpload(repository)
      yield* session.write(generated(big))
      expect(patches(wire)).toEqual([""])
    }).pipe(Effect.scoped)
  )

  it.live("has none where the registry says nothing, and reads states without them", () =>
    Effect.gen(function* () {
      const { registry } = yield* bounded({})
      const session = yield* registry.startUpload(repository)
      expect([session.chunkMinLength, session.chunkMaxLength]).toEqual([undefined, undefined])
      const old = { repository: "a", location: "/u/1", offset: 5 }
      expect(yield* Schema.decodeUnknown(Transfer.UploadState)(old)).toEqual(old)
      expect(yield* session.state).not.toHaveProperty("chunkMinLength")
    }).pipe(Effect.scoped)
  )

  it.live.each([
    [undefined, "POST /v2/a/blobs/uploads/"],
    [{ algorithm: "sha256" }, "POST /v2/a/blobs/uploads/"],
    [{ algorithm: "sha512" }, "POST /v2/a/blobs/uploads/?digest-algorithm=sha512"],
    [{ algorithm: "blake3" }, "POST /v2/a/blobs/uploads/?digest-algorithm=blake3"]
  ] as const)("is opened for digests of an algorithm (C45): %j", ([options, line]) =>
    Effect.gen(function* () {
      const { registry, wire } = yield* bounded({})
      yield* Effect.scoped(registry.startUpload(repository, options))
      expect(wire[0]).toBe(line)
    })
  )
})

describe("a digest that is not the one that was meant (C61)", () => {
  const mistaken: Reply = { status: 201, headers: { "docker-content-digest": other } }
  const digest = Digest.fromBytes(bigBytes)
  const from = Effect.runSync(Reference.parseRepositoryName("b"))

  it.live("is no mount", () =>
    Effect.gen(function* () {
      const { registry } = yield* scripted(() => mistaken)
      expect(yield* Effect.flip(registry.mountBlob(repository, digest, from))).toMatchObject({
        _tag: "DigestMismatch",
        expected: digest,
        actual: other,
        status: 201
      })
    })
  )

  it.live.each(["single", "put", "direct", "patch"] as const)("is no upload by %s", (strategy) =>
    Effect.gen(function* () {
      const { registry } = yield* scripted(({ line }) => {
        if (line.startsWith("HEAD")) return { status: 404 }
        return line === "POST /v2/a/blobs/uploads/" || line.startsWith("PATCH")
          ? { status: 202, headers: { location: "/u/1" } }
          : mistaken
      })
      const source = BlobSource.fromStream(generated(big), { size: big, digest })
      expect(yield* Effect.flip(registry.putBlob(repository, source, { strategy }))).toMatchObject({
        _tag: "DigestMismatch",
        expected: digest,
        actual: other
      })
    })
  )

  it.live("is none of another algorithm", () =>
    Effect.gen(function* () {
      const { registry } = yield* scripted(() => ({
        status: 201,
        headers: { "docker-content-digest": Digest.fromBytes(bigBytes, "sha512") }
      }))
      expect(yield* registry.mountBlob(repository, digest, from)).toBe(true)
    })
  )
})
