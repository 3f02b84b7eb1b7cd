/**
 * What people are told when they are refused: whose credential it was and where it was found, or
 * where none was, for which scopes and which request. Each refusal happens on sockets, with files
 * and helpers of a machine; what differs from run to run has a name in its place.
 */
import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as ContainersAuth from "../../src/auth/ContainersAuth.js"
import * as CredentialHelper from "../../src/auth/CredentialHelper.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as DockerConfig from "../../src/auth/DockerConfig.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import type { Registry } from "../../src/Registry.js"
import type { Denied, Unauthorized } from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import { parseRepositoryName, parseTag } from "../../src/spec/Reference.js"
import * as Client from "../support/fake/Client.js"
import type { Seen } from "../support/fake/Handler.js"
import { machine } from "./machine.js"
import { alice } from "./parties.js"
import { type Reply, unauthorized, world } from "./wire.js"

const a = Effect.runSync(parseRepositoryName("a"))
const v1 = Effect.runSync(parseTag("v1"))
const digest = Digest.fromBytes(new TextEncoder().encode("x"))
const password = "hunter2"
const login = { auth: Buffer.from(`alice:${password}`).toString("base64") }

const operations: Readonly<
  Record<
    "pull" | "delete" | "ping",
    (registry: Registry.Service) => Effect.Effect<unknown, { readonly message: string }>
  >
> = {
  pull: (registry: Registry.Service) => registry.getManifest(a, v1),
  delete: (registry: Registry.Service) => registry.deleteBlob(a, digest),
  ping: (registry: Registry.Service) => registry.ping
}

/** What a machine has for the registry at `host`, and where its clients look. */
interface Sources {
  readonly file?: (host: string) => unknown
  readonly podman?: (host: string) => unknown
  readonly environment?: (host: string) => unknown
  readonly helper?: string
  readonly layer?: (
    host: string
  ) => Layer.Layer<Credentials.Credentials, unknown, DockerConfig.Services>
}

/** A layer of the files and the environment, as `NodeCredentials.layer` is one. */
const standard = () =>
  Credentials.layerChain(
    DockerConfig.layerEnvironment,
    DockerConfig.layer(),
    ContainersAuth.layer({ uid: 1000 })
  )

/** The error of an operation, and its message. */
const told = (
  registry: (seen: Seen, realm: string) => Reply,
  tokens: (seen: Seen) => Reply,
  operation: keyof typeof operations,
  sources: Sources,
  options: Client.Options = {}
) =>
  Effect.gen(function* () {
    const there = yield* world({ registry, tokens })
    const host = new URL(there.registry).host
    const { environment, helper, home, provide, write } = yield* machine
    if (sources.file !== undefined) yield* write(".docker/config.json", sources.file(host))
    if (sources.podman !== undefined)
      yield* write(".config/containers/auth.json", sources.podman(host))
    if (sources.environment !== undefined)
      environment.set("DOCKER_AUTH_CONFIG", JSON.stringify(sources.environment(host)))
    if (sources.helper !== undefined) yield* helper("desk", sources.helper)
    const error = yield* Effect.gen(function* () {
      const credentials = yield* Credentials.Credentials
      const client = yield* Client.clientOf(
        there.registry,
        {
          retry: { attempts: 0 },
          trust: { allowTokens: [new URL(there.realm).host] },
          ...options
        },
        { credentials: Layer.succeed(Credentials.Credentials, credentials) }
      )
      // The first is the one that asks the registry what it wants.
      yield* Effect.ignore(operations[operation](client))
      return yield* Effect.flip(operations[operation](client))
    }).pipe(provide(Layer.orDie((sources.layer ?? standard)(host))))
    expect(`${inspect(error)}${JSON.stringify(error)}`).not.toContain(password)
    const message = [
      [host, "REGISTRY"],
      [new URL(there.realm).host, "TOKENS"],
      [home, "~"]
    ].reduce((text, [value = "", name = ""]) => text.replaceAll(value, name), error.message)
    return { error: error as Denied | Unauthorized, message }
  })

const basic = (): Reply => unauthorized('Basic realm="r"')
const bearer = (_: Seen, realm: string): Reply =>
  unauthorized(`Bearer realm="${realm}",service="s"`)
const denied: Reply = [403, { errors: [{ code: "DENIED", message: "not for you" }] }]
const deniedAfter =
  (challenge: (seen: Seen, realm: string) => Reply) =>
  (seen: Seen, realm: string): Reply =>
    seen.authorization === undefined ? challenge(seen, realm) : denied
const anyToken = (): Reply => [200, { token: "t" }]
const noToken = (): Reply => [401, { details: "incorrect username or password" }]
const printing = (username: string, secret = password) =>
  `echo '{"Username":"${username}","Secret":"${secret}"}'`

const inFile = (host: string) => ({ auths: { [host]: login } })
const tokenUrl =
  "GET http://TOKENS/token?service=s&client_id=REDACTED&account=REDACTED" +
  "&scope=repository%3Aa%3Apull answered 401"
const anonymousTokenUrl = tokenUrl.replace("&account=REDACTED", "")
const everywhere =
  "DOCKER_AUTH_CONFIG (not set), ~/.docker/config.json, ~/.dockercfg, " +
  "/run/containers/1000/auth.json, ~/.config/containers/auth.json"
const get = "GET http://REGISTRY/v2/a/manifests/v1"

describe("who is refused for good is told", () => {
  it.scopedLive.each([
    [
      "the file of a password",
      deniedAfter(basic),
      "delete",
      { file: inFile },
      'The registry refuses repository:a:delete,pull with the password of "alice" ' +
        "from ~/.docker/config.json: log in, as somebody who may do this: " +
        `the server says DENIED "not for you" (DELETE http://REGISTRY/v2/a/blobs/${digest} answered 403)`
    ],
    [
      "podman's file of a repository",
      deniedAfter(bearer),
      "pull",
      { podman: (host: string) => ({ auths: { [`${host}/a`]: login } }) },
      'The registry refuses repository:a:pull with the password of "alice" ' +
        "from ~/.config/containers/auth.json: log in, as somebody who may do this: " +
        `the server says DENIED "not for you" (${get} answered 403)`
    ],
    [
      "the helper, and the file that names it",
      deniedAfter(bearer),
      "pull",
      { file: () => ({ credsStore: "desk" }), helper: printing("bob") },
      'The registry refuses repository:a:pull with the password of "bob" ' +
        "from docker-credential-desk (named in ~/.docker/config.json): " +
        "log in, as somebody who may do this: " +
        `the server says DENIED "not for you" (${get} answered 403)`
    ],
    [
      "the layer",
      deniedAfter(basic),
      "pull",
      { layer: (host: string) => Credentials.layer({ [host]: alice }) },
      'The registry refuses repository:a:pull with the password of "alice" ' +
        "from the Credentials layer: log in, as somebody who may do this: " +
        `the server says DENIED "not for you" (${get} answered 403)`
    ],
    [
      "where no login was found",
      deniedAfter(bearer),
      "pull",
      {},
      `The registry refuses repository:a:pull without a login, and none was found in ${everywhere}: ` +
        "log in, or supply a Credentials layer: " +
        `the server says DENIED "not for you" (${get} answered 403)`
    ],
    [
      "that no login was asked for",
      () => denied,
      "pull",
      { file: inFile },
      "The registry refuses repository:a:pull without a login, and did not ask for one: " +
        `the server says DENIED "not for you" (${get} answered 403)`
    ]
  ] as const)("%s", ([, registry, operation, sources, expected]) =>
    Effect.gen(function* () {
      const { error, message } = yield* told(registry, anyToken, operation, sources)
      expect(error._tag).toBe("Denied")
      expect(message).toBe(expected)
    })
  )
})

describe("whose login is not accepted is told", () => {
  it.scopedLive.each([
    [
      "the file of a password",
      basic,
      anyToken,
      { file: inFile },
      'http://REGISTRY does not accept the password of "alice" from ~/.docker/config.json: ' +
        `log in again: the server says UNAUTHORIZED (${get} answered 401)`
    ],
    [
      "the environment variable",
      bearer,
      noToken,
      { environment: inFile },
      `The token server of http://REGISTRY gave no token for ${get}, ` +
        'which needs repository:a:pull, with the password of "alice" ' +
        "from the environment variable DOCKER_AUTH_CONFIG: " +
        "log in, or check the user name and password: " +
        `the server says "incorrect username or password" (${tokenUrl})`
    ],
    [
      "the file of a token that the registry issued",
      bearer,
      anyToken,
      { file: (host: string) => ({ auths: { [host]: { registrytoken: password } } }) },
      "http://REGISTRY does not accept the registry token from ~/.docker/config.json: " +
        `it may have expired: the server says UNAUTHORIZED (${get} answered 401)`
    ],
    [
      "what the registry asks for, and what there is",
      basic,
      anyToken,
      { file: (host: string) => ({ auths: { [host]: { identitytoken: password } } }) },
      "http://REGISTRY asks for credentials of another kind than the identity token " +
        `from ~/.docker/config.json: log in again: the server says UNAUTHORIZED (${get} answered 401)`
    ],
    [
      "the helper whose login the refused token is for",
      bearer,
      anyToken,
      { helper: printing("bob"), layer: () => CredentialHelper.layer("desk") },
      "http://REGISTRY refuses repository:a:pull to a token that was issued for " +
        'the password of "bob" from docker-credential-desk: log in, as somebody who may do this: ' +
        `the server says UNAUTHORIZED (${get} answered 401)`
    ],
    [
      "where no password was found",
      basic,
      anyToken,
      { file: () => ({ credsStore: "desk" }), helper: printing("", "") },
      `http://REGISTRY asks for credentials, and none were found in ${everywhere.replace(
        "~/.dockercfg",
        "~/.dockercfg, docker-credential-desk"
      )}: log in, or supply a Credentials layer: ` +
        `the server says UNAUTHORIZED (${get} answered 401)`
    ],
    [
      "that the refused token is nobody's",
      bearer,
      anyToken,
      { layer: () => Credentials.layerAnonymous },
      "http://REGISTRY refuses repository:a:pull to a token that was issued without a login, " +
        "and none was found in Credentials.layerAnonymous: " +
        "log in, or supply a Credentials layer: " +
        `the server says UNAUTHORIZED (${get} answered 401)`
    ],
    [
      "where no login was found for the token server",
      bearer,
      noToken,
      {},
      `The token server of http://REGISTRY gave no token for ${get}, ` +
        `which needs repository:a:pull, without a login, and none was found in ${everywhere}: ` +
        "log in, or supply a Credentials layer: " +
        `the server says "incorrect username or password" (${anonymousTokenUrl})`
    ]
  ] as const)("%s", ([, registry, tokens, sources, expected]) =>
    Effect.gen(function* () {
      const { error, message } = yield* told(registry, tokens, "pull", sources)
      expect(error._tag).toBe("Unauthorized")
      expect(message).toBe(expected)
    })
  )

  it.scopedLive("a login that pulls do without, since it was refused", () =>
    Effect.gen(function* () {
      const { message } = yield* told(
        bearer,
        noToken,
        "pull",
        { file: inFile },
        {
          anonymousPulls: true
        }
      ).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))
      expect(message).toContain(
        "without a login, and none was found in ~/.docker/config.json that was not refused before: "
      )
    })
  )

  it.scopedLive("the login that was to be verified", () =>
    Effect.gen(function* () {
      const there = yield* world({ registry: basic, tokens: noToken })
      const host = new URL(there.registry).host
      const error = yield* Effect.flip(
        Effect.provide(RegistryClient.verify(host, alice), NodeHttp.layer())
      )
      expect(error.message).toBe(
        `http://${host} does not accept the password of "alice": log in again: ` +
          `the server says UNAUTHORIZED (GET http://${host}/v2/ answered 401)`
      )
    })
  )
})

it.scopedLive("a source of an application's own is told by its name, made fit for a message", () =>
  Effect.gen(function* () {
    const get = (source: string | undefined, login: Credentials.Credential) => () =>
      Layer.succeed(Credentials.Credentials, {
        get: () => Effect.succeed({ ...login, source })
      })
    const mallory = Credentials.basic(`m\n\u202e${"x".repeat(500)}`, Redacted.make(password))
    const named = yield* told(basic, anyToken, "ping", { layer: get("the\nvault", mallory) })
    expect(named.error.credential).toEqual({
      kind: "Basic",
      username: `m ${"x".repeat(125)}`,
      source: "the vault"
    })
    const unnamed = yield* told(basic, anyToken, "ping", {
      layer: get(undefined, Credentials.anonymous)
    })
    expect(unnamed.message).toContain("none were found in the Credentials service: log in")
  })
)
