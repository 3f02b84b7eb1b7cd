/** What some layers say of a path without those below, which readers of one file go by. */
import { expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import type { Entry } from "../../src/content/ImageLayer.js"
import * as FileTree from "../../src/content/internal/FileTree.js"

const names = ["a", "b", "c"]
const name = FastCheck.array(FastCheck.constantFrom(...names), {
  minLength: 1,
  maxLength: 3
}).map((parts) => parts.join("/"))

const entry = (path: string, fields: Partial<Entry> = {}): Entry => ({
  path,
  type: "file",
  size: 0,
  mode: 0,
  uid: 0,
  gid: 0,
  modified: 0,
  records: new Map(),
  ...fields
})

/** The folders that a path is in, as most programs write them before it. */
const foldersOf = (path: string): ReadonlyArray<Entry> =>
  path
    .split("/")
    .slice(0, -1)
    .map((_, at, parts) => entry(parts.slice(0, at + 1).join("/"), { type: "directory" }))

const target = FastCheck.constantFrom("a", "b/c", "/c", "../b", "..", ".", "c/../a", "nowhere")

const made: FastCheck.Arbitrary<Entry> = FastCheck.oneof(
  FastCheck.record({ path: name }).map(({ path }) => entry(path)),
  FastCheck.record({ path: name }).map(({ path }) => entry(path, { type: "directory" })),
  FastCheck.record({ path: name, target }).map(({ path, target }) =>
    entry(path, { type: "symlink", target })
  ),
  FastCheck.record({ path: name, target: name }).map(({ path, target }) =>
    entry(path, { type: "hardlink", target })
  ),
  name.map((path) => entry(path.replace(/([^/]*)$/, ".wh.$1"))),
  name.map((path) => entry(`${path}/.wh..wh..opq`))
)

const layer = FastCheck.array(
  FastCheck.tuple(made, FastCheck.constantFrom(true, true, true, false)).map(
    ([entry, hasFolders]) => (hasFolders ? [...foldersOf(entry.path), entry] : [entry])
  ),
  { maxLength: 4 }
).map((entries) => entries.flat())

const paths = names.flatMap((a) => [
  a,
  ...names.flatMap((b) => [`${a}/${b}`, ...names.map((c) => `${a}/${b}/${c}`)])
])

/** What the layers from one on say of a path. */
const seen = (layers: ReadonlyArray<ReadonlyArray<Entry>>, from: number) => {
  const tree = FileTree.make(from > 0)
  for (const [n, entries] of layers.entries()) if (n >= from) FileTree.apply(tree, n, entries)
  return (path: string): unknown => {
    const found = FileTree.lookup(tree, path)
    if (found === undefined) return "missing"
    if (FileTree.isUnknown(found)) return "unknown"
    if (FileTree.isProblem(found)) return "links"
    return FileTree.isFolder(found) ? "folder" : [found.inode.layer, found.inode.at]
  }
}

it("S18: what is known without the layers below is so with them", () => {
  let [known, asked] = [0, 0]
  for (const layers of FastCheck.sample(FastCheck.array(layer, { minLength: 2, maxLength: 4 }), {
    numRuns: Number(process.env["TREE_RUNS"] ?? 500),
    seed: Number(process.env["TREE_SEED"] ?? 18)
  })) {
    const whole = seen(layers, 0)
    for (let from = 1; from < layers.length; from++) {
      const some = seen(layers, from)
      for (const path of paths) {
        const found = some(path)
        asked++
        if (found === "unknown") continue
        known++
        expect([layers, from, path, found]).toEqual([layers, from, path, whole(path)])
      }
    }
  }
  expect(known / asked).toBeGreaterThan(0.05)
})

it("a whole image is known, and a file is without the layers below where its folders are", () => {
  const layers = [
    [entry("lib", { type: "symlink", target: "usr" }), entry("usr/x"), entry("app/x")],
    [...foldersOf("app/x"), entry("app/x")],
    [entry("lib/y")]
  ]
  expect(seen(layers, 1)("app/x")).toEqual([1, 1])
  // It can be below a link.
  expect(seen(layers, 1)("lib/y")).toBe("unknown")
  expect(seen(layers, 1)("app/y")).toBe("unknown")
  expect(seen(layers, 0)("lib/y")).toEqual([2, 0])
  expect(seen(layers, 0)("usr/y")).toEqual([2, 0])
})

it.each([
  ["a file", entry("lib/x"), [2, 0]],
  ["a folder", entry("lib/x", { type: "directory" }), "folder"],
  ["what removes it", entry("lib/.wh.x"), "missing"],
  ["what removes all", entry("lib/.wh..wh..opq"), "missing"],
  ["a hard link", entry("usr/x", { type: "hardlink", target: "lib/other" }), [0, 1]]
] as const)(
  "it is not known of a file over which %s can come to lie through a link",
  (_, over, found) => {
    const layers = [
      [entry("lib", { type: "symlink", target: "usr" }), entry("usr/other")],
      [...foldersOf("usr/x"), entry("usr/x")],
      [over]
    ]
    expect(seen(layers, 0)("usr/x")).toEqual(found)
    expect(seen(layers, 1)("usr/x")).toBe("unknown")
    expect(seen(layers.slice(0, 2), 1)("usr/x")).toEqual([1, 1])
  }
)

it("it is not known that there is nothing where a folder can have been made for a link", () => {
  const layers = [[entry("b", { type: "symlink", target: "a" })], [entry("b/c"), entry(".wh.a")]]
  expect(seen(layers, 0)("a")).toBe("folder")
  expect(seen(layers, 1)("a")).toBe("unknown")
})

it("a file to which a link leads is not replaced by a folder", () => {
  const layers = [[entry("b", { type: "symlink", target: "a" })], [entry("a")], [entry("b/c")]]
  expect(seen(layers, 0)("a")).toEqual([1, 0])
  expect(seen(layers, 1)("a")).toEqual([1, 0])
})
