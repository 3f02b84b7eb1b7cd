/** Which form an archive is read as. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ArchiveFile from "./ArchiveFile.js"
import * as ArchiveImages from "./ArchiveImages.js"
import * as DockerContents from "./DockerContents.js"
import { InvalidArchive } from "./InvalidArchive.js"
import * as OciContents from "./OciContents.js"

/**
 * Finds out what an archive holds. A layout counts before what `docker save` has (S11), unless an
 * image in it is not whole, and those that `docker save` has are (S10).
 */
export const read = Effect.fnUntraced(function* (file: ArchiveFile.ArchiveFile) {
  const entries = yield* ArchiveFile.entriesOf(file)
  const isOfDocker = DockerContents.isOfDocker(entries)
  if (OciContents.isLayout(entries)) {
    const contents = yield* OciContents.read(file, entries)
    const problem = yield* ArchiveImages.problemOf(contents)
    if (problem === undefined) return contents
    const other = isOfDocker
      ? yield* Effect.option(DockerContents.read(file, entries))
      : Option.none()
    if (Option.isSome(other)) return other.value
    if (!problem.isFatal) return contents
    return yield* new InvalidArchive({
      reason: "Content",
      archive: file.name,
      problem: problem.problem
    })
  }
  if (isOfDocker) return yield* DockerContents.read(file, entries)
  const folder = entries.folderWith("oci-layout") ?? entries.folderWith("manifest.json")
  return yield* new InvalidArchive({
    reason: "Format",
    archive: file.name,
    problem:
      folder === undefined
        ? "has neither oci-layout nor manifest.json: it is not an archive of images, or older " +
          "than Docker 1.10"
        : `has its files in the folder ${JSON.stringify(folder)}: they must stand at its root`
  })
})
