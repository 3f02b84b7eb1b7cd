import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { inspect } from "node:util"
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as CredentialHelper from "../../src/auth/CredentialHelper.js"
import * as Credentials from "../../src/auth/Credentials.js"
import { credentialFor, machine } from "./machine.js"

const prints = (username: string, secret: string) =>
  `printf '%s' '{"ServerURL":"https://ghcr.io","Username":"${username}","Secret":"${secret}"}'`

/** What the helper says of ghcr.io. */
const answer = (script: string, options?: CredentialHelper.Options) =>
  Effect.gen(function* () {
    const { helper, provide } = yield* machine
    yield* helper("test", script)
    return yield* credentialFor("ghcr.io").pipe(provide(CredentialHelper.layer("test", options)))
  }).pipe(Effect.scoped)

describe("the protocol", () => {
  it.live.each([
    ["ghcr.io", "get ghcr.io"],
    ["http://localhost:5000", "get localhost:5000"],
    ["docker.io", "get https://index.docker.io/v1/"],
    ["registry-1.docker.io", "get https://index.docker.io/v1/"]
  ] as const)("the helper of %s reads: %s", ([place, line]) =>
    Effect.gen(function* () {
      const { asked, helper, provide } = yield* machine
      yield* helper("test", prints("octocat", "hunter2"))
      expect(
        yield* credentialFor(place).pipe(provide(CredentialHelper.layer("test")))
      ).toMatchObject({
        _tag: "Basic",
        username: "octocat",
        identity: Credentials.basic("octocat", Redacted.make("hunter2")).identity
      })
      expect(yield* asked("test")).toEqual([line])
    }).pipe(Effect.scoped)
  )

  it.live("the user name <token> makes the secret an identity token", () =>
    Effect.map(answer(prints("<token>", "hunter2")), (credential) =>
      expect(credential.identity).toBe(Credentials.identityToken(Redacted.make("hunter2")).identity)
    )
  )

  it.live("member names have any case, as in Go", () =>
    Effect.map(answer(`echo '{"username":"octocat","SECRET":"hunter2"}'`), (credential) =>
      expect(credential).toMatchObject({ _tag: "Basic", username: "octocat" })
    )
  )

  it.live.each([
    ["says so", "echo 'credentials not found in native keychain'; exit 1"],
    ["has an empty entry", prints("", "")],
    ["has null for all", `echo '{"ServerURL":null,"Username":null,"Secret":null}'`],
    ["has an entry without members", "echo '{}'"]
  ] as const)("nobody is known where the helper %s", ([, script]) =>
    Effect.map(answer(script), (credential) =>
      expect(credential).toMatchObject(Credentials.anonymous)
    )
  )

  it.live.each([
    ["fails", "echo hunter2; echo hunter2 >&2; exit 1", "exit code 1"],
    [
      "fails with another of the protocol's messages",
      "echo 'no credentials server URL'; exit 1",
      "exit code 1"
    ],
    ["fails with the third of them", "echo 'no credentials username'; exit 1", "exit code 1"],
    [
      "only begins to say that it knows nobody",
      "echo 'credentials not found in native keychain: hunter2'; exit 1",
      "exit code 1"
    ],
    ["prints garbage", "echo 'hunter2 not json'", "something other than a credential"],
    ["prints nothing", "true", "something other than a credential"],
    [
      "prints other JSON",
      'echo \'{"Username":1,"Secret":"hunter2"}\'',
      "something other than a credential"
    ],
    ["prints a secret without a user", prints("", "hunter2"), "a user name or a secret"],
    [
      "prints without end",
      "while :; do echo hunter2hunter2hunter2hunter2hunter2hunter2; done",
      "64 KiB"
    ],
    ["dies", "kill -9 $$", "could not be run to its end"],
    ["has a user name with a colon", prints("team:bot", "hunter2"), "holds a colon"],
    [
      "prints bytes that are not UTF-8",
      `printf '{"Username":"octocat","Secret":"hunter2\\351"}'`,
      "not UTF-8"
    ],
    [
      "prints half a surrogate pair",
      `printf '%s' '{"Username":"octocat","Secret":"hunter2\\ud800"}'`,
      "not valid Unicode"
    ],
    ["prints null for the secret", `echo '{"Username":"hunter2","Secret":null}'`, "not both"],
    ["prints a list", `echo '["hunter2"]'`, "something other than a credential"],
    [
      "fails with a message of its own about syntax",
      "echo 'syntax error' >&2; exit 2",
      "exit code 2"
    ]
  ] as const)(
    "a helper that %s is a failure that names it and shows nothing of its output (T17)",
    ([, script, problem]) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(answer(script))
        expect(error).toMatchObject({
          _tag: "CredentialsFailure",
          source: "docker-credential-test"
        })
        expect(error.problem).toContain(problem)
        expect(error.fix).toContain("docker-credential-test get")
        expect(inspect(error, { depth: 9 }) + JSON.stringify(error) + error.message).not.toContain(
          "hunter2"
        )
      })
  )

  it.live("64 KiB are not too much, nor is anything on the standard error", () =>
    Effect.gen(function* () {
      const script = [
        "dd if=/dev/zero bs=1024 count=1024 >&2 2>/dev/null",
        prints("octocat", "hunter2"),
        "printf '%65000s' ' '"
      ].join("\n")
      expect((yield* answer(script))._tag).toBe("Basic")
    })
  )

  it.live("a helper that hangs is ended, whatever signals it ignores", () =>
    Effect.gen(function* () {
      const [time, error] = yield* Effect.timed(
        Effect.flip(answer("trap '' TERM\nwhile :; do sleep 1; done", { timeout: "300 millis" }))
      )
      expect(error.problem).toContain("did not answer in time")
      expect(Duration.toSeconds(time)).toBeLessThan(5)
    })
  )

  it.live.each([
    ["a script that starts a program that is not there", "exec docker-credential-nowhere get"],
    ["a script that starts what is not executable", 'exec "$0.log"'],
    ["a script that says 126", "exit 126"]
  ] as const)("%s is a helper that cannot be executed", ([, script]) =>
    Effect.map(Effect.flip(answer(script)), (error) =>
      expect(error.message).toContain("not installed, or not executable")
    )
  )

  it.live("so is a program of another system, as on WSL", () =>
    Effect.gen(function* () {
      const { home, helper, provide } = yield* machine
      yield* helper("desktop.exe", "")
      yield* Effect.promise(() =>
        Fs.writeFile(
          Path.join(home, "bin", "docker-credential-desktop.exe"),
          "MZ\x90\0\x03\0\0\0\x04\0'\n!This program cannot be run in DOS mode.\r\n$("
        )
      )
      const error = yield* Effect.flip(
        credentialFor("ghcr.io").pipe(provide(CredentialHelper.layer("desktop.exe")))
      )
      expect(error.message).toContain("not installed, or not executable")
    }).pipe(Effect.scoped)
  )

  it.live("so is what Node cannot start for a reason that it throws", () =>
    Effect.gen(function* () {
      const { home, helper, provide } = yield* machine
      yield* helper("other", "")
      const program = Path.join(home, "bin", "docker-credential-loop")
      yield* Effect.promise(() => Fs.symlink(program, program))
      const error = yield* Effect.flip(
        credentialFor("ghcr.io").pipe(provide(CredentialHelper.layer("loop")))
      )
      expect(error.message).toContain("not installed, or not executable")
    }).pipe(Effect.scoped)
  )

  it.live("one that leaves a program behind that keeps its pipes is not waited for", () =>
    Effect.gen(function* () {
      const [time, credential] = yield* Effect.timed(
        answer(`sleep 20 >/dev/null &\n${prints("octocat", "s")}`)
      )
      expect(credential._tag).toBe("Basic")
      expect(Duration.toSeconds(time)).toBeLessThan(15)
    })
  )

  it.live("one that is not installed is a failure that says so", () =>
    Effect.gen(function* () {
      const { provide } = yield* machine
      const error = yield* Effect.flip(
        credentialFor("ghcr.io").pipe(provide(CredentialHelper.layer("absent")))
      )
      expect(error).toMatchObject({ source: "docker-credential-absent" })
      expect(error.message).toContain("not installed")
    }).pipe(Effect.scoped)
  )

  it.live.each(["", "../evil", "a/b", "a b", "a;b", "a\n", "a".repeat(129)])(
    "a name that is not plain runs nothing: %j (T17)",
    (suffix) =>
      Effect.gen(function* () {
        const { provide } = yield* machine
        const error = yield* Effect.flip(
          credentialFor("ghcr.io").pipe(provide(CredentialHelper.layer(suffix)))
        )
        expect(error).toMatchObject({ _tag: "CredentialsFailure", source: "a credential helper" })
      }).pipe(Effect.scoped)
  )
})

describe("answers are kept", () => {
  /** Says user1, user2, … to each question. */
  const counting =
    'n=$(wc -l < "$(dirname "$0")/../test.log")\nprintf \'{"Username":"user%d","Secret":"s"}\' "$n"'
  const user = (credential: Credentials.Credential) =>
    credential._tag === "Basic" ? credential.username : "-"

  it.live("until they are rejected, and then asked for once", () =>
    Effect.gen(function* () {
      const { asked, helper, provide } = yield* machine
      yield* helper("test", counting)
      yield* Effect.gen(function* () {
        const first = yield* credentialFor("ghcr.io")
        expect(user(first)).toBe("user1")
        expect(user(yield* credentialFor("ghcr.io"))).toBe("user1")
        const rejecting = credentialFor("ghcr.io", first)
        const renewed = yield* Effect.all([rejecting, rejecting, rejecting], {
          concurrency: "unbounded"
        })
        expect(renewed.map(user)).toEqual(["user2", "user2", "user2"])
        expect(user(yield* rejecting)).toBe("user2")
        expect(user(yield* credentialFor("ghcr.io"))).toBe("user2")
        expect(user(yield* credentialFor("quay.io"))).toBe("user3")
      }).pipe(provide(CredentialHelper.layer("test")))
      expect(yield* asked("test")).toEqual(["get ghcr.io", "get ghcr.io", "get quay.io"])
    }).pipe(Effect.scoped)
  )

  it.effect("for an hour", () =>
    Effect.gen(function* () {
      const { helper, provide } = yield* machine
      yield* helper("test", counting)
      yield* Effect.gen(function* () {
        expect(user(yield* credentialFor("ghcr.io"))).toBe("user1")
        yield* TestClock.adjust("3599 seconds")
        expect(user(yield* credentialFor("ghcr.io"))).toBe("user1")
        yield* TestClock.adjust("1 seconds")
        expect(user(yield* credentialFor("ghcr.io"))).toBe("user2")
      }).pipe(provide(CredentialHelper.layer("test")))
    }).pipe(Effect.scoped)
  )

  it.live("100 at once run one program, also when it fails; a failure is not kept", () =>
    Effect.gen(function* () {
      const { asked, helper, provide } = yield* machine
      yield* helper("test", "sleep 0.2; exit 1")
      yield* Effect.gen(function* () {
        const failures = yield* Effect.all(
          Array.from({ length: 100 }, () => Effect.flip(credentialFor("ghcr.io"))),
          { concurrency: "unbounded" }
        )
        expect(failures.length).toBe(100)
        expect((yield* asked("test")).length).toBe(1)
        yield* helper("test", prints("octocat", "s"))
        expect(user(yield* credentialFor("ghcr.io"))).toBe("octocat")
      }).pipe(provide(CredentialHelper.layer("test")))
    }).pipe(Effect.scoped)
  )
})
