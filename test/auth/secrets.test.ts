/**
 * Every secret of a world of registries and token servers, used in every way, and everything that anyone can observe meanwhile: errors, logs, spans,
 * inspections, JSON, what strangers receive. None of the secrets is found there (T13).
 */
import { inspect } from "node:util"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
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
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Digest from "../../src/spec/Digest.js"
import { parseRepositoryName, parseTag } from "../../src/spec/Reference.js"
import { internet, json, type Seen, unauthorized } from "./origins.js"

const secrets = {
  password: "correct-horse-battery",
  identityToken: "identity-0123456789",
  registryToken: "registry-0123456789",
  token: "bearer-0123456789",
  refreshToken: "refresh-0123456789"
}
const basic = Buffer.from(`alice:${secrets.password}`).toString("base64")
const everySecret = [...Object.values(secrets), basic]

const registry = "https://registry.example.com"
const realm = "https://auth.example.com/token"
const cdn = "https://cdn.example.net"
const evil = "https://evil.example"

const holders = {
  Anonymous: Credentials.anonymous,
  Basic: Credentials.basic("alice", Redacted.make(secrets.password)),
  IdentityToken: Credentials.identityToken(Redacted.make(secrets.identityToken)),
  RegistryToken: Credentials.registryToken(Redacted.make(secrets.registryToken))
}

const redirect = (location: string) => new Response(null, { status: 307, headers: { location } })

/** Repeats all that it was sent, as careless servers do. */
const echo = ({ authorization, body, url }: Seen, status: number) =>
  json({ errors: [{ code: "DENIED", message: `${authorization} ${body} ${url}`, detail: authorization }] }, status)

const issued = () =>
  json({ token: secrets.token, refresh_token: secrets.refreshToken, expires_in: 60, issued_at: "1970-01-01T00:00:00Z" })

const bearer = (at = realm) => `Bearer realm="${at}",service="s"`
const asks = (challenge: string, otherwise: (seen: Seen) => Response) => (seen: Seen) =>
  seen.authorization === undefined ? unauthorized(challenge) : otherwise(seen)

/** What the registry does, what the token server does. */
const worlds: Readonly<Record<string, readonly [(seen: Seen) => Response, (seen: Seen) => Response]>> = {
  "all is well": [asks(bearer(), () => json({ name: "a", tags: ["v1"] })), issued],
  "a password for the registry": [asks("Basic", () => json({ name: "a", tags: [] })), issued],
  "a refused password": [() => unauthorized("Basic"), issued],
  "a refused token": [() => unauthorized(bearer()), issued],
  "an expired ECR password": [
    asks("Basic", () => json({ errors: [{ code: "DENIED", message: "Your Authorization Token is invalid." }] }, 403)),
    issued
  ],
  "a registry that repeats the request": [asks(bearer(), (seen) => echo(seen, 403)), issued],
  "a registry that repeats the request when it fails": [asks(bearer(), (seen) => echo(seen, 500)), issued],
  "a registry that repeats the request when it has nothing": [asks("Basic", (seen) => echo(seen, 404)), issued],
  "a registry that repeats the request in plain text": [
    asks("Basic", ({ authorization }) => new Response(authorization, { status: 418 })),
    issued
  ],
  "a registry that repeats the request and asks again": [asks("Basic", (seen) => echo(seen, 401)), issued],
  "a registry that repeats the request in a warning": [
    asks(
      bearer(),
      ({ authorization }) => new Response('{"tags":[]}', { headers: { warning: `299 - "you sent ${authorization}"` } })
    ),
    issued
  ],
  "a registry that repeats the request in its challenge": [
    ({ authorization = "nothing" }) =>
      unauthorized(`${bearer()},error="${authorization}", Basic realm="${encodeURIComponent(authorization)}"`),
    issued
  ],
  "a token server that refuses": [asks(bearer(), issued), () => json({}, 401)],
  "a token server that repeats the request": [asks(bearer(), issued), (seen) => echo(seen, 401)],
  "a token server in trouble that repeats the request": [asks(bearer(), issued), (seen) => echo(seen, 503)],
  "a token server with a broken answer": [
    asks(bearer(), issued),
    () => new Response(`{"token":"${secrets.token}\\n","refresh_token":"${secrets.refreshToken}"`)
  ],
  "a token server elsewhere": [asks(bearer(`${evil}/token`), issued), issued],
  "a token server that redirects": [asks(bearer(), () => json({})), () => redirect(`${evil}/token`)],
  "a token server whose connection breaks": [
    asks(bearer(), issued),
    () => new Response(new ReadableStream({ start: (c) => c.error(new Error("reset")) }))
  ],
  "a registry that redirects to storage": [asks(bearer(), () => redirect(`${cdn}/blob`)), issued],
  "a registry that redirects to a stranger who asks": [asks(bearer(), () => redirect(`${evil}/blob`)), issued]
}

const world = (registryDoes: (seen: Seen) => Response, tokenServerDoes: (seen: Seen) => Response) =>
  internet({
    [registry]: registryDoes,
    "https://auth.example.com": tokenServerDoes,
    [cdn]: () => new Response("blob"),
    [evil]: () => unauthorized(bearer(`${evil}/token`))
  })

/** Spans with their attributes and events, as they end. */
const recording = (seen: Array<string>) => {
  const tracer = Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      const attributes = new Map<string, unknown>()
      return {
        _tag: "Span",
        name,
        spanId: "s",
        traceId: "t",
        sampled: true,
        parent,
        context,
        links,
        kind,
        attributes,
        status: { _tag: "Started", startTime },
        attribute: (key, value) => void attributes.set(key, value),
        event: (name, _, attributes) => void seen.push(inspect([name, attributes])),
        addLinks: () => undefined,
        end: (_, exit) =>
          void seen.push(inspect([name, [...attributes], Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "ok"]))
      }
    },
    context: (f) => f()
  })
  return tracer
}

describe.each(Object.entries(worlds))("%s", (_, [registryDoes, tokenServerDoes]) => {
  it.effect.each(Object.keys(holders) as ReadonlyArray<keyof typeof holders>)("with %s", (holder) =>
    Effect.gen(function* () {
      const shown: Array<string> = []
      const show = (value: unknown) => {
        shown.push(inspect(value, { depth: 8 }), String(value), JSON.stringify(value) ?? "")
      }
      const { client, log } = world(registryDoes, tokenServerDoes)
      const credentials = Credentials.layer({ "registry.example.com": holders[holder] })
      const services = Layer.mergeAll(
        Layer.succeed(HttpClient.HttpClient, client),
        TokenCache.layerMemory,
        Layer.orDie(credentials)
      )
      const logger = Logger.make(({ cause, message }) => show([message, Cause.pretty(cause)]))
      yield* Effect.gen(function* () {
        show(yield* Credentials.Credentials)
        const service = yield* RegistryClient.make({ url: registry, retry: { attempts: 0 } })
        const repository = yield* parseRepositoryName("a")
        const operations: ReadonlyArray<Effect.Effect<void, unknown>> = [
          service.ping,
          Stream.runDrain(service.tags(repository)),
          Effect.asVoid(service.getManifest(repository, yield* parseTag("v1"))),
          Stream.runDrain(service.getBlob(repository, Digest.fromBytes(new Uint8Array()))),
          service.deleteManifest(repository, Digest.fromBytes(new Uint8Array()))
        ]
        for (const operation of operations) {
          const exit = yield* Effect.exit(
            operation.pipe(Effect.tapErrorCause((cause) => Effect.logError("failed", cause)))
          )
          show(exit)
          if (Exit.isFailure(exit)) {
            show(Cause.pretty(exit.cause))
            for (const failure of Cause.failures(exit.cause)) show(failure)
          }
          yield* TestClock.adjust("40 seconds")
        }
        show(service)
        show(yield* TokenCache.TokenCache)
      }).pipe(
        Effect.provide(services),
        Effect.withTracer(recording(shown)),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(LogLevel.All)
      )

      expect(shown.length).toBeGreaterThan(30)
      const observed = shown.join("\n")
      for (const secret of everySecret) expect(observed).not.toContain(secret)
      // Nor on any wire but those to the registry and its own token server.
      const strangers = log.filter((line) => line.includes(cdn) || line.includes(evil))
      expect(strangers.filter((line) => !line.endsWith(" -"))).toEqual([])
    })
  )
})

it.effect("the platform's own errors, which hold the request with its headers, do not pass", () =>
  Effect.gen(function* () {
    let calls = 0
    const client = HttpClient.make((request) =>
      calls++ === 0
        ? Effect.map(world(() => unauthorized("Basic"), issued).client.execute(request), (response) => response)
        : Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause: new Error("reset") }))
    )
    const error = yield* Effect.flatMap(
      RegistryClient.make({ url: registry, retry: { attempts: 0 } }),
      ({ ping }) => ping
    ).pipe(
      Effect.provide([
        Layer.succeed(HttpClient.HttpClient, client),
        TokenCache.layerMemory,
        Layer.orDie(Credentials.layer({ "registry.example.com": holders.Basic }))
      ]),
      Effect.flip
    )
    expect(error._tag).toBe("TransportFailure")
    for (const secret of everySecret)
      expect(inspect(error, { depth: 12 }) + JSON.stringify(error)).not.toContain(secret)
  })
)
