/** The examples of authorization, run as programs against the embedded server. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { Registry } from "../../src/Registry.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as Manifest from "../../src/spec/Manifest.js"
import { parseRepositoryName, parseTag } from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { run } from "../support/program.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const password = "open-sesame"

const users = { alice: Redacted.make(password) }
const token = ServerAuthorization.token({ users })
const open = ServerAuthorization.token({ users, anonymous: "pull" })
const basic = Effect.succeed(ServerAuthorization.basic({ users }))

/** The lines that an example prints about the repository `a`, which has the tag `v1`. */
const lines = (
  authorization: typeof token,
  example: string,
  input: string,
  ...args: ReadonlyArray<string>
) =>
  Effect.gen(function* () {
    const url = yield* ServerUrl
    const index = Manifest.index({ manifests: [] })
    yield* (yield* Registry).putManifest(yield* parseRepositoryName("a"), index, {
      tags: [yield* parseTag("v1")]
    })
    const { stderr, stdout } = yield* run(example, [url, "a", ...args], { input })
    const shown = (stdout + stderr).replaceAll(url, "URL")
    expect(shown).not.toContain(password)
    return shown.trim().split("\n")
  }).pipe(
    Effect.provide(
      Layer.provideMerge(
        Layer.unwrapEffect(
          Effect.map(authorization, (authorization) => layerSocketServer({ authorization }))
        ),
        MemoryRegistry.layer()
      )
    )
  )

const question = "URL wants to know who you are: user name, space, password"

describe("login-schedule.ts: a schedule with services of the application's own", () => {
  it.live("asks until a login is right, and goes on where it was", () =>
    Effect.map(lines(basic, "login-schedule", `alice wrong\nalice ${password}\n`), (shown) =>
      expect(shown).toEqual([question, question, "v1"])
    )
  )

  it.live("asks when the token server has nothing for nobody", () =>
    Effect.map(lines(token, "login-schedule", `alice ${password}\n`), (shown) =>
      expect(shown).toEqual([question, "v1"])
    )
  )

  it.live("asks again when the token server refuses a login", () =>
    Effect.map(
      lines(token, "login-schedule", `alice wrong\nalice wronger\nalice ${password}\n`),
      (shown) => expect(shown).toEqual([question, question, question, "v1"])
    )
  )

  it.live("asks nobody where everybody may", () =>
    Effect.map(lines(open, "login-schedule", ""), (shown) => expect(shown).toEqual(["v1"]))
  )

  it.live("stops when the user does", () =>
    Effect.map(lines(basic, "login-schedule", "alice wrong\n"), (shown) => {
      expect(shown.slice(0, 2)).toEqual([question, question])
      expect(shown.join()).toContain("Unauthorized")
    })
  )
})

describe("own-loop.ts: AuthChallenge handled around attempt", () => {
  it.live("answers once", () =>
    Effect.map(lines(token, "own-loop", password, "alice"), (shown) =>
      expect(shown).toEqual([
        "asked for bearer, for repository:a:pull; sent nothing; answering",
        '200 {"name":"a","tags":["v1"]}'
      ])
    )
  )
})
