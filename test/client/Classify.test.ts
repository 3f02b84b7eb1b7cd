import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import type { RateLimit } from "../../src/client/RegistryClient.js"
import type { Registry, UploadSession } from "../../src/Registry.js"
import { gather, items } from "../support/fixtures.js"
import { knownManifest, m1Digest, registryUrl, repository, status, tag, world } from "./world.js"

const once = { retry: { attempts: 0 } }
const errors = (...codes: ReadonlyArray<string>) =>
  JSON.stringify({ errors: codes.map((code) => ({ code })) })

/** A step of a session whose opening went well. */
const step =
  <E>(use: (session: UploadSession) => Effect.Effect<unknown, E>) =>
  (registry: Registry.Service) =>
    Effect.scoped(Effect.flatMap(registry.startUpload(repository), use))

const isStep = (operation: string) => /^(write|status|commit)/.test(operation)

const operations = {
  ping: (registry: Registry.Service) => registry.ping,
  getManifest: (registry: Registry.Service) => registry.getManifest(repository, tag),
  headManifest: (registry: Registry.Service) => registry.headManifest(repository, tag),
  putManifest: (registry: Registry.Service) =>
    Effect.flatMap(knownManifest, (manifest) =>
      registry.putManifest(repository, manifest, { tags: [tag] })
    ),
  deleteTag: (registry: Registry.Service) => registry.deleteTag(repository, tag),
  getBlob: (registry: Registry.Service) => gather(registry.getBlob(repository, m1Digest)),
  headBlob: (registry: Registry.Service) => registry.headBlob(repository, m1Digest),
  deleteBlob: (registry: Registry.Service) => registry.deleteBlob(repository, m1Digest),
  startUpload: (registry: Registry.Service) => Effect.scoped(registry.startUpload(repository)),
  writeUpload: step((session) => session.write(new Uint8Array([1]))),
  statusUpload: step((session) => session.status),
  commitUpload: step((session) => session.commit(m1Digest)),
  tags: (registry: Registry.Service) => items(registry.tags(repository)),
  repositories: (registry: Registry.Service) => items(registry.repositories())
}

/** Operation, status and body, and the tag of the error that they make. */
const meanings: ReadonlyArray<readonly [keyof typeof operations, number, string, string]> = [
  ["ping", 404, "", "Unsupported"],
  ["ping", 403, errors("DENIED"), "Denied"],
  ["getManifest", 404, "", "ManifestUnknown"],
  ["getManifest", 404, errors("MANIFEST_UNKNOWN"), "ManifestUnknown"],
  ["getManifest", 404, errors("NAME_UNKNOWN"), "NameUnknown"],
  ["getManifest", 404, errors("UNKNOWN"), "ManifestUnknown"],
  ["getManifest", 404, "<html>not found</html>", "ManifestUnknown"],
  ["getManifest", 405, errors("METHOD NOT ALLOWED"), "RegistryFailure"],
  ["getManifest", 403, errors("DENIED"), "Denied"],
  ["getManifest", 400, errors("DENIED"), "Denied"],
  ["getManifest", 429, "You have reached your pull rate limit", "TooManyRequests"],
  ["getManifest", 400, errors("TOOMANYREQUESTS"), "TooManyRequests"],
  ["getManifest", 403, errors("TOOMANYREQUESTS"), "TooManyRequests"],
  ["getManifest", 500, errors("UNKNOWN"), "RegistryFailure"],
  ["getManifest", 204, "", "RegistryFailure"],
  // A code of the registry's counts besides its status, at any 4xx but those that mean something
  // by themselves.
  ["getManifest", 400, errors("MANIFEST_UNKNOWN"), "ManifestUnknown"],
  ["getManifest", 410, errors("NAME_UNKNOWN"), "NameUnknown"],
  ["getManifest", 403, errors("MANIFEST_UNKNOWN"), "Denied"],
  ["getManifest", 429, errors("MANIFEST_UNKNOWN"), "TooManyRequests"],
  ["getManifest", 500, errors("MANIFEST_UNKNOWN"), "RegistryFailure"],
  ["getBlob", 400, errors("BLOB_UNKNOWN"), "BlobUnknown"],
  ["getBlob", 422, errors("UNKNOWN", "NAME_UNKNOWN"), "NameUnknown"],
  ["putManifest", 400, errors("NAME_UNKNOWN"), "NameUnknown"],
  ["deleteTag", 400, errors("MANIFEST_UNKNOWN"), "ManifestUnknown"],
  ["deleteTag", 403, errors("UNSUPPORTED"), "Denied"],
  ["deleteBlob", 400, errors("BLOB_UNKNOWN"), "BlobUnknown"],
  ["startUpload", 400, errors("NAME_UNKNOWN"), "NameUnknown"],
  ["startUpload", 400, errors("UNSUPPORTED"), "Unsupported"],
  ["writeUpload", 400, errors("BLOB_UPLOAD_UNKNOWN"), "UploadUnknown"], // olareg
  ["writeUpload", 400, errors("RANGE_INVALID"), "RangeMismatch"],
  ["writeUpload", 400, errors("BLOB_UPLOAD_INVALID"), "RegistryFailure"],
  ["statusUpload", 400, errors("BLOB_UPLOAD_UNKNOWN"), "UploadUnknown"],
  ["statusUpload", 404, errors("BLOB_UPLOAD_INVALID"), "UploadUnknown"], // C55
  ["statusUpload", 403, errors("BLOB_UPLOAD_UNKNOWN"), "Denied"],
  ["commitUpload", 400, errors("BLOB_UPLOAD_UNKNOWN"), "UploadUnknown"],
  ["commitUpload", 400, errors("DIGEST_INVALID"), "DigestMismatch"],
  ["tags", 400, errors("NAME_UNKNOWN"), "NameUnknown"],
  ["getBlob", 404, errors("BLOB_UNKNOWN"), "BlobUnknown"],
  ["getBlob", 404, errors("NAME_UNKNOWN"), "NameUnknown"],
  ["getBlob", 400, "Content type could not be determined", "RegistryFailure"],
  ["headBlob", 405, "", "RegistryFailure"],
  ["putManifest", 404, errors("NAME_UNKNOWN"), "NameUnknown"],
  ["putManifest", 404, errors("MANIFEST_BLOB_UNKNOWN"), "BlobUnknown"],
  ["putManifest", 400, errors("MANIFEST_BLOB_UNKNOWN"), "BlobUnknown"],
  ["putManifest", 415, "", "RegistryFailure"],
  ["putManifest", 413, errors("TOO_MANY_TAGS"), "RegistryFailure"],
  ["deleteTag", 404, errors("MANIFEST_UNKNOWN"), "ManifestUnknown"],
  ["deleteBlob", 404, errors("BLOB_UNKNOWN"), "BlobUnknown"],
  ["startUpload", 404, errors("NAME_UNKNOWN"), "NameUnknown"],
  ["startUpload", 405, "", "Unsupported"],
  ["startUpload", 403, errors("DENIED"), "Denied"],
  ["tags", 404, errors("NAME_UNKNOWN"), "NameUnknown"],
  ["tags", 404, "", "NameUnknown"],
  ["repositories", 404, errors("NAME_UNKNOWN"), "Unsupported"],
  ["repositories", 405, "", "Unsupported"],
  ["repositories", 501, "", "Unsupported"],
  ["repositories", 403, errors("DENIED"), "Denied"]
]

describe("an answer that is no success", () => {
  it.effect.each(meanings)("%s, %i, %s: %s", ([operation, code, body, expected]) =>
    Effect.gen(function* () {
      const { registry } = yield* world(
        {
          [registryUrl]: ({ method }) =>
            method === "POST" && isStep(operation)
              ? status(202, null, { location: "/u/1" })
              : status(code, code === 204 ? null : body)
        },
        once
      )
      const failing: Effect.Effect<unknown, { readonly _tag: string }> =
        operations[operation](registry)
      expect(yield* Effect.flip(failing)).toMatchObject({ _tag: expected, status: code })
    })
  )

  const bodies: ReadonlyArray<
    readonly [name: string, body: string | Uint8Array, codes: ReadonlyArray<string>, says: string]
  > = [
    [
      "the specification's list",
      '{"errors":[{"code":"SIZE_INVALID","message":"too small","detail":{"a":1}}]}',
      ["SIZE_INVALID"],
      "too small"
    ],
    ["HTML", "<html><body><h1>502 Bad Gateway</h1></body></html>", [], "502 Bad Gateway"],
    ["text", "something\r\nbroke\u0007", [], "something broke"],
    ["nothing", "", [], "its log, or that of a proxy before it, says why"],
    ["invalid UTF-8", new Uint8Array([0xff, 0xfe, 0x41]), [], "A"],
    ["a megabyte", "y".repeat(1024 * 1024), [], "yyyy"]
  ]
  it.effect.each(bodies)("tells what it can of %s (rule 17)", ([, body, codes, says]) =>
    Effect.gen(function* () {
      const { registry } = yield* world({ [registryUrl]: () => status(418, body) })
      const error = yield* Effect.flip(registry.getManifest(repository, tag))
      expect(error._tag).toBe("RegistryFailure")
      expect("errors" in error ? error.errors?.map(({ code }) => code) : undefined).toEqual(codes)
      expect(error.message).toContain(says)
      expect(error.message).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u)
      expect(error.message.length).toBeLessThan(2048)
    })
  )

  it.effect("of passing trouble says how long it lasts (C104)", () =>
    Effect.gen(function* () {
      const { registry } = yield* world(
        { [registryUrl]: () => status(503, null, { "retry-after": "7" }) },
        once
      )
      expect(yield* Effect.flip(registry.getManifest(repository, tag))).toMatchObject({
        _tag: "RegistryFailure",
        retryAfter: 7000
      })
    })
  )

  it.effect("of storage behind a redirect does not say with a code what the blob is", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () => status(307, null, { location: "https://s3.example/b" }),
        "https://s3.example": () => status(400, errors("BLOB_UNKNOWN"))
      })
      expect(yield* Effect.flip(gather(registry.getBlob(repository, m1Digest)))).toMatchObject({
        _tag: "RegistryFailure",
        status: 400
      })
    })
  )

  it.effect.each([
    ["DENIED", 403],
    ["DENIED", 400],
    ["UNAUTHORIZED", 401],
    ["TOOMANYREQUESTS", 400],
    ["UNSUPPORTED", 400],
    ["NAME_UNKNOWN", 400],
    ["BLOB_UNKNOWN", 410],
    ["DIGEST_INVALID", 400]
  ] as const)(
    "of storage that says %s (%i) is not the registry's, wherever a redirect leads",
    ([code, answered]) =>
      Effect.gen(function* () {
        const { registry } = yield* world(
          {
            [registryUrl]: () => status(307, null, { location: "https://s3.example/x" }),
            "https://s3.example": () => status(answered, errors(code))
          },
          { ...once, trust: { allowStorage: ["s3.example"] } }
        )
        const all: Readonly<
          Record<
            string,
            (to: Registry.Service) => Effect.Effect<unknown, { readonly _tag: string }>
          >
        > = operations
        for (const [name, operation] of Object.entries(all)) {
          const error = yield* Effect.flip(operation(registry))
          const { errors = [] } = error as { readonly errors?: ReadonlyArray<{ code: string }> }
          // What it said is shown, and decides nothing.
          if (name !== "headBlob" && name !== "headManifest") expect(errors[0]?.code).toBe(code)
          expect(["RegistryFailure", "Unsupported"]).toContain(error._tag)
        }
      })
  )

  it.effect("of storage behind a redirect says nothing of the caller's rights", () =>
    Effect.gen(function* () {
      const { registry } = yield* world({
        [registryUrl]: () =>
          status(307, null, { location: "https://s3.example/b?X-Amz-Signature=secret" }),
        "https://s3.example": () => status(403, "<Error><Code>AccessDenied</Code></Error>")
      })
      const error = yield* Effect.flip(gather(registry.getBlob(repository, m1Digest)))
      expect(error).toMatchObject({
        _tag: "RegistryFailure",
        status: 403,
        errors: [{ code: "AccessDenied" }]
      })
      expect(JSON.stringify(error) + error.message).not.toContain("secret")
    })
  )
})

const said = (remaining: number) => ({ limit: 100, remaining, window: Option.none() })

describe("rate limits", () => {
  it.effect.each([
    ["neither field", {}, []],
    ["one of them", { "ratelimit-limit": "100" }, []],
    ["the other", { "ratelimit-remaining": "100" }, []],
    ["no numbers", { "ratelimit-limit": "many", "ratelimit-remaining": "1" }, []],
    // An empty value is not known, and not zero (CP26).
    ["no number", { "ratelimit-limit": "100", "ratelimit-remaining": ";w=21600" }, []],
    ["no window", { "ratelimit-limit": "100", "ratelimit-remaining": "1" }, [said(1)]],
    [
      "a window",
      { "ratelimit-limit": "100;w=60", "ratelimit-remaining": "1;w=60" },
      [{ ...said(1), window: Option.some(Duration.minutes(1)) }]
    ],
    [
      "seconds until the reset",
      { "x-ratelimit-limit": "100", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "30" },
      [{ ...said(0), reset: Duration.seconds(30) }]
    ],
    [
      "the time of the reset",
      { "ratelimit-limit": "100", "ratelimit-remaining": "7", "ratelimit-reset": "1500000090" },
      [{ ...said(7), reset: Duration.seconds(90) }]
    ]
  ] as const)("are told where there are any: %s", ([, headers, expected]) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_500_000_000_000)
      const rates: Array<RateLimit> = []
      const { registry } = yield* world(
        { [registryUrl]: () => status(200, '{"tags":[]}', { ...headers }) },
        { onRateLimit: (rate) => Effect.sync(() => void rates.push(rate)) }
      )
      yield* items(registry.tags(repository))
      expect(rates).toEqual(expected)
    })
  )
})
