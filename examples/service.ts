import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as BlobSource from "effect-oci/BlobSource"
import { Descriptor } from "effect-oci/Descriptor"
import { Digest } from "effect-oci/Digest"
import * as Reference from "effect-oci/Reference"
import { Registry } from "effect-oci/Registry"
import * as RegistryError from "effect-oci/RegistryError"

/** What clients see of an error: which it is, and its message. */
const problem = <const Status extends number>(status: Status) =>
  Schema.Struct({
    status: Schema.Literal(status),
    _tag: Schema.String,
    message: Schema.String
  }).annotations(HttpApiSchema.annotations({ status }))

export const Problem = Schema.Union(
  problem(404),
  problem(429),
  problem(500),
  problem(502),
  problem(504)
)

const problemOf = (error: RegistryError.RegistryError): typeof Problem.Type => {
  const status = RegistryError.httpStatus(error)
  return {
    ...RegistryError.toPublic(error),
    status: ([404, 429, 502, 504] as const).find((known) => known === status) ?? 500
  }
}

export const Api = HttpApi.make("storage").add(
  HttpApiGroup.make("files")
    .add(
      HttpApiEndpoint.post("upload", "/files")
        .setPayload(HttpApiSchema.Uint8Array())
        .addSuccess(Descriptor, { status: 201 })
        .addError(Problem)
    )
    .add(
      HttpApiEndpoint.get("download", "/files/:digest")
        .setPath(Schema.Struct({ digest: Digest }))
        .addSuccess(HttpApiSchema.Uint8Array())
        .addError(Problem)
    )
)

const repository = Reference.unsafeParseRepositoryName("storage/files")

/**
 * Both handlers stream, in constant memory. A client that leaves interrupts its handler: an upload
 * is then cancelled at the registry, and the response that a download reads from is let go.
 */
const Files = HttpApiBuilder.group(Api, "files", (handlers) =>
  handlers
    .handleRaw("upload", ({ request }) =>
      Effect.gen(function* () {
        const registry = yield* Registry
        return yield* registry.putBlob(repository, BlobSource.fromStreamOnce(request.stream))
      }).pipe(
        // Nobody is left to be told of a request that broke.
        Effect.catchTag("RequestError", Effect.die),
        Effect.mapError(problemOf)
      )
    )
    .handleRaw("download", ({ path: { digest }, request }) =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const found = yield* registry.headBlob(repository, digest)
        if (Option.isNone(found))
          return yield* new RegistryError.BlobUnknown({ repository, digest })
        const content = registry.getBlob(repository, found.value).pipe(
          // The platform would end the response as if it were whole: break the connection.
          Stream.tapError(() =>
            Effect.sync(() => NodeHttpServerRequest.toIncomingMessage(request).destroy())
          )
        )
        // Without a length, since only the end of the content says that it is verified.
        return HttpServerResponse.stream(content)
      }).pipe(Effect.mapError(problemOf))
    )
)

/** Serves the files on the `HttpServer` in the environment, and keeps them in the `Registry`. */
export const layer = HttpApiBuilder.serve().pipe(
  Layer.provide(HttpApiBuilder.api(Api)),
  Layer.provide(Files)
)
