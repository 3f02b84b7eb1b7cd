/**
 * A token server whose tokens Debian's docker-registry accepts: JWTs with Docker's `access` claim,
 * signed with a key that is made for the test.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import type { IncomingMessage } from "node:http"
import { text } from "node:stream/consumers"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type DebianRegistry, debianRegistryToken, debianUser } from "../support/debian.js"
import { serve } from "../support/serve.js"

const service = "test-registry"
const issuer = "test-issuer"

/** What the token server was asked, as `METHOD user grant scope…`, and where it is. */
export class JwtServer extends Context.Tag("test/JwtServer")<
  JwtServer,
  { readonly host: string; readonly log: Array<string>; readonly tokens: Array<string> }
>() {}

// -----------------------------------------------------------------------------
// A certificate (RFC 5280), as small as Go reads it
// -----------------------------------------------------------------------------

const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const body = Buffer.concat(parts)
  const length =
    body.length < 128
      ? [body.length]
      : body.length < 256
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.from([tag, ...length]), body])
}

const sequence = (...parts: ReadonlyArray<Uint8Array>) => der(0x30, ...parts)
/** 1.2.840.10045.4.3.2 */
const ecdsaWithSha256 = sequence(der(0x06, Buffer.from("2a8648ce3d040302", "hex")))
/** The common name (2.5.4.3). */
const name = sequence(
  der(0x31, sequence(der(0x06, Buffer.from("550403", "hex")), der(0x0c, Buffer.from(issuer))))
)
const time = (text: string) => der(0x18, Buffer.from(text))

const certificateOf = (key: KeyObject): string => {
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" })
  const validity = sequence(time("20200101000000Z"), time("21200101000000Z"))
  const toBeSigned = sequence(
    der(0x02, Buffer.from([1])),
    ecdsaWithSha256,
    name,
    validity,
    name,
    publicKey
  )
  const signature = der(0x03, Buffer.from([0]), sign("sha256", toBeSigned, key))
  const base64 = sequence(toBeSigned, ecdsaWithSha256, signature).toString("base64")
  const lines = base64.replace(/.{64}/g, "$&\n").trimEnd()
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

// -----------------------------------------------------------------------------
// Tokens (Docker's token specification)
// -----------------------------------------------------------------------------

/** The name of a key as libtrust has it: 240 bits of its hash in base 32, in groups of four. */
const keyId = (key: KeyObject): string => {
  const hash = createHash("sha256")
    .update(createPublicKey(key).export({ type: "spki", format: "der" }))
    .digest()
  let bits = ""
  for (const byte of hash.subarray(0, 30)) bits += byte.toString(2).padStart(8, "0")
  const letters = (bits.match(/.{5}/g) ?? []).map((five) =>
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".charAt(Number.parseInt(five, 2))
  )
  return (letters.join("").match(/.{4}/g) ?? []).join(":")
}

const jwt = (key: KeyObject, subject: string, scopes: ReadonlyArray<string>): string => {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const now = Math.floor(Date.now() / 1000)
  const access = scopes.map((scope) => {
    const [type = "", name = "", actions = ""] = scope.split(":")
    return { type, name, actions: actions.split(",") }
  })
  const claims = {
    iss: issuer,
    sub: subject,
    aud: service,
    nbf: now - 10,
    iat: now,
    exp: now + 300,
    jti: "1",
    access
  }
  const signed = `${part({ typ: "JWT", alg: "ES256", kid: keyId(key) })}.${part(claims)}`
  const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" })
  return `${signed}.${signature.toString("base64url")}`
}

/**
 * Knows `debianUser`, by Basic or by either OAuth 2 grant; its refresh token is `refresh-me`.
 * Nobody else gets a token.
 */
const answer = async (
  key: KeyObject,
  request: IncomingMessage,
  log: Array<string>,
  tokens: Array<string>
) => {
  const { password, username } = debianUser
  const url = new URL(request.url ?? "/", "http://token.test")
  const form = new URLSearchParams(await text(request))
  const scopes = [...url.searchParams.getAll("scope"), ...form.getAll("scope")].flatMap((scope) =>
    scope.split(" ")
  )
  const grant = form.get("grant_type") ?? "basic"
  log.push([request.method, grant, ...scopes].join(" "))
  const basic = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`
  const isKnown =
    grant === "basic"
      ? request.headers.authorization === basic
      : grant === "password"
        ? form.get("username") === username && form.get("password") === password
        : form.get("refresh_token") === "refresh-me"
  if (!isKnown || (url.searchParams.get("service") ?? form.get("service")) !== service) {
    return { status: 401, body: { errors: [{ code: "UNAUTHORIZED", message: "who are you?" }] } }
  }
  const token = jwt(
    key,
    username,
    scopes.filter((scope) => scope !== "")
  )
  tokens.push(token)
  return { status: 200, body: { token, expires_in: 300 } }
}

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })

const layerJwtServer: Layer.Layer<JwtServer> = Layer.scoped(
  JwtServer,
  Effect.gen(function* () {
    const log: Array<string> = []
    const tokens: Array<string> = []
    const { url } = yield* serve((request, response) => {
      answer(privateKey, request, log, tokens).then(({ body, status }) => {
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
      })
    })
    return { host: new URL(url).host, log, tokens }
  })
)

/** Debian's registry, and the token server that it sends its clients to. */
export const layerDebianRegistryToken: Layer.Layer<DebianRegistry | JwtServer> = Layer.flatMap(
  layerJwtServer,
  (context) =>
    Layer.merge(
      Layer.succeedContext(context),
      debianRegistryToken({
        realm: `http://${Context.get(context, JwtServer).host}/token`,
        service,
        issuer,
        certificate: certificateOf(privateKey)
      })
    )
)
