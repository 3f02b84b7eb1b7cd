/** Artifacts over any registry: packed, tagged, attached, chosen, and pulled to folders. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import * as Artifact from "../../src/content/Artifact.js"
import * as ArtifactFolder from "../../src/node/ArtifactFolder.js"
import * as BlobFile from "../../src/node/BlobFile.js"
import * as Registries from "../../src/Registries.js"
import { Registry } from "../../src/Registry.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import { freshBytes, freshRepository, items, tag, utf8 } from "../support/fixtures.js"
import { folder } from "../support/machine.js"
import type { It } from "./registry.js"

const artifactType = "application/vnd.example.suite.v1"

/** A registry, and a name in it that no other test has. */
const opened = Effect.gen(function* () {
  const registry = yield* Registry
  const name = Reference.make({ host: "registry.test", repository: yield* freshRepository })
  const registries = Registries.layerFrom(() => Effect.succeed(registry))
  const tagged = (text: string) => Effect.map(tag(text), (tag) => Reference.withTag(name, tag))
  return { registry, name, registries, tagged }
})

export const artifactSuite = (it: It): void => {
  it.scoped("files, streams, folders and a config are one artifact under several tags", () =>
    Effect.gen(function* () {
      const { name, registries, registry, tagged } = yield* opened
      const root = yield* folder({ "docs/a.txt": "a", "docs/deep/b.txt": "b", "c.txt": "c" })
      const text = freshBytes("text")
      const { manifest, reference } = yield* Artifact.pushTo(registry, yield* tagged("1.2.3"), {
        artifactType,
        config: { mediaType: "application/vnd.example.config.v1+json", json: { a: [1] } },
        created: new Date(0),
        tags: ["1.2", "latest"],
        files: [
          yield* ArtifactFolder.archive(`${root}/docs`),
          {
            title: "c.txt",
            mediaType: "text/plain",
            source: yield* BlobFile.source(`${root}/c.txt`)
          },
          { title: "streamed", source: BlobSource.fromStreamOnce(Stream.make(text)) },
          { title: "same", source: text },
          { title: "deep/same", source: text }
        ]
      })
      expect([...(yield* items(registry.tags(name.repository)))].sort()).toEqual([
        "1.2",
        "1.2.3",
        "latest"
      ])
      const pulled = yield* Artifact.pullFrom(registry, name, { artifactType })
      expect(pulled.reference).toEqual(reference)
      expect(pulled.manifest.bytes).toEqual(manifest.bytes)
      expect(yield* ByteStream.text(pulled.config.content)).toBe('{"a":[1]}')

      const out = Path.join(yield* folder({ other: "other" }), "out")
      const pull = Effect.provide(ArtifactFolder.pull(reference, out), registries)
      yield* pull
      expect(Fs.readdirSync(out, { recursive: true, encoding: "utf8" }).sort()).toEqual([
        "c.txt",
        "deep",
        "deep/same",
        "docs",
        "docs/a.txt",
        "docs/deep",
        "docs/deep/b.txt",
        "same",
        "streamed"
      ])
      expect(Fs.readFileSync(`${out}/docs/deep/b.txt`, "utf8")).toBe("b")
      for (const file of ["deep/same", "same", "streamed"])
        expect(Fs.readFileSync(Path.join(out, file)).equals(text)).toBe(true)
      expect((yield* pull).files.map(({ skipped }) => skipped)).toEqual(Array(5).fill(true))
    })
  )

  it.scoped("one file of an artifact is chosen and saved, and all are pushed again", () =>
    Effect.gen(function* () {
      const { name, registry, tagged } = yield* opened
      const file = (title: string, mediaType: string) => ({ title, mediaType, source: utf8(title) })
      yield* Artifact.pushTo(registry, yield* tagged("1"), {
        artifactType,
        files: [file("a.prov", "text/plain"), file("a.tgz", "application/gzip")]
      })
      const artifact = yield* Artifact.pullFrom(registry, yield* tagged("1"))
      const chosen = yield* Artifact.file(artifact, { mediaType: "application/gzip" })
      const path = Path.join(yield* folder(), "a.tgz")
      yield* BlobFile.save(chosen, path)
      expect(Fs.readFileSync(path, "utf8")).toBe("a.tgz")
      const other = Reference.make({ host: name.host, repository: yield* freshRepository })
      const { reference } = yield* Artifact.pushTo(registry, other, {
        artifactType,
        files: artifact.files,
        tags: []
      })
      const again = yield* Artifact.pullFrom(registry, reference, { files: { title: "*.prov" } })
      expect(yield* Effect.forEach(again.files, ({ content }) => ByteStream.text(content))).toEqual(
        ["a.prov"]
      )
      expect(again.manifest.descriptor).toEqual(artifact.manifest.descriptor)
    })
  )

  it.effect("an artifact is attached to another one, and chosen from an index", () =>
    Effect.gen(function* () {
      const { name, registry, tagged } = yield* opened
      const typed = (type: string) =>
        Artifact.pushTo(registry, name, { artifactType: type, files: [], tags: [] })
      const [first, second] = [yield* typed(artifactType), yield* typed("application/vnd.other")]
      const { manifest } = yield* Artifact.attachTo(registry, second.reference, {
        artifactType: "application/spdx+json",
        files: [{ title: "sbom.json", source: utf8("{}") }]
      })
      const { digest } = second.manifest.descriptor
      expect(yield* items(registry.referrers(name.repository, digest))).toMatchObject([
        { digest: manifest.descriptor.digest, artifactType: "application/spdx+json" }
      ])
      const [amd64, arm64] = [
        Platform.unsafeParse("linux/amd64"),
        Platform.unsafeParse("linux/arm64")
      ]
      const index = Manifest.index({
        manifests: [
          { ...Manifest.referrer(first.manifest), platform: amd64 },
          { ...Manifest.referrer(second.manifest), platform: arm64 }
        ]
      })
      yield* registry.putManifest(name.repository, index, { tags: [yield* tag("all")] })
      const of = (options: Artifact.PullOptions) =>
        Effect.flatMap(tagged("all"), (all) => Artifact.pullFrom(registry, all, options))
      const byType = yield* of({ artifactType: "application/vnd.other" })
      expect(byType.reference).toEqual(second.reference)
      const byPlatform = yield* of({ platform: amd64 })
      expect(byPlatform.artifactType).toEqual(Option.some(artifactType))
      expect(yield* Effect.flip(of({}))).toMatchObject({ _tag: "MediaTypeMismatch" })
    })
  )
}
