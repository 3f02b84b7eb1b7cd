import { mkdir } from "node:fs/promises"
import { parseArgs } from "node:util"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ComposedRegistry from "effect-oci/ComposedRegistry"
import * as Credentials from "effect-oci/Credentials"
import * as Host from "effect-oci/Host"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import { NodeCredentials, NodeLayout, NodeRegistry, NodeRegistryServer } from "effect-oci/node"
import { Registry } from "effect-oci/Registry"
import { type Exchange, RegistryServer } from "effect-oci/RegistryServer"
import * as ServerAuthorization from "effect-oci/ServerAuthorization"

const usage = `npm run serve -- [--port 5000] [--host 127.0.0.1] [--users file] [--data folder]
  [--pull-through registry] [--blob-limit bytes] [--keep-free bytes] [--no-deletes]

  --users         who may log in, as htpasswd -B writes it; without, everybody may do everything
  --data          keep content in image layouts in this folder; without, in memory
  --pull-through  store what is read from another registry, such as docker.io; then nothing is pushed
  --blob-limit    the most bytes of one blob
  --keep-free     bytes of the disk of --data to leave free, 1 GiB by default
  --no-deletes    refuse to delete`

const parsed = Effect.try({
  try: () =>
    parseArgs({
      options: {
        port: { type: "string", default: "5000" },
        host: { type: "string", default: "127.0.0.1" },
        users: { type: "string" },
        data: { type: "string" },
        "pull-through": { type: "string" },
        "blob-limit": { type: "string" },
        "keep-free": { type: "string", default: String(1024 ** 3) },
        "no-deletes": { type: "boolean", default: false }
      }
    }).values,
  catch: (cause) => (cause instanceof Error ? cause.message : String(cause))
})

type Options = Effect.Effect.Success<typeof parsed>

const number = (option: string, text: string) =>
  /^\d{1,15}$/.test(text)
    ? Effect.succeed(Number(text))
    : Effect.fail(`--${option} takes a number, and not "${text}"`)

const stored = ({ data }: Options) =>
  data === undefined
    ? MemoryRegistry.make()
    : Effect.zipRight(
        Effect.promise(() => mkdir(data, { recursive: true })),
        NodeLayout.make({ path: data })
      )

/** Whoever may not log in here gets nothing that this machine's logins alone could read. */
const upstream = (url: string, { users }: Options) =>
  NodeRegistry.layer({ url }).pipe(
    Layer.provide(users === undefined ? Credentials.layerAnonymous : NodeCredentials.layer)
  )

const registry = (options: Options) => {
  const { "pull-through": url } = options
  return url === undefined
    ? Layer.effect(Registry, stored(options))
    : Layer.scoped(
        Registry,
        Effect.gen(function* () {
          const store = yield* stored(options)
          return yield* ComposedRegistry.cached(yield* Registry, { store, staleTags: true })
        })
      ).pipe(Layer.provide(upstream(url, options)))
}

const accessLog = ({ duration, method, remoteAddress = "-", status, time, url }: Exchange) =>
  Console.log(
    `${DateTime.formatIso(DateTime.unsafeMake(time))} ${remoteAddress} ` +
      `${method} ${JSON.stringify(url)} ${status} ${duration} ms`
  )

const server = (options: Options) =>
  Effect.gen(function* () {
    const { data, users } = options
    const url = options["pull-through"]
    const limit = options["blob-limit"]
    const keep = yield* number("keep-free", options["keep-free"])
    return NodeRegistryServer.layer({
      port: yield* number("port", options.port),
      host: options.host,
      authorization:
        users === undefined
          ? undefined
          : yield* ServerAuthorization.token({
              users: yield* ServerAuthorization.htpasswd(users)
            }),
      deletes: !options["no-deletes"],
      proxyOf: url === undefined ? undefined : yield* Host.parse(url.replace(/^https?:\/\//, "")),
      limits: {
        blobSize: limit === undefined ? undefined : yield* number("blob-limit", limit),
        space: data === undefined ? undefined : NodeRegistryServer.spaceOf(data, keep)
      },
      onExchange: accessLog
    })
  }).pipe(Layer.unwrapEffect, Layer.provide(registry(options)))

const greeting = Effect.flatMap(RegistryServer, ({ url }) => Console.log(`serving at ${url}`))

/** SIGINT and SIGTERM stop it: uploads that are under way have 30 seconds to finish. */
const main = Effect.gen(function* () {
  const options = yield* parsed
  yield* Layer.launch(Layer.effectDiscard(greeting).pipe(Layer.provide(server(options))))
}).pipe(
  Effect.catchIf(
    (error) => typeof error === "string",
    (message) =>
      Effect.zipRight(
        Console.error(`${message}\n\n${usage}`),
        Effect.sync(() => {
          process.exitCode = 2
        })
      )
  ),
  Effect.provide(NodeContext.layer)
)

NodeRuntime.runMain(main)
