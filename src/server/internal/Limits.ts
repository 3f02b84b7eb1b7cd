/** What a registry server takes at most: of a manifest, a blob, uploads, and all storage. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { StorageFailure } from "../../RegistryError.js"
import { ErrorResponse } from "./ErrorResponse.js"

/** The limits of a server, all optional. */
export interface Limits {
  /** The most bytes of a manifest, 4 MiB by default, which every registry should take. */
  readonly manifestSize?: number | undefined
  /** The most bytes of a blob, all chunks of its upload together; any number by default. */
  readonly blobSize?: number | undefined
  /** How many uploads can be open at a time, 1000 by default; the next is refused with 429. */
  readonly uploads?: number | undefined
  /** For how long an upload stays open after its last byte, 1 hour by default. */
  readonly uploadLifetime?: Duration.DurationInput | undefined
  /**
   * Returns how many bytes more the storage can take, uploads that are open included in what it
   * has. It is asked when content comes; what other requests have announced and not yet sent is
   * reserved. Any number by default.
   */
  readonly space?: Effect.Effect<number, StorageFailure> | undefined
}

type Refusal = ErrorResponse | StorageFailure

/** The limits, with their defaults, and what is reserved of the space. */
export class Bounds {
  readonly manifestSize: number
  readonly uploads: number
  /** In milliseconds. */
  readonly uploadLifetime: number
  private readonly blobSize: number
  private readonly space: Effect.Effect<number, StorageFailure> | undefined
  /** Bytes that requests under way may still bring. */
  private reserved = 0

  constructor({ blobSize, manifestSize, space, uploadLifetime, uploads }: Limits = {}) {
    // What a registry must take at least is also what clients are ready to read (C70, R31).
    this.manifestSize = manifestSize ?? 4 * 1024 * 1024
    this.blobSize = blobSize ?? Number.POSITIVE_INFINITY
    this.space = space
    this.uploads = uploads ?? 1000
    this.uploadLifetime = Duration.toMillis(uploadLifetime ?? "1 hour")
  }

  /**
   * Returns the body of a request as far as it may go on after `offset` bytes of its blob. Fails
   * with 413 at once where its `length` says that it is too large, and else where it is (V12).
   */
  bound<E>(
    body: Stream.Stream<Uint8Array, E>,
    offset: number,
    length: number | undefined
  ): Effect.Effect<Stream.Stream<Uint8Array, E | Refusal>, Refusal, Scope.Scope> {
    return Effect.gen(this, function* () {
      if (this.space === undefined && this.blobSize === Number.POSITIVE_INFINITY) return body
      if (offset + (length ?? 0) > this.blobSize) return yield* this.tooLarge
      const room = yield* this.room
      if (length !== undefined) yield* room.reserve(length, length)
      let size = offset
      return Stream.mapEffect(body, (bytes) => {
        size += bytes.length
        if (size > this.blobSize) return this.tooLarge
        return Effect.as(room.take(bytes.length), bytes)
      })
    })
  }

  /** Fails with 413 where there is no room for as many bytes. */
  require(bytes: number): Effect.Effect<void, Refusal> {
    return Effect.scoped(Effect.flatMap(this.room, (room) => room.reserve(bytes, bytes)))
  }

  /** What is reserved until the Scope closes, and not taken yet. */
  private readonly room = Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => ({ left: 0 })),
      (reservation) =>
        Effect.sync(() => {
          this.reserved -= reservation.left
        })
    ),
    (reservation) => {
      /** Reserves what is `needed`, and up to `wanted` where there is as much. */
      const reserve = (needed: number, wanted: number) =>
        Effect.flatMap(this.space ?? Effect.succeed(Number.POSITIVE_INFINITY), (space) => {
          const free = space - this.reserved
          if (needed > free) return full
          reservation.left += Math.min(wanted, free)
          this.reserved += Math.min(wanted, free)
          return Effect.void
        })
      /**
       * Takes what came, of which the last may not be stored yet: it stays reserved until the next
       * has come.
       */
      let last = 0
      const take = (bytes: number): Effect.Effect<void, Refusal> => {
        reservation.left -= last
        this.reserved -= last
        last = 0
        if (bytes > reservation.left)
          return Effect.zipRight(
            reserve(bytes - reservation.left, step),
            Effect.suspend(() => take(bytes))
          )
        last = bytes
        return Effect.void
      }
      return { reserve, take }
    }
  )

  private get tooLarge(): ErrorResponse {
    return new ErrorResponse({
      status: 413,
      code: "SIZE_INVALID",
      message: `The registry takes blobs of up to ${this.blobSize} bytes`
    })
  }
}

/** How much is reserved at a time for a body whose length is not known, in bytes. */
const step = 16 * 1024 * 1024

const full = new ErrorResponse({
  status: 413,
  code: "SIZE_INVALID",
  message: "The registry has no room for this"
})
