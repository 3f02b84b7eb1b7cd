/**
 * Authorization in front of Debian's docker-registry: passwords of an htpasswd file, and tokens
 * that it verifies itself.
 */
import { execFileSync } from "node:child_process"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as ContainersAuth from "../../src/auth/ContainersAuth.js"
import * as Credentials from "../../src/auth/Credentials.js"
import * as DockerConfig from "../../src/auth/DockerConfig.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import { parseRepositoryName } from "../../src/spec/Reference.js"
import { registrySuite } from "../suites/registry.js"
import {
  DebianRegistry,
  debianUser,
  describeDebian,
  layerDebianRegistryBasic
} from "../support/debian.js"
import { describeInstalled } from "../support/installed.js"
import { JwtServer, layerDebianRegistryToken } from "./jwtServer.js"
import { machine } from "./machine.js"

const hostOf = (url: string) => url.replace("http://", "")
const password = Redacted.make(debianUser.password)
const alice = Credentials.basic(debianUser.username, password)

/**
 * The client of the registry that sends its clients to the token server, for whoever has this
 * credential.
 */
const client = (credential: Credentials.Credential) =>
  Layer.unwrapEffect(
    Effect.map(Effect.all([DebianRegistry, JwtServer]), ([{ url }, { host }]) =>
      RegistryClient.layer({ url, trust: { allowTokens: [host] } }).pipe(
        Layer.provide([
          NodeHttp.layer(),
          TokenCache.layerMemory,
          Credentials.layer({ [hostOf(url)]: credential })
        ])
      )
    )
  ).pipe(Layer.provideMerge(layerDebianRegistryToken))

const bytes = (text: string) => BlobSource.fromBytes(new TextEncoder().encode(text))

describeDebian("docker-registry with token authentication", () => {
  registrySuite("client over docker-registry with token authentication", {
    layer: client(alice),
    // As in test/client/stacks.test.ts.
    supports: {
      tagDelete: false,
      nonDistributableMissing: false,
      tagPaging: false,
      sha512Manifests: false,
      signaturesKept: false,
      atomicPuts: false,
      mountFromAnywhere: false,
      staleLocations: false
    }
  })

  it.live(
    "a look, a push, a hundred pulls and a mount take a token for each need, of its scopes alone",
    () =>
      Effect.gen(function* () {
        const { log } = yield* JwtServer
        const registry = yield* Registry
        const a = yield* parseRepositoryName("a")
        const b = yield* parseRepositoryName("b")
        const { digest } = yield* registry.putBlob(a, bytes("b1"))
        yield* Effect.all(
          Array.from({ length: 100 }, () => Stream.runDrain(registry.getBlob(a, digest))),
          { concurrency: "unbounded" }
        )
        expect(yield* registry.mountBlob(b, digest, a)).toBe(true)
        expect(log.map((line) => line.split(" ").toSorted().join(" "))).toEqual([
          "GET basic repository:a:pull",
          "GET basic repository:a:pull,push",
          "GET basic repository:a:pull repository:b:pull,push"
        ])
      }).pipe(Effect.provide(client(alice)))
  )

  it.live("a hundred pulls at once by a newcomer take one token", () =>
    Effect.gen(function* () {
      const { log } = yield* JwtServer
      const registry = yield* Registry
      const a = yield* parseRepositoryName("a")
      const pulls = yield* Effect.all(
        Array.from({ length: 100 }, () =>
          Effect.flip(Stream.runDrain(registry.getBlob(a, Digest.fromBytes(new Uint8Array([1])))))
        ),
        { concurrency: "unbounded" }
      )
      expect(new Set(pulls.map(({ _tag }) => _tag))).toEqual(new Set(["BlobUnknown"]))
      expect(log).toEqual(["GET basic repository:a:pull"])
    }).pipe(Effect.provide(client(alice)))
  )

  it.live("an identity token obtains tokens as well", () =>
    Effect.gen(function* () {
      const { log } = yield* JwtServer
      const { digest } = yield* (yield* Registry).putBlob(
        yield* parseRepositoryName("a"),
        bytes("b1")
      )
      expect(digest).toMatch(/^sha256:/)
      expect(log).toEqual([
        "POST refresh_token repository:a:pull",
        "POST refresh_token repository:a:pull,push"
      ])
    }).pipe(Effect.provide(client(Credentials.identityToken(Redacted.make("refresh-me")))))
  )

  it.live.each([
    ["a wrong password", Credentials.basic(debianUser.username, Redacted.make("wrong"))],
    ["a wrong identity token", Credentials.identityToken(Redacted.make("wrong"))],
    ["nobody", Credentials.anonymous]
  ] as const)("%s gets no token, and no further than that", ([, credential]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* Registry).ping)
      expect(error).toMatchObject({ _tag: "Unauthorized", reason: "TokenServer", status: 401 })
      expect((yield* JwtServer).log.length).toBe(1)
    }).pipe(Effect.provide(client(credential)))
  )
})

describeDebian("docker-registry with htpasswd", () => {
  const world = Effect.gen(function* () {
    const { url } = yield* DebianRegistry
    const { provide, write } = yield* machine
    const ping = Effect.flatMap(Registry, (registry) => registry.ping).pipe(
      Effect.provide(RegistryClient.layer({ url })),
      Effect.provide([NodeHttp.layer(), TokenCache.layerMemory]),
      provide(DockerConfig.layer())
    )
    const login = (user: string, secret: string) =>
      write(".docker/config.json", {
        auths: { [hostOf(url)]: { auth: Buffer.from(`${user}:${secret}`).toString("base64") } }
      })
    return { login, ping }
  })

  it.live("whoever is logged in on the machine is let in, and nobody else", () =>
    Effect.gen(function* () {
      const { login, ping } = yield* world
      const refused = Effect.map(Effect.flip(ping), (error) =>
        error._tag === "Unauthorized" ? error.challenge?.sent : error._tag
      )
      expect(yield* refused).toBe("nothing")
      yield* login(debianUser.username, "wrong")
      expect(yield* refused).toBe("basic")
      yield* login(debianUser.username, debianUser.password)
      yield* ping
    }).pipe(Effect.scoped, Effect.provide(layerDebianRegistryBasic))
  )
})

describeDebian("docker-registry with htpasswd, and what skopeo leaves behind", () => {
  describeInstalled("skopeo", "skopeo login", () => {
    it.live.each([
      ["", ["NameUnknown", "NameUnknown"]],
      ["/team", ["NameUnknown", "Unauthorized"]]
    ] as const)("to the registry%s lets in there, and nowhere else", ([namespace, expected]) =>
      Effect.gen(function* () {
        const { url } = yield* DebianRegistry
        const { home, provide } = yield* machine
        const path = `${home}/auth.json`
        const { password, username } = debianUser
        const login = [
          "login",
          "--tls-verify=false",
          "--authfile",
          path,
          "-u",
          username,
          "--password-stdin"
        ]
        execFileSync("skopeo", [...login, hostOf(url) + namespace], {
          input: password,
          stdio: "pipe"
        })
        const tags = (name: string) =>
          Effect.gen(function* () {
            const registry = yield* RegistryClient.make({ url })
            return yield* Effect.flip(
              Stream.runDrain(registry.tags(yield* parseRepositoryName(name)))
            )
          }).pipe(
            Effect.map(({ _tag }) => _tag),
            Effect.provide([NodeHttp.layer(), TokenCache.layerMemory]),
            provide(ContainersAuth.layer({ path }))
          )
        expect(yield* Effect.forEach(["team/app", "other/app"], tags)).toEqual(expected)
      }).pipe(Effect.scoped, Effect.provide(layerDebianRegistryBasic))
    )
  })
})
