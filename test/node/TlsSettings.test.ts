import { execFile } from "node:child_process"
import * as Net from "node:net"
import * as Path from "node:path"
import { inspect, promisify } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as TlsLookup from "../../src/node/internal/TlsLookup.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import type * as TlsSettings from "../../src/node/TlsSettings.js"
import * as Certificates from "../support/certificates.js"
import {
  alice,
  asking,
  authorities,
  get,
  hello,
  portOf,
  pullBlob,
  refusal,
  registryWithOthers,
  serve,
  untrusted
} from "../support/https.js"
import { environment, folder } from "../support/machine.js"
import { program } from "../support/program.js"

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

  it.live(
    "those of NODE_EXTRA_CA_CERTS, which Node reads as it starts, stay trusted beside a host's own",
    () =>
      Effect.gen(function* () {
        const { ours, theirs } = yield* authorities
        const host = yield* serve(hello)
        const root = yield* folder({ "ours.pem": ours.cert, "theirs.pem": theirs.cert })
        const script = yield* Effect.promise(() => program("test/node/fixtures/get.ts"))
        const args = [script, host, Path.join(root, "theirs.pem")]
        const env = { ...process.env, NODE_EXTRA_CA_CERTS: Path.join(root, "ours.pem") }
        const { stdout } = yield* Effect.promise(() =>
          promisify(execFile)(process.execPath, args, { env })
        )
        expect(stdout).toBe("hello\n")
      }).pipe(Effect.scoped)
  )

  it.live(
    "of a registry are trusted for its token server and storage, on its behalf and no other's",
    () =>
      Effect.gen(function* () {
        const { log, registry, tokens } = yield* registryWithOthers
        const other = yield* asking((_, __, response) =>
          response
            .writeHead(401, { "www-authenticate": `Bearer realm="https://${tokens}/token"` })
            .end()
        )
        // One set of connections for both: that it was made for the one does not help the other.
        const connections = yield* Layer.build(
          NodeHttp.layer({
            tls: { [registry]: yield* alice, [other]: { rejectUnauthorized: false } }
          })
        )
        const pull = (host: string) =>
          pullBlob.pipe(
            Effect.provide(RegistryClient.layer({ url: `https://${host}` })),
            Effect.provide([
              TokenCache.layerMemory,
              Credentials.layerAnonymous,
              Layer.succeedContext(connections)
            ])
          )
        expect(yield* pull(registry)).toBe("blob")
        expect(log).toEqual([
          "registry v2 alice",
          "tokens /token nobody",
          "registry v2 alice",
          "storage /b1 nobody"
        ])
        const refused = yield* Effect.flip(pull(other))
        expect(refused._tag).toBe("TransportFailure")
        expect(refused.message).toContain(
          `${untrusted}; its certificate is from an authority that is not trusted here`
        )
        expect(log.length).toBe(4)
      }).pipe(Effect.provide(Logger.remove(Logger.defaultLogger)), Effect.scoped)
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
      expect(yield* Effect.flip(get(host, { tls: settings("wrong") }))).toMatchObject({
        _tag: "CredentialsFailure"
      })
    }).pipe(Effect.scoped)
  )

  it.live(
    "go neither to storage nor to a token server on another port (T1, GHSA-h3wm-jjqf-8jm2)",
    () =>
      Effect.gen(function* () {
        const { ours } = yield* authorities
        const { log, registry } = yield* registryWithOthers
        const layer = NodeRegistry.layer({
          url: `https://${registry}`,
          http: { ca: [ours.cert], tls: { [registry]: yield* alice } }
        })
        expect(
          yield* Effect.provide(pullBlob, Layer.provide(layer, Credentials.layerAnonymous))
        ).toBe("blob")
        expect(log).toEqual([
          "registry v2 alice",
          "tokens /token nobody",
          "registry v2 alice",
          "storage /b1 nobody"
        ])
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

  it.live("is not what NODE_TLS_REJECT_UNAUTHORIZED says", () =>
    Effect.gen(function* () {
      const host = yield* serve(hello)
      yield* environment("NODE_TLS_REJECT_UNAUTHORIZED", "0")
      const { theirs } = yield* authorities
      expect(yield* refusal(host)).toBe(untrusted)
      expect(yield* refusal(host, { tls: { [host]: { ca: [theirs.cert] } } })).toBe(untrusted)
    }).pipe(Effect.scoped)
  )
})

describe("settings", () => {
  const prepared = (tls: Readonly<Record<string, TlsSettings.TlsSettings>>) =>
    TlsLookup.make({ tls, folders: [], ca: [] })

  it.effect.each([
    ["registry.example.com", "registry.example.com"],
    ["Registry.Example.com:443", "registry.example.com"],
    ["registry.example.com:5000", "registry.example.com:5000"],
    ["docker.io", "registry-1.docker.io"],
    ["[::1]:5000", "[::1]:5000"]
  ] as const)("of %s are those of %s", ([key, host]) =>
    Effect.gen(function* () {
      const lookup = yield* prepared({ [key]: { rejectUnauthorized: false } })
      expect(yield* lookup(host)).toEqual({ rejectUnauthorized: false })
      expect(yield* lookup(`${host}0`)).toEqual({ rejectUnauthorized: true })
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
      const failure = yield* Effect.flip(prepared({ [key]: {} }))
      expect(failure).toMatchObject({ source: "the TLS settings", problem: "a key is not a host" })
      expect(failure.message).toContain(JSON.stringify(key.replace("alice@", "***@")))
    })
  )

  it.effect("under two keys for one host fail, and name them", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(prepared({ "docker.io": {}, "index.docker.io:443": {} }))
      expect(failure).toMatchObject({
        _tag: "CredentialsFailure",
        source: "the TLS settings",
        problem: "two keys are the same host"
      })
      expect(failure.message).toContain('"index.docker.io:443" is the same host as "docker.io"')
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
          certificates: [
            {
              cert: (yield* authorities).ours.cert,
              key: Redacted.make((yield* authorities).theirs.key)
            }
          ]
        }
      ]
      for (const settings of cases) {
        const failure = yield* Effect.flip(prepared({ "registry.example.com": settings }))
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
