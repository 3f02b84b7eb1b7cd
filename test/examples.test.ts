/**
 * The examples and the README do what they say: each program is run, and each snippet of the README
 * is a file of `examples/`.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:https"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { describe, expect, it, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as archiveExample from "../examples/archive.js"
import * as authentication from "../examples/authentication.js"
import { server as cacheServer } from "../examples/cache.js"
import { layer as composedLayer } from "../examples/composed.js"
import * as documents from "../examples/documents.js"
import { describe as describeArtifact, responseTo } from "../examples/errors.js"
import * as layoutExample from "../examples/layout.js"
import { layer as machineLayer } from "../examples/machine.js"
import { layer as networkLayer } from "../examples/network.js"
import * as planExample from "../examples/plan.js"
import { push as pushByRequests } from "../examples/requests.js"
import * as resumable from "../examples/resumable.js"
import { size } from "../examples/size.js"
import * as Credentials from "../src/auth/Credentials.js"
import * as BlobSource from "../src/BlobSource.js"
import * as Artifact from "../src/content/Artifact.js"
import * as Image from "../src/content/Image.js"
import * as NodeArchive from "../src/node/NodeArchive.js"
import * as NodeLayout from "../src/node/NodeLayout.js"
import * as NodeRegistry from "../src/node/NodeRegistry.js"
import { layerRegistries } from "../src/node/NodeRegistry.js"
import * as NodeRegistryServer from "../src/node/NodeRegistryServer.js"
import { exists, open, Registries } from "../src/Registries.js"
import { Registry } from "../src/Registry.js"
import { RegistryFailure, Unauthorized } from "../src/RegistryError.js"
import { RegistryServer } from "../src/server/RegistryServer.js"
import * as Digest from "../src/spec/Digest.js"
import * as Manifest from "../src/spec/Manifest.js"
import * as MediaType from "../src/spec/MediaType.js"
import * as Platform from "../src/spec/Platform.js"
import * as Reference from "../src/spec/Reference.js"
import * as SignedManifest from "../src/spec/SignedManifest.js"
import * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import * as Certificates from "./support/certificates.js"
import {
  DebianRegistry,
  debianUser,
  describeDebian,
  layerDebianRegistry,
  layerDebianRegistryBasic
} from "./support/debian.js"
import { image, utf8 } from "./support/fixtures.js"
import { authorities } from "./support/https.js"
import * as Images from "./support/images.js"
import { environment, folder } from "./support/machine.js"
import { run } from "./support/program.js"
import { layerSocketServer, registryOn, ServerUrl } from "./support/server.js"
import * as Tar from "./support/tar.js"

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")

describe("README", () => {
  const readme = read("README.md")
  const fences = [...readme.matchAll(/^(?:<!-- (\S+) -->\n)?```ts\n([\s\S]*?)^```$/gm)]

  it("has snippets", () => expect(fences.length).toBeGreaterThanOrEqual(6))

  for (const [, path, code] of fences) {
    it(`shows ${path ?? "a snippet without a file"} as it is`, () => {
      expect(path).toMatch(/^examples\//)
      expect(code).toBe(read(path ?? ""))
    })
  }

  it("names every example", () => {
    for (const file of readdirSync(new URL("../examples", import.meta.url)))
      expect(readme).toContain(`examples/${file}`)
  })

  it("begins with the two commands", () => {
    const head = readme.slice(0, 1500)
    expect(head).toContain("npm ci && npm run demo")
    expect(head).toContain("npm ci && npm test")
  })
})

describe("serve.ts", () => {
  it.scopedLive("serves for the users of a file until it is stopped", () =>
    Effect.gen(function* () {
      const hash = "$2y$05$Ysm9bFrkzHG4ZfwMCEUPLOlti5BLOl3/hcH.DCrXJcrQxIuAB32ja"
      const users = join(yield* folder({ users: `alice:${hash}\n` }), "users")
      const until = { text: "serving at http://127.0.0.1:", delay: 0 }
      const { stderr, stdout } = yield* run("serve", [users, "0"], { until })
      expect([stdout.replace(/\d+$/m, "PORT"), stderr]).toEqual([`${until.text}PORT\n`, ""])
    })
  )

  it.live("says what is wrong with the file", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run("serve", ["no such file", "0"])
      expect(code).toBe(1)
      expect(stdout).toContain("Storage failed at no such file")
    })
  )
})

layer(layerSocketServer().pipe(Layer.provide(MemoryRegistry.layer())), {
  excludeTestServices: true
})("over the embedded registry", (it) => {
  it.effect("main.ts prints the size of an artifact", () =>
    Effect.gen(function* () {
      const reference = `${(yield* ServerUrl).replace("http://", "")}/owner/name:tag`
      yield* Artifact.push(reference, {
        artifactType: "application/vnd.example.v1",
        files: [{ source: BlobSource.fromBytes(utf8("forty-two")) }]
      }).pipe(Effect.provide(layerRegistries().pipe(Layer.provide(Credentials.layerAnonymous))))
      expect(yield* run("main", [reference])).toMatchObject({ code: 0, stdout: "9\n", stderr: "" })
    })
  )

  it.scoped("plan.ts writes a plan to a file, and does what it says", () =>
    Effect.gen(function* () {
      const host = (yield* ServerUrl).replace("http://", "")
      const [from, to] = [`${host}/owner/planned:1.0.0`, `${host}/mirror/planned`]
      yield* Artifact.push(from, {
        artifactType: "application/vnd.example.v1",
        files: [{ source: BlobSource.fromBytes(utf8("forty-two")) }]
      })
      const path = join(yield* folder({}), "plan.jsonl")
      yield* planExample.write(from, to, path)
      expect(yield* exists(`${to}:1.0.0`)).toBe(false)
      expect(readFileSync(path, "utf8").match(/^\{.*\}$/gm)).toHaveLength(3)
      const { ok, outcomes } = yield* planExample.run(from, to, path)
      expect([ok, outcomes.map(({ status }) => status)]).toEqual([true, ["copied"]])
      expect(yield* exists(`${to}:1.0.0`)).toBe(true)
    }).pipe(
      Effect.provide([
        layerRegistries().pipe(Layer.provide(Credentials.layerAnonymous)),
        NodeFileSystem.layer
      ])
    )
  )

  it.scoped("sync.ts applies the rules of a file, and says what it would do", () =>
    Effect.gen(function* () {
      const host = (yield* ServerUrl).replace("http://", "")
      yield* Artifact.push(`${host}/owner/synced:1.0.0`, {
        artifactType: "application/vnd.example.v1",
        files: [{ source: BlobSource.fromBytes(utf8("forty-two")) }]
      }).pipe(Effect.provide(layerRegistries().pipe(Layer.provide(Credentials.layerAnonymous))))
      const rules = [
        "rules:",
        `  - from: ${host}/owner`,
        `    to: ${host}/mirror`,
        "    repositories: [synced]",
        '    tags: { semver: "*" }'
      ]
      const path = join(yield* folder({ "sync.yaml": rules.join("\n") }), "sync.yaml")
      const { stdout } = yield* run("sync", [path, "--dry-run"])
      expect(stdout.split("\n").at(-2)).toContain(`${host}/mirror/synced: `)
      const line = `${host}/owner/synced to ${host}/mirror/synced: 1 copied\n`
      expect(yield* run("sync", [path], { until: { text: line, delay: 0 } })).toMatchObject({
        stdout: line,
        stderr: ""
      })
    })
  )

  it.scoped("report.ts pushes a file, pulls it to disk and lists the tags", () =>
    Effect.gen(function* () {
      const name = `${(yield* ServerUrl).replace("http://", "")}/owner/report`
      const cwd = yield* folder({ "report.txt": "all is well" })
      const { code, stdout, stderr } = yield* run("report", [name], { cwd })
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout.replace(/[0-9a-f]{64}/, "…").split("\n")).toEqual([
        `pushed ${name}@sha256:…`,
        "pulled reports/report.txt",
        "has the tag 1.0.0",
        "has the tag latest",
        ""
      ])
      expect(readFileSync(`${cwd}/reports/report.txt`, "utf8")).toBe("all is well")
    })
  )

  it.effect("observe.ts shows the spans of a program, its requests and what was counted", () =>
    Effect.gen(function* () {
      const reference = `${(yield* ServerUrl).replace("http://", "")}/owner/observed:tag`
      yield* Artifact.push(reference, {
        artifactType: "application/vnd.example.v1",
        files: [{ source: BlobSource.fromBytes(utf8("forty-two")) }]
      }).pipe(Effect.provide(layerRegistries().pipe(Layer.provide(Credentials.layerAnonymous))))
      const { code, stdout } = yield* run("observe", [reference])
      expect(code).toBe(0)
      expect(stdout).toContain("name: 'GET /v2/{name}/manifests/{reference}'")
      expect(stdout).toContain("name: 'effect-oci/Registry.getBlob'")
      expect(stdout).toMatch(
        /DEBUG.*GET http:\/\/\S+\/v2\/owner\/observed\/manifests\/tag 200 \(\d+ ms\)/
      )
      expect(stdout).toContain('"name": "effect_oci.bytes"')
    })
  )
})

/** Pushes by requests of its own, and reads what it pushed through `Registry`. */
const requestsPush = (url: string) =>
  Effect.gen(function* () {
    const digest = yield* pushByRequests("latest", utf8("first part, "), utf8("second part"))
    const { getBlobBytes, getManifest } = yield* Registry
    const repository = yield* Reference.parseRepositoryName("megacorp/superapp")
    const manifest = yield* getManifest(repository, yield* Reference.parseTag("latest"))
    expect(digest).toEqual(Option.some(manifest.descriptor.digest))
    expect(
      yield* getBlobBytes(repository, Digest.fromBytes(utf8("first part, second part")))
    ).toEqual(utf8("first part, second part"))
  }).pipe(Effect.provide(NodeRegistry.layer({ url, defaultName: "megacorp/superapp" })))

layer(layerSocketServer().pipe(Layer.provide(MemoryRegistry.layer())), {
  excludeTestServices: true
})("requests.ts over the embedded registry", (it) => {
  it.effect("pushes in two chunks, and a manifest (RG27)", () =>
    Effect.flatMap(ServerUrl, requestsPush).pipe(Effect.provide(Credentials.layerAnonymous))
  )
})

describeDebian("requests.ts over docker-registry", () => {
  layer(layerDebianRegistryBasic, { excludeTestServices: true })((it) => {
    it.effect("pushes in two chunks, and a manifest, with a password (RG27)", () =>
      Effect.gen(function* () {
        const { url } = yield* DebianRegistry
        const { password, username } = debianUser
        yield* Effect.provide(
          requestsPush(url),
          Credentials.layerBasic({
            host: new URL(url).host,
            username,
            password: Redacted.make(password)
          })
        )
      })
    )
  })
})

describe("network.ts", () => {
  it.live("reads from a mirror behind a private authority, below its prefix", () =>
    Effect.gen(function* () {
      const { ours } = yield* authorities
      const certificate = yield* Certificates.server(ours, "localhost")
      const { port, seen } = yield* registryOn(() => createServer(certificate))
      const mirror = `localhost:${port}`
      yield* Artifact.push(`${mirror}/docker-hub/owner/name:tag`, {
        artifactType: "application/vnd.example.v1",
        files: [{ source: BlobSource.fromBytes(utf8("forty-two")) }]
      }).pipe(
        Effect.provide(
          layerRegistries({
            hosts: { [mirror]: { url: `https://${mirror}`, tls: { ca: [ours.cert] } } }
          })
        ),
        Effect.provide(Credentials.layerAnonymous)
      )
      seen.length = 0
      const read = size("docker.io/owner/name:tag").pipe(
        Effect.provide(networkLayer({ authority: ours.cert, mirror })),
        Effect.provide(Credentials.layerAnonymous)
      )
      expect(yield* read).toBe(9)
      expect(seen[0]).toMatchObject({
        method: "GET",
        url: "/v2/docker-hub/owner/name/manifests/tag?ns=docker.io"
      })
    }).pipe(Effect.scoped)
  )
})

describe("machine.ts", () => {
  it.live("heeds what podman is told of registries here", () =>
    Effect.gen(function* () {
      const text = `[[registry]]\nlocation = "registry.lan"\nblocked = true\n`
      const root = yield* folder({ "registries.conf": text })
      yield* environment("CONTAINERS_REGISTRIES_CONF", join(root, "registries.conf"))
      const failure = yield* exists("registry.lan/app:v1").pipe(
        Effect.provide(machineLayer),
        Effect.flip
      )
      expect(failure).toMatchObject({ _tag: "Denied" })
    }).pipe(Effect.scoped)
  )
})

layer(MemoryRegistry.layer())("resumable.ts", (it) => {
  it.effect("continues a stored upload where it stands", () =>
    Effect.gen(function* () {
      const content = utf8("first part, second part")
      const repository = yield* Reference.parseRepositoryName("owner/name")
      const saved = yield* resumable.begin(repository, content.subarray(0, 11))
      expect(JSON.parse(saved)).toMatchObject({ repository: "owner/name", offset: 11 })
      const digest = Digest.fromBytes(content)
      const descriptor = yield* resumable.finish(saved, BlobSource.fromBytes(content), digest)
      expect(descriptor).toMatchObject({ digest, size: content.length })
    })
  )
})

describe("authentication.ts", () => {
  const demand = { origin: "https://ghcr.io", scopes: [] }

  it.effect("is for one host and no other", () =>
    Effect.gen(function* () {
      const credentials = yield* Credentials.Credentials
      expect(yield* credentials.get(demand)).toMatchObject({
        _tag: "Basic",
        username: "me"
      })
      expect(
        yield* credentials.get({ ...demand, origin: "https://ghcr.io.evil.example" })
      ).toMatchObject({
        _tag: "Anonymous"
      })
    }).pipe(
      Effect.provide(authentication.configured),
      Effect.withConfigProvider(
        ConfigProvider.fromMap(
          new Map([
            ["REGISTRY_USERNAME", "me"],
            ["REGISTRY_PASSWORD", "secret"]
          ])
        )
      )
    )
  )
})

describe("cache.ts", () => {
  it.scopedLive("is a registry whose content comes from another one, once", () =>
    Effect.gen(function* () {
      const origin = yield* Layer.build(
        NodeRegistryServer.layer({ port: 0 }).pipe(Layer.provideMerge(MemoryRegistry.layer()))
      )
      const { requests, url } = Context.get(origin, RegistryServer)
      const repository = yield* Reference.parseRepositoryName("tool")
      const blob = BlobSource.fromBytes(utf8("tool"))
      const { digest } = yield* Context.get(origin, Registry).putBlob(repository, blob)
      const cache = yield* Layer.build(cacheServer(url.replace("http://", ""), yield* folder(), 0))
      const client = yield* Layer.build(
        NodeRegistry.layer({ url: Context.get(cache, RegistryServer).url })
      )
      const pulls = Array.from({ length: 5 }, () =>
        Context.get(client, Registry).getBlobBytes(repository, digest)
      )
      for (const bytes of yield* Effect.all(pulls, { concurrency: 5 }))
        expect(bytes).toEqual(utf8("tool"))
      const seen = (yield* requests).map(({ method }) => method)
      expect(seen).toEqual(["HEAD", "GET"])
    }).pipe(Effect.provide(layerRegistries()), Effect.provide(Credentials.layerAnonymous))
  )
})

describe("composed.ts", () => {
  it.effect("reads what the team lacks from the company, and puts to the team's own", () =>
    Effect.gen(function* () {
      const { registry, repository } = yield* open("ghcr.io/company/tool:v1")
      const { digest } = yield* registry.putBlob(repository, BlobSource.fromBytes(utf8("tool")))
      yield* Effect.gen(function* () {
        const team = yield* Registry
        const tool = yield* Reference.parseRepositoryName("tool")
        expect(yield* team.getBlobBytes(tool, digest)).toEqual(utf8("tool"))
        yield* team.putBlob(tool, BlobSource.fromBytes(utf8("own")))
      }).pipe(Effect.provide(composedLayer))
      expect(yield* exists("registry.lan:5000/tool:v1")).toBe(false)
      const own = yield* open("registry.lan:5000/tool:v1")
      expect(
        yield* own.registry.getBlobBytes(own.repository, Digest.fromBytes(utf8("own")))
      ).toEqual(utf8("own"))
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )
})

describe("archive.ts", () => {
  it.scopedLive("pushes an image out of an archive that was written", () =>
    Effect.gen(function* () {
      const path = join(yield* folder(), "images.tar")
      const tag = Reference.unsafeParseTag("1.0")
      const app = Reference.unsafeParseRepositoryName("app")
      const from = yield* MemoryRegistry.make()
      const manifest = yield* image(from, app, "m1")
      yield* from.putManifest(app, manifest, { tags: [tag] })
      yield* NodeArchive.writeFrom(path, [{ registry: from, repository: app, reference: tag }])
      yield* archiveExample.list(path)
      const archive = yield* NodeArchive.read(path)
      const to = yield* MemoryRegistry.make()
      for (const archived of archive.images)
        yield* archiveExample.push(archive, archived, to, app, tag)
      expect(yield* to.getManifest(app, tag)).toEqual(manifest)
    })
  )
})

describe("layout.ts", () => {
  it.scopedLive("writes an image of an archive to a layout, as it does to any registry", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "app.tar": "\0".repeat(10_240) })
      const tag = Reference.unsafeParseTag("1.0")
      const put = layoutExample.put(join(root, "app.tar"), tag)
      const path = join(root, "images")
      const { digest } = yield* Effect.provide(put, NodeLayout.layer({ path }))
      const layouts = yield* NodeLayout.make({ path })
      const app = Reference.unsafeParseRepositoryName("app")
      expect((yield* layouts.getManifest(app, tag)).descriptor.digest).toBe(digest)
      expect([...(yield* Stream.runCollect(layouts.verify()))]).toEqual([])
      const same = yield* Effect.provide(put, MemoryRegistry.layer())
      expect(same.digest).toBe(digest)
    })
  )
})

/** A folder for Docker's configuration, in which there are these logins, if any. */
const dockerConfig = (logins: Readonly<Record<string, unknown>>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-oci-login-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    ),
    (folder) => {
      const at = join(folder, "config.json")
      if (Object.keys(logins).length > 0) writeFileSync(at, JSON.stringify({ auths: logins }))
      return {
        at,
        auths: (): unknown => JSON.parse(readFileSync(at, "utf8")).auths,
        environment: { DOCKER_CONFIG: folder, HOME: folder }
      }
    }
  )

describeDebian("login.ts", () => {
  it.live("stores the login that the registry accepts, and removes it", () =>
    Effect.gen(function* () {
      const host = (yield* DebianRegistry).url.replace("http://", "")
      const { at, auths, environment } = yield* dockerConfig({})
      const { password, username } = debianUser
      const login = (input: string) => run("login", [host, username], { input, environment })
      const refused = yield* login("wrong\n")
      expect(refused).toMatchObject({ code: 1, stdout: "" })
      expect(refused.stderr).toContain(`${host} does not accept the password of "${username}"`)
      expect(existsSync(at)).toBe(false)
      expect(yield* login(`${password}\n`)).toEqual({
        code: 0,
        stdout: "Login succeeded\n",
        stderr: ""
      })
      expect(auths()).toHaveProperty([host])
      expect(yield* run("login", [host], { environment })).toMatchObject({ code: 0 })
      expect(auths()).toEqual({})
    }).pipe(Effect.scoped, Effect.provide(layerDebianRegistryBasic))
  )

  it.live("loses nothing that others of its kind write at the same time", () =>
    Effect.gen(function* () {
      const hosts = ["a.example", "b.example", "c.example", "d.example"]
      const logins = Object.fromEntries(hosts.map((host) => [host, {}]))
      const { auths, environment } = yield* dockerConfig({ ...logins, "kept.example": {} })
      const ended = yield* Effect.forEach(hosts, (host) => run("login", [host], { environment }), {
        concurrency: "unbounded"
      })
      for (const { code } of ended) expect(code).toBe(0)
      expect(auths()).toEqual({ "kept.example": {} })
    }).pipe(Effect.scoped)
  )
})

describe("errors.ts", () => {
  const failing = (error: RegistryFailure | Unauthorized) =>
    Layer.succeed(Registries, {
      get: () =>
        Effect.map(MemoryRegistry.make(), (memory) => ({
          ...memory,
          getManifest: () => Effect.fail(error)
        }))
    })

  it.effect("tells a missing artifact, a missing repository and one that is there apart", () =>
    Effect.gen(function* () {
      const pushed = yield* Artifact.push("ghcr.io/owner/name:tag", {
        artifactType: "application/vnd.x",
        files: []
      })
      expect(yield* describeArtifact("ghcr.io/owner/name:tag")).toBe(
        `found ${pushed.manifest.descriptor.digest}`
      )
      expect(yield* describeArtifact("ghcr.io/owner/name:other")).toBe("no such artifact")
      expect(yield* describeArtifact("ghcr.io/owner/nothing:tag")).toBe("no such repository")
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )

  it.effect("tells what passes from what does not", () =>
    Effect.gen(function* () {
      const reference = "ghcr.io/owner/name:tag"
      const describe = (error: RegistryFailure | Unauthorized) =>
        Effect.either(Effect.provide(describeArtifact(reference), failing(error)))
      expect(yield* describe(new RegistryFailure({ status: 503 }))).toEqual(
        Either.right("try again later")
      )
      const teapot = new RegistryFailure({ status: 418 })
      expect(yield* describe(teapot)).toEqual(Either.left(teapot))
      const refused = new Unauthorized({ reason: "TokenServer", origin: "https://ghcr.io" })
      expect(yield* describe(refused)).toEqual(Either.right(`log in first: ${refused.message}`))
    })
  )

  it("gives the client of a service a status, the tag and the message", () => {
    const { message, ...error } = responseTo(new RegistryFailure({ status: 504 })).body
    expect(error).toEqual({ _tag: "RegistryFailure" })
    expect(message).toContain("try again later")
    expect(responseTo(new RegistryFailure({ status: 504 })).status).toBe(504)
  })
})

describe("documents.ts", () => {
  const reference = "registry.example/app:v1"

  it.effect("changes labels and nothing else", () =>
    Effect.gen(function* () {
      yield* Images.push(reference, [Tar.files({ a: "1" })], { labels: { kept: "1", old: "1" } })
      const before = yield* Image.pull(reference)
      const tag = Reference.unsafeParseTag("v2")
      yield* documents.relabel(reference, tag, { old: "2" })
      const after = yield* Image.pull("registry.example/app:v2")
      expect(after.labels).toEqual({ kept: "1", old: "2" })
      const described = ({ layers }: Image.Image) => layers.map(({ descriptor }) => descriptor)
      expect(described(after)).toEqual(described(before))
      expect(after.config.content.rootfs).toEqual(before.config.content.rootfs)
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )

  it.effect("ranks what runs on a device", () =>
    Effect.gen(function* () {
      const platforms = ["linux/arm/v6", "linux/amd64", "linux/arm/v7"]
      yield* Images.pushIndex(reference, [], platforms)
      const found = yield* documents.runnable(reference, "linux/arm/v8")
      expect(found.map(({ platform }) => platform && Platform.format(platform))).toEqual([
        "linux/arm/v7",
        "linux/arm/v6"
      ])
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )

  it.effect("says who has signed a manifest of schema 1", () =>
    Effect.gen(function* () {
      const bytes = readFileSync(new URL("spec/fixtures/hello-world.prettyjws", import.meta.url))
      const manifest = yield* Manifest.fromBytes(bytes, {
        mediaType: MediaType.dockerSchema1Signed
      })
      const { registry, repository } = yield* open(reference)
      const payload = yield* SignedManifest.fromManifest(manifest)
      yield* registry.putManifest(repository, manifest, { tags: [Reference.unsafeParseTag("v1")] })
      const { keys, layers } = yield* documents.signed(reference)
      expect(keys).toEqual([expect.stringMatching(/^OIH7:/)])
      expect(layers).toEqual(payload.content.fsLayers.map(({ blobSum }) => blobSum).reverse())
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )
})

describe("demo.ts", () => {
  it.live("does the whole job over the embedded registry, with a file of its own", () =>
    Effect.gen(function* () {
      const { code, stdout, stderr } = yield* run("demo", [])
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      const steps = [
        "token authentication",
        "100 %",
        "pushed 127.0.0.1:",
        "1.0.0, latest",
        "verified sha256:",
        "DigestMismatch: ",
        "deleted the tag latest",
        "deleted the manifest",
        "deleted blob sha256:",
        "Done."
      ]
      const places = steps.map((step) => stdout.indexOf(step))
      expect(places).toEqual([...places].sort((a, b) => a - b))
      expect(places).not.toContain(-1)
    })
  )

  it.live("says what is wrong with its arguments, and exits with an error", () =>
    Effect.gen(function* () {
      expect(yield* run("demo", ["/nowhere/to/be/found"])).toMatchObject({ code: 1 })
      expect(yield* run("demo", ["--registry", "http://user:secret@127.0.0.1:9"])).toMatchObject({
        code: 1
      })
    })
  )
})

describeDebian("demo.ts over docker-registry", () => {
  layer(layerDebianRegistryBasic, { excludeTestServices: true })((it) => {
    it.effect("does the job with a user and a given file, and reports what is not supported", () =>
      Effect.gen(function* () {
        const { url } = yield* DebianRegistry
        const args = [
          "package-lock.json",
          "--registry",
          url,
          "--username",
          debianUser.username,
          "--password-stdin"
        ]
        const { code, stdout } = yield* run("demo", args, { input: `${debianUser.password}\n` })
        expect(code).toBe(0)
        expect(stdout).toContain("not the tag latest: The registry does not support deleting tags")
        expect(stdout).toContain("DigestMismatch")
        expect(stdout.trimEnd().endsWith("Done.")).toBe(true)
        expect(stdout).not.toContain(debianUser.password)
      })
    )
  })

  layer(layerDebianRegistry, { excludeTestServices: true })((it) => {
    for (const delay of [0, 30, 90, 200]) {
      it.effect(`leaves no upload session open when interrupted ${delay} ms into the push`, () =>
        Effect.gen(function* () {
          const { uploads, url } = yield* DebianRegistry
          yield* run("demo", ["--registry", url], { until: { text: "Push ", delay } })
          expect(yield* uploads("effect-oci/demo")).toEqual([])
        })
      )
    }
  })
})
