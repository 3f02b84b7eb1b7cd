/**
 * A registry and its token server on sockets, with one log of all that they were sent, and a client
 * for both.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import type { Registry } from "../../src/Registry.js"
import * as Client from "../support/fake/Client.js"
import type * as Handler from "../support/fake/Handler.js"
import { origin } from "../support/fake/Sockets.js"
import { aliceBasic } from "./parties.js"

/** What a request is answered with: a status, a body and headers, or as handlers say it. */
export type Reply =
  | readonly [status: number, body?: unknown, headers?: Readonly<Record<string, string>>]
  | Handler.Reply

/** A 401 with a challenge. */
export const unauthorized = (challenge: string): Reply => [
  401,
  { errors: [{ code: "UNAUTHORIZED" }] },
  { "www-authenticate": challenge }
]

const toHandlerReply = (reply: Reply): Handler.Reply => {
  if (reply === "cut" || !("length" in reply)) return reply
  const [status, body = "", headers = {}] = reply
  const isContent = typeof body === "string" || body instanceof Uint8Array
  return { status, headers, body: isContent ? body : JSON.stringify(body) }
}

/** The log: who was sent what, with `Authorization` or `-`, and the body of a form. */
export interface World {
  readonly log: Array<string>
  readonly registry: string
  readonly realm: string
  readonly client: (options?: Client.Options) => Effect.Effect<Registry.Service, never, Scope.Scope>
}

/**
 * A registry and its token server, with one client for both. The credential is known for the
 * registry's host; where there is none, nobody is known for any.
 */
export const world = (
  handlers: {
    readonly registry: (seen: Handler.Seen, realm: string) => Reply | Effect.Effect<Reply>
    readonly tokens: (seen: Handler.Seen) => Reply
  },
  options: {
    readonly credential?: Credentials.Credential
    readonly cache?: Layer.Layer<TokenCache.TokenCache>
    readonly http?: Layer.Layer<HttpClient.HttpClient, unknown>
  } = {}
) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const named = (name: string, handle: (seen: Handler.Seen) => Reply | Effect.Effect<Reply>) =>
      origin(
        (seen) => {
          const reply = handle(seen)
          return Effect.isEffect(reply) ? Effect.map(reply, toHandlerReply) : toHandlerReply(reply)
        },
        ({ authorization = "-", body, line }) => {
          log.push(`${name} ${line} ${authorization} ${body}`.trimEnd())
        }
      )
    const tokens = yield* named("tokens", handlers.tokens)
    const realm = `${tokens.url}/token`
    const registry = yield* named("registry", (seen) => handlers.registry(seen, realm))
    const host = (url: string) => new URL(url).host
    // All clients have one cache of tokens, and the same connections.
    const shared = Layer.succeedContext(
      yield* Layer.build(
        Layer.merge(
          options.cache ?? TokenCache.layerMemory,
          Layer.orDie(options.http ?? NodeHttp.layer())
        )
      )
    )
    const { credential } = options
    const credentials =
      credential === undefined
        ? Credentials.layerAnonymous
        : Credentials.layer({ [host(registry.url)]: credential })
    const found: World = {
      log,
      registry: registry.url,
      realm,
      client: (settings = {}) =>
        Client.clientOf(
          registry.url,
          { trust: { allowTokens: [host(tokens.url)] }, retry: { attempts: 0 }, ...settings },
          { cache: shared, credentials, http: shared }
        )
    }
    return found
  })

/** The token request of `alice`, or of nobody. */
export const tokenRequest = (scope: string, account: "alice" | "nobody" = "alice"): string =>
  account === "alice"
    ? `tokens GET /token?service=s&client_id=effect-oci&account=alice&${scope} ${aliceBasic}`
    : `tokens GET /token?service=s&client_id=effect-oci&${scope} -`
