/** The scopes that a token is asked for. */
import * as AccessScope from "../../protocol/AccessScope.js"

/** Whether scopes are for pulling and nothing else. */
export const arePulls = (scopes: ReadonlyArray<string>): boolean =>
  scopes.length > 0 &&
  scopes.map(AccessScope.parse).every((scope) => {
    return scope._tag === "Resource" && scope.actions.every((action) => action === "pull")
  })

/** Whether one of the scopes is for deleting. */
export const includeDelete = (scopes: ReadonlyArray<string>): boolean =>
  scopes
    .map(AccessScope.parse)
    .some((scope) => scope._tag === "Resource" && scope.actions.includes("delete"))

/** Widens a scope to every action. */
export const withEveryAction = (text: string): string => {
  const scope = AccessScope.parse(text)
  return scope._tag === "Resource" ? `${scope.type}:${scope.name}:*` : text
}

/**
 * The scopes to ask for where a token server refuses all that are `wanted`: those of the challenge
 * alone, since some refuse a union instead of granting less; for a deletion every action, which
 * Quay and GitLab know instead of `delete`. Undefined where these are the same.
 */
export const alternative = (
  wanted: ReadonlyArray<string>,
  ofChallenge: ReadonlyArray<string>,
  required: ReadonlyArray<string>
): ReadonlyArray<string> | undefined => {
  const instead = includeDelete(required) ? required.map(withEveryAction) : ofChallenge
  return instead.length === 0 ||
    isSame(AccessScope.canonical(instead), AccessScope.canonical(wanted))
    ? undefined
    : instead
}

const isSame = (first: ReadonlyArray<string>, second: ReadonlyArray<string>): boolean =>
  first.length === second.length && first.every((scope, index) => scope === second[index])
