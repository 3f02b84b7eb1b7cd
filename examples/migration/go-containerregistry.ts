import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Registries from "effect-oci/Registries"

// crane.Digest(reference), remote.Head(…)
export const digest = (reference: string) =>
  Effect.map(Registries.resolve(reference), ({ descriptor }) => descriptor.digest)

// crane.Manifest(reference), remote.Get(…): the exact bytes
export const manifest = (reference: string) =>
  Effect.map(Registries.manifest(reference), ({ bytes }) => bytes)

// crane.ListTags(repository), remote.List(…)
export const tags = (name: string) => Stream.runCollect(Registries.tags(name))

// crane.Tag(reference, "stable")
export const tag = (reference: string) => Registries.tag(reference, "stable")
