/**
 * `npm run fuzz -- [--runs 1000000] [--seed 1] [--target Link]`: every target with that many inputs. It ends with an error at the first input that
 * makes a target throw, take more than 20 milliseconds of the processor or return too much, and if a target has kept memory when it is done.
 */
import { parseArgs } from "node:util"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { inputs } from "./inputs.js"
import { excess, type Target, targets } from "./targets.js"

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    target: { type: "string", default: "" }
  }
})
const [runs, seed] = [Number(values.runs), Number(values.seed)]

const slowest = 20
const kept = 8 * 1024 * 1024

setFlagsFromString("--expose-gc")
const collect: () => void = runInNewContext("gc")

const heap = (): number => {
  collect()
  return process.memoryUsage().heapUsed
}

/** What an input costs in milliseconds of the processor: the least of several runs, so that neither other programs nor the garbage of earlier inputs count. */
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

const fuzz = (target: Target): string => {
  const next = inputs(target.seeds, seed)
  const start = performance.now()
  let [worst, before] = [0, 0]
  for (let run = 0; run < runs; run++) {
    // By then everything is compiled, and every cache is full.
    if (run === Math.floor(runs / 5)) before = heap()
    const input = next()
    const failed = (problem: string) =>
      new Error(`${target.name}, input ${run} of seed ${seed}: ${problem}\n${JSON.stringify(input.slice(0, 2000))}`)
    try {
      const start = performance.now()
      const problem = excess(target, input, target.run(input))
      if (problem !== undefined) throw failed(problem)
      // Measured with care if it seems to be slow.
      const time = performance.now() - start > slowest / 10 ? cost(target, input) : 0
      if (time > slowest) throw failed(`it takes ${Math.round(time)} ms for ${input.length} characters`)
      worst = Math.max(worst, time)
    } catch (error) {
      throw error instanceof Error && error.message.startsWith(target.name) ? error : failed(String(error))
    }
  }
  const growth = heap() - before
  if (growth > kept) throw new Error(`${target.name} keeps memory: ${growth} bytes after ${runs} inputs`)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  return `${target.name}: ${runs} inputs in ${seconds} s, the slowest in ${Math.max(worst, slowest / 10).toFixed(1)} ms or less`
}

for (const target of targets) if (target.name.includes(values.target)) console.log(fuzz(target))
