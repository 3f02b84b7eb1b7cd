/**
 * Artifacts: files of any kind in a registry, under one manifest with a type of its own. `push`,
 * `attach` and `pull` take a reference, and the registry from `Registries`; `pushTo`, `attachTo`
 * and `pullFrom` take the registry as well.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import * as BlobSource from "../BlobSource.js"
import * as ImageManifest from "../internal/ImageManifest.js"
import * as References from "../internal/References.js"
import { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import {
  type InputError,
  type InvalidReference,
  ManifestUnknown,
  MediaTypeMismatch
} from "../RegistryError.js"
import * as Annotations from "../spec/Annotations.js"
import * as Descriptor from "../spec/Descriptor.js"
import * as Manifest from "../spec/Manifest.js"
import * as MediaType from "../spec/MediaType.js"
import type * as Platform from "../spec/Platform.js"
import * as Reference from "../spec/Reference.js"
import type { FileFilter, NoSingleFile } from "./internal/FileChoice.js"
import * as FileChoice from "./internal/FileChoice.js"
import { contentOf } from "./internal/PulledContent.js"
import * as PushInput from "./internal/PushInput.js"
import * as PushSource from "./internal/PushSource.js"
import * as Title from "./internal/Title.js"

export {
  /**
   * @since 0.1.0
   * @category models
   */
  type FileFilter,
  /**
   * Occurs when not exactly one file of an artifact is the one that is wanted. `choices` are those
   * that fit, or all there are where none does (`Missing`), and `more` how many there are besides.
   *
   * @since 0.1.0
   * @category errors
   */
  NoSingleFile
} from "./internal/FileChoice.js"

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
  readonly source: BlobSource.BlobSource<E, R> | Uint8Array
  /**
   * The name under which other tools unpack it (`org.opencontainers.image.title`), unlike that of
   * every other file.
   */
  readonly title?: string | undefined
  /** The media type, `application/octet-stream` by default. */
  readonly mediaType?: string | undefined
  readonly annotations?: Annotations.Annotations | undefined
}

/**
 * What an artifact says of itself in a document of its own: the metadata of a Helm chart, say.
 *
 * @since 0.1.0
 * @category models
 */
export interface Config<out E = never, out R = never> {
  /** The media type of the document, such as `application/vnd.cncf.helm.config.v1+json`. */
  readonly mediaType: string
  /** The document, `{}` by default. */
  readonly source?: BlobSource.BlobSource<E, R> | Uint8Array | undefined
  /** The document as a value, in place of a source: it is written by `JSON.stringify`. */
  readonly json?: unknown
  readonly annotations?: Annotations.Annotations | undefined
}

/**
 * What says what an artifact is: an `artifactType`, or a `config` with a media type of its own, or
 * both ([image-spec, Guidelines for Artifact
 * Usage](https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage)).
 *
 * @since 0.1.0
 * @category models
 */
export type Type<E = never, R = never> =
  | {
      /**
       * A media type ([RFC 6838 section
       * 4.2](https://www.rfc-editor.org/rfc/rfc6838#section-4.2)), such as
       * `application/vnd.example.report.v1`.
       */
      readonly artifactType: string
      readonly config?: Config<E, R> | undefined
    }
  | {
      /** Without it, the media type of the config stands in its place. */
      readonly artifactType?: string | undefined
      readonly config: Config<E, R>
    }

/**
 * An artifact to attach to another one, or to an image.
 *
 * @since 0.1.0
 * @category models
 */
export type AttachOptions<E = never, R = never> = Type<E, R> & {
  /**
   * The files, in order. An artifact without files has annotations alone. A file that was pulled
   * keeps its descriptor: it is mounted where it comes from another repository of the same
   * registry, and streamed where it comes from another one.
   */
  readonly files: ReadonlyArray<File<E, R> | PulledFile>
  readonly annotations?: Annotations.Annotations | undefined
  /**
   * When the artifact was made, for the annotation `org.opencontainers.image.created`. It has none
   * by default: what is pushed again has the same digest then.
   */
  readonly created?: Date | undefined
  /**
   * The size of chunks, in bytes, to upload files in. By default, a file is uploaded in one request
   * where possible.
   */
  readonly chunkSize?: number | undefined
  /** How many files to upload at a time, 3 by default. */
  readonly concurrency?: number | undefined
}

/**
 * An artifact to push.
 *
 * @since 0.1.0
 * @category models
 */
export type PushOptions<E = never, R = never> = AttachOptions<E, R> & {
  /**
   * Tags in addition to that of the reference. A reference with neither tag nor digest needs them,
   * or a subject: an empty list says that the artifact is to be known by its digest alone.
   */
  readonly tags?: ReadonlyArray<string> | undefined
  /** The manifest that it refers to, which will list it among its referrers. */
  readonly subject?: Descriptor.Descriptor | undefined
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
 * The errors of a push, apart from those of the sources. With nothing sent, `InvalidReference` says
 * that a tag is not one, or that there is none, and `InvalidManifest` that a media type, a time or
 * a document is not one, or that two files would be unpacked to the same place. `DigestMismatch`
 * also says that the reference has a digest and the artifact has another; its manifest is not put
 * then.
 *
 * @since 0.1.0
 * @category errors
 */
export type PushError = Registry.PutBlobError | Registry.PutManifestError | InvalidReference

/**
 * Pushes files as an artifact under a reference such as `ghcr.io/owner/name:tag`: first the blobs
 * that the registry does not have, then the manifest. It is never tagged `latest` unless that is
 * written.
 *
 * Fails with `InvalidReference`, `InvalidUrl` or `InvalidManifest` before anything is sent, with
 * `PushError`, and with the errors of the sources.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 *
 * const push = Artifact.push("ghcr.io/owner/report:1.0.0", {
 *   artifactType: "application/vnd.example.report.v1",
 *   tags: ["1.0", "1", "latest"],
 *   files: [
 *     {
 *       title: "report.txt",
 *       mediaType: "text/plain",
 *       source: new TextEncoder().encode("all is well")
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
  References.run("Artifact.push", reference, (parsed) =>
    Effect.flatMap(registryOf(parsed), (registry) => pushTo(registry, parsed, options))
  )

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
  yield* PushInput.checkTarget(reference, options)
  yield* PushInput.checkContent(Reference.format(reference), options)
  const tags = yield* PushInput.parseTags(reference, options.tags)
  const parts = yield* hashed(partsOf(options))
  const known = Option.all(mapParts(parts, describeKnown))
  if (Option.isSome(known))
    yield* PushInput.checkDigest(reference, manifestOf(options, known.value))
  const put = ({ from, source }: Part<E | PulledError, R>) =>
    Effect.flatMap(PushSource.gathered(source), (source) =>
      registry.putBlob(reference.repository, source, {
        chunkSize: options.chunkSize,
        mountFrom: from?.host === reference.host ? from.repository : undefined
      })
    )
  const manifest = manifestOf(options, yield* describeAll(parts, put, options.concurrency ?? 3))
  yield* PushInput.checkDigest(reference, manifest)
  yield* registry.putManifest(reference.repository, manifest, { tags })
  return { reference: Reference.withDigest(reference, manifest.descriptor.digest), manifest }
})

/** A blob to put, and its descriptor in the manifest once digest and size are known. */
interface Part<out E, out R> {
  readonly source: BlobSource.BlobSource<E, R>
  /** Where it can be mounted from. */
  readonly from?: Reference.Reference | undefined
  readonly describe: (blob: Blob) => Descriptor.Descriptor
}

/** What there is of the config, then of each layer. */
type Parts<A> = readonly [config: A, ...layers: ReadonlyArray<A>]

const mapParts = <A, B>([config, ...layers]: Parts<A>, f: (part: A) => B): Parts<B> => [
  f(config),
  ...layers.map(f)
]

type Blob = Pick<Descriptor.Descriptor, "digest" | "size">

/**
 * Returns the config, then the layers. Without files the one layer is the empty one, for registries
 * that refuse an empty list (image-spec, "Guidelines for Artifact Usage").
 */
const partsOf = <E, R>({ config, files }: PushOptions<E, R>): Parts<Part<E | PulledError, R>> => [
  config === undefined ? emptyPart : partOf({ ...config, source: documentOf(config) }),
  ...(files.length === 0
    ? [emptyPart]
    : files.map((file) => ("content" in file ? pulledPart(file) : partOf(file))))
]

const documentOf = <E, R>({ json, source = emptyContent }: Config<E, R>) => {
  const text = json === undefined ? undefined : PushInput.jsonOf(json)
  return typeof text === "string" ? new TextEncoder().encode(text) : source
}

const pulledPart = ({ descriptor, reference, source }: PulledFile): Part<PulledError, never> => ({
  source,
  from: reference,
  describe: () => descriptor
})

/** What a push fails with for a file that was pulled: all of it is in `PushError`. */
type PulledError = Registry.GetBlobError | Registry.GetBlobRangeError

const partOf = <E, R>({ annotations, mediaType, source, title }: File<E, R>): Part<E, R> => {
  const all = title === undefined ? annotations : { ...annotations, [Annotations.title]: title }
  return {
    source: "open" in source ? source : BlobSource.fromBytes(source),
    describe: ({ digest, size }) => ({
      mediaType: mediaType ?? MediaType.octetStream,
      digest,
      size,
      ...(all !== undefined && { annotations: all })
    })
  }
}

/** The content of the empty descriptor. */
const emptyContent = new TextEncoder().encode("{}")

const emptyPart: Part<never, never> = {
  source: BlobSource.fromBytes(emptyContent),
  describe: () => Descriptor.empty
}

/** Gives those parts their digests that may be equal to others. */
const hashed = <E, R>(parts: Parts<Part<E, R>>): Effect.Effect<Parts<Part<E, R>>, E, R> =>
  Effect.map(PushSource.digests(parts.map(({ source }) => source)), (digests) =>
    mapParts(parts, (part) => {
      const digest = digests.get(part.source)
      return digest === undefined ? part : { ...part, source: { ...part.source, digest } }
    })
  )

/** Describes a part before it is put, if its source says enough. */
const describeKnown = <E, R>({ describe, source: { digest, size } }: Part<E, R>) =>
  digest === undefined || size === undefined
    ? Option.none()
    : Option.some(describe({ digest, size }))

/** Puts and describes all parts. Those with equal content share one upload. */
const describeAll = Effect.fnUntraced(function* <E, R, E2, R2>(
  parts: Parts<Part<E, R>>,
  put: (part: Part<E, R>) => Effect.Effect<Blob, E2, R2>,
  concurrency: number
) {
  const keyOf = ({ source }: Part<E, R>) => source.digest ?? source
  const distinct = new Map(parts.map((part) => [keyOf(part), part]))
  const blobs = new Map<unknown, Blob>()
  yield* Effect.forEach(
    distinct,
    ([key, part]) => Effect.map(put(part), (blob) => blobs.set(key, blob)),
    { concurrency, discard: true }
  )
  return mapParts(parts, (part) => {
    const blob = blobs.get(keyOf(part))
    if (blob === undefined) throw new Error("each part has been put")
    return part.describe(blob)
  })
})

const manifestOf = <E, R>(
  { annotations, artifactType, created, subject }: PushOptions<E, R>,
  [config, ...layers]: Parts<Descriptor.Descriptor>
): Manifest.Manifest => {
  const time = created?.toISOString().replace(".000Z", "Z")
  return Manifest.image({
    artifactType,
    config,
    layers,
    subject,
    annotations: time === undefined ? annotations : { ...annotations, [Annotations.created]: time }
  })
}

// -----------------------------------------------------------------------------
// Attach
// -----------------------------------------------------------------------------

/**
 * The errors of `attach`, apart from those of the sources. `ManifestUnknown` says that there is no
 * such subject.
 *
 * @since 0.1.0
 * @category errors
 */
export type AttachError = PushError | ManifestUnknown

/**
 * Attaches an artifact to an image or another artifact, the subject: gets the descriptor of the
 * subject and pushes the artifact beside it, without a tag, to be found among its referrers
 * ([Pushing Manifests with
 * Subject](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests-with-subject)).
 * Where the reference has both a tag and a digest, the digest decides.
 *
 * Fails with `InvalidReference`, also for a reference with neither tag nor digest, with
 * `InvalidUrl` or `InvalidManifest` before anything is sent, with `AttachError`, and with the
 * errors of the sources.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 *
 * const attach = (sbom: Uint8Array) =>
 *   Artifact.attach("ghcr.io/owner/app:1.0.0", {
 *     artifactType: "application/spdx+json",
 *     files: [{ title: "sbom.spdx.json", mediaType: "application/spdx+json", source: sbom }]
 *   })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const attach = <E = never, R = never>(
  subject: string | Reference.Reference,
  options: AttachOptions<E, R>
): Effect.Effect<Pushed, AttachError | InputError | E, Registries | R> =>
  References.run("Artifact.attach", subject, (parsed) =>
    Effect.flatMap(registryOf(parsed), (registry) => attachTo(registry, parsed, options))
  )

/**
 * Attaches an artifact to a manifest of a registry, as `attach` does. The host of the reference is
 * ignored.
 *
 * @since 0.1.0
 * @category operations
 */
export const attachTo = Effect.fnUntraced(function* <E = never, R = never>(
  registry: Registry.Service,
  subject: Reference.Reference,
  options: AttachOptions<E, R>
): Effect.fn.Return<Pushed, AttachError | E, R> {
  yield* References.requireVersion(subject)
  yield* PushInput.checkContent(Reference.format(subject), options)
  const { repository } = subject
  const reference = Reference.tagOrDigest(subject)
  const found = yield* registry.headManifest(repository, reference)
  if (Option.isNone(found))
    return yield* new ManifestUnknown({ host: subject.host, repository, reference })
  const { digest, mediaType, size } = found.value
  return yield* pushTo(
    registry,
    { ...subject, tag: Option.none(), digest: Option.none() },
    { ...options, subject: { mediaType, digest, size } }
  )
})

// -----------------------------------------------------------------------------
// Pull
// -----------------------------------------------------------------------------

/**
 * Content of an artifact in a registry.
 *
 * @since 0.1.0
 * @category models
 */
export interface PulledContent {
  /** The registry that it is in. */
  readonly registry: Registry.Service
  /** The reference to it by digest, as `Registries.blob` takes it. */
  readonly reference: Reference.Reference
  readonly descriptor: Descriptor.Descriptor
  /** The bytes, verified against the descriptor. Nothing is requested before the stream runs. */
  readonly content: Stream.Stream<Uint8Array, Registry.GetBlobError>
  /** The same to upload elsewhere: an upload that resumes reads on by a range. */
  readonly source: BlobSource.BlobSource<Registry.GetBlobError | Registry.GetBlobRangeError>
}

/**
 * One file of an artifact.
 *
 * @since 0.1.0
 * @category models
 */
export interface PulledFile extends PulledContent {
  /**
   * The path to unpack it to: its title, if that is a relative path that stays below the folder it
   * is joined to.
   */
  readonly name: Option.Option<string>
}

/**
 * Says which artifact is pulled.
 *
 * @since 0.1.0
 * @category models
 */
export interface PullOptions {
  /**
   * The platform to choose from an index and the indexes in it, or several in order of preference.
   * The manifest that `Platform.rank` has first is taken ([image-spec, Image
   * Index](https://github.com/opencontainers/image-spec/blob/main/image-index.md#image-index-property-descriptions)).
   * What is not an index is pulled as it is.
   */
  readonly platform?: Platform.Platform | ReadonlyArray<Platform.Platform> | undefined
  /**
   * The type that the artifact must have: `Manifest.artifactType` of it. Any by default. Of an
   * index, the first manifest that has it is taken.
   */
  readonly artifactType?: string | undefined
  /**
   * The files that are wanted, all by default. The others are left out of what is pulled. Where
   * none fits, a warning says which there are: `file` is what fails then.
   */
  readonly files?: FileFilter | undefined
}

/**
 * An artifact: its verified manifest, the reference to it by digest, its config and its files. The
 * layers of an image are its files.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pulled {
  readonly reference: Reference.Reference
  readonly manifest: Manifest.Manifest
  readonly artifactType: Option.Option<string>
  /** Those of the manifest, none if there are none. */
  readonly annotations: Annotations.Annotations
  /** What it says of itself in a document of its own, which is `{}` where it has none. */
  readonly config: PulledContent
  readonly files: ReadonlyArray<PulledFile>
}

/**
 * The errors of `pull`, apart from those of the files' content. `MediaTypeMismatch` also says that
 * the reference is that of something other than an image manifest: an index of which no platform is
 * asked for, or not for that one. It has the choices. And it says that an artifact is of another
 * type than was asked for.
 *
 * @since 0.1.0
 * @category errors
 */
export type PullError = Registry.GetManifestError

/**
 * Gets the artifact under a reference such as `ghcr.io/owner/name:tag`, with its files as streams.
 * Without tag and digest, the tag is `latest`. An image is one, too: its layers are files, and from
 * an index `platform` chooses. To pull to a folder is `ArtifactFolder.pull` of `effect-oci/node`,
 * and `BlobFile.save` is there for one of the files.
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
  reference: string | Reference.Reference,
  options?: PullOptions
): Effect.Effect<Pulled, PullError | InputError, Registries> =>
  References.run("Artifact.pull", reference, (parsed) =>
    Effect.flatMap(registryOf(parsed), (registry) => pullFrom(registry, parsed, options))
  )

/**
 * Gets an artifact from a registry, as `pull` does. The host of the reference is ignored.
 *
 * @since 0.1.0
 * @category operations
 */
export const pullFrom = (
  registry: Registry.Service,
  reference: Reference.Reference,
  options?: PullOptions
): Effect.Effect<Pulled, PullError> =>
  Effect.gen(function* () {
    const { content, manifest } = yield* ImageManifest.find(registry, reference, options)
    const artifactType = Manifest.artifactType(manifest)
    const expected = options?.artifactType
    const actual = Option.getOrElse(artifactType, () => "")
    if (expected !== undefined && !MediaType.equals(expected, actual))
      return yield* new MediaTypeMismatch({
        manifest: Reference.format(reference),
        expected,
        actual
      })
    const filter = options?.files ?? {}
    const all = content.layers.filter(
      ({ mediaType }) => !MediaType.equals(mediaType, MediaType.empty)
    )
    const wanted = all.filter(FileChoice.test(filter))
    // A filter that is misspelled is not to pass for an artifact without files (CP27).
    if (wanted.length === 0 && !FileChoice.isAny(filter))
      yield* Effect.logWarning(FileChoice.noSingleFile(reference, filter, all, "Missing").message)
    return {
      reference: Reference.withDigest(reference, manifest.descriptor.digest),
      manifest,
      artifactType,
      annotations: content.annotations ?? {},
      config: contentOf(registry, reference, content.config),
      files: wanted.map((layer) => ({
        ...contentOf(registry, reference, layer),
        name: Option.flatMap(Annotations.getTitle(layer.annotations), Title.pathOf)
      }))
    }
  })

/**
 * Returns the one file of an artifact that is wanted. Which place it has among the others does not
 * count: a signed Helm chart can have its provenance first.
 *
 * Fails with `NoSingleFile` where none fits, or several do.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import * as ArtifactType from "effect-oci/ArtifactType"
 * import { BlobFile } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const chart = Artifact.pull("ghcr.io/owner/charts/app:1.0.0").pipe(
 *   Effect.flatMap(Artifact.file({ mediaType: ArtifactType.helmChart })),
 *   Effect.flatMap((file) => BlobFile.save(file, "app-1.0.0.tgz"))
 * )
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const file: {
  (filter: FileFilter): (artifact: Pulled) => Effect.Effect<PulledFile, NoSingleFile>
  (artifact: Pulled, filter: FileFilter): Effect.Effect<PulledFile, NoSingleFile>
} = dual(
  2,
  ({ files, reference }: Pulled, filter: FileFilter): Effect.Effect<PulledFile, NoSingleFile> => {
    const matches = FileChoice.test(filter)
    const [first, ...others] = files.filter(({ descriptor }) => matches(descriptor))
    return first !== undefined && others.length === 0
      ? Effect.succeed(first)
      : Effect.fail(
          FileChoice.noSingleFile(
            reference,
            filter,
            (first === undefined ? files : [first, ...others]).map(({ descriptor }) => descriptor),
            first === undefined ? "Missing" : "Several"
          )
        )
  }
)

const registryOf = ({ host }: Reference.Reference) =>
  Effect.flatMap(Registries, ({ get }) => get(host))
