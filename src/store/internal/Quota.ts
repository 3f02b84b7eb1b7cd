/** How many bytes a registry may hold, and who has how many of them. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { LimitExceeded } from "../../RegistryError.js"

/** Bytes that content to come has reserved. */
export class Reservation {
  size = 0

  constructor(private readonly quota: Quota) {}

  /**
   * Reserves bytes up to a size. Fails with `LimitExceeded`, and reserves nothing, where there is
   * no room.
   */
  grow(size: number): Effect.Effect<void, LimitExceeded> {
    return Effect.suspend((): Effect.Effect<void, LimitExceeded> => {
      const more = size - this.size
      if (more <= 0) return Effect.void
      const problem = this.quota.problemOf(more)
      if (problem !== undefined) return problem
      this.set(size)
      return Effect.void
    })
  }

  /** Reserves exactly this much, whether there is room or not: so much is there already. */
  set(size: number): void {
    this.quota.used += size - this.size
    this.size = size
  }

  /** Gives back what is reserved. */
  readonly release: Effect.Effect<void> = Effect.sync(() => this.set(0))
}

/** The bytes of one registry, those of open uploads included. */
export class Quota {
  /** Content that was counted, by repository and digest: to put it again takes nothing. */
  private readonly kept = new Map<string, number>()

  constructor(
    private readonly limit: number,
    public used: number,
    private readonly option = "bytes"
  ) {}

  readonly reserve: Effect.Effect<Reservation> = Effect.sync(() => new Reservation(this))

  problemOf(more: number): LimitExceeded | undefined {
    return this.used + more <= this.limit
      ? undefined
      : new LimitExceeded({
          what: `The content of this registry, ${this.used} bytes and ${more} more,`,
          limit: this.limit,
          option: this.option,
          fix: "deleting content makes room"
        })
  }

  isKept(repository: string, digest: string): boolean {
    return this.kept.has(keyOf(repository, digest))
  }

  /** Counts what was put, in place of its reservation. */
  keep(repository: string, digest: string, size: number, reservation: Reservation): void {
    const key = keyOf(repository, digest)
    reservation.set(this.kept.has(key) ? 0 : size)
    // It has what was reserved from now on.
    reservation.size = 0
    if (!this.kept.has(key)) this.kept.set(key, size)
  }

  /** Gives back the bytes of what was deleted, which had `size` if it was not counted here. */
  forget(repository: string, digest: string, size: number): void {
    const key = keyOf(repository, digest)
    this.used = Math.max(0, this.used - (this.kept.get(key) ?? size))
    this.kept.delete(key)
  }
}

const keyOf = (repository: string, digest: string): string => `${repository} ${digest}`

/** Reserves the bytes that pass, of which the first is at `offset`. */
export const growing = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  reserve: (size: number) => Effect.Effect<void, LimitExceeded>,
  offset: number
): Stream.Stream<Uint8Array, E | LimitExceeded, R> =>
  Stream.suspend(() => {
    let at = offset
    return Stream.mapChunksEffect(stream, (chunk) => {
      for (const bytes of chunk) at += bytes.length
      return Effect.as(reserve(at), chunk)
    })
  })
