/**
 * What a registry server offers beyond the endpoints of the specification ([`_oci`
 * extension](https://github.com/opencontainers/distribution-spec/blob/main/extensions/_oci.md)).
 */
import type { HttpServerRequest } from "@effect/platform/HttpServerRequest"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import { isRepositoryName } from "../../spec/Reference.js"
import * as ErrorResponse from "./ErrorResponse.js"
import * as ServerResponse from "./ServerResponse.js"

/** Returns the extensions of the registry, or of one repository, to a request for them. */
export const response = ({ method, url }: HttpServerRequest): HttpServerResponse | undefined => {
  const [path, name = ""] = /^\/v2\/(?:(.+)\/)?_oci\/ext\/discover(?:\?.*)?$/.exec(url) ?? []
  if (path === undefined || !(name === "" || isRepositoryName(name))) return undefined
  return method === "GET" || method === "HEAD"
    ? ServerResponse.json(200, { extensions: name === "" ? [oci, catalog] : [oci] })
    : notReadable
}

const notReadable = ErrorResponse.toResponse(
  new ErrorResponse.ErrorResponse({
    status: 405,
    code: "UNSUPPORTED",
    message: "This path takes only GET, HEAD",
    headers: { allow: "GET, HEAD" }
  })
)

const documents = "https://github.com/opencontainers/distribution-spec/blob/main/extensions"

const oci = {
  name: "_oci",
  description: "Discovers extensions",
  url: `${documents}/_oci.md`,
  endpoints: ["_oci/ext/discover"]
}

const catalog = {
  name: "_catalog",
  description: "Lists repositories",
  url: `${documents}/README.md`,
  endpoints: ["_catalog"]
}
