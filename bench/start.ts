/** The shortest program: what the digest of a tag is. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "effect-oci/Credentials"
import { NodeRegistry } from "effect-oci/node"
import * as Reference from "effect-oci/Reference"
import { Registry } from "effect-oci/Registry"
import type { Tasks } from "./task.js"

export const tasks: Tasks = {
  start: ({ url }) =>
    Effect.gen(function* () {
      const repository = yield* Reference.parseRepositoryName("bench")
      yield* (yield* Registry).headManifest(repository, yield* Reference.parseTag("latest"))
    }).pipe(
      Effect.provide(NodeRegistry.layer({ url }).pipe(Layer.provide(Credentials.layerAnonymous))),
      Effect.runPromise
    )
}
