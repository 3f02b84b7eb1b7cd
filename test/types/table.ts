/**
 * The table of the public surface, `surface.txt`: what every export is, as text in terms of public
 * names. An Effect, Stream, Layer or Sink has a line each for what it yields, fails with and needs.
 *
 * This file knows the form of the table alone: `format` and `parse` are inverses.
 */
import ts from "typescript"

/** A member of an interface or class: `name` with its modifiers, as in `readonly size?`. */
export interface Member {
  readonly name: string
  readonly types: ReadonlyArray<string>
}

/**
 * An export of a module, or a member of a namespace in it, as in `Registry.Service`.
 *
 * - `value`: a constant or function; each overload is one of `types`.
 * - `type`: an alias, of the only one of `types`.
 * - `interface`: `types` has what it extends, `members` its own.
 * - `class`: `types` has what it extends, `members` its own, statics included.
 * - `error`: a class of errors, with the fields of its instances.
 * - `same`: an export of the module in `types`, exported again.
 */
export interface Entry {
  readonly kind: "value" | "type" | "interface" | "class" | "error" | "same"
  readonly name: string
  /** As in `<E, R>`, or empty. */
  readonly parameters: string
  readonly types: ReadonlyArray<string>
  readonly members: ReadonlyArray<Member>
}

/** A module, by its path within the package or its name in `effect-oci/node`. */
export interface Module {
  readonly name: string
  readonly entries: ReadonlyArray<Entry>
}

export interface Table {
  /** What the names before a dot mean: `Effect` is `effect/Effect`. */
  readonly imports: Readonly<Record<string, string>>
  readonly modules: ReadonlyArray<Module>
}

/** What the type parameters of types with an error and an environment are called in the table. */
const carriers: Readonly<Record<string, ReadonlyArray<string>>> = {
  "Effect.Effect": ["Effect", "error", "environment"],
  "Stream.Stream": ["Stream", "error", "environment"],
  "Layer.Layer": ["Layer", "error", "environment"],
  "Sink.Sink": ["Sink", "takes", "leaves", "error", "environment"]
}
const firstWords = new Map(Object.entries(carriers).map(([name, [word]]) => [word, name]))
/** What is left out at the end of each. */
const defaults: Readonly<Record<string, string>> = {
  error: "never",
  environment: "never",
  takes: "unknown",
  leaves: "never"
}

const width = 100

export const parseType = (text: string): { readonly node: ts.TypeNode; readonly text: string } => {
  const source = `type T = ${text}`
  const file = ts.createSourceFile("type.ts", source, ts.ScriptTarget.Latest, true)
  const statement = file.statements[0]
  if (statement === undefined || !ts.isTypeAliasDeclaration(statement))
    throw new Error(`Not a type: ${text}`)
  return { node: statement.type, text: source }
}

// -----------------------------------------------------------------------------
// Format
// -----------------------------------------------------------------------------

const printer = ts.createPrinter({ removeComments: true })

/** A type in one line, or in several if it is too long: members and alternatives one a line. */
const lay = (before: string, node: ts.Node, after: string): ReadonlyArray<string> => {
  const file = node.getSourceFile()
  const printed = printer.printNode(ts.EmitHint.Unspecified, node, file)
  const line = before + oneLine(printed) + after
  if (line.length <= width) return [line]
  if (ts.isUnionTypeNode(node))
    return [
      before.trimEnd(),
      ...node.types.flatMap((type, index) => {
        const last = index === node.types.length - 1
        return lay("  | ", type, last ? after : "").map((part, at) =>
          at === 0 ? part : `  ${part}`
        )
      })
    ]
  if (ts.isFunctionTypeNode(node) && node.parameters.length > 1) {
    const source = node.getSourceFile().text
    const head = source.slice(node.getStart(), node.parameters.pos)
    return [
      before + head,
      ...node.parameters.flatMap((parameter, index) =>
        lay("    ", parameter, index === node.parameters.length - 1 ? "" : ",").map((part, at) =>
          at === 0 ? part : `    ${part}`
        )
      ),
      ...lay("  ) => ", node.type, after)
    ]
  }
  const [first = "", ...rest] = (before + printed + after).split("\n")
  return [
    first,
    ...rest.map((part) => `  ${part.replace(/^( {4})+/, (s) => " ".repeat(s.length / 2))}`)
  ]
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, " ")

/** The lines of a type after a name, the lines of what it carries below it. */
const layType = (before: string, text: string): ReadonlyArray<string> => {
  const { node, text: source } = parseType(text)
  let target = node
  while (ts.isFunctionTypeNode(target)) target = target.type
  const words = ts.isTypeReferenceNode(target) ? carriers[target.typeName.getText()] : undefined
  if (!ts.isTypeReferenceNode(target) || words === undefined) return lay(before, node, "")
  const callers = source.slice(node.pos, target.pos).trim()
  const head =
    callers === ""
      ? [before.trimEnd()]
      : lay(before, parseType(`${callers} void`).node, "").map((line, index, lines) =>
          index === lines.length - 1 ? line.replace(/ void$/, "") : line
        )
  const given = target.typeArguments ?? []
  return [
    ...head,
    ...words.flatMap((word, index) => {
      const argument = given[index]
      return argument === undefined
        ? [`  ${word}: ${defaults[word] ?? "never"}`]
        : lay(`  ${word}: `, argument, "").map((line, at) => (at === 0 ? line : `  ${line}`))
    })
  ]
}

const formatEntry = ({ kind, members, name, parameters, types }: Entry): ReadonlyArray<string> => {
  const inner = members.flatMap((member) =>
    member.types.flatMap((type) => layType(`${member.name}: `, type)).map((line) => `  ${line}`)
  )
  switch (kind) {
    case "value":
      return types.flatMap((type) => layType(`${name}: `, type))
    case "type":
      return types.flatMap((type) => layType(`type ${name}${parameters} = `, type))
    case "same":
      return [`${name} is that of ${types.join()}`]
    case "error":
      return [`error ${name}`, ...inner]
    case "interface": {
      const parents = types.length === 0 ? "" : ` extends ${types.join(", ")}`
      return [`interface ${name}${parameters}${parents}`, ...inner]
    }
    case "class":
      return [...types.flatMap((type) => layType(`class ${name} extends `, type)), ...inner]
  }
}

const heading = `What every export of effect-oci is, written by: npm run types:update
Its changes are changes of what users rely on: read them line by line.
`

export const format = ({ imports, modules }: Table): string =>
  [
    heading,
    ...Object.entries(imports)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, path]) => `import ${name} from ${path}`),
    ...modules.flatMap((module) => [
      `\n# ${module.name}`,
      ...module.entries.map((entry) => `\n${formatEntry(entry).join("\n")}`)
    ]),
    ""
  ].join("\n")

// -----------------------------------------------------------------------------
// Parse
// -----------------------------------------------------------------------------

/** A line with the lines that are indented below it. */
interface Item {
  readonly text: string
  readonly below: Array<Item>
}

const itemsOf = (lines: ReadonlyArray<string>): ReadonlyArray<Item> => {
  const top: Array<Item> = []
  const open: Array<{ readonly indent: number; readonly item: Item }> = []
  for (const line of lines) {
    const indent = line.length - line.trimStart().length
    const item: Item = { text: line.trim(), below: [] }
    while ((open.at(-1)?.indent ?? -1) >= indent) open.pop()
    const parent = open.at(-1)
    if (parent === undefined) top.push(item)
    else parent.item.below.push(item)
    open.push({ indent, item })
  }
  return top
}

const textOf = ({ below, text }: Item): string => [text, ...below.map(textOf)].join(" ")

/** The text of an item whose type is continued below, with what it carries put together again. */
const typeOf = (text: string, below: ReadonlyArray<Item>): string => {
  const start = below.findIndex((item) => firstWords.has(item.text.split(":")[0] ?? ""))
  const end = start === -1 ? below.length : start
  const head = [text, ...below.slice(0, end).map(textOf)].join(" ").trim()
  if (start === -1) return head
  const parts = below.slice(start).map((item) => /^(\w+):(.*)$/.exec(textOf(item)))
  const carried = parts.map((part) => part?.[2]?.trim().replace(/^\| /, "") ?? "")
  return `${head} ${firstWords.get(parts[0]?.[1] ?? "")}<${carried.join(", ")}>`.trim()
}

const memberOf = (item: Item): readonly [name: string, type: string] => {
  const found = /^((?:static |readonly )*(?:\[[^\]]*\]|[\w$]+|"[^"]*")\??):\s*(.*)$/.exec(item.text)
  if (found === null) throw new Error(`Not a member: ${item.text}`)
  return [found[1] ?? "", typeOf(found[2] ?? "", item.below)]
}

/** The types of a list with commas between them. */
const elementsOf = (text: string): ReadonlyArray<string> => {
  const { node } = parseType(`[${text}]`)
  return ts.isTupleTypeNode(node) ? node.elements.map((element) => element.getText()) : []
}

/** Overloads are lines of the same name, one after the other. */
const grouped = (
  members: ReadonlyArray<readonly [name: string, type: string]>
): ReadonlyArray<Member> => {
  const found = new Map<string, Array<string>>()
  for (const [name, type] of members) found.set(name, [...(found.get(name) ?? []), type])
  return [...found].map(([name, types]) => ({ name, types }))
}

const entryOf = (item: Item): Entry => {
  const { below, text } = item
  const [, kind, name = "", parameters = "", parents] =
    /^(error|interface) ([\w.$]+)(<.*?>)?(?: extends (.*))?$/.exec(text) ?? []
  if (kind === "error" || kind === "interface")
    return {
      kind,
      name,
      parameters,
      types: parents === undefined ? [] : elementsOf(parents),
      members: grouped(below.map(memberOf))
    }
  const same = /^([\w.$]+) is that of ([\w.$]+)$/.exec(text)
  if (same !== null)
    return {
      kind: "same",
      name: same[1] ?? "",
      parameters: "",
      types: [same[2] ?? ""],
      members: []
    }
  const alias = /^type ([\w.$]+)(<.*>)? =\s*(.*)$/.exec(text)
  if (alias !== null) {
    const type = typeOf(alias[3] ?? "", below).replace(/^\| /, "")
    return {
      kind: "type",
      name: alias[1] ?? "",
      parameters: alias[2] ?? "",
      types: [type],
      members: []
    }
  }
  const extended = /^class ([\w.$]+) extends (.*)$/.exec(text)
  if (extended !== null) {
    const isMember = (inner: Item) => /^(static |readonly )*[\w$]+\??: /.test(inner.text)
    return {
      kind: "class",
      name: extended[1] ?? "",
      parameters: "",
      types: [
        typeOf(
          extended[2] ?? "",
          below.filter((inner) => !isMember(inner))
        )
      ],
      members: grouped(below.filter(isMember).map(memberOf))
    }
  }
  const [value, type] = memberOf(item)
  return { kind: "value", name: value, parameters: "", types: [type], members: [] }
}

/** Reads the table. Overloads become one entry. */
export const parse = (text: string): Table => {
  const lines = text.split("\n").filter((line) => line.trim() !== "")
  const imports: Record<string, string> = {}
  const modules: Array<{ readonly name: string; readonly entries: Array<Entry> }> = []
  for (const item of itemsOf(lines)) {
    const imported = /^import (\w+) from (\S+)$/.exec(item.text)
    const module = /^# (\S+)$/.exec(item.text)
    const last = modules.at(-1)
    if (imported !== null) imports[imported[1] ?? ""] = imported[2] ?? ""
    else if (module !== null) modules.push({ name: module[1] ?? "", entries: [] })
    else if (last !== undefined) {
      const entry = entryOf(item)
      const before = last.entries.at(-1)
      if (entry.kind === "value" && before?.kind === "value" && before.name === entry.name)
        last.entries[last.entries.length - 1] = {
          ...before,
          types: [...before.types, ...entry.types]
        }
      else last.entries.push(entry)
    }
  }
  return { imports, modules }
}

/** The names of the entries: `type Artifact.Pulled`, `value Artifact.pull`. */
export const namesOf = ({ modules }: Table): ReadonlyArray<string> =>
  modules.flatMap(({ entries, name }) =>
    entries.flatMap((entry) => {
      const home = modules.find((module) => module.name === entry.types[0])
      const meant =
        entry.kind === "same"
          ? (home?.entries.filter((other) => other.name === entry.name) ?? [])
          : [entry]
      return meant.flatMap(({ kind }) =>
        (kind === "value"
          ? ["value"]
          : kind === "type" || kind === "interface"
            ? ["type"]
            : ["type", "value"]
        ).map((meaning) => `${meaning} ${name}.${entry.name}`)
      )
    })
  )
