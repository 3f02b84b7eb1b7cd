/**
 * The files of an archive by name. Names only look up entries: none of them ever becomes a path of
 * the disk (S11, T11).
 */
import type { Entry } from "../../../spec/internal/TarEntry.js"
import * as TarPath from "../../../spec/internal/TarPath.js"

/** Where the content of a file stands in the archive, in bytes. */
export interface Place {
  readonly start: number
  readonly size: number
}

/** Where a file is, or what is wrong with the name that should lead to one. */
export type Lookup = Place | { readonly problem: string }

/** Whether a lookup found a file. */
export const isFound = (lookup: Lookup): lookup is Place => !("problem" in lookup)

type Node = Place | { readonly links: ReadonlyArray<string | undefined> } | "folder"

/** More links than these lead from one name to no file that a program would write. */
const maxLinks = 40

/** What an archive has. */
export class ArchiveEntries {
  private readonly nodes = new Map<string, Node>()

  get size(): number {
    return this.nodes.size
  }

  /** Notes an entry whose content begins at a byte of the archive. */
  add({ path, size, target = "", type }: Entry, start: number): void {
    if (type === "file") this.nodes.set(path, { start, size })
    else if (type === "hardlink") this.nodes.set(path, { links: [target] })
    // Programs write them as seen from the link, and as seen from the root.
    else if (type === "symlink")
      this.nodes.set(path, { links: [within(folderOf(path), target), within("", target)] })
    else this.nodes.set(path, "folder")
  }

  has(path: string): boolean {
    return this.nodes.has(path)
  }

  /** The folder in which a file lies that should be at the root, if it is in one. */
  folderWith(name: string): string | undefined {
    for (const path of this.nodes.keys())
      if (path.endsWith(`/${name}`)) return path.slice(0, -name.length)
    return undefined
  }

  /** Finds the file that a name leads to, through links. */
  find(name: string): Lookup {
    const resolved = TarPath.resolve(name)
    if ("problem" in resolved) return { problem: `has a name that ${resolved.problem}` }
    let path: string | undefined = resolved.path
    for (let links = 0; links <= maxLinks; links++) {
      const node = this.nodes.get(path)
      if (node === undefined) return { problem: links === 0 ? "is not there" : leadsNowhere }
      if (node === "folder") return { problem: "is not a file" }
      if (!("links" in node)) return node
      path = node.links.find((link) => link !== undefined && this.nodes.has(link))
      if (path === undefined) return { problem: leadsNowhere }
    }
    return { problem: "is a link that leads to itself" }
  }
}

const leadsNowhere = "is a link to what is not in the archive"

const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")))

/** A target as seen from a folder; none where it leads out of the archive. */
const within = (folder: string, target: string): string | undefined => {
  const parts = target.startsWith("/") || folder === "" ? [] : folder.split("/")
  for (const part of target.split("/")) {
    if (part === "" || part === ".") continue
    if (part !== "..") parts.push(part)
    else if (parts.pop() === undefined) return undefined
  }
  return parts.join("/")
}
