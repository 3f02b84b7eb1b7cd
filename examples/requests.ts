import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Digest from "effect-oci/Digest"
import { RegistryClient } from "effect-oci/RegistryClient"
import * as Request from "effect-oci/Request"
import * as Response from "effect-oci/Response"

/** Pushes a blob in two chunks, and a manifest that names it, request by request. */
export const push = (tag: string, first: Uint8Array, second: Uint8Array) =>
  Effect.gen(function* () {
    const { execute } = yield* RegistryClient
    const size = first.length + second.length
    const digest = Digest.fromBytes(new Uint8Array([...first, ...second]))

    // Each request goes where the response before it leads.
    const chunk = (to: HttpClientResponse, start: number, bytes: Uint8Array) =>
      execute(
        Request.to(to, "PATCH").pipe(
          Request.setHeader("Content-Range", `${start}-${start + bytes.length - 1}`),
          Request.setBody(bytes)
        )
      ).pipe(Effect.flatMap(having(202)))

    const opened = yield* execute(Request.post("/v2/<name>/blobs/uploads/"))
    const half = yield* chunk(yield* having(202)(opened), 0, first)
    const whole = yield* chunk(half, first.length, second)
    const closed = yield* execute(Request.to(whole, "PUT").pipe(Request.setQuery("digest", digest)))
    yield* having(201)(closed)

    const manifest = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.example.config", digest, size },
      layers: []
    }
    const put = yield* execute(
      Request.put("/v2/<name>/manifests/<reference>", { reference: tag }).pipe(
        Request.setHeader("Content-Type", manifest.mediaType),
        Request.setBody(JSON.stringify(manifest))
      )
    )
    return Response.digest(yield* having(201)(put))
  })

/** Responses are whatever the registry sent: which ones are success is for the program to say. */
const having = (status: number) => (response: HttpClientResponse) =>
  response.status === status
    ? Effect.succeed(response)
    : Effect.flatMap(Response.errorBody(response), ({ errors }) =>
        Effect.fail(new Refused({ status: response.status, errors }))
      )

class Refused extends Data.TaggedError("Refused")<{
  readonly status: number
  readonly errors: ReadonlyArray<unknown>
}> {}
