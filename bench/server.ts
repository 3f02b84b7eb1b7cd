/**
 * The other side of the measurements, in a process of its own: it answers reads from memory and throws away what is uploaded, so that it is never the
 * slower one. It speaks enough of the distribution API for one client at a time.
 */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { block, digestOf, manifest, size } from "./content.js"

const server = createServer((request, response) => {
  const url = request.url ?? "/"
  const answer = (status: number, headers: Record<string, string | number> = {}) => {
    request.resume()
    request.once("end", () => response.writeHead(status, { "content-length": 0, ...headers }).end())
    if (request.complete) response.writeHead(status, { "content-length": 0, ...headers }).end()
  }
  if (url === "/v2/") return void response.writeHead(200, { "content-length": 2 }).end("{}")
  if (url.includes("/manifests/")) {
    response.writeHead(200, {
      "content-type": manifest.mediaType,
      "content-length": manifest.bytes.length,
      "docker-content-digest": manifest.digest
    })
    return void (request.method === "HEAD" ? response.end() : response.end(manifest.bytes))
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
        response.writeHead(202, { location: `${path}session?at=0`, "content-length": 0 }).end()
      else if (request.method === "PATCH")
        response.writeHead(202, { location: `${path}?at=${total}`, range: `0-${total - 1}`, "content-length": 0 }).end()
      else response.writeHead(request.method === "PUT" ? 201 : 204, { location: path, "content-length": 0 }).end()
    })
    return
  }
  const length = Number(/size=(\d+)/.exec(url)?.[1] ?? (url.includes(digestOf.small) ? 4096 : size()))
  if (request.method === "HEAD") return answer(404)
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": length })
  if (length <= block.length) return void response.end(block.subarray(0, length))
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
server.keepAliveTimeout = 60_000
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.on("disconnect", () => process.exit())
