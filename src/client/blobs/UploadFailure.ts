/** What a failure of a step means to an upload: pure, as `UploadPlan` is. */
import { isTransient } from "../../RegistryError.js"
import type { Failure, FailureKind, State } from "./UploadPlan.js"

/** What a failure of a step means to the upload. */
export const failureOf = (
  { form, phase }: Pick<State<Failure>, "form" | "phase">,
  error: Failure
): FailureKind | "absent" => {
  const { _tag, status } = error
  switch (phase) {
    case "mounting":
      return isMountRefused(error) ? "refused" : isTransient(error) ? "temporary" : "failed"
    // Some answer 403 or 405 for what is missing (trap 23, quirks §2), or have a page for
    // everything: not known is not there.
    case "finding":
      return _tag === "Denied" ||
        _tag === "ProtocolViolation" ||
        (_tag === "RegistryFailure" && !isTransient(error))
        ? "absent"
        : "failed"
    case "sending":
      if (isRefusal(error)) return "refused"
      if (isTransient(error)) return "temporary"
      // Who knows no single POST may refuse it in a way of its own.
      return form === "single" && _tag === "RegistryFailure" ? "refused" : "failed"
    case "appending":
      if (isRefusal(error)) return status === 404 ? "page" : "refused"
      // 416 is no range of its own to a closing PUT, but means the same (R20, trap 13).
      if (_tag === "RangeMismatch" || (_tag === "RegistryFailure" && status === 416))
        return "misplaced"
      if (_tag === "UploadUnknown") return "unknown"
      return isTransient(error) ? "temporary" : "failed"
    case "closing":
      if (_tag === "UploadUnknown") return "unknown"
      return isTransient(error) ? "temporary" : "failed"
    default:
      return isTransient(error) ? "temporary" : "failed"
  }
}

/**
 * Statuses by which registries and the proxies before them refuse a kind of body, not a blob: 413
 * is Cloudflare's and nginx's.
 */
const refusals = new Set([405, 411, 413, 415, 501])

const isRefusal = ({ _tag, status }: Failure): boolean =>
  _tag === "Unsupported" ||
  (_tag === "RegistryFailure" && status !== undefined && refusals.has(status))

/**
 * Registries refuse to mount what cannot be read with 401, 403, 404 or 405 alike (rule 12), and
 * Quay what it is not told the source of with 400: it is not mounted, and an upload will tell why.
 */
export const isMountRefused = ({ _tag, status }: Failure): boolean =>
  ["Denied", "NameUnknown", "Unauthorized", "Unsupported"].includes(_tag) ||
  (_tag === "RegistryFailure" && status === 400)
