/**
 * Images whose layers are tar archives, compressed with gzip: one of a single layer, and one of
 * twenty, of which each overwrites a file of all others. Their files lie in the temporary folder.
 */
import { createHash } from "node:crypto"
import { once } from "node:events"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { createGzip } from "node:zlib"
import { document, size, uploadFile } from "./content.js"

type Document = ReturnType<typeof document>

/** The images by tag, and their blobs: documents, or the path of a file. */
export interface Images {
  readonly manifests: ReadonlyMap<string, Document>
  readonly blobs: ReadonlyMap<string, Document | string>
}

const fileSize = 128 * 1024
const folder = `${uploadFile}-layers`

/** Text that compresses to about two fifths, another for each file. */
export const text = (seed: number, size = fileSize): Buffer => {
  const words: Array<string> = []
  let state = seed + 1
  for (let length = 0; length < size; length += 20) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    words.push(`${state.toString(36).padStart(7, "0")} of an image\n`)
  }
  return Buffer.from(words.join("")).subarray(0, size)
}

const header = (name: string): Buffer => {
  const block = Buffer.alloc(512)
  block.write(name)
  block.write("0000644\u00000000000\u00000000000\u0000", 100)
  block.write(`${fileSize.toString(8).padStart(11, "0")}\u000000000000000\u0000        0`, 124)
  block.write("ustar\u000000", 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, "0")}\u0000 `, 148)
  return block
}

/** Makes a layer of so many files in a file, and says its digests and its size. */
const makeLayer = async (path: string, layer: number, files: number) => {
  const [blob, archive] = [createHash("sha256"), createHash("sha256")]
  const gzip = createGzip()
  const file = Fs.createWriteStream(path)
  gzip.on("data", (bytes: Buffer) => blob.update(bytes))
  gzip.pipe(file)
  const write = async (bytes: Buffer) => {
    archive.update(bytes)
    if (!gzip.write(bytes)) await once(gzip, "drain")
  }
  for (let n = 0; n < files; n++) {
    await write(header(n === 0 ? "shared" : `layer-${layer}/file-${n}`))
    await write(text(layer * files + n))
  }
  archive.update(Buffer.alloc(1024))
  gzip.end(Buffer.alloc(1024))
  await once(file, "close")
  const digestOf = (hash: typeof blob) => `sha256:${hash.digest("hex")}`
  return { digest: digestOf(blob), diffId: digestOf(archive), size: Fs.statSync(path).size }
}

/** Makes the images, whose layers are of the size of the large blob together. */
export const makeImages = async (): Promise<Images> => {
  const manifests = new Map<string, Document>()
  const blobs = new Map<string, Document | string>()
  Fs.mkdirSync(folder, { recursive: true })
  for (const [tag, count] of [
    ["one-layer", 1],
    ["twenty-layers", 20]
  ] as const) {
    const index = Path.join(folder, `${tag}.json`)
    if (!Fs.existsSync(index)) {
      const made: Array<Awaited<ReturnType<typeof makeLayer>>> = []
      for (let layer = 0; layer < count; layer++) {
        const path = Path.join(folder, `${tag}-${layer}`)
        made.push(await makeLayer(path, layer, Math.ceil(size / fileSize / count)))
      }
      Fs.writeFileSync(index, JSON.stringify(made))
    }
    const layers = JSON.parse(Fs.readFileSync(index, "utf8")) as Array<
      Awaited<ReturnType<typeof makeLayer>>
    >
    for (const [n, { digest }] of layers.entries())
      blobs.set(digest, Path.join(folder, `${tag}-${n}`))
    const config = document(
      {
        architecture: "amd64",
        os: "linux",
        rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) }
      },
      "application/vnd.oci.image.config.v1+json"
    )
    blobs.set(config.digest, config)
    const mediaType = "application/vnd.oci.image.manifest.v1+json"
    const descriptor = { mediaType: config.mediaType, digest: config.digest, size: config.size }
    const layerType = "application/vnd.oci.image.layer.v1.tar+gzip"
    const manifest = document(
      {
        schemaVersion: 2,
        mediaType,
        config: descriptor,
        layers: layers.map(({ digest, size }) => ({ mediaType: layerType, digest, size }))
      },
      mediaType
    )
    manifests.set(tag, manifest)
    manifests.set(manifest.digest, manifest)
  }
  return { manifests, blobs }
}
