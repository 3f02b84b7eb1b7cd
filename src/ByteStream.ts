/**
 * Streams of bytes: to count, cut, collect and verify them, without an Effect per chunk and without
 * more memory than asked for.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as PullStream from "./internal/PullStream.js"
import { decodeJson, decodeText, type InvalidContent } from "./internal/TextContent.js"
import { DigestMismatch, LimitExceeded, SizeMismatch } from "./RegistryError.js"
import * as Digest from "./spec/Digest.js"
import * as Bytes from "./spec/internal/Bytes.js"

export {
  /**
   * Occurs for content that is not what it is read as.
   *
   * - `Text`: it is not UTF-8.
   * - `Json`: it is not a JSON document.
   * - `Schema`: the document does not fit the schema; `path` is the first place that does not, such
   *   as `layers[0].digest`, empty for the document itself.
   *
   * The message does not show the content.
   *
   * @since 0.1.0
   * @category errors
   */
  InvalidContent
} from "./internal/TextContent.js"

/**
 * The digest and the size, in bytes, that a stream of bytes must have, as far as they are known.
 *
 * @since 0.1.0
 * @category models
 */
export interface Expected {
  readonly digest?: Digest.Digest | undefined
  readonly size?: number | undefined
}

/**
 * Whether the consumer of a stream of bytes is done with an array when it pulls the second array
 * after it, so that the source may reuse its memory. False by default; a consumer that sets it may
 * not keep arrays, and nothing between it and the source either. See `BlobSource.reusing`.
 *
 * @since 0.1.0
 * @category services
 */
export class BuffersReused extends Context.Reference<BuffersReused>()(
  "effect-oci/ByteStream/BuffersReused",
  {
    defaultValue: () => false
  }
) {}

/**
 * Calls `f` with the bytes of each array that passes. It must not throw.
 *
 * @since 0.1.0
 * @category combinators
 */
export const tap: {
  (
    f: (bytes: Uint8Array) => void
  ): <E, R>(self: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E, R>
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    f: (bytes: Uint8Array) => void
  ): Stream.Stream<Uint8Array, E, R>
} = dual(
  2,
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    f: (bytes: Uint8Array) => void
  ): Stream.Stream<Uint8Array, E, R> =>
    PullStream.mapChunks(self, (chunk) => {
      for (const bytes of chunk) f(bytes)
      return chunk
    })
)

/**
 * Verifies content that may arrive in several streams, as when a transfer resumes.
 *
 * - `size` returns the number of bytes, from the first one on, that were counted and hashed.
 * - `update` counts and hashes the bytes that follow, without a stream.
 * - `verify` verifies, as the function `verify` does, a stream of the content from byte `from` on,
 *   which is at most `size()`. Bytes before `size()` are not hashed again.
 * - `finish` counts and hashes the last bytes, and returns what is wrong with the content, if
 *   anything is.
 * - `isVerified` returns whether the content came to its end and is what was expected.
 * - `digest` returns the digest of the bytes so far; `None` when nothing is hashed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verifier {
  readonly size: () => number
  readonly update: (bytes: Uint8Array) => void
  readonly verify: <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    from?: number
  ) => Stream.Stream<Uint8Array, E | DigestMismatch | SizeMismatch, R>
  readonly finish: (bytes: Uint8Array) => DigestMismatch | SizeMismatch | undefined
  readonly isVerified: () => boolean
  readonly digest: () => Option.Option<Digest.Digest>
}

/**
 * Makes a verifier. It hashes with the algorithm of the expected digest, or else with `algorithm`;
 * without both, it does not hash.
 *
 * Fails with `InvalidDigest` when the algorithm of the expected digest is not supported.
 *
 * @since 0.1.0
 * @category constructors
 */
export const verifier = (
  expected: Expected & { readonly algorithm?: Digest.Algorithm | undefined }
): Effect.Effect<Verifier, Digest.InvalidDigest> =>
  Effect.map(
    expected.digest !== undefined
      ? Digest.hasherFor(expected.digest)
      : Effect.sync(() =>
          expected.algorithm === undefined ? undefined : Digest.hasher(expected.algorithm)
        ),
    (hasher): Verifier => {
      const { digest, size } = expected
      let hashed = 0
      let verified = false
      const take = (bytes: Uint8Array, end: number) => {
        if (end <= hashed) return
        hasher?.update(
          end - hashed >= bytes.length ? bytes : bytes.subarray(bytes.length - (end - hashed))
        )
        hashed = end
      }
      const finish = (count: number) => {
        // What ends before where another stream of it has been is not the same content.
        const whole = size ?? hashed
        if (count !== whole) return new SizeMismatch({ expected: whole, actual: count })
        const actual = hasher?.digest()
        verified = digest === undefined || actual === undefined || actual === digest
        return verified
          ? undefined
          : new DigestMismatch({ expected: digest ?? "", actual: actual ?? "" })
      }
      return {
        size: () => hashed,
        update: (bytes) => take(bytes, hashed + bytes.length),
        verify: (self, from = 0) =>
          PullStream.suspend(() => {
            let count = from
            return inspect(self, {
              onChunk: (bytes) => {
                count += bytes.length
                if (size !== undefined && count > size)
                  return new SizeMismatch({ expected: size, actual: count })
                take(bytes, count)
                return undefined
              },
              onEnd: () => finish(count)
            })
          }),
        finish: (bytes) => {
          take(bytes, hashed + bytes.length)
          return finish(hashed)
        },
        isVerified: () => verified,
        digest: () => Option.map(Option.fromNullable(hasher), ({ digest }) => digest())
      }
    }
  )

/**
 * Counts and hashes the bytes that pass. Each chunk is emitted when the next one has arrived, and
 * the last one when the content was found to be what is expected: a consumer never gets to the end
 * of other content.
 *
 * Fails with `SizeMismatch` at the first byte beyond the expected size, or at the end when bytes
 * are missing; with `DigestMismatch` at the end; and with `InvalidDigest`, before the first byte,
 * when the algorithm of the expected digest is not supported.
 *
 * @since 0.1.0
 * @category combinators
 */
export const verify: {
  (
    expected: Expected
  ): <E, R>(
    self: Stream.Stream<Uint8Array, E, R>
  ) => Stream.Stream<Uint8Array, E | DigestMismatch | SizeMismatch | Digest.InvalidDigest, R>
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    expected: Expected
  ): Stream.Stream<Uint8Array, E | DigestMismatch | SizeMismatch | Digest.InvalidDigest, R>
} = dual(2, <E, R>(self: Stream.Stream<Uint8Array, E, R>, expected: Expected) =>
  PullStream.unwrap(Effect.map(verifier(expected), (verifier) => verifier.verify(self)))
)

/**
 * How many bytes may be collected, of what, and the option that changes the limit, in the words of
 * `LimitExceeded`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limit {
  readonly what: string
  readonly limit: number
  readonly option?: string
}

/**
 * Collects the bytes of a stream in one array. Memory is allocated as they arrive. A
 * limit that is a number is one of bytes.
 *
 * Fails with `LimitExceeded` when there are more bytes than the limit.
 *
 * @since 0.1.0
 * @category destructors
 */
export const collect: {
  (
    limit: number | Limit
  ): <E, R>(
    self: Stream.Stream<Uint8Array, E, R>
  ) => Effect.Effect<Uint8Array, E | LimitExceeded, R>
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    limit: number | Limit
  ): Effect.Effect<Uint8Array, E | LimitExceeded, R>
} = dual(
  2,
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    limit: number | Limit
  ): Effect.Effect<Uint8Array, E | LimitExceeded, R> =>
    Effect.suspend(() => {
      const bound = limitOf(limit)
      const parts: Array<Uint8Array> = []
      let count = 0
      const limited = Effect.suspend(() => Effect.fail(new LimitExceeded(bound)))
      return PullStream.runForEachChunk(self, (chunk) => {
        for (const bytes of chunk) {
          count += bytes.length
          if (count > bound.limit) return limited
          parts.push(bytes)
        }
        return undefined
      }).pipe(Effect.map(() => concat(parts)))
    })
)

/**
 * Collects the bytes of a stream as text, at most 4 MiB of them or those that `limit` allows (see
 * {@link collect}). A byte order mark at the start is left out.
 *
 * Fails with `LimitExceeded` when there are more bytes than the limit, and with
 * {@link InvalidContent} when they are not UTF-8.
 *
 * @since 0.1.0
 * @category destructors
 */
export const text = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  limit?: number | Limit
): Effect.Effect<string, E | LimitExceeded | InvalidContent, R> => {
  const bound = limitOf(limit)
  return Effect.flatMap(collect(self, bound), (bytes) => decodeText(bytes, bound.what))
}

/**
 * Collects the bytes of a stream as a JSON document, as {@link text} does, and decodes it.
 *
 * Fails as {@link text} does, and with {@link InvalidContent} when they are not a JSON document, or
 * it does not fit the schema.
 *
 * @example
 * ```ts
 * import * as ByteStream from "effect-oci/ByteStream"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 *
 * const Settings = Schema.Struct({ name: Schema.String })
 * const content = Stream.make(new TextEncoder().encode(`{"name":"demo"}`))
 * const settings = content.pipe(ByteStream.json(Settings))
 * ```
 *
 * @since 0.1.0
 * @category destructors
 */
export const json = <A, I, R2>(
  schema: Schema.Schema<A, I, R2>
): (<E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  limit?: number | Limit
) => Effect.Effect<A, E | LimitExceeded | InvalidContent, R | R2>) => {
  const decode = decodeJson(schema)
  return (self, limit) => {
    const bound = limitOf(limit)
    return Effect.flatMap(text(self, bound), (document) => decode(document, bound.what))
  }
}

const limitOf = (limit: number | Limit = 4 * 1024 * 1024): Limit =>
  typeof limit === "number" ? { what: "The content", limit } : limit

/**
 * Emits the bytes in arrays of exactly `size` bytes (at least 1), but for the last one, which may
 * be shorter. One array is held at a time.
 *
 * @since 0.1.0
 * @category combinators
 */
export const rechunk: {
  (size: number): <E, R>(self: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E, R>
  <E, R>(self: Stream.Stream<Uint8Array, E, R>, size: number): Stream.Stream<Uint8Array, E, R>
} = dual(
  2,
  <E, R>(self: Stream.Stream<Uint8Array, E, R>, size: number): Stream.Stream<Uint8Array, E, R> =>
    Stream.suspend(() => {
      const width = size >= 1 ? Math.floor(size) : 1
      let parts: Array<Uint8Array> = []
      let held = 0
      const whole = Stream.mapChunks(self, (chunk) => {
        const out: Array<Uint8Array> = []
        for (const bytes of chunk) {
          let rest = bytes
          while (held + rest.length >= width) {
            const head = rest.subarray(0, width - held)
            out.push(parts.length === 0 ? head : concat([...parts, head]))
            rest = rest.subarray(width - held)
            parts = []
            held = 0
          }
          if (rest.length > 0) {
            parts.push(rest)
            held += rest.length
          }
        }
        return Chunk.unsafeFromArray(out)
      })
      return Stream.concat(
        whole,
        Stream.suspend(() => (held === 0 ? Stream.empty : Stream.make(concat(parts))))
      )
    })
)

/**
 * Drops the first `count` bytes.
 *
 * @since 0.1.0
 * @category combinators
 */
export const drop: {
  (count: number): <E, R>(self: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E, R>
  <E, R>(self: Stream.Stream<Uint8Array, E, R>, count: number): Stream.Stream<Uint8Array, E, R>
} = dual(
  2,
  <E, R>(self: Stream.Stream<Uint8Array, E, R>, count: number): Stream.Stream<Uint8Array, E, R> =>
    count === 0
      ? self
      : PullStream.suspend(() => {
          let left = count
          return PullStream.mapChunks(self, (chunk) => {
            if (left === 0) return chunk
            const out: Array<Uint8Array> = []
            for (const bytes of chunk) {
              const skipped = Math.min(left, bytes.length)
              left -= skipped
              if (skipped < bytes.length) out.push(bytes.subarray(skipped))
            }
            return Chunk.unsafeFromArray(out)
          })
        })
)

/**
 * Emits chunks until `onChunk` or `onEnd` returns an error. Each chunk is held until the next one,
 * or the end, has passed (C26, C29, T7).
 */
const inspect = <E, R, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  on: {
    readonly onChunk: (bytes: Uint8Array) => E2 | undefined
    readonly onEnd: () => E2 | undefined
  }
): Stream.Stream<Uint8Array, E | E2, R> =>
  PullStream.make((scope) => {
    type Pull = PullStream.Pull<Uint8Array, E | E2, R>
    let held: Chunk.Chunk<Uint8Array> | undefined
    let isOver = false
    const fail = (problem: E2): Pull => Effect.fail(Option.some(problem))
    const pull: Pull = PullStream.match<
      Uint8Array,
      E,
      R,
      Chunk.Chunk<Uint8Array>,
      Option.Option<E | E2>,
      R
    >(PullStream.open(self, scope), {
      onChunk: (chunk) => {
        let size = 0
        for (const bytes of chunk) {
          const problem = on.onChunk(bytes)
          if (problem !== undefined) return fail(problem)
          size += bytes.length
        }
        if (size === 0) return pull
        const last = held
        held = chunk
        return last === undefined ? pull : Effect.succeed(last)
      },
      onFailure: PullStream.failed,
      onEnd: () => {
        isOver = true
        const problem = on.onEnd()
        if (problem !== undefined) return fail(problem)
        return held === undefined ? PullStream.end : Effect.succeed(held)
      }
    })
    return Effect.suspend(() => (isOver ? PullStream.end : pull))
  })

/**
 * Concatenates arrays. A single array is returned as it is.
 *
 * @since 0.1.0
 * @category combinators
 */
export const concat: (parts: ReadonlyArray<Uint8Array>) => Uint8Array = Bytes.concat
