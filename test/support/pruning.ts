/** Repositories to prune: images with dates, indexes, and what is attached to them. */
import * as Effect from "effect/Effect"
import * as BlobSource from "../../src/BlobSource.js"
import type { Registry } from "../../src/Registry.js"
import type { Digest } from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import { utf8 } from "./fixtures.js"

export const day = 24 * 60 * 60 * 1000

/** What an image says of itself, and under which tags it is put. */
export interface Options {
  readonly tags?: string
  /** Of the configuration. */
  readonly created?: string | undefined
  readonly subject?: Manifest.Manifest
  readonly annotations?: Readonly<Record<string, string>>
}

const tagsOf = (tags = ""): ReadonlyArray<Reference.Tag> =>
  tags.split(" ").filter(Boolean).map(Reference.unsafeParseTag)

/** Pushes what is in a repository. */
export const pusher = (registry: Registry.Service, repository: Reference.RepositoryName) => ({
  image: Effect.fnUntraced(function* (
    symbol: string,
    { annotations, created, subject, tags }: Options = {}
  ) {
    const document = { created, symbol, architecture: "amd64", os: "linux" }
    const config = yield* registry.putBlob(
      repository,
      BlobSource.fromBytes(utf8(JSON.stringify(document))),
      { mediaType: MediaType.imageConfig }
    )
    const manifest = Manifest.image({
      config,
      layers: [],
      ...(annotations !== undefined && { annotations }),
      ...(subject !== undefined && { subject: subject.descriptor })
    })
    yield* registry.putManifest(repository, manifest, { tags: tagsOf(tags) })
    return manifest
  }),

  index: Effect.fnUntraced(function* (
    manifests: ReadonlyArray<Manifest.Manifest>,
    { annotations, subject, tags }: Omit<Options, "created"> = {}
  ) {
    const index = Manifest.index({
      manifests: manifests.map(({ descriptor }) => ({
        ...descriptor,
        platform: Platform.unsafeParse("linux/amd64")
      })),
      ...(annotations !== undefined && { annotations }),
      ...(subject !== undefined && { subject: subject.descriptor })
    })
    yield* registry.putManifest(repository, index, { tags: tagsOf(tags) })
    return index
  })
})

/** The tag under which cosign signs a manifest. */
export const signatureTag = ({ descriptor }: Manifest.Manifest): string =>
  `${Reference.referrersTag(descriptor.digest)}.sig`

export const digestOf = ({ descriptor }: Manifest.Manifest): Digest => descriptor.digest
