/**
 * Streams of bytes: to count, cut, collect and verify them, without an Effect per chunk and without
 * more memory than asked for.
 *
 * @since 0.1.0
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { DigestMismatch, LimitExceeded, SizeMismatch } from "./RegistryError.js"
import * as Digest from "./spec/Digest.js"

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
 * Flattens an effect of a stream. `Stream.unwrap` does the same for any stream of streams, at a
 * cost that exceeds that of a small blob.
 *
 * @since 0.1.0
 * @category constructors
 * @internal
 */
export const unwrap = <A, E, R, E2, R2>(
  stream: Effect.Effect<Stream.Stream<A, E, R>, E2, R2>
): Stream.Stream<A, E | E2, R | R2> =>
  Stream.fromChannel(Channel.unwrap(Effect.map(stream, Stream.toChannel)))

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
    Stream.mapChunks(self, (chunk) => {
      for (const bytes of chunk) f(bytes)
      return chunk
    })
)

/**
 * Calls plain side effects while a stream is read, which must not throw: `onPull` when the consumer
 * asks for more, `onChunk` with each chunk before the consumer gets it, `onEnd` when the stream
 * ends or fails. An Effect per chunk would cost a fifth of the throughput.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const observe = <A, E, R>(
  self: Stream.Stream<A, E, R>,
  on: {
    readonly onPull: () => void
    readonly onChunk: (chunk: Chunk.Chunk<A>) => void
    readonly onEnd: () => void
  }
): Stream.Stream<A, E, R> => {
  const pull = (): Channel.Channel<Chunk.Chunk<A>, Chunk.Chunk<A>, E, E, unknown, unknown> => {
    on.onPull()
    return read
  }
  const read = Channel.readWithCause({
    onInput: (chunk: Chunk.Chunk<A>) => {
      on.onChunk(chunk)
      return Channel.flatMap(Channel.write(chunk), pull)
    },
    onFailure: (cause) => {
      on.onEnd()
      return Channel.failCause(cause)
    },
    onDone: () => {
      on.onEnd()
      return Channel.void
    }
  })
  return Stream.fromChannel(Channel.pipeTo(Stream.toChannel(self), Channel.suspend(pull)))
}

/**
 * Runs a stream, and hands its arrays to `take`, a plain function that must not throw. Where that
 * returns true, and when the stream has ended or failed, `flush` runs before the next array. When
 * the stream has failed, the failure of `flush` does not count.
 *
 * @since 0.1.0
 * @category destructors
 * @internal
 */
export const runFlushing = <E, R, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  take: (bytes: Uint8Array) => boolean,
  flush: Effect.Effect<void, E2>
): Effect.Effect<void, E | E2, R> => {
  type Loop = Channel.Channel<never, Chunk.Chunk<Uint8Array>, E | E2, E, void, unknown>
  const flushed = Channel.fromEffect(flush)
  const loop: Loop = Channel.readWithCause({
    onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
      let full = false
      for (const bytes of chunk) full = take(bytes)
      return full ? Channel.flatMap(flushed, () => loop) : loop
    },
    onFailure: (cause) =>
      Channel.flatMap(Channel.fromEffect(Effect.ignore(flush)), () => Channel.failCause(cause)),
    onDone: () => flushed
  })
  return Channel.runDrain(Channel.pipeTo(Stream.toChannel(self), loop))
}

/**
 * Hands the arrays that pass to `take`, a plain function that must not throw. Where that returns
 * true for the last array of a chunk, and when the stream has ended, `flush` runs before the
 * consumer gets what follows.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const tapFlushing = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  take: (bytes: Uint8Array) => boolean,
  flush: Effect.Effect<void>
): Stream.Stream<Uint8Array, E, R> => {
  type Bytes = Chunk.Chunk<Uint8Array>
  const flushed = Channel.fromEffect(flush)
  const loop: Channel.Channel<Bytes, Bytes, E, E, unknown, unknown> = Channel.readWithCause({
    onInput: (chunk: Bytes) => {
      let isDue = false
      for (const bytes of chunk) isDue = take(bytes)
      const rest = Channel.flatMap(Channel.write(chunk), () => loop)
      return isDue ? Channel.zipRight(flushed, rest) : rest
    },
    onFailure: Channel.failCause,
    onDone: () => flushed
  })
  return Stream.pipeThroughChannel(self, loop)
}

/**
 * A stream of at most `limit` bytes is held back and mapped as a whole; of a longer one nothing is
 * changed.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const mapSmall = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  limit: number,
  f: (bytes: Uint8Array) => Effect.Effect<Uint8Array>
): Stream.Stream<Uint8Array, E, R> => {
  type Bytes = Chunk.Chunk<Uint8Array>
  const gather = (
    held: Bytes,
    size: number
  ): Channel.Channel<Bytes, Bytes, E, E, unknown, unknown> =>
    Channel.readWithCause({
      onInput: (chunk: Bytes) => {
        const all = Chunk.appendAll(held, chunk)
        const total = Chunk.reduce(chunk, size, (sum, bytes) => sum + bytes.length)
        return total > limit ? Channel.flatMap(Channel.write(all), () => pass) : gather(all, total)
      },
      onFailure: Channel.failCause,
      onDone: () =>
        Channel.unwrap(Effect.map(f(concat([...held])), (bytes) => Channel.write(Chunk.of(bytes))))
    })
  const pass: Channel.Channel<Bytes, Bytes, E, E, unknown, unknown> = Channel.readWithCause({
    onInput: (chunk: Bytes) => Channel.flatMap(Channel.write(chunk), () => pass),
    onFailure: Channel.failCause,
    onDone: () => Channel.void
  })
  return Stream.fromChannel(
    Channel.pipeTo(
      Stream.toChannel(self),
      Channel.suspend(() => gather(Chunk.empty(), 0))
    )
  )
}

/**
 * Verifies content that may arrive in several streams, as when a transfer resumes.
 *
 * - `seen` returns the number of bytes, from the first one on, that were counted and hashed.
 * - `update` counts and hashes the bytes that follow, without a stream.
 * - `pass` verifies, as the function `verify` does, a stream of the content from byte `from` on,
 *   which is at most `seen()`. Bytes before `seen()` are not hashed again.
 * - `judge` counts and hashes the last bytes, and returns what is wrong with the content, if
 *   anything is.
 * - `approved` returns whether the content came to its end and is what was expected.
 * - `digest` returns the digest of the bytes so far; `None` when nothing is hashed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Verifier {
  readonly seen: () => number
  readonly update: (bytes: Uint8Array) => void
  readonly pass: <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    from?: number
  ) => Stream.Stream<Uint8Array, E | DigestMismatch | SizeMismatch, R>
  readonly judge: (bytes: Uint8Array) => DigestMismatch | SizeMismatch | undefined
  readonly approved: () => boolean
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
      let seen = 0
      let approved = false
      const take = (bytes: Uint8Array, end: number) => {
        if (end <= seen) return
        hasher?.update(
          end - seen >= bytes.length ? bytes : bytes.subarray(bytes.length - (end - seen))
        )
        seen = end
      }
      const judge = (count: number) => {
        // What ends before where another stream of it has been is not the same content.
        const whole = size ?? seen
        if (count !== whole) return new SizeMismatch({ expected: whole, actual: count })
        const actual = hasher?.digest()
        approved = digest === undefined || actual === undefined || actual === digest
        return approved
          ? undefined
          : new DigestMismatch({ expected: digest ?? "", actual: actual ?? "" })
      }
      return {
        seen: () => seen,
        update: (bytes) => take(bytes, seen + bytes.length),
        pass: (self, from = 0) =>
          Stream.suspend(() => {
            let count = from
            return inspect(self, {
              onChunk: (bytes) => {
                count += bytes.length
                if (size !== undefined && count > size)
                  return new SizeMismatch({ expected: size, actual: count })
                take(bytes, count)
                return undefined
              },
              onEnd: () => judge(count)
            })
          }),
        judge: (bytes) => {
          take(bytes, seen + bytes.length)
          return judge(seen)
        },
        approved: () => approved,
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
  Stream.unwrap(Effect.map(verifier(expected), ({ pass }) => pass(self)))
)

/** How long the end of a body is awaited after its last byte. */
const lingering = Duration.seconds(1)

/**
 * Reads a stream ahead, up to `ahead` bytes, in a fiber of its own. The stream ends after `length`
 * bytes, whatever follows; the end of the source is awaited for a second, since its connection can
 * be used again then. Only the time in which bytes are awaited counts, not that of a slow consumer:
 * one fiber looks four times in `stall`, and no chunk costs a timer.
 *
 * Fails with `onFault("Stall")` when no bytes arrive for the duration `stall`, and with
 * `onFault("Reset")` when the source ends before `length` bytes.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const watched = <E, R, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  options: {
    readonly ahead: number
    readonly stall: Duration.DurationInput
    readonly length?: number | undefined
    readonly onFault: (reason: "Stall" | "Reset") => E2
  }
): Stream.Stream<Uint8Array, E | E2, R> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      let held: Array<Uint8Array> = []
      let size = 0
      let count = 0
      let idle = 0
      let ended: Exit.Exit<void, E | E2> | undefined
      const { length = Number.POSITIVE_INFINITY } = options
      const news = Effect.unsafeMakeLatch(false)
      const room = Effect.unsafeMakeLatch(true)
      const end = (exit: Exit.Exit<void, E | E2>) =>
        Effect.sync(() => {
          ended ??= exit
          news.unsafeOpen()
        })
      const reading: Channel.Channel<
        never,
        Chunk.Chunk<Uint8Array>,
        E,
        E,
        void,
        unknown
      > = Channel.readWithCause({
        onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
          idle = 0
          let isOver = false
          for (const bytes of chunk) {
            const wanted = Math.min(bytes.length, length - count)
            isOver ||= wanted < bytes.length
            if (wanted === 0) continue
            held.push(isOver ? bytes.subarray(0, wanted) : bytes)
            size += wanted
            count += wanted
          }
          news.unsafeOpen()
          if (isOver) return Channel.void
          if (size < options.ahead) return reading
          room.unsafeClose()
          return Channel.flatMap(Channel.fromEffect(room.await), () => reading)
        },
        onFailure: Channel.failCause,
        onDone: () => Channel.void
      })
      yield* Channel.runDrain(Channel.pipeTo(Stream.toChannel(self), reading)).pipe(
        Effect.exit,
        Effect.flatMap((exit) =>
          end(
            Exit.isSuccess(exit) && options.length !== undefined && count < length
              ? Exit.fail(options.onFault("Reset"))
              : exit
          )
        ),
        Effect.forkScoped
      )
      const tick = Duration.times(options.stall, 0.25)
      const watch: Effect.Effect<void> = Effect.flatMap(Effect.sleep(tick), () => {
        if (ended !== undefined) return Effect.void
        idle = size < options.ahead ? idle + 1 : 0
        return idle > 4 ? end(Exit.fail(options.onFault("Stall"))) : watch
      })
      yield* Effect.forkScoped(watch)
      const loop = (): Channel.Channel<Chunk.Chunk<Uint8Array>, unknown, E | E2> => {
        if (size > 0) {
          const chunk = Chunk.unsafeFromArray(held)
          held = []
          size = 0
          room.unsafeOpen()
          return Channel.flatMap(Channel.write(chunk), loop)
        }
        if (ended !== undefined) return Channel.fromEffect(ended)
        news.unsafeClose()
        return count === length
          ? Channel.fromEffect(Effect.ignore(Effect.timeout(news.await, lingering)))
          : Channel.flatMap(Channel.fromEffect(news.await), loop)
      }
      return Stream.fromChannel(Channel.suspend(loop))
    })
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
 * Collects the bytes of a stream in one array. Memory is allocated as they arrive.
 *
 * Fails with `LimitExceeded` when there are more bytes than the limit.
 *
 * @since 0.1.0
 * @category destructors
 */
export const collect: {
  (
    limit: Limit
  ): <E, R>(
    self: Stream.Stream<Uint8Array, E, R>
  ) => Effect.Effect<Uint8Array, E | LimitExceeded, R>
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    limit: Limit
  ): Effect.Effect<Uint8Array, E | LimitExceeded, R>
} = dual(
  2,
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>,
    limit: Limit
  ): Effect.Effect<Uint8Array, E | LimitExceeded, R> =>
    Effect.suspend(() => {
      const parts: Array<Uint8Array> = []
      let count = 0
      return inspect(self, {
        onChunk: (bytes) => {
          count += bytes.length
          if (count > limit.limit) return new LimitExceeded(limit)
          parts.push(bytes)
          return undefined
        },
        onEnd: () => undefined
      }).pipe(
        Stream.runDrain,
        Effect.map(() => concat(parts))
      )
    })
)

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
 * Returns the first bytes of a stream whose rest is not needed: at least `enough` of them, if there
 * are so many, or those that arrived within 5 seconds or before a failure. Never fails.
 *
 * @since 0.1.0
 * @category destructors
 * @internal
 */
export const beginning = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>,
  enough: number
): Effect.Effect<Uint8Array, never, R> =>
  Effect.suspend(() => {
    const parts: Array<Uint8Array> = []
    let count = 0
    // Running a stream makes a fiber, Effect logs the failures of fibers, and those of an HTTP
    // client hold the request with its headers (T13).
    const read = Stream.catchAll(self, () => Stream.empty)
    return Stream.runForEachWhile(read, (bytes) => {
      parts.push(bytes)
      count += bytes.length
      return Effect.succeed(count < enough)
    }).pipe(
      Effect.timeout("5 seconds"),
      Effect.ignore,
      Effect.map(() => concat(parts))
    )
  })

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
      : Stream.suspend(() => {
          let left = count
          return Stream.mapChunks(self, (chunk) => {
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
 * Emits chunks until `onChunk` or `onEnd` returns an error, in one channel: an Effect per chunk
 * would cost a fifth of the throughput. Each chunk is held until the next one, or the end, has
 * passed (C26, C29, T7).
 */
const inspect = <E, R, E2>(
  self: Stream.Stream<Uint8Array, E, R>,
  on: {
    readonly onChunk: (bytes: Uint8Array) => E2 | undefined
    readonly onEnd: () => E2 | undefined
  }
): Stream.Stream<Uint8Array, E | E2, R> => {
  const loop = (
    held: Chunk.Chunk<Uint8Array>
  ): Channel.Channel<
    Chunk.Chunk<Uint8Array>,
    Chunk.Chunk<Uint8Array>,
    E | E2,
    E,
    unknown,
    unknown
  > =>
    Channel.readWithCause({
      onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
        let size = 0
        for (const bytes of chunk) {
          const problem = on.onChunk(bytes)
          if (problem !== undefined) return Channel.fail(problem)
          size += bytes.length
        }
        if (size === 0) return loop(held)
        return Chunk.isEmpty(held)
          ? loop(chunk)
          : Channel.flatMap(Channel.write(held), () => loop(chunk))
      },
      onFailure: (cause) => Channel.failCause(cause),
      onDone: () => {
        const problem = on.onEnd()
        if (problem !== undefined) return Channel.fail(problem)
        return Chunk.isEmpty(held) ? Channel.void : Channel.write(held)
      }
    })
  return Stream.fromChannel(
    Channel.pipeTo(
      Stream.toChannel(self),
      Channel.suspend(() => loop(Chunk.empty()))
    )
  )
}

/**
 * Concatenates arrays. A single array is returned as it is.
 *
 * @since 0.1.0
 * @category combinators
 */
export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const only = parts[0]
  if (parts.length === 1 && only !== undefined) return only
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}
