/** Where layers are kept decompressed while an image is flattened, so that they are read once. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { StorageFailure } from "../../RegistryError.js"

/** Makes folders for files that are needed for a while. */
export interface Spool {
  /** Makes a folder, which is gone with all that is in it when the Scope closes. */
  readonly open: Effect.Effect<SpoolFolder, StorageFailure, Scope.Scope>
}

/** Such a folder. */
export interface SpoolFolder {
  /** Writes what passes to a file. */
  readonly keep: <E, R>(
    name: string,
    content: Stream.Stream<Uint8Array, E, R>
  ) => Stream.Stream<Uint8Array, E | StorageFailure, R>
  readonly read: (name: string) => Stream.Stream<Uint8Array, StorageFailure>
}

/** Says where folders are made. */
export interface Options {
  readonly folder?: string | undefined
}

const blockSize = 1_048_576

/** Makes a spool. */
export const make = ({
  folder
}: Options = {}): Effect.Effect<Spool, never, FileSystem.FileSystem> =>
  Effect.map(FileSystem.FileSystem, (fs) => ({
    open: Effect.map(
      Effect.acquireRelease(
        Effect.mapError(
          fs.makeTempDirectory({
            prefix: "effect-oci-",
            ...(folder !== undefined && { directory: folder })
          }),
          failedAt(folder ?? "the folder for temporary files")
        ),
        (path) => Effect.ignore(fs.remove(path, { recursive: true }))
      ),
      (path): SpoolFolder => ({
        keep: (name, content) => {
          const failed = failedAt(`${path}/${name}`)
          return Stream.unwrapScoped(
            Effect.map(
              Effect.mapError(fs.open(`${path}/${name}`, { flag: "wx" }), failed),
              (file) =>
                Stream.tap(content, (bytes) => Effect.mapError(file.writeAll(bytes), failed))
            )
          )
        },
        read: (name) =>
          Stream.mapError(
            fs.stream(`${path}/${name}`, { chunkSize: blockSize }),
            failedAt(`${path}/${name}`)
          )
      })
    )
  }))

const failedAt = (path: string) => (cause: unknown) => new StorageFailure({ path, cause })
