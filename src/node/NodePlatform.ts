/**
 * The platform of this machine.
 *
 * @since 0.1.0
 */
import * as Os from "node:os"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DefaultPlatform } from "../internal/DefaultPlatform.js"
import type { Platform } from "../spec/Platform.js"
import * as MachinePlatform from "./internal/MachinePlatform.js"

const machine = Effect.sync(
  (): MachinePlatform.Machine => ({
    platform: process.platform,
    arch: process.arch,
    machine: Os.machine(),
    release: Os.release(),
    endianness: Os.endianness()
  })
)

/**
 * The platform that this process runs on, as images have it: `linux/amd64`, `linux/arm/v7` or, with
 * its version, `windows/amd64`. The level of amd64 is not looked up, so that it is `v1`.
 *
 * @example
 * ```ts
 * import * as Platform from "effect-oci/Platform"
 * import { NodePlatform } from "effect-oci/node"
 * import * as Effect from "effect/Effect"
 *
 * const name = Effect.map(NodePlatform.current, Platform.format)
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const current: Effect.Effect<Platform> = Effect.map(machine, MachinePlatform.of)

/**
 * Provides what runs on this machine as `Image.DefaultPlatform`: images for its own platform, and
 * elsewhere than on Linux those for Linux after them. The layers of `NodeRegistry` do so, too.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<DefaultPlatform> = Layer.effect(
  DefaultPlatform,
  Effect.map(machine, MachinePlatform.runnable)
)
