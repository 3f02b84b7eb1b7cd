/** The requests of downloads, as their plan says, and what the responses are. */
import * as Effect from "effect/Effect"
import { exchangeOf } from "../../internal/ErrorMessage.js"
import * as ByteRange from "../../protocol/ByteRange.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import * as Operation from "../../protocol/Operation.js"
import {
  type Exchange,
  ProtocolViolation,
  RangeMismatch,
  Unsupported
} from "../../RegistryError.js"
import type * as Digest from "../../spec/Digest.js"
import type * as Transfer from "../../Transfer.js"
import type { Send } from "../http/Pipeline.js"
import * as Received from "../http/Received.js"
import * as DownloadPlan from "./DownloadPlan.js"

/** The transfer of a blob whose digest is known. */
export type Subject = Transfer.Subject & { readonly digest: Digest.Digest }

/** What is read: the blob from byte `start` on, `length` bytes if that is known. */
export interface Source {
  readonly response: Received.Received
  readonly start: number
  readonly length: number | undefined
}

/** A download of a whole blob, and what the last response said. */
export interface Download extends DownloadPlan.BlobState {
  at: number
  size: number | undefined
  ranges: boolean
  exchange: Exchange
  coding: string
}

const requested = (
  send: Send,
  { digest, repository }: Subject,
  range: ByteRange.RangeRequest | undefined
) => send(Operation.GetBlob({ repository, digest, range }))

const factsOf = (response: Received.Received): DownloadPlan.Facts => ({
  status: response.status,
  contentRange: SingleField.required(response.headers, "content-range"),
  length: Received.lengthOf(response)
})

/** The identity of the blob that a response says. */
export const identityOf = (response: Received.Received): DownloadPlan.Identity =>
  DownloadPlan.identityOf(factsOf(response), response.headers)

type BlobError = Exclude<Effect.Effect.Error<ReturnType<typeof requested>>, RangeMismatch>

/** What a download of a whole blob reads next, as its plan says; nothing when all is there. */
export const nextOfBlob = (
  send: Send,
  subject: Subject,
  download: Download
): Effect.Effect<Source | undefined, BlobError | ProtocolViolation> =>
  Effect.suspend(() => {
    const asked = DownloadPlan.requestOfBlob(download)
    if (asked._tag === "Nothing") return Effect.succeed(undefined)
    const unusable = (
      meaning: DownloadPlan.Unusable,
      exchange: Exchange
    ): ReturnType<typeof nextOfBlob> => {
      if (meaning._tag === "Violation") return Effect.fail(violation(exchange, meaning.problem))
      download.ranges = false
      return nextOfBlob(send, subject, download)
    }
    const range = asked._tag === "Part" ? asked.range : undefined
    return Effect.matchEffect(requested(send, subject, range), {
      onFailure: (error) =>
        error._tag === "RangeMismatch"
          ? unusable(DownloadPlan.refusalOfBlob(asked), error)
          : Effect.fail(error),
      onSuccess: (response) => {
        const meaning = DownloadPlan.responseOfBlob(download, asked, factsOf(response))
        const exchange = Received.exchangeOf(response)
        if (meaning._tag !== "Content")
          return Effect.zipRight(Received.abandon(response), unusable(meaning, exchange))
        const { length, start } = meaning
        if (range === undefined) download.size ??= length
        download.exchange = exchange
        const coding = response.headers["content-encoding"]
        download.coding = coding === undefined ? "" : Received.textOf(response, coding, 64)
        return Effect.succeed({ response, start, length })
      }
    })
  })

/** What a download of a range reads next, as its plan says; nothing when all is there. */
export const nextOfRange = (send: Send, subject: Subject, progress: DownloadPlan.RangeState) =>
  Effect.gen(function* () {
    const asked = DownloadPlan.requestOfRange(progress)
    if (asked._tag === "Nothing") return undefined
    const response = yield* requested(send, subject, asked.range)
    const meaning = DownloadPlan.responseOfRange(progress, factsOf(response))
    if (meaning._tag === "Content") return { ...meaning, response }
    yield* Received.abandon(response)
    const exchange = Received.exchangeOf(response)
    switch (meaning._tag) {
      case "NoRanges":
        return yield* new Unsupported({ ...exchange, operation: "ranges of blobs" })
      case "OtherRange":
        return yield* new RangeMismatch({
          ...exchange,
          expected: ByteRange.formatRequest(asked.range),
          actual: Received.textOf(response, response.headers["content-range"] ?? "")
        })
      case "Violation":
        return yield* violation(exchange, meaning.problem)
    }
  })

/** The error of a response that makes no sense. */
export const violation = (facts: Exchange, problem: string) =>
  new ProtocolViolation({ ...exchangeOf(facts), problem })
