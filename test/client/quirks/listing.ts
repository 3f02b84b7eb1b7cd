/** Section 5: what differs in the pages of lists, and in the links between them. */
import * as Effect from "effect/Effect"
import type { Registry } from "../../../src/Registry.js"
import { items } from "../../support/fixtures.js"
import { status } from "../world.js"
import { app } from "./content.js"
import {
  type Answer,
  answers,
  is,
  type Kind,
  type Quirk,
  rewrites,
  type Seen,
  sets
} from "./mock.js"
import type { Row } from "./row.js"

const errors = (code: string) => JSON.stringify({ errors: [{ code }] })

const tags = (n?: number) => (registry: Registry.Service) =>
  items(registry.tags(app, { pageSize: n }))
const repositories = (n?: number) => (registry: Registry.Service) =>
  items(registry.repositories({ pageSize: n }))
const both = ["multi", "v1"]
const list = "GET /v2/team/app/tags/list"
const catalog = "GET /v2/_catalog"
/** The two tags on a page each. */
const inPages = [`${list}?n=1`, `${list}?n=1&last=multi`]

/** The query is another one on its way to the registry. */
const asks = (
  kind: Kind,
  other: (parameters: URLSearchParams) => Record<string, string | undefined>
): Quirk =>
  rewrites(kind, ({ url }) => {
    const changed = new URL(url)
    for (const [name, value] of Object.entries(other(url.searchParams))) {
      if (value === undefined) changed.searchParams.delete(name)
      else changed.searchParams.set(name, value)
    }
    return { url: changed }
  })

/** The target of a link is said in other words. */
const links = (other: (target: string, seen: Seen) => string | undefined): Quirk =>
  sets("", (headers, seen) => {
    const target = /^<(.*)>/.exec(headers.get("link") ?? "")?.[1]
    return target === undefined ? {} : { link: other(target, seen) }
  })

/** The document is another one. */
const says =
  (kind: Kind, other: (document: Record<string, unknown>, headers: Headers) => unknown): Quirk =>
  (healthy) =>
  (seen) =>
    Effect.flatMap(healthy(seen), (answer): Effect.Effect<Answer> => {
      if (answer === "cut" || !is(kind)(seen)) return Effect.succeed(answer)
      return Effect.map(
        Effect.promise(() => answer.json()),
        (document) =>
          status(
            answer.status,
            JSON.stringify(other(Object(document), answer.headers)),
            withoutLength(answer.headers)
          )
      )
    })

const withoutLength = (headers: Headers) =>
  Object.fromEntries([...headers].filter(([name]) => name !== "content-length"))

/** Answers by path and query, where nothing of the healthy registry is left. */
const scripted = (
  script: Readonly<Record<string, string | readonly [document: string, link: string]>>
): Quirk =>
  answers("", ({ method, url }) => {
    const said = script[`${method} ${url.pathname}${url.search}`]
    if (said === undefined) return status(599)
    const [document, link] = typeof said === "string" ? [said] : said
    return status(200, document, link === undefined ? {} : { link })
  })

const tagLists: ReadonlyArray<Row> = [
  {
    at: ["§5 Docker Hub", "§5 GCR", "§5 distribution", "rule 15"],
    does: "ignores n, and has all tags on one page",
    quirks: [],
    switches: { paging: false },
    run: tags(1),
    gives: both,
    wire: [`${list}?n=1`]
  },
  {
    at: ["§5 Docker Hub", "§5 GHCR", "§5 ECR", "§5 ACR", "§5 Cloudflare"],
    does: "has a size of pages for whoever asks for none",
    quirks: [],
    switches: { pageSize: 1 },
    run: tags(),
    gives: both,
    wire: [list, `${list}?n=1&last=multi`]
  },
  {
    at: ["§5 ACR", "§5 Quay", "§5 distribution", "rule 15"],
    does: "has smaller pages than were asked for, and does not say so",
    quirks: [],
    switches: { maxPageSize: 1 },
    run: tags(2000),
    gives: both,
    wire: [`${list}?n=2000`, `${list}?n=1&last=multi`]
  },
  {
    at: ["§5 GHCR"],
    does: "takes pages as large as they are asked for",
    quirks: [],
    run: tags(10_000),
    gives: both,
    wire: [`${list}?n=10000`]
  },
  {
    at: ["§5 GHCR", "§5 Quay", "§5 Docker Hub", "§5 ECR", "rule 15"],
    does: "has an order of its own, which is kept (C86)",
    quirks: [says("Tags", () => ({ tags: ["z", "a", "10", "9"] }))],
    run: tags(),
    gives: ["z", "a", "10", "9"]
  },
  ...[405, 400].map(
    (code): Row => ({
      at: ["§5 ECR", "rule 15"],
      does: `refuses more than 1000 on a page with ${code}`,
      quirks: [],
      switches: { tagPageLimit: { over: 1000, status: code, code: "UNSUPPORTED" } },
      run: tags(1001),
      gives: both,
      wire: [`${list}?n=1001`, list]
    })
  ),
  {
    at: ["§5 ECR", "rule 14"],
    does: "has absolute links",
    quirks: [],
    switches: { links: "absolute" },
    run: tags(1),
    gives: both,
    wire: inPages
  },
  {
    at: ["§5 GHCR", "§5 zot", "§5 distribution", "rule 14"],
    does: "has relative links",
    quirks: [],
    run: tags(1),
    gives: both,
    wire: inPages
  },
  {
    at: ["rule 14"],
    does: "has links that are a query alone",
    quirks: [],
    switches: { links: "query" },
    run: tags(1),
    gives: both,
    wire: inPages
  },
  {
    at: ["§5 GCR"],
    does: "has maps of its own beside the tags, and the next page in the body",
    quirks: [
      links(() => undefined),
      says("Tags", (document, headers) => ({
        ...document,
        child: [],
        manifest: { "sha256:0": { tag: ["x"] } },
        next: /^<(.*)>/.exec(headers.get("link") ?? "")?.[1] ?? ""
      }))
    ],
    run: tags(1),
    gives: both,
    wire: inPages
  },
  {
    at: ["§5 ACR", "rule 14"],
    does: "has an empty orderby in its links",
    quirks: [],
    switches: { linkQuery: "orderby=" },
    run: tags(1),
    gives: both,
    wire: [`${list}?n=1`, `${list}?n=1&last=multi&orderby=`]
  },
  {
    at: ["§5 Quay", "rule 14"],
    does: "has an encrypted token in absolute links",
    quirks: [
      links(
        () => `<https://registry.example/v2/team/app/tags/list?next_page=gAAAA-_%3D%3D>; rel="next"`
      ),
      asks("Tags", (asked) =>
        asked.has("next_page") ? { next_page: undefined, n: "1", last: "multi" } : {}
      )
    ],
    run: tags(1),
    gives: both,
    wire: [`${list}?n=1`, `${list}?next_page=gAAAA-_%3D%3D`]
  },
  {
    at: ["§5 Artifactory"],
    does: "leaves the first components of the repository out of its links, and goes by numbers",
    quirks: [
      links(() => '</v2/app/tags/list?last=1&n=1>; rel="next"'),
      asks("Tags", (asked) => (asked.get("last") === "1" ? { last: "multi" } : {}))
    ],
    run: tags(1),
    gives: both,
    wire: [`${list}?n=1`, `${list}?last=1&n=1`]
  },
  {
    at: ["§5 Nexus"],
    does: "puts components before the path of its links, where nothing is",
    quirks: [
      links((target) => `<https://registry.example/repository/docker${target}>; rel="next"`),
      answers("", ({ url }) => (url.pathname.startsWith("/repository/") ? status(400) : undefined))
    ],
    run: tags(1),
    gives: both,
    wire: inPages
  },
  {
    at: ["§5 Nexus"],
    does: "has pages for whoever asks for them, and no links",
    quirks: [],
    switches: { links: "none" },
    run: tags(1),
    gives: both,
    wire: [...inPages, `${list}?n=1&last=v1`]
  },
  {
    at: ["§5 Nexus", "§5 Artifactory", "rule 15"],
    does: "has null and digests among its tags, which are left out, and counted",
    quirks: [
      scripted({
        [`${list}?n=3`]: `{"tags":[null,"a","sha256:${"0".repeat(64)}"]}`,
        [`${list}?n=3&last=a`]: '{"tags":["b"]}'
      })
    ],
    run: tags(3),
    gives: ["a", "b"],
    wire: [`${list}?n=3`, `${list}?n=3&last=a`]
  },
  {
    at: ["§5 Cloudflare", "rule 14"],
    does: "has links without brackets and quotes",
    quirks: [],
    switches: { links: "bare" },
    run: tags(1),
    gives: both,
    wire: inPages
  },
  {
    at: ["§5 Cloudflare"],
    does: "refuses an n of 0",
    quirks: [
      answers("Tags", ({ url }) => (url.searchParams.get("n") === "0" ? status(400) : undefined))
    ],
    run: tags(0),
    gives: both,
    wire: [`${list}?n=0`, list]
  },
  {
    at: ["§5 all"],
    does: "has an empty page for an n of 0, and no link",
    quirks: [],
    run: tags(0),
    gives: [],
    wire: [`${list}?n=0`]
  },
  {
    at: ["§5 all", "§5 zot"],
    does: "has links whose query is not escaped, and that count more than the last tag",
    quirks: [
      links((target) => `<${target}&x=a b|c>; rel="next"`),
      asks("Tags", (asked) => (asked.get("x") === "a b|c" ? { x: undefined } : {}))
    ],
    run: tags(1),
    gives: both,
    wire: [`${list}?n=1`, `${list}?n=1&last=multi&x=a%20b|c`]
  },
  {
    at: ["§5 zot"],
    does: "does not know the tag to go on after, since it was deleted: the list is read once more",
    quirks: [
      (healthy) => {
        let deleted = false
        return (seen) => {
          if (!is("Tags")(seen) || seen.url.searchParams.get("last") !== "multi" || deleted)
            return healthy(seen)
          deleted = true
          return Effect.succeed(status(404, errors("NAME_UNKNOWN")))
        }
      }
    ],
    run: tags(1),
    gives: both,
    wire: [...inPages, ...inPages]
  },
  {
    at: ["§5 distribution", "rule 15"],
    does: "has null for tags at the end",
    quirks: [
      scripted({
        [`${list}?n=1`]: [
          '{"name":"team/app","tags":["v1"]}',
          '</v2/team/app/tags/list?n=1&last=v1>; rel="next"'
        ],
        [`${list}?n=1&last=v1`]: '{"name":"team/app","tags":null}'
      })
    ],
    run: tags(1),
    gives: ["v1"],
    wire: [`${list}?n=1`, `${list}?n=1&last=v1`]
  },
  {
    at: ["rule 15"],
    does: "has no tags at all",
    quirks: [says("Tags", () => ({ name: "team/app" }))],
    run: tags(),
    gives: []
  },
  {
    at: ["rule 14"],
    does: "has several links in one field",
    quirks: [
      links(
        (target) =>
          `</v2/team/app/tags/list?p=0>; rel="prev" , <${target}>; title="a, b"; rel="last next"`
      )
    ],
    run: tags(1),
    gives: both,
    wire: inPages
  }
]

const catalogs: ReadonlyArray<Row> = [
  {
    at: ["§5 Docker Hub", "§5 GHCR"],
    does: "has no catalog",
    quirks: [],
    switches: { catalog: { status: 404, body: "404 page not found\n" } },
    run: repositories(),
    fails: { _tag: "Unsupported", operation: "listing repositories" },
    wire: [catalog]
  },
  {
    at: ["§5 ECR", "§5 GCR", "§5 Artifactory", "§5 Nexus", "§5 zot"],
    does: "has a catalog, in pages",
    quirks: [],
    run: repositories(1),
    gives: ["team/app", "team/base"],
    wire: [`${catalog}?n=1`, `${catalog}?n=1&last=team%2Fapp`]
  },
  {
    at: ["§5 Quay"],
    does: "has a token in the links of its catalog",
    quirks: [
      links(() => '</v2/_catalog?next_page=gAAAA%3D&n=1>; rel="next"'),
      asks("Catalog", (asked) =>
        asked.has("next_page") ? { next_page: undefined, last: "team/app" } : {}
      )
    ],
    run: repositories(1),
    gives: ["team/app", "team/base"],
    wire: [`${catalog}?n=1`, `${catalog}?next_page=gAAAA%3D&n=1`]
  },
  {
    at: ["§5 distribution", "rule 15"],
    does: "refuses more than so many repositories on a page with 400",
    quirks: [],
    switches: { catalogPageLimit: { over: 1000, status: 400, code: "PAGINATION_NUMBER_INVALID" } },
    run: repositories(2000),
    gives: ["team/app", "team/base"],
    wire: [`${catalog}?n=2000`, catalog]
  },
  ...[
    { host: "registry.example", linked: "https://registry.example" },
    // It forgets the port as well.
    { host: "registry.example:8443", linked: "https://registry.example" }
  ].map(
    ({ host, linked }): Row => ({
      at: ["§5 Cloudflare", "rule 14"],
      does: `links from the end of its catalog at ${host} to the start of that at ${linked}`,
      host,
      quirks: [sets("Catalog", () => ({ link: `${linked}/v2/_catalog?n=1000&last=; rel=next` }))],
      run: repositories(),
      gives: ["team/app", "team/base"],
      wire: [catalog]
    })
  ),
  {
    at: ["§5 Cloudflare", "rule 14"],
    does: "forgets its port in the links of its catalog (T4)",
    host: "registry.example:8443",
    quirks: [links((target) => `https://registry.example${target}; rel=next`)],
    run: repositories(1),
    fails: { _tag: "UntrustedLocation", kind: "Link", host: "registry.example" },
    wire: [`${catalog}?n=1`]
  }
]

export const rows: ReadonlyArray<Row> = [...tagLists, ...catalogs]
