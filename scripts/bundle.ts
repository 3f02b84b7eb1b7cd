/**
 * Writes the modules of `dist`: one file for each public module, and the code that several of them
 * share in chunks. Nearly all of the time in which a program loads this library is that of finding
 * and opening files, so what `effect-oci/node` loads is one chunk for each room.
 */
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import { transform } from "esbuild"
import { type Plugin, rollup } from "rollup"

const source = "@effect-oci/source"
const exported: Record<string, string | Record<string, string>> = JSON.parse(
  readFileSync("package.json", "utf8")
).exports

const root = Path.resolve("src")
const nameOf = (file: string) => Path.relative(root, file).replace(/\.ts$/, "")
const modules = Object.values(exported)
  .flatMap((target) => (typeof target === "string" ? [] : (target[source] ?? [])))
  .map((path) => Path.resolve(path))

/** What `effect-oci/node` loads. */
const ofNode = new Set([Path.join(root, "node/index.ts")])

const typescript: Plugin = {
  name: "typescript",
  resolveId: (id, importer) =>
    id.startsWith(".") && importer !== undefined
      ? Path.resolve(Path.dirname(importer), id.replace(/\.js$/, ".ts"))
      : undefined,
  transform: (code, id) =>
    transform(code, { loader: "ts", sourcefile: id, sourcemap: true, target: "es2022" }),
  buildEnd() {
    for (const file of ofNode)
      for (const other of this.getModuleInfo(file)?.importedIds ?? []) ofNode.add(other)
  }
}

/** What all rooms may import is one chunk with that which they have in common. */
const roomOf = (file: string) => {
  const [room = ""] = nameOf(file).split("/")
  return ["auth", "client", "content", "node", "server", "store"].includes(room) ? room : "core"
}

const bundle = await rollup({
  input: Object.fromEntries(modules.map((file) => [nameOf(file), file])),
  external: (id) => !id.startsWith(".") && !Path.isAbsolute(id),
  treeshake: { moduleSideEffects: false },
  plugins: [typescript],
  onwarn: (warning) => {
    throw new Error(warning.message)
  }
})
await bundle.write({
  dir: "dist",
  format: "es",
  chunkFileNames: "chunks/[name]-[hash].js",
  // The sources are in the package.
  sourcemap: true,
  sourcemapExcludeSources: true,
  hoistTransitiveImports: false,
  manualChunks: (id) => (ofNode.has(id) ? roomOf(id) : undefined)
})
await bundle.close()
