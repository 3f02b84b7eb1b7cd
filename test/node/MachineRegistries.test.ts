/** What docker and podman are told of registries on a machine, and what it means here. */
import { execFile } from "node:child_process"
import * as Path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as MachineFiles from "../../src/node/internal/machine/MachineFiles.js"
import * as Rules from "../../src/node/internal/machine/Rules.js"
import * as MachineRegistries from "../../src/node/MachineRegistries.js"
import * as Digest from "../../src/spec/Digest.js"
import type * as Host from "../../src/spec/Host.js"
import * as Reference from "../../src/spec/Reference.js"
import { utf8 } from "../support/fixtures.js"
import { describeInstalled } from "../support/installed.js"
import * as Machine from "../support/machine.js"

const podman = (...texts: ReadonlyArray<string>) =>
  MachineRegistries.make({
    registriesConf: texts.map((text, n) => ({ source: `${n}.conf`, text }))
  })
const docker = (document: unknown) =>
  MachineRegistries.make({
    daemonJson: { source: "daemon.json", text: JSON.stringify(document) }
  })

const lines = (machine: MachineRegistries.MachineRegistries) =>
  MachineRegistries.format(machine).split("\n")

describe("an entry of registries.conf that is wrong is skipped, and others hold (V32)", () => {
  it.effect.each([
    [`prefix = "a.test/b:1"`, 'its prefix "a.test/b:1" has a tag or a digest: name the repository'],
    [`location = "a.test/b:1"`, 'its location "a.test/b:1" has a tag or a digest'],
    [`location = "a.test/b@sha256:00"`, "has a tag or a digest"],
    [`location = "https://a.test"`, "is a URL: leave out the scheme"],
    [`location = "/b"`, "does not begin with a host"],
    [`location = "a.test/B"`, "has a path that no repository has"],
    [`prefix = "*.a.test/b"`, "is not of the form *.example.com"],
    [`prefix = "*.a.test:5000"`, "is not of the form *.example.com"],
    [`prefix = "a.*.test"`, "does not begin with a host"],
    [`location = 1`, "have to be texts"],
    [`insecure = true`, "it has neither a prefix nor a location"],
    [`location = "a.test"\ninsecure = "yes"`, "its insecure is neither true nor false"],
    [`location = "a.test"\nmirror = "b.test"`, "its mirror is not a list of tables"],
    [`location = "good.test"`, '"good.test" has a table above, which counts']
  ] as const)("%s", ([entry, problem]) =>
    Effect.gen(function* () {
      const machine = yield* podman(
        `[[registry]]\nlocation = "good.test"\nblocked = true\n[[registry]]\n${entry}\n`
      )
      const [good, skipped = "", ...others] = lines(machine)
      expect(good).toBe("0.conf: good.test is blocked")
      expect(skipped).toContain("0.conf: skipped [[registry]] number 2: ")
      expect(skipped).toContain(problem)
      expect(others).toEqual([])
    })
  )

  it.effect.each([
    [`insecure = true`, "it has no location"],
    [`location = "http://b.test"`, "is a URL"],
    [`location = "b.test"\npull-from-mirror = "digest"`, "its pull-from-mirror is none of all,"]
  ] as const)("a mirror with %s", ([entry, problem]) =>
    Effect.gen(function* () {
      const machine = yield* podman(
        `[[registry]]\nlocation = "a.test"\n[[registry.mirror]]\n${entry}\n` +
          `[[registry.mirror]]\nlocation = "c.test"`
      )
      const [rule, skipped] = lines(machine)
      expect(rule).toBe("0.conf: a.test is read from c.test, then a.test")
      expect(skipped).toContain("skipped [[registry]] number 1, mirror number 1: ")
      expect(skipped).toContain(problem)
    })
  )

  it.effect("files that do not parse, and what belongs to no table", () =>
    Effect.gen(function* () {
      const machine = yield* podman(
        `[[registry]]\nlocation = "secret`,
        `[registries.block]\nregistries = ["a.test"]`,
        `registry = 1\naliases = 1\nshort-name-mode = "no"\n` +
          `unqualified-search-registries = ["x y"]`,
        `[aliases]\n"docker.io/a" = "a.test/a"\na = "a.test/a:1"\nb = "library/b"\nc = "a.test/c"`
      )
      expect(machine.skipped.map(({ entry, source }) => `${source} ${entry}`)).toEqual([
        "0.conf the file",
        "1.conf [registries]",
        "2.conf registry",
        "2.conf unqualified-search-registries",
        "2.conf short-name-mode",
        "2.conf [aliases]",
        '3.conf [aliases] "docker.io/a"',
        '3.conf [aliases] "a"',
        '3.conf [aliases] "b"'
      ])
      expect(MachineRegistries.format(machine)).toContain("it does not parse (line 2)")
      expect(MachineRegistries.format(machine)).not.toContain("secret")
      expect([...machine.aliases.keys()]).toEqual(["c"])
    })
  )
})

describe("daemon.json", () => {
  it.effect("has mirrors of Docker Hub alone, with a path or none, and insecure registries", () =>
    Effect.gen(function* () {
      const machine = yield* docker({
        "registry-mirrors": [
          "https://mirror.test/hub/",
          "http://mirror.lan:5000",
          "mirror.test",
          "ftp://mirror.test",
          "https://alice:hunter2@mirror.test",
          "https://mirror.test/?a=b",
          1
        ],
        "insecure-registries": ["10.0.0.0/8", "Registry.LAN:5000", "http://old.lan", "a/b", ""],
        "log-level": "debug"
      })
      expect(lines(machine)).toEqual([
        "daemon.json: docker.io has the mirror https://mirror.test/hub",
        "daemon.json: docker.io has the mirror http://mirror.lan:5000",
        "daemon.json: 10.0.0.0/8 is insecure",
        "daemon.json: registry.lan:5000 is insecure",
        "daemon.json: old.lan is insecure",
        expect.stringContaining('skipped registry-mirrors: "mirror.test" is not a URL such as'),
        expect.stringContaining("ftp://mirror.test"),
        expect.stringContaining('"https://mirror.test"'),
        expect.stringContaining("a=b"),
        expect.stringContaining('"1"'),
        expect.stringContaining("skipped insecure-registries"),
        expect.stringContaining("skipped insecure-registries")
      ])
      expect(MachineRegistries.format(machine)).not.toContain("hunter2")
      const at = (name: string) => places(machine, name)
      expect(at("docker.io/library/a:1")).toEqual([
        "https://mirror.test/hub/library/a",
        "http://mirror.lan:5000/library/a",
        "docker.io/library/a"
      ])
      expect(at("ghcr.io/a/b:1")).toEqual(["ghcr.io/a/b"])
    })
  )

  it.effect.each([
    ["registry.lan:5000", [], true],
    ["registry.lan", [], false],
    ["other.lan", ["10.1.2.3"], true],
    ["other.lan", ["11.1.2.3", "::1"], false],
    ["other.lan", ["::ffff:10.1.2.3"], true],
    ["other.lan", ["fd00::1"], true],
    ["10.1.2.3:5000", ["10.1.2.3"], true]
  ] as const)("%s with the addresses %j is insecure: %s", ([host, addresses, expected]) =>
    Effect.gen(function* () {
      const machine = yield* docker({
        "insecure-registries": ["registry.lan:5000", "10.0.0.0/8", "fd00::/8"]
      })
      expect(Rules.isInsecure(machine, host, addresses)).toBe(expected)
    })
  )
})

/** Where an image is read, in order, or the file that blocks it. */
const places = (machine: MachineRegistries.MachineRegistries, name: string) => {
  const { digest, host, repository, tag } = Reference.unsafeParse(name)
  const reference =
    digest._tag === "Some" ? digest.value : tag._tag === "Some" ? tag.value : undefined
  const pull = Rules.pull(machine, host as Host.Host, repository, reference)
  if (pull.blockedBy !== undefined) return `blocked by ${pull.blockedBy.prefix}`
  return [...pull.mirrors, pull.original].map((at) => `${at?.base}/${at?.repository}`)
}

const digest = Digest.fromBytes(utf8("m1"))

/** Rules, an image, and where it is read: as far as skopeo does not refuse the file. */
const cases: ReadonlyArray<readonly [toml: string, image: string, ReadonlyArray<string> | string]> =
  [
    [`location = "127.0.0.1:9"`, "127.0.0.1:9/a/b:1", ["127.0.0.1:9/a/b"]],
    [
      `prefix = "127.0.0.1:9/a"\nlocation = "127.0.0.1:8/c/d/"`,
      "127.0.0.1:9/a/b:1",
      ["127.0.0.1:8/c/d/b"]
    ],
    [
      `prefix = "127.0.0.1:9/a/b"\nlocation = "127.0.0.1:8/c"`,
      "127.0.0.1:9/a/b:1",
      ["127.0.0.1:8/c"]
    ],
    [`prefix = "127.0.0.1:9/a"\nlocation = "127.0.0.1:8"`, "127.0.0.1:9/ab:1", ["127.0.0.1:9/ab"]],
    [
      `prefix = "127.0.0.1:9"\nlocation = "127.0.0.1:8"\n[[registry]]\n` +
        `prefix = "127.0.0.1:9/a"\nlocation = "127.0.0.1:7/z"`,
      "127.0.0.1:9/a/b:1",
      ["127.0.0.1:7/z/b"]
    ],
    [
      `location = "127.0.0.1:9"\n[[registry.mirror]]\nlocation = "127.0.0.1:8/m"\n` +
        `[[registry.mirror]]\nlocation = "127.0.0.1:7"`,
      "127.0.0.1:9/a/b:1",
      ["127.0.0.1:8/m/a/b", "127.0.0.1:7/a/b", "127.0.0.1:9/a/b"]
    ],
    [
      `location = "127.0.0.1:9"\nmirror-by-digest-only = true\n` +
        `[[registry.mirror]]\nlocation = "127.0.0.1:8"`,
      "127.0.0.1:9/a/b:1",
      ["127.0.0.1:9/a/b"]
    ],
    [
      `location = "127.0.0.1:9"\nmirror-by-digest-only = true\n` +
        `[[registry.mirror]]\nlocation = "127.0.0.1:8"`,
      `127.0.0.1:9/a/b@${digest}`,
      ["127.0.0.1:8/a/b", "127.0.0.1:9/a/b"]
    ],
    ...(["127.0.0.1:9/a/b:1", `127.0.0.1:9/a/b@${digest}`] as const).map(
      (image, n) =>
        [
          `location = "127.0.0.1:9"\n[[registry.mirror]]\nlocation = "127.0.0.1:8"\n` +
            `pull-from-mirror = "tag-only"\n[[registry.mirror]]\nlocation = "127.0.0.1:7"\n` +
            `pull-from-mirror = "digest-only"\n[[registry.mirror]]\nlocation = "127.0.0.1:6"\n` +
            `pull-from-mirror = "all"`,
          image,
          [["127.0.0.1:8/a/b", "127.0.0.1:7/a/b"][n] ?? "", "127.0.0.1:6/a/b", "127.0.0.1:9/a/b"]
        ] as const
    ),
    [`location = "127.0.0.1:9/a"\nblocked = true`, "127.0.0.1:9/a/b:1", "blocked by 127.0.0.1:9/a"],
    [`location = "127.0.0.1:9/a"\nblocked = true`, "127.0.0.1:9/b:1", ["127.0.0.1:9/b"]],
    [
      `prefix = "127.0.0.1:9"\nlocation = "127.0.0.1:8"\n[[registry]]\n` +
        `location = "127.0.0.1:8/a"\nblocked = true`,
      "127.0.0.1:9/a:1",
      "blocked by 127.0.0.1:8/a"
    ],
    [
      `location = "127.0.0.1:9"\n[[registry.mirror]]\nlocation = "127.0.0.1:8"\n[[registry]]\n` +
        `location = "127.0.0.1:8"\nblocked = true`,
      "127.0.0.1:9/a:1",
      ["127.0.0.1:9/a"]
    ],
    [`prefix = "*.localhost"\nblocked = true`, "a.b.localhost:9/c:1", "blocked by *.localhost"],
    [
      `prefix = "*.localhost"\n[[registry.mirror]]\nlocation = "127.0.0.1:8/m"\n[[registry]]\n` +
        `prefix = "bb.localhost"\nlocation = "127.0.0.1:7"`,
      "bb.localhost/c:1",
      ["127.0.0.1:7/c"]
    ],
    [`prefix = "*.localhost"\nblocked = true`, "localhost:9/c:1", ["localhost:9/c"]]
  ]

describe("where an image is read", () => {
  it.effect.each(cases)("%s, %s: %j", ([toml, image, expected]) =>
    Effect.gen(function* () {
      const machine = yield* podman(`[[registry]]\n${toml}`)
      expect(machine.skipped).toEqual([])
      expect(places(machine, image)).toEqual(expected)
    })
  )

  it.effect.each([
    ["a.example.com", "a.example.com/x:1", true],
    ["*.example.com", "a.example.com/x:1", true],
    ["*.example.com", "c.b.a.example.com/x:1", true],
    ["*.example.com", "a.example.com:5000/x:1", true],
    ["*.example.com", "example.com/x:1", false],
    ["*.example.com", "badexample.com/x:1", false],
    ["*.example.com", "a.example.com.evil.test/x:1", false],
    // podman compares beginnings of texts here; ports are other registries.
    ["a.example.com", "a.example.com:5000/x:1", false],
    ["index.docker.io", "docker.io/library/x:1", true],
    ["docker.io/x", "docker.io/library/x:1", false]
  ] as const)("a rule for %s concerns %s: %s", ([prefix, image, expected]) =>
    Effect.gen(function* () {
      const machine = yield* podman(`[[registry]]\nprefix = "${prefix}"\nblocked = true`)
      expect(typeof places(machine, image) === "string").toBe(expected)
      const { host } = Reference.unsafeParse(image)
      const [rule] = machine.rules
      if (expected && rule !== undefined) expect(Rules.concerns(rule, host as Host.Host)).toBe(true)
    })
  )

  it.effect("blobs from every mirror, since they have digests", () =>
    Effect.gen(function* () {
      const machine = yield* podman(
        `[[registry]]\nlocation = "a.test"\n[[registry.mirror]]\nlocation = "b.test"\n` +
          `pull-from-mirror = "tag-only"`
      )
      expect(places(machine, "a.test/x")).toEqual(["b.test/x", "a.test/x"])
    })
  )

  it.effect("by the later of two files, a rule as a whole", () =>
    Effect.gen(function* () {
      const machine = yield* podman(
        `[[registry]]\nlocation = "a.test"\nblocked = true\n` +
          `[aliases]\nx = "a.test/x"\ny = "a.test/y"`,
        `[[registry]]\nlocation = "a.test"\ninsecure = true\n[aliases]\nx = "b.test/x"\ny = ""`
      )
      expect(lines(machine)).toEqual([
        "1.conf: a.test is read from a.test (insecure)",
        "1.conf: x stands for b.test/x"
      ])
    })
  )
})

describeInstalled("skopeo", "where skopeo reads an image", () => {
  it.live.each(cases)("%s, %s: %j", ([toml, image, expected]) =>
    Effect.gen(function* () {
      const folder = yield* Machine.folder({ "registries.conf": `[[registry]]\n${toml}` })
      const file = Path.join(folder, "registries.conf")
      const log = yield* Effect.promise(
        () =>
          new Promise<string>((resolve) =>
            execFile(
              "skopeo",
              ["--debug", "--registries-conf", file, "inspect", "--raw", `docker://${image}`],
              { env: { ...process.env, HOME: folder }, timeout: 20_000 },
              (_, __, stderr) => resolve(stderr)
            )
          )
      )
      const tried = [...log.matchAll(/Trying to access \\"(.+?)\\"/g)]
        .map(([, name = ""]) => name.replace(/@.*|:[^:/]*$/, ""))
        .filter((name) => !log.includes(`failed: registry ${name.split("/", 1)} is blocked`))
      if (typeof expected === "string") expect(log).toContain("is blocked in")
      else expect(tried).toEqual(expected)
    }).pipe(Effect.scoped)
  )
})

describe("a name without a host", () => {
  const machine = podman(
    `unqualified-search-registries = ["a.test", "docker.io"]\n` +
      `[aliases]\nfedora = "registry.test/fedora"\n"team/app" = "a.test/team/app"`
  )
  it.effect.each([
    ["fedora", ["registry.test/fedora"]],
    ["fedora:40", ["registry.test/fedora:40"]],
    [`fedora@${digest}`, [`registry.test/fedora@${digest}`]],
    ["team/app:1", ["a.test/team/app:1"]],
    ["alpine:3", ["a.test/alpine:3", "docker.io/library/alpine:3"]],
    ["team/other", ["a.test/team/other", "docker.io/team/other"]],
    ["ghcr.io/fedora", ["ghcr.io/fedora"]],
    ["localhost/fedora", ["localhost/fedora"]]
  ] as const)("%s stands for %j", ([name, expected]) =>
    Effect.gen(function* () {
      const found = yield* MachineRegistries.qualify(yield* machine, name)
      expect(found.map(Reference.format)).toEqual(expected)
    })
  )

  it.effect("that stands for nothing, or for too much, says so", () =>
    Effect.gen(function* () {
      const none = yield* Effect.flip(
        Effect.flatMap(podman(), (machine) => MachineRegistries.qualify(machine, "alpine"))
      )
      expect(none.message).toBe(
        '"alpine" names no host, and this machine has neither an alias for it nor search ' +
          "registries: write the host before it"
      )
      const strict = yield* podman(
        `unqualified-search-registries = ["a.test", "b.test"]\nshort-name-mode = "enforcing"`
      )
      const several = yield* Effect.flip(MachineRegistries.qualify(strict, "alpine"))
      expect(several).toMatchObject({ _tag: "InvalidReference", reason: "Host" })
      expect(several.message).toContain("a.test/alpine, b.test/alpine")
    })
  )
})

describe("the files of a machine", () => {
  const files = {
    "etc/containers/registries.conf": "system",
    "etc/containers/registries.conf.d/b.conf": "system b",
    "etc/containers/registries.conf.d/a.conf": "system a",
    "etc/containers/registries.conf.d/a.txt": "no",
    "home/.config/containers/registries.conf.d/a.conf": "user a",
    "home/.cache/containers/short-name-aliases.conf": "recorded",
    "etc/docker/daemon.json": "docker"
  }
  const found = (
    files: Readonly<Record<string, string>>,
    environment: (folder: string) => Readonly<Record<string, string>> = () => ({})
  ) =>
    Effect.gen(function* () {
      const folder = yield* Machine.folder(files)
      const { daemonJson, registriesConf, skipped } = yield* MachineFiles.read({
        environment: environment(folder),
        home: Path.join(folder, "home"),
        etc: Path.join(folder, "etc"),
        isRoot: false
      })
      return [
        ...registriesConf.map(({ text }) => text),
        ...daemonJson.map(({ text }) => text),
        ...skipped.map(({ problem, source }) => `${Path.relative(folder, source)} ${problem}`)
      ]
    }).pipe(Effect.scoped)

  it.effect("are those of podman and docker, in their order", () =>
    Effect.gen(function* () {
      expect(yield* found({})).toEqual([])
      const all = ["system", "system a", "system b", "user a", "recorded", "docker"]
      expect(yield* found(files)).toEqual(all)
      const own = { "home/.config/containers/registries.conf": "user" }
      expect(yield* found({ ...files, ...own })).toEqual(["user", "user a", "recorded", "docker"])
      const rootless = { "home/.config/docker/daemon.json": "rootless" }
      expect((yield* found({ ...files, ...rootless })).at(-1)).toBe("rootless")
      const named = (folder: string) => ({ CONTAINERS_REGISTRIES_CONF: `${folder}/named` })
      expect((yield* found({ ...files, ...own, named: "named" }, named)).slice(0, 2)).toEqual([
        "named",
        "system a"
      ])
    })
  )

  it.effect("that are named and missing, or are folders, are skipped", () =>
    Effect.gen(function* () {
      const named = (folder: string) => ({ CONTAINERS_REGISTRIES_CONF: `${folder}/named` })
      expect(yield* found({}, named)).toEqual(["named it cannot be read (ENOENT)"])
      expect(yield* found({ "etc/docker/daemon.json/x": "" })).toEqual([
        "etc/docker/daemon.json it cannot be read (EISDIR)"
      ])
    })
  )
})
