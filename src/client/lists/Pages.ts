/**
 * Lists that come in pages: one request per page, each page's `Link` judged by `Trust` and followed
 * as sent, and no list without end.
 */
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Link from "../../protocol/Link.js"
import type { Operation } from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import { LimitExceeded, ProtocolViolation, UntrustedLocation } from "../../RegistryError.js"
import type { Endpoint } from "../http/Endpoint.js"
import * as Limits from "../http/Limits.js"

/**
 * One page. `count` is how many entries it had, useless ones included; `next` is where its body
 * says that the list goes on, which counts if there is no `Link` (GCR, quirks §5).
 */
export interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly count: number
  readonly next?: string | undefined
  readonly answer: HttpClientResponse
}

type Listing = Operation & { readonly link?: string | undefined; readonly n?: number | undefined }

/**
 * The items of all pages, from the request of the first one on, each item (as told by `key`) once.
 * A short or an empty page is not the last: only a missing `Link` is (C85, trap 56). Beyond that it
 * copes with registries that
 *
 * - refuse a page size with 400 or 405 (ECR, catalogs): the first page is asked for again without
 *   one;
 * - answer as many items as were asked for, and never a `Link` (Nexus): the list goes on after the
 *   last of them, as `after` says, unless that brings nothing new, or is refused;
 * - answer 404 in the middle, because the item to go on after was deleted (zot): the list is read
 *   once more from its start;
 * - link to the start of the list at its end (Cloudflare), with an empty `last`.
 *
 * Fails with `ProtocolViolation` when the pages lead in a circle, with `LimitExceeded` over
 * `limits.pages` or `limits.items`, and with `UntrustedLocation` for a link to elsewhere.
 */
export const paginate = <O extends Listing, A, E extends { readonly _tag: string }>(
  to: Endpoint,
  first: O,
  list: {
    readonly page: (operation: O) => Effect.Effect<Page<A>, E>
    readonly key: (item: A) => string
    readonly after?: ((operation: O, last: A) => O) | undefined
  }
): Stream.Stream<A, E | UntrustedLocation | LimitExceeded | ProtocolViolation> =>
  Stream.suspend(() => {
    const seen = new Set<string>()
    const links = new Set<string>()
    let start = first
    let pages = 0
    let restarted = false
    let linked = false

    const request = (operation: O, guessed: boolean): Effect.Effect<Option.Option<Page<A>>, E> =>
      Effect.catchAll(Effect.asSome(list.page(operation)), (error) => {
        const status = "status" in error ? error.status : undefined
        if (guessed && (status === 400 || status === 404 || status === 405))
          return Effect.succeedNone
        if (pages === 0 && operation.n !== undefined && (status === 400 || status === 405)) {
          start = { ...first, n: undefined }
          return Effect.asSome(list.page(start))
        }
        if (pages > 0 && status === 404 && !restarted) {
          restarted = true
          links.clear()
          return Effect.asSome(list.page(start))
        }
        return Effect.fail(error)
      })

    return Stream.paginateChunkEffect(
      { operation: first, guessed: false },
      Effect.fnUntraced(function* ({
        guessed,
        operation
      }: {
        readonly operation: O
        readonly guessed: boolean
      }) {
        const page = Option.getOrUndefined(yield* request(operation, guessed))
        if (page === undefined) return [Chunk.empty<A>(), Option.none()] as const
        const fresh: Array<A> = []
        for (const item of page.items) {
          const key = list.key(item)
          if (!seen.has(key)) fresh.push(item)
          seen.add(key)
        }
        pages++
        const facts = Limits.factsOf(page.answer)
        if (seen.size > to.limits.items) return yield* tooMany("items", to.limits.items, facts)
        const link = yield* nextLink(to, page)
        if (link !== undefined && links.has(link))
          return yield* new ProtocolViolation({
            ...facts,
            problem: "The pages of a list lead in a circle"
          })
        if (link !== undefined) links.add(link)
        const last = page.items.at(-1)
        linked ||= page.answer.headers["link"] !== undefined || page.next !== undefined
        const full = !linked && page.count === start.n && fresh.length > 0
        const next =
          link !== undefined
            ? { operation: { ...start, link }, guessed: false }
            : full && last !== undefined && list.after !== undefined
              ? { operation: list.after(start, last), guessed: true }
              : undefined
        if (next !== undefined && pages >= to.limits.pages)
          return yield* tooMany("pages", to.limits.pages, facts)
        return [Chunk.unsafeFromArray(fresh), Option.fromNullable(next)] as const
      })
    )
  })

const tooMany = (
  what: "pages" | "items",
  limit: number,
  facts: { readonly url: string }
): LimitExceeded =>
  new LimitExceeded({
    ...facts,
    what: `The number of ${what} of a list`,
    limit,
    option: `limits.${what}`
  })

const nextLink = <A>(
  to: Endpoint,
  { answer, next }: Page<A>
): Effect.Effect<string | undefined, UntrustedLocation> => {
  const target = Option.getOrElse(Link.next(answer.headers["link"] ?? ""), () => next)
  const from = answer.request.url
  if (target === undefined || leadsToStart(target, from)) return Effect.succeed(undefined)
  const verdict = Trust.decide(to.trust, {
    kind: "Link",
    registry: to.base,
    from,
    target: samePath(from, target)
  })
  if (verdict._tag === "Refused")
    return Effect.fail(UntrustedLocation.from("Link", verdict, Limits.factsOf(answer)))
  return Effect.succeed(verdict.url)
}

/** Cloudflare's catalog links from its end to its start, and without its port (quirks §5). */
const leadsToStart = (target: string, from: string): boolean =>
  URL.canParse(target, from) && new URL(target, from).searchParams.get("last") === ""

/**
 * A list goes on where it is. Artifactory leaves the first components of the repository out of its
 * links, and Nexus puts others before them (quirks §5): of a link to the same kind of list on the
 * same origin only the query counts. No other repository's list is ever requested.
 */
const samePath = (from: string, target: string): string => {
  if (!URL.canParse(target, from)) return target
  const [here, there] = [new URL(from), new URL(target, from)]
  const kind = (url: URL) => url.pathname.split("/").slice(-2).join("/")
  const [path = ""] = from.split(/[?#]/, 1)
  const query = /\?[^#]*/.exec(target)?.[0] ?? ""
  return here.origin === there.origin &&
    here.pathname !== there.pathname &&
    kind(here) === kind(there)
    ? path + query
    : target
}

/**
 * The names on a page of tags or repositories. The list may be `null` or absent (trap 58); entries
 * that are no names, such as the digests and nulls of some registries (rule 15), are left out, with
 * a warning unless null, since no request could be made of them (T8). Fails with
 * `ProtocolViolation` for anything else than a JSON object with a list.
 */
export const names = <A extends string>(
  to: Endpoint,
  [bytes, answer]: readonly [bytes: Uint8Array, answer: HttpClientResponse],
  field: "tags" | "repositories",
  isName: (u: unknown) => u is A
): Effect.Effect<Page<A>, ProtocolViolation> => {
  const body = json(bytes)
  const list = member(body, field) ?? []
  if (typeof body !== "object" || body === null || Array.isArray(body) || !Array.isArray(list))
    return Effect.fail(
      new ProtocolViolation({
        ...Limits.factsOf(answer),
        problem: `The registry answered with something else than a list of ${field}`
      })
    )
  const next = member(body, "next")
  const items = list.filter(isName)
  const page = {
    items,
    count: list.length,
    next: typeof next === "string" && next !== "" ? next : undefined,
    answer
  }
  const strange = list.filter((entry) => entry !== null && !isName(entry)).length
  return strange === 0
    ? Effect.succeed(page)
    : Effect.as(
        Effect.logWarning(
          `${to.origin} lists ${strange} invalid entries among its ${field}: left out`
        ),
        page
      )
}

/** The limit on one page of a list. */
export const pageLimit = (to: Endpoint) => ({
  what: "A page of a list",
  limit: to.limits.page,
  option: "limits.page"
})

/** Own members only: a list might be called `constructor` (T21). */
const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null
    ? Object.getOwnPropertyDescriptor(value, name)?.value
    : undefined

const json = (bytes: Uint8Array): unknown =>
  Option.getOrUndefined(
    Option.liftThrowable((): unknown => JSON.parse(new TextDecoder().decode(bytes)))()
  )
