/** Quirks of manifests and blobs, and of the errors and headers of all responses. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Operation from "../../../protocol/Operation.js"
import * as Digest from "../../../spec/Digest.js"
import * as MediaType from "../../../spec/MediaType.js"
import * as ChangedResponse from "../ChangedResponse.js"
import {
  answers,
  asking,
  becomes,
  changes,
  changesAll,
  documentOf,
  operationOf,
  type Quirk,
  rewrites,
  sets,
  type Table,
  toResponse,
  withDocument
} from "./Quirk.js"

const manifests = ["GetManifest", "HeadManifest"] as const
const pushes = [
  "PutManifest",
  "StartUpload",
  "UploadBlob",
  "MountBlob",
  "UploadChunk",
  "CompleteUpload"
] as const

/** The quirks of all responses. */
export const responses: Table<"warning" | "rateLimit" | "errors" | "missingCode"> = {
  warning: (text) =>
    changesAll((response) =>
      ChangedResponse.withHeaders(response, { warning: `299 - ${JSON.stringify(text)}` })
    ),
  rateLimit: (limit) =>
    changesAll((response, received) =>
      operationOf(received, ...manifests)
        ? ChangedResponse.withHeaders(response, {
            "ratelimit-limit": limit,
            "ratelimit-remaining": limit
          })
        : response
    ),
  errors: (form) =>
    errors((error, response) => {
      switch (form) {
        case "bare":
          return withDocument(response, error)
        case "uncoded":
          return withDocument(response, {
            errors: [{ status: response.status, message: error["message"] }]
          })
        case "empty":
          return ChangedResponse.withBytes(response, new Uint8Array(), {
            "content-type": undefined
          })
        case "text":
          return ChangedResponse.withBytes(
            response,
            new TextEncoder().encode(`${error["message"]}\n`),
            { "content-type": "text/plain; charset=utf-8" }
          )
      }
    }),
  missingCode: (code) =>
    errors((error, response) =>
      response.status === 404 ? withDocument(response, { errors: [{ ...error, code }] }) : response
    )
}

/** The quirks of manifests and blobs. */
export const table: Table<
  | "digestHeader"
  | "putLocation"
  | "jsonCharset"
  | "headLength"
  | "missingHead"
  | "etag"
  | "gzip"
  | "encodingLabel"
  | "schema1"
  | "childForIndex"
  | "requiresAccept"
  | "manifestTypes"
  | "pushAccept"
  | "ignoresConditions"
  | "digestTags"
  | "queryTags"
> = {
  digestHeader: (method) =>
    sets(manifests, (_headers, _operation, request) =>
      request.method === method ? {} : { "docker-content-digest": undefined }
    ),
  putLocation: () => sets(["PutManifest"], () => ({ location: undefined })),
  jsonCharset: () =>
    changesAll((response) => {
      const type = response.headers["content-type"] ?? ""
      return type.endsWith("json")
        ? ChangedResponse.withHeaders(response, { "content-type": `${type}; charset=utf-8` })
        : response
    }),
  headLength: (length) =>
    sets(["HeadManifest"], () => ({ "content-length": length === "none" ? undefined : length })),
  missingHead: (reply) =>
    changesAll((response, received) =>
      response.status === 404 && operationOf(received, "HeadManifest", "HeadBlob")
        ? toResponse({ ...reply, body: "", code: undefined })
        : response
    ),
  etag: (form) =>
    sets(manifests, ({ etag }) => ({
      etag: form === "none" || etag === undefined ? undefined : `"${Digest.fromBytes(utf8(etag))}"`
    })),
  gzip: () =>
    changes(["GetBlob"], (response, _operation, request) =>
      request.headers["accept-encoding"]?.includes("gzip") === true
        ? compressed(response)
        : response
    ),
  encodingLabel: (coding) => sets(["GetBlob"], () => ({ "content-encoding": coding })),
  schema1: () =>
    changes(manifests, (response, { repository }, request) =>
      known.some((type) => accepts(request, type))
        ? response
        : withDocument(
            response,
            { schemaVersion: 1, name: repository, fsLayers: [], history: [] },
            { "content-type": MediaType.dockerSchema1Signed }
          )
    ),
  childForIndex: () => (next) => (received) =>
    Effect.gen(function* () {
      const response = yield* next(received)
      const operation = operationOf(received, ...manifests)
      const type = response.headers["content-type"] ?? ""
      const isHidden =
        response.status === 200 && MediaType.isIndex(type) && !accepts(received.request, type)
      if (operation === undefined || !isHidden || Digest.isDigest(operation.reference))
        return response
      const index = yield* next(asking(received, Operation.GetManifest(operation)))
      const reference = childOf(yield* documentOf(index))
      return reference === undefined
        ? response
        : yield* next(asking(received, { ...operation, reference }))
    }),
  requiresAccept: () =>
    changes(manifests, (response, _operation, request) => {
      const type = response.headers["content-type"] ?? ""
      return type.startsWith("application/vnd.oci.") && !accepts(request, type)
        ? toResponse({
            status: 404,
            code: "MANIFEST_UNKNOWN",
            message: "OCI manifest found, but accept header does not support OCI manifests"
          })
        : response
    }),
  manifestTypes: (types) =>
    answers(["PutManifest"], ({ mediaType }) =>
      types.includes(mediaType) ? undefined : { status: 415, code: "MANIFEST_INVALID" }
    ),
  pushAccept: () =>
    answers(pushes, (_operation, { headers }) =>
      /^$|json|\*\/\*/.test(headers["accept"] ?? "") ? undefined : { status: 406 }
    ),
  ignoresConditions: () =>
    rewrites([...manifests, "PutManifest", "DeleteManifest"], () => ({
      headers: { "if-match": undefined, "if-none-match": undefined }
    })),
  digestTags: () =>
    becomes(manifests, (operation) => {
      const digest = operation.reference.replace(/^sha256-(?=[0-9a-f]{64}$)/, "sha256:")
      return Digest.isDigest(digest) ? { ...operation, reference: digest } : operation
    }),
  queryTags: () => becomes(["PutManifest"], (operation) => ({ ...operation, tags: undefined }))
}

/** The types of manifests that registries know, but for Docker's schema 1. */
const known = [
  MediaType.imageManifest,
  MediaType.imageIndex,
  MediaType.dockerManifest,
  MediaType.dockerManifestList
]

/** Other parameters, such as q-values, are ignored. */
const accepts = ({ headers }: HttpServerRequest, type: string): boolean =>
  headers["accept"]?.includes(type) === true

const errors = (
  f: (error: Readonly<Record<string, unknown>>, response: HttpServerResponse) => HttpServerResponse
): Quirk =>
  changesAll((response) =>
    response.status < 400 || response.headers["content-type"]?.includes("json") !== true
      ? response
      : Effect.map(documentOf(response), ({ errors }) => {
          const [first] = Array.isArray(errors) ? errors : []
          return first === undefined ? response : f(Object(first), response)
        })
  )

/** The manifest of linux/amd64 in an index, or its first. */
const childOf = ({ manifests }: Readonly<Record<string, unknown>>): Digest.Digest | undefined => {
  const all: ReadonlyArray<Readonly<Record<string, unknown>>> = Array.isArray(manifests)
    ? manifests.map(Object)
    : []
  const digest = (all.find(({ platform }) => isAmd64(Object(platform))) ?? all[0])?.["digest"]
  return typeof digest === "string" && Digest.isDigest(digest) ? digest : undefined
}

const isAmd64 = ({ architecture, os }: Readonly<Record<string, unknown>>): boolean =>
  architecture === "amd64" && os === "linux"

const compressed = (response: HttpServerResponse): Effect.Effect<HttpServerResponse> =>
  Effect.map(Stream.toReadableStreamEffect(ChangedResponse.bodyOf(response)), (plain) =>
    ChangedResponse.withHeaders(
      ChangedResponse.withBody(
        response,
        Stream.fromReadableStream(
          () => plain.pipeThrough(new CompressionStream("gzip")),
          (cause) => cause
        )
      ),
      { "content-encoding": "gzip", "content-length": undefined }
    )
  )

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
