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
  /** What is in it; nothing is under a name of which it is known that nothing is. */
  readonly children: Map<string, Leaf | Folder | undefined>
  /** Whether layers below those that are known can have more in it. */
  isOpen: boolean
}

/** Whether something in a folder is one. */
export const isFolder = (node: Leaf | Folder): node is Folder => "children" in node

/**
 * The files of some layers. Where there are layers below that are not known, it is not known either
 * which folders are links, nor where what is written below those comes to lie: anything under one
 * of the `loose` names can be something else, and where nothing is, there can be a folder that was
 * made for it.
 */
export interface Tree {
  root: Folder
  readonly loose: Set<string>
  /** Whether any folder may have been emptied. */
  isLost: boolean
}

/** Makes a tree without files, on layers that are not known if it is open. */
export const make = (isOpen = false): Tree => ({
  root: { layer: 0, entry: undefined, children: new Map(), isOpen },
  loose: new Set(),
  isLost: false
})

/** That it depends on the layers below, which can have it under a path. */
export interface Unknown {
  readonly unknown: string
  /** The end of that path, behind what may be a link. */
  readonly below: ReadonlyArray<string>
}

/** Whether what is looked up depends on the layers below. */
export const isUnknown = (value: object): value is Unknown => "unknown" in value

/** What a folder has under a name. */
const childOf = (tree: Tree, folder: Folder, name: string): Leaf | Folder | Unknown | undefined => {
  const child = folder.children.get(name)
  const isMissing = child === undefined && folder.isOpen && !folder.children.has(name)
  return isMissing || tree.isLost || tree.loose.has(name) ? { unknown: name, below: [] } : child
}

/**
 * Puts the entries of a layer over a tree. What the layer removes is removed first: whiteouts act
 * on lower layers only, wherever they stand (S20). Returns what is wrong with the first entry that
 * cannot be put, which is left out.
 */
export const apply = (
  tree: Tree,
  layer: number,
  entries: ReadonlyArray<Entry>
): Problem | undefined => {
  let first: Problem | undefined
  const whiteouts = entries.map(({ path }) => Whiteout.of(path))
  for (const [at, whiteout] of whiteouts.entries()) {
    if (whiteout?._tag === "Invalid")
      first ??= { reason: "Path", problem: whiteout.problem, path: entries[at]?.path ?? "" }
    else if (whiteout !== undefined) remove(tree, whiteout)
  }
  for (const [at, entry] of entries.entries()) {
    if (whiteouts[at] !== undefined) continue
    const problem = put(tree, { entry, layer, at })
    if (problem !== undefined) first ??= { path: entry.path, ...problem }
  }
  return first
}

/** Whether there is something wrong with a path. */
export const isProblem = (value: object): value is Problem => "problem" in value

const partsOf = (path: string): ReadonlyArray<string> => (path === "." ? [] : path.split("/"))

const lastOf = (path: string): readonly [name: string, folder: ReadonlyArray<string>] => {
  const parts = path.split("/")
  return [parts.pop() ?? "", parts]
}

const remove = (tree: Tree, whiteout: Whiteout.Whiteout): void => {
  if (whiteout._tag === "Remove") {
    const [name, parts] = lastOf(whiteout.path)
    const folder = walk(tree, parts)
    if (folder === undefined || isProblem(folder)) return
    if (isUnknown(folder)) tree.loose.add(name)
    else if (isFolder(folder)) {
      if (folder.isOpen) folder.children.set(name, undefined)
      else folder.children.delete(name)
    }
  } else if (whiteout._tag === "Empty") {
    const folder = walk(tree, partsOf(whiteout.path))
    if (folder === undefined || isProblem(folder)) return
    if (isUnknown(folder)) tree.isLost = true
    else if (isFolder(folder)) {
      folder.children.clear()
      folder.isOpen = false
    }
  }
}

const put = (tree: Tree, inode: Inode): Problem | undefined => {
  const { entry, layer } = inode
  if (entry.path === ".") {
    tree.root = { ...tree.root, entry }
    return undefined
  }
  const [name, parts] = lastOf(entry.path)
  const folder = walk(tree, parts, layer)
  if (folder === undefined || isProblem(folder)) return folder
  if (isUnknown(folder)) {
    // Folders that are missing are made as well.
    for (const part of [...folder.below, name]) tree.loose.add(part)
    return undefined
  }
  if (!isFolder(folder)) return undefined
  const { children } = folder
  const existing = childOf(tree, folder, name)
  if (entry.type === "directory") {
    const isUncertain = existing !== undefined && isUnknown(existing)
    children.set(
      name,
      existing !== undefined && !isUncertain && isFolder(existing)
        ? { ...existing, layer, entry }
        : { layer, entry, children: new Map(), isOpen: isUncertain }
    )
    return undefined
  }
  if (entry.type !== "hardlink") {
    children.set(name, { layer, inode })
    return undefined
  }
  const linked = at(tree, entry.target ?? "")
  if (linked === undefined || isProblem(linked))
    return refused(`is a hard link to ${entry.target}, which is not there`)
  if (isUnknown(linked)) {
    tree.loose.add(name)
    return undefined
  }
  // GNU tar writes a file that it is given twice as a hard link to itself.
  if (linked === existing) return undefined
  if (isFolder(linked)) return refused(`is a hard link to ${entry.target}, which is a folder`)
  children.set(name, { layer, inode: linked.inode })
  return undefined
}

/** What is under a path, which may be a link itself. */
const at = (tree: Tree, path: string) => {
  const [name, parts] = lastOf(path)
  const folder = walk(tree, parts)
  if (folder === undefined || isProblem(folder) || isUnknown(folder)) return folder
  return isFolder(folder) ? childOf(tree, folder, name) : undefined
}

const refused = (problem: string): Problem => ({ reason: "Path", problem })

/** As many as Linux follows. */
export const mostLinks = 40

/**
 * What a path leads to, links followed. For a layer, it leads to a folder, which is made where it
 * is missing, and a file of a lower layer does not prevent that unless a link led there.
 */
const walk = (
  tree: Tree,
  parts: ReadonlyArray<string>,
  layer?: number
): Leaf | Folder | Problem | Unknown | undefined => {
  const folders = [tree.root]
  const names: Array<string> = []
  const rest = parts.toReversed()
  const unknown = (part: string): Unknown => {
    const below = rest.reverse()
    return { unknown: [...names, part, ...below].join("/"), below }
  }
  let links = 0
  for (let part = rest.pop(); part !== undefined; part = rest.pop()) {
    if (part === "" || part === ".") continue
    if (part === "..") {
      if (folders.length > 1) folders.pop()
      names.pop()
      continue
    }
    const folder = folders.at(-1) ?? tree.root
    const child = childOf(tree, folder, part)
    if (child !== undefined && isUnknown(child)) return unknown(part)
    if (child !== undefined && isFolder(child)) {
      folders.push(child)
      names.push(part)
    } else if (child?.inode.entry.type === "symlink") {
      if (++links > mostLinks) return refused(`is below more than ${mostLinks} links`)
      const { target = "" } = child.inode.entry
      if (target.startsWith("/")) {
        folders.length = 1
        names.length = 0
      }
      rest.push(...target.split("/").reverse())
    } else if (layer === undefined) {
      if (child === undefined && tree.loose.size > 0) return unknown(part)
      return rest.length === 0 ? child : undefined
    } else if (child !== undefined && (child.layer === layer || links > 0))
      return refused(`is below ${part}, which is not a folder`)
    else {
      const made: Folder = { layer, entry: undefined, children: new Map(), isOpen: false }
      folder.children.set(part, made)
      folders.push(made)
      names.push(part)
    }
  }
  return folders.at(-1)
}

/**
 * What a path leads to, links followed: something other than a folder, or nothing. `Problem` says
 * that there are too many links.
 */
export const lookup = (tree: Tree, path: string) => walk(tree, partsOf(path))

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
