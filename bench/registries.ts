/** Registries to measure with: this library's server in memory, and Debian's `docker-registry`. */
import { type ChildProcess, fork, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

/** A registry that runs. */
export interface Running {
  readonly url: string
  readonly end: () => void
}

/** This library's server over memory. */
export const effectOci = () =>
  new Promise<Running>((resolve) => {
    const child = fork(Path.join(Path.dirname(fileURLToPath(import.meta.url)), "registry.js"))
    child.once("message", (url) => resolve({ url: String(url), end: () => child.kill("SIGKILL") }))
  })

/** Debian's `docker-registry`, with its files in memory. */
export const dockerRegistry = () =>
  new Promise<Running>((resolve) => {
    const folder = Fs.mkdtempSync("/dev/shm/effect-oci-bench-")
    const file = Path.join(folder, "config.yml")
    Fs.writeFileSync(
      file,
      `version: 0.1
log: { level: info, formatter: text, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${JSON.stringify(Path.join(folder, "data"))} } }
http: { addr: "127.0.0.1:0", secret: bench }
`
    )
    const child: ChildProcess = spawn("docker-registry", ["serve", file])
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      const [, port] = /listening on 127\.0\.0\.1:(\d+)/.exec(text) ?? []
      if (port === undefined) return
      const end = () => {
        child.kill("SIGKILL")
        Fs.rmSync(folder, { recursive: true, force: true })
      }
      resolve({ url: `http://127.0.0.1:${port}`, end })
    })
  })
