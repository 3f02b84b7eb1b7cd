/** The messages of refusals: what was refused, to whose credential, and what to do. */
import type { CredentialInfo } from "./CredentialInfo.js"

const supply = "log in, or supply a Credentials layer"
const asAnother = "log in, as somebody who may do this"

/** Returns why a registry keeps answering with a challenge, and what to do. */
export const ofChallenge = (
  sent: "nothing" | "basic" | "bearer",
  scopes: ReadonlyArray<string>,
  credential: CredentialInfo | undefined
): string => {
  switch (sent) {
    case "nothing":
      if (credential === undefined)
        return `asks for credentials, and none are configured for it that would do: ${supply}`
      return credential.kind === "Anonymous"
        ? `asks for credentials, and none were found in ${credential.source}: ${supply}`
        : `asks for credentials of another kind than ${nameOf(credential)}: log in again`
    case "basic":
      return credential === undefined
        ? "does not accept the user name and password configured for it: log in again"
        : `does not accept ${nameOf(credential)}: log in again`
    case "bearer":
      if (credential === undefined)
        return `does not accept the token that it was sent: ${asAnother}`
      if (credential.kind === "RegistryToken")
        return `does not accept ${nameOf(credential)}: it may have expired`
      return (
        `refuses ${demanded(scopes)} to a token that was issued ` +
        (credential.kind === "Anonymous"
          ? withoutLogin(credential)
          : `for ${nameOf(credential)}: ${asAnother}`)
      )
  }
}

/** Returns which request a token server gave no token for, to whose credential, and what to do. */
export const ofTokenServer = (
  operation: string | undefined,
  scopes: ReadonlyArray<string>,
  credential: CredentialInfo | undefined
): string => {
  const request = operation === undefined ? "" : ` for ${operation}`
  if (credential === undefined)
    return `gave no token${request}: log in, or check the user name and password`
  const needs = scopes.length === 0 ? " " : `, which needs ${scopes.join(" ")}, `
  return (
    `gave no token${request}${needs}` +
    (credential.kind === "Anonymous"
      ? withoutLogin(credential)
      : `with ${nameOf(credential)}: log in, or check the user name and password`)
  )
}

/** Returns what a registry refuses for good, to whose credential, and what to do. */
export const ofDenied = (
  scopes: ReadonlyArray<string>,
  credential: CredentialInfo | undefined
): string => {
  if (credential === undefined) return "refuses this operation to the current credentials"
  if (credential.kind !== "Anonymous")
    return `refuses ${demanded(scopes)} with ${nameOf(credential)}: ${asAnother}`
  return (
    `refuses ${demanded(scopes)} ` +
    (credential.source === undefined
      ? "without a login, and did not ask for one"
      : withoutLogin(credential))
  )
}

const demanded = (scopes: ReadonlyArray<string>): string =>
  scopes.length === 0 ? "this operation" : scopes.join(" ")

/** That there is no login, where one was looked for, and what to do. */
const withoutLogin = ({ source }: CredentialInfo): string =>
  `without a login, and none was found in ${source}: ${supply}`

const kinds = {
  Anonymous: "absence of a login",
  Basic: "password",
  IdentityToken: "identity token",
  RegistryToken: "registry token"
}

/** A credential in a sentence, such as `the password of "alice" from <file>`. */
const nameOf = ({ kind, source, username }: CredentialInfo): string =>
  `the ${kinds[kind]}` +
  (username === undefined ? "" : ` of ${JSON.stringify(username)}`) +
  (source === undefined ? "" : ` from ${source}`)
