/**
 * Files of layouts: whole or not there, on the disk when they are said to be, and never outside the
 * folder.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { LimitExceeded, StorageFailure } from "../../../RegistryError.js"
import * as FileBytes from "../FileBytes.js"
import type { System } from "./System.js"

/** What is known of a regular file. Size in bytes, time in milliseconds. */
export interface Info {
  readonly size: number
  readonly modified: number
  readonly inode: number
}

/** A step that fails naming the file. */
export type Step<A> = FileBytes.Step<A>

/** The files below one folder, and in folders outside that links may lead to. */
export class Files {
  constructor(
    readonly fs: FileSystem.FileSystem,
    readonly paths: Path.Path,
    readonly system: System.Service,
    readonly root: string,
    private readonly linkTargets: ReadonlyArray<string>
  ) {}

  join(...parts: ReadonlyArray<string>): string {
    return this.paths.join(...parts)
  }

  /** Runs a step to its end. */
  step<A, R = never>(
    path: string,
    effect: Effect.Effect<A, PlatformError, R>
  ): Effect.Effect<A, StorageFailure, R> {
    return FileBytes.step(path, effect)
  }

  /** Runs a step on what may not be there. */
  find<A, R = never>(
    path: string,
    effect: Effect.Effect<A, PlatformError, R>
  ): Effect.Effect<Option.Option<A>, StorageFailure, R> {
    return this.step(
      path,
      Effect.catchIf(Effect.asSome(effect), isAbsent, () => Effect.succeedNone)
    )
  }

  /** Runs a step that makes something, and returns whether it was not there before. */
  create(path: string, effect: Effect.Effect<void, PlatformError>): Step<boolean> {
    return this.step(
      path,
      Effect.catchIf(Effect.as(effect, true), isReason("AlreadyExists"), () =>
        Effect.succeed(false)
      )
    )
  }

  // ---------------------------------------------------------------------------
  // Reading
  // ---------------------------------------------------------------------------

  /** Returns what is known of a regular file, if it is there. */
  info(path: string): Step<Option.Option<Info>> {
    return Effect.map(
      this.find(path, this.fs.stat(path)),
      Option.flatMap((info) => (info.type === "File" ? Option.some(infoOf(info)) : Option.none()))
    )
  }

  isFolder(path: string): Step<boolean> {
    return Effect.map(
      this.find(path, this.fs.stat(path)),
      Option.exists(({ type }) => type === "Directory")
    )
  }

  /** Lists the names in a folder, none where there is no folder. */
  names(path: string): Step<ReadonlyArray<string>> {
    return Effect.map(
      this.find(path, this.fs.readDirectory(path)),
      Option.getOrElse(() => [])
    )
  }

  /** Reads a file, if it is there, with what is known of exactly these bytes. */
  read(
    path: string,
    limit: number
  ): Effect.Effect<
    Option.Option<{ readonly bytes: Uint8Array; readonly info: Info }>,
    StorageFailure | LimitExceeded
  > {
    const read = Effect.gen(this, function* () {
      const opened = yield* this.find(path, this.fs.open(path, { flag: "r" }))
      if (Option.isNone(opened)) return Option.none()
      const file = opened.value
      const info = infoOf(yield* this.step(path, file.stat))
      if (info.size > limit) return yield* new LimitExceeded({ what: path, limit })
      return Option.some({
        bytes: yield* FileBytes.fill(path, file, new Uint8Array(info.size)),
        info
      })
    })
    return Effect.scoped(read)
  }

  /** Reads the first bytes of a file, if it is there. */
  beginning(path: string, size: number): Step<Uint8Array> {
    return Effect.scoped(
      Effect.flatMap(
        this.find(path, this.fs.open(path, { flag: "r" })),
        Option.match({
          onNone: () => Effect.succeed(new Uint8Array()),
          onSome: (file) => FileBytes.fill(path, file, new Uint8Array(size))
        })
      )
    )
  }

  /** Streams the bytes of a file from `start` on, and up to `end` if given: `FileBytes.stream`. */
  stream(
    path: string,
    start?: number,
    end?: number,
    borrowed?: boolean
  ): Stream.Stream<Uint8Array, StorageFailure> {
    return FileBytes.stream(this.fs, path, start, end, borrowed)
  }

  // ---------------------------------------------------------------------------
  // Writing
  // ---------------------------------------------------------------------------

  /** Opens a file for writing, a new one with `wx`. */
  open(
    path: string,
    flag: "wx" | "r+"
  ): Effect.Effect<FileSystem.File, StorageFailure, Scope.Scope> {
    return this.step(path, this.fs.open(path, { flag }))
  }

  /** Writes all bytes, however few of them the file system takes at a time (V33). */
  write(path: string, file: FileSystem.File, bytes: Uint8Array): Step<void> {
    return FileBytes.write(path, file, bytes)
  }

  /**
   * Writes a stream, a mebibyte or more at a time. What came before a failure or an interruption is
   * written too.
   */
  drain<E, R>(
    path: string,
    file: FileSystem.File,
    stream: Stream.Stream<Uint8Array, E, R>
  ): Effect.Effect<void, E | StorageFailure, R> {
    return FileBytes.drain(path, file, stream)
  }

  /** Makes a new file of some bytes, which is on the disk then, under a name that may be lost. */
  make(path: string, bytes: Uint8Array): Step<Info> {
    return Effect.scoped(
      Effect.gen(this, function* () {
        const file = yield* this.open(path, "wx")
        yield* this.write(path, file, bytes)
        yield* this.step(path, file.sync)
        return infoOf(yield* this.step(path, file.stat))
      })
    ).pipe(Effect.onError(() => this.remove(path)))
  }

  /** Gives a file another name, for which folders are made where they are missing. */
  rename(from: string, to: string): Step<void> {
    const rename = this.fs.rename(from, to)
    return this.step(
      to,
      Effect.catchIf(rename, isReason("NotFound"), () =>
        Effect.zipRight(this.fs.makeDirectory(this.paths.dirname(to), { recursive: true }), rename)
      )
    )
  }

  /** Makes a folder, and those above it, where they are missing. */
  makeFolder(path: string): Step<void> {
    return this.step(path, this.fs.makeDirectory(path, { recursive: true }))
  }

  /** Removes a file that nobody needs. It does not matter whether that works. */
  remove(path: string): Effect.Effect<void> {
    return Effect.ignore(Effect.uninterruptible(this.fs.remove(path)))
  }

  /** Sets the time of a file to now. Returns whether there is such a file. */
  touch(path: string, now: number): Effect.Effect<boolean> {
    const time = new Date(now)
    return Effect.uninterruptible(
      Effect.match(this.fs.utimes(path, time, time), {
        // A file of somebody else's cannot be touched, nor removed.
        onFailure: (error) => !isReason("NotFound")(error),
        onSuccess: () => true
      })
    )
  }

  // ---------------------------------------------------------------------------
  // Links
  // ---------------------------------------------------------------------------

  /**
   * Returns where a path leads, none if nothing is there. Fails if a link on the way leads out of
   * the folder, to where none of the folders allowed is (S4).
   */
  resolve(path: string): Step<Option.Option<string>> {
    return Effect.gen(this, function* () {
      const target = yield* this.find(path, this.fs.realPath(path))
      if (Option.isNone(target)) {
        // A link that leads nowhere is not absence.
        const link = yield* Effect.option(this.fs.readLink(path))
        return Option.isNone(link)
          ? Option.none()
          : yield* linkFailure(path, link.value, "where nothing is")
      }
      for (const folder of [this.root, ...this.linkTargets]) {
        const real = yield* this.find(folder, this.fs.realPath(folder))
        if (Option.exists(real, (real) => this.isWithin(target.value, real))) return target
      }
      return yield* linkFailure(
        path,
        target.value,
        "out of the folder. Copy the layout, or name the folder in the option linkTargets"
      )
    })
  }

  /** Fails as `resolve` does for the nearest of the folders above a path that is there. */
  checkFolder(path: string): Step<void> {
    return Effect.flatMap(this.resolve(path), (found) =>
      Option.isSome(found) || path === this.root || path === this.paths.dirname(path)
        ? Effect.void
        : this.checkFolder(this.paths.dirname(path))
    )
  }

  /** Returns the path of a file, or what it leads to if it is a link, as `resolve` does. */
  followed(path: string): Step<string> {
    return Effect.flatMap(Effect.option(this.fs.readLink(path)), (link) =>
      Option.isNone(link)
        ? Effect.succeed(path)
        : Effect.map(
            this.resolve(path),
            Option.getOrElse(() => path)
          )
    )
  }

  private isWithin(path: string, folder: string): boolean {
    return (
      path === folder || path.startsWith(folder.endsWith("/") ? folder : folder + this.paths.sep)
    )
  }
}

const linkFailure = (path: string, target: string, where: string) =>
  new StorageFailure({ path, cause: new Error(`it is a link to ${target}, which leads ${where}`) })

const infoOf = (info: FileSystem.File.Info): Info => ({
  size: Number(info.size),
  modified: Option.match(info.mtime, { onNone: () => 0, onSome: (time) => time.getTime() }),
  inode: Option.getOrElse(info.ino, () => 0)
})

/** Below what is not a folder there is nothing. */
const isAbsent = (error: PlatformError): boolean =>
  isReason("NotFound")(error) ||
  (error._tag === "SystemError" &&
    Predicate.hasProperty(error.cause, "code") &&
    error.cause.code === "ENOTDIR")

const isReason =
  (reason: string) =>
  (error: PlatformError): boolean =>
    error._tag === "SystemError" && error.reason === reason
