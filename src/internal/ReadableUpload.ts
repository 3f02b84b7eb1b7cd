/** Upload sessions whose bytes can be read while more of them are written. */
import type * as Effect from "effect/Effect"
import type { UploadSession } from "../Registry.js"

/**
 * Reads what is stored of an upload from an offset on, into a new array of at most a mebibyte or
 * so. It is empty where nothing is stored there yet, or the session is over.
 */
export type ReadAt = (offset: number) => Effect.Effect<Uint8Array>

const ReadAt: unique symbol = Symbol.for("effect-oci/UploadSession/ReadAt")

/** Adds that to a session. One that is made out of it by others does not have it. */
export const make = <S extends UploadSession>(session: S, readAt: ReadAt): S =>
  Object.assign(session, { [ReadAt]: readAt })

/** How to read a session, if its store can. */
export const of = (session: UploadSession & { readonly [ReadAt]?: ReadAt }): ReadAt | undefined =>
  session[ReadAt]
