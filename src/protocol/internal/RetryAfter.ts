/**
 * How long a registry asks to wait (C104). No cap is applied here: how much of it to honour is for
 * the retry policy to say (T20).
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/**
 * Reads `Retry-After`: whole seconds, or an HTTP date in any of the three forms of RFC 9110 section
 * 5.6.7, relative to `now` (milliseconds since the epoch). A date in the past is a wait of zero;
 * anything else, a negative or an absurd number too, is none.
 */
export const parse = (header: string, now: number): Option.Option<Duration.Duration> => {
  const text = header.trim()
  if (text.length > 64) return Option.none()
  return /^[0-9]+$/.test(text)
    ? wait(Number(text) * 1000)
    : Option.flatMap(parseDate(text, now), (date) => wait(date - now))
}

/**
 * Reads the wait that GHCR puts into the message of its error instead: `retry-after: 880.092µs,
 * allowed: 44000/minute`, a Go duration such as `1m30s`. None if the message holds nothing of the
 * kind.
 */
export const fromMessage = (message: string): Option.Option<Duration.Duration> => {
  const text =
    /retry-after:[ \t]{0,8}((?:[0-9.]{1,24}[a-zµμ]{1,2}){1,8})(?![0-9A-Za-z.])/i.exec(
      message.slice(0, 1024)
    )?.[1] ?? ""
  const parts = Array.from(text.matchAll(/([0-9.]+)([a-zµμ]+)/gi), ([, amount, unit = ""]) => {
    const factor = milliseconds.get(unit)
    return factor === undefined ? Number.NaN : Number(amount) * factor
  })
  return parts.length === 0 ? Option.none() : wait(parts.reduce((sum, part) => sum + part, 0))
}

/** The units of Go's `time.Duration`; the micro sign and the Greek letter are both in use. */
const milliseconds = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["μs", 1e-3],
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000]
])

/** Durations are never negative: the past becomes zero. */
const wait = (millis: number): Option.Option<Duration.Duration> =>
  millis <= Number.MAX_SAFE_INTEGER ? Option.some(Duration.millis(millis)) : Option.none()

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
const dateForms = [
  /^[A-Z][a-z]{2}, (?<day>\d\d) (?<month>\w{3}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Z][a-z]{5,8}, (?<day>\d\d)-(?<month>\w{3})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Z][a-z]{2} (?<month>\w{3}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/
]

/** Not `Date.parse`, which also takes `1.5` and `-5` for dates. */
const parseDate = (text: string, now: number): Option.Option<number> => {
  const found = dateForms
    .map((form) => form.exec(text)?.groups)
    .find((groups) => groups !== undefined)
  if (found === undefined) return Option.none()
  const { day = "", month = "", time = "", year = "" } = found
  const [hours = 0, minutes = 0, seconds = 0] = time.split(":").map(Number)
  const date = new Date(Date.UTC(fullYear(year, now), months.indexOf(month), Number(day)))
  const valid =
    months.includes(month) &&
    date.getUTCDate() === Number(day) &&
    hours < 24 &&
    minutes < 60 &&
    seconds <= 60
  return valid
    ? Option.some(date.getTime() + ((hours * 60 + minutes) * 60 + seconds) * 1000)
    : Option.none()
}

/** Two digits mean the latest such year that is at most 50 years ahead (RFC 9110 section 5.6.7). */
const fullYear = (year: string, now: number): number => {
  if (year.length === 4) return Number(year)
  const latest = new Date(now).getUTCFullYear() + 50
  return latest - ((latest - Number(year)) % 100)
}
