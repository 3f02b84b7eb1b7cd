/**
 * Logins that a registry or its token server refuses, without which what is public can be pulled
 * all the same.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { anonymous, type Credential, type Credentials } from "../Credentials.js"

/**
 * The logins of one registry that were refused, by their identity: until when they are not tried
 * again, in milliseconds of the clock.
 */
export type StaleLogins = Map<string, number>

/** In milliseconds. Each try may count as an attack on the account. */
const untried = 60_000

/** Of logins that are remembered. */
const capacity = 1000

/**
 * The source without logins that were refused: in their place nobody is known. A warning, once for
 * each login, says which one to renew.
 */
export const without = (logins: StaleLogins, source: Credentials.Service): Credentials.Service => ({
  get: (demand, rejected) =>
    Effect.gen(function* () {
      const refused = rejected?._tag === "Anonymous" ? undefined : rejected
      const login = yield* source.get(demand, refused)
      if (login._tag === "Anonymous") return login
      const now = yield* Clock.currentTimeMillis
      const until = logins.get(login.identity)
      const nobody: Credential = {
        ...anonymous,
        source: `${login.source ?? "the Credentials service"} that was not refused before`
      }
      if (refused?.identity !== login.identity)
        return until !== undefined && now < until ? nobody : login
      if (logins.size >= capacity) logins.clear()
      logins.set(login.identity, now + untried)
      if (until === undefined)
        yield* Effect.logWarning(
          `${demand.origin} refuses ${nameOf(login)}, and content is pulled without it: ` +
            "log in again"
        )
      return nobody
    })
})

const nameOf = (login: Credential): string =>
  kindOf(login) + (login.source === undefined ? "" : ` from ${login.source}`)

const kindOf = (login: Credential): string => {
  switch (login._tag) {
    case "Basic":
      return `the login of ${JSON.stringify(login.username)}`
    case "IdentityToken":
      return "the identity token of its login"
    default:
      return "the registry token that is configured for it"
  }
}
