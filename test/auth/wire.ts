/**
 * A registry, its token server and whoever else takes part, each on a socket of its own, with one
 * log of all that they were sent.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { text } from "node:stream/consumers"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { layerHttpClient } from "../../src/node/NodeHttp.js"
import type { Registry } from "../../src/Registry.js"
import type { InvalidUrl } from "../../src/RegistryError.js"
import { serve } from "../support/serve.js"
import { aliceBasic } from "./parties.js"

export interface Arrived {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly authorization: string | undefined
  readonly body: string
}

/** What a request is answered with: a status, headers and a body, or by hand. */
export type Reply =
  | readonly [status: number, body?: unknown, headers?: Readonly<Record<string, string>>]
  | ((response: ServerResponse, request: IncomingMessage) => void)

export const cut: Reply = (response) => {
  response.socket?.destroy()
}

/** A 401 with a challenge. */
export const unauthorized = (challenge: string): Reply => [
  401,
  { errors: [{ code: "UNAUTHORIZED" }] },
  { "www-authenticate": challenge }
]

/** The log: who was sent what, with `Authorization` or `-`, and the body of a form. */
export interface World {
  readonly log: Array<string>
  readonly registry: string
  readonly realm: string
  readonly client: (
    options?: Partial<RegistryClient.Options>
  ) => Effect.Effect<Registry.Service, InvalidUrl>
}

const answer = (response: ServerResponse, request: IncomingMessage, reply: Reply): void => {
  if (typeof reply === "function") {
    reply(response, request)
    return
  }
  const [status, body = "", headers = {}] = reply
  response.writeHead(status, headers)
  response.end(typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body))
}

/**
 * A registry and its token server, with one client for both. The credential is known for the
 * registry's host; where there is none, nobody is known for any.
 */
export const world = (
  handlers: {
    readonly registry: (arrived: Arrived, realm: string) => Reply
    readonly tokens: (arrived: Arrived) => Reply
  },
  options: {
    readonly credential?: Credentials.Credential
    readonly cache?: Layer.Layer<TokenCache.TokenCache>
    readonly http?: Layer.Layer<HttpClient.HttpClient, unknown>
  } = {}
) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const origin = (name: string, handle: (arrived: Arrived) => Reply) =>
      serve((request, response) => {
        text(request).then(
          (body) => {
            const { authorization } = request.headers
            const { method = "", url = "" } = request
            log.push([name, method, url, authorization ?? "-", body].join(" ").trimEnd())
            answer(response, request, handle({ method, path: url, authorization, body }))
          },
          () => undefined
        )
      })
    const tokens = yield* origin("tokens", handlers.tokens)
    const realm = `${tokens.url}token`
    const registry = yield* origin("registry", (arrived) => handlers.registry(arrived, realm))
    const host = (url: string) => new URL(url).host
    const services = yield* Layer.build(
      Layer.mergeAll(
        Layer.orDie(options.http ?? layerHttpClient),
        options.cache ?? TokenCache.layerMemory,
        options.credential === undefined
          ? Credentials.layerAnonymous
          : Layer.orDie(Credentials.layer({ [host(registry.url)]: options.credential }))
      )
    )
    const found: World = {
      log,
      registry: registry.url.replace(/\/$/, ""),
      realm,
      client: (settings = {}) =>
        RegistryClient.make({
          url: registry.url,
          trust: { allowTokens: [host(tokens.url)] },
          retry: { attempts: 0 },
          ...settings
        }).pipe(Effect.provide(services))
    }
    return found
  })

/** The token request of `alice`, or of nobody. */
export const tokenRequest = (scope: string, account: "alice" | "nobody" = "alice"): string =>
  account === "alice"
    ? `tokens GET /token?service=s&client_id=effect-oci&account=alice&${scope} ${aliceBasic}`
    : `tokens GET /token?service=s&client_id=effect-oci&${scope} -`
