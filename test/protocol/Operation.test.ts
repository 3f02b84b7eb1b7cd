import type { HttpClientRequest } from "@effect/platform/HttpClientRequest"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Operation from "../../src/protocol/Operation.js"
import { isDigest } from "../../src/spec/Digest.js"
import { isRepositoryName, isTag } from "../../src/spec/Reference.js"

const checked =
  <A extends string>(guard: (u: unknown) => u is A) =>
  (text: string): A => {
    if (!guard(text)) throw new Error(`not valid: ${text}`)
    return text
  }

const name = checked(isRepositoryName)
const tag = checked(isTag)
const digest = checked(isDigest)

const hex = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
const sha256 = digest(`sha256:${hex}`)
const sha512 = digest(`sha512:${hex}${hex}`)
const repository = name("library/alpine")
const latest = tag("latest")
const location = "/v2/library/alpine/blobs/uploads/7f1c?_state=a+b~c%20d*!'()"

const accept =
  "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
  "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*"

type Headers = Readonly<Record<string, string>>

/** What stands on the wire for each endpoint, written out by hand. */
const wire: ReadonlyArray<
  readonly [end: string, operation: Operation.Operation, line: string, headers: Headers]
> = [
  ["end-1", Operation.Ping(), "GET /v2/", {}],
  [
    "end-2",
    Operation.GetBlob({ repository, digest: sha256 }),
    `GET /v2/library/alpine/blobs/sha256:${hex}`,
    { "accept-encoding": "identity" }
  ],
  [
    "end-2, part",
    Operation.GetBlob({ repository, digest: sha256, range: { start: 5, end: 9 } }),
    `GET /v2/library/alpine/blobs/sha256:${hex}`,
    { "accept-encoding": "identity", range: "bytes=5-9" }
  ],
  [
    "end-2, rest",
    Operation.GetBlob({ repository, digest: sha256, range: { start: 5 } }),
    `GET /v2/library/alpine/blobs/sha256:${hex}`,
    { "accept-encoding": "identity", range: "bytes=5-" }
  ],
  [
    "end-2, suffix",
    Operation.GetBlob({ repository, digest: sha256, range: { suffix: 5 } }),
    `GET /v2/library/alpine/blobs/sha256:${hex}`,
    { "accept-encoding": "identity", range: "bytes=-5" }
  ],
  [
    "end-2, head",
    Operation.HeadBlob({ repository, digest: sha256 }),
    `HEAD /v2/library/alpine/blobs/sha256:${hex}`,
    { "accept-encoding": "identity" }
  ],
  [
    "end-3",
    Operation.GetManifest({ repository, reference: latest }),
    "GET /v2/library/alpine/manifests/latest",
    { "accept-encoding": "identity", accept }
  ],
  [
    "end-3, head",
    Operation.HeadManifest({ repository, reference: sha256 }),
    `HEAD /v2/library/alpine/manifests/sha256:${hex}`,
    { "accept-encoding": "identity", accept }
  ],
  [
    "end-4a",
    Operation.StartUpload({ repository }),
    "POST /v2/library/alpine/blobs/uploads/",
    { "content-length": "0" }
  ],
  [
    "end-4b",
    Operation.UploadBlob({ repository, digest: sha256, size: 2 }),
    `POST /v2/library/alpine/blobs/uploads/?digest=sha256%3A${hex}`,
    { "content-type": "application/octet-stream", "content-length": "2" }
  ],
  [
    "end-4b, no bytes",
    Operation.UploadBlob({ repository, digest: sha256, size: 0 }),
    `POST /v2/library/alpine/blobs/uploads/?digest=sha256%3A${hex}`,
    { "content-type": "application/octet-stream", "content-length": "0" }
  ],
  [
    "no part of the specification",
    Operation.PutBlob({ repository, digest: sha256, size: 2 }),
    `PUT /v2/library/alpine/blobs/sha256:${hex}`,
    { "content-type": "application/octet-stream", "content-length": "2" }
  ],
  [
    "end-4b, sha512",
    Operation.UploadBlob({ repository, digest: sha512, size: 2 }),
    `POST /v2/library/alpine/blobs/uploads/?digest=sha512%3A${hex}${hex}&digest-algorithm=sha512`,
    { "content-type": "application/octet-stream", "content-length": "2" }
  ],
  [
    "end-4c",
    Operation.StartUpload({ repository, algorithm: "sha512" }),
    "POST /v2/library/alpine/blobs/uploads/?digest-algorithm=sha512",
    { "content-length": "0" }
  ],
  [
    "end-5",
    Operation.UploadChunk({ repository, location, range: { start: 0, end: 1023 } }),
    `PATCH ${location}`,
    { "content-type": "application/octet-stream", "content-range": "0-1023" }
  ],
  [
    "end-5, streamed",
    Operation.UploadChunk({ repository, location }),
    `PATCH ${location}`,
    { "content-type": "application/octet-stream" }
  ],
  [
    "end-6",
    Operation.CompleteUpload({ repository, location, digest: sha256 }),
    `PUT ${location}&digest=sha256%3A${hex}`,
    { "content-type": "application/octet-stream" }
  ],
  [
    "end-6, last chunk",
    Operation.CompleteUpload({
      repository,
      location: "/v2/library/alpine/blobs/uploads/7f1c",
      digest: sha256,
      range: { start: 1024, end: 1025 }
    }),
    `PUT /v2/library/alpine/blobs/uploads/7f1c?digest=sha256%3A${hex}`,
    { "content-type": "application/octet-stream", "content-range": "1024-1025" }
  ],
  [
    "end-3, if it is another one (RFC 9110 section 13.1.2)",
    Operation.GetManifest({ repository, reference: latest, unless: sha256 }),
    "GET /v2/library/alpine/manifests/latest",
    { "accept-encoding": "identity", accept, "if-none-match": `"sha256:${hex}"` }
  ],
  [
    "end-7a",
    Operation.PutManifest({
      repository,
      reference: latest,
      mediaType: "application/vnd.oci.image.index.v1+json"
    }),
    "PUT /v2/library/alpine/manifests/latest",
    { "content-type": "application/vnd.oci.image.index.v1+json" }
  ],
  [
    "end-7b",
    Operation.PutManifest({
      repository,
      reference: sha256,
      mediaType: "application/x",
      tags: [latest, tag("1.2_A-b")]
    }),
    `PUT /v2/library/alpine/manifests/sha256:${hex}?tag=latest&tag=1.2_A-b`,
    { "content-type": "application/x" }
  ],
  [
    "end-7a, if the tag is absent (RFC 9110 section 13.1.2)",
    Operation.PutManifest({
      repository,
      reference: latest,
      mediaType: "application/x",
      onlyIf: "absent"
    }),
    "PUT /v2/library/alpine/manifests/latest",
    { "content-type": "application/x", "if-none-match": "*" }
  ],
  [
    "end-7a, if the tag is a manifest (RFC 9110 section 13.1.1)",
    Operation.PutManifest({
      repository,
      reference: latest,
      mediaType: "application/x",
      onlyIf: sha256
    }),
    "PUT /v2/library/alpine/manifests/latest",
    { "content-type": "application/x", "if-match": `"sha256:${hex}"` }
  ],
  ["end-8a", Operation.ListTags({ repository }), "GET /v2/library/alpine/tags/list", {}],
  [
    "end-8b",
    Operation.ListTags({ repository, n: 0, last: latest }),
    "GET /v2/library/alpine/tags/list?n=0&last=latest",
    {}
  ],
  [
    "end-9",
    Operation.DeleteManifest({ repository, reference: latest }),
    "DELETE /v2/library/alpine/manifests/latest",
    {}
  ],
  [
    "end-10",
    Operation.DeleteBlob({ repository, digest: sha256 }),
    `DELETE /v2/library/alpine/blobs/sha256:${hex}`,
    {}
  ],
  [
    "end-11",
    Operation.MountBlob({ repository, digest: sha256, from: name("a/b") }),
    `POST /v2/library/alpine/blobs/uploads/?mount=sha256%3A${hex}&from=a%2Fb`,
    { "content-length": "0" }
  ],
  [
    "end-11, from anywhere",
    Operation.MountBlob({ repository, digest: sha512 }),
    `POST /v2/library/alpine/blobs/uploads/?mount=sha512%3A${hex}${hex}&digest-algorithm=sha512`,
    { "content-length": "0" }
  ],
  [
    "end-12a",
    Operation.ListReferrers({ repository, digest: sha256 }),
    `GET /v2/library/alpine/referrers/sha256:${hex}`,
    { accept: "application/vnd.oci.image.index.v1+json" }
  ],
  [
    "end-12b",
    Operation.ListReferrers({ repository, digest: sha256, artifactType: "application/spdx+json" }),
    `GET /v2/library/alpine/referrers/sha256:${hex}?artifactType=application%2Fspdx%2Bjson`,
    { accept: "application/vnd.oci.image.index.v1+json" }
  ],
  ["end-13", Operation.UploadStatus({ repository, location }), `GET ${location}`, {}],
  [
    "end-14",
    Operation.CancelUpload({ repository, location }),
    `DELETE ${location}`,
    { "content-length": "0" }
  ],
  ["catalog", Operation.ListRepositories({}), "GET /v2/_catalog", {}],
  [
    "catalog, page",
    Operation.ListRepositories({ n: 2, last: name("a/b") }),
    "GET /v2/_catalog?n=2&last=a%2Fb",
    {}
  ]
]

const received = (request: HttpClientRequest): Operation.ReceivedRequest => ({
  method: request.method,
  url: request.url.slice("https://registry.example".length),
  headers: request.headers
})

const line = (text: string, headers: Headers = {}): Operation.ReceivedRequest => {
  const space = text.indexOf(" ")
  return { method: text.slice(0, space), url: text.slice(space + 1), headers }
}

const url = (operation: Operation.Operation, base = "https://registry.example") =>
  Operation.toRequest(base, operation).url

describe("toRequest", () => {
  it.each(wire)("%s is written to the letter", (_, operation, line, headers) => {
    const request = Operation.toRequest("https://registry.example", operation)
    expect(`${request.method} ${request.url}`).toBe(line.replace(" ", " https://registry.example"))
    expect({ ...request.headers }).toEqual(headers)
    expect(request.body._tag).toBe("Empty")
    expect(request.urlParams).toEqual([])
  })

  it("takes a base with a port and a path", () => {
    expect(url(Operation.Ping(), "http://localhost:5000")).toBe("http://localhost:5000/v2/")
    expect(url(Operation.ListTags({ repository }), "https://h.example/prefix")).toBe(
      "https://h.example/prefix/v2/library/alpine/tags/list"
    )
  })

  it.each([
    ["https://h.example/u?sig=a+b%7E'", `https://h.example/u?sig=a+b%7E'&digest=sha256%3A${hex}`],
    ["HTTP://h.example:80/u", `HTTP://h.example:80/u?digest=sha256%3A${hex}`],
    ["https://h.example/u?", `https://h.example/u?digest=sha256%3A${hex}`],
    ["https://h.example/u?a=b&", `https://h.example/u?a=b&digest=sha256%3A${hex}`],
    ["https://h.example/u?a=b#part?x", `https://h.example/u?a=b&digest=sha256%3A${hex}`],
    ["/u?a=b", `https://registry.example/u?a=b&digest=sha256%3A${hex}`]
  ])("appends the digest to the location %s as text (C38, C39, trap 7)", (location, expected) => {
    const operation = Operation.CompleteUpload({ repository, location, digest: sha256 })
    expect(url(operation, "https://registry.example/prefix")).toBe(expected)
  })

  it.each([
    "//evil.example/x",
    ".evil.example/x",
    "@evil.example/x",
    ":80@evil.example",
    "\\\\evil.example",
    "javascript:x"
  ])("keeps the supplied path %s on the registry's origin (T3, T4)", (text) => {
    for (const operation of [
      Operation.UploadStatus({ repository, location: text }),
      Operation.ListTags({ repository, link: text })
    ]) {
      expect(new URL(url(operation)).origin).toBe("https://registry.example")
    }
  })

  it.each([
    Operation.ListTags({ repository, n: 5, link: "/v2/a/tags/list?n=100&last=x&orderby=" }),
    Operation.ListRepositories({ n: 5, link: "/v2/a/tags/list?n=100&last=x&orderby=" }),
    Operation.ListReferrers({
      repository,
      digest: sha256,
      artifactType: "a/b",
      link: "/v2/a/tags/list?n=100&last=x&orderby="
    })
  ])("requests a next page as linked (C85, C93): $_tag", (operation) => {
    expect(url(operation)).toBe("https://registry.example/v2/a/tags/list?n=100&last=x&orderby=")
  })
})

describe("fromRequest", () => {
  it.effect.each(wire)("%s is read from the wire", ([, operation, text, headers]) =>
    Effect.gen(function* () {
      expect(yield* Operation.fromRequest(line(text, headers))).toEqual({ ...operation })
    })
  )

  it.effect.each([
    [
      "POST /v2/a/blobs/uploads/?mount=&digest=&from=b",
      { "content-length": "0" },
      Operation.StartUpload({ repository: name("a") })
    ],
    [
      `POST /v2/a/blobs/uploads/?from=b&mount=sha256:${hex}&digest=sha256:${hex}`,
      {},
      Operation.MountBlob({ repository: name("a"), digest: sha256, from: name("b") })
    ],
    [
      `POST /v2/a/blobs/uploads/?mount=sha256:${hex}&from=`,
      {},
      Operation.MountBlob({ repository: name("a"), digest: sha256 })
    ],
    [
      `POST /v2/a/blobs/uploads/?digest=sha256:${hex}`,
      {},
      Operation.UploadBlob({ repository: name("a"), digest: sha256, size: 0 })
    ]
  ] as const)(
    "tells mount, single POST and session apart: %s (trap 15, trap 20)",
    ([text, headers, operation]) =>
      Effect.gen(function* () {
        expect(yield* Operation.fromRequest(line(text, headers))).toEqual({ ...operation })
      })
  )

  it.effect.each([
    [
      `GET /v2/a/blobs/sha256%3A${hex}`,
      { range: "bytes=0-1,4-5" },
      Operation.GetBlob({ repository: name("a"), digest: sha256 })
    ],
    [
      `GET /v2/a/referrers/sha256:${hex}?artifactType=application/spdx+json`,
      {},
      Operation.ListReferrers({
        repository: name("a"),
        digest: sha256,
        artifactType: "application/spdx+json"
      })
    ],
    [
      `GET /v2/a/referrers/sha256:${hex}?artifactType=`,
      {},
      Operation.ListReferrers({ repository: name("a"), digest: sha256 })
    ],
    [
      "PUT /v2/a/manifests/latest",
      { "content-type": "application/x; charset=utf-8" },
      Operation.PutManifest({
        repository: name("a"),
        reference: latest,
        mediaType: "application/x"
      })
    ],
    [
      "PUT /v2/a/manifests/latest",
      {},
      Operation.PutManifest({
        repository: name("a"),
        reference: latest,
        mediaType: "application/octet-stream"
      })
    ],
    ["GET /v2/a/tags/list?last=&n=0", {}, Operation.ListTags({ repository: name("a"), n: 0 })],
    ["GET /v2/a/tags/list?n=", {}, Operation.ListTags({ repository: name("a") })],
    ["GET /v2/a/tags/list?last=!!&n=1", {}, Operation.ListTags({ repository: name("a"), n: 1 })],
    ["GET /v2/_catalog?last=-x", {}, Operation.ListRepositories({})],
    ["GET /v2", {}, Operation.Ping()],
    ["HEAD /v2/", {}, Operation.Ping()],
    ["HEAD /v2/_catalog?n=1", {}, Operation.ListRepositories({ n: 1 })],
    ["HEAD /v2/a/tags/list", {}, Operation.ListTags({ repository: name("a") })],
    [
      "HEAD /v2/a/blobs/uploads/s",
      {},
      Operation.UploadStatus({ repository: name("a"), location: "/v2/a/blobs/uploads/s" })
    ],
    [
      `HEAD /v2/a/referrers/sha256:${hex}`,
      {},
      Operation.ListReferrers({ repository: name("a"), digest: sha256 })
    ],
    [
      `GET /v2/a/blobs/uploads/s?x=%2F&digest=sha256:${hex}&_state=+'`,
      {},
      Operation.UploadStatus({
        repository: name("a"),
        location: "/v2/a/blobs/uploads/s?x=%2F&_state=+'"
      })
    ],
    [
      `PUT /v2/a/blobs/uploads/s?digest=own&digest=sha256:${hex}`,
      { "content-range": "bytes 0-1", "content-length": "2" },
      Operation.CompleteUpload({
        repository: name("a"),
        location: "/v2/a/blobs/uploads/s?digest=own",
        digest: sha256,
        range: { start: 0, end: 1 }
      })
    ]
  ] as const)("is lenient with %s", ([text, headers, operation]) =>
    Effect.gen(function* () {
      expect(yield* Operation.fromRequest(line(text, headers))).toEqual({ ...operation })
    })
  )

  it.effect.each([
    ["GET /", 404, "UNSUPPORTED", {}],
    ["GET /v2x", 404, "UNSUPPORTED", {}],
    ["GET /v2/a%2Fb/tags/list", 404, "UNSUPPORTED", {}],
    ["GET /v2/A/tags/list", 400, "NAME_INVALID", {}],
    ["GET /v2/%2e%2e/tags/list", 400, "NAME_INVALID", {}],
    ["GET /v2/%252e%252e/tags/list", 400, "NAME_INVALID", {}],
    ["GET /v2/../a/tags/list", 400, "NAME_INVALID", {}],
    ["GET /v2/a//b/tags/list", 400, "NAME_INVALID", {}],
    [`GET /v2/${"a".repeat(300)}/tags/list`, 400, "NAME_INVALID", {}],
    ["GET /v2/a/manifests/-x", 400, "TAG_INVALID", {}],
    ["GET /v2/a/manifests/%2e%2e", 400, "TAG_INVALID", {}],
    ["PUT /v2/a/manifests/sha256:xyz", 400, "DIGEST_INVALID", {}],
    [`PUT /v2/a/manifests/sha256:${hex}?tag=ok&tag=-x`, 400, "TAG_INVALID", {}],
    ["GET /v2/a/blobs/latest", 400, "DIGEST_INVALID", {}],
    [`GET /v2/a/blobs/sha256:${hex.toUpperCase()}`, 400, "DIGEST_INVALID", {}],
    ["GET /v2/a/referrers/latest", 400, "DIGEST_INVALID", {}],
    ["GET /v2/a/tags/list?n=-1", 400, "PAGINATION_NUMBER_INVALID", {}],
    ["GET /v2/a/tags/list?n=1e3", 400, "PAGINATION_NUMBER_INVALID", {}],
    ["GET /v2/_catalog?n=99999999999999999999", 400, "PAGINATION_NUMBER_INVALID", {}],
    ["POST /v2/a/blobs/uploads/?digest=sha256:0", 400, "DIGEST_INVALID", {}],
    ["POST /v2/a/blobs/uploads/?mount=sha256:0", 400, "DIGEST_INVALID", {}],
    [`POST /v2/a/blobs/uploads/?mount=sha256:${hex}&from=B`, 400, "NAME_INVALID", {}],
    [
      `POST /v2/a/blobs/uploads/?digest=sha256:${hex}`,
      411,
      "SIZE_INVALID",
      { "transfer-encoding": "chunked" }
    ],
    [
      `POST /v2/a/blobs/uploads/?digest=sha256:${hex}`,
      411,
      "SIZE_INVALID",
      { "content-length": "-1" }
    ],
    ["PUT /v2/a/blobs/uploads/s", 400, "DIGEST_INVALID", {}],
    ["PATCH /v2/a/blobs/uploads/s", 400, "BLOB_UPLOAD_INVALID", { "content-range": "5-4" }],
    [
      "PATCH /v2/a/blobs/uploads/s",
      400,
      "SIZE_INVALID",
      { "content-range": "0-4", "content-length": "4" }
    ]
  ] as const)("%s is refused with %d %s", ([text, status, code, headers]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Operation.fromRequest(line(text, headers)))
      expect(error).toBeInstanceOf(Operation.InvalidRequest)
      expect([error.status, error.code, error.allow]).toEqual([status, code, undefined])
    })
  )

  it.effect.each([
    ["POST /v2/", "GET, HEAD"],
    ["DELETE /v2/_catalog", "GET, HEAD"],
    ["POST /v2/a/manifests/latest", "GET, HEAD, PUT, DELETE"],
    ["POST /v2/a/blobs/x", "GET, HEAD, PUT, DELETE"],
    ["GET /v2/a/blobs/uploads/", "POST"],
    ["POST /v2/a/blobs/uploads/s", "GET, HEAD, PATCH, PUT, DELETE"],
    ["PUT /v2/a/tags/list", "GET, HEAD"],
    ["POST /v2/a/referrers/x", "GET, HEAD"],
    ["constructor /v2/", "GET, HEAD"],
    ["__proto__ /v2/", "GET, HEAD"]
  ] as const)(
    "%s is answered 405 with the methods that are allowed (RFC 9110 §15.5.6)",
    ([text, allow]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Operation.fromRequest(line(text)))
        expect([error.status, error.code, error.allow]).toEqual([405, "UNSUPPORTED", allow])
      })
  )
})

describe("requiredScopes", () => {
  const pull = ["repository:library/alpine:pull"]
  const push = ["repository:library/alpine:pull,push"]
  const remove = ["repository:library/alpine:delete,pull"]
  it.each([
    [Operation.Ping(), []],
    [Operation.GetManifest({ repository, reference: latest }), pull],
    [Operation.HeadManifest({ repository, reference: latest }), pull],
    [Operation.GetBlob({ repository, digest: sha256 }), pull],
    [Operation.HeadBlob({ repository, digest: sha256 }), pull],
    [Operation.ListTags({ repository }), pull],
    [Operation.ListReferrers({ repository, digest: sha256 }), pull],
    [Operation.PutManifest({ repository, reference: latest, mediaType: "a/b" }), push],
    [Operation.StartUpload({ repository }), push],
    [Operation.UploadBlob({ repository, digest: sha256, size: 1 }), push],
    [Operation.PutBlob({ repository, digest: sha256, size: 1 }), push],
    [Operation.UploadChunk({ repository, location }), push],
    [Operation.CompleteUpload({ repository, location, digest: sha256 }), push],
    [Operation.UploadStatus({ repository, location }), push],
    [Operation.CancelUpload({ repository, location }), push],
    [Operation.MountBlob({ repository, digest: sha256 }), push],
    [Operation.MountBlob({ repository, digest: sha256, from: repository }), push],
    [
      Operation.MountBlob({ repository, digest: sha256, from: name("base") }),
      ["repository:base:pull", ...push]
    ],
    [Operation.DeleteManifest({ repository, reference: latest }), remove],
    [Operation.DeleteBlob({ repository, digest: sha256 }), remove],
    [Operation.ListRepositories({}), ["registry:catalog:*"]]
  ])("of $_tag", (operation, scopes) => {
    expect(Operation.requiredScopes(operation)).toEqual(scopes)
  })
})

const component = FastCheck.constantFrom(
  "a",
  "x-y",
  "blobs",
  "manifests",
  "tags",
  "uploads",
  "referrers",
  "list",
  "v2"
)
const names = FastCheck.array(component, { minLength: 1, maxLength: 5 }).map((parts) =>
  name(parts.join("/"))
)
const tags = FastCheck.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/).map(tag)
const digests = FastCheck.constantFrom(
  sha256,
  sha512,
  digest("sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7=")
)
const references = FastCheck.oneof(tags, digests)
const count = FastCheck.nat()
const ranges = FastCheck.record({ start: count, length: count }).map(({ start, length }) => ({
  start,
  end: start + length
}))
const mediaTypes = FastCheck.stringMatching(/^[a-z0-9]{1,9}\/[a-zA-Z0-9!#$&^_.+-]{1,20}$/)
const locations = FastCheck.tuple(
  names,
  FastCheck.uuid(),
  FastCheck.stringMatching(/^(\?[a-c+~%'=&]{1,9}x)?$/)
).map(([name, session, query]) => `/v2/${name}/blobs/uploads/${session}${query}`)

const optional = <A extends object, B extends object>(
  required: FastCheck.Arbitrary<A>,
  extra: FastCheck.Arbitrary<B>
) =>
  FastCheck.oneof(
    required,
    FastCheck.tuple(required, extra).map(([required, extra]): A & B => ({ ...required, ...extra }))
  )

const inRepository = FastCheck.record({ repository: names })
const named = FastCheck.record({ repository: names, reference: references })
const digested = FastCheck.record({ repository: names, digest: digests })
/** The repository of an upload is the one in its location, on a server. */
const located = locations.map((location) => ({
  repository: name(location.slice(4, location.lastIndexOf("/blobs/uploads/"))),
  location
}))

const operations: FastCheck.Arbitrary<Operation.Operation> = FastCheck.oneof(
  FastCheck.constant(Operation.Ping()),
  optional(named, FastCheck.record({ unless: digests })).map(Operation.GetManifest),
  named.map(Operation.HeadManifest),
  optional(
    FastCheck.record({ repository: names, reference: references, mediaType: mediaTypes }),
    FastCheck.record(
      {
        tags: FastCheck.array(tags, { minLength: 1, maxLength: 4 }),
        onlyIf: FastCheck.oneof(digests, FastCheck.constant("absent" as const))
      },
      { requiredKeys: [] }
    )
  ).map(Operation.PutManifest),
  named.map(Operation.DeleteManifest),
  optional(
    digested,
    FastCheck.record({
      range: FastCheck.oneof(
        ranges,
        FastCheck.record({ start: count }),
        FastCheck.record({ suffix: count })
      )
    })
  ).map(Operation.GetBlob),
  digested.map(Operation.HeadBlob),
  digested.map(Operation.DeleteBlob),
  optional(
    inRepository,
    FastCheck.record({ algorithm: FastCheck.constantFrom("sha512", "blake3", "x+y") })
  ).map(Operation.StartUpload),
  FastCheck.record({ repository: names, digest: digests, size: count }).map(Operation.UploadBlob),
  FastCheck.record({ repository: names, digest: digests, size: count }).map(Operation.PutBlob),
  optional(digested, FastCheck.record({ from: names })).map(Operation.MountBlob),
  optional(located, FastCheck.record({ range: ranges })).map(Operation.UploadChunk),
  optional(
    FastCheck.tuple(located, digests).map(([located, digest]) => ({ ...located, digest })),
    FastCheck.record({ range: ranges })
  ).map(Operation.CompleteUpload),
  located.map(Operation.UploadStatus),
  located.map(Operation.CancelUpload),
  optional(
    optional(inRepository, FastCheck.record({ n: count })),
    FastCheck.record({ last: tags })
  ).map(Operation.ListTags),
  optional(
    optional(FastCheck.record({}), FastCheck.record({ n: count })),
    FastCheck.record({ last: names })
  ).map(Operation.ListRepositories),
  optional(digested, FastCheck.record({ artifactType: mediaTypes })).map(Operation.ListReferrers)
)

it.effect.prop(
  "an operation survives the wire, whatever its repository is called (trap 64)",
  [operations],
  ([operation]) =>
    Effect.gen(function* () {
      const request = Operation.toRequest("https://registry.example", operation)
      expect(yield* Operation.fromRequest(received(request))).toStrictEqual(operation)
    })
)

const text = FastCheck.oneof(
  FastCheck.string({ unit: "binary" }),
  FastCheck.stringMatching(/^[-0-9a-z:%./?=&+,]{0,40}$/),
  FastCheck.constantFrom("__proto__", "%", "%2F", "..", "\u0000", "\ud800")
)

it.effect.prop(
  "whatever is received becomes an operation or a 4xx, never a defect (T8, T21)",
  [
    FastCheck.oneof(text, FastCheck.constantFrom("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")),
    FastCheck.oneof(
      text,
      text.map((text) => `/v2/${text}`),
      FastCheck.tuple(text, text, text, component).map(
        ([a, b, c, kind]) => `/v2/${a}/${kind}/${b}?${c}`
      ),
      FastCheck.tuple(text, text).map(([a, b]) => `/v2/a/blobs/uploads/${a}?digest=${b}`),
      text.map((text) => `/v2/_catalog?n=${text}&last=${text}`)
    ),
    FastCheck.dictionary(
      FastCheck.constantFrom("range", "content-range", "content-length", "content-type"),
      text
    )
  ],
  ([method, url, headers]) =>
    Effect.gen(function* () {
      const error = yield* Effect.merge(Operation.fromRequest({ method, url, headers }))
      if (error._tag === "InvalidRequest") expect([400, 404, 405, 411]).toContain(error.status)
      else
        expect(Operation.toRequest("https://registry.example", error).url).toMatch(
          /^https:\/\/registry\.example\/v2\//
        )
    })
)

it("tells operations apart", () => {
  expect(Operation.is("Ping")(Operation.Ping())).toBe(true)
  expect(Operation.is("Ping")(Operation.ListRepositories({}))).toBe(false)
})
