import { expect, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NodeCredentials from "../../src/node/NodeCredentials.js"
import { credentialFor, machine } from "../auth/machine.js"

const login = (user: string) => ({ auth: Buffer.from(`${user}:s`).toString("base64") })

it.live("whoever is logged in with docker or podman on this machine is known", () =>
  Effect.gen(function* () {
    const { environment, helper, write } = yield* machine
    environment.set("XDG_RUNTIME_DIR", "/nowhere")
    environment.set("DOCKER_AUTH_CONFIG", JSON.stringify({ auths: { "ci.example": login("ci") } }))
    yield* helper("cloud", `echo '{"Username":"AWS","Secret":"s"}'`)
    yield* write(".docker/config.json", {
      auths: { "ci.example": login("docker"), "https://index.docker.io/v1/": login("docker") },
      credHelpers: { "cloud.example": "cloud" }
    })
    yield* write(".config/containers/auth.json", {
      auths: { "docker.io": login("podman"), "quay.io/team": login("podman") }
    })
    const found = (place: string) =>
      Effect.map(credentialFor(place), (credential) =>
        credential._tag === "Basic" ? credential.username : credential._tag
      )
    const places = [
      "ci.example",
      "docker.io",
      "cloud.example",
      "quay.io/team/app",
      "quay.io/other",
      "ghcr.io"
    ]
    const users = yield* Effect.forEach(places, found).pipe(
      Effect.provide(
        Layer.provide(
          NodeCredentials.layer,
          Layer.setConfigProvider(ConfigProvider.fromMap(environment))
        )
      )
    )
    expect(users).toEqual(["ci", "docker", "AWS", "podman", "Anonymous", "Anonymous"])
  }).pipe(Effect.scoped)
)
