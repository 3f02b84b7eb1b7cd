/** The manifests of a cache: from the store by their digests, which tags are asked for again. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as BlobSource from "../../../BlobSource.js"
import * as ChangedManifest from "../../../internal/ChangedManifest.js"
import type { Registry } from "../../../Registry.js"
import { isAbsent, ProtocolViolation } from "../../../RegistryError.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import * as Manifest from "../../../spec/Manifest.js"
import type { RepositoryName, Tag } from "../../../spec/Reference.js"
import type { Cache } from "./Cache.js"
import { blobOf, type Entry } from "./Content.js"
import { headOrElse, Requests } from "./Requests.js"

/** Makes the operations that read manifests. */
export const manifests = (cache: Cache) => {
  const byDigest = digests(cache)
  const byTag = byTags(cache, byDigest)
  return {
    getManifest: (repository, reference) =>
      Digest.isDigest(reference)
        ? byDigest.get(repository, reference)
        : byTag.get(repository, reference),
    getChangedManifest: (repository, reference, known) =>
      Digest.isDigest(reference)
        ? ChangedManifest.unless(byDigest.get(repository, reference), known)
        : byTag.getChanged(repository, reference, known),
    headManifest: (repository, reference) =>
      Digest.isDigest(reference)
        ? orNone(byDigest.head(repository, reference))
        : orNone(byTag.resolve(repository, reference))
  } satisfies Partial<Registry.Service>
}

/** Reads a manifest that is stored. */
export const readStored = (
  store: Registry.Service,
  { descriptor, home }: Pick<Entry, "descriptor" | "home">
) =>
  Effect.flatMap(
    store.getBlobBytes(home, blobOf({ descriptor }), { limit: descriptor.size }),
    (bytes) => Manifest.fromBytes(bytes, descriptor)
  )

/** The digests that a manifest refers to. */
export const childrenOf = (manifest: Manifest.Manifest): ReadonlyArray<Digest.Digest> =>
  Manifest.references(manifest).map(({ digest }) => digest)

// -----------------------------------------------------------------------------
// By digest
// -----------------------------------------------------------------------------

type Get<Reference> = (
  repository: RepositoryName,
  reference: Reference
) => Effect.Effect<Manifest.Manifest, Registry.GetManifestError>

const digests = (cache: Cache) => {
  const { absenceTimeToLive, content, scope, store, upstream } = cache
  const requests = new Requests<Manifest.Manifest, Registry.GetManifestError>(
    scope,
    absenceTimeToLive
  )
  const keep = keeping(cache)

  const get: Get<Digest.Digest> = (repository, digest) =>
    Effect.suspend(() => {
      const entry = content.use(repository, digest)
      return entry?.children === undefined
        ? fetch(repository, digest)
        : Effect.catchAll(readStored(store, entry), (error) =>
            Effect.zipRight(content.discard(entry, error), fetch(repository, digest))
          )
    })

  const fetch: Get<Digest.Digest> = (repository, digest) =>
    requests.run(
      `${repository}@${digest}`,
      Effect.tap(upstream.getManifest(repository, digest), (manifest) => keep(repository, manifest))
    )

  const head = (repository: RepositoryName, digest: Digest.Digest) =>
    Effect.suspend(() => {
      const entry = content.use(repository, digest)
      return entry?.children === undefined
        ? headOrElse(
            upstream.headManifest(repository, digest),
            Effect.map(fetch(repository, digest), ({ descriptor }) => descriptor)
          )
        : Effect.succeed(entry.descriptor)
    })

  return { get, head, keep }
}

/** Stores manifests that were read; one that cannot be stored is still read. */
const keeping = ({ content, scope, store }: Cache) => {
  const puts = new Requests<void, never>(scope, 0)

  const put = (repository: RepositoryName, manifest: Manifest.Manifest) =>
    Effect.gen(function* () {
      const { bytes, descriptor } = manifest
      const { digest, size } = descriptor
      // A signed one of schema 1 has the digest of its payload, and is no blob of that (trap 36).
      if (size !== bytes.length) return
      const there = content.get(digest)
      if (there?.children !== undefined || !(yield* content.reserve(size))) return
      const home = there?.home ?? repository
      const source = { ...BlobSource.fromBytes(bytes), digest }
      yield* Effect.matchEffect(store.putBlob(home, source), {
        onFailure: (error) => {
          content.release(size)
          return Effect.logWarning(`The cache does not store ${digest}: ${error.message}`)
        },
        onSuccess: () =>
          Effect.sync(() =>
            content.add({
              descriptor,
              home,
              repositories: new Set([repository, ...(there?.repositories ?? [])]),
              children: childrenOf(manifest),
              readers: there?.readers ?? { count: 0 }
            })
          )
      })
    })

  return (repository: RepositoryName, manifest: Manifest.Manifest): Effect.Effect<void> =>
    Effect.map(puts.run(manifest.descriptor.digest, put(repository, manifest)), () => {
      const entry = content.get(manifest.descriptor.digest)
      if (entry !== undefined) content.share(entry, repository)
    })
}

// -----------------------------------------------------------------------------
// By tag
// -----------------------------------------------------------------------------

const byTags = (cache: Cache, byDigest: ReturnType<typeof digests>) => {
  const { absenceTimeToLive, scope, staleTags, tags, tagTimeToLive, upstream } = cache
  const requests = new Requests<Descriptor, Registry.GetManifestError>(scope, absenceTimeToLive)

  const record = (repository: RepositoryName, tag: Tag, descriptor: Descriptor) =>
    Effect.map(Clock.currentTimeMillis, (checked) => {
      tags.set({
        ...tags.get(repository, tag),
        ...{ repository, tag, descriptor, checked }
      })
      return descriptor
    })

  /** Reads what a tag is, which is the one way to learn it where HEAD says nothing. */
  const read = (repository: RepositoryName, tag: Tag) =>
    upstream.getManifest(repository, tag).pipe(
      Effect.tap((manifest) => byDigest.keep(repository, manifest)),
      Effect.map(({ descriptor }) => descriptor)
    )

  /** Asks for the tag again. A failed check waits for its time as a successful one does (V27). */
  const check = (repository: RepositoryName, tag: Tag) =>
    headOrElse(upstream.headManifest(repository, tag), read(repository, tag)).pipe(
      Effect.catchAll((error) => {
        const known = tags.get(repository, tag)
        if (isAbsent(error)) tags.delete(repository, tag)
        return staleTags && known !== undefined && !isAbsent(error)
          ? Effect.as(reportStale(repository, tag, error), known.descriptor)
          : Effect.fail(error)
      }),
      Effect.flatMap((descriptor) => record(repository, tag, descriptor))
    )

  const resolve = (repository: RepositoryName, tag: Tag) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const known = tags.get(repository, tag)
      return known !== undefined && now - known.checked < tagTimeToLive
        ? Effect.succeed(known.descriptor)
        : requests.run(`${repository}:${tag}`, check(repository, tag))
    })

  /** What was read under the tag before, when what it is now cannot be had. */
  const before = (repository: RepositoryName, tag: Tag, error: Registry.GetManifestError) => {
    const last = tags.get(repository, tag)?.read
    return staleTags && last !== undefined
      ? reportStale(repository, tag, error).pipe(
          Effect.zipRight(record(repository, tag, last)),
          Effect.zipRight(byDigest.get(repository, last.digest))
        )
      : Effect.fail(error)
  }

  /** Reads what a tag was found to be. */
  const getFound = Effect.fnUntraced(function* (
    repository: RepositoryName,
    tag: Tag,
    { digest }: Descriptor
  ) {
    const manifest = yield* Effect.catchAll(byDigest.get(repository, digest), (error) =>
      isAbsent(error)
        ? // The tag has moved since.
          read(repository, tag).pipe(
            Effect.flatMap((descriptor) => record(repository, tag, descriptor)),
            Effect.flatMap((descriptor) => byDigest.get(repository, descriptor.digest))
          )
        : before(repository, tag, error)
    )
    const known = tags.get(repository, tag)
    if (known !== undefined && known.read?.digest !== manifest.descriptor.digest) {
      tags.set({ ...known, read: manifest.descriptor })
      cache.content.changes(manifest.descriptor.digest)
    }
    return manifest
  })

  const get: Get<Tag> = (repository, tag) =>
    Effect.flatMap(resolve(repository, tag), (found) => getFound(repository, tag, found))

  const getChanged = (repository: RepositoryName, tag: Tag, known: Digest.Digest) =>
    Effect.flatMap(resolve(repository, tag), (found) =>
      found.digest === known
        ? Effect.succeedNone
        : ChangedManifest.unless(getFound(repository, tag, found), known)
    )

  return { get, getChanged, resolve }
}

const reportStale = (repository: RepositoryName, tag: Tag, error: Error) =>
  Effect.logWarning(`The cache serves ${repository}:${tag} as it was: ${error.message}`)

/** An absence is an answer to a HEAD. */
const orNone = (
  found: Effect.Effect<Descriptor, Registry.GetManifestError>
): Effect.Effect<Option.Option<Descriptor>, Registry.HeadManifestError> =>
  Effect.asSome(found).pipe(
    Effect.catchTags({
      ManifestUnknown: () => Effect.succeedNone,
      NameUnknown: () => Effect.succeedNone,
      MediaTypeMismatch: ({ message }) => new ProtocolViolation({ problem: message }),
      InvalidManifest: ({ message }) => new ProtocolViolation({ problem: message })
    })
  )
