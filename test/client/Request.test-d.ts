/** Pins which templates and values compile, and what sending a request fails with and needs. */
import type * as HttpClient from "@effect/platform/HttpClient"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Schedule from "effect/Schedule"
import { describe, expectTypeOf, it } from "vitest"
import type { Credentials } from "../../src/auth/Credentials.js"
import type { TokenCache } from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Request from "../../src/client/Request.js"
import type { Registry } from "../../src/Registry.js"
import type { AuthChallenge, BodyNotReplayable, InvalidUrl } from "../../src/RegistryError.js"
import type { InvalidReference } from "../../src/spec/Reference.js"

declare const endpoint: RegistryClient.Endpoint
declare const client: RegistryClient.RegistryClient.Service
declare const schedule: Schedule.Schedule<unknown, AuthChallenge, "login">
declare const response: HttpClientResponse
declare const dynamic: string

describe("a template", () => {
  it("has the placeholders of the specification", () => {
    expectTypeOf<Request.PlaceholdersOf<"/v2/<name>/blobs/uploads/<session_id>">>().toEqualTypeOf<
      "name" | "session_id"
    >()
    expectTypeOf<Request.PlaceholdersOf<"/v2/">>().toEqualTypeOf<never>()
  })

  it("takes a value for each of them, and <name> may be left out", () => {
    for (const method of [
      Request.get,
      Request.head,
      Request.post,
      Request.put,
      Request.patch,
      Request.del,
      Request.options
    ]) {
      expectTypeOf(method("/v2/<name>/tags/list", { name: "a" })).toEqualTypeOf<Request.Request>()
      method("/v2/<name>/tags/list")
      method("/v2/<name>/tags/list", {})
      method("/v2/<name>/blobs/<digest>", { digest: "sha256:…" })
      method("/v2/<name>/manifests/<reference>", { name: "a", reference: "latest" })
      method("/v2/<name>/blobs/uploads/<session_id>", { session_id: "1" })
      method("/v2/")
      method("/v2/", {})
    }
  })

  it("does not compile without one", () => {
    // @ts-expect-error <digest> has no value
    Request.get("/v2/<name>/blobs/<digest>")
    // @ts-expect-error <digest> has no value
    Request.get("/v2/<name>/blobs/<digest>", { name: "a" })
    // @ts-expect-error <reference> has no value
    Request.get("/v2/<name>/manifests/<reference>", {})
    // @ts-expect-error a value that may be missing is none
    Request.get("/v2/<name>/blobs/<digest>", { digest: undefined })
    // @ts-expect-error <digest> has no value
    Request.get("/v2/<name>/<reference>/<digest>", { reference: "a" })
  })

  it("does not compile with one too many", () => {
    // @ts-expect-error there is no <name>
    Request.get("/v2/", { name: "a" })
    // @ts-expect-error there is no <digest>
    Request.get("/v2/<name>/tags/list", { digest: "sha256:…" })
    // @ts-expect-error there is no <reference>
    Request.get("/v2/<name>/blobs/<digest>", { digest: "sha256:…", reference: "a" })
    // @ts-expect-error there is no such placeholder
    Request.get("/v2/<name>/tags/list", { repo: "a" })
    const values = { name: "a", digest: "sha256:…" }
    // @ts-expect-error there is no <digest>, also where the values are not a literal
    Request.get("/v2/<name>/tags/list", values)
  })

  it("does not compile with a placeholder that there is not", () => {
    // @ts-expect-error there is no <repo>
    Request.get("/v2/<repo>/tags/list", { repo: "a" })
    // @ts-expect-error there is no <repo>
    Request.get("/v2/<repo>/tags/list")
    // @ts-expect-error there is no <Name>
    Request.get("/v2/<Name>/tags/list", { name: "a" })
  })

  it("takes values that are texts", () => {
    // @ts-expect-error a number is not the name of a repository
    Request.get("/v2/<name>/tags/list", { name: 1 })
    // @ts-expect-error a number is not a tag
    Request.get("/v2/<name>/manifests/<reference>", { reference: 1 })
  })

  it("takes any of the values where the compiler does not know it", () => {
    Request.get(dynamic)
    Request.get(dynamic, { name: "a", digest: "sha256:…" })
    // @ts-expect-error there is no such placeholder in any template
    Request.get(dynamic, { repo: "a" })
  })

  it("is completed by pipes that keep its type", () => {
    expectTypeOf(
      Request.put("/v2/<name>/manifests/<reference>", { reference: "a" }).pipe(
        Request.setHeader("Content-Type", "a/b"),
        Request.setHeader("x-tenant", Redacted.make("blue")),
        Request.setHeaders({ a: "b" }),
        Request.setQuery("n", 1),
        Request.setBody("{}"),
        Request.setRetry(true),
        Request.mapHttp((request) => request)
      )
    ).toEqualTypeOf<Request.Request>()
    expectTypeOf(Request.to(response, "PATCH")).toEqualTypeOf<Request.Request>()
    expectTypeOf(Request.make("OPTIONS")("/v2/")).toEqualTypeOf<Request.Request>()
    // @ts-expect-error there is no such method
    Request.to(response, "FETCH")
  })
})

describe("sending a request", () => {
  type Failure = RegistryClient.RequestError

  it("needs the services of a client, and what a schedule needs", () => {
    expectTypeOf(
      RegistryClient.execute(endpoint, Request.get("/v2/"), { scopes: ["a"], defaultName: "b" })
    ).toEqualTypeOf<
      Effect.Effect<HttpClientResponse, Failure, HttpClient.HttpClient | Credentials | TokenCache>
    >()
    expectTypeOf(RegistryClient.execute(endpoint, Request.get("/v2/"), { schedule })).toEqualTypeOf<
      Effect.Effect<HttpClientResponse, Failure, RegistryClient.Services | "login">
    >()
  })

  it("fails with what is wrong with the request, and as every exchange", () => {
    expectTypeOf<Failure>().toEqualTypeOf<
      RegistryClient.ExchangeError | InvalidReference | InvalidUrl | BodyNotReplayable
    >()
  })

  it("needs nothing through the service, which a layer provides beside Registry", () => {
    expectTypeOf(client.execute(Request.get("/v2/"), { scopes: ["a"] })).toEqualTypeOf<
      Effect.Effect<HttpClientResponse, Failure>
    >()
    expectTypeOf(RegistryClient.layer({ url: "a", defaultName: "b" })).toEqualTypeOf<
      Layer.Layer<
        Registry | RegistryClient.RegistryClient,
        InvalidUrl,
        HttpClient.HttpClient | Credentials | TokenCache
      >
    >()
  })
})
