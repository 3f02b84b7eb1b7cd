/** Images that are built: their configuration, history, layers and media types. */
import { gunzipSync, gzipSync } from "node:zlib"
import { describe, expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import { Compression } from "../../src/Compression.js"
import * as Artifact from "../../src/content/Artifact.js"
import * as Image from "../../src/content/Image.js"
import * as ImageBuild from "../../src/content/ImageBuild.js"
import * as ImageLayer from "../../src/content/ImageLayer.js"
import * as NodeCompression from "../../src/node/NodeCompression.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as Registries from "../../src/Registries.js"
import * as Annotations from "../../src/spec/Annotations.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshRepository, gather, items, utf8 } from "../support/fixtures.js"
import * as Images from "../support/images.js"
import * as Tar from "../support/tar.js"

const name = Effect.map(freshRepository, (repository) => `registry.example/${repository}`)

const linux = Platform.unsafeParse("linux/amd64")

const file = (path: string, content = path) => ({ path, source: utf8(content) })

/** Puts what was built under a new name, and pulls it. */
const pushed = <E, R>(image: ImageBuild.ImageBuild<E, R>) =>
  Effect.gen(function* () {
    const reference = `${yield* name}:v1`
    yield* ImageBuild.push(reference, image)
    return yield* Image.pull(reference)
  })

/** A base whose layers are these archives. */
const base = (archives: ReadonlyArray<Uint8Array>, options?: Images.Options) =>
  Effect.gen(function* () {
    const reference = `${yield* name}:v1`
    yield* Images.push(reference, archives, options)
    return yield* Image.pull(reference)
  })

/** The entries of the topmost layer, by path. */
const topOf = ({ layers }: { readonly layers: ReadonlyArray<ImageLayer.ImageLayer<unknown>> }) =>
  Effect.gen(function* () {
    const top = layers.at(-1)
    if (top === undefined) return yield* Effect.dieMessage("an image with layers")
    const entries = yield* Effect.orDie(items(ImageLayer.entries(top)))
    return Object.fromEntries(entries.map(({ path, ...entry }) => [path, entry]))
  })

/** What is wrong with an image. */
const problemOf = <E, R>(image: ImageBuild.ImageBuild<E, R>) => Effect.flip(ImageBuild.build(image))

const services = Layer.merge(NodeCompression.layer, NodeDecompression.layer)

const machine = Layer.merge(MemoryRegistry.layerRegistries(), services)

layer(machine, { excludeTestServices: true })((it) => {
  describe("an image that is attached to another", () => {
    it.effect("stays so when it is changed, and is not what is built upon it", () =>
      Effect.gen(function* () {
        const plain = yield* base([Tar.files({ a: "a" })])
        const artifactType = "application/vnd.example.variant"
        const subject = plain.manifest.descriptor
        if (plain.manifest.content._tag !== "ImageManifest")
          return yield* Effect.dieMessage("an image manifest")
        const { config, layers } = plain.manifest.content
        const manifest = Manifest.image({ config, layers, artifactType, subject })
        const image = { ...plain, manifest }
        const typesOf = <E, R>(image: ImageBuild.ImageBuild<E, R>) =>
          Effect.map(ImageBuild.build(image), ({ manifest }) => [
            Option.getOrUndefined(Manifest.subject(manifest)),
            "artifactType" in manifest.content ? manifest.content.artifactType : undefined
          ])
        const changes = { config: { labels: { a: "b" } } }
        const changed = ImageBuild.mutate(image, changes)
        expect(yield* typesOf(changed)).toEqual([subject, artifactType])
        expect(
          yield* typesOf(yield* ImageBuild.rebase(changed, { from: plain, to: plain }))
        ).toEqual([subject, artifactType])
        expect(yield* typesOf(ImageBuild.from(image, changes))).toEqual([undefined, undefined])
        expect(yield* typesOf(ImageBuild.mutate(image, { format: "docker" }))).toEqual([
          undefined,
          undefined
        ])
      })
    )
  })

  describe("what is not known of a manifest", () => {
    it.effect.each([MediaType.imageManifest, MediaType.dockerManifest] as const)(
      "stays when an image of %s is changed, and is not of what is built upon it",
      (mediaType) =>
        Effect.gen(function* () {
          const repository = yield* name
          const plain = yield* base([Tar.files({ a: "a" })])
          const format = mediaType === MediaType.imageManifest ? "oci" : "docker"
          const own = yield* ImageBuild.push(
            `${repository}:v1`,
            ImageBuild.mutate(plain, { format })
          )
          const { content } = own.manifest
          if (content._tag !== "ImageManifest") return yield* Effect.dieMessage("a manifest")
          const layers = content.layers.map((layer) => ({ ...layer, "org.example.layer": [1] }))
          const manifest = Manifest.image({
            ...{ ...content, layers, "org.example.whole": { b: 1, a: null } },
            mediaType
          })
          yield* Registries.putManifest(`${repository}:v2`, manifest)
          const image = yield* Image.pull(`${repository}:v2`)
          const saidBy = <E, R>(image: ImageBuild.ImageBuild<E, R>) =>
            Effect.map(ImageBuild.build(image), ({ manifest: { bytes } }) => {
              const document = JSON.parse(new TextDecoder().decode(bytes))
              const [layer] = document.layers
              return [document["org.example.whole"], layer["org.example.layer"]]
            })
          const changes = { config: { labels: { a: "b" } } }
          const changed = ImageBuild.mutate(image, changes)
          const kept = [{ b: 1, a: null }, [1]]
          expect(yield* saidBy(changed)).toEqual(kept)
          expect(
            yield* saidBy(yield* ImageBuild.rebase(changed, { from: plain, to: plain }))
          ).toEqual([{ b: 1, a: null }, undefined])
          expect(yield* saidBy(ImageBuild.from(image, changes))).toEqual([undefined, [1]])
          // What it is in one family says nothing of the other.
          expect(yield* saidBy(ImageBuild.mutate(image, { format: "docker" }))).toEqual(
            format === "docker" ? kept : [undefined, [1]]
          )
        })
    )
  })

  describe("from nothing", () => {
    it.effect("has exactly the configuration and the archive that it should", () =>
      Effect.gen(function* () {
        const image = ImageBuild.scratch(Platform.unsafeParse("linux/arm64/v8"), {
          layers: [{ files: [{ ...file("/app/main", "main"), mode: 0o755 }] }],
          config: {
            entrypoint: ["/app/main"],
            cmd: ["serve"],
            env: { PORT: "8080", LANG: "C" },
            labels: { b: "2", a: "1" },
            user: "65532",
            exposedPorts: [8080, "53/udp"],
            volumes: ["/data"],
            workingDirectory: "/app",
            stopSignal: "SIGINT",
            author: "somebody"
          },
          created: new Date("2026-01-02T03:04:05Z")
        })
        const { config, layers, manifest } = yield* ImageBuild.build(image)
        expect(new TextDecoder().decode(config.bytes)).toBe(
          '{"created":"2026-01-02T03:04:05Z","author":"somebody","architecture":"arm64",' +
            '"os":"linux","variant":"v8","config":{"User":"65532",' +
            '"ExposedPorts":{"53/udp":{},"8080/tcp":{}},"Env":["PORT=8080","LANG=C"],' +
            '"Entrypoint":["/app/main"],"Cmd":["serve"],"Volumes":{"/data":{}},' +
            '"WorkingDir":"/app","Labels":{"a":"1","b":"2"},"StopSignal":"SIGINT"},' +
            '"rootfs":{"type":"layers","diff_ids":' +
            '["sha256:701534d98631a2d330d132530c08812f8b855ef746814f25aa72e62b0b1d6c31"]},' +
            '"history":[{"created":"2026-01-02T03:04:05Z","created_by":"effect-oci"}]}'
        )
        expect(manifest.descriptor.mediaType).toBe(MediaType.imageManifest)
        expect(layers.map(({ descriptor }) => descriptor.mediaType)).toEqual([
          MediaType.layerTarGzip
        ])
      })
    )

    it.effect("is equal when it is made of the same, in whatever order", () =>
      Effect.gen(function* () {
        const files = [file("b/c"), file("a"), { path: "b", type: "directory" as const }]
        const digestOf = (files: ReadonlyArray<ImageBuild.File>) =>
          Effect.map(
            ImageBuild.build(ImageBuild.scratch(linux, { layers: [{ files }] })),
            ({ manifest }) => manifest.descriptor.digest
          )
        expect(yield* digestOf(files.toReversed())).toBe(yield* digestOf(files))
      })
    )

    it.effect("S31: is compressed with neither a time nor a system in its header", () =>
      Effect.gen(function* () {
        for (const level of [0, 1, 6, 9]) {
          const image = ImageBuild.scratch(linux, { layers: [{ files: [file("a")], level }] })
          const { layers } = yield* ImageBuild.build(image)
          const [top] = layers
          if (top === undefined) return yield* Effect.dieMessage("one layer")
          const bytes = yield* gather(top.content)
          expect([...bytes.subarray(0, 8)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])
          expect(bytes[9]).toBe(255)
          expect(Digest.fromBytes(gunzipSync(bytes))).toBe(top.diffId)
        }
      })
    )

    it.effect("has layers of every compression there is, and no level that there is not", () =>
      Effect.gen(function* () {
        const build = (layer: Omit<ImageBuild.FileLayer, "files">) =>
          ImageBuild.build(
            ImageBuild.scratch(linux, { layers: [{ ...layer, files: [file("a")] }] })
          )
        const none = yield* build({ compression: "none" })
        expect(none.layers.map(({ descriptor }) => descriptor)).toMatchObject([
          { mediaType: MediaType.layerTar, digest: none.layers[0]?.diffId }
        ])
        const zstd = yield* build({ compression: "zstd" }).pipe(
          // What this Node may lack: one frame that is not compressed.
          Effect.provideService(Compression, { gzip: (_) => (all) => all, zstd: () => stored })
        )
        expect(zstd.layers[0]?.descriptor.mediaType).toBe(MediaType.layerTarZstd)
        expect(Object.keys(yield* topOf(zstd))).toEqual(["a"])
        const refused = [
          { compression: "gzip", level: 10 },
          { compression: "gzip", level: 1.5 },
          { compression: "zstd", level: 23 }
        ] as const
        for (const layer of refused)
          expect(
            yield* build(layer).pipe(
              Effect.flip,
              Effect.provideService(Compression, { gzip: (_) => (all) => all, zstd: () => stored })
            )
          ).toMatchObject({ _tag: "InvalidImage", reason: "Compression", path: "level" })
        expect(
          yield* build({ compression: "zstd" }).pipe(
            Effect.flip,
            Effect.provideService(Compression, { gzip: (_) => (all) => all })
          )
        ).toMatchObject({ _tag: "InvalidImage", reason: "Compression", path: "compression" })
      })
    )

    it.effect("takes files of every kind, with what is said of them", () =>
      Effect.gen(function* () {
        const source = BlobSource.fromStream(Stream.make(utf8("str"), utf8("eam")))
        const image = ImageBuild.scratch(linux, {
          layers: [
            {
              uid: 7,
              gid: 8,
              modified: 9,
              files: [
                { path: "d/", type: "directory", mode: 0o1777, uid: 0 },
                { path: "./d/f", source, mode: 0o4755, modified: 10 },
                { path: "d/h", type: "hardlink", target: "/d/f" },
                { path: "d/s", type: "symlink", target: "../nowhere" },
                { path: "e/g", source: new Uint8Array(0) }
              ]
            }
          ]
        })
        const top = yield* topOf(yield* pushed(image))
        expect(Object.keys(top)).toEqual(["d", "d/f", "d/s", "e", "e/g", "d/h"])
        expect(top).toMatchObject({
          d: { type: "directory", mode: 0o1777, uid: 0, gid: 8, modified: 9 },
          "d/f": { type: "file", size: 6, mode: 0o4755, uid: 7, gid: 8, modified: 10 },
          "d/h": { type: "hardlink", target: "d/f" },
          "d/s": { type: "symlink", target: "../nowhere", mode: 0o777 },
          e: { type: "directory", mode: 0o755, uid: 7, gid: 8, modified: 9 },
          "e/g": { type: "file", size: 0, mode: 0o644 }
        })
      })
    )
  })

  describe("S18, S20: a file that cannot be in a layer is refused by its path", () => {
    const folder = (path: string) => ({ path, type: "directory" as const })
    const link = (path: string, target: string, type: "symlink" | "hardlink" = "symlink") => ({
      path,
      type,
      target
    })
    const refused: ReadonlyArray<
      readonly [why: string, files: ReadonlyArray<ImageBuild.File>, path: string, problem: RegExp]
    > = [
      ["a whiteout", [file("a/.wh.b")], "a/.wh.b", /whiteout/],
      ["a folder that is a whiteout", [file(".wh.a/b")], ".wh.a/b", /whiteout/],
      ["an opaque whiteout", [file(".wh..wh..opq")], ".wh..wh..opq", /whiteout/],
      ["a way out", [file("a/../../b")], "a/../../b", /out of its folder/],
      ["no name", [file("")], "", /empty/],
      ["a NUL", [file("a\0")], "a\0", /NUL/],
      ["the root", [file("/")], "/", /root/],
      ["a path twice", [file("a"), file("./a")], "./a", /twice/],
      ["a file below a file", [file("a"), file("a/b")], "a/b", /below a/],
      ["a file below a link", [link("a", "/b"), file("a/b")], "a/b", /below a/],
      ["a file in place of a folder", [file("a/b"), file("a")], "a", /files in it/],
      ["a hard link to nothing", [link("a", "b", "hardlink")], "a", /hard link/],
      ["a hard link to a folder", [folder("b"), link("a", "b", "hardlink")], "a", /hard link/],
      ["a link to nothing", [link("a", "")], "a", /link/],
      ["a link to what no path can be", [link("a", "b".repeat(4096))], "a", /not a name/],
      [
        "a hard link with another mode than its file",
        [file("b"), { ...link("a", "b", "hardlink"), mode: 0o777 }],
        "a",
        /hard link to b, whose mode/
      ],
      ["half of a character", [file("a\ud800")], "a\ud800", /half of a character/],
      ["what is read as another name", [file("a\udcc3\udca9")], "a\udcc3\udca9", /half/],
      ["a mode that is none", [{ ...file("a"), mode: 0o10000 }], "a", /mode/],
      ["an owner that is none", [{ ...file("a"), uid: -1 }], "a", /owner/],
      ["a time that is none", [{ ...file("a"), modified: Number.NaN }], "a", /time/],
      ["a time that is no exact number", [{ ...file("a"), modified: 1e21 }], "a", /time/]
    ]
    for (const [why, files, path, problem] of refused)
      it.effect(why, () =>
        Effect.gen(function* () {
          const error = yield* problemOf(ImageBuild.scratch(linux, { layers: [{ files }] }))
          expect(error).toMatchObject({ _tag: "InvalidImage", reason: "Path", path })
          expect(error.message).toMatch(problem)
        })
      )
  })

  it.effect("S24: a time is written without an exponent, to the nanosecond", () =>
    Effect.gen(function* () {
      const times = [1e-7, -1e-9, 1.5, -86_400.25, 2 ** 53 - 1, 1e-12]
      const files = times.map((modified, n) => ({ ...file(`f${n}`), modified }))
      const { layers } = yield* ImageBuild.build(ImageBuild.scratch(linux, { layers: [{ files }] }))
      const [top] = layers
      if (top === undefined) return yield* Effect.dieMessage("a layer")
      const entries = yield* items(ImageLayer.entries(top))
      expect(entries.map(({ modified }) => modified)).toEqual([...times.slice(0, 5), 0])
    })
  )

  describe("upon a base", () => {
    it.effect("keeps what the base says, and adds to it", () =>
      Effect.gen(function* () {
        const below = yield* base([Tar.files({ "etc/": "", "etc/a": "1" })], {
          labels: { a: "1", b: "1" },
          config: {
            created: "2020-01-01T00:00:00Z",
            config: {
              Labels: { a: "1", b: "1" },
              Env: ["PATH=/bin", "OLD=1", "OTHER=1"],
              Entrypoint: ["/sh"],
              Cmd: ["-c"],
              ExposedPorts: { "1/tcp": {} },
              Healthcheck: { Test: ["NONE"] }
            },
            history: [{ created_by: "base" }, { created_by: "ENV", empty_layer: true }],
            "org.example": "kept"
          }
        })
        const built = yield* pushed(
          ImageBuild.from(below, {
            layers: [{ files: [file("etc/b")], history: { comment: "ours" } }],
            config: {
              entrypoint: ["/app"],
              env: { PATH: "/app", OTHER: undefined, NEW: "1" },
              labels: { b: undefined, c: "2" },
              exposedPorts: [2]
            }
          })
        )
        expect(built.layers[0]?.descriptor).toEqual(below.layers[0]?.descriptor)
        expect(built.config.content).toMatchObject({
          created: "2020-01-01T00:00:00Z",
          "org.example": "kept",
          history: [
            { created_by: "base" },
            { created_by: "ENV", empty_layer: true },
            { created_by: "effect-oci", comment: "ours" }
          ]
        })
        expect(built.config.content.config).toEqual({
          Labels: { a: "1", c: "2" },
          Env: ["PATH=/app", "OLD=1", "NEW=1"],
          Entrypoint: ["/app"],
          ExposedPorts: { "1/tcp": {}, "2/tcp": {} },
          Healthcheck: { Test: ["NONE"] }
        })
        expect(built.annotations).toEqual({
          [Annotations.baseName]: `${below.requested}`,
          [Annotations.baseDigest]: below.manifest.descriptor.digest
        })
        expect(Option.getOrUndefined(built.layers[1]?.history ?? Option.none())).toEqual({
          created_by: "effect-oci",
          comment: "ours"
        })
      })
    )

    it.effect("S31: a date is that of what is new, and of the image", () =>
      Effect.gen(function* () {
        const below = yield* base([Tar.files({ a: "1" })], {
          config: {
            created: "2020-01-01T00:00:00Z",
            history: [{ created: "2019-01-01T00:00:00Z" }]
          }
        })
        const created = new Date("2026-01-02T03:04:05.678Z")
        const { content } = (yield* ImageBuild.build(
          ImageBuild.from(below, { layers: [{ files: [file("b")] }], created })
        )).config
        expect(content.created).toBe("2026-01-02T03:04:05.678Z")
        expect(content.history?.map(({ created }) => created)).toEqual([
          "2019-01-01T00:00:00Z",
          "2026-01-02T03:04:05.678Z"
        ])
        expect(
          yield* problemOf(ImageBuild.from(below, { created: new Date("never") }))
        ).toMatchObject({ _tag: "InvalidImage", reason: "Config", path: "created" })
      })
    )

    it.effect("S27: folders have the mode and the owner that the base says", () =>
      Effect.gen(function* () {
        const below = yield* base([
          Tar.archive(
            Tar.entry({ name: "tmp/", type: "5", mode: 0o1777 }),
            Tar.entry({ name: "home/", type: "5", mode: 0o700, uid: 1000 }),
            Tar.entry({ name: "gone/", type: "5", mode: 0o700 })
          ),
          Tar.files({ ".wh.gone": "" })
        ])
        const top = yield* topOf(
          yield* pushed(
            ImageBuild.from(below, {
              layers: [
                { files: [file("tmp/a/b"), file("gone/c")], uid: 5 },
                {
                  files: [
                    { path: "tmp", type: "directory" },
                    { path: "home", type: "directory", uid: 0 },
                    file("tmp/a/c"),
                    file("gone/d")
                  ]
                }
              ]
            })
          )
        )
        expect(top).toMatchObject({
          tmp: { mode: 0o1777, uid: 0 },
          "tmp/a": { mode: 0o755, uid: 5 },
          home: { mode: 0o700, uid: 0 },
          gone: { mode: 0o755, uid: 5 }
        })
      })
    )

    it.effect("S27: files go to where links of the base lead", () =>
      Effect.gen(function* () {
        const link = (name: string, target: string) => Tar.entry({ name, type: "2", link: target })
        const below = yield* base([
          Tar.archive(
            Tar.entry({ name: "usr/lib/", type: "5", mode: 0o711 }),
            link("lib", "usr/lib"),
            link("lib64", "/lib"),
            link("up", "../../.."),
            link("new", "/var/new"),
            link("loop", "loop")
          )
        ])
        const build = (...files: ReadonlyArray<ImageBuild.File>) =>
          ImageBuild.from(below, { layers: [{ files }] })
        const top = yield* topOf(
          yield* pushed(
            build(
              file("lib/a"),
              file("lib64/b"),
              { path: "lib64", type: "directory" },
              file("up/c"),
              file("new/d"),
              file("loop"),
              { path: "usr/lib/e", type: "hardlink", target: "lib/a" }
            )
          )
        )
        expect(Object.keys(top)).toEqual([
          ...["c", "loop", "usr", "usr/lib", "usr/lib/a", "usr/lib/b", "var", "var/new"],
          ...["var/new/d", "usr/lib/e"]
        ])
        expect(top).toMatchObject({ "usr/lib": { type: "directory", mode: 0o711 } })
        expect(yield* problemOf(build(file("lib/a"), file("usr/lib/a")))).toMatchObject({
          reason: "Path",
          path: "usr/lib/a"
        })
        expect(yield* problemOf(build(file("loop/a")))).toMatchObject({ reason: "Path" })
      })
    )

    it.effect("S27: files for Windows are refused, and archives are taken", () =>
      Effect.gen(function* () {
        const windows = Platform.make({
          os: "windows",
          architecture: "amd64",
          "os.version": "10.0.20348.1"
        })
        expect(
          yield* problemOf(ImageBuild.scratch(windows, { layers: [{ files: [file("a")] }] }))
        ).toMatchObject({ _tag: "InvalidImage", reason: "Platform" })
        const archive = Tar.files({ "Files/": "", "Files/a": "1", "Hives/": "" })
        const { config } = yield* pushed(ImageBuild.scratch(windows, { layers: [{ archive }] }))
        expect(config.content["os.version"]).toBe("10.0.20348.1")
      })
    )

    it.effect("S31: no layer of it is read where folders of it do not matter", () =>
      Effect.gen(function* () {
        const below = yield* base([Tar.files({ a: "1" })])
        const unread: Image.Image = {
          ...below,
          layers: below.layers.map((layer) => ({
            ...layer,
            content: Stream.dieMessage("the base is read")
          }))
        }
        const { layers } = yield* ImageBuild.build(
          ImageBuild.from(unread, {
            layers: [{ files: [file("/b")] }, { archive: Tar.files({ "c/": "" }) }]
          })
        )
        expect(layers.map(({ descriptor }) => descriptor.digest).slice(0, 1)).toEqual(
          below.layers.map(({ descriptor }) => descriptor.digest)
        )
      })
    )
  })

  describe("S29: the history", () => {
    const steps = (history: unknown, layers: number) =>
      Effect.gen(function* () {
        const archives = Array.from({ length: layers }, (_, n) => Tar.files({ [`${n}`]: "" }))
        const below = yield* base(archives, { config: { history } })
        const { config } = yield* ImageBuild.build(
          ImageBuild.from(below, { layers: [{ files: [file("new")], history: { comment: "n" } }] })
        )
        const { content } = config
        expect(content.rootfs.diff_ids).toHaveLength(layers + 1)
        return content.history
      })
    const ours = { created_by: "effect-oci", comment: "n" }
    const [a, b, c] = ["a", "b", "c"].map((comment) => ({ comment }))

    it.effect("has a step for each layer, be it missing, short or too long in the base", () =>
      Effect.gen(function* () {
        expect(yield* steps(undefined, 2)).toEqual([{}, {}, ours])
        expect(yield* steps([a], 2)).toEqual([a, {}, ours])
        expect(yield* steps([a, b, c], 2)).toEqual([a, b, { ...c, empty_layer: true }, ours])
        expect(yield* steps([{ ...a, empty_layer: true }, b], 1)).toEqual([
          { ...a, empty_layer: true },
          b,
          ours
        ])
      })
    )
  })

  describe("archives and layers that there are", () => {
    const archive = Tar.files({ a: "1", "b/": "" })

    it.effect("an archive is compressed, and one that is compressed is kept", () =>
      Effect.gen(function* () {
        const zipped = gzipSync(archive, { level: 1 })
        const { layers } = yield* ImageBuild.build(
          ImageBuild.scratch(linux, {
            layers: [
              { archive },
              { archive: zipped, annotations: { "org.example": "1" } },
              { archive: BlobSource.fromStream(Stream.make(zipped)), compression: "none" }
            ]
          })
        )
        expect(layers.map(({ diffId }) => diffId)).toEqual(
          Array.from({ length: 3 }, () => Digest.fromBytes(archive))
        )
        expect(layers.map(({ descriptor }) => descriptor)).toMatchObject([
          { mediaType: MediaType.layerTarGzip },
          {
            mediaType: MediaType.layerTarGzip,
            digest: Digest.fromBytes(zipped),
            annotations: { "org.example": "1" }
          },
          { mediaType: MediaType.layerTar, size: archive.length }
        ])
        expect(
          yield* problemOf(ImageBuild.scratch(linux, { layers: [{ archive: utf8("text") }] }))
        ).toMatchObject({ _tag: "InvalidLayer", reason: "Format" })
      })
    )

    it.effect("a file of an artifact is a layer, whose archive is read for its digest", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        yield* Artifact.push(reference, {
          artifactType: "application/vnd.example.v1",
          files: [{ source: gzipSync(archive), mediaType: MediaType.layerTarGzip }]
        })
        const { files } = yield* Artifact.pull(reference)
        const built = yield* pushed(ImageBuild.scratch(linux, { layers: files }))
        expect(built.config.content.rootfs.diff_ids).toEqual([Digest.fromBytes(archive)])
        expect(built.layers.map(({ descriptor }) => descriptor)).toEqual(
          files.map(({ descriptor }) => descriptor)
        )
      })
    )

    it.effect("S25: a layer that is compressed otherwise loses what is said of its form", () =>
      Effect.gen(function* () {
        const below = yield* base([archive])
        const annotations = {
          [Annotations.stargzToc]: "sha256:1",
          [Annotations.stargzSize]: "1",
          [Annotations.zstdChunkedChecksum]: "sha256:1",
          [Annotations.zstdChunkedPosition]: "1:2:3:1",
          "org.example": "kept"
        }
        const [layer] = below.layers
        if (layer === undefined) return yield* Effect.dieMessage("one layer")
        const annotated = { ...layer, descriptor: { ...layer.descriptor, annotations } }
        const image = { ...below, layers: [annotated] }
        const kept = yield* ImageBuild.build(ImageBuild.mutate(image, { recompress: "gzip" }))
        expect(kept.layers[0]?.descriptor).toEqual(annotated.descriptor)
        const plain = yield* pushed(ImageBuild.mutate(image, { recompress: "none" }))
        expect(plain.layers[0]).toMatchObject({
          diffId: layer.diffId,
          descriptor: {
            mediaType: MediaType.layerTar,
            annotations: { "org.example": "kept" },
            size: archive.length
          }
        })
        expect(plain.layers[0]?.descriptor.annotations).toEqual({ "org.example": "kept" })
      })
    )
  })

  describe("S28: one family of media types", () => {
    const archive = Tar.files({ a: "1" })

    /** A base with layers of these types, under a manifest of OCI's or Docker's. */
    const mixed = (types: ReadonlyArray<string>, docker = false) =>
      Effect.gen(function* () {
        const below = yield* base(types.map((_, n) => Tar.files({ [`${n}`]: "" })))
        const layers = below.layers.map((layer, n) => ({
          ...layer,
          descriptor: { ...layer.descriptor, mediaType: types[n] ?? "" }
        }))
        const manifest = Manifest.image({
          mediaType: docker ? MediaType.dockerManifest : MediaType.imageManifest,
          config: below.config.descriptor,
          layers: layers.map(({ descriptor }) => descriptor)
        })
        return { ...below, layers, manifest } satisfies Image.Image
      })

    const typesOf = ({ config, layers, manifest }: ImageBuild.BuiltImage<unknown>) => [
      manifest.descriptor.mediaType,
      config.descriptor.mediaType,
      ...layers.map(({ descriptor }) => descriptor.mediaType)
    ]

    it.effect("is that of the base, and holds for what is added", () =>
      Effect.gen(function* () {
        const below = yield* mixed([MediaType.dockerLayerTarGzip], true)
        const image = ImageBuild.from(below, {
          layers: [{ files: [file("a")] }, { archive, compression: "none" }]
        })
        const built = yield* ImageBuild.build(image)
        expect(typesOf(built)).toEqual([
          MediaType.dockerManifest,
          MediaType.dockerImageConfig,
          MediaType.dockerLayerTarGzip,
          MediaType.dockerLayerTarGzip,
          MediaType.dockerLayerTar
        ])
        const { content } = built.manifest
        expect(content._tag === "ImageManifest" && content.annotations).toBe(undefined)
      })
    )

    it.effect("is made of a mixture, and of the other family, both ways", () =>
      Effect.gen(function* () {
        const below = yield* mixed([
          MediaType.dockerLayerTarGzip,
          MediaType.layerTar,
          MediaType.dockerForeignLayerTarGzip
        ])
        const layers = [{ files: [file("a")], annotations: { "org.example": "1" } }]
        expect(typesOf(yield* ImageBuild.build(ImageBuild.from(below, { layers })))).toEqual([
          MediaType.imageManifest,
          MediaType.imageConfig,
          MediaType.layerTarGzip,
          MediaType.layerTar,
          MediaType.nonDistributableLayerTarGzip,
          MediaType.layerTarGzip
        ])
        const docker = yield* ImageBuild.build(ImageBuild.from(below, { layers, format: "docker" }))
        expect(typesOf(docker)).toEqual([
          MediaType.dockerManifest,
          MediaType.dockerImageConfig,
          MediaType.dockerLayerTarGzip,
          MediaType.dockerLayerTar,
          MediaType.dockerForeignLayerTarGzip,
          MediaType.dockerLayerTarGzip
        ])
        expect(docker.layers.every(({ descriptor }) => !("annotations" in descriptor))).toBe(true)
      })
    )

    it.effect("has no zstd in Docker's, unless it is compressed otherwise", () =>
      Effect.gen(function* () {
        const plain = yield* base([archive])
        const [layer] = plain.layers
        if (layer === undefined) return yield* Effect.dieMessage("one layer")
        const { layers } = yield* ImageBuild.build(
          ImageBuild.scratch(linux, { layers: [{ archive, compression: "zstd" }] })
        ).pipe(Effect.provideService(Compression, { gzip: (_) => stored, zstd: () => stored }))
        const [zstd] = layers
        if (zstd === undefined) return yield* Effect.dieMessage("one layer")
        const content = Stream.orDie(zstd.content)
        const source = BlobSource.fromStream(content, zstd.descriptor)
        const existing = { ...layer, content, source, descriptor: zstd.descriptor }
        const image = { ...plain, layers: [existing] }
        expect(yield* problemOf(ImageBuild.mutate(image, { format: "docker" }))).toMatchObject({
          _tag: "InvalidImage",
          reason: "Format",
          path: `layer ${zstd.descriptor.digest}`
        })
        const converted = yield* ImageBuild.build(
          ImageBuild.mutate(image, { format: "docker", recompress: "gzip" })
        )
        expect(typesOf(converted)).toEqual([
          MediaType.dockerManifest,
          MediaType.dockerImageConfig,
          MediaType.dockerLayerTarGzip
        ])
        expect(converted.layers[0]?.diffId).toBe(layer.diffId)
        const added = { files: [file("a")], compression: "zstd" } as const
        expect(
          yield* problemOf(ImageBuild.scratch(linux, { format: "docker", layers: [added] })).pipe(
            Effect.provideService(Compression, { gzip: (_) => stored, zstd: () => stored })
          )
        ).toMatchObject({ reason: "Format" })
      })
    )

    it.effect("has neither annotations in Docker's, nor layers that nobody knows", () =>
      Effect.gen(function* () {
        const docker = { format: "docker", annotations: { a: "1" } } as const
        expect(yield* problemOf(ImageBuild.scratch(linux, docker))).toMatchObject({
          reason: "Format",
          path: "annotations"
        })
        const encrypted = `${MediaType.layerTarGzip}+encrypted`
        const below = yield* mixed([encrypted])
        expect(typesOf(yield* ImageBuild.build(ImageBuild.mutate(below, {})))).toContain(encrypted)
        expect(yield* problemOf(ImageBuild.mutate(below, { format: "docker" }))).toMatchObject({
          reason: "Format"
        })
      })
    )
  })

  describe("S30: rebase", () => {
    const config = (version: string, more: object = {}) => ({
      config: {
        config: {
          Env: [`PATH=/bin`, `VERSION=${version}`],
          Labels: { version, same: "1" },
          WorkingDir: `/${version}`,
          User: "root",
          ...more
        },
        history: [{ created_by: version }, { created_by: `ENV ${version}`, empty_layer: true }]
      }
    })

    it.effect("takes the new base's values where the image has the old one's", () =>
      Effect.gen(function* () {
        const from = yield* base([Tar.files({ old: "" })], config("1", { StopSignal: "SIGINT" }))
        const to = yield* base(
          [Tar.files({ new: "" }), Tar.files({ newer: "" })],
          config("2", { Cmd: ["new"] })
        )
        const image = yield* pushed(
          ImageBuild.from(from, {
            layers: [{ files: [file("app/main")], history: { comment: "ours" } }],
            config: {
              env: { PATH: "/app", OWN: "1" },
              labels: { own: "1", same: undefined },
              user: "app"
            },
            annotations: { "org.example": "1" }
          })
        )
        const rebased = yield* pushed(yield* ImageBuild.rebase(image, { from, to }))
        const own = image.layers[1]
        expect(rebased.layers.map(({ descriptor }) => descriptor)).toEqual([
          ...to.layers.map(({ descriptor }) => descriptor),
          own?.descriptor
        ])
        expect(rebased.config.content.config).toEqual({
          Env: ["PATH=/app", "VERSION=2", "OWN=1"],
          Labels: { version: "2", own: "1" },
          WorkingDir: "/2",
          User: "app",
          Cmd: ["new"]
        })
        expect(rebased.config.content.history).toEqual([
          { created_by: "2" },
          { created_by: "ENV 2", empty_layer: true },
          {},
          { created_by: "effect-oci", comment: "ours" }
        ])
        expect(rebased.annotations).toEqual({
          "org.example": "1",
          [Annotations.baseName]: `${to.requested}`,
          [Annotations.baseDigest]: to.manifest.descriptor.digest
        })
      })
    )

    it.effect("fails where the base is another one, or for another platform", () =>
      Effect.gen(function* () {
        const from = yield* base([Tar.files({ old: "" })])
        const moved = yield* base([Tar.files({ moved: "" })])
        const arm = yield* base([Tar.files({ new: "" })], { platform: "linux/arm64" })
        const image = ImageBuild.from(from, { layers: [{ files: [file("a")] }] })
        const problem = (from: Image.Image, to: Image.Image) =>
          Effect.flip(ImageBuild.rebase(image, { from, to }))
        expect(yield* problem(moved, from)).toMatchObject({
          _tag: "InvalidImage",
          reason: "Base",
          message: expect.stringContaining(`${moved.reference}`)
        })
        expect(yield* problem(from, arm)).toMatchObject({
          reason: "Base",
          message: expect.stringContaining("linux/arm64")
        })
        const long = yield* base([Tar.files({ old: "" }), Tar.files({ a: "" })])
        expect(yield* problem(long, from)).toMatchObject({ reason: "Base" })
      })
    )

    it.effect("reports attestations of the image, and leaves them behind", () =>
      Effect.gen(function* () {
        const from = yield* base([Tar.files({ old: "" })])
        const to = yield* base([Tar.files({ new: "" })])
        const image = yield* pushed(ImageBuild.from(from, { layers: [{ files: [file("a")] }] }))
        const attestation: Descriptor.Descriptor = {
          ...Descriptor.fromBytes(utf8("attestation"), MediaType.imageManifest),
          annotations: {
            [Annotations.referenceType]: "attestation-manifest",
            [Annotations.referenceDigest]: image.manifest.descriptor.digest
          },
          platform: Platform.make({ os: "unknown", architecture: "unknown" })
        }
        const other = { ...attestation, annotations: { [Annotations.referenceDigest]: "other" } }
        const root = Manifest.index({
          manifests: [image.manifest.descriptor, attestation, other]
        })
        const rebased = yield* ImageBuild.rebase({ ...image, root }, { from, to })
        expect(rebased.attestations).toEqual([attestation])
        const warnings: Array<string> = []
        const logger = Logger.make(({ message }) => void warnings.push(String(message)))
        const { manifest } = yield* ImageBuild.push(
          `${yield* name}:v1`,
          ImageBuild.index([rebased])
        ).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
        expect(Manifest.references(manifest)).toHaveLength(1)
        expect(warnings).toMatchObject([expect.stringContaining(attestation.digest)])
        expect(ImageBuild.from({ ...image, root }).attestations).toEqual([])
      })
    )
  })

  describe("an index", () => {
    const imageFor = (platform: string, changes: ImageBuild.Changes = {}) =>
      ImageBuild.scratch(Platform.unsafeParse(platform), {
        layers: [{ files: [file(platform.replaceAll("/", "-"))] }],
        ...changes
      })

    it.effect("lists images by platform, of which a pull chooses, nested ones too", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        const arm = ImageBuild.index([imageFor("linux/arm/v7"), imageFor("linux/arm64")])
        const annotations = { "org.example": "1" }
        const { manifest } = yield* ImageBuild.push(
          reference,
          ImageBuild.index([imageFor("linux/amd64"), arm], { annotations }),
          { tags: ["v1.0"] }
        )
        expect(manifest.content).toMatchObject({ _tag: "ImageIndex", annotations })
        for (const text of ["linux/amd64", "linux/arm/v7", "linux/arm64"]) {
          const platform = Platform.unsafeParse(text)
          const image = yield* Image.pull(reference.replace(":v1", ":v1.0"), { platform })
          expect(image.root.descriptor.digest).toBe(manifest.descriptor.digest)
          expect(Object.keys(yield* topOf(image))).toEqual([text.replaceAll("/", "-")])
        }
      })
    )

    it.effect("lists what it is given twice once: added again, nothing changes", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        const [amd, arm] = [imageFor("linux/amd64"), imageFor("linux/arm64")]
        const { manifest } = yield* ImageBuild.push(reference, ImageBuild.index([amd, arm, amd]))
        const listed = Manifest.references(manifest)
        expect(listed.map(({ platform }) => platform?.architecture)).toEqual(["amd64", "arm64"])
        const again = yield* ImageBuild.push(reference, ImageBuild.index([...listed, arm]))
        expect(again.manifest.descriptor).toEqual(manifest.descriptor)
      })
    )

    it.effect("keeps images that were pulled byte for byte, and what is there already", () =>
      Effect.gen(function* () {
        const pulled = yield* base([Tar.files({ a: "1" })], { labels: { own: "1" } })
        const reference = `${yield* name}:v1`
        const first = yield* ImageBuild.push(reference, ImageBuild.index([pulled]))
        expect(Manifest.references(first.manifest)).toEqual([
          { ...pulled.manifest.descriptor, platform: linux }
        ])
        const { content } = yield* Registries.manifest(reference)
        const listed = content._tag === "ImageIndex" ? content.manifests : []
        const { manifest } = yield* ImageBuild.push(
          reference,
          ImageBuild.index([...listed, imageFor("linux/arm64")])
        )
        expect(Manifest.references(manifest).map(({ platform }) => `${platform}`)).toEqual([
          "linux/amd64",
          "linux/arm64"
        ])
        const image = yield* Image.pull(reference, { platform: linux })
        expect(image.manifest.bytes).toEqual(pulled.manifest.bytes)
      })
    )

    it.effect("S28: is of one family with what it lists", () =>
      Effect.gen(function* () {
        const [amd, arm] = [imageFor("linux/amd64", { format: "docker" }), imageFor("linux/arm64")]
        const typesOf = (index: ImageBuild.IndexBuild) =>
          Effect.gen(function* () {
            const { manifest } = yield* ImageBuild.push(`${yield* name}:v1`, index)
            return [
              manifest.descriptor.mediaType,
              ...Manifest.references(manifest).map(({ mediaType }) => mediaType)
            ]
          })
        const { imageIndex, imageManifest, dockerManifest, dockerManifestList } = MediaType
        expect(yield* typesOf(ImageBuild.index([amd]))).toEqual([
          dockerManifestList,
          dockerManifest
        ])
        expect(yield* typesOf(ImageBuild.index([amd, arm]))).toEqual([
          imageIndex,
          imageManifest,
          imageManifest
        ])
        expect(yield* typesOf(ImageBuild.index([amd, arm], { format: "docker" }))).toEqual([
          dockerManifestList,
          dockerManifest,
          dockerManifest
        ])
        const pulled = yield* base([Tar.files({ a: "1" })])
        const docker = { format: "docker" } as const
        const refused: ReadonlyArray<ImageBuild.IndexBuild> = [
          ImageBuild.index([pulled], docker),
          ImageBuild.index([pulled.manifest.descriptor], docker),
          ImageBuild.index([ImageBuild.index([amd])], docker),
          ImageBuild.index([ImageBuild.index([amd], docker), arm]),
          ImageBuild.index([amd], { annotations: { a: "1" } })
        ]
        for (const index of refused)
          expect(yield* Effect.flip(typesOf(index))).toMatchObject({
            _tag: "InvalidImage",
            reason: "Format"
          })
      })
    )
  })
})

/** zstd of one frame per array, not compressed (RFC 8878 section 3.1.1). */
const stored = <E, R>(content: Stream.Stream<Uint8Array, E, R>) =>
  Stream.map(content, (bytes) => {
    const header = Buffer.alloc(8 + 4)
    header.set([0x28, 0xb5, 0x2f, 0xfd, 0xa0])
    header.writeUInt32LE(bytes.length, 5)
    header.writeUIntLE(1 + 8 * bytes.length, 9, 3)
    return Buffer.concat([header, bytes])
  })
