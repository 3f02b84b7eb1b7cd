/** The state of an upload session. `Transfer` shows it to applications. */
import * as Schema from "effect/Schema"
import { RepositoryName } from "../spec/Reference.js"

/**
 * How large the chunks of an upload may be, in bytes, as far as the registry says: no chunk but the
 * last is shorter than `chunkMinLength` (`OCI-Chunk-Min-Length`, [pushing a blob in
 * chunks](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks)),
 * and none is longer than `chunkMaxLength` (`OCI-Chunk-Max-Length`, which Cloudflare's registry
 * has).
 *
 * @since 0.1.0
 * @category models
 */
export interface ChunkBounds {
  readonly chunkMinLength?: number | undefined
  readonly chunkMaxLength?: number | undefined
}

/**
 * All there is to know of an upload session: the repository, the newest location the registry gave,
 * how many bytes it has acknowledged, and how large chunks may be. It holds no hash: whoever
 * continues re-reads what was sent. The location may carry a signature, so treat a stored state as
 * a secret.
 *
 * @since 0.1.0
 * @category models
 */
export interface UploadState extends ChunkBounds {
  readonly repository: RepositoryName
  readonly location: string
  readonly offset: number
}

const ChunkLength = Schema.Int.pipe(Schema.positive())

/**
 * The schema of `UploadState`, for storing it between processes.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UploadState: Schema.Schema<
  UploadState,
  Omit<UploadState, "repository"> & { readonly repository: string }
> = Schema.Struct({
  repository: RepositoryName,
  location: Schema.String,
  offset: Schema.NonNegativeInt,
  chunkMinLength: Schema.optional(ChunkLength),
  chunkMaxLength: Schema.optional(ChunkLength)
})
