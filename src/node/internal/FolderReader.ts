/** What is in a folder, in the order of names. Links are not followed. */
import { Buffer } from "node:buffer"
import type { Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { StorageFailure } from "../../RegistryError.js"
import * as TarPath from "../../spec/internal/TarPath.js"
import { attempt, newBlock, read } from "./FileBlocks.js"

/** Something in a folder: its path below it, joined by "/", and what it is. */
export interface Found {
  readonly path: string
  readonly onDisk: string
  readonly stats: Stats
}

/** Lists what is in a folder and in those in it, each before what is in it. */
export async function* walk(folder: string, above = ""): AsyncGenerator<Found> {
  for (const name of await namesIn(folder)) {
    const onDisk = Path.join(folder, name)
    const path = `${above}${name}`
    const stats = await Fs.lstat(onDisk)
    yield { path, onDisk, stats }
    if (stats.isDirectory()) yield* walk(onDisk, `${path}/`)
  }
}

/** The names in a folder, in order. Those that are not UTF-8 would become others elsewhere. */
const namesIn = async (folder: string): Promise<ReadonlyArray<string>> => {
  const names = await Fs.readdir(folder, { encoding: "buffer" })
  return names.sort(Buffer.compare).map((bytes) => {
    const name = TarPath.decode(bytes)
    if (!TarPath.isUtf8(name))
      throw new Error(`${folder} has a name that is not UTF-8: ${JSON.stringify(name)}`)
    return name
  })
}

/** Files up to this size, in bytes, are read at once: blocks of a mebibyte would cost much more. */
const small = 1_048_576

/** The bytes of a file, which must be as many as there were when it was found. */
export const content = (path: string, size: number): Stream.Stream<Uint8Array, StorageFailure> => {
  if (size === 0) return Stream.empty
  const changed = new StorageFailure({ path, cause: new Error("changed while it was packed") })
  if (size <= small)
    return Stream.fromEffect(
      Effect.filterOrFail(
        attempt(path, () => Fs.readFile(path)),
        ({ length }) => length === size,
        () => changed
      )
    )
  return Stream.suspend(() => {
    let left = size
    return read(path, 0, () => newBlock).pipe(
      Stream.tap((bytes) => {
        left -= bytes.length
        return left < 0 ? Effect.fail(changed) : Effect.void
      }),
      Stream.concat(Stream.suspend(() => (left === 0 ? Stream.empty : Stream.fail(changed))))
    )
  })
}
