/** Debian's `tinyproxy` as a test service: a real proxy, in a process and a folder of its own. */
import { spawn } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { describeInstalled } from "./installed.js"

const command = "tinyproxy"

/** A suite that needs the proxy: see `describeInstalled`. */
export const describeTinyproxy = (name: string, suite: () => void): void =>
  describeInstalled(command, name, suite)

/** Who may use the proxy. */
export const proxyUser = { username: "walter", password: "proxy-secret" } as const

export interface Tinyproxy {
  /** `127.0.0.1:<port>` */
  readonly host: string
  /** The request lines that it has logged, such as `CONNECT localhost:443 HTTP/1.1`. */
  readonly requests: Effect.Effect<ReadonlyArray<string>>
}

const config = (
  folder: string,
  port: number,
  tunnels: ReadonlyArray<number>
): string => `Port ${port}
Listen 127.0.0.1
Timeout 30
Allow 127.0.0.1
BasicAuth ${proxyUser.username} ${proxyUser.password}
LogFile "${Path.join(folder, "log")}"
LogLevel Connect
${tunnels.map((tunnel) => `ConnectPort ${tunnel}`).join("\n")}
`

const freePort: Effect.Effect<number> = Effect.async((resume) => {
  const server = Net.createServer()
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

const connect = (port: number): Effect.Effect<void, Error> =>
  Effect.async((resume) => {
    const socket = Net.connect(port, "127.0.0.1", () => {
      socket.destroy()
      resume(Effect.void)
    }).once("error", (error) => resume(Effect.fail(error)))
  })

/**
 * A running proxy for `proxyUser` alone, which tunnels to the given ports only, as company proxies
 * do.
 */
export const tinyproxy = (
  tunnels: ReadonlyArray<number>
): Effect.Effect<Tinyproxy, Error, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => Fs.mkdtemp(Path.join(tmpdir(), "effect-oci-proxy-"))),
      (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
    )
    const port = yield* freePort
    const file = Path.join(folder, "tinyproxy.conf")
    yield* Effect.promise(() => Fs.writeFile(file, config(folder, port, tunnels)))
    yield* Effect.acquireRelease(
      Effect.sync(() => spawn(command, ["-d", "-c", file], { stdio: "ignore" })),
      (child) =>
        Effect.async<void>((resume) => {
          if (child.pid === undefined || child.exitCode !== null) return resume(Effect.void)
          child.once("exit", () => resume(Effect.void))
          child.kill("SIGKILL")
        })
    )
    yield* Effect.retry(
      connect(port),
      Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(500))
    )
    return {
      host: `127.0.0.1:${port}`,
      requests: Effect.map(
        Effect.promise(() => Fs.readFile(Path.join(folder, "log"), "utf8")),
        (log) =>
          [...log.matchAll(/Request \(file descriptor \d+\): (.+)/g)].map(([, line = ""]) => line)
      )
    }
  })
