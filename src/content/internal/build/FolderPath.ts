/** Where a folder is that a path leads to, links followed, be it there or not. */
import type { Entry, Problem } from "../../../spec/internal/TarEntry.js"
import * as FileTree from "../FileTree.js"

/** A folder on the way to a path, and what the tree says of it. */
export interface Step {
  readonly path: string
  readonly entry: Entry | undefined
}

/** Returns the folders on the way to a path, that of the path last, and without the root. */
export const of = (
  tree: FileTree.Tree,
  parts: ReadonlyArray<string>
): ReadonlyArray<Step> | Problem => {
  const steps: Array<Step & { readonly folder: FileTree.Folder | undefined }> = []
  const rest = parts.toReversed()
  let links = 0
  for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
    if (name === "" || name === ".") continue
    if (name === "..") {
      steps.pop()
      continue
    }
    const above = steps.at(-1)
    const child = (above === undefined ? tree.root : above.folder)?.children.get(name)
    if (child === undefined || FileTree.isFolder(child) || child.inode.entry.type !== "symlink") {
      const folder = child !== undefined && FileTree.isFolder(child) ? child : undefined
      const path = above === undefined ? name : `${above.path}/${name}`
      steps.push({ path, entry: folder?.entry, folder })
      continue
    }
    if (++links > FileTree.mostLinks)
      return { reason: "Path", problem: `is below more than ${FileTree.mostLinks} links` }
    const { target = "" } = child.inode.entry
    if (target.startsWith("/")) steps.length = 0
    rest.push(...target.split("/").reverse())
  }
  return steps
}
