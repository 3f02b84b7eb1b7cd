/**
 * What the conformance suite of the distribution specification (its main branch) asks of a
 * registry, request by request: every way to push a blob with both algorithms, and every kind of
 * manifest pushed, listed, read, referred to and deleted.
 */
import { randomBytes } from "node:crypto"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { webHandler } from "../support/server.js"
import { type Answer, type Send, type Sent, sender, sha256, sha512 } from "./wire.js"

type Algorithm = (content: Uint8Array | string) => string

const algorithms: ReadonlyArray<readonly [name: string, digest: Algorithm]> = [
  ["sha256", sha256],
  ["sha512", sha512]
]

const served = <A>(test: (send: Send) => Effect.Effect<A>, options?: MemoryRegistry.Options) =>
  Effect.flatMap(webHandler(), (handler) => test(sender(handler))).pipe(
    Effect.provide(MemoryRegistry.layer(options))
  )

const uploads = "/v2/repo1/blobs/uploads/"

/** Bytes as `sender` gives them back: it decodes bodies as text. */
const bytes = (size: number) => randomBytes(size).toString("hex").slice(0, size)

/** Appends as clients do that parse and write the query anew. */
const withDigest = (location: string, digest: string) =>
  `${location}${location.includes("?") ? "&" : "?"}${new URLSearchParams({ digest })}`

const locationOf = ({ headers }: Answer) => headers["location"] ?? ""

const chunk = (content: string, start: number, end: number): Sent => ({
  body: content.slice(start, end + 1),
  headers: {
    "content-length": String(end - start + 1),
    "content-range": `${start}-${end}`
  }
})

const whole = (content: string): Sent => ({
  body: content,
  headers: { "content-length": String(content.length) }
})

const open = (send: Send) =>
  Effect.map(send("POST", uploads, { headers: { "content-length": "0" } }), (answer) => {
    expect(answer.status).toBe(202)
    return locationOf(answer)
  })

/** Pushes in three chunks, the last of which may be in the closing PUT. */
const chunked = (outOfOrder: boolean, putLast: boolean) =>
  Effect.fnUntraced(function* (send: Send, content: string, digest: string) {
    let location = yield* open(send)
    const size = Math.ceil(content.length / 3)
    for (let start = 0; start < content.length; start += size) {
      const end = Math.min(start + size, content.length) - 1
      const isLast = end === content.length - 1
      if (outOfOrder) {
        const wrong = start + size < content.length ? start + size : 0
        const wrongEnd = Math.min(wrong + size, content.length) - 1
        const put = putLast && wrongEnd === content.length - 1
        const at = put ? withDigest(location, digest) : location
        const refused = yield* send(put ? "PUT" : "PATCH", at, chunk(content, wrong, wrongEnd))
        expect(refused.status).toBe(416)
        // The suite asks at the very URL that it failed at.
        const status = yield* send("GET", at)
        expect(status.status).toBe(204)
        expect(status.headers["range"]).toBe(`0-${Math.max(0, start - 1)}`)
        location = locationOf(status)
      }
      if (putLast && isLast)
        return yield* send("PUT", withDigest(location, digest), chunk(content, start, end))
      const patched = yield* send("PATCH", location, chunk(content, start, end))
      expect([patched.status, patched.headers["range"]]).toEqual([202, `0-${end}`])
      location = locationOf(patched)
    }
    return yield* send("PUT", withDigest(location, digest), {
      headers: { "content-length": "0" }
    })
  })

type Push = (send: Send, content: string, digest: string) => Effect.Effect<Answer>

const pushes: Readonly<Record<string, Push>> = {
  "post only": (send, content, digest) => send("POST", withDigest(uploads, digest), whole(content)),
  "post and put": (send, content, digest) =>
    Effect.flatMap(open(send), (location) =>
      send("PUT", withDigest(location, digest), whole(content))
    ),
  stream: Effect.fnUntraced(function* (send, content, digest) {
    const patched = yield* send("PATCH", yield* open(send), { body: new Blob([content]).stream() })
    expect(patched.status).toBe(202)
    return yield* send("PUT", withDigest(locationOf(patched), digest), {
      headers: { "content-length": "0" }
    })
  }),
  chunked: chunked(false, false),
  "chunked, the last in the put": chunked(false, true),
  "chunked, out of order": chunked(true, false),
  "chunked, out of order, the last in the put": chunked(true, true)
}

/** What has to be there after a push, and not after a delete. */
const verifyBlob = Effect.fnUntraced(function* (send: Send, content: string, digest: string) {
  const path = `/v2/repo1/blobs/${digest}`
  const size = String(content.length)
  for (const [method, body] of [
    ["HEAD", ""],
    ["GET", content]
  ] as const) {
    const answer = yield* send(method, path)
    expect([answer.status, answer.body]).toEqual([200, body])
    expect(answer.headers["content-length"]).toBe(size)
    expect(answer.headers["docker-content-digest"]).toBe(digest)
  }
  expect((yield* send("DELETE", path)).status).toBe(202)
  expect((yield* send("HEAD", path)).status).toBe(404)
})

describe.each(algorithms)("blobs by %s", (_, digestOf) => {
  it.scoped.each(Object.entries(pushes))("%s", ([, push]) =>
    served((send) =>
      Effect.gen(function* () {
        for (const content of [bytes(3067), "{}"]) {
          const digest = digestOf(content)
          const pushed = yield* push(send, content, digest)
          expect(pushed.status).toBe(201)
          expect(pushed.headers["docker-content-digest"]).toBe(digest)
          expect((yield* send("GET", locationOf(pushed))).body).toBe(content)
          yield* verifyBlob(send, content, digest)
        }
      })
    )
  )

  it.scoped.each([
    "post only",
    "post and put",
    "chunked",
    "chunked, the last in the put",
    "stream"
  ])("%s with another digest is exactly 400", (name) =>
    served((send) =>
      Effect.gen(function* () {
        const content = bytes(3067)
        const digest = digestOf(content)
        const refused = yield* pushes[name]?.(send, `${content}oh no`, digest) ??
          Effect.dieMessage(name)
        expect(refused.status).toBe(400)
        expect((yield* send("HEAD", `/v2/repo1/blobs/${digest}`)).status).toBe(404)
      })
    )
  )

  it.scoped("the empty blob", () =>
    served((send) =>
      Effect.gen(function* () {
        for (const name of ["post only", "post and put"]) {
          const digest = digestOf("")
          const pushed = yield* pushes[name]?.(send, "", digest) ?? Effect.dieMessage(name)
          expect(pushed.status).toBe(201)
          yield* verifyBlob(send, "", digest)
        }
      })
    )
  )

  it.scoped("mounts, with and without from, and not what is missing", () =>
    served((send) =>
      Effect.gen(function* () {
        const content = bytes(512)
        const digest = digestOf(content)
        const mount = (query: Record<string, string>) =>
          send("POST", `${uploads}?${new URLSearchParams(query)}`)
        const missing = yield* mount({ mount: digest, from: "repo2" })
        expect(missing.status).toBe(202)
        expect((yield* send("DELETE", locationOf(missing))).status).toBe(204)
        yield* send("POST", withDigest("/v2/repo2/blobs/uploads/", digest), whole(content))
        const from: ReadonlyArray<Record<string, string>> = [{ from: "repo2" }, {}]
        for (const query of from) {
          const mounted = yield* mount({ mount: digest, ...query })
          expect(mounted.status).toBe(201)
          expect((yield* send("GET", locationOf(mounted))).body).toBe(content)
          yield* verifyBlob(send, content, digest)
          expect((yield* send("HEAD", `/v2/repo2/blobs/${digest}`)).status).toBe(200)
        }
      })
    )
  )

  it.scoped.each([
    ["bytes=500-1499", 206, 500, 1499],
    ["bytes=500-", 206, 500, 2047],
    ["bytes=-500", 206, 1548, 2047],
    ["bytes=2000-5000", 206, 2000, 2047],
    ["bytes=500-0", 416, 0, 0],
    ["bytes=5000-10000", 416, 0, 0]
  ] as const)("Range: %s is a %d", ([range, status, start, end]) =>
    served((send) =>
      Effect.gen(function* () {
        const content = bytes(2048)
        const digest = digestOf(content)
        yield* send("POST", withDigest(uploads, digest), whole(content))
        const answer = yield* send("GET", `/v2/repo1/blobs/${digest}`, { headers: { range } })
        expect(answer.status).toBe(status)
        if (status === 416) return
        expect(answer.body).toBe(content.slice(start, end + 1))
        expect(answer.headers["content-length"]).toBe(String(end - start + 1))
        expect(answer.headers["content-range"]).toBe(`bytes ${start}-${end}/2048`)
      })
    )
  )
})

// -----------------------------------------------------------------------------
// Manifests
// -----------------------------------------------------------------------------

const imageType = "application/vnd.oci.image.manifest.v1+json"
const indexType = "application/vnd.oci.image.index.v1+json"
const example = "application/vnd.example.oci.conformance.v1"

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly data?: string
}

/** What a set of data has: blobs, and manifests in the order of their push. */
class Data {
  readonly blobs: Array<string> = []
  readonly manifests: Array<{ readonly text: string; readonly mediaType: string }> = []

  constructor(
    readonly digestOf: Algorithm = sha256,
    readonly extra: object = {},
    readonly withData = false
  ) {}

  descriptor(text: string, mediaType: string): Descriptor {
    return {
      mediaType,
      digest: this.digestOf(text),
      size: Buffer.byteLength(text),
      ...(this.withData && { data: Buffer.from(text).toString("base64") })
    }
  }

  blob(text = bytes(256), mediaType = "application/vnd.oci.image.layer.v1.tar+gzip"): Descriptor {
    this.blobs.push(text)
    return this.descriptor(text, mediaType)
  }

  manifest(mediaType: string, fields: object): Descriptor {
    const text = JSON.stringify({ schemaVersion: 2, mediaType, ...fields, ...this.extra })
    this.manifests.push({ text, mediaType })
    return this.descriptor(text, mediaType)
  }

  image(fields: object = {}): Descriptor {
    return this.manifest(imageType, {
      config: this.blob(
        JSON.stringify({ rootfs: { type: "layers", diff_ids: [sha256("")] } }) + " ".repeat(3),
        "application/vnd.oci.image.config.v1+json"
      ),
      layers: [this.blob(), this.blob()],
      ...fields
    })
  }

  artifact(fields: object = {}): Descriptor {
    return this.manifest(imageType, {
      artifactType: example,
      config: this.blob("{}", "application/vnd.oci.empty.v1+json"),
      layers: [this.blob(bytes(256), example)],
      ...fields
    })
  }

  index(fields: object = {}): Descriptor {
    return this.manifest(indexType, {
      manifests: [
        { ...this.image(), platform: { os: "linux", architecture: "amd64" } },
        { ...this.image(), platform: { os: "linux", architecture: "arm64" } }
      ],
      ...fields
    })
  }
}

const annotations = { "org.opencontainers.conformance": "hello conformance test" }

const data: Readonly<Record<string, () => Data>> = {
  image: () => of((it) => it.image()),
  "a large manifest": () =>
    of((it) =>
      it.image({
        annotations: Object.fromEntries(
          Array.from({ length: 390 }, (_, n) => [`large-annotation-${n}`, "A".repeat(10_000)])
        )
      })
    ),
  index: () => of((it) => it.index()),
  "index of indexes": () => of((it) => it.index({ manifests: [it.index(), it.index()] })),
  "empty index": () => of((it) => it.manifest(indexType, { manifests: [] })),
  artifact: () => of((it) => it.artifact()),
  "artifact index": () => of((it) => it.index({ artifactType: example })),
  "artifact without layers": () =>
    of((it) => it.artifact({ layers: [it.descriptor("{}", "application/vnd.oci.empty.v1+json")] })),
  "artifacts with subject": () =>
    of((it) => {
      const subject = it.image()
      it.image({ subject })
      it.artifact({ subject, annotations })
      it.artifact({ subject, annotations, artifactType: `${example}+json` })
    }),
  "index with subject": () =>
    of((it) => {
      const subject = it.index()
      it.index({ subject, artifactType: example, annotations })
      it.index({ subject })
    }),
  "missing subject": () =>
    of((it) =>
      it.artifact({
        annotations,
        subject: { mediaType: imageType, digest: sha256("missing content"), size: 123 }
      })
    ),
  "data fields": () => of((it) => it.image(), new Data(sha256, {}, true)),
  "layers that are not to be distributed": () =>
    of((it) =>
      it.image({
        layers: ["tar+gzip", "tar"].map((kind) => ({
          mediaType: `application/vnd.oci.image.layer.nondistributable.v1.${kind}`,
          digest: sha256(kind),
          size: 123456,
          urls: ["https://store.example.com/blobs/b1"]
        }))
      })
    ),
  "fields of its own": () =>
    of((it) => it.index(), new Data(sha256, { "org.example": { a: [1] } })),
  "no layers": () => of((it) => it.image({ layers: [] })),
  sha512: () => of((it) => it.index(), new Data(sha512))
}

const of = (make: (data: Data) => unknown, data = new Data()): Data => {
  make(data)
  return data
}

interface Parsed {
  readonly artifactType?: string
  readonly config?: Descriptor
  readonly subject?: Descriptor
  readonly annotations?: object
}

const pushBlobs = (send: Send, { blobs, digestOf }: Data) =>
  Effect.forEach(blobs, (blob) =>
    Effect.map(send("POST", withDigest(uploads, digestOf(blob)), whole(blob)), ({ status }) =>
      expect(status).toBe(201)
    )
  )

const put = (send: Send, reference: string, text: string, mediaType: string) =>
  send("PUT", `/v2/repo1/manifests/${reference}`, {
    body: text,
    headers: { "content-type": mediaType }
  })

const verifyManifest = Effect.fnUntraced(function* (
  send: Send,
  reference: string,
  { mediaType, text }: { readonly text: string; readonly mediaType: string },
  digest: string
) {
  for (const method of ["GET", "HEAD"]) {
    const answer = yield* send(method, `/v2/repo1/manifests/${reference}`)
    expect([answer.status, answer.body]).toEqual([200, method === "GET" ? text : ""])
    expect(answer.headers).toMatchObject({
      "content-type": mediaType,
      "content-length": String(Buffer.byteLength(text)),
      "docker-content-digest": digest
    })
  }
})

/** The entry that a manifest has in the referrers of its subject (R35). */
const entryOf = ({ descriptor }: Data, text: string, mediaType: string) => {
  const { annotations, artifactType, config }: Parsed = JSON.parse(text)
  const type = artifactType ?? config?.mediaType
  const { digest, size } = descriptor.call(new Data(), text, mediaType)
  return {
    mediaType,
    digest,
    size,
    ...(type !== undefined && { artifactType: type }),
    ...(annotations !== undefined && { annotations })
  }
}

const verifyReferrers = Effect.fnUntraced(function* (send: Send, data: Data) {
  const referrers = data.manifests.flatMap(({ mediaType, text }) => {
    const { subject }: Parsed = JSON.parse(text)
    return subject === undefined ? [] : [{ subject, entry: entryOf(data, text, mediaType) }]
  })
  for (const { entry, subject } of referrers) {
    const path = `/v2/repo1/referrers/${subject.digest}`
    const all = yield* send("GET", path)
    expect([all.status, all.headers["content-type"]]).toEqual([200, indexType])
    expect(JSON.parse(all.body).manifests).toContainEqual(entry)
    if (entry.artifactType === undefined) continue
    const query = new URLSearchParams({ artifactType: entry.artifactType })
    const filtered = yield* send("GET", `${path}?${query}`)
    expect(filtered.headers["oci-filters-applied"]).toBe("artifactType")
    expect(new Set(JSON.parse(filtered.body).manifests.map(typeOf))).toEqual(
      new Set([entry.artifactType])
    )
    expect(JSON.parse(filtered.body).manifests).toContainEqual(entry)
  }
})

const typeOf = ({ artifactType }: { readonly artifactType?: string }) => artifactType

const verifyData = (make: () => Data) => (send: Send) =>
  Effect.gen(function* () {
    const all = make()
    yield* pushBlobs(send, all)
    const tags: Array<string> = []
    for (const manifest of all.manifests) {
      const digest = all.digestOf(manifest.text)
      const { subject }: Parsed = JSON.parse(manifest.text)
      const tag = `tag${tags.length}`
      const tagged = all.digestOf === sha256 ? [tag] : []
      for (const reference of [digest, ...tagged]) {
        const pushed = yield* put(send, reference, manifest.text, manifest.mediaType)
        expect(pushed.status).toBe(201)
        expect(pushed.headers["docker-content-digest"]).toBe(digest)
        expect(pushed.headers["oci-subject"]).toBe(subject?.digest)
        expect((yield* send("GET", locationOf(pushed))).body).toBe(manifest.text)
        yield* verifyManifest(send, reference, manifest, digest)
      }
      tags.push(...tagged)
    }
    const list = yield* send("GET", "/v2/repo1/tags/list")
    expect(JSON.parse(list.body)).toEqual({ name: "repo1", tags: tags.toSorted() })
    yield* verifyReferrers(send, all)
    for (const tag of tags) {
      expect((yield* send("DELETE", `/v2/repo1/manifests/${tag}`)).status).toBe(202)
      expect((yield* send("HEAD", `/v2/repo1/manifests/${tag}`)).status).toBe(404)
    }
    for (const { text } of all.manifests.toReversed()) {
      const path = `/v2/repo1/manifests/${all.digestOf(text)}`
      expect((yield* send("DELETE", path)).status).toBe(202)
      expect((yield* send("GET", path)).status).toBe(404)
    }
    for (const blob of new Set(all.blobs)) {
      const path = `/v2/repo1/blobs/${all.digestOf(blob)}`
      expect((yield* send("DELETE", path)).status).toBe(202)
      expect((yield* send("HEAD", path)).status).toBe(404)
    }
  })

describe("manifests", () => {
  it.scoped.each(Object.entries(data))("%s", ([, make]) => served(verifyData(make)))

  it.scoped.each(algorithms)("tags as parameters, by %s", ([, digestOf]) =>
    served((send) =>
      Effect.gen(function* () {
        const all = of((it) => it.index(), new Data(digestOf))
        yield* pushBlobs(send, all)
        for (const [at, manifest] of all.manifests.entries()) {
          const digest = digestOf(manifest.text)
          const pushed = yield* put(
            send,
            `${digest}?tag=a${at}&tag=b${at}`,
            manifest.text,
            manifest.mediaType
          )
          expect([pushed.status, pushed.headers["oci-tag"]]).toEqual([201, `a${at}, b${at}`])
          for (const tag of [`a${at}`, `b${at}`]) yield* verifyManifest(send, tag, manifest, digest)
        }
      })
    )
  )

  it.scoped("sparse ones, where that is allowed", () =>
    served(
      (send) =>
        Effect.gen(function* () {
          const all = of((it) => it.index())
          yield* pushBlobs(send, { ...all, blobs: all.blobs.slice(1) } as Data)
          const index = all.manifests.at(-1) ?? { text: "", mediaType: "" }
          const image = all.manifests[0] ?? index
          for (const manifest of [image, index]) {
            expect((yield* put(send, "sparse", manifest.text, manifest.mediaType)).status).toBe(201)
            yield* verifyManifest(send, "sparse", manifest, sha256(manifest.text))
          }
        }),
      { missingReferences: "accept" }
    )
  )

  it.scoped("with another digest, or one that is malformed, are exactly 400", () =>
    served((send) =>
      Effect.gen(function* () {
        const all = of((it) => it.image())
        yield* pushBlobs(send, all)
        const [{ mediaType, text } = { text: "", mediaType: "" }] = all.manifests
        expect((yield* put(send, sha256(text), `${text}  `, mediaType)).status).toBe(400)
        expect((yield* put(send, "sha256:baddigeststring", text, mediaType)).status).toBe(400)
        expect((yield* send("GET", "/v2/repo1/manifests/sha256:baddigeststring")).status).toBe(400)
        expect((yield* send("GET", `/v2/repo1/manifests/${sha256("")}`)).status).toBe(404)
        expect((yield* send("GET", "/v2/repo1/manifests/missing")).status).toBe(404)
      })
    )
  )

  it.scoped("listed under the referrers tag by older clients are listed as referrers (R45)", () =>
    served((send) =>
      Effect.gen(function* () {
        const all = of((it) => it.artifact({ subject: it.image() }))
        yield* pushBlobs(send, all)
        const [image, artifact] = all.manifests
        if (image === undefined || artifact === undefined) return yield* Effect.dieMessage("none")
        for (const { mediaType, text } of all.manifests)
          yield* put(send, sha256(text), text, mediaType)
        const entry = entryOf(all, artifact.text, artifact.mediaType)
        yield* put(
          send,
          sha256(image.text).replace(":", "-"),
          JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [entry] }),
          indexType
        )
        const { body } = yield* send("GET", `/v2/repo1/referrers/${sha256(image.text)}`)
        expect(JSON.parse(body).manifests).toEqual([entry])
      })
    )
  )
})
