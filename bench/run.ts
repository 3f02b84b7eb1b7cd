/**
 * Runs the measurements in turn with their references, and writes the table, JSON and a plot to
 * `bench/results/`: `npm run bench [-- filter]`.
 */
import { fork, spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import { cpus } from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Content from "./content.js"
import { effectModules } from "./modules.js"
import { isHere } from "./others.js"
import { plot } from "./plot.js"
import { eight, type Row, rows, type Sample } from "./rows.js"

const here = Path.dirname(fileURLToPath(import.meta.url))
const rounds = Number(process.env["BENCH_ROUNDS"] ?? 5)
const filter = process.argv[2] ?? ""
const chosen = rows.filter(({ what }) => what.includes(filter))
/** The runtimes that all is measured on: this one, and another one if `BENCH_NODE` names it. */
const runtimes = [
  process.execPath,
  ...(process.env["BENCH_NODE"] === undefined ? [] : [process.env["BENCH_NODE"]])
]
const versions = runtimes.map((path) => spawnSync(path, ["--version"]).stdout.toString().trim())

const child = <A>(
  file: string,
  args: ReadonlyArray<string>,
  env: NodeJS.ProcessEnv,
  execPath = process.execPath
) =>
  new Promise<{ readonly message: A; readonly kill: () => void }>((resolve, reject) => {
    const running = fork(Path.join(here, file), args, { env: { ...process.env, ...env }, execPath })
    running.once("message", (message) =>
      resolve({ message: message as A, kill: () => running.kill() })
    )
    running.once("exit", (code) =>
      reject(new Error(`${file} ${args.join(" ")} ended with ${code}`))
    )
  })

/** A server and what is pushed to it, for blobs of so many bytes. */
const world = async (bytes: number) => {
  const isOfImages = bytes === Content.size && [...tasks].some((task) => /\/image/.test(task))
  const env = {
    BENCH_BYTES: String(bytes),
    ...(isOfImages && { BENCH_IMAGES: "1" }),
    ...([...tasks].some((task) => /folder/.test(task)) && { BENCH_FOLDER: "1" })
  }
  const server = await child<{
    readonly port: number
    readonly tlsPort: number
    readonly digest: string
  }>("server.js", [], env)
  const { digest, port, tlsPort } = server.message
  const url = `http://127.0.0.1:${port}`
  const connections = async () => Number(await (await fetch(`${url}/connections`)).text())
  const measure = async (task: string, runtime: string): Promise<Sample> => {
    const before = await connections()
    const { message } = await child<Sample>(
      "measure.js",
      [task, url, `https://127.0.0.1:${tlsPort}`, digest],
      { ...env, BENCH_DIGEST: digest, BENCH_MODULES: effectModules.join() },
      runtime
    )
    return { ...message, connections: (await connections()) - before }
  }
  return { measure, end: server.kill }
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((self, that) => self - that)[Math.floor(values.length / 2)] ?? Number.NaN

/** Other clients are named at the end of a task: `others/pull file, oras`. */
const clientOf = (task: string) =>
  /^(?:others|copies)\//.test(task) && !/, (?:effect-oci|undici)/.test(task)
    ? (task.split(", ").at(-1) ?? "")
    : undefined
const absent = (task: string): boolean => {
  const client = clientOf(task)
  return client !== undefined && !isHere(client)
}

console.log(`${rounds} rounds of ${Content.size / Content.GiB} GiB on Node ${versions.join(", ")}`)
const samples = new Map<string, Array<Sample>>()
const keyOf = (task: string, runtime: number) =>
  // Other clients are what they are, whatever starts them.
  runtime === 0 || clientOf(task) !== undefined ? task : `${task} (Node ${versions[runtime]})`
const tasks = new Set(
  chosen.flatMap(({ ours, reference }) =>
    reference === undefined ? [ours] : absent(reference) ? [] : [ours, reference]
  )
)
const of = (prefixed: boolean) => [...tasks].filter((task) => task.startsWith(eight) === prefixed)
const run = async (bytes: number, names: ReadonlyArray<string>, times: number) => {
  if (names.length === 0) return
  const { end, measure } = await world(bytes)
  // In turn, so that what slows the machine down slows all of them down.
  for (let round = 0; round < times; round++) {
    for (const name of names) {
      for (const [n, runtime] of runtimes.entries()) {
        const key = keyOf(name, n)
        if (n > 0 && key === name) continue
        const sample = await measure(name.replace(eight, ""), runtime)
        samples.set(key, [...(samples.get(key) ?? []), sample])
        console.log(
          `${key}: ${sample.seconds.toFixed(2)} s, CPU ${sample.cpu.toFixed(2)} s, ${sample.memory.toFixed(0)} MB`
        )
      }
    }
  }
  end()
}
await run(Content.size, of(false), rounds)
await run(8 * Content.size, of(true), 1)

const figure = (key: string, quantity: Row["quantity"]): number => {
  const member = quantity === "speed" ? "seconds" : quantity
  const values = (samples.get(key) ?? []).map((sample) => sample[member])
  return member === "seconds" || member === "cpu" ? median(values) : Math.max(...values)
}

/** How ours compares on a runtime, and whether that is as it should be. */
const compared = ({ allowance = 0, bound, ours, quantity, reference }: Row, runtime: number) => {
  const mine = figure(keyOf(ours, runtime), quantity)
  const theirs = reference === undefined ? undefined : figure(keyOf(reference, runtime), quantity)
  const ratio =
    theirs === undefined ? mine : quantity === "speed" ? theirs / mine : (mine - allowance) / theirs
  const met =
    bound === undefined ? undefined : quantity === "speed" ? ratio >= bound : ratio <= bound
  return { mine, theirs, ratio, met }
}

const results = chosen.map((row) =>
  row.reference !== undefined && absent(row.reference)
    ? { ...row, absent: clientOf(row.reference) }
    : { ...row, measured: runtimes.map((_, n) => compared(row, n)) }
)

const units = { seconds: " s", speed: " s", cpu: " s", memory: " MB", connections: "" }
const shown = (value: number | undefined, quantity: Row["quantity"]) =>
  value === undefined
    ? ""
    : `${value.toFixed(quantity === "memory" || quantity === "connections" ? 0 : 2)}${units[quantity]}`
const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
const table = [
  line([
    "work",
    "reference",
    "target",
    ...versions.flatMap((version) => [`Node ${version}`, "ratio", ""])
  ]),
  line(["---", "---", "---", ...versions.flatMap(() => ["---", "---", "---"])]),
  ...results.map((result) => {
    const { bound, quantity, reference = "", what } = result
    const target = bound === undefined ? "" : `${quantity === "speed" ? ">=" : "<="} ${bound}`
    return line([
      what,
      reference,
      target,
      ...("measured" in result
        ? result.measured.flatMap(({ met, mine, ratio, theirs }) => [
            theirs === undefined
              ? shown(mine, quantity)
              : `${shown(mine, quantity)}, ${shown(theirs, quantity)}`,
            theirs === undefined ? "" : ratio.toFixed(2),
            met === undefined ? "" : met ? "met" : "**missed**"
          ])
        : versions.flatMap(() => [`not measured: ${result.absent} is not on PATH`, "", ""]))
    ])
  })
].join("\n")
console.log(table)

if (filter === "") {
  const output = Path.join(here, "..", "results")
  Fs.mkdirSync(output, { recursive: true })
  const machine = {
    node: versions,
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
      results.flatMap((result) => {
        const [first] = "measured" in result ? result.measured : []
        return first?.theirs !== undefined &&
          (result.quantity === "seconds" || result.quantity === "speed")
          ? [
              {
                label: result.what,
                bars: [
                  ["effect-oci", first.mine],
                  [result.reference ?? "", first.theirs]
                ]
              }
            ]
          : []
      })
    )
  )
}
