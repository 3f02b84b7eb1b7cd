/** The platform of a machine, and the images that are pulled for it. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as Artifact from "../../src/content/Artifact.js"
import * as Image from "../../src/content/Image.js"
import * as MachinePlatform from "../../src/node/internal/MachinePlatform.js"
import * as NodePlatform from "../../src/node/NodePlatform.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registries } from "../../src/Registries.js"
import * as Platform from "../../src/spec/Platform.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Images from "../support/images.js"
import * as Tar from "../support/tar.js"

const linux: MachinePlatform.Machine = {
  platform: "linux",
  arch: "x64",
  machine: "x86_64",
  release: "6.1.0",
  endianness: "LE"
}

describe("the platform of a machine", () => {
  it.each([
    [{}, "linux/amd64"],
    [{ arch: "ia32" }, "linux/386"],
    [{ arch: "arm64", machine: "aarch64" }, "linux/arm64"],
    [{ arch: "arm", machine: "armv7l" }, "linux/arm/v7"],
    [{ arch: "arm", machine: "armv6l" }, "linux/arm/v6"],
    [{ arch: "arm", machine: "armv8l" }, "linux/arm/v8"],
    [{ arch: "arm", machine: "aarch64" }, "linux/arm/v8"],
    [{ arch: "arm", machine: "arm" }, "linux/arm"],
    [{ arch: "ppc64" }, "linux/ppc64le"],
    [{ arch: "ppc64", endianness: "BE" }, "linux/ppc64"],
    [{ arch: "mipsel" }, "linux/mipsle"],
    [{ arch: "s390x", endianness: "BE" }, "linux/s390x"],
    [{ arch: "riscv64" }, "linux/riscv64"],
    [{ platform: "darwin", arch: "arm64", machine: "arm64" }, "darwin/arm64"],
    [{ platform: "sunos" }, "solaris/amd64"],
    [{ platform: "win32", release: "10.0.20348" }, "windows/amd64"]
  ] as const)("%j is %s", (changes, expected) => {
    const found = MachinePlatform.of({ ...linux, ...changes })
    expect(Platform.format(found)).toBe(expected)
    expect(found["os.version"]).toBe(found.os === "windows" ? "10.0.20348" : undefined)
  })

  it("has images of Linux after its own, where it is another system", () => {
    const windows = { ...linux, platform: "win32", release: "10.0.20348" }
    expect(MachinePlatform.runnable(windows)).toEqual([
      Platform.make({ os: "windows", architecture: "amd64", "os.version": "10.0.20348" }),
      Platform.unsafeParse("linux/amd64")
    ])
    expect(MachinePlatform.runnable(linux)).toEqual([Platform.unsafeParse("linux/amd64")])
  })
})

describe("an image that is pulled without a platform", () => {
  const memory = MemoryRegistry.layerRegistries()
  const pushed = Effect.gen(function* () {
    const reference = "registry.example/app:v1"
    const own = Platform.format(yield* NodePlatform.current)
    yield* Images.pushIndex(reference, [Tar.files({ a: "1" })], ["plan9/386", own])
    return { own, reference }
  })

  it.effect("is that of this machine", () =>
    Effect.gen(function* () {
      const { own, reference } = yield* pushed
      const { labels } = yield* Effect.provide(Image.pull(reference), NodePlatform.layer)
      expect(labels).toEqual({ for: own })
      const platform = Platform.unsafeParse("plan9/386")
      const other = yield* Effect.provide(Image.pull(reference, { platform }), NodePlatform.layer)
      expect(other.labels).toEqual({ for: "plan9/386" })
    }).pipe(Effect.provide(memory))
  )

  it.effect("is that of this machine over the layers of NodeRegistry", () =>
    Effect.gen(function* () {
      const { own, reference } = yield* pushed
      const registries = yield* Registries
      const labelsOver = <A, E>(machine: Layer.Layer<A, E>) =>
        Image.pull(reference).pipe(
          Effect.map(({ labels }) => labels),
          Effect.provideService(Registries, registries),
          Effect.provide(machine)
        )
      const anonymous = Layer.provide(Credentials.layerAnonymous)
      const one = NodeRegistry.layer({ url: "127.0.0.1:1" }).pipe(anonymous)
      expect(yield* labelsOver(one)).toEqual({ for: own })
      const all = NodeRegistry.layerRegistries().pipe(anonymous)
      expect(yield* labelsOver(all)).toEqual({ for: own })
      expect(yield* labelsOver(NodeRegistry.layerDefault)).toEqual({ for: own })
    }).pipe(Effect.provide(memory))
  )

  it.effect("is none where the index has none for it, or nobody says which", () =>
    Effect.gen(function* () {
      const reference = "registry.example/other:v1"
      yield* Images.pushIndex(reference, [], ["plan9/386", "plan9/amd64"])
      const choices = [{ name: "plan9/386" }, { name: "plan9/amd64" }]
      const own = yield* Effect.flip(Effect.provide(Image.pull(reference), NodePlatform.layer))
      expect(own).toMatchObject({ _tag: "MediaTypeMismatch", choices })
      expect(own).toHaveProperty(
        "platform",
        expect.stringContaining(Platform.format(yield* NodePlatform.current))
      )
      const none = yield* Effect.flip(Image.pull(reference))
      expect(none).toMatchObject({ _tag: "MediaTypeMismatch", choices, option: "platform" })
    }).pipe(Effect.provide(memory))
  )

  it.effect("is still refused as an artifact, of which the machine says nothing", () =>
    Effect.gen(function* () {
      const { reference } = yield* pushed
      const error = yield* Effect.flip(Effect.provide(Artifact.pull(reference), NodePlatform.layer))
      expect(error).toMatchObject({ _tag: "MediaTypeMismatch", option: "platform" })
    }).pipe(Effect.provide(memory))
  )
})
