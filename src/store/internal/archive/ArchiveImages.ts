/** Which images of an archive are whole: some of them are written with parts of them alone. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { LimitExceeded, StorageFailure } from "../../../RegistryError.js"
import * as Annotations from "../../../spec/Annotations.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type * as Digest from "../../../spec/Digest.js"
import * as ImageConfig from "../../../spec/ImageConfig.js"
import * as ManifestMediaType from "../../../spec/internal/ManifestMediaType.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import * as Platform from "../../../spec/Platform.js"
import * as StoredManifest from "../StoredManifest.js"
import { type ArchiveContents, document } from "./ArchiveContents.js"

/** What is wrong with an image. */
export interface ImageProblem {
  readonly problem: string
  /** Whether it would be another image than the one that was meant. */
  readonly isFatal: boolean
}

type Read<A> = Effect.Effect<A, StorageFailure | LimitExceeded>

/**
 * Returns the first problem of the images: layers that are not those of the configuration (S10), or
 * content that is not there, unless another image of the same index is whole (S9).
 */
export const problemOf = (contents: ArchiveContents): Read<ImageProblem | undefined> => {
  const known = new Map<Digest.Digest, ImageProblem | undefined>()
  const ofAll = (descriptors: ReadonlyArray<Descriptor>) => Effect.forEach(descriptors, of)
  const of = (descriptor: Descriptor): Read<ImageProblem | undefined> =>
    Effect.gen(function* () {
      const { digest } = descriptor
      if (known.has(digest)) return known.get(digest)
      // An index may be in itself.
      known.set(digest, undefined)
      const manifest = yield* manifestOf(contents, descriptor)
      const problem =
        manifest?.content._tag === "ImageIndex"
          ? ofIndex(yield* ofAll(manifest.content.manifests))
          : manifest?.content._tag === "ImageManifest"
            ? yield* ofImage(contents, manifest, manifest.content)
            : absenceOf(contents, [descriptor])
      known.set(digest, problem)
      return problem
    })
  return Effect.map(
    ofAll(rootsOf(contents)),
    (problems) => fatal(problems) ?? problems.find(Boolean)
  )
}

const rootsOf = ({ index }: ArchiveContents): ReadonlyArray<Descriptor> =>
  [...index.digests].flatMap((digest) => index.descriptor(digest) ?? [])

type Problems = ReadonlyArray<ImageProblem | undefined>

const fatal = (problems: Problems) => problems.find((problem) => problem?.isFatal)

const ofIndex = (problems: Problems) =>
  fatal(problems) ?? (problems.every(Boolean) ? problems[0] : undefined)

const ofImage = Effect.fnUntraced(function* (
  contents: ArchiveContents,
  manifest: Manifest.Manifest,
  { config, layers }: Manifest.ImageManifest
) {
  const bytes = MediaType.isImageConfig(config.mediaType)
    ? Option.getOrUndefined(yield* document(contents, config.digest))
    : undefined
  const diffIds =
    bytes &&
    (yield* Effect.match(ImageConfig.fromBytes(bytes, config), {
      onFailure: () => undefined,
      onSuccess: ({ content }) => content.rootfs.diff_ids
    }))
  if (diffIds !== undefined && diffIds.length !== layers.length)
    return {
      isFatal: true,
      problem:
        `has an image ${manifest.descriptor.digest} of ${layers.length} layers, whose ` +
        `configuration has ${diffIds.length} diff_ids`
    }
  return absenceOf(contents, StoredManifest.required(manifest))
})

const absenceOf = (
  { find }: ArchiveContents,
  descriptors: ReadonlyArray<Descriptor>
): ImageProblem | undefined => {
  const missing = descriptors.find(({ digest }) => find(digest) === undefined)
  return missing && { isFatal: false, problem: `lacks ${missing.digest}` }
}

/** What cannot be read as a manifest is for whoever reads it. */
const manifestOf = (
  contents: ArchiveContents,
  descriptor: Descriptor
): Read<Manifest.Manifest | undefined> =>
  ManifestMediaType.mayBeDecoded(descriptor.mediaType)
    ? Effect.flatMap(
        document(contents, descriptor.digest),
        Option.match({
          onNone: () => Effect.succeed(undefined),
          onSome: (bytes) =>
            Effect.orElseSucceed(Manifest.fromBytes(bytes, descriptor), () => undefined)
        })
      )
    : Effect.succeed(undefined)

// -----------------------------------------------------------------------------
// Parts of an index
// -----------------------------------------------------------------------------

/** An index of which some manifests are there, and others are not, by the names of both. */
export interface PartialIndex {
  readonly digest: string
  readonly present: ReadonlyArray<string>
  readonly missing: ReadonlyArray<string>
}

/** Returns the index that a manifest or a blob belongs to, if it lacks others of its list (S9). */
export const partialIndex = Effect.fnUntraced(function* (
  contents: ArchiveContents,
  digest: Digest.Digest
) {
  const { nested } = yield* contents.catalog.contents(contents.index)
  for (const descriptor of [...rootsOf(contents), ...nested.values()]) {
    const manifest = yield* manifestOf(contents, descriptor)
    if (manifest?.content._tag !== "ImageIndex") continue
    let isPart = false
    const present: Array<string> = []
    const missing: Array<string> = []
    for (const child of manifest.content.manifests) {
      const image = yield* manifestOf(contents, child)
      const parts = [child, ...(image === undefined ? [] : StoredManifest.required(image))]
      isPart ||= parts.some((part) => part.digest === digest)
      const isWhole = absenceOf(contents, parts) === undefined
      const names = isWhole ? present : missing
      names.push(nameOf(child))
    }
    if (isPart) return { digest: descriptor.digest, present, missing }
  }
  return undefined
})

const nameOf = ({ annotations = {}, digest, platform }: Descriptor): string => {
  if (annotations[Annotations.referenceType] === "attestation-manifest")
    return `an attestation of ${annotations[Annotations.referenceDigest] ?? digest}`
  return platform === undefined ? digest : Platform.format(platform)
}
