/** The files of a layout: links, sizes, writes that fail, and the lock. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as PlatformError from "@effect/platform/Error"
import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import * as BlobFile from "../../src/node/BlobFile.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import { StorageFailure } from "../../src/RegistryError.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { Heartbeat } from "../../src/store/internal/layout/FolderLock.js"
import * as LayoutRegistry from "../../src/store/LayoutRegistry.js"
import { freshBytes, gather, generated, image, items, utf8 } from "../support/fixtures.js"
import {
  blobPath,
  changed,
  entry,
  failures,
  fresh,
  readIndex,
  refName,
  writeImage,
  writeIndex,
  writing
} from "../support/layouts.js"
import { folder } from "../support/machine.js"

const name = Reference.unsafeParseRepositoryName
const tag = Reference.unsafeParseTag
const app = name("app")
const filesIn = (path: string) =>
  Effect.promise(async () => {
    const entries = await Fs.readdir(path, { recursive: true, withFileTypes: true })
    return entries
      .filter((found) => !found.isDirectory())
      .map((found) => Path.relative(path, Path.join(found.parentPath, found.name)))
      .filter((found) => !found.startsWith(".effect-oci/lock/"))
      .toSorted()
  })

describe("links (S4)", () => {
  /** A layout whose blobs are links to files of another folder, as Bazel makes them. */
  const linked = Effect.gen(function* () {
    const elsewhere = yield* folder()
    const { layout, root } = yield* fresh
    const manifest = yield* writeImage(elsewhere)
    yield* writeIndex(layout, [entry(manifest, refName("v1"))])
    yield* Effect.promise(async () => {
      await Fs.mkdir(Path.join(layout, "blobs/sha256"), { recursive: true })
      for (const blob of await Fs.readdir(Path.join(elsewhere, "blobs/sha256")))
        await Fs.symlink(
          Path.join(elsewhere, "blobs/sha256", blob),
          Path.join(layout, "blobs/sha256", blob)
        )
    })
    return { elsewhere, layout, manifest, root }
  })

  it.scopedLive("names a link that leads out of the folder, and the option that allows it", () =>
    Effect.gen(function* () {
      const { elsewhere, manifest, root } = yield* linked
      const registry = yield* NodeLayout.make({ path: root })
      const { digest } = manifest.descriptor
      const errors = yield* failures(
        registry.getManifest(app, tag("v1")),
        registry.headManifest(app, digest),
        registry.headBlob(app, digest),
        gather(registry.getBlob(app, digest))
      )
      for (const error of errors) {
        expect(error).toMatchObject({ _tag: "StorageFailure" })
        expect(error.message).toContain(elsewhere)
        expect(error.message).toContain("linkTargets")
      }
    })
  )

  it.scopedLive(
    "follows links to the folders that are allowed, and puts files in their place",
    () =>
      Effect.gen(function* () {
        const { elsewhere, layout, manifest, root } = yield* linked
        const registry = yield* NodeLayout.make({ path: root, linkTargets: [elsewhere] })
        const found = yield* registry.getManifest(app, tag("v1"))
        expect(found.bytes).toEqual(manifest.bytes)
        const { digest } = manifest.descriptor
        const other = name("other")
        expect(yield* registry.mountBlob(other, digest, app)).toBe(true)
        const mounted = yield* Effect.promise(() =>
          Fs.stat(blobPath(Path.join(root, "other"), digest))
        )
        expect(mounted.nlink).toBe(1) // Never another name of somebody's file.
        yield* registry.deleteManifest(app, digest)
        yield* registry.collect({ repository: app, grace: 0 })
        expect((yield* Effect.promise(() => Fs.stat(blobPath(elsewhere, digest)))).size).toBe(
          manifest.bytes.length
        )
        expect(yield* filesIn(layout)).not.toContain(`blobs/sha256/${Digest.encoded(digest)}`)
      })
  )

  it.scopedLive("says of a link that leads nowhere that it is one", () =>
    Effect.gen(function* () {
      const { elsewhere, manifest, root } = yield* linked
      yield* Effect.promise(() => Fs.rm(Path.join(elsewhere, "blobs"), { recursive: true }))
      const registry = yield* NodeLayout.make({ path: root, linkTargets: [elsewhere] })
      const error = yield* Effect.flip(registry.headBlob(app, manifest.descriptor.digest))
      expect(error.message).toContain("where nothing is")
    })
  )

  it.scopedLive.each([
    "app",
    "app/blobs",
    "app/blobs/sha256",
    "app/.effect-oci",
    "app/.effect-oci/lock"
  ])("writes nothing where the folder %s is a link to another place", (link) =>
    Effect.gen(function* () {
      const victim = yield* folder({ "keep.txt": "keep" })
      const { layout, registry, root } = yield* fresh
      yield* writeIndex(layout, [])
      yield* Effect.promise(async () => {
        await Fs.rm(Path.join(root, link), { recursive: true, force: true })
        await Fs.mkdir(Path.dirname(Path.join(root, link)), { recursive: true })
        await Fs.symlink(victim, Path.join(root, link))
      })
      const put = Effect.gen(function* () {
        const manifest = yield* image(registry, app, "m1")
        yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      })
      expect((yield* Effect.flip(put)).message).toContain("it is a link to")
      expect(yield* filesIn(victim)).toEqual(["keep.txt"])
    })
  )
})

describe("blobs of a wrong size (S5, V34)", () => {
  it.scopedLive.each([
    { what: "no bytes", cut: 0 },
    { what: "fewer bytes than its manifest says", cut: 7 }
  ])("takes a blob of $what for absent, and the next put heals it", ({ cut }) =>
    Effect.gen(function* () {
      const { layout, registry, root } = yield* fresh
      const content = freshBytes("b1")
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest)
      if (manifest.content._tag !== "ImageManifest") throw new Error("m1 is an image")
      const [layer] = manifest.content.layers
      if (layer === undefined) throw new Error("m1 has a layer")
      const whole = yield* registry.getBlobBytes(app, layer)
      yield* Effect.promise(() => Fs.truncate(blobPath(layout, layer.digest), cut))
      const other = yield* NodeLayout.make({ path: root })
      for (const at of [registry, other])
        expect(yield* at.headBlob(app, layer.digest)).toEqual(Option.none())
      expect(yield* Effect.flip(registry.putManifest(app, manifest))).toMatchObject({
        _tag: "BlobUnknown",
        digest: layer.digest
      })
      expect((yield* Effect.flip(other.getBlobBytes(app, layer)))._tag).toMatch(
        /BlobUnknown|SizeMismatch|DigestMismatch/
      )
      yield* other.putBlob(app, BlobSource.fromBytes(whole))
      expect(Option.isSome(yield* registry.headBlob(app, layer.digest))).toBe(true)
      expect(yield* registry.getBlobBytes(app, layer)).toEqual(whole)
      expect(content.length).toBeGreaterThan(cut)
    })
  )

  it.scopedLive("fails with DigestMismatch for content of the right size that is another", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      const { digest } = manifest.descriptor
      yield* Effect.promise(() =>
        Fs.writeFile(
          blobPath(layout, digest),
          manifest.bytes.map((b) => b ^ 1)
        )
      )
      const errors = yield* failures(
        registry.getManifest(app, tag("v1")),
        gather(registry.getBlob(app, digest)),
        registry.getBlobBytes(app, digest)
      )
      for (const error of errors)
        expect(error).toMatchObject({ _tag: "DigestMismatch", expected: digest })
      yield* registry.putManifest(app, manifest)
      expect((yield* registry.getManifest(app, tag("v1"))).bytes).toEqual(manifest.bytes)
    })
  )
})

describe("writing", () => {
  it.scopedLive("writes all bytes where the system takes half of them at a time (V33)", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const registry = yield* changed(
        { path: root },
        {
          files: writing((file, bytes) =>
            file.write(bytes.subarray(0, Math.ceil(bytes.length / 2)))
          )
        }
      )
      const { digest } = yield* registry.putBlob(app, BlobSource.fromStream(generated(300_000)))
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      const other = yield* NodeLayout.make({ path: root })
      expect(yield* other.getBlobBytes(app, digest)).toEqual(yield* gather(generated(300_000)))
      expect((yield* other.getManifest(app, tag("v1"))).bytes).toEqual(manifest.bytes)
    })
  )

  const full = new PlatformError.SystemError({
    module: "FileSystem",
    method: "write",
    reason: "Unknown",
    description: "ENOSPC: no space left on device, write"
  })

  it.scopedLive("fails with StorageFailure on a full disk, and shows nothing half-written", () =>
    Effect.gen(function* () {
      const { layout, registry, root } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      const before = yield* filesIn(layout)
      let left = 100_000
      const filling = yield* changed(
        { path: root },
        {
          files: writing((file, bytes) => {
            if (left === 0) return Effect.fail(full)
            const taken = bytes.subarray(0, left)
            left -= taken.length
            return file.write(taken)
          })
        }
      )
      const large = BlobSource.fromStream(generated(3_000_000))
      const errors = yield* failures(
        filling.putBlob(app, large),
        filling.putBlob(name("new"), large),
        filling.putManifest(app, manifest, { tags: [tag("v2")] })
      )
      for (const error of errors) {
        expect(error).toMatchObject({ _tag: "StorageFailure" })
        expect(error.message).toContain("no space left on device")
      }
      expect(yield* filesIn(layout)).toEqual(before)
      expect(yield* items(registry.tags(app))).toEqual(["v1"])
      expect(yield* items(registry.repositories())).toEqual(["app"])
      left = Number.POSITIVE_INFINITY
      yield* filling.putManifest(app, manifest, { tags: [tag("v2")] })
      expect(yield* items(registry.tags(app))).toEqual(["v1", "v2"])
    })
  )

  const mounts = process.platform === "linux" && process.getuid?.() === 0
  it.skipIf(!mounts)("a disk that is really full", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const root = yield* folder()
          yield* Effect.acquireRelease(
            Effect.sync(() =>
              execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", root])
            ),
            () => Effect.sync(() => execFileSync("umount", [root]))
          )
          const registry = yield* NodeLayout.make({ path: root })
          const small = yield* registry.putBlob(app, BlobSource.fromStream(generated(500_000)))
          const error = yield* Effect.flip(
            registry.putBlob(app, BlobSource.fromStream(generated(3_000_000)))
          )
          expect(error).toBeInstanceOf(StorageFailure)
          expect(error.message).toMatch(/no space left/i)
          expect(Option.isSome(yield* registry.headBlob(app, small.digest))).toBe(true)
          yield* registry.putBlob(app, BlobSource.fromStream(generated(600_000)))
        })
      )
    )
  )

  it.scopedLive("holds no more of a large blob in memory than of a small one", () =>
    Effect.gen(function* () {
      const { registry } = yield* fresh
      const size = 256 * 1024 * 1024
      const before = process.memoryUsage().arrayBuffers
      let most = 0
      const sampled = ByteStream.tap(() => {
        most = Math.max(most, process.memoryUsage().arrayBuffers - before)
      })
      const { digest } = yield* registry.putBlob(
        app,
        BlobSource.fromStream(sampled(generated(size)))
      )
      yield* Stream.runDrain(sampled(registry.getBlob(app, digest)))
      expect(most).toBeLessThan(size / 2)
    })
  )

  it.scopedLive("leaves nothing of a put that is interrupted", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      yield* registry.putBlob(app, BlobSource.fromBytes(utf8("b1")))
      const before = yield* filesIn(layout)
      const flowing = yield* Deferred.make<void>()
      const endless = Stream.concat(
        generated(3_000_000),
        Stream.concat(Stream.execute(Deferred.succeed(flowing, undefined)), Stream.never)
      )
      const fiber = yield* Effect.fork(registry.putBlob(app, BlobSource.fromStream(endless)))
      yield* Deferred.await(flowing)
      yield* Fiber.interrupt(fiber)
      expect(yield* filesIn(layout)).toEqual(before)
    })
  )

  it.scopedLive("writes the changes that wait as one", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      let written = 0
      const registry = yield* changed(
        { path: root },
        {
          files: (files) => ({
            rename: (from, to) => {
              if (to.endsWith("index.json")) written++
              return files.rename(from, to)
            }
          })
        }
      )
      const manifest = yield* image(registry, app, "m1")
      written = 0
      yield* Effect.forEach(
        Array.from({ length: 500 }, (_, n) => tag(`v${n}`)),
        (version) => registry.putManifest(app, manifest, { tags: [version] }),
        { concurrency: "unbounded" }
      )
      expect(yield* items(registry.tags(app))).toHaveLength(500)
      expect(written).toBeLessThan(50)
    })
  )

  it.scopedLive("has the others written of which one is interrupted", () =>
    Effect.gen(function* () {
      const { registry } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      const fibers = yield* Effect.forEach(
        Array.from({ length: 40 }, (_, n) => tag(`v${n}`)),
        (version) => Effect.fork(registry.putManifest(app, manifest, { tags: [version] }))
      )
      yield* Effect.sleep("5 millis")
      const interrupted = fibers.filter((_, n) => n % 4 === 0)
      yield* Fiber.interruptAll(interrupted)
      yield* Fiber.joinAll(fibers.filter((_, n) => n % 4 !== 0))
      const tags = yield* items(registry.tags(app))
      for (let n = 0; n < 40; n++) if (n % 4 !== 0) expect(tags).toContain(`v${n}`)
    })
  )
})

describe("files of this disk", () => {
  it.scopedLive(
    "takes a file by a copy on write where the disk has them, and hashes it afterwards",
    () =>
      Effect.gen(function* () {
        const root = yield* folder({ "model.bin": "weights" })
        const cloned: Array<string> = []
        const registry = yield* changed(
          { path: Path.join(root, "images") },
          {
            system: {
              clone: (from, to) =>
                Effect.promise(async () => {
                  cloned.push(from)
                  await Fs.copyFile(from, to)
                })
            }
          }
        )
        const path = Path.join(root, "model.bin")
        const { digest, size } = yield* registry.putBlob(app, yield* BlobFile.source(path))
        expect(cloned).toEqual([path])
        expect({ digest, size }).toEqual({ digest: Digest.fromBytes(utf8("weights")), size: 7 })
        expect(yield* registry.getBlobBytes(app, digest)).toEqual(utf8("weights"))
        const source = {
          ...(yield* BlobFile.source(path)),
          digest: Digest.fromBytes(utf8("other"))
        }
        expect(yield* Effect.flip(registry.putBlob(app, source))).toMatchObject({
          _tag: "DigestMismatch"
        })
        yield* Effect.promise(() => Fs.writeFile(path, "changed"))
        expect(yield* registry.getBlobBytes(app, digest)).toEqual(utf8("weights"))
      })
  )

  it.scopedLive("copies a file where the disk has no copies on write, and never links it", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "model.bin": "weights" })
      const registry = yield* NodeLayout.make({ path: Path.join(root, "images") })
      const path = Path.join(root, "model.bin")
      const { digest } = yield* registry.putBlob(app, yield* BlobFile.source(path))
      yield* Effect.promise(() => Fs.writeFile(path, "changed"))
      expect(yield* registry.getBlobBytes(app, digest)).toEqual(utf8("weights"))
      expect((yield* Effect.promise(() => Fs.stat(path))).nlink).toBe(1)
    })
  )

  it.scopedLive(
    "mounts a blob by another name of its file, or by a copy where that cannot be",
    () =>
      Effect.gen(function* () {
        const { registry, root } = yield* fresh
        const { digest } = yield* registry.putBlob(app, BlobSource.fromBytes(freshBytes("b1")))
        expect(yield* registry.mountBlob(name("other"), digest, app)).toBe(true)
        const inodes = yield* Effect.forEach(["app", "other"], (at) =>
          Effect.promise(() => Fs.stat(blobPath(Path.join(root, at), digest)))
        )
        expect(inodes[0]?.ino).toBe(inodes[1]?.ino)
        yield* registry.deleteBlob(app, digest)
        expect(Option.isSome(yield* registry.headBlob(name("other"), digest))).toBe(true)
        const unable = yield* changed(
          { path: root },
          {
            files: (files) => ({
              link: (from, to) =>
                to.includes("uploads")
                  ? Effect.fail(
                      new PlatformError.SystemError({
                        module: "FileSystem",
                        method: "link",
                        reason: "PermissionDenied"
                      })
                    )
                  : files.link(from, to)
            })
          }
        )
        expect(yield* unable.mountBlob(name("third"), digest, name("other"))).toBe(true)
        expect(Option.isSome(yield* registry.headBlob(name("third"), digest))).toBe(true)
      })
  )
})

describe("the lock (S1, V35)", () => {
  const lockOf = (layout: string) => Path.join(layout, ".effect-oci/lock")

  /** A layout whose lock somebody holds. */
  const held = (holder: object) =>
    Effect.gen(function* () {
      const { layout, registry, root } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      const number = yield* Effect.promise(async () => {
        const [last = "0"] = (await Fs.readdir(lockOf(layout))).toSorted().reverse()
        const next = String(Number(last) + 1)
        await Fs.writeFile(Path.join(lockOf(layout), next), JSON.stringify(holder))
        return next
      })
      const put = registry.putManifest(app, manifest, { tags: [tag("v1")] })
      return { layout, number, put, registry, root }
    })

  const ownProcess = Effect.provide(
    Effect.map(LayoutRegistry.System, ({ process }) => process),
    NodeLayout.layerSystem
  )
  const own = { pid: 4_194_305, started: "1", boot: "b", namespace: "n" }
  const isHeld = (put: Effect.Effect<unknown, unknown>) =>
    Effect.map(Effect.timeoutOption(put, "300 millis"), Option.isNone)

  it.scopedLive("displaces at once a holder of this namespace that does not run", () =>
    Effect.gen(function* () {
      const system = yield* ownProcess
      const { put } = yield* held({ ...own, boot: system?.boot, namespace: system?.namespace })
      expect(yield* isHeld(put)).toBe(false)
    })
  )

  it.scopedLive("displaces at once a holder whose number another process has by now", () =>
    Effect.gen(function* () {
      const system = yield* ownProcess
      const { put } = yield* held({ ...system, started: "1" })
      expect(yield* isHeld(put)).toBe(false)
    })
  )

  it.scopedLive("leaves a holder alone that runs", () =>
    Effect.gen(function* () {
      const system = yield* ownProcess
      const { put } = yield* held({ ...system })
      expect(yield* isHeld(put)).toBe(true)
    })
  )

  it.scopedLive.each([
    { where: "another pid namespace", holder: { namespace: "pid:[1]" } },
    { where: "another machine", holder: { boot: "another" } },
    { where: "no known system", holder: { pid: undefined } }
  ])("judges a holder of $where by its heartbeat alone", ({ holder }) =>
    Effect.gen(function* () {
      const system = yield* ownProcess
      const { layout, number, put, registry } = yield* held({
        ...system,
        pid: 4_194_305,
        ...holder
      })
      const beat = Effect.promise(() => {
        const now = new Date()
        return Fs.utimes(Path.join(lockOf(layout), number), now, now)
      })
      const patient = Effect.provideService(put, Heartbeat, { interval: 20, patience: 200 })
      const writer = yield* Effect.fork(patient)
      for (let beats = 0; beats < 20; beats++) yield* Effect.delay(beat, "30 millis")
      expect(Option.isNone(yield* Fiber.poll(writer))).toBe(true)
      yield* Fiber.join(writer)
      expect(yield* items(registry.tags(app))).toEqual(["v1"])
    })
  )

  it.scopedLive("does not write when it lost the lock, and makes its change again (V35)", () =>
    Effect.gen(function* () {
      const { layout, registry, root } = yield* fresh
      const [m1, m2] = yield* Effect.all([image(registry, app, "m1"), image(registry, app, "m2")])
      let stolen = 0
      const stalled = yield* changed(
        { path: root },
        {
          files: (files) => ({
            // While the new index is written, another writer comes and goes.
            open: (path, options) =>
              Effect.tap(files.open(path, options), () =>
                path.includes("index-") && stolen++ === 0
                  ? Effect.promise(async () => {
                      const [last = "0"] = (await Fs.readdir(lockOf(layout))).toSorted().reverse()
                      await Fs.rm(Path.join(lockOf(layout), last))
                      await Fs.writeFile(Path.join(lockOf(layout), String(Number(last) + 1)), "")
                    }).pipe(
                      Effect.zipRight(
                        Effect.orDie(registry.putManifest(app, m2, { tags: [tag("v2")] }))
                      )
                    )
                  : Effect.void
              )
          })
        }
      )
      yield* stalled.putManifest(app, m1, { tags: [tag("v1")] })
      expect(stolen).toBe(2)
      expect((yield* readIndex(layout)).manifests).toEqual([
        entry(m2, refName("v2")),
        entry(m1, refName("v1"))
      ])
    })
  )
})
