/**
 * The same number of items at once, or a tenth of them ten times: what grows with the number of
 * items takes longer at once.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Credentials from "effect-oci/Credentials"
import * as Digest from "effect-oci/Digest"
import { NodeRegistry } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import * as Registries from "effect-oci/Registries"
import { Registry } from "effect-oci/Registry"
import * as TokenCache from "effect-oci/TokenCache"
import { small } from "./content.js"
import { concurrency, type Task, type Tasks } from "./task.js"

/** Runs `work` on the client of one registry, for `count` items, `times` times. */
const repeated =
  (work: (registry: Registry.Service, count: number) => Effect.Effect<unknown, unknown>) =>
  (count: number, times: number): Task =>
  ({ url }) =>
    Effect.flatMap(Registry, (registry) => Effect.repeatN(work(registry, count), times - 1)).pipe(
      Effect.asVoid,
      Effect.provide(NodeRegistry.layer({ url }).pipe(Layer.provide(Credentials.layerAnonymous))),
      Effect.runPromise
    )

const counted = (what: string, expected: number) => (actual: number) =>
  actual === expected ? Effect.void : Effect.dieMessage(`${actual} ${what} instead of ${expected}`)

const tags = repeated((registry, count) =>
  Stream.runCount(registry.tags(Reference.unsafeParseRepositoryName(`tags-${count}`))).pipe(
    Effect.flatMap(counted("tags", count))
  )
)

const referrers = repeated((registry, count) =>
  Stream.runCount(
    registry.referrers(
      Reference.unsafeParseRepositoryName(`referrers-${count}`),
      Digest.unsafeParse(small.digest)
    )
  ).pipe(Effect.flatMap(counted("referrers", count)))
)

const layers = repeated((registry, count) =>
  Effect.flatMap(
    registry.getManifest(
      Reference.unsafeParseRepositoryName("bench"),
      Reference.unsafeParseTag(`layers-${count}`)
    ),
    ({ content }) => counted("layers", count)("layers" in content ? content.layers.length : 0)
  )
)

/** So many hosts, each asked once for a manifest, over connections that then are idle. */
const hosts =
  (count: number, times: number): Task =>
  async ({ url }) => {
    const response = await fetch(`${url}/listen?count=${count}`)
    const ports = (await response.json()) as ReadonlyArray<number>
    const each = Effect.forEach(
      ports,
      (port) => Registries.resolve(`127.0.0.1:${port}/bench:latest`),
      { concurrency, discard: true }
    ).pipe(
      Effect.provide(NodeRegistry.layerRegistries().pipe(Layer.provide(Credentials.layerAnonymous)))
    )
    await Effect.runPromise(Effect.repeatN(each, times - 1))
  }

/** So many tokens, each asked for twice. */
const tokens = (count: number, times: number): Task => {
  const acquire = () =>
    Effect.succeed({
      value: Redacted.make("token"),
      expiresAt: Number.MAX_SAFE_INTEGER
    })
  const round = Effect.scoped(
    Effect.flatMap(TokenCache.make, (cache) =>
      Effect.forEach(
        Array.from({ length: 2 * count }, (_, n) => n),
        (n) =>
          cache.getOrAcquire(
            {
              origin: `https://registry-${n >> 1}.example`,
              realm: "https://auth.example/token",
              service: "registry.example",
              identity: "anonymous",
              scopes: ["repository:bench:pull"]
            },
            acquire
          ),
        { discard: true }
      )
    )
  )
  return () => Effect.runPromise(Effect.repeatN(round, times - 1))
}

const grown = (name: string, task: (count: number, times: number) => Task, count: number) => ({
  [`${count} ${name} at once`]: task(count, 10),
  [`${count} ${name}, a tenth at a time`]: task(count / 10, 100)
})

export const tasks: Tasks = {
  ...grown("tags", (count, times) => tags(count, times / 10), 100_000),
  ...grown("referrers", referrers, 10_000),
  ...grown("layers in a manifest", layers, 1000),
  ...grown("hosts", (count, times) => hosts(count, times / 10), 1000),
  ...grown("tokens", tokens, 10_000)
}
