/**
 * The content of an upload in chunks, each gathered in one array: from there it can be sent as
 * often as need be, and while one chunk is on its way, the next is read.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import { giveBack } from "../../internal/BorrowedStream.js"
import type { Read } from "../../internal/ReadInto.js"
import { type DigestMismatch, SizeMismatch } from "../../RegistryError.js"
import type { SentArrays } from "../http/SentArrays.js"

/** Bytes that are hashed at a time, while the cache of the processor has them. */
const blockSize = 1024 * 1024

/**
 * Fills an array from where the content is, and returns how many bytes there were: fewer than there
 * is room for at its end, which has been verified before the last bytes are returned.
 */
export type Fill<E, R> = (into: Uint8Array) => Effect.Effect<number, E, R>

/** Fills arrays from a stream, which verifies itself. */
export const fromStream = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<Fill<E, R>, never, R | Scope.Scope> =>
  Effect.map(Stream.toPull(stream), (pull) => {
    let rest: ReadonlyArray<Uint8Array> = []
    const fill = (into: Uint8Array, from: number): Effect.Effect<number, E, R> => {
      let at = from
      while (rest[0] !== undefined && at < into.length) {
        const [first, ...others] = rest
        const part = first.subarray(0, into.length - at)
        into.set(part, at)
        giveBack(part)
        at += part.length
        rest = part.length < first.length ? [first.subarray(part.length), ...others] : others
      }
      return at === into.length
        ? Effect.succeed(at)
        : Effect.matchEffect(pull, {
            onFailure: Option.match({
              onNone: () => Effect.succeed(at),
              onSome: (error) => Effect.fail(error)
            }),
            onSuccess: (chunk) => {
              rest = [...chunk]
              return fill(into, at)
            }
          })
    }
    // What it pulls is copied at once.
    return (into) =>
      Effect.provideService(
        Effect.suspend(() => fill(into, 0)),
        ByteStream.BuffersReused,
        true
      )
  })

/** Fills arrays by a reader, from where `verifier` is. */
export const fromReader =
  <E>(
    read: Read<E>,
    verifier: ByteStream.Verifier,
    size: number | undefined
  ): Fill<E | DigestMismatch | SizeMismatch, never> =>
  (into) =>
    Effect.gen(function* () {
      let at = 0
      while (at < into.length) {
        const count = yield* read(into.subarray(at, at + blockSize))
        if (count === 0) break
        verifier.update(into.subarray(at, at + count))
        at += count
      }
      if (at === into.length && verifier.size() !== size) return at
      const excess = at === into.length ? yield* read(new Uint8Array(1)) : 0
      const problem =
        excess === 0
          ? verifier.finish(new Uint8Array())
          : new SizeMismatch({ expected: verifier.size(), actual: verifier.size() + excess })
      return problem === undefined ? at : yield* Effect.fail(problem)
    })

/** Reads the chunks of one session. What is read ahead is read in `scope`. */
export class ChunkReader<E, R> {
  private ahead: Fiber.RuntimeFiber<Exit.Exit<Uint8Array, E>> | undefined

  constructor(
    private readonly fill: Fill<E, R>,
    private readonly arrays: SentArrays,
    private readonly scope: Scope.Scope
  ) {}

  /** The next chunk, which has `length` bytes but at the end. */
  next(length: number): Effect.Effect<Uint8Array, E, R> {
    return Effect.suspend(() => {
      const { ahead } = this
      this.ahead = undefined
      return ahead === undefined ? this.read(length) : Effect.flatten(Fiber.join(ahead))
    })
  }

  /** Begins to read the chunk after this one. */
  readAhead(length: number): Effect.Effect<void, never, R> {
    return Effect.suspend(() =>
      this.ahead !== undefined || length === 0
        ? Effect.void
        : Effect.map(Effect.forkIn(Effect.exit(this.read(length)), this.scope), (fiber) => {
            this.ahead = fiber
          })
    )
  }

  /** Gives back a chunk that the session has got. */
  giveBack(bytes: Uint8Array): void {
    this.arrays.giveBack(bytes)
  }

  private read(length: number): Effect.Effect<Uint8Array, E, R> {
    return Effect.suspend(() => {
      const array = this.arrays.take(length)
      return Effect.map(this.fill(array), (count) => array.subarray(0, count))
    })
  }
}
