/** Documents that skopeo and buildah write: read, verified again, and moved byte for byte. */
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Copy from "../../src/content/Copy.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as ImageConfig from "../../src/spec/ImageConfig.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import type { RepositoryName } from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { clientOf } from "../support/fake/Client.js"
import { freshRepository } from "../support/fixtures.js"
import { describeInstalled } from "../support/installed.js"
import { folder } from "../support/machine.js"
import * as Places from "../support/places.js"
import { outputOf } from "../support/program.js"
import { layerSocketServer, registryOn, ServerUrl } from "../support/server.js"

const client = (url: string): Layer.Layer<Registry, unknown> =>
  RegistryClient.layer({ url }).pipe(
    Layer.provide([TokenCache.layerMemory, Credentials.layerAnonymous]),
    Layer.provide(NodeHttp.layer())
  )

const stacks: ReadonlyArray<Layer.Layer<Registry, unknown>> = [
  MemoryRegistry.layer(),
  Layer.unwrapScoped(Effect.map(folder(), (path) => NodeLayout.layer({ path }))),
  Layer.unwrapEffect(Effect.map(ServerUrl, client)).pipe(
    Layer.provide(layerSocketServer()),
    Layer.provide(MemoryRegistry.layer())
  ),
  Layer.unwrapEffect(Effect.map(DebianRegistry, ({ url }) => client(url))).pipe(
    Layer.provide(layerDebianRegistry)
  )
]

/** An image by buildah, in each form that skopeo writes, and an index of it. */
const written = Effect.map(folder({ "a.txt": "a" }), (path) => {
  const env = {
    ...process.env,
    HOME: path,
    XDG_RUNTIME_DIR: path,
    STORAGE_DRIVER: "vfs",
    BUILDAH_ISOLATION: "chroot"
  }
  const run = (command: string, ...args: ReadonlyArray<string>) =>
    execFileSync(command, args, { cwd: path, env, stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .trim()
  // A store of its own, since those of a user are one for all.
  const store = ["--root", join(path, "root"), "--runroot", join(path, "run")]
  const buildah = (...args: ReadonlyArray<string>) => run("buildah", ...store, ...args)
  const container = buildah("from", "scratch")
  buildah("copy", container, "a.txt", "/a.txt")
  buildah("config", "--label", "a=b", "--env", "A=ü", "--port", "80/tcp", container)
  buildah("commit", container, "image")
  buildah("config", "--arch", "arm64", container)
  buildah("commit", container, "other")
  buildah("manifest", "create", "list", "localhost/image", "localhost/other")
  buildah("push", "--format", "oci", "localhost/image", "dir:oci")
  const copy = (to: string, ...args: ReadonlyArray<string>) => {
    run("skopeo", "--insecure-policy", "copy", ...args, "dir:oci", `dir:${to}`)
    return join(path, to)
  }
  const push = (to: string, format: string) => {
    buildah("manifest", "push", "--all", "--format", format, "list", `dir:${to}`)
    return join(path, to)
  }
  return {
    images: [
      join(path, "oci"),
      copy("docker", "--format", "v2s2"),
      copy("zstd", "--format", "oci", "--dest-compress", "--dest-compress-format", "zstd")
    ],
    indexes: [push("index", "oci"), push("list", "v2s2")]
  }
})

const read = (path: string, name: string) => new Uint8Array(readFileSync(join(path, name)))

/** Puts an image or index of a folder into a registry, and reads it back: gives its media types. */
const moved = Effect.fnUntraced(function* (
  path: string,
  name = "manifest.json",
  into?: RepositoryName
): Effect.fn.Return<ReadonlyArray<string>, unknown, Registry> {
  const registry = yield* Registry
  const repository = into ?? (yield* freshRepository)
  const manifest = yield* Manifest.fromBytes(read(path, name))
  const { mediaType } = manifest.descriptor
  if (manifest.content._tag === "ImageIndex") {
    const { manifests } = manifest.content
    expect(manifests).toMatchObject([{ platform: { os: "linux" } }, { platform: { os: "linux" } }])
    const types = yield* Effect.forEach(manifests, ({ digest }) =>
      moved(path, `${Digest.encoded(digest)}.manifest.json`, repository)
    )
    yield* registry.putManifest(repository, manifest)
    expect(yield* registry.getManifest(repository, manifest.descriptor.digest)).toEqual(manifest)
    return [mediaType, ...types.flat()]
  }
  if (manifest.content._tag !== "ImageManifest") throw new Error("not an image")
  for (const { digest } of Manifest.references(manifest))
    yield* registry.putBlob(repository, BlobSource.fromBytes(read(path, Digest.encoded(digest))))
  yield* registry.putManifest(repository, manifest)
  const got = yield* registry.getManifest(repository, manifest.descriptor.digest)
  expect(got).toEqual(manifest)
  const { config, layers } = manifest.content
  const found = yield* registry.getBlobBytes(repository, config)
  expect(found).toEqual(read(path, Digest.encoded(config.digest)))
  const { content, descriptor } = yield* ImageConfig.fromBytes(found, config)
  expect(descriptor).toEqual({
    mediaType: config.mediaType,
    digest: config.digest,
    size: config.size
  })
  expect(content.config).toMatchObject({ Labels: { a: "b" }, ExposedPorts: { "80/tcp": {} } })
  expect(content.config?.Env).toContain("A=ü")
  expect(yield* ImageConfig.layers(content, layers)).toHaveLength(1)
  // What is written from what was read says the same, whatever is not known of it.
  const again = ImageConfig.make(content)
  expect(JSON.parse(new TextDecoder().decode(again.bytes))).toMatchObject(
    JSON.parse(JSON.stringify(content))
  )
  return [mediaType, ...layers.map(({ mediaType }) => mediaType)]
})

class Written extends Context.Tag("test/Written")<
  Written,
  { readonly images: ReadonlyArray<string>; readonly indexes: ReadonlyArray<string> }
>() {}

/** Where copies go, one after the other. */
const tour = [
  Places.inRegistry(Places.layout),
  Places.inRegistry(Places.memory),
  Places.archive,
  Places.inRegistry(Places.embeddedServer)
]

/** Has skopeo copy an image, or all that an index lists, with its digest. */
const skopeo = (from: string, to: string) =>
  outputOf("skopeo", [
    ...["--insecure-policy", "copy", "-q", "--all", "--preserve-digests"],
    ...["--src-tls-verify=false", "--dest-tls-verify=false", from, to]
  ])

const filesOf = (path: string): Readonly<Record<string, Uint8Array>> =>
  Object.fromEntries(readdirSync(path).map((name) => [name, read(path, name)]))

describeInstalled("buildah", "documents by skopeo and buildah", () => {
  describeDebian("over every stack", () => {
    layer(Layer.scoped(Written, written), { excludeTestServices: true })((it) => {
      it.scoped("survive a push and a pull byte for byte", () =>
        Effect.gen(function* () {
          const { images, indexes } = yield* Written
          const types: Array<string> = []
          for (const path of [...images, ...indexes])
            for (const stack of stacks) types.push(...(yield* Effect.provide(moved(path), stack)))
          expect(new Set(types)).toEqual(
            new Set([
              MediaType.imageManifest,
              MediaType.layerTar,
              MediaType.layerTarGzip,
              MediaType.dockerManifest,
              MediaType.dockerLayerTar,
              MediaType.dockerLayerTarGzip,
              MediaType.layerTarZstd,
              MediaType.imageIndex,
              MediaType.dockerManifestList
            ])
          )
        })
      )

      it.scoped("survive copies from each to the next, and skopeo has its own again", () =>
        Effect.gen(function* () {
          const { images, indexes } = yield* Written
          const { port } = yield* registryOn()
          const debian = Context.get(yield* Layer.build(layerDebianRegistry), DebianRegistry)
          const [first, last] = [yield* freshRepository, yield* freshRepository]
          const tagged = [...images, ...indexes].map((path, n) => ({ path, tag: `v${n}` }))
          for (const { path, tag } of tagged)
            yield* skopeo(`dir:${path}`, `docker://127.0.0.1:${port}/${first}:${tag}`)
          let place: Copy.Place = {
            registry: yield* clientOf(`http://127.0.0.1:${port}`),
            repository: first
          }
          for (const next of tour) {
            const from = place
            const fill = yield* next
            place = yield* fill((to) => Copy.between(from, to, { tags: "all" }))
          }
          const end = { registry: yield* clientOf(debian.url), repository: last }
          yield* Copy.between(place, end, { tags: "all" })
          const back = yield* folder()
          for (const { path, tag } of tagged) {
            const host = new URL(debian.url).host
            yield* skopeo(`docker://${host}/${last}:${tag}`, `dir:${join(back, tag)}`)
            expect(filesOf(join(back, tag))).toEqual(filesOf(path))
          }
        })
      )
    })
  })
})
