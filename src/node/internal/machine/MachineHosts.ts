/** All registries, each reached as the configuration of a machine says. */
import { lookup } from "node:dns/promises"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EndpointDefaults from "../../../client/http/EndpointDefaults.js"
import { defaultTimeouts } from "../../../client/http/Timeouts.js"
import * as RegistryClient from "../../../client/RegistryClient.js"
import { withDefaults } from "../../../internal/Options.js"
import * as Registries from "../../../Registries.js"
import { make, type Registry } from "../../../Registry.js"
import { Denied, InvalidUrl, TransportFailure } from "../../../RegistryError.js"
import * as Host from "../../../spec/Host.js"
import type { RepositoryName } from "../../../spec/Reference.js"
import { deferred } from "../../../store/internal/DeferredRegistry.js"
import * as Mirrors from "../../../store/internal/Mirrors.js"
import * as NodeHttp from "../../NodeHttp.js"
import type { TlsSettings } from "../../TlsSettings.js"
import * as Rules from "./Rules.js"

type HostOptions<R> = RegistryClient.HostOptions<R> & { readonly tls?: TlsSettings | undefined }

/** What a program says itself, which is as in `NodeRegistry.RegistriesOptions`. */
export interface Program<out R> {
  readonly defaults: RegistryClient.Defaults<R>
  readonly hosts: ReadonlyMap<Host.Host, HostOptions<R>>
  readonly http: NodeHttp.Options
}

/**
 * Provides the registries that there are without a machine's configuration, reached as that says:
 * see `NodeRegistry.RegistriesOptions`.
 */
export const layer = <R>(
  machine: Rules.MachineRegistries,
  program: Program<R>
): Layer.Layer<
  Registries.Registries,
  never,
  Registries.Registries | RegistryClient.Services | Exclude<R, Scope.Scope>
> =>
  Registries.layerFrom((host) =>
    Effect.gen(function* () {
      const own = yield* (yield* Registries.Registries).get(host)
      const rules = machine.rules.filter((rule) => Rules.concerns(rule, host))
      const { mirrors, url } = program.hosts.get(host) ?? {}
      // What the program names itself takes precedence, but for what is blocked.
      const isNamed = mirrors !== undefined || url !== undefined
      const clients = new Map<string, Registry.Service>()
      if (!isNamed)
        for (const client of clientsOf(machine, rules, host))
          clients.set(keyOf(client), yield* open(machine, program, client))
      const at = (client: Client) => clients.get(keyOf(client)) ?? own
      const sources: Mirrors.SourcesOf = (repository, reference) => {
        const pull = Rules.pull(machine, host, repository, reference)
        const refused = refusalOf(pull, host, repository)
        if (refused !== undefined || isNamed || pull.original === undefined)
          return { copies: [], original: { registry: refused ?? own, repository } }
        return {
          copies: pull.mirrors.map((source) => ({
            registry: at({ ...source, mirrorOf: host }),
            repository: source.repository
          })),
          original: { registry: at(pull.original), repository: pull.original.repository }
        }
      }
      return over((repository) => {
        const rule = Rules.find(machine, host, repository)
        return rule?.blocked === true
          ? blocked(rule, host, repository)
          : at({ base: host, insecure: rule?.insecure ?? false })
      }, sources)
    })
  )

/** A registry to reach: the original of images, or a mirror of another host. */
type Client = Pick<Rules.Source, "base" | "insecure"> & {
  readonly mirrorOf?: Host.Host | undefined
}

const keyOf = ({ base, insecure, mirrorOf }: Client): string =>
  `${base} ${insecure} ${mirrorOf ?? ""}`

/** All that images of a host may be read from. */
const clientsOf = (
  machine: Rules.MachineRegistries,
  rules: ReadonlyArray<Rules.Rule>,
  host: Host.Host
): ReadonlyArray<Client> => {
  const hub = host === Host.dockerHub ? machine.hubMirrors : []
  return [
    { base: host, insecure: false },
    ...hub.map(({ value }) => ({ base: value, insecure: false, mirrorOf: host })),
    ...rules.flatMap(({ insecure, location, mirrors }) => [
      { base: host, insecure },
      ...(location === undefined ? [] : [{ base: Rules.split(location)[0], insecure }]),
      ...mirrors.map(({ insecure, location }) => ({
        base: Rules.split(location)[0],
        insecure,
        mirrorOf: host
      }))
    ])
  ]
}

// -----------------------------------------------------------------------------
// Clients
// -----------------------------------------------------------------------------

const hasScheme = /^https?:\/\//i

/** Opens a registry with credentials of its own, as every registry has (V30). */
const open = <R>(
  machine: Rules.MachineRegistries,
  { defaults, hosts, http }: Program<R>,
  { base, insecure, mirrorOf }: Client
) =>
  Effect.gen(function* () {
    const host = Rules.hostOf(base)
    const isInsecure =
      insecure || Rules.isInsecure(machine, host, yield* addressesOf(machine, host))
    if (!isInsecure && mirrorOf === undefined)
      return yield* (yield* Registries.Registries).get(host)
    const { mirrors: _, tls, url: __, ...own } = hosts.get(host) ?? {}
    const options = (url: string) =>
      EndpointDefaults.merged<R>(
        mirrorOf === undefined ? defaults : EndpointDefaults.ofMirrors(defaults),
        withDefaults<RegistryClient.Options<R>>({ url, namespace: mirrorOf }, own)
      )
    const client = (url: string) => RegistryClient.make<R>(options(url))
    const place = hasScheme.test(base) ? base : Host.apiHost(base)
    if (!isInsecure) return yield* client(place)
    const others = Object.entries(http.tls ?? {}).filter(
      ([key]) => !Option.contains(Host.fromString(key, "https"), host)
    )
    const unchecked = { ...tls, rejectUnauthorized: false }
    const services = yield* Layer.build(
      NodeHttp.layer({ ...http, tls: { ...Object.fromEntries(others), [host]: unchecked } })
    ).pipe(Effect.mapError(({ message }) => new InvalidUrl({ url: host, problem: message })))
    const through = (url: string) => Effect.provide(client(url), services)
    if (hasScheme.test(base)) return yield* through(base)
    const secure = yield* through(`https://${place}`)
    const plain = yield* through(`http://${place}`)
    const { timeouts } = options(place)
    return deferred(
      Effect.provide(
        whichResponds(place, { secure, plain }, timeouts?.response ?? defaultTimeouts.response),
        services
      )
    )
  })

const headers = { "user-agent": RegistryClient.defaultUserAgent }

/**
 * Returns the registry of the scheme that a host responds to, https first. It is asked for without
 * a credential, until it has responded once. Fails with `TransportFailure` where it takes too long
 * (V29).
 */
const whichResponds = (
  place: string,
  { plain, secure }: Readonly<Record<"plain" | "secure", Registry.Service>>,
  limit: Duration.DurationInput
): Effect.Effect<Registry.Service, TransportFailure, HttpClient.HttpClient> => {
  let known: Registry.Service | undefined
  const responds = (scheme: string, registry: Registry.Service) => {
    const url = `${scheme}://${place}/v2/`
    return HttpClient.get(url, { headers }).pipe(
      // Nothing is wanted of its body, which has to be let go.
      Effect.tap(({ stream }) => Effect.ignore(Stream.runHead(stream))),
      Effect.timeoutFail({
        duration: limit,
        onTimeout: () =>
          new TransportFailure({
            method: "GET",
            url,
            reason: "Timeout",
            timeout: Duration.toMillis(limit),
            option: "timeouts.response"
          })
      }),
      Effect.map(() => {
        known = registry
        return registry
      })
    )
  }
  const isRefused = (error: { readonly _tag: string }) => error._tag !== "TransportFailure"
  return Effect.suspend(() =>
    known === undefined
      ? responds("https", secure).pipe(
          Effect.catchIf(isRefused, () => responds("http", plain)),
          // Its own error says more.
          Effect.catchTags({
            RequestError: () => Effect.succeed(secure),
            ResponseError: () => Effect.succeed(secure)
          })
        )
      : Effect.succeed(known)
  )
}

/** Returns the addresses of a host, where a range of addresses is insecure. */
const addressesOf = (
  { insecure }: Rules.MachineRegistries,
  host: Host.Host
): Effect.Effect<ReadonlyArray<string>> =>
  insecure.some(({ value }) => value.includes("/"))
    ? Effect.tryPromise(() =>
        lookup(new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, ""), { all: true })
      ).pipe(
        Effect.map((found) => found.map(({ address }) => address)),
        Effect.orElseSucceed(() => [])
      )
    : Effect.succeed([])

// -----------------------------------------------------------------------------
// Operations
// -----------------------------------------------------------------------------

/**
 * Makes a registry that reads from sources, and sends all else to where a repository is at home.
 */
const over = (
  home: (repository?: RepositoryName) => Registry.Service,
  sources: Mirrors.SourcesOf
): Registry.Service =>
  make({
    ...Mirrors.reads(sources),
    ping: home().ping,
    repositories: (options) => home().repositories(options),
    putManifest: (repository, ...of) => home(repository).putManifest(repository, ...of),
    deleteTag: (repository, tag) => home(repository).deleteTag(repository, tag),
    deleteManifest: (repository, digest) => home(repository).deleteManifest(repository, digest),
    tags: (repository, options) => home(repository).tags(repository, options),
    referrers: (repository, ...of) => home(repository).referrers(repository, ...of),
    putBlob: (repository, ...of) => home(repository).putBlob(repository, ...of),
    deleteBlob: (repository, digest) => home(repository).deleteBlob(repository, digest),
    startUpload: (repository, options) => home(repository).startUpload(repository, options),
    resumeUpload: (state) => home(state.repository).resumeUpload(state),
    mountBlob: (repository, ...of) => home(repository).mountBlob(repository, ...of)
  })

const refusing = (problem: string): Registry.Service =>
  deferred(Effect.suspend(() => new Denied({ problem })))

const blocked = (rule: Rules.Rule, host: Host.Host, repository?: RepositoryName) =>
  refusing(
    `${repository === undefined ? host : `${host}/${repository}`} is blocked by the rule for ` +
      `${rule.prefix} in ${rule.source}: change the rule, or take the image from elsewhere`
  )

const refusalOf = (
  { blockedBy, original }: Rules.Pull,
  host: Host.Host,
  repository: RepositoryName
): Registry.Service | undefined =>
  blockedBy !== undefined
    ? blocked(blockedBy, host, repository)
    : original === undefined
      ? refusing(
          `${host}/${repository} is read elsewhere by a rule of this machine's registries.conf, ` +
            "where no repository can have the name that follows: correct its location"
        )
      : undefined
