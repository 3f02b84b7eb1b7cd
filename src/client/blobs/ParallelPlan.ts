/**
 * How many connections the download of a large blob uses: pure, so that the whole rule is this file
 * and its table of tests. `ParallelDownload` does what it says.
 *
 * A download begins with one connection. Once its throughput was measured another one is added, and
 * stays only if it raised the throughput by a third of what it would bring if it were as fast as
 * those before. One that does not, measured twice, is given up, and none is added for a while after
 * it.
 */

import * as Context from "effect/Context"

/** The figures of the rule. Sizes are in bytes, times in milliseconds. */
export interface Figures {
  /** What one request asks for, and what waits in memory as a whole. */
  readonly segment: number
  /** The least time over which throughput is measured. */
  readonly window: number
  /**
   * How far ahead of the first connection the second one begins, in time: as long as its response
   * may take.
   */
  readonly lead: number
  /** How long the first bytes of a connection that was just added are waited for. */
  readonly patience: number
  /** The least part of its proportional share that an added connection must bring. */
  readonly worth: number
  /** How long the rest of a download has to take for a second connection to be added. */
  readonly least: number
  /** How long none is added after one that did not pay, and after the next one twice as long. */
  readonly rest: number
}

/** The figures in use, which only tests change, to do with small blobs. */
export class Tuning extends Context.Reference<Tuning>()("effect-oci/client/ParallelPlan/Tuning", {
  defaultValue: (): Figures => ({
    segment: 8 * 1024 * 1024,
    window: 100,
    lead: 250,
    patience: 2000,
    worth: 1 / 3,
    least: 3000,
    rest: 5000
  })
}) {}

/** Where a download was at a time: `at` is the byte that comes next. */
export interface Moment {
  readonly at: number
  readonly time: number
}

/** How many connections are wanted, and what is known of their worth. */
export interface State {
  readonly tuning: Figures
  readonly most: number
  readonly connections: number
  /** Whether that stays so, for the time `rest`. */
  readonly settled: boolean
  readonly rest: number
  /** Since when the throughput of this number of connections is measured, or the number settled. */
  readonly since: Moment | undefined
  /** The throughput before the last one was added, in bytes per millisecond. */
  readonly before: number
  /** Whether the last one was found not to pay once, as may be by chance. */
  readonly doubtful: boolean
  /** `lead` of this download. */
  readonly lead: number
}

/** The state of a download that begins. */
export const begin = (most: number, tuning: Figures): State => ({
  tuning,
  most,
  connections: 1,
  settled: most <= 1,
  rest: most <= 1 ? Number.POSITIVE_INFINITY : tuning.rest,
  since: undefined,
  before: 0,
  doubtful: false,
  lead: tuning.lead
})

/**
 * What follows at a moment when the consumer waits for bytes: at others the registry is not what
 * holds the download up, and more connections would not help. `isWarm`: whether all of the
 * connections have had the time to get going.
 */
export const measured = (state: State, now: Moment, isWarm: boolean): State => {
  const { before, connections, since, tuning } = state
  if (since === undefined) return isWarm || state.settled ? { ...state, since: now } : state
  if (state.settled)
    return now.time - since.time < state.rest
      ? state
      : { ...state, settled: false, rest: 2 * state.rest, since: now, before: 0, doubtful: false }
  const size = now.at - since.at
  const time = now.time - since.time
  const isLong = size >= connections * tuning.segment && time >= tuning.window
  if (!isLong || time <= 0) return state
  const rate = size / time
  if (connections > 1 && rate < before * (1 + tuning.worth / (connections - 1)))
    return state.doubtful
      ? { ...refused(state), rest: state.rest }
      : { ...state, doubtful: true, since: now }
  return connections === state.most
    ? { ...state, settled: true, rest: Number.POSITIVE_INFINITY }
    : { ...state, connections: connections + 1, since: undefined, before: rate, doubtful: false }
}

/** What follows when a connection failed: one fewer, and no more are added. */
export const refused = (state: State): State => ({
  ...state,
  connections: Math.max(1, state.connections - 1),
  settled: true,
  rest: Number.POSITIVE_INFINITY,
  since: undefined
})

/** What follows when the registry does not do what this takes. */
export const ended = (state: State): State => refused({ ...state, connections: 1 })

/** What follows when others need the connection: one fewer, until it is tried again. */
export const declined = (state: State): State => ({
  ...state,
  connections: Math.max(1, state.connections - 1),
  settled: state.settled && state.connections < state.most,
  since: undefined,
  before: 0
})

/**
 * What follows when the first response on the second connection came after the first connection
 * had got there: it is tried again further ahead, up to eight times the lead.
 */
export const late = (state: State): State =>
  state.lead >= 8 * state.tuning.lead ? ended(state) : { ...declined(state), lead: 2 * state.lead }

/**
 * Where the second connection begins while the first is at byte `at`; nowhere when what is left
 * until byte `end` is not worth it.
 */
export const ahead = ({ before, lead, tuning }: State, at: number, end: number) => {
  const start = at + Math.max(tuning.segment, Math.ceil(before * lead))
  return end - start < Math.max(2 * tuning.segment, before * tuning.least) ? undefined : start
}

/** Whether a blob of `size` bytes is large enough to begin with. */
export const isLarge = (size: number, { segment }: Figures): boolean => size >= 4 * segment
