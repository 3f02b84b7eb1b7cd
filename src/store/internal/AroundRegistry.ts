/** A registry with something around each of its operations: a span, a line of a log, a rate. */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { make, type Registry, type UploadSession } from "../../Registry.js"
import type { TooManyRequests } from "../../RegistryError.js"

/**
 * An operation of a registry, or a step of an upload session that asks the registry, and what it is
 * about. Each member is absent where it is about none.
 *
 * @since 0.1.0
 * @category models
 */
export interface Operation {
  readonly name:
    | keyof Registry.Service
    | "UploadSession.write"
    | "UploadSession.status"
    | "UploadSession.commit"
  readonly repository?: string | undefined
  /** The tag or digest of a manifest that was asked for. */
  readonly reference?: string | undefined
  readonly digest?: string | undefined
  /** The repository that a blob is mounted from. */
  readonly from?: string | undefined
}

/** What is around operations, as effects and as streams. */
export interface Around {
  readonly effect: <A, E, R>(
    operation: Operation,
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | TooManyRequests, R>
  readonly stream: <A, E, R>(
    operation: Operation,
    stream: Stream.Stream<A, E, R>
  ) => Stream.Stream<A, E | TooManyRequests, R>
}

/** Makes a registry with something around each of its operations. */
export const around = (what: Around, registry: Registry.Service): Registry.Service =>
  make({
    ...manifestsAndLists(what, registry),
    ...blobs(what, registry),
    ...uploads(what, registry)
  })

const manifestsAndLists = ({ effect, stream }: Around, registry: Registry.Service) =>
  ({
    ping: effect({ name: "ping" }, registry.ping),
    getManifest: (repository, reference) =>
      effect(
        { name: "getManifest", repository, reference },
        registry.getManifest(repository, reference)
      ),
    getChangedManifest: (repository, reference, known) =>
      effect(
        { name: "getChangedManifest", repository, reference },
        registry.getChangedManifest(repository, reference, known)
      ),
    headManifest: (repository, reference) =>
      effect(
        { name: "headManifest", repository, reference },
        registry.headManifest(repository, reference)
      ),
    putManifest: (repository, manifest, options) =>
      effect(
        { name: "putManifest", repository, digest: manifest.descriptor.digest },
        registry.putManifest(repository, manifest, options)
      ),
    deleteTag: (repository, tag) =>
      effect(
        { name: "deleteTag", repository, reference: tag },
        registry.deleteTag(repository, tag)
      ),
    deleteManifest: (repository, digest) =>
      effect(
        { name: "deleteManifest", repository, digest },
        registry.deleteManifest(repository, digest)
      ),
    tags: (repository, options) =>
      stream({ name: "tags", repository }, registry.tags(repository, options)),
    repositories: (options) => stream({ name: "repositories" }, registry.repositories(options)),
    referrers: (repository, digest, options) =>
      stream(
        { name: "referrers", repository, digest },
        registry.referrers(repository, digest, options)
      ),
    manifests: (repository) =>
      stream({ name: "manifests", repository }, registry.manifests(repository))
  }) satisfies Partial<Registry.Service>

const blobs = ({ effect, stream }: Around, registry: Registry.Service) =>
  ({
    headBlob: (repository, digest) =>
      effect({ name: "headBlob", repository, digest }, registry.headBlob(repository, digest)),
    getBlob: (repository, blob) =>
      stream(
        {
          name: "getBlob",
          repository,
          digest: typeof blob === "string" ? blob : blob.digest
        },
        registry.getBlob(repository, blob)
      ),
    getBlobBytes: (repository, blob, options) =>
      effect(
        {
          name: "getBlobBytes",
          repository,
          digest: typeof blob === "string" ? blob : blob.digest
        },
        registry.getBlobBytes(repository, blob, options)
      ),
    getBlobRange: (repository, digest, range) =>
      stream(
        { name: "getBlobRange", repository, digest },
        registry.getBlobRange(repository, digest, range)
      ),
    putBlob: (repository, source, options) =>
      effect(
        { name: "putBlob", repository, digest: source.digest, from: options?.mountFrom },
        registry.putBlob(repository, source, options)
      ),
    deleteBlob: (repository, digest) =>
      effect({ name: "deleteBlob", repository, digest }, registry.deleteBlob(repository, digest))
  }) satisfies Partial<Registry.Service>

const uploads = ({ effect }: Around, registry: Registry.Service) => {
  const stepwise =
    (repository: string) =>
    (session: UploadSession): UploadSession => ({
      ...session,
      write: (bytes) => effect({ name: "UploadSession.write", repository }, session.write(bytes)),
      status: effect({ name: "UploadSession.status", repository }, session.status),
      commit: (digest) =>
        effect({ name: "UploadSession.commit", repository, digest }, session.commit(digest))
    })
  return {
    startUpload: (repository, options) =>
      Effect.map(
        effect({ name: "startUpload", repository }, registry.startUpload(repository, options)),
        stepwise(repository)
      ),
    resumeUpload: (state) =>
      Effect.map(
        effect(
          { name: "resumeUpload", repository: state.repository },
          registry.resumeUpload(state)
        ),
        stepwise(state.repository)
      ),
    mountBlob: (repository, digest, from) =>
      effect(
        { name: "mountBlob", repository, digest, from },
        registry.mountBlob(repository, digest, from)
      )
  } satisfies Partial<Registry.Service>
}
