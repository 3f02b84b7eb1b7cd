/** The Effect modules that the Node entry point imports, found by reading what was built. */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"

const found = new Set<string>()
const seen = new Set<string>()

const visit = (file: string): void => {
  if (seen.has(file)) return
  seen.add(file)
  for (const [, module = ""] of Fs.readFileSync(file, "utf8").matchAll(
    /^(?:import|export)\b[^"']*["']([^"']+)["'];?$/gm
  )) {
    if (module.startsWith(".")) visit(Path.resolve(Path.dirname(file), module))
    else if (/^(effect|@effect)\//.test(module)) found.add(module)
  }
}

visit(fileURLToPath(import.meta.resolve("effect-oci/node")))

export const effectModules: ReadonlyArray<string> = [...found].sort()
