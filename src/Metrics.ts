/**
 * The metrics of this library, as metrics of Effect. The number of their labels is bounded: `host`
 * is that of a registry that the application named, never one that a server sent, and there is no
 * label for repositories.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import type * as MetricKeyType from "effect/MetricKeyType"
import * as MetricLabel from "effect/MetricLabel"
import * as Runtime from "./internal/Runtime.js"

/**
 * `effect_oci.requests` counts HTTP requests, when there is a response or a failure. Retries,
 * redirects and token requests count as requests of their own. Labels: `host` of the registry on
 * whose behalf the request is made, `method`, and `status`: `2xx` to `5xx`, or `error` if there was
 * no response.
 *
 * @since 0.1.0
 * @category metrics
 */
export const requests: Metric.Metric.Counter<number> = Metric.counter("effect_oci.requests", {
  description: "HTTP requests",
  incremental: true
})

/**
 * `effect_oci.retries` counts retries after temporary failures. To answer a challenge is not a
 * retry. Labels: `host`, and `error`, the tag of the failure, such as `TooManyRequests`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const retries: Metric.Metric.Counter<number> = Metric.counter("effect_oci.retries", {
  description: "Retries after failures that may pass",
  incremental: true
})

/**
 * `effect_oci.bytes` counts the bytes of request and response bodies as they are on the wire, when
 * the body ends or breaks off (bodies in memory, when there is a response). Labels: `host` of the
 * registry on whose behalf the request is made, and `direction`: `upload` or `download`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const bytes: Metric.Metric.Counter<number> = Metric.counter("effect_oci.bytes", {
  description: "Bytes of request and response bodies",
  incremental: true
})

/**
 * `effect_oci.transfer.duration` records how long `putBlob` and `getBlob` take, in seconds, retries
 * and slow consumers included. Labels: `host`, `direction` (`upload` or `download`), and `outcome`:
 * `completed`, `failed`, or `abandoned` if it was interrupted or its consumer stopped early.
 *
 * @since 0.1.0
 * @category metrics
 */
export const transferDuration: Metric.Metric.Histogram<number> = Metric.histogram(
  "effect_oci.transfer.duration",
  MetricBoundaries.fromIterable([0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000]),
  "Seconds that transfers of blobs take"
)

/**
 * `effect_oci.token.requests` counts requests to token servers. Label: `host` of the registry that
 * the token is for.
 *
 * @since 0.1.0
 * @category metrics
 */
export const tokenRequests: Metric.Metric.Counter<number> = Metric.counter(
  "effect_oci.token.requests",
  {
    description: "Requests to token servers",
    incremental: true
  }
)

/**
 * `effect_oci.token.cache_hits` counts requests whose token was in the `TokenCache`. Label: `host`.
 *
 * @since 0.1.0
 * @category metrics
 */
export const tokenCacheHits: Metric.Metric.Counter<number> = Metric.counter(
  "effect_oci.token.cache_hits",
  {
    description: "Tokens found in the cache",
    incremental: true
  }
)

/**
 * Makes the label of a registry from its origin.
 *
 * @since 0.1.0
 * @category constructors
 * @internal
 */
export const hostLabels = (origin: string): ReadonlyArray<MetricLabel.MetricLabel> => [
  MetricLabel.make("host", origin.replace(/^https?:\/\//, ""))
]

/**
 * Makes labels with that of a host, each list of them once: metrics are looked up by the array.
 *
 * @since 0.1.0
 * @category constructors
 * @internal
 */
export const labelsOf = (
  host: string
): ((
  ...pairs: ReadonlyArray<readonly [name: string, value: string]>
) => ReadonlyArray<MetricLabel.MetricLabel>) => {
  const known = new Map<string, ReadonlyArray<MetricLabel.MetricLabel>>()
  return (...pairs) => {
    const key = pairs.join()
    const found =
      known.get(key) ??
      [["host", host] as const, ...pairs].map(([name, value]) => MetricLabel.make(name, value))
    known.set(key, found)
    return found
  }
}

/**
 * Updates a metric with labels, besides those that the application gave the fiber
 * (`Effect.tagMetrics`). Cheap where `labels` is the same array every time, since metrics are
 * looked up by it.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const update = <Type extends MetricKeyType.MetricKeyType<number, unknown>>(
  metric: Metric.Metric<Type, number, unknown>,
  amount: number,
  labels: ReadonlyArray<MetricLabel.MetricLabel>
): Effect.Effect<void> =>
  Runtime.withFiber((fiber) => {
    unsafeUpdate(fiber, metric, amount, labels)
    return Effect.void
  })

/**
 * `update` at once, on behalf of a fiber.
 *
 * @since 0.1.0
 * @category combinators
 * @internal
 */
export const unsafeUpdate = <Type extends MetricKeyType.MetricKeyType<number, unknown>>(
  fiber: Runtime.RunningFiber,
  metric: Metric.Metric<Type, number, unknown>,
  amount: number,
  labels: ReadonlyArray<MetricLabel.MetricLabel>
): void => {
  const more = Runtime.metricLabels(fiber)
  metric.unsafeUpdate(amount, more.length === 0 ? labels : [...labels, ...more])
}
