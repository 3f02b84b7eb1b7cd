/**
 * What an operator sees of the operations of a `Registry`: a span for each, and how long the
 * transfers of blobs take.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as MetricLabel from "effect/MetricLabel"
import * as Stream from "effect/Stream"
import * as BorrowedStream from "../../internal/BorrowedStream.js"
import * as Spans from "../../internal/Spans.js"
import * as StreamChannel from "../../internal/StreamChannel.js"
import * as Metrics from "../../Metrics.js"
import { make, type Registry, type UploadSession } from "../../Registry.js"

/** What spans and metrics say of a registry. */
export interface Observation {
  readonly address: string
  readonly port: number
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
  const spans = makeSpans(of)
  return make({
    ...manifestsAndLists(spans, registry),
    ...blobs(of, spans, registry),
    ...uploads(spans, registry)
  })
}

const manifestsAndLists = ({ spanned, streamed }: OperationSpans, registry: Registry.Service) =>
  ({
    ping: spanned("ping", {}, registry.ping),
    getManifest: (repository, reference) =>
      spanned(
        "getManifest",
        { repository, reference },
        registry.getManifest(repository, reference)
      ),
    headManifest: (repository, reference) =>
      spanned(
        "headManifest",
        { repository, reference },
        registry.headManifest(repository, reference)
      ),
    putManifest: (repository, manifest, options) =>
      spanned(
        "putManifest",
        { repository, digest: manifest.descriptor.digest },
        registry.putManifest(repository, manifest, options)
      ),
    deleteTag: (repository, tag) =>
      spanned("deleteTag", { repository, reference: tag }, registry.deleteTag(repository, tag)),
    deleteManifest: (repository, digest) =>
      spanned(
        "deleteManifest",
        { repository, digest },
        registry.deleteManifest(repository, digest)
      ),
    tags: (repository, options) =>
      streamed("tags", { repository }, registry.tags(repository, options)),
    repositories: (options) => streamed("repositories", {}, registry.repositories(options)),
    referrers: (repository, digest, options) =>
      streamed("referrers", { repository, digest }, registry.referrers(repository, digest, options))
  }) satisfies Partial<Registry.Service>

const blobs = (
  of: Observation,
  { spanned, streamed }: OperationSpans,
  registry: Registry.Service
) =>
  ({
    headBlob: (repository, digest) =>
      spanned("headBlob", { repository, digest }, registry.headBlob(repository, digest)),
    getBlob: (repository, blob) =>
      streamed(
        "getBlob",
        { repository, digest: typeof blob === "string" ? blob : blob.digest },
        timedStream(of, registry.getBlob(repository, blob))
      ),
    getBlobBytes: (repository, blob, options) =>
      spanned(
        "getBlobBytes",
        { repository, digest: typeof blob === "string" ? blob : blob.digest },
        timed(of, "download", registry.getBlobBytes(repository, blob, options))
      ),
    getBlobRange: (repository, digest, range) =>
      streamed(
        "getBlobRange",
        { repository, digest },
        registry.getBlobRange(repository, digest, range)
      ),
    putBlob: (repository, source, options) =>
      spanned(
        "putBlob",
        { repository, digest: source.digest, from: options?.mountFrom },
        timed(of, "upload", registry.putBlob(repository, source, options))
      ),
    deleteBlob: (repository, digest) =>
      spanned("deleteBlob", { repository, digest }, registry.deleteBlob(repository, digest))
  }) satisfies Partial<Registry.Service>

const uploads = ({ inSpan, spanned }: OperationSpans, registry: Registry.Service) => {
  const stepwise =
    (repository: string) =>
    (session: UploadSession): UploadSession => ({
      ...session,
      write: (bytes) => inSpan("UploadSession.write", { repository }, session.write(bytes)),
      status: inSpan("UploadSession.status", { repository }, session.status),
      commit: (digest) =>
        inSpan("UploadSession.commit", { repository, digest }, session.commit(digest))
    })
  return {
    startUpload: (repository, options) =>
      Effect.map(
        spanned("startUpload", { repository }, registry.startUpload(repository, options)),
        stepwise(repository)
      ),
    resumeUpload: (state) =>
      Effect.map(
        spanned("resumeUpload", { repository: state.repository }, registry.resumeUpload(state)),
        stepwise(state.repository)
      ),
    mountBlob: (repository, digest, from) =>
      spanned(
        "mountBlob",
        { repository, digest, from },
        registry.mountBlob(repository, digest, from)
      )
  } satisfies Partial<Registry.Service>
}

// -----------------------------------------------------------------------------
// Spans
// -----------------------------------------------------------------------------

type Attributes = Readonly<Record<string, string | undefined>>

/**
 * How spans are made: `inSpan` by name, `spanned` and `streamed` for an operation of the registry
 * that is an effect or a stream.
 */
interface OperationSpans {
  readonly inSpan: <A, E, R>(
    name: string,
    attributes: Attributes,
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  readonly spanned: <A, E, R>(
    operation: keyof Registry.Service,
    attributes: Attributes,
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  readonly streamed: <A, E, R>(
    operation: keyof Registry.Service,
    attributes: Attributes,
    stream: Stream.Stream<A, E, R>
  ) => Stream.Stream<A, E, R>
}

const makeSpans = (of: Observation): OperationSpans => {
  const named = (attributes: Attributes) => (): Spans.Attributes => ({
    "server.address": of.address,
    "server.port": of.port,
    ...Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`oci.${name}`, value]))
  })
  const inSpan: OperationSpans["inSpan"] = (name, attributes, effect) =>
    Spans.inSpan(name, named(attributes), effect)
  return {
    inSpan,
    spanned: (operation, attributes, effect) => inSpan(`Registry.${operation}`, attributes, effect),
    streamed: (operation, attributes, stream) =>
      Spans.streamInSpan(`Registry.${operation}`, named(attributes), stream)
  }
}

// -----------------------------------------------------------------------------
// Durations
// -----------------------------------------------------------------------------

const timed = <A, E, R>(
  of: Observation,
  direction: "upload" | "download",
  transfer: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.currentTimeMillis, (began) =>
    Effect.onExit(transfer, (exit) =>
      took(of, direction, began, outcomeOf(exit, Exit.isSuccess(exit)))
    )
  )

const timedStream = <A, E, R>(
  of: Observation,
  download: Stream.Stream<A, E, R>
): Stream.Stream<A, E, R> =>
  BorrowedStream.map(download, (download) =>
    StreamChannel.unwrap(
      Effect.map(Clock.currentTimeMillis, (began) => {
        let completed = false
        const content = Stream.concat(
          download,
          Stream.execute(
            Effect.sync(() => {
              completed = true
            })
          )
        )
        // A consumer that wants no more ends a stream with success, too.
        return Stream.ensuringWith(content, (exit) =>
          took(of, "download", began, outcomeOf(exit, completed))
        )
      })
    )
  )

const outcomeOf = (exit: Exit.Exit<unknown, unknown>, completed: boolean): string =>
  completed
    ? "completed"
    : Exit.isSuccess(exit) || Exit.isInterrupted(exit)
      ? "abandoned"
      : "failed"

/** In seconds, as OpenTelemetry has durations. */
const took = (
  of: Observation,
  direction: "upload" | "download",
  began: number,
  outcome: string
): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Metrics.update(
      Metrics.transferDuration,
      (now - began) / 1000,
      of.labels(["direction", direction], ["outcome", outcome])
    )
  )
