/** The manifests of a registry server. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import type { Case } from "../../protocol/internal/OperationCases.js"
import * as Route from "../../protocol/internal/Route.js"
import type { Registry } from "../../Registry.js"
import { DigestMismatch, InvalidDigest, ManifestUnknown } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import * as Manifest from "../../spec/Manifest.js"
import * as ErrorResponse from "./ErrorResponse.js"
import { receive } from "./RequestBody.js"
import * as ServerResponse from "./ServerResponse.js"

/** Returns the exact bytes of a manifest, with the type it was pushed as (R3, R7). */
export const getManifest = (registry: Registry.Service, operation: Case<"GetManifest">) =>
  Effect.map(
    registry.getManifest(operation.repository, operation.reference),
    ({ bytes, descriptor }) =>
      ServerResponse.bytes(
        200,
        bytes,
        descriptor.mediaType,
        ServerResponse.contentDigest(descriptor.digest)
      )
  )

/** Returns type, digest and size of a manifest (R10). */
export const headManifest = Effect.fnUntraced(function* (
  registry: Registry.Service,
  { reference, repository }: Case<"HeadManifest">
) {
  const descriptor = yield* registry.headManifest(repository, reference)
  if (Option.isNone(descriptor)) return yield* new ManifestUnknown({ repository, reference })
  const { digest, mediaType, size } = descriptor.value
  return ServerResponse.head(size, mediaType, ServerResponse.contentDigest(digest))
})

/**
 * Stores a manifest under its digest and the tag of the path, or the tags of the query (R27 to
 * R32). Its digest is computed with the algorithm of the digest in the path (trap 35).
 */
export const putManifest = Effect.fnUntraced(function* (
  registry: Registry.Service,
  { mediaType, reference, repository, tags = [] }: Case<"PutManifest">,
  request: HttpServerRequest
) {
  const body = yield* receive(request)
  const bytes = yield* ByteStream.collect(
    Option.getOrElse(body, () => Stream.empty),
    {
      what: "The manifest",
      limit: manifestLimit
    }
  ).pipe(
    Effect.catchTag("LimitExceeded", ({ message }) =>
      Effect.fail(
        new ErrorResponse.ErrorResponse({ status: 413, code: "MANIFEST_INVALID", message })
      )
    )
  )
  const expected = Digest.isDigest(reference) ? reference : undefined
  if (expected !== undefined && !Digest.isVerifiable(expected)) {
    return yield* new InvalidDigest({ input: expected.slice(0, 128), reason: "Algorithm" })
  }
  const manifest = yield* Manifest.fromBytes(bytes, { mediaType, digest: expected })
  const actual = manifest.descriptor.digest
  if (expected !== undefined && expected !== actual)
    return yield* new DigestMismatch({ expected, actual })
  yield* registry.putManifest(repository, manifest, {
    tags: Digest.isDigest(reference) ? tags : [reference]
  })
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
export const deleteManifest = (
  registry: Registry.Service,
  { reference, repository }: Case<"DeleteManifest">
) =>
  Effect.as(
    Digest.isDigest(reference)
      ? registry.deleteManifest(repository, reference)
      : registry.deleteTag(repository, reference),
    ServerResponse.empty(202)
  )

/**
 * The size of manifest that a registry must at least take is also the most that clients are ready
 * to read (C70, R31), in bytes.
 */
const manifestLimit = 4 * 1024 * 1024
