/** How many connections a download uses: the whole rule, without any I/O. */
import { describe, expect, it } from "@effect/vitest"
import * as Plan from "../../src/client/blobs/ParallelPlan.js"

const figures: Plan.Figures = {
  segment: 100,
  window: 10,
  lead: 50,
  patience: 1000,
  worth: 1 / 3,
  least: 30,
  rest: 5000
}
const never = Number.POSITIVE_INFINITY

/** A state after its beginning, of so many connections. */
const state = (changes: Partial<Plan.State> = {}): Plan.State => ({
  ...Plan.begin(4, figures),
  ...changes
})

const start = { at: 1000, time: 500 }
/** Bytes and milliseconds after `start`. */
const later = (bytes: number, time: number): Plan.Moment => ({ at: 1000 + bytes, time: 500 + time })

describe("measuring", () => {
  it.each([
    ["begins once the connections are warm", state(), later(0, 0), true, { since: start }],
    ["waits for them", state(), later(0, 0), false, {}],
    ["takes a segment at least", state({ since: start }), later(99, 50), true, {}],
    ["takes the window at least", state({ since: start }), later(500, 9), true, {}],
    [
      "adds a connection to the first",
      state({ since: start }),
      later(100, 10),
      true,
      { connections: 2, before: 10, since: undefined }
    ],
    [
      "goes on when the connections are no longer all warm",
      state({ since: start }),
      later(100, 10),
      false,
      { connections: 2, before: 10, since: undefined }
    ],
    [
      "takes a segment of each connection",
      state({ connections: 2, before: 10, since: start }),
      later(199, 10),
      true,
      {}
    ],
    [
      "adds a third where the second brought a third of the first",
      state({ connections: 2, before: 15, since: start }),
      later(200, 10),
      true,
      { connections: 3, before: 20, since: undefined }
    ],
    [
      "measures the second again where it brought less",
      state({ connections: 2, before: 15.1, since: start }),
      later(200, 10),
      true,
      { doubtful: true, since: later(200, 10) }
    ],
    [
      "keeps it if it brings more then",
      state({ connections: 2, before: 15, since: start, doubtful: true }),
      later(200, 10),
      true,
      { connections: 3, before: 20, since: undefined, doubtful: false }
    ],
    [
      "gives it up if not",
      state({ connections: 2, before: 15.1, since: start, doubtful: true }),
      later(200, 10),
      true,
      { connections: 1, settled: true, since: undefined }
    ],
    [
      "adds a fourth where the third brought a sixth of the two",
      state({ connections: 3, before: 25, since: start }),
      later(300, 10),
      true,
      { connections: 4, before: 30, since: undefined }
    ],
    [
      "gives up the third where it brought less",
      state({ connections: 3, before: 26, since: start, doubtful: true }),
      later(300, 10),
      true,
      { connections: 2, settled: true, since: undefined }
    ],
    [
      "ends with the most",
      state({ connections: 4, before: 30, since: start }),
      later(400, 10),
      true,
      { settled: true, rest: never }
    ],
    [
      "gives up the last where it brought nothing",
      state({ connections: 4, before: 40, since: start, doubtful: true }),
      later(400, 10),
      true,
      { connections: 3, settled: true, since: undefined }
    ],
    [
      "rests once that is settled",
      state({ connections: 2, settled: true }),
      later(0, 0),
      false,
      { since: start }
    ],
    [
      "rests for a while",
      state({ connections: 2, settled: true, since: start }),
      later(90_000, 4999),
      true,
      {}
    ],
    [
      "begins again after that, and will rest longer",
      state({ connections: 2, settled: true, before: 99, since: start }),
      later(90_000, 5000),
      true,
      { settled: false, rest: 10_000, before: 0, since: later(90_000, 5000) }
    ],
    [
      "never begins again after a failure",
      Plan.refused(state({ connections: 3, since: start })),
      later(90_000, 900_000),
      true,
      { since: later(90_000, 900_000) }
    ],
    [
      "is not confused by a clock that stands still or goes back",
      state({ since: start, tuning: { ...figures, window: 0 } }),
      later(900, 0),
      true,
      {}
    ]
  ] as ReadonlyArray<readonly [string, Plan.State, Plan.Moment, boolean, Partial<Plan.State>]>)(
    "%s",
    (_, before, now, isWarm, changes) => {
      expect(Plan.measured(before, now, isWarm)).toEqual({ ...before, ...changes })
    }
  )

  it("never starts where one connection is all there may be", () => {
    expect(Plan.begin(1, figures)).toMatchObject({ connections: 1, settled: true })
  })
})

describe("a connection", () => {
  it.each([
    ["that failed is given up", Plan.refused, state({ connections: 3 }), { connections: 2 }],
    ["alone is never given up", Plan.refused, state(), { connections: 1 }],
    ["is all there is where ranges are of no use", Plan.ended, state({ connections: 4 }), {}]
  ] as ReadonlyArray<
    readonly [string, (state: Plan.State) => Plan.State, Plan.State, Partial<Plan.State>]
  >)("%s, and none is added", (_, change, before, changes) => {
    expect(change(before)).toEqual({
      ...before,
      connections: 1,
      ...changes,
      settled: true,
      rest: never
    })
  })

  it("that others need is added again once it was measured without it", () => {
    const declined = Plan.declined(state({ connections: 3, before: 1000, since: start }))
    expect(declined).toMatchObject({ connections: 2, settled: false, since: undefined })
    const again = Plan.measured(Plan.measured(declined, later(0, 0), true), later(200, 100), true)
    expect(again).toMatchObject({ connections: 3, before: 2 })
  })

  it.each([
    [4, false],
    [3, true]
  ])("that others need is missed where %i of four were settled: %s", (connections, settled) => {
    expect(Plan.declined(state({ connections, settled: true }))).toMatchObject({
      connections: connections - 1,
      settled
    })
  })

  it("that comes too late begins further ahead, up to eight times as far", () => {
    const leads: Array<number> = []
    let late = state({ connections: 2, before: 10 })
    while (!late.settled) {
      late = Plan.late(late)
      leads.push(late.lead)
    }
    expect(leads).toEqual([100, 200, 400, 400])
    expect(late.connections).toBe(1)
  })
})

describe("the second connection", () => {
  it.each([
    ["a segment ahead of a slow first one", 1, 10_000, 1100],
    ["as far ahead as the first one gets in the lead", 10, 10_000, 1500],
    ["nowhere near the end", 5, 1449, undefined],
    ["where two segments are left", 5, 1450, 1250],
    ["nowhere when the rest takes no time", 10, 1799, undefined],
    ["where the rest takes some", 10, 1800, 1500]
  ])("begins %s", (_, before, end, expected) => {
    expect(Plan.ahead(state({ before }), 1000, end)).toBe(expected)
  })
})

it.each([
  [399, false],
  [400, true]
])("a blob of %i bytes is large: %s", (size, isLarge) => {
  expect(Plan.isLarge(size, figures)).toBe(isLarge)
})
