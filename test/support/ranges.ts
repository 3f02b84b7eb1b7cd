/**
 * A registry on a socket with one blob, which it sends slowly as a whole and at once in parts, and
 * small figures for the rule of parallel downloads, which then always add another connection.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ParallelPlan from "../../src/client/blobs/ParallelPlan.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { type alice, clientOf, type Options } from "./fake/Client.js"
import { gather, generated } from "./fixtures.js"
import { origin } from "./listeners.js"

const KiB = 1024

/** Segments of 128 KiB, and a connection more with each of them. */
export const eager: ParallelPlan.Figures = {
  segment: 128 * KiB,
  window: 1,
  lead: 40,
  patience: 300,
  worth: -100,
  least: 0,
  rest: 10_000
}

/** With such figures. */
export const tuned =
  (figures: Partial<ParallelPlan.Figures> = {}) =>
  <E, R>(stream: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
    Stream.provideService(stream, ParallelPlan.Tuning, { ...eager, ...figures })

export const size = 4096 * KiB
export const bytes = Effect.runSync(gather(generated(size)))
export const digest = Digest.fromBytes(bytes)
export const descriptor = { mediaType: "application/octet-stream", digest, size }
export const repository = Effect.runSync(Reference.parseRepositoryName("a"))

/**
 * A request under way: the part that it asks for, if any; how many of its kind, for a part or the
 * whole, came before it; and how many are under way.
 */
export interface Asked {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly part: { readonly start: number; readonly end: number } | undefined
  readonly n: number
  readonly active: number
}

/** The head of a part, as it should be. */
export const headOf = (start: number, end: number): Record<string, string> => ({
  "content-range": `bytes ${start}-${end}/${size}`,
  "content-length": `${end - start + 1}`
})

/** Sends bytes, 32 KiB at a time, each time after a pause in milliseconds. */
export const trickle = (response: ServerResponse, content: Uint8Array, pause = 2): void => {
  const send = (at: number) => {
    if (response.destroyed) return
    const next = at + 32 * KiB
    if (next >= content.length) response.end(content.subarray(at))
    else {
      response.write(content.subarray(at, next))
      setTimeout(send, pause, next)
    }
  }
  send(0)
}

/** What is sent of the blob: all of it slowly, or a part at once. */
export const serve = ({ part, response }: Asked, content: Uint8Array = bytes): void => {
  if (part === undefined) {
    response.writeHead(200, { "content-length": `${size}` })
    trickle(response, content)
  } else {
    const { end, start } = part
    response.writeHead(206, headOf(start, end)).end(content.subarray(start, end + 1))
  }
}

/** Sends parts slowly, too. */
export const slowly =
  (pause = 2) =>
  ({ part, response }: Asked): boolean => {
    if (part === undefined) return false
    response.writeHead(206, headOf(part.start, part.end))
    trickle(response, bytes.subarray(part.start, part.end + 1), pause)
    return true
  }

/** The registry, and what it was asked for. `handle` returns whether it sees to a request. */
export const rangeRegistry = (
  handle: (asked: Asked) => boolean = () => false,
  options: Options = {},
  { credentials }: { readonly credentials?: typeof alice } = {}
) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const ranges: Array<string | undefined> = []
    const counts = { whole: 0, part: 0, active: 0, most: 0 }
    const { counted, url } = yield* origin(log, (request, response) => {
      const [, start, end = ""] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? []
      ranges.push(request.headers.range)
      counts.most = Math.max(counts.most, ++counts.active)
      let isOver = false
      const over = () => {
        if (!isOver) counts.active--
        isOver = true
      }
      response.on("finish", over).on("close", over)
      const part =
        start === undefined
          ? undefined
          : { start: Number(start), end: end === "" ? size - 1 : Number(end) }
      const n = part === undefined ? counts.whole++ : counts.part++
      const asked = { request, response, part, n, active: counts.active }
      if (!handle(asked)) serve(asked)
    })
    const registry = yield* clientOf(
      url,
      { retry: { attempts: 2, base: "1 millis" }, parallelDownloads: true, ...options },
      credentials && { credentials: credentials(url) }
    )
    return { registry, ranges, counts, counted, log, url }
  })
