/**
 * Registries in OCI image layouts, on Node.
 *
 * @since 0.1.0
 */
import { constants as Constants } from "node:fs"
import * as Fs from "node:fs/promises"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Registry } from "../Registry.js"
import type { StorageFailure } from "../RegistryError.js"
import * as LayoutRegistry from "../store/LayoutRegistry.js"
import { attempt } from "./internal/FileBlocks.js"
import * as RunningProcess from "./internal/RunningProcess.js"

/**
 * Provides what layouts need of Node beyond files and paths: `fsync` of folders, copies on write
 * (`COPYFILE_FICLONE_FORCE`, as Btrfs, XFS, ZFS and APFS have them), and, on Linux, which processes
 * run.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSystem: Layer.Layer<LayoutRegistry.System> = Layer.effect(
  LayoutRegistry.System,
  Effect.map(RunningProcess.own, (process) => ({
    process,
    isRunning: RunningProcess.isRunning,
    clone: (from, to) => attempt(to, () => Fs.copyFile(from, to, Constants.COPYFILE_FICLONE_FORCE)),
    syncFolder: (path) =>
      attempt(path, async () => {
        // Windows opens no folders, and needs no such call.
        if (globalThis.process.platform === "win32") return
        const folder = await Fs.open(path, "r")
        await folder.sync().finally(() => folder.close())
      })
  }))
)

/** Everything that layouts need. */
const platform: Layer.Layer<FileSystem.FileSystem | Path.Path | LayoutRegistry.System> =
  Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, layerSystem)

/**
 * Makes a registry of layouts, as `LayoutRegistry.make` does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: LayoutRegistry.Options
): Effect.Effect<LayoutRegistry.LayoutRegistry, StorageFailure> =>
  Effect.provide(LayoutRegistry.make(options), platform)

/**
 * Provides a registry of layouts, as `LayoutRegistry.layer` does.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: LayoutRegistry.Options): Layer.Layer<Registry, StorageFailure> =>
  Layer.provide(LayoutRegistry.layer(options), platform)
