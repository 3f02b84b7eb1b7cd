/**
 * How the layers of images that are built are compressed on Node: gzip by `node:zlib`, and zstd
 * where Node has it.
 *
 * @since 0.1.0
 */
import * as Zlib from "node:zlib"
import * as Layer from "effect/Layer"
import { Compression } from "../Compression.js"
import * as Gzip from "./internal/Gzip.js"

/** What Node has from version 22.15 on, which the types do not know. */
interface WithZstd {
  readonly createZstdCompress: (options: object) => Gzip.ZlibStream
  readonly constants: {
    readonly ZSTD_c_compressionLevel: number
    readonly ZSTD_c_windowLog: number
  }
}

const hasZstd = (zlib: object): zlib is WithZstd => "createZstdCompress" in zlib

const zlib: object = Zlib

/**
 * Higher levels than this have windows that are larger than 2 to the power of `window` bytes, which
 * readers need not have (RFC 8878 section 3.1.1.1.2).
 */
const widest = 19
const window = 23

const zstd = hasZstd(zlib)
  ? (level: number) => {
      const { ZSTD_c_compressionLevel, ZSTD_c_windowLog } = zlib.constants
      const params = {
        [ZSTD_c_compressionLevel]: level,
        ...(level > widest && { [ZSTD_c_windowLog]: window })
      }
      return Gzip.compressedBy(() => zlib.createZstdCompress({ ...Gzip.options, params }))
    }
  : undefined

/**
 * Provides the encoders of layers: gzip, and zstd on Node from version 22.15 on. The layers of
 * `NodeRegistry` that provide `Registries` do so, too.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Compression> = Layer.succeed(Compression, {
  gzip: Gzip.gzip,
  zstd
})
