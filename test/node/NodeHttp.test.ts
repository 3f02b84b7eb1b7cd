import type { RequestListener } from "node:http"
import { gzipSync } from "node:zlib"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import { expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { RegistryOrigin } from "../../src/client/http/RegistryOrigin.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { serve } from "../support/serve.js"

const get = (url: string) =>
  HttpClient.get(url).pipe(
    Effect.flatMap((response) => response.text),
    Effect.scoped
  )

const head = (url: string) => Effect.asVoid(Effect.scoped(HttpClient.head(url)))

/** A stream of a known length, whose end takes a turn of the event loop to show. */
const put = (url: string) => {
  const bytes = new Uint8Array(1000)
  const turn = Effect.async<void>((resume) => {
    setImmediate(() => resume(Effect.void))
  })
  const slow = Stream.concat(Stream.make(bytes), Stream.drain(Stream.fromEffect(turn)))
  return HttpClientRequest.put(url).pipe(
    HttpClientRequest.bodyStream(slow, { contentLength: bytes.length }),
    HttpClient.execute,
    Effect.flatMap((response) => response.text),
    Effect.scoped
  )
}

const answer: RequestListener = (request, response) => {
  request.resume()
  response.setHeader("content-length", 5)
  response.end(request.method === "HEAD" ? undefined : "hello")
}

it.live.each([
  ["40 GETs", 1, Array.from({ length: 40 }, () => get)],
  ["40 PUTs of streams", 1, Array.from({ length: 40 }, () => put)],
  ["40 HEADs", 1, Array.from({ length: 40 }, () => head)],
  [
    "20 HEADs and 20 GETs in turn",
    2,
    Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? head : get))
  ]
] as const)(
  "%s use %i connection(s), since those of HEADs carry nothing else",
  ([_, made, requests]) =>
    Effect.gen(function* () {
      const { url, counted } = yield* serve(answer)
      yield* Effect.forEach(requests, (request) => request(url), { discard: true })
      expect(counted.made).toBe(made)
    }).pipe(Effect.provide(NodeHttp.layer()), Effect.scoped)
)

it.live("200 requests at once share 128 connections", () =>
  Effect.gen(function* () {
    const waiting: Array<() => void> = []
    let full = false
    const { url, counted } = yield* serve((request, response) => {
      waiting.push(() => answer(request, response))
      full ||= waiting.length === 128
      if (full) for (const go of waiting.splice(0)) go()
    })
    yield* Effect.forEach(Array.from({ length: 200 }), () => get(url), {
      concurrency: "unbounded",
      discard: true
    })
    expect(counted.made).toBe(128)
  }).pipe(Effect.provide(NodeHttp.layer()), Effect.scoped)
)

it.live("an answer may carry 40 KiB of headers", () =>
  Effect.gen(function* () {
    const location = `/upload?state=${"s".repeat(40 * 1024)}`
    const { url } = yield* serve((_, response) =>
      response.writeHead(202, { location, "content-length": 0 }).end()
    )
    const response = yield* HttpClient.get(url)
    expect(response.headers["location"]).toBe(location)
  }).pipe(Effect.provide(NodeHttp.layer()), Effect.scoped)
)

it.live("redirects and content codings arrive as they were sent", () =>
  Effect.gen(function* () {
    const body = gzipSync("hello")
    const { url, counted } = yield* serve((_, response) =>
      response
        .writeHead(307, {
          location: "/elsewhere",
          "content-encoding": "gzip",
          "content-length": body.length
        })
        .end(body)
    )
    const response = yield* HttpClient.get(url)
    expect(response.status).toBe(307)
    expect(new Uint8Array(yield* response.arrayBuffer)).toEqual(new Uint8Array(body))
    expect(counted.made).toBe(1)
  }).pipe(Effect.provide(NodeHttp.layer()), Effect.scoped)
)

it.live("the connections are gone when the layer's Scope closes, and no others are made", () =>
  Effect.gen(function* () {
    const { url, counted } = yield* serve(answer)
    const client = yield* Effect.zipRight(get(url), HttpClient.HttpClient).pipe(
      Effect.provide(NodeHttp.layer())
    )
    yield* Effect.repeat(Effect.sleep("1 millis"), { until: () => counted.open === 0 })
    for (const registry of ["", "https://registry.example.com"]) {
      const sent = Effect.provideService(client.get(url), RegistryOrigin, registry)
      const mistake = yield* Effect.flip(Effect.sandbox(sent))
      expect(String(Cause.squash(mistake))).toContain(
        "This HttpClient was closed with the Scope of its layer"
      )
    }
    expect(counted).toEqual({ made: 1, open: 0 })
  }).pipe(Effect.scoped)
)
