/** Archives that are image layouts (image-spec image-layout.md). */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Digest from "../../../spec/Digest.js"
import * as ImageLayout from "../../../spec/ImageLayout.js"
import * as JsonText from "../../../spec/internal/JsonText.js"
import { parse as parseDocument } from "../../../spec/internal/ManifestDocument.js"
import * as LayoutIndex from "../layout/LayoutIndex.js"
import * as ArchiveContents from "./ArchiveContents.js"
import { type ArchiveEntries, isFound } from "./ArchiveEntries.js"
import * as ArchiveFile from "./ArchiveFile.js"
import { InvalidArchive } from "./InvalidArchive.js"

const headerFile = "oci-layout"
const indexFile = "index.json"

/** Whether an archive says that it is a layout. */
export const isLayout = (entries: ArchiveEntries): boolean => entries.has(headerFile)

const invalid = ({ name }: ArchiveFile.ArchiveFile, path: string, problem: string) =>
  new InvalidArchive({ reason: "Document", archive: name, path, problem })

/** Reads what a layout in an archive holds. */
export const read = Effect.fnUntraced(function* (
  file: ArchiveFile.ArchiveFile,
  entries: ArchiveEntries
) {
  const header = Either.getOrUndefined(
    parseDocument(yield* ArchiveFile.document(file, entries, headerFile))
  )
  const { imageLayoutVersion } = ImageLayout.current
  if (header?.["imageLayoutVersion"] !== imageLayoutVersion)
    return yield* invalid(
      file,
      headerFile,
      `does not say imageLayoutVersion ${imageLayoutVersion}, the only one that is known`
    )
  const json = JsonText.parseBytes(yield* ArchiveFile.document(file, entries, indexFile))
  if (Either.isLeft(json)) return yield* invalid(file, indexFile, json.left)
  const index = LayoutIndex.fromJson(json.right)
  if (Option.isNone(index)) return yield* invalid(file, indexFile, "is not an image index")
  return ArchiveContents.make({
    format: "oci",
    name: file.name,
    index: index.value,
    find: (digest) => {
      const place = entries.find(`blobs/${Digest.algorithm(digest)}/${Digest.encoded(digest)}`)
      return isFound(place) ? ArchiveContents.placed(file, place) : undefined
    }
  })
})
