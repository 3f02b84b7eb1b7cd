/** What the tests of a module hold up to it: every literal text in them, as seeds. */
import { readFileSync } from "node:fs"
import ts from "typescript"

/** The texts in the test file of a module, such as `protocol/Link`. */
export const seedsOf = (module: string): ReadonlyArray<string> => {
  const path = new URL(`../${module}.test.ts`, import.meta.url)
  const tree = ts.createSourceFile(path.href, readFileSync(path, "utf8"), ts.ScriptTarget.Latest)
  const found = new Set<string>()
  const visit = (node: ts.Node): void => {
    const imported = ts.isImportDeclaration(node)
    if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) found.add(node.text)
    // Between the values of a template, what is typical of its module.
    if (ts.isTemplateExpression(node))
      found.add(
        [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)].join("a")
      )
    if (!imported) ts.forEachChild(node, visit)
  }
  visit(tree)
  return [...found].filter((text) => text !== "" && text.length < 4096)
}
