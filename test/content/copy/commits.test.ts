/**
 * Registries that take long to commit what they have got: the response to the request that closes
 * an upload is lost or late, and the same request is answered by 404 then, since its session is
 * gone. The blob is asked for before anything of it is sent again (CP20).
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Copy from "../../../src/content/Copy.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import type { Handler, Reply } from "../../support/fake/Handler.js"
import { blob, repository, v1 } from "../../support/graphs.js"
import { scripted } from "../../support/scripted.js"

const lost: Reply = "cut"
const late: Reply = { status: 504 }

/**
 * A registry that has a blob only once it was asked `isSlow` times for it in vain, and whose first
 * response to a request that closes an upload is `first`.
 */
const slowRegistry = (size: number, first: Reply, isSlow: number) => {
  const seen = { sent: 0, asked: 0, closed: false }
  const missing: Reply = { status: 404 }
  const isThere = () => seen.closed && seen.asked > isSlow
  const answer: Handler = ({ bytes, method, url }) => {
    const path = url.pathname
    seen.sent += path.includes("/manifests/") ? 0 : bytes.length
    if (path.includes("/manifests/")) {
      if (method !== "PUT") return missing
      return { status: 201, headers: { location: path } }
    }
    if (method === "HEAD") {
      if (seen.closed) seen.asked++
      return isThere() ? { status: 200, headers: { "content-length": `${size}` } } : missing
    }
    const closes = method === "PUT" || (method === "POST" && url.searchParams.has("digest"))
    if (seen.closed) return missing
    if (!closes) return { status: 202, headers: { location: "/upload" } }
    seen.closed = true
    return first
  }
  return { seen, answer }
}

/** Copies an artifact whose layer, of so many bytes, is its config as well. */
const copied = Effect.fnUntraced(function* (size: number, first: Reply, isSlow: number) {
  const source = yield* MemoryRegistry.make()
  const layer = yield* blob(source, MediaType.layerTar, new Uint8Array(size).fill(1))
  const manifest = Manifest.image({ artifactType: "a/b", config: layer, layers: [layer] })
  yield* source.putManifest(repository, manifest, { tags: [v1] })
  const { answer, seen } = slowRegistry(size, first, isSlow)
  const { registry, wire } = yield* scripted((request) => answer(request))
  const report = yield* Copy.between(
    { registry: source, repository, reference: v1 },
    { registry, repository }
  )
  const named = wire
    .filter((line) => !line.includes("/manifests/"))
    .map((line) => line.replace(/sha256(:|%3A)[0-9a-f]+/, "DIGEST"))
  return { report, wire: named, sent: seen.sent }
})

const head = "HEAD /v2/team/app/blobs/DIGEST"
const open = "POST /v2/team/app/blobs/uploads/"
const close = "PUT /upload?digest=DIGEST"

describe("CP20: a commit that is slow", () => {
  const rows: ReadonlyArray<readonly [string, number, number, ReadonlyArray<string>]> = [
    [
      "of a small blob, in one POST",
      1000,
      0,
      [head, "POST /v2/team/app/blobs/uploads/?digest=DIGEST", head]
    ],
    ["of a blob in the closing PUT", 100_000, 0, [head, open, close, head]],
    [
      "of such a blob that is there later",
      100_000,
      1,
      [head, open, close, head, "GET /upload", head]
    ],
    [
      "of a large blob, in an empty PUT",
      16 * 1024 * 1024,
      0,
      [head, open, "PATCH /upload", close, head]
    ],
    [
      "of such a blob that is there later",
      16 * 1024 * 1024,
      1,
      [head, open, "PATCH /upload", close, head, close, head]
    ]
  ]
  for (const [name, size, isSlow, requests] of rows)
    for (const [how, first] of [
      ["lost", lost],
      ["late", late]
    ] as const)
      it.live(`${name}: its response is ${how}, and its bytes are sent once`, () =>
        Effect.gen(function* () {
          const { report, sent, wire } = yield* copied(size, first, isSlow)
          expect(wire.filter((line) => !line.startsWith("DELETE "))).toEqual(requests)
          expect(sent).toBe(size)
          expect(report).toMatchObject({ ok: true, outcomes: [{ status: "copied" }] })
        })
      )
})
