/**
 * [Credential helpers](https://github.com/docker/docker-credential-helpers#development): programs
 * named `docker-credential-…` that keep passwords in the keychain of a system or obtain them from a
 * cloud. They are run without a shell, and asked over their standard input and output.
 *
 * @since 0.1.0
 */
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { CredentialsFailure, InvalidUrl } from "../RegistryError.js"
import * as Host from "../spec/Host.js"
import { anonymous, type Credential, Credentials, fromLogin, type Login } from "./Credentials.js"
import * as Changes from "./internal/Changes.js"
import * as HelperProgram from "./internal/HelperProgram.js"
import { members } from "./internal/Members.js"
import { problemOf } from "./internal/Sendable.js"
import * as StoredLogin from "./internal/StoredLogin.js"

/**
 * How helpers are run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How long a helper may take: 30 seconds by default, since a keychain may ask its user. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * Helpers, run once for each host: a credential is kept for an hour, until a server rejects it, or
 * until this process stores or erases one. ECR's expire after 12 hours, of which a registry's
 * response to a HEAD says nothing.
 *
 * @since 0.1.0
 * @category models
 * @internal
 */
export interface Helpers {
  /**
   * Returns the credential that the helper `docker-credential-<suffix>` has for a host, if any.
   *
   * Fails with `HelperMissing` if there is no such program or it cannot be executed. Fails with
   * `CredentialsFailure` if `suffix` is not a plain name, or the program fails, takes too long,
   * prints more than 64 KiB, no credential, or one that no request can carry. The errors show
   * nothing that the program printed.
   *
   * @since 0.1.0
   */
  readonly get: (
    suffix: string,
    host: string,
    rejected?: Credential | undefined
  ) => Effect.Effect<Option.Option<Credential>, CredentialsFailure | HelperProgram.HelperMissing>
}

/** Of hosts: a default helper is asked for every one. */
const capacity = 1000

/** In milliseconds. */
const maxAge = 3_600_000

/**
 * What is known of one helper and host: how many programs came to an end, and how and when the last
 * one did.
 */
interface Known {
  readonly turn: Effect.Semaphore
  runs: number
  last: { readonly exit: Answered; readonly at: number; readonly changes: number } | undefined
}

type Answered = Exit.Exit<
  Option.Option<Credential>,
  CredentialsFailure | HelperProgram.HelperMissing
>

/**
 * Makes helpers with an empty cache. Each program may take 30 seconds, or `timeout` if that is
 * given.
 *
 * @since 0.1.0
 * @category constructors
 * @internal
 */
export const make = (
  options: Options = {}
): Effect.Effect<Helpers, never, CommandExecutor.CommandExecutor> =>
  Effect.map(CommandExecutor.CommandExecutor, (executor) => {
    const known = new Map<string, Known>()
    const knownOf = (id: string): Known => {
      const found = known.get(id) ?? {
        turn: Effect.unsafeMakeSemaphore(1),
        runs: 0,
        last: undefined
      }
      known.delete(id)
      for (const oldest of known.keys()) {
        if (known.size < capacity) break
        known.delete(oldest)
      }
      known.set(id, found)
      return found
    }
    return {
      get: (suffix, host, rejected) =>
        Effect.suspend(() => {
          const entry = knownOf(JSON.stringify([suffix, host]))
          const { runs } = entry
          return entry.turn.withPermits(1)(
            Effect.gen(function* () {
              // One program at a time; whoever waited for it takes its answer, or its failure.
              const { last } = entry
              const now = yield* Clock.currentTimeMillis
              const changes = Changes.count()
              if (
                last?.changes === changes &&
                (entry.runs > runs || (now < last.at + maxAge && isGood(last.exit, rejected)))
              )
                return yield* last.exit
              const exit = yield* Effect.exit(
                Effect.provideService(
                  ask({ suffix, host, timeout: options.timeout }),
                  CommandExecutor.CommandExecutor,
                  executor
                )
              )
              entry.runs++
              entry.last = { exit, at: now, changes }
              return yield* exit
            })
          )
        })
    }
  })

const isGood = (exit: Answered, rejected: Credential | undefined): boolean =>
  Exit.isSuccess(exit) &&
  Option.getOrElse(exit.value, () => anonymous).identity !== rejected?.identity

/**
 * Provides the credentials that one helper has, for any host. `suffix` is the part of its name
 * after `docker-credential-`.
 *
 * `get` fails with `CredentialsFailure` if `suffix` is not a plain name, or the program is missing,
 * cannot be executed, fails, takes too long, or prints more than 64 KiB, no credential, or one that
 * no request can carry.
 *
 * @example
 * ```ts
 * import * as CredentialHelper from "effect-oci/CredentialHelper"
 * import * as NodeContext from "@effect/platform-node/NodeContext"
 * import * as Layer from "effect/Layer"
 *
 * const Aws = Layer.provide(CredentialHelper.layer("ecr-login"), NodeContext.layer)
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  suffix: string,
  options?: Options
): Layer.Layer<Credentials, never, CommandExecutor.CommandExecutor> =>
  Layer.effect(
    Credentials,
    Effect.map(make(options), (helpers) => ({
      get: ({ origin }, rejected) =>
        helpers
          .get(
            suffix,
            Option.getOrElse(Host.fromUrl(origin), () => origin),
            rejected
          )
          .pipe(
            Effect.map(
              Option.getOrElse(() => ({ ...anonymous, source: HelperProgram.programOf(suffix) }))
            ),
            Effect.catchTag("HelperMissing", ({ program }) => HelperProgram.missing(program))
          )
    }))
  )

/**
 * Has a helper keep the login of a host, in place of the one that it has. `suffix` is the part of
 * its name after `docker-credential-`. An identity token is stored as Docker does, under the user
 * name `<token>`. All layers of this process see the new login at once.
 *
 * The login goes to the program over its standard input, and is in no argument and no error.
 *
 * Fails with
 *
 * - `InvalidUrl` if `host` is not a host, as `Host.parse` takes it;
 * - `CredentialsFailure` if the login is a registry token, which helpers do not keep, or could not
 *   be read back as it is; if `suffix` is not a plain name; or if the program is missing, cannot be
 *   executed, fails, takes too long or prints more than 64 KiB.
 *
 * @example
 * ```ts
 * import * as CredentialHelper from "effect-oci/CredentialHelper"
 * import * as Credentials from "effect-oci/Credentials"
 * import * as Redacted from "effect/Redacted"
 *
 * const program = CredentialHelper.store(
 *   "osxkeychain",
 *   "ghcr.io",
 *   Credentials.basic("octocat", Redacted.make("ghp_…"))
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const store = (
  suffix: string,
  host: string,
  login: Login,
  options: Options = {}
): Effect.Effect<void, CredentialsFailure | InvalidUrl, CommandExecutor.CommandExecutor> =>
  Effect.gen(function* () {
    const place = yield* StoredLogin.placeOf(host)
    const program = HelperProgram.programOf(suffix)
    const { secret, username } = yield* StoredLogin.forHelper(program, place.name, login)
    const document = JSON.stringify({
      ServerURL: HelperProgram.serverUrl(place.name),
      Username: username,
      Secret: Redacted.value(secret)
    })
    yield* change({ suffix, host: place.name, timeout: options.timeout }, "store", `${document}\n`)
  })

/**
 * Has a helper erase the login of a host. If it has none, that is a success. All layers of this
 * process forget the login at once.
 *
 * Fails with `InvalidUrl` if `host` is not a host, and with `CredentialsFailure` as `store` does.
 *
 * @since 0.1.0
 * @category operations
 */
export const erase = (
  suffix: string,
  host: string,
  options: Options = {}
): Effect.Effect<void, CredentialsFailure | InvalidUrl, CommandExecutor.CommandExecutor> =>
  Effect.gen(function* () {
    const { name } = yield* StoredLogin.placeOf(host)
    const helper = { suffix, host: name, timeout: options.timeout }
    yield* change(helper, "erase", HelperProgram.serverUrl(name))
  })

const change = (helper: HelperProgram.Helper, action: "store" | "erase", input: string) =>
  Changes.counted(HelperProgram.run(helper, action, input)).pipe(
    Effect.catchTag("HelperMissing", ({ program }) => HelperProgram.missing(program)),
    Effect.asVoid
  )

// -----------------------------------------------------------------------------
// The protocol
// -----------------------------------------------------------------------------

const ask = (
  helper: HelperProgram.Helper
): Effect.Effect<
  Option.Option<Credential>,
  CredentialsFailure | HelperProgram.HelperMissing,
  CommandExecutor.CommandExecutor
> =>
  Effect.flatMap(
    HelperProgram.run(helper, "get", HelperProgram.serverUrl(helper.host)),
    Option.match({
      onNone: () => Effect.succeedNone,
      onSome: (output) =>
        Effect.map(
          credentialOf(output),
          Option.map((credential) => ({
            ...credential,
            source: HelperProgram.programOf(helper.suffix)
          }))
        )
    })
  )

/** What Go's clients make of an answer: a member that is not there is an empty one. */
const Answer = Schema.Struct({
  Username: Schema.optionalWith(Schema.String, { default: () => "" }),
  Secret: Schema.optionalWith(Schema.String, { default: () => "" })
})

const decodeAnswer = (output: string) =>
  Option.flatMap(parseJson(output), (json) =>
    Schema.decodeUnknownOption(Answer)(members(json, Object.keys(Answer.fields)))
  )

const parseJson = Option.liftThrowable((text: string): unknown => JSON.parse(text))

/** The credential in what a helper printed, none if its members are empty. */
const credentialOf = ({
  failure,
  text
}: HelperProgram.Output): Effect.Effect<Option.Option<Credential>, CredentialsFailure> => {
  if (Option.isNone(text)) return failure("it printed bytes that are not UTF-8")
  const answer = decodeAnswer(text.value)
  if (Option.isNone(answer)) return failure("it printed something other than a credential")
  const { Secret, Username } = answer.value
  if (Username === "" && Secret === "") return Effect.succeedNone
  if (Username === "" || Secret === "")
    return failure("it has a user name or a secret, and not both")
  const credential = fromLogin(Username, Redacted.make(Secret))
  const problem = problemOf(credential)
  return problem === undefined
    ? Effect.succeedSome(credential)
    : failure(`its credential cannot be sent: ${problem}`)
}
