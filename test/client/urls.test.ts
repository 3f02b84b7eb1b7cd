/**
 * URLs that a server names, on the wire: the query byte for byte as it was sent, all else as it was
 * judged (trap 7).
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { gather, utf8 } from "../support/fixtures.js"
import { serve } from "../support/serve.js"

const repository = Effect.runSync(Reference.parseRepositoryName("a"))
const content = utf8("content")
const digest = Digest.fromBytes(content)

/** What a URL parser escapes in a query, or could be thought to. */
const query = `x='a'+b~c%2fD%20"<>{}|^\`[]!*();:@,$&&x==?y/#`
const sent = query.slice(0, -1)

type Handler = (request: IncomingMessage, response: ServerResponse, url: string) => void

/** The request targets that reach a server, in order, while a registry is used. */
const wire = (
  handler: Handler,
  use: (registry: Registry.Service, url: string) => Effect.Effect<unknown, unknown>,
  password?: string
) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    let origin = ""
    const { url } = yield* serve((request, response) => {
      log.push(`${request.method} ${request.url} ${request.headers.authorization ?? "-"}`)
      request.resume()
      request.on("end", () => handler(request, response, origin))
    })
    origin = url.slice(0, -1)
    const credentials =
      password === undefined
        ? Credentials.layerAnonymous
        : Credentials.layerBasic({
            host: new URL(url).host,
            username: "alice",
            password: Redacted.make(password)
          })
    yield* Effect.provide(
      Effect.flatMap(Registry, (registry) => use(registry, origin)),
      RegistryClient.layer({ url: origin, retry: { attempts: 0 } }).pipe(
        Layer.provide([TokenCache.layerMemory, Layer.orDie(credentials), NodeHttp.layer()])
      )
    )
    return log
  }).pipe(Effect.scoped)

const blob = (response: ServerResponse) =>
  response.writeHead(200, { "content-length": content.length }).end(content)

describe("a query that a URL parser would write anew arrives as it was sent", () => {
  it.live.each([301, 302, 303, 307, 308])("after a redirect (%i)", (status) =>
    Effect.gen(function* () {
      const log = yield* wire(
        (request, response, origin) =>
          request.url?.startsWith("/v2/") === true
            ? response.writeHead(status, { location: `${origin}/x/../b%20c'd?${query}` }).end()
            : blob(response),
        (registry) => gather(registry.getBlob(repository, digest))
      )
      expect(log).toEqual([`GET /v2/a/blobs/${digest} -`, `GET /b%20c'd?${sent} -`])
    })
  )

  it.live.each(["", " ", "http:", "scheme"])("after a redirect that is written %s", (form) =>
    Effect.gen(function* () {
      const log = yield* wire(
        (request, response, origin) => {
          const location = {
            "": `/b?${query}`,
            " ": ` /b?${query} `,
            "http:": `${origin.replace("http:", "HTTP:")}/b?${query}`,
            scheme: `${origin.replace("http:", "")}/b?${query}`
          }[form]
          if (request.url?.startsWith("/v2/") === true) response.writeHead(307, { location }).end()
          else blob(response)
        },
        (registry) => gather(registry.getBlob(repository, digest))
      )
      expect(log).toEqual([`GET /v2/a/blobs/${digest} -`, `GET /b?${sent} -`])
    })
  )

  it.live("at the location of an upload, at its newest one, and when it is closed", () =>
    Effect.gen(function* () {
      const location = (step: number) => `/v2/a/blobs/uploads/x/../1?step=${step}&${query}`
      const log = yield* wire(
        (request, response) => {
          switch (request.method) {
            case "HEAD":
              return response.writeHead(404).end()
            case "POST":
              return response.writeHead(202, { location: location(1) }).end()
            case "PATCH":
              return response.writeHead(202, { location: location(2) }).end()
            default:
              return response.writeHead(201).end()
          }
        },
        (registry) =>
          registry.putBlob(
            repository,
            BlobSource.make(() => Stream.make(content))
          )
      )
      const session = (step: number) => `/v2/a/blobs/uploads/1?step=${step}&${sent}`
      expect(log).toEqual([
        "POST /v2/a/blobs/uploads/ -",
        `PATCH ${session(1)} -`,
        `PUT ${session(2)}&digest=${encodeURIComponent(digest)} -`
      ])
    })
  )

  it.live("to the next page of a list", () =>
    Effect.gen(function* () {
      const next = query.replace(/[<>]/g, "")
      const log = yield* wire(
        (request, response) => {
          const first = request.url?.includes("x=") !== true
          response
            .writeHead(200, first ? { link: `</v2/a/./tags/list?${next}>; rel="next"` } : {})
            .end(`{"tags":["${first ? "v1" : "v2"}"]}`)
        },
        (registry) => Stream.runDrain(registry.tags(repository))
      )
      expect(log).toEqual(["GET /v2/a/tags/list -", `GET /v2/a/tags/list?${next.slice(0, -1)} -`])
    })
  )

  const realms: ReadonlyArray<
    readonly [name: string, realm: (origin: string) => string, path: string]
  > = [
    ["absolute", (origin) => `${origin}/token?${query}`, "/token"],
    ["relative", () => `/token?${query}`, "/token"],
    ["with spaces around it", (origin) => `  ${origin}/token?${query} `, "/token"],
    ["with dots in its path", (origin) => `${origin}/x/../%2e/token?${query}`, "/token"]
  ]
  for (const [name, realm, path] of realms)
    it.live(`to a token server, its realm ${name}`, () =>
      Effect.gen(function* () {
        const basic = `Basic ${Buffer.from("alice:hunter2").toString("base64")}`
        const log = yield* wire(
          (request, response, origin) => {
            if (request.url?.startsWith("/token") === true)
              response.writeHead(200).end('{"token":"t0ken"}')
            else if (request.headers.authorization === undefined)
              response
                .writeHead(401, {
                  "www-authenticate": `Bearer realm="${realm(origin).replaceAll('"', '\\"')}"`
                })
                .end()
            else blob(response)
          },
          (registry) => gather(registry.getBlob(repository, digest)),
          "hunter2"
        )
        expect(log).toEqual([
          `GET /v2/a/blobs/${digest} -`,
          `GET ${path}?${sent}&client_id=effect-oci&account=alice&scope=repository%3Aa%3Apull ${basic}`,
          `GET /v2/a/blobs/${digest} Bearer t0ken`
        ])
      })
    )

  it.live("a realm that ends in a space is requested as it was judged", () =>
    Effect.gen(function* () {
      const log = yield* wire(
        (request, response, origin) => {
          if (request.url?.startsWith("/token") === true)
            response.writeHead(200).end('{"token":"t0ken"}')
          else if (request.headers.authorization === undefined)
            response.writeHead(401, { "www-authenticate": `Bearer realm="${origin}/token "` }).end()
          else blob(response)
        },
        (registry) => gather(registry.getBlob(repository, digest))
      )
      expect(log).toEqual([
        `GET /v2/a/blobs/${digest} -`,
        "GET /token?client_id=effect-oci&scope=repository%3Aa%3Apull -",
        `GET /v2/a/blobs/${digest} Bearer t0ken`
      ])
    })
  )
})
