/** The conditions of a request on content whose entity tag is its digest (RFC 9110 section 13). */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as EntityTag from "../../protocol/internal/EntityTag.js"
import type { Digest } from "../../spec/Digest.js"
import * as ErrorResponse from "./ErrorResponse.js"

/** Returns the header that the content has for conditions. */
export const entityTag = (digest: Digest) => ({ etag: EntityTag.format(digest) })

/** Whether the client has said that it has this content already. Fails with a 412. */
export const isUnmodified = (
  { headers }: HttpServerRequest,
  digest: Digest
): Effect.Effect<boolean, ErrorResponse.ErrorResponse> => {
  const conditions = EntityTag.conditions(headers)
  const failed = conditions === undefined ? undefined : EntityTag.failed(conditions, digest)
  return failed === "If-Match"
    ? Effect.fail(preconditionFailed(failed))
    : Effect.succeed(failed !== undefined)
}

/** The error of a condition that does not hold, where that means that nothing is done. */
export const preconditionFailed = (header: string) =>
  ErrorResponse.preconditionFailed(`The condition of ${header} does not hold: nothing was done`)

/** Fails where the conditions do not hold for `digest`, or for nothing being there. */
export const checked = (
  conditions: EntityTag.Conditions,
  digest: Digest | undefined
): Effect.Effect<void, ErrorResponse.ErrorResponse> => {
  const failed = EntityTag.failed(conditions, digest)
  return failed === undefined ? Effect.void : Effect.fail(preconditionFailed(failed))
}

/**
 * Returns the `Range` of a request, unless its `If-Range` is about other content: that compares
 * strongly, and a date says nothing of content that has none (section 13.1.5).
 */
export const rangeOf = ({ headers }: HttpServerRequest, digest: Digest): string | undefined => {
  const condition = headers["if-range"]
  return condition === undefined || condition === EntityTag.format(digest)
    ? headers["range"]
    : undefined
}
