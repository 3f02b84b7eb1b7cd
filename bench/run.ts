/**
 * Runs the measurements in turn with their references, and writes the table, JSON and a plot to
 * `bench/results/`: `npm run bench [-- filter]`.
 */
import { fork } from "node:child_process"
import * as Fs from "node:fs"
import { cpus } from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Content from "./content.js"
import { effectModules } from "./modules.js"
import { able } from "./others.js"
import { plot } from "./plot.js"

interface Sample {
  readonly seconds: number
  readonly cpu: number
  readonly memory: number
  readonly connections: number
}

/**
 * `of` both samples `quantity` is compared: ours is to be `at most` or, of the speed, `at least` so
 * many times the reference. Without a reference the quantity itself is to be at most that.
 */
interface Row {
  readonly what: string
  readonly ours: string
  readonly reference?: string
  readonly quantity: "seconds" | "speed" | keyof Sample
  readonly bound?: number
}

const row = (
  what: string,
  quantity: Row["quantity"],
  ours: string,
  reference?: string,
  bound?: number
): Row => ({
  what,
  quantity,
  ours,
  ...(reference !== undefined && { reference }),
  ...(bound !== undefined && { bound })
})

const eight = "8 GiB: "
const rows: ReadonlyArray<Row> = [
  row("pull, verified, as a Stream", "speed", "ours/pull stream", "raw/pull stream", 1),
  row("pull, verified, as a Stream", "speed", "ours/pull stream", "raw/pull stream, node:http"),
  row("pull, verified, to a file", "speed", "ours/pull file", "raw/pull file", 1.15),
  ...able("pull file").map((name) =>
    row("pull, verified, to a file", "seconds", "ours/pull file", `others/pull file, ${name}`, 1)
  ),
  row("push a file, digest unknown", "seconds", "ours/push file, digest unknown", "raw/push file"),
  row(
    "push a file, digest unknown",
    "seconds",
    "ours/push file, digest unknown",
    "raw/push file, socket",
    1.25
  ),
  ...able("push file").map((name) =>
    row(
      "push a file, digest unknown",
      "seconds",
      "ours/push file, digest unknown",
      `others/push file, ${name}`,
      0.7
    )
  ),
  row("push a file, digest known", "seconds", "ours/push file, digest known", "raw/push file", 1.1),
  row(
    "push a file in chunks of 8 MiB",
    "seconds",
    "ours/push file, chunks of 8 MiB",
    "ours/push file, digest unknown",
    1.25
  ),
  row(
    "push a file in chunks of 8 MiB",
    "seconds",
    "ours/push file, chunks of 8 MiB",
    "raw/push file, chunks of 8 MiB",
    1.1
  ),
  row(
    "CPU of a push in chunks of 8 MiB",
    "cpu",
    "ours/push file, chunks of 8 MiB",
    "raw/push file, chunks of 8 MiB",
    1.15
  ),
  row(
    "push a Stream of 64 KiB arrays",
    "seconds",
    "ours/push stream of 64 KiB arrays",
    "ours/push file, digest unknown",
    1.3
  ),
  ...["HEADs", "GETs"].map((method) =>
    row(
      `CPU of 5,000 manifest ${method}`,
      "cpu",
      `ours/manifest ${method}`,
      `bare/manifest ${method}`,
      1.11
    )
  ),
  row("CPU of a pull", "cpu", "ours/pull stream", "raw/pull stream", 1),
  row("CPU of a push", "cpu", "ours/push file, digest known", "raw/push file", 1.35),
  ...["pull stream", "pull file", "push file, digest unknown"].flatMap((task) => [
    row(`peak memory (MB), ${task}`, "memory", `ours/${task}`, undefined, 200),
    row(`peak memory (MB), ${task}, 8 GiB`, "memory", `${eight}ours/${task}`, undefined, 200),
    row(
      `peak memory, ${task}, 8 GiB to 1 GiB`,
      "memory",
      `${eight}ours/${task}`,
      `ours/${task}`,
      1.1
    )
  ]),
  row("2,000 small blobs up and down", "speed", "ours/small blobs", "bare/small blobs", 0.75),
  row("2,000 small blobs up and down", "speed", "ours/small blobs", "bare/small blobs, gathered"),
  row("2,000 small blobs up and down", "speed", "ours/small blobs", "raw/small blobs"),
  ...["HEADs", "GETs"].flatMap((method) => [
    row(
      `5,000 manifest ${method}`,
      "speed",
      `ours/manifest ${method}`,
      `bare/manifest ${method}`,
      0.8
    ),
    row(`5,000 manifest ${method}`, "speed", `ours/manifest ${method}`, `raw/manifest ${method}`),
    row(
      `5,000 manifest ${method}, connections`,
      "connections",
      `ours/manifest ${method}`,
      undefined,
      16
    )
  ]),
  row("cold start", "seconds", "cold/start", "cold/Effect modules", 1.25)
]

const here = Path.dirname(fileURLToPath(import.meta.url))
const rounds = Number(process.env["BENCH_ROUNDS"] ?? 5)
const filter = process.argv[2] ?? ""
const chosen = rows.filter(({ what }) => what.includes(filter))

const child = <A>(file: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv) =>
  new Promise<{ readonly message: A; readonly kill: () => void }>((resolve, reject) => {
    const running = fork(Path.join(here, file), args, { env: { ...process.env, ...env } })
    running.once("message", (message) =>
      resolve({ message: message as A, kill: () => running.kill() })
    )
    running.once("exit", (code) =>
      reject(new Error(`${file} ${args.join(" ")} ended with ${code}`))
    )
  })

/** A server and what is pushed to it, for blobs of so many bytes. */
const world = async (bytes: number) => {
  const env = { BENCH_BYTES: String(bytes) }
  const server = await child<{ readonly port: number; readonly digest: string }>(
    "server.js",
    [],
    env
  )
  const { digest, port } = server.message
  const url = `http://127.0.0.1:${port}`
  const connections = async () => Number(await (await fetch(`${url}/connections`)).text())
  const measure = async (task: string): Promise<Sample> => {
    const before = await connections()
    const { message } = await child<Sample>("measure.js", [task, url, digest], {
      ...env,
      BENCH_DIGEST: digest,
      BENCH_MODULES: effectModules.join()
    })
    return { ...message, connections: (await connections()) - before }
  }
  return { measure, end: server.kill }
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((self, that) => self - that)[Math.floor(values.length / 2)] ?? Number.NaN

console.log(`${rounds} rounds of ${Content.size / Content.GiB} GiB`)
const samples = new Map<string, Array<Sample>>()
const tasks = new Set(
  chosen.flatMap(({ ours, reference }) => (reference === undefined ? [ours] : [ours, reference]))
)
const of = (prefixed: boolean) => [...tasks].filter((task) => task.startsWith(eight) === prefixed)
const run = async (bytes: number, names: ReadonlyArray<string>, times: number) => {
  if (names.length === 0) return
  const { end, measure } = await world(bytes)
  // In turn, so that what slows the machine down slows all of them down.
  for (let round = 0; round < times; round++) {
    for (const name of names) {
      const sample = await measure(name.replace(eight, ""))
      samples.set(name, [...(samples.get(name) ?? []), sample])
      console.log(
        `${name}: ${sample.seconds.toFixed(2)} s, CPU ${sample.cpu.toFixed(2)} s, ${sample.memory.toFixed(0)} MB`
      )
    }
  }
  end()
}
await run(Content.size, of(false), rounds)
await run(8 * Content.size, of(true), 1)

const figure = (task: string, quantity: Row["quantity"]): number => {
  const key = quantity === "speed" ? "seconds" : quantity
  const values = (samples.get(task) ?? []).map((sample) => sample[key])
  return key === "seconds" || key === "cpu" ? median(values) : Math.max(...values)
}

const results = chosen.map(({ bound, ours, quantity, reference, what }) => {
  const mine = figure(ours, quantity)
  const theirs = reference === undefined ? undefined : figure(reference, quantity)
  const ratio = theirs === undefined ? mine : quantity === "speed" ? theirs / mine : mine / theirs
  const met =
    bound === undefined ? undefined : quantity === "speed" ? ratio >= bound : ratio <= bound
  return { what, ours, reference, quantity, mine, theirs, ratio, bound, met }
})

const units = { seconds: " s", speed: " s", cpu: " s", memory: " MB", connections: "" }
const shown = (value: number | undefined, quantity: Row["quantity"]) =>
  value === undefined
    ? ""
    : `${value.toFixed(quantity === "memory" || quantity === "connections" ? 0 : 2)}${units[quantity]}`
const table = [
  "| work | measured | reference | ratio | target | |",
  "|---|---|---|---|---|---|",
  ...results.map(({ bound, met, mine, quantity, ratio, reference, theirs, what }) =>
    [
      "",
      what,
      shown(mine, quantity),
      reference === undefined ? "" : `${reference}: ${shown(theirs, quantity)}`,
      reference === undefined ? "" : ratio.toFixed(2),
      bound === undefined ? "" : `${quantity === "speed" ? ">=" : "<="} ${bound}`,
      met === undefined ? "" : met ? "met" : "**missed**",
      ""
    ]
      .join(" | ")
      .trim()
  )
].join("\n")
console.log(table)

if (filter === "") {
  const output = Path.join(here, "..", "results")
  Fs.mkdirSync(output, { recursive: true })
  const machine = {
    node: process.version,
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    bytes: Content.size,
    rounds
  }
  const write = (name: string, text: string) => Fs.writeFileSync(Path.join(output, name), text)
  write(
    "results.json",
    `${JSON.stringify({ machine, results, samples: Object.fromEntries(samples) }, undefined, 1)}\n`
  )
  write("results.md", `${table}\n`)
  write(
    "results.svg",
    plot(
      results
        .filter(
          ({ quantity, theirs }) =>
            theirs !== undefined && (quantity === "seconds" || quantity === "speed")
        )
        .map(({ mine, reference, theirs, what }) => ({
          label: what,
          bars: [
            ["effect-oci", mine],
            [reference ?? "", theirs ?? 0]
          ]
        }))
    )
  )
}
