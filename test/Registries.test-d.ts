/** Pins what the operations by reference fail with and need, and what opens registries. */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { describe, expectTypeOf, it } from "vitest"
import * as RegistryClient from "../src/client/RegistryClient.js"
import * as Registries from "../src/Registries.js"
import type { Registry } from "../src/Registry.js"
import type {
  AuthChallenge,
  InputError,
  InvalidUrl,
  ManifestUnknown
} from "../src/RegistryError.js"
import type { Descriptor } from "../src/spec/Descriptor.js"
import type * as Host from "../src/spec/Host.js"
import type { Manifest } from "../src/spec/Manifest.js"
import type { Reference, Tag } from "../src/spec/Reference.js"

type All = Registries.Registries

declare const reference: Reference
declare const registry: Registry.Service
declare const schedule: Schedule.Schedule<unknown, AuthChallenge, "login">

describe("by reference", () => {
  it("every operation takes a text or a reference, and names its errors", () => {
    expectTypeOf(Registries.open(reference)).toEqualTypeOf<
      Effect.Effect<Registries.Opened, InputError, All>
    >()
    expectTypeOf(Registries.resolve("a")).toEqualTypeOf<
      Effect.Effect<Registries.Resolved, Registries.ResolveError, All>
    >()
    expectTypeOf(Registries.exists("a")).toEqualTypeOf<
      Effect.Effect<boolean, Registries.ExistsError, All>
    >()
    expectTypeOf(Registries.manifest(reference)).toEqualTypeOf<
      Effect.Effect<Manifest, Registries.ManifestError, All>
    >()
    expectTypeOf(Registries.tags("a", { pageSize: 1, after: "1" })).toEqualTypeOf<
      Stream.Stream<Tag, Registries.TagsError, All>
    >()
    expectTypeOf(Registries.referrers("a", { artifactType: "a/b" })).toEqualTypeOf<
      Stream.Stream<Descriptor, Registries.ReferrersError, All>
    >()
    expectTypeOf(Registries.blob("a")).toEqualTypeOf<
      Stream.Stream<Uint8Array, Registries.BlobError, All>
    >()
    expectTypeOf(Registries.tag(reference, "latest")).toEqualTypeOf<
      Effect.Effect<Registries.Resolved, Registries.TagError, All>
    >()
    expectTypeOf(Registries.untag("a")).toEqualTypeOf<
      Effect.Effect<void, Registries.UntagError, All>
    >()
    expectTypeOf(Registries.remove("a")).toEqualTypeOf<
      Effect.Effect<void, Registries.RemoveError, All>
    >()
  })

  it("errors are those of the registry's operations, and of the input", () => {
    expectTypeOf<Registries.ResolveError>().toEqualTypeOf<
      ManifestUnknown | Registry.HeadManifestError | InputError
    >()
    expectTypeOf<Registries.ExistsError>().toEqualTypeOf<Registry.HeadManifestError | InputError>()
    expectTypeOf<Registries.ManifestError>().toEqualTypeOf<Registry.GetManifestError | InputError>()
    expectTypeOf<Registries.TagsError>().toEqualTypeOf<Registry.ListTagsError | InputError>()
    expectTypeOf<Registries.ReferrersError>().toEqualTypeOf<
      Registry.ListReferrersError | Registries.ResolveError
    >()
    expectTypeOf<Registries.BlobError>().toEqualTypeOf<Registry.GetBlobError | InputError>()
    expectTypeOf<Registries.TagError>().toEqualTypeOf<
      Registry.GetManifestError | Registry.PutManifestError | InputError
    >()
    expectTypeOf<Registries.UntagError>().toEqualTypeOf<
      Registry.DeleteTagError | Registry.HeadManifestError | InputError
    >()
    expectTypeOf<Registries.RemoveError>().toEqualTypeOf<
      Registry.DeleteManifestError | Registry.HeadManifestError | InputError
    >()
  })
})

describe("layers", () => {
  it("layerFrom requires what its function requires, but for a Scope", () => {
    expectTypeOf(Registries.layerFrom(() => Effect.succeed(registry))).toEqualTypeOf<
      Layer.Layer<All>
    >()
    expectTypeOf(
      Registries.layerFrom((host) => {
        expectTypeOf(host).toEqualTypeOf<Host.Host>()
        return Effect.flatMap(Registries.Registries, ({ get }) => get(host))
      })
    ).toEqualTypeOf<Layer.Layer<All, never, All>>()
    expectTypeOf(
      Registries.layerFrom(
        (_: string) =>
          Effect.succeed(registry) as Effect.Effect<
            Registry.Service,
            InvalidUrl,
            Scope.Scope | "needed"
          >
      )
    ).toEqualTypeOf<Layer.Layer<All, never, "needed">>()
  })

  it("layerRegistry is one of them", () => {
    expectTypeOf(Registries.layerRegistry("ghcr.io")).toEqualTypeOf<
      Layer.Layer<Registry, InvalidUrl, All>
    >()
  })

  it("the clients of all registries require what schedules do, of all and of single hosts", () => {
    type Services = RegistryClient.Services
    expectTypeOf(RegistryClient.layerRegistries()).toEqualTypeOf<
      Layer.Layer<All, InvalidUrl, Services>
    >()
    expectTypeOf(RegistryClient.layerRegistries({ hosts: { "ghcr.io": {} } })).toEqualTypeOf<
      Layer.Layer<All, InvalidUrl, Services>
    >()
    expectTypeOf(RegistryClient.layerRegistries({ defaults: { schedule } })).toEqualTypeOf<
      Layer.Layer<All, InvalidUrl, Services | "login">
    >()
    expectTypeOf(
      RegistryClient.layerRegistries({ hosts: { "ghcr.io": { schedule }, "docker.io": {} } })
    ).toEqualTypeOf<Layer.Layer<All, InvalidUrl, Services | "login">>()
  })

  it("defaults have nothing that belongs to one host", () => {
    expectTypeOf<
      keyof RegistryClient.Defaults & ("url" | "namespace" | "authScope" | "headers")
    >().toEqualTypeOf<never>()
    expectTypeOf<
      Exclude<keyof RegistryClient.Options, keyof RegistryClient.Defaults>
    >().toEqualTypeOf<"url" | "namespace" | "authScope" | "headers">()
  })
})
