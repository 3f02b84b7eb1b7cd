/** Registries that differ in how they take blobs: what the rows of section 3 are made of. */
import * as Effect from "effect/Effect"
import type { PutBlobOptions, Registry } from "../../../src/Registry.js"
import { status } from "../world.js"
import { app, type big, source } from "./content.js"
import { answers, type Quirk, rewrites, sets } from "./mock.js"

export const errors = (code: string, message?: string) =>
  JSON.stringify({ errors: [{ code, message }] })

export const put =
  (blob: typeof big, declares: "both" | "size" | "nothing" = "both", options?: PutBlobOptions) =>
  (registry: Registry.Service) =>
    registry.putBlob(app, source(blob, declares), options)
export const arrives = (blob: typeof big) => ({
  digest: blob.descriptor.digest,
  size: blob.bytes.length
})

export const looks = (blob: string) => `HEAD /v2/team/app/blobs/${blob}`
export const single = "POST /v2/team/app/blobs/uploads/?digest=tiny [12]"
export const opens = "POST /v2/team/app/blobs/uploads/"
export const upload = (session: number | string = 1) => `/v2/team/app/blobs/uploads/${session}`

export const mebibyte = 1024 * 1024

/** What the registry says of where an upload goes on. */
export const locations = (other: (location: string) => string): Quirk =>
  sets("", (headers) => {
    const location = headers.get("location") ?? ""
    return location.includes("/blobs/uploads/")
      ? { location: other(location.split("?", 1).join()) }
      : {}
  })

/**
 * Every answer has another state in its location, and no request is taken without the newest one.
 */
export const newestOnly =
  (parameter: string): Quirk =>
  (healthy) => {
    const newest = new Map<string, string>()
    let count = 0
    return (seen) => {
      const held = newest.get(seen.url.pathname)
      if (held !== undefined && !seen.url.search.includes(held))
        return Effect.succeed(status(416, errors("RANGE_INVALID")))
      return locations((location) => {
        // What a form would encode otherwise.
        const state = `?${parameter}=${++count}%2F+~!`
        newest.set(location, state)
        return location + state
      })(healthy)(seen)
    }
  }

/** A single POST is taken for one that opens a session. */
export const ignoresDigest = rewrites("POST Uploads", ({ headers, url }) => ({
  url: new URL(url.pathname, url),
  headers: { ...headers, "content-length": "0" },
  bytes: new Uint8Array()
}))

export const takesAtMost = (
  limit: number,
  refusal: () => Response,
  kind: "PATCH Upload" | "PATCH PUT Upload"
): Quirk => answers(kind, ({ bytes }) => (bytes.length > limit ? refusal() : undefined))

export const wholeBig = [looks("big"), opens, `PUT ${upload()}?digest=big [100000]`]
export const streamedBig = [opens, `PATCH ${upload()} [100000]`, `PUT ${upload()}?digest=big`]
