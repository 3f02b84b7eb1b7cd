/** Moves the files of one folder into another one, in which other files are. */
import { Buffer } from "node:buffer"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { codeOf } from "../../internal/CauseDetails.js"
import type { Entry } from "../../spec/internal/TarEntry.js"
import * as DiskPath from "./DiskPath.js"
import { moveTo } from "./PartialFile.js"

/**
 * Moves what the entries say, and leaves alone what is there already. Returns the paths at which
 * something else is: unless that may be overwritten, nothing has been moved then. A folder takes no
 * other thing's place, and nothing takes that of a folder.
 */
export const merge = async (
  from: string,
  to: string,
  entries: ReadonlyArray<Entry>,
  overwrite: boolean
): Promise<ReadonlyArray<string>> => {
  const missing: Array<Entry> = []
  const taken: Array<Entry> = []
  for (const entry of entries) {
    const path = placeIn(to, entry)
    const stats = await Fs.lstat(path).catch(() => undefined)
    if (stats === undefined) missing.push(entry)
    else if (stats.isDirectory() !== (entry.type === "directory"))
      throw new Error(`${path} is ${stats.isDirectory() ? "a folder" : "not a folder"}`)
    else if (!stats.isDirectory() && !(await isSame(entry, placeIn(from, entry), path)))
      taken.push(entry)
  }
  const pathsOf = (entries: ReadonlyArray<Entry>) => entries.map(({ path }) => Path.join(to, path))
  if (taken.length > 0 && !overwrite) return pathsOf(taken)
  const late: Array<Entry> = []
  for (const entry of [...missing, ...taken])
    if (!(await move(entry, from, to, overwrite)) && !(await isThere(entry, from, to)))
      late.push(entry)
  // Nothing more is put into them.
  for (const entry of missing.reverse())
    if (entry.type === "directory") await Fs.chmod(placeIn(to, entry), entry.mode)
  return pathsOf(late)
}

const placeIn = (folder: string, { path }: Entry): DiskPath.DiskPath =>
  DiskPath.of(Path.join(folder, path))

const move = async (
  entry: Entry,
  from: string,
  to: string,
  overwrite: boolean
): Promise<boolean> => {
  const { target = "", type } = entry
  const name = placeIn(to, entry)
  if (type === "directory") return unlessTaken(Fs.mkdir(name))
  // A hard link to a symbolic one is one to what that leads to, on some systems.
  if (type === "symlink" && !overwrite) return unlessTaken(Fs.symlink(DiskPath.of(target), name))
  return moveTo(placeIn(from, entry), name, overwrite)
}

/** Whether something got its name: not where another thing has that. */
export const unlessTaken = (named: Promise<void>): Promise<boolean> =>
  named.then(
    () => true,
    (cause: unknown) => {
      if (["EEXIST", "ENOTEMPTY"].includes(codeOf(cause))) return false
      throw cause
    }
  )

/** Whether what another pull has put there in the meantime is the same. */
const isThere = async (entry: Entry, from: string, to: string): Promise<boolean> =>
  entry.type === "directory"
    ? (await Fs.lstat(placeIn(to, entry))).isDirectory()
    : isSame(entry, placeIn(from, entry), placeIn(to, entry))

/** Whether a file or link that is there is the one that is to go there. */
const isSame = async (
  { target, type }: Entry,
  path: DiskPath.DiskPath,
  there: DiskPath.DiskPath
): Promise<boolean> => {
  const stats = await Fs.lstat(there)
  if (type === "symlink")
    return stats.isSymbolicLink() && (await DiskPath.targetOf(there)) === target
  if (!stats.isFile() || stats.size !== (await Fs.lstat(path)).size) return false
  const files = [await Fs.open(path)]
  try {
    files.push(await Fs.open(there))
    const blocks = files.map(() => Buffer.allocUnsafe(blockSize))
    for (;;) {
      const [one, other] = await Promise.all(
        files.map(async (file, n) => {
          const { buffer, bytesRead } = await file.read(blocks[n] ?? Buffer.alloc(0), 0, blockSize)
          return buffer.subarray(0, bytesRead)
        })
      )
      if (one === undefined || other === undefined || !one.equals(other)) return false
      if (one.length === 0) return true
    }
  } finally {
    for (const file of files) await file.close()
  }
}

const blockSize = 262_144
