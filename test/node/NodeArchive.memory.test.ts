/** Memory does not grow with what is in an archive. `npm run archives` does it with 4 GiB. */
import { fork } from "node:child_process"
import { once } from "node:events"
import { expect, it } from "@effect/vitest"
import { program } from "../support/program.js"

const size = Number(process.env["ARCHIVE_BYTES"] ?? 256 * 1024 * 1024)

it(`writes and reads archives of ${size} bytes in less than 150 MB of memory`, async () => {
  const child = fork(await program("test/node/fixtures/archive.ts"), [`${size}`])
  const ended = once(child, "exit").then(([code]) =>
    Promise.reject(new Error(`the archives ended with ${code}`))
  )
  const [told] = await Promise.race([once(child, "message"), ended])
  expect(told.size).toBe(size)
  // All of the process, of which Effect and the program take about a hundred.
  expect(told.peak).toBeLessThan(150e6)
}, 600_000)
