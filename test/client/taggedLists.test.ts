/**
 * The lists of referrers under referrers tags, at registries that keep none: which requests make
 * them, and what of them survives other writers, reads that lag, and refusals.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import type * as RegistryClient from "../../src/client/RegistryClient.js"
import { Registry } from "../../src/Registry.js"
import type * as Quirks from "../../src/server/Quirks.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import type { Descriptor } from "../../src/spec/Descriptor.js"
import * as Descriptors from "../../src/spec/Descriptor.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as Reference from "../../src/spec/Reference.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { clientOver } from "../support/fake/Client.js"
import { items, turn, utf8 } from "../support/fixtures.js"
import { repository } from "./world.js"

const noLists: Quirks.Quirks = { referrers: { status: 404 }, subjectHeader: false }
const subject = Descriptors.fromBytes(utf8("subject"), MediaType.imageManifest)
const listTag = Reference.referrersTag(subject.digest)

/** A referrer that needs no blobs: an index. */
const referrer = (name: string, to: Descriptor = subject) =>
  Manifest.index({
    manifests: [],
    artifactType: `application/vnd.example.${name}`,
    annotations: { name },
    subject: to
  })
const [a, b, c] = [referrer("a"), referrer("b"), referrer("c")]
const listing = (...referrers: ReadonlyArray<Manifest.Manifest>) =>
  Manifest.index({ manifests: referrers.map(Manifest.referrer) })

const PUT = `PUT ${listTag}`
const names = (manifests: ReadonlyArray<Descriptor>) =>
  manifests.map(({ annotations = {}, digest }) => annotations["name"] ?? digest).toSorted()

/** A server without lists of referrers over memory, and clients of it. */
const served = (
  quirks: Quirks.Quirks = {},
  {
    strict = false,
    ...options
  }: Partial<RegistryClient.EndpointOptions> & { readonly strict?: boolean } = {}
) =>
  Effect.gen(function* () {
    const stored = yield* MemoryRegistry.make({
      missingReferences: strict ? "reject" : "accept"
    })
    const context = yield* Layer.build(
      RegistryServer.layerTest({ quirks: { ...noLists, ...quirks } }).pipe(
        Layer.provide(Layer.succeed(Registry, stored))
      )
    )
    const lines: Array<string> = []
    const before = new Map<string, Effect.Effect<unknown, unknown>>()
    const client = HttpClient.mapRequestEffect(
      Context.get(context, HttpClient.HttpClient),
      (request) =>
        Effect.gen(function* () {
          const line = `${request.method} ${request.url.replace(/^.*\/(?:manifests|referrers)\//, "")}`
          lines.push(line)
          const hook = before.get(line)
          before.delete(line)
          if (hook !== undefined) yield* Effect.orDie(hook)
          return request
        })
    )
    const registry = yield* clientOver(client, "https://registry.test", options)
    const other = yield* clientOver(client, "https://registry.test", options)
    const list = Effect.map(stored.getManifest(repository, listTag), ({ content }) =>
      content._tag === "ImageIndex" ? names(content.manifests) : []
    )
    const putList = (...referrers: ReadonlyArray<Manifest.Manifest>) =>
      stored.putManifest(repository, listing(...referrers), { tags: [listTag] })
    return { registry, other, stored, lines, list, putList, before }
  })

/** Runs an effect to its end while time goes by, and returns what it gives with the seconds. */
const whileTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    for (let halves = 0; ; halves++) {
      yield* turn
      const exit = yield* Fiber.poll(fiber)
      if (Option.isSome(exit)) return { result: yield* exit.value, seconds: halves / 2 }
      yield* TestClock.adjust("500 millis")
    }
  })

const logged = () => {
  const lines: Array<string> = []
  const layer = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message }) => {
      const [text] = Array.isArray(message) ? message : [message]
      lines.push(String(text))
    })
  )
  return { lines, layer }
}

describe("another writer", () => {
  for (const ignoresConditions of [undefined, true] as const) {
    const how = ignoresConditions ? "conditions are ignored" : "conditions are heeded"

    it.scoped(`between the read and the put loses nothing where ${how} (trap 50)`, () =>
      Effect.gen(function* () {
        const { before, list, lines, putList, registry } = yield* served({ ignoresConditions })
        yield* putList(a)
        before.set(PUT, putList(a, b))
        yield* registry.putManifest(repository, c)
        expect(yield* list).toEqual(ignoresConditions ? ["a", "c"] : ["a", "b", "c"])
        expect(lines.filter((line) => line === PUT)).toHaveLength(ignoresConditions ? 1 : 2)
      })
    )

    it.scoped(`that had read before, and puts after, loses nothing where ${how}`, () =>
      Effect.gen(function* () {
        const { before, list, putList, registry } = yield* served({ ignoresConditions })
        yield* putList(a)
        before.set(`HEAD ${listTag}`, putList(a, b))
        yield* registry.putManifest(repository, c)
        expect(yield* list).toEqual(["a", "b", "c"])
      })
    )

    it.scoped(`that is a client of this library, many at once: none is lost where ${how}`, () =>
      Effect.gen(function* () {
        const { list, other, registry } = yield* served({ ignoresConditions })
        const all = Array.from({ length: 20 }, (_, n) => referrer(`r${n}`))
        yield* Effect.forEach(
          all,
          (manifest, n) => (n % 2 === 0 ? registry : other).putManifest(repository, manifest),
          { concurrency: "unbounded", discard: true }
        )
        expect(yield* list).toEqual(names(all.map(Manifest.referrer)))
      })
    )
  }

  it.scoped("that keeps replacing the list is an error in the end, which says what is stored", () =>
    Effect.gen(function* () {
      const { before, list, putList, registry } = yield* served({ ignoresConditions: true })
      const again = (n: number): Effect.Effect<void> =>
        Effect.suspend(() => {
          before.set(`HEAD ${listTag}`, again(n + 1))
          return Effect.asVoid(Effect.orDie(putList(referrer(`other ${n}`))))
        })
      before.set(`HEAD ${listTag}`, again(0))
      const { result } = yield* whileTimePasses(Effect.flip(registry.putManifest(repository, c)))
      expect(result).toMatchObject({
        _tag: "PreconditionFailed",
        reason: "LostRace",
        stored: c.descriptor.digest
      })
      expect(yield* list).toEqual(["other 39"])
    })
  )
})

describe("many changes of one list", () => {
  it.scoped("are made together where they wait for each other", () =>
    Effect.gen(function* () {
      const { lines, list, registry } = yield* served()
      const all = Array.from({ length: 100 }, (_, n) => referrer(`r${n}`))
      yield* Effect.forEach(all, (manifest) => registry.putManifest(repository, manifest), {
        concurrency: "unbounded",
        discard: true
      })
      expect(yield* list).toEqual(names(all.map(Manifest.referrer)))
      expect(lines.filter((line) => line === PUT).length).toBeLessThan(80)
    })
  )

  it.scoped("are made whoever of those that wait is interrupted", () =>
    Effect.gen(function* () {
      const { before, list, registry } = yield* served()
      const first = yield* Effect.makeLatch()
      const isWaiting = yield* Effect.makeLatch()
      before.set(PUT, Effect.zipRight(first.open, Effect.never))
      const one = yield* Effect.fork(registry.putManifest(repository, a))
      yield* first.await
      before.set(`PUT ${c.descriptor.digest}`, isWaiting.open)
      const two = yield* Effect.fork(registry.putManifest(repository, b))
      const three = yield* Effect.fork(registry.putManifest(repository, c))
      yield* isWaiting.await
      for (let n = 0; n < 50; n++) yield* turn
      yield* Fiber.interrupt(two)
      yield* Fiber.interrupt(one)
      yield* Fiber.join(three)
      expect(yield* list).toEqual(["c"])
    })
  )
})

describe("reads that lag behind writes (CP09)", () => {
  for (const ignoresConditions of [undefined, true] as const)
    it.scoped.each([
      ["one after the other", 1],
      ["at once", "unbounded"]
    ] as const)(
      `lose nothing of one client, or of two: %s${ignoresConditions ? ", unconditionally" : ""}`,
      ([, concurrency]) =>
        Effect.gen(function* () {
          const { list, other, putList, registry } = yield* served({
            tagLag: 5000,
            ignoresConditions
          })
          yield* putList(referrer("old"))
          const puts = [
            registry.putManifest(repository, a),
            registry.putManifest(repository, b),
            other.putManifest(repository, c)
          ]
          yield* whileTimePasses(Effect.all(puts, { concurrency, discard: true }))
          expect(yield* list).toEqual(["a", "b", "c", "old"])
        })
    )

  it.scoped("are waited for, so that others see the list when the push is done", () =>
    Effect.gen(function* () {
      const { lines, other, registry } = yield* served({ tagLag: 5000 })
      const { seconds } = yield* whileTimePasses(registry.putManifest(repository, a))
      expect(seconds).toBeGreaterThanOrEqual(5)
      expect(seconds).toBeLessThan(8)
      expect(lines.filter((line) => line === PUT)).toHaveLength(1)
      expect(names(yield* items(other.referrers(repository, subject.digest)))).toEqual(["a"])
    })
  )

  it.scoped("are a warning where they do not end, and what was put here is still kept", () =>
    Effect.gen(function* () {
      const { layer, lines: warnings } = logged()
      const { list, registry } = yield* served({ tagLag: 20_000 })
      const put = (manifest: Manifest.Manifest) =>
        whileTimePasses(registry.putManifest(repository, manifest))
      yield* Effect.provide(Effect.zipRight(put(a), put(b)), layer)
      expect(yield* list).toEqual(["a", "b"])
      expect(warnings).toEqual([
        `registry.test/team/app:${listTag} was put, and the registry still shows what it was`,
        `registry.test/team/app:${listTag} was put, and the registry still shows what it was`
      ])
    })
  )

  it.scoped("do not bring back what was deleted here", () =>
    Effect.gen(function* () {
      const { list, putList, registry, stored } = yield* served({ tagLag: 5000 })
      for (const manifest of [a, b, c]) yield* stored.putManifest(repository, manifest)
      yield* putList(a, b, c)
      for (const { descriptor } of [a, b])
        yield* whileTimePasses(registry.deleteManifest(repository, descriptor.digest))
      expect(yield* list).toEqual(["c"])
    })
  )
})

describe("what was put here a short time ago (CP09)", () => {
  it.scoped("is listed where a read lacks it, as long as it is there", () =>
    Effect.gen(function* () {
      const { lines, other, putList, registry, stored } = yield* served({ ignoresConditions: true })
      const listed = Effect.map(items(registry.referrers(repository, subject.digest)), names)
      for (const manifest of [a, b])
        yield* whileTimePasses(registry.putManifest(repository, manifest))
      yield* stored.putManifest(repository, c)
      // A writer that had read before, and has stalled since.
      yield* putList(c)
      expect(yield* listed).toEqual(["a", "b", "c"])
      yield* stored.deleteTag(repository, listTag)
      expect(yield* listed).toEqual(["a", "b"])
      yield* stored.deleteManifest(repository, b.descriptor.digest)
      expect(yield* listed).toEqual(["a"])
      expect(yield* items(other.referrers(repository, subject.digest))).toEqual([])
      lines.length = 0
      yield* TestClock.adjust("2 minutes")
      yield* putList(c)
      expect(yield* listed).toEqual(["c"])
      expect(lines.filter((line) => line.startsWith("HEAD"))).toEqual([])
    })
  )

  it.scoped("is listed no longer once it was deleted here, whatever a read says", () =>
    Effect.gen(function* () {
      const { putList, registry, stored } = yield* served()
      const listed = Effect.map(items(registry.referrers(repository, subject.digest)), names)
      for (const manifest of [a, b])
        yield* whileTimePasses(registry.putManifest(repository, manifest))
      yield* whileTimePasses(registry.deleteManifest(repository, a.descriptor.digest))
      yield* putList(a, b)
      expect(yield* listed).toEqual(["b"])
      yield* stored.putManifest(repository, a)
      expect(yield* listed).toEqual(["a", "b"])
    })
  )
})

describe("the list of a subject that is gone (CP09)", () => {
  const putSubject = referrer("subject", Descriptors.fromBytes(utf8("x"), MediaType.imageManifest))
  const about = [referrer("d", putSubject.descriptor), referrer("e", putSubject.descriptor)]
  const tag = Reference.referrersTag(putSubject.descriptor.digest)
  const remove = (registry: Registry.Service, { descriptor }: Manifest.Manifest) =>
    whileTimePasses(registry.deleteManifest(repository, descriptor.digest))

  const deletions: ReadonlyArray<
    readonly [what: string, deletion: (registry: Registry.Service) => Effect.Effect<void, unknown>]
  > = [
    ["by its digest", (registry) => Effect.asVoid(remove(registry, listing(...about)))],
    ["by its tag", (registry) => registry.deleteTag(repository, tag)]
  ]
  for (const tagLag of [undefined, 3000])
    it.scoped.each(deletions)(
      `is not put again for them when it was deleted %s, ${tagLag ? "seen late" : "at once"}`,
      ([, deletion]) =>
        Effect.gen(function* () {
          const { registry, stored } = yield* served({ tagLag })
          for (const manifest of [putSubject, ...about])
            yield* whileTimePasses(registry.putManifest(repository, manifest))
          yield* remove(registry, putSubject)
          yield* deletion(registry)
          for (const manifest of about) yield* remove(registry, manifest)
          expect(yield* stored.headManifest(repository, tag)).toEqual(Option.none())
        })
    )

  it.scoped("is not put again where another writer has changed it before it was deleted", () =>
    Effect.gen(function* () {
      const { registry, stored } = yield* served()
      const [first, second] = about
      if (first === undefined || second === undefined) return
      yield* registry.putManifest(repository, putSubject)
      yield* registry.putManifest(repository, first)
      yield* stored.putManifest(repository, second)
      const { digest } = yield* stored.putManifest(repository, listing(first, second), {
        tags: [tag]
      })
      yield* remove(registry, putSubject)
      yield* registry.deleteManifest(repository, digest)
      for (const manifest of about) yield* remove(registry, manifest)
      expect(yield* stored.headManifest(repository, tag)).toEqual(Option.none())
    })
  )

  it.scoped("loses its entries with them where it is still there", () =>
    Effect.gen(function* () {
      const { registry, stored } = yield* served()
      for (const manifest of [putSubject, ...about])
        yield* registry.putManifest(repository, manifest)
      yield* remove(registry, putSubject)
      for (const manifest of about) yield* remove(registry, manifest)
      const { content } = yield* stored.getManifest(repository, tag)
      expect(content).toMatchObject({ manifests: [] })
      // Pushed again, it has those that are attached to it since.
      const [first] = about
      if (first === undefined) return
      yield* registry.putManifest(repository, putSubject)
      yield* registry.putManifest(repository, first)
      expect(
        names(yield* items(registry.referrers(repository, putSubject.descriptor.digest)))
      ).toEqual(["d"])
    })
  )
})

describe("a list that another one has replaced (CP08)", () => {
  it.scoped("is deleted after the new one is put, and before a referrer is deleted", () =>
    Effect.gen(function* () {
      const { lines, list, putList, registry, stored } = yield* served()
      yield* stored.putManifest(repository, a)
      const { digest } = yield* putList(a)
      yield* registry.putManifest(repository, b)
      expect(lines).toEqual([
        `PUT ${b.descriptor.digest}`,
        `GET ${listTag}`,
        PUT,
        `HEAD ${listTag}`,
        `DELETE ${digest}`
      ])
      lines.length = 0
      const second = listing(a, b).descriptor.digest
      yield* registry.deleteManifest(repository, a.descriptor.digest)
      expect(lines).toEqual([
        `GET ${a.descriptor.digest}`,
        `GET ${subject.digest}`,
        `GET ${listTag}`,
        PUT,
        `HEAD ${listTag}`,
        `DELETE ${second}`,
        `DELETE ${a.descriptor.digest}`
      ])
      yield* registry.deleteManifest(repository, b.descriptor.digest)
      expect(yield* list).toEqual([])
      for (const { descriptor } of [a, b, listing(a), listing(a, b)])
        expect(yield* stored.headManifest(repository, descriptor.digest)).toEqual(Option.none())
    })
  )

  it.scoped("is never deleted if it is empty, since that can be anybody's", () =>
    Effect.gen(function* () {
      const { putList, registry, stored } = yield* served()
      const { digest } = yield* putList()
      yield* registry.putManifest(repository, a)
      expect(Option.isSome(yield* stored.headManifest(repository, digest))).toBe(true)
    })
  )

  it.scoped.each([405, 403, 400])(
    "is left, with one warning, where that is refused: %i",
    (status) =>
      Effect.gen(function* () {
        const { layer, lines: warnings } = logged()
        const { lines, list, registry } = yield* served({ manifestDelete: { status } })
        for (const manifest of [a, b, c])
          yield* Effect.provide(registry.putManifest(repository, manifest), layer)
        expect(yield* list).toEqual(["a", "b", "c"])
        expect(lines.filter((line) => line.startsWith("DELETE"))).toHaveLength(1)
        expect(warnings).toEqual([
          `registry.test/team/app@${listing(a).descriptor.digest}, a list of referrers that another ` +
            "one has replaced, could not be deleted"
        ])
      })
  )

  it.scoped("has a referrer again that could not be deleted", () =>
    Effect.gen(function* () {
      const { list, registry } = yield* served({ manifestDelete: { status: 405 } })
      for (const manifest of [a, b]) yield* registry.putManifest(repository, manifest)
      const error = yield* Effect.flip(registry.deleteManifest(repository, a.descriptor.digest))
      expect(error._tag).toBe("Unsupported")
      expect(yield* list).toEqual(["a", "b"])
    })
  )

  it.scoped("has a referrer again whose deletion is interrupted", () =>
    Effect.gen(function* () {
      const { before, list, registry } = yield* served()
      for (const manifest of [a, b]) yield* registry.putManifest(repository, manifest)
      const isDeleting = yield* Effect.makeLatch()
      before.set(`DELETE ${a.descriptor.digest}`, Effect.zipRight(isDeleting.open, Effect.never))
      const fiber = yield* Effect.fork(registry.deleteManifest(repository, a.descriptor.digest))
      yield* isDeleting.await
      yield* Fiber.interrupt(fiber)
      expect(yield* list).toEqual(["a", "b"])
    })
  )
})

describe("an entry without a type, or with the empty one (CP10)", () => {
  const artifactType = "application/vnd.example.a"
  const untyped = { ...a.descriptor }
  const empty = { ...a.descriptor, artifactType: MediaType.empty, "x.note": 1 }

  it.scoped.each([untyped, { ...untyped, artifactType: "" }, empty])(
    "is found by the type of its manifest: %o",
    (entry) =>
      Effect.gen(function* () {
        const { registry, stored } = yield* served()
        yield* stored.putManifest(repository, a)
        yield* stored.putManifest(
          repository,
          Manifest.index({ manifests: [entry, Manifest.referrer(b), referrer("lost").descriptor] }),
          { tags: [listTag] }
        )
        const found = yield* Effect.provide(
          items(registry.referrers(repository, subject.digest, { artifactType })),
          Logger.remove(Logger.defaultLogger)
        )
        expect(found).toEqual([{ ...entry, ...Manifest.referrer(a) }])
        const all = yield* items(registry.referrers(repository, subject.digest))
        expect(all[0]).toEqual(entry)
      })
  )

  it.scoped("is corrected when it is pushed again, with all else of it kept", () =>
    Effect.gen(function* () {
      const { registry, stored } = yield* served()
      yield* stored.putManifest(
        repository,
        Manifest.index({ manifests: [empty, Manifest.referrer(b), untyped] }),
        { tags: [listTag] }
      )
      yield* registry.putManifest(repository, a)
      const { content } = yield* stored.getManifest(repository, listTag)
      expect(content).toMatchObject({
        manifests: [{ ...empty, ...Manifest.referrer(a) }, Manifest.referrer(b)]
      })
    })
  )

  it.scoped("is left alone when it says what it should", () =>
    Effect.gen(function* () {
      const { lines, putList, registry } = yield* served()
      yield* putList(a)
      yield* registry.putManifest(repository, a)
      expect(lines).not.toContain(PUT)
    })
  )
})

describe("a registry that wants all that a list names", () => {
  it.scoped("has the entries taken out whose manifests are gone", () =>
    Effect.gen(function* () {
      const { list, putList, registry, stored } = yield* served({}, { strict: true })
      for (const manifest of [a, b]) yield* stored.putManifest(repository, manifest)
      yield* putList(a, b)
      yield* stored.deleteManifest(repository, a.descriptor.digest)
      yield* registry.putManifest(repository, c)
      expect(yield* list).toEqual(["b", "c"])
    })
  )

  it.scoped("is asked again for as long as it does not see the referrer that it has (CP09)", () =>
    Effect.gen(function* () {
      const { before, list, lines, registry, stored } = yield* served({}, { strict: true })
      before.set(PUT, stored.deleteManifest(repository, a.descriptor.digest))
      const { seconds } = yield* whileTimePasses(
        Effect.all(
          [
            registry.putManifest(repository, a),
            Effect.delay(stored.putManifest(repository, a), "2 seconds")
          ],
          { concurrency: 2 }
        )
      )
      expect(seconds).toBeGreaterThan(2)
      expect(lines.filter((line) => line === PUT).length).toBeGreaterThan(1)
      expect(yield* list).toEqual(["a"])
    })
  )
})

describe("a list that must not be changed (CP12)", () => {
  it.scoped.each([400, 403, 405, 409, 412])(
    "is an error that says that the referrer itself is stored, and with which digest: %i",
    (code) =>
      Effect.gen(function* () {
        const { putList, registry, stored } = yield* served({
          immutableTags: {
            status: code,
            code: "TAG_IMMUTABLE",
            message: "the tag is immutable"
          }
        })
        yield* registry.putManifest(repository, a)
        const { result: error } = yield* whileTimePasses(
          Effect.flip(registry.putManifest(repository, b))
        )
        expect(error.message).toContain("the tag is immutable")
        expect(error.message).toContain(`manifest ${b.descriptor.digest} itself is stored`)
        expect(error.message).toContain("where tags are immutable, except those that begin with")
        expect(error).toMatchObject({ stored: b.descriptor.digest })
        expect(Option.isSome(yield* stored.headManifest(repository, b.descriptor.digest))).toBe(
          true
        )
        expect(yield* Effect.exit(putList(a))).toMatchObject({ _tag: "Success" })
      })
  )
})

describe("a digest that the tag has only a part of (trap 49)", () => {
  it.scoped("has no referrers of another subject whose digest begins alike", () =>
    Effect.gen(function* () {
      const { registry } = yield* served()
      const begin = "a".repeat(64)
      const subjects = ["b", "c"].map((end) => ({
        ...subject,
        digest: Digest.Digest.make(`sha512:${begin}${end.repeat(64)}`)
      }))
      for (const [n, to] of subjects.entries())
        yield* registry.putManifest(repository, referrer(`r${n}`, to))
      for (const [n, { digest }] of subjects.entries()) {
        expect(Reference.referrersTag(digest)).toBe(`sha512-${begin}`)
        expect(names(yield* items(registry.referrers(repository, digest)))).toEqual([`r${n}`])
      }
    })
  )
})

describe("without the referrers tag", () => {
  it.scoped("referrers are unsupported where the registry does not list them", () =>
    Effect.gen(function* () {
      for (const reply of [{ status: 404 }, { status: 200, body: "{}" }]) {
        const { lines, registry, stored } = yield* served(
          { referrers: reply },
          { referrersTag: false }
        )
        const error = yield* Effect.flip(items(registry.referrers(repository, subject.digest)))
        expect(error).toMatchObject({ _tag: "Unsupported" })
        expect(error.message).toContain("the option referrersTag")
        expect(yield* Effect.flip(registry.putManifest(repository, a))).toMatchObject({
          _tag: "Unsupported"
        })
        expect(yield* stored.headManifest(repository, a.descriptor.digest)).toEqual(Option.none())
        yield* registry.putManifest(repository, listing())
        yield* registry.deleteManifest(repository, listing().descriptor.digest)
        expect(lines.filter((line) => line.includes(listTag))).toEqual([])
      }
    })
  )

  it.scoped("referrers are as ever where the registry lists them", () =>
    Effect.gen(function* () {
      const { registry } = yield* served(
        { referrers: undefined, subjectHeader: undefined },
        { referrersTag: false }
      )
      yield* registry.putManifest(repository, a)
      expect(names(yield* items(registry.referrers(repository, subject.digest)))).toEqual(["a"])
    })
  )

  it.scoped(
    "a registry that lists, and does not say so of this one, is told with what is stored",
    () =>
      Effect.gen(function* () {
        const { registry } = yield* served({ referrers: undefined }, { referrersTag: false })
        const error = yield* Effect.flip(registry.putManifest(repository, a))
        expect(error).toMatchObject({ _tag: "Unsupported", stored: a.descriptor.digest })
      })
  )
})
