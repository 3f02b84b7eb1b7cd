import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { vi } from "vitest"
import * as ByteStream from "../../src/ByteStream.js"
import * as BlobFile from "../../src/node/BlobFile.js"
import { DigestMismatch, StorageFailure } from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"

const MiB = 1_048_576

const folder = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(tmpdir(), "effect-oci-file-"))),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)

const bytesOf = (
  source: { readonly open: (offset: number) => Stream.Stream<Uint8Array, StorageFailure> },
  at: number
) => Effect.map(Stream.runCollect(source.open(at)), (chunks) => Buffer.concat(Chunk.toReadonlyArray(chunks)))

const contents = (path: string) => Effect.promise(() => Fs.readFile(path))
const entries = (path: string) => Effect.promise(async () => (await Fs.readdir(path)).sort())

/** The size, in bytes, of the only file in a folder. */
const sizeIn = (root: string) =>
  Effect.promise(async () => {
    const [name] = await Fs.readdir(root)
    return name === undefined ? 0 : (await Fs.stat(Path.join(root, name))).size
  })

/** What this process has open, from Linux. */
const openFiles = Effect.promise(async () =>
  Promise.all((await Fs.readdir("/proc/self/fd")).map((fd) => Fs.readlink(`/proc/self/fd/${fd}`).catch(() => "")))
)

const predicted = vi.hoisted(() => ({ uuid: "" }))
vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof import("node:crypto")>()
  return { ...crypto, randomUUID: () => predicted.uuid || crypto.randomUUID() }
})

describe("source", () => {
  it.scoped("a file starts at any byte, and its size is known", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder, "blob")
      const bytes = randomBytes(2 * MiB + 17)
      yield* Effect.promise(() => Fs.writeFile(path, bytes))
      const source = yield* BlobFile.source(path)
      expect(source.size).toEqual(Option.some(2 * MiB + 17))
      expect(source.replay).toBe("any")
      for (const offset of [0, 1, MiB - 1, MiB, 2 * MiB + 16, 2 * MiB + 17, 3 * MiB])
        expect((yield* bytesOf(source, offset)).equals(bytes.subarray(offset))).toBe(true)
    })
  )

  it.scoped("a file is read in chunks of 1 MiB, none of which is written to again", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder, "blob")
      const bytes = randomBytes(2 * MiB + 17)
      yield* Effect.promise(() => Fs.writeFile(path, bytes))
      const chunks = Chunk.toReadonlyArray(yield* Stream.runCollect((yield* BlobFile.source(path)).open(0)))
      expect(chunks.map((chunk) => chunk.length)).toEqual([MiB, MiB, 17])
      expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
    })
  )

  it.scoped("a file that grew is read to its new end, so that checks of size can see it", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder, "blob")
      yield* Effect.promise(() => Fs.writeFile(path, "old"))
      const source = yield* BlobFile.source(path)
      yield* Effect.promise(() => Fs.appendFile(path, "new"))
      expect((yield* bytesOf(source, 0)).toString()).toBe("oldnew")
      expect(source.size).toEqual(Option.some(3))
    })
  )

  it.scoped("what is absent or no regular file fails with its path", () =>
    Effect.gen(function* () {
      const root = yield* folder
      for (const path of [Path.join(root, "absent"), root, "/dev/null"]) {
        const error = yield* Effect.flip(BlobFile.source(path))
        expect(error).toBeInstanceOf(StorageFailure)
        expect(error.path).toBe(path)
      }
    })
  )

  it.scoped("a file that vanished fails the stream, not the program", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder, "blob")
      yield* Effect.promise(() => Fs.writeFile(path, "here"))
      const source = yield* BlobFile.source(path)
      yield* Effect.promise(() => Fs.rm(path))
      const error = yield* Effect.flip(bytesOf(source, 0))
      expect(error).toBeInstanceOf(StorageFailure)
      expect(error.path).toBe(path)
    })
  )

  it.scoped("no file stays open, whether the stream ended or was cut short", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder, "blob")
      yield* Effect.promise(() => Fs.writeFile(path, randomBytes(3 * MiB)))
      const source = yield* BlobFile.source(path)
      yield* bytesOf(source, 0)
      yield* Stream.runDrain(Stream.take(source.open(0), 1))
      expect(yield* openFiles).not.toContain(path)
    })
  )
})

describe("write", () => {
  it.scoped.prop(
    "any chunking arrives whole and in order",
    [
      FastCheck.array(FastCheck.integer({ min: 0, max: 3000 }), { maxLength: 40 }),
      FastCheck.integer({ min: 1, max: 400 })
    ],
    ([sizes, factor]) =>
      Effect.gen(function* () {
        const path = Path.join(yield* folder, "blob")
        const parts = sizes.map((size) => randomBytes(size * factor))
        yield* BlobFile.write(path, Stream.fromIterable(parts).pipe(Stream.rechunk(3)))
        expect((yield* contents(path)).equals(Buffer.concat(parts))).toBe(true)
      }),
    { fastCheck: { numRuns: 25 } }
  )

  it.scoped("nothing stands under the name until the stream has ended", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const path = Path.join(root, "blob")
      const seen = yield* Deferred.make<ReadonlyArray<string>>()
      yield* BlobFile.write(
        path,
        Stream.concat(
          Stream.make(randomBytes(2 * MiB)),
          Stream.drain(Stream.fromEffect(Effect.flatMap(entries(root), (names) => Deferred.succeed(seen, names))))
        )
      )
      const during = yield* Deferred.await(seen)
      expect(during).toEqual([expect.stringMatching(/^\.effect-oci-.*\.partial$/)])
      expect(yield* entries(root)).toEqual(["blob"])
    })
  )

  it.scoped("content that fails its verification leaves what was there before, and no partial file", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const path = Path.join(root, "blob")
      yield* Effect.promise(() => Fs.writeFile(path, "before"))
      const stream = ByteStream.verify(Stream.make(Buffer.from("evil")), {
        digest: Digest.fromBytes(Buffer.from("good"))
      })
      expect(yield* Effect.flip(BlobFile.write(path, stream))).toBeInstanceOf(DigestMismatch)
      expect((yield* contents(path)).toString()).toBe("before")
      expect(yield* entries(root)).toEqual(["blob"])
      expect((yield* openFiles).filter((open) => open.startsWith(root))).toEqual([])
    })
  )

  it.scoped("interruption removes the partial file", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const started = yield* Deferred.make<void>()
      const stream = Stream.concat(
        Stream.make(randomBytes(2 * MiB)),
        Stream.drain(Stream.fromEffect(Effect.zipRight(Deferred.succeed(started, undefined), Effect.never)))
      )
      const fiber = yield* Effect.fork(BlobFile.write(Path.join(root, "blob"), stream))
      yield* Deferred.await(started)
      expect(yield* entries(root)).toHaveLength(1)
      yield* Fiber.interrupt(fiber)
      expect(yield* entries(root)).toEqual([])
    })
  )

  it.scoped("a file that was there is replaced", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const path = Path.join(root, "blob")
      yield* Effect.promise(() => Fs.writeFile(path, "a longer text than the next"))
      yield* BlobFile.write(path, Stream.make(Buffer.from("next")))
      expect((yield* contents(path)).toString()).toBe("next")
    })
  )

  it.scoped("two writes of one name do not mix: one replaces the other", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const path = Path.join(root, "blob")
      const [one, other] = [randomBytes(3 * MiB), randomBytes(3 * MiB)]
      yield* Effect.all([BlobFile.write(path, Stream.make(one)), BlobFile.write(path, Stream.make(other))], {
        concurrency: 2
      })
      const written = yield* contents(path)
      expect(written.equals(one) || written.equals(other)).toBe(true)
      expect(yield* entries(root)).toEqual(["blob"])
    })
  )

  it.scoped("a symbolic link that waits under the name of the partial file is not followed", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const [target, path] = [Path.join(root, "target"), Path.join(root, "blob")]
      const partial = Path.join(root, ".effect-oci-known.partial")
      yield* Effect.promise(() => Fs.writeFile(target, "kept"))
      yield* Effect.promise(() => Fs.symlink(target, partial))
      predicted.uuid = "known"
      yield* Effect.addFinalizer(() => Effect.sync(() => (predicted.uuid = "")))
      const error = yield* Effect.flip(BlobFile.write(path, Stream.make(Buffer.from("new"))))
      expect(error).toMatchObject({ _tag: "StorageFailure", path, cause: { code: "EEXIST" } })
      expect((yield* contents(target)).toString()).toBe("kept")
      expect(yield* entries(root)).toEqual([".effect-oci-known.partial", "target"])
    })
  )

  it.scoped("a symbolic link is replaced, and what it points to is not written", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const [target, path] = [Path.join(root, "target"), Path.join(root, "blob")]
      yield* Effect.promise(() => Fs.writeFile(target, "kept"))
      yield* Effect.promise(() => Fs.symlink(target, path))
      yield* BlobFile.write(path, Stream.make(Buffer.from("new")))
      expect((yield* contents(target)).toString()).toBe("kept")
      expect((yield* Effect.promise(() => Fs.lstat(path))).isSymbolicLink()).toBe(false)
      expect((yield* contents(path)).toString()).toBe("new")
    })
  )

  it.scoped("a missing directory, a directory and a device fail with the path before the stream starts", () =>
    Effect.gen(function* () {
      const root = yield* folder
      // A link to a device, since a defect here must not cost this machine its /dev/null.
      const device = Path.join(root, "device")
      yield* Effect.promise(() => Fs.symlink("/dev/null", device))
      for (const path of [Path.join(root, "missing", "blob"), root, device]) {
        let started = false
        const stream = Stream.sync(() => {
          started = true
          return Buffer.from("x")
        })
        const error = yield* Effect.flip(BlobFile.write(path, stream))
        expect(error).toBeInstanceOf(StorageFailure)
        expect(error.path).toBe(path)
        expect(started).toBe(false)
      }
      expect(yield* entries(root)).toEqual(["device"])
    })
  )

  it("a disk that takes only part of a block fails the write instead of leaving a short file", () => {
    const script = fileURLToPath(new URL("./fixtures/fileLimit.ts", import.meta.url))
    const command = 'ulimit -f 1536 && exec "$0" --import tsx "$1"'
    const { stdout, stderr } = spawnSync("bash", ["-c", command, process.execPath, script], { encoding: "utf8" })
    expect(stderr).toBe("")
    expect(stdout.trimEnd().split("\n")).toEqual([
      "last block: Error: EFBIG, left: 0",
      "a block before: Error: EFBIG, left: 0",
      "stream fails first: stopped, left: 0"
    ])
  })

  it.scoped("waits for the disk: the source is never two blocks ahead", () =>
    Effect.gen(function* () {
      const root = yield* folder
      const path = Path.join(root, "blob")
      let [produced, furthest] = [0, 0]
      const stream = Stream.repeatEffect(
        Effect.map(sizeIn(root), (written) => {
          furthest = Math.max(furthest, produced - written)
          produced += 65_536
          return randomBytes(65_536)
        })
      ).pipe(Stream.take(128))
      yield* BlobFile.write(path, stream)
      expect(furthest).toBeLessThan(2 * MiB)
      expect((yield* contents(path)).length).toBe(128 * 65_536)
    })
  )
})
