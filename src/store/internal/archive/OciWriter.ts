/** Writes an archive that is an image layout, with every manifest and blob byte for byte. */
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Registry } from "../../../Registry.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import * as ImageLayout from "../../../spec/ImageLayout.js"
import * as Manifest from "../../../spec/Manifest.js"
import * as ArchiveFiles from "./ArchiveFiles.js"
import * as ArchiveGraph from "./ArchiveGraph.js"
import * as ArchiveNames from "./ArchiveNames.js"
import type { InvalidArchive } from "./InvalidArchive.js"

/** An image to write: its own manifest, where its content is, and the names that it is to have. */
export interface Image extends ArchiveGraph.Place {
  readonly root: Manifest.Manifest
  readonly names: ReadonlyArray<ArchiveNames.Name>
}

/** What writing a layout can fail with. */
export type WriteError = InvalidArchive | Registry.GetManifestError | Registry.GetBlobError

/**
 * Streams the archive. `index.json` is the last of it, so that what is cut off is not taken for the
 * whole.
 */
export const write = <E, R>(
  found: Effect.Effect<ReadonlyArray<Image>, E, R>
): Stream.Stream<Uint8Array, E | WriteError, R> =>
  ArchiveFiles.archive(
    Effect.gen(function* () {
      const images = yield* found
      yield* ArchiveNames.checkDistinct(
        images.map(({ names, root }) => ({
          digest: root.descriptor.digest,
          names: names.map((name) => ArchiveNames.format(name))
        }))
      )
      const files = new Map<Digest, Stream.Stream<Uint8Array, Registry.GetBlobError>>()
      for (const image of images) {
        const { blobs, manifests } = yield* ArchiveGraph.read(image, image.root)
        // Equal digests are stored and fetched once (S12).
        for (const { bytes, descriptor } of manifests)
          if (!files.has(descriptor.digest))
            files.set(
              descriptor.digest,
              ArchiveFiles.document(ArchiveFiles.blobPath(descriptor.digest), bytes)
            )
        for (const blob of blobs)
          if (!files.has(blob.digest)) files.set(blob.digest, blobFile(image, blob))
      }
      return [
        ArchiveFiles.document("oci-layout", encodeJson(ImageLayout.current)),
        ArchiveFiles.folder("blobs"),
        ArchiveFiles.folder("blobs/sha256"),
        ...files.values(),
        ArchiveFiles.document("index.json", indexOf(images).bytes)
      ]
    })
  )

const blobFile = ({ registry, repository }: ArchiveGraph.Place, blob: Descriptor) =>
  ArchiveFiles.file(
    ArchiveFiles.blobPath(blob.digest),
    blob.size,
    registry.getBlob(repository, blob)
  )

const encodeJson = (json: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(json))

/** The `index.json`: an entry for each name, or one without a name. */
const indexOf = (images: ReadonlyArray<Image>): Manifest.Manifest => {
  const holders = new Map<string, Set<Digest>>()
  for (const { names, root } of images)
    for (const { tag } of names)
      holders.set(tag, (holders.get(tag) ?? new Set()).add(root.descriptor.digest))
  const entries = new Map<string, Descriptor>()
  for (const { names, root } of images) {
    const { digest, mediaType, size } = root.descriptor
    const descriptor = { mediaType, digest, size }
    if (names.length === 0) entries.set(digest, descriptor)
    for (const name of names)
      entries.set(`${digest} ${ArchiveNames.format(name)}`, {
        ...descriptor,
        annotations: ArchiveNames.annotationsOf(name, holders.get(name.tag)?.size === 1)
      })
  }
  return Manifest.index({ manifests: [...entries.values()] })
}
