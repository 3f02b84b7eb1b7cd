/** The order of the house, read from its imports, its exports and its documentation. */
import { readdirSync, readFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { basename, dirname, join, normalize, sep } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import ts from "typescript"

const root = join(import.meta.dirname, "..")

const packageJson: {
  readonly exports: unknown
  readonly dependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
} = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))

const foundation = ["spec", "protocol", "contracts", "auth"]

/**
 * What each room may import from, besides itself: only rooms before it. Store, server and content
 * do not know each other; the client puts mirrors before a registry, which are of the store.
 */
const mayImport: Readonly<Record<string, ReadonlyArray<string>>> = {
  spec: [],
  protocol: ["spec"],
  contracts: ["spec", "protocol"],
  auth: ["spec", "protocol", "contracts"],
  client: [...foundation, "store"],
  store: foundation,
  server: foundation,
  content: foundation,
  node: [...foundation, "client", "store", "server", "content"],
  cli: [...foundation, "client", "store", "server", "content", "node"]
}

interface SourceFile {
  /** From the root, as in `src/spec/Digest.ts`. */
  readonly path: string
  readonly room: string
  readonly tree: ts.SourceFile
  readonly imports: ReadonlyArray<string>
}

/**
 * Public modules stand at the top of their room; what nobody imports by itself lies in a folder of
 * the room that needs it.
 */
const isInternal = (path: string): boolean =>
  path.split("/").length > 3 || path.startsWith("src/internal/")

const roomOf = (path: string): string => {
  const folders = path.split("/").slice(1, -1)
  if (folders[0] === "internal") return "contracts"
  return folders[0] ?? (path === "src/index.ts" ? "index" : "contracts")
}

const files: ReadonlyArray<SourceFile> = readdirSync(join(root, "src"), {
  recursive: true,
  encoding: "utf8"
})
  .filter((name) => name.endsWith(".ts"))
  .map((name) => {
    const path = `src/${name.split(sep).join("/")}`
    const tree = ts.createSourceFile(
      path,
      readFileSync(join(root, path), "utf8"),
      ts.ScriptTarget.Latest,
      true
    )
    return { path, room: roomOf(path), tree, imports: importsOf(tree) }
  })

/** Every module that a file names, in whatever form of import. */
function importsOf(tree: ts.SourceFile): ReadonlyArray<string> {
  const found: Array<string> = []
  const visit = (node: ts.Node): void => {
    const named =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
            ? node.argument.literal
            : undefined
    if (named !== undefined && ts.isStringLiteral(named)) found.push(named.text)
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

const nodesOf = (tree: ts.Node): ReadonlyArray<ts.Node> => {
  const found: Array<ts.Node> = []
  const visit = (node: ts.Node): void => {
    found.push(node)
    ts.forEachChild(node, visit)
  }
  visit(tree)
  return found
}

/** The place of a node, as an editor understands it. */
const place = (tree: ts.SourceFile, node: ts.Node): string => {
  const { line } = tree.getLineAndCharacterOfPosition(node.getStart(tree))
  return `${tree.fileName}:${line + 1}`
}

/** The files that a file imports, types included. */
const targetsOf = ({ imports, path }: SourceFile): ReadonlyArray<string> =>
  imports
    .filter((name) => name.startsWith("."))
    .map((name) =>
      normalize(join(dirname(path), name))
        .split(sep)
        .join("/")
        .replace(/\.js$/, ".ts")
    )

/** All violations of a rule over all files: the test shows each with its place. */
const violations = (rule: (file: SourceFile) => ReadonlyArray<string>): ReadonlyArray<string> =>
  files.flatMap(rule)

const isNodeRoom = ({ room }: SourceFile): boolean => room === "node" || room === "cli"

describe("imports", () => {
  it("there are files to look at, in rooms that the house has", () => {
    expect(files.length).toBeGreaterThan(10)
    expect(
      files.filter(({ room }) => room !== "index" && !(room in mayImport)).map(({ path }) => path)
    ).toEqual([])
  })

  it("rooms import only from rooms before them", () => {
    expect(
      violations((file) =>
        targetsOf(file)
          .filter((target) => {
            const from = roomOf(target)
            return (
              file.room !== "index" &&
              from !== file.room &&
              mayImport[file.room]?.includes(from) !== true
            )
          })
          .map((target) => `${file.path} imports ${target}`)
      )
    ).toEqual([])
  })

  it("no imports lead in a circle", () => {
    const left = new Map(files.map((file) => [file.path, targetsOf(file)]))
    // What imports nothing that is left is in no circle.
    let free: ReadonlyArray<string>
    do {
      free = [...left]
        .filter(([_, targets]) => !targets.some((target) => left.has(target)))
        .map(([path]) => path)
      for (const path of free) left.delete(path)
    } while (free.length > 0)
    expect([...left.keys()]).toEqual([])
  })

  it("only node/ and cli/ know the platform; spec/Digest alone hashes with node:crypto", () => {
    const builtins = new Set(builtinModules)
    expect(
      violations((file) =>
        file.imports
          .filter(
            (name) =>
              name.startsWith("node:") ||
              builtins.has(name) ||
              name === "undici" ||
              name.startsWith("@effect/platform-node")
          )
          .filter(
            (name) =>
              !isNodeRoom(file) && !(file.path === "src/spec/Digest.ts" && name === "node:crypto")
          )
          .map((name) => `${file.path} imports ${name}`)
      )
    ).toEqual([])
  })

  it("no file imports a barrel, which would load everything", () => {
    const barrels = new Set(["effect", "@effect/platform", "@effect/platform-node"])
    expect(
      violations(({ imports, path }) => [
        ...imports.filter((name) => barrels.has(name)).map((name) => `${path} imports ${name}`),
        ...imports
          .filter((name) => /^\.{1,2}\/(.*\/)?index\.js$/.test(name))
          .map((name) => `${path} imports ${name}`)
      ])
    ).toEqual([])
  })

  it("packages are among those declared", () => {
    const { dependencies, peerDependencies } = packageJson
    const declared = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)])
    expect(
      violations((file) =>
        file.imports
          .filter((name) => !name.startsWith(".") && !name.startsWith("node:"))
          .filter((name) => !declared.has(name.split("/", name.startsWith("@") ? 2 : 1).join("/")))
          .map((name) => `${file.path} imports ${name}`)
      )
    ).toEqual([])
  })
})

describe("code", () => {
  /**
   * Whether the column after the last one allowed is in a literal that is data: no title of a test,
   * and no part of a comment.
   */
  const isFixture = (tree: ts.SourceFile, position: number): boolean => {
    const holders = nodesOf(tree).filter(
      (node) => node.getStart(tree) <= position && position < node.end
    )
    const literal = holders.find(
      (node) =>
        ts.isStringLiteralLike(node) ||
        ts.isTemplateExpression(node) ||
        ts.isRegularExpressionLiteral(node)
    )
    if (literal === undefined) return false
    const { parent } = literal
    const isTitle =
      (ts.isCallExpression(parent) && /^(it|describe)\b/.test(parent.expression.getText(tree))) ||
      (ts.isPropertyAssignment(parent) && parent.name.getText(tree) === "does")
    return !isTitle
  }

  it("has lines of 100 columns at most, but for fixtures of tests", () => {
    const width = 100
    const folders = ["src", "test", "bench", "examples"]
    const found = folders.flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".ts") && !name.startsWith("dist"))
        .flatMap((name) => {
          const path = join(folder, name)
          const text = readFileSync(join(root, path), "utf8")
          const lines = text.split("\n")
          if (lines.every((line) => line.length <= width)) return []
          const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
          return lines.flatMap((line, n) =>
            line.length <= width ||
            // A link cannot be broken.
            /^ *\*.*\]\(https:\/\/\S+\)\S*$/.test(line) ||
            (folder !== "src" && isFixture(tree, tree.getPositionOfLineAndCharacter(n, width - 1)))
              ? []
              : [`${path}:${n + 1}`]
          )
        })
    )
    expect(found).toEqual([])
  })

  /** The lines of a file that hold more than comments. */
  const linesOf = (tree: ts.SourceFile): ReadonlySet<number> => {
    const lines = new Set<number>()
    const visit = (node: ts.Node): void => {
      const inner = node.getChildren(tree).filter((child) => !ts.isJSDoc(child))
      for (const child of inner) visit(child)
      if (inner.length > 0 || node.kind === ts.SyntaxKind.EndOfFileToken) return
      const { line: first } = tree.getLineAndCharacterOfPosition(node.getStart(tree))
      const { line: last } = tree.getLineAndCharacterOfPosition(node.end)
      for (let line = first; line <= last; line++) lines.add(line)
    }
    for (const statement of tree.statements) visit(statement)
    return lines
  }

  it("has files of 350 lines at most and functions of 80, comments left out", () => {
    expect(
      violations(({ path, tree }) => {
        const lines = linesOf(tree)
        const long = nodesOf(tree).filter((node) => {
          if (!ts.isFunctionLike(node) || !("body" in node) || node.body === undefined) return false
          const { line: first } = tree.getLineAndCharacterOfPosition(node.getStart(tree))
          const { line: last } = tree.getLineAndCharacterOfPosition(node.end)
          return [...lines].filter((line) => line >= first && line <= last).length > 80
        })
        return [
          ...(lines.size > 350 ? [`${path} has ${lines.size} lines`] : []),
          ...long.map((node) => place(tree, node))
        ]
      })
    ).toEqual([])
  })

  it("has no type `any`", () => {
    expect(
      violations(({ tree }) =>
        nodesOf(tree)
          .filter((node) => node.kind === ts.SyntaxKind.AnyKeyword)
          .map((node) => place(tree, node))
      )
    ).toEqual([])
  })

  it("runs no Effect by itself", () => {
    const runners = new Set([
      "runSync",
      "runSyncExit",
      "runPromise",
      "runPromiseExit",
      "runFork",
      "runCallback"
    ])
    expect(
      violations(({ tree }) =>
        nodesOf(tree)
          .filter((node) => ts.isPropertyAccessExpression(node) && runners.has(node.name.text))
          .map((node) => place(tree, node))
      )
    ).toEqual([])
  })
})

describe("documentation", () => {
  /** The doc comment directly above a node. */
  const docOf = (tree: ts.SourceFile, node: ts.Node): string => {
    const comments = ts.getLeadingCommentRanges(tree.text, node.getFullStart()) ?? []
    const texts = comments
      .map(({ end, pos }) => tree.text.slice(pos, end))
      .filter((text) => text.startsWith("/**"))
    // The first comment of a file is that of the module.
    const above = node.getFullStart() === 0 ? texts.slice(1) : texts
    return above.at(-1) ?? ""
  }

  const prose = (doc: string): string => doc.replace(/@[\s\S]*|[/*\s]/g, "")

  const nameOf = (node: ts.Node): string =>
    ts.isVariableStatement(node)
      ? node.declarationList.declarations.map(({ name }) => name.getText()).join()
      : (ts.getNameOfDeclaration(node as ts.Declaration)?.getText() ?? "")

  /** A type and the value of the same name are one thing, described at either. */
  const isDescribed = (
    tree: ts.SourceFile,
    node: ts.Node,
    exported: ReadonlyArray<ts.Node>
  ): boolean =>
    exported.some((other) => nameOf(other) === nameOf(node) && prose(docOf(tree, other)) !== "")

  const lacks = (
    tree: ts.SourceFile,
    node: ts.Node,
    exported: ReadonlyArray<ts.Node>
  ): ReadonlyArray<string> => {
    const doc = docOf(tree, node)
    const namespace = ts.isModuleDeclaration(node)
    const internal = isInternal(tree.fileName)
    const checks = [
      ["@since", internal || /@since \d+\.\d+\.\d+/.test(doc)],
      ["@category", internal || namespace || /@category \S/.test(doc)],
      // What is exported again is described where it is declared.
      [
        "a description",
        namespace || ts.isExportSpecifier(node) || isDescribed(tree, node, exported)
      ]
    ] as const
    return checks.filter(([, holds]) => !holds).map(([what]) => what)
  }

  /**
   * Whatever a file exports by declaring or naming it, in namespaces too. Overloads share the
   * comment of the first.
   */
  const exportsOf = (statements: ReadonlyArray<ts.Node>): ReadonlyArray<ts.Node> =>
    statements.flatMap((node, n): ReadonlyArray<ts.Node> => {
      if (ts.isExportDeclaration(node)) {
        return node.exportClause !== undefined && ts.isNamedExports(node.exportClause)
          ? node.exportClause.elements
          : []
      }
      if (!ts.canHaveModifiers(node)) return []
      const before = statements[n - 1]
      if (
        ts.isFunctionDeclaration(node) &&
        before !== undefined &&
        ts.isFunctionDeclaration(before) &&
        before.name?.text === node.name?.text
      ) {
        return []
      }
      const exported =
        ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true
      if (!exported) return []
      const inner =
        ts.isModuleDeclaration(node) && node.body !== undefined && ts.isModuleBlock(node.body)
          ? exportsOf([...node.body.statements])
          : []
      return [node, ...inner]
    })

  it("every module says what it is for, and since when if it is public", () => {
    expect(
      violations(({ path, tree }) => {
        const [first] = ts.getLeadingCommentRanges(tree.text, 0) ?? []
        const doc = first === undefined ? "" : tree.text.slice(first.pos, first.end)
        const said = doc.startsWith("/**") && prose(doc) !== ""
        return said && doc.includes("@since ") !== isInternal(path) ? [] : [path]
      })
    ).toEqual([])
  })

  it("public documentation names clauses, not the ids that comments and tests have", () => {
    const id = /(?<![\w%.-])(?:[CRIAT]|RG|HK)[1-9]\d{0,2}\b|\b(?:trap|rule|defect) \d+\b|quirks §/i
    expect(
      violations(({ path, tree }) =>
        isInternal(path)
          ? []
          : [...tree.text.matchAll(/\/\*\*[\s\S]*?\*\//g)]
              .filter(([doc]) => doc.includes("@since ") && id.test(doc))
              .map(({ index }) => `${path}:${tree.getLineAndCharacterOfPosition(index).line + 1}`)
      )
    ).toEqual([])
  })

  it("every export says what it is, and if it is public since when and of which category", () => {
    expect(
      violations(({ tree }) =>
        exportsOf([...tree.statements]).flatMap((node, _, exported) =>
          lacks(tree, node, exported).map((what) => `${place(tree, node)} lacks ${what}`)
        )
      )
    ).toEqual([])
  })
})

describe("package", () => {
  const publicFiles = files
    .filter(({ path }) => !isInternal(path))
    .filter((file) => !isNodeRoom(file) && file.room !== "index")
    .map(({ path }) => path)

  const entry = (path: string) => {
    const built = path.replace(/^src\//, "./dist/").replace(/\.ts$/, "")
    return { "@effect-oci/source": `./${path}`, types: `${built}.d.ts`, default: `${built}.js` }
  }

  /** The modules that a barrel exports as namespaces, as `name: path`. */
  const barrel = (path: string): Readonly<Record<string, string>> => {
    const tree = files.find((file) => file.path === path)?.tree
    if (tree === undefined) return {}
    return Object.fromEntries(
      tree.statements.filter(ts.isExportDeclaration).map((node) => {
        const { exportClause, moduleSpecifier } = node
        const name =
          exportClause !== undefined && ts.isNamespaceExport(exportClause)
            ? exportClause.name.text
            : "*"
        const target =
          moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier)
            ? moduleSpecifier.text
            : ""
        return [
          name,
          normalize(join(dirname(path), target))
            .split(sep)
            .join("/")
            .replace(/\.js$/, ".ts")
        ]
      })
    )
  }

  const byName = (paths: ReadonlyArray<string>): Readonly<Record<string, string>> =>
    Object.fromEntries(paths.map((path) => [basename(path, ".ts"), path]))

  it("no two public modules have the same name", () => {
    expect(Object.values(byName(publicFiles)).toSorted()).toEqual(publicFiles.toSorted())
  })

  it("every public module, and nothing else, is an import path of its own", () => {
    const expected = {
      "./package.json": "./package.json",
      ".": entry("src/index.ts"),
      "./node": entry("src/node/index.ts"),
      ...Object.fromEntries(publicFiles.map((path) => [`./${basename(path, ".ts")}`, entry(path)]))
    }
    expect(packageJson.exports).toEqual(expected)
  })

  it("the front door opens the same modules", () => {
    expect(barrel("src/index.ts")).toEqual(byName(publicFiles))
  })

  it("effect-oci/node opens everything in node/", () => {
    const paths = files
      .filter(
        ({ path, room }) => room === "node" && path !== "src/node/index.ts" && !isInternal(path)
      )
      .map(({ path }) => path)
    expect(paths.length).toBeGreaterThan(0)
    expect(barrel("src/node/index.ts")).toEqual(byName(paths))
  })
})
