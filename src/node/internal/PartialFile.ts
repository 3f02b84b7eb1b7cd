/**
 * Files that are not complete yet: beside the file that they are to become, under a name of their
 * own until they take its name.
 */
import { createHash, randomUUID } from "node:crypto"
import { constants as Constants } from "node:fs"
import * as Fs from "node:fs/promises"
import { hostname } from "node:os"
import * as Path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { codeOf } from "../../internal/CauseDetails.js"
import type { StorageFailure } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import type { DiskPath } from "./DiskPath.js"
import { attempt } from "./FileBlocks.js"

/** A new file that gets its name when it is published. */
export interface PartialFile {
  readonly file: Fs.FileHandle
  readonly publish: () => Promise<void>
}

/** A partial file in the directory of `path`, removed with the Scope unless it was published. */
export const acquire = (path: string): Effect.Effect<PartialFile, StorageFailure, Scope.Scope> => {
  const name = Path.join(Path.dirname(path), `.effect-oci-${randomUUID()}.partial`)
  let published = false
  return Effect.acquireRelease(
    attempt(path, async (): Promise<PartialFile> => {
      // wx: never what someone else has put there, a symbolic link least of all.
      const file = await Fs.open(name, "wx")
      return {
        file,
        publish: async () => {
          // The last chance of a file system to report a failed write.
          await file.close()
          await Fs.rename(name, path)
          published = true
        }
      }
    }),
    ({ file }) =>
      Effect.ignore(
        attempt(path, async () => {
          if (published) return
          await file.close().catch(() => undefined)
          await Fs.rm(name, { force: true })
        })
      )
  )
}

/** A partial file that outlives its download. */
export interface KeptFile {
  readonly file: Fs.FileHandle
  readonly isNew: boolean
  /** Gives it its name. Returns false where that is taken, and must not be replaced. */
  readonly publish: (overwrite: boolean) => Effect.Effect<boolean, StorageFailure>
  readonly discard: Effect.Effect<void>
}

type Listing = ReadonlyMap<string, ReadonlyArray<string>>

/**
 * The partial files in folders, for many downloads to these: to list a folder for each of them
 * would take as many times as long.
 */
export class Listed extends Context.Reference<Listed>()("effect-oci/node/PartialFile/Listed", {
  defaultValue: (): Listing | undefined => undefined
}) {}

/** Lists the partial files in folders once, for all downloads of an effect. */
export const listing =
  (folders: Iterable<string>) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | StorageFailure, R> =>
    Effect.flatMap(
      Effect.forEach(new Set(folders), (folder) =>
        Effect.map(
          attempt(folder, () => namesIn(folder)),
          (names) => [folder, names] as const
        )
      ),
      (listed) => Effect.provideService(self, Listed, new Map(listed))
    )

const namesIn = async (folder: string): Promise<ReadonlyArray<string>> =>
  (await Fs.readdir(folder)).filter((name) => name.startsWith(".effect-oci-"))

/** The partial files of this process that are being written. */
const written = new Set<string>()

/** Process numbers mean something on their own machine only. */
const machine = createHash("sha256").update(hostname()).digest("hex").slice(0, 8)

/**
 * A partial file of this process alone, named for the digest and its owner: one that nobody owns
 * any more, taken over by renaming it, or a new one. Unless it is published or discarded, closing
 * the Scope leaves it without an owner. Links are no partial files: to take one over would be to
 * write where they lead.
 */
export const acquireKept = (
  path: string,
  digest: Digest.Digest,
  keep: boolean
): Effect.Effect<KeptFile, StorageFailure, Scope.Scope> => {
  const folder = Path.dirname(path)
  const prefix = `.effect-oci-${Digest.encoded(digest).slice(0, 32)}-${machine}-`
  const name = Path.join(folder, `${prefix}${process.pid}-${randomUUID()}.partial`)
  let settled = false
  const open = async (listed: Listing | undefined) => {
    written.add(name)
    const names = keep ? (listed?.get(folder) ?? (await namesIn(folder))) : []
    for (const entry of names) {
      const found = Path.join(folder, entry)
      if (!entry.startsWith(prefix) || !isOwnerless(found, entry.slice(prefix.length))) continue
      const stats = await Fs.lstat(found).catch(() => undefined)
      if (stats?.isFile() !== true || stats.nlink !== 1) continue
      // Whoever renames it first has it.
      if (
        await Fs.rename(found, name).then(
          () => true,
          () => false
        )
      )
        return { file: await Fs.open(name, Constants.O_RDWR | Constants.O_NOFOLLOW), isNew: false }
    }
    return { file: await Fs.open(name, "wx+"), isNew: true }
  }
  const acquire = Effect.flatMap(Listed, (listed) => attempt(path, () => open(listed)))
  return Effect.map(
    Effect.acquireRelease(acquire, ({ file }) =>
      Effect.ignore(
        attempt(path, async () => {
          await file.close().catch(() => undefined)
          const { size } = settled ? { size: 0 } : await Fs.stat(name)
          if (size > 0)
            await Fs.rename(name, Path.join(folder, `${prefix}0-${randomUUID()}.partial`))
          else await Fs.rm(name, { force: true })
          written.delete(name)
        })
      )
    ),
    ({ file, isNew }) => ({
      file,
      isNew,
      discard: Effect.sync(() => {
        settled = true
      }),
      publish: (overwrite) =>
        attempt(path, async () => {
          // The last chance of a file system to report a failed write.
          await file.close()
          settled = await moveTo(name, path, overwrite)
          return settled
        })
    })
  )
}

/**
 * Moves a file to a name. Returns false where something has that, which may not be replaced. File
 * systems without hard links replace what gets it in the very meantime.
 */
export const moveTo = async (
  file: DiskPath,
  name: DiskPath,
  overwrite: boolean
): Promise<boolean> => {
  const taken = overwrite
    ? undefined
    : await Fs.link(file, name).then(
        () => false,
        (cause: unknown) => (codeOf(cause) === "EEXIST" ? true : undefined)
      )
  // To rename one link of a file to another does nothing.
  if (taken === false) await Fs.rm(file)
  else if (taken === undefined) await Fs.rename(file, name)
  return taken !== true
}

const isOwnerless = (name: string, rest: string): boolean => {
  const owner = Number(rest.split("-", 1)[0])
  if (!Number.isSafeInteger(owner)) return false
  if (owner === 0) return true
  // A process of the same number may have lived before this one, as the first of a container does.
  if (owner === process.pid) return !written.has(name)
  try {
    process.kill(owner, 0)
    return false
  } catch (cause) {
    return codeOf(cause) === "ESRCH"
  }
}
