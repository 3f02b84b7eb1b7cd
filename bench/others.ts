/** Other clients, as far as they are on `PATH`. */
import { spawn, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import { downloadFile, partsFolder, uploadFile, uploadFolder } from "./content.js"
import { folder } from "./folder.js"
import type { Given, Task, Tasks } from "./task.js"

const run =
  (
    words: (host: string, digest: string) => readonly [command: string, ...args: Array<string>],
    isTls = false
  ): Task =>
  ({ digest, tlsUrl, url }: Given) =>
    new Promise<void>((resolve, reject) => {
      const [command, ...args] = words(new URL(isTls ? tlsUrl : url).host, digest)
      const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] })
      child.once("error", reject)
      child.once("exit", (code) =>
        code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))
      )
    }).finally(() => Fs.rmSync(downloadFile, { recursive: true, force: true }))

const shell = (script: string, isTls = false) =>
  run((host, digest) => ["sh", "-ec", script, "sh", host, digest, ...places], isTls)

const places = [downloadFile, uploadFile, partsFolder, folder]

const concurrency = 16

/**
 * `pull file` has a blob in a file at its end, verified (but by curl); `push file` has the registry
 * take one; the parts are the files of an artifact.
 */
const all: Readonly<Record<string, Tasks>> = {
  // It moves images only: one with a small configuration and the large blob as its layer.
  skopeo: {
    "pull file": run((host) => [
      "skopeo",
      ...["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false"],
      `docker://${host}/bench:image`,
      `dir:${downloadFile}`
    ]),
    "pull file over TLS": run(
      (host) => [
        "skopeo",
        ...["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false"],
        `docker://${host}/bench:image`,
        `dir:${downloadFile}`
      ],
      true
    ),
    "push file": run((host) => [
      "skopeo",
      ...["copy", "--quiet", "--insecure-policy", "--preserve-digests", "--dest-tls-verify=false"],
      `dir:${uploadFolder}`,
      `docker://${host}/bench:image`
    ])
  },
  oras: {
    "pull file": shell('oras blob fetch --plain-http --no-tty --output "$3" "$1/bench@$2"'),
    "push file": shell('oras blob push --plain-http --no-tty "$1/bench" "$4"'),
    "pull file over TLS": shell(
      'oras blob fetch --insecure --no-tty --output "$3" "$1/bench@$2"',
      true
    ),
    "pull parts": shell(
      `oras pull --plain-http --no-tty --concurrency ${concurrency} --output "$3" "$1/bench:parts"`
    ),
    "push parts": shell(
      `cd "$5"; oras push --plain-http --no-tty --concurrency ${concurrency} "$1/bench:pushed" *`
    ),
    "pull folder as files": shell(
      `oras pull --plain-http --no-tty --concurrency ${concurrency} --output "$3" "$1/bench:files"`
    ),
    "pull folder as an archive": shell(
      'oras pull --plain-http --no-tty --output "$3" "$1/bench:archive"'
    ),
    "push folder as files": shell(
      `cd "$6"; oras push --plain-http --no-tty --concurrency ${concurrency} "$1/bench:pushed" *`
    ),
    "push folder as an archive": shell(
      'cd "$6/.."; oras push --plain-http --no-tty "$1/bench:pushed" files'
    )
  },
  regctl: {
    "pull file": shell('regctl --host "reg=$1,tls=disabled" blob get "$1/bench" "$2" > "$3"'),
    "push file": shell('regctl --host "reg=$1,tls=disabled" blob put "$1/bench" < "$4"')
  },
  crane: {
    "pull file": shell('crane blob --insecure "$1/bench@$2" > "$3"'),
    "pull file over TLS": shell('crane blob --insecure "$1/bench@$2" > "$3"', true),
    "image, list one layer": shell(
      'crane export --insecure "$1/bench:one-layer" - | tar -t > /dev/null'
    ),
    "image, flatten twenty layers": shell(
      'crane export --insecure "$1/bench:twenty-layers" - > /dev/null'
    )
  },
  curl: {
    "pull file over TLS": shell('curl -sk --output "$3" "https://$1/v2/bench/blobs/$2"', true),
    // The digest first, as it has to be known; then all in one request.
    "push file": shell(
      'openssl dgst -sha256 "$4"; curl -s -T "$4" "http://$1/v2/bench/blobs/uploads/s?digest=$2"'
    )
  }
}

/** The names of all that can do it. Whether they are here is another question. */
export const able = (task: string): ReadonlyArray<string> =>
  Object.keys(all).filter((name) => name !== "curl" && all[name]?.[task] !== undefined)

/** Whether a client of this name is on `PATH`. */
export const isHere = (name: string): boolean => spawnSync("which", [name]).status === 0

export const tasks: Tasks = Object.fromEntries(
  Object.entries(all).flatMap(([name, its]) =>
    Object.entries(its).map(([task, run]) => [`${task}, ${name}`, run])
  )
)
