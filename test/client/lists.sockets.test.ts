/** Lists over real sockets: what is asked for, and that none is ever cut short without an error. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Stream from "effect/Stream"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import { utf8 } from "../support/fixtures.js"
import { type Reply, type Script, scriptOn, socketRegistry } from "../support/socketRegistry.js"
import { m1Digest, m1Type, repository } from "./world.js"

const entry = (n: number) => ({
  mediaType: m1Type,
  digest: `sha256:${String(n).repeat(64).slice(0, 64)}`,
  size: n,
  artifactType: "application/vnd.example"
})
const index = (...entries: ReadonlyArray<number>): string =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MediaType.imageIndex,
    manifests: entries.map(entry)
  })
const indexType = { "content-type": MediaType.imageIndex }
const html = { "content-type": "Text/HTML; charset=utf-8" }

const path = `/v2/team/app/referrers/${m1Digest}`
const list = `GET ${path}`
const byTag = `GET /v2/team/app/manifests/${m1Digest.replace(":", "-")}`
const errors = '{"errors":[{"code":"UNAVAILABLE","message":"try later"}]}'

/** What came of a list: its items, and the tag and message of its error. */
const outcome = <A, E extends { readonly _tag: string; readonly message: string }>(
  stream: Stream.Stream<A, E>
) =>
  Effect.gen(function* () {
    const items: Array<A> = []
    const error = yield* Effect.match(
      Stream.runForEach(stream, (item) => Effect.sync(() => items.push(item))),
      { onSuccess: () => undefined, onFailure: ({ _tag, message }) => [_tag, message] as const }
    )
    return { items, tag: error?.[0], message: error?.[1] ?? "" }
  })

describe("a list of referrers whose second page is not there", () => {
  const second: ReadonlyArray<readonly [name: string, reply: Reply]> = [
    ...[400, 405, 406, 410, 501].map((status) => [String(status), { status }] as const),
    ["404 of a proxy", { status: 404, body: "404 page not found\n" }],
    ["HTML", { headers: html, body: "<html>sorry</html>" }],
    ["JSON of errors", { headers: { "content-type": "application/json" }, body: errors }],
    ["nothing", { body: "" }],
    [
      "a Docker manifest list",
      { headers: { "content-type": MediaType.dockerManifestList }, body: index(2) }
    ]
  ]

  it.scopedLive.each(second)("fails after its first page: %s", ([, reply]) =>
    Effect.gen(function* () {
      const { lines, registry } = yield* socketRegistry(() => ({
        [list]: {
          headers: { ...indexType, link: `<${path}?p=2>; rel="next"` },
          body: index(1)
        },
        [`${list}?p=2`]: reply,
        [byTag]: { headers: indexType, body: index(9) }
      }))
      const { items, message, tag } = yield* outcome(registry.referrers(repository, m1Digest))
      expect([items.map(({ size }) => size), tag]).toEqual([[1], "ProtocolViolation"])
      expect(message).toContain("The list is partial")
      // zot answers 404 where the item to go on after was deleted meanwhile.
      const again = reply.status === 404 ? [list, `${list}?p=2`] : []
      expect(lines()).toEqual([list, `${list}?p=2`, ...again])
    })
  )
})

describe("a list of referrers that comes with errors", () => {
  const withErrors = { headers: indexType, body: index(2).replace("{", `${errors.slice(0, -1)},`) }
  const empty = { headers: indexType, body: `{"schemaVersion":2,${errors.slice(1)}` }

  it.scopedLive.each([withErrors, empty])("fails, on whatever page they are (%#)", (reply) =>
    Effect.gen(function* () {
      const script = { [byTag]: { headers: indexType, body: index(9) } }
      const first = yield* socketRegistry(() => ({ ...script, [list]: reply }))
      const second = yield* socketRegistry(() => ({
        ...script,
        [list]: { headers: { ...indexType, link: `<${path}?p=2>; rel="next"` }, body: index(1) },
        [`${list}?p=2`]: reply
      }))
      for (const [{ lines, registry }, sizes] of [
        [first, []],
        [second, [1]]
      ] as const) {
        const { items, message, tag } = yield* outcome(registry.referrers(repository, m1Digest))
        expect([items.map(({ size }) => size), tag]).toEqual([sizes, "ProtocolViolation"])
        expect(message).toContain("errors instead of a list of referrers: the server says UNAVAIL")
        expect(lines().join()).not.toContain("/manifests/")
      }
    })
  )
})

describe("a list of referrers whose second page is elsewhere", () => {
  it.scopedLive.each([200, 404, 429, 503])(
    "fails after its first page: 303 to HTML with %i",
    (status) =>
      Effect.gen(function* () {
        const { lines, registry } = yield* socketRegistry((url) => ({
          [list]: { headers: { ...indexType, link: `<${path}?p=2>; rel="next"` }, body: index(1) },
          [`${list}?p=2`]: { status: 303, headers: { location: `${url}/page` } },
          "GET /page": { status, headers: html, body: "<html>" }
        }))
        const { items, message, tag } = yield* outcome(registry.referrers(repository, m1Digest))
        expect([items.length, tag]).toEqual([1, "ProtocolViolation"])
        expect(message).toContain("The list is partial")
        expect(lines().join()).not.toContain("/manifests/")
      })
  )

  it.scopedLive.each([429, 503])("fails as the host fails that it is redirected to: %i", (status) =>
    Effect.gen(function* () {
      const { lines, registry } = yield* socketRegistry((url) => ({
        [list]: { headers: { ...indexType, link: `<${path}?p=2>; rel="next"` }, body: index(1) },
        [`${list}?p=2`]: { status: 307, headers: { location: `${url}/page` } },
        "GET /page": { status }
      }))
      const { items, tag } = yield* outcome(registry.referrers(repository, m1Digest))
      expect([items.length, tag]).toEqual([
        1,
        status === 429 ? "TooManyRequests" : "RegistryFailure"
      ])
      expect(lines().join()).not.toContain("/manifests/")
    })
  )
})

describe("a host behind a redirect of /referrers/", () => {
  const put = `PUT /v2/team/app/manifests/v1`
  const subject = { mediaType: m1Type, digest: m1Digest, size: 1 }
  const referrer = Manifest.image({
    artifactType: "application/vnd.example",
    config: { ...subject, mediaType: MediaType.empty },
    layers: [],
    subject
  })

  interface Row {
    readonly redirect: number
    readonly answer: Reply
    /** What a list of referrers gives: the tag's, or an error. */
    readonly reads: "tag" | "TooManyRequests" | "RegistryFailure"
    /** Whether a push writes the referrers tag. */
    readonly writes: boolean
  }
  const rows: ReadonlyArray<Row> = [
    ...[301, 302, 307, 308].flatMap(
      (redirect): ReadonlyArray<Row> => [
        { redirect, answer: { status: 429 }, reads: "TooManyRequests", writes: false },
        { redirect, answer: { status: 503 }, reads: "RegistryFailure", writes: false },
        { redirect, answer: { status: 408 }, reads: "RegistryFailure", writes: false },
        { redirect, answer: { status: 501 }, reads: "RegistryFailure", writes: false },
        { redirect, answer: { status: 404 }, reads: "tag", writes: true },
        { redirect, answer: { status: 404, headers: html }, reads: "tag", writes: true },
        { redirect, answer: { status: 200, headers: html }, reads: "tag", writes: true },
        // A page for people, which is in no haste to say so.
        { redirect, answer: { status: 429, headers: html }, reads: "tag", writes: false }
      ]
    ),
    { redirect: 303, answer: { status: 404 }, reads: "tag", writes: true },
    { redirect: 303, answer: { status: 200, headers: html }, reads: "tag", writes: true },
    { redirect: 303, answer: { status: 429 }, reads: "tag", writes: false },
    { redirect: 303, answer: { status: 503, headers: html }, reads: "tag", writes: false }
  ]
  const cases = rows.map((row) => {
    const kind = row.answer.headers === undefined ? "" : " HTML"
    const writes = row.writes ? "is" : "is not"
    return [
      `${row.redirect} to ${row.answer.status}${kind}: ${row.reads}, which ${writes} written`,
      row
    ] as const
  })

  it.scopedLive.each(cases)("after %s", ([, { answer, reads, redirect, writes }]) =>
    Effect.gen(function* () {
      const other = yield* scriptOn(() => ({ "GET /x": answer }))
      const putTag = byTag.replace("GET", "PUT")
      const { lines, registry } = yield* socketRegistry(() => ({
        [list]: { status: redirect, headers: { location: `${other.url}/x` } },
        [byTag]: { headers: indexType, body: index(9) },
        [put]: { status: 201, headers: { "oci-subject": m1Digest } },
        [putTag]: { status: 201 }
      }))
      const { items, tag } = yield* outcome(registry.referrers(repository, m1Digest))
      expect(reads === "tag" ? items.length : tag).toBe(reads === "tag" ? 1 : reads)
      expect(lines()).toEqual(reads === "tag" ? [list, byTag] : [list])
      const pushed = yield* Effect.either(
        registry.putManifest(repository, referrer, { tags: ["v1" as never] })
      )
      expect(pushed._tag).toBe("Right")
      const before = reads === "tag" ? 2 : 1
      // After the list was written, another writer may have replaced it (CP09).
      const look = byTag.replace("GET", "HEAD")
      expect(lines().slice(before)).toEqual(writes ? [put, list, byTag, putTag, look] : [put, list])
    })
  )
})

describe("a referrer that is deleted", () => {
  const referrer = JSON.stringify({
    schemaVersion: 2,
    mediaType: MediaType.imageManifest,
    config: entry(1),
    layers: [],
    subject: { mediaType: m1Type, digest: m1Digest, size: 1 }
  })
  const manifest = `/v2/team/app/manifests/${Digest.fromBytes(utf8(referrer))}`

  it.scopedLive.each([
    [{ status: 503 }, false],
    [{ status: 429 }, false],
    [{ status: 500, headers: html }, false],
    [{ status: 404 }, true],
    [{ status: 501 }, false]
  ] as const)(
    "leaves the referrers tag as it is unless there is no list: %j, %s",
    ([reply, writes]) =>
      Effect.gen(function* () {
        const removed = entry(1)
        const { lines, registry } = yield* socketRegistry(() => ({
          [`GET ${manifest}`]: {
            headers: { "content-type": MediaType.imageManifest },
            body: referrer
          },
          [`DELETE ${manifest}`]: { status: 202 },
          [list]: reply,
          [byTag]: {
            headers: indexType,
            body: JSON.stringify({
              schemaVersion: 2,
              manifests: [{ ...removed, digest: Digest.fromBytes(utf8(referrer)) }]
            })
          },
          [byTag.replace("GET", "PUT")]: { status: 201 }
        }))
        yield* Effect.provide(
          registry.deleteManifest(repository, Digest.fromBytes(utf8(referrer))),
          Logger.remove(Logger.defaultLogger)
        )
        expect(lines()).toEqual([
          `GET ${manifest}`,
          list,
          // The list first, which some registries keep a referrer for (CP08), then another look.
          ...(writes ? [byTag, byTag.replace("GET", "PUT"), byTag.replace("GET", "HEAD")] : []),
          `DELETE ${manifest}`
        ])
      })
  )

  it.scopedLive("is said to be listed still, perhaps, where it could not be read", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const { lines, registry, url } = yield* socketRegistry(() => ({
        [`GET ${manifest}`]: { status: 500 },
        [`DELETE ${manifest}`]: { status: 202 }
      }))
      const digest = Digest.fromBytes(utf8(referrer))
      yield* Effect.provide(
        registry.deleteManifest(repository, digest),
        Logger.replace(
          Logger.defaultLogger,
          Logger.make(
            ({ message }) => void logged.push(String(Array.isArray(message) ? message[0] : message))
          )
        )
      )
      expect(lines()).toEqual([`GET ${manifest}`, `DELETE ${manifest}`])
      expect(logged).toEqual([
        `${new URL(url).host}/team/app@${digest} is deleted, and a referrers tag may still list it`
      ])
    })
  )
})

describe("a list of tags", () => {
  const tagsPath = "/v2/team/app/tags/list"
  const tags = `GET ${tagsPath}`
  const page = (names: ReadonlyArray<string>, link?: string): Reply => ({
    ...(link !== undefined && { headers: { link } }),
    body: JSON.stringify({ name: "team/app", tags: names })
  })
  const next = (query: string) => `<${tagsPath}?${query}>; rel="next"`

  const run = (script: Script, options?: { readonly pageSize: number }) =>
    Effect.gen(function* () {
      const { lines, registry } = yield* socketRegistry(() => script)
      return { ...(yield* outcome(registry.tags(repository, options))), lines: lines() }
    })

  it.scopedLive.each([
    ["a Link of more than 16 KiB", `<${tagsPath}?p=${"x".repeat(17_000)}>; rel="next"`],
    ["a Link to nowhere", '<>; rel="next"'],
    ["a relation without a Link", 'rel="next"']
  ] as const)("fails after the page with %s", ([, link]) =>
    Effect.gen(function* () {
      const { items, lines, message, tag } = yield* run({ [tags]: page(["a"], link) })
      expect([items, tag]).toEqual([["a"], "ProtocolViolation"])
      expect(message).toContain("its end is not known")
      expect(lines).toEqual([tags])
    })
  )

  it.scopedLive("goes on at a next page named after 200 other links", () =>
    Effect.gen(function* () {
      const others = "</x>; rel=x, ".repeat(200)
      const { items, tag } = yield* run({
        [tags]: page(["a"], `${others}${next("p=2")}`),
        [`${tags}?p=2`]: page(["b"])
      })
      expect([items, tag]).toEqual([["a", "b"], undefined])
    })
  )

  it.scopedLive.each([
    ["the specification's", errors],
    ["a bare one", '{"code":"NAME_UNKNOWN","message":"gone"}'],
    ["beside null", '{"tags":null,"errors":[{"code":"UNKNOWN"}]}'],
    ["beside an empty list", '{"tags":[],"errors":[{"code":"UNKNOWN"}]}'],
    ["beside some tags", '{"tags":["b"],"errors":[{"code":"UNKNOWN"}]}'],
    [
      "after more tags than errors are read of a body",
      JSON.stringify({
        tags: Array.from({ length: 9_000 }, (_, n) => `tag-${n}`),
        errors: [{ code: "UNKNOWN" }]
      })
    ]
  ] as const)("fails at 200 with errors instead of a list: %s", ([, body]) =>
    Effect.gen(function* () {
      const later = yield* run({ [tags]: page(["a"], next("p=2")), [`${tags}?p=2`]: { body } })
      expect([later.items, later.tag]).toEqual([["a"], "ProtocolViolation"])
      expect(later.message).toMatch(/errors instead of a list of tags: the server says [A-Z_]+/)
      const first = yield* run({ [tags]: { body } })
      expect([first.items, first.tag]).toEqual([[], "ProtocolViolation"])
    })
  )

  it.scopedLive.each(['{"errors":["busy"]}', '{"tags":null,"error":"busy"}'])(
    "fails at 200 with errors of no form that registries have: %s",
    (body) =>
      Effect.gen(function* () {
        const { items, message, tag } = yield* run({ [tags]: { body } })
        expect([items, tag]).toEqual([[], "ProtocolViolation"])
        expect(message).toContain("errors instead of a list of tags")
      })
  )

  const ends: ReadonlyArray<readonly [name: string, script: Script, lines: ReadonlyArray<string>]> =
    [
      [
        "repeats its page, and has no more without a page size",
        {
          [`${tags}?n=2`]: page(["a", "b"]),
          [`${tags}?n=2&last=b`]: page(["a", "b"]),
          [tags]: page(["a", "b"])
        },
        [`${tags}?n=2`, `${tags}?n=2&last=b`, tags]
      ],
      [
        "repeats its page, and has fewer without a page size",
        {
          [`${tags}?n=2`]: page(["a", "b"]),
          [`${tags}?n=2&last=b`]: page(["a", "b"]),
          [tags]: page(["a"])
        },
        [`${tags}?n=2`, `${tags}?n=2&last=b`, tags]
      ],
      [
        "refuses the next page, and a list without a page size",
        {
          [`${tags}?n=2`]: page(["a", "b"]),
          [`${tags}?n=2&last=b`]: { status: 400 },
          [tags]: { status: 400 }
        },
        [`${tags}?n=2`, `${tags}?n=2&last=b`, tags]
      ],
      [
        "has nothing after its page, and refuses a list without a page size",
        {
          [`${tags}?n=2`]: page(["a", "b"]),
          [`${tags}?n=2&last=b`]: page([]),
          [tags]: { status: 405 }
        },
        [`${tags}?n=2`, `${tags}?n=2&last=b`, tags]
      ]
    ]
  it.scopedLive.each(ends)("without links fails where it %s", ([, script, lines]) =>
    Effect.gen(function* () {
      const found = yield* run(script, { pageSize: 2 })
      expect([found.items, found.tag]).toEqual([["a", "b"], "ProtocolViolation"])
      expect(found.message).toContain("The list may be partial")
      expect(found.lines).toEqual(lines)
    })
  )

  it.scopedLive("that has the same page under ever new links fails at the second of them", () =>
    Effect.gen(function* () {
      const pages = [2, 3, 4, 5].map((n) => [
        `${tags}?p=${n}`,
        page(["a", "b"], next(`p=${n + 1}`))
      ])
      const found = yield* run({
        [tags]: page(["a", "b"], next("p=2")),
        ...Object.fromEntries(pages)
      })
      expect([found.items, found.tag]).toEqual([["a", "b"], "ProtocolViolation"])
      expect(found.lines).toEqual([tags, `${tags}?p=2`, `${tags}?p=3`])
    })
  )

  it.scopedLive.each([
    [99, undefined],
    [100, "ProtocolViolation"]
  ] as const)("with %i empty pages in a row ends with %s", ([count, expected]) =>
    Effect.gen(function* () {
      const pages = Array.from({ length: count }, (_, n) => [
        `${tags}?p=${n + 1}`,
        page([], next(`p=${n + 2}`))
      ])
      const found = yield* run({
        [tags]: page(["a"], next("p=1")),
        ...Object.fromEntries(pages),
        [`${tags}?p=${count + 1}`]: page(["b"])
      })
      expect([found.items, found.tag]).toEqual([
        expected === undefined ? ["a", "b"] : ["a"],
        expected
      ])
    })
  )

  it.scopedLive("that is read again after a 404 may repeat what it had, page by page", () =>
    Effect.gen(function* () {
      const found = yield* run({
        [tags]: page(["a", "b"], next("p=2")),
        [`${tags}?p=2`]: page(["c", "d"], next("p=3")),
        [`${tags}?p=3`]: page(["e", "f"], next("p=4")),
        [`${tags}?p=4`]: [{ status: 404 }, page(["g"])]
      })
      expect([found.items, found.tag]).toEqual([["a", "b", "c", "d", "e", "f", "g"], undefined])
      expect(found.lines.length).toBe(8)
    })
  )

  it.scopedLive("delivers a page before the error of its link", () =>
    Effect.gen(function* () {
      const elsewhere = yield* run({
        [tags]: page(["a", "b"], '<http://127.0.0.1:1/v2/team/app/tags/list?p=2>; rel="next"')
      })
      expect([elsewhere.items, elsewhere.tag]).toEqual([["a", "b"], "UntrustedLocation"])
      const circle = yield* run({
        [tags]: page(["a"], next("p=2")),
        [`${tags}?p=2`]: page(["b"], next("p=2"))
      })
      expect([circle.items, circle.tag]).toEqual([["a", "b"], "ProtocolViolation"])
    })
  )
})

describe("a catalog whose second page is not there", () => {
  it.scopedLive.each([404, 405, 501])(
    "fails as partial, not as a catalog that is missing: %i",
    (status) =>
      Effect.gen(function* () {
        const { registry } = yield* socketRegistry(() => ({
          "GET /v2/_catalog": {
            headers: { link: '</v2/_catalog?last=a>; rel="next"' },
            body: '{"repositories":["a"]}'
          },
          "GET /v2/_catalog?last=a": { status }
        }))
        const { items, message, tag } = yield* outcome(registry.repositories())
        expect([items, tag]).toEqual([["a"], "ProtocolViolation"])
        expect(message).toContain("The list is partial")
      })
  )
})
