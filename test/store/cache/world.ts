/** An upstream registry that is watched and can be disturbed, and caches in front of it. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../../src/BlobSource.js"
import type { Registry } from "../../../src/Registry.js"
import type { RepositoryName } from "../../../src/spec/Reference.js"
import * as Reference from "../../../src/spec/Reference.js"
import * as ComposedRegistry from "../../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"

export const app = Reference.unsafeParseRepositoryName("app")
export const other = Reference.unsafeParseRepositoryName("other")
export const v1 = Reference.unsafeParseTag("v1")

/** A registry that notes what it is asked, such as `getBlob app`; blobs when they are begun. */
export const watched = (registry: Registry.Service) => {
  const seen: Array<string> = []
  const note = (operation: string, repository: RepositoryName) =>
    Effect.sync(() => seen.push(`${operation} ${repository}`))
  const noting = (operation: string, repository: RepositoryName) =>
    Stream.execute(note(operation, repository))
  return {
    seen,
    registry: {
      ...registry,
      getManifest: (repository, reference) =>
        Effect.zipRight(
          note("getManifest", repository),
          registry.getManifest(repository, reference)
        ),
      headManifest: (repository, reference) =>
        Effect.zipRight(
          note("headManifest", repository),
          registry.headManifest(repository, reference)
        ),
      headBlob: (repository, digest) =>
        Effect.zipRight(note("headBlob", repository), registry.headBlob(repository, digest)),
      getBlob: (repository, blob) =>
        Stream.concat(noting("getBlob", repository), registry.getBlob(repository, blob)),
      getBlobRange: (repository, digest, range) =>
        Stream.concat(
          noting("getBlobRange", repository),
          registry.getBlobRange(repository, digest, range)
        )
    } satisfies Registry.Service
  }
}

/** A watched registry in memory, a store, and what makes caches of them. */
export const world = Effect.gen(function* () {
  const [origin, store] = yield* Effect.all([MemoryRegistry.make(), MemoryRegistry.make()])
  const { registry: upstream, seen } = watched(origin)
  const cached = (options: Partial<Parameters<typeof ComposedRegistry.cached>[1]> = {}) =>
    ComposedRegistry.cached(upstream, { store, ...options })
  return { cached, origin, seen, store, upstream }
})

/** Puts bytes into the repository `app`. */
export const put = (registry: Registry.Service, bytes: Uint8Array, repository = app) =>
  registry.putBlob(repository, BlobSource.fromBytes(bytes))

/** `count` arrays of `size` bytes, each of another number. */
export const pieces = (count: number, size = 64 * 1024): ReadonlyArray<Uint8Array> =>
  Array.from({ length: count }, (_, n) => new Uint8Array(size).fill(n + 1))

/**
 * A registry whose blobs come from `pieces`, and wait at the gate after the first `before` of them.
 * `arrived` tells that they have got there.
 */
export const gated = Effect.fnUntraced(function* (
  registry: Registry.Service,
  parts: ReadonlyArray<Uint8Array>,
  before: number
) {
  const [gate, arrived] = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
  const waiting = Stream.execute(
    Effect.zipRight(Deferred.succeed(arrived, undefined), Deferred.await(gate))
  )
  const getBlob: Registry.Service["getBlob"] = () =>
    Stream.fromIterable(parts.slice(0, before)).pipe(
      Stream.concat(waiting),
      Stream.concat(Stream.fromIterable(parts.slice(before))),
      Stream.rechunk(1)
    )
  return { registry: { ...registry, getBlob }, gate, arrived: Deferred.await(arrived) }
})

/** Comparing arrays element by element takes seconds, and showing them longer. */
export const same = (expected: Uint8Array) => (actual: Uint8Array) =>
  Buffer.compare(actual, expected) === 0
