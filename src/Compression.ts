/**
 * How the layers of images that are built are compressed: by encoders that are handed in, since
 * platforms have none in common. `effect-oci/node` has them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Stream from "effect/Stream"

/**
 * The encoders. `NodeCompression.layer` of `effect-oci/node` provides them, and so do the layers of
 * `NodeRegistry` that provide `Registries`.
 *
 * @since 0.1.0
 * @category services
 */
export class Compression extends Context.Tag("effect-oci/Compression")<
  Compression,
  Compression.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace Compression {
  /**
   * An encoder for each format that layers have.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    /**
     * [RFC 1952](https://www.rfc-editor.org/rfc/rfc1952), at a level from 0 to 9. Its header says
     * neither when nor on which system it was written: its time is 0, and its system 255.
     */
    readonly gzip: (level: number) => Encoder
    /**
     * [RFC 8878](https://www.rfc-editor.org/rfc/rfc8878), at a level from 1 to 22. It is absent
     * where the platform cannot.
     */
    readonly zstd?: ((level: number) => Encoder) | undefined
  }
}

/**
 * Compresses a stream. Equal bytes have to give equal bytes within one process, however they come
 * in arrays: a layer is compressed once for its digest and once to be uploaded. An encoder has to
 * hold back when its consumer does.
 *
 * @since 0.1.0
 * @category models
 */
export type Encoder = <E, R>(
  content: Stream.Stream<Uint8Array, E, R>
) => Stream.Stream<Uint8Array, E, R>
