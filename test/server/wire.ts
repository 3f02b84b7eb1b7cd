/**
 * Requests and answers as they are on the wire, without any code of ours between the test and the
 * server.
 */
import { createHash } from "node:crypto"
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"

/** An answer without the header that every one has. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Sent {
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array | ReadableStream<Uint8Array>
}

export type Send = (method: string, path: string, sent?: Sent) => Effect.Effect<Answer>

const version = "docker-distribution-api-version"

/** Sends to `http://registry.test`, which is where the handler finds itself. */
export const sender =
  (handler: (request: Request) => Promise<Response>): Send =>
  (method, path, { body, headers = {} } = {}) =>
    Effect.promise(async () => {
      const response = await handler(
        new Request(`http://registry.test${path}`, {
          method,
          // A fetch body of text brings a content type of its own along.
          headers: { "content-type": "application/octet-stream", ...headers },
          ...(body !== undefined && { body, duplex: "half" })
        })
      )
      const { [version]: api, ...others } = Object.fromEntries(response.headers)
      expect(api).toBe("registry/2.0")
      return {
        status: response.status,
        headers: others,
        body: await response.text()
      }
    })

export const sha256 = (content: string | Uint8Array): string =>
  `sha256:${createHash("sha256").update(content).digest("hex")}`

export const sha512 = (content: string | Uint8Array): string =>
  `sha512:${createHash("sha512").update(content).digest("hex")}`
