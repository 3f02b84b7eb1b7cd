/**
 * One file read out of layers, from the top down: the last entry of the topmost layer that has it
 * (S18). Each layer is read once, to its end, and no further ones than are needed.
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
import * as LayerContent from "./LayerContent.js"
import * as Whiteout from "./Whiteout.js"

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
export interface Options extends LayerContent.ReadOptions {
  readonly fileLimit?: number | undefined
  readonly stopEarly?: boolean | undefined
}

/** What a layer says of a path. */
interface Finding {
  /** The last entry for it, its place among the entries, and its bytes. */
  readonly found: Found | undefined
  /** Whether there are entries below it. */
  readonly isFolder: boolean
  /** The last entry, other than a folder, for a folder that it is in: a link, say. */
  readonly above: Entry | undefined
  /** Whether what lower layers have of it is removed. */
  readonly isRemoved: boolean
}

interface Found {
  readonly entry: Entry
  readonly at: number
  readonly parts: Array<Uint8Array>
}

/** Where to look: in which layer first, and before which of its entries. */
interface Place {
  readonly path: string
  readonly layer: number
  readonly before: number
}

const defaultLimit = 4 * 1024 * 1024

/** As many as Linux follows. */
const mostLinks = 40

/** Reads a file out of layers, the topmost of which comes first. */
export const read = <E>(
  layers: ReadonlyArray<LayerContent.ImageLayer<E>>,
  name: string,
  options: Options = {}
): Effect.Effect<FileContent, E | LayerContent.ReadError | FileUnknown, Decompression> =>
  Effect.gen(function* () {
    const { fileLimit: limit = defaultLimit, stopEarly = false } = options
    const unknown = (reason: FileUnknown["reason"], problem: string) =>
      new FileUnknown({ reason, path: name, problem })
    const start = TarPath.resolve(name)
    if ("problem" in start) return yield* unknown("Missing", start.problem)
    let place: Place = fromTop(start.path)
    for (let links = 0; links <= mostLinks; links++) {
      const { path } = place
      const [finding, n] = yield* find(layers, place, limit, options)
      const { above, found, isFolder } = finding
      const layer = layers[n]
      if (found === undefined || layer === undefined) {
        if (isFolder) return yield* unknown("NotAFile", "is a folder")
        if (above?.type !== "symlink") return yield* unknown("Missing", "is not there")
        place = fromTop(leadsTo(above, path.slice(above.path.length)))
        continue
      }
      const { at, entry, parts } = found
      if (entry.type === "symlink") place = fromTop(leadsTo(entry, ""))
      // It is what was there before it, in its layer or a lower one, whatever came later (S19).
      else if (entry.type === "hardlink") place = { path: entry.target ?? "", layer: n, before: at }
      else if (entry.type !== "file") return yield* unknown("NotAFile", `is a ${nameOf(entry)}`)
      else if (entry.size > limit)
        return yield* new LimitExceeded({ what: `File ${entry.path}`, limit, option: "fileLimit" })
      else {
        const bytes = ByteStream.concat(parts)
        return { entry, bytes, layer: layer.descriptor, verified: !stopEarly }
      }
    }
    return yield* unknown("Links", `leads through more than ${mostLinks} links`)
  })

const fromTop = (path: string): Place => ({ path, layer: 0, before: Number.POSITIVE_INFINITY })

/** Where a symbolic link leads within the image, which it does not leave: ".." ends at the root. */
const leadsTo = ({ path, target = "" }: Entry, rest: string): string => {
  const parts: Array<string> = target.startsWith("/") ? [] : path.split("/").slice(0, -1)
  for (const part of `${target}${rest}`.split("/")) {
    if (part === "..") parts.pop()
    else if (part !== "" && part !== ".") parts.push(part)
  }
  return parts.join("/")
}

const nameOf = ({ type }: Entry): string =>
  type === "directory" ? "folder" : type === "fifo" ? "fifo" : "device"

/** What the topmost layer that knows the path says of it, from the place on, and which it is. */
const find = Effect.fnUntraced(function* <E>(
  layers: ReadonlyArray<LayerContent.ImageLayer<E>>,
  { before, layer, path }: Place,
  limit: number,
  options: Options
) {
  let finding: Finding = nothing
  for (let n = layer; n < layers.length; n++) {
    const source = layers[n]
    if (source === undefined) break
    const last = n === layer ? before : Number.POSITIVE_INFINITY
    finding = yield* scan(source, path, last, limit, options)
    const { above, found, isFolder, isRemoved } = finding
    if (found !== undefined || isFolder || above !== undefined || isRemoved)
      return [finding, n] as const
  }
  return [finding, layers.length] as const
})

const nothing: Finding = {
  found: undefined,
  isFolder: false,
  above: undefined,
  isRemoved: false
}

/** Reads a layer for a path, to its end unless the first entry for it is enough. */
const scan = <E>(
  source: LayerContent.ImageLayer<E>,
  path: string,
  before: number,
  limit: number,
  { stopEarly = false, ...options }: Options
): Effect.Effect<Finding, E | LayerContent.ReadError, Decompression> =>
  Effect.map(
    Stream.runHead(
      LayerContent.read<E, Finding>(source, options, (emit) => {
        let finding = nothing
        let count = 0
        /** What is being gathered, and how much of it is to come. */
        let taken: Found | undefined
        let left = 0
        const takeEntry = (entry: Entry) => {
          const at = count++
          taken = undefined
          const whiteout = Whiteout.of(entry.path)
          if (whiteout !== undefined) {
            if (removes(whiteout, path)) finding = { ...finding, isRemoved: true }
          } else if (at < before) finding = withEntry(finding, entry, at, path)
          if (finding.found?.entry !== entry) return
          taken = finding.found
          left = entry.size
          takeBytes(none)
        }
        const takeBytes = (bytes: Uint8Array) => {
          if (taken === undefined) return
          if (taken.entry.size <= limit) taken.parts.push(bytes)
          left -= bytes.length
          if (stopEarly && (left === 0 || taken.parts.length === 0)) emit(finding)
        }
        return {
          take: (part) => (LayerContent.isEntry(part) ? takeEntry(part) : takeBytes(part)),
          end: () => emit(finding)
        }
      })
    ),
    Option.getOrElse(() => nothing)
  )

const none = new Uint8Array(0)

/** What the entries so far and one more say of a path. */
const withEntry = (finding: Finding, entry: Entry, at: number, path: string): Finding => {
  const { isRemoved } = finding
  if (entry.path === path) return { ...nothing, isRemoved, found: { entry, at, parts: [] } }
  if (isWithin(entry.path, path)) return { ...nothing, isRemoved, isFolder: true }
  if (!isWithin(path, entry.path)) return finding
  if (entry.type !== "directory") return { ...nothing, isRemoved, above: entry }
  return finding.above?.path === entry.path ? { ...nothing, isRemoved } : finding
}

/** Whether a path is below another one. */
const isWithin = (path: string, folder: string): boolean =>
  folder === "." ? path !== "." : path.startsWith(`${folder}/`)

const removes = (whiteout: Whiteout.Whiteout, path: string): boolean =>
  (whiteout._tag === "Remove" && (path === whiteout.path || isWithin(path, whiteout.path))) ||
  (whiteout._tag === "Empty" && isWithin(path, whiteout.path))
