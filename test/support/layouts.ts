/** Layouts as other programs write them, and layouts of ours on files that misbehave. */
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import * as Annotations from "../../src/spec/Annotations.js"
import * as Digest from "../../src/spec/Digest.js"
import * as Manifest from "../../src/spec/Manifest.js"
import * as MediaType from "../../src/spec/MediaType.js"
import * as LayoutRegistry from "../../src/store/LayoutRegistry.js"
import { freshBytes } from "./fixtures.js"
import { folder } from "./machine.js"

/** The errors of operations that are to fail. */
export const failures = <R = never>(
  ...operations: ReadonlyArray<
    Effect.Effect<unknown, { readonly _tag: string; readonly message: string }, R>
  >
) => Effect.forEach(operations, (operation) => Effect.flip(operation))

/** A registry in a new folder, and where its repository `app` is. */
export const fresh = Effect.gen(function* () {
  const root = yield* folder()
  return { root, layout: Path.join(root, "app"), registry: yield* NodeLayout.make({ path: root }) }
})

/** The annotation that names an entry. */
export const refName = (value: string) => ({ [Annotations.refName]: value })

/** The path of a blob in a layout. */
export const blobPath = (layout: string, digest: Digest.Digest): string =>
  Path.join(layout, "blobs", Digest.algorithm(digest), Digest.encoded(digest))

/** Writes a blob, and returns its digest and size. */
export const writeBlob = (layout: string, bytes: Uint8Array) =>
  Effect.promise(async () => {
    const digest = Digest.fromBytes(bytes)
    const path = blobPath(layout, digest)
    await Fs.mkdir(Path.dirname(path), { recursive: true })
    await Fs.writeFile(path, bytes)
    return { digest, size: bytes.length }
  })

/** Writes an image with a config and a layer, and returns its manifest. */
export const writeImage = (layout: string) =>
  Effect.gen(function* () {
    const config = yield* writeBlob(layout, freshBytes("config"))
    const layer = yield* writeBlob(layout, freshBytes("layer"))
    const manifest = Manifest.image({
      config: { ...config, mediaType: MediaType.imageConfig },
      layers: [{ ...layer, mediaType: MediaType.layerTar }]
    })
    yield* writeBlob(layout, manifest.bytes)
    return manifest
  })

/** Writes the files that make a folder a layout, with these entries and other members. */
export const writeIndex = (
  layout: string,
  manifests: ReadonlyArray<unknown>,
  members: Readonly<Record<string, unknown>> = {}
) =>
  Effect.promise(async () => {
    await Fs.mkdir(layout, { recursive: true })
    const index = { schemaVersion: 2, manifests, ...members }
    await Fs.writeFile(Path.join(layout, "index.json"), JSON.stringify(index))
    const header = { imageLayoutVersion: "1.0.0" }
    await Fs.writeFile(Path.join(layout, "oci-layout"), JSON.stringify(header))
  })

/** An entry of an index with these annotations. */
export const entry = (
  { descriptor: { digest, mediaType, size } }: Manifest.Manifest,
  annotations?: Readonly<Record<string, string>>
) => ({ mediaType, digest, size, ...(annotations && { annotations }) })

/** What `index.json` has by now. */
export const readIndex = (
  layout: string
): Effect.Effect<{
  readonly [name: string]: unknown
  readonly manifests: ReadonlyArray<{
    readonly digest: string
    readonly annotations?: Readonly<Record<string, string>>
  }>
}> =>
  Effect.promise(async () => JSON.parse(await Fs.readFile(Path.join(layout, "index.json"), "utf8")))

/** A registry whose files, or what it knows of the system, are changed. */
export const changed = (
  options: LayoutRegistry.Options,
  change: {
    readonly files?: (files: FileSystem.FileSystem) => Partial<FileSystem.FileSystem>
    readonly system?: Partial<LayoutRegistry.System.Service>
  }
) =>
  LayoutRegistry.make(options).pipe(
    Effect.provide(
      Layer.mergeAll(
        NodePath.layer,
        Layer.map(NodeFileSystem.layer, (context) => context).pipe(
          Layer.project(FileSystem.FileSystem, FileSystem.FileSystem, (files) => ({
            ...files,
            ...change.files?.(files)
          }))
        ),
        Layer.project(
          NodeLayout.layerSystem,
          LayoutRegistry.System,
          LayoutRegistry.System,
          (system) => ({ ...system, ...change.system })
        )
      )
    )
  )

/** Opens files whose writes are changed. */
export const writing =
  (write: (file: FileSystem.File, bytes: Uint8Array) => ReturnType<FileSystem.File["write"]>) =>
  (files: FileSystem.FileSystem): Partial<FileSystem.FileSystem> => ({
    open: (path, options) =>
      Effect.map(
        files.open(path, options),
        (file): FileSystem.File =>
          Object.assign(Object.create(file), { write: (bytes: Uint8Array) => write(file, bytes) })
      )
  })
