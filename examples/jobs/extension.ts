import * as Effect from "effect/Effect"
import { ArtifactFolder, NodeRegistry } from "effect-oci/node"
import * as Registries from "effect-oci/Registries"

/** Whether another extension is published than the one that is installed, by its digest. */
export const hasUpdate = (extension: string, installed: string) =>
  Effect.map(Registries.resolve(extension), ({ descriptor }) => descriptor.digest !== installed)

/** Installs an extension without an engine, and tells how much of it is there, from 0 to 1. */
export const install = (
  extension: string,
  folder: string,
  onProgress: (fraction: number) => Effect.Effect<void>
) =>
  ArtifactFolder.pull(extension, folder, {
    overwrite: true,
    onProgress: ({ fraction }) => onProgress(fraction)
  }).pipe(Effect.map(({ reference }) => reference))

/** The company's proxy and authorities are those of the environment and of `certs.d`. */
export const Company = NodeRegistry.layerDefault
