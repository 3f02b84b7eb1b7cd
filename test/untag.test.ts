/** Tags that are removed by way of a throwaway, and put back where that cannot be deleted. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Credentials from "../src/auth/Credentials.js"
import * as TokenCache from "../src/auth/TokenCache.js"
import * as RegistryClient from "../src/client/RegistryClient.js"
import * as Registries from "../src/Registries.js"
import { Registry } from "../src/Registry.js"
import { Denied, RegistryFailure, Unsupported } from "../src/RegistryError.js"
import * as Quirks from "../src/server/Quirks.js"
import * as RegistryServer from "../src/server/RegistryServer.js"
import * as MediaType from "../src/spec/MediaType.js"
import * as Reference from "../src/spec/Reference.js"
import * as MemoryRegistry from "../src/store/MemoryRegistry.js"
import { image } from "./support/fixtures.js"

const app = Reference.unsafeParseRepositoryName("team/app")
const [v1, v2] = [Reference.unsafeParseTag("v1"), Reference.unsafeParseTag("v2")]

const refusesTags = Effect.fail(new Unsupported({ operation: "deleting tags", status: 405 }))

/** What a registry does otherwise: `move` moves the tag to another manifest, as others may do. */
type Changes = (
  memory: MemoryRegistry.MemoryRegistry.Service,
  move: Effect.Effect<unknown>
) => Partial<Registry.Service>

/** A registry with an image under two tags, which deletes no tags, and differs so besides. */
const world = Effect.fnUntraced(function* (changes: Changes = () => ({})) {
  const memory = yield* MemoryRegistry.make()
  const manifest = yield* image(memory, app, "m1")
  const other = yield* image(memory, app, "m2")
  yield* memory.putManifest(app, other)
  yield* memory.putManifest(app, manifest, { tags: [v1, v2] })
  const registry: Registry.Service = {
    ...memory,
    deleteTag: () => refusesTags,
    ...changes(memory, Effect.orDie(memory.putManifest(app, other, { tags: [v1] })))
  }
  const before = yield* memory.snapshot
  return {
    registry,
    memory,
    manifest,
    other,
    before,
    untag: Registries.untagFrom(registry, app, v1, { throwaway: true }),
    tags: Effect.map(memory.snapshot, (all) => all[app]?.tags ?? {})
  }
})

describe("untag with a throwaway", () => {
  it.effect("leaves the manifest, its other tags, and nothing of its own", () =>
    Effect.gen(function* () {
      const { before, memory, tags, untag } = yield* world()
      yield* untag
      const { v1: _, ...others } = before[app]?.tags ?? {}
      expect(yield* tags).toEqual(others)
      const after = yield* memory.snapshot
      for (const what of ["manifests", "blobs"] as const)
        expect(Object.keys(after[app]?.[what] ?? {})).toEqual(
          Object.keys(before[app]?.[what] ?? {})
        )
    })
  )

  it.effect("is not what happens unless it is asked for, nor where tags can be removed", () =>
    Effect.gen(function* () {
      const { before, registry, tags } = yield* world()
      expect(yield* Effect.flip(Registries.untagFrom(registry, app, v1))).toMatchObject({
        _tag: "Unsupported",
        operation: "deleting tags"
      })
      expect(yield* tags).toEqual(before[app]?.tags)
      const able = yield* world(({ deleteTag }) => ({
        deleteTag,
        putManifest: () => Effect.die("puts")
      }))
      yield* able.untag
      expect(Object.keys(yield* able.tags)).toEqual(["v2"])
      for (const error of [new Denied({}), new RegistryFailure({ status: 500 })]) {
        const refusing = yield* world(() => ({
          deleteTag: () => Effect.fail(error),
          putManifest: () => Effect.die("puts")
        }))
        expect(yield* Effect.flip(refusing.untag)).toBe(error)
      }
    })
  )

  const failures = [
    new Unsupported({ operation: "deleting manifests", status: 405 }),
    new Denied({ status: 403 }),
    new RegistryFailure({ status: 500 })
  ]
  it.effect.each(failures)("puts the tag back where it cannot be deleted: %s (CP01)", (error) =>
    Effect.gen(function* () {
      const { before, tags, untag } = yield* world(() => ({
        deleteManifest: () => Effect.fail(error)
      }))
      expect(yield* Effect.flip(untag)).toMatchObject(
        error._tag === "Unsupported"
          ? { _tag: "Unsupported", operation: "deleting tags" }
          : { _tag: error._tag, status: error.status }
      )
      expect(yield* tags).toEqual(before[app]?.tags)
    })
  )

  it.effect("says what was refused, and what else removes the tag", () =>
    Effect.gen(function* () {
      const credential = { kind: "Basic", username: "alice", source: "a file" } as const
      const scopes = ["repository:team/app:delete"]
      const { untag } = yield* world(() => ({
        deleteManifest: () => Effect.fail(new Denied({ status: 403, credential, scopes }))
      }))
      const refused = yield* Effect.flip(untag)
      expect(refused).toMatchObject({ _tag: "Denied", status: 403, credential, scopes })
      expect(refused.message).toBe(
        "The tag v1 is not removed: the registry removes no tag alone, and refuses " +
          'repository:team/app:delete with the password of "alice" from a file: log in, as ' +
          "somebody who may do this. The tag can also be removed at the web site of the " +
          "registry, or by an API of its own"
      )
    })
  )

  it.effect("moves no tag that another has moved", () =>
    Effect.gen(function* () {
      const { other, tags, untag } = yield* world(({ getManifest }, move) => ({
        getManifest: (...get) => Effect.zipLeft(getManifest(...get), move)
      }))
      expect(yield* Effect.flip(untag)).toMatchObject({
        _tag: "PreconditionFailed",
        reason: "Changed"
      })
      expect((yield* tags)["v1"]).toBe(other.descriptor.digest)
    })
  )

  it.effect("does not put the tag back over what another has put there", () =>
    Effect.gen(function* () {
      const { other, tags, untag } = yield* world((_, move) => ({
        deleteManifest: () => Effect.zipRight(move, Effect.fail(new Denied({})))
      }))
      expect((yield* Effect.flip(untag))._tag).toBe("Denied")
      expect((yield* tags)["v1"]).toBe(other.descriptor.digest)
    })
  )

  it.effect("puts the tag back when it is interrupted", () =>
    Effect.gen(function* () {
      const reached = yield* Deferred.make<void>()
      const { before, tags, untag } = yield* world(() => ({
        deleteManifest: () => Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never)
      }))
      const fiber = yield* Effect.fork(untag)
      yield* Deferred.await(reached)
      expect(yield* tags).not.toEqual(before[app]?.tags)
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      expect(yield* tags).toEqual(before[app]?.tags)
    })
  )

  it.effect("does not leave the tag moved when it is interrupted as that is put", () =>
    Effect.gen(function* () {
      const reached = yield* Deferred.make<void>()
      const { before, tags, untag } = yield* world((memory) => ({
        putManifest: (...put) =>
          Effect.zipRight(
            Deferred.succeed(reached, undefined),
            Effect.zipLeft(memory.putManifest(...put), Effect.yieldNow())
          )
      }))
      const fiber = yield* Effect.fork(untag)
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      expect([undefined, before[app]?.tags["v1"]]).toContain((yield* tags)["v1"])
      expect((yield* tags)["v2"]).toBe(before[app]?.tags["v2"])
    })
  )

  it.effect("says both errors where the tag cannot be put back", () =>
    Effect.gen(function* () {
      const lost = new RegistryFailure({ status: 503 })
      let puts = 0
      const { untag } = yield* world((memory) => ({
        putManifest: (...put) => (puts++ === 0 ? memory.putManifest(...put) : Effect.fail(lost)),
        deleteManifest: () => Effect.fail(new Denied({}))
      }))
      const exit = yield* Effect.exit(untag)
      const failures = Exit.isFailure(exit) ? [...Cause.failures(exit.cause)] : []
      expect(failures.map(({ _tag }) => _tag)).toEqual(["Denied", "RegistryFailure"])
    })
  )

  it.effect("is of the kind that the manifest is", () =>
    Effect.gen(function* () {
      const types: Array<string> = []
      const { memory, registry } = yield* world((memory) => ({
        putManifest: (...put) => {
          types.push(put[1].descriptor.mediaType)
          return memory.putManifest(...put)
        }
      }))
      const docker = yield* image(memory, app, "m3", { mediaType: MediaType.dockerManifest })
      yield* memory.putManifest(app, docker, { tags: [v1] })
      yield* Registries.untagFrom(registry, app, v1, { throwaway: true })
      yield* Registries.untagFrom(registry, app, v2, { throwaway: true })
      expect(types).toEqual([MediaType.dockerManifest, MediaType.imageManifest])
    })
  )
})

const profiles: ReadonlyArray<readonly [name: string, Quirks.Quirks, tag: string | undefined]> = [
  ["Docker Hub", Quirks.dockerHub, "Denied"],
  ["GHCR", Quirks.ghcr, "Unsupported"],
  ["Harbor", Quirks.harbor, undefined]
]

describe("over HTTP, at a registry that deletes no tags", () => {
  it.effect.each(profiles)("such as %s, the tag is gone or as before (CP01)", ([, quirks, tag]) =>
    Effect.gen(function* () {
      const registry = yield* Registry
      const manifest = yield* image(registry, app, "m1")
      yield* registry.putManifest(app, manifest, { tags: [v1, v2] })
      expect((yield* Effect.flip(Registries.untagFrom(registry, app, v1))).message).toContain(
        "where it deletes manifests, untag removes a tag with throwaway: true"
      )
      const outcome = yield* Effect.either(
        Registries.untagFrom(registry, app, v1, { throwaway: true })
      )
      expect(outcome).toMatchObject(
        tag === undefined ? { _tag: "Right" } : { _tag: "Left", left: { _tag: tag } }
      )
      const digests = yield* Effect.forEach([v1, v2], (tag) =>
        Effect.map(
          registry.headManifest(app, tag),
          Option.match({ onNone: () => undefined, onSome: ({ digest }) => digest })
        )
      )
      const { digest } = manifest.descriptor
      expect(digests).toEqual([tag === undefined ? undefined : digest, digest])
    }).pipe(
      Effect.provide(
        RegistryClient.layer({ url: "http://registry.test", retry: { attempts: 0 } }).pipe(
          Layer.provide([
            RegistryServer.layerTest({ quirks }).pipe(Layer.provide(MemoryRegistry.layer())),
            Credentials.layerAnonymous,
            TokenCache.layerMemory
          ])
        )
      )
    )
  )
})
