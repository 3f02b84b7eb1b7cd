/**
 * Debian's `docker-registry` (CNCF distribution 2.8) as a test service: a real registry, in a
 * process and a folder of its own.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process"
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import type { Readable } from "node:stream"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describeInstalled } from "./installed.js"

const command = "docker-registry"

/** The base URL of a running registry, such as `http://127.0.0.1:34819`. Deletes are enabled. */
export class DebianRegistry extends Context.Tag("test/DebianRegistry")<
  DebianRegistry,
  {
    readonly url: string
    /**
     * The upload sessions that are open in a repository, as its storage has them. Of a cancelled
     * one it keeps the hash states.
     */
    readonly uploads: (repository: string) => Effect.Effect<ReadonlyArray<string>>
  }
>() {}

/** The one user of `layerDebianRegistryBasic`. */
export const debianUser = { username: "alice", password: "wonderland" } as const

// `htpasswd -Bbn alice wonderland`
const htpasswd = "alice:$2y$05$Ysm9bFrkzHG4ZfwMCEUPLOlti5BLOl3/hcH.DCrXJcrQxIuAB32ja\n"

const config = (folder: string, auth: string): string => `version: 0.1
log: { level: info, formatter: text, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: ${JSON.stringify(Path.join(folder, "data"))} }
  delete: { enabled: true }
  maintenance: { uploadpurging: { enabled: false } }
compatibility: { schema1: { enabled: true } }
http: { addr: "127.0.0.1:0", secret: test }
${auth}
`

type Running = ChildProcessByStdio<null, null, Readable>

/**
 * The registry takes a free port by itself and logs it once it listens, so there is no port to race
 * for.
 */
const listening = (child: Running): Promise<string> =>
  new Promise((resolve, reject) => {
    let log = ""
    let url: string | undefined
    const fail = (problem: string) => {
      clearTimeout(timer)
      reject(new Error(`${command} ${problem}\n${log}`))
    }
    const timer = setTimeout(() => fail("did not listen within 20 s"), 20_000)
    child.once("error", (error) => fail(`did not start: ${error.message}`))
    child.once("exit", (code, signal) => fail(`exited with ${code ?? signal}`))
    // Read to the end, or the registry blocks on a full pipe; kept only until it listens.
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (url !== undefined) return
      log += text
      const address = /listening on (127\.0\.0\.1:\d+)/.exec(log)?.[1]
      if (address === undefined) return
      clearTimeout(timer)
      url = `http://${address}`
      resolve(url)
    })
  })

const stop = (child: Running): Promise<void> =>
  new Promise((resolve) => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null)
      return resolve()
    child.once("exit", () => resolve())
    child.kill("SIGKILL")
  })

/** `auth` is a section of its configuration; `files` are put into its folder before it starts. */
const start = (auth: (folder: string) => string, files: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => Fs.mkdtemp(Path.join(tmpdir(), "effect-oci-registry-"))),
      (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
    )
    const file = Path.join(folder, "config.yml")
    yield* Effect.promise(() => Fs.writeFile(file, config(folder, auth(folder))))
    for (const [name, content] of Object.entries(files))
      yield* Effect.promise(() => Fs.writeFile(Path.join(folder, name), content))
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(command, ["serve", file], { stdio: ["ignore", "ignore", "pipe"] })),
      (child) => Effect.promise(() => stop(child))
    )
    const sessions = (repository: string) =>
      Path.join(folder, "data/docker/registry/v2/repositories", repository, "_uploads")
    return {
      url: yield* Effect.promise(() => listening(child)),
      uploads: (repository: string) =>
        Effect.promise(() =>
          Fs.readdir(sessions(repository), { recursive: true }).catch(() => [])
        ).pipe(Effect.map((files) => files.filter((file) => Path.basename(file) === "startedat")))
    }
  })

/** A registry that anyone may use, with a folder that is removed when the Scope closes. */
export const layerDebianRegistry: Layer.Layer<DebianRegistry> = Layer.scoped(
  DebianRegistry,
  start(() => "")
)

/** The same behind Basic authentication, for `debianUser` alone. */
export const layerDebianRegistryBasic: Layer.Layer<DebianRegistry> = Layer.scoped(
  DebianRegistry,
  start(
    (folder) =>
      `auth: { htpasswd: { realm: test, path: ${JSON.stringify(Path.join(folder, "htpasswd"))} } }`,
    {
      htpasswd
    }
  )
)

/**
 * The same for holders of tokens that `issuer` has signed for `service`, with the key in the
 * certificate (PEM); others are sent to `realm`.
 */
export const debianRegistryToken = (options: {
  readonly realm: string
  readonly service: string
  readonly issuer: string
  readonly certificate: string
}): Layer.Layer<DebianRegistry> =>
  Layer.scoped(
    DebianRegistry,
    start(
      (folder) => {
        const { issuer, realm, service } = options
        const rootcertbundle = Path.join(folder, "root.pem")
        return `auth: { token: ${JSON.stringify({ realm, service, issuer, rootcertbundle })} }`
      },
      { "root.pem": options.certificate }
    )
  )

/** A suite that needs the registry: see `describeInstalled`. */
export const describeDebian = (name: string, suite: () => void): void =>
  describeInstalled(command, name, suite)
