/** Downloads into the store, and those who read while one is under way. */
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../../ByteStream.js"
import * as ReadableUpload from "../../../internal/ReadableUpload.js"
import type { Registry } from "../../../Registry.js"
import * as Digest from "../../../spec/Digest.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import type { Readers } from "./Content.js"
import { Window, type Windows } from "./Window.js"

/** The upstream registry failed: nobody can be given more of the blob. */
export class UpstreamFailed extends Data.TaggedError("UpstreamFailed")<{
  readonly error: Registry.GetBlobError
}> {}

/** The blob is not stored, which its readers need not care about. */
export class NotStored extends Data.TaggedError("NotStored")<{ readonly problem: string }> {}

/** Everything a download into the store can end with before it is complete. */
export type FillError = UpstreamFailed | NotStored

/** A blob on its way into the store. */
export class Fill {
  readonly readers: Readers = { count: 0 }
  readonly repositories: Set<RepositoryName>
  /** How the download ended. */
  readonly ended = Deferred.unsafeMake<void, FillError>(FiberId.none)
  /** The same, for those who look. */
  exit: Exit.Exit<void, FillError> | undefined
  /** How many bytes have arrived. */
  received = 0
  /** Whether these are all, as the upstream registry says. */
  complete = false
  /** Where the store has the upload, for a process after this one to clear. */
  location: string | undefined
  private readonly window: Window
  private readAt: ReadableUpload.ReadAt | undefined
  private readonly waiting = new Set<() => void>()

  /** `size` is in bytes, if the upstream registry has said it. */
  constructor(
    readonly digest: Digest.Digest,
    readonly home: RepositoryName,
    readonly size: number | undefined,
    windows: Windows
  ) {
    this.repositories = new Set([home])
    this.window = new Window(windows)
  }

  /**
   * Writes the content to the store as it comes, whoever reads it, and commits it: the store
   * verifies the digest. `opened` is called when the store has opened the upload.
   */
  readonly run = (
    store: Registry.Service,
    content: Stream.Stream<Uint8Array, Registry.GetBlobError>,
    opened: () => void
  ): Effect.Effect<void, FillError> =>
    Effect.gen(this, function* () {
      const session = yield* store.startUpload(this.home, {
        algorithm: Digest.algorithm(this.digest)
      })
      this.readAt = ReadableUpload.of(session)
      this.location = (yield* session.state).location
      opened()
      const arrived = content.pipe(
        // The arrays are kept for the readers.
        Stream.provideService(ByteStream.BuffersReused, false),
        ByteStream.tap((bytes) => this.arrive(bytes)),
        Stream.mapError((error) => new UpstreamFailed({ error }))
      )
      const ended = Stream.execute(
        Effect.sync(() => {
          this.complete = true
        })
      )
      yield* session.write(Stream.concat(arrived, ended))
      yield* session.commit(this.digest)
    }).pipe(
      Effect.scoped,
      Effect.mapError((error) =>
        error instanceof UpstreamFailed ? error : new NotStored({ problem: error.message })
      )
    )

  /** Says to all readers how the download ended. */
  end(exit: Exit.Exit<void, FillError>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.exit = exit
      if (this.readers.count === 0) this.window.clear()
      this.wake()
      return Effect.asVoid(Deferred.done(this.ended, exit))
    })
  }

  /** Counts a reader while a stream is open. */
  read<E>(stream: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> {
    return Stream.unwrapScoped(
      Effect.as(
        Effect.acquireRelease(
          Effect.sync(() => this.readers.count++),
          () =>
            Effect.sync(() => {
              this.readers.count--
              if (this.readers.count === 0 && this.exit !== undefined) this.window.clear()
            })
        ),
        stream
      )
    )
  }

  /**
   * Streams the bytes from `start` to before `end` as they arrive, as far as the download comes;
   * the rest is what `rest` says of the position and of how it ended. A reader takes from
   * memory, or, when it has fallen behind, from the upload in the store; where the store cannot
   * read that, it waits until the blob is complete. It never holds up the download.
   */
  follow<E>(
    { end = Number.POSITIVE_INFINITY, start }: { readonly start: number; readonly end?: number },
    rest: (position: number, exit: Exit.Exit<void, FillError>) => Stream.Stream<Uint8Array, E>
  ): Stream.Stream<Uint8Array, E> {
    return Stream.suspend(() => {
      let position = start
      const taken = (pieces: Array<Uint8Array>) => {
        for (const [n, bytes] of pieces.entries()) {
          if (bytes.length > end - position) pieces[n] = bytes.subarray(0, end - position)
          position = Math.min(end, position + bytes.length)
        }
        return Effect.succeed(Chunk.unsafeFromArray(pieces))
      }
      const next: Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<never>> = Effect.suspend(
        () => {
          const pieces = position < end ? this.window.from(position) : []
          if (pieces.length > 0) return taken(pieces)
          const { readAt, received } = this
          if (position >= end || this.exit !== undefined) return Effect.fail(Option.none())
          if (position >= received) return Effect.zipRight(this.beyond(received), next)
          if (readAt === undefined) return Effect.zipRight(this.over, next)
          return Effect.flatMap(readAt(position), (bytes) =>
            bytes.length > 0 ? taken([bytes]) : Effect.zipRight(this.beyond(received), next)
          )
        }
      )
      return Stream.concat(
        Stream.repeatEffectChunkOption(next),
        Stream.suspend(() =>
          position >= end ? Stream.empty : rest(position, this.exit ?? Exit.void)
        )
      )
    })
  }

  private readonly over = Effect.exit(Deferred.await(this.ended))

  private arrive(bytes: Uint8Array): void {
    this.window.append(this.received, bytes)
    this.received += bytes.length
    this.wake()
  }

  private wake(): void {
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const resume of waiting) resume()
  }

  /** Waits until more bytes than these have arrived, or the download has ended. */
  private beyond(received: number): Effect.Effect<void> {
    return Effect.async((resume) => {
      const wake = () => resume(Effect.void)
      if (this.received > received || this.exit !== undefined) return wake()
      this.waiting.add(wake)
      return Effect.sync(() => this.waiting.delete(wake))
    })
  }
}
