/**
 * Secrets that stand everywhere: what servers send is read as it is, and only what is shown of it
 * is redacted. With any of them, the same requests are made and the same errors come out as with
 * one that stands nowhere.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { type Handler, json, type Seen } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { gather, utf8 } from "../support/fixtures.js"
import { ignoreSecrets } from "../support/suiteWatch.js"

ignoreSecrets()

const repository = Effect.runSync(Reference.parseRepositoryName("library/name"))
const tag = Effect.runSync(Reference.parseTag("latest"))
const content = utf8("content")
const digest = Digest.fromBytes(content)

/** Parts of what the protocol is written in. */
const weak = [
  "token",
  "pull",
  "NAME",
  "name",
  "UNKNOWN",
  "DENIED",
  "https",
  "auth.registry.test",
  "registry",
  "Bearer",
  "realm",
  "scope",
  "repository",
  "library/name",
  "errors",
  "code",
  "grant",
  "unsupported_grant_type",
  "invalid",
  "retry-after",
  "1m30s",
  "sha256",
  "tags",
  "rel=",
  "v2/library"
]
const strong = "5trong-and-nowhere"

const holders: Readonly<Record<string, (secret: string) => Credentials.Credential>> = {
  "a password": (secret) => Credentials.basic("alice", Redacted.make(secret)),
  "an identity token": (secret) => Credentials.identityToken(Redacted.make(secret)),
  "a registry token": (secret) => Credentials.registryToken(Redacted.make(secret))
}

const challenge =
  'Bearer realm="https://auth.registry.test/token?x=invalid",service="registry.test",scope="repository:library/name:pull"'

const error = (status: number, code: string, message = "") =>
  json({ errors: [{ code, message }] }, status)

const registryOf: Handler = ({ authorization, method, url }: Seen) => {
  if (authorization === undefined)
    return new Response(null, { status: 401, headers: { "www-authenticate": challenge } })
  if (url.pathname.endsWith("/tags/list"))
    return url.searchParams.has("last")
      ? error(400, "TOOMANYREQUESTS", "retry-after: 1m30s, allowed: 44000/minute")
      : new Response('{"tags":["latest"]}', {
          headers: { link: '</v2/library/name/tags/list?last=latest>; rel="next"' }
        })
  if (url.pathname.includes("/blobs/"))
    return new Response(null, {
      status: 307,
      headers: { location: "https://storage.test/registry/sha256?token=invalid" }
    })
  if (method === "DELETE") return error(403, "DENIED", "you may pull only")
  return error(404, "NAME_UNKNOWN", "repository name not known to registry")
}

const issuing: Handler = ({ method }) =>
  method === "POST"
    ? json({ error: "unsupported_grant_type", error_description: "no grant" }, 400)
    : json({ token: "t0ken" })

const refusing: Handler = ({ method }) =>
  method === "POST"
    ? json({ error: "invalid_grant", error_description: "the token is invalid" }, 400)
    : error(401, "UNAUTHORIZED", "authentication required")

const operations = (registry: Registry.Service): ReadonlyArray<Effect.Effect<unknown, unknown>> => [
  registry.getManifest(repository, tag),
  gather(registry.getBlob(repository, digest)),
  Stream.runDrain(registry.tags(repository)),
  registry.deleteManifest(repository, digest)
]

/** What is requested and what comes out of it, the secret replaced by a name. */
const outcome = (holder: string, secret: string, tokenServer: Handler) =>
  Effect.gen(function* () {
    const { client, log } = internet({
      "https://registry.test": registryOf,
      "https://auth.registry.test": tokenServer,
      "https://storage.test": () => new Response(content)
    })
    const program = Effect.gen(function* () {
      const registry = yield* RegistryClient.make({
        url: "https://registry.test",
        retry: { attempts: 0 }
      })
      return yield* Effect.forEach(operations(registry), (operation) =>
        Effect.match(operation, {
          onSuccess: () => "success",
          onFailure: (failure) => {
            const { _tag, errors, retryAfter, status } = Object(failure)
            const codes = errors?.map(({ code }: { code: string }) => code)
            return { _tag, status, retryAfter, codes }
          }
        })
      )
    })
    const ends = yield* Effect.provide(program, [
      Layer.succeed(HttpClient.HttpClient, client),
      TokenCache.layerMemory,
      Layer.orDie(
        Credentials.layer({ "registry.test": holders[holder]?.(secret) ?? Credentials.anonymous })
      )
    ])
    const credentials = [`Basic ${btoa(`alice:${secret}`)}`, `Bearer ${secret}`]
    return {
      ends,
      log: log.map((line) =>
        credentials.reduce((text, shown) => text.replace(` ${shown}`, " SECRET"), line)
      )
    }
  })

describe.each(Object.keys(holders))("%s", (holder) => {
  const expected = Effect.runSync(
    Effect.cached(Effect.forEach([issuing, refusing], (on) => outcome(holder, strong, on)))
  )

  it.effect.each(weak)("that is %s changes nothing", (secret) =>
    Effect.gen(function* () {
      const outcomes = yield* Effect.forEach([issuing, refusing], (on) =>
        outcome(holder, secret, on)
      )
      expect(outcomes).toEqual(yield* expected)
    })
  )
})

it.effect("what comes out is what the registry said", () =>
  Effect.gen(function* () {
    const { ends, log } = yield* outcome("a password", "NAME", issuing)
    expect(ends).toMatchObject([
      { _tag: "NameUnknown", status: 404, codes: ["NAME_UNKNOWN"] },
      "success",
      { _tag: "TooManyRequests", status: 400, retryAfter: 90_000, codes: ["TOOMANYREQUESTS"] },
      { _tag: "Denied", status: 403, codes: ["DENIED"] }
    ])
    expect(log.slice(0, 3)).toEqual([
      "GET https://registry.test/v2/library/name/manifests/latest -",
      "GET https://auth.registry.test/token?x=invalid&service=registry.test&client_id=effect-oci&account=alice&scope=repository%3Alibrary%2Fname%3Apull SECRET",
      "GET https://registry.test/v2/library/name/manifests/latest Bearer t0ken"
    ])
  })
)
