/**
 * [Credential helpers](https://github.com/docker/docker-credential-helpers#development): programs
 * named `docker-credential-…` that keep passwords in the keychain of a system or obtain them from a
 * cloud. They are run without a shell, and asked over their standard input and output.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as String from "effect/String"
import * as ByteStream from "../ByteStream.js"
import { CredentialsFailure } from "../RegistryError.js"
import * as Host from "../spec/Host.js"
import { anonymous, type Credential, Credentials, fromLogin } from "./Credentials.js"
import { members } from "./internal/Members.js"
import { problemOf } from "./internal/Sendable.js"

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
 * The failure to run the program of a helper: it is not installed, or cannot be executed.
 *
 * @since 0.1.0
 * @category errors
 * @internal
 */
export class HelperMissing extends Data.TaggedError("HelperMissing")<{
  readonly program: string
}> {}

/**
 * Helpers, run once for each host: a credential is kept for an hour, or until a server rejects it.
 * ECR's expire after 12 hours, of which a registry's response to a HEAD says nothing.
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
  ) => Effect.Effect<Option.Option<Credential>, CredentialsFailure | HelperMissing>
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
  last: { readonly exit: Answered; readonly at: number } | undefined
}

type Answered = Exit.Exit<Option.Option<Credential>, CredentialsFailure | HelperMissing>

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
              if (
                last !== undefined &&
                (entry.runs > runs || (now < last.at + maxAge && isGood(last.exit, rejected)))
              )
                return yield* last.exit
              const exit = yield* Effect.exit(
                ask(executor, suffix, host, options.timeout ?? "30 seconds")
              )
              entry.runs++
              entry.last = { exit, at: now }
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
            Effect.map(Option.getOrElse(() => anonymous)),
            Effect.catchTag("HelperMissing", ({ program }) => missing(program))
          )
    }))
  )

/**
 * Makes the error for a helper that is configured by name and cannot be run.
 *
 * @since 0.1.0
 * @category errors
 * @internal
 */
export const missing = (program: string): CredentialsFailure =>
  new CredentialsFailure({
    source: program,
    problem: "the program is not installed, or not executable",
    fix: "Install it into a folder of PATH, or remove the helper from the configuration"
  })

// -----------------------------------------------------------------------------
// The protocol
// -----------------------------------------------------------------------------

const maxOutput = 64 * 1024

/** A plain name: with a slash it would be the path of some other program (T17). */
const isSuffix = (suffix: string): boolean =>
  suffix.length <= 128 && /^[A-Za-z0-9._-]+$/.test(suffix)

const ask = (
  executor: CommandExecutor.CommandExecutor,
  suffix: string,
  host: string,
  timeout: Duration.DurationInput
): Effect.Effect<Option.Option<Credential>, CredentialsFailure | HelperMissing> =>
  Effect.gen(function* () {
    if (!isSuffix(suffix))
      return yield* new CredentialsFailure({
        source: "a credential helper",
        problem:
          "its name holds other characters than letters, digits, dots, dashes and underscores",
        fix: 'Write what follows "docker-credential-" in the name of the program'
      })
    const program = `docker-credential-${suffix}`
    const failure = (problem: string) =>
      new CredentialsFailure({
        source: program,
        problem,
        fix: `See what "${program} get" prints for ${host}`
      })
    const command = Command.make(program, "get").pipe(
      // Docker Hub has been kept under the URL of its first index ever since.
      Command.feed(Host.isDockerHub(host) ? "https://index.docker.io/v1/" : host)
    )
    const { errors, exitCode, output } = yield* run(executor, command, program).pipe(
      Effect.catchTags({
        LimitExceeded: () => Effect.fail(failure("it printed more than 64 KiB")),
        SystemError: () => Effect.fail(failure("it could not be run to its end")),
        BadArgument: () => Effect.fail(failure("it could not be run"))
      }),
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () => failure("it did not answer in time and was ended")
      })
    )
    if (exitCode === 0) return yield* credentialOf(output, failure)
    if (isNotExecutable(program, exitCode, errors)) return yield* new HelperMissing({ program })
    if (Option.contains(Option.map(output, String.trim), notFound)) return Option.none()
    return yield* failure(`it failed with exit code ${exitCode}`)
  })

const notFound = "credentials not found in native keychain"

/**
 * A shell says so of what it cannot execute (126) or find (127), such as a Windows program that a
 * script on WSL starts. What has no format that the system knows is read by a shell as its own
 * script.
 */
const isNotExecutable = (program: string, exitCode: number, errors: string): boolean =>
  exitCode === 126 ||
  exitCode === 127 ||
  (exitCode === 2 && errors.includes(`${program}: `) && /syntax error/i.test(errors))

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
const credentialOf = (
  output: Option.Option<string>,
  failure: (problem: string) => CredentialsFailure
): Effect.Effect<Option.Option<Credential>, CredentialsFailure> => {
  if (Option.isNone(output)) return failure("it printed bytes that are not UTF-8")
  const answer = decodeAnswer(output.value)
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

const run = (
  executor: CommandExecutor.CommandExecutor,
  command: Command.Command,
  program: string
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const process = yield* started(executor, command, program)
      // Not shown, but read to its end: a program waits for a full pipe to be emptied.
      const reading = yield* Effect.forkScoped(
        Effect.orElseSucceed(beginning(process.stderr), () => "")
      )
      const output = yield* ByteStream.collect(process.stdout, {
        what: "The output of a helper",
        limit: maxOutput
      })
      const exitCode = yield* process.exitCode
      // A program of its own that it left behind may keep the pipe open.
      const errors =
        exitCode === 2 ? Fiber.join(reading).pipe(Effect.timeoutTo(lateErrors)) : Effect.succeed("")
      return { output: decodeUtf8(output), exitCode, errors: yield* errors }
    })
  )

const lateErrors = {
  duration: "1 second",
  onSuccess: identity<string>,
  onTimeout: () => ""
} as const

/** The first bytes as text; the rest is read as well. */
const beginning = <E>(stream: Stream.Stream<Uint8Array, E>): Effect.Effect<string, E> =>
  Effect.map(
    Stream.runFold(stream, new Uint8Array(), (read, bytes) =>
      read.length >= 1024 ? read : ByteStream.concat([read, bytes]).slice(0, 1024)
    ),
    (bytes) => new TextDecoder().decode(bytes)
  )

const decodeUtf8 = Option.liftThrowable((bytes: Uint8Array): string =>
  new TextDecoder("utf-8", { fatal: true }).decode(bytes)
)

/**
 * The executor ends its programs with SIGTERM and waits for them, for ever if they do not listen.
 * What Node cannot start for a rare reason it throws, such as the wrong format of a program.
 */
const started = (
  executor: CommandExecutor.CommandExecutor,
  command: Command.Command,
  program: string
): Effect.Effect<CommandExecutor.Process, HelperMissing, Scope.Scope> =>
  executor.start(command).pipe(
    Effect.catchAllDefect(() => Effect.fail(new HelperMissing({ program }))),
    Effect.mapError(() => new HelperMissing({ program })),
    Effect.tap((process) =>
      Effect.addFinalizer(() =>
        Effect.ignore(
          Effect.whenEffect(
            process.kill("SIGKILL"),
            Effect.orElseSucceed(process.isRunning, () => true)
          )
        )
      )
    )
  )
