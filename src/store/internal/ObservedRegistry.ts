/**
 * What an operator sees of the operations of a `Registry`: a span for each, and how long the
 * transfers of blobs take.
 */
import * as Cause from "effect/Cause"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import * as Spans from "../../internal/Spans.js"
import * as Metrics from "../../Metrics.js"
import type { Registry } from "../../Registry.js"
import * as AroundRegistry from "./AroundRegistry.js"
import * as Timed from "./Timed.js"

/** What spans and metrics say of a registry. */
export interface Observation {
  readonly address: string
  readonly port: number | undefined
  readonly labels: (
    ...pairs: ReadonlyArray<readonly [name: string, value: string]>
  ) => ReadonlyArray<MetricLabel.MetricLabel>
}

/**
 * Runs every operation of a registry in a span `effect-oci/Registry.<operation>`, the parent of the
 * spans of its requests. Attributes: `server.address` and `server.port` of the registry,
 * `oci.repository`, what was asked for as `oci.reference`, `oci.digest` or `oci.from`, and
 * `error.type`, the tag of the error that the operation failed with. The span of a stream lasts
 * from its first pull to its end. The steps of an upload session that ask the registry have spans
 * of their own, `effect-oci/UploadSession.<step>`. Where nobody records spans, none are made.
 */
export const observed = (of: Observation, registry: Registry.Service): Registry.Service => {
  const attributes =
    ({ digest, from, reference, repository }: AroundRegistry.Operation) =>
    (): Spans.Attributes => ({
      "server.address": of.address,
      "server.port": of.port,
      "oci.repository": repository,
      "oci.reference": reference,
      "oci.digest": digest,
      "oci.from": from
    })
  const nameOf = ({ name }: AroundRegistry.Operation) =>
    name.startsWith("UploadSession.") ? name : `Registry.${name}`
  return AroundRegistry.around(
    {
      effect: (operation, effect) => Spans.inSpan(nameOf(operation), attributes(operation), effect),
      stream: (operation, stream) =>
        Spans.streamInSpan(nameOf(operation), attributes(operation), stream)
    },
    timed(of, registry)
  )
}

/** Measures the transfers of whole blobs. */
const timed = (of: Observation, registry: Registry.Service): Registry.Service => ({
  ...registry,
  getBlob: (...blob) => Timed.stream(registry.getBlob(...blob), took(of, "download")),
  getBlobBytes: (...blob) => Timed.effect(registry.getBlobBytes(...blob), took(of, "download")),
  putBlob: (...blob) => Timed.effect(registry.putBlob(...blob), took(of, "upload"))
})

/** In seconds, as OpenTelemetry has durations. */
const took =
  (of: Observation, direction: "upload" | "download"): Timed.OnEnd =>
  (outcome, duration): Effect.Effect<void> =>
    Metrics.update(
      Metrics.transferDuration,
      duration / 1000,
      of.labels(["direction", direction], ["outcome", outcome])
    )

/**
 * An operation that has ended, after so many milliseconds. `abandoned` says that it was
 * interrupted, or that nobody wanted more of a stream. `error` is what it failed with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Performed extends AroundRegistry.Operation {
  readonly outcome: "completed" | "failed" | "abandoned"
  readonly duration: number
  readonly error?: unknown
}

/**
 * How a registry is observed: `host` is its name in spans and metrics, with or without a port, and
 * `onOperation` is called with each operation that has ended. An operation waits for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface ObserveOptions {
  readonly host: string
  readonly onOperation?: ((performed: Performed) => Effect.Effect<void>) | undefined
}

/** Observes a registry as one of a host: see `ComposedRegistry.observed`. */
export const observedAs = (
  { host, onOperation }: ObserveOptions,
  registry: Registry.Service
): Registry.Service => {
  const [, address = host, port] = /^(.*?)(?::(\d+))?$/.exec(host) ?? []
  const of = {
    address,
    port: port === undefined ? undefined : Number(port),
    labels: Metrics.labelsOf(host)
  }
  return onOperation === undefined
    ? observed(of, registry)
    : observed(of, told(onOperation, registry))
}

const told = (
  onOperation: NonNullable<ObserveOptions["onOperation"]>,
  registry: Registry.Service
): Registry.Service => {
  const onEnd =
    (operation: AroundRegistry.Operation): Timed.OnEnd =>
    (outcome, duration, exit) =>
      onOperation({ ...operation, outcome, duration, ...errorOf(outcome, exit) })
  return AroundRegistry.around(
    {
      effect: (operation, effect) => Timed.effect(effect, onEnd(operation)),
      stream: (operation, stream) => Timed.stream(stream, onEnd(operation))
    },
    registry
  )
}

const errorOf = (
  outcome: Timed.Outcome,
  exit: Exit.Exit<unknown, unknown>
): { readonly error?: unknown } =>
  outcome === "failed" && Exit.isFailure(exit)
    ? { error: Option.getOrElse(Cause.failureOption(exit.cause), () => Cause.squash(exit.cause)) }
    : {}
