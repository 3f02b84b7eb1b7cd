/**
 * The content of blobs as it arrives, over as many responses as it takes, and over several
 * connections where they are wanted.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as PullStream from "../../internal/PullStream.js"
import { watched } from "../../internal/WatchedStream.js"
import { isTransient, TransportFailure } from "../../RegistryError.js"
import * as Transfer from "../../Transfer.js"
import type { DownloadPermit } from "../http/Concurrency.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Send } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import { identityOf, nextOfRange, type Source, type Subject } from "./BlobRequests.js"
import * as DownloadPlan from "./DownloadPlan.js"
import * as ParallelDownload from "./ParallelDownload.js"
import * as ParallelPlan from "./ParallelPlan.js"
import * as Resume from "./Resume.js"

/** How many bytes are read ahead of the consumer. */
const ahead = 1024 * 1024

/**
 * What is read from where, and whether whoever reads it borrows the arrays. `left` and `onWait` are
 * those of `ParallelDownload`.
 */
export interface Reading {
  readonly to: Endpoint
  readonly send: Send
  readonly subject: Subject
  readonly borrowed: boolean
  readonly left?: () => number
  readonly onWait?: () => void
}

/**
 * The content that begins with a response, or nothing where there is none: over several connections
 * where they are wanted and it is large, but for encoded content, whose ranges are others.
 */
export const transferred = <E>(
  reading: Reading,
  permit: DownloadPermit,
  progress: { at: number },
  next: Effect.Effect<Source | undefined, E>,
  source: Source | undefined
): Stream.Stream<Uint8Array, E | TransportFailure> => {
  if (source === undefined) return PullStream.empty
  const { connections } = reading.to
  const end = source.start + (Received.lengthOf(source.response) ?? 0)
  if (connections === 1) return received(reading, progress, next, source)
  return PullStream.unwrap(
    Effect.map(ParallelPlan.Tuning, (tuning) => {
      if (!ParallelPlan.isLarge(end - progress.at, tuning))
        return received(reading, progress, next, source)
      const said = identityOf(source.response)
      const identity = { ...said, digest: said.digest ?? reading.subject.digest }
      let begun: Source | undefined = source
      return ParallelDownload.stream({
        tuning,
        connections,
        progress,
        end,
        ordinary: (bounds) => {
          const first = begun
          begun = undefined
          return received({ ...reading, ...bounds }, progress, next, first)
        },
        segment: ({ end, start }, begins) => {
          const progress = { at: start, end: end - 1 }
          return received(
            reading,
            progress,
            Effect.tap(nextOfRange(reading.send, reading.subject, progress), (source) =>
              source === undefined ||
              (DownloadPlan.isSame(identity, identityOf(source.response)) && begins())
                ? Effect.void
                : Effect.zipRight(Received.abandon(source.response), Effect.fail(new Unwanted()))
            )
          )
        },
        isTransient,
        permit: permit.another
      })
    })
  )
}

/** The response to a segment that is not of the same blob, or comes too late. */
class Unwanted {
  readonly _tag = "Unwanted"
}

/**
 * Bytes as they arrive, over as many responses as it takes: after a fault from the byte that comes
 * next. What a response repeats of the bytes delivered is dropped, so that none is delivered twice
 * (C28, trap 77). `begun` is what the first request brought, where it was made already.
 */
export const received = <E>(
  reading: Reading,
  progress: { at: number },
  next: Effect.Effect<Source | undefined, E>,
  begun?: Source
): Stream.Stream<Uint8Array, E | TransportFailure> =>
  PullStream.suspend(() => {
    const { left, subject, to } = reading
    const again = Resume.make(to, subject)
    const first = progress.at
    const attempt = (): Stream.Stream<Uint8Array, E | TransportFailure> =>
      PullStream.unwrap(
        Effect.map(next, (source) => (source === undefined ? PullStream.empty : body(source)))
      )
    const body = (source: Source) =>
      arriving(reading, source).pipe(
        ByteStream.drop(progress.at - source.start),
        (content) => (left === undefined ? content : PullStream.endAfter(content, left)),
        ByteStream.tap((bytes) => {
          progress.at += bytes.length
        }),
        (content) =>
          PullStream.catchAll(content, (fault) =>
            isTransient(fault) ? resume(fault) : PullStream.fail(fault)
          )
      )
    const resume = (fault: TransportFailure) =>
      PullStream.unwrap(
        again(fault, progress.at - first).pipe(
          Effect.zipRight(Transfer.emit({ _tag: "Resumed", subject, offset: progress.at })),
          Effect.map(attempt)
        )
      )
    return begun === undefined ? attempt() : body(begun)
  })

/** The body as it arrives, watched. */
const arriving = (
  { borrowed, onWait, to }: Reading,
  { length, response }: Source
): Stream.Stream<Uint8Array, TransportFailure> => {
  const body = Received.stream(response)
  return watched(borrowed ? BorrowedStream.of(body) : body, {
    ahead,
    length,
    stall: to.timeouts.response,
    onWait,
    onFault: (reason) =>
      new TransportFailure({
        ...Received.exchangeOf(response),
        reason,
        ...(reason === "Stall" && {
          timeout: Duration.toMillis(to.timeouts.response),
          option: "timeouts.response"
        })
      })
  })
}
