/** Images to build, made of others: with changes, or upon another base. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Annotations from "../../../spec/Annotations.js"
import type * as ImageConfig from "../../../spec/ImageConfig.js"
import type { Manifest } from "../../../spec/Manifest.js"
import * as MediaType from "../../../spec/MediaType.js"
import type * as Platform from "../../../spec/Platform.js"
import * as Reference from "../../../spec/Reference.js"
import type { Image } from "../../Image.js"
import * as ConfigChanges from "./ConfigChanges.js"
import * as Format from "./Format.js"
import { InvalidImage } from "./InvalidImage.js"
import * as Rebasing from "./Rebasing.js"
import type { Algorithm, Changes, ImageBuild, Layer } from "./Recipe.js"
import * as Steps from "./Steps.js"

/** Returns an image without layers. */
export const empty = ({
  architecture,
  os,
  "os.features": features,
  "os.version": version,
  variant
}: Platform.Platform): ImageBuild => ({
  _tag: "ImageBuild",
  format: "oci",
  config: {
    architecture,
    os,
    ...(version !== undefined && { "os.version": version }),
    ...(features !== undefined && { "os.features": features }),
    ...(variant !== undefined && { variant })
  },
  layers: [],
  annotations: {},
  attestations: [],
  invalid: undefined
})

/** Returns an image that was pulled, as one to build. */
export const of = <E = never, R = never>(image: Image | ImageBuild<E, R>): ImageBuild<E, R> => {
  if ("_tag" in image) return image
  const { config, layers, manifest, root } = image
  const { rootfs: _, ...content } = config.content
  const format = Format.of(manifest.descriptor)
  const { artifactType, subject, unknown } = said(manifest)
  return {
    _tag: "ImageBuild",
    format,
    artifactType,
    subject,
    unknown,
    config: { ...content, history: Steps.normalized(content.history, layers.length) },
    layers,
    annotations: format === "docker" ? {} : image.annotations,
    attestations:
      root.content._tag !== "ImageIndex"
        ? []
        : root.content.manifests.filter(
            ({ annotations }) =>
              annotations?.[Annotations.referenceDigest] === manifest.descriptor.digest
          ),
    invalid: undefined
  }
}

/** What a manifest says besides what an image to build has of its own. */
const said = ({ content }: Manifest): Pick<ImageBuild, "artifactType" | "subject" | "unknown"> => {
  if (content._tag !== "ImageManifest") return {}
  const {
    _tag,
    annotations,
    artifactType,
    config,
    layers,
    mediaType,
    schemaVersion,
    subject,
    ...unknown
  } = content
  return { artifactType, subject, unknown }
}

/** Returns an image to build with changes. */
export const change = <E, R, E2, R2>(
  image: ImageBuild<E, R>,
  changes: Changes<E2, R2>
): ImageBuild<E | E2, R | R2> => {
  const { config = {}, created, format = image.format, layers = [], recompress } = changes
  const when = isDate(created) ? { created: rfc3339(created) } : {}
  const { author } = config
  const steps = layers.map((layer) => ({ ...when, ...stepOf(layer) }))
  // Docker's manifests have no annotations: those that are inherited are left out, and so is what
  // is not known.
  const isConverted = format === "docker" && image.format === "oci"
  const inherited = isConverted ? {} : image.annotations
  const annotations = ConfigChanges.changed(inherited, changes.annotations ?? {})
  const all: ReadonlyArray<Layer<E | E2, R | R2>> = [...image.layers, ...layers]
  return {
    ...image,
    format,
    config: {
      ...image.config,
      ...when,
      ...(author !== undefined && { author }),
      config: ConfigChanges.execution(image.config.config, config),
      ...((image.config.history !== undefined || steps.length > 0) && {
        history: [...(image.config.history ?? []), ...steps]
      })
    },
    layers: recompress === undefined ? all : all.map((layer) => recompressed(layer, recompress)),
    annotations,
    unknown: isConverted ? {} : image.unknown,
    invalid:
      image.invalid ??
      ConfigChanges.problemOf(config) ??
      (created === undefined || isDate(created)
        ? undefined
        : new InvalidImage({ reason: "Config", path: "created", problem: "is not a date" })) ??
      (format === "docker" && Object.keys(annotations).length > 0
        ? new InvalidImage({
            reason: "Format",
            path: "annotations",
            problem: 'are not part of a Docker manifest: build it with format: "oci", or use labels'
          })
        : undefined)
  }
}

const isDate = (date: Date | undefined): date is Date => !Number.isNaN(date?.getTime() ?? NaN)

const stepOf = <E, R>({ history }: Layer<E, R>): ImageConfig.History =>
  Option.isOption(history)
    ? Option.getOrElse(history, () => ({}))
    : { created_by: "effect-oci", ...history }

/** The layer, compressed otherwise if it is not compressed so. */
const recompressed = <E, R>(layer: Layer<E, R>, compression: Algorithm): Layer<E, R> => {
  if (!("content" in layer) || MediaType.isNonDistributable(layer.descriptor.mediaType))
    return layer
  const known = Format.algorithmOf(layer.descriptor.mediaType)
  return known === undefined || known === compression ? layer : { recompressed: layer, compression }
}

const rfc3339 = (date: Date): string => date.toISOString().replace(".000Z", "Z")

/** Returns an image to build upon a base, which annotations name. */
export const upon = <E, R>(base: Image, changes: Changes<E, R>): ImageBuild<E, R> => {
  const image = {
    ...of(base),
    artifactType: undefined,
    subject: undefined,
    unknown: {},
    attestations: []
  }
  const { format = image.format } = changes
  return change(
    format === "docker"
      ? image
      : { ...image, annotations: { ...image.annotations, ...baseAnnotations(base) } },
    changes
  )
}

/** The annotations that name a base. */
const baseAnnotations = ({ manifest, requested }: Image): Annotations.Annotations => {
  const name = Option.isSome(requested.tag)
    ? Reference.withTag(requested, requested.tag.value)
    : requested
  const isBare = Option.isNone(requested.tag) && Option.isNone(requested.digest)
  return {
    [Annotations.baseName]: `${Reference.format(name)}${isBare ? ":latest" : ""}`,
    [Annotations.baseDigest]: manifest.descriptor.digest
  }
}

/** Puts the layers that an image has above its base upon another base (S30). */
export const rebase = <E, R>(
  image: ImageBuild<E, R>,
  from: Image,
  to: Image
): Effect.Effect<ImageBuild<E, R>, InvalidImage> => {
  const [old, base] = [of<E, R>(from), of<E, R>(to)]
  const problem = Rebasing.problemOf(image, from, to)
  if (problem !== undefined) return Effect.fail(problem)
  const { history, ...config } = image.config
  const above = Steps.after(history ?? [], old.config.history ?? [])
  return Effect.succeed({
    ...image,
    config: {
      ...Rebasing.config(config, old.config, base.config),
      history: [...(base.config.history ?? []), ...above]
    },
    layers: [...base.layers, ...image.layers.slice(from.layers.length)],
    annotations:
      image.format === "docker"
        ? image.annotations
        : {
            ...Rebasing.merged(image.annotations, old.annotations, base.annotations),
            ...baseAnnotations(to)
          }
  })
}
