/**
 * An application that replaces the retry schedule with one of its own: when the registry or its
 * token server wants other credentials than there are, the user is asked to log in. `tsx
 * --conditions=@effect-oci/source examples/login-schedule.ts http://localhost:5000 owner/name`
 * lists the tags of a repository; each line of the standard input is a user name, a space and a
 * password.
 */
import { createInterface } from "node:readline"
import { pathToFileURL } from "node:url"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Credentials from "effect-oci/Credentials"
import { NodeRegistry } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import { Registry } from "effect-oci/Registry"
import type { AuthChallenge } from "effect-oci/RegistryError"

/** The application's own service: who is logged in where, and how to change that. */
class Session extends Context.Tag("example/Session")<
  Session,
  {
    readonly credentials: Credentials.Credentials.Service
    /** False when the user gives up. */
    readonly login: (origin: string) => Effect.Effect<boolean>
  }
>() {}

/**
 * Tries again while there is something new to send, else after a login; ten times at most, should a
 * registry want something else each time. It needs `Session`, and so does the layer that it is
 * given to.
 */
const schedule = Schedule.recurWhileEffect(({ answerable, origin }: AuthChallenge) =>
  answerable ? Effect.succeed(true) : Effect.flatMap(Session, (session) => session.login(origin))
).pipe(Schedule.intersect(Schedule.recurs(10)))

/** What the application is for. It knows nothing of logins. */
const tags = (name: string) =>
  Effect.gen(function* () {
    const registry = yield* Registry
    const repository = yield* Reference.parseRepositoryName(name)
    yield* Stream.runForEach(registry.tags(repository), (tag) => Console.log(tag))
  })

const session = Layer.scoped(
  Session,
  Effect.gen(function* () {
    const known = new Map<string, Credentials.Credential>()
    const { lines } = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const input = createInterface({ input: process.stdin })
        // At once: lines that come before are lost, and so is their end.
        return { input, lines: input[Symbol.asyncIterator]() }
      }),
      ({ input }) => Effect.sync(() => input.close())
    )
    return {
      credentials: {
        get: ({ origin }) => Effect.sync(() => known.get(origin) ?? Credentials.anonymous)
      },
      login: (origin) =>
        Effect.gen(function* () {
          yield* Console.log(`${origin} wants to know who you are: user name, space, password`)
          const line = yield* Effect.promise(() => lines.next())
          if (line.done === true) return false
          const [user = "", password = ""] = line.value.split(" ", 2)
          known.set(origin, Credentials.basic(user, Redacted.make(password)))
          return true
        })
    }
  })
)

const credentials = Layer.effect(
  Credentials.Credentials,
  Effect.map(Session, (session) => session.credentials)
)

const [, script = "", url = "http://localhost:5000", name = "owner/name"] = process.argv
if (import.meta.url === pathToFileURL(script).href) {
  const live = NodeRegistry.layer({ url, schedule }).pipe(
    Layer.provide(credentials),
    Layer.provide(session)
  )
  NodeRuntime.runMain(Effect.provide(tags(name), live))
}
