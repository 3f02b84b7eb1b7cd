/**
 * A lock that processes on one disk share: a folder of files with numbers, of which the highest one
 * counts. It names who holds the lock, or is empty when the lock is free. Whoever makes the next
 * number holds the lock: a file is made once only, so that of all who find that a holder is dead
 * one displaces it, and a holder that wakes up late sees a higher number than its own (S1, V35).
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Files, Step } from "./Files.js"
import type { ProcessIdentity } from "./System.js"

/** A lock that is held. */
export interface Held {
  /** Tells whether it still is: to be asked right before what the lock protects takes effect. */
  readonly isOwn: Step<boolean>
}

/**
 * The milliseconds between two heartbeats of a holder, and those without one after which it is
 * displaced.
 */
export class Heartbeat extends Context.Reference<Heartbeat>()("effect-oci/FolderLock/Heartbeat", {
  defaultValue: () => ({ interval: 1000, patience: 10_000 })
}) {}

/** Takes the lock, which can be interrupted while it waits, and frees it with the Scope. */
export const acquire = Effect.fnUntraced(function* (files: Files, folder: string) {
  const { interval } = yield* Heartbeat
  const number = yield* Effect.acquireRelease(taken(files, folder), (number) =>
    // Where it was displaced, its file is gone.
    Effect.ignore(Effect.uninterruptible(files.fs.truncate(fileOf(files, folder, number), 0)))
  )
  const beat = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    files.touch(fileOf(files, folder, number), now)
  )
  // Whoever takes the lock may not be interruptible, and its end waits for this.
  yield* Effect.forkScoped(Effect.interruptible(Effect.schedule(beat, Schedule.spaced(interval))))
  const held: Held = {
    isOwn: Effect.map(numbersIn(files, folder), (numbers) => numbers.at(-1) === number)
  }
  return held
})

/** The longest wait between two looks at the lock, in milliseconds. */
const longestWait = 32

const taken = Effect.fnUntraced(function* (files: Files, folder: string) {
  const { patience } = yield* Heartbeat
  let seen = { beat: "", since: 0 }
  for (let wait = 1; ; wait = Math.min(2 * wait, longestWait)) {
    const last = (yield* numbersIn(files, folder)).at(-1) ?? 0
    const found = last === 0 ? undefined : yield* holderOf(files, folder, last)
    const now = yield* Clock.currentTimeMillis
    const beat = `${last} ${found?.modified}`
    if (seen.beat !== beat) seen = { beat, since: now }
    const isFree =
      found === undefined || now - seen.since >= patience || (yield* isDead(files, found.holder))
    if (isFree && (yield* claim(files, folder, last + 1))) return last + 1
    yield* Effect.interruptible(Effect.sleep(wait))
  }
})

/** Returns what the file of a number says, and nothing if it is free or gone. */
const holderOf = Effect.fnUntraced(function* (files: Files, folder: string, number: number) {
  const found = yield* files.read(fileOf(files, folder, number), holderLimit)
  if (Option.isNone(found) || found.value.bytes.length === 0) return undefined
  const { bytes, info } = found.value
  return {
    modified: info.modified,
    holder: Option.getOrUndefined(decode(new TextDecoder().decode(bytes)))
  }
})

/** Tells whether a holder is known to run no more. Of another namespace, nothing is known (S1). */
const isDead = ({ system }: Files, holder: ProcessIdentity | undefined): Effect.Effect<boolean> =>
  holder !== undefined &&
  holder.boot === system.process?.boot &&
  holder.namespace === system.process.namespace
    ? Effect.map(system.isRunning(holder), (isRunning) => !isRunning)
    : Effect.succeed(false)

/** Makes the file of a number with all that it says, and returns whether nobody else has. */
const claim = Effect.fnUntraced(function* (files: Files, folder: string, number: number) {
  const path = fileOf(files, folder, number)
  const draft = files.join(folder, `.${crypto.randomUUID()}`)
  yield* files.makeFolder(folder)
  const text = JSON.stringify(files.system.process ?? {})
  yield* files.step(draft, files.fs.writeFileString(draft, text, { flag: "wx" }))
  const isMade = yield* Effect.ensuring(
    files.create(path, files.fs.link(draft, path)),
    files.remove(draft)
  )
  if (!isMade) return false
  const numbers = yield* numbersIn(files, folder)
  // Where the number was gone that this one follows, there are higher ones.
  const isLast = numbers.at(-1) === number
  const surplus = isLast ? numbers.slice(0, -1) : [number]
  yield* Effect.forEach(surplus, (old) => files.remove(fileOf(files, folder, old)))
  return isLast
})

const fileOf = (files: Files, folder: string, number: number): string =>
  files.join(folder, String(number))

const numbersIn = (files: Files, folder: string): Step<ReadonlyArray<number>> =>
  Effect.map(files.names(folder), (names) =>
    names
      .filter((name) => /^[1-9]\d{0,14}$/.test(name))
      .map(Number)
      .sort((a, b) => a - b)
  )

const decode = Schema.decodeUnknownOption(
  Schema.parseJson(
    Schema.Struct({
      pid: Schema.Number,
      started: Schema.String,
      boot: Schema.String,
      namespace: Schema.String
    })
  )
)

/** In bytes. */
const holderLimit = 4096
