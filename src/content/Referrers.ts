/**
 * What is attached to images and artifacts: signatures, bills of materials, attestations, and what
 * is attached to those in turn. `walk` and `tree` take a reference, and the registry from
 * `Registries`; `walkFrom` and `treeFrom` take the registry as well. `Artifact.attach` attaches.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as References from "../internal/References.js"
import { Registries } from "../Registries.js"
import type { Registry } from "../Registry.js"
import { type InputError, ManifestUnknown } from "../RegistryError.js"
import type * as Descriptor from "../spec/Descriptor.js"
import type { Digest } from "../spec/Digest.js"
import * as Reference from "../spec/Reference.js"
import * as AttachmentWalk from "./internal/AttachmentWalk.js"

/**
 * How something is attached to its subject.
 *
 * - `Referrer`: its manifest names the subject, and it is among the subject's referrers, whether
 *   the registry keeps that list or the referrers tag does ([Listing
 *   Referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).
 * - `CosignTag`: it has a tag made of the subject's digest, as cosign writes it by default before
 *   version 3: `sha256-….sig` for signatures, `.att` for attestations, and `.sbom`
 *   ([cosign's signature
 *   specification](https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery)).
 *   One such manifest holds all that cosign attached of its kind.
 *
 * @since 0.1.0
 * @category models
 */
export type Link =
  | { readonly _tag: "Referrer" }
  | {
      readonly _tag: "CosignTag"
      readonly tag: Reference.Tag
      readonly kind: "Signature" | "Attestation" | "Sbom"
    }

/**
 * Something attached to a manifest.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attachment {
  /** The reference to it by digest, as `Artifact.pull` takes it. */
  readonly reference: Reference.Reference
  /**
   * Its media type, digest and size; and, of a referrer, the artifact type and the annotations that
   * the list has.
   */
  readonly descriptor: Descriptor.Descriptor
  readonly link: Link
  /**
   * What it is attached to: the manifest asked about, another attachment, or a manifest of an index
   * with its platform.
   */
  readonly subject: Descriptor.Descriptor
  /** The number of attachments from the manifest asked about to this one, itself included. */
  readonly depth: number
}

/**
 * Says what is looked for.
 *
 * @since 0.1.0
 * @category models
 */
export interface WalkOptions extends AttachmentWalk.Options {}

/**
 * The errors of `walk` and `tree`. `ManifestUnknown` says that there is no such manifest,
 * `LimitExceeded` that there is more than the limits of `WalkOptions` allow, and `Unsupported` that
 * the registry neither lists referrers nor may the referrers tag be read in its place.
 *
 * @since 0.1.0
 * @category errors
 */
export type WalkError = Registry.GetManifestError

/**
 * Streams all that is attached to a manifest, then what is attached to that, and so on, in the
 * registry's order: what is one step away comes first, and from an index to its manifests is a step
 * as well. Without tag and digest, the tag is `latest`.
 *
 * A manifest that is met again is emitted again, as long as it is attached to something else, and
 * what is attached to it is not: lists that lead in a circle end.
 *
 * Fails with `InvalidReference` or `InvalidUrl` before anything is sent, and with `WalkError`.
 *
 * @example
 * ```ts
 * import * as Artifact from "effect-oci/Artifact"
 * import * as ArtifactType from "effect-oci/ArtifactType"
 * import * as Referrers from "effect-oci/Referrers"
 * import * as Stream from "effect/Stream"
 *
 * // The bills of materials of an image, and of each of its platforms.
 * const sboms = Referrers.walk("ghcr.io/owner/app:1.0.0", {
 *   artifactType: ArtifactType.spdx,
 *   depth: 1,
 *   platforms: true
 * }).pipe(Stream.mapEffect(({ reference }) => Artifact.pull(reference)))
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const walk = (
  reference: string | Reference.Reference,
  options?: WalkOptions
): Stream.Stream<Attachment, WalkError | InputError, Registries> =>
  References.stream("Referrers.walk", reference, (parsed) =>
    Stream.unwrap(Effect.map(registryOf(parsed), (registry) => walkFrom(registry, parsed, options)))
  )

/**
 * Streams all that is attached to a manifest of a registry, as `walk` does. The host of the
 * reference is ignored.
 *
 * @since 0.1.0
 * @category operations
 */
export const walkFrom = (
  registry: Registry.Service,
  reference: Reference.Reference,
  options?: WalkOptions
): Stream.Stream<Attachment, WalkError> =>
  Stream.unwrap(
    Effect.map(rootOf(registry, reference), (root) =>
      Stream.filterMap(
        AttachmentWalk.walk(registry, reference.repository, [root], options),
        (met) => {
          if (met._tag === "Member") return Option.none()
          const { depth, descriptor, link, subject } = met
          const at = Reference.withDigest(reference, descriptor.digest)
          return Option.some<Attachment>({ reference: at, descriptor, link, subject, depth })
        }
      )
    )
  )

/**
 * A manifest, with what is attached to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tree {
  /** The reference to it by digest. */
  readonly reference: Reference.Reference
  /** As `Attachment` has it; of a manifest of an index, with its platform. */
  readonly descriptor: Descriptor.Descriptor
  readonly attachments: ReadonlyArray<AttachmentTree>
  /** The manifests of an index, where `platforms` asks for them. */
  readonly manifests: ReadonlyArray<Tree>
}

/**
 * Something attached to a manifest, with what is attached to it.
 *
 * @since 0.1.0
 * @category models
 */
export interface AttachmentTree extends Tree {
  readonly link: Link
}

/**
 * Returns what `walk` streams, as a tree. What is attached to a manifest that is met more than once
 * stands where it is met first.
 *
 * Fails as `walk` does.
 *
 * @example
 * ```ts
 * import * as Referrers from "effect-oci/Referrers"
 * import * as Effect from "effect/Effect"
 *
 * const lines = ({ attachments, descriptor }: Referrers.Tree): ReadonlyArray<string> => [
 *   `${descriptor.digest} ${descriptor.artifactType ?? descriptor.mediaType}`,
 *   ...attachments.flatMap(lines).map((line) => `  ${line}`)
 * ]
 *
 * const text = Effect.map(Referrers.tree("ghcr.io/owner/app:1.0.0"), (tree) =>
 *   lines(tree).join("\n")
 * )
 * ```
 *
 * @since 0.1.0
 * @category operations
 */
export const tree = (
  reference: string | Reference.Reference,
  options?: WalkOptions
): Effect.Effect<Tree, WalkError | InputError, Registries> =>
  References.run("Referrers.tree", reference, (parsed) =>
    Effect.flatMap(registryOf(parsed), (registry) => treeFrom(registry, parsed, options))
  )

/**
 * Returns what is attached to a manifest of a registry, as `tree` does. The host of the reference
 * is ignored.
 *
 * @since 0.1.0
 * @category operations
 */
export const treeFrom = Effect.fnUntraced(function* (
  registry: Registry.Service,
  reference: Reference.Reference,
  options?: WalkOptions
): Effect.fn.Return<Tree, WalkError> {
  const root = yield* rootOf(registry, reference)
  const below = new Map<Digest, Array<Met>>([[root.digest, []]])
  const firsts = new Set<Met>()
  const walked = AttachmentWalk.walk(registry, reference.repository, [root], options)
  yield* Stream.runForEach(walked, (met) =>
    Effect.sync(() => {
      const above = met._tag === "Member" ? met.index : met.subject
      below.get(above.digest)?.push(met)
      const { digest } = met.descriptor
      if (below.has(digest)) return
      below.set(digest, [])
      firsts.add(met)
    })
  )
  const build = (descriptor: Descriptor.Descriptor, found: ReadonlyArray<Met>): Tree => {
    const attachments: Array<AttachmentTree> = []
    const manifests: Array<Tree> = []
    for (const met of found) {
      const { digest } = met.descriptor
      const built = build(met.descriptor, firsts.has(met) ? (below.get(digest) ?? []) : [])
      if (met._tag === "Member") manifests.push(built)
      else attachments.push({ ...built, link: met.link })
    }
    const at = Reference.withDigest(reference, descriptor.digest)
    return { reference: at, descriptor, attachments, manifests }
  }
  return build(root, below.get(root.digest) ?? [])
})

type Met = AttachmentWalk.Attachment | AttachmentWalk.Member

/** Returns what a reference leads to. */
const rootOf = Effect.fnUntraced(function* (
  registry: Registry.Service,
  reference: Reference.Reference
) {
  const { host, repository } = reference
  const version = Reference.tagOrDigest(reference)
  const found = yield* registry.headManifest(repository, version)
  return Option.isSome(found)
    ? found.value
    : yield* new ManifestUnknown({ host, repository, reference: version })
})

const registryOf = ({ host }: Reference.Reference) =>
  Effect.flatMap(Registries, ({ get }) => get(host))
