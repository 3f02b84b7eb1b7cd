/** Blobs that are there already, in one layout or in another, and spare an upload. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Digest from "../../../spec/Digest.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import type { Found, Layout } from "./Layout.js"
import type { Layouts, Repository } from "./Layouts.js"
import type { LayoutUploads } from "./LayoutUploads.js"

/**
 * Returns a blob that spares an upload: of the right size, as far as that can be told without
 * reading it, and out of reach of a collection for as long as a new one (S5, S6).
 */
export const present = Effect.fnUntraced(function* (
  { catalog, layout }: Repository,
  digest: Digest.Digest,
  size?: number
) {
  const found = yield* layout.find(digest, size)
  if (Option.isNone(found)) return found
  if (size === undefined && !layout.isVerified(digest, found.value.size)) {
    const { sizes } = yield* catalog.contents(yield* layout.index)
    if (sizes.get(digest)?.has(found.value.size) === false) return Option.none()
  }
  const now = yield* Clock.currentTimeMillis
  // A collection may have come first.
  return (yield* layout.files.touch(found.value.path, now)) ? found : Option.none()
})

/**
 * Makes what returns the size of a blob that one of the repositories `from` has, and that `name`
 * has afterwards.
 */
export const mountsOf =
  (layouts: Layouts, sessions: LayoutUploads) =>
  (
    name: RepositoryName,
    digest: Digest.Digest,
    from: ReadonlyArray<RepositoryName>,
    size?: number
  ) =>
    Effect.gen(function* () {
      for (const source of from) {
        const repository = yield* layouts.find(source)
        if (Option.isNone(repository)) continue
        const found = yield* present(repository.value, digest, size)
        if (Option.isNone(found)) continue
        if (source === name) return found.value.size
        const { layout } = yield* layouts.open(name)
        // What a link leads to is not of a layout, and gets no other name.
        const isOwn = found.value.path === repository.value.layout.blob(digest)
        if (isOwn && (yield* link(layout, digest, found.value))) return found.value.size
        const isCopied = yield* copy(sessions, layout, digest, found.value)
        if (isCopied) return found.value.size
      }
      return undefined
    })

/** Gives a blob another name in another layout, where the file system can. */
const link = Effect.fnUntraced(function* (
  layout: Layout,
  digest: Digest.Digest,
  { path, size }: Found
) {
  const { files } = layout
  yield* layout.prepare
  const draft = layout.draft()
  const isLinked = yield* Effect.isSuccess(files.step(draft, files.fs.link(path, draft)))
  if (!isLinked) return false
  yield* layout.create.pipe(
    Effect.zipRight(layout.place(draft, digest)),
    Effect.zipRight(layout.sync),
    Effect.uninterruptible,
    Effect.onError(() => files.remove(draft))
  )
  layout.noteVerified(digest, size)
  return true
})

/** Copies a blob from another layout. Returns false if it is gone. */
const copy = Effect.fnUntraced(
  function* (
    sessions: LayoutUploads,
    { files, repository }: Layout,
    digest: Digest.Digest,
    { path }: Found
  ) {
    const session = yield* sessions.start(repository)
    if (!(yield* session.adopt(path))) yield* session.write(files.stream(path))
    yield* session.commit(digest)
    return true
  },
  Effect.scoped,
  Effect.catchTags({
    UploadUnknown: () => Effect.succeed(false),
    RangeMismatch: () => Effect.succeed(false),
    BodyNotReplayable: () => Effect.succeed(false),
    // Of a digest that cannot be computed here, nothing can be copied.
    InvalidDigest: () => Effect.succeed(false)
  })
)
