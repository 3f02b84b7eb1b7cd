/**
 * Lists that come in pages: one request per page, as `Paging` says, and no list without end.
 */
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { exchangeOf } from "../../internal/ErrorMessage.js"
import type { Operation } from "../../protocol/Operation.js"
import {
  type Exchange,
  LimitExceeded,
  ProtocolViolation,
  type UntrustedLocation
} from "../../RegistryError.js"
import type { Endpoint } from "../http/Endpoint.js"
import * as Received from "../http/Received.js"
import * as NextLink from "./NextLink.js"
import * as Paging from "./Paging.js"

/**
 * One page. `entries` is how many it had, useless ones included; `next` is where its body says that
 * the list goes on, which counts if there is no `Link` (GCR, quirks §5).
 */
export interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly entries: number
  readonly next?: string | undefined
  readonly response: Received.Received
}

/** How the pages of one kind of list are got. */
export interface List<O, A, E> {
  readonly page: (operation: O) => Effect.Effect<Page<A>, E>
  /** What tells two items apart. */
  readonly key: (item: A) => string
  /** The request for what comes after an item, for lists that have a page size. */
  readonly after?: ((operation: O, last: A) => O) | undefined
}

type Listing = Operation & { readonly link?: string | undefined; readonly n?: number | undefined }

type Failure = { readonly _tag: string } & Exchange

/** The errors of the pages themselves. */
export type PagingError = UntrustedLocation | LimitExceeded | ProtocolViolation

/**
 * Streams the items of all pages, from the request of the first one on, each item (as told by
 * `key`) once. A short or an empty page is not the last: only a missing `Link` is (C85, trap 56).
 * What a page brought comes before the failure of what follows it.
 *
 * An error that says that there is no such list, such as `NameUnknown` or `Unsupported`, is only
 * ever that of the first page. Fails beyond that with `ProtocolViolation` when the list breaks off,
 * goes on without anything new or gives no way to its rest, with `LimitExceeded` over
 * `limits.pages` or `limits.items`, and with `UntrustedLocation` for a link to elsewhere.
 */
export const paginate = <O extends Listing, A, E extends Failure>(
  to: Endpoint,
  first: O,
  list: List<O, A, E>
): Stream.Stream<A, E | PagingError> =>
  Stream.suspend(() => {
    const known = new Set<string>()
    const followed = new Set<string>()
    let pages = 0

    const afterFailure = (error: E, state: Paging.State): Pending<O, E | PagingError> => {
      const kind = failureKind(error)
      if (kind === undefined) return Effect.fail(error)
      const step = Paging.afterFailure(state, kind, known.size)
      if (step.next === "fail") return Effect.fail(error)
      if (!Paging.isPhase(step.next)) return Effect.fail(violation(step.next, error, state))
      if (step.next === "restarted") followed.clear()
      return Effect.succeed({ operation: requestOf(first, list, step.state), state: step.state })
    }

    const afterPage = (
      page: Page<A>,
      fresh: number,
      state: Paging.State
    ): Option.Option<Pending<O, E | PagingError>> => {
      const facts = Received.exchangeOf(page.response)
      const fail = (error: PagingError) => Option.some(Effect.fail(error))
      const link = NextLink.read(to, page.response, page.next)
      if (link._tag === "Failed") return fail(link.error)
      const url = link._tag === "Next" ? link.url : undefined
      const step = Paging.afterPage(state, {
        link: link._tag,
        entries: page.entries,
        items: page.items.length,
        fresh,
        known: known.size
      })
      if (step.next === "end") return Option.none()
      if (!Paging.isPhase(step.next)) return fail(violation(step.next, facts, state))
      if (url !== undefined && followed.has(url)) return fail(violation("circle", facts, state))
      if (url !== undefined) followed.add(url)
      if (pages >= to.limits.pages) return fail(tooMany("pages", to.limits.pages, facts))
      const operation = requestOf(first, list, step.state, url, page.items.at(-1))
      return Option.some(Effect.succeed({ operation, state: step.state }))
    }

    const read = Effect.fnUntraced(function* ({ operation, state }: Request<O>) {
      const received = yield* Effect.either(list.page(operation))
      if (Either.isLeft(received))
        return [Chunk.empty<A>(), Option.some(afterFailure(received.left, state))] as const
      const page = received.right
      pages++
      const fresh = page.items.filter((item) => {
        const key = list.key(item)
        return !known.has(key) && known.add(key)
      })
      if (known.size > to.limits.items)
        return yield* tooMany("items", to.limits.items, Received.exchangeOf(page.response))
      return [Chunk.unsafeFromArray(fresh), afterPage(page, fresh.length, state)] as const
    })

    const start: Pending<O, E | PagingError> = Effect.succeed({
      operation: first,
      state: Paging.initial(first.n)
    })
    return Stream.paginateChunkEffect(start, Effect.flatMap(read))
  })

/** The request of a phase; `link` and `last` are those of the page before it. */
const requestOf = <O extends Listing, A, E>(
  first: O,
  { after }: List<O, A, E>,
  { phase, size }: Paging.State,
  link?: string,
  last?: A
): O => {
  switch (phase) {
    case "linked":
    case "restarted":
      return link === undefined ? { ...first, n: size } : { ...first, link }
    case "guessed":
    case "continued":
      return last === undefined || after === undefined ? first : after(first, last)
    case "unsized":
    case "confirming":
    case "whole":
      return { ...first, n: undefined }
    case "start":
      return first
  }
}

/** A request, and where the list is before it. */
interface Request<O> {
  readonly operation: O
  readonly state: Paging.State
}

/** The next request, or the error that takes its place once what came before is delivered. */
type Pending<O, E> = Effect.Effect<Request<O>, E>

/** The response to a request for a list is not a list, whatever its status. */
export class NotAList extends Data.TaggedError("NotAList")<Exchange> {}

/**
 * What a failure says of the list; nothing where it says something of the caller, the connection or
 * the load of the registry.
 */
const failureKind = ({ _tag, status }: Failure): Paging.FailureKind | undefined => {
  switch (_tag) {
    case "NameUnknown":
    case "NotAList":
    case "Unsupported":
      return status === 404 ? "missing" : "refused"
    case "RegistryFailure":
      return status !== undefined && isRefusal(status) ? "refused" : undefined
    default:
      return undefined
  }
}

/** Whether trying again, or as somebody else, would not help. */
const isRefusal = (status: number): boolean =>
  status === 501 || (status >= 400 && status < 500 && !unanswered.has(status))

/** Not authorized; too early, too often or too slow. */
const unanswered: ReadonlySet<number> = new Set([401, 403, 408, 425, 429, 499])

const violation = (
  why: Paging.Incomplete | "circle",
  facts: Exchange,
  { size }: Paging.State
): ProtocolViolation =>
  new ProtocolViolation({ ...exchangeOf(facts), problem: problems[why](size) })

const problems = {
  partial: () =>
    "The list is partial: the registry gives no further page, " +
    "although the page before it has a link to one",
  unlinked: (size: number | undefined) =>
    `The list may be partial: a page has the ${size} entries that were asked for ` +
    "and no link to the next one, and the registry does not list what comes after it. " +
    "Ask for it without a page size, or with another",
  stuck: () => "The list is partial: its pages have links to further ones, and bring nothing new",
  circle: () => "The pages of a list lead in a circle"
}

const tooMany = (what: "pages" | "items", limit: number, facts: Exchange): LimitExceeded =>
  new LimitExceeded({
    ...facts,
    what: `The number of ${what} of a list`,
    limit,
    option: `limits.${what}`
  })

/** The limit on one page of a list. */
export const pageLimit = (to: Endpoint) => ({
  what: "A page of a list",
  limit: to.limits.page,
  option: "limits.page"
})
