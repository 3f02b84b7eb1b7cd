/** A sample of `npm run fuzz`, the same each time; without its limits on time and memory, which depend on the machine. */
import { describe, expect, it } from "@effect/vitest"
import { inputs } from "./fuzz/inputs.js"
import { excess, targets } from "./fuzz/targets.js"

describe("no input makes a parser throw, or return more than its bound", () => {
  it.each(targets.map((target) => [target.name, target] as const))("%s", (_, target) => {
    const next = inputs(target.seeds, 1)
    const failures: Array<string> = []
    const attempt = (input: string) => {
      try {
        const problem = excess(target, input, target.run(input))
        if (problem !== undefined) failures.push(`${problem}: ${JSON.stringify(input.slice(0, 500))}`)
      } catch (error) {
        failures.push(`${error}: ${JSON.stringify(input.slice(0, 500))}`)
      }
    }
    for (const seed of target.seeds) attempt(seed)
    for (let run = 0; run < 2000; run++) attempt(next())
    expect(failures.slice(0, 5)).toEqual([])
  })
})
