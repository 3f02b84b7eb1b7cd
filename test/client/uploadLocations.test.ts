/**
 * Where the steps of an upload go, over sockets: the registry, a host that uploads may go to, and a
 * stranger, each on an origin of its own, with all that came to any of them.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import type { UploadState } from "../../src/Transfer.js"
import { askedClientOf } from "../support/fake/Client.js"
import { basic, guarded, type Parts, type Seen } from "../support/fake/Handler.js"
import { namedOrigin } from "../support/fake/Sockets.js"
import { items, utf8 } from "../support/fixtures.js"

const repository = Effect.runSync(Reference.parseRepositoryName("team/app"))
const hello = utf8("hello, world")
const digest = Digest.fromBytes(hello)
const source = BlobSource.fromStream(Stream.make(hello))

/** Paths that a stranger would like to have written with the credentials of the registry. */
const victim = "/v2/victim/manifests/latest"

/** A registry that sends uploads to `uploads`, which does as it is told. */
const world = Effect.fnUntraced(function* (
  uploads: (request: Seen, registry: string) => Parts,
  registry: (request: Seen, uploads: string) => Parts = (_, uploads) => ({
    status: 202,
    headers: { location: `${uploads}/u` }
  }),
  open: Readonly<Record<string, Parts>> = {}
) {
  const log: Array<string> = []
  const place = { registry: "", uploads: "" }
  place.uploads = yield* namedOrigin("uploads", log, (request) => uploads(request, place.registry))
  const secured = guarded((request) =>
    request.line === "GET /v2/" ? { status: 200 } : registry(request, place.uploads)
  )
  place.registry = yield* namedOrigin(
    "registry",
    log,
    (request) => open[request.line] ?? secured(request)
  )
  const client = yield* askedClientOf(place.registry, {
    headers: { "x-tenant": "blue" },
    trust: {
      // That the registry is listed permits nothing more.
      allowUploads: [new URL(place.uploads).host, new URL(place.registry).host],
      allowStorage: [new URL(place.uploads).host]
    }
  })
  log.length = 0
  return { client, log, ...place }
})

const opening = `registry POST /v2/team/app/blobs/uploads/ ${basic}`

describe("an origin that uploads may go to", () => {
  it.scoped("gets content and no credentials, and may send on within itself", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(({ line }) =>
        line.startsWith("PATCH") ? { status: 202, headers: { location: "/u/2" } } : { status: 201 }
      )
      yield* client.putBlob(repository, source)
      expect(log).toEqual([
        opening,
        "uploads PATCH /u - [12]",
        `uploads PUT /u/2?digest=${digest.replace(":", "%3A")} -`
      ])
    })
  )

  it.scoped.each([
    ["a chunk", 202],
    ["a status", 204]
  ] as const)("does not choose what is done at the registry, by the location of %s", ([, status]) =>
    Effect.gen(function* () {
      const { client, log, registry } = yield* world((_, registry) => ({
        status,
        headers: { location: `${registry}${victim}` }
      }))
      const error = yield* Effect.flip(
        Effect.scoped(
          Effect.flatMap(client.startUpload(repository), (session) =>
            status === 204 ? session.status : session.write(hello)
          )
        )
      )
      expect(error).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Upload",
        host: new URL(registry).host
      })
      expect(log.filter((line) => line.startsWith("registry"))).toEqual([opening])
      expect(log.at(-1)).toBe("uploads DELETE /u -")
    })
  )

  it.scoped.each([307, 308, 301, 302])(
    "does not send a body on to the registry with a %s",
    (status) =>
      Effect.gen(function* () {
        const { client, log } = yield* world((_, registry) => ({
          status,
          headers: { location: `${registry}${victim}` }
        }))
        expect(yield* Effect.flip(client.putBlob(repository, source))).toMatchObject({
          _tag: "UntrustedLocation",
          kind: "Redirect"
        })
        expect(log.filter((line) => line.startsWith("registry"))).toEqual([opening])
      })
  )

  it.scoped("does not get the upload moved by a redirect to what the registry answers", () =>
    Effect.gen(function* () {
      const elsewhere = "/v2/victim/blobs/uploads/1"
      const { client, log } = yield* world(
        (_, registry) => ({ status: 307, headers: { location: `${registry}${elsewhere}` } }),
        (_, uploads) => ({ status: 202, headers: { location: `${uploads}/u` } }),
        // What anyone may read without a password.
        { [`GET ${elsewhere}`]: { status: 204, headers: { location: elsewhere } } }
      )
      const error = yield* Effect.flip(
        Effect.scoped(Effect.flatMap(client.startUpload(repository), ({ status }) => status))
      )
      expect(error).toMatchObject({ _tag: "UntrustedLocation", kind: "Upload" })
      expect(log.slice(0, 3)).toEqual([opening, "uploads GET /u -", `registry GET ${elsewhere} -`])
      expect(log.slice(3).filter((line) => line.startsWith("registry"))).toEqual([])
    })
  )
})

describe("storage that a request is redirected to", () => {
  it.scoped("names no location at the registry", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        (_, registry) => ({ status: 202, headers: { location: `${registry}${victim}` } }),
        (_, uploads) => ({ status: 307, headers: { location: `${uploads}/stored` } })
      )
      expect(yield* Effect.flip(client.putBlob(repository, source))).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Upload"
      })
      expect(log).toEqual([opening, "uploads POST /stored -"])
    })
  )

  it.scoped("names no next page there either", () =>
    Effect.gen(function* () {
      const { client, log } = yield* world(
        (_, registry) => ({
          status: 200,
          headers: { link: `<${registry}/v2/victim/tags/list>; rel="next"` },
          body: '{"tags":["v1"]}'
        }),
        (_, uploads) => ({ status: 307, headers: { location: `${uploads}/list` } })
      )
      expect(yield* Effect.flip(items(client.tags(repository)))).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Link"
      })
      expect(log).toEqual([`registry GET /v2/team/app/tags/list ${basic}`, "uploads GET /list -"])
    })
  )
})

describe("a state from another process", () => {
  const resumed = Effect.fnUntraced(function* (locate: (uploads: string) => string) {
    const { client, log, uploads } = yield* world(
      () => ({ status: 204, headers: { range: "0-4" } }),
      () => ({ status: 204, headers: { range: "0-4" } })
    )
    const state: UploadState = { repository, location: locate(uploads), offset: 5 }
    const result = yield* Effect.either(
      Effect.scoped(Effect.flatMap(client.resumeUpload(state), ({ detach }) => detach))
    )
    return { log, result }
  })

  it.scoped.each([
    ["at another host", () => "http://evil.example/u"],
    [
      "at another port",
      (uploads: string) => `http://127.0.0.1:${Number(new URL(uploads).port) ^ 1}/u`
    ],
    ["with a password", (uploads: string) => uploads.replace("://", "://alice:secret@")],
    ["of another scheme", () => "ftp://evil.example/u"],
    ["that is ambiguous", () => "/\\evil.example/u"],
    ["relative to a host", () => "//evil.example/u"],
    ["blank", () => " "],
    ["without a path", () => "#1"]
  ] as const)("is asked for nothing where its location is one %s", ([, locate]) =>
    Effect.gen(function* () {
      const { log, result } = yield* resumed(locate)
      expect(result).toMatchObject({ left: { _tag: "UntrustedLocation", kind: "Upload" } })
      expect(log).toEqual([])
    })
  )

  it.scoped.each([
    ["an allowed host", (uploads: string) => `${uploads}/u`, "uploads GET /u -"],
    [
      "a path of the registry",
      () => "/v2/team/app/blobs/uploads/1?_state=x",
      `registry GET /v2/team/app/blobs/uploads/1?_state=x ${basic}`
    ]
  ] as const)("goes on at %s", ([, locate, line]) =>
    Effect.gen(function* () {
      const { log, result } = yield* resumed(locate)
      expect(result).toMatchObject({ right: { offset: 5 } })
      expect(log).toEqual([line])
    })
  )
})
