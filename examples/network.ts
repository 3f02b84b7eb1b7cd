import * as Redacted from "effect/Redacted"
import { NodeRegistry } from "effect-oci/node"

/**
 * `authority`: a certificate of the company's own, as PEM. `mirror`: a host such as
 * `harbor.example.com`.
 */
export const layer = ({
  authority,
  mirror
}: {
  readonly authority: string
  readonly mirror: string
}) =>
  NodeRegistry.layerRegistries({
    hosts: {
      // What docker.io has as library/alpine, this mirror has as docker-hub/library/alpine.
      "docker.io": {
        mirrors: [{ url: `https://${mirror}`, prefix: "docker-hub", tls: { ca: [authority] } }]
      },
      "registry.lan:5000": { url: "http://registry.lan:5000" },
      "registry.example.com": { headers: { "x-tenant": "blue" }, tls: { ca: [authority] } }
    },
    http: {
      proxy: {
        https: Redacted.make("http://proxy.lan:3128"),
        except: ["localhost", ".lan", "10.0.0.0/8"]
      }
    }
  })
