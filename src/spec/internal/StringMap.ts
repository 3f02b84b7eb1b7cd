/** JSON objects that are maps: any name may be a key. */
import type { LazyArbitrary } from "effect/Arbitrary"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/**
 * Makes a schema of maps to some kind of value. The decoded map has no prototype (T21). `empty` is
 * what `null` stands for in place of a value, if for anything.
 */
export const make = <A>(
  schema: Schema.Schema<A>,
  isValue: (u: unknown) => u is A,
  annotations: { readonly identifier: string; readonly description: string },
  arbitrary: LazyArbitrary<A>,
  empty?: A
): Schema.Schema<Readonly<Record<string, A>>> => {
  const copy = (input: unknown, _: unknown, ast: ParseResult.Type["ast"]) => {
    if (typeof input !== "object" || input === null || Array.isArray(input))
      return ParseResult.fail(new ParseResult.Type(ast, input))
    const out: Record<string, A> = Object.create(null)
    for (const [key, value] of Object.entries(input)) {
      const member: unknown = value === null ? (empty ?? value) : value
      if (!isValue(member)) {
        const issue = new ParseResult.Type(schema.ast, member)
        return ParseResult.fail(new ParseResult.Pointer(key, input, issue))
      }
      out[key] = member
    }
    return ParseResult.succeed(out)
  }
  return Schema.declare(
    [],
    { decode: () => copy, encode: () => copy },
    {
      ...annotations,
      arbitrary: () => (fc) => fc.dictionary(fc.string(), arbitrary(fc))
    }
  )
}
