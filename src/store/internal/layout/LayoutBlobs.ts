/** The blobs of layouts. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as BlobSource from "../../../BlobSource.js"
import * as ByteStream from "../../../ByteStream.js"
import * as BlobBytes from "../../../internal/BlobBytes.js"
import * as BorrowedStream from "../../../internal/BorrowedStream.js"
import * as LocalFile from "../../../internal/LocalFile.js"
import type { Registry } from "../../../Registry.js"
import { BlobUnknown, LimitExceeded } from "../../../RegistryError.js"
import * as Digest from "../../../spec/Digest.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import * as Transfer from "../../../Transfer.js"
import * as StoredBlob from "../StoredBlob.js"
import { mountsOf, present } from "./LayoutMounts.js"
import type { Layouts } from "./Layouts.js"
import type { LayoutUploads } from "./LayoutUploads.js"

type Operations<Name extends keyof Registry.Service> = Pick<Registry.Service, Name>

/** Makes the operations that find, read and remove blobs. */
export const blobs = (
  layouts: Layouts
): Operations<"headBlob" | "getBlob" | "getBlobBytes" | "getBlobRange" | "deleteBlob"> => {
  const find = Effect.fnUntraced(function* (repository: RepositoryName, digest: Digest.Digest) {
    const { layout } = yield* layouts.get(repository)
    const found = yield* layout.find(digest)
    return Option.isSome(found) ? found.value : yield* new BlobUnknown({ repository, digest })
  })

  const getBlob = StoredBlob.download((name, digest) =>
    Effect.map(find(name, digest), ({ path }) => ({
      bytes: (borrowed) => layouts.files.stream(path, 0, undefined, borrowed),
      isVerified: false
    }))
  )

  return {
    headBlob: Effect.fnUntraced(function* (name, digest) {
      const repository = yield* layouts.find(name)
      if (Option.isNone(repository)) return Option.none()
      const found = yield* present(repository.value, digest).pipe(
        Effect.catchTag("NameUnknown", () => Effect.succeedNone)
      )
      return Option.map(found, ({ size }) => StoredBlob.descriptorOf(digest, size))
    }),

    getBlob,

    getBlobBytes: BlobBytes.make(
      getBlob,
      Effect.fnUntraced(function* (repository, blob, limit) {
        const verifier = yield* ByteStream.verifier(blob)
        const { path, size } = yield* find(repository, blob.digest)
        if (size > limit.limit) return yield* new LimitExceeded(limit)
        const read = yield* layouts.files.read(path, limit.limit)
        if (Option.isNone(read)) return yield* new BlobUnknown({ repository, digest: blob.digest })
        const { bytes } = read.value
        const problem = verifier.finish(bytes)
        return problem === undefined ? bytes : yield* problem
      })
    ),

    getBlobRange: StoredBlob.range((name, digest) =>
      Effect.map(find(name, digest), ({ path, size }) => ({
        size,
        bytes: (start, end, borrowed) => layouts.files.stream(path, start, end, borrowed)
      }))
    ),

    deleteBlob: Effect.fnUntraced(function* (repository, digest) {
      const { layout } = yield* layouts.get(repository)
      const unknown = new BlobUnknown({ repository, digest })
      const path = layout.blob(digest)
      // A manifest is not deleted as a blob: its entry would lead nowhere.
      const index = yield* layout.index
      if (index.has(digest)) return yield* unknown
      const removed = yield* layout.files.find(path, layout.files.fs.remove(path))
      if (Option.isNone(removed)) return yield* unknown
    })
  }
}

/** Makes the operations that store blobs in one step: from a source, or from another repository. */
export const uploads = (
  layouts: Layouts,
  sessions: LayoutUploads
): Operations<"putBlob" | "mountBlob"> => {
  const mount = mountsOf(layouts, sessions)

  return {
    mountBlob: Effect.fnUntraced(function* (name, digest, from) {
      const sources = from === undefined ? yield* layouts.names : [from]
      return (yield* mount(name, digest, sources)) !== undefined
    }),

    putBlob: StoredBlob.upload({
      present: Effect.fnUntraced(function* (name, digest, { mountFrom, size }) {
        const sources = mountFrom === undefined ? [name] : [name, mountFrom]
        const found = yield* mount(name, digest, sources, size)
        return found === undefined ? undefined : StoredBlob.descriptorOf(digest, found)
      }),

      store: Effect.fnUntraced(function* <E, R>(
        source: BlobSource.BlobSource<E, R>,
        subject: Transfer.Subject
      ) {
        const { digest, repository, size } = subject
        if (digest !== undefined) yield* Digest.hasherFor(digest)
        const session = yield* sessions.start(repository, {
          algorithm: digest === undefined ? undefined : Digest.algorithm(digest)
        })
        const path = LocalFile.pathOf(source.open)
        const isAdopted = path !== undefined && (yield* session.adopt(path))
        const checked = <E2, R2>(bytes: Stream.Stream<Uint8Array, E2, R2>) =>
          ByteStream.verify(Transfer.track(bytes, subject), { size })
        // What was adopted is read for its digest alone.
        yield* isAdopted
          ? Stream.runDrain(checked(session.adopted))
          : session.write(checked(BorrowedStream.unhashed(source.open(0))))
        return yield* session.finish(digest)
      }, Effect.scoped)
    })
  }
}
