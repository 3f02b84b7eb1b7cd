/**
 * A registry whose repositories are those of other registries, under the same or other names: what
 * `prefixed` and `select` have in common.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { UploadState } from "../../internal/UploadState.js"
import { make, type Registry, type ResumableUpload, type UploadSession } from "../../Registry.js"
import { NameUnknown, UploadUnknown } from "../../RegistryError.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as RenamedTransfer from "./RenamedTransfer.js"

/** Where a repository lies: in which registry, under which name. */
export interface Place {
  readonly registry: Registry.Service
  readonly repository: RepositoryName
}

/** Returns where a repository lies, or `undefined` where there cannot be one of this name. */
export type Route = (repository: RepositoryName) => Place | undefined

/**
 * Makes a registry that sends each operation to where `route` says, and shows the names that were
 * asked for, in errors, states of uploads and events. A repository that lies nowhere is unknown.
 * Blobs are mounted from repositories that are named and lie in the same registry: what the
 * registry has elsewhere may not be meant for those who see only these repositories.
 */
export const routed = (
  route: Route,
  whole: Pick<Registry.Service, "ping" | "repositories">
): Registry.Service => make({ ...whole, ...reads(route), ...writes(route), ...uploads(route) })

const reads = (route: Route) =>
  ({
    getManifest: (name, reference) =>
      at(route, name, ({ registry, repository }) => registry.getManifest(repository, reference)),
    getChangedManifest: (name, reference, known) =>
      at(route, name, ({ registry, repository }) =>
        registry.getChangedManifest(repository, reference, known)
      ),
    headManifest: (name, reference) => {
      const place = route(name)
      return place === undefined
        ? Effect.succeedNone
        : place.registry.headManifest(place.repository, reference)
    },
    tags: (name, options) =>
      streamAt(route, name, ({ registry, repository }) => registry.tags(repository, options)),
    referrers: (name, digest, options) => {
      const place = route(name)
      return place === undefined
        ? Stream.empty
        : place.registry.referrers(place.repository, digest, options)
    },
    manifests: (name) =>
      streamAt(route, name, ({ registry, repository }) => registry.manifests(repository)),
    headBlob: (name, digest) => {
      const place = route(name)
      return place === undefined
        ? Effect.succeedNone
        : place.registry.headBlob(place.repository, digest)
    },
    getBlob: (name, blob) =>
      RenamedTransfer.stream(
        name,
        streamAt(route, name, ({ registry, repository }) => registry.getBlob(repository, blob))
      ),
    getBlobBytes: (name, blob, options) =>
      RenamedTransfer.effect(
        name,
        at(route, name, ({ registry, repository }) =>
          registry.getBlobBytes(repository, blob, options)
        )
      ),
    getBlobRange: (name, digest, range) =>
      RenamedTransfer.stream(
        name,
        streamAt(route, name, ({ registry, repository }) =>
          registry.getBlobRange(repository, digest, range)
        )
      )
  }) satisfies Partial<Registry.Service>

const writes = (route: Route) =>
  ({
    putManifest: (name, manifest, options) =>
      at(route, name, ({ registry, repository }) =>
        registry.putManifest(repository, manifest, options)
      ),
    deleteTag: (name, tag) =>
      at(route, name, ({ registry, repository }) => registry.deleteTag(repository, tag)),
    deleteManifest: (name, digest) =>
      at(route, name, ({ registry, repository }) => registry.deleteManifest(repository, digest)),
    deleteBlob: (name, digest) =>
      at(route, name, ({ registry, repository }) => registry.deleteBlob(repository, digest)),
    putBlob: (name, source, options = {}) =>
      RenamedTransfer.effect(
        name,
        at(route, name, (place) =>
          place.registry.putBlob(place.repository, source, {
            ...options,
            mountFrom: neighbour(route, place, options.mountFrom),
            resumable: resumableAt(options.resumable, name, place.repository)
          })
        )
      )
  }) satisfies Partial<Registry.Service>

const uploads = (route: Route) => {
  const shown =
    (name: RepositoryName) =>
    (session: UploadSession): UploadSession => {
      const states = <E, R>(effect: Effect.Effect<UploadState, E, R>) =>
        Effect.map(named(name, effect), (state) => ({ ...state, repository: name }))
      return {
        ...session,
        state: states(session.state),
        write: (bytes) => states(session.write(bytes)),
        status: states(session.status),
        commit: (digest) => named(name, session.commit(digest)),
        detach: states(session.detach)
      }
    }
  return {
    startUpload: (name, options) =>
      Effect.map(
        at(route, name, ({ registry, repository }) => registry.startUpload(repository, options)),
        shown(name)
      ),
    resumeUpload: (state) => {
      const name = state.repository
      const place = route(name)
      return place === undefined
        ? Effect.fail(new UploadUnknown({ repository: name }))
        : Effect.map(
            named(name, place.registry.resumeUpload({ ...state, repository: place.repository })),
            shown(name)
          )
    },
    mountBlob: (name, digest, from) =>
      at(route, name, (place) => {
        const source = neighbour(route, place, from)
        return source === undefined
          ? Effect.succeed(false)
          : place.registry.mountBlob(place.repository, digest, source)
      })
  } satisfies Partial<Registry.Service>
}

/** Resumes an upload under the name that its repository has where it is. */
const resumableAt = (
  resumable: ResumableUpload | undefined,
  outer: RepositoryName,
  inner: RepositoryName
): ResumableUpload | undefined =>
  resumable === undefined || outer === inner
    ? resumable
    : {
        state: resumable.state && { ...resumable.state, repository: inner },
        keep: (state) => resumable.keep(state && { ...state, repository: outer })
      }

/** Returns the name of a repository in the same registry, or `undefined` if it lies elsewhere. */
const neighbour = (
  route: Route,
  { registry }: Place,
  name: RepositoryName | undefined
): RepositoryName | undefined => {
  const source = name === undefined ? undefined : route(name)
  return source?.registry === registry ? source.repository : undefined
}

const at = <A, E, R>(
  route: Route,
  name: RepositoryName,
  use: (place: Place) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | NameUnknown, R> => {
  const place = route(name)
  return place === undefined
    ? Effect.fail(new NameUnknown({ repository: name }))
    : named(name, use(place))
}

const streamAt = <A, E, R>(
  route: Route,
  name: RepositoryName,
  use: (place: Place) => Stream.Stream<A, E, R>
): Stream.Stream<A, E | NameUnknown, R> => {
  const place = route(name)
  return place === undefined
    ? Stream.fail(new NameUnknown({ repository: name }))
    : Stream.mapError(use(place), renamed(name))
}

const named = <A, E, R>(
  name: RepositoryName,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => Effect.mapError(effect, renamed(name))

/** Says in an error that names its repository the name that was asked for. */
const renamed =
  (repository: RepositoryName) =>
  <E>(error: E): E =>
    error instanceof Error && "repository" in error && error.repository !== repository
      ? Object.create(Object.getPrototypeOf(error), {
          ...Object.getOwnPropertyDescriptors(error),
          repository: { value: repository, enumerable: true }
        })
      : error
