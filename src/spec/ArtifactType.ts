/**
 * The types that tools agree on for artifacts and for what is in them: charts, WebAssembly, bills
 * of materials, signatures, attestations and models. They are plain strings: any other type is as
 * good.
 *
 * @since 0.1.0
 */

/**
 * The metadata of a Helm chart, which is its config: what tells a chart.
 *
 * @since 0.1.0
 * @category Helm
 */
export const helmConfig = "application/vnd.cncf.helm.config.v1+json"

/**
 * A Helm chart as a tar archive compressed with gzip.
 *
 * @since 0.1.0
 * @category Helm
 */
export const helmChart = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

/**
 * The provenance of a Helm chart, signed.
 *
 * @since 0.1.0
 * @category Helm
 */
export const helmProvenance = "application/vnd.cncf.helm.chart.provenance.v1.prov"

/**
 * The config of a WebAssembly module or component.
 *
 * @since 0.1.0
 * @category WebAssembly
 */
export const wasmConfig = "application/vnd.wasm.config.v0+json"

/**
 * A WebAssembly module or component.
 *
 * @since 0.1.0
 * @category WebAssembly
 */
export const wasm = "application/wasm"

/**
 * A WebAssembly module as it was pushed before there was a config for it.
 *
 * @since 0.1.0
 * @category WebAssembly
 */
export const wasmLegacy = "application/vnd.wasm.content.layer.v1+wasm"

/**
 * The config of such a module.
 *
 * @since 0.1.0
 * @category WebAssembly
 */
export const wasmLegacyConfig = "application/vnd.wasm.config.v1+json"

/**
 * A bill of materials in SPDX, as JSON.
 *
 * @since 0.1.0
 * @category SBOM
 */
export const spdx = "application/spdx+json"

/**
 * A bill of materials in SPDX, as tags and values.
 *
 * @since 0.1.0
 * @category SBOM
 */
export const spdxText = "text/spdx"

/**
 * A bill of materials in SPDX as JSON, as cosign attaches it.
 *
 * @since 0.1.0
 * @category SBOM
 */
export const spdxTextJson = "text/spdx+json"

/**
 * A bill of materials in CycloneDX, as JSON.
 *
 * @since 0.1.0
 * @category SBOM
 */
export const cycloneDx = "application/vnd.cyclonedx+json"

/**
 * A bill of materials in CycloneDX, as XML.
 *
 * @since 0.1.0
 * @category SBOM
 */
export const cycloneDxXml = "application/vnd.cyclonedx+xml"

/**
 * A bill of materials in the form of Syft.
 *
 * @since 0.1.0
 * @category SBOM
 */
export const syft = "application/vnd.syft+json"

/**
 * A sigstore bundle: a signature or attestation with all that is needed to verify it.
 *
 * @since 0.1.0
 * @category signatures
 */
export const sigstoreBundle = "application/vnd.dev.sigstore.bundle.v0.3+json"

/**
 * Signatures of cosign, as an artifact.
 *
 * @since 0.1.0
 * @category signatures
 */
export const cosignSignature = "application/vnd.dev.cosign.artifact.sig.v1+json"

/**
 * A bill of materials that cosign attaches, as an artifact.
 *
 * @since 0.1.0
 * @category signatures
 */
export const cosignSbom = "application/vnd.dev.cosign.artifact.sbom.v1+json"

/**
 * What a signature of cosign signs.
 *
 * @since 0.1.0
 * @category signatures
 */
export const simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"

/**
 * A signature of Notary Project.
 *
 * @since 0.1.0
 * @category signatures
 */
export const notation = "application/vnd.cncf.notary.signature"

/**
 * An in-toto statement.
 *
 * @since 0.1.0
 * @category attestations
 */
export const inToto = "application/vnd.in-toto+json"

/**
 * A signed envelope (DSSE), of an in-toto statement usually.
 *
 * @since 0.1.0
 * @category attestations
 */
export const dsse = "application/vnd.dsse.envelope.v1+json"

/**
 * The artifact manifest of ORAS, from before OCI had artifacts.
 *
 * @since 0.1.0
 * @category ORAS
 */
export const orasManifest = "application/vnd.cncf.oras.artifact.manifest.v1+json"

/**
 * The config of an artifact that ORAS pushed without one.
 *
 * @since 0.1.0
 * @category ORAS
 */
export const orasUnknownConfig = "application/vnd.unknown.config.v1+json"

/**
 * An artifact that ORAS pushed without a type.
 *
 * @since 0.1.0
 * @category ORAS
 */
export const orasUnknown = "application/vnd.unknown.artifact.v1"

/**
 * A model of ModelPack, as an artifact.
 *
 * @since 0.1.0
 * @category models
 */
export const model = "application/vnd.cncf.model.manifest.v1+json"

/**
 * The config of a model.
 *
 * @since 0.1.0
 * @category models
 */
export const modelConfig = "application/vnd.cncf.model.config.v1+json"

/**
 * A file of weights, as it is.
 *
 * @since 0.1.0
 * @category models
 */
export const modelWeight = "application/vnd.cncf.model.weight.v1.raw"

/**
 * Weights as a tar archive.
 *
 * @since 0.1.0
 * @category models
 */
export const modelWeightTar = "application/vnd.cncf.model.weight.v1.tar"

/**
 * A file that the weights are configured with, such as `tokenizer.json`.
 *
 * @since 0.1.0
 * @category models
 */
export const modelWeightConfig = "application/vnd.cncf.model.weight.config.v1.raw"

/**
 * What the weights are configured with, as a tar archive.
 *
 * @since 0.1.0
 * @category models
 */
export const modelWeightConfigTar = "application/vnd.cncf.model.weight.config.v1.tar"

/**
 * A file of documentation.
 *
 * @since 0.1.0
 * @category models
 */
export const modelDoc = "application/vnd.cncf.model.doc.v1.raw"

/**
 * Documentation as a tar archive.
 *
 * @since 0.1.0
 * @category models
 */
export const modelDocTar = "application/vnd.cncf.model.doc.v1.tar"

/**
 * A file of code.
 *
 * @since 0.1.0
 * @category models
 */
export const modelCode = "application/vnd.cncf.model.code.v1.raw"

/**
 * Code as a tar archive.
 *
 * @since 0.1.0
 * @category models
 */
export const modelCodeTar = "application/vnd.cncf.model.code.v1.tar"

/**
 * A file of a data set.
 *
 * @since 0.1.0
 * @category models
 */
export const modelDataset = "application/vnd.cncf.model.dataset.v1.raw"

/**
 * A data set as a tar archive.
 *
 * @since 0.1.0
 * @category models
 */
export const modelDatasetTar = "application/vnd.cncf.model.dataset.v1.tar"

/**
 * The config of a model of Docker Model Runner.
 *
 * @since 0.1.0
 * @category models
 */
export const dockerModelConfig = "application/vnd.docker.ai.model.config.v0.1+json"

/**
 * A model in GGUF, for Docker Model Runner.
 *
 * @since 0.1.0
 * @category models
 */
export const dockerModelGguf = "application/vnd.docker.ai.gguf.v3"

/**
 * A model in safetensors, for Docker Model Runner.
 *
 * @since 0.1.0
 * @category models
 */
export const dockerModelSafetensors = "application/vnd.docker.ai.safetensors"

/**
 * The licence of such a model.
 *
 * @since 0.1.0
 * @category models
 */
export const dockerModelLicense = "application/vnd.docker.ai.license"
