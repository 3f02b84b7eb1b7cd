/** Turns the table of the public surface into TypeScript that compiles only where it is true. */
import { basename } from "node:path"
import ts from "typescript"
import { type Entry, type Member, parseType, type Table } from "./table.js"

export interface Rendered {
  readonly text: string
  /** The export that a line is about, as in `Artifact.push`. */
  readonly owners: ReadonlyMap<number, string>
}

const prelude = `
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
type Check<T extends true> = T
type Flat<T> = { readonly [K in keyof T]: T[K] }
type Fields<C extends { readonly fields: Schema.Struct.Fields }> = Flat<Schema.Struct.Type<C["fields"]>>
type Inherited<C, Own = never> = Pick<C, Exclude<keyof C, "prototype" | Own>>
interface Arguments { readonly first: { readonly 1: 1 }; readonly second: { readonly 2: 2 } }
`.trim()

/** The name of a module of the package within the file. */
const local = (module: string): string => `$${basename(module)}`

class Renderer {
  private readonly lines: Array<string> = []
  readonly owners = new Map<number, string>()
  /** Where the names of types and of values are at home. */
  private readonly homes = {
    type: new Map<string, ReadonlyArray<string>>(),
    value: new Map<string, ReadonlyArray<string>>()
  }
  private count = 0

  constructor(private readonly table: Table) {
    for (const { entries, name } of table.modules)
      for (const entry of entries)
        for (const meaning of ["type", "value"] as const)
          if (isMeant(entry, meaning)) {
            const homes = this.homes[meaning]
            homes.set(entry.name, [...(homes.get(entry.name) ?? []), name])
          }
  }

  render(isWanted: (owner: string) => boolean): string {
    const { imports, modules } = this.table
    for (const [name, path] of Object.entries(imports))
      this.lines.push(`import type * as ${name} from "${path}"`)
    for (const { name } of modules)
      this.lines.push(
        name.startsWith("node/")
          ? `import type { ${basename(name)} as ${local(name)} } from "effect-oci/node"`
          : `import type * as ${local(name)} from "effect-oci/${name}"`
      )
    this.lines.push(...prelude.split("\n"))
    const inNode = modules.filter(({ name }) => name.startsWith("node/"))
    const others = modules.filter((module) => !inNode.includes(module))
    for (const [barrel, inside] of [
      ["effect-oci", others],
      ["effect-oci/node", inNode]
    ] as const)
      if (isWanted(barrel)) {
        const names = inside.map(({ name }) => `"${basename(name)}"`).join(" | ")
        this.equal(barrel, `keyof typeof import("${barrel}")`, names)
      }
    for (const { entries, name } of modules)
      for (const entry of entries) if (isWanted(`${name}.${entry.name}`)) this.entry(name, entry)
    return `${this.lines.join("\n")}\n`
  }

  private add(owner: string, line: string): void {
    this.lines.push(line)
    this.owners.set(this.lines.length, owner)
  }

  private entry(module: string, entry: Entry): void {
    const owner = `${module}.${entry.name}`
    for (const line of this.declarationsOf(module, entry)) this.add(owner, line)
    for (const [left, right] of this.equalitiesOf(module, entry)) this.equal(owner, left, right)
  }

  private equal(owner: string, left: string, right: string): void {
    this.add(owner, `export type _${++this.count} = Check<Equal<${left}, ${right}>>`)
  }

  /** What a type or interface is expected to be, under a name of its own. */
  private declarationsOf(module: string, entry: Entry): ReadonlyArray<string> {
    const text = (type: string) => this.resolve(type, module, entry.parameters)
    const head = `${expected(module, entry)}${this.parametersOf(module, entry)}`
    if (entry.kind === "type") return [`type ${head} = ${whole(entry.types, text)}`]
    if (entry.kind !== "interface") return []
    const parents = entry.types.length === 0 ? "" : ` extends ${entry.types.map(text).join(", ")}`
    return [`interface ${head}${parents} ${this.bodyOf(module, entry, entry.members)}`]
  }

  private equalitiesOf(
    module: string,
    entry: Entry
  ): ReadonlyArray<readonly [left: string, right: string]> {
    const actual = `${local(module)}.${entry.name}`
    const text = (type: string) => this.resolve(type, module, entry.parameters)
    switch (entry.kind) {
      case "value":
        // Each symbol is of a type of its own, which no other text names.
        return entry.types[0] === "unique symbol"
          ? []
          : [[`typeof ${actual}`, whole(entry.types, text)]]
      case "same":
        return [[`typeof ${actual}`, `typeof ${local(entry.types[0] ?? "")}.${entry.name}`]]
      case "type":
      case "interface": {
        const given = argumentsFor(this.parametersOf(module, entry))
        return [[`${actual}${given}`, `${expected(module, entry)}${given}`]]
      }
      case "error": {
        const fields = entry.members.filter(({ name }) => name.startsWith("readonly "))
        const others = entry.members.filter(({ name }) => !name.startsWith("readonly "))
        return [
          [`Fields<typeof ${actual}>`, this.bodyOf(module, entry, fields)],
          ...others.map((member) => own(actual, member, text))
        ]
      }
      case "class": {
        const statics = entry.members
          .filter(({ name }) => name.startsWith("static "))
          .map(({ name }) => quoted(name))
        const left = `Inherited<typeof ${actual}, ${statics.join(" | ") || "never"}>`
        return [
          ...entry.types.map((type) => [left, `Inherited<${text(type)}>`] as const),
          ...entry.members.map((member) => own(actual, member, text))
        ]
      }
    }
  }

  private parametersOf(module: string, { parameters }: Entry): string {
    if (parameters === "") return ""
    const arrow = "() => void"
    return this.resolve(parameters + arrow, module, "").slice(0, -arrow.length)
  }

  private bodyOf(module: string, entry: Entry, members: ReadonlyArray<Member>): string {
    const text = (type: string) => this.resolve(type, module, entry.parameters)
    const written = members.map(({ name, types }) => {
      const key = name.replace(
        /\[([\w.]+)\]/,
        (_, symbol) => `[${this.meaning(symbol, "value", module)}]`
      )
      return `${key}: ${whole(types, text)}`
    })
    return `{ ${written.join("; ")} }`
  }

  /** The text of a type with each name as what it means: `$Artifact.Pulled`, `Effect.Effect`. */
  private resolve(text: string, module: string, parameters: string): string {
    // As a function type, it has the type parameters of its entry in scope.
    const before = parameters === "" ? "" : `${parameters}() => `
    const { node, text: source } = parseType(before + text)
    const locals = new Set<string>()
    const names: Array<ts.TypeReferenceNode | ts.TypeQueryNode> = []
    const visit = (inner: ts.Node): void => {
      if (ts.isTypeParameterDeclaration(inner)) locals.add(inner.name.text)
      if (ts.isTypeReferenceNode(inner) || ts.isTypeQueryNode(inner)) names.push(inner)
      ts.forEachChild(inner, visit)
    }
    visit(node)
    const start = "type T = ".length + before.length
    let result = ""
    let at = start
    for (const name of names) {
      const entity = ts.isTypeReferenceNode(name) ? name.typeName : name.exprName
      if (entity.getStart() < start || locals.has(entity.getText())) continue
      const meaning = ts.isTypeReferenceNode(name) ? "type" : "value"
      result += source.slice(at, entity.getStart())
      result += this.meaning(entity.getText(), meaning, module)
      at = entity.getEnd()
    }
    return result + source.slice(at)
  }

  private meaning(name: string, meaning: "type" | "value", module: string): string {
    const homes = this.homes[meaning]
    const known = homes.get(name)
    if (known !== undefined)
      return `${local(known.includes(module) ? module : (known[0] ?? ""))}.${name}`
    const [first = "", ...rest] = name.split(".")
    const home = homes.get(rest.join("."))?.find((path) => basename(path) === first)
    return home === undefined ? name : `${local(home)}.${rest.join(".")}`
  }
}

const isMeant = ({ kind }: Entry, meaning: "type" | "value"): boolean =>
  kind === "class" || kind === "error" || (meaning === "value") === (kind === "value")

/** The name that an expected type has in the file. */
const expected = (module: string, { name }: Entry): string =>
  `Expected_${basename(module)}_${name.replace(".", "_")}`

/** The name of a member as a literal, without its modifiers. */
const quoted = (member: string): string =>
  JSON.stringify(member.replace(/^(static |readonly )*/, "").replace("?", ""))

/** The equality of a member that a class has for itself. */
const own = (
  actual: string,
  { name, types }: Member,
  text: (type: string) => string
): readonly [left: string, right: string] => [
  name.startsWith("static ") ? `(typeof ${actual})[${quoted(name)}]` : `${actual}[${quoted(name)}]`,
  whole(types, text)
]

/** One type, or overloads as an object with call signatures. */
const whole = (types: ReadonlyArray<string>, text: (type: string) => string): string => {
  const [only = "", ...more] = types.map(text)
  return more.length === 0 ? only : `{ ${[only, ...more].map(signature).join("; ")} }`
}

const signature = (arrow: string): string => {
  const { node, text } = parseType(arrow)
  if (!ts.isFunctionTypeNode(node)) throw new Error(`Not a function: ${arrow}`)
  const end = text.lastIndexOf("=>", node.type.getStart())
  return `${text.slice(node.getStart(), end)}: ${text.slice(node.type.getStart())}`
}

/** Types to apply a generic one to: its bounds, where it has any. */
const argumentsFor = (parameters: string): string => {
  if (parameters === "") return ""
  const { node } = parseType(`${parameters}() => void`)
  const given = ts.isFunctionTypeNode(node) ? (node.typeParameters ?? []) : []
  const applied = given.map(
    ({ constraint }, index) =>
      constraint?.getText() ?? `Arguments["${index === 0 ? "first" : "second"}"]`
  )
  return `<${applied.join(", ")}>`
}

/** Renders all entries of the table, or those that are wanted, named as in `Artifact.push`. */
export const render = (
  table: Table,
  isWanted: (owner: string) => boolean = () => true
): Rendered => {
  const renderer = new Renderer(table)
  return { text: renderer.render(isWanted), owners: renderer.owners }
}
