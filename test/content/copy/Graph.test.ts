/** What a manifest is made of, and what of an index is for some platforms. */
import { describe, expect, it } from "@effect/vitest"
import * as Graph from "../../../src/content/internal/copy/Graph.js"
import * as Annotations from "../../../src/spec/Annotations.js"
import * as Descriptor from "../../../src/spec/Descriptor.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as Platform from "../../../src/spec/Platform.js"
import { utf8 } from "../../support/fixtures.js"

const entry = (
  name: string,
  mediaType: string = MediaType.imageManifest
): Descriptor.Descriptor => ({
  ...Descriptor.fromBytes(utf8(name), mediaType),
  ...(name.includes("/") && { platform: Platform.unsafeParse(name) })
})

const attestation = (name: string): Descriptor.Descriptor => ({
  ...entry(`attests ${name.replace("/", " ")}`),
  platform: Platform.unsafeParse("unknown/unknown"),
  annotations: {
    [Annotations.referenceType]: "attestation-manifest",
    [Annotations.referenceDigest]: entry(name).digest
  }
})

const windows = (version: string): Descriptor.Descriptor => ({
  ...entry(`windows ${version}`),
  platform: Platform.make({ os: "windows", architecture: "amd64", "os.version": version })
})

describe("an entry of an index", () => {
  const cases: ReadonlyArray<readonly [mediaType: string, kind: Graph.Kind]> = [
    [MediaType.imageManifest, "manifest"],
    [MediaType.imageIndex.toUpperCase(), "manifest"],
    [MediaType.dockerManifest, "manifest"],
    [MediaType.dockerManifestList, "manifest"],
    [MediaType.dockerSchema1Signed, "manifest"],
    [MediaType.artifactManifest, "manifest"],
    [MediaType.layerTarGzip, "blob"],
    [MediaType.imageConfig, "blob"],
    ["application/vnd.buildkit.cacheconfig.v0", "blob"],
    ["", "blob"]
  ]
  for (const [mediaType, kind] of cases)
    it(`of type ${mediaType || "nothing"} is a ${kind} (CP15)`, () => {
      expect(Graph.entry(entry("a", mediaType)).kind).toBe(kind)
    })
})

describe("the parts of a manifest", () => {
  it("are its config and layers, each once, whatever their types say", () => {
    const config = entry("config", MediaType.imageManifest)
    const layer = entry("layer", MediaType.layerTar)
    const manifest = Manifest.image({ config, layers: [layer, layer] })
    expect(Graph.children(manifest, undefined).kept).toEqual([
      { kind: "blob", descriptor: config },
      { kind: "blob", descriptor: layer }
    ])
  })

  it("are the entries of an index, one that is listed as manifest and as blob twice", () => {
    const [a, b] = [entry("a"), entry("a", MediaType.layerTar)]
    const { kept } = Graph.children(Manifest.index({ manifests: [a, b, a] }), undefined)
    expect(kept.map(Graph.idOf)).toEqual([`manifest ${a.digest}`, `blob ${a.digest}`])
  })
})

describe("a subset of platforms", () => {
  const offered = [
    "linux/amd64",
    "linux/amd64/v3",
    "linux/arm64/v8",
    "linux/arm/v6",
    "linux/arm/v7",
    "windows/amd64"
  ]
  const subset = (
    wanted: ReadonlyArray<string | Platform.Platform>,
    entries: ReadonlyArray<Descriptor.Descriptor> = offered.map((name) => entry(name))
  ) =>
    Graph.subset(
      entries,
      wanted.map((one) => (typeof one === "string" ? Platform.unsafeParse(one) : one))
    )
  const cases: ReadonlyArray<readonly [wanted: string, kept: ReadonlyArray<string>]> = [
    ["linux/arm64", ["linux/arm64/v8"]],
    ["linux/arm64/v8", ["linux/arm64/v8"]],
    ["linux/arm", ["linux/arm/v6", "linux/arm/v7"]],
    ["linux/arm/v7", ["linux/arm/v7"]],
    ["linux/amd64", ["linux/amd64", "linux/amd64/v3"]],
    // No variant is v1.
    ["linux/amd64/v1", ["linux/amd64"]],
    ["windows/amd64", ["windows/amd64"]]
  ]
  for (const [wanted, kept] of cases)
    it(`of ${wanted} has ${kept.join(" and ")}`, () => {
      const found = subset([wanted])
      expect(found.kept).toEqual(kept.map((name) => entry(name)))
      expect(found.omitted).toHaveLength(offered.length - kept.length)
      expect(found.lacking).toEqual([])
    })

  it("keeps the order of the index, and names what it has nothing for", () => {
    const { kept, lacking } = subset(["windows/amd64", "linux/s390x", "linux/arm64"])
    expect(kept).toEqual([entry("linux/arm64/v8"), entry("windows/amd64")])
    expect(lacking).toEqual([Platform.unsafeParse("linux/s390x")])
  })

  it("of Windows has all versions, or the one that is named", () => {
    const all = [windows("10.0.17763.1"), windows("10.0.20348.1")]
    expect(subset(["windows/amd64"], all).kept).toEqual(all)
    const one = Platform.make({
      os: "windows",
      architecture: "amd64",
      "os.version": "10.0.20348.1"
    })
    expect(subset([one], all).kept).toEqual(all.slice(1))
  })

  it("CP19: takes the attestations of what it has, and no others", () => {
    const entries = [
      entry("linux/amd64"),
      entry("linux/arm64"),
      attestation("linux/amd64"),
      attestation("linux/arm64"),
      attestation("linux/s390x")
    ]
    const { kept, lacking, omitted } = subset(["linux/arm64"], entries)
    expect(kept).toEqual([entry("linux/arm64"), attestation("linux/arm64")])
    expect(omitted.map(Graph.nameOf)).toEqual([
      "linux/amd64",
      `the attestation ${attestation("linux/amd64").digest}`,
      `the attestation ${attestation("linux/s390x").digest}`
    ])
    expect(lacking).toEqual([])
  })

  it("keeps what does not say what it is for, such as an index within", () => {
    const nested = entry("nested", MediaType.imageIndex)
    const { kept, lacking } = subset(["linux/s390x"], [entry("linux/amd64"), nested])
    expect(kept).toEqual([nested])
    expect(lacking).toEqual([])
  })
})
