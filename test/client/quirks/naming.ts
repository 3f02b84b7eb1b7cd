/** Section 7: what a reference means, and where it leads. */
import * as Effect from "effect/Effect"
import * as Reference from "../../../src/spec/Reference.js"
import { status } from "../world.js"
import { answers, type Handler } from "./mock.js"
import type { Row } from "./row.js"

/** A reference is asked for at whatever host it means; there is nothing anywhere. */
const means = (text: string, url: string): Row => ({
  at: ["§7 docker.io", "rule 5"],
  does: `calls what is at ${url} by the name of ${text}`,
  host: "docker.io",
  quirks: [answers("", () => status(404))],
  others: { [new URL(url).origin]: (): Handler => () => status(404) },
  run: (_, { registries }) =>
    Effect.gen(function* () {
      const reference = yield* Reference.parse(text)
      const registry = yield* registries.get(reference.host)
      return yield* registry.headManifest(reference.repository, Reference.tagOrDigest(reference))
    }),
  gives: { _tag: "None" },
  wire: [`HEAD ${url.replace("https://registry-1.docker.io", "")}`]
})

const hub = "https://registry-1.docker.io/v2"
const digest = `sha256:${"0".repeat(64)}`

export const rows: ReadonlyArray<Row> = [
  means("alpine", `${hub}/library/alpine/manifests/latest`),
  means("alpine:3", `${hub}/library/alpine/manifests/3`),
  means(`alpine@${digest}`, `${hub}/library/alpine/manifests/${digest}`),
  means(`alpine:3@${digest}`, `${hub}/library/alpine/manifests/${digest}`),
  means("grafana/grafana", `${hub}/grafana/grafana/manifests/latest`),
  means("docker.io/alpine", `${hub}/library/alpine/manifests/latest`),
  means("docker.io/library/alpine", `${hub}/library/alpine/manifests/latest`),
  means("index.docker.io/alpine", `${hub}/library/alpine/manifests/latest`),
  means("registry-1.docker.io/alpine", `${hub}/library/alpine/manifests/latest`),
  means("ghcr.io/alpine", "https://ghcr.io/v2/alpine/manifests/latest"),
  means("quay.io/a/b:c", "https://quay.io/v2/a/b/manifests/c"),
  means("localhost/alpine", "http://localhost/v2/alpine/manifests/latest"),
  means("host:5000/alpine", "https://host:5000/v2/alpine/manifests/latest"),
  means("Host/alpine", "https://host/v2/alpine/manifests/latest"),
  means("host/alpine", `${hub}/host/alpine/manifests/latest`)
]
