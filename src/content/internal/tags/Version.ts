/** The versions that tags are (CP28): by a scheme, strictly, with nothing made up. */
import * as Either from "effect/Either"
import Range from "semver/classes/range.js"
import type SemVer from "semver/classes/semver.js"
import compareBuild from "semver/functions/compare-build.js"
import parse from "semver/functions/parse.js"

/** How versions are written. */
export type Scheme = "semver" | "calendar"

/** Returns the version that a name is by a scheme, and nothing where it is none. */
export const of = (scheme: Scheme, name: string): SemVer | undefined =>
  (scheme === "semver" ? parse(name) : calendar(name)) ?? undefined

/** Orders versions by precedence, and builds of one version as well. */
export const compare = (self: SemVer, that: SemVer): number => compareBuild(self, that)

/** Compiles a range, as npm has them. Fails with what is wrong with it. */
export const range = (
  scheme: Scheme,
  text: string,
  prereleases: boolean
): Either.Either<(version: SemVer) => boolean, string> => {
  if (text.length > 256) return Either.left("has more than the 256 characters of a range")
  // To npm it is any version, which nobody means who has left it empty.
  if (text.trim() === "") return Either.left('is empty: write "*" for any version')
  return Either.map(
    Either.try({
      try: () =>
        new Range(scheme === "semver" ? text : plainRange(text), {
          includePrerelease: prereleases
        }),
      catch: () => 'is not a range of versions, such as "^1.2", "1.x" or ">=1.2.0 <2.0.0"'
    }),
    (range) => (version) => range.test(version)
  )
}

const dotted =
  /^v?(\d{4}|\d{2})([.-])(\d{1,9})(?:\2(\d{1,9}))?(?:\2(\d{1,9}))?(-[a-zA-Z][^+]*)?(\+.*)?$/

const compact = /^v?(\d{4})(\d\d)(\d\d)(?:[.-](\d{1,9}))?$/

/**
 * A calendar version, as a version whose numbers have no zeros before them: a year and one to three
 * numbers, of which the last counts as a build.
 */
const calendar = (name: string): SemVer | null => {
  const date = compact.exec(name)
  if (date !== null) {
    const [, year = "", month = "", day = "", build] = date
    return Number(month) > 12 || Number(day) > 31 ? null : numbered([year, month, day], "", [build])
  }
  const [, year = "", , second = "", third = "0", fourth, prerelease = "", build] =
    dotted.exec(name) ?? []
  return numbered([year, second, third], prerelease, [fourth, build?.slice(1)])
}

const numbered = (
  numbers: readonly [year: string, second: string, third: string],
  prerelease: string,
  builds: ReadonlyArray<string | undefined>
): SemVer | null => {
  const [year, second] = numbers
  const isYear =
    year.length === 4 ? /^(?:19|20|21)/.test(year) : /^(?:0?[1-9]|1[0-2])$/.test(second)
  const build = builds.filter((part) => part !== undefined).join(".")
  return isYear
    ? parse(`${numbers.map(Number).join(".")}${prerelease}${build && `+${build}`}`)
    : null
}

/** A range whose versions are written as those of the calendar are. */
const plainRange = (text: string): string =>
  text.replace(/(?<!\d)(\d{4})(\d\d)(\d\d)(?!\d)/g, "$1.$2.$3").replace(/(?<!\d)0+(?=\d)/g, "")
