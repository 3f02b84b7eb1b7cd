/** Memory does not grow with the layer. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { expect, it } from "@effect/vitest"
import { program } from "../support/program.js"

const MiB = 1024 * 1024

it("lists a layer of 512 MiB in less than 250 MB of memory", async () => {
  const child = fork(await program("test/content/fixtures/list.ts"), [`${512 * MiB}`])
  const ended = once(child, "exit").then(([code]) =>
    Promise.reject(new Error(`the listing ended with ${code}`))
  )
  const [told] = await Promise.race([once(child, "message"), ended])
  expect(told).toMatchObject({ count: 64, size: 512 * MiB })
  // All of the process, of which Effect and the program take about a hundred.
  expect(told.peak).toBeLessThan(250e6)
})
