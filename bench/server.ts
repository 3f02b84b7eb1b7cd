/**
 * The other side of the measurements, in a process of its own: it answers reads from memory and
 * throws away what is uploaded, so that it is never the slower one. It speaks enough of the
 * distribution API for one client at a time, and counts its connections.
 */
import { createReadStream, statSync } from "node:fs"
import { createServer, type RequestListener } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo, Socket } from "node:net"
import { generate } from "selfsigned"
import {
  block,
  image,
  largeDigest,
  manifest,
  manyLayers,
  partBlock,
  partsArtifact,
  prepare,
  size,
  small
} from "./content.js"
import { makeFolder } from "./folder.js"
import { makeImages } from "./images.js"

const large = image

/** Images with layers to read, which take a minute to make, and a folder. */
const images = process.env["BENCH_IMAGES"] === undefined ? undefined : await makeImages()
const folder = process.env["BENCH_FOLDER"] === undefined ? undefined : makeFolder()
let connections = 0

const listen = (listener: RequestListener, port = 0) =>
  new Promise<number>((resolve) => {
    const server = createServer(listener)
    server.keepAliveTimeout = 60_000
    server.on("connection", () => connections++)
    server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })

/** The artifact of the parts, and which part has a digest. */
let partsMade: { readonly manifest: typeof manifest; readonly digests: Array<string> } | undefined
const ofParts = () => {
  if (partsMade === undefined) {
    const made = partsArtifact()
    const { layers } = JSON.parse(made.bytes.toString()) as { layers: Array<{ digest: string }> }
    partsMade = { manifest: made, digests: layers.map(({ digest }) => digest) }
  }
  return partsMade
}

const pageSize = 1000

/** One page of so many items, with a link to the next. */
const page = (url: URL, count: number, item: (n: number) => unknown) => {
  const from = Number(url.searchParams.get("from") ?? 0)
  const length = Math.min(pageSize, count - from)
  const items = Array.from({ length }, (_, n) => item(from + n))
  const isLast = from + pageSize >= count
  return {
    items,
    headers: isLast ? {} : { link: `<${url.pathname}?from=${from + pageSize}>; rel="next"` }
  }
}

/** What a connection gets of the blobs in the repository `limited`, in bytes per millisecond. */
const limit = 40_000
const dueTimes = new WeakMap<Socket, number>()

/** How long a connection has to wait, in milliseconds, before it may send so many bytes more. */
const wait = (socket: Socket, bytes: number): number => {
  const now = performance.now()
  const due = Math.max(now, dueTimes.get(socket) ?? 0)
  dueTimes.set(socket, due + bytes / limit)
  return due - now
}

const tagOf = (n: number) => `v${String(n).padStart(8, "0")}`

const listener: RequestListener = (request, response) => {
  const url = request.url ?? "/"
  const document = ({ bytes, digest, mediaType }: typeof manifest) => {
    response.writeHead(200, {
      "content-type": mediaType,
      "content-length": bytes.length,
      "docker-content-digest": digest
    })
    response.end(request.method === "HEAD" ? undefined : bytes)
  }
  const answer = (status: number, headers: Record<string, string | number> = {}) => {
    const end = () => response.writeHead(status, { "content-length": 0, ...headers }).end()
    if (request.complete) end()
    else request.resume().once("end", end)
  }
  const json = (value: unknown, mediaType: string, headers: Record<string, string> = {}) =>
    void response
      .writeHead(200, { "content-type": mediaType, ...headers })
      .end(JSON.stringify(value))
  const [, count = ""] = /^\/v2\/(?:tags|referrers)-(\d+)\//.exec(url) ?? []
  if (count !== "") {
    const asked = new URL(url, "http://bench")
    if (url.includes("/tags/list")) {
      const { headers, items } = page(asked, Number(count), tagOf)
      return json({ name: asked.pathname.split("/")[2], tags: items }, "application/json", headers)
    }
    const { headers, items } = page(asked, Number(count), (n) => ({
      mediaType: manifest.mediaType,
      digest: `sha256:${n.toString(16).padStart(64, "0")}`,
      size: 400,
      artifactType: "application/vnd.example.sbom.v1"
    }))
    const mediaType = "application/vnd.oci.image.index.v1+json"
    return json({ schemaVersion: 2, mediaType, manifests: items }, mediaType, headers)
  }
  if (url.startsWith("/listen?")) {
    const many = Number(url.split("=")[1])
    return void Promise.all(Array.from({ length: many }, () => listen(listener))).then((ports) =>
      json(ports, "application/json")
    )
  }
  if (url === "/connections") return void response.end(String(connections))
  if (url === "/v2/") return void response.writeHead(200, { "content-length": 2 }).end("{}")
  if (url.includes("/manifests/")) {
    if (request.method === "PUT") return answer(201, { location: url })
    const [, tag = ""] = /\/manifests\/([^/]+)$/.exec(url) ?? []
    const made = images?.manifests.get(tag) ?? folder?.manifests.get(tag)
    if (made !== undefined) return document(made)
    if (url.endsWith("/parts")) return document(ofParts().manifest)
    const [, layers = ""] = /\/layers-(\d+)$/.exec(url) ?? []
    if (layers !== "") return document(manyLayers(Number(layers)))
    const found = tag === "image" ? large.manifest : manifest
    return tag.startsWith("sha256:") && tag !== found.digest ? answer(404) : document(found)
  }
  if (url.includes("/blobs/uploads/")) {
    let received = 0
    request.on("data", (bytes: Buffer) => {
      received += bytes.length
    })
    request.on("end", () => {
      const path = url.split("?", 1)[0]
      const before = Number(new URLSearchParams(url.split("?")[1]).get("at") ?? 0)
      const total = before + received
      if (request.method === "POST" && url.includes("digest="))
        response.writeHead(201, { location: path, "content-length": 0 }).end()
      else if (request.method === "POST")
        response
          .writeHead(202, { location: `${path}session?at=0`, range: "0-0", "content-length": 0 })
          .end()
      else if (request.method === "PATCH")
        response
          .writeHead(202, {
            location: `${path}?at=${total}`,
            range: `0-${total - 1}`,
            "content-length": 0
          })
          .end()
      else
        response
          .writeHead(request.method === "PUT" ? 201 : 204, { location: path, "content-length": 0 })
          .end()
    })
    return
  }
  if (request.method === "HEAD") return answer(404)
  const asked = url.slice(url.lastIndexOf("/") + 1)
  const ofImage = images?.blobs.get(asked) ?? folder?.blobs.get(asked)
  if (typeof ofImage === "string") {
    response.writeHead(200, { "content-length": statSync(ofImage).size })
    return void createReadStream(ofImage, { highWaterMark: 1024 * 1024 }).pipe(response)
  }
  if (ofImage !== undefined) return document(ofImage)
  if (url.endsWith(large.config.digest)) return document(large.config)
  const part = partsMade?.digests.findIndex((digest) => url.endsWith(digest)) ?? -1
  const length =
    part >= 0
      ? Math.floor(size / ofParts().digests.length)
      : url.endsWith(small.digest)
        ? 4096
        : size
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? []
  const start = Number(from ?? 0)
  const end = to ? Number(to) + 1 : length
  const isLimited = url.startsWith("/v2/limited/")
  response.writeHead(from === undefined ? 200 : 206, {
    "content-type": "application/octet-stream",
    "content-length": end - start,
    ...(from !== undefined && { "content-range": `bytes ${start}-${end - 1}/${length}` })
  })
  let at = start
  const write = (): void => {
    while (at < end && !response.destroyed) {
      // Blocks of the blob, or what of one is left.
      const offset = at % block.length
      const bytes =
        part >= 0
          ? partBlock(part, at)
          : block.subarray(offset, Math.min(offset + end - at, block.length))
      at += bytes.length
      const isFull = !response.write(bytes)
      const pause = isLimited ? wait(request.socket, bytes.length) : 0
      if (pause > 1) return void setTimeout(write, pause)
      if (isFull) return void response.once("drain", write)
    }
    response.end()
  }
  write()
}

const port = await listen(listener)
const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], {
  keyType: "ec",
  algorithm: "sha256"
})
const tls = createTlsServer({ cert, key }, listener)
tls.keepAliveTimeout = 60_000
tls.listen(0, "127.0.0.1", () => {
  prepare()
  process.send?.({ port, tlsPort: (tls.address() as AddressInfo).port, digest: largeDigest })
})
process.on("disconnect", () => process.exit())
