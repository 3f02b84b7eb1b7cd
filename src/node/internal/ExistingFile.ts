/** What is already there where a blob is to be written, which is nobody else's to replace. */
import * as Fs from "node:fs/promises"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { codeOf } from "../../internal/CauseDetails.js"
import { StorageFailure } from "../../RegistryError.js"
import type { Digest } from "../../spec/Digest.js"
import * as Transfer from "../../Transfer.js"
import { attempt, inTurn, read } from "./FileBlocks.js"

/**
 * Occurs when something else is already there under the names of files to write, and nothing says
 * that it may be replaced. `paths` are all of them. None of them has been changed.
 */
export class FileExists extends Schema.TaggedError<FileExists>("effect-oci/FileExists")(
  "FileExists",
  { paths: Schema.Array(Schema.String) }
) {
  override get message(): string {
    const { length } = this.paths
    const others = length > shown ? ` and ${length - shown} more` : ""
    return (
      `Not replaced, since the content is another one: ${this.paths.slice(0, shown).join(", ")}` +
      `${others}: move ${length === 1 ? "it" : "them"} away, or use the option overwrite`
    )
  }
}

const shown = 8

/**
 * Returns whether nothing is there, the `same` content in a file, or something `else` that can be
 * replaced, such as a symbolic link, which is not followed. What cannot be read is not the same.
 * Fails for what a rename must not replace, such as a folder or a device.
 */
export const stateOf = (
  path: string,
  expected: ByteStream.Expected
): Effect.Effect<"absent" | "same" | "else", StorageFailure> =>
  Effect.gen(function* () {
    const stats = yield* attempt(path, () => Fs.lstat(path).catch(absent))
    if (stats === undefined) return "absent"
    if (stats.isSymbolicLink()) {
      const target = yield* attempt(path, () => Fs.stat(path).catch(absent))
      return target === undefined || target.isFile() ? "else" : yield* notRegular(path)
    }
    if (!stats.isFile()) return yield* notRegular(path)
    if (expected.size !== undefined && stats.size !== expected.size) return "else"
    const content = ByteStream.verify(
      read(path, 0, () => inTurn(stats.size)),
      expected
    )
    return yield* Effect.match(Stream.runDrain(content), {
      onFailure: () => "else" as const,
      onSuccess: () => "same" as const
    })
  })

const absent = (cause: unknown): undefined => {
  if (codeOf(cause) === "ENOENT") return undefined
  throw cause
}

/** The failure of a path at which something other than a regular file is. */
export const notRegular = (path: string): StorageFailure =>
  new StorageFailure({ path, cause: new Error("not a regular file") })

/** Tells observers of a download that was not needed. */
export const tellSkipped = (
  blob: Omit<Transfer.Subject, "direction"> & { readonly digest: Digest }
): Effect.Effect<void> => {
  const { digest, repository, size } = blob
  const subject = { direction: "download", repository, digest, size } as const
  return Effect.forEach(
    [
      { _tag: "Started", subject },
      { _tag: "Verified", subject, digest },
      { _tag: "Completed", subject, skipped: true }
    ] as const,
    Transfer.emit,
    { discard: true }
  )
}
