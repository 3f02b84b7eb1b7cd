/** The floor: the same work by undici, node:http and node:crypto alone. */
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import { request as httpRequest } from "node:http"
import * as Net from "node:net"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import * as Undici from "undici"
import { block, downloadFile, size, small as smallBlob, uploadFile } from "./content.js"
import {
  blobUrl,
  concurrency,
  concurrently,
  many,
  small,
  smallBytes,
  type Task,
  type Tasks
} from "./task.js"

const verified = (digest: string, expected: string): void => {
  if (`sha256:${digest}` !== expected) throw new Error("mismatch")
}

const repeated =
  (count: number, one: (dispatcher: Undici.Agent, url: string, n: number) => Promise<void>): Task =>
  async ({ url }) => {
    const agent = new Undici.Agent({ connections: concurrency, pipelining: 1 })
    await concurrently(Array(count).keys(), (n) => one(agent, url, n))
    await agent.close()
  }

const manifests = (method: "HEAD" | "GET"): Task =>
  repeated(many, async (dispatcher, url) => {
    const { body } = await Undici.request(`${url}/v2/bench/manifests/latest`, {
      method,
      dispatcher,
      reset: false
    })
    await body.arrayBuffer()
  })

export const tasks: Tasks = {
  "pull stream": async (given) => {
    const hash = createHash("sha256")
    const { body } = await Undici.request(blobUrl(given))
    for await (const bytes of body) hash.update(bytes)
    verified(hash.digest("hex"), given.digest)
  },
  "pull stream, node:http": (given) =>
    new Promise<void>((resolve, reject) => {
      const hash = createHash("sha256")
      httpRequest(blobUrl(given), (response) => {
        response.on("data", (bytes) => hash.update(bytes))
        response.on("end", () => {
          verified(hash.digest("hex"), given.digest)
          resolve()
        })
        response.on("error", reject)
      }).end()
    }),
  "pull file": async (given) => {
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
    ).finally(() => Fs.rmSync(downloadFile, { force: true }))
    verified(hash.digest("hex"), given.digest)
  },
  "push file": async ({ digest, url }) => {
    const hash = createHash("sha256")
    const hashed = async function* () {
      for await (const bytes of Fs.createReadStream(uploadFile, { highWaterMark: 1024 * 1024 })) {
        hash.update(bytes)
        yield bytes
      }
    }
    const session = await Undici.request(`${url}/v2/bench/blobs/uploads/`, { method: "POST" })
    await session.body.dump()
    const response = await Undici.request(`${url}${session.headers["location"]}&digest=${digest}`, {
      method: "PUT",
      headers: { "content-length": String(size), "content-type": "application/octet-stream" },
      body: Readable.from(hashed(), { highWaterMark: 1 })
    })
    await response.body.dump()
    verified(hash.digest("hex"), digest)
    if (response.statusCode !== 201) throw new Error("refused")
  },
  // No HTTP client at all: four blocks of a mebibyte in turn, hashed on the way, into one PATCH.
  "push file, socket": async ({ digest, url }) => {
    const hash = createHash("sha256")
    const { hostname, port } = new URL(url)
    const socket = Net.connect(Number(port), hostname)
    const file = await Fs.promises.open(uploadFile)
    const free = Array.from({ length: 4 }, () => Buffer.allocUnsafeSlow(block.length))
    let freed = () => {}
    const read = async (at: number) => {
      while (free.length === 0) await new Promise<void>((resolve) => (freed = resolve))
      return file.read(free.pop() ?? block, 0, block.length, at)
    }
    const request = (head: string) => {
      socket.write(`${head} HTTP/1.1\r\nhost: ${hostname}\r\n`)
      return new Promise<string>((resolve) => socket.once("data", (bytes) => resolve(`${bytes}`)))
    }
    const appended = request("PATCH /v2/bench/blobs/uploads/session?at=0")
    socket.write(`content-length: ${size}\r\n\r\n`)
    let reading = read(0)
    for (let at = 0; at < size; ) {
      const { buffer, bytesRead } = await reading
      at += bytesRead
      if (at < size) reading = read(at)
      hash.update(buffer.subarray(0, bytesRead))
      socket.write(buffer.subarray(0, bytesRead), () => {
        free.push(buffer)
        freed()
      })
    }
    await appended
    await file.close()
    const closed = request(`PUT /v2/bench/blobs/uploads/session?at=${size}&digest=${digest}`)
    socket.write("content-length: 0\r\n\r\n")
    if (!(await closed).includes(" 201 ")) throw new Error("refused")
    socket.destroy()
    verified(hash.digest("hex"), digest)
  },
  // Into one buffer, and from one: nothing is hashed, and no file read.
  "server sends": (given) =>
    new Promise<void>((resolve, reject) => {
      const { hostname, pathname, port } = new URL(blobUrl(given))
      let received = 0
      const buffer = Buffer.allocUnsafeSlow(block.length)
      const socket = Net.connect({
        host: hostname,
        port: Number(port),
        onread: {
          buffer,
          callback: (length) => {
            received += length
            return true
          }
        }
      })
      socket.once("error", reject)
      socket.once("close", () =>
        received > size ? resolve() : reject(new Error(`${received} bytes`))
      )
      socket.write(`GET ${pathname} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n`)
    }),
  "server receives": ({ url }) =>
    new Promise<void>((resolve, reject) => {
      const { hostname, port } = new URL(url)
      const socket = Net.connect(Number(port), hostname)
      socket.once("error", reject)
      socket.once("data", () => {
        socket.destroy()
        resolve()
      })
      socket.write(
        `PATCH /v2/bench/blobs/uploads/session?at=0 HTTP/1.1\r\nhost: bench\r\ncontent-length: ${size}\r\n\r\n`
      )
      let left = size
      const write = (): void => {
        while (left > 0) {
          const part = block.subarray(0, left)
          left -= part.length
          if (!socket.write(part)) return void socket.once("drain", write)
        }
      }
      write()
    }),
  // From memory that is used in turn, which undici is done with when it asks for the next block.
  "push file, chunks of 8 MiB": async ({ digest, url }) => {
    const chunkSize = 8 * block.length
    const hash = createHash("sha256")
    const session = await Undici.request(`${url}/v2/bench/blobs/uploads/`, { method: "POST" })
    await session.body.dump()
    let location = String(session.headers["location"])
    const file = await Fs.promises.open(uploadFile)
    const memory = Array.from({ length: 3 }, () => Buffer.allocUnsafeSlow(block.length))
    let turn = 0
    const read = (at: number) =>
      file.read(memory[turn++ % memory.length] ?? block, 0, block.length, at)
    let reading = read(0)
    const blocks = async function* (start: number, end: number) {
      for (let at = start; at < end; at += block.length) {
        const { buffer, bytesRead } = await reading
        reading = read(at + bytesRead)
        const bytes = buffer.subarray(0, bytesRead)
        hash.update(bytes)
        yield bytes
      }
    }
    for (let start = 0; start < size; start += chunkSize) {
      const end = Math.min(start + chunkSize, size)
      const { body, headers } = await Undici.request(url + location, {
        method: "PATCH",
        headers: {
          "content-length": String(end - start),
          "content-range": `${start}-${end - 1}`,
          "content-type": "application/octet-stream"
        },
        body: Readable.from(blocks(start, end), { highWaterMark: 1 })
      })
      await body.dump()
      location = String(headers["location"])
    }
    await reading
    await file.close()
    const response = await Undici.request(`${url}${location}&digest=${digest}`, { method: "PUT" })
    await response.body.dump()
    verified(hash.digest("hex"), digest)
    if (response.statusCode !== 201) throw new Error("refused")
  },
  "small blobs": repeated(small, async (dispatcher, url, n) => {
    const bytes = smallBytes(smallBlob.bytes, n)
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
    const head = { method: "HEAD", dispatcher, reset: false } as const
    await (await Undici.request(`${url}/v2/bench/blobs/${digest}`, head)).body.dump()
    const post = { method: "POST", body: bytes, dispatcher } as const
    await (
      await Undici.request(`${url}/v2/bench/blobs/uploads/?digest=${digest}`, post)
    ).body.dump()
    const { body } = await Undici.request(`${url}/v2/bench/blobs/${smallBlob.digest}`, {
      dispatcher
    })
    verified(
      createHash("sha256")
        .update(Buffer.from(await body.arrayBuffer()))
        .digest("hex"),
      smallBlob.digest
    )
  }),
  "manifest HEADs": manifests("HEAD"),
  "manifest GETs": manifests("GET")
}
