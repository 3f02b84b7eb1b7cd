/** Archives as they are written: equal content gives equal bytes. */
import type * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BorrowedStream from "../../../internal/BorrowedStream.js"
import type { Digest } from "../../../spec/Digest.js"
import { algorithm, encoded } from "../../../spec/Digest.js"
import * as TarEncoding from "../../../spec/internal/TarEncoding.js"
import type { Entry } from "../../../spec/internal/TarEntry.js"

const entryOf = (path: string, type: "file" | "directory", size: number): Entry => ({
  path,
  type,
  size,
  mode: type === "file" ? 0o644 : 0o755,
  uid: 0,
  gid: 0,
  modified: 0,
  records: new Map()
})

/** The path of a blob in a layout. */
export const blobPath = (digest: Digest): string => `blobs/${algorithm(digest)}/${encoded(digest)}`

/** A folder. */
export const folder = (path: string): Stream.Stream<Uint8Array> =>
  Stream.sync(() => TarEncoding.header(entryOf(path, "directory", 0)))

/** A file of exactly so many bytes, as which its content must be verified. */
export const file = <E, R>(
  path: string,
  size: number,
  content: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E, R> =>
  BorrowedStream.map(content, (content) =>
    Stream.sync(() => TarEncoding.header(entryOf(path, "file", size))).pipe(
      Stream.concat(content),
      Stream.concat(Stream.sync(() => TarEncoding.paddingOf(size).slice()))
    )
  )

/** A file of some bytes. */
export const document = (path: string, bytes: Uint8Array): Stream.Stream<Uint8Array> =>
  file(path, bytes.length, Stream.make(bytes))

/** An archive of files, which are found out before its first byte. */
export const archive = <E, R, E2, R2>(
  files: Effect.Effect<ReadonlyArray<Stream.Stream<Uint8Array, E, R>>, E2, R2>
): Stream.Stream<Uint8Array, E | E2, R | R2> =>
  BorrowedStream.make(({ borrowed }) =>
    Stream.fromIterableEffect(files).pipe(
      Stream.flatMap((file) => (borrowed ? BorrowedStream.of(file) : file)),
      Stream.concat(Stream.sync(() => TarEncoding.end.slice()))
    )
  )
