/**
 * One run of a credential helper: what it is told over its standard input, and what it says over
 * its standard output and its exit code.
 */
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as String from "effect/String"
import * as ByteStream from "../../ByteStream.js"
import { CredentialsFailure } from "../../RegistryError.js"
import * as Host from "../../spec/Host.js"

/** The failure to run the program of a helper: it is not installed, or cannot be executed. */
export class HelperMissing extends Data.TaggedError("HelperMissing")<{
  readonly program: string
}> {}

/** Makes the error for a helper that is configured by name and cannot be run. */
export const missing = (program: string): CredentialsFailure =>
  new CredentialsFailure({
    source: program,
    problem: "the program is not installed, or not executable",
    fix: "Install it into a folder of PATH, or remove the helper from the configuration"
  })

/** The program of a helper, the host that it is run for, and how long it may take. */
export interface Helper {
  readonly suffix: string
  readonly host: string
  readonly timeout: Duration.DurationInput | undefined
}

/** What a run comes to: what the program printed, and how to fail with what it printed. */
export interface Output {
  readonly text: Option.Option<string>
  readonly failure: (problem: string) => CredentialsFailure
}

/** Returns the name of the program of a helper. */
export const programOf = (suffix: string): string => `docker-credential-${suffix}`

/** Returns the name under which helpers keep the login of a host. */
export const serverUrl = (host: string): string =>
  // Docker Hub has been kept under the URL of its first index ever since.
  Host.isDockerHub(host) ? "https://index.docker.io/v1/" : host

/**
 * Runs a helper with `input`. Returns nothing if it says that it has no login of the host. It may
 * take 30 seconds, if no other `timeout` is given.
 *
 * Fails with `HelperMissing` if there is no such program or it cannot be executed. Fails with
 * `CredentialsFailure` if `suffix` is not a plain name, or the program fails, takes too long, or
 * prints more than 64 KiB. The errors show nothing that the program printed.
 */
export const run = (
  helper: Helper,
  action: keyof typeof advice,
  input: string
): Effect.Effect<
  Option.Option<Output>,
  CredentialsFailure | HelperMissing,
  CommandExecutor.CommandExecutor
> =>
  Effect.gen(function* () {
    const { host, suffix } = helper
    if (!isSuffix(suffix)) return yield* unnamed()
    const program = programOf(suffix)
    const failure = (problem: string) =>
      new CredentialsFailure({ source: program, problem, fix: advice[action](program, host) })
    const command = Command.make(program, action).pipe(Command.feed(input))
    const { errors, exitCode, output } = yield* ended(command, program).pipe(
      Effect.catchTags({
        LimitExceeded: () => Effect.fail(failure("it printed more than 64 KiB")),
        SystemError: () => Effect.fail(failure("it could not be run to its end")),
        BadArgument: () => Effect.fail(failure("it could not be run"))
      }),
      Effect.timeoutFail({
        duration: helper.timeout ?? "30 seconds",
        onTimeout: () => failure("it did not answer in time and was ended")
      })
    )
    if (exitCode === 0) return Option.some({ text: output, failure })
    if (isNotExecutable(program, exitCode, errors)) return yield* new HelperMissing({ program })
    if (Option.contains(Option.map(output, String.trim), notFound)) return Option.none()
    return yield* failure(`it failed with exit code ${exitCode}`)
  })

const advice = {
  get: (program: string, host: string) => `See what "${program} get" prints for ${host}`,
  store: (program: string) =>
    `See that ${program} keeps logins, and that what it keeps them in is there and unlocked`,
  erase: (program: string, host: string) =>
    `See whether "${program} list" still has ${host}, and that what it keeps logins in is unlocked`
}

const notFound = "credentials not found in native keychain"

const maxOutput = 64 * 1024

/** A plain name: with a slash it would be the path of some other program (T17). */
const isSuffix = (suffix: string): boolean =>
  suffix.length <= 128 && /^[A-Za-z0-9._-]+$/.test(suffix)

/** What is no name may be a secret that was put there by mistake. */
const unnamed = () =>
  new CredentialsFailure({
    source: "a credential helper",
    problem: "its name holds other characters than letters, digits, dots, dashes and underscores",
    fix: 'Write what follows "docker-credential-" in the name of the program'
  })

/**
 * A shell says so of what it cannot execute (126) or find (127), such as a Windows program that a
 * script on WSL starts. What has no format that the system knows is read by a shell as its own
 * script.
 */
const isNotExecutable = (program: string, exitCode: number, errors: string): boolean =>
  exitCode === 126 ||
  exitCode === 127 ||
  (exitCode === 2 && errors.includes(`${program}: `) && /syntax error/i.test(errors))

// -----------------------------------------------------------------------------
// The process
// -----------------------------------------------------------------------------

const ended = (command: Command.Command, program: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const process = yield* started(command, program)
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
  command: Command.Command,
  program: string
): Effect.Effect<
  CommandExecutor.Process,
  HelperMissing,
  Scope.Scope | CommandExecutor.CommandExecutor
> =>
  Effect.flatMap(CommandExecutor.CommandExecutor, ({ start }) => start(command)).pipe(
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
