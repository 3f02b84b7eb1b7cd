/** Sources that can be read into memory of the reader's, which saves a copy of everything. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Open } from "../BlobSource.js"

/** Reads the next bytes into an array, and returns how many: none at the end. */
export type Read<E> = (into: Uint8Array) => Effect.Effect<number, E>

/** Opens a source at an offset. */
export type OpenReader<E> = (offset: number) => Effect.Effect<Read<E>, E, Scope.Scope>

const ReadInto: unique symbol = Symbol.for("effect-oci/BlobSource/ReadInto")

/**
 * Adds such a form to an `open` of a source. A function that wraps `open` does not have it, so it
 * sees all bytes.
 */
export const readable = <E, R>(open: Open<E, R>, reader: OpenReader<E>): Open<E, R> =>
  Object.assign(open, { [ReadInto]: reader })

/** The reader of a source that has one. */
export const readerOf = <E, R>(
  open: Open<E, R> & { readonly [ReadInto]?: OpenReader<E> }
): OpenReader<E> | undefined => open[ReadInto]

/** Reads a source of so many bytes, and one more byte if there are any. */
export const gather = <E>(open: OpenReader<E>, size: number): Effect.Effect<Uint8Array, E> =>
  Effect.scoped(
    Effect.flatMap(open(0), (read) => {
      const bytes = new Uint8Array(size + 1)
      const fill = (filled: number): Effect.Effect<Uint8Array, E> =>
        Effect.flatMap(read(bytes.subarray(filled)), (count) =>
          count === 0 || filled + count > size
            ? Effect.succeed(bytes.subarray(0, filled + count))
            : fill(filled + count)
        )
      return fill(0)
    })
  )
