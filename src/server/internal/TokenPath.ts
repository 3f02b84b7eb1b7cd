/** Where a registry server has its tokens. */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"

/** The path of the token endpoint. */
export const tokenPath = "/token"

/** Returns whether a request is for the token endpoint, or what is one under another name. */
export const isTokenRequest = ({ url }: HttpServerRequest, path: string = tokenPath): boolean =>
  url.split("?", 1)[0] === path
