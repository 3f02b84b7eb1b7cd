/** Layouts that several processes write at a time, and after the end of one of them. */
import * as Path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Reference from "../../src/spec/Reference.js"
import { Heartbeat } from "../../src/store/internal/layout/FolderLock.js"
import { UploadState } from "../../src/Transfer.js"
import { kills, writer } from "../kills/kills.js"
import { image, items, utf8 } from "../support/fixtures.js"
import { failures } from "../support/layouts.js"
import { folder } from "../support/machine.js"

const app = Reference.unsafeParseRepositoryName("app")
const tag = Reference.unsafeParseTag

describe("processes", () => {
  it.scopedLive("four that tag at once lose nothing", () =>
    Effect.gen(function* () {
      const path = yield* folder()
      const count = 15
      const writers = yield* Effect.forEach(["a", "b", "c", "d"], (own) => writer(path, own, count))
      const codes = yield* Effect.forEach(writers, ({ ended }) => ended)
      expect(codes).toEqual([0, 0, 0, 0])
      const registry = yield* NodeLayout.make({ path })
      const expected = ["a", "b", "c", "d"].flatMap((own) =>
        Array.from({ length: count }, (_, n) => n)
          // Each one removes a fifth of its tags.
          .filter((n) => n % 5 !== 0)
          .map((n) => `${own}-${n}`)
      )
      expect(yield* items(registry.tags(app))).toEqual(expected.toSorted())
      expect(
        (yield* items(registry.verify())).filter(({ _tag }) => _tag !== "Unreferenced")
      ).toEqual([])
    })
  )

  it.scopedLive("what was stored is there after SIGKILL at any point, and nobody waits", () =>
    Effect.gen(function* () {
      const report = yield* kills(yield* folder(), 2)
      expect(report.problems).toEqual([])
      expect(report.longestWait).toBeLessThan(5000)
    })
  )

  it.scopedLive(
    "one that was stopped while it held the lock does not undo what others wrote (V35)",
    () =>
      Effect.gen(function* () {
        const path = yield* folder()
        const registry = yield* NodeLayout.make({ path })
        const manifest = yield* image(registry, app, "m1")
        const stopped = yield* writer(path, "stopped")
        yield* stopped.started
        const own: Array<string> = []
        for (let n = 0; n < 3; n++) {
          yield* Effect.sleep("20 millis")
          stopped.child.kill("SIGSTOP")
          own.push(`own-${n}`)
          const put = registry.putManifest(app, manifest, { tags: [tag(`own-${n}`)] })
          yield* Effect.provideService(put, Heartbeat, { interval: 50, patience: 300 })
          stopped.child.kill("SIGCONT")
        }
        yield* Effect.sleep("50 millis")
        stopped.child.kill("SIGKILL")
        yield* stopped.ended
        const tags = yield* items(registry.tags(app))
        for (const name of own) expect(tags).toContain(name)
      })
  )

  it.scopedLive("an upload goes on in another process", () =>
    Effect.gen(function* () {
      const path = yield* folder()
      const first = yield* NodeLayout.make({ path })
      const saved = yield* Effect.scoped(
        Effect.gen(function* () {
          const session = yield* first.startUpload(app)
          yield* session.write(utf8("hello"))
          return yield* Schema.encode(UploadState)(yield* session.detach)
        })
      )
      // Nothing of the first registry is known to the second one, as in another process.
      const second = yield* NodeLayout.make({ path })
      const session = yield* second.resumeUpload(yield* Schema.decode(UploadState)(saved))
      yield* session.write(utf8(", world"))
      const digest = Digest.fromBytes(utf8("hello, world"))
      expect(yield* session.commit(digest)).toMatchObject({ digest, size: 12 })
      expect(yield* first.getBlobBytes(app, digest)).toEqual(utf8("hello, world"))
    })
  )

  it.scopedLive("no location leads out of the folder of uploads (T8)", () =>
    Effect.gen(function* () {
      const path = yield* folder({ "victim/00000000-0000-0000-0000-000000000000": "keep" })
      const registry = yield* NodeLayout.make({ path: Path.join(path, "images") })
      const id = "00000000-0000-0000-0000-000000000000"
      const locations = [`../../victim/${id}`, "..", "", `${id}/..`, "%2e%2e", "x".repeat(36)]
      const errors = yield* failures(
        ...locations.map((session) =>
          Effect.scoped(
            registry.resumeUpload({
              repository: app,
              location: `/v2/app/blobs/uploads/${session}`,
              offset: 0
            })
          )
        )
      )
      for (const error of errors) expect(error).toMatchObject({ _tag: "UploadUnknown" })
    })
  )
})
