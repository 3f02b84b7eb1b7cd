/** How well platforms serve the one that is wanted (S26). */

/** What of a platform is compared. */
export interface Compared {
  readonly architecture: string
  readonly os: string
  readonly "os.version"?: string
  readonly "os.features"?: ReadonlyArray<string>
  readonly variant?: string
}

/**
 * Says how far an offered platform is from the wanted one, if what runs on the first runs on the
 * second: as numbers that are compared from the first on, all 0 for the same.
 */
export const distance = (
  wanted: Compared,
  offered: Compared
): ReadonlyArray<number> | undefined => {
  if (wanted.os !== offered.os || wanted.architecture !== offered.architecture) return undefined
  const variant = ofVariants(variantOf(wanted), variantOf(offered))
  const version = ofVersions(wanted["os.version"], offered["os.version"])
  const features = ofFeatures(wanted["os.features"], offered["os.features"])
  return variant === undefined || version === undefined || features === undefined
    ? undefined
    : [variant, ...version, features]
}

/** Compares two distances: negative if the first is shorter. */
export const compare = (self: ReadonlyArray<number>, that: ReadonlyArray<number>): number => {
  const at = self.findIndex((number, index) => number !== that[index])
  return at === -1 ? 0 : (self[at] ?? 0) - (that[at] ?? 0)
}

/** The variant of a platform, with what no variant stands for: `7` is `v7`, as in containerd. */
export const variantOf = ({ architecture, variant }: Compared): string =>
  variant?.replace(/^(?=\d)/, "v") || (usual[architecture] ?? "")

/** What no variant stands for, as in containerd. */
const usual: Readonly<Record<string, string>> = { amd64: "v1", arm: "v7", arm64: "v8" }

/** Farther than any variant or version that is there. */
const farthest = 1e9

/** A variant runs what was built for a lower one: `v8.1` for `v8`, `power9` for `power8`. */
const ofVariants = (wanted: string, offered: string): number | undefined => {
  if (wanted === offered) return 0
  if (offered === "") return farthest
  // Where it is not known what is wanted, the lowest runs most likely.
  if (wanted === "") return farthest + levelOf(level.exec(offered))
  const [want, offer] = [level.exec(wanted), level.exec(offered)]
  if (want === null || offer === null || want[1] !== offer[1] || want[4] !== offer[4])
    return undefined
  const steps = levelOf(want) - levelOf(offer)
  return steps < 0 ? undefined : steps
}

const level = /^([a-z]*)(\d{1,4})(?:\.(\d{1,3}))?(.*)$/

const levelOf = (parts: ReadonlyArray<string> | null): number =>
  Number(parts?.[2] ?? 0) * 1000 + Number(parts?.[3] ?? 0)

/**
 * A build of an OS runs what was made for the same or an earlier one; the revisions of a build run
 * each other's. What has no version is for any of them.
 */
const ofVersions = (wanted = "", offered = ""): ReadonlyArray<number> | undefined => {
  if (wanted === "" || wanted === offered) return [0, 0, 0, 0]
  if (offered === "") return [farthest, 0, 0, 0]
  if (!versions.test(wanted) || !versions.test(offered)) return undefined
  const [want, offer] = [wanted.split(".").map(Number), offered.split(".").map(Number)]
  const steps = [0, 1, 2].map((at) => (want[at] ?? 0) - (offer[at] ?? 0))
  if (steps.reduce((sign, step) => sign || step, 0) < 0) return undefined
  const [revision, other = 0] = [want[3], offer[3]]
  // The latest revision where none is asked for, else the nearest earlier one, then a later one.
  const apart =
    revision === undefined
      ? farthest - other
      : other <= revision
        ? revision - other
        : farthest + other
  return [...steps, apart]
}

const versions = /^\d{1,9}(\.\d{1,9}){0,3}$/

/** All that is offered has to be there, if it is known what is; more of it is nearer. */
const ofFeatures = (
  wanted: ReadonlyArray<string> | undefined,
  offered: ReadonlyArray<string> = []
): number | undefined =>
  wanted === undefined
    ? offered.length
    : offered.every((feature) => wanted.includes(feature))
      ? new Set(wanted).size - new Set(offered).size
      : undefined
