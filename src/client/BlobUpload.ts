/**
 * Blobs to the registry: `putBlob` picks the cheapest form of upload, and commits nothing before the source has proved to be what it declares.
 *
 * @since 0.1.0
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { BlobSource, Known } from "../BlobSource.js"
import * as ByteStream from "../ByteStream.js"
import * as Operation from "../protocol/Operation.js"
import type { Registry } from "../Registry.js"
import { BodyNotReplayable } from "../RegistryError.js"
import * as Digest from "../spec/Digest.js"
import type { RepositoryName } from "../spec/Reference.js"
import * as Transfer from "../Transfer.js"
import type { Endpoint, Send } from "./Pipeline.js"
import * as Session from "./Session.js"

const octetStream = "application/octet-stream"

/**
 * The operations that bring blobs to one registry.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  to: Endpoint,
  send: Send,
  headBlob: Registry.Service["headBlob"]
): Pick<Registry.Service, "putBlob" | "startUpload" | "resumeUpload" | "mountBlob"> => {
  const sessions = Session.make(to, send)

  /** None: mounted. Else the session that the registry opened in place of it (C59). */
  const mount = (repository: RepositoryName, digest: Digest.Digest, from: Option.Option<RepositoryName>) =>
    sessions.adopt(send(Operation.MountBlob({ repository, digest, from: Option.getOrUndefined(from) })), repository)

  const mountBlob: Registry.Service["mountBlob"] = (repository, digest, from) =>
    mount(repository, digest, from).pipe(
      Effect.map(Option.isNone),
      Effect.scoped, // which cancels the session (C62)
      Effect.catchTags({ Denied: () => Effect.succeed(false), Unsupported: () => Effect.succeed(false) })
    )

  /** A session for the blob, or its descriptor where the registry has it already. */
  const open = Effect.fnUntraced(function* (repository: RepositoryName, known: Known, from?: RepositoryName) {
    const { digest } = known
    if (digest === undefined) return yield* sessions.start(repository)
    const algorithm = Digest.algorithm(digest)
    const start = sessions.start(repository, algorithm === "sha256" ? undefined : algorithm)
    if (from !== undefined) {
      const instead = Effect.asSome(start)
      // Registries refuse to mount what cannot be read with 401, 403, 404 or 405 alike (rule 12).
      const session = yield* Effect.catchTags(mount(repository, digest, Option.some(from)), {
        Denied: () => instead,
        NameUnknown: () => instead,
        Unauthorized: () => instead,
        Unsupported: () => instead
      })
      if (Option.isSome(session)) return session.value
    }
    // Some answer 403 for what is missing (trap 23): not known is not there.
    const found = yield* Effect.catchTag(headBlob(repository, digest), "Denied", () => Effect.succeedNone)
    return Option.isSome(found) ? found.value : yield* start
  })

  const upload = Effect.fnUntraced(function* <E, R>(
    session: Session.Session,
    source: BlobSource<E, R>,
    subject: Transfer.Subject,
    chunkSize: number | undefined
  ) {
    const { digest, size } = subject
    const content = ByteStream.verify(Transfer.track(opened(source), subject), { digest, size })
    // Content of a known digest and size goes into the closing PUT whole (C37); nothing at all needs no request but that one (trap 15).
    if (digest !== undefined && size !== undefined && size > 0 && chunkSize === undefined) {
      yield* Session.streaming(content, (body) =>
        sessions.complete(session, digest, HttpBody.stream(body, octetStream, size))
      )
      return { mediaType: octetStream, digest, size }
    }
    let hasher = Digest.hasher("sha256")
    const hashed =
      digest !== undefined
        ? content
        : Stream.suspend(() => {
            hasher = Digest.hasher("sha256")
            return ByteStream.tap(content, hasher.update)
          })
    if (size === 0) yield* Stream.runDrain(hashed)
    else if (chunkSize === undefined) yield* sessions.pour(session, hashed)
    else {
      const chunks = ByteStream.rechunk(hashed, Math.max(chunkSize, session.chunkMinimum))
      yield* Stream.runForEach(chunks, (bytes) => sessions.write(session, bytes))
    }
    const computed = digest ?? hasher.digest()
    yield* sessions.complete(session, computed)
    return { mediaType: octetStream, digest: computed, size: session.offset }
  })

  const putBlob: Registry.Service["putBlob"] = Effect.fnUntraced(function* (repository, source, options = {}) {
    const known = { digest: Option.getOrUndefined(source.digest), size: Option.getOrUndefined(source.size) }
    const subject: Transfer.Subject = { direction: "upload", repository, ...known }
    if (known.digest !== undefined) yield* Digest.hasherFor(known.digest)
    yield* Transfer.emit({ _tag: "Started", subject })
    const target = yield* open(repository, known, options.mountFrom)
    const skipped = "digest" in target
    const descriptor = skipped ? target : yield* upload(target, source, subject, options.chunkSize)
    if (!skipped) yield* Transfer.emit({ _tag: "Verified", subject, digest: descriptor.digest })
    yield* Transfer.emit({ _tag: "Completed", subject, skipped })
    return descriptor
  }, Effect.scoped)

  return {
    putBlob,
    mountBlob,
    startUpload: (repository) => Effect.map(sessions.start(repository), sessions.expose),
    resumeUpload: (state) => Effect.map(sessions.resume(state), sessions.expose)
  }
}

/** The bytes from the start. A source that can be read once fails the second time, when a challenge or a redirect asks for the body again. */
const opened = <E, R>(source: BlobSource<E, R>): Stream.Stream<Uint8Array, E | BodyNotReplayable, R> => {
  if (source.replay === "any") return source.open(0)
  let spent = false
  return Stream.suspend((): Stream.Stream<Uint8Array, E | BodyNotReplayable, R> => {
    if (spent) return Stream.fail(new BodyNotReplayable({ step: "Sending the content again" }))
    spent = true
    return source.open(0)
  })
}
