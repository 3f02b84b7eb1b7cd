/**
 * Tags that hold what is attached to a manifest: the list of its referrers (C79), and what cosign
 * and others keep beside it, which end in a dot and a word (CP06).
 */
import * as Reference from "../../../spec/Reference.js"

/** Returns the referrers tag of the subject of such a tag, and nothing for another tag. */
export const subjectOf = (tag: string): Reference.Tag | undefined => {
  const subject = tag.replace(/\.\w{1,16}$/, "")
  return Reference.isReferrersTag(subject) ? subject : undefined
}
