/** What stands in a tar archive, and what can be wrong with one. */

/**
 * What an entry of a layer is.
 *
 * @since 0.1.0
 * @category models
 */
export type EntryType =
  | "file"
  | "directory"
  | "symlink"
  | "hardlink"
  | "characterDevice"
  | "blockDevice"
  | "fifo"

/**
 * One entry of a layer ([image-spec, File
 * Types](https://github.com/opencontainers/image-spec/blob/main/layer.md#file-types)). Names are
 * strings of their bytes: what is not UTF-8 in one is kept as lone surrogates (U+DC80 to U+DCFF).
 *
 * @since 0.1.0
 * @category models
 */
export interface Entry {
  /**
   * The path below the root of the image, such as `etc/passwd`, without `.`, `..` or empty parts;
   * `.` for the root itself.
   */
  readonly path: string
  readonly type: EntryType
  /** The size of its content, in bytes: 0 for all but files. */
  readonly size: number
  /** The permission bits, with those of set-user-id, set-group-id and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly userName?: string
  readonly groupName?: string
  /** When it was modified, in seconds since 1970, which may have a fraction. */
  readonly modified: number
  /** What a link leads to: for a hard link a path such as `path`, for a symbolic one as it is. */
  readonly target?: string
  readonly device?: { readonly major: number; readonly minor: number }
  /**
   * The records of its extended header ([pax, Extended
   * Header](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html)) that no other
   * property has, as bytes: extended attributes (`SCHILY.xattr.…`), times with fractions.
   */
  readonly records: ReadonlyMap<string, Uint8Array>
}

/**
 * What is wrong with an archive. `path` is the name of the entry, as far as it is known.
 *
 * - `Archive`: it is not a tar archive, or broken, or its sizes contradict each other.
 * - `Path`: a name leads out of the image, or no file can have it.
 * - `Unsupported`: it has entries of a kind that are not read.
 */
export interface Problem {
  readonly reason: "Archive" | "Path" | "Unsupported"
  readonly problem: string
  readonly path?: string
}

/** Whether something is a problem. */
export const isProblem = (value: object): value is Problem => "problem" in value
