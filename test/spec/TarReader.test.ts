/** Tar archives as they are read: with the names and sizes of GNU tar, or refused. */
import { spawnSync } from "node:child_process"
import { describe, expect, it } from "@effect/vitest"
import * as PaxRecords from "../../src/spec/internal/PaxRecords.js"
import type { Entry, Problem } from "../../src/spec/internal/TarEntry.js"
import * as TarPath from "../../src/spec/internal/TarPath.js"
import * as TarReader from "../../src/spec/internal/TarReader.js"
import { inputs } from "../fuzz/inputs.js"
import { utf8 } from "../support/fixtures.js"
import * as Tar from "../support/tar.js"

interface Read {
  readonly entries: ReadonlyArray<Entry>
  readonly contents: ReadonlyArray<string>
  readonly problem: Problem | undefined
}

const read = (archive: Uint8Array, step = archive.length): Read => {
  const entries: Array<Entry> = []
  const contents: Array<Array<Uint8Array>> = []
  const reader = TarReader.make({
    entry: (entry) => {
      entries.push(entry)
      contents.push([])
    },
    data: (bytes) => contents.at(-1)?.push(bytes.slice())
  })
  let problem: Problem | undefined
  for (let at = 0; at < archive.length && problem === undefined; at += step)
    problem = reader.push(archive.subarray(at, at + step))
  return {
    entries,
    contents: contents.map((parts) => Buffer.concat(parts).toString()),
    problem: problem ?? reader.end()
  }
}

const one = (archive: Uint8Array): Entry => {
  const { entries, problem } = read(archive)
  expect(problem).toBeUndefined()
  expect(entries.length).toBe(1)
  return entries[0] as Entry
}

/** Names and sizes as GNU tar lists them, in its order. */
const gnu = (archive: Uint8Array): ReadonlyArray<readonly [name: string, size: number]> => {
  const lines = (...args: ReadonlyArray<string>) =>
    spawnSync("tar", [...args, "-P", "--quoting-style=literal"], {
      input: archive,
      encoding: "utf8"
    })
      .stdout.split("\n")
      .filter((line) => line !== "")
  const sizes = lines("-tv", "--numeric-owner").map((line) =>
    Number(/^\S+ \S+ +(\d+) /.exec(line)?.[1])
  )
  return lines("-t").map((name, n) => [name, sizes[n] ?? Number.NaN] as const)
}

const listed = ({ entries }: Read) =>
  entries.map(({ path, size, type }) => [type === "directory" ? `${path}/` : path, size] as const)

describe("entries", () => {
  const archive = Tar.archive(
    Tar.entry({ name: "etc/", type: "5", mode: 0o755 }),
    Tar.entry({ name: "etc/hosts" }, "127.0.0.1 localhost\n"),
    Tar.entry({ name: "bin/sh", type: "2", link: "/bin/busybox" }),
    Tar.entry({ name: "etc/hosts2", type: "1", link: "./etc/hosts" }),
    Tar.entry({ name: "empty" }),
    Tar.entry({ name: "large" }, "x".repeat(1500))
  )

  it("come in their order with their contents, however the bytes are cut", () => {
    const whole = read(archive)
    expect(whole.problem).toBeUndefined()
    expect(whole.entries).toMatchObject([
      { path: "etc", type: "directory", mode: 0o755 },
      { path: "etc/hosts", type: "file", size: 20, mode: 0o644 },
      { path: "bin/sh", type: "symlink", target: "/bin/busybox" },
      { path: "etc/hosts2", type: "hardlink", target: "etc/hosts" },
      { path: "empty", size: 0 },
      { path: "large", size: 1500 }
    ])
    expect(whole.contents[5]).toBe("x".repeat(1500))
    for (const step of [1, 3, 511, 512, 513, 1024]) expect(read(archive, step)).toEqual(whole)
  })

  it("that end without the blocks of an end are all", () => {
    expect(read(archive.subarray(0, -1024)).problem).toBeUndefined()
  })

  it("are cut off at any byte but between entries: a problem", () => {
    const ends = new Set<number>([0])
    let at = 0
    for (const size of [512, 1024, 512, 512, 512, 512 + 1536]) {
      at += size
      ends.add(at)
    }
    for (let end = 0; end < at; end += 64)
      expect(read(archive.subarray(0, end)).problem === undefined).toBe(ends.has(end))
  })

  it("of GNU tar, and with names and links of any length, are read", () => {
    const long = `${"deep/".repeat(40)}${"n".repeat(90)}`
    expect(one(Tar.archive(Tar.longName(long), Tar.entry({ name: "cut" }))).path).toBe(long)
    expect(
      one(
        Tar.archive(
          Tar.longName(long, "K"),
          Tar.entry({ name: "link", type: "2", link: "cut", magic: "ustar  \0" })
        )
      )
    ).toMatchObject({ path: "link", target: long })
    expect(one(Tar.archive(Tar.entry({ name: "b", prefix: "a/c" }))).path).toBe("a/c/b")
    expect(one(Tar.archive(Tar.extended({ path: long }), Tar.entry({ name: "x" }))).path).toBe(long)
  })

  it("S24: have large numbers", () => {
    const base256 = Buffer.alloc(12)
    base256[0] = 0x80
    base256.writeBigUInt64BE(9n * 1024n ** 3n, 4)
    const archive = Buffer.concat([
      Tar.extended({ uid: "4294967294", mtime: "-1.5" }),
      Tar.header({ name: "big", size: base256.toString("latin1") })
    ])
    archive.set(base256, archive.length - 512 + 124)
    const sum = archive
      .subarray(-512)
      .reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0)
    archive.set(utf8(`${sum.toString(8).padStart(6, "0")}\0 `), archive.length - 512 + 148)
    expect(read(archive).entries).toMatchObject([
      { path: "big", size: 9 * 1024 ** 3, uid: 4294967294, modified: -1.5 }
    ])
  })

  it("have names that are bytes, each a string of its own", () => {
    for (const bytes of [
      [0x61, 0xff, 0x62],
      [0xc3, 0x28],
      [0xed, 0xa0, 0x80],
      [0xf0, 0x9f, 0x92],
      [0xef, 0xbb, 0xbf, 0x61]
    ]) {
      const name = TarPath.decode(Uint8Array.from(bytes))
      expect([...TarPath.encode(name)]).toEqual(bytes)
    }
    expect(one(Tar.archive(Tar.entry({ name: Uint8Array.of(0x61, 0xff) }))).path).toBe("a\udcff")
    expect(TarPath.decode(utf8("Főtanúsítvány 💡"))).toBe("Főtanúsítvány 💡")
  })
})

describe("S22: records of extended headers are bytes, cut by their lengths", () => {
  const capability = Uint8Array.of(1, 0, 0, 2, 0x0a, 0xff, 0x80, 0x3d, 0x0a, 0x39, 0x20, 0x61, 0x3d)

  it("capabilities with line feeds and invalid UTF-8 stay as they are", () => {
    const entry = one(
      Tar.archive(
        Tar.extended({ "SCHILY.xattr.security.capability": capability, path: "ping" }),
        Tar.entry({ name: "x" }, "content")
      )
    )
    expect(entry.path).toBe("ping")
    expect([...(entry.records.get("SCHILY.xattr.security.capability") ?? [])]).toEqual([
      ...capability
    ])
  })

  it("come out again as they came in", () => {
    const records = [
      ["a", capability],
      ["b", utf8("x".repeat(93))],
      ["c", utf8("x".repeat(94))],
      ["d", utf8("x".repeat(991))]
    ] as const
    expect(PaxRecords.parse(PaxRecords.encode(records))).toEqual(new Map(records))
  })

  it.each([
    ["a length too short", "5 path=x\n"],
    ["a length too long", "99 path=x\n"],
    ["no length", "path=x\n"],
    ["a negative length", "-9 path=x\n"],
    ["no value", "7 path\n"],
    ["no keyword", "5 =x\n"],
    ["a length of zero", "0 path=x\n"],
    ["an endless length", `${"1".repeat(20)} path=x\n`]
  ])("%s is a problem", (_, records) => {
    const archive = Tar.archive(
      Tar.entry({ name: "p", type: "x" }, records),
      Tar.entry({ name: "f" })
    )
    expect(read(archive).problem).toMatchObject({ reason: "Archive" })
  })
})

describe("S23: what an archive holds is what GNU tar sees", () => {
  const second = Tar.entry({ name: "second" }, "2")
  const cases: Readonly<Record<string, Uint8Array>> = {
    "a size before a long name is that of the file": Tar.archive(
      Tar.extended({ size: "512" }),
      Tar.longName("long name"),
      Tar.header({ name: "short", size: 1 }),
      Tar.header({ name: "not an entry" }),
      second
    ),
    "records reach the next file only": Tar.archive(
      Tar.extended({ path: "first" }),
      Tar.entry({ name: "x" }),
      second
    ),
    "a path counts more than a long name": Tar.archive(
      Tar.longName("long"),
      Tar.extended({ path: "path" }),
      Tar.entry({ name: "x" }),
      second
    ),
    "global records reach all files": Tar.archive(
      Tar.extended({ comment: "0123456789abcdef" }, "g"),
      Tar.entry({ name: "first" }, "1"),
      second
    ),
    "a name that ends in a slash is that of a folder": Tar.archive(
      Tar.entry({ name: "folder/", type: "0" }),
      second
    ),
    "an old archive has NUL for the type": Tar.archive(
      Tar.entry({ name: "old", type: "\0", magic: "" }, "1"),
      second
    ),
    "a contiguous file is a file": Tar.archive(Tar.entry({ name: "file", type: "7" }, "1"), second),
    "a hard link has no content, whatever its size": Tar.archive(
      Tar.entry({ name: "first" }, "1"),
      Tar.header({ name: "link", type: "1", link: "first", size: 1 }),
      second
    ),
    "what follows the end is not read": Tar.archive(second, Buffer.alloc(1024), second),
    "one empty block is an end, too": Buffer.concat([second, Buffer.alloc(512), second])
  }

  it.each(Object.entries(cases))("%s", (_, archive) => {
    const result = read(archive)
    expect(result.problem).toBeUndefined()
    expect(listed(result)).toEqual(gnu(archive))
  })

  it.each([
    ["a sparse file of GNU tar", Tar.entry({ name: "s", type: "S" })],
    ["a sparse file of pax", Buffer.concat([Tar.extended({ "GNU.sparse.major": "1" }), second])],
    ["an unknown type", Tar.entry({ name: "u", type: "Z" })],
    ["a volume of several", Tar.entry({ name: "m", type: "M" })]
  ])("%s is refused as such", (_, entry) => {
    expect(read(Tar.archive(entry)).problem).toMatchObject({ reason: "Unsupported" })
  })
})

describe("T11: what leads out, or lies, is refused", () => {
  it.each([
    ["that leads out", "../escape"],
    ["that leads out of a folder", "a/../../escape"],
    ["with a last part ..", "a/.."],
    ["that leads out of the root", "/../escape"],
    ["of 4,096 bytes", "n".repeat(4096)],
    ["of 1,366 characters with 4,098 bytes", "ア".repeat(1366)],
    ["of too many folders", "d/".repeat(2049)]
  ])("a name %s", (_, name) => {
    const archive = Tar.archive(Tar.extended({ path: name }), Tar.entry({ name: "x" }))
    expect(read(archive).problem).toMatchObject({ reason: "Path" })
  })

  it.each([
    ["a NUL in a name", { path: "a\0b" }, {}],
    ["a NUL in a link", { linkpath: "a\0b" }, { type: "2" }],
    ["a hard link that leads out", { linkpath: "../../etc/passwd" }, { type: "1" }],
    ["a hard link to the root", { linkpath: "/" }, { type: "1" }],
    ["a link to nothing", {}, { type: "2" }],
    ["S23: a link in the place of the root", { path: "." }, { type: "2", link: "etc" }],
    ["a file in the place of the root", { path: "./" }, { type: "7" }]
  ])("%s", (_, records, fields) => {
    const archive = Tar.archive(Tar.extended(records), Tar.entry({ name: "x", ...fields }))
    const { entries, problem } = read(archive)
    expect([problem?.reason, entries.map(({ type }) => type)]).toEqual(
      "path" in records && records.path === "./" ? [undefined, ["directory"]] : ["Path", []]
    )
  })

  it.each([
    ["a folder", "5"],
    ["a symbolic link", "2"],
    ["a device", "3"],
    ["a fifo", "6"]
  ])("%s with content, which readers take for entries or not", (_, type) => {
    const archive = Tar.archive(
      Tar.header({ name: "x", type, link: "y", size: 512 }),
      Tar.header({})
    )
    expect(read(archive).problem).toMatchObject({ reason: "Archive", path: "x" })
  })

  it.each([
    ["a long name beyond its size", Tar.header({ name: "x", type: "L", size: 3 }), "name"],
    ["a size that is not one", Tar.header({ name: "x", size: "12345678zzz\0" })],
    ["a negative size", Tar.extended({ size: "-1" })],
    ["a size with a fraction", Tar.extended({ size: "1.5" })],
    ["a size beyond 2^53", Tar.extended({ size: "9007199254740993" })],
    ["a wrong checksum", Tar.header({ name: "x", checksum: 1 })],
    ["an extended header of 2 MiB", Tar.header({ name: "x", type: "x", size: 2 ** 21 })],
    ["a long name of 1 GiB", Tar.header({ name: "x", type: "L", size: 2 ** 30 })]
  ])("%s", (_, start, content = "") => {
    const archive = Tar.archive(start, Tar.padded(content), Tar.entry({ name: "f" }))
    expect(read(archive).problem).toMatchObject({ reason: "Archive" })
  })

  it("a name that is empty", () => {
    expect(read(Tar.archive(Tar.entry({ name: "" }))).problem).toMatchObject({ reason: "Path" })
  })

  it("a name with a slash before it is below the root of the image", () => {
    expect(one(Tar.archive(Tar.entry({ name: "/etc/passwd" }))).path).toBe("etc/passwd")
    expect(one(Tar.archive(Tar.entry({ name: "./", type: "5" }))).path).toBe(".")
  })
})

describe("fuzzed: what is read has the names and sizes that GNU tar lists", () => {
  const seeds = [
    Tar.files({ "etc/": "", "etc/hosts": "127.0.0.1", a: "x".repeat(600) }),
    Tar.archive(
      Tar.extended({ path: "a/b", size: "3", mtime: "1.5" }),
      Tar.entry({ name: "x" }, "yyy"),
      Tar.extended({ linkpath: "c", uid: "70000000" }),
      Tar.entry({ name: "l", type: "2", link: "y" })
    ),
    Tar.archive(
      Tar.extended({ comment: "x", gname: "g" }, "g"),
      Tar.longName("long/name"),
      Tar.longName("link", "K"),
      Tar.entry({ name: "x", type: "1", link: "y" }),
      Tar.entry({ name: "z", prefix: "p" }, "content"),
      Tar.entry({ name: "old", magic: "ustar  \0", type: "7" }, "content")
    )
  ].map((archive) => Buffer.from(archive).toString("latin1"))

  it("as far as it is not refused: TAR_FUZZ_RUNS says how often", () => {
    const next = inputs(seeds, Number(process.env["TAR_FUZZ_SEED"] ?? 18))
    const runs = Number(process.env["TAR_FUZZ_RUNS"] ?? 60)
    let compared = 0
    for (let run = 0; run < runs; run++) {
      const archive = Tar.sealed(Buffer.from(next(), "latin1"))
      const result = read(archive)
      const isPlain = result.entries.every(({ path }) => /^[\w./-]+$/.test(path))
      if (result.problem !== undefined || !isPlain) continue
      const theirs = gnu(archive).map(([name, size]) => {
        const resolved = TarPath.resolve(name)
        return ["path" in resolved ? resolved.path : name, size]
      })
      const ours = result.entries.map(({ path, size }) => [path, size])
      expect([archive.toString(), ours]).toEqual([archive.toString(), theirs])
      compared++
    }
    expect(compared).toBeGreaterThan(runs / 20)
  })
})
