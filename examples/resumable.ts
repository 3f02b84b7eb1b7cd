import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { BlobSource } from "effect-oci/BlobSource"
import type { Digest } from "effect-oci/Digest"
import type { RepositoryName } from "effect-oci/Reference"
import { Registry } from "effect-oci/Registry"
import { UploadState } from "effect-oci/Transfer"

/** Uploads the first bytes and leaves the session open: what it returns can be stored anywhere. */
export const begin = (repository: RepositoryName, first: Uint8Array) =>
  Effect.gen(function* () {
    const session = yield* (yield* Registry).startUpload(repository)
    yield* session.write(first)
    return yield* Schema.encode(Schema.parseJson(UploadState))(yield* session.detach)
  }).pipe(Effect.scoped)

/**
 * Continues where the registry is, in this process or another. Leaving the Scope before `commit`
 * cancels the upload.
 */
export const finish = <E, R>(saved: string, source: BlobSource<E, R>, digest: Digest) =>
  Effect.gen(function* () {
    const state = yield* Schema.decode(Schema.parseJson(UploadState))(saved)
    const session = yield* (yield* Registry).resumeUpload(state)
    const { offset } = yield* session.state
    yield* session.write(Stream.rechunk(source.open(offset), 1))
    return yield* session.commit(digest)
  }).pipe(Effect.scoped)
