import { execFile } from "node:child_process"
import { basename } from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import * as Artifact from "effect-oci/Artifact"
import { ArtifactFolder, BlobFile } from "effect-oci/node"

const artifactType = "application/vnd.devcontainers"

/** Publishes the archive of a dev-container Feature: 1.2.3 under 1.2, 1 and latest, too. */
export const publish = (name: string, version: string, archive: string) =>
  Effect.gen(function* () {
    const [major, minor] = version.split(".")
    const mediaType = `${artifactType}.layer.v1+tar`
    return yield* Artifact.push(`${name}:${version}`, {
      config: { mediaType: artifactType },
      files: [{ title: basename(archive), mediaType, source: yield* BlobFile.source(archive) }],
      tags: [`${major}.${minor}`, `${major}`, "latest"]
    })
  })

/** Installs a Feature by tag or digest, as `newest` of updates.ts finds it: verified, unpacked. */
export const install = (reference: string, folder: string) =>
  Effect.gen(function* () {
    const feature = yield* ArtifactFolder.pull(reference, folder, { artifactType, overwrite: true })
    for (const { path } of feature.files)
      yield* Effect.tryPromise(() => promisify(execFile)("tar", ["-xf", path, "-C", folder]))
    return feature.reference
  })
