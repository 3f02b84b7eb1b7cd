/** The state of an upload session. `Transfer` shows it to applications. */
import * as Schema from "effect/Schema"
import { RepositoryName } from "../spec/Reference.js"

/**
 * All there is to know of an upload session: the repository, the newest location the registry gave,
 * and how many bytes it has acknowledged. It holds no hash: whoever continues re-reads what was
 * sent. The location may carry a signature, so treat a stored state as a secret.
 *
 * @since 0.1.0
 * @category models
 */
export interface UploadState {
  readonly repository: RepositoryName
  readonly location: string
  readonly offset: number
}

/**
 * The schema of `UploadState`, for storing it between processes.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UploadState: Schema.Schema<
  UploadState,
  { readonly repository: string; readonly location: string; readonly offset: number }
> = Schema.Struct({
  repository: RepositoryName,
  location: Schema.String,
  offset: Schema.NonNegativeInt
})
