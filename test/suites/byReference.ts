/**
 * What the operations of `Registries` by reference must do, over registries of every kind. Each
 * test has a repository of its own at one host.
 */
import { describe, expect, layer as withLayer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Registries from "../../src/Registries.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Reference from "../../src/spec/Reference.js"
import { freshDigest, freshRepository, gather, image, items, tag } from "../support/fixtures.js"

export interface ByReferenceOptions {
  readonly layer: Layer.Layer<Registries.Registries, unknown>
  /** Whether tags can be deleted (C95), true unless said otherwise. */
  readonly tagDelete?: boolean
  /** Whether tag lists honour `last` (R33), true unless said otherwise. */
  readonly tagPaging?: boolean
}

/** The host that the layer has to have a registry for. */
export const host = "registry.test"

/** An image under the tag `1`, in a repository that no other test has. */
const prepared = Effect.gen(function* () {
  const name = `${host}/${yield* freshRepository}`
  const opened = yield* Registries.open(name)
  const manifest = yield* image(opened.registry, opened.repository, "m1")
  yield* opened.registry.putManifest(opened.repository, manifest, { tags: [yield* tag("1")] })
  return { ...opened, name, manifest, digest: manifest.descriptor.digest }
})

export const byReferenceSuite = (
  name: string,
  { layer, tagDelete = true, tagPaging = true }: ByReferenceOptions
): void => {
  describe(name, () => {
    withLayer(layer, { excludeTestServices: true })((it) => {
      it.effect("opens the registry of a reference, with the reference that was meant", () =>
        Effect.gen(function* () {
          const name = `${host}/${yield* freshRepository}`
          const opened = yield* Registries.open(`${name}:1`)
          expect(opened.repository).toBe(opened.reference.repository)
          expect(Reference.format(opened.reference)).toBe(`${name}:1`)
          // One that is parsed is taken as it is, and leads to the same registry.
          expect(yield* Registries.open(opened.reference)).toEqual(opened)
          yield* opened.registry.ping
        })
      )

      it.effect("resolves a tag, a digest and the tag latest to a digest", () =>
        Effect.gen(function* () {
          const { digest, manifest, name } = yield* prepared
          const pinned = `${name}@${digest}`
          const { descriptor, reference } = yield* Registries.resolve(`${name}:1`)
          expect(descriptor).toMatchObject({
            digest,
            size: manifest.descriptor.size,
            mediaType: manifest.descriptor.mediaType
          })
          expect(Reference.format(reference)).toBe(pinned)
          for (const written of [pinned, `${name}:2@${digest}`]) {
            const resolved = yield* Registries.resolve(written)
            expect(Reference.format(resolved.reference)).toBe(pinned)
          }
          yield* Registries.tag(`${name}:1`, "latest")
          expect(Reference.format((yield* Registries.resolve(name)).reference)).toBe(pinned)
        })
      )

      it.effect("tells what is there from what is not", () =>
        Effect.gen(function* () {
          const { digest, name, repository } = yield* prepared
          expect(yield* Registries.exists(`${name}:1`)).toBe(true)
          expect(yield* Registries.exists(`${name}@${digest}`)).toBe(true)
          const absent = freshDigest()
          for (const [written, asked] of [
            [`${name}:2`, "2"],
            [name, "latest"],
            [`${name}@${absent}`, absent]
          ] as const) {
            expect(yield* Registries.exists(written)).toBe(false)
            expect(yield* Effect.flip(Registries.resolve(written))).toMatchObject({
              _tag: "ManifestUnknown",
              repository,
              reference: asked
            })
          }
        })
      )

      it.effect("reads a manifest", () =>
        Effect.gen(function* () {
          const { digest, manifest, name } = yield* prepared
          yield* Registries.tag(`${name}:1`, "latest")
          for (const written of [name, `${name}:1`, `${name}@${digest}`])
            expect((yield* Registries.manifest(written)).bytes).toEqual(manifest.bytes)
          expect(yield* Effect.flip(Registries.manifest(`${name}:2`))).toMatchObject({
            _tag: "ManifestUnknown"
          })
        })
      )

      it.effect("lists tags, whatever version the reference names, and from where it is told", () =>
        Effect.gen(function* () {
          const { digest, name } = yield* prepared
          yield* Registries.tag(`${name}:1`, "2")
          yield* Registries.tag(`${name}:1`, "3")
          for (const written of [name, `${name}:9`, `${name}@${digest}`])
            expect([...(yield* items(Registries.tags(written)))].sort()).toEqual(["1", "2", "3"])
          const rest = yield* items(Registries.tags(name, { pageSize: 1, after: "1" }))
          expect([...rest].sort()).toEqual(tagPaging ? ["2", "3"] : ["1", "2", "3"])
          expect(
            yield* Effect.flip(items(Registries.tags(name, { after: "no tag" })))
          ).toMatchObject({ _tag: "InvalidReference", reason: "Tag" })
        })
      )

      it.effect("lists the referrers of a tag and of a digest, by type where one is given", () =>
        Effect.gen(function* () {
          const { digest, manifest, name, registry, repository } = yield* prepared
          const attached = yield* Effect.forEach(["a", "b"], (kind) =>
            Effect.gen(function* () {
              const artifact = yield* image(registry, repository, kind, {
                artifactType: `application/vnd.example.${kind}`,
                subject: manifest.descriptor
              })
              yield* registry.putManifest(repository, artifact)
              return artifact.descriptor.digest
            })
          )
          yield* Registries.tag(`${name}:1`, "latest")
          for (const written of [name, `${name}:1`, `${name}@${digest}`]) {
            const found = yield* items(Registries.referrers(written))
            expect(new Set(found.map(({ digest }) => digest))).toEqual(new Set(attached))
          }
          const ofA = { artifactType: "application/vnd.example.a" }
          const [only, ...others] = yield* items(Registries.referrers(`${name}:1`, ofA))
          expect([only?.digest, others]).toEqual([attached[0], []])
          expect(yield* items(Registries.referrers(`${name}@${freshDigest()}`))).toEqual([])
          expect(yield* Effect.flip(items(Registries.referrers(`${name}:2`)))).toMatchObject({
            _tag: "ManifestUnknown"
          })
        })
      )

      it.effect("streams a blob", () =>
        Effect.gen(function* () {
          const { manifest, name } = yield* prepared
          const [layer] = manifest.content._tag === "ImageManifest" ? manifest.content.layers : []
          for (const written of [`${name}@${layer?.digest}`, `${name}:9@${layer?.digest}`])
            expect((yield* gather(Registries.blob(written))).length).toBe(layer?.size)
          expect(
            yield* Effect.flip(gather(Registries.blob(`${name}@${freshDigest()}`)))
          ).toMatchObject({ _tag: "BlobUnknown" })
        })
      )

      it.effect("puts another tag on a tag, on a digest, and on one where the two differ", () =>
        Effect.gen(function* () {
          const { digest, name, registry, repository } = yield* prepared
          const other = yield* image(registry, repository, "m2")
          yield* registry.putManifest(repository, other, { tags: [yield* tag("2")] })
          const { descriptor, reference } = yield* Registries.tag(`${name}:1`, "a")
          expect(descriptor.digest).toBe(digest)
          expect(Reference.format(reference)).toBe(`${name}@${digest}`)
          yield* Registries.tag(`${name}@${digest}`, "b")
          // The digest decides, as it does everywhere.
          yield* Registries.tag(`${name}:2@${digest}`, "c")
          for (const tag of ["a", "b", "c"])
            expect((yield* Registries.resolve(`${name}:${tag}`)).descriptor.digest).toBe(digest)
          // A tag moves.
          yield* Registries.tag(`${name}:2`, "a")
          expect((yield* Registries.resolve(`${name}:a`)).descriptor.digest).toBe(
            other.descriptor.digest
          )
          expect(yield* Effect.flip(Registries.tag(`${name}:9`, "d"))).toMatchObject({
            _tag: "ManifestUnknown"
          })
          expect(yield* Registries.exists(`${name}:d`)).toBe(false)
        })
      )

      it.effect("removes a tag and leaves the manifest", () =>
        Effect.gen(function* () {
          const { digest, name } = yield* prepared
          yield* Registries.tag(`${name}:1`, "2")
          if (!tagDelete) {
            expect(yield* Effect.flip(Registries.untag(`${name}:2`))).toMatchObject({
              _tag: "Unsupported"
            })
            return
          }
          yield* Registries.untag(`${name}:2`)
          expect(yield* Registries.exists(`${name}:2`)).toBe(false)
          expect(yield* Registries.exists(`${name}:1`)).toBe(true)
          yield* Registries.untag(`${name}:1@${digest}`)
          expect(yield* Registries.exists(`${name}:1`)).toBe(false)
          expect(yield* Registries.exists(`${name}@${digest}`)).toBe(true)
        })
      )

      it.effect("removes a tag, if need be by way of a throwaway, and leaves all others", () =>
        Effect.gen(function* () {
          const { digest, name } = yield* prepared
          yield* Registries.tag(`${name}:1`, "2")
          yield* Registries.untag(`${name}:2`, { throwaway: true })
          expect(yield* items(Registries.tags(name))).toEqual(["1"])
          expect((yield* Registries.resolve(`${name}:1`)).descriptor.digest).toBe(digest)
          expect(
            yield* Effect.flip(Registries.untag(`${name}:2`, { throwaway: true }))
          ).toMatchObject({ _tag: "ManifestUnknown" })
          yield* Registries.untag(`${name}:1@${digest}`, { throwaway: true })
          expect(yield* Registries.exists(`${name}:1`)).toBe(false)
          expect(yield* Registries.exists(`${name}@${digest}`)).toBe(true)
        })
      )

      it.effect("removes nothing where a tag does not stand on the digest beside it", () =>
        Effect.gen(function* () {
          const { digest, name, registry, repository } = yield* prepared
          const other = yield* image(registry, repository, "m2")
          yield* registry.putManifest(repository, other, { tags: [yield* tag("2")] })
          const written = `${name}:2@${digest}`
          for (const removing of [Registries.remove(written), Registries.untag(written)]) {
            const failure = yield* Effect.flip(removing)
            expect(failure).toMatchObject({
              _tag: "DigestMismatch",
              manifest: written,
              tag: "2",
              expected: digest,
              actual: other.descriptor.digest
            })
            expect(failure.message).toBe(
              `${written}: the tag 2 is ${other.descriptor.digest} by now, and nothing was ` +
                "removed. Read the tag, and decide again"
            )
          }
          const absent = yield* Effect.flip(Registries.remove(`${name}:3@${digest}`))
          expect(absent).toMatchObject({ _tag: "ManifestUnknown", reference: "3" })
          expect(absent.message).toBe(`Repository ${name} has no manifest 3`)
          expect(yield* items(Registries.tags(name))).toHaveLength(2)
        })
      )

      it.effect("removes a manifest with every tag on it", () =>
        Effect.gen(function* () {
          const { digest, name } = yield* prepared
          yield* Registries.tag(`${name}:1`, "2")
          yield* Registries.remove(`${name}:1@${digest}`)
          for (const written of [`${name}:1`, `${name}:2`, `${name}@${digest}`])
            expect(yield* Registries.exists(written)).toBe(false)
          expect(yield* Effect.flip(Registries.remove(`${name}@${digest}`))).toMatchObject({
            _tag: "ManifestUnknown"
          })
        })
      )

      it.effect("never takes a name without a version for latest where it writes or removes", () =>
        Effect.gen(function* () {
          const { digest, manifest, name, registry, repository } = yield* prepared
          yield* registry.putManifest(repository, manifest, { tags: [yield* tag("latest")] })
          const writes: ReadonlyArray<Effect.Effect<unknown, Error, Registries.Registries>> = [
            Registries.tag(name, "2"),
            Registries.putManifest(name, manifest),
            Registries.untag(name),
            Registries.remove(name)
          ]
          for (const write of writes) {
            const failure = yield* Effect.flip(write)
            expect(failure).toMatchObject({ _tag: "InvalidReference", reason: "Tag", input: name })
            expect(failure.message).toContain(`write ${name}:latest if that is meant`)
          }
          expect([...(yield* items(Registries.tags(name)))].sort()).toEqual(["1", "latest"])
          expect((yield* Registries.resolve(name)).descriptor.digest).toBe(digest)
        })
      )

      it.effect("says what is missing in a reference, and which operation was meant", () =>
        Effect.gen(function* () {
          const { digest, name } = yield* prepared
          const failures: ReadonlyArray<
            readonly [Effect.Effect<unknown, Error, Registries.Registries>, string, string]
          > = [
            [Registries.remove(`${name}:1`), "Digest", "untag"],
            [Registries.untag(`${name}@${digest}`), "Tag", "remove"],
            [gather(Registries.blob(`${name}:1`)), "Digest", `${name}@sha256:…`],
            [gather(Registries.blob(name)), "Digest", `${name}@sha256:…`],
            [Registries.tag(`${name}:1`, "not a tag"), "Tag", '"not a tag"'],
            [Registries.tag(`${name}:1`, ""), "Tag", '""'],
            [Registries.tag(`${name}:1`, digest), "Tag", "is not a tag"]
          ]
          for (const [program, reason, hint] of failures) {
            const failure = yield* Effect.flip(program)
            expect(failure).toMatchObject({ _tag: "InvalidReference", reason })
            expect(failure.message).toContain(hint)
          }
          expect(yield* Registries.exists(`${name}:1`)).toBe(true)
        })
      )

      it.effect("takes Manifest.index and images alike", () =>
        Effect.gen(function* () {
          const { manifest, name, registry, repository } = yield* prepared
          const index = Manifest.index({ manifests: [manifest.descriptor] })
          yield* registry.putManifest(repository, index, { tags: [yield* tag("all")] })
          const { descriptor } = yield* Registries.tag(`${name}:all`, "2")
          expect(descriptor.digest).toBe(index.descriptor.digest)
          expect((yield* Registries.manifest(`${name}:2`)).content._tag).toBe("ImageIndex")
          expect(Option.isSome(yield* registry.headManifest(repository, yield* tag("2")))).toBe(
            true
          )
        })
      )
    })
  })
}
