import { expect, it } from "@effect/vitest"
import * as ArtifactType from "../../src/spec/ArtifactType.js"
import * as MediaType from "../../src/spec/MediaType.js"

it("types of artifacts are media types, each once, with the values that tools agree on", () => {
  const types = Object.values(ArtifactType)
  expect(types.filter((type) => !MediaType.isMediaType(type))).toEqual([])
  expect(new Set(types).size).toBe(types.length)
  expect(ArtifactType).toMatchObject({
    helmConfig: "application/vnd.cncf.helm.config.v1+json",
    helmChart: "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    wasmConfig: "application/vnd.wasm.config.v0+json",
    spdx: "application/spdx+json",
    cycloneDx: "application/vnd.cyclonedx+json",
    sigstoreBundle: "application/vnd.dev.sigstore.bundle.v0.3+json",
    simpleSigning: "application/vnd.dev.cosign.simplesigning.v1+json",
    inToto: "application/vnd.in-toto+json",
    orasUnknownConfig: "application/vnd.unknown.config.v1+json",
    model: "application/vnd.cncf.model.manifest.v1+json",
    modelWeight: "application/vnd.cncf.model.weight.v1.raw"
  })
})
