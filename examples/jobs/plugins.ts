import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Artifact from "effect-oci/Artifact"
import * as ImageLayer from "effect-oci/ImageLayer"
import * as Registries from "effect-oci/Registries"
import { isTransient } from "effect-oci/RegistryError"

const Plugin = Schema.Struct({ name: Schema.String, main: Schema.String })
type Known = { readonly digest: string; readonly plugin: typeof Plugin.Type }

/** What a plug-in is now: `plugin.json` in its archive, read anew when its digest changes. */
export const refresh = (plugin: string, known?: Known) =>
  Effect.gen(function* () {
    const { descriptor, reference } = yield* Registries.resolve(plugin)
    if (known?.digest === descriptor.digest) return known
    const { files } = yield* Artifact.pull(reference)
    const archive = yield* Effect.fromNullable(files[0])
    const { bytes } = yield* ImageLayer.readFile(archive, "plugin.json")
    const text = new TextDecoder().decode(bytes)
    const found = yield* Schema.decode(Schema.parseJson(Plugin))(text)
    return { digest: descriptor.digest, plugin: found }
  }).pipe(
    // What is known stays while the registry is away.
    Effect.catchIf(isTransient, (error) =>
      known === undefined ? Effect.fail(error) : Effect.succeed(known)
    )
  )
