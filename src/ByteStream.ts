/**
 * Streams of bytes: counted, cut, gathered and verified without an Effect per chunk and without
 * holding more than asked for.
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
 * What a stream of bytes must turn out to be, as far as it is known. `size` is in bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Expected {
  readonly digest?: Digest.Digest | undefined
  readonly size?: number | undefined
}

/**
 * Whether the consumer of a stream of bytes needs an array no longer when it asks for the second
 * array after it, so that the source may fill the same memory again. False unless the consumer
 * provides it; where it is true, nothing between source and consumer may keep an array. See
 * `BlobSource.reusing`.
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
 * The stream that an effect makes. `Stream.unwrap` is the same for streams of streams, whose
 * machinery costs more than a small blob.
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
 * Calls `f` on every chunk that passes, as a plain side effect: it must not throw.
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
 * A verification that may stretch over several streams of the same content, as when a transfer goes
 * on after a fault.
 *
 * - `seen`: how many bytes of the content it has counted and hashed, from its first byte on.
 * - `update`: the next bytes after those, when no stream carries them.
 * - `pass`: passes on a stream that holds the content from byte `from` on (at most `seen`), as
 *   `verify` does; bytes seen before are not hashed again.
 * - `judge`: the last bytes: takes them, and says what is wrong with the whole, if anything is.
 * - `approved`: whether a stream passed to its end, and was what is expected.
 * - `digest`: the digest of what was seen. None when nothing is hashed.
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
 * A new verification. It hashes by the algorithm of the expected digest, or by `algorithm` where no
 * digest is known yet, or not at all. Fails with `InvalidDigest` for a digest that cannot be
 * verified here.
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
 * Passes the bytes on while it counts and hashes them, one chunk behind. It fails at the first byte
 * beyond `size`, and where the end would be: with `SizeMismatch` when bytes are missing, then with
 * `DigestMismatch`. A consumer never sees the last chunk, let alone success, of content that is not
 * what was expected (C26, C29, T7). A digest that cannot be verified here fails with
 * `InvalidDigest` before the first byte.
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

/** How long the end of a body is waited for whose last byte has arrived. */
const lingering = Duration.seconds(1)

/**
 * The same bytes, read ahead by a fiber of its own up to `ahead` bytes. It fails with `onFault`:
 * for a `Stall` when no bytes arrive for the duration `stall`, for a `Reset` when they end before
 * there were `length` of them. With `length` bytes it ends, whatever else would come: the end of
 * the source is waited for a second, since its connection can be used again then. Time counts only while bytes are waited for, not while the consumer
 * is slower than they are: one watchdog looks four times in `stall`, and no chunk costs a timer.
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
 * How many bytes may be gathered, of what, and by which option that can be changed: the words of
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
 * The bytes gathered into one array, or `LimitExceeded` as soon as there are more than `limit` (in
 * bytes). Nothing is allocated beforehand (T6).
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
 * The same bytes in chunks of exactly `size` bytes (at least 1), the last one shorter. Holds one
 * chunk at a time.
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
 * The first bytes of a stream whose rest is of no interest: at least `enough`, if there are as
 * many, and what came of them within 5 seconds, without failing.
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
    // Running a stream makes a fiber, Effect logs the failures of fibers, and those of an HTTP client
    // hold the request with its headers (T13).
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
 * The bytes from offset `count` on.
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
 * Passes chunks on until one is refused, in one channel: an Effect per chunk would cost a fifth of
 * the throughput. Each chunk is held back until the next one or the end was accepted, so that
 * whoever consumes everything has consumed only what `onEnd` approved of.
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
 * The parts as one array. A single part is returned as it is.
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
