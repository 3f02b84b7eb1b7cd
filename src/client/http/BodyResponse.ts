/**
 * Responses whose body is ours to give: all the ways of reading one that `HttpClientResponse` has,
 * made of two.
 */
import * as Cookies from "@effect/platform/Cookies"
import type * as Headers from "@effect/platform/Headers"
import { ResponseError } from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as ClientResponse from "@effect/platform/HttpClientResponse"
import * as IncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as JsonText from "../../spec/internal/JsonText.js"
import * as Parsed from "../../spec/internal/Parsed.js"

/**
 * A response of which a subclass says how its body is read: as it arrives (`stream`) or whole
 * (`bytes`).
 */
export abstract class BodyResponse
  extends Inspectable.Class
  implements ClientResponse.HttpClientResponse
{
  readonly [IncomingMessage.TypeId]: IncomingMessage.TypeId = IncomingMessage.TypeId
  readonly [ClientResponse.TypeId]: ClientResponse.TypeId = ClientResponse.TypeId

  constructor(
    readonly request: HttpClientRequest.HttpClientRequest,
    readonly status: number,
    readonly headers: Headers.Headers
  ) {
    super()
  }

  abstract get stream(): Stream.Stream<Uint8Array, ResponseError>

  abstract get bytes(): Effect.Effect<Uint8Array, ResponseError>

  get cookies(): Cookies.Cookies {
    return Cookies.fromSetCookie(this.headers["set-cookie"] ?? [])
  }

  get remoteAddress(): Option.Option<string> {
    return Option.none()
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, ResponseError> {
    return Effect.map(this.bytes, (bytes) => new Uint8Array(bytes).buffer)
  }

  get text(): Effect.Effect<string, ResponseError> {
    return Effect.map(this.bytes, (bytes) => new TextDecoder().decode(bytes))
  }

  get json(): Effect.Effect<unknown, ResponseError> {
    return Effect.flatMap(this.text, (text) =>
      text === ""
        ? Effect.succeed(null)
        : Effect.mapError(Parsed.toEffect(JsonText.parse(text)), this.failed())
    )
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, ResponseError> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get formData(): Effect.Effect<FormData, ResponseError> {
    return Effect.flatMap(this.arrayBuffer, (buffer) =>
      Effect.tryPromise({
        try: () => new Response(buffer, { headers: this.headers }).formData(),
        catch: this.failed()
      })
    )
  }

  toJSON(): unknown {
    return {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    }
  }

  /** The error of a body that cannot be read. */
  protected failed(): (cause: unknown) => ResponseError {
    return (cause) =>
      new ResponseError({ request: this.request, response: this, reason: "Decode", cause })
  }
}

/** A response whose body has arrived: `content`. */
export class GatheredResponse extends BodyResponse {
  constructor(
    response: ClientResponse.HttpClientResponse,
    readonly content: Uint8Array
  ) {
    super(response.request, response.status, response.headers)
  }

  get stream(): Stream.Stream<Uint8Array> {
    return this.content.length === 0 ? Stream.empty : Stream.succeed(this.content)
  }

  get bytes(): Effect.Effect<Uint8Array> {
    return Effect.succeed(this.content)
  }
}
