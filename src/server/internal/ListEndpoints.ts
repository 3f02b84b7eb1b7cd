/** The lists of a registry server: tags, repositories and referrers, and their pages. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Case } from "../../protocol/internal/OperationCases.js"
import * as Route from "../../protocol/internal/Route.js"
import * as Link from "../../protocol/Link.js"
import type { ListOptions, Registry } from "../../Registry.js"
import * as Manifest from "../../spec/Manifest.js"
import * as MediaType from "../../spec/MediaType.js"
import type { Tag } from "../../spec/Reference.js"
import * as ServerResponse from "./ServerResponse.js"

/**
 * Lists the tags, in the registry's order or without regard to case (R33); all of them unless the
 * client asked for pages.
 */
export const listTags = (
  registry: Registry.Service,
  operation: Case<"ListTags">,
  order: "ASCII" | "lexical",
  request: HttpServerRequest
) => {
  const tags = (options?: ListOptions<Tag>) => registry.tags(operation.repository, options)
  return Effect.map(
    page(
      order === "ASCII"
        ? after(operation, request, tags)
        : Stream.unwrap(Effect.map(Stream.runCollect(tags()), lexicalAfter(lastOf(request)))),
      operation.n,
      Route.tagsPath(operation.repository)
    ),
    ({ headers, items }) =>
      ServerResponse.json(200, { name: operation.repository, tags: items }, headers)
  )
}

/** The items after `last`, without regard to case, and by their code where nothing else differs. */
const lexicalAfter =
  (last: string) =>
  <A extends string>(items: Iterable<A>): Stream.Stream<A> =>
    Stream.fromIterable(
      Array.from(items)
        .filter((item) => lexical(item, last) > 0)
        .sort(lexical)
    )

const lexical = (a: string, b: string): number =>
  ascii(a.toLowerCase(), b.toLowerCase()) || ascii(a, b)

const ascii = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1)

/**
 * Lists the repositories, in the registry's order (C92); all of them unless the client asked for
 * pages.
 */
export const listRepositories = (
  registry: Registry.Service,
  operation: Case<"ListRepositories">,
  request: HttpServerRequest
) =>
  Effect.map(
    page(after(operation, request, registry.repositories), operation.n, Route.catalogPath),
    ({ headers, items }) => ServerResponse.json(200, { repositories: items }, headers)
  )

/**
 * Lists the referrers of a manifest as an image index, at most `pageSize` of them (R34 to R37).
 * They are in the order of their digests: what is deleted between two requests cannot make the
 * second one lose its place.
 */
export const listReferrers = Effect.fnUntraced(function* (
  registry: Registry.Service,
  { artifactType, digest, repository }: Case<"ListReferrers">,
  pageSize: number,
  request: HttpServerRequest
) {
  const start = lastOf(request)
  const all = Chunk.toReadonlyArray(
    yield* Stream.runCollect(registry.referrers(repository, digest, { artifactType }))
  )
  const rest = all
    .filter((item) => item.digest > start)
    .sort((a, b) => (a.digest < b.digest ? -1 : 1))
  const manifests = rest.slice(0, pageSize)
  const last = manifests.at(-1)?.digest
  return ServerResponse.bytes(200, Manifest.index({ manifests }).bytes, MediaType.imageIndex, {
    ...(artifactType === undefined ? {} : { "oci-filters-applied": "artifactType" }),
    ...(last === undefined || rest.length <= pageSize
      ? {}
      : nextPage(Route.referrersPath(repository, digest), { artifactType, last }))
  })
})

/**
 * The items after `last`. A `last` that no item can be is no value for the registry: it is asked
 * for all, and what comes before is passed over.
 */
const after = <A extends string, E>(
  { last, n }: { readonly last?: A | undefined; readonly n?: number | undefined },
  request: HttpServerRequest,
  list: (options: ListOptions<A>) => Stream.Stream<A, E>
): Stream.Stream<A, E> => {
  const start = lastOf(request)
  if (last === undefined && start !== "") return Stream.filter(list({}), (item) => item > start)
  // One item more than the page has tells whether there is another page.
  return list({ pageSize: n === undefined ? undefined : n + 1, after: last })
}

const lastOf = (request: HttpServerRequest): string =>
  new URL(request.url.replaceAll("+", "%2B"), "http://localhost").searchParams.get("last") ?? ""

/**
 * The page, and a Link unless it is the last (R33). An empty page has no last item to continue
 * after (C83).
 */
const page = <E>(items: Stream.Stream<string, E>, n: number | undefined, path: string) =>
  Effect.map(
    Stream.runCollect(n === undefined ? items : Stream.take(items, n + 1)),
    (
      chunk
    ): {
      readonly items: ReadonlyArray<string>
      readonly headers: Readonly<Record<string, string>>
    } => {
      const all = Chunk.toReadonlyArray(chunk)
      if (n === undefined) return { items: all, headers: {} }
      const last = all[n - 1]
      return {
        items: all.slice(0, n),
        headers: last === undefined || all.length <= n ? {} : nextPage(path, { n: String(n), last })
      }
    }
  )

const nextPage = (path: string, parameters: Readonly<Record<string, string | undefined>>) => {
  const query = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]
  )
  return { link: Link.format([{ target: `${path}?${query.join("&")}`, rel: ["next"] }]) }
}
