/** What is attached to manifests, over every registry, whoever keeps the lists of referrers. */
import { expect } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Referrers from "../../src/content/Referrers.js"
import { Registry } from "../../src/Registry.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import { freshRepository, image, items, tag } from "../support/fixtures.js"
import type { It } from "./registry.js"

const [sbomType, signatureType] = ["application/vnd.example.sbom", "application/vnd.example.sig"]

/** What a tree says, with digests by the names of what they are of. */
const shape = (
  { attachments, descriptor, manifests }: Referrers.Tree,
  names: Readonly<Record<string, string>>
): unknown => ({
  of: names[descriptor.digest],
  ...(attachments.length > 0 && {
    attached: attachments
      .map((attached) => ({ by: attached.link._tag, ...Object(shape(attached, names)) }))
      .toSorted((a, b) => String(a.of).localeCompare(String(b.of)))
  }),
  ...(manifests.length > 0 && { manifests: manifests.map((manifest) => shape(manifest, names)) })
})

export const referrerSuite = (it: It): void => {
  it.effect("finds what is attached to a manifest, to that, and to its platforms (CP13)", () =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* freshRepository
      const names: Record<string, string> = {}
      const put = Effect.fnUntraced(function* (
        name: string,
        options: Omit<Parameters<typeof Manifest.image>[0], "config" | "layers"> = {},
        tags: ReadonlyArray<string> = []
      ) {
        const manifest = yield* image(registry, repository, name, options)
        names[manifest.descriptor.digest] = name
        yield* registry.putManifest(repository, manifest, {
          tags: yield* Effect.forEach(tags, tag)
        })
        return manifest.descriptor
      })

      const arm = yield* put("arm")
      const index = Manifest.index({
        manifests: [{ ...arm, platform: Platform.unsafeParse("linux/arm64") }]
      })
      const subject = index.descriptor
      names[subject.digest] = "index"
      yield* registry.putManifest(repository, index, { tags: [yield* tag("1")] })
      const sbom = yield* put("sbom", { artifactType: sbomType, subject })
      yield* put("other", { artifactType: signatureType, subject })
      yield* put("signature", { artifactType: signatureType, subject: sbom })
      yield* put("arm sbom", { artifactType: sbomType, subject: arm })
      yield* put("cosign", {}, [`${subject.digest.replace(":", "-")}.sig`])
      yield* put("arm cosign", {}, [`${arm.digest.replace(":", "-")}.att`])

      const reference = yield* Reference.parse(`registry.test/${repository}:1`)
      const tree = yield* Referrers.treeFrom(registry, reference, { platforms: true })
      expect(shape(tree, names)).toEqual({
        of: "index",
        attached: [
          { by: "CosignTag", of: "cosign" },
          { by: "Referrer", of: "other" },
          {
            by: "Referrer",
            of: "sbom",
            attached: [{ by: "Referrer", of: "signature" }]
          }
        ],
        manifests: [
          {
            of: "arm",
            attached: [
              { by: "CosignTag", of: "arm cosign" },
              { by: "Referrer", of: "arm sbom" }
            ]
          }
        ]
      })

      const walked = yield* items(
        Referrers.walkFrom(registry, reference, { artifactType: sbomType, platforms: true })
      )
      expect(
        walked.map(({ depth, descriptor, subject }) => [
          names[descriptor.digest],
          names[subject.digest],
          depth
        ])
      ).toEqual([
        ["sbom", "index", 1],
        ["signature", "sbom", 2],
        ["arm sbom", "arm", 1]
      ])
    })
  )
}
