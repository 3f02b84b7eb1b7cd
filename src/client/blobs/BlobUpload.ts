/**
 * Blobs to the registry: `putBlob` picks the cheapest form of upload that the registry takes, goes
 * on after faults from where the registry is, and commits nothing before the source has proved to
 * be what it declares. What follows on what is `UploadPlan`'s to say; here it is done.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../BlobSource.js"
import * as ByteStream from "../../ByteStream.js"
import * as Operation from "../../protocol/Operation.js"
import type { PutBlobOptions, Registry } from "../../Registry.js"
import {
  type BodyNotReplayable,
  type CommonError,
  type DigestMismatch,
  type InvalidDigest,
  type LimitExceeded,
  type NameUnknown,
  type RangeMismatch,
  type SizeMismatch,
  Unsupported,
  type UploadUnknown
} from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"
import type { Endpoint } from "../http/Endpoint.js"
import type { Send } from "../http/Pipeline.js"
import type { BlobHead } from "./BlobHead.js"
import * as Resume from "./Resume.js"
import * as Session from "./Session.js"
import * as SessionContent from "./SessionContent.js"
import * as SourceFailure from "./SourceFailure.js"
import * as UploadPlan from "./UploadPlan.js"

/** What a step can fail with, but for the failure of the source. */
type StepError =
  | NameUnknown
  | UploadUnknown
  | RangeMismatch
  | DigestMismatch
  | InvalidDigest
  | Unsupported
  | CommonError

/** What the source of an upload can fail with. */
type SourceError<E> = SourceFailure.SourceFailure<
  E | BodyNotReplayable | DigestMismatch | SizeMismatch | InvalidDigest | LimitExceeded
>

type State<E> = UploadPlan.State<StepError | SourceError<E>>

type Outcome<E> = UploadPlan.Outcome<StepError | SourceError<E>>

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
  const sessions = Session.make(to, send, head)
  let habits: UploadPlan.Habits = { refusedFrom: {}, sendsLength }

  /** None: mounted. Else the session that the registry opened in place of it (C59). */
  const mount = (
    repository: RepositoryName,
    digest: Digest.Digest,
    from: RepositoryName | undefined,
    adopted: Session.Adopted
  ) =>
    sessions.adopt(
      send(Operation.MountBlob({ repository, digest, from })),
      { repository, digest },
      adopted
    )

  const mountBlob: Registry.Service["mountBlob"] = (repository, digest, from) =>
    // Whatever was opened instead is cancelled (C62).
    sessions.adopting((adopted) =>
      mount(repository, digest, Option.getOrUndefined(from), adopted).pipe(
        Effect.map(Option.isNone),
        Effect.catchAll((error) =>
          error._tag === "Unsupported" || UploadPlan.isMountRefused(error)
            ? Effect.succeed(false)
            : Effect.fail(error)
        )
      )
    )

  /** One upload: performs the steps of its plan, and holds what they work on. */
  const uploading = <E, R>(
    repository: RepositoryName,
    source: SessionContent.Content<E, R>,
    mountFrom: RepositoryName | undefined,
    adopted: Session.Adopted
  ) => {
    const subject: Transfer.Subject = {
      direction: "upload",
      repository,
      digest: source.digest,
      size: source.size
    }
    const patience = Resume.make(to, subject)
    let content = source
    let found: Descriptor | undefined
    let session: Session.Session | undefined
    let sending: SessionContent.SessionContent<E, R> | undefined

    /** The digest that is sent to the registry, once it is known. */
    const digestOf = (): Digest.Digest =>
      content.digest ?? Option.getOrThrow(Option.fromNullable(sending?.digest()))

    const described = (): Descriptor =>
      found ?? {
        mediaType: MediaType.octetStream,
        digest: digestOf(),
        size: content.size ?? sending?.progress().seen ?? 0
      }

    const use = (opened: Session.Session) =>
      Effect.map(SessionContent.make(sessions, opened, content, subject), (made) => {
        session = opened
        sending = made
        return { kind: "opened", bounds: opened.bounds } as const
      })

    // -------------------------------------------------------------------------
    // Steps
    // -------------------------------------------------------------------------

    const mounting = Effect.gen(function* () {
      const instead = yield* mount(repository, digestOf(), mountFrom, adopted)
      return Option.isNone(instead) ? ({ kind: "stored" } as const) : yield* use(instead.value)
    })

    const finding = Effect.gen(function* () {
      const { size } = content
      const blob = Option.getOrUndefined(yield* head.find(repository, digestOf(), size))
      if (blob === undefined || (size !== undefined && blob.size !== size))
        return { kind: "absent" } as const
      found = blob
      return { kind: "present" } as const
    })

    const gathering = Effect.gen(function* () {
      const size = content.size ?? 0
      const bytes =
        content.bytes ??
        (yield* Effect.mapError(
          ByteStream.collect(ByteStream.verify(content.open(0), { size }), {
            what: "A small blob",
            limit: UploadPlan.small
          }),
          SourceFailure.of
        ))
      content = {
        ...content,
        digest: content.digest ?? Digest.fromBytes(bytes),
        open: BlobSource.fromBytes(bytes).open,
        bytes
      }
      return { kind: "measured", size } as const
    })

    const measuring = Effect.gen(function* () {
      const { digest, open, size } = content
      const verifier = yield* ByteStream.verifier({ digest, size, algorithm: "sha256" })
      yield* Effect.mapError(Stream.runDrain(verifier.pass(open(0))), SourceFailure.of)
      content = {
        ...content,
        digest: digest ?? Option.getOrThrow(verifier.digest()),
        size: verifier.seen()
      }
      return { kind: "measured", size: verifier.seen() } as const
    })

    /** A blob in one request. `verified`: whether all of it was sent, and is what it should be. */
    let verified = () => false
    const sendingWhole = (state: State<E>) =>
      Effect.gen(function* () {
        const digest = digestOf()
        const { bytes, open, size = 0 } = content
        const verifier = yield* ByteStream.verifier({ digest, size })
        verified = verifier.approved
        const request = (body: HttpBody.HttpBody) =>
          state.form === "single"
            ? posted(digest, size, body)
            : Effect.as(put(digest, size, body), { kind: "stored" } as const)
        if (bytes === undefined || !UploadPlan.isArray(state))
          return yield* SourceFailure.streaming(
            Transfer.track(verifier.pass(open(0)), subject),
            (body) => request(HttpBody.stream(body, MediaType.octetStream, size))
          )
        const problem = verifier.judge(bytes)
        return problem === undefined
          ? yield* request(HttpBody.uint8Array(bytes, MediaType.octetStream))
          : yield* Effect.fail(SourceFailure.of(problem))
      })

    const put = (digest: Digest.Digest, size: number, body: HttpBody.HttpBody) =>
      Effect.flatMap(send(Operation.PutBlob({ repository, digest, size }), body), (response) =>
        sessions.stored(response, digest)
      )

    /**
     * A registry that knows no single POST may open a session instead (C42), with the body thrown
     * away (trap 17).
     */
    const posted = Effect.fnUntraced(function* (
      digest: Digest.Digest,
      size: number,
      body: HttpBody.HttpBody
    ) {
      const instead = yield* sessions.adopt(
        send(Operation.UploadBlob({ repository, digest, size }), body),
        { repository, digest },
        adopted
      )
      if (Option.isNone(instead)) return { kind: "stored" } as const
      const opened = yield* use(instead.value)
      return { ...opened, error: new Unsupported({ operation: "uploading in a single POST" }) }
    })

    const opening = Effect.suspend(() =>
      Effect.flatMap(
        sessions.start(
          repository,
          content.digest === undefined ? undefined : Digest.algorithm(content.digest)
        ),
        use
      )
    )

    const looking = Effect.suspend(() =>
      Effect.map(
        sessions.present(repository, digestOf()),
        (present) => ({ kind: present ? "present" : "absent" }) as const
      )
    )

    /** The steps of the session that there is. */
    const ofSession = (
      state: State<E>,
      current: UploadPlan.Session
    ): Effect.Effect<Outcome<E>, StepError | SourceError<E>, R> => {
      if (session === undefined || sending === undefined)
        return Effect.dieMessage("There is no session")
      const at = session
      const { append, progress } = sending
      at.offset = current.offset
      if (state.phase === "closing")
        return Effect.as(sessions.complete(at, digestOf()), { kind: "stored" } as const)
      return state.phase === "appending"
        ? Effect.map(
            append(
              UploadPlan.pieceOf(state, current),
              UploadPlan.isArray(state) ? content.bytes : undefined
            ),
            (kind) => (kind === "stored" ? { kind } : { kind, progress: progress() })
          )
        : Effect.match(sessions.status(at), {
            onFailure: () => ({ kind: "silent" }) as const,
            onSuccess: () => ({ kind: "located", offset: at.offset }) as const
          })
    }

    const perform = (
      state: State<E>
    ): Effect.Effect<Outcome<E>, StepError | SourceError<E>, R | Scope.Scope> => {
      switch (state.phase) {
        case "mounting":
          return mounting
        case "finding":
          return finding
        case "gathering":
          return gathering
        case "measuring":
          return measuring
        case "sending":
          return sendingWhole(state)
        case "opening":
          return opening
        case "lookingForSent":
        case "lookingForAppended":
        case "lookingForClosed":
          return looking
        default:
          return state.session === undefined
            ? Effect.dieMessage("There is no session")
            : ofSession(state, state.session)
      }
    }

    // -------------------------------------------------------------------------
    // The course
    // -------------------------------------------------------------------------

    const progressIn = ({ phase, session }: State<E>): UploadPlan.Progress | undefined =>
      phase === "sending"
        ? { offset: 0, seen: 0, verified: verified() }
        : session && sending?.progress()

    const step = Effect.fnUntraced(function* (state: State<E>) {
      const { fault, resumesAt, waits } = state
      if (waits && fault !== undefined) {
        const waited = yield* Effect.either(patience(fault.error, fault.offset))
        if (Either.isLeft(waited)) return UploadPlan.next(state, { kind: "exhausted" })
      }
      if (resumesAt !== undefined)
        yield* Transfer.emit({ _tag: "Resumed", subject, offset: resumesAt })
      const outcome = yield* Effect.match(perform(state), {
        onFailure: (error): Outcome<E> => {
          const kind = UploadPlan.failureOf(state, error)
          return kind === "absent" ? { kind } : { kind, error, progress: progressIn(state) }
        },
        onSuccess: (outcome) => outcome
      })
      const after = UploadPlan.next(state, outcome)
      habits = UploadPlan.learned(habits, after.habits)
      if (after.phase === "done" && state.session !== undefined && session !== undefined)
        sessions.keep(session)
      return after
    })

    /** From the opening of a session to its end, whatever that is. */
    const inSession = Effect.fnUntraced(function* (state: State<E>) {
      let after = yield* step(state)
      while (after.session !== undefined && !UploadPlan.isOver(after)) after = yield* step(after)
      return after
    }, Effect.scoped)

    return Effect.fnUntraced(function* (first: State<E>) {
      yield* Transfer.emit({ _tag: "Started", subject })
      let state = first
      while (!UploadPlan.isOver(state))
        state = yield* state.phase === "opening" ? inSession(state) : step(state)
      if (state.phase === "failed")
        return yield* Effect.fail(
          state.fault?.error ?? new Unsupported({ operation: "any form of upload" })
        )
      const descriptor = described()
      const skipped = found !== undefined
      if (!skipped) yield* Transfer.emit({ _tag: "Verified", subject, digest: descriptor.digest })
      yield* Transfer.emit({ _tag: "Completed", subject, skipped })
      return descriptor
    })
  }

  const putBlob = <E, R>(
    repository: RepositoryName,
    source: BlobSource.BlobSource<E, R>,
    open: BlobSource.Open<E, R>,
    { chunkSize, mountFrom, strategy }: PutBlobOptions
  ) =>
    sessions.adopting((adopted) =>
      Effect.gen(function* () {
        const content = contentOf(source, open)
        const { bytes, digest, size } = content
        if (digest !== undefined) yield* Digest.hasherFor(digest)
        const state = UploadPlan.start<StepError | SourceError<E>>(
          {
            strategy: strategy ?? (chunkSize === undefined ? "auto" : "chunked"),
            chunkSize,
            content: {
              size,
              hasDigest: digest !== undefined,
              replayable: source.replay === "any",
              inMemory: bytes !== undefined
            },
            habits
          },
          digest === undefined ? undefined : mountFrom === undefined ? "finding" : "mounting"
        )
        return yield* uploading(repository, content, mountFrom, adopted)(state)
      }).pipe(Effect.scoped, SourceFailure.exposed)
    )

  return {
    putBlob: (repository, source, options = {}) =>
      to.concurrency.upload((reading) => {
        const open = BlobSource.openReusing(source.open)
        return putBlob(repository, source, (offset) => reading(open(offset)), options)
      }),
    mountBlob,
    startUpload: (repository, { algorithm } = {}) =>
      Effect.map(sessions.start(repository, algorithm), sessions.expose),
    resumeUpload: (state) => Effect.map(sessions.resume(state), sessions.expose)
  }
}

/** A source as it can be opened: one that can be read once fails the second time. */
const contentOf = <E, R>(
  { bytes, digest, replay, size }: BlobSource.BlobSource<E, R>,
  open: BlobSource.Open<E, R>
): SessionContent.Content<E, R> => {
  const known = { digest: Option.getOrUndefined(digest), size: Option.getOrUndefined(size) }
  if (replay === "any") return { ...known, open, bytes }
  const once = SourceFailure.readOnce(Stream.suspend(() => open(0)))
  return { ...known, open: () => once, bytes: undefined }
}
