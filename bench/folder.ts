/**
 * A folder of 200 files of 4 KiB to 4 MiB, 120 MB together: as the files of an artifact, and as one
 * archive. It lies in the temporary folder.
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { document, uploadFile } from "./content.js"
import { type Images, text } from "./images.js"

const count = 200

/** The folder, which archives name by its last part. */
export const folder = Path.join(`${uploadFile}-folder`, "files")

/** The paths of the files, which are made if they are missing. */
export const folderFiles = (): ReadonlyArray<string> => {
  Fs.mkdirSync(folder, { recursive: true })
  return Array.from({ length: count }, (_, n) => {
    const path = Path.join(folder, `file-${n}`)
    const size = Math.round(4096 * 1024 ** (n / (count - 1)))
    if (!Fs.existsSync(path)) Fs.writeFileSync(path, text(n, size))
    return path
  })
}

const layerOf = (
  path: string,
  mediaType: string,
  annotations: Readonly<Record<string, string>>
) => {
  const bytes = Fs.readFileSync(path)
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
  return { mediaType, digest, size: bytes.length, annotations }
}

/** Makes the artifacts that are pulled, `files` and `archive`. */
export const makeFolder = (): Images => {
  const paths = folderFiles()
  const title = "org.opencontainers.image.title"
  const [parent, name] = [Path.dirname(folder), Path.basename(folder)]
  const archive = Path.join(parent, "archive.tar.gz")
  spawnSync("tar", ["-czf", archive, "-C", parent, name])
  const config = document({}, "application/vnd.oci.empty.v1+json")
  const layers = {
    files: paths.map((path) =>
      layerOf(path, "application/octet-stream", { [title]: Path.basename(path) })
    ),
    archive: [
      layerOf(archive, "application/vnd.oci.image.layer.v1.tar+gzip", {
        [title]: name,
        "io.deis.oras.content.unpack": "true"
      })
    ]
  }
  const mediaType = "application/vnd.oci.image.manifest.v1+json"
  const manifestOf = (layers: ReadonlyArray<object>) =>
    document(
      {
        schemaVersion: 2,
        mediaType,
        artifactType: "application/vnd.example.folder.v1",
        config: { mediaType: config.mediaType, digest: config.digest, size: config.size },
        layers
      },
      mediaType
    )
  const manifests = new Map<string, ReturnType<typeof document>>()
  for (const [tag, its] of Object.entries(layers)) {
    const manifest = manifestOf(its)
    manifests.set(tag, manifest)
    manifests.set(manifest.digest, manifest)
  }
  const blobs = new Map<string, ReturnType<typeof document> | string>([[config.digest, config]])
  for (const [n, { digest }] of layers.files.entries()) blobs.set(digest, paths[n] ?? "")
  for (const { digest } of layers.archive) blobs.set(digest, archive)
  return { manifests, blobs }
}
