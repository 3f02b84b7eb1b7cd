/** The manifest of one image or artifact that a reference leads to, through an index if need be. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Registry } from "../Registry.js"
import { LimitExceeded, MediaTypeMismatch } from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import * as ImageConfig from "../spec/ImageConfig.js"
import * as Manifest from "../spec/Manifest.js"
import * as MediaType from "../spec/MediaType.js"
import { type Platform, rank } from "../spec/Platform.js"
import * as Reference from "../spec/Reference.js"
import * as IndexChoices from "./IndexChoices.js"
import * as InlineData from "./InlineData.js"

/** What a reference stands for, and the manifest in it that is wanted. */
export interface Chosen {
  readonly root: Manifest.Manifest
  /** `root` itself where that is not an index, or has none that is wanted. */
  readonly manifest: Manifest.Manifest
  /** Those of the index. */
  readonly manifests: ReadonlyArray<Descriptor>
}

/** Gets the manifest that is wanted of what a reference stands for. */
export const choose = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: Reference.RepositoryName,
  root: Manifest.Manifest,
  options: IndexChoices.Options
): Effect.fn.Return<Chosen, Registry.GetManifestError> {
  const isChosen = options.platform !== undefined || options.artifactType !== undefined
  const own = root.content._tag === "ImageIndex" ? root.content.manifests : []
  const listed = leaves(registry, repository, own, new Set([root.descriptor.digest]))
  const manifests = yield* isChosen
    ? listed
    : // They are for the error, which is to say what can be chosen.
      Effect.orElseSucceed(listed, () => own)
  const chosen = isChosen ? IndexChoices.choose(manifests, options) : undefined
  const manifest: Manifest.Manifest | undefined =
    chosen === undefined
      ? yield* typed(registry, repository, manifests, options)
      : yield* InlineData.manifest(registry, repository, chosen)
  return { root, manifest: manifest ?? root, manifests }
})

/** Gets the first manifest that says its type itself, of those whose type an index does not say. */
const typed = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: Reference.RepositoryName,
  manifests: ReadonlyArray<Descriptor>,
  { artifactType, platform }: IndexChoices.Options
) {
  if (artifactType === undefined || platform !== undefined) return undefined
  for (const descriptor of IndexChoices.untyped(manifests).slice(0, maxUntyped)) {
    const manifest = yield* InlineData.manifest(registry, repository, descriptor)
    if (
      MediaType.equals(
        Option.getOrElse(Manifest.artifactType(manifest), () => ""),
        artifactType
      )
    )
      return manifest
  }
  return undefined
})

/** So many are asked at most. */
const maxUntyped = 32

/**
 * Gets the manifest of the image that is wanted, as `choose` does. Where none is for the platform,
 * the configurations of those count whose platforms the index does not say, as for containerd.
 */
export const chooseImage = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: Reference.RepositoryName,
  root: Manifest.Manifest,
  { platform }: Pick<IndexChoices.Options, "platform">
): Effect.fn.Return<
  Chosen,
  Registry.GetManifestError | Registry.GetBlobError | ImageConfig.InvalidImageConfig
> {
  const chosen = yield* choose(registry, repository, root, { platform })
  if (platform === undefined || chosen.manifest.content._tag === "ImageManifest") return chosen
  const images: Array<{ readonly manifest: Manifest.Manifest; readonly platform: Platform }> = []
  for (const descriptor of IndexChoices.unnamed(chosen.manifests).slice(0, maxUntyped)) {
    const manifest = yield* InlineData.manifest(registry, repository, descriptor)
    const config = manifest.content._tag === "ImageManifest" ? manifest.content.config : undefined
    if (config === undefined || !MediaType.isImageConfig(config.mediaType)) continue
    images.push({ manifest, platform: (yield* readConfig(registry, repository, config)).content })
  }
  const [best] = rank(images, platform)
  return best === undefined ? chosen : { ...chosen, manifest: best.manifest }
})

/** Gets what a reference stands for, the manifest in it that is wanted, and what that says. */
export const find = Effect.fnUntraced(function* (
  registry: Registry.Service,
  reference: Reference.Reference,
  options: IndexChoices.Options = {}
) {
  const { repository } = reference
  const root = yield* registry.getManifest(repository, Reference.tagOrDigest(reference))
  const chosen = yield* choose(registry, repository, root, options)
  return { ...chosen, content: yield* contentOf(chosen, namesOf(reference), options) }
})

/** Reads the configuration and the layers of an image, which errors call by a name. */
export const read = (
  registry: Registry.Service,
  repository: Reference.RepositoryName,
  { config: descriptor, layers }: Manifest.ImageManifest,
  image: string
) =>
  Effect.gen(function* () {
    const config = yield* readConfig(registry, repository, descriptor)
    return { config, layers: yield* ImageConfig.layers(config.content, layers) }
  }).pipe(
    Effect.mapError((error) =>
      error._tag === "InvalidImageConfig"
        ? new ImageConfig.InvalidImageConfig({
            ...error,
            image,
            message: `${image}: ${error.message}`
          })
        : error
    )
  )

const readConfig = (
  registry: Registry.Service,
  repository: Reference.RepositoryName,
  descriptor: Descriptor
) =>
  registry.getBlobBytes(repository, descriptor).pipe(
    // Whoever wants an image has no option for that.
    Effect.catchTag("LimitExceeded", ({ option: _, what, ...error }) =>
      Effect.fail(new LimitExceeded({ ...error, what: `${what}, a configuration,` }))
    ),
    Effect.flatMap((bytes) => ImageConfig.fromBytes(bytes, descriptor))
  )

/** What errors call a manifest and its repository. */
export interface Names {
  readonly manifest: string
  readonly repository: string
}

/** The names by which a reference has them. */
export const namesOf = (reference: Reference.Reference): Names => ({
  manifest: Reference.format(reference),
  repository: `${reference.host}/${reference.repository}`
})

/**
 * Returns what an image manifest says. Fails with `MediaTypeMismatch`, which has the choices of an
 * index, where it is not one.
 */
export const contentOf = (
  { manifest, manifests }: Chosen,
  names: Names,
  options: IndexChoices.Options
): Effect.Effect<Manifest.ImageManifest, MediaTypeMismatch> => {
  const { content, descriptor } = manifest
  return content._tag === "ImageManifest"
    ? Effect.succeed(content)
    : new MediaTypeMismatch({
        manifest: names.manifest,
        expected: options.artifactType ?? MediaType.imageManifest,
        actual: descriptor.mediaType,
        ...(content._tag === "ImageIndex" &&
          IndexChoices.describe(names.repository, manifests, options))
      })
}

/**
 * Returns the manifests of an index in order, with those of the indexes in it in their places. Each
 * index is got once. Fails with `LimitExceeded` where there are too many (T6).
 */
const leaves = (
  registry: Registry.Service,
  repository: Reference.RepositoryName,
  manifests: ReadonlyArray<Descriptor>,
  got: Set<string>
): Effect.Effect<ReadonlyArray<Descriptor>, Registry.GetManifestError> =>
  Effect.map(
    Effect.forEach(manifests, (descriptor) =>
      Effect.gen(function* () {
        if (!MediaType.isIndex(descriptor.mediaType)) return [descriptor]
        if (got.has(descriptor.digest)) return []
        if (got.size > maxIndexes)
          return yield* new LimitExceeded({ what: "The indexes in an index", limit: maxIndexes })
        got.add(descriptor.digest)
        const { content } = yield* InlineData.manifest(registry, repository, descriptor)
        return content._tag === "ImageIndex"
          ? yield* leaves(registry, repository, content.manifests, got)
          : []
      })
    ),
    (found) => found.flat()
  )

const maxIndexes = 32
