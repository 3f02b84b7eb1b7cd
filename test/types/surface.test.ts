/**
 * Every export of the package is what the table `surface.txt` says: what it returns, fails with and
 * needs. The package check does the same with the package as npm packs it, in more versions of
 * TypeScript.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "@effect/vitest"
import { compile, type Diagnostic, settings, withPacked } from "./packed.js"
import { entrypoints, readNames } from "./read.js"
import { type Rendered, render } from "./render.js"
import { format, namesOf, parse, type Table } from "./table.js"

const text = readFileSync(join(import.meta.dirname, "surface.txt"), "utf8")
const table = parse(text)

/** Changes of the surface, made in the table instead: what it says of `owner` is then not true. */
const changes: Readonly<Record<string, readonly [owner: string, from: string, to: string]>> = {
  "an error more": ["Digest.parse", "error: InvalidDigest", "error: InvalidDigest | InvalidUrl"],
  "an error less": ["RegistryError.InputError", "InvalidReference | ", ""],
  "an error of a common union": ["RegistryError.CommonError", "  | StorageFailure\n", ""],
  "an environment more": ["Transfer.emit", "environment: never", "environment: Scope.Scope"],
  "another result": ["RegistryServer.layer", "Layer: RegistryServer\n", "Layer: Registry\n"],
  "an unknown error of a member": [
    "Registries.Registries.Service",
    "error: InvalidUrl",
    "error: unknown"
  ],
  "a member less": ["Registry.Range", "  readonly start: number\n", ""],
  "an overload less": [
    "Reference.withDigest",
    "withDigest: (digest: Digest) => (self: Reference) => Reference\n",
    ""
  ],
  "an option that must be given": ["ByteStream.Limit", "option?: string", "option: string"],
  "any for a type": ["MediaType.isIndex", "mediaType: string", "mediaType: any"],
  "a field of an error": [
    "RegistryError.DigestMismatch",
    "error DigestMismatch\n",
    'error DigestMismatch\n  readonly found: "nowhere"\n'
  ],
  "another service": ["Registry.Registry", "Registry.Service>", "Registries.Service>"],
  "a bound of a parameter": ["Transfer.events", "<A, E, R>(", "<A, E extends Error, R>("]
}

/** The table with one text for another in one entry. */
const changedTable = (owner: string, from: string, to: string): Table => ({
  ...table,
  modules: table.modules.map(({ entries, name }) => ({
    name,
    entries: entries.flatMap((entry) => {
      if (`${name}.${entry.name}` !== owner) return [entry]
      const alone = format({ imports: {}, modules: [{ name, entries: [entry] }] })
      expect(alone).toContain(from)
      return parse(alone.replace(from, () => to)).modules.flatMap((module) => module.entries)
    })
  }))
})

interface Outcome {
  readonly names: ReadonlyArray<string>
  readonly found: Readonly<Record<string, ReadonlyArray<Diagnostic>>>
}

const rendered = render(table)
const changed: Readonly<Record<string, Rendered>> = Object.fromEntries(
  Object.entries(changes).map(([name, [owner, from, to]]) => [
    name,
    render(changedTable(owner, from, to), (other) => other === owner)
  ])
)
const fileOf = (name: string): string => `${name.replaceAll(" ", "-")}.ts`

const strict = "with exactOptionalPropertyTypes"
const lax = "without exactOptionalPropertyTypes"

describe("the public surface", () => {
  let outcome: Outcome

  beforeAll(async () => {
    outcome = await withPacked(async (folder) => {
      const names = readNames(entrypoints(join(folder, "node_modules/effect-oci")))
      const wrong = Object.entries(changed).map(([name, { text }]) => [fileOf(name), text] as const)
      const files = { "surface.ts": rendered.text }
      const all = { ...files, ...Object.fromEntries(wrong) }
      return {
        names,
        found: {
          [strict]: await compile(folder, "TypeScript 7", all, settings[strict] ?? {}),
          [lax]: await compile(folder, "TypeScript 7", files, settings[lax] ?? {})
        }
      }
    })
  })

  it("has a table in the form that npm run types:update writes", () => {
    expect(format(table)).toBe(text)
  })

  it("has an entry in the table for each export, and no other: npm run types:update", () => {
    expect([...outcome.names].sort()).toEqual([...namesOf(table)].sort())
  })

  for (const setting of [strict, lax])
    it(`has the types of the table ${setting}: npm run types:update, and read the changes`, () => {
      const wrong = outcome.found[setting]?.filter(({ file }) => !(file in filesOfChanges))
      expect(
        wrong?.map(({ file, line, message }) => `${rendered.owners.get(line) ?? file}: ${message}`)
      ).toEqual([])
    })

  it.each(Object.entries(changes))("does not change unnoticed by %s", (name, [owner]) => {
    const found = outcome.found[strict]?.filter(({ file }) => file === fileOf(name)) ?? []
    expect(new Set(found.map(({ line }) => changed[name]?.owners.get(line)))).toEqual(
      new Set([owner])
    )
    for (const { message } of found) expect(message).toContain("does not satisfy the constraint")
  })
})

const filesOfChanges = Object.fromEntries(Object.keys(changes).map((name) => [fileOf(name), name]))
