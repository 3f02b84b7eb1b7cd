/**
 * Memory does not grow with the blob, and a slow registry slows the source: idea 5 of the design,
 * measured.
 */
import { type ChildProcess, fork } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, beforeAll, expect, it } from "@effect/vitest"
import { program } from "../support/program.js"

const MiB = 1024 * 1024
const size = 512 * MiB
const pauseAt = 64 * MiB

let received = 0
let resume = () => {}
const hash = createHash("sha256")
let paused: () => void
const isPaused = new Promise<void>((resolve) => {
  paused = resolve
})

/** Takes one upload, and stops reading it for a while after 64 MiB. */
const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
  for await (const bytes of request) {
    hash.update(bytes)
    received += bytes.length
    if (received >= pauseAt && received - bytes.length < pauseAt) {
      const resumed = new Promise<void>((resolve) => {
        resume = resolve
      })
      paused()
      await resumed
    }
  }
  const status = { POST: 202, PATCH: 202, PUT: 201 }[request.method ?? ""] ?? 404
  response.writeHead(status, { location: "/v2/a/b/blobs/uploads/1", "content-length": 0 }).end()
})
let child: ChildProcess

/** What the child says next. It is a failure if it ends instead. */
const told = async () => {
  const ended = once(child, "exit").then(([code]) =>
    Promise.reject(new Error(`the upload ended with ${code}`))
  )
  return (await Promise.race([once(child, "message"), ended]))[0]
}

beforeAll(async () => {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  child = fork(await program("test/client/fixtures/upload.ts"), [
    `http://127.0.0.1:${port}`,
    `${size}`
  ])
})

afterAll(() => {
  child.kill("SIGKILL")
  server.close()
})

it("uploads 512 MiB with less than 100 MB of heap, no faster than the registry reads", async () => {
  await Promise.race([isPaused, told()])
  // Whatever is made while the registry does not read must be in some buffer: ask until no more
  // comes.
  let made = 0
  for (let last = -1; made !== last; ) {
    last = made
    await new Promise((resolve) => setTimeout(resolve, 300))
    child.send("made?")
    made = (await told()).made
  }
  expect(made).toBeGreaterThanOrEqual(pauseAt)
  // The kernel's buffers for a socket on loopback grow to tens of mebibytes: what matters is that
  // most of the blob waits.
  expect(made).toBeLessThan(pauseAt + 128 * MiB)

  resume()
  const result = await told()
  expect(result).toMatchObject({ size, digest: `sha256:${hash.digest("hex")}` })
  expect(received).toBe(size)
  expect(result.heapUsed).toBeLessThan(100e6)
  expect(result.external).toBeLessThan(100e6)
})
