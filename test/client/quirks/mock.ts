/** The registry of this suite: with the content that `content.ts` names. */
import * as Effect from "effect/Effect"
import * as BlobSource from "../../../src/BlobSource.js"
import type { Registry } from "../../../src/Registry.js"
import * as FakeRegistry from "../../support/fake/FakeRegistry.js"
import { app, b1, b2, base, c1, i1, m1, multi, s1, v1, withSymbols } from "./content.js"

export type { Setting, World } from "../../support/fake/FakeRegistry.js"
export * from "../../support/fake/Fault.js"
export type { Handler, Outcome as Answer, Seen } from "../../support/fake/Handler.js"
export * from "../../support/fake/Quirk.js"

export const make = (setting: FakeRegistry.Setting) =>
  FakeRegistry.make({ content, named: withSymbols, ...setting })

export const content = (registry: Registry.Service) =>
  Effect.gen(function* () {
    for (const { bytes } of [c1, b1]) yield* registry.putBlob(app, BlobSource.fromBytes(bytes))
    yield* registry.putBlob(base, BlobSource.fromBytes(b2.bytes))
    yield* registry.putManifest(app, m1, { tags: [v1] })
    yield* registry.putManifest(app, i1, { tags: [multi] })
    yield* registry.putManifest(app, s1)
  }).pipe(Effect.orDie)
