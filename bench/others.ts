/** Other clients, as far as they are on `PATH`. */
import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import { downloadFile, uploadFile, uploadFolder } from "./content.js"
import type { Given, Task, Tasks } from "./task.js"

const run =
  (
    words: (host: string, digest: string) => readonly [command: string, ...args: Array<string>]
  ): Task =>
  ({ digest, url }: Given) =>
    new Promise<void>((resolve, reject) => {
      const [command, ...args] = words(new URL(url).host, digest)
      const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] })
      child.once("error", reject)
      child.once("exit", (code) =>
        code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))
      )
    }).finally(() => Fs.rmSync(downloadFile, { recursive: true, force: true }))

const shell = (script: string) =>
  run((host, digest) => ["sh", "-c", script, "sh", host, digest, downloadFile, uploadFile])

/** `pull file` has a blob in a file at its end, verified; `push file` has the registry take one. */
const all: Readonly<Record<string, Tasks>> = {
  // It moves images only: one with a small configuration and the large blob as its layer.
  skopeo: {
    "pull file": run((host) => [
      "skopeo",
      ...["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false"],
      `docker://${host}/bench:image`,
      `dir:${downloadFile}`
    ]),
    "push file": run((host) => [
      "skopeo",
      ...["copy", "--quiet", "--insecure-policy", "--preserve-digests", "--dest-tls-verify=false"],
      `dir:${uploadFolder}`,
      `docker://${host}/bench:image`
    ])
  },
  oras: {
    "pull file": shell('oras blob fetch --plain-http --no-tty --output "$3" "$1/bench@$2"'),
    "push file": shell('oras blob push --plain-http --no-tty "$1/bench" "$4"')
  },
  regctl: {
    "pull file": shell('regctl --host "reg=$1,tls=disabled" blob get "$1/bench" "$2" > "$3"'),
    "push file": shell('regctl --host "reg=$1,tls=disabled" blob put "$1/bench" < "$4"')
  },
  crane: { "pull file": shell('crane blob --insecure "$1/bench@$2" > "$3"') }
}

/** The names of those that can do it here. */
export const able = (task: string): ReadonlyArray<string> =>
  Object.keys(all).filter(
    (name) => all[name]?.[task] !== undefined && spawnSync("which", [name]).status === 0
  )

export const tasks: Tasks = Object.fromEntries(
  Object.entries(all).flatMap(([name, its]) =>
    Object.entries(its).map(([task, run]) => [`${task}, ${name}`, run])
  )
)
