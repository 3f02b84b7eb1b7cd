/**
 * Other people's clients at the server, each with the login that it asks for: without
 * authorization, with passwords, and with tokens.
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { machine } from "../auth/machine.js"
import { describeInstalled, describeWherePresent } from "../support/installed.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"
import { sha256 } from "./wire.js"

const users = { alice: Redacted.make("open:sesame"), bob: Redacted.make("builder") }

const rules: ReadonlyArray<ServerAuthorization.Rule> = [
  { who: "anyone", repositories: "public/*", actions: ["pull"] },
  { who: ["alice"], repositories: "**", actions: ["pull", "push", "delete"] },
  { who: ["bob"], repositories: "team/*", actions: ["pull"] }
]

const kinds = {
  "without authorization": undefined,
  "with passwords": ServerAuthorization.basic({ users, rules }),
  "with tokens": ServerAuthorization.token({ users, rules })
} as const

/** A home with an image in a layout, and programs that run there. */
const world = Effect.gen(function* () {
  const url = yield* ServerUrl
  const host = url.replace("http://", "")
  const { home, write } = yield* machine
  const blob = (content: string | Buffer) => {
    const digest = sha256(content)
    return Effect.as(write(`layout/blobs/${digest.replace(":", "/")}`, Buffer.from(content)), {
      digest,
      size: Buffer.byteLength(content)
    })
  }
  const oci = "application/vnd.oci.image"
  const archive = Buffer.alloc(1024) // an empty one
  const layer = yield* blob(gzipSync(archive))
  const config = yield* blob(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [sha256(archive)] }
    })
  )
  const manifest = yield* blob(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: `${oci}.manifest.v1+json`,
      config: { mediaType: `${oci}.config.v1+json`, ...config },
      layers: [{ mediaType: `${oci}.layer.v1.tar+gzip`, ...layer }]
    })
  )
  yield* write("layout/oci-layout", { imageLayoutVersion: "1.0.0" })
  yield* write("layout/index.json", {
    schemaVersion: 2,
    manifests: [{ mediaType: `${oci}.manifest.v1+json`, ...manifest }]
  })
  /** What a program prints, or the end of its complaint. It must not wait for a user. */
  const run = (command: string, args: ReadonlyArray<string>, input = "") =>
    Effect.async<{ readonly out: string; readonly failed: string | undefined }>((resume) => {
      const env = {
        PATH: process.env["PATH"],
        HOME: home,
        DOCKER_CONFIG: Path.join(home, "docker")
      }
      const child = execFile(command, [...args], { cwd: home, env }, (error, stdout, stderr) =>
        resume(
          Effect.succeed({
            out: stdout.trim(),
            failed: error === null ? undefined : `${stdout}${stderr}`.slice(-2000)
          })
        )
      )
      // A program may end before it has read what it does not need.
      child.stdin?.on("error", () => {}).end(input)
    })
  return { digest: manifest.digest, home, host, run }
})

type World = Effect.Effect.Success<typeof world>

/** The commands of one program, each as its arguments. */
interface Program {
  readonly login: (host: string, user: string) => ReadonlyArray<string>
  readonly logout: (host: string) => ReadonlyArray<string>
  readonly push: (image: string) => ReadonlyArray<string>
  readonly pull: (image: string, folder: string) => ReadonlyArray<string>
  readonly tags: (repository: string) => ReadonlyArray<string>
  readonly manifest: (image: string) => ReadonlyArray<string>
  readonly remove: (image: string) => ReadonlyArray<string>
}

const skopeo: Program = {
  login: (host, user) => [
    ...["login", "--authfile", "auth.json", "--tls-verify=false"],
    ...["-u", user, "--password-stdin", host]
  ],
  logout: (host) => ["logout", "--authfile", "auth.json", host],
  push: (image) => [
    ...["--insecure-policy", "copy", "--authfile", "auth.json", "--dest-tls-verify=false"],
    ...["oci:layout", `docker://${image}`]
  ],
  pull: (image, folder) => [
    ...["--insecure-policy", "copy", "--authfile", "auth.json", "--src-tls-verify=false"],
    ...[`docker://${image}`, `dir:${folder}`]
  ],
  tags: (repository) => [
    ...["list-tags", "--authfile", "auth.json", "--tls-verify=false"],
    `docker://${repository}`
  ],
  manifest: (image) => [
    ...["inspect", "--authfile", "auth.json", "--tls-verify=false", "--raw"],
    `docker://${image}`
  ],
  remove: (image) => [
    ...["delete", "--authfile", "auth.json", "--tls-verify=false"],
    `docker://${image}`
  ]
}

const plain = ["--plain-http", "--registry-config", "docker/config.json"]

const oras: Program = {
  login: (host, user) => ["login", ...plain, "-u", user, "--password-stdin", host],
  logout: (host) => ["logout", "--registry-config", "docker/config.json", host],
  push: (image) => [
    ...["cp", "--from-oci-layout", "--to-plain-http"],
    ...["--to-registry-config", "docker/config.json", "layout@IMAGE", image]
  ],
  pull: (image, folder) => [
    ...["cp", "--from-plain-http", "--from-registry-config", "docker/config.json"],
    ...["--to-oci-layout", image, `${folder}:copy`]
  ],
  tags: (repository) => ["repo", "tags", ...plain, repository],
  manifest: (image) => ["manifest", "fetch", ...plain, image],
  remove: (image) => ["manifest", "delete", "--force", ...plain, image]
}

const crane: Program = {
  login: (host, user) => ["auth", "login", host, "-u", user, "--password-stdin"],
  logout: (host) => ["auth", "logout", host],
  push: (image) => ["push", "layout", image],
  pull: (image, folder) => ["pull", "--format=oci", image, folder],
  tags: (repository) => ["ls", repository],
  manifest: (image) => ["manifest", image],
  remove: (image) => ["delete", image]
}

/** An image goes in and out, by the one who may; others see what they may and no more. */
const scenario = (command: string, program: Program, hasUsers: boolean) =>
  Effect.gen(function* () {
    const { digest, home, host, run }: World = yield* world
    const does = Effect.fnUntraced(function* (args: ReadonlyArray<string>, input?: string) {
      const with_ = args.map((arg) => arg.replace("@IMAGE", `@${digest}`))
      const { failed, out } = yield* run(command, with_, input)
      expect(failed, with_.join(" ")).toBeUndefined()
      return out
    })
    const refused = Effect.fnUntraced(function* (args: ReadonlyArray<string>, input?: string) {
      const { failed } = yield* run(
        command,
        args.map((arg) => arg.replace("@IMAGE", `@${digest}`)),
        input
      )
      expect(failed, args.join(" ")).toMatch(
        /401|403|unauthorized|denied|authentication|invalid username/i
      )
    })
    const image = `${host}/team/app:v1`
    const shared = `${host}/public/app:v1`
    if (hasUsers) {
      yield* refused(program.push(image))
      // crane keeps a login without trying it.
      if (command === "crane") yield* does(program.login(host, "alice"), "wrong")
      else yield* refused(program.login(host, "alice"), "wrong")
      yield* refused(program.push(image))
      yield* does(program.login(host, "alice"), "open:sesame")
    }
    yield* does(program.push(image))
    yield* does(program.push(shared))
    expect(yield* does(program.tags(`${host}/team/app`))).toContain("v1")
    expect(sha256(yield* does(program.manifest(image)))).toBe(digest)
    yield* does(program.pull(image, "out"))
    const copied = yield* Effect.promise(() => Fs.readdir(Path.join(home, "out")))
    expect(copied.length).toBeGreaterThan(2)
    if (hasUsers) {
      yield* does(program.logout(host))
      yield* does(program.pull(shared, "out-public"))
      yield* refused(program.pull(image, "out-nobody"))
      yield* does(program.login(host, "bob"), "builder")
      yield* does(program.pull(image, "out-bob"))
      yield* refused(program.push(`${host}/team/app:v2`))
      yield* refused(program.remove(`${host}/team/app@${digest}`))
      yield* does(program.logout(host))
      yield* does(program.login(host, "alice"), "open:sesame")
    }
    yield* does(program.remove(`${host}/team/app@${digest}`))
    const { failed } = yield* run(command, program.manifest(image))
    expect(failed).toBeDefined()
  })

for (const [command, program, describeIt] of [
  ["skopeo", skopeo, describeInstalled],
  ["oras", oras, describeWherePresent],
  ["crane", crane, describeWherePresent]
] as const)
  describeIt(command, `${command} at the embedded server`, () => {
    for (const [name, authorization] of Object.entries(kinds))
      it.live(`${name}: logs in, pushes, pulls, lists and deletes`, () =>
        scenario(command, program, name !== "without authorization").pipe(
          Effect.scoped,
          Effect.provide(
            Layer.provide(layerSocketServer({ authorization }), MemoryRegistry.layer())
          )
        )
      )
  })

describeInstalled("skopeo", "images of several platforms at the embedded server", () => {
  for (const [name, authorization] of Object.entries(kinds))
    it.live(`${name}: skopeo copies them in and out, as OCI's and as Docker's`, () =>
      Effect.gen(function* () {
        const { home, host, run } = yield* world
        const does = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
          const { failed, out } = yield* run("skopeo", ["--insecure-policy", ...args])
          expect(failed, args.join(" ")).toBeUndefined()
          return out
        })
        const index = Path.join(home, "layout/index.json")
        yield* Effect.promise(async () => {
          const document = JSON.parse(await Fs.readFile(index, "utf8"))
          const [first] = document.manifests
          const platforms = ["amd64", "arm64"].map((architecture) => ({
            ...first,
            platform: { architecture, os: "linux" }
          }))
          const mediaType = "application/vnd.oci.image.index.v1+json"
          const bytes = JSON.stringify({ schemaVersion: 2, mediaType, manifests: platforms })
          const digest = sha256(bytes)
          await Fs.writeFile(Path.join(home, "layout/blobs", digest.replace(":", "/")), bytes)
          const manifests = [{ mediaType, digest, size: Buffer.byteLength(bytes) }]
          await Fs.writeFile(index, JSON.stringify({ schemaVersion: 2, manifests }))
        })
        if (authorization !== undefined)
          yield* does(
            "login",
            "--authfile",
            "auth.json",
            "--tls-verify=false",
            "-u",
            "alice",
            "-p",
            "open:sesame",
            host
          )
        for (const [format, list] of [
          ["oci", "application/vnd.oci.image.index.v1+json"],
          ["v2s2", "application/vnd.docker.distribution.manifest.list.v2+json"]
        ] as const) {
          const image = `docker://${host}/team/app:${format}`
          const auth = ["--authfile", "auth.json"]
          const copy = ["copy", "--all", ...auth, "--format", format]
          yield* does(...copy, "--dest-tls-verify=false", "oci:layout", image)
          const raw = yield* does("inspect", "--raw", ...auth, "--tls-verify=false", image)
          expect(JSON.parse(raw)).toMatchObject({ mediaType: list, manifests: [{}, {}] })
          const out = `dir:out-${format}`
          yield* does("copy", "--all", ...auth, "--src-tls-verify=false", image, out)
          const written = yield* Effect.promise(() =>
            Fs.readFile(Path.join(home, `out-${format}`, "manifest.json"), "utf8")
          )
          expect(written).toBe(raw)
        }
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.provide(layerSocketServer({ authorization }), MemoryRegistry.layer()))
      )
    )
})

describeInstalled("buildah", "buildah at the embedded server", () => {
  for (const [name, authorization] of Object.entries(kinds))
    it.live(`${name}: logs in, pushes what it has built, and pulls it`, () =>
      Effect.gen(function* () {
        const { home, host, run } = yield* world
        const store = ["--root", Path.join(home, "root"), "--runroot", Path.join(home, "run")]
        const buildah = (...args: ReadonlyArray<string>) =>
          run("buildah", [...store, "--storage-driver", "vfs", ...args])
        const does = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
          const { failed, out } = yield* buildah(...args)
          expect(failed, args.join(" ")).toBeUndefined()
          return out
        })
        const auth = ["--authfile", "auth.json", "--tls-verify=false"]
        const login = ["login", ...auth, "-u", "alice", "-p", "open:sesame", host]
        const image = `docker://${host}/team/built:v1`
        yield* Effect.promise(async () => {
          await Fs.mkdir(Path.join(home, "docker"), { recursive: true })
          await Fs.writeFile(Path.join(home, "docker/config.json"), "{}")
          await Fs.writeFile(Path.join(home, "auth.json"), "{}")
        })
        const container = yield* does("from", "scratch")
        yield* does("config", "--label", "made=here", container)
        const id = yield* does("commit", container, "built")
        if (authorization !== undefined) {
          expect((yield* buildah("push", ...auth, "built", image)).failed).toMatch(
            /unauthorized|denied/i
          )
          yield* does(...login)
        }
        yield* does("push", ...auth, "built", image)
        yield* does("rmi", "--all", "--force")
        yield* does("pull", ...auth, image)
        expect(yield* does("images", "--quiet", "--no-trunc")).toContain(id)
        if (authorization === undefined) return
        yield* does("logout", "--authfile", "auth.json", host)
        yield* does("rmi", "--all", "--force")
        expect((yield* buildah("pull", ...auth, image)).failed).toMatch(/unauthorized|denied/i)
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.provide(layerSocketServer({ authorization }), MemoryRegistry.layer()))
      )
    )
})
