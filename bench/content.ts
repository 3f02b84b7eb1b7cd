/** What is moved in the measurements: the same mebibyte over and over. Its digests are computed once, when first asked for. */
import { createHash } from "node:crypto"

export const GiB = 1024 ** 3

export const block = Buffer.alloc(1024 * 1024, "effect-oci measures itself. ")

/** Bytes of the large blob. */
export const size = (): number => Number(process.env["BENCH_BYTES"] ?? GiB)

const repeated = (length: number): `sha256:${string}` => {
  const hash = createHash("sha256")
  for (let left = length; left > 0; left -= block.length) hash.update(block.subarray(0, Math.min(left, block.length)))
  return `sha256:${hash.digest("hex")}`
}

export const digestOf = { small: repeated(4096), large: (): `sha256:${string}` => repeated(size()) }

const config = digestOf.small
const bytes = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: config, size: 4096 },
    layers: []
  })
)

export const manifest = {
  bytes,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`
}
