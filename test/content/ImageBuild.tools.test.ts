/** Images of ours as other tools see them: GNU tar, skopeo and buildah; and files of folders. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { gunzipSync } from "node:zlib"
import { describe, expect, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Image from "../../src/content/Image.js"
import * as ImageBuild from "../../src/content/ImageBuild.js"
import * as ImageLayer from "../../src/content/ImageLayer.js"
import * as ImageFolder from "../../src/node/ImageFolder.js"
import * as NodeCompression from "../../src/node/NodeCompression.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import * as Platform from "../../src/spec/Platform.js"
import * as Reference from "../../src/spec/Reference.js"
import { describeDebian } from "../support/debian.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import { layerDebianHost, layerEmbeddedHost, repositoryOnHost as name } from "../support/hosts.js"
import { describeInstalled } from "../support/installed.js"
import { folder } from "../support/machine.js"
import { outputOf } from "../support/program.js"

const linux = Platform.unsafeParse("linux/amd64")

const services = Layer.merge(NodeCompression.layer, NodeDecompression.layer)

const run = (command: string, args: ReadonlyArray<string>, cwd: string) =>
  outputOf(command, args, {
    cwd,
    environment: { HOME: cwd, XDG_RUNTIME_DIR: cwd, STORAGE_DRIVER: "vfs" }
  })

const insecure = { "policy.json": '{"default":[{"type":"insecureAcceptAnything"}]}' }

/** The files of a folder with one of every kind. */
const program = Effect.gen(function* () {
  const path = yield* folder({ "bin/tool": "#!/bin/sh\n", "share/doc/readme": "read me\n" })
  Fs.chmodSync(`${path}/bin/tool`, 0o700)
  Fs.symlinkSync("../share/doc", `${path}/bin/doc`)
  return path
})

// -----------------------------------------------------------------------------
// Folders
// -----------------------------------------------------------------------------

describe("the files of a folder", () => {
  it.scoped("are put where they are to be, with modes and without owners and times", () =>
    Effect.gen(function* () {
      const files = yield* ImageFolder.files(yield* program, { at: "/opt/app" })
      const { layers } = yield* ImageBuild.build(
        ImageBuild.scratch(linux, { layers: [{ files }] })
      ).pipe(Effect.provide(services))
      const [top] = layers
      if (top === undefined) return yield* Effect.dieMessage("a layer")
      const entries = yield* items(ImageLayer.entries(top)).pipe(Effect.provide(services))
      expect(entries.map(({ mode, path, target, type }) => [path, type, mode, target])).toEqual([
        ["opt", "directory", 0o755, undefined],
        ["opt/app", "directory", 0o755, undefined],
        ["opt/app/bin", "directory", 0o755, undefined],
        ["opt/app/bin/doc", "symlink", 0o777, "../share/doc"],
        ["opt/app/bin/tool", "file", 0o755, undefined],
        ["opt/app/share", "directory", 0o755, undefined],
        ["opt/app/share/doc", "directory", 0o755, undefined],
        ["opt/app/share/doc/readme", "file", 0o644, undefined]
      ])
      expect(entries.every(({ gid, modified, uid }) => uid + gid + modified === 0)).toBe(true)
    })
  )

  it.scoped("are an error that names the file where one changes before they are built", () =>
    Effect.gen(function* () {
      const path = yield* folder({ a: "a", b: "1234", large: "x".repeat(1_048_577) })
      const files = yield* ImageFolder.files(path)
      for (const [name, content] of [
        ["b", "12345"],
        ["b", "123"],
        ["large", "x"],
        ["large", "x".repeat(1_048_578)]
      ] as const) {
        const before = Fs.readFileSync(`${path}/${name}`)
        Fs.writeFileSync(`${path}/${name}`, content)
        const error = yield* Effect.flip(
          ImageBuild.build(ImageBuild.scratch(linux, { layers: [{ files }] }))
        )
        expect(error).toMatchObject({ _tag: "StorageFailure", path: `${path}/${name}` })
        expect(error.message).toContain("changed")
        Fs.writeFileSync(`${path}/${name}`, before)
      }
    }).pipe(Effect.provide(services))
  )

  it.scoped("are an error where there is no folder, or something else than files in it", () =>
    Effect.gen(function* () {
      const path = yield* folder()
      execFileSync("mkfifo", [`${path}/pipe`])
      const missing = yield* Effect.flip(ImageFolder.files(`${path}/missing`))
      expect(missing).toMatchObject({ _tag: "StorageFailure", path: `${path}/missing` })
      expect(missing.message).toContain("ENOENT")
      expect(yield* Effect.flip(ImageFolder.files(path))).toMatchObject({
        _tag: "StorageFailure",
        path: `${path}/pipe`
      })
    })
  )
})

// -----------------------------------------------------------------------------
// GNU tar, and what our own reader says
// -----------------------------------------------------------------------------

const part = FastCheck.stringMatching(/^[a-zä ]{1,12}$/).filter((name) => name.trim() === name)

const someFiles = FastCheck.uniqueArray(
  FastCheck.record({
    path: FastCheck.oneof(
      FastCheck.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/")),
      // Beyond what a header of ustar has room for.
      FastCheck.array(part, { minLength: 30, maxLength: 40 }).map((parts) => parts.join(""))
    ),
    size: FastCheck.nat(2000),
    mode: FastCheck.constantFrom(0o644, 0o755, 0o4711),
    uid: FastCheck.constantFrom(0, 1000, 4_294_967_294),
    modified: FastCheck.constantFrom(0, 1.5, 1_700_000_000)
  }),
  { selector: ({ path }) => path, minLength: 1, maxLength: 12 }
).filter((files) =>
  files.every(({ path }) => files.every((other) => !other.path.startsWith(`${path}/`)))
)

it("a layer has what went into it, for our reader and for GNU tar", async () => {
  await FastCheck.assert(
    FastCheck.asyncProperty(someFiles, (given) =>
      Effect.gen(function* () {
        const files = given.map(({ size, ...file }) => ({
          ...file,
          source: new Uint8Array(size).fill(size)
        }))
        const { layers } = yield* ImageBuild.build(
          ImageBuild.scratch(linux, { layers: [{ files }] })
        )
        const [top] = layers
        if (top === undefined) return yield* Effect.dieMessage("a layer")
        const entries = yield* items(ImageLayer.entries(top))
        const listed = entries.filter(({ type }) => type === "file")
        const sorted = given.toSorted((a, b) => (a.path < b.path ? -1 : 1))
        expect(
          listed.map(({ mode, modified, path, size, uid }) => ({ path, size, mode, uid, modified }))
        ).toEqual(sorted)
        expect(new Set(entries.map(({ path }) => path)).size).toBe(entries.length)
        const input = gunzipSync(yield* gather(top.content))
        const args = ["--quoting-style=literal", "-tf", "-"]
        expect(execFileSync("tar", args, { input, encoding: "utf8" })).toBe(
          entries.map(({ path, type }) => `${path}${type === "directory" ? "/" : ""}\n`).join("")
        )
      }).pipe(Effect.provide(services), Effect.runPromise)
    ),
    { numRuns: 25 }
  )
})

// -----------------------------------------------------------------------------
// Registries and layouts
// -----------------------------------------------------------------------------

const image = Effect.gen(function* () {
  const files = yield* ImageFolder.files(yield* program)
  return ImageBuild.scratch(linux, {
    layers: [{ files }, { files: [{ path: "bin/more", source: utf8("more\n") }] }],
    config: { entrypoint: ["/bin/tool"], env: { A: "1" }, labels: { of: "ours" } },
    created: new Date("2026-01-02T03:04:05Z")
  })
})

const inspected = {
  Created: "2026-01-02T03:04:05Z",
  Labels: { of: "ours" },
  Architecture: "amd64",
  Os: "linux",
  Env: ["A=1"]
}

const suite = (where: typeof layerEmbeddedHost | typeof layerDebianHost) =>
  layer(where, { excludeTestServices: true })((it) => {
    describeInstalled("skopeo", "skopeo", () => {
      for (const format of ["oci", "docker"] as const)
        it.scoped(`inspects what was built of ${format}'s types`, () =>
          Effect.gen(function* () {
            const reference = `${yield* name}:v1`
            const { manifest } = yield* ImageBuild.push(
              reference,
              ImageBuild.index([ImageBuild.mutate(yield* image, { format })])
            )
            const cwd = yield* folder(insecure)
            const inspect = ["inspect", "--tls-verify=false", `docker://${reference}`]
            const said = JSON.parse(yield* run("skopeo", inspect, cwd))
            expect(said).toMatchObject({ ...inspected, Digest: manifest.descriptor.digest })
            const target = `dir:${cwd}/copy`
            const policy = ["--policy", `${cwd}/policy.json`, "--src-tls-verify=false"]
            yield* run("skopeo", ["copy", "-q", ...policy, `docker://${reference}`, target], cwd)
          })
        )
    })

    describeInstalled("buildah", "buildah", () => {
      it.scoped("builds upon what was built, and it upon what buildah built", () =>
        Effect.gen(function* () {
          const [ours, theirs] = [`${yield* name}:v1`, `${yield* name}:v1`]
          yield* ImageBuild.push(ours, yield* image)
          const cwd = yield* folder(insecure)
          const storage = ["--root", `${cwd}/storage`, "--runroot", `${cwd}/run`]
          const policy = ["--signature-policy", `${cwd}/policy.json`, "--tls-verify=false"]
          const buildah = (command: string, ...args: ReadonlyArray<string>) =>
            Effect.map(run("buildah", [...storage, command, ...args], cwd), (out) => out.trim())
          const container = yield* buildah("from", "-q", ...policy, `docker://${ours}`)
          const inspect = JSON.parse(yield* buildah("inspect", container))
          expect(inspect.OCIv1.config).toMatchObject({
            Entrypoint: ["/bin/tool"],
            Env: ["A=1"],
            Labels: { of: "ours" }
          })
          expect(inspect.OCIv1.history).toHaveLength(2)
          Fs.writeFileSync(`${cwd}/added`, "added\n")
          yield* buildah("copy", "-q", container, `${cwd}/added`, "/bin/doc/added")
          yield* buildah("commit", "-q", ...policy, container, `docker://${theirs}`)
          const base = yield* Image.pull(theirs)
          const files = [{ path: "/bin/doc/again", source: utf8("again\n") }]
          yield* ImageBuild.push(ours, ImageBuild.from(base, { layers: [{ files }] }))
          const target = `${cwd}/extracted`
          yield* ImageFolder.extract(yield* Image.pull(ours), target)
          const read = (path: string) => Fs.readFileSync(Path.join(target, path), "utf8")
          expect(["added", "again", "readme"].map((file) => read(`share/doc/${file}`))).toEqual([
            "added\n",
            "again\n",
            "read me\n"
          ])
          expect(Fs.readdirSync(`${target}/bin`).sort()).toEqual(["doc", "more", "tool"])
        })
      )
    })
  })

describe("over the embedded server", () => suite(layerEmbeddedHost))

describeDebian("over Debian's docker-registry", () => suite(layerDebianHost))

describeInstalled("skopeo", "in a layout", () => {
  it.scoped("skopeo inspects it, and finds each of its layers", () =>
    Effect.gen(function* () {
      const path = yield* folder(insecure)
      const registry = yield* NodeLayout.make({ path })
      const reference = Reference.unsafeParse("layout.example/app:1.0")
      const { manifest } = yield* ImageBuild.pushTo(registry, reference, yield* image)
      const from = `oci:${path}/app:1.0`
      const said = JSON.parse(yield* run("skopeo", ["inspect", from], path))
      expect(said).toMatchObject({ ...inspected, Digest: manifest.descriptor.digest })
      const policy = ["--policy", `${path}/policy.json`]
      yield* run("skopeo", ["copy", "-q", ...policy, from, `dir:${path}/copy`], path)
    }).pipe(Effect.provide(services))
  )
})
