/** Where symbolic links of a folder may lead. */

/**
 * Returns why a link that is so many folders below the root of a tree leads out of it, or may do
 * so, if that is the case. A `..` behind a name leads to where that name does, which can be another
 * link: the paths of two links that look harmless can lead out together (T11).
 */
export const linkProblem = (depth: number, target: string): string | undefined => {
  if (/^[/\\]|^[A-Za-z]:/.test(target)) return "has an absolute target"
  const parts = target.split(/[/\\]/).filter((part) => part !== "" && part !== ".")
  const up = parts.findIndex((part) => part !== "..")
  const ups = up === -1 ? parts.length : up
  if (ups > depth) return "leads out of the folder"
  return parts.slice(ups).includes("..") ? "has a .. behind a name" : undefined
}
