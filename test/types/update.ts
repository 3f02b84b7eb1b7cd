/** Writes the table of the public surface anew: npm run types:update */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { withPacked } from "./packed.js"
import { entrypoints, read } from "./read.js"
import { format } from "./table.js"

await withPacked((folder) =>
  writeFile(
    join(import.meta.dirname, "surface.txt"),
    format(read(entrypoints(join(folder, "node_modules/effect-oci"))))
  )
)
