/**
 * Who may pull, push and delete what: rules as data, and what they grant of the scopes that a
 * request needs or a token is asked for.
 */
import * as AccessScope from "../../protocol/AccessScope.js"

/**
 * Grants actions on repositories. Rules only ever add to each other, so their order does not matter
 * and what no rule grants is refused.
 *
 * @since 0.1.0
 * @category models
 */
export interface Rule {
  /**
   * Whom it is for: `anyone`, who need not log in; `users`, whoever logs in; or the users of these
   * names.
   */
  readonly who: "anyone" | "users" | ReadonlyArray<string>
  /**
   * The repositories, by name or pattern. In a pattern, `*` stands for any characters but `/`, `**`
   * for any characters, and `{user}` for the name of the user, so that `{user}/**` is each user's
   * own.
   */
  readonly repositories: string | ReadonlyArray<string>
  /**
   * What they may do there. As in Docker's scopes, an upload needs `pull` and `push`, and a delete
   * `pull` and `delete`. Lists of tags and referrers need `pull`.
   */
  readonly actions: ReadonlyArray<Action>
}

/**
 * What can be done in a repository.
 *
 * @since 0.1.0
 * @category models
 */
export type Action = "pull" | "push" | "delete"

/** Somebody, by the name that was logged in with, or nobody. */
export type User = string | undefined

/**
 * What a token grants on one resource: a `repository`, or the `registry` called `catalog`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Granted {
  readonly type: string
  readonly name: string
  readonly actions: ReadonlyArray<string>
}

/**
 * Rules, compiled.
 *
 * - `isOpen` says whether somebody who has not logged in may do anything.
 * - `allows` says whether a user may do this in a repository.
 * - `pullsAll` says whether one rule lets a user pull from every repository.
 * - `grant` returns what of the scopes a user may have, in their order: of each the actions that
 *   are allowed, and `*` for all of them; an unknown action or type is not granted. The catalog is
 *   for those who have logged in.
 */
export interface Rules {
  readonly isOpen: boolean
  readonly allows: (user: User, repository: string, action: Action) => boolean
  readonly pullsAll: (user: User) => boolean
  readonly grant: (user: User, scopes: Iterable<string>) => ReadonlyArray<Granted>
}

/** What decides who may do what. By default, whoever logs in may do everything. */
export interface Options {
  readonly rules?: ReadonlyArray<Rule> | undefined
  readonly anonymous?: "pull" | "none" | undefined
}

const actions: ReadonlyArray<Action> = ["delete", "pull", "push"]

/**
 * Compiles rules. A catalog is `filtered` if it lists to each user what that one may pull; one that
 * is `whole` is only for users who may pull everything.
 */
export const make = (
  { anonymous, rules }: Options,
  catalog: "filtered" | "whole" = "filtered"
): Rules => {
  const compiled: ReadonlyArray<Compiled> = [
    ...(rules ?? [{ who: "users", repositories: "**", actions }]),
    ...(anonymous === "pull" ? [pullEverything] : [])
  ].map(({ actions, repositories, who }) => ({
    isOpen: who === "anyone",
    isFor: (user) =>
      who === "anyone" || (user !== undefined && (who === "users" || who.includes(user))),
    actions,
    patterns: (typeof repositories === "string" ? [repositories] : repositories).map(patternOf)
  }))
  const rulesOf = (user: User) => compiled.filter((rule) => rule.isFor(user))
  const allowed = (user: User, repository: string): ReadonlySet<string> =>
    new Set(
      rulesOf(user)
        .filter(({ patterns }) => patterns.some((pattern) => matches(pattern, user, repository)))
        .flatMap(({ actions }) => actions)
    )
  const pullsAll = (user: User) =>
    rulesOf(user).some(
      ({ actions, patterns }) => actions.includes("pull") && patterns.some(isEverything)
    )
  const mayList = (user: User) => user !== undefined && (catalog === "filtered" || pullsAll(user))
  const granted = (user: User, scope: string): ReadonlyArray<Granted> => {
    const parsed = AccessScope.parse(scope)
    if (parsed._tag === "Opaque") return []
    const { name, type } = parsed
    const isAll = parsed.actions[0] === "*"
    if (type === "registry" && name === "catalog")
      return isAll && mayList(user) ? [{ type, name, actions: ["*"] }] : []
    if (type !== "repository" || name.length > longestName) return []
    const may = allowed(user, name)
    const given = (isAll ? actions : parsed.actions).filter((action) => may.has(action))
    if (given.length === 0) return []
    return [{ type, name, actions: isAll && given.length === actions.length ? ["*"] : given }]
  }
  return {
    isOpen: compiled.some(({ isOpen }) => isOpen),
    allows: (user, repository, action) => allowed(user, repository).has(action),
    pullsAll,
    grant: (user, scopes) =>
      AccessScope.combine(scopes, []).flatMap((scope) => granted(user, scope))
  }
}

/** No repository has a longer name, with a host before it (C11). */
const longestName = 255

const pullEverything: Rule = { who: "anyone", repositories: "**", actions: ["pull"] }

interface Compiled {
  readonly isOpen: boolean
  readonly isFor: (user: User) => boolean
  readonly actions: ReadonlyArray<string>
  readonly patterns: ReadonlyArray<Pattern>
}

/** Returns what was granted as scopes. */
export const toScopes = (granted: Iterable<Granted>): ReadonlyArray<string> =>
  Array.from(granted, ({ actions, name, type }) => `${type}:${name}:${actions.join(",")}`)

// -----------------------------------------------------------------------------
// Patterns
// -----------------------------------------------------------------------------

/** Texts, and what stands for others. */
type Pattern = ReadonlyArray<string>

const any = "**"
const anyButSlash = "*"
const placeholder = "{user}"

const patternOf = (text: string): Pattern => text.split(/(\*\*|\*|\{user\})/).filter(Boolean)

const isEverything = ([first, ...rest]: Pattern): boolean => first === any && rest.length === 0

/**
 * Whether a pattern matches the whole name: the positions that it has reached after each of its
 * parts, which is linear in either of them.
 */
const matches = (pattern: Pattern, user: User, name: string): boolean => {
  let reached = new Set([0])
  for (const part of pattern) {
    const next = new Set<number>()
    if (part === any || part === anyButSlash) {
      let isReached = false
      for (let at = 0; at <= name.length; at++) {
        isReached = (isReached && (part === any || name[at - 1] !== "/")) || reached.has(at)
        if (isReached) next.add(at)
      }
    } else {
      // The name of a user stands for itself, whatever characters it has.
      const text = part === placeholder ? user : part
      if (text === undefined) return false
      for (const at of reached) if (name.startsWith(text, at)) next.add(at + text.length)
    }
    reached = next
  }
  return reached.has(name.length)
}
