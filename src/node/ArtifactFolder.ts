/**
 * Artifacts in folders: pulls the files of an artifact to disk.
 *
 * @since 0.1.0
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../ByteStream.js"
import * as Artifact from "../content/Artifact.js"
import * as References from "../internal/References.js"
import { Registries } from "../Registries.js"
import { type InputError, InvalidManifest, type StorageFailure } from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import * as Digest from "../spec/Digest.js"
import * as Reference from "../spec/Reference.js"
import * as Transfer from "../Transfer.js"
import * as BlobFile from "./BlobFile.js"
import { attempt } from "./internal/FileBlocks.js"

/**
 * Says how an artifact is pulled to a folder.
 *
 * @since 0.1.0
 * @category models
 */
export interface PullOptions extends Artifact.PullOptions {
  /** How many files to download at a time, 3 by default. */
  readonly concurrency?: number | undefined
}

/**
 * One file of an artifact, and where it is on disk.
 *
 * @since 0.1.0
 * @category models
 */
export interface SavedFile extends Artifact.PulledFile {
  readonly path: string
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
 * Each file appears under its name when it is complete and verified, and replaces what was there.
 * One that is there already, byte for byte, is not downloaded, and a download that was cut off
 * continues: after a failure, pull again (see `BlobFile.download`). Other files in the folder stay.
 *
 * Fails with
 *
 * - `InvalidManifest` when two different files have the same name, before any is downloaded;
 * - `StorageFailure` when a file cannot be written, or a symbolic link stands where a title has a
 *   folder;
 * - and the rest of `PullError`.
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
  reference: string | Reference.Reference,
  folder: string,
  options: PullOptions = {}
): Effect.Effect<Saved, PullError, Registries> =>
  References.run("ArtifactFolder.pull", reference, (parsed) =>
    Effect.gen(function* () {
      const registry = yield* (yield* Registries).get(parsed.host)
      const pulled = yield* Artifact.pullFrom(registry, parsed, options)
      const files = yield* placed(folder, pulled)
      yield* attempt(folder, () => Fs.mkdir(folder, { recursive: true }))
      yield* Effect.forEach(
        new Map(files.map((file) => [file.path, file])).values(),
        ({ descriptor, name, path }) =>
          Effect.gen(function* () {
            if (Option.isSome(name)) yield* makeFolders(folder, name.value)
            yield* (yield* isThere(path, descriptor))
              ? tellSkipped({ direction: "download", repository: parsed.repository, ...descriptor })
              : BlobFile.download(registry, parsed.repository, descriptor, path)
          }),
        { concurrency: options.concurrency ?? 3, discard: true }
      )
      return { ...pulled, files }
    })
  )

/** Says where each file goes. Fails when two that differ go to the same place. */
const placed = Effect.fnUntraced(function* (folder: string, { files, reference }: Artifact.Pulled) {
  const taken = new Map<string, { readonly n: number; readonly digest: Digest.Digest }>()
  const saved: Array<SavedFile> = []
  for (const [n, file] of files.entries()) {
    const { digest } = file.descriptor
    const name = Option.getOrElse(file.name, () => nameOf(digest))
    const earlier = taken.get(name) ?? { n, digest }
    if (earlier.digest !== digest) {
      const manifest = Reference.format(reference)
      const path = `layers[${n}]`
      const problem = `is another file of the name of layers[${earlier.n}], and would replace it`
      const message = `${manifest}: ${path} ${problem}`
      return yield* new InvalidManifest({ reason: "Shape", path, manifest, message })
    }
    taken.set(name, earlier)
    saved.push({ ...file, path: Path.join(folder, name) })
  }
  return saved
})

const nameOf = (digest: Digest.Digest): string =>
  `${Digest.algorithm(digest)}-${Digest.encoded(digest)}`

/** Makes the folders that a file is in, none of which leads elsewhere (T11). */
const makeFolders = (folder: string, name: string): Effect.Effect<void, StorageFailure> => {
  const parts = name.split("/").slice(0, -1)
  const paths = parts.map((_, n) => Path.join(folder, ...parts.slice(0, n + 1)))
  return Effect.forEach(
    paths,
    (path) =>
      attempt(path, async () => {
        await Fs.mkdir(path).catch(() => undefined)
        if (!(await Fs.lstat(path)).isDirectory()) throw new Error("not a directory")
      }),
    { discard: true }
  )
}

/** Returns whether a file is there already. What cannot be read is not. */
const isThere = (path: string, descriptor: Descriptor): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const stats = yield* attempt(path, () => Fs.lstat(path))
    if (!stats.isFile()) return false
    const source = yield* BlobFile.source(path)
    if (source.size !== descriptor.size) return false
    yield* Stream.runDrain(ByteStream.verify(source.open(0), descriptor))
    return true
  }).pipe(Effect.orElseSucceed(() => false))

const tellSkipped = (subject: Transfer.Subject & { readonly digest: Digest.Digest }) =>
  Effect.forEach(
    [
      { _tag: "Started", subject },
      { _tag: "Verified", subject, digest: subject.digest },
      { _tag: "Completed", subject, skipped: true }
    ] as const,
    Transfer.emit,
    { discard: true }
  )
