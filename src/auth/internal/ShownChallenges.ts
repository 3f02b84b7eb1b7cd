/** Challenges as errors may show them. */
import type { Challenge } from "../../protocol/Challenge.js"
import type { Redact } from "../../protocol/internal/RedactedText.js"
import * as RedactedUrl from "../../protocol/internal/RedactedUrl.js"
import * as ServerText from "../../spec/internal/ServerText.js"

/** In characters, of each part of a challenge. */
const longest = 1024

/**
 * Returns challenges without secrets and without control characters: the query of a realm is hidden
 * like that of any URL (T13). What is answered is the challenge as it was sent.
 */
export const shownChallenges = (
  challenges: ReadonlyArray<Challenge>,
  redact: Redact
): ReadonlyArray<Challenge> => {
  const text = (value: string) => ServerText.plain(redact(value), longest)
  return challenges.map(({ error, realm, scheme, scopes, service }) => ({
    scheme: text(scheme),
    ...(realm !== undefined && { realm: text(RedactedUrl.redact(redact(realm))) }),
    ...(service !== undefined && { service: text(service) }),
    scopes: scopes.map(text),
    ...(error !== undefined && { error: text(error) })
  }))
}
