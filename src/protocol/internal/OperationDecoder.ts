/** Received requests as operations. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import { isRepositoryName, isTag, type RepositoryName, type Tag } from "../../spec/Reference.js"
import * as ByteRange from "../ByteRange.js"
import * as EntityTag from "./EntityTag.js"
import { cases, InvalidRequest, type Operation, type ReceivedRequest } from "./OperationCases.js"
import * as Route from "./Route.js"

const {
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
} = cases

/** Returns the operation that a received request asks for: see `Operation.fromRequest`. */
export const fromRequest = (request: ReceivedRequest): Effect.Effect<Operation, InvalidRequest> => {
  const operations = operationsAt(request)
  return operations === undefined
    ? invalid(404, "UNSUPPORTED", "There is no such path in the distribution API")
    : byMethod(request.method, operations)
}

/** Returns the methods that a path takes besides that of a request, as `Allow` names them. */
export const otherMethods = (request: ReceivedRequest): string =>
  Object.keys(operationsAt(request) ?? {})
    .filter((method) => method !== request.method)
    .join(", ")

/** What each method of a path means, if it is one of the API's. */
const operationsAt = (request: ReceivedRequest): ByMethod | undefined => {
  const mark = request.url.indexOf("?")
  const path = mark === -1 ? request.url : request.url.slice(0, mark)
  const search = mark === -1 ? "" : request.url.slice(mark + 1)
  const route = Option.getOrUndefined(Route.match(path))
  if (route === undefined) return undefined
  return methods(route, {
    request,
    path,
    search,
    // A raw "+" is taken literally: no value here has a space, but artifact types and digest
    // algorithms have it (trap 47).
    parameters: new URLSearchParams(search.replaceAll("+", "%2B"))
  })
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

/** A request in its parts. */
interface Received {
  readonly request: ReceivedRequest
  readonly path: string
  readonly search: string
  readonly parameters: URLSearchParams
}

type ByMethod = Readonly<Record<string, Effect.Effect<Operation, InvalidRequest>>>

/** What each method of a route means. */
const methods = (route: Route.Route, received: Received): ByMethod => {
  const { parameters, request } = received
  switch (route._tag) {
    case "Base":
      return readable(Effect.succeed(Ping()))
    case "Catalog":
      return readable(Effect.map(listPage(parameters, isRepositoryName), ListRepositories))
    case "Manifest":
      return ofManifest(
        Effect.all({
          repository: repositoryName(route.name),
          reference: reference(route.reference)
        }),
        received
      )
    case "Blob":
      return ofBlob(
        Effect.all({ repository: repositoryName(route.name), digest: digest(route.digest) }),
        request
      )
    case "Uploads":
      return {
        POST: Effect.flatMap(repositoryName(route.name), (repository) =>
          upload(repository, parameters, request)
        )
      }
    case "Upload":
      return ofUpload(repositoryName(route.name), received)
    case "Tags":
      return readable(
        Effect.zipWith(
          repositoryName(route.name),
          listPage(parameters, isTag),
          (repository, page) => ListTags({ repository, ...page })
        )
      )
    case "Referrers": {
      const artifactType = parameters.get("artifactType")
      return readable(
        Effect.map(
          Effect.all({ repository: repositoryName(route.name), digest: digest(route.digest) }),
          (target) => ListReferrers(artifactType ? { ...target, artifactType } : target)
        )
      )
    }
  }
}

const ofManifest = (
  target: Effect.Effect<
    { readonly repository: RepositoryName; readonly reference: Tag | Digest.Digest },
    InvalidRequest
  >,
  { parameters, request }: Received
): ByMethod => ({
  GET: Effect.map(target, (target) => {
    const unless = EntityTag.knownBy(request.headers)
    return GetManifest(unless === undefined ? target : { ...target, unless })
  }),
  HEAD: Effect.map(target, HeadManifest),
  PUT: Effect.zipWith(target, Effect.forEach(parameters.getAll("tag"), tag), (target, tags) => {
    const onlyIf = EntityTag.expectedBy(request.headers)
    return PutManifest({
      ...target,
      mediaType: MediaType.essence(request.headers["content-type"] ?? MediaType.octetStream),
      ...(tags.length > 0 && { tags }),
      ...(onlyIf !== undefined && { onlyIf })
    })
  }),
  DELETE: Effect.map(target, DeleteManifest)
})

const ofBlob = (
  target: Effect.Effect<
    { readonly repository: RepositoryName; readonly digest: Digest.Digest },
    InvalidRequest
  >,
  request: ReceivedRequest
): ByMethod => {
  const range = Option.flatMap(
    Option.fromNullable(request.headers["range"]),
    ByteRange.parseRequest
  )
  return {
    GET: Effect.map(target, (target) =>
      GetBlob(Option.isSome(range) ? { ...target, range: range.value } : target)
    ),
    HEAD: Effect.map(target, HeadBlob),
    PUT: Effect.zipWith(target, wholeLength(request), (target, size) =>
      PutBlob({ ...target, size })
    ),
    DELETE: Effect.map(target, DeleteBlob)
  }
}

const ofUpload = (
  repository: Effect.Effect<RepositoryName, InvalidRequest>,
  { parameters, path, request, search }: Received
): ByMethod => {
  const target = Effect.map(repository, (repository) => ({
    repository,
    location: withoutDigest(path, search)
  }))
  const body = Effect.zipWith(target, chunkRange(request), (target, range) => ({
    ...target,
    ...range
  }))
  return {
    ...readable(Effect.map(target, UploadStatus)),
    PATCH: Effect.map(body, UploadChunk),
    PUT: Effect.zipWith(body, digest(parameters.getAll("digest").at(-1) ?? ""), (body, digest) =>
      CompleteUpload({ ...body, digest })
    ),
    DELETE: Effect.map(target, CancelUpload)
  }
}

const byMethod = (
  method: string,
  operations: ByMethod
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

const readable = (operation: Effect.Effect<Operation, InvalidRequest>): ByMethod => ({
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
