/** Where a client reaches the server: what a URL has to begin with that it is sent to. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"

/** The URL where it is known, and otherwise whether to believe a proxy. */
export interface Options {
  readonly url?: string | undefined
  readonly trustForwarded?: boolean | undefined
}

/** Returns the URL without a slash at its end. */
export const of = (request: HttpServerRequest, { trustForwarded, url }: Options): string => {
  if (url !== undefined) return url.replace(/\/$/, "")
  const forwarded = (name: string) =>
    trustForwarded === true ? request.headers[`x-forwarded-${name}`]?.split(",", 1)[0] : undefined
  // Web requests have an absolute URL, and no `Host`.
  const own = URL.canParse(request.originalUrl)
    ? new URL(request.originalUrl)
    : { protocol: isTls(request) ? "https:" : "http:", host: request.headers["host"] ?? "" }
  const protocol = forwarded("proto")?.trim() === "https" ? "https:" : own.protocol
  const origin = `${protocol}//${forwarded("host")?.trim() ?? own.host}`
  return URL.canParse(origin) ? new URL(origin).origin : "http://localhost"
}

/** Whether Node's server has received a request over TLS. */
const isTls = ({ source }: HttpServerRequest): boolean =>
  typeof source === "object" &&
  source !== null &&
  "socket" in source &&
  typeof source.socket === "object" &&
  source.socket !== null &&
  "encrypted" in source.socket &&
  source.socket.encrypted === true
