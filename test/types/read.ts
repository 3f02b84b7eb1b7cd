/** Reads the table of the public surface from the declarations of the package. */
import { readFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import ts from "typescript"
import type { Entry, Member, Module, Table } from "./table.js"

/** The names that the modules of the package have for themselves. */
export interface Entrypoint {
  /** As in `Registry`, or `node/BlobFile`. */
  readonly name: string
  readonly file: string
}

const isOurs = (file: ts.SourceFile): boolean => file.fileName.includes("/effect-oci/dist/")

/** The import path of a module of another package: `effect/Effect`. */
const externalModule = (fileName: string): string | undefined =>
  /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/dist\/dts\/([\w/]+)\.d\.ts$/
    .exec(fileName)
    ?.slice(1)
    .join("/")

class Reader {
  readonly imports: Record<string, string> = {}
  readonly problems = new Set<string>()
  private readonly checker: ts.TypeChecker
  /** The module that a symbol is at home in, and its name there. */
  private readonly homes = new Map<ts.Symbol, { readonly module: string; readonly name: string }>()
  /** How many types have a name. */
  private readonly bearers = new Map<string, number>()
  private readonly printer = ts.createPrinter({ removeComments: true })

  constructor(
    private readonly program: ts.Program,
    private readonly modules: ReadonlyArray<Entrypoint>
  ) {
    this.checker = program.getTypeChecker()
    for (const module of modules)
      for (const [name, symbol] of this.exportsOf(module)) {
        const declared = symbol.declarations?.[0]?.getSourceFile().fileName
        if (!this.homes.has(symbol) || declared === module.file)
          this.homes.set(symbol, { module: module.name, name })
      }
    for (const [symbol, { name }] of this.homes)
      if (symbol.flags & ts.SymbolFlags.Type)
        this.bearers.set(name, (this.bearers.get(name) ?? 0) + 1)
  }

  read(): Table {
    const modules: Array<Module> = this.modules.map((module) => ({
      name: module.name,
      entries: this.exportsOf(module).flatMap(([name, symbol]) => {
        const home = this.homes.get(symbol)
        return home?.module === module.name || home === undefined
          ? this.entriesOf(name, symbol)
          : [{ kind: "same" as const, name, parameters: "", types: [home.module], members: [] }]
      })
    }))
    return { imports: this.imports, modules }
  }

  names(): ReadonlyArray<string> {
    return this.modules.flatMap((module) =>
      this.exportsOf(module).flatMap(([name, { flags }]) => [
        ...(flags & ts.SymbolFlags.Type ? [`type ${module.name}.${name}`] : []),
        ...(flags & ts.SymbolFlags.Value ? [`value ${module.name}.${name}`] : [])
      ])
    )
  }

  /** The exports of a module, those of its namespaces among them. */
  private exportsOf({ file }: Entrypoint): ReadonlyArray<readonly [string, ts.Symbol]> {
    const source = this.program.getSourceFile(file)
    const module = source && this.checker.getSymbolAtLocation(source)
    if (module === undefined) throw new Error(`Not a module: ${file}`)
    return this.checker.getExportsOfModule(module).flatMap((symbol) => {
      const target = this.target(symbol)
      const inner =
        target.flags & ts.SymbolFlags.Namespace && target.exports !== undefined
          ? [...target.exports.values()].filter(({ flags }) => flags & ts.SymbolFlags.Type)
          : []
      return [
        [symbol.name, target] as const,
        ...inner.map((member) => [`${symbol.name}.${member.name}`, member] as const)
      ]
    })
  }

  private target(symbol: ts.Symbol): ts.Symbol {
    return symbol.flags & ts.SymbolFlags.Alias ? this.checker.getAliasedSymbol(symbol) : symbol
  }

  // ---------------------------------------------------------------------------
  // Entries
  // ---------------------------------------------------------------------------

  private entriesOf(name: string, symbol: ts.Symbol): ReadonlyArray<Entry> {
    const found: Array<Entry> = []
    for (const node of symbol.declarations ?? []) {
      const entry = this.entryOf(name, node)
      const before = found.find(({ kind }) => kind === "value")
      if (entry?.kind === "value" && before !== undefined)
        found[found.indexOf(before)] = { ...before, types: [...before.types, ...entry.types] }
      else if (entry !== undefined) found.push(entry)
    }
    return found
  }

  private entryOf(name: string, node: ts.Declaration): Entry | undefined {
    const plain = { name, parameters: "", types: [], members: [] }
    if (ts.isVariableDeclaration(node))
      return { ...plain, kind: "value", types: this.typesOf(node.type ?? node.initializer, name) }
    if (ts.isFunctionDeclaration(node))
      return { ...plain, kind: "value", types: [this.arrow(node)] }
    if (ts.isTypeAliasDeclaration(node))
      return {
        ...plain,
        kind: "type",
        parameters: this.parametersOf(node),
        types: [this.text(node.type)]
      }
    if (ts.isInterfaceDeclaration(node))
      return {
        ...plain,
        kind: "interface",
        parameters: this.parametersOf(node),
        ...this.bodyOf(name, node)
      }
    if (ts.isClassDeclaration(node)) return this.classOf(plain, node)
    if (!ts.isModuleDeclaration(node)) this.problems.add(`${name} is of no known kind`)
    return undefined
  }

  /** What an interface extends if that is public, and its members, with those of what is not. */
  private bodyOf(name: string, node: ts.InterfaceDeclaration): Pick<Entry, "members" | "types"> {
    const parents = (node.heritageClauses ?? []).flatMap(({ types }) => types)
    const inner = parents.map((parent) => {
      const symbol = this.checker.getSymbolAtLocation(parent.expression)
      const target = symbol && this.target(symbol)
      const declared = target?.declarations?.[0]
      return declared !== undefined &&
        target !== undefined &&
        !this.homes.has(target) &&
        isOurs(declared.getSourceFile()) &&
        ts.isInterfaceDeclaration(declared) &&
        declared.typeParameters === undefined
        ? this.bodyOf(name, declared)
        : { types: [this.text(parent)], members: [] }
    })
    return {
      types: inner.flatMap(({ types }) => types),
      members: [
        ...inner.flatMap(({ members }) => members),
        ...node.members.flatMap((member) => {
          const symbol = member.name && this.checker.getSymbolAtLocation(member.name)
          if (symbol === undefined) this.problems.add(`${name} has a member without a name`)
          return symbol === undefined ? [] : this.memberOf(symbol, name)
        })
      ]
    }
  }

  private classOf(plain: Omit<Entry, "kind">, node: ts.ClassDeclaration): Entry {
    const parent = node.heritageClauses?.[0]?.types[0]?.expression
    const base = parent && this.checker.getSymbolAtLocation(parent)?.valueDeclaration
    const type = base && ts.isVariableDeclaration(base) ? base.type : undefined
    const own = node.members.flatMap((member): ReadonlyArray<Member> => {
      if (ts.isConstructorDeclaration(member) || member.name === undefined) return []
      if (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Private) return []
      // Errors have one anyway.
      if (member.name.getText() === "message") return []
      const symbol = this.checker.getSymbolAtLocation(member.name)
      const isStatic = ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Static
      return symbol === undefined
        ? []
        : this.memberOf(symbol, plain.name, isStatic ? "static " : "")
    })
    const isError =
      type !== undefined && ts.isTypeReferenceNode(type) && /TaggedErrorClass/.test(type.getText())
    if (!isError)
      return {
        ...plain,
        kind: "class",
        types: type === undefined ? [] : [this.text(type)],
        members: own
      }
    const fields = type.typeArguments?.[2]
    if (fields === undefined) throw new Error(`${plain.name} has no fields`)
    const instance = this.checker.getTypeAtLocation(node)
    const members = this.checker
      .getPropertiesOfType(this.checker.getTypeFromTypeNode(fields))
      .flatMap((field): ReadonlyArray<Member> => {
        const property = instance.getProperty(field.name)
        if (property === undefined) return []
        const type = this.checker.getTypeOfSymbolAtLocation(property, node)
        const optional = property.flags & ts.SymbolFlags.Optional ? "?" : ""
        return [{ name: `readonly ${field.name}${optional}`, types: [this.textOfType(type)] }]
      })
    return { ...plain, kind: "error", members: [...members, ...own] }
  }

  private memberOf(symbol: ts.Symbol, owner: string, prefix = ""): ReadonlyArray<Member> {
    const nodes = symbol.declarations ?? []
    const types = nodes.flatMap((node) =>
      ts.isMethodSignature(node) || ts.isMethodDeclaration(node)
        ? [this.arrow(node)]
        : ts.isPropertySignature(node) ||
            ts.isPropertyDeclaration(node) ||
            ts.isGetAccessorDeclaration(node)
          ? this.typesOf(node.type, `${owner}.${symbol.name}`)
          : []
    )
    const [node] = nodes
    if (node === undefined || types.length === 0) {
      this.problems.add(`${owner}.${symbol.name} is of no known kind`)
      return []
    }
    const readonly = ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Readonly
    const optional = symbol.flags & ts.SymbolFlags.Optional ? "?" : ""
    const name = ts.getNameOfDeclaration(node)
    const written = name === undefined ? symbol.name : this.print(name, name)
    return [{ name: `${prefix}${readonly ? "readonly " : ""}${written}${optional}`, types }]
  }

  // ---------------------------------------------------------------------------
  // Text
  // ---------------------------------------------------------------------------

  private typesOf(node: ts.Node | undefined, name: string): ReadonlyArray<string> {
    if (node === undefined) {
      this.problems.add(`${name} has no type`)
      return []
    }
    if (ts.isTypeLiteralNode(node) && node.members.length > 0) {
      const signatures = node.members.filter(ts.isCallSignatureDeclaration)
      if (signatures.length === node.members.length)
        return signatures.map((signature) => this.arrow(signature))
    }
    return [this.text(node)]
  }

  /** A signature, of whatever form, as an arrow. */
  private arrow(node: ts.SignatureDeclaration): string {
    const { parameters, type, typeParameters } = node
    if (type === undefined || ts.isJSDocSignature(node)) throw new Error("A signature has no type")
    return this.print(ts.factory.createFunctionTypeNode(typeParameters, parameters, type), node)
  }

  private parametersOf(node: ts.InterfaceDeclaration | ts.TypeAliasDeclaration): string {
    const parameters = node.typeParameters ?? []
    return parameters.length === 0
      ? ""
      : `<${parameters.map((parameter) => this.print(parameter, parameter)).join(", ")}>`
  }

  private text(node: ts.Node): string {
    return this.print(node, node)
  }

  private print(node: ts.Node, place: ts.Node): string {
    const visit = (inner: ts.Node): ts.Node => {
      if (ts.isTypeReferenceNode(inner))
        return ts.factory.createTypeReferenceNode(
          this.nameOf(inner.typeName, place),
          this.visited(inner.typeArguments, visit)
        )
      if (ts.isTypeQueryNode(inner))
        return ts.factory.createTypeQueryNode(
          ts.factory.createIdentifier(this.nameOf(inner.exprName, place)),
          this.visited(inner.typeArguments, visit)
        )
      if (ts.isExpressionWithTypeArguments(inner))
        return ts.factory.createTypeReferenceNode(
          this.nameOf(inner.expression, place),
          this.visited(inner.typeArguments, visit)
        )
      if (ts.isImportTypeNode(inner)) {
        const name = this.importedName(inner)
        const given = this.visited(inner.typeArguments, visit)
        return inner.isTypeOf
          ? ts.factory.createTypeQueryNode(ts.factory.createIdentifier(name), given)
          : ts.factory.createTypeReferenceNode(name, given)
      }
      if (ts.isComputedPropertyName(inner))
        return ts.factory.createComputedPropertyName(
          ts.factory.createIdentifier(this.nameOf(inner.expression, place))
        )
      return ts.visitEachChild(inner, visit, undefined)
    }
    const transformed = visit(node)
    return this.printer
      .printNode(ts.EmitHint.Unspecified, transformed, place.getSourceFile())
      .replace(/\s*\n\s*/g, " ")
      .replace(/ \| undefined \| undefined/g, " | undefined")
  }

  private visited(
    nodes: ts.NodeArray<ts.TypeNode> | undefined,
    visit: (node: ts.Node) => ts.Node
  ): ReadonlyArray<ts.TypeNode> | undefined {
    return nodes?.map((node) => ts.visitNode(node, visit, ts.isTypeNode))
  }

  /** The type in terms of public names, for what no declaration spells out. */
  private textOfType(type: ts.Type): string {
    const text = this.checker.typeToString(
      type,
      undefined,
      ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.UseFullyQualifiedType
    )
    return text.replace(/import\("([^"]*)"[^)]*\)\.([\w.$]+)/g, (_, path: string, name: string) => {
      const source = this.program.getSourceFile(`${path}.d.ts`)
      let symbol = source && this.checker.getSymbolAtLocation(source)
      for (const part of name.split("."))
        symbol = symbol?.exports?.get(ts.escapeLeadingUnderscores(part))
      return symbol === undefined ? name : this.publicName(symbol, name)
    })
  }

  // ---------------------------------------------------------------------------
  // Names
  // ---------------------------------------------------------------------------

  /** The name as it stands in the table, of an entity or an expression that names one. */
  private nameOf(name: ts.Node, place: ts.Node): string {
    const last = ts.isQualifiedName(name)
      ? name.right
      : ts.isPropertyAccessExpression(name)
        ? name.name
        : name
    const symbol = this.checker.getSymbolAtLocation(last)
    const text = name.getText()
    if (symbol === undefined) {
      this.problems.add(`${text} has no meaning in ${place.getSourceFile().fileName}`)
      return text
    }
    const target = this.target(symbol)
    const [first = "", ...rest] = text.split(".")
    const imported = this.importOf(place.getSourceFile(), first)
    return this.homes.has(target) || imported === undefined
      ? this.publicName(target, text)
      : this.external(imported.module, [...imported.names, ...rest])
  }

  private importedName(node: ts.ImportTypeNode): string {
    const { argument, qualifier } = node
    if (qualifier === undefined || !ts.isLiteralTypeNode(argument))
      throw new Error(`A module is no type: ${node.getText()}`)
    const last = ts.isIdentifier(qualifier) ? qualifier : qualifier.right
    const symbol = this.checker.getSymbolAtLocation(last)
    const text = qualifier.getText()
    const module = ts.isStringLiteral(argument.literal) ? argument.literal.text : "."
    if (!module.startsWith(".")) return this.external(module, text.split("."))
    return symbol === undefined ? text : this.publicName(this.target(symbol), text)
  }

  /** What an imported name is in the module of another package. */
  private importOf(
    file: ts.SourceFile,
    name: string
  ): { readonly module: string; readonly names: ReadonlyArray<string> } | undefined {
    for (const statement of file.statements) {
      if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier))
        continue
      const module = statement.moduleSpecifier.text
      const bindings = statement.importClause?.namedBindings
      if (module.startsWith(".") || bindings === undefined) continue
      if (ts.isNamespaceImport(bindings)) {
        if (bindings.name.text === name) return { module, names: [] }
      } else
        for (const { name: local, propertyName } of bindings.elements)
          if (local.text === name) return { module, names: [(propertyName ?? local).text] }
    }
    return undefined
  }

  private external(module: string, names: ReadonlyArray<string>): string {
    const short = basename(module.replace(/^node:/, ""))
    this.imports[short] = module
    return [short, ...names].join(".")
  }

  private publicName(symbol: ts.Symbol, text: string): string {
    const home = this.homes.get(symbol)
    if (home !== undefined)
      return (this.bearers.get(home.name) ?? 0) > 1
        ? `${basename(home.module)}.${home.name}`
        : home.name
    const node = symbol.declarations?.[0]
    const file = node?.getSourceFile()
    if (node === undefined || file === undefined || ts.isTypeParameterDeclaration(node)) return text
    const module = externalModule(file.fileName)
    if (module !== undefined) return this.external(module, [text])
    if (isOurs(file)) this.problems.add(`${text} is public nowhere, and stands in a public type`)
    else if (!/\/(typescript\/lib|@types\/node)\//.test(file.fileName))
      this.problems.add(`${text} is of ${file.fileName}`)
    return text
  }
}

/**
 * The modules of the package in `folder`, as its package.json and its barrel for Node name them.
 * Those of the root are those of the other paths.
 */
export const entrypoints = (folder: string): ReadonlyArray<Entrypoint> => {
  const declared: { readonly exports: Readonly<Record<string, unknown>> } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8")
  )
  const barrel = readFileSync(join(folder, "dist/node/index.d.ts"), "utf8")
  const flat = Object.entries(declared.exports).flatMap(([path, target]) =>
    path.startsWith("./") && path !== "./node" && hasTypes(target)
      ? [{ name: path.slice(2), file: join(folder, target.types) }]
      : []
  )
  const node = [...barrel.matchAll(/export \* as (\w+) from "\.\/(\w+)\.js"/g)].map(
    ([, name, file]) => ({ name: `node/${name}`, file: join(folder, `dist/node/${file}.d.ts`) })
  )
  return [...flat, ...node]
}

const hasTypes = (target: unknown): target is { readonly types: string } =>
  typeof target === "object" && target !== null && "types" in target

const options: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true,
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2022,
  types: ["node"]
}

/** Reads everything. Fails where public types name what is not public. */
export const read = (modules: ReadonlyArray<Entrypoint>): Table => {
  const program = ts.createProgram(
    modules.map(({ file }) => file),
    options
  )
  const reader = new Reader(program, modules)
  const table = reader.read()
  if (reader.problems.size > 0) throw new Error([...reader.problems].join("\n"))
  return table
}

/**
 * Reads the names alone, without the declarations of other packages: `type Artifact.Pulled`,
 * `value Artifact.pull`.
 */
export const readNames = (modules: ReadonlyArray<Entrypoint>): ReadonlyArray<string> => {
  const host = ts.createCompilerHost({ ...options, noLib: true })
  host.resolveModuleNameLiterals = (literals, from) =>
    literals.map(({ text }) => ({
      resolvedModule: text.startsWith(".")
        ? {
            resolvedFileName: join(dirname(from), text.replace(/\.js$/, ".d.ts")),
            extension: ts.Extension.Dts
          }
        : undefined
    }))
  const program = ts.createProgram({
    rootNames: modules.map(({ file }) => file),
    options: { ...options, noLib: true, types: [] },
    host
  })
  return new Reader(program, modules).names()
}
