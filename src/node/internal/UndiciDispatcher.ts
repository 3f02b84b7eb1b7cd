/**
 * Where a request takes its connection from: agents by the registry that they serve, with
 * connections of their own for HEAD.
 *
 * What a server sends after the response to a HEAD, which has no body, would be read as the
 * response to the next request on that connection. Connections that carried a HEAD therefore carry
 * nothing else, and an origin that has sent such bytes gets a new one for each HEAD from then on.
 */
import { Socket } from "node:net"
import { type Agent, Client, Dispatcher, errors as Errors } from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ProxySettings from "../ProxySettings.js"

/**
 * Makes the agent that serves one registry. It tells `onUnrequested` of each connection that ended
 * because of a response that nobody had asked for, or that is not HTTP.
 */
export type MakeAgent = (registry: string, onUnrequested: (origin: string) => void) => Agent

/**
 * Agents by the registry that they serve, which is one of a request's options. `reusable` says
 * whether a connection may carry more than one HEAD.
 */
export class UndiciDispatcher extends Dispatcher {
  private readonly agents = new Map<string, Agent>()
  private readonly distrusted = new Set<string>()
  private destroyed = false

  constructor(
    private readonly makeAgent: MakeAgent,
    private readonly reusable: boolean,
    private readonly proxies: ProxySettings.ProxySettings = {}
  ) {
    super()
  }

  /** The proxy that requests to a URL take, if they take one. */
  proxyFor(url: URL): URL | undefined {
    return Option.getOrUndefined(
      Option.map(
        ProxySettings.proxyFor(this.proxies, url),
        (proxy) => new URL(Redacted.value(proxy))
      )
    )
  }

  override dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler
  ): boolean {
    const registry =
      "registry" in options && typeof options.registry === "string" ? options.registry : ""
    if (options.method !== "HEAD") return this.agent(registry).dispatch(options, handler)
    return this.agent(`HEAD ${registry}`, registry).dispatch(
      // undici closes a connection after a HEAD unless it is told otherwise.
      this.mayReuse(String(options.origin)) ? { ...options, reset: false } : options,
      handler
    )
  }

  override async destroy(): Promise<void> {
    this.destroyed = true
    await Promise.all([...this.agents.values()].map((agent) => agent.destroy()))
  }

  private agent(key: string, registry = key): Agent {
    const agent =
      this.agents.get(key) ?? this.makeAgent(registry, (origin) => this.distrusted.add(origin))
    this.agents.set(key, agent)
    // A client that outlives its layer opens nothing.
    if (this.destroyed) void agent.destroy()
    return agent
  }

  /** Redirects can lead to any number of hosts: too many that misbehave, and none is trusted. */
  private mayReuse(origin: string): boolean {
    return this.reusable && !this.distrusted.has(origin) && this.distrusted.size < 1000
  }
}

/** Whether a connection ended because of bytes that are no response to a request. */
export const isUnrequested = (cause: Error): boolean =>
  cause instanceof Errors.HTTPParserError ||
  (cause instanceof Errors.SocketError && cause.message === "bad response")

/**
 * Whether this undici reads what has come in on an idle connection before it writes the next
 * request to it, as versions from 7.28.0 do (GHSA-35p6-xmwp-9g52). It says so nowhere but on its
 * sockets.
 */
export const validatesIdleConnections: Effect.Effect<boolean> = Effect.async((resume) => {
  const socket = new Socket()
  const client = new Client("http://localhost", { connect: (_, done) => done(null, socket) })
  const decide = () => {
    const known = Object.getOwnPropertySymbols(socket).some(
      ({ description }) => description === "kIdleSocketValidation"
    )
    resume(
      Effect.as(
        Effect.promise(() => client.destroy()),
        known
      )
    )
  }
  client.once("connect", decide).once("connectionError", decide)
  // It connects when it has a request, which is then given up.
  client.request({ method: "GET", path: "/" }).catch(() => undefined)
  return Effect.promise(() => client.destroy())
})
