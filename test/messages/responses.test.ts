/** What people are told of responses: pages, limits, missing things, token servers, redirects. */
import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as Registries from "../../src/Registries.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import { utf8 } from "../support/fixtures.js"
import { type Reply, type Script, scriptOn } from "../support/socketRegistry.js"
import { type Row, tellsOf, told } from "./told.js"

const digest = Digest.fromBytes(utf8("b1"))

type Failing = Effect.Effect<unknown, { readonly message: string }, Registries.Registries>

/** What is told of a mistake with `HOST/owner/name` at a registry that is this script. */
const at = (
  script: (url: string) => Script,
  mistake: (name: string) => Failing
): Effect.Effect<string, unknown, never> =>
  Effect.gen(function* () {
    const { url } = yield* scriptOn(script)
    const { host } = new URL(url)
    const layer = NodeRegistry.layerRegistries({
      hosts: { [host]: { retry: { attempts: 0 } } },
      http: { certificateFolders: [] }
    }).pipe(Layer.provide(Credentials.layerAnonymous))
    const places = { HOST: host, DIGEST: digest, ENCODED: encodeURIComponent(digest) }
    return yield* told(Effect.provide(mistake(`${host}/owner/name`), layer), places)
  }).pipe(Effect.scoped)

const always = (reply: Reply) => (): Script => new Proxy({}, { get: () => reply })

const page = (status: number, title: string): Reply => ({
  status,
  headers: { "content-type": "text/html; charset=utf-8" },
  body: `<html>\r\n<head><TITLE>${title}</TITLE></head>\r\n<body>${title}</body></html>\r\n`
})

const json = (status: number, body: unknown, headers: Reply["headers"] = {}): Reply => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body)
})

const error = (status: number, code: string, message: string, detail?: unknown): Reply =>
  json(status, { errors: [{ code, message, detail }] })

const get = (name: string): Failing => Registries.manifest(`${name}:1`)
const list = (name: string): Failing => Stream.runDrain(Registries.tags(name))
const read = (name: string): Failing => Stream.runDrain(Registries.blob(`${name}@${digest}`))
const remove = (name: string): Failing => Registries.remove(`${name}@${digest}`)
const ping = (name: string): Failing =>
  Effect.flatMap(Registries.open(name), ({ registry }) => registry.ping)
const put = (name: string): Failing =>
  Effect.flatMap(Registries.open(name), ({ registry, repository }) =>
    registry.putManifest(
      repository,
      Manifest.image({ config: Descriptor.empty, layers: [], artifactType: "a/b" }),
      { tags: [Reference.unsafeParseTag("1")] }
    )
  )
const upload = (name: string): Failing =>
  Effect.flatMap(Registries.open(name), ({ registry, repository }) =>
    registry.putBlob(repository, BlobSource.fromBytes(utf8("b1")), { chunkSize: 1 })
  )

/** A registry whose uploads open a session, and which has no blob. */
const sessions = (reply: Reply) => (): Script => ({
  [`HEAD /v2/owner/name/blobs/${digest}`]: { status: 404 },
  "POST /v2/owner/name/blobs/uploads/": { status: 202, headers: { location: "/u/1" } },
  "PATCH /u/1": reply,
  "GET /u/1": { status: 204, headers: { location: "/u/1", range: "0-0" } },
  "DELETE /u/1": { status: 204 }
})

const asking =
  (realm: string, token: Reply) =>
  (url: string): Script =>
    new Proxy(
      {},
      {
        get: (_, line) =>
          String(line).includes("/token?")
            ? token
            : {
                status: 401,
                headers: {
                  "www-authenticate": `Bearer realm="${realm === "" ? url : realm}/token",service="s"`
                }
              }
      }
    )

const notRegistry = "this is probably not a registry: check the host, or open its URL in a browser"
const why = "its log, or that of a proxy before it, says why"
const manifest = "(GET http://HOST/v2/owner/name/manifests/1 answered"
const tokens =
  "(GET http://HOST/token?service=s&client_id=REDACTED&scope=repository%3Aowner%2Fname%3Apull"

const rows: ReadonlyArray<Row> = [
  [
    "a web server's page instead of a manifest",
    at(always(page(404, "404 Not Found")), get),
    `Repository owner/name has no manifest 1: the server sent a page "404 Not Found"; ` +
      `${notRegistry} ${manifest} 404)`
  ],
  [
    "a web server's page instead of tags",
    at(always(page(404, "404 Not Found")), list),
    `Repository owner/name is unknown: the server sent a page "404 Not Found"; ${notRegistry} ` +
      "(GET http://HOST/v2/owner/name/tags/list answered 404)"
  ],
  [
    "a web server's page instead of an upload",
    at(always(page(404, "Nothing &amp; nobody")), upload),
    "The registry does not support uploading blobs: the server sent a page " +
      `"Nothing & nobody"; ${notRegistry} (POST http://HOST/v2/owner/name/blobs/uploads/ ` +
      "answered 404)"
  ],
  [
    "a page to log in, of a proxy or portal",
    at(always(page(200, "Log in")), get),
    `The response is not a manifest: the server sent a page "Log in"; ${notRegistry} ` +
      `${manifest} 200)`
  ],
  [
    "a page to log in, instead of tags",
    at(always(page(200, "Log in")), list),
    `The response is not a list of tags: the server sent a page "Log in"; ${notRegistry} ` +
      "(GET http://HOST/v2/owner/name/tags/list answered 200)"
  ],
  [
    "a page to log in, for a ping",
    at(always(page(200, "Log in")), ping),
    "The registry does not support the distribution API (GET /v2/): the server sent a page " +
      `"Log in"; ${notRegistry} (GET http://HOST/v2/ answered 200)`
  ],
  [
    "the page of a gateway whose registry is down",
    at(always(page(502, "502 Bad Gateway")), get),
    `The registry failed: the server sent a page "502 Bad Gateway"; it may be down or starting: ` +
      `try again later ${manifest} 502)`
  ],
  [
    "a failure without a word",
    at(always({ status: 500 }), get),
    `The registry failed; ${why} ${manifest} 500)`
  ],
  [
    "an upload that is too large",
    at(sessions(page(413, "413 Request Entity Too Large")), upload),
    'The registry refuses the request: the server sent a page "413 Request Entity Too Large"; ' +
      "it, or a proxy before it, does not take as much in one request: set the option chunkSize " +
      "to fewer bytes, or have the limit raised (PATCH http://HOST/u/1 answered 413)"
  ],
  [
    "a manifest that is too large",
    at(always(page(413, "413 Request Entity Too Large")), put),
    'The registry refuses the request: the server sent a page "413 Request Entity Too Large"; ' +
      "the manifest is larger than it, or a proxy before it, takes: leave out annotations or " +
      "layers, or have the limit raised (PUT http://HOST/v2/owner/name/manifests/1 answered 413)"
  ],
  [
    "a disk that is full at the registry, by the number of the system",
    at(
      always(
        error(500, "UNKNOWN", "unknown error", {
          DriverName: "filesystem",
          Enclosed: { Op: "mkdir", Path: "/var/lib/registry", Err: 28 }
        })
      ),
      put
    ),
    'The registry failed: the server says "unknown error" ({"DriverName":"filesystem",' +
      '"Enclosed":{"Op":"mkdir","Path":"/var/lib/registry","Err":28}}); the disk of the registry ' +
      "is full (PUT http://HOST/v2/owner/name/manifests/1 answered 500)"
  ],
  [
    "a disk that is full at the registry, in words",
    at(sessions(error(500, "UNKNOWN", "write /data: no space left on device")), upload),
    'The registry failed: the server says "write /data: no space left on device"; the disk of ' +
      "the registry is full (PATCH http://HOST/u/1 answered 500)"
  ],
  [
    "http to a port of Go's https",
    at(always({ status: 400, body: "Client sent an HTTP request to an HTTPS server.\n" }), get),
    'The registry refuses the request: the server says "Client sent an HTTP request to an HTTPS ' +
      `server."; give its url as https://… ${manifest} 400)`
  ],
  [
    "http to a port of nginx's https",
    at(always(page(400, "400 The plain HTTP request was sent to HTTPS port")), get),
    'The registry refuses the request: the server sent a page "400 The plain HTTP request was ' +
      `sent to HTTPS port"; give its url as https://… ${manifest} 400)`
  ],
  [
    "a tag that does not exist",
    at(always(error(404, "MANIFEST_UNKNOWN", "manifest unknown", { Tag: "1" })), get),
    'Repository owner/name has no manifest 1: the server says MANIFEST_UNKNOWN "manifest ' +
      `unknown" ${manifest} 404)`
  ],
  [
    "a repository that does not exist",
    at(always(error(404, "NAME_UNKNOWN", "repository name not known to registry")), list),
    'Repository owner/name is unknown: the server says NAME_UNKNOWN "repository name not known ' +
      'to registry"; check the name, and whether the credentials may see it ' +
      "(GET http://HOST/v2/owner/name/tags/list answered 404)"
  ],
  [
    "a push to a repository that has to be created first",
    at(always(error(404, "NAME_UNKNOWN", "The repository does not exist")), upload),
    'Repository owner/name is unknown: the server says NAME_UNKNOWN "The repository does not ' +
      'exist"; check the name; some registries want a repository to be created before the first ' +
      "push (POST http://HOST/v2/owner/name/blobs/uploads/ answered 404)"
  ],
  [
    "a blob that does not exist",
    at(always(error(404, "BLOB_UNKNOWN", "blob unknown to registry", digest)), read),
    'Repository owner/name lacks blob DIGEST: the server says BLOB_UNKNOWN "blob unknown to ' +
      'registry" (GET http://HOST/v2/owner/name/blobs/DIGEST answered 404)'
  ],
  [
    "a manifest whose blobs were not pushed",
    at(always(error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", digest)), put),
    "Repository owner/name lacks DIGEST, to which the manifest refers: the server says " +
      'MANIFEST_BLOB_UNKNOWN "blob unknown to registry"; push that first, or mount it from ' +
      "another repository (PUT http://HOST/v2/owner/name/manifests/1 answered 400)"
  ],
  [
    "a manifest that the registry takes for invalid",
    at(always(error(400, "MANIFEST_INVALID", "manifest invalid", "mediaType is missing")), put),
    'The registry refuses the request: the server says MANIFEST_INVALID "manifest invalid" ' +
      "(mediaType is missing) (PUT http://HOST/v2/owner/name/manifests/1 answered 400)"
  ],
  [
    "a rate limit",
    at(
      always(
        json(
          429,
          { errors: [{ code: "TOOMANYREQUESTS", message: "pull rate limit" }] },
          { "retry-after": "120" }
        )
      ),
      get
    ),
    'The registry limits the rate of requests: the server says TOOMANYREQUESTS "pull rate ' +
      `limit"; try again in 120 s ${manifest} 429)`
  ],
  [
    "a registry that is read-only",
    at(always(error(405, "UNSUPPORTED", "The operation is unsupported.")), upload),
    'The registry does not support uploading blobs: the server says UNSUPPORTED "The operation ' +
      'is unsupported."; it may be a mirror, or read-only for now: push to the registry itself ' +
      "(POST http://HOST/v2/owner/name/blobs/uploads/ answered 405)"
  ],
  [
    "a registry that deletes nothing",
    at(always(error(405, "UNSUPPORTED", "The operation is unsupported.")), remove),
    'The registry does not support deleting manifests: the server says UNSUPPORTED "The ' +
      'operation is unsupported."; whoever runs the registry may have switched it off ' +
      "(DELETE http://HOST/v2/owner/name/manifests/DIGEST answered 405)"
  ],
  [
    "a policy that forbids",
    at(always(error(412, "PROJECTPOLICYVIOLATION", "5 vulnerabilities")), get),
    'The registry refuses the request: the server says PROJECTPOLICYVIOLATION "5 ' +
      `vulnerabilities" ${manifest} 412)`
  ],
  [
    "a manifest of another type than it was sent as",
    at(
      always(
        json(
          200,
          { schemaVersion: 2, mediaType: MediaType.imageIndex, manifests: [] },
          { "content-type": MediaType.imageManifest }
        )
      ),
      get
    ),
    `HOST/owner/name:1: expected a manifest of type "${MediaType.imageManifest}", but it says ` +
      `that it is "${MediaType.imageIndex}"`
  ],
  [
    "a blob that was replaced",
    at(always({ body: "b2" }), read),
    "Content was expected to have digest DIGEST and has " +
      `${Digest.fromBytes(utf8("b2"))}: it was corrupted or replaced, and is not to be trusted ` +
      "(GET http://HOST/v2/owner/name/blobs/DIGEST answered 200)"
  ],
  [
    "content over a limit",
    at(always({ body: "b1" }), (name) =>
      Effect.flatMap(Registries.open(name), ({ registry, repository }) =>
        registry.getBlobBytes(repository, digest, { limit: 1 })
      )
    ),
    "Blob DIGEST exceeds the limit of 1 bytes; the option limit allows more " +
      "(GET http://HOST/v2/owner/name/blobs/DIGEST answered 200)"
  ],
  [
    "a token server that fails",
    at(asking("", { status: 500 }), get),
    `The token server failed; ${why} ${tokens} answered 500, for ` +
      "GET http://HOST/v2/owner/name/manifests/1)"
  ],
  [
    "a token server that limits the rate",
    at(asking("", { status: 429, headers: { "retry-after": "30" } }), get),
    `The token server limits the rate of requests; try again in 30 s ${tokens} answered 429, for ` +
      "GET http://HOST/v2/owner/name/manifests/1)"
  ],
  [
    "a token server that is down",
    at(asking("http://127.0.0.1:9", {}), get),
    "No connection to the token server: ECONNREFUSED 127.0.0.1:9; nothing listens there; check " +
      "host and port, and that it runs (GET http://127.0.0.1:9/token?service=s&client_id=" +
      "REDACTED&scope=repository%3Aowner%2Fname%3Apull, for " +
      "GET http://HOST/v2/owner/name/manifests/1)"
  ],
  [
    "storage that is down, behind a redirect",
    at(always({ status: 307, headers: { location: "http://127.0.0.1:9/b1?signature=x" } }), read),
    "No connection to the server that the registry redirects to: ECONNREFUSED 127.0.0.1:9; " +
      "nothing listens there; check host and port, and that it runs (GET " +
      "http://127.0.0.1:9/b1?signature=REDACTED, for GET http://HOST/v2/owner/name/blobs/DIGEST)"
  ]
]

describe("people are told of", () => tellsOf(rows))
