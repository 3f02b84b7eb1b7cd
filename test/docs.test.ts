/** The examples in the documentation of the modules compile: what an editor shows can be copied. */
import { readdirSync, readFileSync } from "node:fs"
import { join, sep } from "node:path"
import { expect, it } from "@effect/vitest"
import ts from "typescript"

const root = join(import.meta.dirname, "..")

const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => [path, readFileSync(join(root, "src", path), "utf8")] as const)

/** The code of each example, under a name beside `examples/` that says where it stands. */
const examples = new Map(
  sources.flatMap(([path, text]) =>
    Array.from(
      text.matchAll(/^ \* @example\n \* ```ts\n([\s\S]*?)^ \* ```$/gm),
      ([, lines = ""], index): readonly [file: string, code: string] => [
        join(root, "examples", `${path.replaceAll(sep, "-").replace(/\.ts$/, "")}-${index}.ts`),
        lines.replace(/^ \* ?/gm, "")
      ]
    )
  )
)

it("examples in comments compile", () => {
  const config = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile).config
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile } = host
  host.fileExists = (path) => examples.has(path) || fileExists(path)
  host.readFile = (path) => examples.get(path) ?? readFile(path)
  const program = ts.createProgram([...examples.keys()], { ...options, noUnusedLocals: false }, host)
  const problems = [...examples.keys()].flatMap((path) => {
    const file = program.getSourceFile(path)
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ messageText }) => `${path.slice(root.length)}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`
    )
  })
  expect(problems).toEqual([])
  // None is left out for want of a fence.
  expect(examples.size).toBe(sources.flatMap(([, text]) => text.match(/@example/g) ?? []).length)
}, 120_000)
