/** Registries that send whoever reads a blob to storage elsewhere: to this server again. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import type { Quirks } from "../../Quirks.js"
import * as ChangedResponse from "../ChangedResponse.js"
import type { Handler } from "../Handler.js"
import * as Origin from "../Origin.js"
import * as Secrets from "../Secrets.js"
import * as ServerResponse from "../ServerResponse.js"
import { modified, operationOf, type Quirk, toResponse, urlOf } from "./Quirk.js"

/**
 * Redirects reads of blobs to URLs that are signed. There `open` responds, which asks nobody who
 * they are.
 */
export const make =
  (status: NonNullable<Quirks["storage"]>, { signedForGet }: Quirks, open: Handler): Quirk =>
  (next) => {
    const signed = new Map<string, string>()
    return (received) =>
      Effect.gen(function* () {
        const { request } = received
        const url = urlOf(request)
        if (url.pathname.startsWith(path)) {
          const signature = url.searchParams.get("X-Amz-Signature") ?? ""
          const blob = signed.get(signature)
          if (blob === undefined || request.method === "HEAD") return toResponse(denied)
          if (request.headers["authorization"] !== undefined) return toResponse(twice)
          return ChangedResponse.withHeaders(
            yield* open(yield* modified(received, { url: blob })),
            {
              "docker-content-digest": undefined,
              "docker-distribution-api-version": undefined
            }
          )
        }
        const response = yield* next(received)
        const reads = operationOf(
          received,
          "GetBlob",
          ...(signedForGet ? ["HeadBlob" as const] : [])
        )
        if (reads === undefined || response.status >= 300) return response
        const signature = Secrets.random()
        Secrets.put(signed, signature, request.url, 1000)
        const query = `X-Amz-Signature=${signature}&response-content-disposition=a%20b`
        return ServerResponse.empty(status, {
          location: `${originOf(request)}${path}b%2Fc//${reads.digest}?${query}`,
          ...ServerResponse.contentDigest(reads.digest)
        })
      })
  }

const path = "/storage/"

const xml = (status: number, code: string) => ({
  status,
  body: `<?xml version="1.0"?><Error><Code>${code}</Code></Error>`,
  headers: { "content-type": "application/xml" }
})
const denied = xml(403, "AccessDenied")
/** Storage takes one authorization, and the URL has it. */
const twice = xml(400, "InvalidArgument")

/** Another host that leads to this server as well. */
const originOf = (request: HttpServerRequest): string => {
  const url = new URL(Origin.of(request, {}))
  const other = { "127.0.0.1": "localhost", localhost: "127.0.0.1" }[url.hostname]
  url.hostname = other ?? `storage.${url.hostname}`
  return url.origin
}
