import { spawn, spawnSync } from "node:child_process"
import Crypto, { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import { syncBuiltinESMExports } from "node:module"
import * as Path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { vi } from "vitest"
import * as Credentials from "../../src/auth/Credentials.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import * as Artifact from "../../src/content/Artifact.js"
import * as BlobFile from "../../src/node/BlobFile.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registry } from "../../src/Registry.js"
import {
  DigestMismatch,
  StorageFailure,
  TransportFailure,
  Unsupported
} from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Transfer from "../../src/Transfer.js"
import { folder } from "../support/machine.js"
import { program } from "../support/program.js"
import { serve } from "../support/serve.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const MiB = 1_048_576

const bytesOf = (
  source: { readonly open: (offset: number) => Stream.Stream<Uint8Array, StorageFailure> },
  at: number
) =>
  Effect.map(Stream.runCollect(source.open(at)), (chunks) =>
    Buffer.concat(Chunk.toReadonlyArray(chunks))
  )

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
  Promise.all(
    (await Fs.readdir("/proc/self/fd")).map((fd) =>
      Fs.readlink(`/proc/self/fd/${fd}`).catch(() => "")
    )
  )
)

/** Every UUID is this one until the Scope closes. */
const predictedUuid = (uuid: ReturnType<typeof Crypto.randomUUID>) => {
  const replace = (randomUUID: typeof Crypto.randomUUID) =>
    Effect.sync(() => {
      const before = Crypto.randomUUID
      Crypto.randomUUID = randomUUID
      syncBuiltinESMExports()
      return before
    })
  return Effect.acquireRelease(
    replace(() => uuid),
    replace
  )
}

describe("source", () => {
  it.scoped("a file starts at any byte, and its size is known", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder(), "blob")
      const bytes = randomBytes(2 * MiB + 17)
      yield* Effect.promise(() => Fs.writeFile(path, bytes))
      const source = yield* BlobFile.source(path)
      expect(source.size).toBe(2 * MiB + 17)
      expect(source.replay).toBe("any")
      for (const offset of [0, 1, MiB - 1, MiB, 2 * MiB + 16, 2 * MiB + 17, 3 * MiB])
        expect((yield* bytesOf(source, offset)).equals(bytes.subarray(offset))).toBe(true)
    })
  )

  it.scoped("a file is read in chunks of 1 MiB, none of which is written to again", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder(), "blob")
      const bytes = randomBytes(2 * MiB + 17)
      yield* Effect.promise(() => Fs.writeFile(path, bytes))
      const chunks = Chunk.toReadonlyArray(
        yield* Stream.runCollect((yield* BlobFile.source(path)).open(0))
      )
      expect(chunks.map((chunk) => chunk.length)).toEqual([MiB, MiB, 17])
      expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
    })
  )

  it.scoped(
    "an upload reads it into the same memory, and every byte arrives, however slow the registry",
    () =>
      Effect.gen(function* () {
        const path = Path.join(yield* folder(), "blob")
        const bytes = randomBytes(24 * MiB + 17)
        yield* Effect.promise(() => Fs.writeFile(path, bytes))
        const received: Array<Buffer> = []
        const { url } = yield* serve((request, response) => {
          // A reader that leaves bytes in both sockets.
          request.on("data", (part: Buffer) => {
            received.push(Buffer.from(part))
            request.pause()
            setTimeout(() => request.resume(), 1)
          })
          request.on("end", () => {
            const total = received.reduce((size, part) => size + part.length, 0)
            const status =
              { HEAD: 404, POST: 202, PATCH: 202, PUT: 201 }[request.method ?? ""] ?? 500
            response
              .writeHead(status, {
                location: "/v2/a/blobs/uploads/1",
                range: `0-${Math.max(0, total - 1)}`
              })
              .end()
          })
        })
        const layer = Layer.provide(NodeRegistry.layer({ url }), Credentials.layerAnonymous)
        const { putBlob } = Context.get(yield* Layer.build(layer), Registry)
        const repository = yield* Reference.parseRepositoryName("a")
        const source = yield* BlobFile.source(path)
        const digest = Digest.fromBytes(bytes)
        for (const [known, options] of [
          [{ digest }, {}],
          [{}, {}],
          [{}, { chunkSize: 3_333_333 }]
        ] as const) {
          received.length = 0
          const reads = vi.spyOn(Buffer, "allocUnsafeSlow")
          expect(yield* putBlob(repository, { ...source, ...known }, options)).toMatchObject({
            digest
          })
          expect(Digest.fromBytes(Buffer.concat(received))).toBe(digest)
          expect(reads.mock.calls.filter(([size]) => size === MiB).length).toBeLessThan(8)
          reads.mockRestore()
        }

        // What somebody else sees on the way is theirs.
        const kept: Array<Uint8Array> = []
        const keeping = BlobSource.make((offset) =>
          ByteStream.tap(source.open(offset), (part) => kept.push(part))
        )
        yield* putBlob(repository, keeping)
        expect(Digest.fromBytes(Buffer.concat(kept))).toBe(digest)
      })
  )

  it.scoped("a file that grew is read to its new end, so that checks of size can see it", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder(), "blob")
      yield* Effect.promise(() => Fs.writeFile(path, "old"))
      const source = yield* BlobFile.source(path)
      yield* Effect.promise(() => Fs.appendFile(path, "new"))
      expect((yield* bytesOf(source, 0)).toString()).toBe("oldnew")
      expect(source.size).toBe(3)
    })
  )

  it.scoped("what is absent or no regular file fails with its path", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      for (const [path, reason] of [
        [Path.join(root, "absent"), "ENOENT"],
        [root, "not a regular file"],
        ["/dev/null", "not a regular file"]
      ] as const) {
        const error = yield* Effect.flip(BlobFile.source(path))
        expect(error).toBeInstanceOf(StorageFailure)
        expect(error.path).toBe(path)
        expect(error.message).toContain(reason)
      }
    })
  )

  it.scoped("a file that vanished fails the stream, not the program", () =>
    Effect.gen(function* () {
      const path = Path.join(yield* folder(), "blob")
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
      const path = Path.join(yield* folder(), "blob")
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
        const path = Path.join(yield* folder(), "blob")
        const parts = sizes.map((size) => randomBytes(size * factor))
        yield* BlobFile.write(path, Stream.fromIterable(parts).pipe(Stream.rechunk(3)))
        expect((yield* contents(path)).equals(Buffer.concat(parts))).toBe(true)
      }),
    { fastCheck: { numRuns: 25 } }
  )

  it.scoped("nothing stands under the name until the stream has ended", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      const seen = yield* Deferred.make<ReadonlyArray<string>>()
      yield* BlobFile.write(
        path,
        Stream.concat(
          Stream.make(randomBytes(2 * MiB)),
          Stream.drain(
            Stream.fromEffect(
              Effect.flatMap(entries(root), (names) => Deferred.succeed(seen, names))
            )
          )
        )
      )
      const during = yield* Deferred.await(seen)
      expect(during).toEqual([expect.stringMatching(/^\.effect-oci-.*\.partial$/)])
      expect(yield* entries(root)).toEqual(["blob"])
    })
  )

  it.scoped(
    "content that fails its verification leaves what was there before, and no partial file",
    () =>
      Effect.gen(function* () {
        const root = yield* folder()
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
      const root = yield* folder()
      const started = yield* Deferred.make<void>()
      const stream = Stream.concat(
        Stream.make(randomBytes(2 * MiB)),
        Stream.drain(
          Stream.fromEffect(Effect.zipRight(Deferred.succeed(started, undefined), Effect.never))
        )
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
      const root = yield* folder()
      const path = Path.join(root, "blob")
      yield* Effect.promise(() => Fs.writeFile(path, "a longer text than the next"))
      yield* BlobFile.write(path, Stream.make(Buffer.from("next")))
      expect((yield* contents(path)).toString()).toBe("next")
    })
  )

  it.scoped("two writes of one name do not mix: one replaces the other", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      const [one, other] = [randomBytes(3 * MiB), randomBytes(3 * MiB)]
      yield* Effect.all(
        [BlobFile.write(path, Stream.make(one)), BlobFile.write(path, Stream.make(other))],
        {
          concurrency: 2
        }
      )
      const written = yield* contents(path)
      expect(written.equals(one) || written.equals(other)).toBe(true)
      expect(yield* entries(root)).toEqual(["blob"])
    })
  )

  it.scoped("a symbolic link that waits under the name of the partial file is not followed", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const [target, path] = [Path.join(root, "target"), Path.join(root, "blob")]
      const uuid = "00000000-0000-4000-8000-000000000000"
      const partial = Path.join(root, `.effect-oci-${uuid}.partial`)
      yield* Effect.promise(() => Fs.writeFile(target, "kept"))
      yield* Effect.promise(() => Fs.symlink(target, partial))
      yield* predictedUuid(uuid)
      const error = yield* Effect.flip(BlobFile.write(path, Stream.make(Buffer.from("new"))))
      expect(error).toMatchObject({ _tag: "StorageFailure", path, cause: { code: "EEXIST" } })
      expect((yield* contents(target)).toString()).toBe("kept")
      expect(yield* entries(root)).toEqual([Path.basename(partial), "target"])
    })
  )

  it.scoped("a symbolic link is replaced, and what it points to is not written", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const [target, path] = [Path.join(root, "target"), Path.join(root, "blob")]
      yield* Effect.promise(() => Fs.writeFile(target, "kept"))
      yield* Effect.promise(() => Fs.symlink(target, path))
      yield* BlobFile.write(path, Stream.make(Buffer.from("new")))
      expect((yield* contents(target)).toString()).toBe("kept")
      expect((yield* Effect.promise(() => Fs.lstat(path))).isSymbolicLink()).toBe(false)
      expect((yield* contents(path)).toString()).toBe("new")
    })
  )

  it.scoped(
    "a missing directory, a directory and a device fail with the path before the stream starts",
    () =>
      Effect.gen(function* () {
        const root = yield* folder()
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

  it("a disk that takes a part of a block fails the write, without a short file", async () => {
    const script = await program("test/node/fixtures/fileLimit.ts")
    const command = 'ulimit -f 1536 && exec "$0" "$1"'
    const { stdout, stderr } = spawnSync("bash", ["-c", command, process.execPath, script], {
      encoding: "utf8"
    })
    expect(stderr).toBe("")
    expect(stdout.trimEnd().split("\n")).toEqual([
      "last block: Error: EFBIG, left: 0",
      "a block before: Error: EFBIG, left: 0",
      "stream fails first: stopped, left: 0"
    ])
  })

  it.scoped("waits for the disk: the source is never two blocks ahead", () =>
    Effect.gen(function* () {
      const root = yield* folder()
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

describe("download", () => {
  const size = 5 * MiB
  const content = randomBytes(size)
  const digest = Digest.fromBytes(content)
  const descriptor = { mediaType: "application/octet-stream", digest, size }
  const repository = Effect.runSync(Reference.parseRepositoryName("a"))
  const overwrite = { overwrite: true }
  const kept = /^\.effect-oci-[0-9a-f]{32}-[0-9a-f]{8}-0-.*\.partial$/

  /**
   * A registry whose blob breaks off after so many bytes, each time anew; and the offsets it was
   * asked for.
   */
  const registry = (
    options: { readonly upTo?: number; readonly ranges?: boolean; readonly bytes?: Uint8Array } = {}
  ) => {
    const { bytes = content, ranges = true, upTo = size } = options
    const asked: Array<number> = []
    const from = (start: number) => {
      asked.push(start)
      const whole = Stream.fromIterable(
        Array.from({ length: Math.ceil((Math.min(upTo, size) - start) / 65_536) }, (_, n) =>
          bytes.subarray(start + n * 65_536, Math.min(upTo, start + (n + 1) * 65_536))
        )
      )
      return Stream.concat(
        Stream.rechunk(whole, 1),
        upTo < size ? Stream.fail(new TransportFailure({ reason: "Reset" })) : Stream.empty
      )
    }
    return {
      asked,
      getBlob: () => ByteStream.verify(from(0), { digest, size }),
      getBlobRange: (_: unknown, __: unknown, range: { readonly start: number }) =>
        ranges ? from(range.start) : Stream.fail(new Unsupported({ operation: "ranges of blobs" }))
    }
  }

  /** A registry whose blob has been sent, and does not end until something else is done. */
  const meanwhile = (other: Effect.Effect<void>) => ({
    ...registry(),
    getBlob: () => Stream.concat(Stream.make(content), Stream.drain(Stream.fromEffect(other)))
  })

  it.scoped("stores the blob under its name, and leaves nothing else", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      yield* BlobFile.download(registry(), repository, descriptor, path)
      expect((yield* contents(path)).equals(content)).toBe(true)
      expect(yield* entries(root)).toEqual(["blob"])
      expect((yield* openFiles).filter((open) => open.startsWith(root))).toEqual([])
    })
  )

  it.scoped("leaves what is there already: the blob itself, or something else unless told", () =>
    Effect.gen(function* () {
      const root = yield* folder({ other: "other" })
      const path = Path.join(root, "blob")
      yield* Effect.promise(() => Fs.writeFile(path, content))
      const whole = registry()
      for (const blob of [descriptor, digest])
        yield* BlobFile.download(whole, repository, blob, path)
      expect(whole.asked).toEqual([])

      const [other, link] = [Path.join(root, "other"), Path.join(root, "link")]
      yield* Effect.promise(() => Fs.symlink(other, link))
      for (const taken of [other, link]) {
        const failure = yield* Effect.flip(BlobFile.download(whole, repository, descriptor, taken))
        expect(failure).toMatchObject({ _tag: "FileExists", paths: [taken] })
        expect(failure.message).toBe(
          `Not replaced, since the content is another one: ${taken}: ` +
            "move it away, or use the option overwrite"
        )
      }
      expect(whole.asked).toEqual([])
      yield* BlobFile.download(whole, repository, descriptor, link, overwrite)
      expect((yield* contents(link)).equals(content)).toBe(true)
      expect((yield* contents(other)).toString()).toBe("other")
      yield* BlobFile.download(whole, repository, descriptor, other, overwrite)
      expect((yield* contents(other)).equals(content)).toBe(true)
      expect(yield* entries(root)).toEqual(["blob", "link", "other"])
    })
  )

  it.scoped("leaves what somebody else puts there in the meantime, and keeps its bytes", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      const busy = meanwhile(Effect.promise(() => Fs.writeFile(path, "theirs")))
      const failure = yield* Effect.flip(BlobFile.download(busy, repository, descriptor, path))
      expect(failure).toMatchObject({ _tag: "FileExists" })
      expect((yield* contents(path)).toString()).toBe("theirs")
      const whole = registry()
      yield* BlobFile.download(whole, repository, descriptor, path, overwrite)
      expect(whole.asked).toEqual([])
      expect(yield* entries(root)).toEqual(["blob"])
    })
  )

  it.scoped("takes what a faster download of the same has put there in the meantime", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      const download = BlobFile.download(registry(), repository, descriptor, path)
      const slow = meanwhile(Effect.orDie(download))
      yield* BlobFile.download(slow, repository, descriptor, path)
      expect((yield* contents(path)).equals(content)).toBe(true)
      expect(yield* entries(root)).toEqual(["blob"])
    })
  )

  it.scoped("saves what was pulled as it downloads a blob", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      yield* Artifact.push("ghcr.io/owner/model:1", {
        artifactType: "application/vnd.example.model.v1",
        files: [{ title: "model.bin", source: content }]
      })
      const { config, files } = yield* Artifact.pull("ghcr.io/owner/model:1")
      for (const file of files) yield* BlobFile.save(file, Path.join(root, "blob"))
      expect((yield* contents(Path.join(root, "blob"))).equals(content)).toBe(true)
      const failure = yield* Effect.flip(BlobFile.save(config, Path.join(root, "blob")))
      expect(failure).toMatchObject({ _tag: "FileExists" })
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )

  it.scoped("keeps what arrived, and goes on there the next time (C28, trap 77)", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      yield* Effect.promise(() => Fs.writeFile(path, "before"))
      const broken = registry({ upTo: 3 * MiB + 5 })
      for (const blob of [descriptor, digest]) {
        expect(
          yield* Effect.flip(BlobFile.download(broken, repository, blob, path, overwrite))
        ).toBeInstanceOf(TransportFailure)
        expect((yield* contents(path)).toString()).toBe("before")
        expect(yield* entries(root)).toEqual([expect.stringMatching(kept), "blob"])
      }
      expect(broken.asked).toEqual([0, 3 * MiB])
      const whole = registry()
      const events = yield* Effect.map(
        Stream.runCollect(
          Transfer.events(BlobFile.download(whole, repository, digest, path, overwrite))
        ),
        (events) => [...events].filter(({ _tag }) => _tag !== "Bytes")
      )
      expect(whole.asked).toEqual([3 * MiB])
      expect((yield* contents(path)).equals(content)).toBe(true)
      expect(yield* entries(root)).toEqual(["blob"])
      expect(events).toMatchObject([
        { _tag: "Started" },
        { _tag: "Resumed", offset: 3 * MiB },
        { _tag: "Verified", digest },
        { _tag: "Completed" },
        { _tag: "Result" }
      ])
    })
  )

  it.scoped.each([
    ["holds other bytes", (): Uint8Array => Buffer.alloc(2 * MiB), true],
    ["is longer than the blob", (): Uint8Array => Buffer.concat([content, content]), true],
    [
      "cannot be continued, the registry knowing no ranges",
      (): Uint8Array => content.subarray(0, 2 * MiB),
      false
    ]
  ] as const)("throws away a partial file that %s, and downloads all", ([, partial, ranges]) =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      yield* Effect.flip(
        BlobFile.download(registry({ upTo: 2 * MiB }), repository, descriptor, path)
      )
      const [name = ""] = yield* entries(root)
      yield* Effect.promise(() => Fs.writeFile(Path.join(root, name), partial()))
      yield* BlobFile.download(registry({ ranges }), repository, descriptor, path)
      expect((yield* contents(path)).equals(content)).toBe(true)
      expect(yield* entries(root)).toEqual(["blob"])
    })
  )

  it.scoped("leaves neither the name nor a partial file to content that is not the blob (T7)", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      const error = yield* Effect.flip(
        BlobFile.download(registry({ bytes: randomBytes(size) }), repository, descriptor, path)
      )
      expect(error).toBeInstanceOf(DigestMismatch)
      expect(yield* entries(root)).toEqual([])
    })
  )

  it.scoped("does not follow or fill a link that waits as a partial file", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      yield* Effect.flip(
        BlobFile.download(registry({ upTo: 2 * MiB }), repository, descriptor, path)
      )
      const [name = ""] = yield* entries(root)
      const [target, partial] = [Path.join(root, "target"), Path.join(root, name)]
      for (const link of [Fs.symlink, Fs.link]) {
        yield* Effect.promise(async () => {
          await Fs.rm(partial)
          await Fs.writeFile(target, "kept")
          await link(target, partial)
        })
        yield* BlobFile.download(registry(), repository, descriptor, path)
        expect((yield* contents(target)).toString()).toBe("kept")
        expect((yield* contents(path)).equals(content)).toBe(true)
      }
    })
  )

  it.scoped("does not share a partial file with a download under way", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      const started = yield* Deferred.make<void>()
      const silent = {
        ...registry(),
        getBlob: () =>
          Stream.concat(
            Stream.make(content.subarray(0, 2 * MiB)),
            Stream.drain(
              Stream.fromEffect(Effect.zipRight(Deferred.succeed(started, undefined), Effect.never))
            )
          )
      }
      const fiber = yield* Effect.fork(BlobFile.download(silent, repository, descriptor, path))
      yield* Deferred.await(started)
      const other = registry()
      yield* BlobFile.download(other, repository, descriptor, path)
      expect(other.asked).toEqual([0])
      yield* Fiber.interrupt(fiber)
      expect((yield* contents(path)).equals(content)).toBe(true)
    })
  )

  it.scopedLive("is continued by another process after the first was killed", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const path = Path.join(root, "blob")
      const url = yield* ServerUrl
      const client = yield* Effect.map(
        Layer.build(NodeRegistry.layer({ url }).pipe(Layer.provide(Credentials.layerAnonymous))),
        (context) => Context.get(context, Registry)
      )
      yield* client.putBlob(repository, BlobSource.fromBytes(content))
      const script = yield* Effect.promise(() => program("test/node/fixtures/download.ts"))
      const signal = yield* Effect.promise(
        () =>
          new Promise((resolve) => {
            const args = [script, url, digest, path, `${4 * MiB}`]
            spawn(process.execPath, args, { stdio: "inherit" }).once("exit", (_, signal) =>
              resolve(signal)
            )
          })
      )
      expect(signal).toBe("SIGKILL")
      const [left = ""] = yield* entries(root)
      expect(
        (yield* Effect.promise(() => Fs.stat(Path.join(root, left)))).size
      ).toBeGreaterThanOrEqual(2 * MiB)
      const starts: Array<number> = []
      const watched: typeof client.getBlobRange = (repository, digest, range) => {
        starts.push(range.start)
        return client.getBlobRange(repository, digest, range)
      }
      yield* BlobFile.download({ ...client, getBlobRange: watched }, repository, digest, path)
      expect(starts).toEqual([expect.any(Number)])
      expect(starts[0]).toBeGreaterThanOrEqual(2 * MiB)
      expect((yield* contents(path)).equals(content)).toBe(true)
      expect(yield* entries(root)).toEqual(["blob"])
    }).pipe(Effect.provide(layerSocketServer().pipe(Layer.provide(MemoryRegistry.layer()))))
  )
})
