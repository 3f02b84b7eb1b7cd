/**
 * Logins that other programs and this library write, read, use and erase, with one file between
 * them, at a registry that lets only one user in.
 */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as ContainersAuth from "../../src/auth/ContainersAuth.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as DockerConfig from "../../src/auth/DockerConfig.js"
import {
  DebianRegistry,
  debianUser,
  describeDebian,
  layerDebianRegistryBasic
} from "../support/debian.js"
import { isInstalled } from "../support/installed.js"
import { credentialFor, machine } from "./machine.js"

const { password, username } = debianUser

/** The arguments with which a program does so. */
interface Program {
  readonly module: Pick<typeof DockerConfig, "layer" | "store" | "erase">
  /** Logs in with a password from its input. */
  readonly login: (file: string, host: string) => ReadonlyArray<string>
  /** Finds the login in the file, and prints `user` or uses it at the registry. */
  readonly find: (file: string, host: string) => ReadonlyArray<string>
  readonly logout: (file: string, host: string) => ReadonlyArray<string>
}

const containers: Program = {
  module: ContainersAuth,
  login: (file, host) => [
    ...["login", "--authfile", file, "--tls-verify=false"],
    ...["-u", username, "--password-stdin", host]
  ],
  find: (file, host) => ["login", "--authfile", file, "--tls-verify=false", host],
  logout: (file, host) => ["logout", "--authfile", file, host]
}

const programs: Readonly<Record<string, Program>> = {
  // Its server, which is not needed for a new login, would try the one that is found.
  docker: {
    module: DockerConfig,
    login: (file, host) => [
      ...["--config", Path.dirname(file), "login"],
      ...["-u", username, "--password-stdin", host]
    ],
    find: (file, host) => ["--config", Path.dirname(file), "login", host],
    logout: (file, host) => ["--config", Path.dirname(file), "logout", host]
  },
  oras: {
    module: DockerConfig,
    login: (file, host) => [
      ...["login", "--plain-http", "--registry-config", file],
      ...["-u", username, "--password-stdin", host]
    ],
    find: (file, host) => ["repo", "ls", "--plain-http", "--registry-config", file, host],
    logout: (file, host) => ["logout", "--registry-config", file, host]
  },
  skopeo: containers,
  buildah: containers
}

describeDebian("with a registry of one user", () => {
  for (const [command, { find, login, logout, module }] of Object.entries(programs))
    describe.skipIf(!isInstalled(command))(`${command} and this library`, () => {
      it.live("find and erase each other's logins, and keep those of others", () =>
        Effect.gen(function* () {
          const { url } = yield* DebianRegistry
          const host = url.replace("http://", "")
          const { home, provide, write } = yield* machine
          const others = { "other.example": { auth: "b3RoZXI6b3RoZXI=" } }
          const path = yield* write("files/config.json", { auths: others })
          const run = (args: ReadonlyArray<string>, input = "") => {
            const { status, stderr } = spawnSync(command, args, {
              env: { ...process.env, HOME: home },
              encoding: "utf8",
              input
            })
            return status === 0 || stderr.includes(`[Username: ${username}]`)
          }
          const found = provide(module.layer({ path }))(credentialFor(url))
          const auths = Effect.promise(
            async () => JSON.parse(await Fs.readFile(path, "utf8")).auths
          )
          const mine = Credentials.basic(username, Redacted.make(password))

          expect(run(find(path, host))).toBe(false)
          yield* module.store(host, mine, { path })
          expect(run(find(path, host))).toBe(true)
          expect(run(logout(path, host))).toBe(true)
          expect(yield* found).toMatchObject({ _tag: "Anonymous" })

          yield* module.store(host, Credentials.basic("old", Redacted.make("old")), { path })
          expect(run(login(path, host), password)).toBe(true)
          expect(yield* found).toMatchObject({ _tag: "Basic", identity: mine.identity })
          expect(Object.keys(yield* auths).toSorted()).toEqual([host, "other.example"])
          yield* module.erase(host, { path })
          expect(yield* auths).toEqual(others)
          expect(run(find(path, host))).toBe(false)
        }).pipe(
          Effect.scoped,
          Effect.provide(NodeContext.layer),
          Effect.provide(layerDebianRegistryBasic)
        )
      )
    })
})
