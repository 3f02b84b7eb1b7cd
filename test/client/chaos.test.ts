/**
 * Transfers over sockets that break, from seeds: a sample here, and 2,000 by `npm run chaos`.
 * `CHAOS_FROM` and `CHAOS_RUNS` choose the seeds, to see one of them again.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import * as Chaos from "../support/chaos.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const from = Number(process.env["CHAOS_FROM"] ?? 1)
const runs = Number(process.env["CHAOS_RUNS"] ?? 60)

const survive = (
  url: string,
  options: Parameters<typeof Chaos.world>[1] & { readonly runs: number }
) =>
  Effect.gen(function* () {
    const world = yield* Chaos.world(url, options)
    const endings: Record<string, number> = {}
    for (let seed = from; seed < from + options.runs; seed++) {
      const { description, ending, problems } = yield* Chaos.run(world, seed)
      expect(problems, description).toEqual([])
      endings[ending] = (endings[ending] ?? 0) + 1
    }
    console.log(`${options.runs} runs: ${JSON.stringify(endings)}`)
    // Faults pass, so that what can be sent again arrives.
    expect(endings["Success"] ?? 0).toBeGreaterThan(options.runs * 0.75)
  }).pipe(Effect.scoped, Effect.provide(NodeHttp.layer()))

const minutes = 60_000

describe("a transfer that is broken is exact or a typed error, and leaves nothing", () => {
  it.live(
    "to and from the embedded server",
    () =>
      Effect.flatMap(ServerUrl, (url) => survive(url, { runs, direct: true, sessions: true })).pipe(
        Effect.provide(layerSocketServer().pipe(Layer.provide(MemoryRegistry.layer())))
      ),
    60 * minutes
  )

  it.live(
    "from the embedded server, over several connections",
    () =>
      Effect.flatMap(ServerUrl, (url) =>
        survive(url, { runs: Math.ceil(runs / 4), direct: true, sessions: true, parallel: true })
      ).pipe(Effect.provide(layerSocketServer().pipe(Layer.provide(MemoryRegistry.layer())))),
    60 * minutes
  )

  describeDebian("Debian's docker-registry", () => {
    it.live(
      "to and from docker-registry",
      () =>
        Effect.flatMap(DebianRegistry, ({ url }) =>
          // It knows no session by its path alone, so nobody can ask for those left behind.
          survive(url, { runs: Math.ceil(runs / 4), direct: false, sessions: false })
        ).pipe(Effect.provide(layerDebianRegistry)),
      60 * minutes
    )
  })
})
