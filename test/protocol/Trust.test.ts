import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as RegistrableDomain from "../../src/protocol/internal/RegistrableDomain.js"
import * as Trust from "../../src/protocol/Trust.js"

const registry = "https://registry.example.com"
const sameDomain = await Effect.runPromise(RegistrableDomain.sameDomain)
const from = `${registry}/v2/a/blobs/x`

type Kind = Trust.Request["kind"]
interface Setting {
  readonly registry?: string
  readonly from?: string
  readonly method?: string
  readonly credentials?: boolean
  readonly policy?: Partial<Trust.Policy>
}

const decide = (kind: Kind, target: string, setting: Setting = {}): Trust.Decision => {
  const base = setting.registry ?? registry
  const place = { registry: base, from: setting.from ?? `${base}/v2/a/blobs/x`, target }
  const policy = { ...Trust.strict, ...setting.policy }
  if (kind === "Redirect")
    return Trust.decide(policy, { ...place, kind, method: setting.method ?? "GET" })
  if (kind === "Realm")
    return Trust.decide(policy, {
      ...place,
      kind,
      credentials: setting.credentials ?? true,
      sameDomain
    })
  return Trust.decide(policy, { ...place, kind })
}

/**
 * `with` and `without` are allowed, with and without credentials; anything else is the reason for
 * the refusal.
 */
const outcome = (decision: Trust.Decision): string =>
  Trust.Decision.$match(decision, {
    Allowed: ({ credentials }) => (credentials ? "with" : "without"),
    Refused: ({ reason }) => reason
  })

type Row = readonly [
  name: string,
  kind: Kind,
  target: string,
  expected: "with" | "without" | Trust.Reason,
  setting?: Setting
]

const kinds: ReadonlyArray<Kind> = ["Redirect", "Upload", "Link", "Realm", "Layer"]

const rows: ReadonlyArray<Row> = [
  // T1: redirects
  [
    "T1: a redirect at the registry keeps credentials",
    "Redirect",
    "https://registry.example.com/x",
    "with"
  ],
  ["T1: a relative redirect keeps credentials", "Redirect", "../y?z=1", "with"],
  [
    "T1: the default port is the same origin",
    "Redirect",
    "https://registry.example.com:443/x",
    "with"
  ],
  [
    "T1: the host in other case is the same origin",
    "Redirect",
    "HTTPS://Registry.Example.COM/x",
    "with"
  ],
  ["T1: another host gets none", "Redirect", "https://cdn.example.net/x?sig=1", "without"],
  ["T1: a sibling host gets none", "Redirect", "https://cdn.example.com/x", "without"],
  [
    "T1: another port gets none (GHSA-vh4v-2xq2-g5cg)",
    "Redirect",
    "https://registry.example.com:8443/x",
    "without"
  ],
  [
    "T1: another scheme gets none",
    "Redirect",
    "https://r.example/x",
    "without",
    { registry: "http://r.example" }
  ],
  [
    "T1: a look-alike suffix gets none (HK defect 9)",
    "Redirect",
    "https://registry.example.com.evil/x",
    "without"
  ],
  [
    "T1: a look-alike port gets none (HK defect 9)",
    "Redirect",
    "http://127.0.0.1:34189/",
    "without",
    { registry: "http://127.0.0.1:341" }
  ],
  [
    "T1: the host in another's path gets none",
    "Redirect",
    "https://evil.example/registry.example.com",
    "without"
  ],
  ["T1: a scheme-relative redirect gets none", "Redirect", "//evil.example/x", "without"],
  [
    "T1: a trailing dot is another origin",
    "Redirect",
    "https://registry.example.com./x",
    "without"
  ],
  [
    "T1: returning to the registry does not return credentials",
    "Redirect",
    "https://registry.example.com/x",
    "without",
    { from: "https://cdn.example.net/x" }
  ],
  [
    "T1: a relative redirect away from the registry stays away",
    "Redirect",
    "/x",
    "without",
    { from: "https://cdn.example.net/x" }
  ],
  [
    "T1: HEAD goes where GET goes",
    "Redirect",
    "https://cdn.example.net/x",
    "without",
    { method: "HEAD" }
  ],
  ["T3: a body may be redirected at the registry", "Redirect", "/x", "with", { method: "PUT" }],
  [
    "T3: a body is not redirected elsewhere",
    "Redirect",
    "https://cdn.example.net/x",
    "OtherOrigin",
    { method: "PUT" }
  ],
  [
    "T3: a DELETE is not redirected elsewhere",
    "Redirect",
    "https://cdn.example.net/x",
    "OtherOrigin",
    { method: "DELETE" }
  ],
  [
    "T3: allowStorage takes bodies, without credentials",
    "Redirect",
    "https://cdn.example.net/x",
    "without",
    { method: "PUT", policy: { allowStorage: ["cdn.example.net"] } }
  ],
  [
    "T3: the other lists do not",
    "Redirect",
    "https://cdn.example.net/x",
    "OtherOrigin",
    {
      method: "PUT",
      policy: { allowTokens: ["cdn.example.net"], allowUploads: ["cdn.example.net"] }
    }
  ],
  // T2: realms
  [
    "T2: a realm at the registry gets credentials",
    "Realm",
    "https://registry.example.com/token",
    "with"
  ],
  ["T2: a relative realm is at the registry", "Realm", "/token", "with"],
  [
    "T2: Docker Hub's realm has the same domain",
    "Realm",
    "https://auth.docker.io/token",
    "with",
    { registry: "https://registry-1.docker.io" }
  ],
  ["T2: another port of the same domain", "Realm", "https://auth.example.com:8443/token", "with"],
  [
    "T2: another domain gets no credentials",
    "Realm",
    "https://evil.example.net/token",
    "OtherOrigin"
  ],
  [
    "T2: another domain may be asked anonymously",
    "Realm",
    "https://auth.example.net/token",
    "without",
    { credentials: false }
  ],
  [
    "T2: anonymous stays anonymous at the registry",
    "Realm",
    "/token",
    "without",
    { credentials: false }
  ],
  [
    "T2: a public suffix is not a domain",
    "Realm",
    "https://evil.co.uk/token",
    "OtherOrigin",
    { registry: "https://r.co.uk" }
  ],
  [
    "T2: customers of a hoster are strangers",
    "Realm",
    "https://evil.github.io/token",
    "OtherOrigin",
    { registry: "https://r.github.io" }
  ],
  [
    "T2: a suffix of the text is not a domain",
    "Realm",
    "https://notexample.com/token",
    "OtherOrigin"
  ],
  [
    "T2: addresses have no domain",
    "Realm",
    "https://10.0.0.2/token",
    "OtherOrigin",
    { registry: "https://10.0.0.1" }
  ],
  [
    "T2: nor have IPv6 addresses",
    "Realm",
    "https://[2606:4700::1]:8443/t",
    "OtherOrigin",
    { registry: "https://[2606:4700::1]" }
  ],
  [
    "T2: the same address on another port is another origin",
    "Realm",
    "http://127.0.0.1:5001/token",
    "OtherOrigin",
    { registry: "http://127.0.0.1:5000" }
  ],
  [
    "T2: single labels have no domain",
    "Realm",
    "http://registry:5001/token",
    "OtherOrigin",
    { registry: "http://registry:5000" }
  ],
  [
    "T2: names below localhost have no domain in common",
    "Realm",
    "http://b.localhost/token",
    "OtherOrigin",
    { registry: "http://a.localhost" }
  ],
  [
    "T2: allowTokens gets credentials (GitLab)",
    "Realm",
    "https://gitlab.example.net/jwt/auth",
    "with",
    { policy: { allowTokens: ["gitlab.example.net"] } }
  ],
  [
    "T2: the other lists do not",
    "Realm",
    "https://gitlab.example.net/jwt/auth",
    "OtherOrigin",
    { policy: { allowStorage: ["gitlab.example.net"], allowUploads: ["gitlab.example.net"] } }
  ],
  [
    "T2: a realm named by another origin is never asked",
    "Realm",
    "https://registry.example.com/token",
    "OtherOrigin",
    { from: "https://cdn.example.net/x", credentials: false }
  ],
  [
    "T2: allowTokens permits a private address",
    "Realm",
    "https://10.0.0.1/token",
    "with",
    { policy: { allowTokens: ["10.0.0.1"] } }
  ],
  [
    "T2: a registry on a private address is its own token server",
    "Realm",
    "/token",
    "with",
    { registry: "http://10.0.0.1" }
  ],
  [
    "T2: one on a link-local address, too",
    "Realm",
    "/token",
    "with",
    { registry: "http://169.254.1.1" }
  ],
  [
    "T2: a private registry may send to its network, anonymously",
    "Realm",
    "http://192.168.1.9/token",
    "without",
    { registry: "http://10.0.0.1", credentials: false }
  ],
  [
    "T2: with credentials it may not",
    "Realm",
    "http://192.168.1.9/token",
    "OtherOrigin",
    { registry: "http://10.0.0.1" }
  ],
  [
    "T2: a local registry may send to this machine, anonymously",
    "Realm",
    "http://127.0.0.1:5001/token",
    "without",
    { registry: "http://localhost:5000", credentials: false }
  ],
  [
    "T2: a private registry may not send to this machine",
    "Realm",
    "http://127.0.0.1/token",
    "PrivateAddress",
    { registry: "http://10.0.0.1", credentials: false }
  ],
  [
    "T2: nor to cloud metadata",
    "Realm",
    "http://169.254.169.254/token",
    "PrivateAddress",
    { registry: "http://10.0.0.1", credentials: false }
  ],
  [
    "T2: a public registry may not send into a network with credentials either",
    "Realm",
    "https://10.0.0.1/token",
    "PrivateAddress"
  ],
  [
    "T19: an http registry may send to http within its domain",
    "Realm",
    "http://auth.example.com/token",
    "with",
    { registry: "http://registry.example.com" }
  ],
  [
    "T19: and to https",
    "Realm",
    "https://auth.example.com/token",
    "with",
    { registry: "http://registry.example.com" }
  ],
  // T3: uploads
  ["T3: an upload location at the registry", "Upload", "/v2/a/blobs/uploads/1?_state=x", "with"],
  [
    "T3: with the default port lost or added (trap 8)",
    "Upload",
    "https://registry.example.com:443/v2/a/blobs/uploads/1",
    "with"
  ],
  [
    "T3: on another host (GHSA-jxpm-75mh-9fp7)",
    "Upload",
    "https://evil.example.net/upload",
    "OtherOrigin"
  ],
  ["T3: on another port", "Upload", "https://registry.example.com:8443/upload", "OtherOrigin"],
  ["T3: on a sibling host", "Upload", "https://uploads.example.com/upload", "OtherOrigin"],
  [
    "T3: allowUploads, without credentials",
    "Upload",
    "https://uploads.example.net/u",
    "without",
    { policy: { allowUploads: ["uploads.example.net"] } }
  ],
  [
    "T3: the other lists do not",
    "Upload",
    "https://uploads.example.net/u",
    "OtherOrigin",
    { policy: { allowStorage: ["uploads.example.net"], allowTokens: ["uploads.example.net"] } }
  ],
  // T4: links
  ["T4: a relative next page", "Link", "/v2/a/tags/list?last=x", "with"],
  ["T4: an absolute next page", "Link", "https://registry.example.com/v2/_catalog?n=1", "with"],
  [
    "T4: on another host (GHSA-h7vf-4x9w-h99v)",
    "Link",
    "https://evil.example.net/v2/_catalog",
    "OtherOrigin"
  ],
  ["T4: outside of /v2/", "Link", "/admin/delete?all", "OtherPath"],
  ["T4: outside of /v2/ by dot segments (T8)", "Link", "/v2/../admin", "OtherPath"],
  ["T4: outside of /v2/ by encoded dot segments (T8)", "Link", "/v2/%2e%2e/admin", "OtherPath"],
  ["T4: /v2 as a prefix of a name", "Link", "/v2x/a", "OtherPath"],
  [
    "T4: below a base path",
    "Link",
    "/docker/v2/a/tags/list",
    "with",
    { registry: "https://r.example/docker/" }
  ],
  [
    "T4: outside of a base path",
    "Link",
    "/v2/a/tags/list",
    "OtherPath",
    { registry: "https://r.example/docker" }
  ],
  // T5: layer URLs
  ["T5: a layer URL gets no credentials", "Layer", "https://cdn.example.net/layer", "without"],
  [
    "T5: not at the registry either (CVE-2020-15157)",
    "Layer",
    "https://registry.example.com/layer",
    "without"
  ],
  // Addresses
  [
    "T2: a private registry may lead to its network",
    "Redirect",
    "http://192.168.1.9:9000/x",
    "without",
    { registry: "http://10.0.0.1:5000" }
  ],
  [
    "T2: a local registry may lead to this machine",
    "Redirect",
    "http://127.0.0.1:9000/x",
    "without",
    { registry: "http://localhost:5000" }
  ],
  [
    "T2: a private registry may not lead to this machine",
    "Redirect",
    "http://127.0.0.1:9000/x",
    "PrivateAddress",
    { registry: "http://10.0.0.1:5000" }
  ],
  [
    "T2: no registry leads to cloud metadata",
    "Redirect",
    "http://169.254.169.254/latest",
    "PrivateAddress",
    { registry: "http://169.254.1.1" }
  ],
  [
    "T2: an odd address may lead to itself",
    "Redirect",
    "http://169.254.1.1:81/x",
    "without",
    { registry: "http://169.254.1.1" }
  ],
  [
    "T2: allowStorage permits a private address",
    "Redirect",
    "https://10.0.0.9:9000/x",
    "without",
    { policy: { allowStorage: ["10.0.0.9:9000"] } }
  ],
  [
    "T2: a private registry may lead to a public host",
    "Redirect",
    "https://cdn.example.net/x",
    "without",
    { registry: "https://10.0.0.1" }
  ]
]

describe("Trust.decide", () => {
  for (const [name, kind, target, expected, setting] of rows) {
    it(name, () => assert.strictEqual(outcome(decide(kind, target, setting)), expected))
  }

  const everywhere: ReadonlyArray<
    readonly [name: string, target: string, expected: Trust.Reason, base?: string]
  > = [
    ["T1: another scheme", "ftp://registry.example.com/x", "Scheme"],
    ["T1: a script", "javascript:alert(1)", "Scheme"],
    ["T1: a file", "file:///etc/passwd", "Scheme"],
    ["T1: data", "data:text/plain,x", "Scheme"],
    ["T1: user info", "https://user:pw@registry.example.com/v2/x", "UserInfo"],
    [
      "T1: a user name that looks like the host",
      "https://registry.example.com@evil.example/v2/x",
      "UserInfo"
    ],
    ["T19: https to http", "http://registry.example.com/v2/x", "Downgrade"],
    ["T19: https to http on another host", "http://evil.example/v2/x", "Downgrade"],
    ["T8: a backslash", "https://registry.example.com\\@evil.example/v2/x", "Malformed"],
    [
      "T8: a newline that parsers drop",
      "https://registry.example.com\n.evil.example/v2/x",
      "Malformed"
    ],
    ["T8: a tab inside of the scheme", "ht\ttps://registry.example.com/v2/x", "Malformed"],
    ["T6: more than 16 KiB", `/v2/${"x".repeat(17_000)}`, "Malformed"],
    [
      "T2: an empty label, which domain lists ignore",
      "https://registry.example.com../v2/x",
      "Malformed"
    ],
    ["T2: an empty first label", "https://.registry.example.com/v2/x", "Malformed"],
    ["T2: an empty label after localhost", "https://localhost../v2/x", "Malformed"],
    ["no host", "https://", "Malformed"],
    ["a port out of range", "https://a:99999/", "Malformed"]
  ]
  for (const kind of kinds) {
    for (const [name, target, expected] of everywhere) {
      it(`${name} is refused (${kind})`, () =>
        assert.strictEqual(outcome(decide(kind, target, { credentials: false })), expected))
    }
  }

  it("T2: without a list of domains, credentials go to the registry's own origin only", () => {
    const at = (target: string) =>
      outcome(
        Trust.decide(Trust.strict, { kind: "Realm", registry, from, target, credentials: true })
      )
    assert.deepStrictEqual(["/token", "https://auth.example.com/token"].map(at), [
      "with",
      "OtherOrigin"
    ])
  })

  it("T19: a downgrade is judged by the last hop too", () => {
    const setting = { registry: "http://r.example", from: "https://cdn.example/x" }
    assert.strictEqual(outcome(decide("Redirect", "http://r.example/x", setting)), "Downgrade")
  })

  it("T19: and by the registry, wherever the chain has come to", () => {
    const setting = { registry: "https://r.example", from: "http://cdn.example/x" }
    assert.strictEqual(outcome(decide("Redirect", "http://cdn.example/y", setting)), "Downgrade")
  })

  it("no list permits another scheme, user info or a downgrade", () => {
    const hosts = ["evil.example", "evil.example:80", "evil.example:443"]
    const policy = { allowStorage: hosts, allowTokens: hosts, allowUploads: hosts }
    for (const kind of kinds) {
      assert.strictEqual(outcome(decide(kind, "ftp://evil.example/", { policy })), "Scheme")
      assert.strictEqual(outcome(decide(kind, "https://u@evil.example/", { policy })), "UserInfo")
      assert.strictEqual(outcome(decide(kind, "http://evil.example/", { policy })), "Downgrade")
    }
  })

  it("a base or request URL that does not parse refuses everything", () => {
    assert.strictEqual(
      outcome(decide("Redirect", "https://a/", { registry: "a", from })),
      "Malformed"
    )
    assert.strictEqual(outcome(decide("Redirect", "https://a/", { from: "/x" })), "Malformed")
  })

  const addresses = [
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "0177.0.0.1",
    "2130706433",
    "127.0.0.1.",
    "127.255.255.254",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.b.localhost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::7f00:1]",
    "0.0.0.0",
    "0",
    "[::]",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "[::ffff:10.0.0.1]",
    "100.64.0.1",
    "169.254.169.254",
    "[fe80::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[fec0::1]",
    "224.0.0.1",
    "255.255.255.255",
    "[ff02::1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "１２７.0.0.1"
  ]
  for (const address of addresses) {
    it(`T2: a public registry cannot lead to ${address}`, () => {
      for (const kind of ["Redirect", "Upload", "Realm", "Layer"] as const)
        assert.strictEqual(
          outcome(decide(kind, `https://${address}:8080/x`, { credentials: false })),
          "PrivateAddress"
        )
    })
  }

  for (const host of [
    "8.8.8.8",
    "172.32.0.1",
    "100.128.0.1",
    "[2606:4700::1]",
    "[::ffff:8.8.8.8]",
    "localhost.example"
  ]) {
    it(`a public registry can lead to ${host}`, () =>
      assert.strictEqual(outcome(decide("Redirect", `https://${host}/x`)), "without"))
  }

  const entries: ReadonlyArray<readonly [entry: string, target: string, permits: boolean]> = [
    ["u.example", "https://u.example/", true],
    ["U.Example", "https://u.example/", true],
    ["u.example:443", "https://u.example/", true],
    ["u.example", "https://u.example:443/", true],
    ["u.example:8443", "https://u.example:8443/", true],
    ["bücher.example", "https://xn--bcher-kva.example/", true],
    ["[2606:4700:0::1]", "https://[2606:4700::1]/", true],
    ["u.example", "https://u.example:8443/", false],
    ["u.example:8443", "https://u.example/", false],
    ["example", "https://u.example/", false],
    [".example", "https://u.example/", false],
    ["*.example", "https://u.example/", false],
    ["u.example", "https://u.example.evil/", false],
    ["u.example", "https://evil-u.example/", false],
    ["evil.example@u.example", "https://u.example/", false],
    ["u.example/path", "https://u.example/", false],
    ["u.example?", "https://u.example/", false],
    ["https://u.example", "https://u.example/", false],
    ["", "https://u.example/", false]
  ]
  for (const [entry, target, permits] of entries) {
    it(`T15: ${JSON.stringify(entry)} ${permits ? "permits" : "does not permit"} ${target}`, () =>
      assert.strictEqual(
        outcome(decide("Upload", target, { policy: { allowUploads: [entry] } })),
        permits ? "without" : "OtherOrigin"
      ))
  }

  const urls: ReadonlyArray<readonly [name: string, target: string, url: string]> = [
    [
      "what was judged of an absolute URL, and its query byte for byte",
      "https://CDN.example:443/a/../b c?sig=a+b~c%20d*!'()\"<>{}|^`[]&&x=%2f?=",
      "https://cdn.example/b%20c?sig=a+b~c%20d*!'()\"<>{}|^`[]&&x=%2f?="
    ],
    [
      "a URL without the spaces around it",
      "  https://cdn.example/a?b  ",
      "https://cdn.example/a?b"
    ],
    [
      "in its query what no request line can carry percent-encoded",
      "https://cdn.example/a?b c\u00e9\u{1f600}\ud800",
      "https://cdn.example/a?b%20c%C3%A9%F0%9F%98%80%EF%BF%BD"
    ],
    ["an empty query as one", "https://cdn.example/a?#b", "https://cdn.example/a?"],
    [
      "no query where the question is one of the fragment",
      "https://cdn.example/a#?b",
      "https://cdn.example/a"
    ],
    [
      "an absolute URL without its fragment",
      "https://cdn.example/a?b#c#d",
      "https://cdn.example/a?b"
    ],
    [
      "a relative URL resolved against the request",
      "../uploads/1?_state=a+b~%2F#f",
      "https://registry.example.com/v2/a/uploads/1?_state=a+b~%2F"
    ],
    [
      "a relative URL with the apostrophes in its query",
      "/x'y?a='b'",
      "https://registry.example.com/x'y?a='b'"
    ],
    ["a scheme-relative URL with the request's scheme", "//cdn.example/x", "https://cdn.example/x"],
    ["an empty URL as the request's own", "", from]
  ]
  for (const [name, target, url] of urls) {
    it(`hands back ${name} (trap 7)`, () => {
      const decision = decide("Redirect", target)
      assert.strictEqual(decision._tag === "Allowed" ? decision.url : decision.reason, url)
    })
  }

  it("judges the host that the handed back URL has: no slashes after the scheme", () => {
    const decision = decide("Redirect", "https:evil.example/x")
    assert.deepStrictEqual(
      decision,
      Trust.Decision.Allowed({ url: "https://evil.example/x", credentials: false })
    )
  })

  it("an empty URL, and a fragment, have the query of the request byte for byte", () => {
    for (const target of ["", "#x", " "]) {
      const decision = decide("Redirect", target, { from: `${from}?a='b'&c=d` })
      assert.strictEqual(decision._tag === "Allowed" && decision.url, `${from}?a='b'&c=d`)
    }
  })

  it("names the host and the list that would permit it, and no secret (T13)", () => {
    const target = "https://10.0.0.1:9000/x?sig=secret"
    const refused = (kind: Kind, method = "PUT") => {
      const decision = decide(kind, target, { method })
      assert.notInclude(JSON.stringify(decision), "secret")
      return decision._tag === "Refused"
        ? [decision.host, Option.getOrUndefined(decision.option)]
        : undefined
    }
    assert.deepStrictEqual(refused("Redirect"), ["10.0.0.1:9000", "allowStorage"])
    assert.deepStrictEqual(refused("Upload"), ["10.0.0.1:9000", "allowUploads"])
    assert.deepStrictEqual(refused("Realm"), ["10.0.0.1:9000", "allowTokens"])
    assert.deepStrictEqual(refused("Layer"), ["10.0.0.1:9000", "allowStorage"])
    assert.deepStrictEqual(refused("Link"), ["10.0.0.1:9000", undefined])
    const userInfo = decide("Upload", "https://user:secret@evil.example/")
    assert.notInclude(JSON.stringify(userInfo), "secret")
    assert.deepInclude(userInfo, { host: "evil.example" })
    assert.isTrue(userInfo._tag === "Refused" && Option.isNone(userInfo.option))
  })

  it("the list that a refusal names does permit the URL", () => {
    for (const kind of ["Redirect", "Upload", "Realm", "Layer"] as const) {
      for (const target of ["https://10.0.0.1:9000/x", "https://other.example.net/x"]) {
        const decision = decide(kind, target, { method: "PUT" })
        if (decision._tag === "Allowed") continue
        const policy = { [Option.getOrThrow(decision.option)]: [decision.host] }
        assert.strictEqual(decide(kind, target, { method: "PUT", policy })._tag, "Allowed")
      }
    }
  })

  const part = FastCheck.constantFrom(
    "https://",
    "http://",
    "https:",
    "//",
    "/",
    "\\",
    "@",
    ":",
    "#",
    "?",
    ".",
    ":443",
    ":80",
    "a.example",
    "b.a.example",
    "127.0.0.1",
    "localhost",
    "%2e%2e",
    "v2/",
    "\t",
    " "
  )
  const url = FastCheck.oneof(
    FastCheck.webUrl({ withQueryParameters: true, withFragments: true }),
    FastCheck.array(part, { maxLength: 8 }).map((parts) => parts.join("")),
    FastCheck.string({ unit: "binary" })
  )
  const base = FastCheck.constantFrom(
    "https://a.example",
    "http://localhost:5000",
    "http://a.example:80/x",
    "https://127.0.0.1"
  )
  const anyPolicy = FastCheck.constantFrom(Trust.strict, {
    allowStorage: ["b.a.example", "a.example"],
    allowTokens: [],
    allowUploads: ["b.a.example", "localhost:80"]
  })

  it.prop(
    "T1: credentials never go to another origin, whatever the URL",
    [
      FastCheck.constantFrom<Kind>("Redirect", "Upload", "Link", "Layer"),
      base,
      url,
      url,
      anyPolicy
    ],
    ([kind, registryUrl, requestUrl, target, policy]) => {
      for (const fromUrl of [registryUrl, requestUrl]) {
        const decision = decide(kind, target, { registry: registryUrl, from: fromUrl, policy })
        if (decision._tag === "Refused") continue
        const sent = new URL(decision.url)
        assert.match(sent.protocol, /^https?:$/)
        assert.notInclude(decision.url, "#")
        assert.strictEqual(`${sent.username}${sent.password}`, "")
        // What was judged is what is requested.
        assert.isTrue(decision.url.startsWith(sent.origin + sent.pathname))
        assert.match(decision.url, /^[!-~]+$/)
        if (decision.credentials) assert.strictEqual(sent.origin, new URL(registryUrl).origin)
      }
    },
    { fastCheck: { numRuns: 2000 } }
  )

  it.prop(
    "T2: credentials go to no realm but the registry's own origin and domain",
    [url],
    ([target]) => {
      const decision = decide("Realm", target, {
        registry: "https://r.a.example",
        from: "https://r.a.example/v2/"
      })
      if (decision._tag === "Allowed")
        assert.match(new URL(decision.url).host, /^([^.]+\.)*a\.example\.?(:\d+)?$/)
    },
    { fastCheck: { numRuns: 2000 } }
  )
})

describe("Trust.origin", () => {
  const table: ReadonlyArray<readonly [url: string, expected: string | undefined]> = [
    ["https://R.Example:443/v2/?x#y", "https://r.example"],
    ["http://r.example:80", "http://r.example"],
    ["http://r.example:443", "http://r.example:443"],
    ["https://[2001:DB8:0::1]:5000/", "https://[2001:db8::1]:5000"],
    ["https://user:pw@r.example/", "https://r.example"],
    ["ftp://r.example", undefined],
    ["data:,x", undefined],
    ["/v2/", undefined],
    ["", undefined]
  ]
  for (const [input, expected] of table) {
    it(`of ${JSON.stringify(input)} is ${expected ?? "none"}`, () =>
      assert.strictEqual(Option.getOrUndefined(Trust.origin(input)), expected))
  }
})
