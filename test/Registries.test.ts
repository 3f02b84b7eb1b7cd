/** `Registries.layerFrom`, and the operations by reference over registries in memory. */
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Registries from "../src/Registries.js"
import { Registry } from "../src/Registry.js"
import { InvalidUrl } from "../src/RegistryError.js"
import * as Digest from "../src/spec/Digest.js"
import * as Manifest from "../src/spec/Manifest.js"
import * as Reference from "../src/spec/Reference.js"
import * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import { byReferenceSuite } from "./suites/byReference.js"
import { items, utf8 } from "./support/fixtures.js"
import { watched } from "./support/watched.js"

const get = (host: string) => Effect.flatMap(Registries.Registries, (all) => all.get(host))

describe("layerFrom", () => {
  it.effect("opens each host once, in the normal form of its name", () => {
    const opened: Array<string> = []
    return Effect.gen(function* () {
      const hub = yield* get("index.docker.io")
      expect(yield* get("docker.io")).toBe(hub)
      const ghcr = yield* get("GHCR.io:443")
      expect(yield* get("ghcr.io")).toBe(ghcr)
      expect(ghcr).not.toBe(hub)
      expect(opened).toEqual(["docker.io", "ghcr.io"])
    }).pipe(
      Effect.provide(
        Registries.layerFrom((host) => {
          opened.push(host)
          return MemoryRegistry.make()
        })
      )
    )
  })

  it.effect.each(["", "ghcr.io/owner", "https://ghcr.io", "alice:hunter2@ghcr.io"])(
    "does not open %j, which is not a host",
    (text) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(get(text))
        expect(failure).toMatchObject({ _tag: "InvalidUrl" })
        expect(failure.message).toContain("it is not a host")
        expect(failure.message).not.toContain("hunter2")
      }).pipe(Effect.provide(Registries.layerFrom(() => Effect.dieMessage("opened"))))
  )

  /** Registries whose opening waits for `gate`. */
  const gated = Effect.gen(function* () {
    const gate = yield* Deferred.make<void, InvalidUrl>()
    const begun = yield* Deferred.make<void>()
    const count = { opened: 0 }
    const layer = Registries.layerFrom(() =>
      Effect.gen(function* () {
        count.opened++
        yield* Deferred.succeed(begun, undefined)
        yield* Deferred.await(gate)
        return yield* MemoryRegistry.make()
      })
    )
    return { gate, begun, count, layer }
  })

  it.effect("has all who ask at first share one opening", () =>
    Effect.gen(function* () {
      const { begun, count, gate, layer } = yield* gated
      yield* Effect.gen(function* () {
        const asking = yield* Effect.fork(
          Effect.all(
            Array.from({ length: 8 }, () => get("ghcr.io")),
            { concurrency: "unbounded" }
          )
        )
        yield* Deferred.await(begun)
        const late = yield* Effect.fork(get("GHCR.IO"))
        yield* Effect.yieldNow()
        yield* Deferred.succeed(gate, undefined)
        const found = [...(yield* Fiber.join(asking)), yield* Fiber.join(late)]
        expect(new Set(found).size).toBe(1)
        expect(count.opened).toBe(1)
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("goes on opening for the others, and the next, when the first is interrupted", () =>
    Effect.gen(function* () {
      const { begun, count, gate, layer } = yield* gated
      yield* Effect.gen(function* () {
        const first = yield* Effect.fork(get("ghcr.io"))
        yield* Deferred.await(begun)
        const second = yield* Effect.fork(get("ghcr.io"))
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(first)
        yield* Deferred.succeed(gate, undefined)
        const found = yield* Fiber.join(second)
        expect(yield* get("ghcr.io")).toBe(found)
        expect(count.opened).toBe(1)
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("shares a failure with those who wait, and keeps it for nobody else", () =>
    Effect.gen(function* () {
      const { begun, count, gate, layer } = yield* gated
      const failure = new InvalidUrl({ url: "ghcr.io", problem: "it is closed" })
      yield* Effect.gen(function* () {
        const asking = yield* Effect.fork(
          Effect.all([Effect.flip(get("ghcr.io")), Effect.flip(get("ghcr.io"))], {
            concurrency: "unbounded"
          })
        )
        yield* Deferred.await(begun)
        yield* Deferred.fail(gate, failure)
        expect(yield* Fiber.join(asking)).toEqual([failure, failure])
        expect(count.opened).toBe(1)
        expect(yield* Effect.flip(get("ghcr.io"))).toEqual(failure)
        expect(count.opened).toBe(2)
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("keeps a defect for nobody either", () => {
    let opened = 0
    return Effect.gen(function* () {
      expect(yield* Effect.exit(get("ghcr.io"))).toMatchObject({ _tag: "Failure" })
      yield* get("ghcr.io")
    }).pipe(
      Effect.provide(
        Registries.layerFrom(() => {
          opened++
          if (opened === 1) throw new Error("at first")
          return MemoryRegistry.make()
        })
      )
    )
  })

  it.effect("interrupts those who wait when the layer is released", () =>
    Effect.gen(function* () {
      const { begun, layer } = yield* gated
      const asking = yield* Effect.scoped(
        Effect.gen(function* () {
          const registries = Context.get(yield* Layer.build(layer), Registries.Registries)
          const asking = yield* Effect.forkDaemon(registries.get("ghcr.io"))
          yield* Deferred.await(begun)
          return asking
        })
      )
      expect(Exit.isInterrupted(yield* Fiber.await(asking))).toBe(true)
    })
  )

  it.effect("opens what holds nothing for whoever asks when the layer was released", () =>
    Effect.gen(function* () {
      const registry = yield* MemoryRegistry.make()
      const { get } = yield* Effect.provide(
        Registries.Registries,
        Registries.layerFrom(() => Effect.succeed(registry))
      )
      expect(yield* get("ghcr.io")).toBe(registry)
    })
  )

  it.effect("releases with the layer what an opening acquired, and at once if it failed", () => {
    const log: Array<string> = []
    return Effect.gen(function* () {
      yield* Effect.gen(function* () {
        yield* get("ghcr.io")
        yield* Effect.flip(get("docker.io"))
        log.push("used")
      }).pipe(
        Effect.provide(
          Registries.layerFrom((host) =>
            Effect.acquireRelease(
              Effect.sync(() => log.push(`acquired ${host}`)),
              () => Effect.sync(() => log.push(`released ${host}`))
            ).pipe(
              Effect.zipRight(
                host === "docker.io"
                  ? Effect.fail(new InvalidUrl({ url: host, problem: "it is closed" }))
                  : MemoryRegistry.make()
              )
            )
          )
        )
      )
      expect(log).toEqual([
        "acquired ghcr.io",
        "acquired docker.io",
        "released docker.io",
        "used",
        "released ghcr.io"
      ])
    })
  })

  it.effect("requires what the function requires, and wraps other registries so", () => {
    const log: Array<string> = []
    class Name extends Context.Tag("test/Name")<Name, string>() {}
    const wrapped = Registries.layerFrom((host) =>
      Effect.gen(function* () {
        const registry = yield* (yield* Registries.Registries).get(host)
        const name = yield* Name
        return {
          ...registry,
          ping: Effect.zipRight(
            Effect.sync(() => log.push(`${name} ${host}`)),
            registry.ping
          )
        }
      })
    ).pipe(
      Layer.provide(Layer.succeed(Name, "of the layer")),
      Layer.provide(MemoryRegistry.layerRegistries())
    )
    return Effect.gen(function* () {
      const { registry } = yield* Registries.open("ghcr.io/owner/name")
      yield* registry.ping
      expect(log).toEqual(["of the layer ghcr.io"])
    }).pipe(Effect.provide(wrapped), Effect.provideService(Name, "of who asks"))
  })
})

describe("layerRegistry", () => {
  it.effect("is the registry of one host", () =>
    Effect.gen(function* () {
      expect(yield* Registry).toBe(yield* get("ghcr.io"))
    }).pipe(
      Effect.provide(
        Layer.provideMerge(Registries.layerRegistry("GHCR.io"), MemoryRegistry.layerRegistries())
      )
    )
  )

  it.effect("fails where that is not a host", () =>
    Effect.gen(function* () {
      const layer = Layer.provide(
        Registries.layerRegistry("ghcr.io/owner"),
        MemoryRegistry.layerRegistries()
      )
      expect(yield* Effect.flip(Effect.provide(Registry, layer))).toMatchObject({
        _tag: "InvalidUrl",
        url: "ghcr.io/owner"
      })
    })
  )
})

byReferenceSuite("by reference, in memory", { layer: MemoryRegistry.layerRegistries() })

describe("by reference", () => {
  const digest = `sha256:${"0".repeat(64)}`
  const operations: Readonly<
    Record<string, (reference: string) => Effect.Effect<unknown, unknown, Registries.Registries>>
  > = {
    open: Registries.open,
    resolve: Registries.resolve,
    exists: Registries.exists,
    manifest: Registries.manifest,
    tags: (reference) => items(Registries.tags(reference)),
    referrers: (reference) => items(Registries.referrers(reference)),
    blob: (reference) => items(Registries.blob(reference)),
    tag: (reference) => Registries.tag(reference, "2"),
    putManifest: (reference) =>
      Registries.putManifest(reference, Manifest.index({ manifests: [] })),
    untag: Registries.untag,
    remove: Registries.remove
  }

  it.effect.each(Object.entries(operations))("%s has a span with its reference", ([name, run]) =>
    Effect.gen(function* () {
      const written = `alpine:3@${digest}`
      const { text } = yield* watched(run(written)).pipe(
        Effect.provide(MemoryRegistry.layerRegistries())
      )
      expect(text).toContain(`effect-oci/Registries.${name}`)
      expect(text).toContain(`docker.io/library/${written}`)
    })
  )

  it.effect.each(Object.entries(operations))(
    "%s fails for what is not a reference, and opens nothing",
    ([name, run]) =>
      Effect.gen(function* () {
        const { exit, text } = yield* watched(run("alice:hunter2@ghcr.io/owner/name")).pipe(
          Effect.provide(Registries.layerFrom(() => Effect.dieMessage("opened")))
        )
        expect(exit).toMatchObject({ cause: { error: { _tag: "InvalidReference" } } })
        expect(text).toContain(`effect-oci/Registries.${name}`)
        expect(text).not.toContain("hunter2")
      })
  )

  it.effect.each(["tag", "putManifest", "untag", "remove", "blob"])(
    "%s opens nothing for a name without what it needs",
    (name) =>
      Effect.gen(function* () {
        const run = operations[name] ?? Effect.dieMessage
        expect(
          yield* Effect.flip(
            Effect.provide(
              run("ghcr.io/owner/name"),
              Registries.layerFrom(() => Effect.dieMessage("opened"))
            )
          )
        ).toMatchObject({ _tag: "InvalidReference" })
      })
  )

  it.effect("a manifest is put under the tag and the digest of its reference, and no others", () =>
    Effect.gen(function* () {
      const index = Manifest.index({ manifests: [] })
      const { digest } = index.descriptor
      const { reference } = yield* Registries.putManifest("ghcr.io/owner/name:1", index)
      expect(Reference.format(reference)).toBe(`ghcr.io/owner/name@${digest}`)
      yield* Registries.putManifest(`ghcr.io/owner/name@${digest}`, index)
      expect(yield* items(Registries.tags("ghcr.io/owner/name"))).toEqual(["1"])
      const other = Digest.fromBytes(utf8("other"))
      expect(
        yield* Effect.flip(Registries.putManifest(`ghcr.io/owner/name:2@${other}`, index))
      ).toMatchObject({ _tag: "DigestMismatch", expected: other, actual: digest })
      expect(yield* Registries.exists("ghcr.io/owner/name:2")).toBe(false)
    }).pipe(Effect.provide(MemoryRegistry.layerRegistries()))
  )
})
