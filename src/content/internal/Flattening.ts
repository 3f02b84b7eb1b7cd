/**
 * What the layers of an image make, each over the one below (S19, S20). All layers are read to
 * their ends first, verified, for what there is of them in the end, and then for the contents of
 * that: from where they came, or from a spool that has kept them. Nothing is emitted before all of
 * them are verified, and no content is kept in memory.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Decompression } from "../../Decompression.js"
import type { LimitExceeded, StorageFailure } from "../../RegistryError.js"
import * as TarEncoding from "../../spec/internal/TarEncoding.js"
import type { Entry } from "../../spec/internal/TarEntry.js"
import * as EntryCount from "./EntryCount.js"
import * as FileTree from "./FileTree.js"
import { InvalidLayer } from "./InvalidLayer.js"
import * as LayerContent from "./LayerContent.js"
import type * as Spool from "./Spool.js"

/** How an image is flattened. */
export interface Options extends LayerContent.ReadOptions, EntryCount.Options {
  readonly spool?: Spool.Spool | undefined
}

/** So many layers are read at a time. */
const concurrency = 3

type Failure<E> = E | LayerContent.ReadError | StorageFailure

type Bytes<E> = Stream.Stream<Uint8Array, Failure<E>, Decompression>

/** The archive of a layer, by the digest of that: for the first time, verified, and once more. */
interface Archive<E> {
  readonly layer: string
  readonly first: Bytes<E>
  readonly again: Bytes<E>
}

const archiveOf = <E>(
  source: LayerContent.ImageLayer<E>,
  name: string,
  folder: Spool.SpoolFolder | undefined,
  options: Options
): Archive<E> => {
  const { content, descriptor } = source
  const layer = descriptor.digest
  const first = LayerContent.uncompressed(source, options)
  if (folder !== undefined)
    return { layer, first: folder.keep(name, first), again: folder.read(name) }
  // It has its digest as a blob, and so has what comes of it its diff id.
  return { layer, first, again: LayerContent.uncompressed({ content, descriptor }, options) }
}

/**
 * The files of layers, the base first: folders, each after the one that it is in; files with their
 * contents, each followed by its hard links; then the rest.
 */
export const parts = <E>(
  layers: ReadonlyArray<LayerContent.ImageLayer<E>>,
  options: Options = {}
): Stream.Stream<LayerContent.Part, Failure<E>, Decompression> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const folder = options.spool && (yield* options.spool.open)
      const archives = layers.map((layer, n) => archiveOf(layer, String(n), folder, options))
      const { folders, inodes } = FileTree.list(yield* indexed(archives, options))
      const files = layers.map(() => new Map<number, ReadonlyArray<Entry>>())
      const others: Array<Entry> = []
      for (const [{ at, entry, layer }, names] of inodes) {
        const entries = named(entry, names)
        if (entry.type === "file") files[layer]?.set(at, entries)
        else others.push(...entries)
      }
      return archives
        .map((archive, n) => contentsOf(archive, files[n] ?? new Map()))
        .reduce(
          (all, next) => Stream.concat(all, next),
          Stream.fromIterable<LayerContent.Part>(folders)
        )
        .pipe(Stream.concat(Stream.fromIterable<LayerContent.Part>(others)))
    })
  )

/** The entries of a file under its names: the others are hard links to the first. */
const named = (
  entry: Entry,
  [first = "", ...links]: ReadonlyArray<string>
): ReadonlyArray<Entry> => [
  first === entry.path ? entry : { ...entry, path: first },
  ...links.map((path): Entry => ({ ...entry, path, type: "hardlink", size: 0, target: first }))
]

/** The entries of the archive of a layer, which is read to its end. */
export const entriesOf = <E, R>(
  archive: Stream.Stream<Uint8Array, E, R>,
  layer: string,
  count: EntryCount.EntryCount
): Effect.Effect<ReadonlyArray<Entry>, E | InvalidLayer | LimitExceeded, R> =>
  Effect.suspend(() => {
    const entries: Array<Entry> = []
    const stream = LayerContent.parts(archive, layer, (emit: (excess: LimitExceeded) => void) => ({
      take: (part) => {
        if (!LayerContent.isEntry(part)) return
        const excess = count.next()
        if (excess === undefined) entries.push(part)
        else emit(excess)
      }
    }))
    return Effect.flatMap(
      Stream.runHead(stream),
      Option.match({ onNone: () => Effect.succeed(entries), onSome: Effect.fail })
    )
  })

/** What layers make, all of them verified. */
const indexed = Effect.fnUntraced(function* <E>(
  archives: ReadonlyArray<Archive<E>>,
  options: Options
) {
  const count = EntryCount.make(options)
  const read = ({ first, layer }: Archive<E>) => entriesOf(first, layer, count)
  const all = yield* Effect.forEach(archives, read, { concurrency })
  const tree = FileTree.make()
  for (const [n, entries] of all.entries()) {
    const problem = FileTree.apply(tree, n, entries)
    if (problem !== undefined)
      return yield* new InvalidLayer({ layer: archives[n]?.layer ?? "", ...problem })
  }
  return tree
})

/** The files of a layer that are there in the end, with their contents. */
const contentsOf = <E>(
  { again, layer }: Archive<E>,
  files: ReadonlyMap<number, ReadonlyArray<Entry>>
): Stream.Stream<LayerContent.Part, Failure<E>, Decompression> =>
  files.size === 0
    ? Stream.empty
    : LayerContent.parts(again, layer, (emit: (part: LayerContent.Part) => void) => {
        let at = 0
        let isWanted = false
        let links: ReadonlyArray<Entry> = []
        const end = () => links.forEach(emit)
        return {
          take: (part) => {
            if (!LayerContent.isEntry(part)) {
              if (isWanted) emit(part)
              return
            }
            end()
            const [file, ...others] = files.get(at++) ?? []
            isWanted = file !== undefined
            links = others
            if (file !== undefined) emit(file)
          },
          end
        }
      })

/** A tar archive of parts. */
export const encoded = <E, R>(
  parts: Stream.Stream<LayerContent.Part, E, R>
): Stream.Stream<Uint8Array, E, R> =>
  Stream.suspend(() => {
    let padding = TarEncoding.paddingOf(0)
    const written = Stream.mapChunks(parts, (chunk) => {
      const out: Array<Uint8Array> = []
      for (const part of chunk) {
        if (!LayerContent.isEntry(part)) {
          out.push(part)
          continue
        }
        if (padding.length > 0) out.push(padding)
        out.push(TarEncoding.header(part))
        padding = TarEncoding.paddingOf(part.size)
      }
      return Chunk.unsafeFromArray(out)
    })
    return Stream.concat(
      written,
      Stream.suspend(() => Stream.make(padding, TarEncoding.end))
    )
  })
