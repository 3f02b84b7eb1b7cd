/** Requests to a registry that wants to know who is asking, as the pipeline makes them. */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type AuthorizationError, authorized } from "../../src/auth/Authorization.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import { defaultLimits } from "../../src/client/http/Limits.js"
import { followed } from "../../src/client/http/Redirect.js"
import * as Trust from "../../src/protocol/Trust.js"
import { AuthChallenge } from "../../src/RegistryError.js"
import { type Handler, json, unauthorized } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { realm, registry } from "./parties.js"

export const manifest = `${registry}/v2/a/manifests/1`

export const demandOf = (part: Partial<Credentials.Demand> = {}): Credentials.Demand => ({
  origin: registry,
  scopes: ["repository:a:pull"],
  ...part
})

export const provided = (credential: Credentials.Credential = Credentials.anonymous) =>
  Effect.provide(
    Layer.merge(
      TokenCache.layerMemory,
      Layer.orDie(Credentials.layer({ "registry.example.com": credential }))
    )
  )

/** One attempt, without a retry. */
export const attempt = <E>(
  client: HttpClient.HttpClient.With<E>,
  url = manifest,
  demand = demandOf()
) => Effect.map(authorized(demand)(client).get(url), ({ status }) => status)

/** As `RegistryClient.defaultSchedule` does it. */
export const request = <E>(
  client: HttpClient.HttpClient.With<E>,
  url = manifest,
  demand = demandOf()
) =>
  authorized(demand)(client)
    .get(url)
    .pipe(
      Effect.map(({ status }) => status),
      Effect.retry({ times: 3, while: (error: E | AuthorizationError) => isAnswerable(error) })
    )

/** The client as the pipeline has it. */
export const following = <E>(client: HttpClient.HttpClient.With<E>) => {
  const { execute } = followed({ registry, trust: Trust.strict, limits: defaultLimits })(client)
  type Failure = Effect.Effect.Error<ReturnType<typeof execute>>
  return HttpClient.makeWith<Failure, never, Failure, never>(
    Effect.flatMap(execute),
    Effect.succeed
  )
}

export const isAnswerable = (error: unknown): boolean =>
  error instanceof AuthChallenge && error.answerable

export const ok = () => new Response("ok")

/**
 * A registry that wants a token for `repository:a:pull`, and a token server that issues `t1`, `t2`,
 * … for 300 seconds.
 */
export const tokenOrigins = (
  options: {
    readonly challenge?: string
    readonly accepts?: (authorization: string) => boolean
  } = {}
): Readonly<Record<string, Handler>> => {
  let issued = 0
  const accepts = options.accepts ?? ((authorization) => authorization.startsWith("Bearer "))
  return {
    [registry]: ({ authorization }) =>
      authorization !== undefined && accepts(authorization)
        ? ok()
        : unauthorized(
            options.challenge ??
              `Bearer realm="${realm}",service="registry.example.com",scope="repository:a:pull"`
          ),
    "https://auth.example.com": () => json({ token: `t${++issued}`, expires_in: 300 })
  }
}

export const tokenWorld = (options?: Parameters<typeof tokenOrigins>[0]) =>
  internet(tokenOrigins(options))

export const tokenRequest = `GET ${realm}?service=registry.example.com&client_id=effect-oci&scope=repository%3Aa%3Apull`
