/**
 * Lists of referrers that processes change at once, at registries that keep none: of the embedded
 * server, which heeds conditions or ignores them, and of Debian's docker-registry, which ignores
 * them.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Quirks from "../../src/server/Quirks.js"
import * as Descriptor from "../../src/spec/Descriptor.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { clientOf } from "../support/fake/Client.js"
import { freshBytes, freshRepository, items } from "../support/fixtures.js"
import { program } from "../support/program.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

/** What two processes have pushed that is not listed, of so many each. */
const lost = (url: string, count: number) =>
  Effect.gen(function* () {
    const repository = yield* freshRepository
    const subject = Descriptor.fromBytes(freshBytes("subject"), MediaType.imageManifest)
    const script = yield* Effect.promise(() => program("test/client/fixtures/attach.ts"))
    const children = yield* Effect.forEach(["a", "b"], (own) =>
      Effect.acquireRelease(
        Effect.sync(() => fork(script, [url, repository, own, `${count}`])),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
    )
    yield* Effect.forEach(children, (child) => Effect.promise(() => once(child, "message")))
    const codes = yield* Effect.forEach(
      children,
      (child) =>
        Effect.promise(async () => {
          child.send(subject)
          const [code] = await once(child, "exit")
          return code
        }),
      { concurrency: "unbounded" }
    )
    expect(codes).toEqual([0, 0])
    const registry = yield* clientOf(url)
    const listed = yield* items(registry.referrers(repository, subject.digest))
    const names = new Set(listed.map(({ annotations = {} }) => annotations["name"]))
    return ["a", "b"].flatMap((own) =>
      Array.from({ length: count }, (_, n) => `${own}-${n}`).filter((name) => !names.has(name))
    )
  })

for (const [ignoresConditions, count] of [
  [undefined, 100],
  [true, 25]
] as const)
  it.scopedLive(
    `of what two processes push none is lost where conditions are ${
      ignoresConditions ? "ignored" : "heeded"
    }`,
    () =>
      Effect.gen(function* () {
        const quirks: Quirks.Quirks = {
          referrers: { status: 404 },
          subjectHeader: false,
          ignoresConditions
        }
        const services = yield* Layer.build(
          layerSocketServer({ quirks }).pipe(Layer.provide(MemoryRegistry.layer()))
        )
        const url = yield* Effect.provide(ServerUrl, services)
        expect(yield* lost(url, count)).toEqual([])
      }),
    120_000
  )

describeDebian("Debian's docker-registry", () => {
  it.scopedLive(
    "of what two processes push none is lost",
    () =>
      Effect.gen(function* () {
        const { url } = yield* DebianRegistry
        expect(yield* lost(url, 25)).toEqual([])
      }).pipe(Effect.provide(layerDebianRegistry)),
    120_000
  )
})
