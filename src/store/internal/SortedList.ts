/** Lists in ASCII order, and in one page. */
import * as Stream from "effect/Stream"
import type { ListOptions } from "../../Registry.js"

/** Lists all that is left after `after`. A page of none is the end of the list (C83). */
export const list = <A extends string>(
  items: Iterable<A>,
  { after, pageSize }: ListOptions<A> = {}
): Stream.Stream<A> =>
  pageSize === 0
    ? Stream.empty
    : Stream.fromIterable([...items].filter((item) => after === undefined || item > after).sort())
