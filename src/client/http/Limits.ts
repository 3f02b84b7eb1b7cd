/** How much a registry may send. */

/**
 * Upper bounds on what a registry may send. Going over one fails with `LimitExceeded`; nothing is
 * ever truncated.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /**
   * Bytes of a manifest, 8 MiB by default: registries take 4 MiB at least ([Pushing
   * Manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests)).
   */
  readonly manifest: number
  /** Bytes of one page of a list, 8 MiB by default. */
  readonly page: number
  /** Pages of one list, 10,000 by default. */
  readonly pages: number
  /** Entries of one list, 1,000,000 by default. */
  readonly items: number
  /**
   * Bytes of the header section of a response, names and values, 64 KiB by default. The HTTP client
   * may have a lower limit.
   */
  readonly headers: number
  /** Redirects of one request, 10 by default. */
  readonly redirects: number
}

/** The defaults that `Limits` documents. */
export const defaultLimits: Limits = {
  manifest: 8 * 1024 * 1024,
  page: 8 * 1024 * 1024,
  pages: 10_000,
  items: 1_000_000,
  headers: 64 * 1024,
  redirects: 10
}
