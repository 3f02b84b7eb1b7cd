/** `npm run serve`, as a process of its own: over memory, folders and another registry. */
import { type ChildProcessByStdio, spawn } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { sha256 } from "./server/wire.js"
import { folder } from "./support/machine.js"
import { program } from "./support/program.js"
import { until } from "./support/serve.js"
import { registryOn } from "./support/server.js"

interface Running {
  readonly child: ChildProcessByStdio<null, Readable, Readable>
  readonly output: { stdout: string; stderr: string; code: number | null | undefined }
}

const start = (...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.map(
      Effect.promise(() => program("examples/registry.ts")),
      (path): Running => {
        const child = spawn(process.execPath, [path, ...args], {
          stdio: ["ignore", "pipe", "pipe"]
        })
        const output: Running["output"] = { stdout: "", stderr: "", code: undefined }
        child.stdout.setEncoding("utf8").on("data", (text) => {
          output.stdout += text
        })
        child.stderr.setEncoding("utf8").on("data", (text) => {
          output.stderr += text
        })
        child.once("close", (code) => {
          output.code = code
        })
        return { child, output }
      }
    ),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** Where it serves, once it says so. */
const serving = (...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const running = yield* start("--port", "0", ...args)
    const { output } = running
    yield* until(() => output.stdout.includes("serving at ") || output.code !== undefined)
    const [, url = ""] = /^serving at (http:\/\/127\.0\.0\.1:\d+)$/m.exec(output.stdout) ?? []
    expect([url, output.stderr]).toEqual([expect.stringMatching(/^http/), ""])
    const stop = Effect.zipRight(
      Effect.sync(() => running.child.kill("SIGTERM")),
      until(() => output.code !== undefined)
    )
    return { ...running, url, stop }
  })

const push = (url: string, content: string) =>
  Effect.promise(() =>
    fetch(`${url}/v2/team/app/blobs/uploads/?digest=${sha256(content)}`, {
      method: "POST",
      body: content
    })
  )

const pull = (url: string, content: string) =>
  Effect.promise(async () => {
    const response = await fetch(`${url}/v2/team/app/blobs/${sha256(content)}`)
    return [response.status, response.status === 200 ? await response.text() : ""]
  })

describe("npm run serve", () => {
  it.scopedLive("serves from memory, logs what it is asked, and stops when it is told", () =>
    Effect.gen(function* () {
      const { output, stop, url } = yield* serving()
      expect((yield* push(url, "b1")).status).toBe(201)
      expect(yield* pull(url, "b1")).toEqual([200, "b1"])
      yield* stop
      expect(output.stdout).toMatch(
        new RegExp(
          `^2\\S+Z 127\\.0\\.0\\.1 GET "/v2/team/app/blobs/${sha256("b1")}" 200 \\d+ ms$`,
          "m"
        )
      )
      expect([output.code, output.stderr]).toEqual([0, ""])
    })
  )

  it.scopedLive("keeps what it has in a folder, within limits", () =>
    Effect.gen(function* () {
      const data = yield* folder()
      const args = ["--data", join(data, "images"), "--blob-limit", "4", "--keep-free", "0"]
      const first = yield* serving(...args)
      expect((yield* push(first.url, "b1")).status).toBe(201)
      expect((yield* push(first.url, "too large")).status).toBe(413)
      yield* first.stop
      const second = yield* serving(...args, "--no-deletes")
      expect(yield* pull(second.url, "b1")).toEqual([200, "b1"])
      const refused = yield* Effect.promise(() =>
        fetch(`${second.url}/v2/team/app/blobs/${sha256("b1")}`, { method: "DELETE" })
      )
      expect(refused.status).toBe(405)
      const full = yield* serving("--data", data, "--keep-free", "999999999999999")
      expect((yield* push(full.url, "b1")).status).toBe(413)
    })
  )

  it.scopedLive("asks for a password of those in a file", () =>
    Effect.gen(function* () {
      const users = join(yield* folder(), "users")
      yield* Effect.promise(() => writeFile(users, ""))
      const { url } = yield* serving("--users", users)
      expect((yield* push(url, "b1")).status).toBe(401)
    })
  )

  it.scopedLive("stores what it reads from another registry", () =>
    Effect.gen(function* () {
      const { port, seen } = yield* registryOn()
      const upstream = `http://127.0.0.1:${port}`
      yield* push(upstream, "b1")
      const { url } = yield* serving("--pull-through", upstream)
      expect(yield* pull(url, "b1")).toEqual([200, "b1"])
      const asked = () => seen.filter(({ method }) => method === "GET").length
      const once = asked()
      expect(yield* pull(url, "b1")).toEqual([200, "b1"])
      expect(asked()).toBe(once)
      expect((yield* push(url, "b2")).status).toBe(405)
    })
  )

  it.scopedLive.each([
    ["an option that it does not have", ["--colour"]],
    ["a port that is no number", ["--port", "http"]]
  ] as const)("says how to call it after %s", ([, args]) =>
    Effect.gen(function* () {
      const { output } = yield* start(...args)
      yield* until(() => output.code !== undefined)
      expect([output.code, output.stdout]).toEqual([2, ""])
      expect(output.stderr).toContain(args[0])
      expect(output.stderr).toContain("npm run serve -- [--port 5000]")
    })
  )
})
