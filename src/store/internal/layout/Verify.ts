/** Reads all of a layout, and reports what is not as it should be. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../../ByteStream.js"
import type { LimitExceeded, NameUnknown, StorageFailure } from "../../../RegistryError.js"
import * as Digest from "../../../spec/Digest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"
import { blobFiles } from "./Collect.js"
import type { Layout } from "./Layout.js"
import type { LayoutIndex } from "./LayoutIndex.js"
import { Reach } from "./Reach.js"

/**
 * What is not as it should be in a repository.
 *
 * - `Missing`: a blob or manifest is not there that the manifest `neededBy` refers to, or
 *   `index.json` where that is absent. Layers that are not to be distributed and subjects may be
 *   missing.
 * - `Corrupt`: the file of a blob has other content than its digest says; `actual` is the digest of
 *   what it has, and `size` how many bytes that is.
 * - `WrongSize`: the descriptor in `neededBy` gives another size than the blob has, in bytes.
 * - `Unreadable`: a file cannot be read, or a manifest cannot be decoded; `problem` says why.
 * - `AmbiguousTag`: a tag stands on several manifests.
 * - `Unreferenced`: nothing refers to a blob, and `collect` would remove it after a time.
 *
 * @since 0.1.0
 * @category models
 */
export type Finding =
  | {
      readonly _tag: "Missing"
      readonly repository: RepositoryName
      readonly digest: Digest.Digest
      readonly neededBy?: Digest.Digest | undefined
    }
  | {
      readonly _tag: "Corrupt"
      readonly repository: RepositoryName
      readonly digest: Digest.Digest
      readonly actual: Digest.Digest
      readonly size: number
    }
  | {
      readonly _tag: "WrongSize"
      readonly repository: RepositoryName
      readonly digest: Digest.Digest
      readonly expected: number
      readonly actual: number
      readonly neededBy?: Digest.Digest | undefined
    }
  | {
      readonly _tag: "Unreadable"
      readonly repository: RepositoryName
      readonly path: string
      readonly problem: string
    }
  | {
      readonly _tag: "AmbiguousTag"
      readonly repository: RepositoryName
      readonly tag: Tag
      readonly digests: ReadonlyArray<Digest.Digest>
    }
  | {
      readonly _tag: "Unreferenced"
      readonly repository: RepositoryName
      readonly digest: Digest.Digest
      readonly size: number
    }

/** What `verify` fails with: all that it can report, it emits. */
export type VerifyError = NameUnknown | LimitExceeded | StorageFailure

/** Verifies one layout. */
export const verify = (layout: Layout): Stream.Stream<Finding, VerifyError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const index = yield* layout.index
      const isThere = Option.isSome(yield* layout.files.info(layout.indexFile))
      const absent = isThere ? [] : [unreadable(layout, layout.indexFile, "it is missing")]
      const sizes = new Map<Digest.Digest, number>()
      return Stream.fromIterable([...absent, ...ambiguities(layout, index)]).pipe(
        Stream.concat(contents(layout, sizes)),
        Stream.concat(
          Stream.unwrap(Effect.map(references(layout, index, sizes), Stream.fromIterable))
        )
      )
    })
  )

const ambiguities = ({ repository }: Layout, index: LayoutIndex): ReadonlyArray<Finding> =>
  [...new Set(index.tags)].flatMap((tag) => {
    const digests = index.resolve(tag)
    return digests.length > 1 ? [{ _tag: "AmbiguousTag", repository, tag, digests }] : []
  })

/** Reads every blob, one after the other, and notes the size of each. */
const contents = (
  layout: Layout,
  sizes: Map<Digest.Digest, number>
): Stream.Stream<Finding, StorageFailure> =>
  Stream.filterMap(
    Stream.mapEffect(Stream.fromIterableEffect(blobFiles(layout)), ({ digest }) =>
      Effect.catchTag(
        content(layout, digest, sizes),
        "StorageFailure",
        ({ message: problem, path }) =>
          Effect.sync(() => {
            sizes.set(digest, Number.NaN)
            return Option.some(unreadable(layout, path, problem))
          })
      )
    ),
    (finding) => finding
  )

const content = Effect.fnUntraced(function* (
  layout: Layout,
  digest: Digest.Digest,
  sizes: Map<Digest.Digest, number>
) {
  const path = yield* layout.files.followed(layout.blob(digest))
  const name = Digest.algorithm(digest)
  const algorithm = name === "sha512" ? "sha512" : "sha256"
  let size = 0
  const hasher = Digest.hasher(algorithm)
  yield* Stream.runDrain(
    ByteStream.tap(layout.files.stream(path), (bytes) => {
      size += bytes.length
      hasher.update(bytes)
    })
  )
  sizes.set(digest, size)
  const actual = hasher.digest()
  if (!Digest.isVerifiable(digest) || actual === digest) return Option.none<Finding>()
  const { repository } = layout
  return Option.some<Finding>({ _tag: "Corrupt", repository, digest, actual, size })
})

/** Compares what manifests refer to with what there is. */
const references = Effect.fnUntraced(function* (
  layout: Layout,
  index: LayoutIndex,
  sizes: ReadonlyMap<Digest.Digest, number>
) {
  const { repository } = layout
  const findings: Array<Finding> = []
  const reach = new Reach(layout, (error, digest) =>
    Effect.sync(() => {
      // The content of others was reported when it was read.
      if (error._tag === "InvalidManifest" || error._tag === "LimitExceeded")
        findings.push(unreadable(layout, layout.blob(digest), error.message))
    })
  )
  yield* Effect.ignore(reach.follow(index))
  const seen = new Set<string>()
  for (const { by: neededBy, descriptor } of reach.references) {
    const { digest, mediaType, size: expected } = descriptor
    const actual = sizes.get(digest)
    const key = `${digest} ${expected} ${neededBy}`
    if (seen.has(key)) continue
    seen.add(key)
    if (actual === undefined) {
      if (!MediaType.isNonDistributable(mediaType))
        findings.push({ _tag: "Missing", repository, digest, neededBy })
    } else if (!Number.isNaN(actual) && actual !== expected)
      findings.push({ _tag: "WrongSize", repository, digest, expected, actual, neededBy })
  }
  for (const [digest, size] of sizes)
    if (!reach.reached.has(digest) && !Number.isNaN(size))
      findings.push({ _tag: "Unreferenced", repository, digest, size })
  return findings
})

const unreadable = ({ repository }: Layout, path: string, problem: string): Finding => ({
  _tag: "Unreadable",
  repository,
  path,
  problem
})
