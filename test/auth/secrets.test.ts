/**
 * Every secret of a world of registries and token servers, used in every way, and everything that
 * anyone can observe meanwhile: errors, logs, spans, inspections, JSON, what strangers receive.
 * None of the secrets is found there (T13).
 */
import { inspect } from "node:util"
import { SystemError } from "@effect/platform/Error"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as ContainersAuth from "../../src/auth/ContainersAuth.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as DockerConfig from "../../src/auth/DockerConfig.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import { parseRepositoryName, parseTag } from "../../src/spec/Reference.js"
import { json, type Seen, unauthorized } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { watched } from "../support/watched.js"
import { machine } from "./machine.js"
import { attacker as evil, realm, registry } from "./parties.js"

const secrets = {
  password: "correct-horse-battery",
  identityToken: "identity-0123456789",
  registryToken: "registry-0123456789",
  token: "bearer-0123456789",
  refreshToken: "refresh-0123456789"
}
const basic = Buffer.from(`alice:${secrets.password}`).toString("base64")
const everySecret = [...Object.values(secrets), basic]

const cdn = "https://cdn.example.net"

const holders = {
  Anonymous: Credentials.anonymous,
  Basic: Credentials.basic("alice", Redacted.make(secrets.password)),
  IdentityToken: Credentials.identityToken(Redacted.make(secrets.identityToken)),
  RegistryToken: Credentials.registryToken(Redacted.make(secrets.registryToken))
}

const redirect = (location: string) => new Response(null, { status: 307, headers: { location } })

/** Repeats all that it was sent, as careless servers do. */
const echo = ({ authorization, body, url }: Seen, status: number) =>
  json(
    {
      errors: [
        { code: "DENIED", message: `${authorization} ${body} ${url}`, detail: authorization }
      ]
    },
    status
  )

const issued = () =>
  json({
    token: secrets.token,
    refresh_token: secrets.refreshToken,
    expires_in: 60,
    issued_at: "1970-01-01T00:00:00Z"
  })

const bearer = (at = realm) => `Bearer realm="${at}",service="s"`
const asks = (challenge: string, otherwise: (seen: Seen) => Response) => (seen: Seen) =>
  seen.authorization === undefined ? unauthorized(challenge) : otherwise(seen)

/** What the registry does, what the token server does. */
const worlds: Readonly<
  Record<string, readonly [(seen: Seen) => Response, (seen: Seen) => Response]>
> = {
  "all is well": [asks(bearer(), () => json({ name: "a", tags: ["v1"] })), issued],
  "a password for the registry": [asks("Basic", () => json({ name: "a", tags: [] })), issued],
  "a refused password": [() => unauthorized("Basic"), issued],
  "a refused token": [() => unauthorized(bearer()), issued],
  "an expired ECR password": [
    asks("Basic", () =>
      json({ errors: [{ code: "DENIED", message: "Your Authorization Token is invalid." }] }, 403)
    ),
    issued
  ],
  "a registry that repeats the request": [asks(bearer(), (seen) => echo(seen, 403)), issued],
  "a registry that repeats the request when it fails": [
    asks(bearer(), (seen) => echo(seen, 500)),
    issued
  ],
  "a registry that repeats the request when it has nothing": [
    asks("Basic", (seen) => echo(seen, 404)),
    issued
  ],
  "a registry that repeats the request in plain text": [
    asks("Basic", ({ authorization }) => new Response(authorization, { status: 418 })),
    issued
  ],
  "a registry that repeats the request and asks again": [
    asks("Basic", (seen) => echo(seen, 401)),
    issued
  ],
  "a registry that repeats the request in a warning": [
    asks(
      bearer(),
      ({ authorization }) =>
        new Response('{"tags":[]}', { headers: { warning: `299 - "you sent ${authorization}"` } })
    ),
    issued
  ],
  "a registry that repeats the request in its challenge": [
    ({ authorization = "nothing" }) =>
      unauthorized(
        `${bearer()},error="${authorization}", Basic realm="${encodeURIComponent(authorization)}"`
      ),
    issued
  ],
  "a token server that refuses": [asks(bearer(), issued), () => json({}, 401)],
  "a token server that repeats the request": [asks(bearer(), issued), (seen) => echo(seen, 401)],
  "a token server in trouble that repeats the request": [
    asks(bearer(), issued),
    (seen) => echo(seen, 503)
  ],
  "a token server with a broken answer": [
    asks(bearer(), issued),
    () => new Response(`{"token":"${secrets.token}\\n","refresh_token":"${secrets.refreshToken}"`)
  ],
  "a token server elsewhere": [asks(bearer(`${evil}/token`), issued), issued],
  "a token server that redirects": [
    asks(bearer(), () => json({})),
    () => redirect(`${evil}/token`)
  ],
  "a token server whose connection breaks": [
    asks(bearer(), issued),
    () => new Response(new ReadableStream({ start: (c) => c.error(new Error("reset")) }))
  ],
  "a registry that redirects to storage": [asks(bearer(), () => redirect(`${cdn}/blob`)), issued],
  "a registry that redirects to a stranger who asks": [
    asks(bearer(), () => redirect(`${evil}/blob`)),
    issued
  ]
}

const world = (registryDoes: (seen: Seen) => Response, tokenServerDoes: (seen: Seen) => Response) =>
  internet({
    [registry]: registryDoes,
    "https://auth.example.com": tokenServerDoes,
    [cdn]: () => new Response("blob"),
    [evil]: () => unauthorized(bearer(`${evil}/token`))
  })

/** Shows that none of the secrets can be found in anything that a program lets be seen. */
const seeksSecrets = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.map(watched(program), ({ exit, text }) => {
    for (const secret of everySecret) expect(text).not.toContain(secret)
    return exit
  })

/** Runs operations of every kind, one after the other, and yields how each ended. */
const everything = (service: Registry.Service) =>
  Effect.gen(function* () {
    const repository = yield* parseRepositoryName("a")
    const operations: ReadonlyArray<Effect.Effect<void, unknown>> = [
      service.ping,
      Stream.runDrain(service.tags(repository)),
      Effect.asVoid(service.getManifest(repository, yield* parseTag("v1"))),
      Stream.runDrain(service.getBlob(repository, Digest.fromBytes(new Uint8Array()))),
      service.deleteManifest(repository, Digest.fromBytes(new Uint8Array()))
    ]
    return yield* Effect.forEach(operations, (operation) =>
      Effect.exit(operation.pipe(Effect.tapErrorCause((cause) => Effect.logError("failed", cause))))
    )
  })

describe.each(Object.entries(worlds))("%s", (_, [registryDoes, tokenServerDoes]) => {
  it.effect.each(Object.keys(holders) as ReadonlyArray<keyof typeof holders>)("with %s", (holder) =>
    Effect.gen(function* () {
      const { client, log } = world(registryDoes, tokenServerDoes)
      const program = Effect.gen(function* () {
        const service = yield* RegistryClient.make({ url: registry, retry: { attempts: 0 } })
        const first = yield* everything(service)
        // The tokens have ended, and their refresh tokens are used.
        yield* TestClock.adjust("1 minutes")
        return [
          first,
          yield* everything(service),
          service,
          yield* Credentials.Credentials,
          yield* TokenCache.TokenCache
        ]
      }).pipe(
        Effect.provide([
          Layer.succeed(HttpClient.HttpClient, client),
          TokenCache.layerMemory,
          Layer.orDie(Credentials.layer({ "registry.example.com": holders[holder] }))
        ])
      )
      const exit = yield* seeksSecrets(program)
      expect(Exit.isSuccess(exit)).toBe(true)
      expect(log.length).toBeGreaterThan(9)
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
        ? Effect.map(
            world(() => unauthorized("Basic"), issued).client.execute(request),
            (response) => response
          )
        : Effect.fail(
            new HttpClientError.RequestError({
              request,
              reason: "Transport",
              cause: new Error("reset")
            })
          )
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

/**
 * What stands in files, variables and helpers of a machine, whole or broken, and the tag of how
 * operations end at a registry that takes nothing.
 */
interface Source {
  readonly files?: Readonly<Record<string, unknown>>
  readonly environment?: Readonly<Record<string, string>>
  readonly helper?: string
  readonly timeout?: Duration.DurationInput
  readonly ends: string
}

const config = ".docker/config.json"
const host = "registry.example.com"
const { password } = secrets
const helped = { files: { [config]: { credsStore: "test" } } }
const login = (auth: string) => ({ auths: { [host]: { auth } } })
const printed = `{"ServerURL":"x","Username":"alice","Secret":"${password}"}`

const sources: Readonly<Record<string, Source>> = {
  "a login with docker": { files: { [config]: login(basic) }, ends: "Unauthorized" },
  "a login with podman": {
    files: {
      ".config/containers/auth.json": {
        auths: { [`${host}/a`]: { auth: basic }, [host]: { auth: basic } }
      }
    },
    ends: "Unauthorized"
  },
  "a login in the environment": {
    environment: { DOCKER_AUTH_CONFIG: JSON.stringify(login(basic)) },
    ends: "Unauthorized"
  },
  "a broken file": {
    files: { [config]: `{"auths":{"${host}":{"auth":"${basic}","password":"${password}"}` },
    ends: "CredentialsFailure"
  },
  "a broken variable": {
    environment: { DOCKER_AUTH_CONFIG: `${basic} ${password}` },
    ends: "CredentialsFailure"
  },
  "a file of another form": {
    files: { [config]: { auths: { [host]: { auth: { user: "alice", password } } } } },
    ends: "CredentialsFailure"
  },
  "a login that is no base64": {
    files: { [config]: login(`alice:${password}`) },
    ends: "CredentialsFailure"
  },
  "a login without a user": {
    files: { [config]: login(Buffer.from(password).toString("base64")) },
    ends: "CredentialsFailure"
  },
  "a registry token with a line break": {
    files: { [config]: { auths: { [host]: { registrytoken: `${secrets.registryToken}\n` } } } },
    ends: "CredentialsFailure"
  },
  "a password in a named file that is no JSON": {
    files: { "mine.txt": password },
    environment: { REGISTRY_AUTH_FILE: "~/mine.txt" },
    ends: "CredentialsFailure"
  },
  "a helper that knows": { ...helped, helper: `echo '${printed}'`, ends: "Unauthorized" },
  "a helper that fails": {
    ...helped,
    helper: `echo '${printed}'; echo '${password}' >&2; exit 1`,
    ends: "CredentialsFailure"
  },
  "a helper that prints more": {
    ...helped,
    helper: `echo '${printed} ${password}'`,
    ends: "CredentialsFailure"
  },
  "a helper that prints something else": {
    ...helped,
    helper: `echo '{"Secret":"${password}"}'`,
    ends: "CredentialsFailure"
  },
  "a helper that does not stop": {
    ...helped,
    helper: `while :; do echo '${printed}'; done`,
    ends: "CredentialsFailure"
  },
  "a helper that hangs": {
    ...helped,
    helper: `echo '${printed}'; sleep 60`,
    timeout: "300 millis",
    ends: "CredentialsFailure"
  },
  "a helper whose name is a secret, by mistake": {
    files: { [config]: { credsStore: `alice:${password}`, ...login(basic) } },
    ends: "CredentialsFailure"
  }
}

describe("a source on the machine", () => {
  it.live.each(Object.entries(sources))(
    "%s",
    ([, { ends, environment = {}, files = {}, helper, timeout }]) =>
      Effect.gen(function* () {
        const on = yield* machine
        for (const [name, content] of Object.entries(files)) yield* on.write(name, content)
        for (const [name, value] of Object.entries(environment))
          on.environment.set(name, value.replace("~", on.home))
        if (helper !== undefined) yield* on.helper("test", helper)
        const { client, log } = internet({ [registry]: () => unauthorized("Basic") })
        const options = { helpers: { timeout } }
        const program = Effect.gen(function* () {
          const service = yield* RegistryClient.make({ url: registry, retry: { attempts: 0 } })
          const ended = yield* everything(service)
          return [ended, service, yield* Credentials.Credentials] as const
        }).pipe(
          Effect.provide([Layer.succeed(HttpClient.HttpClient, client), TokenCache.layerMemory]),
          on.provide(
            Credentials.layerChain(
              DockerConfig.layerEnvironment,
              DockerConfig.layer(options),
              ContainersAuth.layer(options)
            )
          )
        )
        const exit = yield* seeksSecrets(program)
        const tags = Exit.isSuccess(exit) ? exit.value[0].map(tagOf) : exit
        expect(tags).toEqual(Array.from({ length: 5 }, () => ends))
        // Those that end with the registry's refusal were used.
        expect(log.some((line) => line.endsWith(`Basic ${basic}`))).toBe(ends === "Unauthorized")
      }).pipe(Effect.scoped)
  )
})

const tagOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? Reflect.get(Object(Cause.squash(exit.cause)), "_tag") : "success"

it.effect("a folder of tokens is not spoken of but by its keys", () =>
  Effect.gen(function* () {
    const entries = new Map<string, string>()
    const failing = (run: () => void) =>
      Effect.zipRight(
        Effect.sync(run),
        Effect.fail(
          new SystemError({
            reason: "Unknown",
            module: "KeyValueStore",
            method: "set",
            description: [...entries.values()].join()
          })
        )
      )
    const store = KeyValueStore.makeStringOnly({
      get: (key) => Effect.sync(() => Option.fromNullable(entries.get(key))),
      set: (key, value) => failing(() => void entries.set(key, value)),
      remove: (key) => failing(() => void entries.delete(key)),
      clear: failing(() => entries.clear()),
      size: Effect.sync(() => entries.size)
    })
    const { client } = world(
      asks(bearer(), () => json({ tags: [] })),
      issued
    )
    const program = Effect.gen(function* () {
      const service = yield* RegistryClient.make({ url: registry, retry: { attempts: 0 } })
      const first = yield* everything(service)
      yield* TestClock.adjust("1 minutes")
      return [first, yield* everything(service), yield* TokenCache.TokenCache]
    }).pipe(
      Effect.provide([
        Layer.succeed(HttpClient.HttpClient, client),
        Layer.provide(
          TokenCache.layerKeyValueStore,
          Layer.succeed(KeyValueStore.KeyValueStore, store)
        ),
        Layer.orDie(Credentials.layer({ [host]: holders.Basic }))
      ])
    )
    yield* seeksSecrets(program)
    expect([...entries.values()].join()).toContain(secrets.token)
    expect([...entries.values()].join()).toContain(secrets.refreshToken)
    for (const secret of everySecret) expect([...entries.keys()].join()).not.toContain(secret)
  })
)
