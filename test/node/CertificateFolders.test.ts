import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as CertificateFolders from "../../src/node/CertificateFolders.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registry } from "../../src/Registry.js"
import * as Certificates from "../support/certificates.js"
import {
  alice,
  asking,
  authorities,
  bodyOf,
  get,
  hello,
  pullBlob,
  refusal,
  registryWithOthers,
  serve,
  untrusted
} from "../support/https.js"
import { environment, folder } from "../support/machine.js"

const write = (path: string, content: string) => Effect.promise(() => Fs.writeFile(path, content))

/** What a folder has for a host: its authorities, or nothing. */
const authoritiesOf = (folders: ReadonlyArray<string>, host: string) =>
  Effect.map(
    CertificateFolders.find(folders, host),
    Option.map(({ settings }) => settings.ca)
  )

describe("a folder", () => {
  it.effect("has the authorities and the pairs of a host; what is neither is passed over", () =>
    Effect.gen(function* () {
      const root = yield* folder({
        "registry.example.com/b.crt": "ca b",
        "registry.example.com/a.crt": "ca a",
        "registry.example.com/alice.cert": "alice's certificate",
        "registry.example.com/alice.key": "alice's key",
        "registry.example.com/README.md": "passed over",
        "localhost:5000/ca.crt": "ca c",
        "no host/ca.crt": "passed over",
        "a-file": "passed over"
      })
      expect(yield* CertificateFolders.find([root], "registry.example.com")).toEqual(
        Option.some({
          folder: Path.join(root, "registry.example.com"),
          settings: {
            ca: ["ca a", "ca b"],
            certificates: [{ cert: "alice's certificate", key: Redacted.make("alice's key") }]
          }
        })
      )
      expect(yield* authoritiesOf([root], "localhost:5000")).toEqual(Option.some(["ca c"]))
      for (const host of ["localhost", "localhost:443", "example.com", "a-file"])
        expect(yield* authoritiesOf([root], host)).toEqual(Option.none())
    }).pipe(Effect.scoped)
  )

  it.effect(
    "may be named for the host with the port of https, or for Docker Hub by any of its names",
    () =>
      Effect.gen(function* () {
        const root = yield* folder({
          "Registry.example.com:443/ca.crt": "ca a",
          "docker.io/ca.crt": "ca b"
        })
        expect(yield* authoritiesOf([root], "registry.example.com")).toEqual(Option.some(["ca a"]))
        expect(yield* authoritiesOf([root], "registry-1.docker.io")).toEqual(Option.some(["ca b"]))
      }).pipe(Effect.scoped)
  )

  it.effect(
    "is the first that has the host, which is taken whole; missing ones, and files, are as empty",
    () =>
      Effect.gen(function* () {
        const first = yield* folder({ "one.test/ca.crt": "first", "two.test": "a file" })
        const second = yield* folder({ "one.test/ca.crt": "second", "two.test/ca.crt": "second" })
        const folders = [Path.join(first, "missing"), Path.join(first, "two.test"), first, second]
        expect(yield* authoritiesOf(folders, "one.test")).toEqual(Option.some(["first"]))
        expect(yield* authoritiesOf(folders, "two.test")).toEqual(Option.some(["second"]))
      }).pipe(Effect.scoped)
  )

  it.effect("that this user may not enter is as empty", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "registry.example.com/ca.crt": "ca" })
      yield* Effect.promise(() => Fs.chmod(root, 0))
      // Nothing is closed to root, as whom tests run in containers.
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const user = process.geteuid?.()
          if (user === 0) process.seteuid?.(65_534)
          return user
        }),
        (user) =>
          Effect.sync(() => {
            if (user === 0) process.seteuid?.(0)
          })
      )
      expect(yield* authoritiesOf([root], "registry.example.com")).toEqual(Option.none())
    }).pipe(Effect.scoped)
  )

  it.effect.each([
    ["alice.cert", "alice.key"],
    ["alice.key", "alice.cert"]
  ] as const)(
    "with %s and without its %s fails, and names both; other hosts do not",
    ([present, missing]) =>
      Effect.gen(function* () {
        const root = yield* folder({
          [`registry.example.com/${present}`]: "half",
          "other.test/ca.crt": "ca"
        })
        expect(yield* Effect.flip(authoritiesOf([root], "registry.example.com"))).toMatchObject({
          _tag: "CredentialsFailure",
          source: Path.join(root, "registry.example.com", present),
          problem: `${missing} is missing beside it`
        })
        expect(yield* authoritiesOf([root], "other.test")).toEqual(Option.some(["ca"]))
      }).pipe(Effect.scoped)
  )

  it.effect("with a file that cannot be read fails, and names it", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "registry.example.com/ca.crt/is-a-folder": "" })
      expect(yield* Effect.flip(authoritiesOf([root], "registry.example.com"))).toMatchObject({
        _tag: "CredentialsFailure",
        source: Path.join(root, "registry.example.com/ca.crt"),
        problem: "it cannot be read (EISDIR)"
      })
    }).pipe(Effect.scoped)
  )
})

describe("by default", () => {
  it.effect(
    "the folders are those of podman and Docker, with and without root, the user's own first",
    () =>
      Effect.gen(function* () {
        yield* environment("HOME", "/home/alice")
        yield* environment("XDG_CONFIG_HOME", "")
        expect(CertificateFolders.defaultFolders()).toEqual([
          "/home/alice/.config/containers/certs.d",
          "/home/alice/.config/docker/certs.d",
          "/home/alice/.docker/certs.d",
          "/etc/containers/certs.d",
          "/etc/docker/certs.d"
        ])
        yield* environment("XDG_CONFIG_HOME", "/config")
        expect(CertificateFolders.defaultFolders()[1]).toBe("/config/docker/certs.d")
      }).pipe(Effect.scoped)
  )

  it.live(
    "a host is met as they say, unless other folders are named, or none, or settings for this host",
    () =>
      Effect.gen(function* () {
        const { ours, theirs } = yield* authorities
        const host = yield* asking()
        const [{ cert, key }] = (yield* alice).certificates as [
          { cert: string; key: Redacted.Redacted }
        ]
        const home = yield* folder({
          [`.config/containers/certs.d/${host}/ca.crt`]: ours.cert,
          [`.config/containers/certs.d/${host}/client.cert`]: cert,
          [`.config/containers/certs.d/${host}/client.key`]: Redacted.value(key)
        })
        const others = yield* folder({ [`${host}/ca.crt`]: ours.cert })
        yield* environment("HOME", home)
        expect(yield* get(host)).toBe("alice")
        expect(yield* get(host, { certificateFolders: [others] })).toBe("nobody")
        expect(yield* refusal(host, { certificateFolders: [] })).toBe(untrusted)
        expect(yield* refusal(host, { tls: { [host]: { ca: [theirs.cert] } } })).toBe(untrusted)
        expect(yield* refusal(yield* serve(hello))).toBe(untrusted)
      }).pipe(Effect.scoped)
  )

  it.live(
    "a registry is pulled from as by docker, its token server and storage of one authority",
    () =>
      Effect.gen(function* () {
        const { log, registry } = yield* registryWithOthers
        const home = yield* folder({
          [`.docker/certs.d/${registry}/ca.crt`]: (yield* authorities).ours.cert
        })
        yield* environment("HOME", home)
        const layer = NodeRegistry.layer({
          url: registry.replace("localhost", "https://localhost")
        })
        expect(
          yield* Effect.provide(pullBlob, Layer.provide(layer, Credentials.layerAnonymous))
        ).toBe("blob")
        expect(log).toEqual([
          "registry v2 nobody",
          "tokens /token nobody",
          "registry v2 nobody",
          "storage /b1 nobody"
        ])
      }).pipe(Effect.scoped)
  )
})

describe("a process that goes on", () => {
  const certificateOf = (name: string) =>
    Effect.flatMap(authorities, ({ ours }) => Certificates.client(ours, name))

  it.live("takes certificates that were renewed, once its connections are gone", () =>
    Effect.gen(function* () {
      // A server that closes its connections.
      const host = yield* asking((name, _, response) =>
        response.setHeader("connection", "close").end(name)
      )
      const first = yield* certificateOf("first")
      const root = yield* folder({
        [`${host}/ca.crt`]: (yield* authorities).ours.cert,
        [`${host}/client.cert`]: first.cert,
        [`${host}/client.key`]: first.key
      })
      const options = { certificateFolders: [root] }
      const name = Effect.provide(bodyOf(host), yield* Layer.build(NodeHttp.layer(options)))
      expect(yield* name).toBe("first")
      const second = yield* certificateOf("second")
      yield* write(Path.join(root, host, "client.cert"), second.cert)
      yield* write(Path.join(root, host, "client.key"), second.key)
      expect(yield* Effect.repeat(name, { until: (name) => name !== "first", times: 100 })).toBe(
        "second"
      )
    }).pipe(Effect.scoped)
  )

  it.live(
    "fails with what is wrong, which is not tried again, and goes on when that is put right",
    () =>
      Effect.gen(function* () {
        const host = yield* serve((_, response) => response.end("{}"))
        const root = yield* folder({ [`${host}/client.cert`]: "hunter2" })
        const layer = NodeRegistry.layer({
          url: `https://${host}`,
          http: { certificateFolders: [root] }
        })
        yield* Effect.gen(function* () {
          const { ping } = yield* Registry
          const failure = yield* Effect.flip(ping)
          expect(failure.message).toBe(
            `Credentials from ${root}/${host}/client.cert: client.key is missing beside it. A client certificate is a pair of .cert and .key; certificates of authorities end in .crt`
          )
          yield* write(Path.join(root, host, "client.key"), "hunter2")
          const broken = yield* Effect.flip(ping)
          expect(broken).toMatchObject({
            _tag: "CredentialsFailure",
            source: Path.join(root, host)
          })
          expect(broken.message).not.toContain("hunter2")
          yield* Effect.promise(() => Fs.rm(Path.join(root, host), { recursive: true }))
          yield* Effect.promise(() => Fs.mkdir(Path.join(root, host)))
          yield* write(Path.join(root, host, "ca.crt"), (yield* authorities).ours.cert)
          yield* ping
        }).pipe(Effect.provide(Layer.provide(layer, Credentials.layerAnonymous)))
      }).pipe(Effect.scoped)
  )
})
