/** Section 6: how registries fail, limit and warn. */
import { gzipSync } from "node:zlib"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import type { Registry } from "../../../src/Registry.js"
import { items } from "../../support/fixtures.js"
import { status } from "../world.js"
import { asking, issuesAt, manifest, pull, pulled, scope, takesTokens } from "./authorization.js"
import { app, b1, m2, source, tiny, v1, v2 } from "./content.js"
import { answers, first, type Quirk, sets } from "./mock.js"
import type { Row } from "./row.js"

const errors = (code: string, message?: string) => JSON.stringify({ errors: [{ code, message }] })

/** After how many milliseconds a manifest has come. */
const timed = (registry: Registry.Service) =>
  Effect.flatMap(Clock.currentTimeMillis, (began) =>
    Effect.map(Effect.zipRight(pull(registry), Clock.currentTimeMillis), (ended) => ended - began)
  )

const refusesPull = (answer: () => Response): Quirk => answers("GET Manifest", answer)
const refusesOnce = (answer: () => Response): Quirk => first("GET Manifest", answer)
const attempts = Array.from({ length: 5 }, () => manifest)

const hubLimits = {
  "ratelimit-limit": "100;w=21600",
  "ratelimit-remaining": "20;w=21600",
  "docker-ratelimit-source": "1"
}
const hubRate = { limit: 100, remaining: 20, window: Option.some(Duration.hours(6)) }

const limiting: ReadonlyArray<Row> = [
  {
    at: ["§6 Docker Hub", "§2 Docker Hub"],
    does: "tells of its limit in answers to GET and HEAD",
    host: "docker.io",
    options: (hear) => ({ onRateLimit: hear }),
    quirks: [sets("GET HEAD Manifest", () => hubLimits)],
    run: (registry) => Effect.zipRight(registry.headManifest(app, v1), pull(registry)),
    gives: pulled,
    hears: [hubRate, hubRate]
  },
  {
    at: ["§6 Docker Hub"],
    does: "tells nothing of a limit to whoever has none",
    host: "docker.io",
    options: (hear) => ({ onRateLimit: hear }),
    quirks: [],
    run: pull,
    gives: pulled,
    hears: []
  },
  {
    at: ["§6 Docker Hub", "rule 17", "rule 18"],
    does: "limits pulls with 429 and text",
    host: "docker.io",
    options: (hear) => ({ onRateLimit: hear }),
    quirks: [refusesPull(() => status(429, "You have reached your pull rate limit.", hubLimits))],
    run: pull,
    fails: {
      _tag: "TooManyRequests",
      status: 429,
      limit: "100;w=21600",
      remaining: "20;w=21600",
      errors: []
    },
    wire: attempts,
    hears: attempts.map(() => hubRate)
  },
  {
    at: ["§6 Docker Hub", "rule 18"],
    does: "limits abuse with 429 and nothing",
    host: "docker.io",
    quirks: [refusesOnce(() => status(429))],
    run: pull,
    gives: pulled,
    wire: [manifest, manifest]
  },
  {
    at: ["§6 GHCR", "rule 18"],
    does: "has the time to wait in its message, as a Go duration",
    host: "ghcr.io",
    quirks: [
      refusesOnce(() =>
        status(429, errors("TOOMANYREQUESTS", "retry-after: 42s, allowed: 44000/minute"))
      )
    ],
    run: timed,
    gives: 42_000,
    wire: [manifest, manifest]
  },
  {
    at: ["§6 GHCR", "rule 18"],
    does: "has microseconds to wait in its message, which is no reason to hurry (T20)",
    host: "ghcr.io",
    options: { retry: { base: "10 seconds" } },
    quirks: [
      refusesOnce(() =>
        status(429, errors("TOOMANYREQUESTS", "retry-after: 880.092µs, allowed: 44000/minute"))
      )
    ],
    run: (registry) => Effect.map(timed(registry), (waited) => waited >= 8000 && waited <= 12_001),
    gives: true,
    wire: [manifest, manifest]
  },
  {
    at: ["§6 GHCR", "rule 18"],
    does: "limits pushes as well, which did nothing then",
    host: "ghcr.io",
    quirks: [first("POST Uploads", () => status(429, errors("TOOMANYREQUESTS")))],
    run: (registry) => registry.putBlob(app, source(tiny)),
    gives: { digest: tiny.descriptor.digest },
    wire: [
      "HEAD /v2/team/app/blobs/tiny",
      "POST /v2/team/app/blobs/uploads/?digest=tiny [12]",
      "POST /v2/team/app/blobs/uploads/?digest=tiny [12]"
    ]
  },
  ...[400, 403].map(
    (code): Row => ({
      at: ["§6 ECR", "rule 18"],
      does: `limits with ${code} and TOOMANYREQUESTS`,
      quirks: [refusesPull(() => status(code, errors("TOOMANYREQUESTS", "Rate exceeded")))],
      run: pull,
      fails: { _tag: "TooManyRequests", status: code },
      wire: attempts
    })
  ),
  ...(
    [
      ["seconds", "7", 7000],
      ["a date", "Thu, 01 Jan 1970 00:00:30 GMT", 30_000],
      ["an hour, of which a minute is waited", "3600", 60_000],
      ["a date years ahead, of which a minute is waited", "Fri, 01 Jan 2038 00:00:00 GMT", 60_000]
    ] as const
  ).map(
    ([how, retryAfter, waited]): Row => ({
      at: ["§6 all", "rule 18"],
      does: `has the time to wait in a header: ${how}`,
      quirks: [refusesOnce(() => status(503, null, { "retry-after": retryAfter }))],
      run: timed,
      gives: waited,
      wire: [manifest, manifest]
    })
  ),
  {
    at: ["§6 all", "rule 18"],
    does: "wants to be asked again at a time that is past",
    options: { retry: { base: "1 second" } },
    quirks: [
      refusesOnce(() => status(503, null, { "retry-after": "Thu, 01 Jan 1970 00:00:00 GMT" }))
    ],
    run: (registry) =>
      Effect.map(
        Effect.zipRight(TestClock.adjust("1 minute"), timed(registry)),
        (waited) => waited < 1300
      ),
    gives: true,
    wire: [manifest, manifest]
  }
]

/** What a registry says, and what is made of it. */
const says = (
  at: Row["at"],
  does: string,
  run: Row["run"],
  answer: () => Response,
  fails: NonNullable<Row["fails"]>
): Row => ({
  at,
  does,
  quirks: [answers("", answer)],
  options: { retry: { attempts: 0 } },
  run,
  fails
})

const put = (registry: Registry.Service) => registry.putManifest(app, m2, { tags: [v2] })

const failing: ReadonlyArray<Row> = [
  says(
    ["§6 Quay"],
    "has codes with spaces",
    pull,
    () => status(405, errors("METHOD NOT ALLOWED")),
    {
      _tag: "RegistryFailure",
      status: 405,
      errors: [{ code: "METHOD NOT ALLOWED" }]
    }
  ),
  says(
    ["§6 Quay"],
    "has codes of its own: TAG_EXPIRED",
    pull,
    () => status(404, errors("TAG_EXPIRED")),
    {
      _tag: "ManifestUnknown",
      errors: [{ code: "TAG_EXPIRED" }]
    }
  ),
  says(
    ["§6 Quay"],
    "has codes of its own: TOO_MANY_TAGS",
    put,
    () => status(413, errors("TOO_MANY_TAGS")),
    {
      _tag: "RegistryFailure",
      status: 413,
      errors: [{ code: "TOO_MANY_TAGS" }]
    }
  ),
  says(["§6 Quay"], "has conflicts", put, () => status(409, errors("CONFLICT", "in use")), {
    _tag: "RegistryFailure",
    status: 409,
    errors: [{ code: "CONFLICT", message: "in use" }]
  }),
  says(
    ["§6 Artifactory", "rule 17"],
    "has no codes",
    put,
    () => status(400, '{"errors":[{"status":400,"message":"bad manifest"}]}'),
    { _tag: "RegistryFailure", status: 400, errors: [{ code: "UNKNOWN", message: "bad manifest" }] }
  ),
  says(
    ["§6 zot", "rule 17"],
    "has one error and no list",
    put,
    () => status(400, '{"code":"MANIFEST_INVALID","message":"no config","detail":{"a":"b"}}'),
    {
      _tag: "RegistryFailure",
      errors: [{ code: "MANIFEST_INVALID", message: "no config", detail: { a: "b" } }]
    }
  ),
  says(["§6 Gitea", "rule 17"], "says nothing", put, () => status(500, ""), {
    _tag: "RegistryFailure",
    status: 500,
    errors: [],
    snippet: ""
  }),
  says(
    ["rule 17", "rule 20"],
    "has a proxy before it that compresses even its errors",
    put,
    () =>
      status(400, gzipSync(errors("MANIFEST_INVALID", "no config")), {
        "content-encoding": "gzip"
      }),
    { _tag: "RegistryFailure", errors: [{ code: "MANIFEST_INVALID", message: "no config" }] }
  ),
  says(
    ["rule 17", "rule 20"],
    "says that its errors are compressed, and they are not",
    put,
    () => status(400, errors("MANIFEST_INVALID", "no config"), { "content-encoding": "gzip" }),
    { _tag: "RegistryFailure", errors: [{ code: "MANIFEST_INVALID", message: "no config" }] }
  ),
  says(
    ["rule 17", "rule 20"],
    "has an error that is a mebibyte when decompressed",
    put,
    () => status(400, gzipSync(new Uint8Array(1024 * 1024)), { "content-encoding": "gzip" }),
    { _tag: "RegistryFailure", errors: [] }
  ),
  says(["rule 17"], "has a message alone", put, () => status(400, '{"message":"Not today"}'), {
    _tag: "RegistryFailure",
    errors: [{ code: "UNKNOWN", message: "Not today" }]
  }),
  says(
    ["§6 ACR", "rule 17"],
    "has XML from its storage",
    (registry) => registry.deleteBlob(app, b1.descriptor.digest),
    () =>
      status(
        409,
        '\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>BlobImmutable</Code><Message>Not &lt;now&gt;</Message></Error>'
      ),
    {
      _tag: "RegistryFailure",
      status: 409,
      errors: [{ code: "BlobImmutable", message: "Not <now>" }]
    }
  ),
  says(
    ["§6 others", "rule 17"],
    "has HTML from a proxy",
    pull,
    () => status(502, "<html>\r\n<head><title>502 Bad Gateway</title></head></html>"),
    {
      _tag: "RegistryFailure",
      status: 502,
      errors: [],
      snippet: "<html> <head><title>502 Bad Gateway</title></head></html>"
    }
  ),
  ...[
    [408, 429, 500, 502],
    [503, 504, 499, 522]
  ].map(
    (codes): Row => ({
      at: ["§6 distribution", "§6 all", "rule 18"],
      does: `is in trouble that passes: ${codes.join(", ")}`,
      quirks: codes.map((code) => refusesOnce(() => status(code, errors("UNKNOWN")))),
      run: pull,
      gives: pulled,
      wire: attempts
    })
  ),
  {
    at: ["§6 all", "rule 18"],
    does: "has a token server in trouble that passes",
    quirks: [
      issuesAt("/token", (token) => (token === "t1" ? status(503) : { token })),
      takesTokens('Bearer realm="https://registry.example/token"')
    ],
    run: pull,
    gives: pulled,
    wire: [
      manifest,
      asking("/token", scope("pull")),
      asking("/token", scope("pull")),
      `${manifest} with t2`
    ]
  },
  {
    at: ["§6 all"],
    does: "warns, again and again",
    options: (hear) => ({ onWarning: hear }),
    quirks: [sets("", () => ({ warning: '299 - "This moves, soon", 299 - "It is old"' }))],
    run: (registry) => Effect.all([pull(registry), items(registry.tags(app)), pull(registry)]),
    hears: ["This moves, soon", "It is old"]
  },
  {
    at: ["§6 all"],
    does: "warns at a length that is not allowed, of which 4,096 bytes are read",
    options: (hear) => ({ onWarning: hear }),
    quirks: [sets("", () => ({ warning: `299 - "${"x".repeat(5000)}"` }))],
    run: pull,
    hears: ["x".repeat(4089)]
  }
]

export const rows: ReadonlyArray<Row> = [...limiting, ...failing]
