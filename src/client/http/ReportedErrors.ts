/** Errors that a registry reports in the document of a success. */
import * as Either from "effect/Either"
import * as Sent from "../../auth/internal/Sent.js"
import * as ErrorBody from "../../protocol/ErrorBody.js"
import * as JsonText from "../../spec/internal/JsonText.js"
import type * as Received from "./Received.js"

/** Returns the document that a body is: nothing of what is not JSON, or too large to be parsed. */
export const parse = (bytes: Uint8Array): unknown =>
  Either.getOrUndefined(JsonText.parseBytes(bytes))

/** Returns an own member of a document: a list might be called `constructor` (T21). */
export const member = (document: unknown, name: string): unknown =>
  typeof document === "object" && document !== null
    ? Object.getOwnPropertyDescriptor(document, name)?.value
    : undefined

/** Returns the list of errors of a document, whatever they are. */
export const listed = (document: unknown): ReadonlyArray<unknown> => {
  const errors = member(document, "errors")
  return Array.isArray(errors) ? errors : []
}

/**
 * Returns the errors that a document reports, in any form that registries have, as they may be
 * shown. Where it has a list of them, nothing else of it is read, however long it is.
 */
export const shown = (
  response: Pick<Received.Received, "request">,
  document: unknown
): ReadonlyArray<ErrorBody.ErrorInfo> => {
  const errors = listed(document)
  return ErrorBody.parseRedacted(
    JSON.stringify(errors.length > 0 ? { errors: errors.slice(0, 32) } : document),
    Sent.redactorOf(Sent.of(response.request))
  ).errors
}
