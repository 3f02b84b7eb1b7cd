/**
 * How layers are decompressed on Node: gzip by `node:zlib`, zstd by the package `fzstd`.
 *
 * @since 0.1.0
 */
import * as Layer from "effect/Layer"
import * as Decompression from "../Decompression.js"
import { gunzip } from "./internal/Gzip.js"

/**
 * Provides the decoders of layers. The layers of `NodeRegistry` that provide `Registries` do so,
 * too.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Decompression.Decompression> = Layer.succeed(
  Decompression.Decompression,
  { gzip: gunzip, zstd: Decompression.zstd }
)
