/**
 * Whiteouts: entries of a layer that remove what lower layers have ([image-spec,
 * Whiteouts](https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts)). They act
 * on lower layers only, wherever they stand in theirs (S20).
 */

/** What an entry does: it removes a path, or all that is in a folder, or is one to leave out. */
export type Whiteout =
  | { readonly _tag: "Remove"; readonly path: string }
  | { readonly _tag: "Empty"; readonly path: string }
  | { readonly _tag: "Ignored" }
  | { readonly _tag: "Invalid"; readonly problem: string }

const prefix = ".wh."
const reserved = ".wh..wh."
const opaque = ".wh..wh..opq"

/** The whiteout that a path is, if it is one. */
export const of = (path: string): Whiteout | undefined => {
  if (!path.includes(prefix)) return undefined
  const parts = path.split("/")
  const name = parts.pop() ?? ""
  const folder = parts.length === 0 ? "." : parts.join("/")
  if (parts.some((part) => part.startsWith(reserved))) return { _tag: "Ignored" }
  if (parts.some((part) => part.startsWith(prefix)))
    return { _tag: "Invalid", problem: "is in a folder whose name is that of a whiteout" }
  if (!name.startsWith(prefix)) return undefined
  if (name === opaque) return { _tag: "Empty", path: folder }
  if (name.startsWith(reserved)) return { _tag: "Ignored" }
  const removed = name.slice(prefix.length)
  return removed === "" || removed === "." || removed === ".."
    ? { _tag: "Invalid", problem: "is a whiteout that names no file" }
    : { _tag: "Remove", path: folder === "." ? removed : `${folder}/${removed}` }
}
