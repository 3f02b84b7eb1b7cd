/**
 * A client and the origins around it, without sockets: what each origin answers is said by a test,
 * and all that is sent is recorded.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import { internet } from "../auth/origins.js"
import { utf8 } from "../support/fixtures.js"

export const registryUrl = "https://r.example"
export const cdn = "https://cdn.example"

export const repository: Reference.RepositoryName = Effect.runSync(
  Reference.parseRepositoryName("team/app")
)
export const tag: Reference.Tag = Effect.runSync(Reference.parseTag("v1"))

/**
 * A manifest of a type that is not looked into, as it may stand on the wire, and its digest by
 * `sha256sum`.
 */
export const m1 = '{"mediaType":"application/vnd.example.m1"}'
export const m1Type = "application/vnd.example.m1"
export const m1Digest: Digest.Digest = Digest.fromBytes(utf8(m1))

type Handlers = Parameters<typeof internet>[0]

/**
 * A client of `registryUrl` that knows a password for it, in a world of these origins. The first
 * request to it is already answered with Basic.
 */
export const world = (
  origins: Handlers,
  options: Partial<RegistryClient.EndpointOptions> = {}
): Effect.Effect<{
  readonly registry: Registry.Service
  readonly log: ReadonlyArray<string>
  readonly seen: ReturnType<typeof internet>["seen"]
}> =>
  Effect.gen(function* () {
    const { client, log, seen } = internet(origins)
    const registry = yield* clientOver(client, options)
    return { registry, log, seen }
  })

/** A client of `registryUrl` over an `HttpClient`. */
export const clientOver = (
  client: HttpClient.HttpClient,
  options: Partial<RegistryClient.EndpointOptions> = {}
): Effect.Effect<Registry.Service> =>
  Effect.gen(function* () {
    // Open for as long as the test: what layers hold is memory only.
    const services = yield* Layer.buildWithScope(
      Layer.merge(
        TokenCache.layerMemory,
        Credentials.layerBasic({
          host: "r.example",
          username: "alice",
          password: Redacted.make("hunter2")
        })
      ),
      yield* Scope.make()
    )
    return yield* RegistryClient.make({ url: registryUrl, ...options }).pipe(
      Effect.provideService(HttpClient.HttpClient, client),
      Effect.provide(services)
    )
  }).pipe(Effect.orDie)

/** `alice:hunter2`. */
export const basic = "Basic YWxpY2U6aHVudGVyMg=="

/** What a registry does that wants a password for everything. */
export const guarded =
  (handler: Handlers[string]): Handlers[string] =>
  (seen) =>
    seen.authorization === basic
      ? handler(seen)
      : new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="r"' } })

export const status = (
  code: number,
  body: string | Uint8Array | null = null,
  headers: Record<string, string> = {}
): Response => new Response(body, { status: code, headers })

export const redirect = (code: number, location: string): Response =>
  status(code, "moved", { location })

export const manifestAnswer = (): Response =>
  status(200, m1, { "content-type": m1Type, "docker-content-digest": m1Digest })

export const knownManifest = Effect.orDie(Manifest.fromBytes(utf8(m1), { mediaType: m1Type }))
