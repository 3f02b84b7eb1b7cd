/**
 * Writes the modules of `dist`: one file for each public module, and the code that several of them
 * share in chunks. Nearly all of the time in which a program loads this library is that of finding
 * and opening files.
 */
import { readFileSync } from "node:fs"
import { build } from "esbuild"

const source = "@effect-oci/source"
const exported: Record<string, string | Record<string, string>> = JSON.parse(
  readFileSync("package.json", "utf8")
).exports

await build({
  entryPoints: Object.values(exported).flatMap((target) =>
    typeof target === "string" ? [] : (target[source] ?? [])
  ),
  outbase: "src",
  outdir: "dist",
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  packages: "external",
  format: "esm",
  platform: "neutral",
  target: "es2022",
  // The sources are in the package.
  sourcemap: true,
  sourcesContent: false,
  logLevel: "warning"
})
