/** Memory does not grow with the layer. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { expect, it } from "@effect/vitest"
import { program } from "../support/program.js"

const MiB = 1024 * 1024

/** What a program tells of its work on so many bytes. */
const told = async (fixture: string, size: number) => {
  const child = fork(await program(`test/content/fixtures/${fixture}`), [`${size}`])
  const ended = once(child, "exit").then(([code]) =>
    Promise.reject(new Error(`${fixture} ended with ${code}`))
  )
  const [told] = await Promise.race([once(child, "message"), ended])
  return told
}

it("lists a layer of 512 MiB in less than 250 MB of memory", async () => {
  const listed = await told("list.ts", 512 * MiB)
  expect(listed).toMatchObject({ count: 64, size: 512 * MiB })
  // All of the process, of which Effect and the program take about a hundred.
  expect(listed.peak).toBeLessThan(250e6)
})

it("builds and pushes a layer of a file of 256 MiB in less than 250 MB of memory", async () => {
  const built = await told("build.ts", 256 * MiB)
  expect(built.stored).toBeGreaterThan(100_000)
  expect(built.peak).toBeLessThan(250e6)
})
