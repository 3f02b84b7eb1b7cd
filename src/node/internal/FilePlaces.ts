/** Where the files of an artifact go in a folder: by their titles, and never out of it (T11). */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Pulled, PulledFile } from "../../content/Artifact.js"
import * as Title from "../../content/internal/Title.js"
import { InvalidManifest, type StorageFailure } from "../../RegistryError.js"
import * as Annotations from "../../spec/Annotations.js"
import * as Digest from "../../spec/Digest.js"
import * as Reference from "../../spec/Reference.js"
import { attempt } from "./FileBlocks.js"

/** A file, and its path below the folder, whose parts are joined by "/". */
export interface Place {
  readonly file: PulledFile
  readonly name: string
  /** Whether it is an archive of a folder, to be unpacked there (CP31). */
  readonly isFolder: boolean
}

/**
 * Says where each file goes. Fails when two that differ go to the same place, or one to where
 * another has a folder (CP29).
 */
export const of = ({ files, reference }: Pulled, unpack: boolean) =>
  Effect.gen(function* () {
    const places = files.map((file) => placeOf(file, unpack))
    const taken = new Map<string, number>()
    const refused = (n: number, problem: string) => {
      const manifest = Reference.format(reference)
      const path = `layers[${n}]`
      const message = `${manifest}: ${path} ${problem}`
      return new InvalidManifest({ reason: "Shape", path, manifest, message })
    }
    for (const [n, { file, name }] of places.entries()) {
      const earlier = taken.get(name) ?? n
      if (places[earlier]?.file.descriptor.digest !== file.descriptor.digest)
        return yield* refused(
          n,
          `is another file of the name of layers[${earlier}], and would replace it`
        )
      taken.set(name, earlier)
    }
    for (const [n, { name }] of places.entries())
      for (const folder of Title.foldersOf(name)) {
        const other = taken.get(folder)
        if (other !== undefined && places[other]?.isFolder !== true)
          return yield* refused(
            n,
            `is in a folder of the name of layers[${other}], which is a file`
          )
      }
    return places
  })

const placeOf = (file: PulledFile, unpack: boolean): Place => {
  const { annotations, digest } = file.descriptor
  const isArchive = unpack && annotations?.[Annotations.unpack] === "true"
  // The folder itself is what an archive can be of, and nothing else.
  const isAll = isArchive && Title.isRoot(annotations[Annotations.title] ?? "")
  const name = isAll ? Option.some(".") : file.name
  return {
    file,
    name: Option.getOrElse(name, () => `${Digest.algorithm(digest)}-${Digest.encoded(digest)}`),
    isFolder: isArchive && Option.isSome(name)
  }
}

const allFolders = (root: string, places: ReadonlyArray<Place>): ReadonlyArray<string> =>
  Array.from(new Set(places.flatMap(({ name }) => Title.foldersOf(name))), (folder) =>
    Path.join(root, folder)
  )

/** Fails where something stands in the place of a folder, such as a link that leads elsewhere. */
export const checkFolders = (
  root: string,
  places: ReadonlyArray<Place>
): Effect.Effect<void, StorageFailure> =>
  Effect.forEach(
    allFolders(root, places),
    (path) =>
      attempt(path, async () => {
        const stats = await Fs.lstat(path).catch(() => undefined)
        if (stats !== undefined && !stats.isDirectory()) throw new Error("not a directory")
      }),
    { discard: true }
  )

/** Makes the folders that files are in, none of which leads elsewhere. */
export const makeFolders = (
  root: string,
  places: ReadonlyArray<Place>
): Effect.Effect<void, StorageFailure> =>
  Effect.zipRight(
    attempt(root, () => Fs.mkdir(root, { recursive: true })),
    Effect.forEach(
      allFolders(root, places),
      (path) =>
        attempt(path, async () => {
          await Fs.mkdir(path).catch(() => undefined)
          if (!(await Fs.lstat(path)).isDirectory()) throw new Error("not a directory")
        }),
      { discard: true }
    )
  )
