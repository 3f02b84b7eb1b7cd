/** How registries read a blob as a whole: within a limit, and observed as any download. */
import * as Effect from "effect/Effect"
import * as ByteStream from "../ByteStream.js"
import type { Registry } from "../Registry.js"
import { LimitExceeded } from "../RegistryError.js"
import type { Digest } from "../spec/Digest.js"
import type { RepositoryName } from "../spec/Reference.js"
import * as Transfer from "../Transfer.js"
import * as InlineData from "./InlineData.js"

/** What is known of a blob before it is read. The size is in bytes. */
export interface Known {
  readonly digest: Digest
  readonly size?: number | undefined
}

/** Reads a blob of which nobody observes the progress, verified and within the limit. */
export type Gather = (
  repository: RepositoryName,
  blob: Known,
  limit: ByteStream.Limit
) => Effect.Effect<Uint8Array, Registry.GetBlobError>

/**
 * Makes the operation of `gather`. What is observed is streamed by `getBlob` instead, so that both
 * operations tell the same of a download. A blob whose descriptor says that it is too large is not
 * requested, and neither is one that its descriptor holds.
 */
export const make =
  (getBlob: Registry.Service["getBlob"], gather: Gather): Registry.Service["getBlobBytes"] =>
  (repository, blob, options) => {
    const known: Known = typeof blob === "string" ? { digest: blob } : blob
    const limit = {
      what: `Blob ${known.digest}`,
      limit: options?.limit ?? defaultLimit,
      option: "limit"
    }
    return known.size !== undefined && known.size > limit.limit
      ? Effect.suspend(() => Effect.fail(new LimitExceeded(limit)))
      : (InlineData.read(blob) ??
          Effect.flatMap(Transfer.Observer, (observer) =>
            observer === undefined
              ? gather(repository, known, limit)
              : ByteStream.collect(getBlob(repository, blob), limit)
          ))
  }

/** In bytes: what registries take at least of a manifest, and more than configurations have. */
const defaultLimit = 4 * 1024 * 1024
