/**
 * Copies between two of Debian's `docker-registry` with their files in memory, and between one and
 * an image layout: by this library in a process that has copied before, by a process of its own, by
 * undici alone, and by other clients, less what `--version` takes them. Another process has put
 * there what is copied.
 */
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import * as BlobSource from "effect-oci/BlobSource"
import * as Copy from "effect-oci/Copy"
import * as Credentials from "effect-oci/Credentials"
import type { Descriptor } from "effect-oci/Descriptor"
import * as Manifest from "effect-oci/Manifest"
import * as MediaType from "effect-oci/MediaType"
import { NodeLayout, NodeRegistry } from "effect-oci/node"
import * as Platform from "effect-oci/Platform"
import * as Reference from "effect-oci/Reference"
import * as Registries from "effect-oci/Registries"
import type { Registry } from "effect-oci/Registry"
import * as Bare from "./bareCopies.js"
import { block, size } from "./content.js"
import { dockerRegistry } from "./registries.js"
import type { Task, Tasks } from "./task.js"

const MiB = 1024 * 1024
const bench = Reference.unsafeParseRepositoryName("bench")
/** Where an image is that a process copies before its time starts. */
const warm = Reference.unsafeParseRepositoryName("warm")
const v1 = Reference.unsafeParseTag("v1")
const runtime = ManagedRuntime.make(
  NodeRegistry.layerRegistries().pipe(Layer.provide(Credentials.layerAnonymous))
)

/** A blob that is like no other of another `n`. */
const blob = (
  registry: Registry.Service,
  mediaType: string,
  n: number,
  bytes: number,
  repository = bench
) => {
  const first = Buffer.from(block)
  first.writeUInt32LE(n)
  const parts = Array.from({ length: Math.ceil(bytes / MiB) }, (_, part) =>
    (part === 0 ? first : block).subarray(0, Math.min(MiB, bytes - part * MiB))
  )
  return registry.putBlob(repository, BlobSource.fromBytes(Buffer.concat(parts)), { mediaType })
}

const largeBlob = (registry: Registry.Service) =>
  registry.putBlob(
    bench,
    BlobSource.fromStream(Stream.take(Stream.forever(Stream.make(block)), size / MiB), { size }),
    { mediaType: MediaType.layerTar }
  )

const image = Effect.fnUntraced(function* (
  registry: Registry.Service,
  all: ReadonlyArray<Descriptor>,
  n: number,
  tags: ReadonlyArray<string>,
  repository = bench
) {
  const diffIds = all.map(({ digest }) => digest)
  const config = yield* registry.putBlob(
    repository,
    BlobSource.fromBytes(
      Buffer.from(
        JSON.stringify({
          architecture: "amd64",
          os: "linux",
          config: { Labels: { n: `${n}` } },
          rootfs: { type: "layers", diff_ids: diffIds }
        })
      )
    ),
    { mediaType: MediaType.imageConfig }
  )
  const manifest = Manifest.image({ config, layers: all })
  yield* registry.putManifest(repository, manifest, {
    tags: tags.map(Reference.unsafeParseTag)
  })
  return manifest
})

const many = 500

/** An image of many small layers. */
const warmImage = (registry: Registry.Service) =>
  Effect.gen(function* () {
    const all = yield* Effect.forEach(Array.from({ length: 64 }), (_, n) =>
      blob(registry, MediaType.layerTar, n, 16 * 1024, warm)
    )
    yield* image(registry, all, 0, ["v1"], warm)
  })

/** What is put into the source, by work. */
const fillers: Readonly<
  Record<string, (registry: Registry.Service) => Effect.Effect<unknown, unknown>>
> = {
  "an image of 64 layers of 4 MiB": (registry) =>
    Effect.gen(function* () {
      const all = yield* Effect.forEach(Array.from({ length: 64 }), (_, n) =>
        blob(registry, MediaType.layerTar, n, 4 * MiB)
      )
      yield* image(registry, all, 0, ["v1"])
    }),
  "an image of one layer of 1 GiB": (registry) =>
    Effect.flatMap(largeBlob(registry), (layer) => image(registry, [layer], 0, ["v1"])),
  "an index of 8 platforms": (registry) =>
    Effect.gen(function* () {
      const layerOf = (n: number) => blob(registry, MediaType.layerTar, n, 4 * MiB)
      const shared = yield* Effect.forEach([0, 1, 2, 3], layerOf)
      const manifests = yield* Effect.forEach(
        ["amd64", "arm64", "386", "ppc64le", "s390x", "riscv64", "loong64", "mips64le"],
        (architecture, n) =>
          Effect.gen(function* () {
            const own = yield* Effect.forEach([4, 5, 6, 7], (part) => layerOf(8 * (n + 1) + part))
            const { descriptor } = yield* image(registry, [...shared, ...own], n, [])
            const platform = Platform.make({ os: "linux", architecture })
            return { ...descriptor, platform }
          })
      )
      yield* registry.putManifest(bench, Manifest.index({ manifests }), {
        tags: [Reference.unsafeParseTag("v1")]
      })
    }),
  "500 small images of one repository": (registry) =>
    Effect.gen(function* () {
      const all = yield* Effect.forEach([0, 1, 2], (n) =>
        blob(registry, MediaType.layerTar, n, 64 * 1024)
      )
      yield* Effect.forEach(
        Array.from({ length: many }),
        (_, n) => image(registry, all, n, [`v${n}`]),
        { concurrency: 8, discard: true }
      )
    })
}

/** The hosts of a copy, and a folder of layouts. */
interface Places {
  readonly from: string
  readonly to: string
  readonly layout: string
}

const toLayout = ({ from, layout }: Places, repository: Reference.RepositoryName) =>
  Effect.gen(function* () {
    const registry = yield* NodeLayout.make({ path: layout })
    const there = { registry, repository, reference: v1 }
    yield* Copy.between(yield* Registries.open(`${from}/${repository}:v1`), there)
  })

const fromLayout = ({ layout, to }: Places, repository: Reference.RepositoryName) =>
  Effect.gen(function* () {
    const registry = yield* NodeLayout.make({ path: layout })
    const there = { registry, repository, reference: v1 }
    yield* Copy.between(there, yield* Registries.open(`${to}/${repository}:v1`))
  })

const ours = (places: Places, repository = bench) => {
  if (work.endsWith(" to a layout")) return toLayout(places, repository)
  if (work.endsWith(" from a layout")) return fromLayout(places, repository)
  const [from, to] = [`${places.from}/${repository}`, `${places.to}/${repository}`]
  return isAll && repository === bench
    ? Copy.copy(from, to, { tags: "all" })
    : Copy.copy(`${from}:v1`, `${to}:v1`)
}

const others: Readonly<Record<string, (places: Places) => ReadonlyArray<string>>> = {
  crane: ({ from, to }) => [
    ...["copy", "--insecure", ...(isAll ? ["--all-tags"] : [])],
    ...(isAll ? [`${from}/bench`, `${to}/bench`] : [`${from}/bench:v1`, `${to}/bench:v1`])
  ],
  oras: ({ from, layout, to }) => [
    ...["cp", "--no-tty"],
    ...(work.endsWith(" from a layout")
      ? ["--from-oci-layout", `${layout}/bench:v1`]
      : ["--from-plain-http", `${from}/bench:v1`]),
    ...(work.endsWith(" to a layout")
      ? ["--to-oci-layout", `${layout}/oras:v1`]
      : ["--to-plain-http", `${to}/bench:v1`])
  ],
  skopeo: ({ from, to }) =>
    isAll
      ? [
          ...["sync", "--all", "--src", "docker", "--dest", "docker"],
          ...["--src-tls-verify=false", "--dest-tls-verify=false"],
          ...[`${from}/bench`, to]
        ]
      : [
          ...["copy", "--quiet", "--all", "--preserve-digests", "--insecure-policy"],
          ...["--src-tls-verify=false", "--dest-tls-verify=false"],
          ...[`docker://${from}/bench:v1`, `docker://${to}/bench:v1`]
        ]
}

const run = (command: string, args: ReadonlyArray<string>) =>
  new Promise<void>((resolve, reject) => {
    const child = spawn(command, args, { stdio: "ignore" })
    child.once("error", reject)
    child.once("exit", (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))
    )
  })

const done = <A, E>(effect: Effect.Effect<A, E, Registries.Registries>) =>
  runtime.runPromise(Effect.asVoid(effect))

const here = fileURLToPath(import.meta.url)

/** The work and who does it: `copies/an index of 8 platforms, crane`. */
const [, , name = "", phase = "", ...rest] = process.argv
const [work = "", by = ""] = name.replace(/^copies\//, "").split(", ")
const isThere = work.endsWith(" that is there")
const isAll = work.startsWith("500")
const filler = fillers[work.replace(" that is there", "").replace(/ (to|from) a layout$/, "")]

const places = ([from = "", to = "", layout = ""]: ReadonlyArray<string>): Places => ({
  from,
  to,
  layout
})

/** Puts there what is copied. */
const fill = (places: Places) =>
  Effect.gen(function* () {
    const { registry } = yield* Registries.open(`${places.from}/bench`)
    yield* filler?.(registry) ?? Effect.void
    yield* warmImage(registry)
    if (isThere) yield* ours(places)
    if (work.endsWith(" from a layout"))
      yield* Effect.forEach([bench, warm], (repository) => toLayout(places, repository))
  })

const prepare = async (): Promise<Places> => {
  const [source, target] = await Promise.all([dockerRegistry(), dockerRegistry()])
  const layout = Fs.mkdtempSync(Path.join(tmpdir(), "effect-oci-bench-layout-"))
  process.once("exit", () => {
    source.end()
    target.end()
    Fs.rmSync(layout, { recursive: true, force: true })
  })
  const [from, to] = [new URL(source.url).host, new URL(target.url).host]
  await run(process.execPath, [here, work, "fill", from, to, layout])
  if (by === "effect-oci") await done(ours({ from, to, layout }, warm))
  return { from, to, layout }
}

const task = (places: Places): Task => {
  const { from, layout, to } = places
  if (by === "effect-oci") return () => done(ours(places))
  if (by === "effect-oci as a process")
    return () => run(process.execPath, [here, work, "copy", from, to, layout])
  if (by === "undici") return () => Bare.copy(`http://${from}/v2/bench`, `http://${to}/v2/bench`)
  const args = others[by]?.(places) ?? []
  return async () => {
    const at = performance.now()
    await run(by, [by === "skopeo" ? "--version" : "version"])
    const start = performance.now() - at
    await run(by, args)
    // Twice: the one that was just measured, and that of the copy.
    return (2 * start) / 1000
  }
}

if (phase === "fill" || phase === "copy") {
  const given = places(rest)
  await done(phase === "fill" ? fill(given) : ours(given)).finally(() => runtime.dispose())
}

export const tasks: Tasks =
  filler === undefined || phase === "fill" || phase === "copy"
    ? {}
    : { [`${work}, ${by}`]: task(await prepare()) }
