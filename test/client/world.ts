/**
 * A client and the origins around it, without sockets: what each origin answers is said by a test,
 * and all that is sent is recorded.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import type * as RegistryClient from "../../src/client/RegistryClient.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as Client from "../support/fake/Client.js"
import { type Handler, status } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { utf8 } from "../support/fixtures.js"

export { basic, guarded, redirect, status } from "../support/fake/Handler.js"

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

type Handlers = Readonly<Record<string, Handler>>

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
  Client.clientOver(client, registryUrl, options, { credentials: Client.alice(registryUrl) })

export const manifestAnswer = (): Response =>
  status(200, m1, { "content-type": m1Type, "docker-content-digest": m1Digest })

export const knownManifest = Effect.orDie(Manifest.fromBytes(utf8(m1), { mediaType: m1Type }))
