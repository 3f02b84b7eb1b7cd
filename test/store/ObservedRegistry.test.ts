/** What operators see of a registry that no client over HTTP is: lines of a log, spans, a hook. */
import { describe, expect, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as BlobSource from "../../src/BlobSource.js"
import { make, type Registry } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as ComposedRegistry from "../../src/store/ComposedRegistry.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { gather, tag, utf8 } from "../support/fixtures.js"

const app = Reference.unsafeParseRepositoryName("owner/app")
const other = Reference.unsafeParseRepositoryName("other")
const b1 = utf8("b1")
const digest = Digest.fromBytes(b1)

class Leaky extends Data.TaggedError("Leaky")<{ readonly message: string }> {}

/** One of each that can happen to an operation. */
const use = (registry: Registry.Service) =>
  Effect.gen(function* () {
    yield* registry.ping
    yield* registry.putBlob(app, BlobSource.fromBytes(b1))
    yield* gather(registry.getBlob(app, digest))
    yield* registry.mountBlob(other, digest, app)
    yield* Effect.ignore(registry.getManifest(app, yield* tag("v1")))
    yield* Stream.runHead(registry.getBlob(app, digest))
    const leaky = BlobSource.fromStream(Stream.fail(new Leaky({ message: "hunter2" })))
    yield* Effect.ignore(registry.putBlob(app, leaky))
    yield* Effect.scoped(Effect.flatMap(registry.startUpload(app), (session) => session.write(b1)))
  })

describe("logged", () => {
  const logging = <A, E>(effect: Effect.Effect<A, E>, minimum = LogLevel.Info) => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      lines.push(`${logLevel.label} ${message}`)
    })
    return effect.pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(minimum),
      Effect.as(lines)
    )
  }

  it.effect("says in a line what was asked of which registry, how it ended, and how long", () =>
    Effect.gen(function* () {
      const registry = ComposedRegistry.logged(yield* MemoryRegistry.make(), { host: "r.lan:5000" })
      expect(yield* logging(use(registry))).toEqual([
        "INFO ping r.lan:5000 completed in 0 ms",
        `INFO putBlob r.lan:5000/owner/app@${digest} completed in 0 ms`,
        `INFO getBlob r.lan:5000/owner/app@${digest} completed in 0 ms`,
        `INFO mountBlob r.lan:5000/other@${digest} from owner/app completed in 0 ms`,
        "INFO getManifest r.lan:5000/owner/app:v1 failed in 0 ms: " +
          "ManifestUnknown: Repository owner/app has no manifest v1",
        `INFO getBlob r.lan:5000/owner/app@${digest} abandoned in 0 ms`,
        // What is not of this library may hold anything.
        "INFO putBlob r.lan:5000/owner/app failed in 0 ms: Leaky",
        "INFO startUpload r.lan:5000/owner/app completed in 0 ms",
        "INFO UploadSession.write r.lan:5000/owner/app completed in 0 ms"
      ])
    })
  )

  it.effect("takes the time that it takes, and the level that it is given", () =>
    Effect.gen(function* () {
      const slow = ComposedRegistry.logged({ level: LogLevel.Debug })(
        make({ ping: Effect.sleep("1500 millis"), tags: () => Stream.never })
      )
      const run = Effect.gen(function* () {
        const ping = yield* Effect.fork(slow.ping)
        const tags = yield* Effect.fork(Stream.runDrain(slow.tags(app)))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(ping)
        yield* Fiber.interrupt(tags)
      })
      expect(yield* logging(run, LogLevel.Debug)).toEqual([
        "DEBUG ping completed in 1500 ms",
        "DEBUG tags owner/app abandoned in 2000 ms"
      ])
      expect(yield* logging(slow.ping.pipe(Effect.timeout(0), Effect.ignore))).toEqual([])
    })
  )
})

describe("observed", () => {
  it.effect("calls a function with each operation that has ended", () =>
    Effect.gen(function* () {
      const seen: Array<ComposedRegistry.Performed> = []
      const registry = ComposedRegistry.observed(yield* MemoryRegistry.make(), {
        host: "r.lan:5000",
        onOperation: (performed) => Effect.sync(() => seen.push(performed))
      })
      yield* use(registry)
      expect(seen.map(({ name, outcome }) => `${name} ${outcome}`)).toEqual([
        "ping completed",
        "putBlob completed",
        "getBlob completed",
        "mountBlob completed",
        "getManifest failed",
        "getBlob abandoned",
        "putBlob failed",
        "startUpload completed",
        "UploadSession.write completed"
      ])
      expect(seen[3]).toEqual({
        name: "mountBlob",
        repository: other,
        digest,
        from: app,
        outcome: "completed",
        duration: 0
      })
      expect(seen[4]).toMatchObject({ reference: "v1", error: { _tag: "ManifestUnknown" } })
    })
  )

  it.effect("has the spans that a client has", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (name, parent, context, links, startTime, kind) => {
          const attributes = new Map<string, unknown>()
          const span: Tracer.Span = {
            _tag: "Span",
            name,
            spanId: String(spans.length),
            traceId: "t",
            parent,
            context,
            links,
            kind,
            sampled: true,
            attributes,
            status: { _tag: "Started", startTime },
            attribute: (key, value) => void attributes.set(key, value),
            event: () => undefined,
            addLinks: () => undefined,
            end: () => undefined
          }
          spans.push(span)
          return span
        },
        context: (f) => f()
      })
      const registry = ComposedRegistry.observed({ host: "r.lan:5000" })(
        yield* MemoryRegistry.make()
      )
      yield* Effect.ignore(registry.getManifest(app, yield* tag("v1"))).pipe(
        Effect.withTracer(tracer)
      )
      expect(spans.map(({ attributes, name }) => [name, Object.fromEntries(attributes)])).toEqual([
        [
          "effect-oci/Registry.getManifest",
          {
            "server.address": "r.lan",
            "server.port": 5000,
            "oci.repository": app,
            "oci.reference": "v1",
            "error.type": "NameUnknown"
          }
        ]
      ])
    })
  )
})
