import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { ConsoleSpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Credentials from "effect-oci/Credentials"
import { NodeRegistry } from "effect-oci/node"
import { size } from "./size.js"

const Registries = NodeRegistry.layerRegistries().pipe(Layer.provide(Credentials.layerAnonymous))

/** Spans to the console; an OTLP exporter in its place sends them to a collector. */
const Telemetry = NodeSdk.layer(() => ({
  resource: { serviceName: "size" },
  spanProcessor: new SimpleSpanProcessor(new ConsoleSpanExporter())
}))

/** What this library has counted so far. */
const counted = Effect.map(Metric.snapshot, (metrics) =>
  metrics
    .filter(({ metricKey }) => metricKey.name.startsWith("effect_oci."))
    .map(({ metricKey, metricState }) => ({
      name: metricKey.name,
      tags: metricKey.tags,
      state: metricState
    }))
)

size(process.argv[2] ?? "ghcr.io/owner/name:tag").pipe(
  Effect.withSpan("size"),
  Logger.withMinimumLogLevel(LogLevel.Debug),
  Effect.zipRight(
    Effect.flatMap(counted, (metrics) => Console.log(JSON.stringify(metrics, null, 2)))
  ),
  Effect.provide(Layer.merge(Registries, Telemetry)),
  NodeRuntime.runMain
)
