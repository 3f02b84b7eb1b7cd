/**
 * What a registry in memory holds. Every change is made in one synchronous step, so that no fiber
 * sees half of it.
 */
import * as Effect from "effect/Effect"
import type { Registry } from "../../Registry.js"
import { NameUnknown } from "../../RegistryError.js"
import type { Descriptor } from "../../spec/Descriptor.js"
import * as Digest from "../../spec/Digest.js"
import type { Manifest } from "../../spec/Manifest.js"
import { isRepositoryName, isTag, type RepositoryName, type Tag } from "../../spec/Reference.js"
import { MemoryBytes } from "./MemoryBytes.js"
import { descriptorOf } from "./StoredBlob.js"

/** The operations of a registry whose names these are. */
export type Operations<Name extends keyof Registry.Service> = Pick<Registry.Service, Name>

/** The content of one repository. */
export interface Repository {
  readonly blobs: Map<Digest.Digest, MemoryBytes>
  readonly manifests: Map<Digest.Digest, Manifest>
  /** When each manifest was put last, in milliseconds of the clock. */
  readonly putAt: Map<Digest.Digest, number>
  readonly tags: Map<Tag, Digest.Digest>
}

/** All that is stored, by the name of the repository. */
export type Snapshot = Readonly<Record<string, RepositorySnapshot>>

/** The content of one repository: tags with what they stand on, the rest by digest. */
export interface RepositorySnapshot {
  readonly tags: Readonly<Record<string, Digest.Digest>>
  readonly manifests: Readonly<Record<string, Manifest>>
  readonly blobs: Readonly<Record<string, Uint8Array>>
}

/** Repositories by name. One comes into being with the first content put into it. */
export class MemoryRepositories {
  private readonly repositories = new Map<RepositoryName, Repository>()

  get names(): Iterable<RepositoryName> {
    return this.repositories.keys()
  }

  find(name: RepositoryName): Repository | undefined {
    return this.repositories.get(name)
  }

  /** Returns a repository that is there. Fails with `NameUnknown`. */
  get(name: RepositoryName): Effect.Effect<Repository, NameUnknown> {
    return Effect.suspend(() => {
      const repository = this.find(name)
      return repository === undefined
        ? Effect.fail(new NameUnknown({ repository: name }))
        : Effect.succeed(repository)
    })
  }

  /** Returns a repository, a new one where there was none. */
  open(name: RepositoryName): Repository {
    const repository = this.find(name) ?? {
      blobs: new Map(),
      manifests: new Map(),
      putAt: new Map(),
      tags: new Map()
    }
    this.repositories.set(name, repository)
    return repository
  }

  findManifest(name: RepositoryName, reference: Tag | Digest.Digest): Manifest | undefined {
    const repository = this.find(name)
    const digest = Digest.isDigest(reference) ? reference : repository?.tags.get(reference)
    return digest === undefined ? undefined : repository?.manifests.get(digest)
  }

  findBlob(name: RepositoryName, digest: Digest.Digest): MemoryBytes | undefined {
    return this.find(name)?.blobs.get(digest)
  }

  /** Stores a blob, and returns its descriptor. */
  putBlob(name: RepositoryName, digest: Digest.Digest, bytes: MemoryBytes): Descriptor {
    this.open(name).blobs.set(digest, bytes)
    return descriptorOf(digest, bytes.size)
  }

  snapshot(): Snapshot {
    return Object.fromEntries(
      Array.from(this.repositories, ([name, { blobs, manifests, tags }]) => [
        name,
        {
          tags: Object.fromEntries(tags),
          manifests: Object.fromEntries(manifests),
          blobs: Object.fromEntries(Array.from(blobs, ([digest, bytes]) => [digest, bytes.share()]))
        }
      ])
    )
  }

  /** Replaces all that is stored, as if it had been put at this time. */
  restore(snapshot: Snapshot, now: number): void {
    this.repositories.clear()
    for (const [name, { blobs, manifests, tags }] of Object.entries(snapshot)) {
      if (!isRepositoryName(name)) continue
      const stored = keyed(manifests, Digest.isDigest)
      this.repositories.set(name, {
        tags: keyed(tags, isTag),
        manifests: stored,
        putAt: new Map(Array.from(stored.keys(), (digest) => [digest, now])),
        blobs: new Map(
          Array.from(keyed(blobs, Digest.isDigest), ([digest, bytes]) => [
            digest,
            new MemoryBytes([bytes], false)
          ])
        )
      })
    }
  }
}

const keyed = <K extends string, V>(
  record: Readonly<Record<string, V>>,
  isKey: (key: string) => key is K
): Map<K, V> =>
  new Map(
    Object.entries(record).flatMap(
      ([key, value]): ReadonlyArray<[K, V]> => (isKey(key) ? [[key, value]] : [])
    )
  )
