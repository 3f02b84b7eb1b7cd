/**
 * How a list in pages goes on: which request follows on what a page was, or on the failure to get
 * it. A pure table, since registries end their lists in many ways, and a list must never end early
 * without an error.
 */

/**
 * What is known of a list, which says what its next request is.
 *
 * - `start`: nothing yet. The first page is asked for, in the size that the caller wants.
 * - `unsized`: the page size was refused. The first page is asked for without one.
 * - `linked`: its pages have links. The page that the last link leads to is asked for.
 * - `restarted`: a link led nowhere, since the item to go on after was deleted meanwhile (zot). The
 *   list is read once more from its start.
 * - `guessed`: a page was as long as was asked for and had no link (Nexus). What comes after its
 *   last item is asked for, and whether the registry understands that is not known.
 * - `continued`: the same, and the registry does understand it.
 * - `confirming`: it seems to understand that, and has nothing more. The list is asked for once
 *   without a page size.
 * - `whole`: it does not understand that. The list is asked for once without a page size.
 */
export type Phase =
  | "start"
  | "unsized"
  | "linked"
  | "restarted"
  | "guessed"
  | "continued"
  | "confirming"
  | "whole"

/**
 * What a page is.
 *
 * - `link`: it has a link to the next.
 * - `last`: it says that it is the last, by a link to the start of the list (Cloudflare).
 * - `full`, `repeated`: it has no link and is as long as was asked for, with something new or
 *   nothing.
 * - `rest`, `nothing`: it has no link and another length, with something new or nothing.
 * - `fewer`: it has no link, should be the whole list, and has fewer entries than are known.
 */
export type PageKind = "link" | "last" | "full" | "repeated" | "rest" | "nothing" | "fewer"

/**
 * What a failure is: `missing` is a 404, `refused` another status that says that this is not a
 * request for the registry.
 */
export type FailureKind = "missing" | "refused"

/**
 * Why what came of a list may not be all of it.
 *
 * - `partial`: it breaks off, whatever the failure would say of a list that does not exist.
 * - `unlinked`: there may be more than what came, and there is no way to ask for it.
 * - `stuck`: its links go on, and bring nothing new.
 */
export type Incomplete = "partial" | "unlinked" | "stuck"

/** What happens after a page; `end` is that of a complete list. */
export type AfterPage = Phase | "end" | Incomplete

/** What happens after a failure; `fail` makes it that of the list. */
export type AfterFailure = Phase | "fail" | Incomplete

/** Of a list that once had a link, a page without one is the last. */
export const transitions: Readonly<
  Record<Phase, Readonly<Record<PageKind, AfterPage>> & Readonly<Record<FailureKind, AfterFailure>>>
> = {
  start: {
    link: "linked",
    last: "end",
    full: "guessed",
    repeated: "whole",
    rest: "end",
    nothing: "end",
    fewer: "end",
    missing: "fail",
    refused: "unsized"
  },
  unsized: {
    link: "linked",
    last: "end",
    full: "end",
    repeated: "end",
    rest: "end",
    nothing: "end",
    fewer: "end",
    missing: "fail",
    refused: "fail"
  },
  linked: {
    link: "linked",
    last: "end",
    full: "end",
    repeated: "end",
    rest: "end",
    nothing: "end",
    fewer: "end",
    missing: "restarted",
    refused: "partial"
  },
  restarted: {
    link: "restarted",
    last: "end",
    full: "end",
    repeated: "end",
    rest: "end",
    nothing: "end",
    fewer: "end",
    missing: "partial",
    refused: "partial"
  },
  guessed: {
    link: "linked",
    last: "end",
    full: "continued",
    repeated: "whole",
    rest: "end",
    nothing: "confirming",
    fewer: "confirming",
    missing: "whole",
    refused: "whole"
  },
  continued: {
    link: "linked",
    last: "end",
    full: "continued",
    repeated: "whole",
    rest: "end",
    nothing: "end",
    fewer: "end",
    missing: "whole",
    refused: "whole"
  },
  confirming: {
    link: "linked",
    last: "end",
    full: "unlinked",
    repeated: "end",
    rest: "end",
    nothing: "end",
    fewer: "unlinked",
    missing: "unlinked",
    refused: "unlinked"
  },
  whole: {
    link: "linked",
    last: "end",
    full: "unlinked",
    repeated: "unlinked",
    rest: "end",
    nothing: "end",
    fewer: "unlinked",
    missing: "unlinked",
    refused: "unlinked"
  }
}

/** Whether the list goes on. */
export const isPhase = (next: AfterPage | AfterFailure): next is Phase =>
  Object.hasOwn(transitions, next)

/**
 * Where a list is. `size` is the page size that its requests have, none where the caller wants none
 * or the registry refused it. `replay` is how many items are still to come for the second time,
 * after a restart; `stale` and `empty` count the pages since the last progress.
 */
export interface State {
  readonly phase: Phase
  readonly size: number | undefined
  readonly replay: number
  readonly stale: number
  readonly empty: number
}

/** The state of a list of which nothing was asked for. */
export const initial = (size: number | undefined): State => ({
  phase: "start",
  size,
  replay: 0,
  stale: 0,
  empty: 0
})

/**
 * A page: where its link leads, how many entries it has, how many of them are items and how many of
 * these are new, and how many items are known with them.
 */
export interface Page {
  readonly link: "Next" | "Start" | "None"
  readonly entries: number
  readonly items: number
  readonly fresh: number
  readonly known: number
}

/** What happens, and where the list is then. */
export interface Step<Next> {
  readonly next: Next
  readonly state: State
}

/** So many pages in a row may have items and none that is new. */
const maxStale = 1

/** So many pages in a row may have no items: empty pages with a link are legal (C85). */
const maxEmpty = 99

/** How a list goes on after a page. */
export const afterPage = (before: State, page: Page): Step<AfterPage> => {
  const state = progressed(before, page)
  return page.link === "Next" && (state.stale > maxStale || state.empty > maxEmpty)
    ? { next: "stuck", state }
    : enter(state, transitions[state.phase][kindOf(state, page)], page.known)
}

/** How a list goes on after a failure that says so, with so many items known. */
export const afterFailure = (
  state: State,
  kind: FailureKind,
  known: number
): Step<AfterFailure> => {
  const next = transitions[state.phase][kind]
  if (next === "unsized")
    return state.size === undefined
      ? { next: "fail", state }
      : enter({ ...state, size: undefined }, next, known)
  return enter(state, next, known)
}

const enter = <Next extends AfterPage | AfterFailure>(
  state: State,
  next: Next,
  known: number
): Step<Next> => {
  if (!isPhase(next)) return { next, state }
  const isAgain = isWhole(next) || (next === "restarted" && state.phase !== "restarted")
  return {
    next,
    state: {
      ...state,
      phase: next,
      // What goes on after a request for the whole list has no page size either.
      size: isWhole(state.phase) ? undefined : state.size,
      ...(isAgain && { replay: known, stale: 0, empty: 0 })
    }
  }
}

/** Whether a phase asks for the whole list; its page is compared with `size` all the same. */
const isWhole = (phase: Phase): boolean => phase === "confirming" || phase === "whole"

const kindOf = (state: State, page: Page): PageKind => {
  if (page.link === "Next") return "link"
  if (page.link === "Start") return "last"
  if (page.entries === state.size && page.entries > 0) return page.fresh > 0 ? "full" : "repeated"
  if (isWhole(state.phase) && page.entries < page.known) return "fewer"
  return page.fresh > 0 ? "rest" : "nothing"
}

/** Progress is a new item or, after a restart, one that was known before it. */
const progressed = (state: State, { fresh, items }: Page): State => {
  const replay = Math.max(0, state.replay - items)
  if (fresh > 0 || (items > 0 && state.replay > 0)) return { ...state, replay, stale: 0, empty: 0 }
  return items > 0
    ? { ...state, replay, stale: state.stale + 1 }
    : { ...state, replay, empty: state.empty + 1 }
}
