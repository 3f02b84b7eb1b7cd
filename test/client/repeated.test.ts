/**
 * Servers that repeat what they were sent, in every place of a response and in every spelling: the
 * secrets are generated, and none of them is found in an error, a log, a span or an inspection
 * (T13).
 */
import { randomBytes } from "node:crypto"
import { inspect } from "node:util"
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { json, type Seen } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { utf8 } from "../support/fixtures.js"
import { ignoreSecrets } from "../support/suiteWatch.js"

// They are searched for here.
ignoreSecrets()

const random = () => randomBytes(15).toString("base64url")

const secrets = {
  password: `${random()}"&<'\\/+% !`,
  identityToken: `${random()}+/==`,
  token: `${random()}.~+/=`,
  refreshToken: random(),
  cookie: random(),
  key: random(),
  signature: `${random()}+/=`,
  nameless: `${random()}==`,
  state: random()
}

/** What is searched for: each secret by the part of it that every spelling keeps. */
const marks = [
  ...Object.values(secrets).map((secret) => secret.slice(0, 20)),
  Buffer.from(`alice:${secrets.password}`).toString("base64").slice(0, 30)
]
const hidden = (text: string) => {
  const searched = text.toLowerCase()
  for (const mark of marks) {
    const at = searched.indexOf(mark.toLowerCase())
    // Not the text itself, which would take long to print.
    expect(at === -1 ? "nowhere" : text.slice(Math.max(0, at - 150), at + 60)).toBe("nowhere")
  }
}

const registryUrl = "https://registry.test"
const storage = "https://storage.test"
const realm = "https://auth.registry.test/token"
const signed = (path: string) =>
  `${storage}/${path}?X-Sig=${encodeURIComponent(secrets.signature)}&${secrets.nameless}`

const repository = Effect.runSync(Reference.parseRepositoryName("owner/name"))
const tag = Effect.runSync(Reference.parseTag("v1"))
const content = utf8("content")
const digest = Digest.fromBytes(content)

/** All that a request says: as it was sent, and what is in it. */
const told = ({ authorization = "", body, headers, url }: Seen): ReadonlyArray<string> => {
  const login = Buffer.from(authorization.replace(/^basic /i, ""), "base64").toString()
  return [
    authorization,
    ...(login.startsWith("alice:") ? [login, login.slice(6)] : []),
    headers["x-api-key"] ?? "",
    headers["cookie"] ?? "",
    ...new URLSearchParams(body).values(),
    url.href,
    url.search,
    url.searchParams.get("X-Sig") ?? "",
    url.search.split("&").at(-1) ?? ""
  ].filter((text) => text !== "" && text !== "?")
}

const inXml = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;")

const spellings: ReadonlyArray<(text: string) => string> = [
  encodeURIComponent,
  (text) => new URLSearchParams({ "": text }).toString().slice(1),
  (text) => text.replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`),
  inXml,
  (text) => JSON.stringify(text).slice(1, -1)
]

type Place = (said: ReadonlyArray<string>, status: number) => Response

/** What a header can carry, and no end of the text around it. */
const inHeader = (text: string) => text.replace(/[^ -~]/g, "").replace(/["\\]/g, "\\$&")
const inUrl = (text: string) => text.replace(/[^!-~]|["<>\\#]/g, encodeURIComponent)

const error = (value: unknown, status: number) => json({ errors: [value] }, status)
const withHeader =
  (name: string, value: (said: ReadonlyArray<string>) => string): Place =>
  (said, status) =>
    new Response('{"errors":[{"code":"UNKNOWN"}]}', { status, headers: { [name]: value(said) } })

/** One that can be part of a host, as it is. */
const plainOne = (said: ReadonlyArray<string>): string =>
  said.find((text) => /^[\w-]{8,60}$/.test(text)) ?? "x"

/** Where a server can repeat something. */
const places: Readonly<Record<string, Place>> = {
  "a message that is cut": (said, status) =>
    error(
      { code: "UNKNOWN", message: said.map((text) => `${"x".repeat(1015)}${text}`)[0] },
      status
    ),
  "every error": (said, status) =>
    json(
      {
        errors: said.map((text) => ({
          code: text,
          message: `${text} ${said.join(" ")}`,
          detail: { [text]: [{ text }], text }
        }))
      },
      status
    ),
  "every header that says something": (said, status) => {
    const text = inHeader(said.join(" "))
    return new Response("content", {
      status,
      statusText: text,
      headers: {
        warning: said.map((text) => `299 - "you sent ${inHeader(text)}"`).join(", "),
        "content-type": text,
        "content-range": `bytes ${text}`,
        "docker-content-digest": `sha256:${text}`,
        "oci-subject": text,
        range: text,
        "ratelimit-limit": text,
        "ratelimit-remaining": text,
        "retry-after": text
      }
    })
  },
  "an error in another form": (said, status) => json({ details: said.join(" ") }, status),
  "plain text that is cut": (said, status) =>
    new Response(`${" ".repeat(2040)}${"x".repeat(500)} ${said.join(" ")}`, { status }),
  "a page": (said, status) =>
    new Response(`<html><title>${said.join(" ")}</title></html>`, {
      status,
      headers: { "content-type": "text/html" }
    }),
  XML: (said, status) =>
    new Response(
      `<Error><Code>${inXml(said[0] ?? "")}</Code><Message>${said
        .map((text) => inXml(text))
        .join(" ")}</Message></Error>`,
      { status }
    ),
  "a broken document": (said, status) => new Response(`{"errors":["${said.join(" ")}`, { status }),
  "Warning that is cut": withHeader(
    "warning",
    (said) => `299 - "${"x".repeat(4080)}${inHeader(said[0] ?? "")}"`
  ),
  "Location, its path": withHeader("location", (said) => `/x/${inUrl(said[0] ?? "")}`),
  "Location elsewhere, its path": withHeader(
    "location",
    (said) => `${storage}/x/${inUrl(said.join("/"))}`
  ),
  "Location, a query that is shown": withHeader(
    "location",
    (said) => `${storage}/x?n=${encodeURIComponent(said[0] ?? "")}&scope=${inUrl(said[0] ?? "")}`
  ),
  "Location, its host": withHeader("location", (said) => `http://${plainOne(said)}.evil.test/`),
  "Location, user info": withHeader(
    "location",
    (said) => `https://${encodeURIComponent(said[0] ?? "")}@${new URL(storage).host}/`
  ),
  Link: withHeader("link", (said) => `</v2/${inUrl(said[0] ?? "")}?last=1>; rel="next"`),
  "Link, a query that is shown": withHeader(
    "link",
    (said) => `</v2/owner/name/tags/list?last=${encodeURIComponent(said[0] ?? "")}>; rel="next"`
  ),
  "Link elsewhere": withHeader(
    "link",
    (said) => `<https://evil.test/${inUrl(said[0] ?? "")}>; rel="next"`
  ),
  "WWW-Authenticate, a label": withHeader(
    "www-authenticate",
    (said) => `Basic realm="${inHeader(said.join(" "))}"`
  ),
  "WWW-Authenticate, every parameter": withHeader("www-authenticate", (said) => {
    const text = inHeader(said[0] ?? "")
    return `Bearer realm="${realm}?x=${inUrl(said[0] ?? "")}",service="${text}",scope="${text}",error="${text}",other="${text}"`
  }),
  "WWW-Authenticate, the path of a realm": withHeader(
    "www-authenticate",
    (said) => `Bearer realm="https://auth.registry.test/${inUrl(said[0] ?? "")}"`
  ),
  "WWW-Authenticate, a realm elsewhere": withHeader(
    "www-authenticate",
    (said) => `Bearer realm="https://evil.test/${inUrl(said[0] ?? "")}"`
  ),
  "WWW-Authenticate, a scheme": withHeader("www-authenticate", (said) => `${plainOne(said)} x="y"`),
  "Content-Encoding": withHeader("content-encoding", (said) => inHeader(said.join(" "))),
  "a manifest": (said, status) =>
    new Response(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: said[0],
        config: { mediaType: said[0], digest: said[0], size: 1 },
        layers: [
          { mediaType: said[0], digest: said[0], size: -1, annotations: { [said[0] ?? ""]: 1 } }
        ]
      }),
      { status, headers: { "content-type": "application/vnd.oci.image.manifest.v1+json" } }
    ),
  "a list": (said, status) =>
    json(
      { tags: said, repositories: said, next: `https://evil.test/${inUrl(said[0] ?? "")}` },
      status
    )
}

/**
 * What an application sees of a program, in the forms that it would print (`watched` has more, and
 * takes its time).
 */
const observed = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const seen: Array<string> = []
    const see = (value: unknown) => {
      seen.push(inspect(value, { depth: 10 }), JSON.stringify(value) ?? "")
    }
    const logger = Logger.make((options) => {
      seen.push(Logger.stringLogger.log(options))
      for (const failure of Cause.failures(options.cause)) see(failure)
    })
    const tracer = yield* Effect.tracer
    const watching = Tracer.make({
      context: (run, fiber) => tracer.context(run, fiber),
      span: (...args) => {
        const span = tracer.span(...args)
        const end = span.end.bind(span)
        span.end = (time, exit) => {
          see([span.name, [...span.attributes]])
          if (Exit.isFailure(exit)) seen.push(Cause.pretty(exit.cause, { renderErrorCause: true }))
          end(time, exit)
        }
        return span
      }
    })
    const exit = yield* Effect.exit(program).pipe(
      Effect.provide(
        Layer.merge(
          Logger.replace(Logger.defaultLogger, logger),
          Logger.minimumLogLevel(LogLevel.All)
        )
      ),
      Effect.withTracer(watching)
    )
    return { exit, text: seen.join("\n") }
  })

const everything = (registry: Registry.Service): ReadonlyArray<Effect.Effect<unknown, unknown>> => [
  registry.getManifest(repository, tag),
  Stream.runDrain(registry.getBlob(repository, digest)),
  Stream.runDrain(registry.getBlobRange(repository, digest, { start: 2, end: 3 })),
  Stream.runDrain(registry.tags(repository)),
  registry.putBlob(
    repository,
    BlobSource.make(() => Stream.make(content))
  )
]

const holders = {
  "a password": Credentials.basic("alice", Redacted.make(secrets.password)),
  "an identity token": Credentials.identityToken(Redacted.make(secrets.identityToken)),
  "a registry token": Credentials.registryToken(Redacted.make(secrets.token)),
  nobody: Credentials.anonymous
}

/** Runs everything, and expects no secret in anything that can be observed. */
const search = (
  origins: Parameters<typeof internet>[0],
  credential: Credentials.Credential,
  challenge: string
) =>
  Effect.gen(function* () {
    const { client, seen } = internet({
      ...origins,
      [registryUrl]: (seen) =>
        challenge !== "" && seen.headers["authorization"] === undefined
          ? new Response(null, { status: 401, headers: { "www-authenticate": challenge } })
          : (origins[registryUrl]?.(seen) ?? new Response(null, { status: 404 }))
    })
    const program = Effect.gen(function* () {
      const registry = yield* RegistryClient.make({
        url: registryUrl,
        retry: { attempts: 0 },
        timeouts: { response: "5 seconds" },
        headers: {
          "x-api-key": secrets.key,
          cookie: `session=${secrets.cookie}; theme=dark`,
          ...(challenge === "" && { authorization: `Bearer ${secrets.token}` })
        }
      })
      return yield* Effect.forEach(everything(registry), (operation) =>
        Effect.exit(
          operation.pipe(Effect.tapErrorCause((cause) => Effect.logError("failed", cause)))
        )
      )
    }).pipe(
      Effect.provide([
        Layer.succeed(HttpClient.HttpClient, client),
        TokenCache.layerMemory,
        Layer.orDie(Credentials.layer({ "registry.test": credential }))
      ])
    )
    const fiber = yield* Effect.fork(observed(program))
    yield* TestClock.adjust("10 minutes")
    const { exit, text } = yield* fiber
    hidden(text)
    expect(Exit.isSuccess(exit)).toBe(true)
    return { seen, text, exits: Exit.isSuccess(exit) ? exit.value : [] }
  })

const issued = () =>
  json({ token: secrets.token, refresh_token: secrets.refreshToken, expires_in: 60 })

const challenges: Readonly<Record<keyof typeof holders, string>> = {
  "a password": "Basic",
  "an identity token": `Bearer realm="${realm}"`,
  "a registry token": `Bearer realm="${realm}"`,
  // Whose headers are the application's own.
  nobody: ""
}

/** All that a request says, in every spelling. */
const repeated = (seen: Seen): ReadonlyArray<string> => {
  const said = told(seen)
  return [...said, ...said.flatMap((text) => spellings.map((spelled) => spelled(text)))]
}

const repeat =
  (place: string, status: number) =>
  (seen: Seen): Response =>
    places[place]?.(repeated(seen), status) ?? new Response()

describe.each(Object.keys(places))("in: %s", (place) => {
  it.effect.each(["a password", "nobody"] as const)("a registry, the request of %s", (holder) =>
    Effect.forEach([200, 307, 401, 403], (status) =>
      search(
        {
          [registryUrl]: repeat(place, status),
          "https://auth.registry.test": issued,
          [storage]: () => new Response(null, { status: 403 })
        },
        holders[holder],
        challenges[holder]
      )
    )
  )

  it.effect("storage, its signed URL", () =>
    Effect.forEach([200, 307, 403], (status) =>
      Effect.gen(function* () {
        const { seen } = yield* search(
          {
            [registryUrl]: () =>
              new Response(null, { status: 307, headers: { location: signed("b") } }),
            [storage]: repeat(place, status)
          },
          Credentials.anonymous,
          ""
        )
        expect(seen.some(({ url }) => url.href === signed("b"))).toBe(true)
      })
    )
  )

  it.effect.each(["a password", "an identity token"] as const)(
    "a token server, the request of %s",
    (holder) =>
      Effect.forEach(holder === "an identity token" ? [401] : [307, 401], (status) =>
        search(
          {
            [registryUrl]: () => json({ tags: [] }),
            "https://auth.registry.test": repeat(place, status)
          },
          holders[holder],
          `Bearer realm="${realm}?${secrets.nameless}&key=${secrets.signature}"`
        )
      )
  )
})

it.effect("as OAuth has errors", () =>
  Effect.forEach([400, 401], (status) =>
    search(
      {
        [registryUrl]: () => json({ tags: [] }),
        "https://auth.registry.test": (seen) =>
          json({ error: told(seen)[0], error_description: repeated(seen).join(" ") }, status)
      },
      holders["an identity token"],
      challenges["an identity token"]
    )
  )
)

it.effect("the location of an upload, its state and the token in its path", () =>
  Effect.gen(function* () {
    const { seen } = yield* search(
      {
        [registryUrl]: (seen) => {
          const said = encodeURIComponent(seen.authorization?.slice(7) ?? "")
          return seen.method === "POST"
            ? new Response(null, {
                status: 202,
                headers: {
                  location: `/v2/owner/name/blobs/uploads/${said}?_state=${secrets.state}&n=${said}`
                }
              })
            : json({ errors: [{ code: "UNKNOWN", message: seen.url.href }] }, 500)
        },
        "https://auth.registry.test": issued
      },
      holders["an identity token"],
      `Bearer realm="${realm}"`
    )
    expect(seen.some(({ method, url }) => method === "PATCH" && url.href.includes("_state"))).toBe(
      true
    )
  })
)
