/**
 * The examples in the documentation of the modules compile, so that what an editor shows can be
 * copied; what comments cite can be looked up.
 */
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
      text.matchAll(/^ +\* @example\n +\* ```ts\n([\s\S]*?)^ +\* ```$/gm),
      ([, lines = ""], index): readonly [file: string, code: string] => [
        join(root, "examples", `${path.replaceAll(sep, "-").replace(/\.ts$/, "")}-${index}.ts`),
        lines.replace(/^ +\* ?/gm, "")
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
  const program = ts.createProgram(
    [...examples.keys()],
    { ...options, noUnusedLocals: false },
    host
  )
  const problems = [...examples.keys()].flatMap((path) => {
    const file = program.getSourceFile(path)
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ messageText }) =>
        `${path.slice(root.length)}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`
    )
  })
  expect(problems).toEqual([])
  // None is left out for want of a fence.
  expect(examples.size).toBe(sources.flatMap(([, text]) => text.match(/@example/g) ?? []).length)
}, 120_000)

/**
 * What code and tests cite, with `a to c` meaning everything between as well. Names of variables
 * and types are no citations.
 */
const citations = (path: string, text: string): ReadonlyArray<string> => {
  const characters = Array.from({ length: text.length }, (_, at) => text[at])
  const blank = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) characters.fill(" ", node.getStart(), node.end)
    else ts.forEachChild(node, blank)
  }
  if (path.endsWith(".ts")) blank(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true))
  // A citation may go over the end of a line.
  const prose = characters.join("").replace(/\n\s*(?:\*|\/\/) /g, " ")
  return [
    ...Array.from(
      prose.matchAll(
        /(?<![\w%./-])(CP|C|R|I|A|T|V|S|RG|HK|SN|EP)(0?[1-9]\d{0,2})\b(?: to \1(\d+))?/g
      ),
      ([, kind, first, last = first]) => range(`${kind}`, Number(first), Number(last))
    ).flat(),
    ...Array.from(
      prose.matchAll(/\b(?:trap|rule|(?:RG|HK|SN|EP) defect) [1-9]\d?\b/g),
      ([id]) => id
    ),
    ...Array.from(
      prose.matchAll(/(?:\b[Qq]uirks |")§([1-9]) ?/g),
      ([, section]) => `quirks §${section}`
    )
  ]
}

const range = (kind: string, first: number, last: number): ReadonlyArray<string> =>
  Array.from({ length: last - first + 1 }, (_, n) => {
    const number = String(first + n)
    return `${kind}${kind === "CP" ? number.padStart(2, "0") : number}`
  })

it("docs/rules.md has every rule that is cited, and no other", () => {
  const cited = ["src", "test", "examples"]
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((path) => path.endsWith(".ts"))
        .map((path) => join(root, folder, path))
    )
    .concat(join(root, "README.md"))
    .flatMap((path) => citations(path, readFileSync(path, "utf8")))
  const rules = Array.from(
    readFileSync(join(root, "docs/rules.md"), "utf8").matchAll(/^\| ([^|]*\d) \|/gm),
    ([, id]) => id
  )
  expect([...new Set(cited)].filter((id) => !rules.includes(id))).toEqual([])
  expect(rules.filter((id, n) => !cited.includes(`${id}`) || rules.indexOf(id) !== n)).toEqual([])
}, 60_000)

it("every page that the README links is in the package", () => {
  const { files } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  const pages = Array.from(
    readFileSync(join(root, "README.md"), "utf8").matchAll(/\]\((docs\/[^)#]+)/g),
    ([, page]) => `${page}`
  )
  expect(pages).toContain("docs/migration/reggie.md")
  expect(
    pages.filter((page) => !files.some((file: string) => `${page}/`.startsWith(`${file}/`)))
  ).toEqual([])
})
