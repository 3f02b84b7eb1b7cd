/** What building and pushing images needs, and what it can fail with. */
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { describe, expectTypeOf, it } from "vitest"
import type { BlobSource } from "../src/BlobSource.js"
import type { Compression } from "../src/Compression.js"
import type * as Artifact from "../src/content/Artifact.js"
import type { Image } from "../src/content/Image.js"
import * as ImageBuild from "../src/content/ImageBuild.js"
import type { ImageLayer, InvalidLayer } from "../src/content/ImageLayer.js"
import type { Decompression } from "../src/Decompression.js"
import * as ImageFolder from "../src/node/ImageFolder.js"
import type * as NodeCompression from "../src/node/NodeCompression.js"
import type { Registries } from "../src/Registries.js"
import type { Registry } from "../src/Registry.js"
import type {
  BodyNotReplayable,
  DigestMismatch,
  InputError,
  InvalidDigest,
  InvalidReference,
  LimitExceeded,
  SizeMismatch,
  StorageFailure
} from "../src/RegistryError.js"
import type { Platform } from "../src/spec/Platform.js"
import type { Reference } from "../src/spec/Reference.js"

declare const registry: Registry.Service
declare const reference: Reference
declare const platform: Platform
declare const base: Image
declare const bytes: BlobSource
declare const file: BlobSource<"own", "environment">
declare const other: BlobSource<"other", "more">
declare const pulled: Artifact.PulledFile

type Services = Compression | Decompression

const plain = ImageBuild.from(base, {
  layers: [
    {
      files: [
        { path: "a", source: bytes },
        { path: "b", type: "directory" }
      ]
    },
    { archive: new Uint8Array(0) },
    pulled,
    ...base.layers
  ]
})
const own = ImageBuild.scratch(platform, { layers: [{ files: [{ path: "a", source: file }] }] })

describe("an image to build", () => {
  it("has the errors and needs of its sources", () => {
    expectTypeOf(plain).toEqualTypeOf<ImageBuild.ImageBuild>()
    expectTypeOf(own).toEqualTypeOf<ImageBuild.ImageBuild<"own", "environment">>()
    expectTypeOf(ImageBuild.mutate(base, {})).toEqualTypeOf<ImageBuild.ImageBuild>()
    expectTypeOf(ImageBuild.mutate(own, { layers: [{ archive: other }] })).toEqualTypeOf<
      ImageBuild.ImageBuild<"own" | "other", "environment" | "more">
    >()
    expectTypeOf(ImageBuild.rebase(base, { from: base, to: base })).toEqualTypeOf<
      Effect.Effect<ImageBuild.ImageBuild, ImageBuild.InvalidImage>
    >()
    expectTypeOf(ImageBuild.rebase(own, { from: base, to: base })).toEqualTypeOf<
      Effect.Effect<ImageBuild.ImageBuild<"own", "environment">, ImageBuild.InvalidImage>
    >()
    expectTypeOf(
      ImageBuild.index([plain, base, base.manifest.descriptor])
    ).toEqualTypeOf<ImageBuild.IndexBuild>()
    expectTypeOf(ImageBuild.index([own, ImageBuild.index([plain])])).toEqualTypeOf<
      ImageBuild.IndexBuild<"own", "environment">
    >()
  })
})

describe("building", () => {
  it("has an error and an environment that are named", () => {
    expectTypeOf<ImageBuild.BuildError>().toEqualTypeOf<
      | ImageBuild.InvalidImage
      | InvalidLayer
      | BodyNotReplayable
      | DigestMismatch
      | SizeMismatch
      | InvalidDigest
      | LimitExceeded
      | Registry.GetBlobError
      | Registry.GetBlobRangeError
    >()
    expectTypeOf(ImageBuild.build(plain)).toEqualTypeOf<
      Effect.Effect<ImageBuild.BuiltImage<ImageBuild.BuildError>, ImageBuild.BuildError, Services>
    >()
    expectTypeOf(ImageBuild.build(own)).toEqualTypeOf<
      Effect.Effect<
        ImageBuild.BuiltImage<ImageBuild.BuildError | "own">,
        ImageBuild.BuildError | "own",
        Services | "environment"
      >
    >()
    expectTypeOf<ImageBuild.BuiltLayer<"own">>().toMatchTypeOf<ImageLayer<"own">>()
  })
})

describe("a push", () => {
  it("has an error and an environment that are named", () => {
    expectTypeOf<ImageBuild.PushError>().toEqualTypeOf<
      ImageBuild.BuildError | InvalidReference | Registry.PutBlobError | Registry.PutManifestError
    >()
    expectTypeOf(ImageBuild.push("ghcr.io/owner/app:1.0.0", plain)).toEqualTypeOf<
      Effect.Effect<Artifact.Pushed, ImageBuild.PushError | InputError, Registries | Services>
    >()
    expectTypeOf(ImageBuild.push(reference, ImageBuild.index([own, plain]))).toEqualTypeOf<
      Effect.Effect<
        Artifact.Pushed,
        ImageBuild.PushError | InputError | "own",
        Registries | Services | "environment"
      >
    >()
    expectTypeOf(ImageBuild.pushTo(registry, reference, own)).toEqualTypeOf<
      Effect.Effect<Artifact.Pushed, ImageBuild.PushError | "own", Services | "environment">
    >()
  })
})

describe("on Node", () => {
  it("files of a folder fail as files do, and encoders need nothing", () => {
    expectTypeOf(ImageFolder.files("dist", { at: "/app" })).toEqualTypeOf<
      Effect.Effect<ReadonlyArray<ImageBuild.File<StorageFailure>>, StorageFailure>
    >()
    expectTypeOf<typeof NodeCompression.layer>().toEqualTypeOf<Layer.Layer<Compression>>()
  })
})
