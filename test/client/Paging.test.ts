import { describe, expect, it } from "@effect/vitest"
import {
  type AfterFailure,
  type AfterPage,
  afterFailure,
  afterPage,
  type FailureKind,
  initial,
  type Page,
  type PageKind,
  type Phase,
  type State,
  transitions
} from "../../src/client/lists/Paging.js"

/** A list in a phase whose pages are to have two entries, and of which two items are known. */
const size = 2
const known = 2
const at = (phase: Phase): State => ({ ...initial(size), phase })

/** A page of each kind, for a list of which two items are known before it. */
const pages: Readonly<Record<PageKind, Page>> = {
  link: { link: "Next", entries: 2, items: 2, fresh: 2, known: 4 },
  last: { link: "Start", entries: 2, items: 2, fresh: 2, known: 4 },
  full: { link: "None", entries: 2, items: 2, fresh: 2, known: 4 },
  repeated: { link: "None", entries: 2, items: 2, fresh: 0, known },
  rest: { link: "None", entries: 5, items: 5, fresh: 1, known: 3 },
  nothing: { link: "None", entries: 3, items: 3, fresh: 0, known },
  fewer: { link: "None", entries: 1, items: 1, fresh: 0, known }
}

const columns = ["link", "last", "full", "repeated", "rest", "nothing", "fewer"] as const
const failures = ["missing", "refused"] as const

const next = (phase: Phase, kind: PageKind | FailureKind): AfterPage | AfterFailure =>
  kind === "missing" || kind === "refused"
    ? afterFailure(at(phase), kind, known).next
    : afterPage(at(phase), pages[kind]).next

describe("how a list goes on", () => {
  const rows: ReadonlyArray<readonly [Phase, ReadonlyArray<AfterPage | AfterFailure>]> = [
    // After link, last, full, repeated, rest, nothing, fewer, missing, refused.
    ["start", ["linked", "end", "guessed", "whole", "end", "end", "end", "fail", "unsized"]],
    ["unsized", ["linked", "end", "end", "end", "end", "end", "end", "fail", "fail"]],
    ["linked", ["linked", "end", "end", "end", "end", "end", "end", "restarted", "partial"]],
    ["restarted", ["restarted", "end", "end", "end", "end", "end", "end", "partial", "partial"]],
    [
      "guessed",
      ["linked", "end", "continued", "whole", "end", "confirming", "confirming", "whole", "whole"]
    ],
    ["continued", ["linked", "end", "continued", "whole", "end", "end", "end", "whole", "whole"]],
    [
      "confirming",
      ["linked", "end", "unlinked", "end", "end", "end", "unlinked", "unlinked", "unlinked"]
    ],
    [
      "whole",
      ["linked", "end", "unlinked", "unlinked", "end", "end", "unlinked", "unlinked", "unlinked"]
    ]
  ]

  it.each(rows)("in phase %s: %j", (phase, expected) => {
    expect([...columns, ...failures].map((kind) => next(phase, kind))).toEqual(expected)
  })

  it("is said of every phase, for every page and failure", () => {
    expect(rows.map(([phase]) => phase)).toEqual(Object.keys(transitions))
    for (const row of Object.values(transitions))
      expect(Object.keys(row)).toEqual([...columns, ...failures])
  })

  it("never ends without an error after a failure", () => {
    for (const phase of Object.values(transitions))
      for (const kind of failures) expect(phase[kind]).not.toBe("end")
  })
})

describe("a page size", () => {
  it("that was not asked for cannot be refused", () => {
    expect(afterFailure(initial(undefined), "refused", 0).next).toBe("fail")
  })

  it("is not asked for again once it was refused", () => {
    const { state } = afterFailure(initial(size), "refused", 0)
    expect(state).toMatchObject({ phase: "unsized", size: undefined })
    expect(afterPage(state, pages.full).next).toBe("end")
  })

  it("is not asked for again once the list was asked for as a whole", () => {
    const whole = afterPage(at("guessed"), pages.repeated).state
    expect(whole).toMatchObject({ phase: "whole", size })
    const linked = afterPage(whole, pages.link).state
    expect(linked).toMatchObject({ phase: "linked", size: undefined })
    expect(afterFailure(linked, "missing", 4).state).toMatchObject({
      phase: "restarted",
      size: undefined
    })
  })

  it("of nothing is that of an empty list", () => {
    const nothing: Page = { link: "None", entries: 0, items: 0, fresh: 0, known: 0 }
    expect(afterPage(initial(0), nothing).next).toBe("end")
  })
})

describe("progress", () => {
  const stale: Page = { link: "Next", entries: 2, items: 2, fresh: 0, known }
  const empty: Page = { link: "Next", entries: 0, items: 0, fresh: 0, known }
  const useless: Page = { ...empty, entries: 2 }

  /** What comes of the pages in order, up to the first that is not a further page. */
  const run = (from: State, ...pages: ReadonlyArray<Page>) => {
    let state = from
    for (const [read, page] of pages.entries()) {
      const step = afterPage(state, page)
      if (step.next === "stuck") return read + 1
      state = step.state
    }
    return "goes on"
  }
  const times = (count: number, page: Page) => Array.from({ length: count }, () => page)

  it.each([
    ["two pages in a row have nothing new", [stale, stale], 2],
    ["these have an empty one between them", [stale, empty, stale], 3],
    ["a hundred are empty", times(101, empty), 100],
    ["a hundred have nothing that is an item", times(101, useless), 100]
  ] as const)("has ended when %s", (_, pages, expected) => {
    expect(run(at("linked"), ...pages)).toBe(expected)
  })

  it.each([
    ["a page with something new comes between them", [stale, pages.link, stale, pages.link, stale]],
    [
      "99 empty ones are followed by something new",
      [...times(99, empty), pages.link, ...times(99, empty)]
    ]
  ] as const)("has not ended when %s", (_, pages) => {
    expect(run(at("linked"), ...pages)).toBe("goes on")
  })

  it("after a restart are pages up to the point that was reached before", () => {
    const restarted = afterFailure(at("linked"), "missing", 6).state
    expect(restarted.replay).toBe(6)
    expect(run(restarted, stale, stale, stale)).toBe("goes on")
    expect(run(restarted, stale, stale, stale, stale, stale)).toBe(5)
    expect(run(restarted, ...times(100, empty))).toBe(100)
  })
})
