import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as BlobSource from "../../src/BlobSource.js"
import * as Image from "../../src/content/Image.js"
import * as ImageBuild from "../../src/content/ImageBuild.js"
import * as ImageLayer from "../../src/content/ImageLayer.js"
import * as NodeCompression from "../../src/node/NodeCompression.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import { Registry } from "../../src/Registry.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import { freshBytes, freshRepository, generated, items } from "../support/fixtures.js"
import type { It, Supports } from "./registry.js"

const services = Layer.merge(NodeCompression.layer, NodeDecompression.layer)

const fresh = (tag: string) =>
  Effect.map(freshRepository, (repository) =>
    Reference.unsafeParse(`registry.example/${repository}:${tag}`)
  )

const platforms = ["linux/amd64", "linux/arm64"].map((text) => Platform.unsafeParse(text))

const file = (path: string) => ({ path, source: freshBytes(path) })

/** The paths and modes of what the layers of an image have. */
const listed = ({ layers }: Image.Image) =>
  Effect.map(
    Effect.forEach(layers, (layer) => items(ImageLayer.entries(layer))),
    (entries) => entries.flat().map(({ mode, path }) => [path, mode])
  )

export const imageSuite = (it: It, supports: Supports): void => {
  it.effect("keeps images that are built upon a base, and the index of them", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const [below, app] = [yield* fresh("base"), yield* fresh("v1")]
      const folder = { path: "etc", type: "directory", mode: 0o700 } as const
      const bases = platforms.map((platform) =>
        ImageBuild.scratch(platform, { layers: [{ files: [folder, file("etc/base")] }] })
      )
      yield* ImageBuild.pushTo(registry, below, ImageBuild.index(bases))
      const images = yield* Effect.forEach(platforms, (platform) =>
        Effect.map(Image.pullFrom(registry, below, { platform }), (base) =>
          ImageBuild.from(base, { layers: [{ files: [file("etc/app")] }] })
        )
      )
      const { manifest } = yield* ImageBuild.pushTo(registry, app, ImageBuild.index(images))
      for (const platform of platforms) {
        const image = yield* Image.pullFrom(registry, app, { platform })
        expect(image.root.bytes).toEqual(manifest.bytes)
        expect(yield* listed(image)).toEqual([
          ["etc", 0o700],
          ["etc/base", 0o644],
          ["etc", 0o700],
          ["etc/app", 0o644]
        ])
      }
    }).pipe(Effect.provide(services))
  )

  if (supports.chunks)
    it.effect("keeps an image whose files can be read only once", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const app = yield* fresh("v1")
        const source = BlobSource.fromStreamOnce(generated(300_000), { size: 300_000 })
        const platform = Platform.unsafeParse("linux/amd64")
        yield* ImageBuild.pushTo(
          registry,
          app,
          ImageBuild.scratch(platform, { layers: [{ files: [{ path: "a/b", source }] }] })
        )
        expect(yield* listed(yield* Image.pullFrom(registry, app))).toEqual([
          ["a", 0o755],
          ["a/b", 0o644]
        ])
      }).pipe(Effect.provide(services))
    )
}
