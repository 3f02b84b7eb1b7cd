/** The same layouts, read and written by skopeo and buildah. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { promisify } from "node:util"
import { gzipSync } from "node:zlib"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as BlobSource from "../../src/BlobSource.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import { items, utf8 } from "../support/fixtures.js"
import { describeInstalled } from "../support/installed.js"
import { folder } from "../support/machine.js"

const app = Reference.unsafeParseRepositoryName("app")
const tag = Reference.unsafeParseTag

const run = (command: string, args: ReadonlyArray<string>, cwd = ".") =>
  Effect.promise(async () => {
    const options = { cwd, maxBuffer: 16 * 1024 * 1024 }
    const { stdout } = await promisify(execFile)(command, [...args], options)
    return stdout
  })

const skopeo = (...args: ReadonlyArray<string>) => run("skopeo", ["--insecure-policy", ...args])

const fresh = Effect.gen(function* () {
  const root = yield* folder()
  return { root, layout: Path.join(root, "app"), registry: yield* NodeLayout.make({ path: root }) }
})

/** An image that container tools can use: its layer is an archive without files. */
const runnable = Effect.fnUntraced(function* (registry: Registry.Service, comment: string) {
  const archive = new Uint8Array(10_240)
  const layer = yield* registry.putBlob(app, BlobSource.fromBytes(gzipSync(archive)))
  const config = {
    architecture: "amd64",
    os: "linux",
    config: { Labels: { comment } },
    rootfs: { type: "layers", diff_ids: [Digest.fromBytes(archive)] }
  }
  const stored = yield* registry.putBlob(app, BlobSource.fromBytes(utf8(JSON.stringify(config))))
  return Manifest.image({
    config: { ...stored, mediaType: MediaType.imageConfig },
    layers: [{ ...layer, mediaType: MediaType.layerTarGzip }]
  })
})

describeInstalled("skopeo", "layouts of skopeo", () => {
  it.scopedLive("skopeo reads what was put, by its tag", () =>
    Effect.gen(function* () {
      const { layout, registry } = yield* fresh
      const manifest = yield* runnable(registry, "one")
      yield* registry.putManifest(app, manifest, { tags: [tag("1.0"), tag("latest")] })
      yield* registry.putManifest(app, yield* runnable(registry, "two"), { tags: [tag("2.0")] })
      for (const version of ["1.0", "latest"]) {
        const raw = yield* skopeo("inspect", "--raw", `oci:${layout}:${version}`)
        expect(utf8(raw)).toEqual(manifest.bytes)
      }
      const inspected = JSON.parse(yield* skopeo("inspect", `oci:${layout}:2.0`))
      expect(inspected).toMatchObject({ Labels: { comment: "two" } })
    })
  )

  it.scopedLive("what skopeo copies is there, and what it did not write is kept", () =>
    Effect.gen(function* () {
      const { layout, registry, root } = yield* fresh
      const manifest = yield* runnable(registry, "one")
      yield* registry.putManifest(app, manifest, { tags: [tag("1.0")] })
      const other = Path.join(root, "other")
      yield* skopeo("copy", `oci:${layout}:1.0`, `oci:${other}:3.0`)
      yield* skopeo("copy", `oci:${layout}:1.0`, `oci:${Path.join(root, "nameless")}`)
      const full = "docker.io/library/app:4.0"
      yield* skopeo("copy", `oci:${layout}:1.0`, `oci:${other}:${full}`)
      const [copied, nameless] = ["other", "nameless"].map(Reference.unsafeParseRepositoryName)
      if (copied === undefined || nameless === undefined) throw new Error("two repositories")
      expect(yield* items(registry.repositories())).toEqual(["app", "nameless", "other"])
      expect(yield* items(registry.tags(copied))).toEqual(["3.0", "4.0"])
      expect((yield* registry.getManifest(copied, tag("4.0"))).bytes).toEqual(manifest.bytes)
      expect((yield* registry.getManifest(nameless, tag("latest"))).bytes).toEqual(manifest.bytes)
      yield* registry.putManifest(copied, manifest, { tags: [tag("5.0")] })
      expect(utf8(yield* skopeo("inspect", "--raw", `oci:${other}:${full}`))).toEqual(
        manifest.bytes
      )
      expect(utf8(yield* skopeo("inspect", "--raw", `oci:${other}:5.0`))).toEqual(manifest.bytes)
      expect(yield* items(registry.verify())).toEqual([])
    })
  )

  it.scopedLive("skopeo adds an image to a layout of ours, and ours one to its", () =>
    Effect.gen(function* () {
      const { layout, registry, root } = yield* fresh
      const one = yield* runnable(registry, "one")
      yield* registry.putManifest(app, one, { tags: [tag("1.0")] })
      const second = yield* NodeLayout.make({ path: Path.join(root, "second") })
      yield* second.putManifest(app, yield* runnable(second, "two"), { tags: [tag("2.0")] })
      yield* skopeo("copy", `oci:${Path.join(root, "second/app")}:2.0`, `oci:${layout}:2.0`)
      const three = yield* runnable(registry, "three")
      yield* registry.putManifest(app, three, { tags: [tag("3.0")] })
      expect(yield* items(registry.tags(app))).toEqual(["1.0", "2.0", "3.0"])
      for (const version of ["1.0", "2.0", "3.0"])
        yield* skopeo("inspect", `oci:${layout}:${version}`)
      expect(yield* items(registry.verify(app))).toEqual([])
      yield* registry.collect({ grace: 0 })
      yield* skopeo("inspect", `oci:${layout}:2.0`)
    })
  )

  it.scopedLive("an index with all its manifests goes there and back byte for byte", () =>
    Effect.gen(function* () {
      const { layout, registry, root } = yield* fresh
      const manifest = yield* runnable(registry, "one")
      yield* registry.putManifest(app, manifest)
      const index = Manifest.index({
        manifests: [{ ...manifest.descriptor, platform: { architecture: "amd64", os: "linux" } }]
      })
      yield* registry.putManifest(app, index, { tags: [tag("all")] })
      const other = Path.join(root, "other")
      yield* skopeo("copy", "--all", "--preserve-digests", `oci:${layout}:all`, `oci:${other}:all`)
      const copied = Reference.unsafeParseRepositoryName("other")
      expect((yield* registry.getManifest(copied, tag("all"))).bytes).toEqual(index.bytes)
      expect((yield* registry.getManifest(copied, manifest.descriptor.digest)).bytes).toEqual(
        manifest.bytes
      )
    })
  )
})

describeInstalled("buildah", "layouts of buildah", () => {
  it.scopedLive("buildah takes an image of ours, and puts one that is read", () =>
    Effect.gen(function* () {
      const { registry, root } = yield* fresh
      yield* registry.putManifest(app, yield* runnable(registry, "one"), { tags: [tag("1.0")] })
      const home = yield* folder()
      // Its names are made of paths, and have no capitals.
      const store = [
        "--storage-driver",
        "vfs",
        "--root",
        `${home}/root`,
        "--runroot",
        `${home}/run`
      ]
      const buildah = (...args: ReadonlyArray<string>) => run("buildah", [...store, ...args], root)
      yield* Effect.promise(() =>
        Fs.writeFile(
          Path.join(home, "policy.json"),
          `{"default":[{"type":"insecureAcceptAnything"}]}`
        )
      )
      const policy = ["--signature-policy", Path.join(home, "policy.json")]
      const image = (yield* buildah("pull", ...policy, "oci:app:1.0")).trim()
      yield* buildah("push", ...policy, image, "oci:built:2.0")
      const built = Reference.unsafeParseRepositoryName("built")
      expect(yield* items(registry.tags(built))).toEqual(["2.0"])
      const manifest = yield* registry.getManifest(built, tag("2.0"))
      expect(manifest.content._tag).toBe("ImageManifest")
      expect(yield* items(registry.verify(built))).toEqual([])
    })
  )
})
