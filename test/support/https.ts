/** Servers of https on this machine, by an authority that nobody trusts by himself. */
import type { IncomingMessage, RequestListener } from "node:http"
import { createServer, type ServerOptions } from "node:https"
import type * as Net from "node:net"
import { TLSSocket } from "node:tls"
import * as HttpClient from "@effect/platform/HttpClient"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { codeOf } from "../../src/internal/CauseDetails.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Certificates from "./certificates.js"
import { freshRepository, utf8 } from "./fixtures.js"

export const authorities = Effect.runSync(
  Effect.cached(
    Effect.all({ ours: Certificates.authority("ours"), theirs: Certificates.authority("theirs") })
  )
)

/** A test over the HTTP client of Node, which trusts the authority "ours" and knows no proxy. */
export const liveOverHttps = <A, E>(
  name: string,
  test: () => Effect.Effect<A, E, HttpClient.HttpClient | Scope.Scope>
) =>
  it.live(name, () =>
    test().pipe(
      Effect.provide(
        Layer.unwrapEffect(
          Effect.map(authorities, ({ ours }) => NodeHttp.layer({ ca: [ours.cert], proxy: {} }))
        )
      ),
      Effect.scoped
    )
  )

export const portOf = (server: Net.Server): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** An https server of `localhost` on a free port, by the authority "ours": its host. */
export const serve = (listener: RequestListener, options: ServerOptions = {}) =>
  Effect.gen(function* () {
    const { ours } = yield* authorities
    const certificate = yield* Certificates.server(ours, "localhost")
    const server = yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>>((resume) => {
        const starting = createServer({ ...certificate, ...options }, listener)
        starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
      }),
      (running) =>
        Effect.async<void>((resume) => {
          running.close(() => resume(Effect.void))
          running.closeAllConnections()
        })
    )
    return `localhost:${portOf(server)}`
  })

/** The name in the certificate that a client showed, or "nobody". */
const shown = ({ socket }: IncomingMessage): string =>
  socket instanceof TLSSocket
    ? String(socket.getPeerCertificate().subject?.CN ?? "nobody")
    : "plain"

/** A server that asks for a certificate and takes any or none; it answers the name. */
export const asking = (listener?: (seen: string, ...rest: Parameters<RequestListener>) => void) =>
  serve(
    (request, response) => {
      const name = shown(request)
      listener === undefined ? response.end(name) : listener(name, request, response)
    },
    { requestCert: true, rejectUnauthorized: false }
  )

export const hello: RequestListener = (_, response) => {
  response.end("hello")
}

/** Settings with the authority "ours", and the certificate of a client called alice. */
export const alice = Effect.gen(function* () {
  const { ours } = yield* authorities
  const { cert, key } = yield* Certificates.client(ours, "alice")
  return { ca: [ours.cert], certificates: [{ cert, key: Redacted.make(key) }] }
})

/**
 * A registry whose token server and storage are elsewhere, all three by the authority "ours", and
 * each asking for a certificate. The log has which of them was asked for what, and by whom.
 */
export const registryWithOthers = Effect.gen(function* () {
  const log: Array<string> = []
  const storage = yield* asking((name, request, response) => {
    log.push(`storage ${request.url} ${name}`)
    response.setHeader("content-length", 4).end("blob")
  })
  const tokens = yield* asking((name, request, response) => {
    log.push(`tokens ${request.url?.split("?")[0]} ${name}`)
    response.end('{"token":"token-of-ours"}')
  })
  const registry = yield* asking((name, request, response) => {
    log.push(`registry ${request.url?.split("/")[1]} ${name}`)
    if (request.headers.authorization === undefined)
      response
        .writeHead(401, { "www-authenticate": `Bearer realm="https://${tokens}/token"` })
        .end()
    else response.writeHead(307, { location: `https://${storage}/b1` }).end()
  })
  return { registry, tokens, storage, log }
})

/** Pulls the blob that this registry has. */
export const pullBlob = Effect.gen(function* () {
  const registry = yield* Registry
  const parts = yield* Stream.runCollect(
    Stream.decodeText(registry.getBlob(yield* freshRepository, Digest.fromBytes(utf8("blob"))))
  )
  return [...parts].join("")
})

/** The body that the server at a host answers. */
export const bodyOf = (host: string) =>
  Effect.scoped(Effect.flatMap(HttpClient.get(`https://${host}/`), (response) => response.text))

/** The same, with connections of these options. */
export const get = (host: string, options: NodeHttp.Options = {}) =>
  Effect.provide(bodyOf(host), NodeHttp.layer(options))

/** The code of the TLS or socket error of the same. */
export const refusal = (host: string, options?: NodeHttp.Options) =>
  Effect.map(Effect.flip(get(host, options)), ({ cause }) => codeOf(cause))

export const untrusted = "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
