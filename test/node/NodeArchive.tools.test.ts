/** The same archives, read and written by skopeo, crane and GNU tar. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { promisify } from "node:util"
import { gunzipSync } from "node:zlib"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeArchive from "../../src/node/NodeArchive.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Archive from "../../src/store/Archive.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import {
  app,
  configOf,
  layerOf,
  memory,
  putImage,
  putIndex,
  save,
  source,
  tag
} from "../support/archives.js"
import { gather, utf8 } from "../support/fixtures.js"
import { describeInstalled, describeWherePresent } from "../support/installed.js"
import { folder } from "../support/machine.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const run = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(async () => (await promisify(execFile)(command, [...args])).stdout)

const skopeo = (...args: ReadonlyArray<string>) => run("skopeo", "--insecure-policy", ...args)

/** All manifests and blobs of what a registry has under a tag, by digest. */
const contentOf = Effect.fnUntraced(function* (
  { registry, repository }: Pick<Archive.ImageSource, "registry" | "repository">,
  reference: string
) {
  const content = new Map<string, Uint8Array>()
  const visit = (manifest: Manifest.Manifest): Effect.Effect<void, unknown> =>
    Effect.gen(function* () {
      content.set(manifest.descriptor.digest, manifest.bytes)
      for (const descriptor of Manifest.references(manifest))
        if (manifest.content._tag === "ImageIndex")
          yield* visit(yield* registry.getManifest(repository, descriptor.digest))
        else content.set(descriptor.digest, yield* gather(registry.getBlob(repository, descriptor)))
    })
  yield* visit(yield* registry.getManifest(repository, tag(reference)))
  return content
})

const opened = (archive: Archive.Archive) => ({ registry: archive, repository: archive.repository })

describeInstalled("skopeo", "archives of skopeo", () => {
  it.scopedLive("a layout makes a tour through skopeo byte for byte", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      yield* putIndex(registry, "1.0", ["linux/amd64", "linux/arm64/v8"])
      const before = yield* contentOf({ registry, repository: app }, "1.0")
      const path = yield* save(Archive.writeFrom([source(registry, "1.0")]))
      const other = Path.join(yield* folder(), "other.tar")
      yield* skopeo(
        "copy",
        "--all",
        "--preserve-digests",
        `oci-archive:${path}:1.0`,
        `oci-archive:${other}:2.0`
      )
      const archive = yield* NodeArchive.read(other)
      expect(yield* contentOf(opened(archive), "2.0")).toEqual(before)
      const again = yield* save(
        Archive.writeFrom([{ ...opened(archive), reference: tag("2.0"), names: ["1.0"] }])
      )
      expect(yield* Effect.promise(() => Fs.readFile(again))).toEqual(
        yield* Effect.promise(() => Fs.readFile(path))
      )
    })
  )

  it.scopedLive("what skopeo writes as docker-archive is read with its config and diff ids", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const registry = yield* NodeLayout.make({ path: root })
      const layers = [layerOf("base"), layerOf("top")]
      yield* putImage(registry, layers, { comment: "one", tags: ["1.0"] })
      const path = Path.join(root, "docker.tar")
      yield* skopeo(
        "copy",
        `oci:${Path.join(root, app)}:1.0`,
        `docker-archive:${path}:ghcr.io/team/app:1.0`
      )
      const archive = yield* NodeArchive.read(path)
      expect(archive.format).toBe("docker")
      expect(archive.images.map(({ names }) => names)).toEqual([["ghcr.io/team/app:1.0"]])
      const { content } = yield* archive.getManifest(archive.repository, tag("1.0"))
      if (content._tag !== "ImageManifest") throw new Error("an image")
      expect(yield* archive.getBlobBytes(archive.repository, content.config)).toEqual(
        configOf(layers, { comment: "one" })
      )
      expect(content.layers.map(({ digest }) => digest)).toEqual(
        layers.map((layer) => Digest.fromBytes(layer))
      )
      for (const [n, layer] of content.layers.entries())
        expect(yield* gather(archive.getBlob(archive.repository, layer))).toEqual(
          new Uint8Array(layers[n] ?? [])
        )
    })
  )

  it.scopedLive("skopeo finds each of several images by its name", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const one = yield* putImage(registry, [layerOf("one")], { tags: ["one"] })
      const two = yield* putImage(registry, [layerOf("two")], { tags: ["two"] })
      const path = yield* save(
        Archive.writeFrom([
          source(registry, "one"),
          source(registry, "two", ["ghcr.io/team/app:2.0"])
        ])
      )
      for (const [name, manifest] of [
        ["one", one],
        ["2.0", two]
      ] as const)
        expect(utf8(yield* skopeo("inspect", "--raw", `oci-archive:${path}:${name}`))).toEqual(
          manifest.bytes
        )
    })
  )
})

describeInstalled("skopeo", "archives for docker load", () => {
  it.scopedLive("skopeo finds the images of one by their names, with config and diff ids", () =>
    Effect.gen(function* () {
      const registry = yield* memory
      const images = { one: [layerOf("one")], two: [layerOf("one"), layerOf("two")] }
      for (const [name, layers] of Object.entries(images))
        yield* putImage(registry, layers, { comment: name, tags: [name] })
      const path = Path.join(yield* folder(), "images.tar")
      const written = yield* NodeArchive.writeDockerFrom(path, [
        source(registry, "one"),
        source(registry, "two", ["ghcr.io/team/app:2.0"])
      ])
      expect(written).toHaveLength(2)
      for (const [name, reference] of [
        ["one", "docker.io/team/app:one"],
        ["two", "ghcr.io/team/app:2.0"]
      ] as const) {
        const copy = Path.join(yield* folder(), "layout")
        yield* skopeo("copy", `docker-archive:${path}:${reference}`, `oci:${copy}:1.0`)
        const config = yield* skopeo("inspect", "--config", "--raw", `oci:${copy}:1.0`)
        const layers = images[name]
        expect(utf8(config)).toEqual(configOf(layers, { comment: name }))
      }
    })
  )
})

describeWherePresent("crane", "archives of crane", () => {
  it.scopedLive("crane pushes what was written for Docker, and what it pulls is read", () =>
    Effect.gen(function* () {
      const server = yield* ServerUrl
      const reference = `${server.replace("http://", "")}/team/app:1.0`
      const registry = yield* memory
      const layers = [layerOf("base"), layerOf("top")]
      yield* putImage(registry, layers, { comment: "one", tags: ["1.0"] })
      const root = yield* folder()
      const path = Path.join(root, "app.tar")
      yield* NodeArchive.writeDockerFrom(path, [source(registry, "1.0")])
      yield* run("crane", "push", path, reference)
      const served = yield* Registry
      const pushed = yield* served.getManifest(app, tag("1.0"))
      if (pushed.content._tag !== "ImageManifest") throw new Error("an image")
      const config = yield* served.getBlobBytes(app, pushed.content.config)
      expect(config).toEqual(configOf(layers, { comment: "one" }))
      const pulled = Path.join(root, "pulled.tar")
      yield* run("crane", "pull", reference, pulled)
      const archive = yield* NodeArchive.read(pulled)
      const { images, repository } = archive
      expect(images.map(({ names }) => names)).toEqual([[reference]])
      const { content } = yield* archive.getManifest(repository, tag("1.0"))
      if (content._tag !== "ImageManifest") throw new Error("an image")
      expect(yield* archive.getBlobBytes(repository, content.config)).toEqual(config)
      // They are compressed, named after their digests, and make the manifest that was pulled.
      expect(content.layers.map(({ digest }) => digest)).toEqual(
        pushed.content.layers.map(({ digest }) => digest)
      )
      for (const [n, layer] of content.layers.entries()) {
        const bytes = yield* gather(archive.getBlob(repository, layer))
        expect(gunzipSync(bytes)).toEqual(Buffer.from(layers[n] ?? []))
      }
    }).pipe(Effect.provide(Layer.provideMerge(layerSocketServer({}), MemoryRegistry.layer())))
  )
})
