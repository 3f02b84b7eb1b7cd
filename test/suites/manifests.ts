import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as BlobSource from "../../src/BlobSource.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import type { Tag } from "../../src/spec/Reference.js"
import * as SignedManifest from "../../src/spec/SignedManifest.js"
import { authority } from "../support/certificates.js"
import {
  freshBytes,
  freshDigest,
  freshRepository,
  image,
  items,
  tag,
  unverifiableDigest,
  utf8
} from "../support/fixtures.js"
import type { It, Supports } from "./registry.js"

export const manifestSuite = (it: It, supports: Supports): void => {
  it.effect("lets us in", () => Effect.flatMap(Registry, (registry) => registry.ping))

  it.effect(
    "gives a manifest back byte for byte, by tag and by digest, whatever its layout (R27, I1)",
    () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const latest = yield* tag("latest")
        const { content } = yield* image(registry, repository, "m1")
        if (content._tag !== "ImageManifest") throw new Error("m1 is an image")
        const bytes = utf8(
          `\n{ "layers" : ${JSON.stringify(content.layers)},\t"org.example.unknown": {"b":1,"a":2},\n\n` +
            `  "config":${JSON.stringify(content.config)} ,"mediaType":"application/vnd.oci.image.manifest.v1+json",\r\n` +
            `  "annotations": {"org.example.text": "\\u00fc \\/ ü"}, "schemaVersion": 2 }\n\n`
        )
        const m1 = yield* Manifest.fromBytes(bytes)
        const put = yield* registry.putManifest(repository, m1, { tags: [latest] })
        expect(put).toEqual({
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          digest: Digest.fromBytes(bytes),
          size: bytes.length
        })
        for (const reference of [latest, put.digest]) {
          const got = yield* registry.getManifest(repository, reference)
          expect(got.bytes).toEqual(bytes)
          expect(got.descriptor).toEqual(put)
          expect(got.content).toMatchObject({
            _tag: "ImageManifest",
            annotations: { "org.example.text": "ü / ü" }
          })
          expect(yield* registry.headManifest(repository, reference)).toEqual(Option.some(put))
        }
      })
  )

  it.effect(
    "keeps the media type a manifest was put with: Docker's, and lists of both kinds (R7)",
    () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const docker = yield* image(registry, repository, "m1", {
          mediaType: MediaType.dockerManifest
        })
        const oci = yield* image(registry, repository, "m2")
        const list = Manifest.index({
          mediaType: MediaType.dockerManifestList,
          manifests: [docker.descriptor]
        })
        const index = Manifest.index({ manifests: [oci.descriptor, docker.descriptor] })
        for (const manifest of [docker, oci, list, index]) {
          const { digest, mediaType } = yield* registry.putManifest(repository, manifest)
          const got = yield* registry.getManifest(repository, digest)
          expect(got.descriptor.mediaType).toBe(mediaType)
          expect(got.descriptor).toEqual(manifest.descriptor)
          expect(got.content._tag).toBe(manifest.content._tag)
        }
        expect(list.descriptor.mediaType).toBe(
          "application/vnd.docker.distribution.manifest.list.v2+json"
        )
      })
  )

  it.effect("puts a manifest under several tags, and moves a tag", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const [one, two, three] = [yield* tag("1"), yield* tag("1.2"), yield* tag("1.2.3")]
      const m1 = yield* image(registry, repository, "m1")
      const m2 = yield* image(registry, repository, "m2")
      yield* registry.putManifest(repository, m1, { tags: [one, two, three] })
      yield* registry.putManifest(repository, m2, { tags: [one] })
      expect((yield* registry.getManifest(repository, one)).descriptor).toEqual(m2.descriptor)
      expect((yield* registry.getManifest(repository, two)).descriptor).toEqual(m1.descriptor)
      expect((yield* registry.getManifest(repository, three)).descriptor).toEqual(m1.descriptor)
    })
  )

  it.effect("reads a manifest only where it is not the one that is known", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const latest = yield* tag("latest")
      const m1 = yield* image(registry, repository, "m1")
      const m2 = yield* image(registry, repository, "m2")
      const { digest } = m1.descriptor
      const changed = (reference: Tag | Digest.Digest, known: Digest.Digest) =>
        Effect.map(
          registry.getChangedManifest(repository, reference, known),
          Option.map(({ bytes, descriptor }) => ({ bytes, descriptor }))
        )
      yield* registry.putManifest(repository, m1, { tags: [latest] })
      for (const reference of [latest, digest]) {
        expect(yield* changed(reference, digest)).toEqual(Option.none())
        expect(yield* changed(reference, Digest.fromBytes(m1.bytes, "sha512"))).toEqual(
          Option.none()
        )
        const { bytes, descriptor } = m1
        expect(yield* changed(reference, freshDigest())).toEqual(Option.some({ bytes, descriptor }))
      }
      yield* registry.putManifest(repository, m2, { tags: [latest] })
      expect(Option.getOrThrow(yield* changed(latest, digest)).descriptor).toEqual(m2.descriptor)
      expect(yield* changed(digest, digest)).toEqual(Option.none())
      const absent = registry.getChangedManifest(repository, yield* tag("absent"), digest)
      expect(yield* Effect.flip(absent)).toMatchObject({ _tag: "ManifestUnknown" })
    })
  )

  it.effect("puts a manifest only if its tag is absent, or is what is expected", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const [one, two] = [yield* tag("one"), yield* tag("two")]
      const m1 = yield* image(registry, repository, "m1")
      const m2 = yield* image(registry, repository, "m2")
      const at = (name: Tag) =>
        Effect.map(registry.headManifest(repository, name), Option.getOrUndefined)
      const first = { onlyIf: { tag: one, is: "absent" } } as const
      expect(yield* registry.putManifest(repository, m1, first)).toEqual(m1.descriptor)
      expect(yield* at(one)).toEqual(m1.descriptor)

      const { digest } = m1.descriptor
      const taken = yield* Effect.flip(registry.putManifest(repository, m2, first))
      expect(taken).toMatchObject({
        _tag: "PreconditionFailed",
        repository,
        tag: "one",
        expected: "absent",
        actual: digest,
        reason: "Changed"
      })
      expect(taken.message).toContain(
        `Tag one of repository ${repository} was expected to be absent and is ${digest}: ` +
          "nothing was put"
      )
      // Other tags wait for the condition, and the manifest was not put either.
      const other = freshDigest()
      const wrong = { tags: [two], onlyIf: { tag: one, is: other } }
      expect(yield* Effect.flip(registry.putManifest(repository, m2, wrong))).toMatchObject({
        _tag: "PreconditionFailed",
        expected: other,
        actual: digest,
        reason: "Changed"
      })
      for (const reference of [two, m2.descriptor.digest])
        expect(yield* registry.headManifest(repository, reference)).toEqual(Option.none())
      expect(yield* at(one)).toEqual(m1.descriptor)

      const right = { tags: [two, one], onlyIf: { tag: one, is: digest } }
      yield* registry.putManifest(repository, m2, right)
      expect([yield* at(one), yield* at(two)]).toEqual([m2.descriptor, m2.descriptor])
      // What is there already can be put again.
      const again = { onlyIf: { tag: one, is: m2.descriptor.digest } }
      expect(yield* registry.putManifest(repository, m2, again)).toEqual(m2.descriptor)
    })
  )

  it.effect("puts nothing where a tag is absent that is expected to be there", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const [one, is] = [yield* tag("one"), freshDigest()]
      const m1 = yield* image(registry, repository, "m1")
      const put = registry.putManifest(repository, m1, { onlyIf: { tag: one, is } })
      expect(yield* Effect.flip(put)).toMatchObject({
        _tag: "PreconditionFailed",
        tag: "one",
        expected: is,
        actual: "absent",
        reason: "Changed"
      })
      expect(yield* registry.headManifest(repository, one)).toEqual(Option.none())
    })
  )

  if (supports.atomicPuts) {
    it.effect("lets one of many writers put a tag that all expect to be absent", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const lock = yield* tag("lock")
        const manifests = yield* Effect.forEach(Array.from({ length: 8 }), (_, n) =>
          image(registry, repository, `m${n}`)
        )
        const put = yield* Effect.forEach(
          manifests,
          (manifest) =>
            Effect.either(
              registry.putManifest(repository, manifest, { onlyIf: { tag: lock, is: "absent" } })
            ),
          { concurrency: 8 }
        )
        const [winner, ...others] = put.flatMap((result) =>
          Either.isRight(result) ? [result.right] : []
        )
        expect(others).toEqual([])
        expect(Option.some(winner)).toEqual(yield* registry.headManifest(repository, lock))
        for (const result of put)
          if (Either.isLeft(result))
            expect(result.left).toMatchObject({
              _tag: "PreconditionFailed",
              reason: "Changed",
              actual: winner?.digest
            })
      })
    )

    it.effect("counts one after the other what many writers count at once", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const counter = yield* tag("counter")
        const base = yield* image(registry, repository, "m1")
        const [config] = Manifest.references(base)
        if (config === undefined) throw new Error("m1 has a config")
        const counted = (n: number) =>
          Manifest.image({ config, layers: [], annotations: { n: String(n) } })
        yield* registry.putManifest(repository, counted(0), { tags: [counter] })
        const increment = Effect.gen(function* () {
          const { content, descriptor } = yield* registry.getManifest(repository, counter)
          const n = Number(content._tag === "ImageManifest" ? content.annotations?.["n"] : "")
          yield* registry.putManifest(repository, counted(n + 1), {
            onlyIf: { tag: counter, is: descriptor.digest }
          })
        }).pipe(Effect.retry({ while: (error) => error._tag === "PreconditionFailed" }))
        yield* Effect.all(
          Array.from({ length: 6 }, () => increment),
          { concurrency: 6 }
        )
        const { descriptor } = yield* registry.getManifest(repository, counter)
        expect(descriptor).toEqual(counted(6).descriptor)
      })
    )
  }

  it.effect("puts the same manifest twice", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const m1 = yield* image(registry, repository, "m1")
      expect(yield* registry.putManifest(repository, m1)).toEqual(m1.descriptor)
      expect(yield* registry.putManifest(repository, m1)).toEqual(m1.descriptor)
    })
  )

  it.effect(
    "reports an unknown tag and digest as ManifestUnknown, and a HEAD of them as none (R8)",
    () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        yield* registry.putManifest(repository, yield* image(registry, repository, "m1"))
        for (const reference of [yield* tag("absent"), freshDigest()]) {
          expect(yield* Effect.flip(registry.getManifest(repository, reference))).toMatchObject({
            _tag: "ManifestUnknown",
            repository,
            reference
          })
          expect(yield* registry.headManifest(repository, reference)).toEqual(Option.none())
        }
      })
  )

  it.effect("reports an unknown repository as absent (R8)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const latest = yield* tag("latest")
      const error = yield* Effect.flip(registry.getManifest(repository, latest))
      expect(["NameUnknown", "ManifestUnknown"]).toContain(error._tag)
      expect(error).toMatchObject({ repository })
      expect(yield* registry.headManifest(repository, latest)).toEqual(Option.none())
      if (supports.manifestDelete)
        expect(["NameUnknown", "ManifestUnknown"]).toContain(
          (yield* Effect.flip(registry.deleteManifest(repository, freshDigest())))._tag
        )
    })
  )

  it.effect("refuses to get what cannot be verified (C17, C23)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const error = yield* Effect.flip(registry.getManifest(repository, yield* unverifiableDigest))
      expect(error).toMatchObject({ _tag: "InvalidDigest", reason: "Algorithm" })
    })
  )

  if (supports.missingReferencesRejected) {
    it.effect("refuses a manifest whose content is missing, and does not store it (R12, C34)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const latest = yield* tag("latest")
        const complete = yield* image(registry, repository, "m1")
        const absent = { mediaType: MediaType.layerTar, digest: freshDigest(), size: 7 }
        const [config] = Manifest.references(complete)
        if (config === undefined) throw new Error("m1 has a config")
        for (const manifest of [
          Manifest.image({ config, layers: [absent] }),
          Manifest.image({ config: { ...absent, mediaType: MediaType.imageConfig }, layers: [] }),
          Manifest.index({ manifests: [{ ...absent, mediaType: MediaType.imageManifest }] })
        ]) {
          const error = yield* Effect.flip(
            registry.putManifest(repository, manifest, { tags: [latest] })
          )
          expect(error).toMatchObject({ _tag: "BlobUnknown", repository })
          expect(yield* registry.headManifest(repository, manifest.descriptor.digest)).toEqual(
            Option.none()
          )
          expect(yield* registry.headManifest(repository, latest)).toEqual(Option.none())
        }
      })
    )
  }

  if (supports.nonDistributableMissing) {
    it.effect(
      "takes a manifest whose layers that are not to be distributed are missing (C63)",
      () =>
        Effect.gen(function* () {
          const registry = yield* Registry
          const repository = yield* freshRepository
          const [config] = Manifest.references(yield* image(registry, repository, "m1"))
          if (config === undefined) throw new Error("m1 has a config")
          const foreign = {
            mediaType: MediaType.dockerForeignLayerTarGzip,
            digest: freshDigest(),
            size: 7
          }
          const manifest = Manifest.image({
            config,
            layers: [foreign],
            mediaType: MediaType.dockerManifest
          })
          expect(yield* registry.putManifest(repository, manifest)).toEqual(manifest.descriptor)
        })
    )
  }

  if (supports.signedManifests) {
    it.effect("keeps signed manifests of schema 1, known by their payload's digest (trap 36)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const latest = yield* tag("latest")
        const { digest } = yield* registry.putBlob(
          repository,
          BlobSource.fromBytes(freshBytes("b1"))
        )
        const unsigned = SignedManifest.make({
          schemaVersion: 1,
          name: repository,
          tag: latest,
          architecture: "amd64",
          fsLayers: [{ blobSum: digest }],
          history: [{ v1Compatibility: '{"id":"1","author":"größe"}' }]
        })
        const { cert, key } = yield* authority("signer")
        const privateKey = Redacted.make(key)
        const once = yield* SignedManifest.sign(unsigned, { privateKey })
        for (const signed of [
          once,
          yield* SignedManifest.sign(unsigned, { privateKey, certificates: cert }),
          yield* SignedManifest.sign(once, {
            privateKey: Redacted.make((yield* authority("other")).key)
          })
        ]) {
          const { bytes, descriptor } = signed.manifest
          expect(descriptor.digest).toBe(Digest.fromBytes(unsigned.manifest.bytes))
          expect(
            yield* registry.putManifest(repository, signed.manifest, { tags: [latest] })
          ).toEqual(descriptor)
          for (const reference of [latest, descriptor.digest]) {
            const got = yield* registry.getManifest(repository, reference)
            expect(got.descriptor).toEqual(descriptor)
            const found = yield* registry.headManifest(repository, reference)
            expect(found).toEqual(Option.some(descriptor))
            const read = yield* SignedManifest.fromManifest(got)
            expect(read.payload).toEqual(unsigned.payload)
            const signers = yield* SignedManifest.verify(read)
            if (!supports.signaturesKept) continue
            expect(got.bytes).toEqual(bytes)
            expect(signers).toEqual(yield* SignedManifest.verify(signed))
          }
          if (supports.manifestDelete) yield* registry.deleteManifest(repository, descriptor.digest)
        }
      })
    )
  }

  if (supports.sha512Manifests) {
    it.effect("stores a manifest under its sha512 digest, to which its tag leads (C16)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const latest = yield* tag("latest")
        const { bytes, descriptor } = yield* image(registry, repository, "m1")
        const digest = Digest.fromBytes(bytes, "sha512")
        const m1 = yield* Manifest.fromBytes(bytes, { mediaType: descriptor.mediaType, digest })
        expect((yield* registry.putManifest(repository, m1, { tags: [latest] })).digest).toBe(
          digest
        )
        expect((yield* registry.getManifest(repository, digest)).bytes).toEqual(bytes)
        expect(yield* registry.headManifest(repository, latest)).toEqual(Option.some(m1.descriptor))
        if (supports.sha512Read)
          expect((yield* registry.getManifest(repository, latest)).descriptor).toEqual(
            m1.descriptor
          )
        const only = yield* tag("only")
        yield* registry.putManifest(repository, m1, { onlyIf: { tag: only, is: "absent" } })
        yield* registry.putManifest(repository, m1, { onlyIf: { tag: only, is: digest } })
        expect(yield* registry.headManifest(repository, only)).toEqual(Option.some(m1.descriptor))
      })
    )
  }

  it.effect("takes a large manifest of 4 MiB (R31)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const text = "x".repeat(4 * 1024 * 1024 - 2000)
      const m1 = yield* image(registry, repository, "m1", {
        annotations: { "org.example.text": text }
      })
      yield* registry.putManifest(repository, m1)
      expect((yield* registry.getManifest(repository, m1.descriptor.digest)).bytes.length).toBe(
        m1.bytes.length
      )
    })
  )

  if (supports.tagDelete) {
    it.effect("deletes a tag and leaves the manifest and its other tags (R39, C95)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const [one, two] = [yield* tag("one"), yield* tag("two")]
        const m1 = yield* image(registry, repository, "m1")
        yield* registry.putManifest(repository, m1, { tags: [one, two] })
        yield* registry.deleteTag(repository, one)
        expect((yield* Effect.flip(registry.getManifest(repository, one)))._tag).toBe(
          "ManifestUnknown"
        )
        expect(yield* registry.headManifest(repository, two)).toEqual(Option.some(m1.descriptor))
        expect(yield* registry.headManifest(repository, m1.descriptor.digest)).toEqual(
          Option.some(m1.descriptor)
        )
        expect(yield* Effect.flip(registry.deleteTag(repository, one))).toMatchObject({
          _tag: "ManifestUnknown",
          repository,
          reference: "one"
        })
      })
    )
  } else {
    it.effect("says that it cannot delete a tag, and leaves it and its manifest (trap 60)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const one = yield* tag("one")
        const m1 = yield* image(registry, repository, "m1")
        yield* registry.putManifest(repository, m1, { tags: [one] })
        expect((yield* Effect.flip(registry.deleteTag(repository, one)))._tag).toBe("Unsupported")
        expect(yield* registry.headManifest(repository, one)).toEqual(Option.some(m1.descriptor))
      })
    )
  }

  if (supports.manifestDelete) {
    it.effect("deletes a manifest with every tag on it, and no other (R39, C96)", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const [one, two, kept] = [yield* tag("one"), yield* tag("two"), yield* tag("kept")]
        const m1 = yield* image(registry, repository, "m1")
        const m2 = yield* image(registry, repository, "m2")
        yield* registry.putManifest(repository, m1, { tags: [one, two] })
        yield* registry.putManifest(repository, m2, { tags: [kept] })
        yield* registry.deleteManifest(repository, m1.descriptor.digest)
        for (const reference of [one, two, m1.descriptor.digest]) {
          expect((yield* Effect.flip(registry.getManifest(repository, reference)))._tag).toBe(
            "ManifestUnknown"
          )
        }
        expect(yield* registry.headManifest(repository, kept)).toEqual(Option.some(m2.descriptor))
        expect(yield* items(registry.tags(repository))).toEqual([kept])
        expect(
          yield* Effect.flip(registry.deleteManifest(repository, m1.descriptor.digest))
        ).toMatchObject({
          _tag: "ManifestUnknown",
          repository,
          reference: m1.descriptor.digest
        })
      })
    )
  } else {
    it.effect("says that it cannot delete a manifest, and leaves it", () =>
      Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* freshRepository
        const m1 = yield* image(registry, repository, "m1")
        const { digest } = m1.descriptor
        yield* registry.putManifest(repository, m1)
        expect((yield* Effect.flip(registry.deleteManifest(repository, digest)))._tag).toBe(
          "Unsupported"
        )
        expect(yield* registry.headManifest(repository, digest)).toEqual(Option.some(m1.descriptor))
      })
    )
  }

  it.effect("keeps what is put under one name away from another", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const [first, second] = [yield* freshRepository, yield* freshRepository]
      const m1 = yield* image(registry, first, "m1")
      yield* registry.putManifest(first, m1)
      yield* registry.putManifest(second, yield* image(registry, second, "m2"))
      expect(yield* registry.headManifest(second, m1.descriptor.digest)).toEqual(Option.none())
    })
  )

  it.effect("takes many manifests at once", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const symbols = Array.from({ length: 12 }, (_, n) => `m${n}`)
      const put = yield* Effect.forEach(
        symbols,
        (symbol) =>
          Effect.flatMap(
            Effect.all([image(registry, repository, symbol), tag(symbol)]),
            ([manifest, name]) => registry.putManifest(repository, manifest, { tags: [name] })
          ),
        { concurrency: 6 }
      )
      for (const [n, symbol] of symbols.entries()) {
        expect((yield* registry.getManifest(repository, yield* tag(symbol))).descriptor).toEqual(
          put[n]
        )
      }
    })
  )
}
