/**
 * The signed payload of Docker's manifests of schema 1: the document as it was before signatures
 * were put into it, which is what its digest is of. It is cut by bytes, from the document as it was
 * received (trap 36).
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as MediaType from "../MediaType.js"
import * as JsonText from "./JsonText.js"
import { optional } from "./Optional.js"
import * as SchemaIssue from "./SchemaIssue.js"

/** A signature as it stands in the document, in base64url. */
export interface Signature {
  readonly header: {
    readonly alg: string
    readonly jwk?: Readonly<Record<string, unknown>>
    readonly x5c?: ReadonlyArray<string>
  }
  readonly signature: string
  readonly protected: string
}

/** The payload of a document, and the signatures that it has. */
export interface Signed {
  readonly payload: Uint8Array
  readonly signatures: ReadonlyArray<Signature>
}

const Signatures = Schema.Struct({
  signatures: Schema.NonEmptyArray(
    Schema.Struct({
      header: Schema.Struct({
        alg: Schema.String,
        jwk: optional(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
        x5c: optional(Schema.Array(Schema.String))
      }),
      signature: Schema.String,
      protected: Schema.String
    })
  )
}).annotations({ identifier: "SignedManifest" })

const Protected = Schema.Struct({
  formatLength: Schema.NonNegativeInt,
  formatTail: Schema.String
})

const decodeSignatures = ParseResult.decodeUnknownEither(Signatures)
const decodeProtected = ParseResult.decodeUnknownEither(Protected)

/**
 * Returns the type of a manifest of schema 1 that was sent as `application/json`, as registries did
 * before schema 2: a document of its version is one then, signed or not.
 */
export const typeOf = (essence: string, document: unknown): string | undefined =>
  MediaType.equals(essence, "application/json") &&
  Predicate.hasProperty(document, "schemaVersion") &&
  document.schemaVersion === 1
    ? Predicate.hasProperty(document, "signatures")
      ? MediaType.dockerSchema1Signed
      : MediaType.dockerSchema1
    : undefined

/**
 * Returns what the digest of a manifest is of, which was sent with a `Content-Type`: its bytes, but
 * for a signed one of schema 1, whose payload it is where that can be told.
 */
export const hashed = (bytes: Uint8Array, sent: string | undefined): Uint8Array => {
  const essence = MediaType.essence(sent ?? "")
  const types = [MediaType.dockerSchema1Signed, "application/json"]
  if (!types.some((type) => MediaType.equals(type, essence))) return bytes
  const document = Either.getOrUndefined(JsonText.parseBytes(bytes))
  const mediaType = typeOf(essence, document) ?? essence
  return MediaType.equals(mediaType, MediaType.dockerSchema1Signed)
    ? Either.match(cut(bytes, document), {
        onLeft: () => bytes,
        onRight: ({ payload }) => payload
      })
    : bytes
}

/** Cuts the payload out of a document. Fails with what is wrong with its signatures. */
export const cut = (
  bytes: Uint8Array,
  document: unknown
): Either.Either<Signed, SchemaIssue.Misfit> =>
  Either.gen(function* () {
    const { signatures } = yield* Either.mapLeft(decodeSignatures(document), (issue) =>
      SchemaIssue.first(issue)
    )
    const formats = yield* Either.all(signatures.map(formatOf))
    const [first] = formats
    const other = formats.findIndex(
      ({ length, tail }) => length !== first?.length || !equals(tail, first.tail)
    )
    if (first === undefined || other !== -1)
      return yield* misfit(other, "does not say the same of the payload as the first signature")
    if (first.length > bytes.length)
      return yield* misfit(0, "says that the payload is longer than the document")
    const payload = new Uint8Array(first.length + first.tail.length)
    payload.set(bytes.subarray(0, first.length))
    payload.set(first.tail, first.length)
    return { payload, signatures }
  })

/** Splits a payload where signatures go: before its last brace and the white space around it. */
export const split = (payload: Uint8Array): readonly [head: Uint8Array, tail: Uint8Array] => {
  let end = payload.lastIndexOf(0x7d)
  while (end > 0 && isSpace(payload[end - 1])) end--
  return [payload.subarray(0, end), payload.subarray(end)]
}

const isSpace = (byte: number | undefined): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

/** Puts signatures between the parts of a payload, indented as it is. */
export const join = (
  head: Uint8Array,
  tail: Uint8Array,
  signatures: ReadonlyArray<Signature>
): Uint8Array => {
  const isIndented = isSpace(tail[0])
  const list = isIndented
    ? `\n   "signatures": ${JSON.stringify(signatures, null, 3).replaceAll("\n", "\n   ")}`
    : `"signatures":${JSON.stringify(signatures)}`
  const added = new TextEncoder().encode(`,${list}`)
  const bytes = new Uint8Array(head.length + added.length + tail.length)
  bytes.set(head)
  bytes.set(added, head.length)
  bytes.set(tail, head.length + added.length)
  return bytes
}

const formatOf = (signature: Signature, at: number) =>
  Either.gen(function* () {
    const text = yield* Either.mapLeft(Encoding.decodeBase64UrlString(signature.protected), () =>
      problem(at, "is not base64url")
    )
    const json = yield* Either.mapLeft(JsonText.parse(text), (what) => problem(at, what))
    const { formatLength, formatTail } = yield* Either.mapLeft(decodeProtected(json), () =>
      problem(at, "has no formatLength and formatTail")
    )
    const tail = yield* Either.mapLeft(Encoding.decodeBase64Url(formatTail), () =>
      problem(at, "has a formatTail that is not base64url")
    )
    return { length: formatLength, tail }
  })

const problem = (at: number, what: string): SchemaIssue.Misfit => {
  const place = `signatures[${at}].protected`
  return { place, message: `${place} ${what}` }
}

const misfit = (at: number, what: string) => Either.left(problem(at, what))

const equals = (self: Uint8Array, that: Uint8Array): boolean =>
  self.length === that.length && self.every((byte, at) => byte === that[at])
