/** What is said of responses that are not a success, and what to do about them. */
import { isFull } from "./ErrorDetail.js"
import { type Facts, sentence, serverOf } from "./ErrorMessage.js"
import { ofPartial, type PartialIndex } from "./PartialIndex.js"

/** A web server's own page for what it does not have. */
const notRegistry = "this is probably not a registry: check the host, or open its URL in a browser"

/**
 * Returns what to do where a page came instead of a response: of a 404 for what every registry
 * routes, and of a success.
 */
export const ofPage = ({ errors = [], page, status = 0 }: Facts): string =>
  page !== undefined && errors.length === 0 && (status === 404 || status < 300) ? notRegistry : ""

/** Returns what to do about a repository that is unknown. */
export const ofName = (facts: Facts): string => {
  if (facts.url === undefined) return ""
  if (facts.page !== undefined) return ofPage(facts)
  return facts.method === "POST" || facts.method === "PUT"
    ? "check the name; some registries want a repository to be created before the first push"
    : "check the name, and whether the credentials may see it"
}

/** Returns the whole message of `BlobUnknown`. */
export const ofBlob = (
  facts: Facts & {
    readonly repository: string
    readonly digest?: string | undefined
    readonly index?: PartialIndex | undefined
  }
): string => {
  const { digest, index, method, repository } = facts
  const isPut = digest === undefined || method === "PUT"
  const what = isPut ? `${digest ?? "content"}, to which the manifest refers` : `blob ${digest}`
  return sentence(
    `Repository ${repository} lacks ${what}${ofPartial(index)}`,
    facts,
    isPut ? pushFirst : ofPage(facts)
  )
}

const pushFirst = "push that first, or mount it from another repository"

/** Returns the whole message of `Unsupported`. */
export const ofUnsupported = (facts: Facts & { readonly operation: string }): string => {
  const { operation, page, status } = facts
  const text = `The registry does not support ${operation}`
  if (operation.startsWith("the distribution API"))
    return sentence(text, facts, status === undefined ? "" : notRegistry)
  if (/^(uploading|any form of upload)/.test(operation)) {
    if (page !== undefined && status === 404) return sentence(text, facts, notRegistry)
    return sentence(text, facts, status === 405 ? readOnly : "")
  }
  const isTags = operation === "deleting tags"
  if (operation.startsWith("deleting") && status !== undefined)
    return sentence(text, facts, isTags ? `${switchedOff}; ${byManifests}` : switchedOff)
  return sentence(text, facts)
}

const switchedOff = "whoever runs the registry may have switched it off"
const byManifests = "where it deletes manifests, untag removes a tag with throwaway: true"

const readOnly = "it may be a mirror, or read-only for now: push to the registry itself"

/** Returns the whole message of `RegistryFailure`. */
export const ofFailure = (facts: Facts & { readonly snippet?: string | undefined }): string => {
  const { errors = [], page, snippet = "" } = facts
  const isBare = errors.length === 0 && page === undefined
  const words = isBare && snippet !== "" ? `: the server says ${JSON.stringify(snippet)}` : ""
  return sentence(whatOf(facts) + words, facts, adviceOf(facts, isBare && snippet === ""))
}

const whatOf = (facts: Facts): string => {
  const { status = 500 } = facts
  const server = `The ${serverOf(facts)}`
  if (status >= 500) return `${server} failed`
  return status >= 400 ? `${server} refuses the request` : "The response is not one to this request"
}

const adviceOf = (
  facts: Facts & { readonly snippet?: string | undefined },
  isSilent: boolean
): string => {
  const { errors = [], method, page = "", snippet = "", status, url = "" } = facts
  const server = serverOf(facts)
  if (status === undefined) return ""
  if (status === 507 || errors.some(isFull)) return `the disk of the ${server} is full`
  if (status === 413) return method === "PUT" && isManifest(url) ? largeManifest : largeUpload
  if (status === 400 && toHttps.test(`${page} ${snippet}`)) return "give its url as https://…"
  if (status === 502 || status === 503 || status === 504)
    return "it may be down or starting: try again later"
  if (status < 400) return ofPage(facts)
  const isUnknown = isSilent || facts.page !== undefined
  return isUnknown || status >= 500 ? "its log, or that of a proxy before it, says why" : ""
}

const isManifest = (url: string): boolean => url.includes("/manifests/")

const largeManifest =
  "the manifest is larger than it, or a proxy before it, takes: leave out annotations or layers, " +
  "or have the limit raised"

const largeUpload =
  "it, or a proxy before it, does not take as much in one request: set the option chunkSize to " +
  "fewer bytes, or have the limit raised"

/** Go's server, nginx and Apache. */
const toHttps =
  /HTTP request to an HTTPS server|plain HTTP request was sent to HTTPS|plain HTTP to an SSL/i
