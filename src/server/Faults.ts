/**
 * Faults of a registry server, for tests: what fails, where in a request or response, and how
 * often. Given to a `RegistryServer`, they show how a program behaves when the registry, or the way
 * to it, breaks.
 *
 * @since 0.1.0
 */
import type { DurationInput } from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { Operation } from "../protocol/Operation.js"

/**
 * What a fault can happen to: an operation by its tag, or `Token`, a request to the server's token
 * endpoint.
 *
 * @since 0.1.0
 * @category models
 */
export type Target = Operation["_tag"] | "Token"

/**
 * Which requests a fault happens to. Without any of these it happens to every request.
 *
 * @since 0.1.0
 * @category models
 */
export interface When {
  /** The operations that it happens to, by default all requests. */
  readonly on?: Target | ReadonlyArray<Target> | undefined
  /** How many of these requests pass before the first fault, by default 0. */
  readonly skip?: number | undefined
  /** How often it happens, by default without limit. */
  readonly times?: number | undefined
  /** How likely it is to happen to each of these requests, from 0 to 1, by default 1. */
  readonly probability?: number | undefined
}

/**
 * Where in an exchange a fault happens.
 *
 * - `Received`: when the head of the request has arrived. The registry does nothing.
 * - `Handled`: when the registry has done what it was asked to, before anything of the response is
 *   sent.
 * - `{ request }`: when so many bytes of the request's body have arrived, which the registry takes;
 *   it does not see more. Nothing of the response is sent. A request with no more bytes than that
 *   is left alone.
 * - `{ response }`: when so many bytes of the response's body have been sent, 0 being the end of
 *   its head. A response with no more bytes than that is left alone, as is one to HEAD.
 *
 * @since 0.1.0
 * @category models
 */
export type Point =
  | "Received"
  | "Handled"
  | { readonly request: number }
  | { readonly response: number }

/**
 * One fault. Use the constructors.
 *
 * @since 0.1.0
 * @category models
 */
export type Fault = When & Action

/**
 * What a fault does.
 *
 * @since 0.1.0
 * @category models
 */
export type Action =
  | {
      readonly _tag: "Status"
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
      readonly body: string
      readonly at: "Received" | "Handled"
    }
  | { readonly _tag: "Delay"; readonly duration: DurationInput; readonly at: Point }
  | { readonly _tag: "Stall"; readonly at: Point }
  | { readonly _tag: "Cut"; readonly how: "FIN" | "RST"; readonly at: Point }
  | { readonly _tag: "Corrupt"; readonly at: Exclude<Point, string> }
  | { readonly _tag: "DropHeader"; readonly name: string }
  | { readonly _tag: "RepeatHeader"; readonly name: string; readonly value: string | undefined }
  | { readonly _tag: "Redirect"; readonly origin: string; readonly status: number }

/**
 * Responds with a status instead of the registry. `at` says whether the registry has done what it
 * was asked to, by default `Received`. The body is by default an [error
 * list](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes) with the
 * code `UNAVAILABLE`; one of your own comes without a media type unless `headers` has one.
 *
 * @example
 * ```ts
 * import * as Faults from "effect-oci/Faults"
 *
 * // The first two pulls of a manifest are told to come back in a second.
 * Faults.status(503, { on: "GetManifest", times: 2, headers: { "retry-after": "1" } })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const status = (
  status: number,
  {
    at = "Received",
    body,
    headers = {},
    ...when
  }: When & {
    readonly at?: "Received" | "Handled"
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: string
  } = {}
): Fault => ({
  _tag: "Status",
  status,
  headers: body === undefined ? { "content-type": "application/json", ...headers } : headers,
  body: body ?? '{"errors":[{"code":"UNAVAILABLE","message":"This is a fault of a test"}]}',
  at,
  ...when
})

/**
 * Waits before the exchange goes on, by default before the request is handled. The time is that of
 * the `Clock` that the server runs with.
 *
 * @since 0.1.0
 * @category constructors
 */
export const delay = (
  duration: DurationInput,
  { at = "Received", ...when }: When & { readonly at?: Point } = {}
): Fault => ({ _tag: "Delay", duration, at, ...when })

/**
 * Lets nothing more through and keeps the connection open, until the client ends it; by default
 * there is no response at all.
 *
 * @since 0.1.0
 * @category constructors
 */
export const stall = ({
  at = "Received",
  ...when
}: When & { readonly at?: Point } = {}): Fault => ({ _tag: "Stall", at, ...when })

/**
 * Breaks the connection, by default before the request is handled.
 *
 * - `FIN` closes it in order: the client gets what was sent, and then the end. What it still sends
 *   is read and dropped for up to 10 seconds, since a connection that is closed with unread bytes
 *   is reset.
 * - `RST` resets it: the client may lose what was sent just before. Over TLS, where Node cannot
 *   reset, the connection is closed at once.
 *
 * @example
 * ```ts
 * import * as Faults from "effect-oci/Faults"
 *
 * // The first download of a blob ends after a kibibyte.
 * Faults.cut("RST", { on: "GetBlob", times: 1, at: { response: 1024 } })
 *
 * // A tag is put, and nobody hears of it.
 * Faults.cut("FIN", { on: "PutManifest", times: 1, at: "Handled" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const cut = (
  how: "FIN" | "RST",
  { at = "Received", ...when }: When & { readonly at?: Point } = {}
): Fault => ({ _tag: "Cut", how, at, ...when })

/**
 * Changes one byte, by its offset in the body of the request or the response.
 *
 * @since 0.1.0
 * @category constructors
 */
export const corrupt = (
  at: { readonly request: number } | { readonly response: number },
  when: When = {}
): Fault => ({ _tag: "Corrupt", at, ...when })

/**
 * Leaves a header out of the response. A response on a socket has a `Date` and its framing all the
 * same.
 *
 * @since 0.1.0
 * @category constructors
 */
export const dropHeader = (name: string, when: When = {}): Fault => ({
  _tag: "DropHeader",
  name: name.toLowerCase(),
  ...when
})

/**
 * Sends a header of the response twice, on lines of its own: the second time with another value if
 * one is given. A response without the header is left alone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const repeatHeader = (
  name: string,
  { value, ...when }: When & { readonly value?: string } = {}
): Fault => ({ _tag: "RepeatHeader", name: name.toLowerCase(), value, ...when })

/**
 * Redirects to the same path and query at another origin (`https://other.example`), by default with
 * 307.
 *
 * @since 0.1.0
 * @category constructors
 */
export const redirect = (
  origin: string,
  { status = 307, ...when }: When & { readonly status?: number } = {}
): Fault => ({ _tag: "Redirect", origin, status, ...when })

/**
 * The faults of a server, which can be replaced while it runs.
 *
 * - `draw` returns the fault of a request, if it has one, and counts the request. The server asks
 *   once for each request.
 * - `set` replaces the faults, and begins their counts anew.
 * - `drawn` returns what happened so far, in order.
 *
 * @since 0.1.0
 * @category models
 */
export interface Faults {
  readonly draw: (target: Target | undefined) => Effect.Effect<Option.Option<Fault>>
  readonly set: (faults: ReadonlyArray<Fault>) => Effect.Effect<void>
  readonly drawn: Effect.Effect<
    ReadonlyArray<{ readonly target: Target | undefined; readonly fault: Fault }>
  >
}

/**
 * Makes faults that can be replaced while the server runs. Of several faults that match a request
 * the first happens. `seed` decides about probabilities: with the same seed, and requests that
 * arrive in the same order, the same faults happen. It is by default always the same.
 *
 * @example
 * ```ts
 * import * as Faults from "effect-oci/Faults"
 * import * as Effect from "effect/Effect"
 *
 * Effect.gen(function* () {
 *   const faults = yield* Faults.make([Faults.status(503, { probability: 0.1 })], { seed: 7 })
 *   // … give them to a server, and later let it be healthy again:
 *   yield* faults.set([])
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  faults: ReadonlyArray<Fault> = [],
  options: { readonly seed?: string | number | undefined } = {}
): Effect.Effect<Faults> =>
  Effect.sync(() => {
    const random = Random.make(options.seed ?? "effect-oci")
    const drawn: Array<{ readonly target: Target | undefined; readonly fault: Fault }> = []
    let current = counted(faults)
    return {
      draw: Effect.fnUntraced(function* (target) {
        for (const entry of current) {
          const { fault } = entry
          if (!matches(fault, target) || entry.seen++ < (fault.skip ?? 0)) continue
          if (entry.drawn >= (fault.times ?? Number.POSITIVE_INFINITY)) continue
          const { probability = 1 } = fault
          if (probability < 1 && (yield* random.next) >= probability) continue
          entry.drawn++
          drawn.push({ target, fault })
          return Option.some(fault)
        }
        return Option.none()
      }),
      set: (faults) =>
        Effect.sync(() => {
          current = counted(faults)
        }),
      drawn: Effect.sync(() => [...drawn])
    }
  })

const counted = (faults: ReadonlyArray<Fault>) =>
  faults.map((fault) => ({ fault, seen: 0, drawn: 0 }))

const matches = ({ on }: Fault, target: Target | undefined): boolean =>
  on === undefined || (typeof on === "string" ? on === target : on.some((one) => one === target))
