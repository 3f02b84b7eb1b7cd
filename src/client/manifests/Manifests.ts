/**
 * Manifests over HTTP: read and verified, written under digest and tags, and deleted.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ChangedManifest from "../../internal/ChangedManifest.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import type { PutCondition, Registry } from "../../Registry.js"
import { DigestMismatch, ProtocolViolation } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import { isGeneric } from "../../spec/internal/GenericMediaType.js"
import { mediaTypeOf, parse } from "../../spec/internal/ManifestDocument.js"
import * as SignedPayload from "../../spec/internal/SignedPayload.js"
import * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName, Tag } from "../../spec/Reference.js"
import { isPage } from "../http/Classify.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Pipeline } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import * as ConditionalPut from "./ConditionalPut.js"
import {
  announcedDigest,
  isUnchanged,
  longest,
  type ManifestRequests,
  make as makeRequests,
  named,
  nameOf,
  type Reference
} from "./ManifestRequests.js"
import * as Referrers from "./Referrers.js"

/** The operations on manifests of one registry. `asked` is for what a caller asks to read. */
export const make = (
  to: Endpoint,
  pipeline: Pipeline,
  asked: Pipeline
): Pick<
  Registry.Service,
  | "getManifest"
  | "getChangedManifest"
  | "headManifest"
  | "putManifest"
  | "deleteManifest"
  | "deleteTag"
  | "referrers"
> => {
  const requests = makeRequests(to, pipeline)
  const askedRequests = makeRequests(to, asked)
  const reads = makeReads(to, askedRequests)
  const askedHead = makeHeadManifest(to, asked, askedRequests)
  const headManifest = makeHeadManifest(to, pipeline, requests)
  const referrers = Referrers.make(to, pipeline, requests, {
    asked: reads,
    own: { ...makeReads(to, requests), headManifest }
  })

  /** Puts a manifest under some tags, each on the condition, and returns the last response. */
  const putTags = Effect.fnUntraced(function* (
    repository: RepositoryName,
    manifest: Manifest.Manifest,
    tags: ReadonlyArray<Tag>,
    onlyIf?: PutCondition["is"]
  ) {
    const { digest } = manifest.descriptor
    const [first, ...others] = tags
    // A tag alone suffices, unless the registry would compute the digest with another algorithm
    // than ours (trap 32).
    if (first !== undefined && others.length === 0 && Digest.algorithm(digest) === "sha256")
      return yield* requests.put(repository, manifest, first, { onlyIf })
    const response = yield* requests.put(repository, manifest, digest, { tags, onlyIf })
    const accepted = (response.headers["oci-tag"] ?? "").split(",").map((tag) => tag.trim())
    const missing = tags.filter((tag) => !accepted.includes(tag))
    yield* Effect.forEach(missing, (tag) => requests.put(repository, manifest, tag, { onlyIf }), {
      discard: true
    })
    return response
  })

  const putManifest: Registry.Service["putManifest"] = Effect.fnUntraced(function* (
    repository,
    manifest,
    { onlyIf, tags = [] } = {}
  ) {
    yield* referrers.check(repository, manifest)
    let response: Received.Received | undefined
    if (onlyIf !== undefined) {
      const put = putTags(repository, manifest, [onlyIf.tag], onlyIf.is)
      response = yield* ConditionalPut.run(to, askedHead, repository, manifest, onlyIf, put)
    }
    const others = [...new Set(tags)].filter((tag) => tag !== onlyIf?.tag)
    if (onlyIf === undefined || others.length > 0)
      response = yield* putTags(repository, manifest, others)
    yield* referrers.add(repository, manifest, response)
    return manifest.descriptor
  })

  const deleteReference = (repository: RepositoryName, reference: Reference) =>
    pipeline.remove(
      Operation.DeleteManifest({ repository, reference }),
      Effect.match(headManifest(repository, reference), {
        onFailure: () => false,
        onSuccess: Option.isNone
      })
    )

  return {
    ...reads,
    headManifest: askedHead,
    putManifest,
    deleteManifest: (repository, digest) =>
      referrers.deleteManifest(repository, digest, deleteReference(repository, digest)),
    deleteTag: (repository, tag) =>
      referrers.deleteTag(repository, tag, deleteReference(repository, tag)),
    referrers: referrers.referrers
  }
}

/** The two ways to read a manifest. */
const makeReads = (
  to: Endpoint,
  { pull }: ManifestRequests
): Pick<Registry.Service, "getManifest" | "getChangedManifest"> => {
  const decoded = Effect.fnUntraced(function* (
    repository: RepositoryName,
    reference: Reference,
    bytes: Uint8Array,
    response: Received.Received
  ) {
    const digest = Digest.isDigest(reference) ? reference : undefined
    if (digest !== undefined) yield* verified(bytes, digest, response)
    const mediaType = SingleField.value(response.headers, "content-type")
    return yield* Effect.mapError(
      Manifest.fromBytes(bytes, {
        mediaType,
        digest: digest ?? sha512Of(() => SignedPayload.hashed(bytes, mediaType), response)
      }),
      (error) => named(nameOf(to, repository, reference), error, response)
    )
  })

  const getManifest: Registry.Service["getManifest"] = Effect.fnUntraced(
    function* (repository, reference) {
      if (Digest.isDigest(reference)) yield* Digest.hasherFor(reference)
      return yield* decoded(repository, reference, ...(yield* pull(repository, reference)))
    }
  )

  return {
    getManifest,
    getChangedManifest: Effect.fnUntraced(function* (repository, reference, known) {
      if (Digest.isDigest(reference)) yield* Digest.hasherFor(reference)
      const [bytes, response] = yield* pull(repository, reference, known)
      if (!isUnchanged(response))
        return yield* ChangedManifest.unless(decoded(repository, reference, bytes, response), known)
      const announced = announcedDigest(response)
      return announced === undefined || !Digest.disagree(known, announced)
        ? Option.none()
        : // It is about something else: a proxy can have mixed up two conditions.
          yield* ChangedManifest.unless(getManifest(repository, reference), known)
    })
  }
}

const makeHeadManifest = (
  to: Endpoint,
  { send }: Pipeline,
  { pull }: ManifestRequests
): Registry.Service["headManifest"] => {
  /** For registries whose HEAD lacks a header, or has those of something else (C31, trap 28). */
  const byGet = Effect.fnUntraced(function* (repository: RepositoryName, reference: Reference) {
    const [bytes, response] = yield* pull(repository, reference)
    if (Digest.isDigest(reference)) yield* verified(bytes, reference, response)
    const mediaType = yield* Effect.mapError(
      mediaTypeOf(SingleField.value(response.headers, "content-type"), parse(bytes)),
      ({ message }) => {
        const shown = Received.textOf(response, message, longest)
        const problem = `${nameOf(to, repository, reference)}: ${shown}`
        return new ProtocolViolation({ ...Received.exchangeOf(response), problem })
      }
    )
    const hashed = SignedPayload.hashed(bytes, mediaType)
    const digest = Digest.isDigest(reference)
      ? reference
      : (sha512Of(() => hashed, response) ?? Digest.fromBytes(hashed))
    return Option.some<Descriptor>({ mediaType, digest, size: hashed.length })
  })

  return (repository, reference) => {
    const digest = Digest.isDigest(reference) ? reference : undefined
    const got = Effect.catchTags(
      Effect.suspend(() => byGet(repository, reference)),
      { ManifestUnknown: () => Effect.succeedNone, NameUnknown: () => Effect.succeedNone }
    )
    return Effect.matchEffect(send(Operation.HeadManifest({ repository, reference })), {
      onFailure: (failure) => (failure._tag === "HeadUnsupported" ? got : Effect.fail(failure)),
      onSuccess: (response) => {
        if (response.status === 404) return Effect.succeedNone
        const announced = announcedDigest(response)
        if (digest !== undefined && announced !== undefined && Digest.disagree(digest, announced))
          return Effect.fail(
            new DigestMismatch({
              ...Received.exchangeOf(response),
              expected: digest,
              actual: announced
            })
          )
        const found = digest ?? announced
        const mediaType = MediaType.essence(
          SingleField.value(response.headers, "content-type") ?? ""
        )
        const size = Received.lengthOf(response)
        // The length of a signed manifest is not its size (trap 36).
        const isTyped =
          MediaType.isMediaType(mediaType) &&
          !isGeneric(mediaType) &&
          !MediaType.equals(mediaType, MediaType.dockerSchema1Signed) &&
          !isPage(response)
        // No manifest is empty: proxies say so of a HEAD.
        return found === undefined || size === undefined || size === 0 || !isTyped
          ? got
          : Effect.succeedSome<Descriptor>({ mediaType, digest: found, size })
      }
    })
  }
}

/**
 * The digest that the header has, if it is another than that by sha256, which a registry may not
 * know it by (C16). It counts for nothing else: many send one that is not of these bytes (C24, rule
 * 7).
 */
const sha512Of = (
  hashed: () => Uint8Array,
  response: Received.Received
): Digest.Digest | undefined => {
  const announced = announcedDigest(response)
  const algorithm = Digest.comparable(announced)
  return algorithm === "sha512" && Digest.fromBytes(hashed(), algorithm) === announced
    ? announced
    : undefined
}

const verified = (bytes: Uint8Array, digest: Digest.Digest, response: Received.Received) =>
  Effect.flatMap(Digest.hasherFor(digest), (hasher) => {
    const sent = SingleField.value(response.headers, "content-type")
    hasher.update(SignedPayload.hashed(bytes, sent))
    const actual = hasher.digest()
    return actual === digest
      ? Effect.void
      : Effect.fail(
          new DigestMismatch({ ...Received.exchangeOf(response), expected: digest, actual })
        )
  })
