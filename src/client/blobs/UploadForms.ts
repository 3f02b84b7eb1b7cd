/** In which form a blob goes to a registry: pure, as `UploadPlan` is. */
import { isTransient } from "../../RegistryError.js"
import type { Failure, Form, State } from "./Uploading.js"

/**
 * Up to here, in bytes, a blob goes into the first request whole: no more may leave before anything
 * was authorized.
 */
export const small = 64 * 1024

const candidates = ({ content, isKept, session }: State<Failure>): ReadonlyArray<Form> => {
  const { hasDigest, size } = content
  const isSmall = size !== undefined && size > 0 && size <= small && session === undefined
  const isKnown = size === 0 || (hasDigest && size !== undefined)
  return [
    ...(isSmall ? (["single"] as const) : []),
    // A closing request that breaks off leaves nothing that Docker's registry can go on with.
    ...(isKnown && !isKept
      ? (["put", "patch", "chunked"] as const)
      : (["patch", "chunked", "put"] as const))
  ]
}

/** The form asked for by name, or the cheapest that was not refused. */
export const choose = (state: State<Failure>): Form | undefined => {
  const { content, habits, strategy, tried } = state
  if (strategy !== "auto") return tried.includes(strategy) ? undefined : strategy
  const size = content.size ?? Number.MAX_SAFE_INTEGER
  return candidates(state).find(
    (form) => !tried.includes(form) && size < (habits.refusedFrom[form] ?? Number.POSITIVE_INFINITY)
  )
}

/**
 * The forms that a refusal rules out, and from which size on they are not tried for other blobs
 * either. Who takes no PATCH takes none of either kind; who finds one too large (416, GHCR) is
 * better sent the whole by PUT, as is who fails to close after one (quirks §3). What is too large
 * is refused from that size on; a failure may have been temporary.
 */
export const ruledOut = (
  form: Form,
  error: Failure,
  size: number
): { readonly forms: ReadonlyArray<Form>; readonly from: number | undefined } => {
  const isTemporary = isTransient(error)
  const isPatch = form === "patch" || form === "chunked"
  return {
    forms:
      isPatch && (isTemporary || error._tag !== "RegistryFailure") ? ["patch", "chunked"] : [form],
    from: isTemporary ? undefined : error._tag === "Unsupported" || form === "single" ? 0 : size
  }
}
