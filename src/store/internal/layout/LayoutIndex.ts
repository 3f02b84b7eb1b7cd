/**
 * The `index.json` of a layout: which manifests it has, and under which names. What is not known of
 * it stays as it is.
 */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Annotations from "../../../spec/Annotations.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import * as Digest from "../../../spec/Digest.js"
import type { Document } from "../../../spec/internal/ManifestDocument.js"
import * as MediaType from "../../../spec/MediaType.js"
import * as Reference from "../../../spec/Reference.js"

/** The annotation of entries that were put without a name, as opposed to those nobody named. */
const untagged = "effect-oci.untagged"

/** An entry of the index: a manifest under one name, or without one. */
export interface Entry {
  raw: Document
  readonly digest: Digest.Digest
  tag: Reference.Tag | undefined
}

/**
 * What an index holds. It is changed in place: readers share one that nobody changes, and each
 * writer has a copy.
 */
export class LayoutIndex {
  private readonly byDigest = new Map<Digest.Digest, Set<Entry>>()
  private readonly byTag = new Map<Reference.Tag, Set<Entry>>()
  /** Whether it differs from what was read. */
  changed = false

  constructor(
    private readonly document: Document,
    /** All entries in order; those that are no descriptors have no digest, and are kept. */
    private readonly entries: Set<Entry | { readonly raw: unknown }>
  ) {
    for (const entry of entries) if (isEntry(entry)) this.add(entry)
  }

  copy(): LayoutIndex {
    return new LayoutIndex(this.document, new Set([...this.entries].map((entry) => ({ ...entry }))))
  }

  encode(): Uint8Array {
    const manifests = [...this.entries].map(({ raw }) => raw)
    return new TextEncoder().encode(JSON.stringify({ ...this.document, manifests }))
  }

  // ---------------------------------------------------------------------------
  // Reading
  // ---------------------------------------------------------------------------

  /** All tags, in no order. */
  get tags(): ReadonlyArray<Reference.Tag> {
    const implied = this.implied
    return [...this.byTag.keys(), ...(implied === undefined ? [] : [latest])]
  }

  /** Each manifest once. */
  get digests(): Iterable<Digest.Digest> {
    return this.byDigest.keys()
  }

  /** The names of a manifest as other programs wrote them: the longest one of each entry. */
  names(digest: Digest.Digest): ReadonlyArray<string> {
    const names = [...(this.byDigest.get(digest) ?? [])].flatMap(({ raw }) =>
      namesOf(raw).slice(-1)
    )
    return [...new Set(names)]
  }

  /** All that it says, besides which manifests it has. */
  get content(): ReadonlyArray<unknown> {
    const { manifests: _, ...members } = this.document
    return [members, ...[...this.entries].map(({ raw }) => raw)]
  }

  has(digest: Digest.Digest): boolean {
    return this.byDigest.has(digest)
  }

  /** Returns the descriptor of a manifest. The media type is empty where the entry has none. */
  descriptor(digest: Digest.Digest): Descriptor | undefined {
    const [entry] = this.byDigest.get(digest) ?? []
    if (entry === undefined) return undefined
    const { mediaType, size } = entry.raw
    return {
      mediaType: typeof mediaType === "string" ? mediaType : "",
      digest,
      size: typeof size === "number" ? size : -1
    }
  }

  /** Returns the manifests that a tag stands on: more than one if the layout is not right (S3). */
  resolve(tag: Reference.Tag): ReadonlyArray<Digest.Digest> {
    return [...new Set(this.holders(tag).map(({ digest }) => digest))]
  }

  // ---------------------------------------------------------------------------
  // Changing
  // ---------------------------------------------------------------------------

  /** Puts a manifest under tags, or without a name if there is none and it has none (S3). */
  put(
    { artifactType, digest, mediaType, size }: Descriptor,
    tags: ReadonlyArray<Reference.Tag>
  ): void {
    const current = this.descriptor(digest)
    if (current !== undefined && (current.mediaType !== mediaType || current.size !== size))
      for (const entry of this.byDigest.get(digest) ?? [])
        this.replace(entry, { ...entry.raw, mediaType, size })
    const entryOf = (annotations: Annotations.Annotations): Entry => ({
      raw: {
        mediaType,
        digest,
        size,
        ...(artifactType !== undefined && { artifactType }),
        annotations
      },
      digest,
      tag: undefined
    })
    if (tags.length === 0 && current === undefined) this.insert(entryOf({ [untagged]: "true" }))
    for (const tag of tags) {
      const holders = this.holders(tag)
      const others = holders.filter((entry) => entry.digest !== digest)
      // Full references that end alike are names of several images, not one name.
      if (isExact(others, tag) || new Set(others.map((entry) => entry.digest)).size === 1)
        for (const entry of others) this.unname(entry)
      if (holders.length > others.length) continue
      const nameless = [...(this.byDigest.get(digest) ?? [])].find(
        ({ raw }) => namesOf(raw).length === 0
      )
      if (nameless === undefined) {
        this.insert({ ...entryOf({ [Annotations.refName]: tag }), tag })
      } else {
        const { [untagged]: _, ...annotations } = annotationsOf(nameless.raw)
        this.replace(nameless, {
          ...nameless.raw,
          annotations: { ...annotations, [Annotations.refName]: tag }
        })
      }
    }
  }

  /** Removes a name, and leaves its manifest. Returns whether there was such a name. */
  removeTag(tag: Reference.Tag): boolean {
    const named = [...(this.byTag.get(tag) ?? this.holders(tag))]
    for (const entry of named) this.unname(entry)
    return named.length > 0
  }

  /** Removes a manifest with its names. Returns whether it was there. */
  removeManifest(digest: Digest.Digest): boolean {
    const entries = this.byDigest.get(digest)
    for (const entry of [...(entries ?? [])]) this.delete(entry)
    return entries !== undefined
  }

  /**
   * The entries that a tag names: those named exactly so, else those whose full reference ends so
   * (S2), else the sole entry that nobody named, as `latest`.
   */
  private holders(tag: Reference.Tag): ReadonlyArray<Entry> {
    const named = [...(this.byTag.get(tag) ?? [])]
    if (named.length === 0)
      return tag === latest && this.implied !== undefined ? [this.implied] : []
    const exact = named.filter((entry) => isExact([entry], tag))
    return exact.length > 0 ? exact : named
  }

  /** The sole entry, if no program gave it a name, or took its name away. */
  private get implied(): Entry | undefined {
    if (this.entries.size !== 1 || this.byTag.size > 0) return undefined
    const [entry] = this.entries
    return entry !== undefined && isEntry(entry) && !(untagged in annotationsOf(entry.raw))
      ? entry
      : undefined
  }

  private unname(entry: Entry): void {
    if ((this.byDigest.get(entry.digest)?.size ?? 0) > 1) {
      this.delete(entry)
      return
    }
    const annotations = Object.entries(annotationsOf(entry.raw)).filter(
      ([key, name]) => !isNaming(key) || typeof name !== "string" || tagIn(name) === undefined
    )
    const left = { ...Object.fromEntries(annotations), [untagged]: "true" }
    this.replace(entry, { ...entry.raw, annotations: left })
  }

  private replace(entry: Entry, raw: Document): void {
    this.drop(entry)
    entry.raw = raw
    entry.tag = tagOf(raw)
    this.add(entry)
    this.changed = true
  }

  private insert(entry: Entry): void {
    this.entries.add(entry)
    this.add(entry)
    this.changed = true
  }

  private delete(entry: Entry): void {
    this.entries.delete(entry)
    this.drop(entry)
    this.changed = true
  }

  private add(entry: Entry): void {
    include(this.byDigest, entry.digest, entry)
    if (entry.tag !== undefined) include(this.byTag, entry.tag, entry)
  }

  private drop(entry: Entry): void {
    exclude(this.byDigest, entry.digest, entry)
    if (entry.tag !== undefined) exclude(this.byTag, entry.tag, entry)
  }
}

/** An index without manifests. */
export const empty = (): LayoutIndex =>
  new LayoutIndex({ schemaVersion: 2, mediaType: MediaType.imageIndex }, new Set())

/** Reads an index: none if it is not a JSON object with a list of manifests. */
export const parse = (bytes: Uint8Array): Option.Option<LayoutIndex> =>
  Option.flatMap(parseJson(bytes), fromJson)

/** Makes an index of what its JSON is. */
export const fromJson = (json: unknown): Option.Option<LayoutIndex> =>
  Option.flatMap(Option.liftPredicate(isDocument)(json), (document) => {
    const manifests: unknown = document["manifests"] ?? []
    return Array.isArray(manifests)
      ? Option.some(
          new LayoutIndex(document, new Set(manifests.map((raw: unknown) => entryFrom(raw))))
        )
      : Option.none()
  })

/** An index of ours can have more tokens than the documents of strangers may have. */
const parseJson = Option.liftThrowable((bytes: Uint8Array): unknown =>
  JSON.parse(new TextDecoder().decode(bytes))
)

const latest = Reference.unsafeParseTag("latest")

const entryFrom = (raw: unknown): Entry | { readonly raw: unknown } =>
  isDocument(raw) && Digest.isDigest(raw["digest"])
    ? { raw, digest: raw["digest"], tag: tagOf(raw) }
    : { raw }

const isEntry = (entry: Entry | { readonly raw: unknown }): entry is Entry => "digest" in entry

const isDocument = (u: unknown): u is Document => Predicate.isRecord(u)

const annotationsOf = ({ annotations }: Document): Document =>
  isDocument(annotations) ? annotations : {}

const isExact = (entries: ReadonlyArray<Entry>, tag: Reference.Tag): boolean =>
  entries.some(({ raw }) => namesOf(raw).includes(tag))

/** The names of an entry: the specification's before that of containerd. */
const namesOf = (raw: Document): ReadonlyArray<string> => {
  const annotations = annotationsOf(raw)
  return [annotations[Annotations.refName], annotations[Annotations.imageName]].filter(
    (name): name is string => typeof name === "string" && name !== ""
  )
}

const isNaming = (annotation: string): boolean =>
  annotation === Annotations.refName || annotation === Annotations.imageName

const tagOf = (raw: Document): Reference.Tag | undefined =>
  namesOf(raw).map(tagIn).find(Predicate.isNotUndefined)

/**
 * The tag in a name: the name itself, or what a full reference ends with, which podman and skopeo
 * write (S2).
 */
const tagIn = (name: string): Reference.Tag | undefined => {
  // Any name and tag have the form of a digest, of an algorithm that nobody knows.
  if (Digest.isDigest(name) && Digest.isVerifiable(name)) return undefined
  const [plain = ""] = name.split("@", 1)
  const last = plain.slice(plain.lastIndexOf(":") + 1)
  if (Reference.isTag(last)) return last
  return plain === name && plain.includes("/") ? latest : undefined
}

const include = <K>(map: Map<K, Set<Entry>>, key: K, entry: Entry): void => {
  const entries = map.get(key)
  if (entries === undefined) map.set(key, new Set([entry]))
  else entries.add(entry)
}

const exclude = <K>(map: Map<K, Set<Entry>>, key: K, entry: Entry): void => {
  const entries = map.get(key)
  entries?.delete(entry)
  if (entries?.size === 0) map.delete(key)
}
