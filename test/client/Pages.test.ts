import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import type { Seen } from "../support/fake/Handler.js"
import { items } from "../support/fixtures.js"
import { registryUrl, repository, status, world } from "./world.js"

const list = "/v2/team/app/tags/list"

/**
 * What is asked for and what comes: one answer for each path with its query, and 599 for what must
 * not be requested.
 */
type Wire = Readonly<Record<string, Response | (() => Response)>>

const serving = (wire: Wire) => ({
  [registryUrl]: ({ url }: Seen) => {
    const answer = wire[url.pathname + url.search] ?? status(599)
    return typeof answer === "function" ? answer() : answer.clone()
  }
})

const page = (body: string, link?: string): Response =>
  status(200, body, link === undefined ? {} : { link })
const tags = (...names: ReadonlyArray<string>) => JSON.stringify({ name: "team/app", tags: names })

const paths = (log: ReadonlyArray<string>) =>
  log.map((line) => line.replace(`GET ${registryUrl}`, "").replace(" -", ""))

interface Row {
  readonly wire: Wire
  readonly n?: number
  readonly expected: ReadonlyArray<string>
}

const rows: Readonly<Record<string, Row>> = {
  "a short page and an empty one in between (C85)": {
    wire: {
      [list]: page(tags("a"), `<${registryUrl}${list}?next=1>; rel="next"`),
      [`${list}?next=1`]: page(tags(), `<${registryUrl}${list}?next=2>; rel="next"`),
      [`${list}?next=2`]: page(tags("b"))
    },
    expected: ["a", "b"]
  },
  "a registry that ignores last, and has all without a page size": {
    wire: {
      [`${list}?n=2`]: page(tags("a", "b")),
      [`${list}?n=2&last=b`]: page(tags("a", "b")),
      [list]: page(tags("a", "b", "c"))
    },
    n: 2,
    expected: ["a", "b", "c"]
  },
  "a registry that ignores last, and has links without a page size": {
    wire: {
      [`${list}?n=2`]: page(tags("a", "b")),
      [`${list}?n=2&last=b`]: page(tags("a", "b")),
      [list]: page(tags("a", "b"), `<${list}?p=2>; rel="next"`),
      [`${list}?p=2`]: page(tags("c"))
    },
    n: 2,
    expected: ["a", "b", "c"]
  },
  "a registry that repeats the second page": {
    wire: {
      [`${list}?n=2`]: page(tags("a", "b")),
      [`${list}?n=2&last=b`]: page(tags("c", "d")),
      [`${list}?n=2&last=d`]: page(tags("c", "d")),
      [list]: page(tags("a", "b", "c", "d", "e"))
    },
    n: 2,
    expected: ["a", "b", "c", "d", "e"]
  },
  "a registry whose order is not that of last": {
    wire: {
      [`${list}?n=1`]: page(tags("z")),
      [`${list}?n=1&last=z`]: page(tags()),
      [list]: page(tags("z", "a", "m"))
    },
    n: 1,
    expected: ["z", "a", "m"]
  },
  "a registry that has just as many as were asked for": {
    wire: {
      [`${list}?n=2`]: page(tags("a", "b")),
      [`${list}?n=2&last=b`]: page(tags()),
      [list]: page(tags("a", "b"))
    },
    n: 2,
    expected: ["a", "b"]
  },
  "a registry that understands last, and has nothing more": {
    wire: {
      [`${list}?n=1`]: page(tags("a")),
      [`${list}?n=1&last=a`]: page(tags("b")),
      [`${list}?n=1&last=b`]: page(tags())
    },
    n: 1,
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
  ...Object.fromEntries(
    [400, 404, 405, 406, 416, 422, 501].map((code): [string, Row] => [
      `a registry that refuses last with ${code}`,
      {
        wire: {
          [`${list}?n=2`]: page(tags("a", "b")),
          [`${list}?n=2&last=b`]: status(code),
          [list]: page(tags("a", "b", "c"))
        },
        n: 2,
        expected: ["a", "b", "c"]
      }
    ])
  ),
  "a page size of nothing but nulls": {
    wire: { [`${list}?n=1`]: page('{"tags":[null]}'), [list]: page('{"tags":[null,"a"]}') },
    n: 1,
    expected: ["a"]
  },
  "a Link to other things than pages": {
    wire: {
      [`${list}?n=1`]: page(tags("a"), '</docs>; rel="help", </>; rel=up'),
      [`${list}?n=1&last=a`]: page(tags("b")),
      [`${list}?n=1&last=b`]: page(tags())
    },
    n: 1,
    expected: ["a", "b"]
  },
  "a next page named after 40 other links": {
    wire: {
      [list]: page(tags("a"), `${'</docs>; rel="help", '.repeat(40)}<${list}?p=2>; rel="next"`),
      [`${list}?p=2`]: page(tags("b"))
    },
    expected: ["a", "b"]
  },
  "an empty last beside a token, which is not the start of the list": {
    wire: {
      [list]: page(tags("a"), `<${list}?last=&next_page=t>; rel="next"`),
      [`${list}?last=&next_page=t`]: page(tags("b"))
    },
    expected: ["a", "b"]
  },
  "the same tag on two pages": {
    wire: {
      [list]: page(tags("a", "b"), `<${list}?p=2>; rel="next"`),
      [`${list}?p=2`]: page(tags("b", "c"))
    },
    expected: ["a", "b", "c"]
  }
}

describe("tags", () => {
  it.effect.each(Object.entries(rows))("%s", ([, { expected, n, wire }]) =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(serving(wire))
      expect(yield* items(registry.tags(repository, { pageSize: n }))).toEqual(expected)
      expect(paths(log)).toEqual(Object.keys(wire))
    })
  )

  it.effect("that are none are left out, with a warning unless null (T8)", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const noting = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ logLevel, message }) => void logged.push(`${logLevel.label} ${message}`))
      )
      const { registry } = yield* world(
        serving({
          [list]: page(
            `{"tags":[null,"a",1,"sha256:${"0".repeat(64)}","../../x","b",{},"__proto__"]}`
          )
        })
      )
      expect(yield* Effect.provide(items(registry.tags(repository)), noting)).toEqual([
        "a",
        "b",
        "__proto__"
      ])
      const { registry: empty } = yield* world(serving({ [list]: page('{"tags":[null]}') }))
      expect(yield* Effect.provide(items(empty.tags(repository)), noting)).toEqual([])
      expect(logged).toEqual([
        `WARN ${registryUrl} lists 4 invalid entries among its tags: left out`
      ])
    })
  )

  it.effect("that vanish twice are a partial list", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        serving({
          [list]: page(tags("a"), `<${list}?last=a>; rel="next"`),
          [`${list}?last=a`]: status(404, '{"errors":[{"code":"NAME_UNKNOWN"}]}')
        })
      )
      const error = yield* Effect.flip(items(registry.tags(repository)))
      expect([error._tag, error.message]).toEqual([
        "ProtocolViolation",
        `The list is partial: the registry gives no further page, although the page before it has a link to one: the server says NAME_UNKNOWN (GET ${registryUrl}${list}?last=a answered 404)`
      ])
      expect(paths(log)).toEqual([list, `${list}?last=a`, list, `${list}?last=a`])
    })
  )

  it.effect("are requested a page at a time, as they are consumed", () =>
    Effect.gen(function* () {
      const { log, registry } = yield* world(
        serving({ [list]: page(tags("a"), `<${list}?p=2>; rel="next"`) })
      )
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
      expect(yield* Effect.flip(items(registry.tags(repository)))).toMatchObject({
        _tag: "ProtocolViolation"
      })
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
      const { log, registry } = yield* world(
        serving({ [list]: page(tags("a"), `<${target}>; rel="next"`) })
      )
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
