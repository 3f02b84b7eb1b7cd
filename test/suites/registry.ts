/**
 * What every implementation of `Registry` must do: one suite, run over memory, over client and
 * server, and over real registries.
 */
import type { Vitest } from "@effect/vitest"
import { describe, layer as withLayer } from "@effect/vitest"
import type * as Layer from "effect/Layer"
import type { Registry } from "../../src/Registry.js"
import { artifactSuite } from "./artifacts.js"
import { blobSuite } from "./blobs.js"
import { imageSuite } from "./images.js"
import { listSuite } from "./lists.js"
import { manifestSuite } from "./manifests.js"
import { referrerSuite } from "./referrers.js"
import { uploadSuite } from "./uploads.js"

/**
 * Facts in which registries that are right by the specification, or in wide use, differ. Each is
 * true unless said otherwise.
 */
export interface Supports {
  /** Tags can be deleted (C95). Otherwise `deleteTag` fails with `Unsupported`. */
  readonly tagDelete: boolean
  /** Manifests can be deleted (C96). Otherwise `deleteManifest` fails with `Unsupported`. */
  readonly manifestDelete: boolean
  /** Blobs can be deleted (C99). Otherwise `deleteBlob` fails with `Unsupported`. */
  readonly blobDelete: boolean
  /** Repositories can be listed (C92). Otherwise `repositories` fails with `Unsupported`. */
  readonly catalog: boolean
  /**
   * All manifests are listed, which is false unless said otherwise. Without it, `manifests` fails
   * with `Unsupported`.
   */
  readonly manifestList: boolean
  /** Blobs are mounted (R24). Otherwise `mountBlob` answers that they are not. */
  readonly mounts: boolean
  /** Blobs go by PATCH: in chunks, and without a digest from a source that is read once. */
  readonly chunks: boolean
  /** A session takes what is written at once, and its status says how much that is (R21). */
  readonly uploadStatus: boolean
  /** Tag lists honour `last` and are sorted (R33). */
  readonly tagPaging: boolean
  /** A manifest whose content is missing is refused (R12). */
  readonly missingReferencesRejected: boolean
  /** Layers that are not to be distributed may be missing (C63). */
  readonly nonDistributableMissing: boolean
  /** Manifests are stored under their sha512 digest where one is given (C16). */
  readonly sha512Manifests: boolean
  /** Such a digest is told of a manifest that is read by its tag, too. */
  readonly sha512Read: boolean
  /** Signed manifests are known by the digest of their payload (trap 36). */
  readonly signedManifests: boolean
  /** Signatures are kept. Otherwise the registry signs such manifests itself. */
  readonly signaturesKept: boolean
  /** A put on a condition is atomic: conditions of requests are heeded (RFC 9110 section 13.1). */
  readonly atomicPuts: boolean
  /** A mount without a source repository finds the blob (R25). */
  readonly mountFromAnywhere: boolean
  /**
   * A session can be continued at an older location, and refuses bytes out of order instead of
   * forgetting itself (R20, C52).
   */
  readonly staleLocations: boolean
}

const everything: Supports = {
  tagDelete: true,
  manifestDelete: true,
  blobDelete: true,
  catalog: true,
  manifestList: false,
  mounts: true,
  chunks: true,
  uploadStatus: true,
  tagPaging: true,
  missingReferencesRejected: true,
  nonDistributableMissing: true,
  sha512Manifests: true,
  sha512Read: true,
  signedManifests: true,
  signaturesKept: true,
  atomicPuts: true,
  mountFromAnywhere: true,
  staleLocations: true
}

export interface SuiteOptions {
  readonly layer: Layer.Layer<Registry, unknown>
  readonly supports?: Partial<Supports>
  /** Size in bytes of the blob that goes up and comes back as a stream. */
  readonly largeBlob?: number
}

export type It = Vitest.MethodsNonLive<Registry, true>

/**
 * Each test has a repository of its own, so that a registry may have seen other runs before. Time
 * is real: sockets know no TestClock.
 */
export const registrySuite = (name: string, options: SuiteOptions): void => {
  const supports = { ...everything, ...options.supports }
  describe(name, () => {
    withLayer(options.layer, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
      describe("manifests", () => manifestSuite(it, supports))
      describe("lists", () => listSuite(it, supports))
      describe("referrers", () => referrerSuite(it))
      describe("blobs", () => blobSuite(it, supports, options.largeBlob ?? 12 * 1024 * 1024))
      describe("artifacts", () => artifactSuite(it))
      describe("images", () => imageSuite(it, supports))
      if (supports.uploadStatus) describe("uploads", () => uploadSuite(it, supports))
    })
  })
}
