/** Manifests and the referrers tag over sockets: what is read and written, what errors say. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import { items, utf8 } from "../support/fixtures.js"
import {
  clientOf,
  type Reply,
  type Script,
  scriptOn,
  socketRegistry
} from "../support/socketRegistry.js"
import { repository, tag } from "./world.js"

const digestOf = (text: string, algorithm: Digest.Algorithm = "sha256") =>
  Digest.fromBytes(utf8(text), algorithm)

const platform = (n: number) => ({
  mediaType: MediaType.imageManifest,
  digest: digestOf(`p${n}`),
  size: n
})
/** A multi-platform image, which others refer to. */
const subjectText = JSON.stringify({
  schemaVersion: 2,
  mediaType: MediaType.imageIndex,
  manifests: [platform(1), platform(2)]
})

const referrerOf = (text: string, algorithm?: Digest.Algorithm) =>
  Manifest.image({
    artifactType: "application/vnd.example",
    config: { mediaType: MediaType.empty, digest: digestOf("{}"), size: 2 },
    layers: [],
    subject: {
      mediaType: MediaType.imageIndex,
      digest: digestOf(text, algorithm),
      size: text.length
    }
  })

const at = (method: string, reference: string) => `${method} /v2/team/app/manifests/${reference}`
const entryOf = (manifest: Manifest.Manifest) => ({
  mediaType: manifest.descriptor.mediaType,
  digest: manifest.descriptor.digest,
  size: manifest.bytes.length,
  artifactType: "application/vnd.example"
})

/** A registry without a list of referrers, whose tags and manifests are a script. */
const keepingNone = (referrersOf: Digest.Digest, script: Script) =>
  socketRegistry(() => ({
    [`GET /v2/team/app/referrers/${referrersOf}`]: { status: 404 },
    [at("PUT", "v1")]: { status: 201 },
    ...script
  }))

const withIndex = (text: string, type: string = MediaType.imageIndex): Reply => ({
  headers: { "content-type": type },
  body: text
})

describe("a referrers tag that leads to the subject itself (GitLab)", () => {
  it.scopedLive.each(["sha256", "sha512"] as const)("is no list: %s", (algorithm) =>
    Effect.gen(function* () {
      const subject = digestOf(subjectText, algorithm)
      const byTag = `${algorithm}-${Digest.encoded(subject).slice(0, 64)}`
      const referrer = referrerOf(subjectText, algorithm)
      const { asked, lines, registry } = yield* keepingNone(subject, {
        [at("GET", byTag)]: withIndex(subjectText),
        [at("PUT", byTag)]: { status: 201 }
      })
      expect(yield* items(registry.referrers(repository, subject))).toEqual([])
      yield* registry.putManifest(repository, referrer, { tags: [tag] })
      expect(lines().slice(2)).toEqual([at("PUT", "v1"), at("GET", byTag), at("PUT", byTag)])
      expect(asked.at(-1)?.body).toBe(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: MediaType.imageIndex,
          manifests: [entryOf(referrer)]
        })
      )
    })
  )
})

describe("a list under the referrers tag", () => {
  const subject = digestOf(subjectText)
  const byTag = subject.replace(":", "-")
  const referrer = referrerOf(subjectText)
  const other = { ...platform(3), artifactType: "a/b", "x.note": { deep: [null, 1] } }
  const list = (manifests: ReadonlyArray<unknown>) =>
    JSON.stringify({
      manifests,
      schemaVersion: 2,
      artifactType: "application/vnd.example.list",
      "x.unknown": [1, { a: null }],
      annotations: { a: "b" },
      mediaType: MediaType.imageIndex
    })

  it.scopedLive("keeps all else of it when a referrer is added, and when it is removed", () =>
    Effect.gen(function* () {
      const { digest } = referrer.descriptor
      const [less, more] = [list([other]), list([other, entryOf(referrer)])]
      const isTag = (text: string): Reply => ({
        headers: {
          "content-type": MediaType.imageIndex,
          "content-length": `${text.length}`,
          "docker-content-digest": digestOf(text)
        }
      })
      const { asked, lines, registry } = yield* keepingNone(subject, {
        [at("GET", byTag)]: [withIndex(less), withIndex(more)],
        [at("PUT", byTag)]: { status: 201 },
        [at("HEAD", byTag)]: [isTag(more), isTag(less)],
        [at("GET", digest)]: {
          headers: { "content-type": MediaType.imageManifest },
          body: referrer.bytes
        },
        [at("DELETE", digestOf(less))]: { status: 202 },
        [at("DELETE", digestOf(more))]: { status: 202 },
        [at("DELETE", digest)]: { status: 202 }
      })
      const put = () => asked.filter(({ line }) => line === at("PUT", byTag)).at(-1)
      yield* registry.putManifest(repository, referrer, { tags: [tag] })
      expect(put()?.body).toBe(more)
      expect(put()?.headers["if-match"]).toBe(`"${digestOf(less)}"`)
      yield* registry.deleteManifest(repository, digest)
      expect(put()?.body).toBe(less)
      expect(put()?.headers["content-type"]).toBe(MediaType.imageIndex)
      // The new list, the old one, and the referrer last (CP08).
      expect(lines().filter((line) => /^(PUT|DELETE)/.test(line))).toEqual([
        at("PUT", "v1"),
        at("PUT", byTag),
        at("DELETE", digestOf(less)),
        at("PUT", byTag),
        at("DELETE", digestOf(more)),
        at("DELETE", digest)
      ])
    })
  )

  it.scopedLive.each([
    [
      "a Docker manifest list",
      withIndex(
        JSON.stringify({ schemaVersion: 2, manifests: [platform(1)] }),
        MediaType.dockerManifestList
      ),
      "instead of an OCI image index: it was left as it is"
    ],
    [
      "an image manifest",
      withIndex(new TextDecoder().decode(referrer.bytes), MediaType.imageManifest),
      "instead of an OCI image index: it was left as it is"
    ],
    [
      "an entry that cannot be read",
      withIndex(list([other, { ...other, size: -1 }])),
      "has an entry that cannot be read (manifests[1].size: expected a whole number from 0 to 2^53 - 1): it was left as it is"
    ]
  ] as const)("is not changed where it has %s (C74)", ([, reply, message]) =>
    Effect.gen(function* () {
      const { lines, registry, url } = yield* keepingNone(subject, { [at("GET", byTag)]: reply })
      const error = yield* Effect.flip(registry.putManifest(repository, referrer, { tags: [tag] }))
      expect(error._tag).toBe("InvalidManifest")
      expect(error.message).toContain(`${new URL(url).host}/team/app:${byTag}: `)
      expect(error.message).toContain(message)
      expect(lines()).toEqual([at("PUT", "v1"), at("GET", byTag)])
    })
  )

  it.scopedLive("is not begun anew where the storage that it is in does not have it", () =>
    Effect.gen(function* () {
      const storage = yield* scriptOn(() => ({ "GET /list": { status: 404 } }))
      const { lines, registry } = yield* keepingNone(subject, {
        [at("GET", byTag)]: { status: 307, headers: { location: `${storage.url}/list` } },
        [at("PUT", byTag)]: { status: 201 }
      })
      const put = registry.putManifest(repository, referrer, { tags: [tag] })
      const error = { _tag: "ProtocolViolation", status: 404, url: `${storage.url}/list` }
      expect(yield* Effect.flip(put)).toMatchObject(error)
      expect(yield* Effect.flip(items(registry.referrers(repository, subject)))).toMatchObject(
        error
      )
      expect(lines()).not.toContain(at("PUT", byTag))
    })
  )

  it.scopedLive("is not what a Docker manifest list is (C89)", () =>
    Effect.gen(function* () {
      const { registry } = yield* keepingNone(subject, {
        [at("GET", byTag)]: withIndex(
          JSON.stringify({ schemaVersion: 2, manifests: [platform(1)] }),
          MediaType.dockerManifestList
        )
      })
      expect(yield* items(registry.referrers(repository, subject))).toEqual([])
    })
  )

  it.scopedLive("is read in any case of its media type, but for entries that cannot be read", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const { registry, url } = yield* keepingNone(subject, {
        [`GET /v2/team/app/referrers/${subject}?artifactType=A%2FB`]: { status: 404 },
        [at("GET", byTag)]: withIndex(
          list([{ ...other, size: "1" }, null, { ...other, annotations: null }]),
          "Application/vnd.OCI.image.index.v1+JSON; charset=utf-8"
        )
      })
      const found = yield* items(
        registry.referrers(repository, subject, { artifactType: "A/B" })
      ).pipe(
        Effect.provide(
          Logger.replace(
            Logger.defaultLogger,
            Logger.make(({ message }) => void logged.push(String(message)))
          )
        )
      )
      expect(found).toEqual([other])
      expect(logged).toEqual([
        `The list of referrers of ${new URL(url).host}/team/app@${subject} has 2 entries that cannot be read, which are left out: manifests[0].size: expected a whole number from 0 to 2^53 - 1`
      ])
    })
  )

  it.scopedLive("shows no secret that it repeats, in a warning or an error (T13)", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const bad = { ...other, annotations: { hunter2hunter2: 7 } }
      const { url } = yield* keepingNone(subject, {
        [`GET /v2/team/app/referrers/${subject}`]: { status: 404 },
        [at("GET", byTag)]: withIndex(list([bad]))
      })
      const registry = yield* clientOf(url, { headers: { "x-key": "hunter2hunter2" } })
      const noting = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ message }) => void logged.push(String(message)))
      )
      yield* Effect.provide(items(registry.referrers(repository, subject)), noting)
      expect(logged.length).toBe(1)
      expect(logged.join()).not.toContain("hunter2")
      const error = yield* Effect.flip(registry.putManifest(repository, referrer, { tags: [tag] }))
      expect(error._tag).toBe("InvalidManifest")
      expect(error.message).not.toContain("hunter2")
    })
  )
})

describe("a list of referrers by the registry", () => {
  const subject = digestOf(subjectText)
  const list = `GET /v2/team/app/referrers/${subject}`
  const index = (mediaType?: string) =>
    JSON.stringify({ schemaVersion: 2, mediaType, manifests: [platform(1)] })

  it.scopedLive.each([
    ["any case", "APPLICATION/VND.OCI.IMAGE.INDEX.V1+JSON", index()],
    [
      "a generic type, and its own in the document",
      "application/json",
      index(MediaType.imageIndex)
    ],
    ["none, and its own in the document", undefined, index(MediaType.imageIndex)]
  ] as const)("is one with %s", ([, type, body]) =>
    Effect.gen(function* () {
      const headers = type === undefined ? {} : { "content-type": type }
      const { lines, registry } = yield* socketRegistry(() => ({ [list]: { headers, body } }))
      expect(yield* items(registry.referrers(repository, subject))).toEqual([platform(1)])
      expect(lines()).toEqual([list])
    })
  )

  it.scopedLive("that is broken is named in the error", () =>
    Effect.gen(function* () {
      const { registry, url } = yield* socketRegistry(() => ({
        [list]: withIndex('{"schemaVersion":1,"manifests":[]}')
      }))
      const error = yield* Effect.flip(items(registry.referrers(repository, subject)))
      expect([error._tag, error.message]).toEqual([
        "InvalidManifest",
        `the referrers of ${new URL(url).host}/team/app@${subject}: schemaVersion: expected 2`
      ])
    })
  )
})

describe("a manifest that repeats a secret where it is cut", () => {
  const key = "k3y-of-the-application-itself"
  const index = MediaType.imageIndex
  const cut: ReadonlyArray<readonly [name: string, reply: Reply]> = [
    ["at a semicolon", withIndex("{}", `a/b/${key.slice(0, 20)};${key.slice(20)}`)],
    ["in its type", withIndex("{}", `${"x".repeat(108)}${key}`)],
    ["in the type of its document", withIndex(`{"mediaType":"${"x".repeat(108)}${key}"}`, index)],
    [
      "in the name of an annotation",
      withIndex(
        `{"schemaVersion":2,"manifests":[],"annotations":{"${"x".repeat(44)}${key}":1}}`,
        index
      )
    ]
  ]
  it.scopedLive.each(cut)("shows nothing of it: %s", ([, reply]) =>
    Effect.gen(function* () {
      const { url } = yield* scriptOn(() => ({ [at("GET", tag)]: reply }))
      const registry = yield* clientOf(url, { headers: { "x-key": key } })
      const error = yield* Effect.flip(registry.getManifest(repository, tag))
      expect(`${error._tag} ${error.message} ${JSON.stringify(error)}`).toMatch(
        /^(?!.*k3y-).*REDACTED/s
      )
    })
  )
})

describe("headManifest and getManifest", () => {
  const text = `{"schemaVersion":2,"mediaType":"${MediaType.imageIndex}","manifests":[]}`
  const digest = digestOf(text)
  const full = { "docker-content-digest": digest, "content-length": String(text.length) }

  it.scopedLive.each([
    undefined,
    "application/json",
    "Application/JSON; charset=utf-8",
    "application/octet-stream",
    "binary/octet-stream",
    "text/plain"
  ])("agree on the media type where the registry sends %s", (type) =>
    Effect.gen(function* () {
      const headers = { ...full, ...(type !== undefined && { "content-type": type }) }
      const { lines, registry } = yield* socketRegistry(() => ({
        [at("HEAD", "v1")]: { headers },
        [at("GET", "v1")]: { headers, body: text }
      }))
      const head = yield* registry.headManifest(repository, tag)
      expect(head).toEqual(
        Option.some({ mediaType: MediaType.imageIndex, digest, size: text.length })
      )
      expect((yield* registry.getManifest(repository, tag)).descriptor).toEqual(
        Option.getOrThrow(head)
      )
      expect(lines()).toEqual([at("HEAD", "v1"), at("GET", "v1"), at("GET", "v1")])
    })
  )

  it.scopedLive("agree that a manifest without any type has none", () =>
    Effect.gen(function* () {
      const untyped = '{"schemaVersion":2,"manifests":[]}'
      const headers = { "docker-content-digest": digestOf(untyped) }
      const { registry, url } = yield* socketRegistry(() => ({
        [at("HEAD", "v1")]: { headers },
        [at("GET", "v1")]: { headers, body: untyped }
      }))
      const problem =
        "the type of the manifest is unknown: it has no mediaType and was sent without one"
      const name = `${new URL(url).host}/team/app:v1`
      const got = yield* Effect.flip(registry.getManifest(repository, tag))
      expect([got._tag, got.message]).toEqual(["InvalidManifest", `${name}: ${problem}`])
      const headed = yield* Effect.flip(registry.headManifest(repository, tag))
      expect(headed._tag).toBe("ProtocolViolation")
      expect(headed.message).toContain(`${name}: ${problem}`)
    })
  )

  it.scopedLive("name the manifest in an error of its content", () =>
    Effect.gen(function* () {
      const broken = '{"schemaVersion":2,"layers":[7],"config":7}'
      const { registry, url } = yield* socketRegistry(() => ({
        [at("GET", "v1")]: withIndex(broken, MediaType.imageManifest),
        [at("GET", digestOf(broken))]: withIndex(broken, MediaType.imageManifest),
        [at("GET", digest)]: withIndex(text, MediaType.imageManifest)
      }))
      const { host } = new URL(url)
      const byTag = yield* Effect.flip(registry.getManifest(repository, tag))
      expect(byTag.message).toBe(`${host}/team/app:v1: config: expected an object`)
      const byDigest = yield* Effect.flip(registry.getManifest(repository, digestOf(broken)))
      expect(byDigest).toMatchObject({
        _tag: "InvalidManifest",
        reason: "Shape",
        path: "config",
        manifest: `${host}/team/app@${digestOf(broken)}`
      })
      const mistyped = yield* Effect.flip(registry.getManifest(repository, digest))
      expect([mistyped._tag, mistyped.message]).toEqual([
        "MediaTypeMismatch",
        `${host}/team/app@${digest}: expected a manifest of type "${MediaType.imageManifest}", but it says that it is "${MediaType.imageIndex}"`
      ])
    })
  )
})
