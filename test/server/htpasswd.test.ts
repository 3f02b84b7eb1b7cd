/** Users in a file of `htpasswd`, whose passwords are expensive to check (V15). */
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/TestClock"
import * as PasswordFile from "../../src/server/internal/PasswordFile.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { machine } from "../auth/machine.js"
import { describeInstalled } from "../support/installed.js"
import { webHandler } from "../support/server.js"
import { sender } from "./wire.js"

// `htpasswd -Bbn alice wonderland`
const alice = "alice:$2y$05$Ysm9bFrkzHG4ZfwMCEUPLOlti5BLOl3/hcH.DCrXJcrQxIuAB32ja"
const wonderland = Redacted.make("wonderland")

/** The file, and a bcrypt that counts, and answers when it is told to. */
const counted = (text: string) =>
  Effect.gen(function* () {
    const { write } = yield* machine
    const path = yield* write("htpasswd", text)
    const bcrypt = yield* PasswordFile.load(path)
    const checks: Array<string> = []
    const waiting: Array<() => void> = []
    const passwords = yield* PasswordFile.make(path, {
      verify: async (password, hash) => {
        checks.push(hash)
        await new Promise<void>((resolve) => waiting.push(resolve))
        return bcrypt.verify(password, hash)
      }
    })
    /** Answers all checks, one after the other, until nothing is asked any more. */
    const answer = <A, E>(effect: Effect.Effect<A, E>) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(effect)
        let most = 0
        while ((yield* Fiber.poll(fiber))._tag === "None") {
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
          most = Math.max(most, waiting.length)
          waiting.shift()?.()
        }
        return { result: yield* Fiber.join(fiber), most }
      })
    const verify = (user: string, password: string) =>
      Effect.map(answer(passwords.verify(user, Redacted.make(password))), ({ result }) => result)
    return { answer, checks, passwords, path, verify, write }
  })

const provided = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provide(effect, NodeContext.layer)

describe("a password file (V15)", () => {
  it.scoped("lets in who has the password, and nobody else", () =>
    Effect.gen(function* () {
      const { verify } = yield* counted(`# users\n\n${alice}\r\n`)
      expect(yield* verify("alice", "wonderland")).toBe(true)
      expect(yield* verify("alice", "wrong")).toBe(false)
      expect(yield* verify("alice", "")).toBe(false)
      expect(yield* verify("bob", "wonderland")).toBe(false)
      expect(yield* verify("# users", "wonderland")).toBe(false)
      expect(yield* verify("", "")).toBe(false)
    }).pipe(provided)
  )

  it.scoped("checks a login once in five minutes, and a wrong one each time", () =>
    Effect.gen(function* () {
      const { checks, verify } = yield* counted(alice)
      yield* Effect.repeatN(verify("alice", "wonderland"), 9)
      expect(checks.length).toBe(1)
      yield* TestClock.adjust("5 minutes")
      yield* Effect.repeatN(verify("alice", "wonderland"), 9)
      expect(checks.length).toBe(2)
      yield* Effect.repeatN(verify("alice", "wrong"), 4)
      expect(checks.length).toBe(7)
      // Where one ends and the other begins matters.
      expect(yield* verify("alice:wonder", "land")).toBe(false)
    }).pipe(provided)
  )

  it.scoped("forgets all logins when the file has changed", () =>
    Effect.gen(function* () {
      const { checks, passwords, verify, write } = yield* counted(alice)
      expect(yield* verify("alice", "wonderland")).toBe(true)
      const before = yield* passwords.revision("alice")
      const { hash } = yield* Effect.promise(() => import("@node-rs/bcrypt"))
      const changed = yield* Effect.promise(() => hash("looking glass", 4))
      expect(changed.slice(4, 6)).toBe("04")
      yield* write("htpasswd", `alice:${changed}\nbob:${changed}\n`)
      expect(yield* verify("alice", "wonderland")).toBe(false)
      expect(yield* verify("alice", "looking glass")).toBe(true)
      expect(yield* passwords.revision("alice")).not.toEqual(before)
      expect(checks.length).toBe(3)
      yield* write("htpasswd", "")
      expect(yield* verify("alice", "looking glass")).toBe(false)
      expect((yield* passwords.revision("alice"))._tag).toBe("None")
    }).pipe(provided)
  )

  it.scoped("checks two at a time, and the same login once while others wait for it", () =>
    Effect.gen(function* () {
      const { answer, checks, passwords } = yield* counted(alice)
      const all = Effect.forEach(
        Array.from({ length: 40 }),
        () => passwords.verify("alice", wonderland),
        { concurrency: "unbounded" }
      )
      const { most, result } = yield* answer(all)
      expect([most, new Set(result)]).toEqual([2, new Set([true])])
      expect(checks.length).toBe(2)
      const wrong = Effect.forEach(
        Array.from({ length: 20 }, (_, n) => Redacted.make(`${n}`)),
        (password) => passwords.verify("alice", password),
        { concurrency: "unbounded" }
      )
      expect((yield* answer(wrong)).most).toBe(2)
      expect(checks.length).toBe(22)
    }).pipe(provided)
  )

  it.scoped("checks as much for a user who is not there", () =>
    Effect.gen(function* () {
      const { checks, verify } = yield* counted(alice)
      expect(yield* verify("mallory", "wonderland")).toBe(false)
      expect(yield* verify("mallory", "")).toBe(false)
      // Of a form that is calculated with: what is not canonical is refused at once.
      const canonical = /^\$2b\$05\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]$/
      for (const hash of checks) expect(hash).toMatch(canonical)
      expect(checks.length).toBe(2)
    }).pipe(provided)
  )

  it.scoped("passes over what is no bcrypt hash, and says where it stands", () => {
    const logged: Array<unknown> = []
    const logger = Logger.make<unknown, void>(({ message }) => logged.push(message))
    return Effect.gen(function* () {
      const text = [
        "old:$apr1$1xN8Yx2G$qAYPUzFJZ6DcvlTmAYSvR0",
        "sha:{SHA}y8hB8Sb3xPzq0WVwI3jqxs2JkDk=",
        alice,
        ":$2y$05$Ysm9bFrkzHG4ZfwMCEUPLOlti5BLOl3/hcH.DCrXJcrQxIuAB32ja",
        "plain:wonderland",
        "nothing"
      ].join("\n")
      const { path, verify } = yield* counted(text)
      expect(yield* verify("alice", "wonderland")).toBe(true)
      expect(yield* verify("plain", "wonderland")).toBe(false)
      expect(yield* verify("nothing", "")).toBe(false)
      expect(logged).toEqual([
        [
          `${path} has lines that are no user with a bcrypt hash, as htpasswd -B writes them: ` +
            "1, 2, 4, 5, 6. Nobody can log in with these"
        ]
      ])
    }).pipe(provided, Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
  })

  it.scoped("that is not there is a typed error, and one that goes away a 500", () =>
    Effect.gen(function* () {
      const { home, write } = yield* machine
      const missing = yield* Effect.flip(
        ServerAuthorization.htpasswd(Path.join(home, "no such file"))
      )
      expect(missing._tag).toBe("StorageFailure")
      const path = yield* write("htpasswd", alice)
      const users = yield* ServerAuthorization.htpasswd(path)
      const registry = sender(
        yield* webHandler({ authorization: ServerAuthorization.basic({ users }) })
      )
      const authorization = `Basic ${Buffer.from("alice:wonderland").toString("base64")}`
      const ping = registry("GET", "/v2/", { headers: { authorization } })
      expect((yield* ping).status).toBe(200)
      yield* Effect.promise(() => Fs.rm(path))
      const refused = yield* ping
      expect(refused.status).toBe(500)
      expect(refused.body).not.toContain(home)
      expect(yield* registry("GET", "/v2/")).toMatchObject({ status: 401 })
    }).pipe(
      provided,
      Effect.provide(Layer.merge(MemoryRegistry.layer(), Logger.remove(Logger.defaultLogger)))
    )
  )

  it.scoped("ends refresh tokens when the password that they were got with has changed", () =>
    Effect.gen(function* () {
      const { write } = yield* machine
      const path = yield* write("htpasswd", `${alice}\n${alice.replace("alice", "bob")}`)
      const users = yield* ServerAuthorization.htpasswd(path)
      const authorization = yield* ServerAuthorization.token({ users })
      const registry = sender(yield* webHandler({ authorization }))
      const post = (fields: Record<string, string>) =>
        registry("POST", "/token", {
          body: new URLSearchParams({ client_id: "test", ...fields }).toString()
        })
      const login = Effect.fnUntraced(function* (username: string) {
        const fields = { grant_type: "password", username, password: "wonderland" }
        const { body } = yield* post({ ...fields, access_type: "offline" })
        const refresh = {
          grant_type: "refresh_token",
          refresh_token: JSON.parse(body).refresh_token
        }
        return Effect.map(post(refresh), ({ status }) => status)
      })
      const [ofAlice, ofBob] = [yield* login("alice"), yield* login("bob")]
      expect([yield* ofAlice, yield* ofBob]).toEqual([200, 200])
      const { hash } = yield* Effect.promise(() => import("@node-rs/bcrypt"))
      const changed = yield* Effect.promise(() => hash("looking glass", 4))
      yield* write("htpasswd", `alice:${changed}\n${alice.replace("alice", "bob")}`)
      expect([yield* ofAlice, yield* ofBob]).toEqual([401, 200])
      // It does not come back with the old password, either.
      yield* write("htpasswd", alice)
      expect([yield* ofAlice, yield* ofBob]).toEqual([401, 401])
    }).pipe(provided, Effect.provide(MemoryRegistry.layer()))
  )

  it.scopedLive("is checked beside the loop, which goes on", () =>
    Effect.gen(function* () {
      const bcrypt = yield* PasswordFile.load("")
      let isDone = false
      let turns = 0
      const check = bcrypt.verify("x", `$2b$10$${".".repeat(53)}`).then(() => {
        isDone = true
      })
      while (!isDone) {
        turns++
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      yield* Effect.promise(() => check)
      expect(turns).toBeGreaterThan(2)
    })
  )

  describeInstalled("htpasswd", "htpasswd", () => {
    it.scoped("writes it, and adds users while the server runs", () =>
      Effect.gen(function* () {
        const { home } = yield* machine
        const path = Path.join(home, "users")
        const add = (...args: ReadonlyArray<string>) =>
          expect(spawnSync("htpasswd", [...args], { encoding: "utf8" }).stderr).toContain(
            "ing pass"
          )
        add("-cBb", path, "alice", "wonderland")
        const users = yield* ServerAuthorization.htpasswd(path)
        const log = (user: string, password: string) => users.verify(user, Redacted.make(password))
        expect(yield* log("alice", "wonderland")).toBe(true)
        expect(yield* log("bob", "bü:ilder")).toBe(false)
        add("-Bb", "-C", "6", path, "bob", "bü:ilder")
        expect(yield* log("bob", "bü:ilder")).toBe(true)
        add("-D", path, "alice")
        expect(yield* log("alice", "wonderland")).toBe(false)
      }).pipe(provided)
    )
  })
})
