import { createServer, type Server } from "node:http"
import * as Https from "node:https"
import * as Net from "node:net"
import type { TLSSocket } from "node:tls"
import { inspect } from "node:util"
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as ProxySettings from "../../src/node/ProxySettings.js"
import { Registry } from "../../src/Registry.js"
import * as Certificates from "../support/certificates.js"
import { environment } from "../support/machine.js"
import { until } from "../support/serve.js"
import { pushAndPull, registryOn } from "../support/server.js"
import { describeTinyproxy, proxyUser, tinyproxy } from "../support/tinyproxy.js"

/** Which proxy a URL takes, under these environment variables. */
const route = (environment: Readonly<Record<string, string>>, url: string): string =>
  Option.match(ProxySettings.proxyFor(ProxySettings.fromEnvironment(environment), new URL(url)), {
    onNone: () => "straight",
    onSome: Redacted.value
  })

describe("the environment", () => {
  const plain = "http://plain.proxy:3128"
  const secure = "http://secure.proxy:3128"

  it.each([
    ["neither", {}, "straight", "straight"],
    ["HTTP_PROXY, which is for http alone", { HTTP_PROXY: plain }, plain, "straight"],
    ["HTTPS_PROXY, which is for https alone", { HTTPS_PROXY: secure }, "straight", secure],
    ["both", { http_proxy: plain, https_proxy: secure }, plain, secure],
    [
      "both cases, of which lower wins",
      { http_proxy: plain, HTTP_PROXY: "http://upper:1" },
      plain,
      "straight"
    ],
    [
      "an empty value, which means none",
      { https_proxy: "", HTTPS_PROXY: secure },
      "straight",
      "straight"
    ],
    ["a proxy without scheme", { HTTPS_PROXY: " secure.proxy:3128 " }, "straight", secure],
    [
      "HTTP_PROXY as a header of a request makes it",
      { HTTP_PROXY: plain, REQUEST_METHOD: "GET" },
      "straight",
      "straight"
    ],
    [
      "http_proxy, which no header makes",
      { http_proxy: plain, REQUEST_METHOD: "GET" },
      plain,
      "straight"
    ]
  ])("with %s", (_, environment, http, https) => {
    expect(route(environment, "http://registry.example.com/v2/")).toBe(http)
    expect(route(environment, "https://registry.example.com/v2/")).toBe(https)
  })

  it.each([
    "http://localhost:5000/",
    "http://registry.localhost/",
    "http://127.0.0.1:5000/",
    "http://127.9.9.9/",
    "http://[::1]:5000/",
    "http://[::ffff:127.0.0.1]/"
  ])("has no proxy for this machine: %s", (url) => {
    expect(route({ HTTP_PROXY: plain }, url)).toBe("straight")
  })
})

describe("NO_PROXY", () => {
  it.each([
    ["example.com", "https://example.com/", true],
    ["example.com", "https://registry.example.com/", true],
    [".example.com", "https://registry.example.com/", true],
    ["*.example.com", "https://registry.example.com/", true],
    ["EXAMPLE.com", "https://registry.Example.COM/", true],
    ["example.com", "https://badexample.com/", false],
    ["example.com", "https://example.com.evil.test/", false],
    ["registry.example.com", "https://example.com/", false],
    ["example.com:443", "https://example.com/", true],
    ["example.com:80", "https://example.com/", false],
    ["example.com:5000", "https://example.com:5000/", true],
    ["example.com:500", "https://example.com:5000/", false],
    ["other.test, example.com", "https://example.com/", true],
    ["other.test example.com", "https://example.com/", true],
    ["*", "https://example.com/", true],
    ["10.1.2.3", "https://10.1.2.3/", true],
    ["10.1.2.3", "https://110.1.2.3/", false],
    ["10.0.0.0/8", "https://10.1.2.3:5000/", true],
    ["10.0.0.0/8", "https://11.1.2.3/", false],
    ["10.0.0.0/8", "https://[fd00::1]/", false],
    ["fd00::/8", "https://[fd00::1]/", true],
    ["[fd00::1]", "https://[fd00:0::1]:5000/", true],
    ["[fd00::1]:5000", "https://[fd00::1]:5000/", true],
    ["10.0.0.0/99", "https://10.1.2.3/", false],
    ["10.1.2.3:5000", "https://10.1.2.3:5000/", true],
    ["10.1.2.3:5000", "https://10.1.2.3/", false],
    ["fd00::1", "https://[fd00::1]:5000/", true],
    ["fd00::1", "https://[fd00::2]/", false],
    ["[fd00::1]:5000", "https://[fd00::1]/", false],
    ["10.0.0.0/8", "https://[::ffff:10.1.2.3]/", true],
    ["other.test,*", "https://example.com/", true],
    ["bücher.example", "https://registry.xn--bcher-kva.example/", true],
    ["example.com.", "https://example.com/", true],
    ["example.com", "https://registry.example.com./", true],
    [".", "https://example.com./", false],
    [",,", "https://example.com/", false]
  ])("%s and %s: excepted %s", (entry, url, excepted) => {
    expect(route({ HTTPS_PROXY: "http://proxy:1", NO_PROXY: entry }, url)).toBe(
      excepted ? "straight" : "http://proxy:1"
    )
  })
})

it.effect.each([
  "hunter2",
  "socks6://walter:hunter2@proxy:1080",
  "http://walter:hunter2%@proxy:3128"
])("%s is no proxy's URL, and is not shown (T13)", (url) =>
  Effect.gen(function* () {
    const building = Layer.build(NodeHttp.layer({ proxy: { https: Redacted.make(url) } }))
    const failure = yield* Effect.flip(Effect.scoped(building))
    expect(failure).toMatchObject({
      _tag: "InvalidUrl",
      message: expect.stringMatching(/^Cannot use the https proxy: /)
    })
    expect(`${failure.message}${inspect(failure)}${JSON.stringify(failure)}`).not.toContain(
      "hunter2"
    )
  })
)

describeTinyproxy("through tinyproxy", () => {
  const proxyUrl = (
    host: string,
    { password, username }: { username: string; password: string } = proxyUser
  ) => Redacted.make(`http://${username}:${password}@${host}`)

  it.live(
    "plain http goes as requests to the proxy, whose password does not reach the registry",
    () =>
      Effect.gen(function* () {
        const { port, seen } = yield* registryOn()
        const proxy = yield* tinyproxy([443])
        const layer = NodeRegistry.layer({
          url: `localhost:${port}`,
          http: { proxy: { http: proxyUrl(proxy.host) } }
        })
        expect(
          yield* Effect.provide(pushAndPull, Layer.provide(layer, Credentials.layerAnonymous))
        ).toBe("b1")
        const requests = yield* proxy.requests
        expect(requests.length).toBe(seen.length)
        expect(requests.length).toBeGreaterThan(1)
        for (const line of requests)
          expect(line).toMatch(new RegExp(`^(HEAD|GET|POST|PUT) http://localhost:${port}/v2/`))
        expect(JSON.stringify(seen.map(({ rawHeaders }) => rawHeaders))).not.toMatch(
          /proxy-authorization/i
        )
      }).pipe(Effect.scoped)
  )

  it.live("a request without headers leaves none for the requests to other hosts", () =>
    Effect.gen(function* () {
      const one = yield* registryOn()
      const other = yield* registryOn()
      const proxy = yield* tinyproxy([443])
      for (const { port } of [one, other])
        yield* Effect.scoped(HttpClient.get(`http://localhost:${port}/v2/`)).pipe(
          Effect.provide(NodeHttp.layer({ proxy: { http: proxyUrl(proxy.host) } }))
        )
      yield* Effect.scoped(HttpClient.get(`http://127.0.0.1:${other.port}/v2/`)).pipe(
        Effect.provide(NodeHttp.layer({ proxy: {} }))
      )
      expect([...one.seen, ...other.seen].map(({ headers }) => headers.host)).toEqual([
        `localhost:${one.port}`,
        `localhost:${other.port}`,
        `127.0.0.1:${other.port}`
      ])
      expect(yield* proxy.requests).toHaveLength(2)
    }).pipe(Effect.scoped)
  )

  it.live("https goes through tunnels, and certificates are checked at their other end", () =>
    Effect.gen(function* () {
      const ca = yield* Certificates.authority("ours")
      const certificate = yield* Certificates.server(ca, "localhost")
      const { port, seen } = yield* registryOn(() => Https.createServer(certificate))
      const proxy = yield* tinyproxy([port])
      const registry = (http: NodeHttp.Options) =>
        NodeRegistry.layer({ url: `https://localhost:${port}`, http, retry: { attempts: 0 } }).pipe(
          Layer.provide(Credentials.layerAnonymous)
        )
      const through = { proxy: { https: proxyUrl(proxy.host) } }
      const tls = { [`localhost:${port}`]: { ca: [ca.cert] } }
      expect(yield* Effect.provide(pushAndPull, registry({ ...through, tls }))).toBe("b1")
      expect(new Set(yield* proxy.requests)).toEqual(
        new Set([`CONNECT localhost:${port} HTTP/1.1`])
      )
      expect(JSON.stringify(seen.map(({ rawHeaders }) => rawHeaders))).not.toMatch(
        /proxy-authorization/i
      )
      const failure = yield* Effect.flip(Effect.provide(pushAndPull, registry(through)))
      expect(failure).toMatchObject({ _tag: "TransportFailure", reason: "Tls" })
    }).pipe(Effect.scoped)
  )

  it.live(
    "what the proxy refuses is a failure that says so, and is tried again only if it may pass",
    () =>
      Effect.gen(function* () {
        const gone = yield* Effect.scoped(Effect.map(registryOn(), ({ port }) => port))
        const proxy = yield* tinyproxy([gone])
        const failed = (url: string, by: Redacted.Redacted) =>
          pushAndPull.pipe(
            Effect.flip,
            Effect.provide(
              NodeRegistry.layer({
                url,
                http: { proxy: { http: by, https: by } },
                retry: { attempts: 1, base: "1 millis" }
              })
            ),
            Effect.provide(Credentials.layerAnonymous)
          )
        const nobody = Redacted.make(`http://${proxy.host}`)
        const wrong = proxyUrl(proxy.host, { username: "walter", password: "hunter2" })
        const refused = (status: number) => ({ _tag: "TransportFailure", reason: "Proxy", status })
        // No user name, a wrong password, a port that it makes no tunnels to, a registry that it
        // does not reach.
        const cases = [
          [yield* failed(`https://localhost:${gone}`, nobody), refused(407)],
          [yield* failed(`https://localhost:${gone}`, wrong), refused(401)],
          [yield* failed("https://localhost:1", proxyUrl(proxy.host)), refused(403)],
          [
            yield* failed(`https://localhost:${gone}`, proxyUrl(proxy.host)),
            { _tag: "TransportFailure", reason: "Connect", status: 500 }
          ],
          [yield* failed(`http://localhost:${gone}`, nobody), refused(407)],
          // Of a plain request, tinyproxy refuses a wrong password as a registry would.
          [yield* failed(`http://localhost:${gone}`, wrong), { _tag: "Unauthorized" }],
          [
            yield* failed(`http://localhost:${gone}`, proxyUrl(proxy.host)),
            { _tag: "RegistryFailure", status: 500 }
          ]
        ] as const
        for (const [failure, expected] of cases) {
          expect(failure).toMatchObject(expected)
          expect(
            `${failure.message}${inspect(failure, { depth: 9 })}${JSON.stringify(failure)}`
          ).not.toMatch(new RegExp(`hunter2|${proxyUser.password}|proxy-authorization`, "i"))
        }
        // Twice where the registry may come back.
        const tunnel = `CONNECT localhost:${gone} HTTP/1.1`
        const tries = (yield* proxy.requests).filter((line) => line === tunnel).length
        expect(tries).toBe(1 + 1 + 2)
      }).pipe(Effect.scoped)
  )
})

describeTinyproxy("a tunnel through tinyproxy", () => {
  const closed = 1
  it.live.each([
    ["to a port that is not allowed", 4443, { reason: "Proxy", status: 403 }, 1],
    ["to where nobody listens", closed, { reason: "Connect", status: 500 }, 3]
  ] as const)(
    "%s is a failure that is retried only where it may pass",
    ([_, port, facts, attempts]) =>
      Effect.gen(function* () {
        const proxy = yield* tinyproxy([closed])
        const layer = NodeRegistry.layer({
          url: `https://localhost:${port}`,
          http: {
            proxy: {
              https: Redacted.make(
                `http://${proxyUser.username}:${proxyUser.password}@${proxy.host}`
              )
            }
          },
          retry: { attempts: 2, base: 1 }
        })
        const ping = Effect.flatMap(Registry, (registry) => registry.ping)
        const failure = yield* Effect.flip(
          Effect.provide(ping, Layer.provide(layer, Credentials.layerAnonymous))
        )
        expect(failure).toMatchObject({ _tag: "TransportFailure", ...facts })
        expect(yield* proxy.requests).toEqual(
          Array.from({ length: attempts }, () => `CONNECT localhost:${port} HTTP/1.1`)
        )
      }).pipe(Effect.scoped)
  )
})

it.live(
  "a proxy is reached by https: its certificate is checked, and it is shown none of a client",
  () =>
    Effect.gen(function* () {
      const ca = yield* Certificates.authority("ours")
      const certificate = yield* Certificates.server(ca, "localhost")
      const alice = yield* Certificates.client(ca, "alice")
      const { port } = yield* registryOn(() => Https.createServer(certificate))
      const shown: Array<unknown> = []
      const proxy = yield* Effect.acquireRelease(
        Effect.async<Https.Server>((resume) => {
          const starting = Https.createServer({
            ...certificate,
            requestCert: true,
            rejectUnauthorized: false
          })
          starting.on("connect", ({ url }, socket: TLSSocket) => {
            shown.push(url, socket.getPeerCertificate().subject?.CN ?? "nobody")
            const onwards = Net.connect(port, "127.0.0.1", () => {
              socket.write("HTTP/1.1 200 OK\r\n\r\n")
              socket.pipe(onwards).pipe(socket)
            })
            socket.on("error", () => onwards.destroy())
            onwards.on("error", () => socket.destroy())
          })
          starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
        }),
        (running) => Effect.sync(() => running.close())
      )
      const url = Redacted.make(`https://localhost:${(proxy.address() as Net.AddressInfo).port}`)
      const tls = {
        [`localhost:${port}`]: {
          certificates: [{ cert: alice.cert, key: Redacted.make(alice.key) }],
          ca: [ca.cert]
        }
      }
      const ping = (http: NodeHttp.Options) =>
        HttpClient.get(`https://localhost:${port}/v2/`).pipe(
          Effect.map(({ status }) => status),
          Effect.scoped,
          Effect.provide(NodeHttp.layer({ proxy: { https: url }, tls, ...http }))
        )
      expect(yield* ping({ ca: [ca.cert] })).toBe(200)
      expect(shown).toEqual([`localhost:${port}`, "nobody"])
      expect(yield* Effect.isFailure(ping({}))).toBe(true)
      expect(shown.length).toBe(2)
      const own = { [new URL(Redacted.value(url)).host]: { ca: [ca.cert] } }
      expect(yield* ping({ tls: { ...tls, ...own } })).toBe(200)
    }).pipe(Effect.scoped)
)

/**
 * A proxy in so many words: what it does with each connection. Also the connections that are open.
 */
const bareProxy = (use: (socket: Net.Socket) => unknown) =>
  Effect.gen(function* () {
    const open = new Set<Net.Socket>()
    const server = yield* Effect.acquireRelease(
      Effect.async<Net.Server>((resume) => {
        const starting = Net.createServer((socket) => {
          open.add(socket)
          socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket))
          use(socket)
        })
        starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
      }),
      (running) =>
        Effect.sync(() => {
          for (const socket of open) socket.destroy()
          running.close()
        })
    )
    return {
      url: Redacted.make(`http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`),
      open
    }
  })

it.live.each([
  ["never answers CONNECT", () => undefined, "The proxy did not make a tunnel in time"],
  [
    "makes a tunnel to nowhere",
    (socket: Net.Socket) => void socket.write("HTTP/1.1 200 OK\r\n\r\n"),
    expect.stringContaining("registry.invalid:443")
  ]
] as const)(
  "a proxy that %s is given up after the connect timeout, and its connection closed",
  ([, answer, message]) =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const proxy = yield* bareProxy((socket) =>
        socket.once("data", (bytes) => {
          asked.push(String(bytes).split("\r\n", 1).join())
          answer(socket)
        })
      )
      const layer = NodeRegistry.layer({
        url: "https://registry.invalid",
        http: { proxy: { https: proxy.url }, connectTimeout: "50 millis" },
        retry: { attempts: 1, base: "1 millis" }
      })
      const failure = yield* Effect.flip(
        Effect.flatMap(Registry, (registry) => registry.ping)
      ).pipe(
        Effect.tap(until(() => proxy.open.size === 0)),
        Effect.provide(Layer.provide(layer, Credentials.layerAnonymous))
      )
      expect(failure).toMatchObject({
        _tag: "TransportFailure",
        reason: "Connect",
        cause: { code: "UND_ERR_CONNECT_TIMEOUT", message }
      })
      // Retried, as any connection that fails.
      expect(asked).toEqual(
        Array.from({ length: 2 }, () => "CONNECT registry.invalid:443 HTTP/1.1")
      )
    }).pipe(Effect.scoped)
)

it.live("an answer to plain http may have as many headers through a proxy as without one", () =>
  Effect.gen(function* () {
    const proxy = yield* bareProxy((socket) => {
      socket.once("data", () => {
        socket.end(
          `HTTP/1.1 200 OK\r\nx-signed: ${"s".repeat(40_000)}\r\ncontent-length: 0\r\n\r\n`
        )
      })
    })
    const response = yield* HttpClient.get("http://registry.invalid/v2/").pipe(
      Effect.provide(NodeHttp.layer({ proxy: { http: proxy.url } }))
    )
    expect(response.headers["x-signed"]).toHaveLength(40_000)
  }).pipe(Effect.scoped)
)

it.live("the proxies of the environment are taken by default, and not with an empty setting", () =>
  Effect.gen(function* () {
    // A proxy that answers by itself, since no name here leads to a server.
    const seen: Array<string> = []
    const server = yield* Effect.acquireRelease(
      Effect.async<Server>((resume) => {
        const starting = createServer((request, response) => {
          seen.push(`${request.method} ${request.url} ${request.headers["proxy-authorization"]}`)
          response.end()
        }).listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
      }),
      (running) => Effect.sync(() => running.close().closeAllConnections())
    )
    // The characters that a URL cannot have stand in it percent-encoded.
    const user = `${encodeURIComponent("corp\\walter")}:${encodeURIComponent("p@ss:w/rd")}`
    yield* environment(
      "http_proxy",
      `http://${user}@127.0.0.1:${(server.address() as Net.AddressInfo).port}`
    )
    const get = Effect.scoped(HttpClient.get("http://registry.invalid:5000/v2/"))
    yield* Effect.provide(get, NodeHttp.layer())
    const basic = `Basic ${Buffer.from("corp\\walter:p@ss:w/rd").toString("base64")}`
    expect(seen).toEqual([`GET http://registry.invalid:5000/v2/ ${basic}`])
    const token = Redacted.make(
      `http://a-token@127.0.0.1:${(server.address() as Net.AddressInfo).port}`
    )
    yield* Effect.provide(get, NodeHttp.layer({ proxy: { http: token } }))
    expect(seen[1]).toMatch(`Basic ${Buffer.from("a-token:").toString("base64")}`)
    const straight = yield* Effect.exit(Effect.provide(get, NodeHttp.layer({ proxy: {} })))
    expect(straight._tag).toBe("Failure")
    expect(seen.length).toBe(2)
  }).pipe(Effect.scoped)
)
