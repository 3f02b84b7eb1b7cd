/** The blobs of a registry in memory. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as BlobSource from "../../BlobSource.js"
import * as ByteStream from "../../ByteStream.js"
import * as BlobBytes from "../../internal/BlobBytes.js"
import { BlobUnknown, LimitExceeded } from "../../RegistryError.js"
import * as Digest from "../../spec/Digest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as Transfer from "../../Transfer.js"
import type { MemoryRepositories, Operations } from "./MemoryRepositories.js"
import type { MemoryUploads } from "./MemoryUploads.js"
import * as StoredBlob from "./StoredBlob.js"

/** Makes the operations that find, read and remove blobs. */
export const blobs = (
  repositories: MemoryRepositories
): Operations<"headBlob" | "getBlob" | "getBlobBytes" | "getBlobRange" | "deleteBlob"> => {
  const read = Effect.fnUntraced(function* (repository: RepositoryName, digest: Digest.Digest) {
    yield* repositories.get(repository)
    const bytes = repositories.findBlob(repository, digest)
    return bytes ?? (yield* new BlobUnknown({ repository, digest }))
  })

  const getBlob = StoredBlob.download((name, digest) =>
    Effect.map(read(name, digest), (blob) => ({
      bytes: (borrowed) => blob.stream(borrowed),
      isVerified: blob.isVerified
    }))
  )

  return {
    headBlob: (name, digest) =>
      Effect.sync(() => {
        const bytes = repositories.findBlob(name, digest)
        return bytes === undefined
          ? Option.none()
          : Option.some(StoredBlob.descriptorOf(digest, bytes.size))
      }),

    getBlob,

    getBlobBytes: BlobBytes.make(
      getBlob,
      Effect.fnUntraced(function* (name, blob, limit) {
        const verifier = yield* ByteStream.verifier(blob)
        const { size, whole } = yield* read(name, blob.digest)
        if (size > limit.limit) return yield* new LimitExceeded(limit)
        const problem = verifier.finish(whole)
        // A copy, since the reader may change its array.
        return problem === undefined ? new Uint8Array(whole) : yield* problem
      })
    ),

    getBlobRange: StoredBlob.range((name, digest) =>
      Effect.map(read(name, digest), (blob) => ({
        size: blob.size,
        bytes: (start, end, borrowed) => blob.stream(borrowed, start, end)
      }))
    ),

    deleteBlob: Effect.fnUntraced(function* (repository, digest) {
      const { blobs } = yield* repositories.get(repository)
      if (!blobs.delete(digest)) return yield* new BlobUnknown({ repository, digest })
    })
  }
}

/** Makes the operations that store blobs in one step: from a source, or from another repository. */
export const uploads = (
  repositories: MemoryRepositories,
  sessions: MemoryUploads
): Operations<"putBlob" | "mountBlob"> => {
  /** Returns the descriptor of the blob where one of the repositories has it. */
  const mount = (name: RepositoryName, digest: Digest.Digest, from: Iterable<RepositoryName>) => {
    for (const source of from) {
      const bytes = repositories.findBlob(source, digest)
      if (bytes !== undefined) return repositories.putBlob(name, digest, bytes)
    }
    return undefined
  }

  return {
    mountBlob: (name, digest, from) =>
      Effect.sync(() => {
        const sources = from === undefined ? [...repositories.names] : [from]
        return mount(name, digest, sources) !== undefined
      }),

    putBlob: StoredBlob.upload({
      present: (name, digest, { mountFrom }) =>
        Effect.sync(() =>
          mount(name, digest, mountFrom === undefined ? [name] : [name, mountFrom])
        ),

      store: Effect.fnUntraced(function* <E, R>(
        source: BlobSource.BlobSource<E, R>,
        subject: Transfer.Subject
      ) {
        const session = yield* sessions.start(subject.repository)
        const hasher = Digest.hasher("sha256")
        const { digest, size } = subject
        const bytes = ByteStream.verify(Transfer.track(source.open(0), subject), { size })
        yield* session.write(digest === undefined ? ByteStream.tap(bytes, hasher.update) : bytes)
        return yield* session.commit(digest ?? hasher.digest())
      }, Effect.scoped)
    })
  }
}
