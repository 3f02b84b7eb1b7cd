/** The facts of an exchange, as errors carry them, and the messages that are made of them. */
import * as Schema from "effect/Schema"
import { ErrorInfo } from "../protocol/ErrorBody.js"
import { detailOf } from "./ErrorDetail.js"

/**
 * The facts of the exchange behind an error. All optional, since stores without HTTP raise the same
 * errors. `url` is redacted.
 */
export const exchange = {
  method: Schema.optional(Schema.String),
  url: Schema.optional(Schema.String),
  status: Schema.optional(Schema.Number),
  errors: Schema.optional(Schema.Array(ErrorInfo)),
  page: Schema.optional(Schema.String),
  server: Schema.optional(Schema.Literal("TokenServer", "Redirect")),
  onBehalfOf: Schema.optional(Schema.String),
  stored: Schema.optional(Schema.String)
}

/** The type of `exchange`. */
export type Facts = Schema.Struct.Type<typeof exchange>

/** Returns the facts of an exchange that an error has, without all else. */
export const exchangeOf = ({
  errors,
  method,
  onBehalfOf,
  page,
  server,
  status,
  stored,
  url
}: Facts): Facts => ({ method, url, status, errors, page, server, onBehalfOf, stored })

/**
 * Returns a message: what happened, what the server says of it, what to do, and the request.
 */
export const sentence = (text: string, facts: Facts, advice = ""): string =>
  text +
  reported(text, facts) +
  (advice === "" ? "" : `; ${advice}`) +
  (facts.stored === undefined ? "" : `; ${ofStored(facts.stored, facts)}`) +
  requested(facts)

/** Returns that a manifest is stored although an error came of it, and what to do (CP12). */
export const ofStored = (digest: string, { method, status = 0 }: Facts = {}): string =>
  `manifest ${digest} itself is stored, and is not listed among the referrers of its subject: ` +
  "push it again" +
  (method === "PUT" && status >= 400 && status < 500 && status !== 429
    ? ", and where tags are immutable, except those that begin with sha256- from that"
    : "")

/** Returns what the server says: the first error that it reported, or the title of a page. */
const reported = (text: string, { errors = [], page }: Facts): string => {
  const [first] = errors
  if (first === undefined)
    return page === undefined ? "" : `: the server sent a page${page === "" ? "" : ` "${page}"`}`
  const { code, message } = first
  // Where the registry names no code, UNKNOWN stands for it.
  const known = code === "UNKNOWN" && message !== undefined ? "" : ` ${code}`
  const detail = detailOf(first, text)
  return (
    `: the server says${known}` +
    (message === undefined ? "" : ` "${message}"`) +
    (detail === "" ? "" : ` (${detail})`) +
    (errors.length > 1 ? `, and ${errors.length - 1} more` : "")
  )
}

const requested = ({ method, onBehalfOf, status, url }: Facts): string =>
  url === undefined
    ? ""
    : ` (${method ?? "GET"} ${url}` +
      (status === undefined ? "" : ` answered ${status}`) +
      (onBehalfOf === undefined ? ")" : `, for ${onBehalfOf})`)

/** Returns the name of the server of an exchange. */
export const serverOf = ({ server }: Pick<Facts, "server">): string =>
  server === undefined ? "registry" : servers[server]

const servers = {
  TokenServer: "token server",
  Redirect: "server that the registry redirects to"
}

const locations = {
  Redirect: "a redirect",
  Upload: "an upload location",
  Link: "a next page",
  Realm: "a token realm",
  Layer: "a layer URL"
}

/** Returns which URL is not followed, why, and the option that would allow it. */
export const ofUntrusted = (error: {
  readonly kind: keyof typeof locations
  readonly host: string
  readonly reason: string
  readonly option?: string | undefined
}): string =>
  `The registry supplied ${locations[error.kind]}` +
  (error.host === "" ? "" : ` on ${error.host}`) +
  `, which is not followed: ${error.reason}` +
  (error.option === undefined ? "" : ` (option ${error.option} would allow it)`)

/** Returns why nothing is pushed to a reference with the digest of another manifest. */
export const ofPushedDigest = (reference: string, actual: string | undefined): string =>
  `The manifest for ${reference} has ` +
  `${actual === undefined ? "another digest" : `the digest ${actual}`}: ` +
  "leave out the digest of the reference to push it; " +
  "to attach it to what has that digest, use Artifact.attach"

/** Returns why nothing is removed by a reference whose tag does not stand on its digest. */
export const ofOtherTag = (reference: string, tag: string, actual: string | undefined): string =>
  `${reference}: the tag ${tag} is ${actual ?? "another digest"} by now, and nothing was ` +
  "removed. Read the tag, and decide again"
