/** Logins stored and erased, on a machine of its own for each test. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { setImmediate } from "node:timers/promises"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as ContainersAuth from "../../src/auth/ContainersAuth.js"
import * as CredentialHelper from "../../src/auth/CredentialHelper.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as DockerConfig from "../../src/auth/DockerConfig.js"
import { credentialFor, machine } from "./machine.js"

const secret = "s3cret-of-a-login"
const alice = Credentials.basic("alice", Redacted.make(secret))
const auth = (user: string, password = secret) =>
  Buffer.from(`${user}:${password}`).toString("base64")

const config = ".docker/config.json"

/** A machine, and what is in its files. */
const world = Effect.gen(function* () {
  const on = yield* machine
  const at = (name: string) => Path.join(on.home, name)
  return {
    ...on,
    at,
    run: <A, E>(effect: Effect.Effect<A, E, DockerConfig.Services>) =>
      Effect.provide(
        effect,
        Layer.provideMerge(
          NodeContext.layer,
          Layer.setConfigProvider(ConfigProvider.fromMap(on.environment))
        )
      ),
    text: (name: string) => Effect.promise(() => Fs.readFile(at(name), "utf8")),
    json: (name: string): Effect.Effect<unknown> =>
      Effect.promise(async () => JSON.parse(await Fs.readFile(at(name), "utf8"))),
    mode: (name: string) => Effect.promise(async () => (await Fs.stat(at(name))).mode & 0o777),
    files: (folder: string) =>
      Effect.promise((): Promise<ReadonlyArray<string>> => Fs.readdir(at(folder)).catch(() => []))
  }
})

/** A helper that keeps one login, in a file. */
const keeping = `case $1 in
store) printf '%s' "$server" > "$HELPER_FILE" ;;
get) cat "$HELPER_FILE" 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
erase) rm "$HELPER_FILE" 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
esac`
const keeper = (file: string) => keeping.replaceAll("$HELPER_FILE", file)

const nameOf = (found: Credentials.Credential) =>
  found._tag === "Basic" ? found.username : found._tag

describe("a login is stored in a file", () => {
  it.live("which is new, and for its user alone", () =>
    Effect.gen(function* () {
      const { files, json, mode, run } = yield* world
      yield* run(DockerConfig.store("ghcr.io", alice))
      expect(yield* json(config)).toEqual({ auths: { "ghcr.io": { auth: auth("alice") } } })
      expect(yield* mode(config)).toBe(0o600)
      expect(yield* mode(".docker")).toBe(0o700)
      expect(yield* files(".docker")).toEqual(["config.json"])
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["ghcr.io", "ghcr.io"],
    ["GHCR.io:443", "ghcr.io"],
    ["localhost:5000", "localhost:5000"],
    ["docker.io", "https://index.docker.io/v1/"],
    ["registry-1.docker.io", "https://index.docker.io/v1/"]
  ] as const)("of %s under %s, in place of every spelling", ([host, key]) =>
    Effect.gen(function* () {
      const { json, run, write } = yield* world
      yield* write(config, {
        auths: {
          "https://ghcr.io/v1/": { auth: auth("old") },
          "http://localhost:5000": { auth: auth("old") },
          "index.docker.io": { auth: auth("old") },
          "ghcr.io/owner": { auth: auth("owner") },
          "ghcr.io.evil.example": { auth: auth("evil") }
        }
      })
      yield* run(DockerConfig.store(host, alice))
      const { auths } = (yield* json(config)) as { auths: Record<string, unknown> }
      expect(auths[key]).toEqual({ auth: auth("alice") })
      expect(auths["ghcr.io/owner"]).toEqual({ auth: auth("owner") })
      expect(auths["ghcr.io.evil.example"]).toEqual({ auth: auth("evil") })
      expect(Object.keys(auths).length).toBe(5)
    }).pipe(Effect.scoped)
  )

  it.live("which others could read until then, and which a link leads to", () =>
    Effect.gen(function* () {
      const { at, files, json, mode, run, write } = yield* world
      yield* write("dotfiles/docker.json", `{"detachKeys":"ctrl-e"}`)
      yield* Effect.promise(async () => {
        await Fs.chmod(at("dotfiles/docker.json"), 0o640)
        await Fs.mkdir(at(".docker"))
        await Fs.symlink("../dotfiles/docker.json", at(config))
      })
      yield* run(DockerConfig.store("ghcr.io", alice))
      expect(yield* json("dotfiles/docker.json")).toEqual({
        detachKeys: "ctrl-e",
        auths: { "ghcr.io": { auth: auth("alice") } }
      })
      expect(yield* mode("dotfiles/docker.json")).toBe(0o600)
      expect(yield* Effect.promise(() => Fs.readlink(at(config)))).toBe("../dotfiles/docker.json")
      expect(yield* files("dotfiles")).toEqual(["docker.json"])
    }).pipe(Effect.scoped)
  )

  it.live("which is not there yet, at the end of links", () =>
    Effect.gen(function* () {
      const { at, json, run } = yield* world
      yield* Effect.promise(async () => {
        await Fs.mkdir(at("data/docker"), { recursive: true })
        await Fs.symlink("data/docker", at(".docker"))
        await Fs.symlink("second", at(config))
        await Fs.symlink("../dotfiles/docker.json", at(".docker/second"))
      })
      yield* run(DockerConfig.store("ghcr.io", alice))
      expect(yield* json("data/dotfiles/docker.json")).toMatchObject({ auths: { "ghcr.io": {} } })
    }).pipe(Effect.scoped)
  )

  it.live("as a token of each kind, which is read back as it is", () =>
    Effect.gen(function* () {
      const { json, provide, run } = yield* world
      const identity = Credentials.identityToken(Redacted.make("identity-t0ken"))
      const registry = Credentials.registryToken(Redacted.make("registry-t0ken"))
      yield* run(DockerConfig.store("a.example", identity))
      yield* run(DockerConfig.store("b.example", registry))
      expect(yield* json(config)).toEqual({
        auths: {
          "a.example": { auth: auth("<token>", ""), identitytoken: "identity-t0ken" },
          "b.example": { registrytoken: "registry-t0ken" }
        }
      })
      const read = (host: string) =>
        Effect.map(credentialFor(host), ({ identity }) => identity).pipe(
          provide(DockerConfig.layer())
        )
      expect(yield* read("a.example")).toBe(identity.identity)
      expect(yield* read("b.example")).toBe(registry.identity)
    }).pipe(Effect.scoped)
  )

  it.live("beside the logins of ~/.dockercfg, which is not read any longer", () =>
    Effect.gen(function* () {
      const { provide, run, write } = yield* world
      yield* write(".dockercfg", { "quay.io": { auth: auth("carol") } })
      yield* run(DockerConfig.store("ghcr.io", alice))
      const user = (host: string) =>
        Effect.map(credentialFor(host), nameOf).pipe(provide(DockerConfig.layer()))
      expect([yield* user("quay.io"), yield* user("ghcr.io")]).toEqual(["carol", "alice"])
    }).pipe(Effect.scoped)
  )

  it.live("by fifty at once, and none is lost", () =>
    Effect.gen(function* () {
      const { files, json, run } = yield* world
      const hosts = Array.from({ length: 50 }, (_, n) => `r${n}.example`)
      yield* Effect.forEach(hosts, (host) => run(DockerConfig.store(host, alice)), {
        concurrency: "unbounded"
      })
      const { auths } = (yield* json(config)) as { auths: object }
      expect(Object.keys(auths).toSorted()).toEqual(hosts.toSorted())
      expect(yield* files(".docker")).toEqual(["config.json"])
    }).pipe(Effect.scoped)
  )

  it.scoped("whose lock a program left behind when it was killed", () =>
    Effect.gen(function* () {
      const { files, json, run, write } = yield* world
      yield* write(`${config}.effect-oci-lock`, "half of a fi")
      const storing = yield* Effect.fork(run(DockerConfig.store("ghcr.io", alice)))
      // Each look at the lock is one of the system's, and then a time to wait.
      while (Option.isNone(yield* Fiber.poll(storing))) {
        yield* Effect.promise(() => setImmediate())
        yield* TestClock.adjust("20 millis")
      }
      yield* Fiber.join(storing)
      expect(yield* json(config)).toEqual({ auths: { "ghcr.io": { auth: auth("alice") } } })
      expect(yield* files(".docker")).toEqual(["config.json"])
      expect(yield* Clock.currentTimeMillis).toBeGreaterThanOrEqual(5000)
    })
  )

  it.live("but does not wait for a lock any longer when it is interrupted", () =>
    Effect.gen(function* () {
      const { files, run, write } = yield* world
      yield* write(`${config}.effect-oci-lock`, "of another program")
      const storing = yield* Effect.fork(run(DockerConfig.store("ghcr.io", alice)))
      yield* Effect.promise(() => setImmediate())
      expect(yield* Fiber.interrupt(storing)).toMatchObject({ _tag: "Failure" })
      expect(yield* files(".docker")).toEqual(["config.json.effect-oci-lock"])
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["that is a folder", (at: string) => Fs.mkdir(at), "it cannot be read"],
    ["that links to itself", (at: string) => Fs.symlink("config.json", at), "it cannot be read"],
    [
      "in what is no folder",
      (at: string) => Fs.symlink("../file/config.json", at),
      "it cannot be read"
    ]
  ] as const)("but not in one %s", ([, make, problem]) =>
    Effect.gen(function* () {
      const { at, files, run, write } = yield* world
      yield* write("file", "")
      yield* Effect.promise(async () => {
        await Fs.mkdir(at(".docker"))
        await make(at(config))
      })
      const error = yield* Effect.flip(run(DockerConfig.store("ghcr.io", alice)))
      expect(error).toMatchObject({ _tag: "CredentialsFailure", source: at(config) })
      expect(error.message).toContain(problem)
      expect(yield* files(".docker")).toEqual(["config.json"])
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["is broken", `{"auths":`, "it is not JSON"],
    ["has another form", `{"auths":[]}`, "does not have the form"],
    ["is not UTF-8", Buffer.from(`{"HttpHeaders":{"x":"\xe9"}}`, "latin1"), "not UTF-8"]
  ] as const)("but not in one that %s, which stays as it is", ([, content, problem]) =>
    Effect.gen(function* () {
      const { at, files, run, write } = yield* world
      yield* write(config, content)
      const before = yield* Effect.promise(() => Fs.readFile(at(config)))
      const error = yield* Effect.flip(run(DockerConfig.store("ghcr.io", alice)))
      expect(error).toMatchObject({ _tag: "CredentialsFailure", source: at(config) })
      expect(error.message).toContain(problem)
      expect(yield* Effect.promise(() => Fs.readFile(at(config)))).toEqual(before)
      expect(yield* files(".docker")).toEqual(["config.json"])
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["an empty password", Credentials.basic("alice", Redacted.make("")), "password is empty"],
    ["no user", Credentials.basic("", Redacted.make(secret)), "user name is empty"],
    ["a colon", Credentials.basic("a:b", Redacted.make(secret)), "holds a colon"],
    ["a NUL at its end", Credentials.basic("a", Redacted.make(`${secret}\0`)), "NUL"],
    ["an empty token", Credentials.identityToken(Redacted.make("")), "token is empty"],
    ["a line break", Credentials.registryToken(Redacted.make(`${secret}\n`)), "cannot carry"]
  ] as const)("but not with %s, which could not be read back", ([, login, problem]) =>
    Effect.gen(function* () {
      const { files, run } = yield* world
      const error = yield* Effect.flip(run(DockerConfig.store("ghcr.io", login)))
      expect(error).toMatchObject({ _tag: "CredentialsFailure" })
      expect(error.message).toContain(problem)
      expect(yield* files(".docker")).toEqual([])
    }).pipe(Effect.scoped)
  )

  it.live.each(["https://ghcr.io", "ghcr.io/owner", "", "*.io"])("nor for %j", (host) =>
    Effect.gen(function* () {
      const { run } = yield* world
      expect(yield* Effect.flip(run(DockerConfig.store(host, alice)))).toMatchObject({
        _tag: "InvalidUrl"
      })
      expect(yield* Effect.flip(run(DockerConfig.erase(host)))).toMatchObject({
        _tag: "InvalidUrl"
      })
    }).pipe(Effect.scoped)
  )
})

describe("a login is stored by a helper", () => {
  it.live.each([
    ["that is the default", { credsStore: "desk", auths: { "https://ghcr.io": { auth: "b2xk" } } }],
    ["of the host", { credHelpers: { "ghcr.io": "desk" }, credsStore: "other" }]
  ] as const)("%s, and the file says no more than that", ([, content]) =>
    Effect.gen(function* () {
      const { asked, at, helper, json, provide, run, text, write } = yield* world
      yield* helper("desk", keeper(at("keychain")))
      yield* write(config, content)
      yield* run(DockerConfig.store("ghcr.io", alice))
      expect(yield* json("keychain")).toEqual({
        ServerURL: "ghcr.io",
        Username: "alice",
        Secret: secret
      })
      expect(yield* json(config)).toEqual({ ...content, auths: { "ghcr.io": {} } })
      expect(yield* text(config)).not.toContain(secret)
      const found = yield* credentialFor("ghcr.io").pipe(provide(DockerConfig.layer()))
      expect(found).toMatchObject({
        username: "alice",
        source: `docker-credential-desk (named in ${at(config)})`
      })
      yield* run(DockerConfig.erase("ghcr.io"))
      expect((yield* asked("desk")).at(-1)).toBe("erase ghcr.io")
      expect(yield* json(config)).toEqual({ ...content, auths: {} })
      yield* run(DockerConfig.erase("ghcr.io"))
    }).pipe(Effect.scoped)
  )

  it.live("under Docker's key for Docker Hub, and an identity token as <token>", () =>
    Effect.gen(function* () {
      const { asked, at, helper, json, run } = yield* world
      yield* helper("desk", keeper(at("keychain")))
      const token = Credentials.identityToken(Redacted.make("identity-t0ken"))
      yield* run(CredentialHelper.store("desk", "docker.io", token))
      expect(yield* json("keychain")).toEqual({
        ServerURL: "https://index.docker.io/v1/",
        Username: "<token>",
        Secret: "identity-t0ken"
      })
      yield* run(CredentialHelper.erase("desk", "docker.io"))
      expect((yield* asked("desk")).at(-1)).toBe("erase https://index.docker.io/v1/")
    }).pipe(Effect.scoped)
  )

  it.live("unless an empty one says that the host has none", () =>
    Effect.gen(function* () {
      const { json, run, write } = yield* world
      yield* write(config, { credHelpers: { "ghcr.io": "" }, credsStore: "missing" })
      yield* run(DockerConfig.store("ghcr.io", alice))
      expect(yield* json(config)).toMatchObject({ auths: { "ghcr.io": { auth: auth("alice") } } })
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["is not installed", undefined, "not installed"],
    ["fails", `echo "$server"; echo "$server" >&2; exit 1`, "exit code 1"],
    ["prints too much", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxx; done", "64 KiB"],
    ["reads nothing and fails", "exec false", "exit code 1"]
  ] as const)("and never by the file, if the helper %s", ([, script, problem]) =>
    Effect.gen(function* () {
      const { at, helper, json, run, write } = yield* world
      if (script !== undefined) yield* helper("desk", script)
      yield* write(config, { credsStore: "desk" })
      const error = yield* Effect.flip(run(DockerConfig.store("ghcr.io", alice)))
      expect(error).toMatchObject({
        _tag: "CredentialsFailure",
        source: `docker-credential-desk (named in ${at(config)})`
      })
      expect(error.message).toContain(problem)
      expect(error.message).not.toContain(secret)
      expect(yield* json(config)).toEqual({ credsStore: "desk" })
    }).pipe(Effect.scoped)
  )

  it.live("but not as a registry token, which it could not keep", () =>
    Effect.gen(function* () {
      const { json, run, write } = yield* world
      yield* write(config, { credsStore: "desk" })
      const token = Credentials.registryToken(Redacted.make(secret))
      const error = yield* Effect.flip(run(DockerConfig.store("ghcr.io", token)))
      expect(error.message).toContain("helpers keep no registry tokens")
      expect(yield* json(config)).toEqual({ credsStore: "desk" })
    }).pipe(Effect.scoped)
  )
})

describe("a login is erased", () => {
  it.live("in all spellings, and Docker Desktop's tokens with that of Docker Hub", () =>
    Effect.gen(function* () {
      const { json, run, write } = yield* world
      yield* write(config, {
        auths: {
          "https://index.docker.io/v1/": { auth: auth("a") },
          "https://index.docker.io/v1/access-token": { auth: auth("b") },
          "https://index.docker.io/v1/refresh-token": { auth: auth("c") },
          "docker.io": {},
          "quay.io": {}
        }
      })
      yield* run(DockerConfig.erase("docker.io"))
      expect(yield* json(config)).toEqual({ auths: { "quay.io": {} } })
    }).pipe(Effect.scoped)
  )

  it.live("from ~/.dockercfg where that is what is read", () =>
    Effect.gen(function* () {
      const { json, run, write } = yield* world
      yield* write(".dockercfg", { "ghcr.io": { auth: auth("a") }, "quay.io": {} })
      yield* run(DockerConfig.erase("ghcr.io"))
      expect(yield* json(".dockercfg")).toEqual({ "quay.io": {} })
    }).pipe(Effect.scoped)
  )

  it.live("where there is none, and nothing is made or touched", () =>
    Effect.gen(function* () {
      const { at, files, run, text, write } = yield* world
      yield* run(DockerConfig.erase("ghcr.io"))
      yield* run(ContainersAuth.erase("ghcr.io"))
      expect(yield* files(".docker")).toEqual([])
      yield* write(config, `{ "auths": {"quay.io":{}} }`)
      const before = yield* Effect.promise(() => Fs.stat(at(config)))
      yield* run(DockerConfig.erase("ghcr.io"))
      expect(yield* text(config)).toBe(`{ "auths": {"quay.io":{}} }`)
      expect((yield* Effect.promise(() => Fs.stat(at(config)))).ino).toBe(before.ino)
    }).pipe(Effect.scoped)
  )
})

it.live("layers of the process see at once what is stored and erased", () =>
  Effect.gen(function* () {
    const { at, helper, provide, run, write } = yield* world
    yield* helper("desk", keeper(at("keychain")))
    yield* write(config, { credHelpers: { "helped.example": "desk" } })
    const both = (expected: string) =>
      Effect.forEach(["ghcr.io", "helped.example"], (host) =>
        Effect.map(credentialFor(host), (found) => expect(nameOf(found)).toBe(expected))
      )
    const change = (
      change: (host: string) => Effect.Effect<void, unknown, DockerConfig.Services>
    ) => Effect.forEach(["ghcr.io", "helped.example"], (host) => run(change(host)))
    yield* Effect.gen(function* () {
      yield* both("Anonymous")
      yield* change((host) => DockerConfig.store(host, alice))
      yield* both("alice")
      const bob = Credentials.basic("bob", Redacted.make(secret))
      yield* change((host) => DockerConfig.store(host, bob))
      yield* both("bob")
      yield* change((host) => DockerConfig.erase(host))
      yield* both("Anonymous")
    }).pipe(provide(DockerConfig.layer()))
  }).pipe(Effect.scoped)
)

describe("podman's file", () => {
  it.live("is that of the session, or else of the user, and all are erased from", () =>
    Effect.gen(function* () {
      const { environment, json, run } = yield* world
      yield* run(ContainersAuth.store("docker.io", alice))
      const user = ".config/containers/auth.json"
      const login = { auths: { "docker.io": { auth: auth("alice") } } }
      expect(yield* json(user)).toEqual(login)
      environment.set("XDG_RUNTIME_DIR", `${environment.get("HOME")}/run`)
      yield* run(ContainersAuth.store("docker.io", alice))
      expect(yield* json("run/containers/auth.json")).toEqual(login)
      yield* run(ContainersAuth.erase("docker.io"))
      expect(yield* json("run/containers/auth.json")).toEqual({ auths: {} })
      expect(yield* json(user)).toEqual({ auths: {} })
    }).pipe(Effect.scoped)
  )
})
