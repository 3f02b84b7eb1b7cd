/**
 * The main job, end to end: `npm run demo -- [file] [--registry http://host:port] [--username name
 * --password-stdin]`. Without a registry it starts the embedded one, with token authentication, on
 * a free port of this machine; without a file it makes one of 64 MiB.
 */
import { createServer } from "node:http"
import { text } from "node:stream/consumers"
import { pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Artifact from "effect-oci/Artifact"
import * as Credentials from "effect-oci/Credentials"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import { BlobFile, NodeHttp } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import { Registries } from "effect-oci/Registries"
import * as RegistryClient from "effect-oci/RegistryClient"
import type {
  BlobUnknown,
  CommonError,
  ManifestUnknown,
  NameUnknown,
  Unsupported
} from "effect-oci/RegistryError"
import * as RegistryServer from "effect-oci/RegistryServer"
import * as ServerAuthorization from "effect-oci/ServerAuthorization"
import * as TokenCache from "effect-oci/TokenCache"
import * as Transfer from "effect-oci/Transfer"

const MiB = 1024 * 1024
const chunkSize = 8 * MiB
const artifactType = "application/vnd.effect-oci.demo.v1"

// -----------------------------------------------------------------------------
// The job
// -----------------------------------------------------------------------------

/** What the demo does with a file and the registry on a host. It needs nothing but `Registries`. */
export const job = Effect.fn("demo")(function* (host: string, path: string) {
  const reference = yield* Reference.parse(`${host}/effect-oci/demo:1.0.0`)
  const latest = yield* Reference.parseTag("latest")
  const { repository } = reference
  const registry = yield* (yield* Registries).get(host)

  yield* Console.log(
    `\nPush ${path} in chunks of ${inMiB(chunkSize)}, as ${Reference.format(reference)} and latest`
  )
  const source = yield* BlobFile.source(path)
  const pushed = yield* withProgress(
    Artifact.push(reference, {
      artifactType,
      files: [{ title: "demo.bin", source: { ...source, digest: undefined } }],
      tags: [latest],
      chunkSize
    })
  )
  yield* Console.log(`  pushed ${Reference.format(pushed.reference)}`)

  yield* Console.log("\nList the tags")
  const tags = yield* Stream.runCollect(registry.tags(repository))
  yield* Console.log(`  ${[...tags].join(", ")}`)

  yield* Console.log("\nPull it back")
  const pulled = yield* Artifact.pull(reference)
  for (const file of pulled.files) {
    yield* withProgress(Stream.runDrain(file.content))
    yield* Console.log(`  verified ${file.descriptor.digest}`)
  }

  yield* Console.log("\nPull it through a network that flips one byte")
  const corrupted = Layer.provide(RegistryClient.layerRegistries(), flippingOneByte)
  const error = yield* Effect.flip(
    Effect.provide(
      Effect.flatMap(Artifact.pull(pushed.reference), ({ files }) =>
        Effect.forEach(files, ({ content }) => Stream.runDrain(content))
      ),
      corrupted
    )
  )
  yield* Console.log(`  ${error._tag}: ${error.message}`)

  yield* Console.log("\nDelete it")
  const report = <
    E extends CommonError | ManifestUnknown | BlobUnknown | NameUnknown | Unsupported
  >(
    what: string,
    deletion: Effect.Effect<void, E>
  ) =>
    Effect.matchEffect(deletion, {
      onSuccess: () => Console.log(`  deleted ${what}`),
      onFailure: (error) =>
        error._tag === "Unsupported" || error._tag === "Denied"
          ? Console.log(`  not ${what}: ${error.message}`)
          : Effect.fail(error)
    })
  yield* report("the tag latest", registry.deleteTag(repository, latest))
  yield* report(
    "the manifest",
    registry.deleteManifest(repository, pushed.manifest.descriptor.digest)
  )
  for (const { descriptor } of pulled.files) {
    yield* report(`blob ${descriptor.digest}`, registry.deleteBlob(repository, descriptor.digest))
  }
  yield* Console.log("\nDone.")
})

/** The `HttpClient` in the environment, but for one bit in the middle of each blob it brings. */
const flippingOneByte = Layer.effect(
  HttpClient.HttpClient,
  Effect.map(HttpClient.HttpClient, (client) =>
    HttpClient.transformResponse(
      client,
      Effect.map((response) =>
        response.request.method === "GET" && /\/blobs\/sha256:/.test(response.request.url)
          ? HttpClientResponse.fromWeb(
              response.request,
              new Response(Stream.toReadableStream(flipped(response.stream)), {
                status: response.status,
                headers: response.headers
              })
            )
          : response
      )
    )
  )
)

const flipped = <E>(stream: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
  Stream.zipWithIndex(stream).pipe(
    Stream.map(([bytes, index]) => {
      if (index > 0) return bytes
      const copy = Uint8Array.from(bytes)
      copy[0] = (copy[0] ?? 0) ^ 1
      return copy
    })
  )

// -----------------------------------------------------------------------------
// What a person sees
// -----------------------------------------------------------------------------

/** On a terminal one line that changes; elsewhere a line for each quarter. */
const withProgress = <A, E, R>(program: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let quarter = 0
    const show = (subject: Transfer.Subject, offset: number) =>
      Effect.sync(() => {
        const { direction, size } = subject
        if (size === undefined || size < MiB) return
        const share = offset / size
        const line = `  ${direction} ${inMiB(offset)} of ${inMiB(size)}, ${Math.floor(100 * share)} %`
        if (process.stdout.isTTY) process.stdout.write(`\r${line}${offset === size ? "\n" : ""}`)
        else if (Math.floor(4 * share) > quarter) {
          quarter = Math.floor(4 * share)
          process.stdout.write(`${line}\n`)
        }
      })
    return Transfer.observe(program, (event) =>
      event._tag === "Bytes" ? show(event.subject, event.offset) : Effect.void
    )
  })

const inMiB = (bytes: number): string => `${(bytes / MiB).toFixed(1)} MiB`

// -----------------------------------------------------------------------------
// Where it runs
// -----------------------------------------------------------------------------

/** The embedded registry on a free port: its host, and credentials for it. */
const embedded = Effect.gen(function* () {
  const password = Redacted.make(crypto.randomUUID())
  const authorization = yield* ServerAuthorization.token({ users: { demo: password } })
  const server = yield* Layer.build(
    RegistryServer.layer({ authorization }).pipe(
      Layer.provide(MemoryRegistry.layer()),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
    )
  )
  const host = yield* Effect.provide(
    HttpServer.addressWith((address) =>
      Effect.succeed(address._tag === "TcpAddress" ? `127.0.0.1:${address.port}` : "")
    ),
    server
  )
  yield* Console.log(`The embedded registry listens on http://${host}, with token authentication`)
  return { host, url: `http://${host}`, username: "demo", password }
})

/** A file of random bytes, so that no two runs push the same blob; removed with the Scope. */
const generated = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const path = `${yield* files.makeTempDirectoryScoped({ prefix: "effect-oci-demo-" })}/demo.bin`
  const chunk = Effect.sync(() => {
    const bytes = new Uint8Array(MiB)
    for (let at = 0; at < MiB; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536))
    return bytes
  })
  yield* Stream.run(Stream.take(Stream.repeatEffect(chunk), 64), files.sink(path))
  return path
})

const main = Effect.gen(function* () {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      registry: { type: "string" },
      username: { type: "string" },
      "password-stdin": { type: "boolean" }
    }
  })
  const given = values.registry
  const target =
    given === undefined
      ? yield* embedded
      : {
          host: given.replace(/^https?:\/\//, "").replace(/\/$/, ""),
          url: given,
          username: values.username,
          password: values["password-stdin"]
            ? Redacted.make((yield* Effect.promise(() => text(process.stdin))).trimEnd())
            : undefined
        }
  const { host, password, url, username } = target
  const credentials =
    username === undefined || password === undefined
      ? Credentials.layerAnonymous
      : Credentials.layerBasic({ host, username, password })
  const services = Layer.mergeAll(NodeHttp.layer(), TokenCache.layerMemory, credentials)
  const registries = Layer.provideMerge(
    RegistryClient.layerRegistries({ hosts: { [host]: { url } } }),
    services
  )
  const path = positionals[0] ?? (yield* generated)
  yield* Effect.provide(job(host, path), registries)
}).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) NodeRuntime.runMain(main)
