/** Every measurement and every reference, each a function run alone in a process of its own: `task <name> <url>`. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import { request as httpRequest } from "node:http"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "effect-oci/BlobSource"
import * as Credentials from "effect-oci/Credentials"
import * as Digest from "effect-oci/Digest"
import { BlobFile, NodeRegistry } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import { Registry } from "effect-oci/Registry"
import * as Undici from "undici"
import { block, digestOf, manifest, size } from "./content.js"

export const uploadFile = Path.join(tmpdir(), "effect-oci-bench-upload")
const downloadFile = Path.join(tmpdir(), `effect-oci-bench-download-${process.pid}`)

interface Given {
  readonly url: string
  readonly digest: Digest.Digest
  readonly repository: Reference.RepositoryName
}

type Task = (given: Given) => Promise<void>

const registry =
  <A, E>(use: (registry: Registry.Service, given: Given) => Effect.Effect<A, E>): Task =>
  (given) =>
    Effect.runPromise(
      Effect.asVoid(Effect.flatMap(Registry, (registry) => use(registry, given))).pipe(
        Effect.provide(
          NodeRegistry.layer({ url: given.url, concurrency }).pipe(Layer.provide(Credentials.layerAnonymous))
        )
      )
    )

const bare =
  <A, E>(use: (client: HttpClient.HttpClient, given: Given) => Effect.Effect<A, E>): Task =>
  (given) =>
    Effect.runPromise(
      Effect.asVoid(
        Effect.flatMap(HttpClient.HttpClient, (client) =>
          use(
            HttpClient.withTracerDisabledWhen(client, () => true),
            given
          )
        )
      ).pipe(Effect.provide(bareClient))
    )

/** What Effect has for undici, told to keep its connections after a HEAD. */
const bareClient = NodeHttpClient.layerUndiciWithoutDispatcher.pipe(
  Layer.provide(
    Layer.sync(NodeHttpClient.Dispatcher, () => new Undici.Agent({ connections: concurrency, pipelining: 1 }))
  ),
  Layer.provideMerge(Layer.succeed(NodeHttpClient.UndiciRequestOptions, { path: "/", method: "HEAD", reset: false }))
)

const undici = async (
  _given: Given,
  concurrency: number,
  count: number,
  one: (client: Undici.Agent, n: number) => Promise<void>
) => {
  const agent = new Undici.Agent({ connections: concurrency, pipelining: 1 })
  let next = 0
  const worker = async () => {
    while (next < count) await one(agent, next++)
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  await agent.close()
}

const cleanup = () => Fs.rmSync(downloadFile, { force: true })

const bigBlob = (given: Given) => ({ mediaType: "application/octet-stream", digest: given.digest, size: size() })

const generated = (bytes: number) => (offset: number) =>
  Stream.unfold(offset, (at) => {
    const part = block.subarray(0, Math.min(block.length, bytes - at))
    return part.length === 0 ? Option.none() : Option.some([part, at + part.length])
  })

const blobUrl = ({ digest, url }: Given) => `${url}/v2/bench/blobs/${digest}`

const started = async (url: string): Promise<string> => {
  const response = await Undici.request(`${url}/v2/bench/blobs/uploads/`, { method: "POST" })
  await response.body.dump()
  return `${url}${response.headers["location"]}`
}

const run = (command: string, args: ReadonlyArray<string>) =>
  new Promise<void>((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] })
    child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))))
    child.once("error", reject)
  })

const small = 2000
const many = 5000
const concurrency = 16
const smallBytes = (n: number) => {
  const bytes = Buffer.from(block.subarray(0, 4096))
  bytes.writeUInt32LE(n)
  return bytes
}

const requests = (method: "HEAD" | "GET") =>
  bare((client, { url }) =>
    Effect.forEach(
      Array.from({ length: many }),
      () =>
        Effect.flatMap(
          client.execute(HttpClientRequest.make(method)(`${url}/v2/bench/manifests/latest`)),
          (response) => (method === "GET" ? response.arrayBuffer : Effect.void)
        ),
      { concurrency, discard: true }
    )
  )

export const tasks: Readonly<Record<string, Task>> = {
  "pull stream": registry((registry, given) => Stream.runDrain(registry.getBlob(given.repository, bigBlob(given)))),
  "pull stream, raw undici": async (given) => {
    const hash = createHash("sha256")
    const { body } = await Undici.request(blobUrl(given))
    for await (const bytes of body) hash.update(bytes)
    if (`sha256:${hash.digest("hex")}` !== given.digest) throw new Error("mismatch")
  },
  "pull stream, raw node:http": (given) =>
    new Promise((resolve, reject) => {
      const hash = createHash("sha256")
      httpRequest(blobUrl(given), (response) => {
        response.on("data", (bytes) => hash.update(bytes))
        response.on("end", () =>
          `sha256:${hash.digest("hex")}` === given.digest ? resolve() : reject(new Error("mismatch"))
        )
      }).end()
    }),
  "pull file": (given) =>
    registry((registry, given) => BlobFile.download(registry, given.repository, bigBlob(given), downloadFile))(
      given
    ).finally(cleanup),
  "pull file, undici to createWriteStream": async (given) => {
    const hash = createHash("sha256")
    const { body } = await Undici.request(blobUrl(given))
    await pipeline(
      body,
      async function* (source) {
        for await (const bytes of source) {
          hash.update(bytes)
          yield bytes
        }
      },
      Fs.createWriteStream(downloadFile)
    ).finally(cleanup)
    if (`sha256:${hash.digest("hex")}` !== given.digest) throw new Error("mismatch")
  },
  "push file, digest unknown": registry((registry, { repository }) =>
    Effect.flatMap(BlobFile.source(uploadFile), (source) => registry.putBlob(repository, source))
  ),
  "push file, digest known": registry((registry, { digest, repository }) =>
    Effect.flatMap(BlobFile.source(uploadFile), (source) =>
      registry.putBlob(repository, { ...source, digest: Option.some(digest) })
    )
  ),
  "push file, raw undici PUT that hashes": async (given) => {
    const hash = createHash("sha256")
    const hashed = async function* () {
      for await (const bytes of Fs.createReadStream(uploadFile, { highWaterMark: 1024 * 1024 })) {
        hash.update(bytes)
        yield bytes
      }
    }
    const response = await Undici.request(`${await started(given.url)}&digest=${given.digest}`, {
      method: "PUT",
      headers: { "content-length": String(size()), "content-type": "application/octet-stream" },
      body: Readable.from(hashed(), { highWaterMark: 1 })
    })
    await response.body.dump()
    if (`sha256:${hash.digest("hex")}` !== given.digest || response.statusCode !== 201) throw new Error("mismatch")
  },
  "push file, chunks of 8 MiB": registry((registry, { repository }) =>
    Effect.flatMap(BlobFile.source(uploadFile), (source) =>
      registry.putBlob(repository, source, { chunkSize: 8 * 1024 * 1024 })
    )
  ),
  "push generated": registry((registry, { repository }) =>
    registry.putBlob(repository, BlobSource.make(generated(size()), { size: size() }))
  ),
  "small blobs": registry((registry, { repository }) =>
    Effect.forEach(
      Array.from({ length: small }, (_, n) => n),
      (n) =>
        Effect.zipRight(
          registry.putBlob(repository, BlobSource.fromBytes(smallBytes(n))),
          Stream.runDrain(registry.getBlob(repository, Digest.fromBytes(block.subarray(0, 4096))))
        ),
      { concurrency, discard: true }
    )
  ),
  "small blobs, bare HttpClient": bare((client, { url }) =>
    Effect.forEach(
      Array.from({ length: small }, (_, n) => n),
      (n) =>
        Effect.gen(function* () {
          const bytes = smallBytes(n)
          const digest = Digest.fromBytes(bytes)
          yield* client.head(`${url}/v2/bench/blobs/${digest}`)
          const post = HttpClientRequest.post(`${url}/v2/bench/blobs/uploads/?digest=${digest}`, {
            body: HttpBody.uint8Array(bytes)
          })
          yield* (yield* client.execute(post)).arrayBuffer
          const response = yield* client.get(`${url}/v2/bench/blobs/${digestOf.small}`)
          createHash("sha256").update(new Uint8Array(yield* response.arrayBuffer)).digest()
        }),
      { concurrency, discard: true }
    )
  ),
  "small blobs, raw undici": (given) =>
    undici(given, concurrency, small, async (dispatcher, n) => {
      const bytes = smallBytes(n)
      const digest = Digest.fromBytes(bytes)
      await (
        await Undici.request(`${given.url}/v2/bench/blobs/${digest}`, { method: "HEAD", dispatcher, reset: false })
      ).body.dump()
      const post = await Undici.request(`${given.url}/v2/bench/blobs/uploads/?digest=${digest}`, {
        method: "POST",
        body: bytes,
        dispatcher
      })
      await post.body.dump()
      const { body } = await Undici.request(`${given.url}/v2/bench/blobs/${digestOf.small}`, { dispatcher })
      createHash("sha256")
        .update(Buffer.from(await body.arrayBuffer()))
        .digest()
    }),
  "manifest HEADs": registry((registry, { repository }) =>
    Effect.flatMap(Reference.parseTag("latest"), (tag) =>
      Effect.forEach(Array.from({ length: many }), () => registry.headManifest(repository, tag), {
        concurrency,
        discard: true
      })
    )
  ),
  "manifest HEADs, bare HttpClient": requests("HEAD"),
  "manifest GETs": registry((registry, { repository }) =>
    Effect.flatMap(Reference.parseTag("latest"), (tag) =>
      Effect.forEach(Array.from({ length: many }), () => registry.getManifest(repository, tag), {
        concurrency,
        discard: true
      })
    )
  ),
  "manifest GETs, bare HttpClient": requests("GET"),
  ...Object.fromEntries(
    (
      [
        ["oras", ["blob", "fetch", "--plain-http", "--output", downloadFile], ["blob", "push", "--plain-http"]],
        ["regctl", ["blob", "get"], ["blob", "put"]],
        ["crane", ["blob", "--insecure"], []]
      ] as const
    ).flatMap(([command, pull, push]) => [
      [
        `pull file, ${command}`,
        (given: Given) =>
          run("sh", [
            "-c",
            `"$0" "$@" ${command === "oras" ? "" : `> ${downloadFile}`}`,
            command,
            ...pull,
            `${given.url.slice(7)}/bench@${given.digest}`
          ]).finally(cleanup)
      ],
      [
        `push file, ${command}`,
        (given: Given) =>
          run("sh", [
            "-c",
            command === "regctl" ? `"$0" "$@" < ${uploadFile}` : `"$0" "$@" ${uploadFile}`,
            command,
            ...push,
            `${given.url.slice(7)}/bench`
          ])
      ]
    ])
  )
}

const [, , name = "", url = ""] = process.argv
const task = tasks[name]
if (url !== "" && task !== undefined) {
  const given = {
    url,
    digest: await Effect.runPromise(Digest.parse(process.env["BENCH_DIGEST"] ?? manifest.digest)),
    repository: await Effect.runPromise(Reference.parseRepositoryName("bench"))
  }
  const [cpu, at] = [process.cpuUsage(), performance.now()]
  await task(given)
  const { system, user } = process.cpuUsage(cpu)
  process.send?.({
    seconds: (performance.now() - at) / 1000,
    cpu: (system + user) / 1e6,
    memory: process.resourceUsage().maxRSS / 1024
  })
  process.exit()
}
