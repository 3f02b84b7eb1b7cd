import * as Fs from "node:fs/promises"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as HttpClient from "@effect/platform/HttpClient"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as CertificateFolders from "../../src/node/CertificateFolders.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as Certificates from "../support/certificates.js"

/** A folder with these files, by path and content. */
const folder = (files: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const root = await Fs.mkdtemp(Path.join(tmpdir(), "effect-oci-certs-"))
      for (const [name, content] of Object.entries(files)) {
        await Fs.mkdir(Path.dirname(Path.join(root, name)), { recursive: true })
        await Fs.writeFile(Path.join(root, name), content)
      }
      return root
    }),
    (root) => Effect.promise(() => Fs.rm(root, { recursive: true }))
  )

it.effect("each host has its authorities and its pairs; what is neither is passed over", () =>
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
    expect(yield* CertificateFolders.read([root])).toEqual({
      "a-file": { ca: [], certificates: [] },
      "localhost:5000": { ca: ["ca c"], certificates: [] },
      "registry.example.com": {
        ca: ["ca a", "ca b"],
        certificates: [{ cert: "alice's certificate", key: Redacted.make("alice's key") }]
      }
    })
  }).pipe(Effect.scoped)
)

it.effect("a host is taken whole from the first folder that has it; missing folders are as empty", () =>
  Effect.gen(function* () {
    const first = yield* folder({ "one.test/ca.crt": "first" })
    const second = yield* folder({ "one.test/ca.crt": "second", "two.test/ca.crt": "second" })
    const settings = yield* CertificateFolders.read([Path.join(first, "missing"), first, second])
    expect(settings).toEqual({
      "one.test": { ca: ["first"], certificates: [] },
      "two.test": { ca: ["second"], certificates: [] }
    })
  }).pipe(Effect.scoped)
)

it.effect("a folder that this user may not enter is as empty", () =>
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
    expect(yield* CertificateFolders.read([root])).toEqual({})
  }).pipe(Effect.scoped)
)

it.effect.each([
  ["alice.cert", "alice.key"],
  ["alice.key", "alice.cert"]
] as const)("%s without its %s fails, and names both", ([present, missing]) =>
  Effect.gen(function* () {
    const root = yield* folder({ [`registry.example.com/${present}`]: "half" })
    const failure = yield* Effect.flip(CertificateFolders.read([root]))
    expect(failure).toMatchObject({
      _tag: "CredentialsFailure",
      source: Path.join(root, "registry.example.com", present),
      problem: `${missing} is missing beside it`
    })
  }).pipe(Effect.scoped)
)

it.effect("a file that cannot be read fails, and is named", () =>
  Effect.gen(function* () {
    const root = yield* folder({ "registry.example.com/ca.crt/is-a-folder": "" })
    const failure = yield* Effect.flip(CertificateFolders.read([root]))
    expect(failure).toMatchObject({
      _tag: "StorageFailure",
      path: Path.join(root, "registry.example.com/ca.crt")
    })
  }).pipe(Effect.scoped)
)

it.live("what is read opens connections", () =>
  Effect.gen(function* () {
    const ca = yield* Certificates.authority("ours")
    const alice = yield* Certificates.client(ca, "alice")
    const certificate = yield* Certificates.server(ca, "localhost")
    const server = yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>>((resume) => {
        const starting = createServer({ ...certificate, ca: ca.cert, requestCert: true }, (_, response) => {
          response.end("hello alice")
        })
        starting.listen(0, "127.0.0.1", () => resume(Effect.succeed(starting)))
      }),
      (running) => Effect.sync(() => running.close().closeAllConnections())
    )
    const host = `localhost:${(server.address() as AddressInfo).port}`
    const root = yield* folder({
      [`${host}/ca.crt`]: ca.cert,
      [`${host}/client.cert`]: alice.cert,
      [`${host}/client.key`]: alice.key
    })
    const tls = yield* CertificateFolders.read([root])
    const text = HttpClient.get(`https://${host}/`).pipe(
      Effect.flatMap((response) => response.text),
      Effect.scoped
    )
    expect(yield* Effect.provide(text, NodeHttp.layer({ tls }))).toBe("hello alice")
  }).pipe(Effect.scoped)
)
