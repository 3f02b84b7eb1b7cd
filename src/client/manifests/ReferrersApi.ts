/**
 * Whether a registry lists referrers itself, which many ways of saying no leave open (rule 16). In
 * its place clients read and write the referrers tag, and only where it is certain that there is no
 * such list: what fails for the moment says nothing of it (trap 43).
 */

import { exchangeOf } from "../../internal/ErrorMessage.js"
import { type Exchange, Unsupported } from "../../RegistryError.js"

/**
 * The response to a request for referrers. `redirects` are the statuses that led to it, `isPage`
 * says that it is HTML, `foreign` that it comes from another origin, and `codes` are those of the
 * registry's error list.
 */
export interface Response {
  readonly status: number
  readonly redirects: ReadonlyArray<number>
  readonly isPage: boolean
  readonly foreign: boolean
  readonly codes: ReadonlyArray<string>
}

/**
 * Returns what a response that is not a success says: `absent`, that there is no list (C88), or
 * `failed`, that the request failed.
 *
 * A 303, or HTML after another redirect, leads to a page for people, which is no list whatever its
 * status (GHCR). Anywhere else 408, 429 and 5xx are temporary failures.
 */
export const refused = (response: Response): "absent" | "failed" => {
  const { codes, foreign, isPage, redirects, status } = response
  const isRedirected = redirects.length > 0
  if (redirects.includes(303) || (isRedirected && isPage)) return "absent"
  if (status === 501 && !isRedirected) return "absent"
  if (isTemporary(status)) return "failed"
  if (foreign) return "absent"
  if (codes.some((code) => refusals.has(code))) return "failed"
  return absent.has(status) || codes.includes("UNSUPPORTED") ? "absent" : "failed"
}

/**
 * Whether an error of the request is certain enough for a list under the referrers tag to be
 * written: never with 408, 429 or 5xx, whoever answered so.
 */
export const isAbsence = (error: {
  readonly _tag: string
  readonly status?: number | undefined
}): boolean =>
  error._tag === "NotAList" ||
  (error._tag === "Unsupported" && (error.status === undefined || !isTemporary(error.status)))

/** Where neither the registry lists referrers nor the referrers tag may. */
export const unsupported = (exchange: Exchange): Unsupported =>
  new Unsupported({
    ...exchangeOf(exchange),
    operation: "the referrers API, in whose place the option referrersTag allows no tag"
  })

const isTemporary = (status: number): boolean => status === 408 || status === 429 || status >= 500

const absent: ReadonlySet<number> = new Set([400, 404, 405, 406])

/** Codes of registries that know the request, and refuse it. */
const refusals: ReadonlySet<string> = new Set(["TOOMANYREQUESTS", "DENIED", "UNAUTHORIZED"])
