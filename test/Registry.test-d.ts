/**
 * Pins what each operation can fail with and needs, exactly: a widened union or a new requirement
 * is a change of the contract.
 */

import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { describe, expectTypeOf, it } from "vitest"
import type { BlobSource } from "../src/BlobSource.js"
import type { Registries } from "../src/Registries.js"
import type { Registry, UploadSession } from "../src/Registry.js"
import type {
  BlobUnknown,
  BodyNotReplayable,
  CommonError,
  CredentialsFailure,
  Denied,
  DigestMismatch,
  InvalidDigest,
  InvalidManifest,
  InvalidUrl,
  LimitExceeded,
  ManifestUnknown,
  MediaTypeMismatch,
  NameUnknown,
  PreconditionFailed,
  ProtocolViolation,
  RangeMismatch,
  RegistryFailure,
  SizeMismatch,
  StorageFailure,
  TooManyRequests,
  TransportFailure,
  Unauthorized,
  Unsupported,
  UntrustedLocation,
  UploadUnknown
} from "../src/RegistryError.js"
import type { Descriptor } from "../src/spec/Descriptor.js"
import type { Digest } from "../src/spec/Digest.js"
import type { Manifest } from "../src/spec/Manifest.js"
import type { RepositoryName, Tag } from "../src/spec/Reference.js"
import type * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import type { UploadState } from "../src/Transfer.js"

declare const registry: Registry.Service
declare const session: UploadSession
declare const repository: RepositoryName
declare const tag: Tag
declare const digest: Digest
declare const descriptor: Descriptor
declare const manifest: Manifest
declare const state: UploadState
declare const source: BlobSource<"own", "environment">
declare const stream: Stream.Stream<Uint8Array, "own", "environment">

describe("Registry", () => {
  it("CommonError is what any operation can fail with", () => {
    expectTypeOf<CommonError>().toEqualTypeOf<
      | Unauthorized
      | Denied
      | CredentialsFailure
      | TooManyRequests
      | Unsupported
      | RegistryFailure
      | ProtocolViolation
      | UntrustedLocation
      | LimitExceeded
      | TransportFailure
      | StorageFailure
    >()
  })

  it("covers every operation in this file", () => {
    expectTypeOf<keyof Registry.Service>().toEqualTypeOf<
      | "ping"
      | "getManifest"
      | "headManifest"
      | "putManifest"
      | "deleteTag"
      | "deleteManifest"
      | "tags"
      | "repositories"
      | "referrers"
      | "headBlob"
      | "getBlob"
      | "getBlobBytes"
      | "getBlobRange"
      | "putBlob"
      | "deleteBlob"
      | "startUpload"
      | "resumeUpload"
      | "mountBlob"
    >()
    expectTypeOf<keyof UploadSession>().toEqualTypeOf<
      "state" | "write" | "status" | "commit" | "detach" | "chunkMinLength" | "chunkMaxLength"
    >()
  })

  it("ping", () => {
    expectTypeOf(registry.ping).toEqualTypeOf<Effect.Effect<void, Unsupported | CommonError>>()
  })

  it("manifests", () => {
    expectTypeOf(registry.getManifest).parameters.toEqualTypeOf<[RepositoryName, Tag | Digest]>()
    expectTypeOf(registry.getManifest(repository, tag)).toEqualTypeOf<
      Effect.Effect<
        Manifest,
        | ManifestUnknown
        | NameUnknown
        | DigestMismatch
        | MediaTypeMismatch
        | InvalidManifest
        | InvalidDigest
        | CommonError
      >
    >()
    expectTypeOf(registry.headManifest(repository, digest)).toEqualTypeOf<
      Effect.Effect<Option.Option<Descriptor>, DigestMismatch | InvalidDigest | CommonError>
    >()
    expectTypeOf(registry.putManifest(repository, manifest, { tags: [tag] })).toEqualTypeOf<
      Effect.Effect<
        Descriptor,
        | NameUnknown
        | BlobUnknown
        | PreconditionFailed
        | DigestMismatch
        | InvalidManifest
        | InvalidDigest
        | CommonError
      >
    >()
    expectTypeOf(registry.deleteTag).parameters.toEqualTypeOf<[RepositoryName, Tag]>()
    expectTypeOf(registry.deleteTag(repository, tag)).toEqualTypeOf<
      Effect.Effect<void, ManifestUnknown | NameUnknown | Unsupported | CommonError>
    >()
    expectTypeOf(registry.deleteManifest).parameters.toEqualTypeOf<[RepositoryName, Digest]>()
    expectTypeOf(registry.deleteManifest(repository, digest)).toEqualTypeOf<
      Effect.Effect<void, ManifestUnknown | NameUnknown | Unsupported | CommonError>
    >()
  })

  it("lists", () => {
    expectTypeOf(registry.tags(repository, { pageSize: 1, after: tag })).toEqualTypeOf<
      Stream.Stream<Tag, NameUnknown | CommonError>
    >()
    expectTypeOf(registry.repositories({ pageSize: 1, after: repository })).toEqualTypeOf<
      Stream.Stream<RepositoryName, Unsupported | CommonError>
    >()
    expectTypeOf(registry.referrers(repository, digest, { artifactType: "a/b" })).toEqualTypeOf<
      Stream.Stream<Descriptor, InvalidManifest | CommonError>
    >()
  })

  it("blobs", () => {
    expectTypeOf(registry.headBlob(repository, digest)).toEqualTypeOf<
      Effect.Effect<Option.Option<Descriptor>, DigestMismatch | CommonError>
    >()
    expectTypeOf(registry.getBlob(repository, descriptor)).toEqualTypeOf<
      Stream.Stream<
        Uint8Array,
        BlobUnknown | NameUnknown | DigestMismatch | SizeMismatch | InvalidDigest | CommonError
      >
    >()
    expectTypeOf(registry.getBlobBytes(repository, descriptor, { limit: 1 })).toEqualTypeOf<
      Effect.Effect<
        Uint8Array,
        BlobUnknown | NameUnknown | DigestMismatch | SizeMismatch | InvalidDigest | CommonError
      >
    >()
    expectTypeOf(registry.getBlobBytes).parameters.toEqualTypeOf<
      [RepositoryName, Digest | Descriptor, options?: { readonly limit?: number | undefined }]
    >()
    expectTypeOf(registry.getBlobRange(repository, digest, { start: 0 })).toEqualTypeOf<
      Stream.Stream<
        Uint8Array,
        BlobUnknown | NameUnknown | RangeMismatch | Unsupported | CommonError
      >
    >()
    expectTypeOf(registry.deleteBlob(repository, digest)).toEqualTypeOf<
      Effect.Effect<void, BlobUnknown | NameUnknown | Unsupported | CommonError>
    >()
    expectTypeOf(registry.mountBlob).parameters.toEqualTypeOf<
      [repository: RepositoryName, digest: Digest, from?: RepositoryName]
    >()
    expectTypeOf<ReturnType<typeof registry.mountBlob>>().toEqualTypeOf<
      Effect.Effect<boolean, NameUnknown | DigestMismatch | CommonError>
    >()
  })

  it("putBlob adds the error and environment of its source, and no more", () => {
    const put = registry.putBlob(repository, source, { mountFrom: repository, chunkSize: 1 })
    expectTypeOf(put).toEqualTypeOf<
      Effect.Effect<
        Descriptor,
        | "own"
        | NameUnknown
        | UploadUnknown
        | DigestMismatch
        | SizeMismatch
        | RangeMismatch
        | InvalidDigest
        | BodyNotReplayable
        | Unsupported
        | CommonError,
        "environment"
      >
    >()
  })

  it("upload sessions", () => {
    expectTypeOf(registry.startUpload(repository)).toEqualTypeOf<
      Effect.Effect<UploadSession, NameUnknown | Unsupported | CommonError, Scope.Scope>
    >()
    expectTypeOf(registry.resumeUpload(state)).toEqualTypeOf<
      Effect.Effect<UploadSession, UploadUnknown | CommonError, Scope.Scope>
    >()
    expectTypeOf(session.state).toEqualTypeOf<Effect.Effect<UploadState>>()
    expectTypeOf(session.write(new Uint8Array())).toEqualTypeOf<
      Effect.Effect<
        UploadState,
        UploadUnknown | RangeMismatch | Unsupported | BodyNotReplayable | CommonError
      >
    >()
    expectTypeOf(session.write(stream)).toEqualTypeOf<
      Effect.Effect<
        UploadState,
        "own" | UploadUnknown | RangeMismatch | Unsupported | BodyNotReplayable | CommonError,
        "environment"
      >
    >()
    expectTypeOf(session.status).toEqualTypeOf<
      Effect.Effect<UploadState, UploadUnknown | CommonError>
    >()
    expectTypeOf(session.commit(digest)).toEqualTypeOf<
      Effect.Effect<Descriptor, UploadUnknown | DigestMismatch | InvalidDigest | CommonError>
    >()
    expectTypeOf(session.detach).toEqualTypeOf<Effect.Effect<UploadState>>()
  })

  it("registries, and the ones in memory", () => {
    expectTypeOf<Registries.Service["get"]>().toEqualTypeOf<
      (host: string) => Effect.Effect<Registry.Service, InvalidUrl>
    >()
    expectTypeOf<ReturnType<typeof MemoryRegistry.make>>().toEqualTypeOf<
      Effect.Effect<MemoryRegistry.MemoryRegistry>
    >()
    expectTypeOf<ReturnType<typeof MemoryRegistry.layer>>().toEqualTypeOf<Layer.Layer<Registry>>()
    expectTypeOf<ReturnType<typeof MemoryRegistry.layerRegistries>>().toEqualTypeOf<
      Layer.Layer<Registries>
    >()
  })
})
