/** Sources that are files, which a store on the same disk takes without reading them. */
import type { Open } from "../BlobSource.js"

const LocalFile: unique symbol = Symbol.for("effect-oci/BlobSource/LocalFile")

/**
 * Adds the path of the file to an `open` of a source. A function that wraps `open` does not have
 * it, so it sees all bytes.
 */
export const at = <E, R>(open: Open<E, R>, path: string): Open<E, R> =>
  Object.assign(open, { [LocalFile]: path })

/** The path of a source that is a file. */
export const pathOf = <E, R>(
  open: Open<E, R> & { readonly [LocalFile]?: string }
): string | undefined => open[LocalFile]
