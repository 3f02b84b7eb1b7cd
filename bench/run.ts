/** Runs the measurements against their references, in turn, and writes the table, JSON and a plot to `bench/results/`: `npm run bench [-- filter]`. */
import { fork, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import { cpus } from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { block, digestOf, GiB, size } from "./content.js"
import { plot } from "./plot.js"
import { uploadFile } from "./tasks.js"

interface Sample {
  readonly seconds: number
  readonly cpu: number
  readonly memory: number
}

interface Row {
  readonly what: string
  readonly unit: "time" | "throughput"
  readonly ours: string
  readonly reference: string
  /** The least or most that the ratio should be, as the sign says. */
  readonly target: string
}

const clients = ["oras", "crane", "regctl"].filter((name) => spawnSync("which", [name]).status === 0)
const others = (direction: string): ReadonlyArray<string> =>
  clients.filter((name) => direction === "pull" || name !== "crane").map((name) => `${direction} file, ${name}`)

const row = (what: string, ours: string, reference: string, unit: Row["unit"], target: string): Row => ({
  what,
  ours,
  reference,
  unit,
  target
})

const rows: ReadonlyArray<Row> = [
  row("pull, verified, as a Stream", "pull stream", "pull stream, raw undici", "throughput", ">= 0.92"),
  row("pull, verified, as a Stream", "pull stream", "pull stream, raw node:http", "throughput", ""),
  row("pull, verified, to a file", "pull file", "pull file, undici to createWriteStream", "throughput", ">= 1.15"),
  ...others("pull").map((name) => row("pull, verified, to a file", "pull file", name, "time", "<= 1")),
  row(
    "push a file, digest known",
    "push file, digest known",
    "push file, raw undici PUT that hashes",
    "time",
    "<= 1.1"
  ),
  row("push a file, digest unknown", "push file, digest unknown", "push file, raw undici PUT that hashes", "time", ""),
  ...others("push").map((name) =>
    row("push a file, digest unknown", "push file, digest unknown", name, "time", "<= 0.7")
  ),
  row("push a file in chunks of 8 MiB", "push file, chunks of 8 MiB", "push file, digest unknown", "time", "<= 1.25"),
  row("2,000 small blobs up and down", "small blobs", "small blobs, bare HttpClient", "throughput", ">= 0.75"),
  row("2,000 small blobs up and down", "small blobs", "small blobs, raw undici", "throughput", ""),
  row("5,000 manifest HEADs", "manifest HEADs", "manifest HEADs, bare HttpClient", "throughput", ">= 0.8"),
  row("5,000 manifest GETs", "manifest GETs", "manifest GETs, bare HttpClient", "throughput", ">= 0.8")
]

const here = Path.dirname(fileURLToPath(import.meta.url))
const rounds = Number(process.env["BENCH_ROUNDS"] ?? 5)
const filter = process.argv[2] ?? ""

const child = <A>(
  file: string,
  args: ReadonlyArray<string>,
  env: NodeJS.ProcessEnv = process.env
): Promise<{ message: A; kill: () => void }> =>
  new Promise((resolve, reject) => {
    const running = fork(Path.join(here, file), args, { env })
    running.once("message", (message) => resolve({ message: message as A, kill: () => running.kill() }))
    running.once("exit", (code) => reject(new Error(`${file} ${args.join(" ")} ended with ${code}`)))
  })

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((self, that) => self - that)[Math.floor(values.length / 2)] ?? Number.NaN

console.log(`${rounds} rounds of ${size() / GiB} GiB`)
if (!Fs.existsSync(uploadFile) || Fs.statSync(uploadFile).size !== size()) {
  const file = Fs.openSync(uploadFile, "w")
  for (let left = size(); left > 0; left -= block.length) Fs.writeSync(file, block, 0, Math.min(left, block.length))
  Fs.closeSync(file)
}
const server = await child<{ port: number }>("server.ts", [])
const digest = digestOf.large()
const measure = async (task: string): Promise<Sample> =>
  (
    await child<Sample>("tasks.ts", [task, `http://127.0.0.1:${server.message.port}`], {
      ...process.env,
      BENCH_DIGEST: digest
    })
  ).message

const chosen = rows.filter(({ what }) => what.includes(filter))
const samples = new Map<string, Array<Sample>>()
// In turn, so that what slows the machine down slows all of them down.
for (let round = 0; round < rounds; round++) {
  for (const task of new Set(chosen.flatMap(({ ours, reference }) => [ours, reference]))) {
    samples.set(task, [...(samples.get(task) ?? []), await measure(task)])
  }
}
server.kill()

const middle = (task: string) => {
  const taken = samples.get(task) ?? []
  return {
    task,
    seconds: median(taken.map(({ seconds }) => seconds)),
    cpu: median(taken.map(({ cpu }) => cpu)),
    memory: Math.max(...taken.map(({ memory }) => memory))
  }
}

const results = chosen.map(({ ours, reference, target, unit, what }) => {
  const [mine, theirs] = [middle(ours), middle(reference)]
  const ratio = unit === "time" ? mine.seconds / theirs.seconds : theirs.seconds / mine.seconds
  const [sign, bound] = target.split(" ")
  const met = target === "" ? undefined : sign === "<=" ? ratio <= Number(bound) : ratio >= Number(bound)
  return { what, reference, unit, ours: mine, theirs, ratio, target, met, cpu: mine.cpu / theirs.cpu }
})

const table = [
  "| work | ours | reference | ratio | target | CPU ratio | peak memory |",
  "|---|---|---|---|---|---|---|",
  ...results.map(
    ({ cpu, met, ours, ratio, reference, target, theirs, unit, what }) =>
      `| ${what} | ${ours.seconds.toFixed(2)} s | ${theirs.seconds.toFixed(2)} s (${reference}) | ${ratio.toFixed(2)} (${unit}) | ${target}${met === undefined ? "" : met ? ", met" : ", missed"} | ${cpu.toFixed(2)} | ${ours.memory.toFixed(0)} MB |`
  )
].join("\n")
console.log(table)
const output = Path.join(here, "results")
Fs.mkdirSync(output, { recursive: true })
const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, bytes: size(), rounds }
Fs.writeFileSync(
  Path.join(output, "results.json"),
  `${JSON.stringify({ machine, results, samples: Object.fromEntries(samples) }, undefined, 2)}\n`
)
Fs.writeFileSync(Path.join(output, "results.md"), `${table}\n`)
Fs.writeFileSync(
  Path.join(output, "results.svg"),
  plot(
    results.map(({ ours, theirs, what, reference }) => ({
      label: what,
      bars: [
        ["effect-oci", ours.seconds],
        [reference, theirs.seconds]
      ]
    }))
  )
)
