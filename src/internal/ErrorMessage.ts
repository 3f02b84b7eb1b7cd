/** The facts of an exchange, as errors carry them, and the messages that are made of them. */
import * as Schema from "effect/Schema"
import { ErrorInfo } from "../protocol/ErrorBody.js"

/**
 * The facts of the exchange behind an error. All optional, since stores without HTTP raise the same
 * errors. `url` is redacted.
 */
export const exchange = {
  method: Schema.optional(Schema.String),
  url: Schema.optional(Schema.String),
  status: Schema.optional(Schema.Number),
  errors: Schema.optional(Schema.Array(ErrorInfo))
}

type Facts = Schema.Struct.Type<typeof exchange>

/** Returns a text followed by the first error that the server reported, and by the request. */
export const sentence = (text: string, facts: Facts): string => {
  const answered = facts.status === undefined ? "" : ` answered ${facts.status}`
  const request =
    facts.url === undefined ? "" : ` (${facts.method ?? "GET"} ${facts.url}${answered})`
  const first = facts.errors?.[0]
  const reported =
    first === undefined
      ? ""
      : `: the server says ${first.code}${first.message === undefined ? "" : ` "${first.message}"`}`
  return `${text}${reported}${request}`
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
  `The registry supplied ${locations[error.kind]} on ${error.host}, ` +
  `which is not followed: ${error.reason}` +
  (error.option === undefined ? "" : ` (option ${error.option} would allow it)`)

/** Returns why nothing is pushed to a reference with the digest of another manifest. */
export const ofPushedDigest = (reference: string, actual: string | undefined): string =>
  `The manifest for ${reference} has ` +
  `${actual === undefined ? "another digest" : `the digest ${actual}`}: ` +
  "leave out the digest of the reference to push it; " +
  "to attach it to what has that digest, use Artifact.attach"
