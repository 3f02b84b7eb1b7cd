import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Route from "../../src/protocol/internal/Route.js"
import { isDigest } from "../../src/spec/Digest.js"
import { isRepositoryName, isTag } from "../../src/spec/Reference.js"

const sha256 = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

describe("match", () => {
  it.each([
    ["/v2/", { _tag: "Base" }],
    ["/v2/_catalog", { _tag: "Catalog" }],
    ["/v2/a/manifests/latest", { _tag: "Manifest", name: "a", reference: "latest" }],
    [`/v2/a/b/manifests/${sha256}`, { _tag: "Manifest", name: "a/b", reference: sha256 }],
    [`/v2/a/blobs/${sha256}`, { _tag: "Blob", name: "a", digest: sha256 }],
    ["/v2/a/blobs/uploads/", { _tag: "Uploads", name: "a" }],
    ["/v2/a/blobs/uploads", { _tag: "Uploads", name: "a" }],
    ["/v2/a/blobs/uploads/7f1c", { _tag: "Upload", name: "a", session: "7f1c" }],
    ["/v2/a/tags/list", { _tag: "Tags", name: "a" }],
    [`/v2/a/referrers/${sha256}`, { _tag: "Referrers", name: "a", digest: sha256 }]
  ])("%s is recognised", (path, route) => {
    expect(Option.getOrUndefined(Route.match(path))).toEqual(route)
  })

  it.each([
    [
      "/v2/blobs/uploads/manifests/uploads",
      { _tag: "Manifest", name: "blobs/uploads", reference: "uploads" }
    ],
    [
      "/v2/manifests/tags/manifests/list",
      { _tag: "Manifest", name: "manifests/tags", reference: "list" }
    ],
    ["/v2/manifests/tags/tags/list", { _tag: "Tags", name: "manifests/tags" }],
    ["/v2/blobs/uploads/tags/list", { _tag: "Tags", name: "blobs/uploads" }],
    ["/v2/a/blobs/blobs/uploads/", { _tag: "Uploads", name: "a/blobs" }],
    [
      "/v2/blobs/uploads/blobs/uploads/blobs",
      { _tag: "Upload", name: "blobs/uploads", session: "blobs" }
    ],
    ["/v2/blobs/blobs/uploads/uploads", { _tag: "Upload", name: "blobs", session: "uploads" }],
    [
      `/v2/a/referrers/b/referrers/${sha256}`,
      { _tag: "Referrers", name: "a/referrers/b", digest: sha256 }
    ],
    [`/v2/uploads/blobs/${sha256}`, { _tag: "Blob", name: "uploads", digest: sha256 }]
  ])("%s is matched from the right (trap 64)", (path, route) => {
    expect(Option.getOrUndefined(Route.match(path))).toEqual(route)
  })

  it.each([
    ["/v2/a/blobs/sha256%3Aabc", { _tag: "Blob", name: "a", digest: "sha256:abc" }],
    ["/v2/%61/%6Danifests/x", { _tag: "Manifest", name: "a", reference: "x" }],
    ["/v2/%2e%2e/a/manifests/x", { _tag: "Manifest", name: "../a", reference: "x" }],
    ["/v2/%252e%252e/manifests/x", { _tag: "Manifest", name: "%2e%2e", reference: "x" }]
  ])("%s is decoded once, after splitting (T8, trap 62)", (path, route) => {
    expect(Option.getOrUndefined(Route.match(path))).toEqual(route)
  })

  it.each([
    "",
    "/",
    "/v2x",
    "/v1",
    "/v1/",
    "/v2/a",
    "/v2/manifests/x",
    "/v2/blobs/uploads/",
    "/v2/tags/list",
    "/v2/a/manifests/",
    "/v2/a/manifests/x/",
    "/v2/a/tags/all",
    "/v2/a/b/uploads/x",
    "/v2/a/b/uploads/",
    "/v2//_catalog",
    "/v2/a%2Fmanifests%2Fx",
    "/v2/a%2Fb/manifests/x",
    "/v2/a/manifests/%zz",
    "/v2/a/manifests/%ff",
    "/V2/_catalog"
  ])("%j is no route", (path) => {
    expect(Route.match(path)).toEqual(Option.none())
  })

  it("takes time linear in the path", () => {
    expect(Route.match(`/v2/${"blobs/uploads/".repeat(100_000)}x`)._tag).toBe("Some")
    expect(Route.match(`/v2/${"%41".repeat(300_000)}/manifests/x`)._tag).toBe("Some")
  })

  it.prop("never throws", [FastCheck.string({ unit: "binary" })], ([text]) => {
    Route.match(text)
    Route.match(`/v2/${text}/manifests/${text}`)
  })
})

describe("built paths", () => {
  const component = FastCheck.constantFrom(
    "a",
    "x-y",
    "blobs",
    "manifests",
    "tags",
    "uploads",
    "referrers",
    "list"
  )
  const name = FastCheck.array(component, { minLength: 1, maxLength: 5 })
    .map((components) => components.join("/"))
    .filter(isRepositoryName)
  const tag = FastCheck.constantFrom("latest", "list", "uploads", "_", "1.2.3").filter(isTag)
  const digest = FastCheck.constantFrom(
    sha256,
    "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7+g="
  ).filter(isDigest)

  it.prop(
    "are recognised as what they were built for (trap 64)",
    [name, tag, digest],
    ([name, tag, digest]) => {
      const match = (path: string) => Option.getOrUndefined(Route.match(path))
      expect(match(Route.catalogPath)).toEqual({ _tag: "Catalog" })
      expect(match(Route.manifestPath(name, tag))).toEqual({
        _tag: "Manifest",
        name,
        reference: tag
      })
      expect(match(Route.manifestPath(name, digest))).toEqual({
        _tag: "Manifest",
        name,
        reference: digest
      })
      expect(match(Route.blobPath(name, digest))).toEqual({ _tag: "Blob", name, digest })
      expect(match(Route.uploadsPath(name))).toEqual({ _tag: "Uploads", name })
      expect(match(Route.uploadPath(name, tag))).toEqual({ _tag: "Upload", name, session: tag })
      expect(match(Route.tagsPath(name))).toEqual({ _tag: "Tags", name })
      expect(match(Route.referrersPath(name, digest))).toEqual({ _tag: "Referrers", name, digest })
    }
  )
})
