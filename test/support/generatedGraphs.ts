/** Graphs of content of every shape, generated. */
import * as FastCheck from "effect/FastCheck"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Manifest from "../../src/spec/Manifest.js"

/** Numbers stand for what was made before, counted round and round. */
export interface Node {
  readonly isIndex: boolean
  readonly parts: ReadonlyArray<number>
  readonly subject: number | undefined
  /** Whether the source does not have it, though others refer to it. */
  readonly isMissing: boolean
  /** Whether the target has it before, with what is in it. */
  readonly isThere: boolean
}

export const graphs: FastCheck.Arbitrary<ReadonlyArray<Node>> = FastCheck.array(
  FastCheck.record({
    isIndex: FastCheck.boolean(),
    parts: FastCheck.array(FastCheck.nat(100), { maxLength: 4 }),
    subject: FastCheck.option(FastCheck.nat(100), { nil: undefined }),
    isMissing: FastCheck.nat(9).map((n) => n === 0),
    isThere: FastCheck.nat(3).map((n) => n === 0)
  }),
  { minLength: 1, maxLength: 9 }
)

const pick = <A>(all: ReadonlyArray<A>, n: number): ReadonlyArray<A> =>
  all.slice(n % Math.max(1, all.length)).slice(0, 1)

/** The manifests of a graph over some blobs; the last of them is what is copied. */
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
      artifactType: "application/vnd.example",
      subject: subject === undefined ? undefined : pick(all, subject)[0]
    }
    const layers = parts.flatMap((part) => pick(blobs, part))
    made.push(
      isIndex
        ? // The last entry is a layer, as in BuildKit's caches (CP15).
          Manifest.index({
            ...common,
            manifests: [...parts.flatMap((part) => pick(all, part)), ...layers.slice(0, 1)]
          })
        : Manifest.image({ ...common, config, layers })
    )
  }
  return made
}
