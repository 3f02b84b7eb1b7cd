/** Paths of archives on disk, where names are bytes: Node replaces those that are not UTF-8. */
import { Buffer } from "node:buffer"
import * as Fs from "node:fs/promises"
import * as TarPath from "../../spec/internal/TarPath.js"

/** A path as Node takes it: as bytes where it is not UTF-8. */
export type DiskPath = string | Buffer

/** The path of a name that an archive has. */
export const of = (path: string): DiskPath =>
  TarPath.isUtf8(path) ? path : Buffer.from(TarPath.encode(path))

/** What a symbolic link leads to, as an archive has it. */
export const targetOf = async (path: DiskPath): Promise<string> =>
  TarPath.decode(await Fs.readlink(path, { encoding: "buffer" }))
