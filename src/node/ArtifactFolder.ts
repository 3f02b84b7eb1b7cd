/**
 * Artifacts in folders: pulls the files of an artifact to disk, and packs folders as files of one.
 *
 * @since 0.1.0
 */
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as ByteStream from "../ByteStream.js"
import * as Artifact from "../content/Artifact.js"
import type { ReadError } from "../content/ImageLayer.js"
import * as Title from "../content/internal/Title.js"
import * as References from "../internal/References.js"
import { Registries } from "../Registries.js"
import * as Registry from "../Registry.js"
import type { InputError, StorageFailure } from "../RegistryError.js"
import * as Annotations from "../spec/Annotations.js"
import * as Digest from "../spec/Digest.js"
import * as MediaType from "../spec/MediaType.js"
import type { Reference } from "../spec/Reference.js"
import * as BlobFile from "./BlobFile.js"
import * as ExistingFile from "./internal/ExistingFile.js"
import { attempt, inTurn, newBlock, read } from "./internal/FileBlocks.js"
import * as FilePlaces from "./internal/FilePlaces.js"
import * as FolderArchive from "./internal/FolderArchive.js"
import { gzip } from "./internal/Gzip.js"
import * as KeptDownload from "./internal/KeptDownload.js"
import * as PartialFile from "./internal/PartialFile.js"
import type { Progress, Summary } from "./internal/PullProgress.js"
import { PullProgress } from "./internal/PullProgress.js"
import * as UnpackedFolder from "./internal/UnpackedFolder.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Amount,
  /**
   * @since 0.1.0
   * @category models
   */
  Progress,
  /**
   * @since 0.1.0
   * @category models
   */
  Summary
} from "./internal/PullProgress.js"

// -----------------------------------------------------------------------------
// Push
// -----------------------------------------------------------------------------

/**
 * Says how a folder is packed.
 *
 * @since 0.1.0
 * @category models
 */
export interface ArchiveOptions {
  /** The path of the folder where the artifact is pulled, by default its own name. */
  readonly title?: string | undefined
  /** The media type, `application/vnd.oci.image.layer.v1.tar+gzip` by default. */
  readonly mediaType?: string | undefined
  readonly annotations?: Annotations.Annotations | undefined
}

/**
 * Packs a folder as one file of an artifact to push: a tar archive that is compressed with gzip,
 * with the annotations by which ORAS and `pull` unpack it. The archive has names, permissions,
 * contents and links, but neither times nor owners, so that the same folder has the same digest
 * whenever and wherever it is packed with the same version of zlib.
 *
 * It is in a temporary file, which is removed with the Scope.
 *
 * Fails with `StorageFailure` when there is no folder, or something in it cannot be read or packed:
 * a device, a symbolic link that leads out of it, a file that changes in the meantime.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import { ArtifactFolder } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const push = Effect.gen(function*() {
 *   return yield* Artifact.push("ghcr.io/owner/site:1.0.0", {
 *     artifactType: "application/vnd.example.site.v1",
 *     files: [yield* ArtifactFolder.archive("dist", { title: "public" })]
 *   })
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const archive = (
  folder: string,
  options: ArchiveOptions = {}
): Effect.Effect<Artifact.File<StorageFailure>, StorageFailure, Scope.Scope> =>
  Effect.gen(function* () {
    const { annotations, mediaType = MediaType.layerTarGzip } = options
    const { title: given = Path.basename(Path.resolve(folder)) } = options
    const title = Option.getOrElse(Title.pathOf(given), () => given)
    const temporary = yield* Effect.acquireRelease(
      attempt(tmpdir(), () => Fs.mkdtemp(Path.join(tmpdir(), "effect-oci-"))),
      (path) => Effect.ignore(attempt(path, () => Fs.rm(path, { recursive: true, force: true })))
    )
    const path = Path.join(temporary, "archive")
    const [content, blob] = [Digest.hasher("sha256"), Digest.hasher("sha256")]
    const tar = ByteStream.tap(FolderArchive.tar(folder, title), content.update)
    yield* BlobFile.write(path, ByteStream.tap(gzip(6)(tar), blob.update))
    const source = yield* BlobFile.source(path)
    return {
      title,
      mediaType,
      source: { ...source, digest: blob.digest() },
      annotations: {
        ...annotations,
        [Annotations.unpack]: "true",
        [Annotations.contentDigest]: content.digest()
      }
    }
  })

// -----------------------------------------------------------------------------
// Pull
// -----------------------------------------------------------------------------

/**
 * Says how an artifact is pulled to a folder.
 *
 * @since 0.1.0
 * @category models
 */
export interface PullOptions extends Artifact.PullOptions {
  /** How many files to download at a time, 3 by default. */
  readonly concurrency?: number | undefined
  /**
   * Whether to replace files and symbolic links with other content, false by default: `FileExists`
   * has all of them then, with nothing downloaded.
   */
  readonly overwrite?: boolean | undefined
  /**
   * Whether to unpack archives of folders, true by default. Without it, an archive is a file of the
   * name of its folder.
   */
  readonly unpack?: boolean | undefined
  /**
   * The most that an archive may be when it is decompressed, in bytes: 64 GiB by default. A little
   * that is compressed can be a thousand times as much.
   */
  readonly limit?: number | undefined
  /**
   * Called with how far all files are together: before the first, five times a second at most, and
   * after the last. The pull waits for it. `Transfer.observe` has the events of each file.
   */
  readonly onProgress?: ((progress: Progress) => Effect.Effect<unknown>) | undefined
}

/**
 * One file of an artifact, and where it is on disk: a folder, where it was unpacked.
 *
 * @since 0.1.0
 * @category models
 */
export interface SavedFile extends Artifact.PulledFile {
  readonly path: string
  /** Whether it was there already, so that nothing was written. */
  readonly skipped: boolean
}

/**
 * An artifact whose files are on disk.
 *
 * @since 0.1.0
 * @category models
 */
export interface Saved extends Artifact.Pulled {
  readonly files: ReadonlyArray<SavedFile>
  readonly summary: Summary
}

/**
 * The errors of `pull`.
 *
 * @since 0.1.0
 * @category errors
 */
export type PullError = Artifact.PullError | BlobFile.DownloadError | ReadError | InputError

/**
 * Pulls an artifact as `Artifact.pull` does, and its files to a folder, which is made if it is
 * missing. A file is named by its title, and by its digest (`sha256-…`) if it has none, or one that
 * leads out of the folder; folders in a title are made.
 *
 * Each file appears under its name when it is complete and verified. One that is there already,
 * byte for byte, is left as it is, and content that has several names is downloaded once. A
 * download that was cut off continues: after a failure, pull again (see `BlobFile.download`). Other
 * files in the folder stay.
 *
 * A file with the annotation `io.deis.oras.content.unpack` is an archive of a folder, such as
 * `archive` makes and ORAS does, and is unpacked to the folder of that name: as a whole if there is
 * none, else what is missing in it. The archive has its digest before that, and its content that of
 * the annotation `io.deis.oras.content.digest`. Nothing in it is written outside of the folder, and
 * links that lead out are refused. A folder that is what `archive` packed is not downloaded again.
 *
 * Fails with
 *
 * - `InvalidManifest` when two files have the same name, or one the name of a folder of another;
 * - `FileExists` when something else is there under the names of files, unless `overwrite` says
 *   that it may be replaced. For what is unpacked, nothing is changed then;
 * - `StorageFailure` when a file cannot be written, or a symbolic link stands where a title has a
 *   folder;
 * - `ReadError` when an archive cannot be unpacked;
 * - and the rest of `PullError`.
 *
 * But for what is in archives, the first two come before anything is downloaded or written.
 *
 * @example
 * ```ts
 * import { ArtifactFolder } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const paths = Effect.map(
 *   ArtifactFolder.pull("ghcr.io/owner/model:1.0.0", "models/demo"),
 *   ({ files }) => files.map(({ path }) => path)
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const pull = (
  reference: string | Reference,
  folder: string,
  options: PullOptions = {}
): Effect.Effect<Saved, PullError, Registries> =>
  References.run("ArtifactFolder.pull", reference, (parsed) =>
    Effect.gen(function* () {
      const { concurrency = 3, overwrite = false, unpack = true } = options
      const registry = yield* (yield* Registries).get(parsed.host)
      const pulled = yield* Artifact.pullFrom(registry, parsed, options)
      const places = yield* FilePlaces.of(pulled, unpack)
      yield* FilePlaces.checkFolders(folder, places)
      const states = yield* Effect.forEach(places, (place) => stateOf(folder, place), {
        concurrency
      })
      const saved = places.map((place, n) => ({
        ...place,
        path: Path.join(folder, place.name),
        skipped: states[n] === "same"
      }))
      const taken = saved.filter((_, n) => states[n] === "else")
      if (taken.length > 0 && !overwrite)
        return yield* new BlobFile.FileExists({ paths: taken.map(({ path }) => path) })
      yield* FilePlaces.makeFolders(folder, places)
      const files = saved.filter(({ isFolder }) => !isFolder)
      const contents = contentsOf(saved)
      const progress = new PullProgress(contents.map(counted), options.onProgress)
      yield* progress.observe(
        Effect.forEach(
          contents,
          (content) =>
            Effect.map(writeContent(content, folder, options), () =>
              progress.done(counted(content))
            ),
          { concurrency, discard: true }
        ).pipe(PartialFile.listing([folder, ...files.map(({ path }) => Path.dirname(path))]))
      )
      return {
        ...pulled,
        files: saved.map(({ file, path, skipped }) => ({ ...file, path, skipped })),
        summary: progress.summary()
      }
    })
  )

interface Place extends FilePlaces.Place {
  readonly path: string
  readonly skipped: boolean
}

type Content = Array.NonEmptyReadonlyArray<Place>

/** The places of each content. What is unpacked at several is read for each of them. */
const contentsOf = (places: ReadonlyArray<Place>): ReadonlyArray<Content> =>
  Object.values(
    Array.groupBy(places, ({ file, isFolder, name }) =>
      isFolder ? `${file.descriptor.digest} ${name}` : file.descriptor.digest
    )
  )

const counted = (content: Content) => {
  const { digest, size } = content[0].file.descriptor
  const missing = content.filter(({ skipped }) => !skipped).length
  return { digest, size, files: content.length, missing }
}

/** What is at the place of a file already. */
const stateOf = (folder: string, { file, isFolder, name }: FilePlaces.Place) => {
  const path = Path.join(folder, name)
  return isFolder
    ? UnpackedFolder.stateOf(path, name, contentOf(file))
    : ExistingFile.stateOf(path, file.descriptor)
}

/** The digest of an archive before it was compressed, if it is said. */
const contentOf = ({ descriptor }: Artifact.PulledFile): Digest.Digest | undefined => {
  const text = descriptor.annotations?.[Annotations.contentDigest]
  return text !== undefined && Digest.isDigest(text) ? text : undefined
}

const writeContent = (content: Content, root: string, options: PullOptions) =>
  content[0].isFolder
    ? writeFolder(content[0], root, options)
    : writeAll(content, options.overwrite ?? false)

/** Unpacks the archive of a folder, unless the folder is there. */
const writeFolder = (
  { file, name, path, skipped }: Place,
  root: string,
  { limit, overwrite = false }: PullOptions
) =>
  Effect.gen(function* () {
    const { descriptor, reference } = file
    if (skipped)
      return yield* ExistingFile.tellSkipped({ repository: reference.repository, ...descriptor })
    const archive = Path.join(root, `.effect-oci-${randomUUID()}.archive`)
    yield* Effect.addFinalizer(() => Effect.ignore(attempt(archive, () => Fs.rm(archive))))
    yield* KeptDownload.run(file.registry, reference.repository, descriptor, archive, true)
    const content = read(archive, 0, () => newBlock)
    const packed = { descriptor, content, diffId: contentOf(file), name, limit }
    yield* UnpackedFolder.unpack(packed, path, overwrite)
  }).pipe(Effect.scoped)

/** Writes one content under all its names, from one download (CP29). */
const writeAll = Effect.fnUntraced(function* (files: Content, overwrite: boolean) {
  const [{ file, path }] = files
  const { descriptor, reference } = file
  const there = files.find(({ skipped }) => skipped)
  yield* there === undefined
    ? KeptDownload.run(file.registry, reference.repository, descriptor, path, overwrite)
    : ExistingFile.tellSkipped({ repository: reference.repository, ...descriptor })
  const from = there?.path ?? path
  const here = Registry.make({
    getBlob: () =>
      ByteStream.verify(
        read(from, 0, () => inTurn(descriptor.size)),
        descriptor
      )
  })
  for (const { path, skipped } of files)
    if (!skipped && path !== from)
      yield* KeptDownload.run(here, reference.repository, descriptor, path, overwrite)
})
