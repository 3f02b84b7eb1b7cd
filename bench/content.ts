/**
 * What is moved in the measurements: the same mebibyte over and over, so many times as
 * `BENCH_BYTES` says.
 */
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"

export const GiB = 1024 ** 3

export const block = Buffer.alloc(1024 * 1024, "effect-oci measures itself. ")

/** Bytes of the large blob. */
export const size = Number(process.env["BENCH_BYTES"] ?? GiB)

const repeated = (length: number): `sha256:${string}` => {
  const hash = createHash("sha256")
  for (let left = length; left > 0; left -= block.length)
    hash.update(block.subarray(0, Math.min(left, block.length)))
  return `sha256:${hash.digest("hex")}`
}

/**
 * The digest of the large blob, which the processes that measure are told, lest they hash first.
 */
export const largeDigest = process.env["BENCH_DIGEST"] ?? repeated(size)

export const small = { bytes: block.subarray(0, 4096), digest: repeated(4096) }

/** Sixteen blobs that are moved at once, each a sixteenth of the large one. */
export const parts = Number(process.env["BENCH_PARTS"] ?? 16)
const partSize = Math.floor(size / parts)

/** The bytes of a part from one on: the same as of all others, but for its number at its start. */
export const partBlock = (part: number, from: number): Buffer => {
  const left = block.subarray(0, Math.min(block.length, partSize - from))
  if (from > 0) return left
  const first = Buffer.from(left)
  first.writeUInt32LE(part)
  return first
}

const partDigest = (part: number): `sha256:${string}` => {
  const hash = createHash("sha256")
  for (let from = 0; from < partSize; from += block.length) hash.update(partBlock(part, from))
  return `sha256:${hash.digest("hex")}`
}

/** A document and its descriptor. */
export const document = (value: unknown, mediaType: string) => {
  const bytes = Buffer.from(JSON.stringify(value))
  return {
    bytes,
    mediaType,
    digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}` as const,
    size: bytes.length
  }
}

const config = document(
  { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [small.digest] } },
  "application/vnd.oci.image.config.v1+json"
)

const manifestOf = (layers: ReadonlyArray<unknown>) =>
  document(
    {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: config.mediaType, digest: config.digest, size: config.size },
      layers
    },
    "application/vnd.oci.image.manifest.v1+json"
  )

/** A manifest to be asked for many times. */
export const manifest = manifestOf([])

/** An image whose one layer is the large blob, for clients that move images only. */
export const image = {
  config,
  manifest: manifestOf([
    { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: largeDigest, size }
  ])
}

/** An artifact of so many layers, each as large as a small blob unless `layers` are given. */
export const manyLayers = (count: number) =>
  manifestOf(
    Array.from({ length: count }, (_, n) => ({
      mediaType: "application/octet-stream",
      digest: `sha256:${createHash("sha256").update(String(n)).digest("hex")}`,
      size: 4096
    }))
  )

/** The artifact of the parts: made on demand, since it takes a second to hash them. */
export const partsArtifact = () =>
  manifestOf(
    Array.from({ length: parts }, (_, n) => ({
      mediaType: "application/octet-stream",
      digest: partDigest(n),
      size: partSize,
      annotations: { "org.opencontainers.image.title": partName(n) }
    }))
  )

const partName = (part: number) => `part-${part}`

/** The large blob as a file to push. */
export const uploadFile = Path.join(tmpdir(), `effect-oci-bench-${size}`)

/** The image in the form of a folder that skopeo copies from, the large blob linked into it. */
export const uploadFolder = `${uploadFile}-image`

/** The parts as files to push. */
export const partsFolder = `${uploadFile}-parts`

/** Makes the parts to be pushed. */
export const prepareParts = (): ReadonlyArray<string> =>
  Array.from({ length: parts }, (_, part) => {
    const path = Path.join(partsFolder, partName(part))
    Fs.mkdirSync(partsFolder, { recursive: true })
    if (!Fs.existsSync(path) || Fs.statSync(path).size !== partSize) {
      const file = Fs.openSync(path, "w")
      for (let from = 0; from < partSize; from += block.length)
        Fs.writeSync(file, partBlock(part, from))
      Fs.closeSync(file)
    }
    return path
  })

/** Where a process that measures puts what it pulls. */
export const cacheFolder = Path.join(tmpdir(), "effect-oci-bench-cache")
export const downloadFile = Path.join(tmpdir(), `effect-oci-bench-download-${process.pid}`)

/** Makes what is to be pushed. */
export const prepare = (): void => {
  if (!Fs.existsSync(uploadFile) || Fs.statSync(uploadFile).size !== size) {
    const file = Fs.openSync(uploadFile, "w")
    for (let left = size; left > 0; left -= block.length)
      Fs.writeSync(file, block, 0, Math.min(left, block.length))
    Fs.closeSync(file)
  }
  Fs.rmSync(uploadFolder, { recursive: true, force: true })
  Fs.mkdirSync(uploadFolder)
  const put = (name: string, bytes: string | Buffer) =>
    Fs.writeFileSync(Path.join(uploadFolder, name), bytes)
  put("version", "Directory Transport Version: 1.1\n")
  put("manifest.json", image.manifest.bytes)
  put(config.digest.slice("sha256:".length), config.bytes)
  Fs.linkSync(uploadFile, Path.join(uploadFolder, largeDigest.slice("sha256:".length)))
}
