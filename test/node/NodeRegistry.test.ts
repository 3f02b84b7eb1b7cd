/** What is said of a host is said in one place: how it is reached, its mirrors, its TLS. */
import { createServer, type Server } from "node:http"
import * as Https from "node:https"
import { connect } from "node:net"
import { describe, expect, expectTypeOf, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import type { Compression } from "../../src/Compression.js"
import * as Artifact from "../../src/content/Artifact.js"
import type { Decompression } from "../../src/Decompression.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import type * as TlsSettings from "../../src/node/TlsSettings.js"
import * as Registries from "../../src/Registries.js"
import { Registry } from "../../src/Registry.js"
import type { AuthChallenge, CredentialsFailure, InvalidUrl } from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { alice as aliceLogin } from "../auth/parties.js"
import { tokenRequest, unauthorized, type World, world } from "../auth/wire.js"
import * as Certificates from "../support/certificates.js"
import * as Handler from "../support/fake/Handler.js"
import { origin } from "../support/fake/Sockets.js"
import { utf8 } from "../support/fixtures.js"
import { alice, asking, authorities, portOf, pullBlob, serve } from "../support/https.js"
import { environment, folder } from "../support/machine.js"
import { registryOn } from "../support/server.js"

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

describe("the cache of tokens", () => {
  /** A registry that takes the token of its token server alone, and the log of both. */
  const guardedByTokens = world(
    {
      registry: ({ authorization }, realm) =>
        authorization === "Bearer t1"
          ? [200, { name: "a", tags: ["v1"] }]
          : unauthorized(`Bearer realm="${realm}",service="s",scope="repository:a:pull"`),
      tokens: () => [200, { token: "t1", expires_in: 300 }]
    },
    { credential: aliceLogin }
  )

  /** Lists tags over layers of all registries that are built for this alone. */
  const listed = (
    { realm, registry }: World,
    options: Pick<NodeRegistry.RegistriesOptions, "tokenCache"> = {}
  ) => {
    const host = new URL(registry).host
    const trust = { allowTokens: [new URL(realm).host] }
    return Stream.runCollect(Registries.tags(`${host}/a`)).pipe(
      Effect.provide(NodeRegistry.layerRegistries({ ...options, hosts: { [host]: { trust } } })),
      Effect.provide(Credentials.layer({ [host]: aliceLogin })),
      Effect.map((tags) => expect([...tags]).toEqual(["v1"]))
    )
  }

  const first = [
    "registry GET /v2/a/tags/list -",
    tokenRequest("scope=repository%3Aa%3Apull"),
    "registry GET /v2/a/tags/list Bearer t1"
  ]

  it.scopedLive("belongs to a layer, which asks anew when it is built again", () =>
    Effect.gen(function* () {
      const at = yield* guardedByTokens
      yield* listed(at)
      yield* listed(at)
      expect(at.log).toEqual([...first, ...first])
    })
  )

  it.scopedLive("can be given, and then a layer that is built again has the tokens", () =>
    Effect.gen(function* () {
      const at = yield* guardedByTokens
      const tokenCache = Layer.succeed(TokenCache.TokenCache, yield* TokenCache.make)
      yield* listed(at, { tokenCache })
      yield* listed(at, { tokenCache })
      expect(at.log).toEqual([...first, "registry GET /v2/a/tags/list Bearer t1"])
    })
  )

  it.scopedLive("can be one for two layers at once, which then ask for one token", () =>
    Effect.gen(function* () {
      const at = yield* guardedByTokens
      const tokenCache = Layer.succeed(TokenCache.TokenCache, yield* TokenCache.make)
      const host = new URL(at.registry).host
      const one = NodeRegistry.layer({
        url: at.registry,
        trust: { allowTokens: [new URL(at.realm).host] },
        tokenCache
      }).pipe(Layer.provide(Credentials.layer({ [host]: aliceLogin })))
      const tags = Effect.flatMap(Registry, (registry) =>
        Stream.runDrain(registry.tags(Reference.unsafeParseRepositoryName("a")))
      )
      yield* Effect.all([listed(at, { tokenCache }), Effect.provide(tags, one)], {
        concurrency: "unbounded"
      })
      expect(at.log.filter((line) => line.startsWith("tokens"))).toEqual([first[1]])
    })
  )
})

describe("a loopback host with TLS settings is reached over https", () => {
  const tlsRegistry = Effect.gen(function* () {
    const { ours } = yield* authorities
    const certificate = yield* Certificates.server(ours, "localhost")
    const { port, seen } = yield* registryOn(() => Https.createServer(certificate))
    return { host: `127.0.0.1:${port}`, seen, tls: { ca: [ours.cert] } }
  })
  const none = { certificateFolders: [], proxy: {} }

  const pushed = (host: string) =>
    Artifact.push(`${host}/owner/name:tag`, {
      artifactType: "application/vnd.example.v1",
      files: []
    }).pipe(
      Effect.zipRight(Registries.exists(`${host}/owner/name:tag`)),
      Effect.map((exists) => expect(exists).toBe(true))
    )

  it.scopedLive.each<
    readonly [
      string,
      (host: string, tls: TlsSettings.TlsSettings) => NodeRegistry.RegistriesOptions
    ]
  >([
    ["that are its own", (host, tls) => ({ hosts: { [host]: { tls } } })],
    ["beside its URL", (host, tls) => ({ hosts: { [host]: { url: ` ${host}/ `, tls } } })],
    ["of the HTTP client", (host, tls) => ({ http: { tls: { [host]: tls } } })],
    ["of both", (host, tls) => ({ hosts: { [host]: { tls } }, http: { tls: { [host]: {} } } })]
  ])("%s", ([, options]) =>
    Effect.gen(function* () {
      const { host, seen, tls } = yield* tlsRegistry
      const given = options(host, tls)
      yield* pushed(host).pipe(
        Effect.provide(
          NodeRegistry.layerRegistries({ ...given, http: { ...none, ...given.http } })
        ),
        Effect.provide(Credentials.layerAnonymous)
      )
      expect(seen.length).toBeGreaterThan(0)
    })
  )

  it.scopedLive("also as a mirror, and as the one registry of a layer", () =>
    Effect.gen(function* () {
      const { host, seen, tls } = yield* tlsRegistry
      const one = NodeRegistry.layer({ url: host, tls, http: none })
      const ping = Effect.flatMap(Registry, (registry) => registry.ping)
      yield* Effect.provide(ping, Layer.provide(one, Credentials.layerAnonymous))
      const mirrored = NodeRegistry.layerRegistries({
        hosts: { "registry.example.com": { mirrors: [{ url: host, tls }] } },
        http: none
      })
      const read = Registries.manifest("registry.example.com/owner/name:tag")
      yield* Effect.provide(
        pushed(host),
        NodeRegistry.layerRegistries({ hosts: { [host]: { tls } } })
      )
      expect(yield* Effect.provide(read, mirrored)).toMatchObject({ content: { schemaVersion: 2 } })
      expect(seen.at(-1)?.url).toContain("ns=registry.example.com")
    }).pipe(Effect.provide(Credentials.layerAnonymous))
  )

  it.scopedLive("but not where its URL says http", () =>
    Effect.gen(function* () {
      const { port, seen } = yield* registryOn()
      const host = `127.0.0.1:${port}`
      const { tls } = yield* tlsRegistry
      yield* pushed(host).pipe(
        Effect.provide(
          NodeRegistry.layerRegistries({ hosts: { [host]: { url: `http://${host}`, tls } } })
        ),
        Effect.provide(Credentials.layerAnonymous)
      )
      expect(seen.length).toBeGreaterThan(0)
    })
  )
})

it.effect("a schedule for all hosts may have needs of its own, which the layer then has", () =>
  Effect.gen(function* () {
    class Prompt extends Context.Tag("test/Prompt")<Prompt, Array<string>>() {}
    const asked: Array<string> = []
    const schedule = Schedule.recurs(0).pipe(
      Schedule.tapInput((challenge: AuthChallenge) =>
        Effect.map(Prompt, (prompt) => void prompt.push(challenge._tag))
      )
    )
    const layer = NodeRegistry.layerRegistries({ defaults: { schedule } })
    expectTypeOf(layer).toEqualTypeOf<
      Layer.Layer<
        Registries.Registries | Compression | Decompression,
        InvalidUrl | CredentialsFailure,
        Credentials.Credentials | Prompt
      >
    >()
    const { url } = yield* origin(() => Handler.unauthorized("Basic"))
    const host = new URL(url).host
    const failure = yield* Effect.flip(Registries.resolve(`${host}/a:v1`)).pipe(
      Effect.provide(layer),
      Effect.provide(Credentials.layerAnonymous),
      Effect.provideService(Prompt, asked)
    )
    expect(failure._tag).toBe("Unauthorized")
    expect(asked).toEqual(["AuthChallenge"])
  }).pipe(Effect.scoped)
)
