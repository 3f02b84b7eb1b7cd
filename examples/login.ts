import { text } from "node:stream/consumers"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Credentials from "effect-oci/Credentials"
import * as DockerConfig from "effect-oci/DockerConfig"
import { NodeHttp } from "effect-oci/node"
import * as RegistryClient from "effect-oci/RegistryClient"

/** Stores a login where `docker` looks for it, unless the registry refuses it. */
const login = (host: string, username: string, password: string) =>
  Effect.gen(function* () {
    const login = Credentials.basic(username, Redacted.make(password))
    const verified = yield* RegistryClient.verify(host, login)
    yield* DockerConfig.store(host, login)
    yield* Console.log(
      verified === "Accepted"
        ? "Login succeeded"
        : `${host} did not ask for a login: stored as it is`
    )
  })

const logout = (host: string) =>
  Effect.zipRight(DockerConfig.erase(host), Console.log("Login removed"))

const [host = "docker.io", username] = process.argv.slice(2)

Effect.gen(function* () {
  if (username === undefined) return yield* logout(host)
  const input = yield* Effect.promise(() => text(process.stdin))
  yield* login(host, username, input.replace(/\r?\n$/, ""))
}).pipe(
  Effect.tapError(({ message }) => Console.error(message)),
  Effect.provide([NodeHttp.layer(), NodeContext.layer]),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
