import * as Https from "node:https"
import * as Net from "node:net"
import { inspect } from "node:util"
import * as HttpClient from "@effect/platform/HttpClient"
import { afterEach, describe, expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as ProxySettings from "../../src/node/ProxySettings.js"
import { Registry } from "../../src/Registry.js"
import * as Certificates from "../support/certificates.js"
import { environment } from "../support/machine.js"
import { serve, until } from "../support/serve.js"
import { pushAndPull, registryOn } from "../support/server.js"
import { type Behavior, socksProxy } from "../support/socks.js"

const through = (url: string, proxy: string, http: NodeHttp.Options = {}) =>
  Effect.provide(
    NodeRegistry.layer({
      url,
      http: {
        proxy: { http: Redacted.make(proxy), https: Redacted.make(proxy) },
        certificateFolders: [],
        ...http
      },
      retry: { attempts: 1, base: "1 millis" }
    }).pipe(Layer.provide(Credentials.layerAnonymous))
  )

const ping = Effect.flatMap(Registry, (registry) => registry.ping)

describe("a registry behind a SOCKS proxy", () => {
  it.live.each([
    ["http://registry.test", "socks5", {}, "0 | name registry.test:80"],
    ["http://registry.test:5000", "socks5h", { slowly: true }, "0 | name registry.test:5000"],
    ["http://registry.test", "socks", { bound: "name" }, "0 | name registry.test:80"],
    ["http://10.1.2.3:5000", "socks5", { bound: "IPv6" }, "0 | IPv4 10.1.2.3:5000"],
    [
      "http://[2001:db8::1]:5000",
      "socks5",
      { slowly: true, bound: "name" },
      "0 | IPv6 20010db8000000000000000000000001:5000"
    ],
    ["http://[::ffff:10.1.2.3]", "socks5", {}, "0 | IPv6 00000000000000000000ffff0a010203:80"],
    ["http://registry.test", "socks4a", {}, "4 |  | name registry.test:80"],
    ["http://registry.test:5000", "socks4", { slowly: true }, "4 |  | name registry.test:5000"],
    ["http://10.1.2.3:5000", "socks4", {}, "4 |  | IPv4 10.1.2.3:5000"]
  ] as ReadonlyArray<readonly [string, string, Partial<Behavior>, string]>)(
    "at %s is reached by %s, and the proxy resolves its name",
    ([url, scheme, behavior, asked]) =>
      Effect.gen(function* () {
        const proxy = yield* socksProxy({ port: (yield* registryOn()).port, ...behavior })
        expect(yield* pushAndPull.pipe(through(url, `${scheme}://${proxy.host}`))).toBe("b1")
        expect(new Set(proxy.log)).toEqual(new Set([asked]))
      }).pipe(Effect.scoped)
  )

  it.live("has its certificate checked, at the other end", () =>
    Effect.gen(function* () {
      const ca = yield* Certificates.authority("ours")
      const certificate = yield* Certificates.server(ca, "registry.test")
      const { port } = yield* registryOn(() => Https.createServer(certificate))
      const proxy = yield* socksProxy({ port, slowly: true })
      const tls = { "registry.test": { ca: [ca.cert] } }
      const at = (url: string, http: NodeHttp.Options) =>
        through(url, `socks5://${proxy.host}`, http)
      expect(yield* pushAndPull.pipe(at("https://registry.test", { tls }))).toBe("b1")
      const expected = { _tag: "TransportFailure", reason: "Tls" }
      expect(yield* Effect.flip(ping.pipe(at("https://registry.test", {})))).toMatchObject(expected)
      const other = { tls: { "other.test": { ca: [ca.cert] } } }
      expect(yield* Effect.flip(ping.pipe(at("https://other.test", other)))).toMatchObject(expected)
      expect(new Set(proxy.log)).toEqual(
        new Set(["0 | name registry.test:443", "0 | name other.test:443"])
      )
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["walter:hunter2", "walter", "hunter2"],
    ["corp%5Cwalter:p%40ss%3Aw%2Frd", "corp\\walter", "p@ss:w/rd"],
    ["a-token", "a-token", ""]
  ] as const)("is reached with the login of the URL, %s", ([user, username, password]) =>
    Effect.gen(function* () {
      const proxy = yield* socksProxy({
        port: (yield* registryOn()).port,
        login: [username, password]
      })
      expect(
        yield* pushAndPull.pipe(through("http://registry.test", `socks5://${user}@${proxy.host}`))
      ).toBe("b1")
      expect(new Set(proxy.log)).toEqual(
        new Set([`0 2 | ${username}:${password} | name registry.test:80`])
      )
    }).pipe(Effect.scoped)
  )

  it.live("of version 4 is told the user name of the URL", () =>
    Effect.gen(function* () {
      const ca = yield* Certificates.authority("ours")
      const certificate = yield* Certificates.server(ca, "registry.test")
      const { port } = yield* registryOn(() => Https.createServer(certificate))
      const proxy = yield* socksProxy({ port })
      const tls = { "registry.test": { ca: [ca.cert] } }
      const url = `socks4a://walter@${proxy.host}`
      expect(yield* pushAndPull.pipe(through("https://registry.test", url, { tls }))).toBe("b1")
      expect(new Set(proxy.log)).toEqual(new Set(["4 | walter | name registry.test:443"]))
    }).pipe(Effect.scoped)
  )

  it.live("may send as many headers as without one", () =>
    Effect.gen(function* () {
      const { url } = yield* serve((_, response) => {
        response.writeHead(200, { "x-signed": "s".repeat(40_000) }).end()
      })
      const proxy = yield* socksProxy({ port: Number(new URL(url).port) })
      const response = yield* HttpClient.get("http://registry.test/v2/").pipe(
        Effect.provide(NodeHttp.layer({ proxy: { http: Redacted.make(`socks5://${proxy.host}`) } }))
      )
      expect(response.headers["x-signed"]).toHaveLength(40_000)
    }).pipe(Effect.scoped)
  )

  it.live("keeps its connections, and they are closed with the layer", () =>
    Effect.gen(function* () {
      const proxy = yield* socksProxy({ port: (yield* registryOn()).port })
      yield* Effect.zipRight(ping, ping).pipe(
        Effect.zipRight(ping),
        through("http://registry.test", `socks5://${proxy.host}`)
      )
      expect(proxy.log).toEqual(["0 | name registry.test:80"])
      yield* until(() => proxy.open.size === 0)
    }).pipe(Effect.scoped)
  )
})

describe("a SOCKS proxy of the environment", () => {
  it.live("leaves alone what NO_PROXY and loopback addresses are", () =>
    Effect.gen(function* () {
      const { port } = yield* registryOn()
      const proxy = yield* socksProxy({ port })
      yield* environment("http_proxy", `socks5h://${proxy.host}`)
      yield* environment("no_proxy", "excepted.invalid")
      const at = (url: string) =>
        through(url, "", { proxy: ProxySettings.fromEnvironment(process.env) })
      expect(yield* pushAndPull.pipe(at(`http://127.0.0.1:${port}`))).toBe("b1")
      // No name here leads to a server without the proxy.
      const excepted = yield* Effect.flip(ping.pipe(at("http://excepted.invalid")))
      expect(excepted).toMatchObject({ _tag: "TransportFailure", reason: "Connect" })
      expect(proxy.log).toEqual([])
      expect(yield* pushAndPull.pipe(at("http://other.invalid"))).toBe("b1")
      expect(new Set(proxy.log)).toEqual(new Set(["0 | name other.invalid:80"]))
    }).pipe(Effect.scoped)
  )

  afterEach(() => {
    vi.doUnmock("socks")
  })

  it.live.each(["socks", "socks5", "socks4a"])(
    "that is of %s stops the hosts that it is for without the package socks, and no other",
    (scheme) =>
      Effect.gen(function* () {
        vi.doMock("socks", () => {
          throw new Error("Cannot find package 'socks'")
        })
        const { port } = yield* registryOn()
        yield* environment("http_proxy", `${scheme}://walter:hunter2@proxy.invalid`)
        yield* environment("no_proxy", "excepted.invalid")
        const at = (url: string) =>
          through(url, "", { proxy: ProxySettings.fromEnvironment(process.env) })
        expect(yield* pushAndPull.pipe(at(`http://127.0.0.1:${port}`))).toBe("b1")
        const excepted = yield* Effect.flip(ping.pipe(at("http://excepted.invalid")))
        expect(excepted).toMatchObject({ _tag: "TransportFailure", reason: "Connect" })
        const failure = yield* Effect.flip(ping.pipe(at("http://registry.test")))
        expect(failure).toMatchObject({ _tag: "TransportFailure", reason: "Proxy" })
        expect(failure.message).toBe(
          "A SOCKS proxy needs the package socks: run npm install socks, name a proxy as " +
            "http://…, or except registry.test in NO_PROXY (GET http://registry.test/v2/)"
        )
        expect(`${inspect(failure, { depth: 9 })}`).not.toContain("hunter2")
      }).pipe(Effect.scoped)
  )
})

describe("a SOCKS proxy that lets nothing through", () => {
  const login = ["walter", "right"] as const
  it.live.each([
    ["demands a login", { login }, "", "Proxy", "demands a user name and password", 1],
    [
      "takes no such login",
      { login },
      "walter:hunter2@",
      "Proxy",
      "does not accept the user name and password in its URL",
      1
    ],
    [
      "does not allow it",
      { reply: 2 },
      "walter:hunter2@",
      "Proxy",
      "does not allow a connection to registry.test:80 (NotAllowed)",
      1
    ],
    [
      "does not know the command",
      { reply: 7 },
      "",
      "Proxy",
      "does not allow a connection to registry.test:80 (CommandNotSupported)",
      1
    ],
    [
      "has a reply of its own",
      { reply: 99 },
      "",
      "Proxy",
      "does not allow a connection to registry.test:80 (an unknown reply)",
      1
    ],
    ["fails", { reply: 1 }, "", "Connect", "cannot reach registry.test:80: general failure", 2],
    ["finds no network", { reply: 3 }, "", "Connect", "the network is unreachable", 2],
    ["finds no host", { reply: 4 }, "", "Connect", "the host is unreachable", 2],
    ["is refused", { reply: 5, bound: "name" }, "", "Connect", "the connection was refused", 2],
    ["finds the way too long", { reply: 6 }, "", "Connect", "the time to live expired", 2]
  ] as ReadonlyArray<readonly [string, Partial<Behavior>, string, string, string, number]>)(
    "because it %s is a failure that says so, and is tried again only if it may pass",
    ([_, behavior, user, reason, words, attempts]) =>
      Effect.gen(function* () {
        const proxy = yield* socksProxy({ port: 1, ...behavior })
        const failure = yield* Effect.flip(
          ping.pipe(through("http://registry.test", `socks5://${user}${proxy.host}`))
        )
        expect(failure).toMatchObject({ _tag: "TransportFailure", reason })
        expect(failure.message).toContain(`The SOCKS proxy at ${proxy.host} `)
        expect(failure.message).toContain(words)
        expect(`${failure.message}${inspect(failure, { depth: 9 })}`).not.toContain("hunter2")
        expect(proxy.log.length).toBe(attempts)
        yield* until(() => proxy.open.size === 0)
      }).pipe(Effect.scoped)
  )

  it.live.each([
    [91, "Connect", "cannot reach registry.test:80: rejected or failed", 2],
    [92, "Proxy", "does not allow a connection to registry.test:80 (Rejected)", 1],
    [93, "Proxy", "does not allow a connection to registry.test:80 (RejectedIdent)", 1],
    [99, "Proxy", "does not speak SOCKS 4", 1]
  ] as const)("as the reply %s of version 4 says", ([reply, reason, words, attempts]) =>
    Effect.gen(function* () {
      const proxy = yield* socksProxy({ port: 1, reply })
      const failure = yield* Effect.flip(
        ping.pipe(through("http://registry.test", `socks4a://walter:hunter2@${proxy.host}`))
      )
      expect(failure).toMatchObject({ _tag: "TransportFailure", reason })
      expect(failure.message).toContain(`The SOCKS proxy at ${proxy.host} ${words}`)
      expect(inspect(failure, { depth: 9 })).not.toContain("hunter2")
      expect(proxy.log.length).toBe(attempts)
      yield* until(() => proxy.open.size === 0)
    }).pipe(Effect.scoped)
  )

  it.live("because a name is longer than it can be told", () =>
    Effect.gen(function* () {
      const proxy = yield* socksProxy({ port: 1 })
      const url = `http://${"a".repeat(60)}${`.${"b".repeat(60)}`.repeat(4)}.test`
      const failure = yield* Effect.flip(ping.pipe(through(url, `socks5://${proxy.host}`)))
      expect(failure).toMatchObject({ _tag: "TransportFailure", reason: "Proxy" })
      expect(failure.message).toContain("takes names of 255 bytes at most")
      expect(proxy.log).toEqual([])
      yield* until(() => proxy.open.size === 0)
    }).pipe(Effect.scoped)
  )

  /** A server that does with each connection what it is told. */
  const server = (use: (socket: Net.Socket) => unknown) =>
    Effect.gen(function* () {
      const open = new Set<Net.Socket>()
      const listening = yield* Effect.acquireRelease(
        Effect.async<Net.Server>((resume) => {
          const starting = Net.createServer((socket) => {
            open.add(socket)
            socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket))
            socket.resume()
            use(socket)
          })
          starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
        }),
        (running) => Effect.sync(() => running.close())
      )
      return { host: `127.0.0.1:${(listening.address() as Net.AddressInfo).port}`, open }
    })

  it.live.each([
    [
      "is an HTTP proxy",
      (socket: Net.Socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"),
      "Proxy",
      "does not speak SOCKS 5: if it is an HTTP proxy, use http://…"
    ],
    ["hangs up", (socket: Net.Socket) => socket.end(), "Connect", "closed the connection"],
    [
      "breaks off in the middle",
      (socket: Net.Socket) => socket.once("data", () => socket.end(Uint8Array.of(5))),
      "Connect",
      "closed the connection"
    ],
    [
      "wants another kind of login",
      (socket: Net.Socket) => socket.write(Uint8Array.of(5, 1)),
      "Proxy",
      "demands a user name and password"
    ],
    [
      "breaks the connection",
      (socket: Net.Socket) => socket.once("data", () => socket.resetAndDestroy()),
      "Reset",
      "ECONNRESET"
    ],
    [
      "says more than it may",
      (socket: Net.Socket) => socket.write(new Uint8Array(100_000).fill(5)),
      "Proxy",
      "demands a user name and password"
    ],
    ["never answers", () => undefined, "Connect", "UND_ERR_CONNECT_TIMEOUT"],
    [
      "makes a tunnel to nowhere",
      (socket: Net.Socket) => socket.write(Uint8Array.of(5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0)),
      "Connect",
      "UND_ERR_CONNECT_TIMEOUT"
    ]
  ] as const)("because it %s: its connection is closed", ([_, use, reason, words]) =>
    Effect.gen(function* () {
      const { host, open } = yield* server(use)
      const failure = yield* Effect.flip(ping).pipe(
        Effect.tap(until(() => open.size === 0)),
        through("https://registry.test", `socks5://${host}`, { connectTimeout: "100 millis" })
      )
      expect(failure).toMatchObject({ _tag: "TransportFailure", reason })
      expect(failure.message).toContain(words)
    }).pipe(Effect.scoped)
  )

  it.live.each(["socks4a", "socks5"])("%s: its connection is closed after the layer is", (scheme) =>
    Effect.gen(function* () {
      const { host, open } = yield* server(() => undefined)
      yield* Effect.raceFirst(
        Effect.exit(ping),
        until(() => open.size === 1)
      ).pipe(
        through("http://registry.test", `${scheme}://${host}`, { connectTimeout: "300 millis" })
      )
      yield* until(() => open.size === 0)
    }).pipe(Effect.scoped)
  )

  it.live("because there is none names where it was looked for", () =>
    Effect.gen(function* () {
      const { host } = yield* Effect.scoped(server(() => undefined))
      const failure = yield* Effect.flip(
        ping.pipe(through("http://registry.test", `socks5://${host}`))
      )
      expect(failure).toMatchObject({ _tag: "TransportFailure", reason: "Connect" })
      expect(failure.message).toContain(`ECONNREFUSED ${host}`)
    })
  )

  it.effect.each([
    ["socks5://", /its URL/],
    ["socks5://:1080", /its URL/],
    [`socks5://walter:${"hunter2".repeat(40)}@proxy`, /more than 255 bytes/],
    ["socks5://walter:hunter2%@proxy", /written as %25/],
    ["socks6://proxy", /its URL is not one such as/]
  ] as const)("%s is not the URL of one", ([url, problem]) =>
    Effect.gen(function* () {
      const building = Layer.build(NodeHttp.layer({ proxy: { https: Redacted.make(url) } }))
      const failure = yield* Effect.flip(Effect.scoped(building))
      expect(failure).toMatchObject({ _tag: "InvalidUrl" })
      expect(failure.message).toMatch(problem)
      expect(`${failure.message}${inspect(failure)}`).not.toContain("hunter2")
    })
  )
})
