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

const document = (value: unknown, mediaType: string) => {
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

/** The large blob as a file to push. */
export const uploadFile = Path.join(tmpdir(), `effect-oci-bench-${size}`)

/** The image in the form of a folder that skopeo copies from, the large blob linked into it. */
export const uploadFolder = `${uploadFile}-image`

/** Where a process that measures puts what it pulls. */
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
