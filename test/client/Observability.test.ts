/**
 * Spans, metrics, log lines and warnings of the client, as an OpenTelemetry exporter and a logger
 * get them.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import { describe, expect, it } from "@effect/vitest"
import { SpanKind, SpanStatusCode } from "@opentelemetry/api"
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  PeriodicExportingMetricReader
} from "@opentelemetry/sdk-metrics"
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import {
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_REQUEST_RESEND_COUNT,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_URL_FULL
} from "@opentelemetry/semantic-conventions"
import { ATTR_URL_TEMPLATE } from "@opentelemetry/semantic-conventions/incubating"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as Operation from "../../src/protocol/Operation.js"
import { Registry } from "../../src/Registry.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { json, unauthorized } from "../support/fake/Handler.js"
import { internet } from "../support/fake/Internet.js"
import { freshBytes, gather, generated, tag, utf8 } from "../support/fixtures.js"

/** All that one program did, as OpenTelemetry has it. */
const exported = () => {
  const spans = new InMemorySpanExporter()
  const metrics = new PeriodicExportingMetricReader({
    exporter: new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE),
    exportIntervalMillis: 3_600_000
  })
  const points = Effect.map(
    Effect.promise(() => metrics.collect()),
    ({ resourceMetrics }) =>
      resourceMetrics.scopeMetrics.flatMap((scope) =>
        scope.metrics.flatMap(({ dataPoints, descriptor }) =>
          dataPoints.map(({ attributes, value }) => ({ name: descriptor.name, attributes, value }))
        )
      )
  )
  return {
    layer: NodeSdk.layer(() => ({
      resource: { serviceName: "test" },
      spanProcessor: new SimpleSpanProcessor(spans),
      metricReader: metrics
    })),
    spans: () =>
      // The embedded server runs in the same program, and has spans of its own.
      spans
        .getFinishedSpans()
        .filter(({ kind }) => kind !== SpanKind.SERVER)
        .map((span) => ({
          name: span.name,
          attributes: span.attributes,
          kind: span.kind,
          status: span.status.code,
          id: span.spanContext().spanId,
          parent: span.parentSpanContext?.spanId
        })),
    /** The values of a metric by their labels, of one host. */
    metric: (name: string, host?: string) =>
      Effect.map(points, (points) =>
        Object.fromEntries(
          points
            .filter((point) => point.name === name && point.attributes["host"] === host)
            .map(({ attributes: { host: _, ...labels }, value }) => [
              Object.values(labels).join(" "),
              value
            ])
        )
      )
  }
}

const lines = (log: Array<string>) =>
  Layer.merge(
    Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ logLevel, message }) => {
        log.push(`${logLevel.label} ${Array.isArray(message) ? message.join(" ") : message}`)
      })
    ),
    Logger.minimumLogLevel(LogLevel.Debug)
  )

const alice = (host: string) =>
  Credentials.layerBasic({ host, username: "alice", password: Redacted.make("wonderland") })

const embedded = (host: string, options: Partial<RegistryClient.Options> = {}) =>
  RegistryClient.layer({ url: `http://${host}`, ...options }).pipe(
    Layer.provide([TokenCache.layerMemory, alice(host)]),
    Layer.provide(
      Layer.unwrapEffect(
        Effect.map(
          ServerAuthorization.token({ users: { alice: Redacted.make("wonderland") } }),
          (authorization) => RegistryServer.layerTest({ authorization })
        )
      )
    ),
    Layer.provide(MemoryRegistry.layer())
  )

const over = (
  client: HttpClient.HttpClient,
  options: RegistryClient.Options,
  credentials: Layer.Layer<Credentials.Credentials, unknown> = Credentials.layerAnonymous
) =>
  RegistryClient.layer(options).pipe(
    Layer.provide([
      TokenCache.layerMemory,
      Layer.orDie(credentials),
      Layer.succeed(HttpClient.HttpClient, client)
    ])
  )

const name = Reference.parseRepositoryName("owner/name")
const missing = Digest.fromBytes(utf8("missing"))

describe("spans", () => {
  it.effect(
    "the read of a whole blob has a span, which says of what and with what it failed",
    () => {
      const { layer, spans } = exported()
      return Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* name
        const blob = yield* registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
        yield* registry.getBlobBytes(repository, blob)
        yield* Effect.flip(registry.getBlobBytes(repository, blob.digest, { limit: 1 }))
        const attributes = {
          [ATTR_SERVER_ADDRESS]: "whole.test",
          [ATTR_SERVER_PORT]: 80,
          "oci.repository": "owner/name",
          "oci.digest": blob.digest
        }
        expect(
          spans()
            .filter(({ name }) => name === "effect-oci/Registry.getBlobBytes")
            .map(({ attributes }) => attributes)
        ).toEqual([attributes, { ...attributes, [ATTR_ERROR_TYPE]: "LimitExceeded" }])
      }).pipe(Effect.provide(embedded("whole.test")), Effect.provide(layer))
    }
  )

  it.effect("the steps of an upload session have spans, since their requests have none", () => {
    const { layer, spans } = exported()
    return Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* name
      const session = yield* registry.startUpload(repository)
      yield* session.write(utf8("hello"))
      yield* session.status
      const other = yield* registry.resumeUpload(yield* session.detach)
      yield* Effect.flip(other.commit(missing))
      const steps = spans().filter(({ kind }) => kind === SpanKind.INTERNAL)
      expect(steps.map(({ name }) => name.replace("effect-oci/", ""))).toEqual([
        "Registry.startUpload",
        "UploadSession.write",
        "UploadSession.status",
        "Registry.resumeUpload",
        "UploadSession.commit"
      ])
      expect(steps.at(-1)?.attributes).toEqual({
        [ATTR_SERVER_ADDRESS]: "steps.test",
        [ATTR_SERVER_PORT]: 80,
        "oci.repository": "owner/name",
        "oci.digest": missing,
        [ATTR_ERROR_TYPE]: "DigestMismatch"
      })
    }).pipe(Effect.scoped, Effect.provide(embedded("steps.test")), Effect.provide(layer))
  })

  it.effect(
    "are not made where nobody records them: by Effect's own tracer, or with tracing switched off",
    () => {
      const made: Array<string> = []
      const around: Array<Option.Option<Tracer.AnySpan>> = []
      const own = Context.get(DefaultServices.liveServices, Tracer.Tracer)
      const recording = Tracer.make({
        context: (run) => run(),
        span: (name, ...rest) => {
          made.push(name)
          return own.span(name, ...rest)
        }
      })
      const client = HttpClient.make((request) =>
        Effect.map(Effect.option(Effect.currentParentSpan), (span) => {
          around.push(span)
          const location = { location: "/v2/owner/name/blobs/uploads/1" }
          return HttpClientResponse.fromWeb(
            request,
            request.method === "POST"
              ? new Response(null, { status: 202, headers: location })
              : new Response("x")
          )
        })
      )
      const program = Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* name
        yield* registry.ping
        yield* Stream.runDrain(registry.getBlob(repository, Digest.fromBytes(utf8("x"))))
        const session = yield* registry.startUpload(repository)
        yield* Effect.ignore(session.write(utf8("x")))
      }).pipe(Effect.scoped, Effect.provide(over(client, { url: "https://unseen.test" })))
      return Effect.gen(function* () {
        yield* Effect.withTracer(program, own)
        yield* program.pipe(Effect.withTracerEnabled(false), Effect.withTracer(recording))
        expect(around.length).toBeGreaterThan(6)
        expect(around.filter(Option.isSome)).toEqual([])
        expect(made).toEqual([])
        yield* Effect.withTracer(program, recording)
        expect(made).toContain("effect-oci/Registry.ping")
        expect(made).toContain("effect-oci/Registry.getBlob")
        expect(made).toContain("effect-oci/UploadSession.write")
      })
    }
  )

  it.effect(
    "an operation has a span, and each of its requests a child with OpenTelemetry's attributes",
    () => {
      const { layer, spans } = exported()
      return Effect.gen(function* () {
        const registry = yield* Registry
        const repository = yield* name
        const first = yield* Effect.option(registry.headManifest(repository, yield* tag("v1")))
        expect(Option.flatten(first)).toEqual(Option.none())
        const [challenged, answered, operation, ...others] = spans()
        expect(others).toEqual([])
        const common = {
          [ATTR_HTTP_REQUEST_METHOD]: "HEAD",
          [ATTR_SERVER_ADDRESS]: "spans.test",
          [ATTR_SERVER_PORT]: 80,
          [ATTR_URL_FULL]: "http://spans.test/v2/owner/name/manifests/v1",
          [ATTR_URL_TEMPLATE]: "/v2/{name}/manifests/{reference}"
        }
        expect(challenged).toMatchObject({
          name: "HEAD /v2/{name}/manifests/{reference}",
          kind: SpanKind.CLIENT,
          status: SpanStatusCode.OK,
          parent: operation?.id
        })
        expect(challenged?.attributes).toEqual({
          ...common,
          [ATTR_HTTP_RESPONSE_STATUS_CODE]: 401
        })
        expect(answered).toMatchObject({ status: SpanStatusCode.ERROR, parent: operation?.id })
        expect(answered?.attributes).toEqual({
          ...common,
          [ATTR_HTTP_REQUEST_RESEND_COUNT]: 1,
          [ATTR_HTTP_RESPONSE_STATUS_CODE]: 404,
          [ATTR_ERROR_TYPE]: "404"
        })
        expect(operation).toMatchObject({
          name: "effect-oci/Registry.headManifest",
          status: SpanStatusCode.OK
        })
        expect(operation?.attributes).toEqual({
          [ATTR_SERVER_ADDRESS]: "spans.test",
          [ATTR_SERVER_PORT]: 80,
          "oci.repository": "owner/name",
          "oci.reference": "v1"
        })
      }).pipe(Effect.provide(embedded("spans.test")), Effect.provide(layer))
    }
  )

  it.effect("a failed operation says with what", () => {
    const { layer, spans } = exported()
    return Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* name
      yield* Effect.exit(registry.getManifest(repository, missing))
      yield* Effect.exit(Stream.runDrain(registry.getBlob(repository, missing)))
      const operations = spans().filter(({ kind }) => kind === SpanKind.INTERNAL)
      expect(
        operations.map(({ attributes, name, status }) => [name, attributes["error.type"], status])
      ).toEqual([
        ["effect-oci/Registry.getManifest", "NameUnknown", SpanStatusCode.ERROR],
        ["effect-oci/Registry.getBlob", "BlobUnknown", SpanStatusCode.ERROR]
      ])
      expect(operations[0]?.attributes["oci.reference"]).toBe(missing)
      expect(operations[1]?.attributes["oci.digest"]).toBe(missing)
    }).pipe(Effect.provide(embedded("failed.test")), Effect.provide(layer))
  })

  const password = Credentials.layerBasic({
    host: "challenging.test",
    username: "alice",
    password: Redacted.make("wonderland")
  })
  for (const [what, status, credentials, errors] of [
    ["nobody can answer", 401, Credentials.layerAnonymous, ["401"]],
    ["is answered with what is refused", 401, password, [undefined, "401"]],
    ["is none", 403, password, [undefined, "403"]]
  ] as const)
    it.effect(
      `a challenge is an error of its request unless it is answered: one that ${what}`,
      () => {
        const { layer, spans } = exported()
        const { client } = internet({
          "https://challenging.test": (request) =>
            new Response(null, {
              status: request.headers["authorization"] !== undefined ? status : 401,
              headers: { "www-authenticate": 'Basic realm="r"' }
            })
        })
        return Effect.gen(function* () {
          const registry = yield* Registry
          yield* Effect.exit(registry.ping)
          const requests = spans().filter(({ kind }) => kind === SpanKind.CLIENT)
          expect(requests.map(({ attributes }) => attributes["error.type"])).toEqual(errors)
          expect(requests.map(({ status }) => status === SpanStatusCode.ERROR)).toEqual(
            errors.map((error) => error !== undefined)
          )
        }).pipe(
          Effect.provide(over(client, { url: "https://challenging.test" }, credentials)),
          Effect.provide(layer)
        )
      }
    )

  it.effect(
    "a request is a resend after a failure, whatever the reason, and not after a success",
    () => {
      const { layer, spans } = exported()
      const statuses = [200, 200, 503, 503, 200, 200]
      const { client } = internet({
        "https://polled.test": () => new Response(null, { status: statuses.shift() ?? 599 })
      })
      return Effect.gen(function* () {
        const to = yield* RegistryClient.endpoint({ url: "https://polled.test" })
        yield* Effect.forEach(statuses.slice(), () =>
          RegistryClient.attempt(to, Operation.Ping())
        ).pipe(Effect.withSpan("polling"))
        const counts = spans().map(({ attributes }) => attributes["http.request.resend_count"])
        expect(counts).toEqual([undefined, undefined, undefined, 1, 2, undefined, undefined])
      }).pipe(
        Effect.provide([
          TokenCache.layerMemory,
          Credentials.layerAnonymous,
          Layer.succeed(HttpClient.HttpClient, client)
        ]),
        Effect.provide(layer)
      )
    }
  )

  it.effect("token requests, redirect targets and upload locations have none (T13)", () => {
    const { layer, spans } = exported()
    const { client, log } = internet({
      "https://registry.test": ({ authorization, method, url }) =>
        authorization === undefined
          ? unauthorized('Bearer realm="https://auth.registry.test/token",service="registry.test"')
          : url.pathname.includes("/uploads/")
            ? new Response(null, {
                status: method === "POST" ? 202 : method === "PUT" ? 201 : 204,
                headers: { location: "/v2/owner/name/blobs/uploads/1?_state=signed" }
              })
            : new Response(null, {
                status: 307,
                headers: { location: "https://storage.test/b?signature=signed" }
              }),
      "https://auth.registry.test": () => json({ token: "t1" }),
      "https://storage.test": () => new Response("content")
    })
    return Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* name
      yield* Stream.runDrain(registry.getBlob(repository, Digest.fromBytes(utf8("content"))))
      yield* registry.startUpload(repository).pipe(
        Effect.flatMap((session) => Effect.zipRight(session.write(utf8("x")), session.status)),
        Effect.scoped
      )
      expect(log.map((line) => line.split(" ")[0])).toEqual([
        "GET",
        "GET",
        "GET",
        "GET",
        "GET",
        "POST",
        "PATCH",
        "GET",
        "DELETE"
      ])
      expect(
        spans()
          .filter(({ kind }) => kind === SpanKind.CLIENT)
          .map(({ name }) => name)
      ).toEqual([
        "GET /v2/{name}/blobs/{digest}",
        "GET /v2/{name}/blobs/{digest}",
        "POST /v2/{name}/blobs/uploads/"
      ])
      expect(JSON.stringify(spans())).not.toMatch(/signed|storage|auth\.registry/)
    }).pipe(Effect.provide(over(client, { url: "https://registry.test" })), Effect.provide(layer))
  })

  it.effect("a registry below a path has it in the template, and its port is named", () => {
    const { layer, spans } = exported()
    const { client } = internet({
      "https://example.test:8443": () => new Response(null, { status: 200 })
    })
    return Effect.gen(function* () {
      yield* (yield* Registry).ping
      const [request] = spans()
      expect(request?.name).toBe("GET /oci/v2/")
      expect(request?.attributes).toMatchObject({
        "server.address": "example.test",
        "server.port": 8443
      })
    }).pipe(
      Effect.provide(over(client, { url: "https://example.test:8443/oci" })),
      Effect.provide(layer)
    )
  })

  it.effect("an address of IPv6 has no brackets", () => {
    const { layer, spans } = exported()
    const { client } = internet({
      "https://[2001:db8::1]": () => new Response(null, { status: 200 })
    })
    return Effect.gen(function* () {
      yield* (yield* Registry).ping
      expect(spans()[0]?.attributes).toMatchObject({
        [ATTR_SERVER_ADDRESS]: "2001:db8::1",
        [ATTR_SERVER_PORT]: 443
      })
    }).pipe(Effect.provide(over(client, { url: "https://[2001:db8::1]" })), Effect.provide(layer))
  })

  it.effect("a request without an answer has the reason for its error", () => {
    const { layer, spans } = exported()
    return Effect.gen(function* () {
      const registry = yield* Registry
      const fiber = yield* Effect.fork(Effect.exit(registry.ping))
      yield* TestClock.adjust("10 seconds")
      yield* fiber.await
      expect(spans()[0]?.attributes["error.type"]).toBe("TransportFailure.Timeout")
      expect(spans()[0]?.status).toBe(SpanStatusCode.ERROR)
    }).pipe(
      Effect.provide(
        over(
          HttpClient.make(() => Effect.never),
          {
            url: "https://silent.test",
            timeouts: { response: "1 second" },
            retry: { attempts: 0 }
          }
        )
      ),
      Effect.provide(layer)
    )
  })

  it.effect("the trace is not propagated unless asked, and then to the registry alone", () => {
    const { layer } = exported()
    const run = (asked: { readonly tracePropagation?: true }) => {
      const { client, seen } = internet({
        "https://registry.test": ({ authorization }) =>
          authorization === undefined
            ? unauthorized('Bearer realm="https://auth.registry.test/token"')
            : new Response(null, {
                status: 307,
                headers: { location: "https://storage.test/b?signature=signed" }
              }),
        "https://auth.registry.test": () => json({ token: "t1" }),
        "https://storage.test": () => new Response("content")
      })
      return Effect.gen(function* () {
        const registry = yield* Registry
        yield* Stream.runDrain(registry.getBlob(yield* name, Digest.fromBytes(utf8("content"))))
        return seen.map(
          ({ headers, url }) =>
            `${url.host} ${headers["traceparent"] !== undefined} ${"b3" in headers}`
        )
      }).pipe(Effect.provide(over(client, { url: "https://registry.test", ...asked })))
    }
    return Effect.gen(function* () {
      expect(yield* run({})).toEqual([
        "registry.test false false",
        "auth.registry.test false false",
        "registry.test false false",
        "storage.test false false"
      ])
      expect(yield* run({ tracePropagation: true })).toEqual([
        "registry.test true true",
        "auth.registry.test false false",
        "registry.test true true",
        "storage.test false false"
      ])
    }).pipe(Effect.provide(layer))
  })

  it.effect("there are none where tracing is off", () => {
    const { layer, spans } = exported()
    return Effect.gen(function* () {
      yield* Effect.withTracerEnabled((yield* Registry).ping, false)
      expect(spans()).toEqual([])
    }).pipe(Effect.provide(embedded("untraced.test")), Effect.provide(layer))
  })
})

describe("metrics", () => {
  it.effect("requests, bytes, durations, tokens and cache hits are counted by registry", () => {
    const { layer, metric } = exported()
    return Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* name
      const bytes = yield* gather(generated(100_000))
      const blob = yield* registry.putBlob(repository, BlobSource.fromBytes(bytes))
      yield* Stream.runDrain(registry.getBlob(repository, blob))
      yield* Stream.runHead(registry.getBlob(repository, blob))
      yield* Effect.exit(Stream.runDrain(registry.getBlob(repository, missing)))
      // Of the second download, one chunk.
      const moved = yield* metric("effect_oci.bytes", "metrics.test")
      expect(moved["upload"]).toBe(100_000)
      expect(moved["download"]).toBeGreaterThan(200_000)
      const durations = yield* metric("effect_oci.transfer.duration", "metrics.test")
      expect(durations).toMatchObject({
        "upload completed": { count: 1 },
        "download completed": { count: 1 },
        "download abandoned": { count: 1 },
        "download failed": { count: 1 }
      })
      const requests = yield* metric("effect_oci.requests", "metrics.test")
      expect(requests).toMatchObject({ "HEAD 4xx": 2, "POST 2xx": 1, "PUT 2xx": 1 })
      // Two are token requests.
      expect(requests["GET 2xx"]).toBe(4)
      expect(yield* metric("effect_oci.token.requests", "metrics.test")).toEqual({ "": 2 })
      expect(yield* metric("effect_oci.token.cache_hits", "metrics.test")).toEqual({ "": 4 })
    }).pipe(Effect.provide(embedded("metrics.test")), Effect.provide(layer))
  })

  it.effect("a download takes the time that it takes", () => {
    const { layer, metric } = exported()
    return Effect.gen(function* () {
      const registry = yield* Registry
      const repository = yield* name
      const blob = yield* registry.putBlob(repository, BlobSource.fromBytes(freshBytes("b1")))
      yield* Stream.runForEach(registry.getBlob(repository, blob), () =>
        TestClock.adjust("3 seconds")
      )
      expect(yield* metric("effect_oci.transfer.duration", "slow.test")).toMatchObject({
        "download completed": { sum: 3 }
      })
      yield* registry.getBlobBytes(repository, blob)
      yield* Effect.flip(registry.getBlobBytes(repository, missing))
      expect(yield* metric("effect_oci.transfer.duration", "slow.test")).toMatchObject({
        "download completed": { count: 2 },
        "download failed": { count: 1 }
      })
    }).pipe(Effect.provide(embedded("slow.test")), Effect.provide(layer))
  })

  it.effect(
    "retries are counted by what they follow, and requests without an answer as errors",
    () => {
      const { layer, metric } = exported()
      let answers = 0
      const { client } = internet({
        "https://busy.test": () => new Response(null, { status: ++answers <= 2 ? 429 : 200 })
      })
      return Effect.gen(function* () {
        const fiber = yield* Effect.fork((yield* Registry).ping)
        yield* TestClock.adjust("1 minute")
        yield* fiber.await
        expect(yield* metric("effect_oci.retries", "busy.test")).toEqual({ TooManyRequests: 2 })
        expect(yield* metric("effect_oci.requests", "busy.test")).toEqual({
          "GET 4xx": 2,
          "GET 2xx": 1
        })
      }).pipe(Effect.provide(over(client, { url: "https://busy.test" })), Effect.provide(layer))
    }
  )

  it.effect("bytes are those that went: none of a body that found no connection", () => {
    const { layer, metric } = exported()
    const refusing = HttpClient.make((request) =>
      request.method === "HEAD"
        ? Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 404 })))
        : Effect.fail(
            new HttpClientError.RequestError({
              request,
              reason: "Transport",
              cause: new Error("refused")
            })
          )
    )
    return Effect.gen(function* () {
      const registry = yield* Registry
      yield* Effect.exit(registry.putBlob(yield* name, BlobSource.fromBytes(freshBytes("b1"))))
      expect(yield* metric("effect_oci.bytes", "refusing.test")).toEqual({})
      expect(yield* metric("effect_oci.requests", "refusing.test")).toEqual({
        "HEAD 4xx": 1,
        "POST error": 1
      })
    }).pipe(
      Effect.provide(over(refusing, { url: "https://refusing.test", retry: { attempts: 0 } })),
      Effect.provide(layer)
    )
  })

  it.effect.each([
    ["stream", (response) => Stream.runDrain(response.stream)],
    ["arrayBuffer", (response) => response.arrayBuffer],
    ["text", (response) => response.text],
    ["json", (response) => response.json],
    ["urlParamsBody", (response) => response.urlParamsBody],
    ["formData", (response) => response.formData]
  ] as ReadonlyArray<
    readonly [
      string,
      (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<unknown, unknown>
    ]
  >)("bytes of a response that an application reads as %s are counted, once", ([way, read]) => {
    const { layer, metric } = exported()
    const type = way === "formData" ? "application/x-www-form-urlencoded" : "application/json"
    const host = `${way.toLowerCase()}.test`
    const { client } = internet({
      [`https://${host}`]: ({ url }) =>
        new Response('{"a":1}', {
          headers: {
            "content-type": type,
            ...(url.pathname.endsWith("list") && { "content-length": "7" })
          }
        })
    })
    return Effect.gen(function* () {
      const to = yield* RegistryClient.endpoint({ url: `https://${host}` })
      const operations = [Operation.Ping(), Operation.ListTags({ repository: yield* name })]
      for (const operation of operations)
        yield* Effect.flatMap(RegistryClient.attempt(to, operation), read)
      expect(yield* metric("effect_oci.bytes", host)).toEqual({ download: 14 })
    }).pipe(
      Effect.provide(
        Layer.mergeAll(
          Layer.succeed(HttpClient.HttpClient, client),
          Credentials.layerAnonymous,
          TokenCache.layerMemory
        )
      ),
      Effect.provide(layer)
    )
  })

  it.effect("no label is named by a server: redirects count for the registry", () => {
    const { layer, metric } = exported()
    const { client } = internet({
      "https://redirecting.test": () =>
        new Response(null, { status: 307, headers: { location: "https://storage.test/b" } }),
      "https://storage.test": () => new Response("content")
    })
    return Effect.gen(function* () {
      const registry = yield* Registry
      yield* Stream.runDrain(registry.getBlob(yield* name, Digest.fromBytes(utf8("content"))))
      expect(yield* metric("effect_oci.requests", "redirecting.test")).toEqual({
        "GET 3xx": 1,
        "GET 2xx": 1
      })
      expect(yield* metric("effect_oci.bytes", "redirecting.test")).toEqual({ download: 7 })
      expect(yield* metric("effect_oci.requests", "storage.test")).toEqual({})
    }).pipe(
      Effect.provide(over(client, { url: "https://redirecting.test" })),
      Effect.provide(layer)
    )
  })

  it.effect("an application's own labels are added", () => {
    const { layer, metric } = exported()
    const { client } = internet({
      "https://tagged.test": () => new Response(null, { status: 200 })
    })
    return Effect.gen(function* () {
      yield* Effect.tagMetrics((yield* Registry).ping, "job", "nightly")
      expect(yield* metric("effect_oci.requests", "tagged.test")).toEqual({ "GET 2xx nightly": 1 })
    }).pipe(Effect.provide(over(client, { url: "https://tagged.test" })), Effect.provide(layer))
  })
})

describe("the log", () => {
  it.effect(
    "has a line for each request and each answer at debug level, its URL redacted (RG7, HK6)",
    () => {
      const log: Array<string> = []
      const { client } = internet({
        "https://registry.test": ({ authorization }) =>
          authorization === undefined
            ? unauthorized(
                'Bearer realm="https://auth.registry.test/token",service="registry.test"'
              )
            : new Response(null, {
                status: 307,
                headers: { location: "https://storage.test/b?signature=s3cret" }
              }),
        "https://auth.registry.test": () =>
          Effect.as(TestClock.adjust("40 millis"), json({ token: "t1" })),
        "https://storage.test": () => new Response("content")
      })
      return Effect.gen(function* () {
        const registry = yield* Registry
        const digest = Digest.fromBytes(utf8("content"))
        yield* Stream.runDrain(registry.getBlob(yield* name, digest))
        const blob = `https://registry.test/v2/owner/name/blobs/${digest}`
        const token =
          "service=registry.test&client_id=REDACTED&scope=repository%3Aowner%2Fname%3Apull"
        expect(log.filter((line) => line.startsWith("DEBUG GET"))).toEqual([
          `DEBUG GET ${blob}`,
          `DEBUG GET ${blob} 401 (0 ms)`,
          `DEBUG GET https://auth.registry.test/token?${token}`,
          `DEBUG GET https://auth.registry.test/token?${token} 200 (40 ms)`,
          `DEBUG GET ${blob}`,
          `DEBUG GET ${blob} 307 (0 ms)`,
          "DEBUG GET https://storage.test/b?signature=REDACTED",
          "DEBUG GET https://storage.test/b?signature=REDACTED 200 (0 ms)"
        ])
      }).pipe(
        Effect.provide(over(client, { url: "https://registry.test" })),
        Effect.provide(lines(log))
      )
    }
  )

  it.effect("says what came in place of an answer", () => {
    const log: Array<string> = []
    return Effect.gen(function* () {
      const registry = yield* Registry
      const timedOut = yield* Effect.fork(Effect.exit(registry.ping))
      yield* TestClock.adjust("10 seconds")
      yield* timedOut.await
      const interrupted = yield* Effect.fork(registry.ping)
      yield* TestClock.adjust("100 millis")
      // What is still awaited is there to see.
      expect(log.length).toBe(3)
      yield* interrupted.interruptAsFork(interrupted.id())
      yield* interrupted.await
      expect(log[1]).toMatch(
        /^DEBUG GET https:\/\/silent\.test\/v2\/ TransportFailure\.Timeout \(\d+ ms\)$/
      )
      expect(log[2]).toBe("DEBUG GET https://silent.test/v2/")
      expect(log[3]).toBe("DEBUG GET https://silent.test/v2/ interrupted (100 ms)")
    }).pipe(
      Effect.provide(
        over(
          HttpClient.make(() => Effect.never),
          {
            url: "https://silent.test",
            timeouts: { response: "1 second" },
            retry: { attempts: 0 }
          }
        )
      ),
      Effect.provide(lines(log))
    )
  })

  it.effect(
    "has each warning of a registry once, and the application's hook as well (C106)",
    () => {
      const log: Array<string> = []
      const warnings: Array<string> = []
      const { client } = internet({
        "https://moving.test": () =>
          new Response(null, {
            status: 200,
            headers: { warning: '299 - "This repository moves", 299 - "soon"' }
          })
      })
      return Effect.gen(function* () {
        const registry = yield* Registry
        yield* Effect.zipRight(registry.ping, registry.ping)
        expect(warnings).toEqual(["This repository moves", "soon"])
        expect(log.filter((line) => line.startsWith("WARN"))).toEqual([
          "WARN https://moving.test warns: This repository moves",
          "WARN https://moving.test warns: soon"
        ])
      }).pipe(
        Effect.provide(
          over(client, {
            url: "https://moving.test",
            onWarning: (text) => Effect.sync(() => warnings.push(text))
          })
        ),
        Effect.provide(lines(log))
      )
    }
  )

  it.effect("has a thousand warnings of a registry at most, none twice (T6)", () => {
    const warnings: Array<string> = []
    let pings = 0
    const { client } = internet({
      "https://wordy.test": () => {
        const from = 30 * pings++
        const texts = Array.from({ length: 30 }, (_, n) => `299 - "${from + n}"`)
        return new Response(null, { headers: { warning: [...texts, ...texts].join() } })
      }
    })
    return Effect.gen(function* () {
      const registry = yield* Registry
      yield* Effect.repeatN(registry.ping, 39)
      expect(pings).toBe(40)
      expect(warnings).toEqual(Array.from({ length: 1000 }, (_, n) => String(n)))
    }).pipe(
      Effect.provide(
        over(client, {
          url: "https://wordy.test",
          onWarning: (text) => Effect.sync(() => warnings.push(text))
        })
      ),
      Effect.provide(lines([]))
    )
  })

  it.effect("takes no words of another host for the registry's, where a redirect has led", () => {
    const log: Array<string> = []
    const told: Array<unknown> = []
    const { client } = internet({
      "https://r.test": () =>
        new Response(null, { status: 307, headers: { location: "https://storage.test/x" } }),
      "https://storage.test": () =>
        new Response(null, {
          headers: {
            warning: '299 - "Log in at evil.example"',
            "ratelimit-limit": "1",
            "ratelimit-remaining": "0"
          }
        })
    })
    const tell = (what: unknown) => Effect.sync(() => told.push(what))
    return Effect.gen(function* () {
      yield* (yield* Registry).ping
      expect(told).toEqual([])
      expect(log.filter((line) => line.startsWith("WARN"))).toEqual([])
    }).pipe(
      Effect.provide(over(client, { url: "https://r.test", onWarning: tell, onRateLimit: tell })),
      Effect.provide(lines(log))
    )
  })
})
