import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Seen } from "../auth/origins.js"
import { items } from "../support/fixtures.js"
import { registryUrl, repository, status, world } from "./world.js"

const list = "/v2/team/app/tags/list"

/** What is asked for and what comes: one answer for each path with its query, and 599 for what must not be requested. */
type Wire = Readonly<Record<string, Response | (() => Response)>>

const serving = (wire: Wire) => ({
  [registryUrl]: ({ url }: Seen) => {
    const answer = wire[url.pathname + url.search] ?? status(599)
    return typeof answer === "function" ? answer() : answer.clone()
  }
})

const page = (body: string, link?: string): Response => status(200, body, link === undefined ? {} : { link })
const tags = (...names: ReadonlyArray<string>) => JSON.stringify({ name: "team/app", tags: names })
const repositories = (...names: ReadonlyArray<string>) => JSON.stringify({ repositories: names })

const paths = (log: ReadonlyArray<string>) =>
  log.map((line) => line.replace(`GET ${registryUrl}`, "").replace(" -", ""))

interface Row {
  readonly wire: Wire
  readonly n?: number
  readonly expected: ReadonlyArray<string>
}

const rows: Readonly<Record<string, Row>> = {
  "one page without Link": { wire: { [list]: page(tags("b", "a")) }, expected: ["b", "a"] },
  "distribution: relative links": {
    wire: {
      [`${list}?n=1`]: page(tags("a"), `<${list}?last=a&n=1>; rel="next"`),
      [`${list}?last=a&n=1`]: page(tags("b"))
    },
    n: 1,
    expected: ["a", "b"]
  },
  "ECR: absolute links, a short page and an empty one in between": {
    wire: {
      [list]: page(tags("a"), `<${registryUrl}${list}?next=1>; rel="next"`),
      [`${list}?next=1`]: page(tags(), `<${registryUrl}${list}?next=2>; rel="next"`),
      [`${list}?next=2`]: page(tags("b"))
    },
    expected: ["a", "b"]
  },
  "ACR: an empty orderby, kept as sent": {
    wire: {
      [list]: page(tags("v1"), `<${list}?last=v1&n=2&orderby=>; rel="next"`),
      [`${list}?last=v1&n=2&orderby=`]: page(tags("v2"))
    },
    expected: ["v1", "v2"]
  },
  "Quay and Cloudflare: a bare link": {
    wire: { [list]: page(tags("a"), `${registryUrl}${list}?last=a; rel=next`), [`${list}?last=a`]: page(tags("b")) },
    expected: ["a", "b"]
  },
  "a link relative to the page": {
    wire: { [list]: page(tags("a"), `<?last=a>; rel="next"`), [`${list}?last=a`]: page(tags("b")) },
    expected: ["a", "b"]
  },
  "Artifactory: the first components of the repository left out": {
    wire: {
      [list]: page(tags("a"), `</v2/app/tags/list?last=1&n=1>; rel="next"`),
      [`${list}?last=1&n=1`]: page(tags("b"))
    },
    expected: ["a", "b"]
  },
  "Nexus: components put before the path": {
    wire: {
      [list]: page(tags("a"), `<${registryUrl}/repository/docker/v2/team/app/tags/list?last=a>; rel="next"`),
      [`${list}?last=a`]: page(tags("b"))
    },
    expected: ["a", "b"]
  },
  "Nexus groups: as many as asked for, and no link": {
    wire: {
      [`${list}?n=2`]: page(tags("a", "b")),
      [`${list}?n=2&last=b`]: page(tags("c", "d")),
      [`${list}?n=2&last=d`]: page(tags())
    },
    n: 2,
    expected: ["a", "b", "c", "d"]
  },
  "Nexus groups: a null among as many as asked for": {
    wire: { [`${list}?n=2`]: page('{"tags":["a",null]}'), [`${list}?n=2&last=a`]: page(tags("b")) },
    n: 2,
    expected: ["a", "b"]
  },
  "a registry that ignores last": {
    wire: { [`${list}?n=2`]: page(tags("a", "b")), [`${list}?n=2&last=b`]: page(tags("a", "b")) },
    n: 2,
    expected: ["a", "b"]
  },
  "a registry that begins with last itself": {
    wire: {
      [`${list}?n=2`]: page(tags("a", "b")),
      [`${list}?n=2&last=b`]: page(tags("b", "c")),
      [`${list}?n=2&last=c`]: page(tags("c"))
    },
    n: 2,
    expected: ["a", "b", "c"]
  },
  "a registry that refuses last": {
    wire: { [`${list}?n=2`]: page(tags("a", "b")), [`${list}?n=2&last=b`]: status(400) },
    n: 2,
    expected: ["a", "b"]
  },
  "Docker Hub, GCR: n ignored": {
    wire: { [`${list}?n=2`]: page(tags("a", "b", "c")) },
    n: 2,
    expected: ["a", "b", "c"]
  },
  "n = 0 is an empty list (C83)": { wire: { [`${list}?n=0`]: page(tags()) }, n: 0, expected: [] },
  "ECR: n over 1000 refused with 405": {
    wire: { [`${list}?n=2000`]: status(405, '{"errors":[{"code":"UNSUPPORTED"}]}'), [list]: page(tags("a")) },
    n: 2000,
    expected: ["a"]
  },
  "distribution: n over the limit refused with 400": {
    wire: {
      [`${list}?n=2000`]: status(400, '{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}'),
      [list]: page(tags("a"))
    },
    n: 2000,
    expected: ["a"]
  },
  "GCR: next in the body, and other maps beside it": {
    wire: {
      [list]: page(`{"child":[],"manifest":{},"tags":["a"],"next":"${list}?t=1"}`),
      [`${list}?t=1`]: page('{"tags":["b"],"next":""}')
    },
    expected: ["a", "b"]
  },
  "Go: null for an empty list (trap 58)": { wire: { [list]: page('{"name":"x","tags":null}') }, expected: [] },
  "no list at all": { wire: { [list]: page('{"name":"x"}') }, expected: [] },
  "Nexus: null among the tags; Artifactory: digests among them; nonsense (T8)": {
    wire: { [list]: page(`{"tags":[null,"a",1,"sha256:${"0".repeat(64)}","../../x","b",{},"__proto__"]}`) },
    expected: ["a", "b", "__proto__"]
  },
  "GHCR: oldest first, kept so": { wire: { [list]: page(tags("z", "a", "10", "9")) }, expected: ["z", "a", "10", "9"] },
  "the same tag on two pages": {
    wire: { [list]: page(tags("a", "b"), `<${list}?p=2>; rel="next"`), [`${list}?p=2`]: page(tags("b", "c")) },
    expected: ["a", "b", "c"]
  },
  "other relations before next (HK defect 3)": {
    wire: {
      [list]: page(tags("a"), `<${list}?p=0>; rel="prev" , <${list}?p=2>; rel="next"`),
      [`${list}?p=2`]: page(tags("b"), `<${list}>; rel="prev"`)
    },
    expected: ["a", "b"]
  }
}

describe("tags", () => {
  it.effect.each(Object.entries(rows))("%s", ([, { expected, n, wire }]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(serving(wire))
      expect(yield* items(registry.tags(repository, { n }))).toEqual(expected)
      expect(paths(log)).toEqual(Object.keys(wire))
    })
  )

  it.effect("zot: a tag that is deleted while its page is awaited does not end the list", () =>
    Effect.gen(function* () {
      let deleted = false
      const { log, registry } = yield* world(
        serving({
          [list]: () => {
            const first = deleted ? tags("a", "c") : tags("a", "b")
            const link = `<${list}?last=${deleted ? "c" : "b"}>; rel="next"`
            deleted = true
            return page(first, link)
          },
          [`${list}?last=b`]: status(404, '{"errors":[{"code":"NAME_UNKNOWN"}]}'),
          [`${list}?last=c`]: page(tags("d"))
        })
      )
      expect(yield* items(registry.tags(repository))).toEqual(["a", "b", "c", "d"])
      expect(paths(log)).toEqual([list, `${list}?last=b`, list, `${list}?last=c`])
    })
  )

  it.effect("that vanish twice are an error", () =>
    Effect.gen(function* () {
      const { registry } = yield* world(
        serving({ [list]: page(tags("a"), `<${list}?last=a>; rel="next"`), [`${list}?last=a`]: status(404) })
      )
      expect(yield* Effect.flip(items(registry.tags(repository)))).toMatchObject({ _tag: "NameUnknown" })
    })
  )

  it.effect("are requested a page at a time, as they are consumed", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(serving({ [list]: page(tags("a"), `<${list}?p=2>; rel="next"`) }))
      expect(yield* items(Stream.take(registry.tags(repository), 1))).toEqual(["a"])
      expect(paths(log)).toEqual([list])
    })
  )

  it.effect.each([
    ["a page of HTML", "<html>hello</html>"],
    ["an array", "[]"],
    ["null", "null"],
    ["a text for the list", '{"tags":"a"}'],
    ["half a document", '{"tags":["a"'],
    ["nothing", ""]
  ] as const)("are not read from %s with 200", ([, body]) =>
    Effect.gen(function* () {
      const { registry } = yield* world(serving({ [list]: page(body) }))
      expect(yield* Effect.flip(items(registry.tags(repository)))).toMatchObject({
        _tag: "ProtocolViolation",
        status: 200
      })
    })
  )
})

describe("repositories", () => {
  const catalog = "/v2/_catalog"

  it.effect("Cloudflare: the link at the end, back to the start, ends the list", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        serving({
          [`${catalog}?n=1`]: page(repositories("a"), `<${registryUrl}${catalog}?n=1&last=a>; rel=next`),
          [`${catalog}?n=1&last=a`]: page(repositories("b"), `<${registryUrl}${catalog}?n=1&last=>; rel=next`)
        })
      )
      expect(yield* items(registry.repositories({ n: 1 }))).toEqual(["a", "b"])
      expect(log.length).toBe(2)
    })
  )

  it.effect("cannot be listed where there is no catalog", () =>
    Effect.gen(function* () {
      for (const answer of [status(404, "404 page not found"), status(405), status(501)]) {
        const { registry } = yield* world(serving({ [catalog]: answer }))
        expect(yield* Effect.flip(items(registry.repositories()))).toMatchObject({ _tag: "Unsupported" })
      }
    })
  )
})

describe("a list without end (T4)", () => {
  it.effect("that leads in a circle is an error", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        serving({
          [list]: page(tags("a"), `<${list}?p=2>; rel="next"`),
          [`${list}?p=2`]: page(tags("b"), `<${list}?p=3>; rel="next"`),
          [`${list}?p=3`]: page(tags("c"), `<${list}?p=2>; rel="next"`)
        })
      )
      expect(yield* Effect.flip(items(registry.tags(repository)))).toMatchObject({ _tag: "ProtocolViolation" })
      expect(log.length).toBe(3)
    })
  )

  const endless = (tagsOf: (page: number) => string) => ({
    [registryUrl]: ({ url }: Seen) => {
      const n = Number(url.searchParams.get("p") ?? "1")
      return page(tagsOf(n), `<${list}?p=${n + 1}>; rel="next"`)
    }
  })

  it.effect("is cut off with an error after so many pages, be they empty", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        endless(() => tags()),
        { limits: { pages: 7 } }
      )
      expect(yield* Effect.flip(items(registry.tags(repository)))).toMatchObject({
        _tag: "LimitExceeded",
        limit: 7,
        option: "limits.pages"
      })
      expect(log.length).toBe(7)
    })
  )

  it.effect("is cut off with an error after so many items", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        endless((n) => tags(`a${n}`, `b${n}`)),
        { limits: { items: 6 } }
      )
      expect(yield* Effect.flip(items(registry.tags(repository)))).toMatchObject({
        _tag: "LimitExceeded",
        limit: 6,
        option: "limits.items"
      })
      expect(log.length).toBe(4)
    })
  )

  it.effect.each([
    ["another host", "https://evil.example/v2/team/app/tags/list?last=a"],
    ["another port", "https://r.example:8443/v2/team/app/tags/list?last=a"],
    ["plain http", "http://r.example/v2/team/app/tags/list?last=a"],
    ["a private address", "https://10.0.0.1/v2/team/app/tags/list"],
    ["another part of the host", "https://r.example/admin?x=/v2/"],
    ["another part of the host, by dots", "/v2/../admin/list"],
    ["a user name", "https://u@r.example/v2/team/app/tags/list"]
  ] as const)("or one that goes on at %s, is not followed", ([, target]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(serving({ [list]: page(tags("a"), `<${target}>; rel="next"`) }))
      expect(yield* Effect.flip(items(registry.tags(repository)))).toMatchObject({
        _tag: "UntrustedLocation",
        kind: "Link"
      })
      expect(paths(log)).toEqual([list])
    })
  )

  it.effect("does not become the list of another repository", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        serving({
          [list]: page(tags("a"), `</v2/secret/tags/list?last=a>; rel="next"`),
          [`${list}?last=a`]: page(tags("b"))
        })
      )
      expect(yield* items(registry.tags(repository))).toEqual(["a", "b"])
      expect(log.join("\n")).not.toContain("secret")
    })
  )
})
