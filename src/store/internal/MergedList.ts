/** One list of the lists of several registries. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { ListOptions } from "../../Registry.js"

/**
 * Merges lists into one: each item once, in ASCII order, after `after`. A list is read to its end
 * before the first item is emitted, since registries have orders of their own.
 */
export const merged = <A extends string, E, R>(
  lists: Iterable<Stream.Stream<A, E, R>>,
  { after, pageSize }: ListOptions<A> = {}
): Stream.Stream<A, E, R> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const items = new Set<A>()
      for (const list of lists)
        yield* Stream.runForEachChunk(list, (chunk) =>
          Effect.sync(() => {
            for (const item of chunk) if (after === undefined || item > after) items.add(item)
          })
        )
      // A page of no items is the end of a list (C83).
      return pageSize === 0 ? Stream.empty : Stream.fromIterable([...items].sort())
    })
  )
