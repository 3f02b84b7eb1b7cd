/** What is said of a host is said in one place: how it is reached, its mirrors, its TLS. */
import { createServer, type Server } from "node:http"
import { connect } from "node:net"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as Registries from "../../src/Registries.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Certificates from "../support/certificates.js"
import { utf8 } from "../support/fixtures.js"
import { alice, asking, authorities, portOf, pullBlob, serve } from "../support/https.js"
import { environment, folder } from "../support/machine.js"

/**
 * A registry that has every blob, if it is "blob", and answers whoever shows the certificate of
 * alice; all else is asked of whoever is there.
 */
const guarded = (log: Array<string>, name: string) =>
  asking((shown, request, response) => {
    log.push(
      `${name} ${request.url?.replace(/test\/[^/]+\/blobs\/.*?(?=\?|$)/, "<blob>")} ${shown}`
    )
    if (shown === "alice") response.setHeader("content-length", 4).end("blob")
    else response.writeHead(404).end()
  })

const pull = (host: string, hosts: NodeRegistry.RegistriesOptions["hosts"]) =>
  pullBlob.pipe(
    Effect.provideServiceEffect(
      Registry,
      Effect.flatMap(Registries.Registries, ({ get }) => get(host))
    ),
    Effect.provide(NodeRegistry.layerRegistries({ hosts, http: { certificateFolders: [] } })),
    Effect.provide(Credentials.layerAnonymous)
  )

it.live("a host, and each of its mirrors, has the TLS settings that stand beside its URL", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const { ours } = yield* authorities
    const [mirror, host] = [yield* guarded(log, "mirror"), yield* guarded(log, "host")]
    const hosts = {
      "registry.example.com": {
        url: `https://${host}`,
        tls: yield* alice,
        mirrors: [{ url: `https://${mirror}/`, tls: { ca: [ours.cert] } }]
      }
    }
    expect(yield* pull("registry.example.com", hosts)).toBe("blob")
    expect(log).toEqual([
      "mirror /v2/<blob>?ns=registry.example.com nobody",
      "host /v2/<blob> alice"
    ])
  }).pipe(Effect.scoped)
)

it.live("they win over those of the HTTP client for that host, however it is written there", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const host = yield* guarded(log, "host")
    const layer = NodeRegistry.layer({
      url: `https://${host}`,
      tls: yield* alice,
      http: { certificateFolders: [], tls: { [host.toUpperCase()]: {} } }
    })
    expect(yield* Effect.provide(pullBlob, Layer.provide(layer, Credentials.layerAnonymous))).toBe(
      "blob"
    )
    expect(log).toEqual(["host /v2/<blob> alice"])
  }).pipe(Effect.scoped)
)

it.live("the client of one registry has those beside its URL, too", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const host = yield* guarded(log, "host")
    // A loopback host, which is reached by https only where that is said.
    const other = host.replace("localhost", "https://localhost")
    const layer = NodeRegistry.layer({
      url: other,
      tls: yield* alice,
      http: { certificateFolders: [] }
    })
    expect(yield* Effect.provide(pullBlob, Layer.provide(layer, Credentials.layerAnonymous))).toBe(
      "blob"
    )
    expect(log).toEqual(["host /v2/<blob> alice"])
  }).pipe(Effect.scoped)
)

/**
 * A proxy that makes tunnels to the server of https on this machine, whatever host they are for:
 * its URL, and those hosts.
 */
const tunnelling = (port: string) =>
  Effect.gen(function* () {
    const tunnels: Array<string> = []
    const proxy = yield* Effect.acquireRelease(
      Effect.async<Server>((resume) => {
        const starting = createServer().on("connect", (request, socket) => {
          tunnels.push(request.url ?? "")
          const there = connect(Number(port), "127.0.0.1", () => {
            socket.write("HTTP/1.1 200 OK\r\n\r\n")
            socket.pipe(there).pipe(socket)
          })
          const close = () => {
            socket.destroy()
            there.destroy()
          }
          for (const end of [socket, there]) end.on("error", close).on("close", close)
        })
        starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
      }),
      (running) => Effect.async<void>((resume) => void running.close(() => resume(Effect.void)))
    )
    return { url: `http://127.0.0.1:${portOf(proxy)}`, tunnels }
  })

it.live("the default has the logins, the certificates and the proxies of this machine", () =>
  Effect.gen(function* () {
    const { ours } = yield* authorities
    const authorizations = new Set<string | undefined>()
    const certificate = yield* Certificates.server(ours, "registry.example.com")
    const host = yield* serve((request, response) => {
      authorizations.add(request.headers.authorization)
      if (request.headers.authorization === undefined)
        response.writeHead(401, { "www-authenticate": 'Basic realm="here"' }).end()
      else response.setHeader("content-length", 4).end("blob")
    }, certificate)
    const login = Buffer.from("alice:wonderland").toString("base64")
    const proxy = yield* tunnelling(host.replace("localhost:", ""))
    const home = yield* folder({
      ".docker/config.json": JSON.stringify({
        auths: { "registry.example.com": { auth: login } }
      }),
      ".config/containers/certs.d/registry.example.com/ca.crt": ours.cert
    })
    yield* environment("HOME", home)
    yield* environment("HTTPS_PROXY", proxy.url)

    const content = Registries.blob(
      `registry.example.com/owner/name@${Digest.fromBytes(utf8("blob"))}`
    )
    const read = Stream.mkString(Stream.decodeText(content))
    expect(yield* Effect.provide(read, NodeRegistry.layerDefault)).toBe("blob")
    expect(new Set(proxy.tunnels)).toEqual(new Set(["registry.example.com:443"]))
    expect(authorizations).toEqual(new Set([undefined, `Basic ${login}`]))
  }).pipe(Effect.scoped)
)
