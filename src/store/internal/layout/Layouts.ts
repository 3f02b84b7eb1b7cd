/**
 * The layouts of a registry: one folder that is one repository, or a tree in which each layout is
 * the repository that its path names.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { NameUnknown, StorageFailure } from "../../../RegistryError.js"
import * as ImageLayout from "../../../spec/ImageLayout.js"
import { parse as parseDocument } from "../../../spec/internal/ManifestDocument.js"
import * as Reference from "../../../spec/Reference.js"
import { Catalog } from "./Catalog.js"
import type { Files, Step } from "./Files.js"
import { type IndexError, Layout, ownFolder } from "./Layout.js"

/** A repository that is a layout. */
export interface Repository {
  readonly layout: Layout
  readonly catalog: Catalog
}

/** The most that is read of an `oci-layout`, in bytes. */
const headerLimit = 64 * 1024

/** Repositories by name. */
export class Layouts {
  private readonly repositories = new Map<Reference.RepositoryName, Repository>()

  constructor(
    readonly files: Files,
    private readonly only: Reference.RepositoryName | undefined
  ) {}

  /** Returns a repository that is there. */
  find(name: Reference.RepositoryName): Effect.Effect<Option.Option<Repository>, IndexError> {
    return Effect.gen(this, function* () {
      const known = this.repositories.get(name)
      const repository = known ?? this.make(name)
      if (repository === undefined || !(yield* repository.layout.exists)) return Option.none()
      return Option.some(known ?? (yield* this.keep(name, repository)))
    })
  }

  /** Returns a repository that is there. Fails with `NameUnknown`. */
  get(name: Reference.RepositoryName): Effect.Effect<Repository, NameUnknown | IndexError> {
    return Effect.flatMap(
      this.find(name),
      Option.match({
        onNone: () => Effect.fail(new NameUnknown({ repository: name })),
        onSome: Effect.succeed
      })
    )
  }

  /**
   * Returns a repository to write to, which comes into being with the first content put into it.
   * Fails with `NameUnknown` where the registry is one folder, and this is not its name.
   */
  open(name: Reference.RepositoryName): Effect.Effect<Repository, NameUnknown | IndexError> {
    return Effect.gen(this, function* () {
      const known = this.repositories.get(name)
      if (known !== undefined) return known
      const repository = this.make(name)
      if (repository === undefined) return yield* new NameUnknown({ repository: name })
      return yield* this.keep(name, repository)
    })
  }

  /** The names of all repositories, in no order. */
  get names(): Step<ReadonlyArray<Reference.RepositoryName>> {
    return this.namesOf("oci-layout")
  }

  /** The names of all that are repositories, or were to become one. */
  get begun(): Step<ReadonlyArray<Reference.RepositoryName>> {
    return Effect.map(Effect.all([this.names, this.namesOf(ownFolder)]), (names) => [
      ...new Set(names.flat())
    ])
  }

  private namesOf(mark: string): Step<ReadonlyArray<Reference.RepositoryName>> {
    const { files, only } = this
    if (only === undefined) return this.namesBelow(files.root, "", mark)
    return Effect.map(this.has(files.root, mark), (has) => (has ? [only] : []))
  }

  private has(folder: string, mark: string): Step<boolean> {
    const path = this.files.join(folder, mark)
    return Effect.map(this.files.find(path, this.files.fs.stat(path)), Option.isSome)
  }

  private namesBelow(
    folder: string,
    prefix: string,
    mark: string
  ): Step<ReadonlyArray<Reference.RepositoryName>> {
    return Effect.gen(this, function* () {
      const found: Array<Reference.RepositoryName> = []
      for (const component of yield* this.files.names(folder)) {
        const name = `${prefix}${componentIn(component)}`
        const path = this.files.join(folder, component)
        if (!Reference.isRepositoryName(name) || pathOf(name).at(-1) !== component) continue
        // A link is another name of a layout, or leads elsewhere: it can be read and is not listed.
        if (yield* this.isLink(path)) continue
        if (!(yield* this.files.isFolder(path))) continue
        if (yield* this.has(path, mark)) found.push(name)
        found.push(...(yield* this.namesBelow(path, `${name}/`, mark)))
      }
      return found
    })
  }

  private isLink(path: string): Effect.Effect<boolean> {
    return Effect.map(Effect.option(this.files.fs.readLink(path)), Option.isSome)
  }

  private make(name: Reference.RepositoryName): Repository | undefined {
    const { files, only } = this
    if (only !== undefined && name !== only) return undefined
    const folder = only === undefined ? files.join(files.root, ...pathOf(name)) : files.root
    const layout = new Layout(files, folder, name)
    const catalog = new Catalog({
      place: folder,
      has: (digest) => Effect.map(layout.find(digest), Option.isSome),
      document: (digest) => layout.document(digest)
    })
    return { layout, catalog }
  }

  /** Keeps a repository, so that all that happens in it meets in one place. */
  private keep(
    name: Reference.RepositoryName,
    repository: Repository
  ): Effect.Effect<Repository, IndexError> {
    return Effect.map(
      Effect.zipRight(
        this.files.checkFolder(repository.layout.folder),
        this.checkVersion(repository.layout)
      ),
      () => {
        const kept = this.repositories.get(name) ?? repository
        this.repositories.set(name, kept)
        return kept
      }
    )
  }

  private checkVersion({ header: path }: Layout): Effect.Effect<void, IndexError> {
    return Effect.gen(this, function* () {
      const found = yield* this.files.read(yield* this.files.followed(path), headerLimit)
      if (Option.isNone(found)) return
      const header = Either.getOrUndefined(parseDocument(found.value.bytes))
      if (header?.["imageLayoutVersion"] !== ImageLayout.current.imageLayoutVersion)
        return yield* new StorageFailure({
          path,
          cause: new Error("it does not say imageLayoutVersion 1.0.0, the only one that is known")
        })
    })
  }
}

/** What a layout has in its folder, and repositories may be called as well. */
const reserved = new Set(["blobs", "index.json", "oci-layout"])

const pathOf = (name: Reference.RepositoryName): ReadonlyArray<string> =>
  name.split("/").map((component) => (reserved.has(component) ? `_${component}` : component))

const componentIn = (name: string): string =>
  reserved.has(name.slice(1)) && name.startsWith("_") ? name.slice(1) : name
