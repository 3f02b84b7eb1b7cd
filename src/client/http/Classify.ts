/**
 * A step of the pipeline (see `Pipeline`): from a status and an error body to a typed error. What
 * is one operation's own is in the table of `OperationErrors`; everything beyond it is common to
 * all.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Sent from "../../auth/internal/Sent.js"
import * as ContentDecoding from "../../internal/ContentDecoding.js"
import * as ErrorBody from "../../protocol/ErrorBody.js"
import * as OperationTable from "../../protocol/internal/OperationTable.js"
import * as PageTitle from "../../protocol/internal/PageTitle.js"
import * as RetryAfter from "../../protocol/internal/RetryAfter.js"
import * as SingleField from "../../protocol/internal/SingleField.js"
import type { Operation } from "../../protocol/Operation.js"
import * as Trust from "../../protocol/Trust.js"
import {
  Denied,
  type Exchange,
  ProtocolViolation,
  RegistryFailure,
  TooManyRequests
} from "../../RegistryError.js"
import * as MediaType from "../../spec/MediaType.js"
import {
  type ErrorResponse,
  has,
  type Meaning,
  meanings,
  type OwnErrors
} from "./OperationErrors.js"
import * as Received from "./Received.js"
import * as ReportedErrors from "./ReportedErrors.js"

/** What a status can mean to any operation. */
export type StatusError = Denied | TooManyRequests | RegistryFailure | ProtocolViolation

/**
 * Returns the response if it is a success of this operation, and fails with a typed error if not.
 * Of the body of an error the first 64 KiB are read, for the registry's codes and a snippet.
 * `origin` is the registry's: what others respond after a redirect says nothing of the caller's
 * rights.
 */
export const classify = <O extends Operation>(
  operation: O,
  response: Received.Received,
  origin: string
): Effect.Effect<Received.Received, OwnErrors[O["_tag"]] | StatusError> => {
  // The compiler does not see that the tag of an `O` picks the meaning for an `O`.
  const meaning = meanings[operation._tag] as unknown as Meaning<O["_tag"], O>
  const { isStatusOnly, isWrite, success, unchanged } = OperationTable.factsOf(operation)
  const isUnchanged = response.status === 304 && unchanged?.(operation) === true
  // What a 303 made of a write is not that write.
  const isTurned = isWrite === true && response.request.method === "GET"
  if ((success.includes(response.status) || isUnchanged) && !isTurned)
    return response.status === 200 && isStatusOnly === true
      ? saysNothingElse(response)
      : Effect.succeed(response)
  return failed(response, origin, (facts) => meaning(facts, operation), {
    range: operation._tag === "GetBlob" ? "content-range" : "range"
  })
}

/**
 * Fails as a response that is not a success means it: with what `meaning` has for it, or with what
 * its status means to any operation. `range` is the header that names the range it is about.
 */
export const failed = <E>(
  response: Received.Received,
  origin: string,
  meaning: (facts: ErrorResponse) => E | undefined,
  { range = "range" }: { readonly range?: "content-range" | "range" } = {}
): Effect.Effect<never, E | StatusError> =>
  Effect.flatMap(Effect.zip(readable(response), Clock.currentTimeMillis), ([body, now]) => {
    const { errors } = ErrorBody.parse(body)
    const shown = ErrorBody.parseRedacted(body, Sent.redactorOf(Sent.of(response.request)))
    const exchange: Exchange = { ...exchangeOf(response, body), errors: shown.errors }
    const foreign = !Trust.isAt(origin, response.request.url)
    const facts: ErrorResponse = {
      status: response.status,
      codes: foreign ? [] : errors.map((error) => error.code),
      messages: errors.map((error) => error.message ?? ""),
      fromRegistry: foreign || errors.length > 0 || body.length === 0,
      foreign,
      redirects: response.redirects,
      isPage: isPage(response),
      range: shownHeader(response, SingleField.value(response.headers, range)),
      linked: response.headers["link"] !== undefined,
      exchange
    }
    return Effect.fail(meaning(facts) ?? statusError(facts, response, shown.snippet, now))
  })

/**
 * Whether the response is a page for people: portals and some registries apologise with 200 (quirks
 * §2).
 */
export const isPage = ({ headers }: Received.Received): boolean =>
  pages.has(MediaType.essence(SingleField.value(headers, "content-type") ?? "").toLowerCase())

const pages = new Set(["text/html", "application/xhtml+xml"])

/** Whether a body is a page for people, whatever its type. */
export const isMarkup = (text: string): boolean => text.trimStart().startsWith("<")

/** The facts of an exchange with the title of the page, if its response is one with this body. */
export const exchangeOf = (
  response: Received.Received,
  body: Uint8Array
): ReturnType<typeof Received.exchangeOf> & { readonly page?: string } =>
  body.length > 0 && (isPage(response) || PageTitle.isHtml(body))
    ? {
        ...Received.exchangeOf(response),
        page: PageTitle.of(body, Sent.redactorOf(Sent.of(response.request)))
      }
    : Received.exchangeOf(response)

/**
 * Fails where the response has content that does not say that anything was done: some servers have
 * a page for every path, to log in or to apologise, and some report errors with 200.
 */
const saysNothingElse = (
  response: Received.Received
): Effect.Effect<Received.Received, ProtocolViolation> =>
  Effect.flatMap(readable(response), (body) => {
    const document = ReportedErrors.parse(body)
    const isError = ReportedErrors.listed(document).length > 0
    if (!isError && !isPage(response) && !isMarkup(new TextDecoder().decode(body)))
      return Effect.succeed({ ...response, body })
    if (body.length === 0) return Effect.succeed({ ...response, body })
    return Effect.fail(
      new ProtocolViolation({
        ...exchangeOf(response, body),
        ...(isError && { errors: ReportedErrors.shown(response, document) }),
        problem: "The response does not say that the registry did anything"
      })
    )
  })

/**
 * The first 64 KiB of a body, to be read as text: a proxy that compresses whatever passes it does
 * so with errors as well (rule 20).
 */
export const readable = (response: Received.Received): Effect.Effect<Uint8Array> =>
  Effect.flatMap(Received.excerpt(response), (body) =>
    ContentDecoding.plain(body, response.headers["content-encoding"], undefined, {
      what: "An error",
      limit: 65_536
    }).pipe(Effect.orElseSucceed(() => body))
  )

const statusError = (
  facts: ErrorResponse,
  response: Received.Received,
  snippet: string,
  now: number
): StatusError => {
  const { exchange, foreign, status } = facts
  const limited = status === 429 || has(facts, "TOOMANYREQUESTS")
  if (!limited && ((status === 403 && !foreign) || has(facts, "DENIED"))) {
    const sent = Sent.of(response.request)
    return new Denied({
      ...exchange,
      credential: Sent.credentialOf(sent) ?? { kind: "Anonymous" },
      scopes: sent.scopes
    })
  }
  const wait = Option.getOrUndefined(
    Option.map(retryAfter(response, facts, now), Duration.toMillis)
  )
  return limited
    ? new TooManyRequests({
        ...exchange,
        retryAfter: wait,
        limit: shownHeader(response, response.headers["ratelimit-limit"]),
        remaining: shownHeader(response, response.headers["ratelimit-remaining"])
      })
    : new RegistryFailure({ ...exchange, snippet, retryAfter: wait })
}

/** A header as an error may show it. */
const shownHeader = (response: Received.Received, value: string | undefined): string | undefined =>
  value === undefined ? undefined : Received.textOf(response, value)

/** GHCR puts the delay into the message (quirks §6). */
const retryAfter = (
  response: Received.Received,
  { messages }: ErrorResponse,
  now: number
): Option.Option<Duration.Duration> =>
  Option.fromNullable(SingleField.value(response.headers, "retry-after")).pipe(
    Option.flatMap((header) => RetryAfter.parse(header, now)),
    Option.orElse(() =>
      Option.firstSomeOf(messages.map((message) => RetryAfter.fromMessage(message)))
    )
  )
