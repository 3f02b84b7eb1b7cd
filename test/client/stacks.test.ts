/**
 * The suite of `Registry` over the client: in front of the embedded server, without and with
 * sockets, and of Debian's docker-registry.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as ServerAuthorization from "../../src/server/ServerAuthorization.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { registrySuite } from "../suites/registry.js"
import {
  DebianRegistry,
  debianUser,
  describeDebian,
  layerDebianRegistry,
  layerDebianRegistryBasic
} from "../support/debian.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const authorization = ServerAuthorization.token({ users: { alice: Redacted.make("wonderland") } })

const alice = (url: string) =>
  Credentials.layerBasic({
    host: url.replace("http://", ""),
    username: "alice",
    password: Redacted.make("wonderland")
  })

const client = <E>(url: string, credentials: Layer.Layer<Credentials.Credentials, E>) =>
  RegistryClient.layer({ url }).pipe(Layer.provide([TokenCache.layerMemory, credentials]))

registrySuite("client over the embedded server, without sockets, with token authentication", {
  layer: client("http://registry.test", alice("http://registry.test")).pipe(
    Layer.provide(
      Layer.unwrapEffect(
        Effect.map(authorization, (authorization) => RegistryServer.layerTest({ authorization }))
      )
    ),
    Layer.provide(MemoryRegistry.layer())
  )
})

registrySuite("client over the embedded server, with sockets, with token authentication", {
  layer: Layer.unwrapEffect(Effect.map(ServerUrl, (url) => client(url, alice(url)))).pipe(
    Layer.provide(NodeHttp.layer()),
    Layer.provide(
      Layer.unwrapEffect(
        Effect.map(authorization, (authorization) => layerSocketServer({ authorization }))
      )
    ),
    Layer.provide(MemoryRegistry.layer())
  )
})

/** Where Docker's registry 2.8 differs from the specification's letter. */
const distribution = {
  tagDelete: false, // It takes a tag for an invalid digest.
  nonDistributableMissing: false, // They are missed like any other layer.
  tagPaging: false, // `n` and `last` are ignored (quirks §5).
  sha512Manifests: false,
  signaturesKept: false, // It verifies them, forgets them, and signs with a key of its own.
  atomicPuts: false, // It sends an ETag, and ignores If-Match and If-None-Match.
  mountFromAnywhere: false, // A mount without `from` is an ordinary session (quirks §4).
  staleLocations: false // Only the newest `_state` is taken (quirks §3).
}

describeDebian("Debian's docker-registry", () => {
  registrySuite("client over docker-registry", {
    layer: Layer.unwrapEffect(
      Effect.map(DebianRegistry, ({ url }) => client(url, Credentials.layerAnonymous))
    ).pipe(Layer.provide(NodeHttp.layer()), Layer.provide(layerDebianRegistry)),
    supports: distribution
  })
  registrySuite("client over docker-registry behind Basic authentication", {
    layer: Layer.unwrapEffect(
      Effect.map(DebianRegistry, ({ url }) =>
        client(
          url,
          Credentials.layerBasic({
            host: url.replace("http://", ""),
            username: debianUser.username,
            password: Redacted.make(debianUser.password)
          })
        )
      )
    ).pipe(Layer.provide(NodeHttp.layer()), Layer.provide(layerDebianRegistryBasic)),
    supports: distribution
  })
})
