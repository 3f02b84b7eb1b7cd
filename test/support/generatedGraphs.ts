/** Graphs of content of every shape, generated. */
import * as FastCheck from "effect/FastCheck"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Platform from "../../src/spec/Platform.js"

/** Numbers stand for what was made before, counted round and round. */
export interface Node {
  readonly isIndex: boolean
  readonly parts: ReadonlyArray<number>
  readonly subject: number | undefined
  /** The platform that indexes list it for. */
  readonly platform: string | undefined
  readonly isTagged: boolean
  /** Whether the source does not have it, though others refer to it. */
  readonly isMissing: boolean
  /** Whether the target has it before, with or without what it refers to. */
  readonly before: "absent" | "whole" | "hollow"
}

/** One of so many. */
const rarely = (oneIn: number) => FastCheck.nat(oneIn - 1).map((n) => n === 0)

export const graphs: FastCheck.Arbitrary<ReadonlyArray<Node>> = FastCheck.array(
  FastCheck.record({
    isIndex: FastCheck.boolean(),
    parts: FastCheck.array(FastCheck.nat(100), { maxLength: 4 }),
    subject: FastCheck.option(FastCheck.nat(100), { nil: undefined, freq: 2 }),
    platform: FastCheck.constantFrom(undefined, "linux/amd64", "linux/amd64", "linux/arm64"),
    isTagged: rarely(3),
    isMissing: rarely(10),
    before: FastCheck.constantFrom("absent", "absent", "absent", "absent", "whole", "hollow")
  }),
  { minLength: 1, maxLength: 9 }
)

const pick = <A>(all: ReadonlyArray<A>, n: number): ReadonlyArray<A> =>
  all.slice(n % Math.max(1, all.length)).slice(0, 1)

/** The types of the artifacts of a graph. */
export const artifactTypes = ["application/vnd.example.a", "application/vnd.example.b"] as const

/** The manifests of a graph over some blobs, each after all that it refers to. */
export const manifestsOf = (
  nodes: ReadonlyArray<Node>,
  blobs: ReadonlyArray<Descriptor.Descriptor>
): ReadonlyArray<Manifest.Manifest> => {
  const made: Array<Manifest.Manifest> = []
  const [config = Descriptor.empty] = blobs
  for (const { isIndex, parts, subject } of nodes) {
    const all = made.map(({ descriptor }) => descriptor)
    const common = {
      annotations: { n: `${made.length}` },
      artifactType: artifactTypes[made.length % 2],
      // One of the last, so that there are referrers of referrers.
      subject: subject === undefined ? undefined : pick(all.slice(-3), subject)[0]
    }
    const layers = parts.flatMap((part) => pick(blobs, part))
    const entries = made.map(({ descriptor }, n) => {
      const platform = nodes[n]?.platform
      return { ...descriptor, ...(platform && { platform: Platform.unsafeParse(platform) }) }
    })
    // An index of three parts lists a layer, too, as those of BuildKit's caches do (CP15).
    const listed = parts.length === 3 ? layers.slice(0, 1) : []
    made.push(
      isIndex
        ? Manifest.index({
            ...common,
            manifests: [...parts.flatMap((part) => pick(entries, part)), ...listed]
          })
        : Manifest.image({ ...common, config, layers })
    )
  }
  return made
}
