/**
 * Images and indexes on their way to a registry: first what is missing of blobs, then manifests,
 * those of an index before it.
 */

import * as Effect from "effect/Effect"
import * as BlobSource from "../../../BlobSource.js"
import * as OlderParts from "../../../internal/OlderParts.js"
import type { Registry } from "../../../Registry.js"
import type { InvalidReference } from "../../../RegistryError.js"
import type * as Descriptor from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import type * as ImageConfig from "../../../spec/ImageConfig.js"
import * as ManifestMediaType from "../../../spec/internal/ManifestMediaType.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import * as Platform from "../../../spec/Platform.js"
import * as Reference from "../../../spec/Reference.js"
import type { Pushed } from "../../Artifact.js"
import * as PushInput from "../PushInput.js"
import * as Building from "./Building.js"
import * as Format from "./Format.js"
import { InvalidImage } from "./InvalidImage.js"
import * as Mutation from "./Mutation.js"
import type { Format as Family, ImageBuild, IndexBuild, Item } from "./Recipe.js"

/** Says how an image or an index is pushed. */
export interface Options {
  readonly tags?: ReadonlyArray<string> | undefined
  readonly chunkSize?: number | undefined
  readonly concurrency?: number | undefined
}

/** What a push fails with, besides the errors of the sources. */
export type PushError =
  | Registry.PutBlobError
  | Registry.PutManifestError
  | InvalidReference
  | Building.BuildError

/** Builds and pushes an image or an index. */
export const push = Effect.fnUntraced(function* <E, R>(
  registry: Registry.Service,
  reference: Reference.Reference,
  what: ImageBuild<E, R> | IndexBuild<E, R>,
  options: Options = {}
): Effect.fn.Return<Pushed, E | PushError, R | Building.Services> {
  yield* PushInput.checkTarget(reference, options)
  const tags = yield* PushInput.parseTags(reference, options.tags)
  const { repository } = reference
  const { chunkSize, concurrency = 3 } = options
  const upload: Building.Upload<E | PushError> = (content) =>
    Effect.map(registry.putBlob(repository, content, { chunkSize }), (blob) => ({
      blob,
      source: BlobSource.fromRegistry(registry, repository, blob)
    }))
  const plan: Plan<E | PushError> = { blobs: new Map(), manifests: new Map() }
  yield* what._tag === "IndexBuild"
    ? planIndex(plan, what, what.format, upload)
    : planImage(plan, what, upload)
  const manifests = [...plan.manifests.values()]
  const manifest = manifests.pop()
  if (manifest === undefined) return yield* Effect.dieMessage("a manifest has been planned")
  yield* PushInput.checkDigest(reference, manifest)
  yield* Effect.forEach(
    plan.blobs.values(),
    ({ reference: from, source }) =>
      registry.putBlob(repository, source, {
        chunkSize,
        mountFrom: from?.host === reference.host ? from.repository : undefined
      }),
    { concurrency, discard: true }
  )
  for (const child of manifests) yield* registry.putManifest(repository, child)
  yield* registry.putManifest(repository, manifest, { tags })
  return { reference: Reference.withDigest(reference, manifest.descriptor.digest), manifest }
})

/** What is to be put: blobs, and manifests each after those that it refers to. */
interface Plan<E> {
  readonly blobs: Map<Digest, Pick<Building.BuiltLayer<E>, "source" | "reference">>
  readonly manifests: Map<Digest, Manifest.Manifest>
}

/** Plans an image, and returns its descriptor for an index. */
const planImage = Effect.fnUntraced(function* <E, R>(
  plan: Plan<E | PushError>,
  image: ImageBuild<E, R>,
  upload: Building.Upload<E | PushError>
) {
  const built = yield* Building.build(image, upload)
  if (image.attestations.length > 0)
    yield* Effect.logWarning(
      `${image.attestations.length} attestations of the image that ` +
        `${built.manifest.descriptor.digest} is made of are not for it, and stay behind: ` +
        image.attestations.map(({ digest }) => digest).join(", ")
    )
  return planBuilt(plan, built)
})

const planBuilt = <E>(
  { blobs, manifests }: Plan<E>,
  {
    config,
    layers,
    manifest
  }: Pick<Building.BuiltImage<E>, "config" | "manifest"> & {
    readonly layers: ReadonlyArray<Omit<Building.BuiltLayer<E>, "diffId">>
  }
): Descriptor.Descriptor => {
  for (const { descriptor, reference, source } of layers)
    if (!MediaType.isNonDistributable(descriptor.mediaType))
      // C63
      blobs.set(descriptor.digest, { source, reference })
  blobs.set(config.descriptor.digest, { source: BlobSource.fromBytes(config.bytes) })
  manifests.set(manifest.descriptor.digest, manifest)
  return { ...manifest.descriptor, platform: platformOf(config.content) }
}

const platformOf = ({
  architecture,
  os,
  "os.features": features,
  "os.version": version,
  variant
}: ImageConfig.Content): Platform.Platform =>
  Platform.make({
    architecture,
    os,
    ...(version !== undefined && { "os.version": version }),
    ...(features !== undefined && { "os.features": features }),
    ...(variant !== undefined && { variant })
  })

/** Plans an index and what it lists, and returns its descriptor. */
const planIndex = <E, R>(
  plan: Plan<E | PushError>,
  index: IndexBuild<E, R>,
  format: Family | undefined,
  upload: Building.Upload<E | PushError>
): Effect.Effect<Descriptor.Descriptor, E | PushError, R | Building.Services> =>
  Effect.gen(function* () {
    const { annotations, items } = index
    const family = format ?? familyOf(items)
    const listed = new Map<string, Descriptor.Descriptor>()
    for (const [n, item] of items.entries()) {
      const descriptor = yield* planItem(plan, item, n, family, upload)
      listed.set(JSON.stringify(descriptor), descriptor)
    }
    if (family === "docker" && Object.keys(annotations).length > 0)
      return yield* otherFamily("annotations", "are not part of a Docker manifest list")
    const manifest = Manifest.index({
      mediaType: Format.types[family].index,
      manifests: [...listed.values()],
      ...(Object.keys(annotations).length > 0 && { annotations })
    })
    plan.manifests.set(manifest.descriptor.digest, manifest)
    return manifest.descriptor
  })

const planItem = <E, R>(
  plan: Plan<E | PushError>,
  item: Item<E, R>,
  at: number,
  family: Family,
  upload: Building.Upload<E | PushError>
): Effect.Effect<Descriptor.Descriptor, E | PushError, R | Building.Services> => {
  const place = `images[${at}]`
  if ("_tag" in item) {
    if (item._tag === "ImageBuild")
      return planImage(
        plan,
        item.format === family ? item : Mutation.change(item, { format: family }),
        upload
      )
    if (family === "docker") return otherFamily(place, "is an index, which no manifest list lists")
    return item.format === "docker"
      ? otherFamily(place, `is a Docker manifest list: build it with format: "${family}"`)
      : planIndex(plan, item, family, upload)
  }
  const descriptor = "manifest" in item ? item.manifest.descriptor : item
  const { mediaType } = descriptor
  const isKnown = ManifestMediaType.isDecoded(mediaType)
  const isSchema1 = "manifest" in item && OlderParts.isSchema1(item.manifest)
  if ((isKnown && Format.of(descriptor) !== family) || isSchema1)
    return otherFamily(
      place,
      `is ${mediaType}, and the index is not: pull it, and give ` +
        `ImageBuild.mutate(image, { format: "${family}" })`
    )
  return Effect.succeed("manifest" in item ? planBuilt(plan, item) : item)
}

const otherFamily = (path: string, problem: string) =>
  new InvalidImage({ reason: "Format", path, problem })

/** The family of an index whose own is not said: Docker's if all that it lists is of that. */
const familyOf = <E, R>(items: ReadonlyArray<Item<E, R>>): Family => {
  const formats = items.map((item): Family => {
    if (!("_tag" in item)) return Format.of("manifest" in item ? item.manifest.descriptor : item)
    return item._tag === "ImageBuild" ? item.format : (item.format ?? familyOf(item.items))
  })
  return formats.length > 0 && formats.every((format) => format === "docker") ? "docker" : "oci"
}
