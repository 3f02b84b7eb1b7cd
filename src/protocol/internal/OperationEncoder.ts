/** Operations as HTTP requests. */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import * as ByteRange from "../ByteRange.js"
import * as EntityTag from "./EntityTag.js"
import type { Case, Operation } from "./OperationCases.js"
import * as Route from "./Route.js"

/** Returns the HTTP request of an operation: see `Operation.toRequest`. */
export const toRequest = (
  base: string,
  operation: Operation
): HttpClientRequest.HttpClientRequest => {
  switch (operation._tag) {
    case "Ping":
      return HttpClientRequest.get(`${base}/v2/`)
    case "GetManifest":
    case "HeadManifest":
    case "PutManifest":
    case "DeleteManifest":
      return manifestRequest(base, operation)
    case "GetBlob":
    case "HeadBlob":
    case "PutBlob":
    case "DeleteBlob":
      return blobRequest(base, operation)
    case "StartUpload":
    case "UploadBlob":
    case "MountBlob":
      return uploadsRequest(base, operation)
    case "UploadChunk":
    case "CompleteUpload":
    case "UploadStatus":
    case "CancelUpload":
      return uploadRequest(base, operation)
    case "ListTags":
    case "ListRepositories":
    case "ListReferrers":
      return listRequest(base, operation)
  }
}

const manifestRequest = (
  base: string,
  operation: Case<"GetManifest" | "HeadManifest" | "PutManifest" | "DeleteManifest">
): HttpClientRequest.HttpClientRequest => {
  const url = base + Route.manifestPath(operation.repository, operation.reference)
  switch (operation._tag) {
    case "GetManifest":
      return HttpClientRequest.get(url, {
        headers: {
          ...anyManifest,
          ...(operation.unless !== undefined && EntityTag.unless(operation.unless))
        }
      })
    case "HeadManifest":
      return HttpClientRequest.head(url, { headers: anyManifest })
    case "PutManifest":
      return HttpClientRequest.put(url + query((operation.tags ?? []).map((tag) => ["tag", tag])), {
        headers: {
          "content-type": operation.mediaType,
          ...(operation.onlyIf !== undefined && EntityTag.conditionOf(operation.onlyIf))
        }
      })
    case "DeleteManifest":
      return HttpClientRequest.del(url)
  }
}

const blobRequest = (
  base: string,
  operation: Case<"GetBlob" | "HeadBlob" | "PutBlob" | "DeleteBlob">
): HttpClientRequest.HttpClientRequest => {
  const url = base + Route.blobPath(operation.repository, operation.digest)
  switch (operation._tag) {
    case "GetBlob":
      return HttpClientRequest.get(url, {
        headers: {
          ...identity,
          ...(operation.range !== undefined && { range: ByteRange.formatRequest(operation.range) })
        }
      })
    case "HeadBlob":
      return HttpClientRequest.head(url, { headers: identity })
    case "PutBlob":
      return HttpClientRequest.put(url, {
        headers: { ...octetStream, "content-length": String(operation.size) }
      })
    case "DeleteBlob":
      return HttpClientRequest.del(url)
  }
}

const uploadsRequest = (
  base: string,
  operation: Case<"StartUpload" | "UploadBlob" | "MountBlob">
): HttpClientRequest.HttpClientRequest => {
  const url = base + Route.uploadsPath(operation.repository)
  switch (operation._tag) {
    case "StartUpload":
      return HttpClientRequest.post(url + query([["digest-algorithm", operation.algorithm]]), {
        headers: noBody
      })
    case "UploadBlob":
      return HttpClientRequest.post(
        url +
          query([
            ["digest", operation.digest],
            ["digest-algorithm", unusualAlgorithm(operation.digest)]
          ]),
        { headers: { ...octetStream, "content-length": String(operation.size) } }
      )
    case "MountBlob":
      return HttpClientRequest.post(
        url +
          query([
            ["mount", operation.digest],
            ["from", operation.from],
            ["digest-algorithm", unusualAlgorithm(operation.digest)]
          ]),
        { headers: noBody }
      )
  }
}

const uploadRequest = (
  base: string,
  operation: Case<"UploadChunk" | "CompleteUpload" | "UploadStatus" | "CancelUpload">
): HttpClientRequest.HttpClientRequest => {
  const url = supplied(base, operation.location)
  switch (operation._tag) {
    case "UploadChunk":
      return HttpClientRequest.patch(url, {
        headers: { ...octetStream, ...contentRange(operation.range) }
      })
    case "CompleteUpload":
      return HttpClientRequest.put(withDigest(url, operation.digest), {
        headers: { ...octetStream, ...contentRange(operation.range) }
      })
    case "UploadStatus":
      return HttpClientRequest.get(url)
    case "CancelUpload":
      return HttpClientRequest.del(url, { headers: noBody })
  }
}

const listRequest = (
  base: string,
  operation: Case<"ListTags" | "ListRepositories" | "ListReferrers">
): HttpClientRequest.HttpClientRequest => {
  const { link } = operation
  const url = (path: string) => (link === undefined ? base + path : supplied(base, link))
  switch (operation._tag) {
    case "ListTags":
      return HttpClientRequest.get(url(Route.tagsPath(operation.repository) + page(operation)))
    case "ListRepositories":
      return HttpClientRequest.get(url(Route.catalogPath + page(operation)))
    case "ListReferrers":
      return HttpClientRequest.get(
        url(
          Route.referrersPath(operation.repository, operation.digest) +
            query([["artifactType", operation.artifactType]])
        ),
        { headers: { accept: MediaType.imageIndex } }
      )
  }
}

/** Digest and size are those of the plain bytes (trap 26). */
const identity = { "accept-encoding": "identity" }

const anyManifest = { ...identity, accept: MediaType.manifestAccept.join(", ") }

const octetStream = { "content-type": MediaType.octetStream }

/** undici leaves it out of a DELETE (C44, C57, trap 10). */
const noBody = { "content-length": "0" }

const contentRange = (range: ByteRange.ByteRange | undefined) =>
  range !== undefined && { "content-range": ByteRange.formatChunk(range) }

const query = (
  pairs: ReadonlyArray<readonly [name: string, value: string | undefined]>
): string => {
  const parameters = new URLSearchParams()
  for (const [name, value] of pairs) if (value !== undefined) parameters.append(name, value)
  return parameters.size === 0 ? "" : `?${parameters}`
}

const page = (options: {
  readonly n?: number | undefined
  readonly last?: string | undefined
}): string =>
  query([
    ["n", options.n?.toString()],
    ["last", options.last]
  ])

/**
 * A session opened by POST must know its algorithm from the start, also when it comes of a refused
 * mount (trap 24).
 */
const unusualAlgorithm = (digest: Digest.Digest): string | undefined =>
  Digest.algorithm(digest) === "sha256" ? undefined : Digest.algorithm(digest)

/**
 * A path is put on the origin of `base`, with a slash between them, lest it change the host. What a
 * registry supplied is not serialised again, since its query may be signed (trap 7).
 */
const supplied = (base: string, url: string): string => {
  const [text = ""] = url.split("#", 1)
  if (/^https?:\/\//i.test(text)) return text
  const authority = base.indexOf("://") + 3
  const slash = base.indexOf("/", authority)
  return `${slash === -1 ? base : base.slice(0, slash)}${text.startsWith("/") ? "" : "/"}${text}`
}

const withDigest = (url: string, digest: string): string => {
  const separator = !url.includes("?") ? "?" : /[?&]$/.test(url) ? "" : "&"
  return `${url}${separator}digest=${encodeURIComponent(digest)}`
}
