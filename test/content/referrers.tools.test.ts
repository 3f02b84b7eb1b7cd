/** What oras and cosign attach is found here, and what is attached here by oras. */
import { describe, expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Artifact from "../../src/content/Artifact.js"
import * as Referrers from "../../src/content/Referrers.js"
import * as ArtifactType from "../../src/spec/ArtifactType.js"
import { describeDebian } from "../support/debian.js"
import { items, utf8 } from "../support/fixtures.js"
import { layerDebianHost, layerEmbeddedHost, repositoryOnHost } from "../support/hosts.js"
import { describeWherePresent } from "../support/installed.js"
import { folder } from "../support/machine.js"
import { outputOf } from "../support/program.js"

/** What is attached: how, of which type, and what is attached to that. */
const shape = ({ attachments }: Referrers.Tree): unknown =>
  attachments.map((attached) => ({
    ...attached.link,
    type: attached.descriptor.artifactType,
    attached: shape(attached)
  }))

const pushed = Effect.gen(function* () {
  const app = `${yield* repositoryOnHost}:1`
  const { reference } = yield* Artifact.push(app, { artifactType: "a/app", files: [] })
  return { app, reference }
})

const tools = (where: typeof layerEmbeddedHost | typeof layerDebianHost) => {
  describeWherePresent("oras", "and oras", () => {
    layer(where, { excludeTestServices: true })((it) => {
      it.scoped("referrers of referrers are the same tree for both", () =>
        Effect.gen(function* () {
          const { app } = yield* pushed
          const cwd = yield* folder({ "sbom.json": "{}" })
          const oras = (...args: ReadonlyArray<string>) =>
            outputOf("oras", args, { cwd, environment: { HOME: cwd } })
          yield* oras("attach", "--plain-http", "--artifact-type", "a/sbom", app, "sbom.json")
          const [sbom] = (yield* Referrers.tree(app)).attachments
          if (sbom === undefined) return expect.fail("oras has attached nothing")
          yield* Artifact.attach(sbom.reference, { artifactType: "a/signature", files: [] })
          yield* Artifact.attach(app, { artifactType: "a/notes", files: [] })
          yield* oras("attach", "--plain-http", "--artifact-type", "a/last", app, "sbom.json")

          const tree = yield* Referrers.tree(app)
          const discover = ["discover", "--plain-http", "--format", "json", app]
          const found = JSON.parse(yield* oras(...discover))
          interface Node {
            readonly digest: string
            readonly referrers?: ReadonlyArray<Node>
          }
          const ofOras = ({ digest, referrers = [] }: Node): unknown => [
            digest,
            referrers.map(ofOras)
          ]
          const ours = ({ attachments, descriptor }: Referrers.Tree): unknown => [
            descriptor.digest,
            attachments.map(ours)
          ]
          expect(ours(tree)).toEqual(ofOras(found))
          expect(tree.attachments.map(({ descriptor }) => descriptor.artifactType)).toEqual(
            expect.arrayContaining(["a/sbom", "a/notes", "a/last"])
          )
        })
      )
    })
  })

  describeWherePresent("cosign", "and cosign", () => {
    layer(where, { excludeTestServices: true })((it) => {
      it.scoped("signatures and attestations under tags are told from referrers", () =>
        Effect.gen(function* () {
          const { app, reference } = yield* pushed
          const digest = `${reference}`
          const cwd = yield* folder({ "sbom.json": "{}" })
          const cosign = (...args: ReadonlyArray<string>) =>
            outputOf("cosign", args, { cwd, environment: { HOME: cwd, COSIGN_PASSWORD: "" } })
          yield* cosign("generate-key-pair")
          const offline = ["--tlog-upload=false", "--use-signing-config=false", "--yes"]
          const options = ["--key", "cosign.key", ...offline, "--allow-http-registry"]
          const old = "--new-bundle-format=false"
          yield* cosign("sign", ...options, old, digest)
          yield* cosign("attest", ...options, old, "--predicate", "sbom.json", digest)
          yield* cosign("sign", ...options, "--new-bundle-format=true", digest)
          yield* Artifact.attach(app, {
            artifactType: "a/notes",
            files: [{ title: "notes.txt", source: utf8("all is well") }]
          })
          const prefix = digest.replace(/^.*@/, "").replace(":", "-")
          const attached = shape(yield* Referrers.tree(app))
          expect(attached).toHaveLength(4)
          expect(attached).toEqual(
            expect.arrayContaining([
              { _tag: "Referrer", type: "a/notes", attached: [] },
              // Under the referrers tag cosign 3 gives it the empty type (CP10).
              { _tag: "Referrer", type: expect.stringContaining("application/"), attached: [] },
              { _tag: "CosignTag", kind: "Signature", tag: `${prefix}.sig`, attached: [] },
              { _tag: "CosignTag", kind: "Attestation", tag: `${prefix}.att`, attached: [] }
            ])
          )
          const bundles = Referrers.walk(app, { artifactType: ArtifactType.sigstoreBundle })
          expect((yield* items(bundles)).map(({ descriptor }) => descriptor)).toMatchObject([
            {
              artifactType: ArtifactType.sigstoreBundle,
              annotations: { "dev.sigstore.bundle.content": "dsse-envelope" }
            }
          ])
        })
      )
    })
  })
}

describe("the embedded server", () => tools(layerEmbeddedHost))
describeDebian("docker-registry", () => tools(layerDebianHost))
