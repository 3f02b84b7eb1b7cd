/**
 * Blobs as files: a file as the source of an upload, which can start at any byte, and a download to a file, which appears under its name only
 * when it is complete.
 *
 * @since 0.1.0
 */
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BlobSource from "../BlobSource.js"
import { StorageFailure } from "../RegistryError.js"

/** Bytes per read and per write: at 64 KiB an Effect for each costs a quarter of the throughput. */
const blockSize = 1_048_576

/**
 * A file as bytes to upload, of the size it has now (in bytes). Every `open` reads the file anew from the offset, in chunks of up to 1 MiB, to
 * wherever it ends by then: a file that changes meanwhile is caught by the checks of size and digest. Fails with `StorageFailure` when there is
 * no regular file at `path`; reading it fails with the same.
 *
 * @example
 * import { BlobFile } from "effect-oci/node"
 * import * as Reference from "effect-oci/Reference"
 * import { Registry } from "effect-oci/Registry"
 * import * as Effect from "effect/Effect"
 *
 * const pushed = Effect.gen(function*() {
 *   const registry = yield* Registry
 *   const repository = yield* Reference.parseRepositoryName("owner/model")
 *   return yield* registry.putBlob(repository, yield* BlobFile.source("weights.safetensors"))
 * })
 *
 * @since 0.1.0
 * @category constructors
 */
export const source = (path: string): Effect.Effect<BlobSource.BlobSource<StorageFailure>, StorageFailure> =>
  Effect.map(regularFile(path), (stats) => BlobSource.make((offset) => read(path, offset), { size: stats.size }))

/**
 * Writes a stream to a file. The bytes go to a new partial file in the same directory, which takes the name `path` only after the stream has
 * ended well; so what stands there is complete, and verified if the stream verifies. The file or symbolic link that was there is replaced, not
 * written through. On failure or interruption it stays as it was, and the partial file is removed. The disk is not told to flush its caches:
 * after a loss of power, check the digest.
 *
 * Fails with the stream's own error, or with `StorageFailure` naming `path`: before the stream is started when the directory is missing or
 * something other than a file is there.
 *
 * @since 0.1.0
 * @category destructors
 */
export const write = <E, R>(
  path: string,
  stream: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<void, E | StorageFailure, R> =>
  Effect.gen(function* () {
    const existing = yield* Effect.option(attempt(path, () => Fs.stat(path)))
    // Renaming would replace a device such as /dev/null, too.
    if (Option.isSome(existing) && !existing.value.isFile()) return yield* notRegular(path)
    const partial = yield* acquirePartial(path)
    yield* drain(stream, path, partial.file)
    yield* Effect.uninterruptible(attempt(path, partial.publish))
  }).pipe(Effect.scoped)

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

const read = (path: string, offset: number): Stream.Stream<Uint8Array, StorageFailure> =>
  Effect.acquireRelease(
    attempt(path, () => Fs.open(path, "r")),
    (file) => Effect.ignore(attempt(path, () => file.close()))
  ).pipe(
    Effect.map((file) =>
      Stream.unfoldEffect(offset, (position) =>
        attempt(path, async () => {
          const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(blockSize), 0, blockSize, position)
          return bytesRead === 0 ? Option.none() : Option.some([buffer.subarray(0, bytesRead), position + bytesRead])
        })
      )
    ),
    Stream.unwrapScoped
  )

// -----------------------------------------------------------------------------
// Writing
// -----------------------------------------------------------------------------

interface PartialFile {
  readonly file: Fs.FileHandle
  readonly publish: () => Promise<void>
}

const acquirePartial = (path: string): Effect.Effect<PartialFile, StorageFailure, Scope.Scope> => {
  const name = Path.join(Path.dirname(path), `.effect-oci-${randomUUID()}.partial`)
  let published = false
  return Effect.acquireRelease(
    attempt(path, async (): Promise<PartialFile> => {
      // wx: never what someone else has put there, a symbolic link least of all.
      const file = await Fs.open(name, "wx")
      return {
        file,
        publish: async () => {
          // The last chance of a file system to report a failed write.
          await file.close()
          await Fs.rename(name, path)
          published = true
        }
      }
    }),
    ({ file }) =>
      Effect.ignore(
        attempt(path, async () => {
          if (published) return
          await file.close().catch(() => undefined)
          await Fs.rm(name, { force: true })
        })
      )
  )
}

/**
 * Gathers the chunks in blocks of 1 MiB, one being filled while the other is being written, with no Effect for a chunk. Copying costs less than
 * keeping the chunks alive until they are written: those grow old, and the garbage collector then takes half of the time.
 */
const drain = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  path: string,
  file: Fs.FileHandle
): Effect.Effect<void, E | StorageFailure, R> =>
  Effect.suspend(() => {
    type Loop = Channel.Channel<never, Chunk.Chunk<Uint8Array>, E | StorageFailure, E, void, unknown>
    let block = Buffer.allocUnsafe(blockSize)
    let spare = Buffer.allocUnsafe(blockSize)
    let held = 0
    let writing = Promise.resolve()
    const written = Channel.fromEffect(attempt(path, () => writing))
    const flush = Channel.map(written, () => {
      writing = writeAll(file, block.subarray(0, held))
      // The failure is for whoever waits next; after an interruption nobody does.
      writing.catch(() => undefined)
      ;[block, spare] = [spare, block]
      held = 0
    })
    const take = (chunk: Chunk.Chunk<Uint8Array>): Loop => {
      let index = 0
      for (const bytes of chunk) {
        const taken = bytes.subarray(0, blockSize - held)
        block.set(taken, held)
        held += taken.length
        index++
        if (held === blockSize) {
          const rest = Chunk.prepend(Chunk.drop(chunk, index), bytes.subarray(taken.length))
          return Channel.flatMap(flush, () => take(rest))
        }
      }
      return loop
    }
    const loop: Loop = Channel.readWithCause({
      onInput: take,
      onFailure: (cause) => Channel.failCause(cause),
      onDone: () => Channel.flatMap(flush, () => written)
    })
    return Channel.runDrain(Channel.pipeTo(Stream.toChannel(stream), loop))
  })

/** All of the bytes, however few of them the file system takes at a time. */
const writeAll = async (file: Fs.FileHandle, bytes: Uint8Array): Promise<void> => {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten
}

// -----------------------------------------------------------------------------
// Failures
// -----------------------------------------------------------------------------

const regularFile = (path: string) =>
  Effect.filterOrFail(
    attempt(path, () => Fs.stat(path)),
    (stats) => stats.isFile(),
    () => notRegular(path)
  )

const notRegular = (path: string) => new StorageFailure({ path, cause: new Error("not a regular file") })

const attempt = <A>(path: string, run: () => Promise<A>): Effect.Effect<A, StorageFailure> =>
  Effect.tryPromise({ try: run, catch: (cause) => new StorageFailure({ path, cause }) })
