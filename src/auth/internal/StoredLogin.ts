/**
 * Logins as they are kept: for which place, in which form, and which ones could not be read back as
 * they are.
 */
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"
import { invalidHost } from "../../internal/HostProblem.js"
import { CredentialsFailure, type InvalidUrl } from "../../RegistryError.js"
import * as Host from "../../spec/Host.js"
import type { Demand, Login } from "../Credentials.js"
import { isLossy, problemOf } from "./Sendable.js"

/** Where a login is for: the host, under the name that it has here, and as the demand of one. */
export interface Place {
  readonly name: Host.Host
  readonly demand: Demand
}

/** Returns the place of a host. Fails with `InvalidUrl` if it is not a host. */
export const placeOf = (host: string): Effect.Effect<Place, InvalidUrl> =>
  Effect.mapBoth(Host.parse(host), {
    onFailure: invalidHost("it"),
    onSuccess: (name) => ({
      name,
      demand: {
        origin: `${Host.isLoopback(name) ? "http" : "https"}://${Host.apiHost(name)}`,
        scopes: []
      }
    })
  })

/** A login as a helper keeps it. */
interface HelperLogin {
  readonly username: string
  readonly secret: Redacted.Redacted
}

/**
 * Returns a login in the form of helpers, in which an identity token has the user name `<token>`.
 * Fails with `CredentialsFailure` if there is no such form.
 */
export const forHelper = (
  source: string,
  host: string,
  login: Login
): Effect.Effect<HelperLogin, CredentialsFailure> =>
  login._tag === "RegistryToken"
    ? unstorable(source, host, "helpers keep no registry tokens")
    : Effect.as(
        checked(source, host, login),
        login._tag === "Basic"
          ? { username: login.username, secret: login.password }
          : { username: tokenUser, secret: login.token }
      )

/**
 * Returns a login as the members of an entry in a file. An identity token has a user name as well,
 * without which podman and skopeo pass over it. Fails with `CredentialsFailure` if it could not be
 * read back.
 */
export const forFile = (
  source: string,
  host: string,
  login: Login
): Effect.Effect<Readonly<Record<string, string>>, CredentialsFailure> =>
  Effect.as(checked(source, host, login), entryOf(login))

const entryOf = (login: Login): Readonly<Record<string, string>> => {
  switch (login._tag) {
    case "Basic":
      return { auth: authOf(login.username, Redacted.value(login.password)) }
    case "IdentityToken":
      return { auth: authOf(tokenUser, ""), identitytoken: Redacted.value(login.token) }
    case "RegistryToken":
      return { registrytoken: Redacted.value(login.token) }
  }
}

const tokenUser = "<token>"

const authOf = (username: string, password: string): string =>
  Encoding.encodeBase64(`${username}:${password}`)

const checked = (source: string, host: string, login: Login) => {
  const problem = problemOf(login) ?? lossOf(login)
  return problem === undefined ? Effect.void : unstorable(source, host, problem)
}

/** What a login would lose between being written and being read. */
const lossOf = (login: Login): string | undefined => {
  if (login._tag !== "Basic") {
    const token = Redacted.value(login.token)
    if (token === "") return "its token is empty"
    return isLossy(token) ? "its token holds bytes that were not UTF-8" : undefined
  }
  const password = Redacted.value(login.password)
  if (login.username === "") return "its user name is empty"
  if (password === "") return "its password is empty"
  if (isLossy(login.username) || isLossy(password))
    return "its user name or password holds bytes that were not UTF-8"
  return password.endsWith("\0") ? "its password ends with a NUL" : undefined
}

const unstorable = (source: string, host: string, problem: string) =>
  new CredentialsFailure({
    source,
    problem: `the login of ${host} cannot be stored: ${problem}`,
    fix: "See that it is as its registry gave it"
  })
