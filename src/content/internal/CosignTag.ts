/**
 * The tags under which cosign keeps what it attaches to a manifest where it does not write
 * referrers: the digest with `-` for its colon, and an ending.
 */
import * as Digest from "../../spec/Digest.js"
import * as Reference from "../../spec/Reference.js"

/** What is under such a tag. */
export type Kind = "Signature" | "Attestation" | "Sbom"

const endings: ReadonlyArray<readonly [Kind, ending: string]> = [
  ["Signature", "sig"],
  ["Attestation", "att"],
  ["Sbom", "sbom"]
]

/** Returns the tags of a subject: none where its digest is too long for a tag. */
export const of = (
  subject: Digest.Digest
): ReadonlyArray<{ readonly kind: Kind; readonly tag: Reference.Tag }> =>
  endings.flatMap(([kind, ending]) => {
    const tag = `${Digest.algorithm(subject)}-${Digest.encoded(subject)}.${ending}`
    return Reference.isTag(tag) ? [{ kind, tag }] : []
  })

/** Returns whether a tag has the form of these. */
export const is = (tag: string): boolean =>
  /^(?:sha256|blake3)-[a-f0-9]{64}\.(?:sig|att|sbom)$/.test(tag)
