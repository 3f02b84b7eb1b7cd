/** Folders as archives in artifacts (CP31), and what is refused where they are unpacked. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { describe, expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Artifact from "../../src/content/Artifact.js"
import * as ArtifactFolder from "../../src/node/ArtifactFolder.js"
import * as Annotations from "../../src/spec/Annotations.js"
import * as Digest from "../../src/spec/Digest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Transfer from "../../src/Transfer.js"
import { freshRepository, gather } from "../support/fixtures.js"
import { folder } from "../support/machine.js"
import * as Tar from "../support/tar.js"

const artifactType = "application/vnd.example.v1"

const fresh = Effect.map(freshRepository, (repository) => `ghcr.io/${repository}:1`)

const read = (...path: ReadonlyArray<string>) => Fs.readFileSync(Path.join(...path), "utf8")

const entries = (root: string) => Fs.readdirSync(root, { recursive: true, encoding: "utf8" }).sort()

/** A folder `docs` with all that can be packed. */
const docs = Effect.gen(function* () {
  const root = yield* folder({
    "docs/index.md": "index",
    "docs/deep/er/page.md": "page",
    "docs/empty": "",
    "docs/.hidden": "hidden"
  })
  const path = Path.join(root, "docs")
  Fs.mkdirSync(`${path}/void`)
  Fs.chmodSync(`${path}/index.md`, 0o750)
  Fs.symlinkSync("deep/er/page.md", `${path}/link`)
  Fs.symlinkSync("../../index.md", `${path}/deep/er/up`)
  Fs.writeFileSync(`${path}/large`, new Uint8Array(2_500_000).fill(7))
  return path
})

const packed = (path: string, options?: ArtifactFolder.ArchiveOptions) =>
  Effect.flatMap(ArtifactFolder.archive(path, options), ({ source, ...file }) =>
    "open" in source
      ? Effect.map(gather(source.open(0)), (bytes) => ({ ...file, bytes, digest: source.digest }))
      : Effect.dieMessage("a source that is a file")
  )

const push = Effect.fnUntraced(function* (...files: Artifact.PushOptions["files"]) {
  const reference = yield* fresh
  yield* Artifact.push(reference, { artifactType, files })
  return reference
})

/** Pushes an archive as the folder `docs`. */
const pushTar = (archive: Uint8Array, annotations: Annotations.Annotations = {}) =>
  push({
    title: "docs",
    mediaType: MediaType.layerTarGzip,
    source: Uint8Array.from(gzipSync(archive)),
    annotations: { [Annotations.unpack]: "true", ...annotations }
  })

/** How many blobs were downloaded for something. */
const downloads = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    let count = 0
    yield* Transfer.observe(effect, (event) =>
      Effect.sync(() => {
        if (event._tag === "Completed" && !event.skipped) count++
      })
    )
    return count
  })

layer(MemoryRegistry.layerRegistries(), { excludeTestServices: true })((it) => {
  describe("a folder", () => {
    it.scoped("is pulled to one place many times at once, as files are", () =>
      Effect.gen(function* () {
        const reference = yield* push(
          yield* ArtifactFolder.archive(yield* docs),
          { title: "large", source: new Uint8Array(2_500_000).fill(8) },
          { title: "small", source: new Uint8Array(10) }
        )
        const root = yield* folder()
        for (const overwrite of [false, true])
          for (const name of ["a", "b", "c"]) {
            const to = Path.join(root, `${name}${overwrite}`)
            const pull = ArtifactFolder.pull(reference, to, { overwrite })
            yield* Effect.all([pull, pull, pull, pull], { concurrency: "unbounded" })
            const again = yield* ArtifactFolder.pull(reference, to)
            expect(again.files.map(({ skipped }) => skipped)).toEqual([true, true, true])
            expect(Fs.readdirSync(to).sort()).toEqual(["docs", "large", "small"])
          }
      })
    )

    it.scoped("counts once where it is kept as an archive, too", () =>
      Effect.gen(function* () {
        const archive = yield* packed(yield* docs)
        const { annotations, bytes: source, mediaType } = archive
        const reference = yield* push(
          { title: "docs", mediaType, source, annotations },
          { title: "docs.tgz", mediaType, source }
        )
        const root = yield* folder()
        const seen: Array<ArtifactFolder.Progress> = []
        const pull = ArtifactFolder.pull(reference, root, {
          onProgress: (progress) => Effect.sync(() => seen.push(progress))
        })
        const all = { files: 2, bytes: source.length }
        const none = { files: 0, bytes: 0 }
        expect((yield* pull).summary).toEqual({ known: all, present: none, moved: all })
        expect(seen.at(-1)?.fraction).toBe(1)
        Fs.rmSync(Path.join(root, "docs"), { recursive: true })
        expect((yield* pull).summary).toEqual({
          known: all,
          present: { files: 1, bytes: 0 },
          moved: { files: 1, bytes: source.length }
        })
        expect((yield* pull).summary).toEqual({ known: all, present: all, moved: none })
      })
    )

    it.scoped("CP31: is one file with its own name as title, and the annotations of ORAS", () =>
      Effect.gen(function* () {
        const { annotations, bytes, digest, mediaType, title } = yield* packed(yield* docs)
        expect([title, mediaType]).toEqual(["docs", MediaType.layerTarGzip])
        expect(digest).toBe(Digest.fromBytes(bytes))
        expect(annotations).toEqual({
          "io.deis.oras.content.unpack": "true",
          "io.deis.oras.content.digest": Digest.fromBytes(gunzipSync(bytes))
        })
        const listed = execFileSync("tar", ["-tzvf", "-", "--numeric-owner", "--utc"], {
          input: bytes,
          encoding: "utf8"
        })
        const lines = listed.trim().split("\n")
        expect(lines.map((line) => line.split(/\s+/)[5])).toEqual([
          "docs/",
          "docs/.hidden",
          "docs/deep/",
          "docs/deep/er/",
          "docs/deep/er/page.md",
          "docs/deep/er/up",
          "docs/empty",
          "docs/index.md",
          "docs/large",
          "docs/link",
          "docs/void/"
        ])
        for (const line of lines) expect(line).toMatch(/ 0\/0 +\d+ 1970-01-01 00:00 docs/)
        expect(lines[7]).toMatch(/^-rwxr-x---/)
        expect(lines[9]).toContain("docs/link -> deep/er/page.md")
      })
    )

    it.scoped("CP31: packed twice, anywhere and at any time, has one digest", () =>
      Effect.gen(function* () {
        const [one, other] = [yield* docs, yield* docs]
        Fs.utimesSync(`${other}/index.md`, 1, 1)
        const { digest } = yield* packed(one)
        expect((yield* packed(other)).digest).toBe(digest)
        const { bytes, title } = yield* packed(other, { title: "a/b", annotations: { k: "v" } })
        expect(title).toBe("a/b")
        const names = execFileSync("tar", ["-tzf", "-"], { input: bytes, encoding: "utf8" })
        expect(names.split("\n")[1]).toBe("a/b/.hidden")
        Fs.chmodSync(`${other}/index.md`, 0o640)
        expect((yield* packed(other)).digest).not.toBe(digest)
      })
    )

    it.scoped("is refused with the path of what cannot be packed", () =>
      Effect.gen(function* () {
        const failing = (path: string) => Effect.flip(ArtifactFolder.archive(path))
        const root = yield* folder({ file: "file", "links/a": "a", "fifo/a": "a" })
        execFileSync("mkfifo", [`${root}/fifo/pipe`])
        const targets: ReadonlyArray<readonly [target: string, problem: string]> = [
          ["/etc/passwd", "has an absolute target"],
          ["../file", "leads out of the folder"],
          ["sub/../../../file", "has a .. behind a name"],
          ["C:\\windows", "has an absolute target"]
        ]
        for (const [target, problem] of targets) {
          Fs.rmSync(`${root}/links/link`, { force: true })
          Fs.symlinkSync(target, `${root}/links/link`)
          const { message } = yield* failing(`${root}/links`)
          expect(message).toContain(`${root}/links/link is a link that ${problem}`)
        }
        expect((yield* failing(`${root}/fifo`)).message).toContain(
          `${root}/fifo/pipe is neither a file, a folder nor a link`
        )
        expect((yield* failing(`${root}/file`)).message).toContain("not a folder")
        expect((yield* failing(`${root}/missing`)).message).toContain("no such file")
      })
    )

    it.effect("is in a temporary file as long as its Scope is open", () =>
      Effect.gen(function* () {
        const { source } = yield* Effect.scoped(
          Effect.flatMap(docs, (path) => ArtifactFolder.archive(path))
        )
        if (!("open" in source)) return yield* Effect.dieMessage("a source that is a file")
        return expect(yield* Effect.flip(gather(source.open(0)))).toMatchObject({
          _tag: "StorageFailure"
        })
      })
    )

    it.scoped("is what it was where it is pulled, and is not downloaded again", () =>
      Effect.gen(function* () {
        const path = yield* docs
        const reference = yield* push(yield* ArtifactFolder.archive(path))
        const root = Path.join(yield* folder(), "out")
        const pull = ArtifactFolder.pull(reference, root)
        const { files } = yield* pull
        expect(files.map(({ path, skipped }) => [Path.relative(root, path), skipped])).toEqual([
          ["docs", false]
        ])
        expect(Fs.readdirSync(root)).toEqual(["docs"])
        expect(entries(`${root}/docs`)).toEqual(entries(path))
        expect(read(root, "docs/deep/er/page.md")).toBe("page")
        expect(Fs.readlinkSync(`${root}/docs/deep/er/up`)).toBe("../../index.md")
        expect(Fs.statSync(`${root}/docs/index.md`).mode & 0o7777).toBe(0o750)
        expect((yield* packed(`${root}/docs`)).digest).toBe((yield* packed(path)).digest)
        expect(yield* downloads(pull)).toBe(0)
        expect((yield* pull).files[0]?.skipped).toBe(true)
        const site = yield* ArtifactFolder.archive(path, { title: "./site//docs/" })
        expect(site.title).toBe("site/docs")
        const again = ArtifactFolder.pull(yield* push(site), root)
        yield* again
        expect(yield* downloads(again)).toBe(0)
      })
    )

    it.scoped("is unpacked into one that is there, with what is missing in it", () =>
      Effect.gen(function* () {
        const reference = yield* push(yield* ArtifactFolder.archive(yield* docs))
        const root = yield* folder({ "docs/index.md": "index", "docs/own.md": "own" })
        const { ino } = Fs.statSync(`${root}/docs/index.md`)
        yield* ArtifactFolder.pull(reference, root)
        expect(Fs.statSync(`${root}/docs/index.md`).ino).toBe(ino)
        expect(read(root, "docs/own.md")).toBe("own")
        expect(read(root, "docs/deep/er/page.md")).toBe("page")
        expect(Fs.readdirSync(root)).toEqual(["docs"])
      })
    )

    it.scoped("has names that are not UTF-8 byte for byte, also in one that is there", () =>
      Effect.gen(function* () {
        const bytes = (text: string) => Buffer.from(text, "latin1")
        const reference = yield* pushTar(
          Tar.archive(
            Tar.entry({ name: bytes("docs/\u00ff") }, "1"),
            Tar.entry({ name: bytes("docs/\u00fe") }, "2"),
            Tar.entry({ name: "docs/sub/", type: "5", mode: 0o755 }),
            Tar.extended({ linkpath: bytes("\u00ff") }),
            Tar.entry({ name: "docs/link", type: "2" })
          )
        )
        const root = yield* folder()
        for (const round of ["new", "merged", "same"]) {
          yield* ArtifactFolder.pull(reference, root)
          const names = Fs.readdirSync(`${root}/docs`, { encoding: "latin1" }).sort()
          expect([round, names]).toEqual([round, ["link", "sub", "\u00fe", "\u00ff"]])
          expect(Fs.readlinkSync(`${root}/docs/link`, "latin1")).toBe("\u00ff")
          const file = (name: string) => Buffer.concat([bytes(`${root}/docs/`), bytes(name)])
          expect(Fs.readFileSync(file("\u00ff"), "utf8")).toBe("1")
          if (round === "new") for (const name of ["\u00ff", "link"]) Fs.rmSync(file(name))
        }
        Fs.writeFileSync(Buffer.concat([bytes(`${root}/docs/`), bytes("\u00fe")]), "3")
        const error = yield* Effect.flip(ArtifactFolder.pull(reference, root))
        expect(error._tag).toBe("FileExists")
      })
    )

    it.scoped("replaces nothing in one that is there, unless told", () =>
      Effect.gen(function* () {
        const reference = yield* push(yield* ArtifactFolder.archive(yield* docs))
        const root = yield* folder({
          "docs/index.md": "other",
          "docs/large": "other",
          "docs/link": "no link"
        })
        const before = entries(root)
        const failure = yield* Effect.flip(ArtifactFolder.pull(reference, root))
        expect(failure).toMatchObject({
          _tag: "FileExists",
          paths: ["index.md", "large", "link"].map((name) => `${root}/docs/${name}`)
        })
        expect(entries(root)).toEqual(before)
        expect(read(root, "docs/index.md")).toBe("other")
        yield* ArtifactFolder.pull(reference, root, { overwrite: true })
        expect(read(root, "docs/index.md")).toBe("index")
        expect(Fs.readlinkSync(`${root}/docs/link`)).toBe("deep/er/page.md")
        expect(Fs.statSync(`${root}/docs/large`).size).toBe(2_500_000)
        expect(Fs.readdirSync(root)).toEqual(["docs"])
      })
    )

    it.scoped("takes the place of a file or link only when told, and of no folder's file", () =>
      Effect.gen(function* () {
        const reference = yield* push(yield* ArtifactFolder.archive(yield* docs))
        const root = yield* folder({ docs: "a file", "elsewhere/x": "x" })
        const pull = (options?: ArtifactFolder.PullOptions) =>
          ArtifactFolder.pull(reference, root, options)
        expect(yield* downloads(Effect.flip(pull()))).toBe(0)
        Fs.rmSync(`${root}/docs`)
        Fs.symlinkSync("elsewhere", `${root}/docs`)
        expect(yield* Effect.flip(pull())).toMatchObject({
          _tag: "FileExists",
          paths: [`${root}/docs`]
        })
        yield* pull({ overwrite: true })
        expect(Fs.lstatSync(`${root}/docs`).isDirectory()).toBe(true)
        expect(Fs.readdirSync(`${root}/elsewhere`)).toEqual(["x"])
        Fs.rmSync(`${root}/docs/index.md`)
        Fs.mkdirSync(`${root}/docs/index.md`)
        for (const overwrite of [false, true])
          expect((yield* Effect.flip(pull({ overwrite }))).message).toContain("is a folder")
      })
    )

    it.scoped("is all of the folder that it is pulled to, where its title is a dot", () =>
      Effect.gen(function* () {
        const path = yield* docs
        const reference = yield* push(yield* ArtifactFolder.archive(path, { title: "." }))
        const root = yield* folder({ "own.md": "own" })
        yield* ArtifactFolder.pull(reference, root)
        expect(entries(root)).toEqual([...entries(path), "own.md"].sort())
      })
    )

    it.scoped("CP31: stays an archive where it is not to be unpacked, or does not say so", () =>
      Effect.gen(function* () {
        const archive = yield* ArtifactFolder.archive(yield* docs)
        const { bytes } = yield* packed(yield* docs)
        const kept = yield* folder()
        yield* ArtifactFolder.pull(yield* push(archive), kept, { unpack: false })
        expect(Fs.readFileSync(`${kept}/docs`).equals(bytes)).toBe(true)
        const unmarked = { title: "docs.tar.gz", mediaType: MediaType.layerTarGzip, source: bytes }
        const marked = (value: string) => ({
          ...unmarked,
          annotations: { [Annotations.unpack]: value }
        })
        for (const file of [unmarked, marked("false"), marked("TRUE")]) {
          const root = yield* folder()
          yield* ArtifactFolder.pull(yield* push(file), root)
          expect(Fs.readFileSync(`${root}/docs.tar.gz`).equals(bytes)).toBe(true)
        }
      })
    )

    it.scoped("CP31: is verified by the digest of its content before it appears", () =>
      Effect.gen(function* () {
        const tar = Tar.files({ "docs/": "", "docs/a": "a" })
        const root = yield* folder()
        const wrong = { [Annotations.contentDigest]: Digest.fromBytes(new Uint8Array(1)) }
        const failure = yield* Effect.flip(ArtifactFolder.pull(yield* pushTar(tar, wrong), root))
        expect(failure).toMatchObject({ _tag: "DigestMismatch", actual: Digest.fromBytes(tar) })
        expect(entries(root)).toEqual([])
        for (const annotations of [
          {},
          { [Annotations.contentDigest]: "no digest" },
          { [Annotations.contentDigest]: Digest.fromBytes(tar, "sha512") }
        ]) {
          const root = yield* folder()
          yield* ArtifactFolder.pull(yield* pushTar(tar, annotations), root)
          expect(read(root, "docs/a")).toBe("a")
        }
      })
    )

    it.scoped("may be compressed otherwise, and have its entries in any order", () =>
      Effect.gen(function* () {
        const tar = Tar.archive(
          Tar.entry({ name: "./docs/deep/link", type: "2", link: "../a" }),
          Tar.entry({ name: "docs/a", mode: 0o4755 }, "a"),
          Tar.entry({ name: "docs/b", type: "1", link: "docs/a" }),
          Tar.entry({ name: "docs", type: "5" })
        )
        const root = yield* folder()
        const annotations = { [Annotations.unpack]: "true" }
        const file = { title: "docs", source: tar, annotations }
        yield* ArtifactFolder.pull(yield* push(file), root)
        expect(read(root, "docs/deep/link")).toBe("a")
        expect(read(root, "docs/b")).toBe("a")
        expect(Fs.statSync(`${root}/docs/a`).mode & 0o7777).toBe(0o755)
      })
    )
  })

  describe("T11: an archive of a folder", () => {
    const entry = Tar.entry
    const link = (name: string, link: string) => entry({ name, type: "2", link })
    const refusals: ReadonlyArray<readonly [what: string, problem: string, archive: Uint8Array]> = [
      ["has a file beside it", "not in the folder", entry({ name: "other/a" }, "a")],
      ["has a file of a longer name", "not in the folder", entry({ name: "docs2" }, "a")],
      ["has a file above it", "leads out", entry({ name: "docs/../../secret" }, "a")],
      ["has an absolute file", "not in the folder", entry({ name: "/etc/passwd" }, "a")],
      ["is a file itself", "not a folder", entry({ name: "docs" }, "a")],
      ["is a link itself", "not a folder", link("docs", "elsewhere")],
      ["has an absolute link", "absolute target", link("docs/a", "/etc/passwd")],
      ["has a link out", "leads out", link("docs/a", "../secret")],
      [
        "has links that lead out together",
        "has a .. behind a name",
        Buffer.concat([link("docs/x/y", "../"), link("docs/out", "x/y/../secret")])
      ],
      [
        "has a hard link out",
        "no file before it",
        entry({ name: "docs/a", type: "1", link: "secret" })
      ],
      [
        "has a hard link to a link",
        "no file before it",
        Buffer.concat([link("docs/l", "a"), entry({ name: "docs/b", type: "1", link: "docs/l" })])
      ],
      [
        "writes through a link of its own",
        "not a folder",
        Buffer.concat([link("docs/l", "deep"), entry({ name: "docs/l/a" }, "a")])
      ],
      [
        "writes below a file",
        "not a folder",
        Buffer.concat([entry({ name: "docs/f" }, "f"), entry({ name: "docs/f/a" }, "a")])
      ],
      [
        "replaces a file of its own",
        "there twice",
        Buffer.concat([entry({ name: "docs/a" }, "a"), entry({ name: "docs/./a" }, "b")])
      ],
      [
        "has a folder in the place of a file",
        "there twice",
        Buffer.concat([entry({ name: "docs/a" }, "a"), entry({ name: "docs/a/", type: "5" })])
      ]
    ]
    it.scoped.each(refusals)("that %s is refused: nothing is written", ([, problem, entries_]) =>
      Effect.gen(function* () {
        const outside = yield* folder({ secret: "secret" })
        const root = Path.join(outside, "root")
        const reference = yield* pushTar(Tar.archive(entry({ name: "docs/ok" }, "ok"), entries_))
        const failure = yield* Effect.flip(ArtifactFolder.pull(reference, root))
        expect(failure).toMatchObject({ _tag: "InvalidLayer", reason: "Path" })
        expect(failure.message).toContain(problem)
        expect(entries(outside)).toEqual(["root", "secret"])
        expect(read(outside, "secret")).toBe("secret")
      })
    )

    it.scoped("that has a device or a pipe is unpacked without it", () =>
      Effect.gen(function* () {
        const root = yield* folder()
        const archive = Tar.archive(
          entry({ name: "docs/null", type: "3" }),
          entry({ name: "docs/pipe", type: "6" }),
          entry({ name: "docs/a" }, "a")
        )
        yield* ArtifactFolder.pull(yield* pushTar(archive), root)
        expect(entries(root)).toEqual(["docs", "docs/a"])
      })
    )

    it.scoped("that is larger than allowed, cut off or no archive is refused", () =>
      Effect.gen(function* () {
        const root = yield* folder()
        const large = Tar.files({ "docs/a": "a".repeat(100_000) })
        const failing = (reference: string, options?: ArtifactFolder.PullOptions) =>
          Effect.flip(ArtifactFolder.pull(reference, root, options))
        expect(yield* failing(yield* pushTar(large), { limit: 50_000 })).toMatchObject({
          _tag: "LimitExceeded",
          option: "limit"
        })
        expect(yield* failing(yield* pushTar(large.subarray(0, 5_000)))).toMatchObject({
          _tag: "InvalidLayer",
          reason: "Archive"
        })
        expect(yield* failing(yield* pushTar(new Uint8Array(600).fill(65)))).toMatchObject({
          _tag: "InvalidLayer"
        })
        expect(entries(root)).toEqual([])
      })
    )
  })
})
