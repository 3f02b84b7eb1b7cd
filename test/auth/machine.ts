/**
 * A machine for tests: a home directory, an environment, and programs on its PATH, gone when the
 * Scope closes.
 */
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import type * as DockerConfig from "../../src/auth/DockerConfig.js"
import { parseRepositoryName } from "../../src/spec/Reference.js"

export const machine = Effect.gen(function* () {
  const home = yield* Effect.acquireRelease(
    Effect.promise(() => Fs.mkdtemp(Path.join(tmpdir(), "effect-oci-home-"))),
    (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
  )
  const path = process.env["PATH"]
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      process.env["PATH"] = `${Path.join(home, "bin")}${Path.delimiter}${path}`
    }),
    () =>
      Effect.sync(() => {
        process.env["PATH"] = path
      })
  )
  const environment = new Map([["HOME", home]])
  return {
    home,
    environment,
    /** Writes a file below the home directory. */
    write: (name: string, content: unknown) =>
      Effect.promise(async () => {
        const file = Path.join(home, name)
        await Fs.mkdir(Path.dirname(file), { recursive: true })
        await Fs.writeFile(
          file,
          typeof content === "string" || Buffer.isBuffer(content)
            ? content
            : JSON.stringify(content)
        )
        return file
      }),
    /**
     * Installs `docker-credential-<suffix>`, a shell script that also writes its input to
     * `<suffix>.log`.
     */
    helper: (suffix: string, script: string) =>
      Effect.promise(async () => {
        const file = Path.join(home, "bin", `docker-credential-${suffix}`)
        await Fs.mkdir(Path.dirname(file), { recursive: true })
        await Fs.writeFile(
          file,
          `#!/bin/sh\nread -r server\necho "$1 $server" >> "${home}/${suffix}.log"\n${script}\n`
        )
        await Fs.chmod(file, 0o755)
      }),
    /** What a helper was asked, in order. */
    asked: (suffix: string) =>
      Effect.promise(async () =>
        (await Fs.readFile(Path.join(home, `${suffix}.log`), "utf8").catch(() => ""))
          .split("\n")
          .filter((l) => l !== "")
      ),
    /** The credentials of this machine, in this environment. */
    provide: <E>(layer: Layer.Layer<Credentials.Credentials, E, DockerConfig.Services>) =>
      Effect.provide(
        Layer.provide(layer, [
          NodeContext.layer,
          Layer.setConfigProvider(ConfigProvider.fromMap(environment))
        ])
      )
  }
})

/** The credential for `host` or `host/repository`; `http` if it starts so. */
export const credentialFor = (place: string, rejected?: Credentials.Credential) =>
  Effect.gen(function* () {
    const url = new URL(place.includes("://") ? place : `https://${place}`)
    const name = url.pathname.slice(1)
    const repository = name === "" ? undefined : yield* Effect.orDie(parseRepositoryName(name))
    const credentials = yield* Credentials.Credentials
    return yield* credentials.get({ origin: url.origin, repository, scopes: [] }, rejected)
  })
