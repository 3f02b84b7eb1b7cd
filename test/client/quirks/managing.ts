/** Section 4: what differs where blobs are mounted, content is deleted, and referrers are kept. */
import * as Effect from "effect/Effect"
import type { Registry } from "../../../src/Registry.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as Reference from "../../../src/spec/Reference.js"
import { items } from "../../support/fixtures.js"
import { redirect, status } from "../world.js"
import { asks, mount, mountB2 } from "./authorization.js"
import { app, b1, b2, base, m1, m2, s1, s2, source, v1, v2 } from "./content.js"
import { answers, losesAnswer, type Quirk, rewrites, type Seen, type World } from "./mock.js"
import type { Row } from "./row.js"

const errors = (code: string, message?: string) => JSON.stringify({ errors: [{ code, message }] })
const page = () =>
  status(404, "404 page not found\n", { "content-type": "text/plain; charset=utf-8" })

// -----------------------------------------------------------------------------
// Mounts
// -----------------------------------------------------------------------------

const mounts = ({ url }: Seen) => url.searchParams.has("mount")
const nameless = "POST /v2/team/app/blobs/uploads/?mount=b2"
const mountFromAnywhere = (registry: Registry.Service) =>
  registry.mountBlob(app, b2.descriptor.digest)
const putFromBase = (registry: Registry.Service) =>
  registry.putBlob(app, source(b2), { mountFrom: base })

const mounting: ReadonlyArray<Row> = [
  {
    at: ["§4 Docker Hub", "§4 Cloudflare", "rule 12"],
    does: "mounts with 201",
    quirks: [],
    run: putFromBase,
    gives: { digest: b2.descriptor.digest },
    wire: [mount, "HEAD /v2/team/app/blobs/b2"]
  },
  {
    at: ["§4 ECR", "§4 Docker Hub", "rule 12"],
    does: "opens an upload instead of mounting, which is cancelled by whoever wanted nothing else",
    quirks: [],
    switches: { mount: "session" },
    run: mountB2,
    gives: false,
    wire: [mount, "DELETE /v2/team/app/blobs/uploads/1"]
  },
  {
    at: ["§4 ECR", "§4 Docker Hub", "rule 12"],
    does: "opens an upload instead of mounting, which takes the content",
    quirks: [],
    switches: { mount: "session" },
    run: putFromBase,
    gives: { digest: b2.descriptor.digest },
    wire: [mount, "PUT /v2/team/app/blobs/uploads/1?digest=b2 [2]"]
  },
  {
    at: ["§4 GAR", "§4 Gitea", "§4 zot"],
    does: "mounts from wherever it is",
    quirks: [],
    run: mountFromAnywhere,
    gives: true,
    wire: [nameless]
  },
  {
    at: ["§4 Quay"],
    does: "fails to mount from nowhere in particular",
    quirks: [],
    switches: { mountFromAnywhere: { status: 400 } },
    run: mountFromAnywhere,
    gives: false,
    wire: [nameless]
  },
  {
    at: ["§4 distribution"],
    does: "opens an upload for whoever does not say where from",
    quirks: [],
    switches: { mountFromAnywhere: "session" },
    run: mountFromAnywhere,
    gives: false,
    wire: [nameless, "DELETE /v2/team/app/blobs/uploads/1"]
  },
  ...[401, 403, 404, 405].flatMap((code): ReadonlyArray<Row> => {
    const refusing: Pick<Row, "at" | "quirks"> = {
      at: ["§4 Harbor", "§4 containerd", "rule 12"],
      quirks: [
        answers("POST Uploads", (seen) =>
          mounts(seen) ? (code === 401 ? asks('Basic realm="harbor"') : status(code)) : undefined
        )
      ]
    }
    return [
      {
        ...refusing,
        does: `refuses to mount what cannot be read with ${code}: it is uploaded`,
        run: putFromBase,
        gives: { digest: b2.descriptor.digest },
        wire: [
          mount,
          "HEAD /v2/team/app/blobs/b2",
          "POST /v2/team/app/blobs/uploads/?digest=b2 [2]"
        ]
      },
      {
        ...refusing,
        does: `refuses to mount what cannot be read with ${code}: it is not mounted`,
        run: mountB2,
        gives: false,
        wire: [mount]
      }
    ]
  })
]

// -----------------------------------------------------------------------------
// Deletions
// -----------------------------------------------------------------------------

const deleteTag = (registry: Registry.Service) => registry.deleteTag(app, v1)
const deleteManifest = (registry: Registry.Service) =>
  registry.deleteManifest(app, m1.descriptor.digest)
const deleteBlob = (registry: Registry.Service) => registry.deleteBlob(app, b1.descriptor.digest)
const tagged = "DELETE /v2/team/app/manifests/v1"
const reads = "GET /v2/team/app/manifests/m1"
const deletes = "DELETE /v2/team/app/manifests/m1"
const stored = "DELETE /v2/team/app/blobs/b1"

const refuses = (answer: () => Response): Quirk =>
  answers("", ({ method }) => (method === "DELETE" ? answer() : undefined))

const deleting: ReadonlyArray<Row> = [
  ...(
    [
      ["§4 Docker Hub", () => status(405, errors("UNSUPPORTED")), "405"],
      ["§4 ACR", () => status(405, errors("UNSUPPORTED")), "405"],
      ["§4 Harbor", () => status(400, errors("UNSUPPORTED")), "400 UNSUPPORTED"],
      [
        "§4 GitLab",
        () => status(400, errors("DIGEST_INVALID")),
        "400 DIGEST_INVALID, having another route for it"
      ]
    ] as const
  ).map(
    ([at, answer, how]): Row => ({
      at: [at, "rule 13"],
      // Deleting by digest instead would delete the other tags (trap 60).
      does: `deletes no tags: ${how}`,
      quirks: [refuses(answer)],
      run: deleteTag,
      fails: { _tag: "Unsupported", operation: "deleting tags" },
      wire: [tagged]
    })
  ),
  ...(
    [
      [["§4 GHCR", "§4 distribution"], () => status(405, errors("UNSUPPORTED")), "405 UNSUPPORTED"],
      [["§4 ECR"], page, "404 page not found"],
      [["rule 13"], () => status(501), "501"],
      [["rule 13"], () => status(405), "405 and nothing"],
      [["rule 13"], () => status(400), "400 and nothing"]
    ] as const
  ).flatMap(([at, answer, how]): ReadonlyArray<Row> => {
    const refusing = { at: [...at, "rule 13"], quirks: [refuses(answer)] }
    const does = (what: string) => `deletes no ${what}: ${how}`
    return [
      {
        ...refusing,
        does: does("tags"),
        run: deleteTag,
        fails: { _tag: "Unsupported" },
        wire: [tagged]
      },
      {
        ...refusing,
        does: does("manifests"),
        run: deleteManifest,
        fails: { _tag: "Unsupported" },
        wire: [reads, deletes]
      },
      {
        ...refusing,
        does: does("blobs"),
        run: deleteBlob,
        fails: { _tag: "Unsupported" },
        wire: [stored]
      }
    ]
  }),
  ...[200, 202, 204].map(
    (code): Row => ({
      at: ["§4 zot", "rule 13"],
      does: `deletes with ${code}`,
      quirks: [refuses(() => status(code))],
      run: (registry) =>
        Effect.all([deleteTag(registry), deleteManifest(registry), deleteBlob(registry)]),
      wire: [tagged, reads, deletes, stored]
    })
  ),
  {
    at: ["§4 Docker Hub"],
    does: "refuses to delete what has a tag, with 403",
    quirks: [refuses(() => status(403))],
    run: deleteManifest,
    fails: { _tag: "Denied", status: 403 },
    wire: [reads, deletes]
  },
  {
    at: ["§4 Docker Hub"],
    does: "deletes, and fails with 500 all the same",
    quirks: [losesAnswer("DELETE Manifest", status(500))],
    run: deleteManifest,
    wire: [reads, deletes, deletes, "HEAD /v2/team/app/manifests/m1"]
  },
  {
    at: ["§4 GAR"],
    does: "wants the tags to be gone before the manifest, which it deletes",
    quirks: [],
    switches: { taggedDelete: { status: 400, code: "GOOGLE_MANIFEST_DANGLING_TAG" } },
    run: (registry) =>
      Effect.flatMap(Effect.flip(deleteManifest(registry)), (error) =>
        Effect.as(Effect.zip(deleteTag(registry), deleteManifest(registry)), error)
      ),
    gives: {
      _tag: "RegistryFailure",
      status: 400,
      errors: [{ code: "GOOGLE_MANIFEST_DANGLING_TAG" }]
    },
    wire: [reads, deletes, tagged, reads, deletes]
  },
  {
    at: ["§4 Quay"],
    does: "deletes no blobs: METHOD NOT ALLOWED",
    quirks: [],
    switches: { blobDelete: { status: 405, code: "METHOD NOT ALLOWED" } },
    run: deleteBlob,
    fails: {
      _tag: "Unsupported",
      operation: "deleting blobs",
      errors: [{ code: "METHOD NOT ALLOWED" }]
    },
    wire: [stored]
  },
  ...[errors("MANIFEST_INVALID", "the tags of the manifest are too many to delete"), ""].map(
    (body): Row => ({
      at: ["§4 Cloudflare"],
      does: `deletes some of many tags, links to more with 400${body === "" ? "" : ", errors"}`,
      quirks: [
        refuses(() =>
          status(400, body, {
            link: "https://registry.example/v2/team/app/manifests/x?last=a; rel=next"
          })
        )
      ],
      run: deleteManifest,
      fails: { _tag: "RegistryFailure", status: 400 },
      wire: [reads, deletes]
    })
  )
]

// -----------------------------------------------------------------------------
// Referrers
// -----------------------------------------------------------------------------

const list = "GET /v2/team/app/referrers/m1"
const byTag = "GET /v2/team/app/manifests/referrers-of-m1"
const referrers = (registry: Registry.Service) =>
  items(registry.referrers(app, m1.descriptor.digest))
const isS1 = { digest: s1.descriptor.digest }
const isS2 = { digest: s2.descriptor.digest }

/** The referrers tag of `m1` with `s1` in it. */
const withTag =
  (run: (registry: Registry.Service) => Effect.Effect<unknown, unknown>) =>
  (registry: Registry.Service, world: World) =>
    Effect.zipRight(
      world.stored.putManifest(app, Manifest.index({ manifests: [s1.descriptor] }), {
        tags: [Reference.referrersTag(m1.descriptor.digest)]
      }),
      run(registry)
    )

const github = "https://github.com"
const lists = (index: Manifest.Manifest, headers = {}) =>
  status(200, index.bytes, { "content-type": MediaType.imageIndex, ...headers })

const putS2 = "PUT /v2/team/app/manifests/s2"
const putS2AndList = (registry: Registry.Service) =>
  Effect.zipRight(registry.putManifest(app, s2), referrers(registry))
const replaced = Manifest.index({ manifests: [s1.descriptor] }).descriptor.digest
/** The list is put, the tag looked at, and the list that is replaced deleted (CP08, CP09). */
const putTag = [
  "PUT /v2/team/app/manifests/referrers-of-m1",
  "HEAD /v2/team/app/manifests/referrers-of-m1",
  `DELETE /v2/team/app/manifests/${replaced}`
]

const referring: ReadonlyArray<Row> = [
  ...(
    [
      [["§4 Docker Hub", "§4 distribution"], "has no list: 404 page not found", page],
      [
        ["§4 Quay"],
        "has no list, the feature being off: 404",
        () => status(404, errors("NAME_UNKNOWN"))
      ],
      [
        ["§4 Quay"],
        "does not know the subject: 400 MANIFEST_INVALID",
        () => status(400, errors("MANIFEST_INVALID"))
      ],
      [["§4 GAR"], "has no list: 406", () => status(406)],
      [["rule 16"], "has no list: 405", () => status(405)],
      [["rule 16"], "has no list: 501", () => status(501)],
      [["§4 ECR"], "has no list: 200 and nothing", () => status(200, "")],
      [
        ["§4 ECR"],
        "has no list: 200 and JSON",
        () => status(200, "{}", { "content-type": "application/json" })
      ],
      [
        ["rule 16"],
        "has no list: 200 and HTML",
        () => status(200, "<html>", { "content-type": "text/html" })
      ]
    ] as const
  ).map(
    ([at, does, answer]): Row => ({
      at: [...at, "rule 16"],
      does,
      quirks: [answers("Referrers", answer)],
      run: withTag(referrers),
      gives: [isS1],
      wire: [list, byTag]
    })
  ),
  ...[200, 404, 429].map(
    (code): Row => ({
      at: ["§4 GHCR", "rule 16"],
      does: `has no list, but a redirect with 303 to a page that answers ${code}`,
      host: "ghcr.io",
      quirks: [answers("Referrers", () => redirect(303, `${github}/-/v2/packages/x`))],
      others: { [github]: () => () => status(code, "<html>", { "content-type": "text/html" }) },
      options: { retry: { attempts: 0 } },
      run: withTag(referrers),
      gives: [isS1],
      wire: [list, `GET ${github}/-/v2/packages/x`, byTag]
    })
  ),
  {
    at: ["§4 GitLab"],
    does: "takes the referrers tag for the digest of the subject, which is no list",
    quirks: [
      answers("Referrers", page),
      rewrites("GET Manifest", ({ url }) => ({
        url: new URL(url.pathname.replace(/sha256-([0-9a-f]{64})$/, "sha256:$1"), url)
      }))
    ],
    run: referrers,
    gives: [],
    wire: [list, byTag]
  },
  {
    at: ["§4 GHCR", "§4 Docker Hub", "§4 distribution", "rule 16"],
    does: "keeps no referrers, so that a tag does",
    quirks: [answers("Referrers", page)],
    switches: { subjectHeader: false },
    run: withTag(putS2AndList),
    gives: [isS1, isS2],
    wire: [putS2, byTag, ...putTag, list, byTag]
  },
  ...(
    [
      ["404", page],
      ["200 and JSON", () => status(200, "{}", { "content-type": "application/json" })]
    ] as const
  ).map(
    ([how, answer]): Row => ({
      at: ["§4 ECR", "rule 16"],
      does: `says that it keeps referrers, and does not: ${how}`,
      quirks: [answers("Referrers", answer)],
      run: withTag(putS2AndList),
      gives: [isS1, isS2],
      wire: [putS2, list, byTag, ...putTag, list, byTag]
    })
  ),
  {
    at: ["§4 ACR", "§4 Cloudflare", "§4 zot", "rule 16"],
    does: "keeps referrers and says so, which is looked after once",
    quirks: [],
    run: (registry) => Effect.zipRight(registry.putManifest(app, s1), putS2AndList(registry)),
    gives: [isS1, isS2],
    wire: ["PUT /v2/team/app/manifests/s1", list, putS2, list]
  },
  {
    at: ["§4 ECR"],
    does: "takes no manifest with some subjects: 405",
    quirks: [answers("PUT Manifest", () => status(405, errors("UNSUPPORTED")))],
    run: (registry) => registry.putManifest(app, s2),
    fails: { _tag: "RegistryFailure", status: 405, errors: [{ code: "UNSUPPORTED" }] },
    wire: [putS2]
  },
  {
    at: ["§4 Harbor", "rule 14"],
    does: "links to the page before and the page after in one field",
    quirks: [
      answers("Referrers", ({ url }) => {
        const path = `${url.pathname}?page_size=1&artifactType=a/b+c`
        return url.searchParams.get("page") === "3"
          ? lists(Manifest.index({ manifests: [s2.descriptor] }), {
              link: `<${path}&page=2>; rel="prev"`
            })
          : lists(Manifest.index({ manifests: [s1.descriptor] }), {
              link: `<${path}&page=1>; rel="prev" , <${path}&page=3>; rel="next"`
            })
      })
    ],
    run: referrers,
    gives: [isS1, isS2],
    wire: [list, `${list}?page_size=1&artifactType=a/b+c&page=3`]
  },
  {
    at: ["§4 zot"],
    does: "lists those of one type and says so",
    quirks: [],
    run: (registry) =>
      Effect.zipRight(
        registry.putManifest(app, s2),
        items(
          registry.referrers(app, m1.descriptor.digest, {
            artifactType: "application/vnd.example.s2"
          })
        )
      ),
    gives: [isS2]
  },
  {
    at: ["§4 distribution"],
    does: "lists all types, whichever is asked for",
    quirks: [],
    switches: { referrersFilter: false },
    run: (registry) =>
      Effect.zipRight(
        registry.putManifest(app, s2),
        items(
          registry.referrers(app, m1.descriptor.digest, {
            artifactType: "application/vnd.example.s2"
          })
        )
      ),
    gives: [isS2]
  },
  {
    at: ["§4 zot"],
    does: "takes several tags with a manifest, and says which",
    quirks: [],
    run: (registry) => registry.putManifest(app, m2, { tags: [v1, v2] }),
    gives: m2.descriptor,
    wire: ["PUT /v2/team/app/manifests/m2?tag=v1&tag=v2"]
  },
  {
    at: ["§4 distribution"],
    does: "takes no tags with a manifest, and says nothing of them",
    quirks: [],
    switches: { queryTags: false },
    run: (registry) => registry.putManifest(app, m2, { tags: [v1, v2] }),
    gives: m2.descriptor,
    wire: [
      "PUT /v2/team/app/manifests/m2?tag=v1&tag=v2",
      "PUT /v2/team/app/manifests/v1",
      "PUT /v2/team/app/manifests/v2"
    ]
  }
]

export const rows: ReadonlyArray<Row> = [...mounting, ...deleting, ...referring]
