/** What every registry of this suite holds, by symbol, and what is pushed to it. */
import * as Effect from "effect/Effect"
import * as BlobSource from "../../../src/BlobSource.js"
import * as Digest from "../../../src/spec/Digest.js"
import * as Manifest from "../../../src/spec/Manifest.js"
import * as MediaType from "../../../src/spec/MediaType.js"
import * as Reference from "../../../src/spec/Reference.js"
import { gather, generated, utf8 } from "../../support/fixtures.js"

const repository = (name: string) => Effect.runSync(Reference.parseRepositoryName(name))
const tag = (name: string) => Effect.runSync(Reference.parseTag(name))

/** Where everything happens. */
export const app = repository("team/app")
/** Where blobs are mounted from. */
export const base = repository("team/base")

export const v1 = tag("v1")
export const multi = tag("multi")
/** A tag that nothing has. */
export const v2 = tag("v2")

const blob = (bytes: Uint8Array, mediaType: string) => ({
  bytes,
  descriptor: { mediaType, digest: Digest.fromBytes(bytes), size: bytes.length }
})

// Of team/app.
export const c1 = blob(utf8("{}"), MediaType.imageConfig)
export const b1 = blob(utf8("b1"), MediaType.layerTar)
export const m1 = Manifest.image({ config: c1.descriptor, layers: [b1.descriptor] })
export const i1 = Manifest.index({ manifests: [m1.descriptor] })
/** Says something of `m1`. */
export const s1 = Manifest.image({
  config: c1.descriptor,
  artifactType: "application/vnd.example.s1",
  layers: [b1.descriptor],
  subject: m1.descriptor
})

// Of team/base.
export const b2 = blob(utf8("b2"), MediaType.layerTar)

// Of nobody yet.
export const m2 = Manifest.image({
  config: c1.descriptor,
  layers: [b1.descriptor],
  annotations: { "org.example.name": "m2" }
})
export const s2 = Manifest.image({
  config: c1.descriptor,
  artifactType: "application/vnd.example.s2",
  layers: [b1.descriptor],
  subject: m1.descriptor
})
export const tiny = blob(utf8("hello, world"), "application/octet-stream")
export const big = blob(Effect.runSync(gather(generated(100_000))), "application/octet-stream")
/** Twelve mebibytes. */
export const huge = blob(
  Effect.runSync(gather(generated(12 * 1024 * 1024))),
  "application/octet-stream"
)
/** Has a digest that nothing has. */
export const nothing = blob(utf8("nothing"), "application/octet-stream")

/** A source of a blob that declares its digest and its size, or less. */
export const source = (
  { bytes, descriptor: { digest, size } }: typeof big,
  declares: "both" | "size" | "nothing" = "both"
): BlobSource.BlobSource =>
  BlobSource.fromStream(
    BlobSource.fromBytes(bytes).open(0),
    declares === "both" ? { digest, size } : declares === "size" ? { size } : {}
  )

const symbols = { c1, b1, m1, i1, s1, b2, m2, s2, tiny, big, huge, nothing }

/**
 * Text with symbols for digests, as they are or as they stand in a query, and for tags that list
 * referrers.
 */
export const withSymbols = (text: string): string =>
  Object.entries(symbols).reduce(
    (named, [symbol, { descriptor }]) =>
      named
        .replaceAll(descriptor.digest, symbol)
        .replaceAll(encodeURIComponent(descriptor.digest), symbol)
        .replaceAll(descriptor.digest.replace(":", "-"), `referrers-of-${symbol}`),
    text
  )
