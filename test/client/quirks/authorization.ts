/**
 * Registries that want to know who is asking, and their token servers: what the rows of section 1
 * are made of.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../../src/auth/Credentials.js"
import * as AccessScope from "../../../src/protocol/AccessScope.js"
import type { Registry } from "../../../src/Registry.js"
import { status } from "../world.js"
import { app, b2, base, m1, v1 } from "./content.js"
import { guards, type Handler, type Quirk, type Seen } from "./mock.js"

export const pull = (registry: Registry.Service) => registry.getManifest(app, v1)
export const pulled = { descriptor: m1.descriptor }
export const manifest = "GET /v2/team/app/manifests/v1"
export const mount = "POST /v2/team/app/blobs/uploads/?mount=b2&from=team%2Fbase"
export const mountB2 = (registry: Registry.Service) =>
  registry.mountBlob(app, b2.descriptor.digest, base)

export const alice = Credentials.basic("alice", Redacted.make("hunter2"))
export const known = (host: string, credential: Credentials.Credential = alice) =>
  Credentials.layer({ [host]: credential })

/** A 401 with one challenge, or several in as many header fields. */
export const asks = (...challenges: ReadonlyArray<string>): Response => {
  const response = status(
    401,
    '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
  )
  for (const challenge of challenges) response.headers.append("www-authenticate", challenge)
  return response
}

export const isToken = (authorization: string) => /^Bearer t\d+$/.test(authorization)

/** A registry that takes tokens, and says so in these words. */
export const takesTokens = (...challenges: ReadonlyArray<string>): Quirk =>
  guards(isToken, () => asks(...challenges))
export const takesPasswords = (challenge: string | ((seen: Seen) => string)): Quirk =>
  guards(
    (authorization) => authorization.startsWith("Basic "),
    (seen) => asks(typeof challenge === "string" ? challenge : challenge(seen))
  )

/** A token server that issues `t1`, `t2`, … in this form. */
export const issues =
  (form: (token: string, seen: Seen) => unknown = (token) => ({ token })) =>
  (): ((seen: Seen) => Response) => {
    let issued = 0
    return (seen) => {
      const answer = form(`t${++issued}`, seen)
      return answer instanceof Response ? answer : status(200, JSON.stringify(answer))
    }
  }

/** The same, on the registry's own host. */
export const issuesAt =
  (path: string, form?: (token: string, seen: Seen) => unknown): Quirk =>
  (healthy) => {
    const issue = issues(form)()
    return (seen) => (seen.url.pathname === path ? Effect.succeed(issue(seen)) : healthy(seen))
  }

export const refuses =
  (code: number, body = "") =>
  (): Handler =>
  () =>
    status(code, body)

/**
 * A registry whose own token server grants whatever it is asked for, and that takes no token
 * without the scopes that a request needs.
 */
export const grants =
  (needs: (seen: Seen) => string): Quirk =>
  (healthy) => {
    const granted = new Map<string, ReadonlyArray<string>>()
    return (seen) => {
      if (seen.url.pathname === "/token") {
        const token = `t${granted.size + 1}`
        granted.set(`Bearer ${token}`, seen.url.searchParams.getAll("scope"))
        return Effect.succeed(status(200, JSON.stringify({ token, expires_in: 300 })))
      }
      const scope = needs(seen)
      const held = granted.get(seen.authorization ?? "")
      const error = held === undefined ? "" : ',error="insufficient_scope"'
      return held !== undefined && AccessScope.contains(held, scope.split(" "))
        ? healthy(seen)
        : Effect.succeed(
            asks(
              `Bearer realm="https://registry.example/token",service="registry",scope="${scope}"${error}`
            )
          )
    }
  }

/** A token request: the realm, then what it asks with. */
export const asking = (realm: string, ...parameters: ReadonlyArray<string>) => {
  const [service, ...rest] =
    parameters[0]?.startsWith("service=") === true ? parameters : ["", ...parameters]
  const query = [service, "client_id=effect-oci", ...rest].filter((part) => part !== "")
  return `GET ${realm}?${query.join("&")}`
}
export const scope = (actions: string, repository = "team/app") =>
  `scope=repository:${repository}:${actions}`
