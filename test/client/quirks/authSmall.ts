/**
 * Section 1, smaller registries, Docker's own and all others: how they ask who is there, and what
 * their token servers answer.
 */
import * as Effect from "effect/Effect"
import { status } from "../world.js"
import {
  asking,
  asks,
  grants,
  issuesAt,
  known,
  manifest,
  mount,
  mountB2,
  pull,
  pulled,
  scope,
  takesPasswords,
  takesTokens
} from "./authorization.js"
import { app, b1, v1 } from "./content.js"
import { answers, guards, is, sets } from "./mock.js"
import type { Row } from "./row.js"

const onGitea: Pick<Row, "at" | "run"> = { at: ["§1 Gitea"], run: pull }
const giteaIssues = issuesAt("/v2/token")
const giteaAsks = (realm = "https://registry.example/v2/token") =>
  `Bearer realm="${realm}",service="container_registry",scope="*"`
const giteaBasic = 'Basic realm="Gitea Container Registry"'
const askingGitea = (...parameters: ReadonlyArray<string>) =>
  asking("/v2/token", "service=container_registry", ...parameters)

const gitea: ReadonlyArray<Row> = [
  ...[
    { does: "offers a token and a password in two fields", challenges: [giteaAsks(), giteaBasic] },
    {
      does: "offers a token and a password in one field",
      challenges: [`${giteaAsks()},${giteaBasic}`]
    }
  ].map(
    ({ challenges, does }): Row => ({
      ...onGitea,
      at: ["§1 Gitea", "rule 1", "rule 2"],
      does: `${does}, and has the scope *, which passes through`,
      quirks: [giteaIssues, takesTokens(...challenges)],
      credentials: known("registry.example"),
      gives: pulled,
      wire: [
        manifest,
        `${askingGitea("account=alice", "scope=*", scope("pull"))} as alice`,
        `${manifest} with t1`
      ]
    })
  ),
  {
    ...onGitea,
    does: "names a realm from behind its proxy, and takes a password instead",
    quirks: [takesPasswords(`${giteaAsks("http://gitea.internal:3000/v2/token")}, ${giteaBasic}`)],
    credentials: known("registry.example"),
    gives: pulled,
    wire: [manifest, `${manifest} as alice`]
  },
  {
    ...onGitea,
    does: "names a realm from behind its proxy to nobody in particular, and nothing is sent there",
    quirks: [takesPasswords(`${giteaAsks("http://gitea.internal:3000/v2/token")}, ${giteaBasic}`)],
    fails: { _tag: "UntrustedLocation", kind: "Realm", host: "gitea.internal:3000" },
    wire: [manifest]
  }
]

const others: ReadonlyArray<Row> = [
  {
    at: ["§1 Cloudflare"],
    does: "names the URL of each request as the realm for a password",
    quirks: [takesPasswords(({ url }) => `Basic realm="${url.href}"`)],
    credentials: known("registry.example"),
    run: (registry) =>
      Effect.zipRight(pull(registry), registry.headBlob(app, b1.descriptor.digest)),
    gives: { _tag: "Some" },
    wire: [manifest, `${manifest} as alice`, "HEAD /v2/team/app/blobs/b1 as alice"]
  },
  {
    at: ["§1 zot", "rule 2"],
    does: "has an empty scope in its challenge",
    quirks: [
      issuesAt("/token"),
      takesTokens('Bearer realm="https://registry.example/token",service="zot",scope=""')
    ],
    run: pull,
    gives: pulled,
    wire: [manifest, asking("/token", "service=zot", scope("pull")), `${manifest} with t1`]
  },
  ...[
    "bearer realm=https://registry.example/token",
    "basic realm=my registry, really",
    "basic realm="
  ].map(
    (challenge): Row => ({
      at: ["§1 zot", "rule 1"],
      does: `lets a ping in and says all the same: ${challenge}`,
      quirks: [sets("Base", () => ({ "www-authenticate": challenge }))],
      credentials: known("registry.example"),
      run: (registry) => Effect.zipRight(registry.ping, pull(registry)),
      gives: pulled,
      wire: ["GET /v2/", manifest]
    })
  ),
  {
    at: ["rule 3"],
    does: "has an empty `token`",
    quirks: [
      issuesAt("/token", (access_token) => ({ token: "", access_token })),
      takesTokens('Bearer realm="https://registry.example/token"')
    ],
    run: pull,
    gives: pulled,
    wire: [manifest, asking("/token", scope("pull")), `${manifest} with t1`]
  },
  {
    at: ["rule 1"],
    does: "leaves out the quotes, and has a scheme that nobody knows before the one that counts",
    quirks: [
      issuesAt("/token"),
      takesTokens(
        "Negotiate YII=, bEARER realm=https://registry.example/token , service=zot ,, scope=, Basic realm"
      )
    ],
    run: pull,
    gives: pulled,
    wire: [manifest, asking("/token", "service=zot", scope("pull")), `${manifest} with t1`]
  },
  {
    at: ["§1 zot", "rule 17"],
    does: "says why in a bare error object",
    quirks: [
      answers("", () =>
        status(401, '{"code":"UNAUTHORIZED","message":"authentication required","detail":null}', {
          "www-authenticate": 'Basic realm="zot"'
        })
      )
    ],
    run: pull,
    fails: {
      _tag: "Unauthorized",
      reason: "Challenge",
      errors: [{ code: "UNAUTHORIZED", message: "authentication required" }],
      challenge: { sent: "nothing" }
    },
    wire: [manifest]
  },
  {
    at: ["§1 distribution"],
    does: "takes passwords from a file",
    quirks: [takesPasswords('Basic realm="Registry Realm"')],
    credentials: known("registry.example"),
    run: pull,
    gives: pulled,
    wire: [manifest, `${manifest} as alice`]
  },
  {
    at: ["§1 distribution", "rule 12"],
    does: "lists the scopes of a mount in any order, which makes no other token of it",
    quirks: [grants(() => "repository:team/base:pull repository:team/app:push,pull")],
    run: (registry) => Effect.zip(mountB2(registry), mountB2(registry)),
    gives: [true, true],
    wire: [
      mount,
      asking("/token", "service=registry", scope("pull", "team/base"), scope("pull,push")),
      `${mount} with t1`,
      `${mount} with t1`
    ]
  },
  {
    at: ["§1 distribution", "rule 2"],
    does: "has no scope in the challenge to a ping, whose token is good for nothing else",
    quirks: [grants((seen) => (is("Base")(seen) ? "" : "repository:team/app:pull"))],
    run: (registry) => Effect.zipRight(registry.ping, pull(registry)),
    gives: pulled,
    wire: [
      "GET /v2/",
      asking("/token", "service=registry"),
      "GET /v2/ with t1",
      asking("/token", "service=registry", scope("pull")),
      `${manifest} with t2`
    ]
  },
  {
    at: ["§1 distribution", "rule 4"],
    does: "calls a token invalid that it took before: another one is asked for",
    quirks: [
      issuesAt("/token", (token) => ({ token, expires_in: 300 })),
      (healthy) => {
        let uses = 0
        return guards(
          (authorization) =>
            authorization === "Bearer t2" || (authorization === "Bearer t1" && uses++ === 0),
          ({ authorization }) =>
            asks(
              `Bearer realm="https://registry.example/token",service="registry",scope="repository:team/app:pull"${authorization === undefined ? "" : ',error="invalid_token"'}`
            )
        )(healthy)
      }
    ],
    run: (registry) => Effect.zipRight(pull(registry), pull(registry)),
    gives: pulled,
    wire: [
      manifest,
      asking("/token", "service=registry", scope("pull")),
      `${manifest} with t1`,
      `${manifest} with t1`,
      asking("/token", "service=registry", scope("pull")),
      `${manifest} with t2`
    ]
  },
  {
    at: ["§1 distribution", "rule 4"],
    does: "takes no token at all: the newest is refused once",
    quirks: [
      issuesAt("/token"),
      guards(
        () => false,
        () =>
          asks(
            'Bearer realm="https://registry.example/token",service="registry",error="invalid_token"'
          )
      )
    ],
    run: pull,
    fails: {
      _tag: "Unauthorized",
      reason: "Challenge",
      status: 401,
      challenge: { sent: "bearer" }
    },
    wire: [manifest, asking("/token", "service=registry", scope("pull")), `${manifest} with t1`]
  },
  {
    at: ["§1 distribution", "rule 4"],
    does: "finds the scopes of a token insufficient, and names more",
    quirks: [
      grants(({ authorization }) =>
        authorization === undefined
          ? "repository:team/app:pull"
          : "repository:team/app:pull repository:team/base:pull"
      )
    ],
    run: pull,
    gives: pulled,
    wire: [
      manifest,
      asking("/token", "service=registry", scope("pull")),
      `${manifest} with t1`,
      asking("/token", "service=registry", scope("pull"), scope("pull", "team/base")),
      `${manifest} with t2`
    ]
  },
  {
    at: ["§1 distribution", "§3 distribution"],
    does: "wants the right to delete from whoever cancels an upload",
    quirks: [
      grants(({ method }) =>
        method === "DELETE" ? "repository:team/app:delete" : "repository:team/app:pull,push"
      )
    ],
    run: (registry) => Effect.scoped(Effect.asVoid(registry.startUpload(app))),
    wire: [
      "POST /v2/team/app/blobs/uploads/",
      asking("/token", "service=registry", scope("pull,push")),
      "POST /v2/team/app/blobs/uploads/ with t1",
      "DELETE /v2/team/app/blobs/uploads/1 with t1",
      asking("/token", "service=registry", scope("delete,pull,push")),
      "DELETE /v2/team/app/blobs/uploads/1 with t2"
    ]
  },
  {
    at: ["§1 others"],
    does: "wants the action delete for deletions (IBM's, Keppel)",
    quirks: [grants(() => "repository:team/app:delete")],
    run: (registry) => registry.deleteTag(app, v1),
    wire: [
      "DELETE /v2/team/app/manifests/v1",
      asking("/token", "service=registry", scope("delete,pull")),
      "DELETE /v2/team/app/manifests/v1 with t1"
    ]
  },
  {
    at: ["§1 others"],
    does: "has one word for everything that is not there: UNKNOWN (Red Hat's)",
    quirks: [
      answers("Manifest", () =>
        status(404, '{"errors":[{"code":"UNKNOWN","message":"Not Found"}]}')
      )
    ],
    run: pull,
    fails: { _tag: "ManifestUnknown", status: 404, errors: [{ code: "UNKNOWN" }] },
    wire: [manifest]
  }
]

export const rows: ReadonlyArray<Row> = [...gitea, ...others]
