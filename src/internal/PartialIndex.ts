/** An index of which some manifests are there and others are not. */
import * as Schema from "effect/Schema"
import { plain } from "../spec/internal/ServerText.js"

/** Such an index, with the platforms of its manifests, or their digests where they have none. */
export const PartialIndex = Schema.Struct({
  digest: Schema.String,
  present: Schema.Array(Schema.String),
  missing: Schema.Array(Schema.String)
})

/** Such an index. */
export interface PartialIndex extends Schema.Schema.Type<typeof PartialIndex> {}

/** Returns what to add to a message about something that belongs to such an index, if it does. */
export const ofPartial = (index: PartialIndex | undefined): string => {
  if (index === undefined) return ""
  const present = index.present.length === 0 ? "nothing" : listed(index.present)
  return `: of the index ${index.digest} it has ${present}, and lacks ${listed(index.missing)}`
}

const listed = (names: ReadonlyArray<string>): string => {
  const more = names.length > shown ? ` and ${names.length - shown} more` : ""
  return (
    names
      .slice(0, shown)
      .map((name) => plain(name, 128))
      .join(", ") + more
  )
}

const shown = 8
