/**
 * `npm run fuzz -- [--runs 1000000] [--seed 1] [--target Link]`: every target with that many
 * inputs. It ends with an error at the first input that makes a target throw, take more than 20
 * milliseconds of the processor, not come back at all or return too much, and if a target has kept
 * memory when it is done.
 *
 * Each target has a thread of its own, so that one that hangs can be found out: the thread counts
 * its inputs where this one sees it.
 */
import { parseArgs } from "node:util"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { inputs } from "./inputs.js"
import { excess, seedsFor, type Target, targets } from "./targets.js"

const slowest = 20
const kept = 8 * 1024 * 1024
/**
 * Milliseconds of the processor without a new input after which a target hangs: what else the
 * machine does takes none of them.
 */
const patience = 20_000

interface Work {
  readonly target: number
  readonly runs: number
  readonly seed: number
  /** How many inputs were begun. */
  readonly begun: Int32Array
}

const inputAt = (target: Target, seed: number, run: number): string => {
  const next = inputs(seedsFor(target), seed)
  for (let skipped = 0; skipped < run; skipped++) next()
  return next()
}

const problemAt = (target: Target, seed: number, run: number, problem: string): string =>
  `${target.name}, input ${run} of seed ${seed}: ${problem}\n${JSON.stringify(inputAt(target, seed, run).slice(0, 2000))}`

// -----------------------------------------------------------------------------
// The thread of a target
// -----------------------------------------------------------------------------

/**
 * What an input costs in milliseconds of the processor: the least of several runs, so that neither
 * other programs nor the garbage of earlier inputs count.
 */
const cost = (target: Target, input: string): number => {
  let least = Number.POSITIVE_INFINITY
  for (let run = 0; run < 5; run++) {
    const start = process.cpuUsage()
    target.run(input)
    const { system, user } = process.cpuUsage(start)
    least = Math.min(least, (system + user) / 1000)
  }
  return least
}

/** The problem of an input, if it has one, and what it took if that was much. */
const judge = (
  target: Target,
  input: string
): { readonly problem?: string | undefined; readonly time: number } => {
  try {
    const start = performance.now()
    const problem = excess(target, input, target.run(input))
    // Measured with care if it seems to be slow.
    const time = performance.now() - start > slowest / 10 ? cost(target, input) : 0
    return time > slowest
      ? { problem: `it takes ${Math.round(time)} ms for ${input.length} characters`, time }
      : { problem, time }
  } catch (error) {
    return { problem: `it throws ${error}`, time: 0 }
  }
}

/** Heap and buffers, without garbage. */
const memory = (collect: () => void): number => {
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const fuzz = ({ begun, runs, seed, target: index }: Work): string => {
  const target = targets[index] as Target
  setFlagsFromString("--expose-gc")
  const collect: () => void = runInNewContext("gc")
  const next = inputs(seedsFor(target), seed)
  const start = performance.now()
  let [worst, before] = [0, 0]
  for (let run = 0; run < runs; run++) {
    // By then everything is compiled, and every cache is full.
    if (run === Math.floor(runs / 5)) before = memory(collect)
    Atomics.store(begun, 0, run + 1)
    const { problem, time } = judge(target, next())
    if (problem !== undefined) throw new Error(problemAt(target, seed, run, problem))
    worst = Math.max(worst, time)
  }
  const growth = memory(collect) - before
  if (growth > kept)
    throw new Error(`${target.name} keeps memory: ${growth} bytes after ${runs} inputs`)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const slow = Math.max(worst, slowest / 10).toFixed(1)
  const grown = `${Math.round(growth / 1024)} KiB more memory`
  return `${target.name}: ${runs} inputs in ${seconds} s, the slowest in ${slow} ms or less, ${grown}`
}

// -----------------------------------------------------------------------------
// The main thread
// -----------------------------------------------------------------------------

/** A thread knows no TypeScript by itself. */
const typescript = (url: string): string =>
  `import("tsx/esm/api").then(({ register }) => { register(); return import(${JSON.stringify(url)}) })`

const watched = (work: Work): Promise<string> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(typescript(import.meta.url), { eval: true, workerData: work })
    let last = 0
    let since = process.cpuUsage()
    const watch = setInterval(() => {
      const begun = Atomics.load(work.begun, 0)
      const { system, user } = process.cpuUsage(since)
      if (begun !== last) since = process.cpuUsage()
      else if (begun > 0 && (system + user) / 1000 > patience) {
        void worker.terminate()
        reject(
          new Error(
            problemAt(targets[work.target] as Target, work.seed, begun - 1, "it does not come back")
          )
        )
      }
      last = begun
    }, 1000)
    worker
      .once("message", resolve)
      .once("error", reject)
      .once("exit", () => clearInterval(watch))
  })

const main = async () => {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "1000000" },
      seed: { type: "string", default: "1" },
      target: { type: "string", default: "" }
    }
  })
  for (const [target, { name }] of targets.entries()) {
    if (!name.includes(values.target)) continue
    const begun = new Int32Array(new SharedArrayBuffer(4))
    console.log(
      await watched({ target, runs: Number(values.runs), seed: Number(values.seed), begun })
    )
  }
}

if (isMainThread) await main()
else parentPort?.postMessage(fuzz(workerData))
