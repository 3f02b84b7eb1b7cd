import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { describe, expect, it, layer } from "@effect/vitest"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import * as Artifact from "../../src/content/Artifact.js"
import { layerRegistries } from "../../src/node/NodeRegistry.js"
import * as Registries from "../../src/Registries.js"
import * as Annotations from "../../src/spec/Annotations.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshBytes, gather, items, utf8 } from "../support/fixtures.js"
import { registryOn } from "../support/server.js"

const artifactType = "application/vnd.example.report.v1"
const artifact = { artifactType, files: [{ title: "report.txt", source: utf8("all is well") }] }
/** The manifest of `artifact`. */
const plain = utf8(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MediaType.imageManifest,
    artifactType,
    config: Descriptor.empty,
    layers: [
      {
        mediaType: "application/octet-stream",
        digest: Digest.fromBytes(utf8("all is well")),
        size: 11,
        annotations: { [Annotations.title]: "report.txt" }
      }
    ]
  })
)
const other = Digest.fromBytes(utf8("something else"))
const memory = MemoryRegistry.layerRegistries()

const open = Effect.fnUntraced(function* (text: string) {
  const reference = yield* Reference.parse(text)
  return { ...reference, registry: yield* (yield* Registries.Registries).get(reference.host) }
})

const headOf = Effect.fnUntraced(function* (text: string) {
  const reference = yield* Reference.parse(text)
  const registry = yield* (yield* Registries.Registries).get(reference.host)
  return yield* registry.headManifest(reference.repository, Reference.tagOrDigest(reference))
})

const tagsOf = Effect.fnUntraced(function* (text: string) {
  const { registry, repository } = yield* open(text)
  return yield* items(registry.tags(repository))
})

const imageOf = (manifest: Manifest.Manifest) => {
  if (manifest.content._tag !== "ImageManifest") throw new Error("not an image manifest")
  return manifest.content
}

// -----------------------------------------------------------------------------
// Content
// -----------------------------------------------------------------------------

/** What each row of the table is (image-spec, "Guidelines for Artifact Usage"), on the wire. */
const decisions = (() => {
  const file = { title: "a.txt", mediaType: "text/plain", source: utf8("a") }
  const layer = {
    mediaType: "text/plain",
    digest: Digest.fromBytes(utf8("a")),
    size: 1,
    annotations: { [Annotations.title]: "a.txt" }
  }
  const empty = {
    mediaType: "application/vnd.oci.empty.v1+json",
    digest: "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    size: 2,
    data: "e30="
  }
  const mediaType = "application/vnd.example.config.v1+json"
  const config = { mediaType, json: { a: 1 } }
  const ofConfig = { mediaType, digest: Digest.fromBytes(utf8('{"a":1}')), size: 7 }
  const type = { artifactType }
  return [
    ["no files", { ...type, files: [] }, { ...type, config: empty, layers: [empty] }],
    ["files", { ...type, files: [file] }, { ...type, config: empty, layers: [layer] }],
    [
      "files and a config",
      { ...type, config, files: [file] },
      { ...type, config: ofConfig, layers: [layer] }
    ],
    [
      "a config alone",
      { ...type, config, files: [] },
      { ...type, config: ofConfig, layers: [empty] }
    ],
    [
      "files and a config whose type is that of the artifact",
      { config, files: [file] },
      { config: ofConfig, layers: [layer] }
    ]
  ] as const satisfies ReadonlyArray<readonly [string, Artifact.PushOptions, object]>
})()

layer(memory)("an artifact of", (it) => {
  it.effect.each(decisions)("%s is put as the specification says", ([, options, expected]) =>
    Effect.gen(function* () {
      const { manifest } = yield* Artifact.push("ghcr.io/owner/table:1", options)
      expect(JSON.parse(new TextDecoder().decode(manifest.bytes))).toEqual({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        ...expected
      })
      const again = yield* Artifact.push("ghcr.io/owner/table:2", options)
      expect(again.manifest.descriptor).toEqual(manifest.descriptor)
      const pulled = yield* Artifact.pull("ghcr.io/owner/table:1")
      expect(pulled.artifactType).toEqual(
        Option.some("artifactType" in options ? artifactType : options.config.mediaType)
      )
      expect(pulled.files).toHaveLength(options.files.length)
    })
  )
})

layer(memory)("an artifact", (it) => {
  it.effect("has the time that is given, and none else: the same push has one digest", () =>
    Effect.gen(function* () {
      const push = (options: Partial<Artifact.PushOptions>) =>
        Effect.map(
          Artifact.push("ghcr.io/owner/time:1", {
            ...artifact,
            ...options
          } as Artifact.PushOptions),
          ({ manifest }) => imageOf(manifest).annotations
        )
      expect(yield* push({})).toBeUndefined()
      const annotations = { k: "v" }
      const created = new Date("2026-11-29T12:00:00+01:00")
      expect(yield* push({ annotations, created })).toEqual({
        k: "v",
        "org.opencontainers.image.created": "2026-11-29T11:00:00Z"
      })
      expect(yield* push({ created: new Date(1) })).toEqual({
        "org.opencontainers.image.created": "1970-01-01T00:00:00.001Z"
      })
      const text = { [Annotations.created]: "2026-11-29T12:00:00.5+01:00" }
      expect(yield* push({ annotations: text })).toEqual(text)
    })
  )

  it.effect("CP29: uploads equal content once, also where its digest is not known yet", () =>
    Effect.gen(function* () {
      const { registry, ...reference } = yield* open("ghcr.io/owner/equal:1")
      const puts: Array<number | undefined> = []
      const reads: Array<string> = []
      const source = (text: string) =>
        BlobSource.fromStream(
          Stream.suspend(() => {
            reads.push(text)
            return Stream.make(utf8(text))
          }),
          { size: text.length }
        )
      const { manifest } = yield* Artifact.pushTo(
        {
          ...registry,
          putBlob: (repository, source, options) => {
            puts.push(source.size)
            return registry.putBlob(repository, source, options)
          }
        },
        reference,
        {
          artifactType,
          files: ["same", "other", "same", "diff", "alone!"].map((text, n) => ({
            title: `${n}`,
            source: source(text)
          }))
        }
      )
      expect(puts.sort()).toEqual([2, 4, 4, 5, 6])
      // Those that no other one can equal are read once.
      expect(reads.filter((text) => text.length > 4)).toEqual(["other", "alone!"])
      // Others are read to be compared, which is all of a small one, and one of them to be sent.
      expect(reads.filter((text) => text === "same")).toHaveLength(3)
      const texts = ["same", "other", "same", "diff", "alone!"]
      expect(imageOf(manifest).layers.map(({ digest }) => digest)).toEqual(
        texts.map((text) => Digest.fromBytes(utf8(text)))
      )
    })
  )

  it.effect(
    "CP29: reads the whole of what has its size before it is sent where both begin alike",
    () =>
      Effect.gen(function* () {
        const { registry, ...reference } = yield* open("ghcr.io/owner/alike:1")
        const count = 10
        const read = new Map<string, number>()
        // The letter of each array: of 64 KiB, so that the beginning is the first.
        const source = (arrays: string) =>
          BlobSource.fromStream(
            Stream.fromIterable([...arrays]).pipe(
              Stream.rechunk(1),
              Stream.map((letter) => {
                read.set(arrays, (read.get(arrays) ?? 0) + 1)
                return new Uint8Array(65_536).fill(letter.charCodeAt(0))
              })
            ),
            { size: count * 65_536 }
          )
        const all = ["a", "b", "c", "c"].map((first) => first.padEnd(count, "x"))
        const contents = [...all, "c".padEnd(count, "y")]
        const { manifest } = yield* Artifact.pushTo(registry, reference, {
          artifactType,
          files: contents.map((content, n) => ({ title: `${n}`, source: source(content) }))
        })
        const [a = "", b = "", c = "", , other = ""] = contents
        // To be compared, where need be to be hashed, and to be sent: `c` once for two files.
        expect(read.get(a)).toBeLessThanOrEqual(2 + count)
        expect(read.get(b)).toBeLessThanOrEqual(2 + count)
        expect(read.get(other)).toBeGreaterThanOrEqual(1 + 2 * count)
        expect(read.get(c)).toBeLessThanOrEqual(2 * (2 + count) + count)
        const digests = imageOf(manifest).layers.map(({ digest }) => digest)
        expect(new Set(digests).size).toBe(4)
        expect(digests[2]).toBe(digests[3])
      })
  )

  it.effect("has an empty config, and its type in artifactType", () =>
    Effect.gen(function* () {
      const { manifest } = yield* Artifact.push("ghcr.io/owner/plain:1", artifact)
      const content = imageOf(manifest)
      expect(content.artifactType).toBe(artifactType)
      expect(content.config).toEqual(Descriptor.empty)
      expect(content.layers).toEqual([
        {
          mediaType: "application/octet-stream",
          digest: Digest.fromBytes(utf8("all is well")),
          size: 11,
          annotations: { [Annotations.title]: "report.txt" }
        }
      ])
    })
  )

  it.effect("has the empty layer where it has no files", () =>
    Effect.gen(function* () {
      const { manifest } = yield* Artifact.push("ghcr.io/owner/nothing:1", {
        artifactType,
        files: []
      })
      expect(imageOf(manifest).layers).toEqual([Descriptor.empty])
      expect((yield* Artifact.pull("ghcr.io/owner/nothing:1")).files).toEqual([])
    })
  )

  it.effect("has a config of its own, whose type stands for that of the artifact", () =>
    Effect.gen(function* () {
      const config = utf8('{"name":"app","version":"1.0.0"}')
      const { manifest } = yield* Artifact.push("ghcr.io/charts/app:1.0.0", {
        config: { mediaType: "application/vnd.cncf.helm.config.v1+json", source: config },
        files: [
          {
            mediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            source: BlobSource.fromStream(Stream.make(utf8("a chart")))
          }
        ]
      })
      const content = imageOf(manifest)
      expect(content.artifactType).toBeUndefined()
      expect(Manifest.artifactType(manifest)).toEqual(
        Option.some("application/vnd.cncf.helm.config.v1+json")
      )
      expect(content.config).toEqual(
        Descriptor.fromBytes(config, "application/vnd.cncf.helm.config.v1+json")
      )
      const { registry, repository } = yield* open("ghcr.io/charts/app")
      expect(yield* gather(registry.getBlob(repository, content.config))).toEqual(config)
      // Nobody needs the empty content then.
      expect(yield* registry.headBlob(repository, Descriptor.empty.digest)).toEqual(Option.none())
      const pulled = yield* Artifact.pull("ghcr.io/charts/app:1.0.0")
      expect(pulled.artifactType).toEqual(Manifest.artifactType(manifest))
      expect(yield* Effect.forEach(pulled.files, (file) => gather(file.content))).toEqual([
        utf8("a chart")
      ])
    })
  )

  it.effect("has both types, an annotated config, and {} where the config has no source", () =>
    Effect.gen(function* () {
      const { manifest } = yield* Artifact.push("ghcr.io/features/go:1", {
        artifactType,
        config: { mediaType: "application/vnd.devcontainers", annotations: { note: "metadata" } },
        files: [{ mediaType: "application/vnd.devcontainers.layer.v1+tar", source: utf8("tgz") }]
      })
      const content = imageOf(manifest)
      expect(content.artifactType).toBe(artifactType)
      expect(content.config).toEqual({
        ...Descriptor.fromBytes(utf8("{}"), "application/vnd.devcontainers"),
        annotations: { note: "metadata" }
      })
    })
  )

  it.effect("may name the empty config, and needs an artifactType then", () =>
    Effect.gen(function* () {
      const config = { mediaType: MediaType.empty }
      const { manifest } = yield* Artifact.push("ghcr.io/owner/empty:1", {
        artifactType,
        config,
        files: []
      })
      expect(imageOf(manifest).config.digest).toBe(Descriptor.empty.digest)
      expect(
        yield* Effect.flip(Artifact.push("ghcr.io/owner/empty:2", { config, files: [] }))
      ).toMatchObject({ _tag: "InvalidManifest", path: "artifactType" })
    })
  )

  it.effect("uploads equal content once, and describes it as often as it has names", () =>
    Effect.gen(function* () {
      const { registry, ...reference } = yield* open("ghcr.io/owner/twice:1")
      const puts: Array<number | undefined> = []
      const bytes = freshBytes("b1")
      const same = BlobSource.fromBytes(bytes)
      const { manifest } = yield* Artifact.pushTo(
        {
          ...registry,
          putBlob: (repository, source, options) => {
            puts.push(bytes.length)
            return registry.putBlob(repository, source, options)
          }
        },
        reference,
        {
          artifactType,
          files: ["a", "b", "c"].map((title) => ({ title, source: title === "b" ? bytes : same }))
        }
      )
      const { layers } = imageOf(manifest)
      expect(layers.map(({ digest }) => digest)).toEqual(Array(3).fill(Digest.fromBytes(bytes)))
      expect(layers.map(({ annotations }) => annotations?.[Annotations.title])).toEqual([
        "a",
        "b",
        "c"
      ])
      // One for the files, one for the empty config.
      expect(puts).toHaveLength(2)
    })
  )
})

// -----------------------------------------------------------------------------
// Names
// -----------------------------------------------------------------------------

layer(memory)("the tags of a push", (it) => {
  it.effect("are strings, in addition to that of the reference, each once", () =>
    Effect.gen(function* () {
      const tags = ["1.2", "1", "latest", "1.2.3"]
      yield* Artifact.push("ghcr.io/owner/tags:1.2.3", { ...artifact, tags })
      expect([...(yield* tagsOf("ghcr.io/owner/tags"))].sort()).toEqual([
        "1",
        "1.2",
        "1.2.3",
        "latest"
      ])
    })
  )

  it.effect("are those given where the reference has none", () =>
    Effect.gen(function* () {
      yield* Artifact.push("ghcr.io/owner/given", { ...artifact, tags: ["stable"] })
      expect(yield* tagsOf("ghcr.io/owner/given")).toEqual(["stable"])
    })
  )

  it.effect("may be none, on purpose: with an empty list, by digest, or for a subject", () =>
    Effect.gen(function* () {
      const { manifest, reference } = yield* Artifact.push("ghcr.io/owner/untagged", {
        ...artifact,
        tags: []
      })
      expect(Reference.format(reference)).toBe(
        `ghcr.io/owner/untagged@${manifest.descriptor.digest}`
      )
      expect(yield* headOf(Reference.format(reference))).toEqual(Option.some(manifest.descriptor))
      yield* Artifact.push(reference, artifact)
      yield* Artifact.push("ghcr.io/owner/untagged", {
        ...artifact,
        subject: manifest.descriptor
      })
      expect(yield* tagsOf("ghcr.io/owner/untagged")).toEqual([])
    })
  )
})

describe("before anything is sent", () => {
  const given = Effect.gen(function* () {
    const { port, seen } = yield* registryOn()
    const push = (name: string, options: Partial<Artifact.PushOptions>) =>
      Artifact.push(`localhost:${port}/owner/${name}`, {
        ...artifact,
        ...options
      } as Artifact.PushOptions)
    return { host: `localhost:${port}`, seen, push }
  })
  const over = layerRegistries().pipe(Layer.provide(Credentials.layerAnonymous))

  const refusals: ReadonlyArray<
    readonly [
      name: string,
      reference: string,
      options: Partial<Artifact.PushOptions>,
      expected: object,
      message: string
    ]
  > = [
    [
      "an artifactType that is empty",
      "a:1",
      { artifactType: "" },
      { _tag: "InvalidManifest", reason: "MediaType", path: "artifactType" },
      `HOST/owner/a:1: artifactType is empty: expected something like "${artifactType}"`
    ],
    [
      "an artifactType that is a word",
      "a:1",
      { artifactType: "helm" },
      { _tag: "InvalidManifest", reason: "MediaType", path: "artifactType" },
      'HOST/owner/a:1: artifactType "helm" is not a media type, since it has no "/": ' +
        `expected something like "${artifactType}"`
    ],
    [
      "an artifactType with parameters",
      "a:1",
      { artifactType: "application/json; charset=utf-8" },
      { _tag: "InvalidManifest", path: "artifactType" },
      'HOST/owner/a:1: artifactType "application/json; charset=utf-8" has parameters, ' +
        `which are not part of a media type: expected something like "${artifactType}"`
    ],
    [
      "an artifactType with characters that no media type has",
      "a:1",
      { artifactType: "application/my report\n" },
      { _tag: "InvalidManifest", path: "artifactType" },
      'HOST/owner/a:1: artifactType "application/my report\\n" is not a media type: ' +
        `expected something like "${artifactType}"`
    ],
    [
      "an artifactType beyond all bounds, of which it shows a part",
      "a:1",
      { artifactType: `application/${"x".repeat(1_000_000)}` },
      { _tag: "InvalidManifest", path: "artifactType" },
      `HOST/owner/a:1: artifactType "application/${"x".repeat(116)}" is not a media type: ` +
        `expected something like "${artifactType}"`
    ],
    [
      "no type at all",
      "a:1",
      { artifactType: undefined },
      { _tag: "InvalidManifest", path: "artifactType" },
      `HOST/owner/a:1: artifactType is missing: say what the artifact is, such as "${artifactType}"`
    ],
    [
      "the type of a config",
      "a:1",
      { config: { mediaType: "json" } },
      { _tag: "InvalidManifest", reason: "MediaType", path: "config.mediaType" },
      'HOST/owner/a:1: config.mediaType "json" is not a media type, since it has no "/": ' +
        'expected something like "application/vnd.example.report.config.v1+json"'
    ],
    [
      "an empty artifactType beside a config",
      "a:1",
      { artifactType: "", config: { mediaType: "application/json" } },
      { _tag: "InvalidManifest", path: "artifactType" },
      `HOST/owner/a:1: artifactType is empty: expected something like "${artifactType}"`
    ],
    [
      "content of the empty config",
      "a:1",
      { config: { mediaType: MediaType.empty, source: utf8("{ }") } },
      { _tag: "InvalidManifest", path: "config.mediaType" },
      "HOST/owner/a:1: config.mediaType is that of the empty config: " +
        "leave out its source, or give it a type of its own"
    ],
    [
      "the type of a file",
      "a:1",
      {
        files: [
          { mediaType: "text/plain", source: utf8("a") },
          { mediaType: ".txt", source: utf8("b") }
        ]
      },
      { _tag: "InvalidManifest", path: "files[1].mediaType" },
      'HOST/owner/a:1: files[1].mediaType ".txt" is not a media type, since it has no "/": ' +
        'expected something like "text/plain"'
    ],
    [
      "a file of the type of none",
      "a:1",
      { files: [{ mediaType: MediaType.empty, source: utf8("a") }] },
      { _tag: "InvalidManifest", path: "files[0].mediaType" },
      "HOST/owner/a:1: files[0].mediaType is that of no file: it would not be pulled"
    ],
    [
      "two files of one title",
      "a:1",
      {
        files: [
          { title: "a", source: utf8("a") },
          { title: "b", source: utf8("b") },
          { title: "a", source: utf8("c") }
        ]
      },
      { _tag: "InvalidManifest", reason: "Shape", path: "files[2].title" },
      'HOST/owner/a:1: files[2].title "a" is that of files[0] too: ' +
        "one would replace the other where they are unpacked"
    ],
    [
      "two files of one place",
      "a:1",
      {
        files: [
          { title: "a", source: utf8("a") },
          { title: "./a", source: utf8("b") }
        ]
      },
      { _tag: "InvalidManifest", reason: "Shape", path: "files[1].title" },
      'HOST/owner/a:1: files[1].title "./a" is that of files[0] too: ' +
        "one would replace the other where they are unpacked"
    ],
    [
      "two files of one title, which the annotations of one say (CP29)",
      "a:1",
      {
        files: [
          { title: "a", source: utf8("a") },
          { source: utf8("b"), annotations: { [Annotations.title]: "a" } }
        ]
      },
      { _tag: "InvalidManifest", reason: "Shape", path: "files[1].title" },
      'HOST/owner/a:1: files[1].title "a" is that of files[0] too: ' +
        "one would replace the other where they are unpacked"
    ],
    [
      "two titles of one file",
      "a:1",
      { files: [{ title: "a", source: utf8("a"), annotations: { [Annotations.title]: "b" } }] },
      { _tag: "InvalidManifest", path: `files[0].annotations["${Annotations.title}"]` },
      `HOST/owner/a:1: files[0].annotations["${Annotations.title}"] is given by title, too`
    ],
    [
      "a file in another one",
      "a:1",
      {
        files: [
          { title: "a/b/c", source: utf8("a") },
          { title: "a", source: utf8("b") }
        ]
      },
      { _tag: "InvalidManifest", reason: "Shape", path: "files[0].title" },
      'HOST/owner/a:1: files[0].title "a/b/c" is in a folder that is files[1], which is a file'
    ],
    [
      "an empty title",
      "a:1",
      { files: [{ title: "", source: utf8("a") }] },
      { _tag: "InvalidManifest", path: "files[0].title" },
      "HOST/owner/a:1: files[0].title is empty: leave it out"
    ],
    [
      "an archive that leads out of where it is unpacked",
      "a:1",
      {
        files: [{ title: "../a", source: utf8("a"), annotations: { [Annotations.unpack]: "true" } }]
      },
      { _tag: "InvalidManifest", path: "files[0].title" },
      'HOST/owner/a:1: files[0].title "../a" is not a path below where it is unpacked'
    ],
    [
      "an archive that does not say where it is unpacked",
      "a:1",
      { files: [{ source: utf8("a"), annotations: { [Annotations.unpack]: "true" } }] },
      { _tag: "InvalidManifest", path: "files[0].title" },
      "HOST/owner/a:1: files[0].title is missing, which says where it is unpacked"
    ],
    [
      "a time that is none",
      "a:1",
      { created: new Date("yesterday") },
      { _tag: "InvalidManifest", path: "created" },
      "HOST/owner/a:1: created is not a date"
    ],
    [
      "a time that has no way to be written",
      "a:1",
      { created: new Date(8.64e15) },
      { _tag: "InvalidManifest", path: "created" },
      "HOST/owner/a:1: created is not of the years 0 to 9999"
    ],
    [
      "an annotation of a time that is none",
      "a:1",
      { annotations: { [Annotations.created]: "2026-11-29 12:00" } },
      { _tag: "InvalidManifest", path: `annotations["${Annotations.created}"]` },
      `HOST/owner/a:1: annotations["${Annotations.created}"] is "2026-11-29 12:00", ` +
        'which is not a time: expected "2026-11-29T12:00:00Z"'
    ],
    [
      "two times",
      "a:1",
      { annotations: { [Annotations.created]: "2026-11-29T12:00:00Z" }, created: new Date(0) },
      { _tag: "InvalidManifest", path: `annotations["${Annotations.created}"]` },
      `HOST/owner/a:1: annotations["${Annotations.created}"] is given by created, too`
    ],
    [
      "a config that is no JSON",
      "a:1",
      { config: { mediaType: "application/json", json: { n: 1n } } },
      { _tag: "InvalidManifest", path: "config.json" },
      "HOST/owner/a:1: config.json is not a value of JSON: Do not know how to serialize a BigInt"
    ],
    [
      "a config that is a function",
      "a:1",
      { config: { mediaType: "application/json", json: () => 1 } },
      { _tag: "InvalidManifest", path: "config.json" },
      "HOST/owner/a:1: config.json is not a value of JSON: it is function"
    ],
    [
      "a config that is given twice",
      "a:1",
      { config: { mediaType: "application/json", json: {}, source: utf8("{}") } },
      { _tag: "InvalidManifest", path: "config.json" },
      "HOST/owner/a:1: config.json is given beside a source: which of them is it?"
    ],
    [
      "a tag that is not one",
      "a:1",
      { tags: ["latest", "feature/login"] },
      { _tag: "InvalidReference", reason: "Tag", input: "feature/login" },
      '"feature/login" is not a tag; expected at most 128 letters, digits, "_", "." and "-", ' +
        'not starting with "." or "-"'
    ],
    [
      "a name without tag and digest",
      "a",
      {},
      { _tag: "InvalidReference", reason: "Tag" },
      "HOST/owner/a has neither tag nor digest. What reads takes that for latest, and what " +
        "writes or removes never does: write HOST/owner/a:latest if that is meant"
    ],
    [
      "the digest of other content, known in advance",
      `a:1@${other}`,
      {},
      { _tag: "DigestMismatch", expected: other },
      `The manifest for HOST/owner/a:1@${other} has the digest ` +
        `${Digest.fromBytes(plain)}: ` +
        "leave out the digest of the reference to push it; " +
        "to attach it to what has that digest, use Artifact.attach"
    ],
    [
      "the digest of its subject",
      `a@${other}`,
      {
        files: [{ source: BlobSource.fromStream(Stream.make(utf8("a"))) }],
        subject: { mediaType: MediaType.imageManifest, digest: other, size: 14 }
      },
      { _tag: "DigestMismatch", expected: other },
      `The manifest for HOST/owner/a@${other} has another digest: ` +
        "leave out the digest of the reference to push it; " +
        "to attach it to what has that digest, use Artifact.attach"
    ]
  ]

  for (const [name, reference, options, expected, message] of refusals)
    it.live(`a push refuses ${name}`, () =>
      Effect.gen(function* () {
        const { host, push, seen } = yield* given
        const failure = yield* Effect.flip(push(reference, options))
        expect(failure).toMatchObject(expected)
        expect(failure.message.replaceAll(host, "HOST")).toBe(message)
        expect(seen).toEqual([])
      }).pipe(Effect.scoped, Effect.provide(over))
    )

  it.live("an attachment is checked as a push is, and its subject is named", () =>
    Effect.gen(function* () {
      const { host, seen } = yield* given
      const attach = (reference: string, options: Partial<Artifact.AttachOptions> = {}) =>
        Effect.flip(
          Artifact.attach(`${host}/owner/${reference}`, {
            ...artifact,
            ...options
          } as Artifact.AttachOptions)
        )
      expect(yield* attach("a:1", { artifactType: "sbom" })).toMatchObject({
        _tag: "InvalidManifest",
        path: "artifactType"
      })
      expect(yield* attach("a")).toMatchObject({ _tag: "InvalidReference", reason: "Tag" })
      expect(yield* attach("A:1")).toMatchObject({
        _tag: "InvalidReference",
        reason: "Repository"
      })
      expect(seen).toEqual([])
    }).pipe(Effect.scoped, Effect.provide(over))
  )
})

// -----------------------------------------------------------------------------
// Attach
// -----------------------------------------------------------------------------

layer(memory)("an attachment", (it) => {
  for (const at of ["a tag", "a digest", "a tag and a digest"])
    it.effect(`is found among the referrers of its subject, given by ${at}`, () =>
      Effect.gen(function* () {
        const name = `ghcr.io/owner/subject-${at.replaceAll(" ", "-")}`
        const subject = yield* Artifact.push(`${name}:1.0.0`, {
          ...artifact,
          annotations: { some: "annotation" }
        })
        const { digest } = subject.manifest.descriptor
        const reference = { "a tag": `${name}:1.0.0`, "a digest": `${name}@${digest}` }[at]
        const attached = yield* Artifact.attach(reference ?? `${name}:1.0.0@${digest}`, {
          artifactType: "application/spdx+json",
          files: [{ source: utf8("an SBOM") }],
          annotations: { "org.example.tool": "test" }
        })
        expect(imageOf(attached.manifest).subject).toEqual(subject.manifest.descriptor)
        expect(Reference.format(attached.reference)).toBe(
          `${name}@${attached.manifest.descriptor.digest}`
        )
        const { registry, repository } = yield* open(name)
        expect(yield* items(registry.referrers(repository, digest))).toEqual([
          Manifest.referrer(attached.manifest)
        ])
        expect(yield* tagsOf(name)).toEqual(["1.0.0"])
      })
    )

  it.effect("fails where there is no subject, and puts nothing", () =>
    Effect.gen(function* () {
      yield* Artifact.push("ghcr.io/owner/lonely:1", artifact)
      const failure = yield* Effect.flip(
        Artifact.attach("ghcr.io/owner/lonely:2", {
          artifactType,
          files: [{ source: freshBytes("b2") }]
        })
      )
      expect(failure).toMatchObject({
        _tag: "ManifestUnknown",
        repository: "owner/lonely",
        reference: "2"
      })
    })
  )

  it.effect("may be attached to an index, and to an attachment", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* open("ghcr.io/owner/nested")
      const index = Manifest.index({ manifests: [] })
      yield* registry.putManifest(repository, index, { tags: [yield* Reference.parseTag("1")] })
      const sbom = yield* Artifact.attach("ghcr.io/owner/nested:1", artifact)
      expect(imageOf(sbom.manifest).subject).toEqual(index.descriptor)
      const signature = yield* Artifact.attach(sbom.reference, artifact)
      expect(imageOf(signature.manifest).subject).toEqual(sbom.manifest.descriptor)
    })
  )
})

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

describe("an error says which artifact it is about", () => {
  it.effect(
    "when a push turns out to have another digest than its reference, and puts nothing",
    () =>
      Effect.gen(function* () {
        const reference = `ghcr.io/owner/name:tag@${other}`
        const failure = yield* Effect.flip(
          Artifact.push(reference, {
            artifactType,
            files: [{ source: BlobSource.fromStream(Stream.make(utf8("all is well"))) }]
          })
        )
        expect(failure).toMatchObject({
          _tag: "DigestMismatch",
          manifest: reference,
          expected: other
        })
        expect(failure.message).toMatch(
          /^The manifest for ghcr\.io\/owner\/name:tag@sha256:[0-9a-f]{64} has the digest sha256:[0-9a-f]{64}: leave out/
        )
        expect(yield* headOf("ghcr.io/owner/name:tag")).toEqual(Option.none())
      }).pipe(Effect.provide(memory))
  )

  const pullOf = Effect.fnUntraced(function* (manifests: ReadonlyArray<Descriptor.Descriptor>) {
    const { registry, repository } = yield* open("ghcr.io/owner/name")
    yield* registry.putManifest(repository, Manifest.index({ manifests }), {
      tags: [yield* Reference.parseTag("tag")]
    })
    return yield* Effect.flip(Artifact.pull("ghcr.io/owner/name:tag"))
  })
  const accepting = MemoryRegistry.layerRegistries({ missingReferences: "accept" })
  const entry = (symbol: string, fields: Partial<Descriptor.Descriptor>) => ({
    ...Descriptor.fromBytes(utf8(symbol), MediaType.imageManifest),
    ...fields
  })
  const base =
    'ghcr.io/owner/name:tag: expected a manifest of type "application/vnd.oci.image.manifest.v1+json", ' +
    'but it says that it is "application/vnd.oci.image.index.v1+json"'
  const one = (symbol: string) => `ghcr.io/owner/name@${Digest.fromBytes(utf8(symbol))}`

  it.effect("when a reference leads to an index with nothing in it", () =>
    Effect.gen(function* () {
      expect(yield* pullOf([])).toMatchObject({ _tag: "MediaTypeMismatch", message: base })
    }).pipe(Effect.provide(accepting))
  )

  it.effect("when it leads to an index, whose platforms can be chosen from", () =>
    Effect.gen(function* () {
      const attestation = { architecture: "unknown", os: "unknown" }
      const failure = yield* pullOf([
        entry("m0", { platform: attestation }),
        entry("m1", { platform: { os: "linux", architecture: "amd64" } }),
        entry("m2", { platform: { os: "linux", architecture: "arm", variant: "v7" } }),
        entry("m3", {
          platform: { os: "windows", architecture: "amd64", "os.version": "10.0.20348" }
        })
      ])
      expect(failure).toMatchObject({
        choices: [
          { name: "linux/amd64", reference: one("m1") },
          { name: "linux/arm/v7", reference: one("m2") },
          { name: "windows/amd64 10.0.20348", reference: one("m3") }
        ]
      })
      expect(failure.message).toBe(
        `${base}, with manifests for linux/amd64, linux/arm/v7, windows/amd64 10.0.20348: ` +
          `use the digest of one of them, as in ${one("m1")} for linux/amd64, or the option platform`
      )
      expect(yield* Effect.exit(Artifact.pull(one("m1")))).toSatisfy(Exit.isFailure)
    }).pipe(Effect.provide(accepting))
  )

  it.effect("when it leads to an index of artifacts, which have types, titles or neither", () =>
    Effect.gen(function* () {
      const failure = yield* pullOf([
        entry("m1", { artifactType: "application/spdx+json" }),
        entry("m2", { annotations: { [Annotations.title]: "the manual" } }),
        entry("m3", { mediaType: MediaType.imageIndex }),
        entry("m4", { artifactType: "application/spdx+json" })
      ])
      expect(failure.message).toBe(
        `${base}, with manifests for application/spdx+json, the manual, ` +
          "application/vnd.oci.image.index.v1+json: use the digest of one of them, " +
          `as in ${one("m1")} for application/spdx+json`
      )
    }).pipe(Effect.provide(accepting))
  )

  it.effect("when all of an index is attestations", () =>
    Effect.gen(function* () {
      const failure = yield* pullOf([
        entry("m1", { platform: { architecture: "unknown", os: "unknown" } })
      ])
      expect(failure.message).toContain("with manifests for unknown/unknown")
    }).pipe(Effect.provide(accepting))
  )

  it.effect("within bounds, however long an index and its names are", () =>
    Effect.gen(function* () {
      const failure = yield* pullOf(
        Array.from({ length: 500 }, (_, n) =>
          entry(`m${n}`, { artifactType: `application/x${n}\n\u202e${"y".repeat(5_000)}` })
        )
      )
      expect(failure.message.length).toBeLessThan(1_500)
      expect(failure.message).toContain(" and 492 more: ")
      expect(failure.message).not.toMatch(/[\n\u202e]/)
    }).pipe(Effect.provide(accepting))
  )
})

// -----------------------------------------------------------------------------
// Images
// -----------------------------------------------------------------------------

describe("an image of several platforms", () => {
  const configType = "application/vnd.oci.image.config.v1+json"
  const name = "ghcr.io/owner/image"
  const pushed = (platforms: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const manifests = yield* Effect.forEach(platforms, (platform) =>
        Effect.map(
          Artifact.push(name, {
            config: { mediaType: configType, source: utf8(`{"platform":"${platform}"}`) },
            files: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", source: utf8("layer") }],
            tags: []
          }),
          ({ manifest }) => ({
            ...manifest.descriptor,
            platform: Platform.unsafeParse(platform)
          })
        )
      )
      return yield* Registries.putManifest(`${name}:1`, Manifest.index({ manifests }))
    })
  const configFor = (platform: string) =>
    Effect.flatMap(
      Artifact.pull(`${name}:1`, { platform: Platform.unsafeParse(platform) }),
      ({ config }) => ByteStream.text(config.content)
    )

  it.effect("is pulled for one, with its config", () =>
    Effect.gen(function* () {
      yield* pushed(["linux/amd64/v3", "linux/amd64", "linux/arm64/v8", "linux/arm/v6"])
      expect(yield* configFor("linux/amd64")).toBe('{"platform":"linux/amd64"}')
      expect(yield* configFor("linux/amd64/v1")).toBe('{"platform":"linux/amd64"}')
      expect(yield* configFor("linux/amd64/v3")).toBe('{"platform":"linux/amd64/v3"}')
      expect(yield* configFor("linux/arm64")).toBe('{"platform":"linux/arm64/v8"}')
      // No variant is v7, which runs what is for v6.
      expect(yield* configFor("linux/arm")).toBe('{"platform":"linux/arm/v6"}')
    }).pipe(Effect.provide(memory))
  )

  it.effect("says which it has where it has not the one that is asked for", () =>
    Effect.gen(function* () {
      yield* pushed(["linux/amd64", "linux/arm/v6"])
      const failure = yield* Effect.flip(configFor("linux/arm/v5"))
      expect(failure).toMatchObject({ _tag: "MediaTypeMismatch", platform: "linux/arm/v5" })
      expect(failure.message).toContain(
        "ghcr.io/owner/image:1: nothing for linux/arm/v5 in this manifest of type " +
          '"application/vnd.oci.image.index.v1+json", with manifests for linux/amd64, linux/arm/v6: '
      )
    }).pipe(Effect.provide(memory))
  )

  it.effect("is pulled for the next lower variant, or the first of several platforms (S26)", () =>
    Effect.gen(function* () {
      yield* pushed(["linux/arm/v6", "linux/arm/v7", "linux/arm64"])
      expect(yield* configFor("linux/arm/v8")).toBe('{"platform":"linux/arm/v7"}')
      const platform = ["linux/riscv64", "linux/arm64/v9", "linux/arm"].map(Platform.unsafeParse)
      const { config } = yield* Artifact.pull(`${name}:1`, { platform })
      expect(yield* ByteStream.text(config.content)).toBe('{"platform":"linux/arm64"}')
      const none = [Platform.unsafeParse("linux/s390x"), Platform.unsafeParse("windows/amd64")]
      const failure = yield* Effect.flip(Artifact.pull(`${name}:1`, { platform: none }))
      expect(failure.message).toContain("nothing for linux/s390x, windows/amd64 in this manifest")
    }).pipe(Effect.provide(memory))
  )

  it.effect("is found in an index within an index, and attestations are passed over (S26)", () =>
    Effect.gen(function* () {
      const inner = yield* pushed(["linux/amd64", "linux/arm64"])
      const attestation = {
        mediaType: MediaType.imageManifest,
        size: 1,
        digest: Digest.fromBytes(utf8("a")),
        annotations: { "vnd.docker.reference.type": "attestation-manifest" },
        platform: Platform.unsafeParse("linux/arm64")
      }
      const outer = Manifest.index({ manifests: [attestation, inner.descriptor, inner.descriptor] })
      const reference = Reference.unsafeParse(`${name}:outer`)
      const registry = yield* Effect.flatMap(Registries.Registries, ({ get }) =>
        get(reference.host)
      )
      const served = {
        ...registry,
        getManifest: (...args: Parameters<typeof registry.getManifest>) =>
          args[1] === "outer" ? Effect.succeed(outer) : registry.getManifest(...args)
      }
      const { config } = yield* Artifact.pullFrom(served, reference, {
        platform: Platform.unsafeParse("linux/arm64")
      })
      expect(yield* ByteStream.text(config.content)).toBe('{"platform":"linux/arm64"}')
      const failure = yield* Effect.flip(
        Artifact.pullFrom(served, reference, { platform: Platform.unsafeParse("linux/arm") })
      )
      expect(failure.message).toContain("with manifests for linux/amd64, linux/arm64: use")
    }).pipe(Effect.provide(memory))
  )

  it.effect("is the first of an index that has the type of artifact asked for", () =>
    Effect.gen(function* () {
      const first = yield* Artifact.push(name, { ...artifact, tags: [] })
      const spdx = { ...artifact, artifactType: "application/spdx+json", tags: [] }
      const second = yield* Artifact.push(name, spdx)
      const manifests = [first, second].map(({ manifest }) => Manifest.referrer(manifest))
      yield* Registries.putManifest(`${name}:1`, Manifest.index({ manifests }))
      const options = { artifactType: "application/spdx+json" }
      expect((yield* Artifact.pull(`${name}:1`, options)).reference).toEqual(second.reference)
      const other = { artifactType: "application/vnd.cyclonedx+json" }
      expect(yield* Effect.flip(Artifact.pull(`${name}:1`, other))).toMatchObject({
        _tag: "MediaTypeMismatch",
        choices: [{ name: artifactType }, { name: "application/spdx+json" }]
      })
    }).pipe(Effect.provide(memory))
  )

  it.effect("is found by its own type where the index does not say it, or by its platform", () =>
    Effect.gen(function* () {
      const spdx = "application/spdx+json"
      const types = [artifactType, spdx]
      const all = yield* Effect.forEach(types, (artifactType) =>
        Artifact.push(name, { ...artifact, artifactType, tags: [] })
      )
      const manifests = all.map(({ manifest }, n) => ({
        ...Manifest.referrer(manifest),
        platform: Platform.unsafeParse(n === 0 ? "linux/amd64" : "linux/arm64")
      }))
      yield* Registries.putManifest(`${name}:typed`, Manifest.index({ manifests }))
      yield* Registries.putManifest(
        `${name}:untyped`,
        Manifest.index({ manifests: manifests.map(({ artifactType: _, ...rest }) => rest) })
      )
      const platform = Platform.unsafeParse("linux/arm64")
      for (const tag of ["typed", "untyped"])
        for (const options of [
          { artifactType: spdx },
          { platform },
          { artifactType: spdx, platform }
        ])
          expect((yield* Artifact.pull(`${name}:${tag}`, options)).reference).toEqual(
            all[1]?.reference
          )
      const other = { artifactType: "application/vnd.cyclonedx+json" }
      expect(yield* Effect.flip(Artifact.pull(`${name}:untyped`, other))).toMatchObject({
        _tag: "MediaTypeMismatch",
        expected: other.artifactType,
        choices: [{ name: "linux/amd64" }, { name: "linux/arm64" }]
      })
    }).pipe(Effect.provide(memory))
  )

  it.effect("is pulled only if it has the type that is asked for", () =>
    Effect.gen(function* () {
      yield* Artifact.push(`${name}:1`, artifact)
      const pulled = yield* Artifact.pull(`${name}:1`, { artifactType })
      expect(pulled.artifactType).toEqual(Option.some(artifactType))
      const failure = yield* Effect.flip(Artifact.pull(`${name}:1`, { artifactType: configType }))
      expect(failure.message).toBe(
        `${name}:1: expected a manifest of type "${configType}", ` +
          `but it says that it is "${artifactType}"`
      )
    }).pipe(Effect.provide(memory))
  )

  it.effect("is pulled as it is where there is no index", () =>
    Effect.gen(function* () {
      yield* Artifact.push(`${name}:1`, artifact)
      expect(yield* configFor("linux/arm64")).toBe("{}")
    }).pipe(Effect.provide(memory))
  )
})

it.scoped("files that were pulled are pushed as they are: mounted, or streamed elsewhere", () =>
  Effect.gen(function* () {
    const [first, second] = [yield* registryOn(), yield* registryOn()]
    const at = ({ port }: { readonly port: number }) => `127.0.0.1:${port}/owner`
    yield* Artifact.push(`${at(first)}/base:1`, {
      ...artifact,
      files: [{ title: "a", mediaType: "text/plain", annotations: { k: "v" }, source: utf8("a") }]
    })
    const base = yield* Artifact.pull(`${at(first)}/base:1`)
    expect(base.annotations).toEqual({})
    for (const registry of [first, second]) {
      first.seen.length = 0
      const files = [...base.files, { title: "b", source: utf8("b") }]
      const { manifest } = yield* Artifact.push(`${at(registry)}/app:1`, { artifactType, files })
      expect(imageOf(manifest).layers[0]).toEqual(base.files[0]?.descriptor)
      const reads = first.seen.filter(
        ({ method, url }) => method === "GET" && url?.includes("blobs")
      )
      expect(reads).toHaveLength(registry === first ? 0 : 1)
      const pulled = yield* Artifact.pull(`${at(registry)}/app:1`)
      expect(
        yield* Effect.forEach(pulled.files, ({ content }) => ByteStream.text(content))
      ).toEqual(["a", "b"])
    }
    const twice = [...base.files, { title: "a", source: utf8("c") }]
    expect(
      yield* Effect.flip(Artifact.push(`${at(first)}/app:2`, { artifactType, files: twice }))
    ).toMatchObject({ _tag: "InvalidManifest", path: "files[1].title" })
  }).pipe(Effect.provide(layerRegistries()), Effect.provide(Credentials.layerAnonymous))
)

// -----------------------------------------------------------------------------
// Files
// -----------------------------------------------------------------------------

layer(memory)("a file of an artifact", (it) => {
  const chart = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
  const provenance = "application/vnd.cncf.helm.chart.provenance.v1.prov"
  const pushed = (
    ...files: ReadonlyArray<readonly [title: string | undefined, mediaType?: string]>
  ) =>
    Effect.gen(function* () {
      const { reference } = yield* Artifact.push("ghcr.io/owner/files", {
        config: { mediaType: "application/vnd.cncf.helm.config.v1+json" },
        files: files.map(([title, mediaType]) => ({ title, mediaType, source: utf8(`${title}`) })),
        tags: []
      })
      return reference
    })
  const textOf = ({ content }: Artifact.PulledContent) => ByteStream.text(content)

  it.effect("CP30: is chosen by its type, wherever it stands among others", () =>
    Effect.gen(function* () {
      for (const order of [
        [["a.prov", provenance], ["a.tgz", chart], ["readme"]],
        [["readme"], ["a.tgz", chart], ["a.prov", provenance]]
      ] as const) {
        const artifact = yield* Artifact.pull(yield* pushed(...order))
        expect(yield* textOf(yield* Artifact.file(artifact, { mediaType: chart }))).toBe("a.tgz")
        expect(yield* textOf(yield* Artifact.file(artifact, { title: "*.prov" }))).toBe("a.prov")
      }
    })
  )

  it.effect("is not missing from a pull in silence: a warning lists those that there are", () =>
    Effect.gen(function* () {
      const reference = yield* pushed(["a.tgz", chart])
      const warnings: Array<unknown> = []
      const logger = Logger.make(({ message }) => warnings.push(...Arr.ensure(message)))
      const pull = (files: Artifact.FileFilter) =>
        Effect.map(Artifact.pull(reference, { files }), ({ files }) => files.length)
      const numbers = yield* Effect.forEach(
        [{ title: "b*" }, { mediaType: "text/plain" }, { title: "a*" }, {}],
        pull
      ).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
      expect(numbers).toEqual([0, 0, 1, 1])
      expect(warnings).toEqual([
        `${reference}: there is no file titled "b*": it has "a.tgz" ("${chart}")`,
        `${reference}: there is no file of type "text/plain": it has "a.tgz" ("${chart}")`
      ])
    })
  )

  it.effect("CP30: is not chosen where several fit, or none: the error lists them", () =>
    Effect.gen(function* () {
      const reference = yield* pushed(["a.tgz", chart], ["b.tgz", chart], [undefined, "text/plain"])
      const artifact = yield* Artifact.pull(reference)
      const failing = (filter: Artifact.FileFilter) =>
        Effect.flip(Effect.flatMap(Artifact.pull(reference), Artifact.file(filter)))
      const several = yield* failing({ mediaType: chart })
      expect(several).toMatchObject({
        _tag: "NoSingleFile",
        reason: "Several",
        choices: [
          { title: "a.tgz", mediaType: chart },
          { title: "b.tgz", mediaType: chart }
        ]
      })
      expect(several.message).toBe(
        `${reference}: there are several files of type "${chart}": ` +
          `"a.tgz" ("${chart}"), "b.tgz" ("${chart}"). Say more of the one`
      )
      const { digest } = artifact.files[2]?.descriptor ?? Descriptor.empty
      expect((yield* failing({ title: /c.*/, mediaType: chart })).message).toBe(
        `${reference}: there is no file of type "${chart}" and titled "/c.*/": ` +
          `it has "a.tgz" ("${chart}"), "b.tgz" ("${chart}"), ${digest} ("text/plain")`
      )
      expect((yield* failing({})).message).toContain("there are several files: ")
      expect(yield* Artifact.file(artifact, { mediaType: chart, title: "b*" })).toMatchObject({
        name: Option.some("b.tgz")
      })
      const many = yield* Artifact.pull(
        yield* pushed(
          ...Array.from({ length: 50 }, (_, n) => [`${n}\n${"x".repeat(999)}`] as const)
        )
      )
      const { message } = yield* Effect.flip(Artifact.file(many, {}))
      expect(message.length).toBeLessThan(1_500)
      expect(message).toContain(" and 42 more")
      expect(message).not.toMatch(/\n/)
    })
  )

  it.effect("is left out of what is pulled unless it fits as a whole (CP27)", () =>
    Effect.gen(function* () {
      const titles = ["model.safetensors", "b/model.safetensors.index", "config.json", "a[1].txt"]
      const reference = yield* pushed(...titles.map((title) => [title] as const), [undefined])
      const table: ReadonlyArray<readonly [Artifact.FileFilter, ReadonlyArray<number>]> = [
        [{}, [0, 1, 2, 3, 4]],
        [{ title: "*" }, [0, 1, 2, 3]],
        [{ title: "*.safetensors" }, [0]],
        [{ title: "*model*" }, [0, 1]],
        [{ title: "b/*" }, [1]],
        [{ title: "config.jso?" }, [2]],
        [{ title: "config" }, []],
        [{ title: "a[1].txt" }, [3]],
        [{ title: /model/ }, []],
        [{ title: /.*model.*|config/gy }, [0, 1]],
        [{ title: /CONFIG\.JSON/i }, [2]],
        [{ mediaType: "application/octet-stream" }, [0, 1, 2, 3, 4]],
        [{ mediaType: "APPLICATION/OCTET-STREAM", title: "c*" }, [2]],
        [{ mediaType: "text/plain" }, []]
      ]
      for (const [files, expected] of table) {
        const pulled = yield* Artifact.pull(reference, { files })
        expect(pulled.files.map(({ descriptor }) => descriptor)).toEqual(
          expected.map((n) => imageOf(pulled.manifest).layers[n])
        )
      }
    })
  )

  it.effect("T11: has a name only if that stays in its folder on every system", () =>
    Effect.gen(function* () {
      const names: ReadonlyArray<readonly [title: string, name?: string]> = [
        ["a", "a"],
        ["a/b.txt", "a/b.txt"],
        ["./a", "a"],
        ["a//b/./c/", "a/b/c"],
        [".hidden", ".hidden"],
        ["a..b", "a..b"],
        ["con1", "con1"],
        [".."],
        ["../a"],
        ["a/../b"],
        ["/a"],
        ["//a"],
        ["C:/a"],
        ["a\\b"],
        ["a:stream"],
        ["a\0b"],
        ["a\nb"],
        ["con"],
        ["a/NUL.txt"],
        ["com1"],
        ["a."],
        ["a "],
        ["."],
        ["n".repeat(255), "n".repeat(255)],
        ["n".repeat(256)],
        [`a/${"é".repeat(128)}`],
        [`${"d/".repeat(383)}ff`, `${"d/".repeat(383)}ff`],
        [`${"d/".repeat(383)}fff`],
        ["half a pair: \ud83d"]
      ]
      for (const [title, name] of names) {
        const { files } = yield* Artifact.pull(yield* pushed([title]))
        expect([title, files[0]?.name]).toEqual([title, Option.fromNullable(name)])
      }
    })
  )
})

it.effect("a name alone is latest to a pull, and nothing to a push or what is attached", () =>
  Effect.gen(function* () {
    const name = "ghcr.io/owner/versions"
    const { manifest } = yield* Artifact.push(`${name}:latest`, artifact)
    for (const write of [Artifact.push(name, artifact), Artifact.attach(name, artifact)]) {
      const failure = yield* Effect.flip(write)
      expect(failure).toMatchObject({ _tag: "InvalidReference", reason: "Tag", input: name })
      expect(failure.message).toContain(`write ${name}:latest if that is meant`)
    }
    const pulled = yield* Artifact.pull(name)
    expect(pulled.manifest.descriptor.digest).toBe(manifest.descriptor.digest)
  }).pipe(Effect.provide(memory))
)

it.live("spans have the reference", () => {
  const exporter = new InMemorySpanExporter()
  const telemetry = NodeSdk.layer(() => ({
    resource: { serviceName: "test" },
    spanProcessor: new SimpleSpanProcessor(exporter)
  }))
  return Effect.gen(function* () {
    yield* Artifact.push("ghcr.io/owner/name:tag", artifact)
    yield* Artifact.attach("ghcr.io/owner/name:tag", artifact)
    yield* Artifact.pull("ghcr.io/owner/name:tag")
    const spans = exporter.getFinishedSpans()
    for (const name of ["push", "attach", "pull"])
      expect(spans.find((span) => span.name === `effect-oci/Artifact.${name}`)).toMatchObject({
        attributes: { "oci.reference": "ghcr.io/owner/name:tag" }
      })
  }).pipe(Effect.provide(memory), Effect.provide(telemetry))
})
