/** What a push of an image sends, and in which order. */
import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as Image from "../../src/content/Image.js"
import * as ImageBuild from "../../src/content/ImageBuild.js"
import * as ImageLayer from "../../src/content/ImageLayer.js"
import * as NodeCompression from "../../src/node/NodeCompression.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as Registries from "../../src/Registries.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshRepository, items, utf8 } from "../support/fixtures.js"
import * as Images from "../support/images.js"
import * as Tar from "../support/tar.js"

const linux = Platform.unsafeParse("linux/amd64")

/** What registries were asked to do, as `put registry.example/test/… sha256:…`. */
class Asked extends Context.Tag("test/Asked")<Asked, Array<string>>() {}

/** Registries in memory that tell what is put into them, and what of their blobs is read. */
const spied = Layer.effect(
  Asked,
  Effect.sync((): Array<string> => [])
).pipe(
  Layer.flatMap((context) => {
    const asked = Context.get(context, Asked)
    const open = (host: string) =>
      Effect.map(
        MemoryRegistry.make(),
        (registry): Registry.Service => ({
          ...registry,
          getBlob: (repository, blob) => {
            const digest = typeof blob === "string" ? blob : blob.digest
            return Stream.suspend(() => {
              asked.push(`get ${host}/${repository}@${digest}`)
              return registry.getBlob(repository, blob)
            })
          },
          putBlob: (repository, source, options) =>
            Effect.tap(registry.putBlob(repository, source, options), ({ digest }) => {
              const from = options?.mountFrom === undefined ? "" : ` from ${options.mountFrom}`
              asked.push(`put ${host}/${repository}@${digest}${from}`)
            }),
          putManifest: (repository, manifest, options) => {
            const { digest } = manifest.descriptor
            asked.push(`put ${host}/${repository}@${digest}: ${options?.tags ?? "no tags"}`)
            return registry.putManifest(repository, manifest, options)
          }
        })
      )
    return Layer.merge(Layer.succeed(Asked, asked), Registries.layerFrom(open))
  })
)

const machine = Layer.mergeAll(spied, NodeCompression.layer, NodeDecompression.layer)

const test = (
  name: string,
  run: Effect.Effect<void, unknown, Layer.Layer.Success<typeof machine>>
) => it.effect(name, () => Effect.provide(run, machine))

const file = (path: string, content = path) => ({ path, source: utf8(content) })

/** A base in a repository of a host. */
const baseAt = (host: string) =>
  Effect.gen(function* () {
    const reference = `${host}/${yield* freshRepository}:v1`
    yield* Images.push(reference, [Tar.files({ [reference]: "" })])
    return yield* Image.pull(reference)
  })

/** What was asked since the last time. */
const news = Effect.map(Asked, (asked) => asked.splice(0))

test(
  "layers are mounted from the same host, and streamed from another; then come configuration and manifest",
  Effect.gen(function* () {
    const [here, there] = [yield* baseAt("here.example"), yield* baseAt("there.example")]
    const [near, far] = [here.layers[0], there.layers[0]]
    if (near === undefined || far === undefined) return yield* Effect.dieMessage("a layer each")
    yield* news
    const name = `here.example/${yield* freshRepository}`
    const image = ImageBuild.scratch(linux, { layers: [near, far, { files: [file("a")] }] })
    const { config, layers, manifest } = yield* ImageBuild.build(image)
    expect(yield* news).toEqual([])
    const pushed = yield* ImageBuild.push(`${name}:v1`, image, { concurrency: 1, tags: ["v2"] })
    expect(pushed.manifest.bytes).toEqual(manifest.bytes)
    expect(`${pushed.reference}`).toBe(`${name}@${manifest.descriptor.digest}`)
    expect(yield* news).toEqual([
      `put ${name}@${near.descriptor.digest} from ${here.reference.repository}`,
      `get there.example/${there.reference.repository}@${far.descriptor.digest}`,
      `put ${name}@${far.descriptor.digest}`,
      `put ${name}@${layers[2]?.descriptor.digest}`,
      `put ${name}@${config.descriptor.digest}`,
      `put ${name}@${manifest.descriptor.digest}: v1,v2`
    ])
  })
)

test(
  "what several images share is put once, and an index after what it lists",
  Effect.gen(function* () {
    const layers = [{ files: [file("a")] }]
    const images = ["linux/amd64", "linux/arm64"].map((platform) =>
      ImageBuild.scratch(Platform.unsafeParse(platform), { layers })
    )
    const name = `here.example/${yield* freshRepository}`
    const index = ImageBuild.index([ImageBuild.index(images.slice(1)), ...images])
    const { manifest } = yield* ImageBuild.push(`${name}:v1`, index)
    const asked = yield* news
    expect(asked).toHaveLength(1 + 2 + 4)
    expect(new Set(asked).size).toBe(asked.length)
    expect(asked.at(-1)).toBe(`put ${name}@${manifest.descriptor.digest}: v1`)
    const [nested] = Manifest.references(manifest)
    const at = asked.findIndex((line) => line.startsWith(`put ${name}@${nested?.digest}`))
    expect(asked.slice(3, 5).some((line) => line.includes(`${nested?.digest}`))).toBe(true)
    expect(at).toBeGreaterThan(2)
  })
)

test(
  "a source that can be read only once is uploaded as it is read, and never built alone",
  Effect.gen(function* () {
    let reads = 0
    const content = Stream.suspend(() => {
      reads++
      return Stream.make(utf8("on"), utf8("ce"))
    })
    const source = () => BlobSource.fromStreamOnce(content, { size: 4 })
    const image = (source: BlobSource.BlobSource) =>
      ImageBuild.scratch(linux, {
        layers: [
          { files: [{ path: "d/a", source }] },
          { archive: BlobSource.fromStreamOnce(Stream.make(Tar.files({ "d/b": "" }))) },
          { files: [file("d/c")] }
        ]
      })
    const name = `here.example/${yield* freshRepository}`
    yield* ImageBuild.push(`${name}:v1`, image(source()))
    expect(reads).toBe(1)
    const { layers } = yield* Image.pull(`${name}:v1`)
    const listed = yield* Effect.forEach(layers, (layer) => items(ImageLayer.entries(layer)))
    expect(listed.flat().map(({ path }) => path)).toEqual(["d", "d/a", "d/b", "d", "d/c"])
    // Alone, it is read once for its digest; without a size, for that.
    const unsized = image(BlobSource.fromStreamOnce(content))
    for (const error of [
      yield* Effect.flip(ImageBuild.build(image(source()))),
      yield* Effect.flip(ImageBuild.push(`${name}:v2`, unsized))
    ])
      expect(error).toMatchObject({ _tag: "BodyNotReplayable" })
  })
)

test(
  "nothing is sent of an image that is wrong, or that is not the one asked for",
  Effect.gen(function* () {
    const name = `here.example/${yield* freshRepository}`
    const good = ImageBuild.scratch(linux, { layers: [{ files: [file("a")] }] })
    const bad = ImageBuild.scratch(linux, { layers: [{ files: [file(".wh.a")] }] })
    const cases = [
      [`${name}:v1`, bad, "InvalidImage"],
      [`${name}:v1`, ImageBuild.index([good, bad]), "InvalidImage"],
      [name, good, "InvalidReference"],
      ["no reference", good, "InvalidReference"],
      [`${name}@${Digest.fromBytes(utf8("other"))}`, good, "DigestMismatch"]
    ] as const
    for (const [reference, image, tag] of cases)
      expect(yield* Effect.flip(ImageBuild.push(reference, image))).toMatchObject({ _tag: tag })
    expect(
      yield* Effect.flip(ImageBuild.push(`${name}:v1`, good, { tags: ["no tag"] }))
    ).toMatchObject({ _tag: "InvalidReference" })
    expect(yield* news).toEqual([])
    const { manifest } = yield* ImageBuild.push(name, good, { tags: [] })
    yield* ImageBuild.push(`${name}@${manifest.descriptor.digest}`, good)
  })
)

test(
  "sources that are not what they say, and that fail, are the caller's errors",
  Effect.gen(function* () {
    const name = `here.example/${yield* freshRepository}:v1`
    const push = <E>(source: BlobSource.BlobSource<E>) =>
      Effect.flip(
        ImageBuild.push(
          name,
          ImageBuild.scratch(linux, { layers: [{ files: [{ path: "a", source }] }] })
        )
      )
    const content = Stream.make(utf8("content"))
    expect(yield* push(BlobSource.fromStream(content, { size: 6 }))).toMatchObject({
      _tag: "SizeMismatch",
      expected: 6
    })
    expect(yield* push(BlobSource.fromStream(content, { size: 8 }))).toMatchObject({
      _tag: "SizeMismatch",
      actual: 7
    })
    const digest = Digest.fromBytes(utf8("other"))
    expect(yield* push(BlobSource.fromStream(content, { digest }))).toMatchObject({
      _tag: "DigestMismatch"
    })
    expect(yield* push(BlobSource.fromStream(Stream.fail("own"), { size: 1 }))).toBe("own")
    // A file that changes between the two times that it is read.
    let reads = 0
    const changing = Stream.suspend(() => Stream.make(utf8(`${reads++}`)))
    expect(yield* push(BlobSource.fromStream(changing, { size: 1 }))).toMatchObject({
      _tag: expect.stringMatching(/^(Digest|Size)Mismatch$/)
    })
    expect((yield* news).filter((line) => line.endsWith(": v1"))).toEqual([])
  })
)

test(
  "C63: layers that are not to be distributed are not uploaded, whatever else the image has",
  Effect.gen(function* () {
    const base = yield* baseAt("there.example")
    const [layer] = base.layers
    if (layer === undefined) return yield* Effect.dieMessage("a layer")
    const urls = ["https://example.com/layer.tar.gz"]
    const mediaType = MediaType.nonDistributableLayerTarGzip
    const foreign = { ...layer, descriptor: { ...layer.descriptor, mediaType, urls } }
    const name = `here.example/${yield* freshRepository}`
    yield* news
    const image = ImageBuild.from(
      { ...base, layers: [foreign] },
      { layers: [{ files: [file("a")] }], recompress: "none" }
    )
    const { manifest } = yield* ImageBuild.push(`${name}:v1`, image)
    expect(Manifest.references(manifest)[1]).toEqual(foreign.descriptor)
    expect((yield* news).filter((line) => line.includes(foreign.descriptor.digest))).toEqual([])
  })
)

test(
  "layers of an image are read before it is pushed, as those of one that was pulled",
  Effect.gen(function* () {
    const { layers } = yield* ImageBuild.build(
      ImageBuild.scratch(linux, { layers: [{ files: [file("etc/a", "content")] }] })
    )
    const [layer] = layers
    if (layer === undefined) return yield* Effect.dieMessage("a layer")
    const { bytes, verified } = yield* ImageLayer.readFile(layer, "/etc/a")
    expect([new TextDecoder().decode(bytes), verified]).toEqual(["content", true])
    expect(Option.isNone(Option.fromNullable(layer.reference))).toBe(true)
  })
)
