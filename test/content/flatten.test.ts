/** Images flattened, to an archive and to a folder, beside what GNU tar extracts, base first. */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { afterAll, describe, expect, layer, it as test } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../src/ByteStream.js"
import * as Image from "../../src/content/Image.js"
import type { Entry } from "../../src/content/ImageLayer.js"
import * as ImageLayer from "../../src/content/ImageLayer.js"
import * as ImageFolder from "../../src/node/ImageFolder.js"
import * as NodeDecompression from "../../src/node/NodeDecompression.js"
import * as Digest from "../../src/spec/Digest.js"
import * as TarEncoding from "../../src/spec/internal/TarEncoding.js"
import * as TarReader from "../../src/spec/internal/TarReader.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { freshRepository, gather } from "../support/fixtures.js"
import * as Images from "../support/images.js"
import * as Tar from "../support/tar.js"

const root = Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-oci-flatten-"))
afterAll(() => Fs.rmSync(root, { recursive: true, force: true }))

let count = 0
const freshFolder = (): string => {
  const path = Path.join(root, String(count++))
  Fs.mkdirSync(path)
  return path
}

/** One entry of a layer that was made up. */
interface Made {
  readonly name: string
  readonly type: "0" | "1" | "2" | "5" | "whiteout" | "opaque"
  readonly link?: string
  readonly content?: string
  readonly mode?: number
}

const bytesOf = ({ content = "", link = "", mode = 0o644, name, type }: Made): Uint8Array => {
  const at = name.lastIndexOf("/") + 1
  const beside = (file: string) => `${name.slice(0, at)}${file}`
  if (type === "whiteout") return Tar.entry({ name: beside(`.wh.${name.slice(at)}`) })
  if (type === "opaque") return Tar.entry({ name: `${name}/.wh..wh..opq` })
  return Tar.entry({ name: type === "5" ? `${name}/` : name, type, link, mode }, content)
}

const archiveOf = (entries: ReadonlyArray<Made>) => Tar.archive(...entries.map(bytesOf))

const tar = (args: ReadonlyArray<string>, input: Uint8Array): boolean =>
  spawnSync("tar", args, { input, stdio: ["pipe", "ignore", "ignore"] }).status === 0

const isFolder = (path: string) => {
  try {
    return Fs.statSync(path).isDirectory()
  } catch {
    // Missing, or links in a circle.
    return false
  }
}

/** What GNU tar makes of layers, the base first: whether it could, and the folder. */
const extracted = (layers: ReadonlyArray<ReadonlyArray<Made>>) => {
  const folder = freshFolder()
  const isDone = layers.every((entries) => {
    for (const { name, type } of entries) {
      const path = Path.join(folder, name)
      const parent = Path.dirname(path)
      if (type === "whiteout" && isFolder(parent)) Fs.rmSync(path, { recursive: true, force: true })
      if (type === "opaque" && isFolder(path))
        for (const child of Fs.readdirSync(path))
          Fs.rmSync(Path.join(path, child), { recursive: true })
    }
    const files = entries.filter(({ type }) => type !== "whiteout" && type !== "opaque")
    return tar(["-x", "-p", "-C", folder], archiveOf(files))
  })
  return { folder, isDone }
}

/** What is kept of modes: files that belong to whoever runs this run as nobody else. */
const bits = process.getuid?.() === 0 ? 0o7777 : 0o1777

/** What is in a folder, by path: hard links by the first of their names. */
const seen = (folder: string) => {
  const names = new Map<number, string>()
  const found: Record<string, unknown> = {}
  const visit = (path: string) => {
    for (const name of Fs.readdirSync(Path.join(folder, path)).sort()) {
      const at = Path.join(path, name)
      const full = Path.join(folder, at)
      const stats = Fs.lstatSync(full)
      const first = names.get(stats.ino) ?? at
      names.set(stats.ino, first)
      found[at] = stats.isDirectory()
        ? "folder"
        : stats.isSymbolicLink()
          ? ["link", Fs.readlinkSync(full), first]
          : [stats.mode & bits, stats.mtimeMs, first, digestOf(full)]
      if (stats.isDirectory()) visit(at)
    }
  }
  visit("")
  return found
}

const digestOf = (path: string) => createHash("sha256").update(Fs.readFileSync(path)).digest("hex")

const pushed = (archives: ReadonlyArray<Uint8Array>) =>
  Effect.gen(function* () {
    const reference = `registry.example/${yield* freshRepository}:v1`
    yield* Images.push(reference, archives)
    return yield* Image.pull(reference)
  })

/** What an image is in an archive that GNU tar extracts, and in a folder. */
const flattened = (image: Image.Image) =>
  Effect.gen(function* () {
    const archive = yield* gather(Image.flatten(image))
    const ofArchive = freshFolder()
    expect(tar(["-x", "-p", "-C", ofArchive], archive)).toBe(true)
    const ofFolder = Path.join(root, String(count++))
    yield* ImageFolder.extract(image, ofFolder)
    return { archive, inArchive: seen(ofArchive), inFolder: seen(ofFolder) }
  })

const machine = Layer.mergeAll(
  MemoryRegistry.layerRegistries(),
  NodeDecompression.layer,
  NodeFileSystem.layer
)

const none = new Uint8Array(0)

/** The entries of an archive, whose last content may be missing. */
const entriesIn = (archive: Uint8Array, isWhole = true) => {
  const entries: Array<Entry> = []
  const reader = TarReader.make({ entry: (entry) => entries.push(entry), data: () => {} })
  expect(reader.push(archive)).toBeUndefined()
  if (isWhole) expect(reader.end()).toBeUndefined()
  return entries
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()

/** Paths of up to two parts, of the names that layers have. */
const paths = ["a", "b", "c"].flatMap((first) => [
  first,
  ...["a", "b", "c"].map((second) => `${first}/${second}`)
])

/** What a path of an archive holds, links followed within it as Linux does, or why nothing. */
const contentIn = (archive: Uint8Array) => {
  const found = new Map<string, { readonly entry: Entry; text: string }>()
  let last = ""
  const reader = TarReader.make({
    entry: (entry) => {
      const linked = entry.type === "hardlink" ? found.get(entry.target ?? "") : undefined
      last = entry.path
      found.set(last, linked ?? { entry, text: "" })
    },
    data: (bytes) => {
      const file = found.get(last)
      if (file !== undefined) file.text += text(bytes)
    }
  })
  expect(reader.push(archive) ?? reader.end()).toBeUndefined()
  return (path: string): string => {
    const at: Array<string> = []
    const rest = path.split("/").reverse()
    for (let links = 0; rest.length > 0; ) {
      const part = rest.pop() ?? ""
      if (part === "..") at.pop()
      if (part === "" || part === "." || part === "..") continue
      const { entry, text = "" } = found.get([...at, part].join("/")) ?? {}
      if (entry?.type === "symlink") {
        const { target = "" } = entry
        if (++links > 40) return "Links"
        if (target.startsWith("/")) at.length = 0
        rest.push(...target.split("/").reverse())
      } else if (entry?.type === "directory") at.push(part)
      else return entry === undefined || rest.length > 0 ? "Missing" : text
    }
    return "NotAFile"
  }
}

const plain: Entry = {
  path: "plain",
  type: "file",
  size: 0,
  mode: 0o644,
  uid: 0,
  gid: 0,
  modified: 0,
  records: new Map()
}

/** Layers of a few names, so that they meet often. */
const layersOf = (() => {
  const name = FastCheck.array(FastCheck.constantFrom("a", "b", "c"), {
    minLength: 1,
    maxLength: 3
  }).map((parts) => parts.join("/"))
  const made: FastCheck.Arbitrary<Made> = FastCheck.oneof(
    FastCheck.record({
      type: FastCheck.constant("0" as const),
      name,
      content: FastCheck.constantFrom("", "1", "2", "x".repeat(600)),
      mode: FastCheck.constantFrom(0o644, 0o4755, 0o600)
    }),
    FastCheck.record({
      type: FastCheck.constant("5" as const),
      name,
      mode: FastCheck.constant(0o755)
    }),
    FastCheck.record({ type: FastCheck.constant("1" as const), name, link: name }),
    FastCheck.record({
      type: FastCheck.constant("2" as const),
      name,
      link: FastCheck.constantFrom("a", "b/c", "c", "/b", "../c", "..", "nowhere")
    }),
    FastCheck.record({ type: FastCheck.constantFrom("whiteout" as const, "opaque" as const), name })
  )
  return FastCheck.array(FastCheck.array(made, { maxLength: 6 }), { minLength: 1, maxLength: 4 })
})()

layer(machine, { excludeTestServices: true })((it) => {
  describe("equal to extraction from the base up", () => {
    it.effect("for images that were made up", () =>
      Effect.gen(function* () {
        const spool = yield* Image.spool({ folder: freshFolder() })
        let compared = 0
        for (const layers of FastCheck.sample(layersOf, {
          numRuns: Number(process.env["FLATTEN_RUNS"] ?? 25),
          seed: 18
        })) {
          const { folder, isDone } = extracted(layers)
          const image = yield* pushed(layers.map(archiveOf))
          const result = yield* Effect.either(flattened(image))
          const spooled = yield* Effect.either(gather(Image.flatten(image, { spool })))
          expect(Either.map(spooled, (archive) => Digest.fromBytes(archive))).toEqual(
            Either.map(result, ({ archive }) => Digest.fromBytes(archive))
          )
          if (!isDone) continue
          const expected = seen(folder)
          if (result._tag === "Left") throw new Error(`${JSON.stringify(layers)}: ${result.left}`)
          expect([layers, result.right.inArchive]).toEqual([layers, expected])
          expect([layers, result.right.inFolder]).toEqual([layers, expected])
          compared++
        }
        expect(compared).toBeGreaterThan(5)
      })
    )

    it.effect("S19: hard links have what they led to at their layer", () =>
      Effect.gen(function* () {
        const layers: ReadonlyArray<ReadonlyArray<Made>> = [
          [
            { name: "a", type: "0", content: "base" },
            { name: "b", type: "1", link: "a" },
            { name: "c", type: "1", link: "a" },
            { name: "d", type: "0", content: "gone" },
            { name: "e", type: "1", link: "d" }
          ],
          [
            { name: "a", type: "0", content: "overwritten" },
            { name: "d", type: "whiteout" },
            { name: "f", type: "1", link: "b" }
          ],
          [{ name: "g", type: "1", link: "a" }]
        ]
        const { inArchive, inFolder } = yield* flattened(yield* pushed(layers.map(archiveOf)))
        const expected = seen(extracted(layers).folder)
        expect(inArchive).toEqual(expected)
        expect(inFolder).toEqual(expected)
        const nameOf = (name: string) => (expected[name] as ReadonlyArray<unknown>)[2]
        expect(["b", "c", "f", "e", "g"].map(nameOf)).toEqual(["b", "b", "b", "e", "a"])
      })
    )

    it.effect("S20: whiteouts act on lower layers only, and none is put out", () =>
      Effect.gen(function* () {
        const image = yield* pushed([
          Tar.files({ "d/a": "1", "d/b": "1", "e/a": "1", ".wh.nothing": "", f: "1" }),
          Tar.files({
            "d/new": "2",
            "d/.wh..wh..opq": "",
            "e/.wh..wh.aufs": "",
            "e/.wh..wh.plnk/1": "",
            ".wh..wh.orph": "",
            f: "2",
            ".wh.f": ""
          })
        ])
        const { archive } = yield* flattened(image)
        expect(entriesIn(archive).map(({ path }) => path)).toEqual(["d", "e", "e/a", "d/new", "f"])
      })
    )
  })

  describe("with a spool", () => {
    const images = Effect.gen(function* () {
      let read: ReadonlyArray<number> = []
      const { layers, ...image } = yield* pushed([
        Tar.files({ a: "1".repeat(3_000_000), b: "1" }),
        Tar.files({ b: "2" }),
        Tar.files({ c: "3" })
      ])
      const counted = layers.map((layer, n) => ({
        ...layer,
        content: Stream.suspend(() => {
          read = [...read, n]
          return layer.content
        })
      }))
      return { image: { ...image, layers: counted }, read: () => read.toSorted() }
    })

    it.effect("each layer is read once, and nothing is left of it", () =>
      Effect.gen(function* () {
        const folder = freshFolder()
        const spool = yield* Image.spool({ folder })
        const { image, read } = yield* images
        const archive = yield* gather(Image.flatten(image, { spool }))
        expect(read()).toEqual([0, 1, 2])
        expect(Fs.readdirSync(folder)).toEqual([])
        expect(Buffer.compare(archive, yield* gather(Image.flatten(image)))).toBe(0)
        const target = Path.join(freshFolder(), "image")
        yield* ImageFolder.extract(image, target, { spool })
        expect(Fs.readFileSync(Path.join(target, "b"), "utf8")).toBe("2")
        expect(Fs.readdirSync(folder)).toEqual([])
      })
    )

    it.effect("S17: nothing comes of it where a layer is another, and nothing is left", () =>
      Effect.gen(function* () {
        const folder = freshFolder()
        const spool = yield* Image.spool({ folder })
        const { image } = yield* images
        const [first, ...rest] = image.layers
        if (first === undefined) return yield* Effect.dieMessage("three layers")
        const other = { ...image, layers: [...rest, { ...first, diffId: Digest.fromBytes(none) }] }
        let size = 0
        const flat = ByteStream.tap(Image.flatten(other, { spool }), ({ length }) => {
          size += length
        })
        expect(yield* Effect.flip(Stream.runDrain(flat))).toMatchObject({ _tag: "DigestMismatch" })
        expect(size).toBe(0)
        expect(Fs.readdirSync(folder)).toEqual([])
      })
    )

    it.effect("nothing is left where it is left in the middle", () =>
      Effect.gen(function* () {
        const folder = freshFolder()
        const spool = yield* Image.spool({ folder })
        const { image } = yield* images
        yield* Stream.runHead(Image.flatten(image, { spool }))
        expect(Fs.readdirSync(folder)).toEqual([])
      })
    )

    it.effect("fails where the folder is not there", () =>
      Effect.gen(function* () {
        const folder = Path.join(root, "none")
        const spool = yield* Image.spool({ folder })
        const { image } = yield* images
        expect(yield* Effect.flip(gather(Image.flatten(image, { spool })))).toMatchObject({
          _tag: "StorageFailure",
          path: folder
        })
      })
    )
  })

  describe("what entries have", () => {
    it.effect("S22: extended attributes are kept byte for byte", () =>
      Effect.gen(function* () {
        const capability = Uint8Array.of(1, 0, 0, 2, 0x0a, 0xff, 0x80, 0x3d, 0x0a, 0x39, 0x20)
        const archive = Tar.archive(
          Tar.extended({ comment: "of all" }, "g"),
          Tar.extended({
            "SCHILY.xattr.security.capability": capability,
            mtime: "1700000000.123456789"
          }),
          Tar.entry({ name: "ping" }, "content")
        )
        const { archive: flat } = yield* flattened(yield* pushed([archive]))
        const [entry] = entriesIn(flat)
        if (entry === undefined) return yield* Effect.dieMessage("one entry")
        expect([...entry.records.keys()]).toEqual(["SCHILY.xattr.security.capability", "mtime"])
        expect([...(ImageLayer.attributes(entry).get("security.capability") ?? [])]).toEqual([
          ...capability
        ])
        expect(text(entry.records.get("mtime") ?? new Uint8Array(0))).toBe("1700000000.123456789")
      })
    )

    test("S24: numbers and names of any size survive a tour through GNU tar", () => {
      const long = `${"d".repeat(150)}/${"ű".repeat(75)}`
      const entries: ReadonlyArray<Entry> = [
        { ...plain, path: "uid", uid: 4_294_967_294, gid: 4_294_967_294 },
        { ...plain, path: "old", modified: -1 },
        { ...plain, path: "far", modified: 2 ** 34 },
        { ...plain, path: long },
        { ...plain, path: `${"d".repeat(90)}/${"n".repeat(90)}` },
        { ...plain, path: `${"é".repeat(60)}` },
        { ...plain, path: "a\udcff" },
        { ...plain, path: "link", type: "symlink", target: `/${"t".repeat(300)}` },
        { ...plain, path: "named", userName: "u".repeat(40), groupName: "groß" },
        { ...plain, path: "null", type: "characterDevice", device: { major: 1, minor: 3 } },
        { ...plain, path: "d", type: "directory", mode: 0o1777 },
        { ...plain, path: "9 GiB", size: 9 * 1024 ** 3 }
      ]
      const archive = Buffer.concat(entries.map(TarEncoding.header))
      const withoutRecords = ({ records: _, ...entry }: Entry) => entry
      expect(entriesIn(archive, false).map(withoutRecords)).toEqual(entries.map(withoutRecords))
      const args = ["-tv", "--numeric-owner", "--quoting-style=literal", "--full-time"]
      const env = { ...process.env, TZ: "UTC" }
      const { stdout } = spawnSync("tar", args, { input: archive, encoding: "latin1", env })
      const lines = stdout
        .trim()
        .split("\n")
        .map((line) => Buffer.from(line, "latin1").toString())
      expect(lines.length).toBe(entries.length)
      expect(lines[0]).toContain("4294967294/4294967294")
      expect(lines[1]).toContain("1969-12-31 23:59:59")
      expect(lines[3]).toContain(long)
      expect(lines[7]).toContain(`-> /${"t".repeat(300)}`)
      expect(lines[11]).toContain(" 9663676416 ")
    })
  })

  describe("one file read", () => {
    it.effect("S18: is what it is when the image is flattened", () =>
      Effect.gen(function* () {
        let compared = 0
        for (const layers of FastCheck.sample(layersOf, {
          numRuns: Number(process.env["FLATTEN_RUNS"] ?? 40),
          seed: Number(process.env["FLATTEN_SEED"] ?? 19)
        })) {
          const image = yield* pushed(layers.map(archiveOf))
          const outcome = yield* Effect.either(gather(Image.flatten(image)))
          if (outcome._tag === "Left") continue
          const expected = contentIn(outcome.right)
          for (const path of paths) {
            const found = yield* Image.readFile(image, path).pipe(
              Effect.map(({ bytes }) => text(bytes)),
              Effect.catchTag("FileUnknown", ({ reason }) => Effect.succeed(reason))
            )
            expect([layers, path, found]).toEqual([layers, path, expected(path)])
            compared++
          }
        }
        expect(compared).toBeGreaterThan(100)
      })
    )
  })
})
