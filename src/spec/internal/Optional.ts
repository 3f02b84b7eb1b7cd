/** Optional members of JSON documents. */
import * as Schema from "effect/Schema"

/**
 * A member that may be absent, or `null`, which is the same: many programs write what they do not
 * have as `null`. It is never written as `null`.
 */
export const optional = <A, I>(
  schema: Schema.Schema<A, I>
): Schema.optionalWith<Schema.Schema<A, I>, { exact: true; nullable: true }> =>
  Schema.optionalWith(schema, { exact: true, nullable: true })
