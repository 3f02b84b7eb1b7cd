/** Errors that come after a manifest was stored. */
import { InvalidManifest } from "../spec/Manifest.js"
import { ofStored } from "./ErrorMessage.js"

/**
 * Returns the error with the digest of the manifest that is stored all the same, which its message
 * says as well.
 */
export const withDigest = <E extends object>(error: E, digest: string): E => {
  const said =
    error instanceof InvalidManifest
      ? { message: `${error.message}; ${ofStored(digest)}` }
      : { stored: digest }
  // Those who wait for the same change get the same error, each with a digest of its own.
  return Object.create(Object.getPrototypeOf(error), {
    ...Object.getOwnPropertyDescriptors(error),
    ...Object.getOwnPropertyDescriptors(said)
  })
}
