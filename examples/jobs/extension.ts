import * as Effect from "effect/Effect"
import { ArtifactFolder, NodeRegistry } from "effect-oci/node"
import * as Registries from "effect-oci/Registries"
import * as Transfer from "effect-oci/Transfer"

/** Whether another extension is published than the one that is installed, by its digest. */
export const hasUpdate = (extension: string, installed: string) =>
  Effect.map(Registries.resolve(extension), ({ descriptor }) => descriptor.digest !== installed)

/** Installs an extension without an engine, and tells the share of each file that is there. */
export const install = (
  extension: string,
  folder: string,
  onProgress: (file: string, share: number) => Effect.Effect<void>
) =>
  ArtifactFolder.pull(extension, folder, { overwrite: true }).pipe(
    Transfer.observe(({ subject: { digest = "", size = 0 }, ...event }) =>
      event._tag === "Bytes" && size > 0 ? onProgress(digest, event.offset / size) : Effect.void
    ),
    Effect.map(({ reference }) => reference)
  )

/** The company's proxy and authorities are those of the environment and of `certs.d`. */
export const Company = NodeRegistry.layerDefault
