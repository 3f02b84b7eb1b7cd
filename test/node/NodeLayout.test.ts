import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as BlobSource from "../../src/BlobSource.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import { freshBytes, freshDigest, image, items, utf8 } from "../support/fixtures.js"
import {
  blobPath,
  entry,
  failures,
  fresh,
  readIndex,
  refName,
  writeBlob,
  writeImage,
  writeIndex
} from "../support/layouts.js"
import { folder } from "../support/machine.js"

const name = Reference.unsafeParseRepositoryName
const tag = Reference.unsafeParseTag
const app = name("app")

describe("where layouts are", () => {
  it.scopedLive("a tree of layouts is a registry, and what is not a layout is not of it", () =>
    Effect.gen(function* () {
      const { registry, root } = yield* fresh
      for (const repository of ["app", "team/app", "team/app/web"]) {
        yield* registry.putBlob(name(repository), BlobSource.fromBytes(freshBytes("b1")))
        expect(yield* items(registry.tags(name(repository)))).toEqual([])
      }
      yield* Effect.promise(() => Fs.mkdir(Path.join(root, "empty/blobs"), { recursive: true }))
      yield* Effect.promise(() => Fs.writeFile(Path.join(root, "README.md"), "hello"))
      yield* Effect.promise(() => Fs.symlink("app", Path.join(root, "other")))
      expect(yield* items(registry.repositories())).toEqual(["app", "team/app", "team/app/web"])
      const again = yield* NodeLayout.make({ path: root })
      expect(yield* items(again.repositories())).toEqual(["app", "team/app", "team/app/web"])
    })
  )

  it.scopedLive("repositories have the names that a layout uses itself", () =>
    Effect.gen(function* () {
      const { registry, root } = yield* fresh
      const names = ["a", "a/blobs", "a/blobs/sha256", "a/index.json", "a/oci-layout", "blobs"]
      for (const repository of names) {
        const manifest = yield* image(registry, name(repository), "m1")
        yield* registry.putManifest(name(repository), manifest, { tags: [tag("v1")] })
      }
      const again = yield* NodeLayout.make({ path: root })
      expect(yield* items(again.repositories())).toEqual(names.toSorted())
      for (const repository of names)
        expect(yield* items(again.tags(name(repository)))).toEqual(["v1"])
    })
  )

  it.scopedLive("one folder is one repository, by the name that is given", () =>
    Effect.gen(function* () {
      const { layout, registry, root } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      const own = name("library/app")
      const one = yield* NodeLayout.make({ path: layout, repository: own })
      expect(yield* items(one.repositories())).toEqual([own])
      expect((yield* one.getManifest(own, tag("v1"))).bytes).toEqual(manifest.bytes)
      const blob = BlobSource.fromBytes(utf8("x"))
      const errors = yield* failures(one.putBlob(app, blob), one.getManifest(app, tag("v1")))
      for (const error of errors)
        expect(error).toMatchObject({ _tag: "NameUnknown", repository: "app" })
      expect(yield* one.headBlob(app, freshDigest())).toEqual(Option.none())
      expect((yield* Effect.flip(NodeLayout.make({ path: layout }))).message).toContain(
        "name it with the option repository"
      )
      const file = Path.join(root, "file")
      yield* Effect.promise(() => Fs.writeFile(file, ""))
      expect((yield* Effect.flip(NodeLayout.make({ path: file }))).message).toContain(
        "it is not a folder"
      )
    })
  )

  it.scopedLive("reading makes no folders, and a file in the way is no repository", () =>
    Effect.gen(function* () {
      const root = yield* folder({ readme: "hello" })
      const registry = yield* NodeLayout.make({ path: root })
      for (const repository of [name("none"), name("readme"), name("readme/below")]) {
        const state = {
          repository,
          location: `/v2/${repository}/blobs/uploads/00000000-0000-0000-0000-000000000000`,
          offset: 0
        }
        expect(yield* registry.headBlob(repository, freshDigest())).toEqual(Option.none())
        expect(yield* registry.headManifest(repository, tag("v1"))).toEqual(Option.none())
        expect(yield* items(registry.referrers(repository, freshDigest()))).toEqual([])
        const errors = yield* failures(
          registry.getManifest(repository, tag("v1")),
          items(registry.tags(repository)),
          registry.deleteBlob(repository, freshDigest()),
          Effect.scoped(registry.resumeUpload(state))
        )
        expect(errors.map(({ _tag }) => _tag)).toEqual([
          "NameUnknown",
          "NameUnknown",
          "NameUnknown",
          "UploadUnknown"
        ])
      }
      expect(yield* Effect.promise(() => Fs.readdir(root))).toEqual(["readme"])
    })
  )

  it.scopedLive("a layout of another version is not read", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      yield* writeIndex(layout, [])
      yield* Effect.promise(() =>
        Fs.writeFile(Path.join(layout, "oci-layout"), `{"imageLayoutVersion":"2.0.0"}`)
      )
      const error = yield* Effect.flip(items(registry.tags(app)))
      expect(error).toMatchObject({ _tag: "StorageFailure" })
      expect(error.message).toContain("imageLayoutVersion")
    })
  )

  it.scopedLive("writes files that the specification demands, and nothing else into blobs", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      const header = yield* Effect.promise(() =>
        Fs.readFile(Path.join(layout, "oci-layout"), "utf8")
      )
      expect(header).toBe(`{"imageLayoutVersion":"1.0.0"}`)
      expect(yield* readIndex(layout)).toEqual({
        schemaVersion: 2,
        mediaType: MediaType.imageIndex,
        manifests: [entry(manifest, refName("v1"))]
      })
      expect(yield* Effect.promise(() => Fs.readdir(Path.join(layout, "blobs")))).toEqual([
        "sha256"
      ])
      const blobs = yield* Effect.promise(() => Fs.readdir(Path.join(layout, "blobs/sha256")))
      expect(blobs).toHaveLength(3)
      for (const blob of blobs) {
        const bytes = yield* Effect.promise(() =>
          Fs.readFile(Path.join(layout, "blobs/sha256", blob))
        )
        expect(Digest.fromBytes(bytes)).toBe(`sha256:${blob}`)
      }
      expect(
        yield* Effect.promise(() => Fs.readdir(Path.join(layout, ".effect-oci/uploads")))
      ).toEqual([])
    })
  )
})

describe("names of other programs (S2, S3)", () => {
  const image1 = "io.containerd.image.name"
  it.scopedLive.each([
    { writer: "skopeo", annotations: refName("1.0"), tags: ["1.0"] },
    { writer: "podman", annotations: refName("docker.io/library/app:1.0"), tags: ["1.0"] },
    {
      writer: "podman, by digest",
      annotations: refName(`docker.io/a/b:1.0@sha256:${"a".repeat(64)}`),
      tags: ["1.0"]
    },
    {
      writer: "podman, a host with a port",
      annotations: refName("localhost:5000/app:1.0"),
      tags: ["1.0"]
    },
    {
      writer: "podman, without a tag",
      annotations: refName("localhost:5000/app"),
      tags: ["latest"]
    },
    {
      writer: "BuildKit",
      annotations: { ...refName("1.0"), [image1]: "docker.io/library/app:1.0" },
      tags: ["1.0"]
    },
    { writer: "containerd", annotations: { [image1]: "docker.io/library/app:1.0" }, tags: ["1.0"] },
    // All of it is in the grammar of digests too.
    { writer: "skopeo, a name of one part", annotations: refName("redis:7"), tags: ["7"] },
    {
      writer: "no known program, a digest",
      annotations: refName(`sha256:${"a".repeat(64)}`),
      tags: ["latest"]
    },
    { writer: "skopeo, without a name", annotations: undefined, tags: ["latest"] },
    { writer: "no known program", annotations: refName("no+tag"), tags: ["latest"] }
  ])("reads the tag of an entry of $writer", ({ annotations, tags }) =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const manifest = yield* writeImage(layout)
      yield* writeIndex(layout, [entry(manifest, annotations)])
      expect(yield* items(registry.tags(app))).toEqual(tags)
      const [first = "none"] = tags
      expect((yield* registry.getManifest(app, tag(first))).bytes).toEqual(manifest.bytes)
      expect((yield* registry.getManifest(app, manifest.descriptor.digest)).bytes).toEqual(
        manifest.bytes
      )
    })
  )

  it.scopedLive("takes what was put without a tag for untagged, not for latest", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest)
      expect(yield* items(registry.tags(app))).toEqual([])
      expect(yield* registry.headManifest(app, tag("latest"))).toEqual(Option.none())
      yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      expect((yield* readIndex(layout)).manifests).toEqual([entry(manifest, refName("v1"))])
    })
  )

  it.scopedLive(
    "keeps one entry for each manifest and name, and no name for several manifests",
    () =>
      Effect.gen(function* () {
        const { layout, registry } = yield* fresh
        const m1 = yield* image(registry, app, "m1")
        const m2 = yield* image(registry, app, "m2")
        yield* registry.putManifest(app, m1, { tags: [tag("a"), tag("b")] })
        yield* registry.putManifest(app, m1)
        yield* registry.putManifest(app, m2, { tags: [tag("a"), tag("c")] })
        expect((yield* readIndex(layout)).manifests).toEqual([
          entry(m1, refName("b")),
          entry(m2, refName("a")),
          entry(m2, refName("c"))
        ])
        yield* registry.deleteTag(app, tag("b"))
        expect((yield* registry.getManifest(app, m1.descriptor.digest)).bytes).toEqual(m1.bytes)
        expect((yield* readIndex(layout)).manifests).toHaveLength(3)
        expect(yield* items(registry.tags(app))).toEqual(["a", "c"])
      })
  )

  it.scopedLive("says which manifests a name stands on, if they are several", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const [m1, m2] = yield* Effect.all([writeImage(layout), writeImage(layout)])
      yield* writeIndex(layout, [entry(m1, refName("1.0")), entry(m2, refName("1.0"))])
      const error = yield* Effect.flip(registry.getManifest(app, tag("1.0")))
      expect(error).toMatchObject({ _tag: "StorageFailure" })
      expect(error.message).toContain(m1.descriptor.digest)
      expect(error.message).toContain(m2.descriptor.digest)
      expect(yield* items(registry.tags(app))).toEqual(["1.0"])
      yield* registry.putManifest(app, m2, { tags: [tag("1.0")] })
      expect((yield* registry.getManifest(app, tag("1.0"))).bytes).toEqual(m2.bytes)
      expect((yield* registry.getManifest(app, m1.descriptor.digest)).bytes).toEqual(m1.bytes)
    })
  )

  it.scopedLive("prefers the name to references that end alike, and keeps those", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const [m1, m2, m3] = yield* Effect.all([
        writeImage(layout),
        writeImage(layout),
        writeImage(layout)
      ])
      yield* writeIndex(layout, [
        entry(m1, refName("docker.io/library/one:1.0")),
        entry(m2, refName("docker.io/library/two:1.0"))
      ])
      expect((yield* Effect.flip(registry.headManifest(app, tag("1.0"))))._tag).toBe(
        "StorageFailure"
      )
      yield* registry.putManifest(app, m3, { tags: [tag("1.0")] })
      expect((yield* registry.getManifest(app, tag("1.0"))).bytes).toEqual(m3.bytes)
      expect((yield* readIndex(layout)).manifests.map((at) => at.annotations)).toEqual([
        refName("docker.io/library/one:1.0"),
        refName("docker.io/library/two:1.0"),
        refName("1.0")
      ])
    })
  )

  it.scopedLive("moves the name of another program, and leaves its manifest without one", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const m1 = yield* writeImage(layout)
      yield* writeIndex(layout, [
        entry(m1, { ...refName("docker.io/library/app:1.0"), other: "x" })
      ])
      const m2 = yield* image(registry, app, "m2")
      yield* registry.putManifest(app, m2, { tags: [tag("1.0")] })
      expect((yield* registry.getManifest(app, tag("1.0"))).bytes).toEqual(m2.bytes)
      expect((yield* registry.getManifest(app, m1.descriptor.digest)).bytes).toEqual(m1.bytes)
      expect(yield* items(registry.tags(app))).toEqual(["1.0"])
      expect((yield* readIndex(layout)).manifests[0]?.annotations).toMatchObject({ other: "x" })
    })
  )
})

describe("what other programs wrote", () => {
  it.scopedLive("keeps names that are no tags", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const [m1, m2] = [yield* writeImage(layout), yield* writeImage(layout)]
      const named = { ...refName("v1.0+build"), "io.containerd.image.name": "docker.io/a/b:1" }
      yield* writeIndex(layout, [entry(m1, refName("v1.0+build"))])
      expect(yield* items(registry.tags(app))).toEqual(["latest"])
      yield* registry.putManifest(app, m1, { tags: [tag("v1")] })
      yield* registry.putManifest(app, m2, { tags: [tag("latest")] })
      expect((yield* readIndex(layout)).manifests).toEqual([
        entry(m1, refName("v1.0+build")),
        entry(m1, refName("v1")),
        entry(m2, refName("latest"))
      ])
      yield* writeIndex(layout, [entry(m1, named)])
      yield* registry.deleteTag(app, tag("1"))
      expect((yield* readIndex(layout)).manifests).toEqual([
        entry(m1, { ...refName("v1.0+build"), "effect-oci.untagged": "true" })
      ])
      expect(yield* items(registry.tags(app))).toEqual([])
    })
  )

  it.scopedLive("keeps what is not known of the index, its entries and its blobs", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const m1 = yield* writeImage(layout)
      const first = {
        ...entry(m1, { ...refName("a"), "org.example.made": "by hand" }),
        platform: { architecture: "amd64", os: "linux" },
        "org.example.extra": [1, 2]
      }
      const foreign = [{ mediaType: "text/plain" }, "no descriptor"]
      const members = { annotations: { own: "1" }, "org.example": { nested: true } }
      yield* writeIndex(layout, [first, ...foreign], members)
      const m2 = yield* image(registry, app, "m2")
      yield* registry.putManifest(app, m2, { tags: [tag("b")] })
      expect(yield* readIndex(layout)).toEqual({
        schemaVersion: 2,
        ...members,
        manifests: [first, ...foreign, entry(m2, refName("b"))]
      })
    })
  )

  it.scopedLive("reads from a manifest what its entry does not say", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const config = yield* writeBlob(layout, utf8("{}"))
      const mediaType = MediaType.imageManifest
      const bytes = utf8(
        JSON.stringify({
          schemaVersion: 2,
          mediaType,
          config: { mediaType: MediaType.imageConfig, ...config },
          layers: []
        })
      )
      const { digest, size } = yield* writeBlob(layout, bytes)
      yield* writeIndex(layout, [{ digest, annotations: refName("a") }])
      for (const reference of [tag("a"), digest])
        expect(yield* registry.headManifest(app, reference)).toEqual(
          Option.some({ mediaType, digest, size })
        )
    })
  )

  it.scopedLive("keeps the file of a deleted manifest that is content of another one", () =>
    Effect.gen(function* () {
      const { registry } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest, { tags: [tag("a")] })
      const holder = yield* image(registry, app, "m2")
      if (holder.content._tag !== "ImageManifest") throw new Error("m2 is an image")
      const { digest } = manifest.descriptor
      const other = Manifest.image({
        config: holder.content.config,
        layers: [{ ...manifest.descriptor, mediaType: "application/vnd.example" }]
      })
      yield* registry.putManifest(app, other)
      yield* registry.deleteManifest(app, digest)
      expect(yield* Effect.flip(registry.getManifest(app, digest))).toMatchObject({
        _tag: "ManifestUnknown"
      })
      expect(yield* registry.getBlobBytes(app, digest)).toEqual(manifest.bytes)
      const findings = yield* items(registry.verify())
      expect(findings.filter(({ _tag }) => _tag !== "Unreferenced")).toEqual([])
    })
  )

  it.scopedLive("finds the manifests of a nested index, and removes one of them", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const m1 = yield* writeImage(layout)
      const inner = Manifest.index({ manifests: [entry(m1)] })
      yield* writeBlob(layout, inner.bytes)
      const outer = Manifest.index({ manifests: [entry(inner)] })
      yield* writeBlob(layout, outer.bytes)
      yield* writeIndex(layout, [entry(outer, refName("all"))])
      for (const { bytes, descriptor } of [outer, inner, m1]) {
        const found = yield* registry.getManifest(app, descriptor.digest)
        expect(found.bytes).toEqual(bytes)
        expect(yield* registry.headManifest(app, descriptor.digest)).toEqual(
          Option.some(descriptor)
        )
      }
      yield* registry.deleteManifest(app, m1.descriptor.digest)
      expect(yield* Effect.flip(registry.getManifest(app, m1.descriptor.digest))).toMatchObject({
        _tag: "ManifestUnknown"
      })
      expect(yield* Effect.flip(registry.deleteManifest(app, m1.descriptor.digest))).toMatchObject({
        _tag: "ManifestUnknown"
      })
    })
  )

  it.scopedLive("takes no layer that an index lists for a manifest, and reads none (CP15)", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const config = yield* writeBlob(layout, utf8('{"layers":[]}'))
      // Larger than any manifest that is read: that would be said in a warning.
      const layer = yield* writeBlob(layout, new Uint8Array(65 * 1024 * 1024))
      const draft = utf8('{"blobs":[]}')
      const artifact = {
        ...(yield* writeBlob(layout, draft)),
        mediaType: MediaType.artifactManifest
      }
      const cache = Manifest.index({
        manifests: [
          { mediaType: MediaType.layerTarGzip, ...layer },
          { mediaType: "application/vnd.buildkit.cacheconfig.v0", ...config },
          artifact
        ]
      })
      yield* writeBlob(layout, cache.bytes)
      yield* writeIndex(layout, [entry(cache)])
      const said: Array<unknown> = []
      const logger = Logger.make(({ message }) => said.push(message))
      yield* Effect.provide(
        registry.headBlob(app, layer.digest),
        Logger.replace(Logger.defaultLogger, logger)
      )
      expect(said).toEqual([])
      for (const { digest } of [layer, config]) {
        expect(yield* registry.headManifest(app, digest)).toEqual(Option.none())
        const errors = yield* failures(
          registry.getManifest(app, digest),
          registry.deleteManifest(app, digest)
        )
        expect(errors.map(({ _tag }) => _tag)).toEqual(["ManifestUnknown", "ManifestUnknown"])
        expect(Option.isSome(yield* registry.headBlob(app, digest))).toBe(true)
      }
      const listed = yield* items(registry.manifests(app))
      expect(listed.map(({ descriptor }) => descriptor)).toEqual([cache.descriptor, artifact])
    })
  )

  it.scopedLive("lists no referrer that was deleted and still stands in an index", () =>
    Effect.gen(function* () {
      const { registry } = yield* fresh
      const subject = yield* image(registry, app, "m1")
      const options = { subject: subject.descriptor, artifactType: "application/x" }
      const referrer = yield* image(registry, app, "m2", options)
      yield* registry.putManifest(app, referrer)
      const index = Manifest.index({ manifests: [referrer.descriptor] })
      yield* registry.putManifest(app, index, { tags: [tag("v1")] })
      expect(yield* items(registry.referrers(app, subject.descriptor.digest))).toHaveLength(1)
      yield* registry.deleteManifest(app, referrer.descriptor.digest)
      expect(yield* items(registry.referrers(app, subject.descriptor.digest))).toEqual([])
    })
  )

  it.scopedLive("says first that a condition does not hold, and stores nothing then", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      const other = Manifest.index({ manifests: [Descriptor.empty] })
      const onlyIf = { tag: tag("v1"), is: "absent" } as const
      expect(yield* failures(registry.putManifest(app, other, { onlyIf }))).toMatchObject([
        { _tag: "PreconditionFailed", actual: manifest.descriptor.digest }
      ])
      const path = blobPath(layout, other.descriptor.digest)
      expect(yield* Effect.promise(() => Fs.stat(path).catch(() => "absent"))).toBe("absent")
    })
  )

  it.scopedLive("does not take the file of a deleted manifest for one that is there (R12)", () =>
    Effect.gen(function* () {
      const { registry } = yield* fresh
      const manifest = yield* image(registry, app, "m1")
      const { digest } = yield* registry.putManifest(app, manifest, { tags: [tag("v1")] })
      const index = Manifest.index({ manifests: [manifest.descriptor] })
      yield* registry.putManifest(app, index)
      yield* registry.deleteManifest(app, index.descriptor.digest)
      yield* registry.deleteManifest(app, digest)
      expect(yield* failures(registry.putManifest(app, index))).toMatchObject([
        { _tag: "BlobUnknown", digest }
      ])
      expect(yield* registry.headManifest(app, digest)).toEqual(Option.none())
      yield* registry.putManifest(app, manifest)
      yield* registry.putManifest(app, index)
      expect(yield* registry.getManifest(app, digest)).toEqual(manifest)
    })
  )

  it.scopedLive("sees what another program writes meanwhile, in place or under a new file", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const [m1, m2] = yield* Effect.all([writeImage(layout), writeImage(layout)])
      for (const manifest of [m1, m2, m1, m2]) {
        yield* writeIndex(layout, [entry(manifest, refName("a"))])
        expect((yield* registry.getManifest(app, tag("a"))).bytes).toEqual(manifest.bytes)
      }
    })
  )
})
