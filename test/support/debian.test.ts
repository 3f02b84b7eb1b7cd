import { spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import {
  DebianRegistry,
  debianUser,
  describeDebian,
  layerDebianRegistry,
  layerDebianRegistryBasic
} from "./debian.js"

const ping = (url: string, headers: Record<string, string> = {}) =>
  Effect.promise(() => fetch(`${url}/v2/`, { headers }).then((response) => response.status))

const basic = (username: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`
})

describeDebian("Debian's registry", () => {
  it.live("answers as soon as the layer is built, and is gone when its Scope closes", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { url } = Context.get(
        yield* Layer.buildWithScope(layerDebianRegistry, scope),
        DebianRegistry
      )
      expect(yield* ping(url)).toBe(200)
      yield* Scope.close(scope, Exit.void)
      const after = yield* Effect.exit(Effect.tryPromise(() => fetch(`${url}/v2/`)))
      expect(Exit.isFailure(after)).toBe(true)
    })
  )

  it.live("runs beside another of its kind, with contents of its own", () =>
    Effect.gen(function* () {
      const build = Effect.map(
        Layer.build(Layer.fresh(layerDebianRegistry)),
        Context.get(DebianRegistry)
      )
      const [one, other] = yield* Effect.all([build, build], { concurrency: 2 })
      const upload = yield* Effect.promise(() =>
        fetch(`${one.url}/v2/a/blobs/uploads/`, { method: "POST" })
      )
      const empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
      const location = `${upload.headers.get("location")}&digest=${empty}`
      expect((yield* Effect.promise(() => fetch(location, { method: "PUT" }))).status).toBe(201)
      const head = (url: string, method: string) =>
        Effect.promise(() =>
          fetch(`${url}/v2/a/blobs/${empty}`, { method }).then((response) => response.status)
        )
      expect([yield* head(one.url, "HEAD"), yield* head(other.url, "HEAD")]).toEqual([200, 404])
      // Deletes are enabled.
      expect(yield* head(one.url, "DELETE")).toBe(202)
    }).pipe(Effect.scoped)
  )

  it.live("admits its one user and nobody else when it is asked for authentication", () =>
    Effect.gen(function* () {
      const { url } = yield* DebianRegistry
      expect(yield* ping(url)).toBe(401)
      expect(yield* ping(url, basic(debianUser.username, "wrong"))).toBe(401)
      expect(yield* ping(url, basic(debianUser.username, debianUser.password))).toBe(200)
    }).pipe(Effect.provide(layerDebianRegistryBasic))
  )
})

describe("where the binary is missing", () => {
  // A run of this very file, without its second half, where no command can be found.
  const run = (ci: string) => {
    const vitest = createRequire(import.meta.url).resolve("vitest/vitest.mjs")
    const args = [
      vitest,
      "run",
      "--typecheck.enabled=false",
      "test/support/debian.test.ts",
      "-t",
      "Debian's registry"
    ]
    const env = { ...process.env, PATH: "", CI: ci, VITEST: "", NO_COLOR: "1" }
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: "utf8" })
    return { status, output: stdout + stderr }
  }

  it("a suite is skipped and says so loudly", () => {
    const { output, status } = run("")
    expect(output).toContain(
      "SKIPPED: docker-registry is not installed (apt-get install docker-registry)"
    )
    expect(output).toMatch(/Tests {2}\d+ skipped/)
    expect(status).toBe(0)
  })

  it("a suite fails under CI", () => {
    const { output, status } = run("true")
    expect(output).toContain("docker-registry is not installed (apt-get install docker-registry)")
    expect(output).toMatch(/Tests {2}1 failed/)
    expect(status).toBe(1)
  })
})
