/**
 * Every request of the distribution specification as a value: the client sends operations, the
 * server dispatches on them, and authorization, spans and tests read them. Names, tags and digests
 * are validated types, so that an invalid one cannot become a request.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Digest from "../spec/Digest.js"
import * as MediaType from "../spec/MediaType.js"
import { isRepositoryName, isTag, type RepositoryName, type Tag } from "../spec/Reference.js"
import * as AccessScope from "./AccessScope.js"
import * as ByteRange from "./ByteRange.js"
import * as Route from "./internal/Route.js"

/**
 * One request. A `location` (of an upload) and a `link` (of a next page) are what the registry
 * supplied, sent as received: an absolute URL, or a path with its query, which is taken to be on
 * the registry's origin. Whether such a URL may be requested at all is decided before, by `Trust`.
 *
 * @since 0.1.0
 * @category models
 */
export type Operation = Data.TaggedEnum<{
  /** Is there a registry, and may we in? (end-1, C9) */
  Ping: Record<never, never>
  /** end-3 */
  GetManifest: { readonly repository: RepositoryName; readonly reference: Tag | Digest.Digest }
  /** end-3 */
  HeadManifest: { readonly repository: RepositoryName; readonly reference: Tag | Digest.Digest }
  /** end-7a; with `tags`, which go with a digest, end-7b */
  PutManifest: {
    readonly repository: RepositoryName
    readonly reference: Tag | Digest.Digest
    readonly mediaType: string
    readonly tags?: ReadonlyArray<Tag> | undefined
  }
  /** end-9 */
  DeleteManifest: { readonly repository: RepositoryName; readonly reference: Tag | Digest.Digest }
  /** end-2 */
  GetBlob: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly range?: ByteRange.RangeRequest | undefined
  }
  /** end-2 */
  HeadBlob: { readonly repository: RepositoryName; readonly digest: Digest.Digest }
  /** end-10 */
  DeleteBlob: { readonly repository: RepositoryName; readonly digest: Digest.Digest }
  /** end-4a; with the `algorithm` of a digest that is not sha256, end-4c (C45) */
  StartUpload: { readonly repository: RepositoryName; readonly algorithm?: string | undefined }
  /** A blob of `size` bytes in a single POST (end-4b, C41) */
  UploadBlob: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly size: number
  }
  /**
   * A blob of `size` bytes put at its own path, no part of the specification: some registries offer
   * it
   */
  PutBlob: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly size: number
  }
  /** end-11; without `from` the registry may look anywhere (C60) */
  MountBlob: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly from?: RepositoryName | undefined
  }
  /** end-5; without `range` the body is streamed, its size unknown beforehand (C56) */
  UploadChunk: {
    readonly repository: RepositoryName
    readonly location: string
    readonly range?: ByteRange.ByteRange | undefined
  }
  /**
   * end-6; the body is the whole blob, or the last chunk with its `range`, or nothing (C37, C54)
   */
  CompleteUpload: {
    readonly repository: RepositoryName
    readonly location: string
    readonly digest: Digest.Digest
    readonly range?: ByteRange.ByteRange | undefined
  }
  /** end-13 */
  UploadStatus: { readonly repository: RepositoryName; readonly location: string }
  /** end-14 */
  CancelUpload: { readonly repository: RepositoryName; readonly location: string }
  /** end-8a, end-8b; `link` replaces the other fields (C85) */
  ListTags: {
    readonly repository: RepositoryName
    readonly n?: number | undefined
    readonly last?: Tag | undefined
    readonly link?: string | undefined
  }
  /** Docker's `_catalog`, no part of the specification (C92); `link` replaces the other fields */
  ListRepositories: {
    readonly n?: number | undefined
    readonly last?: RepositoryName | undefined
    readonly link?: string | undefined
  }
  /** end-12a, end-12b; `link` replaces `artifactType` (C90, C93) */
  ListReferrers: {
    readonly repository: RepositoryName
    readonly digest: Digest.Digest
    readonly artifactType?: string | undefined
    readonly link?: string | undefined
  }
}>

const operation = Data.taggedEnum<Operation>()

/**
 * The constructors, one for each case of `Operation`.
 *
 * @example
 * ```ts
 * import * as Operation from "effect-oci/Operation"
 *
 * Operation.requiredScopes(Operation.ListRepositories({ n: 100 })) // ["registry:catalog:*"]
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const {
  Ping,
  GetManifest,
  HeadManifest,
  PutManifest,
  DeleteManifest,
  GetBlob,
  HeadBlob,
  DeleteBlob,
  StartUpload,
  UploadBlob,
  PutBlob,
  MountBlob,
  UploadChunk,
  CompleteUpload,
  UploadStatus,
  CancelUpload,
  ListTags,
  ListRepositories,
  ListReferrers
} = operation

/**
 * Whether a value is the operation of this tag.
 *
 * @since 0.1.0
 * @category guards
 */
export const is = operation.$is

/**
 * One function for each operation; the compiler checks that none is missing.
 *
 * @since 0.1.0
 * @category pattern matching
 */
export const match = operation.$match

/**
 * What a server has received, reduced to what makes an operation: `url` is path and query exactly
 * as received, header names are lower-case.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReceivedRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string | undefined>>
}

/**
 * A request that is no operation, with the answer it deserves: `status`, an error `code` of the
 * specification or of Docker's (C101), and with a `405` the methods to name in `Allow` (RFC 9110
 * §15.5.6).
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>("effect-oci/InvalidRequest")(
  "InvalidRequest",
  {
    status: Schema.Number,
    code: Schema.String,
    message: Schema.String,
    allow: Schema.optional(Schema.String)
  }
) {}

/**
 * The HTTP request of an operation, without its body. `base` is the registry's URL with neither
 * `/v2` nor a slash at its end: `https://ghcr.io`, `http://localhost:5000`,
 * `https://example.com/prefix`.
 *
 * The URL is a string and supplied ones are never re-serialised, so that signed queries survive
 * (trap 7); a fragment is dropped. Requests that never have a body say `Content-Length: 0` (C44,
 * C57), which undici leaves out of a DELETE (trap 10). Content is asked for without encoding,
 * because digest and size are those of the plain bytes (trap 26).
 *
 * @since 0.1.0
 * @category encoding
 */
export const toRequest = (
  base: string,
  operation: Operation
): HttpClientRequest.HttpClientRequest => {
  switch (operation._tag) {
    case "Ping":
      return HttpClientRequest.get(`${base}/v2/`)
    case "GetManifest":
    case "HeadManifest":
      return HttpClientRequest.make(operation._tag === "GetManifest" ? "GET" : "HEAD")(
        base + Route.manifestPath(operation.repository, operation.reference),
        { headers: anyManifest }
      )
    case "PutManifest":
      return HttpClientRequest.put(
        base +
          Route.manifestPath(operation.repository, operation.reference) +
          query((operation.tags ?? []).map((tag) => ["tag", tag])),
        { headers: { "content-type": operation.mediaType } }
      )
    case "DeleteManifest":
      return HttpClientRequest.del(
        base + Route.manifestPath(operation.repository, operation.reference)
      )
    case "GetBlob":
      return HttpClientRequest.get(base + Route.blobPath(operation.repository, operation.digest), {
        headers: {
          ...identity,
          ...(operation.range !== undefined && { range: ByteRange.formatRequest(operation.range) })
        }
      })
    case "HeadBlob":
      return HttpClientRequest.head(base + Route.blobPath(operation.repository, operation.digest), {
        headers: identity
      })
    case "DeleteBlob":
      return HttpClientRequest.del(base + Route.blobPath(operation.repository, operation.digest))
    case "StartUpload":
      return HttpClientRequest.post(
        base +
          Route.uploadsPath(operation.repository) +
          query([["digest-algorithm", operation.algorithm]]),
        { headers: { "content-length": "0" } }
      )
    case "UploadBlob":
      return HttpClientRequest.post(
        base +
          Route.uploadsPath(operation.repository) +
          query([
            ["digest", operation.digest],
            ["digest-algorithm", unusualAlgorithm(operation.digest)]
          ]),
        { headers: { ...octetStream, "content-length": String(operation.size) } }
      )
    case "PutBlob":
      return HttpClientRequest.put(base + Route.blobPath(operation.repository, operation.digest), {
        headers: { ...octetStream, "content-length": String(operation.size) }
      })
    case "MountBlob":
      return HttpClientRequest.post(
        base +
          Route.uploadsPath(operation.repository) +
          query([
            ["mount", operation.digest],
            ["from", operation.from],
            ["digest-algorithm", unusualAlgorithm(operation.digest)]
          ]),
        { headers: { "content-length": "0" } }
      )
    case "UploadChunk":
      return HttpClientRequest.patch(supplied(base, operation.location), {
        headers: { ...octetStream, ...contentRange(operation.range) }
      })
    case "CompleteUpload":
      return HttpClientRequest.put(
        withDigest(supplied(base, operation.location), operation.digest),
        {
          headers: { ...octetStream, ...contentRange(operation.range) }
        }
      )
    case "UploadStatus":
      return HttpClientRequest.get(supplied(base, operation.location))
    case "CancelUpload":
      return HttpClientRequest.del(supplied(base, operation.location), {
        headers: { "content-length": "0" }
      })
    case "ListTags":
      return HttpClientRequest.get(
        listUrl(base, operation.link, Route.tagsPath(operation.repository) + page(operation))
      )
    case "ListRepositories":
      return HttpClientRequest.get(
        listUrl(base, operation.link, Route.catalogPath + page(operation))
      )
    case "ListReferrers":
      return HttpClientRequest.get(
        listUrl(
          base,
          operation.link,
          Route.referrersPath(operation.repository, operation.digest) +
            query([["artifactType", operation.artifactType]])
        ),
        { headers: { accept: MediaType.imageIndex } }
      )
  }
}

/**
 * The operation that a received request asks for: the inverse of `toRequest`. Of an upload, the
 * `location` is path and query as received, less the `digest` that the client appended (C38). Lists
 * are read as `n` and `last`, never as `link`; a `last` that is not a tag or name is left out. HEAD
 * asks for what GET does (RFC 9110 §9.3.2). A `Range` other than one of bytes is left out.
 *
 * Fails with `InvalidRequest`: 404 for an unknown path, 405 for a method the path does not take,
 * 400 for an invalid name, tag, digest, number or range, 411 for a single POST of unknown length
 * (C41).
 *
 * @since 0.1.0
 * @category decoding
 */
export const fromRequest = (request: ReceivedRequest): Effect.Effect<Operation, InvalidRequest> => {
  const mark = request.url.indexOf("?")
  const path = mark === -1 ? request.url : request.url.slice(0, mark)
  const search = mark === -1 ? "" : request.url.slice(mark + 1)
  // A raw "+" is taken literally: no value here has a space, but artifact types and digest
  // algorithms have it (trap 47).
  const parameters = new URLSearchParams(search.replaceAll("+", "%2B"))
  const route = Option.getOrUndefined(Route.match(path))
  if (route === undefined)
    return invalid(404, "UNSUPPORTED", "There is no such path in the distribution API")
  switch (route._tag) {
    case "Base":
      return byMethod(request.method, readable(Effect.succeed(Ping())))
    case "Catalog":
      return byMethod(
        request.method,
        readable(Effect.map(listPage(parameters, isRepositoryName), ListRepositories))
      )
    case "Manifest": {
      const target = Effect.all({
        repository: repositoryName(route.name),
        reference: reference(route.reference)
      })
      return byMethod(request.method, {
        GET: Effect.map(target, GetManifest),
        HEAD: Effect.map(target, HeadManifest),
        PUT: Effect.zipWith(target, Effect.forEach(parameters.getAll("tag"), tag), (target, tags) =>
          PutManifest({
            ...target,
            mediaType: MediaType.essence(request.headers["content-type"] ?? MediaType.octetStream),
            ...(tags.length > 0 && { tags })
          })
        ),
        DELETE: Effect.map(target, DeleteManifest)
      })
    }
    case "Blob": {
      const target = Effect.all({
        repository: repositoryName(route.name),
        digest: digest(route.digest)
      })
      const range = Option.flatMap(
        Option.fromNullable(request.headers["range"]),
        ByteRange.parseRequest
      )
      return byMethod(request.method, {
        GET: Effect.map(target, (target) =>
          GetBlob(Option.isSome(range) ? { ...target, range: range.value } : target)
        ),
        HEAD: Effect.map(target, HeadBlob),
        PUT: Effect.zipWith(target, wholeLength(request), (target, size) =>
          PutBlob({ ...target, size })
        ),
        DELETE: Effect.map(target, DeleteBlob)
      })
    }
    case "Uploads":
      return byMethod(request.method, {
        POST: Effect.flatMap(repositoryName(route.name), (repository) =>
          upload(repository, parameters, request)
        )
      })
    case "Upload": {
      const target = Effect.map(repositoryName(route.name), (repository) => ({
        repository,
        location: withoutDigest(path, search)
      }))
      const body = Effect.zipWith(target, chunkRange(request), (target, range) => ({
        ...target,
        ...range
      }))
      return byMethod(request.method, {
        ...readable(Effect.map(target, UploadStatus)),
        PATCH: Effect.map(body, UploadChunk),
        PUT: Effect.zipWith(
          body,
          digest(parameters.getAll("digest").at(-1) ?? ""),
          (body, digest) => CompleteUpload({ ...body, digest })
        ),
        DELETE: Effect.map(target, CancelUpload)
      })
    }
    case "Tags":
      return byMethod(
        request.method,
        readable(
          Effect.zipWith(
            repositoryName(route.name),
            listPage(parameters, isTag),
            (repository, page) => ListTags({ repository, ...page })
          )
        )
      )
    case "Referrers": {
      const artifactType = parameters.get("artifactType")
      return byMethod(
        request.method,
        readable(
          Effect.map(
            Effect.all({ repository: repositoryName(route.name), digest: digest(route.digest) }),
            (target) => ListReferrers(artifactType ? { ...target, artifactType } : target)
          )
        )
      )
    }
  }
}

/**
 * The scopes an operation needs, in the canonical form of `AccessScope` (A9, A10). Cancelling asks
 * for what the upload had: distribution wants `delete` for it as well and says so in its challenge,
 * whereas Quay refuses to hear of `delete`.
 *
 * @since 0.1.0
 * @category getters
 */
export const requiredScopes = (operation: Operation): ReadonlyArray<string> => {
  switch (operation._tag) {
    case "Ping":
      return []
    case "ListRepositories":
      return ["registry:catalog:*"]
    case "GetManifest":
    case "HeadManifest":
    case "GetBlob":
    case "HeadBlob":
    case "ListTags":
    case "ListReferrers":
      return [`repository:${operation.repository}:pull`]
    case "DeleteManifest":
    case "DeleteBlob":
      return [`repository:${operation.repository}:delete,pull`]
    case "MountBlob":
      return AccessScope.canonical([
        `repository:${operation.repository}:pull,push`,
        ...(operation.from === undefined ? [] : [`repository:${operation.from}:pull`])
      ])
    case "PutManifest":
    case "StartUpload":
    case "UploadBlob":
    case "PutBlob":
    case "UploadChunk":
    case "CompleteUpload":
    case "UploadStatus":
    case "CancelUpload":
      return [`repository:${operation.repository}:pull,push`]
  }
}

const identity = { "accept-encoding": "identity" }

const anyManifest = { ...identity, accept: MediaType.MANIFEST_ACCEPT.join(", ") }

const octetStream = { "content-type": MediaType.octetStream }

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

/** A path is put on the origin of `base`, with a slash between them, lest it change the host. */
const supplied = (base: string, url: string): string => {
  const [text = ""] = url.split("#", 1)
  if (/^https?:\/\//i.test(text)) return text
  const authority = base.indexOf("://") + 3
  const slash = base.indexOf("/", authority)
  return `${slash === -1 ? base : base.slice(0, slash)}${text.startsWith("/") ? "" : "/"}${text}`
}

const listUrl = (base: string, link: string | undefined, path: string): string =>
  link === undefined ? base + path : supplied(base, link)

const withDigest = (url: string, digest: string): string => {
  const separator = !url.includes("?") ? "?" : /[?&]$/.test(url) ? "" : "&"
  return `${url}${separator}digest=${encodeURIComponent(digest)}`
}

const withoutDigest = (path: string, search: string): string => {
  const parts = search.split("&")
  const appended = parts.findLastIndex((part) => part.startsWith("digest="))
  const rest = parts.filter((_, index) => index !== appended).join("&")
  return rest === "" ? path : `${path}?${rest}`
}

const invalid = (
  status: number,
  code: string,
  message: string
): Effect.Effect<never, InvalidRequest> =>
  Effect.suspend(() => Effect.fail(new InvalidRequest({ status, code, message })))

const byMethod = (
  method: string,
  operations: Readonly<Record<string, Effect.Effect<Operation, InvalidRequest>>>
): Effect.Effect<Operation, InvalidRequest> => {
  const found = Object.hasOwn(operations, method) ? operations[method] : undefined
  if (found !== undefined) return found
  const allow = Object.keys(operations).join(", ")
  return Effect.fail(
    new InvalidRequest({
      status: 405,
      code: "UNSUPPORTED",
      message: `This path takes only ${allow}`,
      allow
    })
  )
}

const readable = (operation: Effect.Effect<Operation, InvalidRequest>) => ({
  GET: operation,
  HEAD: operation
})

const repositoryName = (name: string): Effect.Effect<RepositoryName, InvalidRequest> =>
  isRepositoryName(name)
    ? Effect.succeed(name)
    : invalid(400, "NAME_INVALID", "The repository name is invalid")

const tag = (tag: string): Effect.Effect<Tag, InvalidRequest> =>
  isTag(tag) ? Effect.succeed(tag) : invalid(400, "TAG_INVALID", "The tag is invalid")

const digest = (digest: string): Effect.Effect<Digest.Digest, InvalidRequest> =>
  Digest.isDigest(digest)
    ? Effect.succeed(digest)
    : invalid(400, "DIGEST_INVALID", "The digest is invalid or missing")

/** Only digests have a colon (C12, C14). */
const reference = (reference: string): Effect.Effect<Tag | Digest.Digest, InvalidRequest> =>
  reference.includes(":") ? digest(reference) : tag(reference)

/**
 * Empty parameters count as absent: a mount and a single POST have a digest, and only they (trap
 * 15, trap 20).
 */
const upload = (
  repository: RepositoryName,
  parameters: URLSearchParams,
  request: ReceivedRequest
): Effect.Effect<Operation, InvalidRequest> => {
  const mount = parameters.get("mount")
  const whole = parameters.get("digest")
  if (mount) {
    const from = parameters.get("from")
    const source = from
      ? Effect.map(repositoryName(from), (from) => ({ from }))
      : Effect.succeed({})
    return Effect.zipWith(digest(mount), source, (digest, source) =>
      MountBlob({ repository, digest, ...source })
    )
  }
  if (whole) {
    return Effect.flatMap(wholeLength(request), (size) =>
      Effect.map(digest(whole), (digest) => UploadBlob({ repository, digest, size }))
    )
  }
  const algorithm = parameters.get("digest-algorithm")
  return Effect.succeed(StartUpload(algorithm ? { repository, algorithm } : { repository }))
}

/**
 * Neither header means an empty body (RFC 9112 §6.3), which is how a blob of no bytes may arrive.
 */
const wholeLength = ({ headers }: ReceivedRequest): Effect.Effect<number, InvalidRequest> =>
  Option.match(
    ByteRange.parseLength(headers["content-length"] ?? (headers["transfer-encoding"] ? "" : "0")),
    {
      onNone: () =>
        invalid(411, "SIZE_INVALID", "A blob in a single request needs a Content-Length"),
      onSome: Effect.succeed
    }
  )

const chunkRange = ({
  headers
}: ReceivedRequest): Effect.Effect<{ readonly range?: ByteRange.ByteRange }, InvalidRequest> => {
  const header = headers["content-range"]
  if (header === undefined) return Effect.succeed({})
  const range = Option.getOrUndefined(ByteRange.parseChunk(header))
  if (range === undefined) {
    return invalid(
      400,
      "BLOB_UPLOAD_INVALID",
      "Content-Range must be <first byte>-<last byte>, such as 0-1023"
    )
  }
  const length = Option.flatMap(
    Option.fromNullable(headers["content-length"]),
    ByteRange.parseLength
  )
  return Option.isSome(length) && length.value !== range.end - range.start + 1
    ? invalid(400, "SIZE_INVALID", "Content-Length does not agree with Content-Range")
    : Effect.succeed({ range })
}

/** An empty number counts as absent, as it does for other registries. */
const listPage = <A extends string>(
  parameters: URLSearchParams,
  isItem: (last: string) => last is A
): Effect.Effect<{ readonly n?: number; readonly last?: A }, InvalidRequest> => {
  const n = parameters.get("n") ?? ""
  const last = parameters.get("last") ?? ""
  if (!/^[0-9]{0,15}$/.test(n)) {
    return invalid(400, "PAGINATION_NUMBER_INVALID", "n must be a number of items, 0 or more")
  }
  return Effect.succeed({ ...(n !== "" && { n: Number(n) }), ...(isItem(last) && { last }) })
}
