/**
 * One file read out of layers: what it is once all of them are extracted, the base first (S18,
 * S19). Each layer is read once, to its end, from the top down, and no further ones than are needed
 * to know; the one that has the file once more, where its place was not known before.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import type { Decompression } from "../../Decompression.js"
import { LimitExceeded } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import { escaped } from "../../spec/internal/ServerText.js"
import type { Entry } from "../../spec/internal/TarEntry.js"
import * as TarPath from "../../spec/internal/TarPath.js"
import * as EntryCount from "./EntryCount.js"
import * as FileTree from "./FileTree.js"
import * as LayerContent from "./LayerContent.js"

/** Occurs when there is no file to read under a path. */
export class FileUnknown extends Schema.TaggedError<FileUnknown>("effect-oci/FileUnknown")(
  "FileUnknown",
  {
    reason: Schema.Literal("Missing", "NotAFile", "Links"),
    path: Schema.String,
    problem: Schema.String
  }
) {
  override get message(): string {
    return `${escaped(this.path.slice(0, 256))} ${this.problem}`
  }
}

/** A file that was read. */
export interface FileContent {
  readonly entry: Entry
  readonly bytes: Uint8Array
  readonly layer: Descriptor
  readonly verified: boolean
}

/** How a file is looked for. */
export interface Options extends LayerContent.ReadOptions, EntryCount.Options {
  readonly fileLimit?: number | undefined
  readonly stopEarly?: boolean | undefined
}

const defaultLimit = 4 * 1024 * 1024

/** Putting layers together anew for each of them may take so many times what it takes once. */
const mostWork = 8

/** Reads a file out of layers, the base first. */
export const read = Effect.fnUntraced(function* <E>(
  layers: ReadonlyArray<LayerContent.ImageLayer<E>>,
  name: string,
  options: Options = {}
): Effect.fn.Return<FileContent, E | LayerContent.ReadError | FileUnknown, Decompression> {
  const unknown = (reason: FileUnknown["reason"], problem: string) =>
    new FileUnknown({ reason, path: name, problem })
  const start = TarPath.resolve(name)
  if ("problem" in start) return yield* unknown("Missing", start.problem)
  const count = EntryCount.make(options)
  const known = layers.map((): ReadonlyArray<Entry> => [])
  /** The path under which the layers to come can have it, and the file that one has there. */
  let wanted = start.path
  let kept: (Found & { readonly path: string; readonly layer: number }) | undefined
  let work = 0
  for (const [n, layer] of [...layers.entries()].reverse()) {
    const isWanted = ({ path, type }: Entry) =>
      path === wanted && type === "file" && kept?.path !== wanted
    const { entries, file, isWhole } = yield* scan(layer, isWanted, options, count)
    if (file !== undefined) kept = { ...file, path: wanted, layer: n }
    if (file !== undefined && !isWhole) return yield* given(file, layer, false, options)
    known[n] = entries
    if (n > 0 && work > mostWork * count.value()) continue
    work += count.value()
    const tree = FileTree.make(n > 0)
    for (const [m, entries] of known.entries()) FileTree.apply(tree, m, entries)
    const found = FileTree.lookup(tree, start.path)
    if (found === undefined) break
    if (FileTree.isProblem(found)) return yield* unknown("Links", found.problem)
    if (FileTree.isUnknown(found)) {
      wanted = found.unknown
      continue
    }
    if (FileTree.isFolder(found)) return yield* unknown("NotAFile", "is a folder")
    const { at, entry, layer: m } = found.inode
    if (entry.type !== "file")
      return yield* unknown("NotAFile", `is a ${entry.type === "fifo" ? "fifo" : "device"}`)
    const source = layers[m] ?? layer
    if (kept?.layer === m && kept.at === at) return yield* given(kept, source, true, options)
    const again = yield* scan(source, (_, place) => place === at, options)
    return yield* given(again.file ?? { at, entry, parts: [] }, source, again.isWhole, options)
  }
  return yield* unknown("Missing", "is not there")
})

/** A file of a layer, and its bytes, none if they are too many. */
interface Found {
  /** Its place among the entries of the layer. */
  readonly at: number
  readonly entry: Entry
  readonly parts: Array<Uint8Array>
}

const given = (
  { entry, parts }: Found,
  { descriptor }: LayerContent.ImageLayer<unknown>,
  verified: boolean,
  { fileLimit: limit = defaultLimit }: Options
): Effect.Effect<FileContent, LimitExceeded> =>
  entry.size > limit
    ? new LimitExceeded({ what: `File ${entry.path}`, limit, option: "fileLimit" })
    : Effect.succeed({ entry, bytes: ByteStream.concat(parts), layer: descriptor, verified })

/** What was read of a layer: all of it, unless the first file that is wanted was enough. */
interface Scanned {
  readonly entries: ReadonlyArray<Entry>
  /** The last file that is wanted. */
  readonly file: Found | undefined
  readonly isWhole: boolean
}

const scan = <E>(
  source: LayerContent.ImageLayer<E>,
  isWanted: (entry: Entry, at: number) => boolean,
  { fileLimit = defaultLimit, stopEarly = false, ...options }: Options,
  count?: EntryCount.EntryCount
): Effect.Effect<Scanned, E | LayerContent.ReadError, Decompression> =>
  LayerContent.read<E, Scanned | LimitExceeded>(source, options, (emit) => {
    const entries: Array<Entry> = []
    let file: Found | undefined
    /** Whether its bytes are coming, and how many. */
    let isOpen = false
    let left = 0
    const takeEntry = (entry: Entry) => {
      const excess = count?.next()
      if (excess !== undefined) return emit(excess)
      const at = entries.push(entry) - 1
      isOpen = isWanted(entry, at)
      if (!isOpen) return
      file = { at, entry, parts: [] }
      left = entry.size
      takeBytes(none)
    }
    const takeBytes = (bytes: Uint8Array) => {
      if (!isOpen || file === undefined) return
      const isKept = file.entry.size <= fileLimit
      if (isKept) file.parts.push(bytes)
      left -= bytes.length
      if (stopEarly && (left === 0 || !isKept)) emit({ entries, file, isWhole: false })
    }
    return {
      take: (part) => (LayerContent.isEntry(part) ? takeEntry(part) : takeBytes(part)),
      end: () => emit({ entries, file, isWhole: true })
    }
  }).pipe(
    Stream.runHead,
    Effect.flatMap(
      Option.match({
        onNone: () => Effect.succeed({ entries: [], file: undefined, isWhole: true }),
        onSome: (end) => (end instanceof LimitExceeded ? Effect.fail(end) : Effect.succeed(end))
      })
    )
  )

const none = new Uint8Array(0)
