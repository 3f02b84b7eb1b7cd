/** `RegistryClient.layerRegistries`: settings of single hosts, and mirrors. */
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { Registries } from "../../src/Registries.js"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as Transfer from "../../src/Transfer.js"
import { unauthorized } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { items, utf8 } from "../support/fixtures.js"

const blob = Digest.fromBytes(utf8("b1"))
const document =
  '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
const manifest = Digest.fromBytes(utf8(document))

/** Answers for repository `a`, with one blob and one tag. */
const serving = (request: { readonly method: string; readonly url: URL }): Response => {
  const head = request.method === "HEAD"
  switch (request.url.pathname) {
    case `/v2/a/blobs/${blob}`:
      return new Response(head ? null : "b1", { headers: { "content-length": "2" } })
    case "/v2/a/manifests/1":
      return new Response(head ? null : document, {
        headers: {
          "content-type": "application/vnd.oci.image.index.v1+json",
          "content-length": String(document.length),
          "docker-content-digest": manifest
        }
      })
    case "/v2/a/tags/list":
      return Response.json({ name: "a", tags: ["1"] })
    default:
      return missing()
  }
}

const missing = () => new Response(null, { status: 404 })
const broken = () => new Response(null, { status: 500 })

type World = ReturnType<typeof internet>

const registries = (
  world: World,
  hosts: Readonly<Record<string, RegistryClient.HostOptions | undefined>>,
  credentials: Layer.Layer<Credentials.Credentials> = Credentials.layerAnonymous
) =>
  Effect.provide(
    RegistryClient.layerRegistries({ hosts }).pipe(
      Layer.provide([
        Layer.succeed(HttpClient.HttpClient, world.client),
        TokenCache.layerMemory,
        credentials
      ])
    )
  )

const opened = (host: string) => Effect.flatMap(Registries, (all) => all.get(host))
const a = Effect.orDie(Reference.parseRepositoryName("a"))
const tag = Effect.orDie(Reference.parseTag("1"))

const text = (stream: Stream.Stream<Uint8Array, unknown>) =>
  Effect.map(Stream.runCollect(Stream.decodeText(stream)), (parts) => [...parts].join(""))

const requests = ({ seen }: World) =>
  seen.map(({ method, url }) => `${method} ${url.host}${url.pathname}${url.search}`)

/** `docker.io` with two mirrors, whose answers are the given ones. */
const world = (
  one: (request: { readonly method: string; readonly url: URL }) => Response,
  two: (request: { readonly method: string; readonly url: URL }) => Response,
  origin: (request: { readonly method: string; readonly url: URL }) => Response = serving
) =>
  internet({
    "https://one.test": one,
    "https://two.test": two,
    "https://registry-1.docker.io": origin
  })

const mirrors = [{ url: "https://one.test" }, { url: "https://two.test" }]
const ns = "?ns=docker.io"

const run = <A, E>(on: World, use: (registry: Registry.Service) => Effect.Effect<A, E>) =>
  Effect.flatMap(opened("docker.io"), use).pipe(
    registries(on, { "docker.io": { mirrors, retry: { attempts: 0 } } })
  )

describe("mirrors", () => {
  it.effect(
    "are asked in order, told whose copies they hold, and the first that has the content answers",
    () =>
      Effect.gen(function* () {
        const on = world(missing, serving)
        const repository = yield* a
        const reference = yield* tag
        const found = yield* run(on, (registry) => registry.getManifest(repository, reference))
        expect(found.descriptor.digest).toBe(manifest)
        expect(yield* run(on, (registry) => text(registry.getBlob(repository, blob)))).toBe("b1")
        expect(requests(on)).toEqual([
          `GET one.test/v2/a/manifests/1${ns}`,
          `GET two.test/v2/a/manifests/1${ns}`,
          `GET one.test/v2/a/blobs/${blob}${ns}`,
          `GET two.test/v2/a/blobs/${blob}${ns}`
        ])
      })
  )

  it.effect.each([
    ["lack the content", missing],
    ["fail, which is not tried again", broken],
    ["have something else, none of which was passed on", () => new Response("xx")],
    ["want a password that we do not have", () => unauthorized('Basic realm="mirror"')]
  ] as const)(
    "that %s are passed over for the host itself, which is not told of a namespace",
    ([_, answer]) =>
      Effect.gen(function* () {
        const repository = yield* a
        const asStream = (registry: Registry.Service) => text(registry.getBlob(repository, blob))
        const asWhole = (registry: Registry.Service) =>
          Effect.map(registry.getBlobBytes(repository, blob), (bytes) =>
            new TextDecoder().decode(bytes)
          )
        for (const read of [asStream, asWhole]) {
          const on = world(answer, answer)
          expect(yield* run(on, read)).toBe("b1")
          expect(requests(on)).toEqual([
            `GET one.test/v2/a/blobs/${blob}${ns}`,
            `GET two.test/v2/a/blobs/${blob}${ns}`,
            `GET registry-1.docker.io/v2/a/blobs/${blob}`
          ])
        }
      })
  )

  it.effect("leave the error to the host itself", () =>
    Effect.gen(function* () {
      const on = world(broken, broken, missing)
      const repository = yield* a
      const failure = yield* Effect.flip(
        run(on, (registry) => text(registry.getBlob(repository, blob)))
      )
      expect(failure).toMatchObject({ _tag: "BlobUnknown" })
    })
  )

  it.effect("that send something else are caught at its end, whoever had the rest (T7, V31)", () =>
    Effect.gen(function* () {
      const parts = () =>
        new ReadableStream<Uint8Array>({
          start: (controller) => {
            for (const part of ["x", "1", ""]) controller.enqueue(utf8(part))
            controller.close()
          }
        })
      const on = world(() => new Response(parts()), serving)
      const repository = yield* a
      const failure = yield* Effect.flip(
        run(on, (registry) => text(registry.getBlob(repository, blob)))
      )
      expect(failure).toMatchObject({ _tag: "DigestMismatch" })
      // Of what is read as a whole, nobody has seen anything.
      expect(yield* run(on, (registry) => registry.getBlobBytes(repository, blob))).toEqual(
        utf8("b1")
      )
    })
  )

  it.effect(
    "that hang are given up after ten seconds, and not asked by others meanwhile (V29)",
    () =>
      Effect.gen(function* () {
        const on = internet({
          "https://one.test": () => Effect.never,
          "https://registry-1.docker.io": serving
        })
        const [repository, reference] = [yield* a, yield* tag]
        yield* Effect.gen(function* () {
          const registry = yield* opened("docker.io")
          const layers = yield* Effect.fork(
            Effect.all(
              Array.from({ length: 3 }, () => text(registry.getBlob(repository, blob))),
              { concurrency: "unbounded" }
            )
          )
          yield* TestClock.adjust("11 seconds")
          expect(yield* Fiber.join(layers)).toEqual(["b1", "b1", "b1"])
          // The rest of the pull does without it.
          expect(yield* text(registry.getBlob(repository, blob))).toBe("b1")
          yield* registry.getManifest(repository, reference)
        }).pipe(
          registries(on, {
            "docker.io": { mirrors: [{ url: "https://one.test" }], retry: { attempts: 0 } }
          })
        )
        expect(on.seen.filter(({ url }) => url.host === "one.test")).toHaveLength(3)
      })
  )

  it.effect("do not say whether something is there, which the host itself does", () =>
    Effect.gen(function* () {
      const on = world(serving, serving, missing)
      const [repository, reference] = [yield* a, yield* tag]
      expect(yield* run(on, (registry) => registry.headBlob(repository, blob))).toEqual(
        Option.none()
      )
      expect(yield* run(on, (registry) => registry.headManifest(repository, reference))).toEqual(
        Option.none()
      )
      expect(requests(on).filter((line) => !line.includes("registry-1.docker.io"))).toEqual([])
    })
  )

  it.effect("answer HEADs while the host fails; that they lack something is no answer", () =>
    Effect.gen(function* () {
      const [repository, reference] = [yield* a, yield* tag]
      const on = world(missing, serving, broken)
      const found = yield* run(on, (registry) => registry.headManifest(repository, reference))
      expect(Option.map(found, ({ digest }) => digest)).toEqual(Option.some(manifest))
      const none = world(missing, broken, broken)
      const failure = yield* Effect.flip(
        run(none, (registry) => registry.headBlob(repository, blob))
      )
      expect(failure).toMatchObject({
        _tag: "RegistryFailure",
        url: `https://registry-1.docker.io/v2/a/blobs/${blob}`
      })
    })
  )

  it.effect.each([
    ["lack the content", missing, 0],
    ["fail", broken, 0],
    ["have something else", () => new Response("xx"), 2],
    ["have something else of that length", () => new Response("xxxx"), 4]
  ] as const)("that %s are parts of one download to whoever watches it", ([, copy, counted]) =>
    Effect.gen(function* () {
      const repository = yield* a
      const below = mirrors.map((mirror) => ({ ...mirror, prefix: "hub" }))
      const reads = (registry: Registry.Service) => [
        Stream.runDrain(registry.getBlob(repository, blob)),
        Effect.asVoid(registry.getBlobBytes(repository, blob))
      ]
      const found = Effect.flatMap(opened("docker.io"), (registry) =>
        Effect.forEach(reads(registry), (read) => items(Transfer.events(read)))
      )
      const [events = [], others] = yield* found.pipe(
        registries(world(copy, copy), {
          "docker.io": { mirrors: below, retry: { attempts: 0 } }
        })
      )
      expect(others).toMatchObject(events)
      const subject = { direction: "download", repository, digest: blob }
      const started = events.filter(({ _tag }) => _tag === "Started")
      expect(started).toMatchObject([{ subject }])
      expect(events.at(0)).toMatchObject({ _tag: "Started" })
      expect(events.slice(-3)).toMatchObject([
        { _tag: "Verified", subject },
        { _tag: "Completed", subject, skipped: false },
        { _tag: "Result" }
      ])
      // What was counted at a mirror is taken back.
      const resumed = events.filter(({ _tag }) => _tag === "Resumed")
      expect(resumed).toMatchObject(
        Array.from({ length: counted === 0 ? 0 : 2 }, () => ({ subject, offset: 0 }))
      )
      const offsets = events.flatMap((event) => (event._tag === "Bytes" ? [event.offset] : []))
      expect(offsets.at(-1)).toBe(2)
      for (const event of events)
        if (event._tag !== "Result") expect(event.subject.repository).toBe(repository)
    })
  )

  it.effect("are not asked for lists, and nothing is written to them", () =>
    Effect.gen(function* () {
      const [repository, reference] = [yield* a, yield* tag]
      const on = world(serving, serving)
      expect([
        ...(yield* run(on, (registry) => Stream.runCollect(registry.tags(repository))))
      ]).toEqual(["1"])
      yield* run(on, (registry) => Effect.ignore(registry.deleteTag(repository, reference)))
      yield* run(on, (registry) => Effect.ignore(Effect.scoped(registry.startUpload(repository))))
      expect(requests(on).length).toBeGreaterThan(2)
      expect(requests(on).filter((line) => !line.includes("registry-1.docker.io"))).toEqual([])
    })
  )

  it.effect("get the credentials for their own origin and no others (T22)", () =>
    Effect.gen(function* () {
      const secured =
        (accepted: string) => (request: { readonly method: string; readonly url: URL }) =>
          "authorization" in request && request.authorization === accepted
            ? serving(request)
            : unauthorized('Basic realm="registry"')
      const on = world(
        secured("Basic nobody"),
        secured("Basic bW06bWlycm9yLXNlY3JldA=="),
        secured("Basic nobody")
      )
      const credentials = Credentials.layer({
        "docker.io": Credentials.basic("hub", Redacted.make("hub-secret")),
        "two.test": Credentials.basic("mm", Redacted.make("mirror-secret"))
      })
      const repository = yield* a
      const found = Effect.flatMap(opened("docker.io"), (registry) =>
        text(registry.getBlob(repository, blob))
      )
      expect(
        yield* found.pipe(registries(on, { "docker.io": { mirrors } }, Layer.orDie(credentials)))
      ).toBe("b1")
      expect(on.log.filter((line) => !line.endsWith(" -"))).toEqual([
        `GET https://two.test/v2/a/blobs/${blob}${ns} Basic bW06bWlycm9yLXNlY3JldA==`
      ])
    })
  )

  it.effect(
    "below a repository of their own are asked for names below it, with scopes to match",
    () =>
      Effect.gen(function* () {
        const at = (name: string) => (request: { readonly method: string; readonly url: URL }) => {
          const url = new URL(request.url)
          url.pathname = url.pathname.replace(`/v2/${name}/`, "/v2/a/")
          return url.pathname === request.url.pathname ? missing() : serving({ ...request, url })
        }
        const on = internet({
          "https://one.test": (request) =>
            request.authorization === "Bearer t1"
              ? at("docker-hub/a")(request)
              : unauthorized('Bearer realm="https://auth.one.test/token",service="one"'),
          "https://auth.one.test": () => Response.json({ token: "t1" }),
          "https://registry-1.docker.io": broken
        })
        const [repository, reference] = [yield* a, yield* tag]
        const use = Effect.flatMap(opened("docker.io"), (registry) =>
          Effect.gen(function* () {
            expect((yield* registry.getManifest(repository, reference)).descriptor.digest).toBe(
              manifest
            )
            expect(yield* text(registry.getBlob(repository, blob))).toBe("b1")
            yield* Effect.exit(text(registry.getBlobRange(repository, blob, { start: 0 })))
            expect(Option.isSome(yield* registry.headManifest(repository, reference))).toBe(true)
            expect(Option.isSome(yield* registry.headBlob(repository, blob))).toBe(true)
            yield* Effect.exit(Stream.runDrain(registry.tags(repository)))
          })
        )
        const below = [{ url: "https://one.test", prefix: "docker-hub" }]
        yield* use.pipe(registries(on, { "docker.io": { mirrors: below, retry: { attempts: 0 } } }))
        const scopes = "?service=one&client_id=effect-oci&scope=repository%3Adocker-hub%2Fa%3Apull"
        expect(requests(on)).toEqual([
          `GET one.test/v2/docker-hub/a/manifests/1${ns}`,
          `GET auth.one.test/token${scopes}`,
          `GET one.test/v2/docker-hub/a/manifests/1${ns}`,
          `GET one.test/v2/docker-hub/a/blobs/${blob}${ns}`,
          `GET one.test/v2/docker-hub/a/blobs/${blob}${ns}`,
          // It ignores the range.
          `GET registry-1.docker.io/v2/a/blobs/${blob}`,
          "HEAD registry-1.docker.io/v2/a/manifests/1",
          `HEAD one.test/v2/docker-hub/a/manifests/1${ns}`,
          `HEAD registry-1.docker.io/v2/a/blobs/${blob}`,
          `HEAD one.test/v2/docker-hub/a/blobs/${blob}${ns}`,
          "GET registry-1.docker.io/v2/a/tags/list"
        ])
      })
  )

  it.effect("where a name would be too long are passed over", () =>
    Effect.gen(function* () {
      const repository = yield* Reference.parseRepositoryName("a".repeat(250))
      const on = world(missing, missing, missing)
      const below = [
        { url: "https://one.test", prefix: "docker-hub" },
        { url: "https://two.test", prefix: "hub" }
      ]
      const found = Effect.flatMap(opened("docker.io"), (registry) =>
        text(registry.getBlob(repository, blob))
      )
      yield* Effect.flip(found).pipe(
        registries(on, { "docker.io": { mirrors: below, retry: { attempts: 0 } } })
      )
      expect(on.seen.map(({ url }) => url.host)).toEqual(["two.test", "registry-1.docker.io"])
    })
  )

  it.effect.each([
    [{ url: "ftp://one.test" }, "ftp://one.test"],
    [{ url: "https://one.test", prefix: "/docker-hub" }, "https://one.test"],
    [{ url: "https://alice:hunter2@one.test", prefix: "/docker-hub" }, "https://one.test"]
  ] as const)("that %j cannot name fail as the host is opened", ([mirror, url]) =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(opened("docker.io")).pipe(
        registries(world(missing, missing), { "docker.io": { mirrors: [mirror] } })
      )
      expect(failure).toMatchObject({ _tag: "InvalidUrl", url })
    })
  )
})

describe("hosts", () => {
  const pinged = (host: string, hosts: Readonly<Record<string, RegistryClient.HostOptions>> = {}) =>
    Effect.gen(function* () {
      const ok = () => new Response("{}")
      const on = internet({
        "https://lan.test:5000": ok,
        "http://lan.test:5000": ok,
        "http://localhost:5000": ok
      })
      yield* Effect.ignore(Effect.flatMap(opened(host), (registry) => registry.ping)).pipe(
        registries(on, hosts)
      )
      return on.log
    })

  it.effect("are reached over http only at loopback, or where an option says so (T19)", () =>
    Effect.gen(function* () {
      expect(yield* pinged("lan.test:5000")).toEqual(["GET https://lan.test:5000/v2/ -"])
      expect(yield* pinged("localhost:5000")).toEqual(["GET http://localhost:5000/v2/ -"])
      expect(
        yield* pinged("lan.test:5000", { "lan.test:5000": { url: "http://lan.test:5000" } })
      ).toEqual(["GET http://lan.test:5000/v2/ -"])
    })
  )

  const tenant = { headers: { "x-tenant": "blue" } }

  it.effect.each([
    ["Registry.LAN:5000", "registry.lan:5000", "https://registry.lan:5000"],
    ["registry.lan:5000", "REGISTRY.lan:5000", "https://registry.lan:5000"],
    ["ghcr.io:443", "ghcr.io", "https://ghcr.io"],
    ["ghcr.io", "GHCR.io:443", "https://ghcr.io"],
    ["index.docker.io", "docker.io", "https://registry-1.docker.io"],
    ["docker.io", "registry-1.docker.io:443", "https://registry-1.docker.io"],
    ["localhost:80", "localhost", "http://localhost"],
    ["127.0.0.1:5000", "127.1:5000", "http://127.0.0.1:5000"],
    ["[0::1]:5000", "[::1]:5000", "http://[::1]:5000"],
    ["bücher.example", "xn--bcher-kva.example", "https://xn--bcher-kva.example"]
  ] as const)("that options have as %s are met as %s", ([key, host, origin]) =>
    Effect.gen(function* () {
      const on = internet({ [origin]: () => new Response("{}") })
      yield* Effect.gen(function* () {
        const all = yield* Registries
        yield* (yield* all.get(host)).ping
        expect(yield* all.get(key)).toBe(yield* all.get(host))
      }).pipe(registries(on, { [key]: tenant }))
      expect(on.seen.map(({ headers, url }) => [url.href, headers["x-tenant"]])).toEqual([
        [`${origin}/v2/`, "blue"]
      ])
    })
  )

  it.effect("that are reached over http stay so, however their key is written", () =>
    Effect.gen(function* () {
      const hosts = { "LAN.test:5000": { url: "http://lan.test:5000" } }
      expect(yield* pinged("lan.test:5000", hosts)).toEqual(["GET http://lan.test:5000/v2/ -"])
    })
  )

  it.effect.each([
    [["docker.io", "index.docker.io"], "index.docker.io", 'is the same host as "docker.io"'],
    [["lan.test", "LAN.test:443"], "LAN.test:443", 'is the same host as "lan.test"'],
    [["localhost", "localhost:80"], "localhost:80", 'is the same host as "localhost"'],
    [["https://ghcr.io"], "https://ghcr.io", "is not a host: it is a URL"],
    [["*.lan.test"], "*.lan.test", "is not a host: it is a pattern"],
    [["ghcr.io/owner"], "ghcr.io/owner", "is not a host: it has a path"],
    [["alice:hunter2@ghcr.io"], "***@ghcr.io", "is not a host: it has a user name"],
    [[""], "", "is not a host: it is empty"]
  ] as const)("under the keys %j fail as the layer is built", ([keys, url, problem]) =>
    Effect.gen(function* () {
      const hosts = Object.fromEntries(keys.map((key) => [key, tenant]))
      const failure = yield* Effect.flip(Effect.void.pipe(registries(internet({}), hosts)))
      expect(failure).toMatchObject({ _tag: "InvalidUrl", url })
      expect(failure.message).toContain(`this key of hosts ${problem}`)
      expect(failure.message).not.toContain("hunter2")
    })
  )

  it.effect.each(["https://ghcr.io", "ghcr.io/owner", "", "ghcr.io:port"])(
    "%j is not one",
    (text) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(opened(text))
        expect(failure).toMatchObject({ _tag: "InvalidUrl", url: text })
        expect(failure.message).toContain("it is not a host")
      }).pipe(registries(internet({}), {}))
  )

  it.effect("whose options are undefined have the defaults", () =>
    Effect.gen(function* () {
      const [repository, reference] = [yield* a, yield* tag]
      const on = world(broken, serving)
      const hosts = {
        "docker.io": {
          url: undefined,
          trust: undefined,
          retry: { attempts: undefined, base: undefined, maxDelay: undefined, deadline: undefined },
          mirrors: [
            { url: "https://one.test", namespace: undefined, retry: { attempts: undefined } },
            { url: "https://two.test", prefix: undefined, retry: undefined, namespace: undefined }
          ]
        },
        "ghcr.io": undefined
      }
      const found = yield* Effect.flatMap(opened("docker.io"), (registry) =>
        registry.getManifest(repository, reference)
      ).pipe(registries(on, hosts))
      expect(found.descriptor.digest).toBe(manifest)
      // A mirror is not asked twice.
      expect(requests(on)).toEqual([
        `GET one.test/v2/a/manifests/1${ns}`,
        `GET two.test/v2/a/manifests/1${ns}`
      ])
    })
  )

  it.effect("that are mirrors hear of a namespace with pulls alone (C107)", () =>
    Effect.gen(function* () {
      const [repository, reference] = [yield* a, yield* tag]
      const on = internet({ "https://mirror.test": serving })
      const registry = yield* Effect.provide(
        RegistryClient.make({ url: "https://mirror.test", namespace: "ghcr.io:443" }),
        [
          Layer.succeed(HttpClient.HttpClient, on.client),
          TokenCache.layerMemory,
          Credentials.layerAnonymous
        ]
      )
      yield* registry.headManifest(repository, reference)
      yield* registry.headBlob(repository, blob)
      yield* Stream.runDrain(registry.tags(repository))
      expect(requests(on)).toEqual([
        "HEAD mirror.test/v2/a/manifests/1?ns=ghcr.io%3A443",
        `HEAD mirror.test/v2/a/blobs/${blob}?ns=ghcr.io%3A443`,
        "GET mirror.test/v2/a/tags/list"
      ])
    })
  )

  it.effect("get their own headers at their own origin, and nobody else does (T1)", () =>
    Effect.gen(function* () {
      const on = internet({
        "https://one.test": ({ authorization, url }) =>
          authorization === undefined
            ? unauthorized('Bearer realm="https://auth.one.test/token"')
            : new Response(null, {
                status: 307,
                headers: { location: `https://storage.test${url.pathname}` }
              }),
        "https://auth.one.test": () => Response.json({ token: "t1" }),
        "https://storage.test": () => new Response("b1"),
        "https://two.test": () => new Response("b1")
      })
      const repository = yield* a
      const get = (host: string) =>
        Effect.flatMap(opened(host), (registry) => text(registry.getBlob(repository, blob)))
      const headers = { "X-Tenant": "blue", "user-agent": "mine", "Accept-Encoding": "gzip" }
      yield* Effect.zip(get("one.test"), get("two.test")).pipe(
        registries(on, { "one.test": { headers } })
      )
      expect(on.seen.map(({ headers, url }) => [url.host, headers["x-tenant"] ?? "-"])).toEqual([
        ["one.test", "blue"],
        ["auth.one.test", "-"],
        ["one.test", "blue"],
        ["storage.test", "-"],
        ["two.test", "-"]
      ])
      // What a request needs for itself wins.
      expect(on.seen[0]?.headers).toMatchObject({
        "user-agent": RegistryClient.defaultUserAgent,
        "accept-encoding": "identity"
      })
    })
  )

  it.effect(
    "get them with requests for challenges and tokens, too, where these go to that origin",
    () =>
      Effect.gen(function* () {
        const on = internet({
          // A gateway that knows whoever has the header, and a registry that names its token server
          // to pings alone.
          "https://one.test": ({ authorization, headers, url }) =>
            headers["x-tenant"] !== "blue"
              ? new Response(null, { status: 403 })
              : url.pathname === "/token"
                ? Response.json({ token: "t1" })
                : authorization === "Bearer t1"
                  ? new Response("b1")
                  : unauthorized(url.pathname === "/v2/" ? 'Bearer realm="/token"' : undefined)
        })
        const repository = yield* a
        const get = Effect.flatMap(opened("one.test"), (registry) =>
          text(registry.getBlob(repository, blob))
        )
        yield* get.pipe(registries(on, { "one.test": { headers: { "x-tenant": "blue" } } }))
        expect(on.seen.map(({ headers, url }) => `${url.pathname} ${headers["x-tenant"]}`)).toEqual(
          [`/v2/a/blobs/${blob} blue`, "/v2/ blue", "/token blue", `/v2/a/blobs/${blob} blue`]
        )
      })
  )

  it.effect(
    "whose uploads go to an allowed other host do not get their headers sent there (T3)",
    () =>
      Effect.gen(function* () {
        const on = internet({
          "https://one.test": () =>
            new Response(null, { status: 202, headers: { location: "https://uploads.test/u1" } }),
          "https://uploads.test": () =>
            new Response(null, { status: 204, headers: { range: "0-0", location: "/u1" } })
        })
        const repository = yield* a
        const session = Effect.flatMap(opened("one.test"), (registry) =>
          Effect.scoped(Effect.flatMap(registry.startUpload(repository), ({ status }) => status))
        )
        yield* Effect.ignore(session).pipe(
          registries(on, {
            "one.test": {
              headers: { "x-tenant": "blue" },
              trust: { allowUploads: ["uploads.test"] },
              retry: { attempts: 0 }
            }
          })
        )
        const tenants = on.seen.map(
          ({ headers, url }) => `${url.host} ${headers["x-tenant"] ?? "-"}`
        )
        expect(new Set(tenants)).toEqual(new Set(["one.test blue", "uploads.test -"]))
      })
  )
})
