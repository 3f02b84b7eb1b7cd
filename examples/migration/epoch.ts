import * as HttpBody from "@effect/platform/HttpBody"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import * as Credentials from "effect-oci/Credentials"
import type { Digest } from "effect-oci/Digest"
import { NodeRegistry, TlsSettings } from "effect-oci/node"
import { RegistryClient } from "effect-oci/RegistryClient"
import * as Request from "effect-oci/Request"

// registryclient.NewFromEnv(baseURL, token): a token with every request, EPOCH_CA_CERT
export const client = NodeRegistry.layerConfig({
  url: Config.withDefault(Config.string("EPOCH_URL"), "http://127.0.0.1:8080"),
  headers: {
    authorization: Config.map(Config.redacted("EPOCH_TOKEN"), (token) =>
      Redacted.make(`Bearer ${Redacted.value(token)}`)
    )
  },
  tls: { ca: TlsSettings.configCa("EPOCH_CA_CERT") }
}).pipe(Layer.provide(Credentials.layerAnonymous))

// client.PutBlob(ctx, name, digest, body, size): epoch's own route
export const putBlob = (
  name: string,
  digest: Digest,
  content: Stream.Stream<Uint8Array>,
  size: number
) =>
  Effect.gen(function* () {
    const { execute } = yield* RegistryClient
    const body = HttpBody.stream(content, "application/octet-stream", size)
    const put = Request.put("/v2/<name>/blobs/<digest>", { name, digest })
    return (yield* execute(Request.setBody(put, body))).status
  })
