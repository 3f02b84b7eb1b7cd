/** A client as both of its services, and the origins around it, without sockets. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type * as Scope from "effect/Scope"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { Registry } from "../../src/Registry.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { alice } from "../support/fake/Client.js"
import type { Handler } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"

/** What stands in the table for a row: a test of its behaviour. */
export type Row = Effect.Effect<void, unknown, Scope.Scope>

export const url = "http://registry.test"
export const repository = Reference.unsafeParseRepositoryName("owner/name")
export const tag = Reference.unsafeParseTag("latest")

interface Options extends Partial<RegistryClient.LayerOptions> {
  readonly others?: Readonly<Record<string, Handler>>
  /** Whether alice's password is there, or nothing. */
  readonly login?: boolean
}

const open = (client: HttpClient.HttpClient, { login = false, others: _, ...options }: Options) =>
  Effect.gen(function* () {
    const services = yield* Layer.build(
      RegistryClient.layer({
        url,
        retry: { attempts: 1, base: "1 millis", maxDelay: "2 millis" },
        ...options
      }).pipe(
        Layer.provide([
          Layer.succeed(HttpClient.HttpClient, client),
          login ? alice(url) : Credentials.layerAnonymous,
          TokenCache.layerMemory
        ])
      )
    )
    return {
      registry: Context.get(services, Registry),
      client: Context.get(services, RegistryClient.RegistryClient)
    }
  })

/** A registry that a handler is, other origins, and all that was sent to any of them. */
export const world = (handler: Handler, options: Options = {}) =>
  Effect.gen(function* () {
    const { client, log, seen } = internet({ [url]: handler, ...options.others })
    return { ...(yield* open(client, options)), log, seen }
  })

/** A client of the embedded registry. */
export const embedded = (options: Options = {}) =>
  Effect.gen(function* () {
    const memory = yield* MemoryRegistry.make()
    const services = yield* Layer.build(
      Layer.provide(RegistryServer.layerTest(), Layer.succeed(Registry, memory))
    )
    return yield* open(Context.get(services, HttpClient.HttpClient), options)
  })

/** Runs an effect, and returns what it logged at a level. */
export const logged = <A, E, R>(effect: Effect.Effect<A, E, R>, level: LogLevel.LogLevel) => {
  const lines: Array<string> = []
  return effect.pipe(
    Effect.provide(
      Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ annotations, message }) => {
          lines.push(`${String(message)} ${JSON.stringify([...HashMap.values(annotations)])}`)
        })
      )
    ),
    Logger.withMinimumLogLevel(level),
    Effect.as(lines)
  )
}

export const debug = LogLevel.Debug
export const info = LogLevel.Info
