/**
 * Images in folders: writes the files of an image to disk, and lists those of a folder for a layer.
 *
 * @since 0.1.0
 */
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "../BlobSource.js"
import type * as Image from "../content/Image.js"
import type * as ImageBuild from "../content/ImageBuild.js"
import type { Entry } from "../content/ImageLayer.js"
import * as Flattening from "../content/internal/Flattening.js"
import type { Decompression } from "../Decompression.js"
import * as Spans from "../internal/Spans.js"
import { StorageFailure } from "../RegistryError.js"
import * as Reference from "../spec/Reference.js"
import * as DiskPath from "./internal/DiskPath.js"
import { attempt } from "./internal/FileBlocks.js"
import * as FolderReader from "./internal/FolderReader.js"
import * as FolderWriter from "./internal/FolderWriter.js"

/**
 * Says how the files of an image are written.
 *
 * @since 0.1.0
 * @category models
 */
export interface ExtractOptions extends Image.FlattenOptions {
  /**
   * Whether files belong to the users and groups that the image says, by number. By default, they
   * do where the program runs as root. Where they do not, the bits of set-user-id and set-group-id
   * are left out of their modes: the user would be that of the program.
   */
  readonly owners?: boolean | undefined
}

/**
 * The files of an image on disk.
 *
 * @since 0.1.0
 * @category models
 */
export interface Extracted {
  /** The folder that is their root. */
  readonly path: string
  /** What was left out since Node cannot make it: devices and fifos. */
  readonly skipped: ReadonlyArray<Entry>
  /**
   * What was written without its extended attributes, which Node cannot set: programs with
   * capabilities, say. `ImageLayer.attributes` has them, for a program such as `setfattr`.
   */
  readonly withoutAttributes: ReadonlyArray<Entry>
}

/**
 * The errors of `extract`.
 *
 * @since 0.1.0
 * @category errors
 */
export type ExtractError = Image.FlattenError | StorageFailure

/**
 * Writes the files of an image to a folder, which must be missing or empty: those that its layers
 * make when they are extracted one over the other, as `Image.flatten` has them, with their modes
 * and times. Nothing is ever written outside of it, whatever names and links the layers have.
 *
 * The folder appears when it is complete, and every layer is verified before the first file is
 * written. Extended attributes are left out, which Node cannot set, and so are devices and fifos:
 * the result says which entries that concerns. Symbolic links are made as they are: those that lead
 * out of the image, as absolute ones do, lead to files of this machine for whoever follows them.
 *
 * Fails with `StorageFailure` when the folder has something in it or a file cannot be written, and
 * with the rest of `ExtractError`.
 *
 * @example
 * ```ts
 * import * as Image from "effect-oci/Image"
 * import { ImageFolder } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const extract = Effect.gen(function*() {
 *   const image = yield* Image.pull("ghcr.io/owner/extension:1.0.0")
 *   return yield* ImageFolder.extract(image, "extensions/demo")
 * })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const extract = (
  image: Image.Image,
  folder: string,
  options: ExtractOptions = {}
): Effect.Effect<Extracted, ExtractError, Decompression> =>
  Spans.inSpan(
    "ImageFolder.extract",
    () => ({ "oci.reference": Reference.format(image.reference) }),
    Effect.scoped(
      Effect.gen(function* () {
        const path = Path.resolve(folder)
        const place = yield* placeOf(path)
        yield* attempt(path, () => Fs.mkdir(Path.dirname(place), { recursive: true }))
        const partial = yield* Effect.acquireRelease(
          attempt(path, () => Fs.mkdtemp(`${place}.partial-`)),
          (partial) =>
            Effect.ignore(attempt(partial, () => Fs.rm(partial, { recursive: true, force: true })))
        )
        const owners = options.owners ?? process.getuid?.() === 0
        const writer = yield* Effect.acquireRelease(
          Effect.sync(() => FolderWriter.make({ root: partial, path, owners })),
          ({ close }) => close
        )
        yield* Stream.runForEachChunk(Flattening.parts(image.layers, options), writer.write)
        yield* writer.end
        yield* attempt(path, () => Fs.rename(partial, place))
        const { skipped, withoutAttributes } = writer
        return { path, skipped, withoutAttributes }
      })
    )
  )

/** Where the folder is, links followed, which has to be missing or empty. */
const placeOf = (path: string): Effect.Effect<string, StorageFailure> =>
  attempt(path, async () => {
    if ((await Fs.lstat(path).catch(() => undefined)) === undefined) return path
    const place = await Fs.realpath(path)
    if ((await Fs.readdir(place)).length === 0) return place
    throw new Error("the folder is not empty: extract to a new one")
  })

/**
 * Says where the files of a folder go.
 *
 * @since 0.1.0
 * @category models
 */
export interface FilesOptions {
  /** The folder of the image that they go to, such as `/app`: its root by default. */
  readonly at?: string | undefined
}

/**
 * Lists the files of a folder, and of the folders in it, for a layer of an image to build: regular
 * files, folders and symbolic links as they are. Files are `0o755` if their owner may execute them,
 * and else `0o644`; owners and times of the disk are not kept. Contents are read when the image is
 * built, and a file that changes in the meantime is an error then.
 *
 * Fails with `StorageFailure` when there is no such folder, or something else than files, folders
 * and symbolic links is in it.
 *
 * @example
 * ```ts
 * import { ImageFolder } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * // All but the maps of sources.
 * const files = Effect.map(ImageFolder.files("dist", { at: "/app" }), (files) =>
 *   files.filter(({ path }) => !path.endsWith(".map"))
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const files = (
  folder: string,
  { at = "" }: FilesOptions = {}
): Effect.Effect<ReadonlyArray<ImageBuild.File<StorageFailure>>, StorageFailure> =>
  Stream.fromAsyncIterable(
    FolderReader.walk(folder),
    (cause) => new StorageFailure({ path: folder, cause })
  ).pipe(
    Stream.mapEffect(({ onDisk, path, stats }) => fileOf(stats, onDisk, `${at}/${path}`)),
    Stream.runCollect,
    Effect.map((files) => [...files])
  )

const fileOf = (
  stats: Stats,
  onDisk: string,
  path: string
): Effect.Effect<ImageBuild.File<StorageFailure>, StorageFailure> => {
  if (stats.isDirectory()) return Effect.succeed({ path, type: "directory" })
  if (stats.isSymbolicLink())
    return Effect.map(
      attempt(onDisk, () => DiskPath.targetOf(onDisk)),
      (target) => ({ path, type: "symlink", target })
    )
  if (!stats.isFile())
    return Effect.fail(
      new StorageFailure({
        path: onDisk,
        cause: new Error("neither a file nor a folder nor a symbolic link")
      })
    )
  const { mode, size } = stats
  return Effect.succeed({
    path,
    source: BlobSource.fromStream(FolderReader.content(onDisk, size), { size }),
    mode: mode & 0o100 ? 0o755 : 0o644
  })
}
