/** What a machine has that a test changes for its time: folders and environment variables. */
import * as Fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as Effect from "effect/Effect"

/** A folder with these files, by path and content. */
export const folder = (files: Readonly<Record<string, string>> = {}) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const root = await Fs.mkdtemp(Path.join(tmpdir(), "effect-oci-"))
      for (const [name, content] of Object.entries(files)) {
        await Fs.mkdir(Path.dirname(Path.join(root, name)), { recursive: true })
        await Fs.writeFile(Path.join(root, name), content)
      }
      return root
    }),
    (root) => Effect.promise(() => Fs.rm(root, { recursive: true, force: true }))
  )

export const environment = (name: string, value: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = process.env[name]
      process.env[name] = value
      return before
    }),
    (before) =>
      Effect.sync(() => {
        if (before === undefined) delete process.env[name]
        else process.env[name] = before
      })
  )
