/** Values that are compared by what they say, and shown as people write them. */
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Predicate from "effect/Predicate"

/** How the values of a type are compared and shown. */
export interface Behaviour<A> {
  /** Tells the values of this type from all others. */
  readonly id: symbol
  /** The same text for equal values, and for no others. */
  readonly key: (self: A) => string
  /** What people write. */
  readonly text: (self: A) => string
  /** What stands in a JSON document. */
  readonly json: (self: A) => unknown
}

/** Makes the function that makes values of plain objects, whose own properties they have. */
export const maker = <A extends object>({ id, json, key, text }: Behaviour<A>): ((of: A) => A) => {
  const isValue = (u: unknown): u is A => Predicate.hasProperty(u, id)
  const prototype = {
    [id]: id,
    [Equal.symbol](this: A, that: unknown): boolean {
      return isValue(that) && key(this) === key(that)
    },
    [Hash.symbol](this: A): number {
      return Hash.string(key(this))
    },
    toString(this: A): string {
      return text(this)
    },
    toJSON(this: A): unknown {
      return json(this)
    },
    [NodeInspectSymbol](this: A): string {
      return text(this)
    }
  }
  // Assigned, a property named __proto__ would replace the prototype (T21).
  return (of) =>
    Object.hasOwn(of, "__proto__")
      ? Object.create(prototype, Object.getOwnPropertyDescriptors(of))
      : Object.assign(Object.create(prototype), of)
}
