import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as Archive from "effect-oci/Archive"
import * as Copy from "effect-oci/Copy"
import { NodeArchive } from "effect-oci/node"
import type * as Reference from "effect-oci/Reference"
import type { Registry } from "effect-oci/Registry"

/** As `skopeo copy --all docker://alpine:3.22 oci-archive:alpine.tar:3.22` does. */
export const save = NodeArchive.write("alpine.tar", ["alpine:3.22"])

/** Lists the images of an archive: of a layout, or what `docker save` has written. */
export const list = (path: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { images } = yield* NodeArchive.read(path)
      for (const { descriptor, names } of images)
        yield* Console.log(descriptor.digest, names.join(" "))
    })
  )

/** Pushes an image out of an archive with all its platforms, as `crane push` does. */
export const push = (
  from: Archive.Archive,
  image: Archive.ArchivedImage,
  to: Registry.Service,
  repository: Reference.RepositoryName,
  tag: Reference.Tag
) =>
  Copy.between(
    { registry: from, repository: from.repository, reference: image.descriptor.digest },
    { registry: to, repository, reference: tag }
  )
