/**
 * Blobs to the registry: `putBlob` picks the cheapest form of upload that the registry takes, goes
 * on after faults from where the registry is, and commits nothing before the source has proved to
 * be what it declares.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../BlobSource.js"
import * as ByteStream from "../../ByteStream.js"
import * as Operation from "../../protocol/Operation.js"
import type { PutBlobOptions, Registry, UploadStrategy } from "../../Registry.js"
import {
  type BodyNotReplayable,
  type CommonError,
  type DigestMismatch,
  isTransient,
  type NameUnknown,
  type RegistryFailure,
  type SizeMismatch,
  Unsupported
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
import * as SessionUpload from "./SessionUpload.js"
import { type Form, isRefusal, type Job, Refused } from "./SessionUpload.js"
import * as SourceFailure from "./SourceFailure.js"

/**
 * Up to here, in bytes, a blob goes into the first request whole: no more may leave before anything
 * was authorized.
 */
const small = 64 * 1024

type VerifiedError = BodyNotReplayable | DigestMismatch | SizeMismatch

type WholeError = CommonError | NameUnknown | Unsupported | DigestMismatch

/**
 * The operations that bring blobs to one registry. What it refuses is remembered for the uploads
 * that follow.
 */
export const make = (
  to: Endpoint,
  send: Send,
  head: BlobHead,
  sendsLength: boolean
): Pick<Registry.Service, "putBlob" | "startUpload" | "resumeUpload" | "mountBlob"> => {
  const sessions = Session.make(to, send, head)
  const transfer = SessionUpload.make(sessions)
  /** Whether streams go with their length, as far as has been seen. */
  const lengths = { areSent: sendsLength }

  /** The size from which on a form was refused, in bytes. */
  const refusedFrom: Record<Form, number> = {
    single: Number.POSITIVE_INFINITY,
    put: Number.POSITIVE_INFINITY,
    patch: Number.POSITIVE_INFINITY,
    chunked: Number.POSITIVE_INFINITY,
    direct: Number.POSITIVE_INFINITY
  }

  // ---------------------------------------------------------------------------
  // Blobs that need no upload
  // ---------------------------------------------------------------------------

  /** None: mounted. Else the session that the registry opened in place of it (C59). */
  const mount = (
    repository: RepositoryName,
    digest: Digest.Digest,
    from: Option.Option<RepositoryName>,
    adopted: Session.Adopted
  ) =>
    sessions.adopt(
      send(Operation.MountBlob({ repository, digest, from: Option.getOrUndefined(from) })),
      { repository, digest },
      adopted
    )

  const mountBlob: Registry.Service["mountBlob"] = (repository, digest, from) =>
    // Whatever was opened instead is cancelled (C62).
    sessions.adopting((adopted) =>
      mount(repository, digest, from, adopted).pipe(
        Effect.map(Option.isNone),
        Effect.catchTags(refusedMount(false))
      )
    )

  /**
   * The blob of `size`, if that is known, if the registry has it or mounts it, or the session that
   * it opened instead, or nothing.
   */
  const existing = Effect.fnUntraced(function* (
    repository: RepositoryName,
    digest: Digest.Digest,
    size: number | undefined,
    from: RepositoryName | undefined,
    adopted: Session.Adopted,
    again: Resume.Again
  ) {
    if (from !== undefined) {
      const mounted: ReturnType<typeof mount> = Effect.catchIf(
        mount(repository, digest, Option.some(from), adopted),
        isTransient,
        (fault) => Effect.zipRight(again(fault, 0), mounted)
      )
      const session = yield* Effect.catchTags(mounted, refusedMount(Option.some(undefined)))
      if (Option.isSome(session) && session.value !== undefined) return session.value
    }
    // Some answer 403 or 405 for what is missing (trap 23, quirks §2), or have a page for
    // everything: not known is not there.
    const found = yield* Effect.catchAll(head.find(repository, digest, size), (error) =>
      error._tag === "Denied" ||
      error._tag === "ProtocolViolation" ||
      (error._tag === "RegistryFailure" && !isTransient(error))
        ? Effect.succeedNone
        : Effect.fail(error)
    )
    return Option.getOrUndefined(
      Option.filter(found, (blob) => size === undefined || blob.size === size)
    )
  })

  // ---------------------------------------------------------------------------
  // Which form
  // ---------------------------------------------------------------------------

  const choose = (
    job: Job<unknown, unknown>,
    strategy: UploadStrategy,
    adopted: boolean,
    tried: ReadonlySet<Form>
  ) => {
    const { digest, size } = job
    if (strategy !== "auto") return tried.has(strategy) ? undefined : strategy
    const candidates: ReadonlyArray<Form> = [
      ...(size !== undefined && size > 0 && size <= small && !adopted ? (["single"] as const) : []),
      ...(size === 0 || (digest !== undefined && size !== undefined)
        ? (["put", "patch", "chunked"] as const)
        : (["patch", "chunked", "put"] as const))
    ]
    return candidates.find(
      (form) => !tried.has(form) && (size ?? Number.MAX_SAFE_INTEGER) < refusedFrom[form]
    )
  }

  /**
   * The forms that a refusal rules out. Who takes no PATCH takes none of either kind; who finds one
   * too large (416, GHCR) is better sent the whole by PUT, as is who fails to close after one
   * (quirks §3). What is too large is refused from that size on; a failure may have been temporary.
   */
  const remember = (
    form: Form,
    error: { readonly _tag: string },
    size = 0
  ): ReadonlyArray<Form> => {
    const { _tag } = error
    const failed = isTransient(error)
    const both = (failed || _tag !== "RegistryFailure") && (form === "patch" || form === "chunked")
    const forms: ReadonlyArray<Form> = both ? ["patch", "chunked"] : [form]
    if (failed) return forms
    const from = _tag === "Unsupported" || form === "single" ? 0 : size
    for (const refused of forms) refusedFrom[refused] = Math.min(refusedFrom[refused], from)
    return forms
  }

  // ---------------------------------------------------------------------------
  // The upload
  // ---------------------------------------------------------------------------

  const upload = Effect.fnUntraced(function* <E, R>(
    wanted: Job<E, R>,
    strategy: UploadStrategy,
    found: Session.Session | undefined,
    adopted: Session.Adopted
  ) {
    const tried = new Set<Form>()
    let job = wanted
    let session = found
    let form = choose(job, strategy, session !== undefined, tried)
    while (form !== undefined) {
      if (form !== "patch" && form !== "chunked") job = yield* measured(job)
      const sent = yield* Effect.either(run(form, job, session, adopted))
      if (Either.isRight(sent)) return sent.right
      const problem = sent.left
      session = undefined
      if (problem._tag === "Refused") {
        if (lengths.areSent && isLengthRequired(problem.error)) {
          lengths.areSent = false
          job = { ...job, sendsLength: false }
          if (form === "chunked" || job.bytes !== undefined) continue
        }
        for (const refused of remember(form, problem.error, job.size)) tried.add(refused)
        session = problem.session
        form = choose(job, strategy, session !== undefined, tried)
        if (form === undefined) return yield* Effect.fail(problem.error)
      } else if (problem._tag === "Lost") {
        yield* Transfer.emit({ _tag: "Resumed", subject: job.subject, offset: 0 })
      } else return yield* Effect.fail(problem)
    }
    return yield* new Unsupported({ operation: "any form of upload" })
  })

  /**
   * The job with digest and size. Where they are unknown, the source is read once to find them out.
   */
  const measured = <E, R>(job: Job<E, R>) =>
    Effect.gen(function* () {
      if (job.digest !== undefined && job.size !== undefined) return job
      const verifier = yield* ByteStream.verifier({
        digest: job.digest,
        size: job.size,
        algorithm: "sha256"
      })
      yield* Effect.mapError(Stream.runDrain(verifier.pass(job.open(0))), SourceFailure.of)
      return {
        ...job,
        size: verifier.seen(),
        digest: job.digest ?? Option.getOrThrow(verifier.digest())
      }
    })

  const run = Effect.fnUntraced(function* <E, R>(
    form: Form,
    job: Job<E, R>,
    found: Session.Session | undefined,
    adopted: Session.Adopted
  ) {
    if (form === "single") return yield* single(job, adopted)
    if (form === "direct") return yield* direct(job)
    const session = found === undefined ? opened(job) : Effect.succeed(found)
    return yield* Effect.scoped(Effect.flatMap(session, (session) => transfer(form, job, session)))
  })

  const opened = (job: Job<unknown, unknown>): ReturnType<typeof sessions.start> => {
    const algorithm = job.digest === undefined ? undefined : Digest.algorithm(job.digest)
    const start = sessions.start(job.repository, algorithm)
    return Effect.catchIf(start, isTransient, (fault) =>
      Effect.zipRight(job.again(fault, 0), opened(job))
    )
  }

  /**
   * A blob of its size in one request, again after each fault; what seems to have failed may have
   * arrived.
   */
  const whole = <E, R>(
    job: Job<E, R>,
    request: (
      digest: Digest.Digest,
      size: number,
      body: HttpBody.HttpBody
    ) => Effect.Effect<unknown, WholeError | Refused<WholeError>>
  ) => {
    const { again, digest, repository, size, subject } = job
    const bytes = SessionUpload.arrayOf(job)
    if (digest === undefined || size === undefined)
      return Effect.dieMessage("The content was not measured")
    const sent: Descriptor = { mediaType: MediaType.octetStream, digest, size }
    const content = (verifier: ByteStream.Verifier) => {
      if (bytes === undefined)
        return SourceFailure.streaming(
          Transfer.track(verifier.pass(job.open(0)), subject),
          (body) => request(digest, size, HttpBody.stream(body, MediaType.octetStream, size))
        )
      const problem = verifier.judge(bytes)
      return problem === undefined
        ? request(digest, size, HttpBody.uint8Array(bytes, MediaType.octetStream))
        : Effect.fail(SourceFailure.of(problem))
    }
    const attempt: Effect.Effect<
      Descriptor,
      | WholeError
      | Refused<WholeError>
      | SourceFailure.SourceFailure<E | VerifiedError>
      | Digest.InvalidDigest,
      R
    > = Effect.flatMap(ByteStream.verifier({ digest, size }), (verifier) =>
      Effect.matchEffect(content(verifier), {
        onSuccess: () => Effect.succeed(sent),
        onFailure: (fault) => {
          if (fault._tag === "SourceFailure" || fault._tag === "Refused") return Effect.fail(fault)
          if (isRefusal(fault)) return Effect.fail(new Refused<WholeError>(fault))
          if (!isTransient(fault)) return Effect.fail(fault)
          // What was not sent to its end did not arrive, nor is it known to be what it declares.
          const present = verifier.approved()
            ? sessions.present(repository, digest)
            : Effect.succeed(false)
          return Effect.flatMap(Effect.zipRight(again(fault, 0), present), (present) =>
            present
              ? Effect.succeed(sent)
              : Effect.zipRight(Transfer.emit({ _tag: "Resumed", subject, offset: 0 }), attempt)
          )
        }
      })
    )
    return attempt
  }

  const direct = <E, R>(job: Job<E, R>) =>
    whole(job, (digest, size, body) =>
      Effect.flatMap(
        send(Operation.PutBlob({ repository: job.repository, digest, size }), body),
        (response) => sessions.stored(response, digest)
      )
    )

  /**
   * A registry that knows no single POST may open a session instead (C42), with the body thrown
   * away (trap 17), or refuse it in a way of its own.
   */
  const single = <E, R>(job: Job<E, R>, adopted: Session.Adopted) =>
    whole(job, (digest, size, body) => {
      const { repository } = job
      return Effect.matchEffect(
        sessions.adopt(
          send(Operation.UploadBlob({ repository, digest, size }), body),
          { repository, digest },
          adopted
        ),
        {
          onFailure: (error) =>
            Effect.fail(
              error._tag === "RegistryFailure" && !isTransient(error)
                ? new Refused<WholeError>(error)
                : error
            ),
          onSuccess: (session) =>
            Option.isNone(session)
              ? Effect.void
              : Effect.fail(
                  new Refused<WholeError>(
                    new Unsupported({ operation: "uploading in a single POST" }),
                    session.value
                  )
                )
        }
      )
    })

  const put = Effect.fnUntraced(function* <E, R>(
    repository: RepositoryName,
    source: BlobSource.BlobSource<E, R>,
    open: BlobSource.Open<E, R>,
    options: PutBlobOptions,
    adopted: Session.Adopted
  ) {
    const known = {
      digest: Option.getOrUndefined(source.digest),
      size: Option.getOrUndefined(source.size)
    }
    const subject: Transfer.Subject = { direction: "upload", repository, ...known }
    if (known.digest !== undefined) yield* Digest.hasherFor(known.digest)
    yield* Transfer.emit({ _tag: "Started", subject })
    const again = Resume.make(to, subject)
    const found =
      known.digest === undefined
        ? undefined
        : yield* existing(repository, known.digest, known.size, options.mountFrom, adopted, again)
    if (found !== undefined && "digest" in found) {
      yield* Transfer.emit({ _tag: "Completed", subject, skipped: true })
      return found
    }
    const { chunkSize, strategy = chunkSize === undefined ? "auto" : "chunked" } = options
    const job = {
      repository,
      subject,
      again,
      chunkSize,
      sendsLength: lengths.areSent,
      ...known,
      ...openings(source, open)
    }
    const descriptor = yield* upload(
      strategy === "auto" ? yield* gathered(job) : job,
      strategy,
      found,
      adopted
    )
    yield* Transfer.emit({ _tag: "Verified", subject, digest: descriptor.digest })
    yield* Transfer.emit({ _tag: "Completed", subject, skipped: false })
    return descriptor
  }, SourceFailure.exposed)

  return {
    putBlob: (repository, source, options = {}) =>
      to.concurrency.upload((reading) => {
        const open = BlobSource.openReusing(source.open)
        return sessions.adopting((adopted) =>
          put(repository, source, (offset) => reading(open(offset)), options, adopted)
        )
      }),
    mountBlob,
    startUpload: (repository, { algorithm } = {}) =>
      Effect.map(sessions.start(repository, algorithm), sessions.expose),
    resumeUpload: (state) => Effect.map(sessions.resume(state), sessions.expose)
  }
}

/**
 * Registries refuse to mount what cannot be read with 401, 403, 404 or 405 alike (rule 12), and
 * Quay what it is not told the source of with 400: it is not mounted, and an upload will tell why.
 */
const refusedMount = <A>(instead: A) => {
  const refused = () => Effect.succeed(instead)
  return {
    Denied: refused,
    NameUnknown: refused,
    Unauthorized: refused,
    Unsupported: refused,
    RegistryFailure: (error: RegistryFailure) =>
      error.status === 400 ? refused() : Effect.fail(error)
  }
}

/** 411: the length was left out by the HTTP client, or by a proxy. */
const isLengthRequired = (error: { readonly _tag: string }): boolean =>
  "status" in error && error.status === 411

/**
 * The source as it can be opened: one that can be read once, which begins with its start, fails the
 * second time.
 */
const openings = <E, R>(
  { bytes, replay }: BlobSource.BlobSource<E, R>,
  open: BlobSource.Open<E, R>
): Pick<Job<E, R>, "open" | "bytes" | "replayable"> => {
  if (replay === "any") return { open, bytes, replayable: true }
  const once = SourceFailure.readOnce(Stream.suspend(() => open(0)))
  return { bytes: undefined, replayable: false, open: () => once }
}

/**
 * The content in memory, where it is small: then it can be read as often as need be, and its digest
 * is known.
 */
const gathered = <E, R>(job: Job<E, R>) => {
  const { digest, size } = job
  if (size === undefined || size === 0 || size > small) return Effect.succeed(job)
  if (job.bytes !== undefined)
    return Effect.succeed({ ...job, digest: digest ?? Digest.fromBytes(job.bytes) })
  return Effect.gen(function* () {
    const verifier = yield* ByteStream.verifier({ digest, size, algorithm: "sha256" })
    const bytes = yield* Effect.mapError(
      ByteStream.collect(verifier.pass(job.open(0)), { what: "A small blob", limit: small }),
      SourceFailure.of
    )
    const open = (offset: number) =>
      offset === size ? Stream.empty : Stream.make(bytes.subarray(offset))
    return {
      ...job,
      digest: digest ?? Option.getOrThrow(verifier.digest()),
      open,
      bytes,
      replayable: true
    }
  })
}
