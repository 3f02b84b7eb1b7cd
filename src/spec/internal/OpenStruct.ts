/** JSON objects with members that are not known: they are kept as they are. */
import type { Effect } from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { ParseOptions } from "effect/SchemaAST"

/**
 * Makes a schema of the one of a struct, such that members which the struct does not have survive
 * decoding and encoding. The types do not show them. `dropped` are members that do not survive.
 */
export const make = <A extends object, I extends object>(
  struct: Schema.Schema<A, I> & { readonly fields: object },
  identifier: string,
  dropped: ReadonlyArray<string> = []
): Schema.Schema<A, I> => {
  const known = new Set([...Object.keys(struct.fields), ...dropped])
  return Schema.declare(
    [struct.annotations({ identifier })],
    {
      decode: (struct) => keeping(ParseResult.decodeUnknown(struct), known),
      encode: (struct) => keeping(ParseResult.encodeUnknown(struct), known)
    },
    {
      identifier,
      arbitrary: (struct) => (fc) => struct(fc),
      equivalence: (struct) => struct,
      pretty: (struct) => struct
    }
  )
}

/**
 * Returns the known members of an object, in their order, and after them those of the object that
 * are not known, in the order of their names: so equal objects are written as equal bytes.
 */
export const inOrder = <A extends object>(
  object: object,
  known: A,
  dropped: ReadonlyArray<string> = []
): A => {
  const unknown = Object.entries(object).filter(
    ([name]) => !Object.hasOwn(known, name) && !dropped.includes(name)
  )
  return unknown.length === 0 ? known : { ...known, ...sorted(unknown) }
}

/** Returns an object of members in the order of their names. */
export const sorted = <A>(
  members: ReadonlyArray<readonly [name: string, member: A]>
): Readonly<Record<string, A>> =>
  // `fromEntries` defines properties, so that a member named __proto__ stays one (T21).
  Object.fromEntries([...members].sort(([a], [b]) => (a < b ? -1 : 1)))

const keeping =
  <A extends object>(
    parse: (input: unknown, options?: ParseOptions) => Effect<A, ParseResult.ParseIssue>,
    known: ReadonlySet<string>
  ) =>
  (input: unknown, options: ParseOptions): Effect<A, ParseResult.ParseIssue> =>
    ParseResult.map(parse(input, options), (output) => {
      for (const name of Object.keys(input as object))
        if (!known.has(name)) Object.defineProperty(output, name, ownProperty(input, name))
      return output
    })

// Assigned, a member named __proto__ would become the prototype (T21).
const ownProperty = (of: unknown, name: string): PropertyDescriptor => ({
  ...Object.getOwnPropertyDescriptor(of, name),
  writable: true
})
