/**
 * How compressed layers are decompressed: by decoders that are handed in, since the platform's own
 * `DecompressionStream` refuses what image builders write. `effect-oci/node` has them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Stream from "effect/Stream"
import type { InvalidEncoding } from "./internal/InvalidEncoding.js"

export {
  /**
   * Occurs when bytes cannot be decompressed: since they are corrupt or cut off, or go on after the
   * compressed data, or since the decoder for them is not there. `problem` says which.
   *
   * @since 0.1.0
   * @category errors
   */
  InvalidEncoding
} from "./internal/InvalidEncoding.js"

/**
 * The decoders. `NodeDecompression.layer` of `effect-oci/node` provides them, and so do the layers
 * of `NodeRegistry` that provide `Registries`.
 *
 * @example
 * ```ts
 * import * as Decompression from "effect-oci/Decompression"
 * import * as Layer from "effect/Layer"
 *
 * // Elsewhere than on Node, gzip is whoever's has all members.
 * const layerOf = (gzip: Decompression.Decoder) =>
 *   Layer.succeed(Decompression.Decompression, { gzip, zstd: Decompression.zstd })
 * ```
 *
 * @since 0.1.0
 * @category services
 */
export class Decompression extends Context.Tag("effect-oci/Decompression")<
  Decompression,
  Decompression.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace Decompression {
  /**
   * A decoder for each format that layers have.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    /** [RFC 1952](https://www.rfc-editor.org/rfc/rfc1952), with all members. */
    readonly gzip: Decoder
    /** [RFC 8878](https://www.rfc-editor.org/rfc/rfc8878), with all frames. */
    readonly zstd: Decoder
  }
}

/**
 * Decompresses a stream, from its first byte to its last: what comes after the compressed data is
 * an error. It has to hold back when its consumer does, and emit arrays of a mebibyte at most,
 * however much comes of little.
 *
 * @since 0.1.0
 * @category models
 */
export type Decoder = <E, R>(
  compressed: Stream.Stream<Uint8Array, E, R>
) => Stream.Stream<Uint8Array, E | InvalidEncoding, R>

export {
  /**
   * Decompresses zstd on any platform, all frames and with windows of up to 32 MiB, by the package
   * [`fzstd`](https://www.npmjs.com/package/fzstd), an optional peer: fails with
   * {@link InvalidEncoding} where it is not installed.
   *
   * @since 0.1.0
   * @category decoders
   */
  zstd
} from "./internal/Zstd.js"
