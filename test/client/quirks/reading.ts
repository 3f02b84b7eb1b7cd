/**
 * Section 2: what differs where manifests and blobs are read, in their headers, and where redirects
 * lead.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Registry } from "../../../src/Registry.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import { gather, items } from "../../support/fixtures.js"
import { status } from "../world.js"
import { known, manifest, pull, pulled, takesPasswords } from "./authorization.js"
import { app, b1, i1, m1, m2, multi, nothing, source, tiny, v1, v2 } from "./content.js"
import {
  answers,
  changes,
  first,
  type Handler,
  type Quirk,
  rewrites,
  type Seen,
  sets
} from "./mock.js"
import type { Row } from "./row.js"

const blob = "GET /v2/team/app/blobs/b1"
const head = "HEAD /v2/team/app/manifests/v1"
const text = (registry: Registry.Service) =>
  Effect.map(gather(registry.getBlob(app, b1.descriptor.digest)), (bytes) =>
    new TextDecoder().decode(bytes)
  )

const html = () =>
  status(200, "<html><body>Sign in</body></html>", { "content-type": "text/html; charset=utf-8" })
const xml = (code: string) =>
  status(400, `<?xml version="1.0"?><Error><Code>${code}</Code></Error>`)

/** Storage that serves `b1`, and takes nobody who shows more than the URL. */
const storage =
  (refusal: () => Response) =>
  (): Handler =>
  ({ authorization, headers, method }) =>
    authorization !== undefined || headers["x-tenant"] !== undefined
      ? refusal()
      : status(200, method === "HEAD" ? null : b1.bytes, { "content-length": "2" })

const redirects = (
  kind: Parameters<typeof answers>[0],
  code: number,
  location: string,
  headers = {}
): Quirk => answers(kind, () => status(code, null, { location, ...headers }))

/**
 * Blobs are elsewhere: asked for with a password and a header of the caller's, they are read there
 * with neither.
 */
const readsBlobsAt = (
  at: Row["at"],
  host: string,
  code: number,
  url: string,
  refusal: () => Response
): Row => ({
  at: [...at, "rule 19"],
  does: `sends whoever reads a blob to storage with ${code}, where only the URL counts`,
  host,
  quirks: [takesPasswords('Basic realm="r"'), redirects("GET Blob", code, url)],
  others: { [new URL(url).origin]: storage(refusal) },
  credentials: known(host),
  options: { headers: { "x-tenant": "blue" } },
  run: text,
  gives: "b1",
  wire: [blob, `${blob} as alice`, `GET ${url}`]
})

const accepts =
  (type: string) =>
  ({ headers }: Seen) =>
    headers["accept"]?.includes(type) === true

export const rows: ReadonlyArray<Row> = [
  // Where storage is.
  readsBlobsAt(
    ["§2 Docker Hub"],
    "docker.io",
    307,
    "https://production.cloudflare.docker.com/registry-v2/b?verify=1-a%2Bb%3D",
    () => status(403)
  ),
  readsBlobsAt(
    ["§2 GHCR"],
    "ghcr.io",
    307,
    "https://pkg-containers.githubusercontent.com/ghcr1/b?se=1&sig=a%2Fb",
    () => status(403)
  ),
  readsBlobsAt(
    ["§2 ECR"],
    "1.dkr.ecr.eu-west-1.amazonaws.com",
    307,
    "https://prod-starport.s3.eu-west-1.amazonaws.com/b?X-Amz-Security-Token=a%2F%2B&X-Amz-Signature=ab",
    () => xml("InvalidArgument")
  ),
  readsBlobsAt(
    ["§2 GCR"],
    "gcr.io",
    302,
    "https://storage.googleapis.com/b?access_token=ya29.a",
    () => status(401)
  ),
  readsBlobsAt(
    ["§2 ACR"],
    "x.azurecr.io",
    307,
    "https://eus.blob.core.windows.net/a//docker/registry/b?sig=a%2Bb%3D&sv=1",
    () => xml("InvalidAuthenticationInfo")
  ),
  readsBlobsAt(
    ["§2 Quay"],
    "quay.io",
    302,
    "https://cdn.quay.io/b?Signature=a~b-c_&Key-Pair-Id=k",
    () => status(403)
  ),
  {
    at: ["§2 Quay"],
    does: "answers an authenticated ping with true, as text/html",
    host: "quay.io",
    quirks: [
      takesPasswords('Basic realm="r"'),
      answers("GET Base", () => status(200, "true", { "content-type": "text/html" }))
    ],
    credentials: known("quay.io"),
    run: (registry) => Effect.as(registry.ping, "pong"),
    gives: "pong",
    wire: ["GET /v2/", "GET /v2/ as alice"]
  },
  {
    at: ["§2 GCR"],
    does: "has a token in the URL of its storage, which no error shows",
    host: "gcr.io",
    quirks: [
      redirects("GET Blob", 302, "https://storage.googleapis.com/b?access_token=ya29.secret")
    ],
    others: {
      "https://storage.googleapis.com": () => () =>
        status(403, "<Error><Code>AccessDenied</Code></Error>")
    },
    run: text,
    fails: {
      _tag: "RegistryFailure",
      status: 403,
      url: "https://storage.googleapis.com/b?access_token=REDACTED",
      errors: [{ code: "AccessDenied" }]
    },
    wire: [blob, "GET https://storage.googleapis.com/b?access_token=ya29.secret"]
  },
  {
    at: ["§2 ACR", "rule 7"],
    does: "names the digest on the redirect, and storage does not",
    host: "x.azurecr.io",
    quirks: [
      redirects("HEAD Blob", 307, "https://eus.blob.core.windows.net/b", {
        "docker-content-digest": b1.descriptor.digest
      })
    ],
    others: {
      "https://eus.blob.core.windows.net": storage(() => xml("InvalidAuthenticationInfo"))
    },
    run: (registry) => registry.headBlob(app, b1.descriptor.digest),
    gives: Option.some({ digest: b1.descriptor.digest, size: 2 }),
    wire: ["HEAD /v2/team/app/blobs/b1", "HEAD https://eus.blob.core.windows.net/b"]
  },

  // What is asked for.
  {
    at: ["§2 Docker Hub"],
    does: "counts a GET as a pull, and not a HEAD",
    host: "docker.io",
    quirks: [],
    run: (registry) => registry.headManifest(app, v1),
    gives: Option.some(m1.descriptor),
    wire: [head]
  },
  {
    at: ["§2 Docker Hub", "§2 distribution", "rule 6"],
    does: "has a child for whoever does not accept a list, and says nothing",
    quirks: [
      rewrites("Manifest", (seen) =>
        accepts(MediaType.imageIndex)(seen) && accepts(MediaType.dockerManifestList)(seen)
          ? {}
          : { url: new URL("/v2/team/app/manifests/v1", seen.url) }
      )
    ],
    run: (registry) =>
      Effect.all([registry.getManifest(app, multi), registry.headManifest(app, multi)]),
    gives: [{ descriptor: i1.descriptor }, Option.some(i1.descriptor)]
  },
  {
    at: ["§2 distribution", "rule 6"],
    does: "has nothing for whoever does not accept OCI's types",
    quirks: [
      answers("Manifest", (seen) =>
        accepts(MediaType.imageManifest)(seen)
          ? undefined
          : status(
              404,
              '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"OCI manifest found, but accept header does not support OCI manifests"}]}'
            )
      )
    ],
    run: (registry) => Effect.all([pull(registry), registry.headManifest(app, v1)]),
    gives: [pulled, Option.some(m1.descriptor)]
  },
  {
    at: ["§2 Quay", "rule 6"],
    does: "converts for whoever accepts no type that it knows",
    host: "quay.io",
    quirks: [
      answers("GET Manifest", (seen) =>
        accepts(MediaType.imageManifest)(seen) && accepts(MediaType.dockerManifest)(seen)
          ? undefined
          : status(200, '{"schemaVersion":1}', { "content-type": MediaType.dockerSchema1Signed })
      )
    ],
    run: pull,
    gives: pulled
  },
  {
    at: ["§2 Quay", "rule 20"],
    does: "compresses blobs for whoever takes gzip (Red Hat's)",
    quirks: [
      changes("GET Blob", (response, { headers }) =>
        headers["accept-encoding"] === "identity"
          ? response
          : status(200, "?", { "content-encoding": "gzip" })
      )
    ],
    run: text,
    gives: "b1",
    wire: [blob]
  },
  {
    at: ["§2 Artifactory", "§3 Artifactory"],
    does: "refuses to push for whoever accepts manifests only",
    quirks: [
      answers("", ({ headers, method }) =>
        ["POST", "PUT", "PATCH"].includes(method) && !/^$|json|\*\/\*/.test(headers["accept"] ?? "")
          ? status(406)
          : undefined
      )
    ],
    run: (registry) =>
      Effect.zipRight(
        registry.putBlob(app, source(tiny)),
        registry.putManifest(app, m2, { tags: [v2] })
      ),
    gives: m2.descriptor
  },
  {
    at: ["§2 Cloudflare"],
    does: "takes no manifest without a type",
    quirks: [
      answers("PUT Manifest", ({ headers }) =>
        headers["content-type"] === MediaType.imageManifest ? undefined : status(400)
      )
    ],
    run: (registry) => registry.putManifest(app, m2, { tags: [v2] }),
    gives: m2.descriptor
  },

  // What is answered.
  {
    at: ["§2 ECR", "rule 7"],
    does: "names the digest in answers to HEAD only",
    quirks: [],
    switches: { digestHeader: "HEAD" },
    run: (registry) => Effect.all([pull(registry), registry.headManifest(app, v1)]),
    gives: [pulled, Option.some(m1.descriptor)],
    wire: [manifest, head]
  },
  {
    at: ["§2 distribution", "rule 7"],
    does: "names no digest in answers to HEAD, being served from files",
    quirks: [],
    switches: { digestHeader: "GET" },
    run: (registry) => registry.headManifest(app, v1),
    gives: Option.some(m1.descriptor),
    wire: [head, manifest]
  },
  {
    at: ["§2 distribution", "rule 7"],
    does: "names the digest of what it converted",
    quirks: [sets("GET Manifest", () => ({ "docker-content-digest": nothing.descriptor.digest }))],
    run: (registry) => Effect.zip(pull(registry), registry.getManifest(app, m1.descriptor.digest)),
    gives: [pulled, pulled],
    wire: [manifest, "GET /v2/team/app/manifests/m1"]
  },
  {
    at: ["§2 Nexus"],
    does: "has an ETag that is no digest",
    quirks: [
      sets("HEAD Manifest", () => ({
        "docker-content-digest": undefined,
        etag: `"${nothing.descriptor.digest}"`
      }))
    ],
    run: (registry) => registry.headManifest(app, v1),
    gives: Option.some(m1.descriptor),
    wire: [head, manifest]
  },
  {
    at: ["§2 Harbor"],
    does: "has in the answer to a HEAD the length of what would come compressed",
    quirks: [sets("HEAD Manifest", () => ({ "content-encoding": "gzip", "content-length": "7" }))],
    run: (registry) => registry.headManifest(app, v1),
    gives: Option.some(m1.descriptor),
    wire: [head, manifest]
  },
  {
    at: ["§2 Harbor", "rule 6"],
    does: "adds a charset to the types of documents",
    quirks: [],
    switches: { jsonCharset: true },
    run: (registry) =>
      Effect.all([
        pull(registry),
        items(registry.tags(app)),
        items(registry.referrers(app, m1.descriptor.digest))
      ]),
    gives: [pulled, ["multi", "v1"], [{ artifactType: "application/vnd.example.s1" }]]
  },
  {
    at: ["§2 ECR"],
    does: "answers a HEAD for a digest that it does not like with 405",
    quirks: [answers("HEAD Manifest", () => status(405)), answers("HEAD Blob", () => status(405))],
    run: (registry) =>
      Effect.all([
        registry.headManifest(app, nothing.descriptor.digest),
        registry.putBlob(app, source(tiny))
      ]),
    gives: [Option.none(), { digest: tiny.descriptor.digest }],
    wire: [
      "HEAD /v2/team/app/manifests/nothing",
      "GET /v2/team/app/manifests/nothing",
      "HEAD /v2/team/app/blobs/tiny",
      "POST /v2/team/app/blobs/uploads/?digest=tiny [12]"
    ]
  },
  {
    at: ["§2 Quay"],
    does: "answers requests for a digest that is none to it with 405",
    quirks: [answers("Manifest", () => status(405, '{"errors":[{"code":"METHOD NOT ALLOWED"}]}'))],
    run: (registry) => registry.getManifest(app, nothing.descriptor.digest),
    fails: { _tag: "RegistryFailure", status: 405, errors: [{ code: "METHOD NOT ALLOWED" }] }
  },
  {
    at: ["§2 ECR"],
    does: "does not say where a manifest is that was put",
    quirks: [],
    switches: { putLocation: false },
    run: (registry) => registry.putManifest(app, m2, { tags: [v2] }),
    gives: m2.descriptor
  },

  // Apologies with 200.
  ...(
    [
      ["a manifest", pull, [manifest], "ProtocolViolation"],
      [
        "the HEAD of a tag",
        (registry) => registry.headManifest(app, v1),
        [head, manifest],
        "ProtocolViolation"
      ],
      [
        "the HEAD of a manifest",
        (registry) => registry.headManifest(app, m1.descriptor.digest),
        ["HEAD /v2/team/app/manifests/m1", "GET /v2/team/app/manifests/m1"],
        "ProtocolViolation"
      ],
      [
        "a list",
        (registry) => items(registry.tags(app)),
        ["GET /v2/team/app/tags/list"],
        "ProtocolViolation"
      ],
      ["a blob", text, [blob], "DigestMismatch"],
      [
        "the HEAD of a blob",
        (registry) => registry.headBlob(app, b1.descriptor.digest),
        ["HEAD /v2/team/app/blobs/b1"],
        "ProtocolViolation"
      ],
      [
        "an upload",
        (registry) => registry.putBlob(app, source(tiny)),
        [
          "HEAD /v2/team/app/blobs/tiny",
          "POST /v2/team/app/blobs/uploads/?digest=tiny [12]",
          "POST /v2/team/app/blobs/uploads/"
        ],
        "RegistryFailure"
      ]
    ] as ReadonlyArray<readonly [string, Row["run"], ReadonlyArray<string>, string]>
  ).map(
    ([what, run, wire, _tag]): Row => ({
      at: ["§2 GCR", "§6 others"],
      does: `apologises with 200 and HTML for ${what}`,
      quirks: [answers("", ({ method }) => (method === "HEAD" ? withoutBody(html()) : html()))],
      run,
      fails: { _tag },
      wire
    })
  ),

  {
    at: ["§6 others"],
    does: "answers any HEAD with 200 and the length of something else: no reason not to upload",
    quirks: [answers("HEAD Blob", () => status(200, null, { "content-length": "33" }))],
    run: (registry) => registry.putBlob(app, source(tiny)),
    gives: tiny.descriptor,
    wire: ["HEAD /v2/team/app/blobs/tiny", "POST /v2/team/app/blobs/uploads/?digest=tiny [12]"]
  },

  // Refusals.
  {
    at: ["§2 Harbor"],
    does: "says UNKNOWN of what is not there",
    quirks: [
      answers("GET Manifest", () =>
        status(404, '{"errors":[{"code":"UNKNOWN","message":"not found"}]}')
      )
    ],
    run: pull,
    fails: { _tag: "ManifestUnknown", status: 404 }
  },
  {
    at: ["§2 Harbor", "§6 others"],
    does: "keeps an image back for a policy, with 412",
    quirks: [
      answers("GET Manifest", () =>
        status(
          412,
          '{"errors":[{"code":"PROJECTPOLICYVIOLATION","message":"current image with vulnerabilities"}]}'
        )
      )
    ],
    run: pull,
    fails: {
      _tag: "RegistryFailure",
      status: 412,
      errors: [{ code: "PROJECTPOLICYVIOLATION", message: "current image with vulnerabilities" }]
    },
    wire: [manifest]
  },
  {
    at: ["§2 Nexus", "rule 17"],
    does: "cannot tell the type of an unusual layer, and says so in text",
    quirks: [answers("GET Blob", () => status(400, "Content type could not be determined"))],
    run: text,
    fails: {
      _tag: "RegistryFailure",
      status: 400,
      snippet: "Content type could not be determined"
    },
    wire: [blob]
  },
  {
    at: ["§2 Gitea"],
    does: "takes manifests up to 10 MiB",
    quirks: [answers("PUT Manifest", () => status(413))],
    run: (registry) => registry.putManifest(app, m2, { tags: [v2] }),
    fails: { _tag: "RegistryFailure", status: 413 }
  },
  {
    at: ["§2 Gitea", "§6 others", "rule 18"],
    does: "fails with 500 and nothing, once",
    quirks: [first("GET Manifest", () => status(500))],
    run: pull,
    gives: pulled,
    wire: [manifest, manifest]
  },
  {
    at: ["§2 zot"],
    does: "takes no manifest of a type that it does not know",
    quirks: [answers("PUT Manifest", () => status(415))],
    run: (registry) => registry.putManifest(app, m2, { tags: [v2] }),
    fails: { _tag: "RegistryFailure", status: 415, errors: [] }
  },
  ...[400, 404, 405].map(
    (code): Row => ({
      at: ["§2 zot", "rule 17"],
      does: `refuses with ${code} and nothing`,
      quirks: [answers("GET Blob", () => status(code))],
      run: text,
      fails: { _tag: code === 404 ? "BlobUnknown" : "RegistryFailure", status: code, errors: [] }
    })
  ),
  {
    at: ["§2 Cloudflare", "rule 13"],
    does: "has None for the length of an answer",
    quirks: [answers("DELETE Manifest", () => status(202, null, { "content-length": "None" }))],
    run: (registry) => registry.deleteTag(app, v1),
    wire: ["DELETE /v2/team/app/manifests/v1"]
  },
  {
    at: ["§2 Apache", "rule 20"],
    does: "labels a layer as compressed on the way, with x-gzip",
    quirks: [],
    switches: { encodingLabel: "x-gzip" },
    run: text,
    gives: "b1",
    wire: [blob]
  }
]

const withoutBody = ({ headers, status: code }: Response): Response =>
  new Response(null, {
    status: code,
    headers: { ...Object.fromEntries(headers), "content-length": "33" }
  })
