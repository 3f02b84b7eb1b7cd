import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Registry } from "../../src/Registry.js"
import * as RegistryError from "../../src/RegistryError.js"
import type { Options } from "../../src/server/RegistryServer.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { webHandler } from "../support/server.js"
import { type Answer, type Send, sender, sha256, sha512 } from "./wire.js"

const served = <A>(
  test: (send: Send) => Effect.Effect<A>,
  options?: Options & MemoryRegistry.Options
) =>
  Effect.flatMap(webHandler(options), (handler) => test(sender(handler))).pipe(
    Effect.provide(MemoryRegistry.layer(options))
  )

const b1 = "hello"
const b1Digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
const emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
const configDigest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
const absentDigest = `sha256:${"0".repeat(64)}`

const imageType = "application/vnd.oci.image.manifest.v1+json"
const indexType = "application/vnd.oci.image.index.v1+json"

/** Written with odd white space, which no serialiser would give back (R27). */
const m1 = `{ "schemaVersion": 2,
	"mediaType":"${imageType}",  "layers": [],
  "config": {"mediaType":"application/vnd.oci.empty.v1+json","digest":"${configDigest}","size":2} }
`
const m1Digest = sha256(m1)

const referrer = (name: string, subject: string, artifactType?: string): string =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: imageType,
    ...(artifactType === undefined ? {} : { artifactType }),
    config: { mediaType: "application/vnd.example.config", digest: configDigest, size: 2 },
    layers: [],
    subject: { mediaType: imageType, digest: subject, size: 1 },
    annotations: { name }
  })

const errors = (answer: Answer): unknown => JSON.parse(answer.body)

const pushBlob = (send: Send, repository: string, content: string, digest = sha256(content)) =>
  send("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
    body: content,
    headers: { "content-length": String(Buffer.byteLength(content)) }
  })

const pushManifest = (
  send: Send,
  repository: string,
  reference: string,
  content = m1,
  type = imageType
) =>
  send("PUT", `/v2/${repository}/manifests/${reference}`, {
    body: content,
    headers: { "content-type": type }
  })

const openUpload = (send: Send, repository: string) =>
  Effect.map(
    send("POST", `/v2/${repository}/blobs/uploads/`),
    ({ headers }) => headers["location"] ?? ""
  )

describe("end-1", () => {
  it.scoped("GET /v2/ says that this is a registry (R2)", () =>
    served((send) =>
      Effect.gen(function* () {
        expect(yield* send("GET", "/v2/")).toEqual({
          status: 200,
          headers: {
            "content-length": "2",
            "content-type": "application/json"
          },
          body: "{}"
        })
      })
    )
  )

  it.scoped("without the slash as well", () =>
    served((send) =>
      Effect.gen(function* () {
        for (const path of ["/v2", "/v2?a=b"]) {
          const { body, status } = yield* send("GET", path)
          expect([status, body]).toEqual([200, "{}"])
        }
        expect((yield* send("GET", "/v2a")).status).toBe(404)
      })
    )
  )
})

describe("HEAD", () => {
  it.scoped("is answered as GET is, without the body (RFC 9110 section 9.3.2)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", "{}")
        yield* pushManifest(send, "a", "v1")
        const paths = [
          "/v2/",
          "/v2/a/tags/list?n=1",
          "/v2/b/tags/list",
          "/v2/_catalog",
          `/v2/a/referrers/${m1Digest}`,
          "/v2/a/manifests/v1",
          `/v2/a/blobs/${configDigest}`,
          yield* openUpload(send, "a"),
          "/nowhere"
        ]
        for (const path of paths) {
          const { headers, status } = yield* send("GET", path)
          expect(yield* send("HEAD", path)).toEqual({ status, headers, body: "" })
        }
      })
    )
  )
})

describe("requests that are none", () => {
  it.scoped.each([
    ["GET", "/", 404, "UNSUPPORTED"],
    ["GET", "/v2/Upper/tags/list", 400, "NAME_INVALID"],
    ["GET", "/v2/a/manifests/-tag", 400, "TAG_INVALID"],
    ["GET", "/v2/a/manifests/sha256:beef", 400, "DIGEST_INVALID"],
    ["PUT", "/v2/a/manifests/sha256:beef", 400, "DIGEST_INVALID"],
    ["GET", "/v2/a/blobs/sha256:beef", 400, "DIGEST_INVALID"],
    ["GET", "/v2/a/referrers/sha256:beef", 400, "DIGEST_INVALID"],
    ["GET", "/v2/a/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID"],
    ["GET", "/v2/a%2F..%2Fb/tags/list", 404, "UNSUPPORTED"],
    ["POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", 400, "DIGEST_INVALID"]
  ] as const)("%s %s: %i %s (R13, R40)", ([method, path, status, code]) =>
    served((send) =>
      Effect.gen(function* () {
        const answer = yield* send(method, path)
        expect(answer.status).toBe(status)
        expect(answer.headers).toEqual({
          "content-type": "application/json",
          "content-length": String(answer.body.length)
        })
        expect(errors(answer)).toEqual({ errors: [{ code, message: expect.any(String) }] })
      })
    )
  )

  it.scoped("a method that the path does not take is a 405 that names those it takes", () =>
    served((send) =>
      Effect.gen(function* () {
        const answer = yield* send("PUT", "/v2/a/tags/list")
        expect(answer.status).toBe(405)
        expect(answer.headers["allow"]).toBe("GET, HEAD")
        expect(errors(answer)).toEqual({
          errors: [{ code: "UNSUPPORTED", message: "This path takes only GET, HEAD" }]
        })
      })
    )
  )
})

describe("manifests", () => {
  it.scoped(
    "a pushed manifest is at its Location, tag and digest, byte for byte (R3, R4, R7, R27, R28)",
    () =>
      served((send) =>
        Effect.gen(function* () {
          yield* pushBlob(send, "team/app", "{}")
          expect(
            yield* pushManifest(send, "team/app", "v1", m1, `${imageType}; charset=utf-8`)
          ).toEqual({
            status: 201,
            headers: {
              "content-length": "0",
              "docker-content-digest": m1Digest,
              location: `/v2/team/app/manifests/${m1Digest}`
            },
            body: ""
          })
          for (const reference of ["v1", m1Digest]) {
            const headers = {
              "content-length": String(m1.length),
              "content-type": imageType,
              "docker-content-digest": m1Digest,
              etag: `"${m1Digest}"`
            }
            const path = `/v2/team/app/manifests/${reference}`
            expect(yield* send("GET", path)).toEqual({ status: 200, headers, body: m1 })
            expect(yield* send("HEAD", path)).toEqual({ status: 200, headers, body: "" })
          }
        })
      )
  )

  it.scoped("unknown ones are a 404, also to HEAD (R8, R10)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", "{}")
        const unknown = yield* send("GET", "/v2/a/manifests/v1")
        expect(unknown.status).toBe(404)
        expect(errors(unknown)).toEqual({
          errors: [{ code: "MANIFEST_UNKNOWN", message: "Repository a has no manifest v1" }]
        })
        expect(errors(yield* send("GET", "/v2/b/manifests/v1"))).toEqual({
          errors: [{ code: "NAME_UNKNOWN", message: "Repository b is unknown" }]
        })
        const head = yield* send("HEAD", "/v2/a/manifests/v1")
        expect([head.status, head.body]).toEqual([404, ""])
      })
    )
  )

  it.scoped(
    "?tag= sets tags on a push by digest, sha512 too, listed in one OCI-Tag (R30, trap 35)",
    () =>
      served((send) =>
        Effect.gen(function* () {
          yield* pushBlob(send, "a", "{}")
          const digest = sha512(m1)
          expect(yield* pushManifest(send, "a", `${digest}?tag=v1&tag=latest`)).toEqual({
            status: 201,
            headers: {
              "content-length": "0",
              "docker-content-digest": digest,
              location: `/v2/a/manifests/${digest}`,
              "oci-tag": "v1, latest"
            },
            body: ""
          })
          expect(
            (yield* send("HEAD", "/v2/a/manifests/latest")).headers["docker-content-digest"]
          ).toBe(digest)
        })
      )
  )

  it.scoped("a hundred tags go in one request, one more is a 414 (R30)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", "{}")
        const put = (count: number) =>
          pushManifest(
            send,
            "a",
            `${m1Digest}?${Array.from({ length: count }, (_, n) => `tag=v${n}`).join("&")}`
          )
        expect((yield* put(100)).headers["oci-tag"]?.split(", ")).toHaveLength(100)
        const refused = yield* put(101)
        expect([refused.status, errors(refused)]).toEqual([
          414,
          { errors: [{ code: "TAG_INVALID", message: expect.any(String) }] }
        ])
      })
    )
  )

  it.scoped(
    "a manifest with an absent subject is taken, and OCI-Subject acknowledges it (R11, R32)",
    () =>
      served((send) =>
        Effect.gen(function* () {
          yield* pushBlob(send, "a", "{}")
          const answer = yield* pushManifest(send, "a", "signature", referrer("r1", absentDigest))
          expect([answer.status, answer.headers["oci-subject"]]).toEqual([201, absentDigest])
        })
      )
  )

  it.scoped("4 MiB are taken, one byte more is a 413 (R31)", () =>
    served((send) =>
      Effect.gen(function* () {
        const type = "application/vnd.example.manifest"
        const whole = "x".repeat(4 * 1024 * 1024)
        expect((yield* pushManifest(send, "a", "v1", whole, type)).status).toBe(201)
        const tooLarge = yield* pushManifest(send, "a", "v2", `${whole}x`, type)
        expect(tooLarge.status).toBe(413)
        expect(errors(tooLarge)).toEqual({
          errors: [{ code: "MANIFEST_INVALID", message: expect.any(String) }]
        })
        expect((yield* send("HEAD", "/v2/a/manifests/v2")).status).toBe(404)
      })
    )
  )

  it.scoped.each([
    ["other content than the digest in the path", absentDigest, m1, imageType, "DIGEST_INVALID"],
    ["another type than the document has (C65)", "v1", m1, indexType, "MANIFEST_INVALID"],
    ["no JSON", "v1", "{", imageType, "MANIFEST_INVALID"],
    ["nothing at all", "v1", "", imageType, "MANIFEST_INVALID"],
    ["no type", "v1", "{}", "application/octet-stream", "MANIFEST_INVALID"]
  ] as const)("a push with %s is a 400", ([, reference, content, type, code]) =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", "{}")
        const answer = yield* pushManifest(send, "a", reference, content, type)
        expect(answer.status).toBe(400)
        expect(errors(answer)).toEqual({ errors: [{ code, message: expect.any(String) }] })
      })
    )
  )

  it.scoped("a push by a digest that cannot be computed is told so (R13)", () =>
    served((send) =>
      Effect.gen(function* () {
        const digest = `blake3:${"0".repeat(64)}`
        yield* pushBlob(send, "a", "{}")
        const answer = yield* pushManifest(send, "a", digest)
        expect(answer.status).toBe(400)
        expect(errors(answer)).toEqual({
          errors: [
            {
              code: "DIGEST_INVALID",
              message: `"${digest}" cannot be verified: only sha256 and sha512 can be computed`
            }
          ]
        })
      })
    )
  )

  it.scoped("missing content is MANIFEST_BLOB_UNKNOWN, with the digest in its detail (R12)", () =>
    served((send) =>
      Effect.gen(function* () {
        const answer = yield* pushManifest(send, "a", "v1")
        expect(answer.status).toBe(400)
        expect(errors(answer)).toEqual({
          errors: [
            {
              code: "MANIFEST_BLOB_UNKNOWN",
              message: "The manifest refers to content that repository a lacks",
              detail: { digest: configDigest }
            }
          ]
        })
      })
    )
  )

  it.scoped(
    "deleting a tag leaves the manifest; deleting the manifest removes its tags (R38, R39)",
    () =>
      served((send) =>
        Effect.gen(function* () {
          yield* pushBlob(send, "a", "{}")
          yield* pushManifest(send, "a", "v1")
          yield* pushManifest(send, "a", "v2")
          expect(yield* send("DELETE", "/v2/a/manifests/v1")).toEqual({
            status: 202,
            headers: { "content-length": "0" },
            body: ""
          })
          expect((yield* send("GET", "/v2/a/manifests/v1")).status).toBe(404)
          expect((yield* send("GET", `/v2/a/manifests/${m1Digest}`)).status).toBe(200)
          expect((yield* send("DELETE", `/v2/a/manifests/${m1Digest}`)).status).toBe(202)
          expect((yield* send("GET", "/v2/a/manifests/v2")).status).toBe(404)
          expect((yield* send("DELETE", `/v2/a/manifests/${m1Digest}`)).status).toBe(404)
        })
      )
  )
})

describe("blobs", () => {
  const blobHeaders = {
    "accept-ranges": "bytes",
    "content-type": "application/octet-stream",
    "docker-content-digest": b1Digest,
    etag: `"${b1Digest}"`
  }

  it.scoped("a blob in a single POST is at its Location (R15, R16, R3 to R5, R10)", () =>
    served((send) =>
      Effect.gen(function* () {
        expect(yield* pushBlob(send, "a", b1)).toEqual({
          status: 201,
          headers: {
            "content-length": "0",
            "docker-content-digest": b1Digest,
            location: `/v2/a/blobs/${b1Digest}`
          },
          body: ""
        })
        const headers = { ...blobHeaders, "content-length": "5" }
        expect(yield* send("GET", `/v2/a/blobs/${b1Digest}`)).toEqual({
          status: 200,
          headers,
          body: "hello"
        })
        expect(yield* send("HEAD", `/v2/a/blobs/${b1Digest}`)).toEqual({
          status: 200,
          headers,
          body: ""
        })
      })
    )
  )

  it.scoped("a blob of no bytes has Content-Length: 0 (trap 15)", () =>
    served((send) =>
      Effect.gen(function* () {
        const pushed = yield* send("POST", `/v2/a/blobs/uploads/?digest=${emptyDigest}`, {
          headers: { "content-length": "0" }
        })
        expect(pushed.status).toBe(201)
        const answer = yield* send("GET", `/v2/a/blobs/${emptyDigest}`)
        expect([answer.status, answer.headers["content-length"], answer.body]).toEqual([
          200,
          "0",
          ""
        ])
      })
    )
  )

  it.scoped.each([
    ["other content", absentDigest, "5", 400, "DIGEST_INVALID"],
    ["a digest that cannot be computed", `blake3:${"0".repeat(64)}`, "5", 400, "DIGEST_INVALID"],
    ["fewer bytes than announced", b1Digest, "6", 400, "SIZE_INVALID"],
    ["more bytes than announced", b1Digest, "4", 400, "SIZE_INVALID"]
  ] as const)(
    "a single POST with %s is refused, and nothing is stored (R13, C41)",
    ([, digest, length, status, code]) =>
      served((send) =>
        Effect.gen(function* () {
          const answer = yield* send("POST", `/v2/a/blobs/uploads/?digest=${digest}`, {
            body: b1,
            headers: { "content-length": length }
          })
          expect(answer.status).toBe(status)
          expect(errors(answer)).toEqual({ errors: [{ code, message: expect.any(String) }] })
          expect((yield* send("HEAD", `/v2/a/blobs/${b1Digest}`)).status).toBe(404)
        })
      )
  )

  it.scoped.each([
    ["bytes=0-0", "h", "bytes 0-0/5"],
    ["bytes=1-3", "ell", "bytes 1-3/5"],
    ["bytes=3-", "lo", "bytes 3-4/5"],
    ["bytes=3-99", "lo", "bytes 3-4/5"],
    ["bytes=-2", "lo", "bytes 3-4/5"],
    ["bytes=-99999999999999999999", "hello", "bytes 0-4/5"],
    ["bytes=3-99999999999999999999", "lo", "bytes 3-4/5"],
    ["Bytes=0004-0004", "o", "bytes 4-4/5"],
    ["bytes=,1-1 ,", "e", "bytes 1-1/5"],
    ["bytes=9-9,0-1", "he", "bytes 0-1/5"]
  ] as const)("Range: %s is a 206 with those bytes (R9)", ([range, body, contentRange]) =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        expect(yield* send("GET", `/v2/a/blobs/${b1Digest}`, { headers: { range } })).toEqual({
          status: 206,
          headers: {
            ...blobHeaders,
            "content-length": String(body.length),
            "content-range": contentRange
          },
          body
        })
      })
    )
  )

  it.scoped("a range beyond the end is a 416 that says how long the blob is (R9)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        const answer = yield* send("GET", `/v2/a/blobs/${b1Digest}`, {
          headers: { range: "bytes=5-" }
        })
        expect([answer.status, answer.headers["content-range"]]).toEqual([416, "bytes */5"])
        expect(errors(answer)).toEqual({
          errors: [{ code: "RANGE_INVALID", message: "The blob has 5 bytes" }]
        })
      })
    )
  )

  it.scoped.each([
    "bytes=500-0",
    "bytes=4-3",
    "bytes=5-9",
    "bytes=99999999999999999999-",
    "bytes=-0",
    "bytes=",
    "bytes=-",
    "bytes=a-b",
    "bytes=0-1-2",
    "bytes=--1",
    "bytes=0-4,4-3",
    "bytes=7-8,9-"
  ])("Range: %s is a 416, as unsatisfiable or malformed (RFC 9110 section 14)", (range) =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        const { headers, status } = yield* send("GET", `/v2/a/blobs/${b1Digest}`, {
          headers: { range }
        })
        expect([status, headers["content-range"]]).toEqual([416, "bytes */5"])
        const head = yield* send("HEAD", `/v2/a/blobs/${b1Digest}`, { headers: { range } })
        expect([head.status, head.headers["content-length"]]).toEqual([200, "5"])
      })
    )
  )

  it.scoped("of a blob of no bytes there is no range but the last bytes of it", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", "")
        const get = (range: string) =>
          Effect.map(
            send("GET", `/v2/a/blobs/${emptyDigest}`, { headers: { range } }),
            ({ headers, status }) => [status, headers["content-range"]]
          )
        expect(yield* get("bytes=0-0")).toEqual([416, "bytes */0"])
        expect(yield* get("bytes=-0")).toEqual([416, "bytes */0"])
        expect(yield* get("bytes=-5")).toEqual([200, undefined])
      })
    )
  )

  it.scoped.each([
    ["of another unit", { range: "lines=0-1" }],
    ["without a unit", { range: "0-1" }],
    ["overlapping", { range: "bytes=0-2,2-4" }],
    ["more than sixteen", { range: `bytes=${"0-0,".repeat(17)}` }],
    ["conditional on other content", { range: "bytes=0-1", "if-range": '"x"' }],
    ["conditional on a weak tag", { range: "bytes=0-1", "if-range": `W/"${b1Digest}"` }],
    [
      "conditional on a date, which content has not",
      { range: "bytes=0-1", "if-range": "Sun, 29 Nov 2026 10:00:00 GMT" }
    ]
  ] as const)("ranges that are %s are ignored (RFC 9110 sections 13.1.5 and 14.2)", ([, headers]) =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        const answer = yield* send("GET", `/v2/a/blobs/${b1Digest}`, { headers })
        expect([answer.status, answer.body]).toEqual([200, "hello"])
      })
    )
  )

  it.scoped("several ranges are one multipart body of exact length (RFC 9110 section 14.6)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        const { body, headers, status } = yield* send("GET", `/v2/a/blobs/${b1Digest}`, {
          headers: { range: "bytes=3-4,0-1,9-", "if-range": `"${b1Digest}"` }
        })
        const [, boundary] =
          /^multipart\/byteranges; boundary=([\w-]+)$/.exec(headers["content-type"] ?? "") ?? []
        expect(status).toBe(206)
        expect(headers["content-range"]).toBeUndefined()
        expect(headers["content-length"]).toBe(String(body.length))
        expect(body).toBe(
          [
            `--${boundary}`,
            "Content-Type: application/octet-stream",
            "Content-Range: bytes 3-4/5",
            "",
            "lo",
            `--${boundary}`,
            "Content-Type: application/octet-stream",
            "Content-Range: bytes 0-1/5",
            "",
            "he",
            `--${boundary}--`,
            ""
          ].join("\r\n")
        )
      })
    )
  )

  it.scoped("a blob that the client has already is a 304 (RFC 9110 section 13.1.2)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        for (const method of ["GET", "HEAD"]) {
          const path = `/v2/a/blobs/${b1Digest}`
          const answer = (headers: Record<string, string>) =>
            Effect.map(send(method, path, { headers }), ({ status }) => status)
          expect(yield* answer({ "if-none-match": `"x", W/"${b1Digest}"` })).toBe(304)
          expect(yield* answer({ "if-none-match": '"x"' })).toBe(200)
          expect(yield* answer({ "if-match": '"x"' })).toBe(412)
          expect(yield* answer({ "if-match": "*" })).toBe(200)
        }
      })
    )
  )

  it.scoped("a deleted blob is gone from its repository only (R38)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        yield* pushBlob(send, "b", b1)
        const path = `/v2/a/blobs/${b1Digest}`
        expect(yield* send("DELETE", path)).toEqual({
          status: 202,
          headers: { "content-length": "0" },
          body: ""
        })
        const gone = yield* send("GET", path)
        expect(gone.status).toBe(404)
        expect(errors(gone)).toEqual({
          errors: [{ code: "BLOB_UNKNOWN", message: "Repository a has no such blob" }]
        })
        expect((yield* send("DELETE", path)).status).toBe(404)
        expect((yield* send("GET", `/v2/b/blobs/${b1Digest}`)).status).toBe(200)
      })
    )
  )

  it.scoped("a blob is mounted, with or without from; else a session is opened (R24 to R26)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        const mounted = (repository: string) => ({
          status: 201,
          headers: {
            "content-length": "0",
            "docker-content-digest": b1Digest,
            location: `/v2/${repository}/blobs/${b1Digest}`
          },
          body: ""
        })
        expect(yield* send("POST", `/v2/b/blobs/uploads/?mount=${b1Digest}&from=a`)).toEqual(
          mounted("b")
        )
        expect(yield* send("POST", `/v2/c/blobs/uploads/?mount=${b1Digest}`)).toEqual(mounted("c"))
        const opened = yield* send("POST", `/v2/d/blobs/uploads/?mount=${absentDigest}&from=a`)
        expect([opened.status, opened.headers["range"]]).toEqual([202, "0-0"])
        expect(opened.headers["location"]).toMatch(/^\/v2\/d\/blobs\/uploads\/[0-9a-f-]{36}$/)
        expect((yield* send("GET", opened.headers["location"] ?? "")).status).toBe(204)
      })
    )
  )
})

describe("uploads", () => {
  it.scoped("POST opens a session, PUT with the blob closes it (R14, R15)", () =>
    served((send) =>
      Effect.gen(function* () {
        const opened = yield* send("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha512")
        const location = opened.headers["location"] ?? ""
        expect(opened).toEqual({
          status: 202,
          headers: { "content-length": "0", location: expect.any(String), range: "0-0" },
          body: ""
        })
        expect(location).toMatch(/^\/v2\/a\/blobs\/uploads\/[0-9a-f-]{36}$/)
        const digest = sha512(b1)
        expect(yield* send("PUT", `${location}?digest=${digest}`, { body: b1 })).toEqual({
          status: 201,
          headers: {
            "content-length": "0",
            "docker-content-digest": digest,
            location: `/v2/a/blobs/${digest}`
          },
          body: ""
        })
        expect((yield* send("GET", `/v2/a/blobs/${digest}`)).body).toBe("hello")
        const closed = yield* send("GET", location)
        expect(closed.status).toBe(404)
        expect(errors(closed)).toEqual({
          errors: [{ code: "BLOB_UPLOAD_UNKNOWN", message: expect.any(String) }]
        })
      })
    )
  )

  it.scoped(
    "chunks are appended, Range is the end, the last may be in the PUT (R19, R21, R22, C53)",
    () =>
      served((send) =>
        Effect.gen(function* () {
          const location = yield* openUpload(send, "a")
          const chunk = (body: string, range: string) =>
            send("PATCH", location, {
              body,
              headers: { "content-range": range, "content-length": String(body.length) }
            })
          expect(yield* chunk("he", "0-1")).toEqual({
            status: 202,
            headers: { "content-length": "0", location, range: "0-1" },
            body: ""
          })
          expect((yield* chunk("l", "2-2")).headers["range"]).toBe("0-2")
          expect(yield* send("GET", location)).toEqual({
            status: 204,
            headers: { location, range: "0-2" },
            body: ""
          })
          const closed = yield* send("PUT", `${location}?digest=${b1Digest}`, {
            body: "lo",
            headers: { "content-range": "3-4", "content-length": "2" }
          })
          expect(closed.status).toBe(201)
          expect((yield* send("GET", `/v2/a/blobs/${b1Digest}`)).body).toBe("hello")
        })
      )
  )

  it.scoped(
    "a streamed PATCH without Content-Range is appended, and an empty PUT closes (C56)",
    () =>
      served((send) =>
        Effect.gen(function* () {
          const location = yield* openUpload(send, "a")
          const body = new ReadableStream<Uint8Array>({
            start: (controller) => {
              for (const part of ["he", "llo"]) controller.enqueue(new TextEncoder().encode(part))
              controller.close()
            }
          })
          expect((yield* send("PATCH", location, { body })).headers["range"]).toBe("0-4")
          const closed = yield* send("PUT", `${location}?digest=${b1Digest}`, {
            headers: { "content-length": "0" }
          })
          expect(closed.status).toBe(201)
        })
      )
  )

  it.scoped(
    "an out-of-order chunk is a 416 with the right Range, and the session survives (R20)",
    () =>
      served((send) =>
        Effect.gen(function* () {
          const location = yield* openUpload(send, "a")
          const chunk = (method: string, path: string, body: string, range: string) =>
            send(method, path, { body, headers: { "content-range": range } })
          yield* chunk("PATCH", location, "he", "0-1")
          for (const refused of [
            yield* chunk("PATCH", location, "he", "0-1"),
            yield* chunk("PATCH", location, "lo", "3-4"),
            yield* chunk("PUT", `${location}?digest=${b1Digest}`, "lo", "3-4")
          ]) {
            expect([refused.status, refused.headers["location"], refused.headers["range"]]).toEqual(
              [416, location, "0-1"]
            )
            expect(errors(refused)).toEqual({
              errors: [{ code: "BLOB_UPLOAD_INVALID", message: "The upload continues at byte 2" }]
            })
          }
          // A client may ask at the very location it failed at.
          const status = yield* send("GET", `${location}?digest=${b1Digest}`)
          expect([status.status, status.headers["range"]]).toEqual([204, "0-1"])
          expect((yield* chunk("PUT", `${location}?digest=${b1Digest}`, "llo", "2-4")).status).toBe(
            201
          )
        })
      )
  )

  it.scoped("a closing digest that does not match is exactly 400, and ends the session (R13)", () =>
    served((send) =>
      Effect.gen(function* () {
        const location = yield* openUpload(send, "a")
        const refused = yield* send("PUT", `${location}?digest=${absentDigest}`, { body: b1 })
        expect(refused.status).toBe(400)
        expect(errors(refused)).toEqual({
          errors: [
            {
              code: "DIGEST_INVALID",
              message: `The content does not have digest ${absentDigest} but ${b1Digest}`
            }
          ]
        })
        expect((yield* send("GET", location)).status).toBe(404)
      })
    )
  )

  it.scoped("a closing digest that cannot be computed is a 400 that leaves the session open", () =>
    served((send) =>
      Effect.gen(function* () {
        const location = yield* openUpload(send, "a")
        const refused = yield* send("PUT", `${location}?digest=blake3:${"0".repeat(64)}`, {
          body: b1
        })
        expect(refused.status).toBe(400)
        expect((yield* send("PUT", `${location}?digest=${b1Digest}`)).status).toBe(201)
      })
    )
  )

  it.scoped("DELETE cancels (R23)", () =>
    served((send) =>
      Effect.gen(function* () {
        const location = yield* openUpload(send, "a")
        expect(yield* send("DELETE", location)).toEqual({ status: 204, headers: {}, body: "" })
        for (const method of ["GET", "PATCH", "DELETE"]) {
          expect((yield* send(method, location)).status).toBe(404)
        }
        expect((yield* send("PUT", `${location}?digest=${b1Digest}`, { body: b1 })).status).toBe(
          404
        )
      })
    )
  )

  it.scoped("a session belongs to its repository", () =>
    served((send) =>
      Effect.gen(function* () {
        const location = yield* openUpload(send, "a")
        expect((yield* send("GET", location.replace("/v2/a/", "/v2/b/"))).status).toBe(404)
      })
    )
  )
})

describe("lists", () => {
  const push = (send: Send, repository: string, tags: ReadonlyArray<string>) =>
    Effect.zipRight(
      pushBlob(send, repository, "{}"),
      Effect.forEach(tags, (tag) => pushManifest(send, repository, tag))
    )

  it.scoped("tags are complete and in order unless n is given (R33)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* push(send, "a", ["v3", "v1", "v2"])
        const body = '{"name":"a","tags":["v1","v2","v3"]}'
        expect(yield* send("GET", "/v2/a/tags/list")).toEqual({
          status: 200,
          headers: { "content-length": String(body.length), "content-type": "application/json" },
          body
        })
        expect((yield* send("GET", "/v2/a/tags/list?last=v1")).body).toBe(
          '{"name":"a","tags":["v2","v3"]}'
        )
        expect((yield* send("GET", "/v2/b/tags/list")).status).toBe(404)
      })
    )
  )

  it.scoped("an empty n is none; a last that is no item still has a place in the order", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* push(send, "a", ["v3", "v1", "v2"])
        yield* push(send, "c", ["v1"])
        const get = (path: string) =>
          Effect.map(send("GET", path), ({ body, headers, status }) => {
            const { repositories, tags } = JSON.parse(body)
            return [status, tags ?? repositories, headers["link"]]
          })
        const all = ["v1", "v2", "v3"]
        expect(yield* get("/v2/a/tags/list?n=")).toEqual([200, all, undefined])
        expect(yield* get("/v2/a/tags/list?last=!!")).toEqual([200, all, undefined])
        expect(yield* get("/v2/a/tags/list?last=%2Bv")).toEqual([200, all, undefined])
        expect(yield* get("/v2/a/tags/list?last=v1!!&n=")).toEqual([200, ["v2", "v3"], undefined])
        expect(yield* get("/v2/a/tags/list?last=~~")).toEqual([200, [], undefined])
        expect(yield* get("/v2/a/tags/list?last=!!&n=2")).toEqual([
          200,
          ["v1", "v2"],
          '</v2/a/tags/list?n=2&last=v2>; rel="next"'
        ])
        expect(yield* get("/v2/a/tags/list?last=!!&n=0")).toEqual([200, [], undefined])
        expect(yield* get("/v2/_catalog?last=B&n=1")).toEqual([
          200,
          ["a"],
          '</v2/_catalog?n=1&last=a>; rel="next"'
        ])
        expect(yield* get("/v2/_catalog?last=a//&n=")).toEqual([200, ["c"], undefined])
      })
    )
  )

  it.scoped(
    "pages are linked as long as there is more; n=0 is an empty page without a link (R33, C83)",
    () =>
      served((send) =>
        Effect.gen(function* () {
          yield* push(send, "a", ["v1", "v2", "v3", "v4"])
          const pages = (query: string) =>
            Effect.map(send("GET", `/v2/a/tags/list${query}`), ({ body, headers }) => [
              body,
              headers["link"]
            ])
          expect(yield* pages("?n=2")).toEqual([
            '{"name":"a","tags":["v1","v2"]}',
            '</v2/a/tags/list?n=2&last=v2>; rel="next"'
          ])
          expect(yield* pages("?n=2&last=v2")).toEqual([
            '{"name":"a","tags":["v3","v4"]}',
            undefined
          ])
          expect(yield* pages("?n=9")).toEqual([
            '{"name":"a","tags":["v1","v2","v3","v4"]}',
            undefined
          ])
          expect(yield* pages("?n=0")).toEqual(['{"name":"a","tags":[]}', undefined])
          expect((yield* send("GET", "/v2/b/tags/list?n=0")).status).toBe(404)
        })
      )
  )

  it.scoped("tags can be in lexical order, which pages and last follow (R33)", () =>
    served(
      (send) =>
        Effect.gen(function* () {
          yield* push(send, "a", ["b", "B", "C", "a", "c"])
          const get = (query: string) =>
            Effect.map(send("GET", `/v2/a/tags/list${query}`), ({ body, headers }) => [
              JSON.parse(body).tags,
              headers["link"]
            ])
          expect(yield* get("")).toEqual([["a", "B", "b", "C", "c"], undefined])
          expect(yield* get("?n=2")).toEqual([
            ["a", "B"],
            '</v2/a/tags/list?n=2&last=B>; rel="next"'
          ])
          expect(yield* get("?n=2&last=B")).toEqual([
            ["b", "C"],
            '</v2/a/tags/list?n=2&last=C>; rel="next"'
          ])
          expect(yield* get("?n=2&last=C")).toEqual([["c"], undefined])
          expect(yield* get("?n=0")).toEqual([[], undefined])
        }),
      { tagOrder: "lexical" }
    )
  )

  it.scoped("the catalogue is linked in the same way (C92)", () =>
    served((send) =>
      Effect.gen(function* () {
        yield* Effect.forEach(["team/b", "a"], (repository) => pushBlob(send, repository, b1))
        const first = yield* send("GET", "/v2/_catalog?n=1")
        expect([first.body, first.headers["link"]]).toEqual([
          '{"repositories":["a"]}',
          '</v2/_catalog?n=1&last=a>; rel="next"'
        ])
        expect((yield* send("GET", "/v2/_catalog?n=1&last=a")).body).toBe(
          '{"repositories":["team/b"]}'
        )
        expect((yield* send("GET", "/v2/_catalog?last=team%2Fb")).body).toBe('{"repositories":[]}')
      })
    )
  )

  it.scoped("referrers of nothing are an empty index, also in an unknown repository (R34)", () =>
    served((send) =>
      Effect.gen(function* () {
        const body = `{"schemaVersion":2,"mediaType":"${indexType}","manifests":[]}`
        expect(yield* send("GET", `/v2/nowhere/referrers/${absentDigest}`)).toEqual({
          status: 200,
          headers: { "content-length": String(body.length), "content-type": indexType },
          body
        })
      })
    )
  )

  it.scoped(
    "referrers have type and annotations, and a filter by artifactType, + too (R35, R37, trap 47)",
    () =>
      served((send) =>
        Effect.gen(function* () {
          yield* pushBlob(send, "a", "{}")
          const signature = referrer("r1", absentDigest, "application/vnd.example.signature+json")
          const other = referrer("r2", absentDigest)
          yield* pushManifest(send, "a", sha256(signature), signature)
          yield* pushManifest(send, "a", sha256(other), other)
          const all = yield* send("GET", `/v2/a/referrers/${absentDigest}`)
          expect(JSON.parse(all.body).manifests).toHaveLength(2)
          expect(all.headers["oci-filters-applied"]).toBeUndefined()
          for (const type of [
            "application/vnd.example.signature%2Bjson",
            "application/vnd.example.signature+json"
          ]) {
            const filtered = yield* send(
              "GET",
              `/v2/a/referrers/${absentDigest}?artifactType=${type}`
            )
            expect(filtered.headers["oci-filters-applied"]).toBe("artifactType")
            expect(JSON.parse(filtered.body)).toEqual({
              schemaVersion: 2,
              mediaType: indexType,
              manifests: [
                {
                  mediaType: imageType,
                  digest: sha256(signature),
                  size: signature.length,
                  artifactType: "application/vnd.example.signature+json",
                  annotations: { name: "r1" }
                }
              ]
            })
          }
        })
      )
  )

  it.scoped(
    "referrers beyond the page size are linked, each on one page, the filter kept (R36)",
    () =>
      served(
        (send) =>
          Effect.gen(function* () {
            yield* pushBlob(send, "a", "{}")
            const digests = yield* Effect.forEach(["r1", "r2", "r3", "r4", "r5"], (name) => {
              const content = referrer(name, absentDigest, "t/a+b")
              return Effect.as(pushManifest(send, "a", sha256(content), content), sha256(content))
            })
            const found: Array<string> = []
            const sizes: Array<number> = []
            let next: string | undefined = `/v2/a/referrers/${absentDigest}?artifactType=t%2Fa%2Bb`
            while (next !== undefined && sizes.length < 4) {
              const answer: Answer = yield* send("GET", next)
              const page: ReadonlyArray<{ digest: string }> = JSON.parse(answer.body).manifests
              found.push(...page.map(({ digest }) => digest))
              sizes.push(page.length)
              next = /^<(\/v2\/a\/referrers\/[^>]+)>; rel="next"$/.exec(
                answer.headers["link"] ?? ""
              )?.[1]
              expect(answer.headers["oci-filters-applied"]).toBe("artifactType")
            }
            expect(sizes).toEqual([2, 2, 1])
            expect(found).toEqual([...digests].sort())
          }),
        { referrersPageSize: 2 }
      )
  )
})

describe("deletes that are switched off (R38, V21)", () => {
  it.scoped("are a 405 for tags, manifests and blobs, and nothing is gone", () =>
    served(
      (send) =>
        Effect.gen(function* () {
          yield* pushBlob(send, "a", "{}")
          yield* pushManifest(send, "a", "v1")
          const paths = [
            "/v2/a/manifests/v1",
            `/v2/a/manifests/${m1Digest}`,
            `/v2/a/blobs/${configDigest}`
          ]
          for (const path of [...paths, "/v2/a/manifests/unknown"]) {
            const refused = yield* send("DELETE", path)
            expect([refused.status, errors(refused)]).toEqual([
              405,
              { errors: [{ code: "UNSUPPORTED", message: "This operation is not supported" }] }
            ])
            expect(refused.headers["allow"]).toBe("GET, HEAD, PUT")
          }
          for (const path of paths) expect((yield* send("GET", path)).status).toBe(200)
        }),
      { deletes: false }
    )
  )

  it.scoped("let uploads be cancelled", () =>
    served(
      (send) =>
        Effect.gen(function* () {
          expect((yield* send("DELETE", yield* openUpload(send, "a"))).status).toBe(204)
        }),
      { deletes: false }
    )
  )
})

describe("extensions", () => {
  it.scoped("of the registry and of repositories can be discovered", () =>
    served((send) =>
      Effect.gen(function* () {
        const names = (path: string) =>
          Effect.map(send("GET", path), ({ body, headers, status }) => {
            expect([status, headers["content-type"]]).toEqual([200, "application/json"])
            expect(headers["content-length"]).toBe(String(body.length))
            for (const extension of JSON.parse(body).extensions)
              expect(extension).toEqual({
                name: expect.any(String),
                description: expect.any(String),
                url: expect.stringMatching(/^https:/),
                endpoints: [expect.any(String)]
              })
            return JSON.parse(body).extensions.map(({ name }: { name: string }) => name)
          })
        expect(yield* names("/v2/_oci/ext/discover")).toEqual(["_oci", "_catalog"])
        expect(yield* names("/v2/team/app/_oci/ext/discover?a=b")).toEqual(["_oci"])
        expect((yield* send("HEAD", "/v2/_oci/ext/discover")).status).toBe(200)
        const refused = yield* send("POST", "/v2/_oci/ext/discover")
        expect([refused.status, refused.headers["allow"]]).toEqual([405, "GET, HEAD"])
        expect((yield* send("GET", "/v2/Upper/_oci/ext/discover")).status).toBe(404)
      })
    )
  )

  it.scoped("a proxy echoes the host that a pull names, if that is its own (R44)", () =>
    served(
      (send) =>
        Effect.gen(function* () {
          yield* pushBlob(send, "a", b1)
          const named = (method: string, path: string) =>
            Effect.map(send(method, path), ({ headers }) => headers["oci-namespace"])
          const path = `/v2/a/blobs/${b1Digest}`
          expect(yield* named("GET", `${path}?ns=docker.io`)).toBe("docker.io")
          expect(yield* named("HEAD", "/v2/a/manifests/v1?ns=docker.io")).toBe("docker.io")
          expect(yield* named("GET", `${path}?ns=ghcr.io`)).toBeUndefined()
          expect(yield* named("GET", path)).toBeUndefined()
          expect(yield* named("POST", "/v2/a/blobs/uploads/?ns=docker.io")).toBeUndefined()
        }),
      { proxyOf: "docker.io" }
    )
  )
})

describe("a registry behind that fails", () => {
  const behind =
    (change: Partial<Registry.Service>) =>
    <A>(test: (send: Send) => Effect.Effect<A>) =>
      Effect.gen(function* () {
        const memory = yield* MemoryRegistry.make()
        const handler = yield* Effect.provideService(webHandler(), Registry, {
          ...memory,
          ...change
        })
        return yield* test(sender(handler))
      })

  const secret = { method: "GET", url: "https://internal.example/v2/", status: 500 }

  it.scoped.each([
    [
      "no connection",
      new RegistryError.TransportFailure({ ...secret, reason: "Connect" }),
      502,
      "UNAVAILABLE"
    ],
    [
      "no answer in time",
      new RegistryError.TransportFailure({ ...secret, reason: "Timeout" }),
      504,
      "UNAVAILABLE"
    ],
    [
      "no admission",
      new RegistryError.Unauthorized({ ...secret, reason: "Challenge", origin: secret.url }),
      502,
      "UNAVAILABLE"
    ],
    [
      "an odd status",
      new RegistryError.RegistryFailure({ ...secret, snippet: "internal" }),
      502,
      "UNAVAILABLE"
    ],
    [
      "too much",
      new RegistryError.LimitExceeded({ ...secret, what: "manifest", limit: 1 }),
      502,
      "UNAVAILABLE"
    ],
    ["a broken disk", new RegistryError.StorageFailure({ path: "/internal" }), 500, "UNKNOWN"],
    ["a refusal", new RegistryError.Denied(secret), 403, "DENIED"],
    [
      "wrong content",
      new RegistryError.DigestMismatch({ expected: "internal", actual: "x" }),
      502,
      "UNAVAILABLE"
    ],
    [
      "a broken document",
      new RegistryError.InvalidManifest({ reason: "Json", message: "internal" }),
      502,
      "UNAVAILABLE"
    ]
  ] as const)("%s is answered without a word on where it is", ([, error, status, code]) =>
    behind({ getManifest: () => Effect.fail(error) })((send) =>
      Effect.gen(function* () {
        const answer = yield* send("GET", "/v2/a/manifests/v1")
        expect(answer.status).toBe(status)
        expect(errors(answer)).toEqual({ errors: [{ code, message: expect.any(String) }] })
        expect(answer.body).not.toContain("internal")
      })
    )
  )

  it.scoped("nothing more is asked of it for a client that has gone away", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryRegistry.make()
      const asked = yield* Deferred.make<void>()
      const stopped = yield* Deferred.make<void>()
      const ping = Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never).pipe(
        Effect.onInterrupt(() => Deferred.succeed(stopped, undefined))
      )
      const handler = yield* Effect.provideService(webHandler(), Registry, { ...memory, ping })
      const client = new AbortController()
      yield* Effect.fork(
        Effect.promise(() => handler(new Request("http://a/v2/", { signal: client.signal })))
      )
      yield* Deferred.await(asked)
      client.abort()
      yield* Deferred.await(stopped)
    })
  )

  it.scoped("its rate limit is passed on, in whole seconds (R41)", () =>
    behind({ ping: Effect.fail(new RegistryError.TooManyRequests({ retryAfter: 1500 })) })((send) =>
      Effect.gen(function* () {
        const answer = yield* send("GET", "/v2/")
        expect([answer.status, answer.headers["retry-after"]]).toEqual([429, "2"])
        expect(errors(answer)).toEqual({
          errors: [{ code: "TOOMANYREQUESTS", message: "Too many requests" }]
        })
      })
    )
  )

  it.scoped("what it does not support is a 405, and a 404 for the registry as a whole (R38)", () =>
    behind({
      ping: Effect.fail(new RegistryError.Unsupported({ operation: "Ping" })),
      deleteBlob: () => Effect.fail(new RegistryError.Unsupported({ operation: "DeleteBlob" }))
    })((send) =>
      Effect.gen(function* () {
        const refused = yield* send("DELETE", `/v2/a/blobs/${b1Digest}`)
        expect([refused.status, errors(refused)]).toEqual([
          405,
          { errors: [{ code: "UNSUPPORTED", message: "This operation is not supported" }] }
        ])
        expect(refused.headers["allow"]).toBe("GET, HEAD, PUT")
        expect((yield* send("GET", "/v2/")).status).toBe(404)
      })
    )
  )

  it.scoped("a failure before the first byte of a blob still has a status of its own", () =>
    behind({
      getBlob: () => Stream.fail(new RegistryError.TransportFailure({ reason: "Reset" }))
    })((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        expect((yield* send("GET", `/v2/a/blobs/${b1Digest}`)).status).toBe(502)
      })
    )
  )

  it.scoped("one that ignores ranges is served whole (RFC 9110 section 14.2)", () =>
    behind({
      getBlobRange: () => Stream.fail(new RegistryError.Unsupported({ operation: "GetBlob" }))
    })((send) =>
      Effect.gen(function* () {
        yield* pushBlob(send, "a", b1)
        const answer = yield* send("GET", `/v2/a/blobs/${b1Digest}`, {
          headers: { range: "bytes=1-2" }
        })
        expect([answer.status, answer.headers["content-length"], answer.body]).toEqual([
          200,
          "5",
          "hello"
        ])
      })
    )
  )
})
