/**
 * Blobs as files: a file as the source of an upload, which can start at any byte, and a download to a file, which appears under its name only
 * when it is complete.
 *
 * @since 0.1.0
 */
import { createHash, randomUUID } from "node:crypto"
import { constants as Constants } from "node:fs"
import * as Fs from "node:fs/promises"
import { hostname } from "node:os"
import * as Path from "node:path"
import * as Channel from "effect/Channel"
import type * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BlobSource from "../BlobSource.js"
import * as ByteStream from "../ByteStream.js"
import type { Registry } from "../Registry.js"
import { type RangeMismatch, StorageFailure, type Unsupported } from "../RegistryError.js"
import type { Descriptor } from "../spec/Descriptor.js"
import * as Digest from "../spec/Digest.js"
import type { RepositoryName } from "../spec/Reference.js"
import * as Transfer from "../Transfer.js"

/**
 * What a download to a file can fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type DownloadError = Stream.Stream.Error<ReturnType<Registry.Service["getBlob"]>> | StorageFailure

/** Bytes per read, and the least per write: at 64 KiB an Effect for each costs a quarter of the throughput. */
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
  Effect.map(regularFile(path), (stats) =>
    BlobSource.make(
      BlobSource.reusing(
        (offset) => read(path, offset, () => newBlock),
        (offset) => read(path, offset, inTurn)
      ),
      { size: stats.size }
    )
  )

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
    yield* replaceable(path)
    const partial = yield* acquirePartial(path)
    yield* drain(stream, path, partial.file, 0)
    yield* Effect.uninterruptible(attempt(path, partial.publish))
  }).pipe(Effect.scoped)

/**
 * Downloads a blob to a file. What has arrived when the download fails, or its process ends, stays beside `path` in a partial file with a name of its
 * own, and the next download of that blob to that path continues it, in this or another process, once it has hashed what is there (C28, trap 77). The
 * name `path` is taken only by the whole blob, verified; until then whatever stands there stays. A partial file that turns out to hold something else is
 * thrown away, and all is downloaded. Downloads under way at the same time do not share a partial file.
 *
 * Fails like `Registry.getBlob`, or with `StorageFailure` naming `path`.
 *
 * @example
 * import { BlobFile } from "effect-oci/node"
 * import * as Reference from "effect-oci/Reference"
 * import { Registry } from "effect-oci/Registry"
 * import * as Digest from "effect-oci/Digest"
 * import * as Effect from "effect/Effect"
 *
 * const pulled = Effect.gen(function*() {
 *   const registry = yield* Registry
 *   const repository = yield* Reference.parseRepositoryName("owner/model")
 *   const digest = yield* Digest.parse(`sha256:${"0".repeat(64)}`)
 *   yield* BlobFile.download(registry, repository, digest, "weights.safetensors")
 * })
 *
 * @since 0.1.0
 * @category destructors
 */
export const download = (
  registry: Pick<Registry.Service, "getBlob" | "getBlobRange">,
  repository: RepositoryName,
  blob: Digest.Digest | Descriptor,
  path: string
): Effect.Effect<void, DownloadError> => {
  const expected: ByteStream.Expected & { readonly digest: Digest.Digest } =
    typeof blob === "string" ? { digest: blob } : blob
  /** From the byte where the partial file ends. */
  const remaining = (
    verifier: ByteStream.Verifier,
    offset: number
  ): Stream.Stream<Uint8Array, DownloadError | RangeMismatch | Unsupported> =>
    observed(
      verifier.pass(
        offset === expected.size ? Stream.empty : registry.getBlobRange(repository, expected.digest, { start: offset }),
        offset
      ),
      { direction: "download", repository, digest: expected.digest, size: expected.size },
      offset
    )
  const attempt = (keep: boolean): Effect.Effect<void, DownloadError> =>
    Effect.gen(function* () {
      yield* replaceable(path)
      const verifier = yield* ByteStream.verifier(expected)
      const { discard, file, publish } = yield* acquireKept(path, expected.digest, keep)
      yield* Stream.runDrain(ByteStream.tap(readFrom(path, file, 0, inTurn()), verifier.update))
      const offset = verifier.seen()
      const content = offset === 0 ? registry.getBlob(repository, blob) : remaining(verifier, offset)
      yield* Effect.catchAll(
        drain(content, path, file, offset),
        (error): Effect.Effect<never, DownloadError | Unusable> => {
          if (error._tag === "RangeMismatch" || error._tag === "Unsupported")
            return Effect.zipRight(discard, Effect.fail(new Unusable()))
          if (error._tag !== "DigestMismatch" && error._tag !== "SizeMismatch") return Effect.fail(error)
          return Effect.zipRight(discard, Effect.fail(offset > 0 ? new Unusable() : error))
        }
      )
      yield* Effect.uninterruptible(publish)
    }).pipe(
      Effect.scoped,
      Effect.catchTag("Unusable", () => attempt(false))
    )
  return attempt(true)
}

// -----------------------------------------------------------------------------
// Reading
// -----------------------------------------------------------------------------

/** Where the next block goes. */
type Memory = () => Buffer

const newBlock: Memory = () => Buffer.allocUnsafeSlow(blockSize)

/** The same memory over and over: one block is being read, one held until the next is verified, one ready, one being sent, and two are to spare. */
const inTurn = (): Memory => {
  const blocks = Array.from({ length: 6 }, newBlock)
  let turn = 0
  return () => blocks[turn++ % blocks.length] ?? newBlock()
}

const read = (path: string, offset: number, memory: () => Memory): Stream.Stream<Uint8Array, StorageFailure> =>
  Effect.acquireRelease(
    attempt(path, () => Fs.open(path, "r")),
    (file) => Effect.ignore(attempt(path, () => file.close()))
  ).pipe(
    Effect.map((file) => readFrom(path, file, offset, memory())),
    Stream.unwrapScoped
  )

/**
 * While a block is on its way, the next one is being read. What is being read is no part of the stream's state: from one block's promise to the next a
 * chain would lead, by which the garbage collector keeps all of them until it goes through the whole heap.
 */
const readFrom = (
  path: string,
  file: Fs.FileHandle,
  offset: number,
  memory: Memory
): Stream.Stream<Uint8Array, StorageFailure> =>
  Stream.suspend(() => {
    let position = offset
    let reading: Promise<Uint8Array> | undefined
    const read = async (): Promise<Uint8Array> => {
      const { buffer, bytesRead } = await file.read(memory(), 0, blockSize, position)
      position += bytesRead
      return buffer.subarray(0, bytesRead)
    }
    const next = attempt(path, async () => {
      const block = await (reading ?? read())
      reading = block.length === 0 ? undefined : read()
      // Whoever waits for it sees the failure; when nobody reads on, nobody does.
      reading?.catch(() => undefined)
      return block
    })
    return Stream.repeatEffectOption(
      Effect.flatMap(Effect.mapError(next, Option.some), (block) =>
        block.length === 0 ? Effect.fail(Option.none()) : Effect.succeed(block)
      )
    )
  })

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

/** Writes the chunks as they are, a mebibyte or more at a time, while the next ones gather; with no Effect for a chunk, and no copy. */
const drain = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  path: string,
  file: Fs.FileHandle,
  offset: number
): Effect.Effect<void, E | StorageFailure, R> =>
  Effect.suspend(() => {
    type Loop = Channel.Channel<never, Chunk.Chunk<Uint8Array>, E | StorageFailure, E, void, unknown>
    let held: Array<Uint8Array> = []
    let size = 0
    let position = offset
    let writing = Promise.resolve()
    const written = Channel.fromEffect(attempt(path, () => writing))
    const flush = Channel.map(written, () => {
      writing = writeAll(file, held, size, position)
      position += size
      // The failure is for whoever waits next; after an interruption nobody does.
      writing.catch(() => undefined)
      held = []
      size = 0
    })
    const loop: Loop = Channel.readWithCause({
      onInput: (chunk: Chunk.Chunk<Uint8Array>) => {
        for (const bytes of chunk) {
          held.push(bytes)
          size += bytes.length
        }
        return size < blockSize ? loop : Channel.flatMap(flush, () => loop)
      },
      // What is held may be worth keeping.
      onFailure: (cause) =>
        Channel.flatMap(
          Channel.catchAll(flush, () => Channel.void),
          () => Channel.failCause(cause)
        ),
      onDone: () => Channel.flatMap(flush, () => written)
    })
    return Channel.runDrain(Channel.pipeTo(Stream.toChannel(stream), loop))
  })

/** All of the bytes, however few of them the file system takes at a time. */
const writeAll = async (
  file: Fs.FileHandle,
  parts: ReadonlyArray<Uint8Array>,
  size: number,
  position: number
): Promise<void> => {
  if (size === 0) return
  const { bytesWritten } = await file.writev(parts, position)
  if (bytesWritten === size) return
  const bytes = ByteStream.concat(parts)
  for (let at = bytesWritten; at < size; ) {
    at += (await file.write(bytes, at, size - at, position + at)).bytesWritten
  }
}

// -----------------------------------------------------------------------------
// Partial files that are kept
// -----------------------------------------------------------------------------

interface KeptFile {
  readonly file: Fs.FileHandle
  readonly publish: Effect.Effect<void, StorageFailure>
  readonly discard: Effect.Effect<void>
}

/** A partial file that does not continue to the blob wanted. */
class Unusable {
  readonly _tag = "Unusable"
}

/** The partial files of this process that are being written. */
const written = new Set<string>()

/** Process numbers mean something on their own machine only. */
const machine = createHash("sha256").update(hostname()).digest("hex").slice(0, 8)

/**
 * A partial file of this process alone, named for the digest and its owner: one that nobody owns any more, taken over by renaming it, or a new one.
 * Unless it is published or discarded, closing the Scope leaves it without an owner. Links are no partial files: to take one over would be to write
 * where they lead.
 */
const acquireKept = (
  path: string,
  digest: Digest.Digest,
  keep: boolean
): Effect.Effect<KeptFile, StorageFailure, Scope.Scope> => {
  const folder = Path.dirname(path)
  const prefix = `.effect-oci-${Digest.encoded(digest).slice(0, 32)}-${machine}-`
  const name = Path.join(folder, `${prefix}${process.pid}-${randomUUID()}.partial`)
  let settled = false
  const open = async (): Promise<Fs.FileHandle> => {
    written.add(name)
    for (const entry of keep ? await Fs.readdir(folder) : []) {
      const found = Path.join(folder, entry)
      if (!entry.startsWith(prefix) || !isOwnerless(found, entry.slice(prefix.length))) continue
      const stats = await Fs.lstat(found).catch(() => undefined)
      if (stats?.isFile() !== true || stats.nlink !== 1) continue
      // Whoever renames it first has it.
      if (
        await Fs.rename(found, name).then(
          () => true,
          () => false
        )
      )
        return Fs.open(name, Constants.O_RDWR | Constants.O_NOFOLLOW)
    }
    return Fs.open(name, "wx+")
  }
  return Effect.map(
    Effect.acquireRelease(attempt(path, open), (file) =>
      Effect.ignore(
        attempt(path, async () => {
          await file.close().catch(() => undefined)
          const { size } = settled ? { size: 0 } : await Fs.stat(name)
          if (size > 0) await Fs.rename(name, Path.join(folder, `${prefix}0-${randomUUID()}.partial`))
          else await Fs.rm(name, { force: true })
          written.delete(name)
        })
      )
    ),
    (file) => ({
      file,
      discard: Effect.sync(() => {
        settled = true
      }),
      publish: attempt(path, async () => {
        // The last chance of a file system to report a failed write.
        await file.close()
        settled = true
        await Fs.rename(name, path)
      })
    })
  )
}

const isOwnerless = (name: string, rest: string): boolean => {
  const owner = Number(rest.split("-", 1)[0])
  if (!Number.isSafeInteger(owner)) return false
  if (owner === 0) return true
  // A process of the same number may have lived before this one, as the first of a container does.
  if (owner === process.pid) return !written.has(name)
  try {
    process.kill(owner, 0)
    return false
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "ESRCH"
  }
}

/** The part of a download that a partial file leaves to do, shown to observers as the whole. */
const observed = <E, R>(
  rest: Stream.Stream<Uint8Array, E, R>,
  subject: Transfer.Subject & { readonly digest: Digest.Digest },
  offset: number
): Stream.Stream<Uint8Array, E, R> =>
  Stream.unwrap(
    Effect.as(
      Effect.zipRight(Transfer.emit({ _tag: "Started", subject }), Transfer.emit({ _tag: "Resumed", subject, offset })),
      Stream.concat(
        Transfer.track(rest, subject, offset),
        Stream.execute(
          Effect.zipRight(
            Transfer.emit({ _tag: "Verified", subject, digest: subject.digest }),
            Transfer.emit({ _tag: "Completed", subject, skipped: false })
          )
        )
      )
    )
  )

// -----------------------------------------------------------------------------
// Failures
// -----------------------------------------------------------------------------

/** Renaming would replace a device such as /dev/null, too. */
const replaceable = (path: string): Effect.Effect<void, StorageFailure> =>
  Effect.flatMap(Effect.option(attempt(path, () => Fs.stat(path))), (existing) =>
    Option.isSome(existing) && !existing.value.isFile() ? Effect.fail(notRegular(path)) : Effect.void
  )

const regularFile = (path: string) =>
  Effect.filterOrFail(
    attempt(path, () => Fs.stat(path)),
    (stats) => stats.isFile(),
    () => notRegular(path)
  )

const notRegular = (path: string) => new StorageFailure({ path, cause: new Error("not a regular file") })

const attempt = <A>(path: string, run: () => Promise<A>): Effect.Effect<A, StorageFailure> =>
  Effect.tryPromise({ try: run, catch: (cause) => new StorageFailure({ path, cause }) })
