/**
 * Writes the files of an image into a new folder that nobody else writes to. Symbolic links come
 * after all files, so that nothing is ever written through one (T11).
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as ImageLayer from "../../content/ImageLayer.js"
import * as LayerContent from "../../content/internal/LayerContent.js"
import { StorageFailure } from "../../RegistryError.js"
import * as DiskPath from "./DiskPath.js"

type Entry = ImageLayer.Entry

/** A writer. What runs on after an interruption would write into a folder that is removed. */
export interface FolderWriter {
  /** Takes entries in the order of a flattened image, each before its bytes. */
  readonly write: (parts: Iterable<LayerContent.Part>) => Effect.Effect<void, StorageFailure>
  /** Gives folders their attributes, once nothing more is put into them. */
  readonly end: Effect.Effect<void, StorageFailure>
  /** Closes what is open. */
  readonly close: Effect.Effect<void>
  /** What no program can make on Node: devices, and what waits for another program. */
  readonly skipped: ReadonlyArray<Entry>
  /** What was made without the extended attributes that it has, which Node cannot set. */
  readonly withoutAttributes: ReadonlyArray<Entry>
}

/** What Node has no function for. */
const unmade: ReadonlySet<string> = new Set<ImageLayer.EntryType>([
  "blockDevice",
  "characterDevice",
  "fifo"
])

/** Where a writer writes. */
export interface Options {
  readonly root: string
  /** Where the folder comes to lie: errors say so of its files. */
  readonly path: string
  /** Whether files belong to whom the image says. */
  readonly owners: boolean
}

/** Makes a writer. */
export const make = (options: Options): FolderWriter => {
  const files = filesOf(options)
  /** The entry that is being written. */
  let current = "."
  const attempt = (run: () => Promise<unknown>) =>
    Effect.uninterruptible(
      Effect.tryPromise({
        try: run,
        catch: (cause) => new StorageFailure({ path: Path.join(options.path, current), cause })
      })
    )
  return {
    skipped: files.skipped,
    withoutAttributes: files.withoutAttributes,
    write: (parts) =>
      attempt(async () => {
        for (const part of parts) {
          if (LayerContent.isEntry(part)) {
            current = part.path
            await files.entry(part)
          } else await files.bytes(part)
        }
      }),
    end: attempt(async () => {
      // A new folder is for its owner alone, and others without an entry are not.
      if (files.folders.every(({ path }) => path !== ".")) await Fs.chmod(options.root, 0o755)
      for (const folder of files.folders.reverse()) {
        current = folder.path
        await files.finish(folder)
      }
    }),
    close: Effect.promise(files.close)
  }
}

const filesOf = ({ owners, root }: Options) => {
  const folders: Array<Entry> = []
  const skipped: Array<Entry> = []
  /** Those of what was skipped: links to it cannot be made either. */
  const names = new Set<string>()
  const withoutAttributes: Array<Entry> = []
  let open: { readonly file: Fs.FileHandle; readonly entry: Entry; left: number } | undefined

  const place = (path: string): DiskPath.DiskPath => {
    // On Windows they stand for folders, drives and streams.
    if (Path.sep === "\\" && /[\\:]/.test(path))
      throw new Error(`${JSON.stringify(path)} cannot be a name on this system`)
    return DiskPath.of(Path.join(root, path))
  }
  // Whoever runs this is not whom a file was to run as.
  const modeOf = ({ mode }: Pick<Entry, "mode">) => (owners ? mode : mode & 0o1777)
  const complete = async () => {
    if (open === undefined) return
    const { entry, file } = open
    if (owners) await file.chown(entry.uid, entry.gid)
    // The owner comes first: a change of it takes the bits of set-user-id away.
    await file.chmod(modeOf(entry))
    const time = timeOf(entry)
    await file.utimes(time, time)
    open = undefined
    await file.close()
  }
  const link = async (path: DiskPath.DiskPath, entry: Entry) => {
    await Fs.symlink(DiskPath.of(entry.target ?? ""), path)
    if (owners) await Fs.lchown(path, entry.uid, entry.gid)
    const time = timeOf(entry)
    await Fs.lutimes(path, time, time)
  }

  const entry = async (entry: Entry) => {
    const path = place(entry.path)
    const { target = "", type } = entry
    if (unmade.has(type) || (type === "hardlink" && names.has(target))) {
      skipped.push(entry)
      names.add(entry.path)
      return
    }
    if (type !== "hardlink" && ImageLayer.attributes(entry).size > 0) withoutAttributes.push(entry)
    switch (type) {
      case "directory":
        folders.push(entry)
        if (entry.path !== ".") await Fs.mkdir(path, 0o700)
        return
      case "file":
        open = { file: await Fs.open(path, "wx", 0o600), entry, left: entry.size }
        return entry.size === 0 ? complete() : undefined
      case "hardlink":
        return Fs.link(place(target), path)
      case "symlink":
        return link(path, entry)
    }
  }
  const bytes = async (bytes: Uint8Array) => {
    if (open === undefined) return
    await open.file.writeFile(bytes)
    open.left -= bytes.length
    if (open.left === 0) await complete()
  }
  const finish = async (entry: Entry) => {
    const folder = place(entry.path)
    if (owners) await Fs.chown(folder, entry.uid, entry.gid)
    await Fs.chmod(folder, modeOf(entry))
    const time = timeOf(entry)
    await Fs.utimes(folder, time, time)
  }

  return {
    skipped,
    withoutAttributes,
    entry,
    bytes,
    finish,
    folders,
    close: async () => open?.file.close().catch(() => {})
  }
}

/** As Node takes it, to which a negative number is the present time. */
const timeOf = ({ modified }: Pick<Entry, "modified">): number | Date =>
  modified < 0 ? new Date(Math.max(modified * 1000, -8.64e15)) : modified
