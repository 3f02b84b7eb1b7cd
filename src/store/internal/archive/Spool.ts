/** A stream as a file in a temporary folder, where it has to be read at any place. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as LimitedStream from "../../../internal/LimitedStream.js"
import { type LimitExceeded, StorageFailure } from "../../../RegistryError.js"
import * as FileBytes from "../FileBytes.js"

/** Where content is kept that has to be read at any place, and how much of it. */
export interface SpoolOptions {
  /**
   * The folder in which a folder is made for it, that of the system for temporary files by default
   * (`TMPDIR`).
   */
  readonly folder?: string | undefined
  /** The most that it may have, in bytes, 64 GiB by default. */
  readonly limit?: number | undefined
}

const what = "What an archive keeps in a temporary file"

/** In bytes. */
export const defaultLimit = 64 * 1024 ** 3

/** Makes a folder that is gone when the Scope closes. */
export const makeFolder = Effect.fnUntraced(function* ({ folder }: SpoolOptions = {}) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.mapError(
    fs.makeTempDirectoryScoped({
      prefix: "effect-oci-",
      ...(folder !== undefined && { directory: folder })
    }),
    (cause) => new StorageFailure({ path: folder ?? "the temporary folder", cause })
  )
})

/**
 * Writes a stream to a file, and returns its path. File and folder are gone when the Scope closes.
 * Fails with `LimitExceeded` when there is more than the limit, and with `StorageFailure`, which
 * says so where no space is left.
 */
export const write = Effect.fnUntraced(function* <E, R>(
  content: Stream.Stream<Uint8Array, E, R>,
  options: SpoolOptions = {}
): Effect.fn.Return<
  string,
  E | StorageFailure | LimitExceeded,
  R | FileSystem.FileSystem | Scope.Scope
> {
  const fs = yield* FileSystem.FileSystem
  const { limit = defaultLimit } = options
  const path = `${yield* makeFolder(options)}/content`
  yield* Effect.scoped(
    Effect.gen(function* () {
      const file = yield* FileBytes.step(path, fs.open(path, { flag: "wx" }))
      yield* FileBytes.drain(
        path,
        file,
        LimitedStream.atMost(content, { what, limit, option: "spool.limit" })
      )
    })
  ).pipe(Effect.mapError((error) => (isFull(error) ? full(path, error) : error)))
  return path
})

const isFull = (error: unknown): boolean =>
  error instanceof StorageFailure &&
  Predicate.hasProperty(error.cause, "cause") &&
  Predicate.hasProperty(error.cause.cause, "code") &&
  (error.cause.cause.code === "ENOSPC" || error.cause.cause.code === "EDQUOT")

const full = (path: string, cause: unknown) =>
  new StorageFailure({
    path,
    cause: new Error(
      "no space is left on the disk (ENOSPC): name a folder on another one in the option " +
        "spool.folder",
      { cause }
    )
  })
