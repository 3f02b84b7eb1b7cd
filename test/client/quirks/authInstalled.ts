/**
 * Section 1, the software that companies install: how it asks who is there, and what its token
 * servers answer.
 */
import * as Effect from "effect/Effect"
import { items } from "../../support/fixtures.js"
import { status } from "../world.js"
import {
  asking,
  asks,
  issues,
  issuesAt,
  isToken,
  known,
  manifest,
  pull,
  pulled,
  refuses,
  scope,
  takesPasswords,
  takesTokens
} from "./authorization.js"
import { app, b2, base, v1 } from "./content.js"
import { answers, guards, is, sets } from "./mock.js"
import type { Row } from "./row.js"

const onHarbor: Pick<Row, "at" | "host" | "run"> = {
  at: ["§1 Harbor"],
  host: "harbor.example",
  run: pull
}
const harborRealm = "https://harbor.example/service/token"
const askingHarbor = (...parameters: ReadonlyArray<string>) =>
  asking("/service/token", "service=harbor-registry", ...parameters)
const harborToken = (token: string) => ({ token, access_token: "", expires_in: 1800 })
const harborAsks = (realm = harborRealm, scope = "repository:team/app:pull") =>
  `Bearer realm="${realm}",service="harbor-registry",scope="${scope}"`

const harbor: ReadonlyArray<Row> = [
  {
    ...onHarbor,
    at: ["§1 Harbor", "rule 1", "rule 3"],
    does: "wants a password after an expired token, and has an empty `access_token`",
    quirks: [
      issuesAt("/service/token", harborToken),
      (healthy) => {
        let uses = 0
        return guards(
          (authorization) =>
            authorization === "Bearer t2" || (authorization === "Bearer t1" && uses++ === 0),
          ({ authorization }) =>
            asks(authorization === undefined ? harborAsks() : 'Basic realm="harbor"')
        )(healthy)
      }
    ],
    credentials: known("harbor.example"),
    run: (registry) => Effect.zipRight(pull(registry), pull(registry)),
    gives: pulled,
    wire: [
      manifest,
      `${askingHarbor("account=alice", scope("pull"))} as alice`,
      `${manifest} with t1`,
      `${manifest} with t1`,
      `${askingHarbor("account=alice", scope("pull"))} as alice`,
      `${manifest} with t2`
    ]
  },
  {
    ...onHarbor,
    at: ["§1 Harbor", "§5 Harbor"],
    does: "takes no tokens in its catalog, but passwords",
    quirks: [
      issuesAt("/service/token", harborToken),
      guards(
        (authorization, seen) =>
          is("Catalog")(seen) ? authorization.startsWith("Basic ") : isToken(authorization),
        (seen) => asks(is("Catalog")(seen) ? 'Basic realm="harbor"' : harborAsks())
      )
    ],
    credentials: known("harbor.example"),
    run: (registry) =>
      Effect.all([
        pull(registry),
        items(registry.repositories()),
        items(registry.repositories()),
        pull(registry)
      ]),
    gives: [pulled, ["team/app", "team/base"], ["team/app", "team/base"], pulled],
    wire: [
      manifest,
      `${askingHarbor("account=alice", scope("pull"))} as alice`,
      `${manifest} with t1`,
      `${askingHarbor("account=alice", "scope=registry:catalog:*")} as alice`,
      "GET /v2/_catalog with t2",
      "GET /v2/_catalog as alice",
      "GET /v2/_catalog as alice",
      `${manifest} with t1`
    ]
  },
  {
    ...onHarbor,
    at: ["§1 Harbor", "rule 17"],
    does: "refuses a service with 400 and text",
    quirks: [
      issuesAt("/service/token", () => status(400, "unable to get service")),
      takesTokens(harborAsks())
    ],
    fails: { _tag: "Unauthorized", reason: "TokenServer", status: 400, errors: [] },
    wire: [manifest, askingHarbor(scope("pull"))]
  },
  {
    ...onHarbor,
    does: "refuses a password with 401 and nothing",
    quirks: [issuesAt("/service/token", () => status(401)), takesTokens(harborAsks())],
    credentials: known("harbor.example"),
    fails: { _tag: "Unauthorized", reason: "TokenServer", status: 401, errors: [] },
    wire: [manifest, `${askingHarbor("account=alice", scope("pull"))} as alice`]
  },
  {
    ...onHarbor,
    at: ["§1 Harbor", "§1 distribution"],
    does: "joins scopes with a space",
    quirks: [
      issuesAt("/service/token", harborToken),
      takesTokens(harborAsks(harborRealm, "repository:team/base:pull repository:team/app:pull"))
    ],
    gives: pulled,
    wire: [manifest, askingHarbor(scope("pull", "team/base"), scope("pull")), `${manifest} with t1`]
  },
  ...["http://harbor.example/service/token", "http://core:8080/service/token"].map(
    (realm): Row => ({
      ...onHarbor,
      does: `names a realm from behind its proxy, ${realm}, to which nothing is sent`,
      quirks: [takesTokens(harborAsks(realm))],
      credentials: known("harbor.example"),
      fails: {
        _tag: "UntrustedLocation",
        kind: "Realm",
        host: new URL(realm).host,
        option: undefined
      },
      wire: [manifest]
    })
  ),
  {
    ...onHarbor,
    at: ["§1 Harbor"],
    does: "sets cookies, and takes whoever brings one for a browser (T18)",
    quirks: [
      answers("", ({ headers }) =>
        headers["cookie"] === undefined ? undefined : status(403, "CSRF")
      ),
      sets("", () => ({ "set-cookie": "sid=1; Path=/" })),
      issuesAt("/service/token", (token) =>
        status(200, JSON.stringify({ token }), { "set-cookie": "_gorilla_csrf=1; Path=/" })
      ),
      takesTokens(harborAsks())
    ],
    run: (registry) => Effect.zipRight(pull(registry), pull(registry)),
    gives: pulled,
    wire: [manifest, askingHarbor(scope("pull")), `${manifest} with t1`, `${manifest} with t1`]
  }
]

const gitlabRealm = "https://gitlab.example/jwt/auth"
const onGitlab: Pick<Row, "at" | "host" | "run"> = {
  at: ["§1 GitLab"],
  host: "registry.gitlab.example",
  run: pull
}
const askingGitlab = (...parameters: ReadonlyArray<string>) =>
  asking(gitlabRealm, "service=container_registry", ...parameters)
const gitlabAsks = (realm = gitlabRealm) => `Bearer realm="${realm}",service="container_registry"`

const gitlab: ReadonlyArray<Row> = [
  {
    ...onGitlab,
    does: "has its token server on another host of its domain",
    quirks: [takesTokens(gitlabAsks())],
    others: { "https://gitlab.example": issues() },
    credentials: known("registry.gitlab.example"),
    gives: pulled,
    wire: [
      manifest,
      `${askingGitlab("account=alice", scope("pull"))} as alice`,
      `${manifest} with t1`
    ]
  },
  {
    ...onGitlab,
    does: "has its token server in another domain, which gets no password",
    quirks: [takesTokens(gitlabAsks("https://gitlab.other/jwt/auth"))],
    credentials: known("registry.gitlab.example"),
    fails: {
      _tag: "UntrustedLocation",
      kind: "Realm",
      host: "gitlab.other",
      option: "trust.allowTokens"
    },
    wire: [manifest]
  },
  {
    ...onGitlab,
    does: "has its token server in another domain, which is allowed to have passwords",
    quirks: [takesTokens(gitlabAsks("https://gitlab.other/jwt/auth"))],
    others: { "https://gitlab.other": issues() },
    credentials: known("registry.gitlab.example"),
    options: { trust: { allowTokens: ["gitlab.other"] } },
    gives: pulled,
    wire: [
      manifest,
      `${asking("https://gitlab.other/jwt/auth", "service=container_registry", "account=alice", scope("pull"))} as alice`,
      `${manifest} with t1`
    ]
  },
  {
    ...onGitlab,
    does: "grants no right to delete to whoever asks for delete, but for *",
    quirks: [
      guards(
        (authorization) => authorization === "Bearer t2",
        ({ authorization }) =>
          asks(
            `${gitlabAsks()},scope="repository:team/app:delete"${authorization === undefined ? "" : ',error="insufficient_scope"'}`
          )
      )
    ],
    others: { "https://gitlab.example": issues() },
    run: (registry) => registry.deleteTag(app, v1),
    wire: [
      "DELETE /v2/team/app/manifests/v1",
      askingGitlab(scope("delete,pull")),
      "DELETE /v2/team/app/manifests/v1 with t1",
      askingGitlab(scope("*")),
      "DELETE /v2/team/app/manifests/v1 with t2"
    ]
  },
  {
    ...onGitlab,
    does: "refuses a token with 403",
    quirks: [takesTokens(gitlabAsks())],
    others: {
      "https://gitlab.example": refuses(
        403,
        '{"errors":[{"code":"DENIED","message":"access forbidden"}]}'
      )
    },
    fails: {
      _tag: "Unauthorized",
      reason: "TokenServer",
      status: 403,
      errors: [{ code: "DENIED" }]
    },
    wire: [manifest, askingGitlab(scope("pull"))]
  },
  {
    ...onGitlab,
    at: ["§1 GitLab", "rule 4"],
    does: "answers 401 in its catalog, whatever the token",
    quirks: [
      guards(
        (authorization, seen) => isToken(authorization) && !is("Catalog")(seen),
        () => asks(gitlabAsks())
      )
    ],
    others: { "https://gitlab.example": issues() },
    run: (registry) => items(registry.repositories()),
    fails: {
      _tag: "Unauthorized",
      reason: "Challenge",
      challenge: { sent: "bearer", answerable: false }
    },
    wire: ["GET /v2/_catalog", askingGitlab("scope=registry:catalog:*"), "GET /v2/_catalog with t1"]
  }
]

const artifactoryRealm = (key: string) => `/artifactory/api/docker/${key}/v2/token`

const jfrogAndSonatype: ReadonlyArray<Row> = [
  {
    at: ["§1 Artifactory"],
    does: "takes a password",
    quirks: [takesPasswords('Basic realm="Artifactory Realm"')],
    credentials: known("registry.example"),
    run: pull,
    gives: pulled,
    wire: [manifest, `${manifest} as alice`]
  },
  {
    at: ["§1 Artifactory"],
    does: "has a token server for each repository, whose tokens are good for that one only",
    quirks: [
      ...["app", "base"].map((key) =>
        issuesAt(artifactoryRealm(key), (token) => ({ token: token.replace("t", `${key}-t`) }))
      ),
      guards(
        (authorization, { url }) =>
          authorization.startsWith(`Bearer ${url.pathname.split("/")[3]}-`),
        ({ url }) =>
          asks(
            `Bearer realm="https://registry.example${artifactoryRealm(url.pathname.split("/")[3] ?? "")}"`
          )
      )
    ],
    run: (registry) =>
      Effect.zipRight(pull(registry), registry.headBlob(base, b2.descriptor.digest)),
    gives: { _tag: "Some" },
    wire: [
      manifest,
      asking(artifactoryRealm("app"), scope("pull")),
      `${manifest} with app-t1`,
      asking(artifactoryRealm("app"), scope("pull", "team/base")),
      "HEAD /v2/team/base/blobs/b2 with app-t2",
      asking(artifactoryRealm("base"), scope("pull", "team/base")),
      "HEAD /v2/team/base/blobs/b2 with base-t1"
    ]
  },
  {
    at: ["§1 Nexus", "rule 1"],
    does: "writes BASIC",
    quirks: [takesPasswords('BASIC realm="Sonatype Nexus Repository Manager"')],
    credentials: known("registry.example"),
    run: pull,
    gives: pulled,
    wire: [manifest, `${manifest} as alice`]
  },
  {
    at: ["§1 Nexus"],
    does: "forgets its port in the realm, behind a proxy",
    host: "nexus.example:8443",
    quirks: [
      takesTokens(
        'Bearer realm="https://nexus.example/v2/token",service="https://nexus.example/v2/token"'
      )
    ],
    others: { "https://nexus.example": refuses(404, "404 page not found") },
    run: pull,
    fails: {
      _tag: "Unauthorized",
      reason: "TokenServer",
      status: 404,
      origin: "https://nexus.example:8443"
    },
    wire: [
      manifest,
      asking(
        "https://nexus.example/v2/token",
        "service=https://nexus.example/v2/token",
        scope("pull")
      )
    ]
  },
  {
    at: ["§1 Nexus", "§1 distribution", "rule 2"],
    does: "has no scope in its challenge",
    quirks: [
      issuesAt("/v2/token"),
      takesTokens('Bearer realm="https://registry.example/v2/token",service="nexus"')
    ],
    run: pull,
    gives: pulled,
    wire: [manifest, asking("/v2/token", "service=nexus", scope("pull")), `${manifest} with t1`]
  }
]

export const rows: ReadonlyArray<Row> = [...harbor, ...gitlab, ...jfrogAndSonatype]
