/**
 * A sample of `npm run fuzz`, the same each time; without its limits on time and memory, which
 * depend on the machine.
 */
import { readdirSync, readFileSync } from "node:fs"
import { basename } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import ts from "typescript"
import { inputs } from "./fuzz/inputs.js"
import { excess, seedsFor, targets } from "./fuzz/targets.js"
import { ignoreSecrets } from "./support/suiteWatch.js"

ignoreSecrets()

it("every export of spec/ and protocol/ that reads text or bytes, and every schema, is run", () => {
  const source = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")
  const run = source("./fuzz/targets.ts")
  const missing: Array<string> = []
  let count = 0
  for (const room of ["spec", "protocol"]) {
    const names = readdirSync(new URL(`../src/${room}`, import.meta.url), {
      recursive: true,
      encoding: "utf8"
    })
    for (const file of names.filter((name) => name.endsWith(".ts"))) {
      const tree = ts.createSourceFile(
        file,
        source(`../src/${room}/${file}`),
        ts.ScriptTarget.Latest,
        true
      )
      for (const statement of tree.statements) {
        const exported = ts.isVariableStatement(statement) && /^export /.test(statement.getText())
        for (const { initializer, name, type } of exported
          ? statement.declarationList.declarations
          : []) {
          const signature = [type, initializer].find(
            (node) =>
              node !== undefined && (ts.isFunctionTypeNode(node) || ts.isArrowFunction(node))
          ) as ts.SignatureDeclaration | undefined
          const reads = /^(unknown|(string|Uint8Array)( \| .*)?)$/.test(
            signature?.parameters[0]?.type?.getText() ?? ""
          )
          const schema = /^Schema\./.test(type?.getText() ?? initializer?.getText() ?? "")
          if (!reads && !schema) continue
          count++
          if (!new RegExp(`\\b${basename(file, ".ts")}\\.${name.getText()}\\b`).test(run))
            missing.push(`${file}: ${name.getText()}`)
        }
      }
    }
  }
  expect(count).toBeGreaterThan(40)
  expect(missing).toEqual([])
})

describe("no input makes a parser throw, or return more than its bound", () => {
  it.each(targets.map((target) => [target.name, target] as const))("%s", (_, target) => {
    const next = inputs(seedsFor(target), 1)
    const failures: Array<string> = []
    const attempt = (input: string) => {
      try {
        const problem = excess(target, input, target.run(input))
        if (problem !== undefined)
          failures.push(`${problem}: ${JSON.stringify(input.slice(0, 500))}`)
      } catch (error) {
        failures.push(`${error}: ${JSON.stringify(input.slice(0, 500))}`)
      }
    }
    for (const seed of seedsFor(target)) attempt(seed)
    for (let run = 0; run < 500; run++) attempt(next())
    expect(failures.slice(0, 5)).toEqual([])
  })
})
