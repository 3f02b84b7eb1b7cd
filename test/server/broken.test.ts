/** What a client sees of a blob that cannot be sent whole, although its length is announced. */
import * as Net from "node:net"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Registry } from "../../src/Registry.js"
import { TransportFailure } from "../../src/RegistryError.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"
import { sha256 } from "./wire.js"

const utf8 = (text: string) => new TextEncoder().encode(text)

/** A registry behind whose blob comes like this. */
const serving = (blob: Stream.Stream<Uint8Array, TransportFailure>) =>
  layerSocketServer().pipe(
    Layer.provide(
      Layer.effect(
        Registry,
        Effect.map(
          MemoryRegistry.make(),
          (registry): Registry.Service => ({
            ...registry,
            headBlob: (_, digest) =>
              Effect.succeedSome({ mediaType: "application/octet-stream", digest, size: 5 }),
            getBlob: () => blob,
            getBlobRange: () => blob
          })
        )
      )
    )
  )

const request = (line: string, ...headers: ReadonlyArray<string>) =>
  `${line} HTTP/1.1\r\nHost: a\r\n${headers.map((header) => `${header}\r\n`).join("")}\r\n`

/** Asks for the blob, and for something else on the same connection. */
const pulled = (...headers: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const port = Number(new URL(yield* ServerUrl).port)
    const received = yield* Effect.async<string>((resume) => {
      const socket = Net.connect(port, "127.0.0.1")
      let text = ""
      socket.setEncoding("latin1").on("data", (part) => {
        text += part
      })
      socket.on("error", () => undefined)
      socket.on("close", () => resume(Effect.succeed(text)))
      socket.write(request(`GET /v2/a/blobs/${sha256("hello")}`, ...headers) + request("GET /v2/"))
    })
    return received
      .split("HTTP/1.1 ")
      .slice(1)
      .map((response) => response.split("\r\n\r\n")[1])
  })

const reset = Stream.fail(new TransportFailure({ reason: "Reset" }))

it.live.each([
  ["breaks off", Stream.concat(Stream.make(utf8("hel")), reset)],
  ["ends too early", Stream.make(utf8("hel"))],
  ["goes on too long", Stream.make(utf8("hello"), utf8("HTTP/1.1 200 OK"))]
] as const)("a blob that %s closes its connection", ([, blob]) =>
  Effect.gen(function* () {
    for (const headers of [[], ["Range: bytes=0-4"]]) {
      const bodies = yield* pulled(...headers)
      expect(bodies.length).toBeLessThan(2)
      expect(["", "hel"]).toContain(bodies[0] ?? "")
    }
  }).pipe(Effect.provide(serving(blob)))
)
