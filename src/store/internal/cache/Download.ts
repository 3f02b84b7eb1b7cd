/** Downloads of a cache, which belong to none of their readers. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Registry } from "../../../Registry.js"
import type { Cache } from "./Cache.js"
import { descriptorOf } from "./Content.js"
import { type Fill, type FillError, NotStored } from "./Fill.js"
import { ofNobody } from "./Requests.js"

/**
 * Begins a download as a fiber of the cache, which forgets it however it ends (V23). `failed` is
 * told what the upstream registry failed with.
 */
export const begin = (
  cache: Cache,
  fill: Fill,
  failed: (error: Registry.GetBlobError) => Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { digest } = fill
    cache.fills.set(digest, fill)
    return Effect.interruptible(download(cache, fill)).pipe(
      Effect.tapError((error) =>
        error._tag === "UpstreamFailed"
          ? failed(error.error)
          : Effect.logWarning(`The cache does not store ${digest}: ${error.problem}`)
      ),
      Effect.onExit((exit) => {
        cache.fills.delete(digest)
        return fill.end(exit)
      }),
      ofNobody,
      Effect.forkIn(cache.scope)
    )
  }).pipe(Effect.uninterruptible)

/** Downloads a blob, for which room is made first, and adds it to what is stored. */
const download = (
  { changed, content, store, upstream }: Cache,
  fill: Fill
): Effect.Effect<void, FillError> =>
  Effect.suspend(() => {
    const { digest, home, readers, repositories, size } = fill
    let reserved = 0
    const reserve = (size: number) =>
      Effect.flatMap(content.reserve(size - reserved), (isReserved) => {
        if (!isReserved) return new NotStored({ problem: "there is no room for it" })
        reserved = size
        return Effect.void
      })
    const blob = size === undefined ? digest : descriptorOf(digest, size)
    const run = fill.run(store, upstream.getBlob(home, blob), () => changed(home))
    return reserve(size ?? 0).pipe(
      Effect.zipRight(run),
      Effect.zipRight(
        Effect.suspend(() =>
          Effect.tapError(reserve(fill.received), () =>
            Effect.ignore(store.deleteBlob(home, digest))
          )
        )
      ),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          changed(home)
          if (Exit.isFailure(exit)) return content.release(reserved)
          const descriptor = descriptorOf(digest, fill.received)
          content.add({ descriptor, home, repositories, readers })
        })
      )
    )
  })
