/** Every request of a manifest that is put on a condition, at registries that heed it and not. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { PutManifestOptions } from "../../src/Registry.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { clientOf } from "../support/fake/Client.js"
import { inOrder, type Reply, status } from "../support/fake/Handler.js"
import { freshRepository, image, tag as parseTag, utf8 } from "../support/fixtures.js"
import { scripted } from "../support/scripted.js"
import { repository, tag } from "./world.js"

const m1 = Manifest.index({ manifests: [], annotations: { name: "m1" } })
const former = Digest.fromBytes(utf8("former"))
const third = Digest.fromBytes(utf8("third"))
const { digest } = m1.descriptor

const is = (digest: Digest.Digest): Reply =>
  status(200, null, {
    "content-type": m1.descriptor.mediaType,
    "content-length": "9",
    "docker-content-digest": digest
  })
const absent = status(404)
const put = status(201)
const refused: Reply = {
  status: 412,
  body: '{"errors":[{"code":"PRECONDITION_FAILED","message":"no"}]}'
}

const at = "/v2/team/app/manifests/v1"
const HEAD = `HEAD ${at}`

/** The requests with their conditions, and what came of them. */
const putting = Effect.fnUntraced(function* (
  replies: ReadonlyArray<Reply>,
  options: PutManifestOptions,
  manifest: Manifest.Manifest = m1
) {
  const wire: Array<string> = []
  const answer = inOrder(replies)
  const { registry } = yield* scripted((seen) => {
    const ifMatch = seen.headers["if-match"]
    const ifNoneMatch = seen.headers["if-none-match"]
    wire.push(
      seen.line +
        (ifMatch === undefined ? "" : ` If-Match: ${ifMatch}`) +
        (ifNoneMatch === undefined ? "" : ` If-None-Match: ${ifNoneMatch}`)
    )
    return answer(seen)
  })
  const result = yield* Effect.either(registry.putManifest(repository, manifest, options))
  return { wire, result: Either.map(result, (descriptor) => descriptor.digest) }
})

const PUT = {
  absent: `PUT ${at} If-None-Match: *`,
  former: `PUT ${at} If-Match: "${former}"`
}

interface Case {
  readonly name: string
  readonly expected: "absent" | "former"
  readonly replies: ReadonlyArray<Reply>
  readonly wire: ReadonlyArray<string>
  /** Nothing where it succeeds. */
  readonly failure?: object
}

const cases: ReadonlyArray<Case> = [
  {
    name: "a tag that is absent as expected",
    expected: "absent",
    replies: [absent, put, is(digest)],
    wire: [HEAD, PUT.absent, HEAD]
  },
  {
    name: "a tag that is what is expected",
    expected: "former",
    replies: [is(former), put, is(digest)],
    wire: [HEAD, PUT.former, HEAD]
  },
  {
    name: "a tag that is there",
    expected: "absent",
    replies: [is(third)],
    wire: [HEAD],
    failure: { reason: "Changed", expected: "absent", actual: third }
  },
  {
    name: "a tag that is there, and the manifest already",
    expected: "absent",
    replies: [is(digest)],
    wire: [HEAD],
    failure: { reason: "Changed", expected: "absent", actual: digest }
  },
  {
    name: "a tag that is not there",
    expected: "former",
    replies: [absent],
    wire: [HEAD],
    failure: { reason: "Changed", expected: former, actual: "absent" }
  },
  {
    name: "a tag that changes between, at a registry that heeds conditions",
    expected: "former",
    replies: [is(former), refused, is(third)],
    wire: [HEAD, PUT.former, HEAD],
    failure: { reason: "Changed", expected: former, actual: third, status: 412, method: "PUT" }
  },
  {
    name: "the same manifest of another writer between",
    expected: "absent",
    replies: [absent, refused, is(digest)],
    wire: [HEAD, PUT.absent, HEAD],
    failure: { reason: "Changed", actual: digest, status: 412 }
  },
  {
    name: "a refusal after which the tag cannot be read",
    expected: "absent",
    replies: [absent, refused, status(403)],
    wire: [HEAD, PUT.absent, HEAD],
    failure: { reason: "Changed", actual: undefined, status: 412 }
  },
  {
    name: "a refusal of a tag that reads as expected",
    expected: "former",
    replies: [is(former), refused, is(former)],
    wire: [HEAD, PUT.former, HEAD],
    failure: { reason: "Changed", actual: undefined, status: 412 }
  },
  {
    name: "another writer right after, at a registry that ignores conditions",
    expected: "former",
    replies: [is(former), put, is(third)],
    wire: [HEAD, PUT.former, HEAD],
    failure: { reason: "LostRace", expected: former, actual: third }
  },
  {
    name: "a tag that is gone right after",
    expected: "former",
    replies: [is(former), put, absent],
    wire: [HEAD, PUT.former, HEAD],
    failure: { reason: "LostRace", actual: "absent" }
  },
  {
    name: "a read that lags",
    expected: "former",
    replies: [is(former), put, is(former)],
    wire: [HEAD, PUT.former, HEAD],
    failure: { reason: "Unconfirmed", actual: former }
  },
  {
    name: "a read that lags and shows nothing",
    expected: "absent",
    replies: [absent, put, absent],
    wire: [HEAD, PUT.absent, HEAD],
    failure: { reason: "Unconfirmed", actual: "absent" }
  },
  {
    name: "a lost response to what was done",
    expected: "absent",
    replies: [absent, "cut", is(digest)],
    wire: [HEAD, PUT.absent, HEAD]
  },
  {
    name: "a lost response to what was not done",
    expected: "former",
    replies: [is(former), status(503), is(former), put, is(digest)],
    wire: [HEAD, PUT.former, HEAD, PUT.former, HEAD]
  },
  {
    name: "a lost response to what is done late",
    expected: "absent",
    replies: [absent, status(504), absent, refused, is(digest)],
    wire: [HEAD, PUT.absent, HEAD, PUT.absent, HEAD]
  },
  {
    name: "another writer after a lost response, who is not replaced",
    expected: "former",
    replies: [is(former), "cut", is(third)],
    wire: [HEAD, PUT.former, HEAD],
    failure: { reason: "LostRace", actual: third }
  },
  {
    name: "another writer while the registry limits the rate, so that nothing was put",
    expected: "former",
    replies: [is(former), status(429, null, { "retry-after": "0" }), is(third)],
    wire: [HEAD, PUT.former, HEAD],
    failure: { reason: "Changed", actual: third }
  },
  {
    name: "an error that stays",
    expected: "absent",
    replies: [absent, status(400, '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}')],
    wire: [HEAD, PUT.absent],
    failure: { _tag: "BlobUnknown" }
  }
]

describe("a put on a condition", () => {
  it.live.each(cases)("$name", ({ expected, failure, replies, wire }) =>
    Effect.gen(function* () {
      const condition = expected === "absent" ? expected : former
      const outcome = yield* putting(replies, { onlyIf: { tag, is: condition } })
      expect(outcome.wire).toEqual(wire)
      if (failure === undefined) expect(outcome.result).toEqual(Either.right(digest))
      else
        expect(outcome.result).toMatchObject({
          left: {
            ...("_tag" in failure ? {} : { _tag: "PreconditionFailed", tag: "v1" }),
            ...failure
          }
        })
    })
  )

  it.live("gives up on a registry that fails, having asked before each attempt", () =>
    Effect.gen(function* () {
      const attempt = [absent, status(503)]
      const { result, wire } = yield* putting(Array.from({ length: 9 }, () => attempt).flat(), {
        onlyIf: { tag, is: "absent" }
      })
      expect(result).toMatchObject({ left: { _tag: "RegistryFailure", status: 503 } })
      expect(wire).toEqual(Array.from({ length: 4 }, () => [HEAD, PUT.absent]).flat())
    })
  )

  it.live("puts other tags when the condition has held, and not before", () =>
    Effect.gen(function* () {
      const v2 = yield* parseTag("v2")
      const options = { tags: [v2, tag], onlyIf: { tag, is: "absent" } } as const
      const { result, wire } = yield* putting([absent, put, is(digest), put], options)
      expect(result).toEqual(Either.right(digest))
      expect(wire).toEqual([HEAD, PUT.absent, HEAD, "PUT /v2/team/app/manifests/v2"])
      const lost = yield* putting([absent, put, is(third)], options)
      expect(lost.wire).toEqual([HEAD, PUT.absent, HEAD])
    })
  )

  it.live("goes to the digest of another algorithm, whose tag is in the query (trap 32)", () =>
    Effect.gen(function* () {
      const sha512 = Digest.fromBytes(m1.bytes, "sha512")
      const manifest = yield* Manifest.fromBytes(m1.bytes, {
        mediaType: m1.descriptor.mediaType,
        digest: sha512
      })
      const options = { onlyIf: { tag, is: "absent" } } as const
      const put512 = `PUT /v2/team/app/manifests/${sha512}?tag=v1 If-None-Match: *`
      const tagged = status(201, null, { "oci-tag": "v1" })
      const taken = yield* putting([absent, tagged, is(sha512)], options, manifest)
      expect(taken.wire).toEqual([HEAD, put512, HEAD])
      expect(taken.result).toEqual(Either.right(sha512))
      // A registry that knows no tags in a query, and names the same bytes by sha256.
      const other = yield* putting([absent, put, put, is(digest)], options, manifest)
      expect(other.wire).toEqual([HEAD, put512, PUT.absent, HEAD])
      expect(other.result).toEqual(Either.right(sha512))
    })
  )

  it.live("is an ordinary refusal where a 412 answers no condition", () =>
    Effect.gen(function* () {
      const { result } = yield* putting([refused], { tags: [tag] })
      expect(result).toMatchObject({ left: { _tag: "RegistryFailure", status: 412 } })
    })
  )
})

describeDebian("at Debian's docker-registry, which ignores conditions", () => {
  it.scopedLive("a put finds out by asking what became of the tag", () =>
    Effect.gen(function* () {
      const { url } = yield* DebianRegistry
      const registry = yield* clientOf(url)
      const repository = yield* freshRepository
      const images = yield* Effect.all([
        image(registry, repository, "m1"),
        image(registry, repository, "m2")
      ])
      const [first, second] = images
      const onlyIf = { tag, is: "absent" } as const
      yield* registry.putManifest(repository, first, { onlyIf })
      expect(
        yield* Effect.flip(registry.putManifest(repository, second, { onlyIf }))
      ).toMatchObject({ reason: "Changed", actual: first.descriptor.digest })
      const moved = { onlyIf: { tag, is: first.descriptor.digest } }
      yield* registry.putManifest(repository, second, moved)
      expect((yield* registry.getManifest(repository, tag)).descriptor).toEqual(second.descriptor)
    }).pipe(Effect.provide(layerDebianRegistry))
  )
})
