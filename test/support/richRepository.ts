/** A repository with everything that a repository can have, and what a copy of it lacks. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as BlobSource from "../../src/BlobSource.js"
import type * as Copy from "../../src/content/Copy.js"
import type { Registry } from "../../src/Registry.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as ManifestMediaType from "../../src/spec/internal/ManifestMediaType.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshBytes, items, utf8 } from "./fixtures.js"
import { blob, image, platforms, repository } from "./graphs.js"

/** What some registries refuse: digests by sha512, and blobs listed by an index (CP15). */
export type Special = "sha512" | "cache"

const tagOf = Reference.unsafeParseTag

/**
 * Makes such a repository in memory: an index with attestations, an index in an index, a list of
 * Docker's, an image without a type of its own and one of a large layer, an artifact, referrers of
 * index, platform and referrer, and a signature under cosign's tag.
 */
export const make = (specials: ReadonlyArray<Special>) =>
  Effect.gen(function* () {
    const registry = yield* MemoryRegistry.make()
    const put = (manifest: Manifest.Manifest, ...tags: ReadonlyArray<string>) =>
      registry.putManifest(repository, manifest, { tags: tags.map(tagOf) })
    const layer = (mediaType: string = MediaType.layerTarGzip) => blob(registry, mediaType)

    const { index, manifests } = yield* platforms(registry, ["linux/amd64", "linux/arm64"])
    const [amd64 = index.descriptor] = manifests
    const plain = yield* image(registry, [yield* layer()])
    const nested = Manifest.index({ manifests: [index.descriptor, plain.descriptor] })
    yield* put(nested, "nested", "another")

    const config = yield* blob(registry, MediaType.dockerImageConfig)
    const docker = Manifest.image({
      mediaType: MediaType.dockerManifest,
      config,
      layers: [yield* layer(MediaType.dockerLayerTarGzip)]
    })
    yield* put(docker)
    const listed = { ...docker.descriptor, platform: Platform.unsafeParse("linux/amd64") }
    yield* put(
      Manifest.index({ mediaType: MediaType.dockerManifestList, manifests: [listed] }),
      "docker"
    )

    const { mediaType, ...untyped } = JSON.parse(new TextDecoder().decode(plain.bytes))
    yield* put(
      yield* Manifest.fromBytes(utf8(` ${JSON.stringify(untyped, null, 3)}\n`), { mediaType }),
      "untyped"
    )
    const large = freshBytes("large")
    yield* put(
      yield* image(registry, [
        yield* blob(
          registry,
          MediaType.layerTar,
          new Uint8Array(300_000).map((_, n) => large[n % large.length] ?? 0)
        )
      ]),
      "large"
    )

    yield* registry.putBlob(repository, BlobSource.fromBytes(utf8("{}")))
    const attach = (subject: Descriptor.Descriptor, artifactType: string) =>
      Effect.gen(function* () {
        const manifest = Manifest.image({
          config: Descriptor.empty,
          layers: [yield* layer(artifactType)],
          artifactType,
          subject
        })
        yield* put(manifest)
        return manifest.descriptor
      })
    yield* attach(index.descriptor, "application/vnd.example.signature")
    const sbom = yield* attach(amd64, "application/spdx+json")
    yield* attach(sbom, "application/vnd.example.signature")
    const artifact = Manifest.image({
      config: Descriptor.empty,
      layers: [{ ...Descriptor.empty, annotations: { "org.example.title": "\u00e4 \u{1f4e6}" } }],
      artifactType: "application/vnd.example"
    })
    yield* put(artifact, "artifact")
    const signature = yield* image(registry, [yield* layer("application/vnd.dev.cosign.simple")])
    yield* put(signature, `sha256-${Digest.encoded(index.descriptor.digest)}.sig`)

    if (specials.includes("cache"))
      yield* put(Manifest.index({ manifests: [yield* layer(), yield* layer()] }), "cache")
    if (specials.includes("sha512")) {
      const bytes = freshBytes("sha512")
      const digest = Digest.fromBytes(bytes, "sha512")
      yield* registry.putBlob(repository, { ...BlobSource.fromBytes(bytes), digest })
      const other = { mediaType: MediaType.layerTar, digest, size: bytes.length }
      const manifest = yield* image(registry, [other])
      yield* put(
        yield* Manifest.fromBytes(manifest.bytes, {
          mediaType: MediaType.imageManifest,
          digest: Digest.fromBytes(manifest.bytes, "sha512")
        }),
        "sha512"
      )
    }
    return { registry, repository }
  })

/** The tags of a repository, but for those under which clients list referrers. */
export const tagsOf = ({ registry, repository }: Copy.Place) =>
  Effect.map(items(registry.tags(repository)), (tags) =>
    tags.filter((tag) => !Reference.isReferrersTag(tag))
  )

/**
 * Names what a repository lacks of another, or has otherwise: tags, content, and what is attached
 * to each manifest. Nothing is named where it has all, byte for byte.
 */
export const differences = (
  from: Copy.Place,
  to: Copy.Place,
  isCopied: (tag: Reference.Tag) => boolean = () => true
) =>
  Effect.gen(function* () {
    const different: Array<string> = []
    const seen = new Set<Digest.Digest>()
    const compare = <E>(
      digest: Digest.Digest,
      read: (place: Copy.Place) => Effect.Effect<Uint8Array, E>
    ) =>
      Effect.gen(function* () {
        const there = Option.getOrUndefined(yield* Effect.option(read(to)))
        if (there === undefined || Buffer.compare(there, yield* read(from)) !== 0)
          different.push(digest)
      })
    const visit = (
      digest: Digest.Digest
    ): Effect.Effect<void, Registry.GetManifestError | Registry.GetBlobError> =>
      Effect.gen(function* () {
        if (seen.has(digest)) return
        seen.add(digest)
        yield* compare(digest, ({ registry, repository }) =>
          Effect.map(registry.getManifest(repository, digest), ({ bytes }) => bytes)
        )
        const manifest = yield* from.registry.getManifest(from.repository, digest)
        for (const part of Manifest.references(manifest)) {
          if (seen.has(part.digest)) continue
          if (ManifestMediaType.isManifest(part.mediaType)) yield* visit(part.digest)
          else {
            seen.add(part.digest)
            yield* compare(part.digest, ({ registry, repository }) =>
              registry.getBlobBytes(repository, part.digest)
            )
          }
        }
        const attached = yield* items(from.registry.referrers(from.repository, digest))
        if (attached.length === 0) return
        const there = yield* items(to.registry.referrers(to.repository, digest))
        for (const one of attached) {
          if (!there.some((other) => other.digest === one.digest))
            different.push(`${one.digest} is not attached to ${digest}`)
          yield* visit(one.digest)
        }
      })
    const tags = (yield* tagsOf(from)).filter(isCopied)
    for (const tag of tags) {
      const { descriptor } = yield* from.registry.getManifest(from.repository, tag)
      const found = yield* to.registry.headManifest(to.repository, tag)
      if (!Option.exists(found, ({ digest }) => digest === descriptor.digest))
        different.push(`the tag ${tag}`)
      yield* visit(descriptor.digest)
    }
    for (const tag of yield* tagsOf(to))
      if (!tags.includes(tag)) different.push(`the tag ${tag}, which is not to be there`)
    return different
  })
