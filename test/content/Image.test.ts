/** Images as they are pulled, and single files read out of them. */
import { describe, expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../src/ByteStream.js"
import * as Artifact from "../../src/content/Artifact.js"
import * as Image from "../../src/content/Image.js"
import * as ImageLayer from "../../src/content/ImageLayer.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as Registries from "../../src/Registries.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshRepository, items } from "../support/fixtures.js"
import * as Images from "../support/images.js"
import * as Tar from "../support/tar.js"

const name = Effect.map(freshRepository, (repository) => `registry.example/${repository}`)

const file = (path: string, content: string) => Tar.entry({ name: path }, content)
const link = (path: string, target: string) => Tar.entry({ name: path, type: "2", link: target })
const hardLink = (path: string, target: string) =>
  Tar.entry({ name: path, type: "1", link: target })
const folder = (path: string) => Tar.entry({ name: `${path}/`, type: "5" })
const removed = (path: string) => Tar.entry({ name: path.replace(/([^/]*)$/, ".wh.$1") })
const emptied = (path: string) => Tar.entry({ name: `${path}/.wh..wh..opq` })

/** Layers of entries, the base first, as an image that was pulled. */
const imageOf = (...layers: ReadonlyArray<ReadonlyArray<Uint8Array>>) =>
  Effect.gen(function* () {
    const reference = `${yield* name}:v1`
    yield* Images.push(
      reference,
      layers.map((entries) => Tar.archive(...entries))
    )
    return yield* Image.pull(reference)
  })

/** What a path holds, or why not. */
const content = (image: Image.Image, path: string, options?: ImageLayer.ReadFileOptions) =>
  Image.readFile(image, path, options).pipe(
    Effect.map(({ bytes }) => new TextDecoder().decode(bytes)),
    Effect.catchTag("FileUnknown", ({ reason }) => Effect.succeed(reason))
  )

const machine = Layer.merge(MemoryRegistry.layerRegistries(), NodeDecompression.layer)

layer(machine, { excludeTestServices: true })((it) => {
  describe("pull", () => {
    it.effect("gives manifest, configuration, labels and layers of a platform", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        const archives = [Tar.files({ a: "1" }), Tar.files({ b: "2" })]
        const index = yield* Images.pushIndex(reference, archives, ["linux/amd64", "linux/arm64"])
        const image = yield* Image.pull(reference, {
          platform: Platform.unsafeParse("linux/arm64")
        })
        expect(image.root.descriptor.digest).toBe(index.descriptor.digest)
        expect(image.labels).toEqual({ for: "linux/arm64" })
        expect(image.config.content).toMatchObject({ architecture: "arm64", os: "linux" })
        expect(image.layers.length).toBe(2)
        expect(Option.getOrUndefined(image.reference.digest)).toBe(image.manifest.descriptor.digest)
        const [, top] = image.layers
        if (top === undefined) return yield* Effect.dieMessage("two layers")
        expect((yield* items(ImageLayer.entries(top))).map(({ path }) => path)).toEqual(["b"])
      })
    )

    it.effect("fails for an index without a platform, and for what is not an image", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        yield* Images.pushIndex(reference, [], ["linux/amd64", "linux/arm64"])
        expect(yield* Effect.flip(Image.pull(reference))).toMatchObject({
          _tag: "MediaTypeMismatch",
          choices: [{ name: "linux/amd64" }, { name: "linux/arm64" }]
        })
        // What an index in an index has can be asked for, and not that index.
        const archives = [Tar.files({ a: "1" })]
        const inner = yield* Images.pushIndex(reference, archives, ["linux/arm64", "linux/s390x"])
        const { descriptor } = yield* Images.pushIndex(reference, archives, ["linux/amd64"])
        const manifests = [inner.descriptor, descriptor]
        yield* Registries.putManifest(reference, Manifest.index({ manifests }))
        const nested = yield* Effect.flip(Image.pull(reference))
        expect(nested).toMatchObject({
          _tag: "MediaTypeMismatch",
          option: "platform",
          choices: [{ name: "linux/arm64" }, { name: "linux/s390x" }, { name: "linux/amd64" }]
        })
        const [choice] = "choices" in nested ? (nested.choices ?? []) : []
        expect((yield* Image.pull(choice?.reference ?? "")).labels).toEqual({ for: "linux/arm64" })
        const artifact = `${yield* name}:v1`
        yield* Artifact.push(artifact, { artifactType: "application/vnd.example.v1", files: [] })
        const error = yield* Effect.flip(Image.pull(artifact))
        expect(error).toMatchObject({
          _tag: "InvalidImageConfig",
          reason: "MediaType",
          image: artifact,
          message: `${artifact}: This is not an image configuration: it is "application/vnd.oci.empty.v1+json"`
        })
      })
    )

    it.effect("asks the configurations of images whose platforms an index does not say", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        const archives = [Tar.files({ a: "1" })]
        const platforms = ["linux/arm64", "linux/arm/v7", "linux/amd64"]
        const index = yield* Images.pushIndex(reference, archives, platforms)
        const manifests = Manifest.references(index).map(({ platform: _, ...bare }) => bare)
        const { manifest: other } = yield* Artifact.push(reference, {
          artifactType: "application/vnd.example.v1",
          files: []
        })
        yield* Registries.putManifest(
          reference,
          Manifest.index({ manifests: [other.descriptor, ...manifests] })
        )
        const pulled = (text: string) =>
          Image.pull(reference, { platform: Platform.unsafeParse(text) })
        expect((yield* pulled("linux/amd64/v2")).labels).toEqual({ for: "linux/amd64" })
        expect((yield* pulled("linux/arm/v8")).labels).toEqual({ for: "linux/arm/v7" })
        expect(yield* Effect.flip(pulled("linux/s390x"))).toMatchObject({
          _tag: "MediaTypeMismatch",
          platform: "linux/s390x"
        })
      })
    )

    it.effect("I6: takes manifests that an index holds itself, where they are what it says", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        const platform = Platform.unsafeParse("linux/amd64")
        const { manifest } = yield* Images.push(reference, [Tar.files({ a: "1" })])
        const listed = (bytes: Uint8Array) => ({
          ...manifest.descriptor,
          platform,
          data: Buffer.from(bytes).toString("base64")
        })
        const { registry } = yield* Registries.open(reference)
        const asked: Array<string> = []
        const watched: Registry.Service = {
          ...registry,
          getManifest: (repository, of) => {
            asked.push(of)
            return registry.getManifest(repository, of)
          }
        }
        for (const [bytes, count] of [
          [manifest.bytes, 1],
          [new Uint8Array(manifest.bytes.length), 2],
          [new Uint8Array(0), 2]
        ] as const) {
          yield* Registries.putManifest(reference, Manifest.index({ manifests: [listed(bytes)] }))
          asked.length = 0
          const parsed = yield* Reference.parse(reference)
          const image = yield* Image.pullFrom(watched, parsed, { platform })
          expect(image.manifest.descriptor).toEqual(manifest.descriptor)
          expect(asked).toHaveLength(count)
        }
      })
    )

    it.effect("C29: fails where a manifest has another size than the index says", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        const { manifest } = yield* Images.push(`${reference}-amd64`, [Tar.archive()])
        const { registry, repository } = yield* Registries.open(reference)
        const platform = Platform.unsafeParse("linux/amd64")
        const index = Manifest.index({ manifests: [{ ...manifest.descriptor, size: 1, platform }] })
        yield* registry.putManifest(repository, index, { tags: [Reference.unsafeParseTag("v1")] })
        const error = yield* Effect.flip(Image.pull(reference, { platform }))
        const { digest, size } = manifest.descriptor
        expect(error).toMatchObject({ _tag: "InvalidManifest", reason: "Shape", path: "size" })
        expect(error.message).toBe(
          `${digest}: an index says that it has 1 bytes, and it has ${size}`
        )
      })
    )

    it.effect("says of a configuration that is too large no option that there is not", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        const { manifest } = yield* Images.push(reference, [Tar.archive()])
        const { content } = manifest
        if (content._tag !== "ImageManifest") return yield* Effect.dieMessage("an image")
        const size = 2 ** 40
        const large = Manifest.image({ config: { ...content.config, size }, layers: [] })
        const open = yield* Registries.open(reference)
        const registry: Registry.Service = {
          ...open.registry,
          getManifest: () => Effect.succeed(large)
        }
        const error = yield* Effect.flip(Image.pullFrom(registry, Reference.unsafeParse(reference)))
        expect(error.message).toBe(
          `Blob ${content.config.digest}, a configuration, exceeds the limit of 4194304 bytes`
        )
      })
    )

    it.effect("S29: fails where the configuration has another number of layers", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        const config = { rootfs: { type: "layers", diff_ids: [] } }
        yield* Images.push(reference, [Tar.files({ a: "1" })], { config })
        expect(yield* Effect.flip(Image.pull(reference))).toMatchObject({
          _tag: "InvalidImageConfig",
          reason: "Layers"
        })
      })
    )

    it.effect("has layers within limits, of which what is not a number allows nothing", () =>
      Effect.gen(function* () {
        const image = yield* imageOf([file("a", "1")])
        const flattened = (options: Image.FlattenOptions) =>
          Effect.map(
            Effect.either(Stream.runDrain(Image.flatten(image, options))),
            ({ _tag }) => _tag
          )
        expect(yield* flattened({ limit: 2048, entryLimit: 1 })).toBe("Right")
        for (const options of [{ limit: 2047 }, { limit: Number.NaN }, { entryLimit: Number.NaN }])
          expect(yield* flattened(options)).toBe("Left")
      })
    )

    it.effect("says whether it has changed since", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        yield* Images.pushIndex(reference, [Tar.files({ a: "1" })], ["linux/amd64"])
        const options = { platform: Platform.unsafeParse("linux/amd64") }
        const image = yield* Image.pull(reference, options)
        const { digest } = image.root.descriptor
        expect(yield* Image.pullChanged(reference, digest, options)).toEqual(Option.none())
        yield* Images.pushIndex(reference, [Tar.files({ a: "2" })], ["linux/amd64"])
        const changed = yield* Image.pullChanged(reference, digest, options)
        expect(Option.isSome(changed) && changed.value.root.descriptor.digest).not.toBe(digest)
      })
    )
  })

  describe("S18: one file of an image", () => {
    it.effect("is the last entry of the topmost layer that has it", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          [file("a", "base"), file("b", "base"), file("c", "base")],
          [file("a", "first"), file("b", "top"), file("a", "last")]
        )
        expect(yield* content(image, "a")).toBe("last")
        expect(yield* content(image, "/b")).toBe("top")
        expect(yield* content(image, "./c")).toBe("base")
        expect(yield* content(image, "d")).toBe("Missing")
        expect(yield* content(image, "../c")).toBe("Missing")
      })
    )

    it.effect(
      "S17: is not given, nor anything of a flattened image, where the layer is another",
      () =>
        Effect.gen(function* () {
          const archive = Tar.archive(file("a", "1"))
          const padded = Buffer.concat([archive, Buffer.alloc(512)])
          const reference = `${yield* name}:v1`
          // The last byte behind the end of the archive is not what the diff id is of.
          const other = Buffer.concat([archive, Buffer.alloc(511), Buffer.alloc(1, 1)])
          const config = { rootfs: { type: "layers", diff_ids: [Digest.fromBytes(padded)] } }
          yield* Images.push(reference, [other], { config })
          const image = yield* Image.pull(reference)
          expect(yield* Effect.flip(content(image, "a"))).toMatchObject({ _tag: "DigestMismatch" })
          let size = 0
          const flattened = ByteStream.tap(Image.flatten(image), (bytes) => {
            size += bytes.length
          })
          expect(yield* Effect.flip(Stream.runDrain(flattened))).toMatchObject({
            _tag: "DigestMismatch"
          })
          expect(size).toBe(0)
        })
    )

    it.effect("says which layer it comes from, and that it is verified", () =>
      Effect.gen(function* () {
        const image = yield* imageOf([file("a", "base")], [file("b", "top")])
        expect(yield* Image.readFile(image, "a")).toMatchObject({
          entry: { path: "a", size: 4 },
          layer: image.layers[0]?.descriptor,
          verified: true
        })
      })
    )

    it.effect("is the first entry where it stops early, and not verified", () =>
      Effect.gen(function* () {
        const image = yield* imageOf([file("a", "first"), file("empty", ""), file("a", "last")])
        const { bytes, verified } = yield* Image.readFile(image, "a", { stopEarly: true })
        expect([Buffer.from(bytes).toString(), verified]).toEqual(["first", false])
        expect(yield* content(image, "empty", { stopEarly: true })).toBe("")
        expect(yield* content(image, "none", { stopEarly: true })).toBe("Missing")
      })
    )

    it.effect("S20: is not what a layer above has removed, wherever that stands", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          [
            file("a", "1"),
            file("d/b", "1"),
            file("d/e/c", "1"),
            file("k/x", "1"),
            file("o/x", "1")
          ],
          [
            file("k/y", "2"),
            removed("a"),
            removed("d/e"),
            emptied("k"),
            file(".wh..wh.other", ""),
            file("o/.wh..wh.plnk/1", ""),
            file("d/.wh..wh.x", "")
          ],
          [file("d/e/f", "3")]
        )
        expect(yield* content(image, "a")).toBe("Missing")
        expect(yield* content(image, "d/b")).toBe("1")
        expect(yield* content(image, "d/e/c")).toBe("Missing")
        expect(yield* content(image, "d/e/f")).toBe("3")
        expect(yield* content(image, "k/x")).toBe("Missing")
        expect(yield* content(image, "k/y")).toBe("2")
        expect(yield* content(image, "o/x")).toBe("1")
      })
    )

    it.effect("S20: is what its own layer has beside a whiteout of it", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          [file("d/a", "1"), file("d/b", "1")],
          [file("d/a", "2"), emptied("d"), removed("d/a")]
        )
        expect(yield* content(image, "d/a")).toBe("2")
        expect(yield* content(image, "d/b")).toBe("Missing")
      })
    )

    it.effect("S19: is what a hard link led to at its layer", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          [file("a", "base"), file("x", "base")],
          [
            file("b", "1"),
            hardLink("c", "b"),
            file("b", "2"),
            hardLink("l", "a"),
            hardLink("m", "l")
          ],
          [file("a", "new"), removed("x")],
          [hardLink("n", "x")]
        )
        expect(yield* content(image, "c")).toBe("1")
        expect(yield* content(image, "b")).toBe("2")
        expect(yield* content(image, "l")).toBe("base")
        expect(yield* content(image, "m")).toBe("base")
        expect(yield* content(image, "a")).toBe("new")
        expect(yield* content(image, "n")).toBe("Missing")
      })
    )

    it.effect("is what links lead to, within the image", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          [
            folder("usr"),
            link("lib", "usr/lib"),
            file("usr/lib/os-release", "release"),
            folder("etc"),
            link("etc/os-release", "../lib/os-release"),
            link("etc/out", "../../../../usr/lib/os-release"),
            link("loop", "loop2"),
            link("loop2", "/loop")
          ],
          [file("usr/lib/other", "other")]
        )
        expect(yield* content(image, "etc/os-release")).toBe("release")
        expect(yield* content(image, "etc/out")).toBe("release")
        expect(yield* content(image, "lib/other")).toBe("other")
        expect(yield* content(image, "loop")).toBe("Links")
        expect(yield* content(image, "etc")).toBe("NotAFile")
        expect(yield* content(image, "usr/lib")).toBe("NotAFile")
        expect(yield* content(image, "etc/os-release/x")).toBe("Missing")
      })
    )

    it.effect("is where a layer has written it through a link of a lower one", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          [folder("usr/lib"), link("lib", "usr/lib"), file("usr/lib/x", "base")],
          [file("lib/x", "through the link"), file("lib/y", "new")],
          [folder("srv"), file("srv/x", "other")]
        )
        expect(yield* content(image, "usr/lib/x")).toBe("through the link")
        expect(yield* content(image, "lib/x")).toBe("through the link")
        expect(yield* content(image, "usr/lib/y")).toBe("new")
        expect(yield* content(image, "srv/x")).toBe("other")
        // A folder takes the place of the link.
        const again = yield* imageOf(
          [folder("usr/lib"), link("lib", "usr/lib"), file("usr/lib/x", "base")],
          [folder("lib"), file("lib/x", "top")],
          [removed("usr/lib/x")]
        )
        expect(yield* content(again, "usr/lib/x")).toBe("Missing")
        expect(yield* content(again, "lib/x")).toBe("top")
      })
    )

    it.effect("takes no more layers than needed, and reads each once", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          [
            folder("etc"),
            file("etc/a", "base"),
            link("etc/b", "a"),
            folder("app"),
            file("loose/z", "base")
          ],
          [folder("app"), file("app/x", "1"), file("loose/z", "1")],
          [folder("app"), file("app/y", "2")]
        )
        let read: ReadonlyArray<number> = []
        const layers = image.layers.map((layer, n) => ({
          ...layer,
          content: Stream.suspend(() => {
            read = [...read, n]
            return layer.content
          })
        }))
        const layersFor = (path: string, options?: ImageLayer.ReadFileOptions) =>
          Effect.suspend(() => {
            read = []
            return Effect.map(content({ ...image, layers }, path, options), () => read)
          })
        expect(yield* layersFor("app/y")).toEqual([2])
        expect(yield* layersFor("app/x")).toEqual([2, 1])
        expect(yield* layersFor("app/x/none")).toEqual([2, 1])
        expect(yield* layersFor("etc/a")).toEqual([2, 1, 0])
        expect(yield* layersFor("none")).toEqual([2, 1, 0])
        // A link led to it only after it had gone by.
        expect(yield* layersFor("etc/b")).toEqual([2, 1, 0, 0])
        // Its folder has no entry, and can be a link of a lower layer.
        expect(yield* layersFor("loose/z")).toEqual([2, 1, 0])
        expect(yield* layersFor("loose/z", { stopEarly: true })).toEqual([2, 1])
        expect(yield* Effect.flip(Image.readFile(image, "etc/a", { entryLimit: 6 }))).toMatchObject(
          { _tag: "LimitExceeded", option: "entryLimit" }
        )
      })
    )

    it.effect("is gone where a file or a link took the place of its folder", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          [file("d/a", "1"), file("e/a", "1"), file("f/a", "1")],
          [file("d", "file"), link("e", "f")]
        )
        expect(yield* content(image, "d/a")).toBe("Missing")
        expect(yield* content(image, "e/a")).toBe("1")
        const again = yield* imageOf([file("d/a", "1")], [file("d", "f")], [folder("d")])
        expect(yield* content(again, "d/a")).toBe("Missing")
      })
    )

    it.effect("has a limit, which is the option's", () =>
      Effect.gen(function* () {
        const image = yield* imageOf([file("a", "12345"), file("b", "1"), file("b", "12345")])
        expect(yield* Effect.flip(content(image, "a", { fileLimit: 4 }))).toMatchObject({
          _tag: "LimitExceeded",
          option: "fileLimit"
        })
        expect(yield* Effect.flip(content(image, "b", { fileLimit: 4 }))).toMatchObject({
          _tag: "LimitExceeded"
        })
        expect(yield* content(image, "a", { fileLimit: 5 })).toBe("12345")
      })
    )
  })
})
