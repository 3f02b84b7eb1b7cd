/** The suite of `Registry` over layouts on a disk, and over a client of layouts that are served. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import { registrySuite } from "../suites/registry.js"
import { folder } from "../support/machine.js"
import { layerSocketServer, ServerUrl } from "../support/server.js"

const largeBlob = 3 * 1024 * 1024
const layouts = Layer.unwrapScoped(Effect.map(folder(), (path) => NodeLayout.layer({ path })))

// What has another digest than its bytes is refused.
const supports = { signedManifests: false }

registrySuite("layouts on a disk", {
  layer: layouts,
  largeBlob,
  supports: { ...supports, manifestList: true }
})
registrySuite("a client over served layouts", {
  layer: Layer.unwrapEffect(Effect.map(ServerUrl, (url) => RegistryClient.layer({ url }))).pipe(
    Layer.provide([TokenCache.layerMemory, Credentials.layerAnonymous]),
    Layer.provide(NodeHttp.layer()),
    Layer.provide(layerSocketServer({})),
    Layer.provide(layouts)
  ),
  largeBlob,
  supports
})
