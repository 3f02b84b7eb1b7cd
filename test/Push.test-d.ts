/** Handling the errors of a push compiles, with a source's own errors and without. */
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiError from "@effect/platform/HttpApiError"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { describe, expectTypeOf, it } from "vitest"
import type { BlobSource } from "../src/BlobSource.js"
import * as Artifact from "../src/content/Artifact.js"
import type * as BlobFile from "../src/node/BlobFile.js"
import type { Registries } from "../src/Registries.js"
import type { Registry } from "../src/Registry.js"
import type {
  InputError,
  InvalidReference,
  ManifestUnknown,
  StorageFailure
} from "../src/RegistryError.js"
import { isTransient } from "../src/RegistryError.js"
import type { Descriptor } from "../src/spec/Descriptor.js"
import type { Reference, RepositoryName } from "../src/spec/Reference.js"
import * as Transfer from "../src/Transfer.js"

declare const registry: Registry.Service
declare const reference: Reference
declare const repository: RepositoryName
declare const bytes: BlobSource
declare const file: BlobSource<"own", "environment">
declare const pulled: Artifact.PulledFile

const artifactType = "application/vnd.example.report.v1"
const push = Artifact.push("ghcr.io/owner/report:1.0.0", {
  artifactType,
  files: [{ source: bytes }]
})

describe("a push", () => {
  it("takes files that were pulled, and fails with nothing else for them", () => {
    expectTypeOf(
      Artifact.push(reference, { artifactType, files: [pulled, { source: bytes }] })
    ).toEqualTypeOf<Effect.Effect<Artifact.Pushed, Artifact.PushError | InputError, Registries>>()
    expectTypeOf(
      Artifact.push(reference, { artifactType, files: [pulled, { source: file }] })
    ).toEqualTypeOf<
      Effect.Effect<
        Artifact.Pushed,
        Artifact.PushError | InputError | "own",
        Registries | "environment"
      >
    >()
  })

  it("has an error and an environment that are named", () => {
    expectTypeOf<Artifact.PushError>().toEqualTypeOf<
      Registry.PutBlobError | Registry.PutManifestError | InvalidReference
    >()
    expectTypeOf(push).toEqualTypeOf<
      Effect.Effect<Artifact.Pushed, Artifact.PushError | InputError, Registries>
    >()
    expectTypeOf(
      Artifact.push(reference, { artifactType, files: [{ source: file }] })
    ).toEqualTypeOf<
      Effect.Effect<
        Artifact.Pushed,
        Artifact.PushError | InputError | "own",
        Registries | "environment"
      >
    >()
    expectTypeOf(
      Artifact.pushTo(registry, reference, { artifactType, files: [{ source: file }] })
    ).toEqualTypeOf<Effect.Effect<Artifact.Pushed, Artifact.PushError | "own", "environment">>()
    expectTypeOf(Transfer.sink(registry, repository)).toEqualTypeOf<
      Sink.Sink<Descriptor, Uint8Array, never, Registry.PutBlobError>
    >()
    expectTypeOf<BlobFile.DownloadError>().toEqualTypeOf<
      Registry.GetBlobError | StorageFailure | BlobFile.FileExists
    >()
    expectTypeOf<Artifact.PullError>().toEqualTypeOf<Registry.GetManifestError>()
  })

  it("has a type or a config, whose source counts as those of files do", () => {
    const mediaType = "application/vnd.cncf.helm.config.v1+json"
    expectTypeOf(
      Artifact.push(reference, { config: { mediaType, source: file }, files: [] })
    ).toEqualTypeOf<
      Effect.Effect<
        Artifact.Pushed,
        Artifact.PushError | InputError | "own",
        Registries | "environment"
      >
    >()
    expectTypeOf(
      Artifact.push(reference, { config: { mediaType }, files: [{ source: new Uint8Array(1) }] })
    ).toEqualTypeOf(push)
    // @ts-expect-error: nothing says what it is
    Artifact.push(reference, { files: [] })
  })

  it("is attached without tags, to what may not be there", () => {
    expectTypeOf<Artifact.AttachError>().toEqualTypeOf<Artifact.PushError | ManifestUnknown>()
    expectTypeOf(
      Artifact.attach("ghcr.io/owner/app:1.0.0", { artifactType, files: [{ source: file }] })
    ).toEqualTypeOf<
      Effect.Effect<
        Artifact.Pushed,
        Artifact.AttachError | InputError | "own",
        Registries | "environment"
      >
    >()
    expectTypeOf(Artifact.attachTo(registry, reference, { artifactType, files: [] })).toEqualTypeOf<
      Effect.Effect<Artifact.Pushed, Artifact.AttachError>
    >()
    // @ts-expect-error: an attachment is found by its subject
    Artifact.attach(reference, { artifactType, files: [], tags: ["1"] })
  })

  it("is handled by tag", () => {
    const handled = Effect.catchTag(push, "Denied", () => Effect.void)
    expectTypeOf<Effect.Effect.Error<typeof handled>>().toEqualTypeOf<
      Exclude<Artifact.PushError | InputError, { readonly _tag: "Denied" }>
    >()
    const stored = Stream.run(Stream.empty, Transfer.sink(registry, repository)).pipe(
      Effect.catchTags({ SizeMismatch: () => Effect.void, Unsupported: () => Effect.void })
    )
    expectTypeOf<Effect.Effect.Error<typeof stored>>().toEqualTypeOf<
      Exclude<Registry.PutBlobError, { readonly _tag: "SizeMismatch" | "Unsupported" }>
    >()
  })

  it("is retried while its failure is transient", () => {
    expectTypeOf(Effect.retry(push, { times: 3, while: isTransient })).toEqualTypeOf<typeof push>()
    expectTypeOf(
      Effect.retry(Artifact.pushTo(registry, reference, { artifactType, files: [] }), {
        while: isTransient
      })
    ).toEqualTypeOf<Effect.Effect<Artifact.Pushed, Artifact.PushError>>()
  })

  it("stands in a handler of an HttpApi", () => {
    const Api = HttpApi.make("api").add(
      HttpApiGroup.make("reports").add(
        HttpApiEndpoint.post("publish", "/reports")
          .addSuccess(Schema.String)
          .addError(HttpApiError.Forbidden)
          .addError(HttpApiError.InternalServerError)
      )
    )
    const live = HttpApiBuilder.group(Api, "reports", (handlers) =>
      handlers.handle("publish", () =>
        push.pipe(
          Effect.map(({ manifest }) => manifest.descriptor.digest),
          Effect.catchTag("Denied", "Unauthorized", () => new HttpApiError.Forbidden()),
          Effect.mapError((error) =>
            error._tag === "Forbidden" ? error : new HttpApiError.InternalServerError()
          )
        )
      )
    )
    expectTypeOf<Layer.Layer.Context<typeof live>>().toEqualTypeOf<Registries>()
  })
})
