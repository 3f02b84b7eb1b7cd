/** Errors in the page of a list, which then is not all of it. */
import { ProtocolViolation } from "../../RegistryError.js"
import * as Received from "../http/Received.js"
import * as ReportedErrors from "../http/ReportedErrors.js"

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
  const isListed = ReportedErrors.listed(document).length > 0
  const isAbsent = list === undefined || list === null
  if (!isListed && !isAbsent) return undefined
  const errors = ReportedErrors.shown(response, document)
  const isReported = (ReportedErrors.member(document, "error") ?? null) !== null
  if (!isListed && !isReported && errors.length === 0) return undefined
  const problem = `The registry answered with errors instead of a list of ${name}`
  return new ProtocolViolation({ ...Received.exchangeOf(response), errors, problem })
}
