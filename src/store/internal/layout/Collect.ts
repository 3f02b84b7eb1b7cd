/**
 * Removes what nothing in a layout refers to. It is moved aside under the lock, after the index was
 * read again, and removed when others may write again (S7).
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type {
  DigestMismatch,
  InvalidManifest,
  LimitExceeded,
  NameUnknown,
  StorageFailure
} from "../../../RegistryError.js"
import * as Digest from "../../../spec/Digest.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import type { Step } from "./Files.js"
import type { Layout } from "./Layout.js"
import { Reach } from "./Reach.js"

/**
 * Says what is collected.
 *
 * @since 0.1.0
 * @category models
 */
export interface CollectOptions {
  /** The repository, all of them by default. */
  readonly repository?: RepositoryName | undefined
  /**
   * How long content stays that nothing refers to, 24 hours by default. It counts from when the
   * content was put or mounted, or when it was found there and so was not uploaded.
   */
  readonly grace?: Duration.DurationInput | undefined
  /** Removes nothing, and reports what would be removed. */
  readonly dryRun?: boolean | undefined
}

/**
 * A blob that was removed: `size` is in bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface CollectedBlob {
  readonly repository: RepositoryName
  readonly digest: Digest.Digest
  readonly size: number
}

/**
 * What was removed: blobs, and files of uploads that nobody went on with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Collected {
  readonly blobs: ReadonlyArray<CollectedBlob>
  readonly uploads: number
}

/**
 * What `collect` can fail with: nothing of a repository is removed when a manifest of it cannot be
 * read.
 *
 * @since 0.1.0
 * @category errors
 */
export type CollectError =
  | NameUnknown
  | DigestMismatch
  | InvalidManifest
  | LimitExceeded
  | StorageFailure

/** How many blobs are moved aside before others may write. */
const batchSize = 100

interface Candidate extends CollectedBlob {
  readonly path: string
}

/** Collects in one layout. */
export const collect = (
  layout: Layout,
  { dryRun = false, grace = "24 hours" }: CollectOptions
): Effect.Effect<Collected, CollectError> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const oldest = now - Duration.toMillis(grace)
    for (const folder of ["uploads", "lock", "removed"]) yield* layout.check(layout.own(folder))
    const uploads = yield* unusedSince(layout, oldest)
    // Somebody may go on with one meanwhile.
    const removeUploads = Effect.filter(uploads, (path) =>
      Effect.tap(isUnused(layout, path, oldest), (isUnused) =>
        isUnused ? layout.files.remove(path) : Effect.void
      )
    )
    // Uploads may have been begun where no layout came of it.
    if (!(yield* layout.exists)) {
      return { blobs: [], uploads: (dryRun ? uploads : yield* removeUploads).length }
    }
    if (Option.isNone(yield* layout.files.info(layout.indexFile)))
      return yield* layout.failure("it is missing, so that everything would be removed")
    yield* restore(layout)
    const reach = new Reach(layout, Effect.fail)
    yield* reach.follow(yield* layout.index)
    const candidates = (yield* blobsIn(layout, oldest)).filter(
      ({ digest }) => !reach.reached.has(digest)
    )
    if (dryRun) return { blobs: candidates.map(reported), uploads: uploads.length }
    const removed: Array<CollectedBlob> = []
    for (let at = 0; at < candidates.length; at += batchSize)
      removed.push(...(yield* sweep(layout, reach, candidates.slice(at, at + batchSize), oldest)))
    return { blobs: removed, uploads: (yield* removeUploads).length }
  })

const reported = ({ digest, repository, size }: Candidate): CollectedBlob => ({
  repository,
  digest,
  size
})

/** Where blobs are moved to before they are removed. */
const aside = (layout: Layout, { digest }: { readonly digest: Digest.Digest }): string =>
  layout.own("removed", digest.replace(":", "~"))

/** Removes blobs, but for those that the index leads to by now, or that somebody relies on. */
const sweep = Effect.fnUntraced(function* (
  layout: Layout,
  reach: Reach,
  candidates: ReadonlyArray<Candidate>,
  oldest: number
) {
  const { files } = layout
  const moved: Array<Candidate> = []
  yield* files.makeFolder(layout.own("removed"))
  const move = (candidate: Candidate) =>
    Effect.gen(function* () {
      const path = aside(layout, candidate)
      if (!(yield* isUnused(layout, candidate.path, oldest))) return
      yield* files.step(path, files.fs.rename(candidate.path, path))
      // Whoever came before the blob was moved has renewed it, and whoever came after found none.
      if (yield* isUnused(layout, path, oldest)) moved.push(candidate)
      else yield* files.step(path, files.fs.rename(path, candidate.path))
    })
  for (let isDone = false; !isDone; ) {
    const left = candidates.filter(({ digest }) => !reach.reached.has(digest))
    yield* layout.commit({
      change: () => Effect.void,
      after: (index) =>
        Effect.suspend(() => {
          isDone = reach.knows(index)
          return isDone ? Effect.ignore(Effect.forEach(left, move, { discard: true })) : Effect.void
        })
    })
    if (!isDone) yield* reach.follow(yield* layout.index)
  }
  for (const candidate of moved) {
    yield* files.remove(aside(layout, candidate))
  }
  return moved.map(reported)
})

/** Brings back what a collection had moved aside when its process ended. */
const restore = Effect.fnUntraced(function* (layout: Layout) {
  const { files } = layout
  for (const name of yield* files.names(layout.own("removed"))) {
    const digest = Digest.parsed(name.replace("~", ":"))
    if (Either.isLeft(digest)) continue
    const path = layout.own("removed", name)
    if (Option.isSome(yield* layout.find(digest.right))) yield* files.remove(path)
    else yield* files.step(path, files.fs.rename(path, layout.blob(digest.right)))
  }
})

const isUnused = (layout: Layout, path: string, oldest: number): Step<boolean> =>
  Effect.map(
    layout.files.info(path),
    Option.exists(({ modified }) => modified <= oldest)
  )

/** The blobs that nobody has put or relied on since a time. */
const blobsIn = Effect.fnUntraced(function* (layout: Layout, oldest: number) {
  const { files, repository } = layout
  const found: Array<Candidate> = []
  for (const { digest, path } of yield* blobFiles(layout)) {
    const info = yield* files.info(path)
    if (Option.isSome(info) && info.value.modified <= oldest)
      found.push({ repository, digest, path, size: info.value.size })
  }
  return found
})

/** Lists the files of blobs. Others, in the same folders, are nobody's. */
export const blobFiles = Effect.fnUntraced(function* (layout: Layout) {
  const { files } = layout
  const found: Array<{ readonly digest: Digest.Digest; readonly path: string }> = []
  for (const algorithm of yield* files.names(layout.blobs()))
    for (const encoded of yield* files.names(layout.blobs(algorithm))) {
      const digest = Digest.parsed(`${algorithm}:${encoded}`)
      if (Either.isRight(digest))
        found.push({ digest: digest.right, path: layout.blob(digest.right) })
    }
  return found
})

/** What uploads and writers have left behind. */
const unusedSince = Effect.fnUntraced(function* (layout: Layout, oldest: number) {
  const { files } = layout
  const uploads = (yield* files.names(layout.own("uploads"))).map((name) =>
    layout.own("uploads", name)
  )
  const drafts = (yield* files.names(layout.own()))
    .filter((name) => name.startsWith("index-") || name.startsWith("header-"))
    .map((name) => layout.own(name))
  const claims = (yield* files.names(layout.own("lock")))
    .filter((name) => name.startsWith("."))
    .map((name) => layout.own("lock", name))
  return yield* Effect.filter([...uploads, ...drafts, ...claims], (path) =>
    isUnused(layout, path, oldest)
  )
})
