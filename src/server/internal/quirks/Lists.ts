/** Quirks of lists, their pages, and the links between them. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Route from "../../../protocol/internal/Route.js"
import * as Link from "../../../protocol/Link.js"
import * as Operation from "../../../protocol/Operation.js"
import * as ChangedResponse from "../ChangedResponse.js"
import * as Origin from "../Origin.js"
import * as ServerResponse from "../ServerResponse.js"
import {
  always,
  answers,
  asking,
  changes,
  documentOf,
  operationOf,
  type Quirk,
  rewrites,
  sets,
  type Table,
  urlOf,
  withDocument,
  withParameters
} from "./Quirk.js"

const lists = ["ListTags", "ListRepositories"] as const

/** The quirks of lists. */
export const table: Table<
  | "catalog"
  | "tagPageLimit"
  | "catalogPageLimit"
  | "emptyPage"
  | "endlessCatalog"
  | "links"
  | "linkPrefix"
  | "linkQuery"
  | "previousLinks"
  | "tagMaps"
  | "emptyTags"
  | "strayTags"
  | "paging"
  | "maxPageSize"
  | "pageSize"
  | "tagOrder"
> = {
  catalog: (reply) => always(["ListRepositories"], reply),
  tagPageLimit: ({ over, ...reply }) =>
    answers(["ListTags"], ({ n = 0 }) => (n > over ? reply : undefined)),
  catalogPageLimit: ({ over, ...reply }) =>
    answers(["ListRepositories"], ({ n = 0 }) => (n > over ? reply : undefined)),
  emptyPage: (reply) => answers(lists, ({ n }) => (n === 0 ? reply : undefined)),
  endlessCatalog: (_, { links }) =>
    sets(["ListRepositories"], ({ link }, { n }) => {
      const target = `${Route.catalogPath}?n=${n ?? 1000}&last=`
      if (link !== undefined) return {}
      return { link: links === "bare" ? `${target}; rel=next` : linkTo(target) }
    }),
  links: (form) =>
    form === "body"
      ? nextInBody
      : changesLinks((target, request) => {
          switch (form) {
            case "none":
              return undefined
            case "absolute":
              return linkTo(Origin.of(request, {}) + target)
            case "bare":
              return `${Origin.of(request, {})}${target}; rel=next`
            case "query":
              return linkTo(target.slice(target.indexOf("?")))
            case "shortened":
              return linkTo(target.replace(/^\/v2\/[^/]+\/(?=.*\/tags\/list)/, "/v2/"))
          }
        }),
  linkPrefix: (prefix) => changesLinks((target) => linkTo(prefix + target)),
  linkQuery: (query) => changesLinks((target) => linkTo(`${target}&${query}`)),
  previousLinks: () =>
    sets(["ListReferrers"], ({ link }, _operation, request) =>
      link === undefined ? {} : { link: `<${request.url}>; rel="prev" , ${link}` }
    ),
  tagMaps: () => tagLists((document) => ({ ...document, child: [], manifest: {} })),
  emptyTags: (form) =>
    tagLists(({ tags, ...document }) =>
      Array.isArray(tags) && tags.length > 0
        ? { ...document, tags }
        : { ...document, ...(form === "null" ? { tags: null } : {}) }
    ),
  strayTags: (stray) =>
    tagLists(({ tags, ...document }) => ({
      ...document,
      tags: Array.isArray(tags) && tags.length > 0 ? [...tags, ...stray] : tags
    })),
  paging: () => withSize(() => undefined),
  maxPageSize: (most) => withSize((n) => Math.min(n ?? most, most)),
  pageSize: (size) => withSize((n) => n ?? size),
  tagOrder: () => reversed
}

const linkTo = (target: string): string => Link.format([{ target, rel: ["next"] }])

/** Says the target of each link to a next page in other words, or does not say it. */
const changesLinks = (
  f: (target: string, request: HttpServerRequest) => string | undefined
): Quirk =>
  sets(lists, ({ link = "" }, _operation, request) =>
    Option.match(Link.next(link), {
      onNone: () => ({}),
      onSome: (target) => ({ link: f(target, request) })
    })
  )

const nextInBody: Quirk = changes(lists, (response) =>
  Effect.map(documentOf(response), (document) =>
    withDocument(
      response,
      { ...document, next: Option.getOrElse(Link.next(response.headers["link"] ?? ""), () => "") },
      { link: undefined }
    )
  )
)

const tagLists = (f: (document: Readonly<Record<string, unknown>>) => object): Quirk =>
  changes(["ListTags"], (response) =>
    Effect.map(documentOf(response), (document) => withDocument(response, f(document)))
  )

const withSize = (f: (n: number | undefined) => number | undefined): Quirk =>
  rewrites(["ListTags"], ({ n }, request) => {
    const size = f(n)
    return {
      url: withParameters(
        request,
        size === undefined ? { n: undefined, last: undefined } : { n: String(size) }
      )
    }
  })

/** Tags from the last to the first, in pages of its own. */
const reversed: Quirk = (next) => (received) =>
  Effect.gen(function* () {
    const operation = operationOf(received, "ListTags")
    if (operation === undefined) return yield* next(received)
    const { n, repository } = operation
    const whole = asking(received, Operation.ListTags({ repository }))
    const response = yield* next({
      ...whole,
      request: received.request.modify({ url: Route.tagsPath(repository) })
    })
    if (response.status !== 200) return response
    const { tags } = yield* documentOf(response)
    const all = Array.isArray(tags) ? tags.map(String).reverse() : []
    const rest = all.slice(all.indexOf(urlOf(received.request).searchParams.get("last") ?? "") + 1)
    const page = rest.slice(0, n)
    const last = page.at(-1)
    const query = new URLSearchParams({ n: String(n), last: last ?? "" })
    return ChangedResponse.withHeaders(
      ServerResponse.json(200, { name: repository, tags: page }),
      last === undefined || page.length === rest.length
        ? {}
        : { link: linkTo(`${Route.tagsPath(repository)}?${query}`) }
    )
  })
