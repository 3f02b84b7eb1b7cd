/**
 * Whether the package that is installed in a project has the types of the table, in every version
 * and setting of TypeScript: tsx test/types/check.ts folder
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { compile, type compilers, settings } from "./packed.js"
import { render } from "./render.js"
import { parse } from "./table.js"

const [folder = "."] = process.argv.slice(2)
const table = await readFile(join(import.meta.dirname, "surface.txt"), "utf8")
const rendered = render(parse(table))
const versions: ReadonlyArray<keyof typeof compilers> = ["TypeScript 5.9", "TypeScript 7"]
for (const compiler of versions)
  for (const [setting, options] of Object.entries(settings)) {
    const found = await compile(folder, compiler, { "surface.ts": rendered.text }, options)
    for (const { file, line, message } of found)
      console.error(`${rendered.owners.get(line) ?? ""} ${file}:${line} ${message}`)
    if (found.length > 0) process.exitCode = 1
    else console.log(`The types are those of the table: ${compiler} ${setting}`)
  }
