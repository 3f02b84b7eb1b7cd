import { expect, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Artifact from "effect-oci/Artifact"
import * as MemoryRegistry from "effect-oci/MemoryRegistry"
import * as RegistryClient from "effect-oci/RegistryClient"
import { layerTest, RegistryServer } from "effect-oci/RegistryServer"
import * as ServerAuthorization from "effect-oci/ServerAuthorization"
import * as TokenCache from "effect-oci/TokenCache"
import { configured } from "./authentication.js"

/** Whatever registry a program asks for is this one, which lets `ci` push to `team`. */
const registry = layerTest({
  authorization: ServerAuthorization.token({
    users: { ci: Redacted.make("secret") },
    rules: [{ who: ["ci"], repositories: "team/*", actions: ["pull", "push"] }]
  })
}).pipe(Layer.provide(MemoryRegistry.layer()))

const environment = new Map([
  ["REGISTRY_USERNAME", "ci"],
  ["REGISTRY_PASSWORD", "secret"]
])

const test = RegistryClient.layerRegistries().pipe(
  Layer.provide([TokenCache.layerMemory, configured]),
  Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(environment))),
  Layer.provideMerge(registry)
)

const push = (reference: string) =>
  Artifact.push(reference, {
    artifactType: "application/vnd.example.v1",
    files: [{ title: "a", source: new Uint8Array(40) }]
  })

layer(test)("the login of the environment", (it) => {
  it.effect("lets this program push where it may", () =>
    Effect.gen(function* () {
      yield* push("ghcr.io/team/app:tag")
      const requests = yield* (yield* RegistryServer).requests
      const put = requests.find(({ operation }) => operation?._tag === "PutManifest")
      expect(put?.status).toBe(201)
    })
  )

  it.effect.each([
    ["other repositories", "ghcr.io/other/app:tag"],
    ["other registries", "quay.io/team/app:tag"]
  ] as const)("is not for %s", ([, reference]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(push(reference))
      expect(error).toMatchObject({ _tag: "Unauthorized" })
    })
  )
})
