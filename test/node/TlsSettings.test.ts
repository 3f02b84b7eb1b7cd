import * as Fs from "node:fs/promises"
import type { IncomingMessage, RequestListener } from "node:http"
import { createServer, type ServerOptions } from "node:https"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { TLSSocket } from "node:tls"
import { inspect } from "node:util"
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import * as TlsSettings from "../../src/node/TlsSettings.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Certificates from "../support/certificates.js"
import { freshRepository, utf8 } from "../support/fixtures.js"

const authorities = Effect.runSync(
  Effect.cached(Effect.all({ ours: Certificates.authority("ours"), theirs: Certificates.authority("theirs") }))
)

const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(tmpdir(), "effect-oci-tls-"))),
  (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true }))
)

const environment = (name: string, value: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = process.env[name]
      process.env[name] = value
      return before
    }),
    (before) =>
      Effect.sync(() => {
        if (before === undefined) delete process.env[name]
        else process.env[name] = before
      })
  )

/** An https server of `localhost` on a free port, by the authority "ours". */
const serve = (listener: RequestListener, options: ServerOptions = {}) =>
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

const portOf = (server: Net.Server): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** The name in the certificate that a client showed, or "nobody". */
const shown = ({ socket }: IncomingMessage): string =>
  socket instanceof TLSSocket ? String(socket.getPeerCertificate().subject?.CN ?? "nobody") : "plain"

/** A server that asks for a certificate and takes any or none; it answers the name. */
const asking = (listener?: (seen: string, ...rest: Parameters<RequestListener>) => void) =>
  serve(
    (request, response) => {
      const name = shown(request)
      listener === undefined ? response.end(name) : listener(name, request, response)
    },
    { requestCert: true, rejectUnauthorized: false }
  )

const hello: RequestListener = (_, response) => {
  response.end("hello")
}

const get = (host: string, options: NodeHttp.Options = {}) =>
  HttpClient.get(`https://${host}/`).pipe(
    Effect.flatMap((response) => response.text),
    Effect.scoped,
    Effect.provide(NodeHttp.layer(options))
  )

/** The code of the TLS or socket error under a failure. */
const codeOf = (error: unknown): unknown =>
  typeof error !== "object" || error === null
    ? undefined
    : "code" in error
      ? error.code
      : codeOf("cause" in error ? error.cause : undefined)

const refusal = (host: string, options?: NodeHttp.Options) => Effect.map(Effect.flip(get(host, options)), codeOf)

const untrusted = "UNABLE_TO_VERIFY_LEAF_SIGNATURE"

describe("authorities", () => {
  it.live("a private one is trusted for the host that it was named for, and for no other", () =>
    Effect.gen(function* () {
      const { ours, theirs } = yield* authorities
      const [host, other] = [yield* serve(hello), yield* serve(hello)]
      const tls = { [host]: { ca: [theirs.cert, ours.cert] } }
      expect(yield* refusal(host)).toBe(untrusted)
      expect(yield* get(host, { tls })).toBe("hello")
      expect(yield* refusal(other, { tls })).toBe(untrusted)
    }).pipe(Effect.scoped)
  )

  it.live("a company's own is trusted for every host, also beside a host's own", () =>
    Effect.gen(function* () {
      const { ours, theirs } = yield* authorities
      const [host, other] = [yield* serve(hello), yield* serve(hello)]
      const options = { ca: [ours.cert], tls: { [host]: { ca: [theirs.cert] } } }
      expect([yield* get(host, options), yield* get(other, options)]).toEqual(["hello", "hello"])
    }).pipe(Effect.scoped)
  )

  it.live("those of NODE_EXTRA_CA_CERTS stay trusted beside a host's own", () =>
    Effect.gen(function* () {
      const { ours, theirs } = yield* authorities
      const host = yield* serve(hello)
      const folder = yield* temporaryFolder
      yield* Effect.promise(() => Fs.writeFile(Path.join(folder, "extra.pem"), ours.cert))
      yield* environment("NODE_EXTRA_CA_CERTS", Path.join(folder, "extra.pem"))
      expect(yield* get(host, { tls: { [host]: { ca: [theirs.cert] } } })).toBe("hello")
    }).pipe(Effect.scoped)
  )

  it.live("a certificate for another name is refused, whoever signed it", () =>
    Effect.gen(function* () {
      const { ours } = yield* authorities
      const host = yield* serve(hello, yield* Certificates.server(ours, "other.example.com"))
      expect(yield* refusal(host, { ca: [ours.cert] })).toBe("ERR_TLS_CERT_ALTNAME_INVALID")
    }).pipe(Effect.scoped)
  )
})

describe("client certificates", () => {
  const alice = Effect.gen(function* () {
    const { ours } = yield* authorities
    const { cert, key } = yield* Certificates.client(ours, "alice")
    return { ca: [ours.cert], certificates: [{ cert, key: Redacted.make(key) }] }
  })

  it.live("are shown to their host", () =>
    Effect.gen(function* () {
      const host = yield* asking()
      expect(yield* get(host, { tls: { [host]: yield* alice } })).toBe("alice")
    }).pipe(Effect.scoped)
  )

  it.live("open a registry that takes nobody without one", () =>
    Effect.gen(function* () {
      const { ours } = yield* authorities
      const host = yield* serve(hello, { requestCert: true, ca: ours.cert })
      expect(yield* get(host, { tls: { [host]: yield* alice } })).toBe("hello")
      expect(yield* Effect.isFailure(get(host, { ca: [ours.cert] }))).toBe(true)
    }).pipe(Effect.scoped)
  )

  it.live("with an encrypted key need its passphrase", () =>
    Effect.gen(function* () {
      const { ours } = yield* authorities
      const host = yield* asking()
      const { cert, key } = yield* Certificates.client(ours, "bob", "open sesame")
      const settings = (passphrase: string) => ({
        [host]: {
          ca: [ours.cert],
          certificates: [{ cert, key: Redacted.make(key), passphrase: Redacted.make(passphrase) }]
        }
      })
      expect(yield* get(host, { tls: settings("open sesame") })).toBe("bob")
      expect(yield* Effect.flip(get(host, { tls: settings("wrong") }))).toMatchObject({ _tag: "CredentialsFailure" })
    }).pipe(Effect.scoped)
  )

  it.live(
    "go neither to storage nor to a token server on another port of the same host (T1, GHSA-h3wm-jjqf-8jm2)",
    () =>
      Effect.gen(function* () {
        const { ours } = yield* authorities
        const log: Array<string> = []
        const storage = yield* asking((name, request, response) => {
          log.push(`storage ${request.url} ${name}`)
          response.setHeader("content-length", 4).end("blob")
        })
        const tokens = yield* asking((name, request, response) => {
          log.push(`tokens ${request.url?.split("?")[0]} ${name}`)
          response.end('{"token":"t1"}')
        })
        const host = yield* asking((name, request, response) => {
          log.push(`registry ${request.url?.split("/")[1]} ${name}`)
          if (request.headers.authorization === undefined)
            response.writeHead(401, { "www-authenticate": `Bearer realm="https://${tokens}/token"` }).end()
          else response.writeHead(307, { location: `https://${storage}/b1` }).end()
        })
        const layer = NodeRegistry.layer({
          url: `https://${host}`,
          http: { ca: [ours.cert], tls: { [host]: yield* alice } }
        })
        const received = yield* Effect.gen(function* () {
          const registry = yield* Registry
          const content = Digest.fromBytes(utf8("blob"))
          return yield* Stream.runCollect(Stream.decodeText(registry.getBlob(yield* freshRepository, content)))
        }).pipe(Effect.provide(Layer.provide(layer, Credentials.layerAnonymous)))
        expect([...received].join("")).toBe("blob")
        expect(log).toEqual(["registry v2 alice", "tokens /token nobody", "registry v2 alice", "storage /b1 nobody"])
      }).pipe(Effect.scoped)
  )
})

describe("rejectUnauthorized: false", () => {
  it.live("takes any certificate from that host, from no other, and is logged as a warning", () =>
    Effect.gen(function* () {
      const [host, other] = [yield* serve(hello), yield* serve(hello)]
      const lines: Array<string> = []
      const logger = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ logLevel, message }) => lines.push(`${logLevel.label} ${message}`))
      )
      const { theirs } = yield* authorities
      yield* Effect.gen(function* () {
        const tls = { [host]: { rejectUnauthorized: false } }
        expect(yield* get(host, { tls })).toBe("hello")
        expect(lines).toEqual([
          `WARN The certificate of ${host} is not checked: anyone between here and there can read and change everything`
        ])
        expect(yield* refusal(other, { tls })).toBe(untrusted)
        expect(yield* get(host, { ca: [theirs.cert], tls })).toBe("hello")
      }).pipe(Effect.provide(logger))
    }).pipe(Effect.scoped)
  )
})

describe("settings", () => {
  it.effect.each([
    ["registry.example.com", "registry.example.com"],
    ["Registry.Example.com:443", "registry.example.com"],
    ["registry.example.com:5000", "registry.example.com:5000"],
    ["docker.io", "registry-1.docker.io"],
    ["[::1]:5000", "[::1]:5000"]
  ] as const)("of %s are those of %s", ([key, host]) =>
    Effect.gen(function* () {
      const settings = yield* TlsSettings.prepare({ [key]: { rejectUnauthorized: false } }, [])
      expect(settings(host)).toEqual({ rejectUnauthorized: false })
      expect(settings(`${host}0`)).toEqual({})
    }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)))
  )

  it.effect.each([
    "https://registry.example.com",
    "registry.example.com/v2",
    "*.example.com/",
    "alice@registry.example.com",
    "registry.example.com:port",
    ""
  ])("under the key %j fail", (key) =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(TlsSettings.prepare({ [key]: {} }, []))
      expect(failure).toMatchObject({ source: "the TLS settings", problem: "a key is not a host" })
    })
  )

  it.effect("that do not parse fail, and show nothing of what they hold (T13)", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<TlsSettings.TlsSettings> = [
        { ca: ["hunter2"] },
        { ca: [""] },
        { certificates: [{ cert: "hunter2", key: Redacted.make("hunter2") }] },
        {
          certificates: [
            {
              cert: (yield* authorities).ours.cert,
              key: Redacted.make("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----")
            }
          ]
        },
        // The key of somebody else.
        {
          certificates: [{ cert: (yield* authorities).ours.cert, key: Redacted.make((yield* authorities).theirs.key) }]
        }
      ]
      for (const settings of cases) {
        const failure = yield* Effect.flip(TlsSettings.prepare({ "registry.example.com": settings }, []))
        expect(failure.message).toMatch(
          /^Credentials from the TLS settings for registry.example.com: .* does not parse/
        )
        expect(`${inspect(failure)}${JSON.stringify(failure)}`).not.toContain("hunter2")
      }
    })
  )
})

it.live("a handshake that does not end is given up after the connect timeout", () =>
  Effect.gen(function* () {
    const silent = yield* Effect.acquireRelease(
      Effect.async<Net.Server>((resume) => {
        const starting = Net.createServer()
        starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
      }),
      (running) => Effect.sync(() => running.close())
    )
    expect(yield* refusal(`127.0.0.1:${portOf(silent)}`, { connectTimeout: "50 millis" })).toBe(
      "UND_ERR_CONNECT_TIMEOUT"
    )
  }).pipe(Effect.scoped)
)
