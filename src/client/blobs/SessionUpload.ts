/**
 * One blob through one upload session: as a stream or in chunks, and after each fault on from where
 * the registry says it is (C52).
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as ScopedRef from "effect/ScopedRef"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import type { UploadStrategy } from "../../Registry.js"
import { type BodyNotReplayable, isTransient } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import type * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"
import type { Again } from "./Resume.js"
import * as Session from "./Session.js"
import * as SourceFailure from "./SourceFailure.js"

/** In bytes: a chunk that the registry demands is gathered in memory up to here (T6). */
const maxGathered = 128 * 1024 * 1024

/** A form of upload by name. */
export type Form = Exclude<UploadStrategy, "auto">

/**
 * One blob on its way to a repository: what is known of it, in bytes and by digest, how to `open`
 * its source from a byte on, and its `bytes` where they are in memory. One that is `replayable` can
 * be opened at any byte, as often as need be. `sendsLength`: whether a stream goes with its length.
 */
export interface Job<out E, out R> {
  readonly repository: RepositoryName
  readonly digest: Digest.Digest | undefined
  readonly size: number | undefined
  readonly open: (offset: number) => Stream.Stream<Uint8Array, E | BodyNotReplayable, R>
  readonly bytes: Uint8Array | undefined
  readonly replayable: boolean
  readonly subject: Transfer.Subject
  readonly chunkSize: number | undefined
  readonly sendsLength: boolean
  readonly again: Again
}

/** Up to here, in bytes, what is in memory is sent from there; beyond it, progress matters more. */
const inMemory = 8 * 1024 * 1024

/** The content as the array that it is sent as, if it is: as a stream it may lack its length. */
export const arrayOf = ({ bytes, sendsLength }: Job<unknown, unknown>): Uint8Array | undefined =>
  bytes !== undefined && (!sendsLength || bytes.length <= inMemory) ? bytes : undefined

/** The registry does not take this form of upload. `session`: what it opened in place of it. */
export class Refused<out E> {
  readonly _tag = "Refused"
  constructor(
    readonly error: E,
    readonly session?: Session.Session
  ) {}
}

/** The session cannot be continued: all is to be done again. */
export class Lost<out E> {
  readonly _tag = "Lost"
  constructor(readonly error: E) {}
}

/**
 * Statuses by which registries and the proxies before them refuse a kind of body, not a blob: 413
 * is Cloudflare's and nginx's.
 */
const refusals = new Set([405, 411, 413, 415, 501])

/** Whether a failure means that another form may do. */
export const isRefusal = (error: Failure): boolean =>
  error._tag === "Unsupported" ||
  (error._tag === "RegistryFailure" && error.status !== undefined && refusals.has(error.status))

/** The transfer of blobs over the sessions of one registry. */
export const make =
  (sessions: ReturnType<typeof Session.make>) =>
  <E, R>(form: "put" | "patch" | "chunked", job: Job<E, R>, session: Session.Session) =>
    Effect.gen(function* () {
      const { again, digest, size, subject } = job
      const verifier = yield* ByteStream.verifier({ digest, size, algorithm: "sha256" })
      const read = (offset: number) =>
        Transfer.track(verifier.pass(job.open(offset), offset), subject, offset)
      let faulted = false
      /**
       * Up to where chunks were taken: a registry that names an earlier byte cannot be asked (ECR,
       * quirks §3).
       */
      let acknowledged = 0

      /**
       * After a fault: where the registry is, between `from` and `to`, or `Lost`. Where it refuses
       * the very byte that it named, it counts bytes where others name the last one, or has one
       * byte where it seems to have none (trap 2, trap 3); if it named none before, it refuses the
       * form.
       */
      const locate = <F extends Fault>(fault: F, from: number, to: () => number) =>
        Effect.gen(function* () {
          const asked = session.offset
          const refused = isOutOfOrder(fault)
          if (!refused) yield* again(fault, asked)
          const offset = yield* Effect.match(sessions.status(session), {
            onFailure: () => undefined,
            onSuccess: () => (session.offset === to() + 1 ? to() : session.offset)
          })
          if (refused && offset === asked && !faulted) return yield* Effect.fail(new Refused(fault))
          if (refused) yield* again(fault, asked)
          session.offset =
            offset === undefined ? -1 : refused && offset === asked ? Math.abs(asked - 1) : offset
          faulted = true
          if (session.offset < from || session.offset > to())
            return yield* Effect.fail(new Lost(fault))
          yield* Transfer.emit({ _tag: "Resumed", subject, offset: session.offset })
        })

      const lost = <F extends Fault>(fault: F) =>
        Effect.zipRight(again(fault, session.offset), Effect.fail(new Lost(fault)))

      /**
       * A page instead of an answer is what some have for a method that they do not know, and
       * others for a session that is gone.
       */
      const refused = <F extends Fault>(fault: F) =>
        fault.status === 404
          ? Effect.matchEffect(sessions.status(session), {
              onFailure: () => lost(fault),
              onSuccess: () => Effect.fail(new Refused(fault))
            })
          : Effect.fail(new Refused(fault))

      const chunk = (bytes: Uint8Array) =>
        Effect.gen(function* () {
          const start = session.offset
          const end = start + bytes.length
          while (session.offset < end) {
            const sent = yield* Effect.either(
              sessions.write(session, bytes.subarray(session.offset - start))
            )
            if (Either.isRight(sent)) continue
            const fault = sent.left
            if (isRefusal(fault)) return yield* refused(fault)
            if (!isFault(fault)) return yield* Effect.fail(fault)
            if (fault._tag === "UploadUnknown") return yield* lost(fault)
            yield* locate(fault, start, () => end)
          }
        })

      const chunkSize = Session.chunkSizeOf(session, job.chunkSize)

      /**
       * Each chunk as the stream that it is in the source, where that can be opened again where a
       * chunk was cut off.
       */
      const streamedChunks = (size: number) =>
        Effect.gen(function* () {
          const take = yield* portions(read, session.offset)
          while (session.offset < size) {
            const end = Math.min(session.offset + chunkSize, size)
            yield* sessions.pour(session, take(session.offset, end - session.offset), end)
            acknowledged = session.offset
          }
        }).pipe(Effect.scoped)

      /** Each chunk in memory, to be sent again from there. */
      const gatheredChunks = Effect.suspend(() =>
        Stream.runForEach(
          Stream.mapError(ByteStream.rechunk(read(session.offset), chunkSize), SourceFailure.of),
          chunk
        )
      )

      const inChunks = Effect.gen(function* () {
        if (job.replayable && job.sendsLength && size !== undefined && session.offset < size)
          yield* streamedChunks(size)
        // The last chunk may be of any length, and one that is all there is is the last.
        else if ((session.bounds.chunkMinLength ?? 0) > maxGathered)
          yield* sessions.pour(session, read(session.offset), size)
        else yield* gatheredChunks
      })

      /**
       * What is missing, by the form: of a stream that was cut off, as much as can go under its
       * range, else in chunks.
       */
      const rest = Effect.gen(function* () {
        const { bounds, offset } = session
        const { chunkMaxLength, chunkMinLength } = bounds
        const bounded =
          size === undefined
            ? (chunkMinLength ?? chunkMaxLength) !== undefined
            : size - offset > (chunkMaxLength ?? size)
        const again = faulted || offset > 0
        const array = arrayOf(job)
        const inArrays = form === "patch" && array !== undefined && !job.sendsLength
        if (
          size === offset ||
          form === "chunked" ||
          bounded ||
          inArrays ||
          (size === undefined && again)
        ) {
          yield* inChunks
        } else if (form === "put" && offset === 0 && digest !== undefined && size !== undefined) {
          // A session that seems empty may hold a byte (trap 3): then this is refused instead of
          // added to it.
          const range = again ? { start: 0, end: size - 1 } : undefined
          if (array === undefined) {
            yield* SourceFailure.streaming(read(0), (body) =>
              sessions.complete(
                session,
                digest,
                HttpBody.stream(body, MediaType.octetStream, size),
                range
              )
            )
          } else {
            const problem = verifier.approved() ? undefined : verifier.judge(array)
            if (problem !== undefined) return yield* Effect.fail(SourceFailure.of(problem))
            yield* sessions.complete(
              session,
              digest,
              HttpBody.uint8Array(array, MediaType.octetStream),
              range
            )
          }
        } else yield* sessions.pour(session, read(offset), size)
      })

      while (!(verifier.approved() && session.offset === verifier.seen()) && !session.settled) {
        const sent = yield* Effect.either(rest)
        if (Either.isRight(sent)) continue
        const fault = sent.left
        if (fault._tag === "Refused" || fault._tag === "Lost" || fault._tag === "SourceFailure")
          return yield* Effect.fail(fault)
        if (isRefusal(fault)) return yield* refused(fault)
        if (!isFault(fault)) return yield* Effect.fail(fault)
        // The answer may be all that is missing.
        if (
          digest !== undefined &&
          verifier.approved() &&
          (yield* sessions.present(session.repository, digest))
        ) {
          session.settled = true
          break
        }
        if (fault._tag === "UploadUnknown") return yield* lost(fault)
        yield* locate(fault, acknowledged, verifier.seen)
      }
      const computed = digest ?? Option.getOrThrow(verifier.digest())
      if (!session.settled) {
        yield* sessions.close(session, computed).pipe(
          Effect.catchTags({
            UploadUnknown: (error) => lost(error),
            // Some cannot close without content (ECR, quirks §3).
            RegistryFailure: (error) =>
              Effect.fail(
                form !== "put" && job.replayable && error.status === 500
                  ? new Refused(error)
                  : error
              )
          })
        )
      }
      return {
        mediaType: MediaType.octetStream,
        digest: computed,
        size: verifier.seen()
      } satisfies Descriptor
    })

/**
 * Parts of a source that is read once, from byte `first` on, as streams. One has to end before the
 * next begins. A part that is sent again, after a challenge or elsewhere, is not what comes next:
 * the source is opened anew where it starts.
 */
const portions = <E, R>(open: (offset: number) => Stream.Stream<Uint8Array, E, R>, first: number) =>
  Effect.gen(function* () {
    const opened = (at: number) =>
      Effect.map(Stream.toPull(open(at)), (pull) => ({ pull, at, rest: Chunk.empty<Uint8Array>() }))
    const current = yield* ScopedRef.fromAcquire(opened(first))
    const take = (start: number, count: number): Stream.Stream<Uint8Array, E, R> =>
      ByteStream.unwrap(
        Effect.gen(function* () {
          if ((yield* ScopedRef.get(current)).at !== start)
            yield* ScopedRef.set(current, opened(start))
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
    return take
  })

/** What may be temporary, or means that the registry is elsewhere than we thought. */
const isFault = <E extends Failure>(error: E): error is E & Fault =>
  isOutOfOrder(error) || error._tag === "UploadUnknown" || isTransient(error)

/** 416 is no range of its own to a closing PUT, but means the same (R20, trap 13). */
const isOutOfOrder = (error: Failure): boolean =>
  error._tag === "RangeMismatch" || (error._tag === "RegistryFailure" && error.status === 416)

interface Failure {
  readonly _tag: string
  readonly status?: number | undefined
}

interface Fault extends Failure {
  readonly message: string
}
