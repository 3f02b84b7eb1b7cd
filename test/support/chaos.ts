/**
 * One transfer through a proxy that breaks it, from a seed: it must end with the exact bytes or a
 * typed error, and leave nothing behind.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as ParallelPlan from "../../src/client/blobs/ParallelPlan.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import { Registry, type UploadStrategy } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import { type Fault, type FaultProxy, faultProxy } from "./faultProxy.js"
import { freshRepository, gather, generated } from "./fixtures.js"
import { eager } from "./ranges.js"

const strategies: ReadonlyArray<UploadStrategy> = [
  "auto",
  "single",
  "put",
  "patch",
  "chunked",
  "direct"
]

const pick = <A>(items: ReadonlyArray<A>): Effect.Effect<A> =>
  Effect.map(Random.nextIntBetween(0, items.length), (index) => {
    const item = items[index]
    if (item === undefined) throw new Error("nothing to pick from")
    return item
  })

/** A fault at the start, at the last byte, or anywhere between. */
const fault = (size: number): Effect.Effect<Fault> =>
  Effect.gen(function* () {
    const kind = yield* pick(["cut", "reset", "stall", "status"] as const)
    if (kind === "status") {
      return { kind, status: yield* pick([429, 500, 502, 503]), late: yield* Random.nextBoolean }
    }
    const at = yield* pick([-1, 0, 1, yield* Random.nextIntBetween(0, size + 1), size - 1, size])
    return { kind, up: yield* Random.nextBoolean, at }
  })

/** What a run did, and everything that was wrong with it. */
export interface Outcome {
  readonly description: string
  readonly ending: string
  readonly faults: number
  readonly problems: ReadonlyArray<string>
}

interface World {
  readonly proxy: FaultProxy
  /**
   * The paths of the sessions that the client was told of: what the proxy wrote may have come too
   * late for it.
   */
  readonly sessionsHeardOf: Set<string>
  /** The registry through the proxy. */
  readonly client: Registry.Service
  /** The same registry without it. */
  readonly truth: Registry.Service
  readonly upstream: string
  /** Whether the registry takes a PUT of a blob at its own path. */
  readonly direct: boolean
  /** Whether its sessions can be asked for by their paths. */
  readonly sessions: boolean
  /** Downloads of larger blobs alone, over several connections. */
  readonly parallel?: boolean
}

const client = (
  url: string,
  parallelDownloads = false,
  onLocation: (path: string) => void = () => {}
) =>
  Effect.map(
    Layer.build(
      RegistryClient.layer({
        url,
        parallelDownloads,
        timeouts: { response: Duration.millis(300) },
        retry: {
          attempts: 3,
          base: Duration.millis(1),
          maxDelay: Duration.millis(20),
          deadline: Duration.seconds(30)
        }
      }).pipe(
        Layer.provide([
          Credentials.layerAnonymous,
          TokenCache.layerMemory,
          Layer.effect(
            HttpClient.HttpClient,
            Effect.map(
              HttpClient.HttpClient,
              HttpClient.tap(({ headers }) =>
                Effect.sync(() => {
                  const { location } = headers
                  if (location?.includes("/uploads/")) onLocation(new URL(location, url).pathname)
                })
              )
            )
          )
        ])
      )
    ),
    (context) => context.unsafeMap.get(Registry.key) as Registry.Service
  )

/** A registry at `upstream`, once through a proxy and once not. */
export const world = (upstream: string, options: Pick<World, "direct" | "sessions" | "parallel">) =>
  Effect.gen(function* () {
    const proxy = yield* faultProxy(upstream)
    if (options.parallel === true) proxy.pause = 2
    const sessionsHeardOf = new Set<string>()
    return {
      proxy,
      sessionsHeardOf,
      client: yield* client(proxy.url, options.parallel, (path) => sessionsHeardOf.add(path)),
      truth: yield* client(upstream),
      upstream,
      ...options
    }
  })

export const run = (world: World, seed: number): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const { proxy, truth } = world
    const { parallel = false } = world
    const size = yield* pick(
      parallel ? [2_000_000, 4_000_000] : [0, 1, 1000, 65_536, 65_537, 300_000, 1_500_000]
    )
    const up = (yield* Random.nextBoolean) && !parallel
    const repository = yield* freshRepository
    const salt = yield* Random.nextIntBetween(0, 1 << 30)
    // Content no other run has, since a registry may find it elsewhere.
    const bytes = (yield* gather(generated(size))).map(
      (byte, n) => byte ^ ((salt >> (n % 24)) & 255)
    )
    const digest = Digest.fromBytes(bytes)
    const pieces = (from: number) =>
      Stream.unfold(from, (at) =>
        at >= size
          ? Option.none()
          : Option.some([bytes.subarray(at, at + 50_000), Math.min(size, at + 50_000)])
      )
    const knowsSize = yield* Random.nextBoolean
    const knowsDigest = yield* Random.nextBoolean
    const once = yield* Effect.map(Random.nextIntBetween(0, 4), (n) => n === 0)
    const strategy = yield* pick(
      strategies.filter((strategy) => world.direct || strategy !== "direct")
    )
    const known = { ...(knowsSize && { size }), ...(knowsDigest && { digest }) }
    const source = once
      ? BlobSource.fromStreamOnce(pieces(0), known)
      : BlobSource.make(pieces, known)
    if (!up) yield* Effect.orDie(truth.putBlob(repository, BlobSource.fromBytes(bytes)))

    const count = yield* Random.nextIntBetween(1, parallel ? 8 : 4)
    const faults: Array<Fault | undefined> = []
    for (let n = 0; n < count; n++) {
      const gap = yield* Random.nextIntBetween(0, up || parallel ? 5 : 2)
      for (let m = 0; m < gap; m++) faults.push(undefined)
      faults.push(yield* fault(size))
    }
    const before = proxy.active()
    proxy.faults = [...faults]
    world.sessionsHeardOf.clear()
    proxy.log.length = 0

    const transfer: Effect.Effect<Uint8Array | undefined, { readonly _tag: string }> = up
      ? Effect.map(
          world.client.putBlob(repository, source, {
            strategy,
            ...(strategy === "chunked" && { chunkSize: 100_000 })
          }),
          (put) => (put.digest === digest && put.size === size ? bytes : undefined)
        )
      : Effect.provideService(
          gather(
            world.client.getBlob(
              repository,
              knowsSize ? { mediaType: "a/b", digest, size } : digest
            )
          ),
          ParallelPlan.Tuning,
          { ...eager, lead: 20 }
        )
    const exit = yield* Effect.exit(
      Effect.timeoutFail(transfer, { duration: "20 seconds", onTimeout: () => ({ _tag: "Hangs" }) })
    )
    proxy.faults = []

    const problems: Array<string> = []
    if (Exit.isSuccess(exit)) {
      if (exit.value === undefined || Buffer.compare(exit.value, bytes) !== 0)
        problems.push("a wrong success")
    } else {
      const error = Cause.failureOption(exit.cause)
      if (Option.isNone(error)) problems.push(`no typed error: ${Cause.pretty(exit.cause)}`)
      else if (error.value._tag === "Hangs") problems.push("it hangs")
    }
    const there = yield* Effect.either(gather(truth.getBlob(repository, digest)))
    if (there._tag === "Right" && Buffer.compare(there.right, bytes) !== 0)
      problems.push("other bytes at the registry")
    if (there._tag === "Left" && Exit.isSuccess(exit))
      problems.push(`a success without the blob: ${there.left._tag}`)
    for (const location of world.sessions ? world.sessionsHeardOf : []) {
      const status = yield* Effect.promise(async () => {
        const answer = await fetch(world.upstream + location)
        await answer.arrayBuffer()
        return answer.status
      })
      if (status !== 404) problems.push(`a session left behind (${status}): ${location}`)
    }
    yield* Effect.repeat(Effect.sleep("5 millis"), {
      times: 2000,
      until: () => proxy.active() <= before
    })
    if (proxy.active() > before)
      problems.push(`${proxy.active() - before} exchanges left under way`)
    return {
      description: [
        `seed ${seed}: ${up ? "upload" : "download"} of ${size} bytes, ${strategy}`,
        JSON.stringify({ knowsSize, knowsDigest, once, faults }),
        ...proxy.log.map(({ line, status }) => `${line.slice(0, 80)} ${status ?? "-"}`)
      ].join("\n  "),
      ending: Exit.isSuccess(exit)
        ? "Success"
        : Option.match(Cause.failureOption(exit.cause), {
            onNone: () => "Defect",
            onSome: ({ _tag }) => _tag
          }),
      faults: faults.filter((fault) => fault !== undefined).length,
      problems
    }
  }).pipe(Effect.withRandom(Random.make(seed)))
