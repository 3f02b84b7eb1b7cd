/** Suites that need a program of Debian's on this machine. */
import { accessSync, constants } from "node:fs"
import * as Path from "node:path"
import { describe, expect, it } from "@effect/vitest"

const executable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Whether a command is installed. */
export const isInstalled = (command: string): boolean =>
  (process.env["PATH"] ?? "")
    .split(Path.delimiter)
    .some((folder) => folder !== "" && executable(Path.join(folder, command)))

/**
 * A suite that needs a command. Where it is not installed, the suite is skipped under a name that
 * says so; with `CI=true` it fails instead, so that no run passes by having tested nothing.
 */
export const describeInstalled = (command: string, name: string, suite: () => void): void => {
  const missing = `${command} is not installed (apt-get install ${command})`
  if (isInstalled(command)) {
    describe(name, suite)
  } else if (process.env["CI"] === "true") {
    describe(name, () => {
      it(missing, () => expect.fail(missing))
    })
  } else {
    const line = "=".repeat(100)
    console.warn(`${line}\nSKIPPED: ${missing}: ${name}\n${line}`)
    describe.skip(`SKIPPED: ${missing}: ${name}`, suite)
  }
}

/**
 * A suite that needs a command which Debian does not have. Where it is not installed, the suite is
 * skipped, with `CI=true` as well.
 */
export const describeWherePresent = (command: string, name: string, suite: () => void): void => {
  if (isInstalled(command)) describe(name, suite)
  else describe.skip(`SKIPPED: ${command} is not installed: ${name}`, suite)
}
