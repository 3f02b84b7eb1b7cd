/**
 * Requests to a registry in the terms of HTTP: for what `Registry` has no operation for, such as
 * extensions and a vendor's own API, and for programs that want to see each response. A request is
 * a value. `RegistryClient.execute` sends it, with authorization, redirects and limits as for every
 * operation, and returns the response whatever its status.
 *
 * @since 0.1.0
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import type { HttpMethod } from "@effect/platform/HttpMethod"
import { dual } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Redacted from "effect/Redacted"

/**
 * What marks requests.
 *
 * @since 0.1.0
 * @category symbols
 */
export const TypeId: unique symbol = Symbol.for("effect-oci/Request")

/**
 * What marks requests.
 *
 * @since 0.1.0
 * @category symbols
 */
export type TypeId = typeof TypeId

/**
 * A request. It is made by `get` and its neighbours, and changed by piping `setHeader`, `setQuery`,
 * `setBody` and the like.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request extends Pipeable {
  readonly [TypeId]: TypeId
  readonly method: HttpMethod
  /** Where it goes: a path with placeholders and their values, or where a response leads. */
  readonly target: Target
  readonly headers: Headers.Headers
  /** Headers whose values are secrets. No name is in both. */
  readonly redactedHeaders: Readonly<Record<string, Redacted.Redacted>>
  /** What is added to the query of the target, in order. */
  readonly query: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: HttpBody.HttpBody
  /** Whether it may be sent again after a temporary failure. */
  readonly retry: boolean
  /** What is done to each HTTP request before it is sent: see `mapHttp`. */
  readonly map: (
    request: HttpClientRequest.HttpClientRequest
  ) => HttpClientRequest.HttpClientRequest
}

/**
 * Where a request goes: to the path that a template makes with its values, or to the `Location` of
 * a response.
 *
 * @since 0.1.0
 * @category models
 */
export type Target =
  | { readonly _tag: "Path"; readonly template: string; readonly values: Values }
  | { readonly _tag: "Location"; readonly response: HttpClientResponse }

/**
 * The values of the placeholders that the specification has in its
 * [endpoints](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints).
 *
 * @since 0.1.0
 * @category models
 */
export interface Values {
  /** The name of a repository. */
  readonly name?: string | undefined
  /** A tag or a digest. */
  readonly reference?: string | undefined
  readonly digest?: string | undefined
  /** The id of an upload session. It is escaped where a path needs it. */
  readonly session_id?: string | undefined
}

/**
 * The placeholders in a template, such as `"name" | "digest"` for `/v2/<name>/blobs/<digest>`.
 *
 * @since 0.1.0
 * @category type level
 */
export type PlaceholdersOf<Template extends string> =
  Template extends `${string}<${infer Placeholder}>${infer Rest}`
    ? Placeholder | PlaceholdersOf<Rest>
    : never

/**
 * The values that a template takes: one for each of its placeholders and no other. `name` may be
 * left out, for the default name of the client. A template that the compiler does not know takes
 * any of `Values`; one with a placeholder that there is not takes none.
 *
 * @since 0.1.0
 * @category type level
 */
export type ValuesOf<Template extends string> = string extends Template
  ? Values
  : [PlaceholdersOf<Template>] extends [keyof Values]
    ? {
        readonly [P in Exclude<PlaceholdersOf<Template>, "name">]: string
      } & {
        readonly [P in Extract<PlaceholdersOf<Template>, "name">]?: string | undefined
      } & {
        readonly [P in Exclude<keyof Values, PlaceholdersOf<Template>>]?: never
      }
    : never

/**
 * The arguments after a template: its values, which may be left out where none is needed.
 *
 * @since 0.1.0
 * @category type level
 */
export type ValuesArgument<Template extends string> =
  Record<never, never> extends ValuesOf<Template>
    ? [values?: ValuesOf<Template>]
    : [values: ValuesOf<Template>]

/**
 * Makes a request of a method and a path with placeholders. The path begins at the root of the
 * registry, with or without a slash, and may have a query.
 *
 * Values are checked when the request is sent: one that is missing or not what its placeholder
 * stands for fails with `InvalidReference`, and nothing is sent.
 *
 * @example
 * ```ts
 * import * as Request from "effect-oci/Request"
 *
 * const purge = Request.make("POST")("/v2/_vendor/<name>/purge", { name: "owner/name" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make =
  (method: HttpMethod) =>
  <const Template extends string>(
    template: Template,
    ...[values]: ValuesArgument<Template>
  ): Request =>
    new RequestImpl(method, { _tag: "Path", template, values: { ...values } })

/**
 * Makes a GET request.
 *
 * @example
 * ```ts
 * import * as Request from "effect-oci/Request"
 *
 * const tags = Request.get("/v2/<name>/tags/list", { name: "megacorp/superapp" }).pipe(
 *   Request.setQuery("n", 100)
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const get = make("GET")

/**
 * Makes a HEAD request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const head = make("HEAD")

/**
 * Makes a POST request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const post = make("POST")

/**
 * Makes a PUT request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const put = make("PUT")

/**
 * Makes a PATCH request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const patch = make("PATCH")

/**
 * Makes a DELETE request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const del = make("DELETE")

/**
 * Makes an OPTIONS request.
 *
 * @since 0.1.0
 * @category constructors
 */
export const options = make("OPTIONS")

/**
 * Makes a request to the `Location` of a response, a GET where no other method is given. It is
 * followed as the location of an upload: to the same origin, or one that `Trust` allows.
 * Credentials, and the headers that the client sends with every request, go to the registry's
 * origin alone. The query is sent as it was received, and `setQuery` adds to it.
 *
 * Sending it fails with `ProtocolViolation` where the response has no `Location`, and with
 * `UntrustedLocation` where it leads elsewhere; nothing is sent then.
 *
 * @example
 * ```ts
 * import * as Request from "effect-oci/Request"
 * import { RegistryClient } from "effect-oci/RegistryClient"
 * import * as Effect from "effect/Effect"
 *
 * const upload = Effect.gen(function*() {
 *   const client = yield* RegistryClient
 *   const opened = yield* client.execute(Request.post("/v2/<name>/blobs/uploads/"))
 *   return yield* client.execute(
 *     Request.to(opened, "PATCH").pipe(Request.setBody(new Uint8Array(42)))
 *   )
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const to = (response: HttpClientResponse, method: HttpMethod = "GET"): Request =>
  new RequestImpl(method, { _tag: "Location", response })

/**
 * Returns whether a value is a request.
 *
 * @since 0.1.0
 * @category guards
 */
export const isRequest = (u: unknown): u is Request =>
  typeof u === "object" && u !== null && TypeId in u

/**
 * Sets a header. Headers that belong to the connection or to authorization are set by the client. A
 * value that is a secret can be `Redacted`: it is sent to the registry's own origin, not to
 * where a response or `mapHttp` leads outside of it, and nothing that is logged or reported shows
 * it. `Accept`, `Range` and `User-Agent` are no place for a secret: they follow a redirect.
 *
 * @since 0.1.0
 * @category combinators
 */
export const setHeader: {
  (name: string, value: string | Redacted.Redacted): (self: Request) => Request
  (self: Request, name: string, value: string | Redacted.Redacted): Request
} = dual(
  3,
  (self: Request, name: string, value: string | Redacted.Redacted): Request =>
    setHeaders(self, { [name]: value })
)

/**
 * Several headers: names with values, of which secrets can be `Redacted`.
 *
 * @since 0.1.0
 * @category models
 */
export type HeadersInput =
  | Readonly<Record<string, string | Redacted.Redacted | ReadonlyArray<string> | undefined>>
  | Iterable<readonly [name: string, value: string | Redacted.Redacted]>

/**
 * Sets several headers, each as `setHeader` does.
 *
 * @since 0.1.0
 * @category combinators
 */
export const setHeaders: {
  (headers: HeadersInput): (self: Request) => Request
  (self: Request, headers: HeadersInput): Request
} = dual(2, (self: Request, input: HeadersInput): Request => {
  let { headers } = self
  const redactedHeaders = { ...self.redactedHeaders }
  for (const [name, value] of Symbol.iterator in input ? input : Object.entries(input)) {
    if (value === undefined) continue
    const key = name.toLowerCase()
    if (Redacted.isRedacted(value)) {
      headers = Headers.remove(headers, key)
      redactedHeaders[key] = value
    } else {
      headers = Headers.setAll(headers, { [key]: value })
      delete redactedHeaders[key]
    }
  }
  return changed(self, { headers, redactedHeaders })
})

/**
 * Sets a parameter of the query, in place of one of this name that was set before. A parameter that
 * the target has by itself stays.
 *
 * @since 0.1.0
 * @category combinators
 */
export const setQuery: {
  (name: string, value: string | number): (self: Request) => Request
  (self: Request, name: string, value: string | number): Request
} = dual(
  3,
  (self: Request, name: string, value: string | number): Request =>
    changed(self, {
      query: [...self.query.filter(([other]) => other !== name), [name, String(value)]]
    })
)

/**
 * Sets the body: bytes, a text, or any body of `@effect/platform`. Its media type is
 * `application/octet-stream`, `text/plain` or that of the body, unless a header `Content-Type` is
 * set. A stream (`HttpBody.stream`) is run again for each attempt, authenticated or redirected, and
 * must emit the same bytes each time. One that does not, since it can be read only once, as a
 * stream of Node or of the web in an `HttpBody.raw`, fails with `BodyNotReplayable` instead of
 * sending its rest: a request without a body first, such as the one that opens an upload, answers
 * the challenge for it. A form (`HttpBody.formData`) is gathered in memory.
 *
 * @since 0.1.0
 * @category combinators
 */
export const setBody: {
  (body: Uint8Array | string | HttpBody.HttpBody): (self: Request) => Request
  (self: Request, body: Uint8Array | string | HttpBody.HttpBody): Request
} = dual(
  2,
  (self: Request, body: Uint8Array | string | HttpBody.HttpBody): Request =>
    changed(self, {
      body:
        typeof body === "string"
          ? HttpBody.text(body)
          : body instanceof Uint8Array
            ? HttpBody.uint8Array(body, "application/octet-stream")
            : body
    })
)

/**
 * Says whether the request may be sent again after a temporary failure: by default GET and HEAD may
 * be, and others may not, since the first one may have been carried out.
 *
 * @since 0.1.0
 * @category combinators
 */
export const setRetry: {
  (retry: boolean): (self: Request) => Request
  (self: Request, retry: boolean): Request
} = dual(2, (self: Request, retry: boolean): Request => changed(self, { retry }))

/**
 * Adjusts the HTTP request each time before it is sent, that which answers a challenge and those
 * after a failure included. Credentials and headers that are `Redacted` are added after that,
 * and the function does not see them.
 *
 * @since 0.1.0
 * @category combinators
 */
export const mapHttp: {
  (
    f: (request: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest
  ): (self: Request) => Request
  (
    self: Request,
    f: (request: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest
  ): Request
} = dual(
  2,
  (
    self: Request,
    f: (request: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest
  ): Request => changed(self, { map: (request) => f(self.map(request)) })
)

class RequestImpl implements Request {
  readonly [TypeId]: TypeId = TypeId

  constructor(
    readonly method: HttpMethod,
    readonly target: Target,
    readonly headers: Headers.Headers = Headers.empty,
    readonly query: Request["query"] = [],
    readonly body: HttpBody.HttpBody = HttpBody.empty,
    readonly retry: boolean = method === "GET" || method === "HEAD",
    readonly map: Request["map"] = (request) => request,
    readonly redactedHeaders: Request["redactedHeaders"] = {}
  ) {}

  pipe() {
    // biome-ignore lint/complexity/noArguments: as every `Pipeable` of Effect does it.
    return pipeArguments(this, arguments)
  }
}

const changed = (
  self: Request,
  { body, headers, map, query, redactedHeaders, retry }: Partial<Omit<Request, "method" | "target">>
): Request =>
  new RequestImpl(
    self.method,
    self.target,
    headers ?? self.headers,
    query ?? self.query,
    body ?? self.body,
    retry ?? self.retry,
    map ?? self.map,
    redactedHeaders ?? self.redactedHeaders
  )
