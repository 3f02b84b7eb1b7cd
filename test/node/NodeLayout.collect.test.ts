/** What is collected of layouts and what is not, and what is found to be wrong with them. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import type * as NodeLayout from "../../src/node/NodeLayout.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import { freshBytes, freshDigest, image, items, utf8 } from "../support/fixtures.js"
import {
  blobPath,
  changed,
  entry,
  fresh,
  refName,
  writeBlob,
  writeImage,
  writeIndex
} from "../support/layouts.js"
import { folder } from "../support/machine.js"

const name = Reference.unsafeParseRepositoryName
const tag = Reference.unsafeParseTag
const app = name("app")
/** Makes a blob two days old, and others as they are. */
const age = (layout: string, ...digests: ReadonlyArray<Digest.Digest>) =>
  Effect.promise(async () => {
    const then = new Date(Date.now() - 48 * 60 * 60 * 1000)
    for (const digest of digests) await Fs.utimes(blobPath(layout, digest), then, then)
  })

/** Makes all that is in a layout two days old. */
const ageAll = (layout: string) =>
  Effect.promise(async () => {
    const then = new Date(Date.now() - 48 * 60 * 60 * 1000)
    for (const file of await Fs.readdir(layout, { recursive: true }))
      await Fs.utimes(Path.join(layout, file), then, then)
  })

const put = (registry: NodeLayoutRegistry, text: string) =>
  registry.putBlob(app, BlobSource.fromBytes(utf8(text)))

type NodeLayoutRegistry = Effect.Effect.Success<ReturnType<typeof NodeLayout.make>>

describe("collect", () => {
  it.scopedLive("removes blobs that nothing refers to after a time, and says which", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      const lost = yield* put(registry, "lost")
      const young = yield* put(registry, "young")
      yield* ageAll(layout)
      yield* put(registry, "young")
      const expected = {
        blobs: [{ repository: app, digest: lost.digest, size: lost.size }],
        uploads: 0
      }
      expect(yield* registry.collect({ dryRun: true })).toEqual(expected)
      expect(yield* registry.collect()).toEqual(expected)
      expect(yield* registry.headBlob(app, lost.digest)).toEqual(Option.none())
      expect(Option.isSome(yield* registry.headBlob(app, young.digest))).toBe(true)
      expect((yield* registry.getManifest(app, tag("v1"))).bytes).toEqual(manifest.bytes)
      expect((yield* items(registry.verify())).map(({ _tag }) => _tag)).toEqual(["Unreferenced"])
    })
  )

  it.scopedLive("collects in one repository, and fails for one that is not there", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      yield* put(registry, "lost")
      yield* ageAll(layout)
      const other = name("other")
      expect(yield* Effect.flip(registry.collect({ repository: other }))).toMatchObject({
        _tag: "NameUnknown"
      })
      yield* registry.putBlob(other, BlobSource.fromBytes(utf8("x")))
      expect((yield* registry.collect({ repository: other })).blobs).toEqual([])
      expect((yield* registry.collect({ grace: "3 days" })).blobs).toEqual([])
      expect((yield* registry.collect()).blobs).toHaveLength(1)
    })
  )

  it.scopedLive(
    "keeps an upload that is resumed, and its blob, however old its bytes are (S6)",
    () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const session = yield* registry.startUpload(app)
        yield* session.write(utf8("half"))
        const state = yield* session.detach
        yield* ageAll(layout)
        const resumed = yield* registry.resumeUpload(state)
        expect(yield* registry.collect()).toEqual({ blobs: [], uploads: 0 })
        yield* ageAll(layout)
        const { digest } = yield* resumed.commit(Digest.fromBytes(utf8("half")))
        expect(yield* registry.collect()).toEqual({ blobs: [], uploads: 0 })
        expect(yield* registry.headBlob(app, digest)).toMatchObject(Option.some({ digest }))
      })
  )

  it.scopedLive("removes uploads that nobody went on with, and no others", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      yield* put(registry, "b1")
      const old = yield* registry.startUpload(app)
      yield* old.write(utf8("old"))
      const state = yield* old.detach
      yield* ageAll(layout)
      const young = yield* registry.startUpload(app)
      yield* young.write(utf8("young"))
      expect((yield* registry.collect()).uploads).toBe(1)
      expect(yield* Effect.flip(registry.resumeUpload(state))).toMatchObject({
        _tag: "UploadUnknown"
      })
      expect(yield* young.status).toMatchObject({ offset: 5 })
    })
  )

  it.scopedLive("removes uploads to a repository that never came into being", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      yield* Effect.scoped(
        Effect.flatMap(registry.startUpload(app), (session) =>
          Effect.zipRight(session.write(utf8("old")), session.detach)
        )
      )
      yield* ageAll(layout)
      expect(yield* registry.collect({ dryRun: true })).toEqual({ blobs: [], uploads: 1 })
      expect(yield* registry.collect()).toEqual({ blobs: [], uploads: 1 })
      expect(yield* registry.collect()).toEqual({ blobs: [], uploads: 0 })
      expect(yield* items(registry.repositories())).toEqual([])
    })
  )

  describe("grace (S6)", () => {
    const ways = {
      "a put of what is there": (registry, digest) =>
        Effect.asVoid(registry.putBlob(app, { ...BlobSource.fromBytes(utf8("old")), digest })),
      "a HEAD that finds it": (registry, digest) => Effect.asVoid(registry.headBlob(app, digest)),
      "a mount to another repository and back": (registry, digest) =>
        Effect.zipRight(
          registry.mountBlob(name("other"), digest, app),
          Effect.asVoid(registry.mountBlob(app, digest, name("other")))
        ),
      "a manifest that refers to it": (registry, digest) =>
        Effect.asVoid(
          registry.putManifest(
            app,
            Manifest.image({
              config: { mediaType: MediaType.imageConfig, digest, size: 3 },
              layers: []
            })
          )
        )
    } satisfies Record<
      string,
      (registry: NodeLayoutRegistry, digest: Digest.Digest) => Effect.Effect<void, unknown>
    >
    it.scopedLive.each(Object.entries(ways))("is renewed by %s", ([, way]) =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const { digest } = yield* put(registry, "old")
        yield* age(layout, digest)
        yield* way(registry, digest)
        expect((yield* registry.collect()).blobs).toEqual([])
        expect(Option.isSome(yield* registry.headBlob(app, digest))).toBe(true)
      })
    )

    it.scopedLive(
      "holds for a hard link to an old blob, in the repository that it is mounted to",
      () =>
        Effect.gen(function* () {
          const { layout, registry } = yield* fresh
          const { digest } = yield* put(registry, "old")
          yield* age(layout, digest)
          const other = name("other")
          expect(yield* registry.mountBlob(other, digest, app)).toBe(true)
          expect((yield* registry.collect({ repository: other })).blobs).toEqual([])
        })
    )
  })

  describe("roots (S7)", () => {
    it.scopedLive("keeps what another program's manifest refers to that came in the middle", () =>
      Effect.gen(function* () {
        const root = yield* folder()
        const layout = Path.join(root, "app")
        const late = yield* writeImage(layout)
        yield* writeIndex(layout, [])
        yield* ageAll(layout)
        let isLate = false
        const registry = yield* changed(
          { path: root },
          {
            files: (files) => ({
              // The lock is taken, and what is to be removed is known by now.
              link: (from, to) =>
                Effect.zipRight(
                  isLate
                    ? Effect.void
                    : Effect.suspend(() => {
                        isLate = true
                        return writeIndex(layout, [entry(late, refName("late"))])
                      }),
                  files.link(from, to)
                )
            })
          }
        )
        expect((yield* registry.collect()).blobs).toEqual([])
        expect(isLate).toBe(true)
        expect((yield* registry.getManifest(app, tag("late"))).bytes).toEqual(late.bytes)
        expect(yield* items(registry.verify())).toEqual([])
      })
    )

    it.scopedLive("gives back what somebody relied on while it was being removed", () =>
      Effect.gen(function* () {
        const { layout, registry, root } = yield* fresh
        const { digest } = yield* put(registry, "old")
        yield* age(layout, digest)
        const collecting = yield* changed(
          { path: root },
          {
            files: (files) => ({
              rename: (from, to) =>
                Effect.zipRight(
                  from === blobPath(layout, digest)
                    ? Effect.orDie(registry.headBlob(app, digest))
                    : Effect.void,
                  files.rename(from, to)
                )
            })
          }
        )
        expect((yield* collecting.collect()).blobs).toEqual([])
        expect(Option.isSome(yield* registry.headBlob(app, digest))).toBe(true)
      })
    )

    it.scopedLive("brings back what a collection had moved when its process was killed", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const manifest = yield* image(registry, app, "m1")
        yield* registry.putManifest(app, manifest)
        const { digest } = manifest.descriptor
        const removed = Path.join(layout, ".effect-oci/removed")
        yield* Effect.promise(async () => {
          await Fs.mkdir(removed)
          await Fs.rename(blobPath(layout, digest), Path.join(removed, digest.replace(":", "~")))
        })
        yield* registry.collect()
        expect((yield* registry.getManifest(app, digest)).bytes).toEqual(manifest.bytes)
      })
    )

    it.scopedLive("lets writers write meanwhile", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        yield* Effect.forEach(
          Array.from({ length: 300 }, (_, n) => `lost ${n}`),
          (text) => writeBlob(layout, utf8(text)),
          { concurrency: 16 }
        )
        yield* writeIndex(layout, [])
        yield* ageAll(layout)
        const manifest = yield* image(registry, app, "m1")
        const collecting = yield* Effect.fork(registry.collect())
        let longest = 0
        for (let n = 0; n < 10; n++) {
          const start = Date.now()
          yield* registry.putManifest(app, manifest, { tags: [tag(`v${n}`)] })
          longest = Math.max(longest, Date.now() - start)
        }
        expect(longest).toBeLessThan(1000)
        expect((yield* Fiber.join(collecting)).blobs).toHaveLength(300)
        expect((yield* items(registry.verify())).map(({ _tag }) => _tag)).toEqual([])
      })
    )
  })

  describe("what is reached (S8)", () => {
    const unknownType = "application/vnd.example.unknown+json"

    it.scopedLive("counts digests in documents of unknown type, and goes on through them", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const inner = yield* writeImage(layout)
        const odd = yield* writeBlob(layout, utf8("odd"))
        const document = utf8(
          JSON.stringify({
            parts: [{ [odd.digest]: 1 }, { deep: { at: inner.descriptor.digest } }]
          })
        )
        const middle = yield* writeBlob(layout, document)
        const outer = yield* writeBlob(layout, utf8(JSON.stringify({ leadsTo: middle.digest })))
        yield* writeIndex(layout, [{ mediaType: unknownType, ...outer }])
        yield* ageAll(layout)
        expect((yield* registry.collect()).blobs).toEqual([])
      })
    )

    it.scopedLive("takes one digest under two media types for what both say", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const inner = yield* writeImage(layout)
        // As a layer of one manifest it is at its end, as a manifest of an index it is not.
        const config = yield* writeBlob(layout, utf8("{}"))
        const asLayer = Manifest.image({
          config: { mediaType: MediaType.empty, ...config },
          layers: [{ ...inner.descriptor, mediaType: MediaType.layerTar }],
          artifactType: "application/vnd.example"
        })
        yield* writeBlob(layout, asLayer.bytes)
        const index = Manifest.index({ manifests: [inner.descriptor] })
        yield* writeBlob(layout, index.bytes)
        yield* writeIndex(layout, [entry(asLayer), entry(index)])
        yield* ageAll(layout)
        expect((yield* registry.collect()).blobs).toEqual([])
      })
    )

    it.scopedLive("takes nothing of an unknown type for a document that is too large for one", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const report = new Uint8Array(65 * 1024 * 1024).fill(32)
        report.set(utf8("{"))
        const blob = yield* writeBlob(layout, report)
        const document = yield* writeBlob(layout, utf8(JSON.stringify({ blobs: [blob] })))
        yield* writeIndex(layout, [{ mediaType: MediaType.artifactManifest, ...document }])
        yield* writeBlob(layout, freshBytes("nobody's"))
        yield* ageAll(layout)
        expect((yield* registry.collect()).blobs).toHaveLength(1)
      })
    )

    it.scopedLive("removes nothing where a manifest cannot be read", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const manifest = yield* image(registry, app, "m1")
        yield* registry.putManifest(app, manifest)
        yield* put(registry, "lost")
        const path = blobPath(layout, manifest.descriptor.digest)
        yield* Effect.promise(() =>
          Fs.writeFile(
            path,
            manifest.bytes.map((byte) => byte ^ 1)
          )
        )
        yield* ageAll(layout)
        expect(yield* Effect.flip(registry.collect())).toMatchObject({ _tag: "DigestMismatch" })
        expect(
          (yield* Effect.promise(() => Fs.readdir(Path.join(layout, "blobs/sha256")))).length
        ).toBe(4)
      })
    )

    it.scopedLive("removes nothing where a manifest of the index is lost, or is empty (V34)", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const manifest = yield* image(registry, app, "m1")
        yield* registry.putManifest(app, manifest, { tags: [tag("a")] })
        const index = Manifest.index({ manifests: [manifest.descriptor] })
        yield* registry.putManifest(app, index, { tags: [tag("b")] })
        const path = blobPath(layout, manifest.descriptor.digest)
        const collected = Effect.zipRight(ageAll(layout), registry.collect())
        const refused = expect.objectContaining({
          _tag: "StorageFailure",
          path,
          message: expect.stringContaining("Put it again, or delete it")
        })
        yield* Effect.promise(() => Fs.truncate(path))
        expect(yield* Effect.flip(collected)).toEqual(refused)
        yield* writeIndex(layout, [entry(index)])
        expect(yield* Effect.flip(collected)).toEqual(refused)
        yield* writeIndex(layout, [entry(index), entry(manifest)])
        yield* Effect.promise(() => Fs.rm(path))
        expect(yield* Effect.flip(collected)).toEqual(refused)
        // An image index may name what was not copied.
        yield* registry.deleteManifest(app, manifest.descriptor.digest)
        expect((yield* collected).blobs).toHaveLength(2)
      })
    )

    it.scopedLive("removes nothing without an index.json", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        yield* registry.putManifest(app, yield* image(registry, app, "m1"))
        const path = Path.join(layout, "index.json")
        yield* Effect.promise(() => Fs.rm(path))
        yield* ageAll(layout)
        expect(yield* Effect.flip(registry.collect())).toMatchObject({
          _tag: "StorageFailure",
          path
        })
        expect((yield* items(registry.verify()))[0]).toEqual({
          _tag: "Unreadable",
          repository: app,
          path,
          problem: "it is missing"
        })
      })
    )

    it.scopedLive("removes nothing that its own folder leads to by a link", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const elsewhere = yield* folder()
        yield* writeIndex(layout, [])
        yield* Effect.promise(async () => {
          await Fs.mkdir(Path.join(elsewhere, "uploads"))
          await Fs.writeFile(Path.join(elsewhere, "uploads", "notes.txt"), "a user's")
          await Fs.symlink(elsewhere, Path.join(layout, ".effect-oci"))
        })
        yield* ageAll(elsewhere)
        expect(yield* Effect.flip(registry.collect())).toMatchObject({ _tag: "StorageFailure" })
        expect(yield* Effect.promise(() => Fs.readdir(elsewhere, { recursive: true }))).toEqual([
          "uploads",
          "uploads/notes.txt"
        ])
      })
    )

    it.scopedLive("keeps what stands anywhere in the index", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const member = yield* writeImage(layout)
        const annotated = yield* writeImage(layout)
        const lost = yield* writeBlob(layout, freshBytes("lost"))
        yield* writeIndex(
          layout,
          [entry(yield* writeImage(layout), { base: annotated.descriptor.digest })],
          { "org.example": { [member.descriptor.digest]: true } }
        )
        yield* ageAll(layout)
        expect((yield* registry.collect()).blobs.map(({ digest }) => digest)).toEqual([lost.digest])
      })
    )

    it.scopedLive("keeps what entries lead to that are no descriptors", () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const manifest = yield* writeImage(layout)
        yield* writeIndex(layout, [{ custom: { ref: manifest.descriptor.digest } }])
        yield* ageAll(layout)
        expect((yield* registry.collect()).blobs).toEqual([])
      })
    )
  })
})

describe("verify", () => {
  it.scopedLive("finds nothing wrong with what was put", () =>
    Effect.gen(function* () {
      const { registry } = yield* fresh
      for (const repository of [app, name("team/app")]) {
        const manifest = yield* image(registry, repository, "m1")
        yield* registry.putManifest(repository, manifest, { tags: [tag("a"), tag("b")] })
        const index = Manifest.index({ manifests: [manifest.descriptor] })
        yield* registry.putManifest(repository, index)
      }
      expect(yield* items(registry.verify())).toEqual([])
      expect(yield* items(registry.verify(app))).toEqual([])
      expect(yield* Effect.flip(items(registry.verify(name("none"))))).toMatchObject({
        _tag: "NameUnknown"
      })
    })
  )

  it.scopedLive(
    "reports what is missing, corrupt, of a wrong size, ambiguous or unreferenced",
    () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const gone = freshDigest()
        const lost = yield* writeBlob(layout, freshBytes("lost"))
        const bad = yield* writeBlob(layout, utf8("before"))
        yield* Effect.promise(() => Fs.writeFile(blobPath(layout, bad.digest), "after"))
        const config = yield* writeBlob(layout, utf8("{}"))
        const broken = Manifest.image({
          config: { mediaType: MediaType.imageConfig, ...config, size: 3 },
          layers: [
            { mediaType: MediaType.layerTar, digest: gone, size: 5 },
            { mediaType: MediaType.nonDistributableLayerTar, digest: freshDigest(), size: 5 },
            { mediaType: MediaType.layerTar, ...bad, size: 5 }
          ]
        })
        yield* writeBlob(layout, broken.bytes)
        const whole = yield* writeImage(layout)
        const absent = Descriptor.fromBytes(freshBytes("absent"), MediaType.imageManifest)
        yield* writeIndex(layout, [
          entry(broken, refName("v1")),
          entry(whole, refName("v1")),
          absent
        ])
        const neededBy = broken.descriptor.digest
        const found = yield* items(registry.verify())
        expect(found).toHaveLength(6)
        expect(found).toEqual(
          expect.arrayContaining([
            {
              _tag: "AmbiguousTag",
              repository: app,
              tag: "v1",
              digests: [broken.descriptor.digest, whole.descriptor.digest]
            },
            expect.objectContaining({
              _tag: "Corrupt",
              repository: app,
              digest: bad.digest,
              size: 5
            }),
            { _tag: "Missing", repository: app, digest: absent.digest },
            { _tag: "Missing", repository: app, digest: gone, neededBy },
            {
              _tag: "WrongSize",
              repository: app,
              digest: config.digest,
              expected: 3,
              actual: 2,
              neededBy
            },
            { _tag: "Unreferenced", repository: app, digest: lost.digest, size: lost.size }
          ])
        )
      })
  )

  it.scopedLive("is lazy, and stops where its reader does", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      yield* writeIndex(layout, [])
      for (let n = 0; n < 3; n++) {
        const { digest } = yield* writeBlob(layout, freshBytes("b"))
        yield* Effect.promise(() => Fs.writeFile(blobPath(layout, digest), "bad"))
      }
      const first = yield* items(Stream.take(registry.verify(), 1))
      expect(first).toMatchObject([{ _tag: "Corrupt" }])
    })
  )
})
