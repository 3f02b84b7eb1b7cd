import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { expect, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as Artifact from "../../src/content/Artifact.js"
import * as ArtifactFolder from "../../src/node/ArtifactFolder.js"
import * as Registries from "../../src/Registries.js"
import { Registry } from "../../src/Registry.js"
import { TransportFailure } from "../../src/RegistryError.js"
import * as Annotations from "../../src/spec/Annotations.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Transfer from "../../src/Transfer.js"
import { freshRepository, utf8 } from "../support/fixtures.js"
import { folder } from "../support/machine.js"

const artifactType = "application/vnd.example.v1"

const read = (...path: ReadonlyArray<string>) =>
  Effect.promise(() => Fs.readFile(Path.join(...path), "utf8"))

const entries = (root: string) =>
  Effect.promise(async () => (await Fs.readdir(root, { recursive: true })).sort())

const name = Effect.map(freshRepository, (repository) => `ghcr.io/${repository}`)

/** Pushes layers as they are, as no push of ours would make them. */
const pushRaw = Effect.fnUntraced(function* (
  reference: string,
  layers: ReadonlyArray<{ readonly title?: string; readonly text: string }>
) {
  const { registry, repository } = yield* Registries.open(reference)
  const descriptors = yield* Effect.forEach(layers, ({ text, title }) =>
    Effect.map(registry.putBlob(repository, BlobSource.fromBytes(utf8(text))), (descriptor) => ({
      ...descriptor,
      ...(title !== undefined && { annotations: { [Annotations.title]: title } })
    }))
  )
  yield* registry.putBlob(repository, BlobSource.fromBytes(utf8("{}")))
  const manifest = Manifest.image({ artifactType, config: Descriptor.empty, layers: descriptors })
  return yield* Registries.resolve(
    `${reference}@${(yield* registry.putManifest(repository, manifest)).digest}`
  )
})

const transfers = (
  pull: ReturnType<typeof ArtifactFolder.pull>
): Effect.Effect<ReadonlyArray<string>, ArtifactFolder.PullError, Registries.Registries> =>
  Effect.gen(function* () {
    const seen: Array<string> = []
    yield* Transfer.observe(pull, (event) =>
      Effect.sync(() => {
        if (event._tag === "Completed") seen.push(event.skipped ? "there" : "downloaded")
      })
    )
    return seen
  })

layer(MemoryRegistry.layerRegistries())("an artifact in a folder", (it) => {
  it.scoped("has each file under its title, in folders that are made", () =>
    Effect.gen(function* () {
      const reference = `${yield* name}:1`
      yield* Artifact.push(reference, {
        artifactType,
        files: [
          { title: "a.txt", source: utf8("a") },
          { title: "docs/deep/b.txt", source: utf8("b") }
        ]
      })
      const root = Path.join(yield* folder({ "out/other.txt": "stays" }), "out")
      const { artifactType: type, files } = yield* ArtifactFolder.pull(reference, root)
      expect(type).toMatchObject({ value: artifactType })
      expect(files.map(({ path }) => Path.relative(root, path))).toEqual([
        "a.txt",
        "docs/deep/b.txt"
      ])
      expect(yield* read(root, "docs/deep/b.txt")).toBe("b")
      expect(yield* entries(root)).toEqual([
        "a.txt",
        "docs",
        "docs/deep",
        "docs/deep/b.txt",
        "other.txt"
      ])
    })
  )

  it.scoped("has a file under its digest when a title is missing, or leads out of the folder", () =>
    Effect.gen(function* () {
      const root = Path.join(yield* folder(), "missing/out")
      const { reference } = yield* pushRaw(yield* name, [
        { text: "untitled" },
        { text: "untitled" },
        { text: "up", title: "../up.txt" },
        { text: "root", title: "/tmp/root.txt" },
        { text: "drive", title: "C:\\drive.txt" }
      ])
      yield* ArtifactFolder.pull(reference, root)
      expect(yield* entries(root)).toEqual(
        ["untitled", "up", "root", "drive"]
          .map((text) => Digest.fromBytes(utf8(text)).replace(":", "-"))
          .sort()
      )
    })
  )

  it.scoped("is refused, with nothing downloaded, when two files have one name", () =>
    Effect.gen(function* () {
      const root = Path.join(yield* folder(), "out")
      const same = [
        { text: "1", title: "a.txt" },
        { text: "1", title: "a.txt" }
      ]
      yield* ArtifactFolder.pull((yield* pushRaw(yield* name, same)).reference, root)
      expect(yield* entries(root)).toEqual(["a.txt"])

      const refusals = [
        ["a.txt", "is another file of the name of layers[0], and would replace it"],
        ["./a.txt", "is another file of the name of layers[0], and would replace it"],
        ["a.txt/b", "is in a folder of the name of layers[0], which is a file"]
      ] as const
      for (const [title, problem] of refusals) {
        const { reference } = yield* pushRaw(yield* name, [...same, { text: "2", title }])
        const empty = Path.join(yield* folder(), "out")
        const error = yield* Effect.flip(ArtifactFolder.pull(reference, empty))
        expect(error).toMatchObject({ _tag: "InvalidManifest", path: "layers[2]" })
        expect(error.message).toBe(`${reference}: layers[2] ${problem}`)
        expect(yield* Effect.promise(() => Fs.readdir(Path.dirname(empty)))).toEqual([])
      }
    })
  )

  it.scoped("has only the files that are wanted, whatever the others are", () =>
    Effect.gen(function* () {
      const { reference } = yield* pushRaw(yield* name, [
        { text: "1", title: "a.txt" },
        { text: "2", title: "b.bin" },
        { text: "3", title: "b.bin" },
        { text: "4", title: "docs/c.txt" }
      ])
      const root = yield* folder()
      const { files } = yield* ArtifactFolder.pull(reference, root, { files: { title: "*.txt" } })
      expect(files.map(({ path }) => Path.relative(root, path))).toEqual(["a.txt", "docs/c.txt"])
      expect(yield* entries(root)).toEqual(["a.txt", "docs", "docs/c.txt"])
    })
  )

  it.scoped("CP29: has one content under all its names, from one download", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "2": "same" })
      const reference = `${yield* name}:1`
      const titled = (text: string, ...titles: ReadonlyArray<string>) =>
        titles.map((title) => ({ title, source: utf8(text) }))
      yield* Artifact.push(reference, {
        artifactType,
        files: [...titled("same", "1", "2", "deep/3"), ...titled("other", "4", "5")]
      })
      const pull = ArtifactFolder.pull(reference, root)
      expect(yield* transfers(pull)).toEqual(["there", "downloaded"])
      for (const title of ["1", "2", "deep/3"]) expect(yield* read(root, title)).toBe("same")
      for (const title of ["4", "5"]) expect(yield* read(root, title)).toBe("other")
      expect((yield* pull).files.map(({ skipped }) => skipped)).toEqual(Array(5).fill(true))
    })
  )

  it.scoped("leaves what is there, all of it, unless told to replace it", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "1": "first", "3": "third", other: "other" })
      yield* Effect.promise(() => Fs.symlink(Path.join(root, "other"), Path.join(root, "4")))
      const reference = `${yield* name}:1`
      const files = ["1", "2", "3", "4"].map((title) => ({ title, source: utf8(title) }))
      yield* Artifact.push(reference, { artifactType, files })
      const seen: Array<string> = []
      const failure = yield* Effect.flip(
        Transfer.observe(ArtifactFolder.pull(reference, root), ({ _tag }) =>
          Effect.sync(() => seen.push(_tag))
        )
      )
      const paths = ["1", "3", "4"].map((title) => Path.join(root, title))
      expect(failure).toMatchObject({ _tag: "FileExists", paths })
      expect(failure.message).toBe(
        `Not replaced, since the content is another one: ${paths.join(", ")}: ` +
          "move them away, or use the option overwrite"
      )
      expect(seen).toEqual([])
      expect(yield* entries(root)).toEqual(["1", "3", "4", "other"])
      expect(yield* read(root, "1")).toBe("first")

      yield* ArtifactFolder.pull(reference, root, { overwrite: true })
      for (const { title } of files) expect(yield* read(root, title)).toBe(title)
      expect(yield* read(root, "other")).toBe("other")
      expect((yield* Effect.promise(() => Fs.lstat(`${root}/4`))).isFile()).toBe(true)
    })
  )

  it.scoped("T11: goes through no link to where it leads", () =>
    Effect.gen(function* () {
      const elsewhere = yield* folder({ "a.txt": "a" })
      const root = yield* folder()
      yield* Effect.promise(() => Fs.symlink(elsewhere, Path.join(root, "docs")))
      const reference = `${yield* name}:1`
      for (const text of ["a", "b"]) {
        const files = [{ title: "docs/a.txt", source: utf8(text) }]
        yield* Artifact.push(reference, { artifactType, files })
        for (const overwrite of [false, true])
          expect(
            yield* Effect.flip(ArtifactFolder.pull(reference, root, { overwrite }))
          ).toMatchObject({ _tag: "StorageFailure", path: Path.join(root, "docs") })
      }
      expect(yield* read(elsewhere, "a.txt")).toBe("a")
    })
  )

  it.scoped("downloads only what is not there already, byte for byte", () =>
    Effect.gen(function* () {
      const root = yield* folder({ "same.txt": "same", "other.txt": "othEr", "long.txt": "longer" })
      const reference = `${yield* name}:1`
      yield* Artifact.push(reference, {
        artifactType,
        files: ["same", "other", "long"].map((text) => ({
          title: `${text}.txt`,
          source: utf8(text)
        }))
      })
      const pull = ArtifactFolder.pull(reference, root, { concurrency: 1, overwrite: true })
      expect(yield* transfers(pull)).toEqual(["there", "downloaded", "downloaded"])
      expect(yield* read(root, "other.txt")).toBe("other")
      expect(yield* read(root, "long.txt")).toBe("long")
      expect(yield* transfers(pull)).toEqual(["there", "there", "there"])
    })
  )

  it.scoped("continues with the byte where a pull was cut off", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const context = yield* Layer.build(MemoryRegistry.layer())
      const memory = Context.get(context, Registry)
      const starts: Array<number> = []
      const failure = new TransportFailure({ reason: "Reset" })
      const cut = Registries.layerFrom(() =>
        Effect.succeed({
          ...memory,
          getBlob: (repository, blob) =>
            Stream.concat(Stream.take(memory.getBlob(repository, blob), 1), Stream.fail(failure)),
          getBlobRange: (repository, digest, range) => {
            starts.push(range.start)
            return memory.getBlobRange(repository, digest, range)
          }
        } satisfies Registry.Service)
      )
      const source = new Uint8Array(5 * 1_048_576).fill(7)
      const program = Effect.gen(function* () {
        const reference = "ghcr.io/owner/model:1"
        yield* Artifact.push(reference, { artifactType, files: [{ title: "model.bin", source }] })
        const pull = ArtifactFolder.pull(reference, root)
        expect(yield* Effect.either(pull)).toEqual(Either.left(failure))
        yield* pull
      })
      yield* Effect.provide(program, cut)
      expect(starts.every((start) => start > 0 && start < source.length)).toBe(true)
      expect(starts).toHaveLength(1)
      const saved = yield* Effect.promise(() => Fs.readFile(Path.join(root, "model.bin")))
      expect(saved.equals(source)).toBe(true)
    })
  )

  it.scoped("tells how far all of it is, from nothing to all", () =>
    Effect.gen(function* () {
      const root = yield* folder({ there: "there" })
      const reference = `${yield* name}:1`
      const large = new Uint8Array(5 * 1_048_576).fill(7)
      yield* Artifact.push(reference, {
        artifactType,
        files: [
          { title: "there", source: utf8("there") },
          { title: "a", source: large },
          { title: "b", source: large },
          { title: "c", source: utf8("c") }
        ]
      })
      const seen: Array<ArtifactFolder.Progress> = []
      const events: Array<string> = []
      const { summary } = yield* Transfer.observe(
        ArtifactFolder.pull(reference, root, {
          onProgress: (progress) => Effect.sync(() => seen.push(progress))
        }),
        ({ _tag }) => Effect.sync(() => events.push(_tag))
      )
      const known = { files: 4, bytes: large.length + 6 }
      const present = { files: 1, bytes: 5 }
      expect(seen[0]).toEqual({
        known,
        present,
        moved: { files: 0, bytes: 0 },
        rate: 0,
        fraction: 5 / known.bytes
      })
      const all = { known, present, moved: { files: 3, bytes: large.length + 1 } }
      expect(seen.at(-1)).toMatchObject({ ...all, fraction: 1 })
      expect(summary).toEqual(all)
      const fractions = seen.map(({ fraction }) => fraction)
      expect(fractions).toEqual([...fractions].sort((a, b) => a - b))
      // Whoever observes the transfers does so all the same.
      expect(events.filter((tag) => tag === "Completed")).toHaveLength(3)
      const again = yield* ArtifactFolder.pull(reference, root)
      expect(again.summary).toEqual({ known, present: known, moved: { files: 0, bytes: 0 } })
    })
  )

  it.scoped("counts a name that is missing of what is there under another one (CP29)", () =>
    Effect.gen(function* () {
      const root = yield* folder({ a: "same" })
      const reference = `${yield* name}:1`
      const files = ["a", "b", "c"].map((title) => ({ title, source: utf8("same") }))
      yield* Artifact.push(reference, { artifactType, files })
      const { summary } = yield* ArtifactFolder.pull(reference, root)
      expect(summary).toEqual({
        known: { files: 3, bytes: 4 },
        present: { files: 1, bytes: 4 },
        moved: { files: 2, bytes: 0 }
      })
    })
  )

  it.scoped("says which reference is not one, and which artifact is not there", () =>
    Effect.gen(function* () {
      const root = yield* folder()
      const failing = (reference: string) => Effect.flip(ArtifactFolder.pull(reference, root))
      expect(yield* failing("https://ghcr.io/a")).toMatchObject({ _tag: "InvalidReference" })
      expect(yield* failing(`${yield* name}:1`)).toMatchObject({ _tag: "NameUnknown" })
      expect(yield* entries(root)).toEqual([])
    })
  )
})
