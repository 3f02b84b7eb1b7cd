/**
 * The scopes of token authentication, `type:name:action,action`, as a small set algebra. Strings
 * that are not of this form are legal too (Gitea's `*`) and pass through untouched.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * One scope: `actions` on the resource `name` of a `type`, or a string that only its issuer
 * understands. `actions` are distinct and sorted; `*` stands alone, since it includes every other
 * action.
 *
 * @since 0.1.0
 * @category models
 */
export type Scope = Data.TaggedEnum<{
  Resource: {
    readonly type: string
    readonly name: string
    readonly actions: ReadonlyArray<string>
  }
  Opaque: { readonly value: string }
}>

const { Resource, Opaque } = Data.taggedEnum<Scope>()

/**
 * Reads one scope, as [Docker's token
 * specification](https://distribution.github.io/distribution/spec/auth/scope/) writes it. The type
 * ends at the first colon and the actions begin after the last, since a name may hold a
 * `host:port`; the deprecated class in `repository(plugin):…` is ignored. Never fails: what does
 * not fit is opaque.
 *
 * @example
 * ```ts
 * import * as AccessScope from "effect-oci/AccessScope"
 *
 * AccessScope.parse("repository:localhost:5000/app:push,pull")
 * // Resource { type: "repository", name: "localhost:5000/app", actions: ["pull", "push"] }
 * ```
 *
 * @since 0.1.0
 * @category parsing
 */
export const parse = (scope: string): Scope => {
  const first = scope.indexOf(":")
  const last = scope.lastIndexOf(":")
  const actions = normalised(scope.slice(last + 1).split(","))
  if (first < 1 || last < first + 2 || actions.length === 0) return Opaque({ value: scope })
  const type = scope.slice(0, first)
  const classAt = type.endsWith(")") ? type.indexOf("(") : -1
  return Resource({
    type: classAt > 0 ? type.slice(0, classAt) : type,
    name: scope.slice(first + 1, last),
    actions
  })
}

/**
 * Returns the scopes to ask a token server for: those of the `challenge` first, because some
 * servers look at the first one only, then what else is `required`. Actions on the same resource
 * are united, so that each resource appears once.
 *
 * @since 0.1.0
 * @category combinators
 */
export const combine = (
  challenge: Iterable<string>,
  required: Iterable<string>
): ReadonlyArray<string> => Array.from(merge([...challenge, ...required]).values(), format)

/**
 * Returns the same scopes in one fixed form, fit for a cache key: each resource once, with its
 * actions united and sorted, `*` absorbing the others, and the scopes sorted.
 *
 * @since 0.1.0
 * @category combinators
 */
export const canonical = (scopes: Iterable<string>): ReadonlyArray<string> =>
  [...combine(scopes, [])].sort()

/**
 * Returns whether the `granted` scopes allow everything that is `required`. An opaque scope is only
 * granted by itself.
 *
 * @since 0.1.0
 * @category combinators
 */
export const contains = (granted: Iterable<string>, required: Iterable<string>): boolean =>
  covers(merge(granted), merge(required))

/**
 * Scopes taken apart: each resource once, with its actions united, by a key of its own.
 *
 * @since 0.1.0
 * @category models
 * @internal
 */
export type Merged = ReadonlyMap<string, Scope>

/**
 * Returns what `contains` does, of scopes that were merged before, for comparisons with many.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const covers = (granted: Merged, required: Merged): boolean => {
  for (const [key, scope] of required) {
    const match = granted.get(key)
    if (
      match === undefined ||
      !actionsOf(scope).every((action) => includesAction(actionsOf(match), action))
    )
      return false
  }
  return true
}

const normalised = (actions: Iterable<string>): ReadonlyArray<string> => {
  const distinct = new Set(actions)
  distinct.delete("")
  return distinct.has("*") ? ["*"] : [...distinct].sort()
}

/**
 * Takes scopes apart.
 *
 * @since 0.1.0
 * @category constructors
 * @internal
 */
export const merge = (scopes: Iterable<string>): Merged => {
  const merged = new Map<string, Scope>()
  for (const text of scopes) {
    if (text === "") continue
    const scope = parse(text)
    const key =
      scope._tag === "Resource" ? `resource ${scope.type}:${scope.name}` : `opaque ${scope.value}`
    const known = merged.get(key)
    merged.set(
      key,
      scope._tag === "Resource" && known !== undefined
        ? Resource({ ...scope, actions: normalised([...actionsOf(known), ...scope.actions]) })
        : scope
    )
  }
  return merged
}

const actionsOf = (scope: Scope): ReadonlyArray<string> =>
  scope._tag === "Resource" ? scope.actions : []

const includesAction = (actions: ReadonlyArray<string>, action: string): boolean =>
  actions.includes(action) || actions.includes("*")

const format = (scope: Scope): string =>
  scope._tag === "Resource" ? `${scope.type}:${scope.name}:${scope.actions.join(",")}` : scope.value
