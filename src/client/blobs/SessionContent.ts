/** The content of one blob on its way into one upload session, piece by piece. */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as ScopedRef from "effect/ScopedRef"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as PullStream from "../../internal/PullStream.js"
import type { OpenReader } from "../../internal/ReadInto.js"
import type { ByteRange } from "../../protocol/ByteRange.js"
import type { BodyNotReplayable, DigestMismatch, SizeMismatch } from "../../RegistryError.js"
import type * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import * as Transfer from "../../Transfer.js"
import { SentArrays } from "../http/SentArrays.js"
import * as ChunkReader from "./ChunkReader.js"
import * as SessionSteps from "./SessionSteps.js"
import * as SourceFailure from "./SourceFailure.js"
import { maxAhead, type Piece } from "./UploadPiece.js"
import type { Progress } from "./UploadPlan.js"

/**
 * What is uploaded: what is known of it, in bytes and by digest, how to `open` its source from a
 * byte on, or a `reader` of it, and its `bytes` where they are in memory.
 */
export interface Content<out E, out R> {
  readonly digest: Digest.Digest | undefined
  readonly size: number | undefined
  readonly open: (offset: number) => Stream.Stream<Uint8Array, E | BodyNotReplayable, R>
  readonly reader: OpenReader<E> | undefined
  readonly bytes: Uint8Array | undefined
}

type ReadError<E> = E | BodyNotReplayable | DigestMismatch | SizeMismatch

/** A reader of chunks, open as long as its Scope. */
interface OpenChunks<E, R> {
  readonly reader: ChunkReader.ChunkReader<E, R>
  readonly scope: Scope.CloseableScope
}

/** A chunk that the session may have only in part, and the bytes of the blob that it is. */
interface Held {
  readonly bytes: Uint8Array
  readonly from: number
  readonly to: number
}

/**
 * Makes the content of a session. What it opens stays open as long as the Scope. `hashed` has what
 * was read of it before, if that is known.
 */
export const make = <E, R>(
  remote: SessionSteps.Remote,
  session: SessionSteps.Session,
  content: Content<E, R>,
  subject: Transfer.Subject,
  hashed?: ByteStream.Verifier
) =>
  Effect.gen(function* () {
    const { digest, size } = content
    const verifier = hashed ?? (yield* ByteStream.verifier({ digest, size, algorithm: "sha256" }))
    const scope = yield* Effect.scope
    return new SessionContent(remote, session, content, subject, verifier, scope)
  })

/** The content of a session: what of it was read, and what the session has not got of that. */
export class SessionContent<E, R> {
  private portions: Portions<ReadError<E>, R> | undefined
  private chunks: OpenChunks<SourceFailure.SourceFailure<ReadError<E>>, R> | undefined
  private held: Held | undefined

  constructor(
    private readonly remote: SessionSteps.Remote,
    private readonly session: SessionSteps.Session,
    private readonly content: Content<E, R>,
    private readonly subject: Transfer.Subject,
    readonly verifier: ByteStream.Verifier,
    private readonly scope: Scope.Scope
  ) {}

  /** Sends a piece from where the session is. `stored` if that closed the session. */
  append(piece: Piece, array: Uint8Array | undefined) {
    return Effect.gen(this, function* () {
      const { remote, session } = this
      switch (piece._tag) {
        case "Whole":
          if (this.content.digest !== undefined)
            yield* this.whole(this.content.digest, piece.range, array)
          return "stored"
        case "Portion":
          yield* this.portion(piece.end)
          return "appended"
        case "Rest":
          yield* this.closeChunks()
          yield* SessionSteps.pour(
            remote,
            session,
            this.read(session.offset),
            piece.end,
            piece.mayEnd
          )
          return "appended"
        case "Chunk":
          yield* this.chunk(piece.size)
          return "appended"
      }
    })
  }

  /** How far it is. */
  progress(): Progress {
    const { held, session, verifier } = this
    return {
      offset: session.offset,
      seen: Math.max(verifier.size(), session.offset),
      verified: verifier.isVerified(),
      held: held && { from: held.from, to: held.to }
    }
  }

  /** The digest of the content, once it was read to its end. */
  digest(): Digest.Digest {
    return this.content.digest ?? Option.getOrThrow(this.verifier.digest())
  }

  /** What an earlier upload sent is read again if nothing has its hash. */
  private read(offset: number) {
    const { content, subject, verifier } = this
    const from = Math.min(offset, verifier.size())
    const verified = verifier.verify(content.open(from), from)
    return Transfer.track(
      from === offset ? verified : ByteStream.drop(verified, offset - from),
      subject,
      offset
    )
  }

  private whole(
    digest: Digest.Digest,
    range: ByteRange | undefined,
    array: Uint8Array | undefined
  ) {
    const { content, remote, session, verifier } = this
    const complete = (body: HttpBody.HttpBody) =>
      SessionSteps.complete(remote, session, digest, body, range)
    if (array === undefined)
      return SourceFailure.streaming(this.read(0), (body) =>
        complete(HttpBody.stream(body, MediaType.octetStream, content.size))
      )
    const problem = verifier.isVerified() ? undefined : verifier.finish(array)
    return problem === undefined
      ? complete(HttpBody.uint8Array(array, MediaType.octetStream))
      : Effect.fail(SourceFailure.of(problem))
  }

  private portion(end: number) {
    return Effect.gen(this, function* () {
      const { remote, scope, session } = this
      this.portions ??= yield* Scope.extend(
        readPortions((offset) => this.read(offset), session.offset),
        scope
      )
      const { abandon, take } = this.portions
      yield* SessionSteps.pour(
        remote,
        session,
        take(session.offset, end - session.offset),
        end
      ).pipe(Effect.tapError(() => Effect.sync(abandon)))
    })
  }

  private chunk(length: number) {
    return Effect.gen(this, function* () {
      const { content, remote, session } = this
      this.chunks ??= yield* this.openChunks()
      const { reader } = this.chunks
      const sizeAt = (from: number) =>
        content.size === undefined ? length : Math.min(length, content.size - from)
      if (this.held === undefined || session.offset >= this.held.to) {
        if (this.held !== undefined) reader.giveBack(this.held.bytes)
        // Where no bytes are missing, the end is.
        const bytes = yield* reader.next(Math.max(1, sizeAt(session.offset)))
        if (bytes.length === 0) return
        this.held = { bytes, from: session.offset, to: session.offset + bytes.length }
      }
      const { bytes, from, to } = this.held
      // Several uploads at once wait for each other anyway, and each would take more memory.
      if (remote.chunked.uploads === 1 && length <= maxAhead) yield* reader.readAhead(sizeAt(to))
      yield* SessionSteps.write(remote, session, bytes.subarray(session.offset - from))
      this.held = undefined
      reader.giveBack(bytes)
    })
  }

  private openChunks() {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen(this, function* () {
        const scope = yield* Scope.fork(this.scope, ExecutionStrategy.sequential)
        return { reader: yield* restore(Scope.extend(this.openReader(scope), scope)), scope }
      })
    )
  }

  /** Ends the reading in chunks: what comes next is read anew. */
  private closeChunks() {
    return Effect.suspend(() => {
      const { chunks } = this
      this.chunks = undefined
      this.held = undefined
      return chunks === undefined ? Effect.void : Scope.close(chunks.scope, Exit.void)
    })
  }

  private openReader(scope: Scope.CloseableScope) {
    return Effect.gen(this, function* () {
      const { content, remote, session, verifier } = this
      const observer = yield* Transfer.Observer
      const { chunked, to } = remote
      yield* Effect.acquireRelease(
        Effect.sync(() => chunked.uploads++),
        () => Effect.sync(() => chunked.uploads--)
      )
      // What is observed, or was read before, passes as a stream.
      const fill: ChunkReader.Fill<ReadError<E>, R> = content.reader === undefined ||
      observer !== undefined ||
      verifier.size() !== session.offset
        ? yield* ChunkReader.fromStream(this.read(session.offset))
        : ChunkReader.fromReader(
            yield* Effect.mapError(content.reader(session.offset), SourceFailure.of),
            verifier,
            content.size
          )
      return new ChunkReader.ChunkReader(
        (into) => Effect.mapError(fill(into), SourceFailure.of),
        new SentArrays(to.transformClient === undefined),
        scope
      )
    })
  }
}

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
      PullStream.unwrap(
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
