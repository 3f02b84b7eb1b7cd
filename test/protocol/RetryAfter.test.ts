import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as RetryAfter from "../../src/protocol/internal/RetryAfter.js"

// Sun, 06 Nov 1994 08:49:37 GMT
const now = 784_111_777_000

const table: ReadonlyArray<
  readonly [name: string, header: string, now: number, millis: number | undefined]
> = [
  ["seconds", "120", now, 120_000],
  ["zero", "0", now, 0],
  ["seconds within white space", " 5 ", now, 5000],
  ["an IMF date", "Sun, 06 Nov 1994 08:49:47 GMT", now, 10_000],
  ["an RFC 850 date", "Sunday, 06-Nov-94 08:50:37 GMT", now, 60_000],
  ["an asctime date", "Sun Nov  6 09:49:37 1994", now, 3_600_000],
  ["an asctime date with two digits", "Wed Nov 16 08:49:37 1994", now, 864_000_000],
  ["a leap second", "Sat, 31 Dec 1994 23:59:60 GMT", 788_918_399_000, 1000],
  ["a date of now", "Sun, 06 Nov 1994 08:49:37 GMT", now, 0],
  ["a date in the past as no wait", "Sun, 06 Nov 1994 08:49:36 GMT", now, 0],
  ["two digits of the next century", "Saturday, 01-Jan-00 00:00:00 GMT", 946_684_799_000, 1000],
  ["two digits more than 50 years ahead as the past", "Tuesday, 06-Nov-45 08:49:37 GMT", now, 0],
  ["two digits exactly 50 years ahead", "Sunday, 06-Nov-44 08:49:37 GMT", now, 1_577_923_200_000],
  ["a negative number as nothing", "-5", now, undefined],
  ["a fraction as nothing", "1.5", now, undefined],
  ["an absurd number as nothing", "9".repeat(30), now, undefined],
  ["a day that does not exist as nothing", "Thu, 31 Feb 1994 08:49:37 GMT", now, undefined],
  ["an hour that does not exist as nothing", "Sun, 06 Nov 1994 24:00:00 GMT", now, undefined],
  ["a month that does not exist as nothing", "Sun, 06 Foo 1994 08:49:37 GMT", now, undefined],
  ["another time zone as nothing", "Sun, 06 Nov 1994 08:49:37 CET", now, undefined],
  ["an ISO date as nothing", "1994-11-06T08:49:37Z", now, undefined],
  ["two joined values as nothing", "5, 10", now, undefined],
  ["the empty value as nothing", "", now, undefined]
]

describe("RetryAfter.parse (C104)", () => {
  for (const [name, header, at, millis] of table) {
    it(`reads ${name}`, () =>
      assert.strictEqual(
        Option.getOrUndefined(Option.map(RetryAfter.parse(header, at), Duration.toMillis)),
        millis
      ))
  }

  it.prop(
    "reads every date of a clock",
    [FastCheck.integer({ min: 0, max: 4_000_000_000 })],
    ([seconds]) => {
      const parsed = RetryAfter.parse(new Date(seconds * 1000).toUTCString(), 0)
      assert.strictEqual(Option.getOrUndefined(Option.map(parsed, Duration.toSeconds)), seconds)
    }
  )

  it.prop(
    "never throws, and never waits forever",
    [FastCheck.string({ unit: "binary" })],
    ([text]) => {
      for (const wait of [
        RetryAfter.parse(text, now),
        RetryAfter.fromMessage(`retry-after: ${text}`)
      ])
        assert.isTrue(Option.match(wait, { onNone: () => true, onSome: Duration.isFinite }))
    }
  )
})

const messages: ReadonlyArray<readonly [name: string, message: string, nanos: bigint | undefined]> =
  [
    ["GHCR's microseconds", "retry-after: 880.092µs, allowed: 44000/minute", 880_092n],
    ["the Greek letter for micro", "retry-after: 2μs", 2000n],
    ["the letter u for micro", "retry-after: 2us", 2000n],
    ["nanoseconds", "retry-after: 15ns", 15n],
    ["milliseconds", "retry-after: 356.5ms, allowed: 2000/minute", 356_500_000n],
    ["seconds", "Too many: Retry-After: 3s", 3_000_000_000n],
    ["a combination", "retry-after: 1h2m3.5s, allowed: 1/day", 3_723_500_000_000n],
    ["zero", "retry-after: 0s", 0n],
    ["a negative duration as nothing", "retry-after: -1s", undefined],
    ["an unknown unit as nothing", "retry-after: 3d", undefined],
    ["a number without unit as nothing", "retry-after: 30, allowed: 1s", undefined],
    ["text glued to the unit as nothing", "retry-after: 3sec", undefined],
    ["text glued to a unit of two letters as nothing", "retry-after: 3msec", undefined],
    ["two points as nothing", "retry-after: 1.2.3s", undefined],
    ["an absurd duration as nothing", `retry-after: ${"9".repeat(20)}h`, undefined],
    ["another message as nothing", "You have reached your pull rate limit.", undefined]
  ]

describe("RetryAfter.fromMessage", () => {
  for (const [name, message, nanos] of messages) {
    it(`reads ${name}`, () =>
      assert.strictEqual(
        Option.getOrUndefined(Option.flatMap(RetryAfter.fromMessage(message), Duration.toNanos)),
        nanos
      ))
  }
})
