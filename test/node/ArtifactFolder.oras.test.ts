/** The same artifacts, pushed and pulled by oras: files, folders, configs, tags and annotations. */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import { describe, expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Artifact from "../../src/content/Artifact.js"
import * as ArtifactFolder from "../../src/node/ArtifactFolder.js"
import * as BlobFile from "../../src/node/BlobFile.js"
import * as Registries from "../../src/Registries.js"
import * as Annotations from "../../src/spec/Annotations.js"
import { describeDebian } from "../support/debian.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import { layerDebianHost, layerEmbeddedHost, repositoryOnHost as name } from "../support/hosts.js"
import { describeWherePresent } from "../support/installed.js"
import { folder } from "../support/machine.js"

const artifactType = "application/vnd.example.site.v1"

const oras = (cwd: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(async () => {
    const env = { ...process.env, HOME: cwd, DOCKER_CONFIG: cwd }
    const options = { cwd, env, maxBuffer: 16 * 1024 * 1024 }
    const { stdout } = await promisify(execFile)("oras", [...args, "--plain-http"], options)
    return stdout
  })

const entries = (root: string) => Fs.readdirSync(root, { recursive: true, encoding: "utf8" }).sort()

const site = folder({
  "site/index.html": "<html>",
  "site/assets/app.js": "app",
  "site/empty": "",
  "readme.txt": "read me",
  "deep/er/notes.txt": "notes"
})

const expectSite = (root: string) => {
  expect(entries(root)).toEqual([
    "deep",
    "deep/er",
    "deep/er/notes.txt",
    "readme.txt",
    "site",
    "site/assets",
    "site/assets/app.js",
    "site/empty",
    "site/index.html",
    "site/link"
  ])
  expect(Fs.readFileSync(`${root}/site/assets/app.js`, "utf8")).toBe("app")
  expect(Fs.readlinkSync(`${root}/site/link`)).toBe("assets/app.js")
  expect(Fs.statSync(`${root}/site/index.html`).mode & 0o777).toBe(0o750)
  expect(Fs.readFileSync(`${root}/deep/er/notes.txt`, "utf8")).toBe("notes")
}

const source = Effect.gen(function* () {
  const root = yield* site
  Fs.symlinkSync("assets/app.js", `${root}/site/link`)
  Fs.chmodSync(`${root}/site/index.html`, 0o750)
  return root
})

const interop = (where: typeof layerEmbeddedHost | typeof layerDebianHost) =>
  describeWherePresent("oras", "and oras", () => {
    layer(where as typeof layerEmbeddedHost, { excludeTestServices: true })((it) => {
      it.scoped("CP31: what we push is what oras pulls, folders included", () =>
        Effect.gen(function* () {
          const [root, repository] = [yield* source, yield* name]
          const { manifest } = yield* Artifact.push(`${repository}:1.0.0`, {
            artifactType,
            config: { mediaType: "application/vnd.example.config.v1+json", source: utf8("{}") },
            annotations: { "org.example.key": "value" },
            tags: ["1.0", "latest"],
            files: [
              yield* ArtifactFolder.archive(`${root}/site`),
              { title: "readme.txt", source: yield* BlobFile.source(`${root}/readme.txt`) },
              { title: "deep/er/notes.txt", source: utf8("notes") }
            ]
          })
          const cwd = yield* folder()
          for (const tag of ["1.0.0", "latest"]) {
            const out = Path.join(cwd, tag)
            yield* oras(cwd, "pull", "--output", out, `${repository}:${tag}`)
            expectSite(out)
          }
          const fetched = JSON.parse(yield* oras(cwd, "manifest", "fetch", `${repository}:1.0`))
          expect(fetched).toMatchObject({
            artifactType,
            annotations: { "org.example.key": "value" },
            config: { mediaType: "application/vnd.example.config.v1+json" }
          })
          const described = JSON.parse(
            yield* oras(cwd, "manifest", "fetch", "--descriptor", `${repository}:1.0`)
          )
          expect(described.digest).toBe(manifest.descriptor.digest)
        })
      )

      it.scoped("CP31: what oras pushes is what we pull, folders included", () =>
        Effect.gen(function* () {
          const [root, repository] = [yield* source, yield* name]
          yield* oras(
            root,
            "push",
            ...["--artifact-type", artifactType, "--annotation", "org.example.key=value"],
            `${repository}:1.0,latest`,
            ...["site", "readme.txt:text/plain", "deep/er/notes.txt"]
          )
          expect([...(yield* items(Registries.tags(repository)))].sort()).toEqual(["1.0", "latest"])
          const out = Path.join(yield* folder(), "out")
          const pull = ArtifactFolder.pull(repository, out, { artifactType })
          const pulled = yield* pull
          expectSite(out)
          expect(pulled.annotations).toMatchObject({ "org.example.key": "value" })
          expect(pulled.files.map(({ descriptor }) => descriptor.mediaType)).toEqual([
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "text/plain",
            "application/vnd.oci.image.layer.v1.tar"
          ])
          // Its archives have times: they are downloaded again, and nothing is replaced.
          const { ino } = Fs.statSync(`${out}/site/index.html`)
          expect((yield* pull).files.map(({ skipped }) => skipped)).toEqual([false, true, true])
          expect(Fs.statSync(`${out}/site/index.html`).ino).toBe(ino)
        })
      )

      it.scoped("a folder that oras has packed as the one that it stands in is pulled so", () =>
        Effect.gen(function* () {
          const [root, repository] = [yield* source, yield* name]
          yield* oras(root, "push", "--artifact-type", artifactType, `${repository}:all`, ".")
          const out = yield* folder({ own: "own" })
          yield* ArtifactFolder.pull(`${repository}:all`, out)
          expect(entries(out)).toEqual([...entries(root), "own"].sort())
          yield* Artifact.push(`${repository}:ours`, {
            artifactType,
            files: [yield* ArtifactFolder.archive(root, { title: "." })]
          })
          const theirs = yield* folder()
          yield* oras(theirs, "pull", "--output", theirs, `${repository}:ours`)
          expectSite(theirs)
        })
      )

      it.scoped("what either attaches is found and pulled by the other, with its type", () =>
        Effect.gen(function* () {
          const [root, repository] = [yield* source, yield* name]
          yield* Artifact.push(`${repository}:1`, { artifactType, files: [] })
          yield* oras(
            root,
            "attach",
            ...["--artifact-type", "application/spdx+json", `${repository}:1`, "readme.txt"]
          )
          const [theirs] = yield* items(Registries.referrers(`${repository}:1`))
          expect(theirs?.artifactType).toBe("application/spdx+json")
          const pulled = yield* Artifact.pull(`${repository}@${theirs?.digest}`)
          const [file] = pulled.files
          expect(file?.descriptor.annotations?.[Annotations.title]).toBe("readme.txt")
          const out = yield* folder()
          if (file !== undefined) yield* BlobFile.save(file, `${out}/saved`)
          expect(Fs.readFileSync(`${out}/saved`, "utf8")).toBe("read me")
          const { reference } = yield* Artifact.attach(`${repository}:1`, {
            artifactType: "application/vnd.example.notes.v1",
            files: [yield* ArtifactFolder.archive(`${root}/site`)]
          })
          yield* oras(out, "pull", "--output", out, `${reference}`)
          expect(Fs.readFileSync(`${out}/site/index.html`, "utf8")).toBe("<html>")
          const found = yield* oras(out, "discover", "--format", "json", `${repository}:1`)
          expect(found).toContain("application/vnd.example.notes.v1")
        })
      )

      it.scoped("CP29: equal content under two names goes there and back", () =>
        Effect.gen(function* () {
          const repository = yield* name
          const root = yield* folder({ a: "same", b: "same" })
          yield* oras(root, "push", "--artifact-type", artifactType, `${repository}:1`, "a", "b")
          const out = yield* folder()
          yield* ArtifactFolder.pull(`${repository}:1`, out)
          expect(entries(out)).toEqual(["a", "b"])
          const { config, files } = yield* Artifact.pull(`${repository}:1`)
          expect(yield* gather(config.content)).toEqual(utf8("{}"))
          yield* Artifact.push(`${repository}:2`, { artifactType, files })
          const back = yield* folder()
          yield* oras(back, "pull", "--output", back, `${repository}:2`)
          for (const file of ["a", "b"])
            expect(Fs.readFileSync(`${back}/${file}`, "utf8")).toBe("same")
        })
      )
    })
  })

describe("the embedded server", () => interop(layerEmbeddedHost))
describeDebian("docker-registry", () => interop(layerDebianHost))
