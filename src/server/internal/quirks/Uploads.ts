/** Quirks of uploads. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Operation from "../../../protocol/Operation.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { Reply } from "../../Quirks.js"
import * as ChangedResponse from "../ChangedResponse.js"
import * as Origin from "../Origin.js"
import * as RequestBody from "../RequestBody.js"
import {
  always,
  answers,
  asking,
  becomes,
  changes,
  changesAll,
  modified,
  operationOf,
  type Quirk,
  sets,
  type Table,
  toResponse,
  urlOf,
  withParameters
} from "./Quirk.js"

/** Operations whose responses tell where an upload goes on. */
const progress = ["StartUpload", "MountBlob", "UploadBlob", "UploadChunk", "UploadStatus"] as const
const opening = ["StartUpload", "MountBlob"] as const
const sending = ["UploadChunk", "CompleteUpload"] as const
const session = [...sending, "UploadStatus", "CancelUpload"] as const

/** The quirks of uploads. */
export const table: Table<
  | "locations"
  | "uploadId"
  | "uploadState"
  | "unknownUpload"
  | "forgetsBroken"
  | "octetStreamOnly"
  | "bodyLimit"
  | "patchLimit"
  | "minPart"
  | "numbersChunks"
  | "patch"
  | "putContent"
  | "emptyPut"
  | "uploadStatus"
  | "patchStatus"
  | "countedRange"
  | "emptyRange"
  | "stuckRange"
  | "chunkMinLength"
  | "chunkMaxLength"
  | "singlePost"
> = {
  locations: (form) =>
    changesAll((response, { request }) => {
      const { location = "" } = response.headers
      const relative = location.replace(/^.*\/blobs\/uploads\//, "../uploads/")
      if (!location.startsWith("/") || (form === "relative" && relative === location))
        return response
      return ChangedResponse.withHeaders(response, {
        location: form === "relative" ? relative : Origin.of(request, {}) + location
      })
    }),
  uploadId: (name) =>
    sets(progress, ({ location }) => ({ [name]: /\/uploads\/([^/?]+)/.exec(location ?? "")?.[1] })),
  uploadState: (parameter) => newestOnly(parameter),
  unknownUpload: (reply) =>
    changesAll((response, received) =>
      response.status === 404 && operationOf(received, ...session) ? toResponse(reply) : response
    ),
  forgetsBroken: () => forgetsBroken(),
  octetStreamOnly: () =>
    refusesContent(
      ["UploadBlob", ...sending],
      0,
      { status: 415 },
      ({ headers }) => headers["content-type"] !== MediaType.octetStream
    ),
  bodyLimit: (limit) =>
    refusesContent(sending, limit, {
      status: 413,
      body: "<html><head><title>413 Payload Too Large</title></head></html>",
      headers: { "content-type": "text/html" }
    }),
  patchLimit: (limit) =>
    refusesContent(["UploadChunk"], limit, {
      status: 416,
      code: "REQUESTED_RANGE_NOT_SATISFIABLE",
      message: "the request body is too large"
    }),
  minPart: (least) => {
    const ended = new Set<string>()
    return answers(["UploadChunk"], ({ location }, request) =>
      Effect.map(RequestBody.exceeds(request, least - 1), (isPart) => {
        if (ended.has(location)) return { status: 400, code: "LayerPartTooSmallException" }
        if (!isPart) ended.add(location)
        return undefined
      })
    )
  },
  numbersChunks: () => {
    const begun = new Set<string>()
    return answers(["UploadChunk"], ({ location, range }) => {
      if (range === undefined && begun.has(location)) return { status: 416, code: "RANGE_INVALID" }
      begun.add(location)
      return undefined
    })
  },
  patch: (reply) => always(["UploadChunk"], reply),
  putContent: (reply) => refusesContent(["CompleteUpload"], 0, reply),
  emptyPut: (reply) => {
    const begun = new Set<string>()
    return answers(sending, (operation, request) => {
      if (operation._tag === "UploadChunk") begun.add(operation.location)
      return operation._tag === "CompleteUpload" && begun.has(operation.location)
        ? Effect.map(RequestBody.exceeds(request, 0), (isMore) => (isMore ? undefined : reply))
        : undefined
    })
  },
  uploadStatus: (reply) => always(["UploadStatus"], reply),
  patchStatus: (status) =>
    changes(["UploadChunk"], (response) => ChangedResponse.withStatus(response, status)),
  countedRange: () =>
    sets(["UploadStatus"], ({ range = "" }) => ({
      location: undefined,
      range: range === "0-0" ? "bytes=0-0" : `bytes=0-${Number(range.slice(2)) + 1}`
    })),
  emptyRange: (empty) =>
    sets([...opening, "UploadStatus"], ({ range }) => (range === "0-0" ? { range: empty } : {})),
  stuckRange: () => {
    const first = new Map<string, string>()
    return sets(["UploadChunk", "UploadStatus"], ({ range = "" }, { location }) => {
      const stuck = first.get(location) ?? range
      if (range !== "0-0") first.set(location, stuck)
      return { range: stuck }
    })
  },
  chunkMinLength: (length) => sets(opening, () => ({ "oci-chunk-min-length": String(length) })),
  chunkMaxLength: (length) => sets(opening, () => ({ "oci-chunk-max-length": String(length) })),
  singlePost: () =>
    becomes(["UploadBlob"], ({ repository }) => Operation.StartUpload({ repository }))
}

/** Refuses content of more bytes than so many, or such requests of it. */
const refusesContent = <T extends Operation.Operation["_tag"]>(
  tags: ReadonlyArray<T>,
  limit: number,
  reply: Reply,
  concerns: (request: HttpServerRequest) => boolean = () => true
): Quirk =>
  answers(tags, (_operation, request) =>
    concerns(request)
      ? Effect.map(RequestBody.exceeds(request, limit), (isMore) => (isMore ? reply : undefined))
      : undefined
  )

/** Each response has another state in its location; without the newest no request is taken. */
const newestOnly = (parameter: string): Quirk => {
  const newest = new Map<string, string>()
  let count = 0
  return (next) => (received) =>
    Effect.gen(function* () {
      const isOfSession = operationOf(received, ...session) !== undefined
      const url = urlOf(received.request)
      const held = newest.get(url.pathname)
      if (isOfSession && held !== undefined && !url.search.includes(`${parameter}=${held}`))
        return toResponse({ status: 416, code: "RANGE_INVALID" })
      const response = yield* next(
        isOfSession
          ? yield* modified(received, {
              url: withParameters(received.request, { [parameter]: undefined })
            })
          : received
      )
      const { location = "" } = response.headers
      const isOver =
        operationOf(received, "CompleteUpload", "CancelUpload") && response.status < 300
      if (isOver) newest.delete(url.pathname)
      if (!location.includes("/blobs/uploads/")) return response
      // What a form would encode otherwise.
      const state = `${++count}%2F+~!`
      newest.set(location, state)
      return ChangedResponse.withHeaders(response, {
        location: `${location}?${parameter}=${state}`
      })
    })
}

/** A session of which a request did not come to its end is gone. */
const forgetsBroken = (): Quirk => (next) => {
  const lost = new Set<string>()
  return (received) =>
    Effect.gen(function* () {
      const operation = operationOf(received, ...session)
      if (operation === undefined) return yield* next(received)
      const { location, repository } = operation
      if (lost.has(location)) return toResponse({ status: 404, code: "BLOB_UPLOAD_UNKNOWN" })
      const forgets = Effect.suspend(() => {
        lost.add(location)
        return next(asking(received, Operation.CancelUpload({ repository, location })))
      })
      return yield* Effect.onExit(next(received), (exit) =>
        Exit.isFailure(exit) || exit.value.status === 400 ? forgets : Effect.void
      )
    })
}
