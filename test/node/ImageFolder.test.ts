/** Images extracted to folders: with their attributes, whole or not at all, and never outside. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { describe, expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Image from "../../src/content/Image.js"
import * as ImageFolder from "../../src/node/ImageFolder.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshRepository } from "../support/fixtures.js"
import * as Images from "../support/images.js"
import { folder } from "../support/machine.js"
import * as Tar from "../support/tar.js"

const machine = Layer.merge(MemoryRegistry.layerRegistries(), NodeDecompression.layer)

const imageOf = (...archives: ReadonlyArray<Uint8Array>) =>
  Effect.gen(function* () {
    const reference = `registry.example/${yield* freshRepository}:v1`
    yield* Images.push(reference, archives)
    return yield* Image.pull(reference)
  })

const read = (path: string) => Fs.readFileSync(path, "utf8")

/** What is in a folder and in what surrounds it, after an attempt at extracting there. */
const attempted = (...archives: ReadonlyArray<Uint8Array>) =>
  Effect.gen(function* () {
    const outside = yield* folder({ secret: "secret", "home/file": "file" })
    const target = Path.join(outside, "image")
    const outcome = yield* Effect.either(
      Effect.flatMap(imageOf(...archives), (image) => ImageFolder.extract(image, target))
    )
    expect(Fs.readdirSync(outside).sort()).toEqual(
      outcome._tag === "Right" ? ["home", "image", "secret"] : ["home", "secret"]
    )
    expect([read(`${outside}/secret`), read(`${outside}/home/file`)]).toEqual(["secret", "file"])
    expect(Fs.readdirSync(`${outside}/home`)).toEqual(["file"])
    return { outcome, outside, target }
  })

const entry = Tar.entry
const link = (name: string, link: string) => entry({ name, type: "2", link })
const hardLink = (name: string, link: string) => entry({ name, type: "1", link })

layer(machine, { excludeTestServices: true })((it) => {
  describe("an image in a folder", () => {
    it.scoped("has its files, links, modes and times", () =>
      Effect.gen(function* () {
        const { outcome, target } = yield* attempted(
          Tar.archive(
            entry({ name: "./", type: "5", mode: 0o755 }),
            entry({ name: "bin/", type: "5", mode: 0o555 }),
            Tar.extended({ mtime: "1700000000.5", path: "bin/tool" }),
            entry({ name: "x", mode: 0o4711 }, "tool"),
            hardLink("bin/other", "bin/tool"),
            link("sh", "bin/tool"),
            entry({ name: "empty", mode: 0o600 })
          ),
          Tar.archive(entry({ name: "tmp/", type: "5", mode: 0o1777 }))
        )
        expect(outcome).toMatchObject({ _tag: "Right", right: { path: target, skipped: [] } })
        const stats = Fs.statSync(`${target}/bin/tool`)
        const mode = process.getuid?.() === 0 ? 0o4711 : 0o711
        expect([stats.mode & 0o7777, stats.mtimeMs, stats.nlink]).toEqual([
          mode,
          1_700_000_000_500,
          2
        ])
        expect(Fs.statSync(`${target}/bin/other`).ino).toBe(stats.ino)
        expect(Fs.readlinkSync(`${target}/sh`)).toBe("bin/tool")
        expect(Fs.statSync(`${target}/tmp`).mode & 0o7777).toBe(0o1777)
        expect(Fs.statSync(`${target}/bin`).mode & 0o7777).toBe(0o555)
        expect(Fs.statSync(target).mtimeMs).toBe(0)
        expect(read(`${target}/empty`)).toBe("")
      })
    )

    it.scoped("has names, and what links lead to, byte for byte where they are not UTF-8", () =>
      Effect.gen(function* () {
        const names = [Buffer.from([0x61, 0xff]), Buffer.from([0x61, 0xfe])] as const
        const { target } = yield* attempted(
          Tar.archive(
            entry({ name: names[0] }, "1"),
            entry({ name: names[1] }, "2"),
            Tar.extended({ linkpath: names[0] }),
            link("link", "x"),
            Tar.extended({ linkpath: names[1] }),
            hardLink("hard", "x")
          )
        )
        const inFolder = (name: Buffer) => Buffer.concat([Buffer.from(`${target}/`), name])
        expect(names.map((name) => Fs.readFileSync(inFolder(name), "utf8"))).toEqual(["1", "2"])
        expect(Fs.readlinkSync(`${target}/link`, "buffer")).toEqual(names[0])
        expect(read(`${target}/hard`)).toBe("2")
        const files = yield* Effect.flip(ImageFolder.files(target))
        expect(files.message).toContain("not UTF-8")
        for (const name of names) Fs.rmSync(inFolder(name))
        expect(yield* ImageFolder.files(target)).toContainEqual({
          path: "/link",
          type: "symlink",
          target: "a\udcff"
        })
      })
    )

    it.scoped("has the times before 1970 and after 2106 that the disk can have", () =>
      Effect.gen(function* () {
        const times = ["-86400.5", "-1e9", "4294967296", "-9007199254740991"]
        const { target } = yield* attempted(
          Tar.archive(
            ...times.flatMap((mtime) => [
              Tar.extended({ mtime: mtime.replace("-1e9", "-1000000000") }),
              entry({ name: `f${mtime}` }, "x"),
              Tar.extended({ mtime: mtime.replace("-1e9", "-1000000000") }),
              link(`l${mtime}`, "x"),
              Tar.extended({ mtime: mtime.replace("-1e9", "-1000000000") }),
              entry({ name: `d${mtime}/`, type: "5", mode: 0o755 })
            ])
          )
        )
        for (const kind of ["f", "l", "d"])
          expect(
            times.slice(0, 3).map((mtime) => Fs.lstatSync(`${target}/${kind}${mtime}`).mtimeMs)
          ).toEqual([-86_400_500, -1e12, 4_294_967_296_000])
        expect(Fs.lstatSync(`${target}/f-9007199254740991`).mtimeMs).toBeLessThan(0)
      })
    )

    it.scoped("is for all to read where no layer says otherwise", () =>
      Effect.gen(function* () {
        const modeOf = (path: string) => Fs.statSync(path).mode & 0o777
        const { target } = yield* attempted(Tar.files({ "a/b": "1" }))
        expect([modeOf(target), modeOf(`${target}/a`)]).toEqual([0o755, 0o755])
        const own = yield* attempted(Tar.archive(entry({ name: "./", type: "5", mode: 0o700 })))
        expect(modeOf(own.target)).toBe(0o700)
      })
    )

    it.scoped("runs nothing as who extracts it, where files do not belong to whom they say", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          Tar.archive(
            entry({ name: "su", mode: 0o6755 }, "x"),
            entry({ name: "mail/", type: "5", mode: 0o2775 }),
            entry({ name: "tmp/", type: "5", mode: 0o1777 })
          )
        )
        const path = `${yield* folder()}/image`
        yield* ImageFolder.extract(image, path, { owners: false })
        expect(
          ["su", "mail", "tmp"].map((name) => Fs.statSync(`${path}/${name}`).mode & 0o7777)
        ).toEqual([0o755, 0o775, 0o1777])
      })
    )

    it.scoped("says which file could not be written", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(
          Tar.archive(
            entry({ name: "a" }, "1"),
            Tar.extended({ path: `d\u001b/${"n".repeat(256)}` }),
            entry({}, "2")
          )
        )
        const outside = yield* folder()
        const error = yield* Effect.flip(ImageFolder.extract(image, `${outside}/image`))
        expect(error).toMatchObject({
          _tag: "StorageFailure",
          path: `${outside}/image/d\u001b/${"n".repeat(256)}`
        })
        expect(error.message).toContain("ENAMETOOLONG")
        expect(error.message).not.toContain("\u001b")
        expect(Fs.readdirSync(outside)).toEqual([])
      })
    )

    it.scoped("S20: has what a layer puts in the place of a folder or a file", () =>
      Effect.gen(function* () {
        const { target } = yield* attempted(
          Tar.files({ "a/b/c": "1", d: "1", "e/f": "1" }),
          Tar.archive(entry({ name: "a" }, "2"), entry({ name: "d/x" }, "2"), link("e", "d"))
        )
        expect(read(`${target}/a`)).toBe("2")
        expect(Fs.readdirSync(`${target}/d`)).toEqual(["x"])
        expect(read(`${target}/e/x`)).toBe("2")
      })
    )

    it.scoped("takes an empty folder, and no other", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(Tar.files({ a: "1" }))
        const empty = yield* folder()
        yield* ImageFolder.extract(image, empty)
        expect(read(`${empty}/a`)).toBe("1")
        const again = yield* Effect.flip(ImageFolder.extract(image, empty))
        expect(again).toMatchObject({ _tag: "StorageFailure", path: empty })
        expect(again.message).toContain("not empty")
      })
    )

    it.scoped("takes a link to an empty folder, and refuses a file before any layer is read", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(Tar.files({ a: "1" }))
        const outside = yield* folder({ file: "file" })
        Fs.mkdirSync(`${outside}/empty`)
        for (const [name, target] of [
          ["link", "empty"],
          ["toFile", "file"],
          ["dangling", "nowhere"]
        ] as const)
          Fs.symlinkSync(target, `${outside}/${name}`)
        expect(yield* ImageFolder.extract(image, `${outside}/link`)).toMatchObject({
          path: `${outside}/link`
        })
        expect(read(`${outside}/empty/a`)).toBe("1")
        expect(Fs.readlinkSync(`${outside}/link`)).toBe("empty")
        const unread = image.layers.map((layer) => ({
          ...layer,
          content: Stream.dieMessage("read")
        }))
        for (const name of ["file", "toFile", "dangling"])
          expect(
            yield* Effect.flip(
              ImageFolder.extract({ ...image, layers: unread }, `${outside}/${name}`)
            )
          ).toMatchObject({ _tag: "StorageFailure", path: `${outside}/${name}` })
      })
    )

    it.scoped("S17: is not there where a layer turns out to be another", () =>
      Effect.gen(function* () {
        const archive = Tar.files({ a: "1" })
        const reference = `registry.example/${yield* freshRepository}:v1`
        yield* Images.push(reference, [archive, Tar.files({ b: "2" })], {
          config: { rootfs: { type: "layers", diff_ids: [digest, digest] } }
        })
        const image = yield* Image.pull(reference)
        const outside = yield* folder()
        const error = yield* Effect.flip(ImageFolder.extract(image, `${outside}/image`))
        expect(error._tag).toBe("DigestMismatch")
        expect(Fs.readdirSync(outside)).toEqual([])
      })
    )

    it.scoped("leaves nothing behind where it is interrupted", () =>
      Effect.gen(function* () {
        const image = yield* imageOf(Tar.files({ a: "1" }), Tar.files({ b: "2" }))
        const [base, top] = image.layers
        if (base === undefined || top === undefined) return yield* Effect.dieMessage("two")
        // Of the second time that the layer is read, no more than the start comes.
        let runs = 0
        const content = Stream.suspend(() =>
          runs++ === 0 ? top.content : Stream.concat(Stream.take(top.content, 0), Stream.never)
        )
        const outside = yield* folder()
        const running = yield* Effect.fork(
          ImageFolder.extract({ ...image, layers: [base, { ...top, content }] }, `${outside}/image`)
        )
        yield* Effect.repeat(Effect.yieldNow(), {
          until: () => Fs.readdirSync(outside).some((name) => name.startsWith("image.partial-"))
        })
        yield* Fiber.interrupt(running)
        expect(Fs.readdirSync(outside)).toEqual([])
      })
    )
  })

  describe("T11: nothing is written outside of the folder", () => {
    const refused: Readonly<Record<string, ReadonlyArray<Uint8Array>>> = {
      "a name that leads out": [entry({ name: "../secret" }, "x")],
      "a name that leads out of a folder": [entry({ name: "a/../../secret" }, "x")],
      "a name with a NUL": [Tar.extended({ path: "a\0/../../secret" }), entry({ name: "x" }, "x")],
      "a name that is too long": [Tar.extended({ path: "n".repeat(5000) }), entry({ name: "x" })],
      "a folder that leads out": [entry({ name: "../home/", type: "5", mode: 0o777 })],
      "a link that leads out by its name": [link("../link", "secret")],
      "a hard link to a file outside": [hardLink("l", "../secret")],
      "a hard link through a symbolic link that leads out": [
        link("up", ".."),
        hardLink("l", "up/secret")
      ],
      "a hard link to a file of the machine": [hardLink("l", "/etc/passwd")],
      "a hard link to a folder": [entry({ name: "d/", type: "5" }), hardLink("l", "d")],
      "a hard link to what comes later": [hardLink("l", "a"), entry({ name: "a" }, "x")],
      "a file below a file": [entry({ name: "a" }, "x"), entry({ name: "a/b" }, "x")],
      "links in a circle": [link("a", "b"), link("b", "a"), entry({ name: "a/c" }, "x")],
      "a link in the place of the root": [link(".", "../home")],
      "a whiteout of nothing": [entry({ name: "d/.wh." })],
      "a whiteout of its folder": [entry({ name: "d/.wh.." })],
      "a whiteout of the folder above": [entry({ name: ".wh..." })],
      "a file in a whiteout": [entry({ name: ".wh.d/secret" }, "x")],
      "a sparse file of GNU tar": [entry({ name: "s", type: "S" })],
      "content behind a link": [Tar.header({ name: "l", type: "2", link: "a", size: 512 })],
      "a size that is larger than the archive": [Tar.header({ name: "a", size: 1e9 })]
    }

    it.scoped.each(Object.entries(refused))("%s is refused", ([_, entries]) =>
      Effect.gen(function* () {
        const { outcome } = yield* attempted(Tar.archive(...entries))
        expect(outcome).toMatchObject({ _tag: "Left", left: { _tag: "InvalidLayer" } })
      })
    )

    it.scoped("absolute names are below the folder", () =>
      Effect.gen(function* () {
        const { target } = yield* attempted(
          Tar.archive(entry({ name: "/etc/passwd" }, "x"), entry({ name: "//a" }, "y"))
        )
        expect(read(`${target}/etc/passwd`)).toBe("x")
        expect(read(`${target}/a`)).toBe("y")
      })
    )

    it.scoped("links that lead out are followed within the folder, by all layers", () =>
      Effect.gen(function* () {
        const { outside, target } = yield* attempted(
          Tar.archive(
            link("up", ".."),
            link("far", "../../../../.."),
            link("abs", "/"),
            link("chain", "abs/up"),
            entry({ name: "up/home/file" }, "1"),
            entry({ name: "abs/secret" }, "2")
          ),
          Tar.archive(
            entry({ name: "far/etc/file" }, "3"),
            entry({ name: "chain/secret2" }, "4"),
            entry({ name: "up/.wh.home" })
          )
        )
        expect(Fs.readlinkSync(`${target}/up`)).toBe("..")
        expect(Fs.readdirSync(target).sort()).toEqual(
          ["abs", "chain", "etc", "far", "secret", "secret2", "up"].sort()
        )
        expect([read(`${target}/secret`), read(`${target}/etc/file`)]).toEqual(["2", "3"])
        expect(Fs.existsSync(`${outside}/secret2`)).toBe(false)
      })
    )

    it.scoped("a link in the place of a file is not written through", () =>
      Effect.gen(function* () {
        const { outside, target } = yield* attempted(
          Tar.archive(link("a", "../secret"), entry({ name: "a" }, "x")),
          Tar.archive(link("b", "../secret"), hardLink("c", "b")),
          Tar.archive(entry({ name: "b" }, "y"), entry({ name: "c", mode: 0o777 }, "z"))
        )
        expect([read(`${target}/a`), read(`${target}/b`), read(`${target}/c`)]).toEqual([
          "x",
          "y",
          "z"
        ])
        expect(Fs.lstatSync(`${target}/a`).isSymbolicLink()).toBe(false)
        expect(Fs.statSync(`${outside}/secret`).mode & 0o777).not.toBe(0o777)
      })
    )

    it.scoped("devices and fifos are not made, and the result says so", () =>
      Effect.gen(function* () {
        const { outcome, target } = yield* attempted(
          Tar.archive(
            entry({ name: "dev/null", type: "3" }),
            entry({ name: "dev/sda", type: "4" }),
            entry({ name: "dev/pipe", type: "6" }),
            entry({ name: "dev/sdb", type: "1", link: "dev/sda" })
          )
        )
        expect(outcome).toMatchObject({
          right: {
            skipped: [
              { path: "dev/null" },
              { path: "dev/pipe" },
              { path: "dev/sda" },
              { path: "dev/sdb", type: "hardlink" }
            ]
          }
        })
        expect(Fs.readdirSync(`${target}/dev`)).toEqual([])
      })
    )

    it.scoped("extended attributes are not set, and the result says whose", () =>
      Effect.gen(function* () {
        const { outcome, target } = yield* attempted(
          Tar.archive(
            Tar.extended({ "SCHILY.xattr.security.capability": "1" }),
            entry({ name: "ping" }, "content"),
            entry({ name: "other", type: "1", link: "ping" }),
            Tar.extended({ mtime: "1.5" }),
            entry({ name: "plain" })
          )
        )
        expect(outcome).toMatchObject({
          right: { skipped: [], withoutAttributes: [{ path: "other", size: 7 }] }
        })
        expect(Fs.readFileSync(`${target}/ping`, "utf8")).toBe("content")
      })
    )

    it.scoped("names in great number, and content in great size, are bounded", () =>
      Effect.gen(function* () {
        const many = Tar.archive(...Array.from({ length: 50 }, (_, n) => entry({ name: `${n}` })))
        const image = yield* imageOf(many, Tar.files({ a: "x".repeat(100_000) }))
        const outside = yield* folder()
        for (const [option, limit] of [
          ["entryLimit", 50],
          ["limit", 100_000]
        ] as const) {
          const options = { [option]: limit }
          expect(
            yield* Effect.flip(ImageFolder.extract(image, `${outside}/image`, options))
          ).toMatchObject({ _tag: "LimitExceeded", limit, option })
        }
        expect(Fs.readdirSync(outside)).toEqual([])
        yield* ImageFolder.extract(image, `${outside}/image`, { entryLimit: 51 })
      })
    )
  })
})

const digest = `sha256:${"0".repeat(64)}`
