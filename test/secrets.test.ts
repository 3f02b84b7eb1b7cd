/**
 * Nothing observable shows a secret (T13): errors, causes, logs, spans, metrics, and inspections of
 * all of them in every form.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../src/auth/Credentials.js"
import * as TokenCache from "../src/auth/TokenCache.js"
import * as BlobSource from "../src/BlobSource.js"
import * as RegistryClient from "../src/client/RegistryClient.js"
import * as NodeHttp from "../src/node/NodeHttp.js"
import { Registry } from "../src/Registry.js"
import * as Digest from "../src/spec/Digest.js"
import * as Reference from "../src/spec/Reference.js"
import { json, unauthorized } from "./support/fake/Handler.js"
import { internet } from "./support/fake/Internet.js"
import { utf8 } from "./support/fixtures.js"
import { forms, watched } from "./support/watched.js"

const secret = {
  password: "pa55word-of-alice",
  identityToken: "identity-t0ken",
  registryToken: "registry-t0ken",
  token: "bearer-t0ken",
  refreshToken: "refresh-t0ken",
  state: "state-of-the-upl0ad",
  signature: "signature-of-the-st0rage",
  page: "cursor-of-the-p4ge",
  header: "api-key-in-a-he4der"
}

const values = [
  ...Object.values(secret),
  // As they go over the wire.
  Buffer.from(`alice:${secret.password}`).toString("base64")
]

const basic = Credentials.layerBasic({
  host: "registry.test",
  username: "alice",
  password: Redacted.make(secret.password)
})
const identity = Credentials.layer({
  "registry.test": Credentials.identityToken(Redacted.make(secret.identityToken))
})
const registryToken = (token: string) =>
  Credentials.layer({ "registry.test": Credentials.registryToken(Redacted.make(token)) })

const repository = Reference.parseRepositoryName("owner/name")
const content = utf8("content")
const digest = Digest.fromBytes(content)

type Answer = Parameters<typeof internet>[0][string]
type Run = (
  registry: Registry.Service,
  repository: Reference.RepositoryName
) => Effect.Effect<unknown, unknown>

interface Flow {
  readonly credentials?: Layer.Layer<Credentials.Credentials, unknown>
  readonly options?: Partial<RegistryClient.EndpointOptions>
  readonly registry: Answer
  readonly others?: Readonly<Record<string, Answer>>
  readonly run: Run
  /** The tag of the error that comes out, if one does. */
  readonly fails?: string
  /** Which secrets went over the wire, so that they could have been seen. */
  readonly used: ReadonlyArray<keyof typeof secret>
}

const pull: Run = (registry, repository) => Stream.runDrain(registry.getBlob(repository, digest))
const push: Run = (registry, repository) =>
  registry.putBlob(
    repository,
    BlobSource.make(() => Stream.make(content))
  )
const list: Run = (registry, repository) => Stream.runDrain(registry.tags(repository))
const ping: Run = (registry) => registry.ping

/** Answers `answer` to whom has a token, and asks for one else. */
const withToken =
  (answer: Answer): Answer =>
  (seen) =>
    seen.authorization === undefined
      ? unauthorized('Bearer realm="https://auth.registry.test/token",service="registry.test"')
      : answer(seen)

const tokenServer = {
  "https://auth.registry.test": () =>
    json({ token: secret.token, refresh_token: secret.refreshToken })
}

const status = (status: number) => () => new Response('{"errors":[{"code":"UNKNOWN"}]}', { status })

const signed = `https://storage.test/b?X-Amz-Signature=${secret.signature}`
const redirect = (location: string) => () =>
  new Response(null, { status: 307, headers: { location } })

/** Opens sessions whose location holds their state, and answers `answer` there. */
const uploads =
  (answer: Answer, origin = ""): Answer =>
  (seen) =>
    seen.method === "POST"
      ? new Response(null, {
          status: 202,
          headers: { location: `${origin}/v2/owner/name/blobs/uploads/1?_state=${secret.state}` }
        })
      : seen.method === "HEAD"
        ? new Response(null, { status: 404 })
        : answer(seen)

const flows: Readonly<Record<string, Flow>> = {
  "a password that is refused": {
    credentials: basic,
    registry: () => unauthorized("Basic"),
    run: ping,
    fails: "Unauthorized",
    used: ["password"]
  },
  "a password, and then a registry that fails": {
    credentials: basic,
    registry: ({ authorization }) =>
      authorization === undefined ? unauthorized("Basic") : status(500)(),
    run: pull,
    fails: "RegistryFailure",
    used: ["password"]
  },
  "a token, and content that is not what was asked for": {
    credentials: basic,
    registry: withToken(() => new Response("something else")),
    others: tokenServer,
    run: pull,
    fails: "DigestMismatch",
    used: ["password", "token"]
  },
  "a token that is refused": {
    credentials: basic,
    registry: () => unauthorized('Bearer realm="https://auth.registry.test/token"'),
    others: tokenServer,
    run: pull,
    fails: "Unauthorized",
    used: ["password", "token"]
  },
  "a token server that refuses": {
    credentials: basic,
    registry: withToken(status(200)),
    others: { "https://auth.registry.test": status(401) },
    run: pull,
    fails: "Unauthorized",
    used: ["password"]
  },
  "a token server that fails": {
    credentials: identity,
    registry: withToken(status(200)),
    others: { "https://auth.registry.test": status(503) },
    run: pull,
    fails: "RegistryFailure",
    used: ["identityToken"]
  },
  "a token server without an answer": {
    credentials: identity,
    registry: withToken(status(200)),
    others: { "https://auth.registry.test": () => Effect.die(new Error("reset")) },
    run: pull,
    used: ["identityToken"]
  },
  "a token server whose token no header can carry": {
    credentials: basic,
    registry: withToken(status(200)),
    others: { "https://auth.registry.test": () => json({ token: `${secret.token}\n` }) },
    run: pull,
    fails: "Unauthorized",
    used: ["password"]
  },
  "an identity token": {
    credentials: identity,
    registry: withToken(status(404)),
    others: tokenServer,
    run: pull,
    fails: "BlobUnknown",
    used: ["identityToken", "token"]
  },
  "a registry token that is refused": {
    credentials: registryToken(secret.registryToken),
    registry: () => unauthorized('Bearer realm="https://auth.registry.test/token"'),
    run: pull,
    fails: "Unauthorized",
    used: ["registryToken"]
  },
  "a registry token that no header can carry": {
    credentials: registryToken(`${secret.registryToken}\n`),
    registry: () => unauthorized('Bearer realm="https://auth.registry.test/token"'),
    run: pull,
    fails: "CredentialsFailure",
    used: []
  },
  "an upload that fails": {
    registry: uploads(status(500)),
    run: push,
    fails: "RegistryFailure",
    used: ["state"]
  },
  "an upload that the registry forgets": {
    registry: uploads(status(404)),
    run: (registry, repository) =>
      Effect.scoped(
        Effect.flatMap(registry.startUpload(repository), (session) => session.write(content))
      ),
    fails: "UploadUnknown",
    used: ["state"]
  },
  "an upload to a foreign host": {
    registry: uploads(status(500), "https://elsewhere.test"),
    run: push,
    fails: "UntrustedLocation",
    used: []
  },
  "an upload, interrupted": {
    registry: uploads(() => Effect.never),
    run: (registry, repository) => Effect.timeout(push(registry, repository), "1 second"),
    fails: "TimeoutException",
    used: ["state"]
  },
  "a redirect to a storage that fails": {
    credentials: basic,
    registry: withToken(redirect(signed)),
    others: { ...tokenServer, "https://storage.test": status(403) },
    run: pull,
    fails: "RegistryFailure",
    used: ["token", "signature"]
  },
  "a redirect to a storage without an answer": {
    registry: redirect(signed),
    others: { "https://storage.test": () => Effect.never },
    run: pull,
    fails: "TransportFailure",
    used: ["signature"]
  },
  "a redirect to a storage with other content": {
    registry: redirect(signed),
    others: { "https://storage.test": () => new Response("something else") },
    run: pull,
    fails: "DigestMismatch",
    used: ["signature"]
  },
  "a redirect in a circle": {
    registry: redirect(`/again?X-Amz-Signature=${secret.signature}`),
    run: pull,
    fails: "LimitExceeded",
    used: ["signature"]
  },
  "a redirect that must not be followed": {
    registry: redirect(signed.replace("https:", "http:")),
    run: pull,
    fails: "UntrustedLocation",
    used: []
  },
  "a redirect with a password in it": {
    registry: redirect(`https://alice:${secret.password}@storage.test/b`),
    run: pull,
    fails: "UntrustedLocation",
    used: []
  },
  "headers of the application's own": {
    options: { headers: { "x-api-key": secret.header, "x-tenant": secret.header } },
    registry: status(500),
    run: pull,
    fails: "RegistryFailure",
    used: ["header"]
  },
  "redacted headers under any name, which a careless registry repeats": {
    options: {
      headers: {
        "accept-language": Redacted.make(secret.header),
        "x-api-key": Redacted.make(secret.header),
        "x-tenant": "blue"
      }
    },
    registry: ({ headers }) =>
      json({ errors: [{ code: "UNKNOWN", message: `no ${headers["accept-language"]}` }] }, 500),
    run: pull,
    fails: "RegistryFailure",
    used: ["header"]
  },
  "a trace that is propagated, and a warning": {
    credentials: basic,
    options: { tracePropagation: true },
    registry: withToken(
      () =>
        new Response("something else", { headers: { warning: '299 - "this repository moves"' } })
    ),
    others: tokenServer,
    run: pull,
    fails: "DigestMismatch",
    used: ["password", "token"]
  },
  "a next page that fails": {
    registry: ({ url }) =>
      url.searchParams.has("cursor")
        ? status(500)()
        : new Response('{"tags":["v1"]}', {
            headers: { link: `</v2/owner/name/tags/list?cursor=${secret.page}>; rel="next"` }
          }),
    run: list,
    fails: "RegistryFailure",
    used: ["page"]
  },
  "a next page elsewhere": {
    registry: () =>
      new Response('{"tags":["v1"]}', {
        headers: { link: `<https://elsewhere.test/v2/tags?cursor=${secret.page}>; rel="next"` }
      }),
    run: list,
    fails: "UntrustedLocation",
    used: []
  }
}

/** Lets bodies be read, and timers run, for which Node takes turns of its loop. */
const turns = Effect.repeatN(
  Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 0))),
  10
)

/** Runs a program to its end: the clock goes on, a second at a time, only while it waits. */
const ended = <A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    yield* turns
    while (Option.isNone(yield* Fiber.poll(fiber))) {
      yield* TestClock.adjust("1 second")
      yield* turns
    }
    return yield* Fiber.join(fiber)
  })

describe("no secret is observable (T13)", () => {
  for (const [name, flow] of Object.entries(flows)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { client, seen } = internet({
          "https://registry.test": flow.registry,
          ...flow.others
        })
        const layer = RegistryClient.layer({
          url: "https://registry.test",
          timeouts: { response: "5 seconds" },
          retry: { attempts: 1 },
          ...flow.options
        }).pipe(
          Layer.provideMerge(
            Layer.mergeAll(
              TokenCache.layerMemory,
              Layer.orDie(flow.credentials ?? Credentials.layerAnonymous),
              Layer.succeed(HttpClient.HttpClient, client)
            )
          )
        )
        const program = Effect.gen(function* () {
          const registry = yield* Registry
          const result = yield* Effect.exit(flow.run(registry, yield* repository))
          return {
            result,
            services: [registry, yield* Credentials.Credentials, yield* TokenCache.TokenCache]
          }
        })
        const fiber = yield* Effect.fork(watched(Effect.provide(program, layer)))
        const { exit, text } = yield* ended(fiber)
        const result = Exit.flatten(Exit.map(exit, ({ result }) => result))

        for (const value of values) expect(text).not.toContain(value)
        // It did what it is for.
        if (flow.fails !== undefined) expect(tagOf(result)).toBe(flow.fails)
        expect(text).toContain("https://registry.test/v2/")
        const wire = seen
          .map(({ authorization, body, headers, url }) =>
            [url, ...Object.values(headers), decoded(authorization), body].join(" ")
          )
          .join("\n")
        for (const used of flow.used) expect(wire).toContain(secret[used])
      })
    )
  }

  it.live("what undici says of connections that are refused or cut", () =>
    Effect.gen(function* () {
      const server = createServer((request, response) => {
        if (request.url?.startsWith("/b") === true) {
          response.writeHead(200, { "content-length": 7 }).write("con")
          setTimeout(() => request.socket.destroy(), 20)
        } else if (request.headers.authorization === undefined)
          response.writeHead(401, { "www-authenticate": "Basic" }).end()
        else if (request.url?.includes("/manifests/") === true) request.socket.destroy()
        else response.writeHead(307, { location: `/b?X-Amz-Signature=${secret.signature}` }).end()
      })
      yield* Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      })
      const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
      const layer = RegistryClient.layer({ url: `http://${host}`, retry: { attempts: 0 } }).pipe(
        Layer.provide([
          TokenCache.layerMemory,
          Credentials.layerBasic({
            host,
            username: "alice",
            password: Redacted.make(secret.password)
          }),
          NodeHttp.layer()
        ])
      )
      const program = Effect.gen(function* () {
        const registry = yield* Registry
        const name = yield* repository
        const cut = yield* Effect.exit(pull(registry, name))
        const reset = yield* Effect.exit(registry.getManifest(name, digest))
        yield* Effect.async<void>((resume) => {
          server.closeAllConnections()
          server.close(() => resume(Effect.void))
        })
        const refused = yield* Effect.exit(pull(registry, name))
        return [cut, reset, refused].map((exit) =>
          Exit.isFailure(exit) ? Cause.squash(exit.cause) : exit
        )
      })
      const { exit, text } = yield* watched(Effect.provide(program, layer))
      for (const value of values) expect(text).not.toContain(value)
      expect(Exit.isSuccess(exit) ? exit.value : exit).toMatchObject([
        { _tag: "TransportFailure", reason: "Reset" },
        { _tag: "TransportFailure", reason: "Reset" },
        { _tag: "TransportFailure", reason: "Connect" }
      ])
    })
  )

  it("the search finds what it looks for, however deep", () => {
    const hidden = (value: unknown) => forms(value).some((form) => form.includes(secret.password))
    expect(hidden(new Error("x", { cause: { deep: [{ er: secret.password }] } }))).toBe(true)
    expect(
      hidden(Exit.fail({ request: { headers: new Map([["authorization", secret.password]]) } }))
    ).toBe(true)
    expect(
      hidden(Object.defineProperty({}, "hidden", { value: secret.password, enumerable: false }))
    ).toBe(true)
    expect(hidden(Redacted.make(secret.password))).toBe(false)
  })
})

const tagOf = (exit: Exit.Exit<unknown, unknown>): unknown => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return typeof error === "object" && error !== null && "_tag" in error ? error._tag : error
}

const decoded = (authorization: string | undefined): string =>
  Buffer.from(authorization?.replace(/^basic /i, "") ?? "", "base64").toString()
