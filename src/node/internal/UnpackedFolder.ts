/**
 * Folders that are unpacked from archives: first beside their place, whole and verified, and then
 * into it. What is there already is left alone, and nothing leads out (T11).
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { InvalidLayer } from "../../content/internal/InvalidLayer.js"
import * as LayerContent from "../../content/internal/LayerContent.js"
import { foldersOf } from "../../content/internal/Title.js"
import { LimitExceeded, type StorageFailure } from "../../RegistryError.js"
import type { Digest } from "../../spec/Digest.js"
import type { Entry } from "../../spec/internal/TarEntry.js"
import * as NodeDecompression from "../NodeDecompression.js"
import { FileExists } from "./ExistingFile.js"
import { attempt } from "./FileBlocks.js"
import * as FolderArchive from "./FolderArchive.js"
import * as FolderWriter from "./FolderWriter.js"
import { linkProblem } from "./LinkTarget.js"
import * as MergedFolder from "./MergedFolder.js"

/** The most entries of an archive: each takes memory. */
const entryLimit = 1_000_000

/** A folder in an archive. */
export interface Packed<E> extends LayerContent.ImageLayer<E> {
  /** The folder of the archive that everything is in. */
  readonly name: string
  /** The most that the archive may have when it is decompressed, in bytes. */
  readonly limit?: number | undefined
}

/**
 * Returns whether nothing is there, the `same` folder to the byte, another `folder`, or something
 * `else`. A folder is the same if it makes the archive with this digest.
 */
export const stateOf = (
  path: string,
  name: string,
  archive: Digest | undefined
): Effect.Effect<"absent" | "same" | "folder" | "else"> =>
  Effect.gen(function* () {
    const stats = yield* Effect.promise(() => Fs.lstat(path).catch(() => undefined))
    if (stats === undefined) return "absent"
    if (!stats.isDirectory()) return "else"
    // All that is below "." is more than what was unpacked there.
    if (archive === undefined || name === ".") return "folder"
    const packed = ByteStream.verify(FolderArchive.tar(path, name), { digest: archive })
    return yield* Effect.match(Stream.runDrain(packed), {
      onFailure: () => "folder" as const,
      onSuccess: () => "same" as const
    })
  })

/**
 * Unpacks an archive into a folder. Fails with `FileExists`, with nothing changed, where other
 * files are there that it would replace, unless they may be overwritten.
 */
export const unpack = <E>(
  packed: Packed<E>,
  path: string,
  overwrite: boolean
): Effect.Effect<void, E | LayerContent.ReadError | StorageFailure | FileExists> =>
  Effect.gen(function* () {
    // To move a folder within another one takes no permission of its own.
    const beside = packed.name === "." ? path : Path.dirname(path)
    const partial = yield* Effect.acquireRelease(
      attempt(beside, () => Fs.mkdtemp(Path.join(beside, ".effect-oci-"))),
      (partial) =>
        Effect.ignore(attempt(partial, () => Fs.rm(partial, { recursive: true, force: true })))
    )
    const writer = yield* Effect.acquireRelease(
      Effect.sync(() => FolderWriter.make({ root: partial, path, owners: false })),
      ({ close }) => close
    )
    const tree = new Tree(packed)
    const parts = LayerContent.read<E, LayerContent.Part>(packed, packed, (emit) => ({
      take: emit
    }))
    yield* Stream.runForEachChunk(parts, (parts) =>
      Effect.gen(function* () {
        const checked: Array<LayerContent.Part> = []
        for (const part of parts) {
          if (!LayerContent.isEntry(part)) checked.push(part)
          else checked.push(...(yield* tree.take(part)))
        }
        yield* writer.write(checked)
      })
    )
    yield* writer.write(tree.links)
    if (writer.skipped.length > 0)
      yield* Effect.logWarning(
        `${path}: left out what is neither a file, a folder nor a link: ` +
          writer.skipped
            .map(({ path }) => path)
            .join(", ")
            .slice(0, 512)
      )
    const stats = yield* Effect.promise(() => Fs.lstat(path).catch(() => undefined))
    if (stats?.isDirectory() === true) {
      const entries = [...tree.entries.values()]
      const taken = yield* Effect.uninterruptible(
        attempt(path, () => MergedFolder.merge(partial, path, entries, overwrite))
      )
      if (taken.length > 0) return yield* new FileExists({ paths: taken })
      return
    }
    if (stats !== undefined && !overwrite) return yield* new FileExists({ paths: [path] })
    yield* writer.end
    const isFree = yield* Effect.uninterruptible(
      attempt(path, async () => {
        if (stats !== undefined) await Fs.rm(path, { force: true })
        return MergedFolder.unlessTaken(Fs.rename(partial, path))
      })
    )
    // Another pull has been faster.
    if (!isFree) yield* unpack(packed, path, overwrite)
  }).pipe(Effect.scoped, Effect.provide(NodeDecompression.layer))

/** What is in an archive so far, each path once, below the folder that it is of. */
class Tree {
  readonly entries = new Map<string, Entry>()
  /** They come last, so that nothing is written through one. */
  readonly links: Array<Entry> = []

  constructor(private readonly packed: Packed<unknown>) {}

  /** The entries to write for one of the archive: itself, and the folders that it is in. */
  take(entry: Entry): Effect.Effect<ReadonlyArray<Entry>, InvalidLayer | LimitExceeded> {
    const path = this.pathOf(entry.path)
    const problem = path === undefined ? this.outside : this.problemOf(entry, path)
    if (path === undefined || problem !== undefined) return this.refused(entry, `${problem}`)
    if (entry.type === "directory" && this.entries.get(path)?.type === "directory")
      return Effect.succeed([])
    const missing = foldersOf(path).filter((folder) => !this.entries.has(folder))
    const target = entry.type === "hardlink" ? this.pathOf(entry.target ?? "") : entry.target
    const placed = [
      ...missing.map(
        (path): Entry => ({ ...entry, path, type: "directory", size: 0, mode: 0o755 })
      ),
      { ...entry, path, ...(target !== undefined && { target }) }
    ].map(plain)
    for (const entry of placed) this.entries.set(entry.path, entry)
    if (this.entries.size > entryLimit)
      return Effect.fail(
        new LimitExceeded({ what: "The number of entries of an archive", limit: entryLimit })
      )
    if (entry.type !== "symlink") return Effect.succeed(placed)
    this.links.push(...placed.slice(-1))
    return Effect.succeed(placed.slice(0, -1))
  }

  /** The path below the folder that the archive is of. */
  private pathOf(path: string): string | undefined {
    const { name } = this.packed
    if (name === ".") return path
    if (path === name) return "."
    return path.startsWith(`${name}/`) ? path.slice(name.length + 1) : undefined
  }

  private get outside(): string {
    return `is not in the folder that the archive is of, ${this.packed.name}`
  }

  private problemOf(entry: Entry, path: string): string | undefined {
    const { target = "", type } = entry
    const earlier = this.entries.get(path)
    if (earlier !== undefined && !(earlier.type === "directory" && type === "directory"))
      return "is there twice"
    if (path === "." && type !== "directory") return "is the folder itself, and not a folder"
    if (foldersOf(path).some((path) => this.isNoFolder(path)))
      return "is in something that is not a folder"
    if (type === "hardlink") {
      const linked = this.pathOf(target)
      return linked !== undefined && this.entries.get(linked)?.type === "file"
        ? undefined
        : "is a link to what is no file before it in the archive"
    }
    const problem = type === "symlink" ? linkProblem(foldersOf(path).length, target) : undefined
    return problem === undefined ? undefined : `is a link that ${problem}`
  }

  private isNoFolder(path: string): boolean {
    const entry = this.entries.get(path)
    return entry !== undefined && entry.type !== "directory"
  }

  private refused({ path }: Entry, problem: string) {
    const { digest } = this.packed.descriptor
    return Effect.fail(new InvalidLayer({ reason: "Path", layer: digest, path, problem }))
  }
}

/** Without what nobody should get from an archive: other users' rights. No time is now. */
const plain = (entry: Entry): Entry => ({
  ...entry,
  mode: entry.mode & 0o777,
  modified: entry.modified === 0 ? Date.now() / 1000 : entry.modified
})
