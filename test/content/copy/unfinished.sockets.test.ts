/** Copies that go on within a large blob, with a session that an earlier copy left. */
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { constant } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as BlobSource from "../../../src/BlobSource.js"
import * as Copy from "../../../src/content/Copy.js"
import * as Registries from "../../../src/Registries.js"
import type { Registry } from "../../../src/Registry.js"
import { TransportFailure } from "../../../src/RegistryError.js"
import * as Digest from "../../../src/spec/Digest.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as ComposedRegistry from "../../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../../src/store/MemoryRegistry.js"
import * as Transfer from "../../../src/Transfer.js"
import { DebianRegistry, layerDebianRegistry } from "../../support/debian.js"
import { utf8 } from "../../support/fixtures.js"
import { mirror, repository, v1 } from "../../support/graphs.js"
import { isInstalled } from "../../support/installed.js"
import { metered } from "../../support/meter.js"
import { until } from "../../support/serve.js"
import { serving } from "../../support/server.js"
import { clientOf } from "../../support/socketRegistry.js"

const MiB = 1024 * 1024
const size = 20 * MiB
const half = 10 * MiB

const content = (() => {
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536))
  return bytes
})()

/** The bytes of the layer from one to another, in pieces: the last one waits for what follows. */
const pieces = function* (from: number, to: number) {
  for (let at = from; at < to; at += MiB) yield content.subarray(at, Math.min(at + MiB, to))
}

/** What is known to have been sent when a copy is interrupted. */
const arrived = half - 2 * MiB

/** A registry with one large image, whose layer is read as `control` says. */
const makeSource = Effect.gen(function* () {
  const memory = yield* MemoryRegistry.make()
  const layer = yield* memory.putBlob(repository, BlobSource.fromBytes(content), {
    mediaType: MediaType.layerTar
  })
  const config = yield* memory.putBlob(repository, BlobSource.fromBytes(utf8("{}")))
  yield* memory.putManifest(repository, Manifest.image({ config, layers: [layer] }), {
    tags: [v1]
  })
  const control = {
    /** What comes after half of the layer. */
    rest: constant(Stream.never) as
      | ((from: number) => Stream.Stream<Uint8Array, TransportFailure>)
      | undefined,
    /** From which bytes on the layer was read. */
    reads: [] as number[]
  }
  const passing = <E>(at: number, stream: Stream.Stream<Uint8Array, E>) =>
    Stream.suspend((): Stream.Stream<Uint8Array, E | TransportFailure> => {
      control.reads.push(at)
      return control.rest === undefined
        ? stream
        : Stream.concat(
            Stream.rechunk(Stream.fromIterable(pieces(at, half)), 1),
            control.rest(Math.max(at, half))
          )
    })
  const registry: Registry.Service = {
    ...memory,
    getBlob: (name, blob) =>
      Digest.isDigest(blob) || blob.digest === layer.digest
        ? passing(0, memory.getBlob(name, blob))
        : memory.getBlob(name, blob),
    getBlobRange: (name, digest, range) =>
      passing(range.start, memory.getBlobRange(name, digest, range))
  }
  return { control, layer, registry }
})

/** A store as processes share it on disk, and what is in it. */
const makeStates = () => {
  const kept = new Map<string, string>()
  const unfinished = KeyValueStore.makeStringOnly({
    get: (key) => Effect.sync(() => Option.fromNullable(kept.get(key))),
    set: (key, value) => Effect.sync(() => void kept.set(key, value)),
    remove: (key) => Effect.sync(() => void kept.delete(key)),
    clear: Effect.sync(() => kept.clear()),
    size: Effect.sync(() => kept.size)
  })
  return { kept, unfinished }
}

const State = Schema.parseJson(Transfer.UploadState)

/** The session of the only state. */
const leftIn = (kept: Map<string, string>, registry: Registry.Service) =>
  Effect.flatMap(Schema.decodeUnknown(State)([...kept.values()][0]), registry.resumeUpload)

const embedded = Effect.gen(function* () {
  const memory = yield* MemoryRegistry.make()
  const sessions = Effect.map(memory.uploads, (open) => open.length)
  return { url: yield* serving(memory), sessions }
})

const debian = Effect.gen(function* () {
  const services = yield* Layer.build(layerDebianRegistry)
  const { uploads, url } = Context.get(services, DebianRegistry)
  return { url, sessions: Effect.map(uploads(repository), (open) => open.length) }
})

const targets = {
  "the embedded server": embedded,
  ...(isInstalled("docker-registry") && { "docker-registry": debian })
}

const makeWorld = (target: typeof embedded = embedded) =>
  Effect.gen(function* () {
    const { control, layer, registry: source } = yield* makeSource
    const { sessions, url } = yield* target
    const proxy = yield* metered(url)
    const registry = yield* clientOf(proxy.url)
    const copy = (options: Copy.Options = {}, to: Registry.Service = registry) =>
      Copy.between(
        { registry: source, repository, reference: v1 },
        { registry: to, repository },
        options
      )
    /** Copies until half of the layer is at the target, and interrupts the copy. */
    const interrupted = (copying: Effect.Effect<unknown, unknown> = copy()) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(copying)
        yield* until(() => proxy.log.some(({ bytes }) => bytes >= arrived))
        yield* Fiber.interrupt(fiber)
        yield* settled
      })
    /** From here on the source has all there is. */
    const settled = Effect.sync(() => {
      proxy.sent()
      control.reads.length = 0
      control.rest = undefined
    })
    /** The copy is whole, with no more than the rest of the layer sent, or all of it. */
    const ended = (sent: "the rest" | "all", to: Registry.Service = registry) =>
      Effect.gen(function* () {
        const bytes = proxy.sent()
        const whole = yield* to.getBlobBytes(repository, layer.digest, { limit: size })
        expect(Buffer.compare(whole, content)).toBe(0)
        expect(bytes).toBeGreaterThanOrEqual(sent === "all" ? size : 0)
        expect(bytes).toBeLessThanOrEqual(size - (sent === "all" ? -size : arrived) + MiB)
        expect(yield* sessions).toBe(0)
      })
    return {
      control,
      copy,
      ended,
      interrupted,
      layer,
      proxy,
      sessions,
      settled,
      source,
      target: registry
    }
  })

describe("a copy that was interrupted within a large blob", () => {
  for (const [name, target] of Object.entries(targets))
    it.scopedLive(`sends what is missing the next time, to ${name}`, () =>
      Effect.gen(function* () {
        const { control, copy, ended, interrupted, sessions } = yield* makeWorld(target)
        yield* interrupted()
        expect(yield* sessions).toBe(1)
        expect(yield* copy()).toMatchObject({ ok: true, outcomes: [{ status: "copied" }] })
        expect(control.reads.every((at) => at > 0)).toBe(true)
        yield* ended("the rest")
      })
    )

  for (const [name, target] of Object.entries(targets))
    it.scopedLive(`is gone on with by another process that has its states, to ${name}`, () =>
      Effect.gen(function* () {
        const { control, copy, ended, interrupted, proxy } = yield* makeWorld(target)
        const { kept, unfinished } = makeStates()
        yield* interrupted(copy({ unfinished }))
        expect(kept.size).toBe(1)
        // All that was sent is read again, for its hash.
        const other = yield* clientOf(proxy.url)
        yield* copy({ unfinished }, other)
        expect(control.reads[0]).toBe(0)
        expect(kept.size).toBe(0)
        yield* ended("the rest", other)
      })
    )

  it.scopedLive("starts over where the session is gone", () =>
    Effect.gen(function* () {
      const { copy, ended, interrupted, sessions, target } = yield* makeWorld()
      const { kept, unfinished } = makeStates()
      yield* interrupted(copy({ unfinished }))
      yield* Effect.scoped(leftIn(kept, target))
      expect(yield* sessions).toBe(0)
      yield* copy({ unfinished })
      yield* ended("all")
    })
  )

  it.scopedLive("starts over where somebody else has written to the session", () =>
    Effect.gen(function* () {
      const { copy, ended, interrupted, proxy, target } = yield* makeWorld()
      const { kept, unfinished } = makeStates()
      yield* interrupted(copy({ unfinished }))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* leftIn(kept, target)
          yield* session.write(new Uint8Array(MiB))
          yield* session.detach
        })
      )
      proxy.sent()
      yield* copy({ unfinished })
      yield* ended("all")
    })
  )

  for (const [what, change] of [
    ["is of another registry", (state: string) => state.replace("127.0.0.1", "192.0.2.1")],
    ["is of another repository", (state: string) => state.replaceAll("team/app", "team/other")],
    ["is no state", () => "{}"],
    ["is broken off", (state: string) => state.slice(0, 40)]
  ] as const)
    it.scopedLive(`starts over where what was stored ${what}`, () =>
      Effect.gen(function* () {
        const { copy, interrupted, proxy, sessions } = yield* makeWorld()
        const { kept, unfinished } = makeStates()
        yield* interrupted(copy({ unfinished }))
        for (const [key, state] of kept) kept.set(key, change(state))
        expect(yield* copy({ unfinished })).toMatchObject({ ok: true })
        expect(proxy.sent()).toBeGreaterThanOrEqual(size)
        expect(kept.size).toBe(0)
        // Nobody knows of the first one.
        expect(yield* sessions).toBe(1)
      })
    )

  it.scopedLive("starts over where the source has other bytes than before", () =>
    Effect.gen(function* () {
      const { control, copy, ended, interrupted } = yield* makeWorld()
      yield* interrupted()
      let isOther = true
      control.rest = (from) => {
        const rest = isOther ? new Uint8Array(size - from) : content.subarray(from)
        isOther = false
        return Stream.make(rest)
      }
      yield* copy()
      expect(control.reads.at(-1)).toBe(0)
      yield* ended("all")
    })
  )

  it.scopedLive("fails on the side of the source where that has no such bytes any more", () =>
    Effect.gen(function* () {
      const { control, copy, interrupted, sessions } = yield* makeWorld()
      const { kept, unfinished } = makeStates()
      yield* interrupted(copy({ unfinished }))
      control.rest = (from) => Stream.make(new Uint8Array(size - from))
      const failure = yield* Effect.flip(copy({ unfinished }))
      expect(failure).toMatchObject({ _tag: "CopyFailure", side: "source" })
      expect(failure.message).toContain("sha256:")
      expect(kept.size).toBe(0)
      expect(yield* sessions).toBe(0)
    })
  )

  it.scopedLive("leaves nothing where it is told to", () =>
    Effect.gen(function* () {
      const { copy, ended, interrupted, sessions } = yield* makeWorld()
      yield* interrupted(copy({ unfinished: "cancel" }))
      expect(yield* sessions).toBe(0)
      yield* copy()
      yield* ended("all")
    })
  )

  it.scopedLive("leaves nothing where the blob has come by other means", () =>
    Effect.gen(function* () {
      const { copy, interrupted, proxy, sessions, target } = yield* makeWorld()
      yield* interrupted()
      yield* target.putBlob(repository, BlobSource.fromBytes(content))
      proxy.sent()
      expect(yield* sessions).toBe(1)
      yield* copy()
      expect(proxy.sent()).toBeLessThan(MiB)
      expect(yield* sessions).toBe(0)
    })
  )

  it.scopedLive("lets one of two copies at once go on with it", () =>
    Effect.gen(function* () {
      const { copy, interrupted, sessions } = yield* makeWorld()
      yield* interrupted()
      const reports = yield* Effect.all([copy(), copy()], { concurrency: "unbounded" })
      expect(reports.every(({ ok }) => ok)).toBe(true)
      expect(yield* sessions).toBe(0)
    })
  )

  it.scopedLive("is gone on with under the name that its repository has behind a prefix", () =>
    Effect.gen(function* () {
      const { copy, ended, interrupted, target } = yield* makeWorld()
      const prefixed = ComposedRegistry.prefixed(target, mirror)
      yield* interrupted(copy({}, prefixed))
      yield* copy({}, prefixed)
      yield* ended("the rest", prefixed)
    })
  )

  it.scopedLive("is cancelled with the layer that opened the registry", () =>
    Effect.gen(function* () {
      const { interrupted, sessions, source, target } = yield* makeWorld()
      const hosts = Registries.layerFrom((host) =>
        Effect.succeed(host === "source.test" ? source : target)
      )
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(hosts, scope)
      yield* interrupted(
        Effect.provide(Copy.copy("source.test/team/app:v1", "target.test/team/app"), services)
      )
      expect(yield* sessions).toBe(1)
      yield* Scope.close(scope, Exit.void)
      expect(yield* sessions).toBe(0)
    })
  )
})

describe("a copy that has failed within a large blob", () => {
  it.scopedLive("goes on with it where the source has failed", () =>
    Effect.gen(function* () {
      const { control, copy, ended, sessions, settled } = yield* makeWorld()
      control.rest = () => Stream.fail(new TransportFailure({ reason: "Reset" }))
      expect(yield* Effect.flip(copy())).toMatchObject({ _tag: "CopyFailure", side: "source" })
      expect(yield* sessions).toBe(1)
      yield* settled
      yield* copy()
      yield* ended("the rest")
    })
  )

  it.scopedLive("goes on with it where the target has failed", () =>
    Effect.gen(function* () {
      const { copy, ended, proxy, settled } = yield* makeWorld()
      const fiber = yield* Effect.fork(Effect.flip(copy()))
      yield* until(() => proxy.log.some(({ bytes }) => bytes >= arrived))
      proxy.breakOff(true)
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "CopyFailure", side: "target" })
      proxy.breakOff(false)
      yield* settled
      yield* copy()
      yield* ended("the rest")
    })
  )
})
