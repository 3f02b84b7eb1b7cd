/**
 * The files that layers make when they are extracted one over the other, the base first, without
 * their contents. Links are followed within the tree, which nothing leaves (T11).
 */
import type { Entry, Problem } from "../../spec/internal/TarEntry.js"
import * as Whiteout from "./Whiteout.js"

/** Something other than a folder, under as many names as it has, and where its content is. */
export interface Inode {
  readonly entry: Entry
  readonly layer: number
  /** Its place among the entries of the layer. */
  readonly at: number
}

interface Leaf {
  readonly layer: number
  readonly inode: Inode
}

/** A folder. It has no entry where only something in it has one. */
export interface Folder {
  readonly layer: number
  readonly entry: Entry | undefined
  readonly children: Map<string, Leaf | Folder>
}

/** Whether something in a folder is one. */
export const isFolder = (node: Leaf | Folder): node is Folder => "children" in node

/** A tree without files. */
export interface Tree {
  root: Folder
}

/** Makes an empty tree. */
export const make = (): Tree => ({ root: { layer: 0, entry: undefined, children: new Map() } })

/**
 * Puts the entries of a layer over a tree. What the layer removes is removed first: whiteouts act
 * on lower layers only, wherever they stand (S20).
 */
export const apply = (
  tree: Tree,
  layer: number,
  entries: ReadonlyArray<Entry>
): Problem | undefined => {
  const whiteouts = entries.map(({ path }) => Whiteout.of(path))
  for (const [at, whiteout] of whiteouts.entries()) {
    if (whiteout?._tag === "Invalid")
      return { reason: "Path", problem: whiteout.problem, path: entries[at]?.path ?? "" }
    if (whiteout?._tag === "Remove") {
      const [name, parts] = lastOf(whiteout.path)
      const folder = find(tree, parts)
      if (folder !== undefined && !isProblem(folder)) folder.children.delete(name)
    } else if (whiteout?._tag === "Empty") {
      const folder = find(tree, partsOf(whiteout.path))
      if (folder !== undefined && !isProblem(folder)) folder.children.clear()
    }
  }
  for (const [at, entry] of entries.entries()) {
    if (whiteouts[at] !== undefined) continue
    const problem = put(tree, { entry, layer, at })
    if (problem !== undefined) return { path: entry.path, ...problem }
  }
  return undefined
}

const isProblem = (value: Folder | Problem): value is Problem => "problem" in value

const partsOf = (path: string): ReadonlyArray<string> => (path === "." ? [] : path.split("/"))

const lastOf = (path: string): readonly [name: string, folder: ReadonlyArray<string>] => {
  const parts = path.split("/")
  return [parts.pop() ?? "", parts]
}

const put = (tree: Tree, inode: Inode): Problem | undefined => {
  const { entry, layer } = inode
  if (entry.path === ".") {
    tree.root = { ...tree.root, entry }
    return undefined
  }
  const [name, parts] = lastOf(entry.path)
  const folder = find(tree, parts, layer)
  if (folder === undefined || isProblem(folder)) return folder
  const { children } = folder
  const existing = children.get(name)
  if (entry.type === "directory") {
    const inside = existing !== undefined && isFolder(existing) ? existing.children : new Map()
    children.set(name, { layer, entry, children: inside })
    return undefined
  }
  if (entry.type !== "hardlink") {
    children.set(name, { layer, inode })
    return undefined
  }
  const [last, above] = lastOf(entry.target ?? "")
  const beside = find(tree, above)
  const linked = beside === undefined || isProblem(beside) ? undefined : beside.children.get(last)
  if (linked === undefined) return refused(`is a hard link to ${entry.target}, which is not there`)
  // GNU tar writes a file that it is given twice as a hard link to itself.
  if (linked === existing) return undefined
  if (isFolder(linked)) return refused(`is a hard link to ${entry.target}, which is a folder`)
  children.set(name, { layer, inode: linked.inode })
  return undefined
}

const refused = (problem: string): Problem => ({ reason: "Path", problem })

/** As many as Linux follows. */
const mostLinks = 40

/**
 * The folder of a path, links followed: made for a layer where it is missing, which a file of a
 * lower layer does not prevent. Without a layer, nothing is made, and it may be missing.
 */
const find = (
  tree: Tree,
  parts: ReadonlyArray<string>,
  layer?: number
): Folder | Problem | undefined => {
  const folders = [tree.root]
  const rest = parts.toReversed()
  let links = 0
  for (let part = rest.pop(); part !== undefined; part = rest.pop()) {
    if (part === "" || part === ".") continue
    if (part === "..") {
      if (folders.length > 1) folders.pop()
      continue
    }
    const { children } = folders.at(-1) ?? tree.root
    const child = children.get(part)
    if (child !== undefined && isFolder(child)) folders.push(child)
    else if (child?.inode.entry.type === "symlink") {
      if (++links > mostLinks) return refused(`is below more than ${mostLinks} links`)
      const { target = "" } = child.inode.entry
      if (target.startsWith("/")) folders.length = 1
      rest.push(...target.split("/").reverse())
    } else if (layer === undefined) return undefined
    else if (child !== undefined && child.layer === layer)
      return refused(`is below ${part}, which is not a folder`)
    else {
      const made: Folder = { layer, entry: undefined, children: new Map() }
      children.set(part, made)
      folders.push(made)
    }
  }
  return folders.at(-1)
}

/** What a tree holds: its folders, each after the one that it is in, and the names of the rest. */
export interface Contents {
  readonly folders: ReadonlyArray<Entry>
  readonly inodes: ReadonlyMap<Inode, ReadonlyArray<string>>
}

/** Lists what a tree holds, by name. */
export const list = ({ root }: Tree): Contents => {
  const folders: Array<Entry> = root.entry === undefined ? [] : [root.entry]
  const inodes = new Map<Inode, Array<string>>()
  const open: Array<readonly [path: string, folder: Folder]> = [["", root]]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [above, { children }] = next
    for (const name of [...children.keys()].sort()) {
      const child = children.get(name)
      if (child === undefined) continue
      const path = `${above}${name}`
      if (isFolder(child)) {
        folders.push({ ...(child.entry ?? implied), path })
        open.push([`${path}/`, child])
      } else {
        const names = inodes.get(child.inode)
        if (names === undefined) inodes.set(child.inode, [path])
        else names.push(path)
      }
    }
  }
  return { folders, inodes }
}

/** A folder that no layer has an entry for. */
const implied: Entry = {
  path: "",
  type: "directory",
  size: 0,
  mode: 0o755,
  uid: 0,
  gid: 0,
  modified: 0,
  records: new Map()
}
