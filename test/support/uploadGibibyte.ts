/**
 * Uploads 1 GiB that is made as it is sent to the registry at the first argument; tells its parent
 * how far it is, and at the end what memory it took.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as BlobSource from "../../src/BlobSource.js"
import * as ByteStream from "../../src/ByteStream.js"
import { layer } from "../../src/node/NodeRegistry.js"
import { Registry } from "../../src/Registry.js"
import * as Reference from "../../src/spec/Reference.js"
import { generated } from "./fixtures.js"

let made = 0
const source = BlobSource.fromStream(
  ByteStream.tap(generated(1024 ** 3), (bytes) => {
    made += bytes.length
  })
)
const peak = { heapUsed: 0, external: 0 }
const sample = setInterval(() => {
  const { external, heapUsed } = process.memoryUsage()
  peak.heapUsed = Math.max(peak.heapUsed, heapUsed)
  peak.external = Math.max(peak.external, external)
}, 20)
process.on("message", () => process.send?.({ made }))

const url = process.argv[2] ?? ""
const { digest, size } = await Effect.runPromise(
  Effect.gen(function* () {
    const repository = yield* Reference.parseRepositoryName("a/b")
    return yield* (yield* Registry).putBlob(repository, source)
  }).pipe(Effect.provide(layer({ url }).pipe(Layer.provide(Credentials.layerAnonymous))))
)
clearInterval(sample)
process.send?.({ digest, size, ...peak })
process.disconnect()
