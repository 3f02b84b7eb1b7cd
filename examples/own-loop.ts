/**
 * An application with an authorization loop of its own around `RegistryClient.attempt`: it writes
 * down what the registry asks for, and never answers more than once. `tsx
 * --conditions=@effect-oci/source examples/own-loop.ts http://localhost:5000 owner/name user` reads
 * the password from the standard input and prints the list of tags as the registry sends it.
 */
import { text } from "node:stream/consumers"
import { pathToFileURL } from "node:url"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "effect-oci/Credentials"
import { NodeHttp } from "effect-oci/node"
import * as Operation from "effect-oci/Operation"
import * as Reference from "effect-oci/Reference"
import * as RegistryClient from "effect-oci/RegistryClient"
import type { AuthChallenge } from "effect-oci/RegistryError"
import * as TokenCache from "effect-oci/TokenCache"

/**
 * One exchange, and one more for an answerable challenge. The error type says that a challenge may
 * be left.
 */
const exchange = (to: RegistryClient.Endpoint, operation: Operation.Operation) =>
  Effect.catchTag(RegistryClient.attempt(to, operation), "AuthChallenge", (challenge) =>
    Effect.zipRight(
      record(challenge),
      challenge.answerable
        ? Effect.tapErrorTag(RegistryClient.attempt(to, operation), "AuthChallenge", record)
        : Effect.fail(challenge)
    )
  )

const record = ({ answerable, challenges, scopes, sent }: AuthChallenge) =>
  Console.log(
    `asked for ${challenges.map(({ scheme }) => scheme).join(" or ")}, for ${scopes.join(" ")}; sent ${sent}; ${answerable ? "answering" : "giving up"}`
  )

const program = (url: string, name: string) =>
  Effect.gen(function* () {
    const to = yield* RegistryClient.endpoint({ url })
    const repository = yield* Reference.parseRepositoryName(name)
    const response = yield* exchange(to, Operation.ListTags({ repository }))
    yield* Console.log(`${response.status} ${yield* response.text}`)
  }).pipe(
    Effect.catchTag("AuthChallenge", ({ message }) => Console.log(message)),
    Effect.scoped
  )

const [, script = "", url = "http://localhost:5000", name = "owner/name", username = "user"] =
  process.argv
if (import.meta.url === pathToFileURL(script).href) {
  const credentials = Layer.unwrapEffect(
    Effect.map(
      Effect.promise(() => text(process.stdin)),
      (password) =>
        Credentials.layerBasic({
          host: new URL(url).host,
          username,
          password: Redacted.make(password.trimEnd())
        })
    )
  )
  const live = Layer.mergeAll(NodeHttp.layer(), TokenCache.layerMemory, credentials)
  NodeRuntime.runMain(Effect.provide(program(url, name), live))
}
