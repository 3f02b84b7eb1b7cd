/**
 * Blobs to the registry: `putBlob` picks the cheapest form of upload that the registry takes, goes
 * on after faults from where the registry is, and commits nothing before the source has proved to
 * be what it declares. What follows on what `UploadPlan` says, and `Upload` does.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as BlobSource from "../../BlobSource.js"
import * as PullStream from "../../internal/PullStream.js"
import * as ReadInto from "../../internal/ReadInto.js"
import * as Operation from "../../protocol/Operation.js"
import type { PutBlobOptions, Registry, ResumableUpload } from "../../Registry.js"
import * as Digest from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import type * as Transfer from "../../Transfer.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Send } from "../http/Pipeline.js"
import type { BlobHead } from "./BlobHead.js"
import * as LeftSession from "./LeftSession.js"
import * as Resume from "./Resume.js"
import * as Session from "./Session.js"
import type * as SessionContent from "./SessionContent.js"
import * as SourceFailure from "./SourceFailure.js"
import { Upload, type UploadError, type Uploads } from "./Upload.js"
import { isMountRefused } from "./UploadFailure.js"
import { small } from "./UploadForms.js"
import * as UploadPlan from "./UploadPlan.js"

/**
 * The operations that bring blobs to one registry. What it refuses is remembered for the uploads
 * that follow. `sendsLength`: whether the HTTP client says how long a stream is.
 */
export const make = (
  to: Endpoint,
  send: Send,
  head: BlobHead,
  sendsLength: boolean
): Pick<Registry.Service, "putBlob" | "startUpload" | "resumeUpload" | "mountBlob"> => {
  let habits: UploadPlan.Habits = { refusedFrom: {}, sendsLength }
  const uploads: Uploads = {
    to,
    send,
    head,
    chunked: { uploads: 0 },
    learn: (seen) => {
      habits = UploadPlan.learned(habits, seen)
    }
  }

  const putBlob = <E, R>(
    repository: RepositoryName,
    source: BlobSource.BlobSource<E, R>,
    open: BlobSource.Open<E, R>,
    { chunkSize, ifPresent, mediaType, mountFrom, resumable, strategy }: PutBlobOptions
  ) =>
    Session.adopting(uploads, (adopted) =>
      Effect.gen(function* () {
        const content = contentOf(source, open)
        const { bytes, digest, size } = content
        if (digest !== undefined) yield* Digest.hasherFor(digest)
        const subject: Transfer.Subject = { direction: "upload", repository, digest, size }
        const left = leftOf(uploads, source, resumable)
        const first = UploadPlan.start<UploadError<E>>(
          {
            strategy: strategy ?? (chunkSize === undefined ? "auto" : "chunked"),
            chunkSize,
            isKept: left !== undefined,
            hasLeft: left?.resumed !== undefined,
            content: {
              size,
              hasDigest: digest !== undefined,
              replayable: source.replay === "any",
              inMemory: bytes !== undefined
            },
            habits
          },
          digest === undefined || ifPresent === "upload" ? undefined : firstOf(mountFrom)
        )
        const descriptor = yield* new Upload(
          uploads,
          { repository, mountFrom, left, adopted, again: Resume.make(to, subject), subject },
          content
        ).run(first)
        return mediaType === undefined ? descriptor : { ...descriptor, mediaType }
      }).pipe(Effect.scoped, SourceFailure.exposed)
    )

  const expose = (session: Session.Session) => Session.expose(uploads, session)

  return {
    putBlob: (repository, source, options = {}) =>
      to.concurrency.upload((reading) => {
        // A client of the application's may keep what it sees.
        const open =
          to.transformClient === undefined ? BlobSource.openReusing(source.open) : source.open
        return putBlob(repository, source, (offset) => reading(open(offset)), options)
      }),
    mountBlob: mounting(uploads),
    startUpload: (repository, { algorithm } = {}) =>
      Effect.map(Session.start(uploads, repository, algorithm), expose),
    resumeUpload: (state) => Effect.map(Session.resume(uploads, state), expose)
  }
}

/** What mounts blobs. */
const mounting =
  (uploads: Uploads): Registry.Service["mountBlob"] =>
  (repository, digest, from) =>
    // Whatever was opened instead is cancelled (C62).
    Session.adopting(uploads, (adopted) =>
      Session.adopt(
        uploads,
        uploads.send(Operation.MountBlob({ repository, digest, from })),
        { repository, digest },
        adopted
      ).pipe(
        Effect.map(Option.isNone),
        Effect.catchAll((error) =>
          error._tag === "Unsupported" || isMountRefused(error)
            ? Effect.succeed(false)
            : Effect.fail(error)
        )
      )
    )

/** What is left of an upload, or was before, is worth something where it can be read again. */
const leftOf = (
  uploads: Uploads,
  { replay, size = 0 }: BlobSource.BlobSource<unknown, unknown>,
  resumable: ResumableUpload | undefined
) =>
  resumable === undefined || replay === "once" || size <= small
    ? undefined
    : LeftSession.make(uploads, resumable)

const firstOf = (mountFrom: RepositoryName | undefined) =>
  mountFrom === undefined ? "finding" : "mounting"

/** A source as it can be opened: one that can be read once fails the second time. */
const contentOf = <E, R>(
  source: BlobSource.BlobSource<E, R>,
  open: BlobSource.Open<E, R>
): SessionContent.Content<E, R> => {
  const { bytes, digest, size } = source
  if (source.replay === "any")
    return { digest, size, open, reader: ReadInto.readerOf(source.open), bytes }
  const once = SourceFailure.readOnce(PullStream.suspend(() => open(0)))
  return { digest, size, open: () => once, reader: undefined, bytes: undefined }
}
