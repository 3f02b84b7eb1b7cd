/**
 * Copies between registries of https, each with a token server and a user of its own: what each of
 * the four hosts was sent.
 */
import { createServer } from "node:https"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Credentials from "../../../src/auth/Credentials.js"
import * as Copy from "../../../src/content/Copy.js"
import * as NodeRegistry from "../../../src/node/NodeRegistry.js"
import { Registry } from "../../../src/Registry.js"
import * as RegistryServer from "../../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../../src/server/ServerAuthorization.js"
import * as TokenServer from "../../../src/server/TokenServer.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import * as Certificates from "../../support/certificates.js"
import { authorities } from "../../support/https.js"
import * as RichRepository from "../../support/richRepository.js"

/** What was asked, and with whose login or token, or what it was instead. */
interface Asked {
  readonly line: string
  readonly by: string
}

/** Who a request is by: a user, or the issuer of a token and whom it is of. */
const byWhom = (authorization: string | undefined): string => {
  const [scheme = "", sent = ""] = (authorization ?? "nobody").split(" ")
  if (scheme === "Basic") return Buffer.from(sent, "base64").toString()
  if (scheme !== "Bearer") return scheme
  const { iss, sub } = JSON.parse(Buffer.from(sent.split(".")[1] ?? "", "base64url").toString())
  return `${sub} by ${iss}`
}

/** An application on https. */
const serve = (app: HttpApp.Default<never, Scope.Scope>, log: Array<Asked>) =>
  Effect.gen(function* () {
    const certificate = yield* Certificates.server((yield* authorities).ours, "localhost")
    const listening = NodeHttpServer.layer(
      () =>
        createServer(certificate).on("request", ({ headers, method, url }) =>
          log.push({ line: `${method} ${url}`, by: byWhom(headers.authorization) })
        ),
      { port: 0, host: "127.0.0.1" }
    )
    const services = yield* Layer.build(Layer.provideMerge(HttpServer.serve(app), listening))
    const { address } = Context.get(services, HttpServer.HttpServer)
    return address._tag === "TcpAddress"
      ? `localhost:${address.port}`
      : yield* Effect.dieMessage("It does not listen on TCP")
  })

/** A registry whose one user may do what is told, with a token server at another host. */
const registryOf = (user: string, actions: ReadonlyArray<"pull" | "push">) =>
  Effect.gen(function* () {
    const [asked, askedForTokens]: [Array<Asked>, Array<Asked>] = [[], []]
    const options = {
      users: { [user]: Redacted.make(`password of ${user}`) },
      rules: [{ who: "users" as const, repositories: "**", actions }],
      issuer: `tokens of ${user}`,
      key: yield* TokenServer.signingKey({
        privateKey: Redacted.make((yield* authorities).ours.key)
      })
    }
    const tokens = yield* serve(yield* TokenServer.make(options), askedForTokens)
    const url = `https://${tokens}`
    const memory = yield* MemoryRegistry.make()
    const authorization = yield* ServerAuthorization.token({ ...options, url })
    const app = Effect.provideService(RegistryServer.make({ authorization }), Registry, memory)
    const host = yield* serve(yield* app, asked)
    const credential = Credentials.basic(user, options.users[user] ?? Redacted.make(""))
    return { host, tokens, memory, asked, askedForTokens, credential }
  })

describe("each side's login", () => {
  it.scopedLive("is for its own registry alone, and asks for no more than the side needs", () =>
    Effect.gen(function* () {
      const from = yield* registryOf("alice", ["pull"])
      const to = yield* registryOf("bob", ["pull", "push"])
      const rich = yield* RichRepository.make(["sha512", "cache"])
      const source = { ...rich, registry: from.memory }
      yield* Copy.between(rich, source, { tags: "all", referrers: true })
      const { repository } = rich
      const { ours } = yield* authorities
      const registries = NodeRegistry.layerRegistries({
        http: { ca: [ours.cert], proxy: {} },
        hosts: {
          [from.host]: { url: `https://${from.host}`, trust: { allowTokens: [from.tokens] } },
          [to.host]: { url: `https://${to.host}`, trust: { allowTokens: [to.tokens] } }
        }
      }).pipe(
        Layer.provide(Credentials.layer({ [from.host]: from.credential, [to.host]: to.credential }))
      )
      const copy = Copy.copy(`${from.host}/${repository}`, `${to.host}/${repository}`, {
        tags: "all",
        referrers: true
      })
      expect((yield* Effect.provide(copy, registries)).ok).toBe(true)
      expect(
        yield* RichRepository.differences(source, { registry: to.memory, repository })
      ).toEqual([])

      const by = (asked: ReadonlyArray<Asked>) => [...new Set(asked.map(({ by }) => by))].sort()
      expect(by(from.asked)).toEqual(["alice by tokens of alice", "nobody"])
      expect(by(to.asked)).toEqual(["bob by tokens of bob", "nobody"])
      expect(by(from.askedForTokens)).toEqual(["alice:password of alice"])
      expect(by(to.askedForTokens)).toEqual(["bob:password of bob"])
      // What was asked without a token was refused, and nothing was sent along with it.
      for (const side of [from, to])
        expect(side.asked.filter(({ by }) => by === "nobody").length).toBeLessThan(12)
      const scopes = (asked: ReadonlyArray<Asked>) => [
        ...new Set(
          asked.map(({ line }) => new URL(line.slice(4), "https://a").searchParams.get("scope"))
        )
      ]
      expect(scopes(from.askedForTokens)).toEqual([`repository:${repository}:pull`])
      expect(scopes(to.askedForTokens)).toContain(`repository:${repository}:pull,push`)
    })
  )
})
