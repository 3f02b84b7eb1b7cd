/** The manifests of a registry server. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as EntityTag from "../../protocol/internal/EntityTag.js"
import type { Case } from "../../protocol/internal/OperationCases.js"
import * as Route from "../../protocol/internal/Route.js"
import type { PutCondition, Registry } from "../../Registry.js"
import { DigestMismatch, InvalidDigest, ManifestUnknown } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"
import * as Conditions from "./Conditions.js"
import * as ErrorResponse from "./ErrorResponse.js"
import type { Bounds } from "./Limits.js"
import { receive } from "./RequestBody.js"
import * as ServerResponse from "./ServerResponse.js"

/** Returns the exact bytes of a manifest, with the type it was pushed as (R3, R7). */
export const getManifest = Effect.fnUntraced(function* (
  registry: Registry.Service,
  { reference, repository, unless }: Case<"GetManifest">,
  request: HttpServerRequest
) {
  const whole = ({ bytes, descriptor: { digest, mediaType } }: Manifest.Manifest) =>
    ServerResponse.bytes(200, bytes, mediaType, manifestHeaders(digest))
  const unmodified = (digest: Digest.Digest) => ServerResponse.notModified(manifestHeaders(digest))
  if (unless !== undefined) {
    const changed = yield* registry.getChangedManifest(repository, reference, unless)
    return Option.match(changed, { onNone: () => unmodified(unless), onSome: whole })
  }
  const manifest = yield* registry.getManifest(repository, reference)
  const { digest } = manifest.descriptor
  return (yield* Conditions.isUnmodified(request, digest)) ? unmodified(digest) : whole(manifest)
})

/** Returns type, digest and size of a manifest (R10). */
export const headManifest = Effect.fnUntraced(function* (
  registry: Registry.Service,
  { reference, repository }: Case<"HeadManifest">,
  request: HttpServerRequest
) {
  const descriptor = yield* registry.headManifest(repository, reference)
  if (Option.isNone(descriptor)) return yield* new ManifestUnknown({ repository, reference })
  const { digest, mediaType, size } = descriptor.value
  const headers = manifestHeaders(digest)
  if (yield* Conditions.isUnmodified(request, digest)) return ServerResponse.notModified(headers)
  // The digest and size of a signed manifest are those of its payload (trap 36).
  const isSigned = MediaType.equals(mediaType, MediaType.dockerSchema1Signed)
  const length = isSigned ? (yield* registry.getManifest(repository, digest)).bytes.length : size
  return ServerResponse.head(length, mediaType, headers)
})

/**
 * Stores a manifest under its digest and the tag of the path, or the tags of the query (R27 to
 * R32). Its digest is computed with the algorithm of the digest in the path (trap 35). A condition
 * is about the tag that is put, and about the manifest where none is (RFC 9110 section 13.1).
 */
export const putManifest = Effect.fnUntraced(function* (
  registry: Registry.Service,
  bounds: Bounds,
  { mediaType, reference, repository, tags = [] }: Case<"PutManifest">,
  request: HttpServerRequest
) {
  if (tags.length > mostTags)
    return yield* new ErrorResponse.ErrorResponse({
      status: 414,
      code: "TAG_INVALID",
      message: `One request can put ${mostTags} tags: put the others with another`
    })
  const body = yield* receive(request)
  const bytes = yield* ByteStream.collect(
    Option.getOrElse(body, () => Stream.empty),
    {
      what: "The manifest",
      limit: bounds.manifestSize
    }
  ).pipe(
    Effect.catchTag("LimitExceeded", ({ message }) =>
      Effect.fail(
        new ErrorResponse.ErrorResponse({ status: 413, code: "MANIFEST_INVALID", message })
      )
    )
  )
  yield* bounds.require(bytes.length)
  const expected = Digest.isDigest(reference) ? reference : undefined
  if (expected !== undefined && !Digest.isVerifiable(expected)) {
    return yield* new InvalidDigest({ input: expected.slice(0, 128), reason: "Algorithm" })
  }
  const manifest = yield* Manifest.fromBytes(bytes, { mediaType, digest: expected })
  const actual = manifest.descriptor.digest
  if (expected !== undefined && expected !== actual)
    return yield* new DigestMismatch({ expected, actual })
  const all = Digest.isDigest(reference) ? tags : [reference]
  const onlyIf = yield* conditionOfPut(registry, repository, all, actual, request)
  yield* registry.putManifest(repository, manifest, { tags: all, onlyIf })
  return ServerResponse.empty(201, {
    location: Route.manifestPath(repository, actual),
    ...ServerResponse.contentDigest(actual),
    // One value each, since repeated fields do not survive all servers (trap 75).
    ...(expected === undefined || tags.length === 0 ? {} : { "oci-tag": tags.join(", ") }),
    ...Option.match(Manifest.subject(manifest), {
      onNone: () => ({}),
      onSome: ({ digest }) => ({ "oci-subject": digest })
    })
  })
})

/** Removes a tag and leaves its manifest, or a manifest with its tags (R38, R39). */
export const deleteManifest = Effect.fnUntraced(function* (
  registry: Registry.Service,
  { reference, repository }: Case<"DeleteManifest">,
  request: HttpServerRequest
) {
  const conditions = EntityTag.conditions(request.headers)
  if (conditions !== undefined)
    yield* Conditions.checked(conditions, yield* current(registry, repository, reference))
  yield* Digest.isDigest(reference)
    ? registry.deleteManifest(repository, reference)
    : registry.deleteTag(repository, reference)
  return ServerResponse.empty(202)
})

// -----------------------------------------------------------------------------
// Conditions
// -----------------------------------------------------------------------------

const manifestHeaders = (digest: Digest.Digest) => ({
  ...ServerResponse.contentDigest(digest),
  ...Conditions.entityTag(digest)
})

const current = (
  registry: Registry.Service,
  repository: RepositoryName,
  reference: Tag | Digest.Digest
) =>
  Effect.map(registry.headManifest(repository, reference), (found) =>
    Option.isSome(found) ? found.value.digest : undefined
  )

/**
 * The condition under which the registry behind puts a tag: that it still is what the conditions of
 * the request were found to hold for.
 */
const conditionOfPut = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: RepositoryName,
  [tag, ...others]: ReadonlyArray<Tag>,
  digest: Digest.Digest,
  request: HttpServerRequest
) {
  const conditions = EntityTag.conditions(request.headers)
  if (conditions === undefined) return undefined
  if (others.length > 0)
    return yield* new ErrorResponse.ErrorResponse({
      status: 400,
      code: "UNSUPPORTED",
      message: "A condition can be on one tag: put the others without it"
    })
  const is = yield* current(registry, repository, tag ?? digest)
  yield* Conditions.checked(conditions, is)
  return tag === undefined ? undefined : ({ tag, is: is ?? "absent" } satisfies PutCondition)
})

/** Registries should take ten at least, and refuse too many with 414 (R30). */
const mostTags = 100
