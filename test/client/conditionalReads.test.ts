/**
 * Manifests that are read only if they have changed (RFC 9110 section 13.1.2): what is sent, and
 * what registries and those between make of it.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import { mirrored } from "../../src/store/internal/Mirrors.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { freshRepository, image, tag as tagOf, utf8 } from "../support/fixtures.js"
import { serving } from "../support/server.js"
import { clientOf } from "../support/socketRegistry.js"
import {
  m1,
  m1Digest,
  m1Type,
  manifestAnswer,
  registryUrl,
  repository,
  status,
  tag,
  world
} from "./world.js"

const other = Digest.fromBytes(utf8("other"))
const sent = `"${m1Digest}"`

/** A registry whose response depends on the condition alone. */
const answering = (answer: (condition: string | undefined) => Response) =>
  Effect.gen(function* () {
    const { registry, seen } = yield* world({
      [registryUrl]: ({ headers }) => answer(headers["if-none-match"])
    })
    return {
      registry,
      conditions: () =>
        seen.map(({ headers, method }) => `${method} ${headers["if-none-match"] ?? "-"}`)
    }
  })

const full = (etag: string) => status(200, m1, { "content-type": m1Type, etag })

describe("a manifest that is known", () => {
  it.effect.each([
    ["304", () => status(304)],
    ["304 with its digest", () => status(304, null, { "docker-content-digest": m1Digest })],
    [
      "304 with a digest of another algorithm",
      () => status(304, null, { "docker-content-digest": Digest.fromBytes(utf8(m1), "sha512") })
    ],
    [
      "304 with a digest that is none (T8)",
      () => status(304, null, { "docker-content-digest": "x" })
    ],
    [
      "304 with a type and a coding",
      () => status(304, null, { "content-type": "text/html", "content-encoding": "gzip" })
    ],
    ["200, since it ignores conditions", manifestAnswer],
    ["200 with a weak tag", () => full(`W/${sent}`)],
    ["200 with the tag of what was compressed on its way", () => full(`"${m1Digest}-gzip"`)],
    ["200 with a tag of its own", () => full('"5d41402abc4b2a76b9719d911017c592"')]
  ] as const)("is unchanged: %s", ([, answer]) =>
    Effect.gen(function* () {
      const { conditions, registry } = yield* answering(answer)
      const found = yield* registry.getChangedManifest(repository, tag, m1Digest)
      expect(found).toEqual(Option.none())
      expect(conditions()).toEqual([`GET ${sent}`])
    })
  )

  it.effect("is asked for again where the response is about another one", () =>
    Effect.gen(function* () {
      const { conditions, registry } = yield* answering((condition) =>
        condition === undefined
          ? manifestAnswer()
          : status(304, null, { "docker-content-digest": m1Digest })
      )
      const found = yield* registry.getChangedManifest(repository, tag, other)
      expect(Option.getOrThrow(found).bytes).toEqual(utf8(m1))
      expect(conditions()).toEqual([`GET "${other}"`, "GET -"])
    })
  )

  it.effect("is another one where other bytes come, which are verified by their digest", () =>
    Effect.gen(function* () {
      const { conditions, registry } = yield* answering(manifestAnswer)
      const found = yield* registry.getChangedManifest(repository, tag, other)
      expect(Option.getOrThrow(found).descriptor.digest).toBe(m1Digest)
      const wrong = registry.getChangedManifest(repository, other, m1Digest)
      expect(yield* Effect.flip(wrong)).toMatchObject({ _tag: "DigestMismatch", expected: other })
      expect(conditions()).toEqual([`GET "${other}"`, `GET ${sent}`])
    })
  )

  it.effect("is what it is where nobody has asked for a condition", () =>
    Effect.gen(function* () {
      const { conditions, registry } = yield* answering(() => status(304))
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "RegistryFailure",
        status: 304
      })
      expect(conditions()).toEqual(["GET -"])
    })
  )
})

// -----------------------------------------------------------------------------
// Over sockets
// -----------------------------------------------------------------------------

/** A client of a registry, and what it asked for and was answered. */
const logging = Effect.fnUntraced(function* (url: string) {
  const log: Array<string> = []
  const registry = yield* clientOf(url, {
    transformClient: HttpClient.tap((response) =>
      Effect.sync(() => {
        const { headers, method } = response.request
        log.push(`${method} ${headers["if-none-match"] ?? "-"} ${response.status}`)
      })
    )
  })
  return { log, registry }
})

/** Asks twice for a tag that moves between, and returns what each said and what was sent. */
const moving = Effect.fnUntraced(function* (to: Registry.Service, asked: Registry.Service) {
  const repository = yield* freshRepository
  const latest = yield* tagOf("latest")
  const first = yield* image(to, repository, "m1")
  const second = yield* image(to, repository, "m2")
  yield* to.putManifest(repository, first, { tags: [latest] })
  const known = first.descriptor.digest
  const changed = Effect.map(
    asked.getChangedManifest(repository, latest, known),
    Option.map(({ descriptor }) => descriptor)
  )
  expect(yield* changed).toEqual(Option.none())
  yield* to.putManifest(repository, second, { tags: [latest] })
  expect(yield* changed).toEqual(Option.some(second.descriptor))
  return [`GET "${known}" 304`, `GET "${known}" 200`]
})

const reads = (log: ReadonlyArray<string>) => log.filter((line) => line.startsWith("GET"))

describe("a registry that heeds conditions", () => {
  it.scopedLive("says so through a mirror, and a server in front of both", () =>
    Effect.gen(function* () {
      const memory = yield* MemoryRegistry.make()
      const original = yield* logging(yield* serving(memory))
      const mirror = yield* logging(yield* serving(memory))
      const front = yield* logging(
        yield* serving(mirrored(original.registry, [{ registry: mirror.registry }]))
      )
      const lines = yield* moving(memory, front.registry)
      expect(front.log).toEqual(lines)
      expect(mirror.log).toEqual(lines)
      expect(original.log).toEqual([])
    })
  )
})

describeDebian("Debian's docker-registry", () => {
  it.scopedLive("answers with 304, and without a body", () =>
    Effect.gen(function* () {
      const { url } = yield* DebianRegistry
      const { log, registry } = yield* logging(url)
      const lines = yield* moving(registry, registry)
      expect(reads(log)).toEqual(lines)
    }).pipe(Effect.provide(layerDebianRegistry))
  )
})
