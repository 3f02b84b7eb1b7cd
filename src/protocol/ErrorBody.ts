/**
 * Bodies of error responses. The specification's form is
 * `{"errors":[{"code","message","detail"}]}` ([Error
 * codes](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes)),
 * but registries and the proxies before them send anything, so `parse` understands what it can and
 * never fails.
 *
 * @since 0.1.0
 */
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as JsonText from "../spec/internal/JsonText.js"
import * as ServerText from "../spec/internal/ServerText.js"
import type { Redact } from "./internal/RedactedText.js"

/**
 * One error that a registry reports. `code` is an open string: one of `Code`, whatever else the
 * registry sends, or `UNKNOWN` if it names none. `detail` is arbitrary JSON.
 *
 * @since 0.1.0
 * @category models
 */
export interface ErrorInfo {
  readonly code: string
  readonly message?: string | undefined
  readonly detail?: unknown
}

/**
 * The schema of `ErrorInfo`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ErrorInfo: Schema.Schema<ErrorInfo> = Schema.Struct({
  code: Schema.String,
  message: Schema.optional(Schema.String),
  detail: Schema.optional(Schema.Unknown)
})

/**
 * What could be understood of a body: the errors it reports, and the beginning of its text, at most
 * 512 characters.
 *
 * @since 0.1.0
 * @category models
 */
export interface ErrorBody {
  readonly errors: ReadonlyArray<ErrorInfo>
  readonly snippet: string
}

/**
 * The known codes: those of the [distribution
 * specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes),
 * then those that Docker's registry and the extensions add.
 *
 * @since 0.1.0
 * @category constants
 */
export const Code = {
  BLOB_UNKNOWN: "BLOB_UNKNOWN",
  BLOB_UPLOAD_INVALID: "BLOB_UPLOAD_INVALID",
  BLOB_UPLOAD_UNKNOWN: "BLOB_UPLOAD_UNKNOWN",
  DIGEST_INVALID: "DIGEST_INVALID",
  MANIFEST_BLOB_UNKNOWN: "MANIFEST_BLOB_UNKNOWN",
  MANIFEST_INVALID: "MANIFEST_INVALID",
  MANIFEST_UNKNOWN: "MANIFEST_UNKNOWN",
  NAME_INVALID: "NAME_INVALID",
  NAME_UNKNOWN: "NAME_UNKNOWN",
  SIZE_INVALID: "SIZE_INVALID",
  UNAUTHORIZED: "UNAUTHORIZED",
  DENIED: "DENIED",
  UNSUPPORTED: "UNSUPPORTED",
  TOOMANYREQUESTS: "TOOMANYREQUESTS",
  MANIFEST_UNVERIFIED: "MANIFEST_UNVERIFIED",
  TAG_INVALID: "TAG_INVALID",
  PAGINATION_NUMBER_INVALID: "PAGINATION_NUMBER_INVALID",
  RANGE_INVALID: "RANGE_INVALID",
  UNKNOWN: "UNKNOWN",
  UNAVAILABLE: "UNAVAILABLE",
  EXTENSION_UNKNOWN: "EXTENSION_UNKNOWN"
} as const

const maxBody = 65_536
const maxErrors = 32
const maxCode = 128
const maxMessage = 1024
const maxDetail = 4096
const maxSnippet = 512

/**
 * Reads the body of an error response, whatever its content type says: the specification's list, a
 * bare error object (zot), `{"details"}` (Docker Hub's token server), `{"message"}`, errors without
 * codes (Artifactory), `<Code>` and `<Message>` (S3, Azure); anything else reports no errors and
 * leaves the snippet. Reads at most 64 KiB and 32 errors. Strings are cut (codes at 128 characters,
 * messages at 1,024) and freed of control and bidirectional characters; a detail of more than 4 KiB
 * is left out.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (body: Uint8Array | string): ErrorBody => parseRedacted(body, identity)

/**
 * Reads the body as `parse` does, for what is shown of it: texts are redacted before they are cut.
 * A known code stays as it is.
 *
 * @since 0.1.0
 * @category constructors
 * @internal
 */
export const parseRedacted = (body: Uint8Array | string, redact: Redact): ErrorBody => {
  const text = (
    typeof body === "string"
      ? body.slice(0, maxBody)
      : new TextDecoder().decode(body.subarray(0, maxBody))
  ).trim()
  return {
    errors: text.startsWith("<") ? fromXml(text, redact) : fromJson(text, redact),
    snippet: ServerText.plain(
      redact(text)
        .slice(0, 4 * maxSnippet)
        .replace(/\s+/g, " "),
      maxSnippet
    )
  }
}

/**
 * Returns the body that a server sends with an error. A detail that JSON cannot express is left
 * out.
 *
 * @since 0.1.0
 * @category combinators
 */
export const encode = (errors: Iterable<ErrorInfo>): string =>
  JSON.stringify({
    errors: Array.from(errors, ({ code, detail, message }) => ({
      code,
      message,
      detail: Option.isSome(stringify(detail)) ? detail : undefined
    }))
  })

const stringify = Option.liftThrowable((value: unknown) => JSON.stringify(value))

/** In so many characters nothing nests deep enough to take long. */
const parsedAtOnce = 64 * 1024

const parseJson = (text: string): Option.Option<unknown> =>
  text.length > parsedAtOnce
    ? Option.getRight(JsonText.parse(text))
    : Option.liftThrowable((): unknown => JSON.parse(text))()

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const fromJson = (text: string, redact: Redact): ReadonlyArray<ErrorInfo> => {
  const body = Option.getOrUndefined(parseJson(text))
  if (!isRecord(body)) return []
  const listed = Array.isArray(body["errors"])
    ? body["errors"].slice(0, maxErrors).flatMap((error) => fromRecord(error, redact))
    : []
  return listed.length > 0 ? listed : fromRecord(body, redact)
}

const fromRecord = (value: unknown, redact: Redact): ReadonlyArray<ErrorInfo> => {
  if (!isRecord(value)) return []
  const code = codeOf(value["code"], redact)
  const message =
    bounded(value["message"], maxMessage, redact) ?? bounded(value["details"], maxMessage, redact)
  if (code === undefined && message === undefined) return []
  const detail = value["detail"]
  const fits =
    detail !== undefined && Option.exists(stringify(detail), (json) => json.length <= maxDetail)
  return [
    {
      code: code ?? Code.UNKNOWN,
      ...(message === undefined ? {} : { message }),
      ...(fits ? { detail: harmless(detail, redact) } : {})
    }
  ]
}

const codeOf = (value: unknown, redact: Redact): string | undefined =>
  bounded(
    value,
    maxCode,
    typeof value === "string" && Object.hasOwn(Code, value) ? identity : redact
  )

const bounded = (value: unknown, limit: number, redact: Redact): string | undefined =>
  typeof value === "string" ? ServerText.plain(redact(value), limit) || undefined : undefined

/**
 * Recursion is safe: 4 KiB of JSON nest at most 2,048 deep. A key `__proto__` would become a
 * prototype in a careless copy (T21).
 */
const harmless = (value: unknown, redact: Redact): unknown => {
  const text = (value: string) => ServerText.plain(redact(value), maxDetail)
  if (typeof value === "string") return text(value)
  if (typeof value === "number") return text(`${value}`) === `${value}` ? value : text(`${value}`)
  if (Array.isArray(value)) return value.map((entry) => harmless(entry, redact))
  if (!isRecord(value)) return value
  const entries = Object.entries(value).map(([key, entry]) => [text(key), harmless(entry, redact)])
  return Object.fromEntries(entries.filter(([key]) => key !== "__proto__"))
}

const fromXml = (text: string, redact: Redact): ReadonlyArray<ErrorInfo> => {
  const code = codeOf(element(text, "Code"), redact)
  const message = bounded(element(text, "Message"), maxMessage, redact)
  return code === undefined ? [] : [message === undefined ? { code } : { code, message }]
}

const element = (text: string, name: string): string | undefined => {
  const start = text.indexOf(`<${name}>`)
  const end = text.indexOf(`</${name}>`, start)
  if (start === -1 || end === -1) return undefined
  return text
    .slice(start + name.length + 2, end)
    .replace(/&(lt|gt|quot|apos|amp);/g, (entity, key: string) => entities.get(key) ?? entity)
}

const entities = new Map([
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
  ["amp", "&"]
])
