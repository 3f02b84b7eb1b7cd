/**
 * How a blob gets to a registry: which step follows on what became of the one before. Pure, so that
 * the whole policy is this file and its table of tests; `Upload` performs what it says.
 */
import type { ChunkBounds } from "../../internal/UploadState.js"
import { isTransient } from "../../RegistryError.js"
import { isOfSource } from "./SourceFailure.js"
import { choose, ruledOut, small } from "./UploadForms.js"
import type { Failure, Form, Habits, Outcome, Phase, Session, State } from "./Uploading.js"

export type * from "./Uploading.js"

const forms: ReadonlyArray<Form> = ["single", "put", "patch", "chunked", "direct"]

type Kind = Outcome<never>["kind"]

/** The beginning of an upload, from its first step or from the choice of a form. */
export const start = <E extends Failure>(
  options: Pick<State<E>, "strategy" | "chunkSize" | "isKept" | "hasLeft" | "content" | "habits">,
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

/** Whether an upload has failed, and may come to its end another time. */
export const isUnfinished = ({ fault, phase }: State<Failure>): boolean =>
  phase === "failed" && fault !== undefined && (isTransient(fault.error) || isOfSource(fault.error))

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

type Reaction = <E extends Failure>(state: State<E>, outcome: Outcome<E>) => State<E>

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

/** The form is chosen, if nothing was left before. By itself, a small blob goes from memory. */
const begin: Reaction = (state) => {
  if (state.hasLeft) return { ...state, hasLeft: false, phase: "resuming" }
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
  isCertain: false,
  isResumed: false,
  isClosing: false
})

/** The session of an earlier upload is used from where it is, if it can have that much. */
const goOn: Reaction = (state, outcome) => {
  if (outcome.kind !== "opened" || outcome.progress === undefined) return state
  const { bounds, progress } = outcome
  if (progress.offset > (state.content.size ?? Number.MAX_SAFE_INTEGER))
    return begin({ ...state, session: undefined }, outcome)
  const session = { ...opened(bounds, false), ...progress, isDoubtful: true, isResumed: true }
  const form = choose(state) ?? "patch"
  return {
    ...state,
    form,
    session,
    phase: isComplete(session) ? "closing" : "appending",
    resumesAt: progress.offset
  }
}

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
        session: { ...state.session, acknowledged: state.session.offset, isCertain: true }
      }

/** Whether the whole was sent: the response may be all that is missing. */
const isSent = ({ content, session }: State<Failure>): boolean =>
  content.hasDigest && session?.verified === true && session.held === undefined

const settleAppended: Reaction = (state, outcome) =>
  isSent(state) ? { ...state, phase: "lookingForAppended" } : locate(state, outcome)

/** A session is gone once it has become a blob, too. */
const settleForgotten: Reaction = (state, outcome) =>
  isSent(state) ? { ...state, phase: "lookingForForgotten" } : restart(state, outcome)

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
  const resumed = { ...session, offset, isDoubtful: true, isCertain: false }
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

/** What an earlier upload left may be other content, or nothing to go on with. */
const giveUpAppending: Reaction = (state, outcome) =>
  state.session?.isResumed === true && state.fault !== undefined && !isOfSource(state.fault.error)
    ? restart(state, outcome)
    : fail(state, outcome)

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
  resuming: { opened: goOn, failed: begin },
  opening: { opened: open, temporary: again },
  appending: {
    stored: done,
    appended: proceed,
    refused: refuse,
    page: to("identifying"),
    misplaced: settleAppended,
    unknown: settleAppended,
    temporary: settleAppended,
    failed: giveUpAppending
  },
  lookingForAppended: { present: done, absent: locate },
  locating: { located: resume, silent: settleForgotten },
  lookingForForgotten: { present: done, absent: restart },
  doubting: { located: resolve, silent: restartLater },
  identifying: { located: refuse, silent: restartLater },
  closing: {
    stored: done,
    unknown: settleClosed,
    temporary: settleClosed,
    exhausted: giveUpClosing,
    failed: giveUpAppending
  },
  lookingForClosed: { present: done, absent: closeAgain },
  done: {},
  failed: {}
}
