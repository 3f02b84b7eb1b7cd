/**
 * Connections to a registry server as nobody should make them: the same for the same seed. Each is
 * some requests, whole and broken, in the pieces in which they are written, and an end.
 */
import { createHash } from "node:crypto"
import { generator } from "../inputs.js"

/** What is written, piece by piece, and how the client leaves then. */
export interface Connection {
  readonly pieces: ReadonlyArray<string>
  /** `FIN` says that there is no more; `RST` is gone without a word; `Stop` reads no more, too. */
  readonly end: "FIN" | "RST" | "Stop"
  readonly methods: ReadonlyArray<string>
}

const sha256 = (text: string) => `sha256:${createHash("sha256").update(text).digest("hex")}`

/** What the server has from the start. */
export const blob = "hello"
export const blobDigest = sha256(blob)
export const config = "{}"
export const configDigest = sha256(config)
export const imageType = "application/vnd.oci.image.manifest.v1+json"
export const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: imageType,
  config: { mediaType: "application/vnd.example", digest: sha256(config), size: 2 },
  layers: []
})
export const manifestDigest = sha256(manifest)

const methods = [
  ...["GET", "GET", "GET", "HEAD", "HEAD", "POST", "POST", "PUT", "PUT", "PATCH", "PATCH"],
  ...["DELETE", "OPTIONS", "TRACE", "CONNECT"]
]

const bodies = [
  "",
  blob,
  config,
  manifest,
  `${manifest.slice(0, -1)},"subject":{"mediaType":"a/b","digest":"${sha256("x")}","size":1}}`,
  '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":null}',
  "[".repeat(5000),
  '{"schemaVersion":1e999}',
  "\0\xff\xfe",
  "x".repeat(70_000)
]

/** Makes the connections of a seed. `uploads` are locations that the server gave out. */
export const connections = (seed: number, uploads: ReadonlyArray<string>): (() => Connection) => {
  const random = generator(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const pick = <A>(items: ReadonlyArray<A>): A => items[below(items.length)] as A
  const chance = (of: number) => random() < of

  const odd = () =>
    pick([
      "",
      "..",
      "%2e%2e",
      "%00",
      "%zz",
      "a//b",
      "A",
      "\xe9",
      "_",
      "blobs",
      "uploads",
      "*",
      "?",
      "a".repeat(300),
      "a:b",
      "sha256:",
      "sha256:abc",
      `sha256:${"G".repeat(64)}`,
      `sha512:${"0".repeat(128)}`,
      `blake3:${"0".repeat(64)}`
    ])
  const or = (valid: string, likely = 0.8) => (chance(likely) ? valid : odd())

  const name = () => or(pick(["a", "team/app", "other"]))
  const digest = () => or(pick([blobDigest, manifestDigest, sha256(config), sha256("nothing")]))
  const path = () =>
    pick([
      () => "/v2/",
      () => "/v2/_catalog",
      () => "/v2/_oci/ext/discover",
      () => `/v2/${name()}/tags/list`,
      () => `/v2/${name()}/manifests/${or(pick(["v1", manifestDigest, "latest"]))}`,
      () => `/v2/${name()}/blobs/${digest()}`,
      () => `/v2/${name()}/blobs/uploads/`,
      () => `/v2/${name()}/referrers/${digest()}`,
      () => pick(uploads),
      () => pick(uploads),
      () => `/${odd()}/${odd()}`,
      () => "*",
      () => "http://elsewhere.example/v2/",
      () => "x"
    ])()
  const parameter = () =>
    pick([
      () => `digest=${digest()}`,
      () => `mount=${digest()}&from=${name()}`,
      () => `digest-algorithm=${or("sha512")}`,
      () => `n=${pick(["0", "1", "-1", "99999999999999999999", "a", ""])}`,
      () => `last=${or("v1")}`,
      () => `tag=${or("v2")}`,
      () => `artifactType=${or("a/b")}`,
      () => `ns=${or("docker.io")}`,
      () => "%ff=%ff&&=&"
    ])()
  const digestOf = (body: string) => `digest=${sha256(body)}`
  /** What a method is mostly for. */
  const likely = (method: string, body: string): string | undefined =>
    ({
      POST: pick([
        "/v2/a/blobs/uploads/",
        `/v2/a/blobs/uploads/?${digestOf(body)}`,
        `/v2/b/blobs/uploads/?mount=${blobDigest}&from=a`
      ]),
      PUT: pick([`${pick(uploads)}?${digestOf(body)}`, "/v2/a/manifests/v1"]),
      PATCH: pick(uploads),
      DELETE: pick(["/v2/b/manifests/v1", `/v2/b/blobs/${blobDigest}`])
    })[method]
  const target = (method: string, body: string) => {
    const wanted = chance(0.6) ? likely(method, body) : undefined
    if (wanted !== undefined) return wanted
    const parameters = Array.from({ length: below(3) }, parameter)
    return `${path()}${parameters.length === 0 ? "" : `?${parameters.join("&")}`}`
  }

  const header = () =>
    pick([
      () => `Range: ${pick(["bytes=0-1", "bytes=500-0", "bytes=0-0,2-2", "bytes=-0", "x", ""])}`,
      () =>
        `Content-Range: ${pick(["0-4", "5-9", "4-0", "bytes 0-4/5", "x", "0-99999999999999999"])}`,
      () => `Content-Type: ${pick([imageType, "application/json; charset=x", "x", ""])}`,
      () => `If-Match: ${pick(["*", `"${manifestDigest}"`, "x", '"'])}`,
      () => `If-None-Match: ${pick(["*", `"${manifestDigest}"`, `W/"${blobDigest}"`])}`,
      () => `If-Range: "${blobDigest}"`,
      () => `Authorization: ${pick(["Basic !!!", "Bearer", "Basic YTpi", "x ".repeat(50)])}`,
      () => `Accept: ${"a/b,".repeat(below(400))}`,
      () => `Connection: ${pick(["close", "keep-alive", "upgrade", "x"])}`,
      () => `Upgrade: ${pick(["websocket", "h2c"])}`,
      () => `Expect: ${pick(["100-continue", "x"])}`,
      () => `X-${"x".repeat(below(100))}: ${"y".repeat(below(9000))}`,
      () =>
        chance(0.7)
          ? "X: y"
          : pick(["Content-Length: 1", "Transfer-Encoding: gzip", "no colon", ": x", "A\0: b"])
    ])()

  const chunked = (body: string) => {
    const at = below(body.length + 1)
    const chunk = (text: string) =>
      text === "" ? "" : `${text.length.toString(16)}\r\n${text}\r\n`
    const end = pick(["0\r\n\r\n", "0\r\n\r\n", "0\r\n\r\n", "0\r\nX: y\r\n\r\n", "zz\r\n", ""])
    return `${chunk(body.slice(0, at))}${chunk(body.slice(at))}${end}`
  }

  const request = (method: string) => {
    const body = chance(0.5) || method === "GET" || method === "HEAD" ? "" : pick(bodies)
    const framing = pick([
      ...Array(6).fill("length"),
      "chunked",
      "chunked",
      "chunked",
      "wrong",
      "none"
    ])
    const length = framing === "wrong" ? pick([body.length + 5, -1, 1e20, "x"]) : body.length
    return [
      `${method} ${target(method, body)} ${pick(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"])}`,
      ...(chance(0.97) ? ["Host: registry.test"] : []),
      ...(framing === "chunked" ? ["Transfer-Encoding: chunked"] : []),
      ...(framing === "length" || framing === "wrong" ? [`Content-Length: ${length}`] : []),
      ...Array.from({ length: below(3) }, header),
      "",
      framing === "chunked" ? chunked(body) : framing === "none" ? "" : body
    ].join("\r\n")
  }

  return () => {
    const asked = Array.from({ length: 1 + below(4) }, () =>
      chance(0.97) ? pick(methods) : pick(["get", "FOO", "G\0T", ""])
    )
    const whole = asked.map(request).join("")
    const text = chance(0.1) ? whole.slice(0, below(whole.length)) : whole
    const cuts = Array.from({ length: below(3) }, () => below(text.length)).sort((a, b) => a - b)
    const pieces = [0, ...cuts].map((cut, index) => text.slice(cut, cuts[index] ?? text.length))
    return {
      pieces,
      end: pick(["FIN", "FIN", "FIN", "FIN", "RST", "Stop"]),
      methods: asked
    }
  }
}
