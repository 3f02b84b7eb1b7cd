import { execFile } from "node:child_process"
import { promisify } from "node:util"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ArtifactFolder } from "effect-oci/node"
import * as Registries from "effect-oci/Registries"
import { isTransient } from "effect-oci/RegistryError"

const Plugin = Schema.Struct({ name: Schema.String, main: Schema.String })
type Known = { readonly digest: string; readonly plugin: typeof Plugin.Type }

/** What a plug-in is now: `plugin.json` in its archive, read anew when its digest changes. */
export const refresh = (plugin: string, known?: Known) =>
  Effect.gen(function* () {
    const { descriptor, reference } = yield* Registries.resolve(plugin)
    if (known?.digest === descriptor.digest) return known
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
    const [archive] = (yield* ArtifactFolder.pull(reference, folder)).files
    const args = ["-xOf", archive?.path ?? "", "plugin.json"]
    const { stdout } = yield* Effect.tryPromise(() => promisify(execFile)("tar", args))
    const found = yield* Schema.decode(Schema.parseJson(Plugin))(stdout)
    return { digest: descriptor.digest, plugin: found }
  }).pipe(
    Effect.scoped,
    // What is known stays while the registry is away.
    Effect.catchIf(isTransient, (error) =>
      known === undefined ? Effect.fail(error) : Effect.succeed(known)
    )
  )
