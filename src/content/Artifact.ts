/**
 * Artifacts: files of any kind in a registry, under one manifest with a type of its own. `push` and
 * `pull` take a reference, and the registry from `Registries`; `pushTo` and `pullFrom` take the
 * registry as well.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as BlobSource from "../BlobSource.js"
import { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import { DigestMismatch, type InputError, MediaTypeMismatch } from "../RegistryError.js"
import * as Annotations from "../spec/Annotations.js"
import * as Descriptor from "../spec/Descriptor.js"
import * as Manifest from "../spec/Manifest.js"
import * as MediaType from "../spec/MediaType.js"
import * as Reference from "../spec/Reference.js"

// -----------------------------------------------------------------------------
// Push
// -----------------------------------------------------------------------------

/**
 * One file to push.
 *
 * @since 0.1.0
 * @category models
 */
export interface File<out E = never, out R = never> {
  readonly source: BlobSource.BlobSource<E, R>
  /** The name under which other tools unpack it (`org.opencontainers.image.title`). */
  readonly title?: string | undefined
  /** The media type, `application/octet-stream` by default. */
  readonly mediaType?: string | undefined
  readonly annotations?: Annotations.Annotations | undefined
}

/**
 * An artifact to push.
 *
 * @since 0.1.0
 * @category models
 */
export interface PushOptions<out E = never, out R = never> {
  /** What the artifact is, as a media type such as `application/vnd.example.report.v1`. */
  readonly artifactType: string
  /** The files, in order. An artifact without files has annotations alone. */
  readonly files: ReadonlyArray<File<E, R>>
  readonly annotations?: Annotations.Annotations | undefined
  /** Tags in addition to that of the reference. */
  readonly tags?: ReadonlyArray<Reference.Tag> | undefined
  /** The manifest that it refers to, which will list it among its referrers. */
  readonly subject?: Descriptor.Descriptor | undefined
  /**
   * The size of chunks, in bytes, to upload files in. By default, a file is uploaded in one request
   * where possible.
   */
  readonly chunkSize?: number | undefined
  /** How many files to upload at a time, 3 by default. */
  readonly concurrency?: number | undefined
}

/**
 * What was pushed: the manifest, and the reference to it by its digest.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pushed {
  readonly reference: Reference.Reference
  readonly manifest: Manifest.Manifest
}

/**
 * The errors of a push, apart from those of the sources. `DigestMismatch` also says that the
 * reference has a digest and the artifact has another; its manifest is not put then.
 *
 * @since 0.1.0
 * @category errors
 */
export type PushError = Registry.PutBlobError | Registry.PutManifestError

/**
 * Pushes files as an artifact under a reference such as `ghcr.io/owner/name:tag`: first the blobs
 * that the registry does not have, then the manifest.
 *
 * Fails with `InvalidReference` or `InvalidUrl` before anything is sent, with `PushError`, and with
 * the errors of the sources.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import * as BlobSource from "effect-oci/BlobSource"
 *
 * const push = Artifact.push("ghcr.io/owner/report:1.0.0", {
 *   artifactType: "application/vnd.example.report.v1",
 *   files: [
 *     {
 *       title: "report.txt",
 *       mediaType: "text/plain",
 *       source: BlobSource.fromBytes(new TextEncoder().encode("all is well"))
 *     }
 *   ]
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const push = <E = never, R = never>(
  reference: string | Reference.Reference,
  options: PushOptions<E, R>
): Effect.Effect<Pushed, PushError | InputError | E, Registries | R> =>
  Effect.gen(function* () {
    const parsed = yield* parse(reference)
    const registry = yield* (yield* Registries).get(parsed.host)
    return yield* pushTo(registry, parsed, options)
  }).pipe(Effect.withSpan("effect-oci/Artifact.push", { captureStackTrace: false }))

/**
 * Pushes files as an artifact to a registry, as `push` does. The host of the reference is ignored.
 *
 * @since 0.1.0
 * @category operations
 */
export const pushTo = Effect.fnUntraced(function* <E = never, R = never>(
  registry: Registry.Service,
  reference: Reference.Reference,
  options: PushOptions<E, R>
): Effect.fn.Return<Pushed, PushError | E, R> {
  const { repository } = reference
  const put = <E2, R2>({ annotations, mediaType, source, title }: File<E2, R2>) =>
    Effect.map(
      registry.putBlob(repository, source, { chunkSize: options.chunkSize }),
      ({ digest, size }) => {
        const all =
          title === undefined ? annotations : { ...annotations, [Annotations.title]: title }
        return {
          mediaType: mediaType ?? MediaType.octetStream,
          digest,
          size,
          ...(all !== undefined && { annotations: all })
        }
      }
    )
  const files = yield* Effect.forEach(options.files, put, { concurrency: options.concurrency ?? 3 })
  yield* registry.putBlob(repository, BlobSource.fromBytes(emptyContent))
  const manifest = Manifest.image({
    artifactType: options.artifactType,
    config: Descriptor.empty,
    // Without files the one layer is the empty one, for registries that refuse an empty list
    // (image-spec, "Guidelines for Artifact Usage").
    layers: files.length === 0 ? [Descriptor.empty] : files,
    subject: options.subject,
    annotations: options.annotations
  })
  const { digest } = manifest.descriptor
  if (Option.isSome(reference.digest) && reference.digest.value !== digest)
    return yield* new DigestMismatch({
      manifest: Reference.format(reference),
      expected: reference.digest.value,
      actual: digest
    })
  const tags = new Set([...Option.toArray(reference.tag), ...(options.tags ?? [])])
  yield* registry.putManifest(repository, manifest, { tags: [...tags] })
  return { reference: Reference.withDigest(reference, digest), manifest }
})

/** The content of the empty descriptor: `{}`. */
const emptyContent = new TextEncoder().encode("{}")

// -----------------------------------------------------------------------------
// Pull
// -----------------------------------------------------------------------------

/**
 * One file of an artifact.
 *
 * @since 0.1.0
 * @category models
 */
export interface PulledFile {
  readonly descriptor: Descriptor.Descriptor
  /**
   * The path to unpack it to: its title, if that is a relative path that stays below the folder it
   * is joined to.
   */
  readonly name: Option.Option<string>
  /** The bytes, verified against the descriptor. Nothing is requested before the stream runs. */
  readonly content: ReturnType<Registry.Service["getBlob"]>
}

/**
 * An artifact: its verified manifest, the reference to it by digest, and its files.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pulled {
  readonly reference: Reference.Reference
  readonly manifest: Manifest.Manifest
  readonly artifactType: Option.Option<string>
  readonly files: ReadonlyArray<PulledFile>
}

/**
 * The errors of `pull`, apart from those of the files' content. `MediaTypeMismatch` also says that
 * the reference is that of something other than an image manifest, such as an index.
 *
 * @since 0.1.0
 * @category errors
 */
export type PullError = Registry.GetManifestError

/**
 * Gets the artifact under a reference such as `ghcr.io/owner/name:tag`, with its files as streams.
 * Without tag and digest, the tag is `latest`.
 *
 * Fails with `InvalidReference` or `InvalidUrl` before anything is sent, and with `PullError`.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const sizes = Effect.gen(function*() {
 *   const artifact = yield* Artifact.pull("ghcr.io/owner/report:1.0.0")
 *   return yield* Effect.forEach(artifact.files, (file) =>
 *     Stream.runFold(file.content, 0, (size, bytes) => size + bytes.length)
 *   )
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const pull = (
  reference: string | Reference.Reference
): Effect.Effect<Pulled, PullError | InputError, Registries> =>
  Effect.gen(function* () {
    const parsed = yield* parse(reference)
    const registry = yield* (yield* Registries).get(parsed.host)
    return yield* pullFrom(registry, parsed)
  }).pipe(Effect.withSpan("effect-oci/Artifact.pull", { captureStackTrace: false }))

/**
 * Gets an artifact from a registry, as `pull` does. The host of the reference is ignored.
 *
 * @since 0.1.0
 * @category operations
 */
export const pullFrom = (
  registry: Registry.Service,
  reference: Reference.Reference
): Effect.Effect<Pulled, PullError> =>
  Effect.flatMap(
    registry.getManifest(reference.repository, Reference.tagOrDigest(reference)),
    (manifest) => {
      const { content, descriptor } = manifest
      if (content._tag !== "ImageManifest")
        return Effect.fail(
          new MediaTypeMismatch({
            manifest: Reference.format(reference),
            expected: MediaType.imageManifest,
            actual: descriptor.mediaType
          })
        )
      return Effect.succeed({
        reference: Reference.withDigest(reference, descriptor.digest),
        manifest,
        artifactType: Manifest.artifactType(manifest),
        files: content.layers
          .filter((layer) => !MediaType.equals(layer.mediaType, MediaType.empty))
          .map((layer) => ({
            descriptor: layer,
            name: Option.filter(Annotations.getTitle(layer.annotations), isContained),
            content: registry.getBlob(reference.repository, layer)
          }))
      })
    }
  )

/**
 * Returns whether a path stays below the folder it is joined to on every system (T11): it has no
 * root, drive, `..`, backslash or control character.
 */
const isContained = (path: string): boolean =>
  path.split("/").every((part) => part !== "" && part !== "." && part !== "..") &&
  !/[\\:\p{Cc}]/u.test(path)

const parse = (
  reference: string | Reference.Reference
): Effect.Effect<Reference.Reference, Reference.InvalidReference> =>
  typeof reference === "string" ? Reference.parse(reference) : Effect.succeed(reference)
