/**
 * All registries that a program may meet, by host, and the everyday operations of programs that
 * start from references.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { invalidHost } from "./internal/HostProblem.js"
import * as References from "./internal/References.js"
import * as RegistryScope from "./internal/RegistryScope.js"
import * as Untag from "./internal/Untag.js"
import { type ListOptions, Registry } from "./Registry.js"
import {
  DigestMismatch,
  type InputError,
  type InvalidUrl,
  ManifestUnknown
} from "./RegistryError.js"
import type { Descriptor } from "./spec/Descriptor.js"
import type { Digest } from "./spec/Digest.js"
import * as Host from "./spec/Host.js"
import type { Manifest } from "./spec/Manifest.js"
import type { RepositoryName } from "./spec/Reference.js"
import * as Reference from "./spec/Reference.js"

/**
 * The registries, one for each host. `RegistryClient.layerRegistries` provides them over HTTP,
 * `MemoryRegistry.layerRegistries` in memory, and `layerFrom` from a function.
 *
 * @since 0.1.0
 * @category services
 */
export class Registries extends Context.Tag("effect-oci/Registries")<
  Registries,
  Registries.Service
>() {}

/**
 * @since 0.1.0
 */
export declare namespace Registries {
  /**
   * `get` takes a host as references have it (`docker.io`, `ghcr.io`, `localhost:5000`) and
   * returns its registry: always the same one for the same host, however that is written (see
   * `Host.parse`).
   *
   * Fails with `InvalidUrl` when the text is not a host, or its options are not valid.
   *
   * @since 0.1.0
   * @category models
   */
  export interface Service {
    readonly get: (host: string) => Effect.Effect<Registry.Service, InvalidUrl>
  }
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Provides registries that a function opens, for wrappers and fakes. `open` runs once for each
 * host, when that is first asked for, and whoever asks meanwhile waits for the same run. It goes on
 * when those who wait are interrupted. A failure is theirs, and is not kept: the next to ask has
 * `open` run again. What `open` acquires in its Scope is released with the layer, or at once where
 * it fails. Its other requirements are those of the layer.
 *
 * Hosts are in the normal form of `Host.parse`: Docker Hub is `docker.io` under all its names. A
 * text that is not a host fails with `InvalidUrl`, without a run of `open`.
 *
 * @example
 * ```ts
 * import * as Registries from "effect-oci/Registries"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import { NodeRegistry } from "effect-oci/node"
 *
 * // The registries of this machine, with every host that is opened in the log.
 * const logged = Registries.layerFrom((host) =>
 *   Effect.gen(function*() {
 *     yield* Effect.logInfo(`opens ${host}`)
 *     return yield* (yield* Registries.Registries).get(host)
 *   })
 * ).pipe(Layer.provide(NodeRegistry.layerRegistries()))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFrom = <R = never>(
  open: (host: Host.Host) => Effect.Effect<Registry.Service, InvalidUrl, R>
): Layer.Layer<Registries, never, Exclude<R, Scope.Scope>> =>
  Layer.scoped(
    Registries,
    Effect.gen(function* () {
      const context = yield* Effect.context<Exclude<R, Scope.Scope>>()
      const scope = yield* Effect.scope
      // Whoever holds the service when its layer is gone is not interrupted.
      let isReleased = false
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          isReleased = true
        })
      )
      const fork = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.suspend(
          (): Effect.Effect<unknown> =>
            isReleased ? Effect.forkDaemon(effect) : Effect.forkIn(effect, scope)
        )
      return fromOpening(fork, (host) =>
        Effect.gen(function* () {
          // What a failed run has acquired is not for the rest of the layer's life.
          const own = yield* Scope.fork(scope, ExecutionStrategy.sequential)
          return yield* open(host).pipe(
            // Not those of who happens to ask first.
            Effect.mapInputContext(
              (_: Context.Context<never>) =>
                Context.add(context, Scope.Scope, own) as Context.Context<R>
            ),
            Effect.tap((registry) => RegistryScope.note(registry, own)),
            Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(own, exit) : Effect.void))
          )
        })
      )
    })
  )

/**
 * Provides the registry of one host as `Registry`.
 *
 * Fails with `InvalidUrl` as `Registries.get` does.
 *
 * @example
 * ```ts
 * import * as Registries from "effect-oci/Registries"
 * import * as Layer from "effect/Layer"
 * import { NodeRegistry } from "effect-oci/node"
 *
 * const GitHub = Registries.layerRegistry("ghcr.io").pipe(
 *   Layer.provide(NodeRegistry.layerRegistries())
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerRegistry = (host: string): Layer.Layer<Registry, InvalidUrl, Registries> =>
  Layer.effect(
    Registry,
    Effect.flatMap(Registries, ({ get }) => get(host))
  )

/** Opens registries as they are asked for, in fibers that `fork` begins and nobody owns. */
const fromOpening = (
  fork: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<unknown>,
  open: (host: Host.Host) => Effect.Effect<Registry.Service, InvalidUrl>
): Registries.Service => {
  const registries = new Map<Host.Host, Registry.Service>()
  const openings = new Map<Host.Host, Deferred.Deferred<Registry.Service, InvalidUrl>>()

  /** Runs uninterruptibly around `open`, so that it always ends its Deferred. */
  const start = (host: Host.Host) => {
    const opening = Deferred.unsafeMake<Registry.Service, InvalidUrl>(FiberId.none)
    openings.set(host, opening)
    return Effect.interruptible(open(host)).pipe(
      Effect.exit,
      Effect.flatMap((exit) => {
        openings.delete(host)
        if (Exit.isSuccess(exit)) registries.set(host, exit.value)
        return Deferred.done(opening, exit)
      }),
      fork,
      Effect.as(opening)
    )
  }

  // Found, joined or begun in one synchronous step, or two fibers could begin at once.
  const openOnce = (host: Host.Host) =>
    Effect.uninterruptibleMask((restore) => {
      const known = registries.get(host)
      if (known !== undefined) return Effect.succeed(known)
      const joined = openings.get(host)
      return Effect.flatMap(
        joined === undefined ? start(host) : Effect.succeed(joined),
        (opening) => restore(Deferred.await(opening))
      )
    })

  return {
    get: (text) => Effect.flatMap(Effect.mapError(Host.parse(text), invalidHost("it")), openOnce)
  }
}

// -----------------------------------------------------------------------------
// By reference
// -----------------------------------------------------------------------------

/**
 * A reference, and the registry that it leads to.
 *
 * @since 0.1.0
 * @category models
 */
export interface Opened {
  readonly registry: Registry.Service
  readonly repository: RepositoryName
  readonly reference: Reference.Reference
}

/**
 * A manifest that is there: its media type, digest and size, and the reference to it by digest.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resolved {
  readonly descriptor: Descriptor
  readonly reference: Reference.Reference
}

/**
 * Parses a reference and gets the registry of its host. Nothing is requested.
 *
 * Fails with `InvalidReference`, and with `InvalidUrl` as `Registries.get` does.
 *
 * @example
 * ```ts
 * import * as Registries from "effect-oci/Registries"
 * import * as Effect from "effect/Effect"
 *
 * const ping = Effect.flatMap(
 *   Registries.open("ghcr.io/owner/name"),
 *   ({ registry }) => registry.ping
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const open = (
  reference: string | Reference.Reference
): Effect.Effect<Opened, InputError, Registries> =>
  References.run("Registries.open", reference, opened)

/**
 * The errors of `resolve`.
 *
 * @since 0.1.0
 * @category errors
 */
export type ResolveError = ManifestUnknown | Registry.HeadManifestError | InputError

/**
 * Returns what a reference leads to, without reading it: a HEAD where the registry allows
 * ([Checking if content
 * exists](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#checking-if-content-exists-in-the-registry)).
 * Without tag and digest, the tag is `latest`.
 *
 * Fails with `ManifestUnknown` when the registry has no such manifest, and with the rest of
 * `ResolveError`.
 *
 * @example
 * ```ts
 * import * as Reference from "effect-oci/Reference"
 * import * as Registries from "effect-oci/Registries"
 * import * as Effect from "effect/Effect"
 *
 * // ghcr.io/owner/name@sha256:…
 * const pinned = Effect.map(
 *   Registries.resolve("ghcr.io/owner/name:1.0.0"),
 *   ({ reference }) => Reference.format(reference)
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const resolve = (
  reference: string | Reference.Reference
): Effect.Effect<Resolved, ResolveError, Registries> =>
  References.run("Registries.resolve", reference, (parsed) =>
    Effect.flatMap(opened(parsed), resolved)
  )

/**
 * The errors of `exists`.
 *
 * @since 0.1.0
 * @category errors
 */
export type ExistsError = Registry.HeadManifestError | InputError

/**
 * Returns whether there is a manifest under a reference, as `resolve` finds it. Without tag and
 * digest, the tag is `latest`. Many registries say of a repository that they do not show, too, that
 * it is not there.
 *
 * @since 0.1.0
 * @category operations
 */
export const exists = (
  reference: string | Reference.Reference
): Effect.Effect<boolean, ExistsError, Registries> =>
  References.run("Registries.exists", reference, (parsed) =>
    Effect.map(Effect.flatMap(opened(parsed), head), Option.isSome)
  )

/**
 * The errors of `manifest`.
 *
 * @since 0.1.0
 * @category errors
 */
export type ManifestError = Registry.GetManifestError | InputError

/**
 * Reads the manifest under a reference, verified: see `Registry.getManifest`. Without tag and
 * digest, the tag is `latest`.
 *
 * @since 0.1.0
 * @category operations
 */
export const manifest = (
  reference: string | Reference.Reference
): Effect.Effect<Manifest, ManifestError, Registries> =>
  References.run("Registries.manifest", reference, (parsed) =>
    Effect.flatMap(opened(parsed), ({ registry, repository }) =>
      registry.getManifest(repository, Reference.tagOrDigest(parsed))
    )
  )

/**
 * The errors of `tags`.
 *
 * @since 0.1.0
 * @category errors
 */
export type TagsError = Registry.ListTagsError | InputError

/**
 * Lists the tags of a repository, in the registry's order, one page at a time: see `Registry.tags`.
 * A tag or digest in the reference does not count.
 *
 * Fails with `InvalidReference` also when `after` is not a tag.
 *
 * @example
 * ```ts
 * import * as Registries from "effect-oci/Registries"
 * import * as Stream from "effect/Stream"
 *
 * const releases = Registries.tags("ghcr.io/owner/name").pipe(
 *   Stream.filter((tag) => /^\d+\.\d+\.\d+$/.test(tag)),
 *   Stream.runCollect
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const tags = (
  reference: string | Reference.Reference,
  options?: ListOptions<string>
): Stream.Stream<Reference.Tag, TagsError, Registries> =>
  References.stream("Registries.tags", reference, (parsed) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const after =
          options?.after === undefined ? undefined : yield* Reference.parseTag(options.after)
        const { registry, repository } = yield* opened(parsed)
        return registry.tags(repository, { pageSize: options?.pageSize, after })
      })
    )
  )

/**
 * The errors of `referrers`.
 *
 * @since 0.1.0
 * @category errors
 */
export type ReferrersError = Registry.ListReferrersError | ResolveError

/**
 * Lists the manifests that have this one as their subject, only those of `artifactType` if given:
 * see `Registry.referrers`. A reference without digest is resolved first, as `resolve` does;
 * without tag, too, the tag is `latest`.
 *
 * Fails with `ManifestUnknown` when there is nothing under the tag. A digest that the registry does
 * not know has no referrers.
 *
 * @example
 * ```ts
 * import * as Registries from "effect-oci/Registries"
 * import * as Stream from "effect/Stream"
 *
 * const signatures = Stream.runCollect(
 *   Registries.referrers("ghcr.io/owner/name:1.0.0", {
 *     artifactType: "application/vnd.dev.sigstore.bundle.v0.3+json"
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const referrers = (
  reference: string | Reference.Reference,
  options?: { readonly artifactType?: string | undefined }
): Stream.Stream<Descriptor, ReferrersError, Registries> =>
  References.stream("Registries.referrers", reference, (parsed) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const at = yield* opened(parsed)
        const digest = yield* digestOf(at)
        return at.registry.referrers(at.repository, digest, options)
      })
    )
  )

/**
 * The errors of `blob`.
 *
 * @since 0.1.0
 * @category errors
 */
export type BlobError = Registry.GetBlobError | InputError

/**
 * Streams the bytes of a blob, verified: see `Registry.getBlob`. The reference is one with a
 * digest, as in `ghcr.io/owner/name@sha256:…`.
 *
 * Fails with `InvalidReference` for one without.
 *
 * @since 0.1.0
 * @category operations
 */
export const blob = (
  reference: string | Reference.Reference
): Stream.Stream<Uint8Array, BlobError, Registries> =>
  References.stream("Registries.blob", reference, (parsed) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const digest = yield* References.requireDigest(
          parsed,
          (name) => `has no digest, by which alone blobs are found: write ${name}@sha256:…`
        )
        const { registry, repository } = yield* opened(parsed)
        return registry.getBlob(repository, digest)
      })
    )
  )

/**
 * The errors of `tag`.
 *
 * @since 0.1.0
 * @category errors
 */
export type TagError = Registry.GetManifestError | Registry.PutManifestError | InputError

/**
 * Puts the manifest under a reference under another tag of its repository as well, and returns it:
 * a release under `1.2.3` under `latest`, say. The tag that a reference without digest has is
 * resolved at the registry itself, never at a mirror.
 *
 * Fails with `InvalidReference` before anything is sent when `tag` is not a tag, or the reference
 * has neither tag nor digest.
 *
 * @example
 * ```ts
 * import * as Registries from "effect-oci/Registries"
 *
 * const promoted = Registries.tag("ghcr.io/owner/name:1.2.3", "latest")
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const tag = (
  reference: string | Reference.Reference,
  tag: string
): Effect.Effect<Resolved, TagError, Registries> =>
  References.run("Registries.tag", reference, (parsed) =>
    Effect.gen(function* () {
      yield* References.requireVersion(parsed)
      const name = yield* Reference.parseTag(tag)
      const at = yield* opened(parsed)
      const manifest = yield* at.registry.getManifest(at.repository, yield* digestOf(at))
      const descriptor = yield* at.registry.putManifest(at.repository, manifest, { tags: [name] })
      return { descriptor, reference: Reference.withDigest(parsed, descriptor.digest) }
    })
  )

/**
 * The errors of `putManifest`.
 *
 * @since 0.1.0
 * @category errors
 */
export type PutManifestError = Registry.PutManifestError | InputError

/**
 * Puts a manifest that was made or read under a reference, and returns it: an index of images, say.
 * What it refers to must be there first: see `Registry.putManifest`.
 *
 * Fails with
 *
 * - `InvalidReference` before anything is sent, for a reference with neither tag nor digest;
 * - `DigestMismatch` before anything is sent, when the reference has another digest;
 * - and the rest of `PutManifestError`.
 *
 * @example
 * ```ts
 * import * as Manifest from "effect-oci/Manifest"
 * import * as Platform from "effect-oci/Platform"
 * import * as Registries from "effect-oci/Registries"
 *
 * // One image for a platform that was pushed before, as an index.
 * const index = (image: Manifest.Manifest) =>
 *   Registries.putManifest(
 *     "ghcr.io/owner/name:1.0.0",
 *     Manifest.index({
 *       manifests: [{ ...image.descriptor, platform: Platform.unsafeParse("linux/arm64") }]
 *     })
 *   )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const putManifest = (
  reference: string | Reference.Reference,
  manifest: Manifest
): Effect.Effect<Resolved, PutManifestError, Registries> =>
  References.run("Registries.putManifest", reference, (parsed) =>
    Effect.gen(function* () {
      yield* References.requireVersion(parsed)
      const { digest } = manifest.descriptor
      if (Option.isSome(parsed.digest) && parsed.digest.value !== digest)
        return yield* mismatch(parsed, parsed.digest.value, digest)
      const { registry, repository } = yield* opened(parsed)
      const tags = Option.toArray(parsed.tag)
      const descriptor = yield* registry.putManifest(repository, manifest, { tags })
      return { descriptor, reference: Reference.withDigest(parsed, descriptor.digest) }
    })
  )

/**
 * Says how a tag is removed.
 *
 * @since 0.1.0
 * @category models
 */
export interface UntagOptions {
  /**
   * Where the registry cannot remove a tag alone, moves the tag to a manifest that is made for it,
   * and deletes that: what the tag stood on, and its other tags, stay. Where that cannot be deleted
   * either, or the caller is interrupted, the tag is put back. False by default.
   *
   * Whoever reads the tag meanwhile gets an image without layers. The tag is moved, and put back,
   * only as long as it stands on what is expected (`onlyIf` of `Registry.putManifest`).
   */
  readonly throwaway?: boolean | undefined
}

/**
 * What `untagFrom` can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type UntagFromError =
  | Registry.DeleteTagError
  | Registry.GetManifestError
  | Registry.PutBlobError
  | Registry.PutManifestError

/**
 * Removes a tag of a registry and leaves the manifest, as `untag` does.
 *
 * @since 0.1.0
 * @category operations
 */
export const untagFrom = (
  registry: Registry.Service,
  repository: RepositoryName,
  tag: Reference.Tag,
  { throwaway = false }: UntagOptions = {}
): Effect.Effect<void, UntagFromError> => Untag.untag(registry, repository, tag, throwaway)

/**
 * The errors of `untag` without `throwaway`.
 *
 * @since 0.1.0
 * @category errors
 */
export type UntagError = Registry.DeleteTagError | Registry.HeadManifestError | InputError

/**
 * Removes a tag and leaves the manifest: see `Registry.deleteTag`. Where the reference has a digest
 * as well, the tag is removed only if it stands on that, which is asked right before.
 *
 * Fails with
 *
 * - `InvalidReference` before anything is sent, for a reference without tag;
 * - `ManifestUnknown` or `NameUnknown` when there is no such tag, and `Denied` when it may not be
 *   removed;
 * - `DigestMismatch` when the tag stands on something other than the digest;
 * - `Unsupported` where the registry cannot remove a tag alone: `throwaway` gets around that at
 *   most registries that delete manifests;
 * - with `throwaway`, `PreconditionFailed` when the tag is moved by others meanwhile, and the rest
 *   of `UntagFromError`.
 *
 * @example
 * ```ts
 * import * as Registries from "effect-oci/Registries"
 *
 * const untagged = Registries.untag("registry.example/owner/name:pr-7", { throwaway: true })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export function untag(
  reference: string | Reference.Reference,
  options?: { readonly throwaway?: false | undefined }
): Effect.Effect<void, UntagError, Registries>
export function untag(
  reference: string | Reference.Reference,
  options: UntagOptions
): Effect.Effect<void, UntagError | UntagFromError, Registries>
export function untag(
  reference: string | Reference.Reference,
  options: UntagOptions = {}
): Effect.Effect<void, UntagError | UntagFromError, Registries> {
  return References.run("Registries.untag", reference, (parsed) =>
    Effect.gen(function* () {
      yield* References.requireVersion(parsed)
      const tag = yield* References.requireTag(
        parsed,
        (name) => `has no tag to remove: write ${name}:<tag>, or delete the manifest with remove`
      )
      const at = yield* opened(parsed)
      yield* agreeing(at)
      yield* untagFrom(at.registry, at.repository, tag, options)
    })
  )
}

/**
 * The errors of `remove`.
 *
 * @since 0.1.0
 * @category errors
 */
export type RemoveError = Registry.DeleteManifestError | Registry.HeadManifestError | InputError

/**
 * Deletes a manifest, and with it every tag on it: see `Registry.deleteManifest`. The reference is
 * one with a digest. Where it has a tag as well, the manifest is deleted only if the tag stands on
 * the digest, which is asked right before.
 *
 * Fails with
 *
 * - `InvalidReference` before anything is sent, for a reference without digest: `untag` removes a
 *   single tag;
 * - `DigestMismatch` when the tag stands on something other than the digest;
 * - `Unsupported` where the registry deletes nothing.
 *
 * @since 0.1.0
 * @category operations
 */
export const remove = (
  reference: string | Reference.Reference
): Effect.Effect<void, RemoveError, Registries> =>
  References.run("Registries.remove", reference, (parsed) =>
    Effect.gen(function* () {
      yield* References.requireVersion(parsed)
      const digest = yield* References.requireDigest(
        parsed,
        (name) =>
          "is a tag, and deleting its manifest would remove every tag on it: remove this one " +
          `alone with untag, or give the digest, as in ${name}@sha256:…`
      )
      const at = yield* opened(parsed)
      yield* agreeing(at)
      yield* at.registry.deleteManifest(at.repository, digest)
    })
  )

const head = ({ reference, registry, repository }: Opened) =>
  registry.headManifest(repository, Reference.tagOrDigest(reference))

const resolved = (opened: Opened) =>
  Effect.flatMap(
    head(opened),
    Option.match({
      onNone: () =>
        Effect.fail(
          new ManifestUnknown({
            host: opened.reference.host,
            repository: opened.repository,
            reference: Reference.tagOrDigest(opened.reference)
          })
        ),
      onSome: (descriptor) =>
        Effect.succeed<Resolved>({
          descriptor,
          reference: Reference.withDigest(opened.reference, descriptor.digest)
        })
    })
  )

/** Returns the digest of a reference, which the registry is asked for where it has none. */
const digestOf = (opened: Opened) =>
  Option.match(opened.reference.digest, {
    onNone: () => Effect.map(resolved(opened), ({ descriptor }) => descriptor.digest),
    onSome: (digest) => Effect.succeed(digest)
  })

/** Fails unless the tag of a reference stands on its digest. Asks only if it has both. */
const agreeing = (opened: Opened) => {
  const { digest: expected, tag } = opened.reference
  if (Option.isNone(expected) || Option.isNone(tag)) return Effect.void
  const reference = { ...opened.reference, digest: Option.none() }
  return Effect.flatMap(resolved({ ...opened, reference }), ({ descriptor }) =>
    descriptor.digest === expected.value
      ? Effect.void
      : mismatch(opened.reference, expected.value, descriptor.digest, tag.value)
  )
}

const mismatch = (
  reference: Reference.Reference,
  expected: Digest,
  actual: Digest,
  tag?: Reference.Tag
) =>
  Effect.fail(new DigestMismatch({ manifest: Reference.format(reference), tag, expected, actual }))

const opened = (reference: Reference.Reference): Effect.Effect<Opened, InvalidUrl, Registries> =>
  Effect.gen(function* () {
    const registry = yield* (yield* Registries).get(reference.host)
    return { registry, repository: reference.repository, reference }
  })
