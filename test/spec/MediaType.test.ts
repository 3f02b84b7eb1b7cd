import { describe, expect, it } from "@effect/vitest"
import * as MediaType from "../../src/spec/MediaType.js"

describe("constants", () => {
  it("have the values of the specifications (image-spec media-types.md, Docker's formats)", () => {
    const {
      manifestAccept,
      equals,
      essence,
      isImageConfig,
      isImageManifest,
      isIndex,
      isMediaType,
      isNonDistributable,
      ...constants
    } = MediaType
    expect(constants).toEqual({
      descriptor: "application/vnd.oci.descriptor.v1+json",
      layoutHeader: "application/vnd.oci.layout.header.v1+json",
      imageIndex: "application/vnd.oci.image.index.v1+json",
      imageManifest: "application/vnd.oci.image.manifest.v1+json",
      imageConfig: "application/vnd.oci.image.config.v1+json",
      octetStream: "application/octet-stream",
      empty: "application/vnd.oci.empty.v1+json",
      layerTar: "application/vnd.oci.image.layer.v1.tar",
      layerTarGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
      layerTarZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
      nonDistributableLayerTar: "application/vnd.oci.image.layer.nondistributable.v1.tar",
      nonDistributableLayerTarGzip: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
      nonDistributableLayerTarZstd: "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
      artifactManifest: "application/vnd.oci.artifact.manifest.v1+json",
      dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
      dockerManifestList: "application/vnd.docker.distribution.manifest.list.v2+json",
      dockerImageConfig: "application/vnd.docker.container.image.v1+json",
      dockerPluginConfig: "application/vnd.docker.plugin.v1+json",
      dockerLayerTar: "application/vnd.docker.image.rootfs.diff.tar",
      dockerLayerTarGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
      dockerForeignLayerTarGzip: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
      dockerSchema1: "application/vnd.docker.distribution.manifest.v1+json",
      dockerSchema1Signed: "application/vnd.docker.distribution.manifest.v1+prettyjws",
      dockerSchema1Layer: "application/vnd.docker.container.image.rootfs.diff+x-gtar"
    })
    for (const constant of Object.values(constants))
      expect(MediaType.isMediaType(constant)).toBe(true)
  })
})

describe("manifestAccept", () => {
  it("lists every type that is decoded, no schema 1, and a wildcard last (C20, trap 31)", () => {
    expect(MediaType.manifestAccept.join(", ")).toBe(
      "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*"
    )
  })
})

describe("predicates", () => {
  it.each([
    ["application/vnd.oci.image.manifest.v1+json", true, false],
    ["application/vnd.docker.distribution.manifest.v2+json", true, false],
    ["Application/VND.oci.image.manifest.v1+JSON", true, false],
    ["application/vnd.oci.image.index.v1+json", false, true],
    ["application/vnd.docker.distribution.manifest.list.v2+json", false, true],
    ["APPLICATION/vnd.docker.distribution.manifest.list.v2+json", false, true],
    ["application/vnd.docker.distribution.manifest.v1+prettyjws", false, false],
    ["application/vnd.oci.artifact.manifest.v1+json", false, false],
    ["application/json", false, false],
    ["", false, false]
  ])("%s: image manifest %s, index %s", (mediaType, image, index) => {
    expect(MediaType.isImageManifest(mediaType)).toBe(image)
    expect(MediaType.isIndex(mediaType)).toBe(index)
  })

  it.each([
    ["application/vnd.oci.image.config.v1+json", true],
    ["application/VND.docker.container.image.v1+json", true],
    ["application/vnd.docker.plugin.v1+json", false],
    ["application/vnd.oci.empty.v1+json", false]
  ])("%s is an image configuration: %s", (mediaType, expected) => {
    expect(MediaType.isImageConfig(mediaType)).toBe(expected)
  })

  it.each([
    ["application/vnd.oci.image.layer.nondistributable.v1.tar", true],
    ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true],
    ["application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", true],
    ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true],
    ["Application/vnd.docker.image.rootfs.FOREIGN.diff.tar.gzip", true],
    ["application/vnd.oci.image.layer.v1.tar+gzip", false],
    ["application/vnd.docker.image.rootfs.diff.tar.gzip", false]
  ])("%s must not be uploaded: %s (C63, trap 42)", (mediaType, expected) => {
    expect(MediaType.isNonDistributable(mediaType)).toBe(expected)
  })

  it.each([
    ["application/json", true],
    ["a/b", true],
    ["text/x!#$&^_.+-", true],
    [`${"a".repeat(127)}/${"b".repeat(127)}`, true],
    [`${"a".repeat(128)}/b`, false],
    [`a/${"b".repeat(128)}`, false],
    ["", false],
    ["json", false],
    ["a/", false],
    ["/b", false],
    ["a/b/c", false],
    ["+a/b", false],
    ["a/b; charset=utf-8", false],
    ["a/b\r\nx: y", false],
    ["a/b\n", false],
    ["*/*", false],
    ["a/".repeat(500_000), false],
    ["a".repeat(1_000_000), false]
  ])("isMediaType(%j) is %s (RFC 6838)", (text, expected) => {
    expect(MediaType.isMediaType(text)).toBe(expected)
  })
})

describe("essence", () => {
  it.each([
    ["application/json", "application/json"],
    ["application/json; charset=utf-8", "application/json"],
    [" Application/JSON ;charset=utf-8;q=1", "Application/JSON"],
    ["", ""],
    [";", ""]
  ])("of %j is %j: no parameters, as sent (C21)", (contentType, expected) => {
    expect(MediaType.essence(contentType)).toBe(expected)
  })
})
