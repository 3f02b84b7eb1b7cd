/** Errors that a registry reports with a success, in place of a list or of a part of one. */
import * as Option from "effect/Option"
import { ProtocolViolation } from "../../RegistryError.js"
import { reportedErrors } from "../http/Classify.js"
import * as Received from "../http/Received.js"

/** Returns the document of a page: nothing of what is not JSON. */
export const parse = (bytes: Uint8Array): unknown =>
  Option.getOrUndefined(
    Option.liftThrowable((): unknown => JSON.parse(new TextDecoder().decode(bytes)))()
  )

/** Returns an own member of a document: a list might be called `constructor` (T21). */
export const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null
    ? Object.getOwnPropertyDescriptor(value, name)?.value
    : undefined

/**
 * Returns the error of a page that reports errors, whatever list it has besides; `list` is the list
 * in it. Where that is absent, an error in any form that registries have counts.
 */
export const of = (
  response: Received.Received,
  document: unknown,
  list: unknown,
  name: string
): ProtocolViolation | undefined => {
  const listed = member(document, "errors")
  const errors = Array.isArray(listed) ? listed : []
  const isAbsent = list === undefined || list === null
  if (errors.length === 0 && !isAbsent) return undefined
  // Of a long page the end, where its errors may be, would not be read.
  const text = JSON.stringify(errors.length > 0 ? { errors } : document)
  const reported = reportedErrors(response, new TextEncoder().encode(text))
  const isReported = errors.length > 0 || reported.length > 0
  if (!isReported && (member(document, "error") ?? null) === null) return undefined
  const problem = `The registry answered with errors instead of a list of ${name}`
  return new ProtocolViolation({ ...Received.factsOf(response), errors: reported, problem })
}
