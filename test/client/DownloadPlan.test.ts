/** What a download asks for, and what responses mean to it: the whole policy, without any I/O. */
import { describe, expect, it } from "@effect/vitest"
import * as Plan from "../../src/client/blobs/DownloadPlan.js"
import * as SingleField from "../../src/protocol/internal/SingleField.js"

const whole: Plan.Request = { _tag: "Whole" }
const from = (start: number): Plan.Request => ({ _tag: "Part", range: { start } })
const useless = { _tag: "Useless" }
const violation = { _tag: "Violation", problem: expect.any(String) }
const content = (start: number, length?: number) => ({ _tag: "Content", start, length })

const facts = (status: number, contentRange?: string, length?: number): Plan.Facts => ({
  status,
  contentRange: SingleField.required({ "content-range": contentRange }, "content-range"),
  length
})

describe("the download of a whole blob", () => {
  const state = (at: number, size?: number, ranges = true): Plan.BlobState => ({ at, size, ranges })

  it.each([
    ["at its start", state(0), whole],
    ["at its start, of no bytes", state(0, 0), whole],
    ["in the middle", state(50), from(50)],
    ["in the middle, of a known size", state(50, 100), from(50)],
    ["where all is there", state(100, 100), { _tag: "Nothing" }],
    ["where ranges are of no use", state(50, 100, false), whole],
    ["where all is there, and ranges are of no use", state(100, 100, false), { _tag: "Nothing" }]
  ] as ReadonlyArray<readonly [string, Plan.BlobState, Plan.Request]>)(
    "asks %s",
    (_, at, asked) => {
      expect(Plan.requestOfBlob(at)).toEqual(asked)
    }
  )

  it.each([
    // What was asked for whole.
    [state(0), whole, facts(200), content(0)],
    [state(0), whole, facts(200, undefined, 100), content(0, 100)],
    [state(0), whole, facts(206, "bytes 0-99/100", 100), violation],
    // The rest.
    [state(50), from(50), facts(206, "bytes 50-99/100"), content(50, 50)],
    [state(50), from(50), facts(206, "bytes 50-99/*"), content(50, 50)],
    [state(50, 100), from(50), facts(206, "bytes 50-99/*"), content(50, 50)],
    [state(50, 100), from(50), facts(206, "bytes 30-99/100"), content(30, 70)],
    [state(50, 100), from(50), facts(206, "bytes 50-69/100"), content(50, 50)],
    [state(50), from(50), facts(200, undefined, 100), content(0, 100)],
    [state(50), from(50), facts(200, "bytes 50-99/100", 100), content(0, 100)],
    [state(50), from(50), facts(206, "bytes 60-99/100"), useless],
    [state(50, 100), from(50), facts(206, "bytes 50-199/200"), useless],
    [state(50), from(50), facts(206), useless],
    [state(50), from(50), facts(206, "50-99"), useless],
    [state(50), from(50), facts(206, ""), violation],
    [state(50), from(50), facts(206, "bytes 50-99/100, bytes 50-99/100"), violation]
  ] as ReadonlyArray<readonly [Plan.BlobState, Plan.Request, Plan.Facts, unknown]>)(
    "of %o that asked for %o understands %o",
    (at, asked, received, meaning) => {
      expect(Plan.responseOfBlob(at, asked, received)).toEqual(meaning)
    }
  )

  it("asks for the whole after the refusal of a range, and takes no other one", () => {
    expect(Plan.refusalOfBlob(from(50))).toEqual(useless)
    expect(Plan.refusalOfBlob(whole)).toEqual(violation)
  })
})

describe("the download of a range", () => {
  const other = { _tag: "OtherRange" }

  it.each([
    [
      { at: 10, end: 59 },
      { _tag: "Part", range: { start: 10, end: 59 } }
    ],
    [
      { at: 59, end: 59 },
      { _tag: "Part", range: { start: 59, end: 59 } }
    ],
    [{ at: 60, end: 59 }, { _tag: "Nothing" }],
    [{ at: 10, end: undefined }, from(10)]
  ] as ReadonlyArray<readonly [Plan.RangeState, Plan.Request]>)(
    "of %o asks for %o",
    (at, asked) => {
      expect(Plan.requestOfRange(at)).toEqual(asked)
    }
  )

  it.each([
    [{ at: 10, end: 59 }, facts(206, "bytes 10-59/100"), content(10, 50)],
    [{ at: 10, end: 59 }, facts(206, "bytes 10-59/100", 50), content(10, 50)],
    [{ at: 10, end: 59 }, facts(206, "bytes 10-59/100", 20), content(10, 50)],
    [{ at: 10, end: 59 }, facts(206, "bytes 10-59/*"), content(10, 50)],
    [{ at: 10, end: 59 }, facts(206, "bytes 10-39/40"), content(10, 30)],
    [{ at: 10, end: undefined }, facts(206, "bytes 10-39/40"), content(10, 30)],
    [{ at: 10, end: undefined }, facts(206, "bytes 10-39/*"), content(10, 30)],
    // Less than all that was asked for.
    [{ at: 10, end: undefined }, facts(206, "bytes 10-39/100"), other],
    // More than was asked for, or announced.
    [{ at: 10, end: 59 }, facts(206, "bytes 10-99/100"), other],
    [{ at: 10, end: 59 }, facts(206, "bytes 10-59/100", 100), other],
    // Another one.
    [{ at: 10, end: 59 }, facts(206, "bytes 0-59/100"), other],
    [{ at: 10, end: 59 }, facts(206, "bytes 11-59/100"), other],
    [{ at: 10, end: 59 }, facts(206, "bytes 10-39/100"), other],
    [{ at: 10, end: 59 }, facts(206, "bytes 10-39/*"), other],
    [{ at: 10, end: 59 }, facts(206, "10-59/100"), other],
    // None.
    [{ at: 10, end: 59 }, facts(200, undefined, 100), { _tag: "NoRanges" }],
    [{ at: 10, end: 59 }, facts(206), violation],
    [{ at: 10, end: 59 }, facts(206, " "), violation],
    [{ at: 10, end: 59 }, facts(206, "bytes 10-59/100, bytes 10-59/100"), violation],
    [{ at: 10, end: 59 }, facts(206, "bytes 10-59/100,"), violation]
  ] as ReadonlyArray<readonly [Plan.RangeState, Plan.Facts, unknown]>)(
    "of %o understands %o",
    (at, received, meaning) => {
      expect(Plan.responseOfRange(at, received)).toEqual(meaning)
    }
  )
})
