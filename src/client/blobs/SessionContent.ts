/** The content of one blob on its way into one upload session, piece by piece. */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as ScopedRef from "effect/ScopedRef"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import type { BodyNotReplayable, DigestMismatch, SizeMismatch } from "../../RegistryError.js"
import type * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import * as Transfer from "../../Transfer.js"
import type * as Session from "./Session.js"
import * as SourceFailure from "./SourceFailure.js"
import type { Piece } from "./UploadPiece.js"
import type { Progress } from "./UploadPlan.js"

/**
 * What is uploaded: what is known of it, in bytes and by digest, how to `open` its source from a
 * byte on, and its `bytes` where they are in memory.
 */
export interface Content<out E, out R> {
  readonly digest: Digest.Digest | undefined
  readonly size: number | undefined
  readonly open: (offset: number) => Stream.Stream<Uint8Array, E | BodyNotReplayable, R>
  readonly bytes: Uint8Array | undefined
}

type ReadError<E> = E | BodyNotReplayable | DigestMismatch | SizeMismatch

/**
 * The content of a session.
 *
 * - `append`: sends a piece from where the session is. `stored` if that closed the session.
 * - `progress`: how far it is.
 * - `digest`: that of the content, once it was read to its end.
 */
export const make = Effect.fnUntraced(function* <E, R>(
  sessions: ReturnType<typeof Session.make>,
  session: Session.Session,
  content: Content<E, R>,
  subject: Transfer.Subject
) {
  const { digest, size } = content
  const verifier = yield* ByteStream.verifier({ digest, size, algorithm: "sha256" })
  const scope = yield* Effect.scope
  const read = (offset: number) =>
    Transfer.track(verifier.pass(content.open(offset), offset), subject, offset)

  const whole = (
    piece: Extract<Piece, { readonly _tag: "Whole" }>,
    digest: Digest.Digest,
    array: Uint8Array | undefined
  ) => {
    if (array === undefined)
      return SourceFailure.streaming(read(0), (body) =>
        sessions.complete(
          session,
          digest,
          HttpBody.stream(body, MediaType.octetStream, size),
          piece.range
        )
      )
    const problem = verifier.approved() ? undefined : verifier.judge(array)
    return problem === undefined
      ? sessions.complete(
          session,
          digest,
          HttpBody.uint8Array(array, MediaType.octetStream),
          piece.range
        )
      : Effect.fail(SourceFailure.of(problem))
  }

  let portions: Portions<ReadError<E>, R> | undefined
  const portion = Effect.fnUntraced(function* (end: number) {
    portions ??= yield* Scope.extend(readPortions(read, session.offset), scope)
    const { abandon, take } = portions
    yield* sessions
      .pour(session, take(session.offset, end - session.offset), end)
      .pipe(Effect.tapError(() => Effect.sync(abandon)))
  })

  let chunks: Pull<SourceFailure.SourceFailure<ReadError<E>>, R> | undefined
  let held: { readonly bytes: Uint8Array; readonly from: number; readonly to: number } | undefined
  const chunk = Effect.fnUntraced(function* (length: number) {
    chunks ??= yield* Scope.extend(
      pullOf(Stream.mapError(ByteStream.rechunk(read(session.offset), length), SourceFailure.of)),
      scope
    )
    if (held === undefined || session.offset >= held.to) {
      const bytes = yield* chunks
      if (bytes === undefined) return
      held = { bytes, from: session.offset, to: session.offset + bytes.length }
    }
    yield* sessions.write(session, held.bytes.subarray(session.offset - held.from))
    held = undefined
  })

  const append = Effect.fnUntraced(function* (piece: Piece, array: Uint8Array | undefined) {
    switch (piece._tag) {
      case "Whole":
        if (digest !== undefined) yield* whole(piece, digest, array)
        return "stored"
      case "Portion":
        yield* portion(piece.end)
        return "appended"
      case "Rest":
        yield* sessions.pour(session, read(session.offset), piece.end)
        return "appended"
      case "Chunk":
        yield* chunk(piece.size)
        return "appended"
    }
  })

  return {
    append,
    progress: (): Progress => ({
      offset: session.offset,
      seen: verifier.seen(),
      verified: verifier.approved(),
      held: held && { from: held.from, to: held.to }
    }),
    digest: () => digest ?? Option.getOrThrow(verifier.digest())
  }
})

/** One array each time, and nothing at the end. */
type Pull<E, R> = Effect.Effect<Uint8Array | undefined, E, R>

const pullOf = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<Pull<E, R>, never, R | Scope.Scope> =>
  Effect.map(Stream.toPull(stream), (pull) => {
    let rest: ReadonlyArray<Uint8Array> = []
    const next: Pull<E, R> = Effect.suspend(() => {
      const [first, ...others] = rest
      rest = others
      return first === undefined
        ? Effect.matchEffect(pull, {
            onFailure: Option.match({
              onNone: () => Effect.succeed(undefined),
              onSome: (error) => Effect.fail(error)
            }),
            onSuccess: (chunk) => {
              rest = [...chunk]
              return next
            }
          })
        : Effect.succeed(first)
    })
    return next
  })

/**
 * Parts of a source that is read once, as streams. One has to end before the next begins. A part
 * that is sent again, after a challenge or elsewhere, is not what comes next, and after a part that
 * was abandoned nobody knows what is: the source is opened anew where it starts.
 */
interface Portions<E, R> {
  readonly take: (start: number, count: number) => Stream.Stream<Uint8Array, E, R>
  readonly abandon: () => void
}

const readPortions = <E, R>(
  open: (offset: number) => Stream.Stream<Uint8Array, E, R>,
  first: number
): Effect.Effect<Portions<E, R>, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const opened = (at: number) =>
      Effect.map(Stream.toPull(open(at)), (pull) => ({ pull, at, rest: Chunk.empty<Uint8Array>() }))
    const current = yield* ScopedRef.fromAcquire(opened(first))
    let isAbandoned = false
    const take = (start: number, count: number): Stream.Stream<Uint8Array, E, R> =>
      ByteStream.unwrap(
        Effect.gen(function* () {
          if (isAbandoned || (yield* ScopedRef.get(current)).at !== start)
            yield* ScopedRef.set(current, opened(start))
          isAbandoned = false
          const source = yield* ScopedRef.get(current)
          let left = count
          const portion = (chunk: Chunk.Chunk<Uint8Array>): Chunk.Chunk<Uint8Array> => {
            const out: Array<Uint8Array> = []
            const over: Array<Uint8Array> = []
            for (const bytes of chunk) {
              if (left > 0) out.push(bytes.subarray(0, left))
              if (bytes.length > left) over.push(bytes.subarray(left))
              const taken = Math.min(left, bytes.length)
              left -= taken
              source.at += taken
            }
            source.rest = Chunk.unsafeFromArray(over)
            return Chunk.unsafeFromArray(out)
          }
          return Stream.repeatEffectChunkOption(
            Effect.suspend(() => {
              if (left === 0) return Effect.fail(Option.none())
              return Chunk.isEmpty(source.rest)
                ? Effect.map(source.pull, portion)
                : Effect.succeed(portion(source.rest))
            })
          )
        })
      )
    return {
      take,
      abandon: () => {
        isAbandoned = true
      }
    }
  })

/** What `make` makes. */
export interface SessionContent<E, R>
  extends Effect.Effect.Success<ReturnType<typeof make<E, R>>> {}
