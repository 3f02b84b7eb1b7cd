/**
 * Docker's manifests of version 2, schema 1: images as registries had them up to 2016, signed or
 * not ([Image Manifest Version 2, Schema
 * 1](https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/manifest-v2-1.md)).
 *
 * What a signed one is known by is the digest of its payload: the document without its signatures.
 * `Manifest.fromBytes` computes it so, and `Registry` reads and writes such manifests as any other.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as ParseResult from "effect/ParseResult"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Descriptor from "./Descriptor.js"
import * as Digest from "./Digest.js"
import * as ImageConfig from "./ImageConfig.js"
import * as JoseKey from "./internal/JoseKey.js"
import * as JsonText from "./internal/JsonText.js"
import * as Parsed from "./internal/Parsed.js"
import * as SchemaIssue from "./internal/SchemaIssue.js"
import * as ServerText from "./internal/ServerText.js"
import * as SignedConfig from "./internal/SignedConfig.js"
import * as SignedPayload from "./internal/SignedPayload.js"
import * as Manifest from "./Manifest.js"
import * as MediaType from "./MediaType.js"

/**
 * What a manifest of schema 1 says. Both lists have an entry for each layer, the topmost first.
 *
 * @since 0.1.0
 * @category models
 */
export interface Content {
  readonly schemaVersion: 1
  readonly name: string
  readonly tag: string
  readonly architecture: string
  readonly fsLayers: ReadonlyArray<{ readonly blobSum: Digest.Digest }>
  /** How the layer was made, as JSON in a string: {@link layers} reads it. */
  readonly history: ReadonlyArray<{ readonly v1Compatibility: string }>
}

/**
 * A manifest of schema 1. `manifest` is what registries read and write, `payload` what is signed,
 * and what its digest is of: all of its bytes if there are no `signatures`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SignedManifest {
  readonly manifest: Manifest.Manifest
  readonly payload: Uint8Array
  readonly content: Content
  readonly signatures: ReadonlyArray<SignedPayload.Signature>
}

export type {
  /**
   * How manifests are signed.
   *
   * @since 0.1.0
   * @category models
   */
  SigningAlgorithm
} from "./internal/JoseKey.js"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Signature
} from "./internal/SignedPayload.js"

const Content = Schema.Struct({
  schemaVersion: Schema.Literal(1),
  name: Schema.String,
  tag: Schema.String,
  architecture: Schema.String,
  fsLayers: Schema.Array(Schema.Struct({ blobSum: Digest.Digest })),
  history: Schema.Array(Schema.Struct({ v1Compatibility: Schema.String }))
}).annotations({ identifier: "SignedManifest" })

const decodeContent = ParseResult.decodeUnknownEither(Content)

/**
 * Reads a manifest of schema 1 that a registry has. What it says is read from the payload alone,
 * so that it is what was signed. No signature is verified: see {@link verify}.
 *
 * Fails with `InvalidManifest` for a manifest of another type, for one whose signatures do not say
 * what they are of, or disagree about it, and for one whose fields are missing or wrong.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromManifest = (
  manifest: Manifest.Manifest
): Effect.Effect<SignedManifest, Manifest.InvalidManifest> => Parsed.toEffect(read(manifest))

const read = (
  manifest: Manifest.Manifest
): Either.Either<SignedManifest, Manifest.InvalidManifest> =>
  Either.gen(function* () {
    const { bytes, descriptor } = manifest
    const isSigned = MediaType.equals(descriptor.mediaType, MediaType.dockerSchema1Signed)
    if (!isSigned && !MediaType.equals(descriptor.mediaType, MediaType.dockerSchema1)) {
      const type = ServerText.quoted(descriptor.mediaType)
      return yield* invalid("MediaType", `the manifest is not of schema 1: its type is ${type}`)
    }
    const { payload, signatures } = isSigned
      ? yield* Either.flatMap(parse(bytes), (document) =>
          Either.mapLeft(SignedPayload.cut(bytes, document), SignedConfig.misshapen)
        )
      : { payload: bytes, signatures: [] }
    const content = yield* Either.flatMap(parse(payload), (document) =>
      Either.mapLeft(decodeContent(document), (issue) =>
        SignedConfig.misshapen(SchemaIssue.first(issue))
      )
    )
    const [layers, steps] = [content.fsLayers.length, content.history.length]
    return layers === steps
      ? { manifest, payload, content, signatures }
      : yield* invalid("Shape", `it has ${layers} layers, and a history of ${steps}`, "history")
  })

/**
 * Builds a manifest without signatures, which {@link sign} signs. Equal contents give equal bytes:
 * those that Docker has for them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (content: Content): SignedManifest => {
  const { architecture, fsLayers, history, name, schemaVersion, tag } = content
  const document = {
    schemaVersion,
    name,
    tag,
    architecture,
    fsLayers: fsLayers.map(({ blobSum }) => ({ blobSum })),
    history: history.map(({ v1Compatibility }) => ({ v1Compatibility }))
  }
  // As Go writes JSON into HTML.
  const text = JSON.stringify(document, null, 3).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  )
  const bytes = new TextEncoder().encode(text)
  return {
    manifest: manifestOf(bytes, bytes, MediaType.dockerSchema1),
    payload: bytes,
    content,
    signatures: []
  }
}

const manifestOf = (
  bytes: Uint8Array,
  payload: Uint8Array,
  mediaType: string
): Manifest.Manifest => ({
  bytes,
  descriptor: Descriptor.fromBytes(payload, mediaType),
  content: { _tag: "UnknownManifest" }
})

// -----------------------------------------------------------------------------
// Signatures
// -----------------------------------------------------------------------------

/**
 * Occurs when a manifest is not signed as it says, or cannot be signed.
 *
 * - `Missing`: it has no signature.
 * - `Algorithm`: a signature is of none of {@link SigningAlgorithm}.
 * - `Key`: a signature has no key that can be read, or calls it by the id of another one; or the
 *   private key to sign with cannot be read.
 * - `Mismatch`: a signature was not made of this payload by its key.
 *
 * `path` says which signature it is, as in `signatures[0]`.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidSignature extends Schema.TaggedError<InvalidSignature>(
  "effect-oci/InvalidSignature"
)("InvalidSignature", {
  reason: Schema.Literal("Missing", "Algorithm", "Key", "Mismatch"),
  path: Schema.optionalWith(Schema.String, { exact: true }),
  message: Schema.String
}) {}

/**
 * A key that has signed a manifest.
 *
 * @since 0.1.0
 * @category models
 */
export interface Signer {
  /** The name of the public key as libtrust computes it: 12 groups of four letters and digits. */
  readonly keyId: string
  readonly algorithm: JoseKey.SigningAlgorithm
  /**
   * The certificates that came with it, in base64 of their DER, that of the key first. Nothing of
   * them but that key was looked at.
   */
  readonly certificates: ReadonlyArray<string>
}

/**
 * Verifies all signatures of a manifest, and returns the keys that have made them. Whose keys they
 * are is for the caller to know, by their ids, since the keys come with the signatures. Where a
 * signature has certificates (`x5c`), it was made by the key of the first one; whether they lead to
 * an authority that is trusted, `SignerCertificates.verify` of `effect-oci/node` says.
 *
 * Fails with {@link InvalidSignature}.
 *
 * @since 0.1.0
 * @category operations
 */
export const verify = ({
  payload,
  signatures
}: SignedManifest): Effect.Effect<ReadonlyArray<Signer>, InvalidSignature> =>
  signatures.length === 0
    ? Effect.fail(
        new InvalidSignature({ reason: "Missing", message: "the manifest is not signed" })
      )
    : Effect.flatMap(JoseKey.load, (jose) =>
        Effect.forEach(signatures, (signature, at) =>
          verifyOne(jose, Encoding.encodeBase64Url(payload), signature, `signatures[${at}]`)
        )
      )

const verifyOne = Effect.fnUntraced(function* (
  jose: JoseKey.Jose,
  payload: string,
  { header, protected: format, signature }: SignedPayload.Signature,
  path: string
) {
  const { alg, jwk, x5c = [] } = header
  const refused = (reason: InvalidSignature["reason"], problem: string) =>
    new InvalidSignature({ reason, path, message: `${path} ${problem}` })
  const algorithm = JoseKey.algorithms.find((known) => known === alg)
  if (algorithm === undefined)
    return yield* refused("Algorithm", `is of an unknown algorithm: ${ServerText.quoted(alg)}`)
  const [certificate] = x5c
  if (certificate === undefined && jwk === undefined)
    return yield* refused("Key", "comes without a key")
  const key = yield* Effect.tryPromise({
    try: () =>
      certificate === undefined
        ? JoseKey.publicKeyOf(jose, jwk ?? {}, algorithm)
        : JoseKey.certifiedKey(jose, certificate, algorithm),
    catch: () => refused("Key", `has a key that is not one for ${algorithm}`)
  })
  const keyId = yield* Effect.promise(() => JoseKey.fingerprint(jose, key))
  if (typeof jwk?.["kid"] === "string" && jwk["kid"] !== "" && jwk["kid"] !== keyId)
    return yield* refused("Key", `calls its key by another id than ${keyId}`)
  yield* Effect.tryPromise({
    try: () =>
      jose.flattenedVerify({ payload, protected: format, signature, header: { alg } }, key, {
        algorithms: [algorithm]
      }),
    catch: () => refused("Mismatch", `was not made of this manifest by the key ${keyId}`)
  })
  return { keyId, algorithm, certificates: x5c } satisfies Signer
})

/**
 * The key to sign a manifest with.
 *
 * @since 0.1.0
 * @category models
 */
export interface SignOptions {
  /** The private key: PKCS #8 in PEM (`-----BEGIN PRIVATE KEY-----`). */
  readonly privateKey: Redacted.Redacted
  /** `ES256` by default, for which the key is one of the curve P-256. */
  readonly algorithm?: JoseKey.SigningAlgorithm | undefined
  /**
   * The certificate of the key in PEM, followed by those that lead to its authority. Without it the
   * signature has the public key itself.
   */
  readonly certificates?: string | undefined
}

/**
 * Signs a manifest, in addition to the signatures that it has. Its digest stays, since that is the
 * payload's; its media type is that of signed manifests.
 *
 * Fails with {@link InvalidSignature} for the reason `Key`, which says nothing of the private key.
 *
 * @example
 * ```ts
 * import type { RepositoryName, Tag } from "effect-oci/Reference"
 * import type { Registry } from "effect-oci/Registry"
 * import * as SignedManifest from "effect-oci/SignedManifest"
 * import * as Effect from "effect/Effect"
 * import type * as Redacted from "effect/Redacted"
 *
 * const push = (
 *   registry: Registry.Service,
 *   repository: RepositoryName,
 *   tag: Tag,
 *   content: SignedManifest.Content,
 *   privateKey: Redacted.Redacted
 * ) =>
 *   Effect.gen(function*() {
 *     const signed = yield* SignedManifest.sign(SignedManifest.make(content), { privateKey })
 *     return yield* registry.putManifest(repository, signed.manifest, { tags: [tag] })
 *   })
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const sign = Effect.fnUntraced(function* (
  self: SignedManifest,
  options: SignOptions
): Effect.fn.Return<SignedManifest, InvalidSignature> {
  const { algorithm, jose, privateKey, publicKey, x5c } = yield* Effect.mapError(
    JoseKey.read(options),
    ({ fix, problem }) =>
      new InvalidSignature({
        reason: "Key",
        message: `the key that signs the manifest: ${problem}. ${fix}`
      })
  )
  const jwk = yield* Effect.promise(() => JoseKey.describe(jose, publicKey))
  const now = yield* Clock.currentTimeMillis
  const [head, tail] = SignedPayload.split(self.payload)
  const { protected: format = "", signature } = yield* Effect.promise(() =>
    new jose.FlattenedSign(self.payload)
      .setProtectedHeader({
        formatLength: head.length,
        formatTail: Encoding.encodeBase64Url(tail),
        time: `${new Date(now).toISOString().slice(0, 19)}Z`
      })
      .setUnprotectedHeader({ alg: algorithm })
      .sign(privateKey)
  )
  const header = x5c === undefined ? { jwk, alg: algorithm } : { alg: algorithm, x5c }
  const signatures = [...self.signatures, { header, signature, protected: format }]
  const bytes = SignedPayload.join(head, tail, signatures)
  return {
    ...self,
    manifest: manifestOf(bytes, self.payload, MediaType.dockerSchema1Signed),
    signatures
  }
})

// -----------------------------------------------------------------------------
// Conversion
// -----------------------------------------------------------------------------

/**
 * A layer of an image of schema 1.
 *
 * @since 0.1.0
 * @category models
 */
export interface Layer {
  readonly digest: Digest.Digest
  /** The step that made it; one that is an `empty_layer` has nothing in its blob. */
  readonly history: ImageConfig.History
}

/**
 * Returns the layers, from the base to the top, as an image configuration has them.
 *
 * Fails with `InvalidManifest` where the history of one is not JSON, or not of its form.
 *
 * @since 0.1.0
 * @category getters
 */
export const layers = (
  self: SignedManifest
): Effect.Effect<ReadonlyArray<Layer>, Manifest.InvalidManifest> =>
  Effect.map(Parsed.toEffect(SignedConfig.steps(self.content)), (steps) =>
    steps
      .map((step, at) => ({
        digest: self.content.fsLayers[at]?.blobSum,
        history: SignedConfig.historyOf(step)
      }))
      .filter((layer): layer is Layer => layer.digest !== undefined)
      .reverse()
  )

/**
 * Converts what the manifest says of the image into an image configuration, with the digests of its
 * layers as tar archives that are not compressed, from the base to the top, less those of empty
 * ones ({@link layers}). Schema 1 has no such digests, and an image cannot be unpacked without.
 *
 * Fails with `InvalidManifest`, and with `InvalidImageConfig` for the reason `Layers` if the number
 * of digests is not that of the layers.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toImageConfig = Effect.fnUntraced(function* (
  self: SignedManifest,
  diffIds: ReadonlyArray<Digest.Digest>
): Effect.fn.Return<
  ImageConfig.Content,
  Manifest.InvalidManifest | ImageConfig.InvalidImageConfig
> {
  const steps = yield* Parsed.toEffect(SignedConfig.steps(self.content))
  const config = yield* Parsed.toEffect(SignedConfig.of(self.content, steps, diffIds))
  // S32
  const filled = config.history?.filter(({ empty_layer }) => empty_layer !== true) ?? []
  if (filled.length === diffIds.length) return config
  return yield* new ImageConfig.InvalidImageConfig({
    reason: "Layers",
    path: "rootfs.diff_ids",
    message: `there are ${diffIds.length} diff ids for ${filled.length} layers that are not empty`
  })
})

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

const parse = (bytes: Uint8Array): Either.Either<unknown, Manifest.InvalidManifest> =>
  Either.mapLeft(
    JsonText.parseObject(bytes),
    (problem) =>
      new Manifest.InvalidManifest({ reason: "Json", message: `the manifest ${problem}` })
  )

const invalid = (reason: "MediaType" | "Shape", message: string, path?: string) =>
  Either.left(
    new Manifest.InvalidManifest({ reason, message, ...(path !== undefined && { path }) })
  )
