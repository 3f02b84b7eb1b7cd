/**
 * Images of Docker's schema 1, signed or not. What other images have in a configuration stands in
 * their manifest, but for the digests of their layers as tar archives, which nobody has said (S32).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ByteStream from "../../ByteStream.js"
import * as OlderParts from "../../internal/OlderParts.js"
import type { Registry } from "../../Registry.js"
import * as Digest from "../../spec/Digest.js"
import * as Parsed from "../../spec/internal/Parsed.js"
import * as SignedConfig from "../../spec/internal/SignedConfig.js"
import type { Manifest } from "../../spec/Manifest.js"
import type { RepositoryName } from "../../spec/Reference.js"
import * as SignedManifest from "../../spec/SignedManifest.js"
import * as LayerContent from "./LayerContent.js"

/**
 * Reads what a manifest of schema 1 says of its image. The sizes of its layers, which it does not
 * say either, are asked for.
 */
export const read = Effect.fnUntraced(function* (
  registry: Registry.Service,
  repository: RepositoryName,
  manifest: Manifest
) {
  const signed = yield* SignedManifest.fromManifest(manifest)
  const steps = yield* Parsed.toEffect(SignedConfig.steps(signed.content))
  const content = yield* Parsed.toEffect(SignedConfig.of(signed.content, steps, []))
  const layers = (yield* SignedManifest.layers(signed)).filter(
    ({ history }) => history.empty_layer !== true
  )
  const digests = layers.map(({ digest }) => digest)
  const descriptors = new Map(
    (yield* OlderParts.layers(registry, repository, digests)).map((one) => [one.digest, one])
  )
  return {
    annotations: {},
    config: { bytes: signed.payload, descriptor: manifest.descriptor, content },
    layers: layers.map(({ digest, history }) => ({
      descriptor: descriptors.get(digest) ?? OlderParts.layerOf(digest, 0),
      diffId: undefined,
      history: Option.some(history)
    }))
  }
})

/** Computes the digests of the archives of those layers that are without, by that of the blob. */
export const diffIds = <E>(
  layers: ReadonlyArray<LayerContent.ImageLayer<E>>,
  options: LayerContent.ReadOptions | undefined
) =>
  Effect.map(
    Effect.forEach(
      new Map(
        layers
          .filter(({ diffId }) => diffId === undefined)
          .map((layer) => [layer.descriptor.digest, layer])
      ),
      ([digest, layer]) =>
        Effect.suspend(() => {
          const { digest: computed, update } = Digest.hasher("sha256")
          return LayerContent.uncompressed(layer, options).pipe(
            ByteStream.tap(update),
            Stream.runDrain,
            Effect.map(() => [digest, computed()] as const)
          )
        }),
      { concurrency: 3 }
    ),
    (computed) => new Map(computed)
  )
