/** What of an archive is read, and what is kept of one that cannot be read at any place. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as NodeArchive from "../../src/node/NodeArchive.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as Archive from "../../src/store/Archive.js"
import {
  configOf,
  file,
  imagesFile,
  layerOf,
  memory,
  putImage,
  save,
  source,
  tag
} from "../support/archives.js"
import { gather, items } from "../support/fixtures.js"
import { failures } from "../support/layouts.js"
import { folder } from "../support/machine.js"
import * as Tar from "../support/tar.js"

/** Reads an archive by files whose reads or writes are changed. */
const readWith = (
  archive: string | Stream.Stream<Uint8Array>,
  options: Archive.ReadOptions,
  change: (file: FileSystem.File) => Partial<FileSystem.File>
) =>
  Archive.read(archive, options).pipe(
    Effect.provide(
      Layer.merge(
        NodeDecompression.layer,
        Layer.project(
          NodeFileSystem.layer,
          FileSystem.FileSystem,
          FileSystem.FileSystem,
          (files) => ({
            ...files,
            open: (path, options) =>
              Effect.map(
                files.open(path, options),
                (file): FileSystem.File => Object.assign(Object.create(file), change(file))
              )
          })
        )
      )
    )
  )

/** An archive with one image. */
const archived = Effect.gen(function* () {
  const registry = yield* memory
  const manifest = yield* putImage(registry, [layerOf("one")], { tags: ["1.0"] })
  const bytes = yield* gather(Archive.writeFrom([source(registry, "1.0")]))
  return { manifest, bytes }
})

const names = (path: string) => Effect.promise(() => Fs.readdir(path))

describe("a file", () => {
  it.scopedLive("of 4 GiB is opened, and its documents read, from less than a mebibyte (S14)", () =>
    Effect.gen(function* () {
      const size = 4 * 1024 ** 3
      const layer = layerOf("small")
      const config = configOf([layer, layerOf("large")])
      const path = yield* save(new Uint8Array())
      // A layer whose content is a hole of the disk: its first block is that of an archive.
      const head = Tar.header({ name: "large", size: size - 2048 })
      yield* Effect.promise(async () => {
        const handle = await Fs.open(path, "r+")
        const start = Tar.header({ name: "large.tar", size })
        await handle.write(start, 0, start.length, 0)
        await handle.write(head, 0, head.length, 512)
        const rest = Tar.archive(
          file("small.tar", layer),
          file("config.json", config),
          imagesFile({
            Config: "config.json",
            RepoTags: ["large:1.0"],
            Layers: ["small.tar", "large.tar"]
          })
        )
        await handle.write(rest, 0, rest.length, 512 + size)
        await handle.close()
      })
      let count = 0
      const archive = yield* readWith(path, {}, (file) => ({
        seek: (offset, from) => file.seek(offset, from),
        read: (into) =>
          Effect.tap(file.read(into), (size) => {
            count += Number(size)
          })
      }))
      const { repository } = archive
      const { content } = yield* archive.getManifest(repository, tag("1.0"))
      if (content._tag !== "ImageManifest") throw new Error("an image")
      expect(yield* archive.getBlobBytes(repository, content.config)).toEqual(config)
      expect(content.layers.map(({ size }) => size)).toEqual([layer.length, size])
      expect(
        yield* gather(archive.getBlob(repository, content.layers[0] ?? content.config))
      ).toEqual(new Uint8Array(layer))
      expect(archive.isSpooled).toBe(false)
      expect(count).toBeLessThan(1024 * 1024)
    })
  )
})

describe("a stream, and a file that is compressed", () => {
  const compressions = {
    "as it is": (bytes: Uint8Array) => bytes,
    "compressed with gzip": gzipSync,
    "compressed with gzip in two members": (bytes: Uint8Array) =>
      Buffer.concat([gzipSync(bytes.subarray(0, 700)), gzipSync(bytes.subarray(700))])
  }

  for (const [name, compress] of Object.entries(compressions))
    it.scopedLive(`${name}, is kept in the folder until it is closed (S14)`, () =>
      Effect.gen(function* () {
        const { bytes, manifest } = yield* archived
        const spool = yield* folder()
        const compressed = new Uint8Array(compress(bytes))
        const pieces = Array.from({ length: Math.ceil(compressed.length / 100) }, (_, n) =>
          compressed.subarray(n * 100, n * 100 + 100)
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            const archive = yield* NodeArchive.read(Stream.fromIterable(pieces), {
              spool: { folder: spool }
            })
            expect(archive).toMatchObject({ isSpooled: true, format: "oci" })
            expect(yield* names(spool)).toHaveLength(1)
            expect(yield* archive.getManifest(archive.repository, tag("1.0"))).toEqual(manifest)
          })
        )
        expect(yield* names(spool)).toEqual([])
        if (compress === compressions["as it is"]) return
        const archive = yield* NodeArchive.read(yield* save(compressed), {
          spool: { folder: spool }
        })
        expect(archive.isSpooled).toBe(true)
        expect(yield* items(archive.tags(archive.repository))).toEqual(["1.0"])
      })
    )

  it.scopedLive("nothing is left of one that fails or is interrupted (S14)", () =>
    Effect.gen(function* () {
      const { bytes } = yield* archived
      const spool = yield* folder()
      const options = { spool: { folder: spool } }
      const errors = yield* failures(
        NodeArchive.read(
          Stream.concat(
            Stream.make(bytes.subarray(0, 600)),
            Stream.fail({ _tag: "Broken", message: "the stream broke off" })
          ),
          options
        ),
        NodeArchive.read(Stream.make(bytes.subarray(0, 700)), options),
        NodeArchive.read(Stream.make(gzipSync(bytes).subarray(0, 700)), options),
        NodeArchive.read(Stream.make(bytes), { spool: { folder: spool, limit: 2000 } }),
        NodeArchive.read(Stream.make(bytes), {
          spool: { folder: Path.join(spool, "nowhere") }
        })
      )
      expect(errors.map(({ _tag }) => _tag)).toEqual([
        "Broken",
        "InvalidArchive",
        "InvalidEncoding",
        "LimitExceeded",
        "StorageFailure"
      ])
      expect(errors[3]?.message).toBe(
        "What an archive keeps in a temporary file exceeds the limit of 2000 bytes; " +
          "the option spool.limit allows more"
      )
      expect(errors[4]?.message).toContain(Path.join(spool, "nowhere"))
      // Their Scope is still open.
      expect(yield* names(spool)).toEqual([])
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(
        NodeArchive.read(
          Stream.concat(
            Stream.make(bytes.subarray(0, 600)),
            Stream.fromEffect(Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never))
          ),
          options
        )
      )
      yield* Deferred.await(begun)
      expect(yield* names(spool)).toHaveLength(1)
      yield* Fiber.interrupt(fiber)
      expect(yield* names(spool)).toEqual([])
    })
  )

  it.scopedLive("a full disk is said to be full (S14)", () =>
    Effect.gen(function* () {
      const { bytes } = yield* archived
      const spool = yield* folder()
      const full = new PlatformError.SystemError({
        reason: "Unknown",
        module: "FileSystem",
        method: "write",
        cause: Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" })
      })
      const [error] = yield* failures(
        readWith(Stream.make(bytes), { spool: { folder: spool } }, () => ({ write: () => full }))
      )
      expect(error?._tag).toBe("StorageFailure")
      expect(error?.message).toMatch(
        /content: no space is left on the disk \(ENOSPC\): name a folder on another one in the option spool.folder$/
      )
      expect(yield* names(spool)).toEqual([])
    })
  )
})
