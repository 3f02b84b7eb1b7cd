/** Where an upload of a blob is, and what became of its last step: what `UploadPlan` decides on. */
import type { ChunkBounds } from "../../internal/UploadState.js"
import type { UploadStrategy } from "../../Registry.js"

/** A form of upload by name. */
export type Form = Exclude<UploadStrategy, "auto">

/**
 * What is under way.
 *
 * - `mounting`: the registry is asked to mount the blob.
 * - `finding`: it is asked whether it has the blob.
 * - `gathering`: a small blob is read into memory, from where it can be sent as often as need be.
 * - `measuring`: the source is read for its digest and size, which the form needs.
 * - `sending`: the blob goes in one request, without a session.
 * - `lookingForSent`: that failed, though all was sent. It may have arrived.
 * - `resuming`: the session that an earlier upload left is asked how far it is.
 * - `opening`: a session is opened.
 * - `appending`: the next piece goes to the session (`pieceOf`).
 * - `lookingForAppended`: that failed, though all was sent. It may have arrived.
 * - `locating`: that failed, and the session is asked how far it is.
 * - `lookingForForgotten`: it says nothing of a session that had all of it. The blob may have
 *   arrived meanwhile, as where closing takes long (CP20).
 * - `doubting`: the same as `locating`, since the registry refuses the very range that comes next.
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
  | "resuming"
  | "opening"
  | "appending"
  | "lookingForAppended"
  | "locating"
  | "lookingForForgotten"
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
 * - `opened`: there is a session, asked for or in place of something else, or from before.
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
  | {
      readonly kind: "opened"
      readonly bounds: ChunkBounds
      readonly progress?: Progress
      readonly error?: E
    }
  | { readonly kind: "located"; readonly offset: number }
  | { readonly kind: "appended"; readonly progress: Progress }
  | { readonly kind: FailureKind; readonly error: E; readonly progress?: Progress | undefined }

/** How a step fails. */
export type FailureKind = "refused" | "page" | "misplaced" | "unknown" | "temporary" | "failed"

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
  /** It took a piece since, so that it is where it seems to be. */
  readonly isCertain: boolean
  /** An earlier upload opened it. */
  readonly isResumed: boolean
  readonly isClosing: boolean
}

/** Where an upload is. */
export interface State<E> {
  readonly phase: Phase
  readonly strategy: UploadStrategy
  readonly chunkSize: number | undefined
  /** Whether the session is left to a later upload if this one cannot end. */
  readonly isKept: boolean
  /** Whether an earlier upload left a session that was not asked for yet. */
  readonly hasLeft: boolean
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

/** An error as far as the plan looks into it. */
export interface Failure {
  readonly _tag: string
  readonly status?: number | undefined
}
