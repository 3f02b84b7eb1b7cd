/**
 * Lists that come in pages: one request per page, each page's `Link` judged by `Trust` and followed as sent, and no list without end.
 *
 * @since 0.1.0
 */
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Link from "../protocol/Link.js"
import type { Operation } from "../protocol/Operation.js"
import { redact } from "../protocol/RedactedUrl.js"
import * as Trust from "../protocol/Trust.js"
import { LimitExceeded, ProtocolViolation, type TransportFailure, UntrustedLocation } from "../RegistryError.js"
import * as Limits from "./Limits.js"
import type { Endpoint } from "./Pipeline.js"

/**
 * The items of all pages, from the request of the first one on. A short or an empty page is not the last: only a missing `Link` is (C85, trap 56).
 *
 * @since 0.1.0
 * @category operations
 */
export const paginate = <O extends Operation & { readonly link?: string | undefined }, A, E>(
  to: Endpoint,
  first: O,
  page: (operation: O) => Effect.Effect<readonly [items: ReadonlyArray<A>, answer: HttpClientResponse], E>
): Stream.Stream<A, E | UntrustedLocation | LimitExceeded | ProtocolViolation> =>
  Stream.suspend(() => {
    const seen = new Set<string>()
    return Stream.paginateChunkEffect(
      first,
      Effect.fnUntraced(function* (operation: O) {
        const [items, answer] = yield* page(operation)
        const link = yield* nextLink(to, answer)
        if (link !== undefined) {
          const facts = { method: "GET", url: redact(answer.request.url), status: answer.status }
          if (seen.has(link))
            return yield* new ProtocolViolation({ ...facts, problem: "The pages of a list lead in a circle" })
          if (seen.add(link).size >= to.limits.pages)
            return yield* new LimitExceeded({
              ...facts,
              what: "The number of pages of a list",
              limit: to.limits.pages,
              option: "limits.pages"
            })
        }
        const rest: Option.Option<O> = link === undefined ? Option.none() : Option.some({ ...operation, link })
        return [Chunk.fromIterable(items), rest] as const
      })
    )
  })

const nextLink = (to: Endpoint, answer: HttpClientResponse): Effect.Effect<string | undefined, UntrustedLocation> => {
  const header = answer.headers["link"]
  const target = header === undefined ? undefined : Option.getOrUndefined(Link.next(header))
  if (target === undefined) return Effect.succeed(undefined)
  const from = answer.request.url
  const verdict = Trust.decide(to.trust, { kind: "Link", registry: to.base, from, target })
  return verdict._tag === "Allowed"
    ? Effect.succeed(verdict.url)
    : Effect.fail(UntrustedLocation.from("Link", verdict, { method: "GET", url: redact(from), status: answer.status }))
}

/**
 * The names on a page of tags or repositories. The list may be `null` or absent (trap 58); entries that are no names, such as the digests and nulls
 * of some registries (rule 15), are left out with a warning, since no request could be made of them (T8).
 *
 * @since 0.1.0
 * @category operations
 */
export const names = <A extends string>(
  to: Endpoint,
  answer: HttpClientResponse,
  field: "tags" | "repositories",
  isName: (u: unknown) => u is A
): Effect.Effect<
  readonly [ReadonlyArray<A>, HttpClientResponse],
  TransportFailure | LimitExceeded | ProtocolViolation
> =>
  Effect.flatMap(page(to, answer), (bytes) => {
    const list = listIn(bytes, field)
    if (list === undefined)
      return Effect.fail(
        new ProtocolViolation({
          method: "GET",
          url: redact(answer.request.url),
          status: answer.status,
          problem: `The registry answered with something else than a list of ${field}`
        })
      )
    const found = list.filter(isName)
    const strange = list.filter((entry) => entry !== null && !isName(entry)).length
    return Effect.as(
      strange === 0
        ? Effect.void
        : Effect.logWarning(`${to.origin} lists ${strange} invalid entries among its ${field}: left out`),
      [found, answer] as const
    )
  })

/**
 * The bytes of one page of a list.
 *
 * @since 0.1.0
 * @category operations
 */
export const page = (
  to: Endpoint,
  answer: HttpClientResponse
): Effect.Effect<Uint8Array, TransportFailure | LimitExceeded> =>
  Limits.document(answer, { what: "A page of a list", limit: to.limits.page, option: "limits.page" }, to.timeouts)

const listIn = (bytes: Uint8Array, field: string): ReadonlyArray<unknown> | undefined => {
  const parsed = json(bytes)
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) return undefined
  const list: unknown = Object.getOwnPropertyDescriptor(parsed, field)?.value
  return Array.isArray(list) ? list : list === undefined || list === null ? [] : undefined
}

const json = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}
