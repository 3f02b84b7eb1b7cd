/** Where Docker's and podman's files are found, on a machine of its own for each test. */
import { chmodSync } from "node:fs"
import { SystemError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as ContainersAuth from "../../src/auth/ContainersAuth.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as DockerConfig from "../../src/auth/DockerConfig.js"
import { credentialFor, machine } from "./machine.js"

const auths = (user: string, host = "ghcr.io") => ({
  [host]: { auth: Buffer.from(`${user}:s`).toString("base64") }
})
const config = (user: string, host?: string) => ({ auths: auths(user, host) })

/** Who is known for ghcr.io, on a machine with these files and variables; `~` is its home. */
const user = <E>(
  layer: Layer.Layer<Credentials.Credentials, E, DockerConfig.Services>,
  files: Readonly<Record<string, unknown>>,
  variables: Readonly<Record<string, string>> = {}
) =>
  Effect.gen(function* () {
    const { environment, home, provide, write } = yield* machine
    for (const [name, content] of Object.entries(files)) yield* write(name, content)
    for (const [name, value] of Object.entries(variables))
      environment.set(name, value.replace("~", home))
    const found = yield* credentialFor("ghcr.io").pipe(provide(layer))
    return found._tag === "Basic" ? found.username : found._tag
  }).pipe(Effect.scoped)

const standard = ".docker/config.json"

describe("Docker's configuration", () => {
  const layer = DockerConfig.layer()

  it.live.each([
    ["is ~/.docker/config.json", { [standard]: config("alice") }, {}, "alice"],
    [
      "is in DOCKER_CONFIG instead",
      { [standard]: config("alice"), "d/config.json": config("bob") },
      { DOCKER_CONFIG: "~/d" },
      "bob"
    ],
    [
      "is in DOCKER_CONFIG only, even if it is not there",
      { [standard]: config("alice") },
      { DOCKER_CONFIG: "~/d" },
      "Anonymous"
    ],
    [
      "is in ~/.docker if DOCKER_CONFIG is empty",
      { [standard]: config("alice") },
      { DOCKER_CONFIG: "" },
      "alice"
    ],
    [
      "is ~/.dockercfg, in its own form, where there is no other",
      { ".dockercfg": auths("carol") },
      {},
      "carol"
    ],
    [
      "is not ~/.dockercfg where there is another",
      { ".dockercfg": auths("carol"), [standard]: {} },
      {},
      "Anonymous"
    ],
    ["is nothing on a new machine", {}, {}, "Anonymous"],
    ["is nothing if the file is empty", { [standard]: "\n" }, {}, "Anonymous"],
    [
      "is below USERPROFILE on Windows",
      { "w/.docker/config.json": config("dave") },
      { HOME: "", USERPROFILE: "~/w" },
      "dave"
    ],
    ["is nothing without a home", { [standard]: config("alice") }, { HOME: "" }, "Anonymous"]
  ] as const)("%s", ([, files, variables, expected]) =>
    Effect.map(user(layer, files, variables), (found) => expect(found).toBe(expected))
  )

  it.live("runs the helpers that it names", () =>
    Effect.gen(function* () {
      const { asked, helper, provide, write } = yield* machine
      yield* helper("desk", `echo '{"Username":"hubble","Secret":"s"}'`)
      yield* write(standard, { credsStore: "desk", auths: { "ghcr.io": {} } })
      expect(yield* credentialFor("ghcr.io").pipe(provide(layer))).toMatchObject({
        username: "hubble"
      })
      expect(yield* asked("desk")).toEqual(["get ghcr.io"])
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["is not there", undefined],
    ["is a script that cannot start what it is for", "exec /mnt/c/docker-credential-desktop.exe"],
    ["is a script that may not start it", "exit 126"]
  ] as const)("does without a default helper that %s, and says so", ([, script]) =>
    Effect.gen(function* () {
      const { helper, provide, write } = yield* machine
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      if (script !== undefined) yield* helper("desk", script)
      yield* write(standard, { credsStore: "desk", auths: auths("alice") })
      expect(
        yield* credentialFor("ghcr.io").pipe(
          provide(layer),
          Effect.provide(Logger.replace(Logger.defaultLogger, logger))
        )
      ).toMatchObject({ username: "alice" })
      expect(warnings.join()).toMatch(/docker-credential-desk, the default helper in .* is not/)
    }).pipe(Effect.scoped)
  )

  it.live("does not do without the helper that a host has of its own", () =>
    Effect.gen(function* () {
      const { helper, provide, write } = yield* machine
      yield* helper("desk", "exit 127")
      yield* write(standard, { credHelpers: { "ghcr.io": "desk" }, auths: auths("alice") })
      const error = yield* Effect.flip(credentialFor("ghcr.io").pipe(provide(layer)))
      expect(error.message).toContain("not installed, or not executable")
    }).pipe(Effect.scoped)
  )

  it.live("sends no password whose bytes are not UTF-8 in the file", () =>
    Effect.gen(function* () {
      const { provide, write } = yield* machine
      const file = `{"auths":{"ghcr.io":{"username":"alice","password":"p\xe9"}}}`
      yield* write(standard, Buffer.from(file, "latin1"))
      const error = yield* Effect.flip(credentialFor("ghcr.io").pipe(provide(layer)))
      expect(error.problem).toBe('"password" of "ghcr.io" holds bytes that are not UTF-8')
    }).pipe(Effect.scoped)
  )

  it.live("ends a helper after the time that was set", () =>
    Effect.gen(function* () {
      const { helper, provide, write } = yield* machine
      yield* helper("slow", "sleep 60")
      yield* write(standard, { credHelpers: { "ghcr.io": "slow" } })
      const limited = DockerConfig.layer({ helpers: { timeout: "200 millis" } })
      const error = yield* Effect.flip(credentialFor("ghcr.io").pipe(provide(limited)))
      expect(error.source).toContain("docker-credential-slow (named in /")
      expect(error.source).toContain(`/${standard})`)
      expect(error.problem).toContain("did not answer in time")
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["broken", "{", "not JSON"],
    ["a folder", undefined, "cannot be read"]
  ] as const)("a file that is %s is a failure that names it", ([, content, problem]) =>
    Effect.gen(function* () {
      const { home, provide, write } = yield* machine
      yield* content === undefined ? write(`${standard}/x`, "") : write(standard, content)
      const error = yield* Effect.flip(credentialFor("ghcr.io").pipe(provide(layer)))
      expect(error).toMatchObject({ _tag: "CredentialsFailure", source: `${home}/${standard}` })
      expect(error.problem).toContain(problem)
    }).pipe(Effect.scoped)
  )

  it.live.runIf(process.getuid?.() !== 0)(
    "a file that may not be read is a failure that names it",
    () =>
      Effect.gen(function* () {
        const { provide, write } = yield* machine
        const file = yield* write(standard, config("alice"))
        chmodSync(file, 0)
        const error = yield* Effect.flip(credentialFor("ghcr.io").pipe(provide(layer)))
        expect(error).toMatchObject({ source: file, problem: "it cannot be read" })
      }).pipe(Effect.scoped)
  )

  it.live("a file that was named must be there", () =>
    Effect.gen(function* () {
      const { home, provide, write } = yield* machine
      const path = `${home}/mine.json`
      const named = DockerConfig.layer({ path })
      yield* write(standard, config("alice"))
      const error = yield* Effect.flip(credentialFor("ghcr.io").pipe(provide(named)))
      expect(error).toMatchObject({ source: path })
      yield* write("mine.json", config("bob"))
      expect(yield* credentialFor("ghcr.io").pipe(provide(named))).toMatchObject({
        username: "bob"
      })
    }).pipe(Effect.scoped)
  )
})

describe("DOCKER_AUTH_CONFIG", () => {
  it.live("is the text of a file", () =>
    Effect.gen(function* () {
      const text = JSON.stringify(config("ci"))
      expect(yield* user(DockerConfig.layerEnvironment, {}, { DOCKER_AUTH_CONFIG: text })).toBe(
        "ci"
      )
      for (const variables of [{}, { DOCKER_AUTH_CONFIG: "" }, { DOCKER_AUTH_CONFIG: " \n" }])
        expect(yield* user(DockerConfig.layerEnvironment, {}, variables)).toBe("Anonymous")
    })
  )

  it.live("that is broken is a failure that names the variable and not its value", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        user(DockerConfig.layerEnvironment, {}, { DOCKER_AUTH_CONFIG: "hunter2" })
      )
      expect(error).toMatchObject({ source: "the environment variable DOCKER_AUTH_CONFIG" })
      expect(JSON.stringify(error)).not.toContain("hunter2")
    })
  )
})

describe("podman's files", () => {
  const runtime = "run/containers/auth.json"
  const home = ".config/containers/auth.json"
  const variables = { XDG_RUNTIME_DIR: "~/run" }

  it.live.each([
    [
      "below XDG_RUNTIME_DIR",
      { [runtime]: config("alice"), [home]: config("bob") },
      variables,
      "alice"
    ],
    [
      "below ~/.config where that knows nobody",
      { [runtime]: config("alice", "quay.io"), [home]: config("bob") },
      variables,
      "bob"
    ],
    [
      "below XDG_CONFIG_HOME instead",
      { [home]: config("bob"), "x/containers/auth.json": config("carol") },
      { XDG_CONFIG_HOME: "~/x" },
      "carol"
    ],
    [
      "the one that REGISTRY_AUTH_FILE names, and no other",
      { [runtime]: config("alice"), "my.json": config("dave") },
      { ...variables, REGISTRY_AUTH_FILE: "~/my.json" },
      "dave"
    ],
    [
      "even if it knows nobody",
      { [runtime]: config("alice"), "my.json": "{}" },
      { ...variables, REGISTRY_AUTH_FILE: "~/my.json" },
      "Anonymous"
    ],
    ["for a namespace", { [home]: config("erin", "ghcr.io/owner") }, {}, "Anonymous"],
    ["nowhere", {}, {}, "Anonymous"]
  ] as const)("are %s", ([, files, variables, expected]) =>
    Effect.map(user(ContainersAuth.layer(), files, variables), (found) =>
      expect(found).toBe(expected)
    )
  )

  it.live.each([
    [{}, "alice"],
    [{ XDG_RUNTIME_DIR: "~/run" }, "Anonymous"]
  ] as const)(
    "are below /run/containers for the user's number, without XDG_RUNTIME_DIR: %j",
    ([variables, expected]) =>
      Effect.gen(function* () {
        // No test may write there.
        const asked: Array<string> = []
        const files = FileSystem.layerNoop({
          readFileString: (path) =>
            Effect.suspend(() => {
              asked.push(path)
              return path === "/run/containers/1000/auth.json"
                ? Effect.succeed(JSON.stringify(config("alice")))
                : Effect.fail(
                    new SystemError({
                      reason: "NotFound",
                      module: "FileSystem",
                      method: "readFileString"
                    })
                  )
            })
        })
        expect(
          yield* user(Layer.provide(ContainersAuth.layer({ uid: 1000 }), files), {}, variables)
        ).toBe(expected)
        expect(asked.includes("/run/containers/1000/auth.json")).toBe(expected === "alice")
      })
  )

  it.live("one that REGISTRY_AUTH_FILE names must be there", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        user(ContainersAuth.layer(), {}, { REGISTRY_AUTH_FILE: "/nowhere/auth.json" })
      )
      expect(error).toMatchObject({ source: "/nowhere/auth.json" })
    })
  )

  it.live("a namespace has a login of its own", () =>
    Effect.gen(function* () {
      const { provide, write } = yield* machine
      yield* write(home, config("erin", "ghcr.io/owner"))
      expect(
        yield* credentialFor("ghcr.io/owner/app").pipe(provide(ContainersAuth.layer()))
      ).toMatchObject({
        username: "erin"
      })
    }).pipe(Effect.scoped)
  )
})

describe("a chain", () => {
  const token = Credentials.layerRegistryToken({ host: "quay.io", token: Redacted.make("t") })
  const chain = Credentials.layerChain(
    DockerConfig.layerEnvironment,
    token,
    DockerConfig.layer(),
    ContainersAuth.layer()
  )

  it.live("asks its sources in order", () =>
    Effect.gen(function* () {
      const files = {
        [standard]: config("docker"),
        ".config/containers/auth.json": config("podman")
      }
      const variable = { DOCKER_AUTH_CONFIG: JSON.stringify(config("ci")) }
      expect(yield* user(chain, files, variable)).toBe("ci")
      expect(yield* user(chain, files)).toBe("docker")
      expect(yield* user(chain, { ".config/containers/auth.json": config("podman") })).toBe(
        "podman"
      )
      expect(yield* user(chain, {})).toBe("Anonymous")
    })
  )

  it.live("does not pass over a source that is broken: it could show the wrong user", () =>
    Effect.gen(function* () {
      const files = { [standard]: "{", ".config/containers/auth.json": config("podman") }
      expect(yield* Effect.flip(user(chain, files))).toMatchObject({ _tag: "CredentialsFailure" })
    })
  )
})
