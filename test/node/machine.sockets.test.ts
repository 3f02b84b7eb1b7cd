/** Registries as the files of a machine have them, over sockets. */
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Net from "node:net"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as MachineRegistries from "../../src/node/MachineRegistries.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registries } from "../../src/Registries.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { gather, items, utf8 } from "../support/fixtures.js"
import { portOf, serve as serveHttps } from "../support/https.js"
import { origin, reply } from "../support/listeners.js"
import { environment, folder } from "../support/machine.js"

const name = Reference.unsafeParseRepositoryName
const app = name("app")
const blob = utf8("b1")
const digest = Digest.fromBytes(blob)
const document =
  '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
const manifest = Digest.fromBytes(utf8(document))
const hostOf = (url: string) => url.replace("http://", "")

/** What a registry does that has the blob and the manifest in these repositories. */
const having =
  (...repositories: ReadonlyArray<string>) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    const path = request.url?.split("?")[0] ?? ""
    const found = /^\/v2\/(?:(.*)\/(blobs|manifests|tags)\/.*)?$/.exec(path)
    const [, repository, kind] = found ?? []
    if (path === "/v2/") reply(response, 200, {}, "{}")
    else if (kind === "tags") reply(response, 200, {}, '{"name":"app","tags":["1"]}')
    else if (request.method === "POST") reply(response, 403)
    else if (!repositories.includes(repository ?? "")) reply(response, 404)
    else if (kind === "blobs") reply(response, 200, { "content-length": "2" }, blob)
    else
      reply(
        response,
        200,
        {
          "content-type": "application/vnd.oci.image.index.v1+json",
          "docker-content-digest": manifest,
          "content-length": String(document.length)
        },
        request.method === "HEAD" ? undefined : document
      )
  }

/** A registry that notes who asks for what. */
const registry = (log: Array<string>, label: string, ...repositories: ReadonlyArray<string>) =>
  Effect.map(
    origin([], (request, response) => {
      const path = request.url?.replace(/\?.*/, "").replace(/sha256:.*/, "…")
      log.push(`${label} ${request.method} ${path}`)
      having(...repositories)(request, response)
    }),
    ({ url }) => hostOf(url)
  )

const use = <A, E>(
  toml: string,
  host: string,
  program: (registry: Registry.Service) => Effect.Effect<A, E>,
  options: Omit<NodeRegistry.RegistriesOptions, "machine"> & {
    readonly daemon?: unknown
    readonly logins?: Parameters<typeof Credentials.layer>[0]
  } = {}
) =>
  Effect.gen(function* () {
    const { daemon, logins = {}, ...rest } = options
    const machine = yield* MachineRegistries.make({
      registriesConf: [{ source: "registries.conf", text: toml }],
      daemonJson: { source: "daemon.json", text: JSON.stringify(daemon ?? {}) }
    })
    return yield* Effect.flatMap(
      Effect.flatMap(Registries, (all) => all.get(host)),
      program
    ).pipe(
      Effect.provide(
        NodeRegistry.layerRegistries({
          defaults: { retry: { attempts: 0 } },
          http: { certificateFolders: [], proxy: {} },
          ...rest,
          machine
        })
      ),
      Effect.provide(Credentials.layer(logins))
    )
  })

const pull = (at: Registry.Service, repository = app) => gather(at.getBlob(repository, digest))

describe("a rule", () => {
  it.scopedLive("leads reads to its location and mirrors, and nothing else (V30)", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const home = yield* registry(log, "home")
      const mirror = yield* registry(log, "mirror")
      const location = yield* registry(log, "location", "x/y/app")
      const toml =
        `[[registry]]\nprefix = "${home}"\nlocation = "${location}/x/y"\n` +
        `[[registry.mirror]]\nlocation = "${mirror}/m"\n`
      yield* use(toml, home, (at) =>
        Effect.gen(function* () {
          expect(yield* pull(at)).toEqual(blob)
          expect((yield* at.getManifest(app, manifest)).descriptor.digest).toBe(manifest)
          expect(Option.isSome(yield* at.headManifest(app, manifest))).toBe(true)
          expect(yield* items(at.tags(app))).toEqual(["1"])
          yield* at.ping
          yield* Effect.flip(at.putBlob(app, BlobSource.fromBytes(utf8("new"))))
        })
      )
      expect(log).toEqual([
        "mirror GET /v2/m/app/blobs/…",
        "location GET /v2/x/y/app/blobs/…",
        "mirror GET /v2/m/app/manifests/…",
        "location GET /v2/x/y/app/manifests/…",
        "location HEAD /v2/x/y/app/manifests/…",
        "home GET /v2/app/tags/list",
        "home GET /v2/",
        "home HEAD /v2/app/blobs/…",
        "home POST /v2/app/blobs/uploads/"
      ])
    })
  )

  it.scopedLive("gives no host the credentials of another (V30)", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const asking = (label: string, ...repositories: ReadonlyArray<string>) =>
        Effect.map(
          origin([], (request, response) => {
            const { authorization } = request.headers
            if (authorization === undefined)
              return reply(response, 401, { "www-authenticate": 'Basic realm="r"' })
            log.push(`${label} ${atob(authorization.replace("Basic ", ""))}`)
            having(...repositories)(request, response)
          }),
          ({ url }) => hostOf(url)
        )
      const home = yield* asking("home")
      const mirror = yield* asking("mirror")
      const location = yield* asking("location", "app")
      const login = (user: string) => Credentials.basic(user, Redacted.make("p"))
      const toml =
        `[[registry]]\nprefix = "${home}"\nlocation = "${location}"\n` +
        `[[registry.mirror]]\nlocation = "${mirror}"\n`
      yield* use(
        toml,
        home,
        (at) =>
          Effect.gen(function* () {
            expect(yield* pull(at)).toEqual(blob)
            yield* items(at.tags(app))
          }),
        { logins: { [home]: login("h"), [mirror]: login("m"), [location]: login("l") } }
      )
      expect(log).toEqual(["mirror m:p", "location l:p", "home h:p"])
      // Without a login of its own, a location is asked by nobody in particular.
      log.length = 0
      yield* use(toml, home, (at) => Effect.flip(pull(at)), { logins: { [home]: login("h") } })
      expect(log).toEqual([])
    })
  )

  it.scopedLive("that blocks lets nothing through, and says which file does", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const home = yield* registry(log, "home", "evil/app", "good/app")
      const toml = `[[registry]]\nlocation = "${home}/evil"\nblocked = true`
      yield* use(toml, home, (at) =>
        Effect.gen(function* () {
          const evil = name("evil/app")
          const refused: ReadonlyArray<Effect.Effect<unknown, { readonly _tag: string }>> = [
            pull(at, evil),
            at.getBlobBytes(evil, digest),
            gather(at.getBlobRange(evil, digest, { start: 0 })),
            at.headBlob(evil, digest),
            at.getManifest(evil, manifest),
            at.headManifest(evil, manifest),
            items(at.tags(evil)),
            items(at.referrers(evil, manifest)),
            at.putBlob(evil, BlobSource.fromBytes(utf8("new"))),
            at.deleteBlob(evil, digest),
            at.mountBlob(evil, digest),
            Effect.scoped(at.startUpload(evil)),
            Effect.scoped(at.resumeUpload({ repository: evil, location: "/u", offset: 0 }))
          ]
          for (const operation of refused)
            expect(yield* Effect.flip(operation)).toMatchObject({
              _tag: "Denied",
              message:
                `${home}/evil/app is blocked by the rule for ${home}/evil in registries.conf: ` +
                "change the rule, or take the image from elsewhere"
            })
          expect(log).toEqual([])
          expect(yield* pull(at, name("good/app"))).toEqual(blob)
        })
      )
    })
  )

  it.scopedLive("holds beneath what the program names itself, unless it blocks", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const home = yield* registry(log, "home", "app", "evil")
      const mirror = yield* registry(log, "mirror", "app")
      const toml =
        `[[registry]]\nlocation = "${home}"\n[[registry.mirror]]\nlocation = "${mirror}"\n` +
        `[[registry]]\nlocation = "${home}/evil"\nblocked = true`
      yield* use(
        toml,
        home,
        (at) =>
          Effect.gen(function* () {
            expect(yield* pull(at)).toEqual(blob)
            expect(yield* Effect.flip(pull(at, name("evil")))).toMatchObject({ _tag: "Denied" })
          }),
        { hosts: { [home]: { mirrors: [] } } }
      )
      expect(log).toEqual(["home GET /v2/app/blobs/…"])
    })
  )
})

describe("an insecure registry", () => {
  it.scopedLive("is reached whatever its certificate, and no other host is", () =>
    Effect.gen(function* () {
      const secure = yield* serveHttps(having("app"))
      const other = yield* serveHttps(having("app"))
      const toml = `[[registry]]\nlocation = "${secure}"\ninsecure = true`
      expect(yield* use(toml, secure, pull)).toEqual(blob)
      const byDocker = { daemon: { "insecure-registries": ["127.0.0.0/8"] } }
      expect(yield* use("", secure, pull, byDocker)).toEqual(blob)
      const hosts = { [other]: { url: `https://${other}` } }
      expect(yield* Effect.flip(use(toml, other, pull, { hosts }))).toMatchObject({
        _tag: "TransportFailure",
        reason: "Tls"
      })
    })
  )

  it.scopedLive("is given up where it takes a connection and says nothing (V29)", () =>
    Effect.gen(function* () {
      const silent = yield* Effect.acquireRelease(
        Effect.async<Net.Server>((resume) => {
          const server = Net.createServer((socket) => socket.resume().on("error", () => undefined))
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const home = `127.0.0.1:${portOf(silent)}`
      const failure = yield* Effect.flip(
        use(`[[registry]]\nlocation = "${home}"\ninsecure = true`, home, pull, {
          defaults: { retry: { attempts: 0 }, timeouts: { response: "100 millis" } }
        })
      )
      expect(failure).toMatchObject({
        _tag: "TransportFailure",
        reason: "Timeout",
        url: `https://${home}/v2/`
      })
    })
  )

  it.scopedLive("is reached over http where it does not respond to https", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const home = yield* registry(log, "home", "app")
      const toml = `[[registry]]\nlocation = "${home}"\ninsecure = true`
      yield* use(toml, home, (at) =>
        Effect.gen(function* () {
          expect(yield* pull(at)).toEqual(blob)
          expect(yield* pull(at)).toEqual(blob)
        })
      )
      expect(log).toEqual(["home GET /v2/", "home GET /v2/app/blobs/…", "home GET /v2/app/blobs/…"])
    })
  )
})

it.scopedLive("mirrors of daemon.json have Docker Hub below their path (V32)", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const { url } = yield* origin([], (request, response) => {
      log.push(`${request.url}`)
      reply(response, 200, { "content-length": "2" }, blob)
    })
    const daemon = { "registry-mirrors": ["nonsense", `${url}/hub`] }
    expect(yield* use("", "docker.io", pull, { daemon })).toEqual(blob)
    expect(log).toEqual([`/hub/v2/app/blobs/${digest}?ns=docker.io`])
  })
)

it.scopedLive("the files of this machine are heeded where the program says so", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const home = yield* registry(log, "home", "app")
    const root = yield* folder({
      "registries.conf": `[[registry]]\nlocation = "${home}"\nblocked = true`
    })
    yield* environment("CONTAINERS_REGISTRIES_CONF", `${root}/registries.conf`)
    const read = Effect.flatMap(
      Effect.flatMap(Registries, (all) => all.get(home)),
      pull
    )
    const failure = yield* Effect.flip(Effect.provide(read, NodeRegistry.layerMachine))
    expect(failure).toMatchObject({ _tag: "Denied" })
    expect(failure.message).toContain(`${root}/registries.conf`)
    expect(yield* Effect.provide(read, NodeRegistry.layerDefault)).toEqual(blob)
  })
)
