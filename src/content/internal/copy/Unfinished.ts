/** Uploads that did not come to their end, as later copies find them. */
import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as RegistryScope from "../../../internal/RegistryScope.js"
import { UploadState } from "../../../internal/UploadState.js"
import type { Registry, ResumableUpload } from "../../../Registry.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import type { Side } from "./Questions.js"

/** What becomes of an upload that does not come to its end: see `Copy.Options`. */
export type Unfinished = "resume" | "cancel" | KeyValueStore.KeyValueStore

/** From this size on, in bytes, it is worth a request more to be able to go on with an upload. */
export const large = 16 * 1024 * 1024

/** Where states are, by what they are of. */
interface States {
  readonly get: (key: string) => Effect.Effect<UploadState | undefined>
  readonly set: (key: string, state: UploadState | undefined) => Effect.Effect<void>
  /** What is being uploaded: a session has one writer. */
  readonly claimed: Set<string>
}

/** States in this process end with what they are of. */
const known = new WeakMap<Registry.Service | KeyValueStore.KeyValueStore, States>()

/**
 * Runs an upload to a place with what it needs to be one of several calls, if it is to be.
 * Meanwhile nobody else gets that for the same blob.
 */
export const during = <A, E, R>(
  unfinished: Unfinished,
  { name, registry, repository }: Side,
  { digest, size }: Descriptor,
  upload: (resumable: ResumableUpload | undefined) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  unfinished === "cancel" || size < large
    ? upload(undefined)
    : Effect.gen(function* () {
        const isHere = unfinished === "resume"
        const owner = isHere ? registry : unfinished
        const states = known.get(owner) ?? (yield* isHere ? inMemory(registry) : stored(unfinished))
        known.set(owner, states)
        const { claimed, get, set } = states
        const key = isHere ? `${repository}@${digest}` : storedKey(name, digest)
        if (claimed.has(key)) return yield* upload(undefined)
        return yield* Effect.acquireUseRelease(
          Effect.sync(() => claimed.add(key)),
          () =>
            Effect.flatMap(get(key), (state) =>
              upload({ ...(state && { state }), keep: (state) => set(key, state) })
            ),
          () => Effect.sync(() => claimed.delete(key))
        )
      })

/** Cancels what was left of a blob that has come by other means. */
export const cancel = (unfinished: Unfinished, to: Side, blob: Descriptor): Effect.Effect<void> =>
  during(unfinished, to, blob, (left) =>
    left?.state === undefined
      ? Effect.void
      : Effect.zipRight(cancelled(to.registry, left.state), left.keep(undefined))
  )

const cancelled = (registry: Registry.Service, state: UploadState) =>
  Effect.ignore(Effect.scoped(registry.resumeUpload(state)))

/**
 * States in this process. What is left when the registry is closed is cancelled, where somebody
 * says when that is.
 */
const inMemory = (registry: Registry.Service): Effect.Effect<States> =>
  Effect.suspend(() => {
    const states = new Map<string, UploadState>()
    const ended = Effect.suspend(() =>
      Effect.forEach(states.values(), (state) => cancelled(registry, state), {
        concurrency: "unbounded",
        discard: true
      })
    )
    const made: States = {
      get: (key) => Effect.sync(() => states.get(key)),
      set: (key, state) =>
        Effect.sync(() => {
          if (state === undefined) states.delete(key)
          else states.set(key, state)
        }),
      claimed: new Set()
    }
    return Effect.as(RegistryScope.atEnd(registry, ended), made)
  })

/** A name that any store takes for a key, however long that of the repository is. */
const storedKey = (name: string, digest: Digest.Digest): string =>
  `upload-${Digest.encoded(Digest.fromBytes(new TextEncoder().encode(`${name}@${digest}`)))}`

/** States that a store of the application has. What it fails with costs no more than time. */
const stored = (store: KeyValueStore.KeyValueStore): Effect.Effect<States> => {
  const states = store.forSchema(UploadState)
  return Effect.succeed({
    // What it fails with may quote a URL that is signed.
    get: (key) =>
      Effect.map(
        Effect.option(Effect.map(states.get(key), Option.getOrUndefined)),
        Option.getOrUndefined
      ),
    set: (key, state) =>
      (state === undefined ? states.remove(key) : states.set(key, state)).pipe(
        Effect.catchAll(({ _tag }) =>
          Effect.logWarning(`The state of an upload could not be stored: ${_tag}`)
        )
      ),
    claimed: new Set()
  })
}
