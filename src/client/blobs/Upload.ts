/** One blob on its way to a registry: performs the steps of its `UploadPlan`. */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../BlobSource.js"
import * as ByteStream from "../../ByteStream.js"
import * as Operation from "../../protocol/Operation.js"
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
import type * as LeftSession from "./LeftSession.js"
import type { Again } from "./Resume.js"
import * as Session from "./Session.js"
import * as SessionContent from "./SessionContent.js"
import * as SessionSteps from "./SessionSteps.js"
import * as SourceFailure from "./SourceFailure.js"
import { failureOf } from "./UploadFailure.js"
import { small } from "./UploadForms.js"
import { isArray, pieceOf } from "./UploadPiece.js"
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

/** What the source can fail with. */
type SourceError<E> = SourceFailure.SourceFailure<
  E | BodyNotReplayable | DigestMismatch | SizeMismatch | InvalidDigest | LimitExceeded
>

/** What an upload can fail with. */
export type UploadError<E> = StepError | SourceError<E>

type State<E> = UploadPlan.State<UploadError<E>>

type Outcome<E> = UploadPlan.Outcome<UploadError<E>>

type Step<E, R> = Effect.Effect<Outcome<E>, UploadError<E>, R>

/** What all uploads to one registry share. `learn` is told what is known of the registry now. */
export interface Uploads extends Session.Remote {
  readonly learn: (habits: UploadPlan.Habits) => void
}

/**
 * Where to and how: `again` waits between attempts, `adopted` cancels what is opened for others,
 * and `left` remembers a session for another upload.
 */
export interface Target {
  readonly repository: RepositoryName
  readonly mountFrom: RepositoryName | undefined
  readonly left: LeftSession.LeftSession | undefined
  readonly adopted: Session.Adopted
  readonly again: Again
  readonly subject: Transfer.Subject
}

const stored = { kind: "stored" } as const

/** An upload under way: what its steps work on. */
export class Upload<E, R> {
  private found: Descriptor | undefined
  private session: Session.Session | undefined
  private sending: SessionContent.SessionContent<E, R> | undefined
  /** Whether a whole blob was sent to its end, and is what it should be. */
  private isSent = () => false

  constructor(
    private readonly uploads: Uploads,
    private readonly target: Target,
    private content: SessionContent.Content<E, R>
  ) {}

  /** Performs step after step, until the blob is there or the upload has failed. */
  run(first: State<E>): Effect.Effect<Descriptor, UploadError<E>, R | Scope.Scope> {
    const { left, subject } = this.target
    return Effect.gen(this, function* () {
      yield* Transfer.emit({ _tag: "Started", subject })
      let state = first
      while (!UploadPlan.isOver(state))
        state = yield* state.phase === "opening" || state.phase === "resuming"
          ? this.inSession(state)
          : this.step(state)
      if (state.phase === "failed") {
        if (!UploadPlan.isUnfinished(state)) yield* left?.failed ?? Effect.void
        return yield* Effect.fail(
          state.fault?.error ?? new Unsupported({ operation: "any form of upload" })
        )
      }
      yield* left?.done ?? Effect.void
      const descriptor = this.descriptor()
      const skipped = this.found !== undefined
      if (!skipped) yield* Transfer.emit({ _tag: "Verified", subject, digest: descriptor.digest })
      yield* Transfer.emit({ _tag: "Completed", subject, skipped })
      return descriptor
    })
  }

  /** From the opening of a session to its end, whatever that is. */
  private inSession(state: State<E>): Effect.Effect<State<E>, never, R> {
    return Effect.scoped(
      Effect.gen(this, function* () {
        let after = yield* this.step(state)
        while (after.session !== undefined && !UploadPlan.isOver(after))
          after = yield* this.step(after)
        return after
      }).pipe(Effect.onExit((exit) => this.leave(exit)))
    )
  }

  /** Leaves the session open for another upload if this one ends here and that may help. */
  private leave(exit: Exit.Exit<State<E>>): Effect.Effect<void> {
    const { sending, session, target } = this
    if (target.left === undefined || session === undefined || sending === undefined)
      return Effect.void
    const isOver = Exit.isFailure(exit) || UploadPlan.isUnfinished(exit.value)
    return isOver ? target.left.leave(session, sending.verifier) : Effect.void
  }

  private step(state: State<E>): Effect.Effect<State<E>, never, R | Scope.Scope> {
    const { again, subject } = this.target
    return Effect.gen(this, function* () {
      const { fault, resumesAt, waits } = state
      if (waits && fault !== undefined) {
        const waited = yield* Effect.either(again(fault.error, fault.offset))
        if (Either.isLeft(waited)) return UploadPlan.next(state, { kind: "exhausted" })
      }
      if (resumesAt !== undefined)
        yield* Transfer.emit({ _tag: "Resumed", subject, offset: resumesAt })
      const outcome = yield* Effect.match(this.perform(state), {
        onFailure: (error): Outcome<E> => {
          const kind = failureOf(state, error)
          return kind === "absent" ? { kind } : { kind, error, progress: this.progressIn(state) }
        },
        onSuccess: (outcome) => outcome
      })
      const after = UploadPlan.next(state, outcome)
      this.uploads.learn(after.habits)
      return after
    })
  }

  private perform(state: State<E>): Step<E, R | Scope.Scope> {
    switch (state.phase) {
      case "mounting":
        return this.mount()
      case "finding":
        return this.find()
      case "gathering":
        return this.gather()
      case "measuring":
        return this.measure()
      case "sending":
        return this.sendWhole(state)
      case "resuming":
        return this.resume()
      case "opening":
        return this.open()
      case "lookingForSent":
      case "lookingForAppended":
      case "lookingForForgotten":
      case "lookingForClosed":
        return this.look()
      default:
        return this.useSession(state)
    }
  }

  private progressIn({ phase, session }: State<E>): UploadPlan.Progress | undefined {
    return phase === "sending"
      ? { offset: 0, seen: 0, verified: this.isSent() }
      : session && this.sending?.progress()
  }

  /** The digest that is sent to the registry, once it is known. */
  private digest(): Digest.Digest {
    return this.content.digest ?? Option.getOrThrow(Option.fromNullable(this.sending?.digest()))
  }

  private descriptor(): Descriptor {
    return (
      this.found ?? {
        mediaType: MediaType.octetStream,
        digest: this.digest(),
        size: this.content.size ?? this.sending?.progress().seen ?? 0
      }
    )
  }

  // ---------------------------------------------------------------------------
  // Blobs that need no upload
  // ---------------------------------------------------------------------------

  private mount(): Step<E, R | Scope.Scope> {
    const { adopted, mountFrom, repository } = this.target
    const digest = this.digest()
    return Effect.flatMap(
      Session.adopt(
        this.uploads,
        this.uploads.send(Operation.MountBlob({ repository, digest, from: mountFrom })),
        { repository, digest },
        adopted
      ),
      (instead): Step<E, R | Scope.Scope> =>
        Option.isNone(instead) ? Effect.succeed(stored) : this.begin(instead.value.session)
    )
  }

  private find(): Step<E, R> {
    const { size } = this.content
    return Effect.map(
      this.uploads.head.find(this.target.repository, this.digest(), size),
      (found) => {
        const blob = Option.getOrUndefined(found)
        if (blob === undefined || (size !== undefined && blob.size !== size))
          return { kind: "absent" }
        this.found = blob
        return { kind: "present" }
      }
    )
  }

  /** Whether the registry has the blob after all. */
  private look(): Step<E, R> {
    const { session, target, uploads } = this
    const digest = this.digest()
    return Effect.map(
      session === undefined
        ? Session.present(uploads, target.repository, digest)
        : Session.arrived(uploads, session, digest),
      (present) => ({ kind: present ? "present" : "absent" })
    )
  }

  // ---------------------------------------------------------------------------
  // The source
  // ---------------------------------------------------------------------------

  private gather(): Step<E, R> {
    const { bytes, digest, open, size = 0 } = this.content
    const limit = { what: "A small blob", limit: small }
    const gathered =
      bytes === undefined
        ? Effect.mapError(
            ByteStream.collect(ByteStream.verify(open(0), { digest, size }), limit),
            SourceFailure.of
          )
        : Effect.succeed(bytes)
    return Effect.map(gathered, (bytes) => {
      const known = BlobSource.fromBytes(bytes)
      this.content = {
        size,
        digest: digest ?? known.digest,
        open: known.open,
        reader: undefined,
        bytes
      }
      return { kind: "measured", size }
    })
  }

  private measure(): Step<E, R> {
    const { digest, open, size } = this.content
    return Effect.gen(this, function* () {
      const verifier = yield* ByteStream.verifier({ digest, size, algorithm: "sha256" })
      yield* Effect.mapError(Stream.runDrain(verifier.verify(open(0))), SourceFailure.of)
      this.content = {
        ...this.content,
        digest: digest ?? Option.getOrThrow(verifier.digest()),
        size: verifier.size()
      }
      return { kind: "measured", size: verifier.size() } as const
    })
  }

  // ---------------------------------------------------------------------------
  // The whole in one request
  // ---------------------------------------------------------------------------

  private sendWhole(state: State<E>): Step<E, R | Scope.Scope> {
    const { bytes, open, size = 0 } = this.content
    const digest = this.digest()
    const request = (body: HttpBody.HttpBody) =>
      state.form === "single" ? this.post(digest, size, body) : this.put(digest, size, body)
    return Effect.gen(this, function* () {
      const verifier = yield* ByteStream.verifier({ digest, size })
      this.isSent = verifier.isVerified
      if (bytes === undefined || !isArray(state))
        return yield* SourceFailure.streaming(
          Transfer.track(verifier.verify(open(0)), this.target.subject),
          (body) => request(HttpBody.stream(body, MediaType.octetStream, size))
        )
      const problem = verifier.finish(bytes)
      return problem === undefined
        ? yield* request(HttpBody.uint8Array(bytes, MediaType.octetStream))
        : yield* Effect.fail(SourceFailure.of(problem))
    })
  }

  /**
   * A registry that knows no single POST may open a session instead (C42), with the body thrown
   * away (trap 17).
   */
  private post(digest: Digest.Digest, size: number, body: HttpBody.HttpBody) {
    const { adopted, repository } = this.target
    return Effect.gen(this, function* () {
      const instead = yield* Session.adopt(
        this.uploads,
        this.uploads.send(Operation.UploadBlob({ repository, digest, size }), body),
        { repository, digest },
        adopted
      )
      if (Option.isNone(instead)) return stored
      const { exchange, session } = instead.value
      const opened = yield* this.begin(session)
      const operation = "uploading in a single POST"
      return { ...opened, error: new Unsupported({ ...exchange, operation }) }
    })
  }

  private put(digest: Digest.Digest, size: number, body: HttpBody.HttpBody) {
    const { repository } = this.target
    return Effect.flatMap(
      this.uploads.send(Operation.PutBlob({ repository, digest, size }), body),
      (response) => Effect.as(SessionSteps.stored(response, digest), stored)
    )
  }

  // ---------------------------------------------------------------------------
  // Through a session
  // ---------------------------------------------------------------------------

  private open(): Step<E, R | Scope.Scope> {
    const { digest } = this.content
    const algorithm = digest === undefined ? undefined : Digest.algorithm(digest)
    return Effect.flatMap(
      Session.start(this.uploads, this.target.repository, algorithm),
      (session) => this.begin(session)
    )
  }

  /** Goes on with the session that another upload left. */
  private resume(): Step<E, R | Scope.Scope> {
    const resumed = this.target.left?.resumed
    if (resumed === undefined) return Effect.dieMessage("No upload left a session")
    return Effect.flatMap(resumed, ({ hashed, session }) => this.begin(session, hashed))
  }

  /** Begins to send the content through a session. */
  private begin(session: Session.Session, hashed?: ByteStream.Verifier) {
    const { left, subject } = this.target
    return Effect.gen(this, function* () {
      this.sending = yield* SessionContent.make(
        this.uploads,
        session,
        this.content,
        subject,
        hashed
      )
      this.session = session
      if (left !== undefined) yield* left.opened(session)
      const progress = this.sending.progress()
      return { kind: "opened", bounds: session.bounds, progress } as const
    })
  }

  private useSession(state: State<E>): Step<E, R> {
    const { sending, session } = this
    if (state.session === undefined || session === undefined || sending === undefined)
      return Effect.dieMessage(`There is no session in phase ${state.phase}`)
    session.offset = state.session.offset
    if (state.phase === "closing")
      return Effect.as(SessionSteps.complete(this.uploads, session, this.digest()), stored)
    return state.phase === "appending"
      ? Effect.map(
          sending.append(
            pieceOf(state, state.session),
            isArray(state) ? this.content.bytes : undefined
          ),
          (kind) => (kind === "stored" ? stored : { kind, progress: sending.progress() })
        )
      : Effect.match(SessionSteps.status(this.uploads, session), {
          onFailure: () => ({ kind: "silent" }),
          onSuccess: () => ({ kind: "located", offset: session.offset })
        })
  }
}
