/**
 * Folders as tar archives that depend on nothing but names, permissions and contents: entries are
 * in the order of their names, and have neither times nor owners, so that a folder gives the same
 * archive wherever it is packed (CP31).
 */
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Flattening from "../../content/internal/Flattening.js"
import type { Part } from "../../content/internal/LayerContent.js"
import type { StorageFailure } from "../../RegistryError.js"
import type { Entry, EntryType } from "../../spec/internal/TarEntry.js"
import * as DiskPath from "./DiskPath.js"
import { attempt } from "./FileBlocks.js"
import * as FolderReader from "./FolderReader.js"
import { linkProblem } from "./LinkTarget.js"

interface Item {
  readonly entry: Entry
  /** Where it is on disk. */
  readonly path: string
}

/** Streams a folder as an archive, in which its name is `name`. */
export const tar = (folder: string, name: string): Stream.Stream<Uint8Array, StorageFailure> =>
  Flattening.encoded(
    Stream.unwrap(
      Effect.map(
        Effect.uninterruptible(attempt(folder, () => itemsOf(folder, name))),
        (items): Stream.Stream<Part, StorageFailure> =>
          Stream.flatMap(Stream.fromIterable(items), (item) =>
            Stream.concat(
              Stream.make<[Part]>(item.entry),
              FolderReader.content(item.path, item.entry.size)
            )
          )
      )
    )
  )

/** The entries of a folder, each folder before what is in it. */
const itemsOf = async (folder: string, name: string): Promise<ReadonlyArray<Item>> => {
  const stats = await Fs.stat(folder)
  if (!stats.isDirectory()) throw new Error("not a folder")
  const items: Array<Item> = [
    { entry: entryOf(name || ".", "directory", stats, undefined), path: folder }
  ]
  for await (const { onDisk, path, stats } of FolderReader.walk(folder)) {
    const type = typeOf(stats)
    if (type === undefined) throw new Error(`${onDisk} is neither a file, a folder nor a link`)
    const target = type === "symlink" ? await DiskPath.targetOf(onDisk) : undefined
    const depth = path.split("/").length - 1
    const problem = target === undefined ? undefined : linkProblem(depth, target)
    if (problem !== undefined) throw new Error(`${onDisk} is a link that ${problem}`)
    const entryPath = name === "." ? path : `${name}/${path}`
    items.push({ entry: entryOf(entryPath, type, stats, target), path: onDisk })
  }
  return items
}

const typeOf = (stats: Stats): EntryType | undefined => {
  if (stats.isDirectory()) return "directory"
  if (stats.isSymbolicLink()) return "symlink"
  return stats.isFile() ? "file" : undefined
}

const entryOf = (
  path: string,
  type: EntryType,
  { mode, size }: Stats,
  target: string | undefined
): Entry => ({
  path,
  type,
  size: type === "file" ? size : 0,
  mode: type === "symlink" ? 0o777 : mode & 0o777,
  uid: 0,
  gid: 0,
  modified: 0,
  ...(target !== undefined && { target }),
  records: none
})

const none: ReadonlyMap<string, Uint8Array> = new Map()
