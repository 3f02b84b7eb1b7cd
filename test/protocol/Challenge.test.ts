import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Challenge from "../../src/protocol/Challenge.js"

const table: ReadonlyArray<
  readonly [name: string, header: string, expected: ReadonlyArray<Challenge.Challenge>]
> = [
  [
    "Docker Hub",
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:samalba/my-app:pull,push"',
    [
      {
        scheme: "bearer",
        realm: "https://auth.docker.io/token",
        service: "registry.docker.io",
        scopes: ["repository:samalba/my-app:pull,push"]
      }
    ]
  ],
  [
    "GHCR's placeholder scope",
    'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"',
    [
      {
        scheme: "bearer",
        realm: "https://ghcr.io/token",
        service: "ghcr.io",
        scopes: ["repository:user/image:pull"]
      }
    ]
  ],
  [
    "ECR: service on Basic",
    'Basic realm="https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com"',
    [
      {
        scheme: "basic",
        realm: "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/",
        service: "ecr.amazonaws.com",
        scopes: []
      }
    ]
  ],
  [
    "ACR's catalog scope",
    'Bearer realm="https://x.azurecr.io/oauth2/token",service="x.azurecr.io",scope="registry:catalog:*"',
    [
      {
        scheme: "bearer",
        realm: "https://x.azurecr.io/oauth2/token",
        service: "x.azurecr.io",
        scopes: ["registry:catalog:*"]
      }
    ]
  ],
  [
    "Quay: no scope",
    'Bearer realm="https://quay.io/v2/auth",service="quay.io"',
    [{ scheme: "bearer", realm: "https://quay.io/v2/auth", service: "quay.io", scopes: [] }]
  ],
  ["Harbor's Basic", 'Basic realm="harbor"', [{ scheme: "basic", realm: "harbor", scopes: [] }]],
  [
    "GitLab: realm on another host",
    'Bearer realm="https://gitlab.example/jwt/auth",service="container_registry",scope="repository:a/b:pull"',
    [
      {
        scheme: "bearer",
        realm: "https://gitlab.example/jwt/auth",
        service: "container_registry",
        scopes: ["repository:a/b:pull"]
      }
    ]
  ],
  [
    "Artifactory: a realm with a space",
    'Basic realm="Artifactory Realm"',
    [{ scheme: "basic", realm: "Artifactory Realm", scopes: [] }]
  ],
  [
    "Nexus: an upper-case scheme",
    'BASIC realm="Sonatype Nexus Repository Manager"',
    [{ scheme: "basic", realm: "Sonatype Nexus Repository Manager", scopes: [] }]
  ],
  [
    "Gitea and Codeberg: two challenges in one value (HK defect 8)",
    'Bearer realm="https://codeberg.org/v2/token",service="container_registry",scope="*",Basic realm="Gitea Container Registry"',
    [
      {
        scheme: "bearer",
        realm: "https://codeberg.org/v2/token",
        service: "container_registry",
        scopes: ["*"]
      },
      { scheme: "basic", realm: "Gitea Container Registry", scopes: [] }
    ]
  ],
  [
    "Cloudflare: the request URL as realm",
    'Basic realm="https://r.example.workers.dev/v2/a/manifests/latest?x=1,2"',
    [
      {
        scheme: "basic",
        realm: "https://r.example.workers.dev/v2/a/manifests/latest?x=1,2",
        scopes: []
      }
    ]
  ],
  [
    "zot: an empty scope (HK defect 10)",
    'Bearer realm="https://zot.example/token",service="zot",scope="",error="invalid_token"',
    [
      {
        scheme: "bearer",
        realm: "https://zot.example/token",
        service: "zot",
        scopes: [],
        error: "invalid_token"
      }
    ]
  ],
  [
    "zot: lower case and unquoted",
    "bearer realm=https://zot.example:8443/auth/token",
    [{ scheme: "bearer", realm: "https://zot.example:8443/auth/token", scopes: [] }]
  ],
  ["zot: an unquoted empty realm", "basic realm=", [{ scheme: "basic", scopes: [] }]],
  [
    "distribution: several scopes in one, and an error",
    'Bearer realm="https://a.example/token",service="s",scope="repository:a:pull repository:b:pull,push",error="insufficient_scope"',
    [
      {
        scheme: "bearer",
        realm: "https://a.example/token",
        service: "s",
        scopes: ["repository:a:pull", "repository:b:pull,push"],
        error: "insufficient_scope"
      }
    ]
  ],
  [
    "a realm that contains the word basic (RG defect 1)",
    'Bearer realm="https://auth/basic/token"',
    [{ scheme: "bearer", realm: "https://auth/basic/token", scopes: [] }]
  ],
  [
    "an empty service does not swallow the next parameter (RG defect 2)",
    'Bearer realm="https://a/t",service="",scope="repository:a:pull"',
    [{ scheme: "bearer", realm: "https://a/t", service: "", scopes: ["repository:a:pull"] }]
  ],
  [
    "an unknown scheme first (RG defect 3)",
    'Negotiate YII=, Digest realm="d", nonce="n,1", Bearer realm="https://a/t"',
    [
      { scheme: "negotiate", scopes: [] },
      { scheme: "digest", realm: "d", scopes: [] },
      { scheme: "bearer", realm: "https://a/t", scopes: [] }
    ]
  ],
  [
    "escapes in quoted strings (HK defect 10)",
    'Basic realm="abcd\\"efg\\\\hij", Bearer realm="https://a/t"',
    [
      { scheme: "basic", realm: 'abcd"efg\\hij', scopes: [] },
      { scheme: "bearer", realm: "https://a/t", scopes: [] }
    ]
  ],
  [
    "an unterminated quoted string",
    'Basic realm="abc',
    [{ scheme: "basic", realm: "abc", scopes: [] }]
  ],
  [
    "parameters without commas, and white space around the equals sign (HK23)",
    'Bearer REALM = "https://a/t" Service="s"',
    [{ scheme: "bearer", realm: "https://a/t", service: "s", scopes: [] }]
  ],
  [
    "empty list elements",
    ', ,Bearer realm="https://a/t",,service="s", ,',
    [{ scheme: "bearer", realm: "https://a/t", service: "s", scopes: [] }]
  ],
  [
    "a repeated realm: the first counts",
    'Bearer realm="https://a/t",realm="https://evil/t"',
    [{ scheme: "bearer", realm: "https://a/t", scopes: [] }]
  ],
  [
    "a control character in a value: absent, and the repetition does not replace it",
    'Bearer realm="https://a/\tt",realm="https://evil/t",service="s\u0000"',
    [{ scheme: "bearer", scopes: [] }]
  ],
  [
    "a scheme without parameters",
    'Basic, Bearer realm="https://a/t"',
    [
      { scheme: "basic", scopes: [] },
      { scheme: "bearer", realm: "https://a/t", scopes: [] }
    ]
  ],
  ["a parameter without a scheme", 'realm="a, Basic realm=b"', []],
  ["no tokens at all", '"/:;()"', []],
  [
    "a parameter named __proto__",
    'Basic __proto__="x",realm="r"',
    [{ scheme: "basic", realm: "r", scopes: [] }]
  ],
  ["the empty value", "", []]
]

describe("Challenge.parse", () => {
  for (const [name, header, expected] of table) {
    it(`reads ${name}`, () => assert.deepStrictEqual(Challenge.parse(header), expected))
  }

  it("reads 16 challenges and 32 parameters of one", () => {
    assert.lengthOf(
      Challenge.parse(Array.from({ length: 20 }, () => 'Basic realm="r"').join(", ")),
      16
    )
    const parameters = (count: number) =>
      Array.from({ length: count }, (_, index) => `p${index}=x`).join(",")
    assert.deepStrictEqual(Challenge.parse(`Basic ${parameters(31)},realm=r`), [
      { scheme: "basic", realm: "r", scopes: [] }
    ])
    assert.deepStrictEqual(Challenge.parse(`Basic ${parameters(32)},realm=r`), [
      { scheme: "basic", scopes: [] }
    ])
  })

  it("reads nothing of more than 16 KiB (T6)", () => {
    const header = (length: number) => `Basic realm="${"a".repeat(length - 14)}"`
    assert.lengthOf(Challenge.parse(header(16_384)), 1)
    assert.lengthOf(Challenge.parse(header(16_385)), 0)
  })

  it.prop("never throws, and no value holds a control character", [hostile()], ([header]) => {
    for (const { error, realm, scheme, service } of Challenge.parse(header))
      for (const text of [scheme, realm, service, error]) assert.notMatch(text ?? "", /\p{Cc}/u)
    return true
  })
})

describe("Challenge.format", () => {
  it("writes what registries write", () =>
    assert.strictEqual(
      Challenge.format([
        {
          scheme: "bearer",
          realm: "https://a/t",
          service: "s",
          scopes: ["repository:a:pull", "registry:catalog:*"]
        },
        { scheme: "basic", realm: 'say "hi"', scopes: [] },
        { scheme: "negotiate", scopes: [] }
      ]),
      'Bearer realm="https://a/t",service="s",scope="repository:a:pull registry:catalog:*", Basic realm="say \\"hi\\"", Negotiate'
    ))

  it("lets no value end the line (T12)", () =>
    assert.strictEqual(
      Challenge.format([{ scheme: "basic", realm: "a\r\nSet-Cookie: b", scopes: [] }]),
      'Basic realm="aSet-Cookie: b"'
    ))

  const text = FastCheck.string({ unit: "grapheme-ascii" })
  const challenge = FastCheck.record(
    {
      scheme: FastCheck.constantFrom("bearer", "basic", "negotiate"),
      realm: text,
      service: text,
      scopes: FastCheck.array(FastCheck.stringMatching(/^[!-~]{1,20}$/), { maxLength: 4 }),
      error: text
    },
    { requiredKeys: ["scheme", "scopes"] }
  )
  it.prop("is read back by parse", [FastCheck.array(challenge, { maxLength: 4 })], ([challenges]) =>
    assert.deepEqual(
      Challenge.parse(Challenge.format(challenges)),
      challenges.map((one) => ({ ...one }))
    )
  )
})

describe("Challenge.select", () => {
  const basic = { scheme: "basic", realm: "r", scopes: [] }
  const bearer = { scheme: "bearer", realm: "https://a/t", scopes: [] }
  const rows: ReadonlyArray<
    readonly [string, ReadonlyArray<Challenge.Challenge>, boolean, Challenge.Challenge | undefined]
  > = [
    ["Bearer before Basic, whatever the order (ACR, Gitea)", [basic, bearer], true, bearer],
    [
      "Basic when it is the only one (ECR, Harbor)",
      [{ scheme: "digest", scopes: [] }, basic],
      true,
      basic
    ],
    ["nothing when only Basic is offered and no password is at hand", [basic], false, undefined],
    ["Basic when Bearer has no realm", [{ scheme: "bearer", scopes: [] }, basic], true, basic],
    [
      "Basic when Bearer has an empty realm (zot)",
      [{ scheme: "bearer", realm: "", scopes: [] }, basic],
      true,
      basic
    ],
    ["nothing of nothing", [], true, undefined]
  ]
  for (const [name, challenges, canBasic, expected] of rows) {
    it(`takes ${name}`, () =>
      assert.strictEqual(
        Option.getOrUndefined(Challenge.select(challenges, { basic: canBasic })),
        expected
      ))
  }
})

/** Arbitrary text, mixed with the syntax that parsers turn on. */
function hostile() {
  const piece = FastCheck.oneof(
    FastCheck.string({ unit: "binary" }),
    FastCheck.constantFrom(
      "Bearer ",
      "Basic",
      "realm",
      "=",
      '"',
      "\\",
      ",",
      " ",
      "\t",
      "/",
      "\u0000",
      'scope="a b"'
    )
  )
  return FastCheck.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(""))
}
