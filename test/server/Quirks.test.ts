/** Each quirk of a registry server, as it is on the wire. */
import { gunzipSync } from "node:zlib"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { Registry } from "../../src/Registry.js"
import * as Quirks from "../../src/server/Quirks.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { b1, b2, i1, m1, m2, s1, s2 } from "../client/quirks/content.js"
import { content } from "../client/quirks/mock.js"
import { webHandler } from "../support/server.js"

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly bytes: Uint8Array
}

type Body = NonNullable<RequestInit["body"]>

type Ask = (
  line: string,
  options?: { readonly headers?: Readonly<Record<string, string>>; readonly body?: Body }
) => Promise<Answer>

/** What is asked of a server with one quirk, and what comes of it. */
interface Row<Name extends keyof Quirks.Quirks> {
  readonly value: Exclude<Quirks.Quirks[Name], undefined>
  readonly asks: (ask: Ask) => Promise<unknown>
  readonly gets: unknown
  /** Other quirks that it goes with. */
  readonly with?: Quirks.Quirks
  readonly authorization?: "basic" | "token"
}

const users = { alice: Redacted.make("wonderland") }
const alice = { authorization: `Basic ${btoa("alice:wonderland")}` }
const mallory = { authorization: `Basic ${btoa("alice:wrong")}` }

const tags = "/v2/team/app/tags/list"
const v1 = "/v2/team/app/manifests/v1"
const multi = "/v2/team/app/manifests/multi"
const blob = `/v2/team/app/blobs/${b1.descriptor.digest}`
const uploads = "/v2/team/app/blobs/uploads/"
const referrers = `/v2/team/app/referrers/${m1.descriptor.digest}`
const mount = `${uploads}?mount=${b2.descriptor.digest}&from=team/base`
const anywhere = `${uploads}?mount=${b2.descriptor.digest}`
const octets = { "content-type": "application/octet-stream" }
const scope = "scope=repository:team/app:pull"

/** The location of an answer, as it can be asked for: with its session, or without. */
const location = ({ headers }: Answer): string => {
  const { pathname, search } = new URL(headers["location"] ?? "", "http://registry.test")
  return pathname + search
}
const withoutId = (text = "") => text.replace(/[0-9a-f-]{36}/, "<id>")

const header =
  (line: string, name: string, headers = {}) =>
  async (ask: Ask) =>
    (await ask(line, { headers })).headers[name]
const status =
  (line: string, headers = {}, body?: Body) =>
  async (ask: Ask) =>
    (await ask(line, { headers, ...(body !== undefined && { body }) })).status
const said =
  (line: string, headers = {}, body?: Body) =>
  async (ask: Ask) => {
    const { body: text, status } = await ask(line, {
      headers,
      ...(body !== undefined && { body })
    })
    return `${status} ${text}`
  }
const challenge = (line = `GET ${v1}`, headers = {}) => header(line, "www-authenticate", headers)
/** Opens an upload, asks something of it, and says what comes of that. */
const session = (asks: (path: string, ask: Ask) => Promise<unknown>) => async (ask: Ask) =>
  asks(location(await ask(`POST ${uploads}`)), ask)
const token = async (ask: Ask, path = "/token") =>
  JSON.parse((await ask(`GET ${path}?${scope}`, { headers: alice })).body)
const patch = (path: string, ask: Ask, body: string, headers = {}) =>
  ask(`PATCH ${path}`, { headers: { ...octets, ...headers }, body })

const unsupported = { status: 405, code: "UNSUPPORTED" }
const refuses = '405 {"errors":[{"code":"UNSUPPORTED","message":"unsupported"}]}'

const rows: { readonly [Name in keyof Quirks.Quirks]-?: Row<Name> } = {
  realm: {
    value: "https://auth.example/service/token",
    authorization: "token",
    asks: async (ask) => [
      await challenge()(ask),
      typeof (await token(ask, "/service/token")).token
    ],
    gets: [
      expect.stringContaining('Bearer realm="https://auth.example/service/token",service='),
      "string"
    ]
  },
  service: {
    value: "registry.example",
    authorization: "token",
    asks: async (ask) => [
      await challenge()(ask),
      await status(`GET /token?service=registry.example&${scope}`, alice)(ask),
      await status(
        "POST /token",
        { "content-type": "application/x-www-form-urlencoded" },
        `grant_type=password&username=alice&password=wonderland&client_id=a&service=registry.example&${scope}`
      )(ask)
    ],
    gets: [expect.stringContaining(',service="registry.example",scope='), 200, 200]
  },
  challengeScope: {
    value: "*",
    authorization: "token",
    asks: challenge(),
    gets: expect.stringMatching(/,scope="\*"$/)
  },
  pingScope: {
    value: "repository:user/image:pull",
    authorization: "token",
    asks: async (ask) => [await challenge("GET /v2/")(ask), await challenge()(ask)],
    gets: [
      expect.stringContaining(',scope="repository:user/image:pull"'),
      expect.stringContaining(',scope="repository:team/app:pull"')
    ]
  },
  challengeCase: {
    value: "upper",
    authorization: "basic",
    asks: challenge(),
    gets: expect.stringMatching(/^BASIC realm="/)
  },
  unquotedChallenges: {
    value: true,
    authorization: "token",
    asks: challenge(),
    gets: expect.stringMatching(/^Bearer realm=http:\/\/registry\.test\/token,service=/)
  },
  basicToo: {
    value: "field",
    authorization: "token",
    asks: async (ask) => [await challenge()(ask), await status(`GET ${v1}`, alice)(ask)],
    gets: [expect.stringMatching(/^Bearer .*",Basic realm="registry"$/), 200]
  },
  basicRealm: {
    value: "{url}",
    authorization: "basic",
    asks: challenge(),
    gets: `Basic realm="http://registry.test${v1}"`
  },
  basicService: {
    value: "ecr.amazonaws.com",
    authorization: "basic",
    asks: challenge(),
    gets: expect.stringMatching(/^Basic realm="[^"]*",service="ecr\.amazonaws\.com"$/)
  },
  challengePingOnly: {
    value: true,
    authorization: "token",
    asks: async (ask) => [
      await status(`GET ${v1}`)(ask),
      await challenge()(ask),
      await challenge("GET /v2/")(ask)
    ],
    gets: [401, undefined, expect.stringContaining("Bearer ")]
  },
  basicAfterToken: {
    value: "harbor",
    authorization: "token",
    asks: async (ask) => [
      await challenge()(ask),
      await challenge(`GET ${v1}`, { authorization: "Bearer old" })(ask)
    ],
    gets: [expect.stringContaining("Bearer "), 'Basic realm="harbor"']
  },
  refusedLogin: {
    value: { status: 403, code: "DENIED", message: "Your Authorization Token is invalid." },
    authorization: "basic",
    asks: async (ask) => [
      await status(`GET ${v1}`)(ask),
      await said(`GET ${v1}`, mallory)(ask),
      await status(`GET ${v1}`, alice)(ask)
    ],
    gets: [
      401,
      '403 {"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}',
      200
    ]
  },
  pingChallenge: {
    value: "basic realm=zot registry",
    asks: async (ask) => {
      const { headers, status } = await ask("GET /v2/")
      return [status, headers["www-authenticate"]]
    },
    gets: [200, "basic realm=zot registry"]
  },
  pingBody: {
    value: "true",
    asks: async (ask) => {
      const { body, headers } = await ask("GET /v2/")
      return [body, headers["content-type"]]
    },
    gets: ["true", "text/html; charset=utf-8"]
  },
  unauthorizedBody: {
    value: "true",
    authorization: "token",
    asks: async (ask) => {
      const { body, headers, status } = await ask("GET /v2/")
      return [status, body, headers["content-type"], headers["www-authenticate"]]
    },
    gets: [401, "true", "text/html; charset=utf-8", expect.stringContaining("Bearer ")]
  },
  tokenFields: {
    value: ["access_token"],
    authorization: "token",
    asks: async (ask) => Object.keys(await token(ask)),
    gets: ["access_token"]
  },
  emptyAccessToken: {
    value: true,
    authorization: "token",
    asks: token,
    gets: { token: expect.stringMatching(/./), access_token: "" }
  },
  tokenActions: {
    value: ["pull", "push", "*"],
    authorization: "token",
    asks: async (ask) => [
      await status("GET /token?scope=repository:a:pull,push", alice)(ask),
      await status("GET /token?scope=repository:a:delete,pull", alice)(ask)
    ],
    gets: [200, 400]
  },
  tokenRefusal: {
    value: { status: 401, body: '{"details":"incorrect username or password"}' },
    authorization: "token",
    asks: said("GET /token", mallory),
    gets: '401 {"details":"incorrect username or password"}'
  },
  tokenPost: {
    value: { status: 404 },
    authorization: "token",
    asks: async (ask) => [
      await status("POST /token", {}, "grant_type=password")(ask),
      await status("GET /token", alice)(ask)
    ],
    gets: [404, 200]
  },
  cookies: {
    value: true,
    asks: async (ask) => [
      await header("GET /v2/", "set-cookie")(ask),
      await status("GET /v2/", { cookie: "sid=1" })(ask)
    ],
    gets: ["sid=1; Path=/", 403]
  },
  apiVersion: {
    value: false,
    asks: header("GET /v2/", "docker-distribution-api-version"),
    gets: undefined
  },

  digestHeader: {
    value: "HEAD",
    asks: async (ask) => [
      await header(`GET ${v1}`, "docker-content-digest")(ask),
      await header(`HEAD ${v1}`, "docker-content-digest")(ask)
    ],
    gets: [undefined, m1.descriptor.digest]
  },
  putLocation: {
    value: false,
    asks: async (ask) => {
      const { headers, status } = await ask(`PUT ${v1}`, {
        headers: { "content-type": MediaType.imageManifest },
        body: Buffer.from(m2.bytes)
      })
      return [status, headers["location"], headers["docker-content-digest"]]
    },
    gets: [201, undefined, m2.descriptor.digest]
  },
  requiresAccept: {
    value: true,
    asks: async (ask) => [
      await said(`GET ${v1}`, { accept: MediaType.dockerManifest })(ask),
      await status(`GET ${v1}`, { accept: MediaType.imageManifest })(ask)
    ],
    gets: [expect.stringMatching(/^404 .*MANIFEST_UNKNOWN.*accept header does not support/), 200]
  },
  childForIndex: {
    value: true,
    asks: async (ask) => [
      await header(`GET ${multi}`, "docker-content-digest")(ask),
      await header(`HEAD ${multi}`, "docker-content-digest")(ask),
      await header(`GET ${multi}`, "docker-content-digest", { accept: MediaType.imageIndex })(ask),
      await header(
        `GET /v2/team/app/manifests/${i1.descriptor.digest}`,
        "docker-content-digest"
      )(ask)
    ],
    gets: [m1.descriptor.digest, m1.descriptor.digest, i1.descriptor.digest, i1.descriptor.digest]
  },
  schema1: {
    value: true,
    asks: async (ask) => [
      await header(`GET ${v1}`, "content-type", { accept: "*/*" })(ask),
      await header(`GET ${v1}`, "content-type", { accept: MediaType.imageManifest })(ask)
    ],
    gets: [MediaType.dockerSchema1Signed, MediaType.imageManifest]
  },
  jsonCharset: {
    value: true,
    asks: async (ask) => [
      await header(`GET ${tags}`, "content-type")(ask),
      await header(`GET ${blob}`, "content-type")(ask)
    ],
    gets: ["application/json; charset=utf-8", "application/octet-stream"]
  },
  storage: {
    value: 307,
    authorization: "basic",
    asks: async (ask) => {
      const redirected = await ask(`GET ${blob}`, { headers: alice })
      const { headers } = redirected
      const stored = location(redirected)
      return [
        await status(`GET ${blob}`)(ask),
        redirected.status,
        headers["location"],
        headers["docker-content-digest"],
        await said(`GET ${stored}`)(ask),
        await header(`GET ${stored}`, "docker-content-digest")(ask),
        await said(`GET ${stored}`, alice)(ask),
        await status(`GET ${stored.replace(/Signature=./, "Signature=?")}`)(ask),
        await status(`HEAD ${blob}`, alice)(ask)
      ]
    },
    gets: [
      401,
      307,
      expect.stringMatching(/^http:\/\/storage\.registry\.test\/storage\/.*X-Amz-Signature=/),
      b1.descriptor.digest,
      "200 b1",
      undefined,
      expect.stringMatching(/^400 <\?xml/),
      403,
      200
    ]
  },
  signedForGet: {
    value: true,
    with: { storage: 307 },
    asks: async (ask) => {
      const redirected = await ask(`HEAD ${blob}`)
      return [redirected.status, await status(`HEAD ${location(redirected)}`)(ask)]
    },
    gets: [307, 403]
  },
  gzip: {
    value: true,
    asks: async (ask) => {
      const { bytes, headers } = await ask(`GET ${blob}`, {
        headers: { "accept-encoding": "gzip" }
      })
      return [
        headers["content-encoding"],
        gunzipSync(bytes).toString(),
        await said(`GET ${blob}`, { "accept-encoding": "identity" })(ask)
      ]
    },
    gets: ["gzip", "b1", "200 b1"]
  },
  encodingLabel: {
    value: "x-gzip",
    asks: async (ask) => {
      const { body, headers } = await ask(`GET ${blob}`)
      return [headers["content-encoding"], body]
    },
    gets: ["x-gzip", "b1"]
  },
  headLength: { value: "0", asks: header(`HEAD ${v1}`, "content-length"), gets: "0" },
  missingHead: {
    value: { status: 405 },
    asks: async (ask) => [
      await status(`HEAD ${v1}x`)(ask),
      await status(`GET ${v1}x`)(ask),
      await status(`HEAD ${v1}`)(ask)
    ],
    gets: [405, 404, 200]
  },
  missingCode: {
    value: "UNKNOWN",
    asks: said(`GET ${v1}x`),
    gets: expect.stringMatching(/^404 {"errors":\[{"code":"UNKNOWN"/)
  },
  manifestTypes: {
    value: [MediaType.dockerManifest],
    asks: status(`PUT ${v1}`, { "content-type": MediaType.imageManifest }, Buffer.from(m2.bytes)),
    gets: 415
  },
  etag: {
    value: "other",
    asks: header(`HEAD ${v1}`, "etag"),
    gets: expect.not.stringContaining(m1.descriptor.digest)
  },
  ignoresConditions: {
    value: true,
    asks: status(
      `PUT ${v1}`,
      { "content-type": MediaType.imageManifest, "if-none-match": "*" },
      Buffer.from(m2.bytes)
    ),
    gets: 201
  },
  pushAccept: {
    value: true,
    asks: async (ask) => [
      await status(`POST ${uploads}`, { accept: MediaType.imageIndex.replace("+json", "") })(ask),
      await status(`POST ${uploads}`, { accept: "application/json" })(ask)
    ],
    gets: [406, 202]
  },
  tagLag: {
    value: 60_000,
    asks: async (ask) => {
      const put = status(
        `PUT ${v1}`,
        { "content-type": MediaType.imageManifest },
        Buffer.from(m2.bytes)
      )
      return [
        await put(ask),
        await header(`GET ${v1}`, "docker-content-digest")(ask),
        await status(`GET ${v1.replace("v1", m2.descriptor.digest)}`)(ask)
      ]
    },
    gets: [201, m1.descriptor.digest, 200]
  },
  immutableTags: {
    value: { status: 409, code: "TAG_INVALID" },
    asks: async (ask) => {
      const put = (path: string) =>
        status(`PUT ${path}`, { "content-type": MediaType.imageManifest }, Buffer.from(m2.bytes))
      return [
        await put(v1)(ask),
        await put(`${v1}-new`)(ask),
        await header(`GET ${v1}`, "docker-content-digest")(ask)
      ]
    },
    gets: [409, 201, m1.descriptor.digest]
  },
  digestTags: {
    value: true,
    asks: header(
      `GET /v2/team/app/manifests/${m1.descriptor.digest.replace(":", "-")}`,
      "docker-content-digest"
    ),
    gets: m1.descriptor.digest
  },
  queryTags: {
    value: false,
    asks: async (ask) => {
      const { headers, status } = await ask(
        `PUT /v2/team/app/manifests/${m2.descriptor.digest}?tag=a&tag=b`,
        {
          headers: { "content-type": MediaType.imageManifest },
          body: Buffer.from(m2.bytes)
        }
      )
      return [status, headers["oci-tag"], (await ask(`GET ${tags}`)).body]
    },
    gets: [201, undefined, '{"name":"team/app","tags":["multi","v1"]}']
  },

  singlePost: {
    value: false,
    asks: async (ask) => {
      const { headers, status } = await ask(
        `POST ${uploads}?digest=${Digest.fromBytes(new TextEncoder().encode("b3"))}`,
        { headers: octets, body: "b3" }
      )
      return [status, withoutId(headers["location"]), headers["range"]]
    },
    gets: [202, `${uploads}<id>`, "0-0"]
  },
  patch: {
    value: unsupported,
    asks: session(async (path, ask) => {
      const { body, status } = await patch(path, ask, "b3")
      return `${status} ${body}`
    }),
    gets: refuses
  },
  patchLimit: {
    value: 4,
    asks: session(async (path, ask) => [
      (await patch(path, ask, "12345")).body,
      (await patch(path, ask, "1234")).headers["range"]
    ]),
    gets: [
      '{"errors":[{"code":"REQUESTED_RANGE_NOT_SATISFIABLE","message":"the request body is too large"}]}',
      "0-3"
    ]
  },
  bodyLimit: {
    value: 4,
    asks: session(async (path, ask) => {
      const { body, status } = await patch(path, ask, "12345")
      return `${status} ${body}`
    }),
    gets: expect.stringMatching(/^413 <html>/)
  },
  patchStatus: {
    value: 201,
    asks: session(async (path, ask) => (await patch(path, ask, "1")).status),
    gets: 201
  },
  putContent: {
    value: { status: 405 },
    asks: session(async (path, ask) => [
      await status(`PUT ${path}?digest=${b1.descriptor.digest}`, octets, "b1")(ask),
      (await patch(path, ask, "b1")).status,
      await status(`PUT ${path}?digest=${b1.descriptor.digest}`)(ask)
    ]),
    gets: [405, 202, 201]
  },
  emptyPut: {
    value: { status: 500 },
    asks: session(async (path, ask) => [
      (await patch(path, ask, "b")).status,
      await status(`PUT ${path}?digest=${b1.descriptor.digest}`)(ask),
      await status(`PUT ${path}?digest=${b1.descriptor.digest}`, octets, "1")(ask)
    ]),
    gets: [202, 500, 201]
  },
  locations: {
    value: "relative",
    asks: async (ask) => {
      const { headers } = await ask(`POST ${uploads}`)
      return withoutId(headers["location"])
    },
    gets: "../uploads/<id>"
  },
  uploadState: {
    value: "_state",
    asks: session(async (path, ask) => {
      const second = await patch(path, ask, "b")
      return [
        withoutId(path),
        second.status,
        withoutId(second.headers["location"]),
        (await patch(path, ask, "1")).status,
        (await patch(path.replace(/\?.*/, ""), ask, "1")).status,
        (await patch(location(second), ask, "1")).status
      ]
    }),
    gets: [`${uploads}<id>?_state=1%2F+~!`, 202, `${uploads}<id>?_state=2%2F+~!`, 416, 416, 202]
  },
  chunkMinLength: {
    value: 5_242_880,
    asks: header(`POST ${uploads}`, "oci-chunk-min-length"),
    gets: "5242880"
  },
  chunkMaxLength: {
    value: 100_000_000,
    asks: header(`POST ${uploads}`, "oci-chunk-max-length"),
    gets: "100000000"
  },
  minPart: {
    value: 2,
    asks: session(async (path, ask) => [
      (await patch(path, ask, "12")).status,
      (await patch(path, ask, "3")).status,
      (await patch(path, ask, "45")).body
    ]),
    gets: [202, 202, expect.stringContaining("LayerPartTooSmallException")]
  },
  stuckRange: {
    value: true,
    asks: session(async (path, ask) => [
      (await patch(path, ask, "12")).headers["range"],
      (await patch(path, ask, "34")).headers["range"],
      await header(`GET ${path}`, "range")(ask)
    ]),
    gets: ["0-1", "0-1", "0-1"]
  },
  emptyRange: {
    value: "bytes=0--1",
    asks: header(`POST ${uploads}`, "range"),
    gets: "bytes=0--1"
  },
  countedRange: {
    value: true,
    asks: session(async (path, ask) => {
      await patch(path, ask, "123")
      const { headers } = await ask(`GET ${path}`)
      return [headers["range"], headers["location"]]
    }),
    gets: ["bytes=0-3", undefined]
  },
  uploadStatus: {
    value: { status: 404, body: "404 page not found\n" },
    asks: session((path, ask) => said(`GET ${path}`)(ask)),
    gets: "404 404 page not found\n"
  },
  forgetsBroken: {
    value: true,
    asks: session(async (path, ask) => {
      const broken = new ReadableStream({
        pull: (controller) => controller.error(new Error("broken"))
      })
      return [
        (await ask(`PATCH ${path}`, { headers: octets, body: broken })).status,
        await said(`GET ${path}`)(ask)
      ]
    }),
    gets: [400, expect.stringMatching(/^404 .*BLOB_UPLOAD_UNKNOWN/)]
  },
  numbersChunks: {
    value: true,
    asks: session(async (path, ask) => [
      (await patch(path, ask, "1")).status,
      (await patch(path, ask, "2")).status,
      (await patch(path, ask, "2", { "content-range": "1-1" })).status
    ]),
    gets: [202, 416, 202]
  },
  unknownUpload: {
    value: { status: 404, code: "BLOB_UPLOAD_INVALID" },
    asks: said(`GET ${uploads}0`),
    gets: expect.stringMatching(/^404 {"errors":\[{"code":"BLOB_UPLOAD_INVALID"/)
  },
  octetStreamOnly: {
    value: true,
    asks: session(async (path, ask) => [
      (await patch(path, ask, "1", { "content-type": "text/plain" })).status,
      (await patch(path, ask, "1")).status
    ]),
    gets: [415, 202]
  },
  uploadId: {
    value: "docker-upload-uuid",
    asks: async (ask) => withoutId(await header(`POST ${uploads}`, "docker-upload-uuid")(ask)),
    gets: "<id>"
  },

  mount: { value: "session", asks: status(`POST ${mount}`), gets: 202 },
  mountFromAnywhere: {
    value: { status: 400 },
    asks: async (ask) => [
      await status(`POST ${anywhere}`)(ask),
      await status(`POST ${mount}`)(ask)
    ],
    gets: [400, 201]
  },
  tagDelete: {
    value: unsupported,
    asks: async (ask) => [
      await said(`DELETE ${v1}`)(ask),
      await status(`DELETE /v2/team/app/manifests/${m1.descriptor.digest}`)(ask)
    ],
    gets: [refuses, 202]
  },
  manifestDelete: {
    value: unsupported,
    asks: async (ask) => [
      await said(`DELETE /v2/team/app/manifests/${m1.descriptor.digest}`)(ask),
      await status(`DELETE ${v1}`)(ask)
    ],
    gets: [refuses, 202]
  },
  taggedDelete: {
    value: { status: 400, code: "GOOGLE_MANIFEST_DANGLING_TAG" },
    asks: async (ask) => [
      await status(`DELETE /v2/team/app/manifests/${m1.descriptor.digest}`)(ask),
      await status(`DELETE ${v1}`)(ask),
      await status(`DELETE /v2/team/app/manifests/${m1.descriptor.digest}`)(ask)
    ],
    gets: [400, 202, 202]
  },
  blobDelete: {
    value: { status: 405, code: "METHOD NOT ALLOWED" },
    asks: said(`DELETE ${blob}`),
    gets: '405 {"errors":[{"code":"METHOD NOT ALLOWED","message":"method not allowed"}]}'
  },
  referrers: {
    value: { status: 303, headers: { location: "https://github.com/-/v2/packages/x" } },
    asks: header(`GET ${referrers}`, "location"),
    gets: "https://github.com/-/v2/packages/x"
  },
  subjectHeader: {
    value: false,
    asks: async (ask) => {
      const { headers, status } = await ask("PUT /v2/team/app/manifests/s1", {
        headers: { "content-type": MediaType.imageManifest },
        body: Buffer.from(s1.bytes)
      })
      return [status, headers["oci-subject"]]
    },
    gets: [201, undefined]
  },
  referrersFilter: {
    value: false,
    asks: async (ask) => {
      const { body, headers } = await ask(`GET ${referrers}?artifactType=a/b`)
      return [headers["oci-filters-applied"], JSON.parse(body).manifests.length]
    },
    gets: [undefined, 1]
  },

  pageSize: {
    value: 1,
    asks: async (ask) => {
      const { body, headers } = await ask(`GET ${tags}`)
      return [body, headers["link"]]
    },
    gets: ['{"name":"team/app","tags":["multi"]}', `<${tags}?n=1&last=multi>; rel="next"`]
  },
  maxPageSize: {
    value: 1,
    asks: header(`GET ${tags}?n=1000`, "link"),
    gets: `<${tags}?n=1&last=multi>; rel="next"`
  },
  tagPageLimit: {
    value: { over: 1000, status: 405, code: "UNSUPPORTED" },
    asks: async (ask) => [
      await said(`GET ${tags}?n=1001`)(ask),
      await status(`GET ${tags}?n=1000`)(ask)
    ],
    gets: [refuses, 200]
  },
  catalogPageLimit: {
    value: { over: 1000, status: 400, code: "PAGINATION_NUMBER_INVALID" },
    asks: said("GET /v2/_catalog?n=1001"),
    gets: expect.stringMatching(/^400 .*PAGINATION_NUMBER_INVALID/)
  },
  paging: {
    value: false,
    asks: said(`GET ${tags}?n=1&last=multi`),
    gets: '200 {"name":"team/app","tags":["multi","v1"]}'
  },
  emptyPage: { value: { status: 400 }, asks: status(`GET ${tags}?n=0`), gets: 400 },
  links: {
    value: "bare",
    asks: header(`GET ${tags}?n=1`, "link"),
    gets: `http://registry.test${tags}?n=1&last=multi; rel=next`
  },
  linkPrefix: {
    value: "/repository/docker",
    with: { links: "absolute" },
    asks: header(`GET ${tags}?n=1`, "link"),
    gets: `<http://registry.test/repository/docker${tags}?n=1&last=multi>; rel="next"`
  },
  linkQuery: {
    value: "orderby=",
    asks: header(`GET ${tags}?n=1`, "link"),
    gets: `<${tags}?n=1&last=multi&orderby=>; rel="next"`
  },
  previousLinks: {
    value: true,
    asks: async (ask) => {
      await ask("PUT /v2/team/app/manifests/s2", {
        headers: { "content-type": MediaType.imageManifest },
        body: Buffer.from(s2.bytes)
      })
      return header(`GET ${referrers}`, "link")(ask)
    },
    gets: expect.stringMatching(/^<[^>]*>; rel="prev" , <[^>]*>; rel="next"$/)
  },
  tagOrder: {
    value: "reverse",
    asks: async (ask) => {
      const { body, headers } = await ask(`GET ${tags}?n=1`)
      return [body, headers["link"], (await ask(`GET ${tags}?n=1&last=v1`)).body]
    },
    gets: [
      '{"name":"team/app","tags":["v1"]}',
      `<${tags}?n=1&last=v1>; rel="next"`,
      '{"name":"team/app","tags":["multi"]}'
    ]
  },
  strayTags: {
    value: [null],
    asks: said(`GET ${tags}`),
    gets: '200 {"name":"team/app","tags":["multi","v1",null]}'
  },
  emptyTags: {
    value: "null",
    asks: said("GET /v2/team/base/tags/list"),
    gets: '200 {"name":"team/base","tags":null}'
  },
  tagMaps: {
    value: true,
    asks: said(`GET ${tags}`),
    gets: '200 {"name":"team/app","tags":["multi","v1"],"child":[],"manifest":{}}'
  },
  catalog: { value: { status: 404 }, asks: status("GET /v2/_catalog"), gets: 404 },
  endlessCatalog: {
    value: true,
    asks: header("GET /v2/_catalog", "link"),
    gets: '</v2/_catalog?n=1000&last=>; rel="next"'
  },

  errors: {
    value: "bare",
    asks: said(`GET ${v1}x`),
    gets: expect.stringMatching(/^404 {"code":"MANIFEST_UNKNOWN","message":"/)
  },
  rateLimit: {
    value: "100;w=21600",
    asks: async (ask) => {
      const { headers } = await ask(`HEAD ${v1}`)
      return [headers["ratelimit-limit"], headers["ratelimit-remaining"]]
    },
    gets: ["100;w=21600", "100;w=21600"]
  },
  warning: {
    value: "This moves, soon",
    asks: header("GET /v2/", "warning"),
    gets: '299 - "This moves, soon"'
  }
}

/** Other values of some of them. */
const variants: ReadonlyArray<readonly [Quirks.Quirks, (ask: Ask) => Promise<unknown>, unknown]> = [
  [
    { locations: "absolute" },
    async (ask) => withoutId((await ask(`POST ${uploads}`)).headers["location"]),
    `http://registry.test${uploads}<id>`
  ],
  [
    { links: "absolute" },
    header(`GET ${tags}?n=1`, "link"),
    `<http://registry.test${tags}?n=1&last=multi>; rel="next"`
  ],
  [{ links: "none" }, header(`GET ${tags}?n=1`, "link"), undefined],
  [{ links: "query" }, header(`GET ${tags}?n=1`, "link"), '<?n=1&last=multi>; rel="next"'],
  [
    { links: "body" },
    said(`GET ${tags}?n=1`),
    `200 {"name":"team/app","tags":["multi"],"next":"${tags}?n=1&last=multi"}`
  ],
  [
    { links: "shortened" },
    header(`GET ${tags}?n=1`, "link"),
    '</v2/app/tags/list?n=1&last=multi>; rel="next"'
  ],
  [
    { links: "bare", endlessCatalog: true },
    header("GET /v2/_catalog", "link"),
    "/v2/_catalog?n=1000&last=; rel=next"
  ],
  [
    { errors: "uncoded" },
    said(`GET ${v1}x`),
    expect.stringMatching(/^404 {"errors":\[{"status":404,"message":"/)
  ],
  [{ errors: "empty" }, said(`GET ${v1}x`), "404 "],
  [{ errors: "text" }, said(`GET ${v1}x`), "404 Repository team/app has no manifest v1x\n"],
  [{ emptyTags: "absent" }, said("GET /v2/team/base/tags/list"), '200 {"name":"team/base"}'],
  [{ etag: "none" }, header(`HEAD ${v1}`, "etag"), undefined],
  [{ headLength: "none" }, header(`HEAD ${v1}`, "content-length"), undefined],
  [{ digestHeader: "none" }, header(`HEAD ${v1}`, "docker-content-digest"), undefined],
  [{ mountFromAnywhere: "session" }, status(`POST ${anywhere}`), 202],
  [{ mount: { status: 404 } }, status(`POST ${mount}`), 404]
]

const ask = (
  quirks: Quirks.Quirks,
  kind: "basic" | "token" | undefined,
  referrersPageSize?: number
) =>
  Effect.gen(function* () {
    const registry = yield* MemoryRegistry.make()
    yield* content(registry)
    const authorization =
      kind === undefined
        ? undefined
        : kind === "basic"
          ? ServerAuthorization.basic({ users })
          : yield* ServerAuthorization.token({ users })
    const handler = yield* Effect.provideService(
      webHandler({ quirks, authorization, ...(referrersPageSize && { referrersPageSize }) }),
      Registry,
      registry
    )
    return async (line: string, { body, headers = {} }: Parameters<Ask>[1] = {}) => {
      const [method = "", path = ""] = line.split(" ")
      const length =
        typeof body === "string" ? { "content-length": String(Buffer.byteLength(body)) } : {}
      const response = await handler(
        new Request(`http://registry.test${path}`, {
          method,
          headers: { ...length, ...headers },
          body: body ?? null,
          ...(body instanceof ReadableStream && { duplex: "half" })
        })
      )
      const bytes = new Uint8Array(await response.arrayBuffer())
      return {
        status: response.status,
        headers: Object.fromEntries(response.headers),
        body: new TextDecoder().decode(bytes),
        bytes
      }
    }
  })

describe("each quirk on the wire", () => {
  it.scoped.each(Object.entries(rows))("%s", ([name, row]) =>
    Effect.gen(function* () {
      const { asks, authorization, gets, value } = row
      const quirks = { ...row.with, [name]: value }
      const healthy = yield* ask({ ...row.with }, authorization, 1)
      const quirky = yield* ask(quirks, authorization, 1)
      const result = yield* Effect.promise(() => asks(quirky))
      if (
        typeof gets === "object" &&
        gets !== null &&
        !Array.isArray(gets) &&
        !("asymmetricMatch" in gets)
      )
        expect(result).toMatchObject(gets)
      else expect(result).toEqual(gets)
      // Without the quirk it is otherwise.
      const other = yield* Effect.promise(() => asks(healthy).catch(() => "nothing"))
      expect(other).not.toEqual(result)
    })
  )

  it.scoped.each(variants.map((variant) => [JSON.stringify(variant[0]), variant] as const))(
    "%s",
    ([, [quirks, asks, gets]]) =>
      Effect.gen(function* () {
        const quirky = yield* ask(quirks, undefined)
        expect(yield* Effect.promise(() => asks(quirky))).toEqual(gets)
      })
  )

  it("in each profile is one that there is", () => {
    const profiles = Object.entries(Quirks)
    expect(profiles.map(([name]) => name)).toContain("harbor")
    for (const [, profile] of profiles)
      expect(Object.keys(profile).filter((name) => !(name in rows))).toEqual([])
  })
})
