/** The jobs of `examples/jobs` do what their table says, over sockets, and other tools agree. */
import * as Fs from "node:fs"
import { createServer } from "node:http"
import * as Path from "node:path"
import * as HttpServer from "@effect/platform/HttpServer"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { describe, expect, it, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Build from "../examples/jobs/build.js"
import * as Bundle from "../examples/jobs/bundle.js"
import * as Edge from "../examples/jobs/edge.js"
import * as Extension from "../examples/jobs/extension.js"
import * as Feature from "../examples/jobs/feature.js"
import * as Infrastructure from "../examples/jobs/infrastructure.js"
import * as Janitor from "../examples/jobs/janitor.js"
import * as Model from "../examples/jobs/model.js"
import * as Plugins from "../examples/jobs/plugins.js"
import * as Promote from "../examples/jobs/promote.js"
import * as Sbom from "../examples/jobs/sbom.js"
import * as Updates from "../examples/jobs/updates.js"
import * as Artifact from "../src/content/Artifact.js"
import * as Image from "../src/content/Image.js"
import * as Registries from "../src/Registries.js"
import * as Registry from "../src/Registry.js"
import { TransportFailure, Unauthorized } from "../src/RegistryError.js"
import * as Annotations from "../src/spec/Annotations.js"
import * as Digest from "../src/spec/Digest.js"
import * as Manifest from "../src/spec/Manifest.js"
import * as MediaType from "../src/spec/MediaType.js"
import * as Platform from "../src/spec/Platform.js"
import * as Reference from "../src/spec/Reference.js"
import * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import { describeDebian } from "./support/debian.js"
import { freshBytes, freshRepository, items, utf8 } from "./support/fixtures.js"
import {
  Host,
  layerDebianHost,
  layerEmbeddedHost,
  repositoryOnHost as name
} from "./support/hosts.js"
import { describeWherePresent } from "./support/installed.js"
import { folder } from "./support/machine.js"
import { outputOf } from "./support/program.js"
import * as Tar from "./support/tar.js"

const root = Path.join(import.meta.dirname, "../examples/jobs")
const programs = Fs.readdirSync(root).filter((file) => file.endsWith(".ts"))

describe("each job", () => {
  for (const file of programs) {
    const text = Fs.readFileSync(Path.join(root, file), "utf8")
    const body = text.replace(/^import [\s\S]*? from ".*"\n/gm, "")

    it(`${file} has at most 25 lines without imports`, () => {
      expect(body.split("\n").filter((line) => line.trim() !== "").length).toBeLessThanOrEqual(25)
    })

    it(`${file} neither parses references nor opens registries`, () => {
      expect(body).not.toMatch(
        /Reference\.(?:unsafeP|p)arse|Registries\.open|Registries\.Registries|\.get\(/
      )
    })
  }

  it("is in the table", () => {
    const table = Fs.readFileSync(Path.join(root, "README.md"), "utf8")
    const linked = Array.from(table.matchAll(/\[(\S+\.ts)\]\(\1\)/g), ([, file]) => file)
    expect(linked.sort()).toEqual(programs.sort())
  })
})

// -----------------------------------------------------------------------------
// Where they run
// -----------------------------------------------------------------------------

const embedded = Layer.merge(layerEmbeddedHost, NodeContext.layer)
const debian = Layer.merge(layerDebianHost, NodeContext.layer)

/** What a program prints that keeps what it knows in a folder. */
const output = (command: string, args: ReadonlyArray<string>, cwd: string) =>
  outputOf(command, args, {
    cwd,
    environment: { COSIGN_PASSWORD: "", DOCKER_CONFIG: cwd, HOME: cwd }
  })

/** A folder with a file in an archive, and the path of that. */
const archive = (file: string, content: string, as = "archive.tgz") =>
  Effect.gen(function* () {
    const cwd = yield* folder({ [file]: content })
    yield* output("tar", ["-czf", as, file], cwd)
    return Path.join(cwd, as)
  })

const read = (path: string) => Fs.readFileSync(path, "utf8")

const pinned = ({ reference }: { readonly reference: Reference.Reference }) =>
  Reference.format(reference)

const image = (reference: string, platforms: ReadonlyArray<string>, tar: Uint8Array) =>
  Effect.gen(function* () {
    const repository = reference.replace(/:[^:]*$/, "")
    const manifests = yield* Effect.forEach(platforms, (text) =>
      Effect.gen(function* () {
        const platform = Platform.unsafeParse(text)
        const config = {
          architecture: platform.architecture,
          os: platform.os,
          config: { Labels: { for: text } },
          rootfs: { type: "layers", diff_ids: [Digest.fromBytes(tar)] }
        }
        const { manifest } = yield* Artifact.push(repository, {
          config: { mediaType: MediaType.imageConfig, source: utf8(JSON.stringify(config)) },
          files: [{ mediaType: MediaType.layerTar, source: tar }],
          annotations: { "org.example.for": text },
          tags: []
        })
        return { ...manifest.descriptor, platform }
      })
    )
    return yield* Registries.putManifest(reference, Manifest.index({ manifests }))
  })

const plain = (reference: string, text = "all is well") =>
  Artifact.push(reference, {
    artifactType: "application/vnd.example.v1",
    files: [{ title: "file.txt", source: utf8(text) }]
  })

// -----------------------------------------------------------------------------
// The jobs
// -----------------------------------------------------------------------------

const jobs = (where: typeof embedded | typeof debian) =>
  layer(where, { excludeTestServices: true })((it) => {
    it.scoped("a Feature is published under all its tags, and the newest is installed", () =>
      Effect.gen(function* () {
        const feature = yield* name
        const old = yield* archive("install.sh", "old")
        const first = yield* Feature.publish(feature, "1.2.3", old, { id: "go" })
        const { annotations } = yield* Artifact.pull(`${feature}:1.2`)
        expect(annotations).toEqual({ "dev.containers.metadata": '{"id":"go"}' })
        yield* Feature.publish(feature, "1.10.0", yield* archive("install.sh", "new"))
        yield* Registries.tag(`${feature}:1.2.3`, "2.0.0-beta")
        expect([...(yield* items(Registries.tags(feature)))].sort()).toEqual([
          "1",
          "1.10",
          "1.10.0",
          "1.2",
          "1.2.3",
          "2.0.0-beta",
          "latest"
        ])
        const target = yield* folder()
        const { reference } = yield* Updates.newest(feature)
        expect(pinned({ reference })).toBe(pinned(yield* Registries.resolve(`${feature}:1.10.0`)))
        yield* Feature.install(pinned({ reference }), target)
        expect(read(`${target}/install.sh`)).toBe("new")
        yield* Feature.install(pinned(first), target)
        expect(read(`${target}/install.sh`)).toBe("old")
      })
    )

    it.scoped("a Feature of another type is not installed", () =>
      Effect.gen(function* () {
        const feature = yield* name
        yield* plain(`${feature}:1.0.0`)
        const target = yield* folder()
        expect(yield* Effect.flip(Feature.install(`${feature}:1.0.0`, target))).toMatchObject({
          _tag: "MediaTypeMismatch"
        })
        expect(Fs.readdirSync(target)).toEqual([])
      })
    )

    it.effect("a bundle is attached to a digest, to be found by its type", () =>
      Effect.gen(function* () {
        const app = yield* name
        const { digest } = (yield* plain(`${app}:1`)).manifest.descriptor
        const bundle = utf8('{"mediaType":"…"}')
        const { manifest } = yield* Bundle.attachBundle(app, digest, bundle)
        const [found, ...others] = yield* items(
          Registries.referrers(`${app}@${digest}`, {
            artifactType: "application/vnd.dev.sigstore.bundle.v0.3+json"
          })
        )
        expect(found?.digest).toBe(manifest.descriptor.digest)
        expect(others).toEqual([])
        const missing = Digest.fromBytes(utf8("missing"))
        expect(yield* Effect.flip(Bundle.attachBundle(app, missing, bundle))).toMatchObject({
          _tag: "ManifestUnknown"
        })
      })
    )

    it.effect("the newest release is found, and read without its layers", () =>
      Effect.gen(function* () {
        const app = yield* name
        yield* image(`${app}:v1.9.0`, ["linux/amd64"], freshBytes("layer"))
        const pushed = yield* image(
          `${app}:v1.10.0`,
          ["linux/amd64", "linux/arm64"],
          freshBytes("layer")
        )
        yield* Registries.tag(`${app}:v1.9.0`, "nightly")
        const { reference, tag } = yield* Updates.newest(app)
        expect({ reference, tag }).toEqual({ reference: pushed.reference, tag: "v1.10.0" })
        expect(
          yield* Updates.inspect(`${app}:${tag}`, Platform.unsafeParse("linux/arm64"))
        ).toEqual({
          annotations: { "org.example.for": "linux/arm64" },
          labels: { for: "linux/arm64" }
        })
      })
    )

    it.scoped("an extension has an update, and is installed with progress", () =>
      Effect.gen(function* () {
        const extension = `${yield* name}:stable`
        const target = yield* folder()
        const shares: Array<number> = []
        yield* plain(extension, "one")
        const { digest } = yield* Extension.install(extension, target, (share) =>
          Effect.sync(() => shares.push(share))
        )
        expect(shares.at(-1)).toBe(1)
        const installed = digest._tag === "Some" ? digest.value : ""
        expect(yield* Extension.hasUpdate(extension, installed)).toBe(false)
        yield* plain(extension, "two")
        expect(yield* Extension.hasUpdate(extension, installed)).toBe(true)
        expect(read(`${target}/file.txt`)).toBe("one")
      })
    )

    it.scoped("a plug-in is read when its digest changes", () =>
      Effect.gen(function* () {
        const plugin = `${yield* name}:1`
        const push = (main: string) =>
          Effect.gen(function* () {
            const path = yield* archive("plugin.json", JSON.stringify({ name: "demo", main }))
            yield* Artifact.push(plugin, {
              artifactType: "application/vnd.example.plugin.v1",
              files: [{ title: "plugin.tgz", source: Fs.readFileSync(path) }]
            })
          })
        yield* push("a.js")
        const known = yield* Plugins.refresh(plugin)
        expect(known.plugin).toMatchObject({ name: "demo", main: "a.js" })
        expect(yield* Plugins.refresh(plugin, known)).toBe(known)
        yield* push("b.js")
        expect((yield* Plugins.refresh(plugin, known)).plugin.main).toBe("b.js")
        const failing = (error: TransportFailure | Unauthorized) =>
          Plugins.refresh(plugin, known).pipe(
            Effect.provide(
              Registries.layerFrom(() =>
                Effect.succeed(Registry.make({ headManifest: () => Effect.fail(error) }))
              )
            )
          )
        expect(yield* failing(new TransportFailure({ reason: "Reset" }))).toBe(known)
        const refused = new Unauthorized({ reason: "TokenServer", origin: "https://ghcr.io" })
        expect(yield* Effect.flip(failing(refused))).toMatchObject({ _tag: "Unauthorized" })
      })
    )

    it.scoped(
      "a file is pushed past a limit on bodies, and read at the edge, which takes none",
      () =>
        Effect.gen(function* () {
          const host = yield* Host
          const repository = yield* freshRepository
          const path = `${yield* folder({ "layer.bin": "0123456789".repeat(1000) })}/layer.bin`
          const pushed = yield* Edge.publish(`${host}/${repository}:1`, path, 4_000)
          const listening = yield* Layer.build(
            NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })
          )
          yield* Layer.build(
            Edge.edge(host, 1_000_000).pipe(Layer.provide(Layer.succeedContext(listening)))
          )
          const { address } = Context.get(listening, HttpServer.HttpServer)
          const edge = `127.0.0.1:${address._tag === "TcpAddress" ? address.port : 0}/${repository}`
          const { files, manifest } = yield* Artifact.pull(`${edge}:1`)
          expect(manifest).toEqual(pushed.manifest)
          expect(
            yield* Stream.runFold(files[0]?.content ?? Stream.empty, 0, (n, b) => n + b.length)
          ).toBe(10_000)
          expect(yield* Effect.exit(plain(`${edge}:2`))).toMatchObject({ _tag: "Failure" })
          expect(yield* items(Registries.tags(`${host}/${repository}`))).toEqual(["1"])
        })
    )

    it.scoped("a file is published, and its digest is there", () =>
      Effect.gen(function* () {
        const repository = yield* name
        const path = `${yield* folder({ state: "state" })}/state`
        const output = yield* Infrastructure.publish(`${repository}:1`, path)
        expect(output).toMatch(/@sha256:[0-9a-f]{64}$/)
        expect(yield* Infrastructure.publish(`${repository}:1`, path)).toBe(output)
        expect(yield* Infrastructure.isPublished(output)).toBe(true)
        const other = `${repository}@${Digest.fromBytes(utf8("other"))}`
        expect(yield* Infrastructure.isPublished(other)).toBe(false)
        const mirrored = yield* Infrastructure.mirror(`${repository}:1`, `${yield* name}:1`)
        expect(mirrored.split("@")[1]).toBe(output.split("@")[1])
        expect(yield* Infrastructure.isPublished(mirrored)).toBe(true)
      })
    )

    it.scoped(
      "an image is built upon a base for each of its platforms, and moved to the next",
      () =>
        Effect.gen(function* () {
          const [base, app] = [`${yield* name}:1`, `${yield* name}:1`]
          const release = (version: string) =>
            image(base, ["linux/amd64", "linux/arm64/v8"], Tar.files({ release: version }))
          yield* release("old")
          const source = yield* folder({ main: "app" })
          const platforms = ["linux/amd64", "linux/arm64"].map((text) => Platform.unsafeParse(text))
          yield* Build.build(base, app, platforms, source)
          const read = (path: string) =>
            Effect.forEach(platforms, (platform) =>
              Effect.gen(function* () {
                const built = yield* Image.pull(app, { platform })
                expect(built.labels).toMatchObject({
                  for: expect.stringContaining(Platform.format(platform))
                })
                const { bytes } = yield* Image.readFile(built, path)
                return new TextDecoder().decode(bytes)
              })
            )
          expect(yield* read("/app/main")).toEqual(["app", "app"])
          expect(yield* read("/release")).toEqual(["old", "old"])
          yield* release("new")
          yield* Build.update(app, platforms)
          expect(yield* read("/app/main")).toEqual(["app", "app"])
          expect(yield* read("/release")).toEqual(["new", "new"])
        })
    )

    it.effect("what has an SBOM is promoted, by the digest that has it", () =>
      Effect.gen(function* () {
        const app = yield* name
        const candidate = pinned(yield* plain(`${app}:rc`))
        const promote = Promote.promote(`${app}:rc`, `${app}:stable`, "application/spdx+json")
        expect(yield* Effect.flip(promote)).toMatchObject({
          _tag: "Unsigned",
          candidate: `${app}:rc`
        })
        expect(yield* Registries.exists(`${app}:stable`)).toBe(false)
        yield* Sbom.attachSbom(`${app}:rc`, utf8('{"spdxVersion":"SPDX-2.3"}'))
        expect(pinned(yield* promote)).toBe(candidate)
        expect(pinned(yield* Registries.resolve(`${app}:stable`))).toBe(candidate)
        const other = yield* name
        const lines = yield* items(Promote.review(`${app}:stable`, `${other}:1`))
        expect(lines.at(-1)).toMatch(/^tag 1 = sha256:[0-9a-f]{64}, new, attachments: 1$/)
        expect(yield* Registries.exists(`${other}:1`)).toBe(false)
        yield* Promote.promote(`${app}:rc`, `${other}:1`, "application/spdx+json")
        expect(yield* Sbom.findSboms(`${other}:1`)).toEqual(['{"spdxVersion":"SPDX-2.3"}'])
        expect(yield* items(Promote.review(`${app}:rc`, `${other}:1`))).toMatchObject([
          expect.stringMatching(/^have manifest/),
          expect.stringMatching(/^have manifest/)
        ])
      })
    )

    it.effect("an SBOM is attached, and found by its type", () =>
      Effect.gen(function* () {
        const app = `${yield* name}:1`
        yield* plain(app)
        expect(yield* Sbom.findSboms(app)).toEqual([])
        const sbom = '{"spdxVersion":"SPDX-2.3"}'
        yield* Sbom.attachSbom(app, utf8(sbom))
        yield* Artifact.attach(app, { artifactType: "application/vnd.other", files: [] })
        expect(yield* Sbom.findSboms(app)).toEqual([sbom])
      })
    )

    it.effect("old images go with what is attached, but not in a dry run, and others stay", () =>
      Effect.gen(function* () {
        const app = yield* name
        for (let n = 0; n < 12; n++) yield* plain(`${app}:1.${n}.0`, `release ${n}`)
        yield* Registries.tag(`${app}:1.1.0`, "stable")
        const { reference } = yield* Sbom.attachSbom(`${app}:1.0.0`, utf8("{}"))
        yield* Artifact.push(`${app}:pr-1`, {
          artifactType: "application/vnd.example.v1",
          files: [],
          annotations: { [Annotations.created]: "2020-01-01T00:00:00Z" }
        })
        yield* plain(`${app}:pr-2`, "of unknown age")
        const all = [...(yield* items(Registries.tags(app)))].sort()
        yield* Janitor.cleanUp(app)
        expect([...(yield* items(Registries.tags(app)))].sort()).toEqual(all)
        yield* Janitor.cleanUp(app, { dryRun: false, throwaway: true })
        expect([...(yield* items(Registries.tags(app)))].sort()).toEqual(
          all.filter((tag) => !/^(?:1\.[01]\.0|pr-1|sha256-.*)$/.test(tag))
        )
        expect(yield* Registries.exists(reference)).toBe(false)
        expect(yield* Registries.exists(`${app}:stable`)).toBe(true)
      })
    )

    it.scoped("a model is downloaded, with a stream of progress", () =>
      Effect.gen(function* () {
        const model = `${yield* name}:7b`
        const source = new Uint8Array(3_000_000).fill(7)
        yield* Artifact.push(model, {
          artifactType: "application/vnd.example.model.v1",
          files: [{ title: "weights.bin", source }]
        })
        const target = yield* folder()
        const progress = yield* items(Model.download(model, target))
        expect(progress.at(-1)).toMatchObject({ offset: 3_000_000, subject: { size: 3_000_000 } })
        expect(Fs.readFileSync(`${target}/weights.bin`).equals(source)).toBe(true)
      })
    )
  })

describe("over the embedded server", () => {
  jobs(embedded)
})

it.live("a model is resumed after a drop, and read no second time", () =>
  Effect.gen(function* () {
    const memory = yield* MemoryRegistry.make()
    const source = new Uint8Array(5 * 1_048_576).fill(7)
    const starts: Array<number> = []
    const dropping = Registries.layerFrom(() =>
      Effect.succeed({
        ...memory,
        getBlob: (repository, blob) =>
          Stream.suspend(() => {
            starts.push(0)
            return Stream.concat(
              Stream.take(memory.getBlob(repository, blob), 1),
              Stream.fail(new TransportFailure({ reason: "Reset" }))
            )
          }),
        getBlobRange: (repository, digest, range) => {
          starts.push(range.start)
          return memory.getBlobRange(repository, digest, range)
        }
      } satisfies Registry.Registry.Service)
    )
    const target = yield* folder()
    yield* Effect.gen(function* () {
      const reference = "ghcr.io/owner/model:7b"
      yield* Artifact.push(reference, {
        artifactType: "application/vnd.example.model.v1",
        files: [{ title: "weights.bin", source }]
      })
      yield* Stream.runDrain(Model.download(reference, target))
    }).pipe(Effect.provide(dropping))
    expect(starts).toHaveLength(2)
    expect(starts[1]).toBeGreaterThan(0)
    expect(Fs.readFileSync(`${target}/weights.bin`).equals(source)).toBe(true)
  }).pipe(Effect.scoped)
)

describeDebian("over docker-registry", () => jobs(debian))

// -----------------------------------------------------------------------------
// Other tools
// -----------------------------------------------------------------------------

const interop = (where: typeof embedded | typeof debian) => {
  describeWherePresent("oras", "and oras", () => {
    layer(where, { excludeTestServices: true })((it) => {
      it.scoped("a Feature that we publish is what oras pulls, and the other way round", () =>
        Effect.gen(function* () {
          const [ours, theirs] = [yield* name, yield* name]
          const path = yield* archive("install.sh", "echo")
          yield* Feature.publish(ours, "1.2.3", path)
          const cwd = yield* folder({ "config.json": "{}" })
          yield* output("oras", ["pull", "--plain-http", `${ours}:1.2`], cwd)
          expect(Fs.readFileSync(`${cwd}/archive.tgz`).equals(Fs.readFileSync(path))).toBe(true)

          const options = ["--plain-http", "--config", "config.json:application/vnd.devcontainers"]
          const file = "archive.tgz:application/vnd.devcontainers.layer.v1+tar"
          yield* output("oras", ["push", ...options, `${theirs}:2.0.0`, file], cwd)
          const target = yield* folder()
          yield* Feature.install(`${theirs}:2.0.0`, target)
          expect(read(`${target}/install.sh`)).toBe("echo")
        })
      )

      it.scoped("a Helm chart has its metadata and its archive for oras", () =>
        Effect.gen(function* () {
          const chart = `${yield* name}:0.1.0`
          const mediaType = "application/vnd.cncf.helm.config.v1+json"
          const metadata = '{"apiVersion":"v2","name":"demo","version":"0.1.0"}'
          yield* Artifact.push(chart, {
            config: { mediaType, source: utf8(metadata) },
            files: [
              {
                title: "demo-0.1.0.tgz",
                mediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                source: utf8("chart")
              }
            ]
          })
          const cwd = yield* folder()
          const oras = (...args: ReadonlyArray<string>) =>
            output("oras", [...args, "--plain-http", chart], cwd)
          expect(yield* oras("manifest", "fetch-config")).toBe(metadata)
          expect(JSON.parse(yield* oras("manifest", "fetch"))).toMatchObject({
            config: { mediaType }
          })
          yield* oras("pull")
          expect(read(`${cwd}/demo-0.1.0.tgz`)).toBe("chart")
        })
      )

      it.scoped("an SBOM and a bundle are discovered by their types", () =>
        Effect.gen(function* () {
          const app = yield* name
          const { digest } = (yield* plain(`${app}:1`)).manifest.descriptor
          yield* Sbom.attachSbom(`${app}:1`, utf8("{}"))
          yield* Bundle.attachBundle(app, digest, utf8("{}"))
          const options = ["--plain-http", "--format", "json", `${app}:1`]
          const found: { readonly referrers: ReadonlyArray<{ readonly artifactType: string }> } =
            JSON.parse(yield* output("oras", ["discover", ...options], yield* folder()))
          expect(found.referrers.map(({ artifactType }) => artifactType).sort()).toEqual([
            "application/spdx+json",
            "application/vnd.dev.sigstore.bundle.v0.3+json"
          ])
        })
      )
    })
  })

  describeWherePresent("cosign", "and cosign", () => {
    layer(where, { excludeTestServices: true })((it) => {
      it.scoped("a bundle that we attach is a signature that cosign verifies", () =>
        Effect.gen(function* () {
          const [signed, copied] = [yield* name, yield* name]
          const { digest } = (yield* plain(`${signed}:1`)).manifest.descriptor
          yield* plain(`${copied}:1`)
          const cwd = yield* folder()
          yield* output("cosign", ["generate-key-pair"], cwd)
          const offline = ["--tlog-upload=false", "--use-signing-config=false", "--yes"]
          const options = ["--new-bundle-format", "--allow-http-registry"]
          const sign = ["sign", "--key", "cosign.key", ...offline, ...options]
          yield* output("cosign", [...sign, `${signed}@${digest}`], cwd)
          const [bundle] = yield* items(Registries.referrers(`${signed}@${digest}`))
          const { files } = yield* Artifact.pull(`${signed}@${bundle?.digest}`)
          const bytes = yield* Stream.mkString(Stream.decodeText(files[0]?.content ?? Stream.empty))
          yield* Bundle.attachBundle(copied, digest, utf8(bytes))
          const verify = ["verify", "--key", "cosign.pub", "--insecure-ignore-tlog", ...options]
          expect(yield* output("cosign", [...verify, `${copied}@${digest}`], cwd)).toContain(digest)
        })
      )
    })
  })
}

describe("the embedded server", () => interop(embedded))
describeDebian("docker-registry", () => interop(debian))
