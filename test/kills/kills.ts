/**
 * Kills a process with SIGKILL while it writes to a layout, at a random point, again and again, and
 * looks at what it leaves.
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as Path from "node:path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../src/BlobSource.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import { program } from "../support/program.js"
import { until } from "../support/serve.js"

/** What was found after all kills. */
export interface Report {
  readonly rounds: number
  /** How many manifests their writers have reported as stored, and are there with all they need. */
  readonly stored: number
  /** What was reported and is not there, and what of the layout is not right. */
  readonly problems: ReadonlyArray<string>
  /** The longest that the first write after a kill took, in milliseconds. */
  readonly longestWait: number
}

const repository = Reference.unsafeParseRepositoryName("app")

/** Starts a writer, and gathers the lines that it prints. */
export const writer = (path: string, own: string, count = 0) =>
  Effect.acquireRelease(
    Effect.map(
      Effect.promise(() => program("test/node/fixtures/layoutWriter.ts")),
      (script) => {
        const child = spawn(process.execPath, [script, path, own, String(count)], {
          stdio: ["ignore", "pipe", "inherit"]
        })
        const lines: Array<string> = []
        let rest = ""
        const ended = new Promise<number | null>((resolve) => {
          child.once("close", (code) => resolve(code))
        })
        const started = new Promise<void>((resolve) => {
          child.stdout.setEncoding("utf8").on("data", (text: string) => {
            const parts = (rest + text).split("\n")
            rest = parts.pop() ?? ""
            lines.push(...parts)
            resolve()
          })
        })
        return {
          child,
          ended: Effect.promise(() => ended),
          lines,
          started: Effect.promise(() => started)
        }
      }
    ),
    ({ child, ended }) => Effect.zipRight(kill(child), ended)
  )

const kill = (child: ChildProcess) => Effect.sync(() => child.kill("SIGKILL"))

/** How many writers one layout has, which is read as a whole after each. */
const writers = 10

/** Kills as many writers as there are rounds, of layouts below `root`. */
export const kills = (root: string, rounds: number): Effect.Effect<Report> =>
  Effect.gen(function* () {
    const problems: Array<string> = []
    let stored = 0
    let longestWait = 0
    for (let round = 0; round < rounds; round++) {
      const path = Path.join(root, String(Math.floor(round / writers)))
      const lines = yield* killed(path, `r${round}`)
      const registry = yield* NodeLayout.make({ path })
      const start = Date.now()
      yield* mark(registry, round)
      longestWait = Math.max(longestWait, Date.now() - start)
      const found = yield* Stream.runCollect(registry.verify())
      for (const finding of found)
        if (finding._tag !== "Unreferenced") problems.push(JSON.stringify(finding))
      for (const line of lines) {
        const [tag = "", digest = "", blob = ""] = line.split(" ")
        if (!Digest.isDigest(digest) || !Digest.isDigest(blob)) continue
        stored++
        const manifest = yield* Effect.option(registry.getManifest(repository, digest))
        const layer = yield* Effect.option(registry.headBlob(repository, blob))
        if (Option.isNone(manifest) || Option.isNone(Option.flatten(layer)))
          problems.push(`${tag} was reported as stored`)
      }
    }
    return { rounds, stored, problems, longestWait }
  }).pipe(Effect.orDie)

/** Starts a writer, kills it at a random point, and returns what it has reported. */
const killed = (path: string, own: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { child, ended, lines, started } = yield* writer(path, own)
      yield* started
      // Writers that have just begun, and those in the middle of their work.
      const enough = Math.floor(Math.random() * 20)
      yield* until(() => lines.length > enough || child.exitCode !== null)
      yield* Effect.sleep(Math.random() * 40)
      yield* kill(child)
      yield* ended
      return lines
    })
  )

/** Puts something that needs the lock. */
const mark = Effect.fnUntraced(function* (registry: Registry.Service, round: number) {
  const empty = yield* registry.putBlob(repository, BlobSource.fromBytes(Buffer.from("{}")))
  const manifest = Manifest.image({
    config: { ...empty, mediaType: MediaType.empty },
    layers: [],
    artifactType: "application/vnd.example.mark",
    annotations: { round: String(round) }
  })
  const tags = [Reference.unsafeParseTag("mark")]
  yield* registry.putManifest(repository, manifest, { tags })
})
