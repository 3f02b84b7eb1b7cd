/**
 * How a blob gets to a registry: which step follows on what became of the one before. Pure, so that
 * the whole policy is this file and its table of tests; `Upload` performs what it says.
 */
import type { ChunkBounds } from "../../internal/UploadState.js"
import type { UploadStrategy } from "../../Registry.js"
import { isTransient } from "../../RegistryError.js"

/** A form of upload by name. */
export type Form = Exclude<UploadStrategy, "auto">

const forms: ReadonlyArray<Form> = ["single", "put", "patch", "chunked", "direct"]

/**
 * What is under way.
 *
 * - `mounting`: the registry is asked to mount the blob.
 * - `finding`: it is asked whether it has the blob.
 * - `gathering`: a small blob is read into memory, from where it can be sent as often as need be.
 * - `measuring`: the source is read for its digest and size, which the form needs.
 * - `sending`: the blob goes in one request, without a session.
 * - `lookingForSent`: that failed, though all was sent. It may have arrived.
 * - `opening`: a session is opened.
 * - `appending`: the next piece goes to the session (`pieceOf`).
 * - `lookingForAppended`: that failed, though all was sent. It may have arrived.
 * - `locating`: that failed, and the session is asked how far it is.
 * - `doubting`: the same, since the registry refuses the very range that comes next.
 * - `identifying`: there was a page instead of a response. Some have it for a method that they do
 *   not know, others for a session that is gone: it is asked whether it is there.
 * - `closing`: the session is closed with the digest.
 * - `lookingForClosed`: that failed. It may have been closed.
 */
export type Phase =
  | "mounting"
  | "finding"
  | "gathering"
  | "measuring"
  | "sending"
  | "lookingForSent"
  | "opening"
  | "appending"
  | "lookingForAppended"
  | "locating"
  | "doubting"
  | "identifying"
  | "closing"
  | "lookingForClosed"
  | "done"
  | "failed"

/**
 * What became of a step.
 *
 * - `stored`: the registry has the blob now. `present`, `absent`: it has, or has not.
 * - `opened`: there is a session, asked for or in place of something else.
 * - `measured`: digest and size are known. `appended`: the session has got the piece.
 * - `located`: it says how far it is. `silent`: it does not.
 * - `refused`: the registry does not take this form. `page`: it seems not to.
 * - `misplaced`: it takes no bytes at this place. `unknown`: it does not know the session.
 * - `temporary`: trying again may help. `exhausted`: no more trying.
 * - `failed`: anything else.
 */
export type Outcome<E> =
  | { readonly kind: "stored" | "present" | "absent" | "silent" | "exhausted" }
  | { readonly kind: "measured"; readonly size: number }
  | { readonly kind: "opened"; readonly bounds: ChunkBounds; readonly error?: E }
  | { readonly kind: "located"; readonly offset: number }
  | { readonly kind: "appended"; readonly progress: Progress }
  | { readonly kind: FailureKind; readonly error: E; readonly progress?: Progress | undefined }

/** How a step fails. */
export type FailureKind = "refused" | "page" | "misplaced" | "unknown" | "temporary" | "failed"

type Kind = Outcome<never>["kind"]

/**
 * How far the content is. The session is at `offset`; `seen` bytes of the source were read, and its
 * end, if they are `verified`. Where a piece comes from memory, the bytes of that piece alone can
 * be sent again (`held`).
 */
export interface Progress {
  readonly offset: number
  readonly seen: number
  readonly verified: boolean
  readonly held?: { readonly from: number; readonly to: number } | undefined
}

/** What is known of the content. `size` is in bytes; `inMemory`: it is all in one array. */
export interface Content {
  readonly size: number | undefined
  readonly hasDigest: boolean
  readonly replayable: boolean
  readonly inMemory: boolean
}

/**
 * What is known of a registry, from all uploads to it: the size from which on it refuses a form, in
 * bytes, and whether the length of a stream gets to it.
 */
export interface Habits {
  readonly refusedFrom: Readonly<Partial<Record<Form, number>>>
  readonly sendsLength: boolean
}

/**
 * A session as the plan sees it: what it has got of the content, and how far pieces before the last
 * were taken for sure (`acknowledged`). `isAdopted`: it was opened in place of something else.
 */
export interface Session extends Progress {
  readonly bounds: ChunkBounds
  readonly acknowledged: number
  readonly isAdopted: boolean
  /** A step of it failed before, so that it may have more than it seems to. */
  readonly isDoubtful: boolean
  readonly isClosing: boolean
}

/** Where an upload is. */
export interface State<E> {
  readonly phase: Phase
  readonly strategy: UploadStrategy
  readonly chunkSize: number | undefined
  readonly content: Content
  readonly habits: Habits
  readonly form: Form | undefined
  /** Forms that are not tried again. */
  readonly tried: ReadonlyArray<Form>
  readonly session: Session | undefined
  /** What went wrong last, and how far the upload was then. */
  readonly fault:
    | { readonly kind: FailureKind; readonly error: E; readonly offset: number }
    | undefined
  /** The step waits for a time first, which grows with each fault in a row. */
  readonly waits: boolean
  /** The byte from which on content is sent again by the step, if it is. */
  readonly resumesAt: number | undefined
}

/** The beginning of an upload, from its first step or from the choice of a form. */
export const start = <E extends Failure>(
  options: Pick<State<E>, "strategy" | "chunkSize" | "content" | "habits">,
  first: "mounting" | "finding" | undefined
): State<E> => {
  const state: State<E> = {
    ...options,
    phase: first ?? "finding",
    form: undefined,
    tried: [],
    session: undefined,
    fault: undefined,
    waits: false,
    resumesAt: undefined
  }
  return first === undefined ? begin(state, { kind: "absent" }) : state
}

/** The state after a step. What the table does not name is a failure. */
export const next = <E extends Failure>(state: State<E>, outcome: Outcome<E>): State<E> => {
  const progress = "progress" in outcome ? outcome.progress : undefined
  const session =
    state.session && progress ? { ...state.session, held: undefined, ...progress } : state.session
  const fault =
    "error" in outcome && outcome.error !== undefined
      ? {
          kind: outcome.kind === "opened" ? ("refused" as const) : outcome.kind,
          error: outcome.error,
          offset: session?.offset ?? 0
        }
      : state.fault
  const told = { ...state, session, fault, waits: false, resumesAt: undefined }
  const reaction: Reaction = transitions[state.phase][outcome.kind] ?? fail
  return reaction(told, outcome)
}

/** Whether nothing follows. */
export const isOver = ({ phase }: State<Failure>): boolean => phase === "done" || phase === "failed"

/** What is known of a registry, after one more upload. */
export const learned = (known: Habits, seen: Habits): Habits => {
  const refusedFrom = { ...known.refusedFrom }
  for (const form of forms) {
    const from = Math.min(
      known.refusedFrom[form] ?? Number.POSITIVE_INFINITY,
      seen.refusedFrom[form] ?? Number.POSITIVE_INFINITY
    )
    if (from < Number.POSITIVE_INFINITY) refusedFrom[form] = from
  }
  return { refusedFrom, sendsLength: known.sendsLength && seen.sendsLength }
}

/** An error as far as the plan looks into it. */
export interface Failure {
  readonly _tag: string
  readonly status?: number | undefined
}

type Reaction = <E extends Failure>(state: State<E>, outcome: Outcome<E>) => State<E>

// -----------------------------------------------------------------------------
// Which form
// -----------------------------------------------------------------------------

/**
 * Up to here, in bytes, a blob goes into the first request whole: no more may leave before anything
 * was authorized.
 */
export const small = 64 * 1024

const candidates = ({ content, session }: State<Failure>): ReadonlyArray<Form> => {
  const { hasDigest, size } = content
  const isSmall = size !== undefined && size > 0 && size <= small && session === undefined
  const isKnown = size === 0 || (hasDigest && size !== undefined)
  return [
    ...(isSmall ? (["single"] as const) : []),
    ...(isKnown ? (["put", "patch", "chunked"] as const) : (["patch", "chunked", "put"] as const))
  ]
}

/** The form asked for by name, or the cheapest that was not refused. */
const choose = (state: State<Failure>): Form | undefined => {
  const { content, habits, strategy, tried } = state
  if (strategy !== "auto") return tried.includes(strategy) ? undefined : strategy
  const size = content.size ?? Number.MAX_SAFE_INTEGER
  return candidates(state).find(
    (form) => !tried.includes(form) && size < (habits.refusedFrom[form] ?? Number.POSITIVE_INFINITY)
  )
}

/**
 * The forms that a refusal rules out, and from which size on they are not tried for other blobs
 * either. Who takes no PATCH takes none of either kind; who finds one too large (416, GHCR) is
 * better sent the whole by PUT, as is who fails to close after one (quirks §3). What is too large
 * is refused from that size on; a failure may have been temporary.
 */
const ruledOut = (
  form: Form,
  error: Failure,
  size: number
): { readonly forms: ReadonlyArray<Form>; readonly from: number | undefined } => {
  const isTemporary = isTransient(error)
  const isPatch = form === "patch" || form === "chunked"
  return {
    forms:
      isPatch && (isTemporary || error._tag !== "RegistryFailure") ? ["patch", "chunked"] : [form],
    from: isTemporary ? undefined : error._tag === "Unsupported" || form === "single" ? 0 : size
  }
}

// -----------------------------------------------------------------------------
// Reactions
// -----------------------------------------------------------------------------

const to =
  (phase: Phase): Reaction =>
  (state) => ({ ...state, phase })

const done = to("done")

/** The upload fails with its last fault. */
const fail = to("failed")

/** The same step once more, after a while. */
const again: Reaction = (state) => ({ ...state, waits: true })

/** The first step of a form, or the end if there is none left. */
const enter = <E extends Failure>(state: State<E>, form: Form | undefined): State<E> => {
  if (form === undefined) return fail(state, { kind: "exhausted" })
  const { hasDigest, size } = state.content
  const isWhole = form === "single" || form === "direct" || form === "put"
  if (isWhole && !(hasDigest && size !== undefined)) return { ...state, form, phase: "measuring" }
  if (form === "single" || form === "direct")
    return { ...state, form, session: undefined, phase: "sending" }
  return { ...state, form, phase: state.session === undefined ? "opening" : "appending" }
}

/** The form is chosen. By itself, a small blob goes from memory. */
const begin: Reaction = (state) => {
  const { hasDigest, inMemory, size } = state.content
  const isSmall = size !== undefined && size > 0 && size <= small
  return state.strategy === "auto" && isSmall && !(inMemory && hasDigest)
    ? { ...state, phase: "gathering" }
    : enter(state, choose(state))
}

const gathered: Reaction = (state, outcome) =>
  begin(
    {
      ...state,
      content: { ...state.content, hasDigest: true, inMemory: true, replayable: true }
    },
    outcome
  )

/** The session that was opened in place of something else is used. */
const adopt: Reaction = (state, outcome) => {
  const adopted = outcome.kind === "opened" ? opened(outcome.bounds, true) : undefined
  return begin({ ...state, session: adopted }, outcome)
}

const opened = (bounds: ChunkBounds, isAdopted: boolean): Session => ({
  bounds,
  isAdopted,
  offset: 0,
  seen: 0,
  verified: false,
  acknowledged: 0,
  isDoubtful: false,
  isClosing: false
})

const measured: Reaction = (state, outcome) =>
  outcome.kind === "measured"
    ? enter(
        { ...state, content: { ...state.content, hasDigest: true, size: outcome.size } },
        state.form
      )
    : state

/**
 * The form is ruled out, and the next one chosen, for a session of its own. Where the length was
 * missing (411), content in memory is sent with it, in the same form if that goes.
 */
const refuse: Reaction = (state, outcome) => {
  const { content, fault, form, habits } = state
  const instead = outcome.kind === "opened" ? opened(outcome.bounds, true) : undefined
  if (form === undefined || fault === undefined) return fail(state, outcome)
  if (fault.error.status === 411 && habits.sendsLength) {
    const known = { ...state, session: instead, habits: { ...habits, sendsLength: false } }
    if (form === "chunked" || content.inMemory) return enter(known, form)
    return refuse(known, outcome)
  }
  const { forms, from } = ruledOut(form, fault.error, content.size ?? 0)
  const refusedFrom = { ...habits.refusedFrom }
  if (from !== undefined)
    for (const refused of forms)
      refusedFrom[refused] = Math.min(from, refusedFrom[refused] ?? Number.POSITIVE_INFINITY)
  return begin(
    {
      ...state,
      session: instead,
      habits: { ...habits, refusedFrom },
      tried: [...state.tried, ...forms]
    },
    outcome
  )
}

/** All is done again, in a new session. */
const restart: Reaction = (state) => ({
  ...state,
  phase: "opening",
  session: undefined,
  resumesAt: 0
})

const restartLater: Reaction = (state, outcome) => again(restart(state, outcome), outcome)

/** A whole blob failed to go: it may have arrived if it was sent to its end, or is sent again. */
const settleSent: Reaction = (state, outcome) =>
  "progress" in outcome && outcome.progress?.verified === true
    ? { ...state, phase: "lookingForSent", waits: true }
    : { ...state, waits: true, resumesAt: 0 }

const sendAgain: Reaction = (state) => ({ ...state, phase: "sending", resumesAt: 0 })

const open: Reaction = (state, outcome) =>
  outcome.kind === "opened"
    ? { ...state, phase: "appending", session: opened(outcome.bounds, false) }
    : state

const isComplete = ({ offset, seen, verified }: Session): boolean => verified && offset >= seen

/** The next piece, or the end. */
const proceed: Reaction = (state) =>
  state.session === undefined
    ? state
    : {
        ...state,
        phase: isComplete(state.session) ? "closing" : "appending",
        session: { ...state.session, acknowledged: state.session.offset }
      }

/** The response may be all that is missing, if the whole was sent. */
const settleAppended: Reaction = (state, outcome) => {
  const { content, session } = state
  return content.hasDigest && session?.verified === true && session.held === undefined
    ? { ...state, phase: "lookingForAppended" }
    : locate(state, outcome)
}

const locate: Reaction = (state, outcome) => {
  switch (state.fault?.kind) {
    case "unknown":
      return restartLater(state, outcome)
    case "misplaced":
      return { ...state, phase: "doubting" }
    default:
      return { ...state, phase: "locating", waits: true }
  }
}

/** Goes on where the registry is, if that is within what can be sent again. */
const resume: Reaction = (state, outcome) => {
  const { session } = state
  if (session === undefined || outcome.kind !== "located") return state
  const { from, to } = session.held ?? { from: session.acknowledged, to: session.seen }
  // Some count bytes where others name the last one (Quay).
  const offset = outcome.offset === to + 1 ? to : outcome.offset
  if (offset < from || offset > to) return restart(state, outcome)
  const resumed = { ...session, offset, isDoubtful: true }
  return {
    ...state,
    session: resumed,
    phase: isComplete(resumed) ? "closing" : "appending",
    resumesAt: offset
  }
}

/**
 * Where the registry refuses the very byte that it names, it counts bytes where others name the
 * last one, or has one byte where it seems to have none (trap 2, trap 3); if nothing went wrong
 * before, it refuses the form.
 */
const resolve: Reaction = (state, outcome) => {
  const { session } = state
  if (session === undefined || outcome.kind !== "located") return state
  const to = session.held?.to ?? session.seen
  const offset = outcome.offset === to + 1 ? to : outcome.offset
  if (offset !== session.offset) return again(resume(state, outcome), outcome)
  return session.isDoubtful
    ? again(resume(state, { kind: "located", offset: Math.abs(offset - 1) }), outcome)
    : refuse(state, outcome)
}

/** Closing it again, the registry may have forgotten the session that it closed. */
const settleClosed: Reaction = (state, outcome) => {
  const { session } = state
  if (session === undefined) return state
  if (outcome.kind === "unknown" && !session.isClosing) return restartLater(state, outcome)
  return { ...state, phase: "lookingForClosed", session: { ...session, isClosing: true } }
}

const closeAgain: Reaction = (state, outcome) =>
  state.fault?.kind === "unknown"
    ? restartLater(state, outcome)
    : { ...state, phase: "closing", waits: true }

/** Some cannot close without content (ECR, quirks §3). */
const giveUpClosing: Reaction = (state, outcome) =>
  state.form !== "put" && state.content.replayable && state.fault?.error.status === 500
    ? refuse(state, outcome)
    : fail(state, outcome)

/** What follows on what. */
export const transitions: {
  readonly [P in Phase]: { readonly [K in Kind]?: Reaction }
} = {
  mounting: { stored: to("finding"), opened: adopt, refused: to("finding"), temporary: again },
  finding: { present: done, absent: begin },
  gathering: { measured: gathered },
  measuring: { measured },
  sending: { stored: done, opened: refuse, refused: refuse, temporary: settleSent },
  lookingForSent: { present: done, absent: sendAgain },
  opening: { opened: open, temporary: again },
  appending: {
    stored: done,
    appended: proceed,
    refused: refuse,
    page: to("identifying"),
    misplaced: settleAppended,
    unknown: settleAppended,
    temporary: settleAppended
  },
  lookingForAppended: { present: done, absent: locate },
  locating: { located: resume, silent: restart },
  doubting: { located: resolve, silent: restartLater },
  identifying: { located: refuse, silent: restartLater },
  closing: {
    stored: done,
    unknown: settleClosed,
    temporary: settleClosed,
    exhausted: giveUpClosing
  },
  lookingForClosed: { present: done, absent: closeAgain },
  done: {},
  failed: {}
}
