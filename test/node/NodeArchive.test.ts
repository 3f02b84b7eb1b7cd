/** Archives of images, read and written. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as Copy from "../../src/content/Copy.js"
import * as NodeArchive from "../../src/node/NodeArchive.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import type { Registry } from "../../src/Registry.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import * as SignedManifest from "../../src/spec/SignedManifest.js"
import * as Archive from "../../src/store/Archive.js"
import {
  app,
  configOf,
  file,
  imagesFile,
  layerOf,
  layoutFiles,
  link,
  memory,
  putImage,
  putIndex,
  save,
  source,
  tag,
  zstdOf
} from "../support/archives.js"
import { freshDigest, gather, items, utf8 } from "../support/fixtures.js"
import { failures, refName } from "../support/layouts.js"
import { folder } from "../support/machine.js"
import * as Tar from "../support/tar.js"

/** Reads an archive of these entries. */
const readEntries = (...entries: ReadonlyArray<Uint8Array>) =>
  Effect.flatMap(save(Tar.archive(...entries)), (path) => NodeArchive.read(path))

/** The images of an archive, by their layers. */
const layersOf = Effect.fnUntraced(function* (archive: Archive.Archive) {
  const { images, repository } = archive
  return yield* Effect.forEach(images, ({ descriptor }) =>
    Effect.gen(function* () {
      const { content } = yield* archive.getManifest(repository, descriptor.digest)
      if (content._tag !== "ImageManifest") throw new Error("not the manifest of an image")
      return yield* Effect.forEach(content.layers, (layer) =>
        gather(archive.getBlob(repository, layer))
      )
    })
  )
})

const arrays = (bytes: ReadonlyArray<Uint8Array>) => bytes.map((array) => new Uint8Array(array))

const digestOf = (bytes: Uint8Array) => Digest.fromBytes(bytes)
const hex = (bytes: Uint8Array) => Digest.encoded(digestOf(bytes))

/** A manifest of these layers as they are, and all that it needs. */
const plainImage = (layers: ReadonlyArray<Uint8Array>, config = configOf(layers)) => {
  const manifest = Manifest.image({
    config: { mediaType: MediaType.imageConfig, digest: digestOf(config), size: config.length },
    layers: layers.map((layer) => ({
      mediaType: MediaType.layerTar,
      digest: digestOf(layer),
      size: layer.length
    }))
  })
  return { config, manifest, layers }
}

describe("archives of layouts", () => {
  it.scopedLive("an index with all its images is read as it was written", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const index = yield* putIndex(registry, "1.0", ["linux/amd64", "linux/arm64/v8"])
      const path = yield* save(Archive.writeFrom([source(registry, "1.0")]))
      const archive = yield* NodeArchive.read(path)
      const { repository } = archive
      expect(archive).toMatchObject({ format: "oci", isSpooled: false, repository: "archive" })
      expect(archive.images).toEqual([{ descriptor: index.descriptor, names: ["1.0"] }])
      expect(yield* items(archive.tags(repository))).toEqual(["1.0"])
      expect(yield* archive.getManifest(repository, tag("1.0"))).toEqual(index)
      for (const { digest } of Manifest.references(index)) {
        const image = yield* registry.getManifest(app, digest)
        expect(yield* archive.getManifest(repository, digest)).toEqual(image)
        for (const blob of Manifest.references(image))
          expect(yield* gather(archive.getBlob(repository, blob))).toEqual(
            yield* gather(registry.getBlob(app, blob))
          )
      }
    })
  )

  it.scopedLive("manifests of older kinds have their blobs, in an index as well", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const [first, second] = yield* Effect.forEach(["first", "second"], (content) =>
        registry.putBlob(app, BlobSource.fromBytes(utf8(content)), { mediaType: "text/plain" })
      )
      if (first === undefined || second === undefined) throw new Error("no blobs")
      const mediaType = MediaType.artifactManifest
      const artifact = yield* Manifest.fromBytes(
        utf8(JSON.stringify({ mediaType, blobs: [first, first] })),
        { mediaType }
      )
      const { manifest: schema1 } = SignedManifest.make({
        schemaVersion: 1,
        name: app,
        tag: tag("1.0"),
        architecture: "amd64",
        fsLayers: [{ blobSum: second.digest }],
        history: [{ v1Compatibility: "{}" }]
      })
      const index = Manifest.index({ manifests: [artifact.descriptor, schema1.descriptor] })
      for (const manifest of [artifact, schema1, index]) yield* registry.putManifest(app, manifest)
      const { digest } = index.descriptor
      const archive = yield* NodeArchive.read(
        yield* save(Archive.writeFrom([source(registry, digest)]))
      )
      const { repository } = archive
      for (const manifest of [artifact, schema1, index]) {
        const { bytes } = yield* archive.getManifest(repository, manifest.descriptor.digest)
        expect(bytes).toEqual(manifest.bytes)
      }
      for (const [blob, content] of [
        [first, "first"],
        [second, "second"]
      ] as const)
        expect(yield* archive.getBlobBytes(repository, blob.digest)).toEqual(utf8(content))
      // And from there they are copied as from any other registry.
      const target = yield* memory
      yield* Copy.between(
        { registry: archive, repository, reference: digest },
        { registry: target, repository: app }
      )
      for (const blob of [first, second])
        expect(Option.isSome(yield* target.headBlob(app, blob.digest))).toBe(true)
    })
  )

  it.scopedLive("equal images give equal archives, whatever the order of their requests", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      yield* putIndex(registry, "1.0", ["linux/amd64", "linux/arm64/v8", "linux/arm/v7"])
      const delays = [30, 0, 20, 10]
      const slow: Registry.Service = {
        ...registry,
        getManifest: (name, reference) =>
          Effect.delay(registry.getManifest(name, reference), delays.pop() ?? 0)
      }
      const once = yield* gather(Archive.writeFrom([source(registry, "1.0")]))
      expect(yield* gather(Archive.writeFrom([source(slow, "1.0")]))).toEqual(once)
    })
  )

  it.scopedLive(
    "a cache of BuildKit, whose index lists layers, comes out as it went in (CP15)",
    () =>
      Effect.gen(function* () {
        const registry = yield* memory
        const put = (bytes: Uint8Array, mediaType: string) =>
          registry.putBlob(app, BlobSource.fromBytes(bytes), { mediaType })
        // Larger than any manifest that is read.
        const layer = yield* put(new Uint8Array(65 * 1024 * 1024), MediaType.layerTarGzip)
        const config = yield* put(utf8("{}"), "application/vnd.buildkit.cacheconfig.v0")
        const cache = Manifest.index({ manifests: [layer, config] })
        yield* registry.putManifest(app, cache, { tags: [tag("cache")] })
        const path = yield* save(Archive.writeFrom([source(registry, "cache")]))
        const archive = yield* NodeArchive.read(path)
        const { repository } = archive
        expect(yield* archive.getManifest(repository, tag("cache"))).toEqual(cache)
        expect(Option.isSome(yield* archive.headBlob(repository, layer.digest))).toBe(true)
        expect(yield* archive.headManifest(repository, layer.digest)).toEqual(Option.none())
      })
  )

  it.scopedLive("names are tags and full references, as BuildKit writes both (S2)", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const one = yield* putImage(registry, [layerOf("one")], { tags: ["one"] })
      const two = yield* putImage(registry, [layerOf("two")], { tags: ["two"] })
      const path = yield* save(
        Archive.writeFrom([
          source(registry, "one", ["1.0", "ghcr.io/team/app:1.0", "docker.io/library/alpine"]),
          source(registry, two.descriptor.digest, ["ghcr.io/team/other:1.0"]),
          source(registry, two.descriptor.digest)
        ])
      )
      const archive = yield* NodeArchive.read(path)
      expect(archive.images).toEqual([
        {
          descriptor: one.descriptor,
          names: ["1.0", "ghcr.io/team/app:1.0", "docker.io/library/alpine:latest"]
        },
        { descriptor: two.descriptor, names: ["ghcr.io/team/other:1.0"] }
      ])
      expect(yield* items(archive.tags(archive.repository))).toEqual(["1.0", "latest"])
      const found = yield* archive.getManifest(archive.repository, tag("latest"))
      expect(found).toEqual(one)
      // The name that is just that counts before those that end in it.
      expect(yield* archive.getManifest(archive.repository, tag("1.0"))).toEqual(one)
    })
  )

  it.scopedLive("a tag that several full names end in is an error that lists them (S3)", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const one = yield* putImage(registry, [layerOf("one")])
      const two = yield* putImage(registry, [layerOf("two")])
      const path = yield* save(
        Archive.writeFrom([
          source(registry, one.descriptor.digest, ["ghcr.io/team/app:1.0"]),
          source(registry, two.descriptor.digest, ["ghcr.io/team/other:1.0"])
        ])
      )
      const archive = yield* NodeArchive.read(path)
      const [error] = yield* failures(archive.getManifest(archive.repository, tag("1.0")))
      expect(error?._tag).toBe("StorageFailure")
      expect(error?.message).toContain(`${two.descriptor.digest} (ghcr.io/team/other:1.0)`)
    })
  )
})

describe("what is not whole", () => {
  const platforms = ["linux/amd64", "linux/arm64/v8", "linux/arm/v7"]
  const images = platforms.map((platform) =>
    plainImage([layerOf(platform)], configOf([layerOf(platform)], { platform }))
  )
  const index = Manifest.index({
    manifests: [
      ...images.map(({ manifest }, n) => ({
        ...manifest.descriptor,
        platform: Platform.unsafeParse(platforms[n] ?? "")
      })),
      {
        mediaType: MediaType.imageManifest,
        digest: freshDigest(),
        size: 400,
        platform: { os: "unknown", architecture: "unknown" },
        annotations: {
          "vnd.docker.reference.type": "attestation-manifest",
          "vnd.docker.reference.digest": images[0]?.manifest.descriptor.digest ?? ""
        }
      }
    ]
  })
  const [amd64, arm64] = images
  if (amd64 === undefined || arm64 === undefined) throw new Error("two images")
  const entry = { ...index.descriptor, annotations: refName("1.0") }
  // The manifest of another platform is there, and its layers are not.
  const blobs = [
    index.bytes,
    amd64.manifest.bytes,
    amd64.config,
    ...amd64.layers,
    arm64.manifest.bytes
  ]

  it.scopedLive("an index with the content of one platform opens, and that can be read (S9)", () =>
    Effect.gen(function* () {
      const archive = yield* readEntries(...layoutFiles([entry], blobs))
      const { repository } = archive
      expect(yield* archive.getManifest(repository, tag("1.0"))).toEqual(index)
      const { digest } = amd64.manifest.descriptor
      const path = yield* save(
        Archive.writeFrom([{ registry: archive, repository, reference: digest, names: ["1.0"] }])
      )
      const copied = yield* NodeArchive.read(path)
      expect(yield* layersOf(copied)).toEqual([arrays(amd64.layers)])
    })
  )

  it.scopedLive("copying all of it fails with the platforms that are there and missing (S9)", () =>
    Effect.gen(function* () {
      const archive = yield* readEntries(...layoutFiles([entry], blobs))
      const { repository } = archive
      const [missingManifest, missingBlob] = yield* failures(
        Stream.runDrain(
          Archive.writeFrom([{ registry: archive, repository, reference: tag("1.0") }])
        ),
        Effect.flatMap(
          archive.getManifest(repository, arm64.manifest.descriptor.digest),
          ({ content }) =>
            content._tag === "ImageManifest"
              ? archive.getBlobBytes(repository, content.config)
              : Effect.die("an image")
        )
      )
      expect(missingManifest).toMatchObject({
        _tag: "ManifestUnknown",
        index: {
          digest: index.descriptor.digest,
          present: ["linux/amd64"],
          missing: [
            "linux/arm64/v8",
            "linux/arm/v7",
            `an attestation of ${amd64.manifest.descriptor.digest}`
          ]
        }
      })
      expect(missingManifest?.message).toMatch(
        /of the index sha256:\w+ it has linux\/amd64, and lacks linux\/arm64\/v8, linux\/arm\/v7, an/
      )
      expect(missingBlob).toMatchObject({
        _tag: "BlobUnknown",
        index: { present: ["linux/amd64"] }
      })
    })
  )

  it.scopedLive("an image without the layers of its config is not one (S10)", () =>
    Effect.gen(function* () {
      const layers = [layerOf("one"), layerOf("two")]
      const { config } = plainImage(layers)
      const { manifest } = plainImage([], config)
      const files = layoutFiles(
        [{ ...manifest.descriptor, annotations: refName("1.0") }],
        [manifest.bytes, config, ...layers]
      )
      const blob = (bytes: Uint8Array) => `blobs/sha256/${hex(bytes)}`
      const [alone, shorter] = yield* failures(
        readEntries(...files),
        readEntries(
          ...files,
          imagesFile({ Config: blob(config), Layers: [blob(layers[0] ?? config)] })
        )
      )
      for (const error of [alone, shorter]) {
        expect(error).toMatchObject({ _tag: "InvalidArchive", reason: "Content" })
        expect(error?.message).toContain("of 0 layers, whose configuration has 2 diff_ids")
      }
      const archive = yield* readEntries(
        ...files,
        imagesFile({
          Config: blob(config),
          RepoTags: ["app:1.0"],
          Layers: layers.map((layer) => blob(layer))
        })
      )
      expect(archive.format).toBe("docker")
      expect(yield* layersOf(archive)).toEqual([arrays(layers)])
    })
  )

  it.scopedLive("where blobs of the layout are missing, what docker save has is read (S10)", () =>
    Effect.gen(function* () {
      const layers = [layerOf("one")]
      const { config, manifest } = plainImage(layers)
      const files = layoutFiles([manifest.descriptor], [manifest.bytes])
      const lacking = yield* readEntries(...files)
      expect(lacking.format).toBe("oci")
      const [error] = yield* failures(layersOf(lacking))
      expect(error).toMatchObject({ _tag: "BlobUnknown" })
      const archive = yield* readEntries(
        ...files,
        file("config.json", config),
        file("layer.tar", layers[0] ?? ""),
        imagesFile({ Config: "config.json", RepoTags: null, Layers: ["layer.tar"] })
      )
      expect(archive.format).toBe("docker")
      expect(yield* layersOf(archive)).toEqual([arrays(layers)])
    })
  )
})

describe("archives of docker save", () => {
  const [base, top] = [layerOf("base"), layerOf("top")]
  const config = configOf([base, top])
  const image = (...layers: ReadonlyArray<string>) =>
    imagesFile({ Config: "config.json", RepoTags: ["alpine:3.22"], Layers: layers })
  const configFile = file("config.json", config)

  it.scopedLive("layers are found by any name and link, and by nothing outside (S11, T11)", () =>
    Effect.gen(function* () {
      const blob = (layer: Uint8Array) => file(`blobs/sha256/${hex(layer)}`, layer)
      const kinds: ReadonlyArray<ReadonlyArray<Uint8Array>> = [
        [image(`blobs/sha256/${hex(base)}`, `./blobs/sha256/${hex(top)}`), blob(base), blob(top)],
        [image("a/layer.tar", "/b/layer.tar"), file("a/layer.tar", base), file("b/layer.tar", top)],
        // As seen from the link, and as seen from the root.
        [
          image("a/layer.tar", "b/layer.tar"),
          file("c/layer.tar", base),
          link("a/layer.tar", "../c/layer.tar"),
          file("d.tar", top),
          link("b/layer.tar", "d.tar")
        ],
        [
          image("a/layer.tar", "b/layer.tar"),
          file("c/layer.tar", base),
          Tar.entry({ name: "a/layer.tar", type: "1", link: "c/layer.tar" }),
          file("d/layer.tar", top),
          link("e/layer.tar", "/d/layer.tar"),
          link("b/layer.tar", "../e/layer.tar")
        ]
      ]
      for (const entries of kinds)
        expect(yield* layersOf(yield* readEntries(configFile, ...entries))).toEqual([
          arrays([base, top])
        ])
      const wrong: ReadonlyArray<readonly [string, string, ...ReadonlyArray<Uint8Array>]> = [
        ["/etc/passwd", "is not there"],
        ["../../etc/passwd", "has a part .., which leads out"],
        ["x", "is a link to what is not in the archive", link("x", "/etc/passwd")],
        ["x", "is a link to what is not in the archive", link("x", "../../etc/passwd")],
        ["x", "is a link that leads to itself", link("x", "y"), link("y", "x")],
        ["x", "is not a file", Tar.entry({ name: "x/", type: "5" })],
        ["x", "is a layer in neither of gzip, zstd and tar", file("x", "no archive")]
      ]
      for (const [name, problem, ...entries] of wrong) {
        const [error] = yield* failures(
          readEntries(configFile, file("base.tar", base), image("base.tar", name), ...entries)
        )
        expect(error).toMatchObject({ _tag: "InvalidArchive", reason: "Content", path: name })
        expect(error?.message).toContain(problem)
      }
    })
  )

  it.scopedLive("the layout counts before the other form (S11)", () =>
    Effect.gen(function* () {
      const layout = plainImage([base])
      const archive = yield* readEntries(
        ...layoutFiles([layout.manifest.descriptor], [layout.manifest.bytes, layout.config, base]),
        configFile,
        file("base.tar", base),
        file("top.tar", top),
        image("base.tar", "top.tar")
      )
      expect(archive.format).toBe("oci")
      expect(yield* layersOf(archive)).toEqual([arrays([base])])
    })
  )

  it.scopedLive("a layer is as often in an image as it is listed (S12)", () =>
    Effect.gen(function* () {
      const archive = yield* readEntries(
        file("config.json", configOf([base, base])),
        file("base.tar", base),
        image("base.tar", "base.tar")
      )
      expect(yield* layersOf(archive)).toEqual([arrays([base, base])])
      const [error] = yield* failures(
        readEntries(configFile, file("base.tar", base), image("base.tar"))
      )
      expect(error?.message).toContain("has 2 diff_ids, and manifest.json has 1 layers for it")
    })
  )

  it.scopedLive("several images are read by their names, also where they end alike", () =>
    Effect.gen(function* () {
      const entries = [
        file("base.json", configOf([base])),
        configFile,
        file("base.tar", base),
        file("top.tar", top),
        imagesFile(
          { Config: "base.json", RepoTags: ["base:1", "base:latest"], Layers: ["base.tar"] },
          { Config: "config.json", RepoTags: ["app:latest"], Layers: ["base.tar", "top.tar"] }
        )
      ]
      const archive = yield* readEntries(...entries)
      expect(archive.images.map(({ names }) => names)).toEqual([
        ["base:1", "base:latest"],
        ["app:latest"]
      ])
      expect(yield* items(archive.tags(archive.repository))).toEqual(["1", "latest"])
      const found = yield* archive.getManifest(archive.repository, Reference.unsafeParseTag("1"))
      expect(found.descriptor.digest).toBe(archive.images[0]?.descriptor.digest)
      expect(yield* layersOf(archive)).toEqual([arrays([base]), arrays([base, top])])
      const again = yield* readEntries(...entries)
      expect(again.images).toEqual(archive.images)
    })
  )

  it.scopedLive("content that is not what the config says is not read to its end", () =>
    Effect.gen(function* () {
      const archive = yield* readEntries(
        configFile,
        file("base.tar", base),
        file("top.tar", layerOf("other")),
        image("base.tar", "top.tar")
      )
      const [error] = yield* failures(layersOf(archive))
      expect(error).toMatchObject({ _tag: "DigestMismatch", expected: digestOf(top) })
    })
  )
})

describe("archives for docker load", () => {
  const [base, top] = [layerOf("base"), layerOf("top")]

  it.scopedLive("have the config byte for byte, layers as they are by diff id (S13)", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const image = yield* putImage(registry, [base, top], { comment: "one", tags: ["1.0"] })
      const spool = yield* folder()
      const path = Path.join(yield* folder(), "app.tar")
      const [written] = yield* NodeArchive.writeDockerFrom(path, [source(registry, "1.0")], {
        spool: { folder: spool }
      })
      expect(yield* Effect.promise(() => Fs.readdir(spool))).toEqual([])
      const archive = yield* NodeArchive.read(path)
      const { images, repository } = archive
      expect(archive.format).toBe("docker")
      expect(images.map(({ names }) => names)).toEqual([["team/app:1.0"]])
      // The layers are others, and so is the manifest.
      expect(written).toEqual({
        names: ["team/app:1.0"],
        source: image.descriptor,
        descriptor: images[0]?.descriptor
      })
      expect(written?.descriptor.digest).not.toBe(image.descriptor.digest)
      expect(yield* layersOf(archive)).toEqual([arrays([base, top])])
      const { content } = yield* archive.getManifest(repository, tag("1.0"))
      if (content._tag !== "ImageManifest") throw new Error("an image")
      expect(content.config.mediaType).toBe(MediaType.dockerImageConfig)
      expect(content.layers.map(({ mediaType }) => mediaType)).toEqual([
        MediaType.dockerLayerTar,
        MediaType.dockerLayerTar
      ])
      expect(yield* archive.getBlobBytes(repository, content.config)).toEqual(
        configOf([base, top], { comment: "one" })
      )
      // What is not compressed goes through, and is the same again.
      const again = Archive.writeDockerFrom([
        source(yield* NodeArchive.read(path, { repository: app }), "1.0")
      ])
      const platform = Layer.merge(NodeDecompression.layer, NodeFileSystem.layer)
      expect(yield* gather(Stream.provideLayer(again, platform))).toEqual(
        new Uint8Array(yield* Effect.promise(() => Fs.readFile(path)))
      )
    })
  )

  it.scopedLive("an index gives the image of a platform, and zstd is decompressed (S13)", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const index = yield* putIndex(registry, "1.0", ["linux/amd64", "linux/arm64/v8"])
      const zstd = yield* putImage(registry, [base], {
        compress: zstdOf,
        layerType: MediaType.layerTarZstd,
        tags: ["zstd"]
      })
      const path = Path.join(yield* folder(), "app.tar")
      const images = [source(registry, "1.0"), source(registry, "zstd")]
      const [error] = yield* failures(NodeArchive.writeDockerFrom(path, images))
      expect(error?._tag).toBe("MediaTypeMismatch")
      expect(error?.message).toContain("with manifests for linux/amd64, linux/arm64/v8")
      const written = yield* NodeArchive.writeDockerFrom(path, images, {
        platform: Platform.unsafeParse("linux/arm64")
      })
      expect(written.map(({ source }) => source.digest)).toEqual([
        Manifest.references(index)[1]?.digest,
        zstd.descriptor.digest
      ])
      expect(yield* layersOf(yield* NodeArchive.read(path))).toEqual([
        arrays([base, layerOf("linux/arm64/v8")]),
        arrays([base])
      ])
    })
  )

  it.scopedLive("the image of a platform is that which pulling gives", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const index = yield* putIndex(registry, "1.0", ["linux/amd64", "linux/arm64/v8"])
      const bare = Manifest.references(index).map(({ platform: _, ...entry }) => entry)
      const path = Path.join(yield* folder(), "app.tar")
      for (const manifests of [[index.descriptor], bare]) {
        yield* registry.putManifest(app, Manifest.index({ manifests }), { tags: [tag("outer")] })
        const [written] = yield* NodeArchive.writeDockerFrom(path, [source(registry, "outer")], {
          platform: Platform.unsafeParse("linux/arm64")
        })
        expect(written?.source.digest).toBe(bare[1]?.digest)
        const images = NodeArchive.writeDockerFrom(path, [source(registry, "outer")], {
          platform: Platform.unsafeParse("linux/s390x")
        })
        expect((yield* Effect.flip(images))._tag).toBe("MediaTypeMismatch")
      }
    })
  )

  it.scopedLive("have all images, and equal content once, or are not there (S12)", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const counts = new Map<string, number>()
      const counted: Registry.Service = {
        ...registry,
        getBlob: (name, blob) => {
          const digest = typeof blob === "string" ? blob : blob.digest
          counts.set(digest, (counts.get(digest) ?? 0) + 1)
          return registry.getBlob(name, blob)
        }
      }
      const one = yield* putImage(registry, [base, base], { tags: ["one"] })
      yield* putImage(registry, [base, top, base], { tags: ["two"] })
      const root = yield* folder()
      const path = Path.join(root, "app.tar")
      const images = [source(counted, "one"), source(counted, "two", ["two", "ghcr.io/a/b:2"])]
      for (const write of [NodeArchive.writeFrom, NodeArchive.writeDockerFrom]) {
        counts.clear()
        yield* write(path, images)
        expect(new Set(counts.values())).toEqual(new Set([1]))
        const archive = yield* NodeArchive.read(path)
        const contents = yield* Effect.forEach(archive.images, ({ descriptor }) =>
          archive.getManifest(archive.repository, descriptor.digest)
        )
        expect(
          contents.map(({ content }) => content._tag === "ImageManifest" && content.layers.length)
        ).toEqual([2, 3])
        yield* Effect.promise(() => Fs.rm(path))
      }
      const broken: Registry.Service = {
        ...registry,
        getBlob: (name) => registry.getBlob(name, digestOf(base))
      }
      for (const write of [NodeArchive.writeFrom, NodeArchive.writeDockerFrom]) {
        const errors = yield* failures(
          write(path, [source(registry, "one"), source(registry, "three")]),
          write(path, [source(registry, "one"), source(broken, "two")]),
          write(path, [source(registry, "one", ["app:1"]), source(registry, "two", ["app:1"])]),
          write(path, [source(registry, one.descriptor.digest, ["not a name"])])
        )
        expect(errors.map(({ _tag }) => _tag)).toEqual([
          "ManifestUnknown",
          "BlobUnknown",
          "InvalidArchive",
          "InvalidReference"
        ])
        expect(errors[2]?.message).toContain("two images of the name docker.io/library/app:1")
        expect(yield* Effect.promise(() => Fs.readdir(root))).toEqual([])
      }
    })
  )
})

describe("archives of what is put", () => {
  it.scopedLive("have its tags, and without names what nothing else leads to", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const index = yield* putIndex(registry, "1.0", ["linux/amd64", "linux/arm64/v8"])
      const spool = yield* folder()
      const path = Path.join(yield* folder(), "app.tar")
      const referrer = Manifest.image({
        artifactType: "application/vnd.example.report.v1",
        config: Descriptor.empty,
        layers: [Descriptor.empty],
        subject: index.descriptor
      })
      const fill = Effect.fnUntraced(function* (target: Archive.Target) {
        const from = { registry, repository: app, reference: tag("1.0") }
        yield* Copy.between(from, { ...target, reference: tag("2.0") })
        yield* target.registry.putBlob(target.repository, BlobSource.fromBytes(utf8("{}")))
        yield* target.registry.putManifest(target.repository, referrer)
      })
      yield* NodeArchive.writeFilled(path, fill, { spool: { folder: spool } })
      expect(yield* Effect.promise(() => Fs.readdir(spool))).toEqual([])
      const archive = yield* NodeArchive.read(path)
      expect(archive.images).toEqual([
        { descriptor: index.descriptor, names: ["2.0"] },
        { descriptor: referrer.descriptor, names: [] }
      ])
      const { digest } = index.descriptor
      const referrers = yield* items(archive.referrers(archive.repository, digest))
      expect(referrers.map(({ digest }) => digest)).toEqual([referrer.descriptor.digest])
      // Nothing put is nothing written, and too much is an error.
      yield* NodeArchive.writeFilled(path, () => Effect.void)
      expect((yield* NodeArchive.read(path)).images).toEqual([])
      const [error] = yield* failures(
        NodeArchive.writeFilled(
          path,
          (target) =>
            target.registry.putBlob(target.repository, BlobSource.fromBytes(new Uint8Array(100))),
          { spool: { folder: spool, limit: 10 } }
        )
      )
      expect(error?._tag).toBe("LimitExceeded")
      expect(error?.message).toContain("the option spool.limit allows more")
      expect(yield* Effect.promise(() => Fs.readdir(spool))).toEqual([])
    })
  )
})

describe("what is not an archive of images", () => {
  it.scopedLive("says what is wrong with it", () =>
    Effect.gen(function* () {
      const cut = Tar.archive(file("oci-layout", "x".repeat(2000))).subarray(0, 1500)
      const cases: ReadonlyArray<readonly [Uint8Array, string, string]> = [
        [utf8("hello"), "Format", "begins with bytes that are neither a tar archive nor gzip"],
        [new Uint8Array(), "Format", "has neither oci-layout nor manifest.json"],
        [Tar.archive(file("a", "b")), "Format", "has neither oci-layout nor manifest.json"],
        [
          Tar.archive(file("images/oci-layout", "{}")),
          "Format",
          'has its files in the folder "images/": they must stand at its root'
        ],
        [cut, "Archive", '"oci-layout" ends before the content that it announces'],
        [Tar.archive(file("../oci-layout", "{}")), "Path", "has a part .., which leads out"],
        [
          Tar.archive(Tar.entry({ name: "x", type: "S" }), file("oci-layout", "{}")),
          "Unsupported",
          "sparse"
        ],
        [Tar.archive(file("oci-layout", "{}")), "Document", "does not say imageLayoutVersion"],
        [
          Tar.archive(file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)),
          "Document",
          '"index.json" is not there'
        ],
        [
          Tar.archive(
            file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`),
            file("index.json", "[".repeat(1000))
          ),
          "Document",
          '"index.json" nests deeper than 256 levels'
        ],
        [Tar.archive(file("manifest.json", "{}")), "Document", "is not the list of images"],
        [
          Tar.archive(imagesFile({ Config: "c", Layers: [] })),
          "Document",
          'images.tar: "c" is not there'
        ],
        [
          Tar.archive(imagesFile({ Config: "c", Layers: [] }), file("c", "{}")),
          "Content",
          'images.tar: "c" is not what manifest.json says. This is not an image configuration'
        ]
      ]
      for (const [bytes, reason, problem] of cases) {
        const path = yield* save(bytes)
        const [error] = yield* failures(NodeArchive.read(path))
        expect(error).toMatchObject({ _tag: "InvalidArchive", reason, archive: path })
        expect(error?.message).toContain(problem)
      }
      const [absent, folder] = yield* failures(
        NodeArchive.read("/nowhere/images.tar"),
        NodeArchive.read("/tmp")
      )
      expect(absent?.message).toContain("/nowhere/images.tar")
      expect(folder?.message).toContain("it is a folder: LayoutRegistry reads image layouts")
    })
  )
})

describe("as a registry", () => {
  it.scopedLive("other repositories are unknown, and nothing can be written", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const manifest = yield* putImage(registry, [layerOf("one")], { tags: ["1.0"] })
      const { digest } = manifest.descriptor
      const path = yield* save(Archive.writeFrom([source(registry, "1.0")]))
      const archive = yield* NodeArchive.read(path, { repository: app })
      expect(yield* items(archive.repositories())).toEqual([app])
      expect(yield* archive.headManifest(app, tag("1.0"))).toEqual(Option.some(manifest.descriptor))
      const other = (yield* NodeArchive.read(path)).repository
      expect(yield* archive.headManifest(other, tag("1.0"))).toEqual(Option.none())
      expect(yield* archive.headBlob(other, digest)).toEqual(Option.none())
      const errors = yield* failures(
        archive.getManifest(other, tag("1.0")),
        Stream.runDrain(archive.tags(other)),
        Stream.runDrain(archive.getBlob(other, digest)),
        archive.getManifest(app, tag("2.0")),
        archive.getBlobBytes(app, freshDigest()),
        archive.putManifest(app, manifest),
        archive.deleteTag(app, tag("1.0"))
      )
      expect(errors.map(({ _tag }) => _tag)).toEqual([
        "NameUnknown",
        "NameUnknown",
        "NameUnknown",
        "ManifestUnknown",
        "BlobUnknown",
        "Unsupported",
        "Unsupported"
      ])
    })
  )
})
