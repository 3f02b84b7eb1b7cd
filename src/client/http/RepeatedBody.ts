/**
 * Bodies that may have to be sent again: after a challenge, a redirect or a failure. A stream of an
 * application's own may be one that can be read once only, such as a socket, and has its rest or
 * nothing the second time. That is not the same request, and must not come to its end.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as PullStream from "../../internal/PullStream.js"
import { BodyNotReplayable } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"

/**
 * Returns a body that can be sent as often as need be, or fails when it cannot: a form becomes the
 * bytes of its parts, since undici sends none, and what runtimes read once a stream that fails the
 * second time, as the empty rest of it would be another request.
 */
export const sendable = (body: HttpBody.HttpBody): Effect.Effect<HttpBody.HttpBody> => {
  switch (body._tag) {
    case "FormData":
      return Effect.promise(async () => {
        const encoded = new Response(body.formData)
        const type = encoded.headers.get("content-type") ?? undefined
        return HttpBody.uint8Array(new Uint8Array(await encoded.arrayBuffer()), type)
      })
    case "Raw":
      return Effect.succeed(
        isReadable(body.body)
          ? HttpBody.stream(readOnce(body.body), body.contentType, body.contentLength)
          : body
      )
    default:
      return Effect.succeed(body)
  }
}

/** Streams of the web and of Node, whose types the platform leaves open. */
const isReadable = (body: unknown): body is AsyncIterable<unknown> =>
  typeof body === "object" && body !== null && Symbol.asyncIterator in body

/** Those that were read: the next request with one has nothing to send. */
const read = new WeakSet<AsyncIterable<unknown>>()

const readOnce = (body: AsyncIterable<unknown>): Stream.Stream<Uint8Array, unknown> =>
  Stream.suspend((): Stream.Stream<Uint8Array, unknown> => {
    if (read.has(body)) return Stream.fail(notReplayable)
    read.add(body)
    return Stream.mapEffect(Stream.fromAsyncIterable(body, identity), bytesOf)
  })

const bytesOf = (part: unknown): Effect.Effect<Uint8Array, unknown> =>
  typeof part === "string"
    ? Effect.succeed(new TextEncoder().encode(part))
    : part instanceof Uint8Array
      ? Effect.succeed(part)
      : Effect.fail(new TypeError("A body of a request has parts that are not bytes"))

/** So many bytes of a stream are compared at most: what is longer has to begin in the same way. */
const compared = 1024 * 1024

/** One run of a stream: how many bytes it has emitted, and the hash of those that are compared. */
interface Run {
  count: number
  readonly hasher: Digest.Hasher
}

/**
 * A body. `explained` makes its failure that of the request that sends it, and `hasFailed` says
 * whether its last run failed: then trying again is in vain.
 */
export interface RepeatedBody {
  readonly body: HttpBody.HttpBody
  readonly explained: <A, E, R>(
    request: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | BodyNotReplayable, R>
  readonly hasFailed: () => boolean
}

/**
 * Makes the body of one request. A stream that is run again fails where its bytes are not those of
 * a run before, or end before them.
 */
export const make = (body: HttpBody.HttpBody): RepeatedBody => {
  if (body._tag !== "Stream")
    return { body, explained: (request) => request, hasFailed: () => false }
  let longest: Run = start()
  let current = longest
  let failure: unknown
  const stream = PullStream.suspend(() => {
    if (current.count > longest.count) longest = current
    current = start()
    failure = undefined
    const again =
      longest.count === 0
        ? ByteStream.tap(body.stream, (bytes) => take(current, bytes))
        : following(body.stream, current, longest)
    return PullStream.mapError(again, (error) => {
      failure = error
      return error
    })
  })
  return {
    body: HttpBody.stream(stream, body.contentType, body.contentLength),
    explained: <A, E, R>(request: Effect.Effect<A, E, R>) =>
      Effect.catchAllCause(
        request,
        (cause): Effect.Effect<never, E | BodyNotReplayable> =>
          failure instanceof BodyNotReplayable && !Cause.isInterruptedOnly(cause)
            ? Effect.fail(failure)
            : Effect.failCause(cause)
      ),
    hasFailed: () => failure !== undefined
  }
}

const start = (): Run => ({ count: 0, hasher: Digest.hasher("sha256") })

const take = (run: Run, bytes: Uint8Array): void => {
  const left = compared - run.count
  if (left > 0) run.hasher.update(bytes.length <= left ? bytes : bytes.subarray(0, left))
  run.count += bytes.length
}

const notReplayable = new BodyNotReplayable({ step: "Sending the content again" })

/** A stream in a run that has to begin as the one before did. */
const following = (
  stream: Stream.Stream<Uint8Array, unknown>,
  run: Run,
  before: Run
): Stream.Stream<Uint8Array, unknown> => {
  const limit = Math.min(before.count, compared)
  /** Whether the bytes up to the limit are the same, as far as they have come. */
  const follows = (bytes: Uint8Array): boolean => {
    const left = limit - run.count
    if (left <= 0 || left > bytes.length) {
      take(run, bytes)
      return true
    }
    take(run, bytes.subarray(0, left))
    const isSame = run.hasher.digest() === before.hasher.digest()
    take(run, bytes.subarray(left))
    return isSame
  }
  return PullStream.transform<unknown, never, Uint8Array, BodyNotReplayable>(stream, () => ({
    *push(bytes) {
      if (!follows(bytes)) return notReplayable
      yield bytes
      return undefined
    },
    *end() {
      return run.count < before.count ? notReplayable : undefined
    }
  }))
}
