/**
 * The entries of a new layer: each path once, in the order of their names, and the folders that
 * they are in with what the base says of these (S18, S20, S27).
 */
import type { Entry } from "../../../spec/internal/TarEntry.js"
import * as TarPath from "../../../spec/internal/TarPath.js"
import type * as FileTree from "../FileTree.js"
import * as FolderPath from "./FolderPath.js"
import { InvalidImage } from "./InvalidImage.js"
import type { File, FileLayer, RegularFile } from "./Recipe.js"

/** An entry, and where its content is. */
export interface Content<out E = never, out R = never> {
  readonly entry: Entry
  readonly source?: RegularFile<E, R>["source"]
}

/** A layer that is being made: what is in it so far, by path. */
interface Draft<E, R> {
  readonly layer: FileLayer<E, R>
  /** What lower layers make. */
  readonly tree: FileTree.Tree
  /** What is not given is a folder that something is in. */
  readonly contents: Map<string, Content<E, R> & { readonly isGiven: boolean }>
  readonly sizeOf: (file: RegularFile<E, R>) => number
}

/** Whether it matters to a layer what is below it. */
export const hasFolders = <E, R>({ files }: FileLayer<E, R>): boolean =>
  files.some(({ path, type }) => type === "directory" || partsOf(path).length > 1)

/** Returns the entries of a layer over what lower layers make. */
export const of = <E, R>(
  layer: FileLayer<E, R>,
  tree: FileTree.Tree,
  sizeOf: Draft<E, R>["sizeOf"]
): ReadonlyArray<Content<E, R>> | InvalidImage => {
  const draft: Draft<E, R> = { layer, tree, contents: new Map(), sizeOf }
  // Other names of a file come after it.
  const files = [...layer.files].sort((a, b) => last(a) - last(b))
  for (const file of files) {
    const problem = add(draft, file)
    if (problem !== undefined) return new InvalidImage({ reason: "Path", path: file.path, problem })
  }
  return [...draft.contents.values()].sort(
    ({ entry: a }, { entry: b }) => last(a) - last(b) || (a.path < b.path ? -1 : 1)
  )
}

const last = ({ type }: { readonly type?: string | undefined }): number =>
  type === "hardlink" ? 1 : 0

const partsOf = (path: string): ReadonlyArray<string> =>
  path.split("/").filter((part) => part !== "" && part !== ".")

/** Adds a file, or returns what is wrong with it. */
const add = <E, R>(draft: Draft<E, R>, file: File<E, R>): string | undefined => {
  const resolved = TarPath.resolve(file.path)
  if ("problem" in resolved) return resolved.problem
  const parts = partsOf(resolved.path)
  if (parts.some((part) => part.startsWith(".wh.")))
    return "has the name of a whiteout, which removes files of the base"
  const problem = problemOf(file)
  if (problem !== undefined) return problem
  const isFolder = file.type === "directory"
  const name = isFolder ? undefined : parts.at(-1)
  if (!isFolder && name === undefined) return "is the root of the image, and not a folder"
  const folder = addFolders(draft, isFolder ? parts : parts.slice(0, -1))
  if (typeof folder !== "string") return folder.problem
  const path = name === undefined ? folder : join(folder, name)
  const known = draft.contents.get(path)
  if (known?.isGiven === true)
    return path === resolved.path ? "is given twice" : `is ${path}, which is given as well`
  if (known !== undefined && !isFolder) return "is not a folder, and has files in it"
  const content = contentOf(draft, path, file, path === "" ? draft.tree.root.entry : known?.entry)
  if (typeof content === "string") return content
  draft.contents.set(path, { ...content, isGiven: true })
  return undefined
}

const contentOf = <E, R>(
  { contents, layer, sizeOf, tree }: Draft<E, R>,
  path: string,
  file: File<E, R>,
  folder: Entry | undefined
): Content<E, R> | string => {
  const { gid, mode, modified, uid } = file
  const owned = (entry: Entry): Entry => {
    const { groupName, userName, ...rest } = entry
    return {
      ...rest,
      ...(uid === undefined && userName !== undefined && { userName }),
      ...(gid === undefined && groupName !== undefined && { groupName }),
      path: path === "" ? "." : path,
      mode: mode ?? entry.mode,
      uid: uid ?? entry.uid,
      gid: gid ?? entry.gid,
      modified: modified ?? entry.modified
    }
  }
  const own = missing(layer)
  switch (file.type) {
    case "directory":
      return { entry: owned(folder ?? own) }
    case "symlink":
      return { entry: owned({ ...own, type: "symlink", mode: 0o777, target: file.target }) }
    case "hardlink": {
      const target = realPath(tree, file.target)
      const linked = contents.get(target)?.entry
      if (linked?.type !== "file")
        return `is a hard link to ${file.target}, which is not a file of this layer`
      const entry = owned({ ...linked, type: "hardlink", size: 0, target })
      return isAlike(entry, linked)
        ? { entry }
        : `is a hard link to ${file.target}, whose mode, owner and time it has: give it no others`
    }
    default:
      return {
        entry: owned({ ...own, type: "file", mode: 0o644, size: sizeOf(file) }),
        source: file.source
      }
  }
}

/** Whether two entries can be names of one file. */
const isAlike = (self: Entry, that: Entry): boolean =>
  self.mode === that.mode &&
  self.uid === that.uid &&
  self.gid === that.gid &&
  self.modified === that.modified

/** Where a path leads, links to folders followed. */
const realPath = (tree: FileTree.Tree, path: string): string => {
  const parts = partsOf(path)
  const steps = FolderPath.of(tree, parts.slice(0, -1))
  return join("problem" in steps ? "" : (steps.at(-1)?.path ?? ""), parts.at(-1) ?? "")
}

/** Adds the folders of a path, links followed, and returns where the last of them is. */
const addFolders = <E, R>(
  { contents, layer, tree }: Draft<E, R>,
  parts: ReadonlyArray<string>
): string | { readonly problem: string } => {
  const steps = FolderPath.of(tree, parts)
  if ("problem" in steps) return steps
  for (const { entry, path } of steps) {
    const known = contents.get(path)?.entry
    if (known === undefined)
      contents.set(path, { entry: { ...missing(layer), ...entry, path }, isGiven: false })
    else if (known.type !== "directory")
      return { problem: `is below ${path}, which is not a folder in this layer` }
  }
  return steps.at(-1)?.path ?? ""
}

const join = (folder: string, name: string): string => (folder === "" ? name : `${folder}/${name}`)

const none: Entry["records"] = new Map()

/** A folder that the base does not have. */
const missing = <E, R>({ gid = 0, modified = 0, uid = 0 }: FileLayer<E, R>): Entry => ({
  path: "",
  type: "directory",
  size: 0,
  mode: 0o755,
  uid,
  gid,
  modified,
  records: none
})

/** What is wrong with what is said of a file, apart from its path. */
const problemOf = <E, R>(file: File<E, R>): string | undefined => {
  const { gid = 0, mode = 0, modified = 0, uid = 0 } = file
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o7777)
    return "has a mode that is not one: expected 0o644, or another from 0 to 0o7777"
  if (![uid, gid].every((id) => Number.isSafeInteger(id) && id >= 0))
    return "has an owner that is not a number from 0"
  if (!(Math.abs(modified) <= Number.MAX_SAFE_INTEGER))
    return "has a time that is not a number of seconds"
  if (!isText(file.path)) return "has half of a character"
  if (!("target" in file)) return undefined
  const { target } = file
  return target === "" || target.includes("\0") || !isText(target) || TarPath.isTooLong(target)
    ? "is a link to what is not a name"
    : undefined
}

/** Whether a text is read as it was written. */
const isText = (text: string): boolean => TarPath.decode(TarPath.encode(text)) === text
