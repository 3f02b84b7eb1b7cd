/** The platform of images that are pulled without saying for which. */
import * as Context from "effect/Context"
import type { Platform } from "../spec/Platform.js"

/**
 * The platform that is chosen from an index where none is asked for, or several in order of
 * preference.
 */
export class DefaultPlatform extends Context.Reference<DefaultPlatform>()(
  "effect-oci/Image/DefaultPlatform",
  { defaultValue: (): Platform | ReadonlyArray<Platform> | undefined => undefined }
) {}
