/**
 * Everything that anyone can observe of a program: what it ends with, what it logs, its spans, its
 * metrics, in every form.
 */
import { inspect } from "node:util"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import * as Tracer from "effect/Tracer"

/** A value and all within it, in every form that a program, a logger or a debugger may give it. */
export const forms = (root: unknown): ReadonlyArray<string> => {
  const seen = new Set<unknown>()
  const found = [inspect(root, { depth: null, showHidden: true, getters: true })]
  const add = (form: () => string | undefined) => {
    try {
      found.push(form() ?? "")
    } catch {
      // What has no such form shows nothing in it: cycles have no JSON.
    }
  }
  const visit = (value: unknown): void => {
    if (typeof value === "string") found.push(value)
    if (typeof value !== "object" || value === null || seen.has(value)) return
    seen.add(value)
    add(() => String(value))
    add(() => JSON.stringify(value))
    if (Cause.isCause(value)) found.push(Cause.pretty(value, { renderErrorCause: true }))
    for (const key of Reflect.ownKeys(value)) visit(Reflect.get(value, key))
    if (value instanceof Map) for (const entry of value) visit(entry)
  }
  visit(root)
  return found
}

/**
 * Runs a program with a logger that takes everything, at all levels, and a tracer that keeps every
 * span.
 */
export const watched = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const seen: Array<unknown> = []
    const logger = Logger.make((options) => {
      seen.push(options.message, options.cause, HashMap.toEntries(options.annotations))
      seen.push(
        Logger.jsonLogger.log(options),
        Logger.logfmtLogger.log(options),
        Logger.stringLogger.log(options)
      )
    })
    const tracer = Tracer.make({
      span: (name, parent, context, links, startTime, kind) => {
        const span = new NativeSpan(name, parent, context, links, startTime, kind)
        seen.push(span)
        return span
      },
      context: (run) => run()
    })
    return Effect.exit(program).pipe(
      Effect.provide(
        Layer.merge(
          Logger.replace(Logger.defaultLogger, logger),
          Logger.minimumLogLevel(LogLevel.All)
        )
      ),
      Effect.withTracer(tracer),
      Effect.zip(Metric.snapshot),
      Effect.map(([exit, metrics]) => ({
        exit,
        text: [exit, seen, metrics].flatMap(forms).join("\n")
      }))
    )
  })

/** All that a span is told. */
class NativeSpan implements Tracer.Span {
  readonly _tag = "Span"
  readonly spanId = "0000000000000001"
  readonly traceId = "00000000000000000000000000000001"
  readonly sampled = true
  readonly attributes = new Map<string, unknown>()
  readonly told: Array<unknown> = []
  status: Tracer.SpanStatus
  constructor(
    readonly name: string,
    readonly parent: Tracer.Span["parent"],
    readonly context: Context.Context<never>,
    readonly links: ReadonlyArray<Tracer.SpanLink>,
    startTime: bigint,
    readonly kind: Tracer.SpanKind
  ) {
    this.status = { _tag: "Started", startTime }
  }
  attribute(key: string, value: unknown): void {
    this.attributes.set(key, value)
  }
  event(...event: ReadonlyArray<unknown>): void {
    this.told.push(event)
  }
  addLinks(...links: ReadonlyArray<unknown>): void {
    this.told.push(links)
  }
  end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }
}
