/** Section 1, the services: how they ask who is there, and what their token servers answer. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../../../src/auth/Credentials.js"
import * as DockerConfig from "../../../src/auth/DockerConfig.js"
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
  mount,
  mountB2,
  pull,
  pulled,
  refuses,
  scope,
  takesPasswords,
  takesTokens
} from "./authorization.js"
import { app, b1, source, v1 } from "./content.js"
import { answers, first, guards, is, type Quirk } from "./mock.js"
import type { Row } from "./row.js"

/** A credential helper whose password has ended, and that has another one or not. */
const helper = (hasAnother: boolean) =>
  Layer.sync(Credentials.Credentials, () => {
    let held = Credentials.basic("AWS", Redacted.make("stale"))
    return {
      get: (_, rejected) =>
        Effect.sync(() => {
          if (rejected !== undefined && hasAnother)
            held = Credentials.basic("AWS", Redacted.make("fresh"))
          return held
        })
    }
  })
const refusesStale = (code: number, message = "Your Authorization Token is invalid."): Quirk => {
  return answers("", ({ authorization = "" }) =>
    authorization === `Basic ${Buffer.from("AWS:stale").toString("base64")}`
      ? status(code, JSON.stringify({ errors: [{ code: "DENIED", message }] }))
      : undefined
  )
}

const ecr = "1.dkr.ecr.eu-west-1.amazonaws.com"
const takesAws = takesPasswords(`Basic realm="https://${ecr}/",service="ecr.amazonaws.com"`)

const dockerLogin = Layer.provide(DockerConfig.layerEnvironment, [
  NodeContext.layer,
  Layer.setConfigProvider(
    ConfigProvider.fromMap(
      new Map([
        [
          "DOCKER_AUTH_CONFIG",
          JSON.stringify({
            auths: {
              "https://index.docker.io/v1/": {
                auth: Buffer.from("alice:hunter2").toString("base64")
              }
            }
          })
        ]
      ])
    )
  )
])

const hub = "https://auth.docker.io/token"
const onHub: Pick<Row, "at" | "host" | "run"> = {
  at: ["§1 Docker Hub"],
  host: "docker.io",
  run: pull
}
const hubAsks = takesTokens(
  `Bearer realm="${hub}",service="registry.docker.io",scope="repository:team/app:pull"`
)
const askingHub = (...parameters: ReadonlyArray<string>) =>
  asking(hub, "service=registry.docker.io", ...parameters)

const dockerHub: ReadonlyArray<Row> = [
  {
    ...onHub,
    at: ["§1 Docker Hub", "rule 5"],
    does: "has its tokens on another host, and its password under https://index.docker.io/v1/",
    quirks: [hubAsks],
    others: {
      "https://auth.docker.io": issues((token) => ({
        token,
        access_token: token,
        expires_in: 300,
        issued_at: "1970-01-01T00:00:00Z"
      }))
    },
    credentials: dockerLogin,
    gives: pulled,
    wire: [manifest, `${askingHub("account=alice", scope("pull"))} as alice`, `${manifest} with t1`]
  },
  {
    ...onHub,
    at: ["§1 Docker Hub", "§6 Docker Hub", "rule 17"],
    does: "refuses a name with 400 and `details`",
    quirks: [hubAsks],
    others: { "https://auth.docker.io": refuses(400, '{"details":"invalid repository name"}') },
    fails: {
      _tag: "Unauthorized",
      reason: "TokenServer",
      status: 400,
      errors: [{ message: "invalid repository name" }]
    },
    wire: [manifest, askingHub(scope("pull"))]
  },
  {
    ...onHub,
    does: "refuses a password with 401 and `details`",
    quirks: [hubAsks],
    others: {
      "https://auth.docker.io": refuses(401, '{"details":"incorrect username or password"}')
    },
    credentials: known("docker.io"),
    fails: {
      _tag: "Unauthorized",
      status: 401,
      errors: [{ message: "incorrect username or password" }]
    },
    wire: [manifest, `${askingHub("account=alice", scope("pull"))} as alice`]
  },
  {
    ...onHub,
    does: "mounts from repositories of the token alone, and does not name others in its challenge",
    quirks: [
      takesTokens(
        `Bearer realm="${hub}",service="registry.docker.io",scope="repository:team/app:pull,push"`
      )
    ],
    others: {
      "https://auth.docker.io": issues((token, { url }) =>
        url.searchParams.getAll("scope").includes("repository:team/base:pull")
          ? { token }
          : status(403)
      )
    },
    run: mountB2,
    gives: true,
    wire: [mount, askingHub(scope("pull,push"), scope("pull", "team/base")), `${mount} with t1`]
  }
]

const onGhcr: Pick<Row, "at" | "host" | "run"> = { at: ["§1 GHCR"], host: "ghcr.io", run: pull }
const ghcrAsks = takesTokens(
  'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"'
)
const askingGhcr = (...parameters: ReadonlyArray<string>) =>
  asking("/token", "service=ghcr.io", ...parameters)

const ghcr: ReadonlyArray<Row> = [
  {
    ...onGhcr,
    at: ["§1 GHCR", "rule 2"],
    does: "names a repository in the challenge to a ping that is nobody's",
    quirks: [issuesAt("/token"), ghcrAsks],
    run: (registry) => registry.ping,
    wire: ["GET /v2/", askingGhcr(), "GET /v2/ with t1"]
  },
  {
    ...onGhcr,
    at: ["§1 GHCR", "§1 Quay", "rule 3"],
    does: "does not say how long its opaque tokens last: 60 seconds, less 5",
    quirks: [
      issuesAt("/token"),
      takesTokens(
        'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:team/app:pull"'
      )
    ],
    run: (registry) =>
      Effect.all([
        pull(registry),
        TestClock.adjust("54 seconds"),
        pull(registry),
        TestClock.adjust("2 seconds"),
        pull(registry)
      ]),
    wire: [
      manifest,
      askingGhcr(scope("pull")),
      `${manifest} with t1`,
      `${manifest} with t1`,
      askingGhcr(scope("pull")),
      `${manifest} with t2`
    ]
  },
  {
    ...onGhcr,
    does: "refuses a password with 403",
    quirks: [issuesAt("/token", () => status(403)), ghcrAsks],
    credentials: known("ghcr.io"),
    fails: { _tag: "Unauthorized", reason: "TokenServer", status: 403 },
    wire: [
      manifest,
      `${askingGhcr("account=alice", "scope=repository:user/image:pull", scope("pull"))} as alice`
    ]
  },
  {
    ...onGhcr,
    does: "denies what comes with a password, which is never sent unasked",
    quirks: [
      issuesAt("/token"),
      answers("", ({ authorization = "" }) =>
        authorization.startsWith("Basic ")
          ? status(403, '{"errors":[{"code":"DENIED"}]}')
          : undefined
      ),
      takesTokens('Bearer realm="https://ghcr.io/token",service="ghcr.io"')
    ],
    credentials: known("ghcr.io"),
    gives: pulled,
    wire: [
      manifest,
      `${askingGhcr("account=alice", scope("pull"))} as alice`,
      `${manifest} with t1`
    ]
  },
  {
    ...onGhcr,
    does: "refuses a password that comes as a token with 403",
    quirks: [
      answers("", ({ authorization }) =>
        authorization === "Bearer ghp_1" ? status(403) : undefined
      ),
      ghcrAsks
    ],
    credentials: known("ghcr.io", Credentials.registryToken(Redacted.make("ghp_1"))),
    fails: { _tag: "Denied", status: 403 },
    wire: [manifest, `${manifest} with ghp_1`]
  }
]

const amazon: ReadonlyArray<Row> = [
  {
    at: ["§1 ECR"],
    does: "takes a password, and has a service in the challenge for it",
    host: ecr,
    quirks: [takesAws],
    credentials: known(ecr, Credentials.basic("AWS", Redacted.make("fresh"))),
    run: pull,
    gives: pulled,
    wire: [manifest, `${manifest} as AWS`]
  },
  ...(
    [
      [400, "Your Authorization Token is invalid."],
      [403, "Your Authorization Token is invalid."],
      [403, "Your authorization token has expired. Reauthenticate and try again."]
    ] as const
  ).map(
    ([code, message]): Row => ({
      at: ["§1 ECR"],
      does: `says of an old password, with ${code}: ${message} The helper is asked again`,
      host: ecr,
      quirks: [refusesStale(code, message), takesAws],
      credentials: helper(true),
      run: pull,
      gives: pulled,
      wire: [manifest, `${manifest} as AWS`, `${manifest} as AWS`]
    })
  ),
  {
    at: ["§1 ECR"],
    does: "calls a password invalid, and the helper has no other",
    host: ecr,
    quirks: [refusesStale(403), takesAws],
    credentials: helper(false),
    run: pull,
    fails: { _tag: "Unauthorized", reason: "Challenge", status: 403, errors: [{ code: "DENIED" }] },
    wire: [manifest, `${manifest} as AWS`]
  },
  {
    at: ["§1 ECR public"],
    does: "gives tokens to nobody in particular, but one request a second",
    host: "public.ecr.aws",
    quirks: [
      issuesAt("/token/"),
      takesTokens(
        'Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="repository:team/app:pull"'
      ),
      first("Manifest", () =>
        status(429, '{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}')
      )
    ],
    run: pull,
    gives: pulled,
    wire: [
      manifest,
      asking("/token/", "service=public.ecr.aws", scope("pull")),
      `${manifest} with t1`,
      `${manifest} with t1`
    ]
  }
]

const google: ReadonlyArray<Row> = [
  {
    at: ["§1 GCR"],
    does: "has its token server below /v2/",
    host: "gcr.io",
    quirks: [
      issuesAt("/v2/token", (token) => ({ token, expires_in: 300 })),
      takesTokens('Bearer realm="https://gcr.io/v2/token",service="gcr.io"')
    ],
    credentials: known("gcr.io", Credentials.basic("oauth2accesstoken", Redacted.make("ya29"))),
    run: pull,
    gives: pulled,
    wire: [
      manifest,
      `${asking("/v2/token", "service=gcr.io", "account=oauth2accesstoken", scope("pull"))} as oauth2accesstoken`,
      `${manifest} with t1`
    ]
  },
  {
    at: ["§1 GCR"],
    does: "takes an access token as it is",
    host: "europe-docker.pkg.dev",
    quirks: [
      guards(
        (authorization) => authorization === "Bearer ya29",
        () => asks('Bearer realm="https://europe-docker.pkg.dev/v2/token"')
      )
    ],
    credentials: known("europe-docker.pkg.dev", Credentials.registryToken(Redacted.make("ya29"))),
    run: pull,
    gives: pulled,
    wire: [manifest, `${manifest} with ya29`]
  },
  ...[
    { credentials: Credentials.layerAnonymous, account: "", as: "" },
    { credentials: known("gcr.io"), account: "&account=alice", as: " as alice" }
  ].map(
    ({ account, as, credentials }): Row => ({
      at: ["§1 GCR"],
      does: `has a challenge for pings only, and takes tokens only, of whoever comes${as}`,
      host: "gcr.io",
      quirks: [
        issuesAt("/v2/token"),
        guards(isToken, (seen) =>
          is("Base")(seen) ? asks('Bearer realm="https://gcr.io/v2/token"') : asks()
        )
      ],
      credentials,
      run: (registry) => Effect.zip(pull(registry), pull(registry)),
      gives: [pulled, pulled],
      wire: [
        manifest,
        "GET /v2/",
        `GET /v2/token?client_id=effect-oci${account}&${scope("pull")}${as}`,
        `${manifest} with t1`,
        `${manifest} with t1`
      ]
    })
  ),
  {
    at: ["§1 GCR"],
    does: "has a challenge for pings only, of which one came before",
    host: "gcr.io",
    quirks: [
      issuesAt("/v2/token"),
      guards(isToken, (seen) =>
        is("Base")(seen) ? asks('Bearer realm="https://gcr.io/v2/token"') : asks()
      )
    ],
    run: (registry) => Effect.zipRight(registry.ping, pull(registry)),
    gives: pulled,
    wire: [
      "GET /v2/",
      asking("/v2/token"),
      "GET /v2/ with t1",
      asking("/v2/token", scope("pull")),
      `${manifest} with t2`
    ]
  }
]

const onAcr: Pick<Row, "at" | "host"> = { at: ["§1 ACR"], host: "x.azurecr.io" }
const askingAcr = (...parameters: ReadonlyArray<string>) =>
  asking("/oauth2/token", "service=x.azurecr.io", ...parameters)
const acrAsks = (scope: string) =>
  takesTokens(
    `Bearer realm="https://x.azurecr.io/oauth2/token",service="x.azurecr.io",scope="${scope}"`,
    'Basic realm="x.azurecr.io"'
  )

const azure: ReadonlyArray<Row> = [
  {
    ...onAcr,
    at: ["§1 ACR", "§5 ACR", "rule 1"],
    does: "offers a password, too, which it refuses, and answers an `access_token` alone",
    quirks: [
      issuesAt("/oauth2/token", (access_token) => ({ access_token })),
      acrAsks("registry:catalog:*")
    ],
    credentials: known("x.azurecr.io"),
    run: (registry) => items(registry.repositories()),
    gives: ["team/app", "team/base"],
    wire: [
      "GET /v2/_catalog",
      `${askingAcr("account=alice", "scope=registry:catalog:*")} as alice`,
      "GET /v2/_catalog with t1"
    ]
  },
  {
    ...onAcr,
    does: "takes what comes with an empty GUID for a refresh token",
    quirks: [
      issuesAt("/oauth2/token", (access_token) => ({ access_token })),
      acrAsks("repository:team/app:pull")
    ],
    credentials: known(
      "x.azurecr.io",
      Credentials.fromLogin("00000000-0000-0000-0000-000000000000", Redacted.make("refresh"))
    ),
    run: pull,
    gives: pulled,
    wire: [manifest, "POST /oauth2/token [125]", `${manifest} with t1`]
  },
  {
    ...onAcr,
    at: ["§1 ACR", "rule 1"],
    does: "has scopes of a type of its own, which pass through",
    quirks: [issuesAt("/oauth2/token"), acrAsks("artifact-repository:team/app:pull")],
    run: pull,
    gives: pulled,
    wire: [
      manifest,
      askingAcr("scope=artifact-repository:team/app:pull", scope("pull")),
      `${manifest} with t1`
    ]
  }
]

const onQuay: Pick<Row, "at" | "host"> = { at: ["§1 Quay"], host: "quay.io" }
const askingQuay = (...parameters: ReadonlyArray<string>) =>
  asking("/v2/auth", "service=quay.io", ...parameters)
const quayAsks = guards(isToken, () => {
  const html = status(401, "true", { "content-type": "text/html" })
  html.headers.set("www-authenticate", 'Bearer realm="https://quay.io/v2/auth",service="quay.io"')
  return html
})
/**
 * Knows `push`, `pull` and `*`, one scope in each parameter, and nobody without a name and without
 * a scope.
 */
const quayIssues = issuesAt("/v2/auth", (token, { authorization, url }) => {
  const scopes = url.searchParams.getAll("scope")
  if (scopes.some((scope) => !/^repository:[a-z/]+:(?:(?:push|pull|\*),?)+$/.test(scope)))
    return status(400)
  return authorization === undefined && scopes.length === 0 ? status(401) : { token }
})
const robot = known("quay.io", Credentials.basic("team+robot$1", Redacted.make("hunter2")))

const quay: ReadonlyArray<Row> = [
  {
    ...onQuay,
    does: "has no token for nobody who wants nothing, and answers HTML",
    quirks: [quayIssues, quayAsks],
    run: (registry) => registry.ping,
    fails: { _tag: "Unauthorized", reason: "TokenServer", status: 401 },
    wire: ["GET /v2/", askingQuay()]
  },
  {
    ...onQuay,
    does: "has robots with a plus and a dollar in their names",
    quirks: [quayIssues, quayAsks],
    credentials: robot,
    run: (registry) => registry.ping,
    wire: [
      "GET /v2/",
      `${askingQuay("account=team%2Brobot%241")} as team+robot$1`,
      "GET /v2/ with t1"
    ]
  },
  {
    ...onQuay,
    at: ["§1 Quay", "§1 others", "§4 Quay"],
    does: "does not know the action delete, but *",
    quirks: [quayIssues, quayAsks],
    run: (registry) => registry.deleteTag(app, v1),
    wire: [
      "DELETE /v2/team/app/manifests/v1",
      askingQuay(scope("delete,pull")),
      askingQuay(scope("*")),
      "DELETE /v2/team/app/manifests/v1 with t2"
    ]
  },
  {
    ...onQuay,
    does: "takes one scope in each parameter (A3, A10)",
    quirks: [quayIssues, quayAsks],
    run: mountB2,
    gives: true,
    wire: [mount, askingQuay(scope("pull,push"), scope("pull", "team/base")), `${mount} with t1`]
  },
  {
    ...onQuay,
    does: "creates the repository that a token to push is for, so that none is asked for to look",
    quirks: [quayIssues, quayAsks],
    run: (registry) => registry.putBlob(app, source(b1)),
    gives: { digest: b1.descriptor.digest },
    wire: [
      "HEAD /v2/team/app/blobs/b1",
      askingQuay(scope("pull")),
      "HEAD /v2/team/app/blobs/b1 with t1"
    ]
  }
]

export const rows: ReadonlyArray<Row> = [
  ...dockerHub,
  ...ghcr,
  ...amazon,
  ...google,
  ...azure,
  ...quay
]
