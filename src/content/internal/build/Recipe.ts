/** What images are built of. */
import type * as Option from "effect/Option"
import type { BlobSource } from "../../../BlobSource.js"
import type { Annotations } from "../../../spec/Annotations.js"
import type { Descriptor } from "../../../spec/Descriptor.js"
import type { Digest } from "../../../spec/Digest.js"
import type * as ImageConfig from "../../../spec/ImageConfig.js"
import type { PulledContent } from "../../Artifact.js"
import type { Image } from "../../Image.js"
import type { InvalidImage } from "./InvalidImage.js"

/** The family of media types of an image. */
export type Format = "oci" | "docker"

/** How a layer is compressed. */
export type Algorithm = "gzip" | "zstd" | "none"

/** Whose an entry is, and when it was modified. */
export interface Attributes {
  /**
   * The permission bits, with those of set-user-id, set-group-id and sticky: by default `0o644` for
   * files, and for folders what the base has, or `0o755`.
   */
  readonly mode?: number | undefined
  /** 0 by default, and for folders what the base has. */
  readonly uid?: number | undefined
  /** 0 by default, and for folders what the base has. */
  readonly gid?: number | undefined
  /** In seconds since 1970: 0 by default, and for folders what the base has. */
  readonly modified?: number | undefined
}

/** A regular file. */
export interface RegularFile<out E = never, out R = never> extends Attributes {
  readonly path: string
  readonly type?: "file" | undefined
  /**
   * Its content. Where the size is not known, it is read once more for that. A source that can be
   * read only once is uploaded as it is read: `push` takes it, and `build` does not.
   */
  readonly source: BlobSource<E, R> | Uint8Array
}

/** A folder. Those that files are in need not be given. */
export interface Folder extends Attributes {
  readonly path: string
  readonly type: "directory"
}

/**
 * A link: to whatever text, or another name of a file of the same layer, whose attributes it has.
 */
export interface Link extends Attributes {
  readonly path: string
  readonly type: "symlink" | "hardlink"
  readonly target: string
}

/** What a layer is made of. */
export type File<E = never, R = never> = RegularFile<E, R> | Folder | Link

/** How a new layer is stored, and what is said of it. */
export interface NewLayer {
  /** `gzip` by default. */
  readonly compression?: Algorithm | undefined
  /** The level: for gzip 0 to 9, by default 6, and for zstd 1 to 22, by default 3. */
  readonly level?: number | undefined
  /** The annotations of its descriptor. */
  readonly annotations?: Annotations | undefined
  /** The step of the history that it is, said to be `created_by` effect-oci by default. */
  readonly history?: ImageConfig.History | undefined
}

/** A layer of files. */
export interface FileLayer<out E = never, out R = never> extends NewLayer {
  /** Whose files belong that say no user of their own, 0 by default. */
  readonly uid?: number | undefined
  /** Whose files belong that say no group of their own, 0 by default. */
  readonly gid?: number | undefined
  /** When files were modified that do not say it, in seconds since 1970: 0 by default. */
  readonly modified?: number | undefined
  readonly files: ReadonlyArray<File<E, R>>
}

/** A layer that is an archive. */
export interface ArchiveLayer<out E = never, out R = never> extends NewLayer {
  /** The archive, compressed or not. One that can be read only once must not be compressed. */
  readonly archive: BlobSource<E, R> | Uint8Array
}

/** A layer that is in a registry. */
export interface ExistingLayer extends PulledContent {
  /** The digest of its tar archive. */
  readonly diffId?: Digest | undefined
  /** The step of the history that made it. */
  readonly history?: Option.Option<ImageConfig.History> | undefined
}

/** A layer that is in a registry, to be compressed otherwise. */
export interface RecompressedLayer extends NewLayer {
  readonly recompressed: ExistingLayer
}

/** A layer of an image. */
export type Layer<E = never, R = never> =
  | FileLayer<E, R>
  | ArchiveLayer<E, R>
  | ExistingLayer
  | RecompressedLayer

/** How containers of the image are run. */
export interface Config {
  /** The program and its first arguments. The `cmd` of the base goes with its entrypoint. */
  readonly entrypoint?: ReadonlyArray<string> | undefined
  /** The arguments of the entrypoint, or the program where there is none. */
  readonly cmd?: ReadonlyArray<string> | undefined
  /** Variables of the environment, in addition to the base's. `undefined` removes one. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Labels, in addition to the base's. `undefined` removes one. */
  readonly labels?: Readonly<Record<string, string | undefined>> | undefined
  /** The user, with or without a group, by name or number: `65532:65532`. */
  readonly user?: string | undefined
  /** Ports, in addition to the base's: `8080`, which is TCP, or `53/udp`. */
  readonly exposedPorts?: ReadonlyArray<number | string> | undefined
  /** Paths of volumes, in addition to the base's. */
  readonly volumes?: ReadonlyArray<string> | undefined
  readonly workingDirectory?: string | undefined
  /** The signal that stops it: `SIGTERM`, or a number. */
  readonly stopSignal?: string | undefined
  /** Who made the image. */
  readonly author?: string | undefined
}

/** What is changed of an image. */
export interface Changes<out E = never, out R = never> {
  /** Layers that are added on top, in their order. */
  readonly layers?: ReadonlyArray<Layer<E, R>> | undefined
  readonly config?: Config | undefined
  /** Annotations of the manifest, in addition to those that there are. `undefined` removes one. */
  readonly annotations?: Readonly<Record<string, string | undefined>> | undefined
  /**
   * When the image and the layers that are added were made. By default it is not said, or as in the
   * base: the time of the clock is never taken, so that equal images are made of equal things.
   */
  readonly created?: Date | undefined
  /** The family of media types, to which all of the image is converted: by default, as it is. */
  readonly format?: Format | undefined
  /** Compresses layers that are in a registry and compressed otherwise in this way. */
  readonly recompress?: Algorithm | undefined
}

/** An image to build. */
export interface ImageBuild<out E = never, out R = never> {
  readonly _tag: "ImageBuild"
  readonly format: Format
  /** The configuration, without what the layers add to it. */
  readonly config: Omit<ImageConfig.Content, "rootfs">
  /** The layers, from the base to the top. */
  readonly layers: ReadonlyArray<Layer<E, R>>
  readonly annotations: Annotations
  /** What the manifest says that its artifact is, if it does. */
  readonly artifactType?: string | undefined
  /** What the image is attached to, if it is. */
  readonly subject?: Descriptor | undefined
  /** The members of the manifest that are not known, which are kept. */
  readonly unknown?: Readonly<Record<string, unknown>> | undefined
  /**
   * The attestations of the image that this one is made of, as the index has them that it was
   * chosen from. They are not for this one, and are not pushed.
   */
  readonly attestations: ReadonlyArray<Descriptor>
  /** What is wrong with the changes, if anything: building fails with it. */
  readonly invalid: InvalidImage | undefined
}

/** What an index lists. */
export type Item<E = never, R = never> = ImageBuild<E, R> | IndexBuild<E, R> | Image | Descriptor

/** An index to build. */
export interface IndexBuild<out E = never, out R = never> {
  readonly _tag: "IndexBuild"
  readonly items: ReadonlyArray<Item<E, R>>
  readonly annotations: Annotations
  readonly format: Format | undefined
}
