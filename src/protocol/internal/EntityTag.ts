/**
 * Conditions of requests: the entity tags of `If-Match` and `If-None-Match` ([RFC 9110 section
 * 13.1](https://www.rfc-editor.org/rfc/rfc9110#section-13.1)). That of a manifest is its digest.
 */
import { type Digest, isDigest } from "../../spec/Digest.js"
import type { Fields } from "./SingleField.js"

/** What a condition names: anything that exists, or these digests. */
type Named = "*" | ReadonlySet<string>

/** The conditions of a request. */
export interface Conditions {
  readonly ifMatch: Named | undefined
  readonly ifNoneMatch: Named | undefined
}

/** Returns the entity tag of the manifest that has this digest. */
export const format = (digest: Digest): string => `"${digest}"`

/**
 * Returns the conditions of a request, if it has any. `If-Match` compares strongly, so that a weak
 * tag is no match; `If-None-Match` compares weakly (section 8.8.3.2). A digest without quotes is
 * taken for its tag, as Docker's registry does. What is not an entity tag matches nothing.
 */
export const conditions = (fields: Fields): Conditions | undefined => {
  const ifMatch = named(fields["if-match"], false)
  const ifNoneMatch = named(fields["if-none-match"], true)
  return ifMatch === undefined && ifNoneMatch === undefined ? undefined : { ifMatch, ifNoneMatch }
}

const named = (field: string | undefined, isWeak: boolean): Named | undefined => {
  const text = field?.trim()
  if (text === undefined) return undefined
  if (text === "*") return "*"
  const found = new Set<string>()
  for (const [, weak, quoted, bare] of text.matchAll(/(W\/)?"([^"]*)"|([^\s,"]+)/g)) {
    const digest = quoted ?? bare ?? ""
    if ((weak === undefined || isWeak) && isDigest(digest)) found.add(digest)
  }
  return found
}

/**
 * Returns which condition does not hold where the digest is `current`, or nothing is there, if one
 * does not. `If-Match` comes first (section 13.2.2).
 */
export const failed = (
  { ifMatch, ifNoneMatch }: Conditions,
  current: Digest | undefined
): "If-Match" | "If-None-Match" | undefined => {
  const isNamed = (names: Named) => current !== undefined && (names === "*" || names.has(current))
  if (ifMatch !== undefined && !isNamed(ifMatch)) return "If-Match"
  return ifNoneMatch !== undefined && isNamed(ifNoneMatch) ? "If-None-Match" : undefined
}

/** What a tag has to be for a manifest to be put: a digest, or absent. */
export type Expected = Digest | "absent"

/** Returns the header of a condition. */
export const conditionOf = (expected: Expected): Readonly<Record<string, string>> =>
  expected === "absent" ? { "if-none-match": "*" } : { "if-match": format(expected) }

/** Returns the header that asks for a manifest unless it is the one with this digest. */
export const unless = (known: Digest): Readonly<Record<string, string>> => ({
  "if-none-match": format(known)
})

/** Returns the digest of the one manifest that a request does not want. */
export const knownBy = (fields: Fields): Digest | undefined => {
  const { ifMatch, ifNoneMatch } = conditions(fields) ?? {}
  return ifMatch === undefined ? onlyOf(ifNoneMatch) : undefined
}

/** Returns the one condition that `conditionOf` can have made of a request's. */
export const expectedBy = (fields: Fields): Expected | undefined => {
  const { ifMatch, ifNoneMatch } = conditions(fields) ?? {}
  if (ifMatch === undefined) return ifNoneMatch === "*" ? "absent" : undefined
  return ifNoneMatch === undefined ? onlyOf(ifMatch) : undefined
}

const onlyOf = (names: Named | undefined): Digest | undefined => {
  if (names === undefined || names === "*" || names.size !== 1) return undefined
  const [digest] = names
  return isDigest(digest) ? digest : undefined
}
