/** What is said of a host is said in one place: how it is reached, its mirrors, its TLS. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Credentials from "../../src/auth/Credentials.js"
import * as NodeRegistry from "../../src/node/NodeRegistry.js"
import { Registries } from "../../src/Registries.js"
import { Registry } from "../../src/Registry.js"
import { alice, asking, authorities, pullBlob } from "../support/https.js"

/**
 * A registry that has every blob, if it is "blob", and answers whoever shows the certificate of
 * alice; all else is asked of whoever is there.
 */
const guarded = (log: Array<string>, name: string) =>
  asking((shown, request, response) => {
    log.push(
      `${name} ${request.url?.replace(/test\/[^/]+\/blobs\/.*?(?=\?|$)/, "<blob>")} ${shown}`
    )
    if (shown === "alice") response.setHeader("content-length", 4).end("blob")
    else response.writeHead(404).end()
  })

const pull = (host: string, hosts: NodeRegistry.RegistriesOptions["hosts"]) =>
  pullBlob.pipe(
    Effect.provideServiceEffect(
      Registry,
      Effect.flatMap(Registries, ({ get }) => get(host))
    ),
    Effect.provide(NodeRegistry.layerRegistries({ hosts, http: { certificateFolders: [] } })),
    Effect.provide(Credentials.layerAnonymous)
  )

it.live("a host, and each of its mirrors, has the TLS settings that stand beside its URL", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const { ours } = yield* authorities
    const [mirror, host] = [yield* guarded(log, "mirror"), yield* guarded(log, "host")]
    const hosts = {
      "registry.example.com": {
        url: `https://${host}`,
        tls: yield* alice,
        mirrors: [{ url: `https://${mirror}/`, tls: { ca: [ours.cert] } }]
      }
    }
    expect(yield* pull("registry.example.com", hosts)).toBe("blob")
    expect(log).toEqual([
      "mirror /v2/<blob>?ns=registry.example.com nobody",
      "host /v2/<blob> alice"
    ])
  }).pipe(Effect.scoped)
)

it.live("they win over those of the HTTP client for that host, however it is written there", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const host = yield* guarded(log, "host")
    const layer = NodeRegistry.layer({
      url: `https://${host}`,
      tls: yield* alice,
      http: { certificateFolders: [], tls: { [host.toUpperCase()]: {} } }
    })
    expect(yield* Effect.provide(pullBlob, Layer.provide(layer, Credentials.layerAnonymous))).toBe(
      "blob"
    )
    expect(log).toEqual(["host /v2/<blob> alice"])
  }).pipe(Effect.scoped)
)

it.live("the client of one registry has those beside its URL, too", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const host = yield* guarded(log, "host")
    // A loopback host, which is reached by https only where that is said.
    const other = host.replace("localhost", "https://localhost")
    const layer = NodeRegistry.layer({
      url: other,
      tls: yield* alice,
      http: { certificateFolders: [] }
    })
    expect(yield* Effect.provide(pullBlob, Layer.provide(layer, Credentials.layerAnonymous))).toBe(
      "blob"
    )
    expect(log).toEqual(["host /v2/<blob> alice"])
  }).pipe(Effect.scoped)
)
