/** The requests that a registry server got, and what it answered, as values. */
import * as Headers from "@effect/platform/Headers"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { Operation } from "../../protocol/Operation.js"
import type { Received } from "./Handler.js"

/** One request, and the response to it. */
export interface Exchange {
  readonly method: string
  /** Path and query as received. */
  readonly url: string
  /** By names in lower case. Those that may hold secrets are `Redacted`. */
  readonly headers: Readonly<Record<string, string | Redacted.Redacted>>
  /** What was asked for; nothing for a request that is not an operation. */
  readonly operation: Operation | undefined
  readonly remoteAddress: string | undefined
  readonly status: number
  readonly responseHeaders: Readonly<Record<string, string>>
  /** When the request came, in milliseconds since 1970. */
  readonly time: number
  /** How long it took to decide the response, in milliseconds; its body may take longer. */
  readonly duration: number
}

/** The last exchanges, oldest first. */
export class RequestLog {
  private readonly exchanges: Array<Exchange> = []

  readonly requests: Effect.Effect<ReadonlyArray<Exchange>> = Effect.sync(() => [...this.exchanges])

  constructor(private readonly capacity: number) {}

  add(exchange: Exchange): void {
    if (this.exchanges.push(exchange) > this.capacity) this.exchanges.shift()
  }
}

/** Runs the handler of a request, and gives what it came to. */
export const exchange = <E, R>(
  { operation, request }: Received,
  handler: Effect.Effect<HttpServerResponse, E, R>,
  f: (exchange: Exchange) => Effect.Effect<void>
): Effect.Effect<HttpServerResponse, E, R> =>
  Effect.gen(function* () {
    const time = yield* Clock.currentTimeMillis
    const response = yield* handler
    yield* f({
      method: request.method,
      url: request.url,
      headers: Headers.redact(request.headers, secrets),
      operation: Option.getOrUndefined(Either.getRight(operation)),
      remoteAddress: Option.getOrUndefined(request.remoteAddress),
      status: response.status,
      responseHeaders: response.headers,
      time,
      duration: (yield* Clock.currentTimeMillis) - time
    })
    return response
  })

const secrets = ["authorization", "proxy-authorization", "cookie"]
