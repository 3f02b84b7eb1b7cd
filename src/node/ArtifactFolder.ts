/**
 * Artifacts in folders: pulls the files of an artifact to disk.
 *
 * @since 0.1.0
 */
import * as Path from "node:path"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as ByteStream from "../ByteStream.js"
import * as Artifact from "../content/Artifact.js"
import * as References from "../internal/References.js"
import { Registries } from "../Registries.js"
import * as Registry from "../Registry.js"
import type { InputError } from "../RegistryError.js"
import type { Reference } from "../spec/Reference.js"
import * as BlobFile from "./BlobFile.js"
import * as ExistingFile from "./internal/ExistingFile.js"
import { inTurn, read } from "./internal/FileBlocks.js"
import * as FilePlaces from "./internal/FilePlaces.js"

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
}

/**
 * One file of an artifact, and where it is on disk.
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
}

/**
 * The errors of `pull`.
 *
 * @since 0.1.0
 * @category errors
 */
export type PullError = Artifact.PullError | BlobFile.DownloadError | InputError

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
 * Fails with
 *
 * - `InvalidManifest` when two files have the same name, or one the name of a folder of another;
 * - `FileExists` when something else is there under the names of files, unless `overwrite` says
 *   that it may be replaced;
 * - `StorageFailure` when a file cannot be written, or a symbolic link stands where a title has a
 *   folder;
 * - and the rest of `PullError`.
 *
 * The first two come before anything is downloaded or written.
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
      const { concurrency = 3, overwrite = false } = options
      const registry = yield* (yield* Registries).get(parsed.host)
      const pulled = yield* Artifact.pullFrom(registry, parsed, options)
      const places = yield* FilePlaces.of(pulled)
      yield* FilePlaces.checkFolders(folder, places)
      const states = yield* Effect.forEach(
        places,
        ({ file, name }) => ExistingFile.stateOf(Path.join(folder, name), file.descriptor),
        { concurrency }
      )
      const files = places.map(({ file, name }, n) => ({
        ...file,
        path: Path.join(folder, name),
        skipped: states[n] === "same"
      }))
      const taken = files.filter((_, n) => states[n] === "else")
      if (taken.length > 0 && !overwrite)
        return yield* new BlobFile.FileExists({ paths: taken.map(({ path }) => path) })
      yield* FilePlaces.makeFolders(folder, places)
      const contents = Object.values(Array.groupBy(files, ({ descriptor }) => descriptor.digest))
      yield* Effect.forEach(contents, (same) => writeAll(same, overwrite), {
        concurrency,
        discard: true
      })
      return { ...pulled, files }
    })
  )

/** Writes one content under all its names, from one download (CP29). */
const writeAll = Effect.fnUntraced(function* (
  files: Array.NonEmptyReadonlyArray<SavedFile>,
  overwrite: boolean
) {
  const [first] = files
  const { descriptor } = first
  const { repository } = first.reference
  const there = files.find(({ skipped }) => skipped)
  yield* there === undefined
    ? BlobFile.save(first, first.path, { overwrite })
    : ExistingFile.tellSkipped({ repository, ...descriptor })
  const { path: from } = there ?? first
  const here = Registry.make({
    getBlob: () => ByteStream.verify(read(from, 0, inTurn), descriptor)
  })
  for (const { path, skipped } of files)
    if (!skipped && path !== from)
      yield* BlobFile.download(here, repository, descriptor, path, { overwrite })
})
