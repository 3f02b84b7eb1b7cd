/**
 * Changes to a file that other programs read and write as well. A reader finds the old text or the
 * new one, and never a part.
 */

import type { PlatformError, SystemErrorReason } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CredentialsFailure } from "../../RegistryError.js"

/**
 * Reads the text of a file, empty if there is no such file. A byte order mark is left out.
 *
 * Fails with `CredentialsFailure` if it cannot be read, or is not UTF-8: what it holds otherwise
 * would be lost when it is written again.
 */
export const read = (
  files: FileSystem.FileSystem,
  path: string
): Effect.Effect<string, CredentialsFailure> =>
  files.readFile(path).pipe(
    Effect.catchIf(isReason("NotFound"), () => Effect.succeed(new Uint8Array())),
    Effect.mapError(() =>
      failure(path, "it cannot be read", "See that it is a file, and who may read it")
    ),
    Effect.flatMap((bytes) =>
      Effect.try({
        try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
        catch: () => failure(path, "it holds bytes that are not UTF-8", "Correct it")
      })
    )
  )

/**
 * Changes the text of a file. The new text is written beside it and takes its place when it is
 * complete. A link is followed, and what it leads to is replaced. The file keeps its owner if the
 * system allows that, and has the mode 0600 afterwards, whatever it was; new folders have 0700. If
 * nothing changes, nothing is written.
 *
 * What is written beside the file is also a lock: programs with this library change it one after
 * the other, and none loses what another has written. Others, such as docker, do not know the lock.
 * A lock that does not change for five seconds was left behind by a program that was killed, and is
 * taken over.
 *
 * Fails with `CredentialsFailure` if the file cannot be read or replaced, and as `change` does.
 */
export const changed = <E, R>(
  path: string,
  change: (text: string) => Effect.Effect<string, E, R>
): Effect.Effect<void, E | CredentialsFailure, R | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const current = yield* read(files, path)
    // Before any lock: where there is nothing to do, nothing has to be writable.
    if ((yield* change(current)) === current) return
    const target = yield* Effect.mapError(targetOf(files, paths, path), unwritable(path))
    yield* Effect.mapError(
      files.makeDirectory(paths.dirname(target), { recursive: true, mode: 0o700 }),
      unwritable(path)
    )
    const lock = `${target}.effect-oci-lock`
    const use = Effect.gen(function* () {
      const text = yield* read(files, target)
      const next = yield* change(text)
      if (next === text) return yield* Effect.ignore(files.remove(lock))
      yield* Effect.mapError(written(files, lock, next), unwritable(path))
      yield* Effect.mapError(renamed(files, lock, target), unwritable(path))
    })
    yield* turn.withPermits(1)(
      Effect.uninterruptibleMask((restore) =>
        Effect.zipRight(
          taken(files, path, lock, restore),
          // A short time, in which it is not interrupted. Once it is renamed, one of its name is
          // another program's.
          Effect.onError(use, () => Effect.ignore(files.remove(lock)))
        )
      )
    )
  })

/** Where links lead, even if nothing is there. What has been read leads in no circle. */
const targetOf = (
  files: FileSystem.FileSystem,
  paths: Path.Path,
  path: string
): Effect.Effect<string, PlatformError> =>
  Effect.gen(function* () {
    const real = yield* Effect.option(files.realPath(path))
    if (Option.isSome(real)) return real.value
    const link = yield* Effect.option(files.readLink(path))
    if (Option.isNone(link)) return path
    // Its folder may be a link as well, and the target is relative to where that leads.
    const folder = yield* files.realPath(paths.dirname(path))
    return yield* targetOf(files, paths, paths.resolve(folder, link.value))
  })

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

const written = (
  files: FileSystem.FileSystem,
  lock: string,
  text: string
): Effect.Effect<void, PlatformError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const file = yield* files.open(lock, { flag: "r+" })
      yield* file.writeAll(new TextEncoder().encode(text))
      yield* file.sync
    })
  )

/** Puts a file in the place of another one, with its owner. */
const renamed = (
  files: FileSystem.FileSystem,
  lock: string,
  target: string
): Effect.Effect<void, PlatformError> =>
  Effect.gen(function* () {
    const former = yield* Effect.option(files.stat(target))
    if (Option.isSome(former)) {
      const { gid, uid } = former.value
      const own = yield* files.stat(lock)
      if (orNone(own.uid) !== orNone(uid) || orNone(own.gid) !== orNone(gid))
        yield* Effect.ignore(files.chown(lock, orNone(uid), orNone(gid)))
    }
    yield* files.rename(lock, target)
  })

const orNone = (id: Option.Option<number>): number => Option.getOrElse(id, () => -1)

// -----------------------------------------------------------------------------
// The lock
// -----------------------------------------------------------------------------

/** Of this process one at a time, in order, before any waits for those of other processes. */
const turn = Effect.unsafeMakeSemaphore(1)

/** In milliseconds. */
const interval = 20
const stale = 5000
const longest = 30_000

/** Takes the lock, and waits for it where another program has it, interruptibly. */
const taken = (
  files: FileSystem.FileSystem,
  path: string,
  lock: string,
  restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<void, CredentialsFailure> =>
  Effect.gen(function* () {
    let seen = ""
    let unchanged = 0
    for (let waited = 0; waited < longest; waited += interval) {
      const isTaken = yield* Effect.as(
        Effect.scoped(files.open(lock, { flag: "wx", mode: 0o600 })),
        true
      ).pipe(
        Effect.catchIf(isReason("AlreadyExists"), () => Effect.succeed(false)),
        Effect.mapError(unwritable(path))
      )
      if (isTaken) return
      const state = yield* Effect.match(files.stat(lock), {
        onFailure: () => "",
        onSuccess: ({ ino, mtime, size }) => JSON.stringify([ino, mtime, String(size)])
      })
      unchanged = state === seen ? unchanged + interval : 0
      seen = state
      if (unchanged >= stale) yield* Effect.ignore(files.remove(lock))
      else yield* restore(Effect.sleep(interval))
    }
    return yield* failure(
      path,
      "other programs keep writing it",
      `Try again, or see who writes ${lock}`
    )
  })

// -----------------------------------------------------------------------------
// Failures
// -----------------------------------------------------------------------------

const isReason = (reason: SystemErrorReason) => (error: PlatformError) =>
  error._tag === "SystemError" && error.reason === reason

const unwritable = (path: string) => (error: PlatformError) =>
  failure(
    path,
    `it cannot be replaced${error._tag === "SystemError" ? ` (${error.reason})` : ""}`,
    "See that its folder can be written to, and that it is not mounted by itself"
  )

const failure = (source: string, problem: string, fix: string) =>
  new CredentialsFailure({ source, problem, fix })
