/** The users of a server and how their passwords are checked: as values, or in a file. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { StorageFailure } from "../../RegistryError.js"
import * as Secrets from "./Secrets.js"

/**
 * User names and their passwords. The empty name is nobody's.
 *
 * @since 0.1.0
 * @category models
 */
export type Users = Readonly<Record<string, Redacted.Redacted>>

/**
 * Users whose passwords are kept elsewhere, and checked there.
 *
 * - `verify` says whether a user has this password. Unknown users have to cost the same as known
 *   ones, so that the time of a response does not tell who exists.
 * - `revision` returns what is other than before when the password of a user was changed, and none
 *   when there is no such user. It is kept with refresh tokens, and shown to nobody.
 *
 * @since 0.1.0
 * @category models
 */
export interface Passwords {
  readonly verify: (
    user: string,
    password: Redacted.Redacted
  ) => Effect.Effect<boolean, StorageFailure>
  readonly revision: (user: string) => Effect.Effect<Option.Option<string>, StorageFailure>
}

/** Returns the passwords as they are, or those of values. */
export const from = (users: Users | Passwords): Passwords => {
  if (isPasswords(users)) return users
  const known = new Map(
    Object.entries(users).map(([user, password]) => [user, Secrets.hash(Redacted.value(password))])
  )
  known.delete("")
  const nobody = Secrets.hash(Secrets.random())
  return {
    verify: (user, password) =>
      Effect.sync(() =>
        Secrets.isSame(known.get(user) ?? nobody, Secrets.hash(Redacted.value(password)))
      ),
    revision: (user) => Effect.succeed(Option.fromNullable(known.get(user)))
  }
}

/** A password, even that of a user called `verify`, is no function. */
const isPasswords = (users: Users | Passwords): users is Passwords =>
  typeof users["verify"] === "function"
