/** An archive in a file, which is read at any place, and what stands where in it. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { LimitExceeded, StorageFailure } from "../../../RegistryError.js"
import type { Entry, Problem } from "../../../spec/internal/TarEntry.js"
import * as TarHeader from "../../../spec/internal/TarHeader.js"
import * as TarReader from "../../../spec/internal/TarReader.js"
import * as FileBytes from "../FileBytes.js"
import { ArchiveEntries, isFound } from "./ArchiveEntries.js"
import { InvalidArchive } from "./InvalidArchive.js"

/** A file whose bytes are read where they are needed. `name` is what errors call it. */
export interface ArchiveFile {
  readonly name: string
  readonly size: number
  readonly read: (start: number, size: number) => FileBytes.Step<Uint8Array>
  readonly stream: (
    start: number,
    end: number,
    borrowed?: boolean
  ) => Stream.Stream<Uint8Array, StorageFailure>
}

/** Finds a regular file. */
export const open = Effect.fnUntraced(function* (path: string, name: string) {
  const fs = yield* FileSystem.FileSystem
  const { size, type } = yield* FileBytes.step(path, fs.stat(path))
  if (type !== "File")
    return yield* new StorageFailure({
      path,
      cause: new Error(
        type === "Directory"
          ? "it is a folder: LayoutRegistry reads image layouts in folders"
          : "it is not a regular file, which could be read at any place: give its stream"
      )
    })
  const file: ArchiveFile = {
    name,
    size: Number(size),
    read: (start, size) =>
      Effect.scoped(
        Effect.gen(function* () {
          const file = yield* FileBytes.step(path, fs.open(path, { flag: "r" }))
          yield* file.seek(start, "start")
          return yield* FileBytes.fill(path, file, new Uint8Array(size))
        })
      ),
    stream: (start, end, borrowed) => FileBytes.stream(fs, path, start, end, borrowed)
  }
  return file
})

/** How much is read for a header, in bytes, and with it what is small and the next ones. */
const windowSize = 4096

/** The most entries that an archive may have: each takes memory. */
const entryLimit = 100_000

/**
 * Finds out what stands where by the headers alone: whatever is large between them is not read
 * (S14). Of several entries of one name the last one counts.
 */
export const entriesOf = Effect.fnUntraced(function* (
  file: ArchiveFile
): Effect.fn.Return<ArchiveEntries, InvalidArchive | StorageFailure | LimitExceeded> {
  const entries = new ArchiveEntries()
  let found: Entry | undefined
  const reader = TarReader.make({
    entry: (entry) => {
      found = entry
    },
    data: () => undefined
  })
  let position = 0
  let window: { readonly start: number; readonly bytes: Uint8Array } = {
    start: -1,
    bytes: new Uint8Array()
  }
  while (position < file.size && !reader.isEnded()) {
    const at = position - window.start
    const block = window.bytes.subarray(at, at + TarHeader.blockSize)
    if (block.length < TarHeader.blockSize && window.start !== position) {
      window = { start: position, bytes: yield* file.read(position, windowSize) }
      continue
    }
    position += TarHeader.blockSize
    const problem = reader.push(block)
    if (problem !== undefined) return yield* invalid(file, problem)
    if (found === undefined) continue
    const { path, size } = found
    if (position + size > file.size) return yield* invalid(file, { ...truncated, path })
    entries.add(found, position)
    if (entries.size > entryLimit)
      return yield* new LimitExceeded({
        what: `The number of entries in ${file.name}`,
        limit: entryLimit
      })
    found = undefined
    position += reader.skip()
  }
  const problem = reader.end()
  return problem === undefined ? entries : yield* invalid(file, problem)
})

const truncated: Problem = {
  reason: "Archive",
  problem: "ends before the content that it announces: the archive is cut off"
}

const invalid = ({ name }: ArchiveFile, { path, problem, reason }: Problem) =>
  new InvalidArchive({ reason, archive: name, problem, ...(path !== undefined && { path }) })

/** The most that is read of a document, in bytes. */
export const documentLimit = 64 * 1024 * 1024

/** Reads a file of an archive that is a document. */
export const document = Effect.fnUntraced(function* (
  file: ArchiveFile,
  entries: ArchiveEntries,
  path: string
) {
  const place = entries.find(path)
  if (!isFound(place))
    return yield* new InvalidArchive({
      reason: "Document",
      archive: file.name,
      path,
      problem: place.problem
    })
  if (place.size > documentLimit)
    return yield* new LimitExceeded({ what: `${path} in ${file.name}`, limit: documentLimit })
  return yield* file.read(place.start, place.size)
})
