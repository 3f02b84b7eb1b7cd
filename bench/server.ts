/**
 * The other side of the measurements, in a process of its own: it answers reads from memory and
 * throws away what is uploaded, so that it is never the slower one. It speaks enough of the
 * distribution API for one client at a time, and counts its connections.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { block, image, largeDigest, manifest, prepare, size, small } from "./content.js"

const large = image
let connections = 0

const server = createServer((request, response) => {
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
  if (url === "/connections") return void response.end(String(connections))
  if (url === "/v2/") return void response.writeHead(200, { "content-length": 2 }).end("{}")
  if (url.includes("/manifests/")) {
    if (request.method === "PUT") return answer(201, { location: url })
    return document(url.endsWith("/image") ? large.manifest : manifest)
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
  if (url.endsWith(large.config.digest)) return document(large.config)
  const length = url.endsWith(small.digest) ? small.bytes.length : size
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": length })
  let left = length
  const write = (): void => {
    while (left > 0) {
      const part = left < block.length ? block.subarray(0, left) : block
      left -= part.length
      if (!response.write(part)) return void response.once("drain", write)
    }
    response.end()
  }
  write()
})
server.on("connection", () => connections++)
server.keepAliveTimeout = 60_000
server.listen(0, "127.0.0.1", () => {
  prepare()
  process.send?.({ port: (server.address() as AddressInfo).port, digest: largeDigest })
})
process.on("disconnect", () => process.exit())
