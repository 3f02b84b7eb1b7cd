/**
 * Writes the files of an image into a new folder that nobody else writes to. Symbolic links come
 * after all files, so that nothing is ever written through one (T11).
 */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as ImageLayer from "../../content/ImageLayer.js"

type Entry = ImageLayer.Entry

/** A writer: entries in the order of a flattened image, each before its bytes. */
export interface FolderWriter {
  readonly entry: (entry: Entry) => Promise<void>
  readonly bytes: (bytes: Uint8Array) => Promise<void>
  /** Gives folders their attributes, once nothing more is put into them. */
  readonly end: () => Promise<void>
  /** Closes what is open. */
  readonly close: () => Promise<void>
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

/** Makes a writer. With `owners`, files belong to whom the image says. */
export const make = (root: string, owners: boolean): FolderWriter => {
  const folders: Array<Entry> = []
  const skipped: Array<Entry> = []
  /** Those of what was skipped: links to it cannot be made either. */
  const names = new Set<string>()
  const withoutAttributes: Array<Entry> = []
  let open: { readonly file: Fs.FileHandle; readonly entry: Entry; left: number } | undefined

  const place = (path: string): string => {
    // On Windows they stand for folders, drives and streams.
    if (Path.sep === "\\" && /[\\:]/.test(path))
      throw new Error(`${JSON.stringify(path)} cannot be a name on this system`)
    return Path.join(root, path)
  }
  const complete = async () => {
    if (open === undefined) return
    const { entry, file } = open
    if (owners) await file.chown(entry.uid, entry.gid)
    // The owner comes first: a change of it takes the bits of set-user-id away.
    await file.chmod(entry.mode)
    await file.utimes(entry.modified, entry.modified)
    open = undefined
    await file.close()
  }
  const link = async (path: string, { gid, modified, target = "", uid }: Entry) => {
    await Fs.symlink(target, path)
    if (owners) await Fs.lchown(path, uid, gid)
    await Fs.lutimes(path, modified, modified)
  }

  return {
    skipped,
    withoutAttributes,
    entry: async (entry) => {
      const path = place(entry.path)
      const { target = "", type } = entry
      if (unmade.has(type) || (type === "hardlink" && names.has(target))) {
        skipped.push(entry)
        names.add(entry.path)
        return
      }
      if (type !== "hardlink" && ImageLayer.attributes(entry).size > 0)
        withoutAttributes.push(entry)
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
    },
    bytes: async (bytes) => {
      if (open === undefined) return
      await open.file.writeFile(bytes)
      open.left -= bytes.length
      if (open.left === 0) await complete()
    },
    end: async () => {
      for (const { gid, mode, modified, path, uid } of folders.reverse()) {
        const folder = place(path)
        if (owners) await Fs.chown(folder, uid, gid)
        await Fs.chmod(folder, mode)
        await Fs.utimes(folder, modified, modified)
      }
    },
    close: async () => {
      await open?.file.close()
    }
  }
}
