import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Credentials from "effect-oci/Credentials"
import { NodeRegistry } from "effect-oci/node"
import { RegistryClient } from "effect-oci/RegistryClient"
import * as Request from "effect-oci/Request"
import * as Response from "effect-oci/Response"

// reggie.NewClient(url, reggie.WithUsernamePassword(…), reggie.WithDefaultName("owner/name"))
export const client = (url: string, username: string, password: Redacted.Redacted) =>
  NodeRegistry.layer({ url, defaultName: "owner/name" }).pipe(
    Layer.provide(Credentials.layerBasic({ host: new URL(url).host, username, password }))
  )

// client.Do(client.NewRequest(reggie.GET, "/v2/<name>/manifests/<reference>", …))
export const statusOf = (reference: string) =>
  Effect.gen(function* () {
    const { execute } = yield* RegistryClient
    const response = yield* execute(Request.get("/v2/<name>/manifests/<reference>", { reference }))
    // resp.Errors()
    const { errors } = yield* Response.errorBody(response)
    return { status: response.status, codes: errors.map(({ code }) => code) }
  })

// resp.GetRelativeLocation(), and a request to it
export const uploadAndCancel = Effect.gen(function* () {
  const { execute } = yield* RegistryClient
  const opened = yield* execute(Request.post("/v2/<name>/blobs/uploads/"))
  return (yield* execute(Request.to(opened, "DELETE"))).status
})
