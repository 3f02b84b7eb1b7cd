/** Images by skopeo and buildah, and our own, read over sockets from any registry. */
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Image from "../../src/content/Image.js"
import * as ImageLayer from "../../src/content/ImageLayer.js"
import * as ImageFolder from "../../src/node/ImageFolder.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as MediaType from "../../src/spec/MediaType.js"
import { describeDebian } from "../support/debian.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import { layerDebianHost, layerEmbeddedHost, repositoryOnHost as name } from "../support/hosts.js"
import * as Images from "../support/images.js"
import { describeInstalled } from "../support/installed.js"
import { folder } from "../support/machine.js"
import { outputOf } from "../support/program.js"
import * as Tar from "../support/tar.js"

const run = (command: string, args: ReadonlyArray<string>, cwd: string) =>
  outputOf(command, args, {
    cwd,
    environment: {
      HOME: cwd,
      XDG_RUNTIME_DIR: cwd,
      STORAGE_DRIVER: "vfs",
      BUILDAH_ISOLATION: "chroot"
    }
  })

/** Gives the layers of a folder of skopeo's, which are not compressed, an entry that is new. */
const fresh = (path: string) => {
  const read = (name: string) => Fs.readFileSync(Path.join(path, name))
  const nameOf = (digest: string) => digest.slice("sha256:".length)
  const put = (bytes: Uint8Array) => {
    const descriptor = Descriptor.fromBytes(bytes, "")
    Fs.writeFileSync(Path.join(path, nameOf(descriptor.digest)), bytes)
    return { digest: descriptor.digest, size: descriptor.size }
  }
  const manifest = JSON.parse(read("manifest.json").toString())
  const config = JSON.parse(read(nameOf(manifest.config.digest)).toString())
  manifest.layers = manifest.layers.map((layer: { readonly digest: string }) => ({
    ...layer,
    ...put(Buffer.concat([Tar.entry({ name: randomUUID() }), read(nameOf(layer.digest))]))
  }))
  config.rootfs.diff_ids = manifest.layers.map(({ digest }: { digest: string }) => digest)
  manifest.config = { ...manifest.config, ...put(utf8(JSON.stringify(config))) }
  Fs.writeFileSync(Path.join(path, "manifest.json"), JSON.stringify(manifest))
}

const contents = (image: Image.Image) =>
  Effect.gen(function* () {
    const target = `${yield* folder()}/image`
    yield* ImageFolder.extract(image, target)
    return target
  })

const suite = (where: typeof layerEmbeddedHost | typeof layerDebianHost) =>
  layer(where, { excludeTestServices: true })((it) => {
    it.scoped("an image of our own is pulled, listed, read, flattened and extracted", () =>
      Effect.gen(function* () {
        const reference = `${yield* name}:v1`
        yield* Images.push(reference, [
          Tar.files({ "etc/": "", "etc/a": "1", b: "x".repeat(300_000) }),
          Tar.files({ "etc/a": "2", "etc/.wh.none": "" })
        ])
        const image = yield* Image.pull(reference)
        const [base] = image.layers
        if (base === undefined) return yield* Effect.dieMessage("two layers")
        expect((yield* items(ImageLayer.entries(base))).map(({ path }) => path)).toEqual([
          "etc",
          "etc/a",
          "b"
        ])
        expect(Buffer.from((yield* Image.readFile(image, "etc/a")).bytes).toString()).toBe("2")
        expect((yield* gather(Image.flatten(image))).length % 512).toBe(0)
        const target = yield* contents(image)
        expect(Fs.readFileSync(`${target}/etc/a`, "utf8")).toBe("2")
        expect(Fs.statSync(`${target}/b`).size).toBe(300_000)
        const { digest } = image.root.descriptor
        expect((yield* Image.pullChanged(reference, digest))._tag).toBe("None")
      })
    )

    describeInstalled("skopeo", "skopeo", () => {
      it.scoped("S16, S25: its forms of an image all have the same files", () =>
        Effect.gen(function* () {
          const repository = yield* name
          yield* Images.push(`${repository}:v1`, [
            Tar.files({ "etc/": "", "etc/a": "1", "etc/b": "x".repeat(200_000) }),
            Tar.files({ "etc/.wh.a": "", "etc/c": "3" })
          ])
          const cwd = yield* folder({
            "policy.json": '{"default":[{"type":"insecureAcceptAnything"}]}'
          })
          const copy = (from: string, to: string, ...args: ReadonlyArray<string>) =>
            run(
              "skopeo",
              [
                ...["copy", "-q", "--policy", `${cwd}/policy.json`],
                ...["--src-tls-verify=false", "--dest-tls-verify=false", ...args, from, to]
              ],
              cwd
            )
          const at = (tag: string) => `docker://${repository}:${tag}`
          const plain = `dir:${cwd}/plain`
          yield* copy(at("v1"), at("docker"), "--format", "v2s2")
          yield* copy(at("v1"), plain, "--dest-decompress")
          // What skopeo has seen compressed at a registry it does not compress anew.
          fresh(`${cwd}/plain`)
          for (const form of ["zstd", "zstd:chunked"])
            yield* copy(plain, at(form.replace(":", "-")), "--dest-compress-format", form)
          const made: Record<string, unknown> = {}
          for (const tag of ["v1", "docker", "zstd", "zstd-chunked"]) {
            const image = yield* Image.pull(`${repository}:${tag}`)
            made[tag] = image.layers.map(({ descriptor }) => descriptor.mediaType)
            const target = yield* contents(image)
            expect(Fs.readdirSync(`${target}/etc`).sort()).toEqual(["b", "c"])
            expect(Fs.readFileSync(`${target}/etc/b`, "utf8")).toBe("x".repeat(200_000))
          }
          expect(made).toEqual({
            v1: [MediaType.layerTarGzip, MediaType.layerTarGzip],
            docker: [MediaType.dockerLayerTarGzip, MediaType.dockerLayerTarGzip],
            zstd: [MediaType.layerTarZstd, MediaType.layerTarZstd],
            "zstd-chunked": [MediaType.layerTarZstd, MediaType.layerTarZstd]
          })
        })
      )
    })

    describeInstalled("buildah", "buildah", () => {
      it.scoped("what it builds is read as it was built", () =>
        Effect.gen(function* () {
          const reference = `${yield* name}:v1`
          const cwd = yield* folder({
            "policy.json": '{"default":[{"type":"insecureAcceptAnything"}]}',
            "files/hello": "hello\n",
            "files/bin/tool": "#!/bin/sh\n",
            Containerfile: "FROM scratch\nCOPY files/ /app/\nLABEL of=buildah\n"
          })
          Fs.chmodSync(`${cwd}/files/bin/tool`, 0o755)
          Fs.linkSync(`${cwd}/files/hello`, `${cwd}/files/again`)
          Fs.symlinkSync("/app/hello", `${cwd}/files/link`)
          const storage = ["--root", `${cwd}/storage`, "--runroot", `${cwd}/run`]
          const policy = ["--signature-policy", `${cwd}/policy.json`]
          yield* run(
            "buildah",
            [...storage, "bud", ...policy, "--layers", "-q", "-t", "made", "."],
            cwd
          )
          yield* run(
            "buildah",
            [
              ...storage,
              "push",
              ...policy,
              "-q",
              "--tls-verify=false",
              "made",
              `docker://${reference}`
            ],
            cwd
          )
          const image = yield* Image.pull(reference)
          expect(image.labels).toMatchObject({ of: "buildah" })
          const read = (path: string) =>
            Effect.map(Image.readFile(image, path), ({ bytes }) => Buffer.from(bytes).toString())
          expect(yield* read("app/link")).toBe("hello\n")
          expect(yield* read("app/again")).toBe("hello\n")
          const target = yield* contents(image)
          expect(Fs.statSync(Path.join(target, "app/bin/tool")).mode & 0o777).toBe(0o755)
          expect(Fs.readlinkSync(Path.join(target, "app/link"))).toBe("/app/hello")
        })
      )
    })
  })

describe("over the embedded server", () => suite(layerEmbeddedHost))

describeDebian("over Debian's docker-registry", () => suite(layerDebianHost))
