import { execFile } from "node:child_process"
import { basename, join } from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import * as Artifact from "effect-oci/Artifact"
import { BlobFile } from "effect-oci/node"

const artifactType = "application/vnd.devcontainers"
const mediaType = `${artifactType}.layer.v1+tar`

/** Publishes the archive of a dev-container Feature: 1.2.3 under 1.2, 1 and latest, too. */
export const publish = (name: string, version: string, archive: string, metadata = {}) =>
  Effect.gen(function* () {
    const [major, minor] = version.split(".")
    return yield* Artifact.push(`${name}:${version}`, {
      config: { mediaType: artifactType },
      files: [{ title: basename(archive), mediaType, source: yield* BlobFile.source(archive) }],
      annotations: { "dev.containers.metadata": JSON.stringify(metadata) },
      tags: [`${major}.${minor}`, `${major}`, "latest"]
    })
  })

/** Installs a Feature by tag or digest, as `newest` of updates.ts finds it: verified, unpacked. */
export const install = (reference: string, folder: string) =>
  Effect.gen(function* () {
    const feature = yield* Artifact.pull(reference, { artifactType })
    const archive = join(folder, "feature.tgz")
    const file = yield* Artifact.file(feature, { mediaType })
    yield* BlobFile.save(file, archive, { overwrite: true })
    yield* Effect.tryPromise(() => promisify(execFile)("tar", ["-xf", archive, "-C", folder]))
    return feature.reference
  })
