/** Programs in processes of their own: those of `examples/`, and those of tests. */
import { type ChildProcessByStdio, execFile, spawn } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import type { Readable, Writable } from "node:stream"
import * as Effect from "effect/Effect"
import { build } from "esbuild"
import { see } from "./suiteWatch.js"

const root = Path.join(import.meta.dirname, "../..")

const cache = Path.join(root, "node_modules/.cache/effect-oci")

const programs = new Map<string, Promise<string>>()

/**
 * The path of a program for node, made of a TypeScript file (by its path from the root) and the
 * modules of ours that it needs. Compiling it as it runs would take longer than most of them do.
 */
export const program = (path: string): Promise<string> => {
  const made = programs.get(path) ?? make(path)
  programs.set(path, made)
  return made
}

const make = async (path: string): Promise<string> => {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [path],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["@effect-oci/source"],
    // What is not ours; a name of ours that is missing is an error all the same, when it runs.
    external: [
      "effect",
      "effect/*",
      "@effect/*",
      "@node-rs/*",
      "@opentelemetry/*",
      "ipaddr.js",
      "jose",
      "semver",
      "tldts",
      "yaml"
    ],
    entryNames: "[name]-[hash]",
    outExtension: { ".js": ".mjs" },
    outdir: cache,
    write: false
  })
  await Fs.mkdir(cache, { recursive: true })
  const [output] = outputFiles
  if (output === undefined) throw new Error(`nothing was made of ${path}`)
  // Other processes may make or run the same.
  const temporary = `${output.path}.${process.pid}`
  await Fs.writeFile(temporary, output.contents)
  await Fs.rename(temporary, output.path)
  return output.path
}

/** What a program printed, and how it ended. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * `until` sends SIGINT, as Ctrl-C does, `delay` milliseconds after the program first printed
 * `text`.
 */
export interface RunOptions {
  /** The folder that it runs in, the root by default. */
  readonly cwd?: string
  /** Is added to the environment of the tests. */
  readonly environment?: Readonly<Record<string, string>>
  readonly input?: string
  readonly until?: { readonly text: string; readonly delay: number }
}

/** Runs an example to its end. It is killed when interrupted. */
export const run = (
  example: string,
  args: ReadonlyArray<string>,
  options: RunOptions = {}
): Effect.Effect<Ended> =>
  Effect.flatMap(
    Effect.promise(() => program(`examples/${example}.ts`)),
    (path) => runProgram(path, args, options)
  )

const runProgram = (
  path: string,
  args: ReadonlyArray<string>,
  options: RunOptions
): Effect.Effect<Ended> =>
  Effect.async<Ended>((resume) => {
    const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(
      process.execPath,
      [path, ...args],
      {
        cwd: options.cwd ?? root,
        env: { ...process.env, ...options.environment },
        stdio: ["pipe", "pipe", "pipe"]
      }
    )
    let stdout = ""
    let stderr = ""
    let signalled = false
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text
      if (options.until !== undefined && !signalled && stdout.includes(options.until.text)) {
        signalled = true
        setTimeout(() => child.kill("SIGINT"), options.until.delay)
      }
    })
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text
    })
    child.stdin.end(options.input ?? "")
    child.once("close", (code) => {
      see(stdout)
      see(stderr)
      resume(Effect.succeed({ code, stdout, stderr }))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** What a command of this machine prints. Where it fails, the test does, with what it said. */
export const outputOf = (
  command: string,
  args: ReadonlyArray<string>,
  { cwd = root, environment }: Pick<RunOptions, "cwd" | "environment"> = {}
): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const env = { ...process.env, ...environment }
    const child = execFile(command, args, { cwd, env }, (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.succeed(stdout)
          : Effect.dieMessage(`${command} ${args.join(" ")}: ${stderr}`)
      )
    )
    return Effect.sync(() => child.kill())
  })
