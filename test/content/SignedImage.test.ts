/** Images of Docker's schema 1, which have neither a configuration nor diff ids (S32). */
import { gzipSync } from "node:zlib"
import { describe, expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as BlobSource from "../../src/BlobSource.js"
import type { Compression } from "../../src/Compression.js"
import * as Image from "../../src/content/Image.js"
import * as ImageBuild from "../../src/content/ImageBuild.js"
import type { Decompression } from "../../src/Decompression.js"
import * as NodeCompression from "../../src/node/NodeCompression.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as Registries from "../../src/Registries.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import * as SignedManifest from "../../src/spec/SignedManifest.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { authority } from "../support/certificates.js"
import { describeDebian } from "../support/debian.js"
import { freshRepository, gather, utf8 } from "../support/fixtures.js"
import { layerDebianHost, layerEmbeddedHost, repositoryOnHost } from "../support/hosts.js"
import * as Tar from "../support/tar.js"

const onMemory = Effect.map(freshRepository, (repository) => `registry.example/${repository}`)
const v1 = Reference.unsafeParseTag("v1")

/** What Docker put in the place of a layer for a step that changed no files. */
const throwaway = gzipSync(Tar.archive())
const archives = [Tar.files({ a: "base", b: "base" }), Tar.files({ a: "top", ".wh.b": "" })]
const steps: ReadonlyArray<readonly [blob: Uint8Array, step: object]> = [
  [throwaway, { throwaway: true, container_config: { Cmd: ["CMD", "/a"] } }],
  [gzipSync(archives[1] ?? throwaway), { container_config: { Cmd: ["ADD", "top"] } }],
  [throwaway, { throwaway: true, author: "a" }],
  [gzipSync(archives[0] ?? throwaway), { created: "2016-01-01T00:00:00Z" }]
]

/** Puts an image of schema 1 whose layers these steps have made, the topmost first. */
const push = Effect.fnUntraced(function* (name: string, how: "signed" | "unsigned") {
  const { registry, repository } = yield* Registries.open(name)
  const blobs = yield* Effect.forEach(steps, ([bytes]) =>
    registry.putBlob(repository, BlobSource.fromBytes(bytes))
  )
  const top = {
    os: "linux",
    architecture: "arm64",
    config: { Cmd: ["/a"], Labels: { version: "1.0" } }
  }
  const unsigned = SignedManifest.make({
    schemaVersion: 1,
    name: repository,
    tag: v1,
    architecture: "amd64",
    fsLayers: blobs.map(({ digest }) => ({ blobSum: digest })),
    history: steps.map(([, step], at) => ({
      v1Compatibility: JSON.stringify({
        id: String(steps.length - at),
        ...(at === 0 && top),
        ...step
      })
    }))
  })
  const { key } = yield* authority("signer")
  const { manifest } =
    how === "signed"
      ? yield* SignedManifest.sign(unsigned, { privateKey: Redacted.make(key) })
      : unsigned
  yield* registry.putManifest(repository, manifest, { tags: [v1] })
  return `${name}:v1`
})

const suite = <R, E>(
  where: Layer.Layer<R | Registries.Registries | Compression | Decompression, E>,
  name: Effect.Effect<string, never, R>,
  signatures: ReadonlyArray<"signed" | "unsigned"> = ["signed", "unsigned"]
) =>
  layer(where, { excludeTestServices: true })((it) => {
    it.effect.each(signatures)("%s, has all that its manifest says, without its layers", (how) =>
      Effect.gen(function* () {
        const image = yield* Image.pull(yield* push(yield* name, how))
        expect(image.labels).toEqual({ version: "1.0" })
        expect(image.config.content).toMatchObject({
          os: "linux",
          architecture: "arm64",
          config: { Cmd: ["/a"] },
          rootfs: { type: "layers", diff_ids: [] },
          history: [
            { created: "2016-01-01T00:00:00Z" },
            { author: "a", empty_layer: true },
            { created_by: "ADD top" },
            { created_by: "CMD /a", empty_layer: true }
          ]
        })
        const { payload } = yield* SignedManifest.fromManifest(image.manifest)
        expect(image.config.bytes).toEqual(payload)
        expect(image.config.descriptor).toEqual(image.manifest.descriptor)
        expect(
          image.layers.map(({ descriptor, diffId, history }) => [descriptor.size, diffId, history])
        ).toEqual([
          [steps[3]?.[0].length, undefined, Option.some({ created: "2016-01-01T00:00:00Z" })],
          [steps[1]?.[0].length, undefined, Option.some({ created_by: "ADD top" })]
        ])
      })
    )

    it.effect.each(signatures)("%s, has the files of its layers", (how) =>
      Effect.gen(function* () {
        const image = yield* Image.pull(yield* push(yield* name, how))
        expect(Buffer.from((yield* Image.readFile(image, "a")).bytes).toString()).toBe("top")
        expect(yield* Effect.flip(Image.readFile(image, "b"))).toMatchObject({
          _tag: "FileUnknown"
        })
        expect((yield* gather(Image.flatten(image))).length).toBe(4 * 512)
      })
    )

    it.effect.each(signatures)("S32: %s, has diff ids once its layers were read", (how) =>
      Effect.gen(function* () {
        const reference = yield* push(yield* name, how)
        const image = yield* Effect.flatMap(Image.pull(reference), Image.withDiffIds)
        const { config, layers } = image
        const diffIds = archives.map((archive) => Digest.fromBytes(archive))
        expect(config.content.rootfs.diff_ids).toEqual(diffIds)
        expect(layers.map(({ diffId }) => diffId)).toEqual(diffIds)
        expect(yield* Image.withDiffIds(image)).toBe(image)

        const { registry, repository } = yield* Registries.open(reference)
        yield* registry.putBlob(repository, BlobSource.fromBytes(config.bytes))
        const manifest = Manifest.image({
          mediaType: MediaType.dockerManifest,
          config: config.descriptor,
          layers: layers.map(({ descriptor }) => descriptor)
        })
        yield* registry.putManifest(repository, manifest, { tags: [v1] })
        const converted = yield* Image.pull(reference)
        expect(converted.config.content).toEqual(config.content)
        expect(converted.layers.map(({ diffId, history }) => [diffId, history])).toEqual(
          layers.map(({ diffId, history }) => [diffId, history])
        )
      })
    )

    it.effect.each(signatures)("S32: %s, is a base of images of schema 2", (how) =>
      Effect.gen(function* () {
        const at = yield* name
        const base = yield* Image.pull(yield* push(at, how))
        const files = [{ path: "c", source: utf8("built") }]
        yield* ImageBuild.push(`${at}:v2`, ImageBuild.from(base, { layers: [{ files }] }))
        const built = yield* Image.pull(`${at}:v2`)
        expect(built.manifest.descriptor.mediaType).toBe(MediaType.dockerManifest)
        expect(built.config.content.rootfs.diff_ids.slice(0, 2)).toEqual(
          archives.map((archive) => Digest.fromBytes(archive))
        )
        expect(built.config.content.history).toEqual([
          ...(base.config.content.history ?? []),
          { created_by: "effect-oci" }
        ])
        for (const [path, content] of [
          ["a", "top"],
          ["c", "built"]
        ] as const)
          expect(Buffer.from((yield* Image.readFile(built, path)).bytes).toString()).toBe(content)
        // As it is, it has no place in an index.
        expect(
          yield* Effect.flip(ImageBuild.push(`${at}:v3`, ImageBuild.index([base])))
        ).toMatchObject({ _tag: "InvalidImage", reason: "Format" })
      })
    )

    it.effect("fails for a layer that is not there", () =>
      Effect.gen(function* () {
        const at = yield* name
        const { registry, repository } = yield* Registries.open(at)
        const reference = yield* push(at, "signed")
        for (const digest of new Set(steps.map(([bytes]) => Digest.fromBytes(bytes))))
          yield* registry.deleteBlob(repository, digest)
        expect(yield* Effect.flip(Image.pull(reference))).toMatchObject({ _tag: "BlobUnknown" })
      })
    )
  })

describe("in memory", () =>
  suite(
    Layer.mergeAll(
      MemoryRegistry.layerRegistries(),
      NodeCompression.layer,
      NodeDecompression.layer
    ),
    onMemory
  ))
describe("over the embedded server", () => suite(layerEmbeddedHost, repositoryOnHost))
// It takes signed manifests only.
describeDebian("over docker-registry", () => suite(layerDebianHost, repositoryOnHost, ["signed"]))
