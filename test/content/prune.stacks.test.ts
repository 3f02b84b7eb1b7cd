/** Prunes in memory, in layouts, and over HTTP: at the embedded server, and at docker-registry. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as TokenCache from "../../src/auth/TokenCache.js"
import * as RegistryClient from "../../src/client/RegistryClient.js"
import * as NodeHttp from "../../src/node/NodeHttp.js"
import * as NodeLayout from "../../src/node/NodeLayout.js"
import * as Quirks from "../../src/server/Quirks.js"
import * as RegistryServer from "../../src/server/RegistryServer.js"
import * as MemoryRegistry from "../../src/store/MemoryRegistry.js"
import { pruneSuite } from "../suites/prune.js"
import { DebianRegistry, describeDebian, layerDebianRegistry } from "../support/debian.js"
import { folder } from "../support/machine.js"

const client = (url: string) =>
  RegistryClient.layer({ url }).pipe(
    Layer.provide([TokenCache.layerMemory, Credentials.layerAnonymous])
  )

/** Without sockets. */
const served = (quirks: Quirks.Quirks) =>
  client("http://registry.test").pipe(
    Layer.provide(RegistryServer.layerTest({ quirks })),
    Layer.provide(MemoryRegistry.layer())
  )

pruneSuite("a prune, in memory", { layer: MemoryRegistry.layer() })
pruneSuite("a prune, in layouts", {
  layer: Layer.unwrapScoped(Effect.map(folder(), (path) => NodeLayout.layer({ path })))
})
pruneSuite("a prune, at the embedded server", { layer: served({}) })
pruneSuite("a prune, at one that wants tags to be gone first", { layer: served(Quirks.gcr) })
pruneSuite("a prune, at one without tag deletion or referrers", {
  layer: served({
    tagDelete: { status: 405, code: "UNSUPPORTED" },
    referrers: { status: 404 },
    subjectHeader: false
  }),
  tagDelete: false
})
describeDebian("Debian's docker-registry", () => {
  pruneSuite("a prune, at docker-registry", {
    layer: Layer.unwrapEffect(Effect.map(DebianRegistry, ({ url }) => client(url))).pipe(
      Layer.provide(NodeHttp.layer()),
      Layer.provide(layerDebianRegistry)
    ),
    tagDelete: false
  })
})
